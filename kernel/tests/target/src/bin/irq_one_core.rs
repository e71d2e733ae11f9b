//! A kernel that is built for one core: the label of software-generated interrupts, private interrupts by GetTrigger, and
//! no interrupts that the kernel needs for other cores.
//!
//! cores: 1
//! gic: 2 3
//! config: MAX_NUM_NODES=1

#![no_std]
#![no_main]

use libsel4::abi::Invocation;
use libsel4::{BootInfo, Cap, IrqHandler, SgiSignal, System, init, root_task};
use tern_target_tests::objects::{answer, invoke, invoke_label};
use tern_target_tests::rows::{row, rows};

root_task!(main);

const CONTROL: u64 = init::IRQ_CONTROL.bits();
const ROOT: u64 = init::CNODE.bits();

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let [handler, signal] = [0; 2].map(|_| system.slot().expect("a slot"));
    let notification = system.notification().expect("a notification");
    let trigger = |line, slot| {
        let words = [line, 1, slot, 64];
        invoke(CONTROL, Invocation::IrqIssueHandlerTrigger, &[ROOT], &words)
    };
    for sgi in [0, 1, 15] {
        rows(&["sgi.label", "sgi.kernel"]);
        // GetTriggerCore does not exist; its label means another method.
        let seen = invoke_label(CONTROL, 57, &[ROOT], &[sgi, 0, signal.index, 64, 0]);
        assert_eq!(seen, answer::illegal_operation());
        let seen = invoke_label(CONTROL, 56, &[0], &[16, 0, signal.index, 64, 0]);
        assert_eq!(seen, answer::range(0, 15));
        let seen = invoke_label(CONTROL, 56, &[ROOT], &[sgi, 0, signal.index, 64]);
        assert_eq!(seen, answer::ok());
        row("irq-control.trigger.private");
        assert_eq!(trigger(sgi, handler.index), answer::ok());
        let irq = Cap::<IrqHandler>::from_bits(handler.index);
        irq.set_notification(notification).expect("a notification");
        Cap::<SgiSignal>::from_bits(signal.index).signal();
        notification.wait();
        handler.delete().expect("to delete");
        signal.delete().expect("to delete");
    }
    row("irq-control.get.kernel");
    assert_eq!(trigger(27, handler.index), answer::revoke_first());
}
