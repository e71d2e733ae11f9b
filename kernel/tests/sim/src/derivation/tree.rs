//! The derivation tree as the interface describes it: lists of capabilities in which a capability's descendants follow it,
//! and two marks that tell where they end. It shares no code with the kernel but the words for a capability.

use std::collections::BTreeMap;

use tern_kernel::arch::to_physical;
use tern_kernel::cap::{Cap, IrqLine, ZombieKind};
use tern_kernel::object::ObjRef;

/// The address of a slot.
pub(super) type Slot = usize;

/// What a slot holds, without where it is mapped: that is no matter of derivation.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Node {
    pub(super) cap: Cap,
    pub(super) prev: Option<Slot>,
    pub(super) next: Option<Slot>,
    /// Others may be derived from it.
    pub(super) revocable: bool,
    /// With it begins a level of equal badges.
    pub(super) first_badged: bool,
}

/// All slots that are not empty.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Tree(pub(super) BTreeMap<Slot, Node>);

pub(super) fn without_mapping(cap: Cap) -> Cap {
    match cap {
        Cap::Frame {
            base,
            size,
            rights,
            device,
            ..
        } => Cap::Frame {
            base,
            size,
            rights,
            device,
            mapping: None,
        },
        Cap::PageTable { table, .. } => Cap::PageTable {
            table,
            mapping: None,
        },
        Cap::VSpace { root, .. } => Cap::VSpace { root, asid: None },
        other => other,
    }
}

/// What a capability stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Thing {
    /// Memory: where it begins, and the logarithm of its size.
    Untyped(u64, u32),
    Frame(u64, u32, bool),
    Endpoint(u64),
    Notification(u64),
    Reply(u64),
    CNode(u64, u32),
    Thread(u64),
    Context(u64, u32),
    Table(u64),
    VSpace(u64),
    Pool(u64),
    Line(u32, u16),
    Sgi(u8, u16),
    IrqControl,
    AsidControl,
    SchedControl,
    Domain,
    Nothing,
}

/// A capability's object. A zombie stands for none: nothing is derived from it, and nobody shares it.
pub(super) fn thing(cap: Cap) -> Thing {
    fn at<T>(object: ObjRef<T>) -> u64 {
        to_physical(object.address()).0
    }
    match cap {
        Cap::Null | Cap::Zombie { .. } => Thing::Nothing,
        Cap::Untyped { base, bits, .. } => Thing::Untyped(base.0, bits.into()),
        Cap::Frame {
            base, size, device, ..
        } => Thing::Frame(base.0, size.bits(), device),
        Cap::Endpoint { endpoint, .. } => Thing::Endpoint(at(endpoint)),
        Cap::Notification { notification, .. } => Thing::Notification(at(notification)),
        Cap::Reply { reply, .. } => Thing::Reply(at(reply)),
        Cap::CNode { base, radix, .. } => Thing::CNode(at(base), radix.into()),
        Cap::Thread { tcb } => Thing::Thread(to_physical(tcb.object()).0),
        Cap::SchedContext { sc, bits } => Thing::Context(at(sc), bits.into()),
        Cap::PageTable { table, .. } => Thing::Table(at(table)),
        Cap::VSpace { root, .. } => Thing::VSpace(at(root)),
        Cap::AsidPool { pool, .. } => Thing::Pool(at(pool)),
        Cap::IrqHandler {
            line: IrqLine { intid, core },
        } => Thing::Line(intid, core.0),
        Cap::SgiSignal { sgi, target } => Thing::Sgi(sgi, target.0),
        Cap::IrqControl => Thing::IrqControl,
        Cap::AsidControl => Thing::AsidControl,
        Cap::SchedControl { .. } => Thing::SchedControl,
        Cap::Domain => Thing::Domain,
    }
}

impl Thing {
    /// Where it lies in memory, and the logarithm of its size.
    pub(super) fn memory(self) -> Option<(u64, u32)> {
        Some(match self {
            Self::Untyped(base, bits) | Self::Frame(base, bits, _) => (base, bits),
            Self::Endpoint(base) => (base, 4),
            Self::Reply(base) => (base, 5),
            Self::Notification(base) => (base, 6),
            Self::Thread(base) => (base, 11),
            Self::Context(base, bits) => (base, bits),
            Self::CNode(base, radix) => (base, radix + 5),
            Self::Table(base) | Self::VSpace(base) | Self::Pool(base) => (base, 12),
            Self::Line(..)
            | Self::Sgi(..)
            | Self::IrqControl
            | Self::AsidControl
            | Self::SchedControl
            | Self::Domain
            | Self::Nothing => return None,
        })
    }

    fn covers(self, other: Self) -> bool {
        let (Some((a, m)), Some((b, n))) = (self.memory(), other.memory()) else {
            return false;
        };
        a <= b && b + (1 << n) <= a + (1 << m)
    }
}

/// Where a zombie's object lies: it is still there.
pub(super) fn zombie_memory(cap: Cap) -> Option<(u64, u32)> {
    let Cap::Zombie { base, kind, .. } = cap else {
        return None;
    };
    let bits = match kind {
        ZombieKind::Tcb => 11,
        ZombieKind::CNode { radix } => u32::from(radix) + 5,
        ZombieKind::Endpoint => 4,
        ZombieKind::Notification => 6,
    };
    Some((to_physical(base.address()).0, bits))
}

