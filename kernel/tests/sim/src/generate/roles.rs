//! What threads do most of the time in a run of some style, so that calls meet servers, and chains of calls form and are
//! broken.

use sel4_abi::{Invocation as I, Syscall, slot};

use super::{Generator, Style};
use crate::op::{Call, Op};
use crate::world::{DEPTH, World};

impl Generator {
    /// What a thread does most of the time, so that calls meet servers, and chains of calls form and are broken.
    pub(super) fn role(&mut self, w: &World, index: usize, cores: usize) -> Option<Op> {
        match self.style {
            Style::Wild => None,
            // Clients also work, until their time is up and their timeout handlers are told.
            Style::Chains if index > 2 && index < 5 && self.random.once_in(4) => {
                Some(Op::Work(self.random.rand_range(1000u32..6000)))
            }
            Style::Chains => self.link(w, index, cores).map(Op::Call),
            Style::Migrations => Some(self.traveller(w, index, cores)),
            Style::Breakers => Some(self.breaker(w, index, cores)),
            Style::Builders => Some(self.builder(w, cores)),
            Style::Servers => Some(self.server_or_client(w, index, cores)),
        }
    }

    /// Works, or moves somebody who works.
    fn traveller(&mut self, w: &World, index: usize, cores: usize) -> Op {
        let r = &mut self.random;
        if index < 4 && !r.once_in(6) {
            return Op::Work(r.rand_range(500u32..5000));
        }
        let core = r.below(cores as u64) as usize;
        let context = w.contexts.start + r.below(4);
        Op::Call(match r.below(32) {
            0 => Call::invoke(
                slot::INIT_THREAD_CNODE,
                I::CNodeDelete,
                &[],
                &[context, DEPTH],
            ),
            24.. => Call::invoke(context, I::SchedContextYieldTo, &[], &[]),
            1..4 => Call::invoke(context, I::SchedContextUnbind, &[], &[]),
            4..7 => Call::invoke(
                context,
                I::SchedContextBind,
                &[w.tcbs.start + r.below(4)],
                &[],
            ),
            _ => w.configure(core, context, [30, 400, 4, 1, u64::from(r.once_in(2))]),
        })
    }

    /// A place in a chain of calls.
    fn link(&mut self, w: &World, index: usize, cores: usize) -> Option<Call> {
        let r = &mut self.random;
        let syscall = |number: Syscall, dest: u64, reply: u64| {
            let mut call = Call::message(number as i64, dest, 0, &[], &[7]);
            call.x[6] = reply;
            call
        };
        let (endpoint, reply) = (w.endpoints.start, w.replies.start);
        let notification = r.slot(&w.notifications);
        Some(match index {
            // The last server of a chain.
            0 => syscall(Syscall::ReplyRecv, endpoint, reply),
            // One in the middle, that calls others before it answers.
            1 if r.once_in(2) => syscall(Syscall::Call, endpoint, 0),
            1 => syscall(Syscall::ReplyRecv, endpoint + 1, reply + 1),
            2 if r.once_in(3) => syscall(Syscall::Call, endpoint + 1, 0),
            2 => syscall(Syscall::ReplyRecv, endpoint + 2, reply + 2),
            // Clients.
            3 => syscall(Syscall::Call, endpoint + r.below(3), 0),
            4 if r.once_in(3) => syscall(Syscall::Wait, notification, 0),
            4 => syscall(Syscall::Call, endpoint + 1 + r.below(2), 0),
            // Somebody who moves things about.
            5 => match r.below(6) {
                0 => Call::invoke(
                    w.contexts.start + r.below(3),
                    I::SchedContextUnbind,
                    &[],
                    &[],
                ),
                1 => syscall(Syscall::NBSend, notification, 0),
                2 => syscall(Syscall::NBSend, r.slot(&w.replies), 0),
                3 => Call::invoke(
                    w.tcbs.start + r.below(5),
                    if r.once_in(2) {
                        I::TcbSuspend
                    } else {
                        I::TcbResume
                    },
                    &[],
                    &[],
                ),
                _ => {
                    let core = r.below(cores as u64) as usize;
                    let context = w.contexts.start + r.below(5);
                    w.configure(core, context, [60, 200, 4, 1, u64::from(r.once_in(2))])
                }
            },
            _ => return None,
        })
    }

