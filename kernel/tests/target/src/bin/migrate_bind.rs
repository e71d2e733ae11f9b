//! A thread changes core when it gets a scheduling context of another core: unbound from one that it runs on, while it runs,
//! is blocked or suspended, and bound to the next. And SetSchedParams does the same.
//!
//! cores: 2 4
//! icount: both
//! timeout: 120

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;

use libsel4::{BootInfo, Error, init, root_task};
use tern_target_tests::rows::rows;
use tern_target_tests::sched::{Bench, affinity};

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    rows(&[
        "sched.thread.passive",
        "smp.bind",
        "smp.affinity",
        "sched.thread.one-sc",
        "defect.sel4test-155",
    ]);
    let contexts: Vec<_> = (0..bench.cores())
        .map(|core| bench.sched_context(core))
        .collect();
    let mut spinner = bench.fpu_spinner(1, 100);
    bench.make_passive(&mut spinner.thread);
    assert_eq!(spinner.core(), 1, "unbinding does not change the core");
    bench.rests(&spinner);
    let tcb = spinner.thread.tcb();
    for busy in [false, true] {
        let others: Vec<_> = (0..bench.cores())
            .map(|core| bench.spinner(core, 50))
            .collect();
        if !busy {
            others
                .iter()
                .for_each(|other| other.thread.suspend().unwrap());
        }
        for (core, &sc) in contexts
            .iter()
            .enumerate()
            .chain(contexts.iter().enumerate().rev())
        {
            sc.bind(tcb).unwrap();
            assert_eq!(spinner.core(), core);
            bench.runs(&spinner);
            assert_eq!(sc.bind(tcb), Err(Error::IllegalOperation));
            match core % 3 {
                0 => sc.unbind().unwrap(),
                1 => sc.unbind_thread(tcb).unwrap(),
                _ => tcb.set_sched_params(init::TCB, 0, 100, None, None).unwrap(),
            }
            bench.rests(&spinner);
            assert_eq!(spinner.core(), core);
        }
        // Suspended, then bound elsewhere by SetSchedParams.
        for (core, &sc) in contexts.iter().enumerate() {
            tcb.suspend().unwrap();
            tcb.set_sched_params(init::TCB, 0, 100, Some(sc), None)
                .unwrap();
            assert_eq!(spinner.core(), core);
            bench.rests(&spinner);
            tcb.resume().unwrap();
            bench.runs(&spinner);
            sc.unbind().unwrap();
        }
        for other in others {
            other.thread.destroy(&mut bench.system).unwrap();
        }
    }
    rows(&["smp.bind", "smp.affinity"]);
    blocked(&mut bench, &contexts);
    moved_while_free(&mut bench, &contexts);
}

/// A blocked thread is bound to contexts of other cores, and wakes on the last one.
fn blocked(bench: &mut Bench, contexts: &[libsel4::Cap<libsel4::SchedContext>]) {
    for (core, &sc) in contexts.iter().enumerate() {
        let (thread, notification) = bench.parked("waiter", 0, 100, || ());
        for &other in contexts {
            other.bind(thread.tcb()).unwrap();
            other.unbind_thread(thread.tcb()).unwrap();
        }
        sc.bind(thread.tcb()).unwrap();
        notification.signal();
        bench.eventually("the waiter wakes", || thread.is_finished());
        assert_eq!(affinity(thread.tcb()), core);
        thread.join(&mut bench.system).unwrap();
    }
}

/// A free context is moved and then bound.
fn moved_while_free(bench: &mut Bench, contexts: &[libsel4::Cap<libsel4::SchedContext>]) {
    let mut spinner = bench.spinner(0, 100);
    bench.make_passive(&mut spinner.thread);
    for core in 0..bench.cores() {
        bench.move_sc(contexts[0], core);
        contexts[0].bind(spinner.thread.tcb()).unwrap();
        assert_eq!(spinner.core(), core);
        bench.runs(&spinner);
        contexts[0].unbind().unwrap();
    }
}
