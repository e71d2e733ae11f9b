//! For tests and the simulated machine: boots in memory of the development machine, on a board that has nothing else.

use tern_platform::{
    board::{BoardInfo, MAX_CPUS, Region},
    handover::{self, Handover},
};

use super::{
    memory::Memory,
    root::{self, Image},
};
use crate::{access::Kernel, system::System, types::CoreId};

const PAGE: u64 = 4096;

/// Makes a root task from an image and a device tree, which may be empty, at the start of `ram`. There are no devices
/// from `device_top` on. The locks are held.
pub fn boot(
    system: &'static System,
    ram: Region,
    image: Image,
    tree: Region,
    device_top: u64,
) -> Kernel<'static> {
    let mut board = BoardInfo::empty();
    board.memory.add(ram).expect("room for one region");
    board.gic.distributor = Region::new(0x800_0000, 0x801_0000);
    let firmware = Region::new(0x801_0000, 0x802_0000);
    board.reserved.add(firmware).expect("room for one region");
    let handover = Handover {
        magic: handover::MAGIC,
        version: handover::VERSION,
        size: Handover::SIZE,
        num_cores: 1,
        kernel: Region::EMPTY,
        tables: Region::EMPTY,
        mpidr: [0; MAX_CPUS],
        board,
    };
    let kept = [image.memory, tree];
    let mut memory = Memory::new(&handover, &kept, device_top);
    if memory.ram.is_empty() {
        // This process' memory may lie above any real machine's; the window of the host has no end.
        memory.ram.add(ram).expect("room for one region");
        for region in kept {
            let region = region.widened(PAGE);
            memory.ram.subtract(region).expect("room for all pieces");
        }
    }
    let mut k = Kernel::lock_all(system, CoreId::BOOT);
    root::create(&mut k, image, tree, memory);
    k
}
