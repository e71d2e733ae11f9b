//! The send phase of all six calls that send, for everything that can be wrong with it: what faults, what is an error, what is
//! silent. A combined call goes on to its receive phase whatever its send phase met.

#![no_std]
#![no_main]

use libsel4::abi::{Invocation, MessageInfo, ObjectType, UserContext, cap_type};
use libsel4::{
    BootInfo, Cap, CapRights, Endpoint, Message, Notification, Reply, SlotPath, SmallPage, System,
    init, root_task,
};
use tern_target_tests::calls::{
    CALL, COMBINED, NB_SEND, NB_SEND_RECV, RECV, REPLY_RECV, SEND, combined_with, returned,
};
use tern_target_tests::objects::{
    Answer, Ended, Pause, Puppet, Settler, buffer_cap, buffer_word, call_registers, info, kind,
    object,
};
use tern_target_tests::rows::{row, rows};

root_task!(main);

const BLOCKING: [i64; 2] = [CALL, SEND];
const OTHER: [i64; 4] = [NB_SEND, COMBINED[0], COMBINED[1], COMBINED[2]];

/// Behind the root CNode's guard.
const UNRESOLVABLE: u64 = 1 << 12 | 9;
const WORDS: [u64; 4] = [31, 32, 33, 34];

struct Bench {
    puppet: Puppet,
    /// Waits for what the puppet sends.
    peer: Puppet,
    endpoint: Cap<Endpoint>,
    /// What combined calls receive.
    source: Cap<Notification>,
    wake: Cap<Notification>,
    notification: Cap<Notification>,
    reply: Cap<Reply>,
    settler: Settler,
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let source = system.notification().expect("a notification");
    let bench = Bench {
        puppet: Puppet::new(&mut system, boot.cores() - 1, 100),
        peer: Puppet::new(&mut system, 0, 90),
        endpoint: system.endpoint().expect("an endpoint"),
        source,
        wake: system
            .mint(source, CapRights::all(), 0x40)
            .expect("a badge"),
        notification: system.notification().expect("a notification"),
        reply: system.reply().expect("a reply object"),
        settler: Settler::new(&mut system),
    };
    bench.addresses();
    bench.capabilities_of_the_message(&mut system);
    bench.nothing_there(&mut system);
    bench.errors(&mut system);
    bench.rights(&mut system);
    bench.endpoints_and_others(&mut system);
    bench.kernel_objects(&mut system);
}

fn fault(cptr: u64) -> Ended {
    let trap = Puppet::trap_address();
    Ended::Faulted(Answer::new(1, &[trap, cptr, 0, 4, 64, 0, 52]))
}

impl Bench {
    fn registers(&self, number: i64, destination: u64, info: u64) -> UserContext {
        if COMBINED.contains(&number) {
            let (source, reply) = (self.source.bits(), self.reply.bits());
            combined_with(number, destination, source, reply, info, WORDS)
        } else {
            call_registers(number, destination, info, WORDS, 0)
        }
    }

    /// One of the calls that never fault in the send phase: it comes back, unchanged or with what it received.
    #[track_caller]
    fn is_silent(&self, number: i64, destination: u64, info: u64) {
        let is_combined = COMBINED.contains(&number);
        if is_combined {
            self.wake.signal();
        }
        let before = self.registers(number, destination, info);
        let mut expected = UserContext {
            pc: Puppet::trap_address() + 4,
            spsr: 0x40,
            ..before
        };
        if is_combined {
            expected.x0 = 0x40;
        }
        assert_eq!(
            self.puppet.syscall(&before),
            Ended::Returned(expected),
            "call {number} of {destination}"
        );
    }

    /// Call answers with an error, all others say nothing.
    fn is_error(&self, destination: u64, info: u64, error: &Answer) {
        let before = self.registers(CALL, destination, info);
        let after = returned(self.puppet.syscall(&before));
        let length = error.words.len() as u64;
        assert_eq!(
            (after.x0, after.x1),
            (0, MessageInfo::new(error.label, 0, 0, length).0),
            "call of {destination}"
        );
        assert!(error.words.is_empty() || after.x2 == error.words[0]);
        for number in [SEND].into_iter().chain(OTHER) {
            self.is_silent(number, destination, info);
        }
    }

