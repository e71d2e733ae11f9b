//! A piece of memory, and what is made of it for a while.

use alloc::vec::Vec;

use libsel4::abi::{ObjectType, UserContext};
use libsel4::{
    AsidPool, BootInfo, CNode, Cap, CapRights, CapType, Endpoint, Error, FixedObject, Message,
    Notification, PageTable, Reply, SchedContext, SlotPath, SmallPage, Tcb, Untyped, VSpace,
    VmAttributes, init,
};

use super::code;
use crate::random::Random;

/// Logarithm of its size.
pub(super) const PIECE_BITS: u64 = 16;
/// Capabilities that can be in use for it.
pub(super) const SLOTS: usize = 32;
/// Logarithm of the slots of a CNode that is made in one.
const RADIX: u64 = 4;
/// Below the threads that make all this, so that they spin in spare time only.
const SPINNER: u8 = 50;
/// Above them.
const SERVANT: u8 = 100;
/// Threads that send to an endpoint.
const SENDERS: u64 = 3;
/// Addresses of the small address spaces' frames.
const ADDRESS: u64 = 0x10_0000_0000;

/// What it is now.
enum Use {
    Nothing,
    Server {
        endpoint: Cap<Endpoint>,
        budget: Cap<SchedContext>,
        thread: Cap<Tcb>,
        passive: bool,
    },
    Runner {
        go: Cap<Notification>,
        done: Cap<Notification>,
        budget: Cap<SchedContext>,
    },
    Queue {
        endpoint: Cap<Endpoint>,
        senders: Vec<Sender>,
    },
    Node {
        node: Cap<CNode>,
        notification: Cap<Notification>,
    },
    Space {
        vspace: Cap<VSpace>,
        frames: Vec<Cap<SmallPage>>,
        budget: Cap<SchedContext>,
    },
}

/// A thread that sends for ever.
struct Sender {
    badge: u64,
    badged: Cap<Endpoint>,
    budget: Cap<SchedContext>,
    thread: Cap<Tcb>,
}

/// A piece of memory with slots for what is made in it.
pub(super) struct Piece {
    memory: Cap<Untyped>,
    slots: Vec<SlotPath>,
    used: usize,
    now: Use,
}

impl Piece {
    pub(super) fn new(memory: Cap<Untyped>, slots: Vec<SlotPath>) -> Self {
        Self {
            memory,
            slots,
            used: 0,
            now: Use::Nothing,
        }
    }

    /// One operation: something is made of an empty piece; what a piece is is used, moved to another core, or destroyed.
    pub(super) fn operate(&mut self, boot: &'static BootInfo, random: &mut Random) {
        match (&self.now, random.below(8)) {
            (Use::Nothing, _) => self.create(boot, random),
            (_, 0) => self.destroy(),
            (_, 1 | 2) => self.migrate(boot, random),
            _ => self.use_it(random),
        }
    }

    fn slot(&mut self) -> SlotPath {
        self.used += 1;
        self.slots[self.used - 1]
    }

    fn make<T: CapType>(&mut self, object: ObjectType, size: u64) -> Cap<T> {
        let slot = self.slot();
        self.memory
            .retype_into(object, size, init::CNODE, slot.index)
            .expect("an object");
        Cap::from_bits(slot.index)
    }

    fn object<T: FixedObject>(&mut self) -> Cap<T> {
        self.make(T::OBJECT, 0)
    }

    /// A scheduling context on some core.
    fn budget(&mut self, boot: &'static BootInfo, random: &mut Random) -> Cap<SchedContext> {
        let budget = self.make(ObjectType::SchedContext, 8);
        configure(boot, random, budget);
        budget
    }

    fn thread(
        &mut self,
        vspace: Cap<VSpace>,
        priority: u8,
        budget: Cap<SchedContext>,
        registers: &UserContext,
    ) -> Cap<Tcb> {
        // A thread of another address space loses its memory before it goes itself, and faults then.
        let handler: Cap<Endpoint> = self.object();
        let thread = self.object::<Tcb>();
        thread
            .configure(init::CNODE, 0, vspace, 0, None)
            .expect("to configure a thread");
        thread
            .set_sched_params(init::TCB, 0, priority, Some(budget), Some(handler))
            .expect("to schedule a thread");
        thread
            .write_registers(true, registers)
            .expect("to start a thread");
        thread
    }

    fn create(&mut self, boot: &'static BootInfo, random: &mut Random) {
        self.now = match random.below(6) {
            0 | 1 => self.server(boot, random),
            2 => self.runner(boot, random),
            3 => self.queue(boot, random),
            4 => self.node(),
            _ => self.space(boot, random),
        };
    }

