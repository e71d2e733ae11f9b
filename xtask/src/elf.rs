//! ELF files: reading program headers and symbols, checking that a file can be a root task, and the two
//! rewritten forms that go into an image (the flat loader, and files without anything but their loaded bytes).
//!
//! Only 64-bit little-endian AArch64 files are read. Nothing here trusts a length or an offset of the file.

use crate::failure::{Failure, Result};

const MACHINE_AARCH64: u16 = 183;
const TYPE_EXECUTABLE: u16 = 2;
const TYPE_SHARED: u16 = 3;
const PT_LOAD: u32 = 1;
const SHT_SYMTAB: u32 = 2;
/// Executable, in a program header's flags.
const PF_X: u32 = 1;

/// `udf #0`.
const UNDEFINED: [u8; 4] = [0; 4];

const HEADER: usize = 64;
const PROGRAM_HEADER: usize = 56;
pub(crate) const PAGE: u64 = 4096;

/// The first address that is not a user's: the lower half of a 48-bit address space.
const USER_TOP: u64 = 1 << 48;

/// A segment to be loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Segment {
    pub(crate) vaddr: u64,
    paddr: u64,
    offset: u64,
    pub(crate) file_size: u64,
    pub(crate) memory_size: u64,
    align: u64,
    flags: u32,
}

impl Segment {
    fn end(&self) -> Option<u64> {
        self.vaddr.checked_add(self.memory_size)
    }

    pub(crate) fn is_executable(&self) -> bool {
        self.flags & PF_X != 0
    }
}

/// An AArch64 ELF file with its segments.
pub(crate) struct Elf<'a> {
    bytes: &'a [u8],
    kind: u16,
    entry: u64,
    segments: Vec<Segment>,
}

/// Integers at any offset of a byte slice.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn get<const N: usize>(&self, offset: u64) -> Result<[u8; N]> {
        usize::try_from(offset)
            .ok()
            .and_then(|start| self.0.get(start..start.checked_add(N)?))
            .and_then(|bytes| bytes.try_into().ok())
            .ok_or_else(|| Failure::new("the ELF file is cut short"))
    }

    fn u16(&self, offset: u64) -> Result<u16> {
        self.get(offset).map(u16::from_le_bytes)
    }

    fn u32(&self, offset: u64) -> Result<u32> {
        self.get(offset).map(u32::from_le_bytes)
    }

    fn u64(&self, offset: u64) -> Result<u64> {
        self.get(offset).map(u64::from_le_bytes)
    }
}

impl<'a> Elf<'a> {
    /// Reads the headers. An error says what is wrong with the file, to be put after its name.
    pub(crate) fn parse(bytes: &'a [u8]) -> Result<Self> {
        if !bytes.starts_with(b"\x7fELF") {
            return Err(Failure::new("not an ELF file"));
        }
        let fields = Fields(bytes);
        let [class, data] = fields.get(4)?;
        if class != 2 || data != 1 {
            return Err(Failure::new(
                "not a 64-bit little-endian ELF file; Tern runs AArch64 programs",
            ));
        }
        let machine = fields.u16(18)?;
        if machine != MACHINE_AARCH64 {
            return Err(Failure::new(format!(
                "an ELF file for {}, not for AArch64",
                machine_name(machine)
            )));
        }
        let (table, size, count) = (fields.u64(32)?, fields.u16(54)?, fields.u16(56)?);
        if count > 0 && usize::from(size) != PROGRAM_HEADER {
            return Err(Failure::new(format!(
                "an ELF file with program headers of {size} bytes, not {PROGRAM_HEADER}"
            )));
        }
        let mut segments = Vec::new();
        for index in 0..u64::from(count) {
            let at = table.saturating_add(index * PROGRAM_HEADER as u64);
            if fields.u32(at)? != PT_LOAD {
                continue;
            }
            let segment = Segment {
                flags: fields.u32(at + 4)?,
                offset: fields.u64(at + 8)?,
                vaddr: fields.u64(at + 16)?,
                paddr: fields.u64(at + 24)?,
                file_size: fields.u64(at + 32)?,
                memory_size: fields.u64(at + 40)?,
                align: fields.u64(at + 48)?,
            };
            if segment.memory_size > 0 {
                segments.push(segment);
            }
        }
        let elf = Self {
            bytes,
            kind: fields.u16(16)?,
            entry: fields.u64(24)?,
            segments,
        };
        elf.check_segments()?;
        Ok(elf)
    }

