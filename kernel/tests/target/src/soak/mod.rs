//! Objects of all kinds are made, used, moved between cores, revoked and destroyed, by a thread on each core, for long.
//!
//! Nothing here is wrong, so everything has to succeed; and when all is over, all memory has to be there, empty.

mod code;
mod piece;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use libsel4::abi::ObjectType;
use libsel4::{
    BootInfo, Budget, SchedulingContext, System, Thread, ThreadBuilder, debug, println, time,
};

use crate::hostile::store::{STORE_BITS, Store};
use crate::hostile::{Plan, seconds_since};
use crate::objects::Pause;
use crate::random::Random;
use crate::sched::{counter, ticks};
use piece::{PIECE_BITS, Piece, SLOTS};

/// The priority of the threads that make all this.
const MAKER: u8 = 90;
/// Pieces of each, if there is memory for so many.
const PIECES: usize = 8;
/// Pieces of all together.
const ALL_PIECES: usize = 1 << (STORE_BITS as u64 - PIECE_BITS);
/// Pauses of 200 us in which one operation has to be over.
const PATIENCE: u64 = 100_000;

/// A thread that makes things, and how many operations it has done.
struct Maker {
    thread: Thread<u64>,
    count: &'static AtomicU64,
}

impl Maker {
    /// Operations of its share; the thread's result tells what the dice show in the end.
    fn new(
        system: &mut System,
        store: &mut Store,
        core: usize,
        seed: u64,
        share: u64,
        end: u64,
    ) -> Self {
        let boot = system.boot();
        let mut pieces: Vec<Piece> = (0..PIECES.min(ALL_PIECES / system.cores()))
            .map(|_| {
                let memory = store.make(ObjectType::Untyped, PIECE_BITS);
                Piece::new(memory, (0..SLOTS).map(|_| store.slot()).collect())
            })
            .collect();
        let count = counter();
        let slice = Duration::from_millis(1);
        let thread = ThreadBuilder::new("maker")
            .core(core)
            .priority(MAKER)
            .budget(Budget::RoundRobin { slice })
            .spawn(system, move || {
                let own = SchedulingContext::current().expect("a scheduling context");
                let mut random = Random::new(seed);
                for done in 1..=share {
                    if time::counter() >= end {
                        break;
                    }
                    if random.below(64) == 0 {
                        // It moves itself.
                        let core = random.below(boot.cores() as u64) as usize;
                        own.move_to(core).expect("to move");
                    } else {
                        let piece = random.below(pieces.len() as u64) as usize;
                        pieces[piece].operate(boot, &mut random);
                    }
                    count.store(done, Ordering::Relaxed);
                }
                pieces.iter_mut().for_each(Piece::destroy);
                random.number()
            })
            .expect("a thread");
        Self { thread, count }
    }

    fn count(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }
}

/// Runs it to its end. The plan's calls are operations.
pub fn run(boot: &'static BootInfo, plan: Plan) {
    let mut system = System::new(boot);
    let system = &mut system;
    let cores = system.cores();
    let pause = Pause::new(system);
    let mut store = Store::new(system, ALL_PIECES * (SLOTS + 1));
    let before = system.available_memory();
    let start = time::counter();
    let share = plan.calls.map_or(u64::MAX, |calls| calls / cores as u64);
    let end = match plan.seconds {
        Some(seconds) => start + seconds * time::counter_frequency(),
        None => u64::MAX,
    };
    let makers: Vec<Maker> = (0..cores)
        .map(|core| {
            let seed = plan.seed << 8 | core as u64;
            Maker::new(system, &mut store, core, seed, share, end)
        })
        .collect();
    watch(&makers, &pause, &plan, start);
    let counts: Vec<u64> = makers.iter().map(Maker::count).collect();
    let seconds = seconds_since(start);
    let mut dice = 0;
    for maker in makers {
        dice ^= maker.thread.join(system).expect("a maker");
    }
    store.clear();
    assert_eq!(system.available_memory(), before, "memory");
    println!(
        "soak: passed: {seconds} s, {} operations, of each thread {counts:?}",
        counts.iter().sum::<u64>()
    );
    println!("soak: the dice show {dice:016x}");
}

/// Stays until all have finished, and sees that each gets on.
fn watch(makers: &[Maker], pause: &Pause, plan: &Plan, start: u64) {
    let mut said = start;
    let mut seen: Vec<(u64, u64)> = makers.iter().map(|_| (0, 0)).collect();
    while !makers.iter().all(|maker| maker.thread.is_finished()) {
        pause.pause();
        for (maker, (count, steps)) in makers.iter().zip(&mut seen) {
            let now = maker.count();
            *steps = if now == *count { *steps + 1 } else { 0 };
            *count = now;
            if *steps >= PATIENCE && !maker.thread.is_finished() {
                debug::dump_scheduler();
                panic!("a thread does not get on behind operation {now}");
            }
        }
        if plan.progress > 0 && time::counter() - said >= ticks(plan.progress * 1_000_000) {
            said = time::counter();
            let counts: Vec<u64> = seen.iter().map(|(count, _)| *count).collect();
            println!(
                "soak: {} s, operations of each thread {counts:?}",
                seconds_since(start)
            );
        }
    }
}
