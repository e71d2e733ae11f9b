//! Capabilities in messages, by every call that sends and of every kind: where they arrive, with which rights, and whose
//! rights matter for that. (What stops a transfer, and unwrapping: `cap_transfer`.)

#![no_std]
#![no_main]

use libsel4::abi::{MessageInfo, cap_type};
use libsel4::{
    BootInfo, CNodeCapData, Cap, CapRights, Endpoint, Error, Message, Notification, PageTable,
    Reply, SlotPath, SmallPage, System, Tcb, UserContext, VSpace, VmAttributes, init, ipc_buffer,
    root_task,
};
use tern_target_tests::calls::{
    CALL, COMBINED, NB_SEND, RECV, SEND, combined_with, returned, words,
};
use tern_target_tests::objects::{
    BUFFER_RECEIVE, Puppet, Settler, buffer_cap, call_registers, info, kind, kind_at, object,
};
use tern_target_tests::rows::{row, rows};

root_task!(main);

const SENDING: [i64; 6] = [SEND, NB_SEND, CALL, COMBINED[0], COMBINED[1], COMBINED[2]];

struct Bench {
    sender: Puppet,
    receiver: Puppet,
    endpoint: Cap<Endpoint>,
    /// The receiver's.
    reply: Cap<Reply>,
    /// Where what it receives goes.
    slot: SlotPath,
    source: Cap<Notification>,
    settler: Settler,
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let bench = Bench {
        sender: Puppet::new(&mut system, boot.cores() - 1, 100),
        receiver: Puppet::new(&mut system, 0, 90),
        endpoint: system.endpoint().expect("an endpoint"),
        reply: system.reply().expect("a reply object"),
        slot: system.slot().expect("a slot"),
        source: system.notification().expect("a notification"),
        settler: Settler::new(&mut system),
    };
    bench.every_call(&mut system);
    bench.kinds(&mut system);
    bench.rights(&mut system);
    bench.rights_of_the_receiver(&mut system);
    bench.receivers_space(&mut system);
    bench.faults(&mut system);
}

/// Says in a thread's buffer where a capability is to go.
fn set_receive_slot(puppet: &Puppet, root: u64, index: u64, depth: u64) {
    for (offset, word) in [(0, root), (8, index), (16, depth)] {
        puppet.buffer().write(BUFFER_RECEIVE + offset, word);
    }
}

impl Bench {
    /// The receiver waits on `at`.
    fn wait(&self, at: Cap<Endpoint>) {
        let slot = self.slot;
        set_receive_slot(&self.receiver, slot.root.bits(), slot.index, slot.depth);
        for place in 0..3 {
            self.receiver.buffer().write(buffer_cap(place), 99);
        }
        let wait = call_registers(RECV, at.bits(), 0, [0; 4], self.reply.bits());
        self.receiver.begin_syscall(&wait);
        self.settler.settle();
    }

    /// The sender begins to send these capabilities through one.
    fn send(&self, number: i64, through: Cap<Endpoint>, caps: &[u64]) {
        for (place, &cap) in caps.iter().enumerate() {
            self.sender.buffer().write(buffer_cap(place), cap);
        }
        // All bits that say what is unwrapped are set, and mean nothing.
        let info = MessageInfo::new(3, 7, caps.len() as u64, 2).0;
        let words = [51, 52, 0, 0];
        let registers = if COMBINED.contains(&number) {
            let (source, reply) = (self.source.bits(), self.reply.bits());
            combined_with(number, through.bits(), source, reply, info, words)
        } else {
            call_registers(number, through.bits(), info, words, 0)
        };
        self.sender.begin_syscall(&registers);
    }

    /// What the receiver gets: extraCaps and capsUnwrapped. The words are always there.
    fn arrives(&self) -> (u64, u64) {
        let after = returned(self.receiver.end_of_syscall());
        let info = MessageInfo(after.x1);
        assert_eq!((info.label(), info.length()), (3, 2));
        assert_eq!(words(&after)[..2], [51, 52]);
        (info.extra_caps() as u64, info.caps_unwrapped())
    }

    fn transfer(&self, number: i64, through: Cap<Endpoint>, caps: &[u64]) -> (u64, u64) {
        self.wait(self.endpoint);
        self.send(number, through, caps);
        let seen = self.arrives();
        if number == CALL {
            self.reply.send(Message::new(0));
        } else if COMBINED.contains(&number) {
            self.source.signal();
        }
        returned(self.sender.end_of_syscall());
        seen
    }

