//! What a revoke takes: everything derived from the capability, and nothing else. Badges make a level of their own;
//! handlers, spaces and buffers installed in threads are derived capabilities too.

#![no_std]
#![no_main]

use libsel4::abi::{Invocation, ObjectType, cap_type};
use libsel4::{
    BootInfo, Cap, CapRights, CapType, Endpoint, Error, Message, Notification, Null, Reply,
    SlotPath, SmallPage, System, Tcb, UserContext, VmAttributes, init, root_task,
};
use tern_target_tests::objects::{
    Answer, Ended, Puppet, Settler, answer, call_registers, invoke, kind, object,
};
use tern_target_tests::rows::{row, rows};

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    siblings(&mut system);
    badged_levels(&mut system);
    moved_parents(&mut system);
    untyped_trees(&mut system);
    cancelled_senders(&mut system);
    handlers_of_threads(&mut system);
    spaces_of_threads(&mut system);
    objects_go_with_their_last_capability(&mut system);
}

fn is_there<T: CapType>(cap: Cap<T>) -> bool {
    kind(cap.slot()) != cap_type::NULL
}

fn copy<T: CapType>(system: &mut System, cap: Cap<T>) -> Cap<T> {
    system.copy(cap, CapRights::all()).expect("a copy")
}

fn mint<T: CapType>(system: &mut System, cap: Cap<T>, badge: u64) -> Cap<T> {
    system.mint(cap, CapRights::all(), badge).expect("a badge")
}

/// Copies of an original are siblings: revoking one of them takes nothing.
fn siblings(system: &mut System) {
    rows(&[
        "cdt.copy.siblings",
        "cdt.copy.nothing",
        "cdt.thread",
        "revoke.all",
        "cnode.revoke.stays",
        "cnode.delete.one",
        "delete.not-last",
    ]);
    let tcb = object::<Tcb>(system);
    let first = copy(system, tcb);
    let second = copy(system, first);
    let third = copy(system, second);
    first.slot().revoke().expect("to revoke");
    second.slot().revoke().expect("to revoke");
    assert!(is_there(tcb) && is_there(first) && is_there(second) && is_there(third));
    second.slot().delete().expect("to delete");
    assert!(is_there(tcb) && is_there(first) && is_there(third));
    tcb.slot().revoke().expect("to revoke");
    assert!(is_there(tcb) && !is_there(first) && !is_there(third));
    // An empty slot can be revoked and deleted.
    rows(&["cnode.revoke.empty", "cnode.delete.empty"]);
    first.slot().revoke().expect("nothing to do");
    first.slot().delete().expect("nothing to do");
    // Capabilities from the start are nobody's children.
    rows(&["cdt.boot", "cdt.domain"]);
    let again = copy(system, init::DOMAIN_SET);
    init::TCB.slot().revoke().expect("to revoke");
    assert!(is_there(again) && is_there(init::TCB));
    init::DOMAIN_SET.slot().revoke().expect("to revoke");
    assert!(!is_there(again) && is_there(init::DOMAIN_SET));
}

fn badged_levels(system: &mut System) {
    rows(&[
        "cdt.badge.level",
        "cdt.badge.copies",
        "cdt.badge.others",
        "cdt.badge.parent",
        "cdt.copy.nothing",
        "cdt.notification",
        "revoke.all",
    ]);
    let endpoint = system.endpoint().expect("an endpoint");
    let notification = system.notification().expect("a notification");
    for object in [endpoint.cast::<Null>(), notification.cast()] {
        let plain = copy(system, object);
        let one = mint(system, object, 1);
        let one_again = copy(system, one);
        let two = mint(system, object, 2);
        let two_of_plain = mint(system, plain, 3);
        // A badged original takes its own copies, and no other badge.
        one.slot().revoke().expect("to revoke");
        assert!(is_there(one) && !is_there(one_again));
        assert!(is_there(object) && is_there(plain) && is_there(two) && is_there(two_of_plain));
        // A copy of a badged one takes nothing.
        let two_again = copy(system, two);
        let two_more = copy(system, two_again);
        two_again.slot().revoke().expect("to revoke");
        assert!(is_there(two) && is_there(two_more));
        two.slot().revoke().expect("to revoke");
        assert!(is_there(two) && !is_there(two_again) && !is_there(two_more));
        // Same badge from two mints: each takes its own.
        let other_two = mint(system, object, 2);
        let copy_of_other = copy(system, other_two);
        two.slot().revoke().expect("to revoke");
        assert!(is_there(other_two) && is_there(copy_of_other));
        other_two.slot().revoke().expect("to revoke");
        assert!(is_there(two) && !is_there(copy_of_other));
        // An unbadged copy cannot take its original, or the original's children.
        plain.slot().revoke().expect("to revoke");
        assert!(is_there(object) && is_there(one) && is_there(two));
        object.slot().revoke().expect("to revoke");
        for gone in [plain, one, two, two_of_plain, other_two] {
            assert!(!is_there(gone), "{gone:?}");
        }
        assert!(is_there(object));
    }
}

