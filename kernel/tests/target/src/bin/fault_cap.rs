//! Capability faults: every failed look-up of a sending and of a receiving system call, word by word; what is no fault;
//! and that a reply lets the thread try again.

#![no_std]
#![no_main]

use libsel4::abi::cap_type;
use libsel4::{
    BootInfo, CNode, CNodeCapData, Cap, CapRights, Message, SlotPath, System, UserContext, VSpace,
    init, root_task,
};
use tern_target_tests::calls::{
    CALL, NB_SEND, NB_SEND_WAIT, NB_WAIT, RECEIVING, RECV, REPLY_RECV, SEND, WAIT,
};
use tern_target_tests::objects::{
    Answer, Ended, Puppet, buffer_cap, call_registers, info, kind, object,
};
use tern_target_tests::rows::{row, rows};

root_task!(main);

/// Behind the root CNode's guard.
const UNRESOLVABLE: u64 = 1 << 12 | 9;

fn fault(cptr: u64, in_receive: bool, failure: &[u64]) -> Ended {
    let mut words = [0; 7];
    words[..3].copy_from_slice(&[Puppet::trap_address(), cptr, u64::from(in_receive)]);
    words[3..3 + failure.len()].copy_from_slice(failure);
    Ended::Faulted(Answer::new(1, &words[..3 + failure.len()]))
}

/// Guard mismatch of [`UNRESOLVABLE`].
const GUARD: &[u64] = &[4, 64, 0, 52];
/// A look-up that ends at something else than is needed.
const MISSING: &[u64] = &[2, 0];

fn simple(number: i64, cptr: u64) -> UserContext {
    call_registers(number, cptr, 0, [0; 4], 0)
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let puppet = Puppet::new(&mut system, boot.cores() - 1, 100);
    sending(&puppet);
    receiving(&mut system, &puppet);
    kinds_of_failure(&mut system, &puppet);
    second_try(&mut system, &puppet);
}

fn sending(puppet: &Puppet) {
    rows(&[
        "syscall.send-phase.lookup.blocking",
        "syscall.send-phase.extra.blocking",
        "syscall.order.cap-then-extra",
        "syscall.trap.fault-address",
    ]);
    rows(&["fault.cap.words", "fault.cap.guard-mismatch"]);
    for number in [CALL, SEND] {
        assert_eq!(
            puppet.syscall(&simple(number, UNRESOLVABLE)),
            fault(UNRESOLVABLE, false, GUARD)
        );
        row("fault.cap.arguments");
        // The capability arguments are looked up after it, in order; the first that fails is named.
        for place in 0..3 {
            puppet.buffer().write(buffer_cap(place), 1);
        }
        puppet.buffer().write(buffer_cap(1), u64::MAX);
        puppet.buffer().write(buffer_cap(2), UNRESOLVABLE);
        let with = |cptr, caps| call_registers(number, cptr, info(0, caps, 0), [0; 4], 0);
        assert_eq!(puppet.syscall(&with(2, 3)), fault(u64::MAX, false, GUARD));
        assert_eq!(puppet.syscall(&with(2, 2)), fault(u64::MAX, false, GUARD));
        assert_eq!(
            puppet.syscall(&with(UNRESOLVABLE, 3)),
            fault(UNRESOLVABLE, false, GUARD)
        );
        assert!(matches!(puppet.syscall(&with(2, 1)), Ended::Returned(_)));
        // An empty slot resolves.
        assert!(matches!(
            puppet.syscall(&simple(number, 0)),
            Ended::Returned(_)
        ));
    }
    // What does not block does not fault.
    rows(&["syscall.send-phase.lookup.other", "ipc.errors.lookup"]);
    let bad_argument = call_registers(NB_SEND, 2, info(0, 3, 0), [0; 4], 0);
    for registers in [simple(NB_SEND, UNRESOLVABLE), bad_argument] {
        let Ended::Returned(after) = puppet.syscall(&registers) else {
            panic!("a non-blocking send faulted")
        };
        assert_eq!((after.x0, after.x1), (registers.x0, registers.x1));
    }
    // An empty slot is an error of the call.
    row("syscall.send-phase.empty.call");
    let Ended::Returned(after) = puppet.syscall(&simple(CALL, 0)) else {
        panic!("an empty slot is no fault")
    };
    assert_eq!([after.x0, after.x1, after.x2], [0, info(2, 0, 1), 0]);
}

