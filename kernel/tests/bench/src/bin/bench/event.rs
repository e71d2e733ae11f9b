//! Faults and interrupts.

use core::ptr;
use core::sync::atomic::{AtomicU64, Ordering};

use libsel4::abi::{MessageInfo, Syscall};
use libsel4::invoke::Trigger;
use libsel4::{Cap, IrqHandler, Message, SmallPage, init, syscall};

use tern_bench::meter::{self, SAMPLES, Samples, WARM_UP};
use tern_bench::stamp::{self, Integer, Registers, Request};
use tern_bench::worker::{Bench, HIGH, Job, OURS};

pub(crate) fn run(bench: &mut Bench) {
    if meter::wants(&["fault", "fault_reply"]) {
        faults(bench);
    }
    if meter::wants(&["irq_to_user"]) {
        interrupts(bench);
    }
}

/// Lets threads go on behind the instruction at which they faulted.
extern "C" fn handler(job: &'static Job) -> ! {
    let mut request = Request {
        number: Syscall::Recv as i64,
        x0: job.endpoint.bits(),
        info: 0,
        word: 0,
        x6: job.reply.bits(),
    };
    loop {
        let timed = Integer::timed(request);
        job.departed.set(timed.before, meter::Counts::default());
        job.arrived.set(timed.after, meter::close());
        request.number = Syscall::ReplyRecv as i64;
        // Its first word is the program counter, of a fault and of the answer.
        request.info = MessageInfo::new(0, 0, 0, 1).0;
        request.word = timed.word + 4;
        meter::open();
    }
}

/// Faults each time that it is told to.
extern "C" fn faulter(job: &'static Job) -> ! {
    loop {
        syscall::nb_send_wait(job.back.bits(), Message::new(0), job.go.bits());
        meter::open();
        let (before, after) = stamp::timed_fault();
        let counts = meter::close();
        job.called.set(before, meter::Counts::default());
        job.returned.set(after, counts);
    }
}

/// An undefined instruction until its passive handler runs, and the answer until the thread runs. One address space.
fn faults(bench: &mut Bench) {
    let job = Job::new(&mut bench.system);
    let handler = bench.worker(handler, job).make_passive();
    let faulter = bench
        .spawn(faulter, job, 0, init::VSPACE, Some(job.endpoint))
        .with_priority(OURS);
    let (mut faults, mut replies) = (Samples::empty(), Samples::empty());
    let mut last = None;
    job.back.wait();
    for _ in 0..=WARM_UP + SAMPLES {
        job.go.signal();
        job.back.wait();
        if let Some((returned, counts)) = last {
            // When the handler answered the fault before is known by now.
            replies.push(returned - job.departed.time(), counts);
        }
        faults.push(job.arrived.time() - job.called.time(), job.arrived.counts());
        last = Some((job.returned.time(), job.returned.counts()));
    }
    faults.print("fault");
    replies.print("fault_reply");
    faulter.stop();
    handler.stop();
}

/// The real-time clock of QEMU's `virt` (a PL031): its address, its interrupt line, and its registers.
mod clock {
    pub(super) const ADDRESS: u64 = 0x901_0000;
    pub(super) const IRQ: u64 = 32 + 2;
    /// Seconds.
    pub(super) const DATA: usize = 0;
    /// At this second the interrupt condition holds, from then on.
    pub(super) const MATCH: usize = 4;
    /// Bit 0: whether the interrupt is let through.
    pub(super) const MASK: usize = 0x10;
    /// Bit 0: whether the condition holds.
    pub(super) const RAW: usize = 0x14;
}

/// Where the clock's registers are mapped, and the capability of its line: for the waiter.
static REGISTERS: AtomicU64 = AtomicU64::new(0);
static LINE: AtomicU64 = AtomicU64::new(0);

fn register(offset: usize) -> *mut u32 {
    ptr::with_exposed_provenance_mut(REGISTERS.load(Ordering::Relaxed) as usize + offset)
}

/// Waits for interrupts, and notes when they came.
extern "C" fn driver(job: &'static Job) -> ! {
    let line: Cap<IrqHandler> = Cap::from_bits(LINE.load(Ordering::Relaxed));
    loop {
        let timed = Integer::timed(Request {
            number: Syscall::Wait as i64,
            x0: job.go.bits(),
            info: 0,
            word: 0,
            x6: 0,
        });
        job.arrived.set(timed.after, meter::close());
        // SAFETY: a register of the clock, which nobody else uses.
        unsafe { register(clock::MASK).write_volatile(0) };
        line.ack().expect("to acknowledge");
    }
}

/// The store that makes a device interrupt, until the driver of higher priority runs. One address space.
fn interrupts(bench: &mut Bench) {
    let job = Job::new(&mut bench.system);
    let system = &mut bench.system;
    let registers = system
        .map_device::<SmallPage>(clock::ADDRESS)
        .expect("the clock");
    REGISTERS.store(registers as u64, Ordering::Relaxed);
    let read = |offset| {
        // SAFETY: a register of the clock, which nobody else uses.
        unsafe { register(offset).read_volatile() }
    };
    let write = |offset, value| {
        // SAFETY: a register of the clock, which nobody else uses.
        unsafe { register(offset).write_volatile(value) }
    };
    write(clock::MASK, 0);
    // From now on the condition holds, and the mask alone decides. (The second may end in between.)
    while read(clock::RAW) & 1 == 0 {
        write(clock::MATCH, read(clock::DATA));
    }
    let slot = system.slot().expect("a slot");
    let control = init::IRQ_CONTROL;
    if bench.boot.cores() > 1 {
        control.get_trigger_core(clock::IRQ, Trigger::Level, 0, &slot)
    } else {
        control.get_trigger(clock::IRQ, Trigger::Level, &slot)
    }
    .expect("the clock's line");
    LINE.store(slot.index, Ordering::Relaxed);
    let line: Cap<IrqHandler> = Cap::from_bits(slot.index);
    line.set_notification(job.go).expect("to be told");
    let driver = bench.worker(driver, job).with_priority(HIGH);
    let mut samples = Samples::empty();
    for _ in 0..WARM_UP + SAMPLES {
        let last = job.arrived.time();
        meter::open();
        let before = stamp::timed_store(register(clock::MASK), 1);
        while job.arrived.time() == last {}
        samples.push(job.arrived.time() - before, job.arrived.counts());
    }
    samples.print("irq_to_user");
    driver.stop();
}
