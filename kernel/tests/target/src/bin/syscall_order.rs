//! What a system call does in which order: the budget is judged before anything is looked up; the send phase has taken effect
//! when the receive phase faults, and is repeated with it; and long work that is interrupted is done again from the SVC,
//! without the thread noticing.

#![no_std]
#![no_main]

use core::arch::naked_asm;

use libsel4::abi::{Invocation, ObjectType, UserContext, cap_type};
use libsel4::{BootInfo, Cap, CapRights, Message, SlotPath, System, Untyped, init, root_task};
use tern_target_tests::calls::{
    CALL, COMBINED, NB_SEND, NB_SEND_WAIT, RECV, SEND, YIELD, combined, combined_with, returned,
};
use tern_target_tests::objects::{
    Answer, Ended, Pause, Puppet, Settler, buffer_cap, buffer_word, call_registers, info, kind,
};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::ticks;

root_task!(main);

const UNRESOLVABLE: u64 = 1 << 12 | 9;
/// Of the timeout handler.
const TIMEOUT_BADGE: u64 = 0x71;
const SC_BADGE: u64 = 0x5c;
const BUDGET: u64 = 1_000;
const PERIOD: u64 = 20_000;

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let core = boot.cores() - 1;
    let puppet = Puppet::new(&mut system, core, 100);
    let settler = Settler::new(&mut system);
    second_phase(&mut system, &puppet);
    budget(&mut system, &puppet, core);
    let pause = Pause::new(&mut system);
    preempted(&mut system, &pause, &settler, core);
}

fn second_phase(system: &mut System, puppet: &Puppet) {
    rows(&["syscall.order.send-then-receive", "syscall.receive.again"]);
    let notification = system.notification().expect("a notification");
    let signal = system
        .mint(notification, CapRights::all(), 4)
        .expect("a badge");
    let reply = system.reply().expect("a reply object");
    let fault = |cptr, failure: &[u64]| {
        let mut words = [0; 7];
        words[..3].copy_from_slice(&[Puppet::trap_address(), cptr, 1]);
        words[3..3 + failure.len()].copy_from_slice(failure);
        Ended::Faulted(Answer::new(1, &words[..3 + failure.len()]))
    };
    for number in COMBINED {
        for (source, failure) in [(UNRESOLVABLE, &[4, 64, 0, 52][..]), (0, &[2, 0])] {
            let before = combined(number, signal.bits(), source, reply.bits());
            assert_eq!(puppet.syscall(&before), fault(source, failure));
            assert_eq!(notification.poll(), 4, "{number}");
            // Registers are as they were, so that the same can be done again.
            let stopped = puppet.registers();
            let expected = UserContext {
                pc: Puppet::trap_address(),
                spsr: 0x40,
                ..before
            };
            assert_eq!(stopped, expected);
            for label in [0, 7] {
                puppet.reply.send(Message::new(label));
                assert_eq!(puppet.end_of_syscall(), fault(source, failure));
                assert_eq!(notification.poll(), 4, "{number} again");
            }
        }
    }
}

/// Spins for as many ticks as x9 says, and then makes a system call.
#[unsafe(naked)]
extern "C" fn late_call() -> ! {
    naked_asm!(
        "mrs x10, cntvct_el0",
        "add x10, x10, x9",
        "2: mrs x11, cntvct_el0",
        "cmp x11, x10",
        "b.lo 2b",
        ".global late_svc",
        "late_svc: svc #0",
        "udf #0",
    )
}

unsafe extern "C" {
    fn late_svc();
}

