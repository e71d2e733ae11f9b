//! The end of a short cut: who runs next.

use super::{Exit, Short};
use crate::{
    access::Kernel,
    arch,
    config::SMP,
    object::{ScRef, TcbRef},
    sched, vspace,
};

/// Whether the running thread may begin to wait and the scheduler would go straight to `to`, which can run.
#[inline(always)]
pub(super) fn may_follow(k: &Kernel<'_>, from: TcbRef, to: TcbRef) -> bool {
    let priority = k.get(to).priority;
    may_wait(k)
        && k.get(to).yield_to.is_none()
        && (priority >= k.get(from).priority
            || k.this()
                .ready
                .highest_priority()
                .is_none_or(|highest| highest <= priority))
}

/// Whether nobody waits for the result of a YieldTo that ends when the running thread waits.
#[inline(always)]
pub(super) fn may_wait(k: &Kernel<'_>) -> bool {
    k.this()
        .current_sc
        .is_some_and(|sc| k.get(sc).yield_from.is_none())
}

/// Whether a thread that waits here can run with its own scheduling context as soon as it is woken: its context, if so.
#[inline(always)]
pub(super) fn wakeable(k: &Kernel<'_>, tcb: TcbRef, now: u64) -> Option<ScRef> {
    let sc = k.get(tcb).sc?;
    if SMP && k.get(sc.core()).get() != k.me() {
        return None;
    }
    (!k.get(sc).sporadic && sched::context::has_budget_at(k, sc, now)).then_some(sc)
}

/// Makes `to` the live thread, with the context that pays already. All that `from` has to leave is left.
#[inline(always)]
pub(super) fn lend_core(k: &mut Kernel<'_>, from: TcbRef, to: TcbRef) {
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

/// The running thread, which can go on, has woken another one: the better of them runs. `turn` says that the other one
/// takes its turn behind its equals even where it is worse (signals); a message's receiver goes before them.
#[inline(always)]
pub(super) fn compete(k: &mut Kernel<'_>, current: TcbRef, woken: TcbRef, turn: bool) -> Exit {
    let (running, priority) = (k.get(current).priority, k.get(woken).priority);
    if priority > running {
        sched::enqueue_running(k, current);
        sched::switch_to(k, Some(woken));
        return Exit::Any;
    }
    if turn || priority == running {
        sched::enqueue_back(k, woken);
    } else {
        sched::enqueue_front(k, woken);
    }
    Exit::Same
}

/// The best ready thread, if there is one that goes on as it is.
#[inline(always)]
pub(super) fn next(k: &Kernel<'_>) -> Option<TcbRef> {
    let (_, tcb) = k.this().ready.highest()?;
    Some(tcb)
}

/// The running thread waits, and the best ready one, if there is one, runs.
pub(super) fn next_runs(k: &mut Kernel<'_>, next: TcbRef) -> Short {
    sched::switch_to(k, Some(next));
    Some(Exit::Any)
}
