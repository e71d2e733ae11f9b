//! The register file in the order of `TCB_ReadRegisters` and `TCB_WriteRegisters`.

/// Words of a [`UserContext`].
pub const USER_CONTEXT_WORDS: usize = 36;
/// How many leading words of a [`UserContext`] the reply to a timeout fault sets.
pub const TIMEOUT_REPLY_WORDS: usize = 34;
/// How many leading words `TCB_CopyRegisters` calls frame registers; the others are integer registers.
pub const COPY_FRAME_REGISTERS: usize = 17;

/// A thread's registers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct UserContext {
    pub pc: u64,
    pub sp: u64,
    pub spsr: u64,
    pub x0: u64,
    pub x1: u64,
    pub x2: u64,
    pub x3: u64,
    pub x4: u64,
    pub x5: u64,
    pub x6: u64,
    pub x7: u64,
    pub x8: u64,
    pub x16: u64,
    pub x17: u64,
    pub x18: u64,
    pub x29: u64,
    pub x30: u64,
    pub x9: u64,
    pub x10: u64,
    pub x11: u64,
    pub x12: u64,
    pub x13: u64,
    pub x14: u64,
    pub x15: u64,
    pub x19: u64,
    pub x20: u64,
    pub x21: u64,
    pub x22: u64,
    pub x23: u64,
    pub x24: u64,
    pub x25: u64,
    pub x26: u64,
    pub x27: u64,
    pub x28: u64,
    pub tpidr_el0: u64,
    pub tpidrro_el0: u64,
}

const _: () = assert!(size_of::<UserContext>() == USER_CONTEXT_WORDS * 8);
