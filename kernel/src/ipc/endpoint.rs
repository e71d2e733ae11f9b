//! Sending and receiving through endpoints.

use super::{notification, reply, transfer};
use crate::{
    access::Kernel,
    fault::Fault,
    invoke::Leave,
    object::{
        EndpointRef, EndpointState, NotificationState, Progress, ReplyRef, TcbRef, ThreadState,
    },
    preempt::{self, Search},
    sched,
    types::CoreId,
};

/// How a message is sent.
#[derive(Clone, Copy, Debug)]
pub struct Send {
    /// Wait for a receiver if there is none.
    pub blocking: bool,
    /// The sender waits for a reply.
    pub call: bool,
    /// A passive receiver may take the sender's scheduling context.
    pub can_donate: bool,
    pub badge: u64,
    pub can_grant: bool,
    pub can_grant_reply: bool,
}

/// Sends the message of `sender`, or its fault, which then counts as a call.
pub fn send(k: &mut Kernel<'_>, sender: TcbRef, endpoint: EndpointRef, how: Send) {
    if k.get(endpoint).state() != EndpointState::Receiving {
        if how.blocking {
            let Send {
                call: is_call,
                badge,
                can_grant,
                can_grant_reply,
                ..
            } = how;
            k.get_mut(sender).state = ThreadState::BlockedOnSend {
                endpoint,
                badge,
                can_grant,
                can_grant_reply,
                is_call,
                round: k.shared().search_rounds,
            };
            join(k, endpoint, EndpointState::Sending, sender);
        }
        return;
    }
    let mut queue = k.get(endpoint).queue();
    let receiver = queue.head.expect("a receiving endpoint has a receiver");
    queue.remove(k, receiver);
    let home = k.get(endpoint).home();
    k.get(endpoint)
        .set_queue(queue, EndpointState::Receiving, home);

    transfer::message(
        k,
        sender,
        Some(endpoint),
        how.badge,
        how.can_grant,
        receiver,
    );
    let reply = k.get(receiver).reply;
    if let Some(reply) = reply {
        reply::unlink(k, reply, receiver);
    }
    if how.call || k.get(sender).fault != Fault::None {
        match reply {
            Some(reply) if how.can_grant || how.can_grant_reply => {
                reply::push(k, sender, receiver, reply, how.can_donate);
            }
            _ => k.get_mut(sender).state = ThreadState::Inactive,
        }
    } else if how.can_donate
        && k.get(receiver).sc.is_none()
        && let Some(sc) = k.get(sender).sc
    {
        sched::context::donate(k, sc, receiver);
    }
    k.get_mut(receiver).state = ThreadState::Running;
    sched::wake(k, receiver);
}

/// Receives a message into `receiver`, or waits for one. A reply object that another thread waits on is taken from it.
pub fn receive(
    k: &mut Kernel<'_>,
    receiver: TcbRef,
    endpoint: EndpointRef,
    blocking: bool,
    reply: Option<ReplyRef>,
) {
    if let Some(reply) = reply
        && let Some(other) = k.get(reply).tcb()
        && other != receiver
    {
        super::cancel(k, other);
    }
    if let Some(bound) = k.get(receiver).bound_notification {
        if let NotificationState::Active(_) = k.get(bound).state() {
            notification::take(k, bound, receiver);
            return;
        }
        if blocking {
            notification::take_back_sc(k, bound, receiver);
        }
    }
    if k.get(endpoint).state() != EndpointState::Sending {
        if blocking {
            k.get_mut(receiver).state = ThreadState::BlockedOnReceive { endpoint };
            k.get_mut(receiver).reply = reply;
            let home = join(k, endpoint, EndpointState::Receiving, receiver);
            if let Some(reply) = reply {
                k.get(reply).set_tcb(receiver, home);
            }
        } else {
            k.get_mut(receiver.context()).x[0] = 0;
        }
        return;
    }
    let mut queue = k.get(endpoint).queue();
    let sender = queue.head.expect("a sending endpoint has a sender");
    queue.remove(k, sender);
    let home = k.get(endpoint).home();
    k.get(endpoint)
        .set_queue(queue, EndpointState::Sending, home);

    let ThreadState::BlockedOnSend {
        badge,
        can_grant,
        can_grant_reply,
        is_call,
        ..
    } = k.get(sender).state
    else {
        unreachable!("a thread in a sending endpoint's queue is blocked on send");
    };
    transfer::message(k, sender, Some(endpoint), badge, can_grant, receiver);
    if let Some(sc) = k.get(sender).sc {
        // Its wait for a receiver is over, whoever goes on with the context.
        sched::context::unblock_sporadic(k, sc);
    }
    let fault = k.get(sender).fault;
    if is_call || fault != Fault::None {
        match reply {
            Some(reply) if can_grant || can_grant_reply => {
                let can_donate = !matches!(fault, Fault::Timeout { .. });
                let is_passive = k.get(receiver).sc.is_none();
                reply::push(k, sender, receiver, reply, can_donate);
                if is_passive && let Some(lent) = k.get(receiver).sc {
                    // What the sender left of it may not be due yet.
                    sched::context::resume(k, lent);
                }
            }
            _ => k.get_mut(sender).state = ThreadState::Inactive,
        }
    } else {
        k.get_mut(sender).state = ThreadState::Running;
        sched::wake(k, sender);
    }
}

