//! What the device tree says of the machine: name, processors, memory, interrupt controller, UART.
//!
//! A summary for people and for the console, not a driver model: a program that wants more reads
//! [`crate::BootInfo::device_tree`] itself. Trees that are cut off or malformed give `None`; nothing panics.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;
use core::ops::Range;

use fdt::Fdt;
use fdt::helpers::UnalignedFallibleNode;

/// How deep nodes are looked at. Deeper ones are not buses that processors see.
const MAX_DEPTH: usize = 8;

/// The machine as its device tree describes it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Machine {
    /// The board's name.
    pub model: String,
    /// How many processors the tree lists. (How many came up is in the boot information.)
    pub processors: usize,
    /// What the first processor is compatible with.
    pub processor: String,
    /// Memory, in physical addresses.
    pub memory: Vec<Range<u64>>,
    /// The interrupt controller.
    pub interrupt_controller: Option<InterruptController>,
    /// A PL011 UART: the one that the tree chose for output, or else the first.
    pub pl011: Option<u64>,
}

/// Kinds of interrupt controllers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InterruptController {
    /// A generic interrupt controller, version 2.
    GicV2,
    /// A generic interrupt controller, version 3.
    GicV3,
    /// Another one: what it is compatible with.
    Other(String),
}

impl fmt::Display for InterruptController {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::GicV2 => f.write_str("GICv2"),
            Self::GicV3 => f.write_str("GICv3"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

impl Machine {
    /// Reads a device tree.
    pub fn from_device_tree(blob: &[u8]) -> Option<Self> {
        let blob = tern_platform::dtb::check(blob).ok()?;
        let tree = Fdt::new_unaligned_fallible(blob).ok()?;
        let root = tree.find_node("/").ok()??;
        let mut reader = Reader {
            stdout: chosen_output(&root),
            ..Reader::default()
        };
        reader.machine.model = text(&root, "model").unwrap_or("unnamed").to_string();
        reader.visit(root, "", &Bus::ROOT, 0)?;
        Some(reader.machine)
    }

    /// Bytes of memory.
    pub fn memory_size(&self) -> u64 {
        self.memory
            .iter()
            .map(|range| range.end - range.start)
            .fold(0, u64::saturating_add)
    }
}

/// The path in /chosen/stdout-path, without its parameters, resolved if it is an alias.
fn chosen_output(root: &UnalignedFallibleNode<'_>) -> Option<String> {
    let chosen = root.child("chosen").ok()??;
    let path = text(&chosen, "stdout-path")?.split(':').next()?;
    if path.starts_with('/') {
        return Some(path.to_string());
    }
    let aliases = root.child("aliases").ok()??;
    Some(text(&aliases, path)?.to_string())
}

fn bytes<'a>(node: &UnalignedFallibleNode<'a>, name: &str) -> Option<&'a [u8]> {
    Some(node.raw_property(name).ok()??.value)
}

/// The first string of a property.
fn text<'a>(node: &UnalignedFallibleNode<'a>, name: &str) -> Option<&'a str> {
    let value = bytes(node, name)?;
    core::str::from_utf8(value.split(|&byte| byte == 0).next()?).ok()
}

fn is_compatible(node: &UnalignedFallibleNode<'_>, with: &str) -> bool {
    bytes(node, "compatible").is_some_and(|list| {
        list.split(|&byte| byte == 0)
            .any(|name| name == with.as_bytes())
    })
}

fn is_enabled(node: &UnalignedFallibleNode<'_>) -> bool {
    text(node, "status").is_none_or(|status| status == "okay" || status == "ok")
}

fn cell(node: &UnalignedFallibleNode<'_>, name: &str) -> Option<usize> {
    let value = bytes(node, name)?.try_into().ok()?;
    Some(u32::from_be_bytes(value) as usize).filter(|&cells| cells <= 4)
}

/// Takes a number of 32-bit cells off the front; the highest are lost beyond 64 bits.
fn take_cells(from: &mut &[u8], cells: usize) -> Option<u64> {
    let (number, rest) = from.split_at_checked(cells * 4)?;
    *from = rest;
    Some(
        number
            .iter()
            .fold(0, |value, &byte| value << 8 | u64::from(byte)),
    )
}

/// How the addresses of a node's children are written and what they mean one level up.
struct Bus<'a> {
    /// `None` at the root, whose addresses are the processors'.
    above: Option<&'a Bus<'a>>,
    address_cells: usize,
    size_cells: usize,
    /// `None` when nothing below can be reached by address; empty for no translation.
    ranges: Option<&'a [u8]>,
}