    /// The peer waits for a message, and gets none from what is done.
    fn nobody_receives(&self, at: Cap<Endpoint>, what: impl FnOnce()) {
        let wait = call_registers(RECV, at.bits(), 0, [0; 4], self.peer.reply.bits());
        self.peer.begin_syscall(&wait);
        self.settler.settle();
        what();
        self.settler.settle();
        at.nb_send(Message::new(99));
        assert_eq!(returned(self.peer.end_of_syscall()).x1 >> 12, 99);
    }

    fn addresses(&self) {
        rows(&["syscall.send-phase.lookup.blocking", "ipc.errors.lookup"]);
        for number in BLOCKING {
            let registers = self.registers(number, UNRESOLVABLE, 0);
            assert_eq!(self.puppet.syscall(&registers), fault(UNRESOLVABLE));
        }
        row("syscall.send-phase.lookup.other");
        for number in OTHER {
            for destination in [UNRESOLVABLE, 1 << 63, u64::MAX] {
                self.is_silent(number, destination, info(1, 0, 4));
            }
        }
    }

    fn capabilities_of_the_message(&self, system: &mut System) {
        let buffer = self.puppet.buffer();
        buffer.write(buffer_cap(0), 1);
        buffer.write(buffer_cap(1), UNRESOLVABLE);
        buffer.write(buffer_cap(2), u64::MAX);
        let weak = system
            .copy(self.endpoint, CapRights::WRITE)
            .expect("a copy");
        // Though nothing would go along without the grant right.
        for destination in [self.endpoint, weak] {
            self.nobody_receives(self.endpoint, || {
                row("syscall.send-phase.extra.blocking");
                for number in BLOCKING {
                    let registers = self.registers(number, destination.bits(), info(1, 3, 0));
                    assert_eq!(self.puppet.syscall(&registers), fault(UNRESOLVABLE));
                }
                row("syscall.send-phase.extra.other");
                for number in OTHER {
                    self.is_silent(number, destination.bits(), info(1, 3, 0));
                }
            });
        }
        // A signal is not given either.
        let signal = system
            .mint(self.notification, CapRights::all(), 4)
            .expect("a badge");
        for number in OTHER {
            self.is_silent(number, signal.bits(), info(0, 3, 0));
            assert_eq!(self.notification.poll(), 0, "{number}");
        }
        row("syscall.order.extra-then-decode");
        // An empty slot, a right that is missing, a label that is none.
        let mute = system.copy(self.endpoint, CapRights::READ).expect("a copy");
        for destination in [0, mute.bits(), init::TCB.bits()] {
            let registers = self.registers(CALL, destination, info(999, 2, 0));
            assert_eq!(self.puppet.syscall(&registers), fault(UNRESOLVABLE));
        }
        row("syscall.order.cap-then-extra");
        let other = UNRESOLVABLE + 1;
        for number in BLOCKING {
            let registers = self.registers(number, other, info(1, 3, 0));
            assert_eq!(self.puppet.syscall(&registers), fault(other));
        }
    }

    fn nothing_there(&self, system: &mut System) {
        rows(&[
            "syscall.send-phase.empty.call",
            "syscall.send-phase.empty.other",
            "ipc.errors.send",
        ]);
        let empty = system.slot().expect("a slot").index;
        for destination in [0, empty] {
            self.is_error(destination, info(1, 0, 2), &Answer::new(2, &[0]));
        }
        row("syscall.send-phase.zombie");
        let zombie = half_deleted(system, &self.settler);
        self.is_error(zombie, info(18, 0, 2), &Answer::new(2, &[0]));
    }

