//! Calling endpoints, notifications and replies; methods in the first phase of a combined system call; and secure monitor
//! calls, which do not exist.

#![no_std]
#![no_main]

use libsel4::abi::{Invocation, cap_type};
use libsel4::{
    BootInfo, Cap, CapRights, Endpoint, IrqHandler, Message, PageTable, SmallPage, System, Tcb,
    init, ipc_buffer, root_task, syscall,
};
use tern_target_tests::objects::{
    Ended, Puppet, Settler, answer, call_registers, info, invoke_label, kind, object,
};
use tern_target_tests::rows::row;

root_task!(main);

const WIDE: u64 = (1 << 52) - 1;

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let settler = Settler::new(&mut system);
    let core = boot.cores() - 1;
    endpoints(&mut system, &settler, core);
    notifications(&mut system);
    replies(&mut system, core);
    first_phase(&mut system);
    no_monitor_calls(&mut system);
}

fn endpoints(system: &mut System, settler: &Settler, core: usize) {
    row("invoked.endpoint.no-write");
    let endpoint = system.endpoint().expect("an endpoint");
    let puppet = Puppet::new(system, core, 100);
    let reply = system.reply().expect("a reply object");
    // A receiver waits, and gets nothing.
    let receive = call_registers(-7, endpoint.bits(), 0, [0; 4], reply.bits());
    puppet.begin_syscall(&receive);
    settler.settle();
    for rights in [
        CapRights::READ,
        CapRights::NO_WRITE,
        CapRights::GRANT,
        CapRights::empty(),
    ] {
        let copy = system.copy(endpoint, rights).expect("a copy");
        let seen = invoke_label(copy.bits(), 77, &[], &[1, 2]);
        assert_eq!(seen, answer::invalid_capability(0), "{rights:?}");
        copy.send(Message::new(77));
        copy.nb_send(Message::new(77));
    }
    settler.settle();
    assert_eq!(puppet.registers().pc, Puppet::trap_address());
    row("invoked.endpoint.label");
    for label in [0, 12, 1 << 40, WIDE] {
        if label != 0 {
            puppet.begin_syscall(&receive);
            settler.settle();
        }
        endpoint.nb_send(Message::new(label).words(&[5, 6]));
        let Ended::Returned(after) = puppet.end_of_syscall() else {
            panic!("a fault")
        };
        assert_eq!((after.x1, after.x3), (info(label, 0, 2), 6));
    }
}

fn notifications(system: &mut System) {
    let notification = system.notification().expect("a notification");
    row("invoked.notification.no-write");
    for rights in [CapRights::NO_WRITE, CapRights::READ, CapRights::empty()] {
        let copy = system.copy(notification, rights).expect("a copy").bits();
        let seen = invoke_label(copy, 0, &[], &[]);
        assert_eq!(seen, answer::invalid_capability(0), "{rights:?}");
        syscall::send(copy, Message::new(0));
        syscall::nb_send(copy, Message::new(0));
    }
    let badged = system
        .mint(notification, CapRights::WRITE, 6)
        .expect("a badge");
    assert_eq!(notification.poll(), 0);
    row("invoked.notification.label");
    for label in [0, 12, WIDE] {
        let seen = invoke_label(badged.bits(), label, &[0], &[1, 2, 3, 4, 5, 6]);
        assert_eq!(seen, answer::ok());
        assert_eq!(notification.poll(), 6);
        syscall::send(badged.bits(), Message::new(label).words(&[1, 2, 3]));
        assert_eq!(notification.poll(), 6);
    }
}

fn replies(system: &mut System, core: usize) {
    let endpoint = system.endpoint().expect("an endpoint");
    let puppet = Puppet::new(system, core, 100);
    let reply = system.reply().expect("a reply object");
    row("invoked.reply.label");
    for label in [0, 12, 1 << 40, WIDE] {
        let call = call_registers(-1, endpoint.bits(), info(9, 0, 0), [0; 4], 0);
        puppet.begin_syscall(&call);
        assert_eq!(endpoint.recv(reply).label(), 9);
        reply.send(Message::new(label).word(4));
        let Ended::Returned(after) = puppet.end_of_syscall() else {
            panic!("a fault")
        };
        assert_eq!((after.x1, after.x2), (info(label, 0, 1), 4));
    }
    row("invoked.reply.free");
    let unused = system.reply().expect("a reply object");
    for free in [reply, unused] {
        for label in [0, 12, WIDE] {
            let seen = invoke_label(free.bits(), label, &[], &[1, 2]);
            assert_eq!(seen, answer::ok());
        }
        free.send(Message::new(3));
    }
}

