//! Which capability answers which label: each kind of kernel object has methods of its own, and refuses all other labels
//! before it looks at anything else. Capabilities that carry messages take any label.
//!
//! gic: 2 3

#![no_std]
#![no_main]

use libsel4::{
    BootInfo, Cap, CapRights, Endpoint, Message, Notification, PageTable, SmallPage, System, Tcb,
    VSpace, init, root_task,
};
use tern_target_tests::objects::{
    Ended, Puppet, Settler, answer, call_registers, info, invoke_label, object,
};
use tern_target_tests::rows::{row, rows};

root_task!(main);

/// Labels that no kernel object has, beside those up to 70.
const WILD: [u64; 6] = [100, 255, 256 + 1, 1 << 16 | 1, 1 << 32 | 18, (1 << 52) - 1];

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    kernel_objects(&mut system);
    messages(&mut system);
    software_interrupts(&mut system);
}

/// Asked with no words and no capabilities, so that a label that is known ends with a short message or does no harm.
fn kernel_objects(system: &mut System) {
    let tcb = object::<Tcb>(system);
    let notification = system.notification().expect("a notification");
    let sched = system.sched_context(0).expect("a scheduling context");
    let vspace = object::<VSpace>(system);
    init::ASID_POOL.assign(vspace).expect("an identifier");
    let memory = system.untyped(12).expect("memory");
    let pool = system.slot().expect("a slot");
    init::ASID_CONTROL
        .make_pool(memory, &pool)
        .expect("an ASID pool");
    let handler = system.slot().expect("a slot");
    init::IRQ_CONTROL.get(50, &handler).expect("a handler");
    let control = system.boot().sched_control(0);
    let kinds: [(u64, &[u64]); 13] = [
        (system.untyped(12).expect("memory").bits(), &[1]),
        (
            tcb.bits(),
            &[2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17],
        ),
        (
            system.cnode(2).expect("a CNode").bits(),
            &[18, 19, 20, 21, 22, 23, 24, 25],
        ),
        (init::IRQ_CONTROL.bits(), &[26, 55, 56, 57]),
        (handler.index, &[27, 28, 29]),
        (init::DOMAIN_SET.bits(), &[30, 31, 32]),
        (control.bits(), &[33]),
        (sched.bits(), &[34, 35, 36, 37, 38]),
        (vspace.bits(), &[39, 40, 41, 42]),
        (object::<PageTable>(system).bits(), &[44, 45]),
        (
            object::<SmallPage>(system).bits(),
            &[46, 47, 48, 49, 50, 51, 52],
        ),
        (init::ASID_CONTROL.bits(), &[53]),
        (pool.index, &[54]),
    ];
    rows(&["label.0", "label.43", "label.above", "label.dispatch.wrong"]);
    for (cap, own) in kinds {
        for label in (0..=70).chain(WILD) {
            // What these two need to be no illegal operations in themselves.
            match label {
                15 => _ = tcb.bind_notification(notification),
                38 => _ = sched.bind(tcb),
                _ => {}
            }
            let seen = invoke_label(cap, label, &[], &[]);
            let known = seen != answer::illegal_operation();
            assert_eq!(known, own.contains(&label), "capability {cap}: {label}");
            if !known {
                let words = [1, 2, 3, 4, 5, 6, 7, 8];
                let full = invoke_label(cap, label, &[cap, cap, cap], &words);
                assert_eq!(full, answer::illegal_operation(), "label {label}");
            }
        }
    }
    row("label.dispatch.null");
    for label in (0..=70).chain(WILD) {
        let empty = system.slot().expect("a slot");
        let seen = invoke_label(empty.index, label, &[], &[]);
        assert_eq!(seen, answer::invalid_capability(0), "label {label}");
        system.free_slot(empty);
    }
    system.destroy(memory).expect("to destroy");
    handler.delete().expect("to delete");
}

/// Endpoints, notifications and reply objects.
fn messages(system: &mut System) {
    let settler = Settler::new(system);
    let puppet = Puppet::new(system, system.cores() - 1, 100);
    let endpoint = system.endpoint().expect("an endpoint");
    let notification = system.notification().expect("a notification");
    let reply = system.reply().expect("a reply object");
    let signal: Cap<Notification> = system
        .mint(notification, CapRights::WRITE, 6)
        .expect("a badge");
    for label in [0, 1, 18, 43, 58].into_iter().chain(WILD) {
        row("label.dispatch.endpoint");
        let call = |endpoint: Cap<Endpoint>| {
            call_registers(-1, endpoint.bits(), info(label, 0, 1), [9; 4], 0)
        };
        puppet.begin_syscall(&call(endpoint));
        settler.settle();
        let received = endpoint.recv(reply);
        assert_eq!((received.label(), received.message.get(0)), (label, 9));

        row("label.dispatch.reply");
        reply.send(Message::new(label).words(&[77]));
        let Ended::Returned(registers) = puppet.end_of_syscall() else {
            panic!("a call that was answered")
        };
        assert_eq!((registers.x1, registers.x2), (info(label, 0, 1), 77));
        // With nobody to answer, the label does not matter either.
        let idle = invoke_label(reply.bits(), label, &[], &[1, 2, 3]);
        assert_eq!(idle, answer::ok());

        row("label.dispatch.notification");
        let caps = [endpoint.bits(), 0, signal.bits()];
        let seen = invoke_label(signal.bits(), label, &caps, &[1, 2, 3, 4, 5, 6]);
        assert_eq!((seen, notification.poll()), (answer::ok(), 6));
    }
}

fn software_interrupts(system: &mut System) {
    let [handler, signal] = [0; 2].map(|_| system.slot().expect("a slot"));
    let notification = system.notification().expect("a notification");
    let badged = system
        .mint(notification, CapRights::WRITE, 9)
        .expect("a badge");
    init::IRQ_CONTROL.get(5, &handler).expect("a handler");
    let handler_cap = Cap::<libsel4::IrqHandler>::from_bits(handler.index);
    handler_cap
        .set_notification(badged)
        .expect("a notification");
    init::IRQ_CONTROL
        .issue_sgi_signal(5, 0, &signal)
        .expect("a signal");
    row("label.dispatch.sgi");
    for label in [0, 1, 26, 57].into_iter().chain(WILD) {
        for words in [&[][..], &[1, 2, 3, 4, 5, 6]] {
            let seen = invoke_label(signal.index, label, &[], words);
            assert_eq!(seen, answer::ok(), "label {label}");
            assert_eq!(notification.wait(), 9, "label {label}");
            handler_cap.ack().expect("to acknowledge");
        }
    }
}
