//! The binary interface of the kernel: every number and every layout that user level and the kernel share.
//!
//! This crate is the one definition. The kernel and `libsel4` both use it, so they cannot drift apart. It follows the
//! seL4 MCS interface for AArch64 (seL4 16.0.0-dev) and holds integers only, because the kernel is built without
//! floating point and user level with it.
//!
//! Nothing here acts: no system call is made and no memory is read.

#![no_std]
#![forbid(unsafe_code)]

mod boot_info;
mod error;
mod fault;
mod invocation;
mod ipc_buffer;
mod message;
mod object;
mod rights;
mod syscall;
mod user_context;
mod vm;

pub use boot_info::{
    BootInfo, BootInfoHeader, INITIAL_SLOTS, MAX_BOOT_INFO_UNTYPEDS, SlotRegion, UntypedDesc,
    boot_info_id, slot,
};
pub use error::{ErrorCode, LookupFailureKind};
pub use fault::{FaultKind, fault_length};
pub use invocation::Invocation;
pub use ipc_buffer::IpcBuffer;
pub use message::{MAX_EXTRA_CAPS, MAX_MESSAGE_LENGTH, MESSAGE_REGISTERS, MessageInfo};
pub use object::{ObjectType, REFILL_BYTES, SCHED_CONTEXT_CORE_BYTES, cap_type, size_bits};
pub use rights::{CNodeCapData, CapRights};
pub use syscall::{Syscall, debug_syscall};
pub use user_context::{
    COPY_FRAME_REGISTERS, TIMEOUT_REPLY_WORDS, USER_CONTEXT_WORDS, UserContext,
};
pub use vm::{USER_TOP, VmAttributes};

/// A machine word of the interface.
pub type Word = u64;
/// A capability pointer: an address in a capability space.
pub type CPtr = u64;
/// The highest priority; the lowest is 0.
pub const MAX_PRIORITY: u8 = 255;
/// The most objects one `Untyped_Retype` makes.
pub const RETYPE_FAN_OUT_LIMIT: u64 = 256;
/// `SchedControl_ConfigureFlags` flag: a sporadic server, refills are merged on wake-up only.
pub const SCHED_CONTEXT_SPORADIC: u64 = 1;
/// `TCB_SetFlags` bit: the thread may not use floating point and vector registers.
pub const TCB_FLAG_FPU_DISABLED: u64 = 1;
/// The longest name `DebugNameThread` stores, without the terminator.
pub const MAX_THREAD_NAME: usize = 847;
