//! What a core was asked to do, with every capability address resolved: capability spaces are outside the model.

use sel4_abi::Syscall;

use super::state::{Failure, Fault, Id, Rights};

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    Null,
    /// What is left of an object while it is deleted.
    Zombie,
    Endpoint {
        id: Id,
        badge: u64,
        rights: Rights,
    },
    Notification {
        id: Id,
        badge: u64,
        rights: Rights,
    },
    Reply {
        id: Id,
        grant: bool,
    },
    Thread(Id),
    Context {
        id: Id,
        /// How many extra refills it has room for.
        room: u64,
    },
    Control {
        core: u16,
    },
    /// Something that the model does not know.
    Other {
        /// The first half of a combined call may invoke it.
        in_first: bool,
    },
}

/// What the invocation of such an object does to those that the model knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    Nothing,
    /// The last capability to an object goes.
    Delete(Cap),
    CancelBadged {
        endpoint: Id,
        badge: u64,
    },
    Unknown(&'static str),
}

/// A capability address and what it led to.
#[derive(Clone, Copy, Debug)]
pub struct Operand {
    pub address: u64,
    pub cap: Result<Cap, Failure>,
}

/// What comes along with an invocation.
#[derive(Clone, Debug)]
pub struct Args {
    /// All words of the message that can be read.
    pub words: Vec<u64>,
    /// The extra capabilities, or the address of the first that led nowhere.
    pub extra: Result<Vec<Cap>, (u64, Failure)>,
    pub effect: Effect,
}

/// A system call, with the capability addresses in its registers.
#[derive(Clone, Debug)]
pub struct Request {
    pub call: Syscall,
    pub x0: Operand,
    pub x6: Operand,
    pub x8: Operand,
    pub args: Args,
}

impl Request {
    /// What the first phase of a combined call invokes, if it is one.
    pub fn first(&self) -> Option<&Operand> {
        match self.call {
            Syscall::ReplyRecv | Syscall::NBSendWait => Some(&self.x6),
            Syscall::NBSendRecv => Some(&self.x8),
            _ => None,
        }
    }

    /// What it invokes first, if anything.
    pub fn invoked(&self) -> Option<&Operand> {
        match self.call {
            Syscall::Call | Syscall::Send | Syscall::NBSend => Some(&self.x0),
            _ => self.first(),
        }
    }
}

#[derive(Clone, Debug)]
pub enum Event {
    /// An interrupt, and the notification and badge by which its handler is told.
    Interrupt(Option<(Id, u64)>),
    Syscall(Box<Request>),
    Fault(Fault),
    /// A memory fault whose reason is gone by now.
    Outdated,
    /// The use of floating-point registers that the thread does not have at the moment.
    FloatingPoint {
        syndrome: u32,
    },
    Debug,
}

impl Event {
    /// Whether an object is invoked, other than those of messages.
    pub fn is_invocation(&self) -> bool {
        let Self::Syscall(request) = self else {
            return false;
        };
        let cap = request.invoked().map(|invoked| invoked.cap);
        matches!(
            cap,
            Some(Ok(Cap::Thread(_)
                | Cap::Context { .. }
                | Cap::Control { .. }
                | Cap::Other { .. }))
        )
    }
}

/// The part of a core's work that a section of code under the locks does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The first section after a trap.
    Entry,
    /// The core queues, since it wants others to stop.
    Queueing,
    /// Others have been asked to stop.
    Holding,
    /// The core has stopped.
    Parked,
    /// It was stopped while it queued, and goes on queueing.
    ParkedInQueue,
}

/// How a section ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// The core is about to leave the kernel.
    Left,
    /// It has stopped for another core.
    Parked,
    /// It will go on in the kernel.
    Waits,
}

/// What the model does not judge.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Outside(pub &'static str);

/// What the model can say about a section.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Whole,
    /// Everything but what an object outside the model has answered.
    ButAnswer,
}
