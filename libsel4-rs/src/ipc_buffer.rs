//! The running thread's IPC buffer: words beyond the fourth, capabilities to send, where to receive one.
//!
//! Every invocation with more than four arguments or with capability arguments writes here, so take what arrived
//! before invoking anything else. A thread has a buffer when it was made by this library, or when it called
//! [`crate::thread_block::install`].

use sel4_abi::{IpcBuffer, MAX_EXTRA_CAPS, MAX_MESSAGE_LENGTH};

use crate::cap::SlotPath;
use crate::thread_block;

/// The buffer of the running thread.
///
/// # Panics
/// When the thread has none.
fn current() -> *mut IpcBuffer {
    let buffer = thread_block::current().map_or(core::ptr::null_mut(), |block| block.ipc_buffer());
    assert!(!buffer.is_null(), "this thread has no IPC buffer");
    buffer
}

/// Word `index` (0 to 119) of the buffer. The kernel puts words from index 4 on here.
///
/// # Panics
/// When there is no such word or the thread has no buffer.
pub fn word(index: usize) -> u64 {
    assert!(index < MAX_MESSAGE_LENGTH, "a message has no word {index}");
    // SAFETY: the buffer of the running thread is mapped while the thread lives, and nobody else accesses it while
    // the thread is not in a system call.
    unsafe { (*current()).msg[index] }
}

/// Sets word `index` (0 to 119).
///
/// # Panics
/// When there is no such word or the thread has no buffer.
pub fn set_word(index: usize, value: u64) {
    assert!(index < MAX_MESSAGE_LENGTH, "a message has no word {index}");
    // SAFETY: as in `word`.
    unsafe { (*current()).msg[index] = value }
}

/// The capability address in place `index` (0 to 2) of the next message.
///
/// # Panics
/// When there is no such place or the thread has no buffer.
pub fn cap(index: usize) -> u64 {
    assert!(
        index < MAX_EXTRA_CAPS,
        "a message has no capability {index}"
    );
    // SAFETY: as in `word`.
    unsafe { (*current()).caps_or_badges[index] }
}

/// The badge of capability `index` of the message that arrived, if it is unwrapped.
///
/// # Panics
/// When there is no such place or the thread has no buffer.
pub fn badge(index: usize) -> u64 {
    cap(index)
}

/// Sets the capability address in place `index` (0 to 2) of the next message.
///
/// # Panics
/// When there is no such place or the thread has no buffer.
pub fn set_cap(index: usize, cptr: u64) {
    assert!(
        index < MAX_EXTRA_CAPS,
        "a message has no capability {index}"
    );
    // SAFETY: as in `word`.
    unsafe { (*current()).caps_or_badges[index] = cptr }
}

/// Says where the next capability that arrives with a message goes. The slot must be empty when it does.
///
/// # Panics
/// When the thread has no buffer.
pub fn set_receive_slot(slot: SlotPath) {
    let buffer = current();
    // SAFETY: as in `word`.
    unsafe { (*buffer).receive_cnode = slot.root.bits() };
    // SAFETY: as in `word`.
    unsafe { (*buffer).receive_index = slot.index };
    // SAFETY: as in `word`.
    unsafe { (*buffer).receive_depth = slot.depth };
}
