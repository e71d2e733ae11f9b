//! The order of derivation: where copies stand, where a badge begins and ends, and that capabilities that are moved,
//! rotated, sent or deleted leave it right. A revoke takes the run of capabilities behind one, so it shows the order.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;

use libsel4::abi::Invocation;
use libsel4::{
    BootInfo, CNode, Cap, CapRights, CapType, Endpoint, Notification, SlotPath, SmallPage, System,
    Tcb, VmAttributes, init, ipc_buffer, root_task,
};
use tern_target_tests::objects::{
    Ended, Puppet, answer, buffer_cap, call_registers, info, invoke, invoke_label, kind, object,
};
use tern_target_tests::rows::{row, rows};

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    behind_their_sources(&mut system);
    runs_of_badges(&mut system);
    inherited_badges(&mut system);
    moves(&mut system);
    rotations(&mut system);
    transfers(&mut system, boot.cores() - 1);
    every_order(&mut system);
}

fn is_there<T: CapType>(cap: Cap<T>) -> bool {
    kind(cap.slot()) != 0
}

fn copy<T: CapType>(system: &mut System, cap: Cap<T>) -> Cap<T> {
    system.copy(cap, CapRights::all()).expect("a copy")
}

fn mint<T: CapType>(system: &mut System, cap: Cap<T>, badge: u64) -> Cap<T> {
    system.mint(cap, CapRights::all(), badge).expect("a badge")
}

fn revoke<T: CapType>(cap: Cap<T>) {
    cap.slot().revoke().expect("to revoke");
}

fn delete<T: CapType>(cap: Cap<T>) {
    cap.slot().delete().expect("to delete");
}

/// Copies stand behind what they were copied from, and not behind the original of all: each badge's copies are in its own
/// run, however the copies were made in turn.
fn behind_their_sources(system: &mut System) {
    row("cdt.copy");
    let endpoint = system.endpoint().expect("an endpoint");
    let badged = [1, 2, 3].map(|badge| mint(system, endpoint, badge));
    let mut copies: [Vec<Cap<Endpoint>>; 3] = [Vec::new(), Vec::new(), Vec::new()];
    for turn in 0..4 {
        for (source, copies) in badged.iter().zip(&mut copies) {
            // Of the original, or of the copy made before.
            let from = copies.last().filter(|_| turn % 2 == 1).unwrap_or(source);
            copies.push(copy(system, *from));
        }
    }
    for taken in [1, 0, 2] {
        assert!(copies[taken].iter().all(|&cap| is_there(cap)));
        revoke(badged[taken]);
        assert!(copies[taken].iter().all(|&cap| !is_there(cap)));
        assert!(badged.map(is_there) == [true; 3]);
    }
}

fn runs_of_badges(system: &mut System) {
    rows(&["cdt.run", "cdt.badge.others"]);
    let notification = system.notification().expect("a notification");
    // In the order of derivation: the original, `second`, `first`, the copy of that.
    let first = mint(system, notification, 5);
    let of_first = copy(system, first);
    let second = mint(system, notification, 5);
    // The next capability is no child of the second: its run is empty, though one of the same badge follows.
    revoke(second);
    assert!(is_there(first) && is_there(of_first));
    let of_second = copy(system, second);
    revoke(second);
    assert!(is_there(first) && is_there(of_first) && !is_there(of_second));
    revoke(first);
    assert!(is_there(second) && !is_there(of_first));
    // An unbadged copy in between belongs to the run of the unbadged original only.
    let plain = copy(system, notification);
    let badged = mint(system, plain, 6);
    let of_badged = copy(system, badged);
    revoke(plain);
    assert!(is_there(badged) && is_there(of_badged));
    revoke(notification);
    let gone = [first, second, plain, badged, of_badged].map(is_there);
    assert_eq!(gone, [false; 5]);
}

/// The first of a badge marks where it begins. Whoever follows it takes the mark over.
fn inherited_badges(system: &mut System) {
    row("cdt.badge.inherit");
    let endpoint = system.endpoint().expect("an endpoint");
    let notification = system.notification().expect("a notification");
    for object in [endpoint.cast::<libsel4::Null>(), notification.cast()] {
        // In order: the object, `later`, `earlier`, its copies.
        let earlier = mint(system, object, 9);
        let copies = [0; 2].map(|_| copy(system, earlier));
        let later = mint(system, object, 9);
        delete(earlier);
        revoke(later);
        assert_eq!(copies.map(is_there), [true; 2], "not of its making");
        delete(copies[1]);
        revoke(later);
        assert!(is_there(copies[0]), "the mark goes on to the next");
        let of_later = copy(system, later);
        revoke(later);
        assert!(is_there(copies[0]) && !is_there(of_later));
        // An original whose whole badge is gone leaves its mark to the other badge, where it changes nothing.
        let other = mint(system, object, 4);
        let of_other = copy(system, other);
        let front = mint(system, object, 2);
        delete(front);
        revoke(other);
        assert!(!is_there(of_other) && is_there(other));
        revoke(object);
        assert!(is_there(object) && ![later, copies[0], other].map(is_there).contains(&true));
    }
}

