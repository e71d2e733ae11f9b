//! What a copy of a capability looks like: rights masked, badge or guard set, mapping forgotten.

use sel4_abi::{CNodeCapData, CapRights};

use crate::{access::Kernel, cap::Cap, cdt, fault::SysError, object::SlotRef};

/// The capability that a copy of `cap`, found in (or made from what is in) `source`, is. Null where there can be none.
pub fn derive(k: &Kernel<'_>, source: SlotRef, cap: Cap) -> Result<Cap, SysError> {
    match cap {
        Cap::Untyped { .. } => {
            cdt::ensure_no_children(k, source)?;
            Ok(cap)
        }
        Cap::VSpace { asid: None, .. } | Cap::PageTable { mapping: None, .. } => {
            Err(SysError::IllegalOperation)
        }
        Cap::IrqControl | Cap::Zombie { .. } => Ok(Cap::Null),
        Cap::Frame {
            base,
            size,
            rights,
            device,
            ..
        } => Ok(Cap::Frame {
            base,
            size,
            rights,
            device,
            mapping: None,
        }),
        Cap::Null
        | Cap::Endpoint { .. }
        | Cap::Notification { .. }
        | Cap::Reply { .. }
        | Cap::CNode { .. }
        | Cap::Thread { .. }
        | Cap::SchedContext { .. }
        | Cap::SchedControl { .. }
        | Cap::PageTable { .. }
        | Cap::VSpace { .. }
        | Cap::AsidControl
        | Cap::AsidPool { .. }
        | Cap::IrqHandler { .. }
        | Cap::SgiSignal { .. }
        | Cap::Domain => Ok(cap),
    }
}

/// The capability with no more than the rights in `mask`. Most have none to lose.
pub fn mask_rights(cap: Cap, mask: CapRights) -> Cap {
    match cap {
        Cap::Endpoint {
            endpoint,
            badge,
            rights,
        } => Cap::Endpoint {
            endpoint,
            badge,
            rights: rights & mask,
        },
        Cap::Notification {
            notification,
            badge,
            rights,
        } => Cap::Notification {
            notification,
            badge,
            rights: rights & mask,
        },
        Cap::Reply { reply, can_grant } => Cap::Reply {
            reply,
            can_grant: can_grant && mask.contains(CapRights::GRANT),
        },
        Cap::Frame {
            base,
            size,
            rights,
            device,
            mapping,
        } => Cap::Frame {
            base,
            size,
            rights: rights.mask(mask),
            device,
            mapping,
        },
        other => other,
    }
}

/// Sets the badge or guard of a new capability (`CNode_Mint`). Null if that cannot be.
pub fn mint(cap: Cap, data: u64) -> Cap {
    match cap {
        Cap::Endpoint { badge, .. } | Cap::Notification { badge, .. } if badge != 0 => Cap::Null,
        Cap::Endpoint {
            endpoint, rights, ..
        } => Cap::Endpoint {
            endpoint,
            badge: data,
            rights,
        },
        Cap::Notification {
            notification,
            rights,
            ..
        } => Cap::Notification {
            notification,
            badge: data,
            rights,
        },
        other => set_guard(other, data),
    }
}

/// Sets the guard of a capability that moves (`CNode_Mutate`, `CNode_Rotate`). Endpoints and notifications cannot be
/// changed on the way.
pub fn mutate(cap: Cap, data: u64) -> Cap {
    match cap {
        Cap::Endpoint { .. } | Cap::Notification { .. } => Cap::Null,
        other => set_guard(other, data),
    }
}

/// Sets the guard of a CNode capability; others stay as they are.
pub fn set_guard(cap: Cap, data: u64) -> Cap {
    let Cap::CNode { base, radix, .. } = cap else {
        return cap;
    };
    let data = CNodeCapData(data);
    let guard_size = data.guard_size() as u8;
    if u64::from(guard_size) + u64::from(radix) > crate::cspace::WORD_BITS {
        return Cap::Null;
    }
    Cap::CNode {
        base,
        radix,
        guard: data.guard(),
        guard_size,
    }
}
