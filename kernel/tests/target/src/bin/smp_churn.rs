//! Threads are made and destroyed on all cores for a while: some run, some wait for messages or signals, some call each
//! other, and each is destroyed at whatever it does. The slowest core makes progress, and nothing is lost in the end.
//!
//! cores: 1 2 4
//! icount: both
//! timeout: 240

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use libsel4::{BootInfo, Message, Thread, root_task};
use tern_target_tests::rows::rows;
use tern_target_tests::sched::{Bench, exact_time, fpu_keeps};

root_task!(main, heap = 2 * 1024 * 1024);

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    let cores = bench.cores();
    let steady: Vec<_> = (0..cores).map(|core| bench.fpu_spinner(core, 20)).collect();
    let server = bench.passive_server("server", 0, 120, |received| Message::new(received.label()));
    let endpoint = server.endpoint;
    let nobody = bench.system.endpoint().unwrap();
    let silence = bench.system.notification().unwrap();
    let spare = bench.sched_context(cores - 1);
    rows(&["defect.184-1160-1333", "reply-chain.tcb.deleted"]);
    let (mut memory, mut slots) = (0, 0);
    let rounds = if exact_time() { 40 } else { 15 };
    for round in 0..rounds {
        if round == 2 {
            memory = bench.system.available_memory();
            slots = bench.system.available_slots();
        }
        let calls: Vec<&'static AtomicU64> = (0..cores)
            .map(|_| tern_target_tests::sched::counter())
            .collect();
        let threads: Vec<Thread<()>> = (0..cores * 4)
            .map(|index| {
                let core = (index + round) % cores;
                let count = calls[core];
                bench.thread("task", core, 100 - (index % 3) as u8, move || {
                    match index % 4 {
                        0 => loop {
                            assert!(fpu_keeps(index as u64, 50));
                            assert_eq!(endpoint.call(Message::new(9)).label(), 9);
                            count.fetch_add(1, Ordering::Relaxed);
                        },
                        1 => nobody.send(Message::new(1)),
                        2 => {
                            silence.wait();
                        }
                        _ => loop {
                            assert!(fpu_keeps(index as u64, 50));
                        },
                    }
                })
            })
            .collect();
        bench.eventually("every core's calls", || {
            calls.iter().enumerate().all(|(core, count)| {
                let caller =
                    (0..cores * 4).any(|index| index % 4 == 0 && (index + round) % cores == core);
                !caller || count.load(Ordering::Relaxed) > 5
            })
        });
        // In different orders, with what they own in between.
        for (index, thread) in threads.into_iter().enumerate() {
            if index % 3 == 0 {
                thread.suspend().unwrap();
            }
            thread.destroy(&mut bench.system).unwrap();
        }
        // A caller, with its context, may have gone while the server worked for it, which then has nothing to run on. It
        // gets something, comes to receive again, and is passive as before.
        spare.bind(server.thread.tcb()).unwrap();
        assert_eq!(endpoint.call(Message::new(8)).label(), 8);
        spare.unbind().unwrap();
        steady.iter().for_each(|spinner| bench.runs(spinner));
    }
    assert_eq!(bench.system.available_memory(), memory);
    assert_eq!(bench.system.available_slots(), slots);
}
