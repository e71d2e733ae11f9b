//! A bound notification: which waits of its thread a signal ends and which it does not, what the thread's next receive makes
//! of it, who else may use it, and what binding and unbinding ask for. The signals come from core 0, the thread is on the last.

#![no_std]
#![no_main]

use libsel4::abi::UserContext;
use libsel4::{
    BootInfo, Cap, CapRights, Endpoint, Error, Message, Notification, Reply, System, Tcb, init,
    root_task,
};
use tern_target_tests::calls::{
    CALL, NB_RECV, NB_SEND_RECV, NB_SEND_WAIT, NB_WAIT, RECEIVING, RECV, REPLY_RECV, SEND, WAIT,
    receive, returned,
};
use tern_target_tests::objects::{Answer, Ended, Puppet, Settler, call_registers, info, object};
use tern_target_tests::rows::{row, rows};

root_task!(main);

/// The receiving calls that wait.
const WAITING: [i64; 5] = [RECV, WAIT, REPLY_RECV, NB_SEND_RECV, NB_SEND_WAIT];
const ODD_INFO: u64 = 0xdead_beef_cafe_ffff;
const WORDS: [u64; 4] = [71, 72, 73, 74];

struct Bench {
    puppet: Puppet,
    peer: Puppet,
    /// The puppet's.
    bound: Cap<Notification>,
    signal: Cap<Notification>,
    endpoint: Cap<Endpoint>,
    reply: Cap<Reply>,
    settler: Settler,
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let bound = system.notification().expect("a notification");
    let bench = Bench {
        puppet: Puppet::new(&mut system, boot.cores() - 1, 100),
        peer: Puppet::new(&mut system, 0, 90),
        bound,
        signal: system.mint(bound, CapRights::all(), 0x40).expect("a badge"),
        endpoint: system.endpoint().expect("an endpoint"),
        reply: system.reply().expect("a reply object"),
        settler: Settler::new(&mut system),
    };
    bench.binding(&mut system);
    bench.puppet.tcb.bind_notification(bound).expect("to bind");
    bench.interrupted();
    if boot.cores() > 1 {
        row("bound.remote");
        bench.interrupted();
        bench.seen_later();
    }
    bench.seen_later();
    bench.not_disturbed(&mut system);
    bench.as_any_other();
    bench.others();
    bench.unbound();
}

impl Bench {
    /// A receive with odd information in x1 and words of its own, which stay.
    fn registers(&self, number: i64, source: u64) -> UserContext {
        UserContext {
            x1: ODD_INFO,
            x2: WORDS[0],
            x3: WORDS[1],
            x4: WORDS[2],
            x5: WORDS[3],
            ..receive(number, source, self.reply.bits())
        }
    }

    /// The puppet's call comes back with the word, and with nothing else changed.
    #[track_caller]
    fn is_signalled(&self, before: &UserContext) {
        let expected = UserContext {
            pc: Puppet::trap_address() + 4,
            spsr: 0x40,
            x0: 0x40,
            ..*before
        };
        assert_eq!(self.puppet.end_of_syscall(), Ended::Returned(expected));
    }

    fn waits(&self, puppet: &Puppet, before: &UserContext) {
        puppet.begin_syscall(before);
        self.still_waits(puppet);
    }

    #[track_caller]
    fn still_waits(&self, puppet: &Puppet) {
        self.settler.settle();
        assert_eq!(puppet.faults.poll().badge, 0, "it waits");
    }

