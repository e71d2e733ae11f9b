//! Capabilities in messages: which arrive, which are unwrapped to badges, where they go, and what stops them.

#![no_std]
#![no_main]

use libsel4::abi::{MessageInfo, cap_type};
use libsel4::{
    BootInfo, Cap, CapRights, Endpoint, Message, PageTable, Reply, SlotPath, SmallPage, System,
    UserContext, VmAttributes, init, ipc_buffer, root_task,
};
use tern_target_tests::objects::{
    Answer, BUFFER_RECEIVE, Ended, Puppet, Settler, buffer_cap, call_registers, info, kind, object,
};
use tern_target_tests::rows::{row, rows};

root_task!(main);

const SENTINEL: u64 = 0x5e57_1e15;

/// What the test, as the receiver, sees: extraCaps, capsUnwrapped and the three badge places.
#[derive(Debug, PartialEq, Eq)]
struct Seen(u64, u64, [u64; 3]);

struct Bench {
    puppet: Puppet,
    endpoint: Cap<Endpoint>,
    reply: Cap<Reply>,
    slot: SlotPath,
}

impl Bench {
    fn offer(&self, caps: &[u64]) {
        for (place, &cap) in caps.iter().enumerate() {
            self.puppet.buffer().write(buffer_cap(place), cap);
        }
    }

    /// The puppet sends capabilities through one; the test receives.
    fn transfer(&self, through: Cap<Endpoint>, caps: &[u64]) -> Seen {
        self.offer(caps);
        let info = info(77, caps.len() as u64, 2);
        self.puppet
            .begin_syscall(&call_registers(-5, through.bits(), info, [1, 2, 3, 4], 0));
        let seen = self.receive();
        assert!(matches!(self.puppet.end_of_syscall(), Ended::Returned(_)));
        seen
    }

    fn receive(&self) -> Seen {
        for place in 0..3 {
            ipc_buffer::set_cap(place, SENTINEL + place as u64);
        }
        ipc_buffer::set_receive_slot(self.slot);
        let received = self.endpoint.recv(self.reply);
        assert_eq!((received.label(), received.message.length()), (77, 2));
        assert_eq!((received.get(0), received.get(1)), (1, 2));
        seen(&received.message)
    }

    /// Empties the receive slot and says what was in it.
    fn take(&self) -> u64 {
        let found = kind(self.slot);
        self.slot.delete().expect("to delete");
        found
    }
}

fn seen(message: &Message) -> Seen {
    let info: MessageInfo = message.info();
    let badges = core::array::from_fn(ipc_buffer::badge);
    Seen(info.extra_caps() as u64, info.caps_unwrapped(), badges)
}

const S: [u64; 3] = [SENTINEL, SENTINEL + 1, SENTINEL + 2];

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let bench = Bench {
        puppet: Puppet::new(&mut system, boot.cores() - 1, 100),
        endpoint: system.endpoint().expect("an endpoint"),
        reply: system.reply().expect("a reply object"),
        slot: system.slot().expect("a slot"),
    };
    unwrapping(&mut system, &bench);
    stopping(&mut system, &bench);
    receive_slots(&mut system, &bench);
    what_arrives(&mut system, &bench);
    while_queued(&mut system, &bench);
    to_a_receiver_without_buffer(&mut system, &bench);
    replies(&mut system, &bench);
}