    fn take(&self) -> u64 {
        let found = kind(self.slot);
        self.slot.delete().expect("to delete");
        found
    }

    fn every_call(&self, system: &mut System) {
        rows(&[
            "transfer.calls",
            "message.info.unwrapped-in",
            "message.info.extra-caps",
            "transfer.words-alone",
        ]);
        let note = system.notification().expect("a notification").bits();
        // The rights of what is unwrapped do not matter.
        let badged = system
            .mint(self.endpoint, CapRights::empty(), 0xb1)
            .expect("a badge")
            .bits();
        for number in SENDING {
            assert_eq!(self.transfer(number, self.endpoint, &[note]), (1, 0));
            assert_eq!(self.take(), cap_type::NOTIFICATION, "{number}");
            let caps = [badged, note, badged];
            assert_eq!(self.transfer(number, self.endpoint, &caps), (3, 0b101));
            assert_eq!(self.receiver.buffer().read(buffer_cap(0)), 0xb1);
            assert_eq!(self.take(), cap_type::NOTIFICATION, "{number}");
            assert_eq!(self.transfer(number, self.endpoint, &[]), (0, 0));
        }
        rows(&["ipc.rights.grant", "transfer.words-alone"]);
        let weak = CapRights::all().difference(CapRights::GRANT);
        let weak = system.copy(self.endpoint, weak).expect("a copy");
        for number in SENDING {
            let caps = [badged, note, badged];
            assert_eq!(self.transfer(number, weak, &caps), (0, 0), "{number}");
            assert_eq!(self.receiver.buffer().read(buffer_cap(0)), 99);
            assert_eq!(self.take(), cap_type::NULL);
        }
        row("transfer.unwrap.no-slot");
        let nowhere = Bench {
            sender: Puppet::new(system, 0, 100),
            receiver: Puppet::new(system, 0, 90),
            slot: SlotPath::new(init::TCB.cast(), 0, 0),
            settler: Settler::new(system),
            ..*self
        };
        let caps = [badged, badged, note];
        assert_eq!(nowhere.transfer(SEND, self.endpoint, &caps), (2, 0b11));
        assert_eq!(nowhere.receiver.buffer().read(buffer_cap(1)), 0xb1);
    }

    fn kinds(&self, system: &mut System) {
        row("transfer.kinds");
        let line = system.slot().expect("a slot");
        init::IRQ_CONTROL.get(100, &line).expect("a handler");
        let table = object::<PageTable>(system);
        table
            .map(init::VSPACE, 0x7000_0000_0000, VmAttributes::default())
            .expect("to map");
        let caps = [
            (
                system.untyped(12).expect("memory").bits(),
                cap_type::UNTYPED,
            ),
            (init::TCB.bits(), cap_type::THREAD),
            (
                system.endpoint().expect("an endpoint").bits(),
                cap_type::ENDPOINT,
            ),
            (self.source.bits(), cap_type::NOTIFICATION),
            (self.reply.bits(), cap_type::REPLY),
            (init::CNODE.bits(), cap_type::CNODE),
            (init::SCHED_CONTEXT.bits(), cap_type::SCHED_CONTEXT),
            (
                system.boot().sched_control(0).bits(),
                cap_type::SCHED_CONTROL,
            ),
            (init::VSPACE.bits(), cap_type::VSPACE),
            (table.bits(), cap_type::PAGE_TABLE),
            (object::<SmallPage>(system).bits(), cap_type::FRAME),
            (init::ASID_CONTROL.bits(), cap_type::ASID_CONTROL),
            (init::ASID_POOL.bits(), cap_type::ASID_POOL),
            (line.index, cap_type::IRQ_HANDLER),
            (init::DOMAIN_SET.bits(), cap_type::DOMAIN),
        ];
        for (cap, expected) in caps {
            assert_eq!(self.transfer(SEND, self.endpoint, &[cap]), (1, 0));
            assert_eq!(self.take(), expected, "capability {cap}");
            assert_eq!(kind(SlotPath::in_root(cap)), expected, "it stays");
        }
        row("transfer.stop.underivable");
        let space = object::<VSpace>(system).bits();
        let loose = object::<PageTable>(system).bits();
        for cap in [space, loose, init::IRQ_CONTROL.bits()] {
            assert_eq!(self.transfer(SEND, self.endpoint, &[cap]), (0, 0));
            assert_eq!(self.take(), cap_type::NULL);
        }
    }

