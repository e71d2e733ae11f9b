//! Which cores' locks an entry needs. Found out before it writes anything.
//!
//! An entry begins with its own core's lock. The functions here follow what it is going to touch, as far as the locks in
//! hand allow, and name the next core that is missing. The entry adds that lock, if need be by dropping all and
//! taking the larger set, and asks again; so it always performs under the locks of every object's home. What changes
//! the structure (capabilities, derivation, tables, interrupt lines) needs all of them.
//!
//! What an entry may have to do without being asked ([`entry`]: timeouts, faults, interrupts), and everything that it
//! does in two phases, is looked at before it begins. A single send phase asks once it knows what it is about
//! ([`hold`]), so that nothing is looked up twice, and what it has read of memory that user level can write is read
//! once. Nothing here looks at such memory: that may be different a moment later.
//!
//! To need more than is used is harmless; to need less is caught by the token's assertions ([`crate::access`]).

pub mod object;

use sel4_abi::{CapRights, MessageInfo, Syscall};

use crate::{
    access::Kernel,
    cap::Cap,
    config, counters, cspace,
    entry::Cause,
    fault::Fault,
    invoke::Leave,
    ipc, irq,
    object::{
        EndpointRef, EndpointState, NotificationRef, NotificationState, Progress, ReplyRef, ScRef,
        StackLink, Tcb, TcbRef, TcbSlot, ThreadState,
    },
    sched::{context, time},
    types::CoreId,
};

/// What is missing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Need {
    /// At least this core's lock.
    Core(CoreId),
    All,
}

type Reach<T = ()> = Result<T, Need>;

/// More locks than this are not collected one by one.
pub const MAX_SET: usize = 4;

/// Holds what `reach` finds to be missing, in an entry that has not written anything yet. If it cannot be had without
/// giving up what is held, the entry starts again with it.
#[inline(always)]
pub fn hold(k: &mut Kernel<'_>, reach: impl Fn(&Kernel<'_>) -> Reach) -> Result<(), Leave> {
    while config::SMP
        && let Err(need) = reach(k)
        && add(k, need)?
    {}
    Ok(())
}

/// Holds every lock. Nothing has been written.
pub fn hold_all(k: &mut Kernel<'_>) -> Result<(), Leave> {
    if !config::SMP || k.holds_all() {
        return Ok(());
    }
    take(k, Need::All)
}

/// Holds what a message to this capability reaches.
#[inline(never)]
pub fn hold_target(k: &mut Kernel<'_>, cap: Cap, info: MessageInfo) -> Result<(), Leave> {
    hold(k, |k| target(k, cap, info).map(|_| ()))
}

/// Whether there was something to be added.
#[inline(never)]
fn add(k: &mut Kernel<'_>, need: Need) -> Result<bool, Leave> {
    if k.holds_all() {
        return Ok(false);
    }
    take(k, need)?;
    Ok(true)
}

#[inline(always)]
fn take(k: &mut Kernel<'_>, need: Need) -> Result<(), Leave> {
    if !k.extend(need) {
        return Err(Leave::Need(need));
    }
    count(k);
    // Not earlier than what the last holder read.
    time::stamp(k);
    Ok(())
}

/// For the benchmark: an entry has got its locks.
#[inline(always)]
pub fn count(k: &Kernel<'_>) {
    if config::BENCH_COUNTERS && k.num_cores() > 1 && k.holds_all() {
        counters::entry_all();
    }
}

/// The entry of a thread: what may become of its budget, then what it asked for.
pub fn entry(k: &Kernel<'_>, caller: TcbRef, cause: Cause, intid: Option<u32>) -> Reach {
    if k.holds_all() {
        return Ok(());
    }
    if !time::is_funded(k) {
        handler(k, caller, TcbSlot::TimeoutHandler)?;
        return interrupt(k, intid);
    }
    call(k, caller, cause, intid)
}

