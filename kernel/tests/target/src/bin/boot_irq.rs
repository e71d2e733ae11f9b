//! A shared interrupt line as boot leaves it: it goes to the boot core and to no other, and it triggers by level.
//!
//! cores: 1 2 4
//! gic: 2 3

#![no_std]
#![no_main]

use libsel4::invoke::Trigger;
use libsel4::{
    BootInfo, Cap, IrqHandler, Notification, SmallPage, System, Thread, init, root_task,
};
use tern_target_tests::objects::Pause;
use tern_target_tests::rows::row;
use tern_target_tests::watch::interrupts;

root_task!(main);

/// The serial port's line.
const LINE: u64 = 33;

/// The serial port, which interrupts when it has sent a byte.
struct Port(usize);

impl Port {
    fn write(&self, register: usize, value: u32) {
        // SAFETY: the device's registers are mapped there for good.
        unsafe { ((self.0 + register) as *mut u32).write_volatile(value) }
    }

    /// Lets the line rise: by a line feed on the console.
    fn raise(&self) {
        self.write(0, u32::from(b'\n'));
        self.write(0x38, 1 << 5);
    }

    fn lower(&self) {
        self.write(0x38, 0);
        self.write(0x44, 0x7ff);
    }
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let pause = Pause::new(&mut system);
    let registers = system.map_device::<SmallPage>(0x900_0000);
    let port = Port(registers.expect("the serial port"));
    port.lower();
    let slot = system.slot().expect("a slot");
    init::IRQ_CONTROL.get(LINE, &slot).expect("the line");
    let handler = Cap::<IrqHandler>::from_bits(slot.index);
    let notification = system.notification().expect("a notification");
    handler.set_notification(notification).expect("set");

    row("boot.irq.level");
    port.raise();
    notification.wait();
    for _ in 0..3 {
        // It is still high.
        handler.ack().expect("acknowledged");
        notification.wait();
    }
    port.lower();
    handler.ack().expect("acknowledged");
    pause.pause();
    assert_eq!(notification.poll(), 0, "it is low");

    if boot.cores() > 1 {
        row("boot.irq.target");
        let last = boot.cores() - 1;
        let signal = |_: &mut System, _: &Thread<bool>| once(&port, handler, notification);
        for core in 1..boot.cores() {
            assert!(!interrupts(&mut system, core, signal), "core {core}");
        }
        // Sent elsewhere, it is seen there.
        slot.delete().expect("deleted");
        init::IRQ_CONTROL
            .get_trigger_core(LINE, Trigger::Level, last as u64, &slot)
            .expect("the line");
        handler.set_notification(notification).expect("set");
        assert!(interrupts(&mut system, last, signal), "the last core");
    }
}

/// One interrupt.
fn once(port: &Port, handler: Cap<IrqHandler>, notification: Cap<Notification>) {
    port.raise();
    notification.wait();
    port.lower();
    handler.ack().expect("acknowledged");
}
