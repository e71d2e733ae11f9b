//! Taking interrupt lines: every refusal in the order of the checks, who has a line, and that it comes back.
//! gic: 2 3

#![no_std]
#![no_main]

use libsel4::abi::{Invocation, cap_type};
use libsel4::{BootInfo, CNode, Cap, CapRights, System, init, root_task};
use tern_target_tests::objects::{Answer, answer, invoke, invoke_label, kind};
use tern_target_tests::rows::{row, rows};

root_task!(main);

const CONTROL: u64 = init::IRQ_CONTROL.bits();
const ROOT: u64 = init::CNODE.bits();
/// A line of the serial port.
const LINE: u64 = 33;

fn get(caps: &[u64], words: &[u64]) -> Answer {
    invoke(CONTROL, Invocation::IrqIssueHandler, caps, words)
}

fn get_trigger(caps: &[u64], words: &[u64]) -> Answer {
    invoke(CONTROL, Invocation::IrqIssueHandlerTrigger, caps, words)
}

fn get_on_core(caps: &[u64], words: &[u64]) -> Answer {
    invoke(CONTROL, Invocation::IrqIssueHandlerTriggerCore, caps, words)
}

fn issue_sgi(caps: &[u64], words: &[u64]) -> Answer {
    invoke(CONTROL, Invocation::IrqIssueSgiSignal, caps, words)
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let node = system.cnode(6).expect("a CNode");
    refusals(&mut system, boot.cores() as u64);
    lines_of_cores(&mut system, node, boot.cores() as u64);
    software_interrupts(node, boot.cores() as u64);
    handlers(&mut system);
    revoked(&mut system);
}

fn refusals(system: &mut System, cores: u64) {
    let slot = system.slot().expect("a slot").index;
    row("irq-control.label");
    for label in [0, 1, 27, 28, 29, 30, 58, 1000] {
        let seen = invoke_label(CONTROL, label, &[ROOT], &[LINE, 0, slot, 64, 0]);
        assert_eq!(seen, answer::illegal_operation(), "label {label}");
    }
    row("irq-control.get.range");
    let wild = get(&[0], &[u64::MAX, 0, 65]);
    assert_eq!((wild.label, wild.words[0]), (4, 0));
    let max = wild.words[1];
    assert!((159..1020).contains(&max), "the highest line is {max}");
    let wrong_place = answer::invalid_root(false);

    rows(&["irq-control.get.truncated", "irq-control.get.order"]);
    assert_eq!(get(&[ROOT], &[LINE, slot]), answer::truncated());
    assert_eq!(get(&[], &[LINE, slot, 64]), answer::truncated());
    // Too short, with everything else wrong too.
    assert_eq!(get(&[0], &[max + 1, 0]), answer::truncated());
    row("irq-control.get.range");
    assert_eq!(get(&[0], &[max + 1, 0, 65]), answer::range(0, max));
    rows(&["irq-control.get.kernel", "irq-control.get.order"]);
    for reserved in [0, 1, 27] {
        assert_eq!(
            get(&[0], &[reserved, 0, 65]),
            answer::revoke_first(),
            "line {reserved}"
        );
    }
    row("irq-control.get.lookup");
    assert_eq!(get(&[0], &[LINE, 0, 65]), wrong_place);
    assert_eq!(get(&[ROOT], &[LINE, slot, 65]), answer::range(1, 64));
    assert_eq!(get(&[ROOT], &[LINE, slot, 256 + 64]), answer::range(1, 64));
    row("irq-control.get.occupied");
    assert_eq!(get(&[ROOT], &[LINE, 1, 64]), answer::delete_first());
    assert_eq!(get(&[ROOT], &[max, slot, 64]), answer::ok());
    assert_eq!(
        kind(Cap::<CNode>::from_bits(slot).slot()),
        cap_type::IRQ_HANDLER
    );
    rows(&["irq-control.get.active", "irq-control.get.order"]);
    assert_eq!(get(&[0], &[max, 0, 65]), answer::revoke_first(), "taken");

    rows(&["irq-control.trigger.truncated", "irq-control.trigger.order"]);
    assert_eq!(get_trigger(&[ROOT], &[LINE, 0, slot]), answer::truncated());
    assert_eq!(get_trigger(&[], &[LINE, 0, slot, 64]), answer::truncated());
    assert_eq!(get_trigger(&[0], &[max + 1, 0, 0]), answer::truncated());
    row("irq-control.trigger.range");
    assert_eq!(
        get_trigger(&[0], &[max + 1, 0, 0, 65]),
        answer::range(0, max)
    );
    rows(&["irq-control.trigger.private", "irq-control.trigger.order"]);
    for private in [0, 27, 30, 31] {
        assert_eq!(
            get_trigger(&[0], &[private, 0, 0, 65]),
            answer::illegal_operation()
        );
    }
    rows(&["irq-control.trigger.active", "irq-control.trigger.order"]);
    assert_eq!(get_trigger(&[0], &[max, 1, 0, 65]), answer::revoke_first());
    row("irq-control.trigger.lookup");
    assert_eq!(get_trigger(&[0], &[LINE, 1, 0, 65]), wrong_place);
    row("irq-control.trigger.occupied");
    assert_eq!(
        get_trigger(&[ROOT], &[LINE, 1, slot, 64]),
        answer::delete_first()
    );

    rows(&["irq-control.core.truncated", "irq-control.core.order"]);
    assert_eq!(get_on_core(&[0], &[max + 1, 0, 0, 65]), answer::truncated());
    assert_eq!(
        get_on_core(&[ROOT], &[LINE, 0, slot, 64]),
        answer::truncated()
    );
    assert_eq!(
        get_on_core(&[], &[LINE, 0, slot, 64, 0]),
        answer::truncated()
    );
    rows(&["irq-control.core.range", "irq-control.core.order"]);
    assert_eq!(
        get_on_core(&[0], &[max + 1, 0, 0, 65, 99]),
        answer::range(0, max)
    );
    rows(&["irq-control.core.target", "irq-control.core.order"]);
    for core in [cores, 64, u64::MAX] {
        assert_eq!(
            get_on_core(&[0], &[27, 0, 0, 65, core]),
            answer::invalid_argument(4),
            "core {core}"
        );
    }
    rows(&["irq-control.core.active", "irq-control.core.order"]);
    assert_eq!(
        get_on_core(&[0], &[max, 0, 0, 65, 0]),
        answer::revoke_first()
    );
    assert_eq!(
        get_on_core(&[0], &[27, 0, 0, 65, cores - 1]),
        answer::revoke_first()
    );
    row("irq-control.core.lookup");
    assert_eq!(get_on_core(&[0], &[LINE, 0, 0, 65, 0]), wrong_place);
    row("irq-control.core.occupied");
    assert_eq!(
        get_on_core(&[ROOT], &[LINE, 0, slot, 64, 0]),
        answer::delete_first()
    );
    row("irq-control.core.lookup");
    // Of the depth, eight bits count here.
    Cap::<CNode>::from_bits(slot)
        .slot()
        .delete()
        .expect("to delete");
    assert_eq!(
        get_on_core(&[ROOT], &[LINE, 0, slot, 256 + 64, 0]),
        answer::ok()
    );
    Cap::<CNode>::from_bits(slot)
        .slot()
        .delete()
        .expect("to delete");
    rows(&["irq-handler.deleted", "irq-handler.copies"]);
    // A handler that is deleted gives the line back.
    assert_eq!(get_trigger(&[ROOT], &[LINE, 0, slot, 64]), answer::ok());
    let copy = system
        .copy(Cap::<CNode>::from_bits(slot), CapRights::all())
        .expect("a copy");
    Cap::<CNode>::from_bits(slot)
        .slot()
        .delete()
        .expect("to delete");
    assert_eq!(
        get(&[ROOT], &[LINE, slot, 64]),
        answer::revoke_first(),
        "the copy has it"
    );
    copy.slot().delete().expect("to delete");
    assert_eq!(get(&[ROOT], &[LINE, slot, 64]), answer::ok());
    Cap::<CNode>::from_bits(slot)
        .slot()
        .delete()
        .expect("to delete");
}

