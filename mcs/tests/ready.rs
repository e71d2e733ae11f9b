//! The ready queues against plain vectors.

use mcs::{ReadyNodes, ReadyQueues};
use proptest::prelude::{Strategy, any, prop_assert, prop_assert_eq, prop_oneof, proptest};
use std::collections::VecDeque;

const NODES: usize = 24;

#[derive(Default)]
struct Links([(Option<usize>, Option<usize>); NODES]);

impl ReadyNodes<usize> for Links {
    fn ready_links(&self, id: usize) -> (Option<usize>, Option<usize>) {
        self.0[id]
    }
    fn set_ready_links(&mut self, id: usize, prev: Option<usize>, next: Option<usize>) {
        self.0[id] = (prev, next);
    }
}

#[derive(Clone, Copy, Debug)]
enum Op {
    Front(usize, u8),
    Back(usize, u8),
    Remove(usize),
    PopHighest,
}

fn op() -> impl Strategy<Value = Op> {
    // Few priorities, so that lists grow, among them both sides of every word boundary.
    let prio = || {
        prop_oneof![
            proptest::sample::select(vec![0, 63, 64, 127, 128, 191, 192, 255]),
            any::<u8>()
        ]
    };
    prop_oneof![
        (0..NODES, prio()).prop_map(|(id, p)| Op::Front(id, p)),
        (0..NODES, prio()).prop_map(|(id, p)| Op::Back(id, p)),
        (0..NODES).prop_map(Op::Remove),
        proptest::strategy::Just(Op::PopHighest),
    ]
}

proptest! {
    #[test]
    fn behaves_like_vectors(ops in proptest::collection::vec(op(), 0..200)) {
        let mut links = Links::default();
        let mut queues = ReadyQueues::new();
        let mut model: Vec<VecDeque<usize>> = vec![VecDeque::new(); 256];
        let mut place = [None; NODES];
        for op in ops {
            match op {
                Op::Front(id, prio) if place[id].is_none() => {
                    queues.push_front(&mut links, id, prio);
                    model[usize::from(prio)].push_front(id);
                    place[id] = Some(prio);
                }
                Op::Back(id, prio) if place[id].is_none() => {
                    queues.push_back(&mut links, id, prio);
                    model[usize::from(prio)].push_back(id);
                    place[id] = Some(prio);
                }
                Op::Remove(id) => if let Some(prio) = place[id].take() {
                    queues.remove(&mut links, id, prio);
                    model[usize::from(prio)].retain(|&other| other != id);
                    prop_assert_eq!(links.0[id], (None, None));
                },
                Op::PopHighest => if let Some((prio, id)) = queues.highest() {
                    queues.remove(&mut links, id, prio);
                    prop_assert_eq!(model[usize::from(prio)].pop_front(), Some(id));
                    place[id] = None;
                },
                Op::Front(..) | Op::Back(..) => {}
            }
            let expected: Vec<(u8, usize)> = (0..=255_u8)
                .rev()
                .flat_map(|p| model[usize::from(p)].iter().map(move |&id| (p, id)))
                .collect();
            prop_assert_eq!(queues.iter(&links).collect::<Vec<_>>(), expected.clone());
            prop_assert_eq!(queues.highest(), expected.first().copied());
            prop_assert_eq!(queues.highest_priority(), expected.first().map(|e| e.0));
            prop_assert_eq!(queues.is_empty(), expected.is_empty());
            for prio in 0..=255_u8 {
                let list = &model[usize::from(prio)];
                prop_assert_eq!(queues.front(prio), list.front().copied());
                for (position, &id) in list.iter().enumerate() {
                    let prev = position.checked_sub(1).map(|p| list[p]);
                    prop_assert!(links.0[id] == (prev, list.get(position + 1).copied()));
                }
            }
        }
    }
}

#[test]
fn every_priority_is_found() {
    let mut links = Links::default();
    let mut queues = ReadyQueues::default();
    for prio in 0..=255 {
        queues.push_back(&mut links, 1, prio);
        assert_eq!(queues.highest(), Some((prio, 1)));
        queues.remove(&mut links, 1, prio);
        assert!(queues.is_empty());
    }
}