/// A method of a thread, sent in the first phase, changes nothing; one of another object does what it does.
fn first_phase(system: &mut System) {
    row("invoked.first-phase");
    let tcb = object::<Tcb>(system);
    let notification = system.notification().expect("a notification");
    let reply = system.reply().expect("a reply object");
    let source: Cap<Endpoint> = system.endpoint().expect("an endpoint");
    // What ends each second phase: a signal, since the notification is bound.
    init::TCB.bind_notification(notification).expect("to bind");
    let sent = |cap: u64, message: Message| {
        for way in 0..3 {
            notification.signal();
            match way {
                0 => syscall::nb_send_recv(cap, message, source.bits(), reply.bits()),
                1 => syscall::nb_send_wait(cap, message, notification.bits()),
                // The first phase of this one is meant for replies, but takes any capability.
                _ => syscall::reply_recv(notification.bits(), message, cap),
            };
        }
    };
    let base = Message::new(Invocation::TcbSetTlsBase.label()).word(0x123);
    sent(tcb.bits(), base);
    let read = || tcb.read_registers(false).expect("to read").tpidr_el0;
    assert_eq!(read(), 0);
    syscall::send(tcb.bits(), base);
    assert_eq!(read(), 0x123, "a Send is no first phase");
    let sc = system.sched_context(0).expect("a scheduling context");
    let bind = Message::new(Invocation::SchedContextBind.label());
    ipc_buffer::set_cap(0, tcb.bits());
    sent(sc.bits(), bind.cap(tcb));
    assert_eq!(sc.bind(tcb), Ok(()), "it was not bound");
    let control = system.boot().sched_control(0);
    let configure = Message::new(Invocation::SchedControlConfigureFlags.label());
    let other = system.sched_context(0).expect("a scheduling context");
    ipc_buffer::set_word(4, 0);
    sent(
        control.bits(),
        configure.words(&[5_000, 5_000, 0, 0, 0]).cap(other),
    );
    // One that was configured could be bound to a thread that waits.
    let puppet = Puppet::new(system, 0, 100);
    puppet.begin_syscall(&call_registers(-1000, 0, 0, [0; 4], 0));
    puppet.fault();
    puppet.sched.unbind().expect("to unbind");
    assert!(other.bind(puppet.tcb).is_err(), "it was not configured");
    let victim = system.slot().expect("a slot");
    victim
        .copy_from(&tcb.slot(), CapRights::all())
        .expect("a copy");
    let delete = Message::new(Invocation::CNodeDelete.label());
    sent(
        init::CNODE.bits(),
        delete.words(&[victim.index, victim.depth]),
    );
    assert_eq!(kind(victim), cap_type::THREAD);
    let set = Message::new(Invocation::DomainSetSet.label()).word(0);
    sent(init::DOMAIN_SET.bits(), set.cap(tcb));
    // A frame's method is carried out.
    let frame = object::<SmallPage>(system);
    let window = tern_target_tests::objects::Window::map(system, frame);
    assert_eq!(window.read(0), 0);
    sent(frame.bits(), Message::new(Invocation::PageUnmap.label()));
    let again = invoke_label(
        frame.bits(),
        Invocation::PageCleanData.label(),
        &[],
        &[0, 8],
    );
    assert_eq!(again, answer::illegal_operation(), "it is not mapped");
    init::TCB.unbind_notification().expect("to unbind");
}

fn no_monitor_calls(system: &mut System) {
    row("smc.absent");
    let slot = Cap::<libsel4::CNode>::from_bits(15).slot();
    assert_eq!(kind(slot), 0);
    assert_eq!(
        invoke_label(15, 43, &[], &[0; 8]),
        answer::invalid_capability(0)
    );
    let handler = system.slot().expect("a slot");
    init::IRQ_CONTROL.get(33, &handler).expect("a handler");
    let irq = Cap::<IrqHandler>::from_bits(handler.index);
    for cap in [
        object::<Tcb>(system).bits(),
        object::<SmallPage>(system).bits(),
        object::<PageTable>(system).bits(),
        system.untyped(12).expect("memory").bits(),
        init::CNODE.bits(),
        init::VSPACE.bits(),
        init::IRQ_CONTROL.bits(),
        init::ASID_CONTROL.bits(),
        init::ASID_POOL.bits(),
        init::DOMAIN_SET.bits(),
        init::SCHED_CONTEXT.bits(),
        system.boot().sched_control(0).bits(),
        irq.bits(),
    ] {
        let seen = invoke_label(cap, 43, &[], &[0; 8]);
        assert_eq!(seen, answer::illegal_operation(), "capability {cap}");
    }
    handler.delete().expect("to delete");
}
