//! Helpers of the tests about scheduling, time and several cores: a bench that makes threads of a few kinds, and waits that
//! end with a picture of all threads instead of hanging.
//!
//! The root task runs at priority 255 on core 0, above everything that a test makes. It lets others run on its core by
//! blocking or by [`Bench::sleep`]. Where a thread is, only the kernel says ([`affinity`]).

extern crate alloc;

use alloc::{boxed::Box, vec::Vec};
use core::arch::asm;
use core::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use core::time::Duration;

use libsel4::{
    BootInfo, Budget, Cap, Endpoint, Message, Notification, Received, Reply, SchedContext, System,
    Tcb, Thread, ThreadBuilder, debug, init, syscall, thread_block, time,
};

/// A time slice that no test uses up: where the order of threads matters, and the host may stop one in mid-slice.
pub const LONG_SLICE: Budget = Budget::RoundRobin {
    slice: Duration::from_micros(LONG_SLICE_MICROS),
};
const LONG_SLICE_MICROS: u64 = 600_000_000;

/// The time slice that the root task gets back after it slept, in microseconds.
const ROOT_SLICE: u64 = 5000;

/// Whether time is a count of instructions: what happens when is exact then.
pub fn exact_time() -> bool {
    time::counts_instructions()
}

/// The core that a thread belongs to, as the kernel has it.
pub fn affinity(thread: Cap<Tcb>) -> usize {
    debug::thread_affinity(thread).expect("a thread")
}

/// A counter that lives for ever, for a thread's closure and for whoever watches it.
pub fn counter() -> &'static AtomicU64 {
    Box::leak(Box::new(AtomicU64::new(0)))
}

/// Ticks of the counter in so many microseconds.
pub fn ticks(micros: u64) -> u64 {
    u64::try_from(u128::from(micros) * u128::from(time::counter_frequency()) / 1_000_000)
        .expect("a short time")
}

/// Spins for a time of the counter, whether or not it has this core all the time.
pub fn spin(micros: u64) {
    let start = time::counter();
    while time::counter() - start < ticks(micros) {}
}

/// What happened in which order: numbers, pushed by any thread.
pub struct Log {
    length: AtomicUsize,
    items: [AtomicU64; 256],
}

impl Log {
    /// An empty log that lives for ever.
    pub fn new() -> &'static Self {
        Box::leak(Box::new(Self {
            length: AtomicUsize::new(0),
            items: [const { AtomicU64::new(0) }; 256],
        }))
    }

    /// Appends a number.
    pub fn push(&self, item: u64) {
        let index = self.length.load(Ordering::Relaxed);
        self.items[index].store(item, Ordering::Relaxed);
        // Release: who sees the length sees the item. Threads of one core, or in turn, push here.
        self.length.store(index + 1, Ordering::Release);
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.length.load(Ordering::Acquire)
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Number `index`.
    pub fn get(&self, index: usize) -> u64 {
        self.items[index].load(Ordering::Relaxed)
    }

    /// Panics unless exactly these numbers were pushed, in this order; then empties the log.
    #[track_caller]
    pub fn take(&self, expected: &[u64]) {
        let found: Vec<u64> = (0..self.len()).map(|index| self.get(index)).collect();
        assert_eq!(found, expected, "the order of events");
        self.length.store(0, Ordering::Relaxed);
    }
}

/// A thread that counts.
pub struct Spinner {
    pub thread: Thread<()>,
    pub count: &'static AtomicU64,
}

impl Spinner {
    /// How far it has counted.
    pub fn read(&self) -> u64 {
        self.count.load(Ordering::Relaxed)
    }

    /// The core it belongs to.
    pub fn core(&self) -> usize {
        affinity(self.thread.tcb())
    }

    /// Its own scheduling context.
    pub fn sc(&self) -> Cap<SchedContext> {
        self.thread
            .sched()
            .expect("made with a scheduling context")
            .cap()
    }
}

/// A thread that serves an endpoint. Its closure gets what is received and makes the answer.
pub struct Server {
    pub thread: Thread<()>,
    pub endpoint: Cap<Endpoint>,
    pub reply: Cap<Reply>,
}

/// Everything a test starts with.
pub struct Bench {
    pub system: System,
    pub boot: &'static BootInfo,
    /// In real time, a thread on each core below all others, which runs once they rest: see [`Bench::settle`].
    probes: Vec<Spinner>,
}

impl Bench {
    /// Takes possession of the machine.
    pub fn new(boot: &'static BootInfo) -> Self {
        let mut bench = Self {
            system: System::new(boot),
            boot,
            probes: Vec::new(),
        };
        if !exact_time() {
            let probes = (0..bench.cores()).map(|core| bench.probe(core));
            bench.probes = probes.collect();
        }
        bench
    }

