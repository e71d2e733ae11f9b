//! A passive server runs on its caller's core and on its caller's budget, whichever core calls: when it waits, when the
//! call was queued first, and with calls from all cores at once. After the answer everyone is where he was.
//!
//! cores: 1 2 4
//! icount: both
//! timeout: 120

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use libsel4::{BootInfo, Cap, Message, SchedContext, root_task, thread_block};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::{Bench, affinity, fpu_keeps, spin};

root_task!(main);

/// Where the server was when it last served.
static SERVED_ON: AtomicU64 = AtomicU64::new(u64::MAX);

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    let server = bench.passive_server("server", bench.cores() - 1, 120, |received| {
        let here = affinity(thread_block::current().unwrap().tcb());
        SERVED_ON.store(here as u64, Ordering::Relaxed);
        spin(received.get(0));
        assert!(fpu_keeps(here as u64, 10));
        Message::new(received.label() + 1).word(here as u64)
    });
    let (endpoint, tcb) = (server.endpoint, server.thread.tcb());
    let busy: Vec<_> = (0..bench.cores())
        .map(|core| bench.spinner(core, 50))
        .collect();
    rows(&[
        "smp.call",
        "donate.call",
        "donate.migrates",
        "defect.941-986-1662-1707",
        "defect.sel4test-155",
    ]);
    for idle in [true, false] {
        for other in &busy {
            let change = if idle {
                other.thread.suspend()
            } else {
                other.thread.resume()
            };
            change.unwrap();
        }
        // In turn from every core, forth and back, so that the target core is idle or busy with less.
        for core in (0..bench.cores()).chain((0..bench.cores()).rev()) {
            let caller = bench.thread("caller", core, 100, move || {
                let me = thread_block::current().unwrap().tcb();
                for turn in 0..10 {
                    assert!(fpu_keeps(turn, 10));
                    let answer = endpoint.call(Message::new(turn).word(0));
                    assert_eq!((answer.label(), answer.get(0)), (turn + 1, core as u64));
                    assert_eq!(affinity(me), core);
                }
            });
            bench.eventually("the calls", || caller.is_finished());
            assert_eq!(affinity(tcb), core, "the server stays where it was last");
            caller.join(&mut bench.system).unwrap();
        }
    }
    rows(&["donate.call-queued", "smp.call"]);
    all_at_once(&mut bench, endpoint);
    row("donate.call");
    who_pays(&mut bench, endpoint);
}

/// Calls from all cores at once: those that come while the server works are queued, and each is served on its own core.
fn all_at_once(bench: &mut Bench, endpoint: Cap<libsel4::Endpoint>) {
    let callers: Vec<_> = (0..2 * bench.cores())
        .map(|index| {
            let core = index % bench.cores();
            bench.thread("caller", core, 100, move || {
                for turn in 0..30 {
                    let answer = endpoint.call(Message::new(turn).word(turn % 30));
                    assert_eq!((answer.label(), answer.get(0)), (turn + 1, core as u64));
                }
            })
        })
        .collect();
    bench.eventually("all calls", || {
        callers.iter().all(|caller| caller.is_finished())
    });
    for caller in callers {
        caller.join(&mut bench.system).unwrap();
    }
}

/// The time that the server works is charged to the caller's scheduling context.
fn who_pays(bench: &mut Bench, endpoint: Cap<libsel4::Endpoint>) {
    for core in 0..bench.cores() {
        let sc: Cap<SchedContext> = bench.sched_context(core);
        let (caller, gate) = bench.parked("caller", core, 100, move || {
            endpoint.call(Message::new(0).word(3_000));
        });
        sc.bind(caller.tcb()).unwrap();
        gate.signal();
        // The root task blocks meanwhile, so that nobody takes part in the server's three milliseconds.
        caller.join(&mut bench.system).unwrap();
        assert_eq!(SERVED_ON.load(Ordering::Relaxed), core as u64);
        let paid = sc.consumed().unwrap();
        assert!(
            paid >= Duration::from_micros(3_000),
            "only {paid:?} were charged"
        );
    }
}
