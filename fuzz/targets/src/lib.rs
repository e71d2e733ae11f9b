//! What the fuzzer does with its bytes, one module for each target: they are taken for something that comes from outside,
//! and whatever they are, nothing panics and everything that is documented holds.
//!
//! Nothing here depends on the fuzzer. The programs that it links are in `../fuzz_targets`, a line each; the inputs that it
//! has found are run again by the tests of this crate.

pub mod boot_info;
pub mod calls;
pub mod capabilities;
pub mod device_tree;
pub mod elf;
mod given;
pub mod handover;
pub mod interface;
pub mod payload;
pub mod placement;
pub mod refills;
pub mod threads;

use std::sync::atomic::{AtomicBool, Ordering};

static TELLS: AtomicBool = AtomicBool::new(false);

/// From now on, targets say what they make of an input, if that can be said in words.
pub fn tell() {
    TELLS.store(true, Ordering::Relaxed);
}

fn tells() -> bool {
    TELLS.load(Ordering::Relaxed)
}

/// A target by its name.
pub struct Target {
    pub name: &'static str,
    pub run: fn(&[u8]),
}

macro_rules! targets {
    ($($name:ident)*) => {
        /// All of them, in alphabetical order.
        pub const TARGETS: &[Target] = &[$(Target { name: stringify!($name), run: $name::run }),*];
    };
}

targets! {
    boot_info
    calls
    capabilities
    device_tree
    elf
    handover
    interface
    payload
    placement
    refills
    threads
}
