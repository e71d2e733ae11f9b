//! A kernel with `TRACK_MASKED` keeps its longest stretches by the locks that were held: own, several, all.
//!
//! cores: 1 4
//! config: TRACK_MASKED=true

#![no_std]
#![no_main]

use core::arch::asm;

use libsel4::abi::debug_syscall::{BENCHMARK_MODES, BENCHMARK_RESET_LOG};
use libsel4::{BootInfo, CapRights, System, ThreadBuilder, init, root_task};

root_task!(main);

/// With interrupts masked and with locks held, of each mode.
fn read() -> [[u64; 2]; 3] {
    let mut longest = [0; 6];
    let [x0, x1, x2, x3, x4, x5] = &mut longest;
    // SAFETY: the call changes the registers that are named.
    unsafe {
        asm!(
            "svc #0",
            out("x0") *x0,
            out("x1") *x1,
            out("x2") *x2,
            out("x3") *x3,
            out("x4") *x4,
            out("x5") *x5,
            in("x7") BENCHMARK_MODES,
            options(nostack),
        );
    }
    let [local, set, all] = longest.as_chunks().0 else {
        unreachable!("six words");
    };
    [*local, *set, *all]
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let (go, back) = (
        system.notification().expect("a notification"),
        system.notification().expect("a notification"),
    );
    ThreadBuilder::new("other")
        .core(boot.cores() - 1)
        .spawn::<(), _>(&mut system, move || {
            loop {
                go.wait();
                back.signal();
            }
        })
        .expect("a thread");
    // Wakes a thread, which is on another core if there is one.
    go.signal();
    back.wait();
    let slot = system.slot().expect("a slot");
    slot.copy_from(&init::TCB.slot(), CapRights::all())
        .expect("to copy");
    let [local, set, all] = read();
    assert!(local[0] > local[1] && local[1] > 0, "{local:?}");
    if boot.cores() > 1 {
        assert!(set[0] > set[1] && set[1] > 0, "{set:?}");
        assert!(all[0] > all[1] && all[1] > 0, "{all:?}");
    } else {
        assert_eq!([set, all], [[0; 2]; 2]);
    }
    // They stay.
    // SAFETY: the call changes no register.
    unsafe { asm!("svc #0", in("x7") BENCHMARK_RESET_LOG, options(nostack)) };
    assert_eq!(read()[2], all);
}
