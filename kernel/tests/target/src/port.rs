//! The serial port of the emulated board as a source of interrupts.

use libsel4::{SmallPage, System};

/// Its interrupt line.
pub const LINE: u64 = 33;

/// The serial port: it interrupts when it has sent a byte.
pub struct Port(usize);

impl Port {
    const ADDRESS: u64 = 0x900_0000;
    const MASK: usize = 0x38;
    const CLEAR: usize = 0x44;
    const SENT: u32 = 1 << 5;

    /// Maps it. Its line is low.
    pub fn new(system: &mut System) -> Self {
        let port = Self(
            system
                .map_device::<SmallPage>(Self::ADDRESS)
                .expect("the serial port"),
        );
        port.lower();
        port
    }

    fn write(&self, register: usize, value: u32) {
        // SAFETY: the device's registers are mapped there for good.
        unsafe { ((self.0 + register) as *mut u32).write_volatile(value) }
    }

    /// Lets the line rise: by a space on the console.
    pub fn raise(&self) {
        self.write(0, u32::from(b' '));
        self.write(Self::MASK, Self::SENT);
    }

    /// Lets the line fall.
    pub fn lower(&self) {
        self.write(Self::MASK, 0);
        self.write(Self::CLEAR, 0x7ff);
    }
}