    fn binding(&self, system: &mut System) {
        let illegal = Err(Error::IllegalOperation);
        let other = system.notification().expect("a notification");
        let thread = object::<Tcb>(system);
        rows(&["bound.right", "ipc.rights.wait"]);
        for rights in [
            CapRights::WRITE,
            CapRights::all().difference(CapRights::READ),
            CapRights::empty(),
        ] {
            let deaf = system.copy(other, rights).expect("a copy");
            assert_eq!(thread.bind_notification(deaf), illegal, "{rights:?}");
        }
        let read = system.copy(other, CapRights::READ).expect("a copy");
        thread.bind_notification(read).expect("reading is enough");
        row("bound.one-to-one");
        assert_eq!(thread.bind_notification(other), illegal);
        assert_eq!(thread.bind_notification(self.bound), illegal);
        assert_eq!(self.puppet.tcb.bind_notification(other), illegal);
        thread.unbind_notification().expect("to unbind");
        assert_eq!(thread.unbind_notification(), illegal);
        self.puppet
            .tcb
            .bind_notification(other)
            .expect("it is free");
        self.puppet.tcb.unbind_notification().expect("to unbind");
        row("bound.waiters");
        let wait = call_registers(WAIT, other.bits(), 0, [0; 4], 0);
        self.waits(&self.peer, &wait);
        assert_eq!(thread.bind_notification(other), illegal);
        other.signal();
        returned(self.peer.end_of_syscall());
        thread.bind_notification(other).expect("nobody waits");
        thread.unbind_notification().expect("to unbind");
        row("bound.active");
        for number in RECEIVING {
            self.signal.signal();
            let tcb = self.puppet.tcb;
            tcb.bind_notification(self.bound).expect("to bind");
            let before = self.registers(number, self.endpoint.bits());
            self.puppet.begin_syscall(&before);
            self.is_signalled(&before);
            tcb.unbind_notification().expect("to unbind");
        }
    }

    fn interrupted(&self) {
        for number in WAITING {
            rows(&[
                "bound.interrupts",
                "bound.badge-only",
                "syscall.result.bound",
            ]);
            let before = self.registers(number, self.endpoint.bits());
            self.waits(&self.puppet, &before);
            self.signal.signal();
            self.settler.settle();
            row("bound.releases-reply");
            // Somebody else is held by the object: the puppet has nothing to do with it any more, and is not stopped.
            let call = call_registers(CALL, self.endpoint.bits(), info(3, 0, 0), WORDS, 0);
            self.peer.begin_syscall(&call);
            assert_eq!(self.endpoint.recv(self.reply).label(), 3);
            self.is_signalled(&before);
            self.reply.send(Message::new(4));
            assert_eq!(returned(self.peer.end_of_syscall()).x1, info(4, 0, 0));
            // It no longer waits in the endpoint either: a sender meets nobody.
            let send = call_registers(SEND, self.endpoint.bits(), info(5, 0, 0), WORDS, 0);
            self.waits(&self.peer, &send);
            assert_eq!(self.endpoint.poll().label(), 5);
            returned(self.peer.end_of_syscall());
        }
    }

    fn seen_later(&self) {
        for number in RECEIVING {
            rows(&["bound.next-receive", "syscall.receive.bound-active"]);
            self.signal.signal();
            self.settler.settle();
            let before = self.registers(number, self.endpoint.bits());
            self.puppet.begin_syscall(&before);
            self.is_signalled(&before);
            row("bound.before-messages");
            let send = call_registers(SEND, self.endpoint.bits(), info(6, 0, 1), WORDS, 0);
            self.waits(&self.peer, &send);
            self.signal.signal();
            self.puppet.begin_syscall(&before);
            self.is_signalled(&before);
            self.still_waits(&self.peer);
            // The next one receives the message.
            let after = returned(self.puppet.syscall(&before));
            assert_eq!([after.x0, after.x1, after.x2], [0, info(6, 0, 1), WORDS[0]]);
            returned(self.peer.end_of_syscall());
        }
    }

