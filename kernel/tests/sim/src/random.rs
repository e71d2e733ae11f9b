//! Random numbers, the same for ever from the same seed: what every decision of a run is drawn from. Or a list of bytes in
//! their place, for somebody who chooses decisions himself.

use std::ops::Range;

use oorandom::Rand64;

/// A source of them.
pub struct Random(Source);

enum Source {
    Seed(Rand64),
    List(std::vec::IntoIter<u8>),
}

impl Random {
    /// What follows is the same for the same seed.
    pub fn new(seed: u64) -> Self {
        Self(Source::Seed(Rand64::new(u128::from(seed))))
    }

    /// A number takes as many bytes as its range needs; behind the last one all are 0. So a change of a byte changes one
    /// decision.
    pub fn from_list(bytes: &[u8]) -> Self {
        Self(Source::List(Vec::from(bytes).into_iter()))
    }

    /// Whether nothing is left of a list.
    pub fn is_over(&self) -> bool {
        match &self.0 {
            Source::Seed(_) => false,
            Source::List(list) => list.len() == 0,
        }
    }

    fn draw(&mut self, range: Range<u64>) -> u64 {
        match &mut self.0 {
            Source::Seed(seed) => seed.rand_range(range),
            Source::List(list) => {
                let count = range.end - range.start;
                let bytes = match count {
                    0..=0x100 => 1,
                    0x101..=0x1_0000 => 2,
                    0x1_0001..=0x1_0000_0000 => 4,
                    _ => 8,
                };
                let number = (0..bytes).fold(0, |number, _| {
                    number << 8 | u64::from(list.next().unwrap_or(0))
                });
                range.start + number % count
            }
        }
    }

    /// A number of a range.
    pub fn rand_range<T: Into<u64> + TryFrom<u64>>(&mut self, range: Range<T>) -> T {
        let value = self.draw(range.start.into()..range.end.into());
        T::try_from(value)
            .ok()
            .expect("a number of the range fits its type")
    }

    /// A number below `end`.
    pub fn below(&mut self, end: u64) -> u64 {
        self.draw(0..end)
    }

    /// True once in so many times.
    pub fn once_in(&mut self, times: u64) -> bool {
        self.below(times) == 0
    }

    /// A slot of a range.
    pub fn slot(&mut self, range: &Range<u64>) -> u64 {
        self.draw(range.clone())
    }

    /// One of a list.
    pub fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[self.below(list.len() as u64) as usize]
    }
}

#[cfg(test)]
mod tests {
    use super::Random;

    #[test]
    fn a_list_is_used_up() {
        let mut random = Random::from_list(&[7, 1, 2, 9]);
        assert_eq!(random.below(5), 2);
        assert_eq!(random.below(0x101), 0x102 % 0x101);
        assert_eq!(random.rand_range(4u32..260), 4 + 9);
        assert!(random.is_over());
        assert_eq!(random.below(u64::MAX), 0);
        assert!(!Random::new(1).is_over());
    }
}
