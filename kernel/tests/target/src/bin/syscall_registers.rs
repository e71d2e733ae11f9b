//! What each of the eleven system calls does, and which registers it changes: all 36 words of the caller's registers are
//! compared after every way in which a call can end well.

#![no_std]
#![no_main]

use libsel4::abi::{Invocation, UserContext};
use libsel4::{
    BootInfo, Cap, CapRights, Endpoint, Message, Notification, Reply, SmallPage, System, Tcb,
    root_task,
};
use tern_target_tests::calls::{
    CALL, DISTINCT, NB_RECV, NB_SEND, NB_SEND_RECV, NB_SEND_WAIT, NB_WAIT, RECEIVING, RECV,
    REPLY_RECV, SEND, WAIT, YIELD, returned,
};
use tern_target_tests::objects::{Answer, Puppet, Settler, info, object};
use tern_target_tests::rows::{row, rows};

root_task!(main);

/// A message information word with every bit that a kernel could change.
const ODD_INFO: u64 = 0xdead_beef_cafe_ffff;

fn registers(number: i64, x0: u64, x1: u64) -> UserContext {
    UserContext {
        x0,
        x1,
        x7: number as u64,
        ..DISTINCT
    }
}

/// What is left of a call that came back: only these of x0 to x5 differ.
#[track_caller]
fn check(after: &UserContext, before: &UserContext, changed: &[(usize, u64)]) {
    let mut expected = UserContext {
        pc: Puppet::trap_address() + 4,
        spsr: 0x9000_0040,
        ..*before
    };
    for &(register, value) in changed {
        *match register {
            0 => &mut expected.x0,
            1 => &mut expected.x1,
            2 => &mut expected.x2,
            3 => &mut expected.x3,
            4 => &mut expected.x4,
            5 => &mut expected.x5,
            _ => panic!("the kernel never changes x{register}"),
        } = value;
    }
    assert_eq!(*after, expected);
}

struct Bench {
    puppet: Puppet,
    /// Another thread, to receive what the puppet sends without waiting, or to be answered by it.
    peer: Puppet,
    endpoint: Cap<Endpoint>,
    /// With badge 0xbad9e.
    badged: Cap<Endpoint>,
    notification: Cap<Notification>,
    /// With badge 0x40.
    signaller: Cap<Notification>,
    reply: Cap<Reply>,
    peer_reply: Cap<Reply>,
    settler: Settler,
    target: Cap<Tcb>,
    frame: Cap<SmallPage>,
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let endpoint = system.endpoint().expect("an endpoint");
    let notification = system.notification().expect("a notification");
    let all = CapRights::all();
    let bench = Bench {
        puppet: Puppet::new(&mut system, boot.cores() - 1, 100),
        peer: Puppet::new(&mut system, 0, 90),
        endpoint,
        badged: system.mint(endpoint, all, 0xbad9e).expect("a badge"),
        notification,
        signaller: system.mint(notification, all, 0x40).expect("a badge"),
        reply: system.reply().expect("a reply object"),
        peer_reply: system.reply().expect("a reply object"),
        settler: Settler::new(&mut system),
        target: object(&mut system),
        frame: object(&mut system),
    };
    bench.call();
    bench.sends();
    bench.receives_with_reply();
    bench.receives_without_reply();
    bench.combined();
    bench.yields();
}

impl Bench {
    /// The puppet does a system call that needs nobody else.
    #[track_caller]
    fn alone(&self, before: &UserContext, changed: &[(usize, u64)]) {
        check(&returned(self.puppet.syscall(before)), before, changed);
    }

    #[track_caller]
    fn ends(&self, before: &UserContext, changed: &[(usize, u64)]) {
        check(&returned(self.puppet.end_of_syscall()), before, changed);
    }

    /// It begins one, and everybody comes to rest: it must be waiting.
    fn waits(&self, before: &UserContext) {
        self.puppet.begin_syscall(before);
        self.settler.settle();
        assert_eq!(self.puppet.faults.poll().badge, 0, "it waits");
        let waiting = self.puppet.registers();
        assert_eq!(waiting.pc, Puppet::trap_address(), "its program counter");
    }

