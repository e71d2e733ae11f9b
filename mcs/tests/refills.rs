//! The refill rules against the reference model, under random operations.

mod common;

use common::Model;
use mcs::{Limits, Refill, RefillState, Refills};
use proptest::prelude::{
    ProptestConfig, Strategy, prop_assert, prop_assert_eq, prop_oneof, proptest,
};

const RING: usize = 16;
/// The counter does not start at 0, and its upper half is as good as its lower half.
const STARTS: [u64; 3] = [0, 1 << 40, 1 << 62];

#[derive(Clone, Copy, Debug)]
struct Params {
    budget: u64,
    period: u64,
    max: u32,
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Fresh(Params),
    Update(Params),
    Migrate(Params),
    /// A move that changes at most the length of the ring.
    Move(u32),
    /// Charge this many per mille of the head.
    Charge(u64),
    Commit(u64),
    /// Charge this many per mille of the budget.
    Overrun(u64),
    Yield(u64),
    Unblock,
    Advance(u64),
    /// Let this many per mille of the period pass.
    Wait(u64),
}

fn params() -> impl Strategy<Value = Params> {
    let limits = limits();
    let period = prop_oneof![
        limits.min_budget..limits.min_budget * 4,
        limits.min_budget..1_000_000
    ];
    (period, 0_u64..=1000, 2..=RING as u32).prop_map(move |(period, share, max)| Params {
        budget: (period * share / 1000).clamp(limits.min_budget, period),
        period,
        max,
    })
}

fn op() -> impl Strategy<Value = Op> {
    prop_oneof![
        1 => params().prop_map(Op::Fresh),
        1 => params().prop_map(Op::Update),
        2 => params().prop_map(Op::Migrate),
        2 => (2..=RING as u32).prop_map(Op::Move),
        12 => prop_oneof![0_u64..30, 0_u64..1100].prop_map(Op::Charge),
        6 => prop_oneof![0_u64..30, 0_u64..1100].prop_map(Op::Commit),
        1 => (0_u64..9000).prop_map(Op::Overrun),
        2 => (0_u64..1100).prop_map(Op::Yield),
        8 => proptest::strategy::Just(Op::Unblock),
        6 => (0_u64..5000).prop_map(Op::Advance),
        3 => (0_u64..2500).prop_map(Op::Wait),
    ]
}

fn limits() -> Limits {
    Limits::for_frequency(54_000_000, 1)
}

/// An implementation and a model side by side.
struct Pair {
    limits: Limits,
    now: u64,
    state: RefillState,
    ring: [Refill; RING],
    model: Model,
}

impl Pair {
    fn new(p: Params, now: u64) -> Pair {
        let limits = limits();
        let mut pair = Pair {
            limits,
            now,
            state: RefillState::default(),
            ring: [Refill::default(); RING],
            model: Model::new(
                p.budget,
                p.period,
                p.max as usize,
                now,
                limits.min_budget,
                limits.max_release,
            ),
        };
        pair.apply(Op::Fresh(p));
        pair
    }

