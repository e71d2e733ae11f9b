//! What a board is made of: memory, cores, interrupt controller, console.
//!
//! Plain `repr(C)` data with fixed capacities: the loader fills it from the device tree, and the kernel reads it in the
//! `Handover`. All addresses are physical. Nothing here depends on a device-tree type, and nothing reads hardware.

use core::fmt;
use core::ops::{Deref, DerefMut};

/// Most cores of one image.
pub const MAX_CPUS: usize = 64;
/// Most separate pieces of RAM.
pub const MAX_MEMORY: usize = 16;
/// Most separate pieces of memory that firmware keeps.
pub const MAX_RESERVED: usize = 32;
/// Most separate pieces of GICv3 redistributor space.
pub const MAX_REDISTRIBUTORS: usize = 8;

/// A physical address range, `end` exclusive.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Region {
    pub start: u64,
    pub end: u64,
}

impl Region {
    pub const EMPTY: Region = Region { start: 0, end: 0 };

    pub const fn new(start: u64, end: u64) -> Region {
        Region { start, end }
    }

    /// The region of `size` bytes at `start`, or `None` if it passes the end of the address space.
    pub fn sized(start: u64, size: u64) -> Option<Region> {
        Some(Region {
            start,
            end: start.checked_add(size)?,
        })
    }

    pub const fn len(&self) -> u64 {
        self.end.saturating_sub(self.start)
    }

    pub const fn is_empty(&self) -> bool {
        self.end <= self.start
    }

    pub const fn contains(&self, other: &Region) -> bool {
        self.start <= other.start && other.end <= self.end
    }

    pub const fn overlaps(&self, other: &Region) -> bool {
        !self.is_empty() && !other.is_empty() && self.start < other.end && other.start < self.end
    }

    /// The part common to both; empty when there is none.
    pub fn intersection(&self, other: &Region) -> Region {
        let (start, end) = (self.start.max(other.start), self.end.min(other.end));
        if start < end {
            Region { start, end }
        } else {
            Region::EMPTY
        }
    }

    /// The smallest range of whole `align`-sized units that contains this one. `align` is a power of two.
    pub fn widened(&self, align: u64) -> Region {
        Region {
            start: self.start & !(align - 1),
            end: self
                .end
                .checked_next_multiple_of(align)
                .unwrap_or(!(align - 1)),
        }
    }

    /// The largest range of whole `align`-sized units inside this one; may be empty. `align` is a power of two.
    pub fn narrowed(&self, align: u64) -> Region {
        match self.start.checked_next_multiple_of(align) {
            Some(start) if start < self.end & !(align - 1) => Region {
                start,
                end: self.end & !(align - 1),
            },
            _ => Region::EMPTY,
        }
    }
}

impl fmt::Display for Region {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}..{:#x}", self.start, self.end)
    }
}

/// A list of at most `N` values, in place. Dereferences to a slice.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct List<T, const N: usize> {
    len: usize,
    items: [T; N],
}

/// The list has no room for another value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Full;

impl<T: Copy, const N: usize> List<T, N> {
    /// An empty list; `fill` is what the unused places hold.
    pub const fn new(fill: T) -> List<T, N> {
        List {
            len: 0,
            items: [fill; N],
        }
    }

    pub fn push(&mut self, value: T) -> Result<(), Full> {
        let place = self.items.get_mut(self.len).ok_or(Full)?;
        *place = value;
        self.len += 1;
        Ok(())
    }

    /// Inserts before `index`, which must not exceed the length.
    pub fn insert(&mut self, index: usize, value: T) -> Result<(), Full> {
        self.push(value)?;
        self[index..].rotate_right(1);
        Ok(())
    }

    /// Takes out the value at `index`, keeping the order of the rest.
    pub fn remove(&mut self, index: usize) -> T {
        let value = self[index];
        self[index..].rotate_left(1);
        self.len -= 1;
        value
    }

    pub fn clear(&mut self) {
        self.len = 0;
    }
}

impl<T, const N: usize> Deref for List<T, N> {
    type Target = [T];

    fn deref(&self) -> &[T] {
        &self.items[..self.len]
    }
}

impl<T, const N: usize> DerefMut for List<T, N> {
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items[..self.len]
    }
}

