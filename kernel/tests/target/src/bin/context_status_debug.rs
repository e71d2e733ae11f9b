//! The status register of user threads in a debug build of the kernel: condition flags, and that FIQ is masked.

#![no_std]
#![no_main]

use libsel4::{BootInfo, System, root_task};
use tern_target_tests::{rows::row, status};

root_task!(main);

fn main(boot: &'static BootInfo) {
    row("context.spsr.debug");
    status::check(&mut System::new(boot), 0x40);
    row("context.spsr.debug");
}
