//! Domains: there is one. Every refusal in the order of the checks, and that what is accepted changes nothing, but that a
//! ready thread comes to the head of its queue.

#![no_std]
#![no_main]

use libsel4::abi::Invocation;
use libsel4::{BootInfo, ThreadBuilder, init, root_task};
use tern_target_tests::objects::{answer, invoke, invoke_label};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::{Bench, LONG_SLICE, Log};

root_task!(main);

const SET: Invocation = Invocation::DomainSetSet;
const DOMAINS: u64 = init::DOMAIN_SET.bits();
const ROOT: u64 = init::TCB.bits();
const ENDLESS: u64 = 1 << 56;

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    refusals(&mut bench);
    schedule();
    effect(&mut bench);
}

fn refusals(bench: &mut Bench) {
    row("domain.label");
    for label in [0, 1, 18, 29, 33, 1 << 40] {
        let seen = invoke_label(DOMAINS, label, &[ROOT], &[0, 0, 1]);
        assert_eq!(seen, answer::illegal_operation(), "label {label}");
    }
    let set = |caps: &[u64], words: &[u64]| invoke(DOMAINS, SET, caps, words);
    row("domain.set.truncated");
    assert_eq!(set(&[], &[]), answer::truncated());
    assert_eq!(set(&[0], &[]), answer::truncated());
    assert_eq!(set(&[], &[0]), answer::truncated());
    rows(&["domain.set.domain", "domain.set.truncated"]);
    for domain in [1, 255, 1 << 32, u64::MAX] {
        assert_eq!(set(&[], &[domain]), answer::invalid_argument(0));
        assert_eq!(set(&[0], &[domain]), answer::invalid_argument(0));
        assert_eq!(set(&[ROOT], &[domain]), answer::invalid_argument(0));
    }
    row("domain.set.kind");
    let endpoint = bench.system.endpoint().unwrap().bits();
    for bad in [0, endpoint, init::CNODE.bits(), DOMAINS] {
        assert_eq!(set(&[bad], &[0]), answer::invalid_argument(1));
    }
}

fn schedule() {
    let configure =
        |words: &[u64]| invoke(DOMAINS, Invocation::DomainScheduleConfigure, &[], words);
    rows(&["domain.schedule.truncated", "domain.schedule.order"]);
    assert_eq!(configure(&[]), answer::truncated());
    assert_eq!(configure(&[9, 9]), answer::truncated());
    rows(&["domain.schedule.index", "domain.schedule.order"]);
    for index in [1, 2, u64::MAX] {
        assert_eq!(configure(&[index, 9, ENDLESS]), answer::range(0, 0));
    }
    rows(&["domain.schedule.domain", "domain.schedule.order"]);
    for domain in [1, 255, u64::MAX] {
        for duration in [0, 1, ENDLESS] {
            assert_eq!(configure(&[0, domain, duration]), answer::range(0, 0));
        }
    }
    row("domain.schedule.duration");
    for duration in [ENDLESS, u64::MAX] {
        assert_eq!(configure(&[0, 0, duration]), answer::invalid_argument(2));
    }
    row("domain.schedule.end");
    assert_eq!(configure(&[0, 0, 0]), answer::invalid_argument(2));
    row("domain.schedule.effect");
    for duration in [1, 100, ENDLESS - 1] {
        assert_eq!(configure(&[0, 0, duration]), answer::ok());
    }

    let start = |words: &[u64]| invoke(DOMAINS, Invocation::DomainScheduleSetStart, &[], words);
    row("domain.start.truncated");
    assert_eq!(start(&[]), answer::truncated());
    row("domain.start.index");
    for index in [2, u64::MAX] {
        assert_eq!(start(&[index]), answer::range(0, 1));
    }
    row("domain.start.end");
    assert_eq!(start(&[1]), answer::invalid_argument(0));
    row("domain.start.effect");
    assert_eq!(start(&[0]), answer::ok());
    assert_eq!(start(&[0]), answer::ok());
}

/// With a schedule of one tick the threads of domain 0 go on; and who is set again goes first.
fn effect(bench: &mut Bench) {
    rows(&["domain.schedule.effect", "domain.start.effect"]);
    init::DOMAIN_SET.schedule_configure(0, 0, 1).unwrap();
    init::DOMAIN_SET.schedule_set_start(0).unwrap();
    let spinner = bench.spinner(bench.cores() - 1, 50);
    bench.runs(&spinner);
    row("domain.set.effect");
    for _ in 0..10 {
        init::DOMAIN_SET.set(0, spinner.thread.tcb()).unwrap();
        bench.runs(&spinner);
        init::DOMAIN_SET.set(0, init::TCB).unwrap();
    }
    spinner.thread.suspend().unwrap();
    init::DOMAIN_SET.set(0, spinner.thread.tcb()).unwrap();
    bench.rests(&spinner);
    spinner.thread.resume().unwrap();
    bench.runs(&spinner);
    spinner.thread.destroy(&mut bench.system).unwrap();

    for core in 0..bench.cores() {
        let log = Log::new();
        // On core 0 the root task keeps the three from running; elsewhere another thread does.
        let hog = bench.spinner(core, 120);
        bench.runs(&hog);
        let threads: [_; 3] = core::array::from_fn(|index| {
            let builder = ThreadBuilder::new("queued").core(core).budget(LONG_SLICE);
            let builder = builder.priority(130);
            bench.gated(builder, move || log.push(index as u64))
        });
        for (thread, gate) in &threads {
            thread.set_priority(100).unwrap();
            gate.signal();
        }
        bench.settle(2_000);
        init::DOMAIN_SET.set(0, threads[1].0.tcb()).unwrap();
        assert!(log.is_empty());
        hog.thread.suspend().unwrap();
        bench.eventually("all three", || log.len() == 3);
        log.take(&[1, 0, 2]);
        for (thread, _) in threads {
            thread.join(&mut bench.system).unwrap();
        }
        hog.thread.destroy(&mut bench.system).unwrap();
    }
}
