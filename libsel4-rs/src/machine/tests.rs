//! Trees written by hand, whole and broken.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::{InterruptController, Machine};

/// Writes a device tree blob.
#[derive(Default)]
struct Writer {
    structure: Vec<u8>,
    strings: Vec<u8>,
}

impl Writer {
    fn word(&mut self, word: u32) {
        self.structure.extend(word.to_be_bytes());
    }

    fn padded(&mut self, bytes: &[u8]) {
        self.structure.extend(bytes);
        self.structure
            .resize(self.structure.len().next_multiple_of(4), 0);
    }

    fn node(&mut self, name: &str, content: impl FnOnce(&mut Self)) {
        self.word(1);
        self.padded(&[name.as_bytes(), &[0]].concat());
        content(self);
        self.word(2);
    }

    fn bytes(&mut self, name: &str, value: &[u8]) {
        let offset = self.strings.len() as u32;
        self.strings.extend([name.as_bytes(), &[0]].concat());
        self.word(3);
        self.word(value.len() as u32);
        self.word(offset);
        self.padded(value);
    }

    fn text(&mut self, name: &str, value: &str) {
        self.bytes(name, &[value.as_bytes(), &[0]].concat());
    }

    fn cells(&mut self, name: &str, cells: &[u32]) {
        let bytes: Vec<u8> = cells.iter().flat_map(|cell| cell.to_be_bytes()).collect();
        self.bytes(name, &bytes);
    }

    fn finish(mut self) -> Vec<u8> {
        self.word(9);
        let (header, reserved) = (40, 16);
        let structure_at = header + reserved;
        let strings_at = structure_at + self.structure.len();
        let total = strings_at + self.strings.len();
        let fields = [
            0xd00d_feed,
            total,
            structure_at,
            strings_at,
            header,
            17,
            16,
            0,
            self.strings.len(),
            self.structure.len(),
        ];
        let mut blob: Vec<u8> = fields
            .iter()
            .flat_map(|&field| (field as u32).to_be_bytes())
            .collect();
        blob.extend([0; 16]);
        blob.extend(self.structure);
        blob.extend(self.strings);
        blob
    }
}

/// A board with two UARTs behind a bus that translates addresses.
fn board() -> Vec<u8> {
    let mut tree = Writer::default();
    tree.node("", |root| {
        root.cells("#address-cells", &[2]);
        root.cells("#size-cells", &[1]);
        root.text("model", "A Board");
        root.node("chosen", |chosen| {
            chosen.text("stdout-path", "serial1:115200n8")
        });
        root.node("aliases", |aliases| {
            aliases.text("serial1", "/soc/serial@7e201600")
        });
        root.node("cpus", |cpus| {
            cpus.cells("#address-cells", &[1]);
            cpus.cells("#size-cells", &[0]);
            for core in 0..3 {
                cpus.node("cpu", |cpu| {
                    cpu.text("device_type", "cpu");
                    cpu.text("compatible", "arm,cortex-a72");
                    cpu.cells("reg", &[core]);
                });
            }
        });
        root.node("memory@0", |memory| {
            memory.text("device_type", "memory");
            memory.cells("reg", &[0, 0, 0x3b40_0000, 0, 0x4000_0000, 0x4000_0000]);
        });
        root.node("soc", |soc| {
            soc.cells("#address-cells", &[1]);
            soc.cells("#size-cells", &[1]);
            soc.cells("ranges", &[0x7e00_0000, 0, 0xfe00_0000, 0x180_0000]);
            soc.node("interrupt-controller@7f", |gic| {
                gic.bytes("interrupt-controller", &[]);
                gic.text("compatible", "arm,gic-400");
            });
            for at in [0x7e20_1000, 0x7e20_1600] {
                soc.node(&alloc::format!("serial@{at:x}"), |uart| {
                    uart.bytes("compatible", b"arm,pl011\0arm,primecell\0");
                    uart.cells("reg", &[at, 0x200]);
                });
            }
        });
    });
    tree.finish()
}

