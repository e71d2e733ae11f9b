//! A small capability space with a guard and a CNode in a CNode, and what looking up a slot in it must give.

extern crate alloc;

use alloc::vec;
use alloc::vec::Vec;

use libsel4::abi::{CapRights, Invocation};
use libsel4::{CNode, CNodeCapData, Cap, Null, SlotPath, System, debug, init};

use super::Kind;
use super::kinds::Zoo;
use crate::objects::{Answer, answer, invoke};

/// What a slot holds.
pub enum Content {
    Node(Node),
    Other(Kind),
}

/// A model of a CNode capability.
pub struct Node {
    pub radix: u64,
    guard: u64,
    guard_size: u64,
    content: Vec<(u64, Content)>,
}

/// A slot that was found.
pub struct Found<'a> {
    pub node: &'a Node,
    pub slot: u64,
}

impl<'a> Found<'a> {
    pub fn content(&self) -> Option<&'a Content> {
        self.node.content(self.slot)
    }

    /// Whether it is the same slot as another one.
    pub fn is(&self, other: &Found<'_>) -> bool {
        core::ptr::eq(self.node, other.node) && self.slot == other.slot
    }

    /// The kind of what is in it.
    pub fn kind(&self) -> Kind {
        match self.content() {
            None => Kind::Null,
            Some(Content::Node(_)) => Kind::CNode,
            Some(Content::Other(kind)) => *kind,
        }
    }
}

impl Node {
    pub fn content(&self, slot: u64) -> Option<&Content> {
        let found = self.content.iter().find(|(at, _)| *at == slot);
        found.map(|(_, content)| content)
    }

    /// The slot that an index and a depth name, or the error.
    pub fn find(&self, index: u64, depth: u64, source: bool) -> Result<Found<'_>, Answer> {
        if !(1..=64).contains(&depth) {
            return Err(answer::range(1, 64));
        }
        let field = |low: u64, size: u64| {
            if size == 0 {
                0
            } else {
                index >> low & ((1 << size) - 1)
            }
        };
        let (mut node, mut left) = (self, depth);
        loop {
            let (guard, size) = (node.guard, node.guard_size);
            if size > left || field(left - size, size) != guard {
                return Err(answer::guard_mismatch(source, left, guard, size));
            }
            let level = size + node.radix;
            if level > left {
                return Err(answer::depth_mismatch(source, left, level));
            }
            left -= level;
            let slot = field(left, node.radix);
            if left == 0 {
                return Ok(Found { node, slot });
            }
            match node.content(slot) {
                Some(Content::Node(inner)) => node = inner,
                _ => return Err(answer::depth_mismatch(source, left, 0)),
            }
        }
    }

    /// As [`Node::find`], of an empty slot.
    pub fn find_empty(&self, index: u64, depth: u64) -> Result<Found<'_>, Answer> {
        let found = self.find(index, depth, false)?;
        match found.content() {
            None => Ok(found),
            Some(_) => Err(answer::delete_first()),
        }
    }
}

const GUARD: u64 = 5;
const GUARD_SIZE: u64 = 3;
const RADIX: u64 = 3;
const INNER_RADIX: u64 = 2;

/// A CNode with a guard, a smaller one in its slot 3, and a few capabilities.
pub struct Space {
    /// The outer CNode, with its guard.
    pub root: Cap<CNode>,
    /// The inner one.
    pub inner: Cap<CNode>,
    pub model: Node,
    /// Where copies are looked at.
    scratch: SlotPath,
}

impl Space {
    /// Slots 0, 4 and 6 of it are empty.
    pub const EMPTY: u64 = 4;
    /// Holds an endpoint.
    pub const ENDPOINT: u64 = 1;
    /// Holds a thread.
    pub const THREAD: u64 = 2;
    /// Holds the inner CNode, of which slot 1 holds an endpoint.
    pub const INNER: u64 = 3;
    /// Holds a scheduling context.
    pub const CONTEXT: u64 = 5;
    /// Holds a notification.
    pub const OCCUPIED: u64 = 7;
    /// How many bits of an index count.
    pub const DEPTH: u64 = GUARD_SIZE + RADIX;

    pub fn new(system: &mut System, zoo: &Zoo) -> Self {
        let outer = system.cnode(RADIX as u8).expect("a CNode");
        let inner = system.cnode(INNER_RADIX as u8).expect("a CNode");
        let guard = CNodeCapData::new(GUARD, GUARD_SIZE).0;
        let root = system.mint(outer, CapRights::all(), guard);
        let put = |node: Cap<CNode>, slot, depth, cap: u64| {
            SlotPath::new(node, slot, depth)
                .copy_from(&SlotPath::in_root(cap), CapRights::all())
                .expect("to fill the space");
        };
        let held = [
            (Self::ENDPOINT, Kind::Endpoint),
            (Self::THREAD, Kind::Thread),
            (Self::CONTEXT, Kind::SchedContext),
            (Self::OCCUPIED, Kind::Notification),
        ];
        for (slot, kind) in held {
            put(outer, slot, RADIX, zoo.of(kind));
        }
        put(outer, Self::INNER, RADIX, inner.bits());
        put(inner, 1, INNER_RADIX, zoo.of(Kind::Endpoint));
        let mut content: Vec<_> = held.map(|(slot, kind)| (slot, Content::Other(kind))).into();
        let inner_model = Node {
            radix: INNER_RADIX,
            guard: 0,
            guard_size: 0,
            content: vec![(1, Content::Other(Kind::Endpoint))],
        };
        content.push((Self::INNER, Content::Node(inner_model)));
        Self {
            root: root.expect("a guard"),
            inner,
            model: Node {
                radix: RADIX,
                guard: GUARD,
                guard_size: GUARD_SIZE,
                content,
            },
            scratch: system.slot().expect("a slot"),
        }
    }

    /// The index of a slot, to be used with [`Space::DEPTH`].
    pub const fn index(slot: u64) -> u64 {
        GUARD << RADIX | slot
    }

    fn slots(&self) -> impl Iterator<Item = SlotPath> + '_ {
        let outer =
            (0..1 << RADIX).map(|slot| SlotPath::new(self.root, Self::index(slot), Self::DEPTH));
        let inner = (0..1 << INNER_RADIX).map(|slot| SlotPath::new(self.inner, slot, INNER_RADIX));
        outer.chain(inner)
    }

    /// Which slots are taken. A copy of nothing is refused in one of two ways.
    pub fn occupied(&self) -> Vec<u64> {
        let taken = |to: SlotPath| {
            let words = [to.index, to.depth, 0, 64, 0];
            let caps = [init::CNODE.bits()];
            invoke(to.root.bits(), Invocation::CNodeCopy, &caps, &words).label
        };
        self.slots().map(taken).collect()
    }

    /// The kind of what is in each slot.
    pub fn identities(&self) -> Vec<u64> {
        let identify = |slot: SlotPath| {
            let _ = self.scratch.copy_from(&slot, CapRights::all());
            let kind = debug::cap_identify(Cap::<Null>::from_bits(self.scratch.index));
            self.scratch.delete().expect("to delete the copy");
            kind
        };
        self.slots().map(identify).collect()
    }

    /// Deletes what was put into an empty slot.
    pub fn clear(&self, index: u64, depth: u64) {
        SlotPath::new(self.root, index, depth)
            .delete()
            .expect("to delete");
    }
}
