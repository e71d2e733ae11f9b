//! Waiting, time, and the doorbell to other cores.

use core::{
    arch::asm,
    sync::atomic::{AtomicU32, Ordering},
};

use aarch64_cpu::registers::{CNTFRQ_EL0, Readable};

use super::super::DOORBELL;
use crate::{machine::machine, types::CoreId};

/// Waits until the word holds `value`. Acquire. The core sleeps in between: the load sets its exclusive monitor, and
/// another core's store to the word clears it, which is an event.
pub fn wait_until_equal(word: &AtomicU32, value: u32) {
    if word.load(Ordering::Acquire) == value {
        return;
    }
    // SAFETY: reads one atomic word.
    unsafe {
        asm!(
            "   sevl",
            "2: wfe",
            "   ldaxr   {current:w}, [{word}]",
            "   cmp     {current:w}, {value:w}",
            "   b.ne    2b",
            "   clrex",
            word = in(reg) word.as_ptr(),
            value = in(reg) value,
            current = out(reg) _,
            options(nostack),
        );
    }
}

/// Sleeps until an event: [`send_event`], or a store to a word on which this core's monitor is set. May return early.
pub fn wait_for_event() {
    // SAFETY: sleeps.
    unsafe { asm!("wfe", options(nostack, preserves_flags)) };
}

/// Wakes all cores that wait for an event. What was written before is visible to them.
pub fn send_event() {
    // SAFETY: a barrier and an event.
    unsafe { asm!("dsb ishst", "sev", options(nostack, preserves_flags)) };
}

/// Sleeps until an interrupt is pending, masked or not. A timer that was set before has been set by then.
pub fn wait_for_interrupt() {
    // SAFETY: sleeps. Arm asks for the barrier before it.
    unsafe { asm!("isb", "dsb sy", "wfi", options(nostack, preserves_flags)) };
}

/// Memory accesses and cache maintenance of this core so far are complete for all cores.
pub fn completion_barrier() {
    // SAFETY: a barrier.
    unsafe { asm!("dsb ish", options(nostack, preserves_flags)) };
}

/// Accesses to devices so far have arrived there.
pub fn device_barrier() {
    // SAFETY: a barrier.
    unsafe { asm!("dsb sy", options(nostack, preserves_flags)) };
}

/// Whether an interrupt waits for this core.
pub fn interrupt_pending() -> bool {
    const IRQ: u64 = 1 << 7;
    let status: u64;
    // SAFETY: reads a status register.
    unsafe { asm!("mrs {}, isr_el1", out(reg) status, options(nostack, preserves_flags)) };
    status & IRQ != 0
}

/// The system counter, read after everything before it: what a lock made visible cannot be newer.
pub fn counter() -> u64 {
    let now;
    // SAFETY: reads a counter.
    unsafe { asm!("isb", "mrs {}, cntvct_el0", out(reg) now, options(nostack, preserves_flags)) };
    now
}

/// Cycles of this core, or ticks of the system counter where there is no performance monitor. For measurements.
pub fn cycles() -> u64 {
    if !super::registers::has_performance_monitor() {
        return counter();
    }
    let now;
    // SAFETY: reads a counter that `registers` started.
    unsafe { asm!("isb", "mrs {}, pmccntr_el0", out(reg) now, options(nostack, preserves_flags)) };
    now
}

/// Counter ticks in a second.
pub fn counter_frequency() -> u64 {
    CNTFRQ_EL0.get()
}

/// This core's timer interrupt is pending from `deadline` on.
pub fn set_timer(deadline: u64) {
    // SAFETY: the virtual timer is the kernel's. Takes effect at the latest with the return to user level.
    unsafe { asm!("msr cntv_cval_el0, {}", in(reg) deadline, options(nostack, preserves_flags)) };
}

/// Where other cores' work may fall between this core's: here it does so by itself.
#[inline(always)]
pub fn interleave() {}

/// Here what this core has changed becomes everybody's: for checks, which happen on the development machine.
#[inline(always)]
pub fn publish() {}

/// Makes another core enter the kernel. What was written before is visible to it then.
pub fn ring(core: CoreId) {
    machine().gic.send_sgi(DOORBELL, core.index());
}

#[cfg(not(feature = "semihosting"))]
pub(super) fn sleep_for_ever() -> ! {
    loop {
        wait_for_interrupt();
    }
}
