//! A gang: hostile threads, the capabilities that they have, and how the test gets them going again.

use alloc::vec::Vec;

use libsel4::abi::ObjectType;
use libsel4::{
    AsidPool, BootInfo, CNode, Cap, CapRights, CapType, Endpoint, IrqHandler, Notification, Reply,
    SchedContext, SlotPath, SmallPage, Tcb, Untyped, VSpace, debug, init,
};

use super::calls::{
    ASID_CONTROL, BUDGETS, CONTROLS, DEVICE, DOMAIN, ENDPOINTS, FRAMES, GUARD, LINES, MEMORY,
    NOTIFICATION, OWN_VSPACE, POOL, RADIX, REPLIES, SGI, SPACE, SPACE_GUARDED, SPARE, TABLES,
    THREADS, VSPACES,
};
use super::jail::Jail;
use super::store::Store;
use crate::random::Random;

/// The priority that none of them can exceed.
const MOST: u8 = 60;

/// What a gang is given beside objects of its own.
pub(super) struct Gifts {
    pub(super) lines: [Cap<IrqHandler>; 2],
    pub(super) sgi: Option<SlotPath>,
    pub(super) device: Cap<SmallPage>,
}

/// A capability that they get, and get again when they have lost it.
struct Gift {
    place: u64,
    from: SlotPath,
    badge: u64,
}

/// Some threads, and everything that they can reach.
pub(super) struct Gang {
    space: Cap<CNode>,
    vspace: Cap<VSpace>,
    pub(super) threads: Vec<Cap<Tcb>>,
    budgets: Vec<Cap<SchedContext>>,
    handler: Cap<Endpoint>,
    gifts: Vec<Gift>,
    /// Their calls when last looked at.
    seen: Vec<u64>,
    /// How often in a row a thread has made none.
    stuck: Vec<u32>,
}

impl Gang {
    /// Capabilities that a store needs for one.
    pub(super) fn slots(jail: &Jail) -> usize {
        jail.slots() + jail.threads() * 2 + 32
    }

    /// Makes one. If `wild`, they can take their own memory and address space away.
    pub(super) fn new(
        boot: &'static BootInfo,
        store: &mut Store,
        jail: &Jail,
        given: &Gifts,
        wild: bool,
    ) -> Self {
        let count = jail.threads();
        let space = store.make(ObjectType::CNode, RADIX);
        let mut gang = Self {
            space,
            vspace: jail.build(store),
            threads: (0..count).map(|_| store.object()).collect(),
            budgets: (0..count)
                .map(|_| store.make(ObjectType::SchedContext, 8))
                .collect(),
            handler: store.object(),
            gifts: Vec::new(),
            seen: alloc::vec![0; count],
            stuck: alloc::vec![0; count],
        };
        gang.collect(boot, store, given);
        if wild {
            gang.give(OWN_VSPACE.0, gang.vspace, 0);
            for thread in 0..3 {
                gang.give(FRAMES.0 + 3 + thread, jail.buffer(thread as usize).0, 0);
            }
        }
        gang.refill();
        // These there are once.
        let node = SlotPath::new(space, 0, 0);
        let mut next = SPARE.0;
        for (object, size, count) in [
            (ObjectType::Endpoint, 0, 2),
            (ObjectType::Notification, 0, 2),
            (ObjectType::Reply, 0, 2),
            (ObjectType::CNode, 3, 4),
            (ObjectType::Tcb, 0, 2),
            (ObjectType::SchedContext, 9, 2),
            (ObjectType::VSpace, 0, 2),
            (ObjectType::PageTable, 0, TABLES.1),
            (ObjectType::SmallPage, 0, if wild { 3 } else { FRAMES.1 }),
        ] {
            store.make_in(node, object, size, next, count);
            next += count;
        }
        gang
    }

    fn give<T: CapType>(&mut self, place: u64, cap: Cap<T>, badge: u64) {
        let from = cap.slot();
        self.gifts.push(Gift { place, from, badge });
    }

