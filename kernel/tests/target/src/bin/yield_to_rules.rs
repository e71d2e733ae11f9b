//! YieldTo: what is written where, also by Send; a second one to the same target; a target without budget, or that has none of
//! its own. (Order and ends: `sched_yield_to`.)
//!
//! cores: 1 2 4

#![no_std]
#![no_main]

use core::sync::atomic::Ordering;
use core::time::Duration;

use libsel4::abi::Invocation;
use libsel4::{
    BootInfo, Budget, Cap, Notification, SchedContext, Thread, ThreadBuilder, init, root_task,
    syscall, time,
};
use tern_target_tests::objects::{Ended, Puppet, call_registers, info};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::{Bench, LONG_SLICE, Log, counter, spin, ticks};

root_task!(main);

const CALL: i64 = -1;
const SEND: i64 = -5;

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    for core in 0..bench.cores() {
        registers(&mut bench, core);
        rows(&["yield-to.earlier", "yield-to.ends.another"]);
        twice(&mut bench, core);
        row("yield-to.not-due");
        not_due(&mut bench, core);
    }
}

/// A target that works for a millisecond once it is let, and then blocks. It is more important than who yields.
fn target(bench: &mut Bench, core: usize, priority: u8) -> (Thread<()>, Cap<Notification>) {
    let builder = ThreadBuilder::new("target")
        .core(core)
        .priority(priority)
        .budget(LONG_SLICE);
    let go = bench.system.notification().unwrap();
    let (thread, gate) = bench.gated(builder, move || {
        loop {
            go.wait();
            spin(1_000);
        }
    });
    gate.signal();
    bench.settle(2_000);
    (thread, go)
}

/// What a puppet that yields finds in its registers: x0, message information and the time; the others are as they were.
fn registers(bench: &mut Bench, core: usize) {
    let puppet = Puppet::new(&mut bench.system, core, 100);
    puppet.tcb.set_mc_priority(init::TCB, 255).unwrap();
    let (target, go) = target(bench, core, 110);
    let sc = target.sched().unwrap().cap();
    for number in [CALL, SEND] {
        row(if number == SEND {
            "yield-to.result-send"
        } else {
            "yield-to.result"
        });
        // Ready, but kept from running until the puppet has yielded.
        target.set_priority(90).unwrap();
        let hog = bench.spinner_with(
            ThreadBuilder::new("hog")
                .core(core)
                .priority(95)
                .budget(LONG_SLICE),
        );
        bench.runs(&hog);
        go.signal();
        bench.sleep(500);
        sc.consumed().unwrap();
        puppet.tcb.set_priority(init::TCB, 90).unwrap();
        let yield_to = info(Invocation::SchedContextYieldTo.label(), 0, 0);
        let registers = call_registers(number, sc.bits(), yield_to, [2, 3, 4, 5], 6);
        puppet.begin_syscall(&registers);
        bench.sleep(500);
        hog.thread.suspend().unwrap();
        let Ended::Returned(after) = puppet.end_of_syscall() else {
            panic!("a fault")
        };
        assert_eq!((after.x0, after.x1), (0, info(0, 0, 1)), "call {number}");
        assert!((900..1_300).contains(&after.x2), "{} us", after.x2);
        assert_eq!((after.x3, after.x4, after.x5, after.x6), (3, 4, 5, 6));
        // Read and reset: all that was used is told.
        assert!(sc.consumed().unwrap() < Duration::from_micros(50));
        hog.thread.destroy(&mut bench.system).unwrap();
    }
    target.destroy(&mut bench.system).unwrap();
}

/// A second thread yields to the target of a first one, which thereby has its result: what the target used until then.
fn twice(bench: &mut Bench, core: usize) {
    let (log, told, second_go) = (Log::new(), counter(), bench.system.notification().unwrap());
    let builder = ThreadBuilder::new("target").core(core).budget(LONG_SLICE);
    let (target, gate) = bench.gated(builder, move || {
        log.push(1);
        spin(1_000);
        // The second one, which is more important, yields now.
        second_go.signal();
        log.push(3);
        spin(3_000);
        log.push(4);
    });
    let sc = target.sched().unwrap().cap();
    let yielder = ThreadBuilder::new("yielder")
        .core(core)
        .budget(LONG_SLICE)
        .mc_priority(200);
    let (first, first_gate) = bench.gated(yielder.clone(), move || {
        sc.consumed().unwrap();
        told.store(sc.yield_to().unwrap().as_micros() as u64, Ordering::Relaxed);
        log.push(5);
    });
    let (second, second_gate) = bench.gated(yielder.priority(120), move || {
        second_go.wait();
        assert_eq!(
            sc.yield_to(),
            Ok(Duration::ZERO),
            "the first one has it all"
        );
        log.push(2);
    });
    second_gate.signal();
    bench.settle(2_000);
    first_gate.signal();
    gate.signal();
    target.wait().unwrap();
    bench.eventually("both", || first.is_finished() && second.is_finished());
    log.take(&[1, 2, 3, 4, 5]);
    let told = told.load(Ordering::Relaxed);
    assert!((1_000..1_300).contains(&told), "{told} us");
    for thread in [first, second, target] {
        thread.destroy(&mut bench.system).unwrap();
    }
}

/// A target that is out of budget waits for its refill, and nobody waits for it.
fn not_due(bench: &mut Bench, core: usize) {
    let (went_on, begin) = (counter(), time::counter());
    let builder = ThreadBuilder::new("target")
        .core(core)
        .priority(110)
        .budget(Budget::periodic(
            Duration::from_micros(500),
            Duration::from_millis(20),
        ));
    let (target, gate) = bench.gated(builder, move || {
        syscall::yield_now();
        went_on.store(time::counter(), Ordering::Relaxed);
    });
    let sc: Cap<SchedContext> = target.sched().unwrap().cap();
    gate.signal();
    bench.sleep(2_000);
    let yielder = ThreadBuilder::new("yielder").core(core).mc_priority(200);
    let (yielder, gate) = bench.gated(yielder, move || {
        let before = time::counter();
        assert!(sc.yield_to().is_ok());
        assert!(time::counter() - before < ticks(100));
    });
    gate.signal();
    yielder.join(&mut bench.system).unwrap();
    assert_eq!(went_on.load(Ordering::Relaxed), 0);
    target.wait().unwrap();
    let passed = went_on.load(Ordering::Relaxed) - begin;
    assert!(
        (ticks(19_000)..ticks(22_000)).contains(&passed),
        "{passed} ticks"
    );
    target.destroy(&mut bench.system).unwrap();
}
