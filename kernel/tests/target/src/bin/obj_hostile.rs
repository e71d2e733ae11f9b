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
use tern_target_tests::setting;

root_task!(main, heap = 1024 * 1024);

fn main(boot: &'static BootInfo) {
    let (calls, seconds) = (setting!("TERN_TEST_COUNT"), setting!("TERN_TEST_SECONDS"));
    let short = (calls, seconds) == (None, None);
    run(
        boot,
        Plan {
            seed: setting!("TERN_TEST_SEED").unwrap_or(1),
            calls: if short { Some(20_000) } else { calls },
            seconds,
            progress: setting!("TERN_TEST_PROGRESS").unwrap_or(0),
        },
    );
}
