//! Stands for the kernel's `arch`: how cores wait and wake each other.
//!
//! Waits block in loom, so a core that is never woken is a deadlock that loom reports. The model is the strictest that
//! the architecture allows: no event for nothing, none from other words than the one that is waited for, and a core's
//! own SEV is not kept for itself. A wake-up orders what the waker did before it (for an SGI and for SEV, by their
//! barrier; for a store to a watched word it is more than the hardware promises, but executions without a wait are
//! explored as well, and have only the store's own order).

use std::{cell::Cell, sync::Mutex};

use loom::{
    sync::atomic::{AtomicBool, Ordering},
    thread::{self, Thread},
};

use crate::{
    config::MAX_NUM_NODES,
    sync::AtomicU32,
    system::{Variant, setup, system},
    types::CoreId,
};

/// Something that one core waits for and others cause.
pub struct Event {
    flag: AtomicBool,
    /// Who sleeps. Not part of the model: loom never switches between an access to `flag` and the next one to this.
    sleeper: Mutex<Option<Thread>>,
}

impl Event {
    pub fn new() -> Self {
        Self {
            flag: AtomicBool::new(false),
            sleeper: Mutex::new(None),
        }
    }

    fn sleeper(&self) -> std::sync::MutexGuard<'_, Option<Thread>> {
        self.sleeper.lock().expect("no panic while it is held")
    }

    // Every access reads and modifies, so that all of them are in one order and none sees an old value.
    fn cause(&self) {
        self.flag.swap(true, Ordering::AcqRel);
        let sleeper = self.sleeper().take();
        if let Some(sleeper) = sleeper {
            sleeper.unpark();
        }
    }

    fn take(&self) -> bool {
        self.flag.swap(false, Ordering::AcqRel)
    }

    fn is_pending(&self) -> bool {
        self.flag.fetch_or(false, Ordering::AcqRel)
    }

    fn sleep_unless(&self, awake: impl Fn(&Self) -> bool) {
        while !awake(self) {
            *self.sleeper() = Some(thread::current());
            thread::park();
        }
    }
}

impl Default for Event {
    fn default() -> Self {
        Self::new()
    }
}

loom::thread_local! {
    static ME: Cell<usize> = Cell::new(0);
}

/// This thread is that core from now on.
pub fn become_core(core: CoreId) {
    ME.with(|me| me.set(core.index()));
}

pub fn this_core() -> CoreId {
    CoreId(ME.with(Cell::get) as u16)
}

/// Who waits for a store to which word. Not part of the model.
pub struct Monitors([Mutex<Option<(usize, Thread)>>; MAX_NUM_NODES]);

impl Monitors {
    pub fn new() -> Self {
        Self([const { Mutex::new(None) }; MAX_NUM_NODES])
    }

    fn of(&self, core: usize) -> std::sync::MutexGuard<'_, Option<(usize, Thread)>> {
        self.0[core].lock().expect("no panic while it is held")
    }
}

impl Default for Monitors {
    fn default() -> Self {
        Self::new()
    }
}

fn address(word: &AtomicU32) -> usize {
    core::ptr::from_ref(word).addr()
}

/// A word was written: whoever watches it wakes.
pub fn stored(word: &AtomicU32) {
    let monitors = &system().monitors;
    for core in 0..setup().cores {
        let sleeper = monitors
            .of(core)
            .take_if(|(watched, _)| *watched == address(word));
        if let Some((_, thread)) = sleeper {
            thread.unpark();
        }
    }
}

/// As `ldaxr` and `wfe` in a loop: the load may see an old value, but then the newer store has cleared the monitor.
pub fn wait_until_equal(word: &AtomicU32, value: u32) {
    while word.load(Ordering::Acquire) != value {
        if word.is_latest(value) {
            thread::yield_now();
        } else {
            *system().monitors.of(this_core().index()) = Some((address(word), thread::current()));
            thread::park();
        }
    }
}

pub fn wait_for_event() {
    system().events[this_core().index()].sleep_unless(Event::take);
}

pub fn send_event() {
    if setup().variant == Variant::NoEvents {
        return;
    }
    for core in 0..setup().cores {
        if core != this_core().index() {
            system().events[core].cause();
        }
    }
}

/// WFI: does not take the interrupt.
pub fn wait_for_interrupt() {
    system().interrupts[this_core().index()].sleep_unless(Event::is_pending);
}

/// User mode takes an interrupt if there is one.
pub fn interrupt_pending() -> bool {
    system().interrupts[this_core().index()].is_pending()
}

/// Acknowledges the doorbell, if it rang.
pub fn acknowledge() {
    system().interrupts[this_core().index()].take();
}

pub fn ring(core: CoreId) {
    system().interrupts[core.index()].cause();
}

pub fn interleave() {}
