//! GICv2: a memory-mapped distributor and a CPU interface that is banked by core.
//!
//! The same writes serve a controller without security extension (one group, as QEMU gives it) and the non-secure view
//! of one that has it (group 1, as firmware leaves it on a Raspberry Pi 4): bit 0 of both control registers turns on
//! the one group that we see, and the group registers are not touched.
//!
//! A core is addressed by its bit in the target registers, which is not `1 << index`: each core reads its own.

use super::lines::Lines;
use super::{Ack, FIRST_SPI, PRIORITY, publish_before_message, synchronise};
use crate::board;
use core::sync::atomic::{AtomicU8, Ordering};
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_structs;
use tock_registers::registers::{ReadOnly, ReadWrite, WriteOnly};

register_structs! {
    Distributor {
        (0x000 => lines: Lines),
        (0xd00 => _reserved0),
        (0xf00 => send_sgi: WriteOnly<u32>),
        (0xf04 => _reserved1),
        (0xf10 => clear_sgi: [ReadWrite<u32>; 4]),
        (0xf20 => @END),
    }
}

register_structs! {
    CpuInterface {
        (0x00 => control: ReadWrite<u32>),
        (0x04 => priority_mask: ReadWrite<u32>),
        (0x08 => binary_point: ReadWrite<u32>),
        (0x0c => acknowledge: ReadOnly<u32>),
        (0x10 => end: WriteOnly<u32>),
        (0x14 => @END),
    }
}

const MAX_CORES: usize = 8;

pub struct GicV2 {
    distributor: *const Distributor,
    cpu_interface: *const CpuInterface,
    /// The bit of each core in the target registers, by logical index.
    masks: [AtomicU8; MAX_CORES],
}

// SAFETY: both pointers lead to device registers that any core may access (promise of `new`); the masks are atomics.
unsafe impl Send for GicV2 {}
// SAFETY: as above: every method makes single register accesses, or says that the caller serialises it.
unsafe impl Sync for GicV2 {}

impl GicV2 {
    /// # Safety
    /// As `Gic::new`.
    pub unsafe fn new(info: &board::Gic, window: usize) -> GicV2 {
        GicV2 {
            distributor: core::ptr::with_exposed_provenance(
                window + info.distributor.start as usize,
            ),
            cpu_interface: core::ptr::with_exposed_provenance(
                window + info.cpu_interface.start as usize,
            ),
            masks: [const { AtomicU8::new(0) }; MAX_CORES],
        }
    }

    fn distributor(&self) -> &Distributor {
        // SAFETY: `new` was promised that the registers are mapped here for as long as `self` lives.
        unsafe { &*self.distributor }
    }

    fn lines(&self) -> &Lines {
        &self.distributor().lines
    }

    fn cpu(&self) -> &CpuInterface {
        // SAFETY: `new` was promised that the registers are mapped here for as long as `self` lives.
        unsafe { &*self.cpu_interface }
    }

    pub fn init_distributor(&self) -> u32 {
        let lines = self.lines();
        lines.ctlr.set(0);
        let here = self.own_mask();
        for bank in 1..=lines.max_intid() as usize / 32 {
            lines.reset_bank(bank);
            for target in &lines.targets[bank * 32..][..32] {
                target.set(here);
            }
        }
        lines.ctlr.set(1);
        lines.max_intid()
    }

    pub fn init_cpu(&self, core: usize) {
        self.masks[core].store(self.own_mask(), Ordering::Relaxed);
        self.lines().reset_bank(0);
        for register in &self.distributor().clear_sgi {
            register.set(u32::MAX);
        }
        let cpu = self.cpu();
        cpu.priority_mask.set(0xff);
        cpu.binary_point.set(0);
        // EOImode (bit 9 or 10, by view) 0: the end of an interrupt also deactivates it.
        cpu.control.set(1);
    }

    pub fn acknowledge(&self) -> Ack {
        let raw = self.cpu().acknowledge.get();
        Ack::new(raw, raw & 0x3ff)
    }

    pub fn end(&self, raw: u32) {
        self.cpu().end.set(raw);
    }

    pub fn mask(&self, intid: u32) {
        self.lines().mask(intid);
    }

    pub fn unmask(&self, intid: u32) {
        self.lines().unmask(intid);
    }

    pub fn set_trigger(&self, intid: u32, edge: bool) {
        self.lines().set_trigger(intid, edge);
    }

    pub fn route(&self, intid: u32, core: usize) {
        if intid >= FIRST_SPI {
            let mask = self.masks[core].load(Ordering::Relaxed);
            self.lines().targets[intid as usize].set(mask);
        }
    }

