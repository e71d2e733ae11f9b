//! Helpers of the tests about objects, capabilities, memory and faults.
//!
//! [`invoke`] makes an invocation with exactly the words and capabilities given and returns the whole answer, so that a
//! test can ask for too little and compare every word of an error. A [`Puppet`] is a thread whose every register the
//! test sets, and whose faults the test receives. A [`Window`] is memory of a frame. [`Settler`] lets everything run
//! until nothing more happens; [`Pause`] lets time pass.

extern crate alloc;

use alloc::vec::Vec;
use core::time::Duration;

use libsel4::abi::{Invocation, MessageInfo, UserContext};
use libsel4::system::{Guard, Region};
use libsel4::{
    Budget, Cap, CapRights, Endpoint, FixedObject, Message, Notification, Page, Received, Reply,
    SchedulingContext, SlotPath, SmallPage, System, Tcb, ThreadBuilder, VmAttributes, debug, init,
    ipc_buffer, syscall,
};

/// The whole answer to an invocation: the error code, or 0, and every word.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answer {
    pub label: u64,
    pub words: Vec<u64>,
}

impl Answer {
    pub fn new(label: u64, words: &[u64]) -> Self {
        Self {
            label,
            words: words.to_vec(),
        }
    }

    /// The answer in the running thread's registers and buffer.
    pub fn of(message: &Message) -> Self {
        Self {
            label: message.label(),
            words: (0..message.length()).map(|i| message.get(i)).collect(),
        }
    }
}

/// The errors, with the words that the interface gives them.
pub mod answer {
    use super::Answer;

    pub fn ok() -> Answer {
        Answer::new(0, &[])
    }

    pub fn invalid_argument(index: u64) -> Answer {
        Answer::new(1, &[index])
    }

    pub fn invalid_capability(index: u64) -> Answer {
        Answer::new(2, &[index])
    }

    pub fn illegal_operation() -> Answer {
        Answer::new(3, &[])
    }

    pub fn range(min: u64, max: u64) -> Answer {
        Answer::new(4, &[min, max])
    }

    pub fn alignment() -> Answer {
        Answer::new(5, &[])
    }

    pub fn invalid_root(source: bool) -> Answer {
        Answer::new(6, &[u64::from(source), 1])
    }

    pub fn missing(source: bool, bits_left: u64) -> Answer {
        Answer::new(6, &[u64::from(source), 2, bits_left])
    }

    pub fn depth_mismatch(source: bool, bits_left: u64, bits_found: u64) -> Answer {
        Answer::new(6, &[u64::from(source), 3, bits_left, bits_found])
    }

    pub fn guard_mismatch(source: bool, bits_left: u64, guard: u64, size: u64) -> Answer {
        Answer::new(6, &[u64::from(source), 4, bits_left, guard, size])
    }

    pub fn truncated() -> Answer {
        Answer::new(7, &[])
    }

    pub fn delete_first() -> Answer {
        Answer::new(8, &[])
    }

    pub fn revoke_first() -> Answer {
        Answer::new(9, &[])
    }

    pub fn not_enough_memory(free: u64) -> Answer {
        Answer::new(10, &[free])
    }
}

/// Calls a capability with a label, capabilities and words as they are.
pub fn invoke_label(cap: u64, label: u64, caps: &[u64], words: &[u64]) -> Answer {
    let mut registers = [0; 4];
    for (index, &word) in words.iter().enumerate() {
        match registers.get_mut(index) {
            Some(register) => *register = word,
            None => ipc_buffer::set_word(index, word),
        }
    }
    for (index, &cap) in caps.iter().enumerate() {
        ipc_buffer::set_cap(index, cap);
    }
    let info = MessageInfo::new(label, 0, caps.len() as u64, words.len() as u64);
    Answer::of(&syscall::call(cap, Message::from_parts(info, registers)))
}

/// As [`invoke_label`], for a method that the interface knows.
pub fn invoke(cap: u64, method: Invocation, caps: &[u64], words: &[u64]) -> Answer {
    invoke_label(cap, method.label(), caps, words)
}

/// The kind of capability in a slot of the root CNode.
pub fn kind(slot: SlotPath) -> u64 {
    debug::cap_identify(Cap::<libsel4::Null>::from_bits(slot.index))
}

/// The kind of capability in any slot: a copy of it is made for the kernel to look at. Empty slots and what cannot be
/// copied are 0.
pub fn kind_at(system: &mut System, slot: SlotPath) -> u64 {
    let copy = system.slot().expect("a slot");
    let _ = copy.copy_from(&slot, CapRights::all());
    let kind = kind(copy);
    copy.delete().expect("to delete the copy");
    system.free_slot(copy);
    kind
}

/// Mapped memory, accessed a word at a time.
#[derive(Clone, Copy, Debug)]
pub struct Window {
    start: usize,
    size: usize,
}

