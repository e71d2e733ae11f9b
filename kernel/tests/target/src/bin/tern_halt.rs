//! DebugHalt ends the run with a failing status.
//!
//! cores: 1 2 4
//! icount: both
//! expect-exit: 1

#![no_std]
#![no_main]

use libsel4::{BootInfo, debug, root_task};
use tern_target_tests::rows::row;
use tern_target_tests::sched::Bench;

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    // Others are at work meanwhile.
    for core in 0..bench.cores() {
        let spinner = bench.spinner(core, 100);
        bench.runs(&spinner);
    }
    row("tern.debug.halt");
    debug::halt();
    unreachable!("the machine has stopped");
}
