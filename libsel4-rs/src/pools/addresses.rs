//! Virtual address ranges.

use alloc::vec::Vec;
use core::ops::Range;

/// Hands out ranges of addresses, lowest first.
#[derive(Debug)]
pub struct AddressAllocator {
    /// In ascending order, none empty, none touching the next.
    free: Vec<Range<usize>>,
}

impl AddressAllocator {
    /// All addresses of the range are free.
    pub fn new(addresses: Range<usize>) -> Self {
        let mut allocator = Self { free: Vec::new() };
        if !addresses.is_empty() {
            allocator.free.push(addresses);
        }
        allocator
    }

    /// `size` addresses from a multiple of `align`, which is a power of two.
    pub fn alloc(&mut self, size: usize, align: usize) -> Option<Range<usize>> {
        let fit = |range: &Range<usize>| {
            let start = range.start.checked_next_multiple_of(align)?;
            let end = start.checked_add(size)?;
            (end <= range.end).then_some(start..end)
        };
        let (index, found) = self
            .free
            .iter()
            .enumerate()
            .find_map(|(i, range)| Some((i, fit(range)?)))?;
        let whole = self.free[index].clone();
        let rest = [whole.start..found.start, found.end..whole.end];
        self.free.splice(
            index..=index,
            rest.into_iter().filter(|piece| !piece.is_empty()),
        );
        Some(found)
    }

    /// Takes back a range.
    ///
    /// # Panics
    /// When some of it is free already.
    pub fn free(&mut self, mut range: Range<usize>) {
        let index = self.free.partition_point(|other| other.start < range.start);
        let (mut first, mut last) = (index, index);
        if let Some(before) = index.checked_sub(1).map(|before| &self.free[before]) {
            assert!(before.end <= range.start, "{range:x?} is free already");
            if before.end == range.start {
                range.start = before.start;
                first -= 1;
            }
        }
        if let Some(after) = self.free.get(index) {
            assert!(range.end <= after.start, "{range:x?} is free already");
            if after.start == range.end {
                range.end = after.end;
                last += 1;
            }
        }
        self.free.splice(first..last, [range]);
    }
}

#[cfg(test)]
mod tests {
    use super::AddressAllocator;

    #[test]
    fn ranges_are_aligned_and_join_again() {
        let mut addresses = AddressAllocator::new(0x1000..0x9000);
        let a = addresses.alloc(0x1000, 0x1000).unwrap();
        let b = addresses.alloc(0x2000, 0x2000).unwrap();
        let c = addresses.alloc(0x1000, 0x4000).unwrap();
        assert_eq!((a.start, b.start, c.start), (0x1000, 0x2000, 0x4000));
        assert_eq!(addresses.alloc(0x5000, 0x1000), None);
        addresses.free(b);
        addresses.free(a);
        addresses.free(c);
        assert_eq!(
            (addresses.free.len(), addresses.free[0].clone()),
            (1, 0x1000..0x9000)
        );
        assert_eq!(addresses.alloc(0x8000, 0x1000), Some(0x1000..0x9000));
        assert_eq!(addresses.alloc(1, 1), None);
    }

    #[test]
    #[should_panic(expected = "free already")]
    fn a_range_comes_back_once() {
        let mut addresses = AddressAllocator::new(0x1000..0x9000);
        let range = addresses.alloc(0x1000, 0x1000).unwrap();
        addresses.free(range.clone());
        addresses.free(range);
    }
}
