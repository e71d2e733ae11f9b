//! Console output, a whole line at a time.
//!
//! [`println!`](crate::println) and [`print!`](crate::print) collect a thread's text in its own buffer and write it
//! out when the line ends, under a lock, so that lines of threads on different cores never mix. (A line longer than
//! the buffer is written in pieces, with the lock held from the first piece to the end of the print.) What is printed
//! without an end of line appears with the thread's next line, or with [`flush`].
//!
//! Characters go to the kernel (`seL4_DebugPutChar`) if it prints, and to a PL011 UART of the program's own if it
//! does not. Which it is is found out before `main`. Without feature `console-fallback` the kernel is taken to print.

#[cfg(feature = "console-fallback")]
mod pl011;
#[cfg(feature = "console-fallback")]
mod probe;

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicUsize, Ordering};

use crate::debug;
use crate::sync::RawLock;
use crate::thread_block;

/// How much of a line is kept until it is complete.
const LINE_BYTES: usize = 480;

/// A line that is not complete.
#[derive(Clone)]
pub(crate) struct LineBuffer {
    length: usize,
    bytes: [u8; LINE_BYTES],
}

impl LineBuffer {
    pub(crate) const fn new() -> Self {
        Self {
            length: 0,
            bytes: [0; LINE_BYTES],
        }
    }

    fn is_full(&self) -> bool {
        self.length == LINE_BYTES
    }

    fn push(&mut self, byte: u8) {
        self.bytes[self.length] = byte;
        self.length += 1;
    }

    /// Takes what is in the buffer.
    fn take(&mut self) -> Self {
        let mut taken = Self::new();
        taken.copy_from(self);
        self.length = 0;
        taken
    }

    fn copy_from(&mut self, other: &Self) {
        self.bytes[..other.length].copy_from_slice(&other.bytes[..other.length]);
        self.length = other.length;
    }
}

/// Only its holder writes to the device.
static LOCK: RawLock = RawLock::new();

/// Characters go to the kernel.
const KERNEL: usize = 0;
/// Characters go nowhere.
const NOWHERE: usize = usize::MAX;
/// Where characters go: the kernel, nowhere, or the address that the UART's registers are mapped at. Written before
/// there is a second thread.
static DEVICE: AtomicUsize = AtomicUsize::new(KERNEL);

/// Finds out where characters go. To be called by the first thread before anything else uses slots or memory.
#[cfg(feature = "console-fallback")]
pub(crate) fn init(boot: &'static crate::BootInfo) {
    if !probe::kernel_prints(boot) {
        DEVICE.store(pl011::map(boot).unwrap_or(NOWHERE), Ordering::Relaxed);
    }
}

/// The lock, to give its waiters a notification.
pub(crate) fn raw_lock() -> &'static RawLock {
    &LOCK
}

fn write_bytes(bytes: &[u8]) {
    match DEVICE.load(Ordering::Relaxed) {
        KERNEL => bytes.iter().for_each(|&byte| debug::put_char(byte)),
        NOWHERE => {}
        registers => bytes
            .iter()
            .for_each(|&byte| put_to_device(registers, byte)),
    }
}

#[cfg(feature = "console-fallback")]
fn put_to_device(registers: usize, byte: u8) {
    // SAFETY: the address is from `pl011::map`, and the caller holds the console's lock.
    unsafe { pl011::put(registers, byte) }
}

#[cfg(not(feature = "console-fallback"))]
fn put_to_device(_: usize, _: u8) {}

/// Collects text and writes out complete lines. Dropped, it leaves the incomplete one to the thread.
struct LineWriter {
    line: LineBuffer,
    /// Whether the line was begun on the device already, with the lock held.
    holding: bool,
}

impl LineWriter {
    fn new() -> Self {
        let line = thread_block::current()
            .map_or_else(LineBuffer::new, |block| block.with_line(LineBuffer::take));
        Self {
            line,
            holding: false,
        }
    }

    fn acquire(&mut self) {
        if !self.holding && !LOCK.is_held_by_this_thread() {
            LOCK.lock();
            self.holding = true;
        }
    }

    fn release(&mut self) {
        if self.holding {
            LOCK.unlock();
            self.holding = false;
        }
    }

    fn write_out(&mut self) {
        self.acquire();
        write_bytes(&self.line.bytes[..self.line.length]);
        self.line.length = 0;
    }
}

impl Write for LineWriter {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for &byte in text.as_bytes() {
            if self.line.is_full() {
                self.write_out();
            }
            self.line.push(byte);
            if byte == b'\n' {
                self.write_out();
                self.release();
            }
        }
        Ok(())
    }
}

impl Drop for LineWriter {
    fn drop(&mut self) {
        match thread_block::current() {
            Some(block) if !self.holding => block.with_line(|line| line.copy_from(&self.line)),
            _ => {
                self.write_out();
                self.release();
            }
        }
    }
}

/// What the macros call.
#[doc(hidden)]
pub fn print(arguments: fmt::Arguments<'_>) {
    // The writer itself never fails; an error of somebody's `Display` only cuts the text short.
    let _ = LineWriter::new().write_fmt(arguments);
}

/// What the macros call.
#[doc(hidden)]
pub fn print_line(arguments: fmt::Arguments<'_>) {
    let mut writer = LineWriter::new();
    // As in `print`; the end of the line comes in any case.
    let _ = writer.write_fmt(arguments);
    let _ = writer.write_str("\n");
}

/// Writes out what the thread has printed of an incomplete line.
pub fn flush() {
    let mut writer = LineWriter::new();
    if writer.line.length != 0 {
        writer.write_out();
        writer.release();
    }
}

/// Before the run ends: nobody else writes any more.
pub(crate) fn close() {
    flush();
    if !LOCK.is_held_by_this_thread() {
        LOCK.lock();
    }
}

/// Prints to the console. The text appears when its line is complete.
#[macro_export]
macro_rules! print {
    ($($arguments:tt)*) => { $crate::console::print(::core::format_args!($($arguments)*)) };
}

/// Prints a line to the console.
#[macro_export]
macro_rules! println {
    () => { $crate::console::print_line(::core::format_args!("")) };
    ($($arguments:tt)*) => { $crate::console::print_line(::core::format_args!($($arguments)*)) };
}
