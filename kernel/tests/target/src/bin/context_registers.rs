//! Registers belong to threads: what is written is what the thread finds, what it leaves is what is read, each in its place;
//! and nothing of it changes by time slices, interrupts and moves between cores. The thread pointers among them.

#![no_std]
#![no_main]

use libsel4::abi::{Invocation, USER_CONTEXT_WORDS, UserContext};
use libsel4::invoke::CopyRegisters;
use libsel4::{BootInfo, System, Tcb, root_task};
use tern_target_tests::code::{address_of, instruction};
use tern_target_tests::objects::{Answer, Pause, Puppet, answer, invoke, object};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::snippets;

root_task!(main);

const N: usize = USER_CONTEXT_WORDS;

/// The general-purpose registers in the order of the user context, after pc, sp and spsr.
const ORDER: [u64; 31] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 17, 18, 29, 30, 9, 10, 11, 12, 13, 14, 15, 19, 20, 21, 22, 23,
    24, 25, 26, 27, 28,
];

snippets! {
    // Register n grows by n + 1, the stack pointer by 64, and TPIDR_EL0 by 128. At the stack pointer then: x0, which is
    // used for the rest and put back, and both thread pointers and the flags as the thread finds them.
    grow: "add x0, x0, #1", "add x1, x1, #2", "add x2, x2, #3", "add x3, x3, #4", "add x4, x4, #5",
        "add x5, x5, #6", "add x6, x6, #7", "add x7, x7, #8", "add x8, x8, #9", "add x9, x9, #10",
        "add x10, x10, #11", "add x11, x11, #12", "add x12, x12, #13", "add x13, x13, #14",
        "add x14, x14, #15", "add x15, x15, #16", "add x16, x16, #17", "add x17, x17, #18",
        "add x18, x18, #19", "add x19, x19, #20", "add x20, x20, #21", "add x21, x21, #22",
        "add x22, x22, #23", "add x23, x23, #24", "add x24, x24, #25", "add x25, x25, #26",
        "add x26, x26, #27", "add x27, x27, #28", "add x28, x28, #29", "add x29, x29, #30",
        "add x30, x30, #31", "add sp, sp, #64", "str x0, [sp]", "mrs x0, tpidr_el0", "str x0, [sp, #8]",
        "add x0, x0, #128", "msr tpidr_el0, x0", "mrs x0, tpidrro_el0", "str x0, [sp, #16]",
        "mrs x0, nzcv", "str x0, [sp, #24]", "ldr x0, [sp]";
    rest: "b .";
    // Counts in x0 as long as the thread pointers are x20 and x21.
    compare: "2: mrs x1, tpidr_el0", "cmp x1, x20", "b.ne 3f", "mrs x1, tpidrro_el0", "cmp x1, x21",
        "b.ne 3f", "add x0, x0, #1", "b 2b", "3:";
    write_readonly: "msr tpidrro_el0, x0";
    read_both: "mrs x1, tpidr_el0", "mrs x2, tpidrro_el0";
}
const GROWN: u64 = 42;

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let pause = Pause::new(&mut system);
    for core in 0..boot.cores() {
        places(&mut system, core);
        pointers(&mut system, core);
    }
    preserved(&mut system, &pause);
    compared(&mut system, &pause);
}

fn places(system: &mut System, core: usize) {
    rows(&["context.live", "context.order", "tls.user-write"]);
    let puppet = Puppet::new(system, core, 100);
    let stack = puppet.buffer();
    let mut words: [u64; N] = core::array::from_fn(|index| 0x1_0000_0001_0000 * (index as u64 + 1));
    words[0] = address_of(grow);
    words[1] = stack.start() as u64 + 0x800;
    words[2] = 0x9000_0000;
    let mut message = [0; N + 2];
    message[..2].copy_from_slice(&[1, N as u64]);
    message[2..].copy_from_slice(&words);
    let write = Invocation::TcbWriteRegisters;
    let seen = invoke(puppet.tcb.bits(), write, &[], &message);
    assert_eq!(seen, answer::ok());
    let fault = Answer::of(&puppet.fault().message);
    assert_eq!((fault.label, fault.words[0]), (3, instruction(grow, GROWN)));
    let mut expected = words;
    expected[0] = instruction(grow, GROWN);
    expected[1] += 64;
    expected[2] |= 0x40;
    for (word, n) in expected[3..].iter_mut().zip(ORDER) {
        *word += n + 1;
    }
    expected[34] += 128;
    let read = Invocation::TcbReadRegisters;
    let seen = invoke(puppet.tcb.bits(), read, &[], &[0, N as u64]);
    assert_eq!(seen, Answer::new(0, &expected));
    let at_stack = [0, 8, 16, 24].map(|offset| stack.read(0x840 + offset));
    assert_eq!(
        at_stack,
        [expected[3], words[34], words[35], 0x9000_0000],
        "as the thread saw them"
    );
}

