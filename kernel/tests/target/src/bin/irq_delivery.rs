//! Interrupts that happen: those of the serial port, on every core, and software-generated ones between all cores. A line
//! is silent from its interrupt until it is acknowledged.
//! gic: 2 3

#![no_std]
#![no_main]

use libsel4::invoke::Trigger;
use libsel4::{
    BootInfo, Cap, CapRights, IrqHandler, Notification, SgiSignal, System, init, root_task,
};
use tern_target_tests::objects::{Pause, answer, invoke_label};
use tern_target_tests::port::{LINE, Port};
use tern_target_tests::rows::{row, rows};

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let pause = Pause::new(&mut system);
    let port = Port::new(&mut system);
    shared_line(&mut system, &port, &pause);
    software_interrupts(&mut system, &pause);
}

fn shared_line(system: &mut System, port: &Port, pause: &Pause) {
    let notification = system.notification().expect("a notification");
    let badged = system
        .mint(notification, CapRights::WRITE, 0x10)
        .expect("a badge");
    let other = system
        .mint(notification, CapRights::WRITE, 0x20)
        .expect("a badge");
    let slot = system.slot().expect("a slot");
    let handler = Cap::<IrqHandler>::from_bits(slot.index);
    let silent = |notification: Cap<Notification>| {
        pause.pause();
        assert_eq!(notification.poll(), 0);
    };
    for core in 0..system.cores() as u64 {
        rows(&[
            "irq-handler.badge",
            "irq-handler.masked",
            "irq-handler.ack",
            "irq-control.get.unmasked",
        ]);
        let get = init::IRQ_CONTROL.get_trigger_core(LINE, Trigger::Level, core, &slot);
        get.expect("a handler");
        handler.set_notification(badged).expect("a notification");
        for _ in 0..3 {
            silent(notification);
            port.raise();
            assert_eq!(notification.wait(), 0x10, "core {core}");
            // The level is still there, but the line is masked.
            silent(notification);
            handler.ack().expect("to acknowledge");
            assert_eq!(
                notification.wait(),
                0x10,
                "acknowledged too early, core {core}"
            );
            port.lower();
            handler.ack().expect("to acknowledge");
            handler.ack().expect("twice is once");
        }
        row("irq-handler.set.replaces");
        // Another notification, while it waits to be acknowledged.
        port.raise();
        assert_eq!(notification.wait(), 0x10);
        handler.set_notification(other).expect("a notification");
        handler.ack().expect("to acknowledge");
        assert_eq!(notification.wait(), 0x20);
        rows(&["irq-handler.clear", "irq-handler.nobody"]);
        // None: the interrupt is masked all the same.
        handler.clear().expect("to clear");
        handler.ack().expect("to acknowledge");
        silent(notification);
        handler.set_notification(badged).expect("a notification");
        silent(notification);
        handler.ack().expect("to acknowledge");
        assert_eq!(notification.wait(), 0x10);
        row("irq-handler.deleted");
        // Deleted with the level still there; taken again, it interrupts at once.
        slot.delete().expect("to delete");
        silent(notification);
        init::IRQ_CONTROL.get(LINE, &slot).expect("a handler");
        handler.set_notification(badged).expect("a notification");
        // It had come before there was a notification, or it comes now.
        handler.ack().expect("to acknowledge");
        assert_eq!(notification.wait(), 0x10);
        port.lower();
        row("irq-handler.set.copy");
        // Revoking the notification's capabilities takes it from the line.
        handler.ack().expect("to acknowledge");
        notification.slot().revoke().expect("to revoke");
        port.raise();
        silent(notification);
        port.lower();
        slot.delete().expect("to delete");
        for (cap, badge) in [(badged, 0x10), (other, 0x20)] {
            cap.slot()
                .mint_from(&notification.slot(), CapRights::WRITE, badge)
                .expect("a badge");
        }
    }
}

fn software_interrupts(system: &mut System, pause: &Pause) {
    let cores = system.cores() as u64;
    let notification = system.notification().expect("a notification");
    for sgi in [2, 15] {
        // A handler and a signal for each core, and a badge that says which.
        let all: [_; 8] = core::array::from_fn(|core| {
            let core = core as u64;
            (core < cores).then(|| {
                let [handler, signal] = [0; 2].map(|_| system.slot().expect("a slot"));
                let get = init::IRQ_CONTROL.get_trigger_core(sgi, Trigger::Edge, core, &handler);
                get.expect("a handler");
                let badged = system.mint(notification, CapRights::all(), 1 << core);
                let handler = Cap::<IrqHandler>::from_bits(handler.index);
                handler
                    .set_notification(badged.expect("a badge"))
                    .expect("a notification");
                init::IRQ_CONTROL
                    .issue_sgi_signal(sgi, core, &signal)
                    .expect("a signal");
                (handler, Cap::<SgiSignal>::from_bits(signal.index))
            })
        });
        rows(&["sgi.signal", "irq-control.core.private"]);
        let each = || {
            all.iter()
                .flatten()
                .zip(0..)
                .map(|(&(handler, signal), core)| (handler, signal, 1 << core))
        };
        for round in 0..5 {
            for (handler, signal, badge) in each() {
                pause.pause();
                assert_eq!(notification.poll(), 0);
                signal.signal();
                assert_eq!(notification.wait(), badge, "interrupt {sgi}, round {round}");
                handler.ack().expect("to acknowledge");
            }
        }
        rows(&["sgi.signal", "sgi.many", "irq-handler.masked"]);
        // Any label and any length, by a call too; a copy does as well.
        for (handler, signal, badge) in each() {
            let seen = invoke_label(signal.bits(), 12345, &[], &[1, 2, 3, 4, 5]);
            assert_eq!(seen, answer::ok());
            assert_eq!(notification.wait(), badge);
            handler.ack().expect("to acknowledge");
            let copy = system.copy(signal, CapRights::empty()).expect("a copy");
            copy.signal();
            assert_eq!(notification.wait(), badge);
            // Not acknowledged yet. Some interrupt controllers cannot mask these; either way it is told once.
            signal.signal();
            signal.signal();
            pause.pause();
            handler.ack().expect("to acknowledge");
            assert_eq!(notification.wait(), badge);
            handler.ack().expect("to acknowledge");
            pause.pause();
            assert_eq!(notification.poll(), 0);
        }
        row("sgi.nobody");
        for (handler, signal, _) in each() {
            handler.slot().delete().expect("to delete");
            // Nobody is told.
            signal.signal();
            pause.pause();
            assert_eq!(notification.poll(), 0);
        }
        // A core that did not come up.
        if cores < 8 {
            let slot = system.slot().expect("a slot");
            let issue = init::IRQ_CONTROL.issue_sgi_signal(sgi, 7, &slot);
            issue.expect("a signal");
            Cap::<SgiSignal>::from_bits(slot.index).signal();
            pause.pause();
            assert_eq!(notification.poll(), 0);
        }
    }
}
