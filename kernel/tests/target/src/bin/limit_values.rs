//! Numbers of the machine and of the kernel: budgets, domains, interrupts, cores, kinds of faults.
//!
//! cores: 1 2 4 8
//! gic: 2 3

#![no_std]
#![no_main]

use libsel4::invoke::Trigger;
use libsel4::{
    BootInfo, Cap, CapRights, IrqHandler, SgiSignal, SlotPath, ThreadBuilder, UserContext, init,
    root_task, time,
};
use tern_target_tests::objects::{
    Answer, Ended, Puppet, answer, call_registers, invoke_label, kind, object,
};
use tern_target_tests::rows::row;
use tern_target_tests::sched::{Bench, spin};

root_task!(main);

const ROOT: u64 = init::CNODE.bits();

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    budgets(&mut bench);
    sporadic(&mut bench);
    domains(&mut bench);
    interrupts(&mut bench);
    private_interrupts(&mut bench);
    root_cnode(boot);
    cores(&mut bench);
    faults(&mut bench);
}

fn budgets(bench: &mut Bench) {
    let sched = bench.system.sched_context(0).expect("one").bits();
    let control = bench.boot.sched_control(bench.cores() - 1).bits();
    let configure =
        |budget, period| invoke_label(control, 33, &[sched], &[budget, period, 0, 0, 0]);
    // In ticks for each microsecond if that is a whole number, else for each millisecond.
    let frequency = time::counter_frequency();
    let max = if frequency.is_multiple_of(1_000_000) {
        u64::MAX / (frequency / 1_000_000) / 8
    } else {
        u64::MAX / (frequency / 1_000) / 8
    };
    if frequency == 62_500_000 {
        assert_eq!(max, 36_893_488_147_419);
    }
    let range = answer::range(20, max);
    row("limit.min-budget");
    assert_eq!(configure(19, 1000), range);
    assert_eq!(configure(0, 1000), range);
    assert_eq!(configure(20, 19), range);
    assert_eq!(configure(20, 20), answer::ok());
    assert_eq!(configure(20, 1000), answer::ok());
    row("limit.max-budget");
    assert_eq!(configure(max + 1, max + 1), range);
    assert_eq!(configure(20, max + 1), range);
    assert_eq!(configure(20, max), answer::ok());
    assert_eq!(configure(max, max), answer::ok());
}

/// A thread is kept from running for most of a period. Then it has the rest of this period's budget; a sporadic one has
/// the next one's right behind it, since its budget still counts from when it was ready.
fn sporadic(bench: &mut Bench) {
    row("object.sporadic-flag");
    let spinner = bench.spinner(0, 100);
    let sc = spinner.sc();
    let control = bench.boot.sched_control(0).bits();
    for (flags, expected) in [(0, 1000), (1, 2000), (2, 1000), (u64::MAX, 2000)] {
        let words = [1000, 10_000, 4, 0, flags];
        let refused = invoke_label(control, 33, &[sc.bits()], &words);
        assert_eq!(refused, answer::range(0, 0), "no room for refills");
        // Without a thread it gets its budget now.
        sc.unbind().expect("to unbind");
        let words = [1000, 10_000, 0, 0, flags];
        let done = invoke_label(control, 33, &[sc.bits()], &words);
        assert_eq!(done, answer::ok());
        sc.bind(spinner.thread.tcb()).expect("to bind");
        spin(9_300);
        sc.consumed().expect("its time");
        bench.sleep(5_000);
        let used = sc.consumed().expect("its time").as_micros() as u64;
        assert!(used.abs_diff(expected) < 60, "flags {flags:#x}: {used} us");
    }
    spinner.thread.destroy(&mut bench.system).expect("to end");
}

fn domains(bench: &mut Bench) {
    let ask = |label, caps: &[u64], words: &[u64]| {
        invoke_label(init::DOMAIN_SET.bits(), label, caps, words)
    };
    let tcb = object::<libsel4::Tcb>(&mut bench.system).bits();
    row("limit.domains");
    assert_eq!(ask(30, &[tcb], &[0]), answer::ok());
    for domain in [1, 2, 255, 256, u64::MAX] {
        assert_eq!(ask(30, &[tcb], &[domain]), answer::invalid_argument(0));
        assert_eq!(ask(31, &[], &[0, domain, 1]), answer::range(0, 0));
    }
    assert_eq!(bench.boot.raw().init_thread_domain, 0);
    row("limit.domain-schedule");
    for index in [1, 2, u64::MAX] {
        assert_eq!(ask(31, &[], &[index, 0, 1]), answer::range(0, 0));
    }
    assert_eq!(ask(31, &[], &[0, 0, 1]), answer::ok());
    assert_eq!(ask(32, &[], &[0]), answer::ok());
    assert_eq!(ask(32, &[], &[1]), answer::invalid_argument(0), "the end");
    assert_eq!(ask(32, &[], &[2]), answer::range(0, 1));
}

fn interrupts(bench: &mut Bench) {
    row("limit.irqs");
    let slot = bench.system.slot().expect("a slot");
    let control = init::IRQ_CONTROL.bits();
    let get = |line| invoke_label(control, 26, &[ROOT], &[line, slot.index, 64]);
    let trigger = |line| invoke_label(control, 55, &[ROOT], &[line, 0, slot.index, 64]);
    let on_core = |line| invoke_label(control, 56, &[ROOT], &[line, 0, slot.index, 64, 0]);
    let refused = get(u64::MAX);
    assert_eq!((refused.label, refused.words[0]), (4, 0));
    let max = refused.words[1];
    // What this machine's interrupt controller has: 32 for each step.
    assert!(max % 32 == 31 && (159..1020).contains(&max), "{max}");
    for over in [max + 1, 1020, 1 << 32, 1 << 32 | 40] {
        for seen in [get(over), trigger(over), on_core(over)] {
            assert_eq!(seen, answer::range(0, max), "line {over}");
        }
    }
    for take in [&get as &dyn Fn(u64) -> Answer, &trigger, &on_core] {
        assert_eq!(take(max), answer::ok());
        slot.delete().expect("to delete");
    }
}

