//! Retype refuses what it must, in the order of its checks, with the words of each error, and changes nothing then.

#![no_std]
#![no_main]

use libsel4::abi::{Invocation, ObjectType};
use libsel4::{BootInfo, CNode, Cap, CapRights, SlotPath, System, Untyped, init, root_task};
use tern_target_tests::objects::{Answer, answer, invoke, invoke_label, kind_at};
use tern_target_tests::rows::{row, rows};

root_task!(main);

/// Word `index` of a good request (16 endpoints' worth of room is asked for one) replaced by another value.
#[derive(Clone, Copy)]
struct Request {
    words: [u64; 6],
    root: u64,
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let untyped = system.untyped(14).expect("memory");
    let node = system.cnode(4).expect("a CNode");
    let endpoint = system.endpoint().expect("an endpoint");
    let good = Request {
        words: [ObjectType::Endpoint as u64, 0, 0, 0, 0, 1],
        root: node.bits(),
    };
    let ask = |request: Request| {
        invoke(
            untyped.bits(),
            Invocation::UntypedRetype,
            &[request.root],
            &request.words,
        )
    };
    let with = |changes: &[(usize, u64)]| {
        let mut request = good;
        for &(index, value) in changes {
            request.words[index] = value;
        }
        request
    };

    // 1, 2: label, length.
    row("untyped.label");
    for label in [0, 2, 18, 100, (1 << 52) - 1] {
        let answer = invoke_label(untyped.bits(), label, &[good.root], &good.words);
        assert_eq!(answer, answer::illegal_operation(), "label {label}");
        let short = invoke_label(untyped.bits(), label, &[], &[]);
        assert_eq!(short, answer::illegal_operation(), "label {label}");
    }
    rows(&["untyped.truncated", "error.truncated"]);
    let short = |caps: &[u64], words: &[u64]| {
        invoke(untyped.bits(), Invocation::UntypedRetype, caps, words)
    };
    assert_eq!(short(&[good.root], &good.words[..5]), answer::truncated());
    assert_eq!(
        short(&[good.root], &[99, 64, 0, 65, 99]),
        answer::truncated()
    );
    assert_eq!(short(&[], &[99, 64, 0, 65, 99, 0]), answer::truncated());
    assert_eq!(short(&[], &good.words), answer::truncated());

    // 3 to 7: each check wins over all that come later.
    let late = [(3, 65), (4, 99), (5, 0)];
    let wrong = |first: &[(usize, u64)]| {
        let mut request = with(&late);
        for &(index, value) in first {
            request.words[index] = value;
        }
        ask(request)
    };
    rows(&[
        "untyped.order",
        "untyped.type",
        "object.type-count",
        "error.invalid-argument",
    ]);
    for kind in [12, 13, 0xfffe, 0xffff, 1 << 32, u64::MAX] {
        assert_eq!(
            wrong(&[(0, kind), (1, 64)]),
            answer::invalid_argument(0),
            "type {kind}"
        );
    }
    rows(&["untyped.size-range", "untyped.size-range.fixed"]);
    for kind in 0..12 {
        for size in [64, 1 << 32, u64::MAX] {
            assert_eq!(
                wrong(&[(0, kind), (1, size)]),
                answer::range(0, 47),
                "type {kind}"
            );
        }
    }
    rows(&["untyped.size-range", "object.untyped.bounds"]);
    for (kind, size) in [
        (ObjectType::Untyped, 48),
        (ObjectType::SchedContext, 48),
        (ObjectType::CNode, 43),
        (ObjectType::CNode, 63),
    ] {
        assert_eq!(
            wrong(&[(0, kind as u64), (1, size)]),
            answer::range(0, 47),
            "{kind:?}"
        );
    }
    rows(&[
        "untyped.cnode-size",
        "untyped.untyped-size",
        "untyped.sc-size",
        "object.untyped.bounds",
        "object.cnode.smallest",
        "object.sched-context.smallest",
    ]);
    for (kind, size) in [
        (ObjectType::CNode, 0),
        (ObjectType::Untyped, 0),
        (ObjectType::Untyped, 3),
        (ObjectType::SchedContext, 0),
        (ObjectType::SchedContext, 6),
    ] {
        assert_eq!(
            wrong(&[(0, kind as u64), (1, size)]),
            answer::invalid_argument(1),
            "{kind:?}"
        );
    }

