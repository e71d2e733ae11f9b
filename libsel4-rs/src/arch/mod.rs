//! What differs between the machine the library is for and the machine it is tested on.
//!
//! On AArch64 without an operating system this is the trap instruction and a few registers; everywhere else it is a
//! test double: a closure in place of the kernel, so that what a call sends can be checked by an ordinary unit test.
//! Nothing here knows what a message means.

#[cfg(all(target_os = "none", target_arch = "aarch64"))]
mod aarch64;
#[cfg(not(target_os = "none"))]
mod host;

#[cfg(all(target_os = "none", target_arch = "aarch64"))]
use aarch64 as machine;
#[cfg(not(target_os = "none"))]
use host as machine;

#[cfg(feature = "console-fallback")]
pub(crate) use machine::probe_put_char_entry;
#[cfg(all(test, not(target_os = "none")))]
pub(crate) use machine::with_kernel;
pub(crate) use machine::{
    event_counter_ids, exchange, exit, read_counter, read_counter_frequency, read_cycle_counter,
    relax, send_only, set_thread_pointer, thread_pointer, trap_number_only,
};

/// The registers of a system call, in or out: capability or badge, message information, message words.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Registers {
    /// x0.
    pub(crate) x0: u64,
    /// x1.
    pub(crate) info: u64,
    /// x2 to x5.
    pub(crate) words: [u64; 4],
}
