//! What Configure, SetSpace, SetIPCBuffer and SetSchedParams install in a thread: it is used from then on, it is derived
//! from what was given, and everything else stays. Capabilities that cannot be copied cannot be installed either.

#![no_std]
#![no_main]

use libsel4::abi::{Invocation, UserContext};
use libsel4::{
    BootInfo, CNodeCapData, Cap, CapRights, Endpoint, LargePage, PageTable, SmallPage, System, Tcb,
    VSpace, init, root_task,
};
use tern_target_tests::code::address_of;
use tern_target_tests::objects::{
    Answer, Ended, Pause, Puppet, Settler, Window, answer, buffer_word, call_registers, info,
    invoke, object,
};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::snippets;

root_task!(main);

snippets! {
    load: "ldr x1, [x0]";
    endless: "b .";
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let core = boot.cores() - 1;
    let settler = Settler::new(&mut system);
    let pause = Pause::new(&mut system);
    underivable(&mut system);
    spaces(&mut system, &settler, core);
    buffers(&mut system, core);
    large_buffer(&mut system, core);
    handlers(&mut system, &pause, core);
}

/// Errors of copying come before what the capability should have been.
fn underivable(system: &mut System) {
    let tcb = object::<Tcb>(system).bits();
    let untyped = system.untyped(12).expect("memory");
    let child = system.slot().expect("a slot");
    let retype = [2, 0, 0, 0, child.index, 1];
    let made = invoke(
        untyped.bits(),
        Invocation::UntypedRetype,
        &[init::CNODE.bits()],
        &retype,
    );
    assert_eq!(made, answer::ok());
    let parent = untyped.bits();
    let (table, space) = (
        object::<PageTable>(system).bits(),
        object::<VSpace>(system).bits(),
    );
    let (cspace, vspace) = (init::CNODE.bits(), init::VSPACE.bits());
    let endpoint = system.endpoint().expect("an endpoint").bits();
    let configure =
        |caps: &[u64], words: &[u64]| invoke(tcb, Invocation::TcbConfigure, caps, words);
    let set_space = |caps: &[u64]| invoke(tcb, Invocation::TcbSetSpace, caps, &[0, 0]);
    let set_buffer = |cap| invoke(tcb, Invocation::TcbSetIpcBuffer, &[cap], &[1]);
    let (illegal, revoke) = (answer::illegal_operation, answer::revoke_first);
    rows(&["tcb.configure.derive", "tcb.configure.order"]);
    assert_eq!(configure(&[0, 0, parent], &[0, 0, 1]), revoke());
    assert_eq!(configure(&[parent, 0, 0], &[0, 0, 0]), revoke());
    assert_eq!(configure(&[cspace, parent, 0], &[0, 0, 0]), revoke());
    for bad in [table, space] {
        assert_eq!(configure(&[parent, parent, bad], &[0, 0, 1]), illegal());
        assert_eq!(configure(&[bad, parent, 0], &[0, 0, 0]), illegal());
        assert_eq!(configure(&[cspace, bad, 0], &[0, 0, 0]), illegal());
    }
    row("tcb.buffer.kind");
    assert_eq!(set_buffer(parent), revoke());
    for bad in [table, space] {
        assert_eq!(set_buffer(bad), illegal());
    }
    rows(&["tcb.space.cspace", "tcb.space.vspace", "tcb.space.order"]);
    assert_eq!(set_space(&[tcb, parent, 0]), revoke());
    assert_eq!(set_space(&[tcb, cspace, parent]), revoke());
    assert_eq!(set_space(&[tcb, table, parent]), illegal());
    assert_eq!(set_space(&[tcb, cspace, space]), illegal());
    // The last capability to the present root comes before both.
    rows(&["tcb.configure.last-capability", "tcb.space.last-capability"]);
    let node = system.cnode(2).expect("a CNode");
    assert_eq!(set_space(&[0, node.bits(), vspace]), answer::ok());
    node.slot().delete().expect("to delete");
    assert_eq!(set_space(&[endpoint, parent, vspace]), illegal());
    assert_eq!(configure(&[parent, vspace, 0], &[0, 0, 0]), illegal());
    assert_eq!(configure(&[parent, vspace, parent], &[0, 0, 1]), revoke());
}

