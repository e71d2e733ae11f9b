//! How invocations take their arguments and give their answers: where the words are, how many there are, and what stays
//! as it was. A thread whose every register is seen makes the calls.

#![no_std]
#![no_main]

use libsel4::{
    BootInfo, CNode, Cap, CapRights, SlotPath, System, Tcb, UserContext, init, root_task,
};
use tern_target_tests::objects::{
    Answer, Ended, Puppet, answer, buffer_cap, buffer_word, call_registers, info, invoke_label,
    object,
};
use tern_target_tests::rows::{row, rows};

root_task!(main);

const ROOT: u64 = init::CNODE.bits();
/// A capability address that the root CNode's guard refuses.
const NOWHERE: u64 = 1 << 12;
const CALL: i64 = -1;
const SEND: i64 = -5;
const NB_SEND: i64 = -6;
const DELETE: u64 = 19;
const MINT: u64 = 22;
const READ_REGISTERS: u64 = 2;

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let puppet = Puppet::new(&mut system, boot.cores() - 1, 100);
    arguments(&mut system, &puppet);
    answers(&mut system, &puppet);
    words_of_errors(&mut system);
    only_calls(&mut system, &puppet);
    without_buffer(&mut system, &puppet);
    extra_capabilities(&mut system, &puppet);
}

/// The registers after a call with these arguments. Places of the buffer that are not used hold something else.
fn call(puppet: &Puppet, number: i64, cap: u64, label: u64, caps: &[u64], words: &[u64]) -> Ended {
    let buffer = puppet.buffer();
    for index in 0..120 {
        buffer.write(buffer_word(index), 0xbad0_0000 + index as u64);
    }
    for place in 0..3 {
        let cap = caps.get(place).copied().unwrap_or(NOWHERE);
        buffer.write(buffer_cap(place), cap);
    }
    let mut registers = [0x77; 4];
    for (index, &word) in words.iter().enumerate() {
        match registers.get_mut(index) {
            Some(register) => *register = word,
            None => buffer.write(buffer_word(index), word),
        }
    }
    let info = info(label, caps.len() as u64, words.len() as u64);
    puppet.syscall(&call_registers(number, cap, info, registers, 0x66))
}

fn returned(ended: Ended) -> UserContext {
    match ended {
        Ended::Returned(registers) => registers,
        Ended::Faulted(fault) => panic!("a fault: {fault:x?}"),
    }
}

/// x1 to x5.
fn message(registers: &UserContext) -> [u64; 5] {
    let r = registers;
    [r.x1, r.x2, r.x3, r.x4, r.x5]
}

fn arguments(system: &mut System, puppet: &Puppet) {
    rows(&[
        "error.arguments.registers",
        "error.arguments.buffer",
        "error.success",
        "error.badge",
    ]);
    let notification = system.notification().expect("a notification");
    let slot = system.slot().expect("a slot");
    let words = [slot.index, 64, notification.bits(), 64, 1, 0xfeed];
    let registers = returned(call(puppet, CALL, ROOT, MINT, &[ROOT], &words));
    assert_eq!((registers.x0, registers.x1), (0, 0), "no badge, no words");
    libsel4::syscall::signal(slot.index);
    assert_eq!(notification.poll(), 0xfeed, "the fifth and sixth word");
    // What is in the places of the first four words does not count; what is in the registers does.
    let registers = returned(call(puppet, CALL, ROOT, DELETE, &[], &words[..2]));
    assert_eq!((registers.x0, registers.x1), (0, 0));
    assert_eq!(tern_target_tests::objects::kind(slot), 0);

    row("error.arguments.depth-word");
    let deep = [slot.index, 64 + 256];
    let seen = invoke_label(ROOT, DELETE, &[], &deep);
    assert_eq!(seen, answer::range(1, 64));
    row("error.arguments.depth-trigger-core");
    let control = init::IRQ_CONTROL.bits();
    let trigger_core = |depth| invoke_label(control, 56, &[ROOT], &[40, 0, slot.index, depth, 0]);
    assert_eq!(trigger_core(256 + 65), answer::range(1, 64));
    assert_eq!(trigger_core(256), answer::range(1, 64));
    assert_eq!(trigger_core(256 + 64), answer::ok());
    slot.delete().expect("to delete");
}

