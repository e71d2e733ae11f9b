//! A run once more, with nobody who looks on, and with nothing that orders the cores' work but the kernel's own locks.
//!
//! Whoever drives a machine looks at all of the kernel's state between its steps, so it orders everything. Here each core
//! is a thread with the whole list of what is to be done, and the place in that list is all that threads tell each other.
//! Under Miri they do it by relaxed accesses, which order nothing: two accesses of which one is a write, on different
//! cores, with no lock of the kernel between them, are reported as a data race, even though they never happen together.
//!
//! The machine then has to behave as it did: every core stops where it stopped, at the same time.

use std::any::Any;
use std::panic::{self, AssertUnwindSafe};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::{self, Builder};

use tern_kernel::system::System;

use crate::chips::Chips;
use crate::cores::{self, Input, Pause, Stop, Work};
use crate::machine::Parts;

/// What was done to a machine.
#[derive(PartialEq, Eq)]
pub struct Journal {
    pub(crate) cores: usize,
    pub(crate) events: Vec<Event>,
}

#[derive(PartialEq, Eq)]
pub(crate) enum Event {
    /// A core goes on, until it stops at this place, at this time.
    Goes {
        core: usize,
        input: Input,
        stop: Place,
        now: u64,
    },
    /// User mode uses its floating-point register.
    Fpu {
        core: usize,
        value: u128,
    },
    Pass(u64),
    Raise(u32),
    Interleaving(bool),
}

impl Event {
    pub(crate) fn goes_on(core: usize, input: Input, stop: Stop, now: u64) -> Self {
        Self::Goes {
            core,
            input,
            stop: Place::of(stop),
            now,
        }
    }

    /// The core that sees to it.
    fn core(&self) -> usize {
        match self {
            Self::Goes { core, .. } | Self::Fpu { core, .. } => *core,
            Self::Pass(_) | Self::Raise(_) | Self::Interleaving(_) => 0,
        }
    }
}

/// Where a core has stopped, without addresses, which differ from machine to machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    User,
    Point,
    Sent,
    Publish,
    Lock(u32),
    Event,
    Interrupt,
}

impl Place {
    fn of(stop: Stop) -> Self {
        match stop {
            Stop::User => Self::User,
            Stop::Point => Self::Point,
            Stop::Sent => Self::Sent,
            Stop::Publish => Self::Publish,
            Stop::Lock(_, value) => Self::Lock(value),
            Stop::Event => Self::Event,
            Stop::Interrupt => Self::Interrupt,
        }
    }
}

impl Journal {
    /// How many steps of cores it has.
    pub fn len(&self) -> usize {
        self.events.len()
    }

    pub fn is_empty(&self) -> bool {
        self.events.is_empty()
    }

    /// Does it all again. `prepare` is called with a place for the kernel's state, as it was for the first machine.
    ///
    /// # Panics
    /// If a core panics, or does not stop where it did.
    pub fn replay(&self, prepare: impl FnOnce(&'static System)) {
        let parts = Parts::new(self.cores, prepare);
        let place = AtomicUsize::new(0);
        let chips = parts.chips.get();
        let work = parts.work();
        let problem = thread::scope(|scope| {
            let threads: Vec<_> = (0..self.cores)
                .map(|core| {
                    let turns = Turns {
                        events: &self.events,
                        place: &place,
                        chips,
                        core,
                    };
                    let work = &work;
                    let thread = Builder::new().name(format!("core {core}"));
                    thread
                        .spawn_scoped(scope, move || turns.play(work))
                        .expect("a thread")
                })
                .collect();
            let ends = threads
                .into_iter()
                .map(|thread| thread.join().expect("it catches its panics"));
            // All of them are waited for.
            ends.filter_map(Result::err).collect::<Vec<_>>().pop()
        });
        if let Some(problem) = problem {
            panic::resume_unwind(problem);
        }
    }
}

/// How the place in the list is handed on. Elsewhere than under Miri, relaxed accesses could really be reordered.
const LOOK: Ordering = if cfg!(miri) {
    Ordering::Relaxed
} else {
    Ordering::Acquire
};
const TELL: Ordering = if cfg!(miri) {
    Ordering::Relaxed
} else {
    Ordering::Release
};

/// The list has been given up.
const GIVEN_UP: usize = usize::MAX;

/// What a core unwinds with at the end of the list.
struct End;

/// A core's part in it.
struct Turns<'a> {
    events: &'a [Event],
    place: &'a AtomicUsize,
    chips: &'static Chips,
    core: usize,
}

impl Turns<'_> {
    fn play(&self, work: &Work) -> Result<(), Box<dyn Any + Send>> {
        let result = panic::catch_unwind(AssertUnwindSafe(|| {
            let Input::Go = self.next() else {
                panic!("a core starts in the kernel");
            };
            cores::run(self.core, self, work);
        }));
        match result {
            Err(problem) if !problem.is::<End>() => {
                self.place.store(GIVEN_UP, TELL);
                Err(problem)
            }
            _ => Ok(()),
        }
    }

    /// Waits for this core's turn.
    fn next(&self) -> Input {
        loop {
            let place = self.place.load(LOOK);
            let Some(event) = self.events.get(place) else {
                panic::resume_unwind(Box::new(End));
            };
            if event.core() != self.core {
                thread::yield_now();
                continue;
            }
            match event {
                Event::Goes { core, input, .. } => {
                    self.chips.go_on(*core, input);
                    return input.clone();
                }
                Event::Fpu { core, value } => self.chips.cores[*core].own().fpu = *value,
                Event::Pass(ticks) => self.chips.pass(*ticks),
                Event::Raise(line) => self.chips.raise(*line),
                Event::Interleaving(on) => self.chips.set_interleaving(*on),
            }
            self.place.store(place + 1, TELL);
        }
    }
}

impl Pause for Turns<'_> {
    fn pause(&self, stop: Stop) -> Input {
        let place = self.place.load(LOOK);
        let Some(Event::Goes {
            core,
            stop: expected,
            now,
            ..
        }) = self.events.get(place)
        else {
            panic!("core {} goes on out of turn", self.core);
        };
        let found = (self.core, Place::of(stop), self.chips.now.get());
        assert_eq!(
            found,
            (*core, *expected, *now),
            "where core {} stops at event {place}",
            self.core
        );
        self.place.store(place + 1, TELL);
        self.next()
    }
}