#[test]
fn a_board_is_read() {
    let machine = Machine::from_device_tree(&board()).unwrap();
    assert_eq!(machine.model, "A Board");
    assert_eq!(
        (machine.processors, machine.processor.as_str()),
        (3, "arm,cortex-a72")
    );
    assert_eq!(machine.memory, [0..0x3b40_0000, 0x4000_0000..0x8000_0000]);
    assert_eq!(machine.memory_size(), 0x7b40_0000);
    assert_eq!(
        machine.interrupt_controller,
        Some(InterruptController::GicV2)
    );
    assert_eq!(
        machine.pl011,
        Some(0xfe20_1600),
        "the chosen one, translated"
    );
}

#[test]
fn a_tree_that_is_cut_off_does_no_harm() {
    let whole = board();
    for length in 0..whole.len() {
        let _ = Machine::from_device_tree(&whole[..length]);
    }
}

#[test]
fn a_damaged_tree_does_no_harm() {
    let whole = board();
    for place in 0..whole.len() {
        for damage in [0x00, 0x01, 0x80, 0xff] {
            let mut blob = whole.clone();
            blob[place] ^= damage;
            let _ = Machine::from_device_tree(&blob);
        }
    }
}

/// Blocks whose offset and length together go beyond 32 bits, or beyond the blob.
#[test]
fn blocks_outside_the_tree_do_no_harm() {
    let whole = board();
    // Offsets of structure and strings, lengths of strings and structure.
    for field in [8, 12, 32, 36] {
        for value in [whole.len() as u32, 0x7fff_ffff, u32::MAX - 3, u32::MAX] {
            let mut blob = whole.clone();
            blob[field..field + 4].copy_from_slice(&value.to_be_bytes());
            assert_eq!(
                Machine::from_device_tree(&blob),
                None,
                "{field}: {value:#x}"
            );
        }
    }
}

/// Registers and ranges whose entries have no cells: their lists never end, so they say nothing.
#[test]
fn entries_of_no_cells_are_none() {
    let cells = |node: &mut Writer, address, size| {
        node.cells("#address-cells", &[address]);
        node.cells("#size-cells", &[size]);
    };
    let mut tree = Writer::default();
    tree.node("", |root| {
        cells(root, 0, 0);
        root.node("memory", |memory| {
            memory.text("device_type", "memory");
            memory.cells("reg", &[0, 0x4000_0000, 0x1000]);
        });
        root.node("outer", |outer| {
            cells(outer, 0, 0);
            outer.cells("ranges", &[1, 2, 3]);
            outer.node("inner", |inner| {
                cells(inner, 1, 1);
                inner.cells("ranges", &[]);
                inner.node("serial", |serial| {
                    serial.text("compatible", "arm,pl011");
                    serial.cells("reg", &[0x900_0000, 0x1000]);
                });
            });
        });
    });
    let machine = Machine::from_device_tree(&tree.finish()).unwrap();
    assert_eq!((machine.memory, machine.pl011), (Vec::new(), None));
}

/// More memory than 64 bits can count: a nonsense, and no reason to stop.
#[test]
fn too_much_memory_is_as_much_as_can_be() {
    let machine = Machine {
        memory: [0..u64::MAX, 1..u64::MAX].to_vec(),
        ..Machine::default()
    };
    assert_eq!(machine.memory_size(), u64::MAX);
}

#[test]
fn an_unknown_controller_keeps_its_name() {
    let mut tree = Writer::default();
    tree.node("", |root| {
        root.node("pic", |pic| {
            pic.bytes("interrupt-controller", &[]);
            pic.text("compatible", "acme,pic");
        });
    });
    let machine = Machine::from_device_tree(&tree.finish()).unwrap();
    assert_eq!(
        machine.interrupt_controller,
        Some(InterruptController::Other("acme,pic".to_string()))
    );
    assert_eq!((machine.model.as_str(), machine.pl011), ("unnamed", None));
}
