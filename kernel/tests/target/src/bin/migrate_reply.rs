//! An answer brings a scheduling context back across cores: by Reply, by ReplyRecv, and by somebody else while the server
//! runs on another core (which then has nothing to run on). If the context was moved meanwhile, the caller goes on there.
//!
//! cores: 2 4
//! icount: both
//! timeout: 120

#![no_std]
#![no_main]

use libsel4::{BootInfo, Message, root_task};
use tern_target_tests::rows::rows;
use tern_target_tests::sched::{Bench, affinity};

use core::sync::atomic::{AtomicU64, Ordering};

root_task!(main);

static IN_SERVER: AtomicU64 = AtomicU64::new(0);
static LEAVE: AtomicU64 = AtomicU64::new(0);

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    for from in 0..bench.cores() {
        let to = (from + 1) % bench.cores();
        rows(&["smp.reply.third-party", "defect.sel4test-155"]);
        third_party(&mut bench, from);
        rows(&["smp.reply", "reply-chain.reply.migrates"]);
        moved_meanwhile(&mut bench, from, to, false);
        moved_meanwhile(&mut bench, from, to, true);
    }
}

/// The server counts as long as it is allowed to run.
fn third_party(bench: &mut Bench, core: usize) {
    let server = bench.passive_server("server", 0, 90, |_| {
        loop {
            IN_SERVER.fetch_add(1, Ordering::Relaxed);
        }
    });
    for _ in 0..20 {
        let endpoint = server.endpoint;
        let before = IN_SERVER.load(Ordering::Relaxed);
        let caller = bench.thread("caller", core, 100, move || {
            endpoint.call(Message::new(1)).label()
        });
        bench.eventually("the server runs", || {
            IN_SERVER.load(Ordering::Relaxed) > before
        });
        assert_eq!(affinity(server.thread.tcb()), core);
        server.reply.send(Message::new(77));
        bench.eventually("the answer", || caller.is_finished());
        assert_eq!(affinity(caller.tcb()), core);
        assert_eq!(caller.join(&mut bench.system).unwrap(), 77);
        // The server has nothing to run on.
        let before = IN_SERVER.load(Ordering::Relaxed);
        bench.settle(1_000);
        assert_eq!(IN_SERVER.load(Ordering::Relaxed), before);
        // It never came to receive again: let it start over.
        restart(bench, &server);
    }
    server.thread.destroy(&mut bench.system).unwrap();
}

/// Lets a server that was left without a scheduling context receive again, by the system call made for it.
fn restart(bench: &mut Bench, server: &tern_target_tests::sched::Server) {
    let mut context = server.thread.tcb().read_registers(true).unwrap();
    context.pc = receive_for_ever as *const () as u64;
    context.x0 = server.endpoint.bits();
    context.x1 = server.reply.bits();
    let ready = bench.system.notification().unwrap();
    context.x2 = ready.bits();
    server.thread.tcb().write_registers(true, &context).unwrap();
    let sc = bench.sched_context(0);
    sc.bind(server.thread.tcb()).unwrap();
    ready.wait();
    bench.system.destroy(sc).unwrap();
    bench.system.destroy(ready).unwrap();
}

extern "C" fn receive_for_ever(endpoint: u64, reply: u64, ready: u64) -> ! {
    libsel4::syscall::nb_send_recv(ready, Message::new(0), endpoint, reply);
    loop {
        IN_SERVER.fetch_add(1, Ordering::Relaxed);
    }
}

/// The lent scheduling context is moved while the server runs on it (or is blocked): server and, later, caller go on where
/// it is.
fn moved_meanwhile(bench: &mut Bench, from: usize, to: usize, blocked: bool) {
    let gate = bench.system.notification().unwrap();
    let server = bench.passive_server("server", 0, 90, move |received| {
        IN_SERVER.fetch_add(1, Ordering::Relaxed);
        if blocked {
            gate.wait();
        } else {
            while LEAVE.load(Ordering::Relaxed) == 0 {}
        }
        Message::new(received.label() + 1)
    });
    LEAVE.store(0, Ordering::Relaxed);
    let before = IN_SERVER.load(Ordering::Relaxed);
    let endpoint = server.endpoint;
    let caller = bench.thread("caller", from, 100, move || {
        let first = endpoint.call(Message::new(1)).label();
        (first, endpoint.call(Message::new(first)).label())
    });
    bench.eventually("the server runs", || {
        IN_SERVER.load(Ordering::Relaxed) == before + 1
    });
    bench.settle(500);
    let (server_tcb, caller_tcb) = (server.thread.tcb(), caller.tcb());
    bench.move_sc(caller.sched().unwrap().cap(), to);
    assert_eq!((affinity(server_tcb), affinity(caller_tcb)), (to, from));
    LEAVE.store(1, Ordering::Relaxed);
    gate.signal();
    bench.eventually("the second call", || {
        IN_SERVER.load(Ordering::Relaxed) == before + 2
    });
    gate.signal();
    bench.eventually("the answers", || caller.is_finished());
    assert_eq!((affinity(server_tcb), affinity(caller_tcb)), (to, to));
    assert_eq!(caller.join(&mut bench.system).unwrap(), (2, 3));
    server.thread.destroy(&mut bench.system).unwrap();
}