fn unwrapping(system: &mut System, bench: &Bench) {
    let endpoint = bench.endpoint;
    let mut mint = |badge| {
        system
            .mint(endpoint, CapRights::all(), badge)
            .expect("a badge")
            .bits()
    };
    let (one, two) = (mint(0xb1), mint(0xb2));
    let note = system.notification().expect("a notification").bits();
    let other = system.endpoint().expect("an endpoint").bits();
    let plain = endpoint.bits();

    rows(&[
        "transfer.unwrap",
        "transfer.unwrap.badge-place",
        "transfer.unwrap.unbadged",
        "transfer.unwrap.no-slot",
        "transfer.count",
        "transfer.words-alone",
    ]);
    assert_eq!(bench.transfer(endpoint, &[]), Seen(0, 0, S));
    let three = bench.transfer(endpoint, &[one, note, two]);
    assert_eq!(three, Seen(3, 0b101, [0xb1, S[1], 0xb2]));
    assert_eq!(bench.take(), cap_type::NOTIFICATION);
    assert_eq!(
        bench.transfer(endpoint, &[one, two, plain]),
        Seen(3, 0b111, [0xb1, 0xb2, 0])
    );
    assert_eq!(bench.take(), cap_type::NULL);
    rows(&["transfer.one", "transfer.count"]);
    // Another endpoint is a capability like others, and only one of those arrives.
    assert_eq!(
        bench.transfer(endpoint, &[other, one, note]),
        Seen(2, 0b10, [S[0], 0xb1, S[2]])
    );
    assert_eq!(bench.take(), cap_type::ENDPOINT);
    assert_eq!(bench.transfer(endpoint, &[note, other, one]), Seen(1, 0, S));
    assert_eq!(bench.take(), cap_type::NOTIFICATION);
    rows(&["transfer.slot.full", "transfer.unwrap.no-slot"]);
    // A full slot takes none, but unwrapping goes on until one is needed.
    bench
        .slot
        .copy_from(&init::TCB.slot(), CapRights::all())
        .expect("a copy");
    assert_eq!(
        bench.transfer(endpoint, &[one, two, note]),
        Seen(2, 0b11, [0xb1, 0xb2, S[2]])
    );
    assert_eq!(bench.transfer(endpoint, &[note, one]), Seen(0, 0, S));
    assert_eq!(bench.take(), cap_type::THREAD, "it was not replaced");

    row("ipc.rights.grant");
    // Without the right to grant, the message goes through alone.
    for rights in [
        CapRights::WRITE,
        CapRights::all().difference(CapRights::GRANT),
    ] {
        let weak = system.copy(endpoint, rights).expect("a copy");
        assert_eq!(
            bench.transfer(weak, &[one, note, two]),
            Seen(0, 0, S),
            "{rights:?}"
        );
        assert_eq!(bench.take(), cap_type::NULL);
    }
    // Without a buffer too.
    rows(&["transfer.no-sender-buffer", "message.truncate.caps"]);
    bench.puppet.remove_buffer();
    assert_eq!(bench.transfer(endpoint, &[one, note]), Seen(0, 0, S));
    bench.puppet.restore_buffer();
}

/// Empty slots and what cannot be derived end the transfer.
fn stopping(system: &mut System, bench: &Bench) {
    let endpoint = bench.endpoint;
    let one = system
        .mint(endpoint, CapRights::all(), 1)
        .expect("a badge")
        .bits();
    let note = system.notification().expect("a notification").bits();
    let table = object::<PageTable>(system).bits();
    let empty = system.slot().expect("a slot").index;
    let parent = system.untyped(13).expect("memory");
    let child = system.slot().expect("a slot");
    parent
        .retype_into(libsel4::ObjectType::Untyped, 12, init::CNODE, child.index)
        .expect("a child");
    rows(&[
        "transfer.stop.empty",
        "transfer.stop.underivable",
        "transfer.count",
    ]);
    for bad in [empty, 0, table, init::IRQ_CONTROL.bits(), parent.bits()] {
        assert_eq!(
            bench.transfer(endpoint, &[bad, note, one]),
            Seen(0, 0, S),
            "{bad}"
        );
        assert_eq!(
            bench.transfer(endpoint, &[one, bad, note]),
            Seen(1, 1, [1, S[1], S[2]]),
            "{bad}"
        );
        assert_eq!(
            bench.transfer(endpoint, &[one, one, bad]),
            Seen(2, 3, [1, 1, S[2]]),
            "{bad}"
        );
        assert_eq!(bench.take(), cap_type::NULL);
    }
    assert_eq!(kind(init::IRQ_CONTROL.slot()), cap_type::IRQ_CONTROL);
}

