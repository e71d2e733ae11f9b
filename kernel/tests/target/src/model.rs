//! The rules of messages, signals, answers and lent scheduling contexts, as a model that `ipc_model` compares the kernel with.
//!
//! Threads have fixed priorities and use fixed addresses. A thread is told of by its [`State`]; what has become of its
//! last call is in [`Model::ends`] until somebody has looked. Messages have no capabilities and at most four words.

extern crate alloc;

use alloc::vec::Vec;

use libsel4::CapRights;
use libsel4::abi::UserContext;

use crate::calls::{
    CALL, NB_RECV, NB_SEND, NB_SEND_RECV, NB_SEND_WAIT, NB_WAIT, RECV, REPLY_RECV, SEND, WAIT,
};
use crate::objects::{Answer, Ended, Puppet, info};

pub const THREADS: usize = 5;
pub const PRIORITIES: [u8; THREADS] = [100, 110, 100, 110, 90];
/// The thread to which notification 0 is bound.
pub const BOUND: usize = 1;

/// What an address names.
#[derive(Clone, Copy, Debug)]
pub enum Named {
    Nothing,
    Empty,
    Endpoint(usize, CapRights, u64),
    Notification(usize, CapRights, u64),
    Reply(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
pub enum State {
    /// Its last call has ended, well or with a fault.
    Ended,
    Inactive,
    Sends {
        endpoint: usize,
        badge: u64,
        may_call: bool,
        call: bool,
        since: usize,
    },
    Receives {
        endpoint: usize,
        reply: Option<usize>,
        since: usize,
    },
    Waits {
        notification: usize,
        since: usize,
    },
    Called {
        reply: usize,
    },
}

/// The rules.
pub struct Model {
    pub names: Vec<(u64, Named)>,
    pub states: [State; THREADS],
    /// The registers of the calls that they are in.
    pub calls: [UserContext; THREADS],
    /// Calls that have ended since this was last looked at.
    pub ends: [Option<Ended>; THREADS],
    /// Of active notifications.
    words: [Option<u64>; 2],
    clock: usize,
    /// The scheduling context that each thread has, and the core that it is on.
    pub contexts: [Option<usize>; THREADS],
    pub cores: [usize; THREADS],
    /// Reply objects through which each scheduling context was lent, the last one last.
    pub stacks: [Vec<usize>; THREADS],
    /// Threads that will do their call when they have a scheduling context.
    pub pending: [bool; THREADS],
    machine_cores: usize,
}

impl Model {
    /// Nothing has happened yet. Thread `n` has scheduling context `n`.
    pub fn new(names: Vec<(u64, Named)>, cores: usize) -> Self {
        Self {
            names,
            states: [State::Ended; THREADS],
            calls: [UserContext::default(); THREADS],
            ends: [const { None }; THREADS],
            words: [None; 2],
            clock: 0,
            contexts: core::array::from_fn(Some),
            cores: core::array::from_fn(|index| home(index, cores)),
            stacks: [const { Vec::new() }; THREADS],
            pending: [false; THREADS],
            machine_cores: cores,
        }
    }

    fn named(&self, address: u64) -> Named {
        let found = self.names.iter().find(|(cptr, _)| *cptr == address);
        found.expect("only these addresses are used").1
    }

    /// A thread gets a scheduling context, whoever had it.
    pub fn give(&mut self, context: usize, to: usize) {
        for holder in &mut self.contexts {
            *holder = holder.filter(|&held| held != context);
        }
        assert!(self.contexts[to].is_none());
        self.contexts[to] = Some(context);
        self.cores[to] = home(context, self.machine_cores);
    }

    /// Waits for the answer; lends the scheduling context to a server that has none.
    fn push(&mut self, reply: usize, caller: usize, server: usize) {
        self.states[caller] = State::Called { reply };
        if let Some(context) = self.contexts[caller]
            && self.contexts[server].is_none()
        {
            self.stacks[context].push(reply);
            self.give(context, server);
        }
    }

    /// Takes a reply object out of its stack, of which only what is above stays. If it is the last one, all that is
    /// below stays too. Says whose scheduling context goes back then.
    fn pop(&mut self, reply: usize) -> Option<usize> {
        for (context, stack) in self.stacks.iter_mut().enumerate() {
            if stack.last() == Some(&reply) {
                stack.pop();
                return Some(context);
            }
            if let Some(place) = stack.iter().position(|&other| other == reply) {
                stack.drain(..=place);
            }
        }
        None
    }

    /// A thread no longer waits for what it waited for. If that was an answer, nobody below gets anything back.
    pub fn cancel(&mut self, thread: usize) {
        if let State::Called { reply } = self.states[thread]
            && let Some(context) = self.pop(reply)
        {
            self.stacks[context].clear();
        }
        self.states[thread] = State::Inactive;
    }

    fn end(&mut self, thread: usize, change: impl FnOnce(&mut UserContext)) {
        let mut registers = UserContext {
            pc: Puppet::trap_address() + 4,
            spsr: 0x40,
            ..self.calls[thread]
        };
        change(&mut registers);
        self.states[thread] = State::Ended;
        assert!(self.ends[thread].is_none());
        self.ends[thread] = Some(Ended::Returned(registers));
    }

    fn fault(&mut self, thread: usize, address: u64, in_receive: bool) {
        let mut words = [Puppet::trap_address(), address, u64::from(in_receive)].to_vec();
        match self.named(address) {
            Named::Nothing => words.extend([4, 64, 0, 52]),
            _ => words.extend([2, 0]),
        }
        self.states[thread] = State::Ended;
        self.ends[thread] = Some(Ended::Faulted(Answer::new(1, &words)));
    }

    /// The first in a queue.
    fn first(&self, is_in: impl Fn(State) -> Option<usize>) -> Option<usize> {
        let waiting = (0..THREADS).filter_map(|thread| {
            let since = is_in(self.states[thread])?;
            Some((core::cmp::Reverse(PRIORITIES[thread]), since, thread))
        });
        waiting.min().map(|(_, _, thread)| thread)
    }

    fn receiver(&self, at: usize) -> Option<usize> {
        self.first(|state| match state {
            State::Receives {
                endpoint, since, ..
            } if endpoint == at => Some(since),
            _ => None,
        })
    }

    fn sender(&self, at: usize) -> Option<usize> {
        self.first(|state| match state {
            State::Sends {
                endpoint, since, ..
            } if endpoint == at => Some(since),
            _ => None,
        })
    }

    /// Who waits on a reply object, or with it.
    fn holder(&self, object: usize) -> Option<usize> {
        (0..THREADS).find(|&thread| match self.states[thread] {
            State::Called { reply } => reply == object,
            State::Receives { reply, .. } => reply == Some(object),
            _ => false,
        })
    }

    fn deliver(&mut self, from: usize, badge: u64, to: usize) {
        let sent = self.calls[from];
        let length = sent.x1 & 0x7f;
        self.end(to, |registers| {
            registers.x0 = badge;
            registers.x1 = sent.x1;
            let to = [
                &mut registers.x2,
                &mut registers.x3,
                &mut registers.x4,
                &mut registers.x5,
            ];
            let words = [sent.x2, sent.x3, sent.x4, sent.x5];
            let copied = to.into_iter().zip(words).take(length as usize);
            copied.for_each(|(register, word)| *register = word);
        });
    }

    fn signal(&mut self, notification: usize, badge: u64) {
        let waiter = self.first(|state| match state {
            State::Waits {
                notification: at,
                since,
            } if at == notification => Some(since),
            _ => None,
        });
        let bound = (notification == 0 && matches!(self.states[BOUND], State::Receives { .. }))
            .then_some(BOUND);
        if let Some(word) = self.words[notification] {
            self.words[notification] = Some(word | badge);
        } else if let Some(thread) = waiter.or(bound) {
            self.end(thread, |registers| registers.x0 = badge);
        } else {
            self.words[notification] = Some(badge);
        }
    }

    /// Whether the call goes on after its send phase.
    fn send(&mut self, thread: usize, address: u64, call: bool, blocking: bool) -> bool {
        let number = self.calls[thread].x7 as i64;
        let gives = ![SEND, NB_SEND].contains(&number);
        let answer = |model: &mut Self, error: bool| {
            if call {
                model.end(thread, |registers| {
                    registers.x0 = 0;
                    registers.x1 = if error { info(2, 0, 1) } else { 0 };
                    if error {
                        registers.x2 = 0;
                    }
                });
            }
        };
        match self.named(address) {
            Named::Nothing => {
                if blocking {
                    self.fault(thread, address, false);
                    return false;
                }
            }
            Named::Empty => answer(self, true),
            Named::Endpoint(_, rights, _) | Named::Notification(_, rights, _)
                if !rights.contains(CapRights::WRITE) =>
            {
                answer(self, true);
            }
            Named::Endpoint(endpoint, rights, badge) => {
                let may_call = rights.intersects(CapRights::GRANT | CapRights::GRANT_REPLY);
                if let Some(receiver) = self.receiver(endpoint) {
                    let State::Receives { reply, .. } = self.states[receiver] else {
                        unreachable!()
                    };
                    self.deliver(thread, badge, receiver);
                    match reply {
                        Some(reply) if call && may_call => self.push(reply, thread, receiver),
                        _ if call => self.states[thread] = State::Inactive,
                        // For good, in the first half of a combined call.
                        _ if gives && self.contexts[receiver].is_none() => {
                            let context = self.contexts[thread].expect("it runs");
                            self.give(context, receiver);
                        }
                        _ => (),
                    }
                } else if blocking {
                    self.states[thread] = State::Sends {
                        endpoint,
                        badge,
                        may_call,
                        call,
                        since: self.clock,
                    };
                    return false;
                }
            }
            Named::Notification(notification, _, badge) => {
                self.signal(notification, badge);
                answer(self, false);
            }
            Named::Reply(reply) => {
                if let Some(caller) = self.holder(reply)
                    && matches!(self.states[caller], State::Called { .. })
                {
                    let context = self.pop(reply);
                    self.deliver(thread, 0, caller);
                    if let Some(context) = context
                        && self.contexts[caller].is_none()
                    {
                        self.give(context, caller);
                    }
                }
                answer(self, false);
            }
        }
        true
    }

    fn receive(&mut self, thread: usize, address: u64, reply: Option<u64>, blocking: bool) {
        match self.named(address) {
            Named::Endpoint(endpoint, rights, _) if rights.contains(CapRights::READ) => {
                let mut object = None;
                if let Some(reply) = reply {
                    let Named::Reply(index) = self.named(reply) else {
                        return self.fault(thread, reply, true);
                    };
                    object = Some(index);
                    if let Some(other) = self.holder(index) {
                        assert_ne!(other, thread);
                        self.cancel(other);
                    }
                }
                if thread == BOUND
                    && let Some(word) = self.words[0].take()
                {
                    self.end(thread, |registers| registers.x0 = word);
                } else if let Some(sender) = self.sender(endpoint) {
                    let State::Sends {
                        badge,
                        may_call,
                        call,
                        ..
                    } = self.states[sender]
                    else {
                        unreachable!()
                    };
                    self.deliver(sender, badge, thread);
                    match object {
                        _ if !call => self.end(sender, |_| ()),
                        Some(reply) if may_call => self.push(reply, sender, thread),
                        _ => self.states[sender] = State::Inactive,
                    }
                } else if blocking {
                    self.states[thread] = State::Receives {
                        endpoint,
                        reply: object,
                        since: self.clock,
                    };
                } else {
                    self.end(thread, |registers| registers.x0 = 0);
                }
            }
            Named::Notification(notification, rights, _)
                if rights.contains(CapRights::READ) && (notification != 0 || thread == BOUND) =>
            {
                if let Some(word) = self.words[notification].take() {
                    self.end(thread, |registers| registers.x0 = word);
                } else if blocking {
                    self.states[thread] = State::Waits {
                        notification,
                        since: self.clock,
                    };
                } else {
                    self.end(thread, |registers| registers.x0 = 0);
                }
            }
            _ => self.fault(thread, address, true),
        }
    }

    /// A thread does the call that is in its registers, or will when it can.
    pub fn run(&mut self, thread: usize) {
        self.clock += 1;
        if self.contexts[thread].is_none() {
            self.pending[thread] = true;
            return;
        }
        let UserContext { x0, x6, x7, x8, .. } = self.calls[thread];
        match x7 as i64 {
            CALL => _ = self.send(thread, x0, true, true),
            number @ (SEND | NB_SEND) => {
                if self.send(thread, x0, false, number == SEND) {
                    self.end(thread, |_| ());
                }
            }
            REPLY_RECV => {
                self.send(thread, x6, false, false);
                self.receive(thread, x0, Some(x6), true);
            }
            NB_SEND_RECV => {
                self.send(thread, x8, false, false);
                self.receive(thread, x0, Some(x6), true);
            }
            NB_SEND_WAIT => {
                self.send(thread, x6, false, false);
                self.receive(thread, x0, None, true);
            }
            RECV => self.receive(thread, x0, Some(x6), true),
            NB_RECV => self.receive(thread, x0, Some(x6), false),
            WAIT => self.receive(thread, x0, None, true),
            NB_WAIT => self.receive(thread, x0, None, false),
            number => unreachable!("{number}"),
        }
    }
}

/// The core of a scheduling context.
pub fn home(context: usize, cores: usize) -> usize {
    (context + 1) % cores
}
