//! Defects that random runs have found in the kernel, or in the model, each told again as a short story.

use std::sync::atomic::Ordering::Relaxed;

use sel4_abi::{CapRights, Invocation as I, Syscall, slot};
use tern_kernel::fault::Fault;
use tern_kernel::object::ThreadState;
use tern_kernel::types::CoreId;
use tern_sim::machine::Stop;
use tern_sim::op::{Call, Op};
use tern_sim::run::{Driver, Step, stage};
use tern_sim::world::{DEPTH, Ram, World};

/// Budget and period in microseconds of a context that is not round robin, and the period in ticks.
const BUDGET: [u64; 2] = [30, 400];
const PERIOD: u64 = 25_000;

struct Story {
    driver: Driver,
    world: World,
}

impl Story {
    fn new(cores: usize) -> Self {
        let (driver, world) = stage(&Ram::new(), cores);
        let mut story = Self { driver, world };
        // The root task has all the time in the world.
        story.configure(0, slot::INIT_THREAD_SC, [1 << 30, 1 << 30], 0);
        story
    }

    /// The root task makes a call that succeeds.
    fn root(&mut self, call: &Call) {
        self.driver.must(call);
    }

    fn configure(&mut self, core: usize, context: u64, [budget, period]: [u64; 2], flags: u64) {
        let call = self
            .world
            .configure(core, context, [budget, period, 0, 0, flags]);
        self.root(&call);
    }

    fn tcb(&self, thread: u64) -> u64 {
        self.world.tcbs.start + thread
    }

    fn context(&self, thread: u64) -> u64 {
        self.world.contexts.start + thread
    }

    /// A core does what it has to, until it is in user mode or sleeps.
    fn settle(&mut self, core: usize) {
        while self.driver.take(&Step::Interrupt { core }) || self.driver.take(&Step::Go { core }) {}
    }

    /// The thread that runs on a core does something.
    fn act(&mut self, core: usize, op: Op) {
        assert!(self.driver.take(&Step::Do { core, op }));
    }

    fn call(&mut self, core: usize, number: Syscall, cap: u64, reply: u64) {
        let mut call = Call::message(number as i64, cap, 0, &[], &[]);
        call.x[6] = reply;
        self.act(core, Op::Call(call));
    }

    /// Core 1 enters the kernel, by this step, and waits for its lock so long: core 0 has it.
    fn enters_late(&mut self, entry: &Step, ticks: u64) {
        self.driver.machine().set_interleaving(true);
        let empty = [self.world.scratch.end - 1, DEPTH];
        let delete = Call::invoke(slot::INIT_THREAD_CNODE, I::CNodeDelete, &[], &empty);
        self.act(0, Op::Call(delete));
        while self.driver.machine().stop(0) != Stop::Publish {
            assert!(self.driver.take(&Step::Go { core: 0 }));
        }
        assert!(self.driver.take(entry));
        while self.driver.take(&Step::Go { core: 1 }) {}
        assert!(matches!(self.driver.machine().stop(1), Stop::Lock(..)));
        self.driver.take(&Step::Pass { ticks });
        (0..2).for_each(|core| self.settle(core));
        self.driver.machine().set_interleaving(false);
    }

    fn calls_late(&mut self, endpoint: u64, ticks: u64) {
        let call = Call::message(Syscall::Call as i64, endpoint, 0, &[], &[]);
        let op = Op::Call(call);
        self.enters_late(&Step::Do { core: 1, op }, ticks);
    }

    fn sleeps(&self, core: usize) -> bool {
        self.driver.machine().stop(core) == Stop::Interrupt
    }

    /// The thread that runs on a core works until it may no longer, and says for how many ticks at the most.
    fn works(&mut self, core: usize) -> u64 {
        let start = self.driver.machine().now();
        let who = self.driver.machine().context(core);
        while self.driver.machine().context(core) == who {
            assert!(
                self.driver.machine().now() < start + 20 * PERIOD,
                "for ever"
            );
            self.act(core, Op::Work(1000));
            self.settle(core);
        }
        self.driver.machine().now() - start
    }

