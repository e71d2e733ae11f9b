//! Locks, doorbell, idle loop and stop protocol on two or three cores, in single steps.
//!
//! A restatement of `smp/lock.rs`, `smp::poke`, `smp/stop.rs` and `entry.rs`: each access to what others look at without
//! a lock is a step of its own; what a core does under all locks is one step, as nobody can see between. Core c runs
//! thread c or nothing; threads make the calls of short programs ([`Call`]).

use super::{Model, Name, fifo::Fifo};
use crate::entry::Call;

pub const CORES: usize = 3;

/// The protocols as they are, or a variant that looks right and is not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Variant {
    Real,
    /// `will_look` is cleared after the locks have been released.
    LookEndsAfterRelease,
    /// Cores are stopped without the stop lock.
    NoStopLock,
    /// The thread is marked so that its core takes it off, the locks are dropped, and the call starts again from user
    /// level. A thread that is taken off takes its own marks back, since it can not act on them.
    MarkAndRestart,
    /// Core 1 takes the locks in descending order.
    DescendingLocks,
    /// A core sleeps in the queue for the stop lock whether or not it shall park.
    NoParkingInQueue,
}

/// Where a core is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum At {
    User,
    Idle,
    /// The end of the model: all threads have finished.
    Over,
    /// In the kernel: about to say that it will look.
    Entry,
    /// Takes its place at the nth lock; it holds those before.
    Lock(u8, Then),
    /// Releases the nth lock, and the ones after it.
    Unlock(u8, After),
    Ring(After),
    LookEnds(After),
    JoinStop,
    QueueForStop,
    SleepInQueue,
    /// Looks whether those it holds have parked.
    WaitForParked,
    SleepForParked,
    Parked {
        in_queue: bool,
    },
    SleepParked {
        in_queue: bool,
    },
    LeaveStop(After),
}

/// What is done under the locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Then {
    Act,
    /// The entry's work is over, or there is none.
    Leave,
    ParkInQueue,
    Unpark {
        in_queue: bool,
    },
}

/// Where a core goes when it has released the locks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum After {
    Out,
    JoinStop,
    WaitForParked,
    Parked { in_queue: bool },
    QueueForStop,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Core {
    at: At,
    // What others look at.
    will_look: bool,
    hold: bool,
    parked: bool,
    /// An SGI is pending.
    interrupt: bool,
    /// The event register.
    event: bool,
    // Under the locks.
    pending: bool,
    /// Thread c is live.
    live: bool,
    // Its own.
    /// It entered for its thread's next call, not for an interrupt.
    calls: bool,
    stopper: bool,
    was_parked: bool,
    holds: u8,
    rings: u8,
    // Of thread c, under the locks.
    runnable: bool,
    finished: bool,
    done: u8,
    woken: u8,
    /// [`Variant::MarkAndRestart`]: which threads want this one off.
    marks: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct State {
    locks: [Fifo; CORES],
    stop: Fifo,
    cores: [Core; CORES],
}

pub struct Protocol {
    pub variant: Variant,
    /// One for each core, as in the kernel. Or 1, which is the same to others, and less to explore: where all take all
    /// locks in the same order, the first one decides.
    pub locks: usize,
    pub programs: &'static [&'static [Call]],
}

fn bits(set: u8) -> impl Iterator<Item = usize> {
    (0..CORES).filter(move |core| set & (1 << core) != 0)
}

impl Model for Protocol {
    type State = State;

    fn initial(&self) -> State {
        let core = |c: usize| Core {
            at: if c < self.cores() { At::User } else { At::Over },
            will_look: false,
            hold: false,
            parked: false,
            interrupt: false,
            event: false,
            pending: false,
            live: c < self.cores(),
            calls: false,
            stopper: false,
            was_parked: false,
            holds: 0,
            rings: 0,
            runnable: c < self.cores(),
            finished: false,
            done: 0,
            woken: 0,
            marks: 0,
        };
        State {
            locks: [Fifo::default(); CORES],
            stop: Fifo::default(),
            cores: core::array::from_fn(core),
        }
    }