    fn errors(&self, system: &mut System) {
        rows(&[
            "syscall.send-phase.error.call",
            "syscall.send-phase.error.other",
            "ipc.combined.silent",
        ]);
        let frame = object::<SmallPage>(system).bits();
        self.is_error(frame, info(999, 0, 0), &Answer::new(3, &[]));
        // A page without an address space, and one that is not mapped.
        let map = info(Invocation::PageMap.label(), 0, 3);
        self.is_error(frame, map, &Answer::new(7, &[]));
        let clean = info(Invocation::PageCleanData.label(), 0, 2);
        self.is_error(frame, clean, &Answer::new(3, &[]));
    }

    fn rights(&self, system: &mut System) {
        rows(&[
            "syscall.send-phase.no-write.call",
            "syscall.send-phase.no-write.other",
            "ipc.rights.send",
            "ipc.rights.signal",
        ]);
        let invalid = Answer::new(2, &[0]);
        for rights in [
            CapRights::READ,
            CapRights::all().difference(CapRights::WRITE),
            CapRights::empty(),
        ] {
            let mute = system.copy(self.endpoint, rights).expect("a copy");
            self.nobody_receives(self.endpoint, || {
                self.is_error(mute.bits(), info(1, 0, 1), &invalid);
            });
            let mute = system.copy(self.notification, rights).expect("a copy");
            self.is_error(mute.bits(), info(1, 0, 1), &invalid);
            let badge = self.notification.poll();
            assert_eq!(badge, 0);
            // A signal without badge would have left it active.
            init::TCB
                .bind_notification(self.notification)
                .expect("idle");
            init::TCB.unbind_notification().expect("to unbind");
        }
        // The write right alone is enough.
        let write = system
            .copy(self.endpoint, CapRights::WRITE)
            .expect("a copy");
        self.puppet
            .begin_syscall(&self.registers(SEND, write.bits(), info(3, 0, 1)));
        assert_eq!(self.endpoint.wait().label(), 3);
        returned(self.puppet.end_of_syscall());
        let badged = system
            .mint(self.notification, CapRights::WRITE, 4)
            .expect("a badge");
        self.is_silent(SEND, badged.bits(), 0);
        assert_eq!(self.notification.poll(), 4);
    }

    fn endpoints_and_others(&self, system: &mut System) {
        rows(&[
            "syscall.send-phase.no-receiver.other",
            "syscall.nb-send.does",
        ]);
        for number in OTHER {
            self.is_silent(number, self.endpoint.bits(), info(1, 0, 1));
            assert_eq!(self.endpoint.poll().badge, 0);
        }
        row("syscall.send-phase.no-receiver.blocking");
        for number in BLOCKING {
            self.puppet
                .begin_syscall(&self.registers(number, self.endpoint.bits(), info(5, 0, 1)));
            self.settler.settle();
            assert_eq!(self.puppet.faults.poll().badge, 0, "it waits");
            assert_eq!(self.endpoint.recv(self.reply).label(), 5);
            self.reply.send(Message::new(0));
            returned(self.puppet.end_of_syscall());
        }
        row("syscall.send-phase.notification");
        let signal = system
            .mint(self.notification, CapRights::all(), 4)
            .expect("a badge");
        let comes_back_empty = |cap| {
            let before = self.registers(CALL, cap, info(1, 0, 1));
            let after = returned(self.puppet.syscall(&before));
            assert_eq!((after.x0, after.x1), (0, 0));
        };
        comes_back_empty(signal.bits());
        assert_eq!(self.notification.poll(), 4, "call");
        for number in [SEND].into_iter().chain(OTHER) {
            self.is_silent(number, signal.bits(), info(1, 0, 1));
            assert_eq!(self.notification.poll(), 4, "{number}");
        }
        row("syscall.send-phase.reply-idle");
        let idle = system.reply().expect("a reply object");
        comes_back_empty(idle.bits());
        for number in [SEND].into_iter().chain(OTHER) {
            self.is_silent(number, idle.bits(), info(1, 0, 1));
        }
        row("syscall.send-phase.reply");
        for number in BLOCKING.into_iter().chain(OTHER) {
            let call = call_registers(CALL, self.endpoint.bits(), 0, [0; 4], 0);
            self.peer.begin_syscall(&call);
            self.endpoint.recv(idle);
            if number == CALL {
                let registers = self.registers(CALL, idle.bits(), info(6, 0, 4));
                returned(self.puppet.syscall(&registers));
            } else {
                self.is_silent(number, idle.bits(), info(6, 0, 4));
            }
            let answered = returned(self.peer.end_of_syscall());
            assert_eq!(
                [answered.x0, answered.x1, answered.x2, answered.x5],
                [0, info(6, 0, 4), WORDS[0], WORDS[3]],
                "{number}"
            );
        }
        row("ipc.combined.reply-recv-other");
        // What x6 of ReplyRecv names is signalled, and is no reply object for an endpoint.
        let before = combined_with(REPLY_RECV, signal.bits(), self.endpoint.bits(), 0, 0, WORDS);
        let missing = [Puppet::trap_address(), signal.bits(), 1, 2, 0];
        assert_eq!(
            self.puppet.syscall(&before),
            Ended::Faulted(Answer::new(1, &missing))
        );
        assert_eq!(self.notification.poll(), 4);
        // For the same reply object NBSendRecv names two places: it may be anything that x8 names.
        let before = combined_with(
            NB_SEND_RECV,
            signal.bits(),
            self.endpoint.bits(),
            self.reply.bits(),
            0,
            WORDS,
        );
        self.puppet.begin_syscall(&before);
        self.endpoint.send(Message::new(4));
        assert_eq!(returned(self.puppet.end_of_syscall()).x1 >> 12, 4);
        assert_eq!(self.notification.poll(), 4);
    }

