//! Slots are found through guards and several levels, and every way not to find one is told as the interface says: for
//! the destination and for the source of an operation.

#![no_std]
#![no_main]

use libsel4::abi::{Invocation, cap_type};
use libsel4::{BootInfo, CNode, CNodeCapData, Cap, CapRights, SlotPath, System, init, root_task};
use tern_target_tests::objects::{Answer, Puppet, answer, call_registers, info, invoke, kind_at};
use tern_target_tests::rows::{row, rows};

root_task!(main);

const ALL: u64 = 0xf;

fn delete(root: u64, index: u64, depth: u64) -> Answer {
    invoke(root, Invocation::CNodeDelete, &[], &[index, depth])
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    // Slot 3 of the outer CNode leads to the inner one behind the guard 0b1010; slot 5 holds an endpoint.
    let outer = system.cnode(4).expect("a CNode");
    let inner = system.cnode(4).expect("a CNode");
    let endpoint = system.endpoint().expect("an endpoint");
    let guard = CNodeCapData::new(0xa, 4);
    let link = SlotPath::new(outer, 3, 4);
    link.mint_from(&inner.slot(), CapRights::empty(), guard.0)
        .expect("a guard");
    SlotPath::new(outer, 5, 4)
        .copy_from(&endpoint.slot(), CapRights::all())
        .expect("a copy");
    let through = |slot: u64| SlotPath::new(outer, 0x3a0 | slot, 12);

    // Both ways lead to the same slot.
    row("lookup.levels");
    through(9)
        .copy_from(&endpoint.slot(), CapRights::all())
        .expect("a copy");
    assert_eq!(
        kind_at(&mut system, SlotPath::new(inner, 9, 4)),
        cap_type::ENDPOINT
    );
    assert_eq!(kind_at(&mut system, through(9)), cap_type::ENDPOINT);
    // Bits above the depth do not count.
    row("lookup.high-bits");
    let high = SlotPath::new(outer, !0xfff | 0x3a9, 12);
    assert_eq!(kind_at(&mut system, high), cap_type::ENDPOINT);
    // The depth ends at the link itself.
    row("lookup.levels");
    assert_eq!(kind_at(&mut system, link), cap_type::CNODE);

    failures(outer, endpoint.bits());
    assert_eq!(
        kind_at(&mut system, through(9)),
        cap_type::ENDPOINT,
        "nothing was deleted"
    );
    assert_eq!(
        kind_at(&mut system, SlotPath::new(outer, 5, 4)),
        cap_type::ENDPOINT
    );
    guards(&mut system, inner);
    addresses(&mut system, outer, guard);
    root_cspace(&mut system, inner);

    // A CNode with a guard in front is itself a root for look-ups.
    rows(&["lookup.levels", "lookup.guard.other"]);
    let guarded = Cap::<CNode>::from_bits(system.slot().expect("a slot").index);
    guarded
        .slot()
        .mint_from(&inner.slot(), CapRights::all(), guard.0)
        .expect("a guard");
    assert_eq!(
        kind_at(&mut system, SlotPath::new(guarded, 0xa9, 8)),
        cap_type::ENDPOINT
    );
    assert_eq!(
        delete(guarded.bits(), 0xb9, 8),
        answer::guard_mismatch(false, 8, 0xa, 4)
    );
    assert_eq!(delete(guarded.bits(), 0xa9, 8), answer::ok());
    assert_eq!(kind_at(&mut system, through(9)), cap_type::NULL);
}

