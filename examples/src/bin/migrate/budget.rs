//! Step 6: a thread with 2 ms in every 10 ms is moved all the while, and neither gains nor loses by it.
//!
//! A *mover* on core 0 moves the *spender* to the next core about every millisecond, and after each move asks the kernel what
//! the spender's scheduling context was charged. From these samples every window of time is judged: none may hold more
//! than the budget allows. Under `-icount`, where nothing but this program takes time, the spender must also have got its
//! share. At last, a thread that has a handler for Timeout faults meets its end of budget on each core.
//!
//! The mover needs no timer: it has a budget of its own in each millisecond, and `seL4_Yield` gives up what is left of it.

use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use libsel4::{
    Budget, Error, Fault, Message, ResourceError, SchedulingContext, ThreadBuilder, debug, println,
    syscall, time,
};

use crate::Tour;
use crate::clock::Clock;

/// What the spender may use, in microseconds: so much in each period.
const BUDGET_US: u64 = 2_000;
const PERIOD_US: u64 = 10_000;
/// The mover moves once in this time, in microseconds.
const PACE_US: u64 = 1_000;
/// How many moves.
const MOVES: usize = 300;
/// How many of them go onto the timeline.
const MOVES_SHOWN: usize = 40;
/// Microseconds: pieces of budget below 20 are not kept apart by the kernel, and a timer takes a moment.
const TOLERANCE_US: u64 = 25;
/// The least share of its budget that the spender must get when nothing is in its way, in percent.
const LEAST_SHARE: u64 = 95;
/// The badge of the scheduling context whose Timeout faults are handled.
const TIMEOUT_BADGE: u64 = 0x71;

const SPENDER_BUDGET: Budget = Budget::periodic(
    Duration::from_micros(BUDGET_US),
    Duration::from_micros(PERIOD_US),
);

pub(crate) fn step(tour: &mut Tour) -> Result<(), ResourceError> {
    tour.report
        .begin("A thread with 2 ms in every 10 ms is moved all the while");
    tour.report
        .introduce('s', "spends its budget, and is moved");
    tour.report
        .introduce('z', "is moved with its budget used up");
    tour.report
        .introduce('T', "meets its end of budget, and has a handler for that");
    if tour.clock.has_time() {
        let samples = move_all_the_while(tour)?;
        judge(tour, &samples);
    } else {
        tour.report.check(
            false,
            "windows of time",
            "a kernel that exports CNTVCT_EL0",
            "none",
        );
    }
    time_out_on_every_core(tour)
}

/// What the mover saw around one move.
#[derive(Clone, Copy)]
struct Sample {
    /// Ticks before the move and after the account was read.
    start: u64,
    end: u64,
    /// Where it was moved to, and where the kernel says it is then.
    core: usize,
    seen: Option<usize>,
    /// Microseconds charged since the sample before.
    charged: u64,
    cost: u64,
}

fn move_all_the_while(tour: &mut Tour) -> Result<Vec<Sample>, ResourceError> {
    let stop = Arc::new(AtomicBool::new(false));
    let its_stop = stop.clone();
    let spender = ThreadBuilder::new("spender").budget(SPENDER_BUDGET).spawn(
        &mut tour.system,
        move || {
            while !its_stop.load(Ordering::Relaxed) {
                core::hint::black_box(());
            }
        },
    )?;
    let Some(sched) = spender.sched() else {
        return Ok(Vec::new());
    };
    let (tcb, clock, cores) = (spender.tcb(), tour.clock, tour.system.cores());
    let pace = Duration::from_micros(PACE_US);
    let mover = ThreadBuilder::new("mover")
        .priority(200)
        .budget(Budget::periodic(pace / 2, pace))
        .spawn(&mut tour.system, move || {
            let mut samples = Vec::with_capacity(MOVES);
            for number in 0..MOVES {
                let core = (number + 1) % cores;
                let mut sample = take_sample(&sched, core, cores, clock)?;
                sample.seen = debug::thread_affinity(tcb);
                samples.push(sample);
                syscall::yield_now();
            }
            Ok::<_, Error>(samples)
        })?;
    let samples = mover.join(&mut tour.system)?;
    stop.store(true, Ordering::Relaxed);
    spender.join(&mut tour.system)?;
    Ok(samples?)
}

/// One move, and the account after it. With one core there is nowhere to go: to configure it again on its own core would be
/// to give it a new budget.
fn take_sample(
    sched: &SchedulingContext,
    core: usize,
    cores: usize,
    clock: Clock,
) -> Result<Sample, Error> {
    let start = time::counter();
    let before = clock.now();
    if cores > 1 {
        sched.move_to(core)?;
    }
    let cost = clock.now() - before;
    let charged = sched.consumed()?.as_micros() as u64;
    Ok(Sample {
        start,
        end: time::counter(),
        core,
        seen: None,
        charged,
        cost,
    })
}

