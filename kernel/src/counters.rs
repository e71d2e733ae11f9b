//! What the benchmark counts beside instructions, for builds with `BENCH_COUNTERS`: doorbells, waits for locks, entries
//! that hold all locks. Others pay nothing: every function here is empty for them.
//!
//! The counts are of all cores together, since the last [`reset`]. They are relaxed atomics, because a core that waits
//! for a lock counts that without holding one. How long locks are held is [`crate::masked`]'s business.

use core::sync::atomic::{AtomicU64, Ordering};

use crate::config::BENCH_COUNTERS;

static DOORBELLS: AtomicU64 = AtomicU64::new(0);
static LOCK_WAITS: AtomicU64 = AtomicU64::new(0);
static ENTRIES_ALL: AtomicU64 = AtomicU64::new(0);

/// The counts since the last [`reset`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counts {
    /// Interrupts that the kernel sent to other cores. Those that programs ask for are not in it.
    pub doorbells: u64,
    /// Acquisitions of a core lock or the stop lock that did not succeed at once.
    pub lock_waits: u64,
    /// Kernel entries that held the locks of all cores at some time, where there are several; those of idle cores
    /// included, those that ask for counts not.
    pub entries_all: u64,
}

/// The kernel sends an interrupt to another core.
#[inline(always)]
pub fn doorbell() {
    count(&DOORBELLS);
}

/// A lock is held by somebody else.
#[inline(always)]
pub fn lock_wait() {
    count(&LOCK_WAITS);
}

/// An entry has taken all locks, for the first time.
#[inline(always)]
pub fn entry_all() {
    count(&ENTRIES_ALL);
}

/// What has been counted.
pub fn read() -> Counts {
    Counts {
        doorbells: DOORBELLS.load(Ordering::Relaxed),
        lock_waits: LOCK_WAITS.load(Ordering::Relaxed),
        entries_all: ENTRIES_ALL.load(Ordering::Relaxed),
    }
}

/// Counts anew. The entry that is under way is not counted any more.
pub fn reset() {
    for counter in [&DOORBELLS, &LOCK_WAITS, &ENTRIES_ALL] {
        counter.store(0, Ordering::Relaxed);
    }
}

#[inline(always)]
fn count(counter: &AtomicU64) {
    if BENCH_COUNTERS {
        counter.fetch_add(1, Ordering::Relaxed);
    }
}
