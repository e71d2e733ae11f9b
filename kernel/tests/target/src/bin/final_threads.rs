//! What happens to threads when the last capability to an object goes that they have to do with: endpoints, notifications,
//! reply objects, scheduling contexts, and themselves.

#![no_std]
#![no_main]

use libsel4::{
    BootInfo, Budget, Cap, CapRights, Endpoint, Error, Message, Notification, SchedulingContext,
    System, Tcb, init, root_task,
};
use tern_target_tests::objects::{
    Answer, Ended, PUPPET_BADGE, Puppet, Settler, call_registers, info, object,
};
use tern_target_tests::rows::{row, rows};

root_task!(main);

const CALL: i64 = -1;
const SEND: i64 = -5;
const RECV: i64 = -7;
const WAIT: i64 = -9;
const UNKNOWN: i64 = -1000;

/// The system, and what all parts of the test need: a puppet runs on the last core.
struct Stage {
    system: System,
    settler: Settler,
    core: usize,
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let settler = Settler::new(&mut system);
    let core = boot.cores() - 1;
    let mut stage = Stage {
        system,
        settler,
        core,
    };
    endpoints(&mut stage);
    faulting_threads(&mut stage);
    notifications(&mut stage);
    replies(&mut stage);
    threads(&mut stage);
    queues_of_threads(&mut stage);
    scheduling_contexts(&mut stage);
    handlers(&mut stage);
}

impl Stage {
    fn puppet(&mut self) -> Puppet {
        Puppet::new(&mut self.system, self.core, 100)
    }

    fn endpoint(&mut self) -> Cap<Endpoint> {
        self.system.endpoint().expect("an endpoint")
    }

    /// Lets the puppet begin a call and runs it until it blocks.
    fn begin(&self, puppet: &Puppet, number: i64, x0: u64, reply: u64) {
        puppet.begin_syscall(&call_registers(number, x0, info(5, 0, 0), [0; 4], reply));
        self.settler.settle();
    }

    /// The puppet's fault, if there is one by now.
    fn fault(&self, puppet: &Puppet) -> Option<Answer> {
        self.settler.settle();
        let received = puppet.faults.nb_recv(puppet.reply);
        (received.badge == PUPPET_BADGE).then(|| Answer::of(&received.message))
    }
}

/// The fault of a receive from a slot that is empty.
fn nothing_to_receive(address: u64) -> Option<Answer> {
    let words = [Puppet::trap_address(), address, 1, 2, 0];
    Some(Answer::new(1, &words))
}

fn delete<T: libsel4::CapType>(cap: Cap<T>) {
    cap.slot().delete().expect("to delete");
}

fn endpoints(stage: &mut Stage) {
    row("final.endpoint");
    let puppet = stage.puppet();
    let other = stage.puppet();
    for number in [SEND, CALL] {
        let endpoint = stage.endpoint();
        let copy = stage
            .system
            .copy(endpoint, CapRights::all())
            .expect("a copy");
        stage.begin(&puppet, number, copy.bits(), 0);
        delete(endpoint);
        assert_eq!(stage.fault(&puppet), None, "it waits still");
        delete(copy);
        // It tried again: a send to an empty slot is dropped, a call is refused.
        let ended = puppet.end_of_syscall();
        let Ended::Returned(registers) = ended else {
            panic!("no fault: {ended:?}")
        };
        if number == CALL {
            assert_eq!((registers.x0, registers.x1), (0, info(2, 0, 1)));
        } else {
            assert_eq!(registers.x0, copy.bits());
        }
    }
    rows(&["final.endpoint.receivers", "final.endpoint.reply"]);
    let endpoint = stage.endpoint();
    let reply = stage.system.reply().expect("a reply object");
    stage.begin(&puppet, RECV, endpoint.bits(), reply.bits());
    stage.begin(&other, WAIT, endpoint.bits(), 0);
    delete(endpoint);
    assert_eq!(stage.fault(&other), nothing_to_receive(endpoint.bits()));
    // Somebody else waits with the reply object while the first one's fault is to be received: that is left alone.
    let second = stage.endpoint();
    stage.begin(&other, RECV, second.bits(), reply.bits());
    assert_eq!(stage.fault(&puppet), nothing_to_receive(endpoint.bits()));
    second.nb_send(Message::new(3));
    assert!(matches!(other.end_of_syscall(), Ended::Returned(_)));
}

