//! What the library keeps for each thread: its IPC buffer, its name, the line it is printing.
//!
//! TPIDR_EL0 points at the running thread's [`ThreadBlock`]. The root task's block is a static; threads made by
//! [`crate::thread`] have theirs in the page of their IPC buffer. A thread made by hand may call [`install`] first
//! thing; without a block it can make system calls with up to four words and print, but nothing that needs the
//! buffer.

use core::cell::UnsafeCell;
use core::sync::atomic::{AtomicBool, AtomicPtr, Ordering};

use sel4_abi::IpcBuffer;

use crate::arch;
use crate::cap::{Cap, Tcb};
use crate::console::LineBuffer;
use crate::sched::{Note, SchedulingContext};

/// What the library keeps for one thread.
#[repr(C)]
pub struct ThreadBlock {
    ipc_buffer: *mut IpcBuffer,
    tcb: Cap<Tcb>,
    name: &'static str,
    /// What is known of the thread's scheduling context; null when it has none of its own.
    sched: AtomicPtr<Note>,
    /// The thread has used the library for the last time.
    ended: AtomicBool,
    line: UnsafeCell<LineBuffer>,
}

// SAFETY: the cell is accessed by the thread that the block belongs to only (`with_line`, reached through its own
// TPIDR_EL0); the buffer pointer and the names never change; the
// scheduling context is an atomic.
unsafe impl Sync for ThreadBlock {}

impl ThreadBlock {
    /// The block of a thread with this control block and with its IPC buffer mapped at `ipc_buffer` (null for none).
    pub const fn new(tcb: Cap<Tcb>, name: &'static str, ipc_buffer: *mut IpcBuffer) -> Self {
        Self {
            ipc_buffer,
            tcb,
            name,
            sched: AtomicPtr::new(core::ptr::null_mut()),
            ended: AtomicBool::new(false),
            line: UnsafeCell::new(LineBuffer::new()),
        }
    }

    /// Where the thread's IPC buffer is mapped; null for none.
    pub fn ipc_buffer(&self) -> *mut IpcBuffer {
        self.ipc_buffer
    }

    /// Says that the thread uses neither heap nor console any more, so that it can be destroyed.
    pub(crate) fn set_ended(&self) {
        self.ended.store(true, Ordering::Release);
    }

    /// Whether it has said so.
    pub(crate) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// The thread's own control block.
    pub fn tcb(&self) -> Cap<Tcb> {
        self.tcb
    }

    /// The thread's name.
    pub fn name(&self) -> &'static str {
        self.name
    }

    /// The scheduling context that the library last gave the thread. `None` for a thread without one of its own,
    /// which runs on what its callers lend it.
    pub fn sched(&self) -> Option<SchedulingContext> {
        let note: *const Note = self.sched.load(Ordering::Acquire);
        // SAFETY: null, or set from a `&'static` by `set_sched`.
        unsafe { note.as_ref() }.map(SchedulingContext::from_note)
    }

    /// Notes which scheduling context the thread was given. Release: whoever sees the pointer also sees what it
    /// points at.
    pub(crate) fn set_sched(&self, sched: Option<SchedulingContext>) {
        let note = sched.map_or(core::ptr::null(), |sched| core::ptr::from_ref(sched.note()));
        self.sched.store(note.cast_mut(), Ordering::Release);
    }

    /// Gives the running thread its own line buffer.
    pub(crate) fn with_line<R>(&self, body: impl FnOnce(&mut LineBuffer) -> R) -> R {
        // SAFETY: called with the running thread's own block only, and no `body` prints, so there is one reference.
        body(unsafe { &mut *self.line.get() })
    }
}

/// The running thread's block, if it has one.
pub fn current() -> Option<&'static ThreadBlock> {
    let block = arch::thread_pointer() as *const ThreadBlock;
    // SAFETY: TPIDR_EL0 is zero or was set by `install` to a block that lives as long as the thread.
    unsafe { block.as_ref() }
}

/// Gives the running thread a block. Done for you in the root task and in threads made by this library.
///
/// # Safety
/// The block's buffer must be null or this thread's IPC buffer, mapped readable and writable while the thread lives;
/// and no other thread may have installed the same block.
pub unsafe fn install(block: &'static ThreadBlock) {
    arch::set_thread_pointer(core::ptr::from_ref(block) as usize);
}

/// Runs `body` on a host thread that has a block and an IPC buffer.
#[cfg(test)]
pub(crate) fn with_test_thread<R>(body: impl FnOnce() -> R) -> R {
    use alloc::boxed::Box;
    // SAFETY: an IPC buffer is integers only, for which all zeroes is a value.
    let buffer: Box<IpcBuffer> = Box::new(unsafe { core::mem::zeroed() });
    let block = ThreadBlock::new(crate::cap::init::TCB, "test", Box::leak(buffer));
    // SAFETY: block and buffer are leaked, and nobody else knows them.
    unsafe { install(Box::leak(Box::new(block))) };
    let result = body();
    arch::set_thread_pointer(0);
    result
}
