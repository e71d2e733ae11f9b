//! The end of a short cut that hands its scheduling context on: the other thread becomes the live one.

use crate::{
    access::Kernel,
    arch,
    config::SMP,
    object::{ScRef, TcbRef},
    sched, vspace,
};

/// Whether the scheduler would go from `from`, which is about to wait, straight to `to`, which gets its context.
#[inline(always)]
pub(super) fn may_switch(k: &Kernel<'_>, from: TcbRef, to: TcbRef, sc: ScRef) -> bool {
    let priority = k.get(to).priority;
    (priority >= k.get(from).priority
        || k.this()
            .ready
            .highest_priority()
            .is_none_or(|highest| highest <= priority))
        && k.get(sc).yield_from.is_none()
        && k.get(to).yield_to.is_none()
}

/// Makes `to` the live thread. All that `from` has to leave is left.
#[inline(always)]
pub(super) fn switch(k: &mut Kernel<'_>, from: TcbRef, to: TcbRef) {
    arch::completion_barrier();
    if k.this().fpu_owner == Some(from) {
        sched::unload_fpu(k, from);
    }
    if SMP {
        k.get(to.home()).set(k.me());
    }
    let root = vspace::user_root(k, to);
    let this = k.this_mut();
    this.current = Some(to);
    if this.loaded_root != root {
        this.loaded_root = root;
        arch::load_user_root(root);
    }
    arch::set_current_context(Some(to.context()));
    if k.get(to).wants_fpu() {
        sched::load_fpu(k, to);
    }
}
