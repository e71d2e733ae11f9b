//! Methods of CNodes that only change capabilities and where they are: no thread but the caller notices.
//!
//! They change the structure, so they need every lock. What they check and do is what the usual way checks and does
//! ([`crate::invoke::cnode`]).

use sel4_abi::MessageInfo;

use super::{Exit, Short};
use crate::{
    access::Kernel,
    cap::RawCap,
    invoke::cnode,
    object::{Progress, SlotRef, TcbRef},
    syscall::{self, Mode},
};

/// Whether a Call by this capability may be one.
#[inline(always)]
pub(super) fn may_be(cap: RawCap) -> bool {
    cap.node().is_some()
}

#[inline(never)]
pub(super) fn call(k: &mut Kernel<'_>, caller: TcbRef, slot: SlotRef, info: MessageInfo) -> Short {
    if !cnode::is_short(info.label()) || !k.try_widen_to_all() {
        return None;
    }
    let args = syscall::arguments(k, caller, slot, info, Mode::Call, &Progress::None).ok()?;
    match cnode::invoke_short(k, &args)? {
        Ok(()) => syscall::succeed(k, caller),
        Err(error) => syscall::fail(k, caller, error),
    }
    Some(Exit::Same)
}
