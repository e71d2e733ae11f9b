//! The device tree reader against trees from QEMU, hand-written ones, and broken ones.
//!
//! The blobs are in `tests/dtb/`, with the way they were made.
#![cfg(feature = "dtb")]

use tern_platform::board::{ConsoleKind, CoreStart, Region};
use tern_platform::dtb::{self, DtbError};

const VIRT_GICV2: &[u8] = include_bytes!("dtb/virt-gicv2.dtb");
const VIRT_GICV3: &[u8] = include_bytes!("dtb/virt-gicv3.dtb");
const VIRT_EL2: &[u8] = include_bytes!("dtb/virt-gicv3-el2.dtb");
const VERSAL: &[u8] = include_bytes!("dtb/versal.dtb");
const PI4: &[u8] = include_bytes!("dtb/pi4.dtb");
const MINIMAL: &[u8] = include_bytes!("dtb/minimal.dtb");

const ALL: &[&[u8]] = &[VIRT_GICV2, VIRT_GICV3, VIRT_EL2, VERSAL, PI4, MINIMAL];

#[test]
fn virt_with_gicv2() {
    let board = dtb::parse(VIRT_GICV2).unwrap();
    assert_eq!(board.model.as_str(), "linux,dummy-virt");
    assert_eq!(&board.memory[..], &[Region::new(0x4000_0000, 0x8000_0000)]);
    assert!(board.reserved.is_empty());
    let mpidrs: Vec<u64> = board.cpus.iter().map(|cpu| cpu.mpidr).collect();
    assert_eq!(mpidrs, [0, 1, 2, 3]);
    assert_eq!(board.start, CoreStart::PsciHvc);
    assert_eq!(board.gic.version, 2);
    assert_eq!(board.gic.distributor, Region::new(0x800_0000, 0x801_0000));
    assert_eq!(board.gic.cpu_interface, Region::new(0x801_0000, 0x802_0000));
    assert_eq!(board.kernel_devices().count(), 2);
    assert_eq!(board.timer_ppi, 27);
    assert_eq!(
        (board.console.kind, board.console.irq),
        (ConsoleKind::Pl011, 33)
    );
    assert_eq!(board.console.registers, Region::new(0x900_0000, 0x900_1000));
    assert!(board.console.pins.is_empty());
}

#[test]
fn virt_with_gicv3() {
    let board = dtb::parse(VIRT_GICV3).unwrap();
    assert_eq!(board.gic.version, 3);
    assert_eq!(board.gic.distributor, Region::new(0x800_0000, 0x801_0000));
    assert_eq!(
        &board.gic.redistributors[..],
        &[Region::new(0x80a_0000, 0x900_0000)]
    );
    assert!(board.gic.cpu_interface.is_empty());
    assert_eq!(board.start, CoreStart::PsciHvc);
    assert_eq!(board.kernel_devices().count(), 2);
}

#[test]
fn virt_at_el2_uses_smc() {
    assert_eq!(dtb::parse(VIRT_EL2).unwrap().start, CoreStart::PsciSmc);
}

#[test]
fn versal() {
    let board = dtb::parse(VERSAL).unwrap();
    assert_eq!((board.cpus.len(), board.gic.version), (2, 3));
    assert_eq!(board.start, CoreStart::None, "this tree names no PSCI");
    assert_eq!(board.console.kind, ConsoleKind::Pl011);
    assert_eq!(board.console.registers.start, 0xff00_0000);
}

#[test]
fn pi_4() {
    let mut blob = PI4.to_vec();
    overwrite_with_nops(&mut blob, b"gone@7d000000\0");
    let board = dtb::parse(&blob).unwrap();
    assert_eq!(board.model.as_str(), "Raspberry Pi 4 Model B");
    assert_eq!(
        &board.memory[..],
        &[
            Region::new(0, 0x3b00_0000),
            Region::new(0x3b00_1000, 0x3b40_0000),
            Region::new(0x4000_0000, 0x8000_0000)
        ],
        "the piece that must not be mapped is no memory"
    );
    assert_eq!(
        &board.reserved[..],
        &[
            Region::new(0, 0x1000),
            Region::new(0x3b00_0000, 0x3b00_1000)
        ]
    );
    let releases: Vec<u64> = board.cpus.iter().map(|cpu| cpu.release_addr).collect();
    assert_eq!(
        releases,
        [0xd8, 0xe0, 0xe8],
        "a core that failed is not used"
    );
    assert_eq!(board.start, CoreStart::SpinTable);
    assert_eq!(board.gic.distributor, Region::new(0xff84_1000, 0xff84_2000));
    assert_eq!(
        board.gic.cpu_interface,
        Region::new(0xff84_2000, 0xff84_4000)
    );
    assert_eq!(board.timer_ppi, 27);
    assert_eq!(
        (board.console.kind, board.console.irq),
        (ConsoleKind::Pl011, 153)
    );
    assert_eq!(
        board.console.registers,
        Region::new(0xfe20_1000, 0xfe20_1200)
    );
    assert_eq!(board.console.pins, Region::new(0xfe20_0000, 0xfe20_00b4));
}

