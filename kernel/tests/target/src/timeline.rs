//! When a thread had the processor: it reads the counter all the time and notes each gap.
//!
//! Exact where instructions are counted. In real time the host may take the processor away, which looks like a gap.

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use libsel4::time;

use crate::sched::ticks;

/// A gap in the thread's own time that is longer than this is time in which it did not run: no entry to the kernel is as
/// short.
const GAP_US: u64 = 1;

/// The times at which a thread ran: pieces of at least a gap's distance, by start and end. Room for `N` of them.
pub struct Timeline<const N: usize> {
    length: AtomicU64,
    starts: [AtomicU64; N],
    ends: [AtomicU64; N],
}

impl<const N: usize> Timeline<N> {
    /// An empty one that lives for ever.
    pub fn new() -> &'static Self {
        Box::leak(Box::new(Self {
            length: AtomicU64::new(0),
            starts: [const { AtomicU64::new(0) }; N],
            ends: [const { AtomicU64::new(0) }; N],
        }))
    }

    /// Forgets everything. Nobody records.
    pub fn clear(&self) {
        self.length.store(0, Ordering::Relaxed);
    }

    /// Notes when the thread that calls this runs, until it is full.
    pub fn record(&self) {
        self.record_while(|| true);
    }

    /// The same, as long as the condition holds, which is asked all the time and may do something short. What came
    /// before a gap is noted when it runs again.
    pub fn record_while(&self, mut condition: impl FnMut() -> bool) {
        let (mut start, mut last) = (time::counter(), time::counter());
        let mut index = self.len();
        while index < N && condition() {
            let now = time::counter();
            if now - last > ticks(GAP_US) {
                self.push(index, start, last);
                index += 1;
                start = now;
            }
            last = now;
        }
        if index < N {
            self.push(index, start, last);
        }
    }

    fn push(&self, index: usize, start: u64, end: u64) {
        self.starts[index].store(start, Ordering::Relaxed);
        self.ends[index].store(end, Ordering::Relaxed);
        // Release: who sees the length sees the piece.
        self.length.store(index as u64 + 1, Ordering::Release);
    }

    /// How many pieces there are.
    pub fn len(&self) -> usize {
        self.length.load(Ordering::Acquire) as usize
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Start and end of piece `index`.
    pub fn piece(&self, index: usize) -> (u64, u64) {
        let time = |of: &[AtomicU64; N]| of[index].load(Ordering::Relaxed);
        (time(&self.starts), time(&self.ends))
    }

    /// The pieces since `origin`: begin and length, in microseconds after it. Pieces nearer to each other than `gap`
    /// microseconds count as one: interrupts and others' short work.
    pub fn since(&self, origin: u64, gap: u64) -> Vec<(u64, u64)> {
        let micros = |time: u64| time * 1_000_000 / time::counter_frequency();
        let mut joined: Vec<(u64, u64)> = Vec::new();
        for (start, end) in (0..self.len()).map(|index| self.piece(index)) {
            if end <= origin {
                continue;
            }
            let (start, end) = (micros(start.saturating_sub(origin)), micros(end - origin));
            match joined.last_mut() {
                Some(last) if start - last.1 <= gap => last.1 = end,
                _ => joined.push((start, end)),
            }
        }
        joined
            .iter()
            .map(|&(start, end)| (start, end - start))
            .collect()
    }
}

/// Whether these pieces are the expected ones, each begin and length within `slack` microseconds. There may be more.
#[track_caller]
pub fn assert_pieces(found: &[(u64, u64)], expected: &[(u64, u64)], slack: u64) {
    let near = |a: u64, b: u64| a.abs_diff(b) <= slack;
    let good = found.len() >= expected.len()
        && found
            .iter()
            .zip(expected)
            .all(|(a, b)| near(a.0, b.0) && near(a.1, b.1));
    assert!(
        good,
        "it ran at {found:?}, not at {expected:?} (begin and length, us)"
    );
}
