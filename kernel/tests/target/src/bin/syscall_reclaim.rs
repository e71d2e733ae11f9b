//! A reply object that is named in a receive is taken from whoever waits on it or with it: a caller, a thread at its fault,
//! another receiver. That thread is inactive; resumed, it does its system call again. The receive goes on.

#![no_std]
#![no_main]

use libsel4::{
    BootInfo, Cap, CapRights, Endpoint, Message, Notification, Reply, System, root_task,
};
use tern_target_tests::calls::{
    CALL, NB_RECV, NB_SEND_RECV, RECV, REPLY_RECV, SEND, WITH_REPLY, receive, returned,
};
use tern_target_tests::objects::{Answer, Puppet, Settler, call_registers, info};
use tern_target_tests::rows::{row, rows};

root_task!(main);

struct Bench {
    /// Receives, and so takes the reply object.
    taker: Puppet,
    /// Has it before.
    owner: Puppet,
    endpoint: Cap<Endpoint>,
    reply: Cap<Reply>,
    /// Another name for the same object.
    copy: Cap<Reply>,
    other: Cap<Reply>,
    signal: Cap<Notification>,
    notification: Cap<Notification>,
    settler: Settler,
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let reply = system.reply().expect("a reply object");
    let notification = system.notification().expect("a notification");
    let all = CapRights::all();
    let bench = Bench {
        taker: Puppet::new(&mut system, boot.cores() - 1, 100),
        owner: Puppet::new(&mut system, 0, 90),
        endpoint: system.endpoint().expect("an endpoint"),
        reply,
        copy: system.copy(reply, all).expect("a copy"),
        other: system.reply().expect("a reply object"),
        signal: system.mint(notification, all, 0x40).expect("a badge"),
        notification,
        settler: Settler::new(&mut system),
    };
    let nobody = system.endpoint().expect("an endpoint");
    for number in WITH_REPLY {
        bench.caller_loses(number, nobody);
        bench.faulter_loses(number, nobody);
        bench.receiver_loses(number, nobody);
        bench.not_for_notifications(number);
        bench.before_a_signal(number, nobody);
    }
}

impl Bench {
    /// The taker receives where nobody sends, with the object that somebody has. It must take it, and then wait, or
    /// come back if it polls.
    fn take(&self, number: i64, nobody: Cap<Endpoint>) {
        let mut before = receive(number, nobody.bits(), self.copy.bits());
        if number == NB_SEND_RECV {
            before.x8 = self.signal.bits();
        }
        self.taker.begin_syscall(&before);
        self.settler.settle();
        if number == NB_RECV {
            assert_eq!(returned(self.taker.end_of_syscall()).x0, 0);
        } else {
            assert_eq!(self.taker.faults.poll().badge, 0, "it waits");
        }
        if number == NB_SEND_RECV {
            assert_eq!(self.notification.poll(), 0x40);
        }
    }

    fn is_still(&self, puppet: &Puppet) {
        self.settler.settle();
        assert_eq!(puppet.faults.poll().badge, 0, "it does not run");
    }

    fn caller_loses(&self, number: i64, nobody: Cap<Endpoint>) {
        rows(&[
            "syscall.receive.reclaim-caller",
            "syscall.receive.reclaim-calls",
        ]);
        let call = call_registers(CALL, self.endpoint.bits(), info(3, 0, 1), [8, 9, 9, 9], 0);
        self.owner.begin_syscall(&call);
        assert_eq!(self.endpoint.recv(self.reply).label(), 3);
        self.take(number, nobody);
        if number == REPLY_RECV {
            // Its first half has answered.
            assert_eq!(returned(self.owner.end_of_syscall()).x1, 0);
        } else {
            self.is_still(&self.owner);
            // An answer now is to nobody, or at most to a receiver, which is none.
            self.reply.send(Message::new(7));
            self.is_still(&self.owner);
            let stopped = self.owner.registers();
            assert_eq!(stopped.pc, Puppet::trap_address());
            self.owner.tcb.resume().expect("to resume");
            let again = self.endpoint.recv(self.other);
            assert_eq!((again.label(), again.get(0)), (3, 8));
            self.other.send(Message::new(4));
            assert_eq!(returned(self.owner.end_of_syscall()).x1, info(4, 0, 0));
        }
        self.taker_has_it(number, nobody);
    }

