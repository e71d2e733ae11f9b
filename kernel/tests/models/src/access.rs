//! Stands for the kernel's `access`: the lock token. loom checks that each borrow is ordered after the last one by
//! another core.

#![allow(
    unsafe_code,
    reason = "as in the kernel, this is where guarded cells are borrowed"
)]

use core::marker::PhantomData;

use loom::cell::UnsafeCell;

use crate::{
    arch,
    object::{Home, ObjRef, SchedContext, Tcb},
    system::{Core, CoreFlags, Shared, System},
    types::{CoreId, CoreSet},
};

pub struct Kernel<'l> {
    system: &'static System,
    me: CoreId,
    doorbells: CoreSet,
    _locks: PhantomData<&'l mut *mut ()>,
}

/// An object of the model, and where it is.
pub trait Object: Sized {
    fn cell(system: &System, index: usize) -> &UnsafeCell<Self>;
}

impl Object for Tcb {
    fn cell(system: &System, index: usize) -> &UnsafeCell<Self> {
        &system.threads[index]
    }
}

impl Object for SchedContext {
    fn cell(_system: &System, _index: usize) -> &UnsafeCell<Self> {
        unreachable!("there are none in these models")
    }
}

impl Object for Home {
    fn cell(system: &System, index: usize) -> &UnsafeCell<Self> {
        &system.homes[index]
    }
}

impl Kernel<'_> {
    /// The kernel takes one lock where this is called. Threads have no homes in these models, so here all guard everything.
    pub fn lock_own(system: &'static System, me: CoreId) -> Self {
        Self::lock_all(system, me)
    }

    /// Mirrors the kernel's: every lock, in ascending order.
    pub fn lock_all(system: &'static System, me: CoreId) -> Self {
        for lock in &system.locks[..system.cores.len()] {
            lock.acquire();
        }
        Self {
            system,
            me,
            doorbells: CoreSet::EMPTY,
            _locks: PhantomData,
        }
    }

    /// Mirrors the kernel's: the locks, then the doorbells.
    pub fn release(self) {
        for lock in &self.system.locks[..self.system.cores.len()] {
            lock.release();
        }
        for core in self.doorbells.iter() {
            arch::ring(core);
        }
    }

    pub fn me(&self) -> CoreId {
        self.me
    }

    pub fn system(&self) -> &'static System {
        self.system
    }

    pub fn cores(&self) -> impl Iterator<Item = CoreId> + use<> {
        (0..self.system.cores.len() as u16).map(CoreId)
    }

    pub fn flags(&self, core: CoreId) -> &'static CoreFlags {
        &self.system.flags[core.index()]
    }

    pub fn ring_later(&mut self, core: CoreId) {
        self.doorbells.insert(core);
    }

    pub fn get<T: Object>(&self, object: ObjRef<T>) -> &T {
        read(T::cell(self.system, object.index()))
    }

    pub fn get_mut<T: Object>(&mut self, object: ObjRef<T>) -> &mut T {
        write(T::cell(self.system, object.index()))
    }

    pub fn core(&self, core: CoreId) -> &Core {
        read(&self.system.cores[core.index()])
    }

    pub fn core_mut(&mut self, core: CoreId) -> &mut Core {
        write(&self.system.cores[core.index()])
    }

    pub fn this(&self) -> &Core {
        self.core(self.me)
    }

    pub fn this_mut(&mut self) -> &mut Core {
        self.core_mut(self.me)
    }

    pub fn shared_mut(&mut self) -> &mut Shared {
        write(&self.system.shared)
    }
}

fn read<T>(cell: &UnsafeCell<T>) -> &T {
    // SAFETY: the caller's token is borrowed; loom panics if the locks do not order this after the last write.
    cell.with(|content| unsafe { &*content })
}

#[allow(
    clippy::mut_from_ref,
    reason = "the caller's token is borrowed exclusively"
)]
fn write<T>(cell: &UnsafeCell<T>) -> &mut T {
    // SAFETY: as in `read`.
    cell.with_mut(|content| unsafe { &mut *content })
}

/// Adds to a register in memory: one that is guarded by who is live where, not by a lock.
pub fn add(register: &UnsafeCell<u32>, more: u32) {
    // SAFETY: loom panics if another core's access is not ordered with this one.
    register.with_mut(|value| unsafe { *value += more });
}

/// Reads such a register.
pub fn value(register: &UnsafeCell<u32>) -> u32 {
    // SAFETY: as in `add`.
    register.with(|value| unsafe { *value })
}

/// Writes such a register.
pub fn set(register: &UnsafeCell<u32>, new: u32) {
    // SAFETY: as in `add`.
    register.with_mut(|value| unsafe { *value = new });
}
