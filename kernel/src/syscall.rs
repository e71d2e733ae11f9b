//! System calls: what a thread asked for by SVC, from its registers to the call of what does it.
//!
//! An invocation that is left early ([`Leave`]) starts again at the SVC; so does one that suspends its own thread, once
//! that is resumed.

use sel4_abi::{CapRights, MESSAGE_REGISTERS, MessageInfo, Syscall};

use crate::{
    access::Kernel,
    cap::Cap,
    config, cspace,
    fault::{Fault, LookupFailure, SysError},
    invoke::{self, Args, Failure, Leave, Outcome},
    ipc::{
        self,
        endpoint::{self, Send},
        transfer,
    },
    object::{Progress, TcbRef, ThreadState},
    preempt, reach, sched,
    smp::stop,
};

/// How the capability of a send phase is invoked.
#[derive(Clone, Copy)]
struct Mode {
    call: bool,
    blocking: bool,
    can_donate: bool,
    /// The first half of a combined call: failures are silent, and few objects may be invoked.
    first_phase: bool,
}

const CALL: Mode = Mode {
    call: true,
    blocking: true,
    can_donate: true,
    first_phase: false,
};
const SEND: Mode = Mode {
    call: false,
    blocking: true,
    can_donate: false,
    first_phase: false,
};
const NB_SEND: Mode = Mode {
    call: false,
    blocking: false,
    can_donate: false,
    first_phase: false,
};
const FIRST: Mode = Mode {
    call: false,
    blocking: false,
    can_donate: true,
    first_phase: true,
};

/// Does the system call of the current thread.
pub fn handle(k: &mut Kernel<'_>, caller: TcbRef, syscall: Syscall) -> Result<(), Leave> {
    let x = k.get(caller.context()).x;
    let (dest, reply) = (x[0], x[6]);
    let progress = preempt::take_progress(k, caller);
    let send_phase = |k: &mut Kernel<'_>, cptr, mode| send_phase(k, caller, cptr, mode, progress);
    match syscall {
        Syscall::Call => send_phase(k, dest, CALL)?,
        Syscall::Send => send_phase(k, dest, SEND)?,
        Syscall::NBSend => send_phase(k, dest, NB_SEND)?,
        Syscall::ReplyRecv => {
            send_phase(k, reply, FIRST)?;
            receive_phase(k, caller, dest, Some(reply), true);
        }
        Syscall::NBSendRecv => {
            send_phase(k, x[8], FIRST)?;
            receive_phase(k, caller, dest, Some(reply), true);
        }
        Syscall::NBSendWait => {
            send_phase(k, reply, FIRST)?;
            receive_phase(k, caller, dest, None, true);
        }
        Syscall::Recv => receive_phase(k, caller, dest, Some(reply), true),
        Syscall::NBRecv => receive_phase(k, caller, dest, Some(reply), false),
        Syscall::Wait => receive_phase(k, caller, dest, None, true),
        Syscall::NBWait => receive_phase(k, caller, dest, None, false),
        Syscall::Yield => sched::time::yield_slice(k),
    }
    Ok(())
}

fn send_phase(
    k: &mut Kernel<'_>,
    caller: TcbRef,
    cptr: u64,
    mode: Mode,
    progress: Progress,
) -> Result<(), Leave> {
    let faults = mode.blocking;
    let fault = |k: &mut Kernel<'_>, address, failure| {
        if faults {
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
    };
    let slot = match cspace::lookup_slot(k, caller, cptr) {
        Ok(slot) => slot,
        Err(failure) => return fault(k, cptr, failure),
    };
    let info = MessageInfo(k.get(caller.context()).x[1]);
    let buffer = transfer::ipc_buffer(k, caller, false);
    let extra = match transfer::lookup_extra_caps(k, caller, buffer, info) {
        Ok(extra) => extra,
        Err((address, failure)) => return fault(k, address, failure),
    };
    let length = if buffer.is_some() {
        info.length()
    } else {
        info.length().min(MESSAGE_REGISTERS)
    };
    let args = Args {
        caller,
        slot,
        label: info.label(),
        length,
        buffer,
        extra,
        first_phase: mode.first_phase,
        progress,
    };
    invoke(k, &args, info, mode)
}

