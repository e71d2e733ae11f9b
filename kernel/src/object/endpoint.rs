//! Endpoints and notifications. An endpoint is 16 bytes: the head of its queue with state and home in the low bits of
//! the address (TCB objects are 2 KiB apart), and the tail.

use sel4_abi::size_bits;

use super::{Link, Object, SchedContext, Tcb, TcbRef, Word};
use crate::{ipc::WaitQueue, types::CoreId};

/// Which way the threads that wait on an endpoint want to go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EndpointState {
    Idle,
    Sending,
    Receiving,
}

/// Where threads meet to pass messages.
#[repr(C)]
pub struct Endpoint {
    /// Head object address | state << 9 | home. All zero is an idle endpoint of core 0.
    head: Word,
    tail: Word,
}

/// What a notification is about to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NotificationState {
    Idle,
    Waiting,
    Active(u64),
}

/// A word of binary semaphores.
#[repr(C, align(64))]
pub struct Notification {
    /// As in [`Endpoint`]; state 0 idle, 1 waiting, 2 active.
    head: Word,
    tail: Word,
    word: Word,
    pub bound_tcb: Link<Tcb>,
    pub sc: Link<SchedContext>,
}

const _: () = assert!(size_of::<Endpoint>() == 1 << size_bits::ENDPOINT);
const _: () = assert!(size_of::<Notification>() == 1 << size_bits::NOTIFICATION);

impl Object for Endpoint {}
impl Object for Notification {}

const HOME_BITS: u32 = 9;
const HOME_MASK: u64 = (1 << HOME_BITS) - 1;
const STATE_MASK: u64 = 3 << HOME_BITS;
const ADDRESS_MASK: u64 = !((1 << size_bits::TCB) - 1);
const _: () = assert!(crate::config::MAX_NUM_NODES <= 1 << HOME_BITS);

fn pack(queue: WaitQueue, state: u64, home: CoreId) -> (u64, u64) {
    let address = |tcb: Option<TcbRef>| tcb.map_or(0, |tcb| tcb.object() as u64);
    (
        address(queue.head) | (state << HOME_BITS) | u64::from(home.0),
        address(queue.tail),
    )
}

fn unpack(head: u64, tail: u64) -> WaitQueue {
    let tcb = |word: u64| TcbRef::from_address_opt((word & ADDRESS_MASK) as usize);
    WaitQueue {
        head: tcb(head),
        tail: tcb(tail),
    }
}

fn store(head: &Word, tail: &Word, to: (u64, u64)) {
    head.set(to.0);
    tail.set(to.1);
}

impl Endpoint {
    pub fn new(home: CoreId) -> Self {
        let (head, tail) = pack(WaitQueue::EMPTY, 0, home);
        Self {
            head: Word::new(head),
            tail: Word::new(tail),
        }
    }

    pub fn state(&self) -> EndpointState {
        match (self.head.get() & STATE_MASK) >> HOME_BITS {
            0 => EndpointState::Idle,
            1 => EndpointState::Sending,
            2 => EndpointState::Receiving,
            _ => unreachable!("endpoint state"),
        }
    }

    pub fn home(&self) -> CoreId {
        CoreId((self.head.get() & HOME_MASK) as u16)
    }

    /// The first thread that waits to receive, if any does.
    #[inline(always)]
    pub fn receiver(&self) -> Option<TcbRef> {
        let head = self.head.get();
        if head & STATE_MASK != (EndpointState::Receiving as u64) << HOME_BITS {
            return None;
        }
        TcbRef::from_address_opt((head & ADDRESS_MASK) as usize)
    }

    /// The last thread of the queue.
    #[inline(always)]
    pub fn tail(&self) -> Option<TcbRef> {
        TcbRef::from_address_opt(self.tail.get() as usize)
    }

    pub fn queue(&self) -> WaitQueue {
        unpack(self.head.get(), self.tail.get())
    }

    /// Stores the queue; an empty one makes the endpoint idle.
    pub fn set_queue(&self, queue: WaitQueue, state: EndpointState, home: CoreId) {
        let state = if queue.is_empty() {
            EndpointState::Idle
        } else {
            state
        };
        store(&self.head, &self.tail, pack(queue, state as u64, home));
    }
}

impl Notification {
    pub fn new(home: CoreId) -> Self {
        let (head, tail) = pack(WaitQueue::EMPTY, 0, home);
        Self {
            head: Word::new(head),
            tail: Word::new(tail),
            word: Word::new(0),
            bound_tcb: Link::none(),
            sc: Link::none(),
        }
    }

    pub fn state(&self) -> NotificationState {
        match (self.head.get() & STATE_MASK) >> HOME_BITS {
            0 => NotificationState::Idle,
            1 => NotificationState::Waiting,
            2 => NotificationState::Active(self.word.get()),
            _ => unreachable!("notification state"),
        }
    }

    pub fn home(&self) -> CoreId {
        CoreId((self.head.get() & HOME_MASK) as u16)
    }

    pub fn queue(&self) -> WaitQueue {
        unpack(self.head.get(), self.tail.get())
    }

    /// The first thread that waits, if any does.
    #[inline(always)]
    pub fn waiter(&self) -> Option<TcbRef> {
        let head = self.head.get();
        if head & STATE_MASK != 1 << HOME_BITS {
            return None;
        }
        TcbRef::from_address_opt((head & ADDRESS_MASK) as usize)
    }

    /// Stores the queue of waiting threads; an empty one makes the notification idle.
    pub fn set_queue(&self, queue: WaitQueue, home: CoreId) {
        let state = if queue.is_empty() { 0 } else { 1 };
        store(&self.head, &self.tail, pack(queue, state, home));
    }

    pub fn set_active(&self, word: u64) {
        store(
            &self.head,
            &self.tail,
            pack(WaitQueue::EMPTY, 2, self.home()),
        );
        self.word.set(word);
    }

    pub fn set_idle(&self) {
        self.set_queue(WaitQueue::EMPTY, self.home());
    }
}
