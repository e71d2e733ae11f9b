//! Who runs next on one core: each rule of where a thread joins its queue, and of when it is switched to directly.
//!
//! cores: 1 2
//! icount: both

#![no_std]
#![no_main]

extern crate alloc;

use alloc::boxed::Box;
use alloc::vec::Vec;

use libsel4::{
    BootInfo, Cap, Message, Notification, Tcb, Thread, ThreadBuilder, init, root_task, syscall,
    thread_block,
};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::{Bench, LONG_SLICE, Log};

root_task!(main);

type Body = Box<dyn FnOnce() + Send>;

/// Threads that wait at their gates.
struct Cast {
    threads: Vec<(Thread<()>, Cap<Notification>)>,
}

impl Cast {
    fn new(bench: &mut Bench, roles: Vec<(u8, Body)>) -> Self {
        let threads = roles
            .into_iter()
            .map(|(priority, body)| {
                let builder = ThreadBuilder::new("role")
                    .priority(priority)
                    .mc_priority(200)
                    .budget(LONG_SLICE);
                bench.gated(builder, body)
            })
            .collect();
        Self { threads }
    }

    fn tcb(&self, index: usize) -> Cap<Tcb> {
        self.threads[index].0.tcb()
    }

    /// Opens the gates in this order. The root task is above all of them, so nobody runs yet.
    fn open(&self, order: &[usize]) {
        for &index in order {
            self.threads[index].1.signal();
        }
    }

    fn end(self, bench: &mut Bench, log: &Log, expected: &[u64]) {
        for (thread, _) in self.threads {
            thread.join(&mut bench.system).unwrap();
        }
        log.take(expected);
    }
}

fn role(priority: u8, body: impl FnOnce() + Send + 'static) -> (u8, Body) {
    (priority, Box::new(body))
}

fn three(log: &'static Log) -> Vec<(u8, Body)> {
    (1..=3)
        .map(|number| role(100, move || log.push(number)))
        .collect()
}

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    let log = Log::new();
    row("sched.yield.round-robin");
    yield_is_to_the_tail(&mut bench, log);
    rows(&["sched.queue.preempted", "sched.decide.current-first"]);
    preempted_is_at_the_head(&mut bench, log);
    rows(&["sched.queue.equal-wake", "sched.decide.equal"]);
    equal_is_woken_to_the_tail(&mut bench, log);
    row("tern.wake.fifo");
    lower_are_woken_in_turn(&mut bench, log);
    rows(&["sched.decide.direct", "reply-chain.reply.order"]);
    call_and_reply_switch_directly(&mut bench, log, false);
    call_and_reply_switch_directly(&mut bench, log, true);
    rows(&[
        "sched.queue.resume",
        "sched.queue.priority",
        "sched.queue.configure",
        "sched.queue.bind",
        "sched.queue.domain",
    ]);
    operations_queue_at_the_head(&mut bench, log);
    row("sched.priority.current");
    own_priority(&mut bench, log);
    row("sched.switch.second");
    higher_wins(&mut bench, log);
}

fn yield_is_to_the_tail(bench: &mut Bench, log: &'static Log) {
    let roles = (1..=3).map(|number| {
        role(100, move || {
            for turn in 0..3 {
                log.push(10 * turn + number);
                syscall::yield_now();
            }
        })
    });
    let cast = Cast::new(bench, roles.collect());
    cast.open(&[0, 1, 2]);
    cast.end(bench, log, &[1, 2, 3, 11, 12, 13, 21, 22, 23]);
}

fn preempted_is_at_the_head(bench: &mut Bench, log: &'static Log) {
    let wake = bench.system.notification().unwrap();
    let roles = [
        role(100, move || {
            log.push(1);
            wake.signal();
            log.push(2);
        }),
        role(100, move || log.push(3)),
        role(110, move || {
            wake.wait();
            log.push(9);
        }),
    ];
    let cast = Cast::new(bench, roles.into());
    cast.open(&[0, 1, 2]);
    cast.end(bench, log, &[1, 9, 2, 3]);
}

fn equal_is_woken_to_the_tail(bench: &mut Bench, log: &'static Log) {
    let wake = [(); 2].map(|()| bench.system.notification().unwrap());
    let endpoint = bench.system.endpoint().unwrap();
    let roles = [
        role(100, move || {
            wake.iter().for_each(|wake| wake.signal());
            endpoint.nb_send(Message::new(0));
            log.push(1);
        }),
        role(100, move || log.push(2)),
        role(100, move || {
            wake[0].wait();
            log.push(3);
        }),
        role(100, move || {
            wake[1].wait();
            log.push(4);
        }),
        role(100, move || {
            endpoint.wait();
            log.push(5);
        }),
    ];
    let cast = Cast::new(bench, roles.into());
    cast.open(&[2, 3, 4, 0, 1]);
    cast.end(bench, log, &[1, 2, 3, 4, 5]);
}

