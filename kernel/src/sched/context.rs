//! Scheduling contexts: who has one, and what happens when it is bound, lent, configured, moved or taken away.
//!
//! A thread that is live on another core never loses its context here: callers stop that core first.

use super::{dequeue, enqueue_front, is_schedulable, postpone, reschedule, time};
use crate::{
    access::Kernel,
    ipc,
    object::{NotificationRef, ScRef, StackLink, TcbRef},
    smp,
    types::CoreId,
};

/// Whether the head refill is due. It is always large enough for an entry.
pub fn has_budget(k: &Kernel<'_>, sc: ScRef) -> bool {
    has_budget_at(k, sc, k.this().now)
}

pub fn has_budget_at(k: &Kernel<'_>, sc: ScRef, now: mcs::Ticks) -> bool {
    let refills = k.refills_ref(sc);
    debug_assert!(!k.get(sc).is_active() || refills.sufficient(0, &k.machine().limits));
    refills.ready(now)
}

/// A sporadic context is brought up to date when its thread wakes. (Others are when a core turns to them.)
pub fn unblock_sporadic(k: &mut Kernel<'_>, sc: ScRef) {
    if k.get(sc).sporadic && k.get(sc).is_active() && k.this().current_sc != Some(sc) {
        let (now, limits) = (k.this().now, &k.machine().limits);
        k.refills(sc).unblock_check(now, limits);
    }
}

/// The thread of a context whose head refill is not due waits for it.
pub fn resume(k: &mut Kernel<'_>, sc: ScRef) {
    if let Some(tcb) = k.get(sc).tcb
        && is_schedulable(k, tcb)
        && !has_budget(k, sc)
    {
        postpone(k, tcb);
    }
}

fn attach(k: &mut Kernel<'_>, sc: ScRef, tcb: TcbRef) {
    let core = k.get(sc.core()).get();
    k.get_mut(sc).tcb = Some(tcb);
    let thread = k.get_mut(tcb);
    thread.sc = Some(sc);
    thread.affinity = core;
}

/// Hands a context to a thread that has none; whoever has it loses it.
pub fn donate(k: &mut Kernel<'_>, sc: ScRef, to: TcbRef) {
    release_tcb(k, sc);
    attach(k, sc, to);
}

/// Takes the context from the thread that has it, if one has.
pub fn release_tcb(k: &mut Kernel<'_>, sc: ScRef) {
    let Some(tcb) = k.get(sc).tcb else { return };
    // It may get another context, of another core: a YieldTo does not last that long.
    complete_yield_to(k, tcb);
    dequeue(k, tcb);
    k.get_mut(tcb).sc = None;
    k.get_mut(sc).tcb = None;
    if k.this().action == crate::system::Action::Switch(tcb) {
        reschedule(k);
    }
}

/// Binds a free context to a thread without one.
pub fn bind(k: &mut Kernel<'_>, sc: ScRef, tcb: TcbRef) {
    attach(k, sc, tcb);
    unblock_sporadic(k, sc);
    if !is_schedulable(k, tcb) {
        return;
    }
    if has_budget(k, sc) {
        enqueue_front(k, tcb);
        reschedule(k);
    } else {
        postpone(k, tcb);
    }
}

pub fn bind_notification(k: &mut Kernel<'_>, sc: ScRef, notification: NotificationRef) {
    k.get_mut(sc).notification = Some(notification);
    k.get(notification).sc.set(Some(sc));
}

pub fn unbind_notification(k: &mut Kernel<'_>, sc: ScRef) {
    if let Some(notification) = k.get_mut(sc).notification.take() {
        k.get(notification).sc.set(None);
    }
}

/// Frees a context of its thread and its notification; callers get nothing back with their replies.
pub fn unbind_all(k: &mut Kernel<'_>, sc: ScRef) {
    release_tcb(k, sc);
    unbind_notification(k, sc);
    if let Some(reply) = k.get_mut(sc).reply.take() {
        k.get(reply).set_above(StackLink::None);
    }
}

/// The last capability to a context goes.
pub fn finalise(k: &mut Kernel<'_>, sc: ScRef) {
    if let Some(yielder) = k.get(sc).yield_from {
        complete_yield_to(k, yielder);
    }
    unbind_all(k, sc);
    k.get_mut(sc).refills = mcs::RefillState::default();
    if k.this().current_sc == Some(sc) {
        k.this_mut().current_sc = None;
        k.this_mut().consumed = 0;
        k.this_mut().reprogram = true;
    }
}

/// Parameters of `SchedControl_ConfigureFlags`, in ticks.
#[derive(Clone, Copy, Debug)]
pub struct Parameters {
    pub budget: u64,
    pub period: u64,
    pub max_refills: u32,
    pub badge: u64,
    pub sporadic: bool,
    pub core: CoreId,
}

