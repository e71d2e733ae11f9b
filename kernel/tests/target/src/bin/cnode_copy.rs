//! Copy, mint, move, mutate and rotate: what they refuse, in the order of their checks, what they change, and that a
//! refused one changes nothing.

#![no_std]
#![no_main]

use libsel4::abi::{Invocation, ObjectType, cap_type};
use libsel4::{
    BootInfo, Cap, CapRights, Endpoint, Error, Null, PageTable, SlotPath, SmallPage, System,
    VSpace, VmAttributes, init, root_task, syscall,
};
use tern_target_tests::objects::{answer, invoke, invoke_label, kind, object};
use tern_target_tests::rows::{row, rows};

root_task!(main);

const ALL: u64 = 0xf;

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    short_messages(&mut system);
    what_can_be_copied(&mut system);
    badges(&mut system);
    rights(&mut system);
    moves(&mut system);
    rotations(&mut system);
}

fn short_messages(system: &mut System) {
    let endpoint = system.endpoint().expect("an endpoint");
    let slot = system.slot().expect("a slot");
    let root = init::CNODE.bits();
    row("cnode.label");
    for label in [0, 17, 26, 46, 1000] {
        let seen = invoke_label(
            root,
            label,
            &[root],
            &[slot.index, 64, endpoint.bits(), 64, ALL],
        );
        assert_eq!(seen, answer::illegal_operation(), "label {label}");
    }
    rows(&["cnode.truncated", "error.truncated"]);
    for label in 18..=25 {
        assert_eq!(
            invoke_label(root, label, &[root], &[slot.index]),
            answer::truncated()
        );
        assert_eq!(invoke_label(root, label, &[], &[]), answer::truncated());
    }
    // The first words are checked, then the slots, then the rest of the words.
    let good = [slot.index, 64, endpoint.bits(), 64, ALL, 7];
    for (method, length) in [
        (Invocation::CNodeCopy, 5),
        (Invocation::CNodeMint, 6),
        (Invocation::CNodeMove, 4),
        (Invocation::CNodeMutate, 5),
    ] {
        let ask = |caps: &[u64], words: &[u64]| invoke(root, method, caps, words);
        rows(&["cnode.copy.truncated", "cnode.copy.order", "cnode.dest"]);
        assert_eq!(ask(&[], &good), answer::truncated(), "{method:?}");
        assert_eq!(ask(&[root], &good[..3]), answer::truncated(), "{method:?}");
        // The destination of a message of three words is looked up first.
        assert_eq!(
            ask(&[root], &[1 << 12, 64, 0]),
            answer::guard_mismatch(false, 64, 0, 52)
        );
        rows(&["cnode.copy.occupied", "cnode.copy.order", "lookup.empty"]);
        let full = [endpoint.bits(), 64, 0, 65];
        assert_eq!(ask(&[root], &full), answer::delete_first(), "{method:?}");
        rows(&["cnode.copy.source", "cnode.copy.order"]);
        assert_eq!(
            ask(&[root], &[slot.index, 64, 0, 65]),
            answer::range(1, 64),
            "{method:?}"
        );
        rows(&["cnode.copy.source-empty", "cnode.copy.order"]);
        let empty = [slot.index, 64, slot.index, 64];
        assert_eq!(
            ask(&[root], &empty),
            answer::missing(true, 64),
            "{method:?}"
        );
        rows(&["cnode.copy.rest", "cnode.copy.order", "cnode.nothing-done"]);
        for short in 4..length {
            assert_eq!(
                ask(&[root], &good[..short]),
                answer::truncated(),
                "{method:?} {short}"
            );
        }
        assert_eq!(kind(slot), cap_type::NULL);
    }
    row("cnode.rotate.truncated");
    for (caps, words) in [(&[root, root][..], 7), (&[root], 8), (&[], 8)] {
        let words = &[slot.index, 64, 0, 0, 0, 0, 0, 0][..words];
        assert_eq!(
            invoke(root, Invocation::CNodeRotate, caps, words),
            answer::truncated()
        );
    }
}