fn faulting_threads(stage: &mut Stage) {
    row("final.endpoint.faulting");
    let puppet = stage.puppet();
    let handler = stage.endpoint();
    let set_handler = |endpoint| {
        let set = puppet
            .tcb
            .set_space(Some(endpoint), init::CNODE, 0, init::VSPACE);
        set.expect("a handler");
    };
    set_handler(handler);
    stage.begin(&puppet, UNKNOWN, 0, 0);
    handler.slot().revoke().expect("to revoke");
    delete(handler);
    // With a handler again, it says nothing: it does not run.
    let next = stage.endpoint();
    set_handler(next);
    stage.settler.settle();
    assert_eq!(next.poll().label(), 0);
    assert_eq!(puppet.registers().pc, Puppet::trap_address());
    puppet.tcb.resume().expect("to resume");
    stage.settler.settle();
    assert_eq!(next.poll().label(), 2, "the same fault, now");

    row("cnode.cancel.faulting");
    // The same when the faults of a badge are cancelled; others with that badge, who send, do so again.
    let handler = stage.endpoint();
    let badged = stage.system.mint(handler, CapRights::all(), 8);
    let badged = badged.expect("a badge");
    set_handler(badged);
    stage.begin(&puppet, UNKNOWN, 0, 0);
    let sender = stage.puppet();
    stage.begin(&sender, SEND, badged.bits(), 0);
    badged.slot().cancel_badged_sends().expect("to cancel");
    stage.settler.settle();
    let received = handler.poll();
    assert_eq!((received.badge, received.label()), (8, 5), "sent again");
    stage.settler.settle();
    assert_eq!(handler.poll().badge, 0, "no fault");
    puppet.tcb.resume().expect("to resume");
    stage.settler.settle();
    assert_eq!(handler.poll().label(), 2, "the fault, now");

    rows(&["cnode.cancel.unbadged", "cnode.cancel.receivers"]);
    let sender_waits = |stage: &Stage, endpoint: Cap<Endpoint>| {
        stage.settler.settle();
        let received = endpoint.poll();
        (received.badge, received.label())
    };
    let [one, two] = [0; 2].map(|_| stage.puppet());
    stage.begin(&one, SEND, handler.bits(), 0);
    stage.begin(&two, SEND, badged.bits(), 0);
    handler.slot().cancel_badged_sends().expect("nothing to do");
    assert_eq!(sender_waits(stage, handler), (0, 5), "in its place");
    assert_eq!(sender_waits(stage, handler), (8, 5));
    for puppet in [&one, &two] {
        assert!(matches!(puppet.end_of_syscall(), Ended::Returned(_)));
        stage.begin(puppet, WAIT, handler.bits(), 0);
    }
    badged.slot().cancel_badged_sends().expect("nothing to do");
    for puppet in [&one, &two] {
        assert_eq!(stage.fault(puppet), None);
        handler.nb_send(Message::new(1));
        assert!(matches!(puppet.end_of_syscall(), Ended::Returned(_)));
    }
    row("cnode.cancel.type");
    for cap in [init::TCB.slot(), stage.system.slot().expect("a slot")] {
        let cancelled = cap.cancel_badged_sends();
        assert_eq!(cancelled, Err(Error::IllegalOperation));
    }
}

