//! A kernel with `BENCH_COUNTERS` counts doorbells, waits for locks and entries with all locks, and counts anew when it is
//! told to; the calls that need `TRACK_MASKED` are not there for that.
//!
//! config: BENCH_COUNTERS=true

#![no_std]
#![no_main]

use core::arch::asm;

use libsel4::abi::debug_syscall::{
    BENCHMARK_COUNTERS, BENCHMARK_FINALIZE_LOG, BENCHMARK_RESET_LOG,
};
use libsel4::{BootInfo, CapRights, Message, System, init, root_task, syscall};
use tern_target_tests::calls::is_unknown;
use tern_target_tests::objects::Puppet;

root_task!(main);

/// Doorbells, waits for locks, entries with all locks, longest time that locks were held.
fn read() -> [u64; 4] {
    let mut counts = [0; 4];
    let [sgi, waits, all, held] = &mut counts;
    // SAFETY: the call changes the registers that are named.
    unsafe {
        asm!(
            "svc #0",
            out("x0") *sgi,
            out("x1") *waits,
            out("x2") *all,
            out("x3") *held,
            in("x7") BENCHMARK_COUNTERS,
            options(nostack),
        );
    }
    counts
}

fn reset() {
    // SAFETY: the call changes no register.
    unsafe { asm!("svc #0", in("x7") BENCHMARK_RESET_LOG, options(nostack)) };
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let last = boot.cores() - 1;
    let puppet = Puppet::new(&mut system, last, 100);
    assert!(is_unknown(&puppet, BENCHMARK_FINALIZE_LOG as u64));

    // What asks for counts is not counted, nor are calls that stay on their core.
    reset();
    for _ in 0..10 {
        syscall::nb_send(0, Message::new(0));
    }
    assert_eq!(read(), [0; 4]);
    // What changes the structure takes all locks. With one core there is no such thing.
    let slot = system.slot().expect("a slot");
    slot.copy_from(&puppet.tcb.slot(), CapRights::all())
        .expect("to copy");
    let several = u64::from(boot.cores() > 1);
    assert_eq!(read(), [0, 0, several, 0]);
    reset();
    assert_eq!(read(), [0; 4]);

    // A thread that becomes able to run on an idle core rings it, once; here nobody is rung.
    let context = puppet.sched.cap();
    context.unbind().expect("to unbind");
    puppet.tcb.resume().expect("to resume");
    init::TCB.set_priority(init::TCB, 200).expect("above it");
    reset();
    context.bind(puppet.tcb).expect("to bind");
    let [sgi, waits, all, _] = read();
    let rung = u64::from(last > 0);
    assert_eq!((sgi, waits), (rung, 0));
    // Binding takes the locks of two cores, which are all if there are no more; and under this emulator the other core
    // may have come in already.
    assert!(all <= 3 * several, "{all} entries");
    puppet.tcb.suspend().expect("to suspend");
}
