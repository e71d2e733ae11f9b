//! The instructions around a measured one: readings of the cycle counter right before it and right after it.
//!
//! Where the emulator counts instructions, the counter is exact. Two readings with nothing in between differ by
//! [`overhead`], which is subtracted from every figure: what is left is the measured instruction itself and all that
//! the kernel does, up to the first instruction at user level.
//!
//! The kernel changes at most x0 to x5, so the first reading waits in a register. Nothing here touches floating-point
//! registers but [`Fpu`], whose instructions are written as numbers, because this program is compiled without them.

use core::arch::asm;

/// The readings around a system call, and what it came back with.
#[derive(Clone, Copy)]
pub struct Timed {
    pub before: u64,
    pub after: u64,
    /// The first word of the message.
    pub word: u64,
}

/// What to ask for: the registers of a system call.
#[derive(Clone, Copy)]
pub struct Request {
    pub number: i64,
    pub x0: u64,
    pub info: u64,
    pub word: u64,
    pub x6: u64,
}

/// Whether a thread uses floating point.
pub trait Registers {
    fn timed(request: Request) -> Timed;
}

/// It does not.
pub struct Integer;

/// It has a value in d8 before the call, and looks at it after.
pub struct Fpu;

impl Registers for Integer {
    #[inline(always)]
    fn timed(request: Request) -> Timed {
        let Request {
            number,
            x0,
            info,
            mut word,
            x6,
        } = request;
        let (before, after);
        // SAFETY: the registers that the kernel may change are outputs; memory is assumed clobbered.
        unsafe {
            asm!(
                "mrs x9, pmccntr_el0",
                "svc #0",
                "mrs x10, pmccntr_el0",
                inout("x0") x0 => _,
                inout("x1") info => _,
                inout("x2") word,
                inout("x3") 3_u64 => _,
                inout("x4") 4_u64 => _,
                inout("x5") 5_u64 => _,
                in("x6") x6,
                in("x7") number,
                out("x9") before,
                out("x10") after,
                options(nostack),
            );
        }
        Timed {
            before,
            after,
            word,
        }
    }
}

impl Registers for Fpu {
    #[inline(always)]
    fn timed(request: Request) -> Timed {
        let Request {
            number,
            x0,
            info,
            mut word,
            x6,
        } = request;
        let (before, after): (u64, u64);
        let kept: u64;
        // SAFETY: the registers that the kernel may change are outputs; memory is assumed clobbered. The compiler does
        // not use floating-point registers for this target, so d8 is free.
        unsafe {
            asm!(
                ".inst 0x9e6700e8", // fmov d8, x7
                "mrs x9, pmccntr_el0",
                "svc #0",
                ".inst 0x9e66010b", // fmov x11, d8
                "mrs x10, pmccntr_el0",
                inout("x0") x0 => _,
                inout("x1") info => _,
                inout("x2") word,
                inout("x3") 3_u64 => _,
                inout("x4") 4_u64 => _,
                inout("x5") 5_u64 => _,
                in("x6") x6,
                in("x7") number,
                out("x9") before,
                out("x10") after,
                out("x11") kept,
                options(nostack),
            );
        }
        assert_eq!(kept, number as u64, "the thread's own register");
        // The instruction that looks at it is not the kernel's.
        Timed {
            before,
            after: after - 1,
            word,
        }
    }
}

/// Executes an undefined instruction.
#[inline(always)]
pub fn timed_fault() -> (u64, u64) {
    let (before, after);
    // SAFETY: the handler of this thread lets it go on behind the undefined instruction, with its registers.
    unsafe {
        asm!(
            "mrs {before}, pmccntr_el0",
            "udf #0",
            "mrs {after}, pmccntr_el0",
            before = out(reg) before,
            after = out(reg) after,
            options(nostack),
        );
    }
    (before, after)
}

/// Stores to a device register, which makes its interrupt pending: the reading before.
#[inline(always)]
pub fn timed_store(register: *mut u32, value: u32) -> u64 {
    let before;
    // SAFETY: the register is mapped device memory; who handles the interrupt changes none of this thread's registers.
    unsafe {
        asm!(
            "mrs {before}, pmccntr_el0",
            "str {value:w}, [{register}]",
            before = out(reg) before,
            value = in(reg) value,
            register = in(reg) register,
            options(nostack),
        );
    }
    before
}

/// Sleeps until the core has something to do: the reading right after.
#[inline(always)]
pub fn sleep() -> u64 {
    let after;
    // SAFETY: sleeps.
    unsafe {
        asm!(
            "wfi",
            "mrs {after}, pmccntr_el0",
            after = out(reg) after,
            options(nostack),
        );
    }
    after
}

/// The cycle counter.
#[inline(always)]
pub fn cycles() -> u64 {
    let value;
    // SAFETY: reads a counter that this kernel exports.
    unsafe { asm!("mrs {}, pmccntr_el0", out(reg) value, options(nostack)) };
    value
}

/// What two readings with nothing in between differ by.
pub fn overhead() -> u64 {
    let difference = || {
        let (first, second): (u64, u64);
        // SAFETY: reads a counter that this kernel exports, twice.
        unsafe {
            asm!(
                "mrs {first}, pmccntr_el0",
                "mrs {second}, pmccntr_el0",
                first = out(reg) first,
                second = out(reg) second,
                options(nostack),
            );
        }
        second - first
    };
    (0..16).map(|_| difference()).min().unwrap_or(0)
}
