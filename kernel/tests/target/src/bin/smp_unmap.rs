//! Unmapping and protecting a page that another core uses: it is gone there when the call returns, and nobody on that core is
//! interrupted for it.
//!
//! An interrupt on the other core is seen there by an exclusive store that fails, since the return from an exception clears
//! the monitor (Arm ARM, *Exclusive access instructions and exception handling*).
//!
//! cores: 2 4
//! icount: both
//! timeout: 120

#![no_std]
#![no_main]

use core::arch::{asm, naked_asm};
use core::sync::atomic::{AtomicU64, Ordering};

use libsel4::abi::UserContext;
use libsel4::{
    BootInfo, Cap, CapRights, Message, SmallPage, ThreadBuilder, VmAttributes, init, root_task,
};
use tern_target_tests::objects::{Puppet, Window};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::{Bench, LONG_SLICE, Spinner, counter};

root_task!(main);

const VM_FAULT: u64 = 6;
const ROUNDS: u64 = 60;

/// Counts at x0 for ever.
#[unsafe(naked)]
extern "C" fn count_up() {
    naked_asm!("1: ldr x1, [x0]", "add x1, x1, #1", "str x1, [x0]", "b 1b")
}

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    for core in 1..bench.cores() {
        row("smp.tlb");
        gone_at_once(&mut bench, core);
        rows(&["tern.tlb.broadcast", "defect.unmap-interrupts"]);
        undisturbed(&mut bench, core);
    }
}

/// The page is mapped twice: the other core counts in it through one mapping, and is watched through the other.
fn gone_at_once(bench: &mut Bench, core: usize) {
    let frame: Cap<SmallPage> = bench.system.object().unwrap();
    let copy = bench.system.copy(frame, CapRights::all()).unwrap();
    let theirs = Window::map(&mut bench.system, frame).start();
    let ours = Window::map(&mut bench.system, copy);
    let attributes = VmAttributes::default() | VmAttributes::EXECUTE_NEVER;
    let puppet = Puppet::new(&mut bench.system, core, 100);
    bench.move_unsliced(puppet.sched.cap(), core);
    puppet.start(&UserContext {
        pc: count_up as *const () as u64,
        x0: theirs as u64,
        ..UserContext::default()
    });
    for round in 0..ROUNDS {
        let before = ours.read(0);
        bench.eventually("it counts", || ours.read(0) > before);
        if round % 2 == 0 {
            frame.unmap().unwrap();
        } else {
            frame
                .map(init::VSPACE, theirs as u64, CapRights::READ, attributes)
                .unwrap();
        }
        let last = ours.read(0);
        for _ in 0..1_000 {
            assert_eq!(
                ours.read(0),
                last,
                "it counts in a page that it does not have"
            );
        }
        let fault = puppet.fault();
        assert_eq!((fault.label(), fault.get(1)), (VM_FAULT, theirs as u64));
        assert_eq!(ours.read(0), last);
        frame
            .map(
                init::VSPACE,
                theirs as u64,
                CapRights::READ_WRITE,
                attributes,
            )
            .unwrap();
        puppet.reply.send(Message::new(0));
    }
    bench.system.destroy(puppet.tcb).unwrap();
}

/// Whether nothing interrupts some thousand instructions.
fn is_left_alone(cell: &AtomicU64) -> bool {
    let failed: u64;
    // SAFETY: the cell is ours, and nobody else stores to it.
    unsafe {
        asm!(
            "ldxr {value}, [{cell}]",
            "2: subs {turns}, {turns}, #1",
            "b.ne 2b",
            "stxr {failed:w}, {value}, [{cell}]",
            value = out(reg) _,
            cell = in(reg) cell.as_ptr(),
            turns = inout(reg) 5_000_u64 => _,
            failed = out(reg) failed,
            options(nostack),
        );
    }
    failed == 0
}

/// A thread that counts its undisturbed stretches, and those that were interrupted.
fn watcher(bench: &mut Bench, core: usize) -> (Spinner, &'static AtomicU64) {
    let (count, broken, cell) = (counter(), counter(), counter());
    let builder = ThreadBuilder::new("watcher").core(core).budget(LONG_SLICE);
    let thread = builder.spawn(&mut bench.system, move || {
        loop {
            if !is_left_alone(cell) {
                broken.fetch_add(1, Ordering::Relaxed);
            }
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let thread = thread.unwrap();
    (Spinner { thread, count }, broken)
}

fn undisturbed(bench: &mut Bench, core: usize) {
    let (watcher, broken) = watcher(bench, core);
    bench.runs(&watcher);
    let frame: Cap<SmallPage> = bench.system.object().unwrap();
    let window = Window::map(&mut bench.system, frame);
    let attributes = VmAttributes::default() | VmAttributes::EXECUTE_NEVER;
    let before = broken.load(Ordering::Relaxed);
    for _ in 0..ROUNDS {
        window.write(0, 1);
        let at = window.start() as u64;
        frame
            .map(init::VSPACE, at, CapRights::READ, attributes)
            .unwrap();
        frame.unmap().unwrap();
        frame
            .map(init::VSPACE, at, CapRights::READ_WRITE, attributes)
            .unwrap();
        bench.runs(&watcher);
    }
    let after = broken.load(Ordering::Relaxed);
    assert_eq!(after, before, "the other core was interrupted");
    // So would it be seen: what needs that core's attention rings it.
    for priority in (90..100).rev() {
        watcher.thread.set_priority(priority).unwrap();
        bench.runs(&watcher);
    }
    assert!(
        broken.load(Ordering::Relaxed) > after,
        "interrupts are not seen"
    );
    watcher.thread.destroy(&mut bench.system).unwrap();
}
