//! What operations of the kernel cost: the root task of `cargo xtask bench`, which reads its lines and makes tables of
//! them. Each line is a name and the median, smallest and largest number of instructions and the number of samples;
//! on kernels that count, there is another one with doorbells, waits for locks, entries with all locks, and how long
//! locks were held at most; and at the end the longest stretches of the whole run, by the locks that were held.
//!
//! As a test, it is run on a kernel that counts, and every benchmark has to give a figure.
//!
//! cores: 1 4
//! cpu: cortex-a53
//! config: BENCH_COUNTERS=true
//! config: TRACK_MASKED=true
//! expect: bench: done

#![no_std]
#![no_main]

extern crate alloc;

mod event;
mod ipc;
mod object;
mod remote;
mod signal;

use libsel4::{BootInfo, println, root_task};

use tern_bench::worker::Bench;
use tern_bench::{meter, probe};

root_task!(main, heap = 1 << 20);

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    let counting = probe::has_counters(&mut bench);
    meter::prepare(counting);
    println!("bench: {} cores, counting: {counting}", boot.cores());
    ipc::run(&mut bench);
    signal::run(&mut bench);
    event::run(&mut bench);
    object::run(&mut bench);
    if boot.cores() > 1 {
        remote::run(&mut bench);
    }
    ipc::run_fpu(&mut bench);
    if counting {
        meter::print_modes();
    }
    println!("bench: done");
}