fn what_can_be_copied(system: &mut System) {
    let slot = system.slot().expect("a slot");
    let copy = |cap: Cap<Null>| {
        let result = slot.copy_from(&cap.slot(), CapRights::all());
        assert_eq!(result.is_ok(), kind(slot) != 0, "{cap:?}");
        slot.delete().expect("to delete");
        result
    };
    let boot = system.boot();
    rows(&[
        "cnode.copy.free",
        "cnode.copy.mapped-table",
        "object.cap-type.null",
    ]);
    let reply = system.reply().expect("a reply object");
    let line = system.slot().expect("a slot");
    init::IRQ_CONTROL
        .get(50, &line)
        .expect("an interrupt handler");
    for cap in [
        reply.cast(),
        Cap::from_bits(line.index),
        init::TCB.cast(),
        init::CNODE.cast(),
        init::VSPACE.cast(),
        init::ASID_CONTROL.cast(),
        init::ASID_POOL.cast(),
        init::DOMAIN_SET.cast(),
        init::SCHED_CONTEXT.cast(),
        init::IPC_BUFFER_FRAME.cast(),
        boot.sched_control(0).cast(),
        Cap::from_bits(boot.raw().user_image_paging.start),
    ] {
        assert_eq!(copy(cap), Ok(()), "{cap:?}");
    }
    row("cnode.copy.irq-control");
    assert_eq!(copy(init::IRQ_CONTROL.cast()), Err(Error::IllegalOperation));
    row("cnode.copy.vspace");
    let vspace = object::<VSpace>(system);
    assert_eq!(
        copy(vspace.cast()),
        Err(Error::IllegalOperation),
        "without an identifier"
    );
    init::ASID_POOL.assign(vspace).expect("an identifier");
    assert_eq!(copy(vspace.cast()), Ok(()));
    row("cnode.copy.page-table");
    let table = object::<PageTable>(system);
    assert_eq!(copy(table.cast()), Err(Error::IllegalOperation), "unmapped");
    table
        .map(vspace, 0, VmAttributes::default())
        .expect("to map");
    assert_eq!(copy(table.cast()), Ok(()));

    // A copy of a mapped frame is not mapped; the source stays so.
    row("cnode.copy.frame");
    let frame = object::<SmallPage>(system);
    let vaddr = system
        .map(frame, CapRights::all(), VmAttributes::default())
        .expect("to map");
    let copied = system.copy(frame, CapRights::all()).expect("a copy");
    assert_eq!(
        copied.clean_data(0, 8),
        Err(Error::IllegalOperation),
        "not mapped"
    );
    assert_eq!(frame.clean_data(0, 8), Ok(()));
    let second = system.addresses(4096, 4096).expect("addresses").start;
    assert_ne!(second, vaddr);
    system
        .map_at(
            init::VSPACE,
            copied,
            second,
            CapRights::all(),
            VmAttributes::default(),
        )
        .expect("to map the copy elsewhere");
}

/// An unbadged capability can be given a badge once.
fn badges(system: &mut System) {
    let slot = system.slot().expect("a slot");
    let endpoint = system.endpoint().expect("an endpoint");
    let notification = system.notification().expect("a notification");
    rows(&[
        "cnode.mint.badge",
        "cnode.mint.badge-again",
        "cnode.mutate.endpoint",
        "badge-data.zero",
        "cnode.nothing-done",
    ]);
    for cap in [endpoint.cast::<Null>(), notification.cast()] {
        let mint = |from: SlotPath, badge| slot.mint_from(&from, CapRights::all(), badge);
        mint(cap.slot(), 0).expect("no badge");
        let next = system.slot().expect("a slot");
        next.mint_from(&slot, CapRights::all(), u64::MAX)
            .expect("an unbadged copy takes one");
        slot.delete().expect("to delete");
        for badge in [0, 1, u64::MAX] {
            assert_eq!(
                mint(next, badge),
                Err(Error::IllegalOperation),
                "badge {badge}"
            );
        }
        slot.copy_from(&next, CapRights::all())
            .expect("a copy keeps the badge");
        assert_eq!(
            next.mint_from(&slot, CapRights::all(), 1),
            Err(Error::DeleteFirst)
        );
        next.delete().expect("to delete");
        for data in [0, 1] {
            assert_eq!(next.mutate_from(&slot, data), Err(Error::IllegalOperation));
            assert_eq!(
                next.mutate_from(&cap.slot(), data),
                Err(Error::IllegalOperation)
            );
        }
        assert_ne!(kind(slot), 0, "still there");
        slot.delete().expect("to delete");
        system.free_slot(next);
    }
    // Other capabilities ignore the data.
    rows(&["cnode.mint.ignored", "badge-data.none"]);
    let tcb = object::<libsel4::Tcb>(system);
    let reply = system.reply().expect("a reply object");
    let memory = system.untyped(12).expect("memory");
    for cap in [
        tcb.cast::<Null>(),
        reply.cast(),
        memory.cast(),
        init::IPC_BUFFER_FRAME.cast(),
        init::VSPACE.cast(),
        init::ASID_POOL.cast(),
        init::DOMAIN_SET.cast(),
        init::SCHED_CONTEXT.cast(),
        system.boot().sched_control(0).cast(),
    ] {
        for data in [0x1234, u64::MAX] {
            slot.mint_from(&cap.slot(), CapRights::all(), data)
                .expect("no badge to set");
            assert_eq!(kind(slot), kind(cap.slot()));
            slot.delete().expect("to delete");
        }
    }
    // A badge of all 64 bits arrives.
    row("badge-data.notification");
    slot.mint_from(
        &notification.slot(),
        CapRights::all(),
        0x8000_0000_0000_0001,
    )
    .expect("a badge");
    syscall::signal(slot.index);
    assert_eq!(notification.poll(), 0x8000_0000_0000_0001);
}

