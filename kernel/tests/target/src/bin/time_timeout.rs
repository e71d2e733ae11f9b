//! Timeout faults: when they are raised, what they say, that nothing is lent to the handler, and what its answers do. (In
//! exact time only: in real time a busy host may use up any budget.)
//!
//! cores: 1 2 4

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use libsel4::{BootInfo, Budget, Fault, Message, ThreadBuilder, root_task, syscall};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::{Bench, counter, spin};

root_task!(main);

const BUDGET: Budget = Budget::Periodic {
    budget: Duration::from_millis(2),
    period: Duration::from_millis(50),
    extra_refills: 0,
};

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    for core in 0..bench.cores() {
        rows(&[
            "fault.timeout.words",
            "sched.charge.timeout",
            "fault.reply.label",
            "refill.configure.badge",
        ]);
        spinning(&mut bench, core);
        row("sched.yield.no-timeout");
        yielding(&mut bench, core);
        row("sched.charge.timeout");
        in_server(&mut bench, core);
        rows(&["sched.charge.no-timeout-rr", "sched.release.round-robin"]);
        round_robin(&mut bench, core);
    }
}

fn spinning(bench: &mut Bench, core: usize) {
    let handler = bench.system.endpoint().unwrap();
    let reply = bench.system.reply().unwrap();
    let builder = ThreadBuilder::new("late")
        .core(core)
        .budget(BUDGET)
        .badge(0x77);
    let spinner = bench.spinner_with(builder.timeout_handler(handler));
    for turn in 0..3 {
        let received = handler.recv(reply);
        let fault = Fault::from_received(&received);
        let Some(Fault::Timeout { badge, consumed }) = fault else {
            panic!("{received:?}");
        };
        assert_eq!(badge, 0x77);
        // All of the budget but what the next entry could need.
        assert!(consumed >= 1_900, "turn {turn}: {consumed}");
        bench.rests(&spinner);
        // Nothing was lent, so its context is still there.
        assert!(spinner.sc().consumed().unwrap() < Duration::from_millis(1));
        reply.send(Message::new(0));
        // (Nobody interrupts it before the next fault: that would cut its budget into pieces, each with a fault.)
    }
    // An answer with another label leaves the thread stopped.
    assert!(matches!(
        Fault::from_received(&handler.recv(reply)),
        Some(Fault::Timeout { .. })
    ));
    reply.send(Message::new(1));
    bench.sleep(60_000);
    bench.rests(&spinner);
    spinner.thread.resume().unwrap();
    bench.runs(&spinner);
    // Reconfigured by its handler, it goes on at once after the answer.
    assert!(matches!(
        Fault::from_received(&handler.recv(reply)),
        Some(Fault::Timeout { .. })
    ));
    bench.move_sc(spinner.sc(), core);
    reply.send(Message::new(0));
    bench.runs(&spinner);
    spinner.thread.destroy(&mut bench.system).unwrap();
}

/// Yield gives the budget up without a fault.
fn yielding(bench: &mut Bench, core: usize) {
    let handler = bench.system.endpoint().unwrap();
    let reply = bench.system.reply().unwrap();
    let count = counter();
    let builder = ThreadBuilder::new("yields")
        .core(core)
        .budget(BUDGET)
        .timeout_handler(handler);
    let thread = builder.spawn(&mut bench.system, move || {
        for _ in 0..3 {
            count.fetch_add(1, Ordering::Relaxed);
            syscall::yield_now();
        }
    });
    let thread = thread.unwrap();
    bench.eventually("the yields", || thread.is_finished());
    assert_eq!(syscall::nb_recv(handler.bits(), reply.bits()).badge, 0);
    thread.join(&mut bench.system).unwrap();
}

/// The budget ends in a passive server that has a handler: it faults on its client's context.
fn in_server(bench: &mut Bench, core: usize) {
    static TIMES: AtomicU64 = AtomicU64::new(0);
    let handler = bench.system.endpoint().unwrap();
    let reply = bench.system.reply().unwrap();
    let server = bench.passive_server("server", 0, 110, |received| {
        spin(5_000);
        TIMES.fetch_add(1, Ordering::Relaxed);
        Message::new(received.label() + 1)
    });
    server
        .thread
        .tcb()
        .set_timeout_endpoint(Some(handler))
        .unwrap();
    let endpoint = server.endpoint;
    let builder = ThreadBuilder::new("client")
        .core(core)
        .budget(BUDGET)
        .badge(0x99);
    let client = builder.spawn(&mut bench.system, move || {
        endpoint.call(Message::new(1)).label()
    });
    let client = client.unwrap();
    let received = handler.recv(reply);
    assert!(
        matches!(
            Fault::from_received(&received),
            Some(Fault::Timeout { badge: 0x99, .. })
        ),
        "{received:?}"
    );
    // The handler answers for the server: the client goes on when its budget is back, and the server is stopped.
    server.reply.send(Message::new(40));
    bench.eventually("the client", || client.is_finished());
    assert_eq!(client.join(&mut bench.system).unwrap(), 40);
    assert_eq!(TIMES.load(Ordering::Relaxed), 0);
    server.thread.destroy(&mut bench.system).unwrap();
}

/// A round-robin context has no Timeout faults.
fn round_robin(bench: &mut Bench, core: usize) {
    let handler = bench.system.endpoint().unwrap();
    let reply = bench.system.reply().unwrap();
    let slice = Budget::RoundRobin {
        slice: Duration::from_micros(500),
    };
    let builder = ThreadBuilder::new("round")
        .core(core)
        .budget(slice)
        .timeout_handler(handler);
    let spinner = bench.spinner_with(builder);
    bench.runs(&spinner);
    bench.sleep(10_000);
    bench.runs(&spinner);
    assert_eq!(syscall::nb_recv(handler.bits(), reply.bits()).badge, 0);
    spinner.thread.destroy(&mut bench.system).unwrap();
}
