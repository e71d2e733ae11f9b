//! A sequential model of messages, notifications, scheduling contexts and queues. It shares no code with the kernel:
//! plain values, changed by one section of code under the locks after the other. The order in which cores release their
//! locks is the serial order that the results must equal.
//!
//! Not here: capability spaces, memory, interrupt lines, and the arithmetic of refills. What they decide comes in as
//! part of the event, or is looked up in the machine ([`Step::has_budget`]). [`Outside`] says where the model stops.

mod context;
mod delete;
mod endpoint;
mod event;
mod invoke;
mod notification;
mod queues;
mod reply;
mod state;
mod syscall;

use crate::chips::Look;

pub use event::{Args, Cap, Effect, End, Event, Operand, Outside, Phase, Request, Verdict};
pub use state::{
    Above, Choice, Context, Core, Doing, Endpoint, Failure, Fault, Handler, Head, Id, Notification,
    Reply, Rights, State, Table, Thread, Word,
};

/// What is fixed about the machine's time.
#[derive(Clone, Copy, Debug)]
pub struct Limits {
    /// The least that a context must have left to enter the kernel.
    pub min_budget: u64,
    pub min_us: u64,
    pub max_us: u64,
    /// Ticks of a second.
    pub frequency: u64,
}

impl Limits {
    fn ticks(&self, us: u64) -> u64 {
        let ticks = u128::from(us) * u128::from(self.frequency) / 1_000_000;
        u64::try_from(ticks).unwrap_or(u64::MAX)
    }
}

/// What the machine tells about a section.
#[derive(Clone, Debug)]
pub struct Oracle<'a> {
    pub limits: Limits,
    /// What the core read from its clock, in this order.
    pub looks: &'a [Look],
}

/// One section of one core.
pub struct Step<'a> {
    state: &'a mut State,
    me: usize,
    machine: Oracle<'a>,
    /// The state afterwards: only for the refills of contexts that were charged or configured in this section.
    after: &'a State,
    recharged: Vec<Id>,
    end: End,
    /// The core is about to stop for another one: the last thing that it does in the section.
    is_parking: bool,
    /// Something depended on a moment that cannot be told any more.
    is_unsure: bool,
    /// The caller got an answer from outside the model.
    is_untold: bool,
}

impl<'a> Step<'a> {
    pub fn new(state: &'a mut State, me: usize, machine: Oracle<'a>, after: &'a State) -> Self {
        Self {
            state,
            me,
            machine,
            after,
            recharged: Vec::new(),
            end: End::Left,
            is_parking: false,
            is_unsure: false,
            is_untold: false,
        }
    }

    fn core(&self) -> &Core {
        &self.state.cores[self.me]
    }

    fn core_mut(&mut self) -> &mut Core {
        &mut self.state.cores[self.me]
    }

    /// What the core read from its clock next.
    fn time(&mut self) -> u64 {
        let now = self.core().now;
        let Some((&first, rest)) = self.machine.looks.split_first() else {
            return now;
        };
        self.machine.looks = rest;
        first.time.max(now)
    }

    /// Looks at the clock: what has passed since the last look is the payer's.
    fn stamp(&mut self) {
        let now = self.time();
        let core = self.core_mut();
        core.used += now - core.now;
        core.now = now;
    }

    /// The same where nobody pays.
    fn stamp_unaccounted(&mut self) {
        let now = self.time();
        self.core_mut().now = now;
    }

    /// The core looks at its clock in the middle of long work.
    fn stamp_often(&mut self) {
        while self.machine.looks.len() > usize::from(self.end == End::Parked) {
            self.stamp();
        }
    }

    /// Handlers are capabilities, which an invocation outside the model may remove.
    fn take_handlers_over(&mut self) {
        for (id, thread) in &mut self.state.threads.0 {
            if let Some(after) = self.after.threads.get(*id) {
                (thread.handler, thread.timeout) = (after.handler, after.timeout);
            }
        }
    }

    /// Does what the section did. The event is what the core entered the kernel for.
    pub fn section(&mut self, phase: Phase, event: &Event, end: End) -> Result<Verdict, Outside> {
        self.end = end;
        self.work(phase, event, end)?;
        if self.is_unsure {
            return Err(Outside("a refill comes due in the midst"));
        }
        Ok(if self.is_untold {
            Verdict::ButAnswer
        } else {
            Verdict::Whole
        })
    }

