//! Faults: how they reach the handler, and what its answer does.

use sel4_abi::{CapRights, FaultKind, MessageInfo, TIMEOUT_REPLY_WORDS, fault_length};

use super::{endpoint, transfer};
use crate::{
    access::Kernel,
    arch,
    cap::Cap,
    debug,
    fault::Fault,
    object::{Context, TcbRef, TcbSlot, ThreadState},
    preempt, registers, sched,
};

/// Whether a capability may stand in a handler slot: an endpoint to which a call can be made.
pub fn is_handler(cap: Cap) -> bool {
    matches!(cap, Cap::Endpoint { rights, .. }
        if rights.contains(CapRights::WRITE)
            && rights.intersects(CapRights::GRANT | CapRights::GRANT_REPLY))
}

/// Sends a fault of `tcb` to its fault handler. Without one the thread stops.
pub fn raise(k: &mut Kernel<'_>, tcb: TcbRef, fault: Fault) {
    let handler = k.get(tcb.slot(TcbSlot::FaultHandler)).cap();
    let can_donate = k.get(tcb).sc.is_some();
    if !call_handler(k, tcb, handler, fault, can_donate) {
        debug::unhandled_fault(k, tcb, fault);
        k.get_mut(tcb).state = ThreadState::Inactive;
    }
}

pub fn has_timeout_handler(k: &Kernel<'_>, tcb: TcbRef) -> bool {
    is_handler(k.get(tcb.slot(TcbSlot::TimeoutHandler)).cap())
}

/// Tells the timeout handler, which exists, that the budget of `tcb` is used up. Nothing is lent to it.
pub fn timeout(k: &mut Kernel<'_>, tcb: TcbRef) {
    let handler = k.get(tcb.slot(TcbSlot::TimeoutHandler)).cap();
    let badge = k.get(tcb).sc.map_or(0, |sc| k.get(sc).badge);
    call_handler(k, tcb, handler, Fault::Timeout { badge }, false);
}

fn call_handler(
    k: &mut Kernel<'_>,
    tcb: TcbRef,
    handler: Cap,
    fault: Fault,
    can_donate: bool,
) -> bool {
    let Cap::Endpoint {
        endpoint,
        badge,
        rights,
    } = handler
    else {
        return false;
    };
    if !is_handler(handler) {
        return false;
    }
    k.get_mut(tcb).fault = fault;
    let how = endpoint::Send {
        blocking: true,
        call: true,
        can_donate,
        badge,
        can_grant: rights.contains(CapRights::GRANT),
        can_grant_reply: rights.contains(CapRights::GRANT_REPLY),
    };
    endpoint::send(k, tcb, endpoint, how);
    true
}

/// Writes the fault of `sender` as a message to its handler.
pub fn write_message(k: &mut Kernel<'_>, sender: TcbRef, receiver: TcbRef) -> MessageInfo {
    let fault = k.get(sender).fault;
    let sc = k.get(sender).sc;
    let context = k.get(sender.context());
    let (ip, sp, spsr) = (context.fault_ip, context.sp, context.spsr);
    // Each kind has its own array: a common one would have to be zeroed first.
    let (kind, length) = match fault {
        Fault::None => (FaultKind::NullFault, 0),
        Fault::Cap {
            address,
            in_receive,
            failure,
        } => {
            let (count, [a, b, c, d]) = failure.words();
            let words = [ip, address, u64::from(in_receive), a, b, c, d];
            let length = transfer::write_words(k, receiver, &words[..3 + count]);
            (FaultKind::CapFault, length)
        }
        Fault::UnknownSyscall { number } => {
            let [x0, x1, x2, x3, x4, x5, x6, x7, ..] = context.x;
            let next_ip = context.next_ip;
            let words = [
                x0, x1, x2, x3, x4, x5, x6, x7, ip, sp, next_ip, spsr, number,
            ];
            let length = transfer::write_words(k, receiver, &words);
            (FaultKind::UnknownSyscall, length)
        }
        Fault::UserException { syndrome } => {
            let words = [ip, sp, spsr, u64::from(syndrome), 0];
            let length = transfer::write_words(k, receiver, &words);
            (FaultKind::UserException, length)
        }
        Fault::Timeout { badge } => {
            let length = match sc {
                Some(sc) => {
                    let used = sched::context::take_consumed(k, sc);
                    transfer::write_words(k, receiver, &[badge, used])
                }
                None => transfer::write_words(k, receiver, &[badge]),
            };
            (FaultKind::Timeout, length)
        }
        Fault::Vm {
            address,
            instruction,
            syndrome,
        } => {
            let address = if instruction { ip } else { address };
            let words = [ip, address, u64::from(instruction), u64::from(syndrome)];
            let length = transfer::write_words(k, receiver, &words);
            (FaultKind::VmFault, length)
        }
    };
    MessageInfo::new(kind as u64, 0, 0, length as u64)
}

/// Applies the handler's answer to the thread that faulted: whether it is to go on.
pub fn take_reply(k: &mut Kernel<'_>, handler: TcbRef, tcb: TcbRef, fault: Fault) -> bool {
    let info = MessageInfo(k.get(handler.context()).x[1]);
    let taken = match fault {
        Fault::None | Fault::Cap { .. } | Fault::Vm { .. } => return true,
        Fault::UnknownSyscall { .. } => fault_length::UNKNOWN_SYSCALL_REPLY,
        Fault::UserException { .. } => fault_length::USER_EXCEPTION_REPLY,
        Fault::Timeout { .. } => TIMEOUT_REPLY_WORDS,
    };
    let buffer = transfer::ipc_buffer(k, handler, false);
    for index in 0..taken.min(info.length()) {
        let Some(word) = transfer::read_word(k, handler, buffer, index) else {
            break;
        };
        // With other registers it may be another call. An empty answer lets the thread go on with the one it had begun:
        // else a call that takes more than a budget would begin anew with each.
        preempt::take_progress(k, tcb);
        let context = k.get_mut(tcb.context());
        match fault {
            Fault::UnknownSyscall { .. } => set_syscall_register(context, index, word),
            Fault::UserException { .. } => set_exception_register(context, index, word),
            _ => registers::write(context, index, word),
        }
    }
    info.label() == 0
}

fn set_syscall_register(context: &mut Context, index: usize, word: u64) {
    match index {
        0..8 => context.x[index] = word,
        8 => context.fault_ip = word,
        9 => context.sp = word,
        10 => context.next_ip = word,
        11 => context.spsr = arch::sanitise_spsr(word),
        _ => unreachable!("an unknown system call's reply has 12 words"),
    }
}

fn set_exception_register(context: &mut Context, index: usize, word: u64) {
    match index {
        0 => context.fault_ip = word,
        1 => context.sp = word,
        2 => context.spsr = arch::sanitise_spsr(word),
        _ => unreachable!("a user exception's reply has 3 words"),
    }
}
