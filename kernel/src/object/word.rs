//! Words of objects that other cores may look at without the lock that guards them.
//!
//! They are written under the lock, so whoever holds that reads what is so. Any other core that holds a lock may read
//! them as a hint, which says where to look and is asked again once the right locks are held; the object itself cannot go
//! meanwhile, because that takes every lock. Relaxed: the locks order what they guard, and a hint promises nothing.

use core::{
    marker::PhantomData,
    sync::atomic::{AtomicU16, AtomicU64, AtomicUsize, Ordering},
};

use super::{ObjRef, Object};
use crate::types::CoreId;

/// A reference, or none.
pub struct Link<T> {
    address: AtomicUsize,
    _type: PhantomData<fn() -> T>,
}

impl<T> Link<T> {
    pub const fn none() -> Self {
        Self {
            address: AtomicUsize::new(0),
            _type: PhantomData,
        }
    }

    pub fn get(&self) -> Option<ObjRef<T>> {
        ObjRef::from_address_opt(self.address.load(Ordering::Relaxed))
    }

    pub fn set(&self, to: Option<ObjRef<T>>) {
        let address = to.map_or(0, ObjRef::address);
        self.address.store(address, Ordering::Relaxed);
    }

    pub fn take(&self) -> Option<ObjRef<T>> {
        let was = self.get();
        self.set(None);
        was
    }
}

impl<T> Default for Link<T> {
    fn default() -> Self {
        Self::none()
    }
}

/// A word of 64 bits.
pub struct Word(AtomicU64);

impl Word {
    pub const fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }
}

/// The core whose lock guards an object.
pub struct Home(AtomicU16);

impl Object for Home {}

impl Home {
    pub const fn new(core: CoreId) -> Self {
        Self(AtomicU16::new(core.0))
    }

    pub fn get(&self) -> CoreId {
        CoreId(self.0.load(Ordering::Relaxed))
    }

    pub fn set(&self, core: CoreId) {
        self.0.store(core.0, Ordering::Relaxed);
    }
}