impl Bus<'_> {
    /// Above the root node.
    const ROOT: Bus<'static> = Bus {
        above: None,
        address_cells: 2,
        size_cells: 1,
        ranges: Some(&[]),
    };

    /// The processors' address of an address of this bus.
    fn translate(&self, address: u64) -> Option<u64> {
        let Some(above) = self.above else {
            return Some(address);
        };
        let mut ranges = self.ranges?;
        if ranges.is_empty() {
            return above.translate(address);
        }
        if self.address_cells + above.address_cells + self.size_cells == 0 {
            // Entries of no cells have no end.
            return None;
        }
        while !ranges.is_empty() {
            let start = take_cells(&mut ranges, self.address_cells)?;
            let target = take_cells(&mut ranges, above.address_cells)?;
            let size = take_cells(&mut ranges, self.size_cells)?;
            if let Some(offset) = address.checked_sub(start).filter(|&offset| offset < size) {
                return above.translate(target.checked_add(offset)?);
            }
        }
        None
    }

    /// Start and size of each entry of a node's `reg`, as the processors see them.
    fn registers(&self, node: &UnalignedFallibleNode<'_>) -> Vec<Range<u64>> {
        let mut list = bytes(node, "reg").unwrap_or(&[]);
        let mut found = Vec::new();
        if self.address_cells == 0 {
            // Without addresses. Entries of no cells would have no end either.
            return found;
        }
        while !list.is_empty() {
            let (Some(start), Some(size)) = (
                take_cells(&mut list, self.address_cells),
                take_cells(&mut list, self.size_cells),
            ) else {
                break;
            };
            let Some(start) = self.translate(start) else {
                continue;
            };
            if let Some(end) = start.checked_add(size).filter(|_| size != 0) {
                found.push(start..end);
            }
        }
        found
    }
}

#[derive(Default)]
struct Reader {
    machine: Machine,
    /// The path of the device that the tree chose for output.
    stdout: Option<String>,
}

impl Reader {
    /// Notes what a node says, and goes on with its children. `bus` is the one it is on.
    fn visit(
        &mut self,
        node: UnalignedFallibleNode<'_>,
        path: &str,
        bus: &Bus<'_>,
        depth: usize,
    ) -> Option<()> {
        self.note(&node, path, bus);
        if depth == MAX_DEPTH {
            return Some(());
        }
        let below = Bus {
            above: (depth != 0).then_some(bus),
            address_cells: cell(&node, "#address-cells").unwrap_or(2),
            size_cells: cell(&node, "#size-cells").unwrap_or(1),
            ranges: bytes(&node, "ranges"),
        };
        for child in node.children().ok()?.iter() {
            let child = child.ok()?;
            let name = child.name().ok()?;
            let path = match name.unit_address {
                Some(unit) => format!("{path}/{}@{unit}", name.name),
                None => format!("{path}/{}", name.name),
            };
            self.visit(child, &path, &below, depth + 1)?;
        }
        Some(())
    }

    fn note(&mut self, node: &UnalignedFallibleNode<'_>, path: &str, bus: &Bus<'_>) {
        let machine = &mut self.machine;
        match text(node, "device_type") {
            Some("memory") => machine.memory.extend(bus.registers(node)),
            Some("cpu") => {
                machine.processors += 1;
                if machine.processor.is_empty() {
                    machine.processor = text(node, "compatible").unwrap_or("").to_string();
                }
            }
            _ => {}
        }
        if bytes(node, "interrupt-controller").is_some() && machine.interrupt_controller.is_none() {
            machine.interrupt_controller = interrupt_controller(node);
        }
        if is_compatible(node, "arm,pl011") && is_enabled(node) {
            let chosen = self.stdout.as_deref() == Some(path);
            if chosen || machine.pl011.is_none() {
                machine.pl011 = bus.registers(node).first().map(|range| range.start);
            }
        }
    }
}

/// The kind of a node that is an interrupt controller, if it is the processors' own.
fn interrupt_controller(node: &UnalignedFallibleNode<'_>) -> Option<InterruptController> {
    const V2: [&str; 4] = [
        "arm,gic-400",
        "arm,cortex-a15-gic",
        "arm,cortex-a7-gic",
        "arm,cortex-a9-gic",
    ];
    if is_compatible(node, "arm,gic-v3") {
        return Some(InterruptController::GicV3);
    }
    if V2.iter().any(|name| is_compatible(node, name)) {
        return Some(InterruptController::GicV2);
    }
    // A controller that itself interrupts another one is a device, such as a GPIO block.
    if bytes(node, "interrupts").is_some() || bytes(node, "interrupts-extended").is_some() {
        return None;
    }
    Some(InterruptController::Other(
        text(node, "compatible")?.to_string(),
    ))
}

#[cfg(test)]
mod tests;