fn notifications(stage: &mut Stage) {
    row("final.notification.waiters");
    let puppets = [0; 2].map(|_| stage.puppet());
    let notification = stage.system.notification().expect("a notification");
    for puppet in &puppets {
        stage.begin(puppet, WAIT, notification.bits(), 0);
    }
    delete(notification);
    for puppet in &puppets {
        let expected = nothing_to_receive(notification.bits());
        assert_eq!(stage.fault(puppet), expected);
    }
    rows(&[
        "final.notification.sched-context",
        "final.sched-context.notification",
    ]);
    let [one, two] = [0; 2].map(|_| stage.system.notification().expect("a notification"));
    let [sched, other] = [0; 2].map(|_| stage.system.sched_context(0).expect("one"));
    sched.bind_notification(one).expect("to bind");
    assert_eq!(sched.bind_notification(two), Err(Error::IllegalOperation));
    delete(one);
    assert_eq!(sched.bind_notification(two), Ok(()));
    assert_eq!(other.bind_notification(two), Err(Error::IllegalOperation));
    delete(sched);
    assert_eq!(other.bind_notification(two), Ok(()));
}

fn replies(stage: &mut Stage) {
    row("final.reply");
    let (caller, server) = (stage.puppet(), stage.puppet());
    let endpoint = stage.endpoint();
    let reply = stage.system.reply().expect("a reply object");
    let second = stage
        .system
        .copy(reply, CapRights::empty())
        .expect("a copy");
    // The server has no time of its own: the call lends it the caller's.
    stage.begin(&server, RECV, endpoint.bits(), reply.bits());
    server.sched.unbind().expect("to unbind");
    stage.begin(&caller, CALL, endpoint.bits(), 0);
    let fault = stage.fault(&server).expect("it took the call");
    assert_eq!(fault.label, 3);
    let lent = caller.sched.cap();
    let belongs_to = |puppet: &Puppet| lent.unbind_thread(puppet.tcb).is_ok();
    delete(reply);
    assert!(!belongs_to(&caller), "with the server still");
    delete(second);
    assert!(!belongs_to(&server));
    assert_eq!(stage.fault(&caller), None, "it does not come back");
    assert!(belongs_to(&caller));
    lent.bind(caller.tcb).expect("an inactive thread");
    // Inactive: it begins again when it is resumed.
    caller.tcb.resume().expect("to resume");
    stage.settler.settle();
    assert_eq!(endpoint.poll().label(), 5);

    row("final.reply.receiver");
    let reply = stage.system.reply().expect("a reply object");
    let receiver = stage.puppet();
    stage.begin(&receiver, RECV, endpoint.bits(), reply.bits());
    delete(reply);
    stage.settler.settle();
    endpoint.nb_send(Message::new(1));
    assert_eq!(stage.fault(&receiver), None, "nobody receives");
    receiver.tcb.resume().expect("to resume");
    // It receives again, and the slot of its reply object is empty.
    assert_eq!(stage.fault(&receiver), nothing_to_receive(reply.bits()));
}

fn threads(stage: &mut Stage) {
    row("final.tcb");
    #[unsafe(naked)]
    extern "C" fn count() -> ! {
        core::arch::naked_asm!("2: ldr x1, [x0]", "add x1, x1, #1", "str x1, [x0]", "b 2b")
    }
    // One that runs, on each core.
    for core in 0..=stage.core {
        let puppet = Puppet::new(&mut stage.system, core, 250);
        let notification = stage.system.notification().expect("a notification");
        puppet.tcb.bind_notification(notification).expect("to bind");
        let word = puppet.buffer();
        word.write(8, 0);
        puppet.start(&libsel4::UserContext {
            pc: count as *const () as u64,
            x0: word.start() as u64 + 8,
            ..libsel4::UserContext::default()
        });
        let pause = tern_target_tests::objects::Pause::new(&mut stage.system);
        pause.pause();
        assert!(word.read(8) > 0);
        let copy = stage
            .system
            .copy(puppet.tcb, CapRights::all())
            .expect("a copy");
        delete(copy);
        let before = word.read(8);
        pause.pause();
        assert!(word.read(8) > before, "it has another capability");
        delete(puppet.tcb);
        let before = word.read(8);
        pause.pause();
        assert_eq!(word.read(8), before, "it stopped");
        // What it had is free.
        let next = object::<Tcb>(&mut stage.system);
        assert_eq!(puppet.sched.bind(next), Ok(()));
        assert_eq!(next.bind_notification(notification), Ok(()));
    }
}

