//! Threads of the program: a closure, a stack with an unmapped page in front, a budget on a core.
//!
//! ```ignore
//! let mut system = System::new(boot);
//! let thread = ThreadBuilder::new("worker").core(1).spawn(&mut system, || 6 * 7)?;
//! assert_eq!(thread.join(&mut system)?, 42);
//! ```
//!
//! Threads share capability space, address space and heap with the first one. Each has an IPC buffer, a thread block
//! and, in kernels with debug calls, its name. A panic in any thread ends the run. When its closure returns, a thread
//! stops; its memory comes back with [`Thread::join`] or [`Thread::destroy`].

mod builder;
mod guarded;
mod server;

use alloc::sync::Arc;
use core::cell::UnsafeCell;
use core::ptr;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use crate::cap::{Cap, Notification, Tcb, init};
use crate::debug;
use crate::error::Error;
use crate::sched::SchedulingContext;
use crate::sync::outside_library;
use crate::system::{Region, ResourceError, System};
use crate::thread_block::{self, ThreadBlock};

pub use builder::ThreadBuilder;
pub use guarded::run_guarded;
pub use server::PassiveServer;

/// Where a thread leaves its result.
struct Packet<T> {
    value: UnsafeCell<Option<T>>,
    finished: AtomicBool,
}

// SAFETY: the thread writes the value before it sets `finished`, and nobody reads it before that.
unsafe impl<T: Send> Sync for Packet<T> {}

impl<T> Packet<T> {
    const fn new() -> Self {
        Self {
            value: UnsafeCell::new(None),
            finished: AtomicBool::new(false),
        }
    }

    /// Leaves the result. To be called once.
    fn put(&self, value: T) {
        // SAFETY: nobody else accesses the value before `finished` is set.
        unsafe { *self.value.get() = Some(value) };
        // Release: whoever sees it set also sees the value.
        self.finished.store(true, Ordering::Release);
    }

    /// Takes the result, if it is there.
    fn take(&mut self) -> Option<T> {
        self.finished
            .load(Ordering::Acquire)
            .then(|| self.value.get_mut().take())
            .flatten()
    }
}

/// A thread that was started.
pub struct Thread<T = ()> {
    tcb: Cap<Tcb>,
    name: &'static str,
    block: &'static ThreadBlock,
    /// Its own scheduling context; `None` for a thread that runs on what others lend it.
    sched: Option<SchedulingContext>,
    /// Signalled when the closure has returned.
    done: Cap<Notification>,
    packet: Arc<Packet<T>>,
    region: Region,
}

impl<T> Thread<T> {
    /// Its control block.
    pub fn tcb(&self) -> Cap<Tcb> {
        self.tcb
    }

    /// Its name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// Its own scheduling context, if it has one.
    pub fn sched(&self) -> Option<SchedulingContext> {
        self.sched
    }

    /// Whether its closure has returned.
    pub fn is_finished(&self) -> bool {
        self.block.has_ended()
    }

    /// The core it belongs to, as the kernel has it (`seL4_DebugGetThreadAffinity`): needs a kernel with debug calls.
    pub fn affinity(&self) -> Option<usize> {
        debug::thread_affinity(self.tcb)
    }

    /// `seL4_TCB_Suspend`: stops it. What it waits for is cancelled.
    ///
    /// Not within an allocation or the printing of a line, which are waited for: the others could neither allocate nor
    /// print. (Its control block's own [`Cap::<Tcb>::suspend`] stops it anywhere.)
    ///
    /// # Errors
    /// None of its own.
    pub fn suspend(&self) -> Result<(), Error> {
        if thread_block::current().is_some_and(|current| ptr::eq(current, self.block)) {
            return self.tcb.suspend();
        }
        outside_library(|| self.tcb.suspend())
    }

    /// `seL4_TCB_Resume`: lets it go on. A system call that it was stopped in starts again.
    ///
    /// # Errors
    /// None of its own.
    pub fn resume(&self) -> Result<(), Error> {
        self.tcb.resume()
    }

    /// `seL4_TCB_SetPriority`, with the first thread's authority.
    ///
    /// # Errors
    /// None of its own while the first thread keeps its maximum controlled priority.
    pub fn set_priority(&self, priority: u8) -> Result<(), Error> {
        self.tcb.set_priority(init::TCB, priority)
    }

    /// Moves it to a core, with its own scheduling context: [`SchedulingContext::move_to`].
    ///
    /// # Errors
    /// `IllegalOperation` when it has none of its own.
    ///
    /// # Panics
    /// When there is no such core.
    pub fn move_to(&self, core: usize) -> Result<(), Error> {
        self.sched
            .as_ref()
            .ok_or(Error::IllegalOperation)?
            .move_to(core)
    }

    /// The time its own scheduling context was charged since this was last asked; zero if it has none.
    ///
    /// # Errors
    /// None of its own.
    pub fn consumed(&self) -> Result<Duration, Error> {
        self.sched
            .as_ref()
            .map_or(Ok(Duration::ZERO), SchedulingContext::consumed)
    }

    /// Gives it another scheduling context, or none, and returns the one it had. It goes on where the new one is. As in
    /// [`Thread::suspend`], its own is not taken within an allocation or the printing of a line.
    ///
    /// # Errors
    /// `IllegalOperation` when the new one is bound already, when its budget is not ready and the thread is blocked,
    /// or for the calling thread's own.
    pub fn rebind(
        &mut self,
        sched: Option<SchedulingContext>,
    ) -> Result<Option<SchedulingContext>, Error> {
        if let Some(before) = self.sched {
            outside_library(|| before.unbind())?;
        }
        let before = self.sched.take();
        self.block.set_sched(sched);
        if let Some(sched) = sched {
            sched.bind(self.tcb)?;
        }
        self.sched = sched;
        Ok(before)
    }

    /// Waits until its closure has returned, and stops it there. Everything of it stays, so its scheduling context
    /// can be asked what it used.
    ///
    /// # Errors
    /// None of its own.
    pub fn wait(&self) -> Result<(), Error> {
        self.done.wait();
        // For the next to wait, or to join.
        self.done.signal();
        self.tcb.suspend()
    }

    /// Waits until its closure has returned, takes the result, and takes its memory back. The calling thread blocks.
    ///
    /// # Errors
    /// Of the kernel's revoke.
    pub fn join(mut self, system: &mut System) -> Result<T, ResourceError> {
        self.wait()?;
        // The thread dropped its share of the packet before it signalled.
        let packet = Arc::get_mut(&mut self.packet);
        let value = packet.and_then(Packet::take);
        let value = value.unwrap_or_else(|| unreachable!("a thread that is done left its result"));
        self.destroy(system)?;
        Ok(value)
    }

    /// Stops it as [`Thread::suspend`] does, and takes its memory back. What its closure owned on the heap is lost, and
    /// a lock of the program's own that it held stays locked.
    ///
    /// # Errors
    /// Of the kernel's revoke.
    pub fn destroy(self, system: &mut System) -> Result<(), ResourceError> {
        self.suspend()?;
        system.destroy(self.tcb)?;
        system.destroy(self.done)?;
        if let Some(sched) = self.sched {
            sched.destroy(system)?;
        }
        system.free_region(self.region)
    }
}
