//! A thread loses its scheduling context while its bound notification is active. The signal is not lost: when the thread gets
//! time again, its next receive returns it. The same when it is the notification that lends the time.
//!
//! cores: 1 2 4
//! icount: both

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};

use libsel4::{BootInfo, CapRights, root_task};
use tern_target_tests::rows::rows;
use tern_target_tests::sched::Bench;

root_task!(main);

static SEEN: AtomicU64 = AtomicU64::new(0);
static MAY: AtomicU64 = AtomicU64::new(0);
static TURN: AtomicU64 = AtomicU64::new(0);

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    rows(&[
        "defect.1617",
        "defect.sel4test-155",
        "ntfn-sc.receive-returns",
        "ntfn-sc.in-use",
    ]);
    for core in 0..bench.cores() {
        for other in 0..bench.cores() {
            unbound(&mut bench, core, other);
        }
    }
}

fn unbound(bench: &mut Bench, core: usize, other: usize) {
    for store in [&SEEN, &MAY, &TURN] {
        store.store(0, Ordering::Relaxed);
    }
    let endpoint = bench.system.endpoint().unwrap();
    let reply = bench.system.reply().unwrap();
    let plain = bench.system.notification().unwrap();
    let badged = bench.system.mint(plain, CapRights::all(), 4).unwrap();
    let mut thread = bench.thread("bound", core, 100, move || {
        for turn in 1..=3 {
            TURN.store(turn, Ordering::Relaxed);
            while MAY.load(Ordering::Relaxed) < turn {}
            SEEN.fetch_add(endpoint.recv(reply).badge, Ordering::Relaxed);
        }
    });
    thread.tcb().bind_notification(plain).unwrap();
    bench.eventually("it runs", || TURN.load(Ordering::Relaxed) == 1);
    // Active, then unbound while it runs; a new context on another core.
    badged.signal();
    bench.make_passive(&mut thread);
    let sc = bench.sched_context(other);
    MAY.store(1, Ordering::Relaxed);
    bench.settle(500);
    assert_eq!(SEEN.load(Ordering::Relaxed), 0);
    sc.bind(thread.tcb()).unwrap();
    bench.eventually("the signal", || SEEN.load(Ordering::Relaxed) == 4);
    bench.eventually("the next turn", || TURN.load(Ordering::Relaxed) == 2);
    // The same, but the notification has the new context, and is signalled once more.
    sc.unbind().unwrap();
    badged.signal();
    sc.bind_notification(plain).unwrap();
    MAY.store(2, Ordering::Relaxed);
    badged.signal();
    bench.settle(500);
    assert_eq!(SEEN.load(Ordering::Relaxed), 4);
    // It does not wait, so the context does not help it before it is bound.
    sc.bind(thread.tcb()).unwrap();
    bench.eventually("the signals", || SEEN.load(Ordering::Relaxed) == 8);
    bench.eventually("the next turn", || TURN.load(Ordering::Relaxed) == 3);
    // Now it blocks in the receive, which gives the context back to the notification.
    MAY.store(3, Ordering::Relaxed);
    bench.eventually("it has given the context back", || {
        sc.bind(thread.tcb())
            .and_then(|()| sc.unbind_thread(thread.tcb()))
            .is_ok()
    });
    badged.signal();
    bench.eventually("the last signal", || thread.is_finished());
    assert_eq!(SEEN.load(Ordering::Relaxed), 12);
    sc.unbind().unwrap();
    thread.join(&mut bench.system).unwrap();
}