    fn steps(&self, state: &State, take: &mut dyn FnMut(Name, Result<State, String>)) {
        for me in 0..self.cores() {
            let mut enter = |calls, name| {
                let mut next = *state;
                next.cores[me].at = At::Entry;
                next.cores[me].calls = calls;
                if !calls {
                    next.cores[me].interrupt = false;
                }
                take(Name(me, name), Ok(next));
            };
            match state.cores[me].at {
                At::User => {
                    enter(true, "calls");
                    if state.cores[me].interrupt {
                        enter(false, "is interrupted");
                    }
                }
                At::Idle => {
                    if state.cores[me].interrupt {
                        enter(false, "wakes");
                    }
                }
                At::Over => {}
                _ => {
                    let mut next = *state;
                    if let Some(name) = self.step(&mut next, me) {
                        take(Name(me, name), Ok(next));
                    }
                }
            }
        }
    }

    fn check(&self, state: &State) -> Result<(), String> {
        for me in 0..self.cores() {
            let core = state.cores[me];
            let outside = matches!(core.at, At::User | At::Idle);
            if outside && (core.parked || core.stopper || core.holds != 0) {
                return Err("a core is outside with something left".into());
            }
            if core.at == At::Idle && core.runnable && core.marks == 0 && !core.interrupt {
                let rung = (0..self.cores()).any(|other| state.cores[other].rings & (1 << me) != 0);
                let locked = !state.locks[0].is_empty();
                if !rung && !locked {
                    return Err("a core sleeps on work".into());
                }
            }
            if core.at == At::User && !core.live {
                return Err("nothing is live in user mode".into());
            }
            if core.parked && core.live {
                return Err("a parked core runs".into());
            }
        }
        Ok(())
    }

    fn is_end(&self, state: &State) -> bool {
        let free = state.stop.is_empty() && state.locks.iter().all(Fifo::is_empty);
        let clean = state.cores[..self.cores()].iter().all(|core| {
            core.at == At::Over
                && !(core.will_look || core.hold || core.parked || core.live)
                && core.marks == 0
                && core.rings == 0
        });
        free && clean
    }
}

impl Protocol {
    fn cores(&self) -> usize {
        self.programs.len()
    }

    /// The nth lock that this core takes.
    fn lock(&self, me: usize, nth: u8) -> usize {
        if self.variant == Variant::DescendingLocks && me == 1 {
            self.locks - 1 - nth as usize
        } else {
            nth as usize
        }
    }