    fn suspend(&mut self, thread: u64) {
        let tcb = self.tcb(thread);
        self.root(&Call::invoke(tcb, I::TcbSuspend, &[], &[]));
    }

    fn unbind(&mut self, context: u64) {
        self.root(&Call::invoke(context, I::SchedContextUnbind, &[], &[]));
    }
}

/// A context that was idle for long has one budget, not all that it did not use: also when it becomes a sporadic one in
/// the moment in which it is moved.
#[test]
fn becoming_sporadic_on_the_way_renews_nothing() {
    let mut story = Story::new(3);
    for thread in 0..7 {
        story.suspend(thread);
    }
    (1..3).for_each(|core| story.settle(core));
    let (idle, tcb) = (story.context(7), story.tcb(1));
    let own = story.context(1);
    story.unbind(own);
    story.configure(1, idle, BUDGET, 0);
    story.driver.take(&Step::Pass { ticks: 20 * PERIOD });
    story.root(&Call::invoke(tcb, I::TcbResume, &[], &[]));
    story.root(&Call::invoke(idle, I::SchedContextBind, &[tcb], &[]));
    story.configure(2, idle, BUDGET, 1);
    (1..3).for_each(|core| story.settle(core));
    assert!(story.works(2) < 3000, "one budget of 1875 ticks");
}

/// A caller's budget ends while its call waits for a lock. The server on its context waits for the refill.
#[test]
fn a_lent_context_without_budget_waits() {
    let mut story = Story::new(2);
    for thread in [0, 2, 4, 5, 6] {
        story.suspend(thread);
    }
    let (endpoint, reply) = (story.world.endpoints.start, story.world.replies.start);
    story.settle(1);
    // Thread 1 is a server with no context of its own, thread 3 its client.
    story.call(1, Syscall::Recv, endpoint, reply);
    let own = story.context(1);
    story.unbind(own);
    story.settle(1);
    story.calls_late(endpoint, 6000);
    assert!(story.sleeps(1), "the budget of 6250 ticks is used up");
}

/// The same where the call waits in a queue: the server that picks it up on the caller's context waits for the refill.
#[test]
fn a_context_that_is_not_due_is_not_used() {
    let mut story = Story::new(2);
    for thread in [0, 2, 3, 4, 6] {
        story.suspend(thread);
    }
    let (endpoint, reply) = (story.world.endpoints.start, story.world.replies.start);
    let priority = |tcb, value| {
        let authority = slot::INIT_THREAD_TCB;
        Call::invoke(tcb, I::TcbSetPriority, &[authority], &[value])
    };
    let [server, late] = [1, 3].map(|thread| story.tcb(thread));
    story.root(&priority(server, 80));
    story.settle(1);
    // Thread 1 is a server with no context of its own, and at work for thread 5 when thread 3 calls.
    story.call(1, Syscall::Recv, endpoint, reply);
    let own = story.context(1);
    story.unbind(own);
    story.settle(1);
    let client = story.driver.machine().context(1);
    story.call(1, Syscall::Call, endpoint, 0);
    let server = story.driver.inspect().core(CoreId(1)).current;
    let server = server.expect("the server runs");
    story.root(&priority(late, 90));
    story.root(&Call::invoke(late, I::TcbResume, &[], &[]));
    story.settle(1);
    story.calls_late(endpoint, 6000);
    story.call(1, Syscall::ReplyRecv, endpoint, reply);
    story.settle(1);
    assert!(story.driver.inspect().get(server).in_release_queue);
    assert_eq!(story.driver.machine().context(1), client);
}

