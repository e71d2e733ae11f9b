//! Budget conservation: in no window of one period is more than the budget consumed, wherever the context
//! moves and whatever its greedy user does. Once with random steps in real sizes, and once completely, with
//! one tick at a time, for small budgets.
//!
//! The user here is a context of constant bandwidth as a kernel handles it: `unblock_check` at each switch to
//! it, the entry check at each entry, a timer that fires when the head is used up.

use mcs::{Limits, Refill, RefillState, Refills};
use proptest::prelude::{ProptestConfig, Strategy, prop_assert, prop_oneof, proptest};
use std::collections::{HashSet, VecDeque};

const RING: usize = 8;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Params {
    budget: u64,
    period: u64,
    max: u32,
}

/// A context and what a kernel keeps about it.
#[derive(Clone, PartialEq, Eq, Hash)]
struct Machine {
    period: u64,
    round_robin: bool,
    max: u32,
    refills: Vec<(u64, u64)>,
    now: u64,
    running: bool,
    consumed: u64,
}

impl Machine {
    fn new(p: Params, now: u64, limits: &Limits) -> Machine {
        let mut machine = Machine {
            period: 0,
            round_robin: false,
            max: 0,
            refills: Vec::new(),
            now,
            running: false,
            consumed: 0,
        };
        machine.with(|r| r.migrate(p.budget, p.period, p.max, now, limits));
        machine
    }

    /// Runs an operation of the crate on the refills.
    fn with<R>(&mut self, action: impl FnOnce(&mut Refills<'_>) -> R) -> R {
        let mut ring = [Refill::default(); RING];
        for (slot, &(time, amount)) in ring.iter_mut().zip(&self.refills) {
            *slot = Refill { time, amount };
        }
        let mut state = RefillState {
            period: self.period,
            max: self.max,
            count: self.refills.len() as u32,
            ..RefillState::default()
        };
        let mut refills = Refills {
            state: &mut state,
            ring: &mut ring,
        };
        let result = action(&mut refills);
        self.refills = refills.iter().map(|r| (r.time, r.amount)).collect();
        (self.period, self.max) = (state.period, state.max);
        self.round_robin = state.is_round_robin();
        result
    }

    fn ready(&self) -> bool {
        self.refills[0].0 <= self.now
    }

    fn switch_in(&mut self, limits: &Limits) {
        assert!(self.ready() && !self.running);
        let now = self.now;
        self.with(|r| r.unblock_check(now, limits));
        self.running = true;
    }

    fn switch_out(&mut self, limits: &Limits) {
        let consumed = std::mem::take(&mut self.consumed);
        self.with(|r| r.commit(consumed, limits));
        self.running = false;
    }

    /// Runs for `ticks`, at most to the timer, then enters the kernel.
    fn run(&mut self, ticks: u64, limits: &Limits) {
        assert!(self.running && ticks <= self.left());
        self.now += ticks;
        self.consumed += ticks;
        let consumed = self.consumed;
        if !self.with(|r| r.sufficient(consumed, limits)) {
            self.consumed = 0;
            self.with(|r| r.charge_end_of_slice(consumed, limits));
            self.running = self.ready();
        }
    }

    /// Time until the timer fires.
    fn left(&self) -> u64 {
        self.refills[0].1 - self.consumed
    }

    fn give_up(&mut self, limits: &Limits) {
        let consumed = std::mem::take(&mut self.consumed);
        self.with(|r| r.yield_head(consumed, limits));
        self.running = self.ready();
    }

    fn migrate(&mut self, p: Params, limits: &Limits) {
        if self.running {
            self.switch_out(limits);
        }
        let now = self.now;
        self.with(|r| r.migrate(p.budget, p.period, p.max, now, limits));
    }
}

// ---- random steps ----

#[derive(Clone, Copy, Debug)]
enum Step {
    /// Run until the timer fires.
    Exhaust,
    /// Run this many per mille of what is left.
    Run(u64),
    SwitchOut,
    Yield,
    Idle(u64),
    /// Wait for the head.
    Sleep,
    /// Move with another of the given parameters.
    Migrate(usize),
    /// Move with unchanged parameters, but for the length of the ring.
    Move(u32),
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        4 => proptest::strategy::Just(Step::Exhaust),
        6 => (0_u64..1000).prop_map(Step::Run),
        3 => proptest::strategy::Just(Step::SwitchOut),
        1 => proptest::strategy::Just(Step::Yield),
        2 => prop_oneof![0_u64..2000, 0_u64..60_000].prop_map(Step::Idle),
        4 => proptest::strategy::Just(Step::Sleep),
        1 => (0_usize..3).prop_map(Step::Migrate),
        3 => (2..=RING as u32).prop_map(Step::Move),
    ]
}

