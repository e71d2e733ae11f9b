//! The state of the system registers: one, documented, the same on every core and board, whatever firmware or loader
//! left. Translation control, MAIR and TTBR1 are the loader's and stay.
//!
//! | register | value | meaning |
//! |---|---|---|
//! | SCTLR_EL1 | [`CONTROL`], SPAN by CPU | MMU and caches on; no alignment checks of data; EL0 may use DC ZVA, cache maintenance, CTR_EL0, WFE, WFI, and may not touch DAIF; entry to EL1 sets PAN where the CPU has it |
//! | CPACR_EL1 | EL0 floating point traps | until a thread uses it; SVE, SME and trace always trap |
//! | CNTKCTL_EL1 | by EXPORT_* | which counters and timers EL0 may touch; no event stream |
//! | CNTV_* | enabled, far future | the kernel's timer |
//! | PMU | cycle counter runs, counts at all levels | EL0 may use it with EXPORT_PMU_USER |
//! | MDSCR_EL1 | no stepping, no breakpoints | debug communication registers trap at EL0 |
//! | CONTEXTIDR_EL1, TPIDR_EL0, TPIDRRO_EL0 | 0 | |

use core::arch::asm;

use aarch64_cpu::registers::{
    CNTKCTL_EL1, CNTV_CTL_EL0, CONTEXTIDR_EL1, ID_AA64DFR0_EL1, ID_AA64MMFR1_EL1, MDSCR_EL1,
    Readable, SCTLR_EL1, TPIDR_EL0, TPIDRRO_EL0, Writeable,
};

use super::{cpu::set_timer, fpu::allow_user_fpu};
use crate::config::{
    EXPORT_PCNT_USER, EXPORT_PMU_USER, EXPORT_PTMR_USER, EXPORT_VCNT_USER, EXPORT_VTMR_USER,
};

/// SCTLR_EL1 without SPAN. Bits that are reserved as one on some processors are set.
const CONTROL: u64 = 1 // M: MMU on
    | 1 << 2 // C: data cache on
    | 1 << 3 // SA: EL1 checks the alignment of its stack pointer; SA0 and A are off
    | 1 << 7 // ITD: nothing, without AArch32
    | 1 << 8 // SED: likewise
    | 1 << 11 // EOS: returns synchronise
    | 1 << 12 // I: instruction cache on
    | 1 << 14 // DZE: EL0 may zero memory by DC ZVA
    | 1 << 15 // UCT: EL0 may read CTR_EL0
    | 1 << 16 // nTWI: WFI at EL0 does not trap
    | 1 << 18 // nTWE: WFE at EL0 does not trap
    | 1 << 20 // TSCXT: SCXTNUM_EL0 traps
    | 1 << 22 // EIS: exceptions synchronise
    | 1 << 26 // UCI: EL0 may maintain caches by address
    | 1 << 28 // nTLSMD
    | 1 << 29; // LSMAOE
/// SPAN: exceptions leave PAN as it is. Reserved as one where there is no PAN.
const KEEP_PAN: u64 = 1 << 23;

/// Brings this core to the documented state.
pub fn start_core_hardware() {
    set_control();
    allow_user_fpu(false);
    MDSCR_EL1.set(1 << 12);
    CONTEXTIDR_EL1.set(0);
    TPIDR_EL0.set(0);
    TPIDRRO_EL0.set(0);
    CNTKCTL_EL1.set(
        u64::from(EXPORT_PCNT_USER)
            | u64::from(EXPORT_VCNT_USER) << 1
            | u64::from(EXPORT_VTMR_USER) << 8
            | u64::from(EXPORT_PTMR_USER) << 9,
    );
    set_timer(u64::MAX);
    CNTV_CTL_EL0.set(1);
    set_performance_monitor();
    // SAFETY: makes all of the above take effect.
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
}

fn set_control() {
    let has_pan = ID_AA64MMFR1_EL1.get() >> 20 & 0xf != 0;
    SCTLR_EL1.set(CONTROL | if has_pan { 0 } else { KEEP_PAN });
    // SAFETY: makes the write take effect.
    unsafe { asm!("isb", options(nostack, preserves_flags)) };
    if has_pan {
        // MSR PAN, #1, spelt out because the compiler's target does not have it.
        // SAFETY: the kernel reads and writes no memory through user mappings. (It maintains caches through them, which
        // PAN does not affect.)
        unsafe { asm!(".inst 0xd500419f", options(nostack, preserves_flags)) };
    }
}

/// Whether this core counts its cycles.
pub(super) fn has_performance_monitor() -> bool {
    let version = ID_AA64DFR0_EL1.get() >> 8 & 0xf;
    version != 0 && version != 0xf
}

fn set_performance_monitor() {
    if !has_performance_monitor() {
        return;
    }
    const CYCLES: u64 = 1 << 31;
    /// PMCR_EL0: on, both kinds of counters reset, 64-bit cycle counter.
    const CONTROL: u64 = 1 | 1 << 1 | 1 << 2 | 1 << 6;
    // SAFETY: no counter raises an interrupt.
    unsafe { asm!("msr pmintenclr_el1, {}", in(reg) u64::from(u32::MAX), options(nostack)) };
    // SAFETY: event counters are off until somebody wants one.
    unsafe { asm!("msr pmcntenclr_el0, {}", in(reg) u64::from(u32::MAX), options(nostack)) };
    // SAFETY: cycles count at EL0 and EL1.
    unsafe { asm!("msr pmccfiltr_el0, xzr", options(nostack)) };
    // SAFETY: counters only count.
    unsafe { asm!("msr pmcr_el0, {}", in(reg) CONTROL, options(nostack)) };
    // SAFETY: counters only count.
    unsafe { asm!("msr pmcntenset_el0, {}", in(reg) CYCLES, options(nostack)) };
    // SAFETY: EN lets EL0 use all of them, as the configuration says.
    unsafe { asm!("msr pmuserenr_el0, {}", in(reg) u64::from(EXPORT_PMU_USER), options(nostack)) };
}
