//! What a thread that waits in an endpoint keeps of the capabilities that it used: whatever happens to those, the message goes
//! as it would have gone at once. And what becomes of it when the endpoint itself goes.

#![no_std]
#![no_main]

use libsel4::abi::ObjectType;
use libsel4::{
    BootInfo, Cap, CapRights, Endpoint, Error, Message, Reply, SlotPath, System, init, ipc_buffer,
    root_task,
};
use tern_target_tests::calls::{
    CALL, NB_SEND_RECV, NB_SEND_WAIT, RECV, SEND, WAIT, combined, receive, returned,
};
use tern_target_tests::objects::{
    Answer, Ended, Puppet, Settler, buffer_cap, call_registers, info,
};
use tern_target_tests::rows::{row, rows};

root_task!(main);

struct Bench {
    puppet: Puppet,
    peer: Puppet,
    endpoint: Cap<Endpoint>,
    /// Another one, for capabilities that come where others were.
    other: Cap<Endpoint>,
    reply: Cap<Reply>,
    slot: SlotPath,
    settler: Settler,
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let bench = Bench {
        puppet: Puppet::new(&mut system, boot.cores() - 1, 100),
        peer: Puppet::new(&mut system, 0, 90),
        endpoint: system.endpoint().expect("an endpoint"),
        other: system.endpoint().expect("an endpoint"),
        reply: system.reply().expect("a reply object"),
        slot: system.slot().expect("a slot"),
        settler: Settler::new(&mut system),
    };
    bench.badges();
    bench.rights(&mut system);
    bench.unanswerable(&mut system);
    bench.passive_receiver(&mut system);
    bench.reply_objects(&mut system);
    bench.one_kind();
    bench.endpoint_goes(&mut system);
}

impl Bench {
    /// The puppet waits to send through a capability with these rights and this badge, which is then replaced by one that
    /// has everything else.
    fn queue(&self, number: i64, rights: CapRights, badge: u64, caps: u64) {
        self.slot
            .mint_from(&self.endpoint.slot(), rights, badge)
            .expect("a badge");
        let words = [61, 62, 63, 64];
        let info = info(7, caps, 4);
        self.puppet
            .begin_syscall(&call_registers(number, self.slot.index, info, words, 0));
        self.settler.settle();
        self.slot.delete().expect("to delete");
        self.slot
            .mint_from(&self.other.slot(), CapRights::all(), 0x666)
            .expect("a badge");
    }

    fn done(&self) {
        self.slot.delete().expect("to delete");
    }

    fn badges(&self) {
        rows(&[
            "ipc.queue.sender.badge",
            "ipc.queue.sender.deleted",
            "ipc.queue.sender.is-call",
        ]);
        for badge in [0, 1, 0x8000_0000_0000_0000, u64::MAX] {
            self.queue(SEND, CapRights::all(), badge, 0);
            let received = self.endpoint.recv(self.reply);
            assert_eq!((received.badge, received.label()), (badge, 7));
            // It goes on, and waits for no answer.
            self.reply.send(Message::new(1));
            assert_eq!(returned(self.puppet.end_of_syscall()).x1, info(7, 0, 4));
            self.done();

            self.queue(CALL, CapRights::all(), badge, 0);
            let received = self.endpoint.recv(self.reply);
            assert_eq!((received.badge, received.label()), (badge, 7));
            self.settler.settle();
            assert_eq!(self.puppet.faults.poll().badge, 0, "it waits on");
            self.reply.send(Message::new(1));
            assert_eq!(returned(self.puppet.end_of_syscall()).x1, info(1, 0, 0));
            self.done();
        }
    }

    fn rights(&self, system: &mut System) {
        rows(&["ipc.queue.sender.rights", "ipc.queue.sender.deleted"]);
        let note = system.notification().expect("a notification").bits();
        let place = system.slot().expect("a slot");
        self.puppet.buffer().write(buffer_cap(0), note);
        for (rights, arrives, answered) in [
            (CapRights::all(), 1, true),
            (CapRights::WRITE | CapRights::GRANT, 1, true),
            (CapRights::WRITE | CapRights::GRANT_REPLY, 0, true),
            (CapRights::WRITE, 0, false),
        ] {
            self.queue(CALL, rights, 5, 1);
            ipc_buffer::set_receive_slot(place);
            let received = self.endpoint.recv(self.reply);
            let info = received.message.info();
            assert_eq!((info.label(), info.extra_caps()), (7, arrives));
            place.delete().expect("to delete");
            self.reply.send(Message::new(3));
            if answered {
                assert_eq!(returned(self.puppet.end_of_syscall()).x1 >> 12, 3);
            } else {
                self.is_inactive(&self.puppet);
            }
            self.done();
        }
    }

