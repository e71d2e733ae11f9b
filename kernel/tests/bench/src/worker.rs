//! Threads that take part in a benchmark, and address spaces for them.
//!
//! Another address space has all of this program's memory at the same addresses, so that threads there run the same
//! code and see the same data; for the kernel, and for the processor, it is another one all the same.

use alloc::boxed::Box;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use libsel4::system::Guard;
use libsel4::thread_block::ThreadBlock;
use libsel4::{
    BootInfo, Budget, Cap, CapRights, Endpoint, Notification, Reply, SchedulingContext, SmallPage,
    System, Tcb, UserContext, VSpace, VmAttributes, init,
};

use crate::meter::Counts;

/// The priority of the thread that measures.
pub const OURS: u8 = 100;
/// Lower.
pub const LOW: u8 = 50;
/// Higher. New threads have it, so that they run until they wait before the first thread goes on.
pub const HIGH: u8 = 200;

const STACK: usize = 16 * 1024;
const PAGE: usize = 4096;

/// So long that no slice ends while something is measured.
pub const SLICE: Budget = Budget::RoundRobin {
    slice: Duration::from_secs(20),
};

/// When something happened, and what the kernel had counted.
#[derive(Default)]
pub struct Mark {
    time: AtomicU64,
    counts: [AtomicU64; 4],
}

impl Mark {
    pub fn set(&self, time: u64, counts: Counts) {
        self.time.store(time, Ordering::Relaxed);
        let Counts {
            sgi,
            lock_waits,
            all_entries,
            held,
        } = counts;
        for (place, value) in self.counts.iter().zip([sgi, lock_waits, all_entries, held]) {
            place.store(value, Ordering::Relaxed);
        }
    }

    pub fn time(&self) -> u64 {
        self.time.load(Ordering::Relaxed)
    }

    pub fn counts(&self) -> Counts {
        let [sgi, lock_waits, all_entries, held] =
            [0, 1, 2, 3].map(|index: usize| self.counts[index].load(Ordering::Relaxed));
        Counts {
            sgi,
            lock_waits,
            all_entries,
            held,
        }
    }
}

/// What a worker uses, and what it tells.
pub struct Job {
    pub endpoint: Cap<Endpoint>,
    pub reply: Cap<Reply>,
    /// The worker waits for it.
    pub go: Cap<Notification>,
    /// The worker signals it.
    pub back: Cap<Notification>,
    /// Words of its messages, or another number that it needs.
    pub number: AtomicU64,
    /// When a message, a signal or a turn reached it.
    pub arrived: Mark,
    /// When it began to answer.
    pub departed: Mark,
    /// When its call began.
    pub called: Mark,
    /// When that had been answered.
    pub returned: Mark,
}

impl Job {
    pub fn new(system: &mut System) -> &'static Self {
        Box::leak(Box::new(Self {
            endpoint: system.endpoint().expect("an endpoint"),
            reply: system.reply().expect("a reply object"),
            go: system.notification().expect("a notification"),
            back: system.notification().expect("a notification"),
            number: AtomicU64::new(0),
            arrived: Mark::default(),
            departed: Mark::default(),
            called: Mark::default(),
            returned: Mark::default(),
        }))
    }

    pub fn number(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }

    pub fn set_number(&self, number: u64) {
        self.number.store(number, Ordering::Relaxed);
    }
}