fn rights(system: &mut System) {
    rows(&[
        "rights.notification.write",
        "rights.mask",
        "cnode.copy.rights",
        "label.dispatch.notification",
    ]);
    let notification = system.notification().expect("a notification");
    let write = system.copy(notification, CapRights::WRITE).expect("a copy");
    let read = system.copy(notification, CapRights::READ).expect("a copy");
    let none = system
        .copy(notification, CapRights::empty())
        .expect("a copy");
    // Rights are only taken away.
    let wider = system.copy(read, CapRights::all()).expect("a copy");
    for (cap, sends) in [(write, true), (read, false), (none, false), (wider, false)] {
        let expected = if sends {
            answer::ok()
        } else {
            answer::invalid_capability(0)
        };
        assert_eq!(invoke_label(cap.bits(), 77, &[], &[]), expected, "{cap:?}");
        assert_eq!(notification.poll(), 0);
        cap.signal();
        assert_eq!(notification.poll(), 0, "an unbadged signal has no bits");
    }
    // Bits beyond the four rights are ignored.
    row("rights.high-bits");
    let slot = system.slot().expect("a slot");
    let root = init::CNODE.bits();
    let words = [slot.index, 64, notification.bits(), 64, !0xf | 2];
    assert_eq!(
        invoke(root, Invocation::CNodeCopy, &[root], &words),
        answer::ok()
    );
    assert_eq!(
        invoke_label(slot.index, 0, &[], &[]),
        answer::invalid_capability(0)
    );

    rows(&["rights.endpoint.write", "cnode.cancel.rights"]);
    let endpoint = system.endpoint().expect("an endpoint");
    for (rights, expected) in [
        (CapRights::NO_WRITE, false),
        (CapRights::READ, false),
        (CapRights::empty(), false),
        (CapRights::WRITE, true),
    ] {
        let cap: Cap<Endpoint> = system.copy(endpoint, rights).expect("a copy");
        if !expected {
            let seen = invoke_label(cap.bits(), 77, &[], &[1, 2, 3]);
            assert_eq!(seen, answer::invalid_capability(0), "{rights:?}");
        }
        // Nobody waits: dropped, whatever the rights.
        cap.nb_send(libsel4::Message::new(1));
        assert_eq!(
            cap.slot().cancel_badged_sends(),
            Err(Error::IllegalOperation),
            "{rights:?}"
        );
    }
    assert_eq!(endpoint.slot().cancel_badged_sends(), Ok(()));
}

