//! Threads that are released once in each period, and judge themselves whether they ran in each.

extern crate alloc;

use alloc::boxed::Box;
use core::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use core::time::Duration;

use libsel4::{Budget, System, Thread, ThreadBuilder, syscall, time};

/// What a thread has seen of its releases. Times are in ticks of the counter.
pub struct Periodic {
    thread: Thread<()>,
    seen: &'static Seen,
    period: u64,
}

struct Seen {
    /// Counts from the next release on.
    restart: AtomicBool,
    stop: AtomicBool,
    runs: AtomicU64,
    first: AtomicU64,
    last: AtomicU64,
    /// How much later than the period says, counted from the first run: the least and the most.
    least: AtomicI64,
    most: AtomicI64,
}

/// How a thread kept its releases.
#[derive(Clone, Copy, Debug)]
pub struct Kept {
    pub runs: u64,
    /// Periods that began from the first run to the last one.
    pub releases: u64,
    /// How much later than in its best case the thread ran in its worst one.
    pub late: u64,
}

impl Periodic {
    /// Starts one above all other threads, with a tenth of each period.
    ///
    /// Its scheduling context is a sporadic one: then each release comes exactly one period after the one before,
    /// however late the thread ran.
    pub fn start(system: &mut System, core: usize, period: Duration) -> Self {
        let micros = period.as_micros() as u64;
        let ticks = super::sched::ticks(micros);
        let seen: &'static Seen = Box::leak(Box::new(Seen {
            restart: AtomicBool::new(true),
            stop: AtomicBool::new(false),
            runs: AtomicU64::new(0),
            first: AtomicU64::new(0),
            last: AtomicU64::new(0),
            least: AtomicI64::new(0),
            most: AtomicI64::new(0),
        }));
        let thread = ThreadBuilder::new("periodic")
            .core(core)
            .priority(254)
            .budget(Budget::periodic(period / 10, period))
            .spawn(system, move || seen.body(ticks))
            .expect("a thread");
        let sc = thread.sched().expect("a scheduling context").cap();
        let control = system.boot().sched_control(core);
        control
            .configure_flags(sc, micros / 10, micros, 2, 0, true)
            .expect("a sporadic budget");
        Self {
            thread,
            seen,
            period: ticks,
        }
    }

    /// Counts anew from the next release on.
    pub fn restart(&self) {
        self.seen.restart.store(true, Ordering::Release);
    }

    /// How many runs have been counted.
    pub fn runs(&self) -> u64 {
        self.seen.runs.load(Ordering::Acquire)
    }

    /// How it has kept its releases so far.
    pub fn kept(&self) -> Kept {
        let read = |word: &AtomicI64| word.load(Ordering::Relaxed);
        let runs = self.runs();
        let passed =
            self.seen.last.load(Ordering::Relaxed) - self.seen.first.load(Ordering::Relaxed);
        let (least, most) = (read(&self.seen.least), read(&self.seen.most));
        // The first run was as late as the earliest one after it was early.
        let offset = least.unsigned_abs();
        Kept {
            runs,
            releases: (passed + offset) / self.period + 1,
            late: (most - least) as u64,
        }
    }

    /// Ends the thread.
    pub fn end(self, system: &mut System) {
        self.seen.stop.store(true, Ordering::Release);
        self.thread.join(system).expect("joined");
    }

    /// Its period.
    pub fn period(&self) -> u64 {
        self.period
    }
}

impl Seen {
    fn body(&self, period: u64) {
        let mut expected = 0;
        while !self.stop.load(Ordering::Acquire) {
            let now = time::counter();
            if self.restart.swap(false, Ordering::AcqRel) {
                expected = now;
                self.first.store(now, Ordering::Relaxed);
                self.least.store(0, Ordering::Relaxed);
                self.most.store(0, Ordering::Relaxed);
                self.runs.store(0, Ordering::Relaxed);
            }
            let late = now.wrapping_sub(expected) as i64;
            self.least.fetch_min(late, Ordering::Relaxed);
            self.most.fetch_max(late, Ordering::Relaxed);
            self.last.store(now, Ordering::Relaxed);
            self.runs.fetch_add(1, Ordering::Release);
            expected += period;
            syscall::yield_now();
        }
    }
}
