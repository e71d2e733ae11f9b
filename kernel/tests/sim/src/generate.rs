//! What threads do next: random, but of the kind that goes deep. Most operands are of the right kind and most arguments
//! in range, so that calls have effects; some are not.

mod calls;
mod memory;
mod repair;
mod roles;
mod servers;
mod slots;
mod wrong;

use sel4_abi::slot;
use tern_kernel::access::Kernel;
use tern_kernel::cap::Cap;
use tern_kernel::object::{SlotRef, TcbRef, TcbSlot};

use crate::op::Op;
use crate::random::Random;
use crate::world::{THREADS, World};

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
    /// A chain of calls, and threads that take it apart everywhere.
    Breakers,
    /// Everybody makes and destroys objects and address spaces, and makes mistakes.
    Builders,
    /// Clients and servers, mostly left in peace.
    Servers,
}

impl Style {
    fn number(number: u64) -> Self {
        match number % 11 {
            0 | 4 => Self::Wild,
            1 | 5 => Self::Migrations,
            2 | 6 => Self::Chains,
            3 => Self::Breakers,
            7 => Self::Builders,
            _ => Self::Servers,
        }
    }
}

impl Style {
    /// Once in so many times a thread does anything, whatever its part.
    fn strangeness(self) -> u64 {
        match self {
            Self::Servers => 50,
            _ => 3,
        }
    }
}

impl Generator {
    pub fn new(seed: u64) -> Self {
        Self {
            random: Random::new(seed),
            style: Style::number(seed),
        }
    }

    /// Makes them from a list of bytes, of which the first is the style.
    pub fn from_list(bytes: &[u8]) -> Self {
        let (style, rest) = bytes.split_first().unwrap_or((&0, &[]));
        Self {
            random: Random::from_list(rest),
            style: Style::number(u64::from(*style)),
        }
    }

    /// What this thread does next.
    pub fn op(&mut self, world: &World, k: &Kernel<'_>, tcb: TcbRef) -> Op {
        if is_root(k, world, tcb) {
            return self.repair(world, k);
        }
        if let Some(index) = number_of(world, k, tcb)
            && !self.random.once_in(self.style.strangeness())
            && let Some(op) = self.role(world, index, k.num_cores())
        {
            return op;
        }
        self.any_op(world, k.num_cores())
    }

    /// What a thread does that has no part to play.
    pub fn any_op(&mut self, world: &World, cores: usize) -> Op {
        let r = &mut self.random;
        match r.below(100) {
            0..33 => Op::Call(self.message(world)),
            33..36 => Op::Call(self.mistake(world, cores)),
            36..50 => Op::Call(self.context(world, cores)),
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
}

/// What is in a slot of the root task's capability space, if somebody runs who shares it.
fn in_root(k: &Kernel<'_>, world: &World, place: u64) -> Option<Cap> {
    let base = k
        .cores()
        .filter_map(|core| k.core(core).current)
        .find_map(|tcb| root_of(k, world, tcb))?;
    Some(k.get(base.nth(place as usize)).cap())
}

/// The first slot of a thread's capability space, if that is the root task's and not a smaller one.
fn root_of(k: &Kernel<'_>, world: &World, tcb: TcbRef) -> Option<SlotRef> {
    match k.get(tcb.slot(TcbSlot::CSpace)).cap() {
        Cap::CNode { base, radix, .. } if 1 << radix >= world.scratch.end => Some(base),
        _ => None,
    }
}

/// Which of the world's threads this is.
fn number_of(world: &World, k: &Kernel<'_>, tcb: TcbRef) -> Option<usize> {
    let base = root_of(k, world, tcb)?;
    (0..THREADS).find(|&index| {
        let slot = base.nth(world.tcbs.start as usize + index);
        k.get(slot).cap() == Cap::Thread { tcb }
    })
}

/// Whether this is the root task's thread, which nobody else touches.
fn is_root(k: &Kernel<'_>, world: &World, tcb: TcbRef) -> bool {
    root_of(k, world, tcb).is_some_and(|base| {
        k.get(base.nth(slot::INIT_THREAD_TCB as usize)).cap() == Cap::Thread { tcb }
    })
}

fn is_empty(k: &Kernel<'_>, world: &World, place: u64) -> bool {
    in_root(k, world, place) == Some(Cap::Null)
}
