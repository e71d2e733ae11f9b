//! What threads do next: random, but of the kind that goes deep. Most operands are of the right kind and most arguments
//! in range, so that calls have effects; some are not.

use sel4_abi::{CapRights, Invocation as I, MessageInfo, ObjectType, Syscall, slot};
use tern_kernel::access::Kernel;
use tern_kernel::cap::Cap;
use tern_kernel::object::{TcbRef, TcbSlot};

use crate::op::{Call, Op};
use crate::random::Random;
use crate::world::{CNODE_BITS, CODE, DEPTH, SCRATCH, THREADS, World, buffer_address, retype};

/// Makes operations from a seed.
pub struct Generator {
    pub random: Random,
    style: Style,
}

/// What a run is about.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Style {
    /// Everybody does anything.
    Wild,
    /// Clients, servers in chains, and somebody who breaks them.
    Chains,
    /// Everybody works, and is moved from core to core.
    Migrations,
}

impl Generator {
    pub fn new(seed: u64) -> Self {
        let style = match seed % 4 {
            0 => Style::Wild,
            1 => Style::Migrations,
            _ => Style::Chains,
        };
        Self {
            random: Random::new(seed),
            style,
        }
    }

    /// What this thread does next.
    pub fn op(&mut self, world: &World, k: &Kernel<'_>, tcb: TcbRef) -> Op {
        if is_root(k, world, tcb) {
            return self.repair(world, k);
        }
        if let Some(index) = number_of(world, k, tcb)
            && !self.random.once_in(3)
            && let Some(op) = self.role(world, index, k.num_cores())
        {
            return op;
        }
        let r = &mut self.random;
        match r.below(100) {
            0..36 => Op::Call(self.message(world)),
            36..50 => Op::Call(self.context(world, k.num_cores())),
            50..63 => Op::Call(self.thread(world)),
            63..75 => Op::Call(self.slots(world)),
            75..78 => Op::Call(self.memory(world)),
            78..83 => Op::Call(self.mapping(world)),
            83..86 => Op::Call(self.interrupts(world)),
            86..89 => self.fault(),
            89..91 => Op::Fpu(r.below(1000)),
            91 => Op::Call(self.anything(world)),
            _ => Op::Work(r.rand_range(1u32..4000)),
        }
    }