    // 8, 9: finding the destination.
    row("untyped.order");
    lookups(&mut system, &ask, with, node, endpoint.bits());

    // 10 to 13: the window of slots.
    rows(&["untyped.offset", "untyped.order"]);
    assert_eq!(ask(with(&[(4, 16), (5, 0)])), answer::range(0, 15));
    assert_eq!(ask(with(&[(4, u64::MAX), (5, 0)])), answer::range(0, 15));
    rows(&["untyped.count", "limit.fan-out", "error.range"]);
    assert_eq!(ask(with(&[(4, 15), (5, 0)])), answer::range(1, 256));
    assert_eq!(ask(with(&[(4, 15), (5, 257)])), answer::range(1, 256));
    assert_eq!(ask(with(&[(4, 15), (5, u64::MAX)])), answer::range(1, 256));
    row("untyped.window");
    assert_eq!(ask(with(&[(4, 3), (5, 14)])), answer::range(1, 13));
    assert_eq!(ask(with(&[(4, 15), (5, 256)])), answer::range(1, 1));
    let occupied = SlotPath::new(node, 7, 4);
    occupied
        .copy_from(&endpoint.slot(), CapRights::all())
        .expect("to copy");
    rows(&["untyped.occupied", "error.delete-first"]);
    assert_eq!(ask(with(&[(4, 7), (5, 10)])), answer::range(1, 9));
    let page = ObjectType::LargePage as u64;
    assert_eq!(
        ask(with(&[(0, page), (4, 4), (5, 4)])),
        answer::delete_first()
    );
    assert_eq!(
        ask(with(&[(0, page), (4, 7), (5, 1)])),
        answer::delete_first()
    );

    // 14: room.
    rows(&["untyped.room", "error.not-enough-memory", "untyped.order"]);
    assert_eq!(ask(with(&[(0, page)])), answer::not_enough_memory(1 << 14));
    let piece = |bits, count| with(&[(0, 0), (1, bits), (4, 8), (5, count)]);
    assert_eq!(ask(piece(14, 2)), answer::not_enough_memory(1 << 14));
    assert_eq!(ask(piece(47, 8)), answer::not_enough_memory(1 << 14));

    // Nothing happened: no slot is filled, and all memory is there.
    rows(&["untyped.nothing-done", "untyped.room"]);
    for index in (0..16).filter(|&index| index != 7) {
        assert_eq!(
            kind_at(&mut system, SlotPath::new(node, index, 4)),
            0,
            "slot {index}"
        );
    }
    assert_eq!(ask(piece(14, 1)), answer::ok());
    assert_eq!(ask(piece(4, 1)), answer::delete_first());
    assert_eq!(ask(with(&[])), answer::not_enough_memory(0));

    devices(boot, node);
}

