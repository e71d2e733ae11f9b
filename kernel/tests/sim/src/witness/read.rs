//! The kernel's state in the model's words.

use tern_kernel::access::Kernel;
use tern_kernel::cap::Cap;
use tern_kernel::fault::{Fault as KernelFault, LookupFailure};
use tern_kernel::ipc::{WaitQueue, transfer};
use tern_kernel::object::{
    EndpointRef, EndpointState, NotificationRef, NotificationState, ObjRef, ReplyRef, ScRef,
    StackLink, TcbRef, TcbSlot, ThreadState,
};
use tern_kernel::system::Action;
use tern_kernel::{cdt, debug};

use crate::model::{
    Above, Choice, Context, Core, Doing, Endpoint, Failure, Fault, Handler, Head, Id, Notification,
    Reply, Rights, State, Thread, Word,
};

fn id<T>(object: ObjRef<T>) -> Id {
    object.address()
}

/// All threads and cores, and every object that one of them refers to.
pub(super) fn state(k: &mut Kernel<'_>) -> State {
    let mut state = State::default();
    for core in k.cores() {
        let ready_empty = k.core(core).ready.highest_priority().is_none();
        let (queues, threads) = k.core_and_threads(core);
        // The iterator looks at every priority.
        let ready = if ready_empty {
            Vec::new()
        } else {
            let ready = queues.ready.iter(&threads);
            ready.map(|(priority, tcb)| (priority, id(tcb))).collect()
        };
        state.cores.push(Core {
            current: queues.current.map(id),
            payer: queues.current_sc.map(id),
            ready,
            release: queues.release.iter(&threads).map(id).collect(),
            choice: match queues.action {
                Action::Choose => Choice::Best,
                Action::Resume => Choice::Same,
                Action::Switch(tcb) => Choice::Switch(id(tcb)),
            },
            pending: queues.pending,
            now: queues.now,
            used: queues.consumed,
        });
    }
    for tcb in debug::threads(k) {
        add_thread(k, tcb, &mut state);
    }
    for core in k.cores() {
        if let Some(sc) = k.core(core).current_sc {
            add_context(k, sc, &mut state);
        }
    }
    state
}

/// The registers of a thread that system calls change.
pub(super) fn registers(k: &Kernel<'_>, tcb: TcbRef, thread: &mut Thread) {
    let context = k.get(tcb.context());
    thread.x = std::array::from_fn(|index| Word::new(context.x[index]));
    thread.fault_ip = Word::new(context.fault_ip);
    thread.next_ip = Word::new(context.next_ip);
    thread.sp = Word::new(context.sp);
    thread.spsr = Word::new(context.spsr);
}

fn add_thread(k: &Kernel<'_>, tcb: TcbRef, state: &mut State) {
    let this = k.get(tcb);
    let doing = match this.state {
        ThreadState::Inactive => Doing::Inactive,
        ThreadState::Running => Doing::Running,
        ThreadState::Restart => Doing::Restart,
        ThreadState::BlockedOnReceive { endpoint } => {
            add_endpoint(k, endpoint, state);
            let endpoint = id(endpoint);
            Doing::Receiving { endpoint }
        }
        ThreadState::BlockedOnSend {
            endpoint,
            badge,
            can_grant,
            can_grant_reply,
            is_call,
            round: _,
        } => {
            add_endpoint(k, endpoint, state);
            Doing::Sending {
                endpoint: id(endpoint),
                badge,
                grant: can_grant,
                grant_reply: can_grant_reply,
                call: is_call,
            }
        }
        ThreadState::BlockedOnReply { reply } => {
            add_reply(k, reply, state);
            Doing::Calling { reply: id(reply) }
        }
        ThreadState::BlockedOnNotification { notification } => {
            add_notification(k, notification, state);
            let notification = id(notification);
            Doing::Waiting { notification }
        }
    };
    for sc in this.sc.into_iter().chain(this.yield_to) {
        add_context(k, sc, state);
    }
    if let Some(notification) = this.bound_notification {
        add_notification(k, notification, state);
    }
    if let Some(reply) = this.reply {
        add_reply(k, reply, state);
    }
    let mut thread = Thread {
        doing,
        priority: this.priority,
        mcp: this.mcp,
        affinity: this.affinity.0,
        context: this.sc.map(id),
        bound: this.bound_notification.map(id),
        reply: this.reply.map(id),
        yield_to: this.yield_to.map(id),
        fault: fault(this.fault),
        x: [Word::UNKNOWN; 6],
        fault_ip: Word::UNKNOWN,
        next_ip: Word::UNKNOWN,
        sp: Word::UNKNOWN,
        spsr: Word::UNKNOWN,
        buffer: (
            transfer::ipc_buffer(k, tcb, false).is_some(),
            transfer::ipc_buffer(k, tcb, true).is_some(),
        ),
        handler: handler(k, tcb, TcbSlot::FaultHandler, state),
        timeout: handler(k, tcb, TcbSlot::TimeoutHandler, state),
        fpu_disabled: this.is_fpu_disabled(),
    };
    registers(k, tcb, &mut thread);
    state.threads.add(id(tcb), thread);
}

