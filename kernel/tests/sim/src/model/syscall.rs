//! System calls: from registers to what they do.

use sel4_abi::{ErrorCode, MessageInfo, Syscall};

use super::Step;
use super::endpoint::Send;
use super::event::{Args, Cap, Effect, Event, Operand, Outside, Request};
use super::invoke::{Failed, Message};
use super::state::{Doing, Fault, Id, Word};

/// How a capability is invoked.
#[derive(Clone, Copy)]
struct Mode {
    call: bool,
    blocking: bool,
    can_donate: bool,
    /// The first half of a combined call.
    first: bool,
}

const fn mode(call: bool, blocking: bool, can_donate: bool, first: bool) -> Mode {
    Mode {
        call,
        blocking,
        can_donate,
        first,
    }
}

const CALL: Mode = mode(true, true, true, false);
const SEND: Mode = mode(false, true, false, false);
const NB_SEND: Mode = mode(false, false, false, false);
const FIRST: Mode = mode(false, false, true, true);

/// The invoked capability is not one for this.
fn refused() -> (u64, Vec<Word>) {
    (ErrorCode::InvalidCapability as u64, vec![Word::new(0)])
}

impl Step<'_> {
    /// Whether the call invokes an object other than those of messages. Such a thread counts as one that starts again
    /// until the invocation is over.
    pub(super) fn invokes_object(&self, event: &Event) -> Result<bool, Outside> {
        let Event::Syscall(request) = event else {
            return Ok(false);
        };
        let Some(invoked) = request.invoked() else {
            return Ok(false);
        };
        match invoked.cap {
            Ok(Cap::Thread(_) | Cap::Context { .. } | Cap::Control { .. }) => Ok(true),
            Ok(Cap::Other { .. }) => match request.args.effect {
                Effect::Unknown(reason) => Err(Outside(reason)),
                _ => Ok(true),
            },
            Ok(Cap::Reply { .. }) => Ok(false),
            _ => Err(Outside("part of an invocation")),
        }
    }

    pub(super) fn syscall(&mut self, caller: Id, request: &Request) -> Result<(), Outside> {
        let Request {
            call, x0, x6, args, ..
        } = request;
        if let Some(target) = request.first() {
            if !self.send_phase(caller, target, args, FIRST)? {
                return Ok(());
            }
            let carried = args.extra.as_ref().is_ok_and(|caps| !caps.is_empty());
            if carried && !matches!(x0.cap, Ok(Cap::Endpoint { .. } | Cap::Notification { .. })) {
                return Err(Outside("the second phase may find a new capability"));
            }
        }
        let own = match call {
            Syscall::Call => Some(CALL),
            Syscall::Send => Some(SEND),
            Syscall::NBSend => Some(NB_SEND),
            _ => None,
        };
        if let Some(mode) = own {
            self.send_phase(caller, x0, args, mode)?;
            return Ok(());
        }
        match call {
            Syscall::ReplyRecv | Syscall::NBSendRecv | Syscall::Recv => {
                self.receive_phase(caller, x0, Some(x6), true);
            }
            Syscall::NBRecv => self.receive_phase(caller, x0, Some(x6), false),
            Syscall::NBSendWait | Syscall::Wait => self.receive_phase(caller, x0, None, true),
            Syscall::NBWait => self.receive_phase(caller, x0, None, false),
            _ => {
                debug_assert_eq!(*call, Syscall::Yield);
                if self.core().payer.is_some() {
                    self.end_slice(false);
                }
            }
        }
        Ok(())
    }

    /// Tells whether the second phase follows: not after an invocation that is left.
    fn send_phase(
        &mut self,
        caller: Id,
        target: &Operand,
        args: &Args,
        mode: Mode,
    ) -> Result<bool, Outside> {
        let missing = match (target.cap, &args.extra) {
            (Err(failure), _) => Some((target.address, failure)),
            (_, Err(missing)) => Some(*missing),
            _ => None,
        };
        if let Some((address, failure)) = missing {
            if mode.blocking {
                let in_receive = false;
                self.raise(
                    caller,
                    Fault::Cap {
                        address,
                        in_receive,
                        failure,
                    },
                );
            }
            return Ok(true);
        }
        let (Ok(cap), Ok(extra)) = (target.cap, &args.extra) else {
            unreachable!("checked");
        };
        let (label, words) = match cap {
            Cap::Endpoint { id, badge, rights } if rights.write => {
                let how = Send {
                    blocking: mode.blocking,
                    call: mode.call,
                    can_donate: mode.can_donate,
                    badge,
                    grant: rights.grant,
                    grant_reply: rights.grant_reply,
                };
                self.send(caller, id, how);
                return Ok(true);
            }
            Cap::Notification { id, badge, rights } if rights.write => {
                self.signal(id, badge);
                (0, Vec::new())
            }
            // Without the right to write, and what only a plain call may invoke.
            Cap::Endpoint { .. } | Cap::Notification { .. } => refused(),
            Cap::Reply { id, grant } => {
                self.reply(caller, id, grant);
                (0, Vec::new())
            }
            Cap::Thread(_)
            | Cap::Context { .. }
            | Cap::Control { .. }
            | Cap::Other { in_first: false }
                if mode.first =>
            {
                refused()
            }
            _ => {
                let label = MessageInfo(self.state.threads[caller].x[1].value).label();
                self.state.threads[caller].doing = Doing::Restart;
                let answer = self.invoke(caller, cap, &Message::new(label, args, extra));
                let goes_on = self.state.threads[caller].doing == Doing::Restart;
                let answer = match answer {
                    Ok(words) => (0, words),
                    Err(Failed::Error(error)) => {
                        let words = error.words.into_iter().map(Word::new).collect();
                        (error.code as u64, words)
                    }
                    Err(Failed::Untold) => {
                        if goes_on {
                            let this = &mut self.state.threads[caller];
                            this.doing = Doing::Running;
                            if mode.call {
                                self.is_untold = true;
                                this.x = [Word::UNKNOWN; 6];
                                this.x[0] = Word::new(0);
                            }
                        }
                        return Ok(true);
                    }
                    Err(Failed::Preempted) => return Ok(false),
                    Err(Failed::Outside(outside)) => return Err(outside),
                };
                if !goes_on {
                    return Ok(true);
                }
                self.state.threads[caller].doing = Doing::Running;
                answer
            }
        };
        if mode.call {
            let length = self.put_words(caller, &words);
            let x = &mut self.state.threads[caller].x;
            x[0] = Word::new(0);
            x[1] = Word::new(MessageInfo::new(label, 0, 0, length).0);
        }
        Ok(true)
    }

    fn receive_phase(
        &mut self,
        caller: Id,
        source: &Operand,
        reply: Option<&Operand>,
        blocking: bool,
    ) {
        let missing = super::state::Failure {
            count: 2,
            words: [
                sel4_abi::LookupFailureKind::MissingCapability as u64,
                0,
                0,
                0,
            ],
        };
        let fault = |address, failure| Fault::Cap {
            address,
            in_receive: true,
            failure,
        };
        match source.cap {
            Err(failure) => self.raise(caller, fault(source.address, failure)),
            Ok(Cap::Endpoint { id, rights, .. }) if rights.read => {
                let object = match reply.map(|reply| (reply.address, reply.cap)) {
                    None => None,
                    Some((_, Ok(Cap::Reply { id, .. }))) => Some(id),
                    Some((address, Ok(_))) => return self.raise(caller, fault(address, missing)),
                    Some((address, Err(failure))) => {
                        return self.raise(caller, fault(address, failure));
                    }
                };
                self.receive(caller, id, blocking, object);
            }
            Ok(Cap::Notification { id, rights, .. })
                if rights.read
                    && self.state.notifications[id]
                        .bound
                        .is_none_or(|bound| bound == caller) =>
            {
                self.wait(caller, id, blocking);
            }
            Ok(_) => self.raise(caller, fault(source.address, missing)),
        }
    }
}
