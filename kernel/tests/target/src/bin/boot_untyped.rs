//! The initial untypeds: devices first, in order and cut as large as can be; all memory that the device tree names and
//! nothing that is in use; zeroed by the first retype. And interrupt lines, which are all free.
//!
//! gic: 2 3
//! memory: 768M
//! expect: memory 0x40000000..0x70000000

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::ops::Range;

use libsel4::abi::{MAX_BOOT_INFO_UNTYPEDS, cap_type};
use libsel4::boot::BootUntyped;
use libsel4::machine::{InterruptController, Machine};
use libsel4::{
    BootInfo, CapRights, Error, ObjectType, SlotPath, SmallPage, VmAttributes, init, root_task,
};
use tern_target_tests::objects::{Window, answer, invoke_label, kind};
use tern_target_tests::rows::{row, rows};

root_task!(main);

const PAGE: u64 = 4096;

fn main(boot: &'static BootInfo) {
    let tree = boot.device_tree().expect("a device tree");
    let machine = Machine::from_device_tree(tree).expect("a readable one");
    list(boot);
    cut(boot);
    memory(boot, &machine);
    devices(boot, &machine);
    zeroed(boot);
    originals(boot);
    interrupts(boot);
}

fn list(boot: &'static BootInfo) {
    let raw = boot.raw();
    let count = raw.untyped.len() as usize;
    row("boot.untyped.list");
    assert!(count <= MAX_BOOT_INFO_UNTYPEDS && MAX_BOOT_INFO_UNTYPEDS == 230);
    for (index, entry) in raw.untyped_list.iter().enumerate() {
        assert_eq!(entry.padding, [0; 6]);
        if index >= count {
            assert_eq!((entry.paddr, entry.size_bits, entry.is_device), (0, 0, 0));
        }
    }
    for (index, piece) in boot.untypeds().enumerate() {
        assert_eq!(piece.cap.bits(), raw.untyped.start + index as u64);
    }
    rows(&["boot.untyped.devices-first", "boot.untyped.ascending"]);
    for pair in boot.untypeds().collect::<Vec<_>>().windows(2) {
        let (one, next) = (&pair[0], &pair[1]);
        assert!(one.is_device || !next.is_device, "{next:?}");
        assert!(
            one.is_device != next.is_device || one.end() <= next.paddr,
            "{next:?}"
        );
    }
}

/// Pieces that touch are parts of a region, which was cut from its start, each as large as possible.
fn cut(boot: &'static BootInfo) {
    row("boot.untyped.cut");
    let pieces: Vec<BootUntyped> = boot.untypeds().collect();
    for (index, piece) in pieces.iter().enumerate() {
        let mut end = piece.end();
        for next in &pieces[index + 1..] {
            if next.paddr != end || next.is_device != piece.is_device {
                break;
            }
            end = next.end();
        }
        let fits = (end - piece.paddr).ilog2();
        let bits = fits.min(piece.paddr.trailing_zeros()).min(47);
        assert_eq!(
            u32::from(piece.size_bits),
            bits,
            "{piece:?} of a region to {end:#x}"
        );
        assert!(bits >= 4);
    }
}

/// All memory is there but for what is in use, and nothing that is in use.
fn memory(boot: &'static BootInfo, machine: &Machine) {
    rows(&["boot.untyped.memory", "boot.untyped.machine"]);
    assert_eq!(machine.memory_size(), 768 << 20);
    let within = |piece: &BootUntyped| {
        let mut memory = machine.memory.iter();
        memory.any(|it| it.start <= piece.paddr && piece.end() <= it.end)
    };
    let pieces: Vec<BootUntyped> = boot.untypeds().filter(|piece| !piece.is_device).collect();
    assert!(pieces.iter().all(within));
    let total: u64 = pieces.iter().map(|piece| piece.end() - piece.paddr).sum();
    let used = machine.memory_size() - total;
    assert!(used < 4 << 20, "{used:#x} bytes are missing");

    row("boot.untyped.kept");
    let raw = boot.raw();
    let frames = (raw.user_image_frames.start..raw.user_image_frames.end)
        .chain(raw.extra_bi_pages.start..raw.extra_bi_pages.end)
        .chain([init::BOOT_INFO_FRAME.bits(), init::IPC_BUFFER_FRAME.bits()]);
    for frame in frames {
        let address = SmallPage::at(frame).get_address().expect("an address");
        assert!(!has(boot, address..address + PAGE), "{address:#x}");
    }
    // The kernel is at the start of memory.
    assert!(!has(
        boot,
        machine.memory[0].start..machine.memory[0].start + PAGE
    ));
}

fn has(boot: &'static BootInfo, addresses: Range<u64>) -> bool {
    boot.untypeds()
        .any(|piece| piece.paddr < addresses.end && addresses.start < piece.end())
}

