//! What is done from one core to threads that are ready on another: Configure, Bind, Resume and SetPriority put them at the
//! head of their queue there, as on the own core.
//!
//! cores: 2 4
//! icount: both

#![no_std]
#![no_main]

use libsel4::{BootInfo, Cap, Notification, Thread, ThreadBuilder, root_task};
use tern_target_tests::rows::rows;
use tern_target_tests::sched::{Bench, LONG_SLICE, Log, Spinner};

root_task!(main);

type Ready = [(Thread<()>, Cap<Notification>); 3];

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    let log = Log::new();
    rows(&[
        "sched.queue.priority",
        "sched.queue.configure",
        "sched.queue.bind",
        "sched.queue.resume",
        "tern.wake.fifo",
    ]);
    for core in 1..bench.cores() {
        let hog = bench.spinner(core, 120);
        let case = |bench: &mut Bench, name: &str, expected: &[u64], act: fn(&Bench, &Ready)| {
            let threads = ready(bench, &hog, core, log);
            act(bench, &threads);
            assert!(log.is_empty());
            hog.thread.suspend().unwrap();
            bench.eventually(name, || log.len() == 3);
            log.take(expected);
            for (thread, _) in threads {
                thread.join(&mut bench.system).unwrap();
            }
        };
        case(&mut bench, "as signalled", &[0, 1, 2], |_, _| ());
        case(&mut bench, "priority", &[2, 0, 1], |_, threads| {
            threads[2].0.set_priority(100).unwrap();
        });
        case(&mut bench, "configured", &[2, 0, 1], |bench, threads| {
            let thread = &threads[2].0;
            bench.move_unsliced(thread.sched().unwrap().cap(), thread.affinity().unwrap());
        });
        case(&mut bench, "bound", &[2, 0, 1], |_, threads| {
            let thread = &threads[2].0;
            let sc = thread.sched().unwrap().cap();
            sc.unbind().unwrap();
            sc.bind(thread.tcb()).unwrap();
        });
        case(&mut bench, "resumed", &[2, 0, 1], |_, threads| {
            threads[2].0.suspend().unwrap();
            threads[2].0.resume().unwrap();
        });
        // From this core to the other.
        case(&mut bench, "moved", &[1, 2, 0], |bench, threads| {
            let thread = &threads[1].0;
            let (sc, core) = (thread.sched().unwrap().cap(), thread.affinity().unwrap());
            thread.suspend().unwrap();
            bench.move_unsliced(sc, 0);
            thread.resume().unwrap();
            let other = threads[2].0.sched().unwrap().cap();
            bench.move_unsliced(other, core);
            bench.move_unsliced(sc, core);
        });
        hog.thread.destroy(&mut bench.system).unwrap();
    }
}

/// Three threads that are ready, in this order, below a thread that has the core.
fn ready(bench: &mut Bench, hog: &Spinner, core: usize, log: &'static Log) -> Ready {
    hog.thread.suspend().unwrap();
    let threads = core::array::from_fn(|index| {
        let builder = ThreadBuilder::new("ready").core(core).budget(LONG_SLICE);
        bench.gated(builder, move || log.push(index as u64))
    });
    hog.thread.resume().unwrap();
    bench.runs(hog);
    for (_, gate) in &threads {
        gate.signal();
    }
    threads
}
