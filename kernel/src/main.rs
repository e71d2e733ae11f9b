//! The kernel's binary: nothing but the library, whose `_start` is the entry point. On the development machine it only
//! has to build.

#![cfg_attr(target_os = "none", no_std, no_main)]

use tern_kernel as _;

#[cfg(not(target_os = "none"))]
fn main() {
    println!("the kernel runs on bare metal: cargo xtask run");
}
