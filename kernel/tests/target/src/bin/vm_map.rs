//! Mapping pages and page tables: every refusal in the order of the checks, the tables that are missing, silent
//! replacement, and unmapping.

#![no_std]
#![no_main]

use libsel4::abi::{Invocation, USER_TOP};
use libsel4::{
    BootInfo, Cap, CapRights, LargePage, Null, PageTable, SmallPage, System, VSpace, VmAttributes,
    init, root_task,
};
use tern_target_tests::objects::{Answer, Window, answer, invoke, invoke_label, object};
use tern_target_tests::rows::{row, rows};

root_task!(main);

const RW: u64 = 3;

fn map(page: u64, vspace: u64, vaddr: u64) -> Answer {
    invoke(page, Invocation::PageMap, &[vspace], &[vaddr, RW, 3])
}

fn map_table(table: u64, vspace: u64, vaddr: u64) -> Answer {
    invoke(table, Invocation::PageTableMap, &[vspace], &[vaddr, 0])
}

fn unmap_table(table: u64) -> Answer {
    invoke(table, Invocation::PageTableUnmap, &[], &[])
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    pages(&mut system);
    tables(&mut system);
    levels(&mut system);
    replacement(&mut system);
    stale_tables(&mut system);
}

fn pages(system: &mut System) {
    let page = object::<SmallPage>(system).bits();
    let large = object::<LargePage>(system).bits();
    let vspace = system.vspace().expect("an address space").bits();
    let unassigned = object::<VSpace>(system).bits();
    let own = init::VSPACE.bits();
    row("page.label");
    for label in [0, 1, 39, 44, 53, 1000] {
        let seen = invoke_label(page, label, &[own], &[0; 6]);
        assert_eq!(seen, answer::illegal_operation(), "label {label}");
    }
    rows(&["page.map.truncated", "page.map.order"]);
    assert_eq!(
        invoke(page, Invocation::PageMap, &[0], &[1, RW]),
        answer::truncated()
    );
    assert_eq!(
        invoke(page, Invocation::PageMap, &[], &[1, RW, 3]),
        answer::truncated()
    );
    rows(&["page.map.no-vspace", "page.map.order"]);
    for bad in [0, unassigned, page, init::CNODE.bits()] {
        assert_eq!(map(page, bad, 1), answer::invalid_capability(1), "{bad}");
    }
    rows(&["page.map.alignment", "page.map.order"]);
    for vaddr in [1, 0x800, 0x1008, u64::MAX] {
        assert_eq!(map(page, vspace, vaddr), answer::alignment(), "{vaddr:#x}");
    }
    assert_eq!(map(large, vspace, 0x1000), answer::alignment());
    assert_eq!(map(large, vspace, 0x10_0000), answer::alignment());
    rows(&["page.map.user-top", "page.map.order"]);
    for vaddr in [
        USER_TOP + 1,
        1 << 48,
        0xffff_ffff_c000_0000,
        u64::MAX - 0x1f_ffff,
    ] {
        assert_eq!(
            map(page, vspace, vaddr),
            answer::invalid_argument(0),
            "{vaddr:#x}"
        );
        assert_eq!(
            map(large, vspace, vaddr),
            answer::invalid_argument(0),
            "{vaddr:#x}"
        );
    }
    // The last page is fine, were there tables.
    assert_eq!(
        map(page, vspace, USER_TOP - 0xfff),
        answer::missing(false, 39)
    );
    assert_eq!(
        map(large, vspace, USER_TOP - 0x1f_ffff),
        answer::missing(false, 39)
    );

    // Mapped: it can be mapped again only there.
    rows(&[
        "page.map.other-space",
        "page.map.other-address",
        "page.map.order",
    ]);
    let window = Window::map(system, Cap::<SmallPage>::from_bits(page));
    let vaddr = window.start() as u64;
    assert_eq!(map(page, vspace, vaddr), answer::invalid_capability(1));
    assert_eq!(map(page, vspace, vaddr + 1), answer::alignment());
    assert_eq!(map(page, own, vaddr + 0x1000), answer::invalid_argument(0));
    assert_eq!(map(page, own, 1 << 48), answer::invalid_argument(0));
    row("page.map.again");
    assert_eq!(map(page, own, vaddr), answer::ok());
    window.write(0, 5);
    rows(&["page.unmap.clears", "page.unmap.never-fails"]);
    let unmap = || invoke(page, Invocation::PageUnmap, &[], &[]);
    assert_eq!(unmap(), answer::ok());
    assert_eq!(unmap(), answer::ok(), "it is not mapped");
    let words = invoke(page, Invocation::PageUnmap, &[own, 0], &[1, 2, 3, 4, 5]);
    assert_eq!(words, answer::ok(), "words and capabilities do not matter");
    let second = system.addresses(4096, 4096).expect("addresses").start as u64;
    assert_eq!(map(page, own, second), answer::ok());
    assert_eq!(window_at(second), 5);
}

