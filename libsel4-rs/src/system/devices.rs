//! Device memory: frames at given physical addresses.
//!
//! Device untypeds are large and a device is a page or two, so a piece is halved until it is the frame that is
//! wanted; the other halves are kept for other devices.

use alloc::vec::Vec;

use sel4_abi::{CapRights, ObjectType, VmAttributes};

use super::{KernelSplitter, ResourceError, System};
use crate::cap::{Cap, Page, Untyped, init};
use crate::pools::Splitter;

#[derive(Clone, Copy, Debug)]
struct Piece {
    cap: Cap<Untyped>,
    paddr: u64,
    bits: u8,
}

impl Piece {
    const fn contains(&self, paddr: u64) -> bool {
        paddr >= self.paddr && (paddr - self.paddr) >> self.bits == 0
    }
}

/// The device untypeds that nobody uses.
#[derive(Debug)]
pub(super) struct DeviceMemory {
    pieces: Vec<Piece>,
}

impl DeviceMemory {
    pub(super) const fn new() -> Self {
        Self { pieces: Vec::new() }
    }

    pub(super) fn add(&mut self, cap: Cap<Untyped>, paddr: u64, bits: u8) {
        self.pieces.push(Piece { cap, paddr, bits });
    }

    /// The piece of 2^`bits` bytes at `paddr`; `None` when there is none.
    fn take<S: Splitter>(
        &mut self,
        paddr: u64,
        bits: u8,
        splitter: &mut S,
    ) -> Result<Option<Cap<Untyped>>, S::Error> {
        let aligned = paddr.trailing_zeros() >= u32::from(bits);
        let found = self
            .pieces
            .iter()
            .position(|piece| piece.contains(paddr) && piece.bits >= bits);
        let Some(index) = found.filter(|_| aligned) else {
            return Ok(None);
        };
        while self.pieces[index].bits > bits {
            let whole = self.pieces[index];
            let half_bits = whole.bits - 1;
            let [low, high] = splitter.split(whole.cap, half_bits)?;
            let low = Piece {
                cap: low,
                paddr: whole.paddr,
                bits: half_bits,
            };
            let high = Piece {
                cap: high,
                paddr: whole.paddr + (1 << half_bits),
                bits: half_bits,
            };
            let (wanted, other) = if high.contains(paddr) {
                (high, low)
            } else {
                (low, high)
            };
            self.pieces[index] = wanted;
            self.pieces.push(other);
        }
        Ok(Some(self.pieces.swap_remove(index).cap))
    }
}

impl System {
    /// The frame of device memory at a physical address. It cannot be given back.
    ///
    /// # Errors
    /// No such device memory; no slots.
    pub fn device_frame<P: Page>(&mut self, paddr: u64) -> Result<Cap<P>, ResourceError> {
        let mut splitter = KernelSplitter {
            slots: &mut self.slots,
        };
        let piece = self
            .devices
            .take(paddr, P::SIZE_BITS as u8, &mut splitter)?;
        let piece = piece.ok_or(ResourceError::NoDevice { paddr })?;
        let object: ObjectType = P::OBJECT;
        let slot = self.slot()?;
        piece.retype_into(object, 0, init::CNODE, slot.index)?;
        Ok(Cap::from_bits(slot.index))
    }

    /// Maps device registers, and returns where they are.
    ///
    /// # Errors
    /// No such device memory; no slots, memory or addresses.
    pub fn map_device<P: Page>(&mut self, paddr: u64) -> Result<usize, ResourceError> {
        let frame = self.device_frame::<P>(paddr)?;
        self.map(frame, CapRights::READ_WRITE, VmAttributes::EXECUTE_NEVER)
    }
}

#[cfg(test)]
mod tests {
    use super::DeviceMemory;
    use crate::cap::{Cap, Untyped};
    use crate::pools::Splitter;

    /// Names each child after its parent and its place.
    struct Names;

    impl Splitter for Names {
        type Error = ();

        fn split(&mut self, parent: Cap<Untyped>, _: u8) -> Result<[Cap<Untyped>; 2], ()> {
            Ok([0, 1].map(|half| Cap::from_bits(parent.bits() * 2 + half)))
        }

        fn join(&mut self, _: [Cap<Untyped>; 2]) -> Result<(), ()> {
            unreachable!("device memory is never joined")
        }
    }

    #[test]
    fn the_page_at_an_address_is_found() {
        let mut devices = DeviceMemory::new();
        devices.add(Cap::from_bits(1), 0x900_0000, 14);
        // Quarters of 4 KiB are named 4 to 7.
        let mut take = |paddr, bits| {
            devices
                .take(paddr, bits, &mut Names)
                .unwrap()
                .map(Cap::bits)
        };
        assert_eq!(take(0x900_2000, 12), Some(6));
        assert_eq!(take(0x900_2000, 12), None);
        assert_eq!(take(0x900_0000, 13), Some(2));
        assert_eq!(take(0x900_3000, 12), Some(7));
        assert_eq!(take(0x900_4000, 12), None);
        assert_eq!(take(0x900_0800, 12), None);
    }
}
