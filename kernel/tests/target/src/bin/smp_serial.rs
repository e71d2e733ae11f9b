//! Threads of all cores at the same objects: each result is that of some order of their calls, one clock serves all of them,
//! and what a thread wrote before it handed something over is there for who gets it. (On a host whose memory is ordered more
//! strongly than Arm's an emulator shows less of the last than hardware does.)
//!
//! cores: 2 4
//! icount: both
//! timeout: 120
//! expect: 0x123456    0    0  -
//! expect: 0x123456    0    1  -

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use libsel4::{
    BootInfo, Cap, CapRights, Error, Message, Notification, Tcb, UserContext, debug, root_task,
    time,
};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::{Bench, affinity, counter, exact_time};

root_task!(main);

const WORDS: usize = 64;

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    row("smp.affinity-call");
    where_it_is(&mut bench);
    rows(&["smp.serial", "tern.entries.parallel"]);
    one_winner(&mut bench);
    signals_add_up(&mut bench);
    row("sched.time.one-clock");
    one_clock(&mut bench);
    row("defect.199-205-206-207-1385");
    handed_over(&mut bench, false);
    handed_over(&mut bench, true);
}

fn rounds() -> u64 {
    if exact_time() { 1_000 } else { 300 }
}

fn where_it_is(bench: &mut Bench) {
    let tcb = bench.system.object::<Tcb>().unwrap();
    let context = UserContext {
        pc: 0x12_3456,
        ..UserContext::default()
    };
    tcb.write_registers(false, &context).unwrap();
    for core in 0..bench.cores() {
        let sc = bench.sched_context(core);
        sc.bind(tcb).unwrap();
        assert_eq!(affinity(tcb), core);
        debug::dump_scheduler();
        sc.unbind().unwrap();
        assert_eq!(affinity(tcb), core);
    }
}

/// All copy into one slot, and whoever was first deletes it again. Nobody else gets anything but "occupied".
fn one_winner(bench: &mut Bench) {
    let slot = bench.system.slot().unwrap();
    let source = bench.system.endpoint().unwrap();
    let (won, held) = (counter(), counter());
    let threads: Vec<_> = (0..bench.cores())
        .map(|core| {
            bench.thread("racer", core, 100, move || {
                for _ in 0..rounds() {
                    match slot.copy_from(&source.slot(), CapRights::all()) {
                        Ok(()) => {
                            // Nobody has it between this and the deletion.
                            assert_eq!(held.fetch_add(1, Ordering::Relaxed), 0);
                            won.fetch_add(1, Ordering::Relaxed);
                            assert_eq!(held.fetch_sub(1, Ordering::Relaxed), 1);
                            slot.delete().unwrap();
                        }
                        Err(error) => assert_eq!(error, Error::DeleteFirst),
                    }
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join(&mut bench.system).unwrap();
    }
    assert!(won.load(Ordering::Relaxed) > 0);
    assert_eq!(held.load(Ordering::Relaxed), 0);
}

/// Signals of all cores to one notification: each bit is seen after it was sent, and none that was not.
fn signals_add_up(bench: &mut Bench) {
    let plain = bench.system.notification().unwrap();
    let cores = bench.cores();
    let answers: Vec<_> = (0..cores)
        .map(|_| bench.system.notification().unwrap())
        .collect();
    let badged: Vec<_> = (0..cores)
        .map(|core| {
            bench
                .system
                .mint(plain, CapRights::all(), 1 << core)
                .unwrap()
        })
        .collect();
    let seen: Vec<_> = (0..cores).map(|_| counter()).collect();
    let collector = {
        let (answers, seen) = (answers.clone(), seen.clone());
        bench.thread("collector", 0, 110, move || {
            let mut left = cores as u64 * rounds();
            while left > 0 {
                let word = plain.wait();
                assert!(word != 0 && word < 1 << cores);
                for core in (0..cores).filter(|core| word & 1 << core != 0) {
                    seen[core].fetch_add(1, Ordering::Relaxed);
                    answers[core].signal();
                    left -= 1;
                }
            }
        })
    };
    let threads: Vec<_> = (0..cores)
        .map(|core| {
            let (signal, answer) = (badged[core], answers[core]);
            bench.thread("signaller", core, 100, move || {
                for _ in 0..rounds() {
                    signal.signal();
                    answer.wait();
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join(&mut bench.system).unwrap();
    }
    collector.join(&mut bench.system).unwrap();
    for count in seen {
        assert_eq!(count.load(Ordering::Relaxed), rounds());
    }
}

/// A token goes round all cores; nobody reads an earlier time than who had it before.
fn one_clock(bench: &mut Bench) {
    let cores = bench.cores();
    let places: Vec<Cap<Notification>> = (0..cores)
        .map(|_| bench.system.notification().unwrap())
        .collect();
    let latest = counter();
    let threads: Vec<_> = (0..cores)
        .map(|core| {
            let (here, next) = (places[core], places[(core + 1) % cores]);
            bench.thread("clock", core, 100, move || {
                for _ in 0..rounds() {
                    here.wait();
                    let now = time::counter();
                    let before = latest.swap(now, Ordering::Relaxed);
                    assert!(now >= before, "{now} after {before}");
                    next.signal();
                }
            })
        })
        .collect();
    places[0].signal();
    for thread in threads {
        thread.join(&mut bench.system).unwrap();
    }
}

/// Plain words, written before a signal or a call by one core and read after it by another. Only the kernel's work lies in
/// between, so its locks are what orders them.
fn handed_over(bench: &mut Bench, by_call: bool) {
    static SHARED: [AtomicU64; WORDS] = [const { AtomicU64::new(0) }; WORDS];
    let last = bench.cores() - 1;
    let [there, back] = [(); 2].map(|()| bench.system.notification().unwrap());
    let check = |turn: u64| {
        for (index, word) in SHARED.iter().enumerate() {
            assert_eq!(word.load(Ordering::Relaxed), turn, "word {index}");
        }
    };
    let write = |turn: u64| {
        for word in &SHARED {
            word.store(turn, Ordering::Relaxed);
        }
    };
    let server = bench.active_server("reader", last, 100, move |received| {
        check(received.label());
        write(received.label() + 1);
        Message::new(0)
    });
    let endpoint = server.endpoint;
    let echo = bench.thread("echo", last, 100, move || {
        for turn in 0..rounds() {
            there.wait();
            check(2 * turn);
            write(2 * turn + 1);
            back.signal();
        }
    });
    let writer = bench.thread("writer", 0, 100, move || {
        for turn in 0..rounds() {
            write(2 * turn);
            if by_call {
                endpoint.call(Message::new(2 * turn));
            } else {
                there.signal();
                back.wait();
            }
            check(2 * turn + 1);
        }
    });
    writer.join(&mut bench.system).unwrap();
    echo.destroy(&mut bench.system).unwrap();
    server.thread.destroy(&mut bench.system).unwrap();
}
