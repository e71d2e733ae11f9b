//! Messages and faults to a thread that waits for them, and what such a thread does with them: answer, and wait again.

use sel4_abi::{CapRights, MESSAGE_REGISTERS, MessageInfo};

use super::{Exit, Short, lookup, reach, switch};
use crate::{
    access::Kernel,
    cap::RawCap,
    config::SMP,
    fault::Fault,
    ipc::{self, WaitQueue, transfer},
    object::{
        EndpointRef, EndpointState, NotificationState, Progress, ReplyRef, ScRef, StackLink,
        TcbRef, TcbSlot, ThreadState,
    },
    sched,
};

/// What is sent.
#[derive(Clone, Copy)]
enum Letter {
    Words(MessageInfo),
    Fault(Fault),
}

/// Call of an endpoint at which somebody waits.
#[inline(always)]
pub(super) fn call(
    k: &mut Kernel<'_>,
    caller: TcbRef,
    cap: RawCap,
    info: MessageInfo,
    entered: u64,
) -> Short {
    send_and_wait(k, caller, cap, Letter::Words(info), entered)
}

/// A fault whose handler waits.
#[inline(always)]
pub(super) fn fault(k: &mut Kernel<'_>, caller: TcbRef, fault: Fault, entered: u64) -> Short {
    let handler = k.get(caller.slot(TcbSlot::FaultHandler)).raw();
    send_and_wait(k, caller, handler, Letter::Fault(fault), entered)
}

#[inline(always)]
fn send_and_wait(
    k: &mut Kernel<'_>,
    caller: TcbRef,
    cap: RawCap,
    letter: Letter,
    entered: u64,
) -> Short {
    let (endpoint, badge, rights) = cap.as_endpoint()?;
    if !rights.contains(CapRights::WRITE)
        || !rights.intersects(CapRights::GRANT | CapRights::GRANT_REPLY)
        || !reach(k, |k| k.get(endpoint).home())
    {
        return None;
    }
    let receiver = k.get(endpoint).receiver()?;
    let server = k.get(receiver);
    let lends = server.sc.is_none();
    let reply = server.reply?;
    let sc = k.get(caller).sc?;
    if server.progress != Progress::None
        || !switch::may_follow(k, caller, receiver)
        || !lends && switch::wakeable(k, receiver, entered).is_none()
    {
        return None;
    }

    dequeue(k, endpoint, receiver);
    match letter {
        Letter::Words(info) => deliver(k, caller, receiver, badge, info),
        Letter::Fault(fault) => {
            k.get_mut(caller).fault = fault;
            let info = ipc::fault::write_message(k, caller, receiver);
            let context = k.get_mut(receiver.context());
            context.x[0] = badge;
            context.x[1] = info.0;
        }
    }
    let home = k.me();
    k.get(reply).set_tcb(caller, home);
    k.get_mut(caller).state = ThreadState::BlockedOnReply { reply };
    k.get_mut(receiver).state = ThreadState::Running;
    k.get_mut(receiver).reply = None;
    if lends {
        push(k, reply, sc);
        lend(k, sc, caller, receiver);
        switch::lend_core(k, caller, receiver);
    } else {
        k.get(reply).below.set(None);
        k.get(reply).set_above(StackLink::None);
        sched::time::stamp_at(k, entered);
        sched::switch_to(k, Some(receiver));
    }
    Some(Exit::Any)
}

/// A message without an answer to a thread that waits and has its own context.
#[inline(always)]
pub(super) fn send(
    k: &mut Kernel<'_>,
    sender: TcbRef,
    cap: RawCap,
    info: MessageInfo,
    entered: u64,
) -> Short {
    let (endpoint, badge, rights) = cap.as_endpoint()?;
    if !rights.contains(CapRights::WRITE) || !reach(k, |k| k.get(endpoint).home()) {
        return None;
    }
    let receiver = k.get(endpoint).receiver()?;
    let thread = k.get(receiver);
    if thread.progress != Progress::None || thread.yield_to.is_some() {
        return None;
    }
    switch::wakeable(k, receiver, entered)?;

    sched::time::stamp_at(k, entered);
    dequeue(k, endpoint, receiver);
    deliver(k, sender, receiver, badge, info);
    let thread = k.get_mut(receiver);
    thread.state = ThreadState::Running;
    if let Some(reply) = thread.reply.take() {
        k.get(reply).clear_tcb();
    }
    Some(switch::compete(k, sender, receiver, false))
}

