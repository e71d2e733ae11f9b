//! Finding the devices that Tern uses: interrupt controller, timer, PSCI, serial port.

use super::bus::Bus;
use super::node::{self, Node};
use super::{DtbError, blob};
use crate::board::{BoardInfo, Console, ConsoleKind, CoreStart, Gic, Region};

const GIC_V2: &[&str] = &[
    "arm,gic-400",
    "arm,cortex-a15-gic",
    "arm,cortex-a9-gic",
    "arm,cortex-a7-gic",
    "arm,pl390",
];
const GIC_V3: &[&str] = &["arm,gic-v3"];
const TIMER: &[&str] = &["arm,armv8-timer"];
const PSCI: &[&str] = &["arm,psci-1.0", "arm,psci-0.2"];
const PL011: &[&str] = &["arm,pl011"];
const MINI_UART: &[&str] = &["brcm,bcm2835-aux-uart"];
const PI_4: &[&str] = &["brcm,bcm2711"];
const PI_4_PINS: &[&str] = &["brcm,bcm2711-gpio"];

/// Space of one redistributor at least.
const REDISTRIBUTOR: u64 = 0x2_0000;

/// Position of the EL1 virtual timer among the interrupts of the timer node, and its name where there are names.
const VIRTUAL_TIMER: usize = 2;
const VIRTUAL_TIMER_NAME: &str = "virt";

/// What has been found so far.
pub(super) struct Devices {
    gic: Option<Result<Gic, DtbError>>,
    timer: Option<u32>,
    psci: Option<CoreStart>,
    console: Console,
    console_rank: u32,
    /// Where the bytes of the `reg` property of the node that `/chosen` names as output are.
    stdout: Option<*const u8>,
    pi_4: bool,
    pins: Region,
}

impl Devices {
    pub(super) fn new(root: Node<'_>) -> Result<Devices, DtbError> {
        let stdout = match stdout(root)? {
            Some(node) => node::value(node, "reg")?.map(<[u8]>::as_ptr),
            None => None,
        };
        Ok(Devices {
            gic: None,
            timer: None,
            psci: None,
            console: Console::default(),
            console_rank: 0,
            stdout,
            pi_4: node::compatible(root, PI_4)?,
            pins: Region::EMPTY,
        })
    }

    /// Looks at a node of `bus` and at all inside it.
    pub(super) fn visit<'a>(
        &mut self,
        bus: &Bus<'_, 'a>,
        node: Node<'a>,
        depth: usize,
    ) -> Result<(), DtbError> {
        if depth > blob::MAX_DEPTH || !node::enabled(node)? {
            return Ok(());
        }
        if node::compatible(node, GIC_V2)? {
            let gic = gic_v2(bus, node)?;
            self.gic.get_or_insert(gic);
        } else if node::compatible(node, GIC_V3)? {
            let gic = gic_v3(bus, node)?;
            self.gic.get_or_insert(gic);
        } else if node::compatible(node, TIMER)? {
            self.timer = self.timer.or(virtual_timer(node)?);
        } else if node::compatible(node, PSCI)? {
            self.psci = match node::text(node, "method")? {
                Some("hvc") => Some(CoreStart::PsciHvc),
                Some("smc") => Some(CoreStart::PsciSmc),
                _ => self.psci,
            };
        } else if node::compatible(node, PL011)? {
            self.console(bus, node, ConsoleKind::Pl011)?;
        } else if node::compatible(node, MINI_UART)? {
            self.console(bus, node, ConsoleKind::MiniUart)?;
        } else if node::compatible(node, PI_4_PINS)? {
            self.pins = bus.regions(node)?.next().unwrap_or(Region::EMPTY);
        }
        let inside = bus.inside(node)?;
        for child in node.children()?.iter() {
            self.visit(&inside, child?, depth + 1)?;
        }
        Ok(())
    }

    /// Prefers a PL011 to a mini UART, whose speed varies, and then the port that `/chosen` names.
    fn console<'a>(
        &mut self,
        bus: &Bus<'_, 'a>,
        node: Node<'a>,
        kind: ConsoleKind,
    ) -> Result<(), DtbError> {
        let Some(registers) = bus.regions(node)?.next() else {
            return Ok(());
        };
        let chosen = match (node::value(node, "reg")?, self.stdout) {
            (Some(reg), Some(stdout)) => core::ptr::eq(reg.as_ptr(), stdout),
            _ => false,
        };
        let rank = match (kind, chosen) {
            (ConsoleKind::Pl011, true) => 4,
            (ConsoleKind::Pl011, false) => 3,
            (_, true) => 2,
            (_, false) => 1,
        };
        if rank > self.console_rank {
            self.console_rank = rank;
            self.console = Console {
                kind,
                irq: interrupt(node::value(node, "interrupts")?, 0).unwrap_or(0),
                registers,
                pins: Region::EMPTY,
            };
        }
        Ok(())
    }

    pub(super) fn finish(mut self, board: &mut BoardInfo) -> Result<(), DtbError> {
        board.gic = self.gic.ok_or(DtbError::NoInterruptController)??;
        board.timer_ppi = self.timer.unwrap_or(board.timer_ppi);
        // Firmware sets up the port that it names; another one on a Pi 4 still has to be put on its pins.
        if self.pi_4 && self.console_rank == 3 {
            self.console.pins = self.pins;
        }
        board.console = self.console;
        if board.start == CoreStart::PsciHvc {
            board.start = self.psci.unwrap_or(CoreStart::None);
        }
        Ok(())
    }
}

