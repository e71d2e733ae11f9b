//! The threads of one core, and their work. Whatever they use is theirs: cores have no object in common, nor memory
//! beside each other's, but for the address spaces.

use alloc::boxed::Box;
use core::arch::asm;
use core::cell::Cell;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use libsel4::abi::ObjectType;
use libsel4::cap::FixedObject;
use libsel4::{Budget, Cap, Endpoint, Message, Notification, Reply, Untyped, init, syscall, time};
use tern_bench::meter::{self, Counts};
use tern_bench::worker::{Bench, HIGH, OURS, SLICE, Worker};

use crate::meeting::meet;

/// What is found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Kind {
    Count,
    Trace,
    Time,
}

/// What a core does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Load {
    Call,
    Mixed,
}

impl Load {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Mixed => "mixed",
        }
    }
}

/// Operations that come first, after which all objects are where they are used.
const WARM_UP: u64 = 32;
/// Operations of a core, where they are counted and where they are traced.
const COUNTED: u64 = 512;
const TRACED: u64 = 64;
/// Operations between two looks at the clock.
const BATCH: u64 = 32;
/// How long speeds are measured.
const WINDOW: Duration = Duration::from_millis(500);

/// A time slice, in microseconds, where timer interrupts are part of the load. Emulated cores that run in turn change
/// turns at the next timer of any of them, so this is also what makes them come between each other.
const SHORT: u64 = 50;

/// What the threads of a core have, apart from everybody else's.
#[repr(align(128))]
struct Desk {
    endpoint: Cap<Endpoint>,
    reply: Cap<Reply>,
    /// The worker waits for it.
    go: Cap<Notification>,
    /// The first thread waits for it.
    back: Cap<Notification>,
    /// A thread of higher priority waits for it.
    wake: Cap<Notification>,
    /// Nobody waits for it.
    idle: Cap<Notification>,
    task: Cell<Task>,
}

// SAFETY: the task is written while the worker waits for its signal, and read after it.
unsafe impl Sync for Desk {}

/// What the worker is to do.
#[derive(Clone, Copy)]
struct Task {
    load: Load,
    kind: Kind,
    cores: usize,
}

/// What came of it, of all cores together.
pub(crate) struct Results {
    pub(crate) counts: Counts,
    /// So many, or, where speeds are measured, so many in a second.
    pub(crate) operations: u64,
}

static OPERATIONS: AtomicU64 = AtomicU64::new(0);
static DEADLINE: AtomicU64 = AtomicU64::new(0);
static COUNTS: [AtomicU64; 4] = [const { AtomicU64::new(0) }; 4];

/// One core, with its threads.
pub(crate) struct Seat {
    core: usize,
    desk: &'static Desk,
    worker: Worker,
    /// Those that only the mixed load has. Suspended meanwhile.
    peer: Worker,
    ticker: Worker,
}

impl Seat {
    pub(crate) fn new(bench: &mut Bench, core: usize) -> Self {
        let memory = bench.system.untyped(12).expect("memory");
        let desk = Desk {
            endpoint: object(bench, memory),
            reply: object(bench, memory),
            go: object(bench, memory),
            back: object(bench, memory),
            wake: object(bench, memory),
            idle: object(bench, memory),
            task: Cell::new(Task {
                load: Load::Call,
                kind: Kind::Count,
                cores: 0,
            }),
        };
        let desk: &'static Desk = Box::leak(Box::new(desk));
        let space = bench.other;
        let server = bench.spawn(server, desk, core, space, None);
        // It waits for calls, and needs no budget any more.
        desk.back.wait();
        server.make_passive();
        bench.spawn(sleeper, desk, core, init::VSPACE, None);
        desk.back.wait();
        desk.idle.signal();
        let worker = bench
            .spawn(worker, desk, core, init::VSPACE, None)
            .with_priority(OURS);
        let mut helper = |priority| {
            bench
                .suspended(taking_turns, desk, core, init::VSPACE, None)
                .with_priority(priority)
        };
        let (peer, ticker) = (helper(OURS), helper(HIGH));
        Self {
            core,
            desk,
            worker,
            peer,
            ticker,
        }
    }

    /// Lets the worker begin.
    fn begin(&self, bench: &Bench, task: Task) {
        self.desk.task.set(task);
        let slice = match (task.kind, task.load) {
            (Kind::Time, Load::Call) => slice_of(SLICE),
            _ => SHORT,
        };
        let configure = |worker: &Worker, [budget, period]: [u64; 2]| {
            bench
                .boot
                .sched_control(self.core)
                .configure(worker.sched.cap(), budget, period, 0, 0)
                .expect("to configure");
        };
        configure(&self.worker, [slice; 2]);
        if task.load == Load::Mixed {
            configure(&self.peer, [slice; 2]);
            configure(&self.ticker, [slice, 10 * slice]);
            for helper in [&self.peer, &self.ticker] {
                helper.tcb.resume().expect("to resume");
            }
        }
        self.desk.go.signal();
    }

    /// Waits until it is done.
    fn end(&self, task: Task) {
        self.desk.back.wait();
        if task.load == Load::Mixed {
            for helper in [&self.peer, &self.ticker] {
                helper.tcb.suspend().expect("to suspend");
            }
        }
    }
}

/// Microseconds of a time slice.
fn slice_of(budget: Budget) -> u64 {
    match budget {
        Budget::RoundRobin { slice } => slice.as_micros() as u64,
        _ => unreachable!("a time slice"),
    }
}

