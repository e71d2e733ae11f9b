//! What new objects and their capabilities are like: sizes, rights, badges, guards, priorities, flags; and what the first
//! thread has. Types are told by DebugCapIdentify.

#![no_std]
#![no_main]

use libsel4::abi::{Invocation, cap_type};
use libsel4::{
    BootInfo, CNode, CNodeCapData, Cap, CapRights, Error, Message, Notification, ObjectType, Reply,
    SlotPath, SmallPage, System, Tcb, Untyped, VmAttributes, debug, init, root_task,
};
use tern_target_tests::objects::{
    Answer, Ended, PUPPET_BADGE, Puppet, Settler, answer, call_registers, info, invoke,
    invoke_label, kind, object,
};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::touch::{can_load, can_store};

root_task!(main);

const ROOT: u64 = init::CNODE.bits();

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    types(&mut system);
    asid_pools(&mut system);
    refills(&mut system);
    new_capabilities(&mut system);
    guards(&mut system);
    priorities(&mut system);
    flags(&mut system);
}

fn types(system: &mut System) {
    let line = system.slot().expect("a slot");
    let signal = system.slot().expect("a slot");
    init::IRQ_CONTROL.get(50, &line).expect("a handler");
    init::IRQ_CONTROL
        .issue_sgi_signal(3, 0, &signal)
        .expect("a signal");
    for (id, cap, number) in [
        (
            "object.cap-type.null",
            system.slot().expect("a slot").index,
            0,
        ),
        ("object.cap-type.frame", init::IPC_BUFFER_FRAME.bits(), 1),
        ("object.cap-type.vspace", init::VSPACE.bits(), 9),
        ("object.cap-type.cnode", ROOT, 10),
        (
            "object.cap-type.asid-control",
            init::ASID_CONTROL.bits(),
            11,
        ),
        ("object.cap-type.thread", init::TCB.bits(), 12),
        ("object.cap-type.asid-pool", init::ASID_POOL.bits(), 13),
        ("object.cap-type.irq-control", init::IRQ_CONTROL.bits(), 14),
        ("object.cap-type.irq-handler", line.index, 16),
        ("object.cap-type.domain", init::DOMAIN_SET.bits(), 20),
        (
            "object.cap-type.sched-context",
            init::SCHED_CONTEXT.bits(),
            22,
        ),
        (
            "object.cap-type.sched-control",
            system.boot().sched_control(0).bits(),
            24,
        ),
        ("object.cap-type.sgi", signal.index, 27),
    ] {
        row(id);
        assert_eq!(kind(SlotPath::in_root(cap)), number, "{id}");
    }
    // The others by their numbers in the order of their types.
    rows(&[
        "object.cap-type.untyped",
        "object.cap-type.endpoint",
        "object.cap-type.notification",
        "object.cap-type.reply",
        "object.cap-type.page-table",
        "object.type-count",
    ]);
    let memory = system.untyped(22).expect("memory");
    let made = system.slot().expect("a slot");
    let numbers = [2, 12, 4, 6, 10, 22, 8, 0, 9, 1, 1, 3];
    for (object, number) in (0..).zip(numbers).filter(|&(object, _)| object != 7) {
        let words = [object, 7, 0, 0, made.index, 1];
        let seen = invoke_label(memory.bits(), 1, &[ROOT], &words);
        assert_eq!(seen, answer::ok(), "type {object}");
        assert_eq!(kind(made), number, "type {object}");
        made.delete().expect("to delete");
    }
    // The huge frame would be there, were there room.
    let words = [7, 7, 0, 0, made.index, 1];
    let huge = invoke_label(memory.bits(), 1, &[ROOT], &words);
    assert_eq!(huge, answer::not_enough_memory(1 << 22));
    line.delete().expect("to delete");
    system.destroy(memory).expect("to destroy");
}

fn asid_pools(system: &mut System) {
    row("object.asid-pool");
    let slot = system.slot().expect("a slot");
    for bits in [11, 13] {
        let memory = system.untyped(bits).expect("memory");
        let made = init::ASID_CONTROL.make_pool(memory, &slot);
        assert_eq!(made, Err(Error::InvalidCapability { index: 1 }), "2^{bits}");
    }
    let memory: Cap<Untyped> = system.untyped(12).expect("memory");
    init::ASID_CONTROL.make_pool(memory, &slot).expect("a pool");
    assert_eq!(kind(slot), cap_type::ASID_POOL);
    // All of the memory is in use.
    let words = [2, 0, 0, 0, system.slot().expect("a slot").index, 1];
    let full = invoke_label(memory.bits(), 1, &[ROOT], &words);
    assert_eq!(full, answer::not_enough_memory(0));
    memory.slot().revoke().expect("to revoke");
    assert_eq!(kind(slot), 0);
}

