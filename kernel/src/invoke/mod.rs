//! Invocations of kernel objects: the arguments, the results, and who handles which capability.
//!
//! Every handler has the same shape: it reads its arguments, checks everything in the order of the interface, and only
//! then writes. What it writes cannot fail; only deletion, the clearing of memory, cache maintenance and
//! the search for senders may be left half-way, in a consistent state, to be continued by the same call later
//! ([`Leave::Preempted`]).

pub mod asid;
pub mod cnode;
pub mod domain;
pub mod irq;
pub mod page;
pub mod page_table;
pub mod sched_context;
pub mod sched_control;
pub mod tcb;
pub mod untyped;
pub mod vspace;

use sel4_abi::{MAX_EXTRA_CAPS, MESSAGE_REGISTERS, USER_CONTEXT_WORDS};

use crate::{
    access::{Kernel, UserWords},
    cap::Cap,
    fault::SysError,
    object::{Progress, SlotRef, TcbRef},
    reach::Need,
    types::CoreSet,
};

/// The invocation is to be left now and done again from the start.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Leave {
    /// Something more urgent waits: the thread runs the same instruction again later.
    Preempted,
    /// These other cores must be stopped first. Nothing has been written that a new start would not find.
    Stop(CoreSet),
    /// These locks must be held as well. Nothing has been written.
    Need(Need),
}

/// Why an invocation did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Failure {
    Error(SysError),
    Leave(Leave),
}

impl From<SysError> for Failure {
    fn from(error: SysError) -> Self {
        Self::Error(error)
    }
}

impl From<Leave> for Failure {
    fn from(leave: Leave) -> Self {
        Self::Leave(leave)
    }
}

/// Result words of a successful invocation.
pub struct Results {
    count: usize,
    words: [u64; USER_CONTEXT_WORDS],
}

impl Results {
    pub fn none() -> Self {
        Self {
            count: 0,
            words: [0; USER_CONTEXT_WORDS],
        }
    }

    pub fn one(word: u64) -> Self {
        let mut results = Self::none();
        results.push(word);
        results
    }

    pub fn push(&mut self, word: u64) {
        self.words[self.count] = word;
        self.count += 1;
    }

    pub fn words(&self) -> &[u64] {
        &self.words[..self.count]
    }
}

pub type Outcome = Result<Results, Failure>;

/// What an invocation was called with.
pub struct Args {
    pub caller: TcbRef,
    /// The slot of the invoked capability.
    pub slot: SlotRef,
    pub label: u64,
    /// Message words that are there to be read.
    pub length: usize,
    /// The caller's IPC buffer, if it can be read.
    pub buffer: Option<UserWords>,
    /// The slots that the extra capability addresses resolved to.
    pub extra: [Option<SlotRef>; MAX_EXTRA_CAPS],
    /// The invocation is the first phase of a combined call.
    pub first_phase: bool,
    /// How far this call had got when it was left.
    pub progress: Progress,
}

/// Index of `msg[0]` in the words of an IPC buffer.
const MESSAGE_WORD: usize = 1;

impl Args {
    /// Argument `index`. Words that the message does not have read as 0.
    pub fn word(&self, k: &Kernel<'_>, index: usize) -> u64 {
        if index >= self.length {
            0
        } else if index < MESSAGE_REGISTERS {
            k.get(self.caller.context()).x[2 + index]
        } else {
            self.buffer
                .map_or(0, |buffer| k.read_user_word(buffer, MESSAGE_WORD + index))
        }
    }

    /// How many extra capabilities came along.
    pub fn extra_count(&self) -> usize {
        self.extra.iter().flatten().count()
    }

    /// Extra capability `index`, null where the slot is empty. Only after [`Args::require`] said that it is there.
    pub fn extra_cap(&self, k: &Kernel<'_>, index: usize) -> Cap {
        self.extra[index].map_or(Cap::Null, |slot| k.get(slot).cap())
    }

    /// As [`Args::extra_cap`]: its slot.
    pub fn extra_slot(&self, index: usize) -> Result<SlotRef, SysError> {
        self.extra[index].ok_or(SysError::TruncatedMessage)
    }

    /// At least so many words and extra capabilities, or the message is truncated.
    pub fn require(&self, words: usize, extra_caps: usize) -> Result<(), SysError> {
        if self.length < words || self.extra_count() < extra_caps {
            return Err(SysError::TruncatedMessage);
        }
        Ok(())
    }
}