    /// The peer waits for a message, or calls.
    fn peer_begins(&self, number: i64, info: u64) {
        let before = UserContext {
            x6: self.peer_reply.bits(),
            ..registers(number, self.badged.bits(), info)
        };
        self.peer.begin_syscall(&before);
        self.settler.settle();
    }

    fn call(&self) {
        rows(&[
            "syscall.number.call",
            "syscall.call.does",
            "syscall.registers.call",
            "syscall.result.reply",
            "syscall.registers.preserved",
            "syscall.trap.next-address",
        ]);
        for length in 0..=4 {
            let before = registers(CALL, self.badged.bits(), info(8, 0, 2));
            self.waits(&before);
            let received = self.endpoint.recv(self.reply);
            assert_eq!((received.badge, received.label()), (0xbad9e, 8));
            assert_eq!(
                Answer::of(&received.message).words,
                [DISTINCT.x2, DISTINCT.x3],
                "the words that it sends"
            );
            let words = [21, 22, 23, 24];
            self.settler.settle();
            self.reply.send(Message::new(9).words(&words[..length]));
            let mut changed = [(0, 0), (1, info(9, 0, length as u64))].to_vec();
            changed.extend((0..length).map(|index| (2 + index, words[index])));
            self.ends(&before, &changed);
        }
        // Somebody waits already.
        self.peer_begins(RECV, 0);
        let before = registers(CALL, self.badged.bits(), info(8, 0, 2));
        self.puppet.begin_syscall(&before);
        let receiver = returned(self.peer.end_of_syscall());
        assert_eq!((receiver.x0, receiver.x1), (0xbad9e, info(8, 0, 2)));
        self.peer_reply.send(Message::new(0));
        self.ends(&before, &[(0, 0), (1, 0)]);

        rows(&["syscall.call.notification", "syscall.registers.call"]);
        let before = registers(CALL, self.signaller.bits(), ODD_INFO);
        self.alone(&before, &[(0, 0), (1, 0)]);
        assert_eq!(self.notification.poll(), 0x40);
        rows(&["syscall.call.reply", "syscall.registers.call"]);
        self.alone(
            &registers(CALL, self.peer_reply.bits(), ODD_INFO),
            &[(0, 0), (1, 0)],
        );
        self.peer_begins(CALL, 0);
        self.endpoint.recv(self.peer_reply);
        let before = registers(CALL, self.peer_reply.bits(), info(5, 0, 1));
        self.alone(&before, &[(0, 0), (1, 0)]);
        let answered = returned(self.peer.end_of_syscall());
        assert_eq!(
            [answered.x0, answered.x1, answered.x2],
            [0, info(5, 0, 1), DISTINCT.x2]
        );

        let invoke = |cap: u64, method: Invocation, length, changed: &[(usize, u64)]| {
            self.alone(
                &registers(CALL, cap, info(method.label(), 0, length)),
                changed,
            );
        };
        let target = self.target.bits();
        rows(&["syscall.result.object", "syscall.registers.call"]);
        invoke(target, Invocation::TcbSuspend, 0, &[(0, 0), (1, 0)]);
        rows(&[
            "syscall.result.object-words",
            "syscall.registers.call",
            "message.info.label-method",
        ]);
        let paddr = self.frame.get_address().expect("its address");
        invoke(
            self.frame.bits(),
            Invocation::PageGetAddress,
            0,
            &[(0, 0), (1, 1), (2, paddr)],
        );
        rows(&[
            "syscall.result.object-error",
            "syscall.registers.call",
            "message.info.label-error",
            "syscall.send-phase.error.call",
        ]);
        // A range error has two words, a missing argument none. (Its count is in x3.)
        invoke(
            target,
            Invocation::TcbReadRegisters,
            2,
            &[(0, 0), (1, info(4, 0, 2)), (2, 1), (3, 36)],
        );
        invoke(
            target,
            Invocation::TcbReadRegisters,
            1,
            &[(0, 0), (1, info(7, 0, 0))],
        );
        self.alone(
            &registers(CALL, target, info(999, 0, 0)),
            &[(0, 0), (1, info(3, 0, 0))],
        );
        row("message.info.label-whole");
        let suspend = Invocation::TcbSuspend.label();
        for bit in [8, 16, 31, 32, 51] {
            let registers = registers(CALL, target, info(suspend | 1 << bit, 0, 0));
            self.alone(&registers, &[(0, 0), (1, info(3, 0, 0))]);
        }
    }

