//! What the flags of the register methods do, and who gets which answer: suspend, resume, nothing; callers without a
//! buffer; methods without a Call; threads inside a system call. And what a new thread is like.

#![no_std]
#![no_main]

use libsel4::abi::{Invocation, UserContext};
use libsel4::{BootInfo, CapRights, Message, System, Tcb, init, root_task, syscall};
use tern_target_tests::code::{address_of, instruction};
use tern_target_tests::objects::{
    Answer, Ended, Pause, Puppet, Settler, answer, call_registers, info, invoke, invoke_label,
    object,
};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::snippets;

root_task!(main);

const READ: Invocation = Invocation::TcbReadRegisters;
const WRITE: Invocation = Invocation::TcbWriteRegisters;
const COPY: Invocation = Invocation::TcbCopyRegisters;

snippets! {
    count: "2: add x0, x0, #1", "b 2b";
    stop: "mov x9, #9";
    // Counts in x0 the Yields that it came back from.
    yields: "2: svc #0", "add x0, x0, #1", "b 2b";
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let core = boot.cores() - 1;
    let pause = Pause::new(&mut system);
    answers(&mut system, core);
    reading(&mut system, &pause, core);
    writing(&mut system, &pause, core);
    copying(&mut system, &pause, core);
    new_thread(&mut system, &pause);
    inside_a_call(&mut system, core);
    between_instructions(&mut system, &pause);
}

/// A puppet that counts in x0.
fn counter(system: &mut System, core: usize) -> Puppet {
    let puppet = Puppet::new(system, core, 100);
    puppet.start(&UserContext {
        pc: address_of(count),
        ..UserContext::default()
    });
    puppet
}

fn runs(pause: &Pause, puppet: &Puppet) -> bool {
    pause.pause();
    let before = puppet.registers().x0;
    pause.pause();
    puppet.registers().x0 > before
}

/// A long answer needs a buffer that can be written.
fn answers(system: &mut System, core: usize) {
    row("tcb.read.no-buffer");
    let target = object::<Tcb>(system);
    let words = [0, 6, 11, 12, 0x3000_0000, 13, 14, 15];
    assert_eq!(invoke(target.bits(), WRITE, &[], &words), answer::ok());
    let reader = Puppet::new(system, core, 100);
    let ask = |count| {
        let registers = call_registers(
            -1,
            target.bits(),
            info(READ.label(), 0, 2),
            [0, count, 7, 8],
            0,
        );
        match reader.syscall(&registers) {
            Ended::Returned(after) => (after.x1, [after.x2, after.x3, after.x4, after.x5]),
            Ended::Faulted(fault) => panic!("{fault:?}"),
        }
    };
    let four = [11, 12, 0x3000_0040, 13];
    assert_eq!(ask(36), (info(0, 0, 36), four));
    let read_only = system
        .copy(reader.buffer_frame(), CapRights::READ)
        .expect("a copy");
    let address = reader.buffer().start() as u64;
    reader.remove_buffer();
    for round in 0..2 {
        assert_eq!(ask(36), (info(0, 0, 4), four));
        assert_eq!(ask(5), (info(0, 0, 4), four));
        assert_eq!(ask(3), (info(0, 0, 3), [11, 12, 0x3000_0040, 8]));
        if round == 0 {
            let set = reader.tcb.set_ipc_buffer(address, Some(read_only));
            set.expect("a buffer that can only be read");
        }
    }
}

fn reading(system: &mut System, pause: &Pause, core: usize) {
    let puppet = counter(system, core);
    let read = |flags| invoke(puppet.tcb.bits(), READ, &[], &[flags, 36]).label;
    row("tcb.read.arch-flags");
    for flags in [0, 0xff00, !1] {
        assert_eq!(read(flags), 0);
        assert!(runs(pause, &puppet), "flags {flags:#x}");
    }
    row("tcb.read.suspend");
    for flags in [1, 0xff01, !0] {
        assert_eq!(read(flags), 0);
        assert!(!runs(pause, &puppet), "flags {flags:#x}");
        puppet.tcb.resume().expect("to resume");
        assert!(runs(pause, &puppet));
    }
    row("tcb.read.send");
    syscall::send(
        puppet.tcb.bits(),
        Message::new(READ.label()).words(&[1, 36]),
    );
    assert!(!runs(pause, &puppet));
}