/// First in, first out, whether the waker is of higher priority or not.
fn lower_are_woken_in_turn(bench: &mut Bench, log: &'static Log) {
    let cast = Cast::new(bench, three(log));
    cast.open(&[0, 1, 2]);
    cast.end(bench, log, &[1, 2, 3]);
    let cast = Cast::new(bench, three(log));
    cast.open(&[2, 0, 1]);
    cast.end(bench, log, &[3, 1, 2]);
}

/// A thread that blocks in a call or a reply goes on with its partner, before others of the priority.
fn call_and_reply_switch_directly(bench: &mut Bench, log: &'static Log, passive: bool) {
    let answer = move |received: libsel4::Received| {
        log.push(8);
        Message::new(received.label())
    };
    let server = if passive {
        bench.passive_server("server", 0, 100, answer)
    } else {
        bench.active_server("server", 0, 100, answer)
    };
    let endpoint = server.endpoint;
    let roles = [
        role(100, move || {
            log.push(1);
            endpoint.call(Message::new(0));
            log.push(2);
        }),
        role(100, move || log.push(3)),
    ];
    let cast = Cast::new(bench, roles.into());
    cast.open(&[0, 1]);
    cast.end(bench, log, &[1, 8, 2, 3]);
    server.thread.destroy(&mut bench.system).unwrap();
}

/// Resume, SetPriority, Bind, Configure and DomainSet_Set put a thread at the head.
fn operations_queue_at_the_head(bench: &mut Bench, log: &'static Log) {
    let cast = Cast::new(bench, three(log));
    cast.open(&[0, 1, 2]);
    for index in 0..3 {
        cast.tcb(index).suspend().unwrap();
    }
    for index in 0..3 {
        cast.tcb(index).resume().unwrap();
    }
    cast.end(bench, log, &[3, 2, 1]);

    let cast = Cast::new(bench, three(log));
    cast.open(&[0, 1, 2]);
    cast.tcb(2).set_priority(init::TCB, 100).unwrap();
    cast.end(bench, log, &[3, 1, 2]);

    let cast = Cast::new(bench, three(log));
    cast.open(&[0, 1, 2]);
    init::DOMAIN_SET.set(0, cast.tcb(2)).unwrap();
    cast.end(bench, log, &[3, 1, 2]);

    let cast = Cast::new(bench, three(log));
    cast.open(&[0, 1, 2]);
    let sc = cast.threads[1].0.sched().unwrap().cap();
    bench.move_unsliced(sc, 0);
    cast.end(bench, log, &[2, 1, 3]);

    let cast = Cast::new(bench, three(log));
    cast.open(&[0, 1, 2]);
    for index in [1, 2] {
        let (tcb, sc) = (
            cast.tcb(index),
            cast.threads[index].0.sched().unwrap().cap(),
        );
        sc.unbind().unwrap();
        sc.bind(tcb).unwrap();
    }
    cast.end(bench, log, &[3, 2, 1]);
}

/// The running thread that lowers its priority is before others of the new one.
fn own_priority(bench: &mut Bench, log: &'static Log) {
    let roles = [
        role(100, move || {
            let me = thread_block::current().unwrap().tcb();
            log.push(1);
            me.set_priority(me, 90).unwrap();
            log.push(2);
            me.set_priority(me, 100).unwrap();
            log.push(3);
        }),
        role(100, move || log.push(4)),
        role(90, move || log.push(5)),
    ];
    let cast = Cast::new(bench, roles.into());
    cast.open(&[2, 0, 1]);
    cast.end(bench, log, &[1, 4, 2, 3, 5]);
}

/// Several threads of different priorities are woken in one go, the highest last.
fn higher_wins(bench: &mut Bench, log: &'static Log) {
    let wake = [(); 3].map(|()| bench.system.notification().unwrap());
    let mut roles: Vec<(u8, Body)> = wake
        .iter()
        .zip([110, 120, 130])
        .map(|(&wake, priority)| {
            role(priority, move || {
                wake.wait();
                log.push(u64::from(priority));
            })
        })
        .collect();
    roles.push(role(140, move || {
        wake.iter().for_each(|wake| wake.signal());
        log.push(140);
    }));
    let cast = Cast::new(bench, roles);
    cast.open(&[0, 1, 2]);
    bench.settle(3_000);
    cast.open(&[3]);
    cast.end(bench, log, &[140, 130, 120, 110]);
}
