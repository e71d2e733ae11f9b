//! What a fault lends to a passive handler: the scheduling context that the thread runs on, for a standard fault; nothing,
//! for a Timeout fault. And where it is when the reply object goes.
//!
//! cores: 1 2 4

#![no_std]
#![no_main]

use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use libsel4::{BootInfo, Budget, Message, ThreadBuilder, init, root_task, thread_block};
use tern_target_tests::rows::rows;
use tern_target_tests::sched::{Bench, Server, affinity, spin};

root_task!(main);

/// How many faults have been handled, and where the last one was.
static HANDLED: AtomicU64 = AtomicU64::new(0);
static CORE: AtomicU64 = AtomicU64::new(0);
/// What the handler waits for.
static LEAVE: AtomicU64 = AtomicU64::new(0);

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    for core in 0..bench.cores() {
        standard(&mut bench, core);
        queued(&mut bench, core);
        on_a_lent_context(&mut bench, core);
        timeout(&mut bench, core);
        timeout_queued(&mut bench, core);
        reply_deleted(&mut bench, core);
    }
}

/// A fault from which the thread goes on if the handler skips the instruction.
fn fault() {
    // SAFETY: a breakpoint instruction changes nothing but the program counter, which the handler sets.
    unsafe { asm!("brk #1", options(nomem, nostack)) };
}

/// A passive handler that steps over the instruction, once it may leave.
fn handler(bench: &mut Bench, priority: u8) -> Server {
    LEAVE.store(1, Ordering::Relaxed);
    HANDLED.store(0, Ordering::Relaxed);
    bench.passive_server("handler", 0, priority, |received| {
        let me = thread_block::current().expect("a thread").tcb();
        CORE.store(affinity(me) as u64, Ordering::Relaxed);
        HANDLED.fetch_add(1, Ordering::Relaxed);
        spin(2_000);
        while LEAVE.load(Ordering::Relaxed) == 0 {}
        match received.label() {
            // A user exception: the address is the first word.
            3 => Message::new(0).word(received.get(0) + 4),
            _ => Message::new(0),
        }
    })
}

fn handled() -> u64 {
    HANDLED.load(Ordering::Relaxed)
}

fn standard(bench: &mut Bench, core: usize) {
    rows(&["fault.donation.standard", "donate.fault"]);
    let server = handler(bench, 110);
    let builder = ThreadBuilder::new("faulter").core(core);
    let (thread, gate) = bench.gated(builder.fault_handler(server.endpoint), || {
        fault();
        fault();
    });
    let sc = thread.sched().unwrap().cap();
    sc.consumed().unwrap();
    gate.signal();
    // The root task blocks meanwhile, so that all of the handler's time is its own.
    thread.wait().unwrap();
    assert_eq!((handled(), CORE.load(Ordering::Relaxed)), (2, core as u64));
    let paid = sc.consumed().unwrap();
    assert!(paid >= Duration::from_micros(4_000), "only {paid:?}");
    // It is back where it was.
    assert!(sc.unbind_thread(server.thread.tcb()).is_err());
    sc.unbind_thread(thread.tcb()).unwrap();
    thread.destroy(&mut bench.system).unwrap();
    server.thread.destroy(&mut bench.system).unwrap();
}

/// The second fault comes while the handler works for the first one.
fn queued(bench: &mut Bench, core: usize) {
    rows(&["fault.donation.queued", "donate.fault"]);
    let server = handler(bench, 90);
    let other = bench.cores() - 1 - core;
    let [(first, first_gate), (second, second_gate)] = [(80, core), (100, other)].map(|(p, at)| {
        let builder = ThreadBuilder::new("faulter").core(at).priority(p);
        bench.gated(builder.fault_handler(server.endpoint), fault)
    });
    LEAVE.store(0, Ordering::Relaxed);
    first_gate.signal();
    bench.eventually("the first fault", || handled() == 1);
    second_gate.signal();
    bench.settle(1_000);
    assert_eq!((handled(), CORE.load(Ordering::Relaxed)), (1, core as u64));
    LEAVE.store(1, Ordering::Relaxed);
    bench.eventually("both", || first.is_finished() && second.is_finished());
    assert_eq!((handled(), CORE.load(Ordering::Relaxed)), (2, other as u64));
    let [first_sc, second_sc] = [&first, &second].map(|thread| thread.sched().unwrap().cap());
    first_sc.unbind_thread(first.tcb()).unwrap();
    second_sc.unbind_thread(second.tcb()).unwrap();
    first.destroy(&mut bench.system).unwrap();
    second.destroy(&mut bench.system).unwrap();
    server.thread.destroy(&mut bench.system).unwrap();
}

