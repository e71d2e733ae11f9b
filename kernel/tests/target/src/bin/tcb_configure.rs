//! Configuring threads: spaces, buffer, handlers, priorities, scheduling context and notification. Each refusal in the order of
//! the checks, and that it changes nothing.

#![no_std]
#![no_main]

use libsel4::abi::{Invocation, MAX_PRIORITY};
use libsel4::{
    BootInfo, CNodeCapData, Cap, CapRights, Endpoint, Error, PageTable, SmallPage, System, Tcb,
    VSpace, init, root_task,
};
use tern_target_tests::objects::{Answer, Puppet, answer, call_registers, info, invoke, object};
use tern_target_tests::rows::{row, rows};

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    spaces(&mut system);
    last_capability(&mut system);
    buffers(&mut system);
    handlers(&mut system);
    priorities(&mut system);
    sched_params(&mut system);
    notifications(&mut system);
}

const ILLEGAL: fn() -> Answer = answer::illegal_operation;

fn spaces(system: &mut System) {
    let tcb = object::<Tcb>(system).bits();
    let frame = object::<SmallPage>(system).bits();
    let endpoint = system.endpoint().expect("an endpoint").bits();
    let unassigned = object::<VSpace>(system).bits();
    let table = object::<PageTable>(system).bits();
    let (cspace, vspace) = (init::CNODE.bits(), init::VSPACE.bits());
    let configure =
        |caps: &[u64], words: &[u64]| invoke(tcb, Invocation::TcbConfigure, caps, words);
    let good = [cspace, vspace, frame];
    rows(&["tcb.configure.truncated", "tcb.configure.order"]);
    assert_eq!(configure(&good, &[0, 0]), answer::truncated());
    assert_eq!(configure(&good[..2], &[0, 0, 0]), answer::truncated());
    rows(&["tcb.configure.buffer-kind", "tcb.configure.order"]);
    // The buffer first: what it is, then where.
    for bad in [0, endpoint, table, unassigned, vspace] {
        assert_eq!(
            configure(&[0, 0, bad], &[0, 0, 1]),
            ILLEGAL(),
            "buffer {bad}"
        );
    }
    row("tcb.configure.buffer-aligned");
    for vaddr in [1, 0x1008, 0x1200, u64::MAX] {
        assert_eq!(
            configure(&[0, 0, frame], &[0, 0, vaddr]),
            answer::alignment(),
            "{vaddr:#x}"
        );
    }
    rows(&["tcb.configure.no-buffer", "tcb.configure.cspace"]);
    // Without an address the buffer is not looked at.
    for bad in [0, endpoint, vspace, tcb, unassigned] {
        assert_eq!(
            configure(&[bad, vspace, endpoint], &[0, 0, 0]),
            ILLEGAL(),
            "cspace {bad}"
        );
    }
    row("tcb.configure.vspace");
    for bad in [0, endpoint, cspace, table, unassigned] {
        assert_eq!(
            configure(&[cspace, bad, endpoint], &[0, 0, 0]),
            ILLEGAL(),
            "vspace {bad}"
        );
        assert_eq!(
            configure(&[cspace, bad, frame], &[0, 7, 0x400]),
            ILLEGAL(),
            "vspace {bad}"
        );
    }
    rows(&["tcb.configure.guard", "tcb.configure.vspace-data"]);
    // A guard that does not fit: the root CNode has 12 bits of its own.
    let guard = |size| CNodeCapData::new(0, size).0;
    assert_eq!(configure(&good, &[guard(53), 0, 0x1000]), ILLEGAL());
    assert_eq!(configure(&good, &[guard(52), 99, 0x1000]), answer::ok());

    let set_space = |caps: &[u64], words: &[u64]| invoke(tcb, Invocation::TcbSetSpace, caps, words);
    let good = [endpoint, cspace, vspace];
    row("tcb.space.truncated");
    assert_eq!(set_space(&good, &[0]), answer::truncated());
    assert_eq!(set_space(&good[..2], &[0, 0]), answer::truncated());
    rows(&["tcb.space.cspace", "tcb.space.vspace", "tcb.space.order"]);
    assert_eq!(set_space(&[tcb, endpoint, vspace], &[0, 0]), ILLEGAL());
    assert_eq!(set_space(&[tcb, cspace, unassigned], &[0, 0]), ILLEGAL());
    assert_eq!(
        set_space(&[tcb, cspace, vspace], &[guard(53), 0]),
        ILLEGAL()
    );
    rows(&["tcb.space.handler", "tcb.space.order"]);
    assert_eq!(
        set_space(&[tcb, cspace, vspace], &[0, 0]),
        answer::invalid_capability(1)
    );
    assert_eq!(
        set_space(&[0, cspace, vspace], &[0, 0]),
        answer::ok(),
        "no handler"
    );
    assert_eq!(set_space(&good, &[guard(52), 0]), answer::ok());
    rows(&["tcb.configure.guard", "tcb.configure.guard-zero"]);
    guards_of_spaces(system);
}

