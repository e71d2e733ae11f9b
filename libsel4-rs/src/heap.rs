//! The heap: a buddy allocator over a static array of the program, whose size `root_task!` sets.
//!
//! Memory comes in powers of two, so an allocation takes up to twice its size. Threads on all cores share the heap;
//! operations are short and exclude each other. There is no growing: a program that needs more says so in
//! `root_task!(main, heap = ...)`, or maps frames itself.

use core::alloc::{GlobalAlloc, Layout};
use core::ptr::{self, NonNull};

use buddy_system_allocator::Heap;

use crate::sync::Mutex;

/// Blocks of up to 2 GiB.
const ORDER: usize = 32;

/// The allocator behind `alloc`.
pub(crate) struct LockedHeap {
    heap: Mutex<Heap<ORDER>>,
}

impl LockedHeap {
    const fn new() -> Self {
        Self {
            heap: Mutex::new(Heap::empty()),
        }
    }

    /// Adds memory.
    ///
    /// # Safety
    /// As [`Heap::add_to_heap`]: the range must be writable, used by nobody, and stay so.
    pub(crate) unsafe fn add(&self, start: usize, end: usize) {
        // SAFETY: as this function requires.
        unsafe { self.heap.lock().add_to_heap(start, end) };
    }

    /// The lock, to give its waiters a notification.
    pub(crate) fn raw_lock(&self) -> &crate::sync::RawLock {
        self.heap.raw()
    }
}

// SAFETY: blocks come from the buddy allocator, which hands out each piece of its ranges once until it is given back.
unsafe impl GlobalAlloc for LockedHeap {
    // SAFETY: a free block of the asked size and alignment, or null.
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        self.heap
            .lock()
            .alloc(layout)
            .map_or(ptr::null_mut(), NonNull::as_ptr)
    }

    // SAFETY: what the caller got goes back where it came from.
    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        if let Some(block) = NonNull::new(block) {
            // SAFETY: the caller got this block from `alloc` with the same layout.
            unsafe { self.heap.lock().dealloc(block, layout) };
        }
    }
}

#[cfg_attr(target_os = "none", global_allocator)]
pub(crate) static HEAP: LockedHeap = LockedHeap::new();

/// Bytes of heap in use, and bytes there are.
pub fn usage() -> (usize, usize) {
    let heap = HEAP.heap.lock();
    (heap.stats_alloc_actual(), heap.stats_total_bytes())
}
