//! Priorities across cores: raising a ready thread above the running one, lowering the running one, resuming a thread
//! elsewhere; each takes effect on the other core without further events there.
//!
//! cores: 1 2 4
//! icount: both

#![no_std]
#![no_main]

use libsel4::{BootInfo, root_task};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::Bench;

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    rows(&[
        "sched.priority.ready",
        "sched.priority.current",
        "sched.priority.inactive",
        "tern.priority.remote",
        "smp.priority",
        "defect.sel4test-155",
    ]);
    for core in 0..bench.cores() {
        row("tcb.priority.at-once");
        let upper = bench.spinner(core, 100);
        let lower = bench.fpu_spinner(core, 90);
        for _ in 0..5 {
            bench.runs(&upper);
            bench.rests(&lower);
            // A ready thread is raised.
            lower.thread.set_priority(110).unwrap();
            bench.runs(&lower);
            bench.rests(&upper);
            // The running one is lowered.
            lower.thread.set_priority(80).unwrap();
            bench.runs(&upper);
            bench.rests(&lower);
            // The running one is suspended, and resumed over the one that runs then.
            upper.thread.suspend().unwrap();
            bench.runs(&lower);
            upper.thread.resume().unwrap();
            bench.runs(&upper);
            bench.rests(&lower);
            // Raised while suspended.
            lower.thread.suspend().unwrap();
            lower.thread.set_priority(120).unwrap();
            bench.rests(&lower);
            lower.thread.resume().unwrap();
            bench.runs(&lower);
            bench.rests(&upper);
            // The running one is raised, then lowered but not below the other.
            lower.thread.set_priority(130).unwrap();
            lower.thread.set_priority(101).unwrap();
            bench.rests(&upper);
            lower.thread.set_priority(90).unwrap();
        }
        upper.thread.destroy(&mut bench.system).unwrap();
        bench.runs(&lower);
        // Equals share the core.
        let equal = bench.spinner(core, 90);
        bench.runs(&equal);
        bench.runs(&lower);
        lower.thread.destroy(&mut bench.system).unwrap();
        equal.thread.destroy(&mut bench.system).unwrap();
    }
}
