//! Call to a waiting passive server, and ReplyRecv of such a server: the scheduling context goes along.

use sel4_abi::{CapRights, MESSAGE_REGISTERS, MessageInfo};

use super::{Exit, Short, lookup, switch};
use crate::{
    access::Kernel,
    config::SMP,
    fault::Fault,
    ipc::{WaitQueue, transfer},
    object::{
        EndpointRef, EndpointState, NotificationState, Progress, ReplyRef, ScRef, StackLink,
        TcbRef, ThreadState,
    },
};

pub(super) fn call(k: &mut Kernel<'_>, caller: TcbRef) -> Short {
    let x = &k.get(caller.context()).x;
    let info = plain(MessageInfo(x[1]))?;
    let cap = lookup(k, caller, x[0])?;
    let (endpoint, badge, rights) = cap.as_endpoint()?;
    if !rights.contains(CapRights::WRITE)
        || !rights.intersects(CapRights::GRANT | CapRights::GRANT_REPLY)
    {
        return None;
    }
    let receiver = waiting_receiver(k, endpoint)?;
    let server = k.get(receiver);
    if server.sc.is_some() || server.progress != Progress::None {
        return None;
    }
    let reply = server.reply?;
    let sc = k.get(caller).sc?;
    if !switch::may_switch(k, caller, receiver, sc) {
        return None;
    }

    dequeue(k, endpoint, receiver, EndpointState::Receiving);
    deliver(k, caller, receiver, badge, info);
    push(k, caller, reply, sc);
    lend(k, sc, receiver);
    switch::switch(k, caller, receiver);
    Some(Exit::Any)
}

pub(super) fn reply_recv(k: &mut Kernel<'_>, server: TcbRef) -> Short {
    let x = &k.get(server.context()).x;
    let info = plain(MessageInfo(x[1]))?;
    let reply = lookup(k, server, x[6])?.as_reply()?;
    let (endpoint, _, rights) = lookup(k, server, x[0])?.as_endpoint()?;
    if !rights.contains(CapRights::READ) || !reach(k, k.get(reply).home()) {
        return None;
    }
    let caller = k.get(reply).tcb()?;
    if !reach(k, k.get(caller.home()).get()) || !reach(k, k.get(endpoint).home()) {
        return None;
    }
    let client = k.get(caller);
    if !matches!(client.state, ThreadState::BlockedOnReply { .. })
        || client.sc.is_some()
        || client.fault != Fault::None
    {
        return None;
    }
    let sc = k.get(server).sc?;
    if k.get(reply).above() != StackLink::Sc(sc)
        || k.get(endpoint).state() == EndpointState::Sending
        || is_signalled(k, server)
        || !switch::may_switch(k, server, caller, sc)
    {
        return None;
    }

    pop(k, reply, sc);
    deliver(k, server, caller, 0, info);
    lend(k, sc, caller);
    wait(k, server, endpoint, reply);
    switch::switch(k, server, caller);
    Some(Exit::Any)
}

/// A message without capabilities.
#[inline(always)]
fn plain(info: MessageInfo) -> Option<MessageInfo> {
    (info.extra_caps() == 0).then_some(info)
}

/// Has the lock of that core too, unless somebody else has it.
#[inline(always)]
fn reach(k: &mut Kernel<'_>, home: crate::types::CoreId) -> bool {
    !SMP || k.try_widen(home)
}

/// The thread that a message to this endpoint goes to at once. Its lock is held.
#[inline(always)]
fn waiting_receiver(k: &mut Kernel<'_>, endpoint: EndpointRef) -> Option<TcbRef> {
    let home = k.get(endpoint).home();
    if !reach(k, home) {
        return None;
    }
    k.get(endpoint).receiver()
}

/// Whether a bound notification ends the wait before it begins; or that is not known.
#[inline(always)]
fn is_signalled(k: &Kernel<'_>, thread: TcbRef) -> bool {
    k.get(thread).bound_notification.is_some_and(|bound| {
        let bound = k.get(bound);
        SMP && !k.holds(bound.home()) || matches!(bound.state(), NotificationState::Active(_))
    })
}

/// The first thread of the queue leaves it.
#[inline(always)]
fn dequeue(k: &mut Kernel<'_>, endpoint: EndpointRef, first: TcbRef, state: EndpointState) {
    let this = k.get(endpoint);
    let home = this.home();
    if this.tail() == Some(first) {
        this.set_queue(WaitQueue::EMPTY, state, home);
    } else {
        let mut queue = this.queue();
        queue.remove(k, first);
        k.get(endpoint).set_queue(queue, state, home);
    }
}

/// The receiver finds the message in its registers and its buffer.
#[inline(always)]
fn deliver(k: &mut Kernel<'_>, from: TcbRef, to: TcbRef, badge: u64, info: MessageInfo) {
    let length = info.length();
    let arrived = if length <= MESSAGE_REGISTERS {
        for register in 2..2 + MESSAGE_REGISTERS {
            if register < 2 + length {
                k.get_mut(to.context()).x[register] = k.get(from.context()).x[register];
            }
        }
        length
    } else {
        transfer::words(k, from, to, length)
    };
    let context = k.get_mut(to.context());
    context.x[0] = badge;
    context.x[1] = MessageInfo::new(info.label(), 0, 0, arrived as u64).0;
}

/// The caller waits on the reply object, which is the newest of its context's stack.
#[inline(always)]
fn push(k: &mut Kernel<'_>, caller: TcbRef, reply: ReplyRef, sc: ScRef) {
    let below = k.get(sc).reply;
    if let Some(below) = below {
        k.get(below).set_above(StackLink::Reply(reply));
    }
    let object = k.get(reply);
    object.set_tcb(caller, k.me());
    object.below.set(below);
    object.set_above(StackLink::Sc(sc));
    k.get_mut(sc).reply = Some(reply);
    let this = k.get_mut(caller);
    this.state = ThreadState::BlockedOnReply { reply };
    this.sc = None;
}

/// The newest call of the context's stack is answered.
#[inline(always)]
fn pop(k: &mut Kernel<'_>, reply: ReplyRef, sc: ScRef) {
    let object = k.get(reply);
    let below = object.below.take();
    object.set_above(StackLink::None);
    if let Some(below) = below {
        k.get(below).set_above(StackLink::Sc(sc));
    }
    k.get_mut(sc).reply = below;
}

/// The thread goes on with the context, on this core.
#[inline(always)]
fn lend(k: &mut Kernel<'_>, sc: ScRef, to: TcbRef) {
    k.get_mut(sc).tcb = Some(to);
    let affinity = k.me();
    let this = k.get_mut(to);
    this.state = ThreadState::Running;
    this.sc = Some(sc);
    this.reply = None;
    this.affinity = affinity;
}

/// The thread, which has no context any more, waits for a message.
#[inline(always)]
fn wait(k: &mut Kernel<'_>, thread: TcbRef, endpoint: EndpointRef, reply: ReplyRef) {
    let this = k.get_mut(thread);
    this.state = ThreadState::BlockedOnReceive { endpoint };
    this.sc = None;
    this.reply = Some(reply);
    let mut queue = k.get(endpoint).queue();
    let home = if queue.is_empty() {
        queue = WaitQueue {
            head: Some(thread),
            tail: Some(thread),
        };
        k.me()
    } else {
        queue.insert(k, thread);
        k.get(endpoint).home()
    };
    if SMP {
        k.get(thread.home()).set(home);
    }
    k.get(endpoint)
        .set_queue(queue, EndpointState::Receiving, home);
    k.get(reply).set_tcb(thread, home);
}
