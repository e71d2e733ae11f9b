//! Messages with bad buffers on either side, bad places for what is to be received, and capabilities that cannot be sent: the
//! message arrives as far as it can, and nothing else happens.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;

use libsel4::abi::{MessageInfo, UserContext};
use libsel4::{
    BootInfo, Cap, Endpoint, Message, Null, Reply, SlotPath, System, debug, ipc_buffer, root_task,
};
use tern_target_tests::bad::{Bench, Buffer, Kind, LOOKUP_FAILURE, Space, UNRESOLVABLE};
use tern_target_tests::objects::{
    Answer, BUFFER_RECEIVE, Ended, Puppet, buffer_cap, buffer_word, call_registers, info,
};
use tern_target_tests::rows::row;

root_task!(main);

const SEND: i64 = -5;
const RECV: i64 = -7;
const LABEL: u64 = 0xf_1234_5678_9abc;
const BUFFERS: [Buffer; 4] = [
    Buffer::None,
    Buffer::NoRights,
    Buffer::ReadOnly,
    Buffer::Unmapped,
];
/// What is in a register or in a buffer that nothing arrived in.
const OLD: u64 = 0x01d0_01d0;

fn word(index: usize) -> u64 {
    0x1000_0000_0000_0000 + index as u64
}

fn returned(ended: Ended) -> UserContext {
    match ended {
        Ended::Returned(after) => after,
        Ended::Faulted(fault) => panic!("a fault: {fault:x?}"),
    }
}

struct Test {
    bench: Bench,
    space: Space,
    endpoint: Cap<Endpoint>,
    reply: Cap<Reply>,
    /// Where the test receives capabilities.
    slot: SlotPath,
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let bench = Bench::new(&mut system);
    let test = Test {
        space: Space::new(&mut system, &bench.zoo),
        bench,
        endpoint: system.endpoint().expect("an endpoint"),
        reply: system.reply().expect("a reply object"),
        slot: system.slot().expect("a slot"),
    };
    let identities = test.bench.zoo.identities();
    let space = test.space.identities();
    row("bad.message.send-buffer");
    test.send_buffers();
    row("bad.message.receive-buffer");
    test.receive_buffers();
    row("bad.message.caps");
    test.caps();
    row("bad.message.unresolvable-caps");
    test.unresolvable_caps();
    row("bad.message.receive-root");
    test.receive_roots();
    row("bad.message.receive-slot");
    test.receive_slots();
    assert_eq!(test.bench.zoo.identities(), identities);
    assert_eq!(test.space.identities(), space);
}

impl Test {
    /// The thread sends; how many words and capabilities arrive.
    fn send(&self, length: u64, caps: u64) -> (usize, usize) {
        let puppet = &self.bench.puppet;
        let words = core::array::from_fn(word);
        let registers = call_registers(
            SEND,
            self.endpoint.bits(),
            info(LABEL, caps, length),
            words,
            0,
        );
        puppet.begin_syscall(&registers);
        (0..120).for_each(|index| ipc_buffer::set_word(index, OLD));
        let message = self.endpoint.recv(self.reply).message;
        assert_eq!(message.label(), LABEL);
        for index in 0..message.length() {
            assert_eq!(message.get(index), word(index), "word {index} of {length}");
        }
        for index in message.length().max(4)..120 {
            assert_eq!(ipc_buffer::word(index), OLD, "word {index} of {length}");
        }
        assert_eq!(returned(puppet.end_of_syscall()), {
            UserContext {
                pc: Puppet::trap_address() + 4,
                spsr: 0x40,
                ..registers
            }
        });
        (message.length(), message.extra_caps())
    }

    fn send_buffers(&self) {
        let window = self.bench.puppet.buffer();
        for buffer in BUFFERS {
            let offset = self.bench.set_buffer(buffer);
            for index in 0..120 {
                window.write(offset + buffer_word(index), word(index));
            }
            for place in 0..3 {
                let cap = self.bench.zoo.of(Kind::Null);
                window.write(offset + buffer_cap(place), cap);
            }
            let most = match buffer {
                Buffer::None | Buffer::NoRights => 4,
                Buffer::ReadOnly | Buffer::Unmapped => 120,
            };
            for length in 0..128 {
                for caps in 0..4 {
                    let arrived = self.send(length, caps);
                    assert_eq!(arrived, (most.min(length as usize), 0), "{buffer:?}");
                }
            }
        }
        self.bench.puppet.restore_buffer();
    }

    /// The thread receives so many words and a capability: its registers after that.
    fn receive(&self, length: usize) -> UserContext {
        let puppet = &self.bench.puppet;
        let registers = call_registers(RECV, self.endpoint.bits(), 0, [OLD; 4], self.reply.bits());
        puppet.begin_syscall(&registers);
        // Only now: starting the thread takes the test's buffer.
        let words: Vec<u64> = (0..length).map(word).collect();
        let message = Message::new(LABEL).words(&words);
        self.endpoint.send(message.cap(self.notification()));
        let after = returned(puppet.end_of_syscall());
        assert_eq!((after.x0, after.x1 >> 12), (0, LABEL));
        after
    }

