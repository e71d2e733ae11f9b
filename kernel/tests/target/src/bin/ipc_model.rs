//! Random system calls of five threads through two endpoints, two notifications and three reply objects, compared with a
//! model of the rules after every step: who waits, who has come back with which registers, who faulted, who is inactive.
//! All threads have scheduling contexts of their own, so nothing is lent.
//! timeout: 120

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;

use libsel4::abi::UserContext;
use libsel4::{BootInfo, Cap, CapRights, Notification, Reply, System, root_task};
use tern_target_tests::calls::{
    CALL, NB_RECV, NB_SEND, NB_SEND_RECV, NB_SEND_WAIT, NB_WAIT, RECV, REPLY_RECV, SEND, WAIT,
};
use tern_target_tests::objects::{Answer, Ended, Puppet, Settler, info};
use tern_target_tests::rows::row;

root_task!(main);

const STEPS: usize = 5_000;
const THREADS: usize = 5;
const PRIORITIES: [u8; THREADS] = [100, 110, 100, 110, 90];
/// The thread to which notification 0 is bound.
const BOUND: usize = 1;
const NUMBERS: [i64; 10] = [
    CALL,
    REPLY_RECV,
    NB_SEND_RECV,
    NB_SEND_WAIT,
    SEND,
    NB_SEND,
    RECV,
    NB_RECV,
    WAIT,
    NB_WAIT,
];
const UNRESOLVABLE: u64 = 1 << 12 | 9;

/// What an address names.
#[derive(Clone, Copy, Debug)]
enum Named {
    Nothing,
    Empty,
    Endpoint(usize, CapRights, u64),
    Notification(usize, CapRights, u64),
    Reply(usize),
}

#[derive(Clone, Copy, Debug, PartialEq)]
enum State {
    /// Its last call has ended, well or with a fault.
    Ended,
    Inactive,
    Sends {
        endpoint: usize,
        badge: u64,
        may_call: bool,
        call: bool,
        since: usize,
    },
    Receives {
        endpoint: usize,
        reply: Option<usize>,
        since: usize,
    },
    Waits {
        notification: usize,
        since: usize,
    },
    Called {
        reply: usize,
    },
}

/// The rules.
struct Model {
    names: Vec<(u64, Named)>,
    states: [State; THREADS],
    /// The registers of the calls that they are in.
    calls: [UserContext; THREADS],
    /// Calls that have ended since this was last looked at.
    ends: [Option<Ended>; THREADS],
    /// Of active notifications.
    words: [Option<u64>; 2],
    clock: usize,
}

impl Model {
    fn named(&self, address: u64) -> Named {
        let found = self.names.iter().find(|(cptr, _)| *cptr == address);
        found.expect("only these addresses are used").1
    }

    fn end(&mut self, thread: usize, change: impl FnOnce(&mut UserContext)) {
        let mut registers = UserContext {
            pc: Puppet::trap_address() + 4,
            spsr: 0x40,
            ..self.calls[thread]
        };
        change(&mut registers);
        self.states[thread] = State::Ended;
        assert!(self.ends[thread].is_none());
        self.ends[thread] = Some(Ended::Returned(registers));
    }

    fn fault(&mut self, thread: usize, address: u64, in_receive: bool) {
        let mut words = [Puppet::trap_address(), address, u64::from(in_receive)].to_vec();
        match self.named(address) {
            Named::Nothing => words.extend([4, 64, 0, 52]),
            _ => words.extend([2, 0]),
        }
        self.states[thread] = State::Ended;
        self.ends[thread] = Some(Ended::Faulted(Answer::new(1, &words)));
    }

    /// The first in a queue.
    fn first(&self, is_in: impl Fn(State) -> Option<usize>) -> Option<usize> {
        let waiting = (0..THREADS).filter_map(|thread| {
            let since = is_in(self.states[thread])?;
            Some((core::cmp::Reverse(PRIORITIES[thread]), since, thread))
        });
        waiting.min().map(|(_, _, thread)| thread)
    }

    fn receiver(&self, at: usize) -> Option<usize> {
        self.first(|state| match state {
            State::Receives {
                endpoint, since, ..
            } if endpoint == at => Some(since),
            _ => None,
        })
    }

