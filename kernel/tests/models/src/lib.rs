//! Model checks of the protocols between cores: every order in which cores can take their steps, within bounds.
//!
//! Two checkers, for two kinds of doubt:
//!
//! - [loom](https://docs.rs/loom) runs the kernel's own `smp` modules (the very source files, see [`smp`]) under weak
//!   memory: which value may a load see, and is every access to guarded data ordered? What surrounds them is restated
//!   in small: the modules here have the names of the kernel's and stand for them.
//! - [`explicit`] explores models that are written as states and steps, breadth first and completely, with sequential
//!   consistency: no deadlock, no cycle, and what has to hold in each state.
//!
//! The tests (`tests/`) also check that the checkers find what goes wrong in variants that look right. Nothing here is
//! part of the kernel, and the kernel contains nothing for it but the name `crate::sync` for its atomics.

#![deny(unsafe_code)]
#![allow(
    unreachable_pub,
    reason = "the kernel's source files are made part of this crate, and follow the kernel's rule"
)]

pub mod access;
pub mod arch;
pub mod check;
pub mod config;
pub mod counters;
pub mod entry;
pub mod explicit;
pub mod invoke;
pub mod ipc;
pub mod object;
pub mod sched;
pub mod sync;
pub mod system;

/// The kernel's own source: locks, doorbell, stop protocol.
#[path = "../../../src/smp/mod.rs"]
pub mod smp;
/// The kernel's own source.
#[path = "../../../src/types.rs"]
pub mod types;
