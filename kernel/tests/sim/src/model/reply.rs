//! Replies and faults: the stacks of calls, and what an answer does.

use sel4_abi::MessageInfo;

use super::Step;
use super::endpoint::Send;
use super::state::{Above, Doing, Fault, Handler, Id, Thread, Word};

impl Step<'_> {
    /// The caller waits for an answer. Its context goes along with the call if the callee has none.
    pub(super) fn push(&mut self, caller: Id, callee: Id, reply: Id, can_donate: bool) {
        self.state.threads[caller].doing = Doing::Calling { reply };
        let object = &mut self.state.replies[reply];
        (object.thread, object.below, object.above) = (Some(caller), None, Above::None);
        let Some(context) = self.state.threads[caller].context else {
            return;
        };
        if !can_donate || self.state.threads[callee].context.is_some() {
            return;
        }
        let below = self.state.contexts[context].stack.replace(reply);
        if let Some(below) = below {
            self.state.replies[below].above = Above::Reply(reply);
        }
        let object = &mut self.state.replies[reply];
        (object.below, object.above) = (below, Above::Context(context));
        self.donate(context, callee);
    }

    /// The reply object has no thread any more.
    pub(super) fn untie(&mut self, reply: Id, thread: Id) {
        self.state.replies[reply].thread = None;
        let this = &mut self.state.threads[thread];
        (this.reply, this.doing) = (None, Doing::Inactive);
    }

    /// Splits the stack at this reply object, which is in neither part.
    pub(super) fn cut(&mut self, reply: Id) {
        let object = &mut self.state.replies[reply];
        let (below, above) = (object.below.take(), std::mem::take(&mut object.above));
        match above {
            Above::Context(context) => self.state.contexts[context].stack = None,
            Above::Reply(above) => self.state.replies[above].below = None,
            Above::None => {}
        }
        if let Some(below) = below {
            self.state.replies[below].above = Above::None;
        }
    }

    /// The call is over. The newest call of a stack gives the context back to a caller that has none.
    pub(super) fn pop(&mut self, reply: Id, caller: Id) {
        let Above::Context(context) = self.state.replies[reply].above else {
            self.cut(reply);
            self.untie(reply, caller);
            return;
        };
        let below = self.state.replies[reply].below;
        self.cut(reply);
        self.untie(reply, caller);
        self.state.contexts[context].stack = below;
        if let Some(below) = below {
            self.state.replies[below].above = Above::Context(context);
        }
        if self.state.threads[caller].context.is_none() {
            self.donate(context, caller);
        }
    }

    pub(super) fn reply(&mut self, sender: Id, reply: Id, grant: bool) {
        let Some(caller) = self.state.replies[reply].thread else {
            return;
        };
        if !matches!(self.state.threads[caller].doing, Doing::Calling { .. }) {
            return;
        }
        self.pop(reply, caller);
        let fault = self.state.threads[caller].fault;
        if let Some(fault) = fault {
            let goes_on = self.answer_fault(sender, caller, fault);
            let this = &mut self.state.threads[caller];
            this.fault = None;
            this.doing = if goes_on {
                Doing::Restart
            } else {
                Doing::Inactive
            };
        } else {
            self.transfer(sender, 0, grant, caller);
            self.state.threads[caller].doing = Doing::Running;
        }
        let this = &self.state.threads[caller];
        let Some(context) = this.context else { return };
        let tells = this.timeout.is_some_and(|handler| handler.is_usable());
        if !self.is_schedulable(caller) {
            return;
        }
        // The server may have used up what it was lent.
        if self.has_budget(context) {
            self.wake(caller);
        } else if tells && !matches!(fault, Some(Fault::Timeout { .. })) {
            if fault.is_none() {
                // The call is done: what follows it comes next, not the call again.
                let this = &mut self.state.threads[caller];
                this.fault_ip = this.next_ip;
            }
            self.timeout(caller);
        } else {
            self.postpone(caller);
        }
    }

    /// Takes registers from the handler's answer. Tells whether the thread goes on.
    fn answer_fault(&mut self, handler: Id, thread: Id, fault: Fault) -> bool {
        let answer = &self.state.threads[handler];
        let info = MessageInfo(answer.x[1].value);
        let words = answer.x;
        let can_read = answer.buffer.0;
        let word = |index: usize| match index {
            0..4 => Some(words[2 + index]),
            _ => can_read.then_some(Word::UNKNOWN),
        };
        let given = |index: usize| (index < info.length()).then(|| word(index)).flatten();
        let places: &[fn(&mut Thread) -> &mut Word] = match fault {
            Fault::Cap { .. } | Fault::Vm { .. } => return true,
            Fault::UnknownSyscall { .. } => &[
                |t| &mut t.x[0],
                |t| &mut t.x[1],
                |t| &mut t.x[2],
                |t| &mut t.x[3],
                |t| &mut t.x[4],
                |t| &mut t.x[5],
            ],
            Fault::UserException { .. } => &[
                |t| &mut t.fault_ip,
                |t| &mut t.sp,
                // Not all bits can be set.
                |t| &mut t.spsr,
            ],
            Fault::Timeout { .. } => &[
                |t| &mut t.fault_ip,
                |t| &mut t.sp,
                |t| &mut t.spsr,
                |t| &mut t.x[0],
                |t| &mut t.x[1],
                |t| &mut t.x[2],
                |t| &mut t.x[3],
                |t| &mut t.x[4],
                |t| &mut t.x[5],
            ],
        };
        let this = &mut self.state.threads[thread];
        for (index, place) in places.iter().enumerate() {
            if let Some(word) = given(index) {
                *place(this) = word;
            }
        }
        if given(2).is_some() && !matches!(fault, Fault::UnknownSyscall { .. }) {
            this.spsr = Word::UNKNOWN;
        }
        if matches!(fault, Fault::UnknownSyscall { .. }) {
            for (index, place) in [
                (8, &mut this.fault_ip),
                (9, &mut this.sp),
                (10, &mut this.next_ip),
                (11, &mut this.spsr),
            ] {
                if let Some(word) = given(index) {
                    *place = word;
                }
            }
        }
        info.label() == 0
    }

    /// The thread has a fault. Without a handler it stops.
    pub(super) fn raise(&mut self, thread: Id, fault: Fault) {
        let this = &self.state.threads[thread];
        let can_donate = this.context.is_some();
        match this.handler.filter(Handler::is_usable) {
            Some(handler) => self.call_handler(thread, handler, fault, can_donate),
            None => self.state.threads[thread].doing = Doing::Inactive,
        }
    }

    /// Tells the timeout handler. Nothing is lent to it.
    pub(super) fn timeout(&mut self, thread: Id) {
        let this = &self.state.threads[thread];
        let badge = this.context.map_or(0, |id| self.state.contexts[id].badge);
        let handler = this.timeout.expect("there is a timeout handler");
        self.call_handler(thread, handler, Fault::Timeout { badge }, false);
    }

    fn call_handler(&mut self, thread: Id, handler: Handler, fault: Fault, can_donate: bool) {
        self.state.threads[thread].fault = Some(fault);
        let how = Send {
            blocking: true,
            call: true,
            can_donate,
            badge: handler.badge,
            grant: handler.rights.grant,
            grant_reply: handler.rights.grant_reply,
        };
        self.send(thread, handler.endpoint, how);
    }
}
