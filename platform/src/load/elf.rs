//! Checking an ELF file and listing what to load from it.
//!
//! Two kinds of file are loaded: the kernel and the root task. What both must satisfy is checked in `plan`, the rest in
//! `Plan::check_kernel` and `Plan::check_root`. Any bytes give a plan or an error that names the problem.

use crate::board::{List, Region};
use crate::handover::{KERNEL_BASE, STACK_BASE};
use core::fmt;
use elf::ElfBytes;
use elf::abi::{EM_AARCH64, ET_EXEC, PF_W, PF_X, PT_INTERP, PT_LOAD};
use elf::endian::LittleEndian;
use elf::file::Class;

/// Most loadable segments of a file.
pub const MAX_SEGMENTS: usize = 16;
const PAGE: u64 = 4096;
/// End of the addresses that a user program may have.
const USER_TOP: u64 = 1 << 47;

/// Part of a file to load.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Segment {
    /// Virtual addresses; what lies beyond the bytes of the file is zero.
    pub memory: Region,
    /// Where the bytes are in the file.
    pub file: Region,
    pub writable: bool,
    pub executable: bool,
}

/// A file that can be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Plan {
    pub entry: u64,
    /// In ascending order of addresses, not overlapping, at least one.
    pub segments: List<Segment, MAX_SEGMENTS>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElfError {
    NotElf,
    NotAarch64,
    /// Position-independent, relocatable or something else that is not loaded at fixed addresses.
    NotFixed,
    NoSegments,
    TooManySegments,
    /// The segment at this address has bytes outside the file, more bytes than memory, or wraps around.
    BadSegment(u64),
    /// The segment at this address overlaps another one, or shares a page with it where that matters.
    Overlap(u64),
    BadEntry(u64),
    /// The segment at this address is outside the addresses that the program may have.
    BadAddress(u64),
    /// The first segment is not at the start of a page.
    Unaligned(u64),
    /// The segment at this address is both writable and executable.
    WritableCode(u64),
}

impl fmt::Display for ElfError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ElfError::NotElf => f.write_str("not a 64-bit little-endian ELF file"),
            ElfError::NotAarch64 => f.write_str("not for AArch64"),
            ElfError::NotFixed => f.write_str("not a statically linked executable (ET_EXEC)"),
            ElfError::NoSegments => f.write_str("nothing to load"),
            ElfError::TooManySegments => {
                write!(f, "more than {MAX_SEGMENTS} loadable segments")
            }
            ElfError::BadSegment(at) => write!(f, "the segment at {at:#x} is not in the file"),
            ElfError::Overlap(at) => write!(f, "the segment at {at:#x} overlaps another one"),
            ElfError::BadEntry(at) => write!(f, "the entry point {at:#x} is not in code"),
            ElfError::BadAddress(at) => {
                write!(f, "the segment at {at:#x} is outside the allowed addresses")
            }
            ElfError::Unaligned(at) => {
                write!(f, "the first segment, at {at:#x}, does not start a page")
            }
            ElfError::WritableCode(at) => {
                write!(f, "the segment at {at:#x} is both writable and executable")
            }
        }
    }
}

/// Lists what to load from a file.
pub fn plan(file: &[u8]) -> Result<Plan, ElfError> {
    let elf = ElfBytes::<LittleEndian>::minimal_parse(file).map_err(|_| ElfError::NotElf)?;
    if elf.ehdr.class != Class::ELF64 {
        return Err(ElfError::NotElf);
    }
    if elf.ehdr.e_machine != EM_AARCH64 {
        return Err(ElfError::NotAarch64);
    }
    if elf.ehdr.e_type != ET_EXEC {
        return Err(ElfError::NotFixed);
    }
    let empty = Segment {
        memory: Region::EMPTY,
        file: Region::EMPTY,
        writable: false,
        executable: false,
    };
    let mut segments: List<Segment, MAX_SEGMENTS> = List::new(empty);
    for header in elf.segments().ok_or(ElfError::NoSegments)? {
        if header.p_type == PT_INTERP {
            return Err(ElfError::NotFixed);
        }
        if header.p_type != PT_LOAD || header.p_memsz == 0 {
            continue;
        }
        let bad = ElfError::BadSegment(header.p_vaddr);
        let memory = Region::sized(header.p_vaddr, header.p_memsz).ok_or(bad)?;
        let bytes = Region::sized(header.p_offset, header.p_filesz).ok_or(bad)?;
        if header.p_filesz > header.p_memsz || bytes.end > file.len() as u64 {
            return Err(bad);
        }
        let segment = Segment {
            memory,
            file: bytes,
            writable: header.p_flags & PF_W != 0,
            executable: header.p_flags & PF_X != 0,
        };
        if segments.iter().any(|s| s.memory.overlaps(&memory)) {
            return Err(ElfError::Overlap(memory.start));
        }
        let index = segments.iter().take_while(|s| s.memory < memory).count();
        let full = |_| ElfError::TooManySegments;
        segments.insert(index, segment).map_err(full)?;
    }
    if segments.is_empty() {
        return Err(ElfError::NoSegments);
    }
    let entry = elf.ehdr.e_entry;
    let in_code = |s: &Segment| s.executable && (s.memory.start..s.memory.end).contains(&entry);
    if !entry.is_multiple_of(4) || !segments.iter().any(in_code) {
        return Err(ElfError::BadEntry(entry));
    }
    Ok(Plan { entry, segments })
}

