//! GICv3 (and v4 without its extras): distributor, one redistributor per core, CPU interface in system registers.
//!
//! Affinity routing is on, and all lines are in group 1 of the security state that runs: set up the same way for a
//! controller with one security state (QEMU) and for the non-secure view of one with two. The CPU interface and the
//! redistributor's identity and wake-up come from `arm-gic`; line registers have the layout of `lines`.
//!
//! Redistributors are found by the affinity in GICR_TYPER, not by position. Not used: LPIs, the extended ranges.

use super::lines::Lines;
use super::{Ack, FIRST_SPI, publish_before_message, synchronise};
use crate::board::{self, List, MAX_CPUS, MAX_REDISTRIBUTORS, Region};
use arm_gic::gicv3::registers::GicrSgi;
use arm_gic::gicv3::{GicCpuInterface, GicRedistributor};
use arm_gic::{IntId, InterruptGroup, UniqueMmioPointer};
use core::arch::asm;
use core::ptr::NonNull;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_structs;
use tock_registers::registers::ReadWrite;

register_structs! {
    Distributor {
        (0x0000 => lines: Lines),
        (0x0d00 => group_modifier: [ReadWrite<u32>; 32]),
        (0x0d80 => _reserved0),
        (0x6000 => route: [ReadWrite<u64>; 1020]),
        (0x7fe0 => @END),
    }
}

/// GICD_CTLR: affinity routing, in the view of a single or of the non-secure state.
const CTLR_AFFINITY: u32 = 1 << 4;
/// GICD_CTLR: forward group 1, in those views with affinity routing.
const CTLR_GROUP_1: u32 = 1 << 1;
/// GICD_CTLR: an earlier write is still taking effect.
const CTLR_PENDING: u32 = 1 << 31;
/// A redistributor's control frame and its SGI frame; GICv4 adds two more of the same size.
const FRAME: usize = 0x1_0000;

pub struct GicV3 {
    distributor: *const Distributor,
    window: usize,
    redistributors: List<Region, MAX_REDISTRIBUTORS>,
    stride: usize,
    /// Address of each core's redistributor SGI frame, by logical index; 0 before its `init_cpu`.
    frames: [AtomicUsize; MAX_CPUS],
    /// Affinity of each core, as in MPIDR_EL1.
    affinities: [AtomicU64; MAX_CPUS],
}

// SAFETY: the pointer leads to device registers that any core may access (promise of `new`); the rest is plain data.
unsafe impl Send for GicV3 {}
// SAFETY: as above: every method makes single register accesses, or says that the caller serialises it.
unsafe impl Sync for GicV3 {}

impl GicV3 {
    /// # Safety
    /// As `Gic::new`.
    pub unsafe fn new(info: &board::Gic, window: usize) -> GicV3 {
        GicV3 {
            distributor: core::ptr::with_exposed_provenance(
                window + info.distributor.start as usize,
            ),
            window,
            redistributors: info.redistributors,
            stride: info.redistributor_stride as usize,
            frames: [const { AtomicUsize::new(0) }; MAX_CPUS],
            affinities: [const { AtomicU64::new(0) }; MAX_CPUS],
        }
    }

    fn distributor(&self) -> &Distributor {
        // SAFETY: `new` was promised that the registers are mapped here for as long as `self` lives.
        unsafe { &*self.distributor }
    }

    fn shared(&self) -> &Lines {
        &self.distributor().lines
    }

    /// The address of the SGI frame of a core that has done its `init_cpu`.
    fn frame(&self, core: usize) -> usize {
        let frame = self.frames[core].load(Ordering::Relaxed);
        assert!(frame != 0, "core {core} has no redistributor yet");
        frame
    }

    /// The private lines of such a core.
    fn private(&self, core: usize) -> &Lines {
        let frame = self.frame(core);
        // SAFETY: `init_cpu` found the frame inside a region which `new` was promised to be mapped.
        unsafe { &*core::ptr::with_exposed_provenance::<Lines>(frame) }
    }

    fn lines(&self, core: usize, intid: u32) -> &Lines {
        if intid < FIRST_SPI {
            self.private(core)
        } else {
            self.shared()
        }
    }

    pub fn init_distributor(&self) -> u32 {
        let (distributor, lines) = (self.distributor(), self.shared());
        // Affinity routing may be switched on once and never off. It comes first: without it, neither the routes nor
        // the registers of the redistributors exist.
        lines.ctlr.set(lines.ctlr.get() & CTLR_AFFINITY);
        self.settle();
        lines.ctlr.set(CTLR_AFFINITY);
        self.settle();
        let here = affinity(own_mpidr());
        let max = lines.max_intid();
        for bank in 1..=max as usize / 32 {
            lines.reset_bank(bank);
            lines.group[bank].set(u32::MAX);
            distributor.group_modifier[bank].set(0);
        }
        self.settle();
        for route in &distributor.route[FIRST_SPI as usize..=max as usize] {
            route.set(here);
        }
        lines.ctlr.set(CTLR_AFFINITY | CTLR_GROUP_1);
        self.settle();
        max
    }