    fn server(&mut self, boot: &'static BootInfo, random: &mut Random) -> Use {
        let (endpoint, reply, ready) = (self.object(), self.object::<Reply>(), self.object());
        let budget = self.budget(boot, random);
        let registers = code::server(endpoint, reply, ready);
        let thread = self.thread(init::VSPACE, SERVANT, budget, &registers);
        ready.wait();
        let passive = random.below(2) == 0;
        if passive {
            budget.unbind().expect("to make it passive");
        }
        Use::Server {
            endpoint,
            budget,
            thread,
            passive,
        }
    }

    fn runner(&mut self, boot: &'static BootInfo, random: &mut Random) -> Use {
        let (go, done) = (self.object(), self.object());
        let budget = self.budget(boot, random);
        let registers = code::runner(go, done, random.number());
        self.thread(init::VSPACE, SERVANT, budget, &registers);
        done.wait();
        Use::Runner { go, done, budget }
    }

    /// An endpoint at which threads wait that send with different badges.
    fn queue(&mut self, boot: &'static BootInfo, random: &mut Random) -> Use {
        let endpoint: Cap<Endpoint> = self.object();
        let senders = (1..=SENDERS).map(|badge| {
            let slot = self.slot();
            slot.mint_from(&endpoint.slot(), CapRights::all(), badge)
                .expect("a badge");
            let badged = Cap::from_bits(slot.index);
            let budget = self.budget(boot, random);
            let thread = self.thread(init::VSPACE, SERVANT, budget, &code::sender(badged));
            Sender {
                badge,
                badged,
                budget,
                thread,
            }
        });
        let senders = senders.collect();
        Use::Queue { endpoint, senders }
    }

    fn node(&mut self) -> Use {
        let node = self.make(ObjectType::CNode, RADIX);
        let notification: Cap<Notification> = self.object();
        // It has itself, so that its deletion takes two steps.
        SlotPath::new(node, 0, RADIX)
            .copy_from(&node.slot(), CapRights::all())
            .expect("a copy");
        Use::Node { node, notification }
    }

    /// An address space with a thread that spins in it, and frames; its identifier is from a pool of its own, or not.
    fn space(&mut self, boot: &'static BootInfo, random: &mut Random) -> Use {
        let vspace: Cap<VSpace> = self.object();
        if random.below(2) == 0 {
            init::ASID_POOL.assign(vspace).expect("an identifier");
        } else {
            let memory = self.make(ObjectType::Untyped, 12);
            let slot = self.slot();
            init::ASID_CONTROL
                .make_pool(memory, &slot)
                .expect("a pool of identifiers");
            let pool: Cap<AsidPool> = Cap::from_bits(slot.index);
            pool.assign(vspace).expect("an identifier");
        }
        let registers = code::spinner();
        let page = registers.pc / 4096 * 4096;
        let frame = boot.user_image_frame(page as usize).expect("the code");
        let slot = self.slot();
        slot.copy_from(&frame.slot(), CapRights::READ)
            .expect("a copy");
        self.map(vspace, Cap::from_bits(slot.index), page, CapRights::READ);
        let frames: Vec<Cap<SmallPage>> = (0..3).map(|_| self.object()).collect();
        for (&frame, address) in frames.iter().zip((ADDRESS..).step_by(4096)) {
            self.map(vspace, frame, address, CapRights::READ_WRITE);
        }
        let budget = self.make(ObjectType::SchedContext, 8);
        configure_spare(boot, random, budget);
        self.thread(vspace, SPINNER, budget, &registers);
        Use::Space {
            vspace,
            frames,
            budget,
        }
    }

    /// Maps a page, with the tables that are missing.
    fn map(&mut self, vspace: Cap<VSpace>, frame: Cap<SmallPage>, address: u64, rights: CapRights) {
        let attributes = VmAttributes::default();
        loop {
            match frame.map(vspace, address, rights, attributes) {
                Ok(()) => return,
                Err(Error::FailedLookup { .. }) => {
                    let table = self.object::<PageTable>();
                    table.map(vspace, address, attributes).expect("a table");
                }
                Err(error) => panic!("to map a page: {error:?}"),
            }
        }
    }

    /// Puts what runs in it on some core, or on the same one with another budget.
    fn migrate(&mut self, boot: &'static BootInfo, random: &mut Random) {
        match &self.now {
            Use::Server { budget, .. } | Use::Runner { budget, .. } => {
                configure(boot, random, *budget);
            }
            Use::Space { budget, .. } => configure_spare(boot, random, *budget),
            Use::Queue { senders, .. } => {
                let sender = random.below(senders.len() as u64) as usize;
                configure(boot, random, senders[sender].budget);
            }
            Use::Nothing | Use::Node { .. } => (),
        }
    }

