//! Debug calls answer, and bad arguments cost a line on the console and nothing else.
//!
//! expect: a line in bytes
//! expect: written byte by byte
//! expect: 0x9 is no TCB
//! expect: no core 18446744073709551615 or no interrupt 0
//! expect: no core 0 or no interrupt 16
//! expect: the name does not end
//! expect: no IPC buffer for the name
//! expect: nnnnzR live
//! expect: debug call of 'p-good': 0x9 is no TCB
//! expect: thread 'p-good' stops at 0x
//! expect: interrupt 7 on core {last} has no handler
//! gic: 2 3

#![no_std]
#![no_main]

use libsel4::abi::{UserContext, cap_type, debug_syscall, slot};
use libsel4::invoke::Trigger;
use libsel4::{
    BootInfo, Cap, CapRights, IrqHandler, PageTable, SmallPage, System, Tcb, debug, init, root_task,
};
use tern_target_tests::objects::{
    Answer, Ended, Pause, Puppet, buffer_word, call_registers, object,
};
use tern_target_tests::rows::{row, rows};

root_task!(main);

const PUT_CHAR: i64 = debug_syscall::PUT_CHAR;
const DUMP: i64 = debug_syscall::DUMP_SCHEDULER;
const IDENTIFY: i64 = debug_syscall::CAP_IDENTIFY;
const SNAPSHOT: i64 = debug_syscall::SNAPSHOT;
const NAME: i64 = debug_syscall::NAME_THREAD;
const SEND_IPI: i64 = debug_syscall::SEND_IPI;
const AFFINITY: i64 = debug_syscall::GET_THREAD_AFFINITY;

/// Addresses of no thread: no capability, another one, outside of the capability space.
const WILD: [u64; 5] = [0, 9, 1 << 12, 1 << 63, u64::MAX];

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let pause = Pause::new(&mut system);
    let puppet = Puppet::new(&mut system, boot.cores() - 1, 100);
    // x0 is an argument and the result; no other register changes.
    let ask = |number, x0, x1| {
        let before = UserContext {
            x30: 30,
            ..call_registers(number, x0, x1, [12, 13, 14, 15], 16)
        };
        let Ended::Returned(after) = puppet.syscall(&before) else {
            panic!("debug call {number} is a fault")
        };
        let expected = UserContext {
            pc: Puppet::trap_address() + 4,
            spsr: 0x40,
            x0: after.x0,
            ..before
        };
        assert_eq!(after, expected);
        after.x0
    };
    rows(&["debug.registers", "debug.put-char.writes"]);
    for byte in *b"a line in bytes\n" {
        assert_eq!(ask(PUT_CHAR, byte.into(), 0), byte.into());
    }
    row("debug.put-char.low-byte");
    for byte in *b"written byte by byte\n" {
        let wide = 0xffff_0001_0000_0100 | u64::from(byte);
        assert_eq!(ask(PUT_CHAR, wide, 0), wide);
    }
    // This line itself is the check: it is found only at the start of a line.
    for text in ["row: ", "debug.put-char.line", "\n"] {
        for byte in text.bytes() {
            ask(PUT_CHAR, byte.into(), 0);
        }
    }
    row("debug.registers");
    assert_eq!(ask(DUMP, 5, 6), 5);
    assert_eq!(ask(SNAPSHOT, 5, 6), 5);
    identify(&mut system, &ask);
    affinity(&mut system, boot, &puppet, &ask);
    interrupts(&mut system, boot, &pause, &ask);
    names(&puppet, &ask);
    absent(&puppet);

    row("debug.name.bad");
    puppet.remove_buffer();
    ask(NAME, puppet.tcb.bits(), 0);
    puppet.restore_buffer();
    ask(AFFINITY, 9, 0);
    row("debug.lines.fault");
    let space = puppet.tcb.set_space(None, init::CNODE, 0, init::VSPACE);
    space.expect("no handler");
    puppet.begin_syscall(&call_registers(-1000, 0, 0, [0; 4], 0));
    pause.pause();
}

fn identify(system: &mut System, ask: &impl Fn(i64, u64, u64) -> u64) {
    row("debug.identify.none");
    for cptr in WILD.into_iter().filter(|&cptr| cptr != 9) {
        assert_eq!(ask(IDENTIFY, cptr, 0), 0, "{cptr:#x}");
    }
    row("debug.identify.type");
    let handler = system.slot().expect("a slot");
    init::IRQ_CONTROL.get(60, &handler).expect("a handler");
    let sgi = system.slot().expect("a slot");
    init::IRQ_CONTROL.issue_sgi_signal(9, 0, &sgi).expect("one");
    let endpoint = system.endpoint().expect("an endpoint");
    let silent = system.copy(endpoint, CapRights::empty()).expect("a copy");
    let expected = [
        (object::<SmallPage>(system).bits(), cap_type::FRAME, 1),
        (
            system.untyped(12).expect("memory").bits(),
            cap_type::UNTYPED,
            2,
        ),
        (object::<PageTable>(system).bits(), cap_type::PAGE_TABLE, 3),
        (endpoint.bits(), cap_type::ENDPOINT, 4),
        (silent.bits(), cap_type::ENDPOINT, 4),
        (
            system.notification().expect("one").bits(),
            cap_type::NOTIFICATION,
            6,
        ),
        (system.reply().expect("one").bits(), cap_type::REPLY, 8),
        (slot::INIT_THREAD_VSPACE, cap_type::VSPACE, 9),
        (slot::INIT_THREAD_CNODE, cap_type::CNODE, 10),
        (slot::ASID_CONTROL, cap_type::ASID_CONTROL, 11),
        (object::<Tcb>(system).bits(), cap_type::THREAD, 12),
        (slot::INIT_THREAD_ASID_POOL, cap_type::ASID_POOL, 13),
        (slot::IRQ_CONTROL, cap_type::IRQ_CONTROL, 14),
        (handler.index, cap_type::IRQ_HANDLER, 16),
        (slot::DOMAIN, cap_type::DOMAIN, 20),
        (slot::INIT_THREAD_SC, cap_type::SCHED_CONTEXT, 22),
        (
            system.boot().raw().sched_control.start,
            cap_type::SCHED_CONTROL,
            24,
        ),
        (sgi.index, cap_type::SGI_SIGNAL, 27),
    ];
    for (cptr, name, number) in expected {
        assert_eq!(name, number);
        assert_eq!(ask(IDENTIFY, cptr, 0), number, "{cptr:#x}");
    }
    assert_eq!(debug::cap_identify(endpoint), 4);
}

