//! A kernel without debug calls and printing: the calls are unknown system calls, user threads run with SError masked, and
//! the kernel prints nothing. Everything else is as in a debug build. What the test prints goes through a driver of its
//! own.
//!
//! config: DEBUG_BUILD=false
//! config: PRINTING=false
//! expect: this line went through the driver
//! forbid: Bootstrapping kernel
//! forbid: Booting all finished
//! forbid: stops at
//! forbid: has no handler

#![no_std]
#![no_main]

use libsel4::abi::{Invocation, ObjectType};
use libsel4::{BootInfo, Cap, SgiSignal, System, UserContext, init, println, root_task};
use tern_target_tests::builds::{check_debug_calls, execute};
use tern_target_tests::instruction;
use tern_target_tests::objects::{Pause, Puppet, answer, call_registers, invoke, invoke_label};
use tern_target_tests::rows::{row, rows};

root_task!(main);

/// The bits of SPSR that the kernel decides.
const USER_BITS: u64 = 0x140;
const FLAGS: u64 = 0xf000_0000;

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let pause = Pause::new(&mut system);
    println!("this line went through the driver");
    row("build.console.driver");
    let puppet = Puppet::new(&mut system, boot.cores() - 1, 100);
    row("build.release.calls");
    check_debug_calls(&puppet, &[]);
    row("build.release.spsr");
    state(&puppet);
    rows(&["build.release.same", "build.error-text"]);
    same(&mut system, boot);

    // A rejected call, a fault without a handler, an interrupt without one.
    row("build.release.silent");
    let refused = invoke_label(init::TCB.bits(), 1000, &[], &[1, 2, 3]);
    assert_eq!(refused, answer::illegal_operation());
    let sgi = system.slot().expect("a slot");
    init::IRQ_CONTROL.issue_sgi_signal(9, 0, &sgi).expect("one");
    Cap::<SgiSignal>::from_bits(sgi.index).signal();
    let space = puppet.tcb.set_space(None, init::CNODE, 0, init::VSPACE);
    space.expect("no handler");
    puppet.begin_syscall(&call_registers(-1000, 0, 0, [0; 4], 0));
    pause.pause();
    let registers = puppet.tcb.read_registers(false).expect("it stopped");
    assert_eq!(registers.pc, Puppet::trap_address());
}

/// SPSR as the thread's handler sees it, and after it was written with every other bit.
fn state(puppet: &Puppet) {
    let code = instruction!("udf #1");
    let fault = execute(puppet, code).expect_err("a fault");
    assert_eq!(fault.words[2], USER_BITS);
    let context = UserContext {
        pc: Puppet::trap_address(),
        spsr: u64::MAX,
        ..call_registers(-1000, 0, 0, [0; 4], 0)
    };
    let fault = puppet.run_to_fault(&context);
    assert_eq!((fault.label, fault.words[11]), (2, FLAGS | USER_BITS));
    assert_eq!(puppet.registers().spsr, FLAGS | USER_BITS);
}

/// Sizes, labels and initial capabilities are those of a debug build.
fn same(system: &mut System, boot: &'static BootInfo) {
    let two = system.untyped(12).expect("memory");
    let slots = [0; 3].map(|_| system.slot().expect("a slot"));
    for slot in &slots[..2] {
        let made = two.retype_into(ObjectType::Tcb, 0, init::CNODE, slot.index);
        made.expect("two threads of 2 KiB fit into 4 KiB");
    }
    let third = two.retype_into(ObjectType::Tcb, 0, init::CNODE, slots[2].index);
    assert!(third.is_err());
    assert_eq!(
        invoke(
            init::IRQ_CONTROL.bits(),
            Invocation::IrqIssueHandlerTriggerCore,
            &[],
            &[]
        ),
        answer::truncated()
    );
    for label in [0, 43, 58] {
        let seen = invoke_label(init::IRQ_CONTROL.bits(), label, &[], &[]);
        assert_eq!(seen, answer::illegal_operation(), "label {label}");
    }
    let raw = boot.raw();
    assert_eq!(raw.sched_control.len(), raw.num_nodes);
    assert_eq!(raw.init_thread_cnode_size_bits, 12);
}