fn failures(outer: Cap<CNode>, endpoint: u64) {
    let outer = outer.bits();
    // For each: index, depth, and what is wrong, as a destination and as a source.
    type Expected<'a> = &'a dyn Fn(bool) -> Answer;
    let cases: [(u64, u64, Expected<'_>); 14] = [
        (5, 0, &|_| answer::range(1, 64)),
        (5, 65, &|_| answer::range(1, 64)),
        (5, 256 + 4, &|_| answer::range(1, 64)),
        (5, u64::MAX, &|_| answer::range(1, 64)),
        (5, 1, &|source| answer::depth_mismatch(source, 1, 4)),
        (5, 3, &|source| answer::depth_mismatch(source, 3, 4)),
        // Behind the endpoint, and behind an empty slot.
        (0x50, 8, &|source| answer::depth_mismatch(source, 4, 0)),
        (0xa, 5, &|source| answer::depth_mismatch(source, 1, 0)),
        (5 << 60, 64, &|source| answer::depth_mismatch(source, 60, 0)),
        // Too few bits for the guard, or others.
        (0x6, 5, &|source| answer::guard_mismatch(source, 1, 0xa, 4)),
        (0x1d, 7, &|source| answer::guard_mismatch(source, 3, 0xa, 4)),
        (0x3b9, 12, &|source| {
            answer::guard_mismatch(source, 8, 0xa, 4)
        }),
        // The guard matches, but there are not enough bits for the slot.
        (0x3a, 8, &|source| answer::depth_mismatch(source, 4, 8)),
        (0x3a9 >> 1, 11, &|source| {
            answer::depth_mismatch(source, 7, 8)
        }),
    ];
    rows(&[
        "lookup.depth",
        "lookup.guard.short",
        "lookup.guard.other",
        "lookup.too-few-bits",
        "lookup.early-end",
        "lookup.order",
        "error.arguments.depth-word",
        "error.failed-lookup",
        "error.failed-lookup.depth",
        "error.failed-lookup.guard",
        "cnode.dest",
        "cnode.copy.source",
    ]);
    for (index, depth, expected) in cases {
        for method in [Invocation::CNodeRevoke, Invocation::CNodeDelete] {
            let seen = invoke(outer, method, &[], &[index, depth]);
            assert_eq!(seen, expected(false), "{method:?} {index:#x}, {depth}");
        }
        for method in [
            Invocation::CNodeCopy,
            Invocation::CNodeMint,
            Invocation::CNodeMove,
        ] {
            // A wrong source too, which comes later.
            let words = [index, depth, 0, 0, ALL, 0];
            let seen = invoke(outer, method, &[endpoint], &words);
            assert_eq!(seen, expected(false), "{method:?} to {index:#x}, {depth}");
            let words = [0, 4, index, depth, ALL, 0];
            let seen = invoke(outer, method, &[outer], &words);
            assert_eq!(seen, expected(true), "{method:?} from {index:#x}, {depth}");
        }
    }
    // The root of the source is no CNode; a full slot comes before that, an empty source after it.
    rows(&[
        "lookup.root",
        "lookup.order",
        "lookup.empty",
        "cnode.copy.order",
        "cnode.copy.source-empty",
        "error.extra-caps.null",
    ]);
    let copy = |words: &[u64], root| invoke(outer, Invocation::CNodeCopy, &[root], words);
    assert_eq!(
        copy(&[0, 4, 0, 99, ALL], endpoint),
        answer::invalid_root(true)
    );
    assert_eq!(copy(&[5, 4, 0, 99, ALL], endpoint), answer::delete_first());
    assert_eq!(copy(&[0, 4, 0, 99, ALL], 0), answer::invalid_root(true));
    assert_eq!(copy(&[0, 4, 1, 4, ALL], outer), answer::missing(true, 4));
    assert_eq!(
        copy(&[0, 4, 0x3a1, 12, ALL], outer),
        answer::missing(true, 12)
    );
}

/// Which guards there may be.
fn guards(system: &mut System, node: Cap<CNode>) {
    let slot = system.slot().expect("a slot");
    let mint = |data: CNodeCapData| slot.mint_from(&node.slot(), CapRights::all(), data.0);
    rows(&[
        "badge-data.guard.fits",
        "badge-data.guard.layout",
        "cnode.mint.guard",
        "cnode.mint.guard-too-long",
    ]);
    assert_eq!(
        mint(CNodeCapData::new(0, 61)),
        Err(libsel4::Error::IllegalOperation)
    );
    assert_eq!(
        mint(CNodeCapData::new(0, 63)),
        Err(libsel4::Error::IllegalOperation)
    );
    mint(CNodeCapData::new(0x123, 60)).expect("60 and 4 are 64");
    let guarded = Cap::<CNode>::from_bits(slot.index);
    assert_eq!(
        kind_at(system, SlotPath::new(guarded, 0x1239, 64)),
        cap_type::ENDPOINT
    );
    assert_eq!(
        delete(slot.index, 0x1229, 64),
        answer::guard_mismatch(false, 64, 0x123, 60)
    );
    slot.delete().expect("to delete");
    // What does not fit into the guard's size is cut off.
    row("badge-data.guard.cut");
    let mint = |data: u64| slot.mint_from(&node.slot(), CapRights::all(), data);
    mint(0xff << 6 | 4).expect("a guard");
    assert_eq!(
        kind_at(system, SlotPath::new(guarded, 0xf9, 8)),
        cap_type::ENDPOINT
    );
    assert_eq!(
        delete(slot.index, 0x09, 8),
        answer::guard_mismatch(false, 8, 0xf, 4)
    );
    // Mutate takes the guard away again; a copy keeps it.
    rows(&["cnode.mutate.guard", "badge-data.guard.zero-mint"]);
    let other = system.slot().expect("a slot");
    other.copy_from(&slot, CapRights::all()).expect("a copy");
    assert_eq!(
        delete(other.index, 0x09, 8),
        answer::guard_mismatch(false, 8, 0xf, 4)
    );
    slot.delete().expect("to delete");
    slot.mutate_from(&other, 0).expect("to mutate");
    assert_eq!(
        kind_at(system, SlotPath::new(guarded, 9, 4)),
        cap_type::ENDPOINT
    );
    let back = other.mutate_from(&slot, CNodeCapData::new(0, 62).0);
    assert_eq!(back, Err(libsel4::Error::IllegalOperation));
    assert_eq!(
        kind_at(system, SlotPath::new(guarded, 9, 4)),
        cap_type::ENDPOINT
    );
    slot.delete().expect("to delete");
    system.free_slot(slot);
    system.free_slot(other);
}

/// Addresses of a thread's capability space: 64 bits, of which those behind a capability that is no CNode do not count.
fn addresses(system: &mut System, outer: Cap<CNode>, guard: CNodeCapData) {
    row("lookup.cptr");
    let puppet = Puppet::new(system, system.cores() - 1, 100);
    let notification = system.notification().expect("a notification");
    let badged = |badge| {
        let slot = SlotPath::new(outer, 8 + badge, 4);
        slot.mint_from(&notification.slot(), CapRights::all(), badge)
            .expect("a badge");
        slot
    };
    let [in_outer, to_move] = [1, 2].map(badged);
    let inner_path = SlotPath::new(outer, 0x3a0 | 2, 12);
    inner_path.move_from(&to_move).expect("to move");
    assert_eq!(guard, CNodeCapData::new(0xa, 4));
    let set = |data: u64| {
        puppet
            .tcb
            .set_space(Some(puppet.faults), outer, data, init::VSPACE)
            .expect("a space");
    };
    // The fault's badge is that of the handler now: none.
    let signal = |address: u64| {
        puppet.begin_syscall(&call_registers(-5, address, info(0, 0, 0), [0; 4], 0));
        let fault = Answer::of(&puppet.faults.recv(puppet.reply).message);
        (notification.poll(), fault)
    };
    let after = |fault: &Answer| fault.label == 3;
    set(0);
    for low in [0, 1, 0xdead_beef, (1 << 60) - 1] {
        let (badge, fault) = signal(9 << 60 | low);
        assert!(badge == 1 && after(&fault), "{low:#x}: {fault:x?}");
        let (badge, fault) = signal(0x3a2 << 52 | (low >> 8));
        assert!(badge == 2 && after(&fault), "{low:#x}: {fault:x?}");
    }
    let (badge, fault) = signal(0x3b2 << 52);
    let words = [Puppet::trap_address(), 0x3b2 << 52, 0, 4, 60, 0xa, 4];
    assert_eq!((badge, fault), (0, Answer::new(1, &words)));
    // With all bits in use.
    set(CNodeCapData::new(0x55, 60).0);
    let (badge, fault) = signal(0x559);
    assert!(badge == 1 && after(&fault), "{fault:x?}");
    let (badge, fault) = signal(0x569);
    let words = [Puppet::trap_address(), 0x569, 0, 4, 64, 0x55, 60];
    assert_eq!((badge, fault), (0, Answer::new(1, &words)));
    inner_path.delete().expect("to delete");
    in_outer.delete().expect("to delete");
}

/// The root CNode has a guard of 52 zero bits in front of its 12.
fn root_cspace(system: &mut System, inner: Cap<CNode>) {
    rows(&[
        "limit.root-cnode",
        "lookup.guard.short",
        "lookup.too-few-bits",
    ]);
    let root = init::CNODE.bits();
    for depth in 1..52 {
        let seen = delete(root, 9, depth);
        assert_eq!(
            seen,
            answer::guard_mismatch(false, depth, 0, 52),
            "depth {depth}"
        );
    }
    for depth in 52..64 {
        assert_eq!(
            delete(root, 0, depth),
            answer::depth_mismatch(false, depth, 64)
        );
    }
    assert_eq!(
        delete(root, 1 << 12, 64),
        answer::guard_mismatch(false, 64, 0, 52)
    );
    // Through a CNode with no guard of its own: all of the 64 bits are used up at it.
    row("lookup.levels");
    assert_eq!(
        kind_at(system, SlotPath::in_root(inner.bits())),
        cap_type::CNODE
    );
}
