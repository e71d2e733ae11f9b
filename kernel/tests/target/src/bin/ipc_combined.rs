//! The combined calls: both halves in one step, what the first half may do, that its failures do not matter, and where the
//! scheduling context is afterwards.
//!
//! cores: 1 2 4
//! icount: both

#![no_std]
#![no_main]

use libsel4::{BootInfo, CapRights, Message, ThreadBuilder, root_task, syscall};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::{Bench, Log, affinity};

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    for core in 0..bench.cores() {
        signal_and_wait(&mut bench, core);
        failures_do_not_matter(&mut bench, core);
        client_of_passive_pair(&mut bench, core);
        reply_recv(&mut bench, core);
    }
}

/// A ping-pong of signals, without a lost one.
fn signal_and_wait(bench: &mut Bench, core: usize) {
    let [ping, pong] = [(); 2].map(|()| bench.system.notification().unwrap());
    let other = bench.thread("pong", core, 100, move || {
        ping.wait();
        for _ in 0..99 {
            syscall::nb_send_wait(pong.bits(), Message::new(0), ping.bits());
        }
        pong.signal();
    });
    let reply = bench.system.reply().unwrap();
    for turn in 0..100 {
        match turn % 2 {
            0 => syscall::nb_send_wait(ping.bits(), Message::new(0), pong.bits()),
            _ => syscall::nb_send_recv(ping.bits(), Message::new(0), pong.bits(), reply.bits()),
        };
    }
    other.join(&mut bench.system).unwrap();
}

/// No receiver, no right, no capability, a kernel object that may not be invoked like this: the second half goes on.
fn failures_do_not_matter(bench: &mut Bench, core: usize) {
    rows(&["ipc.combined.silent", "syscall.first-phase.tcb"]);
    let endpoint = bench.system.endpoint().unwrap();
    let mute = bench.system.copy(endpoint, CapRights::READ).unwrap();
    let plain = bench.system.notification().unwrap();
    let wake = bench.system.mint(plain, CapRights::all(), 5).unwrap();
    let (victim, gate) = bench.gated(ThreadBuilder::new("victim").core(core), || ());
    let suspend = Message::new(libsel4::abi::Invocation::TcbSuspend.label());
    let log = Log::new();
    let empty = bench.system.slot().unwrap();
    let targets = [
        endpoint.bits(),
        mute.bits(),
        empty.index,
        u64::MAX,
        victim.tcb().bits(),
    ];
    let builder = ThreadBuilder::new("sender").core(core);
    let sender = builder.spawn(&mut bench.system, move || {
        for target in targets {
            log.push(syscall::nb_send_wait(target, suspend, wake.bits()).badge);
        }
    });
    let sender = sender.unwrap();
    for count in 1..=targets.len() {
        wake.signal();
        bench.eventually("the second half", || log.len() == count);
    }
    sender.join(&mut bench.system).unwrap();
    log.take(&[5; 5]);
    // The victim was not suspended: it still waits, and goes on with the signal.
    gate.signal();
    bench.eventually("the victim", || victim.is_finished());
    victim.destroy(&mut bench.system).unwrap();
}

/// Two passive threads pass one scheduling context on by NBSendRecv, from a client and back to it.
fn client_of_passive_pair(bench: &mut Bench, core: usize) {
    row("ipc.combined.passive-chain");
    let second = bench.passive_server("second", 0, 100, move |received| {
        Message::new(received.label() + 1)
    });
    let forward = second.endpoint;
    let first = bench.passive_server("first", 0, 100, move |received| {
        let answer = forward.call(Message::new(received.label() + 1));
        Message::new(answer.label() + 1)
    });
    let endpoint = first.endpoint;
    let client = bench.thread("client", core, 90, move || {
        (0..50)
            .map(|turn| endpoint.call(Message::new(turn)).label() - turn)
            .sum::<u64>()
    });
    assert_eq!(client.join(&mut bench.system).unwrap(), 150);
    assert_eq!(affinity(second.thread.tcb()), core);
    first.thread.destroy(&mut bench.system).unwrap();
    second.thread.destroy(&mut bench.system).unwrap();
}

/// ReplyRecv with an idle reply object only receives; one that another thread waits on takes that thread's wait away.
fn reply_recv(bench: &mut Bench, core: usize) {
    let endpoint = bench.system.endpoint().unwrap();
    let reply = bench.system.reply().unwrap();
    row("ipc.combined.reply-recv-idle");
    let sender = bench.thread("sender", core, 100, move || endpoint.send(Message::new(3)));
    assert_eq!(endpoint.reply_recv(Message::new(9), reply).label(), 3);
    sender.join(&mut bench.system).unwrap();
    rows(&[
        "syscall.receive.reclaim-caller",
        "syscall.receive.reclaim-calls",
    ]);
    let callers = [1, 2].map(|label| {
        let thread = bench.thread("caller", core, 100, move || {
            endpoint.call(Message::new(label)).label()
        });
        bench.settle(5_000);
        thread
    });
    assert_eq!(endpoint.recv(reply).label(), 1);
    // The first caller is forgotten: its wait is cancelled, and it is inactive.
    assert_eq!(endpoint.recv(reply).label(), 2);
    let nobody = bench.system.endpoint().unwrap();
    assert_eq!(syscall::nb_recv(nobody.bits(), reply.bits()).badge, 0);
    let [first, second] = callers;
    bench.settle(1_000);
    assert!(!first.is_finished() && !second.is_finished());
    // A poll reclaimed the reply object as well.
    for (thread, label) in [(first, 1), (second, 2)] {
        thread.resume().unwrap();
        assert_eq!(endpoint.recv(reply).label(), label);
        reply.send(Message::new(100));
        assert_eq!(thread.join(&mut bench.system).unwrap(), 100);
    }
}
