//! Release queue of one core: who waits for a refill, earliest first; first in, first out among equal times.
//!
//! An AVL tree whose links live in the nodes: inserting and removing any element takes a number of steps that
//! is logarithmic in the number of waiting threads, in the worst case and not only on average, because it
//! happens with interrupts off. The earliest element is cached, since every kernel exit looks at it.
//!
//! Invariants: an in-order walk gives non-descending times, and equal times in order of insertion; `balance`
//! is the height of the right subtree less that of the left, and is -1, 0 or 1 between operations. The time of
//! a node must not change while it is queued (removal works even then; it follows links only).

use crate::Ticks;

/// The links of a node of [`ReleaseQueue`], kept by the owner of the node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TreeLinks<Id> {
    /// The node above; `None` at the root.
    pub parent: Option<Id>,
    /// Root of the part that comes earlier.
    pub left: Option<Id>,
    /// Root of the part that comes later.
    pub right: Option<Id>,
    /// Height of `right` less height of `left`.
    pub balance: i8,
}

impl<Id> TreeLinks<Id> {
    /// Links of a node that is in no queue.
    pub const fn unlinked() -> Self {
        TreeLinks {
            parent: None,
            left: None,
            right: None,
            balance: 0,
        }
    }
}

impl<Id> Default for TreeLinks<Id> {
    fn default() -> Self {
        Self::unlinked()
    }
}

impl<Id: Copy + Eq> TreeLinks<Id> {
    fn child(&self, side: Side) -> Option<Id> {
        match side {
            Side::Left => self.left,
            Side::Right => self.right,
        }
    }

    fn set_child(&mut self, side: Side, child: Option<Id>) {
        match side {
            Side::Left => self.left = child,
            Side::Right => self.right = child,
        }
    }

    /// The side on which `child`, one of the two, hangs.
    fn side_of(&self, child: Id) -> Side {
        if self.left == Some(child) {
            Side::Left
        } else {
            Side::Right
        }
    }
}

/// Access to the waiting threads for [`ReleaseQueue`].
pub trait ReleaseNodes<Id> {
    /// When the thread is to be released: the time of its head refill.
    fn release_time(&self, id: Id) -> Ticks;
    /// The links of `id`.
    fn tree_links(&self, id: Id) -> TreeLinks<Id>;
    /// Stores the links of `id`.
    fn set_tree_links(&mut self, id: Id, links: TreeLinks<Id>);
}

/// A child position.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Left,
    Right,
}

impl Side {
    fn opposite(self) -> Side {
        match self {
            Side::Left => Side::Right,
            Side::Right => Side::Left,
        }
    }

    /// What one more level on this side adds to the balance.
    fn weight(self) -> i8 {
        match self {
            Side::Left => -1,
            Side::Right => 1,
        }
    }
}

/// The release queue of one core.
#[derive(Debug)]
pub struct ReleaseQueue<Id> {
    root: Option<Id>,
    first: Option<Id>,
}

impl<Id: Copy + Eq> ReleaseQueue<Id> {
    /// A queue with nothing in it.
    pub const fn new() -> Self {
        ReleaseQueue {
            root: None,
            first: None,
        }
    }

    /// Puts in `id`, which is in no release queue, behind everything that is released at or before its time.
    pub fn insert(&mut self, nodes: &mut impl ReleaseNodes<Id>, id: Id) {
        let time = nodes.release_time(id);
        let mut links = TreeLinks::unlinked();
        let mut earliest = true;
        let mut place = self.root;
        let mut side = Side::Left;
        while let Some(above) = place {
            side = if time < nodes.release_time(above) {
                Side::Left
            } else {
                earliest = false;
                Side::Right
            };
            links.parent = place;
            place = nodes.tree_links(above).child(side);
        }
        nodes.set_tree_links(id, links);
        if earliest {
            self.first = Some(id);
        }
        match links.parent {
            Some(parent) => {
                modify(nodes, parent, |l| l.set_child(side, Some(id)));
                self.grown(nodes, parent, side);
            }
            None => self.root = Some(id),
        }
    }

