//! Reading, writing and copying registers: every word, what is refused, and that the status register is made safe.

#![no_std]
#![no_main]

use libsel4::abi::{Invocation, USER_CONTEXT_WORDS, UserContext};
use libsel4::invoke::CopyRegisters;
use libsel4::{BootInfo, Cap, System, Tcb, init, root_task};
use tern_target_tests::objects::{
    Answer, Pause, Puppet, answer, call_registers, invoke, invoke_label, object,
};
use tern_target_tests::rows::{row, rows};

root_task!(main);

const N: usize = USER_CONTEXT_WORDS;
const READ: Invocation = Invocation::TcbReadRegisters;
const WRITE: Invocation = Invocation::TcbWriteRegisters;

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let tcb = object::<Tcb>(&mut system);
    row("context.spsr.debug");
    new_thread(tcb);
    reading(tcb);
    writing(tcb);
    copying(&mut system);
    thread_pointer(&mut system, tcb);
    flags(tcb);
    // Labels of other objects.
    row("tcb.label");
    for label in [0, 1, 18, 26, 44, 1 << 40] {
        let seen = invoke_label(tcb.bits(), label, &[], &[0; 8]);
        assert_eq!(seen, answer::illegal_operation(), "label {label}");
    }
    of_a_running_thread(&mut system, boot.cores() - 1);
}

fn read(tcb: Cap<Tcb>, count: u64) -> Answer {
    invoke(tcb.bits(), READ, &[], &[0, count])
}

fn new_thread(tcb: Cap<Tcb>) {
    let mut words = [0; N];
    words[2] = 0x40;
    assert_eq!(read(tcb, N as u64), Answer::new(0, &words));
}

fn reading(tcb: Cap<Tcb>) {
    row("tcb.read.truncated");
    assert_eq!(invoke(tcb.bits(), READ, &[], &[0]), answer::truncated());
    assert_eq!(invoke(tcb.bits(), READ, &[], &[]), answer::truncated());
    rows(&["tcb.read.count", "tcb.read.order"]);
    for count in [0, 37, u64::MAX] {
        assert_eq!(read(tcb, count), answer::range(1, 36));
        assert_eq!(
            read(init::TCB, count),
            answer::range(1, 36),
            "before the thread is looked at"
        );
    }
    row("tcb.read.self");
    assert_eq!(read(init::TCB, 1), answer::illegal_operation());
    row("tcb.read.words");
    for count in 1..=36 {
        assert_eq!(read(tcb, count).words.len(), count as usize);
    }
    // Bits of the flags that mean nothing.
    let seen = invoke(tcb.bits(), READ, &[], &[!1, 3]);
    assert_eq!(seen, Answer::new(0, &[0, 0, 0x40]));
}

