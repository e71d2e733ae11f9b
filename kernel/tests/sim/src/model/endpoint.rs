//! Messages through endpoints.

use sel4_abi::{FaultKind, MESSAGE_REGISTERS, MessageInfo};

use super::Step;
use super::state::{Doing, Fault, Id, Word};

/// Bits of the message information that tell about capabilities.
const CAPS: u64 = 0x1f << 7;

/// How a message is sent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Send {
    pub(super) blocking: bool,
    pub(super) call: bool,
    pub(super) can_donate: bool,
    pub(super) badge: u64,
    pub(super) grant: bool,
    pub(super) grant_reply: bool,
}

impl Step<'_> {
    /// The waiting thread that is first in turn.
    fn take_first(&mut self, endpoint: Id) -> Id {
        self.state.endpoints[endpoint].queue.remove(0)
    }

    pub(super) fn send(&mut self, sender: Id, endpoint: Id, how: Send) {
        let target = &self.state.endpoints[endpoint];
        if target.queue.is_empty() || !target.receiving {
            if how.blocking {
                self.state.threads[sender].doing = Doing::Sending {
                    endpoint,
                    badge: how.badge,
                    grant: how.grant,
                    grant_reply: how.grant_reply,
                    call: how.call,
                };
                self.join(sender, endpoint, false);
            }
            return;
        }
        let receiver = self.take_first(endpoint);
        self.transfer(sender, how.badge, how.grant, receiver);
        let reply = self.state.threads[receiver].reply;
        if let Some(reply) = reply {
            self.untie(reply, receiver);
        }
        let sending = &self.state.threads[sender];
        if how.call || sending.fault.is_some() {
            match reply {
                Some(reply) if how.grant || how.grant_reply => {
                    self.push(sender, receiver, reply, how.can_donate);
                }
                // Nobody can answer.
                _ => self.state.threads[sender].doing = Doing::Inactive,
            }
        } else if how.can_donate
            && let Some(context) = sending.context
            && self.state.threads[receiver].context.is_none()
        {
            // Given away for good.
            self.donate(context, receiver);
        }
        self.state.threads[receiver].doing = Doing::Running;
        self.wake(receiver);
    }

    pub(super) fn receive(
        &mut self,
        receiver: Id,
        endpoint: Id,
        blocking: bool,
        reply: Option<Id>,
    ) {
        if let Some(reply) = reply
            && let Some(other) = self.state.replies[reply].thread
            && other != receiver
        {
            self.cancel(other);
        }
        if let Some(bound) = self.state.threads[receiver].bound {
            if self.state.notifications[bound].word.is_some() {
                self.take_signal(receiver, bound);
                return;
            }
            if blocking {
                self.take_back(bound, receiver);
            }
        }
        let source = &self.state.endpoints[endpoint];
        if source.queue.is_empty() || source.receiving {
            if blocking {
                let this = &mut self.state.threads[receiver];
                this.doing = Doing::Receiving { endpoint };
                this.reply = reply;
                if let Some(reply) = reply {
                    self.state.replies[reply].thread = Some(receiver);
                }
                self.join(receiver, endpoint, true);
            } else {
                self.state.threads[receiver].x[0] = Word::new(0);
            }
            return;
        }
        let sender = self.take_first(endpoint);
        let Doing::Sending {
            badge,
            grant,
            grant_reply,
            call,
            ..
        } = self.state.threads[sender].doing
        else {
            panic!("{sender:#x} is in a sender's queue");
        };
        self.transfer(sender, badge, grant, receiver);
        let fault = self.state.threads[sender].fault;
        if call || fault.is_some() {
            match reply {
                Some(reply) if grant || grant_reply => {
                    let can_donate = !matches!(fault, Some(Fault::Timeout { .. }));
                    let passive = self.state.threads[receiver].context.is_none();
                    self.push(sender, receiver, reply, can_donate);
                    if passive && let Some(lent) = self.state.threads[receiver].context {
                        self.await_refill(lent);
                    }
                }
                _ => self.state.threads[sender].doing = Doing::Inactive,
            }
        } else {
            self.state.threads[sender].doing = Doing::Running;
            self.wake(sender);
        }
    }

    fn join(&mut self, thread: Id, endpoint: Id, receiving: bool) {
        let priority = self.state.threads[thread].priority;
        let threads = &self.state.threads;
        let target = &mut self.state.endpoints[endpoint];
        target.receiving = receiving;
        let queue = &mut target.queue;
        let index = queue.partition_point(|&other| threads[other].priority >= priority);
        queue.insert(index, thread);
    }

    /// A thread that waits gets a place by its new priority.
    pub(super) fn sort_again(&mut self, thread: Id) {
        match self.state.threads[thread].doing {
            Doing::Sending { endpoint, .. } | Doing::Receiving { endpoint } => {
                let this = &mut self.state.endpoints[endpoint];
                this.queue.retain(|&other| other != thread);
                let receiving = this.receiving;
                self.join(thread, endpoint, receiving);
            }
            Doing::Waiting { notification } => {
                let this = &mut self.state.notifications[notification];
                this.queue.retain(|&other| other != thread);
                self.join_waiting(thread, notification);
            }
            _ => {}
        }
    }

    /// Ends a wait, whatever it is for. Who did not wait stays as he is, without a fault.
    pub(super) fn cancel(&mut self, thread: Id) {
        self.state.threads[thread].fault = None;
        match self.state.threads[thread].doing {
            Doing::Sending { endpoint, .. } | Doing::Receiving { endpoint } => {
                let queue = &mut self.state.endpoints[endpoint].queue;
                queue.retain(|&other| other != thread);
                if let Some(reply) = self.state.threads[thread].reply {
                    self.untie(reply, thread);
                }
            }
            Doing::Waiting { notification } => {
                let queue = &mut self.state.notifications[notification].queue;
                queue.retain(|&other| other != thread);
            }
            Doing::Calling { reply } => {
                // The context stays where it is.
                self.cut(reply);
                self.untie(reply, thread);
            }
            Doing::Inactive | Doing::Running | Doing::Restart => return,
        }
        self.state.threads[thread].doing = Doing::Inactive;
    }

    /// What the receiver finds in its registers.
    pub(super) fn transfer(&mut self, sender: Id, badge: u64, grant: bool, receiver: Id) {
        let (from, to) = (&self.state.threads[sender], &self.state.threads[receiver]);
        let info = if let Some(fault) = from.fault {
            let (kind, words) = self.fault_words(sender, fault);
            let length = self.put_words(receiver, &words);
            Word::new(MessageInfo::new(kind as u64, 0, 0, length).0)
        } else {
            let sent = MessageInfo(from.x[1].value);
            let in_registers = sent.length().min(MESSAGE_REGISTERS);
            let length = if from.buffer.0 && to.buffer.1 {
                sent.length()
            } else {
                in_registers
            };
            let may_carry = grant && sent.extra_caps() > 0 && from.buffer.0 && to.buffer.1;
            let registers = from.x;
            let x = &mut self.state.threads[receiver].x;
            x[2..2 + in_registers].copy_from_slice(&registers[2..2 + in_registers]);
            let info = Word::new(MessageInfo::new(sent.label(), 0, 0, length as u64).0);
            if may_carry { info.without(CAPS) } else { info }
        };
        let x = &mut self.state.threads[receiver].x;
        (x[0], x[1]) = (Word::new(badge), info);
    }

    /// Words that the kernel itself says: how many arrive.
    pub(super) fn put_words(&mut self, receiver: Id, words: &[Word]) -> u64 {
        let this = &mut self.state.threads[receiver];
        let in_registers = words.len().min(MESSAGE_REGISTERS);
        this.x[2..2 + in_registers].copy_from_slice(&words[..in_registers]);
        let arrived = if this.buffer.1 {
            words.len()
        } else {
            in_registers
        };
        arrived as u64
    }

    fn fault_words(&self, sender: Id, fault: Fault) -> (FaultKind, Vec<Word>) {
        let this = &self.state.threads[sender];
        match fault {
            Fault::Cap {
                address,
                in_receive,
                failure,
            } => {
                let mut words = vec![
                    this.fault_ip,
                    Word::new(address),
                    Word::new(u64::from(in_receive)),
                ];
                words.extend(failure.words[..failure.count].iter().map(|&w| Word::new(w)));
                (FaultKind::CapFault, words)
            }
            Fault::UnknownSyscall { .. } => {
                let mut words = this.x.to_vec();
                words.resize(13, Word::UNKNOWN);
                (FaultKind::UnknownSyscall, words)
            }
            Fault::UserException { syndrome } => {
                let syndrome = Word::new(u64::from(syndrome));
                let words = vec![this.fault_ip, this.sp, this.spsr, syndrome, Word::new(0)];
                (FaultKind::UserException, words)
            }
            Fault::Timeout { badge } => {
                let mut words = vec![Word::new(badge)];
                words.extend(this.context.map(|_| Word::UNKNOWN));
                (FaultKind::Timeout, words)
            }
            Fault::Vm {
                address,
                instruction,
                syndrome,
            } => {
                let words = vec![
                    this.fault_ip,
                    if instruction {
                        this.fault_ip
                    } else {
                        Word::new(address)
                    },
                    Word::new(u64::from(instruction)),
                    Word::new(u64::from(syndrome)),
                ];
                (FaultKind::VmFault, words)
            }
        }
    }
}