impl Plan {
    /// All addresses from the first segment to the end of the last one, in whole pages.
    pub fn span(&self) -> Region {
        let start = self.segments.first().map_or(0, |s| s.memory.start);
        let end = self.segments.last().map_or(0, |s| s.memory.end);
        Region::new(start, end).widened(PAGE)
    }

    /// The kernel lives between its link address and the stacks. Pages have the rights of one segment only, and none
    /// can be both written and run.
    pub fn check_kernel(&self) -> Result<(), ElfError> {
        let room = Region::new(KERNEL_BASE, STACK_BASE);
        let mut last = Region::EMPTY;
        for segment in &self.segments {
            let start = segment.memory.start;
            let pages = segment.memory.widened(PAGE);
            if !room.contains(&pages) {
                return Err(ElfError::BadAddress(start));
            }
            if pages.overlaps(&last) {
                return Err(ElfError::Overlap(start));
            }
            if segment.writable && segment.executable {
                return Err(ElfError::WritableCode(start));
            }
            last = pages;
        }
        Ok(())
    }

    /// The root task lives at user addresses and starts on a page.
    pub fn check_root(&self) -> Result<(), ElfError> {
        let first = self.segments.first().map_or(0, |s| s.memory.start);
        if !first.is_multiple_of(PAGE) {
            return Err(ElfError::Unaligned(first));
        }
        match self.segments.iter().find(|s| s.memory.end > USER_TOP) {
            Some(segment) => Err(ElfError::BadAddress(segment.memory.start)),
            None => Ok(()),
        }
    }