    fn sender(&self, at: usize) -> Option<usize> {
        self.first(|state| match state {
            State::Sends {
                endpoint, since, ..
            } if endpoint == at => Some(since),
            _ => None,
        })
    }

    /// Who waits on a reply object, or with it.
    fn holder(&self, object: usize) -> Option<usize> {
        (0..THREADS).find(|&thread| match self.states[thread] {
            State::Called { reply } => reply == object,
            State::Receives { reply, .. } => reply == Some(object),
            _ => false,
        })
    }

    fn deliver(&mut self, from: usize, badge: u64, to: usize) {
        let sent = self.calls[from];
        let length = sent.x1 & 0x7f;
        self.end(to, |registers| {
            registers.x0 = badge;
            registers.x1 = sent.x1;
            let to = [
                &mut registers.x2,
                &mut registers.x3,
                &mut registers.x4,
                &mut registers.x5,
            ];
            let words = [sent.x2, sent.x3, sent.x4, sent.x5];
            let copied = to.into_iter().zip(words).take(length as usize);
            copied.for_each(|(register, word)| *register = word);
        });
    }

    fn signal(&mut self, notification: usize, badge: u64) {
        let waiter = self.first(|state| match state {
            State::Waits {
                notification: at,
                since,
            } if at == notification => Some(since),
            _ => None,
        });
        let bound = (notification == 0 && matches!(self.states[BOUND], State::Receives { .. }))
            .then_some(BOUND);
        if let Some(word) = self.words[notification] {
            self.words[notification] = Some(word | badge);
        } else if let Some(thread) = waiter.or(bound) {
            self.end(thread, |registers| registers.x0 = badge);
        } else {
            self.words[notification] = Some(badge);
        }
    }

    /// Whether the call goes on after its send phase.
    fn send(&mut self, thread: usize, address: u64, call: bool, blocking: bool) -> bool {
        let answer = |model: &mut Self, error: bool| {
            if call {
                model.end(thread, |registers| {
                    registers.x0 = 0;
                    registers.x1 = if error { info(2, 0, 1) } else { 0 };
                    if error {
                        registers.x2 = 0;
                    }
                });
            }
        };
        match self.named(address) {
            Named::Nothing => {
                if blocking {
                    self.fault(thread, address, false);
                    return false;
                }
            }
            Named::Empty => answer(self, true),
            Named::Endpoint(_, rights, _) | Named::Notification(_, rights, _)
                if !rights.contains(CapRights::WRITE) =>
            {
                answer(self, true);
            }
            Named::Endpoint(endpoint, rights, badge) => {
                let may_call = rights.intersects(CapRights::GRANT | CapRights::GRANT_REPLY);
                if let Some(receiver) = self.receiver(endpoint) {
                    let State::Receives { reply, .. } = self.states[receiver] else {
                        unreachable!()
                    };
                    self.deliver(thread, badge, receiver);
                    if call {
                        self.states[thread] = match reply {
                            Some(reply) if may_call => State::Called { reply },
                            _ => State::Inactive,
                        };
                    }
                } else if blocking {
                    self.states[thread] = State::Sends {
                        endpoint,
                        badge,
                        may_call,
                        call,
                        since: self.clock,
                    };
                    return false;
                }
            }
            Named::Notification(notification, _, badge) => {
                self.signal(notification, badge);
                answer(self, false);
            }
            Named::Reply(reply) => {
                if let Some(caller) = self.holder(reply)
                    && matches!(self.states[caller], State::Called { .. })
                {
                    self.deliver(thread, 0, caller);
                }
                answer(self, false);
            }
        }
        true
    }

