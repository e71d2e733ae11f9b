//! Samples, and the lines that say what came of them.
//!
//! The same program runs on two kernels. On an ordinary one the figures are instructions. On one with `BENCH_COUNTERS`
//! those would be falsified by the counting; there the figures are what the kernel has counted between [`open`], right
//! before the measured operation, and [`close`], right after it: each is one system call, so they may be in different
//! threads.

use alloc::vec::Vec;
use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use libsel4::abi::debug_syscall::{BENCHMARK_COUNTERS, BENCHMARK_MODES, BENCHMARK_RESET_LOG};
use libsel4::println;

use crate::stamp;

/// The one figure to measure, for a profile: see `xtask/src/bench/profile.rs`.
const ONLY: Option<&str> = option_env!("TERN_BENCH_ONLY");

/// Samples of each figure.
pub const SAMPLES: usize = if ONLY.is_some() { 8 } else { 128 };
/// What comes before and is left out.
pub const WARM_UP: usize = if ONLY.is_some() { 4 } else { 16 };
/// Operations of a sample where they can be repeated without something in between: so the loop is in the figure.
pub const BATCH: u64 = if ONLY.is_some() { 1 } else { 10 };

/// Whether one of these figures is wanted.
pub fn wants(names: &[&str]) -> bool {
    ONLY.is_none_or(|only| names.contains(&only))
}

static COUNTING: AtomicBool = AtomicBool::new(false);
static OVERHEAD: AtomicU64 = AtomicU64::new(0);

/// To be called first, with whether this kernel has counters.
pub fn prepare(counting: bool) {
    COUNTING.store(counting, Ordering::Relaxed);
    OVERHEAD.store(stamp::overhead(), Ordering::Relaxed);
}

/// What the kernel counted in one sample.
#[derive(Clone, Copy, Debug, Default)]
pub struct Counts {
    pub sgi: u64,
    pub lock_waits: u64,
    pub all_entries: u64,
    /// The longest time that locks were held.
    pub held: u64,
}

/// The measured operation comes next.
#[inline(always)]
pub fn open() {
    if COUNTING.load(Ordering::Relaxed) {
        // SAFETY: the call changes no register.
        unsafe { asm!("svc #0", in("x7") BENCHMARK_RESET_LOG, options(nostack)) };
    }
}

/// The measured operation is over.
#[inline(always)]
pub fn close() -> Counts {
    let mut counts = Counts::default();
    if COUNTING.load(Ordering::Relaxed) {
        // SAFETY: the call changes the registers that are named.
        unsafe {
            asm!(
                "svc #0",
                out("x0") counts.sgi,
                out("x1") counts.lock_waits,
                out("x2") counts.all_entries,
                out("x3") counts.held,
                in("x7") BENCHMARK_COUNTERS,
                options(nostack),
            );
        }
    }
    counts
}

/// Prints the longest stretches since the start, by the locks that were held: with interrupts masked, and with locks.
pub fn print_modes() {
    let mut longest = [0_u64; 6];
    let [local, local_held, set, set_held, all, all_held] = &mut longest;
    // SAFETY: the call changes the registers that are named.
    unsafe {
        asm!(
            "svc #0",
            out("x0") *local,
            out("x1") *local_held,
            out("x2") *set,
            out("x3") *set_held,
            out("x4") *all,
            out("x5") *all_held,
            in("x7") BENCHMARK_MODES,
            options(nostack),
        );
    }
    for (mode, [masked, held]) in ["local", "set", "all"].iter().zip(longest.as_chunks().0) {
        println!("longest {mode} {masked} {held}");
    }
}

/// The samples of one figure.
pub struct Samples {
    taken: usize,
    instructions: Vec<u64>,
    counts: Vec<Counts>,
}

impl Samples {
    pub fn empty() -> Self {
        Self {
            taken: 0,
            instructions: Vec::with_capacity(SAMPLES),
            counts: Vec::with_capacity(SAMPLES),
        }
    }

    /// One more sample, the warm-up included: the difference of two readings.
    pub fn push(&mut self, difference: u64, counts: Counts) {
        self.taken += 1;
        if self.taken > WARM_UP {
            let overhead = OVERHEAD.load(Ordering::Relaxed);
            self.instructions.push(difference.saturating_sub(overhead));
            self.counts.push(counts);
        }
    }

    /// One more sample, of so many operations.
    pub fn push_batch(&mut self, difference: u64, counts: Counts, operations: u64) {
        let overhead = OVERHEAD.load(Ordering::Relaxed);
        let each = |sum: u64| (sum + operations / 2) / operations;
        let counts = Counts {
            sgi: counts.sgi.div_ceil(operations),
            lock_waits: counts.lock_waits.div_ceil(operations),
            all_entries: counts.all_entries.div_ceil(operations),
            held: counts.held,
        };
        self.push(each(difference - overhead) + overhead, counts);
    }

    /// The one in the middle.
    pub fn median(&self) -> u64 {
        median(self.instructions.iter().copied())
    }

    /// Prints the figure.
    pub fn print(&self, name: &str) {
        let smallest = self.instructions.iter().min().unwrap_or(&0);
        let largest = self.instructions.iter().max().unwrap_or(&0);
        let count = self.instructions.len();
        assert!(count >= SAMPLES, "{name}: {count} samples");
        println!(
            "bench {name} {} {smallest} {largest} {count}",
            self.median()
        );
        if COUNTING.load(Ordering::Relaxed) {
            let middle = |part: fn(&Counts) -> u64| median(self.counts.iter().map(part));
            println!(
                "count {name} {} {} {} {}",
                middle(|counts| counts.sgi),
                middle(|counts| counts.lock_waits),
                middle(|counts| counts.all_entries),
                self.counts.iter().map(|each| each.held).max().unwrap_or(0),
            );
        }
    }
}

fn median(values: impl Iterator<Item = u64>) -> u64 {
    let mut sorted: Vec<u64> = values.collect();
    sorted.sort_unstable();
    sorted.get(sorted.len() / 2).copied().unwrap_or(0)
}

/// Measures an operation that can be repeated at once, [`BATCH`] at a time.
pub fn repeated(name: &str, mut operation: impl FnMut()) {
    let mut samples = Samples::empty();
    for _ in 0..WARM_UP + SAMPLES {
        open();
        let before = stamp::cycles();
        for _ in 0..BATCH {
            operation();
        }
        let after = stamp::cycles();
        samples.push_batch(after - before, close(), BATCH);
    }
    samples.print(name);
}

/// One sample of an operation, its stub included.
#[inline(always)]
pub fn once(samples: &mut Samples, operation: impl FnOnce()) {
    open();
    let before = stamp::cycles();
    operation();
    let after = stamp::cycles();
    samples.push(after - before, close());
}
