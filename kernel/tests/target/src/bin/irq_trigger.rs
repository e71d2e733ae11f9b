//! Levels and edges: a level interrupts again after each acknowledgement, an edge once. The mode stays until another is
//! asked for. An interrupt without a notification costs a line on the console.
//!
//! gic: 2 3
//! expect: interrupt 33 on core 0 has no handler

#![no_std]
#![no_main]

use libsel4::invoke::Trigger;
use libsel4::{
    BootInfo, Cap, CapRights, IrqHandler, Notification, SlotPath, System, init, root_task,
};
use tern_target_tests::objects::{Pause, answer, invoke};
use tern_target_tests::port::{LINE, Port};
use tern_target_tests::rows::{row, rows};

root_task!(main);

struct Bench {
    port: Port,
    pause: Pause,
    notification: Cap<Notification>,
    badged: Cap<Notification>,
    slot: SlotPath,
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let notification = system.notification().expect("a notification");
    let bench = Bench {
        port: Port::new(&mut system),
        pause: Pause::new(&mut system),
        notification,
        badged: system
            .mint(notification, CapRights::WRITE, 0x40)
            .expect("a badge"),
        slot: system.slot().expect("a slot"),
    };
    for core in 0..boot.cores() as u64 {
        modes(&bench, core);
        stays(&bench);
    }
    nobody(&bench);
}

impl Bench {
    fn handler(&self) -> Cap<IrqHandler> {
        Cap::from_bits(self.slot.index)
    }

    /// Installs the notification in the handler that was just taken.
    fn listen(&self) {
        let set = self.handler().set_notification(self.badged);
        set.expect("a notification");
    }

    fn ack(&self) {
        self.handler().ack().expect("to acknowledge");
    }

    #[track_caller]
    fn comes(&self) {
        self.pause.pause();
        assert_eq!(self.notification.poll(), 0x40, "the interrupt comes");
    }

    #[track_caller]
    fn silent(&self) {
        self.pause.pause();
        assert_eq!(self.notification.poll(), 0, "the interrupt does not come");
    }

    #[track_caller]
    fn is_level(&self) {
        self.port.raise();
        for _ in 0..3 {
            self.comes();
            self.silent();
            self.ack();
        }
        self.comes();
        self.port.lower();
        self.ack();
        self.silent();
    }

    #[track_caller]
    fn is_edge(&self) {
        for _ in 0..3 {
            self.port.raise();
            self.comes();
            self.ack();
            // Still high.
            self.silent();
            self.port.lower();
            self.silent();
        }
        // A rise while it waits to be acknowledged is not lost.
        self.port.raise();
        self.comes();
        self.port.lower();
        self.port.raise();
        self.silent();
        self.ack();
        self.comes();
        self.port.lower();
        self.ack();
        self.silent();
    }

    fn delete(&self) {
        self.slot.delete().expect("to delete");
    }
}

fn modes(b: &Bench, core: u64) {
    let control = init::IRQ_CONTROL;
    for round in 0..2 {
        row("irq-control.trigger.edge");
        let get = control.get_trigger(LINE, Trigger::Edge, &b.slot);
        get.expect("a handler");
        b.listen();
        b.is_edge();
        b.delete();
        row("irq-control.trigger.level");
        let get = control.get_trigger(LINE, Trigger::Level, &b.slot);
        get.expect("a handler");
        b.listen();
        b.is_level();
        b.delete();
        row("irq-control.core.trigger");
        let get = control.get_trigger_core(LINE, Trigger::Edge, core, &b.slot);
        get.expect("a handler");
        b.listen();
        b.is_edge();
        b.delete();
        let get = control.get_trigger_core(LINE, Trigger::Level, core, &b.slot);
        get.expect("a handler");
        b.listen();
        b.is_level();
        b.delete();
        // Everything but 0 is an edge.
        row("irq-control.trigger.edge");
        let words = [LINE, [2, u64::MAX << 32][round], b.slot.index, b.slot.depth];
        let method = libsel4::abi::Invocation::IrqIssueHandlerTrigger;
        let seen = invoke(control.bits(), method, &[init::CNODE.bits()], &words);
        assert_eq!(seen, answer::ok());
        b.listen();
        b.is_edge();
        b.delete();
    }
}

fn stays(b: &Bench) {
    row("irq-control.get.trigger");
    let control = init::IRQ_CONTROL;
    for trigger in [Trigger::Edge, Trigger::Level] {
        control
            .get_trigger(LINE, trigger, &b.slot)
            .expect("a handler");
        b.delete();
        control.get(LINE, &b.slot).expect("a handler");
        b.listen();
        match trigger {
            Trigger::Edge => b.is_edge(),
            Trigger::Level => b.is_level(),
        }
        b.delete();
    }
}

fn nobody(b: &Bench) {
    rows(&["irq-handler.nobody", "irq-handler.clear"]);
    let get = init::IRQ_CONTROL.get_trigger_core(LINE, Trigger::Level, 0, &b.slot);
    get.expect("a handler");
    b.listen();
    b.handler().clear().expect("to clear");
    b.port.raise();
    b.silent();
    b.listen();
    b.silent();
    b.ack();
    b.comes();
    b.port.lower();
    b.delete();
}
