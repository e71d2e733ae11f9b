//! What is fixed once the kernel has booted: how many cores came up, what follows from the counter's frequency, and
//! the interrupt controller. Read by everybody, written by nobody.

use mcs::Limits;
use spin::Once;

use crate::{arch, config::KERNEL_WCET_SCALE, types::CoreSet};

/// The machine as it was found at boot.
pub struct Machine {
    /// Cores that came up: the valid [`crate::types::CoreId`]s are below.
    pub num_cores: usize,
    /// The same as a set.
    pub all_cores: CoreSet,
    pub limits: Limits,
    /// Counter ticks in a second.
    pub frequency: u64,
    pub gic: arch::Gic,
    /// The highest interrupt number that the controller has.
    pub max_intid: u32,
    /// The interrupt of each core's own timer.
    pub timer_ppi: u32,
}

static MACHINE: Once<Machine> = Once::new();

impl Machine {
    /// With limits from the frequency of this machine's counter.
    pub fn new(num_cores: usize, gic: arch::Gic, max_intid: u32, timer_ppi: u32) -> Self {
        let frequency = arch::counter_frequency();
        assert!(
            frequency > 0,
            "the system counter has no frequency (CNTFRQ_EL0)"
        );
        let limits = Limits::for_frequency(frequency, KERNEL_WCET_SCALE as u64);
        Self {
            num_cores,
            all_cores: CoreSet::first(num_cores),
            limits,
            frequency,
            gic,
            max_intid,
            timer_ppi,
        }
    }
}

/// Boot only, on the boot core, before any other core asks.
pub fn set_machine(machine: Machine) -> &'static Machine {
    MACHINE.call_once(|| machine)
}

/// # Panics
/// Before [`set_machine`].
#[cfg(target_os = "none")]
pub fn machine() -> &'static Machine {
    MACHINE.get().expect("the machine is known")
}

#[cfg(not(target_os = "none"))]
std::thread_local! {
    static IN_USE: core::cell::Cell<Option<&'static Machine>> = const { core::cell::Cell::new(None) };
}

/// On the development machine, one with as many cores as the configuration allows, or what [`use_machine`] said.
#[cfg(not(target_os = "none"))]
pub fn machine() -> &'static Machine {
    IN_USE.get().unwrap_or_else(|| {
        MACHINE.call_once(|| Machine::new(crate::config::MAX_NUM_NODES, arch::Gic, 255, 27))
    })
}

/// The machine that entries on this thread find from now on, or again the process' own.
#[cfg(not(target_os = "none"))]
pub fn use_machine(machine: Option<&'static Machine>) {
    IN_USE.set(machine);
}
