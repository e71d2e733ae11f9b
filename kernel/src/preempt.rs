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
/// core, another core waits for a lock or stands still or wants something of this one, or the budget is used up.
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
    let urgent = arch::interrupt_pending()
        // Another core left something for this one, and did not ring because this one will look.
        || k.this().pending
        || config::SMP && is_awaited(k);
    if urgent || !has_budget_left(k) {
        return Err(Leave::Preempted);
    }
    k.looked();
    Ok(())
}

/// Whether another core waits for this one.
fn is_awaited(k: &Kernel<'_>) -> bool {
    k.is_contended()
        // Cores stand still for this one, or it shall for another. The work so far needs that no more: what is done again
        // stops them again if it has to.
        || k.system().stop.has_waiter()
        || k.cores().any(|core| k.flags(core).hold.load(Ordering::Acquire))
}

fn has_budget_left(k: &mut Kernel<'_>) -> bool {
    sched::time::stamp(k);
    let Some(sc) = k.this().current_sc else {
        return true;
    };
    k.refills_ref(sc)
        .sufficient(k.this().consumed, &k.machine().limits)
}

/// Whether the thread left a call and has got somewhere with it.
#[inline]
pub fn has_progress(k: &Kernel<'_>, tcb: TcbRef) -> bool {
    match k.get(tcb).progress {
        Progress::None | Progress::SearchStop { .. } => false,
        Progress::Maintained { .. } | Progress::Searched { .. } => true,
    }
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
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Search {
    pub badge: u64,
    /// None: nobody can have joined, or been moved, since it began.
    pub since: Option<Since>,
}

/// What has to be known of the time since a search was interrupted first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Since {
    /// Who joined in this round or later is not meant.
    pub round: u32,
    /// How often a sender had got a higher priority. None: that does not matter, this is the second time round.
    pub raised: Option<u32>,
}

impl Search {
    /// Whether a sender that joined in a round was there when the search began. Rounds wrap, and are told apart
    /// while fewer than 2^31 searches are interrupted in between.
    pub fn covers(self, round: u32) -> bool {
        self.since
            .is_none_or(|since| round.wrapping_sub(since.round) as i32 <= -1)
    }

    /// It has come to the end. Whether it has to go round once more, since a sender may have moved from behind the place
    /// where it stopped to one before that. Once: else whoever goes on changing priorities could keep it from ending.
    pub fn goes_round(&mut self, k: &Kernel<'_>) -> bool {
        let raised = self.since.as_mut().and_then(|since| since.raised.take());
        raised.is_some_and(|raised| raised != k.shared().senders_raised)
    }
}

/// The thread's search is interrupted and goes on with `next`, which waits to send and has not been looked at. If
/// another search stops there, with one before it: looking twice does no harm.
pub fn stop_search(k: &mut Kernel<'_>, tcb: TcbRef, search: Search, next: TcbRef) {
    debug_assert!(k.get(tcb).progress == Progress::None);
    let since = search.since.unwrap_or_else(|| {
        let shared = k.shared_mut();
        shared.search_rounds = shared.search_rounds.wrapping_add(1);
        Since {
            round: shared.search_rounds,
            raised: Some(shared.senders_raised),
        }
    });
    keep_search(k, tcb, search.badge, since, Some(next));
}

/// Lets a search stop at a thread, or at the next one before it where no other search stops.
fn keep_search(k: &mut Kernel<'_>, tcb: TcbRef, badge: u64, since: Since, at: Option<TcbRef>) {
    let mut next = at;
    while let Some(stop) = next {
        if k.get(stop).progress == Progress::None {
            k.get_mut(stop).progress = Progress::SearchStop { by: tcb };
            break;
        }
        next = k.get(stop).links.prev;
    }
    k.get_mut(tcb).progress = Progress::Searched { badge, next, since };
}

