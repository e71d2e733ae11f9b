//! CNodes that hold each other, or themselves, and large ones that take long to delete: nothing is lost, others run
//! meanwhile and see a consistent state, and the memory comes back with a revoke.
//! timeout: 120

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use libsel4::abi::{Invocation, ObjectType, cap_type};
use libsel4::{
    BootInfo, Budget, CNode, Cap, CapRights, SlotPath, System, ThreadBuilder, Untyped, init,
    root_task,
};
use tern_target_tests::objects::{answer, invoke, kind};
use tern_target_tests::rows::{row, rows};

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    within_itself(&mut system);
    within_each_other(&mut system);
    last_capability_inside(&mut system);
    chain(&mut system);
    large_while_others_run(&mut system);
    moved_away(&mut system);
    from_several_sides(&mut system);
}

/// A CNode in memory of its own.
struct Node {
    memory: Cap<Untyped>,
    cap: Cap<CNode>,
    radix: u64,
}

impl Node {
    fn new(system: &mut System, radix: u64) -> Self {
        let memory = system.untyped(radix as u8 + 5).expect("memory");
        let slot = system.slot().expect("a slot");
        memory
            .retype_into(ObjectType::CNode, radix, init::CNODE, slot.index)
            .expect("a CNode");
        Self {
            memory,
            cap: Cap::from_bits(slot.index),
            radix,
        }
    }

    fn at(&self, index: u64) -> SlotPath {
        SlotPath::new(self.cap, index, self.radix)
    }

    /// Whether all of its memory can be had again at once.
    fn is_free(&self) -> bool {
        is_free(self.memory)
    }

    fn revoke(&self) {
        self.memory.slot().revoke().expect("to revoke");
        assert_eq!(kind(self.cap.slot()), cap_type::NULL);
        assert!(self.is_free());
    }
}

/// Whether no object is in memory that one object fills: asked by a request that is too large for what is left.
fn is_free(memory: Cap<Untyped>) -> bool {
    let words = [ObjectType::Untyped as u64, 47, 0, 0, 0, 1];
    let root = init::CNODE.bits();
    let seen = invoke(memory.bits(), Invocation::UntypedRetype, &[root], &words);
    assert_eq!(seen.label, 10, "too large");
    seen.words[0] > 0
}

fn within_itself(system: &mut System) {
    // A copy in itself: the capability outside is not the last one.
    row("delete.cycles");
    let node = Node::new(system, 4);
    for index in [0, 7, 15] {
        node.at(index)
            .copy_from(&node.cap.slot(), CapRights::all())
            .expect("a copy");
    }
    // It is found through itself, over and over.
    let deep = SlotPath::new(node.cap, 0x77f0, 16);
    assert_eq!(
        deep.copy_from(&init::TCB.slot(), CapRights::all()),
        Err(libsel4::Error::DeleteFirst)
    );
    node.cap.slot().delete().expect("to delete");
    assert!(!node.is_free(), "it holds itself");
    node.revoke();

    // The only capability moved into it.
    let node = Node::new(system, 4);
    node.at(3)
        .copy_from(&init::TCB.slot(), CapRights::all())
        .expect("a copy");
    node.at(9).move_from(&node.cap.slot()).expect("to move");
    assert_eq!(kind(node.cap.slot()), cap_type::NULL);
    assert!(!node.is_free());
    node.revoke();

    // Deleted through itself: the last capability is in a slot of the object that goes.
    let node = Node::new(system, 4);
    let outside = system.slot().expect("a slot");
    node.at(1)
        .copy_from(&node.cap.slot(), CapRights::all())
        .expect("a copy");
    outside.move_from(&node.cap.slot()).expect("to move");
    let through = Cap::<CNode>::from_bits(outside.index);
    SlotPath::new(through, 0x11, 8)
        .delete()
        .expect("to delete the copy inside");
    assert_eq!(kind(outside), cap_type::CNODE);
    outside.delete().expect("to delete");
    assert!(node.is_free());
    node.revoke();
}

fn within_each_other(system: &mut System) {
    row("delete.cycles");
    let [one, two] = [0; 2].map(|_| Node::new(system, 5));
    one.at(0)
        .copy_from(&two.cap.slot(), CapRights::all())
        .expect("a copy");
    two.at(0)
        .copy_from(&one.cap.slot(), CapRights::all())
        .expect("a copy");
    one.cap.slot().delete().expect("to delete");
    assert!(!one.is_free() && !two.is_free());
    two.cap.slot().delete().expect("to delete");
    assert!(
        !one.is_free() && !two.is_free(),
        "each is held by the other"
    );
    one.revoke();
    two.revoke();

    // The last one of each in the other.
    let [one, two] = [0; 2].map(|_| Node::new(system, 5));
    two.at(31).move_from(&one.cap.slot()).expect("to move");
    SlotPath::new(two.cap, 31 << 5 | 31, 10)
        .move_from(&two.cap.slot())
        .expect("to move");
    assert!(!one.is_free() && !two.is_free());
    two.revoke();
    one.revoke();
}

