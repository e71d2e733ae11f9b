//! The capability derivation tree, kept as one doubly linked list in pre-order. Two flags in each slot (revocable,
//! first badged) tell where the subtree of a capability ends.

use crate::{
    access::Kernel,
    arch,
    cap::{Cap, Slot, ZombieKind},
    fault::SysError,
    object::{ObjRef, SlotRef, TcbRef},
    types::PhysAddr,
};

/// Physical bytes of the object behind a capability: start and logarithm of the size.
pub fn region(cap: Cap) -> Option<(PhysAddr, u32)> {
    fn at<T>(object: ObjRef<T>) -> PhysAddr {
        arch::to_physical(object.address())
    }
    use sel4_abi::size_bits as s;
    let bits = |bits: u64| bits as u32;
    Some(match cap {
        Cap::Untyped { base, bits, .. } => (base, u32::from(bits)),
        Cap::Endpoint { endpoint, .. } => (at(endpoint), bits(s::ENDPOINT)),
        Cap::Notification { notification, .. } => (at(notification), bits(s::NOTIFICATION)),
        Cap::Reply { reply, .. } => (at(reply), bits(s::REPLY)),
        Cap::CNode { base, radix, .. } => (at(base), u32::from(radix) + bits(s::SLOT)),
        Cap::Thread { tcb } => (tcb_base(tcb), bits(s::TCB)),
        Cap::SchedContext { sc, bits } => (at(sc), u32::from(bits)),
        Cap::Frame { base, size, .. } => (base, size.bits()),
        Cap::PageTable { table, .. } => (at(table), bits(s::PAGE_TABLE)),
        Cap::VSpace { root, .. } => (at(root), bits(s::VSPACE)),
        Cap::AsidPool { pool, .. } => (at(pool), bits(s::ASID_POOL)),
        Cap::Zombie { base, kind, .. } => {
            let bits = match kind {
                ZombieKind::Tcb => bits(s::TCB),
                ZombieKind::CNode { radix } => u32::from(radix) + bits(s::SLOT),
                ZombieKind::Endpoint => bits(s::ENDPOINT),
                ZombieKind::Notification => bits(s::NOTIFICATION),
            };
            (at(base), bits)
        }
        Cap::Null
        | Cap::SchedControl { .. }
        | Cap::AsidControl
        | Cap::IrqControl
        | Cap::IrqHandler { .. }
        | Cap::SgiSignal { .. }
        | Cap::Domain => return None,
    })
}

fn tcb_base(tcb: TcbRef) -> PhysAddr {
    arch::to_physical(tcb.object())
}

fn contains(outer: (PhysAddr, u32), inner: (PhysAddr, u32)) -> bool {
    let end = |(base, bits): (PhysAddr, u32)| base.0 + (1u64 << bits);
    outer.0 <= inner.0 && end(inner) <= end(outer)
}

/// Whether `b` could have been made from `a`: the same object, or an object within.
fn same_region(a: Cap, b: Cap) -> bool {
    match a {
        Cap::Null | Cap::Zombie { .. } => false,
        Cap::Untyped { .. } | Cap::Frame { .. } => {
            let inside = match (region(a), region(b)) {
                (Some(a), Some(b)) => contains(a, b),
                (_, None) | (None, _) => false,
            };
            inside && (matches!(a, Cap::Untyped { .. }) || matches!(b, Cap::Frame { .. }))
        }
        Cap::Endpoint { endpoint: x, .. } => {
            matches!(b, Cap::Endpoint { endpoint, .. } if endpoint == x)
        }
        Cap::Notification {
            notification: x, ..
        } => {
            matches!(b, Cap::Notification { notification, .. } if notification == x)
        }
        Cap::Reply { reply: x, .. } => matches!(b, Cap::Reply { reply, .. } if reply == x),
        Cap::CNode {
            base: x, radix: r, ..
        } => {
            matches!(b, Cap::CNode { base, radix, .. } if base == x && radix == r)
        }
        Cap::Thread { tcb: x } => matches!(b, Cap::Thread { tcb } if tcb == x),
        Cap::SchedContext { sc: x, bits: n } => {
            matches!(b, Cap::SchedContext { sc, bits } if sc == x && bits == n)
        }
        Cap::PageTable { table: x, .. } => matches!(b, Cap::PageTable { table, .. } if table == x),
        Cap::VSpace { root: x, .. } => matches!(b, Cap::VSpace { root, .. } if root == x),
        Cap::AsidPool { pool: x, .. } => matches!(b, Cap::AsidPool { pool, .. } if pool == x),
        Cap::IrqControl => {
            matches!(
                b,
                Cap::IrqControl | Cap::IrqHandler { .. } | Cap::SgiSignal { .. }
            )
        }
        Cap::IrqHandler { line: x } => matches!(b, Cap::IrqHandler { line } if line == x),
        Cap::SgiSignal { sgi: x, target: t } => {
            matches!(b, Cap::SgiSignal { sgi, target } if sgi == x && target == t)
        }
        Cap::SchedControl { .. } => matches!(b, Cap::SchedControl { .. }),
        Cap::AsidControl => b == Cap::AsidControl,
        Cap::Domain => b == Cap::Domain,
    }
}

