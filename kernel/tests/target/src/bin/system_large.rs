//! The library's book-keeping of addresses: a large page takes the place of small ones that are gone, with the page tables
//! that they left, and the other way round.
//!
//! cores: 1

#![no_std]
#![no_main]

use libsel4::{
    BootInfo, CapRights, LargePage, Page, SmallPage, System, VmAttributes, init, root_task,
};
use tern_target_tests::objects::object;

root_task!(main);

const LARGE: usize = LargePage::SIZE as usize;
const HUGE: usize = 1 << 30;
const TABLE: u64 = 1 << 12;

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let (small, large) = (
        object::<SmallPage>(&mut system),
        object::<LargePage>(&mut system),
    );
    for _ in 0..3 {
        let at = map_and_touch(&mut system, small);
        assert_eq!(
            map_and_touch(&mut system, large),
            at.next_multiple_of(LARGE)
        );
    }
    // A page beside it stays what it is.
    let other = object::<SmallPage>(&mut system);
    let beside = map(&mut system, other);
    write(beside, 17);
    map_and_touch(&mut system, large);
    map_and_touch(&mut system, small);
    map_and_touch(&mut system, large);
    assert_eq!(read(beside), 17);
    system.unmap(other, beside).expect("unmapped");

    // Tables of two levels go, and their memory comes back.
    let range = system.addresses(HUGE, HUGE).expect("addresses");
    let free = system.available_memory();
    for start in [range.start, range.start + 5 * LARGE] {
        let (rights, attributes) = (CapRights::READ_WRITE, VmAttributes::default());
        system
            .map_at(init::VSPACE, small, start, rights, attributes)
            .expect("mapped");
        small.unmap().expect("unmapped");
    }
    assert_eq!(system.available_memory(), free - 3 * TABLE);
    system.free_addresses(range.clone());
    assert_eq!(system.addresses(HUGE, HUGE), Ok(range));
    assert_eq!(system.available_memory(), free);
}

fn map<P: Page>(system: &mut System, frame: libsel4::Cap<P>) -> usize {
    system
        .map(frame, CapRights::READ_WRITE, VmAttributes::default())
        .expect("mapped")
}

/// Maps a frame for a moment: where that was.
fn map_and_touch<P: Page>(system: &mut System, frame: libsel4::Cap<P>) -> usize {
    let at = map(system, frame);
    let last = at + P::SIZE as usize - 8;
    write(last, at as u64);
    assert_eq!(read(last), at as u64);
    system.unmap(frame, at).expect("unmapped");
    at
}

fn write(at: usize, value: u64) {
    // SAFETY: a page of this program's own, which nothing else uses.
    unsafe { core::ptr::with_exposed_provenance_mut::<u64>(at).write_volatile(value) };
}

fn read(at: usize) -> u64 {
    // SAFETY: as above.
    unsafe { core::ptr::with_exposed_provenance::<u64>(at).read_volatile() }
}
