//! The derivation tree, and memory: every capability stands where it was derived from, every object lies in memory that
//! was taken for it, and no two overlap.

use std::collections::HashMap;

use tern_kernel::access::Kernel;
use tern_kernel::cap::Cap;
use tern_kernel::cdt;
use tern_kernel::irq;
use tern_kernel::object::{SlotRef, TCB_SLOTS, TcbRef, TcbSlot};

/// Everything that has a slot.
fn slots(k: &Kernel<'_>, threads: &[TcbRef]) -> Vec<SlotRef> {
    let mut found = Vec::new();
    let mut tables = Vec::new();
    let mut seen = HashMap::new();
    let mut add_table = |tables: &mut Vec<(SlotRef, usize)>, cap: Cap| {
        let (base, count) = match cap {
            Cap::CNode { base, radix, .. } => (base, 1 << radix),
            Cap::Zombie { base, kind, .. } => (base, kind.slots()),
            _ => return,
        };
        if seen.insert(base.address(), count).is_none() {
            tables.push((base, count));
        }
    };
    for &tcb in threads {
        let slots = tcb.slot(TcbSlot::CSpace);
        found.extend((0..TCB_SLOTS).map(|index| slots.nth(index)));
        add_table(&mut tables, k.get(slots).cap());
    }
    found.extend(irq::slots(k));
    let mut next = 0;
    while next < tables.len() {
        let (base, count) = tables[next];
        next += 1;
        for index in 0..count {
            let slot = base.nth(index);
            if !k.get(slot).is_empty() {
                add_table(&mut tables, k.get(slot).cap());
            }
            found.push(slot);
        }
    }
    found.retain(|&slot| !k.get(slot).is_empty());
    found.sort_by_key(|slot| slot.address());
    found.dedup();
    found
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