fn receive_slots(system: &mut System, bench: &Bench) {
    let node = system.cnode(4).expect("a CNode");
    let note = system.notification().expect("a notification").bits();
    let mut try_slot = |slot: SlotPath, arrives: bool| {
        let bench = Bench {
            puppet: Puppet::new(system, 0, 100),
            slot,
            ..*bench
        };
        assert_eq!(
            bench.transfer(bench.endpoint, &[note]),
            Seen(u64::from(arrives), 0, S)
        );
        // A failed look-up in the buffer is no fault, and nothing else than no slot.
        if arrives {
            slot.delete().expect("to delete");
        }
    };
    rows(&[
        "transfer.slot.depth",
        "transfer.slot.failure",
        "message.buffer.receive-depth",
    ]);
    try_slot(SlotPath::new(node, 3, 4), true);
    try_slot(SlotPath::new(init::CNODE, bench.slot.index, 64), true);
    for (root, index, depth) in [
        (node, 3, 0),
        (node, 3, 65),
        (node, 3, 3),
        (node, 3, 5),
        (init::CNODE, bench.slot.index, 63),
        (init::TCB.cast(), 3, 4),
        (Cap::from_bits(0), 3, 4),
        (Cap::from_bits(1 << 12), 3, 4),
    ] {
        try_slot(SlotPath::new(root, index, depth), false);
    }
}

fn what_arrives(system: &mut System, bench: &Bench) {
    row("transfer.frame");
    // A frame arrives unmapped, with the rights that the sender's capability has.
    let frame = object::<SmallPage>(system);
    let vaddr = system
        .map(frame, CapRights::all(), VmAttributes::default())
        .expect("to map");
    assert_eq!(
        bench.transfer(bench.endpoint, &[frame.bits()]),
        Seen(1, 0, S)
    );
    let arrived = Cap::<SmallPage>::from_bits(bench.slot.index);
    assert_eq!(arrived.get_address(), frame.get_address());
    let unmapped = Err(libsel4::Error::IllegalOperation);
    assert_eq!(
        (arrived.clean_data(0, 8), frame.clean_data(0, 8)),
        (unmapped, Ok(()))
    );
    let second = system.addresses(4096, 4096).expect("addresses").start;
    system
        .map_at(
            init::VSPACE,
            arrived,
            second,
            CapRights::all(),
            VmAttributes::default(),
        )
        .expect("to map");
    // SAFETY: both addresses are mapped, to the same new frame.
    unsafe { (second as *mut u64).write_volatile(0x77) };
    // SAFETY: as before.
    assert_eq!(unsafe { (vaddr as *const u64).read_volatile() }, 0x77);
    bench.slot.delete().expect("to delete");

    row("transfer.derived");
    // It is derived from what was sent: a revoke of that takes it.
    let notification = system.notification().expect("a notification");
    let badged = system
        .mint(notification, CapRights::NO_READ, 6)
        .expect("a badge");
    assert_eq!(
        bench.transfer(bench.endpoint, &[badged.bits()]),
        Seen(1, 0, S)
    );
    libsel4::syscall::signal(bench.slot.index);
    assert_eq!(notification.poll(), 6);
    badged.slot().revoke().expect("to revoke");
    assert_eq!(bench.take(), cap_type::NULL);
}

/// The capabilities of a sender that waits are those that its buffer names when the message goes.
fn while_queued(system: &mut System, bench: &Bench) {
    let settler = Settler::new(system);
    let note = system.notification().expect("a notification").bits();
    let begin = || {
        bench.offer(&[note, note, note]);
        let registers = call_registers(-5, bench.endpoint.bits(), info(77, 1, 2), [1, 2, 0, 0], 0);
        bench.puppet.begin_syscall(&registers);
        settler.settle();
    };
    let end = || assert!(matches!(bench.puppet.end_of_syscall(), Ended::Returned(_)));
    row("transfer.queued.resolved");
    begin();
    bench.offer(&[init::TCB.bits()]);
    assert_eq!(bench.receive(), Seen(1, 0, S));
    assert_eq!(bench.take(), cap_type::THREAD);
    end();
    row("transfer.queued.unresolved");
    begin();
    bench.offer(&[1 << 12]);
    assert_eq!(
        bench.receive(),
        Seen(0, 0, S),
        "it does not resolve, and that is no fault any more"
    );
    end();
}

