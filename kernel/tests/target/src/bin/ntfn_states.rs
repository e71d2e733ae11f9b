//! A notification is idle, waited on or active, and its state, not its word, decides: a signal without badge leaves it active
//! with the word 0. Bound to a thread, it interrupts that thread's wait for messages and nothing else. Its waiters are served
//! the highest priority first.
//!
//! cores: 1 2
//! icount: both

#![no_std]
#![no_main]

use libsel4::{BootInfo, CapRights, Error, Message, ThreadBuilder, init, root_task, syscall};
use tern_target_tests::rows::rows;
use tern_target_tests::sched::{Bench, Log};

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    rows(&[
        "ntfn-sc.signal.idle",
        "ntfn-sc.signal.active",
        "ntfn-sc.wait.active",
        "ntfn-sc.state",
        "default.notification",
    ]);
    states(&mut bench);
    rows(&[
        "ntfn-sc.signal.waiting",
        "sched.wait.order",
        "sched.priority.blocked",
    ]);
    waiters(&mut bench);
    rows(&["ntfn-sc.signal.bound", "ntfn-sc.bound-elsewhere"]);
    bound(&mut bench);
    binding(&mut bench);
}

fn states(bench: &mut Bench) {
    let plain = bench.system.notification().unwrap();
    let [one, two] = [1, 2].map(|badge| bench.system.mint(plain, CapRights::all(), badge).unwrap());
    assert_eq!(plain.poll(), 0);
    one.signal();
    assert_eq!((plain.poll(), plain.poll()), (1, 0));
    one.signal();
    two.signal();
    one.signal();
    assert_eq!(plain.wait(), 3);
    // The wait must not block, though the word is 0.
    plain.signal();
    assert_eq!(plain.wait(), 0);
    assert_eq!(plain.poll(), 0);
    // A receive with a reply object that does not exist: it is not looked at.
    two.signal();
    assert_eq!(syscall::recv(plain.bits(), u64::MAX).badge, 2);
    assert_eq!(syscall::nb_recv(plain.bits(), u64::MAX).badge, 0);
    // A call signals and comes back.
    let answer = syscall::call(two.bits(), Message::new(77).word(1));
    assert_eq!((answer.label(), answer.length()), (0, 0));
    assert_eq!(plain.poll(), 2);
    // Without the right to write: nothing, or an error.
    let mute = bench.system.copy(plain, CapRights::READ).unwrap();
    mute.signal();
    assert_eq!(plain.poll(), 0);
    assert_ne!(syscall::call(mute.bits(), Message::new(0)).label(), 0);
    assert_eq!(plain.poll(), 0);
}

/// Each gets the badge of its own signal. The priority that counts is that at the time of the signal.
fn waiters(bench: &mut Bench) {
    let log = Log::new();
    let notification = bench.system.notification().unwrap();
    let priorities = [100, 120, 100, 110, 130];
    let threads: [_; 5] = core::array::from_fn(|index| {
        let thread = bench.thread("waiter", 0, priorities[index], move || {
            log.push(index as u64 * 100 + notification.wait());
        });
        bench.settle(5_000);
        thread
    });
    // The last becomes the least, the first the highest.
    threads[4].set_priority(90).unwrap();
    threads[0].set_priority(140).unwrap();
    for badge in 1..=5 {
        let cap = bench
            .system
            .mint(notification, CapRights::all(), badge)
            .unwrap();
        cap.signal();
        bench.eventually("a waiter", || log.len() == badge as usize);
    }
    log.take(&[1, 102, 303, 204, 405]);
    for thread in threads {
        thread.join(&mut bench.system).unwrap();
    }
}

fn bound(bench: &mut Bench) {
    let plain = bench.system.notification().unwrap();
    let badged = bench.system.mint(plain, CapRights::all(), 0x80).unwrap();
    let endpoint = bench.system.endpoint().unwrap();
    let nobody = bench.system.endpoint().unwrap();
    let reply = bench.system.reply().unwrap();
    let log = Log::new();
    let gate = bench.system.notification().unwrap();
    let thread = bench.thread("bound", 0, 100, move || {
        // Blocked on receive: interrupted.
        log.push(endpoint.recv(reply).badge);
        log.push(endpoint.wait().badge);
        // Blocked on a call or on another notification: not disturbed; seen by the next receive or poll.
        log.push(endpoint.call(Message::new(1)).label());
        log.push(nobody.poll().badge);
        gate.wait();
        log.push(10);
        log.push(syscall::nb_recv(nobody.bits(), reply.bits()).badge);
        log.push(syscall::nb_recv(nobody.bits(), reply.bits()).badge);
        log.push(plain.wait());
    });
    thread.tcb().bind_notification(plain).unwrap();
    // Only the bound thread may wait on it now; for anybody else it is a fault, as seen in another thread.
    let faults = bench.system.endpoint().unwrap();
    let thief = ThreadBuilder::new("thief").fault_handler(faults);
    let thief = thief
        .spawn(&mut bench.system, move || plain.wait())
        .unwrap();
    let answer = bench.system.reply().unwrap();
    let fault = libsel4::Fault::from_received(&faults.recv(answer));
    assert!(
        matches!(
            fault,
            Some(libsel4::Fault::CapFault {
                in_receive: true,
                ..
            })
        ),
        "{fault:?}"
    );
    thief.destroy(&mut bench.system).unwrap();
    bench.settle(2_000);
    for count in 1..=2 {
        badged.signal();
        bench.eventually("the interrupted wait", || log.len() == count);
        bench.settle(2_000);
    }
    badged.signal();
    bench.settle(2_000);
    assert_eq!(log.len(), 2);
    let other = bench.system.reply().unwrap();
    assert_eq!(endpoint.recv(other).label(), 1);
    badged.signal();
    other.send(Message::new(55));
    bench.eventually("the answer", || log.len() == 4);
    bench.settle(2_000);
    badged.signal();
    bench.settle(2_000);
    assert_eq!(log.len(), 4);
    gate.signal();
    bench.eventually("the polls", || log.len() == 7);
    badged.signal();
    thread.join(&mut bench.system).unwrap();
    log.take(&[0x80, 0x80, 55, 0x80, 10, 0x80, 0, 0x80]);
}

fn binding(bench: &mut Bench) {
    let plain = bench.system.notification().unwrap();
    let endpoint = bench.system.endpoint().unwrap();
    let mute = bench.system.copy(plain, CapRights::WRITE).unwrap();
    assert_eq!(
        init::TCB.bind_notification(mute),
        Err(Error::IllegalOperation)
    );
    assert_eq!(
        init::TCB.unbind_notification(),
        Err(Error::IllegalOperation)
    );
    // Bound while active: the signal is seen by the next receive.
    plain.signal();
    init::TCB.bind_notification(plain).unwrap();
    assert_eq!(
        init::TCB.bind_notification(plain),
        Err(Error::IllegalOperation)
    );
    assert_eq!(endpoint.wait().badge, 0);
    // Unbound while active: it stays so.
    plain.signal();
    init::TCB.unbind_notification().unwrap();
    assert_eq!(endpoint.poll().badge, 0);
    assert_eq!(plain.wait(), 0);
    // Not while somebody waits.
    let (thread, gate) = bench.gated(ThreadBuilder::new("waiter"), || ());
    assert_eq!(
        init::TCB.bind_notification(gate),
        Err(Error::IllegalOperation)
    );
    gate.signal();
    thread.join(&mut bench.system).unwrap();
}