fn lookups(
    system: &mut System,
    ask: &dyn Fn(Request) -> Answer,
    with: impl Fn(&[(usize, u64)]) -> Request,
    node: Cap<CNode>,
    endpoint: u64,
) {
    let root = |mut request: Request, root| {
        request.root = root;
        request
    };
    let late = (4, 99);
    // Depth 0 names the root itself.
    rows(&[
        "untyped.not-a-cnode",
        "error.failed-lookup",
        "error.failed-lookup.missing",
    ]);
    assert_eq!(
        ask(root(with(&[late]), endpoint)),
        answer::missing(false, 0)
    );
    rows(&[
        "untyped.lookup",
        "lookup.root",
        "error.failed-lookup.invalid-root",
    ]);
    assert_eq!(
        ask(root(with(&[late, (3, 1)]), endpoint)),
        answer::invalid_root(false)
    );
    assert_eq!(
        ask(root(with(&[late, (3, 65)]), endpoint)),
        answer::invalid_root(false)
    );
    rows(&["untyped.lookup", "lookup.depth"]);
    assert_eq!(ask(with(&[late, (3, 65)])), answer::range(1, 64));
    assert_eq!(ask(with(&[late, (3, u64::MAX)])), answer::range(1, 64));
    row("untyped.lookup");
    assert_eq!(
        ask(with(&[late, (3, 3)])),
        answer::depth_mismatch(false, 3, 4)
    );
    row("untyped.not-a-cnode");
    assert_eq!(ask(with(&[late, (3, 4)])), answer::missing(false, 4));
    assert_eq!(
        ask(with(&[late, (3, 8)])),
        answer::depth_mismatch(false, 4, 0)
    );
    let in_root = with(&[late, (2, endpoint), (3, 64)]);
    assert_eq!(
        ask(root(in_root, init::CNODE.bits())),
        answer::missing(false, 64)
    );
    row("untyped.lookup");
    let guarded = system.slot().expect("a slot");
    guarded
        .mint_from(&node.slot(), CapRights::all(), 5 << 6 | 3)
        .expect("a guard");
    let request = with(&[late, (2, 4 << 4), (3, 7)]);
    assert_eq!(
        ask(root(request, guarded.index)),
        answer::guard_mismatch(false, 7, 5, 3)
    );
    guarded.delete().expect("to delete");

    // Found through the root CNode: then the offset is checked.
    let found = with(&[late, (2, node.bits()), (3, 64)]);
    assert_eq!(ask(root(found, init::CNODE.bits())), answer::range(0, 15));
    // And depth 0 takes the CNode itself, whatever the index.
    row("untyped.depth-0");
    assert_eq!(
        ask(with(&[late, (2, u64::MAX), (3, 0)])),
        answer::range(0, 15)
    );
}

/// Device memory makes untyped memory and pages only. That is the last check, after room.
fn devices(boot: &'static BootInfo, node: Cap<CNode>) {
    let device = boot
        .untypeds()
        .filter(|piece| piece.is_device && piece.size_bits >= 12)
        .min_by_key(|piece| piece.size_bits)
        .expect("device memory");
    let make = |untyped: Cap<Untyped>, kind: ObjectType, size, slot| {
        let words = [kind as u64, size, 0, 0, slot, 1];
        invoke(
            untyped.bits(),
            Invocation::UntypedRetype,
            &[node.bits()],
            &words,
        )
    };
    rows(&[
        "untyped.device",
        "untyped.order",
        "object.memory.device-types",
    ]);
    for (kind, size) in [
        (ObjectType::Tcb, 0),
        (ObjectType::Endpoint, 0),
        (ObjectType::Notification, 0),
        (ObjectType::CNode, 1),
        (ObjectType::SchedContext, 7),
        (ObjectType::Reply, 0),
        (ObjectType::VSpace, 0),
        (ObjectType::PageTable, 0),
    ] {
        assert_eq!(
            make(device.cap, kind, size, 0),
            answer::invalid_argument(1),
            "{kind:?}"
        );
        assert_eq!(
            make(device.cap, kind, size, 7),
            answer::delete_first(),
            "{kind:?}"
        );
    }
    let bits = u64::from(device.size_bits);
    let too_large = make(device.cap, ObjectType::CNode, bits - 4, 0);
    assert_eq!(too_large, answer::not_enough_memory(1 << bits));
    // Memory made from it is device memory too.
    rows(&["object.memory.device-inherits", "untyped.device"]);
    assert_eq!(make(device.cap, ObjectType::Untyped, 12, 0), answer::ok());
    let child = Cap::<Untyped>::from_bits(boot.empty_slots().end - 1);
    child
        .slot()
        .move_from(&SlotPath::new(node, 0, 4))
        .expect("to move");
    assert_eq!(
        make(child, ObjectType::Endpoint, 0, 0),
        answer::invalid_argument(1)
    );
    row("object.memory.device-types");
    assert_eq!(make(child, ObjectType::SmallPage, 0, 0), answer::ok());
    assert_eq!(
        make(child, ObjectType::SmallPage, 0, 1),
        answer::not_enough_memory(0)
    );
    device.cap.slot().revoke().expect("to revoke");
    // The whole of it again.
    assert_eq!(make(device.cap, ObjectType::Untyped, bits, 0), answer::ok());
    device.cap.slot().revoke().expect("to revoke");
}
