//! Translation tables: four levels, 4 KiB granule, 48-bit addresses.
//!
//! Builds tables in a slice whose physical address is known, without looking at hardware. A range is mapped with the
//! largest blocks that its alignment allows. Mapping an address twice is an error, so that a bug in the plan of the
//! address space shows at once.

use crate::board::Region;
use core::fmt;

/// MAIR_EL1 for the attribute numbers used here and by the kernel.
pub const MAIR: u64 = 0x0000_aaff_440c_0400;
const DEVICE: u64 = 0;
const NORMAL: u64 = 4;

const ENTRIES: usize = 512;
const PAGE: u64 = 4096;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

const VALID: u64 = 1;
/// A table at levels 0 to 2, a page at level 3. Without it: a block.
const TABLE_OR_PAGE: u64 = 1 << 1;
const READ_ONLY: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 3 << 8;
const ACCESSED: u64 = 1 << 10;
const NOT_GLOBAL: u64 = 1 << 11;
const NO_EXECUTE_EL1: u64 = 1 << 53;
const NO_EXECUTE_EL0: u64 = 1 << 54;

/// One translation table.
#[repr(C, align(4096))]
#[derive(Clone)]
pub struct Table([u64; ENTRIES]);

impl Table {
    pub const EMPTY: Table = Table([0; ENTRIES]);
}

/// What may be done with a range. EL0 may do nothing with any of them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    /// Run and read.
    Code,
    /// Read.
    Constant,
    /// Read and write.
    Data,
    /// Read and write, as a device.
    Device,
    /// Run and read, in an address space that the kernel will replace.
    Passing,
}

impl Access {
    fn bits(self) -> u64 {
        let memory = NORMAL << 2 | INNER_SHAREABLE | ACCESSED | NO_EXECUTE_EL0;
        match self {
            Access::Code => memory | READ_ONLY,
            Access::Constant => memory | READ_ONLY | NO_EXECUTE_EL1,
            Access::Data => memory | NO_EXECUTE_EL1,
            Access::Device => DEVICE << 2 | ACCESSED | NO_EXECUTE_EL0 | NO_EXECUTE_EL1,
            Access::Passing => memory | READ_ONLY | NOT_GLOBAL,
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MapError {
    /// No table is left.
    Full,
    /// Something is mapped at this address already.
    Taken(u64),
}

impl fmt::Display for MapError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            MapError::Full => f.write_str("out of translation tables"),
            MapError::Taken(at) => write!(f, "{at:#x} is already mapped"),
        }
    }
}

/// The root of one address space.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Root(usize);

/// Tables being built.
pub struct Builder<'a> {
    tables: &'a mut [Table],
    base: u64,
    used: usize,
}

