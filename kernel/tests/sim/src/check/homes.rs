//! Homes: whose lock guards an object, and that nobody changes one without it. Rules R1, R7 and R9, and the two tables of
//! `docs/concurrency.md`.
//!
//! What objects were like when locks were released last is kept, so that a section is judged by what it changed.

use tern_kernel::access::Kernel;
use tern_kernel::fault::Fault;
use tern_kernel::object::{
    Context, EndpointRef, NotificationRef, NotificationState, ReplyRef, ScRef, StackLink, TcbRef,
    ThreadState,
};
use tern_kernel::types::CoreId;

use super::locks::Held;
use crate::machine::MAX_CORES;

/// Whose core lock is held, and by whom.
#[derive(Clone, Copy)]
pub struct Section {
    pub by: usize,
    pub held: Held,
    pub cores: usize,
}

/// The objects that are looked at.
#[derive(Default)]
pub struct Objects {
    pub threads: Vec<TcbRef>,
    pub contexts: Vec<ScRef>,
    pub replies: Vec<ReplyRef>,
    pub endpoints: Vec<EndpointRef>,
    pub notifications: Vec<NotificationRef>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Thread {
    state: ThreadState,
    priority: u8,
    flags: u8,
    fault: Fault,
    sc: Option<ScRef>,
    queued: (bool, bool),
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Reply {
    thread: Option<TcbRef>,
    links: (Option<ReplyRef>, StackLink),
    /// The core of the context in whose stack it is.
    stack: Option<CoreId>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Queue {
    state: u64,
    ends: (Option<TcbRef>, Option<TcbRef>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
struct Paying {
    tcb: Option<TcbRef>,
    notification: Option<NotificationRef>,
    reply: Option<ReplyRef>,
    yield_from: Option<TcbRef>,
    consumed: u64,
    head: (u64, u64),
}

/// What objects were like, and their homes.
struct Records<T>(Vec<(usize, (CoreId, T))>);

impl<T> Default for Records<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Copy> Records<T> {
    /// The same object is mostly in the same place.
    fn get(&self, address: usize, place: usize) -> Option<(CoreId, T)> {
        let hit = self.0.get(place).filter(|(other, _)| *other == address);
        let hit = hit.or_else(|| self.0.iter().find(|(other, _)| *other == address));
        hit.map(|(_, record)| *record)
    }
}

/// What only the core itself writes, in whole sections. (It looks at its clock before it has all locks.)
#[derive(Clone, Copy, PartialEq, Eq)]
struct Own {
    current: Option<TcbRef>,
    payer: Option<ScRef>,
    fpu: Option<TcbRef>,
}

#[derive(Default)]
pub struct Homes {
    threads: Records<Thread>,
    replies: Records<Reply>,
    queues: Records<Queue>,
    contexts: Records<Paying>,
    cores: [Option<Own>; MAX_CORES],
    live: [Option<(TcbRef, Context)>; MAX_CORES],
}

/// A queue's first waiter decides its home; it waits as long as it is the one that waited before.
fn waits_in(state: ThreadState) -> Option<usize> {
    match state {
        ThreadState::BlockedOnReceive { endpoint }
        | ThreadState::BlockedOnSend { endpoint, .. } => Some(endpoint.address()),
        ThreadState::BlockedOnNotification { notification } => Some(notification.address()),
        _ => None,
    }
}

fn registers(context: &Context) -> ([u64; 31], [u64; 6]) {
    let c = context;
    let others = [c.sp, c.next_ip, c.spsr, c.tpidr, c.tpidrro, c.fault_ip];
    (c.x, others)
}

impl Homes {
    /// What a core's own steps did to the registers of its live thread.
    pub fn step(&mut self, k: &Kernel<'_>, core: usize) {
        let current = k.core(CoreId(core as u16)).current;
        self.live[core] = current.map(|tcb| (tcb, *k.get(tcb.context())));
    }

    /// Whether a thread or core was changed at all in this section is asked before the new state is kept.
    pub fn check(&mut self, k: &Kernel<'_>, objects: &Objects, at: Section) {
        self.cores(k, at);
        self.queues(k, objects, at);
        self.contexts(k, objects, at);
        self.replies(k, objects, at);
        self.threads(k, objects, at);
    }

    fn cores(&mut self, k: &Kernel<'_>, at: Section) {
        for id in k.cores() {
            let core = k.core(id);
            let own = Own {
                current: core.current,
                payer: core.current_sc,
                fpu: core.fpu_owner,
            };
            assert!(
                own.fpu.is_none() || own.fpu == own.current,
                "vector registers of a thread that is not live on core {}",
                id.0
            );
            if id.index() != at.by {
                let before = self.cores[id.index()];
                assert!(
                    before.is_none_or(|before| before == own),
                    "core {} changed what core {} runs",
                    at.by,
                    id.0
                );
                if let Some((tcb, context)) = &self.live[id.index()]
                    && own.current == Some(*tcb)
                {
                    assert!(
                        registers(context) == registers(k.get(tcb.context())),
                        "core {} wrote registers of {tcb:?}, live on core {}",
                        at.by,
                        id.0
                    );
                }
            }
            self.cores[id.index()] = Some(own);
        }
    }

    fn queues(&mut self, k: &Kernel<'_>, objects: &Objects, at: Section) {
        let endpoints = objects.endpoints.iter().map(|&endpoint| {
            let this = k.get(endpoint);
            (
                endpoint.address(),
                this.home(),
                this.state() as u64,
                this.queue(),
                false,
            )
        });
        let notifications = objects.notifications.iter().map(|&notification| {
            let this = k.get(notification);
            let state = match this.state() {
                NotificationState::Idle => 0,
                NotificationState::Waiting => 1,
                NotificationState::Active(word) => 2 ^ (word << 8),
            };
            (
                notification.address(),
                this.home(),
                state,
                this.queue(),
                true,
            )
        });
        let mut found = Vec::new();
        for (address, home, state, queue, is_notification) in endpoints.chain(notifications) {
            let ends = (queue.head, queue.tail);
            let this = Queue { state, ends };
            if let Some((was, before)) = self.queues.get(address, found.len()) {
                changed(at, "a queue", address, (was, before), (home, this));
                // Who signals moves nothing. (In an endpoint somebody may have queued and gone on in one section.)
                let idle = is_notification && before.ends.0.is_none() && ends.0.is_none();
                assert!(
                    home == was
                        || !idle && !self.stays(k, objects, address) && home.index() == at.by,
                    "the queue at {address:#x} moved from core {} to {}",
                    was.0,
                    home.0
                );
            }
            found.push((address, (home, this)));
        }
        self.queues = Records(found);
    }

    /// Whether a thread has waited here, and still does.
    fn stays(&self, k: &Kernel<'_>, objects: &Objects, address: usize) -> bool {
        let waited = self
            .threads
            .0
            .iter()
            .filter(|(_, (_, before))| waits_in(before.state) == Some(address));
        let mut waited = waited.map(|(tcb, _)| *tcb);
        waited.any(|waited| {
            let mut threads = objects.threads.iter();
            threads
                .any(|tcb| tcb.address() == waited && waits_in(k.get(*tcb).state) == Some(address))
        })
    }

    fn contexts(&mut self, k: &Kernel<'_>, objects: &Objects, at: Section) {
        let mut found = Vec::new();
        for &sc in &objects.contexts {
            let this = k.get(sc);
            let head = k.refills_ref(sc).head();
            let record = Paying {
                tcb: this.tcb,
                notification: this.notification,
                reply: this.reply,
                yield_from: this.yield_from,
                consumed: this.consumed,
                head: (head.time, head.amount),
            };
            if let Some(before) = self.contexts.get(sc.address(), found.len()) {
                changed(
                    at,
                    "a context",
                    sc.address(),
                    before,
                    (k.get(sc.core()).get(), record),
                );
            }
            found.push((sc.address(), (k.get(sc.core()).get(), record)));
        }
        self.contexts = Records(found);
    }

    fn replies(&mut self, k: &Kernel<'_>, objects: &Objects, at: Section) {
        let mut found = Vec::new();
        for &reply in &objects.replies {
            let this = k.get(reply);
            let home = this.home();
            let record = Reply {
                thread: this.tcb(),
                links: (this.below.get(), this.above()),
                stack: stack_core(k, reply),
            };
            if let Some(tcb) = record.thread {
                assert_eq!(
                    home,
                    k.get(tcb.home()).get(),
                    "home of {reply:?} and its thread"
                );
            }
            if let Some((was, before)) = self.replies.get(reply.address(), found.len()) {
                let guards = [before.stack, record.stack];
                let moved = before.links != record.links;
                let guarded = guards.iter().flatten().all(|core| at.held.has(core.0));
                assert!(!moved || guarded, "a stack is changed without its lock");
                if before.thread != record.thread {
                    require(at, "a reply", reply.address(), [was, home]);
                    // R9.
                    let inner = matches!(before.links.1, StackLink::Reply(_));
                    assert!(!inner || at.held.is_all(at.cores), "{reply:?} in a stack");
                }
                if record.thread.is_none() && before.thread.is_none() {
                    assert_eq!(home, was, "an idle reply object moved");
                }
            }
            found.push((reply.address(), (home, record)));
        }
        self.replies = Records(found);
    }

    fn threads(&mut self, k: &Kernel<'_>, objects: &Objects, at: Section) {
        let is_watched = !self.threads.0.is_empty();
        let mut found = Vec::new();
        for &tcb in &objects.threads {
            let this = k.get(tcb);
            let record = Thread {
                state: this.state,
                priority: this.priority,
                flags: this.flags,
                fault: this.fault,
                sc: this.sc,
                queued: (this.in_ready_queue, this.in_release_queue),
            };
            let before = self.threads.get(tcb.address(), found.len());
            if let Some(before) = before {
                changed(
                    at,
                    "a thread",
                    tcb.address(),
                    before,
                    (k.get(tcb.home()).get(), record),
                );
            }
            if is_watched {
                let expected = expected_home(k, tcb, before, at);
                assert_eq!(
                    k.get(tcb.home()).get(),
                    expected,
                    "home of {tcb:?}, {:?}",
                    this.state
                );
            }
            // R7.
            if let ThreadState::BlockedOnReceive { .. } = this.state
                && before.is_none_or(|(_, before)| before.state != this.state)
                && let Some(notification) = this.bound_notification
            {
                let home = k.get(notification).home();
                require(at, "a bound receiver", tcb.address(), [home, home]);
            }
            found.push((tcb.address(), (k.get(tcb.home()).get(), record)));
        }
        self.threads = Records(found);
    }
}

/// The table of homes, for a thread.
fn expected_home(
    k: &Kernel<'_>,
    tcb: TcbRef,
    before: Option<(CoreId, Thread)>,
    at: Section,
) -> CoreId {
    let this = k.get(tcb);
    if let Some(core) = k.cores().find(|&core| k.core(core).current == Some(tcb)) {
        return core;
    }
    if this.in_ready_queue || this.in_release_queue {
        let sc = this.sc.expect("a queued thread has a context");
        return k.get(sc.core()).get();
    }
    match this.state {
        ThreadState::BlockedOnReceive { endpoint }
        | ThreadState::BlockedOnSend { endpoint, .. } => return k.get(endpoint).home(),
        ThreadState::BlockedOnNotification { notification } => return k.get(notification).home(),
        ThreadState::BlockedOnReply { reply } => {
            let waited = before.is_some_and(|(_, before)| before.state == this.state);
            if let Some(core) = stack_core(k, reply)
                && !waited
            {
                return core;
            }
            // It faulted since its context came back exhausted, queued, and was picked up, all in one section, perhaps with
            // the same reply object. Then it stays where that queue is.
            let home = k.get(tcb.home()).get();
            if matches!(this.fault, Fault::Timeout { .. }) && at.held.has(home.0) {
                return home;
            }
        }
        // It may have been queued in between, in the same section.
        _ if before.is_some_and(|(_, before)| before.state != this.state) => {
            return k.get(tcb.home()).get();
        }
        _ => {}
    }
    // A new thread is homed on the core that made it.
    before.map_or(CoreId(at.by as u16), |(home, _)| home)
}

/// The core of the context in whose stack a reply object is.
fn stack_core(k: &Kernel<'_>, reply: ReplyRef) -> Option<CoreId> {
    let mut above = k.get(reply).above();
    for _ in 0..100 {
        match above {
            StackLink::None => return None,
            StackLink::Sc(sc) => return Some(k.get(sc.core()).get()),
            StackLink::Reply(reply) => above = k.get(reply).above(),
        }
    }
    panic!("a stack is a ring");
}

/// What has changed was guarded by a lock that is held, before and afterwards.
fn changed<T: PartialEq>(
    at: Section,
    what: &str,
    address: usize,
    before: (CoreId, T),
    after: (CoreId, T),
) {
    if before != after {
        require(at, what, address, [before.0, after.0]);
    }
}

fn require(at: Section, what: &str, address: usize, homes: [CoreId; 2]) {
    for home in homes {
        assert!(
            at.held.has(home.0),
            "core {} changed {what} at {address:#x} without the lock of its home, core {}",
            at.by,
            home.0
        );
    }
}
