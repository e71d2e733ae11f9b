//! Senders and receivers wait in an endpoint by descending priority, first in first out among equals, also when priorities
//! change while they wait, or somebody in the middle goes; and CancelBadgedSends lets exactly those of a badge send again.
//!
//! cores: 1 2 4
//! icount: both

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;

use libsel4::{BootInfo, Cap, CapRights, Endpoint, Error, Message, Thread, root_task};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::{Bench, Log};

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    row("ipc.queue.order");
    rows(&["sched.wait.order", "sched.priority.blocked"]);
    senders(&mut bench);
    receivers(&mut bench);
    row("ipc.queue.sender.cancelled");
    cancelled(&mut bench);
}

/// Threads that send their number, queued in the order given, on all cores in turn.
fn queue_up(bench: &mut Bench, endpoint: Cap<Endpoint>, priorities: &[u8]) -> Vec<Thread<()>> {
    let cores = bench.cores();
    let threads = priorities.iter().enumerate().map(|(number, &priority)| {
        let thread = bench.thread("sender", number % cores, priority, move || {
            endpoint.send(Message::new(number as u64));
        });
        bench.settle(5_000);
        thread
    });
    threads.collect()
}

fn senders(bench: &mut Bench) {
    let endpoint = bench.system.endpoint().unwrap();
    let threads = queue_up(bench, endpoint, &[100, 120, 100, 110, 120, 90, 100]);
    // 1 4 | 3 | 0 2 6 | 5
    threads[3].set_priority(100).unwrap();
    // 1 4 | 0 2 6 3 | 5
    threads[0].set_priority(100).unwrap();
    // 1 4 | 2 6 3 0 | 5: it is taken out and put behind its equals.
    threads[5].set_priority(130).unwrap();
    threads[6].suspend().unwrap();
    let expected = [5, 1, 4, 2, 3, 0];
    for number in expected {
        assert_eq!(endpoint.wait().label(), number);
    }
    threads[6].resume().unwrap();
    assert_eq!(endpoint.wait().label(), 6);
    for thread in threads {
        thread.join(&mut bench.system).unwrap();
    }
}

fn receivers(bench: &mut Bench) {
    let endpoint = bench.system.endpoint().unwrap();
    let log = Log::new();
    let cores = bench.cores();
    let priorities = [100, 130, 100, 120, 130];
    let threads: [_; 5] = core::array::from_fn(|index| {
        let thread = bench.thread("receiver", index % cores, priorities[index], move || {
            log.push(10 * endpoint.wait().label() + index as u64);
        });
        bench.settle(5_000);
        thread
    });
    threads[2].set_priority(125).unwrap();
    for label in 1..=5 {
        endpoint.nb_send(Message::new(label));
        bench.eventually("a receiver", || log.len() == label as usize);
    }
    log.take(&[11, 24, 32, 43, 50]);
    for thread in threads {
        thread.join(&mut bench.system).unwrap();
    }
}

fn cancelled(bench: &mut Bench) {
    let endpoint = bench.system.endpoint().unwrap();
    let [five, six] = [5, 6].map(|badge| {
        bench
            .system
            .mint(endpoint, CapRights::all(), badge)
            .unwrap()
    });
    let cores = bench.cores();
    let threads: [_; 6] = core::array::from_fn(|index| {
        let cap = [five, six, endpoint][index % 3];
        let thread = bench.thread("sender", index % cores, 100, move || {
            cap.send(Message::new(index as u64));
        });
        bench.settle(5_000);
        thread
    });
    // Without badge: success, and nothing happens. Without all rights: refused.
    endpoint.slot().cancel_badged_sends().unwrap();
    let poor = bench.system.mint(endpoint, CapRights::NO_READ, 5).unwrap();
    assert_eq!(
        poor.slot().cancel_badged_sends(),
        Err(Error::IllegalOperation)
    );
    // Those with badge 5 send again, behind the others.
    five.slot().cancel_badged_sends().unwrap();
    bench.settle(5_000);
    let order: [(u64, u64); 6] = core::array::from_fn(|_| {
        let received = endpoint.wait();
        (received.badge, received.label())
    });
    assert_eq!(order[..4], [(6, 1), (0, 2), (6, 4), (0, 5)]);
    let mut last = [order[4], order[5]];
    last.sort_unstable();
    assert_eq!(last, [(5, 0), (5, 3)]);
    for thread in threads {
        thread.join(&mut bench.system).unwrap();
    }
}