/// Guard data 0 leaves the guard of the capability as it is; other data become the guard. For SetSpace and for Configure.
fn guards_of_spaces(system: &mut System) {
    rows(&["badge-data.guard.zero-tcb", "error.failed-lookup.guard"]);
    let puppet = Puppet::new(system, 0, 100);
    let failure = || {
        puppet.begin_syscall(&call_registers(-1, 1 << 12, 0, [0; 4], 0));
        Answer::of(&puppet.faults.recv(puppet.reply).message).words[3..].to_vec()
    };
    let (buffer, frame) = (puppet.buffer().start() as u64, puppet.buffer_frame());
    let (root, faults) = (init::CNODE, Some(puppet.faults));
    let set_space = |data| puppet.tcb.set_space(faults, root, data, init::VSPACE);
    let configure = |data| {
        puppet
            .tcb
            .configure(root, data, init::VSPACE, buffer, Some(frame))
    };
    for set in [&set_space as &dyn Fn(u64) -> Result<(), Error>, &configure] {
        set(0).expect("a space");
        assert_eq!(failure(), [4, 64, 0, 52]);
        set(CNodeCapData::new(5, 3).0).expect("a space");
        assert_eq!(failure(), [4, 64, 5, 3]);
        set(0).expect("a space");
        assert_eq!(failure(), [4, 64, 0, 52]);
    }
}

/// A space whose last capability is the thread's cannot be replaced: that could take long.
fn last_capability(system: &mut System) {
    let tcb = object::<Tcb>(system);
    rows(&[
        "tcb.configure.last-capability",
        "tcb.space.last-capability",
        "tcb.configure.order",
    ]);
    let set = || tcb.set_space(None, init::CNODE, 0, init::VSPACE);
    let configure = || tcb.configure(init::CNODE, 0, init::VSPACE, 0, None);
    let node = system.cnode(3).expect("a CNode");
    tcb.set_space(None, node, 0, init::VSPACE).expect("a space");
    node.slot().delete().expect("to delete");
    assert_eq!(set(), Err(Error::IllegalOperation));
    assert_eq!(configure(), Err(Error::IllegalOperation));
    // But a wrong buffer comes first.
    let frame = object::<SmallPage>(system);
    let both = tcb.configure(init::CNODE, 0, init::VSPACE, 8, Some(frame));
    assert_eq!(both, Err(Error::AlignmentError));
    // The thread itself can go, with the CNode.
    tcb.slot().delete().expect("to delete");
}

