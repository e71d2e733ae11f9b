//! Memory is revoked while the threads in it run, on all cores: all of them stop, whoever asks, and also when several ask at
//! once, from several cores, or are themselves in the memory of others who do the same.
//!
//! cores: 2 4
//! icount: both
//! timeout: 200

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use libsel4::abi::{Invocation, ObjectType};
use libsel4::{
    BootInfo, CNode, CNodeCapData, Cap, CapRights, LargePage, SchedContext, SlotPath, Tcb, Thread,
    Untyped, UserContext, VmAttributes, init, root_task,
};
use tern_target_tests::objects::{info, kind};
use tern_target_tests::rows::rows;
use tern_target_tests::sched::{Bench, counter, exact_time};

root_task!(main);

/// Logarithm of the crowd's memory: a large page.
const BITS: u8 = 21;
/// Slots in each thread's capability space.
const RADIX: u64 = 2;

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    let mut crowd = Crowd::new(&mut bench);
    // In real time, one round: every call of the kernel waits for cores that the host may let stand still.
    let rounds = if exact_time() { 4 } else { 1 };
    for _ in 0..rounds {
        by_one(&mut bench, &mut crowd);
        by_several(&mut bench, &mut crowd);
        by_each_other(&mut bench);
    }
}

/// Counts its turns, with a call of the kernel in each and some time between.
#[unsafe(naked)]
extern "C" fn busy() -> ! {
    core::arch::naked_asm!(
        "2: ldr x9, [x20]",
        "add x9, x9, #1",
        "str x9, [x20]",
        "mov x0, x21",
        "mov x1, #0",
        "svc #0",
        "mov x9, #20000",
        "3: subs x9, x9, #1",
        "b.ne 3b",
        "b 2b",
    )
}

/// Makes one call and then counts, if it is still there.
#[unsafe(naked)]
extern "C" fn call_once() -> ! {
    core::arch::naked_asm!(
        "svc #0",
        "2: ldr x9, [x20]",
        "add x9, x9, #1",
        "str x9, [x20]",
        "b 2b",
    )
}

/// Two threads for each core, with all that they consist of in one piece of memory.
struct Crowd {
    memory: Cap<Untyped>,
    /// For each thread: its TCB, scheduling context and CNode.
    slots: Vec<[SlotPath; 3]>,
    counters: &'static [AtomicU64; 8],
    /// Where the memory is looked at.
    window: usize,
}

static COUNTERS: [AtomicU64; 8] = [const { AtomicU64::new(0) }; 8];

impl Crowd {
    fn new(bench: &mut Bench) -> Self {
        let threads = bench.cores() * 2;
        let mut slot = || bench.system.slot().expect("a slot");
        let slots = (0..threads).map(|_| [slot(), slot(), slot()]).collect();
        Self {
            memory: bench.system.untyped(BITS).expect("memory"),
            slots,
            counters: &COUNTERS,
            window: bench
                .system
                .addresses(1 << 30, 1 << 30)
                .expect("addresses")
                .start,
        }
    }

    fn start(&self, bench: &Bench) {
        for (number, slots) in self.slots.iter().enumerate() {
            let counter = &self.counters[number];
            counter.store(0, Ordering::Relaxed);
            let core = number % bench.cores();
            let tcb = make(bench, self.memory, slots, core);
            let context = UserContext {
                pc: busy as *const () as u64,
                x7: -6_i64 as u64,
                x20: counter.as_ptr() as u64,
                x21: 1,
                ..UserContext::default()
            };
            tcb.write_registers(true, &context).expect("to start");
        }
    }

    fn counts(&self) -> Vec<u64> {
        let counters = self.counters.iter().take(self.slots.len());
        counters.map(|c| c.load(Ordering::Relaxed)).collect()
    }

    fn all_run(&self, bench: &Bench) {
        let before = self.counts();
        bench.eventually("all of them run", || {
            self.counts()
                .iter()
                .zip(&before)
                .all(|(now, old)| now > old)
        });
    }

    /// No thread runs, no capability is left, and the memory is there again.
    fn all_gone(&self, bench: &mut Bench) {
        for slots in &self.slots {
            assert_eq!(slots.map(kind), [0; 3]);
        }
        // All of the memory at once, as a page. Whoever still ran would save registers in it.
        let before = self.counts();
        let at = self.slots[0][0];
        self.memory
            .retype_into(ObjectType::LargePage, 0, init::CNODE, at.index)
            .expect("all of the memory");
        let page = Cap::<LargePage>::from_bits(at.index);
        let attributes = VmAttributes::default();
        bench
            .system
            .map_at(
                init::VSPACE,
                page,
                self.window,
                CapRights::all(),
                attributes,
            )
            .expect("to map");
        bench.sleep(2_000);
        assert_eq!(self.counts(), before, "they stopped");
        for word in (self.window..self.window + (1 << BITS)).step_by(8) {
            // SAFETY: the page is mapped there, and nobody else uses it.
            let value = unsafe { (word as *const u64).read_volatile() };
            assert_eq!(value, 0, "at {:#x}", word - self.window);
        }
        at.delete().expect("to delete");
    }
}

