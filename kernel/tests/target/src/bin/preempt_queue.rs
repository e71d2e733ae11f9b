//! Ten thousand threads wait in one queue. Joining it costs the last one what it cost the first, and sending all of them
//! away, or those with one badge, does not keep interrupts masked for longer than with a few.
//!
//! cores: 1 2
//! config: TRACK_MASKED=true
//! config: ROOT_CNODE_SIZE_BITS=15
//! timeout: 240

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::time::Duration;

use libsel4::abi::{FaultKind, UserContext};
use libsel4::{BootInfo, Cap, CapRights, Endpoint, System, init, println, root_task, time};
use tern_target_tests::crowd::{Crowd, Funds, sender, waiter};
use tern_target_tests::masked;
use tern_target_tests::periodic::Periodic;
use tern_target_tests::rows::rows;

root_task!(main, heap = 4 << 20);

const THREADS: usize = 10_000;
/// How many of them are compared.
const SAMPLE: usize = 100;

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    init::TCB.set_priority(init::TCB, 100).expect("lower");
    let handler = system.endpoint().expect("an endpoint");
    let crowd = Crowd::new(&mut system, THREADS, Funds::Shared, handler);
    let periodic: Vec<Periodic> = (0..system.cores())
        .map(|core| Periodic::start(&mut system, core, Duration::from_millis(1)))
        .collect();

    let endpoint = system.endpoint().expect("an endpoint");
    let badges = [1, 2].map(|badge| {
        system
            .mint(endpoint, CapRights::all(), badge)
            .expect("a badge")
    });
    rows(&["preempt.queue.join", "defect.1736-1740"]);
    join(&crowd, |number| sender(badges[number % 2], number as u64));
    rows(&["preempt.queue.cancel-badged", "defect.1736-1740"]);
    during(&periodic, "cancel badged sends of one half", || {
        badges[0].slot().cancel_badged_sends().expect("cancelled");
    });
    first_is(endpoint, 1);
    rows(&["preempt.queue.delete-endpoint", "defect.1736-1740"]);
    during(&periodic, "delete of the endpoint", || {
        endpoint.slot().revoke().expect("revoked");
        endpoint.slot().delete().expect("deleted");
    });
    all_go_on(&crowd, handler, FaultKind::UserException);

    let notification = system.notification().expect("a notification");
    rows(&["preempt.queue.join-notification", "defect.1736-1740"]);
    join(&crowd, |_| waiter(notification));
    rows(&["preempt.queue.delete-notification", "defect.1736-1740"]);
    during(&periodic, "delete of the notification", || {
        notification.slot().delete().expect("deleted");
    });
    all_go_on(&crowd, handler, FaultKind::CapFault);
    periodic.into_iter().for_each(|one| one.end(&mut system));
}

/// All join a queue; the price of a thread's start does not depend on how many wait.
fn join(crowd: &Crowd, registers: impl Fn(usize) -> UserContext) {
    masked::reset();
    let mut costs = Vec::with_capacity(THREADS / SAMPLE);
    for start in (0..THREADS).step_by(SAMPLE) {
        let before = time::cycle_counter();
        for number in start..start + SAMPLE {
            crowd.queue_one(number, &registers(number));
        }
        costs.push(time::cycle_counter() - before);
    }
    // Not the first ones, which find no queue.
    let (early, late) = (costs[1], costs[costs.len() - 1]);
    println!("{SAMPLE} threads join: {early} cycles, the last ones {late}");
    assert!(late < early + early / 4, "joining a long queue costs more");
    let longest = masked::longest(0);
    println!("  {longest}");
    assert!(longest.whole < masked::LIMIT, "{longest}");
}

fn during(periodic: &[Periodic], what: &str, work: impl FnOnce()) {
    let runs = |count: u64| {
        for one in periodic {
            while one.runs() < count {
                core::hint::spin_loop();
            }
        }
    };
    periodic.iter().for_each(Periodic::restart);
    runs(5);
    masked::reset();
    work();
    let longest = masked::longest_of(periodic.len());
    runs(periodic.iter().map(Periodic::runs).max().expect("a core") + 2);
    println!("{what}\n  {longest}");
    assert!(longest.whole < masked::LIMIT, "{longest}");
    for one in periodic {
        let kept = one.kept();
        assert!(kept.late < one.period(), "a release was missed: {kept:?}");
        assert_eq!(kept.runs, kept.releases, "one run in each period");
    }
}

/// The first of those that still wait was not cancelled.
fn first_is(endpoint: Cap<Endpoint>, last_bit: u64) {
    let received = endpoint.wait();
    assert_eq!(
        received.label() & 1,
        last_bit,
        "a thread with the other badge"
    );
}

/// Nobody waits any more: given time, a thread finds its object gone. A send then fails silently and the thread goes on
/// to its next instruction; a wait is a fault itself.
fn all_go_on(crowd: &Crowd, handler: Cap<Endpoint>, fault: FaultKind) {
    for number in (0..THREADS).step_by(SAMPLE) {
        crowd.run_one(number);
        let received = handler.poll();
        assert_eq!(received.label(), fault as u64);
    }
}
