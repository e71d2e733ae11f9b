//! Which numbers are system calls in a debug configuration for several cores; that all of x7 and nothing of the instruction
//! decides; and which program counter goes with which way into the kernel.

#![no_std]
#![no_main]

use core::arch::naked_asm;

use libsel4::abi::UserContext;
use libsel4::{BootInfo, Message, System, root_task};
use tern_target_tests::calls::{CALL, NB_WAIT, SEND, YIELD, is_unknown, returned};
use tern_target_tests::objects::{Answer, Ended, Pause, Puppet, call_registers, info};
use tern_target_tests::rows::{row, rows};

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let puppet = Puppet::new(&mut system, boot.cores() - 1, 100);
    numbers(&puppet);
    all_bits(&puppet);
    immediates(&mut system, &puppet);
    addresses(&mut system, &puppet);
}

fn numbers(puppet: &Puppet) {
    // What -1 to -11 do is checked in `syscall_registers`; here they are not unknown.
    row("syscall.trap.range");
    for number in YIELD..=CALL {
        // The capability is the empty slot 0, which the receiving calls answer with another fault.
        let registers = call_registers(number, 0, 0, [0; 4], 0);
        match puppet.syscall(&registers) {
            Ended::Returned(_) => {}
            Ended::Faulted(fault) => {
                assert_eq!(fault.label, 1, "{number}");
            }
        }
    }
    row("syscall.number.put-char");
    let dot = UserContext {
        x0: u64::from(b'.'),
        x7: -12_i64 as u64,
        ..UserContext::default()
    };
    assert_eq!(returned(puppet.syscall(&dot)).x0, u64::from(b'.'));
    row("syscall.number.dump-scheduler");
    assert!(!is_unknown(puppet, -13_i64 as u64));
    // Not -14, which ends the run.
    row("syscall.number.debug");
    for number in -17_i64..=-15 {
        assert!(!is_unknown(puppet, number as u64), "{number}");
    }
    row("syscall.number.debug-cores");
    for number in -19_i64..=-18 {
        assert!(!is_unknown(puppet, number as u64), "{number}");
    }
    row("syscall.number.no-benchmarks");
    for number in -29_i64..=-20 {
        assert!(is_unknown(puppet, number as u64), "{number}");
    }
    row("syscall.number.other-architectures");
    for number in -32_i64..=-30 {
        assert!(is_unknown(puppet, number as u64), "{number}");
    }
    row("syscall.number.set-tls-base");
    assert!(is_unknown(puppet, -33_i64 as u64));
    row("syscall.number.beyond");
    for number in (-80_i64..=-34).chain(0..40).chain([
        -256,
        -65535,
        i64::from(i32::MIN),
        i64::MIN,
        i64::MAX,
        1 << 32,
    ]) {
        assert!(is_unknown(puppet, number as u64), "{number}");
    }
}

/// Numbers that agree with a call in their low half, or in all but one bit.
fn all_bits(puppet: &Puppet) {
    row("syscall.trap.number-64-bits");
    for number in -19_i64..=-1 {
        let number = number as u64;
        assert!(is_unknown(puppet, number & 0xffff_ffff), "{number:#x}");
        for bit in 8..64 {
            assert!(is_unknown(puppet, number ^ 1 << bit), "{number:#x}, {bit}");
        }
    }
}

/// Signals with three different immediates, an unknown call with a fourth.
#[unsafe(naked)]
extern "C" fn several() -> ! {
    naked_asm!(
        "svc #1",
        "svc #0x1234",
        "svc #0xffff",
        "mov x7, #0",
        "svc #7",
        "udf #0"
    )
}

fn immediates(system: &mut System, puppet: &Puppet) {
    row("syscall.trap.immediate");
    let endpoint = system.endpoint().expect("an endpoint");
    puppet.start(&UserContext {
        pc: several as *const () as u64,
        ..call_registers(SEND, endpoint.bits(), info(4, 0, 1), [5, 0, 0, 0], 0)
    });
    for _ in 0..3 {
        let received = endpoint.wait();
        assert_eq!((received.label(), received.get(0)), (4, 5));
    }
    let fault = Answer::of(&puppet.fault().message);
    assert_eq!((fault.label, fault.words[12]), (2, 0));
}

#[unsafe(naked)]
extern "C" fn hypervisor_call() -> ! {
    naked_asm!("hvc #0", "udf #0")
}

#[unsafe(naked)]
extern "C" fn breakpoint() -> ! {
    naked_asm!("nop", "brk #5")
}

#[unsafe(naked)]
extern "C" fn endless() -> ! {
    naked_asm!("nop", "2: b 2b", "udf #0")
}

/// The program counter of a thread in the kernel.
fn addresses(system: &mut System, puppet: &Puppet) {
    let at = |code: extern "C" fn() -> !, number: i64| UserContext {
        pc: code as *const () as u64,
        x7: number as u64,
        ..UserContext::default()
    };
    row("syscall.trap.hvc");
    // Also with a number in x7 that would be a call.
    for number in [0, CALL, NB_WAIT] {
        let fault = puppet.run_to_fault(&at(hypervisor_call, number));
        assert_eq!((fault.label, fault.words[3]), (3, 0x0200_0000));
    }
    row("syscall.trap.exception-address");
    let start = hypervisor_call as *const () as u64;
    let fault = puppet.run_to_fault(&at(hypervisor_call, 0));
    assert_eq!((fault.words[0], puppet.registers().pc), (start, start));
    let start = breakpoint as *const () as u64 + 4;
    let fault = puppet.run_to_fault(&at(breakpoint, 0));
    assert_eq!((fault.label, fault.words[0]), (3, start));
    assert_eq!(puppet.registers().pc, start);
    rows(&["syscall.trap.fault-address", "syscall.trap.next-address"]);
    let trap = Puppet::trap_address();
    let registers = call_registers(-1000, 1, 2, [3, 4, 5, 6], 7);
    let Ended::Faulted(fault) = puppet.syscall(&registers) else {
        panic!("-1000 is no system call")
    };
    assert_eq!([fault.words[8], fault.words[10]], [trap, trap + 4]);
    assert_eq!(puppet.registers().pc, trap);
    // Let go at the SVC, it faults there again; after it, it goes on.
    puppet.reply.send(Message::new(0));
    assert_eq!(Answer::of(&puppet.fault().message), fault);
    row("syscall.trap.interrupt-address");
    puppet.start(&at(endless, 0));
    Pause::new(system).pause();
    puppet.tcb.suspend().expect("to suspend");
    assert_eq!(puppet.registers().pc, endless as *const () as u64 + 4);
}
