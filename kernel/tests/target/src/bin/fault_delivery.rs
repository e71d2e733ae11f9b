//! How a fault becomes a message, and a message an answer: where the handler is installed, what a handler receives with and
//! without reply object and buffer, all ways to reply, and what takes a fault back. (What is lent: `fault_donation`.)

#![no_std]
#![no_main]

use libsel4::{BootInfo, Cap, CapRights, Endpoint, Message, System, UserContext, init, root_task};
use tern_target_tests::objects::{
    Answer, BUFFER_RECEIVE, Ended, PUPPET_BADGE, Puppet, Settler, buffer_word, call_registers,
    info, kind,
};
use tern_target_tests::rows::{row, rows};

root_task!(main);

const SEND: i64 = -5;
const RECV: i64 = -7;
const WAIT: i64 = -9;
const NB_WAIT: i64 = -10;

/// Kind of fault and number of words.
const UNKNOWN_SYSCALL: (u64, u64) = (2, 13);
const USER_EXCEPTION: u64 = 3;

/// Two threads: one faults, the other handles.
struct Stage {
    system: System,
    settler: Settler,
    faulter: Puppet,
    handler: Puppet,
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let settler = Settler::new(&mut system);
    let faulter = Puppet::new(&mut system, boot.cores() - 1, 100);
    let handler = Puppet::new(&mut system, 0, 110);
    let mut stage = Stage {
        system,
        settler,
        faulter,
        handler,
    };
    stage.installed();
    stage.as_call();
    stage.without_reply_object();
    stage.queued();
    stage.ways_to_reply();
    stage.capabilities_in_reply();
    stage.taken_back();
    stage.forgotten();
}

/// A call that does not exist, with something in every word of its fault.
fn unknown() -> UserContext {
    UserContext {
        x8: 8,
        sp: 0x5550,
        ..call_registers(-1000, 10, 11, [12, 13, 14, 15], 16)
    }
}

/// The words of that fault.
fn unknown_words() -> [u64; 13] {
    let (svc, number) = (Puppet::trap_address(), -1000_i64 as u64);
    [
        10,
        11,
        12,
        13,
        14,
        15,
        16,
        number,
        svc,
        0x5550,
        svc + 4,
        0x40,
        number,
    ]
}

/// The answer after which the thread goes on behind its call.
fn skip() -> Message {
    let mut words = unknown_words();
    words[8] += 4;
    Message::new(0).words(&words[..12])
}

impl Stage {
    fn badged(&mut self, badge: u64) -> Cap<Endpoint> {
        let faults = self.faulter.faults;
        self.system
            .mint(faults, CapRights::all(), badge)
            .expect("a badge")
    }

    /// The faulter has faulted, and its fault waits for somebody.
    fn fault(&self) {
        self.faulter.begin_syscall(&unknown());
        self.settler.settle();
    }

    /// The badge and kind of the fault that waits, if one does.
    fn poll(&self) -> (u64, u64) {
        let received = self.faulter.faults.nb_recv(self.faulter.reply);
        (received.badge, received.label())
    }

    /// There is no fault of the faulter, now or later.
    fn nothing(&self) {
        self.settler.settle();
        assert_eq!(self.faulter.faults.nb_recv(self.faulter.reply).badge, 0);
    }

    fn installed(&mut self) {
        rows(&["fault.handler.slots", "fault.handler.badge"]);
        let [by_params, by_space, regular] = [0x51, 0x52, PUPPET_BADGE].map(|b| self.badged(b));
        let (tcb, sc) = (self.faulter.tcb, self.faulter.sched.cap());
        tcb.set_sched_params(init::TCB, 0, 100, Some(sc), Some(by_params))
            .expect("a handler");
        self.fault();
        assert_eq!(self.poll(), (0x51, 2));
        tcb.set_space(Some(by_space), init::CNODE, 0, init::VSPACE)
            .expect("a handler");
        self.fault();
        assert_eq!(self.poll(), (0x52, 2));
        tcb.set_sched_params(init::TCB, 0, 100, Some(sc), None)
            .expect("no handler");
        self.fault();
        self.nothing();
        tcb.set_space(Some(regular), init::CNODE, 0, init::VSPACE)
            .expect("a handler");
    }