fn params() -> impl Strategy<Value = Params> {
    (3000_u64..60_000, 0_u64..=1000, 2..=RING as u32).prop_map(|(period, share, max)| Params {
        budget: (period * share / 1000).clamp(2000, period),
        period,
        max,
    })
}

/// What was consumed when: disjoint, ordered intervals.
#[derive(Default)]
struct History(VecDeque<(u64, u64)>);

impl History {
    fn consumed(&mut self, from: u64, to: u64) {
        match self.0.back_mut() {
            Some(last) if last.1 == from => last.1 = to,
            _ if from < to => self.0.push_back((from, to)),
            _ => {}
        }
    }

    /// The most that any window of `length` holds. It is enough to look at windows that begin with an interval.
    fn densest(&self, length: u64) -> u64 {
        let within = |start: u64| -> u64 {
            self.0
                .iter()
                .skip_while(|i| i.1 <= start)
                .take_while(|i| i.0 < start + length)
                .map(|i| i.1.min(start + length) - i.0.max(start))
                .sum()
        };
        self.0.iter().map(|i| within(i.0)).max().unwrap_or(0)
    }
}

/// Drives a greedy user and returns what it consumed.
fn greedy(sets: &[Params], steps: &[Step], limits: &Limits) -> History {
    let mut history = History::default();
    let mut machine = Machine::new(sets[0], 1 << 30, limits);
    let mut current = sets[0];
    for &step in steps {
        match step {
            Step::Migrate(set) => {
                current = sets[set % sets.len()];
                machine.migrate(current, limits);
            }
            Step::Move(max) => machine.migrate(Params { max, ..current }, limits),
            Step::Idle(ticks) => {
                if machine.running {
                    machine.switch_out(limits);
                }
                machine.now += ticks;
            }
            Step::Sleep => {
                if !machine.running {
                    machine.now = machine.now.max(machine.refills[0].0);
                }
            }
            Step::SwitchOut if machine.running => machine.switch_out(limits),
            Step::Exhaust | Step::Run(_) | Step::Yield if machine.ready() => {
                if !machine.running {
                    machine.switch_in(limits);
                }
                let ticks = match step {
                    Step::Run(per_mille) => machine.left() * per_mille / 1000,
                    Step::Exhaust => machine.left(),
                    _ => {
                        machine.give_up(limits);
                        continue;
                    }
                };
                let from = machine.now;
                machine.run(ticks, limits);
                history.consumed(from, machine.now);
            }
            Step::Exhaust | Step::Run(_) | Step::Yield | Step::SwitchOut => {}
        }
    }
    history
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(3000))]

    #[test]
    fn moves_create_no_time(first in params(), steps in proptest::collection::vec(step(), 0..200)) {
        let limits = Limits::for_frequency(62_500_000, 1);
        let densest = greedy(&[first], &steps, &limits).densest(first.period);
        prop_assert!(densest <= first.budget, "{densest} of {}", first.budget);
    }

    #[test]
    fn changing_moves_give_at_most_the_larger_budget_in_the_shorter_period(
        sets in proptest::collection::vec(params(), 1..4),
        steps in proptest::collection::vec(step(), 0..200),
    ) {
        let limits = Limits::for_frequency(62_500_000, 1);
        let budget = sets.iter().map(|p| p.budget).max().unwrap();
        let period = sets.iter().map(|p| p.period).min().unwrap();
        let densest = greedy(&sets, &steps, &limits).densest(period);
        prop_assert!(densest <= budget, "{densest} of {budget}");
    }
}