    fn collect(&mut self, boot: &'static BootInfo, store: &mut Store, given: &Gifts) {
        let space = self.space;
        self.give(SPACE_GUARDED, space, GUARD);
        self.give(SPACE.0, space, 0);
        let notification: Cap<Notification> = store.object();
        self.give(NOTIFICATION.0, notification, 1);
        let handler = self.handler;
        self.give(ENDPOINTS.0, handler, 0);
        self.give(ENDPOINTS.0 + 1, handler, 0x55);
        for (place, bits) in (MEMORY.0..).zip([18, 14]) {
            let memory: Cap<Untyped> = store.make(ObjectType::Untyped, bits);
            self.give(place, memory, 0);
        }
        for core in 0..CONTROLS.1 {
            let control = boot.sched_control(core as usize % boot.cores());
            self.give(CONTROLS.0 + core, control, 0);
        }
        for thread in 0..self.threads.len() {
            self.give(THREADS.0 + thread as u64, self.threads[thread], 0);
            self.give(BUDGETS.0 + thread as u64, self.budgets[thread], 0);
        }
        self.give(ASID_CONTROL.0, init::ASID_CONTROL, 0);
        self.give(DOMAIN.0, init::DOMAIN_SET, 0);
        for (place, line) in (LINES.0..).zip(given.lines) {
            self.give(place, line, 0);
        }
        let memory: Cap<Untyped> = store.make(ObjectType::Untyped, 12);
        let slot = store.slot();
        init::ASID_CONTROL
            .make_pool(memory, &slot)
            .expect("a pool of identifiers");
        self.give(POOL.0, Cap::<AsidPool>::from_bits(slot.index), 0);
        if let Some(from) = given.sgi {
            let place = SGI.0;
            self.gifts.push(Gift {
                place,
                from,
                badge: 0,
            });
        }
        // In the store, so that no mapping of a copy outlives the gang.
        let device = store.copy(given.device, CapRights::READ_WRITE);
        self.give(DEVICE.0, device, 0);
        for place in 0..REPLIES.1 {
            let reply: Cap<Reply> = store.object();
            self.give(REPLIES.0 + place, reply, 0);
        }
        for place in 0..VSPACES.1 {
            let vspace: Cap<VSpace> = store.object();
            init::ASID_POOL.assign(vspace).expect("an identifier");
            self.give(VSPACES.0 + place, vspace, 0);
        }
    }

    /// Gives them again what they have lost. Where they have put something else, that stays.
    pub(super) fn refill(&self) {
        for gift in &self.gifts {
            let to = SlotPath::new(self.space, gift.place, RADIX);
            let _ = to.mint_from(&gift.from, CapRights::all(), gift.badge);
        }
    }

    /// Gives a thread back what it was made with, as far as that is possible, and a budget on some core.
    fn repair(&self, boot: &'static BootInfo, jail: &Jail, thread: usize, random: &mut Random) {
        let (tcb, budget) = (self.threads[thread], self.budgets[thread]);
        let (frame, buffer) = jail.buffer(thread);
        let control = boot.sched_control(random.below(boot.cores() as u64) as usize);
        let period = [1000, 500, 300, 200][random.below(4) as usize];
        let share = [period, period, period / 2, 100][random.below(4) as usize];
        let handler = (random.below(64) != 0).then_some(self.handler);
        let timeout = (random.below(4) == 0).then_some(self.handler);
        let priority = MOST - random.below(4) as u8;
        // Each of these may be refused in the state that they got themselves into.
        let _ = tcb.configure(self.space, GUARD, self.vspace, buffer, Some(frame));
        let _ = control.configure(budget, share, period, random.below(8), thread as u64);
        let _ = budget.unbind();
        let _ = tcb.set_sched_params(init::TCB, MOST, priority, Some(budget), handler);
        let _ = tcb.set_timeout_endpoint(timeout);
    }

    /// Starts every thread anew that does nothing, and repairs those that this does not help. Returns how many.
    pub(super) fn stir(
        &mut self,
        boot: &'static BootInfo,
        jail: &Jail,
        random: &mut Random,
    ) -> u64 {
        let mut started = 0;
        for thread in 0..self.threads.len() {
            let calls = jail.calls(thread);
            if calls != self.seen[thread] {
                self.stuck[thread] = 0;
                continue;
            }
            self.stuck[thread] += 1;
            if self.stuck[thread] > 1 || random.below(2) == 0 {
                self.repair(boot, jail, thread, random);
            }
            let context = jail.start(thread, random.number());
            self.threads[thread]
                .write_registers(true, &context)
                .expect("to start a thread");
            started += 1;
        }
        started
    }

    /// Sets all threads up and lets them go.
    pub(super) fn begin(&mut self, boot: &'static BootInfo, jail: &Jail, random: &mut Random) {
        for thread in 0..self.threads.len() {
            self.repair(boot, jail, thread, random);
            let context = jail.start(thread, random.number());
            self.threads[thread]
                .write_registers(true, &context)
                .expect("to start a thread");
            self.seen[thread] = jail.calls(thread);
        }
    }

    /// Adds the calls made since this was last asked to those of the cores that the threads belong to.
    pub(super) fn count(&mut self, jail: &Jail, calls: &mut [u64]) {
        for (thread, seen) in self.seen.iter_mut().enumerate() {
            let now = jail.calls(thread);
            let more = now.wrapping_sub(*seen);
            *seen = now;
            let core = debug::thread_affinity(self.threads[thread]).expect("a thread");
            // Another number than a small one was written by somebody else.
            calls[core] += if more < 1 << 24 { more } else { 0 };
        }
    }
}