    fn check_segments(&self) -> Result<()> {
        if self.segments.is_empty() {
            return Err(Failure::new("an ELF file with nothing to load"));
        }
        let mut sorted = self.segments.clone();
        sorted.sort_by_key(|segment| segment.vaddr);
        for segment in &sorted {
            self.data(segment)?;
            if segment.file_size > segment.memory_size || segment.end().is_none() {
                return Err(Failure::new(format!(
                    "an ELF file with an impossible segment at {:#x}",
                    segment.vaddr
                )));
            }
        }
        for pair in sorted.windows(2) {
            if pair[0].end().is_none_or(|end| end > pair[1].vaddr) {
                return Err(Failure::new(format!(
                    "an ELF file whose segments at {:#x} and {:#x} overlap",
                    pair[0].vaddr, pair[1].vaddr
                )));
            }
        }
        Ok(())
    }

    /// A segment's bytes in the file.
    fn data(&self, segment: &Segment) -> Result<&'a [u8]> {
        let cut_short = || Failure::new("the ELF file is cut short");
        let start = usize::try_from(segment.offset).map_err(|_| cut_short())?;
        let length = usize::try_from(segment.file_size).map_err(|_| cut_short())?;
        start
            .checked_add(length)
            .and_then(|end| self.bytes.get(start..end))
            .ok_or_else(cut_short)
    }

    /// Checks what a root task has to be. What depends on the board's memory is left to the boot loader.
    pub(crate) fn check_root_task(&self) -> Result<()> {
        match self.kind {
            TYPE_EXECUTABLE => (),
            TYPE_SHARED => {
                return Err(Failure::new(
                    "a position-independent ELF file or a shared library; a root task has to be linked \
                     as a static executable at a fixed address",
                ));
            }
            _ => {
                return Err(Failure::new(
                    "not an executable (is it an object file that was never linked?)",
                ));
            }
        }
        for segment in &self.segments {
            if segment.end().is_none_or(|end| end > USER_TOP) {
                return Err(Failure::new(format!(
                    "an ELF file with a segment at {:#x}, outside of the user's address space",
                    segment.vaddr
                )));
            }
        }
        let inside = |segment: &Segment| {
            (segment.vaddr..segment.vaddr + segment.memory_size).contains(&self.entry)
        };
        if self
            .segments
            .iter()
            .any(|segment| segment.is_executable() && inside(segment))
        {
            return Ok(());
        }
        Err(Failure::new(format!(
            "an ELF file whose entry point {:#x} is not in an executable segment",
            self.entry
        )))
    }

    /// The lowest address that is loaded.
    pub(crate) fn base(&self) -> u64 {
        self.segments.iter().map(|s| s.vaddr).min().unwrap_or(0)
    }

    /// Bytes of code: the executable segments.
    pub(crate) fn text_size(&self) -> u64 {
        self.segments
            .iter()
            .filter(|segment| segment.is_executable())
            .map(|segment| segment.memory_size)
            .sum()
    }

    /// The file as it lies in memory, from its lowest address to the end of its zeroed data, in whole pages.
    pub(crate) fn flatten(&self) -> Result<Vec<u8>> {
        // More than this is a mistake in the linking: two segments far apart.
        const MOST: u64 = 64 << 20;
        let base = self.base();
        let end = self
            .segments
            .iter()
            .filter_map(Segment::end)
            .max()
            .unwrap_or(0);
        let size = end - base;
        if size > MOST {
            return Err(Failure::new(format!(
                "an ELF file that spans {size} bytes of memory, too many for an image"
            )));
        }
        let mut flat = vec![0; size.next_multiple_of(PAGE) as usize];
        for segment in &self.segments {
            let data = self.data(segment)?;
            let start = (segment.vaddr - base) as usize;
            flat[start..start + data.len()].copy_from_slice(data);
        }
        Ok(flat)
    }

    /// The same executable with its headers and loaded bytes only: no symbols, no debug information.
    pub(crate) fn strip(&self) -> Result<Vec<u8>> {
        let count = self.segments.len();
        let mut out = self.bytes[..HEADER].to_vec();
        put(&mut out, 32, &(HEADER as u64).to_le_bytes()); // program headers follow
        put(&mut out, 40, &[0; 8]); // no section headers
        put(&mut out, 52, &(HEADER as u16).to_le_bytes());
        put(&mut out, 54, &(PROGRAM_HEADER as u16).to_le_bytes());
        put(&mut out, 56, &(count as u16).to_le_bytes());
        put(&mut out, 58, &[0; 6]); // section header size, count, and names
        out.resize(HEADER + count * PROGRAM_HEADER, 0);
        for (index, segment) in self.segments.iter().enumerate() {
            // The offset agrees with the address within a page, as in any ELF file.
            let mut offset = (out.len() as u64).next_multiple_of(PAGE) + segment.vaddr % PAGE;
            if segment.file_size == 0 {
                offset = 0;
            } else {
                out.resize(offset as usize, 0);
                out.extend_from_slice(self.data(segment)?);
            }
            let at = HEADER + index * PROGRAM_HEADER;
            put(&mut out, at, &PT_LOAD.to_le_bytes());
            put(&mut out, at + 4, &segment.flags.to_le_bytes());
            for (field, value) in [
                offset,
                segment.vaddr,
                segment.paddr,
                segment.file_size,
                segment.memory_size,
                segment.align,
            ]
            .into_iter()
            .enumerate()
            {
                put(&mut out, at + 8 + field * 8, &value.to_le_bytes());
            }
        }
        Ok(out)
    }

    /// The same file with an undefined instruction in place of a function's first one. The name is the whole path,
    /// without a hash.
    pub(crate) fn spoil(&self, function: &str) -> Result<Vec<u8>> {
        let found: Vec<u64> = self
            .symbols()
            .iter()
            .filter(|symbol| symbol.is_code)
            .filter(|symbol| format!("{:#}", rustc_demangle::demangle(symbol.name)) == function)
            .map(|symbol| symbol.address)
            .collect();
        let [address] = found[..] else {
            return Err(Failure::new(format!(
                "{} functions are called '{function}', not one. (Was it inlined?)",
                found.len()
            )));
        };
        let offset = self
            .segments
            .iter()
            .filter(|segment| segment.is_executable())
            .find(|segment| (segment.vaddr..segment.vaddr + segment.file_size).contains(&address))
            .map(|segment| (address - segment.vaddr + segment.offset) as usize)
            .filter(|offset| offset + UNDEFINED.len() <= self.bytes.len())
            .ok_or_else(|| Failure::new(format!("'{function}' is not code of the file")))?;
        let mut bytes = self.bytes.to_vec();
        put(&mut bytes, offset, &UNDEFINED);
        Ok(bytes)
    }

    /// What is loaded from one address to another, if the file has all of it.
    pub(crate) fn loaded(&self, start: u64, end: u64) -> Result<&'a [u8]> {
        let segment = self
            .segments
            .iter()
            .find(|segment| segment.vaddr <= start && end <= segment.vaddr + segment.file_size)
            .filter(|_| start <= end)
            .ok_or_else(|| {
                Failure::new(format!(
                    "the ELF file has nothing at {start:#x} to {end:#x}"
                ))
            })?;
        let at = |address: u64| (address - segment.vaddr) as usize;
        Ok(&self.data(segment)?[at(start)..at(end)])
    }

    /// Functions and data by address, in ascending order. Empty for a file without a symbol table.
    pub(crate) fn symbols(&self) -> Vec<Symbol<'a>> {
        let mut symbols = self.read_symbols().unwrap_or_default();
        symbols.sort_by_key(|symbol| symbol.address);
        symbols
    }

    /// The bytes of a section, if there is one of this name.
    pub(crate) fn section(&self, name: &str) -> Option<&'a [u8]> {
        let fields = Fields(self.bytes);
        let table = fields.u64(40).ok()?;
        let (size, count) = (fields.u16(58).ok()?, fields.u16(60).ok()?);
        let header = |index: u16| table.checked_add(u64::from(index) * u64::from(size));
        let names = fields.u64(header(fields.u16(62).ok()?)? + 24).ok()?;
        for header in (0..count).map_while(header) {
            let at = names.checked_add(u64::from(fields.u32(header).ok()?))?;
            if self.text(at) == Some(name) {
                let start = usize::try_from(fields.u64(header + 24).ok()?).ok()?;
                let length = usize::try_from(fields.u64(header + 32).ok()?).ok()?;
                return self.bytes.get(start..start.checked_add(length)?);
            }
        }
        None
    }

    fn read_symbols(&self) -> Result<Vec<Symbol<'a>>> {
        let fields = Fields(self.bytes);
        let (table, size, count) = (
            fields.u64(40)?,
            u64::from(fields.u16(58)?),
            u64::from(fields.u16(60)?),
        );
        let section = |index: u64| table.saturating_add(index * size);
        let mut symbols = Vec::new();
        for header in (0..count).map(section) {
            if fields.u32(header + 4)? != SHT_SYMTAB {
                continue;
            }
            let names = fields.u64(section(u64::from(fields.u32(header + 40)?)) + 24)?;
            let (start, length) = (fields.u64(header + 24)?, fields.u64(header + 32)?);
            for at in (start..start.saturating_add(length)).step_by(24) {
                let name = names.saturating_add(u64::from(fields.u32(at)?));
                // AArch64 mapping symbols ($x, $d) mark code and data; they name nothing.
                if let Some(name) = self
                    .text(name)
                    .filter(|name| !name.is_empty() && !name.starts_with('$'))
                {
                    let [info] = fields.get(at + 4)?;
                    symbols.push(Symbol {
                        address: fields.u64(at + 8)?,
                        size: fields.u64(at + 16)?,
                        // Functions, and labels of assembly, which have no type.
                        is_code: matches!(info & 0xf, 0 | 2),
                        name,
                    });
                }
            }
        }
        Ok(symbols)
    }

    fn text(&self, offset: u64) -> Option<&'a str> {
        let rest = self.bytes.get(usize::try_from(offset).ok()?..)?;
        let end = rest.iter().position(|&byte| byte == 0)?;
        std::str::from_utf8(&rest[..end]).ok()
    }
}