/// A CNode whose last capability goes with the CNode that it was in is not taken apart: it keeps all but its first slot,
/// until its memory is revoked.
fn last_capability_inside(system: &mut System) {
    rows(&["delete.nested", "delete.nested.first-slot"]);
    let [outer, inner] = [0; 2].map(|_| Node::new(system, 4));
    let [first, other] = [0; 2].map(|_| system.untyped(4).expect("memory"));
    for (memory, index) in [(first, 0), (other, 1)] {
        memory
            .retype_into(ObjectType::Endpoint, 0, inner.cap, index)
            .expect("an endpoint");
    }
    outer.at(5).move_from(&inner.cap.slot()).expect("to move");
    outer.cap.slot().delete().expect("to delete");
    assert!(outer.is_free());
    assert!(!inner.is_free() && is_free(first) && !is_free(other));
    other.slot().revoke().expect("to revoke");
    assert!(is_free(other) && !inner.is_free());
    inner.revoke();

    // Deleted itself, it is taken apart.
    row("final.cnode");
    let inner = Node::new(system, 4);
    for (memory, index) in [(first, 0), (other, 1)] {
        memory
            .retype_into(ObjectType::Endpoint, 0, inner.cap, index)
            .expect("an endpoint");
    }
    inner.cap.slot().delete().expect("to delete");
    assert!(inner.is_free() && is_free(first) && is_free(other));
}

fn chain(system: &mut System) {
    const LINKS: usize = 24;
    row("delete.nested");
    let nodes: [Node; LINKS] = core::array::from_fn(|_| Node::new(system, 1));
    for pair in nodes.windows(2).rev() {
        pair[0]
            .at(0)
            .move_from(&pair[1].cap.slot())
            .expect("to move");
    }
    nodes[0].cap.slot().delete().expect("to delete");
    assert!(nodes[0].is_free());
    for node in &nodes[1..] {
        node.revoke();
    }
}

const LARGE: u64 = 13;
static DONE: AtomicU64 = AtomicU64::new(0);
static ZOMBIES: AtomicU64 = AtomicU64::new(0);
static RUNS: AtomicU64 = AtomicU64::new(0);

/// Fills a large CNode with capabilities of many objects.
fn large(system: &mut System, objects: Cap<Untyped>) -> Node {
    let node = Node::new(system, LARGE);
    for start in (0..1 << LARGE).step_by(256) {
        let path = SlotPath::new(node.cap, 0, 0);
        objects
            .retype(ObjectType::Endpoint, 0, path, start, 256)
            .expect("endpoints");
    }
    node
}

fn large_while_others_run(system: &mut System) {
    rows(&[
        "delete.preemptible",
        "delete.zombie",
        "label.dispatch.zombie",
        "cnode.copy.zombie",
        "object.cap-type.zombie",
    ]);
    let objects = system.untyped(LARGE as u8 + 4).expect("memory");
    let node = large(system, objects);
    let (target, other) = (node.cap.slot(), system.slot().expect("a slot"));
    // On the same core, with a higher priority, every 100 us: sees the CNode, a zombie, or nothing.
    let observer = ThreadBuilder::new("observer")
        .priority(200)
        .budget(Budget::periodic(
            Duration::from_micros(50),
            Duration::from_micros(100),
        ))
        .spawn(system, move || {
            while DONE.load(Ordering::Acquire) == 0 {
                RUNS.fetch_add(1, Ordering::Relaxed);
                match kind(target) {
                    cap_type::CNODE => (),
                    cap_type::ZOMBIE => {
                        ZOMBIES.fetch_add(1, Ordering::Relaxed);
                        // It acts as an invalid capability, and its slot is full.
                        let words = [1, LARGE];
                        let seen = invoke(target.index, Invocation::CNodeDelete, &[], &words);
                        assert_eq!(seen, answer::invalid_capability(0));
                        let copied = other.copy_from(&target, CapRights::all());
                        assert_eq!(copied, Err(libsel4::Error::IllegalOperation));
                        let onto = target.copy_from(&init::TCB.slot(), CapRights::all());
                        assert_eq!(onto, Err(libsel4::Error::DeleteFirst));
                        let root = SlotPath::new(Cap::from_bits(target.index), 1, 13);
                        let through = other.copy_from(&root, CapRights::all());
                        let failure = libsel4::LookupFailure::InvalidRoot;
                        let failed = libsel4::Error::FailedLookup {
                            source: true,
                            failure,
                        };
                        assert_eq!(through, Err(failed));
                    }
                    cap_type::NULL => break,
                    other => panic!("a capability of kind {other}"),
                }
                libsel4::syscall::yield_now();
            }
        })
        .expect("a thread");
    let deleter = ThreadBuilder::new("deleter")
        .priority(100)
        .spawn(system, move || target.delete())
        .expect("a thread");
    let deleted = deleter.join(system).expect("to join");
    DONE.store(1, Ordering::Release);
    assert_eq!(deleted, Ok(()));
    observer.join(system).expect("to join");
    assert_eq!(
        (kind(target), kind(other)),
        (cap_type::NULL, cap_type::NULL)
    );
    assert!(node.is_free() && is_free(objects));
    let (runs, zombies) = (
        RUNS.load(Ordering::Relaxed),
        ZOMBIES.load(Ordering::Relaxed),
    );
    libsel4::println!("the observer ran {runs} times and saw {zombies} zombies");
    assert!(zombies > 1, "the deletion can be interrupted");
    system.destroy(objects).expect("to destroy");
    system.destroy(node.memory).expect("to destroy");
}

