//! Deleting capabilities, and with the last one the object.
//!
//! Objects that hold capabilities themselves (CNodes and TCBs) become *zombies* while those are deleted one by one,
//! from the last slot down. So do endpoints and notifications while threads that wait on them are sent away. All work on the way is preemptible: the tree is consistent after each step, and the same
//! call goes on where this one left.
//!
//! A CNode that is found inside a dying one, by its last capability, is not taken apart by recursion: its zombie is
//! exchanged with the capability in its own first slot, which then is deleted in its place. The zombie stays there,
//! unreachable, until the untyped that covers it is revoked.

use crate::{
    access::Kernel,
    cap::{Cap, RawCap, ZombieKind},
    cdt, debug,
    invoke::Leave,
    ipc, irq,
    object::{ObjRef, SlotRef, TCB_SLOTS, TcbRef, TcbSlot},
    preempt, sched,
    smp::stop,
    types::CoreSet,
    vspace,
};

/// Deletes the capability in a slot. Nothing happens if it is empty.
#[inline]
pub fn delete(k: &mut Kernel<'_>, slot: SlotRef) -> Result<(), Leave> {
    if cdt::is_mere_copy(k, slot) {
        cdt::remove(k, slot);
        Ok(())
    } else {
        delete_last(k, slot)
    }
}

/// The same with what the capability stands for.
#[inline(never)]
fn delete_last(k: &mut Kernel<'_>, slot: SlotRef) -> Result<(), Leave> {
    finalise_slot(k, slot, true)?;
    if !k.get(slot).is_empty() {
        cdt::remove(k, slot);
    }
    Ok(())
}

/// Deletes everything derived from the capability in a slot.
pub fn revoke(k: &mut Kernel<'_>, slot: SlotRef) -> Result<(), Leave> {
    while let Some(child) = cdt::first_child(k, slot) {
        delete(k, child)?;
        preempt::point(k)?;
    }
    Ok(())
}

/// Works on a slot until it can be emptied, and says so; or, for a slot inside a dying object (`exposed` false), until
/// it holds a zombie that keeps itself.
fn finalise_slot(k: &mut Kernel<'_>, slot: SlotRef, exposed: bool) -> Result<bool, Leave> {
    loop {
        if cdt::is_mere_copy(k, slot) {
            cdt::remove(k, slot);
            return Ok(true);
        }
        let cap = k.get(slot).cap();
        let zombie = match cap {
            Cap::Null => return Ok(true),
            Cap::Zombie { .. } => cap,
            _ => {
                let last = cdt::is_final(k, slot);
                match finalise(k, slot, cap, last)? {
                    None => {
                        cdt::remove(k, slot);
                        return Ok(true);
                    }
                    Some(zombie) => {
                        k.get_mut(slot).set_cap(zombie);
                        zombie
                    }
                }
            }
        };
        let Cap::Zombie {
            base,
            kind,
            remaining,
        } = zombie
        else {
            unreachable!("made above")
        };
        send_waiters_away(k, base, kind)?;
        if remaining == 0 || (remaining == 1 && base == slot) {
            cdt::remove(k, slot);
            return Ok(true);
        }
        if !exposed {
            if base == slot {
                return Ok(false);
            }
            // Hand the zombie to its own first slot, and go on with what was there.
            let first = k.get(base).raw();
            cdt::swap(k, zombie.into(), slot, first, base);
            preempt::point(k)?;
            continue;
        }
        let last_slot = base.nth(remaining as usize - 1);
        let emptied = finalise_slot(k, last_slot, false)?;
        preempt::point(k)?;
        // The slot may have been given away by an exchange meanwhile; only the same zombie has one slot less.
        if k.get(slot).raw() == RawCap::from(zombie) {
            assert!(
                emptied,
                "only an exchange with this slot leaves a zombie that keeps itself"
            );
            k.get_mut(slot).set_cap(Cap::Zombie {
                base,
                kind,
                remaining: remaining - 1,
            });
        }
    }
}

