//! A thread with 2 ms in every 10 ms never gets more in any window of 10 ms: spinning, and moved to random cores a hundred
//! thousand times (in real time, a tenth of that). It gets about its share, too. (A million moves, and whatever else a greedy
//! user can do, are tested where the refills are: `mcs/tests/conservation.rs`.)
//!
//! cores: 1 2 4
//! icount: both
//! timeout: 240

#![no_std]
#![no_main]

use core::time::Duration;

use libsel4::{BootInfo, Budget, ThreadBuilder, root_task, time};
use tern_target_tests::rows::rows;
use tern_target_tests::sched::{Bench, exact_time, ticks};
use tern_target_tests::timeline::Timeline;

root_task!(main, heap = 4 << 20);

const BUDGET_US: u64 = 2_000;
const PERIOD_US: u64 = 10_000;
/// Moves in a round: what there is room to note for.
const MOVES: u64 = 10_000;
const PIECES: usize = 1 << 14;

type Pieces = Timeline<PIECES>;

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    let pieces = Pieces::new();
    for (moves, sporadic) in [(0, false), (MOVES, false), (2_000, true)] {
        if moves > 0 && bench.cores() == 1 {
            continue;
        }
        if moves > 0 {
            rows(&[
                "tern.move.keeps-refills",
                "tern.move.charges-old-core",
                "defect.budget-by-moves",
            ]);
        } else {
            rows(&["sched.timer.budget", "sched.timer.release"]);
        }
        let rounds = if exact_time() && moves == MOVES {
            10
        } else {
            1
        };
        for round in 0..rounds {
            pieces.clear();
            one(&mut bench, pieces, moves, sporadic, round + 1);
        }
    }
}

fn one(bench: &mut Bench, pieces: &'static Pieces, moves: u64, sporadic: bool, seed: u64) {
    let budget = Budget::Periodic {
        budget: Duration::from_micros(BUDGET_US),
        period: Duration::from_micros(PERIOD_US),
        extra_refills: 4,
    };
    let builder = ThreadBuilder::new("periodic").budget(budget);
    let (thread, gate) = bench.gated(builder, || pieces.record());
    let sc = thread.sched().unwrap().cap();
    let configure = |core| {
        bench
            .boot
            .sched_control(core)
            .configure_flags(sc, BUDGET_US, PERIOD_US, 4, 0, sporadic)
            .unwrap();
    };
    configure(0);
    gate.signal();
    let begin = time::counter();
    if moves == 0 {
        bench.sleep(200_000);
    }
    let (mut random, mut core) = (88_172_645_463_325_252 * seed, 0);
    for turn in 0..moves {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        // Always another core: staying would be a fresh budget, by the interface.
        core = (core + 1 + random as usize % (bench.cores() - 1)) % bench.cores();
        configure(core);
        if turn % 8 == 0 {
            bench.sleep(400 + (random >> 32) % 1_000);
        }
    }
    let span = time::counter() - begin;
    thread.suspend().unwrap();
    check(pieces, span, moves == 0, sporadic);
    thread.destroy(&mut bench.system).unwrap();
}

fn check(pieces: &Pieces, span: u64, undisturbed: bool, sporadic: bool) {
    let count = pieces.len();
    assert!(count > 1, "it did not run");
    let piece = |index: usize| pieces.piece(index);
    let mut total = 0;
    for first in 0..count {
        let (window, end) = piece(first);
        total += end - window;
        // Windows that begin where a piece begins are the worst.
        let until = window + ticks(PERIOD_US);
        let mut used = 0;
        for index in first..count {
            let (start, end) = piece(index);
            if start >= until {
                break;
            }
            used += end.min(until) - start;
        }
        // A sporadic context that is kept from running may use the end of one budget and the next back to back.
        // In real time an emulated timer may come late. What was used too much is taken off later, as below.
        assert!(
            used <= ticks(BUDGET_US) || sporadic || !exact_time(),
            "{used} of {} ticks used in a period from piece {first}",
            ticks(BUDGET_US)
        );
    }
    let allowed = (span / ticks(PERIOD_US) + 3) * ticks(BUDGET_US);
    assert!(total <= allowed, "{total} of {allowed} ticks in all");
    if undisturbed && exact_time() {
        let share = span / ticks(PERIOD_US) * ticks(BUDGET_US);
        assert!(total > share / 10 * 8, "it got {total} of {share} ticks");
    }
}
