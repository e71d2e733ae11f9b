//! What the test root tasks share. A test is a root task in `src/bin`: it passes by returning and fails by a panic, so
//! tests are plain assertions.

#![no_std]

extern crate alloc;

pub mod bad;
pub mod builds;
pub mod calls;
pub mod code;
pub mod crowd;
pub mod hostile;
pub mod masked;
pub mod model;
pub mod objects;
pub mod periodic;
pub mod port;
pub mod random;
pub mod rows;
pub mod sched;
pub mod settings;
pub mod soak;
pub mod status;
pub mod timeline;
pub mod touch;
pub mod vectors;
pub mod watch;
