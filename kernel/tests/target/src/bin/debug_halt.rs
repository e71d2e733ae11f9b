//! A debug call is no reason to run another thread. `DebugHalt` ends the run from any core, with a failing status and a
//! line that says who called it.
//!
//! expect-exit: 1
//! expect: halted by thread 'stopper' on core {last}

#![no_std]
#![no_main]

use core::sync::atomic::Ordering;

use libsel4::{BootInfo, ThreadBuilder, debug, init, root_task};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::{Bench, LONG_SLICE, counter};

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    let last = boot.cores() - 1;
    row("debug.no-turn");
    let count = counter();
    let builder = |name| ThreadBuilder::new(name).core(last).budget(LONG_SLICE);
    let (caller, go_caller) = bench.gated(builder("caller"), move || {
        let before = count.load(Ordering::Relaxed);
        for _ in 0..100 {
            debug::thread_affinity(init::TCB);
            debug::put_char(b'.');
        }
        debug::put_char(b'\n');
        (before, count.load(Ordering::Relaxed))
    });
    let (_equal, go_equal) = bench.gated(builder("equal"), || {
        loop {
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    // Both wake up while a third one has the core, so the caller's turn comes first.
    bench.thread("waker", last, 200, move || {
        go_caller.signal();
        go_equal.signal();
    });
    assert_eq!(caller.join(&mut bench.system).expect("joined"), (0, 0));
    rows(&["debug.halt.line", "debug.halt.ends"]);
    bench.thread("stopper", last, 200, debug::halt);
    bench.eventually("the run ends", || false);
}
