//! What concerns nobody but the caller: mistakes, and Yield.

use super::{Exit, Short};
use crate::{access::Kernel, cap::RawCap, fault::SysError, object::TcbRef, sched, syscall};

/// A Call of an empty slot.
#[inline(always)]
pub(super) fn call(k: &mut Kernel<'_>, caller: TcbRef, cap: RawCap) -> Short {
    if cap != RawCap::NULL {
        return None;
    }
    syscall::fail(k, caller, SysError::InvalidCapability(0));
    Some(Exit::Same)
}

/// A message to an empty slot: nothing happens.
#[inline(always)]
pub(super) fn send(cap: RawCap) -> Short {
    (cap == RawCap::NULL).then_some(Exit::Same)
}

#[inline(always)]
pub(super) fn yield_slice(k: &mut Kernel<'_>, caller: TcbRef, entered: u64) -> Exit {
    sched::time::stamp_at(k, entered);
    sched::time::yield_slice(k);
    sched::schedule(k);
    match k.this().current {
        None => Exit::Idle,
        Some(next) if next == caller => Exit::Same,
        Some(_) => Exit::Any,
    }
}