    /// What another thread's receive returns, to the last bit.
    fn as_call(&mut self) {
        let (endpoint, reply) = (self.faulter.faults.bits(), self.faulter.reply.bits());
        let receive = call_registers(RECV, endpoint, 77, [0; 4], reply);
        rows(&["fault.delivery.as-call", "fault.syscall.words"]);
        self.handler.begin_syscall(&receive);
        self.settler.settle();
        self.fault();
        let Ended::Returned(after) = self.handler.end_of_syscall() else {
            panic!("the handler faulted")
        };
        let words = unknown_words();
        let (label, length) = UNKNOWN_SYSCALL;
        assert_eq!((after.x0, after.x1), (PUPPET_BADGE, info(label, 0, length)));
        assert_eq!([after.x2, after.x3, after.x4, after.x5], words[..4]);
        for (index, &word) in words.iter().enumerate().skip(4) {
            assert_eq!(self.handler.buffer().read(buffer_word(index)), word);
        }
        row("fault.delivery.fault-ip");
        assert_eq!(self.faulter.registers().pc, Puppet::trap_address());

        row("fault.delivery.buffer");
        // None, and one that may only be read.
        let frame = self.handler.buffer_frame();
        let address = self.handler.buffer().start() as u64;
        let readable = self.system.copy(frame, CapRights::READ).expect("a copy");
        for (early, buffer) in [
            (true, None),
            (false, None),
            (true, Some(readable)),
            (false, Some(readable)),
        ] {
            let place = buffer.map_or(0, |_| address);
            self.handler
                .tcb
                .set_ipc_buffer(place, buffer)
                .expect("the buffer");
            // The handler waits, or comes when the fault is in the queue.
            if early {
                self.handler.begin_syscall(&receive);
                self.settler.settle();
                self.fault();
            } else {
                self.fault();
                self.handler.begin_syscall(&receive);
            }
            let Ended::Returned(after) = self.handler.end_of_syscall() else {
                panic!("the handler faulted")
            };
            assert_eq!((after.x0, after.x1), (PUPPET_BADGE, info(label, 0, 4)));
            assert_eq!([after.x2, after.x3, after.x4, after.x5], words[..4]);
        }
        self.handler.restore_buffer();
        self.system.delete_copy(readable).expect("to delete");
    }

    fn without_reply_object(&mut self) {
        for number in [WAIT, NB_WAIT] {
            rows(if number == WAIT {
                &["fault.delivery.no-reply-object"]
            } else {
                &["fault.delivery.no-reply-nbwait"]
            });
            self.fault();
            let receive = call_registers(number, self.faulter.faults.bits(), 0, [0; 4], 0);
            let Ended::Returned(after) = self.handler.syscall(&receive) else {
                panic!("the handler faulted")
            };
            assert_eq!((after.x0, after.x1), (PUPPET_BADGE, info(2, 0, 13)));
            self.nothing();
            assert_eq!(self.faulter.registers().pc, Puppet::trap_address());
            row("fault.delivery.no-reply-resumed");
            self.faulter.tcb.resume().expect("to resume");
            self.settler.settle();
            assert_eq!(self.poll(), (PUPPET_BADGE, 2));
        }
    }

    fn queued(&mut self) {
        row("fault.delivery.queued-keeps-sc");
        self.fault();
        let sc = self.faulter.sched.cap();
        sc.unbind_thread(self.faulter.tcb)
            .expect("it has it, so it can be taken");
        sc.bind(self.faulter.tcb).expect("to bind");
        assert_eq!(self.poll(), (PUPPET_BADGE, 2));
    }

