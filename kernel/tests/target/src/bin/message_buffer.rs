//! What the kernel reads and writes in IPC buffers, which frames can be one, and how much arrives where there is none.
//! (Words and lengths of messages between threads: `msg_words`.)

#![no_std]
#![no_main]

use libsel4::abi::{Invocation, UserContext};
use libsel4::{
    BootInfo, CNodeCapData, Cap, CapRights, Endpoint, Error, Reply, SmallPage, System, init,
    root_task,
};
use tern_target_tests::calls::{CALL, RECV, SEND, returned, words};
use tern_target_tests::objects::{
    Answer, BUFFER_RECEIVE, PUPPET_BADGE, Puppet, Settler, buffer_cap, buffer_word, call_registers,
    info, invoke,
};
use tern_target_tests::rows::{row, rows};

root_task!(main);

const USER_DATA: usize = 968;
const SENTINEL: u64 = 0x5e57_1e15_0000_0000;

struct Bench {
    sender: Puppet,
    receiver: Puppet,
    endpoint: Cap<Endpoint>,
    reply: Cap<Reply>,
    settler: Settler,
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let bench = Bench {
        sender: Puppet::new(&mut system, boot.cores() - 1, 100),
        receiver: Puppet::new(&mut system, 0, 90),
        endpoint: system.endpoint().expect("an endpoint"),
        reply: system.reply().expect("a reply object"),
        settler: Settler::new(&mut system),
    };
    bench.every_word(&mut system);
    bench.which_frames(&mut system);
    bench.fault_messages(&mut system);
    bench.errors(&mut system);
}

impl Bench {
    /// A message with everything: each word of the receiver's buffer is what it should be, and none of the sender's has
    /// changed.
    fn every_word(&self, system: &mut System) {
        rows(&[
            "message.buffer.tag",
            "message.buffer.words",
            "message.buffer.first-four",
            "message.buffer.user-data",
            "message.buffer.caps",
            "message.buffer.receive-slot",
        ]);
        let (from, to) = (self.sender.buffer(), self.receiver.buffer());
        let note = system.notification().expect("a notification").bits();
        let slot = system.slot().expect("a slot");
        let badged = system
            .mint(self.endpoint, CapRights::all(), 0xb1)
            .expect("a badge")
            .bits();
        for index in 0..128 {
            from.write(index * 8, SENTINEL + index as u64);
            to.write(index * 8, 2 * SENTINEL + index as u64);
        }
        for (place, cap) in [note, badged, badged].into_iter().enumerate() {
            from.write(buffer_cap(place), cap);
        }
        let receive = [init::CNODE.bits(), slot.index, 64];
        for (place, word) in receive.into_iter().enumerate() {
            to.write(BUFFER_RECEIVE + place * 8, word);
        }
        let before: [u64; 128] = core::array::from_fn(|index| from.read(index * 8));
        let wait = call_registers(RECV, self.endpoint.bits(), 0, [0; 4], self.reply.bits());
        self.receiver.begin_syscall(&wait);
        self.settler.settle();
        let registers = [81, 82, 83, 84];
        let send = call_registers(SEND, self.endpoint.bits(), info(9, 3, 120), registers, 0);
        returned(self.sender.syscall(&send));
        let after = returned(self.receiver.end_of_syscall());
        assert_eq!(after.x1, info(9, 3, 120) | 0b110 << 9);
        assert_eq!(words(&after), registers);
        for (index, word) in before.into_iter().enumerate() {
            assert_eq!(from.read(index * 8), word, "word {index} of the sender");
            let offset = index * 8;
            let expected = if (buffer_word(4)..=buffer_word(119)).contains(&offset) {
                word
            } else if offset == buffer_cap(1) || offset == buffer_cap(2) {
                0xb1
            } else if offset >= BUFFER_RECEIVE {
                receive[(offset - BUFFER_RECEIVE) / 8]
            } else {
                2 * SENTINEL + index as u64
            };
            assert_eq!(to.read(offset), expected, "word {index} of the receiver");
        }
        assert_eq!(
            (buffer_word(0), buffer_word(4), buffer_word(119)),
            (8, 40, 960)
        );
        assert_eq!(
            (USER_DATA, buffer_cap(0)),
            (buffer_word(120), USER_DATA + 8)
        );
        slot.delete().expect("it arrived");
    }

    /// Sends five words: how many arrive.
    fn send_five(&self) -> u64 {
        let send = call_registers(SEND, self.endpoint.bits(), info(9, 0, 5), [1; 4], 0);
        self.sender.begin_syscall(&send);
        let received = self.endpoint.recv(self.reply);
        returned(self.sender.end_of_syscall());
        received.message.length() as u64
    }

