//! A thread moves itself from core to core, and goes on after the call on the new one: with live floating-point state,
//! between idle and busy cores, beside others that do the same, and the root task too.
//!
//! cores: 2 4
//! icount: both
//! timeout: 120

#![no_std]
#![no_main]

use core::sync::atomic::Ordering;

use libsel4::{BootInfo, init, root_task, thread_block};
use tern_target_tests::rows::rows;
use tern_target_tests::sched::{Bench, affinity, counter, fpu_keeps};

root_task!(main);

const MOVES: u64 = 40;

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    rows(&["smp.configure.self", "refill.configure.self"]);
    for core in (0..bench.cores()).chain([0]) {
        bench.move_sc(init::SCHED_CONTEXT, core);
        assert_eq!(affinity(init::TCB), core);
        assert!(fpu_keeps(core as u64, 100));
        bench.sleep(500);
    }
    let cores = bench.cores();
    for busy in [false, true] {
        let others: [_; 2] = core::array::from_fn(|core| bench.fpu_spinner(core, 50));
        if !busy {
            others
                .iter()
                .for_each(|other| other.thread.suspend().unwrap());
        }
        let moved = counter();
        let travellers: [_; 3] = core::array::from_fn(|index| {
            let sc = bench.sched_context(index % cores);
            let mut thread = bench.thread("traveller", 0, 100, move || {
                let me = thread_block::current().unwrap().tcb();
                for turn in 0..MOVES {
                    let core = (turn as usize * (index + 1)) % cores;
                    boot.sched_control(core)
                        .configure(sc, 5000, 5000, 0, 0)
                        .unwrap();
                    assert_eq!(affinity(me), core);
                    assert!(fpu_keeps(turn << 8 | index as u64, 20));
                    moved.fetch_add(1, Ordering::Relaxed);
                }
            });
            // It is on core 0, below the root task, so it has not run.
            let made_with = thread.rebind(None).unwrap().unwrap();
            made_with.destroy(&mut bench.system).unwrap();
            sc.bind(thread.tcb()).unwrap();
            thread
        });
        bench.eventually("all moves", || moved.load(Ordering::Relaxed) == 3 * MOVES);
        for thread in travellers {
            thread.join(&mut bench.system).unwrap();
        }
        for other in others {
            other.thread.destroy(&mut bench.system).unwrap();
        }
    }
}