/// A sporadic caller waited long for its server. The server has one budget then, not all of that time.
#[test]
fn a_caller_that_waited_long_has_one_budget() {
    let mut story = Story::new(2);
    for thread in [0, 2, 4, 6] {
        story.suspend(thread);
    }
    let (endpoint, reply) = (story.world.endpoints.start, story.world.replies.start);
    let client = story.context(5);
    story.configure(1, client, [10_000, 10_000], 0);
    let sporadic = story.context(3);
    story.configure(1, sporadic, BUDGET, 1);
    let (first, third, fifth) = (story.tcb(1), story.tcb(3), story.tcb(5));
    let priority =
        |tcb, value| Call::invoke(tcb, I::TcbSetPriority, &[slot::INIT_THREAD_TCB], &[value]);
    story.root(&priority(first, 80));
    story.settle(1);
    story.call(1, Syscall::Recv, endpoint, reply);
    let own = story.context(1);
    story.unbind(own);
    story.root(&priority(fifth, 70));
    story.settle(1);
    // The server is at work for thread 5; thread 3 calls meanwhile, and waits.
    story.call(1, Syscall::Call, endpoint, 0);
    story.root(&priority(third, 90));
    story.settle(1);
    story.call(1, Syscall::Call, endpoint, 0);
    story.settle(1);
    story.driver.take(&Step::Pass { ticks: 20 * PERIOD });
    story.settle(1);
    story.call(1, Syscall::ReplyRecv, endpoint, reply);
    story.settle(1);
    assert!(story.works(1) < 3000, "one budget of 1875 ticks");
}

/// A thread signals and waits in one call. Of two equals, the one that was ready before runs next, not the one that has
/// just been woken.
#[test]
fn a_signal_does_not_pass_equals() {
    let mut story = Story::new(2);
    for thread in 0..7 {
        story.suspend(thread);
    }
    let [first, second, third] = [1, 3, 5].map(|thread| story.tcb(thread));
    let resume = |tcb| Call::invoke(tcb, I::TcbResume, &[], &[]);
    for tcb in [first, second, third] {
        let authority = slot::INIT_THREAD_TCB;
        story.root(&Call::invoke(tcb, I::TcbSetPriority, &[authority], &[70]));
    }
    let (wake, other) = (
        story.world.notifications.start,
        story.world.notifications.start + 1,
    );
    story.root(&resume(first));
    story.settle(1);
    let waiter = story.driver.machine().context(1);
    story.call(1, Syscall::Wait, wake, 0);
    story.root(&resume(second));
    story.settle(1);
    story.root(&resume(third));
    story.call(1, Syscall::NBSendWait, other, wake);
    story.settle(1);
    assert!(!story.sleeps(1));
    assert_ne!(story.driver.machine().context(1), waiter);
    story.call(1, Syscall::Wait, other, 0);
    story.settle(1);
    assert_eq!(story.driver.machine().context(1), waiter);
}

/// A thread's budget ends while its core, interrupted between two instructions, waits for a lock. Its handler is told.
#[test]
fn a_budget_that_ends_in_an_interrupt_is_a_fault() {
    let mut story = Story::new(2);
    for thread in 0..7 {
        story.suspend(thread);
    }
    let [first, third] = [1, 3].map(|thread| story.tcb(thread));
    story.root(&Call::invoke(third, I::TcbResume, &[], &[]));
    story.settle(1);
    let tcb = story.driver.inspect().core(CoreId(1)).current;
    let tcb = tcb.expect("thread 3 runs");
    let priority = [slot::INIT_THREAD_TCB];
    story.root(&Call::invoke(first, I::TcbSetPriority, &priority, &[90]));
    story.root(&Call::invoke(first, I::TcbResume, &[], &[]));
    story.enters_late(&Step::Interrupt { core: 1 }, 7000);
    let fault = story.driver.inspect().get(tcb).fault;
    assert!(
        matches!(fault, Fault::Timeout { .. }),
        "{fault:?}: the budget of 6250 ticks is used up"
    );
}

