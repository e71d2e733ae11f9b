//! Finer points of lending: what a queued Send does not lend, and the scheduling context of a notification, whose it is when
//! the thread polls, receives, waits for something that is there already, or owns the context itself.
//!
//! cores: 1 2 4
//! icount: both

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};

use libsel4::{
    BootInfo, Cap, Message, Notification, SchedContext, init, root_task, syscall, thread_block,
};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::{Bench, Log, affinity};

root_task!(main);

static LEAVE: AtomicU64 = AtomicU64::new(0);

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    for core in 0..bench.cores() {
        row("donate.blocked-send");
        blocked_send(&mut bench, core);
        row("ntfn-sc.active-lends");
        active_lends(&mut bench, core);
        row("ntfn-sc.both");
        both(&mut bench, core);
        row("ntfn-sc.poll-keeps");
        polling(&mut bench, core);
        rows(&["ntfn-sc.receive-returns", "donate.call-queued"]);
        receive_with_message(&mut bench, core);
        row("reply-chain.sc.deleted");
        deleted(&mut bench, core);
    }
}

fn here() -> u64 {
    affinity(thread_block::current().expect("a thread").tcb()) as u64
}

/// Whether a scheduling context is nobody's. (It is tried out.)
fn is_free(bench: &mut Bench, sc: Cap<SchedContext>) -> bool {
    let probe = bench.system.object::<libsel4::Tcb>().expect("a thread");
    let free = sc.bind(probe).is_ok();
    if free {
        sc.unbind_thread(probe).unwrap();
    }
    bench.system.destroy(probe).unwrap();
    free
}

/// The server takes the Send when it has answered its client, and has nothing to handle it with.
fn blocked_send(bench: &mut Bench, core: usize) {
    LEAVE.store(0, Ordering::Relaxed);
    let log = Log::new();
    let server = bench.passive_server("server", 0, 90, |received| {
        log.push(received.label());
        while LEAVE.load(Ordering::Relaxed) == 0 {}
        Message::new(received.label() + 1)
    });
    let endpoint = server.endpoint;
    let client = bench.thread("client", core, 80, move || {
        endpoint.call(Message::new(1)).label()
    });
    bench.eventually("the call", || log.len() == 1);
    let sender = bench.thread("sender", bench.cores() - 1, 100, move || {
        endpoint.send(Message::new(5));
    });
    bench.settle(1_000);
    assert!(!sender.is_finished());
    LEAVE.store(1, Ordering::Relaxed);
    bench.eventually("both", || client.is_finished() && sender.is_finished());
    bench.settle(1_000);
    log.take(&[1]);
    // The sender has what it had.
    let sc = sender.sched().unwrap().cap();
    sc.unbind_thread(sender.tcb()).unwrap();
    sc.bind(server.thread.tcb()).unwrap();
    bench.eventually("the message is handled", || log.len() == 1);
    log.take(&[5]);
    sc.unbind().unwrap();
    sender.destroy(&mut bench.system).unwrap();
    client.destroy(&mut bench.system).unwrap();
    server.thread.destroy(&mut bench.system).unwrap();
}

/// In one system call a thread gives its context to a server and gets that of a notification that is active.
fn active_lends(bench: &mut Bench, core: usize) {
    let (log, other) = (Log::new(), bench.cores() - 1 - core);
    let server = bench.passive_server("server", 0, 110, |received| {
        log.push(received.label());
        log.push(here());
        Message::new(0)
    });
    let endpoint = server.endpoint;
    let notification = bench.system.notification().unwrap();
    let lent = bench.sched_context(other);
    lent.bind_notification(notification).unwrap();
    notification.signal();
    let thread = bench.thread("thread", core, 100, move || {
        let message = Message::new(50);
        syscall::nb_send_wait(endpoint.bits(), message, notification.bits());
        here()
    });
    bench.eventually("both", || thread.is_finished() && log.len() == 2);
    log.take(&[50, core as u64]);
    assert_eq!(affinity(thread.tcb()), other);
    // It still has it, and the server the thread's.
    lent.unbind_thread(thread.tcb()).unwrap();
    let sc = thread.sched().unwrap().cap();
    sc.unbind_thread(server.thread.tcb()).unwrap();
    thread.destroy(&mut bench.system).unwrap();
    server.thread.destroy(&mut bench.system).unwrap();
    bench.system.destroy(lent).unwrap();
}

/// The thread's own context is the notification's as well.
fn both(bench: &mut Bench, core: usize) {
    let log = Log::new();
    let [notification, other, go] = [(); 3].map(|()| bench.system.notification().unwrap());
    let owner = bench.thread("owner", core, 100, move || {
        other.wait();
        log.push(1);
        notification.wait();
        log.push(2);
    });
    let (waiter, gate) = bench.parked("waiter", core, 100, move || {
        go.signal();
        notification.wait();
        log.push(9);
    });
    let sc = owner.sched().unwrap().cap();
    bench.settle(1_000);
    // The waiter gets as far as the notification with a context of its own, which is taken away then.
    let own = bench.sched_context(core);
    own.bind(waiter.tcb()).unwrap();
    gate.signal();
    go.wait();
    bench.settle(1_000);
    own.unbind().unwrap();
    sc.bind_notification(notification).unwrap();
    // In use by the owner, who waits for something else: the signalled waiter has no time.
    notification.signal();
    bench.settle(1_000);
    log.take(&[]);
    sc.unbind_thread(owner.tcb()).unwrap();
    sc.bind(owner.tcb()).unwrap();
    // The owner comes to wait on that notification, and the context is free.
    other.signal();
    bench.eventually("the owner", || log.len() == 1);
    bench.settle(1_000);
    log.take(&[1]);
    assert!(is_free(bench, sc));
    // So it is lent to the owner by a signal.
    notification.signal();
    bench.eventually("the owner", || owner.is_finished());
    log.take(&[2]);
    sc.unbind().unwrap();
    own.bind(waiter.tcb()).unwrap();
    bench.eventually("the waiter", || waiter.is_finished());
    own.unbind().unwrap();
    owner.destroy(&mut bench.system).unwrap();
    waiter.destroy(&mut bench.system).unwrap();
    bench.system.destroy(own).unwrap();
}

