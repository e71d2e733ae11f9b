//! A kernel with `BENCH_COUNTERS` counts waits for locks, where two cores really are in the kernel at once.
//!
//! cores: 2
//! icount: no
//! config: BENCH_COUNTERS=true

#![no_std]
#![no_main]

use core::arch::asm;

use libsel4::abi::debug_syscall::BENCHMARK_COUNTERS;
use libsel4::{BootInfo, CapRights, Message, System, ThreadBuilder, init, root_task, syscall};

root_task!(main);

fn lock_waits() -> u64 {
    let waits: u64;
    // SAFETY: the call changes the registers that are named.
    unsafe {
        asm!(
            "svc #0",
            out("x0") _,
            out("x1") waits,
            out("x2") _,
            out("x3") _,
            in("x7") BENCHMARK_COUNTERS,
            options(nostack),
        );
    }
    waits
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    ThreadBuilder::new("other")
        .core(1)
        .spawn::<(), _>(&mut system, || {
            loop {
                syscall::nb_send(0, Message::new(0));
            }
        })
        .expect("a thread");
    let slot = system.slot().expect("a slot");
    let before = lock_waits();
    while lock_waits() < before + 100 {
        // Takes the other core's lock too, which that one takes with every call.
        slot.copy_from(&init::TCB.slot(), CapRights::all())
            .expect("to copy");
        slot.delete().expect("to delete");
    }
}