fn writing(tcb: Cap<Tcb>) {
    let write = |words: &[u64]| invoke(tcb.bits(), WRITE, &[], words);
    row("tcb.write.truncated");
    assert_eq!(write(&[]), answer::truncated());
    assert_eq!(write(&[0]), answer::truncated());
    row("tcb.write.count");
    assert_eq!(write(&[0, 1]), answer::truncated());
    assert_eq!(write(&[0, 5, 1, 2, 3, 4]), answer::truncated());
    assert_eq!(write(&[0, u64::MAX, 1]), answer::truncated());
    rows(&["tcb.write.self", "tcb.write.order"]);
    let own = invoke(init::TCB.bits(), WRITE, &[], &[0, 1, 5]);
    assert_eq!(own, answer::illegal_operation());
    assert_eq!(
        invoke(init::TCB.bits(), WRITE, &[], &[0, 2, 5]),
        answer::truncated()
    );
    new_thread(tcb);

    rows(&["context.order", "context.spsr.write"]);
    // Every register has its place; only the flags of the status register are taken.
    let mut words = [0; N + 2];
    words[1] = N as u64;
    for (index, word) in words[2..].iter_mut().enumerate() {
        *word = 0x0101_0101_0101_0101 * (index as u64 + 1);
    }
    words[4] = u64::MAX;
    assert_eq!(write(&words), answer::ok());
    let mut expected: [u64; N] = words[2..].try_into().expect("36 words");
    expected[2] = 0xf000_0040;
    assert_eq!(read(tcb, 36), Answer::new(0, &expected));
    // The library agrees about the places.
    let context = tcb.read_registers(false).expect("to read");
    assert_eq!(
        (context.pc, context.sp, context.x16, context.x9),
        (expected[0], expected[1], expected[12], expected[17])
    );
    assert_eq!(
        (context.x30, context.x28, context.tpidrro_el0),
        (expected[16], expected[33], expected[35])
    );

    // Less than all; none; and more than there are.
    rows(&["tcb.write.none", "tcb.write.long-message"]);
    assert_eq!(write(&[0, 0]), answer::ok());
    assert_eq!(write(&[0, 0, 9, 9, 9]), answer::ok());
    assert_eq!(read(tcb, 36), Answer::new(0, &expected));
    rows(&["tcb.write.some", "context.spsr.write"]);
    assert_eq!(write(&[0, 3, 70, 71, 0x1234_5678]), answer::ok());
    expected[..3].copy_from_slice(&[70, 71, 0x1000_0040]);
    assert_eq!(read(tcb, 36), Answer::new(0, &expected));
    row("tcb.write.clamped");
    let mut many = [7; 120];
    many[0] = 0;
    many[1] = 118;
    assert_eq!(write(&many), answer::ok());
    expected.fill(7);
    expected[2] = 0x40;
    assert_eq!(read(tcb, 36), Answer::new(0, &expected));
}

fn copying(system: &mut System) {
    let [one, two] = [0; 2].map(|_| object::<Tcb>(system));
    let copy =
        |caps: &[u64], words: &[u64]| invoke(two.bits(), Invocation::TcbCopyRegisters, caps, words);
    row("tcb.copy.truncated");
    assert_eq!(copy(&[one.bits()], &[]), answer::truncated());
    assert_eq!(copy(&[], &[0]), answer::truncated());
    row("tcb.copy.source");
    assert_eq!(copy(&[0], &[0xc]), answer::invalid_capability(1));
    assert_eq!(
        copy(&[init::CNODE.bits()], &[0xc]),
        answer::invalid_capability(1)
    );
    new_thread(two);

    let words: [u64; N] = core::array::from_fn(|index| 1000 + index as u64);
    let mut message = [0; N + 2];
    message[1] = N as u64;
    message[2..].copy_from_slice(&words);
    message[4] = 0x5000_0000;
    let mut source = words;
    source[2] = 0x5000_0040;
    assert_eq!(invoke(one.bits(), WRITE, &[], &message), answer::ok());
    let mut expected = [0; N];
    expected[2] = 0x40;
    row("tcb.copy.nothing");
    let what = CopyRegisters::default();
    two.copy_registers(one, what).expect("to copy nothing");
    assert_eq!(read(two, 36), Answer::new(0, &expected));
    row("tcb.copy.integer");
    two.copy_registers(
        one,
        CopyRegisters {
            integer: true,
            ..what
        },
    )
    .expect("to copy");
    expected[17..].copy_from_slice(&source[17..]);
    assert_eq!(read(two, 36), Answer::new(0, &expected));
    rows(&["tcb.copy.frame", "context.spsr.copy"]);
    two.copy_registers(
        one,
        CopyRegisters {
            frame: true,
            ..what
        },
    )
    .expect("to copy");
    assert_eq!(read(two, 36), Answer::new(0, &source));
    row("tcb.copy.self");
    two.copy_registers(
        two,
        CopyRegisters {
            frame: true,
            integer: true,
            ..what
        },
    )
    .expect("itself");
    assert_eq!(read(two, 36), Answer::new(0, &source));

    row("tcb.copy.resume");
    // Resuming the target makes a running thread a copy of another.
    let puppet = Puppet::new(system, 0, 100);
    let program = call_registers(-1000, 1, 2, [3, 4, 5, 6], 7);
    let program = UserContext {
        pc: Puppet::trap_address(),
        ..program
    };
    one.write_registers(false, &program).expect("to write");
    let both = CopyRegisters {
        resume_target: true,
        frame: true,
        integer: true,
        ..what
    };
    puppet.tcb.copy_registers(one, both).expect("to copy");
    let fault = Answer::of(&puppet.fault().message);
    assert_eq!(
        (fault.label, &fault.words[..7]),
        (2, &[1, 2, 3, 4, 5, 6, 7][..])
    );
}