/// A passive thread, woken by its notification, whose context is on a core: it notes what it does.
fn woken_by(
    bench: &mut Bench,
    core: usize,
    body: impl FnOnce(Cap<Notification>) + Send + 'static,
) -> (libsel4::Thread<()>, Cap<Notification>, Cap<SchedContext>) {
    let [notification, ready] = [(); 2].map(|()| bench.system.notification().unwrap());
    let (thread, gate) = bench.parked("woken", 0, 100, move || {
        syscall::nb_send_wait(ready.bits(), Message::new(0), notification.bits());
        body(notification);
    });
    let sc = bench.sched_context(core);
    sc.bind(thread.tcb()).unwrap();
    sc.bind_notification(notification).unwrap();
    gate.signal();
    ready.wait();
    bench.settle(1_000);
    assert!(is_free(bench, sc));
    (thread, notification, sc)
}

/// Looking whether there is something does not give the context back; waiting does.
fn polling(bench: &mut Bench, core: usize) {
    let log = Log::new();
    let nobody = bench.system.endpoint().unwrap();
    let reply = bench.system.reply().unwrap();
    let (thread, notification, sc) = woken_by(bench, core, move |notification| {
        log.push(1);
        notification.poll();
        log.push(2);
        nobody.nb_recv(reply);
        nobody.poll();
        log.push(3);
        // A blocking receive on an endpoint would, but for the notification being another's.
        while LEAVE.load(Ordering::Relaxed) == 0 {}
        notification.wait();
        log.push(4);
    });
    LEAVE.store(0, Ordering::Relaxed);
    notification.signal();
    bench.eventually("the polls", || log.len() == 3);
    log.take(&[1, 2, 3]);
    assert!(!is_free(bench, sc));
    assert_eq!(affinity(thread.tcb()), core);
    LEAVE.store(1, Ordering::Relaxed);
    bench.settle(1_000);
    assert!(is_free(bench, sc));
    notification.signal();
    bench.eventually("the second signal", || thread.is_finished());
    log.take(&[4]);
    sc.unbind().unwrap();
    thread.destroy(&mut bench.system).unwrap();
    bench.system.destroy(sc).unwrap();
}

/// A call waits when the thread comes to receive: it is served on the caller's context, not on the notification's.
fn receive_with_message(bench: &mut Bench, core: usize) {
    let (log, other) = (Log::new(), bench.cores() - 1 - core);
    let endpoint = bench.system.endpoint().unwrap();
    let reply = bench.system.reply().unwrap();
    let (thread, notification, sc) = woken_by(bench, core, move |notification| {
        let me = thread_block::current().expect("a thread").tcb();
        me.bind_notification(notification).unwrap();
        log.push(here());
        while LEAVE.load(Ordering::Relaxed) == 0 {}
        let received = endpoint.recv(reply);
        log.push(100 + here());
        endpoint.reply_recv(Message::new(received.label() + 1), reply);
    });
    LEAVE.store(0, Ordering::Relaxed);
    notification.signal();
    bench.eventually("the signal", || log.len() == 1);
    // More important than the thread, so that it can call on the same core.
    let client = bench.thread("client", other, 110, move || {
        endpoint.call(Message::new(1)).label()
    });
    bench.settle(1_000);
    assert!(!client.is_finished() && !is_free(bench, sc));
    LEAVE.store(1, Ordering::Relaxed);
    bench.eventually("the answer", || client.is_finished());
    assert_eq!(client.join(&mut bench.system).unwrap(), 2);
    log.take(&[core as u64, 100 + other as u64]);
    assert!(is_free(bench, sc));
    thread.tcb().unbind_notification().unwrap();
    thread.destroy(&mut bench.system).unwrap();
    bench.system.destroy(sc).unwrap();
}

/// A scheduling context that is deleted leaves its notification without one, and its thread.
fn deleted(bench: &mut Bench, core: usize) {
    let log = Log::new();
    let (thread, notification, sc) = woken_by(bench, core, move |notification| {
        log.push(1);
        notification.wait();
        log.push(2);
        while LEAVE.load(Ordering::Relaxed) == 0 {}
        log.push(3);
    });
    bench.system.destroy(sc).unwrap();
    notification.signal();
    bench.settle(1_000);
    log.take(&[]);
    let second = bench.sched_context(core);
    second.bind_notification(notification).unwrap();
    second.bind(thread.tcb()).unwrap();
    bench.eventually("it goes on", || log.len() == 1);
    LEAVE.store(0, Ordering::Relaxed);
    notification.signal();
    bench.eventually("it is woken", || log.len() == 2);
    bench.system.destroy(second).unwrap();
    LEAVE.store(1, Ordering::Relaxed);
    bench.settle(1_000);
    log.take(&[1, 2]);
    let third = bench.sched_context(core);
    third.bind_notification(notification).unwrap();
    third.bind(thread.tcb()).unwrap();
    bench.eventually("the end", || thread.is_finished());
    log.take(&[3]);
    assert_eq!(init::TCB.bind_notification(notification), Ok(()));
    init::TCB.unbind_notification().unwrap();
    third.unbind().unwrap();
    thread.destroy(&mut bench.system).unwrap();
    bench.system.destroy(third).unwrap();
}