impl<'a, T, const N: usize> IntoIterator for &'a List<T, N> {
    type Item = &'a T;
    type IntoIter = core::slice::Iter<'a, T>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl<T: fmt::Debug, const N: usize> fmt::Debug for List<T, N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: PartialEq, const N: usize> PartialEq for List<T, N> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: Eq, const N: usize> Eq for List<T, N> {}

/// A set of addresses: sorted, disjoint, no two adjacent.
pub type Regions<const N: usize> = List<Region, N>;

impl<const N: usize> List<Region, N> {
    /// Adds a range to the set, merging it with what it overlaps or touches.
    pub fn add(&mut self, mut region: Region) -> Result<(), Full> {
        if region.is_empty() {
            return Ok(());
        }
        let mut index = self.iter().take_while(|r| r.end < region.start).count();
        while index < self.len() && self[index].start <= region.end {
            let old = self.remove(index);
            region = Region::new(region.start.min(old.start), region.end.max(old.end));
        }
        index = index.min(self.len());
        self.insert(index, region)
    }

    /// Takes a range out of the set.
    pub fn subtract(&mut self, hole: Region) -> Result<(), Full> {
        let mut index = 0;
        while index < self.len() {
            let old = self[index];
            if !old.overlaps(&hole) {
                index += 1;
                continue;
            }
            self.remove(index);
            for part in [
                Region::new(old.start, hole.start),
                Region::new(hole.end, old.end),
            ] {
                if !part.is_empty() {
                    self.insert(index, part)?;
                    index += 1;
                }
            }
        }
        Ok(())
    }

    /// Bytes in the set.
    pub fn total(&self) -> u64 {
        self.iter().map(Region::len).sum()
    }

    /// Whether one range of the set contains all of `region`.
    pub fn covers(&self, region: &Region) -> bool {
        self.iter().any(|r| r.contains(region))
    }
}

/// A short text, cut at 64 bytes. Only printable ASCII is kept.
#[repr(C)]
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Name {
    len: usize,
    bytes: [u8; 64],
}

impl Name {
    pub fn new(text: &[u8]) -> Name {
        let mut name = Name {
            len: 0,
            bytes: [0; 64],
        };
        let printable = text.iter().filter(|b| (0x20..0x7f).contains(*b));
        for (place, byte) in name.bytes.iter_mut().zip(printable) {
            *place = *byte;
            name.len += 1;
        }
        name
    }

    pub fn as_str(&self) -> &str {
        let bytes = self.bytes.get(..self.len).unwrap_or(&[]);
        core::str::from_utf8(bytes).unwrap_or("")
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

/// One core of the board.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cpu {
    /// Affinity fields of MPIDR_EL1, all other bits zero.
    pub mpidr: u64,
    /// Where a spin-table core looks for its entry point; 0 with other ways to start it.
    pub release_addr: u64,
}

/// How to start a core other than the one that booted.
#[repr(u32)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CoreStart {
    /// The board names no way: only the boot core runs.
    #[default]
    None = 0,
    PsciHvc = 1,
    PsciSmc = 2,
    SpinTable = 3,
}

/// The interrupt controller.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gic {
    /// 2, or 3 for GICv3 and GICv4.
    pub version: u32,
    /// Zero: keeps the layout free of hidden padding.
    pub pad: u32,
    pub distributor: Region,
    /// GICv2 only, else empty.
    pub cpu_interface: Region,
    /// GICv3 only, else empty.
    pub redistributors: List<Region, MAX_REDISTRIBUTORS>,
    /// Distance between redistributors, if the board says so; 0: by GICR_TYPER.
    pub redistributor_stride: u64,
}

/// What prints.
#[repr(u32)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ConsoleKind {
    #[default]
    None = 0,
    Pl011 = 1,
    /// The auxiliary UART of the Raspberry Pi.
    MiniUart = 2,
}

/// The serial port for messages.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Console {
    pub kind: ConsoleKind,
    /// Interrupt number of the port (INTID), 0 if unknown. The kernel does not use it.
    pub irq: u32,
    pub registers: Region,
    /// Raspberry Pi: the GPIO block that must route the port to pins. Empty elsewhere.
    pub pins: Region,
}

/// The board: everything the loader and the kernel need to know about it.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BoardInfo {
    pub model: Name,
    /// RAM that may be mapped as ordinary memory: whole pages, sorted and merged.
    pub memory: List<Region, MAX_MEMORY>,
    /// Memory that belongs to firmware: never handed out, neither as RAM nor as a device. Whole pages, sorted and
    /// merged. May lie inside or outside `memory`.
    pub reserved: List<Region, MAX_RESERVED>,
    /// Usable cores, in the order of the device tree.
    pub cpus: List<Cpu, MAX_CPUS>,
    pub gic: Gic,
    pub console: Console,
    pub start: CoreStart,
    /// Interrupt number (INTID) of the EL1 virtual timer.
    pub timer_ppi: u32,
}