fn answers(system: &mut System, puppet: &Puppet) {
    rows(&["error.badge", "error.failed-lookup.guard"]);
    let node = system.cnode(4).expect("a CNode");
    let guarded = system.slot().expect("a slot");
    guarded
        .mint_from(&node.slot(), CapRights::all(), 5 << 6 | 3)
        .expect("a guard");
    let ended = call(puppet, CALL, guarded.index, DELETE, &[], &[2, 7]);
    let registers = returned(ended);
    assert_eq!(registers.x0, 0);
    assert_eq!(message(&registers), [info(6, 0, 5), 0, 4, 7, 5]);
    assert_eq!(puppet.buffer().read(buffer_word(4)), 3, "the guard's size");
    assert_eq!(puppet.buffer().read(buffer_word(5)), 0xbad0_0005);

    rows(&["error.badge", "error.illegal-operation"]);
    let registers = returned(call(puppet, CALL, ROOT, 1000, &[], &[1, 2, 3, 4]));
    assert_eq!((registers.x0, registers.x1), (0, info(3, 0, 0)));
    rows(&["error.badge", "error.range"]);
    let registers = returned(call(puppet, CALL, ROOT, DELETE, &[], &[1, 65]));
    assert_eq!((registers.x0, registers.x1), (0, info(4, 0, 2)));
    assert_eq!((registers.x2, registers.x3), (1, 64));
}

/// Errors that other tests do not look at word by word.
fn words_of_errors(system: &mut System) {
    let tcb = object::<Tcb>(system).bits();
    let sched = system
        .sched_context(0)
        .expect("a scheduling context")
        .bits();
    let memory = system.untyped(12).expect("memory");
    row("error.invalid-capability");
    let root = init::TCB.bits();
    let params = |caps: [u64; 3]| invoke_label(tcb, 8, &caps, &[0, 0]);
    let empty = system.slot().expect("a slot").index;
    assert_eq!(
        invoke_label(empty, 8, &[], &[]),
        answer::invalid_capability(0)
    );
    assert_eq!(params([ROOT, sched, 0]), answer::invalid_capability(1));
    assert_eq!(params([root, ROOT, 0]), answer::invalid_capability(2));
    assert_eq!(params([root, sched, ROOT]), answer::invalid_capability(3));
    row("error.alignment");
    let buffer = invoke_label(tcb, 10, &[init::IPC_BUFFER_FRAME.bits()], &[8]);
    assert_eq!(buffer, answer::alignment());
    row("error.revoke-first");
    let made = system.slot().expect("a slot");
    let words = [2, 0, 0, 0, made.index, 1];
    assert_eq!(
        invoke_label(memory.bits(), 1, &[ROOT], &words),
        answer::ok()
    );
    let copied = invoke_label(ROOT, 21, &[ROOT], &[empty, 64, memory.bits(), 64, 15]);
    assert_eq!(copied, answer::revoke_first());
    rows(&["object.error-numbers", "object.lookup-numbers"]);
    // One of each, by number.
    let delete = |cap, words: &[u64]| invoke_label(cap, DELETE, &[], words).label;
    let numbers = [
        delete(ROOT, &[empty, 64]),
        invoke_label(memory.bits(), 1, &[ROOT], &[99, 0, 0, 0, 0, 1]).label,
        delete(empty, &[]),
        delete(tcb, &[]),
        delete(ROOT, &[0, 0]),
        buffer.label,
        delete(ROOT, &[0, 8]),
        delete(ROOT, &[]),
        invoke_label(ROOT, 21, &[ROOT], &[tcb, 64, root, 64, 15]).label,
        copied.label,
        invoke_label(memory.bits(), 1, &[ROOT], &[0, 13, 0, 0, empty, 1]).label,
    ];
    assert_eq!(numbers, [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10]);
    let node = system.cnode(4).expect("a CNode").bits();
    let copy = |from, words: [u64; 2]| {
        let words = [empty, 64, words[0], words[1], 15];
        invoke_label(ROOT, 21, &[from], &words).words[1]
    };
    let kinds = [
        copy(tcb, [0, 64]),
        copy(node, [0, 4]),
        copy(node, [0, 3]),
        copy(ROOT, [0, 8]),
    ];
    assert_eq!(kinds, [1, 2, 3, 4]);
}

fn only_calls(system: &mut System, puppet: &Puppet) {
    row("error.only-call");
    let slot = system.slot().expect("a slot");
    let tcb = object::<Tcb>(system).bits();
    let empty = system.slot().expect("a slot").index;
    for number in [SEND, NB_SEND] {
        // Refused for all kinds of reasons.
        for (cap, label, words) in [
            (ROOT, 1000, [1, 2, 3, 4]),
            (ROOT, DELETE, [1, 65, 3, 4]),
            (ROOT, DELETE, [0, 8, 3, 4]),
            (empty, 1, [1, 2, 3, 4]),
            (tcb, READ_REGISTERS, [0, 37, 3, 4]),
        ] {
            let registers = returned(call(puppet, number, cap, label, &[], &words));
            assert_eq!(registers.x0, cap, "x0 stays");
            let [w0, w1, w2, w3] = words;
            assert_eq!(message(&registers), [info(label, 0, 4), w0, w1, w2, w3]);
        }
        // Nor do messages that may not be sent, or signals, change anything.
        let endpoint = system.endpoint().expect("an endpoint");
        let notification = system.notification().expect("a notification");
        let deaf = system.copy(endpoint, CapRights::READ).expect("a copy");
        let mute = system.copy(notification, CapRights::READ).expect("a copy");
        for cap in [deaf.bits(), mute.bits(), notification.bits()] {
            let registers = returned(call(puppet, number, cap, 7, &[], &[1, 2, 3, 4]));
            assert_eq!(registers.x0, cap, "x0 stays");
            assert_eq!(message(&registers), [info(7, 0, 4), 1, 2, 3, 4]);
        }
        // Done, and said by nobody.
        slot.copy_from(&SlotPath::in_root(tcb), CapRights::all())
            .expect("a copy");
        let words = [slot.index, 64, 3, 4];
        let registers = returned(call(puppet, number, ROOT, DELETE, &[], &words));
        assert_eq!((registers.x0, registers.x2), (ROOT, slot.index));
        assert_eq!(tern_target_tests::objects::kind(slot), 0, "deleted");
        // A result is lost too.
        let words = [0, 36, 3, 4];
        let registers = returned(call(puppet, number, tcb, READ_REGISTERS, &[], &words));
        assert_eq!(message(&registers)[1..], words);
    }
}

