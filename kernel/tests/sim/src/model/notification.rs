//! Signals, and the context that a notification lends.

use super::Step;
use super::state::{Doing, Id, Word};

impl Step<'_> {
    pub(super) fn signal(&mut self, notification: Id, badge: u64) {
        let this = &mut self.state.notifications[notification];
        if !this.queue.is_empty() {
            let thread = this.queue.remove(0);
            self.deliver(notification, thread, badge);
            return;
        }
        if let Some(word) = &mut this.word {
            *word |= badge;
            return;
        }
        if let Some(bound) = this.bound
            && matches!(self.state.threads[bound].doing, Doing::Receiving { .. })
        {
            self.cancel(bound);
            self.deliver(notification, bound, badge);
            return;
        }
        this.word = Some(badge);
    }

    fn deliver(&mut self, notification: Id, thread: Id, badge: u64) {
        let this = &mut self.state.threads[thread];
        this.doing = Doing::Running;
        this.x[0] = Word::new(badge);
        self.lend(notification, thread);
        self.wake_in_turn(thread);
    }

    pub(super) fn wait(&mut self, thread: Id, notification: Id, blocking: bool) {
        if self.state.notifications[notification].word.is_some() {
            self.take_signal(thread, notification);
        } else if blocking {
            self.take_back(notification, thread);
            self.state.threads[thread].doing = Doing::Waiting { notification };
            self.join_waiting(thread, notification);
        } else {
            self.state.threads[thread].x[0] = Word::new(0);
        }
    }

    pub(super) fn join_waiting(&mut self, thread: Id, notification: Id) {
        let priority = self.state.threads[thread].priority;
        let threads = &self.state.threads;
        let queue = &mut self.state.notifications[notification].queue;
        let index = queue.partition_point(|&other| threads[other].priority >= priority);
        queue.insert(index, thread);
    }

    pub(super) fn take_signal(&mut self, thread: Id, notification: Id) {
        let word = self.state.notifications[notification].word.take();
        self.state.threads[thread].x[0] = Word::new(word.expect("it is active"));
        self.lend(notification, thread);
    }

    /// A thread that has no context gets the notification's, unless somebody else has that.
    fn lend(&mut self, notification: Id, thread: Id) {
        let context = self.state.notifications[notification].context;
        if let Some(context) = context
            && self.state.threads[thread].context.is_none()
            && self.state.contexts[context].thread.is_none()
        {
            self.donate(context, thread);
            self.await_refill(context);
        }
    }

    /// A thread that is about to wait gives the notification's context back.
    pub(super) fn take_back(&mut self, notification: Id, thread: Id) {
        let context = self.state.notifications[notification].context;
        if let Some(context) = context
            && self.state.threads[thread].context == Some(context)
        {
            self.take_context(context);
        }
    }

    pub(super) fn unbind_notification(&mut self, thread: Id) {
        if let Some(notification) = self.state.threads[thread].bound.take() {
            self.state.notifications[notification].bound = None;
        }
    }
}