fn window_at(vaddr: u64) -> u64 {
    // SAFETY: the caller mapped a page there.
    unsafe { (vaddr as *const u64).read_volatile() }
}

fn tables(system: &mut System) {
    let table = object::<PageTable>(system).bits();
    let unassigned = object::<VSpace>(system).bits();
    let vspace = system.vspace().expect("an address space").bits();
    row("page-table.label");
    for label in [0, 1, 39, 46, 53] {
        let seen = invoke_label(table, label, &[vspace], &[0; 6]);
        assert_eq!(seen, answer::illegal_operation(), "label {label}");
    }
    rows(&["page-table.map.truncated", "page-table.map.order"]);
    assert_eq!(
        invoke(table, Invocation::PageTableMap, &[0], &[u64::MAX]),
        answer::truncated()
    );
    assert_eq!(
        invoke(table, Invocation::PageTableMap, &[], &[u64::MAX, 0]),
        answer::truncated()
    );
    rows(&["page-table.map.no-vspace", "page-table.map.order"]);
    for bad in [0, unassigned, table] {
        assert_eq!(
            map_table(table, bad, u64::MAX),
            answer::invalid_capability(1)
        );
    }
    row("page-table.map.user-top");
    for vaddr in [USER_TOP + 1, u64::MAX] {
        assert_eq!(map_table(table, vspace, vaddr), answer::invalid_argument(0));
    }
    row("page-table.unmap.unmapped");
    assert_eq!(unmap_table(table), answer::ok(), "it is not mapped");
    row("page-table.map.rounds-down");
    assert_eq!(
        map_table(table, vspace, 0x123_4567),
        answer::ok(),
        "rounded down"
    );
    rows(&["page-table.map.mapped", "page-table.map.order"]);
    assert_eq!(
        map_table(table, unassigned, u64::MAX),
        answer::invalid_capability(0)
    );
    let copy = system
        .copy(Cap::<Null>::from_bits(table), CapRights::all())
        .expect("a copy");
    row("page-table.unmap.copies");
    assert_eq!(unmap_table(table), answer::revoke_first());
    assert_eq!(unmap_table(copy.bits()), answer::revoke_first());
    copy.slot().delete().expect("to delete");
    assert_eq!(unmap_table(table), answer::ok());
    assert_eq!(map_table(table, vspace, USER_TOP), answer::ok());
}

/// Tables fill in one level after the other; what is missing is told by its size.
fn levels(system: &mut System) {
    let vspace = system.vspace().expect("an address space").bits();
    let page = object::<SmallPage>(system).bits();
    let large = object::<LargePage>(system).bits();
    let tables: [u64; 5] = core::array::from_fn(|_| object::<PageTable>(system).bits());
    let (vaddr, aligned) = (0x12_3456_7000, 0x12_3440_0000);
    rows(&[
        "page.map.missing-table",
        "page-table.map.fills",
        "vspace.layout.levels",
    ]);
    assert_eq!(map(page, vspace, vaddr), answer::missing(false, 39));
    assert_eq!(map_table(tables[0], vspace, vaddr), answer::ok());
    assert_eq!(map(page, vspace, vaddr), answer::missing(false, 30));
    assert_eq!(map(large, vspace, aligned), answer::missing(false, 30));
    assert_eq!(map_table(tables[1], vspace, vaddr), answer::ok());
    assert_eq!(map(page, vspace, vaddr), answer::missing(false, 21));
    // A large page where the last table would be: then no table can go there.
    row("page-table.map.page-there");
    assert_eq!(map(large, vspace, aligned), answer::ok());
    assert_eq!(map(page, vspace, vaddr), answer::missing(false, 21));
    assert_eq!(map_table(tables[2], vspace, vaddr), answer::delete_first());
    assert_eq!(invoke(large, Invocation::PageUnmap, &[], &[]), answer::ok());
    assert_eq!(map_table(tables[2], vspace, vaddr), answer::ok());
    row("page.map.finer-table");
    assert_eq!(
        map(large, vspace, aligned),
        answer::missing(false, 12),
        "a finer table is there"
    );
    rows(&["page-table.map.complete", "page-table.map.fills"]);
    assert_eq!(map_table(tables[3], vspace, vaddr), answer::delete_first());
    assert_eq!(map(page, vspace, vaddr), answer::ok());
    assert_eq!(map_table(tables[3], vspace, vaddr), answer::delete_first());
    // The neighbour at each level.
    assert_eq!(
        map_table(tables[3], vspace, vaddr + (1 << 21)),
        answer::ok()
    );
    assert_eq!(
        map_table(tables[4], vspace, vaddr + (1 << 30)),
        answer::ok()
    );
    // Taken out from above, and put back: what was below it is gone.
    row("page-table.unmap.removes");
    assert_eq!(unmap_table(tables[1]), answer::ok());
    let other = object::<SmallPage>(system).bits();
    assert_eq!(map(other, vspace, vaddr), answer::missing(false, 30));
    assert_eq!(map_table(tables[1], vspace, vaddr), answer::ok());
    assert_eq!(
        map(other, vspace, vaddr),
        answer::missing(false, 21),
        "it is empty"
    );
    // The page's own information is stale, which unmapping does not mind.
    rows(&["page.unmap.stale", "page.cache.stale"]);
    let clean = invoke(page, Invocation::PageCleanData, &[], &[0, 8]);
    assert_eq!(clean, answer::invalid_capability(0));
    assert_eq!(invoke(page, Invocation::PageUnmap, &[], &[]), answer::ok());
    // The deletion of the last capability unmaps as well.
    row("page-table.delete");
    Cap::<PageTable>::from_bits(tables[0])
        .slot()
        .delete()
        .expect("to delete");
    assert_eq!(map(other, vspace, vaddr), answer::missing(false, 39));
}

