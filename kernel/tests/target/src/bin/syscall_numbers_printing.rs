//! Which numbers are system calls in a kernel that prints but is no debug build.
//!
//! cores: 1 2
//! config: DEBUG_BUILD=false
//! config: PRINTING=true
//! expect: printed by -12

#![no_std]
#![no_main]

use libsel4::{BootInfo, System, debug, root_task, time};
use tern_target_tests::calls::{is_unknown, numbers_work, returned};
use tern_target_tests::objects::{Puppet, call_registers};
use tern_target_tests::rows::row;

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let puppet = Puppet::new(&mut system, boot.cores() - 1, 100);
    row("syscall.number.printing-only");
    for number in -40_i64..=-14 {
        assert!(is_unknown(&puppet, number as u64), "{number}");
    }
    // -12 is shown by the line of the expectation above. -13 leaves x0 as it was.
    for character in *b"printed by -12\n" {
        let registers = call_registers(-12, u64::from(character), 0, [0; 4], 0);
        assert_eq!(
            returned(puppet.syscall(&registers)).x0,
            u64::from(character)
        );
    }
    let dump = call_registers(-13, 5, 0, [0; 4], 0);
    assert_eq!(returned(puppet.syscall(&dump)).x0, 5);
    // Nothing is printed: that would take longer.
    let before = time::cycle_counter();
    debug::dump_scheduler();
    let cost = time::cycle_counter() - before;
    assert!(cost < 2_000, "{cost} instructions");
    row("syscall.number.fixed");
    numbers_work(&mut system, &puppet);
}
