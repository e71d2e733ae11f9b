//! Signals and turns on one core, and system calls that do little.

use libsel4::abi::{MessageInfo, Syscall};
use libsel4::{Message, syscall};

use tern_bench::meter::{self, SAMPLES, Samples, WARM_UP};
use tern_bench::stamp::{Integer, Registers, Request};
use tern_bench::worker::{Bench, HIGH, Job, LOW, OURS, Worker};

pub(crate) fn run(bench: &mut Bench) {
    let job = Job::new(&mut bench.system);
    let waiter = bench.stranger(waiter, job, 0).with_priority(HIGH);
    high(job, waiter, "signal_high");
    let job = Job::new(&mut bench.system);
    let waiter = bench.worker(self::waiter, job).with_priority(HIGH);
    high(job, waiter, "wake_high");
    low(bench);
    turns(bench);
    alone(bench);
}

/// Waits for signals, and notes when they came.
extern "C" fn waiter(job: &'static Job) -> ! {
    loop {
        let timed = Integer::timed(Request {
            number: Syscall::Wait as i64,
            x0: job.go.bits(),
            info: 0,
            word: 0,
            x6: 0,
        });
        job.arrived.set(timed.after, meter::close());
    }
}

fn signal(job: &Job) -> Request {
    Request {
        number: Syscall::Send as i64,
        x0: job.go.bits(),
        info: MessageInfo::new(0, 0, 0, 0).0,
        word: 0,
        x6: 0,
    }
}

/// Signal, until the waiter of higher priority runs.
fn high(job: &'static Job, waiter: Worker, name: &str) {
    let mut samples = Samples::empty();
    for _ in 0..WARM_UP + SAMPLES {
        meter::open();
        let timed = Integer::timed(signal(job));
        samples.push(job.arrived.time() - timed.before, job.arrived.counts());
    }
    samples.print(name);
    waiter.stop();
}

/// Tells that it has been woken, and waits again, in one step.
extern "C" fn answering_waiter(job: &'static Job) -> ! {
    loop {
        syscall::nb_send_wait(job.back.bits(), Message::new(0), job.go.bits());
    }
}

/// Signal, until the signaller goes on, because the waiter has a lower priority.
fn low(bench: &mut Bench) {
    let job = Job::new(&mut bench.system);
    let waiter = bench.stranger(answering_waiter, job, 0).with_priority(LOW);
    let mut samples = Samples::empty();
    for _ in 0..WARM_UP + SAMPLES {
        job.back.wait();
        meter::open();
        let timed = Integer::timed(signal(job));
        samples.push(timed.after - timed.before, meter::close());
    }
    samples.print("signal_low");
    waiter.stop();
}

const YIELD: Request = Request {
    number: Syscall::Yield as i64,
    x0: 0,
    info: 0,
    word: 0,
    x6: 0,
};

/// Waits to be needed, then takes its turns.
extern "C" fn peer(job: &'static Job) -> ! {
    job.go.wait();
    loop {
        let timed = Integer::timed(YIELD);
        job.arrived.set(timed.after, meter::close());
    }
}

/// Yield, until an equal thread of the same address space runs.
fn turns(bench: &mut Bench) {
    let job = Job::new(&mut bench.system);
    let peer = bench.worker(peer, job).with_priority(OURS);
    job.go.signal();
    let mut samples = Samples::empty();
    for _ in 0..WARM_UP + SAMPLES {
        meter::open();
        let timed = Integer::timed(YIELD);
        // In its first turn the other one has not yielded yet.
        let arrived = job.arrived.time().max(timed.before);
        samples.push(arrived - timed.before, job.arrived.counts());
    }
    samples.print("yield");
    peer.stop();
}

/// Calls that nobody else takes part in.
fn alone(bench: &mut Bench) {
    meter::repeated("null_syscall", || syscall::nb_send(0, Message::new(0)));
    meter::repeated("call_error", || {
        let answer = syscall::call(0, Message::new(0));
        assert!(answer.label() != 0, "an error");
    });
    let idle = bench.system.notification().expect("a notification");
    meter::repeated("signal_idle", || idle.signal());
    idle.wait();
    meter::repeated("poll_empty", || {
        idle.poll();
    });
    meter::repeated("yield_alone", syscall::yield_now);
}
