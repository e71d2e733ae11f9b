//! More cores than eight: a kernel that is built for them runs threads and takes interrupts on each.
//!
//! config: MAX_NUM_NODES=16
//! gic: 3
//! cores: 9 16

#![no_std]
#![no_main]

use libsel4::invoke::Trigger;
use libsel4::{
    BootInfo, Cap, CapRights, IrqHandler, System, ThreadBuilder, debug, init, root_task,
};
use tern_target_tests::builds::processors;
use tern_target_tests::objects::{answer, invoke_label};
use tern_target_tests::rows::{row, rows};

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    rows(&[
        "build.config.max-nodes",
        "build.multi.nodes",
        "build.multi.sched-control",
    ]);
    let cores = boot.cores();
    assert_eq!(cores as u64, processors(boot));
    assert!(cores > 8);
    assert_eq!(boot.raw().sched_control.len(), cores as u64);
    for core in 0..cores {
        let thread = ThreadBuilder::new("there").core(core);
        let thread = thread.spawn(&mut system, move || core).expect("a thread");
        assert_eq!(debug::thread_affinity(thread.tcb()), Some(core));
        assert_eq!(thread.join(&mut system).expect("joined"), core);
    }
    row("build.multi.last-core");
    let notification = system.notification().expect("a notification");
    for core in 0..cores as u64 {
        let slot = system.slot().expect("a slot");
        let get = init::IRQ_CONTROL.get_trigger_core(5, Trigger::Edge, core, &slot);
        get.expect("a handler");
        let badged = system.mint(notification, CapRights::all(), 1 << core);
        let handler = Cap::<IrqHandler>::from_bits(slot.index);
        handler
            .set_notification(badged.expect("a badge"))
            .expect("set");
        debug::send_ipi(core, 5);
        assert_eq!(notification.wait(), 1 << core);
    }
    let slot = system.slot().expect("a slot").index;
    let words = [6, 0, slot, 64, cores as u64];
    let seen = invoke_label(init::IRQ_CONTROL.bits(), 56, &[init::CNODE.bits()], &words);
    assert_eq!(seen, answer::invalid_argument(4));
}