/// Sets the parameters of a context and the core on which it is valid. Its thread is not live on another core.
///
/// Staying on a core follows the interface's rules for refills. Moving to another keeps what is left: else whoever
/// moves a thread often would multiply its budget.
pub fn configure(k: &mut Kernel<'_>, sc: ScRef, p: Parameters) {
    let tcb = k.get(sc).tcb;
    let runnable = tcb.is_some_and(|tcb| k.get(tcb).is_runnable());
    if let Some(tcb) = tcb {
        dequeue(k, tcb);
    }
    if let Some(yielder) = k.get(sc).yield_from
        && p.core != k.get(sc.core()).get()
    {
        // Both ends of a YieldTo are on one core while it lasts.
        complete_yield_to(k, yielder);
    }
    if k.this().current_sc == Some(sc) {
        time::commit(k);
        k.this_mut().reprogram = true;
    }
    let (now, limits) = (k.this().now, &k.machine().limits);
    let moves = k.get(sc.core()).get() != p.core && k.get(sc).is_active();
    let active = k.get(sc).is_active();
    let was_sporadic = k.get(sc).sporadic;
    let mut refills = k.refills(sc);
    if moves {
        refills.migrate(p.budget, p.period, p.max_refills, now, limits);
        if p.sporadic && !was_sporadic {
            // From now on it is brought up to date when its thread wakes. What came before was not.
            refills.unblock_check(now, limits);
        }
    } else if p.budget == p.period {
        refills.round_robin(p.budget, p.max_refills, now);
    } else if active && runnable {
        refills.update(p.budget, p.period, p.max_refills, now, limits);
    } else {
        refills.new_budget(p.budget, p.period, p.max_refills, now);
    }
    let context = k.get_mut(sc);
    context.badge = p.badge;
    context.sporadic = p.sporadic;
    k.get(sc.core()).set(p.core);
    let Some(tcb) = tcb else { return };
    if k.get(tcb).yield_to.is_some() && p.core != k.get(tcb).affinity {
        complete_yield_to(k, tcb);
    }
    k.get_mut(tcb).affinity = p.core;
    if !runnable {
        return;
    }
    resume(k, sc);
    if k.this().current == Some(tcb) {
        reschedule(k);
    } else {
        super::switch_candidate(k, tcb);
    }
}

/// Microseconds used since the last read.
pub fn take_consumed(k: &mut Kernel<'_>, sc: ScRef) -> u64 {
    let ticks = core::mem::take(&mut k.get_mut(sc).consumed);
    k.machine().limits.ticks_to_us(ticks)
}

/// The caller runs `sc`'s thread before itself. Tells whether it must wait for the result.
pub fn yield_to(k: &mut Kernel<'_>, caller: TcbRef, sc: ScRef) -> bool {
    if let Some(earlier) = k.get(sc).yield_from {
        complete_yield_to(k, earlier);
    }
    let target = k.get(sc).tcb.expect("checked: the context has a thread");
    if smp::stop::live_elsewhere(k, target).is_some() {
        // It runs already, ahead of every queue.
        return false;
    }
    resume(k, sc);
    if !is_schedulable(k, target) {
        return false;
    }
    let (here, local) = (k.me(), k.get(sc.core()).get());
    if local != here || k.get(target).priority < k.get(caller).priority {
        dequeue(k, target);
        enqueue_front(k, target);
        return false;
    }
    k.get_mut(sc).yield_from = Some(caller);
    k.get_mut(caller).yield_to = Some(sc);
    dequeue(k, target);
    enqueue_front(k, caller);
    enqueue_front(k, target);
    reschedule(k);
    true
}

/// Ends a YieldTo: the caller finds the time that the target used as its result.
pub fn complete_yield_to(k: &mut Kernel<'_>, caller: TcbRef) {
    let Some(sc) = k.get_mut(caller).yield_to.take() else {
        return;
    };
    k.get_mut(sc).yield_from = None;
    let used = take_consumed(k, sc);
    let context = k.get_mut(caller.context());
    context.x[0] = 0;
    context.x[1] = sel4_abi::MessageInfo::new(0, 0, 0, 1).0;
    context.x[2] = used;
}

/// Ends a YieldTo whose caller goes: nobody waits for the result.
pub fn cancel_yield_to(k: &mut Kernel<'_>, caller: TcbRef) {
    if let Some(sc) = k.get_mut(caller).yield_to.take() {
        k.get_mut(sc).yield_from = None;
    }
}

/// A thread goes: everything that ties it to contexts ends.
pub fn unbind_thread(k: &mut Kernel<'_>, tcb: TcbRef) {
    cancel_yield_to(k, tcb);
    if let Some(sc) = k.get(tcb).sc {
        if let Some(yielder) = k.get(sc).yield_from {
            complete_yield_to(k, yielder);
        }
        release_tcb(k, sc);
    }
    ipc::notification::unbind(k, tcb);
}
