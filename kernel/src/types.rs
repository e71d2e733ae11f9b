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
        debug_assert!((self.0 as usize) < MAX_NUM_NODES);
        // So that the compiler knows that it is within the tables of cores.
        self.0 as usize % MAX_NUM_NODES.next_power_of_two()
    }
}

/// A set of cores: a bit for each.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CoreSet(u64);

const _: () = assert!(MAX_NUM_NODES <= u64::BITS as usize);

impl CoreSet {
    pub const EMPTY: Self = Self(0);

    /// The cores 0 to `count`, exclusive.
    pub fn first(count: usize) -> Self {
        Self(u64::MAX.checked_shr(u64::BITS - count as u32).unwrap_or(0))
    }

    pub const fn one(core: CoreId) -> Self {
        Self(1 << core.0)
    }

    pub fn insert(&mut self, core: CoreId) {
        self.0 |= 1 << core.0;
    }

    pub fn contains(&self, core: CoreId) -> bool {
        self.0 >> core.0 & 1 == 1
    }

    pub fn len(&self) -> usize {
        self.0.count_ones() as usize
    }

    /// Whether all of them have lower numbers than this core.
    pub fn is_below(self, core: CoreId) -> bool {
        self.0 >> core.0 == 0
    }

    pub fn is_empty(&self) -> bool {
        self.0 == 0
    }

    pub fn union(self, other: Self) -> Self {
        Self(self.0 | other.0)
    }

    pub const fn without(self, other: Self) -> Self {
        Self(self.0 & !other.0)
    }

    /// In ascending order.
    pub fn iter(mut self) -> impl Iterator<Item = CoreId> {
        core::iter::from_fn(move || {
            let first = (self.0 != 0).then(|| CoreId(self.0.trailing_zeros() as u16))?;
            self.0 &= self.0 - 1;
            Some(first)
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
            assert!(
                (0..MAX_NUM_NODES).all(|core| set.is_below(CoreId(core as u16)) == (count <= core))
            );
            assert!(set.without(set).is_empty());
        }
        let pair = CoreSet::one(CoreId(0)).union(CoreSet::one(CoreId(MAX_NUM_NODES as u16 - 1)));
        assert!(pair.iter().next() == Some(CoreId(0)) && pair.len() <= 2);
    }
}
