//! When unused time is brought forward: at each switch to a context without the sporadic flag, at the wake-ups of its thread
//! with it. And that a thread that blocked has time when it wakes.
//!
//! The thread is woken at time 0 and kept from running by a more important one for most of a period. Then a context that is
//! brought up to date at the switch has one budget, and the next a period later. A sporadic one, brought up to date at time
//! 0, uses that budget and then, at once, the next, which is due at the end of the first period. Brought up to date at
//! neither, it would use still more, all that it missed while it was blocked.
//!
//! cores: 1 2

#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering};

use libsel4::{
    BootInfo, Cap, CapRights, Message, SchedContext, SlotPath, ThreadBuilder, root_task, syscall,
    time,
};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::{Bench, LONG_SLICE, Spinner, ticks};
use tern_target_tests::timeline::{Timeline, assert_pieces};

root_task!(main, heap = 8 << 20);

const BUDGET: u64 = 2_000;
const PERIOD: u64 = 10_000;
/// For so long it is kept from running.
const KEPT: u64 = 8_500;
const SLACK: u64 = 80;
const GAP: u64 = 200;

type Line = Timeline<4096>;

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    // Not another core: a busy one would delay the root task, since the emulated cores take turns.
    let core = 0;
    let hog = bench.spinner_with(
        ThreadBuilder::new("hog")
            .core(core)
            .priority(120)
            .budget(LONG_SLICE),
    );
    hog.thread.suspend().unwrap();
    rows(&["refill.when.constant", "refill.configure.sporadic"]);
    for wake in [resume, signal] {
        wake(&mut bench, &hog, false);
    }
    row("refill.when.sporadic");
    for wake in [resume, signal, receive, send, reply, bind, cancel, lend] {
        wake(&mut bench, &hog, true);
    }
    rows(&["refill.when.sporadic", "refill.configure.sporadic"]);
    flag_replaced(&mut bench, &hog);
    row("refill.when.sporadic-current");
    calls_while_current(&mut bench, &hog);
    row("refill.wake-ready");
    woken_at_once(&mut bench, core);
}

fn configure(bench: &Bench, core: usize, sc: Cap<SchedContext>, sporadic: bool) {
    bench
        .boot
        .sched_control(core)
        .configure_flags(sc, BUDGET, PERIOD, 0, 0, sporadic)
        .unwrap();
}

/// A thread on the hog's core that blocks and then notes when it runs. It is woken while the hog has the core.
fn scenario(
    bench: &mut Bench,
    hog: &Spinner,
    sporadic: bool,
    mut block: impl FnMut() + Send + 'static,
    wake: impl FnOnce(&mut Bench, &libsel4::Thread<()>),
) {
    let (line, core) = (Line::new(), hog.core());
    let builder = ThreadBuilder::new("subject").core(core);
    let (thread, gate) = bench.gated(builder, move || {
        block();
        line.record();
    });
    configure(bench, core, thread.sched().unwrap().cap(), sporadic);
    gate.signal();
    // For several periods it does not run.
    bench.sleep(4 * PERIOD);
    assert!(line.is_empty());
    check(bench, hog, line, sporadic, |bench| wake(bench, &thread));
    thread.destroy(&mut bench.system).unwrap();
}

fn check(
    bench: &mut Bench,
    hog: &Spinner,
    line: &'static Line,
    sporadic: bool,
    wake: impl FnOnce(&mut Bench),
) {
    hog.thread.resume().unwrap();
    bench.runs(hog);
    let origin = time::counter();
    wake(bench);
    bench.sleep(KEPT);
    hog.thread.suspend().unwrap();
    let begin = (time::counter() - origin) * 1_000_000 / time::counter_frequency();
    assert!((KEPT..PERIOD - 200).contains(&begin), "{begin} us");
    bench.sleep(5 * PERIOD);
    let expected = if sporadic {
        [
            (begin, 2 * BUDGET),
            (2 * PERIOD, BUDGET),
            (3 * PERIOD, BUDGET),
        ]
    } else {
        [
            (begin, BUDGET),
            (begin + PERIOD, BUDGET),
            (begin + 2 * PERIOD, BUDGET),
        ]
    };
    assert_pieces(&line.since(origin, GAP), &expected, SLACK);
}

fn resume(bench: &mut Bench, hog: &Spinner, sporadic: bool) {
    let nobody = bench.system.notification().unwrap();
    let slot = nobody.slot();
    // Resumed, it waits again, for something that has been signalled meanwhile.
    scenario(
        bench,
        hog,
        sporadic,
        move || {
            nobody.wait();
        },
        |_, thread| {
            thread.suspend().unwrap();
            syscall::signal(slot.index);
            thread.resume().unwrap();
        },
    );
}

fn signal(bench: &mut Bench, hog: &Spinner, sporadic: bool) {
    let wake = bench.system.notification().unwrap();
    let block = move || {
        wake.wait();
    };
    scenario(bench, hog, sporadic, block, |_, _| wake.signal());
}

fn receive(bench: &mut Bench, hog: &Spinner, sporadic: bool) {
    let endpoint = bench.system.endpoint().unwrap();
    let block = move || {
        endpoint.wait();
    };
    scenario(bench, hog, sporadic, block, |_, _| {
        endpoint.send(Message::new(0))
    });
}

fn send(bench: &mut Bench, hog: &Spinner, sporadic: bool) {
    let endpoint = bench.system.endpoint().unwrap();
    let block = move || endpoint.send(Message::new(0));
    scenario(bench, hog, sporadic, block, |_, _| {
        endpoint.wait();
    });
}

