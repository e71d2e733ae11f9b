//! Operations across cores. Both readings of the counter are on core 0, since each core has its own; the other cores
//! sleep but for what they do for the measured operation, and the count is that of all of them.

use core::sync::atomic::Ordering;

use libsel4::abi::{MessageInfo, Syscall};
use libsel4::{Message, init, syscall};

use crate::ipc;
use tern_bench::meter::{self, SAMPLES, Samples, WARM_UP};
use tern_bench::stamp::{self, Integer, Registers, Request};
use tern_bench::worker::{Bench, HIGH, Job};

/// The other core.
const THERE: usize = 1;

pub(crate) fn run(bench: &mut Bench) {
    migrate_self(bench);
    call_active(bench);
    ping_pong(bench);
    call_passive(bench);
    migrate_running(bench);
    cap_transfer(bench);
}

/// Waits, for good.
pub(crate) extern "C" fn sleeper(job: &'static Job) -> ! {
    loop {
        job.go.wait();
    }
}

/// The caller moves itself to another core and back.
fn migrate_self(bench: &mut Bench) {
    let mut samples = Samples::empty();
    for _ in 0..WARM_UP + SAMPLES {
        meter::once(&mut samples, || {
            bench.move_to(THERE);
            bench.move_to(0);
        });
    }
    samples.print("migrate_self");
}

/// Call and reply, to a server with its own scheduling context on another, idle core.
fn call_active(bench: &mut Bench) {
    let job = Job::new(&mut bench.system);
    let server = bench.stranger(ipc::plain_server, job, THERE);
    meter::repeated("call_active_remote", || {
        syscall::call(job.endpoint.bits(), Message::new(0));
    });
    server.stop();
}

/// Answers signals by signals.
extern "C" fn echo(job: &'static Job) -> ! {
    loop {
        job.go.wait();
        job.back.signal();
    }
}

/// A signal to a thread on another, idle core, and one back.
fn ping_pong(bench: &mut Bench) {
    let job = Job::new(&mut bench.system);
    let echo = bench.spawn(echo, job, THERE, init::VSPACE, None);
    meter::repeated("signal_pingpong_remote", || {
        job.go.signal();
        job.back.wait();
    });
    echo.stop();
}

/// Answers calls, and notes when they came.
extern "C" fn noting_server(job: &'static Job) -> ! {
    let mut request = Request {
        number: Syscall::Recv as i64,
        x0: job.endpoint.bits(),
        info: 0,
        word: 0,
        x6: job.reply.bits(),
    };
    loop {
        let timed = Integer::timed(request);
        job.arrived.set(timed.after, meter::close());
        request.number = Syscall::ReplyRecv as i64;
        request.info = MessageInfo::new(0, 0, 0, 0).0;
    }
}

/// Calls the server each time that it is told to.
extern "C" fn other_client(job: &'static Job) -> ! {
    loop {
        job.go.wait();
        syscall::call(job.endpoint.bits(), Message::new(0));
        job.back.signal();
    }
}

/// Call to a passive server that was last on another core, until it runs.
fn call_passive(bench: &mut Bench) {
    let job = Job::new(&mut bench.system);
    let server = bench.stranger(noting_server, job, 0).make_passive();
    let client = bench.spawn(other_client, job, THERE, init::VSPACE, None);
    let mut samples = Samples::empty();
    for _ in 0..WARM_UP + SAMPLES {
        job.go.signal();
        job.back.wait();
        meter::open();
        let timed = Integer::timed(Request {
            number: Syscall::Call as i64,
            x0: job.endpoint.bits(),
            info: MessageInfo::new(0, 0, 0, 4).0,
            word: 0,
            x6: 0,
        });
        samples.push(job.arrived.time() - timed.before, job.arrived.counts());
    }
    samples.print("call_passive_remote");
    client.stop();
    server.stop();
}

/// Runs until it has been moved: it sleeps in user mode, so that it uses up none of its emulator's turn.
extern "C" fn runner(job: &'static Job) -> ! {
    loop {
        syscall::nb_send_wait(job.back.bits(), Message::new(0), job.go.bits());
        job.back.signal();
        let after = loop {
            let after = stamp::sleep();
            if job.number.load(Ordering::Acquire) != 0 {
                break after;
            }
        };
        job.arrived.set(after, meter::close());
    }
}

/// A thread that runs on another core is moved here, until it runs here.
fn migrate_running(bench: &mut Bench) {
    let job = Job::new(&mut bench.system);
    let runner = bench.worker(runner, job).with_priority(HIGH);
    let context = runner.sched.cap();
    let mut samples = Samples::empty();
    for _ in 0..WARM_UP + SAMPLES {
        job.back.wait();
        bench.configure(context, THERE);
        job.set_number(0);
        job.go.signal();
        job.back.wait();
        job.number.store(1, Ordering::Release);
        meter::open();
        let before = stamp::cycles();
        bench.configure(context, 0);
        samples.push(job.arrived.time() - before, job.arrived.counts());
    }
    samples.print("migrate_running");
    runner.stop();
}

/// A call with a capability, to a server with its own scheduling context on another, idle core.
fn cap_transfer(bench: &mut Bench) {
    let job = Job::new(&mut bench.system);
    job.set_number(bench.system.slot().expect("a slot").index);
    let server = bench.stranger(ipc::cap_server, job, THERE);
    ipc::transfer(bench, job, "cap_transfer_remote");
    server.stop();
}
