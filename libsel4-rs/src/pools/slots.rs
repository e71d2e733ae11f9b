//! Capability slots: a range that is used up in order, and a list of those that came back.

use alloc::vec::Vec;
use core::ops::Range;

/// Hands out the slots of a range.
#[derive(Debug)]
pub struct SlotAllocator {
    unused: Range<u64>,
    returned: Vec<u64>,
}

impl SlotAllocator {
    /// All slots of the range are free.
    pub const fn new(slots: Range<u64>) -> Self {
        Self {
            unused: slots,
            returned: Vec::new(),
        }
    }

    /// A free slot; the last returned one first.
    pub fn alloc(&mut self) -> Option<u64> {
        self.returned.pop().or_else(|| self.unused.next())
    }

    /// `count` consecutive slots that were never used.
    pub fn alloc_range(&mut self, count: u64) -> Option<Range<u64>> {
        let start = self.unused.start;
        let end = start
            .checked_add(count)
            .filter(|&end| end <= self.unused.end)?;
        self.unused.start = end;
        Some(start..end)
    }

    /// Takes back a slot that is empty again.
    pub fn free(&mut self, slot: u64) {
        debug_assert!(slot < self.unused.start && !self.returned.contains(&slot));
        self.returned.push(slot);
    }

    /// How many slots are left.
    pub fn available(&self) -> u64 {
        self.unused.end - self.unused.start + self.returned.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::SlotAllocator;

    #[test]
    fn slots_come_back() {
        let mut slots = SlotAllocator::new(10..13);
        assert_eq!((slots.alloc(), slots.alloc()), (Some(10), Some(11)));
        slots.free(10);
        assert_eq!(slots.available(), 2);
        assert_eq!(
            (slots.alloc(), slots.alloc(), slots.alloc()),
            (Some(10), Some(12), None)
        );
    }

    #[test]
    fn ranges_are_consecutive() {
        let mut slots = SlotAllocator::new(10..20);
        assert_eq!(slots.alloc_range(4), Some(10..14));
        slots.free(12);
        assert_eq!(slots.alloc_range(7), None);
        assert_eq!(slots.alloc_range(6), Some(14..20));
        assert_eq!(slots.alloc_range(u64::MAX), None);
        assert_eq!(slots.alloc(), Some(12));
    }
}