/// A capability that moves keeps its children, and its parent.
fn moved_parents(system: &mut System) {
    rows(&["cdt.move", "cnode.move.keeps"]);
    let endpoint = system.endpoint().expect("an endpoint");
    let badged = mint(system, endpoint, 7);
    let child = copy(system, badged);
    let away = system.slot().expect("a slot");
    away.move_from(&badged.slot()).expect("to move");
    away.revoke().expect("to revoke");
    assert!(!is_there(child) && kind(away) != 0);
    let child = copy(system, Cap::<Endpoint>::from_bits(away.index));
    let place = system.slot().expect("a slot");
    place.move_from(&endpoint.slot()).expect("to move");
    place.revoke().expect("to revoke");
    assert!(!is_there(child) && kind(away) == 0 && kind(place) != 0);
    endpoint.slot().move_from(&place).expect("to move");
}

fn untyped_trees(system: &mut System) {
    rows(&[
        "cdt.untyped.region",
        "cdt.untyped.copies-inside",
        "cdt.frame",
        "revoke.untyped",
        "final.untyped",
    ]);
    let untyped = system.untyped(16).expect("memory");
    let slots: [SlotPath; 5] = core::array::from_fn(|_| system.slot().expect("a slot"));
    let [half, small, page, page_copy, thread] = slots;
    let into = |from: u64, object: ObjectType, size: u64, slot: SlotPath| {
        let from = libsel4::Untyped::at(from);
        from.retype_into(object, size, init::CNODE, slot.index)
            .expect("to make");
    };
    into(untyped.bits(), ObjectType::Untyped, 15, half);
    into(half.index, ObjectType::Untyped, 13, small);
    into(half.index, ObjectType::Tcb, 0, thread);
    into(small.index, ObjectType::SmallPage, 0, page);
    page_copy.copy_from(&page, CapRights::READ).expect("a copy");
    // The copy of a frame is derived from its memory, wherever that was copied from.
    small.revoke().expect("to revoke");
    assert_eq!([kind(page), kind(page_copy)], [0, 0]);
    assert_eq!(kind(thread), cap_type::THREAD);
    into(small.index, ObjectType::SmallPage, 0, page);
    // The memory in between is gone: its children are now its parent's.
    small.delete().expect("to delete");
    assert_eq!(
        [kind(half), kind(page)],
        [cap_type::UNTYPED, cap_type::FRAME]
    );
    half.revoke().expect("to revoke");
    assert_eq!(slots.map(kind), [cap_type::UNTYPED, 0, 0, 0, 0]);
    into(half.index, ObjectType::Untyped, 14, small);
    into(small.index, ObjectType::SmallPage, 0, page);
    untyped.slot().revoke().expect("to revoke");
    assert_eq!(slots.map(kind), [0; 5]);
    system.destroy(untyped).expect("to destroy");
}

