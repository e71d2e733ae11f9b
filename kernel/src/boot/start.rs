//! Where the cores come in, and in which order they start.
//!
//! The boot core waits until all others are in the kernel (from then on nobody executes the loader, whose memory is
//! given away), sets up what is shared, makes the root task, and lets the others go on. Each of them sets up its part of
//! the interrupt controller. Only when all have done that does any core schedule: from then on any core may ring any.

#![allow(unsafe_code, reason = "reads what the loader left in memory")]

use core::sync::atomic::{AtomicU32, Ordering};

use tern_platform::{
    board::Region,
    console::Console,
    handover::{Handover, WINDOW_BASE},
};

use super::{
    memory::Memory,
    root::{self, Image},
};
use crate::{
    access::Kernel,
    arch,
    config::{DEBUG_BUILD, MAX_NUM_NODES},
    entry, irq,
    machine::{Machine, machine, set_machine},
    print::{kprintln, set_console},
    system::system,
    types::{CoreId, PhysAddr},
};

/// How far boot has come. Secondary cores wait for it to become what they need.
static STAGE: AtomicU32 = AtomicU32::new(0);
const SHARED_PARTS_READY: u32 = 1;
const ALL_READY: u32 = 2;
/// Secondary cores that are in the kernel; that have done their part.
static ARRIVED: AtomicU32 = AtomicU32::new(0);
static READY: AtomicU32 = AtomicU32::new(0);

/// The first Rust code on every core: the boot protocol's registers, and the core's logical number. Returns when user
/// mode is to be entered.
pub(crate) extern "C" fn enter_kernel(
    image_start: u64,
    image_end: u64,
    image_offset: u64,
    image_entry: u64,
    tree: u64,
    tree_size: u64,
    handover: u64,
    core: usize,
) {
    arch::start_core_hardware();
    let handover = find_handover(handover);
    let me = CoreId(core as u16);
    if me == CoreId::BOOT {
        let memory = Region::new(image_start, image_end);
        let image = Image {
            memory,
            offset: image_offset,
            entry: image_entry,
        };
        boot(
            handover,
            image,
            Region::new(tree, tree.saturating_add(tree_size)),
        );
    } else {
        join(handover, me);
    }
    entry::start_core(me);
}

fn find_handover(address: u64) -> &'static Handover {
    let at = core::ptr::with_exposed_provenance(arch::to_virtual(PhysAddr(address)));
    // SAFETY: by the boot protocol the loader left a `Handover` there, in memory that the kernel never gives away.
    let handover = unsafe { Handover::from_ptr(at) };
    handover.expect("a hand-over of this kernel's version from the loader")
}

/// What the boot core does, until the root task is ready to run.
fn boot(handover: &Handover, image: Image, tree: Region) {
    let board = &handover.board;
    // SAFETY: the loader mapped the port in the window as device memory; the kernel alone prints on it, unless user
    // level, which may be given the device, decides otherwise.
    set_console(unsafe { Console::new(&board.console, WINDOW_BASE as usize) });
    let cores = handover.num_cores as usize;
    assert!(
        cores <= MAX_NUM_NODES,
        "{cores} cores, built for {MAX_NUM_NODES}"
    );
    let asid_bits = arch::asid_bits();
    assert!(
        asid_bits >= 16,
        "this CPU has ASIDs of {asid_bits} bits, the kernel needs 16"
    );
    let others = cores as u32 - 1;
    kprintln!("Bootstrapping kernel");
    wait_for_others(&ARRIVED, others);

    // SAFETY: the loader mapped the controller in the window as device memory, and nobody else has it.
    let gic = unsafe { arch::Gic::new(&board.gic, WINDOW_BASE as usize) };
    let max_intid = gic.init_distributor();
    gic.init_cpu(0, handover.mpidr[0]);
    set_machine(Machine::new(cores, gic, max_intid, board.timer_ppi));
    irq::init_core(CoreId::BOOT);
    report(handover);
    make_root(handover, image, tree);

    STAGE.store(SHARED_PARTS_READY, Ordering::Release);
    arch::send_event();
    wait_for_others(&READY, others);
    kprintln!("Booting all finished, dropped to user space");
    if DEBUG_BUILD {
        // With QEMU's -icount an instruction takes 1 ns: a tick of the 62.5 MHz counter is 16 instructions (of all
        // cores together).
        let ticks = arch::counter() - arch::started_at();
        kprintln!("boot: {ticks} counter ticks from kernel entry to the root task");
    }
    STAGE.store(ALL_READY, Ordering::Release);
    arch::send_event();
}

/// What every other core does, meanwhile.
fn join(handover: &Handover, me: CoreId) {
    signal(&ARRIVED);
    arch::wait_until_equal(&STAGE, SHARED_PARTS_READY);
    machine()
        .gic
        .init_cpu(me.index(), handover.mpidr[me.index()]);
    irq::init_core(me);
    signal(&READY);
    arch::wait_until_equal(&STAGE, ALL_READY);
}

/// Counts this core. Release: what it did is done for the boot core.
fn signal(count: &AtomicU32) {
    count.fetch_add(1, Ordering::Release);
    arch::send_event();
}

/// The loader has started them all, so they come.
fn wait_for_others(count: &AtomicU32, others: u32) {
    arch::wait_until_equal(count, others);
}

fn report(handover: &Handover) {
    let board = &handover.board;
    let machine = machine();
    kprintln!(
        "Tern {} on {}: {} cores, GICv{}, counter {} Hz",
        env!("CARGO_PKG_VERSION"),
        board.model.as_str(),
        machine.num_cores,
        board.gic.version,
        machine.frequency
    );
    for region in &board.memory {
        kprintln!("  memory {region}");
    }
    kprintln!("  kernel {}, tables {}", handover.kernel, handover.tables);
}

fn make_root(handover: &Handover, image: Image, tree: Region) {
    for (what, region) in [("root task", image.memory), ("device tree", tree)] {
        let in_ram = region.is_empty() || handover.board.memory.covers(&region);
        assert!(in_ram, "the {what} is not in RAM: {region}");
    }
    let device_top = 1 << arch::physical_address_bits();
    let memory = Memory::new(handover, &[image.memory, tree], device_top);
    let mut k = Kernel::lock_all(system(), CoreId::BOOT);
    root::create(&mut k, image, tree, memory);
    k.release();
}