fn judge(tour: &mut Tour, samples: &[Sample]) {
    for sample in samples.iter().take(MOVES_SHOWN) {
        tour.report
            .saw(if sample.charged != 0 { 's' } else { 'z' }, sample.core);
    }
    let placed = samples
        .iter()
        .filter(|sample| sample.seen == Some(sample.core))
        .count();
    tour.report.check_equal(
        "moves after which the kernel has it on the new core",
        MOVES,
        placed,
    );
    if tour.system.cores() > 1 {
        for sample in samples {
            tour.report
                .cost("ConfigureFlags, budget of 2 ms in 10 ms", sample.cost);
        }
    }
    let to_micros = Micros {
        frequency: tour.clock.frequency(),
    };
    judge_windows(tour, samples, to_micros);
    if let [first, .., last] = samples {
        let charged: u64 = samples[1..].iter().map(|sample| sample.charged).sum();
        let passed = to_micros.of(last.end - first.end);
        println!("       charged {charged} us in {passed} us");
        if tour.clock.is_exact() {
            // In each period that lies within this time it could use its budget. (Up to one more may lie partly within it.)
            let least = passed / PERIOD_US * BUDGET_US * LEAST_SHARE / 100;
            let expected = format_args!("at least {least} us");
            let seen = format_args!("{charged} us");
            tour.report
                .check(charged >= least, "its share of the time", expected, seen);
        }
    }
}

/// Turns ticks into microseconds.
#[derive(Clone, Copy)]
struct Micros {
    frequency: u64,
}

impl Micros {
    fn of(self, ticks: u64) -> u64 {
        (u128::from(ticks) * 1_000_000 / u128::from(self.frequency.max(1))) as u64
    }
}

/// The most that may be charged in a window of so many microseconds.
fn allowed(window: u64) -> u64 {
    window / PERIOD_US * BUDGET_US + (window % PERIOD_US).min(BUDGET_US)
}

/// Every pair of samples is a window. What was charged after the first move and up to the second sample was used between the
/// start of the one and the end of the other.
///
/// An emulated core may be away, with its host doing something else, when the budget ends. The time until it is back is
/// charged too, and the kernel takes it back: the thread waits so much longer for its next refill. So unless the machine is
/// exact, a window counts as long as until the thread was charged again.
fn judge_windows(tour: &mut Tour, samples: &[Sample], to_micros: Micros) {
    let exact = tour.clock.is_exact();
    let mut worst: Option<(u64, u64, u64)> = None;
    let mut windows = 0;
    for (index, first) in samples.iter().enumerate() {
        let mut charged = 0;
        for (last_index, last) in samples.iter().enumerate().skip(index + 1) {
            charged += last.charged;
            let end = if exact {
                Some(last)
            } else {
                next_charged(samples, last_index)
            };
            let Some(end) = end else { break };
            let window = to_micros.of(end.end - first.start);
            windows += 1;
            let over = charged.saturating_sub(allowed(window));
            if worst.is_none_or(|(most, ..)| over > most) {
                worst = Some((over, charged, window));
            }
        }
    }
    let (over, charged, window) = worst.unwrap_or_default();
    tour.report.check(
        over <= TOLERANCE_US,
        &format!("charged beyond the budget in any of {windows} windows"),
        format_args!("at most {TOLERANCE_US} us"),
        match over {
            0 => String::from("nothing"),
            _ => format!("{over} us ({charged} us charged in {window} us)"),
        },
    );
}

/// The next sample after this one that was charged for something.
fn next_charged(samples: &[Sample], index: usize) -> Option<&Sample> {
    samples[index + 1..]
        .iter()
        .find(|sample| sample.charged != 0)
}

/// A thread that uses up its budget on core after core: each time a fault arrives here, it is moved while it waits for the
/// answer, and the answer lets it go on when its budget is there again.
fn time_out_on_every_core(tour: &mut Tour) -> Result<(), ResourceError> {
    let cores = tour.system.cores();
    let faults = tour.system.endpoint()?;
    let reply = tour.system.reply()?;
    let thread = ThreadBuilder::new("timed out")
        .budget(SPENDER_BUDGET)
        .badge(TIMEOUT_BADGE)
        .timeout_handler(faults)
        .spawn(&mut tour.system, || {
            loop {
                core::hint::black_box(());
            }
        })?;
    for core in 0..cores {
        let received = faults.recv(reply);
        tour.report
            .check_core('T', "a Timeout fault arrives from", core, thread.affinity());
        let fault = Fault::from_received(&received);
        let good = match fault {
            Some(Fault::Timeout {
                badge: TIMEOUT_BADGE,
                consumed,
            }) => consumed_is_plausible(tour, consumed),
            _ => false,
        };
        let expected = format!("time-out of {TIMEOUT_BADGE} after about {BUDGET_US} us");
        let seen = fault.map_or_else(
            || format!("label {}", received.label()),
            |it| format!("{it}"),
        );
        tour.report.check(good, "what it says", expected, seen);
        if core + 1 < cores {
            thread.move_to(core + 1)?;
            reply.send(Message::new(0));
        }
    }
    thread.destroy(&mut tour.system)?;
    tour.system.destroy(reply)?;
    tour.system.destroy(faults)
}

/// On an exact machine the whole budget is used, no more. On another one the timer may be late, and what was used too much is
/// missing from the next budget.
fn consumed_is_plausible(tour: &Tour, consumed: u64) -> bool {
    match tour.clock.is_exact() {
        true => consumed.abs_diff(BUDGET_US) <= TOLERANCE_US,
        false => consumed != 0,
    }
}