/// Whether what `b` stands for may have come from `a`.
fn same_region(a: Cap, b: Cap) -> bool {
    let (x, y) = (thing(a), thing(b));
    match (x, y) {
        (Thing::Nothing, _) | (_, Thing::Nothing) => memory_of_zombie_in(x, b),
        (Thing::Untyped(..), _) | (Thing::Frame(..), Thing::Frame(..)) => x.covers(y),
        (Thing::IrqControl, y) => {
            matches!(y, Thing::IrqControl | Thing::Line(..) | Thing::Sgi(..))
        }
        _ => x == y,
    }
}

/// An untyped is still the parent of an object that is being deleted.
fn memory_of_zombie_in(x: Thing, zombie: Cap) -> bool {
    match (x, zombie_memory(zombie)) {
        (Thing::Untyped(a, m), Some((b, n))) => a <= b && b + (1 << n) <= a + (1 << m),
        _ => false,
    }
}

fn badge(cap: Cap) -> Option<u64> {
    match cap {
        Cap::Endpoint { badge, .. } | Cap::Notification { badge, .. } => Some(badge),
        _ => None,
    }
}

/// Whether a capability begins a level of its own when it is made from another.
fn begins_level(new: Cap, source: Cap) -> bool {
    match (thing(new), thing(source)) {
        (Thing::Untyped(..), _) => true,
        (Thing::Line(..) | Thing::Sgi(..), from) => from == Thing::IrqControl,
        _ => badge(new) != badge(source) && badge(new).is_some(),
    }
}

impl Tree {
    pub(super) fn cap(&self, slot: Slot) -> Cap {
        self.0.get(&slot).map_or(Cap::Null, |node| node.cap)
    }

    pub(super) fn set_cap(&mut self, slot: Slot, cap: Cap) {
        if let Some(node) = self.0.get_mut(&slot) {
            node.cap = cap;
        }
    }

    fn link(&mut self, first: Option<Slot>, second: Option<Slot>) {
        if let Some(node) = first.and_then(|slot| self.0.get_mut(&slot)) {
            node.next = second;
        }
        if let Some(node) = second.and_then(|slot| self.0.get_mut(&slot)) {
            node.prev = first;
        }
    }

    fn put(&mut self, slot: Slot, cap: Cap, source: Slot, level: bool) {
        let next = self.0[&source].next;
        let node = Node {
            cap,
            prev: Some(source),
            next,
            revocable: level,
            first_badged: level,
        };
        self.0.insert(slot, node);
        self.link(Some(source), Some(slot));
        self.link(Some(slot), next);
    }

    /// A new object.
    pub(super) fn make(&mut self, slot: Slot, cap: Cap, untyped: Slot) {
        self.put(slot, cap, untyped, true);
    }

    /// A copy of `source`, or what is made from it.
    pub(super) fn copy(&mut self, slot: Slot, cap: Cap, source: Slot) {
        let from = self.cap(source);
        self.put(slot, cap, source, begins_level(cap, from));
        if let Cap::Untyped {
            base, bits, device, ..
        } = from
        {
            let free = 1 << bits;
            let full = Cap::Untyped {
                base,
                bits,
                device,
                free,
            };
            self.set_cap(source, full);
        }
    }

    /// What is in one slot is now in another, in the same place of the tree.
    pub(super) fn rename(&mut self, from: Slot, to: Slot) {
        let Some(node) = self.0.remove(&from) else {
            return;
        };
        self.0.insert(to, node);
        self.link(node.prev, Some(to));
        self.link(Some(to), node.next);
    }

    /// Both slots have something, or one of them.
    pub(super) fn swap(&mut self, a: Slot, b: Slot) {
        const BESIDE: Slot = 1;
        self.rename(a, BESIDE);
        self.rename(b, a);
        self.rename(BESIDE, b);
    }

    pub(super) fn remove(&mut self, slot: Slot) {
        let Some(node) = self.0.remove(&slot) else {
            return;
        };
        self.link(node.prev, node.next);
        if let Some(next) = node.next.and_then(|next| self.0.get_mut(&next)) {
            next.first_badged |= node.first_badged;
        }
    }

    fn is_parent(&self, a: Slot, b: Slot) -> bool {
        let (a, b) = (self.0[&a], self.0[&b]);
        if !a.revocable || !same_region(a.cap, b.cap) {
            return false;
        }
        match (badge(a.cap), badge(b.cap)) {
            (Some(x), Some(y)) if thing(a.cap) == thing(b.cap) => {
                x == 0 || (x == y && !b.first_badged)
            }
            _ => !matches!(thing(a.cap), Thing::Sgi(..)) || !b.first_badged,
        }
    }

    /// The next capability that is derived from this one.
    pub(super) fn child(&self, slot: Slot) -> Option<Slot> {
        let next = self.0.get(&slot)?.next?;
        self.is_parent(slot, next).then_some(next)
    }

    /// Whether it is the last to its object. Only neighbours can be others.
    pub(super) fn is_final(&self, slot: Slot) -> bool {
        let node = self.0[&slot];
        let own = thing(node.cap);
        let alone = matches!(own, Thing::Untyped(..) | Thing::IrqControl | Thing::Nothing);
        let near = [node.prev, node.next];
        alone
            || near
                .iter()
                .flatten()
                .all(|&other| thing(self.cap(other)) != own)
    }
}
