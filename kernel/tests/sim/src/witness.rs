//! Holds the kernel against the model: whenever a core is about to release its locks, the model does what that core did
//! under them, and must find the same state.
//!
//! The model starts each time from what the kernel had at the previous release, so a section that it does not judge
//! leaves nothing behind that would have to be guessed.

mod compare;
mod effect;
mod read;
mod resolve;

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;

use sel4_abi::Syscall;
use tern_kernel::access::Kernel;
use tern_kernel::entry::Cause;
use tern_kernel::object::Progress;
use tern_kernel::types::CoreId;

use crate::check::locks::Held;
use crate::chips::Look;
use crate::derivation::Derivation;
use crate::machine::Machine;
use crate::model::{End, Event, Limits, Oracle, Outside, Phase, State, Step, Verdict};

/// How many sections were held against the model.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    pub sections: u64,
    pub judged: u64,
    /// How often the derivation tree changed.
    pub changes: u64,
    /// Of these, without what an object outside the model has answered.
    pub but_answer: u64,
    /// Why others were not.
    pub outside: BTreeMap<&'static str, u64>,
    /// What cores entered the kernel for: how often that was done by a short cut, and how often at all.
    pub entries: BTreeMap<&'static str, (u64, u64)>,
}

impl Tally {
    pub fn add(&mut self, other: &Self) {
        self.sections += other.sections;
        self.judged += other.judged;
        self.changes += other.changes;
        self.but_answer += other.but_answer;
        for (reason, count) in &other.outside {
            *self.outside.entry(reason).or_default() += count;
        }
        for (cause, (short, all)) in &other.entries {
            self.count(cause, *short, *all);
        }
    }

    fn count(&mut self, cause: &'static str, short: u64, all: u64) {
        let counts = self.entries.entry(cause).or_default();
        counts.0 += short;
        counts.1 += all;
    }
}

/// What a core is doing in the kernel.
struct Visit {
    phase: Phase,
    cause: Cause,
    /// As of the moment when the core got the locks with which it began.
    event: Option<Event>,
    /// Since then it adds to them, if it has to, and what it has read stays what it is.
    has_begun: bool,
    looks: usize,
    /// When the core's timer was to fire.
    deadline: u64,
    /// Whether the thread has a call that was left half-way.
    is_half_way: bool,
}

pub struct Witness {
    /// At the last release of locks.
    state: State,
    visits: Vec<Option<Visit>>,
    limits: Limits,
    looks: Vec<Look>,
    derivation: Derivation,
    pub tally: Tally,
}

impl Witness {
    /// From now on, every section is watched. All cores are out of the kernel.
    pub fn new(k: &mut Kernel<'_>, machine: &Machine) -> Self {
        let mut looks = Vec::new();
        let visits = (0..machine.num_cores()).map(|core| {
            machine.take_looks(core, &mut looks);
            None
        });
        let visits = visits.collect();
        let limits = &k.machine().limits;
        let limits = Limits {
            min_budget: limits.min_budget,
            min_us: limits.min_budget_us(),
            max_us: limits.max_period_us(),
            frequency: k.machine().frequency,
        };
        Self {
            state: read::state(k),
            derivation: Derivation::new(k),
            visits,
            limits,
            looks,
            tally: Tally::default(),
        }
    }

    /// The core has entered the kernel, and not yet got any lock.
    pub fn enters(&mut self, k: &Kernel<'_>, machine: &Machine, core: usize, cause: Cause) {
        let current = k.core(CoreId(core as u16)).current;
        if let Some(tcb) = current {
            // What user level did to its registers.
            read::registers(k, tcb, &mut self.state.threads[tcb.address()]);
        }
        self.visits[core] = Some(Visit {
            phase: Phase::Entry,
            cause,
            event: None,
            has_begun: false,
            looks: 0,
            deadline: machine.deadline(core),
            is_half_way: current.is_some_and(|tcb| k.get(tcb).progress != Progress::None),
        });
    }

    /// The core is about to go on. If it may get the last lock by that, this is the moment to see what it is asked to do:
    /// capabilities and shared memory do not change any more. In the invocation of an object, a core that has looked at its
    /// clock under its locks knows that already, and gets further ones, unless it drops all to begin again.
    pub fn goes_on(&mut self, k: &Kernel<'_>, machine: &Machine, core: usize, held: Held) {
        let Some(visit) = &mut self.visits[core] else {
            return;
        };
        let looks = machine.looks(core);
        visit.has_begun = !held.is_empty() && (visit.has_begun || looks > visit.looks);
        visit.looks = looks;
        if !machine.may_get_last_lock(core) {
            return;
        }
        self.derivation.looks_around(machine, core);
        let known = visit.event.as_ref().filter(|event| event.is_invocation());
        if let Some(event) = known.filter(|_| visit.has_begun) {
            resolve::recall(k, event, &mut self.state);
            self.derivation.goes_on_with_locks(k, core);
            return;
        }
        let event = resolve::event(k, machine, core, visit.cause, &mut self.state);
        visit.event = Some(event);
        let is_call = visit.cause == Cause::Syscall;
        self.derivation.goes_on(k, core, is_call);
    }

