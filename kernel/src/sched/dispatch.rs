//! The end of an entry: pick a thread and make it live on this core.

use super::{context, dequeue, enqueue_back, enqueue_front, is_schedulable, time};
use crate::{
    access::Kernel,
    arch,
    object::{TcbRef, ThreadState},
    system::Action,
    vspace,
};

/// Decides who runs on this core, and makes it so.
pub fn schedule(k: &mut Kernel<'_>) {
    time::awaken(k);
    let next = decide(k);
    switch_to(k, next);
}

/// Whether nothing has happened but what the running thread's registers tell: it goes on, and nothing else changes. What
/// is not looked at here (where its context is, whether that is configured, what other cores want) ends the calm.
pub fn goes_on(k: &Kernel<'_>) -> bool {
    let this = k.this();
    let Some(tcb) = this.current else {
        return false;
    };
    let thread = k.get(tcb);
    this.action == Action::Resume
        && time::is_calm(k)
        && thread.state == ThreadState::Running
        && thread.sc == this.current_sc
        && !thread.in_ready_queue
        && !thread.in_release_queue
        && thread.yield_to.is_none()
        && (!thread.wants_fpu() || this.fpu_owner == Some(tcb))
        && this.loaded_root == vspace::user_root(k, tcb)
}

/// Whether the thread can go on here. Its context may have moved to another core, or away, during this entry.
pub fn runs_here(k: &Kernel<'_>, tcb: TcbRef) -> bool {
    is_schedulable(k, tcb) && super::core_of(k, tcb) == k.me()
}

fn decide(k: &mut Kernel<'_>) -> Option<TcbRef> {
    let current = k.this().current;
    let stays = current.filter(|&tcb| runs_here(k, tcb));
    end_yield_of_blocked(k, current);
    let mut action = core::mem::replace(&mut k.this_mut().action, Action::Resume);

    if core::mem::take(&mut k.this_mut().pending) {
        // Another core changed our queues: nothing that was decided here still holds.
        k.this_mut().reprogram = true;
        if let Action::Switch(candidate) = action
            && runs_here(k, candidate)
        {
            enqueue_front(k, candidate);
        }
        action = Action::Choose;
    }
    if action == Action::Resume {
        if let Some(tcb) = stays
            && !k.get(tcb).in_ready_queue
        {
            return Some(tcb);
        }
        action = Action::Choose;
    }
    if let Some(tcb) = current
        && is_schedulable(k, tcb)
    {
        // On its core, which may be another one by now.
        leave(k, tcb);
        enqueue_front(k, tcb);
    }
    let best = k.this().ready.highest();
    if let Action::Switch(candidate) = action
        && runs_here(k, candidate)
    {
        let priority = k.get(candidate).priority;
        let running = current.map(|tcb| k.get(tcb).priority);
        let beaten = best.is_some_and(|(highest, _)| highest > priority);
        if running.is_none_or(|running| priority < running) && beaten {
            enqueue_front(k, candidate);
        } else if stays.is_some() && running == Some(priority) {
            enqueue_back(k, candidate);
        } else {
            return Some(candidate);
        }
    }
    k.this().ready.highest().map(|(_, tcb)| tcb)
}

/// A YieldTo ends when the thread that was yielded to blocks: what follows may happen on other cores.
fn end_yield_of_blocked(k: &mut Kernel<'_>, current: Option<TcbRef>) {
    if let Some(sc) = k.this().current_sc
        && let Some(yielder) = k.get(sc).yield_from
        && current.is_some_and(|tcb| !k.get(tcb).is_runnable())
    {
        time::commit(k);
        context::complete_yield_to(k, yielder);
    }
}

/// What only this core has of a thread goes back to memory, before another core may see the thread in a queue: its
/// floating-point state, and the completion of the cache maintenance that it started.
pub fn leave(k: &mut Kernel<'_>, tcb: TcbRef) {
    arch::completion_barrier();
    unload_fpu(k, tcb);
}

/// Saves the thread's floating-point state, if it is in this core's registers, and takes them from it.
pub fn unload_fpu(k: &mut Kernel<'_>, tcb: TcbRef) {
    if k.this().fpu_owner == Some(tcb) {
        arch::save_fpu(k.get_mut(tcb.fpu()));
        arch::allow_user_fpu(false);
        k.this_mut().fpu_owner = None;
    }
}

/// Makes this thread, or none, the live one.
#[inline]
pub fn switch_to(k: &mut Kernel<'_>, next: Option<TcbRef>) {
    let previous = k.this().current;
    if let Some(previous) = previous
        && next != Some(previous)
    {
        leave(k, previous);
    }
    if let Some(tcb) = next {
        let thread = k.get(tcb);
        if thread.in_ready_queue || thread.in_release_queue {
            dequeue(k, tcb);
        }
        k.get(tcb.home()).set(k.me());
    }
    if next != previous {
        k.this_mut().current = next;
        arch::set_current_context(next.map(TcbRef::context));
    }
    turn_to_context(k, next);
    let Some(tcb) = next else {
        load_root(k, arch::UserRoot::EMPTY);
        return;
    };
    // A thread that takes up its work again learns what came of the time it gave away, all of which is charged now.
    if k.get(tcb).yield_to.is_some() {
        context::complete_yield_to(k, tcb);
    }
    if k.get(tcb).state == ThreadState::Restart {
        let context = k.get_mut(tcb.context());
        context.next_ip = context.fault_ip;
        k.get_mut(tcb).state = ThreadState::Running;
    }
    if k.get(tcb).wants_fpu() && k.this().fpu_owner != Some(tcb) {
        load_fpu(k, tcb);
    }
    let root = vspace::user_root(k, tcb);
    load_root(k, root);
}

/// Makes nothing live on this core, and nobody pay. The thread that was is in a queue or cannot run.
pub fn set_idle(k: &mut Kernel<'_>) {
    if let Some(tcb) = k.this_mut().current.take() {
        leave(k, tcb);
    }
    arch::set_current_context(None);
    let core = k.this_mut();
    core.current_sc = None;
    core.consumed = 0;
    core.reprogram = true;
    load_root(k, arch::UserRoot::EMPTY);
}

/// Gives the floating-point registers to the live thread.
pub fn load_fpu(k: &mut Kernel<'_>, tcb: TcbRef) {
    arch::load_fpu(k.get(tcb.fpu()));
    arch::allow_user_fpu(true);
    k.this_mut().fpu_owner = Some(tcb);
}

fn load_root(k: &mut Kernel<'_>, root: arch::UserRoot) {
    if k.this().loaded_root != root {
        k.this_mut().loaded_root = root;
        arch::load_user_root(root);
    }
}

/// Charges the context that paid so far, lets the next one pay, and programs the timer for it.
#[inline(always)]
fn turn_to_context(k: &mut Kernel<'_>, next: Option<TcbRef>) {
    let sc = next.and_then(|tcb| k.get(tcb).sc);
    if k.this().current_sc == sc && !k.this().reprogram {
        return;
    }
    if let Some(sc) = sc
        && k.this().current_sc != Some(sc)
        && !k.get(sc).sporadic
    {
        let (now, limits) = (k.this().now, &k.machine().limits);
        k.refills(sc).unblock_check(now, limits);
    }
    k.this_mut().reprogram = false;
    time::commit(k);
    k.this_mut().current_sc = sc;
    time::program_timer(k);
}
