//! A scheduling context that moves to another core keeps its refills: one that is used up, whatever its thread does, and one in
//! the middle of its budget; and with other parameters it has no more than the larger of both. (Thousands of moves:
//! `time_budget`. The arithmetic: `refill_rules`.)
//!
//! cores: 2 4

#![no_std]
#![no_main]

use core::time::Duration;

use libsel4::{BootInfo, Budget, Cap, Message, SchedContext, ThreadBuilder, root_task, time};
use tern_target_tests::rows::rows;
use tern_target_tests::sched::{Bench, affinity, ticks};
use tern_target_tests::timeline::{Timeline, assert_pieces};

root_task!(main, heap = 8 << 20);

const BUDGET: u64 = 2_000;
const PERIOD: u64 = 50_000;
const SLACK: u64 = 100;
/// Others' short work on the core, and the way to another.
const GAP: u64 = 300;

type Line = Timeline<1024>;

/// What the thread does, and where its context is, when that moves.
#[derive(Clone, Copy, PartialEq, Eq)]
enum When {
    /// It waits for its refill.
    Waits,
    /// It is inactive.
    Inactive,
    /// The context is nobody's.
    Free,
}

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    for to in 1..bench.cores() {
        rows(&["tern.move.keeps-refills", "smp.configure.blocked"]);
        for when in [When::Waits, When::Inactive, When::Free] {
            used_up(&mut bench, to, when, (BUDGET, PERIOD), (BUDGET, BUDGET));
        }
        blocked(&mut bench, to);
        rows(&["tern.move.changed"]);
        for when in [When::Waits, When::Inactive, When::Free] {
            used_up(&mut bench, to, when, (1_000, PERIOD), (1_000, 1_000));
            // What is more than it had comes a period after that.
            used_up(&mut bench, to, when, (3_000, PERIOD), (BUDGET, 3_000));
            used_up(&mut bench, to, when, (BUDGET, PERIOD / 2), (BUDGET, BUDGET));
        }
        rows(&["tern.move.charges-old-core", "smp.configure.running"]);
        in_the_middle(&mut bench, to, BUDGET);
        in_the_middle(&mut bench, to, 3_000);
    }
}

fn configure(bench: &Bench, core: usize, sc: Cap<SchedContext>, budget: u64, period: u64) {
    let control = bench.boot.sched_control(core);
    control.configure(sc, budget, period, 4, 0).unwrap();
}

fn builder() -> ThreadBuilder {
    ThreadBuilder::new("subject").budget(Budget::Periodic {
        budget: Duration::from_micros(BUDGET),
        period: Duration::from_micros(PERIOD),
        extra_refills: 4,
    })
}

/// The whole budget is used on core 0 from time 0. The context moves, to another budget and period, at 10 ms: what it has
/// comes no earlier than without the move.
fn used_up(
    bench: &mut Bench,
    to: usize,
    when: When,
    (budget, period): (u64, u64),
    (second, third): (u64, u64),
) {
    let line = Line::new();
    let (thread, gate) = bench.gated(builder(), || line.record());
    let (tcb, sc) = (thread.tcb(), thread.sched().unwrap().cap());
    configure(bench, 0, sc, BUDGET, PERIOD);
    let origin = time::counter();
    gate.signal();
    bench.sleep(10_000);
    match when {
        When::Waits => {}
        When::Inactive => tcb.suspend().unwrap(),
        When::Free => sc.unbind().unwrap(),
    }
    configure(bench, to, sc, budget, period);
    match when {
        When::Waits => {}
        When::Inactive => tcb.resume().unwrap(),
        When::Free => sc.bind(tcb).unwrap(),
    }
    assert_eq!(affinity(tcb), to);
    bench.sleep(4 * PERIOD);
    let expected = [(0, BUDGET), (PERIOD, second), (PERIOD + period, third)];
    assert_pieces(&line.since(origin, GAP), &expected, SLACK);
    thread.destroy(&mut bench.system).unwrap();
}

/// It blocks when it has used three quarters of its budget. Woken on another core at 10 ms, it has a quarter, and the rest
/// when it is due.
fn blocked(bench: &mut Bench, to: usize) {
    const FIRST: u64 = 1_500;
    let line = Line::new();
    let endpoint = bench.system.endpoint().unwrap();
    let (thread, gate) = bench.gated(builder(), move || {
        let begin = time::counter();
        line.record_while(|| time::counter() - begin < ticks(FIRST));
        endpoint.wait();
        line.record();
    });
    let (tcb, sc) = (thread.tcb(), thread.sched().unwrap().cap());
    configure(bench, 0, sc, BUDGET, PERIOD);
    let origin = time::counter();
    gate.signal();
    bench.sleep(10_000);
    configure(bench, to, sc, BUDGET, PERIOD);
    assert_eq!(affinity(tcb), to);
    endpoint.nb_send(Message::new(0));
    bench.sleep(3 * PERIOD);
    let found = line.since(origin, GAP);
    let woken = found[1].0;
    assert!((10_000..11_000).contains(&woken), "{found:?}");
    let expected = [
        (0, FIRST),
        (woken, BUDGET - FIRST),
        (PERIOD, FIRST),
        (PERIOD + woken, BUDGET - FIRST),
    ];
    assert_pieces(&found, &expected, SLACK);
    thread.destroy(&mut bench.system).unwrap();
}

/// It moves when it has used half of its budget: the other half is left.
fn in_the_middle(bench: &mut Bench, to: usize, budget: u64) {
    let line = Line::new();
    let (thread, gate) = bench.gated(builder(), || line.record());
    let sc = thread.sched().unwrap().cap();
    configure(bench, 0, sc, BUDGET, PERIOD);
    let origin = time::counter();
    gate.signal();
    bench.sleep(BUDGET / 2);
    configure(bench, to, sc, budget, PERIOD);
    bench.sleep(3 * PERIOD);
    let found = line.since(origin, GAP);
    assert_pieces(&found, &[(0, BUDGET)], SLACK);
    assert!(found[1].0 + SLACK >= PERIOD, "{found:?}");
    assert!(found[1].1 <= budget + SLACK, "{found:?}");
    assert_eq!(affinity(thread.tcb()), to);
    thread.destroy(&mut bench.system).unwrap();
}
