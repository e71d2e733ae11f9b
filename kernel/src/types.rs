//! Small value types used everywhere: physical addresses, cores and sets of cores.

use crate::config::MAX_NUM_NODES;

/// A physical address.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub struct PhysAddr(pub u64);

impl PhysAddr {
    pub const fn offset(self, bytes: u64) -> Self {
        Self(self.0 + bytes)
    }
}

/// A core, by its logical number: 0 to the number of cores that came up, exclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
#[repr(transparent)]
pub struct CoreId(pub u16);

impl CoreId {
    pub const BOOT: Self = Self(0);

    pub const fn index(self) -> usize {
        self.0 as usize
    }
}

const WORDS: usize = MAX_NUM_NODES.div_ceil(64);

/// A set of cores.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreSet([u64; WORDS]);

impl CoreSet {
    pub const EMPTY: Self = Self([0; WORDS]);

    /// The cores 0 to `count`, exclusive.
    pub fn first(count: usize) -> Self {
        let mut set = Self::EMPTY;
        for (index, word) in set.0.iter_mut().enumerate() {
            let bits = count.saturating_sub(64 * index).min(64);
            *word = u64::MAX.checked_shr(64 - bits as u32).unwrap_or(0);
        }
        set
    }

    pub fn one(core: CoreId) -> Self {
        let mut set = Self::EMPTY;
        set.insert(core);
        set
    }

    pub fn insert(&mut self, core: CoreId) {
        self.0[core.index() / 64] |= 1 << (core.index() % 64);
    }

    pub fn contains(&self, core: CoreId) -> bool {
        self.0[core.index() / 64] & (1 << (core.index() % 64)) != 0
    }

    pub fn len(&self) -> usize {
        self.0.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// The core with the highest number.
    pub fn last(&self) -> Option<CoreId> {
        let word = self.0.iter().rposition(|&word| word != 0)?;
        Some(CoreId((word * 64) as u16 + self.0[word].ilog2() as u16))
    }

    pub fn is_empty(&self) -> bool {
        self.0 == [0; WORDS]
    }

    pub fn union(mut self, other: Self) -> Self {
        for (word, more) in self.0.iter_mut().zip(other.0) {
            *word |= more;
        }
        self
    }

    /// In ascending order.
    pub fn iter(mut self) -> impl Iterator<Item = CoreId> {
        core::iter::from_fn(move || {
            let index = self.0.iter().position(|&word| word != 0)?;
            let word = &mut self.0[index];
            let bit = word.trailing_zeros();
            *word &= *word - 1;
            Some(CoreId(64 * index as u16 + bit as u16))
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sets_of_cores_are_in_order() {
        for count in 0..=MAX_NUM_NODES {
            let set = CoreSet::first(count);
            assert_eq!(set.len(), count);
            assert!(set.iter().map(CoreId::index).eq(0..count));
            assert_eq!(set.last().map(CoreId::index), count.checked_sub(1));
        }
        let pair = CoreSet::one(CoreId(0)).union(CoreSet::one(CoreId(MAX_NUM_NODES as u16 - 1)));
        assert!(pair.iter().next() == Some(CoreId(0)) && pair.len() <= 2);
    }
}