    /// A chain of calls over as many cores as there are, and three who break it, at any object that holds it together.
    fn breaker(&mut self, w: &World, index: usize, cores: usize) -> Op {
        let r = &mut self.random;
        let number = index as u64;
        match number {
            // Servers, each of which calls the one before it.
            0..3 if number == 0 || r.once_in(2) => {
                let endpoint = w.endpoints.start + number;
                let mut call = Call::message(Syscall::ReplyRecv as i64, endpoint, 0, &[], &[1]);
                call.x[6] = w.replies.start + number;
                Op::Call(call)
            }
            1..4 => {
                let endpoint = w.endpoints.start + number - 1;
                Op::Call(Call::message(Syscall::Call as i64, endpoint, 0, &[], &[2]))
            }
            _ if r.once_in(3) => Op::Work(r.rand_range(10u32..2000)),
            _ => Op::Call(self.wreck(w, cores)),
        }
    }

    /// Does something to an object of the chain.
    fn wreck(&mut self, w: &World, cores: usize) -> Call {
        let r = &mut self.random;
        let root = slot::INIT_THREAD_CNODE;
        let link = r.below(4);
        let (tcb, context) = (w.tcbs.start + link, w.contexts.start + link);
        let (endpoint, reply) = (w.endpoints.start + link % 3, w.replies.start + link % 3);
        let delete = |slot| Call::invoke(root, I::CNodeDelete, &[], &[slot, DEPTH]);
        match r.below(21) {
            0 => Call::invoke(tcb, I::TcbSuspend, &[], &[]),
            1..3 => Call::invoke(tcb, I::TcbResume, &[], &[]),
            3 => Call::invoke(context, I::SchedContextUnbind, &[], &[]),
            4..6 => Call::invoke(context, I::SchedContextBind, &[tcb], &[]),
            6..9 => {
                let core = r.below(cores as u64) as usize;
                w.configure(core, context, [60, 200, 4, link, u64::from(r.once_in(2))])
            }
            9 => delete(reply),
            10 => delete(tcb),
            11 => delete(context),
            12 => delete(endpoint),
            13 => {
                // Then the original is the last one.
                let original = r.slot(&(w.endpoints.start..w.notifications.end));
                Call::invoke(root, I::CNodeRevoke, &[], &[original, DEPTH])
            }
            20 => delete(r.slot(&w.notifications)),
            14 => Call::message(Syscall::NBSend as i64, reply, r.below(2), &[], &[5]),
            15 => {
                let other = w.contexts.start + r.below(w.contexts.end - w.contexts.start);
                let handler = w.badged.start + 2 * link;
                Call::invoke(
                    tcb,
                    I::TcbSetSchedParams,
                    &[slot::INIT_THREAD_TCB, r.of(&[0, other]), handler],
                    &[255, 45 + r.below(25)],
                )
            }
            16 => Call::invoke(context, I::SchedContextYieldTo, &[], &[]),
            17 => {
                let notification = r.slot(&w.notifications);
                Call::invoke(context, I::SchedContextBind, &[notification], &[])
            }
            18 => Call::invoke(
                tcb,
                I::TcbBindNotification,
                &[r.slot(&w.notifications)],
                &[],
            ),
            _ => Call::message(
                Syscall::NBSend as i64,
                r.slot(&w.notifications),
                0,
                &[],
                &[],
            ),
        }
    }

    /// Makes objects, maps memory, and takes it all apart again; some wait to send, and are sent away.
    fn builder(&mut self, w: &World, cores: usize) -> Op {
        let r = &mut self.random;
        Op::Call(match r.below(100) {
            0..28 => self.slots(w),
            28..38 => self.memory(w),
            38..62 => self.mapping(w),
            62..72 => self.interrupts(w),
            72..80 => self.thread(w),
            80..86 => self.mistake(w, cores),
            86..92 => {
                let number = r.of(&[Syscall::Call, Syscall::Send]) as i64;
                Call::message(number, w.badged.start + r.of(&[0, 6]), 0, &[], &[3])
            }
            92..95 => Call::invoke(
                slot::INIT_THREAD_CNODE,
                I::CNodeCancelBadgedSends,
                &[],
                &[w.badged.start + r.of(&[0, 6]), DEPTH],
            ),
            95 => self.debug(w),
            96 | 97 => Call::invoke(
                r.slot(&w.tcbs),
                I::TcbSetSpace,
                &[0, slot::INIT_THREAD_CNODE, r.slot(&w.vspaces)],
                &[0, 0],
            ),
            _ => return Op::Work(r.rand_range(1u32..2000)),
        })
    }
}
