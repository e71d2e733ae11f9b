//! Small differences from seL4: software interrupts with several cores, what is found at boot, short messages and bad
//! arguments of debug calls; and what is said about cores where there is one, and where there are more.
//!
//! cores: 1 2 4
//! expect: is no TCB

#![no_std]
#![no_main]

use libsel4::abi::{Invocation, cap_type};
use libsel4::invoke::Trigger;
use libsel4::{
    BootInfo, Cap, CapRights, Error, IrqHandler, SgiSignal, SlotPath, Tcb, debug, init, root_task,
};
use tern_target_tests::objects::{answer, invoke, invoke_label, kind};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::{Bench, affinity};

root_task!(main);

const CONTROL: u64 = init::IRQ_CONTROL.bits();
const ROOT: u64 = init::CNODE.bits();
/// A private interrupt that nothing uses.
const PRIVATE: u64 = 20;
/// A software interrupt that is nobody's.
const SGI: u64 = 9;

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    machine(&mut bench);
    software_interrupts(&mut bench);
    private_interrupts(&mut bench);
    debug_calls(&mut bench);
}

fn machine(bench: &mut Bench) {
    rows(&["tern.machine.found", "smp.one-core"]);
    let (raw, cores) = (bench.boot.raw(), bench.cores() as u64);
    assert_eq!(raw.num_nodes, cores);
    let controls = raw.sched_control.start..raw.sched_control.end;
    assert_eq!(controls.end - controls.start, cores);
    for slot in controls {
        assert_eq!(kind(SlotPath::in_root(slot)), cap_type::SCHED_CONTROL);
    }
    // A core more than there are.
    let slot = bench.system.slot().unwrap();
    let get = |core| init::IRQ_CONTROL.get_trigger_core(PRIVATE, Trigger::Level, core, &slot);
    assert_eq!(get(cores), Err(Error::InvalidArgument { index: 4 }));
    assert_eq!(get(cores - 1), Ok(()));
    slot.delete().unwrap();
    bench.system.free_slot(slot);

    row("tern.trigger-core.short");
    let words = [PRIVATE, 0, 0, 64, 0];
    let method = Invocation::IrqIssueHandlerTriggerCore;
    for length in 0..5 {
        let seen = invoke(CONTROL, method, &[ROOT], &words[..length]);
        assert_eq!(seen, answer::truncated(), "{length} words");
    }
    assert_eq!(invoke(CONTROL, method, &[], &words), answer::truncated());
}

fn software_interrupts(bench: &mut Bench) {
    rows(&["tern.sgi.present", "smp.sgi"]);
    let slot = bench.system.slot().unwrap();
    let words = |sgi| [sgi, 0, slot.index, 64];
    // The kernel's own.
    for sgi in [0, 1] {
        assert_eq!(
            invoke_label(CONTROL, 57, &[ROOT], &words(sgi)),
            answer::revoke_first()
        );
        assert_eq!(kind(slot), cap_type::NULL);
    }
    // The method after those that seL4 has with several cores.
    assert_eq!(Invocation::IrqIssueHandlerTriggerCore.label(), 56);
    assert_eq!(Invocation::IrqIssueSgiSignal.label(), 57);
    assert_eq!(
        invoke_label(CONTROL, 57, &[ROOT], &words(SGI)),
        answer::ok()
    );
    // Sent to nobody, and to a handler.
    let sgi: Cap<SgiSignal> = Cap::from_bits(slot.index);
    sgi.signal();
    let handler = bench.system.slot().unwrap();
    init::IRQ_CONTROL
        .get_trigger_core(SGI, Trigger::Edge, 0, &handler)
        .unwrap();
    let plain = bench.system.notification().unwrap();
    let badged = bench.system.mint(plain, CapRights::all(), 1).unwrap();
    let interrupt: Cap<IrqHandler> = Cap::from_bits(handler.index);
    interrupt.set_notification(badged).unwrap();
    interrupt.ack().unwrap();
    sgi.signal();
    bench.eventually("the interrupt", || plain.poll() == 1);
    handler.delete().unwrap();
    slot.delete().unwrap();
}

/// Each core has a handler of its own for the same number.
fn private_interrupts(bench: &mut Bench) {
    row("smp.ppi");
    let cores = bench.cores() as u64;
    let slots: [SlotPath; 4] = core::array::from_fn(|_| bench.system.slot().unwrap());
    for (core, slot) in (0..cores).zip(&slots) {
        let get = |slot: &SlotPath| {
            init::IRQ_CONTROL.get_trigger_core(PRIVATE, Trigger::Level, core, slot)
        };
        assert_eq!(get(slot), Ok(()), "core {core}");
        let spare = bench.system.slot().unwrap();
        assert_eq!(get(&spare), Err(Error::RevokeFirst), "core {core}, twice");
        bench.system.free_slot(spare);
    }
    // Given back by one core, it is free there and nowhere else.
    slots[0].delete().unwrap();
    for core in (0..cores).rev() {
        let slot = &slots[core as usize];
        let spare = bench.system.slot().unwrap();
        let got = init::IRQ_CONTROL.get_trigger_core(PRIVATE, Trigger::Level, core, &spare);
        assert_eq!(got.is_ok(), core == 0, "core {core}");
        if got.is_ok() {
            spare.delete().unwrap();
        } else {
            slot.delete().unwrap();
        }
        bench.system.free_slot(spare);
    }
}

fn debug_calls(bench: &mut Bench) {
    row("tern.debug.bad-argument");
    let nothing: Cap<Tcb> = Cap::from_bits(u64::MAX);
    assert_eq!(debug::thread_affinity(nothing), None);
    debug::name_thread(nothing, "nobody");
    debug::send_ipi(64, 3);
    debug::send_ipi(0, 16);

    if bench.cores() == 1 {
        row("smp.one-core");
        assert_eq!(affinity(init::TCB), 0);
    }
}
