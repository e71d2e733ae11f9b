//! A kernel with debug calls that does not print: the test's own lines go through a driver.
//!
//! config: PRINTING=false
//! expect: this line went through the driver
//! forbid: Booting all finished
//! forbid: stops at
//! forbid: is no TCB

#![no_std]
#![no_main]

use libsel4::abi::{cap_type, debug_syscall};
use libsel4::{BootInfo, System, debug, init, println, root_task};
use tern_target_tests::builds::{check_debug_calls, execute};
use tern_target_tests::instruction;
use tern_target_tests::objects::Puppet;
use tern_target_tests::rows::{row, rows};

root_task!(main);

fn main(boot: &'static BootInfo) {
    println!("this line went through the driver");
    let mut system = System::new(boot);
    let puppet = Puppet::new(&mut system, boot.cores() - 1, 100);
    rows(&["build.debug-only.calls", "build.console.driver"]);
    check_debug_calls(
        &puppet,
        &[
            debug_syscall::HALT,
            debug_syscall::CAP_IDENTIFY,
            debug_syscall::SNAPSHOT,
            debug_syscall::NAME_THREAD,
            debug_syscall::SEND_IPI,
            debug_syscall::GET_THREAD_AFFINITY,
        ],
    );
    assert_eq!(debug::cap_identify(init::TCB), cap_type::THREAD);
    assert_eq!(debug::thread_affinity(puppet.tcb), Some(boot.cores() - 1));
    row("build.debug.spsr");
    let fault = execute(&puppet, instruction!("udf #1")).expect_err("a fault");
    assert_eq!(fault.words[2], 0x40);
}
