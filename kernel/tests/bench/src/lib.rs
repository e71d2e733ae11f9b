//! What the programs that measure share: threads and address spaces, readings of the counter, samples.

#![no_std]

extern crate alloc;

pub mod meter;
pub mod probe;
pub mod stamp;
pub mod worker;
