//! Stands for the kernel's `sched`: core c runs thread c or nothing. A thread's floating-point state is in the
//! processor while it is live.

use std::cell::Cell;

use crate::{
    access::{self, Kernel},
    object::{TcbRef, ThreadState},
    system::{Variant, setup},
};

loom::thread_local! {
    /// The floating-point registers of this core.
    static FPU: Cell<u32> = Cell::new(0);
}

/// User level uses a floating-point register.
pub fn use_fpu() {
    FPU.with(|fpu| fpu.set(fpu.get() + 1));
}

fn is_schedulable(k: &Kernel<'_>, tcb: TcbRef) -> bool {
    k.get(tcb).state != ThreadState::Inactive
}

/// Mirrors `sched::schedule`: what others left is taken, and the thread made live if it can run.
pub fn schedule(k: &mut Kernel<'_>) {
    k.this_mut().pending = false;
    let tcb = TcbRef::nth(k.me().index());
    if !is_schedulable(k, tcb) {
        k.this_mut().ready = false;
        set_idle(k);
    } else if k.this().current.is_none() {
        k.this_mut().ready = false;
        k.this_mut().current = Some(tcb);
        let saved = access::value(&k.system().fpu[tcb.index()]);
        FPU.with(|fpu| fpu.set(saved));
    }
    if k.get(tcb).state == ThreadState::Restart {
        k.get_mut(tcb).state = ThreadState::Running;
    }
}

/// Mirrors `sched::set_idle` with `dispatch::leave`.
pub fn set_idle(k: &mut Kernel<'_>) {
    if let Some(tcb) = k.this_mut().current.take()
        && setup().variant != Variant::SaveAfterParking
    {
        save_fpu(k.system(), tcb);
    }
}

pub fn save_fpu(system: &crate::system::System, tcb: TcbRef) {
    let live = FPU.with(Cell::get);
    access::set(&system.fpu[tcb.index()], live);
}

/// The kernel's accounting has no part in these models.
pub mod time {
    use super::{Kernel, is_schedulable};

    pub fn stamp(_k: &mut Kernel<'_>) {}
    pub fn stamp_unaccounted(_k: &mut Kernel<'_>) {}

    /// Mirrors the kernel's: the thread goes back to its queue.
    pub fn put_aside(k: &mut Kernel<'_>) {
        if let Some(tcb) = k.this().current
            && is_schedulable(k, tcb)
        {
            k.this_mut().ready = true;
        }
    }
}
