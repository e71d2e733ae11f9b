//! SchedControl_ConfigureFlags refuses bad arguments in the order of the interface, and changes nothing then. Consumed counts
//! and clears. Binding a context that is not ready to a waiting thread is refused.
//!
//! cores: 1 2

#![no_std]
#![no_main]

use core::time::Duration;

use libsel4::abi::Invocation;
use libsel4::{
    BootInfo, Cap, Error, Message, SchedContext, ThreadBuilder, init, ipc_buffer, root_task,
    syscall, time,
};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::{Bench, exact_time};

root_task!(main);

const MIN: u64 = 20;

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    rows(&[
        "sched.time.smallest",
        "refill.configure.max",
        "refill.configure.round-robin",
    ]);
    errors(&mut bench);
    rows(&[
        "consumed.resets",
        "consumed.at-charge",
        "default.sc.consumed",
        "sched.commit.switch",
    ]);
    consumed(&mut bench);
    rows(&["default.sc.bind-blocked", "refill.configure.schedules"]);
    not_ready(&mut bench);
}

fn errors(bench: &mut Bench) {
    let control = bench.boot.sched_control(bench.cores() - 1);
    let sc = bench.system.sched_context(0).unwrap();
    let wrong: Cap<SchedContext> = init::TCB.cast();
    let configure = |sc, budget, period, extra| control.configure(sc, budget, period, extra, 0);
    row("sched-control.greatest");
    // The greatest budget is what the kernel says it is, in every error.
    let Err(Error::RangeError { min: MIN, max }) = configure(sc, u64::MAX, 0, 0) else {
        panic!("the greatest budget");
    };
    let range = |max| Err(Error::RangeError { min: MIN, max });
    rows(&["sched-control.greatest", "sched-control.order"]);
    assert_eq!(configure(wrong, max + 1, 0, 99), range(max));
    assert_eq!(configure(wrong, 0, max + 1, 99), range(max));
    rows(&["sched-control.smallest", "sched-control.order"]);
    assert_eq!(configure(wrong, 19, 5, 99), range(max));
    assert_eq!(configure(wrong, 20, 19, 99), range(max));
    rows(&["sched-control.budget", "sched-control.order"]);
    assert_eq!(configure(wrong, 1001, 1000, 99), range(1000));
    rows(&["sched-control.kind", "sched-control.order"]);
    assert_eq!(
        configure(wrong, 1000, 1000, 99),
        Err(Error::InvalidCapability { index: 1 })
    );
    row("sched-control.refills");
    assert_eq!(
        configure(sc, 1000, 2000, 1),
        Err(Error::RangeError { min: 0, max: 0 })
    );
    let larger = bench.system.sched_context(8).unwrap();
    assert_eq!(
        configure(larger, 1000, 2000, 9),
        Err(Error::RangeError { min: 0, max: 8 })
    );
    assert_eq!(configure(larger, 1000, 2000, 8), Ok(()));
    row("sched-control.greatest-value");
    let hertz = time::counter_frequency();
    let whole = [1_000_000, 1_000, 1]
        .into_iter()
        .find(|&unit| hertz.is_multiple_of(unit));
    assert_eq!(max, u64::MAX / (hertz / whole.unwrap()) / 8);
    assert_eq!(configure(sc, max, max, 0), Ok(()));
    assert_eq!(configure(sc, MIN, MIN, 0), Ok(()));
    row("sched-control.truncated");
    // Too little: first the capabilities, then the words.
    let label = Invocation::SchedControlConfigureFlags.label();
    let short = Message::new(label).words(&[u64::MAX, 0, 0, 0]);
    assert_eq!(syscall::call(control.bits(), short).label(), 7);
    ipc_buffer::set_cap(0, sc.bits());
    assert_eq!(syscall::call(control.bits(), short.cap(sc)).label(), 7);
    rows(&["sched-control.label", "sched-context.label"]);
    let other = Message::new(Invocation::SchedContextConsumed.label());
    assert_eq!(syscall::call(control.bits(), other).label(), 3);
    assert_eq!(syscall::call(sc.bits(), Message::new(label)).label(), 3);
}

fn consumed(bench: &mut Bench) {
    row("sched-context.consumed");
    let fresh = bench.system.sched_context(0).unwrap();
    assert_eq!(fresh.consumed(), Ok(Duration::ZERO));
    let spinner = bench.spinner(0, 100);
    let sc = spinner.sc();
    bench.runs(&spinner);
    sc.consumed().unwrap();
    assert_eq!(sc.consumed(), Ok(Duration::ZERO), "it is cleared");
    bench.sleep(10_000);
    let used = sc.consumed().unwrap();
    let least = if exact_time() { 9_500 } else { 100 };
    assert!(used >= Duration::from_micros(least), "{used:?}");
    if exact_time() {
        assert!(used <= Duration::from_micros(10_500), "{used:?}");
    }
    assert_eq!(sc.consumed(), Ok(Duration::ZERO));
    spinner.thread.destroy(&mut bench.system).unwrap();
}

fn not_ready(bench: &mut Bench) {
    rows(&["sched-context.bind.blocked", "tcb.params.blocked"]);
    let (waiting, gate) = bench.parked("waiting", 0, 100, || ());
    let fresh = bench.system.sched_context(0).unwrap();
    assert_eq!(fresh.bind(waiting.tcb()), Err(Error::IllegalOperation));
    // Used up for a long time by another thread.
    let builder = ThreadBuilder::new("user");
    let user = builder
        .spawn(&mut bench.system, syscall::yield_now)
        .unwrap();
    let used = user.sched().unwrap().cap();
    bench
        .boot
        .sched_control(0)
        .configure(used, 100_000, 10_000_000, 0, 0)
        .unwrap();
    bench.sleep(3_000);
    used.unbind().unwrap();
    assert_eq!(used.bind(waiting.tcb()), Err(Error::IllegalOperation));
    let params = waiting
        .tcb()
        .set_sched_params(init::TCB, 0, 100, Some(used), None);
    assert_eq!(params, Err(Error::IllegalOperation));
    // A runnable thread may be bound, and waits.
    gate.signal();
    used.bind(waiting.tcb()).unwrap();
    bench.sleep(3_000);
    assert!(!waiting.is_finished());
    bench.move_sc(used, 0);
    bench.eventually("a new budget", || waiting.is_finished());
}
