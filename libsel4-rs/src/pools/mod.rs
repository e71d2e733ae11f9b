//! Who gets which slot, which piece of memory, which address: plain book-keeping, with no system call in it.
//!
//! [`crate::System`] combines these with the kernel's operations. Each is tested on a host.

mod addresses;
mod buddy;
mod slots;

pub use addresses::AddressAllocator;
pub use buddy::{Block, BuddyAllocator, Splitter};
pub use slots::SlotAllocator;