/// Conservation must not come from handing out less: who runs whenever possible gets all of it.
#[test]
fn a_greedy_user_gets_the_whole_budget() {
    let limits = Limits::for_frequency(62_500_000, 1);
    // (Not for the smallest budget: an entry in its middle leaves too little, which comes a period later.)
    for (budget, period, max) in [(5_000, 60_000, 2), (9_999, 10_000, 2), (20_000, 60_000, 8)] {
        let p = Params {
            budget,
            period,
            max,
        };
        // Two moves in every slice.
        let slice = [
            Step::Run(300),
            Step::Move(max),
            Step::Run(400),
            Step::Move(max),
            Step::Exhaust,
            Step::Sleep,
        ];
        let history = greedy(&[p], &slice.repeat(200), &limits);
        let total: u64 = history.0.iter().map(|i| i.1 - i.0).sum();
        let span = history.0.back().unwrap().1 - history.0.front().unwrap().0;
        let due = span / period * budget;
        assert!(total >= due, "{total} of {due}");
    }
}

/// The last window of a history, as it goes on. (It is enough to look at windows that end with an interval.)
#[derive(Default)]
struct LastWindow {
    intervals: VecDeque<(u64, u64)>,
    sum: u64,
}

impl LastWindow {
    /// What the window of `length` holds that ends with this interval.
    fn consumed(&mut self, from: u64, to: u64, length: u64) -> u64 {
        self.intervals.push_back((from, to));
        self.sum += to - from;
        let begin = to.saturating_sub(length);
        while let Some(&(start, end)) = self.intervals.front()
            && end <= begin
        {
            self.intervals.pop_front();
            self.sum -= end - start;
        }
        let first = self.intervals.front().map_or(0, |interval| interval.0);
        self.sum - begin.saturating_sub(first)
    }
}

/// A move after every step of a greedy user, a million of them, with every length of the ring.
#[test]
fn a_million_moves_create_no_time() {
    let limits = Limits::for_frequency(62_500_000, 1);
    let mut random = 88_172_645_463_325_252_u64;
    for (budget, period) in [
        (20_000, 100_000),
        (2_500, 9_000),
        (9_999, 10_000),
        (5_000, 5_000),
    ] {
        let mut params = set(budget, period, 4);
        let mut machine = Machine::new(params, 1 << 30, &limits);
        let (mut window, mut used) = (LastWindow::default(), 0);
        let begin = machine.now;
        for turn in 0..250_000 {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let value = random >> 8;
            if machine.ready() {
                if !machine.running {
                    machine.switch_in(&limits);
                }
                // All that is left, or a part of it.
                let ticks = match random % 4 {
                    0 => machine.left(),
                    _ => value % (machine.left() + 1),
                };
                let from = machine.now;
                machine.run(ticks, &limits);
                let within = window.consumed(from, machine.now, period);
                assert!(within <= budget, "turn {turn}: {within} of {budget}");
                used += ticks;
            } else {
                let head = machine.refills[0].0;
                machine.now = match random % 3 {
                    0 => head,
                    _ => head.min(machine.now + value % period),
                };
            }
            params.max = 2 + (value >> 32) as u32 % (RING as u32 - 1);
            machine.migrate(params, &limits);
        }
        // It is no test of a user who does nothing.
        let due = (machine.now - begin) / period * budget;
        assert!(used * 2 > due, "{used} of {due} ticks used");
    }
}

// ---- every step, one tick at a time ----