/// A capability space and an address space of its own, by either method.
fn spaces(system: &mut System, settler: &Settler, core: usize) {
    let puppet = Puppet::new(system, core, 100);
    let tcb = puppet.tcb;
    let node = system.cnode(4).expect("a CNode");
    let notification = system.notification().expect("a notification");
    node.copy(3, 4, &notification.slot(), CapRights::all())
        .expect("a copy");
    let guard = CNodeCapData::new(0, 60).0;
    let (buffer, frame) = (puppet.buffer().start() as u64, puppet.buffer_frame());
    let faults: Cap<Endpoint> = puppet.faults;
    let set = |configure: bool, node, guard, vspace| {
        if configure {
            tcb.configure(node, guard, vspace, buffer, Some(frame))
        } else {
            tcb.set_space(Some(faults), node, guard, vspace)
        }
    };
    // A signal by its address in the new space, and whether the address of the old one resolves.
    let signal = |cptr| puppet.syscall(&call_registers(-5, cptr, 0, [0; 4], 0));
    for configure in [true, false] {
        rows(&["tcb.configure.effect", "tcb.space.cspace"]);
        set(configure, node, guard, init::VSPACE).expect("a space");
        // SetSpace gave it a handler without a badge.
        let badged = system
            .mint(faults, CapRights::all(), 0xfa)
            .expect("a badge");
        tcb.set_sched_params(init::TCB, 0, 100, Some(puppet.sched.cap()), Some(badged))
            .expect("a handler");
        assert!(matches!(signal(3), Ended::Returned(_)));
        assert_eq!(notification.poll(), 0, "signalled, without a badge");
        let badge = system
            .mint(notification, CapRights::all(), 5)
            .expect("a badge");
        node.delete(3, 4).expect("to delete");
        node.copy(3, 4, &badge.slot(), CapRights::all())
            .expect("a copy");
        assert!(matches!(signal(3), Ended::Returned(_)));
        assert_eq!(notification.poll(), 5);
        let old = signal(notification.bits());
        assert!(matches!(old, Ended::Faulted(fault) if fault.label == 1));
        // The root in the thread is the given capability's child.
        row("tcb.configure.derivation");
        node.slot().revoke().expect("to revoke");
        let gone = signal(3);
        let Ended::Faulted(fault) = gone else {
            panic!("{gone:?}")
        };
        assert_eq!(&fault.words[1..4], [3, 0, 1], "an invalid root");
        set(configure, init::CNODE, 0, init::VSPACE).expect("a space");
        tcb.set_sched_params(init::TCB, 0, 100, Some(puppet.sched.cap()), Some(badged))
            .expect("a handler");
        node.delete(3, 4).expect("to delete");
        node.copy(3, 4, &notification.slot(), CapRights::all())
            .expect("a copy");

        // An address space in which nothing is mapped.
        row("tcb.configure.effect");
        let empty = system.vspace().expect("an address space");
        set(configure, init::CNODE, 0, empty).expect("a space");
        let context = UserContext {
            pc: address_of(load),
            ..UserContext::default()
        };
        let handler = Some(badged);
        tcb.set_sched_params(init::TCB, 0, 100, Some(puppet.sched.cap()), handler)
            .expect("a handler");
        let fault = puppet.run_to_fault(&context);
        assert_eq!((fault.label, fault.words[2]), (6, 1), "a fetch fault");
        row("tcb.configure.derivation");
        empty.slot().revoke().expect("to revoke");
        // Nothing to run in, it faults as before.
        let fault = puppet.run_to_fault(&context);
        assert_eq!((fault.label, fault.words[2]), (6, 1), "a fetch fault");
        system.destroy(empty).expect("to destroy");
        set(configure, init::CNODE, 0, init::VSPACE).expect("a space");
        tcb.set_sched_params(init::TCB, 0, 100, Some(puppet.sched.cap()), handler)
            .expect("a handler");
        settler.settle();
        assert!(matches!(signal(notification.bits()), Ended::Returned(_)));
        notification.poll();
    }
}

/// Where the words beyond the registers go.
fn buffers(system: &mut System, core: usize) {
    let puppet = Puppet::new(system, core, 100);
    let target = object::<Tcb>(system);
    let words = [0, 6, 11, 12, 0, 13, 14, 15];
    let method = Invocation::TcbWriteRegisters;
    assert_eq!(invoke(target.bits(), method, &[], &words), answer::ok());
    // Its sixth word is 15, in the buffer.
    let label = Invocation::TcbReadRegisters.label();
    let ask = || {
        let registers = call_registers(-1, target.bits(), info(label, 0, 2), [0, 6, 0, 0], 0);
        match puppet.syscall(&registers) {
            Ended::Returned(after) => after.x1,
            Ended::Faulted(fault) => panic!("{fault:?}"),
        }
    };
    let frame = object::<SmallPage>(system);
    let copy = system.copy(frame, CapRights::READ_WRITE).expect("a copy");
    let window = Window::map(system, copy);
    let address = 0x1234_5400;
    let word = buffer_word(5);
    let old = puppet.buffer();
    let place = (address % 4096) as usize + word;
    let configure = |buffer, frame| {
        puppet
            .tcb
            .configure(init::CNODE, 0, init::VSPACE, buffer, frame)
            .expect("to configure");
    };
    for by_configure in [false, true] {
        rows(&["tcb.buffer.effect", "tcb.configure.effect"]);
        if by_configure {
            configure(address, Some(frame));
        } else {
            puppet
                .tcb
                .set_ipc_buffer(address, Some(frame))
                .expect("a buffer");
        }
        old.write(word, 0);
        window.write(place, 0);
        assert_eq!(ask(), info(0, 0, 6));
        // The user's mapping at that address does not matter; the place in the frame does.
        assert_eq!((old.read(word), window.read(place)), (0, 15));
        row("tcb.space.buffer");
        puppet
            .tcb
            .set_space(Some(puppet.faults), init::CNODE, 0, init::VSPACE)
            .expect("a space");
        let badged = system.mint(puppet.faults, CapRights::all(), 0xfa);
        let handler = Some(badged.expect("a badge"));
        puppet
            .tcb
            .set_sched_params(init::TCB, 0, 100, Some(puppet.sched.cap()), handler)
            .expect("a handler");
        window.write(place, 0);
        assert_eq!(ask(), info(0, 0, 6));
        assert_eq!(window.read(place), 15);
        rows(&["tcb.buffer.derivation", "tcb.configure.derivation"]);
        let again = object::<SmallPage>(system);
        if by_configure {
            configure(address, Some(again));
        } else {
            let set = puppet.tcb.set_ipc_buffer(address, Some(again));
            set.expect("a buffer");
        }
        assert_eq!(ask(), info(0, 0, 6));
        again.slot().revoke().expect("to revoke");
        assert_eq!(ask(), info(0, 0, 4), "no buffer");
        rows(&["tcb.buffer.none", "tcb.configure.no-buffer"]);
        puppet.restore_buffer();
        assert_eq!(ask(), info(0, 0, 6));
        if by_configure {
            configure(0, None);
        } else {
            puppet.remove_buffer();
        }
        assert_eq!(ask(), info(0, 0, 4), "no buffer");
    }
}

