//! Who runs: ready and release queues, and the decision at the end of an entry.

use super::Step;
use super::event::End;
use super::state::{Choice, Doing, Id, Word};

#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    Front,
    Back,
}

impl Step<'_> {
    pub(super) fn in_release(&self, thread: Id) -> bool {
        let mut cores = self.state.cores.iter();
        cores.any(|core| core.release.contains(&thread))
    }

    pub(super) fn in_ready(&self, thread: Id) -> bool {
        let mut cores = self.state.cores.iter();
        cores.any(|core| core.ready.iter().any(|(_, other)| *other == thread))
    }

    /// Runnable, with a configured context, and not waiting for a refill.
    pub(super) fn is_schedulable(&self, thread: Id) -> bool {
        let this = &self.state.threads[thread];
        this.is_runnable()
            && this
                .context
                .is_some_and(|context| self.state.contexts[context].active)
            && !self.in_release(thread)
    }

    pub(super) fn core_of(&self, thread: Id) -> usize {
        let context = self.state.threads[thread].context;
        usize::from(self.state.contexts[context.expect("schedulable")].core)
    }

    fn runs_here(&self, thread: Id) -> bool {
        self.is_schedulable(thread) && self.core_of(thread) == self.me
    }

    /// Into the ready queue of its core: before its equals, or behind them.
    pub(super) fn enqueue(&mut self, thread: Id, place: Place) {
        if self.in_ready(thread) {
            return;
        }
        let priority = self.state.threads[thread].priority;
        let core = self.core_of(thread);
        let ready = &mut self.state.cores[core].ready;
        let index = ready.partition_point(|&(other, _)| match place {
            Place::Front => other > priority,
            Place::Back => other >= priority,
        });
        ready.insert(index, (priority, thread));
    }

    pub(super) fn dequeue(&mut self, thread: Id) {
        for core in &mut self.state.cores {
            core.ready.retain(|(_, other)| *other != thread);
            core.release.retain(|other| *other != thread);
        }
    }

    /// Lets the thread wait for its next refill.
    pub(super) fn postpone(&mut self, thread: Id) {
        self.dequeue(thread);
        let core = self.core_of(thread);
        self.state.cores[core].release.push(thread);
    }

    /// By its budget: ready, or waiting for a refill.
    fn queue_by_budget(&mut self, thread: Id, place: Place) {
        let context = self.state.threads[thread].context.expect("schedulable");
        if self.has_budget(context) {
            self.enqueue(thread, place);
        } else {
            self.postpone(thread);
        }
    }

    /// All who are ready shall be considered.
    pub(super) fn reschedule(&mut self) {
        if let Choice::Switch(candidate) = self.core().choice
            && self.is_schedulable(candidate)
        {
            self.enqueue(candidate, Place::Front);
        }
        self.core_mut().choice = Choice::Best;
    }

    /// A thread woke: it may be the one to run next.
    pub(super) fn wake(&mut self, thread: Id) {
        self.propose(thread, Place::Front);
    }

    /// The same by a signal: first in, first out among equals.
    pub(super) fn wake_in_turn(&mut self, thread: Id) {
        self.propose(thread, Place::Back);
    }

    fn propose(&mut self, thread: Id, place: Place) {
        if !self.is_schedulable(thread) {
            return;
        }
        let context = self.state.threads[thread].context.expect("schedulable");
        if self.core().payer != Some(context) && !self.has_budget(context) {
            self.postpone(thread);
            return;
        }
        if self.core_of(thread) != self.me {
            self.enqueue(thread, place);
            return;
        }
        let running = self.core().current;
        if place == Place::Back {
            // Never past its equals, whatever becomes of the running thread.
            let priority = self.state.threads[thread].priority;
            if running.is_none_or(|running| self.state.threads[running].priority < priority) {
                self.reschedule();
            }
            self.enqueue(thread, place);
            return;
        }
        match self.core().choice {
            Choice::Same if running == Some(thread) => {}
            Choice::Same => self.core_mut().choice = Choice::Switch(thread),
            Choice::Switch(_) | Choice::Best => {
                self.reschedule();
                self.enqueue(thread, place);
            }
        }
    }

    /// Changes a priority, wherever the thread is.
    pub(super) fn set_priority(&mut self, thread: Id, priority: u8) {
        let ready = self.in_ready(thread);
        let here = self.core().current == Some(thread);
        if ready {
            self.dequeue(thread);
        }
        self.state.threads[thread].priority = priority;
        if ready {
            self.enqueue(thread, Place::Front);
            if self.core_of(thread) == self.me {
                self.reschedule();
            }
        } else if here {
            self.reschedule();
        } else {
            self.sort_again(thread);
        }
    }

    /// The running thread has had its slice. It may have to tell its timeout handler.
    pub(super) fn end_slice(&mut self, may_fault: bool) {
        let payer = self.core().payer.expect("somebody pays");
        self.core_mut().used = 0;
        self.recharged.push(payer);
        if let Some(current) = self.core().current
            && self.is_schedulable(current)
        {
            let handler = self.state.threads[current].timeout;
            if may_fault
                && !self.state.contexts[payer].round_robin
                && handler.is_some_and(|handler| handler.is_usable())
            {
                self.timeout(current);
            } else {
                self.queue_by_budget(current, Place::Back);
            }
        }
        self.reschedule();
    }

    /// Whether the payer can pay for what was used and one more entry.
    pub(super) fn can_pay(&self) -> bool {
        let core = self.core();
        let Some(payer) = core.payer else { return true };
        if self.recharged.contains(&payer) {
            return true;
        }
        let left = self.state.contexts[payer]
            .head
            .amount
            .checked_sub(core.used);
        left.is_some_and(|left| left >= self.machine.limits.min_budget)
    }

    /// Whether a context can be used now. What was charged in this section is seen in the machine afterwards.
    pub(super) fn has_budget(&mut self, context: Id) -> bool {
        if !self.state.contexts[context].active {
            return false;
        }
        let now = self.core().now;
        if !self.recharged.contains(&context) {
            return self.state.contexts[context].head.time <= now;
        }
        let due = self.after.contexts[context].head.time;
        // A core that parks charges once more, later than now: what was due may not be any more, and the other way round.
        let later = self.after.cores[self.me].now;
        let parks = self.end == End::Parked && !self.is_parking;
        // It may also have come due between two looks at the clock, behind others or before them.
        self.is_unsure |= due > now && (parks || due <= later);
        due <= later
    }

    /// The core runs nothing for a while: its thread goes back to its queue.
    pub(super) fn put_aside(&mut self) {
        self.is_parking = true;
        let over = self.core().used > 0 && !self.can_pay();
        let payer = self.core().payer;
        let slice_ended = over && payer.is_some_and(|id| self.state.contexts[id].round_robin);
        if let Some(payer) = payer
            && self.core().used > 0
        {
            self.recharged.push(payer);
        }
        self.core_mut().used = 0;
        if let Some(current) = self.core().current
            && self.is_schedulable(current)
        {
            let place = if slice_ended {
                Place::Back
            } else {
                Place::Front
            };
            self.queue_by_budget(current, place);
        }
        self.core_mut().current = None;
        self.core_mut().payer = None;
    }

    /// Decides who runs on this core, and makes it so.
    pub(super) fn schedule(&mut self) {
        self.awaken();
        let next = self.decide();
        if let Some(thread) = next {
            self.dequeue(thread);
        }
        self.core_mut().current = next;
        let payer = next.and_then(|thread| self.state.threads[thread].context);
        if payer != self.core().payer {
            // Whoever paid so far is charged for it. The next one owes nothing yet.
            self.core_mut().used = 0;
            self.core_mut().payer = payer;
        }
        let Some(thread) = next else { return };
        self.end_yield(thread);
        let this = &mut self.state.threads[thread];
        if this.doing == Doing::Restart {
            this.next_ip = this.fault_ip;
            this.doing = Doing::Running;
        }
    }

    /// Lets those run whose refill is due.
    fn awaken(&mut self) {
        for thread in self.core().release.clone() {
            let context = self.state.threads[thread].context;
            if self.has_budget(context.expect("who waits for a refill has a context")) {
                self.dequeue(thread);
                self.wake(thread);
            }
        }
    }

    fn decide(&mut self) -> Option<Id> {
        let current = self.core().current;
        let stays = current.filter(|&thread| self.runs_here(thread));
        if let Some(payer) = self.core().payer
            && let Some(yielder) = self.state.contexts[payer].yield_from
            && current.is_some_and(|thread| !self.state.threads[thread].is_runnable())
        {
            // Who was yielded to blocks.
            self.end_yield(yielder);
        }
        let mut choice = std::mem::replace(&mut self.core_mut().choice, Choice::Same);
        if std::mem::take(&mut self.core_mut().pending) {
            if let Choice::Switch(candidate) = choice
                && self.runs_here(candidate)
            {
                self.enqueue(candidate, Place::Front);
            }
            choice = Choice::Best;
        }
        if choice == Choice::Same {
            if let Some(thread) = stays
                && !self.in_ready(thread)
            {
                return Some(thread);
            }
            choice = Choice::Best;
        }
        if let Some(thread) = current
            && self.is_schedulable(thread)
        {
            self.enqueue(thread, Place::Front);
        }
        let best = self.core().ready.first().copied();
        if let Choice::Switch(candidate) = choice
            && self.runs_here(candidate)
        {
            let priority = self.state.threads[candidate].priority;
            let running = current.map(|thread| self.state.threads[thread].priority);
            let beaten = best.is_some_and(|(highest, _)| highest > priority);
            if running.is_none_or(|running| priority < running) && beaten {
                self.enqueue(candidate, Place::Front);
            } else if stays.is_some() && running == Some(priority) {
                self.enqueue(candidate, Place::Back);
            } else {
                return Some(candidate);
            }
        }
        self.core().ready.first().map(|&(_, thread)| thread)
    }

    /// A YieldTo ends: its caller finds the time that was used, which the model does not know.
    pub(super) fn end_yield(&mut self, yielder: Id) {
        let Some(context) = self.state.threads[yielder].yield_to.take() else {
            return;
        };
        self.state.contexts[context].yield_from = None;
        let x = &mut self.state.threads[yielder].x;
        x[0] = Word::new(0);
        x[1] = Word::new(1);
        x[2] = Word::UNKNOWN;
    }
}
