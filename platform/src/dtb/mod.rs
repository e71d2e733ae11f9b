//! Device tree to `BoardInfo`.
//!
//! The blob comes from firmware and is not trusted to be well-formed: its structure is checked once (`blob`), the `fdt`
//! crate then finds nodes and properties, and values are read here cell by cell. Any bytes give a `BoardInfo` or an
//! error, never a panic. Addresses are translated through `ranges` to what a core sees.
//!
//! Not here: hardware. Nothing is read but the blob.

mod blob;
mod bus;
mod devices;
mod node;

pub use blob::{check, set_size, size, used_size};

use crate::board::{BoardInfo, CoreStart, Cpu, Name, Region};
use blob::Blob;
use bus::Bus;
use core::fmt;
use devices::Devices;
use node::Node;

/// Affinity fields of MPIDR_EL1.
const AFFINITY: u64 = 0xff_00ff_ffff;
const PAGE: u64 = 4096;

/// Why a device tree does not describe a board that Tern can run on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum DtbError {
    /// The blob does not start with the magic number of a flattened device tree.
    NotADeviceTree,
    /// The blob is shorter than it says, or too short to say.
    Truncated,
    /// Not version 17, or not readable as such.
    Version(u32),
    /// The structure of the blob is broken.
    Malformed,
    NoMemory,
    NoCpus,
    /// No GICv2 and no GICv3.
    NoInterruptController,
    /// The interrupt controller's registers are missing or not reachable.
    BadInterruptController,
    /// More of something than a `BoardInfo` has room for.
    TooMany(&'static str),
}

impl fmt::Display for DtbError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let text = match self {
            DtbError::NotADeviceTree => "there is no device tree (wrong magic number)",
            DtbError::Truncated => "the device tree is cut short",
            DtbError::Version(version) => {
                return write!(f, "the device tree has version {version}, not 17");
            }
            DtbError::Malformed => "the device tree is malformed",
            DtbError::NoMemory => "the device tree names no memory",
            DtbError::NoCpus => "the device tree names no usable core",
            DtbError::NoInterruptController => {
                "the device tree names no supported interrupt controller (GICv2 or GICv3)"
            }
            DtbError::BadInterruptController => {
                "the device tree does not say where the interrupt controller is"
            }
            DtbError::TooMany(what) => return write!(f, "the device tree has too many {what}"),
        };
        f.write_str(text)
    }
}

impl From<fdt::FdtError> for DtbError {
    fn from(_: fdt::FdtError) -> DtbError {
        DtbError::Malformed
    }
}

/// Reads a device tree. `bytes` may be longer than the blob.
pub fn parse(bytes: &[u8]) -> Result<BoardInfo, DtbError> {
    let blob = Blob::check(bytes)?;
    let root = blob.root()?;
    let bus = Bus::root(root)?;
    let mut board = BoardInfo::empty();
    board.model = Name::new(match node::text(root, "model")? {
        Some(model) => model.as_bytes(),
        None => node::text(root, "compatible")?.unwrap_or("").as_bytes(),
    });

    let mut devices = Devices::new(root)?;
    for child in root.children()?.iter() {
        let child = child?;
        match child.name()?.name {
            "cpus" => cpus(&mut board, child)?,
            "reserved-memory" => {}
            "memory" => memory(&mut board, &bus, child)?,
            _ if node::text(child, "device_type")? == Some("memory") => {
                memory(&mut board, &bus, child)?;
            }
            _ => devices.visit(&bus, child, 0)?,
        }
    }
    reserved(&mut board, &blob, root, &bus)?;
    whole_pages(&mut board)?;
    if board.memory.is_empty() {
        return Err(DtbError::NoMemory);
    }
    if board.cpus.is_empty() {
        return Err(DtbError::NoCpus);
    }
    devices.finish(&mut board)?;
    Ok(board)
}

fn memory<'a>(board: &mut BoardInfo, bus: &Bus<'_, 'a>, node: Node<'a>) -> Result<(), DtbError> {
    if !node::enabled(node)? {
        return Ok(());
    }
    for region in bus.regions(node)? {
        let full = |_| DtbError::TooMany("memory regions");
        board.memory.add(region).map_err(full)?;
    }
    Ok(())
}

/// Cores that may run, the first 64 of them, and how to start them. All cores are started the way the first one says.
fn cpus(board: &mut BoardInfo, cpus: Node<'_>) -> Result<(), DtbError> {
    let address_cells = node::cell(cpus, "#address-cells")?.unwrap_or(1);
    for cpu in cpus.children()?.iter() {
        let cpu = cpu?;
        let is_cpu = node::text(cpu, "device_type")? == Some("cpu") || cpu.name()?.name == "cpu";
        if !is_cpu || !node::enabled(cpu)? {
            continue;
        }
        let Some(mut reg) = node::value(cpu, "reg")? else {
            continue;
        };
        let Some(mpidr) = node::take(&mut reg, address_cells) else {
            continue;
        };
        let release_addr = match node::value(cpu, "cpu-release-addr")? {
            Some(mut value) => {
                let cells = if value.len() >= 8 { 2 } else { 1 };
                node::take(&mut value, cells).unwrap_or(0)
            }
            None => 0,
        };
        if board.cpus.is_empty() {
            board.start = match node::text(cpu, "enable-method")? {
                Some("spin-table") => CoreStart::SpinTable,
                // The conduit is in another node, which `Devices` finds.
                Some("psci") | None => CoreStart::PsciHvc,
                _ => CoreStart::None,
            };
        }
        let cpu = Cpu {
            mpidr: mpidr & AFFINITY,
            release_addr,
        };
        if board.cpus.push(cpu).is_err() {
            break;
        }
    }
    Ok(())
}

/// What firmware keeps: the reservation map of the blob, and `/reserved-memory`. Ranges that must not even be mapped
/// are no memory at all.
fn reserved<'a>(
    board: &mut BoardInfo,
    blob: &Blob<'_>,
    root: Node<'a>,
    bus: &Bus<'_, 'a>,
) -> Result<(), DtbError> {
    let full = |_| DtbError::TooMany("reserved regions");
    for region in blob.reservations() {
        board.reserved.add(region.widened(PAGE)).map_err(full)?;
    }
    for child in root.children()?.iter() {
        let child = child?;
        if child.name()?.name != "reserved-memory" {
            continue;
        }
        let inner = bus.same_addresses(child)?;
        for kept in child.children()?.iter() {
            let kept = kept?;
            if !node::enabled(kept)? {
                continue;
            }
            let no_map = node::value(kept, "no-map")?.is_some();
            for region in inner.regions(kept)? {
                let region = region.widened(PAGE);
                board.reserved.add(region).map_err(full)?;
                if no_map {
                    let full = |_| DtbError::TooMany("memory regions");
                    board.memory.subtract(region).map_err(full)?;
                }
            }
        }
    }
    Ok(())
}

/// Leaves only whole pages of memory.
fn whole_pages(board: &mut BoardInfo) -> Result<(), DtbError> {
    let ragged = board.memory;
    board.memory.clear();
    for region in &ragged {
        let pages: Region = region.narrowed(PAGE);
        let full = |_| DtbError::TooMany("memory regions");
        board.memory.add(pages).map_err(full)?;
    }
    Ok(())
}
