//! Debug calls answer, and bad arguments cost a line on the console and nothing else.
//! expect: is no TCB

#![no_std]
#![no_main]

use libsel4::abi::UserContext;
use libsel4::{BootInfo, CapRights, System, debug, init, root_task};
use tern_target_tests::objects::{Ended, Puppet, buffer_word, call_registers};

root_task!(main);

const PUT_CHAR: i64 = -12;
const DUMP: i64 = -13;
const IDENTIFY: i64 = -15;
const SNAPSHOT: i64 = -16;
const NAME: i64 = -17;
const SEND_IPI: i64 = -18;
const AFFINITY: i64 = -19;

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let core = boot.cores() - 1;
    let puppet = Puppet::new(&mut system, core, 100);
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
    let wild = [0, 9, 1 << 12, 1 << 63, u64::MAX];
    for char in [u64::from(b'.'), 0x1_0000_0000 | 0x2e] {
        assert_eq!(ask(PUT_CHAR, char, 0), char);
    }
    assert_eq!(ask(DUMP, 5, 6), 5);
    assert_eq!(ask(SNAPSHOT, 5, 6), 5);
    for cptr in wild.into_iter().filter(|&cptr| cptr != 9) {
        assert_eq!(ask(IDENTIFY, cptr, 0), 0, "{cptr:#x}");
    }
    assert_eq!(ask(IDENTIFY, init::TCB.bits(), 0), 12);
    for cptr in wild {
        assert_eq!(ask(AFFINITY, cptr, 0), u64::MAX, "{cptr:#x}");
        assert_eq!(ask(NAME, cptr, 0), cptr);
    }
    assert_eq!(ask(AFFINITY, puppet.tcb.bits(), 0), core as u64);
    assert_eq!(ask(AFFINITY, init::TCB.bits(), 0), 0);
    for (target, sgi) in [
        (boot.cores() as u64, 5),
        (u64::MAX, 0),
        (0, 16),
        (0, u64::MAX),
        (0, 0),
    ] {
        assert_eq!(ask(SEND_IPI, target, sgi), target);
    }
    // The kernel's own, and one that nobody handles, on every core.
    for target in 0..boot.cores() as u64 {
        for sgi in [0, 1, 5] {
            assert_eq!(ask(SEND_IPI, target, sgi), target);
        }
    }

    // Names: not ended, as long as may be, not text; and no buffer.
    let window = puppet.buffer();
    let name = |byte: u8, length: usize| {
        for index in 0..120 {
            window.write(buffer_word(index), u64::from_le_bytes([byte; 8]));
        }
        if length < 960 {
            let mut last = [byte; 8];
            last[length % 8] = 0;
            window.write(buffer_word(length / 8), u64::from_le_bytes(last));
        }
        assert_eq!(ask(NAME, puppet.tcb.bits(), 0), puppet.tcb.bits());
        ask(DUMP, 0, 0);
    };
    for length in [0, 1, 7, 8, 846, 847, 848, 959, 960] {
        name(b'n', length);
    }
    name(0xff, 20);
    puppet.remove_buffer();
    ask(NAME, puppet.tcb.bits(), 0);
    // A thread that faults with such a name, and without a handler, is told about on the console.
    puppet
        .tcb
        .set_space(None, init::CNODE, 0, init::VSPACE)
        .expect("no handler");
    puppet.begin_syscall(&call_registers(-1000, 0, 0, [0; 4], 0));
    let endpoint = system.endpoint().expect("an endpoint");
    assert_eq!(debug::cap_identify(endpoint), 4);
    let silent = system.copy(endpoint, CapRights::empty()).expect("a copy");
    assert_eq!(debug::cap_identify(silent), 4);
}