fn gic_v2<'a>(bus: &Bus<'_, 'a>, node: Node<'a>) -> Result<Result<Gic, DtbError>, DtbError> {
    let mut regions = bus.regions(node)?;
    let mut gic = BoardInfo::empty().gic;
    gic.version = 2;
    Ok(match (regions.next(), regions.next()) {
        (Some(distributor), Some(cpu_interface)) => {
            gic.distributor = distributor;
            gic.cpu_interface = cpu_interface;
            Ok(gic)
        }
        _ => Err(DtbError::BadInterruptController),
    })
}

fn gic_v3<'a>(bus: &Bus<'_, 'a>, node: Node<'a>) -> Result<Result<Gic, DtbError>, DtbError> {
    let mut regions = bus.regions(node)?;
    let mut gic = BoardInfo::empty().gic;
    gic.version = 3;
    if let Some(mut stride) = node::value(node, "redistributor-stride")? {
        let cells = if stride.len() >= 8 { 2 } else { 1 };
        // An odd value is as good as none: the registers then tell the distance.
        let stride = node::take(&mut stride, cells).unwrap_or(0);
        gic.redistributor_stride = stride / REDISTRIBUTOR * REDISTRIBUTOR;
    }
    let count = node::cell(node, "#redistributor-regions")?.unwrap_or(1);
    let Some(distributor) = regions.next() else {
        return Ok(Err(DtbError::BadInterruptController));
    };
    gic.distributor = distributor;
    for region in regions.take(count as usize) {
        if gic.redistributors.push(region).is_err() {
            return Ok(Err(DtbError::TooMany("GIC redistributor regions")));
        }
    }
    if gic.redistributors.is_empty() {
        return Ok(Err(DtbError::BadInterruptController));
    }
    Ok(Ok(gic))
}

fn virtual_timer(node: Node<'_>) -> Result<Option<u32>, DtbError> {
    let index = match node::value(node, "interrupt-names")? {
        Some(names) => node::texts(names).position(|name| name == VIRTUAL_TIMER_NAME),
        None => Some(VIRTUAL_TIMER),
    };
    let interrupts = node::value(node, "interrupts")?;
    Ok(index.and_then(|index| interrupt(interrupts, index)))
}

/// The number (INTID) of one interrupt in an `interrupts` property of the GIC: kind, number, flags.
fn interrupt(interrupts: Option<&[u8]>, index: usize) -> Option<u32> {
    let mut cells = interrupts?.get(index.checked_mul(12)?..)?;
    let kind = node::take(&mut cells, 1)?;
    let number = node::take(&mut cells, 1)?;
    node::take(&mut cells, 1)?;
    match (kind, number) {
        (0, 0..988) => Some(number as u32 + 32),
        (1, 0..16) => Some(number as u32 + 16),
        _ => None,
    }
}

/// The node that `/chosen` names for output.
fn stdout<'a>(root: Node<'a>) -> Result<Option<Node<'a>>, DtbError> {
    let Some(chosen) = root.child("chosen")? else {
        return Ok(None);
    };
    let Some(path) = node::text(chosen, "stdout-path")? else {
        return Ok(None);
    };
    // Options such as the speed follow a colon.
    let path = path.split(':').next().unwrap_or(path);
    if path.starts_with('/') {
        return find(root, path);
    }
    let Some(aliases) = root.child("aliases")? else {
        return Ok(None);
    };
    match node::text(aliases, path)? {
        Some(path) => find(root, path),
        None => Ok(None),
    }
}

/// The node at a path. The parts may leave out the unit address, as far as that is unique: the first match counts.
fn find<'a>(root: Node<'a>, path: &'a str) -> Result<Option<Node<'a>>, DtbError> {
    let mut node = root;
    for part in path.split('/').filter(|part| !part.is_empty()) {
        match node.child(part)? {
            Some(child) => node = child,
            None => return Ok(None),
        }
    }
    Ok(Some(node))
}
