//! A plain Send to a passive server that waits without a scheduling context lends it nothing: the message is taken, the sender
//! goes on, and the server handles it as soon as it gets time. It is not lost, whoever sends from wherever. And the table of
//! who lends a scheduling context to whom.
//!
//! cores: 1 2 4
//! icount: both

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};

use libsel4::{BootInfo, CapRights, Message, ThreadBuilder, root_task, syscall};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::{Bench, affinity};

root_task!(main);

static SERVED: AtomicU64 = AtomicU64::new(0);

fn served() -> u64 {
    SERVED.load(Ordering::Relaxed)
}

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    for core in 0..bench.cores() {
        rows(&[
            "tern.send.passive",
            "defect.1616",
            "donate.send",
            "donate.nb-send",
            "sched.switch.no-sc",
        ]);
        plain_send(&mut bench, core);
        rows(&[
            "donate.nb-send-wait",
            "donate.nb-send-recv",
            "donate.reply-recv",
        ]);
        outright(&mut bench, core);
        rows(&["donate.no-reply-object", "donate.active-receiver"]);
        without_reply(&mut bench, core);
    }
}

fn plain_send(bench: &mut Bench, core: usize) {
    let server = bench.passive_server("server", 0, 100, |received| {
        SERVED.store(received.label(), Ordering::Relaxed);
        Message::new(received.label() + 1)
    });
    let endpoint = server.endpoint;
    for label in [10, 20] {
        row(match label {
            10 => "syscall.send.lends-nothing",
            _ => "syscall.nb-send.lends-nothing",
        });
        let sender = bench.thread("sender", core, 90, move || match label {
            10 => endpoint.send(Message::new(label)),
            _ => endpoint.nb_send(Message::new(label)),
        });
        sender.join(&mut bench.system).unwrap();
        bench.settle(500);
        assert_ne!(served(), label);
        // Calls are queued: the server is about to run, not waiting.
        let caller = bench.thread("caller", core, 90, move || {
            endpoint.call(Message::new(30)).label()
        });
        bench.settle(1_000);
        assert!(!caller.is_finished());
        // With time of its own it handles both, and is passive again when that is taken away.
        let sc = bench.sched_context(core);
        sc.bind(server.thread.tcb()).unwrap();
        bench.eventually("the server gets on", || served() == 30);
        assert_eq!(caller.join(&mut bench.system).unwrap(), 31);
        bench.system.destroy(sc).unwrap();
        // As good as new.
        row("syscall.call.lends");
        let caller = bench.thread("caller", core, 90, move || {
            endpoint.call(Message::new(40)).label()
        });
        bench.eventually("the call", || caller.is_finished());
        assert_eq!(affinity(server.thread.tcb()), core);
        assert_eq!(caller.join(&mut bench.system).unwrap(), 41);
    }
    server.thread.destroy(&mut bench.system).unwrap();
}

/// The send half of a combined call hands the scheduling context over for good.
fn outright(bench: &mut Bench, core: usize) {
    for combined in 0..3 {
        rows(&[
            [
                "syscall.nb-send-wait.gives",
                "syscall.nb-send-recv.gives",
                "syscall.reply-recv.gives",
            ][combined as usize],
            "ipc.combined.after-giving",
        ]);
        let server = bench.passive_server("server", 0, 100, |received| {
            SERVED.store(received.label(), Ordering::Relaxed);
            Message::new(0)
        });
        let destination = server.endpoint;
        let wake = bench.system.notification().unwrap();
        let reply = bench.system.reply().unwrap();
        let label = 50 + combined;
        let sender = bench.thread("sender", core, 90, move || {
            let message = Message::new(label);
            match combined {
                0 => syscall::nb_send_wait(destination.bits(), message, wake.bits()),
                1 => syscall::nb_send_recv(destination.bits(), message, wake.bits(), reply.bits()),
                _ => syscall::reply_recv(wake.bits(), message, destination.bits()),
            };
        });
        bench.eventually("the server gets on", || served() == label);
        assert_eq!(affinity(server.thread.tcb()), core);
        let sc = sender.sched().unwrap().cap();
        // The sender wakes without time; the server holds it.
        wake.signal();
        bench.settle(500);
        assert!(!sender.is_finished());
        sc.unbind_thread(server.thread.tcb()).unwrap();
        sc.bind(sender.tcb()).unwrap();
        bench.eventually("the sender", || sender.is_finished());
        sender.destroy(&mut bench.system).unwrap();
        server.thread.destroy(&mut bench.system).unwrap();
    }
}

/// No way for an answer: the caller gets inactive and keeps its context. The receiver runs if it has its own.
fn without_reply(bench: &mut Bench, core: usize) {
    let endpoint = bench.system.endpoint().unwrap();
    let write_only = bench.system.copy(endpoint, CapRights::WRITE).unwrap();
    let reply = bench.system.reply().unwrap();
    for kind in 0..2 {
        rows(&[
            ["syscall.call.no-reply-object", "syscall.call.no-grant"][kind as usize],
            "syscall.call.resume-again",
        ]);
        let caller = bench.thread("caller", core, 100, move || {
            match kind {
                0 => endpoint.call(Message::new(60)),
                _ => write_only.call(Message::new(61)),
            }
            .label()
        });
        let label = match kind {
            0 => endpoint.wait().label(),
            _ => endpoint.recv(reply).label(),
        };
        assert_eq!(label, 60 + kind);
        reply.send(Message::new(1));
        bench.settle(500);
        assert!(!caller.is_finished());
        // Resumed, it calls again.
        caller.resume().unwrap();
        if kind == 0 {
            assert_eq!(endpoint.recv(reply).label(), 60);
            reply.send(Message::new(62));
            assert_eq!(caller.join(&mut bench.system).unwrap(), 62);
        } else {
            assert_eq!(endpoint.wait().label(), 61);
            caller.destroy(&mut bench.system).unwrap();
        }
    }
    // A receiver that has its own context: both run.
    let server = bench.active_server("active", core, 100, |received| {
        Message::new(received.label() + 1)
    });
    let endpoint = server.endpoint;
    let builder = ThreadBuilder::new("caller").core(bench.cores() - 1);
    let caller = builder
        .spawn(&mut bench.system, move || {
            endpoint.call(Message::new(70)).label()
        })
        .unwrap();
    assert_eq!(caller.join(&mut bench.system).unwrap(), 71);
    assert_eq!(affinity(server.thread.tcb()), core);
    server.thread.destroy(&mut bench.system).unwrap();
}
