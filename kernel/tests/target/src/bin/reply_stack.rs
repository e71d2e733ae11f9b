//! A chain of four: client, first, second, third server, all on the client's scheduling context. What moves, and what stays,
//! when a call in the middle is answered by somebody else, cancelled, or loses its reply object; and when the context is
//! taken from the last server. (Chains that move between cores: `smp_chain`. Single calls: `reply_rules`.)
//!
//! cores: 1 2 4

#![no_std]
#![no_main]

use core::sync::atomic::{AtomicU64, Ordering};

use libsel4::{
    BootInfo, Cap, Message, SchedContext, Thread, ThreadBuilder, init, root_task, syscall,
};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::{Bench, Log, Server, affinity};

root_task!(main, heap = 2 << 20);

/// Lets the third server answer.
static LEAVE: AtomicU64 = AtomicU64::new(0);

struct Chain {
    client: Thread<u64>,
    servers: [Server; 4],
    /// 1 to 3: a server was called. 13, 12, 11: it has its answer and gives its own.
    log: &'static Log,
    sc: Cap<SchedContext>,
    core: usize,
}

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    for core in 0..bench.cores() {
        row("reply-chain.push");
        unbroken(&mut bench, core);
        rows(&["reply-chain.delete.lower", "reply-chain.delete.orphans"]);
        middle_reply_deleted(&mut bench, core);
        row("reply-chain.reply.lower");
        lower_answered(&mut bench, core);
        row("reply-chain.cancel.lower");
        middle_cancelled(&mut bench, core, false);
        row("reply-chain.cancel.resumed");
        middle_cancelled(&mut bench, core, true);
        row("reply-chain.cancel.head");
        newest_caller_suspended(&mut bench, core);
        row("reply-chain.sc.unbind-object");
        taken_from_the_last(&mut bench, core);
        row("reply-chain.reused");
        reply_object_reused(&mut bench, core);
        row("reply-chain.reply.replier");
        replier_goes_on(&mut bench, core);
        row("reply-chain.tcb.deleted");
        thread_deleted(&mut bench, core);
    }
}

fn server(
    bench: &mut Bench,
    number: u64,
    priority: u8,
    log: &'static Log,
    next: Option<&Server>,
) -> Server {
    let next = next.map(|server| server.endpoint);
    bench.passive_server("server", 0, priority, move |received| {
        log.push(number);
        let label = match next {
            Some(next) if number < 3 || received.label() >= ASIDE => {
                next.call(Message::new(received.label() + 1)).label()
            }
            _ => {
                while LEAVE.load(Ordering::Relaxed) == 0 {}
                received.label() + 1
            }
        };
        log.push(number + 10);
        Message::new(label + 1)
    })
}

/// From this label on, the third server calls a fourth.
const ASIDE: u64 = 100;

/// The third server is at work.
fn chain(bench: &mut Bench, core: usize) -> Chain {
    LEAVE.store(0, Ordering::Relaxed);
    let log = Log::new();
    let fourth = server(bench, 4, 125, log, None);
    let third = server(bench, 3, 120, log, Some(&fourth));
    let second = server(bench, 2, 115, log, Some(&third));
    let first = server(bench, 1, 110, log, Some(&second));
    let endpoint = first.endpoint;
    let client = bench.thread("client", core, 100, move || {
        endpoint.call(Message::new(1)).label()
    });
    bench.eventually("the third server", || log.len() == 3);
    log.take(&[1, 2, 3]);
    let sc = client.sched().unwrap().cap();
    Chain {
        client,
        servers: [first, second, third, fourth],
        log,
        sc,
        core,
    }
}

impl Chain {
    fn server(&self, number: usize) -> &Server {
        &self.servers[number - 1]
    }

    /// The third server answers. Then these things happen, and no more.
    #[track_caller]
    fn go_on(&self, bench: &Bench, expected: &[u64]) {
        LEAVE.store(1, Ordering::Relaxed);
        bench.eventually("the answers", || self.log.len() == expected.len());
        bench.settle(2_000);
        self.log.take(expected);
    }

    /// Who has the scheduling context: 0 for the client. It is taken from him.
    #[track_caller]
    fn take_sc_from(&self, number: usize) {
        let tcb = match number {
            0 => self.client.tcb(),
            _ => self.server(number).thread.tcb(),
        };
        self.sc.unbind_thread(tcb).unwrap();
    }

    fn clear(self, bench: &mut Bench) {
        self.client.destroy(&mut bench.system).unwrap();
        for server in self.servers {
            server.thread.destroy(&mut bench.system).unwrap();
            bench.system.destroy(server.endpoint).unwrap();
        }
    }
}

