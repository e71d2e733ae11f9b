//! What the loader leaves for the kernel in memory, beside the registers of the entry protocol.
//!
//! One `Handover` lies in RAM that the loader took for itself; the kernel finds it at the physical address in x6.
//! It holds integers only, so it means the same at any virtual address. Loader and kernel are built from one tree;
//! `magic`, `version` and `size` catch an image that was put together from two.

use crate::board::{BoardInfo, MAX_CPUS, Region};

/// "TERNHAND", little endian.
pub const MAGIC: u64 = u64::from_le_bytes(*b"TERNHAND");
/// Changes whenever the meaning of a field does.
pub const VERSION: u32 = 1;

/// Where the kernel image is linked.
pub const KERNEL_BASE: u64 = 0xffff_ffff_c000_0000;
/// Virtual address of physical address 0 in the kernel's window on physical memory.
pub const WINDOW_BASE: u64 = 0xffff_ff80_0000_0000;
/// Physical addresses from here on are not in the window.
pub const WINDOW_SIZE: u64 = 511 << 30;
/// Core `i` has its stack in the top `STACK_SIZE` bytes of the `STACK_STRIDE` bytes at `STACK_BASE + i * STACK_STRIDE`.
pub const STACK_BASE: u64 = 0xffff_ffff_e000_0000;
pub const STACK_STRIDE: u64 = 0x1_0000;
pub const STACK_SIZE: u64 = 0x4000;

/// The initial stack pointer of a core.
pub const fn stack_top(core: usize) -> u64 {
    STACK_BASE + (core as u64 + 1) * STACK_STRIDE
}

/// The first fields of a `Handover`, read on their own to find out whether it is one.
#[repr(C)]
#[derive(Clone, Copy)]
struct Marks {
    magic: u64,
    version: u32,
    size: u32,
}

#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Handover {
    pub magic: u64,
    pub version: u32,
    /// Of this structure, in bytes.
    pub size: u32,
    /// Cores that enter the kernel, with logical indices 0..num_cores.
    pub num_cores: u64,
    /// Physical memory of the kernel image. Not in the window.
    pub kernel: Region,
    /// Physical memory of translation tables, stacks and this structure. The kernel never gives it away.
    pub tables: Region,
    /// MPIDR_EL1 affinity of each core, by logical index.
    pub mpidr: [u64; MAX_CPUS],
    pub board: BoardInfo,
}

impl Handover {
    pub const SIZE: u32 = size_of::<Handover>() as u32;

    /// Reads the structure the loader left at `at`, or `None` if that is not one of this version.
    ///
    /// # Safety
    /// `at` is aligned to 8 bytes and points to at least `Handover::SIZE` readable bytes which nobody writes as long
    /// as the reference lives. If the bytes carry this magic number, version and size, a loader of this version wrote
    /// them.
    pub unsafe fn from_ptr<'a>(at: *const Handover) -> Option<&'a Handover> {
        // SAFETY: the caller's promise: `at` points to readable bytes, and any bytes are valid marks.
        let marks = unsafe { at.cast::<Marks>().read() };
        if (marks.magic, marks.version, marks.size) != (MAGIC, VERSION, Handover::SIZE) {
            return None;
        }
        // SAFETY: the three marks say that a loader of this version wrote a valid value, by the caller's promise.
        Some(unsafe { &*at })
    }
}

const _: () = assert!(size_of::<Handover>() <= 8192);
const _: () = assert!(align_of::<Handover>() == 8);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_matching_structure_is_read() {
        let good = Handover {
            magic: MAGIC,
            version: VERSION,
            size: Handover::SIZE,
            num_cores: 1,
            kernel: Region::EMPTY,
            tables: Region::EMPTY,
            mpidr: [0; MAX_CPUS],
            board: BoardInfo::empty(),
        };
        // SAFETY: a valid value of ours.
        assert_eq!(unsafe { Handover::from_ptr(&good) }, Some(&good));
        let mut bad = good;
        bad.version += 1;
        // SAFETY: a valid value of ours.
        assert_eq!(unsafe { Handover::from_ptr(&bad) }, None);
        bad = good;
        bad.magic = 0;
        // SAFETY: a valid value of ours.
        assert_eq!(unsafe { Handover::from_ptr(&bad) }, None);
    }

    #[test]
    fn stacks_are_apart() {
        assert_eq!(stack_top(0), 0xffff_ffff_e001_0000);
        assert_eq!(stack_top(1) - STACK_SIZE, 0xffff_ffff_e001_c000);
    }
}