fn reply(bench: &mut Bench, hog: &Spinner, sporadic: bool) {
    let endpoint = bench.system.endpoint().unwrap();
    let reply = bench.system.reply().unwrap();
    let block = move || {
        endpoint.call(Message::new(0));
    };
    let server = bench.thread("receiver", 0, 130, move || {
        endpoint.recv(reply);
    });
    scenario(bench, hog, sporadic, block, |_, _| {
        reply.send(Message::new(0))
    });
    server.destroy(&mut bench.system).unwrap();
}

/// Taken away and bound again: a wake-up of a thread that is runnable.
fn bind(bench: &mut Bench, hog: &Spinner, sporadic: bool) {
    let wake = bench.system.notification().unwrap();
    let block = move || {
        wake.wait();
    };
    scenario(bench, hog, sporadic, block, |_, thread| {
        let sc = thread.sched().unwrap().cap();
        sc.unbind().unwrap();
        wake.signal();
        sc.bind(thread.tcb()).unwrap();
    });
}

/// The endpoint to which it sends goes; the send is done again, on a notification in the same slot.
fn cancel(bench: &mut Bench, hog: &Spinner, sporadic: bool) {
    let endpoint = bench.system.endpoint().unwrap();
    let notification = bench.system.notification().unwrap();
    let block = move || endpoint.send(Message::new(0));
    scenario(bench, hog, sporadic, block, move |_, _| {
        let slot: SlotPath = endpoint.slot();
        slot.delete().unwrap();
        slot.copy_from(&notification.slot(), CapRights::all())
            .unwrap();
    });
}

/// The context is a notification's, and lent by it.
fn lend(bench: &mut Bench, hog: &Spinner, sporadic: bool) {
    let (line, core) = (Line::new(), hog.core());
    let wake = bench.system.notification().unwrap();
    let ready = bench.system.notification().unwrap();
    let (thread, gate) = bench.parked("lent", core, 100, move || {
        syscall::nb_send_wait(ready.bits(), Message::new(0), wake.bits());
        line.record();
    });
    let sc = bench.sched_context(core);
    configure(bench, core, sc, sporadic);
    sc.bind(thread.tcb()).unwrap();
    sc.bind_notification(wake).unwrap();
    gate.signal();
    ready.wait();
    bench.sleep(4 * PERIOD);
    check(bench, hog, line, sporadic, |_| wake.signal());
    thread.destroy(&mut bench.system).unwrap();
    bench.system.destroy(sc).unwrap();
}

/// Configured with the flag, then without, and the other way round.
fn flag_replaced(bench: &mut Bench, hog: &Spinner) {
    for sporadic in [false, true] {
        let wake = bench.system.notification().unwrap();
        let block = move || {
            wake.wait();
        };
        scenario(bench, hog, !sporadic, block, |bench, thread| {
            // (Back to what the scenario expects.)
            let sc = thread.sched().unwrap().cap();
            configure(bench, hog.core(), sc, sporadic);
            configure(bench, hog.core(), sc, !sporadic);
            wake.signal();
        });
    }
}

/// Every answer wakes the thread while its context is the running one: that does not bring it up to date.
fn calls_while_current(bench: &mut Bench, hog: &Spinner) {
    let (line, core) = (Line::new(), hog.core());
    let server = bench.passive_server("server", core, 110, |_| Message::new(0));
    let (endpoint, wake) = (server.endpoint, bench.system.notification().unwrap());
    let builder = ThreadBuilder::new("calls").core(core);
    let (thread, gate) = bench.gated(builder, move || {
        wake.wait();
        // A call every now and then, so that there is room for all that it runs.
        let mut next = 0;
        line.record_while(|| {
            if time::counter() > next {
                endpoint.call(Message::new(0));
                next = time::counter() + ticks(50);
            }
            true
        });
    });
    configure(bench, core, thread.sched().unwrap().cap(), true);
    gate.signal();
    bench.sleep(4 * PERIOD);
    check(bench, hog, line, true, |_| wake.signal());
    thread.destroy(&mut bench.system).unwrap();
    server.thread.destroy(&mut bench.system).unwrap();
}

/// Woken by signals and messages at many phases of its period, after having used little or much, it never waits.
fn woken_at_once(bench: &mut Bench, core: usize) {
    let seen: &'static AtomicU64 = Box::leak(Box::new(AtomicU64::new(0)));
    let wake = bench.system.notification().unwrap();
    let builder = ThreadBuilder::new("prompt").core(core);
    let (thread, gate) = bench.gated(builder, move || {
        for turn in 1_u64.. {
            wake.wait();
            seen.store(time::counter(), Ordering::Relaxed);
            // Up to some 1.9 of 2 ms.
            let work = ticks(turn * 97 % 190 * 10);
            let begin = time::counter();
            while time::counter() - begin < work {}
        }
    });
    configure(bench, core, thread.sched().unwrap().cap(), false);
    gate.signal();
    let mut waited = 0;
    for turn in 1..60 {
        // Until it has blocked: it may have run out of its budget.
        bench.sleep(3_000 + turn * 131 % 7_000);
        let before = time::counter();
        wake.signal();
        bench.sleep(400);
        let at = seen.load(Ordering::Relaxed);
        if at < before {
            // It was still at work for the turn before, without budget, and had not blocked.
            waited += 1;
            bench.sleep(3 * PERIOD);
            continue;
        }
        assert!(
            at - before < ticks(100),
            "turn {turn}: it waited for {} ticks",
            at - before
        );
    }
    assert!(waited < 20, "it was out of budget {waited} times");
    thread.destroy(&mut bench.system).unwrap();
}