impl Window {
    /// Maps a frame for reading and writing. It must stay mapped as long as the window is used.
    pub fn map<P: Page>(system: &mut System, frame: Cap<P>) -> Self {
        let attributes = VmAttributes::default() | VmAttributes::EXECUTE_NEVER;
        let start = system.map(frame, CapRights::READ_WRITE, attributes);
        Self {
            start: start.expect("to map the frame"),
            size: 1 << P::SIZE_BITS,
        }
    }

    /// A page that is mapped there for reading and writing.
    pub fn of_page(start: usize) -> Self {
        Self { start, size: 4096 }
    }

    /// What a region maps.
    pub fn of(region: &Region) -> Self {
        Self {
            start: region.start(),
            size: region.end() - region.start(),
        }
    }

    /// Its first address.
    pub fn start(&self) -> usize {
        self.start
    }

    fn word(&self, offset: usize) -> *mut u64 {
        assert!(
            offset.is_multiple_of(8) && offset < self.size,
            "{offset:#x} is not in the window"
        );
        (self.start + offset) as *mut u64
    }

    /// The word at an offset in bytes.
    pub fn read(&self, offset: usize) -> u64 {
        // SAFETY: the window is mapped memory that belongs to no Rust value.
        unsafe { self.word(offset).read_volatile() }
    }

    /// Changes the word at an offset in bytes.
    pub fn write(&self, offset: usize, value: u64) {
        // SAFETY: the window is mapped memory that belongs to no Rust value.
        unsafe { self.word(offset).write_volatile(value) }
    }

    /// Whether every word is the same as `value`.
    pub fn is_all(&self, value: u64) -> bool {
        (0..self.size)
            .step_by(8)
            .all(|offset| self.read(offset) == value)
    }

    /// Sets every word.
    pub fn fill(&self, value: u64) {
        (0..self.size)
            .step_by(8)
            .for_each(|offset| self.write(offset, value));
    }
}

/// The badge of a puppet's fault handler.
pub const PUPPET_BADGE: u64 = 0xfa;

/// Offset of message word `index` in an IPC buffer.
pub const fn buffer_word(index: usize) -> usize {
    8 + index * 8
}

/// Offset of the capability address (or badge) in place `index` of an IPC buffer.
pub const fn buffer_cap(index: usize) -> usize {
    976 + index * 8
}

/// Offset of the receive slot's three words in an IPC buffer.
pub const BUFFER_RECEIVE: usize = 1000;

/// A thread that does what the registers say that it is given. It shares capability and address space with the test.
pub struct Puppet {
    pub tcb: Cap<Tcb>,
    pub sched: SchedulingContext,
    /// Receives its faults, with [`PUPPET_BADGE`].
    pub faults: Cap<Endpoint>,
    /// Holds it while a fault is looked at.
    pub reply: Cap<Reply>,
    buffer: Region,
}

/// How a puppet's system call ended.
#[derive(Clone, Debug, PartialEq, Eq)]
#[expect(clippy::large_enum_variant, reason = "there are one or two at a time")]
pub enum Ended {
    /// It came back, with these registers.
    Returned(UserContext),
    /// It was a fault: label and words.
    Faulted(Answer),
}

impl Puppet {
    pub fn new(system: &mut System, core: usize, priority: u8) -> Self {
        let tcb = system.object::<Tcb>().expect("a thread");
        let faults = system.endpoint().expect("an endpoint");
        let reply = system.reply().expect("a reply object");
        let handler = system
            .mint(faults, CapRights::all(), PUPPET_BADGE)
            .expect("a badge");
        let sched = SchedulingContext::new(system, core, Budget::DEFAULT, 0).expect("a budget");
        let buffer = system.region(4096, Guard::None).expect("a buffer");
        tcb.configure(
            init::CNODE,
            0,
            init::VSPACE,
            buffer.start() as u64,
            Some(buffer.frames()[0]),
        )
        .expect("to configure the puppet");
        tcb.set_sched_params(init::TCB, 0, priority, Some(sched.cap()), Some(handler))
            .expect("to schedule the puppet");
        Self {
            tcb,
            sched,
            faults,
            reply,
            buffer,
        }
    }

    /// Its IPC buffer.
    pub fn buffer(&self) -> Window {
        Window::of(&self.buffer)
    }

    /// The frame of its IPC buffer.
    pub fn buffer_frame(&self) -> Cap<SmallPage> {
        self.buffer.frames()[0]
    }

    /// Takes its IPC buffer away.
    pub fn remove_buffer(&self) {
        self.tcb
            .set_ipc_buffer(0, None)
            .expect("to remove the buffer");
    }

    /// Gives it the buffer back.
    pub fn restore_buffer(&self) {
        self.tcb
            .set_ipc_buffer(self.buffer.start() as u64, Some(self.buffer_frame()))
            .expect("to restore the buffer");
    }

