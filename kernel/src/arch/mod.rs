//! The processor, as the rest of the kernel sees it.
//!
//! One list of names with two implementations: `aarch64` for the machine, and `host`, where hardware does nothing and
//! time stands still until a test moves it, so that the kernel library builds and its tests run on the development
//! machine. Nothing outside this module names a register or an instruction.

#![allow(
    unsafe_code,
    reason = "registers, instructions and raw memory are this module's business"
)]

#[cfg(target_os = "none")]
mod aarch64;
#[cfg(not(target_os = "none"))]
pub mod host;

#[cfg(target_os = "none")]
use aarch64 as machine;
#[cfg(not(target_os = "none"))]
use host as machine;

pub use machine::{
    Gic, UserRoot, allow_user_fpu, asid_bits, clean_invalidate_to_poc, clean_to_poc, clean_to_pou,
    clear_to_poc, completion_barrier, copy_memory, counter, counter_frequency, cycles,
    device_barrier, halt, interleave, interrupt_pending, invalidate_asid, invalidate_page,
    invalidate_to_poc, invalidation_barrier, load_fpu, load_user_root, physical_address_bits,
    publish, return_to_user, ring, save_fpu, send_event, set_current_context, set_timer,
    stack_peak, table_barrier, this_core, to_physical, to_virtual, unify_instruction,
    wait_for_event, wait_for_interrupt, wait_until_equal,
};

#[cfg(target_os = "none")]
pub use aarch64::{frame_pointer, frame_record, stack_of_address, start_core_hardware, started_at};

use crate::config::DEBUG_BUILD;

/// The software-generated interrupt that says 'enter the kernel'.
pub const DOORBELL: u32 = 1;

/// The upper bits of the address of any kernel object: those above the 48 that a capability has room for.
pub const OBJECTS_ABOVE: u64 = if cfg!(target_os = "none") {
    0xffff << 48
} else {
    0
};

/// Bytes of a call instruction: a return address is so far behind its call.
pub const CALL_SIZE: usize = 4;

/// The part of SPSR that user level never chooses: AArch64 EL0, FIQ masked, interrupts on. A release configuration
/// also masks SError at EL0, which is part of the interface.
pub const USER_SPSR: u64 = if DEBUG_BUILD { 0x40 } else { 0x140 };

/// The condition flags (NZCV) of `spsr`, and everything else as a user thread must have it.
pub const fn sanitise_spsr(spsr: u64) -> u64 {
    (spsr & 0xf000_0000) | USER_SPSR
}
