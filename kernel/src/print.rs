//! Console output of the kernel, a line at a time: lines of different cores never mix.
//!
//! One lock covers a whole call. Whoever holds it waits for nothing but the port. Kernel lines that find the console
//! in the middle of a user's line (`DebugPutChar` writes single characters) begin a new one. A panicking core seizes
//! the console and never gives it back.
//!
//! With PRINTING off the macros compile to nothing; only a panic still speaks.

use core::{
    fmt::{self, Write as _},
    sync::atomic::{AtomicBool, AtomicU32, Ordering},
};

use spin::Once;
use tern_platform::console::Console;

use crate::{arch, smp::lock::TicketLock};

static CONSOLE: Once<Console> = Once::new();
static LOCK: TicketLock = TicketLock::new();
/// The core that prints, plus one.
static OWNER: AtomicU32 = AtomicU32::new(0);
/// A user's line has begun and not ended. Under the lock.
static IN_USER_LINE: AtomicBool = AtomicBool::new(false);

/// Boot only: where output goes. Before that there is none.
pub fn set_console(console: Console) {
    CONSOLE.call_once(|| console);
}

/// The open console.
struct Port;

impl Port {
    #[inline(never)]
    fn put(&self, byte: u8) {
        if let Some(console) = CONSOLE.get() {
            if byte == b'\n' {
                console.put_byte(b'\r');
            }
            console.put_byte(byte);
        }
    }

    /// Leaves a user's unfinished line.
    fn end_user_line(&self) {
        if IN_USER_LINE.load(Ordering::Relaxed) {
            IN_USER_LINE.store(false, Ordering::Relaxed);
            self.put(b'\n');
        }
    }
}

impl fmt::Write for Port {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        text.bytes().for_each(|byte| self.put(byte));
        Ok(())
    }
}

fn locked(action: impl FnOnce(&mut Port)) {
    LOCK.acquire();
    OWNER.store(u32::from(arch::this_core().0) + 1, Ordering::Relaxed);
    action(&mut Port);
    OWNER.store(0, Ordering::Relaxed);
    LOCK.release();
}

/// Nobody prints: the cores of a simulated machine that is gone may have been stopped in the middle of a line.
#[cfg(not(target_os = "none"))]
pub fn free_console() {
    while LOCK.is_held() {
        LOCK.release();
    }
}

/// Behind the macros.
pub fn print(text: fmt::Arguments<'_>) {
    locked(|port| {
        port.end_user_line();
        // The port takes everything; an error could only come from a `Display` of ours.
        let _ = port.write_fmt(text);
    });
}

/// One character of user output.
pub fn put_char(byte: u8) {
    locked(|port| {
        port.put(byte);
        IN_USER_LINE.store(byte != b'\n', Ordering::Relaxed);
    });
}

/// The console of a core that panics. Others that want to print wait for ever.
pub struct Seized(Port);

/// How long a panicking core waits for another one to finish its line, in parts of a second.
const PATIENCE: u64 = 10;

/// Takes the console away from everybody. Only a core that panics, once.
pub fn seize() -> Seized {
    let deadline = arch::counter() + arch::counter_frequency() / PATIENCE;
    let ticket = LOCK.enqueue();
    let me = u32::from(arch::this_core().0) + 1;
    while !LOCK.is_served(ticket)
        && OWNER.load(Ordering::Relaxed) != me
        && arch::counter() < deadline
    {}
    let seized = Seized(Port);
    if OWNER.load(Ordering::Relaxed) != 0 {
        seized.text("\n");
    } else {
        seized.0.end_user_line();
    }
    seized
}

/// The console, for the core that seized it and comes back.
pub fn seized_already() -> Seized {
    Seized(Port)
}

/// Writers that need no formatting machinery, which a kernel without PRINTING does not contain.
impl Seized {
    #[inline(never)]
    pub fn text(&self, text: &str) {
        text.bytes().for_each(|byte| self.0.put(byte));
    }

    #[inline(never)]
    pub fn decimal(&self, value: usize) {
        if value >= 10 {
            self.decimal(value / 10);
        }
        self.0.put(b'0' + (value % 10) as u8);
    }

    /// 16 digits.
    #[inline(never)]
    pub fn hex(&self, value: u64) {
        self.text("0x");
        for shift in (0..16).rev() {
            self.0
                .put(b"0123456789abcdef"[(value >> (shift * 4) & 0xf) as usize]);
        }
    }

    pub fn formatted(&mut self, text: fmt::Arguments<'_>) {
        let _ = self.0.write_fmt(text);
    }
}

/// Prints, as `print!` does.
macro_rules! kprint {
    ($($text:tt)*) => {
        if $crate::config::PRINTING {
            $crate::print::print(format_args!($($text)*));
        }
    };
}

/// Prints a line, as `println!` does.
macro_rules! kprintln {
    () => { $crate::print::kprint!("\n") };
    ($text:literal $($arguments:tt)*) => {
        $crate::print::kprint!("{}\n", format_args!($text $($arguments)*))
    };
}

#[allow(unused_imports, reason = "for whoever needs it")]
pub(crate) use {kprint, kprintln};
