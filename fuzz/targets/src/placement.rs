//! Where things go in memory, and how they are mapped, on any board.

use tern_platform::board::{BoardInfo, Region};
use tern_platform::handover::WINDOW_SIZE;
use tern_platform::load::place::{Free, trim_to_window};
use tern_platform::load::tables::{Access, Builder, MapError, Table};

use crate::given::Given;

const PAGE: u64 = 4096;

pub fn run(data: &[u8]) {
    let mut given = Given::new(data);
    let mut board = BoardInfo::empty();
    for _ in 0..given.below(20) {
        let region = region(&mut given).narrowed(PAGE);
        if board.memory.add(region).is_err() {
            break;
        }
    }
    for _ in 0..given.below(36) {
        let region = region(&mut given);
        // A board with more of them is refused.
        if board.reserved.add(region.widened(PAGE)).is_err() {
            return;
        }
    }
    trim(board);
    let in_use: Vec<Region> = (0..given.below(6)).map(|_| region(&mut given)).collect();
    let Ok(mut free) = Free::new(&board, &in_use) else {
        return;
    };
    let mut taken: Vec<Region> = Vec::new();
    while !given.is_over() && taken.len() < 40 {
        let size = given.word() & !(PAGE - 1);
        let align = 1 << (12 + given.below(52));
        let Ok(region) = free.take(size, align) else {
            continue;
        };
        assert_eq!(region.len(), size);
        assert!(region.start.is_multiple_of(align));
        if region.is_empty() {
            continue;
        }
        assert!(region.start >= PAGE && region.end <= WINDOW_SIZE);
        assert!(board.memory.covers(&region), "{region} is not memory");
        for other in board.reserved.iter().chain(&in_use).chain(&taken) {
            assert!(!region.overlaps(other), "{region} and {other}");
        }
        taken.push(region);
    }
    map(&mut given, &taken);
}

/// A piece of the address space, somewhere where boards have theirs, or anywhere.
fn region(given: &mut Given<'_>) -> Region {
    let unit = given.of(&[1, PAGE, 1 << 20, 1 << 30, 1 << 36]);
    let start = u64::from(given.any::<u16>()).saturating_mul(unit);
    let start = start.saturating_add(u64::from(given.below(3)));
    let size = given.word();
    Region::sized(start, size).unwrap_or(Region::new(start, u64::MAX))
}

/// What is cut off is kept from everybody, and what is left is below the limit.
fn trim(mut board: BoardInfo) {
    let before = board.memory.total();
    let Ok(lost) = trim_to_window(&mut board) else {
        return;
    };
    assert_eq!(board.memory.total() + lost, before);
    assert!(board.memory.iter().all(|region| region.end <= WINDOW_SIZE));
    assert_eq!(trim_to_window(&mut board), Ok(0));
}

/// Every page that was mapped is found again where it should be, and no other.
fn map(given: &mut Given<'_>, taken: &[Region]) {
    const BASE: u64 = 0x8_0000_0000;
    let mut memory = vec![Table::EMPTY; usize::from(given.below(32))];
    let mut builder = Builder::new(&mut memory, BASE);
    let Ok(root) = builder.root() else { return };
    let mut mapped: Vec<Region> = Vec::new();
    for region in taken.iter().take(8) {
        // Beyond this, pages take long to count.
        let region = Region::new(region.start, region.end.min(region.start + (4 << 30)));
        let at = match given.below(3) {
            0 => region.start,
            1 => 0xffff_ff80_0000_0000 | region.start,
            _ => (given.word() & ((1 << 46) - 1)) & !(PAGE - 1),
        };
        let wanted = Region::new(at, at.saturating_add(region.len()));
        match builder.map(root, at, region, Access::Data) {
            Ok(()) => {
                assert!(!mapped.iter().any(|other| other.overlaps(&wanted)));
                mapped.push(wanted);
            }
            Err(MapError::Taken(place)) => {
                assert!(mapped.iter().any(|other| other.overlaps(&wanted)));
                assert!((wanted.start..wanted.end).contains(&place));
                return;
            }
            Err(MapError::Full) => return,
        }
    }
    let used = builder.used();
    assert!(used.start == BASE && used.len() <= 32 * PAGE);
}
