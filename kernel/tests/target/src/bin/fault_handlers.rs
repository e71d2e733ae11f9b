//! Who handles a fault: nobody, a handler that only waits, one that comes late, one that goes away; and several faults
//! in the order of priorities.
//!
//! expect: thread 'unheard' stops at 0x

#![no_std]
#![no_main]

use libsel4::{BootInfo, CapRights, Message, System, debug, init, root_task};
use tern_target_tests::objects::{Answer, Ended, PUPPET_BADGE, Puppet, Settler, call_registers};
use tern_target_tests::rows::{row, rows};

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let settler = Settler::new(&mut system);
    let core = boot.cores() - 1;
    let puppet = Puppet::new(&mut system, core, 100);
    let unknown = call_registers(-1000, 7, 0, [0; 4], 0);
    let faulted = || puppet.faults.nb_recv(puppet.reply).badge == PUPPET_BADGE;
    let set_handler = |handler| {
        let space = puppet.tcb.set_space(handler, init::CNODE, 0, init::VSPACE);
        space.expect("to set the handler");
    };
    let badged = system
        .mint(puppet.faults, CapRights::all(), PUPPET_BADGE)
        .expect("a badge");

    rows(&["fault.none.stops", "fault.none.printed"]);
    // Nobody: the thread stops at the fault, and when resumed faults again.
    set_handler(None);
    debug::name_thread(puppet.tcb, "unheard");
    puppet.begin_syscall(&unknown);
    settler.settle();
    assert!(!faulted());
    assert_eq!(puppet.registers().pc, Puppet::trap_address());
    row("fault.none.resumed");
    puppet.tcb.resume().expect("to resume");
    settler.settle();
    assert!(!faulted());
    set_handler(Some(badged));
    puppet.tcb.resume().expect("to resume");
    settler.settle();
    assert!(faulted());

    rows(&["fault.delivery.no-reply-object", "fault.handler.badge"]);
    // A handler that waits without a reply object gets the message, and the thread stops for good.
    puppet.begin_syscall(&unknown);
    let received = puppet.faults.wait();
    assert_eq!(
        (received.badge, received.label(), received.get(0)),
        (PUPPET_BADGE, 2, 7)
    );
    settler.settle();
    assert!(!faulted());
    row("fault.delivery.no-reply-resumed");
    puppet.tcb.resume().expect("to resume");
    assert_eq!(puppet.fault().label(), 2, "resumed, it faults again");
    puppet.reply.send(Message::new(1));

    rows(&["fault.cancel.suspend-queued", "fault.delivery.fault-ip"]);
    // Suspended in the queue of the handler: nothing is there any more. Resumed: again.
    puppet.begin_syscall(&unknown);
    settler.settle();
    puppet.tcb.suspend().expect("to suspend");
    assert!(!faulted());
    assert_eq!(puppet.registers().pc, Puppet::trap_address());
    puppet.tcb.resume().expect("to resume");
    settler.settle();
    assert!(faulted());
    row("fault.cancel.suspend-received");
    // Suspended while the handler has it: the reply does nothing.
    puppet.tcb.suspend().expect("to suspend");
    puppet.reply.send(Message::new(0).words(&[99]));
    settler.settle();
    assert!(!faulted());
    assert_eq!(puppet.registers().x0, 7);

    row("fault.cancel.reply");
    // The reply object is destroyed under it: it stops.
    let reply = system.reply().expect("a reply object");
    puppet.begin_syscall(&unknown);
    assert_eq!(puppet.faults.recv(reply).label(), 2);
    system.destroy(reply).expect("to destroy");
    settler.settle();
    assert!(!faulted());

    row("fault.delivery.queued");
    // Faults that nobody receives yet wait in the order of priorities.
    let others: [Puppet; 3] =
        [60, 120, 90].map(|priority| Puppet::new(&mut system, core, priority));
    for (badge, other) in (1..).zip(&others) {
        let handler = system
            .mint(puppet.faults, CapRights::all(), badge)
            .expect("a badge");
        other
            .tcb
            .set_space(Some(handler), init::CNODE, 0, init::VSPACE)
            .expect("a handler");
        other.begin_syscall(&unknown);
        settler.settle();
    }
    puppet.begin_syscall(&unknown);
    settler.settle();
    let mut order = [0; 4];
    for badge in &mut order {
        *badge = puppet.faults.nb_recv(puppet.reply).badge;
    }
    assert_eq!(order, [2, PUPPET_BADGE, 3, 1]);
    // Only the last of them has the reply object: the others were let go, and stopped.
    puppet.reply.send(Message::new(0));
    settler.settle();
    assert_eq!(puppet.faults.nb_recv(puppet.reply).badge, 1);
    assert_eq!(puppet.faults.nb_recv(puppet.reply).badge, 0);

    row("fault.cancel.endpoint");
    // The endpoint is destroyed under a thread that waits to tell its fault: it stops, and has no handler then.
    let mortal = system.endpoint().expect("an endpoint");
    puppet
        .tcb
        .set_space(Some(mortal), init::CNODE, 0, init::VSPACE)
        .expect("a handler");
    puppet.begin_syscall(&unknown);
    settler.settle();
    system.destroy(mortal).expect("to destroy");
    settler.settle();
    set_handler(Some(badged));
    settler.settle();
    assert!(!faulted());
    puppet.tcb.resume().expect("to resume");
    assert_eq!(puppet.fault().label(), 2);

    row("fault.cancel.badge");
    // Cancelling the sends of its badge: the same.
    puppet.begin_syscall(&unknown);
    settler.settle();
    badged.slot().cancel_badged_sends().expect("to cancel");
    settler.settle();
    assert!(!faulted());

    row("fault.handler.rights");
    // A handler needs the rights to write and to be replied to.
    for rights in [CapRights::WRITE, CapRights::NO_WRITE, CapRights::READ_WRITE] {
        let handler = system.copy(puppet.faults, rights).expect("a copy");
        let set = puppet
            .tcb
            .set_space(Some(handler), init::CNODE, 0, init::VSPACE);
        assert_eq!(
            set,
            Err(libsel4::Error::InvalidCapability { index: 1 }),
            "{rights:?}"
        );
        let tcb = puppet.tcb;
        let set = tcb.set_sched_params(init::TCB, 0, 100, Some(puppet.sched.cap()), Some(handler));
        assert_eq!(set, Err(libsel4::Error::InvalidCapability { index: 3 }));
        assert_eq!(
            tcb.set_timeout_endpoint(Some(handler)),
            Err(libsel4::Error::InvalidCapability { index: 1 })
        );
    }
    let enough = CapRights::WRITE | CapRights::GRANT_REPLY;
    set_handler(Some(system.copy(puppet.faults, enough).expect("a copy")));
    puppet.begin_syscall(&unknown);
    assert_eq!(puppet.faults.recv(puppet.reply).label(), 2);
    puppet
        .reply
        .send(Message::new(0).words(&[7, 0, 0, 0, 0, 0, 0, 0, Puppet::trap_address() + 4]));
    let fault = Answer::of(&puppet.faults.recv(puppet.reply).message);
    assert_eq!(
        (fault.label, fault.words[0]),
        (3, Puppet::trap_address() + 4)
    );
    set_handler(Some(badged));

    // A sender that is no fault is woken by a reply to its fault as usual: a whole system call works afterwards.
    let notification = system.notification().expect("a notification");
    let ended = puppet.syscall(&call_registers(-5, notification.bits(), 0, [0; 4], 0));
    assert!(matches!(ended, Ended::Returned(_)));
}
