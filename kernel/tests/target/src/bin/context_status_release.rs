//! The status register of user threads in a release build of the kernel: condition flags, and that FIQ and SError are masked.
//!
//! config: DEBUG_BUILD=false

#![no_std]
#![no_main]

use libsel4::{BootInfo, System, root_task};
use tern_target_tests::{rows::row, status};

root_task!(main);

fn main(boot: &'static BootInfo) {
    row("context.spsr.release");
    status::check(&mut System::new(boot), 0x140);
    row("context.spsr.release");
}
