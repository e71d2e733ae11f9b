//! Floating point given to threads, taken away and given back: the first use, the flag that disables it, on threads that
//! run and threads that wait, here and on other cores, and what happens to the values.

#![no_std]
#![no_main]

use libsel4::abi::{Invocation, UserContext};
use libsel4::invoke::TcbFlags;
use libsel4::{BootInfo, Message, System, root_task};
use tern_target_tests::code::{address_of, instruction};
use tern_target_tests::objects::{Answer, Pause, Puppet, call_registers, info};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::snippets;
use tern_target_tests::vectors::{collect, fill};

root_task!(main);

const ON: TcbFlags = TcbFlags {
    fpu_disabled: false,
};
const OFF: TcbFlags = TcbFlags { fpu_disabled: true };

snippets! {
    constant: "fmov d0, #1.0";
    vector: "add v1.4s, v1.4s, v1.4s";
    load: "ldr q2, [sp]";
    pair: "stp d8, d9, [sp]";
    control: "mrs x1, fpcr";
    status: "msr fpsr, xzr";
    convert: "scvtf d3, x1";
    move_out: "umov x1, v31.d[0]";
    own: "fmov d0, #1.0", "svc #0", "fmov d1, #1.0";
    // Counts in x0 with vector registers for ever.
    run: "2: fmov d9, x0", "fmov x0, d9", "add x0, x0, #1", "b 2b";
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let pause = Pause::new(&mut system);
    for core in 0..boot.cores() {
        first_use(&mut system, core);
        disabled(&mut system, core);
        values(&mut system, core);
        while_it_runs(&mut system, &pause, core);
        deleted(&mut system, core);
    }
}

fn disable(puppet: &Puppet) {
    assert_eq!(puppet.tcb.set_flags(ON, OFF), Ok(OFF));
}

fn enable(puppet: &Puppet) {
    assert_eq!(puppet.tcb.set_flags(OFF, ON), Ok(ON));
}

/// Starts with registers of a puppet's own in [`fill`].
fn start_filling(puppet: &Puppet, number: u64) {
    puppet.start(&UserContext {
        pc: address_of(fill),
        x20: (number + 1) << 40,
        x21: number % 4,
        ..UserContext::default()
    });
    let fault = Answer::of(&puppet.fault().message);
    assert_eq!((fault.label, fault.words[3]), (3, 0x0200_0000));
}

/// Goes on after the first exception of [`fill`]: whether the registers are what they were.
fn goes_on(puppet: &Puppet) -> bool {
    let next = puppet.registers().pc + 4;
    puppet.reply.send(Message::new(0).words(&[next]));
    let fault = Answer::of(&puppet.fault().message);
    assert_eq!((fault.label, fault.words[3]), (3, 0x0200_0000));
    puppet.registers().x22 == 0
}

fn first_use(system: &mut System, core: usize) {
    row("fpu.first-use");
    for code in [
        constant as extern "C" fn() -> !,
        vector,
        load,
        pair,
        control,
        status,
        convert,
        move_out,
    ] {
        // A new thread each time: its only exception is that after the instruction.
        let puppet = Puppet::new(system, core, 100);
        let stack = puppet.buffer().start() as u64 + 0x800;
        let context = UserContext {
            pc: address_of(code),
            sp: stack,
            x2: 0x222,
            ..UserContext::default()
        };
        let fault = puppet.run_to_fault(&context);
        let expected = [instruction(code, 1), stack, 0x40, 0x0200_0000, 0];
        assert_eq!(fault, Answer::new(3, &expected));
        let after = puppet.registers();
        assert_eq!((after.x2, after.spsr), (0x222, 0x40));
        system.destroy(puppet.tcb).expect("to destroy");
    }
}

fn disabled(system: &mut System, core: usize) {
    let puppet = Puppet::new(system, core, 100);
    let stack = puppet.buffer().start() as u64 + 0x800;
    // Before it has used them, and after.
    for used in [false, true] {
        rows(&["fpu.disabled", "fpu.new-disabled"]);
        disable(&puppet);
        for code in [
            constant as extern "C" fn() -> !,
            vector,
            load,
            pair,
            control,
            status,
            convert,
            move_out,
        ] {
            let fault = puppet.run_to_fault(&UserContext {
                pc: address_of(code),
                sp: stack,
                ..UserContext::default()
            });
            assert_eq!((fault.label, fault.words[0]), (3, address_of(code)));
            assert_eq!(fault.words[3] >> 26, 7, "the class of the exception");
        }
        enable(&puppet);
        // It goes on with the instruction that failed.
        puppet.reply.send(Message::new(0));
        let fault = Answer::of(&puppet.fault().message);
        assert_eq!(fault.words[0], instruction(move_out, 1), "used: {used}");
        let context = UserContext {
            pc: address_of(collect),
            ..UserContext::default()
        };
        puppet.start(&context);
        puppet.fault();
        assert_eq!(puppet.registers().x0, 0, "used: {used}");
    }
}

/// The values outlast the time without, whoever uses the registers meanwhile.
fn values(system: &mut System, core: usize) {
    row("fpu.enabled-again");
    let [one, two] = [0; 2].map(|_| Puppet::new(system, core, 100));
    start_filling(&one, 1);
    disable(&one);
    start_filling(&two, 2);
    // Still disabled: the check stops at its first instruction that matters.
    let next = one.registers().pc + 4;
    one.reply.send(Message::new(0).words(&[next]));
    let fault = Answer::of(&one.fault().message);
    assert_eq!(fault.words[3] >> 26, 7);
    enable(&one);
    one.reply.send(Message::new(0));
    one.fault();
    assert_eq!(one.registers().x22, 0, "its registers");
    assert!(goes_on(&two));
}

/// A thread that uses them at this moment.
fn while_it_runs(system: &mut System, pause: &Pause, core: usize) {
    row("fpu.disabled-running");
    let puppet = Puppet::new(system, core, 100);
    let context = UserContext {
        pc: address_of(run),
        ..UserContext::default()
    };
    puppet.start(&context);
    for _ in 0..5 {
        pause.pause();
        let before = puppet.registers().x0;
        pause.pause();
        assert!(puppet.registers().x0 > before, "it runs");
        disable(&puppet);
        let fault = Answer::of(&puppet.fault().message);
        assert_eq!((fault.label, fault.words[3] >> 26), (3, 7));
        enable(&puppet);
        puppet.reply.send(Message::new(0));
    }
    // A thread that disables its own.
    let label = Invocation::TcbSetFlags.label();
    let call = call_registers(-1, puppet.tcb.bits(), info(label, 0, 2), [0, 1, 0, 0], 0);
    let fault = puppet.run_to_fault(&UserContext {
        pc: address_of(own),
        ..call
    });
    assert_eq!((fault.label, fault.words[0]), (3, instruction(own, 2)));
    assert_eq!(fault.words[3] >> 26, 7);
    assert_eq!(puppet.registers().x2, 1, "the flags that resulted");
}

/// The thread whose registers the core has is deleted.
fn deleted(system: &mut System, core: usize) {
    row("fpu.deleted");
    let [first, second] = [0; 2].map(|_| Puppet::new(system, core, 100));
    start_filling(&first, 5);
    start_filling(&second, 6);
    system.destroy(second.tcb).expect("to destroy");
    assert!(goes_on(&first));
    let third = Puppet::new(system, core, 100);
    start_filling(&third, 7);
    system.destroy(first.tcb).expect("to destroy");
    assert!(goes_on(&third));
}
