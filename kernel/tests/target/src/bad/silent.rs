//! The same mistakes in system calls that do not answer: nothing happens, and no register says that something did.

extern crate alloc;

use alloc::vec::Vec;

use libsel4::UserContext;

use super::probe::{PAIR_VALUES, Probe};
use super::{CAPS, JUNK, Kind, Request, UNRESOLVABLE};
use crate::objects::{Ended, Puppet, call_registers};

/// A system call that sends without being answered: by its number, and where the capability is that it sends to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Sending {
    Send,
    NbSend,
    ReplyRecv,
    NbSendRecv,
    NbSendWait,
}

use Sending::{NbSend, NbSendRecv, NbSendWait, ReplyRecv, Send};

impl Sending {
    const ALL: [Self; 5] = [Send, NbSend, ReplyRecv, NbSendRecv, NbSendWait];

    /// Whether it goes on to receive.
    fn receives(self) -> bool {
        !matches!(self, Send | NbSend)
    }

    /// The registers that send to `cap` and receive from `source`.
    fn registers(self, cap: u64, source: u64, info: u64, words: [u64; 4]) -> UserContext {
        match self {
            Send => call_registers(-5, cap, info, words, JUNK),
            NbSend => call_registers(-6, cap, info, words, JUNK),
            ReplyRecv => call_registers(-2, source, info, words, cap),
            NbSendWait => call_registers(-4, source, info, words, cap),
            NbSendRecv => UserContext {
                x8: cap,
                ..call_registers(-3, source, info, words, JUNK)
            },
        }
    }
}

/// A request, and how many words and capabilities of it are sent.
type Message = (Request, usize, usize);

impl Probe<'_> {
    /// Every kind of refused request, by every system call that does not answer.
    pub(super) fn silent(&self) {
        for message in self.refused() {
            for call in Sending::ALL {
                self.send(call, &message);
            }
        }
        let good = &self.method.request;
        let message = (good.clone(), good.words.len(), good.caps.len());
        // Many objects cannot be invoked in the first half of a call at all.
        if self.method.of.iter().any(|&kind| is_barred(kind)) {
            for call in Sending::ALL.into_iter().filter(|call| call.receives()) {
                self.send(call, &message);
            }
        }
        // A capability address that leads nowhere is a fault of Send only.
        let mut request = good.clone();
        request.caps = [UNRESOLVABLE; CAPS].to_vec();
        let message = (request, good.words.len(), CAPS);
        for call in Sending::ALL.into_iter().filter(|&call| call != Send) {
            self.send(call, &message);
        }
    }

    /// Messages that have to be refused.
    fn refused(&self) -> Vec<Message> {
        let good = &self.method.request;
        let (words, caps) = (good.words.len(), good.caps.len());
        let (needed_words, needed_caps) = self.method.needs;
        let mut messages = Vec::new();
        if needed_words > 0 {
            messages.push((good.clone(), needed_words - 1, CAPS));
        }
        if needed_caps > 0 {
            messages.push((good.clone(), words, needed_caps - 1));
        }
        for label in [0, (1 << 52) - 1] {
            messages.push((
                Request {
                    label,
                    ..good.clone()
                },
                words,
                caps,
            ));
        }
        for (place, value) in (0..self.method.arguments).flat_map(|at| PAIR_VALUES.map(|v| (at, v)))
        {
            let mut request = good.clone();
            request.words[place] = value;
            let answer = (self.method.words)(&request.words);
            if answer.is_some_and(|answer| answer.label != 0) {
                messages.push((request, words, caps));
            }
        }
        for place in 0..caps {
            for (kind, cap) in self.bench.zoo.all() {
                let answer = (self.method.caps)(place, kind);
                if answer.is_some_and(|answer| answer.label != 0) {
                    let mut request = good.clone();
                    request.caps[place] = cap;
                    messages.push((request, words, caps));
                }
            }
        }
        messages
    }

    /// Sends, and then receives what was signalled before if the call does.
    fn send(&self, call: Sending, (request, length, caps): &Message) {
        const BADGE: u64 = 0x40;
        let bench = self.bench;
        bench.write_buffer(request, *length, 0);
        let info = request.info(*length, *caps).0;
        let words = core::array::from_fn(|index| request.word(index));
        let before = call.registers(request.cap, bench.source.bits(), info, words);
        if call.receives() {
            bench.signal.signal();
        }
        let name = self.method.name;
        let after = match bench.puppet.syscall(&before) {
            Ended::Returned(after) => after,
            Ended::Faulted(fault) => panic!("{name}, {call:?}: {fault:x?}, {request:x?}"),
        };
        let expected = UserContext {
            pc: Puppet::trap_address() + 4,
            spsr: 0x40,
            x0: if call.receives() { BADGE } else { before.x0 },
            ..before
        };
        assert_eq!(after, expected, "{name}, {call:?}, {request:x?}");
        self.check_state("after a call without an answer");
    }
}

/// Whether a capability cannot be invoked in the first half of a combined call.
fn is_barred(kind: Kind) -> bool {
    matches!(
        kind,
        Kind::Thread | Kind::Domain | Kind::CNode | Kind::SchedControl | Kind::SchedContext
    )
}