    fn work(&mut self, phase: Phase, event: &Event, end: End) -> Result<(), Outside> {
        match (phase, end) {
            (Phase::Entry, _) => self.entry(event, end),
            (Phase::Queueing, End::Parked) => {
                self.start_again();
                self.stamp();
                self.put_aside();
                Ok(())
            }
            (Phase::Queueing | Phase::Holding, _) => {
                let caller = self.core().current.ok_or(Outside("nobody called"))?;
                self.stamp();
                self.state.threads[caller].doing = Doing::Running;
                self.act(caller, event, end)
            }
            // Back in the queue for the right to stop others.
            (Phase::Parked, End::Waits) => Ok(()),
            (Phase::Parked, _) => {
                self.stamp_unaccounted();
                self.core_mut().choice = Choice::Best;
                self.choose(end);
                Ok(())
            }
            (Phase::ParkedInQueue, End::Left) => {
                self.stamp_unaccounted();
                self.leave(end);
                Ok(())
            }
            (Phase::ParkedInQueue, _) => Err(Outside("a core that parks again")),
        }
    }

    fn entry(&mut self, event: &Event, end: End) -> Result<(), Outside> {
        let entered = self.time();
        let Some(caller) = self.core().current else {
            self.stamp_unaccounted();
            self.interrupt(event);
            self.leave(end);
            return Ok(());
        };
        match event {
            Event::Debug => return Err(Outside("a debug call")),
            Event::FloatingPoint { .. } if !self.state.threads[caller].fpu_disabled => {
                if self.core().pending || end == End::Parked {
                    self.stamp();
                    self.leave(end);
                }
                return Ok(());
            }
            Event::Outdated => {
                self.stamp();
                self.leave(end);
                return Ok(());
            }
            _ => {}
        }
        let core = self.core_mut();
        core.used += entered - core.now;
        core.now = entered;
        let funded = self.can_pay();
        self.stamp();
        if !funded {
            self.end_slice(true);
        }
        if let Event::Interrupt(_) = event {
            // Between two instructions the wait for the locks ends a slice as work does.
            if funded && !self.can_pay() {
                // It may have waited for more of them by now.
                self.stamp_often();
                self.end_slice(true);
            }
            self.interrupt(event);
            self.leave(end);
            return Ok(());
        }
        if !funded {
            self.start_again();
            self.leave(end);
            return Ok(());
        }
        self.act(caller, event, end)
    }

    fn interrupt(&mut self, event: &Event) {
        if let Event::Interrupt(Some((notification, badge))) = *event {
            self.signal(notification, badge);
        }
    }

    /// The interrupted thread does its call again.
    fn start_again(&mut self) {
        if let Some(current) = self.core().current {
            let this = &mut self.state.threads[current];
            if this.doing == Doing::Running {
                this.doing = Doing::Restart;
            }
        }
    }

    fn act(&mut self, caller: Id, event: &Event, end: End) -> Result<(), Outside> {
        // Once more for each lock that turned out to be missing.
        while self.machine.looks.first().is_some_and(|look| look.locked) {
            self.stamp();
        }
        if end == End::Waits {
            // Nothing is done until others have stopped, but the thread will start again if it is moved meanwhile.
            let invokes = self.invokes_object(event)?;
            if invokes {
                self.state.threads[caller].doing = Doing::Restart;
            }
            self.core_mut().choice = Choice::Best;
            return Ok(());
        }
        match event {
            Event::Syscall(request) => self.syscall(caller, request)?,
            Event::Fault(fault) => self.raise(caller, *fault),
            Event::FloatingPoint { syndrome } => {
                let syndrome = *syndrome;
                self.raise(caller, Fault::UserException { syndrome });
            }
            Event::Interrupt(_) | Event::Outdated | Event::Debug => {
                unreachable!("handled at the entry")
            }
        }
        self.leave(end);
        Ok(())
    }

    fn leave(&mut self, end: End) {
        self.check_again();
        self.choose(end);
    }

    /// Schedules; then the core may have to park.
    fn choose(&mut self, end: End) {
        self.schedule();
        if end == End::Parked {
            self.stamp();
            self.put_aside();
        }
    }

    /// The wait for the locks and for other cores may have used up the budget.
    fn check_again(&mut self) {
        let Some(payer) = self.core().payer else {
            return;
        };
        if !self.state.contexts[payer].active || self.can_pay() {
            return;
        }
        let current = self.core().current;
        let restarts =
            current.is_some_and(|thread| self.state.threads[thread].doing == Doing::Restart);
        // What is finished must not be done twice, as the answer to a timeout fault would have it.
        self.end_slice(restarts);
        // It may have been lent in this entry.
        if let Some(thread) = self.state.contexts[payer].thread
            && current != Some(thread)
        {
            self.await_refill(payer);
        }
    }
}
