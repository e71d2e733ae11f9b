//! What a move costs, in the best unit there is.
//!
//! Under QEMU's `-icount shift=0` time is a count of instructions, so costs are exact and the same in every run: the cycle
//! counter PMCCNTR counts them (those of all cores together, as long as others run). Otherwise costs are ticks of the
//! virtual counter CNTVCT: a host that does other things makes them larger.
//!
//! Which it is: the performance monitor lists the event *instruction retired* only under `-icount`. A kernel that exports
//! neither counter makes the first look at it a fault, which is tried in a thread of its own.

use libsel4::thread::run_guarded;
use libsel4::{ResourceError, System, time};

/// What is counted.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Unit {
    Instructions,
    Ticks,
    Nothing,
}

/// A way to measure costs.
#[derive(Clone, Copy)]
pub(crate) struct Clock {
    unit: Unit,
    /// Ticks of the virtual counter in a second.
    frequency: u64,
}

impl Clock {
    /// Finds the best unit.
    pub(crate) fn detect(system: &mut System) -> Result<Self, ResourceError> {
        let frequency = run_guarded(system, || {
            time::counter();
            time::counter_frequency()
        })?;
        let counts = run_guarded(system, || {
            time::cycle_counter();
            time::counts_instructions()
        })?;
        let unit = match (counts, frequency) {
            (Ok(true), Ok(_)) => Unit::Instructions,
            (_, Ok(_)) => Unit::Ticks,
            (_, Err(_)) => Unit::Nothing,
        };
        Ok(Self {
            unit,
            frequency: frequency.unwrap_or(0),
        })
    }

    /// The unit of all costs.
    pub(crate) fn unit_name(self) -> &'static str {
        match self.unit {
            Unit::Instructions => "instructions (PMCCNTR_EL0 under -icount)",
            Unit::Ticks => "ticks of CNTVCT_EL0",
            Unit::Nothing => "nothing: the kernel exports no counter",
        }
    }

    /// Whether this machine does the same in every run.
    pub(crate) fn is_exact(self) -> bool {
        self.unit == Unit::Instructions
    }

    /// Whether the virtual counter can be read.
    pub(crate) fn has_time(self) -> bool {
        self.unit != Unit::Nothing
    }

    /// Ticks of the virtual counter in a second.
    pub(crate) fn frequency(self) -> u64 {
        self.frequency
    }

    /// Now. Differences mean something on one core only.
    #[inline(always)]
    pub(crate) fn now(self) -> u64 {
        match self.unit {
            Unit::Instructions => time::cycle_counter(),
            Unit::Ticks => time::counter(),
            Unit::Nothing => 0,
        }
    }

    /// Now, on a clock that all cores share: coarser under `-icount`, where an instruction is a nanosecond.
    pub(crate) fn now_everywhere(self) -> u64 {
        match self.unit {
            Unit::Instructions => {
                let nanos = u128::from(time::counter()) * 1_000_000_000;
                (nanos / u128::from(self.frequency.max(1))) as u64
            }
            Unit::Ticks => time::counter(),
            Unit::Nothing => 0,
        }
    }
}
