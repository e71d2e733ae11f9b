//! Ready queues of one core: first in, first out within a priority; the highest priority in constant time.
//!
//! A summary word has one bit for each of the four words of the bitmap, and the bitmap one bit for each
//! priority, set exactly when that priority's list is not empty. Lists are doubly linked through the nodes, so
//! that any element leaves in constant time. The queues do not know which nodes are in them: the caller
//! inserts a node only when it is in no queue, and removes it with the priority that it was inserted with.

/// Number of priorities.
const PRIORITIES: usize = 256;
/// Priorities per bitmap word.
const WORD_BITS: usize = u64::BITS as usize;
/// Words of the bitmap.
const WORDS: usize = PRIORITIES / WORD_BITS;

/// Access to the links that the owner of the nodes keeps for [`ReadyQueues`].
///
/// The links of a node belong to the queues from the insertion until the removal; outside that time their
/// value is of no interest to them.
pub trait ReadyNodes<Id: Copy + Eq> {
    /// The neighbours of `id`: previous (closer to the front) and next.
    fn ready_links(&self, id: Id) -> (Option<Id>, Option<Id>);
    /// Stores the neighbours of `id`.
    fn set_ready_links(&mut self, id: Id, prev: Option<Id>, next: Option<Id>);
}

/// Both ends of one priority's list; both or neither are `None`.
#[derive(Clone, Copy, Debug)]
struct List<Id> {
    front: Option<Id>,
    back: Option<Id>,
}

/// The ready queues of one core.
#[derive(Debug)]
pub struct ReadyQueues<Id> {
    summary: u8,
    bitmap: [u64; WORDS],
    lists: [List<Id>; PRIORITIES],
}

impl<Id: Copy + Eq> ReadyQueues<Id> {
    /// Queues with nothing in them.
    pub const fn new() -> Self {
        let empty = List {
            front: None,
            back: None,
        };
        ReadyQueues {
            summary: 0,
            bitmap: [0; WORDS],
            lists: [empty; PRIORITIES],
        }
    }

    /// Puts `id`, which is in no queue, before its equals.
    pub fn push_front(&mut self, nodes: &mut impl ReadyNodes<Id>, id: Id, prio: u8) {
        let list = &mut self.lists[usize::from(prio)];
        let next = list.front;
        nodes.set_ready_links(id, None, next);
        list.front = Some(id);
        match next {
            Some(next) => {
                let (_, after) = nodes.ready_links(next);
                nodes.set_ready_links(next, Some(id), after);
            }
            None => {
                list.back = Some(id);
                self.mark(prio);
            }
        }
    }

    /// Puts `id`, which is in no queue, behind its equals.
    pub fn push_back(&mut self, nodes: &mut impl ReadyNodes<Id>, id: Id, prio: u8) {
        let list = &mut self.lists[usize::from(prio)];
        let prev = list.back;
        nodes.set_ready_links(id, prev, None);
        list.back = Some(id);
        match prev {
            Some(prev) => {
                let (before, _) = nodes.ready_links(prev);
                nodes.set_ready_links(prev, before, Some(id));
            }
            None => {
                list.front = Some(id);
                self.mark(prio);
            }
        }
    }

    /// Takes out `id`, which is in the queue of `prio`, and clears its links.
    pub fn remove(&mut self, nodes: &mut impl ReadyNodes<Id>, id: Id, prio: u8) {
        let list = &mut self.lists[usize::from(prio)];
        let (prev, next) = nodes.ready_links(id);
        match prev {
            Some(prev) => {
                let (before, _) = nodes.ready_links(prev);
                nodes.set_ready_links(prev, before, next);
            }
            None => {
                debug_assert!(list.front == Some(id), "not in the queue of this priority");
                list.front = next;
            }
        }
        match next {
            Some(next) => {
                let (_, after) = nodes.ready_links(next);
                nodes.set_ready_links(next, prev, after);
            }
            None => {
                debug_assert!(list.back == Some(id), "not in the queue of this priority");
                list.back = prev;
            }
        }
        let emptied = list.front.is_none();
        nodes.set_ready_links(id, None, None);
        if emptied {
            self.unmark(prio);
        }
    }

    /// The front of the highest priority that has anything.
    pub fn highest(&self) -> Option<(u8, Id)> {
        let prio = self.highest_priority()?;
        Some((prio, self.front(prio)?))
    }

    /// The highest priority that has anything. Reads the bitmap only.
    pub fn highest_priority(&self) -> Option<u8> {
        let word = self.summary.checked_ilog2()?;
        let bit = self.bitmap[word as usize].checked_ilog2()?;
        Some((word * u64::BITS + bit) as u8)
    }

    /// The first of the queue of `prio`.
    pub fn front(&self, prio: u8) -> Option<Id> {
        self.lists[usize::from(prio)].front
    }

    /// Whether nothing is queued.
    pub fn is_empty(&self) -> bool {
        self.summary == 0
    }

    /// Everything that is queued with its priority, in the order in which it would run. For dumps and checks.
    pub fn iter<'a, N: ReadyNodes<Id>>(
        &'a self,
        nodes: &'a N,
    ) -> impl Iterator<Item = (u8, Id)> + 'a {
        (0..=u8::MAX).rev().flat_map(move |prio| {
            core::iter::successors(self.front(prio), move |&id| nodes.ready_links(id).1)
                .map(move |id| (prio, id))
        })
    }

    fn mark(&mut self, prio: u8) {
        let (word, bit) = place(prio);
        self.bitmap[word] |= 1 << bit;
        self.summary |= 1 << word;
    }

    fn unmark(&mut self, prio: u8) {
        let (word, bit) = place(prio);
        self.bitmap[word] &= !(1 << bit);
        if self.bitmap[word] == 0 {
            self.summary &= !(1 << word);
        }
    }
}

impl<Id: Copy + Eq> Default for ReadyQueues<Id> {
    fn default() -> Self {
        Self::new()
    }
}

/// Word and bit of a priority in the bitmap.
const fn place(prio: u8) -> (usize, usize) {
    (prio as usize / WORD_BITS, prio as usize % WORD_BITS)
}