fn without_buffer(system: &mut System, puppet: &Puppet) {
    row("error.no-buffer");
    let tcb = object::<Tcb>(system);
    tcb.write_registers(
        false,
        &UserContext {
            pc: 0x1000,
            sp: 0x2000,
            x0: 0x3000,
            x1: 0x4000,
            ..UserContext::default()
        },
    )
    .expect("registers");
    let read = |puppet: &Puppet| {
        let ended = call(puppet, CALL, tcb.bits(), READ_REGISTERS, &[], &[0, 36]);
        returned(ended)
    };
    let with_buffer = read(puppet);
    assert_eq!(with_buffer.x1, info(0, 0, 36));
    puppet.remove_buffer();
    let registers = read(puppet);
    assert_eq!((registers.x0, registers.x1), (0, info(0, 0, 4)));
    assert_eq!(message(&registers)[1..], message(&with_buffer)[1..]);
    // A message of six words has four, and one with a capability none.
    let slot = system.slot().expect("a slot");
    let words = [0, 6, 0x1111, 0x2222, 3, 4, 5, 6];
    let write = returned(call(puppet, CALL, tcb.bits(), 3, &[], &words));
    assert_eq!(write.x1, info(7, 0, 0), "six registers are not there");
    let copy = [slot.index, 64, tcb.bits(), 64];
    let moved = returned(call(puppet, CALL, ROOT, 23, &[ROOT], &copy));
    assert_eq!(moved.x1, info(7, 0, 0), "the source's root is not there");
    // An error of five words has four.
    let guarded = system.slot().expect("a slot");
    let node: Cap<CNode> = system.cnode(4).expect("a CNode");
    guarded
        .mint_from(&node.slot(), CapRights::all(), 5 << 6 | 3)
        .expect("a guard");
    let failed = returned(call(puppet, CALL, guarded.index, DELETE, &[], &[2, 7]));
    assert_eq!(message(&failed), [info(6, 0, 4), 0, 4, 7, 5]);
    puppet.restore_buffer();
}

fn extra_capabilities(system: &mut System, puppet: &Puppet) {
    row("error.extra-caps.fault");
    let tcb = object::<Tcb>(system).bits();
    let fault = |address| {
        let words = [Puppet::trap_address(), address, 0, 4, 64, 0, 52];
        Ended::Faulted(Answer::new(1, &words))
    };
    let other = NOWHERE << 1;
    // Whatever else is wrong: the label, the length, or the invoked capability.
    let empty = system.slot().expect("a slot").index;
    for (cap, label) in [(ROOT, 1000), (ROOT, DELETE), (empty, 1), (tcb, 8)] {
        for number in [CALL, SEND] {
            let ask = |caps: &[u64]| call(puppet, number, cap, label, caps, &[]);
            assert_eq!(ask(&[other]), fault(other), "{cap} {label}");
            assert_eq!(ask(&[ROOT, other]), fault(other), "{cap} {label}");
            assert_eq!(ask(&[ROOT, other, NOWHERE]), fault(other), "the first");
            assert_eq!(ask(&[ROOT, ROOT, other]), fault(other), "{cap} {label}");
            // Places beyond the number that was given do not count.
            returned(ask(&[ROOT, ROOT]));
        }
        // With NBSend nothing happens at all.
        returned(call(puppet, NB_SEND, cap, label, &[other], &[]));
    }
    row("error.extra-caps.null");
    for null in [0, empty] {
        let unset = invoke_label(tcb, 9, &[null], &[]);
        assert_eq!(unset, answer::ok(), "no timeout handler");
        assert_eq!(
            invoke_label(tcb, 4, &[null], &[0]),
            answer::invalid_capability(1)
        );
    }
    assert_eq!(invoke_label(tcb, 9, &[], &[]), answer::truncated());
}
