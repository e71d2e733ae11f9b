//! Objects of all kinds are made, used, moved between cores, revoked and destroyed on every core at once. Everything
//! succeeds, and in the end all memory is there.
//!
//! `cargo xtask hostile --soak` runs the same for longer, and with other seeds.
//!
//! cores: 1 2 4 8
//! gic: 2 3
//! timeout: 120

#![no_std]
#![no_main]

use libsel4::{BootInfo, root_task};
use tern_target_tests::hostile::Plan;
use tern_target_tests::{setting, soak};

root_task!(main, heap = 1024 * 1024);

fn main(boot: &'static BootInfo) {
    let (calls, seconds) = (setting!("TERN_TEST_COUNT"), setting!("TERN_TEST_SECONDS"));
    let short = (calls, seconds) == (None, None);
    soak::run(
        boot,
        Plan {
            seed: setting!("TERN_TEST_SEED").unwrap_or(1),
            calls: if short { Some(10_000) } else { calls },
            seconds,
            progress: setting!("TERN_TEST_PROGRESS").unwrap_or(0),
        },
    );
}
