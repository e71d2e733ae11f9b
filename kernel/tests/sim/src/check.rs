//! What has to hold whenever a core releases its locks: the rules of `docs/concurrency.md`, and what the kernel's structures mean.
//!
//! Threads, queues and contexts are looked at whenever a core is about to release its locks; the derivation tree and
//! memory less often, since they are larger ([`tree`]).

pub mod homes;
pub mod locks;
pub mod time;
pub(crate) mod tree;

use std::collections::HashMap;

use tern_kernel::access::Kernel;
use tern_kernel::arch::to_physical;
use tern_kernel::cap::Cap;
use tern_kernel::object::{
    EndpointRef, EndpointState, NotificationRef, NotificationState, ObjRef, Progress, ReplyRef,
    ScRef, SlotRef, StackLink, TcbRef, ThreadState,
};
use tern_kernel::sched;
use tern_kernel::types::CoreId;
use tern_kernel::vspace;

use crate::machine::{MAX_CORES, Machine, Stop};

/// Checks of the tree come after so many of the other ones.
const TREE_EVERY: u32 = 32;

/// What checks remember from one step to the next.
#[derive(Default)]
pub struct Checker {
    countdown: u32,
    /// For each core, whether something was wanted of it when locks were released last.
    was_asked: [bool; MAX_CORES],
    /// For each core, how many steps ago it went on in the kernel.
    waits: [u32; MAX_CORES],
    pub clocks: time::Clocks,
    pub locks: locks::Locks,
    homes: homes::Homes,
    /// Where the objects are that are looked at even if no thread has to do with them.
    pub slots: Vec<SlotRef>,
}

/// Where a thread has been found.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Place {
    Running(CoreId),
    Ready(CoreId),
    Release(CoreId),
    Waiting,
}

/// A core that is inside the kernel gets on within so many steps, if it can be helped.
const PATIENCE: u32 = 5000;

impl Checker {
    /// The next check looks at the tree too.
    pub fn thoroughly(&mut self) {
        self.countdown = 0;
    }

    /// Notes that a step was taken, by this core if by any.
    pub fn step(&mut self, k: &Kernel<'_>, machine: &Machine, moved: Option<usize>) {
        nobody_oversleeps(k, machine);
        if let Some(core) = moved {
            self.locks.step(machine, core);
            self.homes.step(k, core);
        }
        for core in 0..machine.num_cores() {
            let inside = !matches!(machine.stop(core), Stop::User | Stop::Interrupt);
            if !inside || moved == Some(core) {
                self.waits[core] = 0;
                continue;
            }
            self.waits[core] += 1;
            assert!(
                self.waits[core] < PATIENCE,
                "core {core} waits for ever: {:?}",
                machine.stop(core)
            );
        }
    }
}

/// Panics, with words, unless everything is as it has to be.
pub fn state(mut k: Kernel<'static>, machine: &Machine, checker: &mut Checker, by: usize) {
    let mut places = HashMap::new();
    for core in k.cores().collect::<Vec<_>>() {
        queues(&mut k, core, &mut places);
    }
    let threads: Vec<TcbRef> = tern_kernel::debug::threads(&k).collect();
    for &tcb in &threads {
        thread(&k, tcb, &mut places);
    }
    assert!(
        places
            .keys()
            .all(|place| threads.iter().any(|tcb| tcb.address() == *place)),
        "a thread that is gone is in a queue"
    );
    for core in k.cores() {
        // Whatever a core does, what its memory accesses are translated by is not somebody else's memory by now.
        if let Some((root, asid)) = machine.root(core.index()).parts() {
            let owner = vspace::find_root(&k, asid).map(|table| to_physical(table.address()));
            assert_eq!(
                owner,
                Some(root),
                "core {} uses a freed address space",
                core.0
            );
        }
        let was_asked = &mut checker.was_asked[core.index()];
        *was_asked = core_rests(&k, machine, core, by, *was_asked);
    }
    let objects = objects(&k, checker, threads);
    checker.clocks.check(&k, machine, &objects.contexts, by);
    let section = homes::Section {
        by,
        held: checker.locks.held(by),
        cores: machine.num_cores(),
    };
    checker.homes.check(&k, &objects, section);
    if checker.countdown == 0 {
        checker.countdown = TREE_EVERY;
        tree::check(&k, &objects.threads);
    }
    checker.countdown -= 1;
}

