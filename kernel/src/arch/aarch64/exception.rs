//! Exceptions that the kernel itself caused: all are bugs. They arrive on a stack of their own, since the usual one
//! may have overflowed into its guard page, and end in a kernel panic.

use core::{arch::asm, ops::Range};

use tern_platform::handover::{STACK_SIZE, stack_top};

use super::trap::{EMERGENCY, EMERGENCY_SHIFT, this_core};
use crate::{config::DEBUG_BUILD, panic, types::CoreId};

/// The registers when it happened, as `trap.s` stores them.
#[repr(C)]
pub(super) struct Registers {
    x: [u64; 31],
    pub(super) sp: u64,
    pub(super) elr: u64,
    pub(super) spsr: u64,
    pub(super) esr: u64,
    pub(super) far: u64,
}

const VECTORS: [&str; 4] = [
    "synchronous exception",
    "interrupt",
    "fast interrupt",
    "memory error",
];

pub(super) extern "C" fn handle_fatal(registers: &Registers, vector: usize) -> ! {
    let mut named = [("", 0); 36];
    const NAMES: [&str; 36] = [
        "x0", "x1", "x2", "x3", "x4", "x5", "x6", "x7", "x8", "x9", "x10", "x11", "x12", "x13",
        "x14", "x15", "x16", "x17", "x18", "x19", "x20", "x21", "x22", "x23", "x24", "x25", "x26",
        "x27", "x28", "x29", "x30", "sp", "elr", "spsr", "esr", "far",
    ];
    let r = registers;
    let values = r.x.iter().chain([&r.sp, &r.elr, &r.spsr, &r.esr, &r.far]);
    for ((place, name), value) in named.iter_mut().zip(NAMES).zip(values) {
        *place = (name, *value);
    }
    let stack = usual_stack(this_core());
    let overflow = r.far as usize >= stack.start - GUARD && (r.far as usize) < stack.start;
    let what = if vector.is_multiple_of(4) && overflow {
        "stack overflow"
    } else {
        VECTORS[vector % 4]
    };
    panic::exception(what, &named, r.elr as usize, r.x[29] as usize)
}

/// Accesses this far below a stack count as its overflow.
const GUARD: usize = 0xc000;

fn usual_stack(core: CoreId) -> Range<usize> {
    let top = stack_top(core.index()) as usize;
    top - STACK_SIZE as usize..top
}

/// The stack of this core that `address` is in, if it is in one.
pub fn stack_of_address(address: usize) -> Option<Range<usize>> {
    let core = this_core();
    let bottom = (&raw const EMERGENCY).addr() + (core.index() << EMERGENCY_SHIFT);
    [usual_stack(core), bottom..bottom + (1 << EMERGENCY_SHIFT)]
        .into_iter()
        .find(|stack| stack.contains(&address))
}

/// What `start.s` fills the stacks with, in a debug build.
pub(super) const PAINT: u64 = 0x7e12_0000_5aac_0000;

/// The most bytes of a core's stack that were ever in use. Known in a debug build only.
pub fn stack_peak(core: CoreId) -> Option<usize> {
    if !DEBUG_BUILD {
        return None;
    }
    let stack = usual_stack(core);
    let untouched = stack.clone().step_by(8).take_while(|&at| {
        // SAFETY: the stacks of all cores that came up stay mapped; whatever is there is an integer.
        let word = unsafe { (at as *const u64).read_volatile() };
        word == PAINT
    });
    Some(stack.len() - untouched.count() * 8)
}

/// The frame pointer of the function that this is inlined into.
#[inline(always)]
pub fn frame_pointer() -> usize {
    let pointer;
    // SAFETY: copies a register.
    unsafe { asm!("mov {}, x29", out(reg) pointer, options(nomem, nostack, preserves_flags)) };
    pointer
}

/// The two words that a frame pointer points at: the caller's frame pointer, and where this function returns to. The
/// address is aligned and in a stack of this core ([`stack_of_address`]), which makes it readable.
pub fn frame_record(frame: usize) -> [usize; 2] {
    debug_assert!(frame.is_multiple_of(8) && stack_of_address(frame).is_some());
    // SAFETY: stacks stay mapped, and any bytes are integers.
    unsafe { (frame as *const [usize; 2]).read_volatile() }
}

/// The end of the run, with a failing status, where somebody can be told; else of this core.
pub fn halt() -> ! {
    #[cfg(feature = "semihosting")]
    tern_platform::semihosting::exit(1);
    #[cfg(not(feature = "semihosting"))]
    super::cpu::sleep_for_ever()
}
