//! The end: a kernel panic prints the core, the message, the registers if an exception caused it, and a backtrace,
//! then ends the run with a failing status, or stops where there is nobody to tell. It works with any lock held, in
//! any state, and allocates nothing. A second core that panics meanwhile stops silently; a panic in here ends the report.

#![cfg(target_os = "none")]

use core::{
    panic::PanicInfo,
    sync::atomic::{AtomicU32, Ordering},
};

use crate::{
    arch,
    config::PRINTING,
    print::{Seized, seize, seized_already},
};

/// The most frames of a backtrace.
const FRAMES: usize = 32;

/// The core that panicked first, plus one.
static PANICKED: AtomicU32 = AtomicU32::new(0);

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    let mut out = begin();
    if PRINTING {
        out.formatted(format_args!("{}", info.message()));
    } else {
        out.text("assertion failed");
    }
    if let Some(location) = info.location() {
        out.text(" at ");
        out.text(location.file());
        out.text(":");
        out.decimal(location.line() as usize);
    }
    out.text("\n");
    backtrace(&out, 0, arch::frame_pointer());
    end(&out)
}

/// An exception inside the kernel: `what` it was, the registers, where it happened and the frame pointer there.
pub fn exception(what: &str, registers: &[(&str, u64)], address: usize, frame: usize) -> ! {
    let out = begin();
    out.text(what);
    out.text(" in the kernel at ");
    out.hex(address as u64);
    out.text("\n");
    for line in registers.chunks(4) {
        for (name, value) in line {
            out.text("  ");
            (name.len()..4).for_each(|_| out.text(" "));
            out.text(name);
            out.text(" ");
            out.hex(*value);
        }
        out.text("\n");
    }
    trace_line(&out, 0, address);
    backtrace(&out, 1, frame);
    end(&out)
}

/// Claims the panic and begins its first line.
fn begin() -> Seized {
    let me = u32::from(arch::this_core().0) + 1;
    match PANICKED.compare_exchange(0, me, Ordering::AcqRel, Ordering::Acquire) {
        Ok(_) => {}
        Err(other) if other == me => {
            seized_already().text("\n  (and again, in the report)\n");
            arch::halt()
        }
        Err(_) => loop {
            arch::wait_for_event();
        },
    }
    let out = seize();
    out.text("kernel panic on core ");
    out.decimal(arch::this_core().index());
    out.text(": ");
    out
}

/// The last line, then nothing more.
fn end(out: &Seized) -> ! {
    if let Some(bytes) = arch::stack_peak(arch::this_core()) {
        out.text("  used of this core's kernel stack, at most: ");
        out.decimal(bytes);
        out.text(" bytes\n");
    }
    arch::halt()
}

fn trace_line(out: &Seized, number: usize, address: usize) {
    out.text("  #");
    out.decimal(number);
    out.text(" ");
    out.hex(address as u64);
    out.text("\n");
}

/// Follows the frame pointers, each to a higher address of the same stack.
fn backtrace(out: &Seized, first: usize, frame: usize) {
    let Some(stack) = arch::stack_of_address(frame) else {
        return;
    };
    let mut frame = frame;
    for number in first..FRAMES {
        if !frame.is_multiple_of(8) || !(stack.start..stack.end - 15).contains(&frame) {
            return;
        }
        let [next, address] = arch::frame_record(frame);
        if address == 0 {
            return;
        }
        // The call, not what follows it: after a call that never returns, that is another function.
        trace_line(out, number, address - arch::CALL_SIZE);
        if next <= frame {
            return;
        }
        frame = next;
    }
}