/// All that a user can do within a few periods with these sets of parameters, to a fixed point: the states are
/// finite, because times count from now and only the consumption in the last window matters.
fn explore(sets: &[Params]) -> usize {
    // The smallest budget is two ticks here.
    let limits = Limits::for_frequency(100_000, 1);
    assert_eq!(limits.min_budget, 2);
    const NOW: u64 = 1000;
    let budget = sets.iter().map(|p| p.budget).max().unwrap();
    let window = sets.iter().map(|p| p.period).min().unwrap();
    let mask = (1_u64 << window) - 1;
    let mut seen = HashSet::new();
    // The machine and one bit for each tick of the window: consumed or not, latest lowest.
    let mut open: Vec<(Machine, u64)> = vec![(Machine::new(sets[0], NOW, &limits), 0)];
    let add = |open: &mut Vec<_>, seen: &mut HashSet<_>, mut machine: Machine, used: u64| {
        let used = used & mask;
        assert!(
            u64::from(used.count_ones()) <= budget,
            "{used:b} of {budget}"
        );
        let sum: u64 = machine.refills.iter().map(|r| r.1).sum();
        assert!(sets.iter().any(|p| p.budget == sum));
        assert!(machine.refills[0].1 >= limits.min_budget);
        let elapsed = machine.now - NOW;
        machine.refills.iter_mut().for_each(|r| r.0 -= elapsed);
        machine.now = NOW;
        if seen.insert((machine.clone(), used)) {
            open.push((machine, used));
        }
    };
    while let Some((machine, used)) = open.pop() {
        for &p in sets {
            let mut moved = machine.clone();
            moved.migrate(p, &limits);
            add(&mut open, &mut seen, moved, used);
        }
        let mut off = machine.clone();
        if off.running {
            off.switch_out(&limits);
        }
        // Waiting longer changes nothing once everything has become ready.
        if off.refills.last().unwrap().0 + 2 > off.now || off.round_robin && used != 0 {
            let mut idle = off.clone();
            idle.now += 1;
            if idle.round_robin {
                // Only whether it is ready matters.
                let now = idle.now;
                idle.refills.iter_mut().for_each(|r| r.0 = r.0.max(now - 1));
            }
            add(&mut open, &mut seen, idle, used << 1);
        }
        add(&mut open, &mut seen, off, used);
        if machine.ready() {
            let mut on = machine;
            if !on.running {
                on.switch_in(&limits);
            }
            let mut yielded = on.clone();
            yielded.give_up(&limits);
            add(&mut open, &mut seen, yielded, used);
            on.run(1, &limits);
            if on.round_robin {
                let now = on.now;
                on.refills.iter_mut().for_each(|r| r.0 = r.0.max(now - 1));
            }
            add(&mut open, &mut seen, on, used << 1 | 1);
        }
    }
    seen.len()
}

fn set(budget: u64, period: u64, max: u32) -> Params {
    Params {
        budget,
        period,
        max,
    }
}

#[test]
fn every_behaviour_of_small_contexts() {
    let mut states = 0;
    for period in 3..=9 {
        for budget in 2..=period.min(5) {
            for max in 2..=4 {
                states += explore(&[set(budget, period, max), set(budget, period, 2)]);
            }
        }
    }
    assert!(states > 10_000, "only {states} states");
}

#[test]
fn every_behaviour_of_small_contexts_that_change() {
    let mut all = Vec::new();
    for period in 3..=7 {
        // Budgets equal to the period are round robin.
        all.extend((2..=period).map(|budget| set(budget, period, 3)));
    }
    let mut states = 0;
    for (index, &first) in all.iter().enumerate() {
        for &second in &all[index + 1..] {
            states += explore(&[first, second]);
        }
    }
    states += explore(&[set(2, 6, 4), set(3, 7, 3), set(3, 3, 2)]);
    assert!(states > 50_000, "only {states} states");
}