#[test]
fn the_named_pl011_wins_and_keeps_its_pins() {
    let mut blob = PI4.to_vec();
    replace(&mut blob, b"serial1:115200n8", b"serial0:115200n8");
    let board = dtb::parse(&blob).unwrap();
    assert_eq!(board.console.registers.start, 0xfe20_1000);
    assert!(board.console.pins.is_empty());
}

#[test]
fn minimal_board() {
    let board = dtb::parse(MINIMAL).unwrap();
    assert_eq!(board.model.as_str(), "tern,minimal");
    assert_eq!(&board.memory[..], &[Region::new(0x8000_0000, 0x9000_0000)]);
    assert_eq!(board.cpus[0].mpidr, 0x1_0000_0100, "affinity bits only");
    assert_eq!(board.start, CoreStart::None);
    assert_eq!(board.console.kind, ConsoleKind::None);
    assert_eq!(board.timer_ppi, 27);
}

#[test]
fn what_is_missing_is_named() {
    for (blob, error) in [
        (&include_bytes!("dtb/no-memory.dtb")[..], DtbError::NoMemory),
        (include_bytes!("dtb/no-cpus.dtb"), DtbError::NoCpus),
        (
            include_bytes!("dtb/unknown-gic.dtb"),
            DtbError::NoInterruptController,
        ),
        (
            include_bytes!("dtb/bad-gic.dtb"),
            DtbError::BadInterruptController,
        ),
        (b"\xd0\x0d\xfe\xed", DtbError::Truncated),
        (b"", DtbError::Truncated),
        (&[0; 64], DtbError::NotADeviceTree),
    ] {
        assert_eq!(dtb::parse(blob), Err(error));
        assert!(!error.to_string().is_empty());
    }
    let mut old = MINIMAL.to_vec();
    old[23] = 16;
    assert_eq!(dtb::parse(&old), Err(DtbError::Version(16)));
}

#[test]
fn no_prefix_is_a_board() {
    for blob in ALL {
        for len in 0..blob.len() {
            assert_eq!(
                dtb::parse(&blob[..len]),
                Err(DtbError::Truncated),
                "length {len}"
            );
        }
        let mut longer = blob.to_vec();
        longer.extend([0xff; 100]);
        assert_eq!(dtb::parse(&longer), dtb::parse(blob));
    }
}

/// QEMU leaves room behind the tree; without it the tree means the same.
#[test]
fn a_trimmed_tree_is_the_same_board() {
    for blob in ALL {
        let mut padded = blob.to_vec();
        padded.resize(1 << 20, 0);
        padded[4..8].copy_from_slice(&(1u32 << 20).to_be_bytes());
        let used = dtb::used_size(&padded).unwrap();
        assert!(used <= blob.len().next_multiple_of(8));
        padded.truncate(used);
        assert_eq!(dtb::parse(&padded), Err(DtbError::Truncated));
        dtb::set_size(&mut padded);
        assert_eq!(dtb::size(&padded), Ok(used));
        assert_eq!(dtb::parse(&padded), dtb::parse(blob));
    }
}

/// A tree that ends early inside the lengths it claims.
#[test]
fn a_cut_structure_is_malformed() {
    for blob in ALL {
        let size = word(blob, 36);
        for cut in (0..size).step_by(4) {
            let mut short = blob.to_vec();
            short[36..40].copy_from_slice(&cut.to_be_bytes());
            assert_eq!(
                dtb::parse(&short),
                Err(DtbError::Malformed),
                "{cut} of {size}"
            );
        }
    }
}

/// A bus whose `ranges` have entries of no cells says nothing about addresses, and the search in them ends.
#[test]
fn ranges_of_no_cells_are_none() {
    let zero = [0u32];
    let mut tree = Tree::default();
    tree.begin("");
    tree.cells("#address-cells", &zero);
    tree.begin("outer");
    tree.cells("#address-cells", &zero);
    tree.cells("#size-cells", &zero);
    tree.cells("ranges", &[1, 2, 3]);
    tree.begin("inner");
    tree.cells("#address-cells", &[1]);
    tree.cells("#size-cells", &[1]);
    tree.cells("ranges", &[]);
    tree.begin("interrupt-controller");
    tree.property("compatible", b"arm,gic-400\0");
    tree.cells("reg", &[0x800_0000, 0x1000, 0x801_0000, 0x1000]);
    tree.structure
        .extend([2u32; 4].map(u32::to_be_bytes).concat());
    assert_eq!(dtb::parse(&tree.finish()), Err(DtbError::NoMemory));
}