    /// It does not run, and resumed it makes its system call.
    fn is_inactive(&self, puppet: &Puppet) {
        self.settler.settle();
        assert_eq!(puppet.faults.poll().badge, 0, "it does not run");
        assert_eq!(puppet.registers().pc, Puppet::trap_address());
    }

    /// Calls that get no answer: without a right to one, or taken by a receiver without a reply object.
    fn unanswerable(&self, system: &mut System) {
        let weak = system
            .copy(self.endpoint, CapRights::WRITE | CapRights::READ)
            .expect("a copy");
        for (through, number, at_once) in [
            (self.endpoint, WAIT, "syscall.call.no-reply-object"),
            (weak, RECV, "syscall.call.no-grant"),
            (weak, WAIT, "syscall.call.no-grant"),
        ] {
            let call = call_registers(CALL, through.bits(), info(7, 0, 1), [8, 0, 0, 0], 0);
            let receive = receive(number, self.endpoint.bits(), self.reply.bits());
            for waits_first in [true, false] {
                if waits_first {
                    rows(&["syscall.call.queued-unanswerable", "ipc.rights.call-none"]);
                    self.puppet.begin_syscall(&call);
                    self.settler.settle();
                    self.peer.begin_syscall(&receive);
                } else {
                    rows(&[at_once, "syscall.call.receiver-goes-on"]);
                    self.peer.begin_syscall(&receive);
                    self.settler.settle();
                    self.puppet.begin_syscall(&call);
                }
                let after = returned(self.peer.end_of_syscall());
                assert_eq!((after.x1, after.x2), (info(7, 0, 1), 8));
                self.is_inactive(&self.puppet);
                self.reply.send(Message::new(1));
                self.is_inactive(&self.puppet);
                row("syscall.call.resume-again");
                self.puppet.tcb.resume().expect("to resume");
                assert_eq!(self.endpoint.wait().label(), 7);
                self.is_inactive(&self.puppet);
            }
        }
    }

    /// A receiver that has no scheduling context gets the message of a call that cannot be answered, and runs when it is
    /// given one; the caller keeps its own.
    fn passive_receiver(&self, system: &mut System) {
        row("syscall.call.receiver-goes-on");
        let weak = system
            .copy(self.endpoint, CapRights::WRITE)
            .expect("a copy");
        for (through, number) in [(weak, RECV), (self.endpoint, WAIT)] {
            let receive = receive(number, self.endpoint.bits(), self.reply.bits());
            self.peer.begin_syscall(&receive);
            self.settler.settle();
            self.peer.sched.unbind().expect("to unbind");
            let call = call_registers(CALL, through.bits(), info(7, 0, 1), [8, 0, 0, 0], 0);
            self.puppet.begin_syscall(&call);
            self.is_inactive(&self.puppet);
            assert_eq!(self.peer.faults.poll().badge, 0, "it has no time");
            let bound = self.puppet.sched.bind(self.peer.tcb);
            assert_eq!(bound, Err(Error::IllegalOperation), "the caller has it");
            self.peer.sched.bind(self.peer.tcb).expect("to bind");
            let after = returned(self.peer.end_of_syscall());
            assert_eq!((after.x1, after.x2), (info(7, 0, 1), 8));
        }
    }

    fn reply_objects(&self, system: &mut System) {
        row("ipc.queue.receiver.reply");
        for number in [RECV, NB_SEND_RECV] {
            self.slot
                .copy_from(&self.reply.slot(), CapRights::empty())
                .expect("a copy");
            let mut before = receive(number, self.endpoint.bits(), self.slot.index);
            before.x8 = 0;
            self.peer.begin_syscall(&before);
            self.settler.settle();
            self.slot.delete().expect("to delete");
            self.slot
                .copy_from(&self.other.slot(), CapRights::all())
                .expect("a copy");
            let call = call_registers(CALL, self.endpoint.bits(), info(7, 0, 0), [0; 4], 0);
            self.puppet.begin_syscall(&call);
            assert_eq!(returned(self.peer.end_of_syscall()).x1, info(7, 0, 0));
            self.reply.send(Message::new(4));
            assert_eq!(returned(self.puppet.end_of_syscall()).x1, info(4, 0, 0));
            self.done();
        }
        // The object goes: so does the wait.
        let object = system.reply().expect("a reply object");
        let before = receive(RECV, self.endpoint.bits(), object.bits());
        self.peer.begin_syscall(&before);
        self.settler.settle();
        system.destroy(object).expect("to destroy");
        self.is_inactive(&self.peer);
        self.endpoint.nb_send(Message::new(1));
        self.is_inactive(&self.peer);
    }

