//! Which thread runs: ready and release queues of each core, and the decision at the end of an entry.
//!
//! The order in which threads are queued is part of the interface, since programs depend on who runs next:
//!
//! | event | place |
//! |---|---|
//! | end of a time slice, Yield | tail |
//! | wake-up at the priority of the running thread, or by a signal | tail |
//! | wake-up by a message on another core; a further one by a message or a due refill in the same entry | head |
//! | the running thread is preempted; bind, configure, resume, change of priority | head |

pub mod context;
mod dispatch;
pub mod time;

pub use dispatch::{goes_on, load_fpu, runs_here, schedule, set_idle, switch_to, unload_fpu};

use crate::{access::Kernel, object::TcbRef, smp, system::Action, types::CoreId};

/// Whether a thread could run: runnable, with a configured scheduling context, and not waiting for a refill.
pub fn is_schedulable(k: &Kernel<'_>, tcb: TcbRef) -> bool {
    let thread = k.get(tcb);
    thread.is_runnable()
        && !thread.in_release_queue
        && thread.sc.is_some_and(|sc| k.get(sc).is_active())
}

/// The core on which a thread with a scheduling context runs or would run.
fn core_of(k: &Kernel<'_>, tcb: TcbRef) -> CoreId {
    let sc = k
        .get(tcb)
        .sc
        .expect("a schedulable thread has a scheduling context");
    k.get(sc.core()).get()
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum End {
    Front,
    Back,
}

fn enqueue(k: &mut Kernel<'_>, tcb: TcbRef, end: End) {
    debug_assert!(is_schedulable(k, tcb));
    if k.get(tcb).in_ready_queue {
        return;
    }
    let core = core_of(k, tcb);
    k.get(tcb.home()).set(core);
    let thread = k.get_mut(tcb);
    thread.in_ready_queue = true;
    let priority = thread.priority;
    let (queues, mut threads) = k.core_and_threads(core);
    match end {
        End::Front => queues.ready.push_front(&mut threads, tcb, priority),
        End::Back => queues.ready.push_back(&mut threads, tcb, priority),
    }
    if core != k.me() && beats_current(k, tcb, core) {
        smp::poke(k, core);
    }
}

/// Whether `core` would rather run this thread than what it runs.
fn beats_current(k: &Kernel<'_>, tcb: TcbRef, core: CoreId) -> bool {
    match k.core(core).current {
        Some(current) => k.get(tcb).priority > k.get(current).priority,
        None => true,
    }
}

pub fn enqueue_front(k: &mut Kernel<'_>, tcb: TcbRef) {
    enqueue(k, tcb, End::Front);
}

/// The running thread, whose context is this core's, goes to the front of its queue.
#[inline(always)]
pub fn enqueue_running(k: &mut Kernel<'_>, tcb: TcbRef) {
    debug_assert!(is_schedulable(k, tcb) && core_of(k, tcb) == k.me());
    let me = k.me();
    let thread = k.get_mut(tcb);
    debug_assert!(!thread.in_ready_queue);
    thread.in_ready_queue = true;
    let priority = thread.priority;
    let (queues, mut threads) = k.core_and_threads(me);
    queues.ready.push_front(&mut threads, tcb, priority);
}

pub fn enqueue_back(k: &mut Kernel<'_>, tcb: TcbRef) {
    enqueue(k, tcb, End::Back);
}

/// Takes a thread out of the ready or release queue, if it is in one. Before its scheduling context, priority or state
/// changes.
#[inline]
pub fn dequeue(k: &mut Kernel<'_>, tcb: TcbRef) {
    let thread = k.get(tcb);
    if thread.in_ready_queue || thread.in_release_queue {
        take_out(k, tcb);
    }
}

#[inline(never)]
fn take_out(k: &mut Kernel<'_>, tcb: TcbRef) {
    let thread = k.get(tcb);
    let (ready, priority) = (thread.in_ready_queue, thread.priority);
    let core = core_of(k, tcb);
    let (queues, mut threads) = k.core_and_threads(core);
    if ready {
        queues.ready.remove(&mut threads, tcb, priority);
    } else {
        queues.release.remove(&mut threads, tcb);
    }
    let thread = k.get_mut(tcb);
    (thread.in_ready_queue, thread.in_release_queue) = (false, false);
}

/// Lets a schedulable thread wait in the release queue until its head refill is due.
pub fn postpone(k: &mut Kernel<'_>, tcb: TcbRef) {
    dequeue(k, tcb);
    let core = core_of(k, tcb);
    let (queues, mut threads) = k.core_and_threads(core);
    queues.release.insert(&mut threads, tcb);
    let first = queues.release.first() == Some(tcb);
    k.get_mut(tcb).in_release_queue = true;
    k.get(tcb.home()).set(core);
    if first {
        if core == k.me() {
            k.this_mut().reprogram = true;
        } else {
            smp::poke(k, core);
        }
    }
}

/// The decision must be made among all ready threads.
pub fn reschedule(k: &mut Kernel<'_>) {
    if let Action::Switch(candidate) = k.this().action
        && is_schedulable(k, candidate)
    {
        enqueue_front(k, candidate);
    }
    k.this_mut().action = Action::Choose;
}

/// A thread that may run, on its core: there it becomes the candidate to be switched to, or joins the ready queue.
/// Nothing happens to one that cannot run.
pub fn switch_candidate(k: &mut Kernel<'_>, tcb: TcbRef) {
    propose(k, tcb, End::Front);
}

fn propose(k: &mut Kernel<'_>, tcb: TcbRef, end: End) {
    if !is_schedulable(k, tcb) {
        return;
    }
    let sc = k
        .get(tcb)
        .sc
        .expect("a schedulable thread has a scheduling context");
    if k.this().current_sc != Some(sc) && !context::has_budget(k, sc) {
        postpone(k, tcb);
        return;
    }
    if core_of(k, tcb) != k.me() {
        enqueue(k, tcb, end);
        return;
    }
    if end == End::Back {
        // It takes its turn behind its equals, whatever becomes of the running thread in this entry: so it never is the
        // candidate, which may pass them.
        let running = k.this().current.map(|current| k.get(current).priority);
        if running.is_none_or(|running| running < k.get(tcb).priority) {
            reschedule(k);
        }
        enqueue(k, tcb, End::Back);
        return;
    }
    match k.this().action {
        Action::Resume if k.this().current == Some(tcb) => {}
        Action::Resume => {
            k.get(tcb.home()).set(k.me());
            k.this_mut().action = Action::Switch(tcb);
        }
        Action::Switch(_) | Action::Choose => {
            reschedule(k);
            enqueue(k, tcb, end);
        }
    }
}

/// A thread ends its wait: a message, a reply, or the end of what it waited for.
pub fn wake(k: &mut Kernel<'_>, tcb: TcbRef) {
    if let Some(sc) = k.get(tcb).sc {
        context::unblock_sporadic(k, sc);
    }
    switch_candidate(k, tcb);
}

/// As [`wake`], by a signal: first in, first out among equals, also when several are woken in one entry.
pub fn wake_in_turn(k: &mut Kernel<'_>, tcb: TcbRef) {
    if let Some(sc) = k.get(tcb).sc {
        context::unblock_sporadic(k, sc);
    }
    propose(k, tcb, End::Back);
}

/// Stops a thread that is not live on another core: no wait, no queue.
pub fn suspend(k: &mut Kernel<'_>, tcb: TcbRef) {
    use crate::object::ThreadState;
    crate::ipc::cancel(k, tcb);
    if k.get(tcb).state == ThreadState::Running && k.this().current != Some(tcb) {
        // It stopped between two instructions: it would go on with the next one.
        let context = k.get_mut(tcb.context());
        context.fault_ip = context.next_ip;
    }
    dequeue(k, tcb);
    k.get_mut(tcb).state = ThreadState::Inactive;
    context::cancel_yield_to(k, tcb);
}

/// Lets a stopped or waiting thread run again, from its fault IP.
pub fn resume_thread(k: &mut Kernel<'_>, tcb: TcbRef) {
    if k.get(tcb).is_runnable() {
        return;
    }
    crate::ipc::cancel(k, tcb);
    k.get_mut(tcb).state = crate::object::ThreadState::Restart;
    if let Some(sc) = k.get(tcb).sc {
        context::unblock_sporadic(k, sc);
        context::resume(k, sc);
    }
    switch_candidate(k, tcb);
}

/// Changes a priority, wherever the thread is. One that runs on another core goes on until that core looks.
pub fn set_priority(k: &mut Kernel<'_>, tcb: TcbRef, priority: u8) {
    let queued = k.get(tcb).in_ready_queue;
    let live_here = k.this().current == Some(tcb);
    if queued {
        dequeue(k, tcb);
        k.get_mut(tcb).priority = priority;
        enqueue_front(k, tcb);
        if core_of(k, tcb) == k.me() {
            reschedule(k);
        }
    } else if live_here {
        k.get_mut(tcb).priority = priority;
        reschedule(k);
    } else if let Some(core) = smp::stop::live_elsewhere(k, tcb) {
        k.get_mut(tcb).priority = priority;
        smp::poke(k, core);
    } else {
        crate::ipc::requeue(k, tcb, |k| k.get_mut(tcb).priority = priority);
    }
}
