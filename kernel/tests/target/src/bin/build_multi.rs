//! A kernel built for several cores has the labels, calls and interrupts of one wherever it runs, on a single core too.
//!
//! cores: 1 2 4
//! gic: 2 3

#![no_std]
#![no_main]

use libsel4::abi::debug_syscall;
use libsel4::{BootInfo, System, init, root_task};
use tern_target_tests::builds::{check_debug_calls, processors};
use tern_target_tests::objects::{Answer, Puppet, answer, invoke_label};
use tern_target_tests::rows::{row, rows};

root_task!(main);

const GET_TRIGGER: u64 = 55;
const GET_TRIGGER_CORE: u64 = 56;
const ISSUE_SGI: u64 = 57;

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    rows(&["build.multi.nodes", "build.multi.sched-control"]);
    let cores = boot.raw().num_nodes;
    assert_eq!(cores, processors(boot));
    assert_eq!(boot.raw().sched_control.len(), cores);
    let puppet = Puppet::new(&mut system, boot.cores() - 1, 100);
    row("build.multi.calls");
    let all = debug_syscall::GET_THREAD_AFFINITY..=debug_syscall::PUT_CHAR;
    let all: [i64; 8] = core::array::from_fn(|index| all.start() + index as i64);
    check_debug_calls(&puppet, &all);

    let root = init::CNODE.bits();
    let slots = [0; 3].map(|_| system.slot().expect("a slot").index);
    let control = |label, words: &[u64]| -> Answer {
        invoke_label(init::IRQ_CONTROL.bits(), label, &[root], words)
    };
    row("build.multi.labels");
    // Four words are too few for one, and enough for the other.
    let four = [9, 0, slots[0], 64];
    assert_eq!(control(GET_TRIGGER_CORE, &four), answer::truncated());
    assert_eq!(control(ISSUE_SGI, &four), answer::ok());
    assert_eq!(control(58, &four), answer::illegal_operation());
    row("build.multi.last-core");
    let on = |line, core| control(GET_TRIGGER_CORE, &[line, 0, slots[1], 64, core]);
    assert_eq!(on(60, cores), answer::invalid_argument(4));
    assert_eq!(on(9, cores - 1), answer::ok());
    row("build.multi.get-trigger");
    let private = control(GET_TRIGGER, &[30, 0, slots[2], 64]);
    assert_eq!(private, answer::illegal_operation());
    row("build.multi.sgi.kernel");
    for sgi in [0, 1] {
        let seen = control(ISSUE_SGI, &[sgi, 0, slots[2], 64]);
        assert_eq!(seen, answer::revoke_first(), "{sgi}");
        assert_eq!(control(26, &[sgi, slots[2], 64]), answer::revoke_first());
    }
    row("build.multi.timer");
    for core in 0..cores {
        let seen = control(GET_TRIGGER_CORE, &[27, 0, slots[2], 64, core]);
        assert_eq!(seen, answer::revoke_first(), "core {core}");
    }
}