/// Puts a thread, whose state is set, into the queue. An endpoint in which nobody waits is homed where its first
/// waiter is: its home, which is the thread's from now on.
fn join(k: &mut Kernel<'_>, endpoint: EndpointRef, state: EndpointState, tcb: TcbRef) -> CoreId {
    let mut queue = k.get(endpoint).queue();
    let home = if queue.is_empty() {
        k.me()
    } else {
        k.get(endpoint).home()
    };
    queue.insert(k, tcb);
    k.get(tcb.home()).set(home);
    k.get(endpoint).set_queue(queue, state, home);
    home
}

/// Takes a waiting thread out of the queue; it becomes inactive.
pub fn cancel_wait(k: &mut Kernel<'_>, endpoint: EndpointRef, tcb: TcbRef) {
    let (state, home) = (k.get(endpoint).state(), k.get(endpoint).home());
    let mut queue = k.get(endpoint).queue();
    queue.remove(k, tcb);
    k.get(endpoint).set_queue(queue, state, home);
    if let Some(reply) = k.get(tcb).reply {
        reply::unlink(k, reply, tcb);
    }
    k.get_mut(tcb).state = ThreadState::Inactive;
}

/// Sends everybody away who waits on an endpoint that goes: they try again and find it gone, but for faulting threads,
/// which become inactive.
pub fn cancel_all(k: &mut Kernel<'_>, endpoint: EndpointRef) -> Result<(), Leave> {
    while let Some(tcb) = k.get(endpoint).queue().head {
        send_away(k, endpoint, tcb);
        preempt::point(k)?;
    }
    Ok(())
}

/// The same for those who wait to send with this badge when the call begins. `progress` is how far the caller's search
/// had got when it was interrupted.
pub fn cancel_badged(
    k: &mut Kernel<'_>,
    caller: TcbRef,
    endpoint: EndpointRef,
    badge: u64,
    progress: Progress,
) -> Result<(), Leave> {
    if k.get(endpoint).state() != EndpointState::Sending {
        return Ok(());
    }
    let mut search = Search { badge, since: None };
    let mut next = k.get(endpoint).queue().head;
    if let Progress::Searched {
        badge: same,
        next: stop,
        since,
    } = progress
        && same == badge
    {
        search.since = Some(since);
        next = stop
            .filter(|&stop| sends_to(k, stop, endpoint).is_some())
            .or(next);
    }
    while let Some(tcb) = next {
        next = k.get(tcb).links.next;
        let meant = sends_to(k, tcb, endpoint)
            .is_some_and(|(theirs, round)| theirs == badge && search.covers(round));
        if meant {
            send_away(k, endpoint, tcb);
        }
        if next.is_none() && search.goes_round(k) {
            next = k.get(endpoint).queue().head;
        }
        if let Some(next) = next
            && let Err(leave) = preempt::units(k, if meant { preempt::STEP } else { 1 })
        {
            preempt::stop_search(k, caller, search, next);
            return Err(leave);
        }
    }
    Ok(())
}

/// The badge with which a thread waits to send to this endpoint, if it does, and the round in which it joined.
fn sends_to(k: &Kernel<'_>, tcb: TcbRef, to: EndpointRef) -> Option<(u64, u32)> {
    match k.get(tcb).state {
        ThreadState::BlockedOnSend {
            endpoint,
            badge,
            round,
            ..
        } if endpoint == to => Some((badge, round)),
        _ => None,
    }
}

fn send_away(k: &mut Kernel<'_>, endpoint: EndpointRef, tcb: TcbRef) {
    cancel_wait(k, endpoint, tcb);
    if k.get(tcb).fault == Fault::None {
        k.get_mut(tcb).state = ThreadState::Restart;
        sched::wake(k, tcb);
    } else {
        k.get_mut(tcb).fault = Fault::None;
    }
}
