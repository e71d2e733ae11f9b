//! A chain of calls client -> first -> second, whose scheduling context was moved from core to core while each was at work,
//! is broken in the middle: the first server is suspended or deleted, its reply object or the scheduling context is
//! deleted, the client or the second server goes. What is left does as the rules of call stacks say.
//!
//! cores: 2 4
//! icount: both
//! timeout: 120

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};

use libsel4::{BootInfo, Message, Thread, root_task};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::{Bench, Server, affinity};

root_task!(main);

static AT_WORK: AtomicU64 = AtomicU64::new(0);
static LEAVE: AtomicU64 = AtomicU64::new(0);

/// The chain, with the second server at work.
struct Chain {
    client: Thread<u64>,
    first: Server,
    second: Server,
    /// Where the scheduling context is.
    core: usize,
}

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    for core in 0..bench.cores() {
        rows(&[
            "reply-chain.push",
            "reply-chain.reply.head",
            "reply-chain.reply.migrates",
            "smp.reply",
        ]);
        unbroken(&mut bench, core);
        row("reply-chain.cancel.head");
        first_suspended(&mut bench, core);
        row("reply-chain.cancel.deleted");
        first_deleted(&mut bench, core);
        row("reply-chain.delete.lower");
        first_reply_deleted(&mut bench, core);
        row("reply-chain.delete.head");
        second_reply_deleted(&mut bench, core);
        rows(&["reply-chain.cancel.lower", "reply-chain.cancel.resumed"]);
        client_suspended(&mut bench, core);
        row("reply-chain.server.deleted");
        second_deleted(&mut bench, core);
        row("reply-chain.sc.deleted");
        context_deleted(&mut bench, core);
        row("reply-chain.sc.unbound");
        context_unbound(&mut bench, core);
    }
}

fn chain(bench: &mut Bench, core: usize) -> Chain {
    let cores = bench.cores();
    LEAVE.store(0, Ordering::Relaxed);
    AT_WORK.store(0, Ordering::Relaxed);
    let second = bench.passive_server("second", 0, 110, |received| {
        AT_WORK.store(2, Ordering::Relaxed);
        while LEAVE.load(Ordering::Relaxed) != 2 {}
        AT_WORK.store(3, Ordering::Relaxed);
        Message::new(received.label() + 1)
    });
    let to_second = second.endpoint;
    let first = bench.passive_server("first", 0, 105, move |received| {
        AT_WORK.store(1, Ordering::Relaxed);
        while LEAVE.load(Ordering::Relaxed) == 0 {}
        let answer = to_second.call(Message::new(received.label() + 1));
        AT_WORK.store(4, Ordering::Relaxed);
        Message::new(answer.label() + 1)
    });
    let to_first = first.endpoint;
    let client = bench.thread("client", core, 100, move || {
        to_first.call(Message::new(1)).label()
    });
    bench.eventually("the first server", || AT_WORK.load(Ordering::Relaxed) == 1);
    let core = (core + 1) % cores;
    bench.move_sc(client.sched().unwrap().cap(), core);
    LEAVE.store(1, Ordering::Relaxed);
    bench.eventually("the second server", || AT_WORK.load(Ordering::Relaxed) == 2);
    let core = (core + 1) % cores;
    bench.move_sc(client.sched().unwrap().cap(), core);
    assert_eq!(affinity(second.thread.tcb()), core);
    Chain {
        client,
        first,
        second,
        core,
    }
}

/// The second server answers; `last` is how far the answers get.
fn go_on(bench: &Bench, last: u64) {
    LEAVE.store(2, Ordering::Relaxed);
    bench.eventually("the second server", || AT_WORK.load(Ordering::Relaxed) >= 3);
    bench.eventually("the answers", || AT_WORK.load(Ordering::Relaxed) == last);
    bench.settle(1_000);
    assert_eq!(AT_WORK.load(Ordering::Relaxed), last);
}

fn clear(bench: &mut Bench, chain: Chain) {
    chain.client.destroy(&mut bench.system).unwrap();
    for server in [chain.first, chain.second] {
        server.thread.destroy(&mut bench.system).unwrap();
        bench.system.destroy(server.endpoint).unwrap();
    }
}

fn unbroken(bench: &mut Bench, core: usize) {
    let chain = chain(bench, core);
    go_on(bench, 4);
    bench.eventually("the answer", || chain.client.is_finished());
    let (client, first, second) = (chain.client, chain.first, chain.second);
    for tcb in [client.tcb(), first.thread.tcb(), second.thread.tcb()] {
        assert_eq!(affinity(tcb), chain.core);
    }
    assert_eq!(client.join(&mut bench.system).unwrap(), 4);
    first.thread.destroy(&mut bench.system).unwrap();
    second.thread.destroy(&mut bench.system).unwrap();
}

/// Its call is cancelled, and it was at the head: the context stays with the second server, and nothing comes back.
fn first_suspended(bench: &mut Bench, core: usize) {
    let chain = chain(bench, core);
    chain.first.thread.suspend().unwrap();
    go_on(bench, 3);
    assert!(!chain.client.is_finished());
    // An answer to the client now transfers no scheduling context.
    chain.first.reply.send(Message::new(9));
    bench.settle(1_000);
    assert!(!chain.client.is_finished());
    // The context is still with the second server, which waits: take it from there, and the client goes on.
    let sc = chain.client.sched().unwrap().cap();
    sc.unbind_thread(chain.second.thread.tcb()).unwrap();
    sc.bind(chain.client.tcb()).unwrap();
    bench.eventually("the answer", || chain.client.is_finished());
    assert_eq!(affinity(chain.client.tcb()), chain.core);
    clear(bench, chain);
}