/// What a worker runs, with what it uses.
pub type Body<T = Job> = extern "C" fn(&'static T) -> !;

/// What every benchmark needs.
pub struct Bench {
    pub boot: &'static BootInfo,
    pub system: System,
    /// The other address space.
    pub other: Cap<VSpace>,
}

/// A thread.
pub struct Worker {
    pub tcb: Cap<Tcb>,
    pub sched: SchedulingContext,
}

impl Bench {
    pub fn new(boot: &'static BootInfo) -> Self {
        let mut system = System::new(boot);
        init::TCB
            .set_priority(init::TCB, OURS)
            .expect("to lower the priority");
        let other = other_space(boot, &mut system);
        let bench = Self {
            boot,
            system,
            other,
        };
        bench.move_to(0);
        bench
    }

    /// Puts the first thread on a core.
    #[inline(always)]
    pub fn move_to(&self, core: usize) {
        self.configure(init::SCHED_CONTEXT, core);
    }

    /// Gives a scheduling context its budget, on a core.
    #[inline(always)]
    pub fn configure(&self, context: Cap<libsel4::SchedContext>, core: usize) {
        const MICROSECONDS: u64 = 20_000_000;
        self.boot
            .sched_control(core)
            .configure(context, MICROSECONDS, MICROSECONDS, 0, 0)
            .expect("to configure");
    }

    /// A thread in this address space, on this core.
    pub fn worker(&mut self, body: Body, job: &'static Job) -> Worker {
        self.spawn(body, job, 0, init::VSPACE, None)
    }

    /// A thread in the other address space.
    pub fn stranger(&mut self, body: Body, job: &'static Job, core: usize) -> Worker {
        self.spawn(body, job, core, self.other, None)
    }

    /// A thread, which runs until it waits.
    pub fn spawn<T: Sync>(
        &mut self,
        body: Body<T>,
        job: &'static T,
        core: usize,
        space: Cap<VSpace>,
        handler: Option<Cap<Endpoint>>,
    ) -> Worker {
        let worker = self.suspended(body, job, core, space, handler);
        worker.tcb.resume().expect("to start the thread");
        worker
    }

    /// A thread that does not run yet.
    pub fn suspended<T: Sync>(
        &mut self,
        body: Body<T>,
        job: &'static T,
        core: usize,
        space: Cap<VSpace>,
        handler: Option<Cap<Endpoint>>,
    ) -> Worker {
        let system = &mut self.system;
        let tcb = system.object::<Tcb>().expect("a thread");
        let sched = SchedulingContext::new(system, core, SLICE, 0).expect("a budget");
        let region = system
            .region(STACK + PAGE, Guard::Page)
            .expect("memory for a thread");
        if space != init::VSPACE {
            for (index, &frame) in region.frames().iter().enumerate() {
                share(system, space, frame, region.start() + index * PAGE);
            }
        }
        let buffer = region.end() - PAGE;
        let block = ThreadBlock::new(tcb, "worker", buffer as *mut _);
        let block: &'static ThreadBlock = Box::leak(Box::new(block));
        let frame = region.frames().last().copied();
        tcb.configure(init::CNODE, 0, space, buffer as u64, frame)
            .expect("to configure the thread");
        tcb.set_sched_params(init::TCB, 0, HIGH, Some(sched.cap()), handler)
            .expect("to schedule the thread");
        let context = UserContext {
            pc: body as *const () as u64,
            sp: buffer as u64,
            x0: core::ptr::from_ref(job) as u64,
            tpidr_el0: core::ptr::from_ref(block) as u64,
            ..UserContext::default()
        };
        tcb.write_registers(false, &context)
            .expect("to write the registers");
        Worker { tcb, sched }
    }
}

impl Worker {
    /// From now on it runs on what its callers lend it. It waits.
    pub fn make_passive(self) -> Self {
        self.sched.cap().unbind().expect("to unbind");
        self.with_priority(OURS)
    }

    pub fn with_priority(self, priority: u8) -> Self {
        self.tcb
            .set_priority(init::TCB, priority)
            .expect("to set the priority");
        self
    }

    /// It does not run any more.
    pub fn stop(self) {
        self.tcb.suspend().expect("to suspend");
    }
}

/// A new address space with all of this program's image.
fn other_space(boot: &'static BootInfo, system: &mut System) -> Cap<VSpace> {
    let space = system.vspace().expect("an address space");
    let frames = boot.user_image_frames();
    let start = boot.user_image_end() - frames.len() as usize * PAGE;
    for (index, slot) in (frames.start..frames.end).enumerate() {
        share(system, space, Cap::from_bits(slot), start + index * PAGE);
    }
    space
}

/// Maps a frame of this program into another address space too.
fn share(system: &mut System, space: Cap<VSpace>, frame: Cap<SmallPage>, vaddr: usize) {
    let copy = system.copy(frame, CapRights::all()).expect("a copy");
    system
        .map_at(
            space,
            copy,
            vaddr,
            CapRights::READ_WRITE,
            VmAttributes::default(),
        )
        .expect("to map a frame");
}