impl BoardInfo {
    /// A board without anything.
    pub fn empty() -> BoardInfo {
        BoardInfo {
            model: Name::new(b""),
            memory: List::new(Region::EMPTY),
            reserved: List::new(Region::EMPTY),
            cpus: List::new(Cpu {
                mpidr: 0,
                release_addr: 0,
            }),
            gic: Gic {
                version: 0,
                pad: 0,
                distributor: Region::EMPTY,
                cpu_interface: Region::EMPTY,
                redistributors: List::new(Region::EMPTY),
                redistributor_stride: 0,
            },
            console: Console::default(),
            start: CoreStart::None,
            timer_ppi: 27,
        }
    }

    /// Device registers that only the kernel may touch: the interrupt controller. Whole pages.
    pub fn kernel_devices(&self) -> impl Iterator<Item = Region> + '_ {
        [self.gic.distributor, self.gic.cpu_interface]
            .into_iter()
            .chain(self.gic.redistributors.iter().copied())
            .filter(|r| !r.is_empty())
            .map(|r| r.widened(4096))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn set(ranges: &[(u64, u64)]) -> Regions<8> {
        let mut regions = Regions::new(Region::EMPTY);
        for (start, end) in ranges {
            regions.add(Region::new(*start, *end)).unwrap();
        }
        regions
    }

    #[test]
    fn regions_merge_when_they_touch() {
        let regions = set(&[(8, 10), (0, 2), (4, 6), (2, 4), (20, 30), (9, 12), (7, 7)]);
        assert_eq!(
            &regions[..],
            &[Region::new(0, 6), Region::new(8, 12), Region::new(20, 30)]
        );
        assert_eq!(regions.total(), 20);
        assert_eq!(
            &set(&[(1, 2), (3, 4), (5, 6), (0, 9)])[..],
            &[Region::new(0, 9)]
        );
    }

    #[test]
    fn subtracting_splits_and_trims() {
        let mut regions = set(&[(0, 10), (20, 30)]);
        regions.subtract(Region::new(4, 6)).unwrap();
        regions.subtract(Region::new(8, 22)).unwrap();
        regions.subtract(Region::new(5, 5)).unwrap();
        assert_eq!(
            &regions[..],
            &[Region::new(0, 4), Region::new(6, 8), Region::new(22, 30)]
        );
        regions.subtract(Region::new(0, u64::MAX)).unwrap();
        assert!(regions.is_empty());
    }

    #[test]
    fn sets_agree_with_a_bitmap() {
        // Every pair of operations over a small space, compared with one bit per address.
        let mut seed = 1u64;
        let mut next = |n: u64| {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (seed >> 33) % n
        };
        for _ in 0..if cfg!(miri) { 20 } else { 2000 } {
            let (mut regions, mut model) = (List::<Region, 32>::new(Region::EMPTY), [false; 40]);
            for _ in 0..12 {
                let start = next(36);
                let region = Region::new(start, start + next(5));
                let add = next(2) == 0;
                if add {
                    regions.add(region).unwrap();
                } else {
                    regions.subtract(region).unwrap();
                }
                for place in &mut model[region.start as usize..region.end as usize] {
                    *place = add;
                }
            }
            for (i, bit) in model.iter().enumerate() {
                let unit = Region::new(i as u64, i as u64 + 1);
                assert_eq!(regions.covers(&unit), *bit);
            }
            assert!(regions.windows(2).all(|w| w[0].end < w[1].start));
        }
    }

    #[test]
    fn rounding_does_not_wrap() {
        let top = Region::new(u64::MAX - 5, u64::MAX);
        assert!(top.narrowed(4096).is_empty());
        assert_eq!(
            top.widened(4096),
            Region::EMPTY.widened(4096).max(Region::new(!4095, !4095))
        );
        assert_eq!(Region::new(1, 8191).narrowed(4096), Region::EMPTY);
        assert_eq!(Region::new(1, 8192).narrowed(4096), Region::new(4096, 8192));
        assert_eq!(Region::new(1, 4097).widened(4096), Region::new(0, 8192));
        assert_eq!(Region::sized(u64::MAX, 2), None);
    }

    #[test]
    fn lists_refuse_what_does_not_fit() {
        let mut list: List<u8, 2> = List::new(0);
        assert_eq!(
            (list.push(1), list.push(2), list.push(3)),
            (Ok(()), Ok(()), Err(Full))
        );
        assert_eq!(&list[..], &[1, 2]);
        assert_eq!(list.remove(0), 1);
        assert_eq!(list.insert(0, 7), Ok(()));
        assert_eq!(&list[..], &[7, 2]);
        assert_eq!(Name::new(b"ab\0\xffc").as_str(), "abc");
        assert_eq!(Name::new(&[b'x'; 100]).as_str().len(), 64);
    }
}