    /// Takes out `id`, which is in this queue, and clears its links.
    pub fn remove(&mut self, nodes: &mut impl ReleaseNodes<Id>, id: Id) {
        if self.first == Some(id) {
            self.first = following(nodes, id);
        }
        let links = nodes.tree_links(id);
        // Where the tree loses a level: the node whose child on that side became one lower.
        let shrunk = match (links.left, links.right) {
            (Some(left), Some(right)) => {
                // The next element takes this one's place, so that the order stays.
                let heir = extreme(nodes, right, Side::Left);
                let heir_links = nodes.tree_links(heir);
                let shrunk = match heir_links.parent {
                    Some(parent) if parent != id => {
                        modify(nodes, parent, |l| l.left = heir_links.right);
                        set_parent(nodes, heir_links.right, Some(parent));
                        modify(nodes, heir, |l| l.right = Some(right));
                        set_parent(nodes, Some(right), Some(heir));
                        (parent, Side::Left)
                    }
                    _ => (heir, Side::Right),
                };
                modify(nodes, heir, |l| {
                    l.left = Some(left);
                    l.balance = links.balance;
                });
                set_parent(nodes, Some(left), Some(heir));
                self.replace(nodes, links.parent, id, Some(heir));
                Some(shrunk)
            }
            (only, None) | (None, only) => {
                let shrunk = links
                    .parent
                    .map(|parent| (parent, nodes.tree_links(parent).side_of(id)));
                self.replace(nodes, links.parent, id, only);
                shrunk
            }
        };
        nodes.set_tree_links(id, TreeLinks::unlinked());
        if let Some((node, side)) = shrunk {
            self.shrunk(nodes, node, side);
        }
    }

    /// The earliest element.
    pub fn first(&self) -> Option<Id> {
        self.first
    }

    /// Takes out the earliest element.
    pub fn pop_first(&mut self, nodes: &mut impl ReleaseNodes<Id>) -> Option<Id> {
        let first = self.first?;
        self.remove(nodes, first);
        Some(first)
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.first.is_none()
    }

    /// The elements in the order of their release. For dumps and checks.
    pub fn iter<'a, N: ReleaseNodes<Id>>(&'a self, nodes: &'a N) -> impl Iterator<Item = Id> + 'a {
        core::iter::successors(self.first, move |&id| following(nodes, id))
    }

    /// The root of the tree, for checks of its shape.
    pub fn root(&self) -> Option<Id> {
        self.root
    }

    /// Restores the balance upwards from `node`, whose subtree on `side` became one level higher.
    fn grown(&mut self, nodes: &mut impl ReleaseNodes<Id>, mut node: Id, mut side: Side) {
        loop {
            let mut links = nodes.tree_links(node);
            links.balance += side.weight();
            if links.balance.abs() == 2 {
                // A rotation after an insertion gives the subtree its old height back.
                self.rebalance(nodes, node, side);
                return;
            }
            nodes.set_tree_links(node, links);
            if links.balance == 0 {
                return;
            }
            let Some(parent) = links.parent else { return };
            side = nodes.tree_links(parent).side_of(node);
            node = parent;
        }
    }

    /// Restores the balance upwards from `node`, whose subtree on `side` became one level lower.
    fn shrunk(&mut self, nodes: &mut impl ReleaseNodes<Id>, mut node: Id, mut side: Side) {
        loop {
            let mut links = nodes.tree_links(node);
            let above = links
                .parent
                .map(|parent| (parent, nodes.tree_links(parent).side_of(node)));
            links.balance -= side.weight();
            let lower = if links.balance.abs() == 2 {
                self.rebalance(nodes, node, side.opposite())
            } else {
                nodes.set_tree_links(node, links);
                links.balance == 0
            };
            match above {
                Some(next) if lower => (node, side) = next,
                _ => return,
            }
        }
    }

