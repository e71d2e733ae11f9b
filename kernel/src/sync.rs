//! The atomics of the locks. They have a name of this crate, so that the model checks (`kernel/tests/models`) can compile
//! the same source with theirs.

pub use core::sync::atomic::{AtomicU32, Ordering};