fn writing(system: &mut System, pause: &Pause, core: usize) {
    let puppet = counter(system, core);
    let write = |flags, x0| {
        let words = [flags, 4, address_of(count), 0, 0, x0];
        assert_eq!(invoke(puppet.tcb.bits(), WRITE, &[], &words), answer::ok());
    };
    rows(&["tcb.write.resume", "tcb.write.arch-flags"]);
    for flags in [0, 0xff00, !1] {
        puppet.tcb.suspend().expect("to suspend");
        write(flags, 1 << 40);
        assert!(!runs(pause, &puppet), "flags {flags:#x}");
        assert_eq!(puppet.registers().x0, 1 << 40);
    }
    for flags in [1, 0xff01, !0] {
        puppet.tcb.suspend().expect("to suspend");
        write(flags, 1 << 41);
        assert!(runs(pause, &puppet), "flags {flags:#x}");
        assert!(puppet.registers().x0 > 1 << 41);
    }
    puppet.tcb.suspend().expect("to suspend");
}

fn copying(system: &mut System, pause: &Pause, core: usize) {
    let source = counter(system, core);
    let target = Puppet::new(system, core, 100);
    let copy = |flags| {
        let caps = [source.tcb.bits()];
        assert_eq!(
            invoke(target.tcb.bits(), COPY, &caps, &[flags]),
            answer::ok()
        );
    };
    row("tcb.copy.nothing");
    let before = target.registers();
    for flags in [0, 0xff00, !0xf] {
        copy(flags);
        assert!(runs(pause, &source), "flags {flags:#x}");
        assert_eq!(target.registers(), before);
    }
    row("tcb.copy.suspend");
    copy(1);
    assert!(!runs(pause, &source));
    assert_eq!(target.registers(), before);
    // The caller may be the source; what it reads of itself is its own affair.
    row("tcb.copy.self");
    let own = invoke(target.tcb.bits(), COPY, &[init::TCB.bits()], &[1 << 3]);
    assert_eq!(own, answer::ok());
    assert_eq!(
        target.registers().tpidr_el0,
        own_thread_pointer(),
        "the caller's"
    );
    // Without the frame: with it the caller would go on at its own program counter, the system call.
    let own = invoke(init::TCB.bits(), COPY, &[init::TCB.bits()], &[0xa]);
    assert_eq!(own, answer::ok());
}

fn own_thread_pointer() -> u64 {
    let value;
    // SAFETY: reads a register.
    unsafe { core::arch::asm!("mrs {}, tpidr_el0", out(reg) value, options(nomem, nostack)) };
    value
}

fn new_thread(system: &mut System, pause: &Pause) {
    row("tcb.new");
    let tcb = object::<Tcb>(system);
    let other = object::<Tcb>(system);
    assert_eq!(
        tcb.read_registers(false).expect("to read"),
        UserContext {
            spsr: 0x40,
            ..UserContext::default()
        }
    );
    // Its maximum controlled priority, as an authority.
    let set = |value| {
        invoke(
            other.bits(),
            Invocation::TcbSetPriority,
            &[tcb.bits()],
            &[value],
        )
    };
    assert_eq!(set(1), answer::range(0, 0));
    assert_eq!(set(0), answer::ok());
    // Its priority: below that of a thread of priority 1, as long as that one runs.
    let sc = system.sched_context(0).expect("a scheduling context");
    let control = system.boot().sched_control(0);
    control.configure(sc, 5000, 5000, 0, 0).expect("a budget");
    tcb.configure(init::CNODE, 0, init::VSPACE, 0, None)
        .expect("spaces");
    let context = UserContext {
        pc: address_of(count),
        ..UserContext::default()
    };
    tcb.write_registers(false, &context).expect("registers");
    let counted = || tcb.read_registers(false).expect("to read").x0;
    // It has no scheduling context yet, and is not running with one.
    assert_eq!(sc.bind(tcb), Ok(()));
    pause.pause();
    assert_eq!(counted(), 0, "it is inactive");
    let above = Puppet::new(system, 0, 1);
    above.start(&context);
    tcb.resume().expect("to resume");
    pause.pause();
    assert_eq!(counted(), 0, "its priority is 0");
    above.tcb.suspend().expect("to suspend");
    pause.pause();
    assert!(counted() > 0);
    // No handler: a fault stops it.
    let stopping = UserContext {
        pc: address_of(stop),
        ..UserContext::default()
    };
    tcb.write_registers(false, &stopping).expect("registers");
    pause.pause();
    let stopped = tcb.read_registers(false).expect("to read");
    assert_eq!((stopped.pc, stopped.x9), (instruction(stop, 1), 9));
    row("tcb.debug-methods");
    let seen = invoke_label(tcb.bits(), 16, &[], &[0x1230]);
    assert_eq!(seen, answer::ok());
    assert_eq!(
        tcb.read_registers(false).expect("to read").tpidr_el0,
        0x1230
    );
    let seen = invoke_label(tcb.bits(), 17, &[], &[0, 1]);
    assert_eq!(seen, Answer::new(0, &[1]));
}