fn budget(system: &mut System, puppet: &Puppet, core: usize) {
    let notification = system.notification().expect("a notification");
    let signal = system
        .mint(notification, CapRights::all(), 4)
        .expect("a badge");
    let endpoint = system.endpoint().expect("an endpoint");
    let handler = system
        .mint(puppet.faults, CapRights::all(), TIMEOUT_BADGE)
        .expect("a badge");
    let control = system.boot().sched_control(core);
    let reply = system.reply().expect("a reply object");
    puppet
        .tcb
        .set_timeout_endpoint(Some(handler))
        .expect("a handler");
    let svc = late_svc as *const () as u64;
    let begin = |before: &UserContext, micros: u64| {
        puppet.tcb.suspend().expect("to suspend");
        control
            .configure(puppet.sched.cap(), BUDGET, PERIOD, 0, SC_BADGE)
            .expect("a budget");
        puppet.start(&UserContext {
            pc: late_call as *const () as u64,
            x9: ticks(micros),
            ..*before
        });
    };
    // It comes to its call with less than the least budget left, and all that happens is the time-out.
    let too_late = |before: &UserContext| {
        begin(before, BUDGET - 10);
        let received = puppet.faults.recv(reply);
        assert_eq!((received.badge, received.label()), (TIMEOUT_BADGE, 5));
        assert_eq!(received.get(0), SC_BADGE);
        let stopped = puppet.registers();
        assert_eq!(stopped.pc, svc);
        assert_eq!(
            [stopped.x0, stopped.x1, stopped.x6, stopped.x7],
            [before.x0, before.x1, before.x6, before.x7]
        );
    };
    let go_on = || reply.send(Message::new(0));

    row("syscall.order.budget");
    for number in [SEND, CALL, NB_SEND, NB_SEND_WAIT] {
        let source = endpoint.bits();
        let before = match number {
            NB_SEND_WAIT => combined(number, signal.bits(), source, 0),
            _ => call_registers(number, signal.bits(), 0, [0; 4], 0),
        };
        // In time.
        begin(&before, BUDGET / 2);
        if number == NB_SEND_WAIT {
            endpoint.send(Message::new(0));
        }
        assert_eq!(Answer::of(&puppet.fault().message).label, 3);
        assert_eq!(notification.poll(), 4, "{number}");
        too_late(&before);
        assert_eq!(notification.poll(), 0, "{number} is not done");
        go_on();
        if number == NB_SEND_WAIT {
            endpoint.send(Message::new(0));
        }
        let fault = Answer::of(&puppet.fault().message);
        assert_eq!((fault.label, fault.words[0]), (3, svc + 4));
        assert_eq!(notification.poll(), 4, "{number} is done later");
    }
    row("syscall.order.budget-then-lookup");
    for number in [SEND, CALL, RECV] {
        too_late(&call_registers(number, UNRESOLVABLE, 0, [0; 4], 0));
        go_on();
        let fault = Answer::of(&puppet.fault().message);
        assert_eq!((fault.label, fault.words[1]), (1, UNRESOLVABLE));
    }
    row("syscall.unknown.budget");
    too_late(&call_registers(-1000, 1, 2, [3; 4], 6));
    go_on();
    let fault = Answer::of(&puppet.fault().message);
    assert_eq!((fault.label, fault.words[8]), (2, svc));
    row("syscall.order.budget");
    // Without a handler it waits for its next refill, and does the call then, once.
    puppet.tcb.set_timeout_endpoint(None).expect("no handler");
    for number in [SEND, CALL] {
        let before = call_registers(number, endpoint.bits(), info(6, 0, 1), [7, 0, 0, 0], 0);
        begin(&before, BUDGET - 10);
        let received = endpoint.recv(reply);
        assert_eq!((received.label(), received.get(0)), (6, 7));
        reply.send(Message::new(0));
        let fault = Answer::of(&puppet.fault().message);
        assert_eq!((fault.label, fault.words[0]), (3, svc + 4));
        assert_eq!(endpoint.poll().badge, 0);
    }
    let fresh = call_registers(YIELD, 0, 0, [0; 4], 0);
    returned(puppet.syscall(&fresh));
}

const COPIES: u64 = 8_000;