/// A buffer in a larger frame, at the offset that the address has in it.
fn large_buffer(system: &mut System, core: usize) {
    row("tcb.buffer.effect");
    let puppet = Puppet::new(system, core, 100);
    let frame = object::<LargePage>(system);
    let copy = system.copy(frame, CapRights::READ_WRITE).expect("a copy");
    let window = Window::map(system, copy);
    let (place, word) = (0x12_3400, buffer_word(5));
    let set = puppet
        .tcb
        .set_ipc_buffer(0x4000_0000 + place as u64, Some(frame.cast()));
    set.expect("a buffer");
    let label = Invocation::TcbReadRegisters.label();
    let other = object::<Tcb>(system);
    let message = [0, 6, 1, 2, 0, 4, 5, 6];
    invoke(other.bits(), Invocation::TcbWriteRegisters, &[], &message);
    let call = call_registers(-1, other.bits(), info(label, 0, 2), [0, 6, 0, 0], 0);
    assert!(matches!(puppet.syscall(&call), Ended::Returned(_)));
    assert_eq!(window.read(place + word), 6);
}

/// Who sets which handler, and who leaves it alone.
fn handlers(system: &mut System, pause: &Pause, core: usize) {
    let puppet = Puppet::new(system, core, 100);
    let other = system.endpoint().expect("an endpoint");
    let context = UserContext {
        pc: address_of(load),
        ..UserContext::default()
    };
    let reply = puppet.reply;
    let goes_to = |endpoint: Cap<Endpoint>| {
        puppet.start(&context);
        let fault = Answer::of(&endpoint.recv(reply).message);
        assert_eq!((fault.label, fault.words[1]), (6, 0));
    };
    let silent = || {
        puppet.start(&context);
        pause.pause();
        for endpoint in [puppet.faults, other] {
            // Of what arrives, only a sender that waits would be left.
            assert_eq!(endpoint.nb_recv(reply).label(), 0);
        }
        assert_eq!(puppet.registers().pc, context.pc);
    };
    let params = |handler: Option<Cap<Endpoint>>| {
        puppet
            .tcb
            .set_sched_params(init::TCB, 0, 100, Some(puppet.sched.cap()), handler)
            .expect("parameters");
    };
    let space = |handler: Option<Cap<Endpoint>>| {
        puppet
            .tcb
            .set_space(handler, init::CNODE, 0, init::VSPACE)
            .expect("spaces");
    };
    row("tcb.space.handler-effect");
    space(Some(other));
    goes_to(other);
    space(None);
    silent();
    row("tcb.params.no-handler");
    params(Some(other));
    goes_to(other);
    params(None);
    silent();
    row("tcb.configure.handlers");
    params(Some(puppet.faults));
    let configure = puppet.tcb.configure(init::CNODE, 0, init::VSPACE, 0, None);
    configure.expect("to configure");
    goes_to(puppet.faults);
    // The timeout handler too.
    let timeouts = system.endpoint().expect("an endpoint");
    puppet
        .tcb
        .set_timeout_endpoint(Some(timeouts))
        .expect("a handler");
    let configure = puppet.tcb.configure(init::CNODE, 0, init::VSPACE, 0, None);
    configure.expect("to configure");
    space(Some(other));
    params(Some(puppet.faults));
    let control = system.boot().sched_control(core);
    control
        .configure(puppet.sched.cap(), 100, 5_000, 0, 0x55)
        .expect("a budget");
    puppet.start(&UserContext {
        pc: address_of(endless),
        ..UserContext::default()
    });
    let fault = Answer::of(&timeouts.recv(reply).message);
    assert_eq!((fault.label, fault.words[0]), (5, 0x55));
}
