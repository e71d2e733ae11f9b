//! Badges: who can be given one, what keeps it, and what the receiver sees of it.

#![no_std]
#![no_main]

use libsel4::abi::Invocation;
use libsel4::{
    BootInfo, Cap, CapRights, Endpoint, Error, Message, Notification, SlotPath, System, init,
    root_task,
};
use tern_target_tests::calls::{CALL, COMBINED, NB_SEND, SEND, combined_with, returned};
use tern_target_tests::objects::{Puppet, Settler, answer, call_registers, info, invoke};
use tern_target_tests::rows::{row, rows};

root_task!(main);

const BADGES: [u64; 6] = [
    1,
    0xff,
    0x1_0000_0000,
    1 << 63,
    0x0123_4567_89ab_cdef,
    u64::MAX,
];

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    delivered(&mut system, boot.cores() - 1);
    given(&mut system);
    notifications(&mut system);
    kept(&mut system);
    unchangeable(&mut system);
}

fn delivered(system: &mut System, core: usize) {
    let sender = Puppet::new(system, core, 100);
    let receiver = Puppet::new(system, 0, 90);
    let settler = Settler::new(system);
    let endpoint = system.endpoint().expect("an endpoint");
    let source = system.notification().expect("a notification");
    let reply = system.reply().expect("a reply object");
    let slot = system.slot().expect("a slot");
    let unbadged = [0];
    for badge in BADGES.into_iter().chain(unbadged) {
        if badge == 0 {
            rows(&["badge.unbadged", "syscall.result.unbadged"]);
        } else {
            rows(&["badge.delivered", "syscall.result.message"]);
        }
        slot.mint_from(&endpoint.slot(), CapRights::all(), badge)
            .expect("a badge");
        for number in [SEND, NB_SEND, CALL].into_iter().chain(COMBINED) {
            // A receiver that waits, and then one that comes later.
            for waits in [true, false] {
                if !waits && ![SEND, CALL].contains(&number) {
                    continue;
                }
                let before = if COMBINED.contains(&number) {
                    let (source, reply) = (source.bits(), reply.bits());
                    combined_with(
                        number,
                        slot.index,
                        source,
                        reply,
                        info(9, 0, 1),
                        [7, 0, 0, 0],
                    )
                } else {
                    call_registers(number, slot.index, info(9, 0, 1), [7, 0, 0, 0], 0)
                };
                let wait = call_registers(-7, endpoint.bits(), 0, [0; 4], reply.bits());
                if waits {
                    receiver.begin_syscall(&wait);
                    settler.settle();
                    sender.begin_syscall(&before);
                } else {
                    sender.begin_syscall(&before);
                    settler.settle();
                    receiver.begin_syscall(&wait);
                }
                let after = returned(receiver.end_of_syscall());
                assert_eq!([after.x0, after.x1, after.x2], [badge, info(9, 0, 1), 7]);
                if number == CALL {
                    reply.send(Message::new(0));
                } else if COMBINED.contains(&number) {
                    source.signal();
                }
                returned(sender.end_of_syscall());
            }
        }
        slot.delete().expect("to delete");
    }
    // The badge of a fault is the handler capability's.
    row("syscall.result.fault");
    for badge in BADGES.into_iter().chain(unbadged) {
        slot.mint_from(&endpoint.slot(), CapRights::all(), badge)
            .expect("a badge");
        let (mcp, sc, handler) = (
            0,
            sender.sched.cap(),
            Cap::<Endpoint>::from_bits(slot.index),
        );
        sender
            .tcb
            .set_sched_params(init::TCB, mcp, 100, Some(sc), Some(handler))
            .expect("a handler");
        slot.delete().expect("to delete");
        for (number, label) in [(SEND, 1), (-1000, 2), (-11, 3)] {
            sender.begin_syscall(&call_registers(number, 1 << 12, 0, [0; 4], 0));
            let received = endpoint.recv(reply);
            assert_eq!((received.badge, received.label()), (badge, label));
        }
    }
}

