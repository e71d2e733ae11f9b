//! What an entry to the kernel costs a thread, and what happens to it when its budget ends: by a system call, a fault, an
//! interrupt. Exact to the smallest budget, which is what an entry must have left.
//!
//! cores: 1 2

#![no_std]
#![no_main]

use core::arch::asm;
use core::sync::atomic::Ordering;
use core::time::Duration;

use libsel4::{
    BootInfo, Budget, Cap, Message, Notification, Thread, ThreadBuilder, debug, init, root_task,
    syscall, time,
};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::{Bench, LONG_SLICE, Log, counter, fpu_keeps, spin, ticks};
use tern_target_tests::timeline::{Timeline, assert_pieces};

root_task!(main, heap = 4 << 20);

type Line = Timeline<2048>;

/// As much as may be on a core besides what is measured.
const SLACK: u64 = 60;
const GAP: u64 = 200;

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    let core = bench.cores() - 1;
    calls_are_made_once(&mut bench, core);
    faults_are_raised_once(&mut bench, core);
    just_enough(&mut bench, core);
    interrupts(&mut bench, core);
    debug_calls(&mut bench, core);
    // On the root task's core: a busy other one would delay it, since the emulated cores take turns.
    round_robin_rest(&mut bench);
    yields(&mut bench);
    kernel_time(&mut bench, core);
    timer(&mut bench);
}

fn periodic(budget: u64, period: u64) -> Budget {
    Budget::periodic(Duration::from_micros(budget), Duration::from_micros(period))
}

/// A thread whose budget ends in the middle of its calls, over and over: the server gets each of them once.
fn calls_are_made_once(bench: &mut Bench, core: usize) {
    const CALLS: u64 = 3_000;
    row("sched.entry.insufficient");
    let (expected, wrong) = (counter(), counter());
    let server = bench.active_server("server", core, 110, move |received| {
        if received.label() != expected.fetch_add(1, Ordering::Relaxed) {
            wrong.fetch_add(1, Ordering::Relaxed);
        }
        Message::new(received.label() + 1)
    });
    let endpoint = server.endpoint;
    let builder = ThreadBuilder::new("caller")
        .core(core)
        .budget(periodic(500, 5_000));
    let begin = time::counter();
    let caller = builder.spawn(&mut bench.system, move || {
        for turn in 0..CALLS {
            assert_eq!(endpoint.call(Message::new(turn)).label(), turn + 1);
        }
    });
    caller.unwrap().join(&mut bench.system).unwrap();
    assert_eq!(
        (
            expected.load(Ordering::Relaxed),
            wrong.load(Ordering::Relaxed)
        ),
        (CALLS, 0)
    );
    assert!(
        time::counter() - begin > ticks(25_000),
        "its budget never ended"
    );
    server.thread.destroy(&mut bench.system).unwrap();
}

/// The same with faults.
fn faults_are_raised_once(bench: &mut Bench, core: usize) {
    const FAULTS: u64 = 1_000;
    row("sched.entry.exception");
    let handled = counter();
    let handler = bench.active_server("handler", core, 110, move |received| {
        handled.fetch_add(1, Ordering::Relaxed);
        Message::new(0).word(received.get(0) + 4)
    });
    let builder = ThreadBuilder::new("faulter")
        .core(core)
        .budget(periodic(500, 5_000))
        .fault_handler(handler.endpoint);
    let begin = time::counter();
    let faulter = builder.spawn(&mut bench.system, move || {
        for _ in 0..FAULTS {
            // SAFETY: it changes nothing but the program counter, which the handler sets.
            unsafe { asm!("brk #1", options(nomem, nostack)) };
        }
    });
    faulter.unwrap().join(&mut bench.system).unwrap();
    assert_eq!(handled.load(Ordering::Relaxed), FAULTS);
    assert!(
        time::counter() - begin > ticks(10_000),
        "its budget never ended"
    );
    handler.thread.destroy(&mut bench.system).unwrap();
}

/// Runs a body on a new budget of 200 us in 20 ms, of which it has used nothing when it begins, and returns how long each
/// of its steps took, in microseconds.
fn on_new_budget(bench: &mut Bench, core: usize, step: fn(Cap<Notification>)) -> u64 {
    let took = counter();
    let nobody = bench.system.notification().unwrap();
    let builder = ThreadBuilder::new("exact")
        .core(core)
        .budget(periodic(200, 20_000));
    let (thread, gate): (Thread<()>, _) = bench.gated(builder, move || {
        // A new head begins here.
        syscall::yield_now();
        let begin = time::counter();
        step(nobody);
        took.store(time::counter() - begin, Ordering::Relaxed);
    });
    gate.signal();
    thread.join(&mut bench.system).unwrap();
    took.load(Ordering::Relaxed) * 1_000_000 / time::counter_frequency()
}

