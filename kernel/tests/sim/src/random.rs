//! Random numbers, the same for ever from the same seed: what every decision of a run is drawn from.

use std::ops::Range;

use oorandom::Rand64;

/// A source of them.
pub struct Random(Rand64);

impl Random {
    /// What follows is the same for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(Rand64::new(u128::from(seed)))
    }

    /// A number of a range.
    pub fn rand_range<T: Into<u64> + TryFrom<u64>>(&mut self, range: Range<T>) -> T {
        let value = self.0.rand_range(range.start.into()..range.end.into());
        T::try_from(value)
            .ok()
            .expect("a number of the range fits its type")
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.0.rand_range(0..end)
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// A slot of a range.
    pub fn slot(&mut self, range: &Range<u64>) -> u64 {
        self.0.rand_range(range.clone())
    }

    /// One of a list.
    pub fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }
}
