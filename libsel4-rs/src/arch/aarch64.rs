//! The trap instruction, the thread pointer, the counters and the way out, on AArch64 at EL0.
//!
//! Register use of the system call interface: x7 holds the number; x0 to x5 carry the message both ways; x6 and x8
//! are inputs only. The kernel changes at most x0 to x5 and no flags, so every other register is left to the
//! compiler. None of the blocks is `nomem`: the kernel reads and writes the IPC buffer, and a thread that runs
//! meanwhile may write anything that is shared.

use core::arch::asm;
#[cfg(feature = "console-fallback")]
use core::arch::naked_asm;

use super::Registers;

/// A system call that sends, receives, or both. `x6` and `x8` as the call defines them.
#[inline(always)]
pub(crate) fn exchange(number: i64, input: Registers, x6: u64, x8: u64) -> Registers {
    let mut output = input;
    // SAFETY: the registers that the kernel may change are all outputs, flags and stack are untouched, and memory is
    // assumed clobbered. What the call does to the system is governed by the capabilities it names.
    unsafe {
        asm!(
            "svc #0",
            inlateout("x0") output.x0,
            inlateout("x1") output.info,
            inlateout("x2") output.words[0],
            inlateout("x3") output.words[1],
            inlateout("x4") output.words[2],
            inlateout("x5") output.words[3],
            in("x6") x6,
            in("x7") number,
            in("x8") x8,
            options(nostack, preserves_flags),
        );
    }
    output
}

/// A system call that only sends: the kernel changes no register at all.
#[inline(always)]
pub(crate) fn send_only(number: i64, input: Registers) {
    // SAFETY: the kernel changes no register in these calls, no flags and no stack; memory is assumed clobbered.
    unsafe {
        asm!(
            "svc #0",
            in("x0") input.x0,
            in("x1") input.info,
            in("x2") input.words[0],
            in("x3") input.words[1],
            in("x4") input.words[2],
            in("x5") input.words[3],
            in("x7") number,
            options(nostack, preserves_flags),
        );
    }
}

/// A system call with no arguments and no results (Yield, DebugHalt, DebugSnapshot).
#[inline(always)]
pub(crate) fn trap_number_only(number: i64) {
    // SAFETY: the kernel changes no register in these calls, no flags and no stack; memory is assumed clobbered.
    unsafe {
        asm!("svc #0", in("x7") number, options(nostack, preserves_flags));
    }
}

/// TPIDR_EL0, which this library points at the running thread's block.
#[inline(always)]
pub(crate) fn thread_pointer() -> usize {
    let value: usize;
    // SAFETY: reads a register that is always readable at EL0. It is per thread and written only at its start.
    unsafe {
        asm!("mrs {}, tpidr_el0", out(reg) value, options(nomem, nostack, preserves_flags));
    }
    value
}

/// Sets TPIDR_EL0 of the running thread.
pub(crate) fn set_thread_pointer(value: usize) {
    // SAFETY: writes a register that only this library gives a meaning to.
    unsafe {
        asm!("msr tpidr_el0, {}", in(reg) value, options(nostack, preserves_flags));
    }
}

/// CNTVCT_EL0, not earlier than what precedes it in the program.
#[inline(always)]
pub(crate) fn read_counter() -> u64 {
    let value: u64;
    // SAFETY: reads a counter; where the kernel does not export it the thread faults, which is defined.
    unsafe {
        asm!("isb", "mrs {}, cntvct_el0", out(reg) value, options(nostack, preserves_flags));
    }
    value
}

/// CNTFRQ_EL0.
pub(crate) fn read_counter_frequency() -> u64 {
    let value: u64;
    // SAFETY: reads a constant; where the kernel does not export it the thread faults, which is defined.
    unsafe {
        asm!("mrs {}, cntfrq_el0", out(reg) value, options(nomem, nostack, preserves_flags));
    }
    value
}

/// PMCCNTR_EL0, not earlier than what precedes it in the program.
#[inline(always)]
pub(crate) fn read_cycle_counter() -> u64 {
    let value: u64;
    // SAFETY: reads a counter; where the kernel does not export it the thread faults, which is defined.
    unsafe {
        asm!("isb", "mrs {}, pmccntr_el0", out(reg) value, options(nostack, preserves_flags));
    }
    value
}

/// PMCEID0_EL0: which common events the performance monitor can count.
pub(crate) fn event_counter_ids() -> u64 {
    let value: u64;
    // SAFETY: reads a constant; where the kernel does not export it the thread faults, which is defined.
    unsafe {
        asm!("mrs {}, pmceid0_el0", out(reg) value, options(nomem, nostack, preserves_flags));
    }
    value
}

/// One turn of a short wait. `yield` lets an emulator that runs several cores on one thread go on to the next core;
/// the `isb` of `core::hint::spin_loop` does not.
#[inline(always)]
pub(crate) fn relax() {
    // SAFETY: a hint.
    unsafe {
        asm!("yield", options(nostack, preserves_flags));
    }
}

/// Asks the host to end the run with this status: semihosting SYS_EXIT. Where there is no such host the instruction
/// is undefined, so the thread faults instead.
pub(crate) fn exit(code: u32) -> ! {
    const SYS_EXIT: u64 = 0x18;
    const APPLICATION_EXIT: u64 = 0x20026;
    let block: [u64; 2] = [APPLICATION_EXIT, u64::from(code)];
    loop {
        // SAFETY: the host reads the two words that x1 points at, which live until this function ends.
        unsafe {
            asm!(
                "hlt #0xf000",
                inlateout("x0") SYS_EXIT => _,
                in("x1") block.as_ptr(),
                options(nostack, preserves_flags),
            );
        }
    }
}

/// Where the thread starts that finds out whether the kernel prints characters.
///
/// In: x0 = the character, x19 = an endpoint, x20 = the message information to send there. Uses no memory and no
/// stack. `DebugPutChar` either prints, and then the message is sent
/// by a call (so that it runs no further); or it is an unknown system call, and then the
/// thread's fault goes to the same endpoint instead.
#[cfg(feature = "console-fallback")]
pub(crate) fn probe_put_char_entry() -> usize {
    #[unsafe(naked)]
    unsafe extern "C" fn probe() -> ! {
        naked_asm!(
            "mov x1, xzr",
            "mov x2, xzr",
            "mov x3, xzr",
            "mov x4, xzr",
            "mov x5, xzr",
            "mov x6, xzr",
            "mov x7, #{put_char}",
            "svc #0",
            "mov x0, x19",
            "mov x1, x20",
            "mov x7, #{call}",
            "svc #0",
            "2: wfe",
            "b 2b",
            put_char = const sel4_abi::debug_syscall::PUT_CHAR,
            call = const sel4_abi::Syscall::Call as i64,
        )
    }
    probe as *const () as usize
}