    /// A thread that counts once each time it is resumed.
    fn probe(&mut self, core: usize) -> Spinner {
        let count = counter();
        let thread = self.thread("probe", core, 1, move || {
            let me = thread_block::current().expect("a block").tcb();
            loop {
                count.fetch_add(1, Ordering::Relaxed);
                me.suspend().expect("suspended");
            }
        });
        Spinner { thread, count }
    }

    /// How many cores there are.
    pub fn cores(&self) -> usize {
        self.boot.cores()
    }

    /// The root task blocks for about so long. (It gives up its budget until the next period.)
    pub fn sleep(&self, micros: u64) {
        let control = self.boot.sched_control(affinity(init::TCB));
        let period = micros.max(400);
        control
            .configure(init::SCHED_CONTEXT, period / 2, period, 0, 0)
            .expect("a budget for a sleep");
        syscall::yield_now();
        control
            .configure(init::SCHED_CONTEXT, ROOT_SLICE, ROOT_SLICE, 0, 0)
            .expect("the root task's time slice");
    }

    /// Gives other threads so long to come to rest. In real time, where the host may let any of them stand still, until
    /// all cores have time for their least important thread; or much longer, if a thread spins on one of them.
    pub fn settle(&self, micros: u64) {
        if exact_time() {
            return self.sleep(micros);
        }
        // Twice, since what ran last on one core may have woken somebody on another.
        for _ in 0..2 {
            let start = time::counter();
            let before: Vec<u64> = self.probes.iter().map(Spinner::read).collect();
            for probe in &self.probes {
                probe.thread.tcb().resume().expect("resumed");
            }
            let has_run = |(probe, before): (&Spinner, &u64)| probe.read() > *before;
            while !self.probes.iter().zip(&before).all(has_run)
                && time::counter() - start < ticks(micros + 50_000)
            {
                self.sleep(400);
            }
        }
    }

    /// Sleeps until the condition holds. A test in which it never does ends with the state of all threads.
    #[track_caller]
    pub fn eventually(&self, what: &str, mut condition: impl FnMut() -> bool) {
        // Not a bound on time: a loaded host may let the machine stand still for long.
        let patience = if exact_time() { 2_000 } else { 30_000 };
        for _ in 0..patience {
            if condition() {
                return;
            }
            self.sleep(400);
        }
        debug::dump_scheduler();
        panic!("in vain waited for: {what}");
    }

    /// The thread gets on.
    #[track_caller]
    pub fn runs(&self, spinner: &Spinner) {
        let before = spinner.read();
        self.eventually("the thread runs", || spinner.read() > before + 2);
    }

    /// The thread does not get on.
    #[track_caller]
    pub fn rests(&self, spinner: &Spinner) {
        let before = spinner.read();
        self.sleep(2_000);
        assert_eq!(spinner.read(), before, "the thread must not run");
    }

    /// A thread that counts for ever.
    pub fn spinner(&mut self, core: usize, priority: u8) -> Spinner {
        self.spinner_with(ThreadBuilder::new("spinner").core(core).priority(priority))
    }

