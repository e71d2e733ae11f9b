//! The capability derivation tree, kept as one doubly linked list in pre-order. Two flags in each slot (revocable,
//! first badged) tell where the subtree of a capability ends.

use sel4_abi::cap_type as t;

use crate::{
    access::Kernel,
    arch,
    cap::{Cap, Flags, RawCap, Slot, ZombieKind},
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
#[inline(always)]
fn same_region(a: RawCap, b: RawCap) -> bool {
    match a.type_number() {
        t::UNTYPED => is_inside(a.decode(), b.decode()),
        t::FRAME => b.type_number() == t::FRAME && is_inside(a.decode(), b.decode()),
        t::IRQ_CONTROL => matches!(
            b.type_number(),
            t::IRQ_CONTROL | t::IRQ_HANDLER | t::SGI_SIGNAL
        ),
        _ => a.is_same_object(b),
    }
}

fn is_inside(outer: Cap, inner: Cap) -> bool {
    match (region(outer), region(inner)) {
        (Some(outer), Some(inner)) => contains(outer, inner),
        (_, None) | (None, _) => false,
    }
}

/// Whether `b`'s slot stands in the subtree of `a`'s, given that it follows it in the list.
#[inline]
pub fn is_parent(a: &Slot, b: &Slot) -> bool {
    if !a.revocable() || !same_region(a.raw(), b.raw()) {
        return false;
    }
    match a.raw().type_number() {
        t::ENDPOINT | t::NOTIFICATION => {
            let (x, y) = (a.raw().badge(), b.raw().badge());
            x == 0 || (x == y && !b.first_badged())
        }
        t::SGI_SIGNAL => !b.first_badged(),
        _ => true,
    }
}

/// Whether a capability made from `source` starts a level of its own.
#[inline]
fn starts_level(new: RawCap, source: RawCap) -> bool {
    match new.type_number() {
        t::ENDPOINT | t::NOTIFICATION => new.badge() != source.badge(),
        t::IRQ_HANDLER | t::SGI_SIGNAL => source.type_number() == t::IRQ_CONTROL,
        t::UNTYPED => true,
        _ => false,
    }
}

/// Puts a capability into an empty slot, behind `before` in the list.
#[inline]
fn insert_after(k: &mut Kernel<'_>, before: SlotRef, slot: SlotRef, cap: RawCap, flags: Flags) {
    debug_assert!(k.get(slot).is_empty());
    let next = k.get(before).next();
    *k.get_mut(slot) = Slot::new(cap, Some(before), next, flags);
    k.get_mut(before).set_next(Some(slot));
    if let Some(next) = next {
        k.get_mut(next).set_prev(Some(slot));
    }
}

/// Puts a copy of, or something derived from, the capability in `source` into an empty slot. A copied untyped makes
/// its source full, so that the two never hand out the same memory.
#[inline]
pub fn insert(k: &mut Kernel<'_>, cap: impl Into<RawCap>, source: SlotRef, slot: SlotRef) {
    let cap = cap.into();
    let level = starts_level(cap, k.get(source).raw());
    insert_after(k, source, slot, cap, Flags::new(level, level));
    if cap.type_number() == t::UNTYPED {
        fill(k, source);
    }
}

/// Nothing is made any more from an untyped that has been copied.
#[cold]
fn fill(k: &mut Kernel<'_>, slot: SlotRef) {
    if let Cap::Untyped {
        base, bits, device, ..
    } = k.get(slot).cap()
    {
        k.get_mut(slot).set_cap(Cap::Untyped {
            base,
            bits,
            device,
            free: 1 << bits,
        });
    }
}

/// Puts a new object's capability into an empty slot, as a child of the untyped in `parent`.
#[inline]
pub fn insert_new(k: &mut Kernel<'_>, cap: impl Into<RawCap>, parent: SlotRef, slot: SlotRef) {
    insert_after(k, parent, slot, cap.into(), Flags::new(true, true));
}

/// Puts a capability that is derived from nothing into an empty slot: boot only.
pub fn insert_root(k: &mut Kernel<'_>, cap: Cap, slot: SlotRef) {
    *k.get_mut(slot) = Slot::new(cap.into(), None, None, Flags::new(true, true));
}

/// Moves a capability, which may change on the way, with its place in the tree.
pub fn move_to(k: &mut Kernel<'_>, cap: RawCap, source: SlotRef, slot: SlotRef) {
    debug_assert!(k.get(slot).is_empty());
    let from = k.get(source);
    *k.get_mut(slot) = Slot::new(cap, from.prev(), from.next(), from.flags());
    *k.get_mut(source) = Slot::EMPTY;
    relink(k, slot);
}

/// Makes the neighbours of a slot point at it.
fn relink(k: &mut Kernel<'_>, slot: SlotRef) {
    let (prev, next) = (k.get(slot).prev(), k.get(slot).next());
    if let Some(prev) = prev {
        k.get_mut(prev).set_next(Some(slot));
    }
    if let Some(next) = next {
        k.get_mut(next).set_prev(Some(slot));
    }
}

/// Exchanges two slots with their places in the tree; each capability may change on the way.
pub fn swap(k: &mut Kernel<'_>, cap_a: RawCap, a: SlotRef, cap_b: RawCap, b: SlotRef) {
    if a == b {
        return;
    }
    let place = |k: &Kernel<'_>, slot: SlotRef| {
        let slot = k.get(slot);
        (slot.prev(), slot.next(), slot.flags())
    };
    let (mut a_place, mut b_place) = (place(k, a), place(k, b));
    // Neighbours of each other: what pointed at one now points at the other.
    for (place, from, to) in [(&mut a_place, b, a), (&mut b_place, a, b)] {
        for link in [&mut place.0, &mut place.1] {
            if *link == Some(from) {
                *link = Some(to);
            }
        }
    }
    for (slot, cap, (prev, next, flags)) in [(a, cap_b, b_place), (b, cap_a, a_place)] {
        *k.get_mut(slot) = Slot::new(cap, prev, next, flags);
    }
    relink(k, a);
    relink(k, b);
}

/// Empties a slot and takes it out of the tree.
#[inline]
pub fn remove(k: &mut Kernel<'_>, slot: SlotRef) {
    let here = k.get(slot);
    let (prev, next) = (here.prev(), here.next());
    let first_badged = here.first_badged();
    *k.get_mut(slot) = Slot::EMPTY;
    if let Some(prev) = prev {
        k.get_mut(prev).set_next(next);
    }
    if let Some(next) = next {
        let next = k.get_mut(next);
        next.set_prev(prev);
        if first_badged {
            next.set_first_badged();
        }
    }
}

/// The first capability derived from this one, if there is one.
#[inline]
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
#[inline]
pub fn is_final(k: &Kernel<'_>, slot: SlotRef) -> bool {
    let here = k.get(slot);
    let cap = here.raw();
    let same =
        |other: Option<SlotRef>| other.is_some_and(|other| cap.is_same_object(k.get(other).raw()));
    !same(here.prev()) && !same(here.next())
}

/// Whether a slot can be emptied, and nothing else has to be done: others name the same object.
#[inline]
pub fn is_mere_copy(k: &Kernel<'_>, slot: SlotRef) -> bool {
    k.get(slot).raw().leaves_nothing() && !is_final(k, slot)
}
