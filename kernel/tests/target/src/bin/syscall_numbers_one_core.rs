//! Which numbers are system calls in a configuration for one core: the debug calls about cores are none.
//!
//! cores: 1
//! config: MAX_NUM_NODES=1

#![no_std]
#![no_main]

use libsel4::{BootInfo, System, root_task};
use tern_target_tests::calls::{is_unknown, numbers_work};
use tern_target_tests::objects::Puppet;
use tern_target_tests::rows::{row, rows};

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let puppet = Puppet::new(&mut system, 0, 100);
    row("syscall.number.debug-one-core");
    for number in -40_i64..=-18 {
        assert!(is_unknown(&puppet, number as u64), "{number}");
    }
    rows(&["syscall.number.debug", "syscall.number.dump-scheduler"]);
    for number in [-13_i64, -15, -16, -17] {
        assert!(!is_unknown(&puppet, number as u64), "{number}");
    }
    row("syscall.number.fixed");
    numbers_work(&mut system, &puppet);
}
