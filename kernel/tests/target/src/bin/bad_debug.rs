//! Bad arguments of debug calls, from the root task's core and the last one: a line on the console, and nothing else.
//! expect: is no TCB
//! expect: no IPC buffer for the name
//! expect: the name does not end
//! expect: no core 64 or
//! expect: no interrupt 16
//! expect: no interrupt 18446744073709551615
//! expect: kept-name
//! expect: x-is-847
//! expect: x-is-959

#![no_std]
#![no_main]

use libsel4::abi::{UserContext, cap_type};
use libsel4::{BootInfo, System, debug, root_task};
use tern_target_tests::bad::{Bench, Buffer, Kind, UNRESOLVABLE, Victim};
use tern_target_tests::objects::{Ended, Puppet, buffer_word, call_registers};
use tern_target_tests::rows::{row, rows};

root_task!(main);

const PUT_CHAR: i64 = -12;
const DUMP: i64 = -13;
const IDENTIFY: i64 = -15;
const SNAPSHOT: i64 = -16;
const NAME: i64 = -17;
const SEND_IPI: i64 = -18;
const AFFINITY: i64 = -19;
/// Software-generated interrupts there are.
const SGIS: u64 = 16;
const NOWHERE: [u64; 4] = [UNRESOLVABLE, 1 << 32 | 1, 1 << 63, u64::MAX];

struct Test {
    bench: Bench,
    cores: u64,
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let bench = Bench::new(&mut system);
    let victim = Victim::new(&mut system, boot.cores() / 2);
    debug::name_thread(victim.puppet.tcb, "kept-name");
    let state = victim.state();
    let identities = bench.zoo.identities();
    let test = Test {
        bench,
        cores: boot.cores() as u64,
    };
    let check = |name: &str| {
        assert_eq!(victim.state(), state, "{name}");
        assert_eq!(test.bench.zoo.identities(), identities, "{name}");
    };
    row("bad.debug.cap-identify");
    test.identify();
    check("identify");
    row("bad.debug.thread-affinity");
    test.affinity();
    check("affinity");
    row("bad.debug.name-thread");
    test.name(victim.cap());
    check("name");
    row("bad.debug.name-length");
    test.long_names();
    check("long names");
    row("bad.debug.send-ipi");
    test.send_ipi();
    check("send");
    rows(&[
        "bad.debug.put-char",
        "bad.debug.dump-scheduler",
        "bad.debug.snapshot",
    ]);
    test.without_arguments();
    check("the others");
    victim.check_alive(&test.bench.zoo);
}

impl Test {
    /// Makes a debug call as the thread: x0 after it. No other register changes.
    fn ask(&self, number: i64, x0: u64, x1: u64) -> u64 {
        let before = UserContext {
            x8: 88,
            x30: 30,
            ..call_registers(number, x0, x1, [12, 13, 14, 15], 16)
        };
        match self.bench.puppet.syscall(&before) {
            Ended::Faulted(fault) => panic!("{number}, {x0:#x}, {x1:#x}: {fault:x?}"),
            Ended::Returned(after) => {
                let expected = UserContext {
                    pc: Puppet::trap_address() + 4,
                    spsr: 0x40,
                    x0: after.x0,
                    ..before
                };
                assert_eq!(after, expected, "{number}");
                after.x0
            }
        }
    }

    /// Of kinds that are no threads, and of addresses that lead nowhere.
    fn no_threads(&self) -> impl Iterator<Item = u64> + '_ {
        let zoo = self.bench.zoo.all();
        let wrong = zoo.filter(|(kind, _)| *kind != Kind::Thread);
        wrong.map(|(_, cap)| cap).chain(NOWHERE)
    }

    fn identify(&self) {
        for cap in NOWHERE.into_iter().chain([self.bench.zoo.of(Kind::Null)]) {
            assert_eq!(self.ask(IDENTIFY, cap, 0), cap_type::NULL, "{cap:#x}");
        }
        for (kind, cap) in self.bench.zoo.all() {
            let known = debug::cap_identify(libsel4::Null::at(cap));
            assert_eq!(self.ask(IDENTIFY, cap, u64::MAX), known, "{kind:?}");
        }
    }

    fn affinity(&self) {
        for cap in self.no_threads() {
            assert_eq!(self.ask(AFFINITY, cap, 0), u64::MAX, "{cap:#x}");
            let thread = debug::thread_affinity(libsel4::Tcb::at(cap));
            assert_eq!(thread, None, "{cap:#x}");
        }
    }

    fn name(&self, tcb: u64) {
        for cap in self.no_threads() {
            assert_eq!(self.ask(NAME, cap, 0), cap);
        }
        // A name that does not end in the message words.
        let window = self.bench.puppet.buffer();
        let fill = |byte: u8, length: usize| {
            for index in 0..120 {
                let bytes =
                    core::array::from_fn(|at| if index * 8 + at < length { byte } else { 0 });
                window.write(buffer_word(index), u64::from_le_bytes(bytes));
            }
        };
        fill(b'x', 960);
        assert_eq!(self.ask(NAME, tcb, 0), tcb);
        fill(b'x', 20);
        for buffer in [Buffer::None, Buffer::NoRights] {
            self.bench.set_buffer(buffer);
            assert_eq!(self.ask(NAME, tcb, 0), tcb);
        }
        self.bench.puppet.restore_buffer();
    }

    /// A name as long as there is room for it, and one as long as may be, whose rest is cut off.
    fn long_names(&self) {
        let thread = self.bench.zoo.of(Kind::Thread);
        for (length, end) in [(847, "x-is-847"), (959, "x-is-959")] {
            let mut name = [b'x'; 960];
            name[length..].fill(0);
            name[847 - end.len()..847].copy_from_slice(end.as_bytes());
            let window = self.bench.puppet.buffer();
            for (index, bytes) in name.chunks_exact(8).enumerate() {
                let word = u64::from_le_bytes(bytes.try_into().expect("eight bytes"));
                window.write(buffer_word(index), word);
            }
            assert_eq!(self.ask(NAME, thread, 0), thread);
            assert_eq!(self.ask(DUMP, 0, 0), 0);
        }
    }

    fn send_ipi(&self) {
        let cores = [self.cores, 64, 1 << 32, 1 << 63, u64::MAX];
        let sgis = [SGIS, SGIS + 1, 1 << 32, 1 << 63, u64::MAX];
        for core in cores {
            assert_eq!(self.ask(SEND_IPI, core, 5), core);
            debug::send_ipi(core, 5);
        }
        for sgi in sgis {
            assert_eq!(self.ask(SEND_IPI, 0, sgi), 0);
            debug::send_ipi(0, sgi);
        }
    }

    /// What these are given does not matter.
    fn without_arguments(&self) {
        for x0 in [0x2e, u64::MAX << 8 | 0x2e] {
            assert_eq!(self.ask(PUT_CHAR, x0, u64::MAX), x0);
        }
        assert_eq!(self.ask(PUT_CHAR, 0x0a, 0), 0x0a);
        for number in [DUMP, SNAPSHOT] {
            assert_eq!(self.ask(number, u64::MAX, u64::MAX), u64::MAX);
        }
    }
}
