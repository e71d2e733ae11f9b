//! Cache lines that one core writes and another one touches: what a kernel without a big lock must not have on its
//! hot path, because such lines travel between the cores.

use super::trace::{Access, Traced};
use std::collections::{BTreeMap, BTreeSet};

/// Bytes of a line: that of the processors of the supported boards, and of nearly all others.
const LINE: u64 = 64;
/// The interrupt controller's interface of a core: each core sees its own at this address of QEMU's `virt`.
const CPU_INTERFACE: std::ops::Range<u64> = 0x801_0000..0x802_0000;

/// A line that several cores touch, and at least one of them writes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SharedLine {
    pub(crate) physical: u64,
    pub(crate) writers: BTreeSet<usize>,
    pub(crate) readers: BTreeSet<usize>,
    /// Whether it is a device's.
    pub(crate) is_device: bool,
    /// Addresses by which it is reached, and the instructions.
    pub(crate) addresses: BTreeSet<u64>,
    pub(crate) instructions: BTreeSet<u64>,
}

impl SharedLine {
    fn new(access: &Access) -> Self {
        Self {
            physical: access.physical / LINE * LINE,
            writers: BTreeSet::new(),
            readers: BTreeSet::new(),
            is_device: access.is_device,
            addresses: BTreeSet::new(),
            instructions: BTreeSet::new(),
        }
    }

    fn is_shared(&self) -> bool {
        !self.writers.is_empty() && self.writers.union(&self.readers).nth(1).is_some()
    }
}

/// How many lines were touched, how many of them were written, and those that are shared, in ascending order.
pub(crate) fn shared(traced: &Traced) -> (usize, usize, Vec<SharedLine>) {
    let mut lines: BTreeMap<u64, SharedLine> = BTreeMap::new();
    for (core, trace) in traced.cores.iter().enumerate() {
        for access in &trace.accesses {
            if access.is_device && CPU_INTERFACE.contains(&access.physical) {
                continue;
            }
            let last = access.physical + access.size.max(1) - 1;
            for number in access.physical / LINE..=last / LINE {
                let line = lines.entry(number).or_insert_with(|| {
                    let mut line = SharedLine::new(access);
                    line.physical = number * LINE;
                    line
                });
                let who = if access.is_store {
                    &mut line.writers
                } else {
                    &mut line.readers
                };
                who.insert(core);
                line.addresses.insert(access.address);
                line.instructions.insert(access.instruction);
            }
        }
    }
    let written = lines.values().filter(|line| !line.writers.is_empty());
    let (all, written) = (lines.len(), written.count());
    let shared = lines.into_values().filter(SharedLine::is_shared).collect();
    (all, written, shared)
}

#[cfg(test)]
mod tests {
    use super::super::trace::CoreTrace;
    use super::*;

    fn traced(cores: &[&[(bool, u64)]]) -> Traced {
        let access = |&(is_store, physical): &(bool, u64)| Access {
            at: 1,
            is_store,
            is_device: physical < 0x4000_0000,
            physical,
            size: 8,
            address: physical | 1 << 63,
            instruction: 4,
        };
        let cores = cores.iter().map(|accesses| CoreTrace {
            accesses: accesses.iter().map(access).collect(),
            executed: 9,
        });
        Traced {
            load: "call",
            at_once: 2,
            cores: cores.collect(),
        }
    }

    const W: bool = true;
    const R: bool = false;

    #[test]
    fn what_only_one_touches_or_nobody_writes_is_not_shared() {
        let trace = traced(&[
            &[(W, 0x4000_0000), (R, 0x4000_1000), (W, 0x801_0010)],
            &[(W, 0x4000_0040), (R, 0x4000_1008), (W, 0x801_0010)],
        ]);
        assert_eq!(shared(&trace), (3, 2, Vec::new()));
    }

    #[test]
    fn a_line_that_travels_is_named() {
        // Not the same bytes, but the same line; written by both, or written here and read there.
        let trace = traced(&[
            &[(W, 0x4000_0000), (W, 0x4000_2000)],
            &[(W, 0x4000_0038), (R, 0x4000_2020)],
        ]);
        let (_, _, lines) = shared(&trace);
        assert_eq!(lines.len(), 2);
        assert_eq!(lines[0].writers, BTreeSet::from([0, 1]));
        assert_eq!(lines[1].physical, 0x4000_2000);
        assert_eq!(
            (&lines[1].writers, &lines[1].readers),
            (&[0].into(), &[1].into())
        );
    }

    #[test]
    fn an_access_may_touch_two_lines() {
        let trace = traced(&[&[(W, 0x4000_003c)], &[(W, 0x4000_0040)]]);
        assert_eq!(shared(&trace).2[0].physical, 0x4000_0040);
    }

    #[test]
    fn the_distributor_is_shared() {
        let trace = traced(&[&[(W, 0x800_0f00)], &[(W, 0x800_0f00)]]);
        let (_, _, lines) = shared(&trace);
        assert!(lines[0].is_device);
    }
}
