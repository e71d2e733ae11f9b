//! Messages on one core: one way, and whole round trips. The servers are in another address space.

use libsel4::abi::{MessageInfo, Syscall};
use libsel4::{CapRights, Endpoint, Message, SlotPath, ipc_buffer, syscall};

use tern_bench::meter::{self, SAMPLES, Samples, WARM_UP};
use tern_bench::stamp::{Fpu, Integer, Registers, Request};
use tern_bench::worker::{Bench, HIGH, Job, OURS};

/// Words of a long message: beyond those that registers take.
const LONG: u64 = 10;

pub(crate) fn run(bench: &mut Bench) {
    one_way::<Integer>(bench, "call", "reply_recv", &[0, 1, 2, 3, 4]);
    one_way::<Integer>(bench, "call_10", "reply_recv_10", &[LONG]);
    if meter::wants(&["send"]) {
        send(bench);
    }
    if meter::wants(&["call_rtt", "call_rtt_10", "call_rtt_active"]) {
        round_trips(bench);
    }
    if meter::wants(&["cap_transfer"]) {
        cap_transfer(bench);
    }
}

/// The threads that use floating point keep doing so: their benchmarks come when the others are over.
pub(crate) fn run_fpu(bench: &mut Bench) {
    one_way::<Fpu>(bench, "call_fpu", "reply_recv_fpu", &[0, 1, 2, 3, 4]);
}

fn info(length: u64) -> u64 {
    MessageInfo::new(0, 0, 0, length).0
}

/// Answers calls, and notes when they came and when it answered.
extern "C" fn server<R: Registers>(job: &'static Job) -> ! {
    let mut request = Request {
        number: Syscall::Recv as i64,
        x0: job.endpoint.bits(),
        info: 0,
        word: 0,
        x6: job.reply.bits(),
    };
    loop {
        let timed = R::timed(request);
        job.departed.set(timed.before, meter::Counts::default());
        job.arrived.set(timed.after, meter::close());
        request.number = Syscall::ReplyRecv as i64;
        request.info = info(job.number());
        meter::open();
    }
}

/// Makes calls for as long as the first thread waits for them.
extern "C" fn client<R: Registers>(job: &'static Job) -> ! {
    loop {
        syscall::nb_send_wait(job.back.bits(), Message::new(0), job.go.bits());
        let request = Request {
            number: Syscall::Call as i64,
            x0: job.endpoint.bits(),
            info: info(job.number()),
            word: 0,
            x6: 0,
        };
        meter::open();
        let timed = R::timed(request);
        let counts = meter::close();
        job.called.set(timed.before, meter::Counts::default());
        job.returned.set(timed.after, counts);
    }
}

/// Call until the server runs, and ReplyRecv until the client runs. Of several lengths the dearest is reported.
fn one_way<R: Registers>(bench: &mut Bench, call: &str, reply_recv: &str, lengths: &[u64]) {
    if !meter::wants(&[call, reply_recv]) {
        return;
    }
    let job = Job::new(&mut bench.system);
    let server = bench.stranger(server::<R>, job, 0).make_passive();
    let client = bench.worker(client::<R>, job).with_priority(OURS);
    let mut worst: Option<(Samples, Samples)> = None;
    job.back.wait();
    for &length in lengths {
        job.set_number(length);
        let (mut calls, mut replies) = (Samples::empty(), Samples::empty());
        let mut last = None;
        for _ in 0..=WARM_UP + SAMPLES {
            job.go.signal();
            job.back.wait();
            // When the server answered the call before is known by now.
            if let Some((returned, counts)) = last {
                replies.push(returned - job.departed.time(), counts);
            }
            calls.push(job.arrived.time() - job.called.time(), job.arrived.counts());
            last = Some((job.returned.time(), job.returned.counts()));
        }
        let is_worse = |old: &Samples, new: &Samples| new.median() > old.median();
        worst = Some(match worst {
            None => (calls, replies),
            Some((old_calls, old_replies)) => (
                if is_worse(&old_calls, &calls) {
                    calls
                } else {
                    old_calls
                },
                if is_worse(&old_replies, &replies) {
                    replies
                } else {
                    old_replies
                },
            ),
        });
    }
    if let Some((calls, replies)) = worst {
        calls.print(call);
        replies.print(reply_recv);
    }
    client.stop();
    server.stop();
}

