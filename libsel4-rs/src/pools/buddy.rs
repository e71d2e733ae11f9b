//! Untyped memory in powers of two.
//!
//! A piece is split in halves until it has the size that is asked for; pieces that come back are kept by size and
//! used again for the same size. Halves are put together only when nothing large enough is left: an untyped that has
//! lost its children is cleared by the kernel from its start at its next use, and for a large one that is expensive.

use alloc::vec::Vec;

use sel4_abi::size_bits;

use crate::cap::{Cap, Untyped};

/// What splitting and joining mean; the kernel's operations, or a model of them.
pub trait Splitter {
    /// Why a piece could not be split.
    type Error;

    /// Makes two untypeds of 2^`child_bits` bytes from one of twice that size, which has no children.
    ///
    /// # Errors
    /// When the kernel refuses, or there are no slots; nothing has changed then.
    fn split(
        &mut self,
        parent: Cap<Untyped>,
        child_bits: u8,
    ) -> Result<[Cap<Untyped>; 2], Self::Error>;

    /// Deletes the two children, which have none themselves.
    ///
    /// # Errors
    /// When the kernel refuses.
    fn join(&mut self, children: [Cap<Untyped>; 2]) -> Result<(), Self::Error>;
}

/// A piece of untyped memory that was handed out. Give it back with [`BuddyAllocator::free`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Block {
    /// Its capability.
    pub cap: Cap<Untyped>,
    node: usize,
}

/// Classes of sizes.
const CLASSES: usize = size_bits::MAX_UNTYPED as usize + 1;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Free,
    Taken,
    /// In halves: the node of the first; the second follows it.
    Split(usize),
    /// Not in use: its parent was put together again.
    Vacant,
}

#[derive(Clone, Copy, Debug)]
struct Node {
    cap: Cap<Untyped>,
    bits: u8,
    parent: Option<usize>,
    state: State,
}

/// Hands out untyped memory by size.
#[derive(Debug)]
pub struct BuddyAllocator {
    nodes: Vec<Node>,
    /// First nodes of vacant pairs.
    vacant_pairs: Vec<usize>,
    /// Free nodes by the logarithm of their size.
    free: [Vec<usize>; CLASSES],
}

impl BuddyAllocator {
    /// With no memory.
    pub const fn new() -> Self {
        Self {
            nodes: Vec::new(),
            vacant_pairs: Vec::new(),
            free: [const { Vec::new() }; CLASSES],
        }
    }

    /// Adds an untyped without children, of 2^`bits` bytes.
    ///
    /// # Panics
    /// When there is no such size.
    pub fn add(&mut self, cap: Cap<Untyped>, bits: u8) {
        let node = self.nodes.len();
        self.nodes.push(Node {
            cap,
            bits,
            parent: None,
            state: State::Free,
        });
        self.free[usize::from(bits)].push(node);
    }

    /// A piece of 2^`bits` bytes, from the smallest free one that is large enough; `None` when there is none.
    ///
    /// # Errors
    /// Of the splitter.
    pub fn alloc<S: Splitter>(
        &mut self,
        bits: u8,
        splitter: &mut S,
    ) -> Result<Option<Block>, S::Error> {
        if self.smallest_free(bits).is_none() {
            self.join_free_halves(bits, splitter)?;
        }
        let Some(mut class) = self.smallest_free(bits) else {
            return Ok(None);
        };
        while class > usize::from(bits) {
            self.split_one(class, splitter)?;
            class -= 1;
        }
        let node = self.free[class]
            .pop()
            .unwrap_or_else(|| unreachable!("the class has a node"));
        self.nodes[node].state = State::Taken;
        Ok(Some(Block {
            cap: self.nodes[node].cap,
            node,
        }))
    }

    /// Takes back a piece, whose children are gone.
    pub fn free(&mut self, block: Block) {
        let node = &mut self.nodes[block.node];
        debug_assert!(node.state == State::Taken && node.cap == block.cap);
        node.state = State::Free;
        self.free[usize::from(node.bits)].push(block.node);
    }