impl<'a> Builder<'a> {
    /// Builds in `tables`, which lie at physical address `base`. Their old content does not matter.
    pub fn new(tables: &'a mut [Table], base: u64) -> Builder<'a> {
        Builder {
            tables,
            base,
            used: 0,
        }
    }

    /// Starts an empty address space.
    pub fn root(&mut self) -> Result<Root, MapError> {
        self.add().map(Root)
    }

    /// The physical address of a root table.
    pub fn address(&self, root: Root) -> u64 {
        self.table_address(root.0)
    }

    /// The memory of the tables in use.
    pub fn used(&self) -> Region {
        Region::new(self.base, self.table_address(self.used))
    }

    /// Maps `physical` at `address`; all in whole pages.
    pub fn map(
        &mut self,
        root: Root,
        address: u64,
        physical: Region,
        access: Access,
    ) -> Result<(), MapError> {
        debug_assert!((address | physical.start | physical.end).is_multiple_of(PAGE));
        let mut done = 0;
        while done < physical.len() {
            let (from, to) = (address.wrapping_add(done), physical.start + done);
            let left = physical.len() - done;
            let fits = |size: u64| (from | to).is_multiple_of(size) && left >= size;
            let level = (1..3).find(|level| fits(block_size(*level))).unwrap_or(3);
            let slot = self.slot(root, from, level)?;
            if *slot != 0 {
                return Err(MapError::Taken(from));
            }
            let kind = if level == 3 { TABLE_OR_PAGE } else { 0 };
            *slot = to | access.bits() | kind | VALID;
            done += block_size(level);
        }
        Ok(())
    }

    /// The entry for `address` in its table of the given level.
    fn slot(&mut self, root: Root, address: u64, level: u32) -> Result<&mut u64, MapError> {
        let mut table = root.0;
        for above in 0..level {
            let index = index(address, above);
            let entry = self.tables[table].0[index];
            table = if entry == 0 {
                let new = self.add()?;
                let address = self.table_address(new);
                self.tables[table].0[index] = address | TABLE_OR_PAGE | VALID;
                new
            } else if entry & TABLE_OR_PAGE == 0 {
                return Err(MapError::Taken(address));
            } else {
                ((entry & ADDRESS) - self.base) as usize / size_of::<Table>()
            };
        }
        Ok(&mut self.tables[table].0[index(address, level)])
    }

    fn add(&mut self) -> Result<usize, MapError> {
        let new = self.used;
        *self.tables.get_mut(new).ok_or(MapError::Full)? = Table::EMPTY;
        self.used += 1;
        Ok(new)
    }

    fn table_address(&self, index: usize) -> u64 {
        self.base + (index * size_of::<Table>()) as u64
    }
}

/// Bytes that one entry of a level covers.
const fn block_size(level: u32) -> u64 {
    PAGE << (9 * (3 - level))
}

fn index(address: u64, level: u32) -> usize {
    (address / block_size(level)) as usize % ENTRIES
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    const BASE: u64 = 0x8765_4000;
    const MIB: u64 = 1 << 20;
    const GIB: u64 = 1 << 30;

    /// What the hardware would find: the output address and the entry's attributes.
    fn walk(builder: &Builder<'_>, root: Root, address: u64) -> Option<(u64, u64)> {
        let mut table = root.0;
        for level in 0..4 {
            let entry = builder.tables[table].0[index(address, level)];
            if entry & VALID == 0 {
                return None;
            }
            if level == 3 || entry & TABLE_OR_PAGE == 0 {
                assert!(level > 0);
                let inside = address % block_size(level);
                return Some(((entry & ADDRESS) + inside, entry & !ADDRESS));
            }
            table = ((entry & ADDRESS) - BASE) as usize / 4096;
        }
        None
    }

    fn tables(count: usize) -> Vec<Table> {
        // Old content must not matter.
        std::vec![Table([u64::MAX; ENTRIES]); count]
    }

    #[test]
    fn large_ranges_use_large_blocks() {
        let mut memory = tables(8);
        let mut builder = Builder::new(&mut memory, BASE);
        let root = builder.root().unwrap();
        assert_eq!(builder.address(root), BASE);
        let window = 0xffff_ff80_0000_0000;
        let ram = Region::new(GIB + 4096, 4 * GIB + 2 * MIB);
        let outcome = builder.map(root, window + ram.start, ram, Access::Data);
        assert_eq!(outcome, Ok(()));
        // Root, one for the window, one each for the first GiB, its first 2 MiB, and the last piece.
        assert_eq!(builder.used(), Region::new(BASE, BASE + 5 * 4096));
        for at in [ram.start, GIB + 3 * MIB, 3 * GIB + 5, 4 * GIB + 2 * MIB - 1] {
            let (to, bits) = walk(&builder, root, window + at).unwrap();
            assert_eq!(to, at);
            assert_eq!(bits & !TABLE_OR_PAGE, Access::Data.bits() | VALID);
        }
        for at in [0, GIB, ram.end, 5 * GIB] {
            assert_eq!(walk(&builder, root, window + at), None);
        }
    }

    #[test]
    fn misaligned_ranges_use_pages() {
        let mut memory = tables(4);
        let mut builder = Builder::new(&mut memory, BASE);
        let root = builder.root().unwrap();
        let ram = Region::new(0x1000, 0x40_0000 - 0x1000);
        assert_eq!(
            builder.map(root, 0, ram, Access::Code),
            Err(MapError::Full),
            "two tables of pages, and only one is left"
        );
        let mut memory = tables(5);
        let mut builder = Builder::new(&mut memory, BASE);
        let root = builder.root().unwrap();
        assert_eq!(builder.map(root, 0, ram, Access::Code), Ok(()));
        assert_eq!(
            walk(&builder, root, 0x20_0000),
            Some((0x20_1000, Access::Code.bits() | 3))
        );
    }

    #[test]
    fn nothing_is_mapped_twice() {
        let mut memory = tables(8);
        let mut builder = Builder::new(&mut memory, BASE);
        let root = builder.root().unwrap();
        let mut map = |at, size| {
            let physical = Region::new(at, at + size);
            builder.map(root, at, physical, Access::Data)
        };
        assert_eq!(map(2 * MIB, 2 * MIB), Ok(()));
        assert_eq!(map(2 * MIB, 4096), Err(MapError::Taken(2 * MIB)));
        assert_eq!(map(4096, 4096), Ok(()));
        assert_eq!(map(0, 2 * MIB), Err(MapError::Taken(0)));
        assert_eq!(map(0, 8192), Err(MapError::Taken(4096)));
    }

    #[test]
    fn nothing_can_be_written_and_run() {
        use Access::{Code, Constant, Data, Device, Passing};
        for access in [Code, Constant, Data, Device, Passing] {
            let bits = access.bits();
            assert!(
                bits & READ_ONLY != 0 || bits & NO_EXECUTE_EL1 != 0,
                "{access:?}"
            );
            assert!(
                bits & NO_EXECUTE_EL0 != 0 && bits & ACCESSED != 0,
                "{access:?}"
            );
            assert_eq!(bits & NOT_GLOBAL != 0, access == Passing);
        }
    }
}
