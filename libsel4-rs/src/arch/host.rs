//! The test double: a closure stands where the kernel would be.

extern crate std;

use std::boxed::Box;
use std::cell::{Cell, RefCell};

use super::Registers;

/// What a test sees of one system call, and answers.
type Kernel = Box<dyn FnMut(i64, Registers, u64, u64) -> Registers>;

std::thread_local! {
    static KERNEL: RefCell<Option<Kernel>> = const { RefCell::new(None) };
    static THREAD_POINTER: Cell<usize> = const { Cell::new(0) };
}

/// Runs `body` with `kernel` answering the system calls of this thread: number, registers, x6, x8.
#[cfg(test)]
pub(crate) fn with_kernel<R>(
    kernel: impl FnMut(i64, Registers, u64, u64) -> Registers + 'static,
    body: impl FnOnce() -> R,
) -> R {
    KERNEL.with(|slot| *slot.borrow_mut() = Some(Box::new(kernel)));
    let result = body();
    KERNEL.with(|slot| *slot.borrow_mut() = None);
    result
}

pub(crate) fn exchange(number: i64, input: Registers, x6: u64, x8: u64) -> Registers {
    KERNEL.with(|slot| {
        let mut kernel = slot.borrow_mut();
        let kernel = kernel
            .as_mut()
            .expect("no kernel under this program: only tests run here");
        kernel(number, input, x6, x8)
    })
}

pub(crate) fn send_only(number: i64, input: Registers) {
    exchange(number, input, 0, 0);
}

pub(crate) fn trap_number_only(number: i64) {
    exchange(number, Registers::default(), 0, 0);
}

pub(crate) fn thread_pointer() -> usize {
    THREAD_POINTER.get()
}

pub(crate) fn set_thread_pointer(value: usize) {
    THREAD_POINTER.set(value);
}

pub(crate) fn read_counter() -> u64 {
    0
}

pub(crate) fn read_counter_frequency() -> u64 {
    1_000_000
}

pub(crate) fn read_cycle_counter() -> u64 {
    0
}

pub(crate) fn event_counter_ids() -> u64 {
    0
}

/// There is nothing to jump to on a host.
#[cfg(feature = "console-fallback")]
pub(crate) fn probe_put_char_entry() -> usize {
    0
}

pub(crate) fn relax() {
    std::thread::yield_now();
}

pub(crate) fn exit(code: u32) -> ! {
    std::process::exit(code as i32)
}
