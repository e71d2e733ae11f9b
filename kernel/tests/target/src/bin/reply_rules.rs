//! What becomes of callers, servers and the lent scheduling context when one of them, or a reply object, goes or is stopped
//! in a single call. (Chains of calls: `smp_chain`.)
//!
//! cores: 1 2 4
//! icount: yes

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};

use libsel4::{BootInfo, Cap, Message, SchedContext, Thread, root_task};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::{Bench, Server, affinity, exact_time};

root_task!(main);

static AT_WORK: AtomicU64 = AtomicU64::new(0);
static LEAVE: AtomicU64 = AtomicU64::new(0);

/// A call that is being served.
struct Call {
    client: Thread<u64>,
    server: Server,
    sc: Cap<SchedContext>,
}

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    for core in 0..bench.cores() {
        rows(&["reply-chain.cancel.head", "reply-chain.cancel.resumed"]);
        client_suspended(&mut bench, core);
        row("reply-chain.cancel.deleted");
        client_deleted(&mut bench, core);
        row("reply-chain.server.suspended");
        server_suspended(&mut bench, core);
        row("reply-chain.server.deleted");
        server_deleted(&mut bench, core);
        row("reply-chain.delete.head");
        reply_deleted(&mut bench, core);
        row("reply-chain.delete.receiver");
        reply_of_receiver_deleted(&mut bench, core);
        row("reply-chain.reply.other-sc");
        client_got_another(&mut bench, core);
        rows(&[
            "reply-chain.reply.copies",
            "reply-chain.reply.nobody",
            "default.reply",
        ]);
        answered_twice(&mut bench, core);
        row("reply-chain.reply.late");
        late_client(&mut bench, core);
    }
}

fn call(bench: &mut Bench, core: usize) -> Call {
    LEAVE.store(0, Ordering::Relaxed);
    AT_WORK.store(0, Ordering::Relaxed);
    let server = bench.passive_server("server", 0, 110, |received| {
        AT_WORK.fetch_add(1, Ordering::Relaxed);
        while LEAVE.load(Ordering::Relaxed) == 0 {}
        Message::new(received.label() + 1)
    });
    let endpoint = server.endpoint;
    let client = bench.thread("client", core, 100, move || {
        endpoint.call(Message::new(1)).label()
    });
    bench.eventually("the server", || AT_WORK.load(Ordering::Relaxed) == 1);
    let sc = client.sched().unwrap().cap();
    Call { client, server, sc }
}

fn clear(bench: &mut Bench, call: Call) {
    call.client.destroy(&mut bench.system).unwrap();
    call.server.thread.destroy(&mut bench.system).unwrap();
}

/// The server keeps the context, and answers nobody.
fn client_suspended(bench: &mut Bench, core: usize) {
    let call = call(bench, core);
    call.client.suspend().unwrap();
    LEAVE.store(1, Ordering::Relaxed);
    bench.settle(1_000);
    call.client.resume().unwrap();
    bench.settle(1_000);
    assert!(!call.client.is_finished(), "it has nothing to run on");
    call.sc.unbind_thread(call.server.thread.tcb()).unwrap();
    call.sc.bind(call.client.tcb()).unwrap();
    bench.eventually("the second try", || call.client.is_finished());
    assert_eq!(AT_WORK.load(Ordering::Relaxed), 2);
    clear(bench, call);
}

/// The server keeps the context, even to serve others with it.
fn client_deleted(bench: &mut Bench, core: usize) {
    let Call { client, server, sc } = call(bench, core);
    client.tcb().slot().delete().unwrap();
    LEAVE.store(1, Ordering::Relaxed);
    assert_eq!(server.endpoint.call(Message::new(5)).label(), 6);
    assert_eq!(affinity(server.thread.tcb()), core);
    sc.unbind_thread(server.thread.tcb()).unwrap();
    server.thread.destroy(&mut bench.system).unwrap();
}

/// It keeps the context, and goes on when it is resumed.
fn server_suspended(bench: &mut Bench, core: usize) {
    let call = call(bench, core);
    call.server.thread.suspend().unwrap();
    LEAVE.store(1, Ordering::Relaxed);
    bench.settle(1_000);
    assert!(!call.client.is_finished());
    assert!(call.sc.bind(call.client.tcb()).is_err());
    call.server.thread.resume().unwrap();
    bench.eventually("the answer", || call.client.is_finished());
    assert_eq!(affinity(call.client.tcb()), core);
    clear(bench, call);
}

