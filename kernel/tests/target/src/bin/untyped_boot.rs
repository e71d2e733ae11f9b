//! The untyped memory of the boot information, as the first program finds it: all of it is there and empty, what is made
//! from it is zero, whatever was in it, and device memory is left as it is. The test works without the library's
//! allocator, which would take it all.

#![no_std]
#![no_main]

use libsel4::abi::{Invocation, MAX_BOOT_INFO_UNTYPEDS, ObjectType};
use libsel4::boot::BootUntyped;
use libsel4::{
    BootInfo, Cap, CapRights, HugePage, SlotPath, SmallPage, Untyped, VmAttributes, init, root_task,
};
use tern_target_tests::objects::{answer, invoke, kind};
use tern_target_tests::rows::{row, rows};

root_task!(main);

/// The real-time clock: its match register keeps what is written to it.
const CLOCK: u64 = 0x901_0000;
const CLOCK_MATCH: usize = 4;

fn main(boot: &'static BootInfo) {
    let mut desk = Desk::new(boot);
    all_empty(boot);
    cleared(boot, &mut desk);
    huge_pages(boot, &mut desk);
    device_memory(boot, &mut desk);
}

/// A place in the address space where one page after the other is looked at, and slots.
struct Desk {
    vaddr: usize,
    slots: core::ops::Range<u64>,
}

impl Desk {
    fn new(boot: &'static BootInfo) -> Self {
        let empty = boot.empty_slots();
        // The last page of the 2 MiB that the initial layout ends in: there is a table for it.
        let vaddr = boot.layout_end().next_multiple_of(2 << 20) - 4096;
        assert!(vaddr >= boot.layout_end());
        Self {
            vaddr,
            slots: empty.start..empty.end,
        }
    }

    fn slots(&mut self, count: u64) -> u64 {
        let first = self.slots.start;
        self.slots.start += count;
        assert!(self.slots.start <= self.slots.end);
        first
    }

    /// Lets a page be looked at.
    fn with<T>(&self, page: Cap<SmallPage>, look: impl FnOnce(*mut u32) -> T) -> T {
        let attributes = VmAttributes::EXECUTE_NEVER;
        page.map(
            init::VSPACE,
            self.vaddr as u64,
            CapRights::READ_WRITE,
            attributes,
        )
        .expect("to map");
        let result = look(self.vaddr as *mut u32);
        page.unmap().expect("to unmap");
        result
    }
}

fn make(from: Cap<Untyped>, object: ObjectType, size: u64, slot: u64, count: u64) {
    let node = SlotPath::new(init::CNODE, 0, 0);
    from.retype(object, size, node, slot, count)
        .unwrap_or_else(|error| panic!("{count} of {object:?} from {from:?}: {error}"));
}

fn ram(boot: &'static BootInfo) -> impl Iterator<Item = BootUntyped> {
    boot.untypeds().filter(|piece| !piece.is_device)
}

/// More than there is in it is refused with all that there is in it.
fn all_empty(boot: &'static BootInfo) {
    rows(&["object.memory.boot", "untyped.room.childless"]);
    for piece in boot.untypeds() {
        let slot = boot.empty_slots().start;
        let words = [0, 47, 0, 0, slot, 1];
        let asked = |words: &[u64]| {
            invoke(
                piece.cap.bits(),
                Invocation::UntypedRetype,
                &[init::CNODE.bits()],
                words,
            )
        };
        let all = answer::not_enough_memory(1 << piece.size_bits);
        assert_eq!(asked(&words), all, "{piece:?}");
    }
    row("limit.boot-untypeds");
    assert_eq!(MAX_BOOT_INFO_UNTYPEDS, 230);
    assert_eq!(boot.raw().untyped_list.len(), 230);
    assert!(boot.untypeds().count() <= 230);
    // The list is followed by nothing: 184 bytes of other things, and 16 for each.
    assert_eq!(size_of_val(boot.raw()), 184 + 230 * 16);
}

/// The small pieces lie around the kernel, the boot loader and the device tree: something was in them.
fn cleared(boot: &'static BootInfo, desk: &mut Desk) {
    rows(&["object.memory.boot", "object.memory.zero"]);
    let first = desk.slots(256);
    let mut looked_at = 0;
    for piece in ram(boot).filter(|piece| (12..=21).contains(&piece.size_bits)) {
        let mut left = 1u64 << (piece.size_bits - 12);
        while left > 0 {
            let count = left.min(256);
            make(piece.cap, ObjectType::SmallPage, 0, first, count);
            for slot in first..first + count {
                let page = Cap::<SmallPage>::from_bits(slot);
                let is_zero = desk.with(page, |start| {
                    // SAFETY: the page is mapped there, and nowhere else.
                    (0..1024).all(|word| unsafe { start.wrapping_add(word).read_volatile() } == 0)
                });
                let at = page.get_address().expect("an address");
                assert!(is_zero, "page {at:#x} of {piece:?}");
                // One stays, so that the memory is not empty and the next ones are others.
                if slot != first {
                    page.slot().delete().expect("to delete");
                }
            }
            looked_at += count;
            left -= count;
            if left > 0 {
                let kept = desk.slots(1);
                SlotPath::in_root(kept)
                    .move_from(&SlotPath::in_root(first))
                    .expect("to move");
            }
        }
        piece.cap.slot().revoke().expect("to revoke");
    }
    assert!(looked_at > 16, "only {looked_at} pages");
}

