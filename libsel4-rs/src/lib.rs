//! The library a Tern root task links.
//!
//! Tern is a microkernel: it offers threads, address spaces, messages and budgets of processor time, and nothing
//! else. A program gets capabilities to all of the machine that the kernel does not keep, and makes of it what it
//! wants. This library has three layers, and each can be used without the next:
//!
//! - the interface as it is: [`syscall`], [`Cap`] with one method for each invocation, [`Message`], [`Error`],
//!   [`Fault`];
//! - a program's surroundings: [`root_task!`], [`BootInfo`], [`println!`], heap, panic handler, [`sync`], [`time`];
//! - helpers that take the ceremony away: [`System`] hands out objects and maps memory, [`thread`] makes threads.
//!
//! The interface is that of seL4 with the MCS extensions; names and semantics are those of the seL4 manual, in Rust
//! spelling. A capability address is checked by the kernel at each use, so nothing here is trusted for isolation.
//!
//! On a host, the parts that need no machine can be tested; system calls go to a test double there.

#![no_std]
#![warn(missing_docs)]

extern crate alloc;

mod arch;
pub mod boot;
pub mod cap;
pub mod console;
pub mod debug;
mod error;
mod fault;
pub mod heap;
pub mod invoke;
pub mod ipc_buffer;
#[cfg(feature = "device-tree")]
pub mod machine;
mod message;
pub mod pools;
pub mod runtime;
pub mod sched;
pub mod sync;
pub mod syscall;
pub mod system;
pub mod thread;
pub mod thread_block;
pub mod time;

pub use boot::BootInfo;
pub use cap::{
    AsidControl, AsidPool, CNode, Cap, CapType, DomainSet, Endpoint, FixedObject, HugePage,
    IrqControl, IrqHandler, LargePage, Notification, Null, Page, PageTable, Reply, SchedContext,
    SchedControl, SgiSignal, SlotPath, SmallPage, Tcb, Untyped, VSpace, init,
};
pub use error::{Error, LookupFailure};
pub use fault::Fault;
pub use message::{Message, Received};
pub use runtime::exit;
pub use sched::{Budget, SchedulingContext};
pub use sel4_abi as abi;
pub use sel4_abi::{CNodeCapData, CapRights, ObjectType, UserContext, VmAttributes};
pub use system::{ResourceError, System};
pub use thread::{PassiveServer, Thread, ThreadBuilder};