    /// An endpoint is made of memory, by each call.
    fn kernel_objects(&self, system: &mut System) {
        rows(&[
            "syscall.send-phase.object",
            "message.info.label-method",
            "syscall.first-phase.untyped",
        ]);
        let memory = system.untyped(12).expect("memory");
        let slot = system.slot().expect("a slot");
        let buffer = self.puppet.buffer();
        buffer.write(buffer_cap(0), init::CNODE.bits());
        buffer.write(buffer_word(4), slot.index);
        buffer.write(buffer_word(5), 1);
        for number in BLOCKING.into_iter().chain(OTHER) {
            self.wake.signal();
            let label = Invocation::UntypedRetype.label();
            let mut before = self.registers(number, memory.bits(), info(label, 1, 6));
            before.x2 = ObjectType::Endpoint as u64;
            (before.x3, before.x4, before.x5) = (0, 0, 0);
            let after = returned(self.puppet.syscall(&before));
            self.source.poll();
            assert_eq!(kind(slot), cap_type::ENDPOINT, "{number}");
            slot.delete().expect("to delete");
            if number == CALL {
                assert_eq!((after.x0, after.x1), (0, 0));
            } else {
                assert_eq!((after.x1, after.x3), (before.x1, 0));
            }
        }
    }
}

/// The address of a capability to a CNode whose deletion has begun and does not go on: its thread is stopped in the midst of it.
fn half_deleted(system: &mut System, settler: &Settler) -> u64 {
    const RADIX: u8 = 11;
    let node = system.cnode(RADIX).expect("a CNode");
    let objects = system.untyped(RADIX + 4).expect("memory");
    for start in (0..1 << RADIX).step_by(256) {
        objects
            .retype(
                ObjectType::Endpoint,
                0,
                SlotPath::new(node, 0, 0),
                start,
                256,
            )
            .expect("endpoints");
    }
    let pause = Pause::new(system);
    let deleter = Puppet::new(system, 0, 100);
    let label = Invocation::CNodeDelete.label();
    let words = [node.slot().index, 64, 0, 0];
    deleter.begin_syscall(&call_registers(
        CALL,
        init::CNODE.bits(),
        info(label, 0, 2),
        words,
        0,
    ));
    pause.pause();
    deleter.tcb.suspend().expect("to suspend");
    settler.settle();
    assert_eq!(kind(node.slot()), cap_type::ZOMBIE);
    node.bits()
}
