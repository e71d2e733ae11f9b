//! Every type of object can be made, lies where its size says, and is gone after a revoke, when the memory is all there
//! again and zero.

#![no_std]
#![no_main]

use libsel4::abi::{Invocation, ObjectType, cap_type};
use libsel4::{
    BootInfo, CNode, Cap, CapRights, SlotPath, SmallPage, System, Untyped, init, root_task,
};
use tern_target_tests::objects::{Window, answer, invoke, kind};
use tern_target_tests::rows::{row, rows};

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    every_type(&mut system);
    alignment(&mut system);
    fan_out(&mut system);
    reuse_is_zero(&mut system);
    copies(&mut system);
}

/// Bytes after the watermark of memory that has children; asking for too much tells.
fn free(untyped: Cap<Untyped>) -> u64 {
    let words = [ObjectType::Untyped as u64, 47, 0, 0, 0, 1];
    let answer = invoke(
        untyped.bits(),
        Invocation::UntypedRetype,
        &[init::CNODE.bits()],
        &words,
    );
    assert_eq!(answer.label, 10, "not enough memory");
    answer.words[0]
}

fn make(untyped: Cap<Untyped>, kind: ObjectType, size: u64, node: Cap<CNode>, at: u64, count: u64) {
    untyped
        .retype(kind, size, SlotPath::new(node, 0, 0), at, count)
        .unwrap_or_else(|error| panic!("{count} of {kind:?}: {error}"));
}

fn every_type(system: &mut System) {
    rows(&[
        "object.untyped",
        "object.untyped.bounds",
        "object.tcb",
        "object.endpoint",
        "object.notification",
        "object.cnode",
        "object.sched-context",
        "object.reply",
        "object.vspace",
        "object.small-page",
        "object.large-page",
        "object.page-table",
        "object.size-ignored",
        "object.memory.watermark",
        "object.memory.granularity",
        "object.memory.reset",
        "untyped.room.childless",
        "untyped.children",
        "cdt.retype",
        "revoke.untyped",
        "object.cap-type.frame",
        "object.cap-type.untyped",
        "object.cap-type.page-table",
        "object.cap-type.endpoint",
        "object.cap-type.notification",
        "object.cap-type.reply",
        "object.cap-type.vspace",
        "object.cap-type.cnode",
        "object.cap-type.thread",
        "object.cap-type.sched-context",
    ]);
    let node = system.cnode(1).expect("a CNode");
    for (object, size, bits, expected) in [
        (ObjectType::Untyped, 4, 4, cap_type::UNTYPED),
        (ObjectType::Untyped, 15, 15, cap_type::UNTYPED),
        (ObjectType::Tcb, 0, 11, cap_type::THREAD),
        (ObjectType::Endpoint, 0, 4, cap_type::ENDPOINT),
        (ObjectType::Notification, 63, 6, cap_type::NOTIFICATION),
        (ObjectType::CNode, 1, 6, cap_type::CNODE),
        (ObjectType::CNode, 10, 15, cap_type::CNODE),
        (ObjectType::SchedContext, 7, 7, cap_type::SCHED_CONTEXT),
        (ObjectType::SchedContext, 12, 12, cap_type::SCHED_CONTEXT),
        (ObjectType::Reply, 0, 5, cap_type::REPLY),
        (ObjectType::VSpace, 0, 12, cap_type::VSPACE),
        (ObjectType::SmallPage, 0, 12, cap_type::FRAME),
        (ObjectType::LargePage, 0, 21, cap_type::FRAME),
        (ObjectType::PageTable, 17, 12, cap_type::PAGE_TABLE),
    ] {
        let whole = bits + 1;
        let untyped = system.untyped(whole as u8).expect("memory");
        let slots = [
            system.slot().expect("a slot"),
            system.slot().expect("a slot"),
        ];
        make(untyped, object, size, node, 0, 1);
        assert_eq!(free(untyped), 1 << bits, "after one {object:?}");
        make(untyped, object, size, node, 1, 1);
        assert_eq!(free(untyped), 0, "after two of {object:?}");
        for (index, slot) in slots.iter().enumerate() {
            slot.move_from(&SlotPath::new(node, index as u64, 1))
                .expect("to move");
            assert_eq!(kind(*slot), expected, "{object:?}");
        }
        untyped.slot().revoke().expect("to revoke");
        for slot in slots {
            assert_eq!(kind(slot), cap_type::NULL, "{object:?} after the revoke");
            system.free_slot(slot);
        }
        // All of the memory again.
        make(untyped, object, size, node, 0, 2);
        system.destroy(untyped).expect("to revoke");
    }
    system.destroy(node).expect("to destroy");
}