/// Client, server, and the handler of the server's fault: one scheduling context for all.
fn on_a_lent_context(bench: &mut Bench, core: usize) {
    rows(&["fault.donation.passive-faulter", "reply-chain.push"]);
    let handler = handler(bench, 110);
    let server = bench.passive_server("server", 0, 105, |received| {
        fault();
        Message::new(received.label() + 1)
    });
    server
        .thread
        .tcb()
        .set_space(Some(handler.endpoint), init::CNODE, 0, init::VSPACE)
        .unwrap();
    let endpoint = server.endpoint;
    let client = bench.thread("client", core, 100, move || {
        endpoint.call(Message::new(1)).label()
    });
    bench.eventually("the answer", || client.is_finished());
    assert_eq!((handled(), CORE.load(Ordering::Relaxed)), (1, core as u64));
    assert_eq!(affinity(server.thread.tcb()), core);
    let sc = client.sched().unwrap().cap();
    assert!(sc.unbind_thread(server.thread.tcb()).is_err());
    assert_eq!(client.join(&mut bench.system).unwrap(), 2);
    server.thread.destroy(&mut bench.system).unwrap();
    handler.thread.destroy(&mut bench.system).unwrap();
}

const BUDGET: Budget = Budget::Periodic {
    budget: Duration::from_millis(1),
    period: Duration::from_millis(20),
    extra_refills: 0,
};

/// The handler has the message, and no time for it.
fn timeout(bench: &mut Bench, core: usize) {
    rows(&["fault.donation.timeout", "donate.timeout"]);
    let server = handler(bench, 110);
    let builder = ThreadBuilder::new("late").core(core).budget(BUDGET);
    let spinner = bench.spinner_with(builder.timeout_handler(server.endpoint));
    bench.sleep(50_000);
    bench.rests(&spinner);
    assert_eq!(handled(), 0);
    // It is still there: with time of its own the handler answers it.
    let sc = bench.sched_context(0);
    sc.bind(server.thread.tcb()).unwrap();
    bench.runs(&spinner);
    assert!(handled() > 0);
    spinner.thread.destroy(&mut bench.system).unwrap();
    bench.system.destroy(sc).unwrap();
    server.thread.destroy(&mut bench.system).unwrap();
}

/// The Timeout fault waits while the handler works for another fault, and finds it without time afterwards.
fn timeout_queued(bench: &mut Bench, core: usize) {
    rows(&["donate.timeout"]);
    let server = handler(bench, 90);
    let builder = ThreadBuilder::new("faulter").core(core).priority(80);
    let (thread, gate) = bench.gated(builder.fault_handler(server.endpoint), fault);
    LEAVE.store(0, Ordering::Relaxed);
    gate.signal();
    bench.eventually("the fault", || handled() == 1);
    let builder = ThreadBuilder::new("late").core(core).budget(BUDGET);
    let spinner = bench.spinner_with(builder.timeout_handler(server.endpoint));
    bench.runs(&spinner);
    bench.sleep(10_000);
    LEAVE.store(1, Ordering::Relaxed);
    bench.eventually("the first answer", || thread.is_finished());
    bench.sleep(50_000);
    bench.rests(&spinner);
    assert_eq!(handled(), 1);
    let sc = bench.sched_context(0);
    sc.bind(server.thread.tcb()).unwrap();
    bench.runs(&spinner);
    assert!(handled() > 1);
    spinner.thread.destroy(&mut bench.system).unwrap();
    bench.system.destroy(sc).unwrap();
    thread.destroy(&mut bench.system).unwrap();
    server.thread.destroy(&mut bench.system).unwrap();
}

/// The thread is inactive, with its scheduling context; the handler has none.
fn reply_deleted(bench: &mut Bench, core: usize) {
    rows(&["fault.cancel.reply", "fault.cancel.reply-returns-sc"]);
    let server = handler(bench, 110);
    LEAVE.store(0, Ordering::Relaxed);
    let builder = ThreadBuilder::new("faulter").core(core);
    let faulter = builder.fault_handler(server.endpoint);
    let thread = faulter.spawn(&mut bench.system, fault).unwrap();
    bench.eventually("the fault", || handled() == 1);
    let sc = thread.sched().unwrap().cap();
    bench.system.destroy(server.reply).unwrap();
    assert!(sc.unbind_thread(server.thread.tcb()).is_err());
    sc.unbind_thread(thread.tcb()).unwrap();
    sc.bind(thread.tcb()).unwrap();
    LEAVE.store(1, Ordering::Relaxed);
    bench.settle(5_000);
    assert!(!thread.is_finished() && handled() == 1);
    thread.destroy(&mut bench.system).unwrap();
    server.thread.destroy(&mut bench.system).unwrap();
}