    pub fn send_sgi(&self, sgi: u32, core: usize) {
        let mask = self.masks[core].load(Ordering::Relaxed);
        publish_before_message();
        self.distributor()
            .send_sgi
            .set(u32::from(mask) << 16 | (sgi & 0xf));
        synchronise();
    }

    pub fn max_intid(&self) -> u32 {
        self.lines().max_intid()
    }

    /// The calling core's bit in the target registers. The first 32 of them are banked and name the core that reads;
    /// with a single core they may read as zero, and then nothing depends on the value.
    fn own_mask(&self) -> u8 {
        let private = &self.lines().targets[..FIRST_SPI as usize];
        let mask = private.iter().fold(0, |mask, target| mask | target.get());
        if mask == 0 { 1 } else { mask }
    }
}

const _: () = assert!(
    PRIORITY < 0xff,
    "the priority mask lets all interrupts through"
);

#[cfg(test)]
mod tests {
    extern crate std;
    use super::*;
    use crate::board::{BoardInfo, Region};
    use std::vec::Vec;

    /// Registers that are plain memory: enough to see what is written where.
    struct Fake {
        memory: Vec<u64>,
        gic: GicV2,
    }

    impl Fake {
        fn new() -> Fake {
            let mut memory = std::vec![0u64; 0x2000 / 8];
            let mut info = BoardInfo::empty().gic;
            info.distributor = Region::new(0, 0x1000);
            info.cpu_interface = Region::new(0x1000, 0x2000);
            let base = memory.as_mut_ptr().expose_provenance();
            // SAFETY: `memory` lives as long as the value and nothing else touches it between calls.
            let gic = unsafe { GicV2::new(&info, base) };
            let fake = Fake { memory, gic };
            fake.poke(4, 2);
            fake.poke(0x800, 0x0404_0404);
            fake
        }

        fn at(&self, offset: usize) -> *mut u32 {
            let base = self.memory.as_ptr().expose_provenance();
            core::ptr::with_exposed_provenance_mut(base + offset)
        }

        fn poke(&self, offset: usize, value: u32) {
            // SAFETY: inside `memory`, which is only accessed through exposed pointers while the fake lives.
            unsafe { self.at(offset).write_volatile(value) }
        }

        fn peek(&self, offset: usize) -> u32 {
            // SAFETY: as in `poke`.
            unsafe { self.at(offset).read_volatile() }
        }
    }

    #[test]
    fn set_up_writes_every_bank() {
        let fake = Fake::new();
        fake.gic.init_cpu(3);
        assert_eq!(fake.gic.init_distributor(), 95);
        for line in (0..96).step_by(4) {
            assert_eq!(fake.peek(0x400 + line), 0xa0a0_a0a0);
            if line >= 32 {
                assert_eq!(fake.peek(0x800 + line), 0x0404_0404);
            }
        }
        assert_eq!(fake.peek(0x400 + 96), 0, "beyond the last line");
        assert_eq!(
            [fake.peek(0), fake.peek(0x1000), fake.peek(0x1004)],
            [1, 1, 0xff]
        );
        assert_eq!(
            [fake.peek(0x180), fake.peek(0x188), fake.peek(0x18c)],
            [u32::MAX, u32::MAX, 0]
        );
        assert_eq!(fake.peek(0x80), 0, "groups are left alone");
    }

    #[test]
    fn cores_are_named_by_their_own_mask() {
        let fake = Fake::new();
        fake.gic.init_cpu(5);
        fake.gic.send_sgi(7, 5);
        assert_eq!(fake.peek(0xf00), 0x04_0007);
        fake.gic.route(33, 5);
        assert_eq!(fake.peek(0x820), 0x0000_0400);
        fake.gic.route(9, 5);
        assert_eq!(fake.peek(0x808), 0);
    }

    #[test]
    fn source_bits_stay_in_raw() {
        let fake = Fake::new();
        fake.poke(0x100c, 1 << 10 | 5);
        let ack = fake.gic.acknowledge();
        assert_eq!((ack.raw, ack.intid), (1029, Some(5)));
        fake.gic.end(ack.raw);
        assert_eq!(fake.peek(0x1010), 1029);
        for special in 1020..1024 {
            fake.poke(0x100c, special);
            assert_eq!(fake.gic.acknowledge().intid, None);
        }
    }

    #[test]
    fn triggers_change_one_line() {
        let fake = Fake::new();
        fake.gic.set_trigger(50, true);
        fake.gic.set_trigger(51, true);
        fake.gic.set_trigger(50, false);
        fake.gic.set_trigger(3, true);
        assert_eq!((fake.peek(0xc0c), fake.peek(0xc00)), (0b10 << 6, 0));
        fake.gic.unmask(34);
        fake.gic.mask(35);
        assert_eq!((fake.peek(0x104), fake.peek(0x184)), (1 << 2, 1 << 3));
    }
}
