//! A thread that does not run is moved by ConfigureFlags: while it is ready, waits for its next refill, is blocked on send,
//! receive, reply or a notification, or is suspended. Only its core changes; when its wait ends, it goes on there.
//!
//! cores: 2 4
//! icount: both
//! timeout: 120

#![no_std]
#![no_main]

use core::time::Duration;

use libsel4::{BootInfo, Budget, Message, Thread, ThreadBuilder, root_task, syscall};
use tern_target_tests::rows::rows;
use tern_target_tests::sched::{Bench, affinity, counter, fpu_keeps};

use core::sync::atomic::{AtomicU64, Ordering};

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    for from in 0..bench.cores() {
        let to = (from + 1) % bench.cores();
        for busy in [false, true] {
            let other = bench.fpu_spinner(to, 50);
            if !busy {
                other.thread.suspend().unwrap();
            }
            rows(&["smp.configure.blocked", "defect.138", "defect.sel4test-155"]);
            blocked_on_send(&mut bench, from, to);
            blocked_on_receive(&mut bench, from, to);
            blocked_on_reply(&mut bench, from, to);
            blocked_on_notification(&mut bench, from, to);
            suspended(&mut bench, from, to);
            rows(&["smp.configure.blocked", "refill.configure.schedules"]);
            ready(&mut bench, from, to);
            rows(&["smp.configure.blocked", "refill.configure.postpones"]);
            waits_for_refill(&mut bench, from, to);
            other.thread.destroy(&mut bench.system).unwrap();
        }
    }
}

/// A thread that sets a pattern in floating-point registers, does something that blocks, and counts once for that and once
/// more when it has found itself to be in order.
fn waiter(
    bench: &mut Bench,
    core: usize,
    mut block: impl FnMut() + Send + 'static,
) -> (Thread<()>, &'static AtomicU64) {
    let count = counter();
    let thread = bench.thread("waiter", core, 100, move || {
        assert!(fpu_keeps(42, 10));
        count.fetch_add(1, Ordering::Relaxed);
        block();
        assert!(fpu_keeps(42, 10));
        count.fetch_add(1, Ordering::Relaxed);
    });
    bench.eventually("the thread blocks", || count.load(Ordering::Relaxed) == 1);
    bench.settle(500);
    (thread, count)
}

/// Moves the blocked thread, ends its wait, and expects it to finish on the new core.
fn moved(
    bench: &mut Bench,
    (thread, count): (Thread<()>, &'static AtomicU64),
    to: usize,
    end_wait: impl FnOnce(),
) {
    bench.move_sc(thread.sched().unwrap().cap(), to);
    assert_eq!(affinity(thread.tcb()), to);
    bench.settle(500);
    assert_eq!(
        count.load(Ordering::Relaxed),
        1,
        "a move does not end a wait"
    );
    end_wait();
    bench.eventually("the moved thread goes on", || thread.is_finished());
    assert_eq!(affinity(thread.tcb()), to);
    thread.join(&mut bench.system).unwrap();
}

fn blocked_on_send(bench: &mut Bench, from: usize, to: usize) {
    let endpoint = bench.system.endpoint().unwrap();
    let thread = waiter(bench, from, move || endpoint.send(Message::new(7)));
    moved(bench, thread, to, || assert_eq!(endpoint.wait().label(), 7));
}

fn blocked_on_receive(bench: &mut Bench, from: usize, to: usize) {
    let endpoint = bench.system.endpoint().unwrap();
    let thread = waiter(bench, from, move || assert_eq!(endpoint.wait().label(), 8));
    moved(bench, thread, to, || endpoint.send(Message::new(8)));
}

fn blocked_on_reply(bench: &mut Bench, from: usize, to: usize) {
    let endpoint = bench.system.endpoint().unwrap();
    let reply = bench.system.reply().unwrap();
    let thread = waiter(bench, from, move || {
        assert_eq!(endpoint.call(Message::new(1)).label(), 9);
    });
    assert_eq!(endpoint.recv(reply).label(), 1);
    moved(bench, thread, to, || reply.send(Message::new(9)));
}

fn blocked_on_notification(bench: &mut Bench, from: usize, to: usize) {
    let notification = bench.system.notification().unwrap();
    let thread = waiter(bench, from, move || {
        notification.wait();
    });
    moved(bench, thread, to, || notification.signal());
}

fn suspended(bench: &mut Bench, from: usize, to: usize) {
    let spinner = bench.fpu_spinner(from, 100);
    bench.runs(&spinner);
    spinner.thread.suspend().unwrap();
    bench.move_sc(spinner.sc(), to);
    assert_eq!(spinner.core(), to);
    bench.rests(&spinner);
    spinner.thread.resume().unwrap();
    bench.runs(&spinner);
    assert_eq!(spinner.core(), to);
    spinner.thread.destroy(&mut bench.system).unwrap();
}

/// Ready behind a more important thread, which does not go along.
fn ready(bench: &mut Bench, from: usize, to: usize) {
    let spinner = bench.fpu_spinner(from, 100);
    bench.runs(&spinner);
    let hog = bench.spinner(from, 120);
    bench.runs(&hog);
    bench.rests(&spinner);
    bench.move_sc(spinner.sc(), to);
    bench.runs(&spinner);
    bench.runs(&hog);
    // And back, where it waits again.
    bench.move_sc(spinner.sc(), from);
    bench.rests(&spinner);
    hog.thread.destroy(&mut bench.system).unwrap();
    bench.runs(&spinner);
    spinner.thread.destroy(&mut bench.system).unwrap();
}

/// The thread has used its budget; the move does not give it another, and it comes back on the new core.
fn waits_for_refill(bench: &mut Bench, from: usize, to: usize) {
    let count = counter();
    let budget = Budget::periodic(Duration::from_millis(1), Duration::from_millis(20));
    let thread = ThreadBuilder::new("periodic")
        .core(from)
        .budget(budget)
        .spawn(&mut bench.system, move || {
            loop {
                count.fetch_add(1, Ordering::Relaxed);
                syscall::yield_now();
            }
        })
        .unwrap();
    bench.eventually("it runs", || count.load(Ordering::Relaxed) > 0);
    for core in [to, from, to] {
        let before = count.load(Ordering::Relaxed);
        bench.eventually("the next period", || count.load(Ordering::Relaxed) > before);
        let before = count.load(Ordering::Relaxed);
        thread.move_to(core).unwrap();
        let after = count.load(Ordering::Relaxed);
        assert!(after <= before + 1, "the move gave it a fresh budget");
        bench.eventually("it comes back", || {
            count.load(Ordering::Relaxed) > after + 1
        });
        assert_eq!(affinity(thread.tcb()), core);
    }
    thread.destroy(&mut bench.system).unwrap();
}