fn unbroken(bench: &mut Bench, core: usize) {
    let chain = chain(bench, core);
    for server in &chain.servers[..3] {
        // Only the last has it.
        let has = chain.sc.unbind_thread(server.thread.tcb()).is_ok();
        assert_eq!(has, server.endpoint == chain.server(3).endpoint);
        if has {
            chain.sc.bind(server.thread.tcb()).unwrap();
        }
    }
    chain.go_on(bench, &[13, 12, 11]);
    assert!(chain.client.is_finished());
    chain.take_sc_from(0);
    assert_eq!(affinity(chain.server(3).thread.tcb()), core);
    chain.clear(bench);
}

/// That on which the first server waits: it becomes inactive. The upper part still returns, to the second server, which is
/// just above the gap and keeps it. The client is orphaned: an answer to it transfers nothing.
fn middle_reply_deleted(bench: &mut Bench, core: usize) {
    let chain = chain(bench, core);
    bench.system.destroy(chain.server(2).reply).unwrap();
    // (The second server's next receive names the object that is gone, and stops it.)
    chain.go_on(bench, &[13, 12]);
    assert!(!chain.client.is_finished());
    chain.server(1).reply.send(Message::new(77));
    bench.settle(2_000);
    assert!(!chain.client.is_finished(), "answered, but without time");
    chain.take_sc_from(2);
    chain.sc.bind(chain.client.tcb()).unwrap();
    bench.eventually("the client", || chain.client.is_finished());
    // The first server is inactive, whatever it gets.
    chain.take_sc_from(0);
    chain.sc.bind(chain.server(1).thread.tcb()).unwrap();
    bench.settle(2_000);
    chain.log.take(&[]);
    chain.take_sc_from(1);
    chain.clear(bench);
}

/// Somebody answers the client while the third server works: no scheduling context moves, and the rest of the chain returns
/// it as far as the first server, which answers nobody.
fn lower_answered(bench: &mut Bench, core: usize) {
    let chain = chain(bench, core);
    chain.server(1).reply.send(Message::new(77));
    bench.settle(2_000);
    assert!(!chain.client.is_finished(), "answered, but without time");
    chain.go_on(bench, &[13, 12, 11]);
    assert!(!chain.client.is_finished());
    chain.take_sc_from(1);
    chain.sc.bind(chain.client.tcb()).unwrap();
    bench.eventually("the client", || chain.client.is_finished());
    assert_eq!(affinity(chain.client.tcb()), chain.core);
    chain.take_sc_from(0);
    chain.clear(bench);
}

/// The first server is suspended, or resumed, as it waits for the second: the stack is split there.
fn middle_cancelled(bench: &mut Bench, core: usize, resumed: bool) {
    let chain = chain(bench, core);
    let first = chain.server(1).thread.tcb();
    if resumed {
        first.resume().unwrap();
    } else {
        first.suspend().unwrap();
    }
    // The second server has it back, and answers nobody.
    chain.go_on(bench, &[13, 12]);
    assert!(!chain.client.is_finished());
    // It remembers nothing of what was below. So it is not given to the next caller, who has one of his own, not even
    // when that loses it before the answer.
    LEAVE.store(0, Ordering::Relaxed);
    let endpoint = chain.server(2).endpoint;
    let visitor = bench.thread("visitor", core, 100, move || {
        endpoint.call(Message::new(1)).label()
    });
    bench.eventually("the visitor's call", || chain.log.len() == 2);
    let own = visitor.sched().unwrap().cap();
    own.unbind().unwrap();
    chain.go_on(bench, &[2, 3, 13, 12]);
    assert!(!visitor.is_finished());
    own.bind(visitor.tcb()).unwrap();
    bench.eventually("the visitor", || visitor.is_finished());
    visitor.destroy(&mut bench.system).unwrap();
    chain.take_sc_from(2);
    // The client's answer now transfers nothing.
    if !resumed {
        first.resume().unwrap();
    }
    // The first server makes its call again, on what it is given.
    chain.sc.bind(first).unwrap();
    bench.eventually("the second try", || chain.log.len() == 5);
    chain.log.take(&[2, 3, 13, 12, 11]);
    bench.settle(1_000);
    assert!(!chain.client.is_finished(), "answered, but without time");
    chain.take_sc_from(1);
    chain.sc.bind(chain.client.tcb()).unwrap();
    bench.eventually("the client", || chain.client.is_finished());
    chain.take_sc_from(0);
    chain.clear(bench);
}

/// The second server's call is the newest. The third one keeps the context, and nothing goes back to anybody below.
fn newest_caller_suspended(bench: &mut Bench, core: usize) {
    let chain = chain(bench, core);
    chain.server(2).thread.suspend().unwrap();
    chain.go_on(bench, &[13]);
    // Nor is anybody below remembered when it is lent on from there and comes back.
    let endpoint = chain.server(3).endpoint;
    let visitor = bench.thread("visitor", core, 100, move || {
        endpoint.call(Message::new(ASIDE)).label()
    });
    bench.eventually("the visitor", || visitor.is_finished());
    chain.log.take(&[3, 4, 14, 13]);
    visitor.destroy(&mut bench.system).unwrap();
    // Those below are answered without getting it.
    chain.server(2).reply.send(Message::new(70));
    chain.server(1).reply.send(Message::new(71));
    bench.settle(2_000);
    chain.log.take(&[]);
    assert!(!chain.client.is_finished());
    chain.take_sc_from(3);
    chain.sc.bind(chain.client.tcb()).unwrap();
    bench.eventually("the client", || chain.client.is_finished());
    chain.take_sc_from(0);
    chain.clear(bench);
}