fn first_deleted(bench: &mut Bench, core: usize) {
    let chain = chain(bench, core);
    let Chain {
        client,
        first,
        second,
        ..
    } = chain;
    first.thread.destroy(&mut bench.system).unwrap();
    go_on(bench, 3);
    assert!(!client.is_finished());
    client.destroy(&mut bench.system).unwrap();
    second.thread.destroy(&mut bench.system).unwrap();
    bench.system.destroy(first.reply).unwrap();
}

/// The reply object of the first server, on which the client waits, is the lower one: the stack is split, the client is
/// inactive, and the first server still gets its answer with the context.
fn first_reply_deleted(bench: &mut Bench, core: usize) {
    let chain = chain(bench, core);
    bench.system.destroy(chain.first.reply).unwrap();
    // The first server's next receive names the deleted object, and faults without a handler.
    go_on(bench, 4);
    assert!(!chain.client.is_finished());
    let sc = chain.client.sched().unwrap().cap();
    sc.unbind_thread(chain.first.thread.tcb()).unwrap();
    sc.bind(chain.client.tcb()).unwrap();
    bench.settle(1_000);
    assert!(!chain.client.is_finished(), "it is inactive");
    clear(bench, chain);
}

/// The upper reply object, on which the first server waits, is the head: the context goes to the first server, which is
/// inactive; the second server has nothing to run on any more.
fn second_reply_deleted(bench: &mut Bench, core: usize) {
    let chain = chain(bench, core);
    bench.system.destroy(chain.second.reply).unwrap();
    LEAVE.store(2, Ordering::Relaxed);
    bench.settle(1_000);
    assert_eq!(
        AT_WORK.load(Ordering::Relaxed),
        2,
        "the second server still runs"
    );
    let sc = chain.client.sched().unwrap().cap();
    assert!(sc.unbind_thread(chain.second.thread.tcb()).is_err());
    assert_eq!(affinity(chain.first.thread.tcb()), chain.core);
    // The first server is the head's caller now; an answer to the client returns the context to it.
    chain.first.reply.send(Message::new(50));
    bench.eventually("the answer", || chain.client.is_finished());
    assert_eq!(affinity(chain.client.tcb()), chain.core);
    clear(bench, chain);
}

/// The bottom of the stack goes: the context comes back to the first server and stays there.
fn client_suspended(bench: &mut Bench, core: usize) {
    let chain = chain(bench, core);
    chain.client.suspend().unwrap();
    go_on(bench, 4);
    let sc = chain.client.sched().unwrap().cap();
    assert_eq!(affinity(chain.first.thread.tcb()), chain.core);
    sc.unbind_thread(chain.first.thread.tcb()).unwrap();
    // Resumed, the client makes its call again.
    AT_WORK.store(0, Ordering::Relaxed);
    sc.bind(chain.client.tcb()).unwrap();
    chain.client.resume().unwrap();
    bench.eventually("the second try", || chain.client.is_finished());
    clear(bench, chain);
}

/// The head's holder is deleted while it runs elsewhere: nobody has the context, but an answer brings it down the stack.
fn second_deleted(bench: &mut Bench, core: usize) {
    let Chain {
        client,
        first,
        second,
        core,
    } = chain(bench, core);
    second.thread.destroy(&mut bench.system).unwrap();
    bench.settle(500);
    assert_eq!(AT_WORK.load(Ordering::Relaxed), 2);
    second.reply.send(Message::new(20));
    bench.eventually("the answers", || client.is_finished());
    assert_eq!(affinity(client.tcb()), core);
    assert_eq!(client.join(&mut bench.system).unwrap(), 21);
    first.thread.destroy(&mut bench.system).unwrap();
}

/// Nobody has time any more; with another context each answers in turn.
fn context_deleted(bench: &mut Bench, core: usize) {
    let chain = chain(bench, core);
    // All of its capabilities; the library's own note of it is only used again to destroy the client.
    chain.client.sched().unwrap().cap().slot().delete().unwrap();
    LEAVE.store(2, Ordering::Relaxed);
    bench.settle(1_000);
    assert_eq!(AT_WORK.load(Ordering::Relaxed), 2);
    let sc = bench.sched_context(chain.core);
    sc.bind(chain.second.thread.tcb()).unwrap();
    go_on(bench, 3);
    sc.unbind().unwrap();
    // It has been answered, so it is runnable, without time.
    sc.bind(chain.first.thread.tcb()).unwrap();
    go_on(bench, 4);
    sc.unbind().unwrap();
    sc.bind(chain.client.tcb()).unwrap();
    bench.eventually("the answer", || chain.client.is_finished());
    sc.unbind().unwrap();
    bench.system.destroy(sc).unwrap();
    clear(bench, chain);
}

/// Unbound as a whole, the context is free, and answers transfer nothing.
fn context_unbound(bench: &mut Bench, core: usize) {
    let chain = chain(bench, core);
    let sc = chain.client.sched().unwrap().cap();
    sc.unbind().unwrap();
    LEAVE.store(2, Ordering::Relaxed);
    bench.settle(1_000);
    assert_eq!(AT_WORK.load(Ordering::Relaxed), 2);
    sc.bind(chain.second.thread.tcb()).unwrap();
    go_on(bench, 3);
    sc.unbind().unwrap();
    sc.bind(chain.first.thread.tcb()).unwrap();
    go_on(bench, 4);
    assert!(!chain.client.is_finished());
    sc.unbind().unwrap();
    clear(bench, chain);
}
