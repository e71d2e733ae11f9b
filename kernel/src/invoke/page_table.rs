//! Translation tables: map, unmap.

use sel4_abi::{Invocation, USER_TOP};

use super::{Args, Outcome, Results, irq::invocation};
use crate::{
    access::Kernel,
    cap::{Cap, Mapping},
    cdt,
    fault::SysError,
    object::TableRef,
    vspace,
};

pub fn invoke(k: &mut Kernel<'_>, args: &Args, cap: Cap) -> Outcome {
    let Cap::PageTable { table, mapping } = cap else {
        unreachable!("dispatched by capability type");
    };
    match invocation(args.label) {
        Some(Invocation::PageTableMap) => map(k, args, table, mapping)?,
        Some(Invocation::PageTableUnmap) => unmap(k, args, table, mapping)?,
        _ => return Err(SysError::IllegalOperation.into()),
    }
    Ok(Results::none())
}

/// The table goes to the first level that has none yet on the way to the address.
fn map(
    k: &mut Kernel<'_>,
    args: &Args,
    table: TableRef,
    mapping: Option<Mapping>,
) -> Result<(), SysError> {
    args.require(2, 1)?;
    if mapping.is_some() {
        return Err(SysError::InvalidCapability(0));
    }
    let vaddr = args.word(k, 0);
    let Cap::VSpace {
        root,
        asid: Some(asid),
    } = args.extra_cap(k, 0)
    else {
        return Err(SysError::InvalidCapability(1));
    };
    if vaddr > USER_TOP {
        return Err(SysError::InvalidArgument(0));
    }
    vspace::check_root(k, root, asid, 1)?;
    let place = vspace::table_place(k, root, vaddr)?;
    // Everything has been checked.
    let vaddr = place.level.round_down(vaddr);
    k.get_mut(args.slot)
        .raw_mut()
        .set_mapping(Some(Mapping { asid, vaddr }));
    vspace::set_table(k, place, table);
    Ok(())
}

