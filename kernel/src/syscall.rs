//! System calls: what a thread asked for by SVC, from its registers to the call of what does it.
//!
//! An invocation that is left early ([`Leave`]) starts again at the SVC; so does one that suspends its own thread, once
//! that is resumed.

use sel4_abi::{
    CapRights, MAX_EXTRA_CAPS, MESSAGE_REGISTERS, MessageInfo, Syscall, USER_CONTEXT_WORDS,
    cap_type as t,
};

use crate::{
    access::Kernel,
    cap::{Cap, RawCap},
    config, cspace,
    fault::{Fault, LookupFailure, SysError},
    invoke::{self, Args, Failure, Leave, Outcome, Results},
    ipc::{
        self,
        endpoint::{self, Send},
        transfer,
    },
    object::{Progress, SlotRef, TcbRef, ThreadState},
    preempt, reach, registers, sched,
    smp::stop,
};

/// How the capability of a send phase is invoked.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    Call,
    Send,
    NBSend,
    /// The first half of a combined call: failures are silent, and few objects may be invoked.
    First,
}

impl Mode {
    fn is_call(self) -> bool {
        self == Self::Call
    }

    fn is_blocking(self) -> bool {
        matches!(self, Self::Call | Self::Send)
    }

    fn can_donate(self) -> bool {
        matches!(self, Self::Call | Self::First)
    }
}

/// Does the system call of the current thread.
pub fn handle(k: &mut Kernel<'_>, caller: TcbRef, syscall: Syscall) -> Result<(), Leave> {
    let taken;
    let mut progress = &Progress::None;
    if preempt::has_progress(k, caller) {
        taken = preempt::take_progress(k, caller);
        progress = &taken;
    }
    let x = &k.get(caller.context()).x;
    let (dest, reply, other) = (x[0], x[6], x[8]);
    let (invoked, mode) = match syscall {
        Syscall::Call => (dest, Mode::Call),
        Syscall::Send => (dest, Mode::Send),
        Syscall::NBSend => (dest, Mode::NBSend),
        Syscall::ReplyRecv | Syscall::NBSendWait => (reply, Mode::First),
        Syscall::NBSendRecv => (other, Mode::First),
        Syscall::Recv => {
            receive_phase(k, caller, dest, Some(reply), true);
            return Ok(());
        }
        Syscall::NBRecv => {
            receive_phase(k, caller, dest, Some(reply), false);
            return Ok(());
        }
        Syscall::Wait => {
            receive_phase(k, caller, dest, None, true);
            return Ok(());
        }
        Syscall::NBWait => {
            receive_phase(k, caller, dest, None, false);
            return Ok(());
        }
        Syscall::Yield => {
            sched::time::yield_slice(k);
            return Ok(());
        }
    };
    send_phase(k, caller, invoked, mode, progress)?;
    match syscall {
        Syscall::ReplyRecv | Syscall::NBSendRecv => {
            receive_phase(k, caller, dest, Some(reply), true);
        }
        Syscall::NBSendWait => receive_phase(k, caller, dest, None, true),
        _ => {}
    }
    Ok(())
}

fn send_phase(
    k: &mut Kernel<'_>,
    caller: TcbRef,
    cptr: u64,
    mode: Mode,
    progress: &Progress,
) -> Result<(), Leave> {
    let slot = match cspace::lookup_slot(k, caller, cptr) {
        Ok(slot) => slot,
        Err(failure) => return unresolved(k, caller, mode, cptr, failure),
    };
    let cap = k.get(slot).raw();
    let info = MessageInfo(k.get(caller.context()).x[1]);
    if info.extra_caps() > 0 && is_message(cap) {
        // They are looked up again when they are handed over.
        reach::hold_all(k)?;
    }
    match arguments(k, caller, slot, info, mode, progress) {
        Ok(_) if is_message(cap) => send(k, caller, cap, info, mode),
        Ok(args) => invoke_object(k, &args, cap, mode),
        Err((address, failure)) => unresolved(k, caller, mode, address, failure),
    }
}

/// What the capability in `slot` is invoked with. On failure: the address of an extra capability that did not resolve.
#[inline(always)]
pub fn arguments<'a>(
    k: &Kernel<'_>,
    caller: TcbRef,
    slot: SlotRef,
    info: MessageInfo,
    mode: Mode,
    progress: &'a Progress,
) -> Result<Args<'a>, (u64, LookupFailure)> {
    let (mut buffer, mut extra) = (None, [None; MAX_EXTRA_CAPS]);
    let mut length = info.length();
    if transfer::needs_buffer(info) {
        buffer = transfer::ipc_buffer(k, caller, false);
        extra = transfer::lookup_extra_caps(k, caller, buffer, info)?;
        if buffer.is_none() {
            length = length.min(MESSAGE_REGISTERS);
        }
    }
    Ok(Args {
        caller,
        slot,
        label: info.label(),
        length,
        buffer,
        extra,
        first_phase: mode == Mode::First,
        progress,
    })
}

