//! Suspending and resuming threads in every state: running, here and elsewhere, waiting, sending, calling, by itself; and
//! deleting them.

#![no_std]
#![no_main]

use libsel4::abi::UserContext;
use libsel4::{BootInfo, Cap, Message, System, Tcb, init, root_task};
use tern_target_tests::objects::{
    Answer, Ended, Pause, Puppet, Settler, call_registers, info, invoke_label, kind,
};
use tern_target_tests::rows::{row, rows};

root_task!(main);

const SUSPEND: u64 = 12;

/// Counts in the word at x0 for ever.
#[unsafe(naked)]
extern "C" fn count() -> ! {
    core::arch::naked_asm!("2: ldr x1, [x0]", "add x1, x1, #1", "str x1, [x0]", "b 2b")
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let pause = Pause::new(&mut system);
    for core in 0..boot.cores() {
        rows(&[
            "tcb.suspend.running",
            "tcb.resume.running",
            "context.pc.suspended",
        ]);
        running(&mut system, &pause, core);
    }
    let settler = Settler::new(&mut system);
    for core in 0..boot.cores() {
        rows(&[
            "tcb.suspend.blocked",
            "tcb.resume.again",
            "tcb.resume.blocked",
            "context.pc.blocked",
        ]);
        blocked(&mut system, &settler, core);
        rows(&["tcb.suspend.self", "tcb.suspend.self-elsewhere"]);
        by_itself(&mut system, &settler, core);
    }
    rows(&[
        "tcb.suspend.blocked",
        "tcb.resume.again",
        "context.pc.blocked",
    ]);
    callers(&mut system, &settler);
    row("tcb.suspend.errors");
    labels_only(&mut system);
}

fn running(system: &mut System, pause: &Pause, core: usize) {
    let puppet = Puppet::new(system, core, 100);
    let counter = puppet.buffer();
    let code = count as *const () as u64;
    let x0 = counter.start() as u64 + 0x800;
    let read = || counter.read(0x800);
    puppet.start(&UserContext {
        pc: code,
        x0,
        ..UserContext::default()
    });
    pause.pause();
    assert!(read() > 0, "it runs on core {core}");
    for _ in 0..10 {
        // Resuming what runs changes nothing.
        puppet.tcb.resume().expect("to resume");
        puppet.tcb.suspend().expect("to suspend");
        let seen = read();
        pause.pause();
        assert_eq!(read(), seen, "it stands still at once");
        puppet.tcb.suspend().expect("twice is once");
        let registers = puppet.registers();
        assert!((code..code + 16).contains(&registers.pc));
        puppet.tcb.resume().expect("to resume");
        pause.pause();
        assert!(read() > seen, "it goes on where it was");
    }
    // Destroyed while it runs.
    system.destroy(puppet.tcb).expect("to destroy");
    let seen = read();
    pause.pause();
    assert_eq!(read(), seen);
}

fn blocked(system: &mut System, settler: &Settler, core: usize) {
    let puppet = Puppet::new(system, core, 100);
    let endpoint = system.endpoint().expect("an endpoint");
    let reply = system.reply().expect("a reply object");
    let notification = system.notification().expect("a notification");
    let begin = |number, x0, x6| {
        puppet.begin_syscall(&call_registers(number, x0, info(5, 0, 1), [7, 0, 0, 0], x6));
        settler.settle();
    };
    let at_its_call = || {
        settler.settle();
        assert_eq!(puppet.registers().pc, Puppet::trap_address());
    };
    // Waiting for a message: a sender no longer finds it, until it is resumed and waits again.
    begin(-7, endpoint.bits(), reply.bits());
    puppet.tcb.suspend().expect("to suspend");
    at_its_call();
    endpoint.nb_send(Message::new(1));
    at_its_call();
    puppet.tcb.resume().expect("to resume");
    settler.settle();
    endpoint.nb_send(Message::new(2).word(22));
    let Ended::Returned(after) = puppet.end_of_syscall() else {
        panic!("a fault")
    };
    assert_eq!((after.x1, after.x2), (info(2, 0, 1), 22));

    // Waiting for a notification: the signal stays.
    begin(-9, notification.bits(), 0);
    puppet.tcb.suspend().expect("to suspend");
    notification.signal();
    at_its_call();
    puppet.tcb.resume().expect("to resume");
    assert!(matches!(puppet.end_of_syscall(), Ended::Returned(_)));

    // Sending: the message is gone, and comes again with the resumption.
    begin(-5, endpoint.bits(), 0);
    puppet.tcb.suspend().expect("to suspend");
    assert_eq!(endpoint.nb_recv(reply).label(), 0);
    at_its_call();
    puppet.tcb.resume().expect("to resume");
    settler.settle();
    assert_eq!(endpoint.nb_recv(reply).label(), 5);
    assert!(matches!(puppet.end_of_syscall(), Ended::Returned(_)));

    // A resumption in the middle of a wait makes the call again too.
    begin(-5, endpoint.bits(), 0);
    puppet.tcb.resume().expect("to resume");
    settler.settle();
    assert_eq!(endpoint.nb_recv(reply).label(), 5);
    assert_eq!(endpoint.nb_recv(reply).label(), 0);
    assert!(matches!(puppet.end_of_syscall(), Ended::Returned(_)));

    // Deleted in a queue: the queue is whole.
    begin(-5, endpoint.bits(), 0);
    system.destroy(puppet.tcb).expect("to destroy");
    assert_eq!(endpoint.nb_recv(reply).label(), 0);
}