/// A thread on a core, made from memory, with a capability space of its own in which address 1 is itself.
fn make(bench: &Bench, memory: Cap<Untyped>, slots: &[SlotPath; 3], core: usize) -> Cap<Tcb> {
    let [tcb, sched, node] = slots.map(|slot| slot.index);
    for (object, size, at) in [
        (ObjectType::SchedContext, 7, sched),
        (ObjectType::CNode, RADIX, node),
        // The last one is deleted first: while the thread runs.
        (ObjectType::Tcb, 0, tcb),
    ] {
        memory
            .retype_into(object, size, init::CNODE, at)
            .expect("an object");
    }
    let (tcb, sched) = (
        Cap::<Tcb>::from_bits(tcb),
        Cap::<SchedContext>::from_bits(sched),
    );
    let space = Cap::<CNode>::from_bits(node);
    SlotPath::new(space, 1, RADIX)
        .copy_from(&slots[0], CapRights::all())
        .expect("a copy");
    bench.move_sc(sched, core);
    let guard = CNodeCapData::new(0, 64 - RADIX).0;
    tcb.configure(space, guard, init::VSPACE, 0, None)
        .expect("to configure");
    tcb.set_sched_params(init::TCB, 0, 50, Some(sched), None)
        .expect("a budget");
    tcb
}

fn by_one(bench: &mut Bench, crowd: &mut Crowd) {
    rows(&["revoke.untyped", "final.tcb", "revoke.all"]);
    crowd.start(bench);
    crowd.all_run(bench);
    crowd.memory.slot().revoke().expect("to revoke");
    crowd.all_gone(bench);
    // One by one, each while the others run.
    crowd.start(bench);
    crowd.all_run(bench);
    for (number, slots) in crowd.slots.iter().enumerate() {
        slots[0].revoke().expect("to revoke");
        slots[0].delete().expect("to delete");
        let counts = crowd.counts();
        bench.sleep(1_000);
        let after = crowd.counts();
        assert_eq!(counts[..=number], after[..=number], "they stopped");
    }
    crowd.memory.slot().revoke().expect("to revoke");
    crowd.all_gone(bench);
}

fn by_several(bench: &mut Bench, crowd: &mut Crowd) {
    rows(&["delete.concurrent", "revoke.untyped"]);
    crowd.start(bench);
    crowd.all_run(bench);
    // Above the crowd, so that they have their cores, and all begin at the same word.
    let start = counter();
    let ready = counter();
    let memory = crowd.memory;
    let revokers: Vec<_> = (0..bench.cores())
        .map(|core| {
            bench.thread("revoker", core, 100, move || {
                ready.fetch_add(1, Ordering::Relaxed);
                while start.load(Ordering::Relaxed) == 0 {
                    core::hint::spin_loop();
                }
                memory.slot().revoke()
            })
        })
        .collect();
    let all = revokers.len() as u64;
    bench.eventually("all of them wait", || ready.load(Ordering::Relaxed) == all);
    start.store(1, Ordering::Relaxed);
    bench.eventually("everybody comes back", || {
        revokers.iter().all(Thread::is_finished)
    });
    for revoker in revokers {
        assert_eq!(revoker.join(&mut bench.system).expect("to join"), Ok(()));
    }
    crowd.all_gone(bench);
}

/// On each core a thread in its own memory, which revokes that of the next. Who is first survives.
fn by_each_other(bench: &mut Bench) {
    rows(&["delete.concurrent", "final.tcb"]);
    let cores = bench.cores();
    for _ in 0..2 {
        let memories: Vec<Cap<Untyped>> = (0..cores)
            .map(|_| bench.system.untyped(14).expect("memory"))
            .collect();
        let slots: Vec<[SlotPath; 3]> = (0..cores)
            .map(|_| [0; 3].map(|_| bench.system.slot().expect("a slot")))
            .collect();
        for core in 0..cores {
            COUNTERS[core].store(0, Ordering::Relaxed);
            make(bench, memories[core], &slots[core], core);
            // Its way to the next one's memory.
            let space = Cap::<CNode>::from_bits(slots[core][2].index);
            SlotPath::new(space, 2, RADIX)
                .copy_from(&init::CNODE.slot(), CapRights::all())
                .expect("a copy");
        }
        for core in 0..cores {
            let next = memories[(core + 1) % cores];
            let context = UserContext {
                pc: call_once as *const () as u64,
                x0: 2,
                x1: info(Invocation::CNodeRevoke.label(), 0, 2),
                x2: next.bits(),
                x3: 64,
                x7: -1_i64 as u64,
                x20: COUNTERS[core].as_ptr() as u64,
                ..UserContext::default()
            };
            // Another may be gone already, with its own next one's.
            let _ = Cap::<Tcb>::from_bits(slots[core][0].index).write_registers(true, &context);
        }
        bench.eventually("they are done with each other", || {
            let there = |core: usize| kind(slots[core][0]) != 0;
            let done = |core: usize| COUNTERS[core].load(Ordering::Relaxed) > 0;
            (0..cores).all(|core| !there(core) || done(core))
        });
        let left = (0..cores).filter(|&core| kind(slots[core][0]) != 0).count();
        assert!(left < cores, "nobody revoked anything");
        // Each that is left has revoked its next one.
        for core in 0..cores {
            if kind(slots[core][0]) != 0 {
                assert_eq!(slots[(core + 1) % cores].map(kind), [0; 3]);
            }
        }
        for memory in memories {
            bench.system.destroy(memory).expect("to destroy");
        }
        for slot in slots.into_iter().flatten() {
            assert_eq!(kind(slot), 0);
            bench.system.free_slot(slot);
        }
    }
}
