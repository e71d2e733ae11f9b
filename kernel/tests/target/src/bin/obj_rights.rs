//! What each right of a capability allows, and that without it nothing of the kind happens.

#![no_std]
#![no_main]

use libsel4::abi::cap_type;
use libsel4::{
    BootInfo, Cap, CapRights, Endpoint, Message, SmallPage, System, Tcb, VmAttributes, init,
    ipc_buffer, root_task, syscall,
};
use tern_target_tests::objects::{
    Answer, Ended, PUPPET_BADGE, Puppet, Settler, answer, buffer_cap, call_registers, info,
    invoke_label, kind, object,
};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::touch::{can_load, can_store};

root_task!(main);

const ALL_MASKS: core::ops::Range<u64> = 0..16;
const CALL: i64 = -1;
const SEND: i64 = -5;

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let puppet = Puppet::new(&mut system, boot.cores() - 1, 100);
    let settler = Settler::new(&mut system);
    endpoints(&mut system, &puppet);
    grants(&mut system, &puppet, &settler);
    notifications(&mut system, &puppet);
    frames(&mut system, &puppet);
    others(&mut system);
}

fn rights(mask: u64) -> CapRights {
    CapRights::from_bits_truncate(mask)
}

/// The fault of receiving through a capability that may not.
fn refused(address: u64) -> Ended {
    let words = [Puppet::trap_address(), address, 1, 2, 0];
    Ended::Faulted(Answer::new(1, &words))
}

fn endpoints(system: &mut System, puppet: &Puppet) {
    let endpoint = system.endpoint().expect("an endpoint");
    let reply = system.reply().expect("a reply object");
    for mask in ALL_MASKS {
        let cap: Cap<Endpoint> = system.copy(endpoint, rights(mask)).expect("a copy");
        row("rights.endpoint.write");
        let send = call_registers(SEND, cap.bits(), info(5, 0, 0), [0; 4], 0);
        let may_send = mask & 1 != 0;
        if may_send {
            puppet.begin_syscall(&send);
            assert_eq!(endpoint.wait().label(), 5);
            assert!(matches!(puppet.end_of_syscall(), Ended::Returned(_)));
        } else {
            // Dropped, and the thread goes on. A call is told.
            assert!(matches!(puppet.syscall(&send), Ended::Returned(_)));
            let call = invoke_label(cap.bits(), 5, &[], &[1]);
            assert_eq!(call, answer::invalid_capability(0));
        }
        row("rights.endpoint.read");
        for number in [-7, -8, -9, -10] {
            let receive = call_registers(number, cap.bits(), 0, [0; 4], reply.bits());
            if mask & 2 == 0 {
                assert_eq!(puppet.syscall(&receive), refused(cap.bits()), "{number}");
                continue;
            }
            puppet.begin_syscall(&receive);
            // The polling ones find nothing; the others wait.
            if [-7, -9].contains(&number) {
                endpoint.send(Message::new(6));
            }
            assert!(matches!(puppet.end_of_syscall(), Ended::Returned(_)));
        }
        cap.slot().delete().expect("to delete");
        system.free_slot(cap.slot());
    }
    row("badge-data.endpoint");
    for badge in [1, 1 << 63, u64::MAX] {
        let badged = system
            .mint(endpoint, CapRights::WRITE, badge)
            .expect("a badge");
        puppet.begin_syscall(&call_registers(
            SEND,
            badged.bits(),
            info(5, 0, 0),
            [0; 4],
            0,
        ));
        assert_eq!(endpoint.wait().badge, badge);
        assert!(matches!(puppet.end_of_syscall(), Ended::Returned(_)));
    }
}

