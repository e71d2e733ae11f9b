//! Stands for the kernel's `sync`: loom's atomics, with what a model needs beside them.
//!
//! loom's constructors are not constant and the kernel's locks are made by constant ones, so the inner atomic is made at
//! the first use. [`AtomicU32::touch`] has to be that use, before there are threads: loom takes the making for a write.

use std::{
    cell::Cell,
    sync::{
        OnceLock,
        atomic::{AtomicU32 as Plain, Ordering::SeqCst},
    },
};

pub use loom::sync::atomic::Ordering;

use crate::arch;

std::thread_local! {
    static WEAKENED: Cell<Option<Ordering>> = const { Cell::new(None) };
    static FLAGS_RELAXED: Cell<bool> = const { Cell::new(false) };
}

/// From now on accesses to lock words with this order are relaxed: a defect that has to be found. `None`: none are.
pub fn weaken(order: Option<Ordering>) {
    WEAKENED.set(order);
}

/// From now on all accesses to a core's flags are relaxed, or as the kernel has them.
pub fn relax_flags(relaxed: bool) {
    FLAGS_RELAXED.set(relaxed);
}

fn actual(order: Ordering) -> Ordering {
    if WEAKENED.get() == Some(order) {
        Ordering::Relaxed
    } else {
        order
    }
}

/// A flag of a core.
pub struct AtomicBool(loom::sync::atomic::AtomicBool);

impl AtomicBool {
    pub fn new(value: bool) -> Self {
        Self(loom::sync::atomic::AtomicBool::new(value))
    }

    fn actual(order: Ordering) -> Ordering {
        if FLAGS_RELAXED.get() {
            Ordering::Relaxed
        } else {
            order
        }
    }

    pub fn load(&self, order: Ordering) -> bool {
        self.0.load(Self::actual(order))
    }

    pub fn store(&self, value: bool, order: Ordering) {
        self.0.store(value, Self::actual(order));
    }
}

/// A word of a lock, on which cores can wait.
pub struct AtomicU32 {
    initial: u32,
    inner: OnceLock<loom::sync::atomic::AtomicU32>,
    /// The last value stored, which a load need not see yet. No part of the model: for waits only, see [`arch`].
    latest: Plain,
}

impl AtomicU32 {
    pub const fn new(value: u32) -> Self {
        Self {
            initial: value,
            inner: OnceLock::new(),
            latest: Plain::new(value),
        }
    }

    fn inner(&self) -> &loom::sync::atomic::AtomicU32 {
        self.inner
            .get_or_init(|| loom::sync::atomic::AtomicU32::new(self.initial))
    }

    /// Makes the inner atomic.
    pub fn touch(&self) {
        self.inner();
    }

    pub fn load(&self, order: Ordering) -> u32 {
        self.inner().load(actual(order))
    }

    pub fn store(&self, value: u32, order: Ordering) {
        self.inner().store(value, actual(order));
        self.latest.store(value, SeqCst);
        arch::stored(self);
    }

    pub fn fetch_add(&self, more: u32, order: Ordering) -> u32 {
        self.inner().fetch_add(more, actual(order))
    }

    pub fn compare_exchange(
        &self,
        current: u32,
        new: u32,
        success: Ordering,
        failure: Ordering,
    ) -> Result<u32, u32> {
        self.inner()
            .compare_exchange(current, new, actual(success), actual(failure))
    }

    /// Whether `value` is the last one stored.
    pub fn is_latest(&self, value: u32) -> bool {
        self.latest.load(SeqCst) == value
    }
}