fn refills(system: &mut System) {
    row("object.sched-context.refills");
    let control = system.boot().sched_control(system.cores() - 1);
    let memory = system.untyped(14).expect("memory");
    let slot = system.slot().expect("a slot");
    for (bits, extra) in [
        (7, 0),
        (8, 8),
        (9, 24),
        (10, 56),
        (11, 120),
        (12, 248),
        (13, 504),
    ] {
        memory
            .retype_into(ObjectType::SchedContext, bits, init::CNODE, slot.index)
            .expect("a scheduling context");
        let configure = |extra| control.configure(Cap::from_bits(slot.index), 1000, 2000, extra, 0);
        let range = Err(Error::RangeError { min: 0, max: extra });
        assert_eq!(configure(extra + 1), range, "2^{bits} bytes");
        assert_eq!(configure(u64::MAX), range, "2^{bits} bytes");
        assert_eq!(configure(extra), Ok(()), "2^{bits} bytes");
        assert_eq!(configure(0), Ok(()), "2^{bits} bytes");
        slot.delete().expect("to delete");
    }
    system.destroy(memory).expect("to destroy");
}

/// Full rights, no badge, no mapping.
fn new_capabilities(system: &mut System) {
    row("untyped.caps");
    let settler = Settler::new(system);
    let puppet = Puppet::new(system, 0, 100);
    let endpoint = system.endpoint().expect("an endpoint");
    assert_eq!(endpoint.slot().cancel_badged_sends(), Ok(()), "all rights");
    let mint = |system: &mut System, cap: Cap<libsel4::Null>| {
        let badged = system.mint(cap, CapRights::all(), 5);
        badged.expect("it has no badge yet")
    };
    mint(system, endpoint.cast());
    let send = call_registers(-5, endpoint.bits(), info(1, 0, 0), [0; 4], 0);
    puppet.begin_syscall(&send);
    let received = endpoint.wait();
    assert_eq!((received.badge, received.label()), (0, 1));
    assert!(matches!(puppet.end_of_syscall(), Ended::Returned(_)));

    let notification: Cap<Notification> = system.notification().expect("a notification");
    mint(system, notification.cast())
        .cast::<Notification>()
        .signal();
    assert_eq!(notification.poll(), 5);
    let seen = invoke_label(notification.bits(), 0, &[], &[]);
    assert_eq!(seen, answer::ok(), "it may signal");

    let reply: Cap<Reply> = system.reply().expect("a reply object");
    let slot = system.slot().expect("a slot");
    let buffer = puppet.buffer();
    buffer.write(1000, ROOT);
    buffer.write(1008, slot.index);
    buffer.write(1016, 64);
    puppet.begin_syscall(&call_registers(-1, endpoint.bits(), 0, [0; 4], 0));
    endpoint.recv(reply);
    reply.send(Message::new(0).cap(init::TCB));
    assert!(matches!(puppet.end_of_syscall(), Ended::Returned(_)));
    assert_eq!(kind(slot), cap_type::THREAD, "it may grant");

    let frame = object::<SmallPage>(system);
    let unmapped = frame.clean_data(0, 8);
    assert_eq!(unmapped, Err(Error::IllegalOperation));
    let vaddr = system
        .map(frame, CapRights::all(), VmAttributes::default())
        .expect("to map") as u64;
    assert!(can_load(&puppet, vaddr) && can_store(&puppet, vaddr));

    row("object.tcb");
    // A new thread is inactive and has no registers yet.
    let tcb = object::<Tcb>(system);
    let registers = tcb.read_registers(false).expect("registers");
    assert_eq!((registers.pc, registers.sp, registers.x0), (0, 0, 0));
    settler.settle();
}

fn guards(system: &mut System) {
    row("badge-data.guard.fresh");
    let node = system.cnode(6).expect("a CNode");
    let delete = |node: Cap<CNode>, index, depth| {
        invoke(node.bits(), Invocation::CNodeDelete, &[], &[index, depth])
    };
    assert_eq!(delete(node, 63, 6), answer::ok(), "six bits are enough");
    assert_eq!(delete(node, 63, 5), answer::depth_mismatch(false, 5, 6));
    let slot = system.slot().expect("a slot");
    let guarded = Cap::<CNode>::from_bits(slot.index);
    let mint = |data| {
        slot.delete().expect("to delete");
        slot.mint_from(&node.slot(), CapRights::all(), data)
    };
    row("badge-data.guard.size-64");
    // Bit 6 is the guard's lowest already.
    assert_eq!(mint(64), Ok(()));
    assert_eq!(delete(guarded, 63, 6), answer::ok(), "no guard");
    row("badge-data.guard.layout");
    assert_eq!(mint(64 | 1), Ok(()));
    assert_eq!(
        delete(guarded, 0, 7),
        answer::guard_mismatch(false, 7, 1, 1)
    );
    assert_eq!(delete(guarded, 1 << 6, 7), answer::ok());
    row("badge-data.guard.longest");
    let long = (1 << 58) - 1;
    assert_eq!(mint(CNodeCapData::new(long, 58).0), Ok(()));
    assert_eq!(delete(guarded, u64::MAX, 64), answer::ok());
    for bit in [6, 7, 40, 63] {
        let other = u64::MAX ^ 1 << bit;
        let expected = answer::guard_mismatch(false, 64, long, 58);
        assert_eq!(delete(guarded, other, 64), expected, "bit {bit}");
    }
    row("badge-data.guard.fits");
    assert_eq!(mint(59), Err(Error::IllegalOperation));
    assert_eq!(mint(63), Err(Error::IllegalOperation));
}

