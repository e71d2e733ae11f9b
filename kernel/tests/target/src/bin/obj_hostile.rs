//! Threads on every core do what they like: system calls with any registers, capabilities and buffers, invocations that
//! could be meant, instructions that fault. The kernel survives, serves those that behave, and gives all memory back.
//!
//! `cargo xtask hostile` runs the same for longer, and with other seeds.
//!
//! cores: 1 2 4 8
//! gic: 2 3
//! timeout: 120

#![no_std]
#![no_main]

use libsel4::{BootInfo, root_task};
use tern_target_tests::hostile::{Plan, run};

root_task!(main, heap = 1024 * 1024);

fn main(boot: &'static BootInfo) {
    run(
        boot,
        Plan {
            seed: 1,
            calls: Some(20_000),
            seconds: None,
            progress: 0,
        },
    );
}
