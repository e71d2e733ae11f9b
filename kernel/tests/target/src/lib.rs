//! What the test root tasks share. A test is a root task in `src/bin`: it passes by returning and fails by a panic, so
//! tests are plain assertions.

#![no_std]

pub mod bad;
pub mod objects;
pub mod rows;
pub mod sched;