    fn use_it(&mut self, random: &mut Random) {
        match &mut self.now {
            Use::Nothing => (),
            Use::Server {
                endpoint,
                budget,
                thread,
                passive,
            } => {
                if random.below(8) == 0 {
                    // It waits for a message now, so it can lose its budget, or be given one that is not used up.
                    let changed = match *passive {
                        true => budget.bind(*thread),
                        false => budget.unbind(),
                    };
                    match changed {
                        Ok(()) => *passive = !*passive,
                        Err(Error::IllegalOperation) if *passive => (),
                        Err(error) => panic!("to make it active or passive: {error:?}"),
                    }
                }
                let word = random.below(1 << 32);
                let answer = endpoint.call(Message::new(3).words(&[word]));
                assert_eq!((answer.label(), answer.get(0)), (3, word + 1), "the answer");
            }
            Use::Runner { go, done, .. } => {
                go.signal();
                done.wait();
            }
            Use::Queue { endpoint, senders } => use_queue(*endpoint, senders, random),
            Use::Node { node, notification } => use_node(*node, *notification, random),
            Use::Space { vspace, frames, .. } => {
                let frame = random.pick(frames);
                // Within the table that is there.
                let address = ADDRESS + (random.below(512) << 12);
                frame.unmap().expect("to unmap");
                let rights = [CapRights::READ, CapRights::READ_WRITE][random.below(2) as usize];
                match frame.map(*vspace, address, rights, VmAttributes::default()) {
                    Ok(()) | Err(Error::DeleteFirst) => (),
                    Err(error) => panic!("to map again: {error:?}"),
                }
            }
        }
    }

    /// Revokes everything, and makes sure that the memory is all there.
    pub(super) fn destroy(&mut self) {
        self.now = Use::Nothing;
        self.memory.slot().revoke().expect("to revoke");
        for slot in &self.slots[..self.used] {
            slot.delete().expect("to empty a slot");
        }
        self.used = 0;
        let node = SlotPath::new(init::CNODE, 0, 0);
        let first = self.slots[0].index;
        let both = self
            .memory
            .retype(ObjectType::Untyped, PIECE_BITS, node, first, 2);
        let available = 1 << PIECE_BITS;
        assert_eq!(both, Err(Error::NotEnoughMemory { available }));
    }
}

/// Some core, some budget.
fn configure(boot: &'static BootInfo, random: &mut Random, budget: Cap<SchedContext>) {
    let control = boot.sched_control(random.below(boot.cores() as u64) as usize);
    let period = 500 + random.below(5) * 100;
    let share = [period, 300, 200][random.below(3) as usize];
    control
        .configure(budget, share, period, random.below(4), 1)
        .expect("a budget");
}

/// Some core, and little of it: what spins should leave time for the others.
fn configure_spare(boot: &'static BootInfo, random: &mut Random, budget: Cap<SchedContext>) {
    let control = boot.sched_control(random.below(boot.cores() as u64) as usize);
    control
        .configure(budget, 100, 2_000, 0, 2)
        .expect("a budget");
}

/// Takes a message of one of the senders, or sends those away that have a certain badge, who come again, or destroys one
/// for good, in the queue or on its way to it.
fn use_queue(endpoint: Cap<Endpoint>, senders: &mut Vec<Sender>, random: &mut Random) {
    let some = random.below(senders.len() as u64) as usize;
    match random.below(8) {
        0 if senders.len() > 1 => {
            let gone = senders.swap_remove(some);
            gone.thread.slot().delete().expect("to destroy a sender");
        }
        0..=3 => {
            let cancelled = senders[some].badged.slot().cancel_badged_sends();
            cancelled.expect("to cancel");
        }
        _ => {
            let badge = endpoint.wait().badge;
            let known = senders.iter().any(|sender| sender.badge == badge);
            assert!(known, "a message of {badge}, who is gone");
        }
    }
}

/// Something of what can be done with slots.
fn use_node(node: Cap<CNode>, notification: Cap<Notification>, random: &mut Random) {
    let place = |random: &mut Random| SlotPath::new(node, 1 + random.below(15), RADIX);
    let (a, b, c) = (place(random), place(random), place(random));
    // Refused where something is, or nothing.
    let _ = match random.below(8) {
        0 | 1 => a.mint_from(&notification.slot(), CapRights::all(), 5),
        2 => a.copy_from(&b, CapRights::all()),
        3 => a.move_from(&b),
        4 => node.rotate(a.index, a.depth, 0, &b, 0, &c),
        5 => a.delete(),
        6 => a.revoke(),
        _ => a.copy_from(&node.slot(), CapRights::all()),
    };
}
