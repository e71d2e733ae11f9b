//! The arithmetic of refills, one rule at a time, as the kernel's library does it on this machine; recorded sequences; and the
//! invariants over many random operations. (What a thread sees of it: `refill_configure`, `refill_unblock`.)
//!
//! cores: 1

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;

use libsel4::{BootInfo, Error, root_task, time};
use mcs::{Limits, Refill, RefillState, Refills};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::Bench;

#[path = "../../../../../mcs/tests/common/recorded.rs"]
mod recorded;

root_task!(main);

/// A budget and its period, in ticks, well above the smallest.
const BUDGET: u64 = 10_000;
const PERIOD: u64 = 100_000;

/// A scheduling context's refills.
struct Queue {
    state: RefillState,
    ring: [Refill; 8],
    limits: Limits,
}

impl Queue {
    /// The whole budget from time 0.
    fn new(max: u32) -> Self {
        Self::at(0, max)
    }

    fn at(now: u64, max: u32) -> Self {
        let mut queue = Self {
            state: RefillState::default(),
            ring: [Refill::default(); 8],
            limits: Limits::for_frequency(62_500_000, 1),
        };
        queue.refills().new_budget(BUDGET, PERIOD, max, now);
        queue
    }

    fn refills(&mut self) -> Refills<'_> {
        Refills {
            state: &mut self.state,
            ring: &mut self.ring,
        }
    }

    fn charge(&mut self, usage: u64) {
        let limits = self.limits;
        self.refills().charge_end_of_slice(usage, &limits);
    }

    fn unblock(&mut self, now: u64) -> bool {
        let limits = self.limits;
        self.refills().unblock_check(now, &limits)
    }

    fn update(&mut self, budget: u64, period: u64, now: u64) {
        let limits = self.limits;
        self.refills().update(budget, period, 4, now, &limits);
    }

    fn migrate(&mut self, budget: u64, period: u64, now: u64) {
        let limits = self.limits;
        self.refills().migrate(budget, period, 4, now, &limits);
    }

    /// The refills are these: time and amount, head first.
    #[track_caller]
    fn is(&mut self, expected: &[(u64, u64)]) {
        let found: Vec<_> = self.refills().iter().map(|r| (r.time, r.amount)).collect();
        assert_eq!(found, expected);
    }
}

fn main(boot: &'static BootInfo) {
    configuring();
    moving();
    charging();
    coming_back();
    bringing_up_to_date();
    row("refill.recorded");
    let all = (recorded::SEQUENCES, recorded::OPERATIONS);
    assert_eq!(recorded::play(), all);
    random();
    conversions(boot);
}

fn configuring() {
    row("refill.new");
    Queue::at(77, 4).is(&[(77, BUDGET)]);
    let mut queue = Queue::new(4);
    queue.charge(2_000);
    queue.refills().new_budget(BUDGET, PERIOD, 4, 3_000);
    queue.is(&[(3_000, BUDGET)]);

    row("refill.configure.round-robin");
    queue.refills().new_budget(BUDGET, BUDGET, 8, 5_000);
    queue.is(&[(5_000, BUDGET), (5_000, 0)]);
    assert!(queue.state.is_round_robin());

    // Two refills each: a head that is due, and one that is not.
    let due = || {
        let mut queue = Queue::new(4);
        queue.charge(2_000);
        queue
    };
    let not_due = || {
        let mut queue = Queue::new(4);
        queue.charge(BUDGET);
        queue
    };
    rows(&["refill.update.ready", "refill.update.less"]);
    let mut queue = due();
    queue.update(8_000, 50_000, 2_500);
    queue.is(&[(2_500, 8_000)]);
    let mut queue = due();
    queue.update(3_000, 50_000, 2_500);
    queue.is(&[(2_500, 3_000)]);
    let mut queue = not_due();
    queue.update(3_000, 50_000, 2_500);
    queue.is(&[(PERIOD, 3_000)]);
    rows(&["refill.update.ready", "refill.update.more"]);
    let mut queue = due();
    queue.update(9_000, 50_000, 2_500);
    queue.is(&[(2_500, 8_000), (52_500, 1_000)]);
    let mut queue = not_due();
    queue.update(12_000, 50_000, 2_500);
    queue.is(&[(PERIOD, BUDGET), (PERIOD + 50_000, 2_000)]);
}

fn moving() {
    row("tern.move.keeps-refills");
    let mut queue = Queue::new(4);
    queue.charge(2_000);
    queue.migrate(BUDGET, PERIOD, 3_000);
    queue.is(&[(2_000, 8_000), (PERIOD, 2_000)]);
    row("tern.move.changed");
    queue.migrate(5_000, 50_000, 3_000);
    queue.is(&[(3_000, 5_000)]);
    queue.migrate(6_000, 60_000, 4_000);
    queue.is(&[(4_000, 5_000), (64_000, 1_000)]);
    row("tern.move.round-robin");
    queue.refills().new_budget(BUDGET, BUDGET, 4, 0);
    let limits = queue.limits;
    queue.refills().commit(4_000, &limits);
    queue.migrate(BUDGET, BUDGET, 9_000);
    queue.is(&[(0, 6_000), (0, 4_000)]);
}

