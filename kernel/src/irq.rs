//! Interrupt lines that user level handles: who is told, and when a line is masked.
//!
//! A line is masked by the core that takes its interrupt, before that core waits for any lock, and stays masked until
//! the handler acknowledges it. So a level that its driver has not served yet interrupts once, and a core that waits
//! for a lock is not interrupted again.
//!
//! Lines below 32 are private: every core has its own, with a handler of its own. The registers of private lines belong
//! to their core (on GICv2 nobody else can reach them), so other cores leave a request in `Core` and ring.
//!
//! The kernel's own lines (timer, doorbell) are never handed out, and never masked here.
//!
//! Not here: the invocations (`invoke::irq`), and what the kernel does with its own lines.

use core::mem::offset_of;

use crate::{
    access::Kernel,
    arch,
    cap::{IrqLine, Slot},
    config::{MAX_NUM_NODES, SMP},
    delete,
    invoke::Leave,
    ipc::notification,
    machine::{Machine, machine},
    object::{NotificationRef, SlotRef},
    print::kprintln,
    smp,
    system::Shared,
    types::CoreId,
};

/// Private lines of each core: software-generated interrupts (below 16) and private peripherals.
pub const PRIVATE_LINES: u32 = 32;
/// Line numbers end here; what follows has special meanings.
const END: u32 = 1020;
const SHARED_LINES: usize = (END - PRIVATE_LINES) as usize;
const LINES: usize = SHARED_LINES + PRIVATE_LINES as usize * MAX_NUM_NODES;

/// The kernel's doorbell, and one more that is kept for it. Configurations for one core have neither.
pub const KERNEL_SGIS: core::ops::Range<u32> = 0..if SMP { 2 } else { 0 };

/// What is known about the lines. All zero when new.
pub struct IrqTable {
    /// The notification of each line. These slots take part in the derivation tree.
    slots: [Slot; LINES],
    /// A bit for each line that is handed out.
    handed_out: [u32; LINES.div_ceil(32)],
    triggers: [PrivateTriggers; MAX_NUM_NODES],
}

/// The trigger modes that were asked for private lines of a core, which that core programs before it unmasks them. In
/// neither set: left as it is.
#[derive(Clone, Copy)]
struct PrivateTriggers {
    edge: u32,
    level: u32,
}

impl IrqTable {
    pub(crate) const fn new() -> Self {
        Self {
            slots: [const { Slot::EMPTY }; LINES],
            handed_out: [0; LINES.div_ceil(32)],
            triggers: [PrivateTriggers { edge: 0, level: 0 }; MAX_NUM_NODES],
        }
    }

    fn is_handed_out(&self, line: IrqLine) -> bool {
        let index = index(line);
        self.handed_out[index / 32] & (1 << (index % 32)) != 0
    }

    fn set_handed_out(&mut self, line: IrqLine, value: bool) {
        let index = index(line);
        let (word, bit) = (&mut self.handed_out[index / 32], 1 << (index % 32));
        *word = if value { *word | bit } else { *word & !bit };
    }

    fn set_private_trigger(&mut self, line: IrqLine, edge: bool) {
        let triggers = &mut self.triggers[line.core.index()];
        let bit = 1 << line.intid;
        let (set, clear) = if edge {
            (&mut triggers.edge, &mut triggers.level)
        } else {
            (&mut triggers.level, &mut triggers.edge)
        };
        *set |= bit;
        *clear &= !bit;
    }

    /// The trigger mode that was asked for a private line: whether it is an edge.
    fn private_trigger(&self, core: CoreId, intid: u32) -> Option<bool> {
        let triggers = &self.triggers[core.index()];
        let bit = 1 << intid;
        if triggers.edge & bit != 0 {
            Some(true)
        } else {
            (triggers.level & bit != 0).then_some(false)
        }
    }
}

/// Position of a line in the table: shared lines, then the private ones core by core.
fn index(line: IrqLine) -> usize {
    if is_private(line.intid) {
        SHARED_LINES + line.core.index() * PRIVATE_LINES as usize + line.intid as usize
    } else {
        (line.intid - PRIVATE_LINES) as usize
    }
}

fn is_private(intid: u32) -> bool {
    intid < PRIVATE_LINES
}

/// The core that alone has a line's registers: the private lines' own.
pub fn owner(line: IrqLine) -> Option<CoreId> {
    is_private(line.intid).then_some(line.core)
}

