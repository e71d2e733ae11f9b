//! Threads of one priority that are woken by signals run in the order of the signals, also when the signals come from
//! another core, and when the waiters are on a busy core.
//!
//! cores: 1 2 4
//! icount: both

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;

use libsel4::{BootInfo, ThreadBuilder, root_task};
use tern_target_tests::rows::rows;
use tern_target_tests::sched::{Bench, LONG_SLICE, Log};

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    let log = Log::new();
    rows(&["tern.wake.fifo", "defect.902", "sched.queue.equal-wake"]);
    for core in 0..bench.cores() {
        for signaller in 0..bench.cores() {
            // More important than the waiters, so that all of them are ready before the first runs.
            let hog = bench.spinner(core, 120);
            let waiters: Vec<_> = (1..=5)
                .map(|number| {
                    // Gates are passed before the hog is in the way.
                    hog.thread.suspend().unwrap();
                    let builder = ThreadBuilder::new("waiter").core(core).budget(LONG_SLICE);
                    bench.gated(builder, move || log.push(number))
                })
                .collect();
            hog.thread.resume().unwrap();
            bench.runs(&hog);
            let gates: Vec<_> = waiters.iter().map(|(_, gate)| *gate).collect();
            let waker = bench.thread("signaller", signaller, 130, move || {
                for gate in [gates[3], gates[0], gates[1], gates[4], gates[2]] {
                    gate.signal();
                }
            });
            bench.eventually("the signals", || waker.is_finished());
            assert!(log.is_empty(), "the waiters are less important");
            hog.thread.suspend().unwrap();
            bench.eventually("the waiters", || log.len() == 5);
            log.take(&[4, 1, 2, 5, 3]);
            waker.join(&mut bench.system).unwrap();
            for (waiter, _) in waiters {
                waiter.join(&mut bench.system).unwrap();
            }
            hog.thread.destroy(&mut bench.system).unwrap();
        }
    }
}