fn buffers(system: &mut System) {
    let tcb = object::<Tcb>(system).bits();
    let frame = object::<SmallPage>(system);
    let device = system
        .device_frame::<SmallPage>(0x900_0000)
        .expect("a device");
    let set = |caps: &[u64], words: &[u64]| invoke(tcb, Invocation::TcbSetIpcBuffer, caps, words);
    row("tcb.buffer.truncated");
    assert_eq!(set(&[frame.bits()], &[]), answer::truncated());
    assert_eq!(set(&[], &[0]), answer::truncated());
    rows(&["tcb.buffer.kind", "tcb.buffer.none"]);
    for bad in [0, tcb, device.bits()] {
        assert_eq!(set(&[bad], &[1]), ILLEGAL(), "{bad}");
        assert_eq!(set(&[bad], &[0]), answer::ok(), "address 0: no buffer");
    }
    row("tcb.buffer.aligned");
    assert_eq!(set(&[frame.bits()], &[0x201]), answer::alignment());
    assert_eq!(set(&[frame.bits()], &[0x400]), answer::ok());
    row("tcb.configure.buffer-kind");
    let configure = [init::CNODE.bits(), init::VSPACE.bits(), device.bits()];
    assert_eq!(
        invoke(tcb, Invocation::TcbConfigure, &configure, &[0, 0, 1]),
        ILLEGAL()
    );
}

fn handlers(system: &mut System) {
    let tcb = object::<Tcb>(system).bits();
    let endpoint = system.endpoint().expect("an endpoint");
    rows(&["tcb.timeout.truncated", "tcb.timeout.handler"]);
    let set = |caps: &[u64]| invoke(tcb, Invocation::TcbSetTimeoutEndpoint, caps, &[]);
    assert_eq!(set(&[]), answer::truncated());
    assert_eq!(set(&[0]), answer::ok());
    assert_eq!(set(&[endpoint.bits()]), answer::ok());
    let mut with = |rights| system.copy(endpoint, rights).expect("a copy").bits();
    let reply = CapRights::GRANT_REPLY;
    for rights in [
        CapRights::WRITE | reply,
        CapRights::WRITE | CapRights::GRANT,
    ] {
        assert_eq!(set(&[with(rights)]), answer::ok(), "{rights:?}");
    }
    for rights in [
        CapRights::WRITE,
        CapRights::NO_WRITE,
        CapRights::READ_WRITE,
        reply,
    ] {
        assert_eq!(
            set(&[with(rights)]),
            answer::invalid_capability(1),
            "{rights:?}"
        );
    }
    for bad in [tcb, init::CNODE.bits(), init::IPC_BUFFER_FRAME.bits()] {
        assert_eq!(set(&[bad]), answer::invalid_capability(1));
    }
}

fn priorities(system: &mut System) {
    rows(&["object.priority.range", "object.priority.new"]);
    let tcb = object::<Tcb>(system);
    let weak = object::<Tcb>(system);
    let other = system.endpoint().expect("an endpoint").bits();
    for (method, in_library) in [
        (
            Invocation::TcbSetPriority,
            Cap::<Tcb>::set_priority as fn(_, _, _) -> _,
        ),
        (Invocation::TcbSetMcPriority, Cap::<Tcb>::set_mc_priority),
    ] {
        let set = |caps: &[u64], words: &[u64]| invoke(tcb.bits(), method, caps, words);
        row("tcb.priority.truncated");
        assert_eq!(set(&[init::TCB.bits()], &[]), answer::truncated());
        assert_eq!(set(&[], &[0]), answer::truncated());
        rows(&["tcb.priority.authority", "tcb.priority.order"]);
        for bad in [0, other] {
            assert_eq!(set(&[bad], &[256]), answer::invalid_capability(1));
        }
        rows(&["tcb.priority.range", "tcb.priority.whole-word"]);
        for value in [256, 1 << 32, u64::MAX] {
            assert_eq!(set(&[init::TCB.bits()], &[value]), answer::range(0, 255));
            assert_eq!(set(&[weak.bits()], &[value]), answer::range(0, 0));
        }
        assert_eq!(set(&[weak.bits()], &[1]), answer::range(0, 0));
        assert_eq!(set(&[weak.bits()], &[0]), answer::ok());
        assert_eq!(in_library(tcb, init::TCB, MAX_PRIORITY), Ok(()));
    }
    rows(&["tcb.priority.range", "tcb.priority.own-maximum"]);
    // What counts is the authority's own limit, not its priority.
    rows(&["object.priority.authority", "object.priority.independent"]);
    weak.set_mc_priority(init::TCB, 7).expect("a limit");
    assert_eq!(
        tcb.set_priority(weak, 8),
        Err(Error::RangeError { min: 0, max: 7 })
    );
    assert_eq!(tcb.set_priority(weak, 7), Ok(()));
    weak.set_priority(init::TCB, 200)
        .expect("a priority above the limit");
    assert_eq!(
        weak.set_mc_priority(weak, 8),
        Err(Error::RangeError { min: 0, max: 7 })
    );
    assert_eq!(weak.set_mc_priority(weak, 3), Ok(()));
    assert_eq!(
        tcb.set_priority(weak, 7),
        Err(Error::RangeError { min: 0, max: 3 })
    );
}

