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
    if sched::time::begin_slice(k) {
        // The new slice can begin at once: those of the same priority go first.
        let priority = k.get(caller).priority;
        let Some((_, next)) = k
            .this()
            .ready
            .highest()
            .filter(|&(best, _)| best == priority)
        else {
            sched::time::program_timer(k);
            return Exit::Same;
        };
        sched::enqueue_back(k, caller);
        sched::switch_to(k, Some(next));
        return Exit::Any;
    }
    sched::time::make_room(k);
    sched::schedule(k);
    match k.this().current {
        None => Exit::Idle,
        Some(next) if next == caller => Exit::Same,
        Some(_) => Exit::Any,
    }
}
