//! Making a thread.

use alloc::boxed::Box;
use alloc::sync::Arc;
use core::sync::atomic::{AtomicU8, Ordering};

use sel4_abi::{IpcBuffer, UserContext};

use super::{Packet, Thread};
use crate::cap::{Cap, Endpoint, Notification, Tcb, init};
use crate::debug;
use crate::sched::{Budget, SchedulingContext};
use crate::system::{Guard, Region, ResourceError, System};
use crate::thread_block::{self, ThreadBlock};

/// Bytes of the page that holds a thread's IPC buffer and, after it, its block.
const BUFFER_PAGE: usize = 4096;
const _: () = assert!(size_of::<IpcBuffer>() + size_of::<ThreadBlock>() <= BUFFER_PAGE);
const _: () = assert!(size_of::<IpcBuffer>().is_multiple_of(align_of::<ThreadBlock>()));

/// What a new thread finds at the address in x0.
struct Start {
    run: Box<dyn FnOnce() + Send>,
    /// To be signalled when all that is over.
    done: Cap<Notification>,
}

/// A thread to be.
#[derive(Clone, Debug)]
pub struct ThreadBuilder {
    name: &'static str,
    priority: u8,
    mcp: u8,
    core: usize,
    budget: Budget,
    badge: u64,
    stack: usize,
    fault_handler: Option<Cap<Endpoint>>,
    timeout_handler: Option<Cap<Endpoint>>,
}

impl ThreadBuilder {
    /// A thread of priority 100 on core 0, round robin, with a stack of 16 KiB.
    pub const fn new(name: &'static str) -> Self {
        Self {
            name,
            priority: 100,
            mcp: 0,
            core: 0,
            budget: Budget::DEFAULT,
            badge: 0,
            stack: 16 * 1024,
            fault_handler: None,
            timeout_handler: None,
        }
    }

    /// Its priority, 0 to 255. The first thread has 255.
    #[must_use]
    pub const fn priority(mut self, priority: u8) -> Self {
        self.priority = priority;
        self
    }

    /// Its maximum controlled priority: the highest that it may give to threads. 0 unless set.
    #[must_use]
    pub const fn mc_priority(mut self, mcp: u8) -> Self {
        self.mcp = mcp;
        self
    }

    /// The core it begins on.
    #[must_use]
    pub const fn core(mut self, core: usize) -> Self {
        self.core = core;
        self
    }

    /// How much it may run.
    #[must_use]
    pub const fn budget(mut self, budget: Budget) -> Self {
        self.budget = budget;
        self
    }

    /// The badge of its scheduling context, which Timeout faults carry.
    #[must_use]
    pub const fn badge(mut self, badge: u64) -> Self {
        self.badge = badge;
        self
    }

    /// How many bytes of stack it has.
    #[must_use]
    pub const fn stack(mut self, bytes: usize) -> Self {
        self.stack = bytes;
        self
    }

    /// Where its faults go.
    #[must_use]
    pub const fn fault_handler(mut self, handler: Cap<Endpoint>) -> Self {
        self.fault_handler = Some(handler);
        self
    }

    /// Where its Timeout faults go. Without it the thread waits for its next refill.
    #[must_use]
    pub const fn timeout_handler(mut self, handler: Cap<Endpoint>) -> Self {
        self.timeout_handler = Some(handler);
        self
    }