fn grants(system: &mut System, puppet: &Puppet, settler: &Settler) {
    let endpoint = system.endpoint().expect("an endpoint");
    let reply = system.reply().expect("a reply object");
    let slot = system.slot().expect("a slot");
    puppet.buffer().write(buffer_cap(0), init::TCB.bits());
    for mask in ALL_MASKS.filter(|mask| mask & 1 != 0) {
        let cap: Cap<Endpoint> = system.copy(endpoint, rights(mask)).expect("a copy");
        let (grant, grant_reply) = (mask & 4 != 0, mask & 8 != 0);
        row("rights.endpoint.grant");
        ipc_buffer::set_receive_slot(slot);
        let call = call_registers(CALL, cap.bits(), info(5, 1, 0), [0; 4], 0);
        puppet.begin_syscall(&call);
        let received = endpoint.recv(reply);
        assert_eq!(received.message.extra_caps(), usize::from(grant));
        let expected = if grant { cap_type::THREAD } else { 0 };
        assert_eq!(kind(slot), expected, "rights {mask:#b}");
        slot.delete().expect("to delete");

        row("rights.endpoint.grant-reply");
        reply.send(Message::new(8));
        settler.settle();
        let fault = puppet.faults.nb_recv(puppet.reply);
        if grant || grant_reply {
            assert_eq!((fault.badge, fault.label()), (PUPPET_BADGE, 3));
            assert_eq!(puppet.registers().x1, info(8, 0, 0), "the answer");
        } else {
            assert_eq!(fault.badge, 0, "it never comes back");
        }
        cap.slot().delete().expect("to delete");
        system.free_slot(cap.slot());
    }

    row("rights.reply.grant");
    let receive_slot = slot;
    for mask in ALL_MASKS {
        let answering = system.copy(reply, rights(mask)).expect("a copy");
        // A copy of a copy has no more.
        let again = system.copy(answering, CapRights::all()).expect("a copy");
        for through in [answering, again] {
            let buffer = puppet.buffer();
            buffer.write(1000, init::CNODE.bits());
            buffer.write(1008, receive_slot.index);
            buffer.write(1016, 64);
            let call = call_registers(CALL, endpoint.bits(), info(5, 0, 0), [0; 4], 0);
            puppet.begin_syscall(&call);
            endpoint.recv(reply);
            through.send(Message::new(9).cap(init::TCB));
            let Ended::Returned(registers) = puppet.end_of_syscall() else {
                panic!("an answered call")
            };
            let granted = u64::from(mask & 4 != 0);
            assert_eq!(registers.x1, info(9, granted, 0), "rights {mask:#b}");
            assert_eq!(kind(slot) == cap_type::THREAD, granted == 1);
            slot.delete().expect("to delete");
        }
        for copy in [answering, again] {
            copy.slot().delete().expect("to delete");
            system.free_slot(copy.slot());
        }
    }
}

fn notifications(system: &mut System, puppet: &Puppet) {
    let notification = system.notification().expect("a notification");
    for mask in ALL_MASKS {
        let cap = system
            .mint(notification, rights(mask), 0x10)
            .expect("a badge");
        rows(&["rights.notification.write", "cnode.mint.rights-first"]);
        let signal = invoke_label(cap.bits(), 0, &[], &[]);
        let expected = match mask & 1 {
            0 => (answer::invalid_capability(0), 0),
            _ => (answer::ok(), 0x10),
        };
        assert_eq!((signal, notification.poll()), expected, "rights {mask:#b}");
        rows(&["rights.notification.read", "cnode.mint.rights-first"]);
        for number in [-9, -10, -7, -8] {
            let wait = call_registers(number, cap.bits(), 0, [0; 4], 0);
            let signaller = system
                .mint(notification, CapRights::WRITE, 0x20)
                .expect("a badge");
            syscall::signal(signaller.bits());
            match puppet.syscall(&wait) {
                Ended::Returned(registers) => {
                    assert!(mask & 2 != 0, "rights {mask:#b}");
                    assert_eq!(registers.x0, 0x20);
                }
                fault => {
                    assert_eq!((mask & 2, fault), (0, refused(cap.bits())));
                    assert_eq!(notification.poll(), 0x20, "not taken");
                }
            }
            system.delete_copy(signaller).expect("to delete");
        }
        system.delete_copy(cap).expect("to delete");
    }
}

