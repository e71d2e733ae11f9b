//! Where things go in physical memory.
//!
//! Takes memory from the lowest address that fits, so that what the loader uses lies together and the large rest stays
//! in one piece for the kernel to hand out. Nothing is ever given back.

use crate::board::{BoardInfo, List, Region, Regions};
use crate::handover::WINDOW_SIZE;
use core::fmt;

/// The free memory that remains.
pub struct Free {
    regions: Regions<64>,
}

/// Why something has no place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PlaceError {
    /// No free region has that many bytes.
    NoRoom(u64),
    /// Memory is in too many pieces.
    Fragmented,
}

impl fmt::Display for PlaceError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            PlaceError::NoRoom(size) => {
                write!(
                    f,
                    "no free memory for {} KiB in one piece",
                    size.div_ceil(1024)
                )
            }
            PlaceError::Fragmented => f.write_str("memory is in too many pieces"),
        }
    }
}

impl Free {
    /// What is free on a board: its memory below the end of the kernel's window, without what firmware keeps, the
    /// regions `in_use`, and page 0, so that no address handed on is 0.
    pub fn new(board: &BoardInfo, in_use: &[Region]) -> Result<Free, PlaceError> {
        let mut free = Free {
            regions: List::new(Region::EMPTY),
        };
        let window = Region::new(4096, WINDOW_SIZE);
        for region in &board.memory {
            let region = region.intersection(&window);
            free.regions
                .add(region)
                .map_err(|_| PlaceError::Fragmented)?;
        }
        for region in board.reserved.iter().chain(in_use) {
            let hole = region.widened(4096);
            free.regions
                .subtract(hole)
                .map_err(|_| PlaceError::Fragmented)?;
        }
        Ok(free)
    }

    /// Takes `size` bytes at a multiple of `align` (a power of two); both in whole pages.
    pub fn take(&mut self, size: u64, align: u64) -> Result<Region, PlaceError> {
        let fit = |region: &Region| {
            let start = region.start.checked_next_multiple_of(align)?;
            let wanted = Region::sized(start, size)?;
            region.contains(&wanted).then_some(wanted)
        };
        let found = self.regions.iter().find_map(fit);
        let region = found.ok_or(PlaceError::NoRoom(size))?;
        self.regions
            .subtract(region)
            .map_err(|_| PlaceError::Fragmented)?;
        Ok(region)
    }
}

/// Leaves out of the board's memory what is not in the kernel's window. Returns how many bytes that is.
pub fn trim_to_window(board: &mut BoardInfo) -> Result<u64, PlaceError> {
    let beyond = Region::new(WINDOW_SIZE, u64::MAX);
    let mut lost = 0;
    for region in &board.memory {
        let part = region.intersection(&beyond);
        lost += part.len();
        // It must not be taken for device registers either.
        board
            .reserved
            .add(part)
            .map_err(|_| PlaceError::Fragmented)?;
    }
    board
        .memory
        .subtract(beyond)
        .map_err(|_| PlaceError::Fragmented)?;
    Ok(lost)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    fn board(memory: &[Region]) -> BoardInfo {
        let mut board = BoardInfo::empty();
        for region in memory {
            board.memory.add(*region).unwrap();
        }
        board
    }

    #[test]
    fn the_lowest_fit_is_taken() {
        let mut board = board(&[Region::new(0, 16 * MIB), Region::new(64 * MIB, 128 * MIB)]);
        board
            .reserved
            .add(Region::new(3 * MIB, 3 * MIB + 1))
            .unwrap();
        let mut free = Free::new(&board, &[Region::new(MIB, 2 * MIB)]).unwrap();
        let mut take = |size, align| free.take(size, align).map(|r| r.start);
        assert_eq!(take(8192, 4096), Ok(4096), "not page 0");
        assert_eq!(take(MIB, 2 * MIB), Ok(2 * MIB));
        assert_eq!(take(MIB, 4096), Ok(3 * MIB + 4096));
        assert_eq!(take(MIB, 2 * MIB), Ok(6 * MIB));
        assert_eq!(take(32 * MIB, 2 * MIB), Ok(64 * MIB));
        assert_eq!(take(33 * MIB, 4096), Err(PlaceError::NoRoom(33 * MIB)));
        assert_eq!(take(!4095, 4096), Err(PlaceError::NoRoom(!4095)));
        assert_eq!(take(4096, 1 << 63), Err(PlaceError::NoRoom(4096)));
    }

    #[test]
    fn memory_beyond_the_window_is_not_used() {
        let memory = [Region::new(WINDOW_SIZE - MIB, WINDOW_SIZE + MIB)];
        let mut board = board(&memory);
        let mut free = Free::new(&board, &[]).unwrap();
        assert_eq!(free.take(MIB, 4096).map(|r| r.end), Ok(WINDOW_SIZE));
        assert_eq!(free.take(4096, 4096), Err(PlaceError::NoRoom(4096)));
        assert_eq!(trim_to_window(&mut board), Ok(MIB));
        assert_eq!(board.memory.total(), MIB);
        assert_eq!(
            &board.reserved[..],
            &[Region::new(WINDOW_SIZE, WINDOW_SIZE + MIB)]
        );
        assert_eq!(trim_to_window(&mut board), Ok(0));
    }
}
