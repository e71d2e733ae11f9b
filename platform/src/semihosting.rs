//! Asks an emulator to end the run with an exit status, or to print.
//!
//! The instruction asks a debugger or emulator for a service (Arm semihosting). On a board without one it is an
//! undefined instruction: callers must know that they run under an emulator.

use core::arch::asm;

/// SYS_WRITEC: write one character.
const SYS_WRITEC: u64 = 0x03;
/// SYS_EXIT, and the reason that means 'the program ended by itself'.
const SYS_EXIT: u64 = 0x18;
const APPLICATION_EXIT: u64 = 0x2_0026;

/// Writes text where the emulator's user sees it.
pub fn write(text: &str) {
    for byte in text.bytes() {
        // SAFETY: asks to write one character, which is read from the given address. Returns a value in x0.
        unsafe {
            asm!("hlt #0xf000", inout("x0") SYS_WRITEC => _, in("x1") &raw const byte, options(nostack));
        }
    }
}

/// Ends the run: the emulator's exit status is `code`.
pub fn exit(code: u32) -> ! {
    let block = [APPLICATION_EXIT, u64::from(code)];
    // SAFETY: asks for the end of the run. If the request returns, the core sleeps for good.
    unsafe {
        asm!(
            "hlt #0xf000",
            "2: wfi",
            "b 2b",
            in("x0") SYS_EXIT,
            in("x1") block.as_ptr(),
            options(noreturn, nostack)
        )
    }
}
