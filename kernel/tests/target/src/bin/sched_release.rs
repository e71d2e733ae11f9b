//! Threads that wait for refills: by time, and in turn where the times are the same; who never waits; and what a wake-up does
//! to one that does.
//!
//! cores: 1 2

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;

use libsel4::{
    BootInfo, Cap, CapRights, Message, SchedContext, Thread, ThreadBuilder, root_task, syscall,
    time,
};
use tern_target_tests::rows::row;
use tern_target_tests::sched::{Bench, LONG_SLICE, Log, counter, ticks};

use core::sync::atomic::Ordering;

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    by_time(&mut bench);
    in_turn(&mut bench);
    round_robin_never(&mut bench);
    waiting_is_not_woken(&mut bench);
}

fn configure(bench: &Bench, sc: Cap<SchedContext>, budget: u64, period: u64, sporadic: bool) {
    bench
        .boot
        .sched_control(0)
        .configure_flags(sc, budget, period, 0, 0, sporadic)
        .unwrap();
}

fn sc_of<T>(thread: &Thread<T>) -> Cap<SchedContext> {
    thread.sched().unwrap().cap()
}

/// They give up their budgets in one order, and come back in that of their periods.
fn by_time(bench: &mut Bench) {
    row("sched.release.order");
    let log = Log::new();
    let periods = [70_000, 20_000, 50_000, 30_000, 60_000, 40_000];
    let threads: Vec<_> = (0..)
        .zip(periods)
        .map(|(number, period)| {
            let builder = ThreadBuilder::new("waits");
            let (thread, gate) = bench.gated(builder, move || {
                log.push(number);
                syscall::yield_now();
                log.push(number + 10);
            });
            configure(bench, sc_of(&thread), 1_000, period, false);
            gate.signal();
            thread
        })
        .collect();
    for thread in threads {
        thread.join(&mut bench.system).unwrap();
    }
    log.take(&[0, 1, 2, 3, 4, 5, 11, 13, 15, 12, 14, 10]);
}

/// Sporadic threads that one event wakes have refills from the very same time. They give them up in turn, and when all are
/// due again, in one entry, each is put before the one that was taken from the queue before it.
fn in_turn(bench: &mut Bench) {
    row("sched.release.fifo");
    let (log, latest, earliest) = (Log::new(), counter(), counter());
    earliest.store(u64::MAX, Ordering::Relaxed);
    let endpoint = bench.system.endpoint().unwrap();
    let notification = bench.system.notification().unwrap();
    let threads: Vec<_> = (0..5)
        .map(|number| {
            let (thread, gate) = bench.gated(ThreadBuilder::new("equal"), move || {
                // The endpoint goes, and the send is done again on what is in the slot by then.
                endpoint.send(Message::new(0));
                log.push(number);
                syscall::yield_now();
                log.push(number);
                latest.fetch_max(time::counter(), Ordering::Relaxed);
                earliest.fetch_min(time::counter(), Ordering::Relaxed);
            });
            configure(bench, sc_of(&thread), 1_000, 50_000, true);
            gate.signal();
            thread
        })
        .collect();
    // So long that what they used until they blocked has come back, and each has one refill when it is woken.
    bench.sleep(60_000);
    let slot = endpoint.slot();
    slot.delete().unwrap();
    slot.copy_from(&notification.slot(), CapRights::all())
        .unwrap();
    for thread in threads {
        thread.join(&mut bench.system).unwrap();
    }
    let order: Vec<u64> = (0..log.len()).map(|index| log.get(index)).collect();
    let (first, second) = order.split_at(5);
    let mut reversed = first.to_vec();
    reversed.reverse();
    assert_eq!(second, reversed);
    let spread = latest.load(Ordering::Relaxed) - earliest.load(Ordering::Relaxed);
    assert!(
        spread < ticks(1_000),
        "they were not due at once: {spread} ticks"
    );
}

/// Whatever it uses and gives up, it is only put behind its equals.
fn round_robin_never(bench: &mut Bench) {
    row("sched.release.round-robin");
    let builder = ThreadBuilder::new("round");
    let (thread, gate) = bench.gated(builder, || {
        let begin = time::counter();
        for _ in 0..1_000 {
            syscall::yield_now();
        }
        time::counter() - begin
    });
    // A small slice.
    configure(bench, sc_of(&thread), 100, 100, false);
    gate.signal();
    let took = thread.join(&mut bench.system).unwrap();
    assert!(took < ticks(10_000), "{took} ticks for a thousand times");
}

/// A signal ends its wait for the signal, but not that for its refill: it is runnable, and runs when that is due.
fn waiting_is_not_woken(bench: &mut Bench) {
    row("sched.switch.waiting");
    let (went_on, wake) = (counter(), bench.system.notification().unwrap());
    let server = bench.passive_server("server", 0, 120, |_| Message::new(0));
    let endpoint = server.endpoint;
    let builder = ThreadBuilder::new("late");
    let (thread, gate) = bench.gated(builder, move || {
        // The rest of the budget is given up in the server's stead, so that the thread is blocked without.
        endpoint.call(Message::new(0));
        syscall::yield_now();
        wake.wait();
        went_on.store(time::counter(), Ordering::Relaxed);
    });
    configure(bench, sc_of(&thread), 2_000, 30_000, false);
    let begin = time::counter();
    gate.signal();
    bench.sleep(3_000);
    // It waits for its refill now, and resuming what is runnable does nothing.
    wake.signal();
    thread.resume().unwrap();
    thread.set_priority(150).unwrap();
    bench.sleep(10_000);
    assert_eq!(went_on.load(Ordering::Relaxed), 0);
    // Nor does suspending and resuming it.
    thread.suspend().unwrap();
    thread.resume().unwrap();
    bench.sleep(5_000);
    assert_eq!(went_on.load(Ordering::Relaxed), 0);
    thread.wait().unwrap();
    let passed = went_on.load(Ordering::Relaxed) - begin;
    assert!(
        (ticks(29_900)..ticks(30_300)).contains(&passed),
        "{passed} ticks"
    );
    thread.destroy(&mut bench.system).unwrap();
    server.thread.destroy(&mut bench.system).unwrap();
    let (other, other_gate) = bench.gated(ThreadBuilder::new("after").budget(LONG_SLICE), || ());
    other_gate.signal();
    other.join(&mut bench.system).unwrap();
}