    /// The same, made with other parameters.
    pub fn spinner_with(&mut self, builder: ThreadBuilder) -> Spinner {
        let count = counter();
        let thread = builder
            .spawn(&mut self.system, move || {
                loop {
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
            .expect("a thread");
        Spinner { thread, count }
    }

    /// A thread that counts, and keeps a pattern of its own in floating-point registers.
    pub fn fpu_spinner(&mut self, core: usize, priority: u8) -> Spinner {
        let count = counter();
        let pattern = core::ptr::from_ref(count) as u64 ^ 0x0123_4567_89ab_cdef;
        let thread = ThreadBuilder::new("fpu")
            .core(core)
            .priority(priority)
            .spawn(&mut self.system, move || {
                loop {
                    assert!(fpu_keeps(pattern, 300), "floating-point state was lost");
                    count.fetch_add(1, Ordering::Relaxed);
                }
            })
            .expect("a thread");
        Spinner { thread, count }
    }

    /// A thread with this body that was made and has started to run is not waited for.
    pub fn thread<T: Send + 'static>(
        &mut self,
        name: &'static str,
        core: usize,
        priority: u8,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> Thread<T> {
        ThreadBuilder::new(name)
            .core(core)
            .priority(priority)
            .spawn(&mut self.system, body)
            .expect("a thread")
    }

    /// A thread that waits for a signal before it runs its body. It has never run anything but that wait.
    pub fn gated<T: Send + 'static>(
        &mut self,
        builder: ThreadBuilder,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> (Thread<T>, Cap<Notification>) {
        let gate = self.system.notification().expect("a notification");
        let ready = self.system.notification().expect("a notification");
        let thread = builder
            .spawn(&mut self.system, move || {
                syscall::nb_send_wait(ready.bits(), Message::new(0), gate.bits());
                body()
            })
            .expect("a thread");
        ready.wait();
        self.system.destroy(ready).expect("destroyed");
        (thread, gate)
    }

    /// As [`Bench::gated`], and it has no scheduling context.
    pub fn parked<T: Send + 'static>(
        &mut self,
        name: &'static str,
        core: usize,
        priority: u8,
        body: impl FnOnce() -> T + Send + 'static,
    ) -> (Thread<T>, Cap<Notification>) {
        let builder = ThreadBuilder::new(name).core(core).priority(priority);
        let (mut thread, gate) = self.gated(builder, body);
        self.make_passive(&mut thread);
        (thread, gate)
    }

    /// A server that waits for its first message, with a scheduling context of its own.
    pub fn active_server(
        &mut self,
        name: &'static str,
        core: usize,
        priority: u8,
        mut answer: impl FnMut(Received) -> Message + Send + 'static,
    ) -> Server {
        let endpoint = self.system.endpoint().expect("an endpoint");
        let reply = self.system.reply().expect("a reply object");
        let ready = self.system.notification().expect("a notification");
        let thread = self.thread(name, core, priority, move || {
            let mut received =
                syscall::nb_send_recv(ready.bits(), Message::new(0), endpoint.bits(), reply.bits());
            loop {
                received = endpoint.reply_recv(answer(received), reply);
            }
        });
        ready.wait();
        self.system.destroy(ready).expect("destroyed");
        Server {
            thread,
            endpoint,
            reply,
        }
    }

    /// A server without a scheduling context that waits for its first message.
    pub fn passive_server(
        &mut self,
        name: &'static str,
        core: usize,
        priority: u8,
        answer: impl FnMut(Received) -> Message + Send + 'static,
    ) -> Server {
        let mut server = self.active_server(name, core, priority, answer);
        self.make_passive(&mut server.thread);
        server
    }

    /// Takes a thread's scheduling context away and destroys it.
    pub fn make_passive<T>(&mut self, thread: &mut Thread<T>) {
        if let Some(sched) = thread.rebind(None).expect("unbound") {
            sched.destroy(&mut self.system).expect("destroyed");
        }
    }

    /// A scheduling context on a core: round robin with slices of 5 ms.
    pub fn sched_context(&mut self, core: usize) -> Cap<SchedContext> {
        let sc = self.system.sched_context(0).expect("a scheduling context");
        self.move_sc(sc, core);
        sc
    }

    /// Configures a round-robin scheduling context with slices of 5 ms on a core.
    pub fn move_sc(&self, sc: Cap<SchedContext>, core: usize) {
        self.move_with_slice(sc, core, ROOT_SLICE);
    }

    /// The same with [`LONG_SLICE`].
    pub fn move_unsliced(&self, sc: Cap<SchedContext>, core: usize) {
        self.move_with_slice(sc, core, LONG_SLICE_MICROS);
    }

    fn move_with_slice(&self, sc: Cap<SchedContext>, core: usize, slice: u64) {
        self.boot
            .sched_control(core)
            .configure(sc, slice, slice, 0, 0)
            .expect("configured");
    }
}

/// Puts a pattern into floating-point registers from the first to the last and into the rounding mode, waits, and tells
/// whether it is still there.
pub fn fpu_keeps(pattern: u64, turns: u64) -> bool {
    const ROUND_TO_ZERO: u64 = 3 << 22;
    let (difference, mode): (u64, u64);
    // SAFETY: registers only; all that change are declared, and the control register is put back to its usual zero.
    unsafe {
        asm!(
            "msr fpcr, {mode}",
            "dup v0.2d, {pattern}",
            "dup v7.2d, {pattern}",
            "dup v8.2d, {pattern}",
            "dup v16.2d, {pattern}",
            "dup v31.2d, {pattern}",
            "2: subs {turns}, {turns}, #1",
            "b.ne 2b",
            "dup v1.2d, {pattern}",
            "eor v0.16b, v0.16b, v1.16b",
            "eor v7.16b, v7.16b, v1.16b",
            "eor v8.16b, v8.16b, v1.16b",
            "eor v16.16b, v16.16b, v1.16b",
            "eor v31.16b, v31.16b, v1.16b",
            "orr v0.16b, v0.16b, v7.16b",
            "orr v8.16b, v8.16b, v16.16b",
            "orr v0.16b, v0.16b, v31.16b",
            "orr v0.16b, v0.16b, v8.16b",
            "umov {difference}, v0.d[0]",
            "umov {pattern}, v0.d[1]",
            "orr {difference}, {difference}, {pattern}",
            "mrs {mode}, fpcr",
            "msr fpcr, xzr",
            pattern = inout(reg) pattern => _,
            turns = inout(reg) turns => _,
            mode = inout(reg) ROUND_TO_ZERO => mode,
            difference = out(reg) difference,
            out("v0") _, out("v1") _, out("v7") _, out("v8") _, out("v16") _, out("v31") _,
            options(nomem, nostack),
        );
    }
    difference == 0 && mode == ROUND_TO_ZERO
}
