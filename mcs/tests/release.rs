//! The release queue against a sorted vector, and the shape of its tree.

use mcs::{ReleaseNodes, ReleaseQueue, Ticks, TreeLinks};
use proptest::prelude::{Strategy, prop_oneof, proptest};

#[derive(Default)]
struct Nodes {
    times: Vec<Ticks>,
    links: Vec<TreeLinks<usize>>,
    reads: std::cell::Cell<usize>,
}

impl Nodes {
    fn new(count: usize) -> Self {
        Nodes {
            times: vec![0; count],
            links: vec![TreeLinks::unlinked(); count],
            reads: std::cell::Cell::new(0),
        }
    }
}

impl ReleaseNodes<usize> for Nodes {
    fn release_time(&self, id: usize) -> Ticks {
        self.times[id]
    }
    fn tree_links(&self, id: usize) -> TreeLinks<usize> {
        self.reads.set(self.reads.get() + 1);
        self.links[id]
    }
    fn set_tree_links(&mut self, id: usize, links: TreeLinks<usize>) {
        self.links[id] = links;
    }
}

/// Height of the subtree at `id`, after checking its links and balances.
fn height(nodes: &Nodes, id: Option<usize>, parent: Option<usize>) -> u32 {
    let Some(id) = id else { return 0 };
    let links = nodes.links[id];
    assert_eq!(links.parent, parent, "parent of {id}");
    let left = height(nodes, links.left, Some(id));
    let right = height(nodes, links.right, Some(id));
    assert_eq!(i64::from(right) - i64::from(left), i64::from(links.balance));
    assert!(links.balance.abs() <= 1);
    1 + left.max(right)
}

fn check(queue: &ReleaseQueue<usize>, nodes: &Nodes, expected: &[usize]) {
    let height = height(nodes, queue.root(), None);
    let bound = 1.45 * (expected.len().max(1) as f64).log2() + 2.0;
    assert!(f64::from(height) <= bound, "height {height} above {bound}");
    assert_eq!(queue.iter(nodes).collect::<Vec<_>>(), expected);
    assert_eq!(queue.first(), expected.first().copied());
    assert_eq!(queue.is_empty(), expected.is_empty());
}

/// Where the model puts something that is released at `time`: behind its equals.
fn place(nodes: &Nodes, model: &[usize], time: Ticks) -> usize {
    model
        .iter()
        .position(|&other| nodes.times[other] > time)
        .unwrap_or(model.len())
}

const NODES: usize = 48;

#[derive(Clone, Copy, Debug)]
enum Op {
    Insert(usize, Ticks),
    Remove(usize),
    Pop,
}

fn op() -> impl Strategy<Value = Op> {
    let time = || prop_oneof![0_u64..8, 0_u64..1000, proptest::strategy::Just(u64::MAX)];
    prop_oneof![
        3 => (0..NODES, time()).prop_map(|(id, time)| Op::Insert(id, time)),
        2 => (0..NODES).prop_map(Op::Remove),
        1 => proptest::strategy::Just(Op::Pop),
    ]
}

proptest! {
    #[test]
    fn behaves_like_a_sorted_vector(ops in proptest::collection::vec(op(), 0..300)) {
        let mut nodes = Nodes::new(NODES);
        let mut queue = ReleaseQueue::new();
        let mut model: Vec<usize> = Vec::new();
        for op in ops {
            match op {
                Op::Insert(id, time) if !model.contains(&id) => {
                    nodes.times[id] = time;
                    model.insert(place(&nodes, &model, time), id);
                    queue.insert(&mut nodes, id);
                }
                Op::Remove(id) if model.contains(&id) => {
                    model.retain(|&other| other != id);
                    queue.remove(&mut nodes, id);
                    assert_eq!(nodes.links[id], TreeLinks::default());
                }
                Op::Pop => {
                    let expected = (!model.is_empty()).then(|| model.remove(0));
                    assert_eq!(queue.pop_first(&mut nodes), expected);
                }
                Op::Insert(..) | Op::Remove(_) => {}
            }
            check(&queue, &nodes, &model);
        }
    }
}

/// Every order of insertion of up to six elements with few distinct times, and every removal from each.
#[test]
fn all_small_trees() {
    for count in 0..=6_usize {
        for code in 0..4_usize.pow(count as u32) {
            for removed in 0..count.max(1) {
                let mut nodes = Nodes::new(count);
                let mut queue = ReleaseQueue::default();
                let mut model = Vec::new();
                for id in 0..count {
                    nodes.times[id] = (code / 4_usize.pow(id as u32) % 4) as u64;
                    model.insert(place(&nodes, &model, nodes.times[id]), id);
                    queue.insert(&mut nodes, id);
                }
                check(&queue, &nodes, &model);
                for step in 0..count {
                    let id = model.remove((removed + step) % model.len());
                    queue.remove(&mut nodes, id);
                    check(&queue, &nodes, &model);
                }
            }
        }
    }
}

/// The cost of an operation on a large queue, in nodes visited, in orders that unbalance a plain tree.
#[test]
fn cost_is_logarithmic() {
    const COUNT: usize = 1 << 14;
    for order in 0..3 {
        let mut nodes = Nodes::new(COUNT);
        let mut queue = ReleaseQueue::new();
        let mut worst = 0;
        let mut measure = |nodes: &mut Nodes, action: &mut dyn FnMut(&mut Nodes)| {
            nodes.reads.set(0);
            action(nodes);
            worst = worst.max(nodes.reads.get());
        };
        for id in 0..COUNT {
            nodes.times[id] = match order {
                0 => id as u64,
                1 => (COUNT - id) as u64,
                _ => 7,
            };
            measure(&mut nodes, &mut |n| queue.insert(n, id));
        }
        assert!(height(&nodes, queue.root(), None) <= 22);
        for id in 0..COUNT {
            let id = id * 5 % COUNT;
            measure(&mut nodes, &mut |n| queue.remove(n, id));
        }
        assert!(queue.is_empty());
        assert!(worst <= 120, "{worst} nodes visited");
    }
}