    /// What arrives can do what was sent can do, whatever the capability that the message went through.
    fn rights(&self, system: &mut System) {
        row("transfer.rights");
        let through = CapRights::WRITE | CapRights::GRANT;
        let through = system.copy(self.endpoint, through).expect("a copy");
        let other = system.endpoint().expect("an endpoint");
        // Cancelling takes all four rights.
        let mut check = |rights, expected: Result<(), Error>| {
            let sent = system.mint(other, rights, 8).expect("a badge");
            assert_eq!(self.transfer(SEND, through, &[sent.bits()]), (1, 0));
            assert_eq!(self.slot.cancel_badged_sends(), expected, "{rights:?}");
            self.slot.delete().expect("to delete");
        };
        check(CapRights::all(), Ok(()));
        for right in [
            CapRights::READ,
            CapRights::WRITE,
            CapRights::GRANT,
            CapRights::GRANT_REPLY,
        ] {
            let rights = CapRights::all().difference(right);
            check(rights, Err(Error::IllegalOperation));
        }
        // A notification that may only be signalled; its badge comes with it.
        let plain = system.notification().expect("a notification");
        let sent = system.mint(plain, CapRights::WRITE, 6).expect("a badge");
        assert_eq!(self.transfer(SEND, through, &[sent.bits()]), (1, 0));
        let arrived = Cap::<Notification>::from_bits(self.slot.index);
        arrived.signal();
        assert_eq!(plain.poll(), 6);
        let target = object::<Tcb>(system);
        assert_eq!(
            target.bind_notification(arrived),
            Err(Error::IllegalOperation)
        );
        self.slot.delete().expect("to delete");
        // A frame that may only be read.
        let frame = object::<SmallPage>(system);
        for (rights, expected) in [
            (CapRights::READ_WRITE, Ok(())),
            (CapRights::READ, Err(Error::IllegalOperation)),
        ] {
            let sent = system.copy(frame, rights).expect("a copy");
            assert_eq!(self.transfer(SEND, through, &[sent.bits()]), (1, 0));
            let arrived = Cap::<SmallPage>::from_bits(self.slot.index);
            let place = system.addresses(4096, 4096).expect("addresses").start;
            let attributes = VmAttributes::default();
            system
                .map_at(init::VSPACE, arrived, place, CapRights::all(), attributes)
                .expect("to map");
            assert_eq!(arrived.invalidate_data(0, 8), expected);
            self.slot.delete().expect("to delete");
        }
    }

    fn rights_of_the_receiver(&self, system: &mut System) {
        rows(&[
            "ipc.rights.receiver",
            "ipc.rights.call",
            "ipc.rights.reply-new",
        ]);
        let note = system.notification().expect("a notification");
        let read = system.copy(self.endpoint, CapRights::READ).expect("a copy");
        let place = system.slot().expect("a slot");
        set_receive_slot(&self.sender, init::CNODE.bits(), place.index, 64);
        // Both grant rights are as good for an answer; for sending a capability it takes one of them.
        for (rights, arrives) in [
            (CapRights::all(), 1),
            (CapRights::WRITE | CapRights::GRANT, 1),
            (CapRights::WRITE | CapRights::GRANT_REPLY, 0),
        ] {
            let through = system.copy(self.endpoint, rights).expect("a copy");
            self.wait(read);
            self.send(CALL, through, &[note.bits()]);
            assert_eq!(self.arrives(), (arrives, 0), "{rights:?}");
            self.slot.delete().expect("to delete");
            // The answer brings one, by the reply object's right alone.
            self.reply.send(Message::new(4).cap(note));
            assert_eq!(returned(self.sender.end_of_syscall()).x1, info(4, 1, 0));
            assert_eq!(kind(place), cap_type::NOTIFICATION);
            place.delete().expect("to delete");
        }
        rows(&["ipc.rights.reply", "ipc.rights.reply-masked"]);
        for rights in [
            CapRights::all().difference(CapRights::GRANT),
            CapRights::empty(),
            CapRights::GRANT,
        ] {
            let reply = system.copy(self.reply, rights).expect("a copy");
            let arrives = u64::from(rights.contains(CapRights::GRANT));
            self.wait(read);
            self.send(CALL, self.endpoint, &[]);
            assert_eq!(self.arrives(), (0, 0));
            reply.send(Message::new(4).cap(note));
            let after = returned(self.sender.end_of_syscall());
            assert_eq!(after.x1, info(4, arrives, 0), "{rights:?}");
            assert_eq!(kind(place) == cap_type::NOTIFICATION, arrives == 1);
            place.delete().expect("to delete");
        }
    }