fn thread_pointer(system: &mut System, tcb: Cap<Tcb>) {
    let set = |words: &[u64]| invoke(tcb.bits(), Invocation::TcbSetTlsBase, &[], words);
    row("tcb.tls.truncated");
    assert_eq!(set(&[]), answer::truncated());
    row("tcb.tls.effect");
    assert_eq!(set(&[0x1234_5678_9abc_def0]), answer::ok());
    assert_eq!(
        tcb.read_registers(false).expect("to read").tpidr_el0,
        0x1234_5678_9abc_def0
    );
    // A thread may set its own: the puppet's, by a call of itself.
    let puppet = Puppet::new(system, 0, 100);
    let label = Invocation::TcbSetTlsBase.label();
    let info = tern_target_tests::objects::info(label, 0, 1);
    let cap = puppet.tcb.bits();
    let ended = puppet.syscall(&call_registers(-1, cap, info, [0x4440, 0, 0, 0], 0));
    let tern_target_tests::objects::Ended::Returned(after) = ended else {
        panic!("a fault")
    };
    assert_eq!((after.x0, after.x1, after.tpidr_el0), (0, 0, 0x4440));
}

fn flags(tcb: Cap<Tcb>) {
    let set = |words: &[u64]| invoke(tcb.bits(), Invocation::TcbSetFlags, &[], words);
    row("tcb.flags.truncated");
    assert_eq!(set(&[]), answer::truncated());
    assert_eq!(set(&[0]), answer::truncated());
    rows(&["tcb.flags.result", "tcb.flags.mask"]);
    assert_eq!(set(&[0, 0]), Answer::new(0, &[0]));
    assert_eq!(
        set(&[0, u64::MAX]),
        Answer::new(0, &[1]),
        "other bits are dropped"
    );
    assert_eq!(set(&[0, 0]), Answer::new(0, &[1]));
    assert_eq!(set(&[!1, 2]), Answer::new(0, &[1]));
    assert_eq!(
        set(&[1, 1]),
        Answer::new(0, &[1]),
        "setting comes after clearing"
    );
    assert_eq!(set(&[u64::MAX, 0]), Answer::new(0, &[0]));
}

/// Counts in x0 for ever.
#[unsafe(naked)]
extern "C" fn count() -> ! {
    core::arch::naked_asm!("2: add x0, x0, #1", "b 2b")
}

/// A thread that runs, here or on another core, is read as it goes; it stops when asked to.
fn of_a_running_thread(system: &mut System, core: usize) {
    let puppet = Puppet::new(system, core, 100);
    let pause = Pause::new(system);
    let code = count as *const () as u64;
    puppet.start(&UserContext {
        pc: code,
        ..UserContext::default()
    });
    let mut last = 0;
    for _ in 0..20 {
        pause.pause();
        let registers = puppet.registers();
        assert!(
            registers.pc == code || registers.pc == code + 4,
            "{:#x}",
            registers.pc
        );
        assert!(registers.x0 > last, "it runs");
        last = registers.x0;
    }
    let stopped = puppet.tcb.read_registers(true).expect("to read and stop");
    pause.pause();
    assert_eq!(puppet.registers(), stopped);
    puppet.tcb.resume().expect("to resume");
    puppet.tcb.suspend().expect("to suspend");
    assert!(puppet.registers().x0 >= stopped.x0);
}