fn moves(system: &mut System) {
    rows(&["cdt.move", "cnode.move.keeps"]);
    let node = system.cnode(3).expect("a CNode");
    let at = |index| SlotPath::new(node, index, 3);
    let kind_in = |system: &mut System, index| {
        let slot = system.slot().expect("a slot");
        let moved = slot.move_from(&at(index));
        let seen = kind(slot);
        if moved.is_ok() {
            at(index).move_from(&slot).expect("to move back");
        }
        system.free_slot(slot);
        seen
    };
    let tcb = object::<Tcb>(system);
    let first = copy(system, tcb);
    let second = copy(system, tcb);
    // A child moved to another CNode, and the parent too: by moving, and by mutating.
    at(0).move_from(&first.slot()).expect("to move");
    at(1)
        .mutate_from(&second.slot(), 77)
        .expect("the data is ignored");
    at(2).move_from(&tcb.slot()).expect("to move");
    at(3).mutate_from(&at(2), 0).expect("to mutate");
    assert_eq!([0, 1, 2, 3].map(|i| kind_in(system, i)), [12, 12, 0, 12]);
    at(0).revoke().expect("to revoke");
    assert_eq!([0, 1, 2, 3].map(|i| kind_in(system, i)), [12, 12, 0, 12]);
    at(3).revoke().expect("to revoke");
    assert_eq!([0, 1, 2, 3].map(|i| kind_in(system, i)), [0, 0, 0, 12]);
    // With its rights: a capability that may only signal does so when it has been moved.
    let notification = system.notification().expect("a notification");
    let signaller = system
        .mint(notification, CapRights::WRITE, 3)
        .expect("a badge");
    let away = system.slot().expect("a slot");
    away.move_from(&signaller.slot()).expect("to move");
    let moved = Cap::<Notification>::from_bits(away.index);
    moved.signal();
    assert_eq!(notification.poll(), 3, "rights and badge");
    let bound = object::<Tcb>(system).bind_notification(moved);
    assert_eq!(
        bound,
        Err(libsel4::Error::IllegalOperation),
        "no more rights"
    );
    revoke(notification);
    assert!(!is_there(moved));
    // A CNode capability that is mutated is still a child.
    let child = system.cnode(3).expect("a CNode");
    let guarded = copy(system, child);
    away.mutate_from(&guarded.slot(), 5 << 6 | 3)
        .expect("a guard");
    revoke(child);
    assert_eq!(kind(away), 0);
}

/// Parent and children change places in all ways: which is the parent goes with the capability.
fn rotations(system: &mut System) {
    rows(&["cdt.rotate", "cnode.rotate.swap"]);
    let root = init::CNODE.bits();
    let rotate = |dest: SlotPath, pivot: SlotPath, source: SlotPath| {
        let words = [dest.index, 64, 0, pivot.index, 64, 0, source.index, 64];
        let caps = [root, root];
        let seen = invoke(root, Invocation::CNodeRotate, &caps, &words);
        assert_eq!(seen, answer::ok());
    };
    let slots: [SlotPath; 5] = core::array::from_fn(|_| system.slot().expect("a slot"));
    let memory = system.untyped(13).expect("memory");
    // In the order of derivation: parent, third, second, first, each a neighbour of the next; and a stranger.
    let make = |slots: &[SlotPath; 5]| {
        memory
            .retype_into(libsel4::ObjectType::Tcb, 0, init::CNODE, slots[0].index)
            .expect("a thread");
        for child in &slots[1..4] {
            child
                .copy_from(&slots[0], CapRights::all())
                .expect("a copy");
        }
    };
    let there = |slots: &[SlotPath; 5]| slots.map(|slot| kind(slot) != 0);
    // Exchanges of every two of the four.
    for one in 0..4 {
        for other in (0..4).filter(|&other| other != one) {
            make(&slots);
            rotate(slots[one], slots[other], slots[one]);
            let parent = match 0 {
                place if place == one => other,
                place if place == other => one,
                _ => 0,
            };
            // A child takes nothing.
            for child in (0..4).filter(|&child| child != parent) {
                slots[child].revoke().expect("to revoke");
                assert_eq!(there(&slots), [true, true, true, true, false]);
            }
            slots[parent].revoke().expect("to revoke");
            let mut expected = [false; 5];
            expected[parent] = true;
            assert_eq!(there(&slots), expected, "{one} and {other}");
            memory.slot().revoke().expect("to revoke");
        }
    }
    row("cdt.rotate");
    // Three places: pivot to the empty slot, source to the pivot's.
    for pivot in 0..4 {
        for source in (0..4).filter(|&source| source != pivot) {
            make(&slots);
            rotate(slots[4], slots[pivot], slots[source]);
            let parent = match 0 {
                place if place == pivot => 4,
                place if place == source => pivot,
                _ => 0,
            };
            let mut expected = [true; 5];
            expected[source] = false;
            for child in (0..5).filter(|&child| child != parent) {
                slots[child].revoke().expect("to revoke");
                assert_eq!(there(&slots), expected);
            }
            slots[parent].revoke().expect("to revoke");
            let mut expected = [false; 5];
            expected[parent] = true;
            assert_eq!(there(&slots), expected, "{pivot} and {source}");
            memory.slot().revoke().expect("to revoke");
            assert_eq!(there(&slots), [false; 5]);
        }
    }
}