    fn receive_buffers(&self) {
        let window = self.bench.puppet.buffer();
        for buffer in BUFFERS {
            let offset = self.bench.set_buffer(buffer);
            // A good place to receive, so that only the buffer is bad.
            self.set_receive(offset, self.space.root.bits(), GOOD_SLOT);
            let writable = buffer == Buffer::Unmapped;
            for length in (0..=120).step_by(4) {
                (0..120).for_each(|index| window.write(offset + buffer_word(index), OLD));
                let after = self.receive(length);
                let arrived = if writable { length } else { length.min(4) };
                let expected = info(LABEL, u64::from(writable), arrived as u64);
                assert_eq!(after.x1, expected, "{buffer:?}, {length} words");
                for (index, seen) in [after.x2, after.x3, after.x4, after.x5].iter().enumerate() {
                    let new = if index < arrived { word(index) } else { OLD };
                    assert_eq!(*seen, new, "register {index}");
                }
                for index in 0..120 {
                    let new = if (4..arrived).contains(&index) {
                        word(index)
                    } else {
                        OLD
                    };
                    let seen = window.read(offset + buffer_word(index));
                    assert_eq!(seen, new, "word {index}, {buffer:?}, {length} words");
                }
                if writable {
                    self.space.clear(GOOD_SLOT[0], GOOD_SLOT[1]);
                }
            }
        }
        self.bench.puppet.restore_buffer();
    }

    fn notification(&self) -> Cap<Null> {
        Cap::from_bits(self.bench.zoo.of(Kind::Notification))
    }

    /// Says where the thread receives a capability.
    fn set_receive(&self, offset: usize, root: u64, [index, depth]: [u64; 2]) {
        let window = self.bench.puppet.buffer();
        for (place, value) in [root, index, depth].into_iter().enumerate() {
            window.write(offset + BUFFER_RECEIVE + place * 8, value);
        }
    }

    /// A capability of each kind: those that cannot be copied end the transfer.
    fn caps(&self) {
        let window = self.bench.puppet.buffer();
        for (kind, cap) in self.bench.zoo.all() {
            window.write(buffer_cap(0), cap);
            ipc_buffer::set_receive_slot(self.slot);
            let copied =
                !matches!(kind, Kind::Null | Kind::IrqControl) && kind.not_derived().is_none();
            assert_eq!(self.send(2, 1), (2, usize::from(copied)), "{kind:?}");
            let arrived = debug::cap_identify(Cap::<Null>::from_bits(self.slot.index));
            let sent = debug::cap_identify(Cap::<Null>::from_bits(cap));
            assert_eq!(arrived, if copied { sent } else { 0 }, "{kind:?}");
            self.slot.delete().expect("to delete");
        }
    }

    /// Addresses that lead nowhere are a fault before anything is sent.
    fn unresolvable_caps(&self) {
        let puppet = &self.bench.puppet;
        for place in 0..3 {
            for other in 0..3 {
                puppet
                    .buffer()
                    .write(buffer_cap(other), self.notification().bits());
            }
            puppet.buffer().write(buffer_cap(place), UNRESOLVABLE);
            let with = |caps| {
                let info = info(LABEL, caps, 2);
                call_registers(SEND, self.endpoint.bits(), info, [0; 4], 0)
            };
            for caps in place as u64 + 1..4 {
                let mut words: Vec<u64> = [Puppet::trap_address(), UNRESOLVABLE, 0].into();
                words.extend(LOOKUP_FAILURE);
                let fault = Ended::Faulted(Answer::new(1, &words));
                assert_eq!(puppet.syscall(&with(caps)), fault, "{place} of {caps}");
            }
        }
        let nothing = self.endpoint.nb_recv(self.reply);
        assert_eq!(nothing.badge, 0);
    }

    /// What arrives at the thread, of a message of one word and a capability.
    fn received(&self) -> u64 {
        let after = self.receive(1);
        let info = MessageInfo(after.x1);
        assert_eq!((info.length(), after.x2), (1, word(0)));
        info.extra_caps() as u64
    }

    /// The place to receive is looked up in all kinds of things, and where there is nothing.
    fn receive_roots(&self) {
        let zoo = self.bench.zoo.all();
        let wrong = zoo.filter(|(kind, _)| *kind != Kind::CNode);
        let addresses = wrong.map(|(_, cap)| cap);
        for root in addresses.chain([UNRESOLVABLE, 1 << 63, u64::MAX]) {
            self.set_receive(0, root, GOOD_SLOT);
            let before = self.space.occupied();
            assert_eq!(self.received(), 0, "root {root:#x}");
            assert_eq!(self.space.occupied(), before, "root {root:#x}");
        }
    }

    /// Every way to name a slot wrongly, and some to name it rightly.
    fn receive_slots(&self) {
        let before = self.space.occupied();
        let around = |bit: u32| [(1u64 << bit) - 1, 1 << bit, (1 << bit) + 1];
        let values: Vec<u64> = (0..64).flat_map(around).chain(0..66).collect();
        let by_index = values.iter().map(|&index| [index, GOOD_SLOT[1]]);
        let by_depth = values.iter().map(|&depth| [GOOD_SLOT[0], depth]);
        // The guard fits, however deep.
        let guarded = (3..=64).map(|depth| [5 << (depth - 3), depth]);
        for place in by_index.chain(by_depth).chain(guarded) {
            self.set_receive(0, self.space.root.bits(), place);
            let free = self.space.model.find_empty(place[0], place[1]).is_ok();
            assert_eq!(self.received(), u64::from(free), "{place:x?}");
            if free {
                self.space.clear(place[0], place[1]);
            }
            assert_eq!(self.space.occupied(), before, "{place:x?}");
        }
    }
}

const GOOD_SLOT: [u64; 2] = [Space::index(Space::EMPTY), Space::DEPTH];
