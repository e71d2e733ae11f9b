//! Messages, and invocations of threads and scheduling contexts.

use sel4_abi::{Invocation as I, MessageInfo, Syscall, slot};

use super::Generator;
use crate::op::{Access, Call, Op};
use crate::random::Random;
use crate::world::{CODE, DEPTH, THREADS, World, buffer_address};

impl Generator {
    pub(super) fn message(&mut self, w: &World) -> Call {
        let r = &mut self.random;
        let number = r.of(&[
            Syscall::Call,
            Syscall::Call,
            Syscall::Call,
            Syscall::ReplyRecv,
            Syscall::ReplyRecv,
            Syscall::NBSendRecv,
            Syscall::NBSendWait,
            Syscall::Send,
            Syscall::NBSend,
            Syscall::NBSend,
            Syscall::Recv,
            Syscall::Recv,
            Syscall::Recv,
            Syscall::NBRecv,
            Syscall::Wait,
            Syscall::NBWait,
            Syscall::Yield,
        ]);
        let dest = |r: &mut Random| match r.below(20) {
            0..9 => r.slot(&w.endpoints),
            9..12 => r.slot(&w.badged),
            12..17 => r.slot(&w.notifications),
            17 => r.slot(&w.replies),
            18 => r.slot(&w.scratch),
            _ => r.slot(&w.slots()),
        };
        let mut call = Call {
            number: number as i64,
            ..Call::default()
        };
        call.x[0] = dest(r);
        call.x[6] = if r.once_in(12) {
            dest(r)
        } else {
            r.slot(&w.replies)
        };
        call.x[8] = dest(r);
        // Answers to faults have up to 12 words.
        let length = match r.below(8) {
            0 | 1 => r.below(10),
            2 | 3 => r.below(14),
            _ => r.below(5),
        };
        let caps = if r.once_in(4) { r.below(4) } else { 0 };
        call.x[1] = MessageInfo::new(r.below(3), 0, caps, length).0;
        for register in &mut call.x[2..6] {
            *register = r.below(100);
        }
        call.words = (4..length).map(|_| r.below(100)).collect();
        call.caps = (0..caps).map(|_| r.slot(&w.slots())).collect();
        if r.once_in(3) {
            let root = if r.once_in(10) {
                r.slot(&w.cnodes)
            } else {
                slot::INIT_THREAD_CNODE
            };
            let depth = if r.once_in(10) { r.below(66) } else { DEPTH };
            call.receive = Some([root, r.slot(&w.scratch), depth]);
        }
        call
    }

    pub(super) fn context(&mut self, w: &World, cores: usize) -> Call {
        let r = &mut self.random;
        let context = r.slot(&w.contexts);
        let tcb = r.slot(&w.tcbs);
        let notification = r.slot(&w.notifications);
        match r.below(20) {
            0..9 => {
                let core = r.below(cores as u64) as usize;
                let period = r.of(&[100, 200, 400, 1000]);
                let budget = if r.once_in(4) {
                    period
                } else {
                    r.of(&[20, 30, 50, 90])
                };
                let words = [
                    budget,
                    period,
                    r.below(9),
                    r.below(100),
                    u64::from(r.once_in(3)),
                ];
                w.configure(core, context, words)
            }
            9..12 => Call::invoke(context, I::SchedContextBind, &[tcb], &[]),
            12 => Call::invoke(context, I::SchedContextBind, &[notification], &[]),
            13 | 14 => Call::invoke(context, I::SchedContextUnbind, &[], &[]),
            15 => Call::invoke(context, I::SchedContextUnbindObject, &[tcb], &[]),
            16 => Call::invoke(context, I::SchedContextUnbindObject, &[notification], &[]),
            17 => Call::invoke(context, I::SchedContextConsumed, &[], &[]),
            _ => Call::invoke(context, I::SchedContextYieldTo, &[], &[]),
        }
    }

