//! Binding and unbinding scheduling contexts: every refusal in the order of the checks, what each method takes away and
//! what it leaves, and what a configuration does to the thread.

#![no_std]
#![no_main]

use core::time::Duration;

use libsel4::abi::Invocation;
use libsel4::{
    BootInfo, Cap, CapRights, Error, Fault, Message, SchedContext, ThreadBuilder, init, root_task,
    syscall,
};
use tern_target_tests::objects::{answer, invoke, invoke_label};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::{Bench, LONG_SLICE, Spinner, exact_time};

root_task!(main);

const BIND: Invocation = Invocation::SchedContextBind;
const UNBIND: Invocation = Invocation::SchedContextUnbind;
const UNBIND_OBJECT: Invocation = Invocation::SchedContextUnbindObject;

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    refusals(&mut bench);
    for core in 0..bench.cores() {
        threads(&mut bench, core);
        notifications(&mut bench, core);
        calls(&mut bench, core);
        configurations(&mut bench, core);
    }
    own(&mut bench);
}

fn refusals(bench: &mut Bench) {
    let (free, other) = (bench.sched_context(0), bench.sched_context(0));
    let spinner = bench.spinner(0, 50);
    let (thread, taken) = (spinner.thread.tcb().bits(), spinner.sc());
    let [one, two] = [0; 2].map(|_| bench.system.notification().unwrap());
    let ask = |sc: Cap<SchedContext>, method, caps: &[u64]| invoke(sc.bits(), method, caps, &[]);
    row("sched-context.label");
    for label in [0, 1, 17, 33, 39, 1 << 40] {
        let seen = invoke_label(free.bits(), label, &[thread], &[20, 20, 0, 0, 0]);
        assert_eq!(seen, answer::illegal_operation(), "label {label}");
    }
    row("sched-context.bind.truncated");
    assert_eq!(ask(free, BIND, &[]), answer::truncated());
    row("sched-context.bind.kind");
    let endpoint = bench.system.endpoint().unwrap().bits();
    for bad in [0, endpoint, free.bits(), init::CNODE.bits()] {
        assert_eq!(ask(free, BIND, &[bad]), answer::invalid_capability(1));
        assert_eq!(ask(taken, BIND, &[bad]), answer::invalid_capability(1));
    }
    row("sched-context.bind.has-thread");
    let new: Cap<libsel4::Tcb> = bench.system.object().unwrap();
    for tcb in [thread, new.bits()] {
        assert_eq!(ask(taken, BIND, &[tcb]), answer::illegal_operation());
    }
    row("sched-context.bind.has-context");
    assert_eq!(ask(free, BIND, &[thread]), answer::illegal_operation());
    rows(&["sched-context.bind.rights", "sched-context.bind.both"]);
    let powerless = bench.system.copy(one, CapRights::empty()).unwrap().bits();
    assert_eq!(ask(taken, BIND, &[powerless]), answer::ok());
    row("sched-context.bind.has-notification");
    for notification in [one, two] {
        let seen = ask(taken, BIND, &[notification.bits()]);
        assert_eq!(seen, answer::illegal_operation());
    }
    row("sched-context.bind.notification-taken");
    assert_eq!(ask(free, BIND, &[one.bits()]), answer::illegal_operation());

    row("sched-context.unbind-object.truncated");
    assert_eq!(ask(taken, UNBIND_OBJECT, &[]), answer::truncated());
    row("sched-context.unbind-object.kind");
    for bad in [0, endpoint, free.bits()] {
        let seen = ask(taken, UNBIND_OBJECT, &[bad]);
        assert_eq!(seen, answer::invalid_capability(1));
    }
    row("sched-context.unbind-object.thread");
    for sc in [free, other, init::SCHED_CONTEXT] {
        let seen = ask(sc, UNBIND_OBJECT, &[thread]);
        assert_eq!(seen, answer::illegal_operation());
    }
    row("sched-context.unbind-object.notification");
    for (sc, notification) in [(free, one), (free, two), (taken, two)] {
        let seen = ask(sc, UNBIND_OBJECT, &[notification.bits()]);
        assert_eq!(seen, answer::illegal_operation());
    }
    row("sched-context.unbind-object.own");
    let root = [init::TCB.bits()];
    let seen = ask(init::SCHED_CONTEXT, UNBIND_OBJECT, &root);
    assert_eq!(seen, answer::illegal_operation());
    row("sched-context.unbind.own");
    let seen = ask(init::SCHED_CONTEXT, UNBIND, &[]);
    assert_eq!(seen, answer::illegal_operation());
    row("sched-context.unbind.free");
    assert_eq!(ask(free, UNBIND, &[]), answer::ok());
    assert_eq!(ask(free, UNBIND, &[]), answer::ok());
    row("sched-context.unbind-object.one");
    // The thread goes, the notification stays; and the other way round.
    assert_eq!(ask(taken, UNBIND_OBJECT, &[thread]), answer::ok());
    let seen = ask(taken, UNBIND_OBJECT, &[thread]);
    assert_eq!(seen, answer::illegal_operation());
    bench.rests(&spinner);
    let seen = ask(taken, BIND, &[two.bits()]);
    assert_eq!(seen, answer::illegal_operation(), "it has the first one");
    assert_eq!(ask(taken, BIND, &[thread]), answer::ok());
    bench.runs(&spinner);
    assert_eq!(ask(taken, UNBIND_OBJECT, &[one.bits()]), answer::ok());
    bench.runs(&spinner);
    assert_eq!(ask(taken, BIND, &[two.bits()]), answer::ok());
    row("sched-context.unbind.notification");
    // All at once.
    assert_eq!(ask(taken, UNBIND, &[]), answer::ok());
    bench.rests(&spinner);
    assert_eq!(ask(other, BIND, &[two.bits()]), answer::ok());
    assert_eq!(ask(other, BIND, &[thread]), answer::ok());
    bench.runs(&spinner);
    assert_eq!(ask(other, UNBIND, &[]), answer::ok());
    spinner.thread.destroy(&mut bench.system).unwrap();
}

