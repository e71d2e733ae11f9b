//! Where a woken thread goes: it runs at once on an idle core or one with something less important, also from another core;
//! less important or equal ones wait in their place. And what a message from another core does to the order there.
//!
//! cores: 1 2 4
//! icount: both

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};

use libsel4::{
    BootInfo, Cap, Endpoint, Message, Notification, Thread, ThreadBuilder, root_task, syscall,
};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::{Bench, LONG_SLICE, Log, affinity, counter};

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    let log = Log::new();
    beaten(&mut bench, log);
    for from in 0..bench.cores() {
        for to in 0..bench.cores() {
            if from != to {
                rows(&["sched.switch.remote", "smp.message", "defect.sel4test-155"]);
                remote(&mut bench, from, to);
            }
        }
    }
    for core in 1..bench.cores() {
        row("sched.queue.remote-message");
        message_from_elsewhere(&mut bench, core, log);
    }
    for core in 0..bench.cores() {
        row("smp.message");
        active_partners(&mut bench, core);
    }
}

fn role(
    bench: &mut Bench,
    priority: u8,
    body: impl FnOnce() + Send + 'static,
) -> (Thread<()>, Cap<Notification>) {
    let builder = ThreadBuilder::new("role")
        .priority(priority)
        .budget(LONG_SLICE);
    bench.gated(builder, body)
}

/// A running thread wakes a less important one with a message, and then blocks: what is more important than that, and its
/// equal that was ready before, have their turns as the queues say.
fn beaten(bench: &mut Bench, log: &'static Log) {
    row("sched.decide.beaten");
    let endpoint = bench.system.endpoint().unwrap();
    let threads = [
        role(bench, 110, move || {
            log.push(1);
            endpoint.send(Message::new(0));
            log.push(2);
        }),
        role(bench, 100, move || {
            endpoint.wait();
            log.push(3);
        }),
        role(bench, 100, move || log.push(4)),
        role(bench, 105, move || log.push(5)),
    ];
    threads[1].1.signal();
    bench.settle(5_000);
    for index in [2, 3, 0] {
        threads[index].1.signal();
    }
    for (thread, _) in threads {
        thread.join(&mut bench.system).unwrap();
    }
    // The woken one is at the head of its priority.
    log.take(&[1, 2, 5, 3, 4]);
}

/// A thread of one core wakes those of another, which is idle, busy with less, busy with more.
fn remote(bench: &mut Bench, from: usize, to: usize) {
    let woken = counter();
    let go = bench.system.notification().unwrap();
    let builder = ThreadBuilder::new("woken").core(to).budget(LONG_SLICE);
    let (thread, gate) = bench.gated(builder, move || {
        loop {
            go.wait();
            woken.fetch_add(1, Ordering::Relaxed);
        }
    });
    gate.signal();
    let wake = |bench: &mut Bench| {
        let waker = bench.thread("waker", from, 130, move || go.signal());
        waker.join(&mut bench.system).unwrap();
    };
    let seen = || woken.load(Ordering::Relaxed);
    wake(bench);
    bench.eventually("it runs on the idle core", || seen() == 1);
    let busy = bench.spinner_with(
        ThreadBuilder::new("busy")
            .core(to)
            .priority(90)
            .budget(LONG_SLICE),
    );
    bench.runs(&busy);
    wake(bench);
    bench.eventually("it runs before less important ones", || seen() == 2);
    bench.runs(&busy);
    busy.thread.set_priority(110).unwrap();
    bench.runs(&busy);
    wake(bench);
    bench.runs(&busy);
    bench.sleep(2_000);
    assert_eq!(seen(), 2, "it waits for its turn");
    busy.thread.suspend().unwrap();
    bench.eventually("its turn", || seen() == 3);
    assert_eq!(affinity(thread.tcb()), to);
    busy.thread.destroy(&mut bench.system).unwrap();
    thread.destroy(&mut bench.system).unwrap();
}

/// A thread that receives a message from another core goes before its equals there; one that is signalled behind them.
fn message_from_elsewhere(bench: &mut Bench, core: usize, log: &'static Log) {
    for by_message in [true, false] {
        let endpoint = bench.system.endpoint().unwrap();
        let go = bench.system.notification().unwrap();
        let hog = bench.spinner_with(
            ThreadBuilder::new("hog")
                .core(core)
                .priority(120)
                .budget(LONG_SLICE),
        );
        hog.thread.suspend().unwrap();
        let builder = ThreadBuilder::new("equal").core(core).budget(LONG_SLICE);
        let (woken, gate) = bench.gated(builder.clone(), move || {
            if by_message {
                endpoint.wait();
            } else {
                go.wait();
            }
            log.push(1);
        });
        let (ready, ready_gate) = bench.gated(builder, move || log.push(2));
        gate.signal();
        bench.settle(5_000);
        hog.thread.resume().unwrap();
        bench.runs(&hog);
        ready_gate.signal();
        if by_message {
            endpoint.send(Message::new(0));
        } else {
            go.signal();
        }
        assert!(log.is_empty());
        hog.thread.suspend().unwrap();
        bench.eventually("both", || log.len() == 2);
        log.take(if by_message { &[1, 2] } else { &[2, 1] });
        for thread in [woken, ready] {
            thread.join(&mut bench.system).unwrap();
        }
        hog.thread.destroy(&mut bench.system).unwrap();
    }
}

/// A server with time of its own is called, sent to and signalled from every core, and stays where it is.
fn active_partners(bench: &mut Bench, core: usize) {
    static SEEN: AtomicU64 = AtomicU64::new(0);
    SEEN.store(0, Ordering::Relaxed);
    let server = bench.active_server("server", core, 110, |received| {
        SEEN.fetch_add(received.get(0) + received.badge, Ordering::Relaxed);
        Message::new(received.label() + 1).words(&[received.get(1), received.get(0)])
    });
    let (endpoint, tcb): (Cap<Endpoint>, _) = (server.endpoint, server.thread.tcb());
    let notification = bench.system.notification().unwrap();
    tcb.bind_notification(notification).unwrap();
    let badged = bench
        .system
        .mint(notification, libsel4::CapRights::all(), 1 << 20)
        .unwrap();
    for from in 0..bench.cores() {
        let before = SEEN.load(Ordering::Relaxed);
        let client = bench.thread("client", from, 100, move || {
            let answer = endpoint.call(Message::new(5).words(&[3, 4]));
            assert_eq!([answer.label(), answer.get(0), answer.get(1)], [6, 4, 3]);
            endpoint.send(Message::new(0).word(10));
            syscall::send(endpoint.bits(), Message::new(0).word(100));
        });
        client.join(&mut bench.system).unwrap();
        bench.eventually("the messages", || {
            SEEN.load(Ordering::Relaxed) == before + 113
        });
        bench.settle(1_000);
        let signaller = bench.thread("signaller", from, 100, move || badged.signal());
        signaller.join(&mut bench.system).unwrap();
        bench.eventually("the signal", || {
            SEEN.load(Ordering::Relaxed) >= before + 113 + (1 << 20)
        });
        // (What the registers held when it was signalled counts for nothing.)
        bench.settle(1_000);
        assert_eq!(affinity(tcb), core);
    }
    server.thread.destroy(&mut bench.system).unwrap();
}