    /// Send and NBSend: to everything that there is.
    fn sends(&self) {
        rows(&[
            "syscall.number.send",
            "syscall.send.does",
            "syscall.registers.send",
            "syscall.send-phase.no-receiver.blocking",
            "syscall.registers.preserved",
            "syscall.trap.fault-address",
        ]);
        let before = registers(SEND, self.badged.bits(), info(8, 0, 2));
        self.waits(&before);
        let received = self.endpoint.wait();
        assert_eq!((received.badge, received.label()), (0xbad9e, 8));
        assert_eq!(
            Answer::of(&received.message).words,
            [DISTINCT.x2, DISTINCT.x3]
        );
        self.ends(&before, &[]);
        rows(&[
            "syscall.number.nb-send",
            "syscall.nb-send.does",
            "syscall.registers.nb-send",
            "syscall.send-phase.no-receiver.other",
        ]);
        self.alone(&registers(NB_SEND, self.badged.bits(), ODD_INFO), &[]);
        assert_eq!(self.endpoint.poll().badge, 0, "the message is lost");

        for (number, register_row) in [
            (SEND, "syscall.registers.send"),
            (NB_SEND, "syscall.registers.nb-send"),
        ] {
            row(register_row);
            self.peer_begins(RECV, 0);
            self.alone(&registers(number, self.badged.bits(), info(8, 0, 1)), &[]);
            let receiver = returned(self.peer.end_of_syscall());
            assert_eq!(
                [receiver.x0, receiver.x1, receiver.x2],
                [0xbad9e, info(8, 0, 1), DISTINCT.x2]
            );
            rows(&[register_row, "syscall.send-phase.notification"]);
            self.alone(&registers(number, self.signaller.bits(), ODD_INFO), &[]);
            assert_eq!(self.notification.poll(), 0x40);
            rows(&[register_row, "syscall.send-phase.reply-idle"]);
            self.alone(&registers(number, self.peer_reply.bits(), ODD_INFO), &[]);
            rows(&[register_row, "syscall.send-phase.reply"]);
            self.peer_begins(CALL, 0);
            self.endpoint.recv(self.peer_reply);
            self.alone(
                &registers(number, self.peer_reply.bits(), info(5, 0, 1)),
                &[],
            );
            let answered = returned(self.peer.end_of_syscall());
            assert_eq!(
                [answered.x0, answered.x1, answered.x2],
                [0, info(5, 0, 1), DISTINCT.x2]
            );
            // Results and errors are for a Call only.
            rows(&[
                register_row,
                "syscall.send-phase.object",
                "syscall.send-phase.error.other",
            ]);
            let ask = |cap: u64, label, length| {
                self.alone(&registers(number, cap, info(label, 0, length)), &[]);
            };
            ask(self.frame.bits(), Invocation::PageGetAddress.label(), 0);
            ask(self.target.bits(), Invocation::TcbReadRegisters.label(), 2);
            ask(self.target.bits(), 999, 0);
            let tls_base = self.target.read_registers(false).expect("registers");
            let before = UserContext {
                x2: tls_base.tpidr_el0 + 16,
                ..registers(
                    number,
                    self.target.bits(),
                    info(Invocation::TcbSetTlsBase.label(), 0, 1),
                )
            };
            self.alone(&before, &[]);
            let after = self.target.read_registers(false).expect("registers");
            assert_eq!(after.tpidr_el0, before.x2, "it was invoked");
        }
        row("syscall.registers.signal");
        self.alone(&registers(SEND, self.signaller.bits(), 0), &[]);
        assert_eq!(self.notification.poll(), 0x40);
    }