/// Threads that yield to each other, stopped while they are ready: a call that was over is not made again.
fn between_instructions(system: &mut System, pause: &Pause) {
    rows(&["context.pc.suspended", "tcb.suspend.queued"]);
    let puppets = [0; 3].map(|_| Puppet::new(system, 0, 100));
    for puppet in &puppets {
        let call = call_registers(-11, 0, 0, [0; 4], 0);
        puppet.start(&UserContext {
            pc: address_of(yields),
            ..call
        });
    }
    let mut after_call = 0;
    for _ in 0..20 {
        pause.pause();
        for puppet in &puppets {
            puppet.tcb.suspend().expect("to suspend");
        }
        let stopped = [0, 1, 2].map(|index: usize| puppets[index].registers());
        pause.pause();
        for (puppet, stopped) in puppets.iter().zip(&stopped) {
            assert_eq!(&puppet.registers(), stopped, "it is in no queue");
            after_call += u64::from(stopped.pc == instruction(yields, 1));
        }
        for puppet in &puppets {
            puppet.tcb.resume().expect("to resume");
        }
    }
    // Of three, two had given up the core.
    assert!(after_call >= 40, "{after_call} were after their call");
    // One that waits for its next refill.
    let late = &puppets[0];
    puppets[1..].iter().for_each(|puppet| {
        puppet.tcb.suspend().expect("to suspend");
    });
    let control = system.boot().sched_control(0);
    let set = control.configure(late.sched.cap(), 50, 400, 0, 0);
    set.expect("a budget");
    pause.pause();
    late.tcb.suspend().expect("to suspend");
    let stopped = late.registers();
    for _ in 0..5 {
        pause.pause();
        assert_eq!(late.registers(), stopped);
    }
    late.tcb.resume().expect("to resume");
    for _ in 0..3 {
        pause.pause();
    }
    assert!(late.registers().x0 > stopped.x0);
}

/// A thread in a system call, whose registers are written, goes on where they say: resumed, or when the call ends.
fn inside_a_call(system: &mut System, core: usize) {
    let settler = Settler::new(system);
    let puppet = Puppet::new(system, core, 100);
    let endpoint = system.endpoint().expect("an endpoint");
    let reply = system.reply().expect("a reply object");
    let receive = call_registers(-7, endpoint.bits(), 0, [0; 4], reply.bits());
    row("context.pc.woken");
    puppet.begin_syscall(&receive);
    settler.settle();
    endpoint.nb_send(Message::new(5));
    assert!(matches!(puppet.end_of_syscall(), Ended::Returned(after) if after.x1 == info(5, 0, 0)));
    row("tcb.write.pc");
    for resume in [0, 1] {
        puppet.begin_syscall(&receive);
        settler.settle();
        let words = [resume, 1, address_of(stop)];
        assert_eq!(invoke(puppet.tcb.bits(), WRITE, &[], &words), answer::ok());
        settler.settle();
        endpoint.nb_send(Message::new(6));
        let fault = Answer::of(&puppet.fault().message);
        assert_eq!(
            (fault.label, fault.words[0]),
            (3, instruction(stop, 1)),
            "resume {resume}"
        );
        // Resumed, it received nothing.
        let received = puppet.registers().x1 == info(6, 0, 0);
        assert_eq!(received, resume == 0);
    }
}
