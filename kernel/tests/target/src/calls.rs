//! System calls by number, as a [`Puppet`] makes them.

use libsel4::abi::UserContext;
use libsel4::{CapRights, Message, System, ThreadBuilder};

use crate::objects::{Answer, Ended, Puppet, Settler, call_registers, info};

pub const CALL: i64 = -1;
pub const REPLY_RECV: i64 = -2;
pub const NB_SEND_RECV: i64 = -3;
pub const NB_SEND_WAIT: i64 = -4;
pub const SEND: i64 = -5;
pub const NB_SEND: i64 = -6;
pub const RECV: i64 = -7;
pub const NB_RECV: i64 = -8;
pub const WAIT: i64 = -9;
pub const NB_WAIT: i64 = -10;
pub const YIELD: i64 = -11;

/// The calls with two phases.
pub const COMBINED: [i64; 3] = [REPLY_RECV, NB_SEND_RECV, NB_SEND_WAIT];
/// The calls that receive with a reply object, which is in x6.
pub const WITH_REPLY: [i64; 4] = [RECV, NB_RECV, REPLY_RECV, NB_SEND_RECV];
/// All that receive.
pub const RECEIVING: [i64; 7] = [
    RECV,
    NB_RECV,
    WAIT,
    NB_WAIT,
    REPLY_RECV,
    NB_SEND_RECV,
    NB_SEND_WAIT,
];

/// Registers of which each has a value of its own.
pub const DISTINCT: UserContext = UserContext {
    pc: 0,
    sp: 0x9_0000,
    spsr: 0x9000_0000,
    x0: 100,
    x1: 0,
    x2: 102,
    x3: 103,
    x4: 104,
    x5: 105,
    x6: 106,
    x7: 0,
    x8: 108,
    x9: 109,
    x10: 110,
    x11: 111,
    x12: 112,
    x13: 113,
    x14: 114,
    x15: 115,
    x16: 116,
    x17: 117,
    x18: 118,
    x19: 119,
    x20: 120,
    x21: 121,
    x22: 122,
    x23: 123,
    x24: 124,
    x25: 125,
    x26: 126,
    x27: 127,
    x28: 128,
    x29: 129,
    x30: 130,
    tpidr_el0: 0x1111,
    tpidrro_el0: 0x2222,
};

/// The registers after a system call that came back.
#[track_caller]
pub fn returned(ended: Ended) -> UserContext {
    match ended {
        Ended::Returned(registers) => registers,
        Ended::Faulted(fault) => panic!("the system call faulted: {fault:?}"),
    }
}

/// Message words of a context.
pub fn words(context: &UserContext) -> [u64; 4] {
    [context.x2, context.x3, context.x4, context.x5]
}

/// A combined call that sends an empty message to `destination`, and receives on `source`. (For ReplyRecv the
/// destination is the reply object as well.)
pub fn combined(number: i64, destination: u64, source: u64, reply: u64) -> UserContext {
    combined_with(number, destination, source, reply, 0, [0; 4])
}

/// The same with a message.
pub fn combined_with(
    number: i64,
    destination: u64,
    source: u64,
    reply: u64,
    info: u64,
    words: [u64; 4],
) -> UserContext {
    let x6 = match number {
        REPLY_RECV | NB_SEND_WAIT => destination,
        NB_SEND_RECV => reply,
        _ => panic!("{number} is no combined call"),
    };
    UserContext {
        x8: destination,
        ..call_registers(number, source, info, words, x6)
    }
}

/// A call that receives on `source` and sends nothing: what could be sent goes to the reply object, on which nobody
/// waits.
pub fn receive(number: i64, source: u64, reply: u64) -> UserContext {
    UserContext {
        x8: reply,
        ..call_registers(number, source, 0, [0; 4], reply)
    }
}

/// Whether a number is an unknown system call. The other registers are small numbers.
pub fn is_unknown(puppet: &Puppet, number: u64) -> bool {
    let registers = UserContext {
        x7: number,
        ..call_registers(0, 1, 2, [3, 4, 5, 6], 7)
    };
    match puppet.syscall(&registers) {
        Ended::Faulted(Answer { label: 2, words }) => {
            assert_eq!((words.len(), words[12]), (13, number), "its words");
            true
        }
        Ended::Faulted(other) => panic!("{number:#x}: {other:?}"),
        Ended::Returned(_) => false,
    }
}

/// Each of the eleven calls does what only it does, in whatever configuration the kernel is.
pub fn numbers_work(system: &mut System, puppet: &Puppet) {
    let settler = Settler::new(system);
    let endpoint = system.endpoint().expect("an endpoint");
    let plain = system.notification().expect("a notification");
    let signal = system.mint(plain, CapRights::all(), 4).expect("a badge");
    let reply = system.reply().expect("a reply object");
    let other = system.reply().expect("a reply object");
    // Sent, and whether it then waits for an answer, has gone on, or has lost the message.
    let send = |number| {
        let registers = call_registers(number, endpoint.bits(), info(7, 0, 0), [0; 4], 0);
        puppet.begin_syscall(&registers);
        settler.settle();
        endpoint.nb_recv(other).label() == 7
    };
    assert!(send(CALL));
    other.send(Message::new(8));
    assert_eq!(returned(puppet.end_of_syscall()).x1 >> 12, 8);
    assert!(send(SEND));
    assert_eq!(returned(puppet.end_of_syscall()).x1 >> 12, 7);
    assert!(!send(NB_SEND));
    returned(puppet.end_of_syscall());
    // Which capabilities are signalled, and whether it waits.
    for (number, sends, waits) in [
        (RECV, false, true),
        (NB_RECV, false, false),
        (WAIT, false, true),
        (NB_WAIT, false, false),
        (NB_SEND_RECV, true, true),
        (NB_SEND_WAIT, true, true),
    ] {
        let before = match sends {
            true => combined(number, signal.bits(), endpoint.bits(), reply.bits()),
            false => call_registers(number, endpoint.bits(), 0, [0; 4], reply.bits()),
        };
        puppet.begin_syscall(&before);
        settler.settle();
        assert_eq!(plain.poll() == 4, sends, "{number}");
        assert_eq!(puppet.faults.poll().badge == 0, waits, "{number}");
    }
    // ReplyRecv answers the test's own call.
    let receive = call_registers(RECV, endpoint.bits(), 0, [0; 4], reply.bits());
    puppet.begin_syscall(&receive);
    settler.settle();
    let caller = ThreadBuilder::new("caller")
        .spawn(system, move || endpoint.call(Message::new(1)).label())
        .expect("a thread");
    returned(puppet.end_of_syscall());
    let answer = combined_with(
        REPLY_RECV,
        reply.bits(),
        endpoint.bits(),
        0,
        info(9, 0, 0),
        [0; 4],
    );
    puppet.begin_syscall(&answer);
    assert_eq!(caller.join(system).expect("an answer"), 9);
    returned(puppet.syscall(&call_registers(YIELD, 0, 0, [0; 4], 0)));
}