fn priorities(system: &mut System) {
    row("object.priority.initial");
    let tcb = object::<Tcb>(system);
    assert_eq!(tcb.set_mc_priority(init::TCB, 255), Ok(()));
    let over = invoke_label(tcb.bits(), 6, &[init::TCB.bits()], &[256]);
    assert_eq!(over, answer::range(0, 255));
    // Nobody of priority 254 runs while the first thread does; one of 255 takes its turn.
    let puppet = Puppet::new(system, 0, 254);
    let settler = Settler::new(system);
    let came = |puppet: &Puppet| puppet.faults.nb_recv(puppet.reply).badge == PUPPET_BADGE;
    let crash = call_registers(-1000, 0, 0, [0; 4], 0);
    puppet.begin_syscall(&crash);
    for _ in 0..100 {
        libsel4::syscall::yield_now();
    }
    assert!(!came(&puppet));
    settler.settle();
    assert!(came(&puppet));
    puppet.tcb.set_priority(init::TCB, 255).expect("a priority");
    puppet.begin_syscall(&crash);
    libsel4::syscall::yield_now();
    assert!(came(&puppet));

    rows(&["object.priority.new", "object.priority.range"]);
    let fresh = object::<Tcb>(system);
    let raise = tcb.set_priority(fresh, 1);
    assert_eq!(raise, Err(Error::RangeError { min: 0, max: 0 }));
    // Its priority: behind somebody of priority 1 who does not rest.
    let endpoint = system.endpoint().expect("an endpoint");
    let sched = system.sched_context(0).expect("a scheduling context");
    let control = system.boot().sched_control(0);
    control
        .configure(sched, 5000, 5000, 0, 0)
        .expect("a budget");
    fresh
        .configure(init::CNODE, 0, init::VSPACE, 0, None)
        .expect("to configure");
    fresh
        .set_space(Some(endpoint), init::CNODE, 0, init::VSPACE)
        .expect("a handler");
    sched.bind(fresh).expect("to bind");
    puppet.tcb.set_priority(init::TCB, 1).expect("a priority");
    puppet.begin_syscall(&call_registers(-11, 0, 0, [0; 4], 0));
    fresh
        .write_registers(true, &call_registers_at_trap(-1000))
        .expect("to start");
    // The puppet yields once and faults; the new thread comes after that.
    let first = puppet.faults.wait();
    assert_eq!(first.badge, PUPPET_BADGE);
    assert_eq!(endpoint.poll().label(), 0, "not yet");
    assert_eq!(endpoint.wait().label(), 2, "nobody else");

    if system.cores() > 1 {
        row("object.priority.new-core");
        let last = system.cores() - 1;
        let fresh = object::<Tcb>(system);
        assert_eq!(debug::thread_affinity(fresh), Some(0));
        let sched = system.sched_context(0).expect("a scheduling context");
        let control = system.boot().sched_control(last);
        control
            .configure(sched, 5000, 5000, 0, 0)
            .expect("a budget");
        sched.bind(fresh).expect("to bind");
        assert_eq!(debug::thread_affinity(fresh), Some(last));
    }
}

fn call_registers_at_trap(number: i64) -> libsel4::UserContext {
    libsel4::UserContext {
        pc: Puppet::trap_address(),
        ..call_registers(number, 0, 0, [0; 4], 0)
    }
}

#[unsafe(naked)]
extern "C" fn use_vectors() -> ! {
    core::arch::naked_asm!("fmov d0, x0", "udf #0")
}

fn flags(system: &mut System) {
    let puppet = Puppet::new(system, system.cores() - 1, 100);
    let set = |clear, set| {
        let words = [clear, set];
        invoke(puppet.tcb.bits(), Invocation::TcbSetFlags, &[], &words)
    };
    let start = use_vectors as *const () as u64;
    let crash_at = || {
        let fault = puppet.run_to_fault(&libsel4::UserContext {
            pc: start,
            ..libsel4::UserContext::default()
        });
        assert_eq!(fault.label, 3);
        fault.words[0] - start
    };
    row("object.tcb-flags.fpu");
    assert_eq!(crash_at(), 4, "the instruction behind it");
    assert_eq!(set(0, 1), Answer::new(0, &[1]));
    assert_eq!(crash_at(), 0);
    assert_eq!(set(1, 0), Answer::new(0, &[0]));
    assert_eq!(crash_at(), 4);
    row("object.tcb-flags.others");
    assert_eq!(set(0, u64::MAX), Answer::new(0, &[1]));
    assert_eq!(set(0, 2), Answer::new(0, &[1]));
    assert_eq!(set(u64::MAX, u64::MAX - 1), Answer::new(0, &[0]));
    assert_eq!(crash_at(), 4);
}
