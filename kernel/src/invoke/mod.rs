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

use crate::{
    access::{Kernel, UserWords},
    cap::{Cap, RawCap},
    fault::SysError,
    ipc::transfer::{self, ExtraCaps},
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
pub enum Results {
    None,
    One(u64),
    /// The first registers of a thread, in the order of the user context.
    Registers {
        of: TcbRef,
        count: usize,
    },
}

impl Results {
    pub fn none() -> Self {
        Self::None
    }

    pub fn one(word: u64) -> Self {
        Self::One(word)
    }
}

pub type Outcome = Result<Results, Failure>;

/// What an invocation was called with.
pub struct Args<'a> {
    pub caller: TcbRef,
    /// The slot of the invoked capability.
    pub slot: SlotRef,
    pub label: u64,
    /// Message words that are there to be read.
    pub length: usize,
    /// The caller's IPC buffer, if it can be read and the message needs it.
    pub buffer: Option<UserWords>,
    /// The slots that the extra capability addresses resolved to.
    pub extra: ExtraCaps,
    /// The invocation is the first phase of a combined call.
    pub first_phase: bool,
    /// How far this call had got when it was left.
    pub progress: &'a Progress,
}

impl Args<'_> {
    /// Argument `index`. Words that the message does not have read as 0.
    #[inline]
    pub fn word(&self, k: &Kernel<'_>, index: usize) -> u64 {
        if index >= self.length {
            0
        } else {
            transfer::read_word(k, self.caller, self.buffer, index).unwrap_or(0)
        }
    }

    /// Extra capability `index`, null where the slot is empty. Only after [`Args::require`] said that it is there.
    #[inline(always)]
    pub fn extra_cap(&self, k: &Kernel<'_>, index: usize) -> Cap {
        self.extra_raw(k, index).decode()
    }

    /// As [`Args::extra_cap`], packed.
    #[inline]
    pub fn extra_raw(&self, k: &Kernel<'_>, index: usize) -> RawCap {
        self.extra[index].map_or(RawCap::NULL, |slot| k.get(slot).raw())
    }

    /// As [`Args::extra_cap`]: its slot.
    #[inline]
    pub fn extra_slot(&self, index: usize) -> Result<SlotRef, SysError> {
        self.extra[index].ok_or(SysError::TruncatedMessage)
    }

    /// At least so many words and extra capabilities, or the message is truncated.
    #[inline]
    pub fn require(&self, words: usize, extra_caps: usize) -> Result<(), SysError> {
        // They fill the array from its beginning.
        let has_caps = extra_caps == 0 || self.extra[extra_caps - 1].is_some();
        if self.length < words || !has_caps {
            return Err(SysError::TruncatedMessage);
        }
        Ok(())
    }
}
