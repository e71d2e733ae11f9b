//! A kernel built for one core: one node on any machine, label 56 makes a signal capability of a software-generated
//! interrupt, all of which are free, and there are no debug calls about cores.
//!
//! config: MAX_NUM_NODES=1
//! cores: 1 4
//! gic: 2 3

#![no_std]
#![no_main]

use libsel4::abi::{cap_type, debug_syscall};
use libsel4::{BootInfo, Cap, CapRights, IrqHandler, SgiSignal, System, init, root_task};
use tern_target_tests::builds::check_debug_calls;
use tern_target_tests::objects::{Answer, Pause, Puppet, answer, invoke_label, kind};
use tern_target_tests::rows::{row, rows};

root_task!(main);

const GET_TRIGGER: u64 = 55;
const ISSUE_SGI: u64 = 56;
/// Would be an argument of GetTriggerCore, which has five words.
const UNUSED: u64 = 0;

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    rows(&["build.single.nodes", "build.single.sched-control"]);
    assert_eq!(boot.raw().num_nodes, 1);
    assert_eq!(boot.raw().sched_control.len(), 1);
    let puppet = Puppet::new(&mut system, 0, 100);
    row("build.single.calls");
    check_debug_calls(
        &puppet,
        &[
            debug_syscall::PUT_CHAR,
            debug_syscall::DUMP_SCHEDULER,
            debug_syscall::HALT,
            debug_syscall::CAP_IDENTIFY,
            debug_syscall::SNAPSHOT,
            debug_syscall::NAME_THREAD,
        ],
    );
    labels(&mut system);
    private_lines(&mut system);
    signals(&mut system);
}

fn control(label: u64, caps: &[u64], words: &[u64]) -> Answer {
    invoke_label(init::IRQ_CONTROL.bits(), label, caps, words)
}

fn labels(system: &mut System) {
    let slot = system.slot().expect("a slot").index;
    let root = init::CNODE.bits();
    row("build.single.labels");
    for label in [57, 58] {
        let seen = control(label, &[root], &[5, 0, slot, 64, UNUSED]);
        assert_eq!(seen, answer::illegal_operation(), "label {label}");
    }
    rows(&["build.single.sgi.truncated", "build.single.sgi.order"]);
    assert_eq!(
        control(ISSUE_SGI, &[root], &[16, 8, 0]),
        answer::truncated()
    );
    assert_eq!(
        control(ISSUE_SGI, &[], &[16, 8, 0, 65]),
        answer::truncated()
    );
    rows(&["build.single.sgi.number", "build.single.sgi.order"]);
    for sgi in [16, 17, 1 << 32, u64::MAX] {
        let seen = control(ISSUE_SGI, &[0], &[sgi, 8, 0, 65]);
        assert_eq!(seen, answer::range(0, 15), "{sgi}");
    }
    rows(&["build.single.sgi.target", "build.single.sgi.order"]);
    for target in [8, 1 << 32, u64::MAX] {
        let seen = control(ISSUE_SGI, &[0], &[5, target, 0, 65]);
        assert_eq!(seen, answer::invalid_argument(1), "{target}");
    }
    rows(&["build.single.sgi.slot", "build.single.sgi.order"]);
    assert_eq!(
        control(ISSUE_SGI, &[0], &[5, 7, 1, 65]),
        answer::invalid_root(false)
    );
    assert_eq!(
        control(ISSUE_SGI, &[root], &[5, 7, 1, 65]),
        answer::range(1, 64)
    );
    assert_eq!(
        control(ISSUE_SGI, &[root], &[5, 7, 1, 64]),
        answer::delete_first()
    );
    assert_eq!(control(ISSUE_SGI, &[root], &[5, 7, slot, 64]), answer::ok());
    // There is no such core: the signal goes nowhere.
    Cap::<SgiSignal>::from_bits(slot).signal();
}

fn private_lines(system: &mut System) {
    row("build.single.get-trigger");
    let slot = system.slot().expect("a slot");
    let root = init::CNODE.bits();
    // A timer of the core that nobody uses, and the kernel's own.
    let get = |line| control(GET_TRIGGER, &[root], &[line, 1, slot.index, 64]);
    assert_eq!(get(30), answer::ok());
    assert_eq!(kind(slot), cap_type::IRQ_HANDLER);
    slot.delete().expect("to delete");
    assert_eq!(get(27), answer::revoke_first());
}

/// Every number is free, and a signal arrives at the handler of its number, by any label.
fn signals(system: &mut System) {
    rows(&["build.single.sgi.free", "build.single.sgi.signals"]);
    let pause = Pause::new(system);
    let notification = system.notification().expect("a notification");
    for sgi in 0..16 {
        let [signal, handler] = [0; 2].map(|_| system.slot().expect("a slot"));
        let issued = control(
            ISSUE_SGI,
            &[init::CNODE.bits()],
            &[sgi, 0, signal.index, 64],
        );
        assert_eq!(issued, answer::ok(), "{sgi}");
        assert_eq!(kind(signal), cap_type::SGI_SIGNAL);
        init::IRQ_CONTROL.get(sgi, &handler).expect("a handler");
        let badged = system.mint(notification, CapRights::all(), 1 << sgi);
        let irq = Cap::<IrqHandler>::from_bits(handler.index);
        irq.set_notification(badged.expect("a badge")).expect("set");
        Cap::<SgiSignal>::from_bits(signal.index).signal();
        pause.pause();
        assert_eq!(notification.poll(), 1 << sgi, "{sgi}");
        irq.ack().expect("acknowledged");
        let seen = invoke_label(signal.index, 1000, &[], &[1, 2, 3, 4, 5]);
        assert_eq!(seen, answer::ok());
        pause.pause();
        assert_eq!(notification.poll(), 1 << sgi, "{sgi}");
    }
}
