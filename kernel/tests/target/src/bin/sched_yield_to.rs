//! YieldTo: returns at once for a target that cannot run, is less important or on another core; otherwise the target runs
//! before the caller, who learns how long it ran. The wait ends when the target blocks, moves or dies.
//!
//! cores: 1 2 4
//! icount: both

#![no_std]
#![no_main]

use core::time::Duration;

use libsel4::{BootInfo, Error, ThreadBuilder, init, root_task, thread_block};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::{Bench, LONG_SLICE, Log, exact_time, spin};

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    rows(&["yield-to.not-runnable", "default.sc.yield-to"]);
    errors(&mut bench);
    rows(&[
        "sched-context.yield-to.switch",
        "sched-context.yield-to.ends",
        "sched-context.yield-to.result",
        "yield-to.switches",
        "yield-to.result",
        "yield-to.ends.runs",
        "consumed.yield-to",
    ]);
    switches(&mut bench);
    rows(&[
        "sched-context.yield-to.less",
        "yield-to.less",
        "sched.decide.beaten",
    ]);
    less_important(&mut bench);
    rows(&["yield-to.ends.deleted", "tern.yield-to.link"]);
    ends(&mut bench);
    second(&mut bench);
    no_time(&mut bench);
    if bench.cores() > 1 {
        row("sched-context.yield-to.other-core");
        rows(&[
            "yield-to.remote",
            "smp.yield-to",
            "tern.yield-to.remote",
            "defect.yield-to-remote",
            "defect.sel4test-155",
        ]);
        other_core(&mut bench);
    }
}

fn errors(bench: &mut Bench) {
    let free = bench.sched_context(0);
    row("sched-context.yield-to.no-thread");
    assert_eq!(free.yield_to(), Err(Error::IllegalOperation));
    row("sched-context.yield-to.own");
    assert_eq!(init::SCHED_CONTEXT.yield_to(), Err(Error::IllegalOperation));
    let (blocked, _) = bench.gated(ThreadBuilder::new("blocked"), || ());
    let target = blocked.sched().unwrap().cap();
    row("sched-context.yield-to.maximum");
    // The maximum controlled priority of the caller counts.
    let (caller, gate) = bench.gated(ThreadBuilder::new("caller").mc_priority(99), move || {
        target.yield_to()
    });
    gate.signal();
    assert_eq!(
        caller.join(&mut bench.system).unwrap(),
        Err(Error::IllegalOperation)
    );
    rows(&[
        "sched-context.yield-to.blocked",
        "sched-context.yield-to.result",
    ]);
    // A blocked target: at once, with what it used so far.
    target.consumed().unwrap();
    assert_eq!(target.yield_to(), Ok(Duration::ZERO));
    blocked.destroy(&mut bench.system).unwrap();
}

/// Of equal and of higher priority: the target goes first, also before others of the priority.
fn switches(bench: &mut Bench) {
    let log = Log::new();
    for priority in [100, 110] {
        let other = bench.gated(ThreadBuilder::new("other").budget(LONG_SLICE), move || {
            log.push(5)
        });
        let wake = bench.system.notification().unwrap();
        // Made ready by the caller's own hand only just before, so that it has not run at the higher priority.
        let target = bench.gated(
            ThreadBuilder::new("target").priority(90).budget(LONG_SLICE),
            move || {
                log.push(2);
                spin(1_000);
                wake.wait();
                log.push(6);
            },
        );
        let (target_tcb, target_sc) = (target.0.tcb(), target.0.sched().unwrap().cap());
        let (caller, gate) = bench.gated(
            ThreadBuilder::new("caller")
                .mc_priority(200)
                .budget(LONG_SLICE),
            move || {
                let me = thread_block::current().unwrap().tcb();
                log.push(1);
                me.set_priority(me, 200).unwrap();
                target_tcb.set_priority(me, priority).unwrap();
                me.set_priority(me, priority).unwrap();
                target_sc.consumed().unwrap();
                let used = target_sc.yield_to().unwrap();
                log.push(3);
                used
            },
        );
        target.1.signal();
        gate.signal();
        other.1.signal();
        bench.eventually("both", || caller.is_finished() && log.len() >= 4);
        wake.signal();
        let used = caller.join(&mut bench.system).unwrap();
        // Without the root task's interludes it is one millisecond; they are not the target's time.
        assert!(used > Duration::from_micros(100), "used {used:?}");
        target.0.join(&mut bench.system).unwrap();
        other.0.join(&mut bench.system).unwrap();
        log.take(&[1, 2, 3, 5, 6]);
    }
}

fn less_important(bench: &mut Bench) {
    let log = Log::new();
    let first = bench.gated(
        ThreadBuilder::new("first").priority(90).budget(LONG_SLICE),
        move || log.push(3),
    );
    let target = bench.gated(
        ThreadBuilder::new("target").priority(90).budget(LONG_SLICE),
        move || log.push(2),
    );
    let sc = target.0.sched().unwrap().cap();
    let (caller, gate) = bench.gated(
        ThreadBuilder::new("caller")
            .mc_priority(200)
            .budget(LONG_SLICE),
        move || {
            assert!(sc.yield_to().is_ok());
            log.push(1);
        },
    );
    first.1.signal();
    target.1.signal();
    gate.signal();
    bench.eventually("all", || log.len() == 3);
    log.take(&[1, 2, 3]);
    caller.join(&mut bench.system).unwrap();
    target.0.join(&mut bench.system).unwrap();
    first.0.join(&mut bench.system).unwrap();
}

