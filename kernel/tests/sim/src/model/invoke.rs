//! Invocations of threads and scheduling contexts: checks in their order, then the effect.

use sel4_abi::{ErrorCode, Invocation, USER_CONTEXT_WORDS};

use super::Step;
use super::event::{Args, Cap, Effect, Outside};
use super::state::{Doing, Fault, Handler, Id, Thread, Word};

/// An error, with its words.
pub(super) struct Error {
    pub(super) code: ErrorCode,
    pub(super) words: Vec<u64>,
}

/// Why an invocation gives no result.
pub(super) enum Failed {
    Error(Error),
    /// The answer is outside the model.
    Untold,
    /// It is left, and done again later.
    Preempted,
    Outside(Outside),
}

impl From<Outside> for Failed {
    fn from(outside: Outside) -> Self {
        Self::Outside(outside)
    }
}

fn error<T>(code: ErrorCode, words: &[u64]) -> Result<T, Failed> {
    let words = words.to_vec();
    Err(Failed::Error(Error { code, words }))
}

fn illegal<T>() -> Result<T, Failed> {
    error(ErrorCode::IllegalOperation, &[])
}

fn invalid_cap<T>(number: u64) -> Result<T, Failed> {
    error(ErrorCode::InvalidCapability, &[number])
}

type Answer = Result<Vec<Word>, Failed>;

/// The message of an invocation.
pub(super) struct Message<'a> {
    pub(super) label: u64,
    pub(super) words: &'a [u64],
    pub(super) extra: &'a [Cap],
    effect: Effect,
}

impl<'a> Message<'a> {
    pub(super) fn new(label: u64, args: &'a Args, extra: &'a [Cap]) -> Self {
        let words = &args.words;
        Self {
            label,
            words,
            extra,
            effect: args.effect,
        }
    }

    fn require(&self, words: usize, extra: usize) -> Result<(), Failed> {
        if self.words.len() < words || self.extra.len() < extra {
            return error(ErrorCode::TruncatedMessage, &[]);
        }
        Ok(())
    }
}

/// The registers that the model has, in the order of the user context.
const CONTEXT: [fn(&mut Thread) -> &mut Word; 9] = [
    |t| &mut t.fault_ip,
    |t| &mut t.sp,
    |t| &mut t.spsr,
    |t| &mut t.x[0],
    |t| &mut t.x[1],
    |t| &mut t.x[2],
    |t| &mut t.x[3],
    |t| &mut t.x[4],
    |t| &mut t.x[5],
];
const SPSR: usize = 2;

