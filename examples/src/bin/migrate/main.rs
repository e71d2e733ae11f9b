//! Threads and capabilities that move between cores: Tern's tutorial, and its own judge.
//!
//! The kernel never moves a thread by itself. A thread runs where its *scheduling context* is, and that changes in three
//! ways only, each decided at user level:
//!
//! - somebody configures the scheduling context with another core's `SchedControl` capability (step 2);
//! - somebody binds the thread to a scheduling context that is on another core already (step 3);
//! - the thread has none of its own and runs on its caller's (step 4).
//!
//! Then a capability travels: a page goes from core to core and is taken back (step 5); and a thread with a small budget is
//! moved all the time and must not gain by it (step 6). Each step says what it expects and what it sees; where a thread is,
//! the kernel is asked. The program adapts to any number of cores and ends with a table of costs, a timeline and a verdict,
//! which is also the status of the run: 0 if everything was as expected.

#![no_std]
#![no_main]

extern crate alloc;

mod bind;
mod budget;
mod clock;
mod configure;
mod counter;
mod machine;
mod page;
mod report;
mod server;

use libsel4::{BootInfo, ResourceError, System, init, println, root_task, thread};

use clock::Clock;
use report::Report;

root_task!(main, heap = 1 << 20);

/// What every step works with.
struct Tour {
    /// Objects, memory, addresses.
    system: System,
    /// How costs are measured.
    clock: Clock,
    /// What was expected and seen.
    report: Report,
}

impl Tour {
    /// The cores, in the order of a visit: all others first, then home to core 0.
    fn round_trip(&self) -> impl Iterator<Item = usize> + use<> {
        let cores = self.system.cores();
        (1..cores).chain([0])
    }
}

fn main(boot: &'static BootInfo) -> Result<bool, ResourceError> {
    let mut system = System::new(boot);
    if !kernel_knows_where_threads_are(&mut system)? {
        println!("This kernel has no debug calls: it cannot be asked where a thread is.");
        return Ok(false);
    }
    let clock = Clock::detect(&mut system)?;
    let report = Report::new(clock.unit_name());
    let mut tour = Tour {
        system,
        clock,
        report,
    };

    machine::step(&mut tour);
    configure::step(&mut tour)?;
    bind::step(&mut tour)?;
    server::step(&mut tour)?;
    page::step(&mut tour)?;
    budget::step(&mut tour)?;

    Ok(tour.report.conclude(tour.system.cores()))
}

/// Tries `seL4_DebugGetThreadAffinity` in a thread that may die of it.
fn kernel_knows_where_threads_are(system: &mut System) -> Result<bool, ResourceError> {
    let asked = thread::run_guarded(system, || libsel4::debug::thread_affinity(init::TCB))?;
    Ok(asked == Ok(Some(0)))
}