    /// If the taker waits, a caller that comes is held by the object.
    fn taker_has_it(&self, number: i64, nobody: Cap<Endpoint>) {
        if number == NB_RECV {
            return;
        }
        let call = call_registers(CALL, nobody.bits(), info(5, 0, 0), [0; 4], 0);
        self.owner.begin_syscall(&call);
        assert_eq!(returned(self.taker.end_of_syscall()).x1, info(5, 0, 0));
        self.reply.send(Message::new(6));
        assert_eq!(returned(self.owner.end_of_syscall()).x1, info(6, 0, 0));
    }

    fn faulter_loses(&self, number: i64, nobody: Cap<Endpoint>) {
        row("syscall.receive.reclaim-faulter");
        let unknown = call_registers(-1000, 1, 2, [3; 4], 6);
        self.owner.begin_syscall(&unknown);
        let fault = self.owner.faults.recv(self.reply);
        assert_eq!(fault.label(), 2);
        self.take(number, nobody);
        if number == REPLY_RECV {
            // Answered, it tries again.
            assert_eq!(Answer::of(&self.owner.fault().message).label, 2);
        } else {
            self.is_still(&self.owner);
            self.owner.tcb.resume().expect("to resume");
            assert_eq!(Answer::of(&self.owner.fault().message).label, 2);
        }
        self.taker_has_it(number, nobody);
    }

    fn receiver_loses(&self, number: i64, nobody: Cap<Endpoint>) {
        row("syscall.receive.reclaim-receiver");
        let wait = receive(RECV, self.endpoint.bits(), self.reply.bits());
        self.owner.begin_syscall(&wait);
        self.is_still(&self.owner);
        self.take(number, nobody);
        self.is_still(&self.owner);
        // Nobody receives there any more.
        self.endpoint.nb_send(Message::new(1));
        self.is_still(&self.owner);
        assert_eq!(self.owner.registers().pc, Puppet::trap_address());
        // Resumed, it receives again, and takes the object from the taker.
        self.owner.tcb.resume().expect("to resume");
        self.is_still(&self.owner);
        self.endpoint.nb_send(Message::new(2));
        assert_eq!(returned(self.owner.end_of_syscall()).x1, info(2, 0, 0));
        if number != NB_RECV {
            self.is_still(&self.taker);
            nobody.nb_send(Message::new(1));
            self.is_still(&self.taker);
            self.taker.tcb.resume().expect("to resume");
            self.is_still(&self.taker);
            self.notification.poll();
            self.taker_has_it(number, nobody);
        }
        // The same thread names it again, which takes nothing from anybody.
        self.owner.begin_syscall(&wait);
        self.is_still(&self.owner);
        self.owner.begin_syscall(&wait);
        self.is_still(&self.owner);
        let send = call_registers(SEND, self.endpoint.bits(), info(9, 0, 0), [0; 4], 0);
        returned(self.taker.syscall(&send));
        assert_eq!(returned(self.owner.end_of_syscall()).x1, info(9, 0, 0));
    }

    /// The taker's receive ends at once, with its bound notification's word, and takes the object all the same.
    fn before_a_signal(&self, number: i64, nobody: Cap<Endpoint>) {
        row("syscall.receive.reclaim-then-bound");
        if number == REPLY_RECV {
            return;
        }
        let call = call_registers(CALL, self.endpoint.bits(), info(3, 0, 0), [0; 4], 0);
        self.owner.begin_syscall(&call);
        assert_eq!(self.endpoint.recv(self.reply).label(), 3);
        self.taker
            .tcb
            .bind_notification(self.notification)
            .expect("to bind");
        self.signal.signal();
        let mut before = receive(number, nobody.bits(), self.copy.bits());
        before.x8 = 0;
        assert_eq!(returned(self.taker.syscall(&before)).x0, 0x40);
        self.taker.tcb.unbind_notification().expect("to unbind");
        self.reply.send(Message::new(4));
        self.is_still(&self.owner);
    }

    /// A receive from a notification leaves it alone.
    fn not_for_notifications(&self, number: i64) {
        row("syscall.receive.reply-unused");
        if number == REPLY_RECV {
            // Its first half is an answer.
            return;
        }
        let call = call_registers(CALL, self.endpoint.bits(), info(3, 0, 0), [0; 4], 0);
        self.owner.begin_syscall(&call);
        assert_eq!(self.endpoint.recv(self.reply).label(), 3);
        self.signal.signal();
        let mut before = receive(number, self.notification.bits(), self.copy.bits());
        // Sent to nobody.
        before.x8 = 0;
        assert_eq!(returned(self.taker.syscall(&before)).x0, 0x40);
        self.reply.send(Message::new(4));
        assert_eq!(returned(self.owner.end_of_syscall()).x1, info(4, 0, 0));
    }
}
