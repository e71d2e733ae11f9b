//! Private interrupts: the physical timer of each core, which user level may program here. Each core's has a handler of
//! its own, and any core may acknowledge it.
//!
//! gic: 2 3
//! icount: both
//! config: EXPORT_PTMR_USER=true

#![no_std]
#![no_main]

use core::arch::asm;

use libsel4::invoke::Trigger;
use libsel4::{
    BootInfo, Cap, CapRights, IrqHandler, Notification, SlotPath, System, ThreadBuilder,
    UserContext, init, root_task,
};
use tern_target_tests::code::address_of;
use tern_target_tests::objects::{Pause, Puppet};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::snippets;

root_task!(main);

/// The interrupt of the physical timer at EL1 (Arm Base System Architecture, recommended PPI assignments).
const TIMER: u64 = 30;

snippets! {
    physical: "mrs x0, cntp_ctl_el0", "mrs x0, cntp_cval_el0", "mrs x0, cntp_tval_el0";
    virtual_timer: "mrs x0, cntv_ctl_el0";
}

/// Lets the physical timer of the running thread's core fire at once, or never.
fn set_timer(on: bool) {
    // SAFETY: the kernel does not use this timer.
    unsafe {
        asm!(
            "msr cntp_cval_el0, xzr",
            "msr cntp_ctl_el0, {}",
            "isb",
            in(reg) u64::from(on),
            options(nomem, nostack),
        );
    }
}

/// One for each core: a thread that switches its timer on or off, and says so.
#[derive(Clone, Copy)]
struct Core {
    on: Cap<Notification>,
    done: Cap<Notification>,
    handler: SlotPath,
    badge: u64,
}

impl Core {
    fn new(system: &mut System, core: usize, all: Cap<Notification>) -> Self {
        let [on, done] = [0; 2].map(|_| system.notification().expect("a notification"));
        ThreadBuilder::new("timer")
            .core(core)
            .priority(200)
            .spawn::<(), _>(system, move || {
                for turn in 0_u64.. {
                    on.wait();
                    set_timer(turn.is_multiple_of(2));
                    done.signal();
                }
            })
            .expect("a thread");
        let badge = 1 << core;
        let badged = system.mint(all, CapRights::WRITE, badge).expect("a badge");
        let handler = system.slot().expect("a slot");
        let core = Self {
            on,
            done,
            handler,
            badge,
        };
        core.take(badged);
        core
    }

    fn take(&self, badged: Cap<Notification>) {
        let core = u64::from(self.badge.trailing_zeros());
        let get = init::IRQ_CONTROL.get_trigger_core(TIMER, Trigger::Level, core, &self.handler);
        get.expect("a handler");
        let set = self.irq().set_notification(badged);
        set.expect("a notification");
    }

    fn irq(&self) -> Cap<IrqHandler> {
        Cap::from_bits(self.handler.index)
    }

    /// Switches the timer on, and at the next call off.
    fn switch(&self) {
        self.on.signal();
        self.done.wait();
    }
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let pause = Pause::new(&mut system);
    let all = system.notification().expect("a notification");
    let silent = || {
        pause.pause();
        assert_eq!(all.poll(), 0);
    };
    let cores: [Option<Core>; 8] = core::array::from_fn(|core| {
        (core < boot.cores()).then(|| Core::new(&mut system, core, all))
    });
    let cores = || cores.iter().flatten();
    rows(&["irq-control.core.private", "irq-handler.ack-remote"]);
    for _ in 0..3 {
        for core in cores() {
            silent();
            core.switch();
            assert_eq!(all.wait(), core.badge);
            // The timer still asserts its line, but that is masked on its core.
            silent();
            for _ in 0..3 {
                core.irq().ack().expect("to acknowledge");
                assert_eq!(all.wait(), core.badge);
            }
            core.switch();
            core.irq().ack().expect("to acknowledge");
        }
    }
    // All at once.
    silent();
    cores().for_each(Core::switch);
    let mut seen = 0;
    while seen != (1 << boot.cores()) - 1 {
        seen |= all.wait();
    }
    silent();
    row("irq-handler.deleted");
    for core in cores() {
        core.handler.delete().expect("to delete");
        silent();
        // Handed out again, it interrupts again: the timer is still on.
        let badged = system
            .mint(all, CapRights::WRITE, core.badge)
            .expect("a badge");
        core.take(badged);
        core.irq().ack().expect("to acknowledge");
        assert_eq!(all.wait(), core.badge);
        core.switch();
        core.irq().ack().expect("to acknowledge");
        // It may have interrupted twice: as soon as it was handed out, and after the acknowledgement.
        pause.pause();
        all.poll();
    }
    silent();
    exported(&mut system);
}

/// This timer is user level's, and the other is not.
fn exported(system: &mut System) {
    row("el0.exported");
    let core = system.cores() - 1;
    let puppet = Puppet::new(system, core, 100);
    let end = |code: extern "C" fn() -> !| {
        let context = UserContext {
            pc: address_of(code),
            ..UserContext::default()
        };
        let fault = puppet.run_to_fault(&context);
        (fault.words[0] - context.pc, fault.words[3])
    };
    assert_eq!(end(physical), (12, 0x0200_0000));
    assert_eq!(end(virtual_timer), (0, 0x6232_f807));
}