    /// Makes the thread and starts it.
    ///
    /// # Errors
    /// No slots, memory or addresses; `RangeError` for the budget.
    ///
    /// # Panics
    /// When there is no such core.
    pub fn spawn<T, F>(&self, system: &mut System, body: F) -> Result<Thread<T>, ResourceError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let mut parts = Parts::default();
        match self.prepare(system, &mut parts) {
            Ok(prepared) => self.start(system, prepared, body),
            Err(error) => {
                parts.give_back(system)?;
                Err(error)
            }
        }
    }

    /// Everything but the closure.
    fn prepare(&self, system: &mut System, parts: &mut Parts) -> Result<Prepared, ResourceError> {
        let tcb = *parts.tcb.insert(system.object::<Tcb>()?);
        let done = *parts.done.insert(system.notification()?);
        let sched = SchedulingContext::new(system, self.core, self.budget, self.badge)?;
        let sched = parts.sched.insert(sched);
        let size = self.stack.next_multiple_of(BUFFER_PAGE) + BUFFER_PAGE;
        let region = parts.region.insert(system.region(size, Guard::Page)?);
        let buffer = region.end() - BUFFER_PAGE;
        let frame = region.frames().last().copied();

        if has_debug_calls(tcb)? {
            debug::name_thread(tcb, self.name);
        }
        tcb.configure(init::CNODE, 0, init::VSPACE, buffer as u64, frame)?;
        tcb.set_sched_params(
            init::TCB,
            self.mcp,
            self.priority,
            Some(sched.cap()),
            self.fault_handler,
        )?;
        tcb.set_timeout_endpoint(self.timeout_handler)?;

        let block = (buffer + size_of::<IpcBuffer>()) as *mut ThreadBlock;
        // SAFETY: the address is in the thread's own page, aligned, and nobody else knows it yet.
        unsafe { block.write(ThreadBlock::new(tcb, self.name, buffer as *mut IpcBuffer)) };
        // SAFETY: just written; it stays as long as the thread's memory, which outlives all uses of the block.
        let block = unsafe { &*block };
        block.set_sched(Some(*sched));

        let parts = core::mem::take(parts);
        let (Some(sched), Some(region)) = (parts.sched, parts.region) else {
            unreachable!("both were just made")
        };
        Ok(Prepared {
            tcb,
            done,
            sched,
            region,
            block,
        })
    }

    fn start<T, F>(
        &self,
        system: &mut System,
        prepared: Prepared,
        body: F,
    ) -> Result<Thread<T>, ResourceError>
    where
        T: Send + 'static,
        F: FnOnce() -> T + Send + 'static,
    {
        let packet = Arc::new(Packet::new());
        let its_packet = packet.clone();
        let run = Box::new(move || its_packet.put(body()));
        let stack_top = prepared.region.end() - BUFFER_PAGE;
        let thread = Thread {
            tcb: prepared.tcb,
            name: self.name,
            block: prepared.block,
            sched: Some(prepared.sched),
            done: prepared.done,
            packet,
            region: prepared.region,
        };
        let start = Box::into_raw(Box::new(Start {
            run,
            done: thread.done,
        }));
        let context = UserContext {
            pc: thread_main as *const () as u64,
            sp: stack_top as u64,
            x0: start as u64,
            tpidr_el0: core::ptr::from_ref(thread.block) as u64,
            ..UserContext::default()
        };
        match thread.tcb.write_registers(true, &context) {
            Ok(()) => Ok(thread),
            Err(error) => {
                // SAFETY: the thread did not start, so the box is still ours.
                drop(unsafe { Box::from_raw(start) });
                thread.destroy(system)?;
                Err(error.into())
            }
        }
    }
}

/// A thread that only lacks its closure.
struct Prepared {
    tcb: Cap<Tcb>,
    done: Cap<Notification>,
    sched: SchedulingContext,
    region: Region,
    block: &'static ThreadBlock,
}

/// What has been made so far.
#[derive(Default)]
struct Parts {
    tcb: Option<Cap<Tcb>>,
    done: Option<Cap<Notification>>,
    sched: Option<SchedulingContext>,
    region: Option<Region>,
}

impl Parts {
    fn give_back(self, system: &mut System) -> Result<(), ResourceError> {
        if let Some(tcb) = self.tcb {
            system.destroy(tcb)?;
        }
        if let Some(done) = self.done {
            system.destroy(done)?;
        }
        if let Some(sched) = self.sched {
            sched.destroy(system)?;
        }
        self.region
            .map_or(Ok(()), |region| system.free_region(region))
    }
}

/// Where a thread begins.
extern "C" fn thread_main(start: *mut Start) -> ! {
    let done = {
        // No lock of the library is taken before the closure, not even the heap's: the boxes go after it.
        // SAFETY: the pointer is from `Box::into_raw` in `start`, for this thread alone.
        let start = unsafe { Box::from_raw(start) };
        (start.run)();
        start.done
    };
    // From here on the thread may be destroyed at any moment, so it must not hold a lock of the library again: both
    // boxes are gone by now.
    if let Some(block) = thread_block::current() {
        block.set_ended();
    }
    done.signal();
    loop {
        if let Some(block) = thread_block::current() {
            // Nothing runs it again; an error could not be told to anybody.
            let _ = block.tcb().suspend();
        }
    }
}

/// Whether the kernel offers debug calls other than printing: a new thread's processor state has the SError mask set
/// only in kernels without.
fn has_debug_calls(new_thread: Cap<Tcb>) -> Result<bool, ResourceError> {
    const SERROR_MASKED: u64 = 1 << 8;
    const UNKNOWN: u8 = 2;
    static FOUND: AtomicU8 = AtomicU8::new(UNKNOWN);
    match FOUND.load(Ordering::Relaxed) {
        UNKNOWN => {
            let found = new_thread.read_registers(false)?.spsr & SERROR_MASKED == 0;
            FOUND.store(u8::from(found), Ordering::Relaxed);
            Ok(found)
        }
        found => Ok(found != 0),
    }
}
