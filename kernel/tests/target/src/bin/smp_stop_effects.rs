//! What stopping a thread from another core does to it, and what not: its calls are done once each, it stays first among its
//! equals, and the time for which its core stands still is paid by who made it so.
//!
//! cores: 2 4
//! icount: both
//! timeout: 120

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use libsel4::{BootInfo, CapRights, Message, ThreadBuilder, root_task, time};
use tern_target_tests::rows::rows;
use tern_target_tests::sched::{Bench, LONG_SLICE, counter, exact_time};

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    rows(&["smp.restart", "defect.867-1029-1387-1421", "smp.serial"]);
    calls_are_done_once(&mut bench);
    rows(&["smp.stopped.head"]);
    for core in 1..bench.cores() {
        stays_first(&mut bench, core);
    }
    if exact_time() {
        rows(&["smp.stopped.charge", "defect.633-636-687.charge"]);
        for core in 1..bench.cores() {
            who_pays(&mut bench, core);
        }
    }
}

/// A thread on each core takes the next one's scheduling context away and gives it back, over and over, so that all of them
/// are stopped in the middle of that. None of these calls may be done twice: the second time would be an error. Nor may a
/// call of a server.
fn calls_are_done_once(bench: &mut Bench) {
    static TCBS: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];
    static CONTEXTS: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];
    let cores = bench.cores();
    let turns = 100;
    let start = bench.system.notification().unwrap();
    let done = counter();
    let slots: Vec<_> = (0..cores).map(|_| bench.system.slot().unwrap()).collect();
    let servers: Vec<_> = (0..cores)
        .map(|core| {
            let expected = counter();
            bench.active_server("server", core, 110, move |received| {
                assert_eq!(received.label(), expected.fetch_add(1, Ordering::Relaxed));
                Message::new(received.label() + 1)
            })
        })
        .collect();
    let threads: Vec<_> = (0..cores)
        .map(|core| {
            let (endpoint, slot) = (servers[core].endpoint, slots[core]);
            let builder = ThreadBuilder::new("thread").core(core).budget(LONG_SLICE);
            let thread = builder.spawn(&mut bench.system, move || {
                start.wait();
                let next = (core + 1) % cores;
                let tcb = libsel4::Tcb::at(TCBS[next].load(Ordering::Relaxed));
                let sc = libsel4::SchedContext::at(CONTEXTS[next].load(Ordering::Relaxed));
                for turn in 0..turns {
                    sc.unbind_thread(tcb).unwrap();
                    sc.bind(tcb).unwrap();
                    assert_eq!(endpoint.call(Message::new(turn)).label(), turn + 1);
                    slot.copy_from(&endpoint.slot(), CapRights::all()).unwrap();
                    slot.delete().unwrap();
                }
                done.fetch_add(1, Ordering::Relaxed);
                // The one before still takes its context.
                loop {
                    core::hint::spin_loop();
                }
            });
            let thread = thread.unwrap();
            CONTEXTS[core].store(thread.sched().unwrap().cap().bits(), Ordering::Relaxed);
            TCBS[core].store(thread.tcb().bits(), Ordering::Relaxed);
            thread
        })
        .collect();
    bench.settle(5_000);
    (0..cores).for_each(|_| {
        start.signal();
        bench.sleep(400);
    });
    bench.eventually("all turns", || done.load(Ordering::Relaxed) == cores as u64);
    for thread in threads {
        thread.destroy(&mut bench.system).unwrap();
    }
    for server in servers {
        server.thread.destroy(&mut bench.system).unwrap();
    }
}

/// An equal that is ready behind the stopped thread does not get its turn by that.
fn stays_first(bench: &mut Bench, core: usize) {
    let builder = ThreadBuilder::new("equal").core(core).budget(LONG_SLICE);
    let first = bench.spinner_with(builder.clone());
    bench.runs(&first);
    let second = bench.spinner_with(builder);
    for _ in 0..50 {
        first.thread.tcb().read_registers(false).unwrap();
        first.thread.tcb().set_tls_base(0).unwrap();
        bench.runs(&first);
    }
    assert_eq!(second.read(), 0, "the equal has run");
    first.thread.suspend().unwrap();
    bench.runs(&second);
    first.thread.destroy(&mut bench.system).unwrap();
    second.thread.destroy(&mut bench.system).unwrap();
}

/// A thread stops another all the time: it pays for that, and the stopped one only for what it ran, as its own count tells.
fn who_pays(bench: &mut Bench, core: usize) {
    const STOPS: u64 = 200;
    let builder = ThreadBuilder::new("stopped").core(core).budget(LONG_SLICE);
    let stopped = bench.spinner_with(builder);
    bench.runs(&stopped);
    let (tcb, sc) = (stopped.thread.tcb(), stopped.sc());
    // A thread is charged when it is stopped.
    let charged = || {
        tcb.read_registers(false).unwrap();
        sc.consumed().unwrap().as_micros() as u64
    };
    // How far it counts in a time that it has for itself.
    charged();
    let before = stopped.read();
    bench.sleep(20_000);
    let alone = charged();
    let counted = stopped.read() - before;
    assert!(alone > 5_000 && counted > 0, "{counted} in {alone} us");

    let builder = ThreadBuilder::new("stopper")
        .priority(200)
        .budget(LONG_SLICE);
    let (stopper, gate) = bench.gated(builder, move || {
        let begin = time::counter();
        for _ in 0..STOPS {
            tcb.read_registers(false).unwrap();
        }
        time::counter() - begin
    });
    let own = stopper.sched().unwrap().cap();
    charged();
    own.consumed().unwrap();
    let before = stopped.read();
    gate.signal();
    stopper.wait().unwrap();
    let paid = own.consumed().unwrap().as_micros() as u64;
    let left = charged();
    let ran = (stopped.read() - before) * alone / counted;
    let took = stopper.join(&mut bench.system).unwrap();
    let took = took * 1_000_000 / time::counter_frequency();
    assert!(paid.abs_diff(took) < 100, "{paid} us of {took}");
    // What it takes to stop and to go on is its own.
    let most = ran + ran / 5 + STOPS * 20;
    assert!(left <= most, "{left} us for {ran} us of work");
    stopped.thread.destroy(&mut bench.system).unwrap();
}