fn just_enough(bench: &mut Bench, core: usize) {
    row("sched.entry.sufficient");
    let took = on_new_budget(bench, core, |nobody| {
        spin(160);
        nobody.poll();
    });
    assert!((160..180).contains(&took), "it took {took} us");
    row("sched.entry.insufficient");
    let took = on_new_budget(bench, core, |nobody| {
        spin(185);
        nobody.poll();
    });
    // Done in the next period, in which all of the budget is there again.
    assert!((19_900..20_300).contains(&took), "it took {took} us");
}

/// A spinning thread's registers survive the end of its budget, and it gets on at its own pace.
fn interrupts(bench: &mut Bench, core: usize) {
    rows(&["sched.entry.interrupt", "sched.charge.release"]);
    let count = counter();
    let builder = ThreadBuilder::new("spins")
        .core(core)
        .budget(periodic(300, 3_000));
    let thread = builder
        .spawn(&mut bench.system, move || {
            loop {
                // Longer than a budget.
                assert!(fpu_keeps(0x5a5a_1234, 400_000), "its registers changed");
                count.fetch_add(1, Ordering::Relaxed);
            }
        })
        .unwrap();
    bench.eventually("it gets on", || count.load(Ordering::Relaxed) > 5);
    thread.destroy(&mut bench.system).unwrap();
}

/// With less left than an entry needs, a debug call still returns; the next real one waits for the next period.
fn debug_calls(bench: &mut Bench, core: usize) {
    row("sched.entry.debug");
    let took = on_new_budget(bench, core, |_| {
        spin(185);
        debug::cap_identify(init::TCB);
        debug::cap_identify(init::TCB);
    });
    assert!((185..199).contains(&took), "it took {took} us");
    let took = on_new_budget(bench, core, |nobody| {
        spin(185);
        debug::cap_identify(init::TCB);
        nobody.poll();
    });
    assert!((19_900..20_300).contains(&took), "it took {took} us");
}

/// A thread that is preempted in the middle of its slice has the rest of it before its equal's turn.
fn round_robin_rest(bench: &mut Bench) {
    const SLICE: u64 = 10_000;
    rows(&[
        "sched.commit.round-robin",
        "refill.when.round-robin",
        "sched.charge.round-robin",
    ]);
    let lines = [Line::new(), Line::new()];
    let slice = Budget::RoundRobin {
        slice: Duration::from_micros(SLICE),
    };
    let builder = ThreadBuilder::new("equal").budget(slice);
    let threads = lines.map(|line| bench.gated(builder.clone(), || line.record()));
    let (hog, go) = bench.gated(ThreadBuilder::new("hog").priority(120), || spin(3_000));
    // A whole slice for each, and the first one begins.
    for (thread, _) in &threads {
        bench
            .boot
            .sched_control(0)
            .configure(thread.sched().unwrap().cap(), SLICE, SLICE, 0, 0)
            .unwrap();
    }
    let origin = time::counter();
    threads.iter().for_each(|(_, gate)| gate.signal());
    bench.sleep(4_000);
    go.signal();
    bench.sleep(60_000);
    threads
        .iter()
        .for_each(|(thread, _)| thread.suspend().unwrap());
    let [first, second] = lines.map(|line| line.since(origin, GAP));
    let at = first[1].0;
    assert!((6_900..7_200).contains(&at), "{first:?}");
    assert_pieces(
        &first,
        &[
            (0, at - 3_000),
            (at, SLICE + 3_000 - at),
            (SLICE + 3_000 + SLICE, SLICE),
        ],
        2 * SLACK,
    );
    assert_pieces(
        &second,
        &[(SLICE + 3_000, SLICE), (3 * SLICE + 3_000, SLICE)],
        2 * SLACK,
    );
    for (thread, _) in threads {
        thread.destroy(&mut bench.system).unwrap();
    }
    hog.join(&mut bench.system).unwrap();
}

