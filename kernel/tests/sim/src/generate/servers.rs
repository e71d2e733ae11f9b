//! A system as one would build it: passive servers that also handle faults, one with time of its own, clients, and
//! somebody who waits for signals. Little is broken, so most calls find what they hope for: this is what the kernel's
//! short cuts are made for. What they have to look at changes now and then.

use sel4_abi::{CapRights, Invocation as I, Syscall, slot};

use super::Generator;
use crate::op::{Call, Op};
use crate::random::Random;
use crate::world::{DEPTH, World};

/// How many threads have no time of their own, and how many serve at all. The first ones.
pub(super) const PASSIVE: u64 = 2;
const SERVERS: u64 = 3;

impl Generator {
    pub(super) fn server_or_client(&mut self, w: &World, index: usize, cores: usize) -> Op {
        let number = index as u64;
        let r = &mut self.random;
        match number {
            0..PASSIVE => match r.below(32) {
                0 => Op::Fpu(r.below(1000)),
                1 | 2 => Op::Work(r.rand_range(1u32..100)),
                // It asks another one first.
                3..6 => Op::Call(message(r, w, Syscall::Call, endpoint(w, 1 - number))),
                6 => Op::Call(signal(r, w, Syscall::NBSend)),
                7 => Op::Call(combined(r, w, number)),
                8 => Op::Call(receive(r, w, Syscall::NBRecv, number)),
                _ => Op::Call(receive(r, w, Syscall::ReplyRecv, number)),
            },
            2 => match r.below(16) {
                0 => Op::Work(r.rand_range(1u32..500)),
                1 => Op::Fpu(r.below(1000)),
                2 => Op::Call(combined(r, w, number)),
                3..6 => Op::Call(receive(r, w, Syscall::ReplyRecv, number)),
                _ => Op::Call(receive(r, w, Syscall::Recv, number)),
            },
            3 | 4 => self.client(w),
            5 => match r.below(12) {
                0 => Op::Work(r.rand_range(1u32..500)),
                1 => Op::Call(signal(r, w, Syscall::NBSend)),
                2 => Op::Call(signal(r, w, Syscall::NBWait)),
                3 => Op::Call(receive(r, w, Syscall::Recv, 2)),
                _ => Op::Call(message(r, w, Syscall::Wait, w.notifications.start)),
            },
            _ if !r.once_in(3) => Op::Work(r.rand_range(100u32..3000)),
            _ => Op::Call(self.change(w, cores)),
        }
    }

    fn client(&mut self, w: &World) -> Op {
        let r = &mut self.random;
        Op::Call(match r.below(100) {
            0..40 => {
                let server = r.below(PASSIVE);
                message(r, w, Syscall::Call, endpoint(w, server))
            }
            40..44 => {
                let place = w.badged.start + 2 * r.below(5);
                message(r, w, Syscall::Call, place)
            }
            // Perhaps without the rights that it takes, or nothing.
            44..50 => {
                let number = r.of(&[Syscall::Call, Syscall::Send, Syscall::NBSend, Syscall::Wait]);
                let place = with_some_rights(r, w);
                message(r, w, number, place)
            }
            50..58 => {
                let number = r.of(&[Syscall::Call, Syscall::Send, Syscall::NBSend]);
                message(r, w, number, endpoint(w, 2))
            }
            58..72 => {
                let number = r.of(&[Syscall::NBSend, Syscall::NBSend, Syscall::Send]);
                signal(r, w, number)
            }
            72..77 => signal(r, w, Syscall::NBWait),
            77..81 => receive(r, w, Syscall::NBRecv, 2),
            81..85 => Call {
                number: Syscall::Yield as i64,
                ..Call::default()
            },
            // To nothing.
            85..87 => message(r, w, Syscall::Call, 0),
            87..89 => message(r, w, Syscall::NBSend, 0),
            89 => return Op::Call(self.debug(w)),
            90..93 => return Op::Fpu(r.below(1000)),
            93..95 => return self.fault(),
            95 => {
                let context = w.contexts.start + r.of(&[2, 5]);
                Call::invoke(context, I::SchedContextYieldTo, &[], &[])
            }
            96 => return Op::Call(self.mapping(w)),
            _ => return Op::Work(r.rand_range(1u32..1000)),
        })
    }

