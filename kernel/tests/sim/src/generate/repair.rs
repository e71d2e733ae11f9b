//! The root task, which nobody else touches: it puts back what is gone and lets threads go on that have nothing to wait
//! for.

use sel4_abi::{CapRights, Invocation as I, Syscall, slot};
use tern_kernel::access::Kernel;
use tern_kernel::cap::Cap;
use tern_kernel::object::{Progress, TcbSlot, ThreadState};

use super::servers::PASSIVE;
use super::{Generator, Style, in_root, is_empty};
use crate::op::{Call, Op};
use crate::world::{CODE, DEPTH, THREADS, World};

impl Generator {
    /// The root task puts back what is gone and lets threads go on that have nothing to wait for.
    pub(super) fn repair(&mut self, w: &World, k: &Kernel<'_>) -> Op {
        if self.style == Style::Servers && !self.random.once_in(8) {
            // It only does what is needed, and now and then sees to it that nobody waits for ever.
            let call = (0..THREADS).find_map(|index| self.mend(w, k, index));
            return Op::Call(call.unwrap_or_else(|| self.stir(w, k)));
        }
        let passive = self.passive_servers();
        let chains = passive > 0;
        let r = &mut self.random;
        let root = slot::INIT_THREAD_CNODE;
        if chains && r.once_in(4) {
            // Servers run on their callers' time.
            let context = w.contexts.start + r.below(passive as u64);
            return Op::Call(Call::invoke(context, I::SchedContextUnbind, &[], &[]));
        }
        let index = r.below(THREADS as u64) as usize;
        let tcb = w.tcbs.start + index as u64;
        if r.once_in(3)
            && let Some(call) = self.mend(w, k, index)
        {
            return Op::Call(call);
        }
        let r = &mut self.random;
        let call = match r.below(16) {
            0..4 => {
                let place = r.slot(&w.originals());
                match w.kind_of(place) {
                    Some((kind, bits)) if is_empty(k, w, place) => w.retype(kind, bits, place, 1),
                    _ if w.vspaces.contains(&place) => {
                        let pool = if r.once_in(2) {
                            slot::INIT_THREAD_ASID_POOL
                        } else {
                            r.slot(&w.pools)
                        };
                        Call::invoke(pool, I::AsidPoolAssign, &[place], &[])
                    }
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
            6 if index < passive => Call::invoke(tcb, I::TcbResume, &[], &[]),
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
            _ => pause(),
        };
        Op::Call(call)
    }

    /// Lets somebody leave a call half-way, signals, lets somebody go on who waits, or does nothing for a period.
    fn stir(&mut self, w: &World, k: &Kernel<'_>) -> Call {
        let is_half_way = |&index: &usize| match in_root(k, w, w.tcbs.start + index as u64) {
            Some(Cap::Thread { tcb }) => k.get(tcb).progress != Progress::None,
            _ => false,
        };
        if let Some(index) = (0..THREADS).find(is_half_way) {
            return self.elsewhere(w, index);
        }
        let notification = self.random.slot(&w.notifications);
        let index = self.random.below(THREADS as u64) as usize;
        let handler = self.random.slot(&w.handlers);
        match self.random.below(6) {
            0 => Call::message(Syscall::NBSend as i64, notification, 0, &[], &[]),
            4 => Call::invoke(handler, I::IrqSetHandler, &[notification], &[]),
            5 => Call::invoke(handler, I::IrqAck, &[], &[]),
            1 => match in_root(k, w, w.tcbs.start + index as u64) {
                Some(Cap::Thread { tcb })
                    if !k.get(tcb).is_runnable()
                        && !matches!(k.get(tcb).state, ThreadState::BlockedOnReceive { .. }) =>
                {
                    self.elsewhere(w, index)
                }
                _ => pause(),
            },
            _ => pause(),
        }
    }

    /// The thread goes on, and not where it stopped: what it did there may be its end again.
    fn elsewhere(&mut self, w: &World, index: usize) -> Call {
        let place = CODE + 0x1000 * (index as u64 + 1) + 4 * self.random.below(64);
        let tcb = w.tcbs.start + index as u64;
        Call::invoke(tcb, I::TcbWriteRegisters, &[], &[1, 1, place])
    }

    /// How many threads, the first ones, are to have no time of their own.
    fn passive_servers(&self) -> usize {
        match self.style {
            Style::Chains | Style::Breakers => 3,
            Style::Servers => PASSIVE as usize,
            _ => 0,
        }
    }

    /// What a thread needs next to be at work again, if it needs anything.
    fn mend(&mut self, w: &World, k: &Kernel<'_>, index: usize) -> Option<Call> {
        let place = w.tcbs.start + index as u64;
        let Some(Cap::Thread { tcb }) = in_root(k, w, place) else {
            let (kind, bits) = w.kind_of(place)?;
            return is_empty(k, w, place).then(|| w.retype(kind, bits, place, 1));
        };
        if k.get(tcb.slot(TcbSlot::CSpace)).is_empty() {
            return Some(w.equip(index)[0].clone());
        }
        let this = k.get(tcb);
        if this.state == ThreadState::Inactive && self.style == Style::Servers {
            return Some(self.elsewhere(w, index));
        }
        if this.state == ThreadState::Inactive {
            return Some(match k.get(tcb.context()).next_ip {
                0 => w.start_registers(index),
                _ => Call::invoke(place, I::TcbResume, &[], &[]),
            });
        }
        let context = w.contexts.start + index as u64;
        if index < self.passive_servers() {
            // Servers run on their callers' time, as soon as they wait for one.
            let waits = matches!(this.state, ThreadState::BlockedOnReceive { .. });
            if waits && let Some(sc) = this.sc {
                let is_it = |&place: &u64| matches!(in_root(k, w, place), Some(Cap::SchedContext { sc: other, .. }) if other == sc);
                let context = w.contexts.clone().find(is_it).unwrap_or(context);
                return Some(Call::invoke(context, I::SchedContextUnbind, &[], &[]));
            }
            if waits || !matches!(this.state, ThreadState::Running | ThreadState::Restart) {
                return None;
            }
        }
        if this.sc.is_some() {
            return None;
        }
        Some(match in_root(k, w, context)? {
            Cap::SchedContext { sc, .. } if !k.get(sc).is_active() => {
                let core = self.random.below(k.num_cores() as u64) as usize;
                w.configure(core, context, [100, 400, 2, index as u64, 0])
            }
            // Lent to somebody.
            Cap::SchedContext { sc, .. } if k.get(sc).tcb.is_some() => return None,
            Cap::SchedContext { .. } => Call::invoke(context, I::SchedContextBind, &[place], &[]),
            _ => {
                let (kind, bits) = w.kind_of(context)?;
                w.retype(kind, bits, context, 1)
            }
        })
    }
}

fn pause() -> Call {
    Call {
        number: Syscall::Yield as i64,
        ..Call::default()
    }
}