    /// Recv and NBRecv with their rows.
    fn receives_with_reply(&self) {
        for (number, does) in [
            (
                RECV,
                [
                    "syscall.number.recv",
                    "syscall.recv.does",
                    "syscall.registers.recv",
                    "syscall.registers.preserved",
                    "syscall.trap.next-address",
                ],
            ),
            (
                NB_RECV,
                [
                    "syscall.number.nb-recv",
                    "syscall.nb-recv.does",
                    "syscall.registers.nb-recv",
                    "syscall.registers.preserved",
                    "syscall.trap.next-address",
                ],
            ),
        ] {
            rows(&does);
            let before = UserContext {
                x6: self.reply.bits(),
                ..registers(number, self.endpoint.bits(), ODD_INFO)
            };
            // The peer has called; the reply object answers it.
            self.peer_begins(CALL, info(8, 0, 3));
            self.alone(
                &before,
                &[
                    (0, 0xbad9e),
                    (1, info(8, 0, 3)),
                    (2, DISTINCT.x2),
                    (3, DISTINCT.x3),
                    (4, DISTINCT.x4),
                ],
            );
            self.reply.send(Message::new(7));
            assert_eq!(returned(self.peer.end_of_syscall()).x1, info(7, 0, 0));
            self.receives(&before, number == NB_RECV);
        }
    }

    /// Wait and NBWait.
    fn receives_without_reply(&self) {
        for (number, does) in [
            (
                WAIT,
                [
                    "syscall.number.wait",
                    "syscall.wait.does",
                    "syscall.registers.wait",
                    "syscall.registers.preserved",
                    "syscall.trap.next-address",
                ],
            ),
            (
                NB_WAIT,
                [
                    "syscall.number.nb-wait",
                    "syscall.nb-wait.does",
                    "syscall.registers.nb-wait",
                    "syscall.registers.preserved",
                    "syscall.trap.next-address",
                ],
            ),
        ] {
            rows(&does);
            // x6 is no reply object, and that does not matter.
            for x6 in [DISTINCT.x6, u64::MAX, self.target.bits()] {
                let before = UserContext {
                    x6,
                    ..registers(number, self.endpoint.bits(), ODD_INFO)
                };
                self.receives(&before, number == NB_WAIT);
            }
        }
    }

    /// What comes of a receive: words of a message that waits, or comes later; a signal; nothing.
    fn receives(&self, before: &UserContext, poll: bool) {
        for length in 0..=4 {
            let mut changed = [(0, 0xbad9e), (1, info(8, 0, length))].to_vec();
            let words = [
                DISTINCT.x2 + 20,
                DISTINCT.x3 + 20,
                DISTINCT.x4 + 20,
                DISTINCT.x5 + 20,
            ];
            changed.extend((0..length as usize).map(|index| (2 + index, words[index])));
            let sender = UserContext {
                x2: words[0],
                x3: words[1],
                x4: words[2],
                x5: words[3],
                ..registers(SEND, self.badged.bits(), info(8, 0, length))
            };
            if !poll {
                self.waits(before);
                returned(self.peer.syscall(&sender));
                self.ends(before, &changed);
            }
            self.peer.begin_syscall(&sender);
            self.settler.settle();
            self.alone(before, &changed);
            returned(self.peer.end_of_syscall());
        }
        if poll {
            rows(&["syscall.result.notification", "syscall.result.nothing"]);
        } else {
            row("syscall.result.notification");
        }
        let at_notification = UserContext {
            x0: self.notification.bits(),
            ..*before
        };
        self.signaller.signal();
        self.alone(&at_notification, &[(0, 0x40)]);
        if poll {
            self.alone(before, &[(0, 0)]);
            self.alone(&at_notification, &[(0, 0)]);
        } else {
            self.waits(&at_notification);
            self.signaller.signal();
            self.ends(&at_notification, &[(0, 0x40)]);
        }
    }

