//! What goes when an object goes, and sending waiting threads away.

use super::Step;
use super::event::{Cap, Outside};
use super::state::{Choice, Doing, Id};

impl Step<'_> {
    /// The last capability to an object is deleted.
    pub(super) fn delete(&mut self, last: Cap) -> Result<(), Outside> {
        match last {
            Cap::Endpoint { id, .. } => {
                for thread in self.state.endpoints[id].queue.clone() {
                    self.send_away(thread);
                }
            }
            Cap::Notification { id, .. } => {
                if let Some(bound) = self.state.notifications[id].bound {
                    self.unbind_notification(bound);
                }
                if let Some(context) = self.state.notifications[id].context {
                    self.unbind_context_notification(context);
                }
                for thread in self.state.notifications[id].queue.clone() {
                    self.send_away(thread);
                }
            }
            Cap::Reply { id, .. } => self.delete_reply(id),
            Cap::Context { id, .. } => self.delete_context(id),
            Cap::Thread(thread) => {
                let this = &self.state.threads[thread];
                if [this.handler, this.timeout]
                    .iter()
                    .flatten()
                    .any(|h| h.last)
                {
                    return Err(Outside("the last capability to a handler's endpoint"));
                }
                self.delete_thread(thread);
            }
            _ => return Err(Outside("the deletion of another object")),
        }
        Ok(())
    }

    /// Who waits for what goes tries again; who has a fault stops.
    fn send_away(&mut self, thread: Id) {
        let faults = self.state.threads[thread].fault.is_some();
        self.cancel(thread);
        if !faults {
            self.state.threads[thread].doing = Doing::Restart;
            self.wake(thread);
        }
    }

    /// Sends those away who wait to send with this badge.
    pub(super) fn cancel_badged(&mut self, endpoint: Id, badge: u64) {
        for thread in self.state.endpoints[endpoint].queue.clone() {
            if let Doing::Sending { badge: theirs, .. } = self.state.threads[thread].doing
                && theirs == badge
            {
                self.send_away(thread);
            }
        }
    }

    /// A caller gets its context back as by an answer, and stops. So does one that waits for a message with it.
    fn delete_reply(&mut self, reply: Id) {
        let Some(thread) = self.state.replies[reply].thread else {
            return;
        };
        if let Doing::Calling { .. } = self.state.threads[thread].doing {
            self.state.threads[thread].fault = None;
            self.pop(reply, thread);
        } else {
            self.cancel(thread);
        }
    }

    fn delete_context(&mut self, context: Id) {
        if let Some(yielder) = self.state.contexts[context].yield_from {
            self.end_yield(yielder);
        }
        self.unbind(context);
        let this = &mut self.state.contexts[context];
        (this.active, this.round_robin) = (false, false);
        if self.core().payer == Some(context) {
            let core = self.core_mut();
            (core.payer, core.used) = (None, 0);
        }
    }

    fn delete_thread(&mut self, thread: Id) {
        if let Some(context) = self.state.threads[thread].yield_to.take() {
            self.state.contexts[context].yield_from = None;
        }
        if let Some(context) = self.state.threads[thread].context {
            if let Some(yielder) = self.state.contexts[context].yield_from {
                self.end_yield(yielder);
            }
            self.take_context(context);
        }
        self.unbind_notification(thread);
        self.suspend(thread);
        if self.core().current == Some(thread) {
            let core = self.core_mut();
            (core.current, core.payer, core.used) = (None, None, 0);
            core.choice = Choice::Best;
        }
    }
}
