//! Threads on all cores that do at random everything that a thread can do, with capabilities of their own, and a test
//! that survives them.
//!
//! The test's thread has the highest priority and a capability space of its own. A *gang* of hostile threads shares one
//! space, with capabilities to themselves, to each other and to objects that they can only break for each other. The
//! test starts those again that are stuck, gives back what they have lost, lets well-behaved threads on every core show
//! that they are served, and after a while destroys the gang with all that it has made; then all of its memory has to
//! be there, empty.

mod attack;
mod calls;
mod gang;
mod jail;
pub mod store;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};

use libsel4::{BootInfo, Cap, Notification, System, ThreadBuilder, init, println, time};

use crate::objects::Pause;
use crate::random::Random;
use crate::sched::{counter, exact_time, fpu_keeps, ticks};
use gang::{Gang, Gifts};
use jail::Jail;
use store::Store;

/// A line that no device of the machine uses, and a software-generated interrupt of core 0.
const LINES: [u64; 2] = [100, SGI];
const SGI: u64 = 9;
/// A page of registers that do no harm, whatever is written there: those of the real-time clock.
const CLOCK: u64 = 0x0901_0000;
/// Pauses of the test's thread in a step, in which the others run: 200 us each.
const PAUSES: u64 = 8;
/// Steps of a gang's life.
const LIFE: u64 = 256;
/// Steps after which the well-behaved are looked at.
const LOOK: u64 = 64;
/// Steps that a well-behaved thread may take to answer.
const PATIENCE: u64 = 50_000;

/// How long, and what.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub seed: u64,
    /// It ends when so many calls have been made.
    pub calls: Option<u64>,
    /// Or after so many seconds.
    pub seconds: Option<u64>,
    /// Seconds between two lines that say how far it is; none if 0.
    pub progress: u64,
}

impl Plan {
    fn is_over(&self, calls: u64, start: u64) -> bool {
        self.calls.is_some_and(|most| calls >= most)
            || self
                .seconds
                .is_some_and(|most| seconds_since(start) >= most)
    }
}

/// Whole seconds since the counter showed `start`.
pub fn seconds_since(start: u64) -> u64 {
    (time::counter() - start) / time::counter_frequency()
}

/// Well-behaved threads, one on each core, above all hostile ones.
struct Witnesses {
    threads: Vec<(Cap<Notification>, &'static AtomicU64)>,
    asked: u64,
}

impl Witnesses {
    fn new(system: &mut System) -> Self {
        let threads = (0..system.cores()).map(|core| {
            let go = system.notification().expect("a notification");
            let count = counter();
            ThreadBuilder::new("witness")
                .core(core)
                .priority(200)
                .spawn::<(), _>(system, move || {
                    loop {
                        go.wait();
                        assert!(fpu_keeps(core as u64 ^ 0x5555, 50), "floating point");
                        count.fetch_add(1, Ordering::Relaxed);
                    }
                })
                .expect("a thread");
            (go, count)
        });
        Self {
            threads: threads.collect(),
            asked: 0,
        }
    }

    /// Each of them answers.
    fn look(&mut self, pause: &Pause) {
        self.asked += 1;
        self.threads.iter().for_each(|(go, _)| go.signal());
        for (core, (_, count)) in self.threads.iter().enumerate() {
            let mut steps = 0;
            while count.load(Ordering::Relaxed) != self.asked {
                pause.pause();
                steps += 1;
                assert!(steps < PATIENCE, "core {core} does not answer any more");
            }
        }
    }
}

/// What a run amounts to.
struct Totals {
    calls: Vec<u64>,
    gangs: u64,
    starts: u64,
    start: u64,
}

impl Totals {
    fn all(&self) -> u64 {
        self.calls.iter().sum()
    }

    fn print(&self, what: &str) {
        println!(
            "hostile: {what}{} s, {} calls, of each core {:?}, {} gangs, {} threads started",
            seconds_since(self.start),
            self.all(),
            self.calls,
            self.gangs,
            self.starts
        );
    }
}

/// Runs it to its end.
pub fn run(boot: &'static BootInfo, plan: Plan) {
    let mut system = System::new(boot);
    let system = &mut system;
    let cores = system.cores();
    let threads = 2 * cores + 4;
    assert!(
        threads as u64 <= calls::MOST_THREADS,
        "{cores} cores are too many"
    );
    let pause = Pause::new(system);
    let mut witnesses = Witnesses::new(system);
    let jail = Jail::new(system, threads);
    let mut store = Store::new(system, Gang::slots(&jail));
    let given = gifts(system);
    let mut random = Random::new(plan.seed);
    let mut totals = Totals {
        calls: alloc::vec![0; cores],
        gangs: 0,
        starts: 0,
        start: time::counter(),
    };
    let before = system.available_memory();
    let mut said = totals.start;
    while !plan.is_over(totals.all(), totals.start) {
        totals.gangs += 1;
        let wild = random.below(3) == 0;
        let mut gang = Gang::new(boot, &mut store, &jail, &given, wild);
        gang.begin(boot, &jail, &mut random);
        for step in 1..=LIFE {
            (0..PAUSES).for_each(|_| pause.pause());
            totals.starts += gang.stir(boot, &jail, &mut random);
            gang.count(&jail, &mut totals.calls);
            if step % 8 == 0 {
                gang.refill();
            }
            if step % LOOK == 0 {
                witnesses.look(&pause);
            }
            if plan.progress > 0 && time::counter() - said >= ticks(plan.progress * 1_000_000) {
                said = time::counter();
                totals.print("");
            }
            if plan.is_over(totals.all(), totals.start) {
                break;
            }
        }
        store.clear();
        witnesses.look(&pause);
    }
    assert_eq!(system.available_memory(), before, "the test's own memory");
    let idle: Vec<usize> = (0..cores).filter(|&core| totals.calls[core] == 0).collect();
    // In real time, the host may not have let one of the cores run.
    assert!(
        idle.is_empty() || !exact_time(),
        "no call was made on the cores {idle:?}"
    );
    // Where instructions are counted, the last word is the same in every run.
    totals.print("passed: ");
    println!("hostile: the dice show {:016x}", random.number());
}

/// What every gang gets.
fn gifts(system: &mut System) -> Gifts {
    let lines = LINES.map(|line| {
        let slot = system.slot().expect("a slot");
        init::IRQ_CONTROL
            .get(line, &slot)
            .expect("an interrupt line");
        Cap::from_bits(slot.index)
    });
    let slot = system.slot().expect("a slot");
    // Where there is no such label, with one core, there is none.
    let sgi = init::IRQ_CONTROL
        .issue_sgi_signal(SGI, 0, &slot)
        .ok()
        .map(|()| slot);
    Gifts {
        lines,
        sgi,
        device: system.device_frame(CLOCK).expect("the clock's registers"),
    }
}