/// Bound, it runs on the context's core; unbound it stops, wherever it is.
fn threads(bench: &mut Bench, core: usize) {
    let spinner = bench.spinner(0, 50);
    let (tcb, first) = (spinner.thread.tcb(), spinner.sc());
    let second = bench.sched_context(core);
    for _ in 0..5 {
        row("sched-context.unbind.thread");
        bench.runs(&spinner);
        first.unbind().unwrap();
        bench.rests(&spinner);
        row("sched-context.bind.thread");
        second.bind(tcb).unwrap();
        bench.runs(&spinner);
        assert_eq!(spinner.core(), core);
        row("sched-context.unbind.thread");
        second.unbind().unwrap();
        bench.rests(&spinner);
        row("tcb.params.bind");
        let set = |sc| tcb.set_sched_params(init::TCB, 0, 50, sc, None);
        set(Some(second)).unwrap();
        bench.runs(&spinner);
        assert_eq!(spinner.core(), core);
        row("tcb.params.unbind");
        set(None).unwrap();
        bench.rests(&spinner);
        first.bind(tcb).unwrap();
    }
    rows(&["tcb.suspend.context", "tcb.resume.no-context"]);
    // Suspended, it has its context still; resumed without one, or with one without time, it waits for that.
    tcb.suspend().unwrap();
    assert_eq!(second.bind(tcb), Err(Error::IllegalOperation));
    first.unbind().unwrap();
    tcb.resume().unwrap();
    bench.rests(&spinner);
    second.bind(tcb).unwrap();
    bench.runs(&spinner);
    tcb.suspend().unwrap();
    second.unbind().unwrap();
    let unconfigured = bench.system.sched_context(0).unwrap();
    unconfigured.bind(tcb).unwrap();
    tcb.resume().unwrap();
    bench.rests(&spinner);
    bench.move_sc(unconfigured, core);
    bench.runs(&spinner);
    spinner.thread.destroy(&mut bench.system).unwrap();
}

/// A context bound to a notification runs who waits on that, until it is unbound.
fn notifications(bench: &mut Bench, core: usize) {
    let notification = bench.system.notification().unwrap();
    let sc = bench.sched_context(core);
    let count = tern_target_tests::sched::counter();
    let (thread, gate) = bench.parked("waiter", 0, 50, move || {
        loop {
            notification.wait();
            count.fetch_add(1, core::sync::atomic::Ordering::Relaxed);
        }
    });
    // It reaches the notification with a context of its own first.
    sc.bind(thread.tcb()).unwrap();
    gate.signal();
    bench.settle(2_000);
    sc.unbind().unwrap();
    let waiter = Spinner { thread, count };
    for turn in 0..3 {
        sc.bind_notification(notification).unwrap();
        notification.signal();
        bench.eventually("the waiter", || waiter.read() == 2 * turn + 1);
        assert_eq!(waiter.core(), core);
        bench.settle(2_000);
        row("sched-context.unbind.notification");
        sc.unbind().unwrap();
        notification.signal();
        bench.settle(2_000);
        assert_eq!(waiter.read(), 2 * turn + 1, "it has no time");
        // It was woken, and runs with the context.
        sc.bind(waiter.thread.tcb()).unwrap();
        bench.eventually("the waiter", || waiter.read() == 2 * turn + 2);
        bench.settle(2_000);
        sc.unbind().unwrap();
    }
    waiter.thread.destroy(&mut bench.system).unwrap();
}