fn to_a_receiver_without_buffer(system: &mut System, bench: &Bench) {
    let puppet = Puppet::new(system, 0, 100);
    let note = system.notification().expect("a notification");
    let reply = system.reply().expect("a reply object");
    let window = puppet.buffer();
    for (offset, word) in [(0, init::CNODE.bits()), (8, bench.slot.index), (16, 64)] {
        window.write(BUFFER_RECEIVE + offset, word);
    }
    let receive = || {
        let endpoint = bench.endpoint.bits();
        puppet.begin_syscall(&call_registers(-7, endpoint, 0, [0; 4], reply.bits()));
        bench.endpoint.send(Message::new(5).word(1).cap(note));
        let Ended::Returned(registers) = puppet.end_of_syscall() else {
            panic!("a fault")
        };
        registers.x1
    };
    row("transfer.no-receiver-buffer");
    assert_eq!(receive(), info(5, 1, 1));
    assert_eq!(bench.take(), cap_type::NOTIFICATION);
    puppet.remove_buffer();
    assert_eq!(receive(), info(5, 0, 1));
    assert_eq!(bench.take(), cap_type::NULL);
    puppet.restore_buffer();
    // A frame that it may only read is as good as none for receiving.
    let read_only = system
        .copy(puppet.buffer_frame(), CapRights::READ)
        .expect("a copy");
    let vaddr = window.start() as u64;
    puppet
        .tcb
        .set_ipc_buffer(vaddr, Some(read_only))
        .expect("a buffer");
    assert_eq!(receive(), info(5, 0, 1));
    assert_eq!(bench.take(), cap_type::NULL);
}

/// Receives, and then sends what is in x19 to x22.
#[unsafe(naked)]
extern "C" fn receive_and_send() -> ! {
    core::arch::naked_asm!(
        "svc #0",
        "mov x0, x19",
        "mov x1, x20",
        "mov x7, x22",
        "svc #0",
        "udf #0"
    )
}

fn replies(system: &mut System, bench: &Bench) {
    let server = Puppet::new(system, 0, 100);
    let reply = system.reply().expect("a reply object");
    let note = system.notification().expect("a notification").bits();
    let same = system
        .mint(bench.endpoint, CapRights::all(), 9)
        .expect("a badge")
        .bits();
    let call = |through: Cap<Reply>, caps: &[u64]| {
        for (place, &cap) in caps.iter().enumerate() {
            server.buffer().write(buffer_cap(place), cap);
        }
        server.start(&UserContext {
            pc: receive_and_send as *const () as u64,
            x0: bench.endpoint.bits(),
            x6: reply.bits(),
            x7: -7_i64 as u64,
            x19: through.bits(),
            x20: info(3, caps.len() as u64, 1),
            x22: -5_i64 as u64,
            ..UserContext::default()
        });
        for place in 0..3 {
            ipc_buffer::set_cap(place, SENTINEL + place as u64);
        }
        ipc_buffer::set_receive_slot(bench.slot);
        let answer = bench.endpoint.call(Message::new(4));
        assert_eq!((answer.label(), answer.length()), (3, 1));
        let seen = seen(&answer);
        assert_eq!(Answer::of(&server.fault().message).label, 3);
        seen
    };
    rows(&["ipc.rights.reply", "ipc.rights.reply-new"]);
    assert_eq!(call(reply, &[note]), Seen(1, 0, S));
    assert_eq!(bench.take(), cap_type::NOTIFICATION);
    row("transfer.unwrap.not-in-reply");
    // A reply travels through no endpoint: nothing is unwrapped.
    assert_eq!(call(reply, &[same, note]), Seen(1, 0, S));
    assert_eq!(bench.take(), cap_type::ENDPOINT);
    row("ipc.rights.reply-masked");
    let weak = system
        .copy(reply, CapRights::NO_WRITE.difference(CapRights::GRANT))
        .expect("a copy");
    assert_eq!(call(weak, &[note]), Seen(0, 0, S));
    assert_eq!(bench.take(), cap_type::NULL);
    let granting = system.copy(reply, CapRights::GRANT).expect("a copy");
    assert_eq!(call(granting, &[note]), Seen(1, 0, S));
    assert_eq!(bench.take(), cap_type::NOTIFICATION);
}