    /// The core is about to release its locks.
    pub fn releases(&mut self, k: &mut Kernel<'_>, machine: &Machine, core: usize) {
        let after = read::state(k);
        let flags = k.flags(CoreId(core as u16));
        let end = if !flags.will_look.load(Ordering::Relaxed) {
            End::Left
        } else if flags.parked.load(Ordering::Relaxed) {
            End::Parked
        } else {
            End::Waits
        };
        let visit = self.visits[core].as_mut().expect("the core has entered");
        let event = visit.event.as_ref().expect("the core got the locks");
        visit.looks = 0;
        machine.take_looks(core, &mut self.looks);
        let acts = matches!(visit.phase, Phase::Entry | Phase::Queueing | Phase::Holding);
        self.derivation.releases(k, core, acts);
        self.tally.changes = self.derivation.changes;
        if visit.phase == Phase::Entry {
            let is_short = end == End::Left && is_short(event, &self.looks);
            if is_short {
                let now = machine.deadline(core);
                let entered = self.looks[0].time;
                accounts(&self.state, &after, core, entered, (visit.deadline, now));
                assert!(
                    !visit.is_half_way || matches!(event, Event::Interrupt(_)),
                    "a short cut of core {core} forgets a call that was left half-way"
                );
            }
            if let Event::Debug = event
                && self.looks.len() == 1
            {
                let doing = |state: &State| {
                    let current = state.cores[core].current;
                    (current, current.map(|id| state.threads[id].doing))
                };
                assert!(
                    doing(&self.state) == doing(&after),
                    "a debug call of core {core} changed what runs"
                );
            }
            self.tally.count(name(event), u64::from(is_short), 1);
        }
        let oracle = Oracle {
            limits: self.limits,
            looks: &self.looks,
        };
        let mut model = self.state.clone();
        self.tally.sections += 1;
        let step = &mut Step::new(&mut model, core, oracle, &after);
        match step.section(visit.phase, event, end) {
            Ok(verdict) => {
                self.tally.judged += 1;
                self.tally.but_answer += u64::from(verdict == Verdict::ButAnswer);
                if let Some(difference) = compare::states(&model, &after) {
                    panic!(
                        "core {core} did what the model does not, {end:?} in phase {:?} of {:?}: {difference}",
                        visit.phase, event
                    );
                }
            }
            Err(Outside(reason)) => *self.tally.outside.entry(reason).or_default() += 1,
        }
        visit.phase = match (visit.phase, end) {
            (_, End::Left) => Phase::Entry,
            (_, End::Parked) => Phase::Parked,
            (Phase::Entry, End::Waits) => Phase::Queueing,
            (Phase::Parked | Phase::ParkedInQueue, End::Waits) => Phase::ParkedInQueue,
            (Phase::Queueing | Phase::Holding, End::Waits) => Phase::Holding,
        };
        if end == End::Left {
            self.visits[core] = None;
        }
        let before = std::mem::replace(&mut self.state, after);
        let clocks = self.state.cores.iter_mut().zip(&before.cores).enumerate();
        for (_, (clock, before)) in clocks.filter(|(other, _)| *other != core) {
            // Others look at their clocks in the midst of what they do.
            (clock.now, clock.used) = (before.now, before.used);
        }
    }
}

/// Whether a section, the first after a trap, was a short cut, or a call that goes on from one. The usual way looks at
/// the clock again once it has the locks, unless it does nothing that costs time.
fn is_short(event: &Event, looks: &[Look]) -> bool {
    !matches!(event, Event::FloatingPoint { .. } | Event::Debug) && looks.len() == 1
}

/// What a core entered the kernel for, in a word or two.
fn name(event: &Event) -> &'static str {
    match event {
        Event::Syscall(request) => match request.call {
            Syscall::Call => "Call",
            Syscall::ReplyRecv => "ReplyRecv",
            Syscall::NBSendRecv => "NBSendRecv",
            Syscall::NBSendWait => "NBSendWait",
            Syscall::Send => "Send",
            Syscall::NBSend => "NBSend",
            Syscall::Recv => "Recv",
            Syscall::NBRecv => "NBRecv",
            Syscall::Wait => "Wait",
            Syscall::NBWait => "NBWait",
            Syscall::Yield => "Yield",
        },
        Event::Interrupt(_) => "interrupts",
        Event::Fault(_) => "faults",
        Event::Outdated => "outdated faults",
        Event::FloatingPoint { .. } => "floating point",
        Event::Debug => "debug calls",
    }
}

/// A short cut accounts up to its only look at the clock, or not at all. Then what has passed is charged later, to the
/// context that pays now, and nobody's timer is programmed for it.
fn accounts(before: &State, after: &State, core: usize, entered: u64, deadlines: (u64, u64)) {
    let time = |state: &State| {
        let core = &state.cores[core];
        let head = core.payer.and_then(|payer| state.contexts.get(payer));
        let head = head.map(|context| (context.head.time, context.head.amount));
        (core.payer, core.now, core.used, head)
    };
    let is_left = time(before) == time(after) && deadlines.0 == deadlines.1;
    assert!(
        is_left || after.cores[core].now == entered,
        "a short cut of core {core} at {entered} turned {:?} into {:?}, and the timer from {} to {}",
        time(before),
        time(after),
        deadlines.0,
        deadlines.1
    );
}