/// The line that an interrupt number means on a core.
pub fn line_of(intid: u32, core: CoreId) -> IrqLine {
    IrqLine {
        intid,
        core: if is_private(intid) {
            core
        } else {
            CoreId::BOOT
        },
    }
}

/// Whether the kernel keeps this interrupt number to itself, on every core.
fn is_kernel_line(machine: &Machine, intid: u32) -> bool {
    intid == machine.timer_ppi || KERNEL_SGIS.contains(&intid)
}

/// Whether a line cannot be handed out: it is, or it is the kernel's.
pub fn is_active(k: &Kernel<'_>, line: IrqLine) -> bool {
    is_kernel_line(k.machine(), line.intid) || k.shared().irqs.is_handed_out(line)
}

/// The slot with the notification of a line.
pub fn line_slot(k: &Kernel<'_>, line: IrqLine) -> SlotRef {
    let index = index(line);
    assert!(index < LINES);
    let table = k.system().shared.get().expose_provenance() + offset_of!(Shared, irqs);
    SlotRef::from_address(table + offset_of!(IrqTable, slots)).nth(index)
}

/// The slots of all lines. For checks.
#[cfg(not(target_os = "none"))]
pub fn slots(k: &Kernel<'_>) -> impl Iterator<Item = SlotRef> + use<> {
    let first = line_slot(k, line_of(PRIVATE_LINES, CoreId::BOOT));
    (0..LINES).map(move |index| first.nth(index))
}

/// Lets the kernel's own lines through on this core: once at boot, after the core's part of the controller is set up.
pub fn init_core(me: CoreId) {
    let machine = machine();
    for intid in KERNEL_SGIS.chain([machine.timer_ppi]) {
        machine.gic.unmask(me.index(), intid);
    }
}

/// Takes the interrupt that is pending on this core, before any lock: it is over for the controller, and its line is
/// masked unless it is the kernel's. None if there was nothing.
pub fn acknowledge(me: CoreId) -> Option<u32> {
    let machine = machine();
    let ack = machine.gic.acknowledge();
    let intid = ack.intid?;
    if !is_kernel_line(machine, intid) {
        machine.gic.mask(me.index(), intid);
    }
    machine.gic.end(ack.raw);
    // The line is masked before anybody who takes the lock after this core can unmask it.
    arch::device_barrier();
    Some(intid)
}

/// Tells the handler of an interrupt that this core has acknowledged. The kernel's own interrupts mean 'look', which is
/// what this entry does anyway.
pub fn handle(k: &mut Kernel<'_>, intid: u32) {
    if is_kernel_line(k.machine(), intid) || intid >= END {
        return;
    }
    match notification_of(k, intid) {
        Some((notification, badge)) => notification::signal(k, notification, badge),
        // It stays masked until somebody asks for the line, or acknowledges it.
        None => kprintln!(
            "interrupt {} on core {} has no handler",
            intid,
            k.me().index()
        ),
    }
}

/// Who is told of an interrupt of this core, and with which badge.
pub fn notification_of(k: &Kernel<'_>, intid: u32) -> Option<(NotificationRef, u64)> {
    if is_kernel_line(k.machine(), intid) || intid >= END {
        return None;
    }
    let slot = line_slot(k, line_of(intid, k.me()));
    let (notification, badge, _) = k.get(slot).raw().as_notification()?;
    Some((notification, badge))
}

/// Hands out a line that is not active: sets its trigger mode if one is asked for, sends a shared line to a core if one
/// is named, and unmasks it.
pub fn hand_out(k: &mut Kernel<'_>, line: IrqLine, edge: Option<bool>, route: Option<CoreId>) {
    let gic = &k.machine().gic;
    if is_private(line.intid) {
        if let Some(edge) = edge {
            k.shared_mut().irqs.set_private_trigger(line, edge);
        }
    } else {
        if let Some(edge) = edge {
            gic.set_trigger(line.intid, edge);
        }
        if let Some(core) = route {
            gic.route(line.intid, core.index());
        }
    }
    k.shared_mut().irqs.set_handed_out(line, true);
    if is_private(line.intid) && line.core == k.me() {
        set_up_own(k, line.intid);
    } else {
        unmask(k, line);
    }
}

/// Lets a line through again.
pub fn unmask(k: &mut Kernel<'_>, line: IrqLine) {
    if !is_private(line.intid) || line.core == k.me() {
        k.machine().gic.unmask(k.me().index(), line.intid);
    } else {
        let bit = 1 << line.intid;
        let core = k.core_mut(line.core);
        core.unmask_ppis |= bit;
        core.mask_ppis &= !bit;
        smp::poke(k, line.core);
    }
}