/// The same number for each core: taken one by one, and each core's comes to its own handler.
fn private_interrupts(bench: &mut Bench) {
    row("limit.private-irqs");
    const NUMBER: u64 = 9;
    let cores = bench.cores() as u64;
    let notification = bench.system.notification().expect("a notification");
    let mut signals = [None; 8];
    for (core, signal) in (0..cores).zip(&mut signals) {
        let slots: [SlotPath; 2] = [0; 2].map(|_| bench.system.slot().expect("a slot"));
        let get = |slot| init::IRQ_CONTROL.get_trigger_core(NUMBER, Trigger::Edge, core, slot);
        assert_eq!(get(&slots[0]), Ok(()), "core {core}");
        assert_eq!(get(&slots[1]), Err(libsel4::Error::RevokeFirst));
        let badged = bench
            .system
            .mint(notification, CapRights::WRITE, 1 << core)
            .expect("a badge");
        let handler = Cap::<IrqHandler>::from_bits(slots[0].index);
        handler.set_notification(badged).expect("to install");
        init::IRQ_CONTROL
            .issue_sgi_signal(NUMBER, core, &slots[1])
            .expect("a signal");
        *signal = Some((handler, Cap::<SgiSignal>::from_bits(slots[1].index)));
    }
    for round in 0..3 {
        for ((handler, signal), core) in signals.iter().flatten().zip(0..) {
            signal.signal();
            assert_eq!(notification.wait(), 1 << core, "round {round}");
            handler.ack().expect("to acknowledge");
        }
    }
}

fn root_cnode(boot: &'static BootInfo) {
    row("limit.root-cnode");
    assert_eq!(boot.raw().init_thread_cnode_size_bits, 12);
    let last = SlotPath::in_root((1 << 12) - 1);
    assert_eq!(kind(last), 0, "empty, and there");
    last.copy_from(&init::TCB.slot(), CapRights::all())
        .expect("a copy");
    assert_eq!(kind(last), 12);
    last.delete().expect("to delete");
    let over = invoke_label(ROOT, 19, &[], &[1 << 12, 64]);
    assert_eq!(over, answer::guard_mismatch(false, 64, 0, 52));
}

/// Every core has its SchedControl, and runs a thread.
fn cores(bench: &mut Bench) {
    if bench.cores() < 8 {
        return;
    }
    row("limit.cores");
    assert_eq!(bench.cores(), 8);
    assert_eq!(bench.boot.raw().sched_control.len(), 8);
    let threads = [0, 1, 2, 3, 4, 5, 6, 7].map(|core| {
        ThreadBuilder::new("runs")
            .core(core)
            .priority(100)
            .spawn(&mut bench.system, move || 100 + core)
            .expect("a thread")
    });
    for (thread, core) in threads.into_iter().zip(0..) {
        let affinity = tern_target_tests::sched::affinity(thread.tcb());
        assert_eq!(affinity, core);
        let ended = thread.join(&mut bench.system).expect("to join");
        assert_eq!(ended, 100 + core);
    }
}

#[unsafe(naked)]
extern "C" fn undefined() -> ! {
    core::arch::naked_asm!("udf #0")
}

#[unsafe(naked)]
extern "C" fn breakpoint() -> ! {
    core::arch::naked_asm!("brk #0")
}

#[unsafe(naked)]
extern "C" fn load() -> ! {
    core::arch::naked_asm!("ldr x0, [x0]", "b .")
}

fn faults(bench: &mut Bench) {
    let core = bench.cores() - 1;
    let puppet = Puppet::new(&mut bench.system, core, 100);
    let label = |code: extern "C" fn() -> !, x0| {
        let pc = code as *const () as u64;
        let fault = puppet.run_to_fault(&UserContext {
            pc,
            x0,
            ..UserContext::default()
        });
        assert_eq!(fault.words[0], pc, "where");
        fault.label
    };
    let of_call = |number, x0| match puppet.syscall(&call_registers(number, x0, 0, [0; 4], 0)) {
        Ended::Faulted(fault) => fault.label,
        Ended::Returned(registers) => panic!("no fault: {registers:?}"),
    };
    row("object.fault-number.cap");
    assert_eq!(of_call(-1, 1 << 40), 1);
    assert_eq!(of_call(-9, 0), 1);
    row("object.fault-number.syscall");
    assert_eq!(of_call(-1000, 0), 2);
    row("object.fault-number.exception");
    assert_eq!(label(undefined, 0), 3);
    assert_eq!(label(breakpoint, 0), 3, "there are no debug faults");
    row("object.fault-number.vm");
    assert_eq!(label(load, 0), 6);
    row("object.fault-number.timeout");
    let timeouts = bench.system.endpoint().expect("an endpoint");
    puppet
        .tcb
        .set_timeout_endpoint(Some(timeouts))
        .expect("a handler");
    let control = bench.boot.sched_control(core);
    control
        .configure(puppet.sched.cap(), 500, 1_000_000, 0, 0)
        .expect("a budget");
    let buffer = puppet.buffer().start() as u64;
    puppet.start(&UserContext {
        pc: load as *const () as u64,
        x0: buffer,
        ..UserContext::default()
    });
    assert_eq!(timeouts.wait().label(), 5);
}
