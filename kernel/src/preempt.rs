//! Preemption points: where long work looks whether something more urgent waits, and how far it has got.
//!
//! Most work shows by itself how far it is: what has been deleted is gone. Where it does not, the thread keeps its
//! [`Progress`] from the moment when its call is left until it does the call again.

use core::sync::atomic::Ordering;

use crate::{
    access::Kernel,
    arch, config,
    invoke::Leave,
    object::{Progress, TcbRef},
    sched,
};

/// What a capability that is deleted counts, or a thread that is sent away: some 500 instructions.
pub const STEP: usize = 10;

/// One step is done. Every [`config::MAX_NUM_WORK_UNITS_PER_PREEMPTION`] units: leave, if an interrupt waits for this
/// core, somebody wants it to park, another core waits for a lock, or the budget is used up.
pub fn point(k: &mut Kernel<'_>) -> Result<(), Leave> {
    units(k, STEP)
}

/// As [`point`], for work that counts otherwise. A unit is some 50 instructions.
pub fn units(k: &mut Kernel<'_>, count: usize) -> Result<(), Leave> {
    let core = k.this_mut();
    core.work_units += count;
    if core.work_units < config::MAX_NUM_WORK_UNITS_PER_PREEMPTION {
        return Ok(());
    }
    core.work_units = 0;
    let me = k.me();
    let urgent =
        arch::interrupt_pending() || k.is_contended() || k.flags(me).hold.load(Ordering::Acquire);
    if urgent || !has_budget_left(k) {
        return Err(Leave::Preempted);
    }
    k.looked();
    Ok(())
}

fn has_budget_left(k: &mut Kernel<'_>) -> bool {
    sched::time::stamp(k);
    let Some(sc) = k.this().current_sc else {
        return true;
    };
    k.refills_ref(sc)
        .sufficient(k.this().consumed, &k.machine().limits)
}

/// The thread does not go on with a call that was left, or takes it up again: how far that had got.
pub fn take_progress(k: &mut Kernel<'_>, tcb: TcbRef) -> Progress {
    let progress = k.get(tcb).progress;
    match progress {
        Progress::None | Progress::SearchStop { .. } => return Progress::None,
        Progress::Maintained { .. } => {}
        Progress::Searched { next, .. } => {
            if let Some(next) = next {
                k.get_mut(next).progress = Progress::None;
            }
        }
    }
    k.get_mut(tcb).progress = Progress::None;
    progress
}

/// A search among the senders of an endpoint, as it goes on.
#[derive(Clone, Copy, Debug)]
pub struct Search {
    pub badge: u64,
    /// Who joined in this round or later is not meant. None: nobody can have joined yet.
    pub round: Option<u32>,
}

impl Search {
    /// Whether a sender that joined in a round was there when the search began. Rounds wrap, after 2^32 interrupted
    /// searches.
    pub fn covers(self, round: u32) -> bool {
        self.round
            .is_none_or(|own| round.wrapping_sub(own) as i32 <= -1)
    }
}

/// The thread's search is interrupted and goes on with `next`, which waits to send and has not been looked at. If
/// another search stops there, with one before it: looking twice does no harm.
pub fn stop_search(k: &mut Kernel<'_>, tcb: TcbRef, search: Search, next: TcbRef) {
    debug_assert!(k.get(tcb).progress == Progress::None);
    let round = search.round.unwrap_or_else(|| {
        let rounds = &mut k.shared_mut().search_rounds;
        *rounds = rounds.wrapping_add(1);
        *rounds
    });
    keep_search(k, tcb, search.badge, round, Some(next));
}

/// Lets a search stop at a thread, or at the next one before it where no other search stops.
fn keep_search(k: &mut Kernel<'_>, tcb: TcbRef, badge: u64, round: u32, at: Option<TcbRef>) {
    let mut next = at;
    while let Some(stop) = next {
        if k.get(stop).progress == Progress::None {
            k.get_mut(stop).progress = Progress::SearchStop { by: tcb };
            break;
        }
        next = k.get(stop).links.prev;
    }
    k.get_mut(tcb).progress = Progress::Searched { badge, next, round };
}

/// A thread is about to leave the queue in which it waits: a search that stops at it goes on with one before it.
pub fn leave_search(k: &mut Kernel<'_>, tcb: TcbRef) {
    let Progress::SearchStop { by } = k.get(tcb).progress else {
        return;
    };
    k.get_mut(tcb).progress = Progress::None;
    let Progress::Searched { badge, round, .. } = k.get(by).progress else {
        unreachable!("a search and its stop name each other")
    };
    let before = k.get(tcb).links.prev;
    keep_search(k, by, badge, round, before);
}