    fn receive(&mut self, thread: usize, address: u64, reply: Option<u64>, blocking: bool) {
        match self.named(address) {
            Named::Endpoint(endpoint, rights, _) if rights.contains(CapRights::READ) => {
                let mut object = None;
                if let Some(reply) = reply {
                    let Named::Reply(index) = self.named(reply) else {
                        return self.fault(thread, reply, true);
                    };
                    object = Some(index);
                    if let Some(other) = self.holder(index) {
                        assert_ne!(other, thread);
                        self.states[other] = State::Inactive;
                    }
                }
                if thread == BOUND
                    && let Some(word) = self.words[0].take()
                {
                    self.end(thread, |registers| registers.x0 = word);
                } else if let Some(sender) = self.sender(endpoint) {
                    let State::Sends {
                        badge,
                        may_call,
                        call,
                        ..
                    } = self.states[sender]
                    else {
                        unreachable!()
                    };
                    self.deliver(sender, badge, thread);
                    match object {
                        _ if !call => self.end(sender, |_| ()),
                        Some(reply) if may_call => self.states[sender] = State::Called { reply },
                        _ => self.states[sender] = State::Inactive,
                    }
                } else if blocking {
                    self.states[thread] = State::Receives {
                        endpoint,
                        reply: object,
                        since: self.clock,
                    };
                } else {
                    self.end(thread, |registers| registers.x0 = 0);
                }
            }
            Named::Notification(notification, rights, _)
                if rights.contains(CapRights::READ) && (notification != 0 || thread == BOUND) =>
            {
                if let Some(word) = self.words[notification].take() {
                    self.end(thread, |registers| registers.x0 = word);
                } else if blocking {
                    self.states[thread] = State::Waits {
                        notification,
                        since: self.clock,
                    };
                } else {
                    self.end(thread, |registers| registers.x0 = 0);
                }
            }
            _ => self.fault(thread, address, true),
        }
    }

    /// A thread does the call that is in its registers.
    fn run(&mut self, thread: usize) {
        self.clock += 1;
        let UserContext { x0, x6, x7, x8, .. } = self.calls[thread];
        match x7 as i64 {
            CALL => _ = self.send(thread, x0, true, true),
            number @ (SEND | NB_SEND) => {
                if self.send(thread, x0, false, number == SEND) {
                    self.end(thread, |_| ());
                }
            }
            REPLY_RECV => {
                self.send(thread, x6, false, false);
                self.receive(thread, x0, Some(x6), true);
            }
            NB_SEND_RECV => {
                self.send(thread, x8, false, false);
                self.receive(thread, x0, Some(x6), true);
            }
            NB_SEND_WAIT => {
                self.send(thread, x6, false, false);
                self.receive(thread, x0, None, true);
            }
            RECV => self.receive(thread, x0, Some(x6), true),
            NB_RECV => self.receive(thread, x0, Some(x6), false),
            WAIT => self.receive(thread, x0, None, true),
            NB_WAIT => self.receive(thread, x0, None, false),
            number => unreachable!("{number}"),
        }
    }
}

struct Random(u64);

impl Random {
    /// A number below `bound`.
    fn below(&mut self, bound: usize) -> usize {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        (self.0 >> 11) as usize % bound
    }
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    row("ipc.model");
    let cores = boot.cores();
    let puppets: [Puppet; THREADS] = core::array::from_fn(|index| {
        Puppet::new(&mut system, (index + 1) % cores, PRIORITIES[index])
    });
    let names = names(&mut system, &puppets[BOUND]);
    let mut model = Model {
        names,
        states: [State::Ended; THREADS],
        calls: [UserContext::default(); THREADS],
        ends: [const { None }; THREADS],
        words: [None; 2],
        clock: 0,
    };
    let settler = Settler::new(&mut system);
    let mut random = Random(0x9e37_79b9_7f4a_7c15 + cores as u64);
    let mut seen = [0; 6];
    for step in 0..STEPS {
        let thread = random.below(THREADS);
        let waits = model.states[thread] != State::Ended;
        if waits && random.below(4) != 0 {
            continue;
        }
        // What it waited for, if it did, is forgotten.
        model.states[thread] = State::Ended;
        if waits && random.below(3) == 0 {
            // It does the same call again, from the start.
            puppets[thread].tcb.resume().expect("to resume");
        } else {
            let before = any_call(&mut random, &model.names, step as u64);
            model.calls[thread] = before;
            puppets[thread].begin_syscall(&before);
        }
        settler.settle();
        model.run(thread);
        for (thread, puppet) in puppets.iter().enumerate() {
            compare(&mut model, thread, puppet, step);
        }
        for state in model.states {
            seen[match state {
                State::Ended => 0,
                State::Inactive => 1,
                State::Sends { .. } => 2,
                State::Receives { .. } => 3,
                State::Waits { .. } => 4,
                State::Called { .. } => 5,
            }] += 1;
        }
    }
    libsel4::println!("ended, inactive, sends, receives, waits, called: {seen:?}");
    assert!(seen.iter().all(|&count| count > STEPS / 100));
}

