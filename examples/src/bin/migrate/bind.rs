//! Step 3: the same by binding: on each core there is a scheduling context already, and the thread gets one after the other.
//!
//! A thread cannot do this to itself: between two scheduling contexts it has none, and could not make the second call.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use libsel4::{Budget, Error, ResourceError, SchedulingContext, Thread, ThreadBuilder};

use crate::Tour;
use crate::configure::{check_charged, spawn_gated};
use crate::counter::Counter;

pub(crate) fn step(tour: &mut Tour) -> Result<(), ResourceError> {
    tour.report
        .begin("The same by binding scheduling contexts made beforehand on each core");
    tour.report.introduce(
        'r',
        "counts while it is bound to another scheduling context",
    );
    tour.report.introduce(
        'b',
        "is blocked while it is bound to another scheduling context",
    );
    let cores = tour.system.cores();
    let mut made = Vec::new();
    for core in 0..cores {
        made.push(SchedulingContext::new(
            &mut tour.system,
            core,
            Budget::DEFAULT,
            0,
        )?);
    }
    while_running(tour, &made)?;
    while_blocked(tour, &made)?;
    by_itself(tour)?;
    for sched in made {
        sched.destroy(&mut tour.system)?;
    }
    Ok(())
}

fn while_running(tour: &mut Tour, made: &[SchedulingContext]) -> Result<(), ResourceError> {
    let counter = Counter::new(&mut tour.system)?;
    let its_counter = counter.clone();
    let mut thread =
        ThreadBuilder::new("runner").spawn(&mut tour.system, move || its_counter.run())?;
    tour.report
        .check_core('r', "running: it starts", 0, counter.prove_running());
    let own = thread.rebind(Some(made[0]))?;
    counter.prove_running();
    for core in tour.round_trip() {
        let start = tour.clock.now();
        let before = thread.rebind(Some(made[core]))?;
        tour.report.cost(
            "Unbind and bind on another core, thread running",
            tour.clock.now() - start,
        );
        if let Some(before) = before {
            check_charged(tour, "running", before.consumed()?);
        }
        tour.report.check_core(
            'r',
            "running: bound and counts",
            core,
            counter.prove_running(),
        );
    }
    counter.stop();
    finish(tour, thread, own)?;
    counter.destroy(&mut tour.system)
}

fn while_blocked(tour: &mut Tour, made: &[SchedulingContext]) -> Result<(), ResourceError> {
    let counter = Counter::new(&mut tour.system)?;
    let gate = tour.system.notification()?;
    let mut thread = spawn_gated(tour, &counter, gate)?;
    tour.report
        .check_core('b', "blocked: it starts", 0, counter.await_report());
    let own = thread.rebind(Some(made[0]))?;
    for core in tour.round_trip() {
        let start = tour.clock.now();
        thread.rebind(Some(made[core]))?;
        tour.report.cost(
            "Unbind and bind on another core, thread blocked",
            tour.clock.now() - start,
        );
        tour.report.check_core(
            'b',
            "blocked: bound, still blocked",
            core,
            thread.affinity(),
        );
        gate.signal();
        tour.report.check_core(
            'b',
            "blocked: woken there, counts",
            core,
            counter.await_report(),
        );
    }
    counter.stop();
    gate.signal();
    finish(tour, thread, own)?;
    tour.system.destroy(gate)?;
    counter.destroy(&mut tour.system)
}

/// Gives a thread its own scheduling context back, lets it come to its end, and takes all of it back.
fn finish(
    tour: &mut Tour,
    mut thread: Thread,
    own: Option<SchedulingContext>,
) -> Result<(), ResourceError> {
    thread.rebind(own)?;
    thread.join(&mut tour.system)
}

/// A thread tries to take its own scheduling context off, and is refused.
fn by_itself(tour: &mut Tour) -> Result<(), ResourceError> {
    let thread = ThreadBuilder::new("captive").spawn(&mut tour.system, || {
        SchedulingContext::current().map(|own| own.unbind())
    })?;
    let outcome = thread.join(&mut tour.system)?;
    tour.report.check(
        outcome == Some(Err(Error::IllegalOperation)),
        "itself: unbinds its own scheduling context",
        "illegal operation",
        match outcome {
            Some(Err(error)) => format!("{error}"),
            Some(Ok(())) => String::from("success"),
            None => String::from("no scheduling context"),
        },
    );
    Ok(())
}