fn receiving(system: &mut System, puppet: &Puppet) {
    let endpoint = system.endpoint().expect("an endpoint");
    let notification = system.notification().expect("a notification");
    let reply = system.reply().expect("a reply object");
    let bound = system.notification().expect("a notification");
    init::TCB.bind_notification(bound).expect("to bind");
    let blind = system.copy(endpoint, CapRights::NO_READ).expect("a copy");
    let deaf = system
        .copy(notification, CapRights::NO_READ)
        .expect("a copy");
    let tcb = init::TCB.bits();
    let empty = system.slot().expect("a slot").index;
    assert_eq!(kind(SlotPath::in_root(empty)), cap_type::NULL);
    // Of every other kind that there is.
    let others = [
        init::CNODE.bits(),
        init::VSPACE.bits(),
        init::IRQ_CONTROL.bits(),
        init::ASID_CONTROL.bits(),
        init::ASID_POOL.bits(),
        init::SCHED_CONTEXT.bits(),
        init::DOMAIN_SET.bits(),
        init::BOOT_INFO_FRAME.bits(),
        system.boot().sched_control(0).bits(),
        system.untyped(12).expect("memory").bits(),
    ];

    rows(&["fault.cap.words", "fault.cap.missing"]);
    for number in RECEIVING {
        rows(&[
            "syscall.receive.lookup",
            "syscall.receive.kind",
            "syscall.receive.endpoint-right",
            "syscall.receive.notification-right",
            "syscall.receive.notification-bound",
            "ipc.rights.receive",
            "ipc.rights.wait",
            "ipc.errors.receive",
        ]);
        let ask = |source, x6| puppet.syscall(&call_registers(number, source, 0, [0; 4], x6));
        // The destination of these is in x6: a reply object nobody waits on takes anything.
        let x6 = reply.bits();
        assert_eq!(
            ask(UNRESOLVABLE, x6),
            fault(UNRESOLVABLE, true, GUARD),
            "{number}"
        );
        for source in [0, empty, tcb, x6, blind.bits(), deaf.bits(), bound.bits()] {
            assert_eq!(
                ask(source, x6),
                fault(source, true, MISSING),
                "{number}, {source}"
            );
        }
        for source in others {
            assert_eq!(
                ask(source, x6),
                fault(source, true, MISSING),
                "{number}, {source}"
            );
        }
        row("syscall.receive.source-first");
        // Both are wrong.
        let other = UNRESOLVABLE + 1;
        assert_eq!(
            ask(other, UNRESOLVABLE),
            fault(other, true, GUARD),
            "{number}"
        );
        assert_eq!(
            ask(tcb, UNRESOLVABLE),
            fault(tcb, true, MISSING),
            "{number}"
        );
        if [WAIT, NB_WAIT, NB_SEND_WAIT].contains(&number) {
            continue;
        }
        rows(&["syscall.receive.reply-lookup", "syscall.receive.reply-kind"]);
        // The reply object, which endpoints need.
        let source = endpoint.bits();
        assert_eq!(
            ask(source, UNRESOLVABLE),
            fault(UNRESOLVABLE, true, GUARD),
            "{number}"
        );
        for x6 in [0, empty, tcb, source, deaf.bits()] {
            assert_eq!(
                ask(source, x6),
                fault(x6, true, MISSING),
                "{number}, x6 {x6}"
            );
        }
        // ReplyRecv would invoke them first.
        if number != REPLY_RECV {
            for x6 in others {
                assert_eq!(ask(source, x6), fault(x6, true, MISSING));
            }
        }
        row("syscall.receive.reply-unused");
        // Notifications do not: it is not looked at.
        syscall_signal(notification.bits());
        let Ended::Returned(after) = ask(notification.bits(), UNRESOLVABLE) else {
            panic!("a notification needs no reply object")
        };
        assert_eq!(after.x0, 0);
    }
    assert!(endpoint.bits() != 0 && notification.poll() == 0);
    init::TCB.unbind_notification().expect("to unbind");

    rows(&["syscall.order.send-then-receive", "syscall.receive.again"]);
    // A combined call's first phase has taken effect when the second faults, and takes effect again with each try.
    let counted = system
        .mint(notification, CapRights::all(), 4)
        .expect("a badge");
    let registers = call_registers(NB_SEND_WAIT, UNRESOLVABLE, 0, [0; 4], counted.bits());
    assert_eq!(puppet.syscall(&registers), fault(UNRESOLVABLE, true, GUARD));
    assert_eq!(notification.poll(), 4);
    puppet.reply.send(Message::new(0));
    assert_eq!(puppet.end_of_syscall(), fault(UNRESOLVABLE, true, GUARD));
    assert_eq!(notification.poll(), 4);
}