/// The answer to a caller or a faulting thread that waits for it, and the wait for the next.
#[inline(always)]
pub(super) fn reply_recv(
    k: &mut Kernel<'_>,
    server: TcbRef,
    source: u64,
    reply: u64,
    info: MessageInfo,
    entered: u64,
) -> Short {
    if info.extra_caps() > 0 {
        return None;
    }
    let reply = lookup(k, server, reply)?.as_reply()?;
    let (endpoint, _, rights) = lookup(k, server, source)?.as_endpoint()?;
    if !rights.contains(CapRights::READ) || !reach(k, |k| k.get(reply).home()) {
        return None;
    }
    let caller = k.get(reply).tcb()?;
    if !reach(k, |k| k.get(caller.home()).get()) || !reach(k, |k| k.get(endpoint).home()) {
        return None;
    }
    let client = k.get(caller);
    let fault = client.fault;
    if !matches!(client.state, ThreadState::BlockedOnReply { .. })
        || client.progress != Progress::None
        || matches!(fault, Fault::Timeout { .. })
        || fault != Fault::None && info.label() != 0
        || k.get(endpoint).state() == EndpointState::Sending
        || !is_wait_free(k, server)
        || !switch::may_follow(k, server, caller)
    {
        return None;
    }
    let sc = k.get(server).sc?;
    let returns = match k.get(reply).above() {
        StackLink::Sc(lent) if lent == sc => k.get(caller).sc.is_none(),
        StackLink::None if k.get(reply).below.get().is_none() => {
            switch::wakeable(k, caller, entered)?;
            false
        }
        _ => return None,
    };
    if !returns && k.get(reply).above() != StackLink::None {
        return None;
    }

    if fault == Fault::None {
        deliver(k, server, caller, 0, info);
    } else {
        ipc::fault::take_reply(k, server, caller, fault);
        k.get_mut(caller).fault = Fault::None;
        let context = k.get_mut(caller.context());
        context.next_ip = context.fault_ip;
    }
    k.get_mut(caller).state = ThreadState::Running;
    if returns {
        pop(k, reply, sc);
        lend(k, sc, server, caller);
        wait(k, server, endpoint, Some(reply));
        switch::lend_core(k, server, caller);
    } else {
        sched::time::stamp_at(k, entered);
        wait(k, server, endpoint, Some(reply));
        sched::switch_to(k, Some(caller));
    }
    Some(Exit::Any)
}

/// A wait for a message where nobody has one.
#[inline(always)]
pub(super) fn recv(
    k: &mut Kernel<'_>,
    receiver: TcbRef,
    cap: RawCap,
    reply: Option<u64>,
    entered: u64,
) -> Short {
    let (endpoint, _, rights) = cap.as_endpoint()?;
    if !rights.contains(CapRights::READ) || !reach(k, |k| k.get(endpoint).home()) {
        return None;
    }
    let mut object = None;
    if let Some(cptr) = reply {
        let reply = lookup(k, receiver, cptr)?.as_reply()?;
        if !reach(k, |k| k.get(reply).home()) || k.get(reply).tcb().is_some() {
            return None;
        }
        object = Some(reply);
    }
    if k.get(endpoint).state() == EndpointState::Sending
        || !is_wait_free(k, receiver)
        || !switch::may_wait(k)
    {
        return None;
    }
    let next = switch::next(k)?;

    sched::time::stamp_at(k, entered);
    wait(k, receiver, endpoint, object);
    switch::next_runs(k, next)
}

/// Whether a bound notification leaves a wait alone: it has no signal and lends no context. No if that is not known.
#[inline(always)]
fn is_wait_free(k: &Kernel<'_>, thread: TcbRef) -> bool {
    k.get(thread).bound_notification.is_none_or(|bound| {
        let bound = k.get(bound);
        !(SMP && !k.holds(bound.home())
            || matches!(bound.state(), NotificationState::Active(_))
            || bound.sc.get().is_some())
    })
}

/// The first receiver leaves the queue.
#[inline(always)]
fn dequeue(k: &mut Kernel<'_>, endpoint: EndpointRef, first: TcbRef) {
    let this = k.get(endpoint);
    let (state, home) = (EndpointState::Receiving, this.home());
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

/// The call becomes the newest of the context's stack.
#[inline(always)]
fn push(k: &mut Kernel<'_>, reply: ReplyRef, sc: ScRef) {
    let below = k.get(sc).reply;
    if let Some(below) = below {
        k.get(below).set_above(StackLink::Reply(reply));
    }
    k.get(reply).below.set(below);
    k.get(reply).set_above(StackLink::Sc(sc));
    k.get_mut(sc).reply = Some(reply);
}

/// The newest call of the context's stack is answered.
#[inline(always)]
fn pop(k: &mut Kernel<'_>, reply: ReplyRef, sc: ScRef) {
    let below = k.get(reply).below.take();
    k.get(reply).set_above(StackLink::None);
    if let Some(below) = below {
        k.get(below).set_above(StackLink::Sc(sc));
    }
    k.get_mut(sc).reply = below;
}

/// The context goes from one thread to the other.
#[inline(always)]
fn lend(k: &mut Kernel<'_>, sc: ScRef, from: TcbRef, to: TcbRef) {
    let affinity = k.me();
    k.get_mut(from).sc = None;
    k.get_mut(sc).tcb = Some(to);
    let to = k.get_mut(to);
    to.sc = Some(sc);
    to.affinity = affinity;
}

/// The thread waits for a message.
#[inline(always)]
fn wait(k: &mut Kernel<'_>, thread: TcbRef, endpoint: EndpointRef, reply: Option<ReplyRef>) {
    let this = k.get_mut(thread);
    this.state = ThreadState::BlockedOnReceive { endpoint };
    this.reply = reply;
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
    if let Some(reply) = reply {
        k.get(reply).set_tcb(thread, home);
    }
}
