//! Mutual exclusion between the threads of one program.
//!
//! A wait must not spin for long: a thread that spins at a higher priority than the holder, on the holder's core,
//! never lets the holder run, and `seL4_Yield` would throw away what is left of a thread's budget without helping. So
//! a waiter blocks on a notification, which only the holder signals when it lets go: every signal hands the lock to
//! one waiter, the highest priority first.
//!
//! The lock is a counter of the holder and the waiters. A waiter that is destroyed leaves its count behind; the
//! signal meant for it stays in the notification and passes the lock to the next one that asks, so exclusion holds. A
//! thread destroyed while it *holds* a lock leaves it locked.

use core::cell::UnsafeCell;
use core::ops::{Deref, DerefMut};
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use crate::arch;
use crate::cap::{Cap, Notification};
use crate::syscall;

/// How often a taken lock is looked at again before its waiter blocks: enough for a holder on another core to finish
/// something short.
const TRIES_BEFORE_BLOCKING: usize = 64;

/// A lock without data.
pub struct RawLock {
    /// The holder and those that wait for it.
    count: AtomicU64,
    /// The thread pointer of the holder, 0 for none.
    owner: AtomicUsize,
    /// The notification to wait on; 0 while there is none.
    notification: AtomicU64,
}

impl RawLock {
    /// A free lock. Without a notification ([`RawLock::set_notification`]) waiters yield in turn, which is only good
    /// for threads of one priority or on different cores.
    pub const fn new() -> Self {
        Self {
            count: AtomicU64::new(0),
            owner: AtomicUsize::new(0),
            notification: AtomicU64::new(0),
        }
    }

    /// Gives waiters a notification to block on. Nobody else may use it, and it must not be bound to a thread. To be
    /// called while no second thread uses the lock.
    pub fn set_notification(&self, notification: Cap<Notification>) {
        self.notification
            .store(notification.bits(), Ordering::Release);
    }

    /// Takes the lock if it is free.
    pub fn try_lock(&self) -> bool {
        // Acquire: pairs with the release of `unlock`, so that what the last holder wrote is seen.
        let taken = self
            .count
            .compare_exchange(0, 1, Ordering::Acquire, Ordering::Relaxed)
            .is_ok();
        if taken {
            self.owner.store(arch::thread_pointer(), Ordering::Relaxed);
        }
        taken
    }

    /// Takes the lock, waiting for it as long as it takes.
    pub fn lock(&self) {
        for _ in 0..TRIES_BEFORE_BLOCKING {
            if self.try_lock() {
                return;
            }
            arch::relax();
        }
        match self.notification.load(Ordering::Acquire) {
            0 => {
                while !self.try_lock() {
                    syscall::yield_now();
                }
            }
            notification => {
                // Acquire, as in `try_lock`. With a holder before us the signal that ends the wait orders instead.
                if self.count.fetch_add(1, Ordering::Acquire) != 0 {
                    syscall::wait(notification);
                    core::sync::atomic::fence(Ordering::Acquire);
                }
                self.owner.store(arch::thread_pointer(), Ordering::Relaxed);
            }
        }
    }

    /// Whether the running thread holds the lock. (Threads without a block are never recognised.)
    pub fn is_held_by_this_thread(&self) -> bool {
        let this = arch::thread_pointer();
        this != 0 && self.owner.load(Ordering::Relaxed) == this
    }

    /// Lets the lock go. Only its holder may call this.
    pub fn unlock(&self) {
        self.owner.store(0, Ordering::Relaxed);
        // Release: what was written under the lock is seen by the next holder.
        if self.count.fetch_sub(1, Ordering::Release) > 1 {
            syscall::signal(self.notification.load(Ordering::Relaxed));
        }
    }
}

impl Default for RawLock {
    fn default() -> Self {
        Self::new()
    }
}

