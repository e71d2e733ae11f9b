//! What the loader leaves in memory: only a structure with this magic number, version and size is read as one.

#![allow(unsafe_code, reason = "the kernel finds the structure by its address")]

use tern_platform::board::{BoardInfo, MAX_CPUS, Region};
use tern_platform::handover::{Handover, MAGIC, VERSION};

pub fn run(data: &[u8]) {
    let mut handover = Handover {
        magic: MAGIC,
        version: VERSION,
        size: Handover::SIZE,
        num_cores: 1,
        kernel: Region::EMPTY,
        tables: Region::EMPTY,
        mpidr: [0; MAX_CPUS],
        board: BoardInfo::empty(),
    };
    // The first byte says which marks are somebody else's; so one that is right meets two that are not.
    let (which, rest) = data.split_first().unwrap_or((&0, &[]));
    let mut words = rest.chunks(4).map(|chunk| {
        let number = |word: u32, byte: &u8| word << 8 | u32::from(*byte);
        chunk.iter().fold(0, number)
    });
    let mut next = || words.next().unwrap_or(0);
    if which & 1 != 0 {
        handover.magic = u64::from(next()) << 32 | u64::from(next());
    }
    if which & 2 != 0 {
        handover.version = next();
    }
    if which & 4 != 0 {
        handover.size = next();
    }
    handover.num_cores = u64::from(next());
    let ours =
        (handover.magic, handover.version, handover.size) == (MAGIC, VERSION, Handover::SIZE);
    // SAFETY: a valid value of this version, whatever its marks say, which lives longer than the reference.
    let read = unsafe { Handover::from_ptr(&raw const handover) };
    assert_eq!(read.is_some(), ours);
    if let Some(read) = read {
        assert_eq!(*read, handover);
    }
}
