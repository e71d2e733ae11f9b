//! Cores that wait for each other, in a small model: each repeats what one core was measured to do, and waits where
//! somebody else has the lock that it wants next.
//!
//! Time is in instructions: every core executes one at a time. Locks are served in the order in which they were asked for,
//! as the kernel's are. Nothing else costs anything: no cache line travels, nobody needs time to wake up. So the model says
//! how much the locks alone leave of the cores, and no measured machine does better.

use super::sections::{Cycle, Section};
use std::cmp::Reverse;
use std::collections::{BinaryHeap, VecDeque};

/// The most cores.
pub(crate) const MOST: usize = 16;
/// How often each core repeats its cycle, if it never waits.
const REPEATS: u64 = 200;

/// Which locks a section takes on a machine with other cores than the measured one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// The own one.
    Own,
    /// All there are. Taking and releasing takes more time the more there are.
    All,
}

#[derive(Clone, Copy, Debug)]
enum Step {
    Run(u64),
    Acquire(usize),
    Release(usize),
}

/// Operations in a million instructions of time, for 1 to [`MOST`] cores.
pub(crate) fn throughput(cycle: &Cycle, taken: Taken) -> Vec<u64> {
    (1..=MOST)
        .map(|cores| of_cores(cycle, taken, cores))
        .collect()
}

fn of_cores(cycle: &Cycle, taken: Taken, cores: usize) -> u64 {
    let end = cycle.length() * REPEATS;
    let mut all: Vec<Core> = (0..cores)
        .map(|core| Core {
            steps: steps(cycle, taken, cores, core),
            next: 0,
            is_new: true,
        })
        .collect();
    let mut locks: Vec<Lock> = (0..cores).map(|_| Lock::default()).collect();
    // When cores go on; of several at the same time the first. They start spread over one cycle.
    let mut ready: BinaryHeap<Reverse<(u64, usize)>> = (0..cores)
        .map(|core| Reverse((cycle.length() * core as u64 / cores as u64, core)))
        .collect();
    let mut cycles = 0;
    while let Some(Reverse((now, core))) = ready.pop() {
        if now > end {
            break;
        }
        if all[core].has_ended_cycle() {
            cycles += 1;
        }
        let later = match all[core].step() {
            Step::Run(instructions) => Some(now + instructions),
            Step::Acquire(lock) => locks[lock].acquire(core).then_some(now),
            Step::Release(lock) => {
                if let Some(waiter) = locks[lock].release() {
                    ready.push(Reverse((now, waiter)));
                }
                Some(now)
            }
        };
        if let Some(later) = later {
            ready.push(Reverse((later, core)));
        }
    }
    cycles * cycle.operations * 1_000_000 / end.max(1)
}

/// A core's work, over and over.
struct Core {
    steps: Vec<Step>,
    next: usize,
    is_new: bool,
}

impl Core {
    fn step(&mut self) -> Step {
        self.is_new = false;
        let step = self.steps[self.next];
        self.next += 1;
        if self.next == self.steps.len() {
            self.next = 0;
        }
        step
    }

    /// Whether a cycle is just over.
    fn has_ended_cycle(&self) -> bool {
        self.next == 0 && !self.is_new
    }
}

#[derive(Default)]
struct Lock {
    is_held: bool,
    waiters: VecDeque<usize>,
}

impl Lock {
    /// Whether the core has it now; else it will be told.
    fn acquire(&mut self, core: usize) -> bool {
        if self.is_held {
            self.waiters.push_back(core);
            return false;
        }
        self.is_held = true;
        true
    }

    /// Who has it now.
    fn release(&mut self) -> Option<usize> {
        let next = self.waiters.pop_front();
        self.is_held = next.is_some();
        next
    }
}

/// What a core does in one cycle on a machine with so many.
fn steps(cycle: &Cycle, taken: Taken, cores: usize, core: usize) -> Vec<Step> {
    let mut steps = Vec::new();
    for section in &cycle.sections {
        steps.push(Step::Run(section.outside));
        let locks = match taken {
            Taken::Own => core..core + 1,
            Taken::All => 0..cores,
        };
        // Between two of them, as long as it was where it was measured.
        let [taking, releasing] = between(section);
        for lock in locks.clone() {
            if lock > locks.start {
                steps.push(Step::Run(taking));
            }
            steps.push(Step::Acquire(lock));
        }
        steps.push(Step::Run(section.inside));
        for lock in locks.clone() {
            if lock > locks.start {
                steps.push(Step::Run(releasing));
            }
            steps.push(Step::Release(lock));
        }
    }
    steps.push(Step::Run(cycle.rest));
    steps
}

fn between(section: &Section) -> [u64; 2] {
    let gaps = section.locks.saturating_sub(1).max(1);
    [section.taking / gaps, section.releasing / gaps]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cycle(outside: u64, inside: u64) -> Cycle {
        Cycle {
            sections: vec![Section {
                outside,
                locks: 1,
                taking: 0,
                inside,
                releasing: 0,
            }],
            rest: 0,
            operations: 1,
        }
    }

    #[test]
    fn nobody_waits_for_an_own_lock() {
        let figures = throughput(&cycle(300, 700), Taken::Own);
        assert_eq!(figures[0], 1000);
        for (index, figure) in figures.iter().enumerate() {
            let ideal = 1000 * (index as u64 + 1);
            // But for the cores that begin a little later.
            assert!((ideal * 99 / 100..=ideal).contains(figure), "{figures:?}");
        }
    }

    #[test]
    fn one_lock_for_all_is_the_limit() {
        let figures = throughput(&cycle(300, 700), Taken::All);
        assert_eq!(figures[0], 1000);
        // One in 700 instructions is all that the lock admits.
        for figure in &figures[1..] {
            assert!((1410..=1430).contains(figure), "{figures:?}");
        }
        // A short section admits more.
        let figures = throughput(&cycle(900, 100), Taken::All);
        assert!((7900..=8000).contains(&figures[7]), "{figures:?}");
        assert!((9900..=10010).contains(&figures[15]), "{figures:?}");
    }

    #[test]
    fn more_locks_take_more_time() {
        let mut measured = cycle(300, 700);
        measured.sections[0] = Section {
            locks: 8,
            taking: 70,
            releasing: 35,
            ..measured.sections[0]
        };
        assert_eq!(between(&measured.sections[0]), [10, 5]);
        // On one core there is one lock to take, on sixteen there are sixteen.
        let figures = throughput(&measured, Taken::All);
        assert!(figures[15] < figures[1], "{figures:?}");
        let body = 700 + 15 * (10 + 5);
        let ideal = 1_000_000 / body;
        // The next core takes the first locks while the last ones are being released.
        assert!(
            (ideal..=ideal * 5 / 4).contains(&figures[15]),
            "{figures:?}"
        );
    }

    #[test]
    fn the_same_comes_out_every_time() {
        let measured = cycle(310, 690);
        let once = throughput(&measured, Taken::All);
        assert_eq!(once, throughput(&measured, Taken::All));
        assert_eq!(once.len(), MOST);
    }
}