/// A name in a symbol table.
#[derive(Debug)]
pub(crate) struct Symbol<'a> {
    pub(crate) address: u64,
    pub(crate) size: u64,
    pub(crate) is_code: bool,
    pub(crate) name: &'a str,
}

fn put(out: &mut [u8], offset: usize, bytes: &[u8]) {
    out[offset..offset + bytes.len()].copy_from_slice(bytes);
}

fn machine_name(machine: u16) -> String {
    match machine {
        3 => "32-bit x86".into(),
        40 => "32-bit Arm".into(),
        62 => "x86-64".into(),
        243 => "RISC-V".into(),
        other => format!("machine {other}"),
    }
}

/// ELF files made for tests, here and on the target.
pub(crate) mod sample {
    use super::{HEADER, MACHINE_AARCH64, PF_X, PROGRAM_HEADER, PT_LOAD, put};

    /// A segment of a made-up file.
    #[derive(Clone)]
    pub(crate) struct Part {
        pub(crate) vaddr: u64,
        pub(crate) data: Vec<u8>,
        pub(crate) memory_size: u64,
    }

    impl Part {
        pub(crate) fn new(vaddr: u64, data: &[u8], memory_size: u64) -> Self {
            Self {
                vaddr,
                data: data.to_vec(),
                memory_size,
            }
        }
    }

