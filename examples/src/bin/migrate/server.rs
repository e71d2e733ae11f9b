//! Step 4: a passive server runs on the core of whoever calls it, and its caller's budget pays.
//!
//! The server has no scheduling context. A call lends it the caller's, and with it the caller's core; the answer gives it
//! back. First one client after the other calls it, on each core; then all of them at once, so that most calls are made
//! while the server is busy on another core and wait their turn.

use alloc::format;
use alloc::vec::Vec;
use core::time::Duration;

use libsel4::{
    Cap, Endpoint, Message, PassiveServer, Received, ResourceError, Thread, ThreadBuilder, time,
};

use crate::Tour;
use crate::clock::Clock;
use crate::counter::own_core;

/// How often each client calls when all call at once.
const CALLS_AT_ONCE: usize = 4;
/// How much the server does when it is asked to work.
const WORK: u64 = 200_000;
/// Labels of requests: answer at once, or work first.
const ASK: u64 = 1;
const WORK_FIRST: u64 = 2;
/// In an answer: the kernel said that there is no such thread.
const NO_CORE: u64 = u64::MAX;

pub(crate) fn step(tour: &mut Tour) -> Result<(), ResourceError> {
    tour.report
        .begin("A passive server runs on its caller's core, on its caller's budget");
    tour.report
        .introduce('P', "the passive server, while it answers");
    let has_time = tour.clock.has_time();
    let builder = ThreadBuilder::new("server").priority(110);
    let server = PassiveServer::spawn(&builder, &mut tour.system, move |request| {
        answer(&request, has_time)
    })?;
    one_after_the_other(tour, &server)?;
    all_at_once(tour, &server)?;
    server.destroy(&mut tour.system)
}

/// What the server does: word 0 of its answer is the core that the kernel says it is on, word 1 the ticks it worked.
fn answer(request: &Received, has_time: bool) -> Message {
    let now = || if has_time { time::counter() } else { 0 };
    let start = now();
    if request.label() == WORK_FIRST {
        for turn in 0..WORK {
            core::hint::black_box(turn);
        }
    }
    let core = own_core().map_or(NO_CORE, |core| core as u64);
    Message::new(0).word(core).word(now() - start)
}

/// What a client saw.
struct Seen {
    /// The core that the server said it was on.
    core: Option<usize>,
    /// Ticks that the server worked.
    worked: u64,
    /// What the call and the way back cost.
    cost: u64,
}

fn call(server: Cap<Endpoint>, label: u64, clock: Clock) -> Seen {
    let start = clock.now();
    let reply = server.call(Message::new(label));
    let cost = clock.now() - start;
    let core = Some(reply.get(0))
        .filter(|&core| core != NO_CORE)
        .map(|core| core as usize);
    Seen {
        core,
        worked: reply.get(1),
        cost,
    }
}

fn one_after_the_other(tour: &mut Tour, server: &PassiveServer) -> Result<(), ResourceError> {
    let (endpoint, clock) = (server.endpoint(), tour.clock);
    for core in 0..tour.system.cores() {
        let client = ThreadBuilder::new("client")
            .core(core)
            .spawn(&mut tour.system, move || {
                [ASK, ASK, WORK_FIRST].map(|label| call(endpoint, label, clock))
            })?;
        client.wait()?;
        let consumed = client.consumed()?;
        let [first, second, third] = client.join(&mut tour.system)?;
        tour.report
            .cost("call and reply, server last on another core", first.cost);
        tour.report
            .cost("call and reply, server last on this core", second.cost);
        let what = format!("called from core {core}: the server runs");
        tour.report.check_core('P', &what, core, first.core);
        tour.report
            .check_core('P', "called again", core, second.core);
        tour.report
            .check_core('P', "called to work", core, third.core);
        check_who_paid(tour, consumed, third.worked);
    }
    Ok(())
}

/// The server worked for so many ticks; its caller's scheduling context must have been charged for them. Half of that is
/// asked for: an emulated core that its host stops for a while may lose some of its account.
fn check_who_paid(tour: &mut Tour, consumed: Duration, worked: u64) {
    if !tour.clock.has_time() {
        return;
    }
    let worked = time::ticks_to_duration(worked);
    tour.report.check(
        consumed >= worked / 2 && !consumed.is_zero(),
        "the caller was charged for it",
        format_args!("about {} us", worked.as_micros()),
        format_args!("{} us", consumed.as_micros()),
    );
}

fn all_at_once(tour: &mut Tour, server: &PassiveServer) -> Result<(), ResourceError> {
    let (endpoint, clock) = (server.endpoint(), tour.clock);
    let gate = tour.system.notification()?;
    let mut clients: Vec<Thread<Vec<Seen>>> = Vec::new();
    for core in 0..tour.system.cores() {
        let client =
            ThreadBuilder::new("client")
                .core(core)
                .spawn(&mut tour.system, move || {
                    let mut seen = Vec::with_capacity(CALLS_AT_ONCE);
                    // A signal wakes one thread; each that comes through lets the next one through.
                    gate.wait();
                    gate.signal();
                    seen.extend((0..CALLS_AT_ONCE).map(|_| call(endpoint, ASK, clock)));
                    seen
                })?;
        clients.push(client);
    }
    gate.signal();
    for (core, client) in clients.into_iter().enumerate() {
        let seen = client.join(&mut tour.system)?;
        let here = seen.iter().filter(|seen| seen.core == Some(core)).count();
        let what = format!("all at once: calls from core {core} that were served there");
        tour.report.check_equal(&what, CALLS_AT_ONCE, here);
        for seen in &seen {
            tour.report
                .cost("call and reply, all cores at once", seen.cost);
        }
        if let Some(core) = seen.last().and_then(|seen| seen.core) {
            tour.report.saw('P', core);
        }
    }
    tour.system.destroy(gate)
}
