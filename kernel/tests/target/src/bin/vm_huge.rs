//! Pages of 1 GiB, and pages at the ends of what there is: the last of the address space, and devices far away.
//!
//! memory: 3G

#![no_std]
#![no_main]

use libsel4::abi::{Invocation, USER_TOP};
use libsel4::{
    BootInfo, Cap, CapRights, HugePage, LargePage, ObjectType, PageTable, SmallPage, System, init,
    root_task,
};
use tern_target_tests::objects::{Answer, Window, answer, invoke, object};
use tern_target_tests::rows::{row, rows};

root_task!(main);

const GIB: u64 = 1 << 30;
const RW: u64 = 3;

fn map(page: u64, vspace: u64, vaddr: u64) -> Answer {
    invoke(page, Invocation::PageMap, &[vspace], &[vaddr, RW, 7])
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let huge = object::<HugePage>(&mut system);
    places(&mut system, huge);
    memory(&mut system, huge);
    last_page(&mut system);
    devices(&mut system, boot);
}

fn places(system: &mut System, huge: Cap<HugePage>) {
    let vspace = system.vspace().expect("an address space").bits();
    let vaddr = 5 * GIB;
    row("page.map.alignment");
    assert_eq!(
        map(huge.bits(), vspace, vaddr + (1 << 29)),
        answer::alignment()
    );
    row("page.map.user-top");
    assert_eq!(
        map(huge.bits(), vspace, USER_TOP + 1),
        answer::invalid_argument(0)
    );
    rows(&["page.map.missing-table", "vspace.layout.levels"]);
    assert_eq!(
        map(huge.bits(), vspace, USER_TOP + 1 - GIB),
        answer::missing(false, 39)
    );
    assert_eq!(map(huge.bits(), vspace, vaddr), answer::missing(false, 39));
    let tables: [u64; 4] = core::array::from_fn(|_| object::<PageTable>(system).bits());
    let table = |index: usize| {
        invoke(
            tables[index],
            Invocation::PageTableMap,
            &[vspace],
            &[vaddr + 77, 0],
        )
    };
    assert_eq!(table(0), answer::ok());
    row("page.map.huge");
    assert_eq!(map(huge.bits(), vspace, vaddr), answer::ok());
    row("page-table.map.page-there");
    assert_eq!(table(1), answer::delete_first());
    huge.unmap().expect("unmapped");
    assert_eq!(table(1), answer::ok());
    row("page.map.finer-table");
    assert_eq!(map(huge.bits(), vspace, vaddr), answer::missing(false, 21));
    let large = object::<LargePage>(system).bits();
    assert_eq!(map(large, vspace, vaddr), answer::ok());
    assert_eq!(table(2), answer::delete_first());
    assert_eq!(map(huge.bits(), vspace, vaddr), answer::missing(false, 21));
    invoke(large, Invocation::PageUnmap, &[], &[]);
    assert_eq!(table(2), answer::ok());
    assert_eq!(map(huge.bits(), vspace, vaddr), answer::missing(false, 12));
    assert_eq!(table(3), answer::delete_first());
}

/// Every part of a huge page has its place.
fn memory(system: &mut System, huge: Cap<HugePage>) {
    rows(&["page.map.huge", "page.address"]);
    assert_eq!(huge.get_address().map(|address| address % GIB), Ok(0));
    let window = Window::map(system, huge);
    for offset in (0..1 << 30).step_by((1 << 21) + 4096) {
        assert_eq!(window.read(offset), 0, "{offset:#x}");
        window.write(offset, offset as u64);
    }
    for offset in (0..1 << 30).step_by((1 << 21) + 4096) {
        assert_eq!(window.read(offset), offset as u64);
    }
    rows(&["page.cache.outside", "vspace.cache.leaves-page"]);
    let start = window.start() as u64;
    assert_eq!(huge.clean_data(GIB - 64, GIB), Ok(()));
    let clean = |words: &[u64]| invoke(huge.bits(), Invocation::PageCleanData, &[], words);
    assert_eq!(clean(&[GIB - 64, GIB + 1]), answer::invalid_argument(0));
    let clean = |start, end| {
        invoke(
            init::VSPACE.bits(),
            Invocation::VSpaceCleanData,
            &[],
            &[start, end],
        )
    };
    assert_eq!(clean(start + GIB - 64, start + GIB), answer::ok());
    assert_eq!(
        clean(start + 4096, start + GIB + 1),
        answer::range(start + 4096, start + GIB - 1)
    );
}

fn last_page(system: &mut System) {
    row("vspace.layout.user-top");
    let page = object::<SmallPage>(system);
    let vaddr = (USER_TOP - 0xfff) as usize;
    system
        .map_at(
            init::VSPACE,
            page,
            vaddr,
            CapRights::READ_WRITE,
            libsel4::VmAttributes::default(),
        )
        .expect("the last page");
    let last = USER_TOP as *mut u8;
    // SAFETY: just mapped, and nobody else's.
    unsafe { last.write_volatile(7) };
    // SAFETY: likewise.
    assert_eq!(unsafe { last.read_volatile() }, 7);
}

/// Pages at the beginning and at the end of every piece of device memory: they are made, mapped, and have the address
/// that they should have. (Nobody touches them.)
fn devices(system: &mut System, boot: &'static BootInfo) {
    row("page.device");
    let slots = [0; 2].map(|_| system.slot().expect("a slot"));
    let start = system.addresses(8192, 4096).expect("addresses").start;
    for piece in boot.untypeds().filter(|piece| piece.is_device) {
        let made = piece
            .cap
            .retype_into(ObjectType::SmallPage, 0, init::CNODE, slots[0].index);
        made.expect("the first page");
        let mut expected = piece.paddr;
        if piece.size_bits > 12 {
            // The upper half, and its first page.
            slots[0].delete().expect("deleted");
            let half = u64::from(piece.size_bits) - 1;
            let path = libsel4::SlotPath::new(init::CNODE, 0, 0);
            piece
                .cap
                .retype(ObjectType::Untyped, half, path, slots[0].index, 1)
                .expect("the lower half");
            piece
                .cap
                .retype(ObjectType::Untyped, half, path, slots[1].index, 1)
                .expect("the upper half");
            slots[0].delete().expect("deleted");
            let upper = Cap::<libsel4::Untyped>::from_bits(slots[1].index);
            upper
                .retype_into(ObjectType::SmallPage, 0, init::CNODE, slots[0].index)
                .expect("its first page");
            expected += 1 << half;
        }
        let page = Cap::<SmallPage>::from_bits(slots[0].index);
        assert_eq!(page.get_address(), Ok(expected), "{piece:?}");
        let attributes = libsel4::VmAttributes::empty();
        system
            .map_at(init::VSPACE, page, start, CapRights::READ_WRITE, attributes)
            .expect("mapped");
        piece.cap.slot().revoke().expect("revoked");
    }
}