/// There is device memory without end, so objects can be as large as they like there.
fn huge_pages(boot: &'static BootInfo, desk: &mut Desk) {
    rows(&["object.huge-page", "object.memory.contiguous"]);
    let device = boot
        .untypeds()
        .filter(|piece| piece.is_device && piece.size_bits >= 32)
        .min_by_key(|piece| piece.size_bits)
        .expect("a piece of 4 GiB");
    let first = desk.slots(3);
    make(device.cap, ObjectType::HugePage, 12, first, 2);
    let address = |slot| Cap::<HugePage>::from_bits(slot).get_address();
    assert_eq!(address(first), Ok(device.paddr));
    assert_eq!(address(first + 1), Ok(device.paddr + (1 << 30)));
    assert_eq!(kind(SlotPath::in_root(first)), 1);
    let words = [7, 0, 0, 0, first + 2, 256];
    let root = init::CNODE.bits();
    let too_many = invoke(
        device.cap.bits(),
        Invocation::UntypedRetype,
        &[root],
        &words,
    );
    let free = (1u64 << device.size_bits) - (2 << 30);
    assert!(free >> 30 < 256);
    assert_eq!(too_many, answer::not_enough_memory(free));
    device.cap.slot().revoke().expect("to revoke");
    row("object.untyped.bounds");
    let largest = boot
        .untypeds()
        .max_by_key(|piece| piece.size_bits)
        .expect("memory");
    let bits = u64::from(largest.size_bits);
    make(largest.cap, ObjectType::Untyped, bits, first, 1);
    make(Cap::from_bits(first), ObjectType::Untyped, 4, first + 1, 1);
    make(
        Cap::from_bits(first),
        ObjectType::SmallPage,
        0,
        first + 2,
        1,
    );
    // It lies where the kernel itself cannot reach, and can be mapped like any other.
    let page = Cap::<SmallPage>::from_bits(first + 2);
    let address = page.get_address().expect("an address");
    assert!(address > 1 << 39, "{address:#x}");
    desk.with(page, |_| {
        assert_eq!(page.clean_data(0, 4096), Ok(()));
        assert_eq!(page.unify_instruction(0, 4096), Ok(()));
    });
    largest.cap.slot().revoke().expect("to revoke");
}

/// A register keeps its value when its page is made anew.
fn device_memory(boot: &'static BootInfo, desk: &mut Desk) {
    row("object.memory.device-untouched");
    let piece = boot
        .untypeds()
        .find(|piece| piece.is_device && (piece.paddr..piece.end()).contains(&CLOCK))
        .expect("the clock");
    // Halves of halves, down to the page.
    let (mut cap, mut start) = (piece.cap, piece.paddr);
    for bits in (12..u64::from(piece.size_bits)).rev() {
        let halves = desk.slots(2);
        make(cap, ObjectType::Untyped, bits, halves, 2);
        let upper = u64::from(CLOCK >= start + (1 << bits));
        cap = Cap::from_bits(halves + upper);
        start += upper << bits;
    }
    assert_eq!(start, CLOCK);
    let slot = desk.slots(1);
    let page = Cap::<SmallPage>::from_bits(slot);
    for value in [0x1234_5678, 0x9abc_def0] {
        make(cap, ObjectType::SmallPage, 0, slot, 1);
        assert_eq!(page.get_address(), Ok(CLOCK));
        // SAFETY: the device's registers are mapped there; this one can be written at any time.
        desk.with(page, |start| unsafe {
            start.wrapping_byte_add(CLOCK_MATCH).write_volatile(value);
        });
        cap.slot().revoke().expect("to revoke");
        make(cap, ObjectType::SmallPage, 0, slot, 1);
        // SAFETY: as above.
        let seen = desk.with(page, |start| unsafe {
            start.wrapping_byte_add(CLOCK_MATCH).read_volatile()
        });
        assert_eq!(seen, value);
        cap.slot().revoke().expect("to revoke");
    }
    piece.cap.slot().revoke().expect("to revoke");
}
