//! Bad input to the system calls themselves: what they send to, receive from and reply with, message information of every bit,
//! and numbers that are no calls. The thread that calls is on the last core.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::format;
use alloc::vec::Vec;

use libsel4::abi::{Invocation, MessageInfo, UserContext};
use libsel4::{BootInfo, Cap, CapRights, Notification, System, init, root_task};
use tern_target_tests::bad::{Bench, Kind, LOOKUP_FAILURE, UNRESOLVABLE};
use tern_target_tests::objects::{Answer, Ended, Puppet, answer, buffer_cap, call_registers};
use tern_target_tests::objects::{info, invoke};
use tern_target_tests::rows::row;

root_task!(main);

const BADGE: u64 = 0x40;
const WORDS: [u64; 4] = [11, 12, 13, 14];

/// A system call: in which register is what it sends to.
#[derive(Clone, Copy, Debug)]
struct Call {
    name: &'static str,
    number: i64,
    target: Option<usize>,
    receives: bool,
    takes_reply: bool,
    /// Whether it waits, and faults, when it sends; and when it receives.
    blocks: bool,
}

const fn call(
    name: &'static str,
    number: i64,
    target: Option<usize>,
    receives: bool,
    takes_reply: bool,
    blocks: bool,
) -> Call {
    Call {
        name,
        number,
        target,
        receives,
        takes_reply,
        blocks,
    }
}

const CALLS: [Call; 11] = [
    call("call", -1, Some(0), false, false, true),
    call("reply-recv", -2, Some(6), true, true, true),
    call("nb-send-recv", -3, Some(8), true, true, true),
    call("nb-send-wait", -4, Some(6), true, false, true),
    call("send", -5, Some(0), false, false, true),
    call("nb-send", -6, Some(0), false, false, false),
    call("recv", -7, None, true, true, true),
    call("nb-recv", -8, None, true, true, false),
    call("wait", -9, None, true, false, true),
    call("nb-wait", -10, None, true, false, false),
    call("yield", -11, None, false, false, false),
];

/// The capabilities of a call, and its message information.
#[derive(Clone, Copy, Debug)]
struct Input {
    target: u64,
    source: u64,
    reply: u64,
    info: u64,
}

impl Call {
    fn is_call(&self) -> bool {
        self.number == -1
    }

    /// Whether an address that leads nowhere is a fault when it sends.
    fn faults_in_send(&self) -> bool {
        self.target == Some(0) && self.blocks
    }

    fn registers(&self, input: Input) -> UserContext {
        let mut registers = call_registers(self.number, input.source, input.info, WORDS, 66);
        registers.x8 = 88;
        if self.takes_reply {
            registers.x6 = input.reply;
        }
        match self.target {
            Some(0) => registers.x0 = input.target,
            Some(6) => registers.x6 = input.target,
            Some(8) => registers.x8 = input.target,
            _ => {}
        }
        registers
    }
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let bench = Bench::new(&mut system);
    let source = system.notification().expect("a notification");
    let others = system.notification().expect("a notification");
    init::TCB.bind_notification(others).expect("to bind");
    let test = Test {
        signal: system
            .mint(source, CapRights::WRITE, BADGE)
            .expect("a badge"),
        source: source.bits(),
        others: others.bits(),
        bench,
    };
    let before = test.state();
    for call in CALLS {
        if call.target.is_some() {
            row(&format!("bad.{}.target", call.name));
            test.targets(&call);
        }
        if call.receives {
            row(&format!("bad.{}.source", call.name));
            test.sources(&call);
        }
        if call.takes_reply {
            row(&format!("bad.{}.reply", call.name));
            test.replies(&call);
        }
        row(&format!("bad.{}.info", call.name));
        test.infos(&call);
        assert_eq!(test.state(), before, "{call:?}");
    }
    row("bad.unknown.number");
    test.numbers();
    assert_eq!(test.state(), before);
}

struct Test {
    bench: Bench,
    signal: Cap<Notification>,
    source: u64,
    /// Bound to another thread.
    others: u64,
}

