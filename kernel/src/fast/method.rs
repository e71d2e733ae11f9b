//! Methods that change capabilities and translation tables only: no thread but the caller notices, and they are never left
//! half-way.
//!
//! They change the structure, so they need every lock. What they check and do is what the usual way checks and does
//! ([`crate::invoke`]).

use sel4_abi::{Invocation, MessageInfo, cap_type as t};

use super::{Exit, Short};
use crate::{
    access::Kernel,
    invoke::{self, Failure, cnode, untyped},
    object::{Progress, SlotRef, TcbRef},
    syscall::{self, Mode},
};

const PAGE_MAP: u64 = Invocation::PageMap.label();
const PAGE_UNMAP: u64 = Invocation::PageUnmap.label();
const PAGE_TABLE_MAP: u64 = Invocation::PageTableMap.label();

#[inline(never)]
pub(super) fn call(k: &mut Kernel<'_>, caller: TcbRef, slot: SlotRef, info: MessageInfo) -> Short {
    let cap = k.get(slot).raw();
    let label = info.label();
    let is_short = match cap.type_number() {
        t::CNODE => cnode::is_short(label),
        t::FRAME => matches!(label, PAGE_MAP | PAGE_UNMAP),
        t::PAGE_TABLE => label == PAGE_TABLE_MAP,
        t::UNTYPED => untyped::is_short(k, slot),
        _ => false,
    };
    if !is_short || !k.try_widen_to_all() {
        return None;
    }
    let args = syscall::arguments(k, caller, slot, info, Mode::Call, &Progress::None).ok()?;
    k.this_mut().work_units = 0;
    let outcome = match cap.type_number() {
        t::CNODE => cnode::invoke_short(k, &args)?.map_err(Failure::Error),
        t::FRAME => invoke::page::invoke(k, &args, cap).map(|_| ()),
        t::PAGE_TABLE => invoke::page_table::invoke(k, &args, cap.decode()).map(|_| ()),
        _ => untyped::invoke(k, &args, cap).map(|_| ()),
    };
    match outcome {
        Ok(()) => syscall::succeed(k, caller),
        Err(Failure::Error(error)) => syscall::fail(k, caller, error),
        Err(Failure::Leave(leave)) => unreachable!("{leave:?} of a short method"),
    }
    Some(Exit::Same)
}