    fn combined(&self) {
        for (number, does) in [
            (
                REPLY_RECV,
                [
                    "syscall.number.reply-recv",
                    "syscall.reply-recv.does",
                    "syscall.registers.reply-recv",
                    "syscall.registers.preserved",
                    "syscall.trap.next-address",
                ],
            ),
            (
                NB_SEND_RECV,
                [
                    "syscall.number.nb-send-recv",
                    "syscall.nb-send-recv.does",
                    "syscall.registers.nb-send-recv",
                    "syscall.registers.preserved",
                    "syscall.trap.next-address",
                ],
            ),
            (
                NB_SEND_WAIT,
                [
                    "syscall.number.nb-send-wait",
                    "syscall.nb-send-wait.does",
                    "syscall.registers.nb-send-wait",
                    "syscall.registers.preserved",
                    "syscall.trap.next-address",
                ],
            ),
        ] {
            rows(&does);
            let with = |x0, x1, destination: u64| {
                let reply = self.peer_reply.bits();
                let (x6, x8) = match number {
                    NB_SEND_RECV => (reply, destination),
                    // Nothing is sent to the notification that x8 names: a signal would be seen.
                    _ => (destination, self.signaller.bits()),
                };
                UserContext {
                    x6,
                    x8,
                    ..registers(number, x0, x1)
                }
            };
            if number == REPLY_RECV {
                rows(&["ipc.combined.reply-recv", "ipc.combined.message"]);
            } else {
                row("ipc.combined.message");
            }
            // The peer has called, and is answered; then it calls again, which is received.
            self.peer_begins(CALL, info(3, 0, 0));
            self.endpoint.recv(self.peer_reply);
            let before = with(self.endpoint.bits(), info(6, 0, 2), self.peer_reply.bits());
            self.puppet.begin_syscall(&before);
            let answered = returned(self.peer.end_of_syscall());
            assert_eq!(
                [answered.x0, answered.x1, answered.x2, answered.x3],
                [0, info(6, 0, 2), DISTINCT.x2, DISTINCT.x3]
            );
            self.peer_begins(CALL, info(8, 0, 1));
            self.ends(
                &before,
                &[(0, 0xbad9e), (1, info(8, 0, 1)), (2, DISTINCT.x2)],
            );
            if number == NB_SEND_WAIT {
                // There is no reply object, so the peer got inactive.
                self.settler.settle();
                self.peer_reply.send(Message::new(0));
                self.settler.settle();
                assert_eq!(self.peer.faults.poll().badge, 0);
            } else {
                self.peer_reply.send(Message::new(12));
                assert_eq!(returned(self.peer.end_of_syscall()).x1, info(12, 0, 0));
            }
            row("syscall.result.notification");
            // A signal as the second half, there already or later.
            let before = with(self.notification.bits(), ODD_INFO, self.peer_reply.bits());
            self.signaller.signal();
            self.alone(&before, &[(0, 0x40)]);
            self.waits(&before);
            self.signaller.signal();
            self.ends(&before, &[(0, 0x40)]);
            // Both halves are the same notification.
            let before = with(self.notification.bits(), ODD_INFO, self.signaller.bits());
            self.alone(&before, &[(0, 0x40)]);
        }
        row("syscall.x8-only-nb-send-recv");
        // What x8 named in the calls that do not look at it was not signalled.
        assert_eq!(self.notification.poll(), 0);
        for number in [CALL, SEND, NB_SEND, YIELD] {
            let before = UserContext {
                x8: self.signaller.bits(),
                ..registers(number, self.target.bits(), info(999, 0, 0))
            };
            returned(self.puppet.syscall(&before));
        }
        for number in RECEIVING.into_iter().filter(|&n| n != NB_SEND_RECV) {
            let other = self.peer.faults.bits();
            let before = UserContext {
                x6: self.peer_reply.bits(),
                x8: self.signaller.bits(),
                ..registers(number, other, 0)
            };
            self.puppet.begin_syscall(&before);
            self.settler.settle();
        }
        self.puppet.faults.poll();
        assert_eq!(self.notification.poll(), 0);

        row("syscall.nb-send-recv.null");
        self.signaller.signal();
        let before = UserContext {
            x6: self.endpoint.bits(),
            x8: 0,
            ..registers(NB_SEND_RECV, self.notification.bits(), info(1, 0, 2))
        };
        self.alone(&before, &[(0, 0x40)]);
        assert_eq!(self.endpoint.poll().badge, 0);
    }

    fn yields(&self) {
        rows(&[
            "syscall.number.yield",
            "syscall.registers.yield",
            "syscall.registers.preserved",
        ]);
        self.alone(&registers(YIELD, 1, ODD_INFO), &[]);
    }
}