    /// The next step of a core inside the kernel, unless it waits.
    fn step(&self, state: &mut State, me: usize) -> Option<&'static str> {
        let at = state.cores[me].at;
        let name = match at {
            At::User | At::Idle | At::Over => return None,
            At::Entry => {
                state.cores[me].will_look = true;
                let then = if state.cores[me].calls {
                    Then::Act
                } else {
                    Then::Leave
                };
                state.cores[me].at = At::Lock(0, then);
                "will look"
            }
            At::Lock(nth, then) => {
                if nth > 0 && state.locks[self.lock(me, nth - 1)].front() != Some(me) {
                    return None;
                }
                if (nth as usize) < self.locks {
                    state.locks[self.lock(me, nth)].push(me);
                    state.cores[me].at = At::Lock(nth + 1, then);
                    "queues for a lock"
                } else {
                    self.under_locks(state, me, then);
                    match then {
                        Then::Act => "acts",
                        Then::Leave => "leaves",
                        Then::ParkInQueue => "parks in the queue",
                        Then::Unpark { .. } => "goes on",
                    }
                }
            }
            At::Unlock(lock, after) => {
                let held = state.locks[lock as usize].pop();
                debug_assert_eq!(held, Some(me));
                let more = (lock as usize) + 1 < self.locks;
                state.cores[me].at = if more {
                    At::Unlock(lock + 1, after)
                } else {
                    At::Ring(after)
                };
                "releases a lock"
            }
            At::Ring(after) => {
                for core in bits(core::mem::take(&mut state.cores[me].rings)) {
                    state.cores[core].interrupt = true;
                }
                self.after(state, me, after);
                "rings"
            }
            At::LookEnds(after) => {
                state.cores[me].will_look = false;
                self.out(state, me, after);
                "will not look"
            }
            At::JoinStop => {
                state.stop.push(me);
                state.cores[me].was_parked = false;
                state.cores[me].at = At::QueueForStop;
                "queues to stop others"
            }
            At::QueueForStop => {
                if state.stop.front() == Some(me) {
                    state.cores[me].stopper = true;
                    state.cores[me].at = if core::mem::take(&mut state.cores[me].was_parked) {
                        At::LeaveStop(After::JoinStop)
                    } else {
                        At::Lock(0, Then::Act)
                    };
                    "has its turn to stop others"
                } else if state.cores[me].hold && self.variant != Variant::NoParkingInQueue {
                    state.cores[me].at = At::Lock(0, Then::ParkInQueue);
                    "shall park in the queue"
                } else {
                    state.cores[me].at = At::SleepInQueue;
                    "has to wait for its turn"
                }
            }
            At::WaitForParked => {
                let parked = bits(state.cores[me].holds).all(|core| state.cores[core].parked);
                state.cores[me].at = if parked {
                    At::Lock(0, Then::Act)
                } else {
                    At::SleepForParked
                };
                "looks who has parked"
            }
            At::Parked { in_queue } => {
                state.cores[me].at = if state.cores[me].hold {
                    At::SleepParked { in_queue }
                } else {
                    At::Lock(0, Then::Unpark { in_queue })
                };
                "looks whether it may go on"
            }
            At::SleepInQueue | At::SleepForParked | At::SleepParked { .. } => {
                if !core::mem::take(&mut state.cores[me].event) {
                    return None;
                }
                state.cores[me].at = match at {
                    At::SleepParked { in_queue } => At::Parked { in_queue },
                    At::SleepForParked => At::WaitForParked,
                    _ => At::QueueForStop,
                };
                "has an event"
            }
            At::LeaveStop(after) => {
                let held = state.stop.pop();
                debug_assert_eq!(held, Some(me));
                state.cores[me].stopper = false;
                self.send_event(state, me);
                // `Stopper::queue` gives the lock back itself when the core was parked: the entry then ends.
                if after == After::JoinStop {
                    state.cores[me].at = At::Lock(0, Then::Leave);
                } else {
                    self.out(state, me, after);
                }
                "lets others stop cores"
            }
        };
        Some(name)
    }

    fn send_event(&self, state: &mut State, me: usize) {
        for core in 0..self.cores() {
            if core != me {
                state.cores[core].event = true;
            }
        }
    }

    /// The locks are released and others rung.
    fn after(&self, state: &mut State, me: usize, after: After) {
        state.cores[me].at = match after {
            After::Out if state.cores[me].will_look => At::LookEnds(after),
            After::Out => return self.out(state, me, after),
            After::JoinStop => At::JoinStop,
            After::WaitForParked => {
                self.send_event(state, me);
                At::WaitForParked
            }
            After::Parked { in_queue } => {
                self.send_event(state, me);
                At::Parked { in_queue }
            }
            After::QueueForStop => At::QueueForStop,
        };
    }

    fn out(&self, state: &mut State, me: usize, after: After) {
        let core = &mut state.cores[me];
        if core.stopper && self.variant != Variant::NoStopLock {
            core.at = At::LeaveStop(after);
            return;
        }
        core.stopper = false;
        core.calls = false;
        core.at = if core.live { At::User } else { At::Idle };
        if self.is_over(state) {
            state.cores[me].at = At::Over;
        }
    }

    fn is_over(&self, state: &State) -> bool {
        state.cores[..self.cores()].iter().all(|core| core.finished)
    }

    fn under_locks(&self, state: &mut State, me: usize, then: Then) {
        match then {
            Then::Leave => self.leave(state, me),
            Then::Act if !state.cores[me].live => self.leave(state, me),
            Then::Act => match self.act(state, me) {
                None => self.leave(state, me),
                Some(target) if self.variant == Variant::MarkAndRestart => {
                    state.cores[target].marks |= 1 << me;
                    self.poke(state, me, target);
                    self.leave(state, me);
                }
                Some(target) if state.cores[me].stopper || self.variant == Variant::NoStopLock => {
                    state.cores[me].stopper = true;
                    state.cores[me].holds |= 1 << target;
                    state.cores[target].hold = true;
                    if !state.cores[target].will_look {
                        state.cores[me].rings |= 1 << target;
                    }
                    state.cores[me].at = At::Unlock(0, After::WaitForParked);
                }
                Some(_) => state.cores[me].at = At::Unlock(0, After::JoinStop),
            },
            Then::ParkInQueue => self.park(state, me, true),
            Then::Unpark { in_queue } => {
                state.cores[me].parked = false;
                if in_queue {
                    state.cores[me].was_parked = true;
                    state.cores[me].at = At::Unlock(0, After::QueueForStop);
                } else {
                    self.leave(state, me);
                }
            }
        }
    }

    /// Mirrors `entry::leave`.
    fn leave(&self, state: &mut State, me: usize) {
        let holds = core::mem::take(&mut state.cores[me].holds);
        if holds != 0 {
            for core in bits(holds) {
                state.cores[core].hold = false;
            }
            self.send_event(state, me);
        }
        self.schedule(state, me);
        if state.cores[me].hold {
            return self.park(state, me, false);
        }
        state.cores[me].will_look = self.variant == Variant::LookEndsAfterRelease;
        state.cores[me].at = At::Unlock(0, After::Out);
    }

    fn schedule(&self, state: &mut State, me: usize) {
        let core = &mut state.cores[me];
        core.pending = false;
        if core.marks != 0 && core.live {
            // It can not act on its own marks while it is off: they are taken back.
            for other in 0..self.cores() {
                let marked = state.cores[other].marks & (1 << me) != 0;
                state.cores[other].marks &= !(1 << me);
                if marked {
                    self.poke(state, me, other);
                }
            }
        }
        let core = &mut state.cores[me];
        core.live = core.runnable && core.marks == 0;
    }

    /// Mirrors `stop::park`.
    fn park(&self, state: &mut State, me: usize, in_queue: bool) {
        let core = &mut state.cores[me];
        core.live = false;
        core.parked = true;
        core.at = At::Unlock(0, After::Parked { in_queue });
    }

    /// Mirrors `smp::poke`.
    fn poke(&self, state: &mut State, me: usize, core: usize) {
        let already = core::mem::replace(&mut state.cores[core].pending, true);
        if !already && !state.cores[core].will_look {
            state.cores[me].rings |= 1 << core;
        }
    }

    /// The thread's next call: done, or the core that has to be stopped for it.
    fn act(&self, state: &mut State, me: usize) -> Option<usize> {
        let call = self.programs[me][state.cores[me].done as usize];
        match call {
            Call::Wait => match state.cores[me].woken.checked_sub(1) {
                Some(fewer) => state.cores[me].woken = fewer,
                None => state.cores[me].runnable = false,
            },
            Call::Wake(other) => {
                if state.cores[other].finished || state.cores[other].runnable {
                    state.cores[other].woken += 1;
                } else {
                    state.cores[other].runnable = true;
                    self.poke(state, me, other);
                }
            }
            Call::Change(other) | Call::Suspend(other) => {
                if state.cores[other].live {
                    return Some(other);
                }
                if state.cores[other].marks & (1 << me) != 0 {
                    state.cores[other].marks &= !(1 << me);
                    self.poke(state, me, other);
                }
                if matches!(call, Call::Suspend(_)) {
                    self.finish(state, me, other);
                }
            }
            Call::Finish => self.finish(state, me, me),
        }
        state.cores[me].done += 1;
        None
    }

    fn finish(&self, state: &mut State, me: usize, thread: usize) {
        state.cores[thread].finished = true;
        state.cores[thread].runnable = false;
        if self.is_over(state) {
            for core in 0..self.cores() {
                if core != me {
                    self.poke(state, me, core);
                }
            }
        }
    }
}
