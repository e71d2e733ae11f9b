//! Budgets, and scheduling contexts that know where they are.

use alloc::boxed::Box;
use core::fmt;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use crate::boot::BootInfo;
use crate::cap::{Cap, SchedContext, Tcb, init};
use crate::error::Error;
use crate::system::{ResourceError, System};
use crate::thread_block;

/// How much a thread may run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Budget {
    /// Always, in turn with others of its priority: so long at a time.
    RoundRobin {
        /// The time slice.
        slice: Duration,
    },
    /// At most `budget` in each `period`.
    Periodic {
        /// How long it may run.
        budget: Duration,
        /// In which time.
        period: Duration,
        /// How many pieces the budget may fall into, beyond two: each time the thread blocks with part of its budget
        /// used, that part comes back a period after its use.
        extra_refills: u64,
    },
}

impl Budget {
    /// Round robin with slices of 5 ms.
    pub const DEFAULT: Self = Self::RoundRobin {
        slice: Duration::from_millis(5),
    };

    /// `budget` in each `period`, in up to ten pieces.
    pub const fn periodic(budget: Duration, period: Duration) -> Self {
        Self::Periodic {
            budget,
            period,
            extra_refills: 8,
        }
    }

    /// Budget, period (both in microseconds) and extra refills as the kernel takes them.
    fn parameters(self) -> (u64, u64, u64) {
        let micros = |time: Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
        match self {
            Self::RoundRobin { slice } => (micros(slice), micros(slice), 0),
            Self::Periodic {
                budget,
                period,
                extra_refills,
            } => (micros(budget), micros(period), extra_refills),
        }
    }
}

/// Why [`SchedulingContext::yield_to`] did not happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum YieldToError {
    /// The target runs on another core than the caller, where the call could do nothing but return.
    OtherCore {
        /// The caller's core.
        caller: usize,
        /// The target's core.
        target: usize,
    },
    /// The kernel refused.
    Kernel(Error),
}

impl fmt::Display for YieldToError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::OtherCore { caller, target } => {
                write!(
                    f,
                    "the target is on core {target}, the caller on core {caller}"
                )
            }
            Self::Kernel(error) => error.fmt(f),
        }
    }
}

impl core::error::Error for YieldToError {}

/// What is known of a scheduling context.
#[derive(Debug)]
pub(crate) struct Note {
    cap: Cap<SchedContext>,
    budget: Budget,
    badge: u64,
    boot: &'static BootInfo,
    core: AtomicU64,
}

impl Note {
    /// The first thread's, as the kernel made it.
    pub(crate) const fn of_root(boot: &'static BootInfo) -> Self {
        Self {
            cap: init::SCHED_CONTEXT,
            budget: Budget::DEFAULT,
            badge: 0,
            boot,
            core: AtomicU64::new(0),
        }
    }
}

/// A scheduling context with its budget, and the core it was last put on.
///
/// This is a name: copies mean the same scheduling context. The core is a note of what was done through such names;
/// if something else configures the scheduling context, it is out of date. Every scheduling context ever made keeps
/// its note on the heap for good, because any thread may look at it at any time.
#[derive(Clone, Copy, Debug)]
pub struct SchedulingContext {
    note: &'static Note,
}

impl SchedulingContext {
    /// A new one, on a core. `badge` names it in Timeout faults.
    ///
    /// # Errors
    /// No slots, no memory; `RangeError` for the budget.
    ///
    /// # Panics
    /// When there is no such core.
    pub fn new(
        system: &mut System,
        core: usize,
        budget: Budget,
        badge: u64,
    ) -> Result<Self, ResourceError> {
        let (_, _, extra_refills) = budget.parameters();
        let cap = system.sched_context(extra_refills)?;
        let core_note = AtomicU64::new(core as u64);
        let note = Note {
            cap,
            budget,
            badge,
            boot: system.boot(),
            core: core_note,
        };
        if let Err(error) = configure(&note, core) {
            system.destroy(cap)?;
            return Err(error.into());
        }
        Ok(Self {
            note: Box::leak(Box::new(note)),
        })
    }

    pub(crate) const fn from_note(note: &'static Note) -> Self {
        Self { note }
    }

    pub(crate) const fn note(&self) -> &'static Note {
        self.note
    }

    /// The calling thread's own, if it has one and was made by this library.
    pub fn current() -> Option<Self> {
        thread_block::current()?.sched()
    }

    /// The capability.
    pub fn cap(&self) -> Cap<SchedContext> {
        self.note.cap
    }

    /// The budget it was made with.
    pub fn budget(&self) -> Budget {
        self.note.budget
    }

    /// The core it was last put on.
    pub fn core(&self) -> usize {
        self.note.core.load(Ordering::Relaxed) as usize
    }

    /// `seL4_SchedControl_ConfigureFlags` with another core's capability and the same budget: what is bound to it
    /// goes on there. What is left of the budget, and when the rest comes back, moves along. A thread may move
    /// itself. On the core that it is on already the kernel applies its rule for a changed budget: a runnable thread
    /// keeps what is left of its head refill, round robin and threads that do not run start with a full budget.
    ///
    /// # Errors
    /// None that the first time did not have.
    ///
    /// # Panics
    /// When there is no such core.
    pub fn move_to(&self, core: usize) -> Result<(), Error> {
        configure(self.note, core)
    }

    /// `seL4_SchedContext_Bind` to a thread: it goes on where this is.
    ///
    /// # Errors
    /// As [`Cap::<SchedContext>::bind`].
    pub fn bind(&self, thread: Cap<Tcb>) -> Result<(), Error> {
        self.cap().bind(thread)
    }

    /// `seL4_SchedContext_Unbind`: what was bound has no time any more.
    ///
    /// # Errors
    /// `IllegalOperation` when the calling thread runs on it.
    pub fn unbind(&self) -> Result<(), Error> {
        self.cap().unbind()
    }

    /// `seL4_SchedContext_Consumed`: the time used since this was last asked.
    ///
    /// # Errors
    /// None of its own.
    pub fn consumed(&self) -> Result<Duration, Error> {
        self.cap().consumed()
    }

    /// `seL4_SchedContext_YieldTo`: lets the thread on it go first; returns the time it used.
    ///
    /// # Errors
    /// [`YieldToError::OtherCore`] without asking the kernel, when the caller's core is known and another one;
    /// otherwise as [`Cap::<SchedContext>::yield_to`].
    pub fn yield_to(&self) -> Result<Duration, YieldToError> {
        let target = self.core();
        match Self::current().map(|caller| caller.core()) {
            Some(caller) if caller != target => Err(YieldToError::OtherCore { caller, target }),
            _ => self.cap().yield_to().map_err(YieldToError::Kernel),
        }
    }

    /// Destroys it. What was bound has no time any more.
    ///
    /// # Errors
    /// Of the kernel's revoke.
    pub fn destroy(self, system: &mut System) -> Result<(), ResourceError> {
        system.destroy(self.cap())
    }
}

fn configure(note: &Note, core: usize) -> Result<(), Error> {
    let (budget, period, extra_refills) = note.budget.parameters();
    let control = note.boot.sched_control(core);
    control.configure(note.cap, budget, period, extra_refills, note.badge)?;
    note.core.store(core as u64, Ordering::Relaxed);
    Ok(())
}