/// Which capabilities can be given a badge.
fn given(system: &mut System) {
    let slot = system.slot().expect("a slot");
    let sources = [
        system.endpoint().expect("an endpoint").slot(),
        system.notification().expect("a notification").slot(),
    ];
    for source in sources {
        row("badge.mint-once");
        let badged = system.slot().expect("a slot");
        badged
            .mint_from(&source, CapRights::all(), 5)
            .expect("a badge");
        for badge in [0, 5, 6, u64::MAX] {
            assert_eq!(
                slot.mint_from(&badged, CapRights::all(), badge),
                Err(Error::IllegalOperation),
                "badge {badge}"
            );
        }
        // A copy is no better.
        slot.copy_from(&badged, CapRights::all()).expect("a copy");
        let third = system.slot().expect("a slot");
        assert_eq!(
            third.mint_from(&slot, CapRights::all(), 5),
            Err(Error::IllegalOperation)
        );
        slot.delete().expect("to delete");
        row("badge.mint-zero");
        slot.mint_from(&source, CapRights::all(), 0)
            .expect("no badge");
        third
            .mint_from(&slot, CapRights::all(), 7)
            .expect("a badge");
        slot.delete().expect("to delete");
        third.delete().expect("to delete");
    }
}

fn notifications(system: &mut System) {
    row("badge.notification-or");
    let plain = system.notification().expect("a notification");
    let mut seen = 0;
    for badge in BADGES.into_iter().take(4) {
        let cap = system.mint(plain, CapRights::WRITE, badge);
        cap.expect("a badge").signal();
        // A signal without badge adds nothing.
        plain.signal();
        seen |= badge;
    }
    assert_eq!(plain.poll(), seen);
    assert_eq!(plain.poll(), 0);
}

/// A capability's badge, by a signal through it.
fn badge_of(slot: SlotPath, plain: Cap<Notification>) -> u64 {
    libsel4::syscall::signal(slot.index);
    plain.poll()
}

fn kept(system: &mut System) {
    let plain = system.notification().expect("a notification");
    let [first, second] = [(); 2].map(|()| system.slot().expect("a slot"));
    first
        .mint_from(&plain.slot(), CapRights::all(), u64::MAX)
        .expect("a badge");
    row("badge.copy");
    second.copy_from(&first, CapRights::WRITE).expect("a copy");
    assert_eq!(badge_of(second, plain), u64::MAX);
    second.delete().expect("to delete");
    row("badge.move");
    second.move_from(&first).expect("to move");
    assert_eq!(badge_of(second, plain), u64::MAX);
    assert_eq!(badge_of(first, plain), 0, "it is empty");
}

fn unchangeable(system: &mut System) {
    let endpoint = system.endpoint().expect("an endpoint");
    let notification = system.notification().expect("a notification");
    let caps = [
        endpoint.slot(),
        notification.slot(),
        system
            .mint(endpoint, CapRights::all(), 5)
            .expect("a badge")
            .slot(),
        system
            .mint(notification, CapRights::all(), 5)
            .expect("a badge")
            .slot(),
    ];
    let other = system
        .copy(init::TCB, CapRights::all())
        .expect("a copy")
        .slot();
    let empty = system.slot().expect("a slot");
    let root = init::CNODE.bits();
    for cap in caps {
        row("badge.mutate");
        for data in [0, 5, 6, u64::MAX] {
            assert_eq!(
                empty.mutate_from(&cap, data),
                Err(Error::IllegalOperation),
                "data {data}"
            );
        }
        row("badge.rotate");
        // As the first, and as the second of the two that move.
        for (source, pivot) in [(cap, other), (other, cap)] {
            for data in [0, 5] {
                let words = [
                    empty.index,
                    64,
                    data,
                    pivot.index,
                    64,
                    data,
                    source.index,
                    64,
                ];
                let seen = invoke(root, Invocation::CNodeRotate, &[root, root], &words);
                assert_eq!(seen, answer::illegal_operation());
            }
        }
    }
    // They are where they were.
    libsel4::syscall::signal(caps[3].index);
    assert_eq!(notification.poll(), 5);
}
