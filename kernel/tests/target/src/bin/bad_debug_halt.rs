//! DebugHalt is the one call that ends the run, from whatever core, and with a failing status.
//! expect: halted by thread
//! expect-exit: 1

#![no_std]
#![no_main]

use libsel4::{BootInfo, System, root_task};
use tern_target_tests::objects::{Puppet, call_registers};
use tern_target_tests::rows::row;

root_task!(main);

const HALT: i64 = -14;

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let puppet = Puppet::new(&mut system, boot.cores() - 1, 100);
    row("bad.debug.halt");
    let ended = puppet.syscall(&call_registers(HALT, u64::MAX, u64::MAX, [1; 4], 0));
    panic!("it went on: {ended:?}");
}
