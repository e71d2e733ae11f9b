//! What a core in the kernel is asked to do, as the model is told of it.

use mcs::max_extra_refills;
use sel4_abi::{MAX_EXTRA_CAPS, MESSAGE_REGISTERS, MessageInfo, Syscall};
use tern_kernel::access::Kernel;
use tern_kernel::cap::Cap as KernelCap;
use tern_kernel::entry::Cause;
use tern_kernel::ipc::transfer;
use tern_kernel::object::{ObjRef, TcbRef};
use tern_kernel::types::CoreId;
use tern_kernel::{cspace, irq, syscall, vspace};

use super::{effect, read};
use crate::machine::Machine;
use crate::model::{Args, Cap, Effect, Event, Fault, Operand, Request, State};
use crate::run::CAPS;

/// The syndrome of a trapped floating-point access.
const FPU_TRAP: u32 = 0x1fe0_0000;

/// All objects that the event names become known to the model.
pub(super) fn event(
    k: &Kernel<'_>,
    machine: &Machine,
    core: usize,
    cause: Cause,
    state: &mut State,
) -> Event {
    let me = CoreId(core as u16);
    let Some(caller) = k.core(me).current else {
        return interrupt(k, machine, core, state);
    };
    match cause {
        Cause::Interrupt => interrupt(k, machine, core, state),
        Cause::Syscall => system_call(k, caller, state),
        Cause::DataAbort { address, syndrome } | Cause::InstructionAbort { address, syndrome } => {
            if vspace::is_fault_outdated(k, caller, address, syndrome) {
                return Event::Outdated;
            }
            Event::Fault(Fault::Vm {
                address,
                instruction: matches!(cause, Cause::InstructionAbort { .. }),
                syndrome,
            })
        }
        Cause::UserException { syndrome } => Event::Fault(Fault::UserException { syndrome }),
        Cause::FpuAccess => Event::FloatingPoint { syndrome: FPU_TRAP },
    }
}

fn interrupt(k: &Kernel<'_>, machine: &Machine, core: usize, state: &mut State) -> Event {
    let me = CoreId(core as u16);
    let kernels = |intid: u32| intid == k.machine().timer_ppi || irq::KERNEL_SGIS.contains(&intid);
    let told = machine
        .acknowledged(core)
        .filter(|&intid| !kernels(intid))
        .and_then(|intid| {
            let slot = irq::line_slot(k, irq::line_of(intid, me));
            match cap(k, k.get(slot).cap(), state) {
                Cap::Notification { id, badge, .. } => Some((id, badge)),
                _ => None,
            }
        });
    Event::Interrupt(told)
}

fn system_call(k: &Kernel<'_>, caller: TcbRef, state: &mut State) -> Event {
    let x = k.get(caller.context()).x;
    let number = x[7] as i64;
    let Some(call) = Syscall::from_number(number) else {
        return if syscall::is_debug_call(number) {
            Event::Debug
        } else {
            Event::Fault(Fault::UnknownSyscall { number: x[7] })
        };
    };
    let mut operand = |address: u64| Operand {
        address,
        cap: cspace::lookup_slot(k, caller, address)
            .map(|slot| cap(k, k.get(slot).cap(), state))
            .map_err(read::failure),
    };
    let (x0, x6, x8) = (operand(x[0]), operand(x[6]), operand(x[8]));
    let info = MessageInfo(x[1]);
    let buffer = transfer::ipc_buffer(k, caller, false);
    let length = match buffer {
        Some(_) => info.length(),
        None => info.length().min(MESSAGE_REGISTERS),
    };
    let words = (0..length).map_while(|index| transfer::read_word(k, caller, buffer, index));
    let words: Vec<u64> = words.collect();
    let mut extra = Ok(Vec::new());
    if let Some(buffer) = buffer {
        extra = (0..info.extra_caps().min(MAX_EXTRA_CAPS))
            .map(|index| {
                let address = k.read_user_word(buffer, CAPS + index);
                match operand(address).cap {
                    Ok(cap) => Ok(cap),
                    Err(failure) => Err((address, failure)),
                }
            })
            .collect();
    }
    let mut request = Box::new(Request {
        call,
        x0,
        x6,
        x8,
        args: Args {
            words,
            extra,
            effect: Effect::Nothing,
        },
    });
    if let Some(&Operand {
        address,
        cap: Ok(Cap::Other { .. }),
    }) = request.invoked()
        && let Ok(slot) = cspace::lookup_slot(k, caller, address)
    {
        let cap = k.get(slot).cap();
        request.args.effect = effect::of(k, caller, cap, info.label(), &request.args.words, state);
    }
    Event::Syscall(request)
}

/// What the event names becomes known once more: others have changed the state since.
pub(super) fn recall(k: &Kernel<'_>, event: &Event, state: &mut State) {
    match event {
        Event::Interrupt(Some((id, _))) => {
            read::add_notification(k, ObjRef::from_address(*id), state);
        }
        Event::Syscall(request) => {
            for operand in [&request.x0, &request.x6, &request.x8] {
                if let Ok(cap) = operand.cap {
                    recall_cap(k, cap, state);
                }
            }
            for cap in request.args.extra.iter().flatten() {
                recall_cap(k, *cap, state);
            }
            match request.args.effect {
                Effect::Delete(cap) => recall_cap(k, cap, state),
                Effect::CancelBadged { endpoint, .. } => {
                    read::add_endpoint(k, ObjRef::from_address(endpoint), state);
                }
                Effect::Nothing | Effect::Unknown(_) => {}
            }
        }
        _ => {}
    }
}

fn recall_cap(k: &Kernel<'_>, cap: Cap, state: &mut State) {
    match cap {
        Cap::Endpoint { id, .. } => read::add_endpoint(k, ObjRef::from_address(id), state),
        Cap::Notification { id, .. } => read::add_notification(k, ObjRef::from_address(id), state),
        Cap::Reply { id, .. } => read::add_reply(k, ObjRef::from_address(id), state),
        Cap::Context { id, .. } => read::add_context(k, ObjRef::from_address(id), state),
        Cap::Null | Cap::Zombie | Cap::Thread(_) | Cap::Control { .. } | Cap::Other { .. } => {}
    }
}

pub(super) fn cap(k: &Kernel<'_>, cap: KernelCap, state: &mut State) -> Cap {
    match cap {
        KernelCap::Null => Cap::Null,
        KernelCap::Zombie { .. } => Cap::Zombie,
        KernelCap::Endpoint {
            endpoint,
            badge,
            rights,
        } => {
            read::add_endpoint(k, endpoint, state);
            Cap::Endpoint {
                id: endpoint.address(),
                badge,
                rights: read::rights(rights),
            }
        }
        KernelCap::Notification {
            notification,
            badge,
            rights,
        } => {
            read::add_notification(k, notification, state);
            Cap::Notification {
                id: notification.address(),
                badge,
                rights: read::rights(rights),
            }
        }
        KernelCap::Reply { reply, can_grant } => {
            read::add_reply(k, reply, state);
            Cap::Reply {
                id: reply.address(),
                grant: can_grant,
            }
        }
        KernelCap::Thread { tcb } => Cap::Thread(tcb.address()),
        KernelCap::SchedContext { sc, bits } => {
            read::add_context(k, sc, state);
            Cap::Context {
                id: sc.address(),
                room: max_extra_refills(bits),
            }
        }
        KernelCap::SchedControl { core } => Cap::Control { core: core.0 },
        KernelCap::CNode { .. } | KernelCap::Domain => Cap::Other { in_first: false },
        _ => Cap::Other { in_first: true },
    }
}
