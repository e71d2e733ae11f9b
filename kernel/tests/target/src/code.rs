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