    fn apply(&mut self, op: Op) {
        let Pair {
            limits, now, model, ..
        } = self;
        // What does not configure is given just the part of the ring that is in use.
        let configures = matches!(
            op,
            Op::Fresh(_) | Op::Update(_) | Op::Migrate(_) | Op::Move(_)
        );
        let in_use = if configures {
            RING
        } else {
            self.state.max as usize
        };
        let mut refills = Refills {
            state: &mut self.state,
            ring: &mut self.ring[..in_use],
        };
        let of_head = |per_mille: u64, model: &Model| model.queue[0].1 * per_mille / 1000;
        match op {
            Op::Fresh(p) => {
                refills.new_budget(p.budget, p.period, p.max, *now);
                model.fresh(p.budget, p.period, p.max as usize, *now);
            }
            Op::Update(p) => {
                refills.update(p.budget, p.period, p.max, *now, limits);
                model.update(p.budget, p.period, p.max as usize, *now);
            }
            Op::Migrate(p) => {
                refills.migrate(p.budget, p.period, p.max, *now, limits);
                model.migrate(p.budget, p.period, p.max as usize, *now);
            }
            Op::Move(max) => {
                let before = (model.queue.clone(), refills.total());
                refills.migrate(model.budget, model.period, max, *now, limits);
                model.migrate(model.budget, model.period, max as usize, *now);
                if before.0.len() <= max as usize {
                    assert_eq!(model.queue, before.0, "a move must not change anything");
                }
            }
            Op::Charge(per_mille) => {
                let usage = of_head(per_mille, model);
                *now += usage;
                refills.charge_end_of_slice(usage, limits);
                model.charge(usage);
            }
            Op::Commit(per_mille) => {
                let usage = of_head(per_mille, model);
                *now += usage;
                assert_eq!(refills.commit(usage, limits), model.commit(usage));
            }
            Op::Overrun(per_mille) => {
                let usage = model.budget * per_mille / 1000;
                *now += usage;
                refills.charge_end_of_slice(usage, limits);
                model.charge(usage);
            }
            Op::Yield(per_mille) => {
                let consumed = of_head(per_mille, model);
                *now += consumed;
                refills.yield_head(consumed, limits);
                model.yield_head(consumed);
            }
            Op::Unblock => {
                assert_eq!(refills.unblock_check(*now, limits), model.unblock(*now));
            }
            Op::Advance(ticks) => *now += ticks,
            Op::Wait(per_mille) => *now += model.period * per_mille / 1000,
        }
    }

