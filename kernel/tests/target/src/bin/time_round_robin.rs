//! Round robin: equals of one core get equal shares, also when one of them spends its time in a passive server; and a slice
//! is not renewed by a move to another core.
//!
//! cores: 1 2 4
//! icount: both

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};

use libsel4::{BootInfo, Budget, Message, ThreadBuilder, root_task, time};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::{Bench, Spinner, counter, exact_time, ticks};

use core::time::Duration;

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    for core in 0..bench.cores() {
        rows(&[
            "sched.charge.round-robin",
            "sched.queue.slice-end",
            "sched.charge.ready",
        ]);
        shares(&mut bench, core);
        row("defect.1365");
        lent(&mut bench, core);
    }
    if bench.cores() > 1 {
        rows(&["tern.move.round-robin", "tern.move.charges-old-core"]);
        moved(&mut bench);
    }
}

const SLICE: Budget = Budget::RoundRobin {
    slice: Duration::from_millis(1),
};

fn consumed(spinner: &Spinner) -> u64 {
    spinner.thread.consumed().unwrap().as_micros() as u64
}

/// In kernel time: what each was charged.
fn shares(bench: &mut Bench, core: usize) {
    let builder = ThreadBuilder::new("equal").core(core).budget(SLICE);
    let threads: [_; 3] = core::array::from_fn(|_| bench.spinner_with(builder.clone()));
    threads.iter().for_each(|thread| bench.runs(thread));
    threads.iter().for_each(|thread| {
        consumed(thread);
    });
    bench.sleep(60_000);
    let used = threads.each_ref().map(consumed);
    let (least, most) = (used.iter().min().unwrap(), used.iter().max().unwrap());
    // In real time an emulated core may stand still in its slice, for as long as the host likes.
    let fair = if exact_time() {
        most - least <= 3_000
    } else {
        *least > 0
    };
    assert!(fair, "{used:?} microseconds each");
    for thread in threads {
        thread.thread.destroy(&mut bench.system).unwrap();
    }
}

/// A client that spends its slices in a server of the same priority does not get more than the others, nor less.
fn lent(bench: &mut Bench, core: usize) {
    let server = bench.passive_server("server", 0, 100, |_| {
        let start = time::counter();
        while time::counter() - start < ticks(700) {}
        Message::new(0)
    });
    let endpoint = server.endpoint;
    let builder = ThreadBuilder::new("equal").core(core).budget(SLICE);
    let equals: [_; 2] = core::array::from_fn(|_| bench.spinner_with(builder.clone()));
    let count = counter();
    let thread = builder.spawn(&mut bench.system, move || {
        loop {
            endpoint.call(Message::new(0));
            count.fetch_add(1, Ordering::Relaxed);
        }
    });
    let client = Spinner {
        thread: thread.unwrap(),
        count,
    };
    bench.runs(&client);
    equals.iter().for_each(|thread| bench.runs(thread));
    let all = [&equals[0], &equals[1], &client];
    all.iter().for_each(|thread| {
        consumed(thread);
    });
    bench.sleep(60_000);
    let used = all.map(consumed);
    let (least, most) = (used.iter().min().unwrap(), used.iter().max().unwrap());
    // In real time an emulated core may stand still in its slice, for as long as the host likes.
    let fair = if exact_time() {
        most - least <= 3_000
    } else {
        *least > 0
    };
    assert!(fair, "{used:?} microseconds each");
    client.thread.destroy(&mut bench.system).unwrap();
    for thread in equals {
        thread.thread.destroy(&mut bench.system).unwrap();
    }
    server.thread.destroy(&mut bench.system).unwrap();
}

/// A thread with a slice of 20 ms used 12 of them when it is moved beside an equal: it has 8 left, then the equal's turn is.
fn moved(bench: &mut Bench) {
    static LONGEST: AtomicU64 = AtomicU64::new(0);
    let slice = Budget::RoundRobin {
        slice: Duration::from_millis(20),
    };
    let equal = bench.spinner_with(ThreadBuilder::new("equal").core(1).budget(slice));
    bench.runs(&equal);
    let start = counter();
    let builder = ThreadBuilder::new("moved").core(0).budget(slice);
    let (thread, gate) = bench.gated(builder, move || {
        // The time from its first step on the new core to its first pause of more than a millisecond there.
        let (mut last, mut first) = (time::counter(), 0);
        loop {
            // In this order: a pause between the two is not part of the time there.
            let started = start.load(Ordering::Relaxed) != 0;
            let now = time::counter();
            if first == 0 && started {
                first = now;
            }
            if first != 0 && now - last > ticks(1_000) && last > first {
                LONGEST.store(last - first, Ordering::Relaxed);
                return;
            }
            last = now;
        }
    });
    // A fresh slice, of which about 12 ms are used.
    thread.move_to(0).unwrap();
    let sched = thread.sched().unwrap().cap();
    sched.consumed().unwrap();
    gate.signal();
    bench.sleep(12_000);
    let used = sched.consumed().unwrap().as_micros() as u64;
    thread.move_to(1).unwrap();
    start.store(1, Ordering::Release);
    // The equal one's slice ends first; then the moved one's rest.
    bench.eventually("the pause", || thread.is_finished());
    let longest = LONGEST.load(Ordering::Relaxed);
    assert!(
        longest < ticks(20_000 - used % 20_000 + 2_000) || !exact_time(),
        "it ran for {longest} ticks, after {used} us"
    );
    thread.destroy(&mut bench.system).unwrap();
    equal.thread.destroy(&mut bench.system).unwrap();
}