    pub fn init_cpu(&self, core: usize, mpidr: u64) {
        let Some(base) = self.find_redistributor(affinity(mpidr)) else {
            panic!("no redistributor for core {core} (MPIDR {mpidr:#x})");
        };
        self.affinities[core].store(affinity(mpidr), Ordering::Relaxed);
        self.frames[core].store(base + FRAME, Ordering::Relaxed);

        let mut redistributor = redistributor(base);
        // An error says that the core is already marked as awake.
        let _ = redistributor.mark_core_awake();
        let lines = self.private(core);
        lines.reset_bank(0);
        lines.group[0].set(u32::MAX);
        redistributor.wait_for_pending_write();

        GicCpuInterface::enable_system_register_el1();
        synchronise();
        GicCpuInterface::set_priority_mask(0xff);
        // Binary point 0, EOImode 0: the end of an interrupt also deactivates it.
        // SAFETY: changes how this core's interrupts are prioritised and ended, which is this driver's business.
        unsafe {
            asm!(
                "msr icc_bpr1_el1, xzr",
                options(nomem, nostack, preserves_flags)
            )
        };
        // SAFETY: as above.
        unsafe {
            asm!(
                "msr icc_ctlr_el1, xzr",
                options(nomem, nostack, preserves_flags)
            )
        };
        GicCpuInterface::enable_group1(true);
        synchronise();
    }

    pub fn acknowledge(&self) -> Ack {
        let group = InterruptGroup::Group1;
        let raw = GicCpuInterface::get_and_acknowledge_interrupt(group)
            .map_or(super::FIRST_SPECIAL, IntId::raw_value);
        Ack::new(raw, raw)
    }

    pub fn end(&self, raw: u32) {
        // SAFETY: ends an interrupt which this core acknowledged; `arm-gic` cannot make an `IntId` from a number.
        unsafe {
            asm!("msr icc_eoir1_el1, {}", in(reg) u64::from(raw), options(nostack, preserves_flags));
        }
        synchronise();
    }

    pub fn mask(&self, core: usize, intid: u32) {
        self.lines(core, intid).mask(intid);
    }

    pub fn unmask(&self, core: usize, intid: u32) {
        self.lines(core, intid).unmask(intid);
    }

    pub fn set_trigger(&self, intid: u32, edge: bool) {
        let here = affinity(own_mpidr());
        let core = (0..MAX_CPUS).find(|i| {
            self.frames[*i].load(Ordering::Relaxed) != 0
                && self.affinities[*i].load(Ordering::Relaxed) == here
        });
        let core = core.unwrap_or(0);
        // The line has been masked: that has to be in effect, since its mode may not change while it is enabled (GIC
        // architecture, GICR_ICFGR1 and GICD_ICFGR).
        if intid < FIRST_SPI {
            self.settle_private(core);
        } else {
            self.settle();
        }
        self.lines(core, intid).set_trigger(intid, edge);
    }

    pub fn route(&self, intid: u32, core: usize) {
        if intid >= FIRST_SPI {
            let affinity = self.affinities[core].load(Ordering::Relaxed);
            self.distributor().route[intid as usize].set(affinity);
        }
    }

    pub fn send_sgi(&self, sgi: u32, core: usize) {
        let message = sgi_message(sgi, self.affinities[core].load(Ordering::Relaxed));
        publish_before_message();
        // SAFETY: sends an interrupt. By hand because `arm-gic` has no range selector: it reaches Aff0 0..16 only.
        unsafe {
            asm!("msr icc_sgi1r_el1, {}", in(reg) message, options(nostack, preserves_flags))
        };
        synchronise();
    }

    pub fn max_intid(&self) -> u32 {
        self.shared().max_intid()
    }

    /// Waits until an earlier write to GICD_CTLR or to a clear-enable register has taken effect.
    fn settle(&self) {
        while self.shared().ctlr.get() & CTLR_PENDING != 0 {}
    }

    /// The same for the private lines of the calling core: GICR_CTLR.
    fn settle_private(&self, core: usize) {
        redistributor(self.frame(core) - FRAME).wait_for_pending_write();
    }

    /// The address of the redistributor whose core has this affinity.
    fn find_redistributor(&self, wanted: u64) -> Option<usize> {
        for region in &self.redistributors {
            let (mut at, end) = (region.start as usize, region.end as usize);
            while at + 2 * FRAME <= end {
                let typer = redistributor(self.window + at).typer();
                if affinity(typer.core_mpidr()) == wanted {
                    return Some(self.window + at);
                }
                if typer.last_redistributor() {
                    break;
                }
                at += match self.stride {
                    0 if typer.virtual_lpis_supported() => 4 * FRAME,
                    0 => 2 * FRAME,
                    stride => stride,
                };
            }
        }
        None
    }
}

/// The redistributor at an address inside one of the regions that `GicV3::new` was promised to be mapped.
fn redistributor(base: usize) -> GicRedistributor<'static> {
    let registers = core::ptr::with_exposed_provenance_mut::<GicrSgi>(base);
    let registers = NonNull::new(registers).expect("a redistributor at address 0");
    // SAFETY: mapped, by the promise of `GicV3::new`. Only its own core writes it through this type, in `init_cpu`;
    // later that core reads what has taken effect. Others read its identity, which does not change.
    GicRedistributor::new(unsafe { UniqueMmioPointer::new(registers) })
}

/// The affinity fields of an MPIDR, which are also the format of GICD_IROUTER for one core.
fn affinity(mpidr: u64) -> u64 {
    mpidr & 0xff_00ff_ffff
}

/// The message to ICC_SGI1R_EL1 that sends `sgi` to the core with this affinity.
fn sgi_message(sgi: u32, affinity: u64) -> u64 {
    let [aff0, aff1, aff2, _, aff3, ..] = affinity.to_le_bytes();
    u64::from(aff3) << 48
        | u64::from(aff0 >> 4) << 44
        | u64::from(aff2) << 32
        | u64::from(sgi & 0xf) << 24
        | u64::from(aff1) << 16
        | 1 << (aff0 & 0xf)
}

fn own_mpidr() -> u64 {
    let mpidr: u64;
    // SAFETY: reads an identification register.
    unsafe { asm!("mrs {}, mpidr_el1", out(reg) mpidr, options(nomem, nostack, preserves_flags)) };
    mpidr
}
