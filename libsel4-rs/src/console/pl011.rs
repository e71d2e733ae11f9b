//! A PL011 UART, driven by the program itself, for kernels that print nothing.

use core::ptr;

use crate::arch;
use crate::boot::BootInfo;
use crate::cap::SmallPage;
use crate::machine::Machine;
use crate::system::System;

/// Data register.
const DATA: usize = 0x00;
/// Flag register.
const FLAGS: usize = 0x18;
/// In the flag register: the transmit queue is full.
const TRANSMIT_FULL: u32 = 1 << 5;
/// Bytes of a page: the registers are somewhere in one.
const PAGE: u64 = 4096;

/// Maps the board's UART and returns where its registers are; `None` when there is none to be had.
pub(super) fn map(boot: &'static BootInfo) -> Option<usize> {
    let machine = Machine::from_device_tree(boot.device_tree()?)?;
    let registers = machine.pl011?;
    let mut system = System::with_everything(boot);
    let page = system.map_device::<SmallPage>(registers / PAGE * PAGE).ok();
    // In any case the program goes on with what is left.
    system.keep_for_program();
    Some(page? + (registers % PAGE) as usize)
}

/// Writes one byte; `\n` becomes the end of a line as terminals want it.
///
/// # Safety
/// `registers` must be from [`map`], and nobody else may be writing.
pub(super) unsafe fn put(registers: usize, byte: u8) {
    if byte == b'\n' {
        // SAFETY: as this function requires.
        unsafe { put_raw(registers, b'\r') };
    }
    // SAFETY: as this function requires.
    unsafe { put_raw(registers, byte) };
}

/// # Safety
/// As [`put`].
unsafe fn put_raw(registers: usize, byte: u8) {
    loop {
        // SAFETY: the flag register of a UART that is mapped for good.
        let flags = unsafe { ptr::read_volatile((registers + FLAGS) as *const u32) };
        if flags & TRANSMIT_FULL == 0 {
            break;
        }
        arch::relax();
    }
    // SAFETY: the data register of a UART that is mapped for good.
    unsafe { ptr::write_volatile((registers + DATA) as *mut u32, u32::from(byte)) };
}