    /// Bytes that are free.
    pub fn available(&self) -> u64 {
        self.free
            .iter()
            .enumerate()
            .map(|(bits, nodes)| (nodes.len() as u64) << bits)
            .sum()
    }

    fn smallest_free(&self, bits: u8) -> Option<usize> {
        (usize::from(bits)..CLASSES).find(|&class| !self.free[class].is_empty())
    }

    /// Splits a free node of this class.
    fn split_one<S: Splitter>(&mut self, class: usize, splitter: &mut S) -> Result<(), S::Error> {
        let parent = *self.free[class]
            .last()
            .unwrap_or_else(|| unreachable!("the class has a node"));
        let bits = self.nodes[parent].bits - 1;
        let caps = splitter.split(self.nodes[parent].cap, bits)?;
        self.free[class].pop();
        let first = self.vacant_pairs.pop().unwrap_or(self.nodes.len());
        for (place, cap) in (first..).zip(caps) {
            let node = Node {
                cap,
                bits,
                parent: Some(parent),
                state: State::Free,
            };
            match self.nodes.get_mut(place) {
                Some(vacant) => *vacant = node,
                None => self.nodes.push(node),
            }
            self.free[class - 1].push(place);
        }
        self.nodes[parent].state = State::Split(first);
        Ok(())
    }

    /// Puts free halves together, smallest first, until something of 2^`bits` bytes is free or no more halves are.
    fn join_free_halves<S: Splitter>(
        &mut self,
        bits: u8,
        splitter: &mut S,
    ) -> Result<(), S::Error> {
        for class in 0..usize::from(bits) {
            let mut index = 0;
            while let Some(&node) = self.free[class].get(index) {
                match self.free_pair_of(node) {
                    Some((parent, first)) => self.join_pair(parent, first, splitter)?,
                    None => index += 1,
                }
            }
            if self.smallest_free(bits).is_some() {
                break;
            }
        }
        Ok(())
    }

    /// The parent and the first half, when both halves are free.
    fn free_pair_of(&self, node: usize) -> Option<(usize, usize)> {
        let parent = self.nodes[node].parent?;
        let State::Split(first) = self.nodes[parent].state else {
            unreachable!("a parent is split")
        };
        let both = [first, first + 1]
            .iter()
            .all(|&half| self.nodes[half].state == State::Free);
        both.then_some((parent, first))
    }

    fn join_pair<S: Splitter>(
        &mut self,
        parent: usize,
        first: usize,
        splitter: &mut S,
    ) -> Result<(), S::Error> {
        splitter.join([self.nodes[first].cap, self.nodes[first + 1].cap])?;
        let class = usize::from(self.nodes[first].bits);
        self.free[class].retain(|&node| node != first && node != first + 1);
        for half in [first, first + 1] {
            self.nodes[half].state = State::Vacant;
        }
        self.vacant_pairs.push(first);
        self.nodes[parent].state = State::Free;
        self.free[class + 1].push(parent);
        Ok(())
    }
}

