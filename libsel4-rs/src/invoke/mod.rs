//! Invocations: one method for each method of a kernel object, with its seL4 name in snake case.
//!
//! Every method makes one `seL4_Call` on the capability and turns the reply into a `Result`. Argument and capability
//! numbers in [`Error::InvalidArgument`] and [`Error::InvalidCapability`] are the ones of the interface, which each
//! method's documentation names where they matter. A capability argument whose address does not resolve at all is not
//! an error but a fault of the calling thread.
//!
//! Invocations are safe functions. They act on objects, not on Rust values; as with a file that represents a
//! process's own memory, a program that unmaps what it still uses or writes its own threads' registers has left what
//! the type system describes.

mod address_space;
mod asid;
mod cnode;
mod domain;
mod ipc;
mod irq;
mod sched;
mod tcb;
mod untyped;

pub use irq::Trigger;
pub use tcb::{CopyRegisters, TcbFlags};

use sel4_abi::{CPtr, Invocation, MESSAGE_REGISTERS, MessageInfo};

use crate::cap::{Cap, CapType};
use crate::error::Error;
use crate::ipc_buffer;
use crate::message::Message;
use crate::syscall;

/// Invokes `cap` with capabilities and words, and reads the reply.
#[inline]
fn invoke(
    cap: CPtr,
    invocation: Invocation,
    caps: &[CPtr],
    words: &[u64],
) -> Result<Message, Error> {
    let mut registers = [0; MESSAGE_REGISTERS];
    for (index, &word) in words.iter().enumerate() {
        match registers.get_mut(index) {
            Some(register) => *register = word,
            None => ipc_buffer::set_word(index, word),
        }
    }
    for (index, &cap) in caps.iter().enumerate() {
        ipc_buffer::set_cap(index, cap);
    }
    let info = MessageInfo::new(invocation.label(), 0, caps.len() as u64, words.len() as u64);
    Error::check(syscall::call(cap, Message::from_parts(info, registers)))
}

/// The address of a capability that may be left out: 0 is always empty.
fn optional<T: CapType>(cap: Option<Cap<T>>) -> CPtr {
    cap.map_or(0, Cap::bits)
}

#[cfg(test)]
mod tests;
