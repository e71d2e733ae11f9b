//! How long locks are held, and how long not: from the trace of one core that works alone.
//!
//! A core has a lock from the store that takes a ticket to the store that serves the next one. Both words are in the lock,
//! and the locks are at the beginning of the kernel's state, each in a granule of its own (`kernel/src/smp/lock.rs`,
//! `system.rs`).

use super::trace::CoreTrace;
use crate::failure::{Failure, Result};

/// Bytes from one lock to the next.
const GRANULE: u64 = 2048;
/// Where in a lock the next ticket is, and the one that is served.
const NEXT: u64 = 0;
const SERVING: u64 = 4;

/// What a core does between two times at which it has no lock, in instructions: it works without any, takes some one
/// after the other, works, and releases them.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Section {
    /// Without a lock.
    pub(crate) outside: u64,
    pub(crate) locks: u64,
    /// From taking the first lock to taking the last one: none if there is one.
    pub(crate) taking: u64,
    /// With all of them.
    pub(crate) inside: u64,
    /// From releasing the first one to releasing the last one.
    pub(crate) releasing: u64,
}

/// What a core does over and over.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Cycle {
    pub(crate) sections: Vec<Section>,
    /// Without a lock, after the last section.
    pub(crate) rest: u64,
    /// Operations that this was.
    pub(crate) operations: u64,
}

impl Cycle {
    /// Instructions of all of it.
    pub(crate) fn length(&self) -> u64 {
        let section = |each: &Section| each.outside + each.taking + each.inside + each.releasing;
        self.sections.iter().map(section).sum::<u64>() + self.rest
    }

    /// Instructions with a lock.
    pub(crate) fn locked(&self) -> u64 {
        let section = |each: &Section| each.taking + each.inside + each.releasing;
        self.sections.iter().map(section).sum()
    }
}

/// What a core did, if the locks are at this address. It is an error if it took a lock again before it had released all:
/// then it is not what this can describe.
pub(crate) fn cycle(trace: &CoreTrace, locks: u64, cores: u32, operations: u64) -> Result<Cycle> {
    let all = locks..locks + GRANULE * u64::from(cores);
    let mut cycle = Cycle {
        operations,
        ..Cycle::default()
    };
    // When the last section ended; of the present one when its locks were taken, and when they were released.
    let mut free = 0;
    let mut taken: Vec<u64> = Vec::new();
    let mut released: Vec<u64> = Vec::new();
    for access in trace.accesses.iter().filter(|access| access.is_store) {
        if !all.contains(&access.address) {
            continue;
        }
        match (access.address - locks) % GRANULE {
            NEXT if released.is_empty() => taken.push(access.at),
            SERVING if released.len() < taken.len() => released.push(access.at),
            word => {
                return Err(Failure::new(format!(
                    "{} locks taken and {} released, and then a store to word {word} at {:#x}",
                    taken.len(),
                    released.len(),
                    access.instruction
                )));
            }
        }
        if let (Some(&first), Some(&last)) = (taken.first(), taken.last())
            && released.len() == taken.len()
        {
            cycle.sections.push(Section {
                outside: first - free,
                locks: taken.len() as u64,
                taking: last - first,
                inside: released[0] - last,
                releasing: access.at - released[0],
            });
            free = access.at;
            taken.clear();
            released.clear();
        }
    }
    if !taken.is_empty() {
        return Err(Failure::new("a lock was not released"));
    }
    cycle.rest = trace.executed - free;
    Ok(cycle)
}

#[cfg(test)]
mod tests {
    use super::super::trace::Access;
    use super::*;

    const LOCKS: u64 = 0xffff_0000;

    fn trace(stores: &[(u64, u64)]) -> CoreTrace {
        let store = |&(at, offset): &(u64, u64)| Access {
            at,
            is_store: true,
            is_device: false,
            physical: 0,
            size: 4,
            address: LOCKS + offset,
            instruction: 4,
        };
        CoreTrace {
            accesses: stores.iter().map(store).collect(),
            executed: 1000,
        }
    }

    #[test]
    fn sections_are_found() {
        // The own lock; then two, ascending; something else in between.
        let stores = [
            (100, NEXT),
            (120, 1 << 20),
            (300, SERVING),
            (350, NEXT),
            (360, GRANULE),
            (500, SERVING),
            (505, GRANULE + SERVING),
        ];
        let cycle = cycle(&trace(&stores), LOCKS, 2, 4).unwrap();
        let section = |outside, locks, taking, inside, releasing| Section {
            outside,
            locks,
            taking,
            inside,
            releasing,
        };
        assert_eq!(
            cycle.sections,
            [section(100, 1, 0, 200, 0), section(50, 2, 10, 140, 5)]
        );
        assert_eq!(
            (cycle.rest, cycle.length(), cycle.locked()),
            (495, 1000, 355)
        );
    }

    #[test]
    fn what_is_no_section_is_refused() {
        for stores in [
            &[(100, SERVING)][..],
            &[(100, NEXT)],
            // One is taken again before all are released, though all are in the end.
            &[
                (100, NEXT),
                (110, GRANULE),
                (120, SERVING),
                (130, NEXT),
                (140, SERVING),
                (150, GRANULE + SERVING),
            ],
        ] {
            assert!(cycle(&trace(stores), LOCKS, 2, 1).is_err());
        }
    }
}