/// Writes a tree.
#[derive(Default)]
struct Tree {
    structure: Vec<u8>,
    strings: Vec<u8>,
}

impl Tree {
    fn words(&mut self, words: &[u32]) {
        words
            .iter()
            .for_each(|word| self.structure.extend(word.to_be_bytes()));
    }

    fn padded(&mut self, bytes: &[u8]) {
        self.structure.extend(bytes);
        let len = self.structure.len().next_multiple_of(4);
        self.structure.resize(len, 0);
    }

    fn begin(&mut self, name: &str) {
        self.words(&[1]);
        self.padded(&[name.as_bytes(), b"\0"].concat());
    }

    fn property(&mut self, name: &str, value: &[u8]) {
        let at = self.strings.len() as u32;
        self.strings.extend([name.as_bytes(), b"\0"].concat());
        self.words(&[3, value.len() as u32, at]);
        self.padded(value);
    }

    fn cells(&mut self, name: &str, cells: &[u32]) {
        let value: Vec<u8> = cells.iter().flat_map(|cell| cell.to_be_bytes()).collect();
        self.property(name, &value);
    }

    fn finish(mut self) -> Vec<u8> {
        self.words(&[9]);
        let (structure, strings) = (self.structure.len() as u32, self.strings.len() as u32);
        let end = 56 + structure + strings;
        let header = [
            0xd00d_feed,
            end,
            56,
            56 + structure,
            40,
            17,
            16,
            0,
            strings,
            structure,
        ];
        let mut blob: Vec<u8> = header.iter().flat_map(|word| word.to_be_bytes()).collect();
        // An empty reservation map.
        blob.extend([0; 16]);
        blob.extend(self.structure);
        blob.extend(self.strings);
        blob
    }
}

/// Any bytes are a board or an error: no panic, no endless loop.
#[test]
fn changed_bytes_never_panic() {
    let mut random = Random(1);
    let (mut good, mut bad) = (0, 0);
    for round in 0..20_000 {
        let mut blob = ALL[random.below(ALL.len())].to_vec();
        for _ in 0..=random.below(8) {
            let at = match round % 3 {
                0 => random.below(64),
                _ => random.below(blob.len() - 3),
            };
            match random.below(4) {
                0 => blob[at] ^= 1 << random.below(8),
                1 => blob[at] = random.below(256) as u8,
                // Whole words: tokens, lengths, cells.
                2 => {
                    let at = at & !3;
                    let small = random.below(10) as u32;
                    blob[at..at + 4].copy_from_slice(&small.to_be_bytes());
                }
                _ => {
                    let at = at & !3;
                    blob[at..at + 4].copy_from_slice(&[0xff; 4]);
                }
            }
        }
        let _ = dtb::used_size(&blob);
        match dtb::parse(&blob) {
            Ok(board) => {
                good += 1;
                assert!(board.memory.windows(2).all(|w| w[0].end < w[1].start));
                assert!(
                    board
                        .memory
                        .iter()
                        .all(|r| r.start % 4096 == 0 && r.end % 4096 == 0)
                );
            }
            Err(_) => bad += 1,
        }
    }
    assert!(good > 1000 && bad > 1000, "{good} boards, {bad} errors");
}

/// Overwrites a node, from its first token to its last, with NOP tokens, as QEMU does to nodes it does not model.
fn overwrite_with_nops(blob: &mut [u8], name: &[u8]) {
    let at = blob.windows(name.len()).position(|w| w == name).unwrap();
    let (start, mut end, mut depth) = (at - 4, at - 4, 0);
    loop {
        let token = word(blob, end);
        end += 4;
        match token {
            1 => {
                depth += 1;
                let len = blob[end..].iter().position(|b| *b == 0).unwrap() + 1;
                end += len.next_multiple_of(4);
            }
            2 => depth -= 1,
            3 => end += 8 + (word(blob, end) as usize).next_multiple_of(4),
            _ => {}
        }
        if depth == 0 {
            break;
        }
    }
    for token in blob[start..end].chunks_exact_mut(4) {
        token.copy_from_slice(&4u32.to_be_bytes());
    }
}

fn replace(blob: &mut [u8], from: &[u8], to: &[u8]) {
    let at = blob.windows(from.len()).position(|w| w == from).unwrap();
    blob[at..at + to.len()].copy_from_slice(to);
}

fn word(blob: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(blob[at..at + 4].try_into().unwrap())
}

/// A repeatable source of numbers.
struct Random(u64);

impl Random {
    fn below(&mut self, limit: usize) -> usize {
        self.0 = self
            .0
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        (self.0 >> 33) as usize % limit
    }
}