    /// Changes something that a message depends on.
    fn change(&mut self, w: &World, cores: usize) -> Call {
        let r = &mut self.random;
        let number = r.below(6);
        let (tcb, context) = (w.tcbs.start + number, w.contexts.start + number);
        let notification = r.slot(&w.notifications);
        match r.below(27) {
            0..4 => {
                let priority = r.of(&[45, 50, 50, 55, 60, 65]);
                let authority = slot::INIT_THREAD_TCB;
                Call::invoke(tcb, I::TcbSetPriority, &[authority], &[priority])
            }
            4..6 => {
                let core = r.below(cores as u64) as usize;
                let context = w.contexts.start + SERVERS + r.below(4);
                let [budget, period] = r.of(&[[100, 400], [30, 400], [100, 100]]);
                w.configure(
                    core,
                    context,
                    [budget, period, 4, 1, u64::from(r.once_in(3))],
                )
            }
            6 => Call::invoke(tcb, I::TcbBindNotification, &[notification], &[]),
            7 => Call::invoke(tcb, I::TcbUnbindNotification, &[], &[]),
            8 => Call::invoke(tcb, I::TcbSetFlags, &[], &[r.below(2), r.below(2)]),
            9 => Call::invoke(tcb, I::TcbSuspend, &[], &[]),
            10 | 14 | 15 => Call::invoke(context, I::SchedContextYieldTo, &[], &[]),
            11 => Call::invoke(context, I::SchedContextBind, &[notification], &[]),
            12 => Call::invoke(context, I::SchedContextUnbind, &[], &[]),
            13 => {
                let space = r.slot(&w.vspaces);
                let (handler, root) = (w.badged.start + 2 * r.below(4), slot::INIT_THREAD_CNODE);
                Call::invoke(tcb, I::TcbSetSpace, &[handler, root, space], &[0, 0])
            }
            16..18 => {
                let root = slot::INIT_THREAD_CNODE;
                let place = with_some_rights(r, w);
                Call::invoke(root, I::CNodeDelete, &[], &[place, DEPTH])
            }
            18..22 => {
                let sources = [endpoint(w, 0), endpoint(w, 2), w.notifications.start];
                let rights = [
                    CapRights::all(),
                    CapRights::READ,
                    CapRights::WRITE,
                    CapRights::READ | CapRights::GRANT,
                    CapRights::WRITE | CapRights::GRANT_REPLY,
                ];
                let (place, source) = (with_some_rights(r, w), r.of(&sources));
                w.mint(place, source, r.of(&rights), 1 << 20)
            }
            // A second context for somebody who has lent his.
            22..26 => {
                let other = w.contexts.start + 7 + r.below(2);
                if r.once_in(2) {
                    Call::invoke(other, I::SchedContextUnbind, &[], &[])
                } else {
                    Call::invoke(other, I::SchedContextBind, &[tcb], &[])
                }
            }
            _ => message(r, w, Syscall::NBSend, notification),
        }
    }
}

/// A slot for a capability that has not every right.
fn with_some_rights(r: &mut Random, w: &World) -> u64 {
    w.scratch.start + r.below(3)
}

fn endpoint(w: &World, number: u64) -> u64 {
    w.endpoints.start + number
}

/// A notification: mostly that for which somebody waits.
fn signalled(r: &mut Random, w: &World) -> u64 {
    if r.once_in(4) {
        r.slot(&w.notifications)
    } else {
        w.notifications.start
    }
}

/// A message of a length that happens, sometimes with capabilities.
fn message(r: &mut Random, w: &World, number: Syscall, dest: u64) -> Call {
    let length = match r.below(16) {
        0..10 => r.below(5),
        10..15 => r.below(13),
        _ => r.below(121),
    };
    let words: Vec<u64> = (0..length).map(|_| r.below(1000)).collect();
    let caps: &[u64] = match r.below(48) {
        0 => &[dest],
        // Leads nowhere.
        1 => &[1 << 40],
        _ => &[],
    };
    let mut call = Call::message(number as i64, dest, r.below(4), caps, &words);
    if r.once_in(8) {
        let place = r.slot(&(w.scratch.start + 10..w.scratch.end));
        call.receive = Some([slot::INIT_THREAD_CNODE, place, DEPTH]);
    }
    call
}

/// The same to a notification, or a wait there.
fn signal(r: &mut Random, w: &World, number: Syscall) -> Call {
    let notification = signalled(r, w);
    message(r, w, number, notification)
}

/// A message, with a wait at a server's endpoint.
fn receive(r: &mut Random, w: &World, number: Syscall, server: u64) -> Call {
    let source = if r.once_in(40) {
        with_some_rights(r, w)
    } else {
        endpoint(w, server)
    };
    let mut call = message(r, w, number, source);
    call.x[6] = if r.once_in(40) {
        r.slot(&w.replies)
    } else {
        w.replies.start + server
    };
    call
}

/// A signal and a wait in one.
fn combined(r: &mut Random, w: &World, server: u64) -> Call {
    let number = r.of(&[Syscall::NBSendRecv, Syscall::NBSendWait]);
    let mut call = receive(r, w, number, server);
    let notification = signalled(r, w);
    if number == Syscall::NBSendWait {
        (call.x[0], call.x[6]) = (w.notifications.start + 1, notification);
    } else {
        call.x[8] = notification;
    }
    call
}