/// Yield gives away what is left of the head, and counts only what was used.
fn yields(bench: &mut Bench) {
    rows(&[
        "sched.yield.whole",
        "sched.yield.next",
        "sched.yield.consumed",
    ]);
    let line = Line::new();
    let (thread, gate) = bench.gated(
        ThreadBuilder::new("yields").budget(periodic(2_000, 20_000)),
        move || {
            for _ in 0..4 {
                let begin = time::counter();
                line.record_while(|| time::counter() - begin < ticks(500));
                syscall::yield_now();
            }
        },
    );
    let sc = thread.sched().unwrap().cap();
    bench
        .boot
        .sched_control(0)
        .configure(sc, 2_000, 20_000, 0, 0)
        .unwrap();
    sc.consumed().unwrap();
    let origin = time::counter();
    gate.signal();
    thread.wait().unwrap();
    let expected = [(0, 500), (20_000, 500), (40_000, 500), (60_000, 500)];
    assert_pieces(&line.since(origin, 0), &expected, SLACK);
    let used = sc.consumed().unwrap();
    assert!((2_000..2_200).contains(&used.as_micros()), "{used:?}");
    thread.destroy(&mut bench.system).unwrap();

    // Two refills that are due: it goes on at once, behind its equal.
    row("sched.yield.next");
    let log = Log::new();
    let go = bench.system.notification().unwrap();
    let (thread, gate) = bench.gated(
        ThreadBuilder::new("two").budget(periodic(2_000, 20_000)),
        move || {
            spin(500);
            go.wait();
            log.push(1);
            syscall::yield_now();
            log.push(2);
            syscall::yield_now();
            log.push(3);
        },
    );
    let (equal, equal_gate) = bench
        .gated(ThreadBuilder::new("equal").budget(LONG_SLICE), move || {
            log.push(9)
        });
    let sc = thread.sched().unwrap().cap();
    // Sporadic, or the two would become one when it goes on.
    bench
        .boot
        .sched_control(0)
        .configure_flags(sc, 2_000, 20_000, 0, 0, true)
        .unwrap();
    gate.signal();
    bench.sleep(5_000);
    // Kept from running until its second refill is due as well.
    let hog = ThreadBuilder::new("hog").priority(120).budget(LONG_SLICE);
    let (hog, hog_gate) = bench.gated(hog, || spin(17_000));
    hog_gate.signal();
    go.signal();
    equal_gate.signal();
    bench.sleep(18_000);
    log.take(&[1, 9, 2]);
    // What it gave away first comes back one period after the wake-up.
    bench.sleep(4_000);
    log.take(&[3]);
    for thread in [thread, equal, hog] {
        thread.destroy(&mut bench.system).unwrap();
    }
}

/// A thread that does nothing but system calls pays for all of the time.
fn kernel_time(bench: &mut Bench, core: usize) {
    row("sched.time.kernel");
    let nobody = bench.system.notification().unwrap();
    let builder = ThreadBuilder::new("calls").core(core).budget(LONG_SLICE);
    let (thread, gate) = bench.gated(builder, move || {
        let begin = time::counter();
        while time::counter() - begin < ticks(20_000) {
            nobody.poll();
        }
    });
    let sc = thread.sched().unwrap().cap();
    sc.consumed().unwrap();
    gate.signal();
    thread.wait().unwrap();
    let used = sc.consumed().unwrap();
    assert!((20_000..20_200).contains(&used.as_micros()), "{used:?}");
    thread.destroy(&mut bench.system).unwrap();
}

/// A more important thread comes and goes in time, to the tick of its refills.
fn timer(bench: &mut Bench) {
    rows(&[
        "sched.timer.budget",
        "sched.timer.release",
        "sched.exit.awaken",
    ]);
    let lines = [Line::new(), Line::new(), Line::new()];
    let upper = ThreadBuilder::new("upper")
        .priority(110)
        .budget(periodic(1_000, 5_000));
    let lower = ThreadBuilder::new("lower").budget(LONG_SLICE);
    let lowest = ThreadBuilder::new("lowest")
        .priority(90)
        .budget(periodic(1_000, 5_000));
    let [upper, lower, lowest] = [(upper, lines[0]), (lower, lines[1]), (lowest, lines[2])]
        .map(|(builder, line)| bench.gated(builder, || line.record()));
    bench.sleep(10_000);
    let origin = time::counter();
    for (_, gate) in [&upper, &lower, &lowest] {
        gate.signal();
    }
    bench.sleep(40_000);
    let [first, second, third] = lines.map(|line| line.since(origin, 20));
    assert_pieces(
        &first,
        &[0, 5_000, 10_000, 15_000, 20_000].map(|at| (at, 1_000)),
        SLACK,
    );
    assert_pieces(
        &second,
        &[1_000, 6_000, 11_000, 16_000].map(|at| (at, 4_000)),
        SLACK,
    );
    // What is due but less important does not run.
    assert!(third.is_empty(), "{third:?}");
    for (thread, _) in [upper, lower, lowest] {
        thread.destroy(&mut bench.system).unwrap();
    }
}
