//! Stands for the kernel's `system`: what the cores share. Core c runs thread c, or nothing.

use std::cell::Cell;

use loom::cell::UnsafeCell;

use crate::{
    arch::{Event, Monitors},
    object::{Home, Tcb, TcbRef},
    smp::lock::TicketLock,
    sync::AtomicBool,
    types::CoreId,
};

/// What a model is about: set before loom starts, the same in all executions.
#[derive(Clone, Copy)]
pub struct Setup {
    pub cores: usize,
    pub variant: Variant,
}

/// The protocols as they are, or a variant that looks right and is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    Real,
    /// `will_look` is cleared after the locks have been released.
    LookEndsAfterRelease,
    /// Cores are stopped without the stop lock.
    NoStopLock,
    /// A core parks first, and saves its thread's floating-point state afterwards.
    SaveAfterParking,
    /// Nobody is stopped: the live thread is changed under the locks alone.
    NoStop,
    /// The events that wake a core which waits for `hold`, `parked` or its turn are left out.
    NoEvents,
}

std::thread_local! {
    // loom runs all threads of a model on the thread that started it.
    static SETUP: Cell<Setup> = const { Cell::new(Setup { cores: 1, variant: Variant::Real }) };
}

pub fn setup() -> Setup {
    SETUP.get()
}

pub fn set_up(setup: Setup) {
    SETUP.set(setup);
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Choose,
}

/// What core c has: reached under `L[c]` only.
pub struct Core {
    pub current: Option<TcbRef>,
    /// Thread c is in the ready queue.
    pub ready: bool,
    pub pending: bool,
    pub action: Action,
    pub reprogram: bool,
    pub calm_until: u64,
}

/// As the kernel's.
pub struct CoreFlags {
    pub will_look: AtomicBool,
    pub hold: AtomicBool,
    pub parked: AtomicBool,
}

/// Written with all locks held.
#[derive(Default)]
pub struct Shared {
    /// Threads that have come to their end, or were suspended.
    pub finished: usize,
}

pub struct System {
    // On the heap: loom's stacks are small, and locks are padded.
    pub locks: Vec<TicketLock>,
    pub stop: Box<TicketLock>,
    pub flags: Vec<CoreFlags>,
    pub cores: Vec<UnsafeCell<Core>>,
    pub threads: Vec<UnsafeCell<Tcb>>,
    pub homes: Vec<UnsafeCell<Home>>,
    /// General registers of each thread, as a trap leaves them: written without a lock by the core where it is live.
    pub contexts: Vec<UnsafeCell<u32>>,
    /// Saved floating-point registers of each thread.
    pub fpu: Vec<UnsafeCell<u32>>,
    pub shared: UnsafeCell<Shared>,
    pub interrupts: Vec<Event>,
    pub events: Vec<Event>,
    pub monitors: Monitors,
}

#[allow(unsafe_code, reason = "as in the kernel")]
// SAFETY: the cells are reached through `access::Kernel` and `object::user`, and loom checks each access. loom runs
// one thread at a time.
unsafe impl Sync for System {}

#[allow(unsafe_code, reason = "as in the kernel")]
// SAFETY: as above.
unsafe impl Send for System {}

impl System {
    fn new(cores: usize) -> Self {
        let system = Self {
            locks: (0..cores).map(|_| TicketLock::new()).collect(),
            stop: Box::new(TicketLock::new()),
            flags: (0..cores)
                .map(|_| CoreFlags {
                    will_look: AtomicBool::new(false),
                    hold: AtomicBool::new(false),
                    parked: AtomicBool::new(false),
                })
                .collect(),
            cores: (0..cores)
                .map(|core| {
                    UnsafeCell::new(Core {
                        current: Some(TcbRef::nth(core)),
                        ready: false,
                        pending: false,
                        action: Action::Choose,
                        reprogram: false,
                        calm_until: 0,
                    })
                })
                .collect(),
            threads: (0..cores).map(|_| UnsafeCell::new(Tcb::new())).collect(),
            homes: (0..cores as u16)
                .map(|core| UnsafeCell::new(Home(CoreId(core))))
                .collect(),
            contexts: (0..cores).map(|_| UnsafeCell::new(0)).collect(),
            fpu: (0..cores).map(|_| UnsafeCell::new(0)).collect(),
            shared: UnsafeCell::new(Shared::default()),
            interrupts: (0..cores).map(|_| Event::new()).collect(),
            events: (0..cores).map(|_| Event::new()).collect(),
            monitors: Monitors::new(),
        };
        for lock in system.locks.iter().chain([&*system.stop]) {
            // Makes the atomics of both words.
            lock.has_waiter();
        }
        system
    }
}

loom::lazy_static! {
    static ref SYSTEM: System = System::new(setup().cores);
}

/// The system of this execution. The thread that starts the others has to be the first to ask.
pub fn system() -> &'static System {
    &SYSTEM
}
