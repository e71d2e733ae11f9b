//! Models as states and steps, explored completely: each order of all steps of all cores, with sequential consistency.
//!
//! A model ends: programs are finite, and whoever waits takes no step. So an order of steps that repeats a state is a
//! livelock, and a state without a step that is not the end is a deadlock. If there is neither, the end is reached from
//! everywhere, whatever the speed of the cores.

pub mod fifo;
mod hash;
pub mod migration;
pub mod narrow;
pub mod objects;
pub mod protocol;

use std::{
    collections::{HashMap, VecDeque},
    fmt,
    hash::Hash,
    time::Instant,
};

/// States, steps, and what has to hold.
pub trait Model {
    type State: Clone + Eq + Hash;

    fn initial(&self) -> Self::State;

    /// Hands over every step that can be taken in a state: a name for it, and the state after it, or what is wrong with
    /// it.
    fn steps(&self, state: &Self::State, take: &mut dyn FnMut(Name, Result<Self::State, String>));

    /// What has to hold in every state.
    fn check(&self, state: &Self::State) -> Result<(), String>;

    /// Everything is done. Nothing may be left behind then.
    fn is_end(&self, state: &Self::State) -> bool;
}

/// Which core, or other actor, does what.
#[derive(Clone, Copy, Debug)]
pub struct Name(pub usize, pub &'static str);

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.0, self.1)
    }
}

/// What there was to explore.
#[derive(Clone, Copy, Debug)]
pub struct Explored {
    pub states: usize,
    pub steps: usize,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Defect {
    Wrong(String),
    Deadlock,
    /// States can come again, while so many actors take steps.
    Livelock {
        actors: u32,
    },
}

/// A defect, and a shortest way to it.
#[derive(Clone, Debug)]
pub struct Found {
    pub defect: Defect,
    pub trace: Vec<String>,
}

impl fmt::Display for Found {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} after {}", self.defect, self.trace.join("; "))
    }
}

/// A state's number is its place in the order in which states were found.
struct Way {
    from: u32,
    name: Option<Name>,
}

/// Explores a model, prints what there was, and returns it.
pub fn explore<M: Model>(name: &str, model: &M) -> Result<Explored, Found> {
    let started = Instant::now();
    let outcome = search(model);
    let seconds = started.elapsed().as_secs_f32();
    match &outcome {
        Ok(Explored { states, steps }) => {
            println!("{name}: {states} states, {steps} steps, {seconds:.1} s");
        }
        Err(found) => println!("{name}: {found} ({seconds:.1} s)"),
    }
    outcome
}

/// As [`explore`], silently.
pub fn search<M: Model>(model: &M) -> Result<Explored, Found> {
    let mut numbers = HashMap::with_hasher(hash::Quick);
    let mut ways = vec![Way {
        from: 0,
        name: None,
    }];
    let mut edges = Vec::new();
    let mut queue = VecDeque::from([model.initial()]);
    numbers.insert(model.initial(), 0);
    let mut number = 0;
    while let Some(state) = queue.pop_front() {
        let found = |defect| trace(&ways, number, None, defect);
        model
            .check(&state)
            .map_err(|wrong| found(Defect::Wrong(wrong)))?;
        let mut next = Vec::new();
        model.steps(&state, &mut |name, outcome| next.push((name, outcome)));
        if next.is_empty() && !model.is_end(&state) {
            return Err(found(Defect::Deadlock));
        }
        for (name, outcome) in next {
            let after =
                outcome.map_err(|wrong| trace(&ways, number, Some(name), Defect::Wrong(wrong)))?;
            let fresh = ways.len() as u32;
            let target = *numbers.entry(after.clone()).or_insert(fresh);
            if target == fresh {
                ways.push(Way {
                    from: number,
                    name: Some(name),
                });
                queue.push_back(after);
            }
            edges.push(Edge {
                from: number,
                to: target,
                actor: name.0 as u8,
            });
        }
        number += 1;
    }
    match repeated(ways.len(), &edges) {
        Some((state, actors)) => Err(trace(&ways, state, None, Defect::Livelock { actors })),
        None => Ok(Explored {
            states: ways.len(),
            steps: edges.len(),
        }),
    }
}