/// A thread that suspends itself is at that call, and does it again when resumed.
fn by_itself(system: &mut System, settler: &Settler, core: usize) {
    let puppet = Puppet::new(system, core, 100);
    let registers = call_registers(-1, puppet.tcb.bits(), info(SUSPEND, 0, 0), [0; 4], 0);
    puppet.begin_syscall(&registers);
    for _ in 0..3 {
        settler.settle();
        assert_eq!(
            puppet.faults.nb_recv(puppet.reply).badge,
            0,
            "it does not come back"
        );
        assert_eq!(puppet.registers().pc, Puppet::trap_address());
        puppet.tcb.resume().expect("to resume");
    }
    settler.settle();
    // With another program counter it goes on there.
    let beyond = UserContext {
        pc: Puppet::trap_address() + 4,
        ..registers
    };
    puppet.start(&beyond);
    assert_eq!(puppet.fault().label(), 3);
    // It can delete itself, by the last capability to it.
    let slot = puppet.tcb.slot();
    let delete = info(19, 0, 2);
    let words = [slot.index, slot.depth, 0, 0];
    puppet.begin_syscall(&call_registers(-1, init::CNODE.bits(), delete, words, 0));
    settler.settle();
    assert_eq!(kind(slot), 0);
    assert_eq!(puppet.faults.nb_recv(puppet.reply).badge, 0);
}

/// A caller that is suspended while its call is served: the answer goes nowhere.
fn callers(system: &mut System, settler: &Settler) {
    let core = system.cores() - 1;
    let puppet = Puppet::new(system, core, 100);
    let endpoint = system.endpoint().expect("an endpoint");
    let reply = system.reply().expect("a reply object");
    let call = call_registers(-1, endpoint.bits(), info(6, 0, 1), [66, 0, 0, 0], 0);
    puppet.begin_syscall(&call);
    assert_eq!(endpoint.recv(reply).get(0), 66);
    puppet.tcb.suspend().expect("to suspend");
    reply.send(Message::new(0).word(1));
    settler.settle();
    assert_eq!(
        puppet.registers(),
        UserContext {
            pc: Puppet::trap_address(),
            spsr: 0x40,
            ..call
        }
    );
    // The reply object is free again, and the call is made again.
    puppet.tcb.resume().expect("to resume");
    assert_eq!(endpoint.recv(reply).get(0), 66);
    reply.send(Message::new(9).word(1));
    let Ended::Returned(after) = puppet.end_of_syscall() else {
        panic!("a fault")
    };
    assert_eq!((after.x0, after.x1, after.x2), (0, info(9, 0, 1), 1));
    // A call to a receiver without a reply object stops the caller.
    puppet.begin_syscall(&call);
    assert_eq!(endpoint.wait().get(0), 66);
    settler.settle();
    assert_eq!(puppet.registers().pc, Puppet::trap_address());
    puppet.tcb.resume().expect("to resume");
    assert_eq!(endpoint.recv(reply).get(0), 66);
    reply.send(Message::new(0));
    assert!(matches!(puppet.end_of_syscall(), Ended::Returned(_)));
}

/// These take no arguments, and have no errors.
fn labels_only(system: &mut System) {
    let tcb: Cap<Tcb> = tern_target_tests::objects::object(system);
    for label in [12, 13, 12, 12, 13, 13] {
        assert_eq!(
            invoke_label(tcb.bits(), label, &[], &[]),
            Answer::new(0, &[])
        );
    }
}
