//! Addresses, translation roots and TLB maintenance.
//!
//! Physical memory is reached through one window; the kernel image is outside it. Tables are written elsewhere
//! (`vspace.rs`); here are the barriers and the broadcast invalidations that go with that. The caller batches: it
//! writes, calls [`table_barrier`], invalidates any number of times, and ends with [`invalidation_barrier`].

use core::{
    arch::asm,
    sync::atomic::{AtomicU64, Ordering},
};

use aarch64_cpu::registers::{ID_AA64MMFR0_EL1, Readable};
use tern_platform::handover::WINDOW_BASE;

use crate::{cap::Asid, object::ENTRIES, types::PhysAddr};

/// The kernel virtual address of a physical one. Only RAM outside the kernel image, and the devices that the kernel
/// drives, are mapped there.
pub const fn to_virtual(address: PhysAddr) -> usize {
    (WINDOW_BASE + address.0) as usize
}

/// The physical address of an object in the window.
pub const fn to_physical(address: usize) -> PhysAddr {
    PhysAddr((address as u64).wrapping_sub(WINDOW_BASE))
}

/// A translation table with nothing in it: what is loaded while no user thread runs.
/// Atomics only so that it is put with the zeroed data, which takes no room in the image; nobody writes it.
#[repr(C, align(4096))]
pub(super) struct EmptyTable([AtomicU64; ENTRIES]);

pub(super) static EMPTY_TABLE: EmptyTable = EmptyTable([const { AtomicU64::new(0) }; ENTRIES]);
/// Its physical address; `start.s` finds it out.
pub(super) static EMPTY_ROOT: AtomicU64 = AtomicU64::new(0);

/// What TTBR0_EL1 holds: a table and an ASID. Zero stands for the empty table and ASID 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserRoot(u64);

impl UserRoot {
    pub const EMPTY: Self = Self(0);

    pub fn new(root: PhysAddr, asid: Asid) -> Self {
        Self(root.0 | u64::from(asid.number()) << 48)
    }

    pub fn asid(self) -> Option<Asid> {
        Asid::new((self.0 >> 48) as u16)
    }
}

/// User addresses mean what this root says, from now on.
pub fn load_user_root(root: UserRoot) {
    let value = match root {
        UserRoot::EMPTY => EMPTY_ROOT.load(Ordering::Relaxed),
        UserRoot(value) => value,
    };
    // SAFETY: the kernel runs in the other half of the address space; a root in use is not freed before every core
    // has left it.
    unsafe { asm!("msr ttbr0_el1, {}", "isb", in(reg) value, options(nostack, preserves_flags)) };
}

/// Page-table writes so far are seen by the table walkers of all cores.
pub fn table_barrier() {
    // SAFETY: a barrier.
    unsafe { asm!("dsb ishst", "isb", options(nostack, preserves_flags)) };
}

/// Invalidations so far have taken effect on all cores, and what used the old translations is done.
pub fn invalidation_barrier() {
    // SAFETY: a barrier.
    unsafe { asm!("dsb ish", "isb", options(nostack, preserves_flags)) };
}

/// Forgets the translation of one page on all cores. `last_level` says that no table on the way to it changed.
pub fn invalidate_page(asid: Asid, vaddr: u64, last_level: bool) {
    let operand = u64::from(asid.number()) << 48 | vaddr >> 12 & 0xfff_ffff_ffff;
    if last_level {
        // SAFETY: forgetting translations has no effect but time; they are read again from the tables.
        unsafe { asm!("tlbi vale1is, {}", in(reg) operand, options(nostack, preserves_flags)) };
    } else {
        // SAFETY: as above.
        unsafe { asm!("tlbi vae1is, {}", in(reg) operand, options(nostack, preserves_flags)) };
    }
}

/// Forgets all translations of an address space on all cores.
pub fn invalidate_asid(asid: Asid) {
    let operand = u64::from(asid.number()) << 48;
    // SAFETY: forgetting translations has no effect but time; they are read again from the tables.
    unsafe { asm!("tlbi aside1is, {}", in(reg) operand, options(nostack, preserves_flags)) };
}

/// Bits of a physical address, as far as this kernel uses them: up to 44.
pub fn physical_address_bits() -> u32 {
    match ID_AA64MMFR0_EL1.get() & 0xf {
        0 => 32,
        1 => 36,
        2 => 40,
        3 => 42,
        _ => 44,
    }
}

/// Bits of an address-space identifier. The interface hands out 16.
pub fn asid_bits() -> u32 {
    if ID_AA64MMFR0_EL1.get() >> 4 & 0xf == 2 {
        16
    } else {
        8
    }
}
