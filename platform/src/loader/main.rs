//! The boot loader: from firmware's entry to the kernel's.
//!
//! It reads the device tree, puts kernel and root task in memory, builds the kernel's address space, starts the other
//! cores and enters the kernel on all of them. What it decides is in `tern_platform::load` and `dtb`; here is what it
//! does. It runs with the MMU off, on the boot core, until the last instructions. Whatever is wrong is said on the
//! serial port in one line before the boot ends.
#![cfg_attr(target_os = "none", no_std, no_main)]

#[cfg(target_os = "none")]
mod boot;
#[cfg(target_os = "none")]
mod cores;
#[cfg(target_os = "none")]
mod memory;
#[cfg(target_os = "none")]
mod print;

/// Building everything for the host builds this too.
#[cfg(not(target_os = "none"))]
fn main() {
    eprintln!("the boot loader runs on AArch64 boards; build images with cargo xtask");
}
