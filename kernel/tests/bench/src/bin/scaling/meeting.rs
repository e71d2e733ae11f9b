//! Where the threads of all cores wait for each other, without the kernel's help: that would be in the counts.

use core::arch::asm;
use core::sync::atomic::{AtomicUsize, Ordering};

/// Who is there.
static ARRIVED: AtomicUsize = AtomicUsize::new(0);
/// How often all have met.
static MEETINGS: AtomicUsize = AtomicUsize::new(0);

/// Waits until so many threads are here. The last one does something before all go on.
pub(crate) fn meet(threads: usize, last: impl FnOnce()) {
    let meeting = MEETINGS.load(Ordering::Acquire);
    if ARRIVED.fetch_add(1, Ordering::AcqRel) + 1 == threads {
        ARRIVED.store(0, Ordering::Relaxed);
        last();
        MEETINGS.store(meeting + 1, Ordering::Release);
        // SAFETY: wakes those who sleep.
        unsafe { asm!("dsb ishst", "sev", options(nostack)) };
        return;
    }
    while MEETINGS.load(Ordering::Acquire) == meeting {
        // SAFETY: sleeps until an event. Emulated cores that run in turn let the next one run.
        unsafe { asm!("wfe", options(nostack)) };
    }
}
