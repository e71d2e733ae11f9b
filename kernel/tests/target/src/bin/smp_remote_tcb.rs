//! What TCB methods do to a thread that runs on another core at that moment: suspend, resume, read, write and copy registers,
//! set the TLS base, set flags, set priorities, move its IPC buffer and its spaces, and delete it.
//!
//! cores: 2 4
//! icount: both
//! timeout: 120

#![no_std]
#![no_main]

use core::arch::naked_asm;
use core::sync::atomic::{AtomicU64, Ordering};

use libsel4::abi::UserContext;
use libsel4::invoke::{CopyRegisters, TcbFlags};
use libsel4::{BootInfo, Cap, SchedContext, Tcb, init, root_task};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::Bench;

root_task!(main);

/// Counts in memory at x0, copies x20 to x0 + 8 and TPIDR_EL0 to x0 + 16; x19 counts too.
#[unsafe(naked)]
extern "C" fn count() {
    naked_asm!(
        "1: add x19, x19, #1",
        "str x19, [x0]",
        "str x20, [x0, #8]",
        "mrs x2, tpidr_el0",
        "str x2, [x0, #16]",
        "b 1b",
    )
}

/// As [`count`], elsewhere.
#[unsafe(naked)]
extern "C" fn count_down() {
    naked_asm!("2: sub x19, x19, #1", "str x19, [x0]", "b 2b")
}

static CELLS: [AtomicU64; 3] = [const { AtomicU64::new(0) }; 3];

fn cell(index: usize) -> u64 {
    CELLS[index].load(Ordering::Relaxed)
}

fn runs(bench: &Bench) {
    let before = cell(0);
    bench.eventually("the thread runs", || cell(0) != before);
}

fn rests(bench: &Bench) {
    let before = cell(0);
    bench.sleep(1_000);
    assert_eq!(cell(0), before);
}

fn start(bench: &mut Bench, core: usize) -> (Cap<Tcb>, Cap<SchedContext>) {
    let tcb = bench.system.object::<libsel4::Tcb>().unwrap();
    let sc = bench.sched_context(core);
    tcb.configure(init::CNODE, 0, init::VSPACE, 0, None)
        .unwrap();
    tcb.set_sched_params(init::TCB, 0, 100, Some(sc), None)
        .unwrap();
    let context = UserContext {
        pc: count as *const () as u64,
        x0: CELLS.as_ptr() as u64,
        x20: 20,
        tpidr_el0: 0x1000,
        ..UserContext::default()
    };
    tcb.write_registers(true, &context).unwrap();
    runs(bench);
    (tcb, sc)
}

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    rows(&["smp.invocation", "defect.867-1029-1387-1421"]);
    for core in 1..bench.cores() {
        for _ in 0..20 {
            row("tcb.running-elsewhere");
            one_by_one(&mut bench, core);
        }
    }
}

fn one_by_one(bench: &mut Bench, core: usize) {
    let (tcb, sc) = start(bench, core);
    // Reading does not disturb it, and shows it on its way.
    let earlier = tcb.read_registers(false).unwrap();
    runs(bench);
    let later = tcb.read_registers(false).unwrap();
    assert!(later.x19 > earlier.x19 && later.x20 == 20 && later.tpidr_el0 == 0x1000);
    assert!((count as *const () as u64..count as *const () as u64 + 24).contains(&later.pc));
    // Suspended, it stands still, even to the last instruction, and goes on as if nothing had been.
    tcb.suspend().unwrap();
    rests(bench);
    let stopped = tcb.read_registers(false).unwrap();
    assert!(stopped.x19 == cell(0) || stopped.x19 == cell(0) + 1);
    tcb.resume().unwrap();
    runs(bench);
    assert_eq!(cell(1), 20);
    // Reading with suspend.
    let stopped = tcb.read_registers(true).unwrap();
    rests(bench);
    assert_eq!(tcb.read_registers(false).unwrap(), stopped);
    tcb.resume().unwrap();
    runs(bench);
    // TLS base, flags, priority, buffer: it runs on with them.
    tcb.set_tls_base(0x2000).unwrap();
    bench.eventually("the TLS base", || cell(2) == 0x2000);
    let none = TcbFlags::default();
    let off = TcbFlags { fpu_disabled: true };
    assert_eq!(tcb.set_flags(none, off), Ok(off));
    assert_eq!(tcb.set_flags(off, none), Ok(none));
    runs(bench);
    tcb.set_priority(init::TCB, 90).unwrap();
    tcb.set_mc_priority(init::TCB, 90).unwrap();
    tcb.set_sched_params(init::TCB, 90, 90, Some(sc), None)
        .unwrap();
    tcb.set_timeout_endpoint(None).unwrap();
    let notification = bench.system.notification().unwrap();
    tcb.bind_notification(notification).unwrap();
    runs(bench);
    tcb.unbind_notification().unwrap();
    bench.system.destroy(notification).unwrap();
    tcb.set_ipc_buffer(0, None).unwrap();
    tcb.set_space(None, init::CNODE, 0, init::VSPACE).unwrap();
    tcb.configure(init::CNODE, 0, init::VSPACE, 0, None)
        .unwrap();
    runs(bench);
    // New registers while it runs.
    let context = UserContext {
        pc: count_down as *const () as u64,
        x0: CELLS.as_ptr() as u64,
        x19: 1 << 60,
        ..UserContext::default()
    };
    tcb.write_registers(false, &context).unwrap();
    bench.eventually("the new registers", || cell(0) > 1 << 59);
    let before = cell(0);
    bench.eventually("it counts down", || cell(0) < before);
    // Registers copied from one running thread to another.
    let (source, other_sc) = (
        bench.system.object::<libsel4::Tcb>().unwrap(),
        // If there is a third core, both must be stopped for the copy.
        bench.sched_context(1 + core % (bench.cores() - 1)),
    );
    source
        .configure(init::CNODE, 0, init::VSPACE, 0, None)
        .unwrap();
    source
        .set_sched_params(init::TCB, 0, 100, Some(other_sc), None)
        .unwrap();
    let spin = UserContext {
        pc: count as *const () as u64,
        x0: CELLS.as_ptr() as u64,
        x20: 21,
        ..UserContext::default()
    };
    source.write_registers(true, &spin).unwrap();
    bench.eventually("the source runs", || cell(1) == 21);
    let all = CopyRegisters {
        suspend_source: true,
        resume_target: true,
        frame: true,
        integer: true,
    };
    tcb.copy_registers(source, all).unwrap();
    CELLS[1].store(0, Ordering::Relaxed);
    bench.eventually("the copy runs", || cell(1) == 21);
    runs(bench);
    bench.system.destroy(source).unwrap();
    bench.system.destroy(other_sc).unwrap();
    // Its end.
    bench.system.destroy(tcb).unwrap();
    rests(bench);
    bench.system.destroy(sc).unwrap();
}
