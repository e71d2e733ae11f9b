//! What new threads, scheduling contexts, reply objects and notifications are like, and what makes a thread run: that it is
//! runnable, has a scheduling context, and that this is configured. And domains, of which there is one.
//!
//! cores: 1 2 4
//! expect: thread 'fresh' stops at 0x

#![no_std]
#![no_main]

use core::arch::naked_asm;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use libsel4::abi::UserContext;
use libsel4::{BootInfo, Cap, Error, Message, SchedContext, Tcb, debug, init, root_task, syscall};
use tern_target_tests::objects::object;
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::{Bench, affinity};

root_task!(main);

static COUNT: AtomicU64 = AtomicU64::new(0);

/// Counts at x0 for ever.
#[unsafe(naked)]
extern "C" fn count_up() {
    naked_asm!("1: ldr x1, [x0]", "add x1, x1, #1", "str x1, [x0]", "b 1b")
}

#[unsafe(naked)]
extern "C" fn undefined() {
    naked_asm!("udf #0")
}

fn count() -> u64 {
    COUNT.load(Ordering::Relaxed)
}

fn runs(bench: &Bench) {
    let before = count();
    bench.eventually("the thread runs", || count() > before);
}

fn rests(bench: &Bench) {
    let before = count();
    bench.sleep(2_000);
    assert_eq!(count(), before, "the thread must not run");
}

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    for core in 0..bench.cores() {
        thread(&mut bench, core);
        unconfigured(&mut bench, core);
    }
    reply_and_notification(&mut bench);
    domains(&mut bench);
}

/// A thread with a place to run in, and nothing else.
fn fresh(bench: &mut Bench, pc: extern "C" fn()) -> Cap<Tcb> {
    let tcb = object::<Tcb>(&mut bench.system);
    tcb.configure(init::CNODE, 0, init::VSPACE, 0, None)
        .unwrap();
    let context = UserContext {
        pc: pc as *const () as u64,
        x0: COUNT.as_ptr() as u64,
        ..UserContext::default()
    };
    tcb.write_registers(false, &context).unwrap();
    tcb
}

fn thread(bench: &mut Bench, core: usize) {
    rows(&["default.tcb", "smp.affinity"]);
    let tcb = fresh(bench, count_up);
    assert_eq!(affinity(tcb), 0);
    // As an authority it may give the priority 0 only.
    let other = object::<Tcb>(&mut bench.system);
    let range = Err(Error::RangeError { min: 0, max: 0 });
    assert_eq!(other.set_priority(tcb, 1), range);
    assert_eq!(other.set_mc_priority(tcb, 1), range);
    assert_eq!(other.set_priority(tcb, 0), Ok(()));
    // It has no scheduling context, so it takes one; inactive, it does not run on that.
    let sc = bench.sched_context(core);
    assert_eq!(sc.unbind_thread(tcb), Err(Error::IllegalOperation));
    sc.bind(tcb).unwrap();
    rests(bench);
    rows(&["sched.thread.blocked", "sched.thread.restart"]);
    tcb.resume().unwrap();
    runs(bench);
    tcb.suspend().unwrap();
    rests(bench);
    tcb.resume().unwrap();
    // Its priority is 0: below 1.
    row("default.tcb");
    let upper = bench.spinner(core, 1);
    bench.runs(&upper);
    rests(bench);
    upper.thread.set_priority(0).unwrap();
    runs(bench);
    bench.runs(&upper);
    upper.thread.destroy(&mut bench.system).unwrap();
    // Without a scheduling context, and with one again.
    row("sched.thread.passive");
    sc.unbind().unwrap();
    rests(bench);
    sc.bind(tcb).unwrap();
    runs(bench);
    row("sched.thread.one-sc");
    let second = bench.sched_context(core);
    assert_eq!(second.bind(tcb), Err(Error::IllegalOperation));
    assert_eq!(sc.bind(other), Err(Error::IllegalOperation));
    let [one, two] = [(); 2].map(|()| bench.system.notification().unwrap());
    sc.bind_notification(one).unwrap();
    assert_eq!(sc.bind_notification(two), Err(Error::IllegalOperation));
    assert_eq!(second.bind_notification(one), Err(Error::IllegalOperation));
    bench.system.destroy(tcb).unwrap();
    // No handlers: a fault stops it, with a line on the console.
    row("default.tcb");
    let tcb = fresh(bench, undefined);
    debug::name_thread(tcb, "fresh");
    second.bind(tcb).unwrap();
    tcb.resume().unwrap();
    bench.sleep(2_000);
    assert_eq!(
        tcb.read_registers(false).unwrap().pc,
        undefined as *const () as u64
    );
    bench.system.destroy(tcb).unwrap();
}

