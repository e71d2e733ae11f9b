//! Whether something interrupts a core: a thread there holds an exclusive monitor, which the end of any exception clears
//! (Arm ARM, *Exception return*), so that its store fails.

extern crate alloc;

use alloc::boxed::Box;
use core::arch::asm;
use core::sync::atomic::{AtomicU64, Ordering};

use libsel4::{System, Thread, ThreadBuilder};

use crate::sched::LONG_SLICE;

/// Three words, each alone in a granule of exclusive accesses.
#[repr(C, align(4096))]
struct Watch {
    word: AtomicU64,
    _between: [u64; 511],
    ready: AtomicU64,
    _behind: [u64; 511],
    stop: AtomicU64,
}

impl Watch {
    /// Whether the core took an exception while this ran, until it was told to stop.
    fn was_interrupted(&self) -> bool {
        let failed: u64;
        // SAFETY: accesses to these three words only.
        unsafe {
            asm!(
                "ldxr {value}, [{word}]",
                "str {one}, [{ready}]",
                "2: ldr {seen}, [{stop}]",
                "cbz {seen}, 2b",
                "stxr {failed:w}, {value}, [{word}]",
                word = in(reg) self.word.as_ptr(),
                ready = in(reg) self.ready.as_ptr(),
                stop = in(reg) self.stop.as_ptr(),
                one = in(reg) 1u64,
                value = out(reg) _,
                seen = out(reg) _,
                failed = out(reg) failed,
                options(nostack),
            );
        }
        failed & 1 != 0
    }
}

/// Whether a core, which is not the caller's, is interrupted by what is done. The action gets the thread that watches.
pub fn interrupts(
    system: &mut System,
    core: usize,
    action: impl FnOnce(&mut System, &Thread<bool>),
) -> bool {
    let watch: &'static Watch = Box::leak(Box::new(Watch {
        word: AtomicU64::new(0),
        _between: [0; 511],
        ready: AtomicU64::new(0),
        _behind: [0; 511],
        stop: AtomicU64::new(0),
    }));
    let watcher = ThreadBuilder::new("watcher")
        .core(core)
        .budget(LONG_SLICE)
        .spawn(system, || watch.was_interrupted())
        .expect("a thread");
    while watch.ready.load(Ordering::Relaxed) == 0 {}
    action(system, &watcher);
    watch.stop.store(1, Ordering::Relaxed);
    watcher.join(system).expect("its answer")
}
