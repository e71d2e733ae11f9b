//! Which numbers are system calls without debugging and printing: those of the interface alone.
//!
//! cores: 1 2
//! config: DEBUG_BUILD=false
//! config: PRINTING=false

#![no_std]
#![no_main]

use libsel4::{BootInfo, System, root_task};
use tern_target_tests::calls::{is_unknown, numbers_work};
use tern_target_tests::objects::Puppet;
use tern_target_tests::rows::row;

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let puppet = Puppet::new(&mut system, boot.cores() - 1, 100);
    row("syscall.number.no-debug");
    for number in -40_i64..=-12 {
        assert!(is_unknown(&puppet, number as u64), "{number}");
    }
    row("syscall.number.fixed");
    numbers_work(&mut system, &puppet);
}