/// A fault about a capability address.
fn fault(address: u64, in_receive: bool, failure: &[u64]) -> Ended {
    let mut words: Vec<u64> = [Puppet::trap_address(), address, u64::from(in_receive)].into();
    words.extend(failure);
    Ended::Faulted(Answer::new(1, &words))
}

/// The look-up led to a capability of the wrong kind.
const MISSING: [u64; 2] = [2, 0];

impl Test {
    /// Everything that bad calls could touch.
    fn state(&self) -> Vec<u64> {
        let thread = self.bench.zoo.of(Kind::Thread);
        let mut state = self.bench.zoo.identities();
        state.extend(invoke(thread, Invocation::TcbReadRegisters, &[], &[0, 36]).words);
        for kind in [Kind::Untyped, Kind::Frame] {
            let wrong = invoke(self.bench.zoo.of(kind), Invocation::UntypedRetype, &[], &[]);
            state.push(wrong.label);
        }
        state
    }

    /// All kinds, but for the signal to a core; and addresses that lead nowhere.
    fn caps(&self) -> impl Iterator<Item = (Option<Kind>, u64)> + '_ {
        let zoo = self.bench.zoo.all();
        let kinds = zoo.filter(|(kind, _)| *kind != Kind::SgiSignal);
        let nowhere = [UNRESOLVABLE, 1 << 32 | 1, 1 << 63, u64::MAX];
        kinds
            .map(|(kind, cap)| (Some(kind), cap))
            .chain(nowhere.map(|address| (None, address)))
    }

    fn good(&self) -> Input {
        Input {
            target: self.bench.zoo.of(Kind::Null),
            source: self.source,
            reply: self.bench.zoo.of(Kind::Reply),
            info: 0,
        }
    }

    /// What the registers are after a call that ended well.
    fn returned(before: &UserContext, x0: u64) -> Ended {
        Ended::Returned(UserContext {
            pc: Puppet::trap_address() + 4,
            spsr: 0x40,
            x0,
            ..*before
        })
    }

    /// The answer to a call of a kernel object.
    fn answered(before: &UserContext, answer: &Answer) -> Ended {
        let mut after = UserContext {
            pc: Puppet::trap_address() + 4,
            spsr: 0x40,
            x0: 0,
            x1: info(answer.label, 0, answer.words.len() as u64),
            ..*before
        };
        if let Some(&word) = answer.words.first() {
            after.x2 = word;
        }
        Ended::Returned(after)
    }

    /// Makes the call with something to receive, and compares how it ends.
    fn check(&self, call: &Call, input: Input, expected: impl FnOnce(&UserContext) -> Ended) {
        let before = call.registers(input);
        let signalled = call.receives && input.source == self.source;
        if signalled {
            self.signal.signal();
        }
        let seen = self.bench.puppet.syscall(&before);
        let expected = expected(&before);
        assert_eq!(seen, expected, "{call:?}, {input:x?}");
        // What a notification got from a call that ended early.
        Cap::<Notification>::from_bits(self.source).poll();
        Cap::<Notification>::from_bits(self.bench.zoo.of(Kind::Notification)).poll();
    }

    /// How a send phase ends, for calls that tell, with this target.
    fn sent(&self, call: &Call, before: &UserContext, target: Option<Kind>, address: u64) -> Ended {
        match target {
            None if call.faults_in_send() => fault(address, false, &LOOKUP_FAILURE),
            Some(kind) if call.is_call() => {
                let answer = match kind {
                    Kind::Null | Kind::SilentEndpoint | Kind::SilentNotification => {
                        answer::invalid_capability(0)
                    }
                    Kind::Notification | Kind::Reply => answer::ok(),
                    _ => answer::illegal_operation(),
                };
                Self::answered(before, &answer)
            }
            _ if call.receives => Self::returned(before, BADGE),
            _ => Self::returned(before, before.x0),
        }
    }

    fn targets(&self, call: &Call) {
        for (kind, target) in self.caps() {
            // Nobody receives, so this would wait.
            if kind == Some(Kind::Endpoint) && call.faults_in_send() {
                continue;
            }
            let input = Input {
                target,
                ..self.good()
            };
            self.check(call, input, |before| self.sent(call, before, kind, target));
        }
    }

    /// Receiving faults, whether it would wait or not; and what was to be sent before has been sent.
    fn sources(&self, call: &Call) {
        let others = (Some(Kind::SilentNotification), self.others);
        for (kind, source) in self.caps().chain([others]) {
            if call.blocks && matches!(kind, Some(Kind::Endpoint | Kind::Notification)) {
                continue;
            }
            let input = Self::with_reply(call, source, self.good().reply, self.good());
            self.check(call, input, |before| match kind {
                None => fault(source, true, &LOOKUP_FAILURE),
                // Nothing is there to receive.
                Some(Kind::Endpoint | Kind::Notification) => Self::returned(before, 0),
                _ => fault(source, true, &MISSING),
            });
        }
    }

    /// ReplyRecv sends to its reply object.
    fn with_reply(call: &Call, source: u64, reply: u64, input: Input) -> Input {
        let target = match call.number {
            -2 => reply,
            _ => input.target,
        };
        Input {
            source,
            reply,
            target,
            ..input
        }
    }

    fn replies(&self, call: &Call) {
        let endpoint = self.bench.zoo.of(Kind::Endpoint);
        let with = |source, reply| Self::with_reply(call, source, reply, self.good());
        for (kind, reply) in self.caps() {
            if !(kind == Some(Kind::Reply) && call.blocks) {
                self.check(call, with(endpoint, reply), |before| match kind {
                    None => fault(reply, true, &LOOKUP_FAILURE),
                    Some(Kind::Reply) => Self::returned(before, 0),
                    _ => fault(reply, true, &MISSING),
                });
            }
            // A notification needs none.
            self.check(call, with(self.source, reply), |before| {
                Self::returned(before, BADGE)
            });
        }
    }

    fn infos(&self, call: &Call) {
        let bits = (0..64).map(|bit| 1u64 << bit);
        let words: Vec<u64> = bits
            .clone()
            .chain(bits.map(|bit| !bit))
            .chain([0, u64::MAX])
            .collect();
        let window = self.bench.puppet.buffer();
        for cap in [self.bench.zoo.of(Kind::Null), UNRESOLVABLE] {
            (0..3).for_each(|place| window.write(buffer_cap(place), cap));
            for &info in &words {
                let leads_nowhere = cap == UNRESOLVABLE && MessageInfo(info).extra_caps() > 0;
                for kind in [Kind::Notification, Kind::Null] {
                    let input = Input {
                        target: self.bench.zoo.of(kind),
                        info,
                        ..self.good()
                    };
                    self.check(call, input, |before| {
                        if leads_nowhere && call.faults_in_send() {
                            fault(UNRESOLVABLE, false, &LOOKUP_FAILURE)
                        } else {
                            self.sent(call, before, Some(kind), 0)
                        }
                    });
                }
            }
        }
    }

    /// Numbers that are no calls of this configuration: all 64 bits count.
    fn numbers(&self) {
        let small = (0..64).chain(-64..=-20);
        let powers = (0..64).flat_map(|bit| [1i64 << bit, -1 ^ 1i64 << bit]);
        let calls = (1..=19).map(|call| -call & 0xffff_ffff);
        for number in small.chain(powers).chain(calls).filter(is_no_call) {
            let before = UserContext {
                x8: 88,
                spsr: 0x40,
                sp: 0x9000,
                ..call_registers(number, 1, 2, WORDS, 6)
            };
            let pc = Puppet::trap_address();
            let number = number as u64;
            let words = [
                1,
                2,
                11,
                12,
                13,
                14,
                6,
                number,
                pc,
                0x9000,
                pc + 4,
                0x40,
                number,
            ];
            let seen = self.bench.puppet.syscall(&before);
            assert_eq!(seen, Ended::Faulted(Answer::new(2, &words)), "{number:#x}");
        }
    }
}

fn is_no_call(number: &i64) -> bool {
    !(-19..=-1).contains(number)
}