/// A thread is about to leave the queue in which it waits: a search that stops at it goes on with one before it.
pub fn leave_search(k: &mut Kernel<'_>, tcb: TcbRef) {
    let Progress::SearchStop { by } = k.get(tcb).progress else {
        return;
    };
    k.get_mut(tcb).progress = Progress::None;
    let Progress::Searched { badge, since, .. } = k.get(by).progress else {
        unreachable!("a search and its stop name each other")
    };
    let before = k.get(tcb).links.prev;
    keep_search(k, by, badge, since, before);
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::*;
    use crate::{
        arch::host,
        ipc::endpoint,
        object::{Endpoint, EndpointRef, EndpointState, ObjRef, Tcb, ThreadState},
        types::CoreId,
        vspace::bench::Bench,
    };

    fn thread(k: &mut Kernel<'_>) -> TcbRef {
        let tcb = TcbRef::from_object(host::memory(11).0 as usize);
        k.place(tcb, Tcb::new());
        tcb
    }

    /// Sends without a message to speak of: nobody receives, so the thread waits.
    fn queue(k: &mut Kernel<'_>, endpoint: EndpointRef, tcb: TcbRef, badge: u64) {
        let how = endpoint::Send {
            blocking: true,
            call: false,
            can_donate: false,
            badge,
            can_grant: false,
            can_grant_reply: false,
        };
        endpoint::send(k, tcb, endpoint, how);
    }

    /// An endpoint at which so many threads wait to send; those with odd numbers have badge 1, others 2.
    fn senders(k: &mut Kernel<'_>, count: usize) -> (EndpointRef, Vec<TcbRef>) {
        let endpoint = ObjRef::from_address(host::memory(4).0 as usize);
        k.place(endpoint, Endpoint::new(CoreId::BOOT));
        let threads: Vec<TcbRef> = (0..count).map(|_| thread(k)).collect();
        for (number, tcb) in threads.iter().enumerate() {
            queue(k, endpoint, *tcb, if number % 2 == 1 { 1 } else { 2 });
        }
        (endpoint, threads)
    }

    fn waits(k: &Kernel<'_>, tcb: TcbRef) -> bool {
        matches!(k.get(tcb).state, ThreadState::BlockedOnSend { .. })
    }

    /// One part of the search for badge 1.
    fn search(k: &mut Kernel<'_>, caller: TcbRef, endpoint: EndpointRef) -> Result<(), Leave> {
        let progress = take_progress(k, caller);
        endpoint::cancel_badged(k, caller, endpoint, 1, progress)
    }

    fn stop_of(k: &Kernel<'_>, caller: TcbRef) -> Option<TcbRef> {
        match k.get(caller).progress {
            Progress::Searched { next, .. } => next,
            other => panic!("{other:?} is no search"),
        }
    }

    #[test]
    fn an_interrupted_search_goes_on_and_ends() {
        let mut bench = Bench::new();
        let k = &mut bench.k;
        let (endpoint, threads) = senders(k, 1_000);
        let caller = thread(k);
        host::set_interrupt(Some(30));
        let mut parts = 1;
        while search(k, caller, endpoint).is_err() {
            parts += 1;
            // Who was sent away comes back, and is not meant any more.
            for tcb in &threads {
                if !waits(k, *tcb) {
                    queue(k, endpoint, *tcb, 1);
                }
            }
        }
        host::set_interrupt(None);
        assert!((40..80).contains(&parts), "{parts} parts");
        let waiting = threads.iter().filter(|tcb| waits(k, **tcb)).count();
        assert!(waiting >= 1_000 - 10, "all but those of the last part");
        assert_eq!(k.get(caller).progress, Progress::None);
        assert!(
            threads
                .iter()
                .all(|tcb| k.get(*tcb).progress == Progress::None)
        );
    }

    #[test]
    fn a_search_survives_the_thread_at_which_it_stopped() {
        let mut bench = Bench::new();
        let k = &mut bench.k;
        let (endpoint, threads) = senders(k, 1_000);
        let caller = thread(k);
        host::set_interrupt(Some(30));
        while search(k, caller, endpoint).is_err() {
            let stop = stop_of(k, caller).expect("some wait");
            assert_eq!(k.get(stop).progress, Progress::SearchStop { by: caller });
            let before = k.get(stop).links.prev;
            endpoint::cancel_wait(k, endpoint, stop);
            assert_eq!(k.get(stop).progress, Progress::None);
            assert_eq!(stop_of(k, caller), before);
        }
        host::set_interrupt(None);
        let left = |k: &Kernel<'_>, odd| {
            let those = threads.iter().skip(odd).step_by(2);
            those.filter(|tcb| waits(k, **tcb)).count()
        };
        assert_eq!(left(k, 1), 0, "all with the badge are gone");
        assert!(left(k, 0) > 400, "others only if they were taken out");
        assert_eq!(k.get(endpoint).state(), EndpointState::Sending);
    }

    #[test]
    fn a_search_meets_who_is_moved_past_it() {
        let mut bench = Bench::new();
        let k = &mut bench.k;
        let (endpoint, threads) = senders(k, 1_000);
        let caller = thread(k);
        host::set_interrupt(Some(30));
        assert!(search(k, caller, endpoint).is_err());
        // Who comes later is not meant, whatever his priority becomes.
        let late = thread(k);
        queue(k, endpoint, late, 1);
        let [moved, neither] = [threads[999], threads[998]];
        for tcb in [moved, neither, late] {
            sched::set_priority(k, tcb, 200);
        }
        while search(k, caller, endpoint).is_err() {
            // Whoever is moved all the time does not keep the search from ending.
            let priority = k.get(neither).priority ^ 1;
            sched::set_priority(k, neither, priority);
        }
        host::set_interrupt(None);
        assert!(!waits(k, moved) && waits(k, neither) && waits(k, late));
        let meant = threads.iter().skip(1).step_by(2);
        assert_eq!(meant.filter(|tcb| waits(k, **tcb)).count(), 0);
        assert_eq!(k.get(caller).progress, Progress::None);
    }

    #[test]
    fn searches_stop_at_different_threads() {
        let mut bench = Bench::new();
        let k = &mut bench.k;
        let (endpoint, threads) = senders(k, 4);
        let callers: Vec<TcbRef> = (0..5).map(|_| thread(k)).collect();
        let begun = Search {
            badge: 9,
            since: None,
        };
        for (caller, stop) in callers
            .iter()
            .zip([Some(3), Some(2), Some(1), Some(0), None])
        {
            stop_search(k, *caller, begun, threads[3]);
            assert_eq!(stop_of(k, *caller), stop.map(|stop| threads[stop]));
        }
        // No thread before it is free.
        endpoint::cancel_wait(k, endpoint, threads[2]);
        assert_eq!(stop_of(k, callers[1]), None);
        assert_eq!(stop_of(k, callers[2]), Some(threads[1]));
        take_progress(k, callers[2]);
        assert_eq!(k.get(threads[1]).progress, Progress::None);
        endpoint::cancel_wait(k, endpoint, threads[3]);
        assert_eq!(stop_of(k, callers[0]), Some(threads[1]));
        assert_eq!(take_progress(k, threads[1]), Progress::None);
        assert_eq!(stop_of(k, callers[0]), Some(threads[1]), "not its own");
    }

    #[test]
    fn rounds_wrap() {
        let search = |round| Search {
            badge: 0,
            since: Some(Since {
                round,
                raised: None,
            }),
        };
        assert!(search(5).covers(4) && !search(5).covers(5) && !search(5).covers(6));
        assert!(search(0).covers(u32::MAX) && !search(u32::MAX).covers(0));
    }
}
