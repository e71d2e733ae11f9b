//! The refill rules against the reference model of `mcs`, in any order.

#[path = "../../../mcs/tests/common/mod.rs"]
mod model;

use mcs::{Limits, Refill, RefillState, Refills};
use model::Model;

use crate::given::Given;

const RING: usize = 16;
const MOST: usize = 400;

/// What a context is configured with.
#[derive(Clone, Copy)]
struct Parameters {
    budget: u64,
    period: u64,
    max: u32,
}

fn parameters(given: &mut Given<'_>, limits: &Limits) -> Parameters {
    let min = limits.min_budget;
    let period = min + u64::from(given.any::<u32>()) % given.of(&[min * 4, 1_000_000]);
    let share = u64::from(given.any::<u16>()) % 1001;
    Parameters {
        budget: (period * share / 1000).clamp(min, period),
        period,
        max: 2 + u32::from(given.below(RING as u8 - 1)),
    }
}

pub fn run(data: &[u8]) {
    let mut given = Given::new(data);
    let limits = Limits::for_frequency(given.of(&[54_000_000, 62_500_000, 1_000_000, 32_768]), 1);
    let mut now = given.of(&[0, 1 << 40, 1 << 62]);
    let first = parameters(&mut given, &limits);
    let (mut state, mut ring) = (RefillState::default(), [Refill::default(); RING]);
    let mut model = Model::new(
        first.budget,
        first.period,
        first.max as usize,
        now,
        limits.min_budget,
        limits.max_release,
    );
    Refills {
        state: &mut state,
        ring: &mut ring,
    }
    .new_budget(first.budget, first.period, first.max, now);
    for _ in 0..MOST {
        if given.is_over() {
            break;
        }
        let choice = given.below(16);
        // What does not configure is given just the part of the ring that is in use.
        let in_use = if choice < 4 { RING } else { state.max as usize };
        let mut refills = Refills {
            state: &mut state,
            ring: &mut ring[..in_use],
        };
        let of_head = |given: &mut Given<'_>, model: &Model| {
            let share = u64::from(given.any::<u16>()) % 1101;
            model.queue[0].1 * share / 1000
        };
        match choice {
            0 => {
                let p = parameters(&mut given, &limits);
                refills.new_budget(p.budget, p.period, p.max, now);
                model.fresh(p.budget, p.period, p.max as usize, now);
            }
            1 => {
                let p = parameters(&mut given, &limits);
                refills.update(p.budget, p.period, p.max, now, &limits);
                model.update(p.budget, p.period, p.max as usize, now);
            }
            2 => {
                let p = parameters(&mut given, &limits);
                refills.migrate(p.budget, p.period, p.max, now, &limits);
                model.migrate(p.budget, p.period, p.max as usize, now);
            }
            3 => {
                let max = 2 + u32::from(given.below(RING as u8 - 1));
                refills.migrate(model.budget, model.period, max, now, &limits);
                model.migrate(model.budget, model.period, max as usize, now);
            }
            4..8 => {
                let usage = of_head(&mut given, &model);
                now += usage;
                refills.charge_end_of_slice(usage, &limits);
                model.charge(usage);
            }
            8..10 => {
                let usage = of_head(&mut given, &model);
                now += usage;
                assert_eq!(refills.commit(usage, &limits), model.commit(usage));
            }
            10 => {
                let usage = model.budget * (u64::from(given.any::<u16>()) % 9000) / 1000;
                now += usage;
                refills.charge_end_of_slice(usage, &limits);
                model.charge(usage);
            }
            11 => {
                let consumed = of_head(&mut given, &model);
                now += consumed;
                refills.yield_head(consumed, &limits);
                model.yield_head(consumed);
            }
            12..14 => assert_eq!(refills.unblock_check(now, &limits), model.unblock(now)),
            14 => now += u64::from(given.any::<u16>()),
            _ => now += model.period * (u64::from(given.any::<u16>()) % 2500) / 1000,
        }
        model.check();
        compare(&refills, &model, now, &limits);
    }
}

fn compare(refills: &Refills<'_>, model: &Model, now: u64, limits: &Limits) {
    let queue: Vec<(u64, u64)> = refills.iter().map(|r| (r.time, r.amount)).collect();
    assert_eq!(queue, model.queue);
    assert!(refills.as_view().is_well_formed(limits));
    assert_eq!(refills.state.max as usize, model.max);
    assert_eq!(refills.state.is_round_robin(), model.round_robin);
    assert_eq!(refills.total(), model.budget);
    assert_eq!(refills.ready(now), model.ready(now));
    for usage in [0, refills.head().amount - limits.min_budget + 1] {
        assert_eq!(refills.sufficient(usage, limits), model.sufficient(usage));
    }
}
