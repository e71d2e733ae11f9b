//! `BOOT_THREAD_TIME_SLICE` is the root task's time slice in milliseconds, and `KERNEL_WCET_SCALE` scales the smallest
//! budget.
//!
//! config: BOOT_THREAD_TIME_SLICE=2
//! config: KERNEL_WCET_SCALE=3

#![no_std]
#![no_main]

use libsel4::{BootInfo, Error, System, root_task};
use tern_target_tests::builds::root_slice;
use tern_target_tests::rows::row;

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    row("build.config.time-slice");
    let micros = root_slice(&mut system);
    assert!((1950..=2050).contains(&micros), "{micros} us");
    row("build.config.wcet-scale");
    let sc = system.sched_context(0).expect("a scheduling context");
    let configure = |budget| boot.sched_control(0).configure(sc, budget, 1000, 0, 0);
    assert!(matches!(
        configure(59),
        Err(Error::RangeError { min: 60, .. })
    ));
    assert_eq!(configure(60), Ok(()));
}