/// An address that a send needs does not resolve.
#[cold]
fn unresolved(
    k: &mut Kernel<'_>,
    caller: TcbRef,
    mode: Mode,
    address: u64,
    failure: LookupFailure,
) -> Result<(), Leave> {
    if mode.is_blocking() {
        reach::hold(k, |k| reach::fault(k, caller))?;
        ipc::fault::raise(
            k,
            caller,
            Fault::Cap {
                address,
                in_receive: false,
                failure,
            },
        );
    }
    Ok(())
}

/// Whether invoking this is no method of a kernel object: a message, a signal, an answer or a mistake.
#[inline(always)]
fn is_message(cap: RawCap) -> bool {
    matches!(
        cap.type_number(),
        t::NULL | t::ZOMBIE | t::ENDPOINT | t::NOTIFICATION | t::REPLY
    )
}

/// Such a thing.
fn send(
    k: &mut Kernel<'_>,
    caller: TcbRef,
    cap: RawCap,
    info: MessageInfo,
    mode: Mode,
) -> Result<(), Leave> {
    let cap = cap.decode();
    if mode != Mode::First {
        reach::hold_target(k, cap, info)?;
    }
    match cap {
        Cap::Endpoint {
            endpoint,
            badge,
            rights,
        } if rights.contains(CapRights::WRITE) => {
            let how = Send {
                blocking: mode.is_blocking(),
                call: mode.is_call(),
                can_donate: mode.can_donate(),
                badge,
                can_grant: rights.contains(CapRights::GRANT),
                can_grant_reply: rights.contains(CapRights::GRANT_REPLY),
            };
            endpoint::send(k, caller, endpoint, how);
        }
        Cap::Notification {
            notification,
            badge,
            rights,
        } if rights.contains(CapRights::WRITE) => {
            ipc::notification::signal(k, notification, badge);
            if mode.is_call() {
                answer(k, caller, 0, &[]);
            }
        }
        Cap::Reply { reply, can_grant } => {
            stop::ensure_reply_usable(k, reply)?;
            ipc::reply::send(k, caller, reply, can_grant);
            if mode.is_call() {
                answer(k, caller, 0, &[]);
            }
        }
        _ => {
            if mode.is_call() {
                fail(k, caller, SysError::InvalidCapability(0));
            }
        }
    }
    Ok(())
}

fn invoke_object(k: &mut Kernel<'_>, args: &Args, cap: RawCap, mode: Mode) -> Result<(), Leave> {
    let caller = args.caller;
    match dispatch(k, args, cap) {
        Ok(results) => {
            // The invocation may have stopped, or even deleted, the thread that made it.
            if k.get(caller).is_runnable() {
                k.get_mut(caller).state = ThreadState::Running;
                if mode.is_call() {
                    finish(k, caller, &results);
                }
            }
            Ok(())
        }
        Err(Failure::Error(error)) => {
            k.get_mut(caller).state = ThreadState::Running;
            if mode.is_call() {
                fail(k, caller, error);
            }
            Ok(())
        }
        Err(Failure::Leave(leave)) => {
            // Before other locks are had there is nothing to start again.
            if !matches!(leave, Leave::Need(_)) {
                stop::restart_current(k);
            }
            Err(leave)
        }
    }
}

#[inline(always)]
fn dispatch(k: &mut Kernel<'_>, args: &Args, cap: RawCap) -> Outcome {
    let kind = cap.type_number();
    let may_not_be_first = matches!(
        kind,
        t::THREAD | t::DOMAIN | t::CNODE | t::SCHED_CONTROL | t::SCHED_CONTEXT
    );
    if args.first_phase && may_not_be_first {
        return Err(SysError::InvalidCapability(0).into());
    }
    let asks_itself = matches!(
        kind,
        t::THREAD | t::SCHED_CONTEXT | t::SCHED_CONTROL | t::IRQ_HANDLER | t::SGI_SIGNAL
    );
    if !asks_itself {
        reach::hold_all(k)?;
    }
    match kind {
        t::UNTYPED => invoke::untyped::invoke(k, args, cap),
        t::CNODE => invoke::cnode::invoke(k, args),
        t::THREAD => invoke::tcb::invoke(k, args, cap.decode()),
        t::SCHED_CONTEXT => invoke::sched_context::invoke(k, args, cap.decode()),
        t::SCHED_CONTROL => invoke::sched_control::invoke(k, args, cap.decode()),
        t::FRAME => invoke::page::invoke(k, args, cap),
        t::PAGE_TABLE => invoke::page_table::invoke(k, args, cap.decode()),
        t::VSPACE => invoke::vspace::invoke(k, args, cap.decode()),
        t::ASID_CONTROL | t::ASID_POOL => invoke::asid::invoke(k, args, cap.decode()),
        t::IRQ_CONTROL | t::IRQ_HANDLER | t::SGI_SIGNAL => {
            invoke::irq::invoke(k, args, cap.decode())
        }
        t::DOMAIN => invoke::domain::invoke(k, args),
        _ => unreachable!("not a kernel object's method"),
    }
}