    /// An executable that enters at `entry`; every part may be read, written and executed.
    pub(crate) fn executable(entry: u64, parts: &[Part]) -> Vec<u8> {
        let mut out = vec![0; HEADER + parts.len() * PROGRAM_HEADER];
        put(&mut out, 0, b"\x7fELF\x02\x01\x01");
        put(&mut out, 16, &2u16.to_le_bytes());
        put(&mut out, 18, &MACHINE_AARCH64.to_le_bytes());
        put(&mut out, 20, &1u32.to_le_bytes());
        put(&mut out, 24, &entry.to_le_bytes());
        put(&mut out, 32, &(HEADER as u64).to_le_bytes());
        put(&mut out, 52, &(HEADER as u16).to_le_bytes());
        put(&mut out, 54, &(PROGRAM_HEADER as u16).to_le_bytes());
        put(&mut out, 56, &(parts.len() as u16).to_le_bytes());
        for (index, part) in parts.iter().enumerate() {
            let offset = out.len().next_multiple_of(4096) + (part.vaddr % 4096) as usize;
            out.resize(offset, 0);
            out.extend_from_slice(&part.data);
            let at = HEADER + index * PROGRAM_HEADER;
            put(&mut out, at, &PT_LOAD.to_le_bytes());
            put(&mut out, at + 4, &(PF_X | 6).to_le_bytes());
            let values = [
                offset as u64,
                part.vaddr,
                part.vaddr,
                part.data.len() as u64,
                part.memory_size,
                4096,
            ];
            for (field, value) in values.into_iter().enumerate() {
                put(&mut out, at + 8 + field * 8, &value.to_le_bytes());
            }
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::sample::{Part, executable};
    use super::*;

    fn two_parts() -> Vec<u8> {
        executable(
            0x20_0010,
            &[
                Part::new(0x20_0000, b"code of the program", 0x20),
                Part::new(0x20_3008, b"data", 0x2000),
            ],
        )
    }

    fn problem(bytes: &[u8]) -> String {
        match Elf::parse(bytes).and_then(|elf| elf.check_root_task()) {
            Ok(()) => String::new(),
            Err(failure) => failure.message,
        }
    }

    #[test]
    fn a_good_file_is_accepted() {
        assert_eq!(problem(&two_parts()), "");
    }

    #[test]
    fn bad_files_are_named() {
        let good = two_parts();
        let changed = |offset: usize, value: &[u8]| {
            let mut bytes = good.clone();
            put(&mut bytes, offset, value);
            problem(&bytes)
        };
        assert!(problem(b"#!/bin/sh").contains("not an ELF file"));
        assert!(problem(b"\x7fELF").contains("cut short"));
        assert!(problem(&good[..good.len() - 1]).contains("cut short"));
        assert!(changed(4, &[1]).contains("64-bit"));
        assert!(changed(18, &62u16.to_le_bytes()).contains("x86-64"));
        assert!(changed(16, &3u16.to_le_bytes()).contains("position-independent"));
        assert!(changed(16, &1u16.to_le_bytes()).contains("not an executable"));
        assert!(changed(24, &8u64.to_le_bytes()).contains("entry point 0x8"));
        assert!(changed(56, &0u16.to_le_bytes()).contains("nothing to load"));
        assert!(changed(HEADER + 40, &0x4000u64.to_le_bytes()).contains("overlap"));
        assert!(changed(HEADER + 40, &1u64.to_le_bytes()).contains("impossible"));
        assert!(changed(HEADER + 8, &u64::MAX.to_le_bytes()).contains("cut short"));
        let high = executable(1 << 48, &[Part::new(1 << 48, b"code", 4)]);
        assert!(problem(&high).contains("user's address space"));
    }

    #[test]
    fn flattening_lays_segments_out_as_in_memory() {
        let bytes = two_parts();
        let flat = Elf::parse(&bytes).unwrap().flatten().unwrap();
        assert_eq!(flat.len(), 0x6000);
        assert_eq!(&flat[..19], b"code of the program");
        assert_eq!(&flat[0x3008..0x300c], b"data");
        assert!(
            flat[19..0x3008]
                .iter()
                .chain(&flat[0x300c..])
                .all(|&byte| byte == 0)
        );
        let apart = executable(
            0,
            &[Part::new(0, b"a", 1), Part::new(0xffff_0000_0000, b"b", 1)],
        );
        assert!(Elf::parse(&apart).unwrap().flatten().is_err());
    }

    #[test]
    fn stripping_keeps_what_is_loaded() {
        let mut bytes = two_parts();
        bytes.extend_from_slice(&[0xee; 10_000]); // as it were, debug information
        let elf = Elf::parse(&bytes).unwrap();
        let stripped = elf.strip().unwrap();
        assert!(stripped.len() < bytes.len());
        let again = Elf::parse(&stripped).unwrap();
        again.check_root_task().unwrap();
        assert_eq!(again.entry, elf.entry);
        assert_eq!(again.text_size(), 0x2020);
        assert_eq!(again.flatten().unwrap(), elf.flatten().unwrap());
        for (new, old) in again.segments.iter().zip(&elf.segments) {
            assert_eq!(new.offset % PAGE, new.vaddr % PAGE);
            assert_eq!((new.flags, new.memory_size), (old.flags, old.memory_size));
        }
    }

    /// The file with two symbols: the function `run::it` at 0x200004, and data of the same name.
    fn with_symbols() -> Vec<u8> {
        const NAME: &[u8] = b"\0_ZN3run2it17h0123456789abcdefE\0";
        let mut bytes = two_parts();
        let symbols = bytes.len() as u64;
        for (info, address) in [(2, 0x20_0004u64), (1, 0x20_3008)] {
            bytes.extend([1, 0, 0, 0, info, 0, 1, 0]);
            bytes.extend(address.to_le_bytes());
            bytes.extend(8u64.to_le_bytes());
        }
        let names = bytes.len() as u64;
        bytes.extend(NAME);
        let headers = bytes.len() as u64;
        // The first section has the function's name too.
        for (name, kind, offset, size) in [
            (1u32, SHT_SYMTAB, symbols, names - symbols),
            (0, 3, names, headers - names),
        ] {
            let mut header = [0; 64];
            put(&mut header, 0, &name.to_le_bytes());
            put(&mut header, 4, &kind.to_le_bytes());
            put(&mut header, 24, &offset.to_le_bytes());
            put(&mut header, 32, &size.to_le_bytes());
            put(&mut header, 40, &1u32.to_le_bytes());
            bytes.extend(header);
        }
        put(&mut bytes, 40, &headers.to_le_bytes());
        put(&mut bytes, 58, &64u16.to_le_bytes());
        put(&mut bytes, 60, &2u16.to_le_bytes());
        put(&mut bytes, 62, &1u16.to_le_bytes());
        bytes
    }

    #[test]
    fn a_function_is_spoilt_where_it_starts() {
        let bytes = with_symbols();
        let elf = Elf::parse(&bytes).unwrap();
        let spoilt = elf.spoil("run::it").unwrap();
        let flat = Elf::parse(&spoilt).unwrap().flatten().unwrap();
        assert_eq!(&flat[..19], b"code\0\0\0\0the program");
        assert_eq!(&flat[0x3008..0x300c], b"data");
        let problem = elf.spoil("run").unwrap_err().message;
        assert!(problem.contains("0 functions"), "{problem}");
    }

    #[test]
    fn loaded_bytes_are_found_by_address() {
        let bytes = two_parts();
        let elf = Elf::parse(&bytes).unwrap();
        assert_eq!(elf.loaded(0x20_0000, 0x20_0004).unwrap(), b"code");
        assert_eq!(elf.loaded(0x20_0004, 0x20_0004).unwrap(), b"");
        assert!(elf.loaded(0x20_0004, 0x20_0000).is_err());
        assert!(elf.loaded(0x1f_fffe, 0x20_0002).is_err());
        assert!(elf.loaded(0x20_0000, 0x21_0000).is_err());
    }

    #[test]
    fn a_section_is_found_by_its_name() {
        let bytes = with_symbols();
        let elf = Elf::parse(&bytes).unwrap();
        let symbols = elf.section("_ZN3run2it17h0123456789abcdefE").unwrap();
        assert_eq!(symbols.len(), 48);
        assert_eq!(symbols[..8], [1, 0, 0, 0, 2, 0, 1, 0]);
        assert_eq!(elf.section(".debug_line"), None);
        assert_eq!(Elf::parse(&two_parts()).unwrap().section(".text"), None);
    }

    #[test]
    fn a_file_without_symbols_has_none() {
        assert!(Elf::parse(&two_parts()).unwrap().symbols().is_empty());
    }
}