fn charging() {
    row("refill.charge.single");
    let mut queue = Queue::at(50, 4);
    queue.charge(BUDGET);
    queue.is(&[(PERIOD + 50, BUDGET)]);
    row("refill.charge.part");
    let mut queue = Queue::at(50, 4);
    queue.charge(2_000);
    queue.is(&[(2_050, 8_000), (PERIOD + 50, 2_000)]);
    row("refill.charge.whole");
    queue.unblock(5_000);
    queue.charge(8_000);
    queue.is(&[(PERIOD + 50, 2_000), (PERIOD + 5_000, 8_000)]);
    // More than the head falls on the next.
    queue.charge(3_000);
    queue.is(&[
        (PERIOD + 6_000, 7_000),
        (2 * PERIOD + 50, 2_000),
        (2 * PERIOD + 5_000, 1_000),
    ]);
    row("refill.charge.small-head");
    let mut queue = Queue::new(4);
    queue.charge(BUDGET - 1_000);
    queue.is(&[(PERIOD - 1_000, BUDGET)]);
    // What is just enough stays.
    let mut queue = Queue::new(4);
    queue.charge(BUDGET - 1_250);
    queue.is(&[(BUDGET - 1_250, 1_250), (PERIOD, BUDGET - 1_250)]);
    rows(&["refill.charge.end", "sched.time.end"]);
    let end = queue.limits.max_release;
    let mut queue = Queue::at(end, 4);
    queue.charge(BUDGET);
    queue.charge(2_000);
    queue.is(&[(end, BUDGET)]);
    let mut queue = Queue::at(end - 1, 4);
    queue.charge(BUDGET);
    queue.charge(BUDGET);
    queue.is(&[(end - 1 + PERIOD, BUDGET)]);
}

fn coming_back() {
    row("refill.used.merge");
    let mut queue = Queue::new(4);
    queue.charge(2_000);
    queue.charge(1_000);
    queue.is(&[(3_000, 7_000), (PERIOD, 3_000)]);
    row("refill.used.append");
    queue.unblock(3_001);
    queue.charge(1_000);
    queue.is(&[(4_001, 6_000), (PERIOD, 3_000), (PERIOD + 3_001, 1_000)]);
    row("refill.used.full");
    let mut queue = Queue::new(2);
    queue.charge(2_000);
    queue.unblock(5_000);
    queue.charge(3_000);
    queue.is(&[(8_000, 5_000), (PERIOD + 3_000, 5_000)]);
}

fn bringing_up_to_date() {
    rows(&["refill.unblock.now", "refill.unblock.timer"]);
    let mut queue = Queue::new(4);
    queue.charge(2_000);
    assert!(queue.unblock(6_000), "the head has changed");
    queue.is(&[(6_000, 8_000), (PERIOD, 2_000)]);
    assert!(!queue.unblock(6_000));
    row("refill.unblock.merge");
    // The next one begins just at the end of the head's use; a tick earlier it stays alone.
    assert!(queue.unblock(PERIOD - 8_001));
    queue.is(&[(PERIOD - 8_001, 8_000), (PERIOD, 2_000)]);
    assert!(queue.unblock(PERIOD - 8_000));
    queue.is(&[(PERIOD - 8_000, BUDGET)]);
    row("refill.unblock.not-due");
    let mut queue = Queue::new(4);
    queue.charge(BUDGET);
    assert!(!queue.unblock(PERIOD - 1));
    queue.is(&[(PERIOD, BUDGET)]);
    row("refill.when.round-robin");
    queue.refills().new_budget(BUDGET, BUDGET, 4, 5);
    assert!(!queue.unblock(1_000));
    queue.is(&[(5, BUDGET), (5, 0)]);
}

/// The invariants after each of many random operations.
fn random() {
    rows(&["refill.sum", "refill.ordered", "refill.head-min"]);
    let mut queue = Queue::new(6);
    let (mut now, mut budget, mut random) = (0, BUDGET, 0x9e37_79b9_7f4a_7c15_u64);
    for turn in 0..50_000 {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        let value = random >> 16;
        match random % 16 {
            0..8 => {
                // Used up to the end of the head, as the timer sees to, or a little beyond.
                let head = queue.refills().head();
                now = now.max(head.time);
                let usage = value % (head.amount + 100);
                now += usage;
                queue.charge(usage);
            }
            8..14 => {
                now += value % PERIOD;
                queue.unblock(now);
            }
            what => {
                let period = 5_000 + value % PERIOD;
                budget = 1_250 + (value >> 20) % (period - 1_250);
                match what {
                    14 => queue.update(budget, period, now),
                    _ => queue.migrate(budget, period, now),
                }
            }
        }
        let refills: Vec<_> = queue.refills().iter().collect();
        let sum: u64 = refills.iter().map(|refill| refill.amount).sum();
        assert_eq!(sum, budget, "turn {turn}");
        assert!(refills[0].amount >= 1_250, "turn {turn}");
        let apart = |pair: &[Refill]| pair[0].time + pair[0].amount <= pair[1].time;
        assert!(refills.windows(2).all(apart), "turn {turn}: {refills:?}");
    }
}

/// And the library's idea of this machine is the kernel's.
fn conversions(boot: &'static BootInfo) {
    row("sched.time.conversion");
    let limits = Limits::for_frequency(62_500_000, 1);
    let to_ticks = [1, 2, 3, 20, 21].map(|us| limits.us_to_ticks(us));
    assert_eq!(to_ticks, [62, 125, 187, 1_250, 1_312]);
    let to_us = [61, 62, 63, 124, 125, 1_311].map(|ticks| limits.ticks_to_us(ticks));
    assert_eq!(to_us, [0, 0, 1, 1, 2, 20]);
    assert_eq!(Limits::for_frequency(54_000_000, 1).us_to_ticks(7), 378);
    rows(&["sched.time.smallest", "tern.machine.found"]);
    let limits = Limits::for_frequency(time::counter_frequency(), 1);
    assert_eq!(limits.min_budget_us(), 20);
    let mut bench = Bench::new(boot);
    let sc = bench.system.sched_context(0).expect("a context");
    let max = limits.max_period_us();
    let refused = bench.boot.sched_control(0).configure(sc, max + 1, 0, 0, 0);
    assert_eq!(refused, Err(Error::RangeError { min: 20, max }));
}
