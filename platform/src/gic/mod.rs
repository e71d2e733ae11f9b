//! The interrupt controller: GICv2 or GICv3 behind one type.
//!
//! Every interrupt has the same priority and nothing is ever in a group of its own, so that one interrupt is handled
//! at a time. All methods take `&self` and may run on several cores at once: they are single accesses to registers,
//! and per-core routing data is written once, by `init_cpu` on that core. Methods that read, change and write back say
//! that the caller serialises them. End of interrupt also deactivates (EOImode 0).
//!
//! Not here: which interrupts exist, who handles them, and masking at the core (DAIF).

mod lines;
mod v2;
#[cfg(target_arch = "aarch64")]
mod v3;

pub use v2::GicV2;
#[cfg(target_arch = "aarch64")]
pub use v3::GicV3;

#[cfg(target_arch = "aarch64")]
use crate::board;

/// Priority of every interrupt.
const PRIORITY: u8 = 0xa0;
/// The first shared interrupt; below are the private ones of each core.
const FIRST_SPI: u32 = 32;
/// From here up an acknowledged number means 'none'.
const FIRST_SPECIAL: u32 = 1020;

/// An acknowledged interrupt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Ack {
    /// What `end` needs. On GICv2 this includes the core that sent an SGI.
    pub raw: u32,
    /// The interrupt, or `None` if there was none: then `end` must not be called.
    pub intid: Option<u32>,
}

impl Ack {
    fn new(raw: u32, intid: u32) -> Ack {
        Ack {
            raw,
            intid: (intid < FIRST_SPECIAL).then_some(intid),
        }
    }
}

/// The interrupt controller of the board. There is one, in a static: the difference in size costs nothing.
#[cfg(target_arch = "aarch64")]
#[allow(clippy::large_enum_variant)]
pub enum Gic {
    V2(GicV2),
    V3(GicV3),
}

#[cfg(target_arch = "aarch64")]
impl Gic {
    /// The controller at `window` + its physical addresses. Touches no hardware.
    ///
    /// # Safety
    /// For as long as the value lives, the registers that `info` names are mapped there as device memory, and nothing
    /// else writes them.
    pub unsafe fn new(info: &board::Gic, window: usize) -> Gic {
        match info.version {
            // SAFETY: the caller's promise.
            2 => Gic::V2(unsafe { GicV2::new(info, window) }),
            // SAFETY: the caller's promise.
            _ => Gic::V3(unsafe { GicV3::new(info, window) }),
        }
    }

    /// Sets up what all cores share: every shared line masked, level-sensitive, sent to the calling core; forwarding
    /// on. Once, on the boot core, before any `init_cpu`. Returns the highest interrupt number.
    pub fn init_distributor(&self) -> u32 {
        match self {
            Gic::V2(gic) => gic.init_distributor(),
            Gic::V3(gic) => gic.init_distributor(),
        }
    }

    /// Sets up the calling core, after `init_distributor`: its private lines masked (SGIs too, where the hardware can),
    /// nothing pending, signalling on. `core` is its logical index, `mpidr` the affinity bits of its MPIDR_EL1.
    ///
    /// # Panics
    /// If the board description has no redistributor for this core, or `core` is 64 or more.
    pub fn init_cpu(&self, core: usize, mpidr: u64) {
        match self {
            Gic::V2(gic) => gic.init_cpu(core),
            Gic::V3(gic) => gic.init_cpu(core, mpidr),
        }
    }

    /// Takes the pending interrupt of the calling core.
    pub fn acknowledge(&self) -> Ack {
        match self {
            Gic::V2(gic) => gic.acknowledge(),
            Gic::V3(gic) => gic.acknowledge(),
        }
    }

    /// Ends an interrupt that the calling core acknowledged; `raw` comes from its `Ack`.
    pub fn end(&self, raw: u32) {
        match self {
            Gic::V2(gic) => gic.end(raw),
            Gic::V3(gic) => gic.end(raw),
        }
    }

    /// Stops forwarding a line. For private lines `core` says whose: on GICv2 it must be the calling core.
    pub fn mask(&self, core: usize, intid: u32) {
        match self {
            Gic::V2(gic) => gic.mask(intid),
            Gic::V3(gic) => gic.mask(core, intid),
        }
    }

    /// Starts forwarding a line. For private lines `core` says whose: on GICv2 it must be the calling core.
    pub fn unmask(&self, core: usize, intid: u32) {
        match self {
            Gic::V2(gic) => gic.unmask(intid),
            Gic::V3(gic) => gic.unmask(core, intid),
        }
    }

    /// Makes a line edge-triggered or level-sensitive; SGIs are left alone. For private lines: the calling core's.
    /// The line should be masked. The caller serialises: one register holds sixteen lines.
    pub fn set_trigger(&self, intid: u32, edge: bool) {
        match self {
            Gic::V2(gic) => gic.set_trigger(intid, edge),
            Gic::V3(gic) => gic.set_trigger(intid, edge),
        }
    }

    /// Sends a shared line to a core that has done its `init_cpu`. The caller serialises.
    pub fn route(&self, intid: u32, core: usize) {
        match self {
            Gic::V2(gic) => gic.route(intid, core),
            Gic::V3(gic) => gic.route(intid, core),
        }
    }

    /// Sends software-generated interrupt `sgi` (0..16) to a core that has done its `init_cpu`. What the caller wrote
    /// before is visible to that core when it takes the interrupt.
    pub fn send_sgi(&self, sgi: u32, core: usize) {
        match self {
            Gic::V2(gic) => gic.send_sgi(sgi, core),
            Gic::V3(gic) => gic.send_sgi(sgi, core),
        }
    }

    /// The highest interrupt number.
    pub fn max_intid(&self) -> u32 {
        match self {
            Gic::V2(gic) => gic.max_intid(),
            Gic::V3(gic) => gic.max_intid(),
        }
    }
}

/// Orders this core's earlier writes before a following interrupt message to another core.
fn publish_before_message() {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a barrier has no other effect.
    unsafe {
        core::arch::asm!("dsb ishst", options(nostack, preserves_flags));
    }
}

/// Waits until this core's earlier system register or device write has taken effect on it.
fn synchronise() {
    #[cfg(target_arch = "aarch64")]
    // SAFETY: a barrier has no other effect.
    unsafe {
        core::arch::asm!("isb", options(nostack, preserves_flags));
    }
}
