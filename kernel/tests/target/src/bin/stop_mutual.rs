//! Threads on all cores stop each other, in loops: each suspends and resumes the next one, reads its registers, moves its
//! scheduling context away and back, or takes it away. All of them get to their end: no deadlock, no livelock.
//!
//! cores: 2 3 4
//! icount: both
//! timeout: 240

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use libsel4::{BootInfo, Thread, root_task};
use tern_target_tests::rows::rows;
use tern_target_tests::sched::{Bench, exact_time};

root_task!(main);

static TARGETS: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];
static CONTEXTS: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];
static DONE: AtomicU64 = AtomicU64::new(0);

/// One step against the thread of another core.
type Step = fn(&'static BootInfo, usize, libsel4::Cap<libsel4::Tcb>);

const STEPS: [Step; 4] = [
    |_, _, target| {
        let _ = target.read_registers(false);
    },
    |_, _, target| {
        target.set_tls_base(0).unwrap();
    },
    |boot, core, _| {
        let sc = libsel4::SchedContext::at(CONTEXTS[core].load(Ordering::Relaxed));
        boot.sched_control(core)
            .configure(sc, 4_000, 4_000, 0, 0)
            .unwrap();
    },
    |_, core, target| {
        let sc = libsel4::SchedContext::at(CONTEXTS[core].load(Ordering::Relaxed));
        target.suspend().unwrap();
        target.resume().unwrap();
        let _ = sc.consumed();
    },
];

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    rows(&["tern.stop.parks", "smp.serial", "defect.867-1029-1387-1421"]);
    for (index, step) in STEPS.into_iter().enumerate() {
        let cores = bench.cores();
        // A host with fewer cores than the machine takes its time to let all of them take part.
        let turns = if exact_time() { 1_000 } else { 60 };
        DONE.store(0, Ordering::Relaxed);
        // At the step that suspends, two threads could suspend each other and nobody would resume: the root task does then.
        let threads: Vec<Thread<()>> = (0..cores)
            .map(|core| {
                let thread = bench.thread("stopper", core, 100, move || {
                    while TARGETS[cores - 1].load(Ordering::Acquire) == 0 {}
                    for turn in 0..turns {
                        let other = (core + 1 + turn as usize % (cores - 1)) % cores;
                        let target = libsel4::Tcb::at(TARGETS[other].load(Ordering::Relaxed));
                        step(boot, other, target);
                    }
                    DONE.fetch_add(1, Ordering::Relaxed);
                    // Stay, so that the others have somebody to stop.
                    loop {
                        core::hint::spin_loop();
                    }
                });
                CONTEXTS[core].store(thread.sched().unwrap().cap().bits(), Ordering::Relaxed);
                thread
            })
            .collect();
        for (core, thread) in threads.iter().enumerate() {
            TARGETS[core].store(thread.tcb().bits(), Ordering::Release);
        }
        bench.eventually("everybody's last turn", || {
            if index == 3 {
                threads.iter().for_each(|thread| thread.resume().unwrap());
            }
            DONE.load(Ordering::Relaxed) == cores as u64
        });
        TARGETS[cores - 1].store(0, Ordering::Relaxed);
        for thread in threads {
            thread.destroy(&mut bench.system).unwrap();
        }
    }
}
