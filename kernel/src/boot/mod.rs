//! From the loader's hand-over to the first user instruction.
//!
//! `start` is where the cores come in; `memory` decides what is RAM, what is a device and what is neither; `root` makes
//! the root task with its initial capabilities. Boot happens once and its mistakes are final: whatever does not fit is
//! a kernel panic that says so.

#[cfg(not(target_os = "none"))]
pub mod bench;
pub mod memory;
pub mod root;
#[cfg(target_os = "none")]
pub mod start;

#[cfg(test)]
#[allow(unsafe_code, reason = "plays with raw memory")]
mod tests;