/// What the thread asked for, its budget aside.
pub fn call(k: &Kernel<'_>, caller: TcbRef, cause: Cause, intid: Option<u32>) -> Reach {
    if k.holds_all() {
        return Ok(());
    }
    match cause {
        Cause::Interrupt => interrupt(k, intid),
        Cause::Syscall => {
            let number = k.get(caller.context()).x[7] as i64;
            match Syscall::from_number(number) {
                Some(call) => syscall(k, caller, call),
                None => handler(k, caller, TcbSlot::FaultHandler),
            }
        }
        Cause::DataAbort { .. }
        | Cause::InstructionAbort { .. }
        | Cause::UserException { .. }
        | Cause::FpuAccess => handler(k, caller, TcbSlot::FaultHandler),
    }
}

/// An interrupt that may have a handler.
pub fn interrupt(k: &Kernel<'_>, intid: Option<u32>) -> Reach {
    if k.holds_all() {
        return Ok(());
    }
    match intid.and_then(|intid| irq::notification_of(k, intid)) {
        Some((notification, _)) => signal(k, notification),
        None => Ok(()),
    }
}

/// The first phase of a combined call: the reply object that it frees. That it does so for certain follows from [`reply`]:
/// who loses the context is at home here, so no other core has to be stopped first.
#[derive(Clone, Copy, PartialEq, Eq)]
struct First(Option<ReplyRef>);

fn syscall(k: &Kernel<'_>, caller: TcbRef, call: Syscall) -> Reach {
    let x = &k.get(caller.context()).x;
    let (dest, reply) = (x[0], x[6]);
    if k.get(caller).progress != Progress::None {
        // What is taken up again had all locks when it was left.
        return Err(Need::All);
    }
    match call {
        // These ask on their way.
        Syscall::Call | Syscall::Send | Syscall::NBSend => Ok(()),
        Syscall::ReplyRecv => {
            let first = First(first_phase(k, caller, reply)?);
            receive_phase(k, caller, dest, Some(reply), Some(first))
        }
        Syscall::NBSendRecv => {
            let first = First(first_phase(k, caller, x[8])?);
            receive_phase(k, caller, dest, Some(reply), Some(first))
        }
        Syscall::NBSendWait => {
            let first = First(first_phase(k, caller, reply)?);
            receive_phase(k, caller, dest, None, Some(first))
        }
        Syscall::Recv => receive_phase(k, caller, dest, Some(reply), None),
        Syscall::NBRecv => receive_phase(k, caller, dest, Some(reply), None),
        Syscall::Wait => receive_phase(k, caller, dest, None, None),
        Syscall::NBWait => receive_phase(k, caller, dest, None, None),
        Syscall::Yield => Ok(()),
    }
}

/// The send phase of a combined call, in which a failed lookup is no fault. Gives the reply object that it frees.
fn first_phase(k: &Kernel<'_>, caller: TcbRef, cptr: u64) -> Reach<Option<ReplyRef>> {
    let Ok(slot) = cspace::lookup_slot(k, caller, cptr) else {
        return Ok(None);
    };
    let cap = k.get(slot).cap();
    if is_object(cap) {
        return Err(Need::All);
    }
    target(k, cap, MessageInfo(k.get(caller.context()).x[1]))
}

/// What a message to a capability reaches, if that is not a kernel object, which asks for itself. Gives the reply object
/// that it frees.
fn target(k: &Kernel<'_>, cap: Cap, info: MessageInfo) -> Reach<Option<ReplyRef>> {
    match cap {
        Cap::Endpoint { .. } | Cap::Reply { .. } if info.extra_caps() > 0 => Err(Need::All),
        Cap::Endpoint {
            endpoint, rights, ..
        } => {
            if !rights.contains(CapRights::WRITE) {
                return Ok(None);
            }
            send(k, endpoint)?;
            Ok(None)
        }
        Cap::Notification {
            notification,
            rights,
            ..
        } => {
            if rights.contains(CapRights::WRITE) {
                signal(k, notification)?;
            }
            Ok(None)
        }
        Cap::Reply { reply: object, .. } => reply(k, object),
        _ => Ok(None),
    }
}