/// Answers a Call of a kernel object.
#[inline]
fn finish(k: &mut Kernel<'_>, caller: TcbRef, results: &Results) {
    match *results {
        Results::None => answer(k, caller, 0, &[]),
        Results::One(word) => answer(k, caller, 0, &[word]),
        Results::Registers { of, count } => answer_registers(k, caller, of, count),
    }
}

#[inline(never)]
fn answer_registers(k: &mut Kernel<'_>, caller: TcbRef, of: TcbRef, count: usize) {
    let context = k.get(of.context());
    let words: [u64; USER_CONTEXT_WORDS] =
        core::array::from_fn(|index| registers::read(context, index));
    answer(k, caller, 0, &words[..count]);
}

/// Answers a Call of a method that has no results.
#[inline]
pub fn succeed(k: &mut Kernel<'_>, caller: TcbRef) {
    answer(k, caller, 0, &[]);
}

/// Answers a Call with an error.
#[inline]
pub fn fail(k: &mut Kernel<'_>, caller: TcbRef, error: SysError) {
    let code = error.code() as u64;
    if let SysError::InvalidCapability(which) | SysError::InvalidArgument(which) = error {
        return answer(k, caller, code, &[which]);
    }
    let (count, words) = error.words();
    answer(k, caller, code, &words[..count]);
}

#[inline]
fn answer(k: &mut Kernel<'_>, caller: TcbRef, label: u64, words: &[u64]) {
    let length = transfer::write_words(k, caller, words);
    let context = k.get_mut(caller.context());
    context.x[0] = 0;
    context.x[1] = MessageInfo::new(label, 0, 0, length as u64).0;
}

/// Receives from an endpoint or notification. With a reply address, an endpoint's callers wait on that object.
fn receive_phase(
    k: &mut Kernel<'_>,
    caller: TcbRef,
    source: u64,
    reply: Option<u64>,
    blocking: bool,
) {
    let fault = |k: &mut Kernel<'_>, address, failure| {
        ipc::fault::raise(
            k,
            caller,
            Fault::Cap {
                address,
                in_receive: true,
                failure,
            },
        );
    };
    let missing = LookupFailure::MissingCapability { bits_left: 0 };
    let slot = match cspace::lookup_slot(k, caller, source) {
        Ok(slot) => slot,
        Err(failure) => return fault(k, source, failure),
    };
    match k.get(slot).cap() {
        Cap::Endpoint {
            endpoint, rights, ..
        } if rights.contains(CapRights::READ) => {
            let mut object = None;
            if let Some(cptr) = reply {
                match cspace::lookup_slot(k, caller, cptr).map(|slot| k.get(slot).cap()) {
                    Ok(Cap::Reply { reply, .. }) => object = Some(reply),
                    Ok(_) => return fault(k, cptr, missing),
                    Err(failure) => return fault(k, cptr, failure),
                }
            }
            endpoint::receive(k, caller, endpoint, blocking, object);
        }
        Cap::Notification {
            notification,
            rights,
            ..
        } if rights.contains(CapRights::READ)
            && k.get(notification)
                .bound_tcb
                .get()
                .is_none_or(|bound| bound == caller) =>
        {
            ipc::notification::wait(k, caller, notification, blocking);
        }
        _ => fault(k, source, missing),
    }
}

/// Whether a number is a debug call of this configuration, which is neither accounted nor scheduled.
pub fn is_debug_call(number: i64) -> bool {
    use sel4_abi::debug_syscall as d;
    match number {
        d::PUT_CHAR | d::DUMP_SCHEDULER => config::PRINTING,
        d::HALT | d::CAP_IDENTIFY | d::SNAPSHOT | d::NAME_THREAD => config::DEBUG_BUILD,
        d::SEND_IPI | d::GET_THREAD_AFFINITY => config::DEBUG_BUILD && config::SMP,
        d::BENCHMARK_RESET_LOG => config::TRACK_MASKED || config::BENCH_COUNTERS,
        d::BENCHMARK_FINALIZE_LOG | d::BENCHMARK_MODES => config::TRACK_MASKED,
        d::BENCHMARK_COUNTERS => config::BENCH_COUNTERS,
        _ => false,
    }
}
