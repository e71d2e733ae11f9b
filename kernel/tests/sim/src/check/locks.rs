//! Who holds which lock, and whether it may: rules R2 and R5.
//!
//! The kernel is not asked. Tickets are counted as cores draw them and as they are served; between two stops a core does
//! one thing to one lock.

use std::collections::VecDeque;

use crate::machine::{Machine, Stop};

/// The stop lock, behind those of the cores.
const STOP: usize = crate::machine::MAX_CORES;

/// A set of core locks.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Held(u32);

impl Held {
    pub fn has(self, core: u16) -> bool {
        self.0 & (1 << core) != 0
    }

    pub fn is_all(self, cores: usize) -> bool {
        self.0 == (1 << cores) - 1
    }

    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

/// One lock: tickets as they were, and who has drawn one that is not given back, in this order.
#[derive(Default)]
struct Lock {
    next: u32,
    serving: u32,
    line: VecDeque<usize>,
}

#[derive(Default)]
pub struct Locks {
    locks: [Lock; STOP + 1],
}

impl Locks {
    /// A core has moved: it may have drawn a ticket, or given a lock back.
    pub fn step(&mut self, machine: &Machine, core: usize) {
        if !machine.is_interleaving() {
            return;
        }
        let system = machine.system();
        for (index, lock) in system.core_locks(machine.num_cores()).iter().enumerate() {
            self.look(index, lock.tickets(), core);
        }
        self.look(STOP, system.stop_lock().tickets(), core);
        let held = self.held(core);
        match machine.stop(core) {
            Stop::User | Stop::Interrupt => {
                assert!(held.is_empty(), "core {core} left and holds {held:?}");
                assert!(!self.has(STOP, core), "core {core} left and stops others");
            }
            // R5. What it waits for can only be another core, but for its turn at a lock.
            Stop::Event => assert!(held.is_empty(), "core {core} sleeps and holds {held:?}"),
            Stop::Publish => assert!(
                held.has(core as u16),
                "core {core} works without its own lock"
            ),
            Stop::Point | Stop::Sent | Stop::Lock(..) => {}
        }
    }

    fn look(&mut self, index: usize, (next, serving): (u32, u32), core: usize) {
        let held = self.held(core);
        let lock = &mut self.locks[index];
        if (lock.next, lock.serving) == (next, serving) {
            return;
        }
        if lock.line.is_empty() && next == serving {
            // What came before was one step.
            (lock.next, lock.serving) = (next, serving);
            return;
        }
        if lock.line.is_empty() {
            (lock.next, lock.serving) = (next.wrapping_sub(1), serving);
        }
        if lock.next != next {
            // R2. All core locks are below the stop lock's number, so that it is waited for without any. A core lock that
            // nobody has may be had out of order, by a single try.
            let above = if index == STOP { 0 } else { index };
            let is_free = index != STOP && lock.line.is_empty();
            assert!(
                is_free || held.0 >> above == 0,
                "core {core} holds {held:?} and wants lock {index}"
            );
            lock.line.push_back(core);
        }
        if lock.serving != serving {
            let holder = lock.line.pop_front();
            assert_eq!(holder, Some(core), "who gives lock {index} back");
            assert!(
                index != STOP || held.is_empty(),
                "core {core} gives the stop lock back and holds {held:?}"
            );
        }
        (lock.next, lock.serving) = (next, serving);
    }

    fn has(&self, index: usize, core: usize) -> bool {
        self.locks[index].line.front() == Some(&core)
    }

    /// The core locks that this core holds.
    pub fn held(&self, core: usize) -> Held {
        let locks = (0..STOP).filter(|&index| self.has(index, core));
        Held(locks.fold(0, |set, index| set | 1 << index))
    }
}
