//! Constants and conversions that follow from the counter frequency.
//!
//! The frequency is read from the machine at boot, so these are values and not compile-time constants. They
//! are computed once; every operation that needs them takes `&Limits`.

use crate::Ticks;

/// Worst-case execution time of a kernel entry that the smallest budget is derived from.
const WCET_US: u64 = 10;

/// Times are kept this many longest periods below the end of the 64-bit range.
const RELEASE_MARGIN_PERIODS: u64 = 5;

/// Constants that follow from the counter frequency.
///
/// Microseconds and ticks are related by the fraction `numerator / denominator` (ticks per microsecond). Its
/// denominator is the smallest of 1, 1000 and 1,000,000 that makes the numerator whole; it is *not* reduced
/// further, because the longest period that the programming interface promises is `(2^64 - 1) / numerator / 8`.
///
/// Both conversions round down and are exact for every input whose result fits 64 bits (no intermediate
/// overflow); results that do not fit saturate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Smallest budget that can be configured and the least that a head refill ever holds: enough to enter
    /// the kernel and leave it again, twice. Never 0.
    pub min_budget: Ticks,
    /// A refill whose time has come this far is not moved any further, so that sums of times cannot overflow.
    pub max_release: Ticks,
    numerator: u64,
    denominator: u64,
    min_budget_us: u64,
    max_period_us: u64,
}

impl Limits {
    /// Limits for a counter of `hz` ticks a second. `wcet_scale` multiplies the assumed cost of a kernel
    /// entry; it is 1 except on machine models that are slower than they pretend.
    ///
    /// # Panics
    ///
    /// When `hz` is 0: a machine without a counter cannot be scheduled, and boot code must have said so.
    pub const fn for_frequency(hz: u64, wcet_scale: u64) -> Limits {
        assert!(hz > 0, "the system counter has no frequency");
        let (numerator, denominator) = if hz.is_multiple_of(1_000_000) {
            (hz / 1_000_000, 1)
        } else if hz.is_multiple_of(1_000) {
            (hz / 1_000, 1_000)
        } else {
            (hz, 1_000_000)
        };
        let wcet_scale = if wcet_scale == 0 { 1 } else { wcet_scale };
        let wcet = match scale(WCET_US, numerator, denominator) {
            0 => 1,
            ticks => ticks,
        };
        let max_period_us = u64::MAX / numerator / 8;
        let max_period = scale(max_period_us, numerator, denominator);
        Limits {
            min_budget: wcet.saturating_mul(2).saturating_mul(wcet_scale),
            // max_period is at most an eighth of the range, so this is at least three eighths of it.
            max_release: u64::MAX - RELEASE_MARGIN_PERIODS * max_period,
            numerator,
            denominator,
            min_budget_us: (2 * WCET_US).saturating_mul(wcet_scale),
            max_period_us,
        }
    }

    /// Ticks that pass in `us` microseconds, rounded down.
    pub const fn us_to_ticks(&self, us: u64) -> Ticks {
        scale(us, self.numerator, self.denominator)
    }

    /// Microseconds that `ticks` ticks take, rounded down.
    pub const fn ticks_to_us(&self, ticks: Ticks) -> u64 {
        scale(ticks, self.denominator, self.numerator)
    }

    /// Smallest budget and period that can be asked for, in microseconds.
    pub const fn min_budget_us(&self) -> u64 {
        self.min_budget_us
    }

    /// Largest budget and period that can be asked for, in microseconds.
    pub const fn max_period_us(&self) -> u64 {
        self.max_period_us
    }

    /// Largest budget and period in ticks.
    pub const fn max_period(&self) -> Ticks {
        self.us_to_ticks(self.max_period_us)
    }
}

/// `floor(value * mul / div)`, saturating.
///
/// With `value = q * div + r` the product splits into `q * mul + r * mul / div`, whose second term stays small
/// (`r * mul < div * mul`), so no wider type is needed.
const fn scale(value: u64, mul: u64, div: u64) -> u64 {
    let rest = (value % div).saturating_mul(mul) / div;
    (value / div).saturating_mul(mul).saturating_add(rest)
}
