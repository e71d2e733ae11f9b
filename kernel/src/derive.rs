//! What a copy of a capability looks like: rights masked, badge or guard set, mapping forgotten.

use sel4_abi::{CNodeCapData, CapRights, cap_type as t};

use crate::{
    access::Kernel,
    cap::{Cap, RawCap},
    cdt, cspace,
    fault::SysError,
    object::SlotRef,
};

/// The capability that a copy of `cap`, found in (or made from what is in) `source`, is. Null where there can be none.
#[inline(always)]
pub fn derive(k: &Kernel<'_>, source: SlotRef, cap: RawCap) -> Result<RawCap, SysError> {
    if is_copied_as_it_is(cap) {
        Ok(cap)
    } else {
        derive_special(k, source, cap)
    }
}

#[inline(always)]
fn is_copied_as_it_is(cap: RawCap) -> bool {
    matches!(
        cap.type_number(),
        t::NULL
            | t::ENDPOINT
            | t::NOTIFICATION
            | t::REPLY
            | t::CNODE
            | t::THREAD
            | t::SCHED_CONTEXT
            | t::SCHED_CONTROL
            | t::ASID_CONTROL
            | t::ASID_POOL
            | t::IRQ_HANDLER
            | t::SGI_SIGNAL
            | t::DOMAIN
    )
}

#[inline(never)]
fn derive_special(k: &Kernel<'_>, source: SlotRef, cap: RawCap) -> Result<RawCap, SysError> {
    match cap.type_number() {
        t::UNTYPED => {
            cdt::ensure_no_children(k, source)?;
            Ok(cap)
        }
        t::PAGE_TABLE | t::VSPACE if cap.is_mapped() => Ok(cap),
        t::PAGE_TABLE | t::VSPACE => Err(SysError::IllegalOperation),
        t::FRAME => Ok(cap.unmapped()),
        _ => Ok(RawCap::NULL),
    }
}

/// The capability with no more than the rights in `mask`. Most have none to lose.
#[inline]
pub fn mask_rights(cap: RawCap, mask: CapRights) -> RawCap {
    match cap.type_number() {
        t::ENDPOINT | t::NOTIFICATION => cap.with_rights_in(mask),
        t::REPLY if !mask.contains(CapRights::GRANT) => cap.without_grant(),
        t::FRAME => cap.with_frame_rights_in(mask),
        _ => cap,
    }
}

/// Sets the badge or guard of a new capability (`CNode_Mint`). Null if that cannot be.
#[inline]
pub fn mint(cap: RawCap, data: u64) -> RawCap {
    match cap.type_number() {
        t::ENDPOINT | t::NOTIFICATION if cap.badge() != 0 => RawCap::NULL,
        t::ENDPOINT | t::NOTIFICATION => cap.with_badge(data),
        _ => set_guard(cap, data),
    }
}

/// Sets the guard of a capability that moves (`CNode_Mutate`, `CNode_Rotate`). Endpoints and notifications cannot be
/// changed on the way.
pub fn mutate(cap: RawCap, data: u64) -> RawCap {
    match cap.type_number() {
        t::ENDPOINT | t::NOTIFICATION => RawCap::NULL,
        _ => set_guard(cap, data),
    }
}

/// Sets the guard of a CNode capability; others stay as they are.
pub fn set_guard(cap: RawCap, data: u64) -> RawCap {
    let Cap::CNode { base, radix, .. } = cap.decode() else {
        return cap;
    };
    let data = CNodeCapData(data);
    if data.guard_size() + u64::from(radix) > cspace::WORD_BITS {
        return RawCap::NULL;
    }
    RawCap::from(Cap::CNode {
        base,
        radix,
        guard: data.guard(),
        guard_size: data.guard_size() as u8,
    })
}
