//! A thread that counts, and can be asked to prove that it does.
//!
//! The first thread must not wait for it by spinning: it has the highest priority, and on its own core nothing else would
//! ever run. So it asks for so many more counts and blocks on a notification; the counting thread signals when it has got
//! there, and leaves the core on which the kernel says it is.

use alloc::sync::Arc;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use libsel4::{Cap, Message, Notification, ResourceError, System, debug, syscall, thread_block};

/// How far to count for one proof: some ten thousand instructions.
const STRIDE: u64 = 5_000;

/// What the counting thread and whoever asks share.
struct Shared {
    count: AtomicU64,
    /// The count to report at; 0 for none.
    target: AtomicU64,
    /// The core it said it was on, when it last reported.
    core: AtomicU64,
    stop: AtomicBool,
}

/// A counter; clones are the same one.
#[derive(Clone)]
pub(crate) struct Counter {
    shared: Arc<Shared>,
    /// Signalled at the target.
    reached: Cap<Notification>,
}

impl Counter {
    pub(crate) fn new(system: &mut System) -> Result<Self, ResourceError> {
        let shared = Shared {
            count: AtomicU64::new(0),
            target: AtomicU64::new(0),
            core: AtomicU64::new(u64::MAX),
            stop: AtomicBool::new(false),
        };
        Ok(Self {
            shared: Arc::new(shared),
            reached: system.notification()?,
        })
    }

    /// In the counting thread: counts until it is told to stop.
    pub(crate) fn run(&self) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            self.count_once();
        }
    }

    /// In the counting thread: counts some, then reports and waits at the gate, until it is told to stop.
    ///
    /// Report and wait are one system call, `seL4_NBSendWait`: whoever sees the report finds the thread blocked.
    pub(crate) fn run_gated(&self, gate: Cap<Notification>) {
        while !self.shared.stop.load(Ordering::Relaxed) {
            for _ in 0..STRIDE {
                self.shared.count.fetch_add(1, Ordering::Relaxed);
            }
            self.note_core();
            syscall::nb_send_wait(self.reached.bits(), Message::new(0), gate.bits());
        }
    }

    fn count_once(&self) {
        let count = self.shared.count.fetch_add(1, Ordering::Relaxed) + 1;
        let target = self.shared.target.load(Ordering::Acquire);
        if target != 0 && count >= target {
            self.shared.target.store(0, Ordering::Relaxed);
            self.note_core();
            self.reached.signal();
        }
    }

    /// Leaves the core that the kernel says the calling thread is on. Release, for whoever gets the signal that follows.
    fn note_core(&self) {
        let core = own_core().map_or(u64::MAX, |core| core as u64);
        self.shared.core.store(core, Ordering::Release);
    }

    /// Waits for the report: the core on which the thread says that the kernel says it is.
    pub(crate) fn await_report(&self) -> Option<usize> {
        self.reached.wait();
        match self.shared.core.load(Ordering::Acquire) {
            u64::MAX => None,
            core => Some(core as usize),
        }
    }

    /// Asks and waits: returns only if the thread runs.
    pub(crate) fn prove_running(&self) -> Option<usize> {
        let target = self.shared.count.load(Ordering::Relaxed) + STRIDE;
        self.shared.target.store(target, Ordering::Release);
        self.await_report()
    }

    /// Tells the thread to return.
    pub(crate) fn stop(&self) {
        self.shared.stop.store(true, Ordering::Relaxed);
    }

    /// Gives back what it is made of. The thread must have returned.
    pub(crate) fn destroy(self, system: &mut System) -> Result<(), ResourceError> {
        system.destroy(self.reached)
    }
}

/// The core that the calling thread is on, as the kernel has it.
pub(crate) fn own_core() -> Option<usize> {
    debug::thread_affinity(thread_block::current()?.tcb())
}
