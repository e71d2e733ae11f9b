//! Numbers from the fuzzer's bytes. When these are used up, all that follow are 0.

use arbitrary::{Arbitrary, Unstructured};

pub(crate) struct Given<'a>(Unstructured<'a>);

impl<'a> Given<'a> {
    pub(crate) fn new(data: &'a [u8]) -> Self {
        Self(Unstructured::new(data))
    }

    pub(crate) fn is_over(&self) -> bool {
        self.0.is_empty()
    }

    pub(crate) fn any<T: Arbitrary<'a> + Default>(&mut self) -> T {
        self.0.arbitrary().unwrap_or_default()
    }

    /// A number below `end`, of one byte.
    pub(crate) fn below(&mut self, end: u8) -> u8 {
        self.any::<u8>() % end
    }

    pub(crate) fn of<T: Copy>(&mut self, list: &[T]) -> T {
        list[usize::from(self.any::<u8>()) % list.len()]
    }

    /// The bytes of a part with its own meaning.
    pub(crate) fn bytes(&mut self, count: usize) -> &'a [u8] {
        let count = count.min(self.0.len());
        self.0.bytes(count).unwrap_or_default()
    }

    /// A number of any size; small ones, powers of two and their neighbours, and those with all bits set are likely.
    pub(crate) fn word(&mut self) -> u64 {
        match self.below(6) {
            0 => u64::from(self.any::<u8>()),
            1 => u64::from(self.any::<u16>()),
            2 => 1 << self.below(64),
            3 => (1 << self.below(64)) - 1,
            4 => !u64::from(self.any::<u8>()),
            _ => self.any(),
        }
    }
}