fn devices(boot: &'static BootInfo, machine: &Machine) {
    row("boot.untyped.devices");
    let mut devices = boot.untypeds().filter(|piece| piece.is_device);
    assert!(devices.all(|piece| {
        let mut memory = machine.memory.iter();
        memory.all(|it| piece.end() <= it.start || it.end <= piece.paddr)
    }));
    let device_has = |paddr| has(boot, paddr..paddr + PAGE);
    let port = machine.pl011.expect("a serial port");
    assert!(
        device_has(port),
        "the serial port, though the kernel prints on it"
    );
    let memory_end = machine.memory[0].end;
    assert!(device_has(0) && device_has(memory_end), "what is no memory");
    row("boot.untyped.kernel-devices");
    let controller: &[u64] = match machine.interrupt_controller {
        Some(InterruptController::GicV2) => &[0x800_0000, 0x801_0000],
        _ => &[0x800_0000, 0x80a_0000],
    };
    assert!(controller.iter().all(|&paddr| !device_has(paddr)));
    // Everything but the kernel's devices is there, up to the end of the device range.
    row("boot.untyped.devices");
    let devices = || boot.untypeds().filter(|piece| piece.is_device);
    let total: u64 = devices().map(|piece| piece.end() - piece.paddr).sum();
    let top = devices().map(|piece| piece.end()).max().expect("devices");
    assert!((1 << 40..=1 << 44).contains(&top) && top.is_power_of_two());
    let missing = top - machine.memory_size() - total;
    assert!(missing <= 16 << 20, "{missing:#x} bytes are missing");
}

/// The first retype clears all of an untyped: memory may hold what the loader left. Uses no `System`, which would have
/// done it.
fn zeroed(boot: &'static BootInfo) {
    row("boot.untyped.zeroed");
    let first = boot.raw().empty.start;
    let vaddr = (boot.layout_end() as u64).next_multiple_of(PAGE);
    assert!(!vaddr.is_multiple_of(1 << 21), "there is a table for it");
    let small = |piece: &BootUntyped| !piece.is_device && (12..=20).contains(&piece.size_bits);
    for piece in boot.untypeds().filter(small) {
        let pages = 1 << (piece.size_bits - 12);
        let path = SlotPath::new(init::CNODE, 0, 0);
        piece
            .cap
            .retype(ObjectType::SmallPage, 0, path, first, pages)
            .expect("pages");
        for cptr in first..first + pages {
            let page = SmallPage::at(cptr);
            page.map(
                init::VSPACE,
                vaddr,
                CapRights::READ_WRITE,
                VmAttributes::default(),
            )
            .expect("mapped");
            let window = Window::of_page(vaddr as usize);
            assert!(window.is_all(0), "{:#x?}", page.get_address());
            window.fill(u64::MAX);
        }
        // And every later one does, after a revocation.
        piece.cap.slot().revoke().expect("revoked");
        piece
            .cap
            .retype(ObjectType::SmallPage, 0, path, first, 1)
            .expect("a page");
        SmallPage::at(first)
            .map(
                init::VSPACE,
                vaddr,
                CapRights::READ_WRITE,
                VmAttributes::default(),
            )
            .expect("mapped");
        assert!(Window::of_page(vaddr as usize).is_all(0));
        piece.cap.slot().revoke().expect("revoked");
    }
}

/// What the kernel made at boot belongs to no untyped: revoking them all takes nothing away.
fn originals(boot: &'static BootInfo) {
    row("boot.slots.originals");
    let raw = boot.raw();
    let kinds = || -> Vec<u64> {
        (0..raw.untyped.end)
            .map(|cptr| kind(SlotPath::in_root(cptr)))
            .collect()
    };
    let before = kinds();
    for piece in boot.untypeds() {
        piece.cap.slot().revoke().expect("revoked");
    }
    assert_eq!(kinds(), before);
}

/// Every line that the interrupt controller has can be had, but for the kernel's own.
fn interrupts(boot: &'static BootInfo) {
    row("boot.irq.free");
    let slot = SlotPath::in_root(boot.raw().empty.start);
    let get = |line| {
        let words = [line, slot.index, 64];
        invoke_label(init::IRQ_CONTROL.bits(), 26, &[init::CNODE.bits()], &words)
    };
    let beyond = get(u64::MAX);
    assert_eq!((beyond.label, beyond.words[0]), (4, 0), "a range");
    let last = beyond.words[1];
    assert!((159..1020).contains(&last), "{last}");
    for line in 0..=last {
        let expected = match line {
            // Doorbells of the cores, the kernel's timer.
            0 | 1 | 27 => answer::revoke_first(),
            _ => answer::ok(),
        };
        assert_eq!(get(line), expected, "line {line}");
        if expected == answer::ok() {
            assert_eq!(kind(slot), cap_type::IRQ_HANDLER);
            slot.delete().expect("deleted");
        }
    }
    assert_eq!(
        init::IRQ_CONTROL.get(last + 1, &slot),
        Err(Error::RangeError { min: 0, max: last })
    );
}