    fn ways_to_reply(&mut self) {
        row("fault.reply.ways");
        let reply = self.faulter.reply;
        let after = Answer::new(
            USER_EXCEPTION,
            &[Puppet::trap_address() + 4, 0x5550, 0x40, 0x0200_0000, 0],
        );
        for way in 0..4 {
            self.faulter.begin_syscall(&unknown());
            assert_eq!(self.faulter.fault().label(), 2);
            match way {
                0 => reply.send(skip()),
                1 => libsel4::syscall::nb_send(reply.bits(), skip()),
                2 => {
                    let answer = libsel4::syscall::call(reply.bits(), skip());
                    assert_eq!(Answer::of(&answer), Answer::new(0, &[]));
                }
                _ => {
                    let received = self.faulter.faults.reply_recv(skip(), reply);
                    assert_eq!(Answer::of(&received.message), after);
                    continue;
                }
            }
            assert_eq!(
                Answer::of(&self.faulter.fault().message),
                after,
                "way {way}"
            );
        }
    }

    fn capabilities_in_reply(&mut self) {
        row("fault.reply.caps");
        let slot = self.system.slot().expect("a slot");
        let words = [init::CNODE.bits(), slot.index, 64];
        for (offset, word) in (BUFFER_RECEIVE..).step_by(8).zip(words) {
            self.faulter.buffer().write(offset, word);
        }
        self.fault();
        assert_eq!(self.poll(), (PUPPET_BADGE, 2));
        self.faulter.reply.send(skip().cap(self.handler.faults));
        assert_eq!(self.faulter.fault().label(), USER_EXCEPTION);
        assert_eq!(kind(slot), 0, "a capability came along");
        let registers = self.faulter.registers();
        assert_eq!((registers.x0, registers.x1, registers.x8), (10, 11, 8));
        self.system.free_slot(slot);
    }

    /// Nothing of a fault is left that could become part of the thread's next message.
    fn forgotten(&mut self) {
        rows(&[
            "fault.cancel.write-registers",
            "fault.delivery.no-reply-resumed",
        ]);
        let endpoint = self.handler.faults;
        for received in [false, true] {
            self.fault();
            if received {
                // Without a reply object: it is inactive.
                assert_eq!(self.faulter.faults.wait().label(), 2);
            }
            let message = call_registers(SEND, endpoint.bits(), info(55, 0, 1), [66, 0, 0, 0], 0);
            self.faulter.begin_syscall(&message);
            self.settler.settle();
            let sent = endpoint.nb_recv(self.handler.reply);
            assert_eq!(Answer::of(&sent.message), Answer::new(55, &[66]));
            assert_eq!(
                self.faulter.fault().label(),
                USER_EXCEPTION,
                "the send is done"
            );
        }
    }

    /// Resume and WriteRegisters, while the fault is in the queue and while it is handled.
    fn taken_back(&mut self) {
        let reply = self.faulter.reply;
        for handled in [false, true] {
            for registers in [false, true] {
                rows(if registers {
                    &["fault.cancel.write-registers"]
                } else {
                    &["fault.cancel.resume"]
                });
                self.fault();
                if handled {
                    assert_eq!(self.poll(), (PUPPET_BADGE, 2));
                }
                let expected = if registers {
                    let beyond = Puppet::trap_address() + 4;
                    let context = UserContext {
                        pc: beyond,
                        ..unknown()
                    };
                    self.faulter.start(&context);
                    USER_EXCEPTION
                } else {
                    self.faulter.tcb.resume().expect("to resume");
                    2
                };
                self.settler.settle();
                // The answer to the earlier fault is to nobody.
                reply.send(Message::new(1));
                assert_eq!(self.poll(), (PUPPET_BADGE, expected));
                assert_eq!(self.poll(), (0, 0), "there is one fault only");
            }
        }
    }
}
