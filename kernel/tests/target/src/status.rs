//! Status registers: what is kept of what user level writes into one. The test of each build of the kernel says what the
//! rest is.

use libsel4::abi::{Invocation, UserContext};
use libsel4::{Budget, CapRights, Message, SchedulingContext, System, Tcb};

use crate::code::address_of;
use crate::objects::{Answer, Puppet, invoke, object};
use crate::{rows::row, snippets};

snippets! {
    exception: "nop";
    rest: "b .";
}

const STATUS: usize = 2;
/// What is written, and which flags are left of it.
const WRITTEN: [(u64, u64); 5] = [
    (0, 0),
    (u64::MAX, 0xf000_0000),
    (0x5000_03c5, 0x5000_0000),
    (0xa000_0000, 0xa000_0000),
    (0xffff_ffff_0fff_ffff, 0),
];

/// Checks all ways to write one. `user` is what is always in them.
pub fn check(system: &mut System, user: u64) {
    let core = system.cores() - 1;
    let puppet = Puppet::new(system, core, 100);
    let tcb = object::<Tcb>(system);
    let read = |tcb: libsel4::Cap<Tcb>| tcb.read_registers(false).expect("to read").spsr;
    assert_eq!(read(tcb), user, "a new thread");
    row("context.spsr.write");
    for (written, flags) in WRITTEN {
        let words = [0, 3, 0, 0, written];
        let seen = invoke(tcb.bits(), Invocation::TcbWriteRegisters, &[], &words);
        assert_eq!(seen, Answer::new(0, &[]));
        assert_eq!(read(tcb), flags | user, "{written:#x}");
    }
    row("context.spsr.copy");
    for flags in 0..16 {
        let words = [0, 3, 0, 0, flags << 28];
        invoke(tcb.bits(), Invocation::TcbWriteRegisters, &[], &words);
        let copy = [1 << 2];
        let caps = [tcb.bits()];
        invoke(
            puppet.tcb.bits(),
            Invocation::TcbCopyRegisters,
            &caps,
            &copy,
        );
        assert_eq!(read(puppet.tcb), flags << 28 | user);
    }
    row("context.spsr.fault");
    let pc = address_of(exception);
    let at = |spsr| UserContext {
        pc,
        spsr,
        ..UserContext::default()
    };
    // A user exception, whose reply has it in word 2.
    puppet.start(&at(0));
    let fault = Answer::of(&puppet.fault().message);
    assert_eq!((fault.label, fault.words[STATUS]), (3, user));
    for (written, flags) in WRITTEN {
        let reply = Message::new(0).words(&[pc, 0, written]);
        puppet.reply.send(reply);
        let fault = Answer::of(&puppet.fault().message);
        assert_eq!((fault.label, fault.words[STATUS]), (3, flags | user));
    }
    // An unknown system call, word 11. It goes on at an exception.
    for (written, flags) in WRITTEN {
        let call = UserContext {
            pc: Puppet::trap_address(),
            x7: 1000,
            ..UserContext::default()
        };
        let fault = puppet.run_to_fault(&call);
        assert_eq!((fault.label, fault.words[11]), (2, user));
        let mut words = [0; 12];
        (words[8], words[11]) = (pc, written);
        puppet.reply.send(Message::new(0).words(&words));
        let fault = Answer::of(&puppet.fault().message);
        assert_eq!((fault.label, fault.words[STATUS]), (3, flags | user));
    }
    timeout(system, core, user);
}

/// The end of a budget, word 2 of the reply.
fn timeout(system: &mut System, core: usize, user: u64) {
    let puppet = Puppet::new(system, core, 100);
    let budget = core::time::Duration::from_micros(100);
    let sched = SchedulingContext::new(system, core, Budget::periodic(budget, budget * 10), 0);
    puppet.sched.unbind().expect("to unbind");
    let bind = sched.expect("a budget").bind(puppet.tcb);
    bind.expect("to bind");
    let handler = system.mint(puppet.faults, CapRights::all(), 0xfa);
    let handler = handler.expect("a badge");
    let set = puppet.tcb.set_timeout_endpoint(Some(handler));
    set.expect("a handler");
    for (written, flags) in WRITTEN {
        let context = UserContext {
            pc: address_of(rest),
            ..UserContext::default()
        };
        assert_eq!(puppet.run_to_fault(&context).label, 5);
        let words = [address_of(exception), 0, written];
        puppet.reply.send(Message::new(0).words(&words));
        let fault = Answer::of(&puppet.fault().message);
        assert_eq!((fault.label, fault.words[STATUS]), (3, flags | user));
    }
}
