//! How an entry will take fewer locks than all (`docs/concurrency.md`, *What narrows later*), before the kernel does it.
//!
//! An object is guarded by the lock of its home, and homes change. An entry takes its own core's lock, looks where the
//! homes of its objects are, and has nothing written while one of these locks is missing. A missing lock above all held
//! ones is waited for on the spot; another one is tried once. In both cases the homes are looked at again. Otherwise all
//! locks are released, and a larger set is taken in ascending order: those that were missing too, and at the second
//! time all. An object goes from one home to another under both locks.

use super::{Model, Name, fifo::Fifo};

pub const CORES: usize = 3;
pub const OBJECTS: usize = 2;

const ALL: u8 = (1 << CORES) - 1;
/// After so many attempts an entry takes all locks.
const ROUNDS: u8 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    Real,
    /// A missing lock is waited for, wherever it is.
    WaitsBelow,
    /// The homes are not looked at again after a lock has been added.
    NoSecondLook,
    /// An object changes its home under the lock of the old one alone.
    MovesUnderOneLock,
    /// The next attempt begins with the core's own lock again.
    NoEscalation,
}

/// What an entry does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Entry {
    /// Writes these objects.
    Use(&'static [usize]),
    /// Gives an object another home, and writes it.
    Move { object: usize, to: usize },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    Outside,
    /// Takes the locks of the set `wanted`, in ascending order, from this one on.
    Take(u8),
    /// Has queued for this lock.
    Wait(u8),
    /// Has queued for this lock while it holds others.
    WaitOnTheSpot(u8),
    Plan,
    /// Has looked, and may write.
    Perform,
    Written,
    Release {
        again: bool,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Core {
    at: At,
    done: u8,
    wanted: u8,
    held: u8,
    rounds: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Object {
    home: u8,
    /// Which cores are writing it.
    writers: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    locks: [Fifo; CORES],
    cores: [Core; CORES],
    objects: [Object; OBJECTS],
}

pub struct Narrow<'a> {
    pub variant: Variant,
    /// What each core does. Object n begins at home n.
    pub programs: &'a [&'a [Entry]],
}

fn bit(core: usize) -> u8 {
    1 << core
}

fn lowest(set: u8) -> usize {
    set.trailing_zeros() as usize
}

impl Model for Narrow<'_> {
    type State = State;

    fn initial(&self) -> State {
        State {
            locks: [Fifo::default(); CORES],
            cores: [Core {
                at: At::Outside,
                done: 0,
                wanted: 0,
                held: 0,
                rounds: 0,
            }; CORES],
            objects: core::array::from_fn(|object| Object {
                home: object as u8,
                writers: 0,
            }),
        }
    }

    fn steps(&self, state: &State, take: &mut dyn FnMut(Name, Result<State, String>)) {
        for me in 0..self.programs.len() {
            let mut next = *state;
            if let Some((name, outcome)) = self.step(&mut next, me) {
                take(Name(me, name), outcome.map(|()| next));
            }
        }
    }

    fn check(&self, state: &State) -> Result<(), String> {
        if state
            .objects
            .iter()
            .any(|object| object.writers.count_ones() > 1)
        {
            return Err("two cores write an object".into());
        }
        Ok(())
    }

    fn is_end(&self, state: &State) -> bool {
        let outside = state
            .cores
            .iter()
            .all(|core| core.at == At::Outside && core.held == 0);
        outside && state.locks.iter().all(Fifo::is_empty)
    }
}

impl Narrow<'_> {
    fn step(&self, state: &mut State, me: usize) -> Option<(&'static str, Result<(), String>)> {
        let core = state.cores[me];
        let mut outcome = Ok(());
        let name = match core.at {
            At::Outside => {
                self.programs[me].get(core.done as usize)?;
                state.cores[me].wanted = bit(me);
                state.cores[me].at = At::Take(0);
                "enters"
            }
            At::Take(from) => {
                let rest = core.wanted & !(bit(from as usize) - 1);
                if rest == 0 {
                    state.cores[me].at = At::Plan;
                    "has its locks"
                } else {
                    state.locks[lowest(rest)].push(me);
                    state.cores[me].at = At::Wait(lowest(rest) as u8);
                    "queues for a lock"
                }
            }
            At::Wait(lock) | At::WaitOnTheSpot(lock) => {
                if state.locks[lock as usize].front() != Some(me) {
                    return None;
                }
                state.cores[me].held |= bit(lock as usize);
                state.cores[me].at = match core.at {
                    At::Wait(_) => At::Take(lock + 1),
                    _ if self.variant == Variant::NoSecondLook => At::Perform,
                    _ => At::Plan,
                };
                "gets a lock"
            }
            At::Plan => {
                let missing = self.needed(state, me) & !core.held;
                self.plan(state, me, missing);
                "plans"
            }
            At::Perform => {
                outcome = self.perform(state, me);
                state.cores[me].at = At::Written;
                "writes"
            }
            At::Written => {
                for object in &mut state.objects {
                    object.writers &= !bit(me);
                }
                state.cores[me].done += 1;
                state.cores[me].rounds = 0;
                state.cores[me].at = At::Release { again: false };
                "has written"
            }
            At::Release { again } => {
                let lock = lowest(core.held);
                state.locks[lock].pop();
                state.cores[me].held &= !bit(lock);
                if state.cores[me].held == 0 {
                    state.cores[me].at = if again { At::Take(0) } else { At::Outside };
                }
                "releases a lock"
            }
        };
        Some((name, outcome))
    }

    /// The locks that the entry needs, as far as it can see.
    fn needed(&self, state: &State, me: usize) -> u8 {
        let home = |object: usize| bit(state.objects[object].home as usize);
        match self.programs[me][state.cores[me].done as usize] {
            Entry::Use(objects) => objects.iter().fold(0, |set, &object| set | home(object)),
            Entry::Move { object, .. } if self.variant == Variant::MovesUnderOneLock => {
                home(object)
            }
            Entry::Move { object, to } => home(object) | bit(to),
        }
    }

    fn plan(&self, state: &mut State, me: usize, missing: u8) {
        let core = &mut state.cores[me];
        if missing == 0 {
            core.at = At::Perform;
            return;
        }
        let lock = lowest(missing);
        if bit(lock) > core.held || self.variant == Variant::WaitsBelow {
            core.at = At::WaitOnTheSpot(lock as u8);
            state.locks[lock].push(me);
        } else if state.locks[lock].is_empty() {
            // The one attempt. The homes are looked at again.
            state.locks[lock].push(me);
            core.held |= bit(lock);
            if self.variant == Variant::NoSecondLook {
                core.at = At::Perform;
            }
        } else {
            core.at = At::Release { again: true };
            if self.variant == Variant::NoEscalation {
                return;
            }
            core.rounds += 1;
            core.wanted |= missing | core.held;
            if core.rounds == ROUNDS {
                core.wanted = ALL;
            }
        }
    }

    fn perform(&self, state: &mut State, me: usize) -> Result<(), String> {
        let held = state.cores[me].held;
        let entry = self.programs[me][state.cores[me].done as usize];
        let objects = match &entry {
            Entry::Use(objects) => objects,
            Entry::Move { object, .. } => core::slice::from_ref(object),
        };
        for &object in objects {
            let object = &mut state.objects[object];
            if bit(object.home as usize) & held == 0 {
                return Err("an object is written without its home's lock".into());
            }
            object.writers |= bit(me);
            if let Entry::Move { to, .. } = entry {
                object.home = to as u8;
            }
        }
        Ok(())
    }
}