fn affinity(
    system: &mut System,
    boot: &'static BootInfo,
    puppet: &Puppet,
    ask: &impl Fn(i64, u64, u64) -> u64,
) {
    row("debug.affinity.core");
    assert_eq!(ask(AFFINITY, puppet.tcb.bits(), 0), boot.cores() as u64 - 1);
    assert_eq!(ask(AFFINITY, init::TCB.bits(), 0), 0);
    for core in 0..boot.cores() {
        let other = Puppet::new(system, core, 10);
        assert_eq!(ask(AFFINITY, other.tcb.bits(), 0), core as u64);
    }
    row("debug.affinity.no-tcb");
    for cptr in WILD {
        assert_eq!(ask(AFFINITY, cptr, 0), u64::MAX, "{cptr:#x}");
    }
}

fn interrupts(
    system: &mut System,
    boot: &'static BootInfo,
    pause: &Pause,
    ask: &impl Fn(i64, u64, u64) -> u64,
) {
    row("debug.send-ipi.sends");
    let notification = system.notification().expect("a notification");
    for core in 0..boot.cores() as u64 {
        let slot = system.slot().expect("a slot");
        let get = init::IRQ_CONTROL.get_trigger_core(5, Trigger::Edge, core, &slot);
        get.expect("a handler");
        let handler = Cap::<IrqHandler>::from_bits(slot.index);
        let badged = system.mint(notification, CapRights::all(), 1 << core);
        handler
            .set_notification(badged.expect("a badge"))
            .expect("set");
    }
    for core in 0..boot.cores() as u64 {
        assert_eq!(ask(SEND_IPI, core, 5), core);
        assert_eq!(notification.wait(), 1 << core, "core {core}");
        assert_eq!(notification.poll(), 0, "only there");
    }
    row("debug.send-ipi.bad");
    for (target, sgi) in [
        (boot.cores() as u64, 6),
        (u64::MAX, 0),
        (0, 16),
        (0, u64::MAX),
    ] {
        assert_eq!(ask(SEND_IPI, target, sgi), target);
    }
    // The kernel's own, and one that is taken and has no notification.
    row("debug.lines.interrupt");
    let slot = system.slot().expect("a slot");
    let last = boot.cores() as u64 - 1;
    let get = init::IRQ_CONTROL.get_trigger_core(7, Trigger::Edge, last, &slot);
    get.expect("a handler");
    for target in 0..=last {
        for sgi in [0, 1, 7] {
            assert_eq!(ask(SEND_IPI, target, sgi), target);
        }
    }
    pause.pause();
}

/// Names: not ended, as long as may be, not text. The dump that follows shows the last name that was accepted.
fn names(puppet: &Puppet, ask: &impl Fn(i64, u64, u64) -> u64) {
    let window = puppet.buffer();
    let name = |text: &dyn Fn(usize) -> u8| {
        for index in 0..120 {
            let bytes = core::array::from_fn(|byte| text(index * 8 + byte));
            window.write(buffer_word(index), u64::from_le_bytes(bytes));
        }
        let tcb = puppet.tcb.bits();
        assert_eq!(ask(NAME, tcb, 0), tcb);
    };
    row("debug.name.longest");
    // The last two bytes are told from the others, and a shorter name after it leaves nothing of it.
    name(&|at| match at {
        0..845 => b'n',
        845 => b'z',
        846 => b'R',
        _ => 0,
    });
    row("debug.name.endless");
    name(&|_| b'x');
    ask(DUMP, 0, 0);
    for length in [0, 1, 7, 8, 20] {
        name(&|at| if at < length { 0xff } else { 0 });
        ask(DUMP, 0, 0);
    }
    row("debug.name.stores");
    name(&|at| *b"p-good".get(at).unwrap_or(&0));
    row("debug.name.bad");
    for cptr in WILD {
        assert_eq!(ask(NAME, cptr, 0), cptr);
    }
}

fn absent(puppet: &Puppet) {
    row("debug.absent");
    for number in (-34..=-20).chain([-100, i64::MIN]) {
        let registers = call_registers(number, 1, 2, [3, 4, 5, 6], 7);
        let Ended::Faulted(Answer { label, words }) = puppet.syscall(&registers) else {
            panic!("{number} is a call")
        };
        assert_eq!((label, words.len(), words[12]), (2, 13, number as u64));
    }
}