/// A capability that arrives with a message is a copy of the one that was sent.
fn transfers(system: &mut System, core: usize) {
    row("cdt.transfer");
    let puppet = Puppet::new(system, core, 100);
    let endpoint = system.endpoint().expect("an endpoint");
    let notification = system.notification().expect("a notification");
    let badged = mint(system, notification, 1);
    let other = mint(system, notification, 2);
    let slot = system.slot().expect("a slot");
    let send = |cap: Cap<Notification>| {
        puppet.buffer().write(buffer_cap(0), cap.bits());
        ipc_buffer::set_receive_slot(slot);
        let registers = call_registers(-5, endpoint.bits(), info(0, 1, 0), [0; 4], 0);
        puppet.begin_syscall(&registers);
        assert_eq!(endpoint.wait().message.extra_caps(), 1);
        assert!(matches!(puppet.end_of_syscall(), Ended::Returned(_)));
        Cap::<Notification>::from_bits(slot.index)
    };
    // Of a badge's first: its child.
    let arrived = send(badged);
    revoke(other);
    assert!(is_there(arrived));
    revoke(badged);
    assert!(!is_there(arrived) && is_there(badged));
    // Of a copy: that copy's sibling, whatever became of the sender's.
    let copied = copy(system, badged);
    let arrived = send(copied);
    revoke(copied);
    assert!(is_there(arrived));
    delete(copied);
    revoke(badged);
    assert!(!is_there(arrived));
    let arrived = send(badged);
    revoke(arrived);
    revoke(notification);
    assert!(!is_there(arrived) && !is_there(badged));
    // A frame arrives as a child too, and unmapped.
    let frame = object::<SmallPage>(system);
    system
        .map(frame, CapRights::all(), VmAttributes::default())
        .expect("to map");
    let arrived = send(frame.cast());
    let unmapped = arrived.cast::<SmallPage>().clean_data(0, 8);
    assert_eq!(unmapped, Err(libsel4::Error::IllegalOperation));
    revoke(frame);
    assert!(!is_there(arrived));
}

/// Trees of random shape, and each revoke compared with a plain list of who was made from whom.
fn every_order(system: &mut System) {
    rows(&[
        "revoke.all",
        "cdt.untyped.region",
        "cdt.untyped.copies-inside",
    ]);
    const SLOTS: usize = 40;
    let node: Cap<CNode> = system.cnode(6).expect("a CNode");
    let at = |place: usize| SlotPath::new(node, place as u64, 6);
    let memory = system.untyped(18).expect("memory");
    let mut random = 0x9e37_79b9_7f4a_7c15_u64;
    let mut below = |limit: usize| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        (random >> 20) as usize % limit
    };
    for _ in 0..60 {
        // The untyped memory that each slot's object lies in, as the place of its capability; how large it is.
        let mut parents: [Option<usize>; SLOTS] = [None; SLOTS];
        let mut bits = [0; SLOTS];
        memory
            .retype(
                libsel4::ObjectType::Untyped,
                18,
                SlotPath::new(node, 0, 0),
                0,
                1,
            )
            .expect("memory");
        bits[0] = 18;
        for place in 1..SLOTS {
            let from = below(place);
            if bits[from] < 6 {
                continue;
            }
            let words = [0, bits[from] - 2, 0, 0, place as u64, 1];
            let hold = system.slot().expect("a slot");
            hold.move_from(&at(from)).expect("to move");
            let made = invoke_label(hold.index, 1, &[node.bits()], &words);
            at(from).move_from(&hold).expect("to move back");
            system.free_slot(hold);
            if made == answer::ok() {
                bits[place] = bits[from] - 2;
                parents[place] = Some(from);
            }
        }
        let inside = |place: usize, of: usize| {
            let mut next = parents[place];
            while let Some(parent) = next {
                if parent == of {
                    return true;
                }
                next = parents[parent];
            }
            false
        };
        let made: Vec<usize> = (0..SLOTS).filter(|&place| bits[place] > 0).collect();
        let victim = made[below(made.len())];
        // Some memory in between goes; what is in it stays.
        let deleted: Vec<usize> = made
            .iter()
            .copied()
            .filter(|&place| place != victim && place != 0 && below(4) == 0)
            .collect();
        for &place in &deleted {
            at(place).delete().expect("to delete");
        }
        at(victim).revoke().expect("to revoke");
        let slot = system.slot().expect("a slot");
        for &place in &made {
            let expected = !deleted.contains(&place) && !inside(place, victim);
            let moved = slot.move_from(&at(place));
            assert_eq!(moved.is_ok(), expected, "{place} under {victim}");
            if expected {
                at(place).move_from(&slot).expect("to move back");
            }
        }
        system.free_slot(slot);
        memory.slot().revoke().expect("to revoke");
    }
}