fn trace(ways: &[Way], end: u32, last: Option<Name>, defect: Defect) -> Found {
    let mut trace = Vec::from_iter(last.map(|name| name.to_string()));
    let mut at = end;
    while let Some(name) = ways[at as usize].name {
        trace.push(name.to_string());
        at = ways[at as usize].from;
    }
    trace.reverse();
    Found { defect, trace }
}

/// One step of one actor, between the numbers of two states.
struct Edge {
    from: u32,
    to: u32,
    actor: u8,
}

/// The first state of the set of states that can repeat in which most actors take steps, and how many do: an order of
/// steps that leaves somebody out for ever would be unfair. None if no state can repeat.
fn repeated(states: usize, edges: &[Edge]) -> Option<(u32, u32)> {
    let component = components(states, edges);
    let mut actors = vec![0u64; states];
    for edge in edges {
        let inside = component[edge.from as usize];
        if inside == component[edge.to as usize] {
            actors[inside as usize] |= 1 << edge.actor;
        }
    }
    let most = (0..states).max_by_key(|&c| actors[c].count_ones())?;
    let count = actors[most].count_ones();
    let first = component.iter().position(|&c| c as usize == most)?;
    (count > 0).then_some((first as u32, count))
}

/// The strongly connected component of each state, by the number of one of its states (Tarjan's algorithm). States are
/// expanded in the order of their numbers, so edges are sorted by where they begin.
fn components(states: usize, edges: &[Edge]) -> Vec<u32> {
    const NONE: u32 = u32::MAX;
    let mut first = vec![0usize; states + 1];
    for edge in edges {
        first[edge.from as usize + 1] += 1;
    }
    for state in 0..states {
        first[state + 1] += first[state];
    }
    let mut order = vec![NONE; states];
    let mut lowest = vec![NONE; states];
    let mut component = vec![NONE; states];
    let mut open = Vec::new();
    let mut count = 0;
    for root in 0..states {
        if order[root] != NONE {
            continue;
        }
        let mut path = vec![(root, first[root])];
        while let Some((state, at)) = path.last_mut() {
            let state = *state;
            if order[state] == NONE {
                (order[state], lowest[state]) = (count, count);
                count += 1;
                open.push(state);
            }
            if *at < first[state + 1] {
                let to = edges[*at].to as usize;
                *at += 1;
                if order[to] == NONE {
                    path.push((to, first[to]));
                } else if component[to] == NONE {
                    lowest[state] = lowest[state].min(order[to]);
                }
                continue;
            }
            if lowest[state] == order[state] {
                while let Some(member) = open.pop() {
                    component[member] = state as u32;
                    if member == state {
                        break;
                    }
                }
            }
            path.pop();
            if let Some(&(before, _)) = path.last() {
                lowest[before] = lowest[before].min(lowest[state]);
            }
        }
    }
    component
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Counts to three; the numbers in `back` lead back to 0, and 2 may be forbidden.
    struct Counter {
        back: Option<u8>,
        end: u8,
        forbidden: Option<u8>,
    }

    impl Model for Counter {
        type State = u8;

        fn initial(&self) -> u8 {
            0
        }

        fn steps(&self, &state: &u8, take: &mut dyn FnMut(Name, Result<u8, String>)) {
            if state < 3 {
                take(Name(0, "counts"), Ok(state + 1));
            }
            if Some(state) == self.back {
                take(Name(0, "starts again"), Ok(0));
            }
        }

        fn check(&self, &state: &u8) -> Result<(), String> {
            if Some(state) == self.forbidden {
                return Err("forbidden".into());
            }
            Ok(())
        }

        fn is_end(&self, &state: &u8) -> bool {
            state == self.end
        }
    }

    #[test]
    fn the_explorer_finds_each_kind_of_defect() {
        let counter = |back, end, forbidden| {
            search(&Counter {
                back,
                end,
                forbidden,
            })
        };
        assert_eq!(counter(None, 3, None).unwrap().states, 4);
        let found = counter(None, 4, None).unwrap_err();
        assert_eq!((found.defect, found.trace.len()), (Defect::Deadlock, 3));
        assert_eq!(
            counter(Some(1), 3, None).unwrap_err().defect,
            Defect::Livelock { actors: 1 }
        );
        let found = counter(None, 3, Some(2)).unwrap_err();
        assert_eq!(found.defect, Defect::Wrong("forbidden".into()));
        assert_eq!(found.trace, ["0: counts", "0: counts"]);
    }
}
