//! User exceptions: which instructions raise them, with which syndrome, the five words, and what the reply does.

#![no_std]
#![no_main]

use libsel4::invoke::TcbFlags;
use libsel4::{BootInfo, Message, System, UserContext, root_task};
use tern_target_tests::objects::{Answer, Puppet, Settler};
use tern_target_tests::rows::{row, rows};

root_task!(main);

macro_rules! snippets {
    ($($name:ident: $($line:literal),+;)*) => {$(
        #[unsafe(naked)]
        extern "C" fn $name() -> ! {
            core::arch::naked_asm!($($line),+, "udf #0")
        }
    )*};
}

snippets! {
    undefined: "udf #0x123";
    breakpoint: "brk #5";
    id_register: "mrs x1, midr_el1";
    thread_id: "msr tpidrro_el0, x1";
    hypervisor: "hvc #0";
    secure_monitor: "smc #0";
    interrupts: "msr daifset, #2";
    float: "fmov d0, #1.0";
    vector: "add v1.4s, v1.4s, v1.4s";
    benign: "mrs x1, ctr_el0", "mrs x1, dczid_el0", "mov x2, sp", "sub sp, sp, #3", "ldr x1, [sp]", "add sp, sp, #3",
        "sub x1, sp, #29", "ldr x3, [x1]", "dc cvac, x1", "dc cvau, x1", "dc civac, x1", "ic ivau, x1", "wfe", "wfi", "dc zva, x1";
}

fn address_of(code: extern "C" fn() -> !) -> u64 {
    code as *const () as u64
}

fn registers(pc: u64) -> UserContext {
    UserContext {
        pc,
        sp: 0x7770,
        spsr: 0x6000_0000,
        x1: 0x111,
        ..UserContext::default()
    }
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let settler = Settler::new(&mut system);
    let puppet = Puppet::new(&mut system, boot.cores() - 1, 100);
    let expect = |pc, syndrome| Answer::new(3, &[pc, 0x7770, 0x6000_0040, syndrome, 0]);
    rows(&[
        "fault.exception.words",
        "fault.exception.undefined",
        "fault.exception.breakpoint",
        "fault.exception.system-register",
        "fault.exception.no-debug",
    ]);
    for (code, syndrome) in [
        (undefined as extern "C" fn() -> !, 0x0200_0000),
        (breakpoint, 0xf200_0005),
        (id_register, 0x0200_0000),
        (thread_id, 0x0200_0000),
        (hypervisor, 0x0200_0000),
        (secure_monitor, 0x0200_0000),
        (interrupts, 0x6207_93e4),
    ] {
        let pc = address_of(code);
        assert_eq!(
            puppet.run_to_fault(&registers(pc)),
            expect(pc, syndrome),
            "{syndrome:#x}"
        );
    }
    row("fault.exception.pc-alignment");
    // A program counter that is not aligned (in a page that is mapped, so that there is one cause only).
    let odd = address_of(undefined) + 2;
    assert_eq!(
        puppet.run_to_fault(&registers(odd)),
        expect(odd, 0x8a00_0000)
    );
    rows(&["fault.hyp.absent", "tern.el0.instructions"]);
    // What user level may do; the fault is the end of the code.
    let on_buffer = UserContext {
        sp: puppet.buffer().start() as u64 + 0x800,
        ..registers(address_of(benign))
    };
    let fault = puppet.run_to_fault(&on_buffer);
    assert_eq!(
        (fault.label, fault.words[0]),
        (3, address_of(benign) + 15 * 4)
    );

    row("fault.exception.fpu-disabled");
    // Floating point, when it is taken away and given back.
    let on = TcbFlags::default();
    let off = TcbFlags { fpu_disabled: true };
    assert_eq!(puppet.tcb.set_flags(on, off), Ok(off));
    for code in [float as extern "C" fn() -> !, vector] {
        let fault = puppet.run_to_fault(&registers(address_of(code)));
        assert_eq!(fault.words[3] >> 26, 7, "a trap of floating point");
        assert_eq!(fault, expect(address_of(code), fault.words[3]));
    }
    assert_eq!(puppet.tcb.set_flags(off, on), Ok(on));
    puppet.reply.send(Message::new(0));
    let fault = Answer::of(&puppet.fault().message);
    assert_eq!(
        fault,
        expect(address_of(vector) + 4, 0x0200_0000),
        "it goes on"
    );

    rows(&[
        "fault.reply.exception",
        "fault.reply.longer",
        "fault.reply.spsr",
        "fault.reply.restart",
    ]);
    // The reply sets program counter, stack pointer and flags.
    puppet
        .reply
        .send(Message::new(0).words(&[address_of(breakpoint), 0x1110, u64::MAX, 5, 6]));
    let fault = Answer::of(&puppet.fault().message);
    let pc = address_of(breakpoint);
    assert_eq!(
        fault,
        Answer::new(3, &[pc, 0x1110, 0xf000_0040, 0xf200_0005, 0])
    );
    assert_eq!(puppet.registers().x1, 0x111);
    // Nothing in it: the same again.
    puppet.reply.send(Message::new(0));
    assert_eq!(Answer::of(&puppet.fault().message), fault);
    row("fault.reply.fewer");
    // Two words: not the flags.
    puppet
        .reply
        .send(Message::new(0).words(&[address_of(undefined), 0x7770]));
    let fault = Answer::of(&puppet.fault().message);
    assert_eq!(
        &fault.words[..3],
        &[address_of(undefined), 0x7770, 0xf000_0040]
    );
    row("fault.reply.label");
    // Another label: it stops.
    puppet
        .reply
        .send(Message::new(9).words(&[address_of(breakpoint)]));
    settler.settle();
    assert_eq!(puppet.faults.nb_recv(puppet.reply).badge, 0);
    puppet.tcb.resume().expect("to resume");
    assert_eq!(puppet.fault().label(), 3);
}