fn frames(system: &mut System, puppet: &Puppet) {
    let frame = object::<SmallPage>(system);
    // Loading and storing, through a capability mapped with all that it allows.
    let allowed = |system: &mut System, cap: Cap<SmallPage>| {
        let attributes = VmAttributes::default();
        let vaddr = system
            .map(cap, CapRights::all(), attributes)
            .expect("to map");
        let seen = (
            can_load(puppet, vaddr as u64),
            can_store(puppet, vaddr as u64),
        );
        system.unmap(cap, vaddr).expect("to unmap");
        seen
    };
    let masked = |system: &mut System, cap: Cap<SmallPage>, mask| {
        let copy = system.copy(cap, rights(mask)).expect("a copy");
        let seen = allowed(system, copy);
        system.delete_copy(copy).expect("to delete");
        seen
    };
    assert_eq!(allowed(system, frame), (true, true));
    let read_only = system.copy(frame, CapRights::READ).expect("a copy");
    let none = system.copy(frame, CapRights::WRITE).expect("a copy");
    for mask in ALL_MASKS {
        let (row_of_rw, expected) = match mask & 3 {
            3 => ("rights.frame.mask.rw-rw", (true, true)),
            2 => ("rights.frame.mask.rw-r", (true, false)),
            _ => ("rights.frame.mask.none", (false, false)),
        };
        rows(&["rights.frame.read", "rights.frame.write", row_of_rw]);
        assert_eq!(masked(system, frame, mask), expected, "mask {mask:#b}");
        let may_read = mask & 2 != 0;
        row(if may_read {
            "rights.frame.mask.r-r"
        } else {
            "rights.frame.mask.none"
        });
        let seen = masked(system, read_only, mask);
        assert_eq!(seen, (may_read, false), "read-only, mask {mask:#b}");
        rows(&["rights.frame.mask.none", "rights.mask"]);
        let seen = masked(system, none, mask);
        assert_eq!(seen, (false, false), "none, mask {mask:#b}");
    }
}

/// Copies without any rights of what has none: they do all the same.
fn others(system: &mut System) {
    row("rights.others");
    let tcb = object::<Tcb>(system);
    let tcb_copy = system.copy(tcb, CapRights::empty()).expect("a copy");
    assert_eq!(tcb_copy.set_priority(init::TCB, 9), Ok(()));
    let node = system.cnode(3).expect("a CNode");
    let node_copy = system.copy(node, CapRights::empty()).expect("a copy");
    let slot = libsel4::SlotPath::new(node_copy, 2, 3);
    assert_eq!(slot.copy_from(&tcb.slot(), CapRights::all()), Ok(()));
    let sched = system.sched_context(0).expect("a scheduling context");
    let sched_copy = system.copy(sched, CapRights::empty()).expect("a copy");
    assert_eq!(sched_copy.bind(tcb_copy), Ok(()));
    let control = system.boot().sched_control(0);
    let control_copy = system.copy(control, CapRights::empty()).expect("a copy");
    assert_eq!(control_copy.configure(sched, 1000, 1000, 0, 0), Ok(()));
    let memory = system.untyped(12).expect("memory");
    let memory_copy = system.copy(memory, CapRights::empty()).expect("a copy");
    let made = system.slot().expect("a slot");
    let retype =
        memory_copy.retype_into(libsel4::ObjectType::SmallPage, 0, init::CNODE, made.index);
    assert_eq!(retype, Ok(()));
    let vspace = system.copy(init::VSPACE, CapRights::empty());
    let frame = Cap::<SmallPage>::from_bits(made.index);
    let addresses = system.addresses(4096, 4096).expect("addresses");
    system
        .map_at(
            vspace.expect("a copy"),
            frame,
            addresses.start,
            CapRights::all(),
            VmAttributes::default(),
        )
        .expect("to map");
    let domain = system
        .copy(init::DOMAIN_SET, CapRights::empty())
        .expect("a copy");
    assert_eq!(domain.set(0, tcb), Ok(()));
    let pool = system
        .copy(init::ASID_POOL, CapRights::empty())
        .expect("a copy");
    assert_eq!(pool.assign(object(system)), Ok(()));
}