/// A thread that is deleted while it waits is in no queue any more.
fn queues_of_threads(stage: &mut Stage) {
    row("final.tcb.waiting");
    let endpoint = stage.endpoint();
    let notification = stage.system.notification().expect("a notification");
    for number in [SEND, CALL] {
        let puppets = [0; 3].map(|_| stage.puppet());
        for puppet in &puppets {
            stage.begin(puppet, number, endpoint.bits(), 0);
        }
        delete(puppets[1].tcb);
        let received = [0; 3].map(|_| endpoint.poll().label());
        assert_eq!(received, [5, 5, 0], "two are left");
    }
    for (number, source) in [(WAIT, endpoint.bits()), (WAIT, notification.bits())] {
        let puppets = [0; 3].map(|_| stage.puppet());
        for puppet in &puppets {
            stage.begin(puppet, number, source, 0);
        }
        delete(puppets[0].tcb);
        for puppet in &puppets[1..] {
            libsel4::syscall::nb_send(source, Message::new(4));
            assert!(matches!(puppet.end_of_syscall(), Ended::Returned(_)));
        }
        // Nobody takes this one.
        libsel4::syscall::nb_send(source, Message::new(4));
        stage.settler.settle();
    }
}

fn scheduling_contexts(stage: &mut Stage) {
    row("final.sched-context");
    let puppet = stage.puppet();
    let copy = stage
        .system
        .copy(puppet.sched.cap(), CapRights::empty())
        .expect("a copy");
    delete(puppet.sched.cap());
    stage.begin(&puppet, UNKNOWN, 0, 0);
    assert!(stage.fault(&puppet).is_some(), "a copy is enough");
    delete(copy);
    stage.begin(&puppet, UNKNOWN, 0, 0);
    assert_eq!(stage.fault(&puppet), None, "no time to run");
    let next = SchedulingContext::new(&mut stage.system, stage.core, Budget::DEFAULT, 0);
    let next = next.expect("a budget");
    next.bind(puppet.tcb).expect("to bind");
    assert!(stage.fault(&puppet).is_some());
    // A thread that runs on loan stops as well when what it was lent goes.
    let (caller, server) = (stage.puppet(), stage.puppet());
    let endpoint = stage.endpoint();
    let reply = stage.system.reply().expect("a reply object");
    let gate: Cap<Notification> = stage.system.notification().expect("a notification");
    stage.begin(&server, RECV, endpoint.bits(), reply.bits());
    server.sched.unbind().expect("to unbind");
    stage.begin(&caller, CALL, endpoint.bits(), 0);
    assert!(stage.fault(&server).is_some());
    stage.begin(&server, WAIT, gate.bits(), 0);
    delete(caller.sched.cap());
    gate.signal();
    assert_eq!(stage.fault(&server), None, "no time to run");
    assert_eq!(server.sched.bind(server.tcb), Ok(()));
    assert!(stage.fault(&server).is_some());
}

/// The handlers that are installed in a thread go when their endpoint is revoked.
fn handlers(stage: &mut Stage) {
    rows(&["revoke.endpoint.handlers", "cdt.installed.tcb"]);
    let puppet = stage.puppet();
    let endpoint = stage.endpoint();
    let control = stage.system.boot().sched_control(stage.core);
    let short = |badge| {
        control
            .configure(puppet.sched.cap(), 300, 1_000_000, 0, badge)
            .expect("a budget");
    };
    #[unsafe(naked)]
    extern "C" fn spin() -> ! {
        core::arch::naked_asm!("b .")
    }
    let start = || {
        puppet.start(&libsel4::UserContext {
            pc: spin as *const () as u64,
            ..libsel4::UserContext::default()
        });
    };
    puppet
        .tcb
        .set_timeout_endpoint(Some(endpoint))
        .expect("a handler");
    short(9);
    start();
    let received = endpoint.wait();
    assert_eq!((received.label(), received.get(0)), (5, 9));
    endpoint.slot().revoke().expect("to revoke");
    short(10);
    start();
    let pause = tern_target_tests::objects::Pause::new(&mut stage.system);
    for _ in 0..10 {
        pause.pause();
        assert_eq!(endpoint.poll().label(), 0, "nobody is told");
    }
}