/// What is left of a CNode is moved out of the way of whoever deletes it. The deletion ends, since its slot is empty; the
/// rest can be deleted from where it is now, or with its memory.
fn moved_away(system: &mut System) {
    rows(&["delete.zombie", "cnode.move.any", "cnode.mutate.any"]);
    for way in 0..3 {
        let objects = system.untyped(LARGE as u8 + 4).expect("memory");
        let node = large(system, objects);
        let (target, other) = (node.cap.slot(), system.slot().expect("a slot"));
        let mover = ThreadBuilder::new("mover")
            .priority(200)
            .budget(Budget::periodic(
                Duration::from_micros(50),
                Duration::from_micros(100),
            ))
            .spawn(system, move || {
                loop {
                    match kind(target) {
                        cap_type::ZOMBIE if way == 0 => return other.mutate_from(&target, 0x123),
                        cap_type::ZOMBIE => return other.move_from(&target),
                        cap_type::CNODE => libsel4::syscall::yield_now(),
                        other => panic!("a capability of kind {other}"),
                    }
                }
            })
            .expect("a thread");
        let deleter = ThreadBuilder::new("deleter")
            .priority(100)
            .spawn(system, move || target.delete())
            .expect("a thread");
        assert_eq!(deleter.join(system).expect("to join"), Ok(()));
        assert_eq!(mover.join(system).expect("to join"), Ok(()));
        assert_eq!(
            [target, other].map(kind),
            [cap_type::NULL, cap_type::ZOMBIE]
        );
        assert!(!node.is_free() && !is_free(objects), "most of it is there");
        match way {
            2 => node.memory.slot().revoke().expect("to revoke"),
            _ => other.delete().expect("to delete"),
        }
        assert_eq!(kind(other), cap_type::NULL);
        assert!(node.is_free() && is_free(objects));
        system.destroy(objects).expect("to destroy");
        system.destroy(node.memory).expect("to destroy");
        system.free_slot(target);
        system.free_slot(other);
    }
}

/// The same large CNode is deleted, its memory revoked and the memory of its contents revoked, from different cores at
/// the same time.
fn from_several_sides(system: &mut System) {
    row("delete.concurrent");
    let cores = system.cores();
    for _ in 0..3 {
        let objects = system.untyped(LARGE as u8 + 4).expect("memory");
        let node = large(system, objects);
        let (target, memory) = (node.cap.slot(), node.memory.slot());
        let spawn = |system: &mut System, index: usize| {
            ThreadBuilder::new("side")
                .priority(100)
                .core(index % cores)
                .budget(Budget::periodic(
                    Duration::from_micros(60),
                    Duration::from_micros(80),
                ))
                .spawn(system, move || match index {
                    0 => target.delete(),
                    1 => objects.slot().revoke(),
                    2 => memory.revoke(),
                    _ => target.revoke(),
                })
                .expect("a thread")
        };
        let sides = [0, 1, 2, 3].map(|index| spawn(system, index));
        for side in sides {
            assert_eq!(side.join(system).expect("to join"), Ok(()));
        }
        assert_eq!(kind(target), cap_type::NULL);
        assert!(node.is_free() && is_free(objects));
        system.destroy(objects).expect("to destroy");
        system.destroy(node.memory).expect("to destroy");
        system.free_slot(target);
    }
}