fn unmap(
    k: &mut Kernel<'_>,
    args: &Args,
    table: TableRef,
    mapping: Option<Mapping>,
) -> Result<(), SysError> {
    if !cdt::is_final(k, args.slot) {
        return Err(SysError::RevokeFirst);
    }
    if let Some(mapping) = mapping {
        vspace::unmap_table(k, table, mapping);
        vspace::clear_table(k, table);
        k.get_mut(args.slot).raw_mut().set_mapping(None);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cap::Asid,
        fault::LookupFailure,
        object::SlotRef,
        vspace::{bench::Bench, entry::Entry, walk},
    };

    const MAP: u64 = Invocation::PageTableMap.label();
    const UNMAP: u64 = Invocation::PageTableUnmap.label();
    const VADDR: u64 = 0x40_1234_5678;

    fn new_table(bench: &mut Bench) -> SlotRef {
        let table = bench.table();
        bench.slot(Cap::PageTable {
            table,
            mapping: None,
        })
    }

    fn table_of(bench: &Bench, slot: SlotRef) -> (TableRef, Option<Mapping>) {
        let Cap::PageTable { table, mapping } = bench.cap(slot) else {
            panic!("not a table")
        };
        (table, mapping)
    }

    #[test]
    fn map_checks_in_order() {
        let mut b = Bench::new();
        let vs = b.vspace(1);
        let Cap::VSpace { root, .. } = b.cap(vs) else {
            panic!("not a VSpace")
        };
        let slot = new_table(&mut b);
        let null = b.slot(Cap::Null);
        let map = |b: &mut Bench, words: &[u64], extra: &[SlotRef]| {
            b.call(invoke, slot, MAP, words, extra)
        };
        assert_eq!(map(&mut b, &[0], &[vs]), Err(SysError::TruncatedMessage));
        assert_eq!(map(&mut b, &[0, 0], &[]), Err(SysError::TruncatedMessage));
        let above = USER_TOP + 1;
        assert_eq!(
            map(&mut b, &[above, 0], &[null]),
            Err(SysError::InvalidCapability(1))
        );
        let gone = b.slot(Cap::VSpace {
            root,
            asid: Asid::new(77),
        });
        assert_eq!(
            map(&mut b, &[above, 0], &[gone]),
            Err(SysError::InvalidArgument(0))
        );
        let failure = LookupFailure::InvalidRoot;
        let lookup = SysError::FailedLookup {
            source: false,
            failure,
        };
        assert_eq!(map(&mut b, &[USER_TOP, 0], &[gone]), Err(lookup));
        let other = b.table();
        let impostor = b.slot(Cap::VSpace {
            root: other,
            asid: Asid::new(1),
        });
        assert_eq!(
            map(&mut b, &[0, 0], &[impostor]),
            Err(SysError::InvalidCapability(1))
        );
        assert_eq!(map(&mut b, &[VADDR, 0], &[vs]), Ok([].to_vec()));
        assert_eq!(
            map(&mut b, &[VADDR, 0], &[null]),
            Err(SysError::InvalidCapability(0))
        );
        assert_eq!(
            b.call(invoke, slot, 46, &[], &[]),
            Err(SysError::IllegalOperation)
        );
    }

    #[test]
    fn tables_at_one_address_stack_up_until_a_page_fits() {
        let mut b = Bench::new();
        let vs = b.vspace(1);
        for bits in [39, 30, 21] {
            let slot = new_table(&mut b);
            assert_eq!(
                b.call(invoke, slot, MAP, &[VADDR, !0], &[vs]),
                Ok([].to_vec())
            );
            let expected = (1, VADDR & !((1 << bits) - 1));
            let mapping = table_of(&b, slot).1.map(|m| (m.asid.number(), m.vaddr));
            assert_eq!(mapping, Some(expected));
        }
        let slot = new_table(&mut b);
        assert_eq!(
            b.call(invoke, slot, MAP, &[VADDR, 0], &[vs]),
            Err(SysError::DeleteFirst)
        );
    }

    #[test]
    fn a_page_in_the_way_must_go_first() {
        use crate::cap::PageSize;
        let mut b = Bench::new();
        let vs = b.vspace(1);
        let slot = new_table(&mut b);
        b.call(invoke, slot, MAP, &[VADDR, 0], &[vs])
            .expect("mapped");
        let frame = b.frame(0x8000_0000, PageSize::Huge);
        let map = Invocation::PageMap.label();
        b.call(
            |k, args, cap| crate::invoke::page::invoke(k, args, cap.into()),
            frame,
            map,
            &[1 << 38, 3, 3],
            &[vs],
        )
        .expect("mapped");
        let slot = new_table(&mut b);
        let at = (1 << 38) | 0x5000;
        assert_eq!(
            b.call(invoke, slot, MAP, &[at, 0], &[vs]),
            Err(SysError::DeleteFirst)
        );
    }

    #[test]
    fn unmap_empties_the_table_and_leaves_lower_ones_stale() {
        let mut b = Bench::new();
        let vs = b.vspace(1);
        let Cap::VSpace { root, .. } = b.cap(vs) else {
            panic!("not a VSpace")
        };
        let slots = [(); 3].map(|()| {
            let slot = new_table(&mut b);
            b.call(invoke, slot, MAP, &[VADDR, 0], &[vs])
                .expect("mapped");
            slot
        });
        assert_eq!(b.call(invoke, slots[1], UNMAP, &[], &[]), Ok([].to_vec()));
        let (table, mapping) = table_of(&b, slots[1]);
        assert_eq!(mapping, None);
        assert!(
            b.k.get(table)
                .0
                .iter()
                .all(|&entry| entry == Entry::NOTHING.0)
        );
        assert_eq!(walk(&b.k, root, VADDR).level.entry_bits(), 30);
        // The lowest table still says 'mapped'. It can be unmapped and mapped again.
        assert_eq!(
            b.call(invoke, slots[2], MAP, &[VADDR, 0], &[vs]),
            Err(SysError::InvalidCapability(0))
        );
        for _ in 0..2 {
            assert_eq!(b.call(invoke, slots[2], UNMAP, &[], &[]), Ok([].to_vec()));
        }
        assert_eq!(
            b.call(invoke, slots[2], MAP, &[VADDR, 0], &[vs]),
            Ok([].to_vec())
        );
        assert_eq!(walk(&b.k, root, VADDR).level.entry_bits(), 21);
    }

    #[test]
    fn a_copied_table_is_not_unmapped() {
        let mut b = Bench::new();
        let vs = b.vspace(1);
        let slot = new_table(&mut b);
        b.call(invoke, slot, MAP, &[VADDR, 0], &[vs])
            .expect("mapped");
        let copy = b.slot(Cap::Null);
        let cap = b.cap(slot);
        cdt::insert(&mut b.k, cap, slot, copy);
        assert_eq!(
            b.call(invoke, slot, UNMAP, &[], &[]),
            Err(SysError::RevokeFirst)
        );
        assert_eq!(
            b.call(invoke, copy, UNMAP, &[], &[]),
            Err(SysError::RevokeFirst)
        );
        cdt::remove(&mut b.k, slot);
        assert_eq!(b.call(invoke, copy, UNMAP, &[], &[]), Ok([].to_vec()));
    }
}