/// Whether two capabilities name the very same object, so that neither is the last.
fn same_object(a: Cap, b: Cap) -> bool {
    match (a, b) {
        // Each untyped capability stands for its own piece of bookkeeping; control capabilities have no object.
        (Cap::Untyped { .. }, _) | (Cap::IrqControl, _) => false,
        (
            Cap::Frame {
                base: x,
                size: s,
                device: d,
                ..
            },
            Cap::Frame {
                base, size, device, ..
            },
        ) => x == base && s == size && d == device,
        _ => same_region(a, b),
    }
}

/// Whether `b`'s slot stands in the subtree of `a`'s, given that it follows it in the list.
pub fn is_parent(a: &Slot, b: &Slot) -> bool {
    if !a.revocable() || !same_region(a.cap(), b.cap()) {
        return false;
    }
    match (a.cap(), b.cap()) {
        (Cap::Endpoint { badge: x, .. }, Cap::Endpoint { badge: y, .. })
        | (Cap::Notification { badge: x, .. }, Cap::Notification { badge: y, .. }) => {
            x == 0 || (x == y && !b.first_badged())
        }
        (Cap::SgiSignal { .. }, _) => !b.first_badged(),
        _ => true,
    }
}

/// Whether a capability made from `source` starts a level of its own.
fn starts_level(new: Cap, source: Cap) -> bool {
    match (new, source) {
        (Cap::Endpoint { badge: x, .. }, Cap::Endpoint { badge: y, .. })
        | (Cap::Notification { badge: x, .. }, Cap::Notification { badge: y, .. }) => x != y,
        (Cap::IrqHandler { .. } | Cap::SgiSignal { .. }, source) => source == Cap::IrqControl,
        (Cap::Untyped { .. }, _) => true,
        _ => false,
    }
}

fn link_after(k: &mut Kernel<'_>, source: SlotRef, slot: SlotRef) {
    let next = k.get(source).next();
    k.get_mut(slot).set_prev(Some(source));
    k.get_mut(slot).set_next(next);
    k.get_mut(source).set_next(Some(slot));
    if let Some(next) = next {
        k.get_mut(next).set_prev(Some(slot));
    }
}

/// Puts a copy of, or something derived from, the capability in `source` into an empty slot. A copied untyped makes
/// its source full, so that the two never hand out the same memory.
pub fn insert(k: &mut Kernel<'_>, cap: Cap, source: SlotRef, slot: SlotRef) {
    debug_assert!(k.get(slot).is_empty());
    let source_cap = k.get(source).cap();
    let level = starts_level(cap, source_cap);
    *k.get_mut(slot) = Slot::EMPTY;
    k.get_mut(slot).set_cap(cap);
    k.get_mut(slot).set_flags(level, level);
    link_after(k, source, slot);
    if let (
        Cap::Untyped {
            base, bits, device, ..
        },
        Cap::Untyped {
            base: copy,
            bits: n,
            ..
        },
    ) = (source_cap, cap)
        && base == copy
        && bits == n
    {
        k.get_mut(source).set_cap(Cap::Untyped {
            base,
            bits,
            device,
            free: 1 << bits,
        });
    }
}

/// Puts a new object's capability into an empty slot, as a child of the untyped in `parent`.
pub fn insert_new(k: &mut Kernel<'_>, cap: Cap, parent: SlotRef, slot: SlotRef) {
    debug_assert!(k.get(slot).is_empty());
    *k.get_mut(slot) = Slot::EMPTY;
    k.get_mut(slot).set_cap(cap);
    k.get_mut(slot).set_flags(true, true);
    link_after(k, parent, slot);
}

