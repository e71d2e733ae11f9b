//! Who has a scheduling context, and stopping and resuming threads.

use super::Step;
use super::queues::Place;
use super::state::{Choice, Doing, Id};

impl Step<'_> {
    fn attach(&mut self, context: Id, thread: Id) {
        let this = &mut self.state.contexts[context];
        this.thread = Some(thread);
        let core = this.core;
        let this = &mut self.state.threads[thread];
        (this.context, this.affinity) = (Some(context), core);
    }

    /// Whoever has the context loses it to the thread.
    pub(super) fn donate(&mut self, context: Id, thread: Id) {
        self.take_context(context);
        self.attach(context, thread);
    }

    /// Nobody has the context any more.
    pub(super) fn take_context(&mut self, context: Id) {
        let Some(thread) = self.state.contexts[context].thread else {
            return;
        };
        self.end_yield(thread);
        self.dequeue(thread);
        self.state.threads[thread].context = None;
        self.state.contexts[context].thread = None;
        if self.core().choice == Choice::Switch(thread) {
            self.core_mut().choice = Choice::Best;
        }
    }

    /// A thread that could run and has no budget waits for it.
    pub(super) fn await_refill(&mut self, context: Id) {
        if let Some(thread) = self.state.contexts[context].thread
            && self.is_schedulable(thread)
            && !self.has_budget(context)
        {
            self.postpone(thread);
        }
    }

    pub(super) fn bind(&mut self, context: Id, thread: Id) {
        self.attach(context, thread);
        self.await_refill(context);
        if self.is_schedulable(thread) {
            self.enqueue(thread, Place::Front);
            self.reschedule();
        }
    }

    pub(super) fn unbind(&mut self, context: Id) {
        self.take_context(context);
        self.unbind_context_notification(context);
        if let Some(reply) = self.state.contexts[context].stack.take() {
            // Its call returns nothing.
            self.state.replies[reply].above = super::state::Above::None;
        }
    }

    pub(super) fn unbind_context_notification(&mut self, context: Id) {
        if let Some(notification) = self.state.contexts[context].notification.take() {
            self.state.notifications[notification].context = None;
        }
    }

    /// New parameters, which may move the context to another core.
    pub(super) fn configure(&mut self, context: Id, core: u16, badge: u64, round_robin: bool) {
        let this = &self.state.contexts[context];
        let (thread, moves) = (this.thread, this.core != core);
        if let Some(thread) = thread {
            self.dequeue(thread);
        }
        if let Some(yielder) = self.state.contexts[context].yield_from
            && moves
        {
            self.end_yield(yielder);
        }
        if self.core().payer == Some(context) {
            self.core_mut().used = 0;
        }
        self.recharged.push(context);
        let this = &mut self.state.contexts[context];
        this.active = true;
        (this.core, this.badge, this.round_robin) = (core, badge, round_robin);
        let Some(thread) = thread else { return };
        if self.state.threads[thread].affinity != core {
            self.end_yield(thread);
        }
        self.state.threads[thread].affinity = core;
        self.await_refill(context);
        if self.core().current == Some(thread) {
            self.reschedule();
        } else {
            self.wake(thread);
        }
    }

    /// Whether the caller must wait until the other one has used its time.
    pub(super) fn yield_to(&mut self, caller: Id, context: Id) -> bool {
        if let Some(earlier) = self.state.contexts[context].yield_from {
            self.end_yield(earlier);
        }
        let target = self.state.contexts[context].thread.expect("checked");
        let me = self.me;
        let runs = |(index, core): (usize, &super::state::Core)| {
            index != me && core.current == Some(target)
        };
        if self.state.cores.iter().enumerate().any(runs) {
            return false;
        }
        self.await_refill(context);
        if !self.is_schedulable(target) {
            return false;
        }
        let (own, other) = (
            self.state.threads[caller].priority,
            self.state.threads[target].priority,
        );
        self.dequeue(target);
        if self.core_of(target) != self.me || other < own {
            self.enqueue(target, Place::Front);
            return false;
        }
        self.state.contexts[context].yield_from = Some(caller);
        self.state.threads[caller].yield_to = Some(context);
        self.enqueue(caller, Place::Front);
        self.enqueue(target, Place::Front);
        self.reschedule();
        true
    }

    pub(super) fn suspend(&mut self, thread: Id) {
        self.cancel(thread);
        let this = &mut self.state.threads[thread];
        if this.doing == Doing::Running {
            // Between two instructions: it would go on with the next one.
            this.fault_ip = this.next_ip;
        }
        self.dequeue(thread);
        let this = &mut self.state.threads[thread];
        this.doing = Doing::Inactive;
        if let Some(context) = this.yield_to.take() {
            self.state.contexts[context].yield_from = None;
        }
    }

    pub(super) fn resume(&mut self, thread: Id) {
        if self.state.threads[thread].is_runnable() {
            return;
        }
        self.cancel(thread);
        self.state.threads[thread].doing = Doing::Restart;
        if let Some(context) = self.state.threads[thread].context {
            self.await_refill(context);
        }
        self.wake(thread);
    }
}
