//! A passive server answers its caller, which takes the scheduling context away, and faults in the second half of the same
//! call: its handler is told, though the server has no time, and it tries again when it is given some.

#![no_std]
#![no_main]

use core::arch::naked_asm;

use libsel4::abi::UserContext;
use libsel4::{BootInfo, CapRights, Message, System, root_task};
use tern_target_tests::calls::{CALL, COMBINED, RECV, combined, returned};
use tern_target_tests::objects::{Answer, Puppet, Settler, call_registers, info};
use tern_target_tests::rows::row;

root_task!(main);

/// A system call, and then one with the registers that are in x19 to x23.
#[unsafe(naked)]
extern "C" fn two_calls() -> ! {
    naked_asm!(
        "svc #0",
        "mov x0, x19",
        "mov x1, x20",
        "mov x6, x21",
        "mov x7, x22",
        "mov x8, x23",
        "svc #0",
        "udf #0",
    )
}

fn start() -> u64 {
    two_calls as *const () as u64
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let settler = Settler::new(&mut system);
    row("syscall.receive.fault-without-time");
    for core in 0..boot.cores() {
        for number in COMBINED {
            for empty in [true, false] {
                answer_and_fault(&mut system, &settler, core, number, empty);
            }
        }
    }
}

fn answer_and_fault(system: &mut System, settler: &Settler, core: usize, number: i64, empty: bool) {
    let server = Puppet::new(system, 0, 110);
    let client = Puppet::new(system, core, 100);
    let endpoint = system.endpoint().expect("an endpoint");
    let notification = system.notification().expect("a notification");
    let reply = system.reply().expect("a reply object");
    // Where the second half receives: an empty slot, or an address behind the guard.
    let slot = system.slot().expect("a slot");
    let source = if empty { slot.index } else { 1 << 12 | 9 };
    let second = combined(number, reply.bits(), source, reply.bits());
    server.start(&UserContext {
        pc: start(),
        x19: second.x0,
        x20: info(6, 0, 0),
        x21: second.x6,
        x22: second.x7,
        x23: second.x8,
        ..call_registers(RECV, endpoint.bits(), 0, [0; 4], reply.bits())
    });
    settler.settle();
    server.sched.unbind().expect("to unbind");

    let call = call_registers(CALL, endpoint.bits(), info(5, 0, 0), [0; 4], 0);
    assert_eq!(returned(client.syscall(&call)).x1, info(6, 0, 0));
    assert!(client.sched.bind(server.tcb).is_err(), "the client has it");
    let svc = start() + 6 * 4;
    let length = if empty { 5 } else { 7 };
    let failure = if empty { [2, 0, 0, 0] } else { [4, 64, 0, 52] };
    let words = [
        svc, source, 1, failure[0], failure[1], failure[2], failure[3],
    ];
    let expected = Answer::new(1, &words[..length]);
    assert_eq!(Answer::of(&server.fault().message), expected, "{number}");
    // Answered, it may go on, but cannot.
    server.reply.send(Message::new(0));
    settler.settle();
    assert_eq!(server.faults.poll().badge, 0, "it has no time");
    server.sched.bind(server.tcb).expect("to bind");
    // All of the call again; nobody waits for the answer now.
    assert_eq!(Answer::of(&server.fault().message), expected, "{number}");
    assert_eq!(server.registers().pc, svc);
    if !empty {
        return;
    }
    slot.mint_from(&notification.slot(), CapRights::all(), 4)
        .expect("a badge");
    server.reply.send(Message::new(0));
    settler.settle();
    assert_eq!(server.faults.poll().badge, 0, "it waits");
    libsel4::syscall::signal(slot.index);
    let end = Answer::of(&server.fault().message);
    assert_eq!((end.label, end.words[0]), (3, svc + 4));
    let after = server.registers();
    assert_eq!(
        (after.x0, after.x1, after.x6),
        (4, info(6, 0, 0), second.x6)
    );
}