/// Gives the library's own locks, of the console and of the heap, a notification each for their waiters
/// ([`RawLock::set_notification`]). To be called before there is a second thread; `System::new` does.
pub fn set_library_notifications(console: Cap<Notification>, heap: Cap<Notification>) {
    crate::console::raw_lock().set_notification(console);
    crate::heap::HEAP.raw_lock().set_notification(heap);
}

/// Does something while no other thread is inside the console or the heap, so that one which is stopped by it leaves
/// neither locked. Waiters may be stopped at any point: a lock whose waiter went away still works (see above).
pub(crate) fn outside_library<R>(work: impl FnOnce() -> R) -> R {
    // In the order in which a line that is being printed takes them. This thread may be printing.
    let console = crate::console::raw_lock();
    let printing = console.is_held_by_this_thread();
    if !printing {
        console.lock();
    }
    let heap = crate::heap::HEAP.raw_lock();
    heap.lock();
    let result = work();
    heap.unlock();
    if !printing {
        console.unlock();
    }
    result
}

/// Data that one thread at a time may use.
pub struct Mutex<T> {
    lock: RawLock,
    value: UnsafeCell<T>,
}

// SAFETY: the value is only reached through a guard, of which there is one at a time.
unsafe impl<T: Send> Sync for Mutex<T> {}

impl<T> Mutex<T> {
    /// A free mutex. See [`RawLock::set_notification`] for what its waiters need.
    pub const fn new(value: T) -> Self {
        Self {
            lock: RawLock::new(),
            value: UnsafeCell::new(value),
        }
    }

    /// The lock of this mutex.
    pub const fn raw(&self) -> &RawLock {
        &self.lock
    }

    /// Waits for the value.
    pub fn lock(&self) -> MutexGuard<'_, T> {
        self.lock.lock();
        MutexGuard { mutex: self }
    }

    /// The value, if nobody uses it.
    pub fn try_lock(&self) -> Option<MutexGuard<'_, T>> {
        self.lock.try_lock().then(|| MutexGuard { mutex: self })
    }
}

/// The right to use a mutex's value; gone when dropped.
pub struct MutexGuard<'a, T> {
    mutex: &'a Mutex<T>,
}

impl<T> Deref for MutexGuard<'_, T> {
    type Target = T;

    fn deref(&self) -> &T {
        // SAFETY: this guard is the only one, made by whoever took the lock.
        unsafe { &*self.mutex.value.get() }
    }
}

impl<T> DerefMut for MutexGuard<'_, T> {
    fn deref_mut(&mut self) -> &mut T {
        // SAFETY: this guard is the only one, made by whoever took the lock, and it is borrowed mutably.
        unsafe { &mut *self.mutex.value.get() }
    }
}

impl<T> Drop for MutexGuard<'_, T> {
    fn drop(&mut self) {
        self.mutex.lock.unlock();
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::sync::Arc;

    use super::Mutex;

    #[test]
    fn a_taken_mutex_is_not_taken_again() {
        let mutex = Mutex::new(1);
        let guard = mutex.lock();
        assert!(mutex.try_lock().is_none());
        drop(guard);
        *mutex.try_lock().unwrap() += 1;
        assert_eq!(*mutex.lock(), 2);
    }

    #[test]
    fn unlocking_with_a_waiter_signals_the_notification() {
        use crate::arch::with_kernel;
        let mutex = Arc::new(Mutex::new(()));
        mutex
            .raw()
            .set_notification(crate::cap::Notification::at(9));
        let guard = mutex.lock();
        let holder = std::cell::Cell::new(Some(()));
        let calls = std::rc::Rc::new(std::cell::RefCell::new(std::vec::Vec::new()));
        let log = calls.clone();
        let kernel = move |number: i64, input: crate::arch::Registers, _, _| {
            log.borrow_mut().push((number, input.x0));
            input
        };
        // The wait returns at once here, as if the holder had let go meanwhile.
        with_kernel(kernel, || {
            mutex.raw().lock();
            holder.set(None);
            mutex.raw().unlock();
            drop(guard);
        });
        assert_eq!(*calls.borrow(), [(-9, 9), (-5, 9)]);
    }
}
