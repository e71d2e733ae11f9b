//! A thousand threads wait on one endpoint. Joining the queue costs the last one about what it cost the first; they are
//! served in order; and when the endpoint goes, all of them are sent away.
//!
//! cores: 1 2
//! timeout: 240

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::arch::naked_asm;

use libsel4::abi::{MessageInfo, Syscall, UserContext};
use libsel4::{BootInfo, Cap, ObjectType, Tcb, init, root_task, time};
use tern_target_tests::rows::rows;
use tern_target_tests::sched::Bench;

root_task!(main);

const WAITERS: usize = 1_000;

/// One system call with the registers as they are, over and over.
#[unsafe(naked)]
extern "C" fn system_call() {
    naked_asm!("1: svc #0", "b 1b")
}

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    let endpoint = bench.system.endpoint().unwrap();
    let sc = bench.sched_context(0);
    let memory = bench.system.untyped(21).unwrap();
    let threads: Vec<Cap<Tcb>> = (0..WAITERS)
        .map(|_| {
            let slot = bench.system.slot().unwrap();
            memory
                .retype_into(ObjectType::Tcb, 0, init::CNODE, slot.index)
                .unwrap();
            libsel4::Tcb::at(slot.index)
        })
        .collect();
    rows(&["tern.queues.bounded", "sched.wait.order"]);
    let mut costs = Vec::new();
    for (number, tcb) in threads.iter().enumerate() {
        tcb.configure(init::CNODE, 0, init::VSPACE, 0, None)
            .unwrap();
        tcb.set_sched_params(init::TCB, 0, 100 + (number % 10) as u8, Some(sc), None)
            .unwrap();
        let context = UserContext {
            pc: system_call as *const () as u64,
            x0: endpoint.bits(),
            x1: MessageInfo::new(number as u64, 0, 0, 0).0,
            x7: Syscall::Send as u64,
            ..UserContext::default()
        };
        tcb.write_registers(true, &context).unwrap();
        // It runs until it blocks, while the root task sleeps: what it is charged is the price of the call.
        sc.consumed().unwrap();
        let before = time::cycle_counter();
        bench.sleep(1_000);
        costs.push((sc.consumed().unwrap(), time::cycle_counter() - before));
        sc.unbind().unwrap();
    }
    let dearest =
        |range: core::ops::Range<usize>| costs[range].iter().map(|cost| cost.0).max().unwrap();
    let (first, last) = (dearest(20..120), dearest(WAITERS - 100..WAITERS));
    assert!(
        last <= first * 2 + core::time::Duration::from_micros(5),
        "{first:?}, then {last:?}"
    );
    // By priority, then in the order of arrival.
    let half = WAITERS / 2;
    for place in 0..half {
        let (priority, turn) = (9 - place / (WAITERS / 10), place % (WAITERS / 10));
        assert_eq!(endpoint.wait().label(), (10 * turn + priority) as u64);
    }
    // The others find the endpoint gone, and stop at a fault when they get time; some are destroyed as they wait.
    for tcb in &threads[..100] {
        tcb.slot().delete().unwrap();
    }
    bench.system.destroy(endpoint).unwrap();
    for tcb in &threads[100..] {
        tcb.suspend().unwrap();
        tcb.slot().delete().unwrap();
    }
    bench.system.destroy(memory).unwrap();
}