/// Whether invoking this is a method of a kernel object, and neither a message nor a mistake.
fn is_object(cap: Cap) -> bool {
    match cap {
        Cap::Null
        | Cap::Zombie { .. }
        | Cap::Endpoint { .. }
        | Cap::Notification { .. }
        | Cap::Reply { .. } => false,
        Cap::Untyped { .. }
        | Cap::CNode { .. }
        | Cap::Thread { .. }
        | Cap::SchedContext { .. }
        | Cap::SchedControl { .. }
        | Cap::Frame { .. }
        | Cap::PageTable { .. }
        | Cap::VSpace { .. }
        | Cap::AsidControl
        | Cap::AsidPool { .. }
        | Cap::IrqControl
        | Cap::IrqHandler { .. }
        | Cap::SgiSignal { .. }
        | Cap::Domain => true,
    }
}

fn receive_phase(
    k: &Kernel<'_>,
    caller: TcbRef,
    source: u64,
    reply_cptr: Option<u64>,
    first: Option<First>,
) -> Reach {
    let fault = || match first {
        // Whom the fault finds waiting may be another one after the first phase.
        Some(_) => Err(Need::All),
        None => handler(k, caller, TcbSlot::FaultHandler),
    };
    let Ok(slot) = cspace::lookup_slot(k, caller, source) else {
        return fault();
    };
    match k.get(slot).cap() {
        Cap::Endpoint {
            endpoint, rights, ..
        } if rights.contains(CapRights::READ) => {
            let mut object = None;
            if let Some(cptr) = reply_cptr {
                match cspace::lookup_slot(k, caller, cptr).map(|slot| k.get(slot).cap()) {
                    Ok(Cap::Reply { reply, .. }) => object = Some(reply),
                    Ok(_) | Err(_) => return fault(),
                }
            }
            receive(k, caller, endpoint, object, first)
        }
        Cap::Notification {
            notification,
            rights,
            ..
        } if rights.contains(CapRights::READ) => {
            home(k, k.get(notification).home())?;
            let bound = k.get(notification).bound_tcb.get();
            if bound.is_some_and(|bound| bound != caller) {
                return fault();
            }
            lent_context(k, notification)
        }
        _ => fault(),
    }
}

/// The caller's fault goes to its handler.
pub fn fault(k: &Kernel<'_>, caller: TcbRef) -> Reach {
    handler(k, caller, TcbSlot::FaultHandler)
}

/// A fault of the caller goes to one of its handlers.
fn handler(k: &Kernel<'_>, tcb: TcbRef, slot: TcbSlot) -> Reach {
    match k.get(tcb.slot(slot)).cap() {
        cap @ Cap::Endpoint { endpoint, .. } if ipc::fault::is_handler(cap) => send(k, endpoint),
        _ => Ok(()),
    }
}

/// A message, with no capability that arrives, to whoever waits at the endpoint.
fn send(k: &Kernel<'_>, endpoint: EndpointRef) -> Reach {
    home(k, k.get(endpoint).home())?;
    if k.get(endpoint).state() != EndpointState::Receiving {
        return Ok(());
    }
    let receiver = k
        .get(endpoint)
        .queue()
        .head
        .expect("a receiving endpoint has a receiver");
    wake(k, receiver)
}

fn receive(
    k: &Kernel<'_>,
    receiver: TcbRef,
    endpoint: EndpointRef,
    reply: Option<ReplyRef>,
    first: Option<First>,
) -> Reach {
    if let Some(reply) = reply {
        home(k, k.get(reply).home())?;
        if let Some(other) = k.get(reply).tcb()
            && other != receiver
            && first != Some(First(Some(reply)))
        {
            // Its wait ends, wherever that is.
            return Err(Need::All);
        }
    }
    if let Some(bound) = k.get(receiver).bound_notification {
        home(k, k.get(bound).home())?;
        lent_context(k, bound)?;
    }
    home(k, k.get(endpoint).home())?;
    if k.get(endpoint).state() != EndpointState::Sending {
        return Ok(());
    }
    let sender = k
        .get(endpoint)
        .queue()
        .head
        .expect("a sending endpoint has a sender");
    let grants = matches!(
        thread(k, sender)?.state,
        ThreadState::BlockedOnSend {
            can_grant: true,
            ..
        }
    );
    let info = MessageInfo(k.get(sender.context()).x[1]);
    if grants && k.get(sender).fault == Fault::None && info.extra_caps() > 0 {
        return Err(Need::All);
    }
    wake(k, sender)
}