fn compare(model: &mut Model, thread: usize, puppet: &Puppet, step: usize) {
    let has_ended = puppet.faults.nb_recv(puppet.reply);
    let expected = model.ends[thread].take();
    let state = model.states[thread];
    let number = model.calls[thread].x7 as i64;
    if has_ended.badge == 0 {
        assert_eq!(
            None, expected,
            "step {step}, thread {thread}, {number}, {state:?}"
        );
        return;
    }
    let answer = Answer::of(&has_ended.message);
    let ended = if answer.label == 3 && answer.words[0] == Puppet::trap_address() + 4 {
        Ended::Returned(puppet.registers())
    } else {
        Ended::Faulted(answer)
    };
    assert_eq!(
        Some(ended),
        expected,
        "step {step}, thread {thread}, {number}, {state:?}"
    );
}

/// Every address that is used, and what it names.
fn names(system: &mut System, bound: &Puppet) -> Vec<(u64, Named)> {
    let all = CapRights::all();
    let empty = system.slot().expect("a slot").index;
    let mut names = [(0, Named::Empty), (empty, Named::Empty)].to_vec();
    names.push((UNRESOLVABLE, Named::Nothing));
    for index in 0..2 {
        let endpoint = system.endpoint().expect("an endpoint");
        for (number, rights) in [
            all,
            all,
            all,
            CapRights::READ,
            CapRights::WRITE,
            CapRights::WRITE | CapRights::GRANT_REPLY,
        ]
        .into_iter()
        .enumerate()
        {
            let badge = (index * 16 + number) as u64;
            let cap = system.mint(endpoint, rights, badge).expect("a badge");
            names.push((cap.bits(), Named::Endpoint(index, rights, badge)));
        }
        let notification: Cap<Notification> = system.notification().expect("a notification");
        if index == 0 {
            bound.tcb.bind_notification(notification).expect("to bind");
        }
        for (number, rights) in [all, all, CapRights::READ, CapRights::WRITE]
            .into_iter()
            .enumerate()
        {
            let badge = (number as u64) << 8;
            let cap = system.mint(notification, rights, badge).expect("a badge");
            names.push((cap.bits(), Named::Notification(index, rights, badge)));
        }
    }
    for index in 0..3 {
        let reply: Cap<Reply> = system.reply().expect("a reply object");
        names.push((reply.bits(), Named::Reply(index)));
    }
    names
}

/// A call with arguments that make sense most of the time.
fn any_call(random: &mut Random, names: &[(u64, Named)], step: u64) -> UserContext {
    let number = NUMBERS[random.below(NUMBERS.len())];
    let mut pick = |is_good: fn(&Named) -> bool| {
        let careless = random.below(8) == 0;
        loop {
            let (address, named) = &names[random.below(names.len())];
            if careless || is_good(named) {
                return *address;
            }
        }
    };
    let is_reply: fn(&Named) -> bool = |named| matches!(named, Named::Reply(_));
    let is_source: fn(&Named) -> bool =
        |named| matches!(named, Named::Endpoint(..) | Named::Notification(..));
    let is_any: fn(&Named) -> bool = |named| !matches!(named, Named::Nothing | Named::Empty);
    let x0 = pick(match number {
        CALL | SEND | NB_SEND => is_any,
        _ => is_source,
    });
    let x6 = pick(match number {
        NB_SEND_WAIT => is_any,
        _ => is_reply,
    });
    let x8 = pick(is_any);
    let length = random.below(5) as u64;
    UserContext {
        x0,
        x1: info(step, 0, length),
        x2: step * 8 + 2,
        x3: step * 8 + 3,
        x4: step * 8 + 4,
        x5: step * 8 + 5,
        x6,
        x7: number as u64,
        x8,
        ..UserContext::default()
    }
}
