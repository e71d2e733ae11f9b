//! Time accounting: what runs on a core is charged by that core, once per entry and when it turns to another context.

use super::{End, context, enqueue, is_schedulable, postpone, reschedule};
use crate::{
    access::Kernel,
    arch, ipc,
    object::{ScRef, TcbRef, ThreadState},
};

/// Reads the clock. Under the locks, so that times never run backwards along them.
pub fn stamp(k: &mut Kernel<'_>) {
    let now = arch::counter();
    let core = k.this_mut();
    core.consumed += now - core.now;
    core.now = now;
}

/// As [`stamp`], with a time that was read before the locks were waited for.
pub fn stamp_at(k: &mut Kernel<'_>, time: u64) {
    let core = k.this_mut();
    let time = time.max(core.now);
    core.consumed += time - core.now;
    core.now = time;
}

/// Reads the clock and forgets the time since the last reading: nobody on this core used it.
pub fn stamp_unaccounted(k: &mut Kernel<'_>) {
    k.this_mut().now = arch::counter();
}

/// Whether the running context has budget for what it used and for one more entry.
pub fn is_funded(k: &Kernel<'_>) -> bool {
    let this = k.this();
    is_calm(k)
        || this.current_sc.is_none_or(|sc| {
            k.refills_ref(sc)
                .sufficient(this.consumed, &k.machine().limits)
        })
}

/// Whether nothing that depends on the time has happened since the timer was programmed: the budget lasts, no refill is
/// due.
pub fn is_calm(k: &Kernel<'_>) -> bool {
    let this = k.this();
    this.now < this.calm_until && !this.reprogram
}

/// As [`is_funded`]. If not, it is charged and its thread goes to the end of its queue, waits for a refill, or has a
/// timeout fault.
pub fn check_budget(k: &mut Kernel<'_>) -> bool {
    let Some(sc) = k.this().current_sc else {
        return true;
    };
    if is_funded(k) {
        return true;
    }
    let consumed = k.this().consumed;
    let limits = &k.machine().limits;
    k.refills(sc).charge_end_of_slice(consumed, limits);
    end_slice(k, sc, true);
    false
}

/// The same at the end of an entry in which time was read again: for preemptible work, or for other cores. A timeout
/// fault is raised only where the thread does its call again anyway: what is finished must not be done twice.
pub fn check_again(k: &mut Kernel<'_>) {
    let Some(sc) = k.this().current_sc else {
        return;
    };
    let consumed = k.this().consumed;
    if is_calm(k)
        || !k.get(sc).is_active()
        || k.refills_ref(sc).sufficient(consumed, &k.machine().limits)
    {
        return;
    }
    let limits = &k.machine().limits;
    k.refills(sc).charge_end_of_slice(consumed, limits);
    let current = k.this().current;
    // Only a call that is left early is done again, and such calls hold every lock.
    let restarts =
        k.holds_all() && current.is_some_and(|tcb| k.get(tcb).state == ThreadState::Restart);
    end_slice(k, sc, restarts);
    // The context may have been lent in this entry: then another thread waits for the refill.
    if let Some(tcb) = k.get(sc).tcb
        && current != Some(tcb)
        && is_schedulable(k, tcb)
        && !context::has_budget(k, sc)
    {
        postpone(k, tcb);
    }
}

/// Gives up the rest of the head refill.
pub fn yield_slice(k: &mut Kernel<'_>) {
    begin_slice(k);
    make_room(k);
}

/// Charges the paying context for all of its head refill, whatever was used of it. Tells whether it has budget for now.
pub fn begin_slice(k: &mut Kernel<'_>) -> bool {
    let Some(sc) = k.this().current_sc else {
        return false;
    };
    let consumed = core::mem::take(&mut k.this_mut().consumed);
    let limits = &k.machine().limits;
    k.refills(sc).yield_head(consumed, limits);
    k.get_mut(sc).consumed += consumed;
    context::has_budget(k, sc)
}