    /// Rotates at `top`, whose subtree on `heavy` is two levels higher than the other (the stored balance is
    /// still that of one level). Tells whether the whole subtree became one level lower.
    fn rebalance(&mut self, nodes: &mut impl ReleaseNodes<Id>, top: Id, heavy: Side) -> bool {
        let light = heavy.opposite();
        let Some(child) = nodes.tree_links(top).child(heavy) else {
            unreachable!("the higher subtree is not empty")
        };
        let child_balance = nodes.tree_links(child).balance;
        if child_balance != light.weight() {
            self.rotate(nodes, top, child, heavy);
            // A balanced child occurs after a removal only; the height then stays.
            let left_over = if child_balance == 0 {
                heavy.weight()
            } else {
                0
            };
            modify(nodes, top, |l| l.balance = left_over);
            modify(nodes, child, |l| l.balance = -left_over);
            return child_balance != 0;
        }
        let Some(grandchild) = nodes.tree_links(child).child(light) else {
            unreachable!("the child is higher on this side")
        };
        let balance = nodes.tree_links(grandchild).balance;
        self.rotate(nodes, child, grandchild, light);
        self.rotate(nodes, top, grandchild, heavy);
        let (top_balance, child_balance) = if balance == heavy.weight() {
            (light.weight(), 0)
        } else if balance == light.weight() {
            (0, heavy.weight())
        } else {
            (0, 0)
        };
        modify(nodes, top, |l| l.balance = top_balance);
        modify(nodes, child, |l| l.balance = child_balance);
        modify(nodes, grandchild, |l| l.balance = 0);
        true
    }

    /// Lifts `child`, which hangs on `side` of `top`, above it. Leaves the balances alone.
    fn rotate(&mut self, nodes: &mut impl ReleaseNodes<Id>, top: Id, child: Id, side: Side) {
        let parent = nodes.tree_links(top).parent;
        let inner = nodes.tree_links(child).child(side.opposite());
        self.replace(nodes, parent, top, Some(child));
        modify(nodes, child, |l| l.set_child(side.opposite(), Some(top)));
        modify(nodes, top, |l| {
            l.parent = Some(child);
            l.set_child(side, inner);
        });
        set_parent(nodes, inner, Some(top));
    }

    /// Hangs `new` below `parent` (`None`: as the root) where `old` hangs.
    fn replace(
        &mut self,
        nodes: &mut impl ReleaseNodes<Id>,
        parent: Option<Id>,
        old: Id,
        new: Option<Id>,
    ) {
        match parent {
            Some(parent) => modify(nodes, parent, |l| l.set_child(l.side_of(old), new)),
            None => self.root = new,
        }
        set_parent(nodes, new, parent);
    }
}

impl<Id: Copy + Eq> Default for ReleaseQueue<Id> {
    fn default() -> Self {
        Self::new()
    }
}

/// The outermost node on `side` of the subtree at `id`.
fn extreme<Id: Copy + Eq>(nodes: &impl ReleaseNodes<Id>, mut id: Id, side: Side) -> Id {
    while let Some(child) = nodes.tree_links(id).child(side) {
        id = child;
    }
    id
}

/// The element after `id`.
fn following<Id: Copy + Eq>(nodes: &impl ReleaseNodes<Id>, mut id: Id) -> Option<Id> {
    if let Some(right) = nodes.tree_links(id).right {
        return Some(extreme(nodes, right, Side::Left));
    }
    while let Some(parent) = nodes.tree_links(id).parent {
        if nodes.tree_links(parent).side_of(id) == Side::Left {
            return Some(parent);
        }
        id = parent;
    }
    None
}

fn modify<Id: Copy>(
    nodes: &mut impl ReleaseNodes<Id>,
    id: Id,
    change: impl FnOnce(&mut TreeLinks<Id>),
) {
    let mut links = nodes.tree_links(id);
    change(&mut links);
    nodes.set_tree_links(id, links);
}

fn set_parent<Id: Copy>(nodes: &mut impl ReleaseNodes<Id>, child: Option<Id>, parent: Option<Id>) {
    if let Some(child) = child {
        modify(nodes, child, |l| l.parent = parent);
    }
}