/// All objects that threads have to do with, or that stand where they belong.
fn objects(k: &Kernel<'_>, checker: &Checker, threads: Vec<TcbRef>) -> homes::Objects {
    let mut found = homes::Objects::default();
    for &tcb in &threads {
        let this = k.get(tcb);
        found.contexts.extend(this.sc);
        found.replies.extend(this.reply);
        found.notifications.extend(this.bound_notification);
        match this.state {
            ThreadState::BlockedOnReceive { endpoint }
            | ThreadState::BlockedOnSend { endpoint, .. } => found.endpoints.push(endpoint),
            ThreadState::BlockedOnReply { reply } => found.replies.push(reply),
            ThreadState::BlockedOnNotification { notification } => {
                found.notifications.push(notification);
            }
            _ => {}
        }
    }
    for &slot in &checker.slots {
        match k.get(slot).cap() {
            Cap::SchedContext { sc, .. } => found.contexts.push(sc),
            Cap::Reply { reply, .. } => found.replies.push(reply),
            Cap::Endpoint { endpoint, .. } => found.endpoints.push(endpoint),
            Cap::Notification { notification, .. } => found.notifications.push(notification),
            _ => {}
        }
    }
    found.threads = threads;
    unique(&mut found.contexts);
    unique(&mut found.replies);
    unique(&mut found.endpoints);
    unique(&mut found.notifications);
    found
}

fn unique<T>(objects: &mut Vec<ObjRef<T>>) {
    objects.sort_unstable_by_key(|object| object.address());
    objects.dedup();
}

fn put(places: &mut HashMap<usize, Place>, tcb: TcbRef, place: Place) {
    if let Some(other) = places.insert(tcb.address(), place) {
        panic!("thread {tcb:?} is in two places: {other:?} and {place:?}");
    }
}

/// The ready and the release queue of a core, and who runs there.
fn queues(k: &mut Kernel<'_>, core: CoreId, places: &mut HashMap<usize, Place>) {
    let (queues, threads) = k.core_and_threads(core);
    let ready: Vec<(u8, TcbRef)> = queues.ready.iter(&threads).collect();
    let release: Vec<TcbRef> = queues.release.iter(&threads).collect();
    let current = queues.current;
    if let Some(tcb) = current {
        put(places, tcb, Place::Running(core));
    }
    for (priority, tcb) in ready {
        put(places, tcb, Place::Ready(core));
        let thread = k.get(tcb);
        assert!(thread.in_ready_queue && !thread.in_release_queue);
        assert_eq!(thread.priority, priority, "priority of ready {tcb:?}");
        assert_eq!(k.get(tcb.home()).get(), core, "home of ready {tcb:?}");
        assert!(sched::is_schedulable(k, tcb), "ready {tcb:?} cannot run");
        assert_eq!(
            k.get(context(k, tcb).core()).get(),
            core,
            "core of ready {tcb:?}"
        );
    }
    let mut before = 0;
    for tcb in release {
        put(places, tcb, Place::Release(core));
        let thread = k.get(tcb);
        assert!(thread.in_release_queue && !thread.in_ready_queue);
        assert!(thread.is_runnable(), "{tcb:?} waits for a refill");
        let sc = context(k, tcb);
        assert!(k.get(sc).is_active());
        assert_eq!(k.get(sc.core()).get(), core, "core of postponed {tcb:?}");
        let due = k.refills_ref(sc).head().time;
        assert!(due >= before, "the release queue is in order");
        before = due;
    }
}

fn context(k: &Kernel<'_>, tcb: TcbRef) -> ScRef {
    k.get(tcb)
        .sc
        .unwrap_or_else(|| panic!("queued {tcb:?} has no scheduling context"))
}