    /// Fills `image`, which stands for the addresses from `base` on: zeroes, and the bytes of the segments.
    ///
    /// # Panics
    /// If a segment is outside the image or `file` is not the one that was planned.
    pub fn load(&self, file: &[u8], base: u64, image: &mut [u8]) {
        image.fill(0);
        for segment in &self.segments {
            let bytes = &file[segment.file.start as usize..segment.file.end as usize];
            let at = (segment.memory.start - base) as usize;
            image[at..at + bytes.len()].copy_from_slice(bytes);
        }
    }
}

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use std::vec::Vec;

    const BASE: u64 = 0x20_0000;

    /// A file with the given segments: address, bytes in the file, bytes in memory, flags (1 run, 2 write, 4 read).
    fn file(entry: u64, segments: &[(u64, u64, u64, u32)]) -> Vec<u8> {
        let mut file = Vec::from(*b"\x7fELF\x02\x01\x01");
        file.resize(16, 0);
        file.extend(2u16.to_le_bytes());
        file.extend(183u16.to_le_bytes());
        file.extend(1u32.to_le_bytes());
        file.extend(entry.to_le_bytes());
        file.extend(64u64.to_le_bytes());
        file.extend(0u64.to_le_bytes());
        file.extend(0u32.to_le_bytes());
        for half in [64, 56, segments.len() as u16, 64, 0, 0] {
            file.extend(half.to_le_bytes());
        }
        let mut offset = 64 + 56 * segments.len() as u64;
        for (address, in_file, in_memory, flags) in segments {
            file.extend(1u32.to_le_bytes());
            file.extend(flags.to_le_bytes());
            for word in [offset, *address, *address, *in_file, *in_memory, 4096] {
                file.extend(word.to_le_bytes());
            }
            offset += in_file;
        }
        while (file.len() as u64) < offset {
            file.push(file.len() as u8);
        }
        file
    }

    fn good() -> Vec<u8> {
        file(
            BASE + 16,
            &[(BASE + 0x2000, 10, 0x1800, 6), (BASE, 100, 100, 5)],
        )
    }

    #[test]
    fn segments_come_in_order() {
        let file = good();
        let plan = plan(&file).unwrap();
        assert_eq!(plan.entry, BASE + 16);
        assert_eq!(plan.segments[0].memory, Region::new(BASE, BASE + 100));
        assert!(plan.segments[0].executable && !plan.segments[0].writable);
        assert_eq!(plan.span(), Region::new(BASE, BASE + 0x4000));
        assert_eq!(plan.check_root(), Ok(()));
        let mut image = std::vec![0xee; 0x4000];
        plan.load(&file, BASE, &mut image);
        let (text, data) = (&plan.segments[0].file, &plan.segments[1].file);
        assert_eq!(image[..100], file[text.start as usize..text.end as usize]);
        assert_eq!(
            image[0x2000..0x200a],
            file[data.start as usize..data.end as usize]
        );
        assert!(
            image[100..0x2000]
                .iter()
                .chain(&image[0x200a..])
                .all(|b| *b == 0)
        );
    }

    #[test]
    fn problems_are_named() {
        let with = |at: usize, byte: u8| {
            let mut file = good();
            file[at] = byte;
            plan(&file)
        };
        assert_eq!(plan(b""), Err(ElfError::NotElf));
        assert_eq!(with(1, b'e'), Err(ElfError::NotElf));
        assert_eq!(with(4, 1), Err(ElfError::NotElf));
        assert_eq!(with(18, 62), Err(ElfError::NotAarch64));
        assert_eq!(with(16, 3), Err(ElfError::NotFixed));
        assert_eq!(with(64, 3), Err(ElfError::NotFixed));
        assert_eq!(plan(&file(BASE, &[])), Err(ElfError::NoSegments));
        assert_eq!(
            plan(&file(BASE, &[(BASE, 0, 0, 5)])),
            Err(ElfError::NoSegments)
        );
        assert_eq!(
            plan(&file(BASE, &[(BASE, 101, 100, 5)])),
            Err(ElfError::BadSegment(BASE))
        );
        let cut = good();
        assert_eq!(plan(&cut[..cut.len() - 1]), Err(ElfError::BadSegment(BASE)));
        assert_eq!(
            plan(&file(BASE, &[(u64::MAX - 4, 0, 100, 5)])),
            Err(ElfError::BadSegment(u64::MAX - 4))
        );
        assert_eq!(
            plan(&file(BASE, &[(BASE, 8, 100, 5), (BASE + 99, 0, 1, 6)])),
            Err(ElfError::Overlap(BASE + 99))
        );
        for entry in [BASE + 100, BASE + 2, BASE + 0x2000, 0] {
            let segments = [(BASE, 100, 100, 5), (BASE + 0x2000, 10, 10, 6)];
            assert_eq!(
                plan(&file(entry, &segments)),
                Err(ElfError::BadEntry(entry))
            );
        }
        let many: Vec<_> = (0..17).map(|i| (BASE + i * 4096, 4, 4, 5)).collect();
        assert_eq!(plan(&file(BASE, &many)), Err(ElfError::TooManySegments));
    }

    #[test]
    fn kernel_and_root_have_their_places() {
        let kernel = |segments: &[(u64, u64, u64, u32)]| {
            plan(&file(segments[0].0, segments)).unwrap().check_kernel()
        };
        let (k, s) = (KERNEL_BASE, STACK_BASE);
        assert_eq!(kernel(&[(k, 8, 8, 5), (k + 4096, 8, 8, 6)]), Ok(()));
        assert_eq!(kernel(&[(k, 8, 8, 7)]), Err(ElfError::WritableCode(k)));
        assert_eq!(
            kernel(&[(k, 8, 8, 5), (k + 8, 8, 8, 6)]),
            Err(ElfError::Overlap(k + 8))
        );
        assert_eq!(kernel(&[(BASE, 8, 8, 5)]), Err(ElfError::BadAddress(BASE)));
        assert_eq!(
            kernel(&[(k, 8, 8, 5), (s - 8, 8, 9, 6)]),
            Err(ElfError::BadAddress(s - 8))
        );
        let root = |address| {
            plan(&file(address, &[(address, 8, 8, 5)]))
                .unwrap()
                .check_root()
        };
        assert_eq!(root(0), Ok(()));
        assert_eq!(root(8), Err(ElfError::Unaligned(8)));
        assert_eq!(root(USER_TOP), Err(ElfError::BadAddress(USER_TOP)));
    }

    /// Any bytes are a plan or an error, and a plan can be loaded.
    #[test]
    fn changed_bytes_never_panic() {
        let mut seed = 7u64;
        let mut below = |limit: usize| {
            seed = seed
                .wrapping_mul(6364136223846793005)
                .wrapping_add(1442695040888963407);
            (seed >> 33) as usize % limit
        };
        let (mut plans, mut errors) = (0, 0);
        for _ in 0..50_000 {
            let mut file = good();
            for _ in 0..=below(4) {
                let at = below(64 + 112);
                match below(3) {
                    0 => file[at] ^= 1 << below(8),
                    1 => file[at] = below(256) as u8,
                    _ => file[at..at + 8].fill(0xff),
                }
            }
            file.truncate(file.len() - below(2) * below(40));
            let Ok(plan) = plan(&file) else {
                errors += 1;
                continue;
            };
            plans += 1;
            let span = plan.span();
            if plan.check_root().is_ok() && span.len() < 1 << 20 {
                let mut image = std::vec![0; span.len() as usize];
                plan.load(&file, span.start, &mut image);
            }
            let _ = plan.check_kernel();
        }
        assert!(
            plans > 1000 && errors > 1000,
            "{plans} plans, {errors} errors"
        );
    }
}
