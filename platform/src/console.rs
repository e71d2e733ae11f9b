//! The serial port for messages: PL011, or the mini UART of the Raspberry Pi, written by polling.
//!
//! Output only. Several cores may write at once: bytes then mix, nothing worse. The port works as firmware left it;
//! `init` sets up what firmware may not have, and only the loader calls it.

use crate::board::{self, ConsoleKind, Region};
use tock_registers::interfaces::{Readable, Writeable};
use tock_registers::register_structs;
use tock_registers::registers::{ReadOnly, ReadWrite};

register_structs! {
    Pl011 {
        (0x00 => data: ReadWrite<u32>),
        (0x04 => _reserved0),
        (0x18 => flags: ReadOnly<u32>),
        (0x1c => _reserved1),
        (0x24 => divisor: ReadWrite<u32>),
        (0x28 => fraction: ReadWrite<u32>),
        (0x2c => line: ReadWrite<u32>),
        (0x30 => control: ReadWrite<u32>),
        (0x34 => _reserved2),
        (0x38 => interrupts: ReadWrite<u32>),
        (0x3c => @END),
    }
}

register_structs! {
    MiniUart {
        (0x00 => data: ReadWrite<u32>),
        (0x04 => _reserved0),
        (0x14 => line_status: ReadOnly<u32>),
        (0x18 => @END),
    }
}

register_structs! {
    Gpio {
        (0x00 => _reserved0),
        (0x04 => select_10_to_19: ReadWrite<u32>),
        (0x08 => @END),
    }
}

/// PL011 flags: transmit queue full, still sending.
const FULL: u32 = 1 << 5;
const BUSY: u32 = 1 << 3;
/// PL011 control: transmit and receive on, port on.
const ENABLED: u32 = 0x301;
/// PL011 line: 8 bits, queues on.
const EIGHT_BITS: u32 = 0x70;
/// Mini UART line status: room for a byte.
const ROOM: u32 = 1 << 5;
/// Divisor (with 64ths) for 115200 baud from the 48 MHz that `init_uart_clock` in config.txt sets.
const PI_DIVISOR: (u32, u32) = (26, 3);

/// A port to write bytes to.
pub struct Console {
    kind: ConsoleKind,
    base: usize,
    pins: Option<usize>,
}

impl Console {
    /// The port at `window` + its physical address. Touches no hardware.
    ///
    /// # Safety
    /// For as long as the value lives, the registers that `info` names are mapped there as device memory, and nothing
    /// else uses them in a way that disturbs output.
    pub unsafe fn new(info: &board::Console, window: usize) -> Console {
        let kind = if info.registers.is_empty() {
            ConsoleKind::None
        } else {
            info.kind
        };
        let address = |region: &Region| window + region.start as usize;
        Console {
            kind,
            base: address(&info.registers),
            pins: (!info.pins.is_empty()).then(|| address(&info.pins)),
        }
    }

    /// A console that drops what is written.
    pub const fn none() -> Console {
        Console {
            kind: ConsoleKind::None,
            base: 0,
            pins: None,
        }
    }

    /// Makes sure that a PL011 sends. With pins to route, also sets its speed and puts it on the pins of the header.
    pub fn init(&self) {
        if self.kind != ConsoleKind::Pl011 {
            return;
        }
        let uart = self.pl011();
        if let Some(pins) = self.pins {
            // SAFETY: mapped device registers, by the promise of `new`.
            let gpio = unsafe { &*core::ptr::with_exposed_provenance::<Gpio>(pins) };
            while uart.flags.get() & BUSY != 0 {}
            uart.control.set(0);
            let others = gpio.select_10_to_19.get() & !(0o77 << 12);
            gpio.select_10_to_19.set(others | 0o44 << 12);
            uart.interrupts.set(0);
            uart.divisor.set(PI_DIVISOR.0);
            uart.fraction.set(PI_DIVISOR.1);
            uart.line.set(EIGHT_BITS);
        }
        if uart.control.get() & ENABLED != ENABLED {
            uart.control.set(ENABLED);
        }
    }

    /// Writes one byte, waiting for room. A line ends with "\r\n", which is up to the caller.
    pub fn put_byte(&self, byte: u8) {
        match self.kind {
            ConsoleKind::None => {}
            ConsoleKind::Pl011 => {
                let uart = self.pl011();
                while uart.flags.get() & FULL != 0 {}
                uart.data.set(u32::from(byte));
            }
            ConsoleKind::MiniUart => {
                // SAFETY: mapped device registers, by the promise of `new`.
                let uart = unsafe { &*core::ptr::with_exposed_provenance::<MiniUart>(self.base) };
                while uart.line_status.get() & ROOM == 0 {}
                uart.data.set(u32::from(byte));
            }
        }
    }

    fn pl011(&self) -> &Pl011 {
        // SAFETY: mapped device registers, by the promise of `new`.
        unsafe { &*core::ptr::with_exposed_provenance::<Pl011>(self.base) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn console(kind: ConsoleKind, registers: &mut [u32; 64], pins: bool) -> Console {
        let start = registers.as_mut_ptr().expose_provenance() as u64;
        let info = board::Console {
            kind,
            irq: 0,
            registers: Region::new(start, start + 0x80),
            pins: if pins {
                Region::new(start + 0x80, start + 0x100)
            } else {
                Region::EMPTY
            },
        };
        // SAFETY: the registers are memory that outlives the console in each test.
        unsafe { Console::new(&info, 0) }
    }

    fn peek(registers: &[u32; 64], index: usize) -> u32 {
        // SAFETY: inside the array.
        unsafe { (&raw const registers[index]).read_volatile() }
    }

    #[test]
    fn bytes_go_to_the_data_register() {
        let mut registers = [0; 64];
        console(ConsoleKind::Pl011, &mut registers, false).put_byte(b'a');
        assert_eq!(peek(&registers, 0), u32::from(b'a'));
        registers[5] = ROOM;
        console(ConsoleKind::MiniUart, &mut registers, false).put_byte(b'b');
        assert_eq!(peek(&registers, 0), u32::from(b'b'));
        console(ConsoleKind::None, &mut registers, false).put_byte(b'c');
        Console::none().put_byte(b'c');
        assert_eq!(peek(&registers, 0), u32::from(b'b'));
    }

    #[test]
    fn set_up_routes_the_pins_of_a_pi() {
        let mut registers = [0; 64];
        registers[33] = 0o7777_7777;
        console(ConsoleKind::Pl011, &mut registers, true).init();
        assert_eq!(peek(&registers, 33), 0o7744_7777);
        assert_eq!(
            [9, 10, 11, 12].map(|i| peek(&registers, i)),
            [26, 3, 0x70, 0x301]
        );
        registers = [0; 64];
        console(ConsoleKind::Pl011, &mut registers, false).init();
        assert_eq!(
            [9, 10, 11, 12].map(|i| peek(&registers, i)),
            [0, 0, 0, 0x301]
        );
    }
}
