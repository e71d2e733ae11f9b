//! Constants and conversions at the frequencies of real boards and at odd ones.

use mcs::{Limits, max_extra_refills, max_refills};
use proptest::prelude::{any, prop_assert, prop_assert_eq, proptest};

/// (Hz, smallest budget in ticks, longest period in microseconds, ticks of 1,000,003 microseconds)
const KNOWN: [(u64, u64, u64, u64); 7] = [
    (62_500_000, 1_250, 36_893_488_147_419, 62_500_187),
    (54_000_000, 1_080, 42_700_796_466_920_258, 54_000_162),
    (1_000_000_000, 20_000, 2_305_843_009_213_693, 1_000_003_000),
    (100_000_000, 2_000, 23_058_430_092_136_939, 100_000_300),
    (24_000_000, 480, 96_076_792_050_570_581, 24_000_072),
    (19_200_000, 384, 120_095_990_063_213, 19_200_057),
    // Not a whole number of kilohertz.
    (1_234_567, 24, 1_867_734_200_909, 1_234_570),
];

#[test]
fn known_frequencies() {
    for (hz, min_budget, max_period_us, ticks) in KNOWN {
        let limits = Limits::for_frequency(hz, 1);
        assert_eq!(limits.min_budget, min_budget, "{hz} Hz");
        assert_eq!(limits.max_period_us(), max_period_us, "{hz} Hz");
        assert_eq!(limits.us_to_ticks(1_000_003), ticks, "{hz} Hz");
        assert_eq!(limits.min_budget_us(), 20);
        assert_eq!(
            limits.max_release,
            u64::MAX - 5 * limits.max_period(),
            "{hz} Hz"
        );
        assert!(limits.us_to_ticks(limits.min_budget_us()) >= limits.min_budget);
    }
}

#[test]
fn scale_multiplies_the_smallest_budget() {
    let limits = Limits::for_frequency(62_500_000, 4);
    assert_eq!((limits.min_budget, limits.min_budget_us()), (5_000, 80));
}

#[test]
fn slow_counters_keep_a_smallest_budget() {
    for hz in [1, 999, 32_768] {
        assert_eq!(Limits::for_frequency(hz, 1).min_budget, 2, "{hz} Hz");
    }
}

#[test]
#[should_panic(expected = "no frequency")]
fn no_frequency_is_an_error() {
    Limits::for_frequency(0, 1);
}

#[test]
fn sizes_of_scheduling_contexts() {
    let extra: Vec<u64> = (7..=12).map(max_extra_refills).collect();
    assert_eq!(extra, [0, 8, 24, 56, 120, 248]);
    assert_eq!(max_refills(7), 2);
    assert_eq!((max_refills(0), max_extra_refills(0)), (0, 0));
    assert_eq!(max_refills(47), u64::from(u32::MAX));
    assert_eq!(max_refills(255), u64::from(u32::MAX));
}

proptest! {
    #[test]
    fn conversions_are_exact_floors(hz in 1_u64..=10_000_000_000, us in any::<u64>(), ticks in any::<u64>()) {
        let limits = Limits::for_frequency(hz, 1);
        let exact = |value: u64, mul: u64, div: u64| {
            u64::try_from(u128::from(value) * u128::from(mul) / u128::from(div)).unwrap_or(u64::MAX)
        };
        for us in [us, us >> 20, us >> 40] {
            prop_assert_eq!(limits.us_to_ticks(us), exact(us, hz, 1_000_000));
        }
        for ticks in [ticks, ticks >> 20, ticks >> 40] {
            prop_assert_eq!(limits.ticks_to_us(ticks), exact(ticks, 1_000_000, hz));
        }
        // Five longest periods after the last release time there is still room for times.
        prop_assert!(limits.max_release.checked_add(5 * limits.max_period()).is_some());
        prop_assert!(limits.us_to_ticks(20) >= limits.min_budget || limits.min_budget == 2);
    }
}
