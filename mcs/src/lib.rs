//! Scheduling arithmetic of a mixed-criticality kernel, free of everything else.
//!
//! - [`Limits`]: what follows from the counter frequency: unit conversion, smallest and largest budget.
//! - [`Refills`], [`RefillsRef`]: the budget of a scheduling context, a ring of [`Refill`]s, and the rules
//!   that charge, replenish, reconfigure and move it.
//! - [`ReadyQueues`]: 256 first-in-first-out queues under a two-level bitmap.
//! - [`ReleaseQueue`]: threads that wait for a refill, ordered by time, in an intrusive balanced tree.
//!
//! The crate owns no storage. Refills are views over memory that belongs to the scheduling context, and the
//! queues thread links through nodes that their owner makes accessible by a trait. So nothing here knows of
//! capabilities, locks, cores or hardware, and everything is tested on the development machine.
//!
//! All times are [`Ticks`] of one counter that is the same on every core and never runs backwards.

#![no_std]
#![forbid(unsafe_code)]
#![warn(missing_docs)]

mod limits;
mod ready;
mod refill;
mod release;

pub use limits::Limits;
pub use ready::{ReadyNodes, ReadyQueues};
pub use refill::{
    HEADER_BYTES, REFILL_BYTES, Refill, RefillState, Refills, RefillsRef, max_extra_refills,
    max_refills,
};
pub use release::{ReleaseNodes, ReleaseQueue, TreeLinks};

/// A point in time or a length of time, in ticks of the system counter.
pub type Ticks = u64;