/// Deleting the last capability of an endpoint wakes its senders, who then find none; cancelling takes one badge's.
fn cancelled_senders(system: &mut System) {
    rows(&["cnode.cancel.badge", "cnode.cancel.again"]);
    let settler = Settler::new(system);
    let core = system.cores() - 1;
    let endpoint = system.endpoint().expect("an endpoint");
    let senders: [(Puppet, Cap<Endpoint>); 3] = core::array::from_fn(|index| {
        let badge = [5, 6, 5][index];
        (
            Puppet::new(system, core, 100),
            mint(system, endpoint, badge),
        )
    });
    for (index, (puppet, cap)) in (0..).zip(&senders) {
        let info = tern_target_tests::objects::info(30 + index, 0, 0);
        puppet.begin_syscall(&call_registers(-5, cap.bits(), info, [0; 4], 0));
        settler.settle();
    }
    // Cancelling makes the senders with this badge send again, now behind the other one.
    senders[2]
        .1
        .slot()
        .cancel_badged_sends()
        .expect("to cancel");
    // The capability that they send through is deleted before they run: one of them finds nothing.
    settler.settle();
    let reply = system.reply().expect("a reply object");
    let mut labels = [0; 3];
    let mut badges = [0; 3];
    for place in 0..3 {
        let received = endpoint.nb_recv(reply);
        (labels[place], badges[place]) = (received.label(), received.badge);
    }
    assert_eq!(badges, [6, 5, 5]);
    assert_eq!(labels[0], 31);
    assert_eq!(labels[1] + labels[2], 30 + 32);
    for (puppet, _) in &senders {
        assert!(matches!(puppet.end_of_syscall(), Ended::Returned(_)));
    }

    // Now with callers, and everything of the endpoint is revoked under them.
    rows(&["final.endpoint", "delete.last"]);
    for (puppet, cap) in &senders {
        puppet.begin_syscall(&call_registers(-1, cap.bits(), 0, [0; 4], 0));
    }
    settler.settle();
    endpoint.slot().revoke().expect("to revoke");
    endpoint.slot().delete().expect("to delete");
    for (puppet, _) in &senders {
        // Their capability's slot is empty: an error.
        let Ended::Returned(registers) = puppet.end_of_syscall() else {
            panic!("an empty slot is no fault")
        };
        let seen = [
            registers.x0,
            registers.x1 >> 12,
            registers.x1 & 0x7f,
            registers.x2,
        ];
        assert_eq!(seen, [0, 2, 1, 0]);
    }
}

/// Revoking an endpoint takes the fault handlers of threads.
fn handlers_of_threads(system: &mut System) {
    rows(&["cdt.installed.tcb", "revoke.endpoint.handlers"]);
    let settler = Settler::new(system);
    let puppet = Puppet::new(system, 0, 100);
    let unknown = call_registers(-1000, 0, 0, [0; 4], 0);
    let fault = |puppet: &Puppet| {
        puppet.begin_syscall(&unknown);
        settler.settle();
        puppet.faults.nb_recv(puppet.reply).badge
    };
    assert_eq!(fault(&puppet), tern_target_tests::objects::PUPPET_BADGE);
    puppet.faults.slot().revoke().expect("to revoke");
    assert_eq!(fault(&puppet), 0, "the handler is gone");
    // The thread stopped at its fault.
    assert_eq!(puppet.registers().pc, Puppet::trap_address());
}

