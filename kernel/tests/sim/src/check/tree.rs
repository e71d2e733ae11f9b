//! The derivation tree, and memory: every capability stands where it was derived from, every object lies in memory that
//! was taken for it, and no two overlap.

use tern_kernel::access::Kernel;
use tern_kernel::cap::Cap;
use tern_kernel::cdt;
use tern_kernel::irq;
use tern_kernel::object::{SlotRef, TCB_SLOTS, TcbRef, TcbSlot};

/// Every slot that has something. An object that keeps itself (a CNode in its own first slot) is found by its neighbours
/// in the tree.
pub(crate) fn slots(k: &Kernel<'_>, threads: &[TcbRef]) -> Vec<SlotRef> {
    let mut found = Found {
        slots: Vec::with_capacity(512),
        tables: Vec::new(),
    };
    for &tcb in threads {
        found.table(k, tcb.slot(TcbSlot::CSpace), TCB_SLOTS);
    }
    for slot in irq::slots(k) {
        found.slot(k, slot);
    }
    loop {
        found.slots.sort_unstable_by_key(|slot| slot.address());
        found.slots.dedup();
        let known = |slot: SlotRef| {
            let place = found
                .slots
                .binary_search_by_key(&slot.address(), |slot| slot.address());
            place.is_ok()
        };
        let near = found
            .slots
            .iter()
            .flat_map(|&slot| [k.get(slot).prev(), k.get(slot).next()]);
        let unknown: Vec<SlotRef> = near.flatten().filter(|&slot| !known(slot)).collect();
        if unknown.is_empty() {
            return found.slots;
        }
        for slot in unknown {
            found.slot(k, slot);
        }
    }
}

struct Found {
    slots: Vec<SlotRef>,
    tables: Vec<SlotRef>,
}

impl Found {
    fn slot(&mut self, k: &Kernel<'_>, slot: SlotRef) {
        if k.get(slot).is_empty() {
            return;
        }
        self.slots.push(slot);
        match k.get(slot).cap() {
            Cap::CNode { base, radix, .. } => self.table(k, base, 1 << radix),
            Cap::Zombie { base, kind, .. } => self.table(k, base, kind.slots()),
            _ => {}
        }
    }

    fn table(&mut self, k: &Kernel<'_>, base: SlotRef, count: usize) {
        if self.tables.contains(&base) {
            return;
        }
        self.tables.push(base);
        for index in 0..count {
            self.slot(k, base.nth(index));
        }
    }
}

pub(crate) fn check(k: &Kernel<'_>, threads: &[TcbRef]) {
    let slots = slots(k, threads);
    for &slot in &slots {
        let this = k.get(slot);
        if let Some(next) = this.next() {
            assert_eq!(k.get(next).prev(), Some(slot), "the tree's link back");
            assert!(!k.get(next).is_empty(), "an empty slot is in the tree");
        }
        if let Some(prev) = this.prev() {
            assert_eq!(k.get(prev).next(), Some(slot), "the tree's link on");
            assert!(!k.get(prev).is_empty(), "an empty slot is in the tree");
        }
    }
    memory(k, &slots);
}

/// Objects that lie inside an untyped stand behind it in the tree, below its mark, and do not overlap.
fn memory(k: &Kernel<'_>, slots: &[SlotRef]) {
    let mut objects: Vec<(u64, u64, SlotRef)> = Vec::new();
    let mut untypeds: Vec<(u64, u64, u64)> = Vec::new();
    for &slot in slots {
        let cap = k.get(slot).cap();
        let Some((base, bits)) = cdt::region(cap) else {
            continue;
        };
        let end = base.0 + (1 << bits);
        match cap {
            Cap::Untyped { free, .. } => untypeds.push((base.0, end, base.0 + free)),
            _ => objects.push((base.0, end, slot)),
        }
    }
    objects.sort_by_key(|&(start, end, _)| (start, end));
    for pair in objects.windows(2) {
        let (a, b) = (pair[0], pair[1]);
        let same = (a.0, a.1) == (b.0, b.1);
        assert!(same || a.1 <= b.0, "objects overlap: {a:x?} and {b:x?}");
        if same {
            let (x, y) = (k.get(a.2).cap(), k.get(b.2).cap());
            assert!(
                kind(x) == kind(y),
                "two kinds of object in one place: {x:?} and {y:?}"
            );
        }
    }
    for (start, end, free) in untypeds {
        for &(from, to, slot) in &objects {
            let apart = to <= start || end <= from;
            assert!(
                apart || (start <= from && to <= free),
                "{:?} lies in free memory of an untyped at {start:#x}",
                k.get(slot).cap()
            );
        }
    }
}

/// A zombie is what it was.
fn kind(cap: Cap) -> std::mem::Discriminant<Cap> {
    std::mem::discriminant(&cap)
}
