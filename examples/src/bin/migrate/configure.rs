//! Step 2: a counting thread visits every core by `SchedControl_ConfigureFlags`: while it runs, while it is blocked, and by
//! moving itself.

use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use libsel4::{Cap, Notification, ResourceError, SchedulingContext, Thread, ThreadBuilder};

use crate::Tour;
use crate::counter::{Counter, own_core};

pub(crate) fn step(tour: &mut Tour) -> Result<(), ResourceError> {
    tour.report
        .begin("A counting thread visits every core by SchedControl_ConfigureFlags");
    tour.report
        .introduce('R', "counts while its scheduling context is moved");
    tour.report
        .introduce('B', "is blocked while its scheduling context is moved");
    tour.report.introduce('S', "moves itself");
    while_running(tour)?;
    while_blocked(tour)?;
    by_itself(tour)
}

/// The thread is in the middle of counting when its scheduling context gets another core. (On core 0 it is preempted, for
/// this thread has a higher priority; everywhere else it really runs.)
fn while_running(tour: &mut Tour) -> Result<(), ResourceError> {
    let counter = Counter::new(&mut tour.system)?;
    let its_counter = counter.clone();
    let thread = ThreadBuilder::new("runner").spawn(&mut tour.system, move || its_counter.run())?;
    tour.report
        .check_core('R', "running: it starts", 0, counter.prove_running());
    for core in tour.round_trip() {
        let start = tour.clock.now();
        thread.move_to(core)?;
        tour.report.cost(
            "ConfigureFlags to another core, thread running",
            tour.clock.now() - start,
        );
        check_charged(tour, "running", thread.consumed()?);
        tour.report.check_core(
            'R',
            "running: moved and counts",
            core,
            counter.prove_running(),
        );
    }
    counter.stop();
    thread.join(&mut tour.system)?;
    counter.destroy(&mut tour.system)
}

/// A stay on a core was charged to the scheduling context when it ended.
pub(crate) fn check_charged(tour: &mut Tour, who: &str, consumed: Duration) {
    tour.report.check(
        !consumed.is_zero(),
        &format!("{who}: charged for its stay before"),
        "some time",
        format_args!("{} us", consumed.as_micros()),
    );
}

/// The thread waits for a signal; it is moved; then it is signalled, and goes on where it was moved to.
fn while_blocked(tour: &mut Tour) -> Result<(), ResourceError> {
    let counter = Counter::new(&mut tour.system)?;
    let gate = tour.system.notification()?;
    let thread = spawn_gated(tour, &counter, gate)?;
    tour.report
        .check_core('B', "blocked: it starts", 0, counter.await_report());
    for core in tour.round_trip() {
        let start = tour.clock.now();
        thread.move_to(core)?;
        tour.report.cost(
            "ConfigureFlags to another core, thread blocked",
            tour.clock.now() - start,
        );
        tour.report.check_core(
            'B',
            "blocked: moved, still blocked",
            core,
            thread.affinity(),
        );
        gate.signal();
        tour.report.check_core(
            'B',
            "blocked: woken there, counts",
            core,
            counter.await_report(),
        );
    }
    counter.stop();
    gate.signal();
    thread.join(&mut tour.system)?;
    tour.system.destroy(gate)?;
    counter.destroy(&mut tour.system)
}

/// A thread that counts some each time the gate is signalled, and once before.
pub(crate) fn spawn_gated(
    tour: &mut Tour,
    counter: &Counter,
    gate: Cap<Notification>,
) -> Result<Thread, ResourceError> {
    let its_counter = counter.clone();
    ThreadBuilder::new("blocked").spawn(&mut tour.system, move || its_counter.run_gated(gate))
}

/// The thread configures its own scheduling context, and comes out of the system call on another core.
fn by_itself(tour: &mut Tour) -> Result<(), ResourceError> {
    let clock = tour.clock;
    let route: Vec<usize> = tour.round_trip().collect();
    let thread = ThreadBuilder::new("traveller").spawn(&mut tour.system, move || {
        let mut seen = Vec::new();
        let Some(own) = SchedulingContext::current() else {
            return seen;
        };
        for core in route {
            let start = clock.now_everywhere();
            let moved = own.move_to(core);
            let cost = clock.now_everywhere() - start;
            seen.push((core, moved, cost, own_core()));
        }
        seen
    })?;
    for (core, moved, cost, seen) in thread.join(&mut tour.system)? {
        moved?;
        tour.report
            .cost("ConfigureFlags to another core, by the thread itself", cost);
        tour.report
            .check_core('S', "itself: continues after its own call", core, seen);
    }
    Ok(())
}