/// Who may set which thread pointer.
fn pointers(system: &mut System, core: usize) {
    let puppet = Puppet::new(system, core, 100);
    let source = object::<Tcb>(system);
    let context = UserContext {
        pc: address_of(read_both),
        tpidr_el0: 0x1111,
        tpidrro_el0: 0x2222,
        ..UserContext::default()
    };
    let both = || {
        puppet.fault();
        let seen = puppet.registers();
        assert_eq!((seen.x1, seen.x2), (seen.tpidr_el0, seen.tpidrro_el0));
        (seen.x1, seen.x2)
    };
    row("tls.readonly");
    puppet.start(&context);
    assert_eq!(both(), (0x1111, 0x2222), "by WriteRegisters");
    let other = UserContext {
        tpidr_el0: 0x3333,
        tpidrro_el0: 0x4444,
        ..context
    };
    source.write_registers(false, &other).expect("registers");
    let all = CopyRegisters {
        resume_target: true,
        frame: true,
        integer: true,
        ..CopyRegisters::default()
    };
    puppet.tcb.copy_registers(source, all).expect("to copy");
    assert_eq!(both(), (0x3333, 0x4444), "by CopyRegisters");
    let fault = puppet.run_to_fault(&UserContext {
        pc: address_of(write_readonly),
        ..other
    });
    assert_eq!(
        (fault.label, fault.words[0], fault.words[3]),
        (3, address_of(write_readonly), 0x0200_0000)
    );
    row("tls.base");
    puppet.start(&context);
    assert_eq!(both(), (0x1111, 0x2222));
    puppet.tcb.set_tls_base(0x5555).expect("a thread pointer");
    let words = [1, 1, address_of(read_both)];
    let seen = invoke(
        puppet.tcb.bits(),
        Invocation::TcbWriteRegisters,
        &[],
        &words,
    );
    assert_eq!(seen, answer::ok());
    assert_eq!(both(), (0x5555, 0x2222));
}

/// Two threads for each core that take turns in short slices, and move all the while.
fn pairs(system: &mut System, start: impl Fn(u64) -> UserContext) -> [Option<Puppet>; 8] {
    let cores = system.cores();
    let all: [Option<Puppet>; 8] = core::array::from_fn(|index| {
        (index < 2 * cores).then(|| Puppet::new(system, index % cores, 100))
    });
    for (puppet, index) in all.iter().flatten().zip(0..) {
        configure(system, puppet, index as usize % cores);
        puppet.start(&start(index));
    }
    all
}

fn configure(system: &System, puppet: &Puppet, core: usize) {
    let control = system.boot().sched_control(core);
    let set = control.configure(puppet.sched.cap(), 100, 100, 0, 0);
    set.expect("a budget");
}

fn shuffle(system: &System, pause: &Pause, puppets: &[Option<Puppet>]) {
    let cores = system.cores();
    for round in 0..20 {
        for (index, puppet) in puppets.iter().flatten().enumerate() {
            if (index + round).is_multiple_of(3) {
                configure(system, puppet, (index + round) % cores);
            }
        }
        pause.pause();
    }
}

/// A context whose register number `n` is `word(n)`.
fn numbered(word: impl Fn(u64) -> u64) -> UserContext {
    UserContext {
        pc: 0,
        sp: word(31),
        spsr: 0,
        x0: word(0),
        x1: word(1),
        x2: word(2),
        x3: word(3),
        x4: word(4),
        x5: word(5),
        x6: word(6),
        x7: word(7),
        x8: word(8),
        x9: word(9),
        x10: word(10),
        x11: word(11),
        x12: word(12),
        x13: word(13),
        x14: word(14),
        x15: word(15),
        x16: word(16),
        x17: word(17),
        x18: word(18),
        x19: word(19),
        x20: word(20),
        x21: word(21),
        x22: word(22),
        x23: word(23),
        x24: word(24),
        x25: word(25),
        x26: word(26),
        x27: word(27),
        x28: word(28),
        x29: word(29),
        x30: word(30),
        tpidr_el0: word(32),
        tpidrro_el0: word(33),
    }
}

fn preserved(system: &mut System, pause: &Pause) {
    rows(&["context.preserved", "tls.own"]);
    let context = |index: u64| {
        let word = |n: u64| (index + 1) << 56 | n << 8 | 0x5a;
        let mut context = numbered(word);
        context.pc = address_of(rest);
        context.spsr = (index % 16) << 28 | 0x40;
        context
    };
    let puppets = pairs(system, context);
    shuffle(system, pause, &puppets);
    for (puppet, index) in puppets.iter().flatten().zip(0..) {
        let seen = puppet.tcb.read_registers(true).expect("to read");
        assert_eq!(seen, context(index), "puppet {index}");
        let used = puppet.sched.consumed().expect("a time");
        assert!(!used.is_zero(), "puppet {index} never ran");
    }
}

/// The same, looked at from inside.
fn compared(system: &mut System, pause: &Pause) {
    row("tls.own");
    let puppets = pairs(system, |index| UserContext {
        pc: address_of(compare),
        x20: 0xaaaa_0000 + index,
        x21: 0xbbbb_0000 + index,
        tpidr_el0: 0xaaaa_0000 + index,
        tpidrro_el0: 0xbbbb_0000 + index,
        ..UserContext::default()
    });
    shuffle(system, pause, &puppets);
    for (puppet, index) in puppets.iter().flatten().zip(0_u64..) {
        let seen = puppet.tcb.read_registers(true).expect("to read");
        assert!(seen.x0 > 0, "puppet {index} never ran");
        assert!(
            seen.pc < instruction(compare, 8),
            "puppet {index}: {seen:x?}"
        );
    }
}