/// A caller waits in a queue of one core, and its context is moved to another. The server that picks it up goes there
/// with the context, and so does the home of the caller and of the reply object.
#[test]
fn a_caller_goes_home_with_its_context() {
    let mut story = Story::new(3);
    for thread in [0, 3, 4, 5, 6] {
        story.suspend(thread);
    }
    (1..3).for_each(|core| story.settle(core));
    let (endpoint, reply) = (story.world.endpoints.start, story.world.replies.start);
    story.call(1, Syscall::Recv, endpoint, reply);
    let own = story.context(1);
    story.unbind(own);
    story.settle(1);
    // The server works for a client of its core; one of core 2 waits.
    let first = story.tcb(4);
    story.root(&Call::invoke(first, I::TcbResume, &[], &[]));
    story.settle(1);
    story.call(1, Syscall::Call, endpoint, 0);
    let caller = story.driver.inspect().core(CoreId(2)).current;
    let caller = caller.expect("a thread runs");
    story.call(2, Syscall::Call, endpoint, 0);
    assert_eq!(story.driver.inspect().get(caller.home()).get(), CoreId(2));
    let moved = story.context(2);
    story.configure(1, moved, BUDGET, 0);
    story.call(1, Syscall::ReplyRecv, endpoint, reply);
    let k = story.driver.inspect();
    let ThreadState::BlockedOnReply { reply } = k.get(caller).state else {
        panic!("the call was picked up")
    };
    assert_eq!(k.get(caller.home()).get(), CoreId(1));
    assert_eq!(k.get(reply).home(), CoreId(1));
}

/// A core is made to park at the end of a call that blocks. The thread that would have been next owes nothing for what
/// the caller used, and keeps its place. (It was the model that let it pay.)
#[test]
fn who_is_next_does_not_pay_for_the_caller() {
    let mut story = Story::new(2);
    for thread in [0, 2, 4, 6] {
        story.suspend(thread);
    }
    for (thread, period, priority) in [(1, 10_000, 80), (3, 100, 70), (5, 100, 70)] {
        let context = story.context(thread);
        story.configure(1, context, [period, period], 0);
        let (tcb, authority) = (story.tcb(thread), slot::INIT_THREAD_TCB);
        let call = Call::invoke(tcb, I::TcbSetPriority, &[authority], &[priority]);
        story.root(&call);
    }
    story.settle(1);
    story.act(1, Op::Work(5500));
    let next = story.driver.inspect().core(CoreId(1)).ready.highest();
    story.driver.compare_with_model();
    story.driver.machine().set_interleaving(true);
    let endpoint = story.world.endpoints.start;
    story.call(1, Syscall::Call, endpoint, 0);
    let caller = story.tcb(1);
    let suspend = Call::invoke(caller, I::TcbSuspend, &[], &[]);
    story.act(0, Op::Call(suspend));
    while story.driver.take(&Step::Go { core: 0 }) {}
    while !story.driver.inspect().flags(CoreId(1)).parked.load(Relaxed) {
        assert!(story.driver.take(&Step::Go { core: 1 }));
    }
    story.settle(1);
    assert_eq!(story.driver.inspect().core(CoreId(1)).ready.highest(), next);
    (0..2).for_each(|core| story.settle(core));
}

/// A call waits for another core to stop, and meanwhile somebody deletes the capability that it invokes. It is answered
/// with an error, and is over with that.
#[test]
fn a_call_that_fails_after_a_wait_is_over() {
    let mut story = Story::new(3);
    for thread in [0, 3, 4, 5, 6] {
        story.suspend(thread);
    }
    (1..3).for_each(|core| story.settle(core));
    let (copy, original) = (story.world.scratch.start, story.tcb(1));
    let root = slot::INIT_THREAD_CNODE;
    let words = [copy, DEPTH, original, DEPTH, CapRights::all().bits()];
    story.root(&Call::invoke(root, I::CNodeCopy, &[root], &words));
    let context = story.driver.machine().context(0).expect("the root task");
    let next_ip = |story: &Story| story.driver.inspect().get(context).next_ip;
    let before = next_ip(&story);
    story.driver.machine().set_interleaving(true);
    story.act(0, Op::Call(Call::invoke(copy, I::TcbSuspend, &[], &[])));
    while story.driver.take(&Step::Go { core: 0 }) {}
    let delete = Call::invoke(root, I::CNodeDelete, &[], &[copy, DEPTH]);
    story.act(2, Op::Call(delete));
    story.settle(2);
    while !story.driver.inspect().flags(CoreId(1)).parked.load(Relaxed) {
        story.driver.take(&Step::Interrupt { core: 1 });
        story.driver.take(&Step::Go { core: 1 });
    }
    story.settle(1);
    story.settle(0);
    assert_eq!(next_ip(&story), before + 4);
}