/// Receives messages that need no answer.
extern "C" fn sink(job: &'static Job) -> ! {
    loop {
        let timed = Integer::timed(Request {
            number: Syscall::Recv as i64,
            x0: job.endpoint.bits(),
            info: 0,
            word: 0,
            x6: job.reply.bits(),
        });
        job.arrived.set(timed.after, meter::close());
    }
}

/// Send to a waiting server of higher priority.
fn send(bench: &mut Bench) {
    let job = Job::new(&mut bench.system);
    let server = bench.stranger(sink, job, 0).with_priority(HIGH);
    let mut samples = Samples::empty();
    for _ in 0..WARM_UP + SAMPLES {
        meter::open();
        let timed = Integer::timed(Request {
            number: Syscall::Send as i64,
            x0: job.endpoint.bits(),
            info: info(0),
            word: 0,
            x6: 0,
        });
        samples.push(job.arrived.time() - timed.before, job.arrived.counts());
    }
    samples.print("send");
    server.stop();
}

/// Answers calls as a program does it, with as many words as the number says.
pub(crate) extern "C" fn plain_server(job: &'static Job) -> ! {
    syscall::recv(job.endpoint.bits(), job.reply.bits());
    loop {
        syscall::reply_recv(job.endpoint.bits(), Message::new(0), job.reply.bits());
    }
}

extern "C" fn long_server(job: &'static Job) -> ! {
    syscall::recv(job.endpoint.bits(), job.reply.bits());
    loop {
        syscall::reply_recv(job.endpoint.bits(), long_message(), job.reply.bits());
    }
}

#[inline(always)]
fn long_message() -> Message {
    Message::new(0).words(&[0, 1, 2, 3, 4, 5, 6, 7, 8, 9])
}

fn round_trips(bench: &mut Bench) {
    let job = Job::new(&mut bench.system);
    let server = bench.stranger(plain_server, job, 0).make_passive();
    meter::repeated("call_rtt", || {
        syscall::call(job.endpoint.bits(), Message::new(0));
    });
    server.stop();
    let job = Job::new(&mut bench.system);
    let server = bench.stranger(long_server, job, 0).make_passive();
    meter::repeated("call_rtt_10", || {
        syscall::call(job.endpoint.bits(), long_message());
    });
    server.stop();
    let job = Job::new(&mut bench.system);
    let server = bench.stranger(plain_server, job, 0).with_priority(OURS);
    meter::repeated("call_rtt_active", || {
        syscall::call(job.endpoint.bits(), Message::new(0));
    });
    server.stop();
}

/// Answers calls that bring a capability. The slot for it is the number.
pub(crate) extern "C" fn cap_server(job: &'static Job) -> ! {
    ipc_buffer::set_receive_slot(SlotPath::in_root(job.number()));
    plain_server(job)
}

/// Calls with a capability, to a server that is there; what arrived is deleted again.
pub(crate) fn transfer(bench: &mut Bench, job: &'static Job, name: &str) {
    let gift = bench.system.endpoint().expect("an endpoint");
    let gift = bench.system.copy(gift, CapRights::all()).expect("a copy");
    let arrived = SlotPath::in_root(job.number());
    let mut samples = Samples::empty();
    for _ in 0..WARM_UP + SAMPLES {
        meter::once(&mut samples, || {
            syscall::call(job.endpoint.bits(), Message::new(0).cap::<Endpoint>(gift));
        });
        arrived.delete().expect("to delete");
    }
    samples.print(name);
}

fn cap_transfer(bench: &mut Bench) {
    let job = Job::new(&mut bench.system);
    job.set_number(bench.system.slot().expect("a slot").index);
    let server = bench.stranger(cap_server, job, 0).make_passive();
    transfer(bench, job, "cap_transfer");
    server.stop();
}