fn moves(system: &mut System) {
    let node = system.cnode(2).expect("a CNode");
    let [a, b, c] = [0, 1, 2].map(|index| SlotPath::new(node, index, 2));
    let slot = system.slot().expect("a slot");
    let endpoint = system.endpoint().expect("an endpoint");
    // Everything can be moved, also what cannot be copied, and back.
    row("cnode.move.any");
    let memory = system.untyped(12).expect("memory");
    let inside = system.slot().expect("a slot");
    memory
        .retype_into(ObjectType::PageTable, 0, init::CNODE, inside.index)
        .expect("a table");
    for cap in [
        init::IRQ_CONTROL.slot(),
        init::DOMAIN_SET.slot(),
        endpoint.slot(),
        memory.slot(),
        inside,
    ] {
        let before = kind(cap);
        a.move_from(&cap).expect("to move");
        assert_eq!(kind(cap), cap_type::NULL);
        assert_eq!(a.move_from(&cap), Err(Error::DeleteFirst));
        assert_eq!(b.move_from(&cap), missing(64));
        b.move_from(&a).expect("to move");
        assert_eq!(c.move_from(&a), missing(2));
        assert_eq!(b.move_from(&b), Err(Error::DeleteFirst));
        slot.move_from(&b).expect("to move");
        assert_eq!(kind(slot), before);
        cap.move_from(&slot).expect("to move");
        assert_eq!(kind(cap), before);
    }
    // So can they be mutated, but for endpoints.
    rows(&["cnode.mutate.any", "cnode.mutate.ignored"]);
    for cap in [
        init::IRQ_CONTROL.slot(),
        init::DOMAIN_SET.slot(),
        memory.slot(),
        inside,
    ] {
        let before = kind(cap);
        slot.mutate_from(&cap, 0x123).expect("to mutate");
        assert_eq!((kind(cap), kind(slot)), (cap_type::NULL, before));
        assert_eq!(slot.mutate_from(&cap, 0), Err(Error::DeleteFirst));
        cap.mutate_from(&slot, 0).expect("to mutate back");
        assert_eq!(kind(cap), before);
    }
    // A mapped frame stays mapped when it moves.
    rows(&["cnode.move.keeps", "cnode.mutate.ignored"]);
    let frame = object::<SmallPage>(system);
    system
        .map(frame, CapRights::all(), VmAttributes::default())
        .expect("to map");
    slot.move_from(&frame.slot()).expect("to move");
    assert_eq!(
        Cap::<SmallPage>::from_bits(slot.index).clean_data(0, 8),
        Ok(())
    );
    frame
        .slot()
        .mutate_from(&slot, 99)
        .expect("to mutate: the data is ignored");
    assert_eq!(frame.clean_data(0, 8), Ok(()));
}

fn missing(bits_left: u64) -> Result<(), Error> {
    let failure = libsel4::LookupFailure::MissingCapability { bits_left };
    Err(Error::FailedLookup {
        source: true,
        failure,
    })
}