    /// What a thread does most of the time, so that calls meet servers, and chains of calls form and are broken.
    fn role(&mut self, w: &World, index: usize, cores: usize) -> Option<Op> {
        match self.style {
            Style::Wild => None,
            // Clients also work, until their time is up and their timeout handlers are told.
            Style::Chains if index > 2 && index < 5 && self.random.once_in(4) => {
                Some(Op::Work(self.random.rand_range(1000u32..6000)))
            }
            Style::Chains => self.link(w, index, cores).map(Op::Call),
            Style::Migrations => Some(self.traveller(w, index, cores)),
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
        Op::Call(match r.below(8) {
            0 => Call::invoke(context, I::SchedContextUnbind, &[], &[]),
            1 => Call::invoke(
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

    fn message(&mut self, w: &World) -> Call {
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
        let length = if r.once_in(4) {
            r.below(10)
        } else {
            r.below(5)
        };
        let caps = if r.once_in(4) { r.below(4) } else { 0 };
        call.x[1] = MessageInfo::new(r.below(3), 0, caps, length).0;
        for register in &mut call.x[2..6] {
            *register = r.below(100);
        }
        call.words = (4..length).map(|_| r.below(100)).collect();
        call.caps = (0..caps).map(|_| r.slot(&w.slots())).collect();
        if r.once_in(3) {
            call.receive = Some([slot::INIT_THREAD_CNODE, r.slot(&w.scratch), DEPTH]);
        }
        call
    }

    fn context(&mut self, w: &World, cores: usize) -> Call {
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

    fn thread(&mut self, w: &World) -> Call {
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
        let frame = r.slot(&w.frames);
        let address = buffer_address(r.below(THREADS as u64) as usize) + 1024 * r.below(4);
        let registers: Vec<u64> = [r.below(4), r.below(8), CODE + 4 * r.below(64)]
            .into_iter()
            .chain((0..r.below(10)).map(|index| index << 28))
            .collect();
        match r.below(24) {
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

    /// Capabilities copied, moved, revoked and deleted: copies mostly, and now and then the originals.
    fn slots(&mut self, w: &World) -> Call {
        let r = &mut self.random;
        let root = slot::INIT_THREAD_CNODE;
        let from = if r.once_in(4) {
            r.slot(&w.scratch)
        } else {
            r.slot(&w.slots())
        };
        let to = r.slot(&w.scratch);
        let rights = if r.once_in(3) {
            r.below(16)
        } else {
            CapRights::all().bits()
        };
        let small = (r.slot(&w.cnodes), r.below(1 << CNODE_BITS), CNODE_BITS);
        match r.below(25) {
            0..4 => Call::invoke(
                root,
                I::CNodeCopy,
                &[root],
                &[to, DEPTH, from, DEPTH, rights],
            ),
            4..8 => {
                let data = if r.once_in(5) { 0 } else { 1 << r.below(6) };
                Call::invoke(
                    root,
                    I::CNodeMint,
                    &[root],
                    &[to, DEPTH, from, DEPTH, rights, data],
                )
            }
            8..10 => Call::invoke(root, I::CNodeMove, &[root], &[to, DEPTH, from, DEPTH]),
            10 => {
                let data = r.below(1 << 12);
                Call::invoke(
                    root,
                    I::CNodeMutate,
                    &[root],
                    &[to, DEPTH, from, DEPTH, data],
                )
            }
            11 => {
                let pivot = r.slot(&w.scratch);
                let source = r.slot(&w.scratch);
                Call::invoke(
                    root,
                    I::CNodeRotate,
                    &[root, root],
                    &[to, 0, pivot, DEPTH, 0, 0, source, DEPTH],
                )
            }
            // Into small CNodes, by copy and by move.
            12..14 => Call::invoke(
                small.0,
                I::CNodeCopy,
                &[root],
                &[small.1, small.2, from, DEPTH, rights],
            ),
            14..16 => Call::invoke(
                small.0,
                I::CNodeMove,
                &[root],
                &[small.1, small.2, from, DEPTH],
            ),
            16 => Call::invoke(
                root,
                I::CNodeMove,
                &[small.0],
                &[to, DEPTH, small.1, small.2],
            ),
            17 => Call::invoke(
                root,
                I::CNodeCancelBadgedSends,
                &[],
                &[r.slot(&w.badged), DEPTH],
            ),
            18..20 => Call::invoke(root, I::CNodeDelete, &[], &[to, DEPTH]),
            20 => Call::invoke(small.0, I::CNodeDelete, &[], &[small.1, small.2]),
            21 => Call::invoke(root, I::CNodeRevoke, &[], &[from, DEPTH]),
            22 => Call::invoke(root, I::CNodeDelete, &[], &[from, DEPTH]),
            23 => Call::invoke(root, I::CNodeDelete, &[], &[r.slot(&w.badged), DEPTH]),
            _ => Call::invoke(root, I::CNodeRevoke, &[], &[r.slot(&w.untypeds), DEPTH]),
        }
    }

    fn memory(&mut self, w: &World) -> Call {
        let r = &mut self.random;
        let kind = r.of(&[
            (ObjectType::Untyped, 9),
            (ObjectType::Tcb, 0),
            (ObjectType::Endpoint, 0),
            (ObjectType::Notification, 0),
            (ObjectType::CNode, 3),
            (ObjectType::SchedContext, 8),
            (ObjectType::Reply, 0),
            (ObjectType::SmallPage, 0),
            (ObjectType::PageTable, 0),
            (ObjectType::VSpace, 0),
        ]);
        // Many at a time give a revocation something to do.
        let count = match r.below(8) {
            0 => 4 + r.below(SCRATCH as u64 - 4),
            1 => 2,
            _ => 1,
        };
        let from = if r.once_in(6) {
            r.slot(&w.scratch)
        } else {
            r.slot(&w.untypeds)
        };
        retype(from, kind.0, kind.1, r.slot(&w.scratch), count)
    }

    fn mapping(&mut self, w: &World) -> Call {
        let r = &mut self.random;
        let vspace = if r.once_in(3) {
            slot::INIT_THREAD_VSPACE
        } else {
            r.slot(&w.vspaces)
        };
        let address = CODE + (r.below(4) << 30) + (r.below(3) << 21) + (r.below(4) << 12);
        let (frame, table) = (r.slot(&w.frames), r.slot(&w.tables));
        match r.below(15) {
            14 => Call::invoke(
                slot::INIT_THREAD_CNODE,
                I::CNodeDelete,
                &[],
                &[r.slot(&w.vspaces), DEPTH],
            ),
            0..5 => Call::invoke(table, I::PageTableMap, &[vspace], &[address, 3]),
            5 => Call::invoke(table, I::PageTableUnmap, &[], &[]),
            6..9 => Call::invoke(
                frame,
                I::PageMap,
                &[vspace],
                &[address, r.below(4), r.below(8)],
            ),
            9 => Call::invoke(frame, I::PageUnmap, &[], &[]),
            10 => Call::invoke(frame, I::PageCleanData, &[], &[0, 4096]),
            11 => Call::invoke(vspace, I::VSpaceCleanData, &[], &[address, address + 64]),
            12 => Call::invoke(
                slot::INIT_THREAD_ASID_POOL,
                I::AsidPoolAssign,
                &[r.slot(&w.slots())],
                &[],
            ),
            _ => Call::invoke(
                slot::ASID_CONTROL,
                I::AsidControlMakePool,
                &[r.slot(&w.scratch), slot::INIT_THREAD_CNODE],
                &[r.slot(&w.scratch), DEPTH],
            ),
        }
    }

    fn interrupts(&mut self, w: &World) -> Call {
        let r = &mut self.random;
        let handler = r.slot(&w.handlers);
        let root = slot::INIT_THREAD_CNODE;
        match r.below(8) {
            0..3 => Call::invoke(handler, I::IrqSetHandler, &[r.slot(&w.badged)], &[]),
            3..5 => Call::invoke(handler, I::IrqAck, &[], &[]),
            5 => Call::invoke(handler, I::IrqClearHandler, &[], &[]),
            6 => Call::invoke(
                slot::IRQ_CONTROL,
                I::IrqIssueHandlerTriggerCore,
                &[root],
                &[
                    r.below(64),
                    r.below(2),
                    r.slot(&w.scratch),
                    DEPTH,
                    r.below(4),
                ],
            ),
            _ => Call::invoke(slot::DOMAIN, I::DomainSetSet, &[r.slot(&w.tcbs)], &[0]),
        }
    }

    fn fault(&mut self) -> Op {
        let r = &mut self.random;
        match r.below(4) {
            0 => Op::Exception,
            1 => Op::Call(Call {
                number: r.of(&[-40, 0, 17]),
                ..Call::default()
            }),
            _ => Op::MemoryFault {
                address: 0x7000_0000 + r.below(16),
                fetch: r.once_in(3),
            },
        }
    }

    /// Any label on any capability with any words.
    fn anything(&mut self, w: &World) -> Call {
        let r = &mut self.random;
        let caps: Vec<u64> = (0..r.below(4)).map(|_| r.slot(&w.slots())).collect();
        let words: Vec<u64> = (0..r.below(10))
            .map(|_| match r.below(4) {
                0 => r.slot(&w.slots()),
                1 => DEPTH,
                2 => r.below(1 << 13),
                _ => u64::MAX >> r.below(64),
            })
            .collect();
        let number = r.of(&[Syscall::Call, Syscall::Send, Syscall::NBSend]) as i64;
        Call::message(number, r.slot(&w.slots()), r.below(60), &caps, &words)
    }

    /// The root task puts back what is gone and lets threads go on that have nothing to wait for.
    fn repair(&mut self, w: &World, k: &Kernel<'_>) -> Op {
        let chains = self.style == Style::Chains;
        let r = &mut self.random;
        let root = slot::INIT_THREAD_CNODE;
        if chains && r.once_in(4) {
            // Servers run on their callers' time.
            let context = w.contexts.start + r.below(3);
            return Op::Call(Call::invoke(context, I::SchedContextUnbind, &[], &[]));
        }
        let index = r.below(THREADS as u64) as usize;
        let tcb = w.tcbs.start + index as u64;
        let call = match r.below(16) {
            0..4 => {
                let place = r.slot(&w.originals());
                match w.kind_of(place) {
                    Some((kind, bits)) if is_empty(k, place) => w.retype(kind, bits, place, 1),
                    _ if w.vspaces.contains(&place) => Call::invoke(
                        slot::INIT_THREAD_ASID_POOL,
                        I::AsidPoolAssign,
                        &[place],
                        &[],
                    ),
                    _ => Call::invoke(tcb, I::TcbResume, &[], &[]),
                }
            }
            4 => {
                let badged = r.slot(&w.badged);
                let source = if r.once_in(2) {
                    r.slot(&w.endpoints)
                } else {
                    r.slot(&w.notifications)
                };
                let rights = r.of(&[
                    CapRights::all(),
                    CapRights::all(),
                    CapRights::READ_WRITE,
                    CapRights::WRITE | CapRights::GRANT_REPLY,
                    CapRights::READ,
                ]);
                w.mint(badged, source, rights, 1 << (badged - w.badged.start))
            }
            5 => {
                let step = r.below(3) as usize;
                w.equip(index)[step].clone()
            }
            6 if chains && index < 3 => Call::invoke(tcb, I::TcbResume, &[], &[]),
            6 => Call::invoke(r.slot(&w.contexts), I::SchedContextBind, &[tcb], &[]),
            7 => {
                let core = r.below(k.num_cores() as u64) as usize;
                let context = r.slot(&w.contexts);
                w.configure(core, context, [100, 400, 2, context, 0])
            }
            8 => w.start_registers(index),
            9 => Call::invoke(tcb, I::TcbResume, &[], &[]),
            10 => Call::message(Syscall::NBSend as i64, r.slot(&w.endpoints), 0, &[], &[1]),
            11 => Call::message(Syscall::NBSend as i64, r.slot(&w.replies), 0, &[], &[2]),
            12 => Call::invoke(root, I::CNodeDelete, &[], &[r.slot(&w.scratch), DEPTH]),
            _ => Call {
                number: Syscall::Yield as i64,
                ..Call::default()
            },
        };
        Op::Call(call)
    }
}

/// Which of the world's threads this is.
fn number_of(world: &World, k: &Kernel<'_>, tcb: TcbRef) -> Option<usize> {
    let Cap::CNode { base, .. } = k.get(tcb.slot(TcbSlot::CSpace)).cap() else {
        return None;
    };
    (0..THREADS).find(|&index| {
        let slot = base.nth(world.tcbs.start as usize + index);
        k.get(slot).cap() == Cap::Thread { tcb }
    })
}

/// Whether this is the root task's thread, which nobody else touches.
fn is_root(k: &Kernel<'_>, world: &World, tcb: TcbRef) -> bool {
    let Cap::CNode { base, .. } = k.get(tcb.slot(TcbSlot::CSpace)).cap() else {
        return false;
    };
    debug_assert!(world.untyped > 0);
    k.get(base.nth(slot::INIT_THREAD_TCB as usize)).cap() == Cap::Thread { tcb }
}

fn is_empty(k: &Kernel<'_>, place: u64) -> bool {
    k.cores()
        .filter_map(|core| k.core(core).current)
        .find_map(|tcb| match k.get(tcb.slot(TcbSlot::CSpace)).cap() {
            Cap::CNode { base, .. } => Some(base),
            _ => None,
        })
        .is_some_and(|base| k.get(base.nth(place as usize)).is_empty())
}
