//! Threads that make random system calls with random registers, capabilities and buffers: the kernel survives, and goes on
//! serving the one that behaves.
//!
//! They have a capability space of their own, with capabilities to objects of their own. What they break is theirs.
//! timeout: 300

#![no_std]
#![no_main]

use libsel4::abi::{ObjectType, UserContext};
use libsel4::system::{Guard, Region};
use libsel4::{
    BootInfo, Budget, CNode, CNodeCapData, Cap, CapRights, Endpoint, Notification,
    SchedulingContext, SlotPath, SmallPage, System, Tcb, Untyped, VSpace, VmAttributes, init,
    root_task,
};
use tern_target_tests::objects::{Ended, Pause, Puppet, call_registers};

root_task!(main);

const ROUNDS: u64 = 6;
/// How many calls there are to be in each round.
const CALLS: u64 = 6000;
const THREADS: usize = 5;
/// Logarithm of the slots in their capability space.
const RADIX: u64 = 6;
/// Guard of their capability space: the bits before those.
const GUARD: u64 = CNodeCapData::new(0, 64 - RADIX).0;

/// Numbers that look random, and are the same in every run.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, limit: u64) -> u64 {
        (self.next() >> 16) % limit
    }

    /// Mostly small numbers and slots, sometimes addresses and anything.
    fn word(&mut self) -> u64 {
        match self.below(16) {
            0..=5 => self.below(1 << RADIX),
            6 | 7 => RADIX,
            8 => 64,
            9 => self.below(600),
            10 => self.below(64) << 12,
            11 => 0x1000_0000 + (self.below(1024) << 12),
            12 => 1 << self.below(64),
            13 => (1 << self.below(64)) - 1,
            14 => 0x0000_7fff_ffff_f000 + self.below(0x2000),
            _ => self.next(),
        }
    }

    fn slot(&mut self) -> u64 {
        if self.below(32) == 0 {
            self.word()
        } else {
            self.below(1 << RADIX)
        }
    }
}

/// What a hostile thread has to itself. It can write nothing else.
struct State {
    random: Random,
    buffer: *mut u64,
    calls: u64,
}

impl State {
    fn set(&mut self, offset: u64, value: u64) {
        let word = self.buffer.wrapping_byte_add(offset as usize);
        // SAFETY: the buffer is a page of this thread's, and all offsets are within it.
        unsafe { word.write_volatile(value) }
    }
}

/// A system call with all of these.
fn system_call(registers: &[u64; 9]) {
    let x = registers;
    // SAFETY: the kernel changes x0 to x5 at most, and what the call does is done to the thread's own objects: its
    // capability space has nothing of the test's.
    unsafe {
        core::arch::asm!(
            "svc #0",
            inlateout("x0") x[0] => _,
            inlateout("x1") x[1] => _,
            inlateout("x2") x[2] => _,
            inlateout("x3") x[3] => _,
            inlateout("x4") x[4] => _,
            inlateout("x5") x[5] => _,
            in("x6") x[6],
            in("x7") x[7],
            in("x8") x[8],
            options(nostack),
        );
    }
}

extern "C" fn hostile(state: &mut State) -> ! {
    loop {
        for _ in 0..4 {
            let (at, value) = (state.random.below(128) * 8, state.random.word());
            state.set(at, value);
        }
        for place in 0..3 {
            let slot = state.random.slot();
            state.set(976 + place * 8, slot);
        }
        if state.random.below(4) == 0 {
            let (node, index) = (state.random.slot(), state.random.slot());
            state.set(1000, node);
            state.set(1008, index);
            state.set(1016, RADIX);
        }
        let random = &mut state.random;
        let number = match random.below(64) {
            0..=31 => -1,
            32..=35 => -6,
            36..=61 => -1 - random.below(11) as i64,
            62 => [-12, -15, -16, -17, -19, -20, -1000, 5][random.below(8) as usize & 7],
            _ => random.next() as i64 | 1 << 62,
        };
        let label = match random.below(32) {
            0 => random.word(),
            _ => random.below(60),
        };
        let length = random.below(if number == -1 { 12 } else { 128 });
        let mut registers = [0; 9];
        registers.fill_with(|| random.word());
        registers[0] = random.slot();
        registers[1] = label << 12 | random.below(4) << 7 | length;
        registers[6] = random.slot();
        registers[7] = number as u64;
        registers[8] = random.slot();
        state.calls += 1;
        system_call(&registers);
    }
}

