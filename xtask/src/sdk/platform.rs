//! The physical memory that the kernel hands out on a machine: RAM, and everything else as devices.
//!
//! The kernel finds this out at boot from the device tree; here it is told for the machines that QEMU makes, for builds
//! that want to know it beforehand. What the kernel and the root task's own image take from RAM is not taken out.

use crate::boards::Machine;
use crate::failure::{Failure, Result};
use crate::sdk::gen_config::address_bits;
use crate::sdk::json::{Json, object};
use std::fmt::Write;
use tern_platform::board::{Region, Regions};

/// The most pieces of each kind.
const PIECES: usize = 16;

pub(crate) struct Platform {
    memory: Regions<PIECES>,
    devices: Regions<PIECES>,
}

impl Platform {
    pub(crate) fn of(machine: &Machine) -> Result<Self> {
        let full = |_| Failure::new("the machine's memory is in too many pieces");
        let mut memory = Regions::new(Region::EMPTY);
        memory.add(ram(machine)?).map_err(full)?;
        let mut devices = Regions::new(Region::EMPTY);
        let top = 1 << address_bits(&machine.cpu);
        devices.add(Region::new(0, top)).map_err(full)?;
        for region in memory.iter().chain(&interrupt_controller(machine)) {
            devices.subtract(*region).map_err(full)?;
        }
        Ok(Self { memory, devices })
    }

    pub(crate) fn json(&self) -> Json {
        let list = |regions: &Regions<PIECES>| {
            let region = |region: &Region| object([("end", region.end), ("start", region.start)]);
            Json::List(regions.iter().map(region).collect())
        };
        object([
            ("devices", list(&self.devices)),
            ("memory", list(&self.memory)),
        ])
    }

    pub(crate) fn yaml(&self) -> String {
        let mut text = String::new();
        for (name, regions) in [("devices", &self.devices), ("memory", &self.memory)] {
            let _ = writeln!(text, "{name}:");
            for Region { start, end } in regions {
                let _ = writeln!(text, "- end: {end:#x}\n  start: {start:#x}");
            }
        }
        text
    }
}

fn ram(machine: &Machine) -> Result<Region> {
    match machine.board.name {
        "virt" => Region::sized(0x4000_0000, machine.memory_size())
            .ok_or_else(|| Failure::new("the machine has more memory than there are addresses")),
        other => Err(Failure::new(format!(
            "where board '{other}' has its memory is not known here"
        ))),
    }
}

/// The registers that the kernel keeps to itself, on QEMU's `virt`.
fn interrupt_controller(machine: &Machine) -> [Region; 2] {
    let second = match machine.gic {
        2 => Region::new(0x801_0000, 0x802_0000),
        _ => Region::new(0x80a_0000, 0x900_0000),
    };
    [Region::new(0x800_0000, 0x801_0000), second]
}
