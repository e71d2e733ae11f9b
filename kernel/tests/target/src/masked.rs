//! How long the kernel keeps interrupts masked, as builds with `TRACK_MASKED` measure it.

use core::arch::asm;
use core::fmt;

use libsel4::abi::debug_syscall::{BENCHMARK_FINALIZE_LOG, BENCHMARK_RESET_LOG};

/// Instructions for which interrupts may be masked, waiting for locks included: what docs/limits.md states.
pub const LIMIT: u64 = 20_000;

/// The longest stretches of a core since [`reset`], in cycles: instructions, where those are counted.
#[derive(Clone, Copy, Debug)]
pub struct Longest {
    /// From the entry to the return, or between two looks of long work for something more urgent.
    pub whole: u64,
    whole_reason: u64,
    /// The part of a stretch during which the core had the locks.
    pub held: u64,
    held_reason: u64,
}

/// Measures anew, on all cores.
pub fn reset() {
    // SAFETY: the call changes no register.
    unsafe { asm!("svc #0", in("x7") BENCHMARK_RESET_LOG, options(nostack)) };
}

/// What a core has measured.
pub fn longest(core: usize) -> Longest {
    let mut longest = Longest {
        whole: core as u64,
        whole_reason: 0,
        held: 0,
        held_reason: 0,
    };
    // SAFETY: the call changes the registers that are named.
    unsafe {
        asm!(
            "svc #0",
            inout("x0") longest.whole,
            out("x1") longest.whole_reason,
            out("x2") longest.held,
            out("x3") longest.held_reason,
            in("x7") BENCHMARK_FINALIZE_LOG,
            options(nostack),
        );
    }
    longest
}

/// The longest of all cores.
pub fn longest_of(cores: usize) -> Longest {
    let mut all = longest(0);
    for core in 1..cores {
        let this = longest(core);
        if this.whole > all.whole {
            (all.whole, all.whole_reason) = (this.whole, this.whole_reason);
        }
        if this.held > all.held {
            (all.held, all.held_reason) = (this.held, this.held_reason);
        }
    }
    all
}

impl fmt::Display for Longest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:>8} masked ({}), {:>8} with the locks ({})",
            self.whole,
            Reason(self.whole_reason),
            self.held,
            Reason(self.held_reason)
        )
    }
}

/// What a core was in the kernel for, as the kernel packs it.
struct Reason(u64);

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self(word) = *self;
        match word >> 32 {
            1 => f.write_str("interrupt"),
            2 => f.write_str("exception"),
            3 => write!(f, "call -{} label {}", word >> 16 & 0xffff, word & 0xffff),
            _ => f.write_str("nothing"),
        }
    }
}