/// Another page at the same address takes the place without a word.
fn replacement(system: &mut System) {
    row("page.map.replaces");
    let [one, two] = [0; 2].map(|_| object::<SmallPage>(system));
    let window = Window::map(system, one);
    let vaddr = window.start() as u64;
    window.fill(1);
    assert_eq!(map(two.bits(), init::VSPACE.bits(), vaddr), answer::ok());
    assert!(window.is_all(0), "the second one");
    window.fill(2);
    // Unmapping the first one does not take the second one away.
    row("page.unmap.stale");
    one.unmap().expect("to unmap");
    assert!(window.is_all(2));
    assert_eq!(map(one.bits(), init::VSPACE.bits(), vaddr), answer::ok());
    assert!(window.is_all(1));
    // Nor does deleting it.
    rows(&["page.unmap.stale", "page.delete"]);
    two.slot().delete().expect("to delete");
    assert!(window.is_all(1));
    // Large pages: all of it is there, and within 2 MiB every word has its place.
    row("page.map.large");
    let large = object::<LargePage>(system);
    let window = Window::map(system, large);
    for offset in (0..1 << 21).step_by(4096) {
        window.write(offset, offset as u64);
    }
    for offset in (0..1 << 21).step_by(4096) {
        assert_eq!(window.read(offset), offset as u64);
    }
    let start = window.start() as u64;
    assert_eq!(
        large.map(
            init::VSPACE,
            start,
            CapRights::READ,
            VmAttributes::default()
        ),
        Ok(())
    );
    assert_eq!(window.read(4096), 4096);
}

/// An address space that is gone.
fn stale_tables(system: &mut System) {
    row("vspace.delete");
    let vspace = object::<VSpace>(system);
    init::ASID_POOL.assign(vspace).expect("an identifier");
    let copy = system.copy(vspace, CapRights::all()).expect("a copy");
    let tables: [Cap<PageTable>; 3] = core::array::from_fn(|_| object(system));
    for table in tables {
        table
            .map(vspace, 0, VmAttributes::default())
            .expect("to map");
    }
    let page = object::<SmallPage>(system);
    assert_eq!(map(page.bits(), copy.bits(), 0x1000), answer::ok());
    vspace.slot().delete().expect("to delete");
    assert_eq!(page.clean_data(0, 8), Ok(()), "the copy keeps it");
    copy.slot().delete().expect("to delete");
    rows(&["page.cache.asid-gone", "page.cache.order"]);
    for words in [[0, 8], [0, 0], [0, 1 << 13]] {
        let clean = invoke(page.bits(), Invocation::PageCleanData, &[], &words);
        assert_eq!(clean, answer::invalid_root(false));
    }
    rows(&["page.unmap.stale", "page-table.unmap.unmapped"]);
    page.unmap().expect("to unmap");
    for table in tables {
        table.unmap().expect("to unmap");
        table
            .map(init::VSPACE, 0x5000_0000_0000, VmAttributes::default())
            .expect("to map");
    }
}
