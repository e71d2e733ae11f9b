//! Counters that user level can read, where the kernel exports them.
//!
//! `cargo xtask run` and `test` build the kernel with these exported (`EXPORT_VCNT_USER`, `EXPORT_PMU_USER`). Where
//! it does not, reading one is a user exception of the calling thread; [`crate::thread::run_guarded`] finds out without
//! dying.

use core::time::Duration;

use crate::arch;

/// CNTVCT_EL0: the virtual counter, the same on all cores.
#[inline(always)]
pub fn counter() -> u64 {
    arch::read_counter()
}

/// CNTFRQ_EL0: ticks of the virtual counter in a second.
pub fn counter_frequency() -> u64 {
    arch::read_counter_frequency()
}

/// Ticks of the virtual counter as time.
pub fn ticks_to_duration(ticks: u64) -> Duration {
    let nanos = u128::from(ticks) * 1_000_000_000 / u128::from(counter_frequency().max(1));
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// PMCCNTR_EL0: the core's cycle counter. Under QEMU with `-icount shift=0` it counts the instructions of all cores
/// together; without, it is host time in nanoseconds.
#[inline(always)]
pub fn cycle_counter() -> u64 {
    arch::read_cycle_counter()
}

/// Whether the performance monitor can count instructions. QEMU offers that only under `-icount`, where time itself
/// is a count of instructions, so on QEMU this tells whether runs are repeatable and free of the host's load.
pub fn counts_instructions() -> bool {
    const INST_RETIRED: u64 = 1 << 8;
    arch::event_counter_ids() & INST_RETIRED != 0
}