/// Each core has its own private lines.
fn lines_of_cores(system: &mut System, node: Cap<CNode>, cores: u64) {
    rows(&["irq-control.core.private", "irq-control.core.active"]);
    let to = |line, core, index| get_on_core(&[node.bits()], &[line, 1, index, 6, core]);
    for core in 0..cores {
        assert_eq!(to(9, core, core), answer::ok(), "core {core}");
        assert_eq!(to(9, core, 60), answer::revoke_first(), "core {core}");
        assert_eq!(
            to(27, core, 60),
            answer::revoke_first(),
            "the timer of core {core}"
        );
        for doorbell in [0, 1] {
            assert_eq!(to(doorbell, core, 60), answer::revoke_first());
        }
    }
    row("irq-control.get.private");
    // Without a core it is core 0's.
    let slot = system.slot().expect("a slot");
    assert_eq!(get(&[ROOT], &[9, slot.index, 64]), answer::revoke_first());
    node.delete(0, 6).expect("to delete");
    assert_eq!(get(&[ROOT], &[9, slot.index, 64]), answer::ok());
    assert_eq!(to(9, 0, 60), answer::revoke_first());
    slot.delete().expect("to delete");
    row("irq-control.core.active");
    // A shared line belongs to all, wherever it goes.
    assert_eq!(to(LINE, cores - 1, 60), answer::ok());
    assert_eq!(to(LINE, 0, 61), answer::revoke_first());
    for index in (0..cores).chain([60]) {
        node.delete(index, 6).expect("to delete");
    }
}

