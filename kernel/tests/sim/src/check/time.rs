//! Time: nobody gets more than his budget in any window of a period, whatever moves him.
//!
//! What a context was charged is seen in its counter, the interval in which it was used follows. A ConfigureFlags that does
//! not move a context gives it a new budget, which is the right of whoever holds the capability for it; nothing else does.

use std::collections::{HashMap, VecDeque};

use tern_kernel::access::Kernel;
use tern_kernel::object::{ScRef, TcbRef};

use crate::machine::Machine;

/// How far a thread may run on before the interrupt that ends its budget, in ticks: cores take turns here, and an
/// interrupt waits until its core's turn comes, and then perhaps for the locks of all others.
fn late(cores: usize) -> u64 {
    2500 + 500 * cores as u64
}

/// What is remembered of contexts.
#[derive(Default)]
pub struct Clocks {
    contexts: HashMap<usize, Clock>,
    /// Contexts that are being configured now: which, and on which core they will be.
    pub configured: Vec<(ScRef, u16)>,
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
}

impl Clocks {
    pub(crate) fn check(&mut self, k: &Kernel<'_>, machine: &Machine, threads: &[TcbRef]) {
        for &tcb in threads {
            if let Some(sc) = k.get(tcb).sc {
                self.context(k, machine.now(), sc);
            }
        }
    }

    fn context(&mut self, k: &Kernel<'_>, now: u64, sc: ScRef) {
        let refills = k.refills_ref(sc);
        let this = k.get(sc);
        let parameters = (this.refills.period, refills.total());
        let clock = self.contexts.entry(sc.address()).or_default();
        let stayed = self
            .configured
            .iter()
            .any(|&(other, core)| other == sc && (core == clock.core || core == this.core.0));
        let consumed = this.consumed;
        let used = consumed.checked_sub(clock.consumed).unwrap_or(consumed);
        clock.consumed = consumed;
        let moved_by_nobody = clock.core != this.core.0
            && !self.configured.iter().any(|&(other, _)| other == sc);
        if clock.parameters != parameters || (stayed && clock.core == this.core.0) || moved_by_nobody
        {
            clock.parameters = parameters;
            clock.used.clear();
            clock.total = 0;
            clock.since = now;
        }
        clock.core = this.core.0;
        let (period, budget) = parameters;
        if used == 0 || period == 0 {
            return;
        }
        // What was used before is charged now, and was before.
        let from = now.saturating_sub(used).max(clock.since);
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
    }
}