/// The running thread, whose slice has ended, waits for its turn or for a refill.
pub fn make_room(k: &mut Kernel<'_>) {
    if let Some(sc) = k.this().current_sc {
        end_slice(k, sc, false);
    }
}

/// After a charge: the used time is accounted, and the running thread makes room.
fn end_slice(k: &mut Kernel<'_>, sc: ScRef, may_fault: bool) {
    let consumed = core::mem::take(&mut k.this_mut().consumed);
    k.get_mut(sc).consumed += consumed;
    if let Some(tcb) = k.this().current
        && is_schedulable(k, tcb)
    {
        let periodic = !k.get(sc).refills.is_round_robin();
        if may_fault && periodic && ipc::fault::has_timeout_handler(k, tcb) {
            ipc::fault::timeout(k, tcb);
        } else {
            queue_by_budget(k, tcb, End::Back);
        }
    }
    reschedule(k);
    k.this_mut().reprogram = true;
}

/// A schedulable thread that gives up its core: ready if it has budget now, else waiting for it.
fn queue_by_budget(k: &mut Kernel<'_>, tcb: TcbRef, end: End) {
    let sc = k.get(tcb).sc.expect("schedulable");
    if context::has_budget(k, sc) {
        enqueue(k, tcb, end);
    } else {
        postpone(k, tcb);
    }
}

/// Charges what the running context used so far. Tells whether a round-robin slice ended by it.
#[inline(always)]
pub fn commit(k: &mut Kernel<'_>) -> bool {
    let consumed = core::mem::take(&mut k.this_mut().consumed);
    let Some(sc) = k.this().current_sc else {
        return false;
    };
    if consumed == 0 || !k.get(sc).is_active() {
        return false;
    }
    let limits = &k.machine().limits;
    k.get_mut(sc).consumed += consumed;
    k.refills(sc).commit(consumed, limits)
}

/// Takes the running thread off this core, which is about to run nothing for a while: its time is charged, and it
/// waits at the head of its queue.
pub fn put_aside(k: &mut Kernel<'_>) {
    let slice_ended = commit(k);
    if let Some(tcb) = k.this().current
        && is_schedulable(k, tcb)
    {
        queue_by_budget(k, tcb, if slice_ended { End::Back } else { End::Front });
    }
}

/// Makes the timer fire when the running context's head refill is used up or a waiting one is due. All that it used so
/// far is charged.
#[inline(always)]
pub fn program_timer(k: &mut Kernel<'_>) {
    let core = k.this();
    debug_assert!(core.consumed == 0);
    let amount = core
        .current_sc
        .map_or(u64::MAX, |sc| k.refills_ref(sc).head().amount);
    let release = core.release.first().map_or(u64::MAX, |tcb| {
        let sc = k
            .get(tcb)
            .sc
            .expect("a thread in the release queue has a scheduling context");
        k.refills_ref(sc).head().time
    });
    arch::set_timer(core.now.saturating_add(amount).min(release));
    let entries = amount.saturating_sub(k.machine().limits.min_budget);
    let calm_until = core.now.saturating_add(entries).min(release);
    k.this_mut().calm_until = calm_until;
}

/// How many threads one entry wakes because their refills are due.
const MAX_AWAKENED: usize = 10;

/// Lets the threads of this core whose refills are due run again. If they are many, the rest is left to the next entry,
/// which the timer asks for at once, so that other interrupts and other cores get their turn in between.
pub fn awaken(k: &mut Kernel<'_>) {
    let now = k.this().now;
    for _ in 0..MAX_AWAKENED {
        let Some(tcb) = k.this().release.first() else {
            return;
        };
        let sc = k
            .get(tcb)
            .sc
            .expect("a thread in the release queue has a scheduling context");
        if !k.refills_ref(sc).ready(now) {
            return;
        }
        take_due(k, tcb);
        k.this_mut().reprogram = true;
    }
}

fn take_due(k: &mut Kernel<'_>, tcb: TcbRef) {
    super::dequeue(k, tcb);
    super::switch_candidate(k, tcb);
}