fn syscall_signal(notification: u64) {
    libsel4::syscall::signal(notification);
}

fn kinds_of_failure(system: &mut System, puppet: &Puppet) {
    // Of 64 bits the outer CNode takes 56. Slot 3 leads to a CNode that takes more than are left, slot 4 to one with a
    // guard, slot 5 to one that takes exactly those.
    let outer = system.cnode(4).expect("a CNode");
    let large = system.cnode(9).expect("a CNode");
    let inner = system.cnode(4).expect("a CNode");
    let link = |index, node: Cap<CNode>, guard: CNodeCapData| {
        let slot = SlotPath::new(outer, index, 4);
        slot.mint_from(&node.slot(), CapRights::all(), guard.0)
            .expect("a link");
    };
    link(3, large, CNodeCapData::new(0, 0));
    link(4, inner, CNodeCapData::new(0xc, 4));
    link(5, inner, CNodeCapData::new(0xd, 4));
    let handler = system
        .mint(puppet.faults, CapRights::all(), 0xfa)
        .expect("a badge");
    let set = |cspace, data: CNodeCapData| {
        puppet
            .tcb
            .set_space(Some(handler), cspace, data.0, init::VSPACE)
            .expect("a space");
    };
    set(outer, CNodeCapData::new(0x77, 52));
    rows(&[
        "fault.cap.depth-mismatch",
        "fault.cap.guard-mismatch",
        "fault.handler.installed-cap",
    ]);
    let space = 0x77 << 12;
    for (number, in_receive) in [(CALL, false), (SEND, false), (RECV, true), (NB_WAIT, true)] {
        let check = |cptr, failure: &[u64]| {
            assert_eq!(
                puppet.syscall(&simple(number, cptr)),
                fault(cptr, in_receive, failure),
                "{number} on {cptr:#x}"
            );
        };
        check(9, &[4, 64, 0x77, 52]);
        check(space | 0x301, &[3, 8, 9]);
        check(space | 0x401, &[4, 8, 0xc, 4]);
        check(space | 0x5c1, &[4, 8, 0xd, 4]);
    }
    // Leftover bits at a slot that holds no CNode do not matter: it is found empty.
    for cptr in [space | 0x100, space | 0x1ff, space | 0x4c0, space | 0x5d7] {
        assert_eq!(
            puppet.syscall(&simple(RECV, cptr)),
            fault(cptr, true, MISSING)
        );
        assert!(matches!(
            puppet.syscall(&simple(SEND, cptr)),
            Ended::Returned(_)
        ));
    }
    rows(&["fault.cap.invalid-root", "fault.handler.installed-cap"]);
    // No CNode at all as a root.
    outer.slot().revoke().expect("to revoke");
    assert_eq!(puppet.syscall(&simple(CALL, 5)), fault(5, false, &[1]));
    assert_eq!(puppet.syscall(&simple(WAIT, 5)), fault(5, true, &[1]));
    set(init::CNODE, CNodeCapData(0));
}

fn second_try(system: &mut System, puppet: &Puppet) {
    let notification = system.notification().expect("a notification");
    let slot = system.slot().expect("a slot");
    let registers = simple(WAIT, slot.index);
    assert_eq!(puppet.syscall(&registers), fault(slot.index, true, MISSING));
    row("syscall.receive.again");
    row("fault.reply.cap");
    // Whatever the reply says, the call is made again.
    for label in [0, 1, 99] {
        puppet
            .reply
            .send(Message::new(label).words(&[0, 0, 0, 0, 5, 6]));
        assert_eq!(
            puppet.end_of_syscall(),
            fault(slot.index, true, MISSING),
            "label {label}"
        );
    }
    slot.mint_from(&notification.slot(), CapRights::all(), 3)
        .expect("a badge");
    libsel4::syscall::signal(slot.index);
    puppet.reply.send(Message::new(0));
    let Ended::Returned(after) = puppet.end_of_syscall() else {
        panic!("the capability is there now")
    };
    assert_eq!((after.x0, after.x1), (3, registers.x1));
    // An empty address space does not matter to the look-up; the object type does.
    let vspace = object::<VSpace>(system);
    assert_eq!(
        puppet.syscall(&simple(RECV, vspace.bits())),
        fault(vspace.bits(), true, MISSING)
    );
}
