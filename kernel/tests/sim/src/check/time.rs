//! Time: what a core spends is charged, once; and nobody gets more than his budget in any window of a period, whatever
//! moves him.
//!
//! Both are seen at the end of every section under the locks, from the contexts' own counters. A ConfigureFlags that does
//! not move a context gives it a new budget, which is the right of whoever holds the capability for it; nothing else does.

use std::collections::{HashMap, VecDeque};

use tern_kernel::access::Kernel;
use tern_kernel::object::ScRef;
use tern_kernel::types::CoreId;

use crate::machine::Machine;

/// How far a thread may run on before the interrupt that ends its budget, in ticks: cores take turns here, and an
/// interrupt waits until its core's turn comes, and then perhaps for the locks of all others.
fn late(cores: usize) -> u64 {
    2500 + 500 * cores as u64
}

/// A ConfigureFlags under way.
#[derive(Clone, Copy)]
pub struct Configuring {
    pub sc: ScRef,
    /// Where the context will be.
    pub core: u16,
    /// Whose call it is.
    pub thread: usize,
}

/// What is remembered of contexts and cores.
#[derive(Default)]
pub struct Clocks {
    contexts: HashMap<usize, Clock>,
    cores: HashMap<usize, Account>,
    /// Calls that configure a context and are under way.
    pub configured: Vec<Configuring>,
    /// Those of them that are seen to have had their effect: their threads.
    pub done: Vec<usize>,
}

/// How a core stood when it released its locks last.
#[derive(Clone, Copy)]
struct Account {
    stamp: u64,
    /// Used and not charged yet.
    left: u64,
    payer: Option<ScRef>,
}

/// A context with the same parameters since some time.
#[derive(Default)]
struct Clock {
    parameters: (u64, u64),
    core: u16,
    consumed: u64,
    /// Since when the parameters are these.
    since: u64,
    /// Intervals of use, ended in this order.
    used: VecDeque<(u64, u64)>,
    total: u64,
    /// A sporadic context may use up later what it was kept from using by others: since when its thread wants to run, and
    /// what it used since then.
    backlog: Option<(u64, u64)>,
}

impl Clocks {
    pub(crate) fn check(
        &mut self,
        k: &Kernel<'_>,
        machine: &Machine,
        contexts: &[ScRef],
        by: usize,
    ) {
        let unread = self.cores.get(&by).and_then(|account| account.payer);
        let unread = unread.and_then(|sc| self.contexts.get(&sc.address()));
        let unread = unread.map_or(0, |clock| clock.consumed);
        let mut charged = 0;
        let mut known = contexts.len() == self.contexts.len();
        for &sc in contexts {
            known &= self.contexts.contains_key(&sc.address());
            match self.context(k, machine.now(), sc) {
                Some(used) => charged += used,
                None => known = false,
            }
        }
        self.contexts
            .retain(|&address, _| contexts.iter().any(|sc| sc.address() == address));
        let core = CoreId(by as u16);
        let this = k.core(core);
        let now = Account {
            stamp: this.now,
            left: this.consumed,
            payer: this.current_sc,
        };
        let Some(before) = self.cores.insert(by, now) else {
            return;
        };
        if before.stamp == now.stamp {
            // An entry without accounting: what has passed since then is the same context's to pay.
            assert!(
                before.payer == now.payer,
                "core {by} turned from {:?} to {:?} without a look at the clock",
                before.payer,
                now.payer
            );
        }
        let Some(payer) = before.payer else { return };
        let was_read = contexts.contains(&payer) && k.get(payer).consumed == 0;
        if known && !was_read {
            let accounted = charged + now.left;
            let most = now.stamp - before.stamp + before.left;
            let least = machine.entered(by).saturating_sub(before.stamp) + before.left;
            // The payer's counter may have been read, and begun anew, before it was charged.
            assert!(
                (least.min(most)..=most).contains(&accounted)
                    || (least.min(most)..=most).contains(&(accounted + unread)),
                "core {by} spent {least} to {most} ticks and charged {accounted}"
            );
        }
    }

    /// What the context was charged in this section, if that can be told.
    fn context(&mut self, k: &Kernel<'_>, now: u64, sc: ScRef) -> Option<u64> {
        let refills = k.refills_ref(sc);
        let this = k.get(sc);
        let parameters = (this.refills.period, refills.total());
        let home = k.get(sc.core()).get().0;
        let clock = self.contexts.entry(sc.address()).or_default();
        let calls = self.configured.iter().filter(|call| call.sc == sc);
        let (mut configures, mut stays) = (false, false);
        for call in calls.clone() {
            configures = true;
            stays |= call.core == clock.core;
        }
        if clock.core != home {
            let call = calls.clone().find(|call| call.core == home);
            self.done.extend(call.map(|call| call.thread));
        }
        let used = this.consumed.checked_sub(clock.consumed);
        clock.consumed = this.consumed;
        let renewed = (stays && clock.core == home)
            || (clock.core != home && !configures)
            || clock.parameters != parameters;
        if renewed {
            clock.parameters = parameters;
            clock.used.clear();
            clock.total = 0;
            clock.since = now;
            clock.backlog = None;
        }
        clock.core = home;
        let (period, budget) = parameters;
        let wants = this.tcb.is_some_and(|tcb| k.get(tcb).is_runnable());
        // What it used up to the section in which it stopped wanting, for a timeout fault, is part of its backlog.
        let backlog = match clock.backlog {
            _ if !this.sporadic => None,
            None if wants => Some((now, 0)),
            before => before,
        };
        clock.backlog = backlog.filter(|_| wants);
        let amount = used.unwrap_or(this.consumed);
        if amount == 0 || period == 0 {
            return used;
        }
        // What was used before is charged now, and was before.
        let from = now.saturating_sub(amount).max(clock.since);
        if let Some((start, before)) = backlog {
            let sum = before + (now - from);
            let periods = (now - start) / period + 1;
            assert!(
                sum <= budget * periods + late(k.num_cores()),
                "sporadic {sc:?} used {sum} ticks in {periods} periods, and has {budget} in each"
            );
            clock.backlog = Some((start, sum)).filter(|_| wants);
            clock.used.clear();
            clock.total = 0;
            return used;
        }
        clock.used.push_back((from, now));
        clock.total += now - from;
        // The window of a period that ends now.
        let start = now.saturating_sub(period);
        while let Some(&(from, to)) = clock.used.front()
            && to <= start
        {
            clock.used.pop_front();
            clock.total -= to - from;
        }
        let before = clock
            .used
            .front()
            .map_or(0, |&(from, _)| start.saturating_sub(from));
        let in_window = clock.total - before;
        assert!(
            in_window <= budget + late(k.num_cores()),
            "{sc:?} used {in_window} ticks in a period of {period}, and has {budget}"
        );
        used
    }
}