    fn check(&mut self) {
        self.model.check();
        let refills = Refills {
            state: &mut self.state,
            ring: &mut self.ring,
        };
        let queue: Vec<(u64, u64)> = refills.iter().map(|r| (r.time, r.amount)).collect();
        assert_eq!(queue, self.model.queue);
        assert!(refills.as_view().is_well_formed(&self.limits));
        assert_eq!(refills.state.max as usize, self.model.max);
        assert_eq!(refills.state.is_round_robin(), self.model.round_robin);
        assert_eq!(refills.len(), queue.len());
        assert_eq!(refills.total(), self.model.budget);
        let head = refills.head();
        assert_eq!((head.time, head.amount), queue[0]);
        for now in [self.now, head.time, head.time.saturating_sub(1)] {
            assert_eq!(refills.ready(now), self.model.ready(now));
        }
        let enough = head.amount - self.limits.min_budget;
        for usage in [0, enough, enough + 1, head.amount + 1] {
            let sufficient = refills.sufficient(usage, &self.limits);
            assert_eq!(sufficient, self.model.sufficient(usage));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn behaves_like_the_model(
        start in proptest::sample::select(&STARTS[..]),
        first in params(),
        ops in proptest::collection::vec(op(), 0..120),
    ) {
        let mut pair = Pair::new(first, start);
        pair.check();
        for op in ops {
            pair.apply(op);
            pair.check();
        }
    }

    /// Whoever waits long enough finds the whole budget in one piece.
    #[test]
    fn an_idle_context_gets_its_whole_budget_back(
        first in params(),
        ops in proptest::collection::vec(op(), 0..60),
    ) {
        let mut pair = Pair::new(first, 0);
        ops.into_iter().for_each(|op| pair.apply(op));
        let last = pair.model.queue.last().unwrap().0;
        pair.now = pair.now.max(last);
        pair.apply(Op::Unblock);
        if !pair.model.round_robin {
            prop_assert_eq!(pair.model.queue.clone(), vec![(pair.now, pair.model.budget)]);
        }
        pair.check();
    }

    /// Usage of many budgets at once: the shortcut against the model's one-by-one.
    #[test]
    fn whole_turns_are_skipped_exactly(
        first in params(),
        ops in proptest::collection::vec(op(), 0..60),
        budgets in 0_u64..2000,
        rest in 0_u64..1000,
    ) {
        let mut pair = Pair::new(first, 0);
        ops.into_iter().for_each(|op| pair.apply(op));
        pair.apply(Op::Overrun(budgets * 1000 + rest));
        pair.check();
        prop_assert!(pair.now >= pair.model.budget * budgets);
    }

    /// Any refills that the invariants allow, reachable or not, at any place in the ring, often without gaps.
    #[test]
    fn any_well_formed_refills_behave_like_the_model(
        pieces in proptest::collection::vec(
            (prop_oneof![proptest::strategy::Just(0_u64), 0_u64..20_000], 1_u64..5000), 1..6),
        period in 1_u64..40_000,
        place in 0..RING,
        spare in 0_usize..3,
        ops in proptest::collection::vec(op(), 1..8),
    ) {
        let mut pair = Pair::new(Params { budget: 2000, period: 2001, max: 2 }, 0);
        let mut end = 1_000_000;
        pair.model.queue.clear();
        for (gap, amount) in pieces {
            let first = pair.model.queue.is_empty();
            let amount = if first { amount + pair.limits.min_budget } else { amount };
            pair.model.queue.push((end + gap, amount));
            end += gap + amount;
        }
        pair.now = pair.model.queue[0].0;
        pair.model.budget = pair.model.queue.iter().map(|r| r.1).sum();
        pair.model.period = pair.model.budget + period;
        pair.model.max = (pair.model.queue.len() + spare).max(2);
        pair.state = RefillState {
            period: pair.model.period,
            max: pair.model.max as u32,
            head: (place % pair.model.max) as u32,
            count: pair.model.queue.len() as u32,
            reserved: 0,
        };
        for (position, &(time, amount)) in pair.model.queue.iter().enumerate() {
            pair.ring[(place % pair.model.max + position) % pair.model.max] = Refill { time, amount };
        }
        pair.check();
        for op in ops {
            pair.apply(op);
            pair.check();
        }
    }

    /// Close to the end of time, refills stop moving and nothing overflows.
    #[test]
    fn the_end_of_time_is_approached_safely(
        before_end in 0_u64..10_000_000,
        first in params(),
        ops in proptest::collection::vec(op(), 0..60),
    ) {
        let mut pair = Pair::new(first, limits().max_release - before_end);
        for op in ops {
            pair.apply(op);
            pair.check();
        }
    }
}

/// No loop runs as long as the usage is: a machine that was stopped for years charges at once.
#[test]
fn absurd_usage_takes_bounded_time() {
    let limits = limits();
    let mut state = RefillState::default();
    let mut ring = [Refill::default(); RING];
    let mut refills = Refills {
        state: &mut state,
        ring: &mut ring,
    };
    for (period, pieces) in [(limits.min_budget * 9, 5), (limits.max_period(), 5)] {
        refills.new_budget(limits.min_budget * 8, period, RING as u32, 0);
        for piece in 1..pieces {
            refills.unblock_check(piece * limits.min_budget, &limits);
            refills.charge_end_of_slice(17, &limits);
        }
        refills.charge_end_of_slice(u64::MAX, &limits);
        assert!(refills.as_view().is_well_formed(&limits));
        assert_eq!(refills.total(), limits.min_budget * 8);
        assert!(refills.head().time >= limits.max_release);
    }
}

#[test]
fn an_unconfigured_context_has_nothing() {
    let limits = limits();
    let mut state = RefillState::default();
    let mut ring = [Refill::default(); 2];
    let mut refills = Refills {
        state: &mut state,
        ring: &mut ring,
    };
    assert!(!refills.state.is_active() && !refills.state.is_round_robin());
    assert!(!refills.ready(u64::MAX) && !refills.sufficient(0, &limits));
    assert!(!refills.unblock_check(5, &limits) && !refills.commit(5, &limits));
    refills.charge_end_of_slice(5, &limits);
    refills.yield_head(5, &limits);
    assert_eq!((refills.head(), refills.total()), (Refill::default(), 0));
    assert!(refills.is_empty() && refills.as_view().is_well_formed(&limits));
    // Moving or changing it configures it.
    refills.migrate(2000, 5000, 2, 7, &limits);
    assert_eq!(refills.iter().count(), 1);
    *refills.state = RefillState::default();
    refills.update(2000, 5000, 2, 9, &limits);
    assert_eq!(
        refills.head(),
        Refill {
            time: 9,
            amount: 2000
        }
    );
}