    fn which_frames(&self, system: &mut System) {
        let tcb = self.sender.tcb;
        let vaddr = self.sender.buffer().start() as u64;
        let frame = self.sender.buffer_frame();
        row("message.buffer.device");
        let device = system
            .device_frame::<SmallPage>(0x900_0000)
            .expect("the serial port");
        assert_eq!(
            tcb.set_ipc_buffer(vaddr, Some(device)),
            Err(Error::IllegalOperation)
        );
        assert_eq!(self.send_five(), 5, "the old one is still there");
        row("message.buffer.alignment");
        for offset in [1, 8, 512, 1023, 1025] {
            assert_eq!(
                tcb.set_ipc_buffer(vaddr + offset, Some(frame)),
                Err(Error::AlignmentError),
                "{offset}"
            );
        }
        tcb.set_ipc_buffer(vaddr + 1024, Some(frame))
            .expect("a multiple of 1024");
        assert_eq!(self.send_five(), 5);
        rows(&["message.buffer.none", "message.truncate.sender"]);
        for frame in [Some(frame), None] {
            tcb.set_ipc_buffer(0, frame).expect("no buffer");
            assert_eq!(self.send_five(), 4);
        }
        tcb.configure(init::CNODE, 0, init::VSPACE, vaddr, Some(frame))
            .expect("a buffer");
        assert_eq!(self.send_five(), 5);
        tcb.configure(init::CNODE, 0, init::VSPACE, 0, Some(frame))
            .expect("no buffer");
        assert_eq!(self.send_five(), 4);
        self.sender.restore_buffer();
        assert_eq!(self.send_five(), 5);
        // What counts is the buffer that a waiting sender has when the message goes.
        let send = call_registers(SEND, self.endpoint.bits(), info(9, 0, 5), [1; 4], 0);
        self.sender.begin_syscall(&send);
        self.settler.settle();
        self.sender.remove_buffer();
        assert_eq!(self.endpoint.wait().message.length(), 4);
        returned(self.sender.end_of_syscall());
        self.sender.restore_buffer();
    }

    /// The receiver gets a fault of the sender: what is in its x0, x1 and x2 to x5.
    fn handle(&self, registers: &UserContext) -> UserContext {
        let faults = self.sender.faults.bits();
        let wait = call_registers(RECV, faults, 0, [91, 92, 93, 94], self.reply.bits());
        self.receiver.begin_syscall(&wait);
        self.settler.settle();
        self.sender.begin_syscall(registers);
        returned(self.receiver.end_of_syscall())
    }

    fn fault_messages(&self, system: &mut System) {
        let unknown = call_registers(-1000, 1, 2, [3, 4, 5, 6], 7);
        let cap = call_registers(SEND, 1 << 12, 0, [0; 4], 0);
        let trap = Puppet::trap_address();
        let buffer = self.receiver.buffer();
        let vaddr = buffer.start() as u64;
        let frame = self.receiver.buffer_frame();
        let read_only = system.copy(frame, CapRights::READ).expect("a copy");
        let none = system.copy(frame, CapRights::empty()).expect("a copy");
        let check = |length: u64, more: bool| {
            buffer.fill(SENTINEL);
            let after = self.handle(&unknown);
            assert_eq!((after.x0, after.x1), (PUPPET_BADGE, info(2, 0, length)));
            assert_eq!(words(&after), [1, 2, 3, 4]);
            for index in 0..120 {
                let expected = match index {
                    4..8 if more => [5, 6, 7, -1000_i64 as u64][index - 4],
                    8 if more => trap,
                    // The stack pointer, and the flags.
                    9 if more => 0,
                    11 if more => 0x40,
                    10 if more => trap + 4,
                    12 if more => -1000_i64 as u64,
                    _ => SENTINEL,
                };
                assert_eq!(buffer.read(buffer_word(index)), expected, "word {index}");
            }
            let after = self.handle(&cap);
            let length = if more { 7 } else { 4 };
            assert_eq!((after.x0, after.x1), (PUPPET_BADGE, info(1, 0, length)));
            assert_eq!(words(&after), [trap, 1 << 12, 0, 4]);
        };
        rows(&["syscall.result.fault", "syscall.unknown.fault"]);
        check(13, true);
        row("message.truncate.fault");
        for frame in [Some(read_only), Some(none), None] {
            let set = self.receiver.tcb.set_ipc_buffer(vaddr, frame);
            if frame.is_none() {
                self.receiver.remove_buffer();
            } else {
                set.expect("a buffer");
            }
            check(4, false);
        }
        self.receiver.restore_buffer();
        row("syscall.result.fault");
        // Two words of the fault leave the other registers alone. (A user exception has five, all of them there.)
        self.settler.settle();
        let after = self.handle(&call_registers(-11, 1, 2, [3; 4], 6));
        assert_eq!((after.x0, after.x1), (PUPPET_BADGE, info(3, 0, 5)));
        assert_eq!(after.x2, trap + 4);
    }

    /// An error of five words: a guard that does not match.
    fn errors(&self, system: &mut System) {
        let node = system.cnode(4).expect("a CNode");
        let guarded = system
            .mint(node, CapRights::all(), CNodeCapData::new(0xc, 4).0)
            .expect("a guard");
        let delete = Invocation::CNodeDelete;
        let expected = [0, 4, 8, 0xc, 4];
        let whole = invoke(guarded.bits(), delete, &[], &[0xd0, 8]);
        assert_eq!(whole, Answer::new(6, &expected));
        let ask = || {
            let info = info(delete.label(), 0, 2);
            let before = call_registers(CALL, guarded.bits(), info, [0xd0, 8, 93, 94], 0);
            let after = returned(self.sender.syscall(&before));
            assert_eq!((after.x0, words(&after)), (0, [0, 4, 8, 0xc]));
            assert_eq!(after.x1 >> 12, 6);
            after.x1 & 0xfff
        };
        row("syscall.result.object-error");
        self.sender.buffer().fill(0);
        assert_eq!(ask(), 5);
        assert_eq!(self.sender.buffer().read(buffer_word(4)), 4);
        row("message.truncate.error");
        let read_only = system
            .copy(self.sender.buffer_frame(), CapRights::READ)
            .expect("a copy");
        let vaddr = self.sender.buffer().start() as u64;
        self.sender.buffer().fill(SENTINEL);
        let tcb = self.sender.tcb;
        tcb.set_ipc_buffer(vaddr, Some(read_only))
            .expect("a buffer");
        assert_eq!(ask(), 4);
        self.sender.remove_buffer();
        assert_eq!(ask(), 4);
        assert!(self.sender.buffer().is_all(SENTINEL));
        self.sender.restore_buffer();
    }
}