fn handler(k: &Kernel<'_>, tcb: TcbRef, slot: TcbSlot, state: &mut State) -> Option<Handler> {
    let slot = tcb.slot(slot);
    let Cap::Endpoint {
        endpoint,
        badge,
        rights,
    } = k.get(slot).cap()
    else {
        return None;
    };
    add_endpoint(k, endpoint, state);
    Some(Handler {
        endpoint: id(endpoint),
        badge,
        rights: self::rights(rights),
        last: cdt::is_final(k, slot),
    })
}

pub(super) fn rights(rights: sel4_abi::CapRights) -> Rights {
    use sel4_abi::CapRights;
    Rights {
        write: rights.contains(CapRights::WRITE),
        read: rights.contains(CapRights::READ),
        grant: rights.contains(CapRights::GRANT),
        grant_reply: rights.contains(CapRights::GRANT_REPLY),
    }
}

pub(super) fn failure(failure: LookupFailure) -> Failure {
    let (count, words) = failure.words();
    Failure { count, words }
}

fn fault(fault: KernelFault) -> Option<Fault> {
    Some(match fault {
        KernelFault::None => return None,
        KernelFault::Cap {
            address,
            in_receive,
            failure,
        } => Fault::Cap {
            address,
            in_receive,
            failure: self::failure(failure),
        },
        KernelFault::UnknownSyscall { number } => Fault::UnknownSyscall { number },
        KernelFault::UserException { syndrome } => Fault::UserException { syndrome },
        KernelFault::Timeout { badge } => Fault::Timeout { badge },
        KernelFault::Vm {
            address,
            instruction,
            syndrome,
        } => Fault::Vm {
            address,
            instruction,
            syndrome,
        },
    })
}

fn queue(k: &Kernel<'_>, queue: WaitQueue) -> Vec<Id> {
    std::iter::successors(queue.head, |&tcb| k.get(tcb).links.next)
        .map(id)
        .collect()
}

pub(super) fn add_endpoint(k: &Kernel<'_>, endpoint: EndpointRef, state: &mut State) {
    if state.endpoints.has(id(endpoint)) {
        return;
    }
    let this = k.get(endpoint);
    let copy = Endpoint {
        receiving: this.state() == EndpointState::Receiving,
        queue: queue(k, this.queue()),
    };
    state.endpoints.add(id(endpoint), copy);
}

pub(super) fn add_notification(k: &Kernel<'_>, notification: NotificationRef, state: &mut State) {
    if state.notifications.has(id(notification)) {
        return;
    }
    let this = k.get(notification);
    let copy = Notification {
        word: match this.state() {
            NotificationState::Active(word) => Some(word),
            _ => None,
        },
        queue: queue(k, this.queue()),
        bound: this.bound_tcb.get().map(id),
        context: this.sc.get().map(id),
    };
    state.notifications.add(id(notification), copy);
    if let Some(sc) = this.sc.get() {
        add_context(k, sc, state);
    }
}

pub(super) fn add_reply(k: &Kernel<'_>, reply: ReplyRef, state: &mut State) {
    if state.replies.has(id(reply)) {
        return;
    }
    let this = k.get(reply);
    let above = match this.above() {
        StackLink::None => Above::None,
        StackLink::Sc(sc) => Above::Context(id(sc)),
        StackLink::Reply(reply) => Above::Reply(id(reply)),
    };
    let copy = Reply {
        thread: this.tcb().map(id),
        below: this.below.get().map(id),
        above,
    };
    state.replies.add(id(reply), copy);
    if let Some(below) = this.below.get() {
        add_reply(k, below, state);
    }
    match this.above() {
        StackLink::None => {}
        StackLink::Sc(sc) => add_context(k, sc, state),
        StackLink::Reply(reply) => add_reply(k, reply, state),
    }
}

pub(super) fn add_context(k: &Kernel<'_>, sc: ScRef, state: &mut State) {
    if state.contexts.has(id(sc)) {
        return;
    }
    let this = k.get(sc);
    let head = k.refills_ref(sc).head();
    let copy = Context {
        active: this.is_active(),
        round_robin: this.refills.is_round_robin(),
        core: k.get(sc.core()).get().0,
        badge: this.badge,
        thread: this.tcb.map(id),
        notification: this.notification.map(id),
        stack: this.reply.map(id),
        yield_from: this.yield_from.map(id),
        head: Head {
            time: head.time,
            amount: head.amount,
        },
    };
    state.contexts.add(id(sc), copy);
    if let Some(notification) = this.notification {
        add_notification(k, notification, state);
    }
    if let Some(reply) = this.reply {
        add_reply(k, reply, state);
    }
}
