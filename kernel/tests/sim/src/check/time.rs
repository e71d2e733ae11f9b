//! Time: nobody gets more than his budget in any window of a period, whatever moves him.

use std::collections::{HashMap, VecDeque};

use tern_kernel::access::Kernel;
use tern_kernel::object::{ScRef, TcbRef};

use crate::machine::Machine;

/// What is remembered of contexts.
#[derive(Default)]
pub(crate) struct Clocks {
    contexts: HashMap<usize, Clock>,
}

/// A context with the same parameters since some time.
struct Clock {
    parameters: (u64, u64),
    /// What was left when it was first seen, and after each use: time, and what was used then.
    used: VecDeque<(u64, u64)>,
}

impl Clocks {
    pub(crate) fn check(&mut self, k: &Kernel<'_>, machine: &Machine, threads: &[TcbRef]) {
        let _ = (machine, &mut self.contexts, threads);
        for &tcb in threads {
            if let Some(sc) = k.get(tcb).sc {
                self.context(k, sc);
            }
        }
    }

    fn context(&mut self, k: &Kernel<'_>, sc: ScRef) {
        let refills = k.refills_ref(sc);
        let parameters = (k.get(sc).refills.period, refills.total());
        let clock = self.contexts.entry(sc.address()).or_insert(Clock {
            parameters,
            used: VecDeque::new(),
        });
        if clock.parameters != parameters {
            clock.parameters = parameters;
            clock.used.clear();
        }
    }
}
