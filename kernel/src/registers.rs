//! Registers by their index in the user context of the interface.

use sel4_abi::{COPY_FRAME_REGISTERS, USER_CONTEXT_WORDS};

use crate::{arch, object::Context};

/// Which general-purpose register stands at each index from 3 on.
const GENERAL: [u8; 31] = [
    0, 1, 2, 3, 4, 5, 6, 7, 8, 16, 17, 18, 29, 30, 9, 10, 11, 12, 13, 14, 15, 19, 20, 21, 22, 23,
    24, 25, 26, 27, 28,
];
const FIRST_GENERAL: usize = 3;
const TPIDR: usize = FIRST_GENERAL + GENERAL.len();
const _: () = assert!(TPIDR + 2 == USER_CONTEXT_WORDS);

pub fn read(context: &Context, index: usize) -> u64 {
    match index {
        0 => context.fault_ip,
        1 => context.sp,
        2 => context.spsr,
        FIRST_GENERAL..TPIDR => context.x[usize::from(GENERAL[index - FIRST_GENERAL])],
        TPIDR => context.tpidr,
        _ => context.tpidrro,
    }
}

/// Sets a register; of the status register only the condition flags.
pub fn write(context: &mut Context, index: usize, word: u64) {
    match index {
        2 => context.spsr = arch::sanitise_spsr(word),
        _ => write_raw(context, index, word),
    }
}

fn write_raw(context: &mut Context, index: usize, word: u64) {
    match index {
        0 => context.fault_ip = word,
        1 => context.sp = word,
        2 => context.spsr = word,
        FIRST_GENERAL..TPIDR => context.x[usize::from(GENERAL[index - FIRST_GENERAL])] = word,
        TPIDR => context.tpidr = word,
        _ => context.tpidrro = word,
    }
}

/// Copies the frame registers, the integer registers, or both.
pub fn copy(from: &Context, to: &mut Context, frame: bool, integer: bool) {
    let range = |wanted: bool, start, end| if wanted { start..end } else { 0..0 };
    let frame = range(frame, 0, COPY_FRAME_REGISTERS);
    let integer = range(integer, COPY_FRAME_REGISTERS, USER_CONTEXT_WORDS);
    for index in frame.chain(integer) {
        write_raw(to, index, read(from, index));
    }
}