/// A scheduling context that has not been configured gives no time, until it is.
fn unconfigured(bench: &mut Bench, core: usize) {
    rows(&[
        "default.sc",
        "sched.thread.unconfigured",
        "default.sc.consumed",
    ]);
    let tcb = fresh(bench, count_up);
    tcb.resume().unwrap();
    let sc: Cap<SchedContext> = bench.system.sched_context(0).unwrap();
    assert_eq!(sc.consumed(), Ok(Duration::ZERO));
    row("default.sc.yield-to");
    assert_eq!(sc.yield_to(), Err(Error::IllegalOperation));
    sc.bind(tcb).unwrap();
    assert_eq!(sc.yield_to(), Ok(Duration::ZERO));
    row("default.sc");
    rests(bench);
    assert_eq!(sc.consumed(), Ok(Duration::ZERO));
    bench.move_sc(sc, core);
    runs(bench);
    assert_eq!(affinity(tcb), core);
    bench.system.destroy(tcb).unwrap();

    row("default.sc.bind-blocked");
    let (waiter, gate) = bench.parked("waiter", core, 100, || ());
    let sc = bench.system.sched_context(0).unwrap();
    assert_eq!(sc.bind(waiter.tcb()), Err(Error::IllegalOperation));
    let params = waiter
        .tcb()
        .set_sched_params(init::TCB, 0, 100, Some(sc), None);
    assert_eq!(params, Err(Error::IllegalOperation));
    bench.move_sc(sc, core);
    sc.bind(waiter.tcb()).unwrap();
    gate.signal();
    waiter.join(&mut bench.system).unwrap();
}

fn reply_and_notification(bench: &mut Bench) {
    row("default.reply");
    let reply = bench.system.reply().unwrap();
    reply.send(Message::new(1));
    let answer = syscall::call(reply.bits(), Message::new(1));
    assert_eq!((answer.label(), answer.length()), (0, 0));
    row("default.notification");
    let notification = bench.system.notification().unwrap();
    let (thread, gate) = bench.parked("waiter", 0, 100, || ());
    assert_eq!(notification.poll(), 0);
    // Idle and without a waiter: it can be bound.
    thread.tcb().bind_notification(notification).unwrap();
    thread.tcb().unbind_notification().unwrap();
    gate.signal();
}

fn domains(bench: &mut Bench) {
    rows(&["sched.domain.zero", "defect.domains"]);
    let spinner = bench.spinner(bench.cores() - 1, 100);
    bench.runs(&spinner);
    assert_eq!(init::DOMAIN_SET.set(0, spinner.thread.tcb()), Ok(()));
    bench.runs(&spinner);
    for domain in [1, 2, 16, 255, u64::MAX] {
        assert_eq!(
            init::DOMAIN_SET.set(domain, spinner.thread.tcb()),
            Err(Error::InvalidArgument { index: 0 })
        );
    }
    rows(&["sched.domain.no-switch", "defect.domains"]);
    // Of the two entries the second is the end mark.
    let range = Err(Error::RangeError { min: 0, max: 0 });
    assert_eq!(init::DOMAIN_SET.schedule_configure(0, 0, 1), Ok(()));
    assert_eq!(init::DOMAIN_SET.schedule_configure(1, 0, 1), range);
    assert_eq!(init::DOMAIN_SET.schedule_configure(0, 1, 1), range);
    assert_eq!(init::DOMAIN_SET.schedule_set_start(0), Ok(()));
    assert_eq!(
        init::DOMAIN_SET.schedule_set_start(1),
        Err(Error::InvalidArgument { index: 0 })
    );
    bench.runs(&spinner);
    bench.sleep(20_000);
    bench.runs(&spinner);
    spinner.thread.destroy(&mut bench.system).unwrap();
}
