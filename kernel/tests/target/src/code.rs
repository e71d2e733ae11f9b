//! Pieces of machine code that a puppet runs, and their addresses.

/// Defines functions of these instructions, each followed by `udf #0`, which ends it with a user exception.
#[macro_export]
macro_rules! snippets {
    ($($name:ident: $($line:expr),+;)*) => {$(
        #[unsafe(naked)]
        extern "C" fn $name() -> ! {
            core::arch::naked_asm!($($line),+, "udf #0")
        }
    )*};
}

/// The address of a function that [`snippets`](crate::snippets) defined.
pub fn address_of(code: extern "C" fn() -> !) -> u64 {
    code as *const () as u64
}

/// The address of the instruction number `index` of such a function.
pub fn instruction(code: extern "C" fn() -> !, index: u64) -> u64 {
    address_of(code) + index * 4
}

/// A system register, or another operand of MSR and MRS, as the syndromes of trapped accesses name it (Arm ARM, ESR_ELx,
/// *ISS encoding for an exception from MSR, MRS, or System instruction execution in AArch64 state*).
#[derive(Clone, Copy)]
pub struct SystemRegister {
    op0: u64,
    op1: u64,
    n: u64,
    m: u64,
    op2: u64,
}

impl SystemRegister {
    pub const fn new(op0: u64, op1: u64, n: u64, m: u64, op2: u64) -> Self {
        Self {
            op0,
            op1,
            n,
            m,
            op2,
        }
    }

    /// A neighbour: with another CRm and op2.
    pub const fn number(self, m: u64, op2: u64) -> Self {
        Self { m, op2, ..self }
    }

    /// The syndrome of reading it into a general-purpose register.
    pub const fn read_into(self, register: u64) -> u64 {
        self.written_from(register) | 1
    }

    /// The syndrome of writing it.
    pub const fn written_from(self, register: u64) -> u64 {
        0x6200_0000
            | self.op0 << 20
            | self.op2 << 17
            | self.op1 << 14
            | self.n << 10
            | register << 5
            | self.m << 1
    }
}