/// An object in memory of one core's. Small objects of different cores would share lines else.
fn object<T: FixedObject>(bench: &mut Bench, memory: Cap<Untyped>) -> Cap<T> {
    let slot = bench.system.slot().expect("a slot");
    let kind: ObjectType = T::OBJECT;
    memory
        .retype_into(kind, 0, init::CNODE, slot.index)
        .expect("an object");
    Cap::from_bits(slot.index)
}

/// Has the cores of these seats do something at once.
pub(crate) fn work(bench: &Bench, seats: &[Seat], load: Load, kind: Kind) -> Results {
    let task = Task {
        load,
        kind,
        cores: seats.len(),
    };
    OPERATIONS.store(0, Ordering::Relaxed);
    for seat in seats {
        seat.begin(bench, task);
    }
    for seat in seats {
        seat.end(task);
    }
    let [sgi, lock_waits, all_entries, held] =
        [0, 1, 2, 3].map(|index: usize| COUNTS[index].load(Ordering::Relaxed));
    Results {
        counts: Counts {
            sgi,
            lock_waits,
            all_entries,
            held,
        },
        operations: OPERATIONS.load(Ordering::Relaxed),
    }
}

/// Does its part whenever it is told to.
extern "C" fn worker(desk: &'static Desk) -> ! {
    loop {
        desk.go.wait();
        let task = desk.task.get();
        // Each of its own function, so that nothing is decided between the operations.
        match task.load {
            Load::Call => perform(task, || call(desk)),
            Load::Mixed => perform(task, || mixed(desk)),
        }
        desk.back.signal();
    }
}

#[inline(always)]
fn call(desk: &Desk) {
    syscall::call(desk.endpoint.bits(), Message::new(0));
}

#[inline(always)]
fn mixed(desk: &Desk) {
    call(desk);
    // Until the one who waits for it, in vain, waits again.
    desk.wake.signal();
    // Until it is our turn again.
    syscall::yield_now();
    desk.idle.signal();
    desk.idle.poll();
    // To nobody.
    syscall::nb_send(0, Message::new(0));
}

#[inline(always)]
fn perform(task: Task, operation: impl Fn()) {
    for _ in 0..WARM_UP {
        operation();
    }
    meet(task.cores, || begin(task));
    let done = match task.kind {
        Kind::Count => repeat(COUNTED, operation),
        Kind::Trace => {
            bench_trace_on();
            let done = repeat(TRACED, operation);
            bench_trace_off();
            done
        }
        Kind::Time => until_deadline(operation),
    };
    OPERATIONS.fetch_add(done, Ordering::Relaxed);
    meet(task.cores, || end(task));
}

#[inline(always)]
fn repeat(operations: u64, operation: impl Fn()) -> u64 {
    for _ in 0..operations {
        operation();
    }
    operations
}

/// As many as there is time for: so many in a second.
fn until_deadline(operation: impl Fn()) -> u64 {
    let deadline = DEADLINE.load(Ordering::Relaxed);
    let mut done = 0;
    let mut now = time::counter();
    let since = now;
    while now < deadline {
        done += repeat(BATCH, &operation);
        now = time::counter();
    }
    done * time::counter_frequency() / (now - since).max(1)
}

/// All cores are there.
fn begin(task: Task) {
    match task.kind {
        Kind::Count => meter::open(),
        Kind::Trace => (),
        Kind::Time => {
            let ticks = WINDOW.as_millis() as u64 * time::counter_frequency() / 1000;
            DEADLINE.store(time::counter() + ticks, Ordering::Relaxed);
        }
    }
}

/// All cores have done their part.
fn end(task: Task) {
    if task.kind == Kind::Count {
        let Counts {
            sgi,
            lock_waits,
            all_entries,
            held,
        } = meter::close();
        for (place, value) in COUNTS.iter().zip([sgi, lock_waits, all_entries, held]) {
            place.store(value, Ordering::Relaxed);
        }
    }
}

/// From here on the core's accesses are written down, where `kernel/tests/memtrace` looks on: it knows these functions
/// by their addresses.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn bench_trace_on() {
    // SAFETY: does nothing, but nobody may leave it out.
    unsafe { asm!("nop", options(nostack)) };
}

/// Up to here.
#[unsafe(no_mangle)]
#[inline(never)]
extern "C" fn bench_trace_off() {
    // SAFETY: as above, and this is another function.
    unsafe { asm!("nop", "nop", options(nostack)) };
}

/// Answers calls. Before the first one it tells that it is there, in one step with beginning to wait for them.
extern "C" fn server(desk: &'static Desk) -> ! {
    let (endpoint, reply) = (desk.endpoint.bits(), desk.reply.bits());
    syscall::nb_send_recv(desk.back.bits(), Message::new(0), endpoint, reply);
    loop {
        syscall::reply_recv(endpoint, Message::new(0), reply);
    }
}

/// Waits for signals. First for one that is only looked at later: a notification belongs to the core on which somebody
/// waited for it last, and until then to the one that made it.
extern "C" fn sleeper(desk: &'static Desk) -> ! {
    syscall::nb_send_wait(desk.back.bits(), Message::new(0), desk.idle.bits());
    loop {
        desk.wake.wait();
    }
}

/// Passes its turns on.
extern "C" fn taking_turns(_: &'static Desk) -> ! {
    loop {
        syscall::yield_now();
    }
}