impl Step<'_> {
    pub(super) fn invoke(&mut self, caller: Id, cap: Cap, message: &Message<'_>) -> Answer {
        match cap {
            Cap::Thread(thread) => self.invoke_thread(caller, thread, message),
            Cap::Context { id, .. } => self.invoke_context(caller, id, message),
            Cap::Control { core } => self.invoke_control(core, message),
            Cap::Null | Cap::Zombie => invalid_cap(0),
            _ => self.invoke_other(caller, message.effect),
        }
    }

    /// The answer is not known, and capabilities may have gone from anywhere.
    fn invoke_other(&mut self, caller: Id, effect: Effect) -> Answer {
        // Only a call that is left ends with a Timeout fault.
        let left = self.after.threads.get(caller).is_some_and(|after| {
            after.doing == Doing::Restart
                || after.next_ip == after.fault_ip
                || matches!(after.fault, Some(Fault::Timeout { .. }))
        });
        self.take_handlers_over();
        match effect {
            Effect::Unknown(reason) => return Err(Outside(reason).into()),
            Effect::Nothing => {}
            _ if left => return Err(Outside("a deletion left half-way").into()),
            Effect::Delete(last) => self.delete(last)?,
            Effect::CancelBadged { endpoint, badge } => self.cancel_badged(endpoint, badge),
        }
        self.stamp_often();
        if left {
            return Err(Failed::Preempted);
        }
        Err(Failed::Untold)
    }

    fn invoke_thread(&mut self, caller: Id, thread: Id, m: &Message<'_>) -> Answer {
        match Invocation::from_label(m.label) {
            Some(Invocation::TcbReadRegisters) => return self.read_registers(caller, thread, m),
            Some(Invocation::TcbWriteRegisters) => self.write_registers(caller, thread, m)?,
            Some(Invocation::TcbCopyRegisters) => self.copy_registers(thread, m)?,
            Some(Invocation::TcbSetPriority) => {
                let priority = self.allowed_priority(m)?;
                self.set_priority(thread, priority);
            }
            Some(Invocation::TcbSetMcPriority) => {
                self.state.threads[thread].mcp = self.allowed_priority(m)?;
            }
            Some(Invocation::TcbSetSchedParams) => self.set_sched_params(caller, thread, m)?,
            Some(Invocation::TcbSetTimeoutEndpoint) => {
                m.require(0, 1)?;
                let handler = handler(m.extra[0], 1)?;
                let old = self.state.threads[thread].timeout;
                keeps(old)?;
                self.state.threads[thread].timeout = handler;
            }
            Some(Invocation::TcbSuspend) => self.suspend(thread),
            Some(Invocation::TcbResume) => self.resume(thread),
            Some(Invocation::TcbBindNotification) => {
                m.require(0, 1)?;
                if self.state.threads[thread].bound.is_some() {
                    return illegal();
                }
                let Cap::Notification { id, rights, .. } = m.extra[0] else {
                    return illegal();
                };
                let notification = &mut self.state.notifications[id];
                if !rights.read || !notification.queue.is_empty() || notification.bound.is_some() {
                    return illegal();
                }
                notification.bound = Some(thread);
                self.state.threads[thread].bound = Some(id);
            }
            Some(Invocation::TcbUnbindNotification) => {
                if self.state.threads[thread].bound.is_none() {
                    return illegal();
                }
                self.unbind_notification(thread);
            }
            Some(Invocation::TcbSetFlags) => {
                m.require(2, 0)?;
                return Ok(vec![Word::UNKNOWN]);
            }
            Some(Invocation::TcbSetTlsBase) => m.require(1, 0)?,
            Some(
                Invocation::TcbConfigure | Invocation::TcbSetSpace | Invocation::TcbSetIpcBuffer,
            ) => return self.invoke_other(caller, Effect::Nothing),
            _ => return illegal(),
        }
        Ok(Vec::new())
    }

    fn read_registers(&mut self, caller: Id, thread: Id, m: &Message<'_>) -> Answer {
        m.require(2, 0)?;
        let most = USER_CONTEXT_WORDS as u64;
        if !(1..=most).contains(&m.words[1]) {
            return error(ErrorCode::RangeError, &[1, most]);
        }
        if thread == caller {
            return illegal();
        }
        if m.words[0] & 1 != 0 {
            self.suspend(thread);
        }
        let this = &mut self.state.threads[thread];
        let mut words: Vec<Word> = CONTEXT.iter().map(|place| *place(this)).collect();
        words.resize(m.words[1] as usize, Word::UNKNOWN);
        Ok(words)
    }

    fn write_registers(&mut self, caller: Id, thread: Id, m: &Message<'_>) -> Result<(), Failed> {
        m.require(2, 0)?;
        let (header, registers) = m.words.split_at(2);
        if header[1] > registers.len() as u64 {
            return error(ErrorCode::TruncatedMessage, &[]);
        }
        if thread == caller {
            return illegal();
        }
        let this = &mut self.state.threads[thread];
        let count = header[1] as usize;
        for (index, (place, &word)) in CONTEXT.iter().zip(&registers[..count]).enumerate() {
            // Not all bits of the status can be set.
            *place(this) = if index == SPSR {
                Word::UNKNOWN
            } else {
                Word::new(word)
            };
        }
        this.next_ip = this.fault_ip;
        if header[0] & 1 != 0 {
            self.resume(thread);
        }
        Ok(())
    }

    fn copy_registers(&mut self, thread: Id, m: &Message<'_>) -> Result<(), Failed> {
        m.require(1, 1)?;
        let Cap::Thread(source) = m.extra[0] else {
            return invalid_cap(1);
        };
        let flags = m.words[0];
        if flags & 1 != 0 {
            self.suspend(source);
        }
        if flags & 2 != 0 {
            self.resume(thread);
        }
        if flags & 4 != 0 {
            for place in CONTEXT {
                *place(&mut self.state.threads[thread]) = *place(&mut self.state.threads[source]);
            }
            let this = &mut self.state.threads[thread];
            this.next_ip = this.fault_ip;
        }
        Ok(())
    }

    fn allowed_priority(&self, m: &Message<'_>) -> Result<u8, Failed> {
        m.require(1, 1)?;
        let Cap::Thread(authority) = m.extra[0] else {
            return invalid_cap(1);
        };
        self.priority_of(m.words[0], authority)
    }

    fn priority_of(&self, value: u64, authority: Id) -> Result<u8, Failed> {
        let most = u64::from(self.state.threads[authority].mcp);
        if value > most {
            return error(ErrorCode::RangeError, &[0, most]);
        }
        Ok(value as u8)
    }

    fn set_sched_params(&mut self, caller: Id, thread: Id, m: &Message<'_>) -> Result<(), Failed> {
        m.require(2, 3)?;
        let Cap::Thread(authority) = m.extra[0] else {
            return invalid_cap(1);
        };
        let mcp = self.priority_of(m.words[0], authority)?;
        let priority = self.priority_of(m.words[1], authority)?;
        let old = self.state.threads[thread].context;
        let new = match m.extra[1] {
            Cap::Context { id, .. } => {
                let taken = old.is_some() || self.state.contexts[id].thread.is_some();
                if old != Some(id) && taken {
                    return illegal();
                }
                self.check_released(id, thread)?;
                Some(id)
            }
            Cap::Null if thread == caller => return illegal(),
            Cap::Null => None,
            _ => return invalid_cap(2),
        };
        let handler = handler(m.extra[2], 3)?;
        keeps(self.state.threads[thread].handler)?;
        let this = &mut self.state.threads[thread];
        (this.handler, this.mcp) = (handler, mcp);
        self.set_priority(thread, priority);
        match (old, new) {
            (Some(old), None) => self.take_context(old),
            (None, Some(new)) => self.bind(new, thread),
            _ => {}
        }
        Ok(())
    }

    /// A thread that waits gets only what it could use at once.
    fn check_released(&mut self, context: Id, thread: Id) -> Result<(), Failed> {
        if self.state.threads[thread].is_blocked() && !self.has_budget(context) {
            return illegal();
        }
        Ok(())
    }

    fn invoke_context(&mut self, caller: Id, context: Id, m: &Message<'_>) -> Answer {
        let holder = self.state.contexts[context].thread;
        match Invocation::from_label(m.label) {
            Some(Invocation::SchedContextBind) => {
                m.require(0, 1)?;
                match m.extra[0] {
                    Cap::Thread(thread) => {
                        if holder.is_some() || self.state.threads[thread].context.is_some() {
                            return illegal();
                        }
                        self.check_released(context, thread)?;
                        self.bind(context, thread);
                    }
                    Cap::Notification { id, .. } => {
                        let this = &mut self.state.contexts[context];
                        let notification = &mut self.state.notifications[id];
                        if this.notification.is_some() || notification.context.is_some() {
                            return illegal();
                        }
                        this.notification = Some(id);
                        notification.context = Some(context);
                    }
                    _ => return invalid_cap(1),
                }
            }
            Some(Invocation::SchedContextUnbind) => {
                if holder == Some(caller) {
                    return illegal();
                }
                self.unbind(context);
            }
            Some(Invocation::SchedContextUnbindObject) => {
                m.require(0, 1)?;
                match m.extra[0] {
                    Cap::Thread(thread) => {
                        if holder != Some(thread) || thread == caller {
                            return illegal();
                        }
                        self.take_context(context);
                    }
                    Cap::Notification { id, .. } => {
                        if self.state.contexts[context].notification != Some(id) {
                            return illegal();
                        }
                        self.unbind_context_notification(context);
                    }
                    _ => return invalid_cap(1),
                }
            }
            Some(Invocation::SchedContextConsumed) => return Ok(vec![Word::UNKNOWN]),
            Some(Invocation::SchedContextYieldTo) => {
                let Some(target) = holder else {
                    return illegal();
                };
                let most = self.state.threads[caller].mcp;
                if target == caller || self.state.threads[target].priority > most {
                    return illegal();
                }
                if !self.yield_to(caller, context) {
                    return Ok(vec![Word::UNKNOWN]);
                }
            }
            _ => return illegal(),
        }
        Ok(Vec::new())
    }

    fn invoke_control(&mut self, core: u16, m: &Message<'_>) -> Answer {
        if m.label != Invocation::SchedControlConfigureFlags.label() {
            return illegal();
        }
        m.require(5, 1)?;
        let [budget, period, extra, badge, _flags] = m.words[..5] else {
            unreachable!("five words");
        };
        let limits = &self.machine.limits;
        let (least, most) = (limits.min_us, limits.max_us);
        let in_range = |us: u64| us <= most && limits.ticks(us) >= limits.min_budget;
        if !in_range(budget) || !in_range(period) {
            return error(ErrorCode::RangeError, &[least, most]);
        }
        if limits.ticks(budget) > limits.ticks(period) {
            return error(ErrorCode::RangeError, &[least, period]);
        }
        let Cap::Context { id, room } = m.extra[0] else {
            return invalid_cap(1);
        };
        if extra > room {
            return error(ErrorCode::RangeError, &[0, room]);
        }
        let round_robin = limits.ticks(budget) == limits.ticks(period);
        self.configure(id, core, badge, round_robin);
        Ok(Vec::new())
    }
}

/// A handler's capability; none for an empty slot.
fn handler(cap: Cap, number: u64) -> Result<Option<Handler>, Failed> {
    let Cap::Endpoint { id, badge, rights } = cap else {
        return match cap {
            Cap::Null => Ok(None),
            _ => invalid_cap(number),
        };
    };
    let handler = Handler {
        endpoint: id,
        badge,
        rights,
        last: false,
    };
    if handler.is_usable() {
        Ok(Some(handler))
    } else {
        invalid_cap(number)
    }
}

/// An endpoint that goes with its last capability is not the model's business.
fn keeps(old: Option<Handler>) -> Result<(), Failed> {
    match old {
        Some(old) if old.last => Err(Outside("the last capability to a handler's endpoint").into()),
        _ => Ok(()),
    }
}
