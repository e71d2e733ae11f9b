//! A shared interrupt is taken by the core that GetTriggerCore named. Who took it is told by the kernel's line about an
//! interrupt that has no notification.
//!
//! cores: 2 4
//! gic: 2 3
//! expect: interrupt 33 on core 0 has no handler
//! expect: interrupt 33 on core 1 has no handler

#![no_std]
#![no_main]

use libsel4::invoke::Trigger;
use libsel4::{BootInfo, Cap, IrqHandler, System, init, root_task};
use tern_target_tests::objects::Pause;
use tern_target_tests::port::{LINE, Port};
use tern_target_tests::rows::row;

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let port = Port::new(&mut system);
    let pause = Pause::new(&mut system);
    let slot = system.slot().expect("a slot");
    let notification = system.notification().expect("a notification");
    row("irq-control.core.route");
    for core in [0, 1] {
        let get = init::IRQ_CONTROL.get_trigger_core(LINE, Trigger::Level, core, &slot);
        get.expect("a handler");
        port.raise();
        pause.pause();
        // It is masked now, and comes when it is acknowledged.
        let handler = Cap::<IrqHandler>::from_bits(slot.index);
        let set = handler.set_notification(notification);
        set.expect("a notification");
        handler.ack().expect("to acknowledge");
        notification.wait();
        port.lower();
        slot.delete().expect("to delete");
    }
}
