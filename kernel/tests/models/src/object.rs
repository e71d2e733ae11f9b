//! Stands for the kernel's `object`, as far as the stop protocol looks into objects.

use core::marker::PhantomData;

use crate::types::CoreId;

#[derive(Debug)]
pub struct ObjRef<T>(usize, PhantomData<T>);

impl<T> Clone for ObjRef<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for ObjRef<T> {}

impl<T> PartialEq for ObjRef<T> {
    fn eq(&self, other: &Self) -> bool {
        self.0 == other.0
    }
}

impl<T> Eq for ObjRef<T> {}

impl<T> ObjRef<T> {
    pub fn nth(index: usize) -> Self {
        Self(index, PhantomData)
    }

    pub fn index(self) -> usize {
        self.0
    }
}

pub type TcbRef = ObjRef<Tcb>;
pub type ScRef = ObjRef<SchedContext>;
pub type ReplyRef = ObjRef<Reply>;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ThreadState {
    Inactive,
    Running,
    Restart,
}

#[derive(Debug)]
pub struct Tcb {
    pub state: ThreadState,
    /// How many of its calls are done: the next one is what its registers hold.
    pub done: usize,
    /// How often it was woken before it waited.
    pub woken: u32,
    /// It will not run again.
    pub finished: bool,
}

impl Tcb {
    pub fn new() -> Self {
        Self {
            state: ThreadState::Running,
            done: 0,
            woken: 0,
            finished: false,
        }
    }
}

impl Default for Tcb {
    fn default() -> Self {
        Self::new()
    }
}

/// The core at which a thread is at home: always the one of its number.
#[derive(Debug)]
pub struct Home(pub CoreId);

impl Home {
    pub fn get(&self) -> CoreId {
        self.0
    }
}

impl ObjRef<Tcb> {
    pub fn home(self) -> ObjRef<Home> {
        ObjRef::nth(self.index())
    }
}

#[derive(Debug)]
pub struct SchedContext {
    pub tcb: Option<TcbRef>,
}

#[derive(Debug)]
pub struct Reply;
