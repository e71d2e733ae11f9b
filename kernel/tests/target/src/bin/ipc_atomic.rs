//! The two phases of a combined call are one step: whoever is woken by the first finds the caller waiting in the second, on
//! whatever core and with whatever priority. Were there a gap, a send that does not wait would be lost in it.
//!
//! cores: 1 2 4
//! icount: both
//! timeout: 20

#![no_std]
#![no_main]

use libsel4::{BootInfo, CapRights, Message, root_task, syscall};
use tern_target_tests::rows::row;
use tern_target_tests::sched::Bench;

root_task!(main);

const TURNS: u64 = 200;
/// What an answer's label has more.
const ANSWER: u64 = 1 << 20;

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    row("ipc.combined.atomic");
    for core in 0..bench.cores() {
        for priority in [90, 100, 110] {
            messages(&mut bench, core, priority);
            signals(&mut bench, core, priority);
        }
    }
}

/// Two threads send to each other without waiting, and receive in the same step.
fn messages(bench: &mut Bench, core: usize, priority: u8) {
    let [ping, pong] = [(); 2].map(|()| bench.system.endpoint().unwrap());
    let reply = bench.system.reply().unwrap();
    let ready = bench.system.notification().unwrap();
    let other = bench.thread("other", core, priority, move || {
        let begin = Message::new(0);
        let mut label = syscall::nb_send_wait(ready.bits(), begin, ping.bits()).label();
        for _ in 1..TURNS {
            let answer = Message::new(label + ANSWER);
            label = syscall::nb_send_wait(pong.bits(), answer, ping.bits()).label();
        }
        pong.send(Message::new(label + ANSWER));
    });
    let first = bench.thread("first", 0, 100, move || {
        ready.wait();
        for turn in 1..=TURNS {
            let message = Message::new(turn);
            let received = match turn % 2 {
                0 => syscall::nb_send_wait(ping.bits(), message, pong.bits()),
                _ => syscall::nb_send_recv(ping.bits(), message, pong.bits(), reply.bits()),
            };
            assert_eq!(received.label(), turn + ANSWER);
        }
    });
    first.join(&mut bench.system).unwrap();
    other.join(&mut bench.system).unwrap();
}

/// One is woken by a signal, and sends to the one that signalled, without waiting.
fn signals(bench: &mut Bench, core: usize, priority: u8) {
    let plain = bench.system.notification().unwrap();
    let signal = bench.system.mint(plain, CapRights::all(), 1).unwrap();
    let endpoint = bench.system.endpoint().unwrap();
    let reply = bench.system.reply().unwrap();
    let ready = bench.system.notification().unwrap();
    let other = bench.thread("other", core, priority, move || {
        ready.signal();
        for turn in 0..TURNS {
            plain.wait();
            endpoint.nb_send(Message::new(turn));
        }
    });
    let first = bench.thread("first", 0, 100, move || {
        ready.wait();
        for turn in 0..TURNS {
            let message = Message::new(0);
            let received = match turn % 2 {
                0 => syscall::nb_send_wait(signal.bits(), message, endpoint.bits()),
                _ => {
                    let (to, at) = (signal.bits(), endpoint.bits());
                    syscall::nb_send_recv(to, message, at, reply.bits())
                }
            };
            assert_eq!(received.label(), turn);
        }
    });
    first.join(&mut bench.system).unwrap();
    other.join(&mut bench.system).unwrap();
}
