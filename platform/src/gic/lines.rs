//! The registers that describe interrupt lines, 32 a bank.
//!
//! The distributor has them for all lines; a GICv3 redistributor has the same registers at the same offsets for the
//! private lines of its core. GICv2 and GICv3 agree on all of them, so this is the one place that knows the layout.

use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_structs;
use tock_registers::registers::{ReadOnly, ReadWrite};

register_structs! {
    /// Distributor registers up to 0xe00, and those of a redistributor's SGI frame (where the first three and
    /// `targets` are reserved and not used).
    pub(super) Lines {
        (0x000 => pub(super) ctlr: ReadWrite<u32>),
        (0x004 => pub(super) typer: ReadOnly<u32>),
        (0x008 => _reserved0),
        (0x080 => pub(super) group: [ReadWrite<u32>; 32]),
        (0x100 => set_enable: [ReadWrite<u32>; 32]),
        (0x180 => clear_enable: [ReadWrite<u32>; 32]),
        (0x200 => _set_pending: [ReadWrite<u32>; 32]),
        (0x280 => clear_pending: [ReadWrite<u32>; 32]),
        (0x300 => _set_active: [ReadWrite<u32>; 32]),
        (0x380 => clear_active: [ReadWrite<u32>; 32]),
        (0x400 => priority: [ReadWrite<u32>; 256]),
        (0x800 => pub(super) targets: [ReadWrite<u8>; 1024]),
        (0xc00 => config: [ReadWrite<u32>; 64]),
        (0xd00 => @END),
    }
}

impl Lines {
    /// The highest interrupt number that the distributor has.
    pub(super) fn max_intid(&self) -> u32 {
        ((self.typer.get() & 0x1f) * 32 + 31).min(super::FIRST_SPECIAL - 1)
    }

    /// Masks the 32 lines of a bank, makes them inactive, not pending and of equal priority. All but the SGIs become
    /// level-sensitive.
    pub(super) fn reset_bank(&self, bank: usize) {
        self.clear_enable[bank].set(u32::MAX);
        self.clear_active[bank].set(u32::MAX);
        self.clear_pending[bank].set(u32::MAX);
        for word in &self.priority[bank * 8..][..8] {
            word.set(u32::from_ne_bytes([super::PRIORITY; 4]));
        }
        if bank > 0 {
            self.config[bank * 2].set(0);
        }
        self.config[bank * 2 + 1].set(0);
    }

    pub(super) fn mask(&self, intid: u32) {
        self.clear_enable[bank(intid)].set(bit(intid));
    }

    pub(super) fn unmask(&self, intid: u32) {
        self.set_enable[bank(intid)].set(bit(intid));
    }

    /// The caller serialises. Does nothing for an SGI, which is always an edge.
    pub(super) fn set_trigger(&self, intid: u32, edge: bool) {
        if intid < 16 {
            return;
        }
        let register = &self.config[intid as usize / 16];
        let bit = 2 << (intid % 16 * 2);
        let old = register.get();
        register.set(if edge { old | bit } else { old & !bit });
    }
}

fn bank(intid: u32) -> usize {
    intid as usize / 32
}

fn bit(intid: u32) -> u32 {
    1 << (intid % 32)
}