/// Objects are aligned to their size; what is skipped is lost until all is given back.
fn alignment(system: &mut System) {
    rows(&["object.memory.alignment", "object.memory.granularity"]);
    let untyped = system.untyped(14).expect("memory");
    let node = system.cnode(4).expect("a CNode");
    let address = |system: &mut System, index| {
        let slot = system.slot().expect("a slot");
        slot.copy_from(&SlotPath::new(node, index, 4), CapRights::all())
            .expect("to copy");
        let address = Cap::<SmallPage>::from_bits(slot.index)
            .get_address()
            .expect("an address");
        slot.delete().expect("to delete");
        system.free_slot(slot);
        address
    };
    make(untyped, ObjectType::SmallPage, 0, node, 0, 1);
    let start = address(system, 0);
    assert_eq!(start % (1 << 14), 0);
    make(untyped, ObjectType::Endpoint, 0, node, 1, 1);
    assert_eq!(free(untyped), (1 << 14) - 4096 - 16);
    make(untyped, ObjectType::Tcb, 0, node, 2, 1);
    assert_eq!(free(untyped), (1 << 14) - 8192);
    make(untyped, ObjectType::Reply, 0, node, 3, 1);
    row("object.memory.capacity");
    // The room that is left is 8160 bytes; it is measured before the alignment, which two pages do not pass.
    let words = [ObjectType::SmallPage as u64, 0, 0, 0, 4, 2];
    let two = invoke(
        untyped.bits(),
        Invocation::UntypedRetype,
        &[node.bits()],
        &words,
    );
    assert_eq!(two, answer::not_enough_memory(8192 - 32));
    make(untyped, ObjectType::SmallPage, 0, node, 4, 1);
    assert_eq!(address(system, 4), start + 3 * 4096);
    assert_eq!(free(untyped), 0);

    rows(&[
        "object.memory.reset",
        "object.memory.watermark",
        "object.memory.contiguous",
    ]);
    // Deleting all but one child gives nothing back; deleting the last one gives everything back.
    for index in [0, 1, 2, 3] {
        node.delete(index, 4).expect("to delete");
    }
    let full = invoke(
        untyped.bits(),
        Invocation::UntypedRetype,
        &[node.bits()],
        &words,
    );
    assert_eq!(full, answer::delete_first());
    assert_eq!(free(untyped), 0);
    node.delete(4, 4).expect("to delete");
    make(untyped, ObjectType::SmallPage, 0, node, 0, 4);
    for index in 0..4 {
        assert_eq!(address(system, index), start + index * 4096);
    }
    system.destroy(untyped).expect("to revoke");
    system.destroy(node).expect("to destroy");
}

fn fan_out(system: &mut System) {
    rows(&["limit.fan-out", "untyped.count"]);
    let untyped = system.untyped(12).expect("memory");
    let node = system.cnode(9).expect("a CNode");
    let words = [ObjectType::Endpoint as u64, 0, 0, 0, 0, 257];
    let many = invoke(
        untyped.bits(),
        Invocation::UntypedRetype,
        &[node.bits()],
        &words,
    );
    assert_eq!(many, answer::range(1, 256));
    make(untyped, ObjectType::Endpoint, 0, node, 17, 256);
    assert_eq!(free(untyped), 0);
    let slot = system.slot().expect("a slot");
    for index in 0..512 {
        let made = (17..17 + 256).contains(&index);
        let moved = slot.move_from(&SlotPath::new(node, index, 9));
        assert_eq!(moved.is_ok(), made, "slot {index}");
        if made {
            assert_eq!(kind(slot), cap_type::ENDPOINT, "slot {index}");
            slot.delete().expect("to delete");
        }
    }
    // All are gone, so the memory is free.
    make(untyped, ObjectType::Untyped, 12, node, 0, 1);
    system.free_slot(slot);
    system.destroy(untyped).expect("to revoke");
    system.destroy(node).expect("to destroy");
}

fn reuse_is_zero(system: &mut System) {
    row("object.memory.zero");
    let untyped = system.untyped(15).expect("memory");
    let node = system.cnode(3).expect("a CNode");
    let slots: [SlotPath; 8] = core::array::from_fn(|_| system.slot().expect("a slot"));
    for round in 0..3 {
        make(untyped, ObjectType::SmallPage, 0, node, 0, 8);
        for (slot, index) in slots.iter().zip(0..) {
            slot.move_from(&SlotPath::new(node, index, 3))
                .expect("to move");
            let page = Window::map(system, Cap::<SmallPage>::from_bits(slot.index));
            assert!(page.is_all(0), "round {round}");
            page.fill(0xdead_beef_0000_0001);
        }
        untyped.slot().revoke().expect("to revoke");
        // In between as other objects, whose contents are the kernel's.
        make(untyped, ObjectType::Tcb, 0, node, 0, 8);
        untyped.slot().revoke().expect("to revoke");
    }
    slots.into_iter().for_each(|slot| system.free_slot(slot));
    system.destroy(untyped).expect("to revoke");
    system.destroy(node).expect("to destroy");
}

/// A copy of untyped memory has the memory; the source counts as used up until the copy is gone.
fn copies(system: &mut System) {
    rows(&["object.memory.copy", "cdt.untyped", "cnode.copy.untyped"]);
    let untyped = system.untyped(12).expect("memory");
    let copy = system.copy(untyped, CapRights::empty()).expect("a copy");
    assert_eq!(free(untyped), 0);
    let node = system.cnode(1).expect("a CNode");
    make(copy, ObjectType::SmallPage, 0, node, 0, 1);
    let slot = system.slot().expect("a slot");
    let again = |source: Cap<Untyped>| slot.copy_from(&source.slot(), CapRights::all());
    assert_eq!(again(untyped), Err(libsel4::Error::RevokeFirst));
    assert_eq!(again(copy), Err(libsel4::Error::RevokeFirst));
    copy.slot().revoke().expect("to revoke");
    assert_eq!(again(untyped), Err(libsel4::Error::RevokeFirst));
    assert_eq!(again(copy), Ok(()));
    untyped.slot().revoke().expect("to revoke");
    assert_eq!(
        (kind(copy.slot()), kind(slot)),
        (cap_type::NULL, cap_type::NULL)
    );
    make(untyped, ObjectType::SmallPage, 0, node, 0, 1);
    system.free_slot(copy.slot());
    system.free_slot(slot);
    system.destroy(untyped).expect("to revoke");
    system.destroy(node).expect("to destroy");
}