/// Where they run: an address space in which the program can only be read, and each thread has some pages to itself.
struct Arena {
    vspace: Cap<VSpace>,
    pages: [Region; THREADS],
}

impl Arena {
    fn new(system: &mut System) -> Self {
        let vspace = system.vspace().expect("an address space");
        let pages = [0; THREADS].map(|_| system.region(0x6000, Guard::Page).expect("pages"));
        let map = |system: &mut System, frame: Cap<SmallPage>, vaddr: usize, rights| {
            let copy = system.copy(frame, rights).expect("a copy");
            let mapped = system.map_at(vspace, copy, vaddr, rights, VmAttributes::default());
            mapped.expect("to map");
        };
        for region in &pages {
            for (frame, vaddr) in region.frames().iter().zip((region.start()..).step_by(4096)) {
                map(system, *frame, vaddr, CapRights::READ_WRITE);
            }
        }
        let boot = system.boot();
        let frames = boot.user_image_frames();
        let start = boot.user_image_end() - frames.len() as usize * 4096;
        for (cptr, index) in (frames.start..frames.end).zip(0..) {
            let vaddr = start + index * 4096;
            map(system, Cap::from_bits(cptr), vaddr, CapRights::READ);
        }
        Self { vspace, pages }
    }

    fn calls(&self) -> u64 {
        let calls = |region: &Region| {
            let calls = region.start() + core::mem::offset_of!(State, calls);
            // SAFETY: the first page holds a state, written by `Gang::new`. It may change meanwhile: volatile.
            unsafe { (calls as *const u64).read_volatile() }
        };
        self.pages.iter().map(calls).sum()
    }
}

/// Some threads, and everything that they can reach.
struct Gang {
    space: Cap<CNode>,
    /// Copied to them as untyped memory.
    memory: Cap<Untyped>,
    /// What their other objects are in.
    own: Cap<Untyped>,
    tcbs: [Cap<Tcb>; THREADS],
    scheds: [SchedulingContext; THREADS],
    notification: Cap<Notification>,
    endpoint: Cap<Endpoint>,
    /// The handler of an interrupt that never comes.
    line: SlotPath,
    cores: usize,
}

impl Gang {
    fn new(system: &mut System, arena: &Arena, seed: u64) -> Self {
        let cores = system.cores();
        let gang = Self {
            space: system.cnode(RADIX as u8).expect("a CNode"),
            memory: system.untyped(18).expect("memory"),
            own: system.untyped(17).expect("memory"),
            tcbs: [0; THREADS].map(|_| system.object().expect("a thread")),
            scheds: core::array::from_fn(|index| {
                let budget = Budget::DEFAULT;
                SchedulingContext::new(system, index % cores, budget, 7).expect("a budget")
            }),
            notification: system.notification().expect("a notification"),
            endpoint: system.endpoint().expect("an endpoint"),
            line: system.slot().expect("a slot"),
            cores,
        };
        gang.fill_space(system);
        for (index, region) in (1..).zip(&arena.pages) {
            let state = State {
                random: Random(seed << 8 | index),
                buffer: (region.start() + 0x1000) as *mut u64,
                calls: 0,
            };
            // SAFETY: the page is large enough and aligned, and no thread uses it now.
            unsafe { (region.start() as *mut State).write(state) };
        }
        gang.repair(arena);
        gang
    }