/// One thread: its state, where it is, and its links to everything else.
fn thread(k: &Kernel<'_>, tcb: TcbRef, places: &mut HashMap<usize, Place>) {
    let this = k.get(tcb);
    match this.state {
        ThreadState::Inactive => {}
        ThreadState::Running | ThreadState::Restart => {
            let found = places.get(&tcb.address());
            if sched::is_schedulable(k, tcb) {
                assert!(
                    matches!(found, Some(Place::Running(_) | Place::Ready(_))),
                    "schedulable {tcb:?} is in no queue: lost"
                );
            }
            if let Some(Place::Running(core)) = found {
                let pending = k.core(*core).pending;
                assert!(
                    pending || sched::is_schedulable(k, tcb),
                    "{tcb:?} runs and cannot"
                );
            }
        }
        ThreadState::BlockedOnReceive { endpoint } => {
            assert_eq!(k.get(endpoint).state(), EndpointState::Receiving);
            waits_in_endpoint(k, tcb, endpoint);
            if let Some(reply) = this.reply {
                assert_eq!(k.get(reply).tcb(), Some(tcb), "the receiver's reply object");
                assert_eq!(k.get(reply).above(), StackLink::None);
            }
            put(places, tcb, Place::Waiting);
        }
        ThreadState::BlockedOnSend { endpoint, .. } => {
            assert_eq!(k.get(endpoint).state(), EndpointState::Sending);
            waits_in_endpoint(k, tcb, endpoint);
            put(places, tcb, Place::Waiting);
        }
        ThreadState::BlockedOnReply { reply } => {
            assert_eq!(k.get(reply).tcb(), Some(tcb), "the caller's reply object");
            stack_place(k, reply);
            put(places, tcb, Place::Waiting);
        }
        ThreadState::BlockedOnNotification { notification } => {
            waits_in_notification(k, tcb, notification);
            put(places, tcb, Place::Waiting);
        }
    }
    if this.in_ready_queue || this.in_release_queue {
        assert!(
            places.contains_key(&tcb.address()),
            "{tcb:?} is marked as queued"
        );
    }
    if let Some(sc) = this.sc {
        assert_eq!(
            k.get(sc).tcb,
            Some(tcb),
            "thread and context belong together"
        );
        assert_eq!(k.get(sc.core()).get(), this.affinity, "affinity of {tcb:?}");
        scheduling_context(k, sc);
    }
    if matches!(
        this.state,
        ThreadState::BlockedOnReceive { .. } | ThreadState::BlockedOnNotification { .. }
    ) {
        assert!(
            this.progress == Progress::None,
            "{tcb:?} waits, and its last call is not over"
        );
    }
    if let Some(sc) = this.yield_to {
        assert_eq!(k.get(sc).yield_from, Some(tcb));
        assert!(this.is_runnable(), "{tcb:?} waits and has yielded");
        let own = this.sc.expect("who yields has a context");
        assert_eq!(
            k.get(own.core()).get(),
            k.get(sc.core()).get(),
            "both ends of a YieldTo"
        );
    }
    if let Some(notification) = this.bound_notification {
        assert_eq!(k.get(notification).bound_tcb.get(), Some(tcb));
    }
}

fn scheduling_context(k: &Kernel<'_>, sc: ScRef) {
    let this = k.get(sc);
    assert!(
        k.refills_ref(sc).is_well_formed(&k.machine().limits),
        "refills of {sc:?}: {:?}",
        k.refills_ref(sc).iter().collect::<Vec<_>>()
    );
    if let Some(tcb) = this.yield_from {
        assert_eq!(k.get(tcb).yield_to, Some(sc));
    }
    if let Some(notification) = this.notification {
        assert_eq!(k.get(notification).sc.get(), Some(sc));
    }
    let mut link = StackLink::Sc(sc);
    let mut next = this.reply;
    let mut length = 0;
    while let Some(reply) = next {
        assert_eq!(k.get(reply).above(), link, "the call stack of {sc:?}");
        let caller = k.get(reply).tcb().expect("a linked reply has a caller");
        assert_eq!(k.get(caller).state, ThreadState::BlockedOnReply { reply });
        link = StackLink::Reply(reply);
        next = k.get(reply).below.get();
        length += 1;
        assert!(length < 100, "the call stack of {sc:?} is a ring");
    }
}

/// A reply on which a caller waits is linked from both sides.
fn stack_place(k: &Kernel<'_>, reply: ReplyRef) {
    match k.get(reply).above() {
        StackLink::None => {}
        StackLink::Sc(sc) => assert_eq!(k.get(sc).reply, Some(reply), "head of a stack"),
        StackLink::Reply(above) => {
            assert_eq!(k.get(above).below.get(), Some(reply), "a stack's link")
        }
    }
    if let Some(below) = k.get(reply).below.get() {
        assert_eq!(k.get(below).above(), StackLink::Reply(reply));
    }
}

fn waits_in_endpoint(k: &Kernel<'_>, tcb: TcbRef, endpoint: EndpointRef) {
    assert_eq!(
        k.get(tcb.home()).get(),
        k.get(endpoint).home(),
        "home of a waiter"
    );
    wait_queue(k, tcb, k.get(endpoint).queue());
}

fn waits_in_notification(k: &Kernel<'_>, tcb: TcbRef, notification: NotificationRef) {
    assert_eq!(k.get(notification).state(), NotificationState::Waiting);
    assert_eq!(
        k.get(tcb.home()).get(),
        k.get(notification).home(),
        "home of a waiter"
    );
    wait_queue(k, tcb, k.get(notification).queue());
}