fn rotations(system: &mut System) {
    let node = system.cnode(3).expect("a CNode");
    let at = |index| SlotPath::new(node, index, 3);
    let ask = |dest: u64, data: u64, pivot: u64, pivot_data: u64, source: u64| {
        let words = [dest, 3, data, pivot, 3, pivot_data, source, 3];
        let caps = [node.bits(), node.bits()];
        invoke(node.bits(), Invocation::CNodeRotate, &caps, &words)
    };
    let endpoint = system.endpoint().expect("an endpoint");
    let inner = system.cnode(3).expect("a CNode");
    let fill = |index, cap: Cap<Null>| {
        at(index)
            .copy_from(&cap.slot(), CapRights::all())
            .expect("a copy");
    };
    fill(1, init::TCB.cast());
    fill(2, init::DOMAIN_SET.cast());
    fill(3, init::SCHED_CONTEXT.cast());
    fill(4, endpoint.cast());
    fill(5, inner.cast());
    let mut kinds = |expected: [u64; 8]| {
        for (index, expected) in (0..).zip(expected) {
            let seen = tern_target_tests::objects::kind_at(system, at(index));
            assert_eq!(seen, expected, "slot {index}");
        }
    };
    const T: u64 = cap_type::THREAD;
    const D: u64 = cap_type::DOMAIN;
    const S: u64 = cap_type::SCHED_CONTEXT;
    const E: u64 = cap_type::ENDPOINT;
    const C: u64 = cap_type::CNODE;
    let start = [0, T, D, S, E, C, 0, 0];
    kinds(start);

    // The slots in the order source, pivot; then what is in them.
    rows(&[
        "cnode.rotate.order",
        "cnode.rotate.source",
        "cnode.rotate.pivot",
    ]);
    let words = [0, 3, 0, 0, 65, 0, 0, 65];
    let mut caps = [endpoint.bits(), endpoint.bits()];
    let lookup =
        |caps: &[u64], words: &[u64]| invoke(node.bits(), Invocation::CNodeRotate, caps, words);
    assert_eq!(lookup(&caps, &words), answer::invalid_root(true));
    caps[1] = node.bits();
    assert_eq!(lookup(&caps, &words), answer::range(1, 64));
    let words = [0, 3, 0, 0, 65, 0, 1, 3];
    assert_eq!(lookup(&caps, &words), answer::invalid_root(true));
    let words = [0, 3, 0, 0, 4, 0, 1, 3];
    assert_eq!(
        lookup(&[node.bits(), node.bits()], &words),
        answer::depth_mismatch(true, 1, 0)
    );
    row("cnode.rotate.same");
    assert_eq!(
        ask(0, 0, 1, 0, 1),
        answer::illegal_operation(),
        "pivot is source"
    );
    assert_eq!(
        ask(1, 0, 1, 0, 2),
        answer::illegal_operation(),
        "pivot is destination"
    );
    rows(&["cnode.rotate.occupied", "cnode.rotate.order"]);
    assert_eq!(ask(1, 0, 2, 0, 3), answer::delete_first());
    // What is not there, or cannot change, comes later.
    assert_eq!(ask(1, 0, 7, 0, 6), answer::delete_first());
    assert_eq!(ask(1, 0, 4, 0, 5), answer::delete_first());
    rows(&[
        "cnode.rotate.source-empty",
        "cnode.rotate.pivot-empty",
        "cnode.rotate.order",
    ]);
    // An endpoint in one place, nothing in the other.
    assert_eq!(ask(0, 0, 4, 0, 6), answer::missing(true, 3));
    assert_eq!(ask(0, 0, 7, 0, 4), answer::missing(false, 3));
    assert_eq!(
        ask(0, 0, 7, 0, 6),
        answer::missing(true, 3),
        "the source first"
    );
    assert_eq!(
        ask(0, 0, 7, 0, 1),
        answer::missing(false, 3),
        "then the pivot"
    );
    rows(&["cnode.rotate.new-source", "cnode.rotate.new-pivot"]);
    assert_eq!(
        ask(0, 0, 1, 0, 4),
        answer::illegal_operation(),
        "an endpoint as source"
    );
    assert_eq!(
        ask(0, 0, 4, 0, 1),
        answer::illegal_operation(),
        "an endpoint as pivot"
    );
    assert_eq!(
        ask(0, 0, 1, 62, 5),
        answer::illegal_operation(),
        "a guard too long"
    );
    assert_eq!(
        ask(0, 62, 5, 0, 1),
        answer::illegal_operation(),
        "a guard too long for the pivot"
    );
    row("cnode.nothing-done");
    kinds(start);

    // Source to pivot, pivot to destination.
    row("cnode.rotate.moves");
    assert_eq!(ask(0, 0, 1, 0, 2), answer::ok());
    kinds([T, D, 0, S, E, C, 0, 0]);
    // Source and destination are one: they change places.
    row("cnode.rotate.swap");
    assert_eq!(ask(0, 0, 3, 0, 0), answer::ok());
    kinds([S, D, 0, T, E, C, 0, 0]);
    // The first data word is for what ends in the destination, the second for the pivot's new one.
    row("cnode.rotate.data");
    assert_eq!(ask(6, 0, 1, 5 << 6 | 3, 5), answer::ok());
    kinds([S, C, 0, T, E, 0, D, 0]);
    let through = |index, depth| invoke(node.bits(), Invocation::CNodeDelete, &[], &[index, depth]);
    assert_eq!(
        through(1 << 6 | 4 << 3, 9),
        answer::guard_mismatch(false, 6, 5, 3)
    );
    assert_eq!(ask(2, 2 << 6 | 3, 1, 0, 3), answer::ok());
    kinds([S, T, C, 0, E, 0, D, 0]);
    assert_eq!(
        through(2 << 6 | 4 << 3, 9),
        answer::guard_mismatch(false, 6, 2, 3)
    );
}