fn sched_params(system: &mut System) {
    let tcb = object::<Tcb>(system);
    let weak = object::<Tcb>(system);
    weak.set_mc_priority(init::TCB, 5).expect("a limit");
    let endpoint = system.endpoint().expect("an endpoint");
    let sched = system.sched_context(0).expect("a scheduling context");
    let other_sched = system.sched_context(0).expect("a scheduling context");
    let root = init::TCB.bits();
    let set = |caps: &[u64], words: &[u64]| {
        invoke(tcb.bits(), Invocation::TcbSetSchedParams, caps, words)
    };
    rows(&["tcb.params.truncated", "tcb.params.order"]);
    assert_eq!(set(&[root, 0, 0], &[0]), answer::truncated());
    assert_eq!(set(&[root, 0], &[0, 0]), answer::truncated());
    rows(&["tcb.params.authority", "tcb.params.order"]);
    assert_eq!(
        set(&[0, root, root], &[256, 256]),
        answer::invalid_capability(1)
    );
    row("object.priority.authority");
    rows(&["tcb.params.mcp", "tcb.params.order"]);
    assert_eq!(
        set(&[weak.bits(), root, root], &[6, 256]),
        answer::range(0, 5)
    );
    row("tcb.params.priority");
    assert_eq!(
        set(&[weak.bits(), root, root], &[5, 6]),
        answer::range(0, 5)
    );
    assert_eq!(set(&[root, root, root], &[255, 256]), answer::range(0, 255));
    row("tcb.params.context-kind");
    assert_eq!(
        set(&[root, root, root], &[5, 5]),
        answer::invalid_capability(2)
    );
    assert_eq!(
        set(&[root, endpoint.bits(), root], &[5, 5]),
        answer::invalid_capability(2)
    );
    rows(&["tcb.params.handler", "tcb.params.order"]);
    for bad in [root, sched.bits()] {
        assert_eq!(
            set(&[root, sched.bits(), bad], &[5, 5]),
            answer::invalid_capability(3)
        );
        assert_eq!(set(&[root, 0, bad], &[5, 5]), answer::invalid_capability(3));
    }
    let cannot_reply: Cap<Endpoint> = system
        .copy(endpoint, CapRights::READ_WRITE)
        .expect("a copy");
    let seen = set(&[root, sched.bits(), cannot_reply.bits()], &[5, 5]);
    assert_eq!(seen, answer::invalid_capability(3));
    // Nothing was bound by any of these, and no limit was raised.
    assert_eq!(sched.bind(tcb), Ok(()));
    assert_eq!(
        weak.set_priority(tcb, 1),
        Err(Error::RangeError { min: 0, max: 0 })
    );
    rows(&[
        "tcb.params.has-context",
        "tcb.params.context-taken",
        "tcb.params.same-context",
    ]);
    // Bound to another, or bound already; the same again is fine.
    assert_eq!(set(&[root, other_sched.bits(), 0], &[9, 5]), ILLEGAL());
    let for_weak = |sched: u64| {
        invoke(
            weak.bits(),
            Invocation::TcbSetSchedParams,
            &[root, sched, 0],
            &[9, 5],
        )
    };
    assert_eq!(for_weak(sched.bits()), ILLEGAL());
    assert_eq!(
        weak.set_priority(tcb, 1),
        Err(Error::RangeError { min: 0, max: 0 })
    );
    assert_eq!(
        set(&[root, sched.bits(), endpoint.bits()], &[9, 5]),
        answer::ok()
    );
    assert_eq!(weak.set_priority(tcb, 9), Ok(()));
    row("tcb.params.unbind");
    // None: unbound.
    assert_eq!(set(&[root, 0, 0], &[9, 5]), answer::ok());
    assert_eq!(for_weak(sched.bits()), answer::ok());
    row("tcb.params.own-context");
    // Its own cannot be taken by the caller.
    let own = invoke(
        root,
        Invocation::TcbSetSchedParams,
        &[root, 0, 0],
        &[255, 255],
    );
    assert_eq!(own, ILLEGAL());

    row("tcb.params.blocked");
    // A blocked thread needs a scheduling context that has time.
    let puppet = Puppet::new(system, 0, 100);
    let fresh = system.sched_context(0).expect("a scheduling context");
    puppet.begin_syscall(&call_registers(-1000, 0, 0, [0; 4], 0));
    puppet.fault();
    puppet.sched.unbind().expect("to unbind");
    let bind = |sched: u64| {
        let caps = [root, sched, 0];
        invoke(
            puppet.tcb.bits(),
            Invocation::TcbSetSchedParams,
            &caps,
            &[0, 100],
        )
    };
    assert_eq!(bind(fresh.bits()), ILLEGAL(), "not configured");
    assert_eq!(fresh.bind(puppet.tcb), Err(Error::IllegalOperation));
    assert_eq!(bind(puppet.sched.cap().bits()), answer::ok());
}