    pub(super) fn thread(&mut self, w: &World) -> Call {
        let r = &mut self.random;
        let tcb = r.slot(&w.tcbs);
        let other = r.slot(&w.tcbs);
        let (root, vspace) = (slot::INIT_THREAD_CNODE, slot::INIT_THREAD_VSPACE);
        let handler = if r.once_in(4) { 0 } else { r.slot(&w.badged) };
        let space = if r.once_in(3) {
            r.slot(&w.vspaces)
        } else {
            vspace
        };
        // Copies may not be written to.
        let frame = if r.once_in(5) {
            r.slot(&w.scratch)
        } else {
            r.slot(&w.frames)
        };
        let address = buffer_address(r.below(THREADS as u64) as usize) + 1024 * r.below(4);
        let registers: Vec<u64> = [r.below(4), r.below(8), CODE + 4 * r.below(64)]
            .into_iter()
            .chain((0..r.below(10)).map(|index| index << 28))
            .collect();
        match r.below(26) {
            0..3 => Call::invoke(tcb, I::TcbSuspend, &[], &[]),
            3..8 => Call::invoke(tcb, I::TcbResume, &[], &[]),
            8..11 => Call::invoke(
                tcb,
                I::TcbSetPriority,
                &[slot::INIT_THREAD_TCB],
                &[45 + r.below(25)],
            ),
            11 => Call::invoke(
                tcb,
                I::TcbSetMcPriority,
                &[slot::INIT_THREAD_TCB],
                &[r.below(256)],
            ),
            12..14 => {
                let context = if r.once_in(3) { 0 } else { r.slot(&w.contexts) };
                Call::invoke(
                    tcb,
                    I::TcbSetSchedParams,
                    &[slot::INIT_THREAD_TCB, context, handler],
                    &[255, 45 + r.below(25)],
                )
            }
            14 => Call::invoke(tcb, I::TcbSetTimeoutEndpoint, &[handler], &[]),
            15 => Call::invoke(tcb, I::TcbReadRegisters, &[], &[r.below(2), 36]),
            16 => Call::invoke(tcb, I::TcbWriteRegisters, &[], &registers),
            17 => Call::invoke(tcb, I::TcbCopyRegisters, &[other], &[r.below(16)]),
            18 => Call::invoke(
                tcb,
                I::TcbBindNotification,
                &[r.slot(&w.notifications)],
                &[],
            ),
            19 => Call::invoke(tcb, I::TcbUnbindNotification, &[], &[]),
            24 => Call::invoke(tcb, I::TcbSetTlsBase, &[], &[r.below(1 << 40)]),
            // A capability space in which nearly everything is missing.
            25 => {
                let guard = {
                    let list = [0, 61 << 3 | 0x1000, (r.below(64) << 6) | r.below(8)];
                    r.of(&list)
                };
                Call::invoke(
                    tcb,
                    I::TcbSetSpace,
                    &[handler, r.slot(&w.cnodes), space],
                    &[guard, 0],
                )
            }
            20 => Call::invoke(tcb, I::TcbSetFlags, &[], &[r.below(2), r.below(2)]),
            21 => Call::invoke(tcb, I::TcbSetIpcBuffer, &[frame], &[address]),
            22 => Call::invoke(tcb, I::TcbSetSpace, &[handler, root, space], &[0, 0]),
            _ => Call::invoke(
                tcb,
                I::TcbConfigure,
                &[root, space, frame],
                &[0, 0, address],
            ),
        }
    }

    pub(super) fn fault(&mut self) -> Op {
        let r = &mut self.random;
        match r.below(4) {
            0 => Op::Exception,
            1 => Op::Call(Call {
                number: r.of(&[-40, 0, 17]),
                ..Call::default()
            }),
            _ => Op::MemoryFault {
                address: match r.below(4) {
                    // What is mapped by now, as after a change by another core.
                    0 => buffer_address(r.below(THREADS as u64) as usize),
                    1 => CODE + (r.below(3) << 21) + (r.below(4) << 12),
                    2 => u64::MAX >> r.below(20),
                    _ => 0x7000_0000 + r.below(16),
                },
                access: r.of(&[
                    Access::Read,
                    Access::Write,
                    Access::Fetch,
                    Access::Forbidden,
                ]),
            },
        }
    }
}