    /// Capabilities that are theirs to play with: none to memory, threads or tables of the test's.
    fn fill_space(&self, system: &mut System) {
        let put = |index: u64, from: SlotPath, badge| {
            let to = SlotPath::new(self.space, index, RADIX);
            to.mint_from(&from, CapRights::all(), badge)
                .expect("to fill the space");
        };
        let boot = system.boot();
        put(1, self.space.slot(), GUARD);
        put(2, self.space.slot(), 0);
        put(3, self.notification.slot(), 1);
        put(4, self.endpoint.slot(), 0);
        put(5, self.endpoint.slot(), 0x55);
        put(6, self.memory.slot(), 0);
        for (index, tcb) in (7..).zip(self.tcbs) {
            put(index, tcb.slot(), 0);
        }
        for (index, sched) in (12..).zip(&self.scheds) {
            put(index, sched.cap().slot(), 0);
        }
        put(17, boot.sched_control(0).slot(), 0);
        put(18, boot.sched_control(boot.cores() - 1).slot(), 0);
        put(19, init::ASID_CONTROL.slot(), 0);
        put(20, init::DOMAIN_SET.slot(), 0);
        init::IRQ_CONTROL
            .get(40, &self.line)
            .expect("an interrupt line");
        put(21, self.line, 0);
        let mut next = 22;
        for (object, size, count) in [
            (ObjectType::Reply, 0, 4),
            (ObjectType::Endpoint, 0, 3),
            (ObjectType::Notification, 0, 3),
            (ObjectType::CNode, 3, 4),
            (ObjectType::Tcb, 0, 3),
            (ObjectType::SchedContext, 9, 3),
            (ObjectType::VSpace, 0, 3),
            (ObjectType::PageTable, 0, 4),
            (ObjectType::SmallPage, 0, 4),
            (ObjectType::Untyped, 12, 4),
        ] {
            let node = SlotPath::new(self.space, 0, 0);
            self.own
                .retype(object, size, node, next, count)
                .expect("objects");
            next += count;
        }
    }

    /// Gives every thread back what it was made with, as far as that is possible, and starts it.
    fn repair(&self, arena: &Arena) {
        for (index, region) in arena.pages.iter().enumerate() {
            let (tcb, sched) = (self.tcbs[index], &self.scheds[index]);
            let buffer = region.start() as u64 + 0x1000;
            // Each of these may be refused in the state that they got themselves into.
            let _ = tcb.configure(
                self.space,
                GUARD,
                arena.vspace,
                buffer,
                Some(region.frames()[1]),
            );
            let _ = sched.move_to(index % self.cores);
            let _ = sched.unbind();
            let handler = (index != 0).then_some(self.endpoint);
            let priority = 20 + index as u8;
            let _ = tcb.set_sched_params(init::TCB, 60, priority, Some(sched.cap()), handler);
        }
        self.start(arena);
    }

    /// Starts every thread anew, wherever it is.
    fn start(&self, arena: &Arena) {
        for (tcb, region) in self.tcbs.iter().zip(&arena.pages) {
            let context = UserContext {
                pc: hostile as *const () as u64,
                sp: region.end() as u64,
                x0: region.start() as u64,
                ..UserContext::default()
            };
            tcb.write_registers(true, &context)
                .expect("to start a thread");
        }
    }

    fn destroy(self, system: &mut System) {
        for tcb in self.tcbs {
            system.destroy(tcb).expect("to destroy");
        }
        for sched in self.scheds {
            sched.destroy(system).expect("to destroy");
        }
        self.line.revoke().expect("to revoke");
        init::IRQ_CONTROL.slot().revoke().expect("to revoke");
        system.free_slot(self.line);
        for memory in [self.memory, self.own] {
            system.destroy(memory).expect("to destroy");
        }
        system.destroy(self.space).expect("to destroy");
        system.destroy(self.endpoint).expect("to destroy");
        system.destroy(self.notification).expect("to destroy");
    }
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let pause = Pause::new(&mut system);
    let arena = Arena::new(&mut system);
    let puppets: [_; 8] = core::array::from_fn(|core| {
        (core < boot.cores()).then(|| Puppet::new(&mut system, core, 100))
    });
    let notification = system.notification().expect("a notification");
    let mut total = 0;
    for round in 0..ROUNDS {
        let before = system.available_memory();
        let gang = Gang::new(&mut system, &arena, round + 1);
        let mut step = 0;
        while arena.calls() < CALLS {
            pause.pause();
            step += 1;
            // Let them stew for a while in what they made.
            if step % 8 == 0 {
                gang.repair(&arena);
            } else {
                gang.start(&arena);
            }
            assert!(step < 20_000, "round {round}: only {} calls", arena.calls());
        }
        total += arena.calls();
        // Well-behaved threads are served meanwhile, on every core.
        for puppet in puppets.iter().flatten() {
            let signal = call_registers(-1, notification.bits(), 0, [0; 4], 0);
            assert!(matches!(puppet.syscall(&signal), Ended::Returned(_)));
        }
        gang.destroy(&mut system);
        assert_eq!(system.available_memory(), before, "round {round}");
    }
    libsel4::println!("{total} hostile calls");
}