impl Default for BuddyAllocator {
    fn default() -> Self {
        Self::new()
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::collections::HashMap;
    use std::vec::Vec;

    use super::{Block, BuddyAllocator, Splitter};
    use crate::cap::{Cap, Untyped};

    /// A kernel that knows which untyped lies where.
    struct Model {
        places: HashMap<u64, (u64, u8)>,
        next: u64,
        splits: usize,
    }

    impl Model {
        fn new() -> Self {
            Self {
                places: HashMap::new(),
                next: 1000,
                splits: 0,
            }
        }

        fn root(&mut self, start: u64, bits: u8) -> Cap<Untyped> {
            self.next += 1;
            self.places.insert(self.next, (start, bits));
            Cap::from_bits(self.next)
        }
    }

    impl Splitter for Model {
        type Error = ();

        fn split(&mut self, parent: Cap<Untyped>, bits: u8) -> Result<[Cap<Untyped>; 2], ()> {
            let (start, parent_bits) = self.places[&parent.bits()];
            assert_eq!(parent_bits, bits + 1);
            self.splits += 1;
            Ok([self.root(start, bits), self.root(start + (1 << bits), bits)])
        }

        fn join(&mut self, children: [Cap<Untyped>; 2]) -> Result<(), ()> {
            let [a, b] = children.map(|child| self.places.remove(&child.bits()).unwrap());
            assert_eq!((a.1, a.0 + (1 << a.1)), (b.1, b.0));
            Ok(())
        }
    }

    fn range(model: &Model, block: Block) -> (u64, u64) {
        let (start, bits) = model.places[&block.cap.bits()];
        (start, start + (1 << bits))
    }

    #[test]
    fn the_smallest_piece_that_does_is_used() {
        let mut model = Model::new();
        let mut memory = BuddyAllocator::new();
        memory.add(model.root(0, 20), 20);
        memory.add(model.root(1 << 30, 12), 12);
        let block = memory.alloc(12, &mut model).unwrap().unwrap();
        assert_eq!((range(&model, block).0, model.splits), (1 << 30, 0));
        let block = memory.alloc(11, &mut model).unwrap().unwrap();
        assert_eq!((range(&model, block).0 < 1 << 20, model.splits), (true, 9));
    }

    #[test]
    fn memory_that_came_back_is_used_again_at_once() {
        let mut model = Model::new();
        let mut memory = BuddyAllocator::new();
        memory.add(model.root(0, 16), 16);
        let block = memory.alloc(4, &mut model).unwrap().unwrap();
        memory.free(block);
        assert_eq!(memory.alloc(4, &mut model), Ok(Some(block)));
    }

    #[test]
    fn halves_are_put_together_when_there_is_nothing_else() {
        let mut model = Model::new();
        let mut memory = BuddyAllocator::new();
        memory.add(model.root(0, 12), 12);
        let blocks: Vec<_> = (0..256)
            .map(|_| memory.alloc(4, &mut model).unwrap().unwrap())
            .collect();
        assert_eq!(memory.alloc(4, &mut model), Ok(None));
        blocks.into_iter().for_each(|block| memory.free(block));
        let whole = memory.alloc(12, &mut model).unwrap().unwrap();
        assert_eq!(range(&model, whole), (0, 4096));
        assert_eq!((memory.available(), model.places.len()), (0, 1));
    }

    /// Random traffic: pieces never overlap, and nothing is lost.
    #[test]
    fn pieces_never_overlap() {
        let mut seed = 1_u64;
        let mut random = move |limit: u64| {
            seed = seed
                .wrapping_mul(6_364_136_223_846_793_005)
                .wrapping_add(1_442_695_040_888_963_407);
            (seed >> 33) % limit
        };
        let mut model = Model::new();
        let mut memory = BuddyAllocator::new();
        memory.add(model.root(0, 14), 14);
        memory.add(model.root(1 << 16, 13), 13);
        let total = memory.available();
        let mut taken: Vec<(Block, u64, u64)> = Vec::new();
        for _ in 0..20_000 {
            if random(3) != 0 {
                let bits = 4 + random(7) as u8;
                if let Some(block) = memory.alloc(bits, &mut model).unwrap() {
                    let (start, end) = range(&model, block);
                    assert_eq!(end - start, 1 << bits);
                    assert!(taken.iter().all(|&(_, s, e)| end <= s || e <= start));
                    taken.push((block, start, end));
                }
            } else if !taken.is_empty() {
                let (block, ..) = taken.swap_remove(random(taken.len() as u64) as usize);
                memory.free(block);
            }
            let used: u64 = taken.iter().map(|&(_, s, e)| e - s).sum();
            assert_eq!(memory.available() + used, total);
        }
    }
}
