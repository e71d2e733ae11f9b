//! The cores of a simulated machine: several flows of control, of which one goes on at a time, until it stops.
//!
//! There are two kinds with one interface. Coroutines are fast. Threads of the operating system run wherever Rust does,
//! Miri above all, which cannot execute the few instructions of assembly that switch a coroutine's stack. Which of them
//! is in use makes no difference to what a core does: it knows only that it stops, and goes on with an input.

#![allow(
    unsafe_code,
    reason = "a core is stopped from deep inside the kernel's code"
)]

#[cfg(not(miri))]
mod coroutines;
mod threads;

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use tern_kernel::entry::Cause;

use crate::machine::MAX_CORES;

/// Bytes of a core's stack.
const STACK: usize = 256 * 1024;

/// Where a core has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// In user mode: it wants a trap.
    User,
    /// In the kernel, at a place where others may come in between.
    Point,
    /// As a point, after it sent an event or a doorbell: it may hold locks, and have changed things.
    Sent,
    /// In the kernel, about to release its locks: what it did is complete.
    Publish,
    /// It sleeps until the word has this value.
    Lock(Word, u32),
    /// It sleeps until an event.
    Event,
    /// It sleeps until an interrupt.
    Interrupt,
}

/// A word of the kernel's state. It lives as long as the machine.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Word(*const AtomicU32);

// SAFETY: all that is done with it is to load the word, which is atomic.
unsafe impl Send for Word {}

impl Word {
    pub(crate) fn new(word: &AtomicU32) -> Self {
        Self(word)
    }

    pub(crate) fn load(self) -> u32 {
        // SAFETY: the kernel's locks live as long as the machine, and whoever holds a `Word` asks while it lives.
        let word = unsafe { &*self.0 };
        word.load(Ordering::Acquire)
    }

    pub(crate) fn address(self) -> usize {
        self.0.addr()
    }
}

impl fmt::Debug for Word {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Pointer::fmt(&self.0, f)
    }
}

/// What a core goes on with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    Go,
    /// User mode stores some words and enters the kernel.
    Trap(Cause, Vec<Store>),
}

/// A store that user mode makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Store {
    /// Into the running thread's registers, where the kernel keeps them.
    Register { address: usize, value: u64 },
    /// Into memory that others may have mapped too.
    Memory { address: usize, value: u64 },
}

/// The core's side.
pub(crate) trait Pause {
    /// Stops here. Returns when the core goes on.
    fn pause(&self, stop: Stop) -> Input;
}

/// What a core does, from its first step on: its number, and how it stops. It never returns.
pub(crate) type Work = Arc<dyn Fn(usize, &dyn Pause) + Send + Sync>;

/// The side of whoever drives the machine.
pub(crate) trait Cores {
    /// Lets a core go on, alone, until it stops. A panic of the core is one here.
    fn resume(&mut self, core: usize, input: Input) -> Stop;
}

/// What cores are made of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    #[cfg(not(miri))]
    Coroutines,
    /// Threads, handed over to one another with everything they did: no two of them are ever at work.
    Threads,
}

impl Default for Kind {
    /// The fastest that there is.
    fn default() -> Self {
        #[cfg(not(miri))]
        return Self::Coroutines;
        #[cfg(miri)]
        return Self::Threads;
    }
}

impl Kind {
    /// The cores stand before their first step. They end when the value goes.
    pub(crate) fn start(self, count: usize, work: Work) -> Box<dyn Cores> {
        match self {
            #[cfg(not(miri))]
            Self::Coroutines => Box::new(coroutines::Coroutines::new(count, &work)),
            Self::Threads => Box::new(threads::Threads::new(count, &work)),
        }
    }
}

std::thread_local! {
    /// How each core that this thread plays stops. All of them in one, if they are coroutines.
    static PAUSES: [Cell<Option<*const dyn Pause>>; MAX_CORES] = const { [const { Cell::new(None) }; MAX_CORES] };
}

/// Does a core's work, from whose depth [`pause`] can then be called.
pub(crate) fn run(core: usize, pause: &dyn Pause, work: &Work) {
    // SAFETY: only the lifetime changes, and nobody but this core uses the pointer, within `work`, which ends first.
    let lasting = unsafe { std::mem::transmute::<&dyn Pause, &'static dyn Pause>(pause) };
    PAUSES.with(|pauses| pauses[core].set(Some(lasting)));
    work(core, pause);
}

/// Stops the core that runs on this thread.
pub(crate) fn pause(core: usize, stop: Stop) -> Input {
    let pause = PAUSES.with(|pauses| pauses[core].get());
    let pause = pause.expect("a core runs here");
    // SAFETY: set by `run`, in whose call this is, and `run` borrows it.
    let pause = unsafe { &*pause };
    pause.pause(stop)
}