    fn one_kind(&self) {
        row("ipc.queue.one-kind");
        let ep = self.endpoint.bits();
        let puppets = [&self.puppet, &self.peer];
        for _ in 0..2 {
            for puppet in puppets {
                puppet.begin_syscall(&call_registers(WAIT, ep, 0, [0; 4], 0));
            }
            self.settler.settle();
            // Receiving finds no message where others wait for one.
            assert_eq!(self.endpoint.poll().badge, 0);
            assert_eq!(self.endpoint.nb_recv(self.reply).label(), 0);
            for label in [1, 2] {
                self.endpoint.nb_send(Message::new(label));
            }
            self.endpoint.nb_send(Message::new(3));
            for (puppet, label) in puppets.into_iter().zip([1, 2]) {
                assert_eq!(returned(puppet.end_of_syscall()).x1, info(label, 0, 0));
            }
            for (puppet, label) in puppets.into_iter().zip([1, 2]) {
                puppet.begin_syscall(&call_registers(SEND, ep, info(label, 0, 0), [0; 4], 0));
            }
            self.settler.settle();
            // What is sent without waiting finds no receiver where others wait for one.
            self.endpoint.nb_send(Message::new(3));
            let labels = [(); 3].map(|()| self.endpoint.poll().label());
            assert_eq!(labels, [1, 2, 0]);
            for puppet in puppets {
                returned(puppet.end_of_syscall());
            }
        }
    }

    fn endpoint_goes(&self, system: &mut System) {
        rows(&["ipc.queue.sender.revoked", "ipc.errors.receive"]);
        let memory = system.untyped(4).expect("memory");
        let slot = system.slot().expect("a slot");
        let make = || {
            memory
                .retype_into(ObjectType::Endpoint, 0, init::CNODE, slot.index)
                .expect("an endpoint");
        };
        let missing = [Puppet::trap_address(), slot.index, 1, 2, 0];
        for number in [SEND, CALL, RECV, WAIT, NB_SEND_RECV, NB_SEND_WAIT] {
            make();
            let before = match number {
                NB_SEND_RECV | NB_SEND_WAIT => combined(number, 0, slot.index, self.reply.bits()),
                _ => call_registers(number, slot.index, info(7, 0, 0), [0; 4], self.reply.bits()),
            };
            self.puppet.begin_syscall(&before);
            self.settler.settle();
            assert_eq!(self.puppet.faults.poll().badge, 0, "it waits");
            slot.delete().expect("to delete");
            match (number, self.puppet.end_of_syscall()) {
                (SEND, Ended::Returned(after)) => assert_eq!(after.x1, info(7, 0, 0)),
                (CALL, Ended::Returned(after)) => {
                    assert_eq!((after.x1, after.x2), (info(2, 0, 1), 0));
                }
                (SEND | CALL, Ended::Faulted(fault)) => panic!("{number}: {fault:?}"),
                (_, ended) => {
                    assert_eq!(ended, Ended::Faulted(Answer::new(1, &missing)), "{number}");
                }
            }
        }
        // With copies it stays; a copy that goes changes nothing.
        make();
        let copy = system
            .copy(Cap::<Endpoint>::from_bits(slot.index), CapRights::all())
            .expect("a copy");
        let send = call_registers(SEND, slot.index, info(7, 0, 0), [0; 4], 0);
        self.puppet.begin_syscall(&send);
        self.settler.settle();
        slot.delete().expect("to delete");
        assert_eq!(copy.wait().label(), 7);
        returned(self.puppet.end_of_syscall());
        // A thread that waits with its fault is inactive.
        let faulting = call_registers(-1000, 0, 0, [0; 4], 0);
        let handler = system.mint(copy, CapRights::all(), 0x7).expect("a badge");
        self.peer
            .tcb
            .set_sched_params(init::TCB, 0, 90, Some(self.peer.sched.cap()), Some(handler))
            .expect("a handler");
        self.peer.begin_syscall(&faulting);
        self.settler.settle();
        // The handler's own copy goes with the revoke.
        memory.slot().revoke().expect("to revoke");
        self.is_inactive(&self.peer);
        let stopped = self.peer.registers();
        assert_eq!(
            (stopped.x7, stopped.pc),
            (-1000_i64 as u64, Puppet::trap_address())
        );
    }
}