/// The target spins beside the caller with a slice that is too long to wait for; what ends the wait is done by the root task.
fn ends(bench: &mut Bench) {
    for case in 0..7 {
        let moves = matches!(case, 3 | 5);
        if moves && bench.cores() == 1 {
            continue;
        }
        row(if moves {
            "sched-context.yield-to.moved"
        } else {
            "sched-context.yield-to.ends"
        });
        let target = bench.spinner_with(
            ThreadBuilder::new("target")
                .priority(110)
                .budget(LONG_SLICE),
        );
        let sc = target.sc();
        target.thread.suspend().unwrap();
        let target_tcb = target.thread.tcb();
        let log = Log::new();
        let (caller, gate) = bench.gated(
            ThreadBuilder::new("caller").priority(120).mc_priority(200),
            move || {
                let me = thread_block::current().unwrap().tcb();
                target_tcb.resume().unwrap();
                me.set_priority(me, 110).unwrap();
                log.push(1);
                let used = sc.yield_to();
                log.push(2);
                used
            },
        );
        gate.signal();
        bench.runs(&target);
        log.take(&[1]);
        match case {
            0 => target.thread.suspend().unwrap(),
            1 => bench.system.destroy(target_tcb).unwrap(),
            2 => sc.slot().delete().unwrap(),
            3 => bench.move_sc(sc, bench.cores() - 1),
            5 => bench.move_sc(caller.sched().unwrap().cap(), bench.cores() - 1),
            6 => sc.unbind().unwrap(),
            _ => target.thread.set_priority(109).unwrap(),
        }
        bench.eventually("the caller", || caller.is_finished());
        let used = caller.join(&mut bench.system).unwrap();
        log.take(&[2]);
        assert!(used.is_ok(), "case {case}: {used:?}");
        if case != 1 {
            target.thread.destroy(&mut bench.system).unwrap();
        }
    }
}

/// Another caller ends the wait of the first: what the target uses from then on is not told to that one.
fn second(bench: &mut Bench) {
    row("sched-context.yield-to.second");
    let target = bench.spinner_with(
        ThreadBuilder::new("target")
            .priority(110)
            .budget(LONG_SLICE),
    );
    let sc = target.sc();
    target.thread.suspend().unwrap();
    let target_tcb = target.thread.tcb();
    let (first, gate) = bench.gated(
        ThreadBuilder::new("first").priority(120).mc_priority(200),
        move || {
            let me = thread_block::current().unwrap().tcb();
            target_tcb.resume().unwrap();
            me.set_priority(me, 110).unwrap();
            sc.yield_to()
        },
    );
    gate.signal();
    bench.runs(&target);
    let (second, gate) = bench.gated(
        ThreadBuilder::new("second").priority(120).mc_priority(200),
        move || sc.yield_to(),
    );
    gate.signal();
    // It is more important than the target, so it does not wait.
    bench.eventually("the second", || second.is_finished());
    assert!(second.join(&mut bench.system).unwrap().is_ok());
    bench.sleep(40_000);
    target.thread.suspend().unwrap();
    bench.eventually("the first", || first.is_finished());
    let used = first.join(&mut bench.system).unwrap().unwrap();
    assert!(used > Duration::ZERO);
    if exact_time() {
        assert!(used < Duration::from_millis(30), "{used:?}");
    }
    target.thread.destroy(&mut bench.system).unwrap();
}

/// A target without budget: it keeps waiting for its refill, and the caller does not.
fn no_time(bench: &mut Bench) {
    row("sched-context.yield-to.no-time");
    let target = bench.spinner(0, 110);
    let sc = target.sc();
    let control = bench.boot.sched_control(0);
    control.configure(sc, 1_000, 600_000_000, 0, 0).unwrap();
    bench.sleep(20_000);
    bench.rests(&target);
    let builder = ThreadBuilder::new("caller").mc_priority(200).priority(100);
    let (caller, gate) = bench.gated(builder, move || [sc.yield_to(), sc.yield_to()]);
    gate.signal();
    bench.eventually("the caller", || caller.is_finished());
    let [before, nothing] = caller.join(&mut bench.system).unwrap();
    assert!(before.unwrap() > Duration::ZERO);
    assert_eq!(nothing, Ok(Duration::ZERO));
    bench.rests(&target);
    target.thread.destroy(&mut bench.system).unwrap();
}

/// Returns at once and puts the target first among its equals there.
fn other_core(bench: &mut Bench) {
    let log = Log::new();
    let core = bench.cores() - 1;
    let hog = bench.spinner(core, 120);
    hog.thread.suspend().unwrap();
    let threads: [_; 3] = core::array::from_fn(|index| {
        let builder = ThreadBuilder::new("remote").core(core).budget(LONG_SLICE);
        bench.gated(builder, move || log.push(index as u64))
    });
    hog.thread.resume().unwrap();
    bench.runs(&hog);
    threads.iter().for_each(|(_, gate)| gate.signal());
    assert!(threads[2].0.sched().unwrap().cap().yield_to().is_ok());
    // The library knows that this would be in vain.
    assert!(threads[2].0.sched().unwrap().yield_to().is_err());
    assert!(log.is_empty());
    hog.thread.suspend().unwrap();
    bench.eventually("all three", || log.len() == 3);
    log.take(&[2, 0, 1]);
    for (thread, _) in threads {
        thread.join(&mut bench.system).unwrap();
    }
    hog.thread.destroy(&mut bench.system).unwrap();
}
