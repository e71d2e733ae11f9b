//! The core locks and the stop lock: FIFO ticket locks whose waiters sleep until an event.
//!
//! Order: acquire on entry, release on exit, nothing stronger; the data that a lock guards is plain. Taking a ticket
//! needs no order of its own, because only the later acquire reads anything.

use crate::{
    arch,
    config::BENCH_COUNTERS,
    counters,
    sync::{AtomicU32, Ordering},
};

/// The largest exclusive-reservation granule (CTR_EL0.ERG) that an implementation may have. Locks are padded to it,
/// so that no store to neighbouring data breaks the reservation of a core that takes a ticket.
pub const RESERVATION_GRANULE: usize = 2048;

/// A FIFO lock.
#[repr(C, align(2048))]
pub struct TicketLock {
    next: AtomicU32,
    serving: AtomicU32,
}

const _: () = assert!(align_of::<TicketLock>() == RESERVATION_GRANULE);
const _: () = assert!(size_of::<TicketLock>() == RESERVATION_GRANULE);

impl TicketLock {
    #[allow(clippy::new_without_default, reason = "locks are made in statics")]
    pub const fn new() -> Self {
        Self {
            next: AtomicU32::new(0),
            serving: AtomicU32::new(0),
        }
    }

    pub fn acquire(&self) {
        let ticket = self.enqueue();
        if BENCH_COUNTERS && !self.is_served(ticket) {
            counters::lock_wait();
        }
        arch::wait_until_equal(&self.serving, ticket);
    }

    /// Takes the lock if nobody has it or waits for it. The load acquires: it pairs with the release of the last holder,
    /// who never writes the other word.
    pub fn try_acquire(&self) -> bool {
        let serving = self.serving.load(Ordering::Acquire);
        self.next
            .compare_exchange(
                serving,
                serving.wrapping_add(1),
                Ordering::Relaxed,
                Ordering::Relaxed,
            )
            .is_ok()
    }

    /// Takes a place in the queue. The lock is held once [`TicketLock::is_served`] says so.
    pub fn enqueue(&self) -> u32 {
        self.next.fetch_add(1, Ordering::Relaxed)
    }

    /// Acquire: pairs with the release of the previous holder.
    pub fn is_served(&self, ticket: u32) -> bool {
        self.serving.load(Ordering::Acquire) == ticket
    }

    /// The caller holds the lock. The store wakes waiters: it clears the reservation they sleep on.
    pub fn release(&self) {
        let next = self.serving.load(Ordering::Relaxed).wrapping_add(1);
        self.serving.store(next, Ordering::Release);
    }

    /// Whether somebody holds it. For checks on the development machine.
    #[cfg(not(target_os = "none"))]
    pub fn is_held(&self) -> bool {
        self.next.load(Ordering::Relaxed) != self.serving.load(Ordering::Relaxed)
    }

    /// The ticket that comes next, and the one that is served. For checks on the development machine.
    #[cfg(not(target_os = "none"))]
    pub fn tickets(&self) -> (u32, u32) {
        let next = self.next.load(Ordering::Relaxed);
        (next, self.serving.load(Ordering::Relaxed))
    }

    /// Whether somebody waits behind the holder. A hint.
    pub fn has_waiter(&self) -> bool {
        let holder = self.serving.load(Ordering::Relaxed);
        self.next.load(Ordering::Relaxed).wrapping_sub(holder) > 1
    }
}
