//! A kernel panic speaks even where the kernel prints nothing else: core, registers and backtrace, and a failing status.
//!
//! config: DEBUG_BUILD=false
//! config: PRINTING=false
//! spoil: tern_kernel::invoke::domain::invoke
//! expect-exit: 1
//! expect: kernel panic on core 0: synchronous exception in the kernel at 0xffffffffc0
//! expect: x28 0x
//! expect: #1 0xffffffffc0

#![no_std]
#![no_main]

use libsel4::{BootInfo, init, root_task};
use tern_target_tests::rows::row;

root_task!(main);

fn main(_: &'static BootInfo) {
    row("build.release.panic");
    init::DOMAIN_SET.set(0, init::TCB).expect("never to return");
}
