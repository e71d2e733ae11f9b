//! Boards, as plain data and small drivers.
//!
//! `board`, `handover`, `payload` and `image` are integers and byte layouts only: safe code without dependencies that
//! xtask, the loader and the kernel share. The device tree (`dtb`), the drivers and the parts of the boot loader sit
//! behind features of their own. No kernel policy lives here.
#![no_std]

pub mod board;
#[cfg(feature = "drivers")]
pub mod console;
#[cfg(feature = "dtb")]
pub mod dtb;
#[cfg(feature = "drivers")]
pub mod gic;
pub mod handover;
pub mod image;
#[cfg(feature = "loader")]
pub mod load;
pub mod payload;
#[cfg(all(feature = "drivers", target_arch = "aarch64"))]
pub mod semihosting;