/// Revoking a CNode, an address space or a frame takes them out of threads.
fn spaces_of_threads(system: &mut System) {
    rows(&["cdt.installed.tcb", "revoke.cnode"]);
    let node = system.cnode(4).expect("a CNode");
    let puppet = Puppet::new(system, 0, 100);
    let set_cspace = |cspace| {
        puppet
            .tcb
            .set_space(Some(puppet.faults), cspace, 0, init::VSPACE)
    };
    set_cspace(node).expect("a space");
    node.slot().revoke().expect("to revoke");
    // With no capability space, the look-up has no root.
    let faulted = |badge, words: &[u64]| {
        let received = puppet.faults.recv(puppet.reply);
        assert_eq!(received.badge, badge);
        assert_eq!(Answer::of(&received.message), Answer::new(1, words));
    };
    let signal = call_registers(-5, 9, 0, [0; 4], 0);
    puppet.begin_syscall(&signal);
    faulted(0, &[Puppet::trap_address(), 9, 0, 1]);
    // The CNode is still there, and can be set again.
    set_cspace(node).expect("a space");
    puppet.begin_syscall(&signal);
    // 60 bits are left at its empty slot 0: the slot is found, and it is empty.
    let ended = Answer::of(&puppet.faults.recv(puppet.reply).message);
    assert_eq!(
        ended.label, 3,
        "the send was dropped, and the trap comes next"
    );
    set_cspace(init::CNODE).expect("the old space");

    // A revoked buffer frame: more than four words no longer arrive.
    rows(&["cdt.installed.tcb", "revoke.frame"]);
    let frame = puppet.buffer_frame();
    frame.slot().revoke().expect("to revoke");
    let recv = |puppet: &Puppet, endpoint: Cap<Endpoint>, reply: Cap<Reply>| {
        puppet.begin_syscall(&call_registers(
            -7,
            endpoint.bits(),
            0,
            [0; 4],
            reply.bits(),
        ));
    };
    let endpoint = system.endpoint().expect("an endpoint");
    let reply = system.reply().expect("a reply object");
    let length = |puppet: &Puppet| {
        recv(puppet, endpoint, reply);
        endpoint.send(Message::new(9).words(&[1, 2, 3, 4, 5, 6]));
        puppet.faults.recv(puppet.reply);
        puppet.registers().x1 & 0x7f
    };
    assert_eq!(length(&puppet), 4);
    puppet.restore_buffer();
    assert_eq!(length(&puppet), 6);

    row("revoke.vspace");
    // A revoked address space: the thread runs on an empty one, and faults at its first instruction.
    let vspace = object::<libsel4::VSpace>(system);
    init::ASID_POOL.assign(vspace).expect("an identifier");
    puppet
        .tcb
        .set_space(Some(puppet.faults), init::CNODE, 0, vspace)
        .expect("a space");
    vspace.slot().revoke().expect("to revoke");
    puppet.start(&UserContext {
        pc: Puppet::trap_address(),
        ..UserContext::default()
    });
    let fault = Answer::of(&puppet.faults.recv(puppet.reply).message);
    assert_eq!(
        (fault.label, fault.words[1], fault.words[2]),
        (6, Puppet::trap_address(), 1)
    );
}

fn objects_go_with_their_last_capability(system: &mut System) {
    // A bound notification that is destroyed is no longer bound.
    rows(&["final.notification.tcb", "delete.not-last", "delete.last"]);
    let tcb = object::<Tcb>(system);
    let notification = system.notification().expect("a notification");
    tcb.bind_notification(notification).expect("to bind");
    let other = copy(system, notification);
    notification.slot().delete().expect("to delete");
    let bound = |what: Cap<Notification>| tcb.bind_notification(what);
    assert_eq!(
        bound(other),
        Err(Error::IllegalOperation),
        "the copy keeps it"
    );
    other.slot().delete().expect("to delete");
    let next = system.notification().expect("a notification");
    assert_eq!(bound(next), Ok(()));
    tcb.slot().delete().expect("to delete");
    let tcb = object::<Tcb>(system);
    tcb.bind_notification(next).expect("free again");

    // Each mapped frame capability takes its mapping along.
    row("final.frame");
    let frame = object::<SmallPage>(system);
    let copied = copy(system, frame);
    let vaddr = system
        .map(copied, CapRights::all(), VmAttributes::default())
        .expect("to map");
    // SAFETY: the page was just mapped, for nothing else.
    unsafe { (vaddr as *mut u64).write_volatile(1) };
    copied.slot().delete().expect("to delete");
    let puppet = Puppet::new(system, 0, 100);
    let load = UserContext {
        pc: load_address(),
        x0: vaddr as u64,
        ..UserContext::default()
    };
    let fault = puppet.run_to_fault(&load);
    assert_eq!((fault.label, fault.words[1]), (6, vaddr as u64));
    // The object is still there.
    assert!(frame.get_address().is_ok());
    let words = [vaddr as u64, 0, 64];
    let short = invoke(frame.bits(), Invocation::PageMap, &[], &words);
    assert_eq!(short, answer::truncated());
}

fn load_address() -> u64 {
    #[unsafe(naked)]
    extern "C" fn load() -> ! {
        core::arch::naked_asm!("ldr x1, [x0]", "udf #0")
    }
    load as *const () as u64
}