fn software_interrupts(node: Cap<CNode>, cores: u64) {
    let (node, label) = (node.bits(), Invocation::IrqIssueSgiSignal.label());
    row("sgi.label");
    assert_eq!(label, 57);
    rows(&["sgi.truncated", "sgi.order"]);
    assert_eq!(issue_sgi(&[0], &[16, 1000, 0]), answer::truncated());
    assert_eq!(issue_sgi(&[node], &[5, 0, 0]), answer::truncated());
    assert_eq!(issue_sgi(&[], &[5, 0, 0, 6]), answer::truncated());
    rows(&["sgi.range", "sgi.order"]);
    for sgi in [16, 1 << 32, u64::MAX] {
        assert_eq!(issue_sgi(&[0], &[sgi, 1000, 0, 65]), answer::range(0, 15));
    }
    rows(&["sgi.target", "sgi.order"]);
    for target in [8, 1000, u64::MAX] {
        // (The kernel's own would be refused later.)
        assert_eq!(
            issue_sgi(&[0], &[target % 2, target, 0, 65]),
            answer::invalid_argument(1)
        );
        assert_eq!(
            issue_sgi(&[0], &[5, target, 0, 65]),
            answer::invalid_argument(1)
        );
    }
    rows(&["sgi.kernel", "sgi.order"]);
    for sgi in [0, 1] {
        assert_eq!(issue_sgi(&[0], &[sgi, 7, 0, 65]), answer::revoke_first());
    }
    rows(&["sgi.lookup", "sgi.order"]);
    assert_eq!(issue_sgi(&[0], &[5, 0, 0, 65]), answer::invalid_root(false));
    assert_eq!(issue_sgi(&[node], &[5, 0, 0, 65]), answer::range(1, 64));
    rows(&["sgi.occupied", "sgi.many"]);
    for target in 0..cores {
        assert_eq!(issue_sgi(&[node], &[5, target, 3, 6]), answer::ok());
        assert_eq!(
            issue_sgi(&[node], &[5, target, 3, 6]),
            answer::delete_first()
        );
        assert_eq!(
            issue_sgi(&[node], &[5, target, 4, 6]),
            answer::ok(),
            "as many as wanted"
        );
        let node = Cap::<CNode>::from_bits(node);
        node.delete(3, 6).expect("to delete");
        node.delete(4, 6).expect("to delete");
    }
}

fn handlers(system: &mut System) {
    let slot = system.slot().expect("a slot");
    let notification = system.notification().expect("a notification");
    let endpoint = system.endpoint().expect("an endpoint").bits();
    let silent = system
        .copy(notification, CapRights::READ)
        .expect("a copy")
        .bits();
    init::IRQ_CONTROL.get(LINE, &slot).expect("a handler");
    let ask = |label, caps: &[u64]| invoke_label(slot.index, label, caps, &[]);
    row("irq-handler.label");
    for label in [0, 26, 30, 55, 56, 57] {
        assert_eq!(
            ask(label, &[notification.bits()]),
            answer::illegal_operation(),
            "{label}"
        );
    }
    let set = Invocation::IrqSetHandler.label();
    row("irq-handler.set.truncated");
    assert_eq!(ask(set, &[]), answer::truncated());
    row("irq-handler.set.kind");
    for bad in [0, ROOT, endpoint, silent, slot.index] {
        assert_eq!(ask(set, &[bad]), answer::invalid_capability(0), "{bad}");
    }
    let write_only = system.copy(notification, CapRights::WRITE).expect("a copy");
    for _ in 0..2 {
        assert_eq!(ask(set, &[write_only.bits()]), answer::ok());
        assert_eq!(
            ask(set, &[notification.bits()]),
            answer::ok(),
            "it replaces"
        );
    }
    rows(&["irq-handler.errors", "irq-handler.clear"]);
    for label in [27, 29, 29, 27] {
        assert_eq!(ask(label, &[]), answer::ok());
    }
    row("irq-handler.set.copy");
    // What is installed is a copy: it holds the object, and goes with a revoke.
    assert_eq!(ask(set, &[notification.bits()]), answer::ok());
    notification.slot().revoke().expect("to revoke");
    assert_eq!(ask(set, &[notification.bits()]), answer::ok());
    slot.delete().expect("to delete");
}

/// Handlers and signals are derived from the control capability.
fn revoked(system: &mut System) {
    rows(&["sgi.revoke", "irq-control.derived"]);
    let [one, two, copy] = [0; 3].map(|_| system.slot().expect("a slot"));
    init::IRQ_CONTROL.get(LINE, &one).expect("a handler");
    init::IRQ_CONTROL
        .issue_sgi_signal(7, 0, &two)
        .expect("a signal");
    copy.copy_from(&two, CapRights::all()).expect("a copy");
    one.revoke().expect("to revoke");
    assert_eq!(kind(two), cap_type::SGI_SIGNAL);
    two.revoke().expect("to revoke");
    assert_eq!(kind(copy), 0, "the copy is the original's child");
    copy.copy_from(&two, CapRights::all()).expect("a copy");
    init::IRQ_CONTROL.slot().revoke().expect("to revoke");
    assert_eq!([one, two, copy].map(kind), [0, 0, 0]);
    init::IRQ_CONTROL.get(LINE, &one).expect("a handler");
    assert_eq!(kind(init::IRQ_CONTROL.slot()), cap_type::IRQ_CONTROL);
}
