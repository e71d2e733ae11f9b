//! Messages, and the end of a boot that failed.
//!
//! Text goes to the board's serial port once it is known, before that to the emulator if the build allows it. Used by
//! the boot core only.

use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use tern_platform::board::{self, ConsoleKind, Region};
use tern_platform::console::Console;

/// The port, as plain words: with the MMU off there are no locks.
static KIND: AtomicU32 = AtomicU32::new(ConsoleKind::None as u32);
static START: AtomicU64 = AtomicU64::new(0);
static END: AtomicU64 = AtomicU64::new(0);

struct Output;

impl Write for Output {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let kind = match KIND.load(Ordering::Relaxed) {
            1 => ConsoleKind::Pl011,
            2 => ConsoleKind::MiniUart,
            _ => {
                #[cfg(feature = "semihosting")]
                tern_platform::semihosting::write(text);
                return Ok(());
            }
        };
        let port = board::Console {
            kind,
            registers: Region::new(START.load(Ordering::Relaxed), END.load(Ordering::Relaxed)),
            ..board::Console::default()
        };
        // SAFETY: `use_port` was given the board's port; with the MMU off it is where the board says.
        let console = unsafe { Console::new(&port, 0) };
        for byte in text.bytes() {
            if byte == b'\n' {
                console.put_byte(b'\r');
            }
            console.put_byte(byte);
        }
        Ok(())
    }
}

/// Sets the port up and sends messages there from now on.
pub(crate) fn use_port(port: &board::Console) {
    // SAFETY: the device tree says that the port is there, and the MMU is off. Nothing else runs.
    unsafe { Console::new(port, 0) }.init();
    START.store(port.registers.start, Ordering::Relaxed);
    END.store(port.registers.end, Ordering::Relaxed);
    KIND.store(port.kind as u32, Ordering::Relaxed);
}

pub(crate) fn print(text: fmt::Arguments<'_>) {
    // The output never fails.
    let _ = Output.write_fmt(text);
}

/// Prints a line.
macro_rules! say {
    ($($part:tt)*) => {{
        $crate::print::print(format_args!($($part)*));
        $crate::print::print(format_args!("\n"));
    }};
}
pub(crate) use say;

/// Prints what is wrong and ends the boot.
macro_rules! fail {
    ($($part:tt)*) => {{
        $crate::print::print(format_args!("tern-loader: error: "));
        $crate::print::say!($($part)*);
        $crate::print::end()
    }};
}
pub(crate) use fail;

/// Prints where we came from: addresses in memory, newest first. xtask adds names to such lines.
pub(crate) fn backtrace() {
    let mut frame: u64;
    // SAFETY: reads a register.
    unsafe { core::arch::asm!("mov {}, x29", out(reg) frame, options(nomem, nostack)) };
    let stack = crate::memory::stack();
    for number in 0..16 {
        if !frame.is_multiple_of(16)
            || !stack.contains(&Region::new(frame, frame.saturating_add(16)))
        {
            break;
        }
        let record = core::ptr::with_exposed_provenance::<[u64; 2]>(frame as usize);
        // SAFETY: a frame record inside the loader's stack, which always holds initialised memory.
        let [caller, address] = unsafe { record.read() };
        if address == 0 {
            break;
        }
        say!("  #{number} {address:#018x}");
        frame = caller;
    }
}

/// Ends a boot that failed: with status 1 under an emulator, for good elsewhere.
pub(crate) fn end() -> ! {
    #[cfg(feature = "semihosting")]
    tern_platform::semihosting::exit(1);
    #[cfg(not(feature = "semihosting"))]
    loop {
        aarch64_cpu::asm::wfi();
    }
}
