//! What each of the sixteen combinations of rights allows: on endpoints, as fault handlers, and on notifications.

#![no_std]
#![no_main]

use libsel4::abi::MessageInfo;
use libsel4::{
    BootInfo, Cap, CapRights, Endpoint, Error, Message, Notification, Reply, System, Tcb, init,
    root_task,
};
use tern_target_tests::calls::{
    CALL, NB_RECV, NB_SEND, NB_WAIT, RECV, SEND, WAIT, receive, returned,
};
use tern_target_tests::objects::{
    BUFFER_RECEIVE, Ended, Puppet, Settler, buffer_cap, call_registers, info, object,
};
use tern_target_tests::rows::{row, rows};

root_task!(main);

const BADGE: u64 = 0x40;

struct Bench {
    puppet: Puppet,
    peer: Puppet,
    endpoint: Cap<Endpoint>,
    notification: Cap<Notification>,
    /// With the badge.
    signal: Cap<Notification>,
    reply: Cap<Reply>,
    settler: Settler,
    /// Nothing else is done with it.
    thread: Cap<Tcb>,
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let notification = system.notification().expect("a notification");
    let bench = Bench {
        puppet: Puppet::new(&mut system, boot.cores() - 1, 100),
        peer: Puppet::new(&mut system, 0, 90),
        endpoint: system.endpoint().expect("an endpoint"),
        notification,
        signal: system
            .mint(notification, CapRights::WRITE, BADGE)
            .expect("a badge"),
        reply: system.reply().expect("a reply object"),
        settler: Settler::new(&mut system),
        thread: object(&mut system),
    };
    // What arrives goes to a slot, and is deleted there.
    let slot = system.slot().expect("a slot");
    for (offset, word) in [(0, init::CNODE.bits()), (8, slot.index), (16, 64)] {
        bench.peer.buffer().write(BUFFER_RECEIVE + offset, word);
    }
    let sent = bench.notification.bits();
    bench.puppet.buffer().write(buffer_cap(0), sent);
    for bits in 0..16 {
        let rights = CapRights::from_bits_truncate(bits);
        let through = system.copy(bench.endpoint, rights).expect("a copy");
        bench.sends(through, rights);
        bench.calls(through, rights);
        slot.delete().expect("to delete");
        bench.receives(through, rights);
        bench.handles(through, rights);
        let through = system
            .mint(bench.notification, rights, BADGE)
            .expect("a copy");
        bench.notifies(through, rights);
        // Bits above the four are ignored.
        let words = bits | 0xffff_fff0;
        let again = system.copy(bench.endpoint, CapRights::from_bits_retain(words));
        bench.receives(again.expect("a copy"), rights);
    }
}

impl Bench {
    fn peer_waits(&self) {
        let wait = call_registers(RECV, self.endpoint.bits(), 0, [0; 4], self.reply.bits());
        self.peer.begin_syscall(&wait);
        self.settler.settle();
    }

    /// The peer has received: label, and number of capabilities.
    fn peer_got(&self) -> (u64, usize) {
        let info = MessageInfo(returned(self.peer.end_of_syscall()).x1);
        (info.label(), info.extra_caps())
    }

    fn sends(&self, through: Cap<Endpoint>, rights: CapRights) {
        row("ipc.rights.send");
        for (number, label) in [(SEND, 5), (NB_SEND, 6)] {
            self.peer_waits();
            let send = call_registers(number, through.bits(), info(label, 0, 0), [0; 4], 0);
            returned(self.puppet.syscall(&send));
            self.settler.settle();
            self.endpoint.nb_send(Message::new(99));
            let expected = if rights.contains(CapRights::WRITE) {
                label
            } else {
                99
            };
            assert_eq!(self.peer_got(), (expected, 0), "{rights:?}");
        }
    }

    fn calls(&self, through: Cap<Endpoint>, rights: CapRights) {
        rows(&["ipc.rights.send", "ipc.rights.grant"]);
        self.peer_waits();
        let call = call_registers(CALL, through.bits(), info(7, 1, 0), [0; 4], 0);
        self.puppet.begin_syscall(&call);
        if !rights.contains(CapRights::WRITE) {
            let after = returned(self.puppet.end_of_syscall());
            assert_eq!((after.x1, after.x2), (info(2, 0, 1), 0), "{rights:?}");
            return;
        }
        let caps = usize::from(rights.contains(CapRights::GRANT));
        assert_eq!(self.peer_got(), (7, caps), "{rights:?}");
        self.reply.send(Message::new(8));
        if rights.intersects(CapRights::GRANT | CapRights::GRANT_REPLY) {
            row("ipc.rights.call");
            let after = returned(self.puppet.end_of_syscall());
            assert_eq!(after.x1, info(8, 0, 0), "{rights:?}");
        } else {
            row("ipc.rights.call-none");
            self.settler.settle();
            assert_eq!(self.puppet.faults.poll().badge, 0, "{rights:?}");
        }
    }

    fn receives(&self, from: Cap<Endpoint>, rights: CapRights) {
        row("ipc.rights.receive");
        for number in [RECV, NB_RECV, WAIT, NB_WAIT] {
            let send = call_registers(SEND, self.endpoint.bits(), info(9, 0, 0), [0; 4], 0);
            self.peer.begin_syscall(&send);
            self.settler.settle();
            let ended = self
                .puppet
                .syscall(&receive(number, from.bits(), self.reply.bits()));
            if rights.contains(CapRights::READ) {
                assert_eq!(returned(ended).x1, info(9, 0, 0), "{rights:?}");
            } else {
                assert!(matches!(ended, Ended::Faulted(_)), "{rights:?}");
                assert_eq!(self.endpoint.wait().label(), 9);
            }
            returned(self.peer.end_of_syscall());
        }
    }

    fn handles(&self, handler: Cap<Endpoint>, rights: CapRights) {
        row("ipc.rights.handler");
        let is_enough = rights.contains(CapRights::WRITE)
            && rights.intersects(CapRights::GRANT | CapRights::GRANT_REPLY);
        let expected = |index| match is_enough {
            true => Ok(()),
            false => Err(Error::InvalidCapability { index }),
        };
        let thread = self.thread;
        let space = thread.set_space(Some(handler), init::CNODE, 0, init::VSPACE);
        assert_eq!(space, expected(1), "{rights:?}");
        let timeout = thread.set_timeout_endpoint(Some(handler));
        assert_eq!(timeout, expected(1), "{rights:?}");
        let params = thread.set_sched_params(init::TCB, 0, 10, None, Some(handler));
        assert_eq!(params, expected(3), "{rights:?}");
    }

    fn notifies(&self, through: Cap<Notification>, rights: CapRights) {
        row("ipc.rights.signal");
        through.signal();
        let arrived = if rights.contains(CapRights::WRITE) {
            BADGE
        } else {
            0
        };
        assert_eq!(self.notification.poll(), arrived, "{rights:?}");
        row("ipc.rights.wait");
        let read = rights.contains(CapRights::READ);
        let bound = self.thread.bind_notification(through);
        assert_eq!(bound.is_ok(), read, "{rights:?}");
        if read {
            self.thread.unbind_notification().expect("to unbind");
        }
        for number in [RECV, NB_RECV, WAIT, NB_WAIT] {
            self.signal.signal();
            let wait = receive(number, through.bits(), self.reply.bits());
            let ended = self.puppet.syscall(&wait);
            if read {
                assert_eq!(returned(ended).x0, BADGE, "{rights:?}");
            } else {
                assert!(matches!(ended, Ended::Faulted(_)), "{rights:?}");
                assert_eq!(self.notification.poll(), BADGE);
            }
        }
    }
}