    /// A receiver with a capability space of its own: slot 1 has the endpoint, slot 2 the reply object, slot 3 a CNode.
    fn receivers_space(&self, system: &mut System) {
        row("transfer.slot.cspace");
        let space = system.cnode(4).expect("a CNode");
        let inner = system.cnode(4).expect("a CNode");
        for (index, source) in [
            (1, self.endpoint.slot()),
            (2, self.reply.slot()),
            (3, inner.slot()),
        ] {
            SlotPath::new(space, index, 4)
                .copy_from(&source, CapRights::all())
                .expect("a copy");
        }
        let puppet = Puppet::new(system, 0, 90);
        let guard = CNodeCapData::new(0, 60);
        puppet
            .tcb
            .set_space(Some(puppet.faults), space, guard.0, init::VSPACE)
            .expect("a space");
        let note = system.notification().expect("a notification").bits();
        let receive = |root, index, depth| {
            set_receive_slot(&puppet, root, index, depth);
            puppet.begin_syscall(&call_registers(RECV, 1, 0, [0; 4], 2));
            self.settler.settle();
            self.send(SEND, self.endpoint, &[note]);
            returned(self.sender.end_of_syscall());
            // Its handler capability has no badge.
            let ended = puppet.faults.recv(puppet.reply);
            assert_eq!(ended.label(), 3);
            MessageInfo(puppet.registers().x1).extra_caps()
        };
        assert_eq!(receive(3, 5, 4), 1);
        let place = SlotPath::new(inner, 5, 4);
        assert_eq!(kind_at(system, place), cap_type::NOTIFICATION);
        rows(&["transfer.slot.full", "transfer.slot.failure"]);
        assert_eq!(receive(3, 5, 4), 0, "it is full");
        place.delete().expect("to delete");
        rows(&["transfer.slot.depth", "message.buffer.receive-depth"]);
        for (depth, arrives) in [
            (0, 0),
            (3, 0),
            (4, 1),
            (5, 0),
            (64, 0),
            (65, 0),
            (u64::MAX, 0),
        ] {
            assert_eq!(receive(3, 5, depth), arrives, "{depth} bits");
            place.delete().expect("to delete");
        }
        // Nothing, an endpoint, the reply object (the root CNode, for the test), and what does not resolve.
        rows(&["transfer.slot.cspace", "transfer.slot.failure"]);
        assert_eq!(init::CNODE.bits(), 2);
        for root in [0, 1, 2, 4, 16, 1 << 12, u64::MAX] {
            assert_eq!(receive(root, 5, 4), 0, "CNode {root}");
        }
    }

    fn faults(&self, system: &mut System) {
        row("transfer.fault");
        let note = system.notification().expect("a notification").bits();
        let puppet = Puppet::new(system, system.cores() - 1, 100);
        for place in 0..3 {
            puppet.buffer().write(buffer_cap(place), note);
        }
        let odd = MessageInfo::new(5, 7, 3, 9).0;
        for (number, label) in [(SEND, 1), (RECV, 1), (-1000, 2), (COMBINED[0], 3)] {
            ipc_buffer::set_receive_slot(self.slot);
            (0..3).for_each(|place| ipc_buffer::set_cap(place, 99));
            let mut before = call_registers(number, 1 << 12, odd, [0; 4], self.reply.bits());
            if label == 3 {
                // It comes back, and meets the undefined instruction.
                self.source.signal();
                before.x0 = self.source.bits();
            }
            puppet.begin_syscall(&UserContext { x8: 0, ..before });
            let fault = puppet.fault();
            assert_eq!(fault.label(), label);
            let info = fault.message.info();
            assert_eq!((info.extra_caps(), info.caps_unwrapped()), (0, 0));
            assert_eq!(kind(self.slot), cap_type::NULL);
            assert!((0..3).all(|place| ipc_buffer::badge(place) == 99));
        }
    }
}