fn notifications(system: &mut System) {
    let tcb = object::<Tcb>(system);
    let [one, two] = [0; 2].map(|_| system.notification().expect("a notification"));
    let bind = |caps: &[u64]| invoke(tcb.bits(), Invocation::TcbBindNotification, caps, &[]);
    let unbind = || invoke(tcb.bits(), Invocation::TcbUnbindNotification, &[], &[]);
    rows(&["tcb.unbind.unbound", "tcb.bind.truncated"]);
    assert_eq!(unbind(), ILLEGAL());
    assert_eq!(bind(&[]), answer::truncated());
    row("tcb.bind.kind");
    for bad in [
        0,
        tcb.bits(),
        system.endpoint().expect("an endpoint").bits(),
    ] {
        assert_eq!(bind(&[bad]), ILLEGAL());
    }
    row("tcb.bind.read");
    let deaf = system.copy(one, CapRights::NO_READ).expect("a copy");
    assert_eq!(bind(&[deaf.bits()]), ILLEGAL());
    row("tcb.bind.waiters");
    // Somebody waits on it.
    let puppet = Puppet::new(system, 0, 100);
    let settler = tern_target_tests::objects::Settler::new(system);
    puppet.begin_syscall(&call_registers(-9, one.bits(), info(0, 0, 0), [0; 4], 0));
    settler.settle();
    assert_eq!(bind(&[one.bits()]), ILLEGAL());
    one.signal();
    puppet.fault();
    rows(&["tcb.bind.bound", "tcb.bind.signalled", "tcb.bind.waiters"]);
    // One of each.
    one.signal();
    let readable = system.copy(one, CapRights::READ).expect("a copy");
    assert_eq!(
        bind(&[readable.bits()]),
        answer::ok(),
        "also when it is signalled"
    );
    assert_eq!(bind(&[one.bits()]), ILLEGAL());
    assert_eq!(bind(&[two.bits()]), ILLEGAL());
    assert_eq!(bind(&[]), answer::truncated(), "first of all");
    assert_eq!(
        puppet.tcb.bind_notification(one),
        Err(Error::IllegalOperation)
    );
    row("tcb.unbind.again");
    assert_eq!(unbind(), answer::ok());
    assert_eq!(unbind(), ILLEGAL());
    assert_eq!(bind(&[two.bits()]), answer::ok());
    assert_eq!(puppet.tcb.bind_notification(one), Ok(()));
}