/// Takes apart what the capability stands for, as far as one step goes. `None`: the slot may be emptied. Otherwise the
/// zombie that stands for the rest.
fn finalise(k: &mut Kernel<'_>, slot: SlotRef, cap: Cap, last: bool) -> Result<Option<Cap>, Leave> {
    match cap {
        Cap::Null
        | Cap::Untyped { .. }
        | Cap::SchedControl { .. }
        | Cap::AsidControl
        | Cap::IrqControl
        | Cap::SgiSignal { .. }
        | Cap::Domain => {}
        Cap::Zombie { .. } => unreachable!("zombies are reduced, not finalised"),
        Cap::Endpoint { endpoint, .. } => {
            if last && !k.get(endpoint).queue().is_empty() {
                let base = SlotRef::from_address(endpoint.address());
                let kind = ZombieKind::Endpoint;
                return Ok(Some(Cap::Zombie {
                    base,
                    kind,
                    remaining: 0,
                }));
            }
        }
        Cap::Notification { notification, .. } => {
            if last {
                if let Some(tcb) = k.get(notification).bound_tcb.get() {
                    ipc::notification::unbind(k, tcb);
                }
                if let Some(sc) = k.get(notification).sc.get() {
                    sched::context::unbind_notification(k, sc);
                }
                if !k.get(notification).queue().is_empty() {
                    let base = SlotRef::from_address(notification.address());
                    let kind = ZombieKind::Notification;
                    return Ok(Some(Cap::Zombie {
                        base,
                        kind,
                        remaining: 0,
                    }));
                }
            }
        }
        Cap::Reply { reply, .. } => {
            if last {
                stop::ensure_reply_usable(k, reply)?;
                ipc::reply::finalise(k, reply);
            }
        }
        Cap::SchedContext { sc, .. } => {
            if last {
                stop::ensure_idle_context(k, sc)?;
                sched::context::finalise(k, sc);
            }
        }
        Cap::Thread { tcb } => {
            if last {
                stop::ensure_not_live(k, tcb)?;
                finalise_thread(k, tcb);
                return Ok(Some(Cap::Zombie {
                    base: tcb.slot(TcbSlot::CSpace),
                    kind: ZombieKind::Tcb,
                    remaining: TCB_SLOTS as u64,
                }));
            }
        }
        Cap::CNode { base, radix, .. } => {
            if last {
                let kind = ZombieKind::CNode { radix };
                return Ok(Some(Cap::Zombie {
                    base,
                    kind,
                    remaining: kind.slots() as u64,
                }));
            }
        }
        Cap::Frame {
            base,
            size,
            mapping,
            ..
        } => {
            if let Some(mapping) = mapping {
                vspace::unmap_frame(k, base, size, mapping);
            }
        }
        Cap::PageTable { table, mapping } => {
            if last && let Some(mapping) = mapping {
                vspace::unmap_table(k, table, mapping);
            }
        }
        Cap::VSpace { root, asid } => {
            stop::ensure_parked(cores_running_in(k, slot))?;
            if last && let Some(asid) = asid {
                stop::ensure_parked(vspace::cores_using(k, root, asid))?;
                vspace::delete_vspace(k, root, asid);
            }
        }
        Cap::AsidPool { pool, index } => {
            if last {
                stop::ensure_parked(vspace::cores_using_pool(k, index))?;
                vspace::delete_asid_pool(k, pool, index)?;
            }
        }
        Cap::IrqHandler { line } => {
            if last {
                irq::delete_handler(k, line)?;
            }
        }
    }
    Ok(None)
}

/// Empties the queue of a dying endpoint or notification. Its last capability is a zombie by now, so nobody can join.
fn send_waiters_away(k: &mut Kernel<'_>, base: SlotRef, kind: ZombieKind) -> Result<(), Leave> {
    match kind {
        ZombieKind::Tcb | ZombieKind::CNode { .. } => Ok(()),
        ZombieKind::Endpoint => ipc::endpoint::cancel_all(k, ObjRef::from_address(base.address())),
        ZombieKind::Notification => {
            ipc::notification::cancel_all(k, ObjRef::from_address(base.address()))
        }
    }
}

/// The other cores whose live thread takes its VSpace from this slot.
fn cores_running_in(k: &Kernel<'_>, slot: SlotRef) -> CoreSet {
    let mut cores = CoreSet::EMPTY;
    for core in k.cores().filter(|&core| core != k.me()) {
        if k.core(core)
            .current
            .is_some_and(|tcb| tcb.slot(TcbSlot::VSpace) == slot)
        {
            cores.insert(core);
        }
    }
    cores
}

/// A thread's last capability goes: it stops, and nothing refers to it any more but the core that runs it, if that is
/// this one.
fn finalise_thread(k: &mut Kernel<'_>, tcb: TcbRef) {
    let live = k.this().current == Some(tcb);
    if live {
        sched::time::commit(k);
    }
    sched::context::unbind_thread(k, tcb);
    sched::suspend(k, tcb);
    preempt::take_progress(k, tcb);
    debug::forget_thread(k, tcb);
    if live {
        sched::set_idle(k);
        sched::reschedule(k);
    }
}
