//! A kernel panic on the last core says on which core, with all registers and a backtrace, and ends the run with a
//! failing status, whatever the other cores do.
//!
//! No user program can make the kernel panic. So the kernel of this test cannot execute the method of one object.
//!
//! spoil: tern_kernel::invoke::domain::invoke
//! icount: both
//! expect-exit: 1
//! expect: kernel panic on core {last}: synchronous exception in the kernel at 0xffffffffc0
//! expect: x0 0x
//! expect: x28 0x
//! expect: spsr 0x
//! expect: far 0x
//! expect: #0 0xffffffffc0
//! expect: #1 0xffffffffc0
//! expect: #3 0xffffffffc0

#![no_std]
#![no_main]

use libsel4::{BootInfo, init, root_task, syscall};
use tern_target_tests::rows::rows;
use tern_target_tests::sched::Bench;

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    let last = bench.cores() - 1;
    // The other cores are busy in the kernel and out of it.
    for core in 0..last {
        bench.thread("busy", core, 10, || {
            loop {
                syscall::yield_now();
            }
        });
    }
    rows(&[
        "debug.panic.core",
        "debug.panic.registers",
        "debug.panic.backtrace",
        "debug.panic.ends",
    ]);
    bench.thread("victim", last, 200, || init::DOMAIN_SET.set(0, init::TCB));
    bench.eventually("the kernel panics", || false);
}