/// A revoke, a delete and a retype that take long. The pause's interrupts come on core 0, and the test's thread looks.
fn preempted(system: &mut System, pause: &Pause, settler: &Settler, core: usize) {
    row("syscall.order.preempted");
    let puppet = Puppet::new(system, core, 100);
    let node = system.cnode(13).expect("a CNode");
    let slot = |index| SlotPath::new(node, index, 13);
    let original = system.notification().expect("a notification");
    let watch = |before: &UserContext, partly: &mut dyn FnMut() -> bool| {
        puppet.begin_syscall(before);
        let mut in_the_midst = 0;
        loop {
            pause.pause();
            let registers = puppet.registers();
            if registers.pc != Puppet::trap_address() {
                break;
            }
            let expected = UserContext {
                pc: Puppet::trap_address(),
                spsr: 0x40,
                ..*before
            };
            assert_eq!(registers, expected, "as it was when it began");
            in_the_midst += u64::from(partly());
        }
        assert!(in_the_midst > 0, "it was preempted");
        returned(puppet.end_of_syscall())
    };
    let succeeded = |after: UserContext| assert_eq!((after.x0, after.x1), (0, 0));

    // Revoke.
    for index in 0..COPIES {
        slot(index)
            .copy_from(&original.slot(), CapRights::all())
            .expect("a copy");
    }
    let words = [original.bits(), 64, 0, 0];
    let label = Invocation::CNodeRevoke.label();
    let revoke = call_registers(CALL, init::CNODE.bits(), info(label, 0, 2), words, 0);
    let mut copy = system.slot().expect("a slot");
    let mut is_empty = |index| is_slot_empty(&mut copy, slot(index));
    succeeded(watch(&revoke, &mut || is_empty(0) != is_empty(COPIES - 1)));
    assert!(is_empty(0) && is_empty(COPIES / 2) && is_empty(COPIES - 1));
    assert_eq!(kind(original.slot()), cap_type::NOTIFICATION);

    // Delete of a CNode.
    for index in 0..COPIES {
        slot(index)
            .copy_from(&original.slot(), CapRights::all())
            .expect("a copy");
    }
    let words = [node.slot().index, 64, 0, 0];
    let label = Invocation::CNodeDelete.label();
    let delete = call_registers(CALL, init::CNODE.bits(), info(label, 0, 2), words, 0);
    succeeded(watch(&delete, &mut || {
        kind(node.slot()) == cap_type::ZOMBIE
    }));
    assert_eq!(kind(node.slot()), cap_type::NULL);

    // Retype, which clears the memory of what was there before.
    let memory = system.untyped(24).expect("memory");
    let slot = system.slot().expect("a slot");
    fill(memory, slot);
    let buffer = puppet.buffer();
    buffer.write(buffer_cap(0), init::CNODE.bits());
    buffer.write(buffer_word(4), slot.index);
    buffer.write(buffer_word(5), 1);
    let label = Invocation::UntypedRetype.label();
    let words = [ObjectType::LargePage as u64, 0, 0, 0];
    let retype = call_registers(CALL, memory.bits(), info(label, 1, 6), words, 0);
    succeeded(watch(&retype, &mut || kind(slot) == cap_type::NULL));
    assert_eq!(kind(slot), cap_type::FRAME);
    // In the first phase of a combined call: all of it is done again, and the second phase follows.
    slot.delete().expect("to delete");
    fill(memory, slot);
    let source = system.notification().expect("a notification");
    let (info, source) = (info(label, 1, 6), source.bits());
    let retype = combined_with(NB_SEND_WAIT, memory.bits(), source, 0, info, words);
    libsel4::syscall::signal(source);
    let after = watch(&retype, &mut || kind(slot) == cap_type::NULL);
    assert_eq!((after.x0, after.x1), (0, info));
    assert_eq!(kind(slot), cap_type::FRAME);
    settler.settle();
}

fn is_slot_empty(copy: &mut SlotPath, slot: SlotPath) -> bool {
    let is_empty = copy.copy_from(&slot, CapRights::all()).is_err();
    copy.delete().expect("to delete");
    is_empty
}

/// Makes all memory of an untyped used, and free again.
fn fill(memory: Cap<Untyped>, slot: SlotPath) {
    memory
        .retype_into(ObjectType::Untyped, 24, init::CNODE, slot.index)
        .expect("all of it");
    slot.delete().expect("to delete");
}
