//! What an invocation of an object outside the model does inside it: mostly nothing.

use sel4_abi::{CapRights, Invocation};
use tern_kernel::access::Kernel;
use tern_kernel::cap::Cap as KernelCap;
use tern_kernel::object::{Progress, SlotRef, TCB_SLOTS, TcbRef, TcbSlot};
use tern_kernel::{cdt, cspace, irq};

use super::resolve;
use crate::model::{Cap, Effect, State};

pub(super) fn of(
    k: &Kernel<'_>,
    caller: TcbRef,
    invoked: KernelCap,
    label: u64,
    words: &[u64],
    state: &mut State,
) -> Effect {
    let method = Invocation::from_label(label);
    match invoked {
        // Who came later than the call stays.
        KernelCap::CNode { .. } if matches!(k.get(caller).progress, Progress::Searched { .. }) => {
            Effect::Unknown("a search that goes on")
        }
        KernelCap::CNode { .. } => of_slot_method(k, invoked, method, words, state),
        // Changes the thread's place in its queue.
        KernelCap::Domain if method == Some(Invocation::DomainSetSet) => {
            Effect::Unknown("a domain")
        }
        KernelCap::IrqHandler { line }
            if matches!(
                method,
                Some(Invocation::IrqSetHandler | Invocation::IrqClearHandler)
            ) =>
        {
            let slot = irq::line_slot(k, line);
            if !k.get(slot).is_empty() && cdt::is_final(k, slot) {
                Effect::Unknown("the last capability to a handler's notification")
            } else {
                Effect::Nothing
            }
        }
        _ => Effect::Nothing,
    }
}

fn of_slot_method(
    k: &Kernel<'_>,
    root: KernelCap,
    method: Option<Invocation>,
    words: &[u64],
    state: &mut State,
) -> Effect {
    let &[index, depth, ..] = words else {
        return Effect::Nothing;
    };
    let Ok(slot) = cspace::lookup_target_slot(k, root.into(), index, depth, false) else {
        return Effect::Nothing;
    };
    match method {
        Some(Invocation::CNodeDelete) => deletion(k, slot, state),
        Some(Invocation::CNodeRevoke) => revocation(k, slot),
        Some(Invocation::CNodeCancelBadgedSends) => {
            let cap = k.get(slot).cap();
            match (cap, resolve::cap(k, cap, state)) {
                (KernelCap::Endpoint { rights, .. }, Cap::Endpoint { id, badge, .. })
                    if rights == CapRights::all() && badge != 0 =>
                {
                    Effect::CancelBadged {
                        endpoint: id,
                        badge,
                    }
                }
                _ => Effect::Nothing,
            }
        }
        _ => Effect::Nothing,
    }
}

fn deletion(k: &Kernel<'_>, slot: SlotRef, state: &mut State) -> Effect {
    let cap = k.get(slot).cap();
    if cap.is_null() || !cdt::is_final(k, slot) {
        return Effect::Nothing;
    }
    match cap {
        KernelCap::Thread { tcb } if holds_last(k, tcb) => {
            Effect::Unknown("a thread that goes with other objects")
        }
        KernelCap::Endpoint { .. }
        | KernelCap::Notification { .. }
        | KernelCap::Reply { .. }
        | KernelCap::SchedContext { .. }
        | KernelCap::Thread { .. } => Effect::Delete(resolve::cap(k, cap, state)),
        KernelCap::CNode { .. } | KernelCap::Zombie { .. } | KernelCap::IrqHandler { .. } => {
            Effect::Unknown("the deletion of a container")
        }
        _ => Effect::Nothing,
    }
}

/// Whether a thread holds the last capability to something that takes more with it.
fn holds_last(k: &Kernel<'_>, tcb: TcbRef) -> bool {
    (0..TCB_SLOTS).any(|index| {
        let slot = tcb.slot(TcbSlot::CSpace).nth(index);
        let simple = matches!(
            k.get(slot).cap(),
            KernelCap::Null | KernelCap::VSpace { .. } | KernelCap::Frame { .. }
        );
        !simple && cdt::is_final(k, slot)
    })
}

/// What is derived from a capability to an object is to the same object, which stays.
fn revocation(k: &Kernel<'_>, slot: SlotRef) -> Effect {
    match k.get(slot).cap() {
        _ if cdt::first_child(k, slot).is_none() => Effect::Nothing,
        KernelCap::Endpoint { .. }
        | KernelCap::Notification { .. }
        | KernelCap::Reply { .. }
        | KernelCap::SchedContext { .. }
        | KernelCap::Thread { .. }
        | KernelCap::CNode { .. }
        | KernelCap::VSpace { .. }
        | KernelCap::Frame { .. } => Effect::Nothing,
        _ => Effect::Unknown("a revocation with objects"),
    }
}