/// Nobody gets it, and the stack is kept: it goes down with the answers that somebody else gives.
fn taken_from_the_last(bench: &mut Bench, core: usize) {
    let chain = chain(bench, core);
    chain.take_sc_from(3);
    LEAVE.store(1, Ordering::Relaxed);
    bench.settle(2_000);
    chain.log.take(&[]);
    for number in 0..3 {
        let tcb = match number {
            0 => chain.client.tcb(),
            _ => chain.server(number).thread.tcb(),
        };
        assert!(chain.sc.unbind_thread(tcb).is_err(), "nobody has it");
    }
    chain.server(3).reply.send(Message::new(9));
    bench.eventually("the answers", || chain.client.is_finished());
    chain.log.take(&[12, 11]);
    chain.take_sc_from(0);
    chain.clear(bench);
}

/// The first server's reply object is used by another thread to receive, with a message or without one there.
fn reply_object_reused(bench: &mut Bench, core: usize) {
    for blocking in [true, false] {
        let chain = chain(bench, core);
        let (reply, nobody) = (chain.server(1).reply, bench.system.endpoint().unwrap());
        let thief = bench.thread("thief", 0, 130, move || {
            if blocking {
                nobody.recv(reply);
            } else {
                syscall::nb_recv(nobody.bits(), reply.bits());
            }
        });
        bench.settle(2_000);
        // The client is inactive: the answers come down to the first server.
        chain.go_on(bench, &[13, 12, 11]);
        assert!(!chain.client.is_finished());
        chain.take_sc_from(1);
        chain.sc.bind(chain.client.tcb()).unwrap();
        bench.settle(2_000);
        assert!(!chain.client.is_finished(), "it is inactive");
        thief.destroy(&mut bench.system).unwrap();
        chain.take_sc_from(0);
        chain.clear(bench);
    }
}

/// A server that answers gives its context away, still gets into its receive, and takes the next call on that one's.
fn replier_goes_on(bench: &mut Bench, core: usize) {
    let log = Log::new();
    LEAVE.store(1, Ordering::Relaxed);
    let server = server(bench, 1, 110, log, None);
    let endpoint = server.endpoint;
    for at in [core, bench.cores() - 1 - core] {
        let client = bench.thread("client", at, 100, move || {
            (0..3)
                .map(|turn| endpoint.call(Message::new(turn)).label())
                .sum::<u64>()
        });
        assert_eq!(client.join(&mut bench.system).unwrap(), 9);
        assert_eq!(affinity(server.thread.tcb()), at);
    }
    log.take(&[1, 11, 1, 11, 1, 11, 1, 11, 1, 11, 1, 11]);
    // It waits, passive: there is nothing to take from it, and it may be bound to something.
    let sc = bench.sched_context(core);
    assert!(sc.unbind_thread(server.thread.tcb()).is_err());
    sc.bind(server.thread.tcb()).unwrap();
    bench.system.destroy(sc).unwrap();
    server.thread.destroy(&mut bench.system).unwrap();
}

/// It leaves its notification, its scheduling context and the queue that it waited in.
fn thread_deleted(bench: &mut Bench, core: usize) {
    let endpoint = bench.system.endpoint().unwrap();
    let notification = bench.system.notification().unwrap();
    let [first, doomed, last] = [1, 2, 3].map(|label| {
        let (thread, gate) = bench.gated(ThreadBuilder::new("sender").core(core), move || {
            endpoint.send(Message::new(label));
        });
        gate.signal();
        bench.settle(2_000);
        thread
    });
    let (tcb, sc) = (doomed.tcb(), doomed.sched().unwrap().cap());
    tcb.bind_notification(notification).unwrap();
    tcb.slot().delete().unwrap();
    assert_eq!([endpoint.wait().label(), endpoint.wait().label()], [1, 3]);
    assert_eq!(endpoint.poll().badge, 0);
    init::TCB.bind_notification(notification).unwrap();
    init::TCB.unbind_notification().unwrap();
    sc.bind_notification(notification).unwrap();
    let mut heir = bench.spinner(core, 100);
    bench.make_passive(&mut heir.thread);
    sc.bind(heir.thread.tcb()).unwrap();
    bench.runs(&heir);
    sc.unbind().unwrap();
    heir.thread.destroy(&mut bench.system).unwrap();
    for thread in [first, last] {
        thread.join(&mut bench.system).unwrap();
    }
}
