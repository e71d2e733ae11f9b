//! Unknown system calls: the thirteen words, and what the reply does to the thread.

#![no_std]
#![no_main]

use libsel4::{BootInfo, Message, System, UserContext, root_task};
use tern_target_tests::objects::{Answer, Puppet, Settler};
use tern_target_tests::rows::{row, rows};

root_task!(main);

/// Two system calls with an immediate, and then a fault.
#[unsafe(naked)]
extern "C" fn calls() -> ! {
    core::arch::naked_asm!("svc #5", "svc #0xffff", "udf #0")
}

fn start() -> u64 {
    calls as *const () as u64
}

const FLAGS: u64 = 0xa000_0000;
const USER: u64 = 0x40;

fn registers(number: u64) -> UserContext {
    UserContext {
        pc: start(),
        sp: 0x1230,
        spsr: FLAGS,
        x0: 100,
        x1: 101,
        x2: 102,
        x3: 103,
        x4: 104,
        x5: 105,
        x6: 106,
        x7: number,
        x8: 108,
        x30: 130,
        ..UserContext::default()
    }
}

fn words(number: u64, pc: u64) -> [u64; 13] {
    [
        100,
        101,
        102,
        103,
        104,
        105,
        106,
        number,
        pc,
        0x1230,
        pc + 4,
        FLAGS | USER,
        number,
    ]
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let settler = Settler::new(&mut system);
    let puppet = Puppet::new(&mut system, boot.cores() - 1, 100);
    let next = || Answer::of(&puppet.fault().message);

    // Numbers that are none, compared with all 64 bits.
    rows(&[
        "fault.syscall.words",
        "fault.syscall.number",
        "fault.syscall.absent-calls",
    ]);
    let unknown = [0, 1, 9, 0xffff_ffff, 0xffff_fffb, 1 << 63, u64::MAX << 32];
    for number in unknown
        .into_iter()
        .chain((20..36).map(|number| -number as u64))
    {
        let fault = puppet.run_to_fault(&registers(number));
        assert_eq!(
            fault,
            Answer::new(2, &words(number, start())),
            "number {number:#x}"
        );
    }
    let number = -1000_i64 as u64;
    let expected = Answer::new(2, &words(number, start()));
    assert_eq!(puppet.run_to_fault(&registers(number)), expected);
    row("fault.reply.empty");
    // An empty reply makes it try again.
    puppet.reply.send(Message::new(0));
    assert_eq!(next(), expected);
    rows(&["fault.reply.fewer", "fault.reply.syscall"]);
    // So does one with only some of the registers, which are set.
    puppet.reply.send(Message::new(0).words(&[1, 2]));
    let mut changed = expected.clone();
    changed.words[..2].copy_from_slice(&[1, 2]);
    assert_eq!(next(), changed);
    rows(&["fault.reply.skip", "fault.reply.restart"]);
    // The program counter is word 8; word 10 has no effect.
    let mut reply = words(number, start());
    reply[8] = start() + 4;
    reply[10] = 0xdead_0000;
    puppet.reply.send(Message::new(0).words(&reply[..11]));
    assert_eq!(next(), Answer::new(2, &words(number, start() + 4)));
    rows(&[
        "fault.reply.syscall",
        "fault.reply.longer",
        "fault.reply.spsr",
    ]);
    // All twelve: flags are taken, the rest of SPSR is not; a thirteenth word is ignored.
    let reply = [
        10,
        11,
        12,
        13,
        14,
        15,
        16,
        17,
        start() + 8,
        0x5550,
        0,
        u64::MAX,
        99,
    ];
    puppet.reply.send(Message::new(0).words(&reply));
    let fault = next();
    let after = puppet.registers();
    assert_eq!(
        fault,
        Answer::new(3, &[start() + 8, 0x5550, 0xf000_0040, 0x0200_0000, 0])
    );
    assert_eq!([after.x0, after.x1, after.x2, after.x3], [10, 11, 12, 13]);
    assert_eq!([after.x4, after.x5, after.x6, after.x7], [14, 15, 16, 17]);
    assert_eq!([after.x8, after.x30, after.sp], [108, 130, 0x5550]);

    row("fault.reply.label");
    // Another label: it stops, and its registers are those of the reply.
    assert_eq!(puppet.run_to_fault(&registers(number)), expected);
    puppet.reply.send(Message::new(1).words(&[1000]));
    settler.settle();
    assert_eq!(
        puppet.faults.nb_recv(puppet.reply).badge,
        0,
        "it does not run"
    );
    let stopped = puppet.registers();
    assert_eq!((stopped.pc, stopped.x1), (start(), 101));
    puppet.tcb.resume().expect("to resume");
    assert_eq!(next().label, 2, "it tries again");
}
