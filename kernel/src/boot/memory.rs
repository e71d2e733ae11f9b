//! Which physical memory the root task gets: plain arithmetic on regions.
//!
//! RAM is what the board has, without what is kept: firmware's reserved memory, the kernel image, the loader's tables,
//! the device tree and the root task's image. The loader itself is not kept. A device is every other address up to a
//! limit, without RAM, reserved memory and the interrupt controller. Boot takes the root task's objects from the top
//! of RAM.

use tern_platform::{
    board::{List, Region, Regions},
    handover::{Handover, WINDOW_SIZE},
};

/// The most regions of each kind.
const MAX: usize = 64;

/// Memory that is not yet anybody's.
pub struct Memory {
    pub ram: Regions<MAX>,
    pub devices: Regions<MAX>,
}

impl Memory {
    /// `kept` are further parts of RAM that are in use; physical addresses from `device_top` on do not exist.
    ///
    /// # Panics
    /// If the board is cut into more pieces than there is room for.
    pub fn new(handover: &Handover, kept: &[Region], device_top: u64) -> Self {
        let board = &handover.board;
        let mut ram = Regions::new(Region::EMPTY);
        for region in &board.memory {
            add(&mut ram, region.narrowed(PAGE));
        }
        let mut devices: Regions<MAX> = Regions::new(Region::EMPTY);
        add(&mut devices, Region::new(0, device_top));
        for region in board.memory.iter().copied().chain(board.kernel_devices()) {
            subtract(&mut devices, region.widened(PAGE));
        }
        for region in &board.reserved {
            subtract(&mut devices, region.widened(PAGE));
            subtract(&mut ram, region.widened(PAGE));
        }
        for region in kept.iter().chain([&handover.kernel, &handover.tables]) {
            subtract(&mut ram, region.widened(PAGE));
        }
        subtract(&mut ram, Region::new(WINDOW_SIZE, u64::MAX));
        Self { ram, devices }
    }

    /// Takes `1 << bits` aligned bytes from the top of the last region that has them.
    pub fn take(&mut self, bits: u32) -> Option<u64> {
        let size = 1 << bits;
        let start = self.ram.iter().rev().find_map(|region| {
            let start = region.end.checked_sub(size)? & !(size - 1);
            (start >= region.start).then_some(start)
        })?;
        subtract(&mut self.ram, Region::new(start, start + size));
        Some(start)
    }
}

const PAGE: u64 = 4096;

fn add(regions: &mut List<Region, MAX>, region: Region) {
    regions
        .add(region)
        .expect("at most 64 separate pieces of memory");
}

fn subtract(regions: &mut List<Region, MAX>, region: Region) {
    regions
        .subtract(region)
        .expect("at most 64 separate pieces of memory");
}

/// Cuts a region into untypeds, each as large as its place allows: start and log of the size.
pub fn cut(region: Region) -> impl Iterator<Item = (u64, u8)> {
    use sel4_abi::size_bits::{MAX_UNTYPED, MIN_UNTYPED};
    let mut at = region.start;
    core::iter::from_fn(move || {
        let left = region.end.saturating_sub(at);
        let fits = left.checked_ilog2()?;
        let bits = fits.min(at.trailing_zeros()).min(MAX_UNTYPED as u32);
        if u64::from(bits) < MIN_UNTYPED {
            return None;
        }
        let start = at;
        at += 1 << bits;
        Some((start, bits as u8))
    })
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use tern_platform::{
        board::{BoardInfo, MAX_CPUS},
        handover,
    };

    use super::*;

    fn region(start: u64, end: u64) -> Region {
        Region::new(start, end)
    }

    fn handover(memory: &[Region], reserved: &[Region]) -> Handover {
        let mut board = BoardInfo::empty();
        for region in memory {
            board.memory.add(*region).unwrap();
        }
        for region in reserved {
            board.reserved.add(*region).unwrap();
        }
        board.gic.distributor = region(0x800_0000, 0x801_0000);
        board.gic.cpu_interface = region(0x801_0000, 0x801_2000);
        Handover {
            magic: handover::MAGIC,
            version: handover::VERSION,
            size: Handover::SIZE,
            num_cores: 1,
            kernel: region(0x4040_0000, 0x4046_3000),
            tables: region(0x4046_4000, 0x4048_0000),
            mpidr: [0; MAX_CPUS],
            board,
        }
    }

    #[test]
    fn every_address_is_ram_or_device_or_kept() {
        let reserved = [region(0x4000_0000, 0x4000_1000), region(0x9_0000, 0x9_0010)];
        let kept = [region(0x4050_0000, 0x4051_2345)];
        let all = region(0x4000_0000, 0x8000_0000);
        let memory = Memory::new(&handover(&[all], &reserved), &kept, 1 << 40);
        let ram = [
            region(0x4000_1000, 0x4040_0000),
            region(0x4046_3000, 0x4046_4000),
            region(0x4048_0000, 0x4050_0000),
            region(0x4051_3000, 0x8000_0000),
        ];
        assert_eq!(&memory.ram[..], &ram);
        let devices = [
            region(0, 0x9_0000),
            region(0x9_1000, 0x800_0000),
            region(0x801_2000, 0x4000_0000),
            region(0x8000_0000, 1 << 40),
        ];
        assert_eq!(&memory.devices[..], &devices);
    }

    #[test]
    fn memory_beyond_the_window_is_left_out() {
        let all = region(WINDOW_SIZE - 0x1000, WINDOW_SIZE + 0x1000);
        let memory = Memory::new(&handover(&[all], &[]), &[], 1 << 44);
        assert_eq!(
            &memory.ram[..],
            &[region(WINDOW_SIZE - 0x1000, WINDOW_SIZE)]
        );
        assert_eq!(
            memory.devices.last(),
            Some(&region(WINDOW_SIZE + 0x1000, 1 << 44))
        );
    }

    #[test]
    fn objects_come_from_the_top() {
        let mut memory = Memory::new(
            &handover(&[region(0x8000_0000, 0x8001_3000)], &[]),
            &[],
            1 << 40,
        );
        assert_eq!(memory.take(16), Some(0x8000_0000));
        assert_eq!(memory.take(12), Some(0x8001_2000));
        assert_eq!(memory.take(7), Some(0x8001_1f80));
        assert_eq!(memory.take(14), None);
        assert_eq!(memory.take(12), Some(0x8001_0000));
        assert_eq!(&memory.ram[..], &[region(0x8001_1000, 0x8001_1f80)]);
    }

    #[test]
    fn a_region_is_cut_greedily() {
        let pieces: Vec<_> = cut(region(0x800_1000, 0x801_0000)).collect();
        assert_eq!(
            pieces,
            [
                (0x800_1000, 12),
                (0x800_2000, 13),
                (0x800_4000, 14),
                (0x800_8000, 15)
            ]
        );
        assert_eq!(cut(region(0, 0x800_0000)).collect::<Vec<_>>(), [(0, 27)]);
        assert_eq!(cut(region(0, 1 << 50)).count(), 8);
        assert_eq!(
            cut(region(0x10, 0x37)).collect::<Vec<_>>(),
            [(0x10, 4), (0x20, 4)]
        );
        assert_eq!(cut(region(5, 100)).count(), 0);
        assert_eq!(cut(Region::EMPTY).count(), 0);
    }
}