/// Unmasks a private line of this core, after setting the trigger mode that was asked for: with the line masked, since
/// a change while it is enabled has no defined effect.
fn set_up_own(k: &Kernel<'_>, intid: u32) {
    let gic = &k.machine().gic;
    if let Some(edge) = k.shared().irqs.private_trigger(k.me(), intid) {
        gic.mask(k.me().index(), intid);
        gic.set_trigger(intid, edge);
    }
    gic.unmask(k.me().index(), intid);
}

fn mask(k: &mut Kernel<'_>, line: IrqLine) {
    if !is_private(line.intid) || line.core == k.me() {
        k.machine().gic.mask(k.me().index(), line.intid);
    } else {
        let bit = 1 << line.intid;
        let core = k.core_mut(line.core);
        core.mask_ppis |= bit;
        core.unmask_ppis &= !bit;
        smp::poke(k, line.core);
    }
}

/// Does what other cores asked of this core's private lines. Each line is in one of the two sets at most.
pub fn apply_ppi_requests(k: &mut Kernel<'_>) {
    let me = k.this_mut();
    let (unmask, mask) = (
        core::mem::take(&mut me.unmask_ppis),
        core::mem::take(&mut me.mask_ppis),
    );
    if mask | unmask == 0 {
        return;
    }
    for intid in bits(mask) {
        k.machine().gic.mask(k.me().index(), intid);
    }
    for intid in bits(unmask) {
        set_up_own(k, intid);
    }
}

fn bits(set: u32) -> impl Iterator<Item = u32> {
    (0..PRIVATE_LINES).filter(move |bit| set & (1 << bit) != 0)
}

/// The last handler capability of a line goes: nobody is told any more, and the line can be handed out again. May be
/// left half-way and called again.
pub fn delete_handler(k: &mut Kernel<'_>, line: IrqLine) -> Result<(), Leave> {
    mask(k, line);
    delete::delete(k, line_slot(k, line))?;
    k.shared_mut().irqs.set_handed_out(line, false);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(intid: u32, core: u16) -> IrqLine {
        IrqLine {
            intid,
            core: CoreId(core),
        }
    }

    #[test]
    fn every_line_has_a_place_of_its_own() {
        let mut seen = [false; LINES];
        let private = (0..MAX_NUM_NODES as u16)
            .flat_map(|core| (0..PRIVATE_LINES).map(move |intid| line(intid, core)));
        for line in (PRIVATE_LINES..END)
            .map(|intid| line(intid, 0))
            .chain(private)
        {
            assert!(!core::mem::replace(&mut seen[index(line)], true));
        }
        assert!(seen.iter().all(|&seen| seen));
    }

    #[test]
    fn private_lines_name_their_core() {
        assert_eq!(line_of(31, CoreId(3)), line(31, 3));
        assert_eq!(line_of(32, CoreId(3)), line(32, 0));
    }

    #[test]
    fn lines_are_handed_out_one_by_one() {
        let mut table = IrqTable::new();
        table.set_handed_out(line(40, 0), true);
        table.set_handed_out(line(20, MAX_NUM_NODES as u16 - 1), true);
        assert!(table.is_handed_out(line(40, 0)));
        assert!(table.is_handed_out(line(20, MAX_NUM_NODES as u16 - 1)));
        assert_eq!(
            table
                .handed_out
                .iter()
                .map(|word| word.count_ones())
                .sum::<u32>(),
            2
        );
        table.set_handed_out(line(40, 0), false);
        assert!(!table.is_handed_out(line(40, 0)));
        assert!(table.is_handed_out(line(20, MAX_NUM_NODES as u16 - 1)));
    }

    #[test]
    fn the_last_trigger_asked_for_counts() {
        let mut table = IrqTable::new();
        assert_eq!(table.private_trigger(CoreId(0), 20), None);
        table.set_private_trigger(line(20, 0), true);
        assert_eq!(table.private_trigger(CoreId(0), 20), Some(true));
        table.set_private_trigger(line(20, 0), false);
        assert_eq!(table.private_trigger(CoreId(0), 20), Some(false));
        assert_eq!(table.private_trigger(CoreId(0), 21), None);
    }

    #[test]
    fn bits_are_line_numbers() {
        assert!(bits(1 << 31 | 1 << 16 | 1).eq([0, 16, 31]));
    }
}
