//! What the model remembers: plain values that name each other by number.

use std::fmt;
use std::ops::{Index, IndexMut};

/// The name of an object.
pub type Id = usize;

/// A register's value, as far as the model knows it: unknown bits are not judged.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Word {
    pub value: u64,
    known: u64,
}

impl Word {
    /// What depends on memory or on used time, which the model does not have.
    pub const UNKNOWN: Self = Self { value: 0, known: 0 };

    pub fn new(value: u64) -> Self {
        Self { value, known: !0 }
    }

    pub fn without(self, bits: u64) -> Self {
        Self {
            known: self.known & !bits,
            ..self
        }
    }

    pub fn agrees(self, other: Self) -> bool {
        (self.value ^ other.value) & self.known & other.known == 0
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.known {
            0 => f.write_str("?"),
            _ => write!(f, "{:#x}", self.value),
        }
    }
}

/// Why a capability address led nowhere: the kind, then its words.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Failure {
    pub count: usize,
    pub words: [u64; 4],
}

/// What a thread's handler is to be told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    Cap {
        address: u64,
        in_receive: bool,
        failure: Failure,
    },
    UnknownSyscall {
        number: u64,
    },
    UserException {
        syndrome: u32,
    },
    Timeout {
        badge: u64,
    },
    Vm {
        address: u64,
        instruction: bool,
        syndrome: u32,
    },
}

/// What a thread is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Doing {
    Inactive,
    Running,
    /// Goes on at the instruction that trapped.
    Restart,
    Sending {
        endpoint: Id,
        badge: u64,
        grant: bool,
        grant_reply: bool,
        call: bool,
    },
    Receiving {
        endpoint: Id,
    },
    Calling {
        reply: Id,
    },
    Waiting {
        notification: Id,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rights {
    pub write: bool,
    pub read: bool,
    pub grant: bool,
    pub grant_reply: bool,
}

/// The endpoint of a fault or timeout handler, as the thread holds it.
#[derive(Clone, Copy, Debug)]
pub struct Handler {
    pub endpoint: Id,
    pub badge: u64,
    pub rights: Rights,
    /// There is no other capability to this endpoint.
    pub last: bool,
}

impl Handler {
    /// A handler must be able to be called.
    pub fn is_usable(&self) -> bool {
        self.rights.write && (self.rights.grant || self.rights.grant_reply)
    }
}

#[derive(Clone, Debug)]
pub struct Thread {
    pub doing: Doing,
    pub priority: u8,
    pub mcp: u8,
    pub affinity: u16,
    pub context: Option<Id>,
    pub bound: Option<Id>,
    /// Given to the receive in which the thread waits.
    pub reply: Option<Id>,
    pub yield_to: Option<Id>,
    pub fault: Option<Fault>,
    /// x0 to x5: what system calls change.
    pub x: [Word; 6],
    pub fault_ip: Word,
    pub next_ip: Word,
    pub sp: Word,
    pub spsr: Word,
    /// There is a buffer that can be read, and written.
    pub buffer: (bool, bool),
    pub handler: Option<Handler>,
    pub timeout: Option<Handler>,
    pub fpu_disabled: bool,
}

impl Thread {
    pub fn is_runnable(&self) -> bool {
        matches!(self.doing, Doing::Running | Doing::Restart)
    }

    pub fn is_blocked(&self) -> bool {
        !self.is_runnable() && self.doing != Doing::Inactive
    }
}

#[derive(Clone, Debug, Default)]
pub struct Endpoint {
    /// The threads in the queue want to receive. Means nothing while nobody waits.
    pub receiving: bool,
    pub queue: Vec<Id>,
}

#[derive(Clone, Debug, Default)]
pub struct Notification {
    /// Active: signalled, and nobody has taken it.
    pub word: Option<u64>,
    pub queue: Vec<Id>,
    pub bound: Option<Id>,
    pub context: Option<Id>,
}

/// What is above a reply object in its stack.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Above {
    #[default]
    None,
    Context(Id),
    Reply(Id),
}

#[derive(Clone, Debug, Default)]
pub struct Reply {
    /// Who waits for an answer by it, or with it for a message.
    pub thread: Option<Id>,
    pub below: Option<Id>,
    pub above: Above,
}

/// The first refill of a context: the model asks the machine for it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Head {
    pub time: u64,
    pub amount: u64,
}

#[derive(Clone, Debug, Default)]
pub struct Context {
    pub active: bool,
    pub round_robin: bool,
    pub core: u16,
    pub badge: u64,
    pub thread: Option<Id>,
    pub notification: Option<Id>,
    /// The newest call that it was lent with.
    pub stack: Option<Id>,
    pub yield_from: Option<Id>,
    pub head: Head,
}

/// What a core has decided so far about who runs next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Choice {
    #[default]
    Best,
    Same,
    Switch(Id),
}

#[derive(Clone, Debug, Default)]
pub struct Core {
    pub current: Option<Id>,
    /// Who pays.
    pub payer: Option<Id>,
    /// With their priorities, the next one first.
    pub ready: Vec<(u8, Id)>,
    /// Those that wait for a refill, the first one first.
    pub release: Vec<Id>,
    pub choice: Choice,
    /// Others have changed the queues since this core has looked.
    pub pending: bool,
    /// When it looked at the clock last, and what it used until then that is not charged.
    pub now: u64,
    pub used: u64,
}

/// Objects of one kind.
#[derive(Clone, Debug)]
pub struct Table<T>(pub Vec<(Id, T)>);

impl<T> Default for Table<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T> Table<T> {
    pub fn get(&self, id: Id) -> Option<&T> {
        let found = self.0.iter().find(|(other, _)| *other == id);
        found.map(|(_, object)| object)
    }

    pub fn has(&self, id: Id) -> bool {
        self.get(id).is_some()
    }

    pub fn add(&mut self, id: Id, object: T) {
        debug_assert!(!self.has(id));
        self.0.push((id, object));
    }

    pub fn iter(&self) -> impl Iterator<Item = (Id, &T)> {
        self.0.iter().map(|(id, object)| (*id, object))
    }
}

impl<T> Index<Id> for Table<T> {
    type Output = T;
    fn index(&self, id: Id) -> &T {
        self.get(id)
            .unwrap_or_else(|| panic!("the model does not know {id:#x}"))
    }
}

impl<T> IndexMut<Id> for Table<T> {
    fn index_mut(&mut self, id: Id) -> &mut T {
        let found = self.0.iter_mut().find(|(other, _)| *other == id);
        let found = found.map(|(_, object)| object);
        found.unwrap_or_else(|| panic!("the model does not know {id:#x}"))
    }
}

/// Everything.
#[derive(Clone, Debug, Default)]
pub struct State {
    pub threads: Table<Thread>,
    pub endpoints: Table<Endpoint>,
    pub notifications: Table<Notification>,
    pub replies: Table<Reply>,
    pub contexts: Table<Context>,
    pub cores: Vec<Core>,
}