/// Nobody has the context until the reply object is used or deleted.
fn server_deleted(bench: &mut Bench, core: usize) {
    for delete in [false, true] {
        let Call { client, server, sc } = call(bench, core);
        server.thread.destroy(&mut bench.system).unwrap();
        bench.settle(500);
        assert!(!client.is_finished());
        if delete {
            bench.system.destroy(server.reply).unwrap();
            // The client has its context again, and is inactive.
            bench.settle(500);
            assert!(!client.is_finished());
            sc.unbind_thread(client.tcb()).unwrap();
            client.destroy(&mut bench.system).unwrap();
        } else {
            server.reply.send(Message::new(30));
            assert_eq!(client.join(&mut bench.system).unwrap(), 30);
        }
    }
}

/// The client gets its context back and is inactive; the server, wherever it runs, has nothing to run on.
fn reply_deleted(bench: &mut Bench, core: usize) {
    let Call { client, server, sc } = call(bench, core);
    bench.system.destroy(server.reply).unwrap();
    LEAVE.store(1, Ordering::Relaxed);
    assert!(sc.unbind_thread(server.thread.tcb()).is_err());
    bench.settle(500);
    assert!(!client.is_finished());
    sc.unbind_thread(client.tcb()).unwrap();
    sc.bind(client.tcb()).unwrap();
    client.destroy(&mut bench.system).unwrap();
    server.thread.destroy(&mut bench.system).unwrap();
}

/// A server that waits with it is inactive: nobody takes the call.
fn reply_of_receiver_deleted(bench: &mut Bench, core: usize) {
    let server = bench.passive_server("server", 0, 110, |_| Message::new(0));
    bench.system.destroy(server.reply).unwrap();
    server.endpoint.nb_send(Message::new(1));
    let endpoint = server.endpoint;
    let client = bench.thread("client", core, 100, move || {
        endpoint.call(Message::new(1)).label()
    });
    bench.settle(1_000);
    assert!(!client.is_finished());
    let reply = bench.system.reply().unwrap();
    assert_eq!(endpoint.recv(reply).label(), 1);
    reply.send(Message::new(7));
    assert_eq!(client.join(&mut bench.system).unwrap(), 7);
    server.thread.destroy(&mut bench.system).unwrap();
}

/// A client that has a context when the answer comes leaves the lent one with the server.
fn client_got_another(bench: &mut Bench, core: usize) {
    let Call { client, server, sc } = call(bench, core);
    let other = bench.sched_context(bench.cores() - 1 - core);
    other.bind(client.tcb()).unwrap();
    LEAVE.store(1, Ordering::Relaxed);
    bench.eventually("the answer", || client.is_finished());
    assert_eq!(affinity(client.tcb()), bench.cores() - 1 - core);
    assert_eq!(affinity(server.thread.tcb()), core);
    bench.eventually("the server receives", || {
        server.endpoint.call(Message::new(3)).label() == 4
    });
    sc.unbind_thread(server.thread.tcb()).unwrap();
    client.destroy(&mut bench.system).unwrap();
    bench.system.destroy(other).unwrap();
    server.thread.destroy(&mut bench.system).unwrap();
}

/// The second answer through the same reply object is to nobody.
fn answered_twice(bench: &mut Bench, core: usize) {
    let endpoint = bench.system.endpoint().unwrap();
    let reply = bench.system.reply().unwrap();
    let copy = bench.system.copy(reply, libsel4::CapRights::all()).unwrap();
    let client = bench.thread("client", core, 100, move || {
        (
            endpoint.call(Message::new(1)).label(),
            endpoint.call(Message::new(2)).label(),
        )
    });
    // Nobody waits for it yet.
    reply.send(Message::new(9));
    assert_eq!(endpoint.recv(reply).label(), 1);
    // All copies are one object.
    copy.send(Message::new(10));
    reply.send(Message::new(11));
    assert_eq!(endpoint.recv(copy).label(), 2);
    reply.send(Message::new(12));
    copy.send(Message::new(13));
    assert_eq!(client.join(&mut bench.system).unwrap(), (10, 12));
}

/// The server used up the lent budget: the answered client waits for its next refill, on its core.
fn late_client(bench: &mut Bench, core: usize) {
    if !exact_time() {
        return;
    }
    let Call { client, server, sc } = call(bench, core);
    let control = bench.boot.sched_control(core);
    control.configure(sc, 1_000, 30_000, 0, 0).unwrap();
    bench.settle(800);
    server.reply.send(Message::new(20));
    bench.eventually("the answer", || client.is_finished());
    clear(bench, Call { client, server, sc });
}