/// Puts a capability that is derived from nothing into an empty slot: boot only.
pub fn insert_root(k: &mut Kernel<'_>, cap: Cap, slot: SlotRef) {
    *k.get_mut(slot) = Slot::EMPTY;
    k.get_mut(slot).set_cap(cap);
    k.get_mut(slot).set_flags(true, true);
}

/// Moves a capability, which may change on the way, with its place in the tree.
pub fn move_to(k: &mut Kernel<'_>, cap: Cap, source: SlotRef, slot: SlotRef) {
    debug_assert!(k.get(slot).is_empty());
    let (prev, next) = (k.get(source).prev(), k.get(source).next());
    let (revocable, first_badged) = (k.get(source).revocable(), k.get(source).first_badged());
    let to = k.get_mut(slot);
    *to = Slot::EMPTY;
    to.set_cap(cap);
    to.set_flags(revocable, first_badged);
    to.set_prev(prev);
    to.set_next(next);
    *k.get_mut(source) = Slot::EMPTY;
    relink(k, slot);
}

/// Makes the neighbours of a slot point at it.
fn relink(k: &mut Kernel<'_>, slot: SlotRef) {
    if let Some(prev) = k.get(slot).prev() {
        k.get_mut(prev).set_next(Some(slot));
    }
    if let Some(next) = k.get(slot).next() {
        k.get_mut(next).set_prev(Some(slot));
    }
}

/// Exchanges two slots with their places in the tree; each capability may change on the way.
pub fn swap(k: &mut Kernel<'_>, cap_a: Cap, a: SlotRef, cap_b: Cap, b: SlotRef) {
    if a == b {
        return;
    }
    let links = |k: &Kernel<'_>, slot: SlotRef| {
        let slot = k.get(slot);
        (
            slot.prev(),
            slot.next(),
            slot.revocable(),
            slot.first_badged(),
        )
    };
    let (mut a_links, mut b_links) = (links(k, a), links(k, b));
    // Neighbours of each other: what pointed at one now points at the other.
    for (links, from, to) in [(&mut a_links, b, a), (&mut b_links, a, b)] {
        for link in [&mut links.0, &mut links.1] {
            if *link == Some(from) {
                *link = Some(to);
            }
        }
    }
    for (slot, cap, (prev, next, revocable, first_badged)) in
        [(a, cap_b, b_links), (b, cap_a, a_links)]
    {
        let slot = k.get_mut(slot);
        slot.set_cap(cap);
        slot.set_flags(revocable, first_badged);
        slot.set_prev(prev);
        slot.set_next(next);
    }
    relink(k, a);
    relink(k, b);
}

/// Empties a slot and takes it out of the tree.
pub fn remove(k: &mut Kernel<'_>, slot: SlotRef) {
    let (prev, next) = (k.get(slot).prev(), k.get(slot).next());
    let first_badged = k.get(slot).first_badged();
    if let Some(prev) = prev {
        k.get_mut(prev).set_next(next);
    }
    if let Some(next) = next {
        let revocable = k.get(next).revocable();
        let first_badged = k.get(next).first_badged() || first_badged;
        k.get_mut(next).set_prev(prev);
        k.get_mut(next).set_flags(revocable, first_badged);
    }
    *k.get_mut(slot) = Slot::EMPTY;
}

/// The first capability derived from this one, if there is one.
pub fn first_child(k: &Kernel<'_>, slot: SlotRef) -> Option<SlotRef> {
    let next = k.get(slot).next()?;
    is_parent(k.get(slot), k.get(next)).then_some(next)
}

/// Nothing is derived from this capability, or the caller must revoke first.
pub fn ensure_no_children(k: &Kernel<'_>, slot: SlotRef) -> Result<(), SysError> {
    if first_child(k, slot).is_some() {
        Err(SysError::RevokeFirst)
    } else {
        Ok(())
    }
}

/// Whether no other capability names the same object.
pub fn is_final(k: &Kernel<'_>, slot: SlotRef) -> bool {
    let here = k.get(slot);
    let same = |other: Option<SlotRef>| {
        other.is_some_and(|other| same_object(k.get(other).cap(), here.cap()))
    };
    !same(here.prev()) && !same(here.next())
}