fn signal(k: &Kernel<'_>, notification: NotificationRef) -> Reach {
    home(k, k.get(notification).home())?;
    match k.get(notification).state() {
        NotificationState::Active(_) => return Ok(()),
        NotificationState::Idle => {
            let Some(bound) = k.get(notification).bound_tcb.get() else {
                return Ok(());
            };
            let ThreadState::BlockedOnReceive { .. } = thread(k, bound)?.state else {
                return Ok(());
            };
            wake(k, bound)?;
        }
        NotificationState::Waiting => {
            let first = k.get(notification).queue().head.expect("somebody waits");
            wake(k, first)?;
        }
    }
    lent_context(k, notification)
}

/// The thread that waits on a reply object goes on: the object is free then.
fn reply(k: &Kernel<'_>, reply: ReplyRef) -> Reach<Option<ReplyRef>> {
    home(k, k.get(reply).home())?;
    let Some(caller) = k.get(reply).tcb() else {
        return Ok(None);
    };
    let ThreadState::BlockedOnReply { .. } = thread(k, caller)?.state else {
        return Ok(None);
    };
    wake(k, caller)?;
    let mut sc = k.get(caller).sc;
    match k.get(reply).above() {
        // The head of a stack that has lost its context, and is no longer any core's.
        StackLink::None if k.get(reply).below.get().is_some() => return Err(Need::All),
        StackLink::None => {}
        // Somebody in the middle of a stack.
        StackLink::Reply(_) => return Err(Need::All),
        StackLink::Sc(lent) => {
            if k.get(lent.core()).get() != k.me() || k.get(lent).reply != Some(reply) {
                // It may have to be taken from another core that runs it.
                return Err(Need::All);
            }
            if let Some(loser) = k.get(lent).tcb {
                thread(k, loser)?;
            }
            sc = sc.or(Some(lent));
        }
    }
    if let Some(sc) = sc
        && ipc::fault::has_timeout_handler(k, caller)
        && (k.get(sc).sporadic || !context::has_budget(k, sc))
    {
        handler(k, caller, TcbSlot::TimeoutHandler)?;
    }
    Ok(Some(reply))
}

/// A waiting thread leaves its queue and goes on with its scheduling context.
fn wake(k: &Kernel<'_>, tcb: TcbRef) -> Reach {
    let this = thread(k, tcb)?;
    no_search(this)?;
    this.sc.map_or(Ok(()), |sc| of_context(k, sc))
}

/// A search that stops at a waiting thread belongs to a thread elsewhere, and the other way round.
fn no_search(tcb: &Tcb) -> Reach {
    match tcb.progress {
        Progress::Searched { .. } | Progress::SearchStop { .. } => Err(Need::All),
        Progress::None | Progress::Maintained { .. } => Ok(()),
    }
}

/// The scheduling context that goes with a notification.
fn lent_context(k: &Kernel<'_>, notification: NotificationRef) -> Reach {
    let sc = k.get(notification).sc.get();
    sc.map_or(Ok(()), |sc| of_context(k, sc))
}

fn of_context(k: &Kernel<'_>, sc: ScRef) -> Reach {
    home(k, k.get(sc.core()).get())
}

fn thread<'a>(k: &'a Kernel<'_>, tcb: TcbRef) -> Reach<&'a Tcb> {
    home(k, k.get(tcb.home()).get())?;
    Ok(k.get(tcb))
}

fn home(k: &Kernel<'_>, core: CoreId) -> Reach {
    if !config::SMP || k.holds(core) {
        Ok(())
    } else {
        Err(Need::Core(core))
    }
}