/// Invokes whatever the capability names.
fn invoke(k: &mut Kernel<'_>, args: &Args, info: MessageInfo, mode: Mode) -> Result<(), Leave> {
    let caller = args.caller;
    let answer = |k: &mut Kernel<'_>, outcome: Result<(), SysError>| {
        if mode.call {
            match outcome {
                Ok(()) => finish(k, caller, 0, &[]),
                Err(error) => fail(k, caller, error),
            }
        }
    };
    let cap = k.get(args.slot).cap();
    if !args.first_phase {
        reach::hold(k, |k| reach::target(k, cap, info).map(|_| ()))?;
    }
    match cap {
        Cap::Endpoint {
            endpoint,
            badge,
            rights,
        } => {
            if !rights.contains(CapRights::WRITE) {
                answer(k, Err(SysError::InvalidCapability(0)));
                return Ok(());
            }
            let how = Send {
                blocking: mode.blocking,
                call: mode.call,
                can_donate: mode.can_donate,
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
        } => {
            if rights.contains(CapRights::WRITE) {
                ipc::notification::signal(k, notification, badge);
                answer(k, Ok(()));
            } else {
                answer(k, Err(SysError::InvalidCapability(0)));
            }
        }
        Cap::Reply { reply, can_grant } => {
            stop::ensure_reply_usable(k, reply)?;
            ipc::reply::send(k, caller, reply, can_grant);
            answer(k, Ok(()));
        }
        cap => invoke_object(k, args, cap, mode)?,
    }
    Ok(())
}

fn invoke_object(k: &mut Kernel<'_>, args: &Args, cap: Cap, mode: Mode) -> Result<(), Leave> {
    let caller = args.caller;
    match dispatch(k, args, cap) {
        Ok(results) => {
            // The invocation may have stopped, or even deleted, the thread that made it.
            if k.get(caller).is_runnable() {
                k.get_mut(caller).state = ThreadState::Running;
                if mode.call {
                    finish(k, caller, 0, results.words());
                }
            }
            Ok(())
        }
        Err(Failure::Error(error)) => {
            k.get_mut(caller).state = ThreadState::Running;
            if mode.call {
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

fn dispatch(k: &mut Kernel<'_>, args: &Args, cap: Cap) -> Outcome {
    let barred = match cap {
        Cap::Thread { .. }
        | Cap::Domain
        | Cap::CNode { .. }
        | Cap::SchedControl { .. }
        | Cap::SchedContext { .. } => args.first_phase,
        _ => false,
    };
    if barred {
        return Err(SysError::InvalidCapability(0).into());
    }
    // The others ask for what they touch once they know it.
    let changes_structure = match cap {
        Cap::Untyped { .. }
        | Cap::CNode { .. }
        | Cap::Frame { .. }
        | Cap::PageTable { .. }
        | Cap::VSpace { .. }
        | Cap::AsidControl
        | Cap::AsidPool { .. }
        | Cap::IrqControl
        | Cap::Domain => true,
        Cap::Null
        | Cap::Zombie { .. }
        | Cap::Endpoint { .. }
        | Cap::Notification { .. }
        | Cap::Reply { .. }
        | Cap::Thread { .. }
        | Cap::SchedContext { .. }
        | Cap::SchedControl { .. }
        | Cap::IrqHandler { .. }
        | Cap::SgiSignal { .. } => false,
    };
    if changes_structure {
        reach::hold_all(k)?;
    }
    match cap {
        Cap::Null | Cap::Zombie { .. } => Err(SysError::InvalidCapability(0).into()),
        Cap::Endpoint { .. } | Cap::Notification { .. } | Cap::Reply { .. } => {
            unreachable!("not a kernel object's method")
        }
        Cap::Untyped { .. } => invoke::untyped::invoke(k, args, cap),
        Cap::CNode { .. } => invoke::cnode::invoke(k, args, cap),
        Cap::Thread { .. } => invoke::tcb::invoke(k, args, cap),
        Cap::SchedContext { .. } => invoke::sched_context::invoke(k, args, cap),
        Cap::SchedControl { .. } => invoke::sched_control::invoke(k, args, cap),
        Cap::Frame { .. } => invoke::page::invoke(k, args, cap),
        Cap::PageTable { .. } => invoke::page_table::invoke(k, args, cap),
        Cap::VSpace { .. } => invoke::vspace::invoke(k, args, cap),
        Cap::AsidControl | Cap::AsidPool { .. } => invoke::asid::invoke(k, args, cap),
        Cap::IrqControl | Cap::IrqHandler { .. } | Cap::SgiSignal { .. } => {
            invoke::irq::invoke(k, args, cap)
        }
        Cap::Domain => invoke::domain::invoke(k, args),
    }
}

/// Writes the answer to a Call of a kernel object.
fn finish(k: &mut Kernel<'_>, caller: TcbRef, label: u64, words: &[u64]) {
    let length = transfer::write_words(k, caller, words);
    let context = k.get_mut(caller.context());
    context.x[0] = 0;
    context.x[1] = MessageInfo::new(label, 0, 0, length as u64).0;
}

/// Answers a Call with an error.
pub fn fail(k: &mut Kernel<'_>, caller: TcbRef, error: SysError) {
    let (count, words) = error.words();
    finish(k, caller, error.code() as u64, &words[..count]);
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
        d::BENCHMARK_FINALIZE_LOG => config::TRACK_MASKED,
        d::BENCHMARK_COUNTERS => config::BENCH_COUNTERS,
        _ => false,
    }
}