/// What a context's calls keep of it when it is unbound while a server has it.
fn calls(bench: &mut Bench, core: usize) {
    for all in [true, false] {
        let server = bench.passive_server("server", 0, 120, |received| {
            if received.label() == 1 {
                loop {
                    core::hint::spin_loop();
                }
            }
            Message::new(received.label())
        });
        let (endpoint, reply) = (server.endpoint, server.reply);
        let builder = ThreadBuilder::new("client").core(core).budget(LONG_SLICE);
        let client = builder.priority(110).spawn(&mut bench.system, move || {
            endpoint.call(Message::new(1)).label()
        });
        let client = client.unwrap();
        let sc = client.sched().unwrap().cap();
        let lent = || invoke(sc.bits(), UNBIND_OBJECT, &[server.thread.tcb().bits()], &[]);
        bench.eventually("the call", || server.thread.affinity() == Some(core));
        bench.settle(2_000);
        if all {
            row("sched-context.unbind.calls");
            sc.unbind().unwrap();
        } else {
            row("sched-context.unbind-object.calls");
            assert_eq!(lent(), answer::ok());
        }
        assert_eq!(lent(), answer::illegal_operation(), "the server lost it");
        server.thread.suspend().unwrap();
        // The answer of a third party.
        reply.send(Message::new(9));
        bench.settle(2_000);
        assert_eq!(client.is_finished(), !all, "it has time: {}", !all);
        if all {
            sc.bind(client.tcb()).unwrap();
        }
        bench.eventually("the client", || client.is_finished());
        assert_eq!(client.join(&mut bench.system).unwrap(), 9);
        server.thread.destroy(&mut bench.system).unwrap();
    }
}

/// Core, badge and flags of a configuration.
fn configurations(bench: &mut Bench, core: usize) {
    let control = bench.boot.sched_control(core);
    let spinner = bench.spinner(0, 50);
    let sc = spinner.sc();
    row("sched-control.core");
    control.configure(sc, 5_000, 5_000, 0, 0).unwrap();
    bench.runs(&spinner);
    assert_eq!(spinner.core(), core);
    row("sched-control.flags");
    for flags in [1, 2, u64::MAX << 1, u64::MAX] {
        let words = [5_000, 5_000, 0, 0, flags];
        let method = Invocation::SchedControlConfigureFlags;
        let seen = invoke(control.bits(), method, &[sc.bits()], &words);
        assert_eq!(seen, answer::ok());
        bench.runs(&spinner);
    }
    let endpoint = bench.system.endpoint().unwrap();
    let handler = bench.system.mint(endpoint, CapRights::all(), 7).unwrap();
    let reply = bench.system.reply().unwrap();
    let tcb = spinner.thread.tcb();
    rows(&["sched-control.badge", "tcb.timeout.effect"]);
    tcb.set_timeout_endpoint(Some(handler)).unwrap();
    for badge in [0x1234_5678_9abc_def0, 0] {
        control.configure(sc, 1_000, 5_000, 0, badge).unwrap();
        let fault = Fault::from_received(&endpoint.recv(reply));
        assert!(
            matches!(fault, Some(Fault::Timeout { badge: seen, .. }) if seen == badge),
            "{fault:?}"
        );
        reply.send(Message::new(0));
    }
    // Without a handler it waits for its next refill, and nobody is told.
    tcb.set_timeout_endpoint(None).unwrap();
    bench.runs(&spinner);
    bench.sleep(12_000);
    bench.runs(&spinner);
    assert_eq!(syscall::nb_recv(endpoint.bits(), reply.bits()).badge, 0);
    row("sched-control.budget-effect");
    control.configure(sc, 1_000, 5_000, 0, 0).unwrap();
    bench.sleep(5_000);
    sc.consumed().unwrap();
    bench.sleep(50_000);
    let used = sc.consumed().unwrap();
    let budget = Duration::from_millis(11);
    assert!(used <= budget + Duration::from_micros(100), "{used:?}");
    if exact_time() {
        assert!(used >= Duration::from_millis(9), "{used:?}");
    }
    spinner.thread.destroy(&mut bench.system).unwrap();
}

/// The caller's own context can be configured, also for another core.
fn own(bench: &mut Bench) {
    row("sched-control.own");
    for core in (0..bench.cores()).chain([0]) {
        let control = bench.boot.sched_control(core);
        control
            .configure(init::SCHED_CONTEXT, 5_000, 5_000, 0, 0)
            .unwrap();
        assert_eq!(tern_target_tests::sched::affinity(init::TCB), core);
    }
}