/// The thread is in the queue, which is sorted and linked in both directions, over threads and over priorities.
fn wait_queue(k: &Kernel<'_>, tcb: TcbRef, queue: tern_kernel::ipc::WaitQueue) {
    let mut found = false;
    let mut prev: Option<TcbRef> = None;
    let mut leader: Option<TcbRef> = None;
    let mut next = queue.head;
    let mut length = 0;
    while let Some(this) = next {
        let (links, priority) = (k.get(this).links, k.get(this).priority);
        assert_eq!(links.prev, prev, "a wait queue's link back");
        let before = prev.map(|prev| k.get(prev).priority);
        assert!(before.is_none_or(|before| before >= priority), "unsorted");
        if before != Some(priority) {
            assert_eq!(
                links.up, leader,
                "a wait queue's link to the priority above"
            );
            if let Some(leader) = leader {
                assert_eq!(k.get(leader).links.down, Some(this));
            }
            leader = Some(this);
        }
        found |= this == tcb;
        prev = next;
        next = links.next;
        length += 1;
        assert!(length < 1000, "a wait queue is a ring");
    }
    assert_eq!(queue.tail, prev, "a wait queue's tail");
    if let Some(leader) = leader {
        assert_eq!(k.get(leader).links.down, None);
    }
    assert!(found, "{tcb:?} waits, and is in no queue");
}

/// Whose turn it is to stop others must hear of it: nobody sleeps through it while no one else is at work in the kernel.
fn nobody_oversleeps(k: &Kernel<'_>, machine: &Machine) {
    let asleep = |core: usize| machine.stop(core) == Stop::Event && !machine.can_go(core);
    let outside = |core: usize| matches!(machine.stop(core), Stop::User | Stop::Interrupt);
    let held = k.cores().any(|core| {
        k.flags(core)
            .hold
            .load(std::sync::atomic::Ordering::Relaxed)
    });
    let cores = 0..machine.num_cores();
    if machine.system().is_stopping()
        && !held
        && cores.clone().all(|core| asleep(core) || outside(core))
    {
        assert!(!cores.clone().any(asleep), "a core sleeps through its turn");
    }
}

/// Rule R6: a core that left the kernel runs what it should, or is going to look. Tells whether it is asked to, and has
/// been rung or will be.
fn core_rests(k: &Kernel<'_>, machine: &Machine, id: CoreId, by: usize, was_asked: bool) -> bool {
    let core = k.core(id);
    let flags = k.flags(id);
    use std::sync::atomic::Ordering::Relaxed;
    let index = id.index();
    // A core that publishes with its mark cleared is about to leave.
    let outside = matches!(
        machine.stop(index),
        Stop::User | Stop::Interrupt | Stop::Publish
    );
    if !outside || flags.will_look.load(Relaxed) {
        return false;
    }
    assert!(
        !flags.parked.load(Relaxed),
        "core {index} is parked and out"
    );
    let asked = core.pending || flags.hold.load(Relaxed);
    if asked {
        // Whoever asked rings after it has released its locks: whoever releases them now, if that is new.
        let somebody_inside = (0..machine.num_cores()).any(|other| {
            let rings = match machine.stop(other) {
                Stop::Point | Stop::Sent => true,
                // It has released nothing yet.
                Stop::Publish => other != by || !was_asked,
                _ => false,
            };
            other != index && rings
        });
        assert!(
            machine.is_rung(index) || somebody_inside,
            "core {index} is wanted, and nobody rang it"
        );
        return true;
    }
    let best = core.ready.highest_priority();
    match core.current {
        Some(tcb) => {
            assert!(sched::is_schedulable(k, tcb), "{tcb:?} runs and cannot");
            let sc = context(k, tcb);
            assert_eq!(k.get(sc.core()).get(), id, "{tcb:?} runs on the wrong core");
            assert_eq!(core.current_sc, Some(sc), "who pays on core {index}");
            assert!(
                best.is_none_or(|best| best <= k.get(tcb).priority),
                "a ready thread beats the running one on core {index}"
            );
            assert!(
                k.refills_ref(sc).ready(machine.now()),
                "core {index} uses {sc:?} before its refill is due"
            );
            assert_eq!(machine.context(index), Some(tcb.context()));
            assert_eq!(machine.root(index), vspace::user_root(k, tcb));
            let owner = k.get(tcb).wants_fpu().then_some(tcb);
            assert_eq!(core.fpu_owner, owner, "whose registers these are");
        }
        None => {
            assert_eq!(best, None, "core {index} sleeps and has work");
            assert_eq!(machine.context(index), None);
            assert_eq!(core.current_sc, None);
            assert_eq!(core.fpu_owner, None);
        }
    }
    // What is not charged yet is from the head refill.
    let charged_at = core.now - core.consumed;
    let budget = core.current_sc.map_or(u64::MAX, |sc| {
        charged_at.saturating_add(k.refills_ref(sc).head().amount)
    });
    let due = core.release.first().map_or(u64::MAX, |first| {
        k.refills_ref(context(k, first)).head().time
    });
    assert!(
        machine.deadline(index) <= budget.min(due),
        "the timer of core {index} is later than the end of the budget or the next refill"
    );
    false
}