    /// It waits for something else: the signal is for later.
    fn not_disturbed(&self, system: &mut System) {
        let other = system.notification().expect("a notification");
        let next = || {
            let before = self.registers(NB_RECV, self.endpoint.bits());
            self.puppet.begin_syscall(&before);
            self.is_signalled(&before);
        };
        row("bound.not-in-send");
        let send = call_registers(SEND, self.endpoint.bits(), info(6, 0, 1), WORDS, 0);
        self.waits(&self.puppet, &send);
        self.signal.signal();
        self.still_waits(&self.puppet);
        assert_eq!(self.endpoint.wait().label(), 6);
        assert_eq!(returned(self.puppet.end_of_syscall()).x1, info(6, 0, 1));
        next();
        row("bound.not-in-call");
        let call = call_registers(CALL, self.endpoint.bits(), info(6, 0, 1), WORDS, 0);
        self.waits(&self.puppet, &call);
        // Waiting for a receiver, and then for the answer.
        self.signal.signal();
        self.still_waits(&self.puppet);
        assert_eq!(self.endpoint.recv(self.reply).label(), 6);
        self.signal.signal();
        self.still_waits(&self.puppet);
        self.reply.send(Message::new(8));
        assert_eq!(returned(self.puppet.end_of_syscall()).x1, info(8, 0, 0));
        next();
        // It signals itself by a call, which is no receive.
        let call = call_registers(CALL, self.signal.bits(), 0, WORDS, 0);
        assert_eq!(returned(self.puppet.syscall(&call)).x0, 0);
        next();
        row("bound.not-in-wait");
        let wait = self.registers(WAIT, other.bits());
        self.waits(&self.puppet, &wait);
        self.signal.signal();
        self.still_waits(&self.puppet);
        other.signal();
        assert_eq!(returned(self.puppet.end_of_syscall()).x0, 0);
        next();
    }

    /// Its thread waits on it and polls it directly.
    fn as_any_other(&self) {
        row("bound.wait");
        for number in RECEIVING {
            let before = self.registers(number, self.bound.bits());
            self.signal.signal();
            self.puppet.begin_syscall(&before);
            self.is_signalled(&before);
            if WAITING.contains(&number) {
                self.waits(&self.puppet, &before);
                self.signal.signal();
                self.is_signalled(&before);
            } else {
                assert_eq!(returned(self.puppet.syscall(&before)).x0, 0);
            }
        }
    }

    fn others(&self) {
        rows(&["bound.only-owner", "syscall.receive.notification-bound"]);
        let bound = self.bound.bits();
        let words = [Puppet::trap_address(), bound, 1, 2, 0];
        for active in [false, true] {
            if active {
                self.signal.signal();
            }
            for number in RECEIVING {
                let before = receive(number, bound, self.reply.bits());
                assert_eq!(
                    self.peer.syscall(&before),
                    Ended::Faulted(Answer::new(1, &words)),
                    "{number}"
                );
            }
        }
        // Anyone may signal it.
        let signal = call_registers(SEND, self.signal.bits(), 0, [0; 4], 0);
        returned(self.peer.syscall(&signal));
        let before = self.registers(NB_WAIT, bound);
        self.puppet.begin_syscall(&before);
        self.is_signalled(&before);
    }

    fn unbound(&self) {
        row("bound.unbind");
        // Active, it stays so.
        self.signal.signal();
        self.puppet.tcb.unbind_notification().expect("to unbind");
        let before = self.registers(NB_RECV, self.endpoint.bits());
        assert_eq!(returned(self.puppet.syscall(&before)).x0, 0, "not for it");
        let wait = self.registers(WAIT, self.bound.bits());
        assert_eq!(returned(self.peer.syscall(&wait)).x0, 0x40);
        // While it waits for a message, its wait goes on.
        self.puppet
            .tcb
            .bind_notification(self.bound)
            .expect("to bind");
        let before = self.registers(RECV, self.endpoint.bits());
        self.waits(&self.puppet, &before);
        self.puppet.tcb.unbind_notification().expect("to unbind");
        self.signal.signal();
        self.still_waits(&self.puppet);
        self.endpoint.send(Message::new(9));
        assert_eq!(returned(self.puppet.end_of_syscall()).x1, info(9, 0, 0));
        // Idle, nobody's: the test may wait on it.
        assert_eq!(self.bound.poll(), 0x40);
        init::TCB.bind_notification(self.bound).expect("to bind");
        init::TCB.unbind_notification().expect("to unbind");
    }
}
