//! Reply objects and the call stacks that they form.
//!
//! The stack of a scheduling context is its `reply` (the newest call) and each reply's `below`. A reply object outside
//! a stack, or cut out of one, has neither link.

use super::{fault, transfer};
use crate::{
    access::Kernel,
    fault::Fault,
    object::{ReplyRef, StackLink, TcbRef, ThreadState},
    sched,
};

/// `caller` waits for `reply`. If it may and `callee` has no scheduling context, the caller's goes along and comes back
/// with the reply.
pub fn push(k: &mut Kernel<'_>, caller: TcbRef, callee: TcbRef, reply: ReplyRef, can_donate: bool) {
    k.get_mut(caller).state = ThreadState::BlockedOnReply { reply };
    let home = k.get(caller.home()).get();
    let object = k.get(reply);
    object.set_tcb(caller, home);
    object.below.set(None);
    object.set_above(StackLink::None);
    let Some(sc) = k.get(caller).sc else { return };
    if !can_donate || k.get(callee).sc.is_some() {
        return;
    }
    let below = k.get(sc).reply;
    if let Some(below) = below {
        k.get(below).set_above(StackLink::Reply(reply));
    }
    k.get(reply).below.set(below);
    k.get(reply).set_above(StackLink::Sc(sc));
    k.get_mut(sc).reply = Some(reply);
    // A caller that comes out of a queue lived where the queue does. From now on it goes with its context.
    let home = k.get(sc.core()).get();
    k.get(caller.home()).set(home);
    k.get(reply).set_tcb(caller, home);
    sched::context::donate(k, sc, callee);
}

/// Ends the tie between a reply object and the thread that waits with it or on it.
pub fn unlink(k: &mut Kernel<'_>, reply: ReplyRef, tcb: TcbRef) {
    debug_assert!(k.get(reply).tcb() == Some(tcb));
    k.get(reply).clear_tcb();
    k.get_mut(tcb).reply = None;
    k.get_mut(tcb).state = ThreadState::Inactive;
}

/// Takes `reply`, on which `caller` waits, out of its stack. At the head of a stack the scheduling context goes back
/// to the caller, if that has none by now. Elsewhere the stack is cut in two. The caller becomes inactive.
fn remove(k: &mut Kernel<'_>, reply: ReplyRef, caller: TcbRef) {
    let below = k.get(reply).below.get();
    match k.get(reply).above() {
        StackLink::Sc(sc) => {
            k.get_mut(sc).reply = below;
            if let Some(below) = below {
                k.get(below).set_above(StackLink::Sc(sc));
            }
            clear_links(k, reply);
            unlink(k, reply, caller);
            if k.get(caller).sc.is_none() {
                sched::context::donate(k, sc, caller);
            }
        }
        StackLink::Reply(_) | StackLink::None => {
            cut(k, reply);
            unlink(k, reply, caller);
        }
    }
}

/// Cuts a stack above and below `reply`. At the head, the scheduling context forgets the whole stack.
fn cut(k: &mut Kernel<'_>, reply: ReplyRef) {
    match k.get(reply).above() {
        StackLink::Sc(sc) => k.get_mut(sc).reply = None,
        StackLink::Reply(above) => k.get(above).below.set(None),
        StackLink::None => {}
    }
    if let Some(below) = k.get(reply).below.get() {
        k.get(below).set_above(StackLink::None);
    }
    clear_links(k, reply);
}

fn clear_links(k: &mut Kernel<'_>, reply: ReplyRef) {
    let reply = k.get(reply);
    reply.below.set(None);
    reply.set_above(StackLink::None);
}

/// The caller no longer waits (it is suspended, resumed or deleted): the scheduling context stays where it is.
pub fn cancel_caller(k: &mut Kernel<'_>, reply: ReplyRef, caller: TcbRef) {
    cut(k, reply);
    unlink(k, reply, caller);
}

/// The reply object goes. A caller gets its scheduling context back, as far as a reply would have given it, and is
/// inactive; a receiver's wait ends.
pub fn finalise(k: &mut Kernel<'_>, reply: ReplyRef) {
    let Some(tcb) = k.get(reply).tcb() else {
        return;
    };
    match k.get(tcb).state {
        ThreadState::BlockedOnReply { .. } => {
            k.get_mut(tcb).fault = Fault::None;
            remove(k, reply, tcb);
        }
        _ => super::cancel(k, tcb),
    }
}

/// The thread that would lose its scheduling context if `reply` were used or deleted.
pub fn loser(k: &Kernel<'_>, reply: ReplyRef) -> Option<TcbRef> {
    let caller = k.get(reply).tcb()?;
    match k.get(reply).above() {
        StackLink::Sc(sc) if k.get(caller).sc.is_none() => k.get(sc).tcb,
        _ => None,
    }
}

/// Answers the thread that waits on `reply`, if there is one.
pub fn send(k: &mut Kernel<'_>, sender: TcbRef, reply: ReplyRef, can_grant: bool) {
    let Some(caller) = k.get(reply).tcb() else {
        return;
    };
    if !matches!(k.get(caller).state, ThreadState::BlockedOnReply { .. }) {
        return;
    }
    remove(k, reply, caller);
    let answered = k.get(caller).fault;
    if answered == Fault::None {
        transfer::message(k, sender, None, 0, can_grant, caller);
        k.get_mut(caller).state = ThreadState::Running;
    } else {
        let restart = fault::take_reply(k, sender, caller, answered);
        let thread = k.get_mut(caller);
        thread.fault = Fault::None;
        thread.state = if restart {
            ThreadState::Restart
        } else {
            ThreadState::Inactive
        };
    }
    let Some(sc) = k.get(caller).sc else { return };
    sched::context::unblock_sporadic(k, sc);
    if !sched::is_schedulable(k, caller) {
        return;
    }
    if sched::context::has_budget(k, sc) {
        sched::switch_candidate(k, caller);
    } else if !matches!(answered, Fault::Timeout { .. }) && fault::has_timeout_handler(k, caller) {
        if answered == Fault::None {
            // Its call is done: after the Timeout fault it goes on behind that, with the answer, and does not call again.
            let context = k.get_mut(caller.context());
            context.fault_ip = context.next_ip;
        }
        fault::timeout(k, caller);
    } else {
        sched::postpone(k, caller);
    }
}
