//! A kernel that prints but has no other debug call.
//!
//! config: DEBUG_BUILD=false
//! expect: Booting all finished
//! expect: stops at 0x
//! forbid: prio core

#![no_std]
#![no_main]

use libsel4::abi::debug_syscall;
use libsel4::{BootInfo, System, init, root_task};
use tern_target_tests::builds::{check_debug_calls, execute};
use tern_target_tests::instruction;
use tern_target_tests::objects::{Pause, Puppet, call_registers};
use tern_target_tests::rows::{row, rows};

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let pause = Pause::new(&mut system);
    let puppet = Puppet::new(&mut system, boot.cores() - 1, 100);
    rows(&["build.printing.calls", "build.printing.dump"]);
    check_debug_calls(
        &puppet,
        &[debug_syscall::PUT_CHAR, debug_syscall::DUMP_SCHEDULER],
    );
    row("build.printing.spsr");
    let fault = execute(&puppet, instruction!("udf #1")).expect_err("a fault");
    assert_eq!(fault.words[2], 0x140);
    row("build.printing.lines");
    let space = puppet.tcb.set_space(None, init::CNODE, 0, init::VSPACE);
    space.expect("no handler");
    puppet.begin_syscall(&call_registers(-1000, 0, 0, [0; 4], 0));
    pause.pause();
}