    /// Starts it anew, wherever it was, with these registers.
    pub fn start(&self, context: &UserContext) {
        self.tcb
            .write_registers(true, context)
            .expect("to start the puppet");
    }

    /// Its registers.
    pub fn registers(&self) -> UserContext {
        self.tcb
            .read_registers(false)
            .expect("to read its registers")
    }

    /// Waits for its next fault.
    pub fn fault(&self) -> Received {
        let received = self.faults.recv(self.reply);
        assert_eq!(received.badge, PUPPET_BADGE, "the badge of the fault");
        received
    }

    /// Runs code until its fault: label and words.
    pub fn run_to_fault(&self, context: &UserContext) -> Answer {
        self.start(context);
        Answer::of(&self.fault().message)
    }

    /// Lets it make one system call and waits for the end of that. The registers' program counter does not matter.
    pub fn syscall(&self, registers: &UserContext) -> Ended {
        self.begin_syscall(registers);
        self.end_of_syscall()
    }

    /// Lets it begin a system call, which may block.
    pub fn begin_syscall(&self, registers: &UserContext) {
        let context = UserContext {
            pc: trap as *const () as u64,
            ..*registers
        };
        self.start(&context);
    }

    /// Waits for the end of the system call that it is in.
    pub fn end_of_syscall(&self) -> Ended {
        let answer = Answer::of(&self.fault().message);
        if answer.label == 3 && answer.words[0] == after_trap() {
            Ended::Returned(self.registers())
        } else {
            Ended::Faulted(answer)
        }
    }

    /// The address of the system call instruction of [`Puppet::syscall`].
    pub fn trap_address() -> u64 {
        trap as *const () as u64
    }
}

/// The address after the system call.
fn after_trap() -> u64 {
    trap as *const () as u64 + 4
}

/// A system call with whatever is in the registers, and then a fault.
#[unsafe(naked)]
extern "C" fn trap() -> ! {
    core::arch::naked_asm!("svc #0", "udf #0")
}

/// Registers of a system call: x0, message information, four words, x6, number.
pub fn call_registers(number: i64, x0: u64, info: u64, words: [u64; 4], x6: u64) -> UserContext {
    UserContext {
        x0,
        x1: info,
        x2: words[0],
        x3: words[1],
        x4: words[2],
        x5: words[3],
        x6,
        x7: number as u64,
        ..UserContext::default()
    }
}

/// A message information word.
pub fn info(label: u64, caps: u64, length: u64) -> u64 {
    MessageInfo::new(label, 0, caps, length).0
}

/// Waits until every thread of every core is blocked, given that the test's own thread has the highest priority and all
/// others have priorities above 1.
pub struct Settler {
    threads: Vec<(Cap<Notification>, Cap<Notification>)>,
}

impl Settler {
    pub fn new(system: &mut System) -> Self {
        let threads = (0..system.cores())
            .map(|core| {
                let go = system.notification().expect("a notification");
                let done = system.notification().expect("a notification");
                ThreadBuilder::new("settler")
                    .priority(1)
                    .core(core)
                    .spawn::<(), _>(system, move || {
                        loop {
                            go.wait();
                            done.signal();
                        }
                    })
                    .expect("a thread");
                (go, done)
            })
            .collect();
        Self { threads }
    }

    /// Lets everything run. Three rounds, because work may come from another core.
    pub fn settle(&self) {
        for _ in 0..3 {
            for (go, _) in &self.threads {
                go.signal();
            }
            for (_, done) in &self.threads {
                done.wait();
            }
        }
    }
}

/// Lets time pass: the test's thread blocks, so that whatever else there is runs.
pub struct Pause {
    go: Cap<Notification>,
    done: Cap<Notification>,
}

impl Pause {
    pub fn new(system: &mut System) -> Self {
        let go = system.notification().expect("a notification");
        let done = system.notification().expect("a notification");
        let period = Duration::from_micros(200);
        // Nearly all of the period: with instructions counted, other cores' turns use up the budget too, and with little
        // left its system calls would be put off again and again.
        ThreadBuilder::new("pause")
            .priority(254)
            .budget(Budget::periodic(period * 15 / 16, period))
            .spawn::<(), _>(system, move || {
                loop {
                    go.wait();
                    // Each gives up what is left of a period.
                    syscall::yield_now();
                    syscall::yield_now();
                    done.signal();
                }
            })
            .expect("a thread");
        Self { go, done }
    }

    /// Blocks for at least 200 us.
    pub fn pause(&self) {
        self.go.signal();
        self.done.wait();
    }
}

/// An object of a fixed size, made or the test fails.
pub fn object<T: FixedObject>(system: &mut System) -> Cap<T> {
    system
        .object::<T>()
        .unwrap_or_else(|error| panic!("{}: {error}", T::NAME))
}
