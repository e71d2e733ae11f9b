//! A passive thread runs on the scheduling context of the notification that wakes it, on that context's core: signalled
//! from every core, with the context on every core; it gives it back when it waits again. A receive on an endpoint gives it
//! back when the notification is bound to the thread.
//!
//! cores: 1 2 4
//! icount: both
//! timeout: 120

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};

use libsel4::{BootInfo, Message, root_task, syscall, thread_block};
use tern_target_tests::rows::rows;
use tern_target_tests::sched::{Bench, affinity, fpu_keeps};

root_task!(main);

static WOKEN: AtomicU64 = AtomicU64::new(0);
static CORE: AtomicU64 = AtomicU64::new(0);

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    let cores = bench.cores();
    let notification = bench.system.notification().unwrap();
    let ready = bench.system.notification().unwrap();
    let sc = bench.sched_context(0);
    let (waiter, gate) = bench.parked("waiter", cores - 1, 100, move || {
        let me = thread_block::current().unwrap().tcb();
        loop {
            assert!(fpu_keeps(3, 10));
            syscall::nb_send_wait(ready.bits(), Message::new(0), notification.bits());
            CORE.store(affinity(me) as u64, Ordering::Relaxed);
            WOKEN.fetch_add(1, Ordering::Relaxed);
        }
    });
    sc.bind(waiter.tcb()).unwrap();
    gate.signal();
    ready.wait();
    sc.unbind().unwrap();
    sc.bind_notification(notification).unwrap();
    rows(&[
        "ntfn-sc.lends",
        "ntfn-sc.wait-returns",
        "ntfn-sc.in-use",
        "smp.ntfn-sc",
        "defect.941-986-1662-1707",
    ]);
    for signaller in 0..cores {
        for target in 0..cores {
            bench.move_sc(sc, target);
            let before = WOKEN.load(Ordering::Relaxed);
            let thread = bench.thread("signaller", signaller, 90, move || notification.signal());
            bench.eventually("the wake-up", || {
                WOKEN.load(Ordering::Relaxed) == before + 1
            });
            ready.wait();
            assert_eq!(CORE.load(Ordering::Relaxed), target as u64);
            assert_eq!(affinity(waiter.tcb()), target);
            thread.join(&mut bench.system).unwrap();
            // It has been given back: it can be bound to another thread and taken from it.
            let mut other = bench.spinner(target, 80);
            bench.make_passive(&mut other.thread);
            sc.bind(other.thread.tcb()).unwrap();
            bench.runs(&other);
            // In use, so the waiter wakes with nothing to run on.
            let before = WOKEN.load(Ordering::Relaxed);
            notification.signal();
            bench.settle(500);
            assert_eq!(WOKEN.load(Ordering::Relaxed), before);
            sc.unbind_thread(other.thread.tcb()).unwrap();
            sc.bind(waiter.tcb()).unwrap();
            bench.eventually("the wake-up", || {
                WOKEN.load(Ordering::Relaxed) == before + 1
            });
            ready.wait();
            other.thread.destroy(&mut bench.system).unwrap();
        }
    }
    waiter.destroy(&mut bench.system).unwrap();
    rows(&["ntfn-sc.lends", "ntfn-sc.receive-returns", "smp.bound-ntfn"]);
    bound(&mut bench);
}

/// The server runs on the bound notification's context when signalled, and on its callers' when called.
fn bound(bench: &mut Bench) {
    let last = bench.cores() - 1;
    let server = bench.passive_server("server", 0, 100, |received| {
        let here = affinity(thread_block::current().unwrap().tcb());
        CORE.store(here as u64, Ordering::Relaxed);
        WOKEN.fetch_add(1, Ordering::Relaxed);
        Message::new(received.badge).word(here as u64)
    });
    let (endpoint, notification) = (server.endpoint, bench.system.notification().unwrap());
    let badged = bench
        .system
        .mint(notification, libsel4::CapRights::all(), 64)
        .unwrap();
    let sc = bench.sched_context(last);
    sc.bind_notification(notification).unwrap();
    server.thread.tcb().bind_notification(notification).unwrap();
    for core in 0..bench.cores() {
        let before = WOKEN.load(Ordering::Relaxed);
        badged.signal();
        bench.eventually("the signal", || WOKEN.load(Ordering::Relaxed) == before + 1);
        bench.settle(500);
        assert_eq!(CORE.load(Ordering::Relaxed), last as u64);
        let caller = bench.thread("caller", core, 90, move || {
            let answer = endpoint.call(Message::new(5));
            (answer.label(), answer.get(0))
        });
        bench.eventually("the call", || caller.is_finished());
        assert_eq!(caller.join(&mut bench.system).unwrap(), (0, core as u64));
    }
}
