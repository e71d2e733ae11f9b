//! The scheduling context of a thread that runs on another core is deleted, a hundred thousand times (in real time, a tenth
//! of that); the memory is used again at once for the next. The thread goes on each time it gets a new one.
//!
//! cores: 2 4
//! icount: both
//! timeout: 240

#![no_std]
#![no_main]

use libsel4::{BootInfo, ObjectType, init, root_task};
use tern_target_tests::rows::row;
use tern_target_tests::sched::{Bench, exact_time};

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    let memory = bench.system.untyped(7).unwrap();
    let slot = bench.system.slot().unwrap();
    let sc = libsel4::SchedContext::at(slot.index);
    let mut spinner = bench.spinner(1, 100);
    bench.make_passive(&mut spinner.thread);
    let tcb = spinner.thread.tcb();
    let mut seen = spinner.read();
    let mut ran = 0;
    row("defect.633-636-687.delete");
    let times = if exact_time() { 100_000 } else { 10_000 };
    for turn in 0..times {
        memory
            .retype_into(ObjectType::SchedContext, 7, init::CNODE, slot.index)
            .unwrap();
        let core = 1 + turn as usize % (bench.cores() - 1);
        bench.move_sc(sc, core);
        sc.bind(tcb).unwrap();
        // Of some, the deletion meets the thread before it runs.
        if turn % 4 != 0 {
            for _ in 0..1_000 {
                if spinner.read() != seen {
                    ran += 1;
                    break;
                }
            }
        }
        if turn % 16 == 1 {
            bench.eventually("the thread runs", || spinner.read() != seen);
            ran += 1;
        }
        slot.delete().unwrap();
        seen = spinner.read();
    }
    assert!(ran > times / 100, "the thread ran only {ran} times");
    let before = spinner.read();
    bench.sleep(1_000);
    assert_eq!(spinner.read(), before);
    let sc = bench.sched_context(1);
    sc.bind(tcb).unwrap();
    bench.runs(&spinner);
}
