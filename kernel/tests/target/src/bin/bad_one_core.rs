//! In a configuration for one core: the interrupt control has other labels, and two debug calls do not exist.
//! cores: 1
//! config: MAX_NUM_NODES=1

#![no_std]
#![no_main]

use libsel4::{BootInfo, System, init, root_task};
use tern_target_tests::objects::{Answer, Ended, Puppet, answer, call_registers, invoke_label};
use tern_target_tests::rows::row;

root_task!(main);

const CONTROL: u64 = init::IRQ_CONTROL.bits();
const ROOT: u64 = init::CNODE.bits();
/// The label that is for another core's interrupts in configurations for several.
const ISSUE_SGI: u64 = 56;

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let slot = system.slot().expect("a slot");
    let ask = |label, caps: &[u64], words: &[u64]| invoke_label(CONTROL, label, caps, words);
    row("bad.one-core.labels");
    for label in [0, 1, 25, 27, 54, 57, 58, 1 << 32 | 56, (1 << 52) - 1] {
        let seen = ask(label, &[ROOT], &[5, 0, slot.index, 64, 0]);
        assert_eq!(seen, answer::illegal_operation(), "label {label}");
    }
    row("bad.one-core.issue-sgi");
    let words = [5, 0, slot.index, 64];
    for length in 0..4 {
        let seen = ask(ISSUE_SGI, &[ROOT], &words[..length]);
        assert_eq!(seen, answer::truncated());
    }
    assert_eq!(ask(ISSUE_SGI, &[], &words), answer::truncated());
    let issue = |sgi, target, depth| ask(ISSUE_SGI, &[ROOT], &[sgi, target, slot.index, depth]);
    for bad in [16, 1 << 32, 1 << 63, u64::MAX] {
        assert_eq!(issue(bad, bad, 0), answer::range(0, 15));
    }
    for bad in [8, 1 << 32, 1 << 63, u64::MAX] {
        assert_eq!(issue(5, bad, 0), answer::invalid_argument(1));
    }
    for bad in [0, 65, 256 + 64, u64::MAX] {
        assert_eq!(issue(5, 7, bad), answer::range(1, 64));
    }
    // No interrupt is the kernel's own here.
    for sgi in 0..16 {
        assert_eq!(issue(sgi, 0, 64), answer::ok());
        assert_eq!(issue(sgi, 0, 64), answer::delete_first());
        slot.delete().expect("to delete");
    }
    row("bad.one-core.debug-calls");
    let puppet = Puppet::new(&mut system, 0, 100);
    let pc = Puppet::trap_address();
    for number in [-18, -19] {
        let registers = call_registers(number, 1, 2, [3; 4], 6);
        let number = number as u64;
        let words = [1, 2, 3, 3, 3, 3, 6, number, pc, 0, pc + 4, 0x40, number];
        let fault = Ended::Faulted(Answer::new(2, &words));
        assert_eq!(puppet.syscall(&registers), fault);
    }
}
