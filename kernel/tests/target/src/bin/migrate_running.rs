//! A running thread is moved by another core's SchedControl capability: from every core to every other, which is idle or
//! busy with something less important, with and without live floating-point state, and with a chain of calls.
//!
//! cores: 2 4
//! icount: both
//! timeout: 120

#![no_std]
#![no_main]

use libsel4::{BootInfo, root_task};
use tern_target_tests::rows::rows;
use tern_target_tests::sched::{Bench, Spinner};

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    let plain = bench.spinner(1, 100);
    let fpu = bench.fpu_spinner(1, 100);
    plain.thread.suspend().unwrap();
    fpu.thread.suspend().unwrap();
    rows(&["smp.configure.running", "defect.138", "defect.sel4test-155"]);
    for spinner in [&plain, &fpu] {
        spinner.thread.resume().unwrap();
        bench.runs(spinner);
        tour(&bench, spinner);
        spinner.thread.suspend().unwrap();
    }
    // The same with every core busy at a lower priority, which must yield to the newcomer and go on when it has left.
    let busy: alloc::vec::Vec<_> = (0..bench.cores())
        .map(|core| bench.fpu_spinner(core, 50))
        .collect();
    for spinner in [&plain, &fpu] {
        spinner.thread.resume().unwrap();
        tour(&bench, spinner);
        let here = spinner.core();
        bench.rests(&busy[here]);
        spinner.thread.suspend().unwrap();
        busy.iter().for_each(|other| bench.runs(other));
    }
}

/// Moves the thread along every pair of cores.
fn tour(bench: &Bench, spinner: &Spinner) {
    for from in 0..bench.cores() {
        for to in 0..bench.cores() {
            for core in [from, to] {
                bench.move_sc(spinner.sc(), core);
                assert_eq!(spinner.core(), core);
                bench.runs(spinner);
                assert_eq!(spinner.core(), core);
            }
        }
    }
}

extern crate alloc;
