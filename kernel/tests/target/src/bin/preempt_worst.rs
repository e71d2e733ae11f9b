//! The longest stretch with interrupts masked, for each kind of work whose size a program decides: the figures of
//! docs/limits.md. On one core, where the emulator's count of instructions is that core's own.
//!
//! cores: 1
//! config: TRACK_MASKED=true
//! config: ROOT_CNODE_SIZE_BITS=15
//! timeout: 240

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::time::Duration;

use libsel4::abi::ObjectType;
use libsel4::{
    AsidPool, BootInfo, Budget, Cap, CapRights, Endpoint, LargePage, Message, SlotPath, System,
    ThreadBuilder, VSpace, VmAttributes, init, println, root_task, syscall, time,
};
use tern_target_tests::crowd::{Crowd, Funds, sender, waiter, yielder};
use tern_target_tests::masked;
use tern_target_tests::objects::object;
use tern_target_tests::rows::{row, rows};

root_task!(main, heap = 4 << 20);

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    init::TCB.set_priority(init::TCB, 100).expect("lower");
    // Something more urgent all the time, at no fixed distance from anything.
    ThreadBuilder::new("ticker")
        .priority(200)
        .budget(Budget::periodic(
            Duration::from_micros(20),
            Duration::from_micros(103),
        ))
        .spawn::<(), _>(&mut system, || {
            loop {
                syscall::yield_now();
            }
        })
        .expect("a thread");
    if true {
        rows(&[
            "preempt.masked.delete-endpoint",
            "preempt.masked.priorities",
            "preempt.masked.delete-notification",
            "preempt.masked.cancel-badged",
        ]);
        queues(&mut system);
    }
    row("preempt.masked.call");
    ordinary(&mut system);
    rows(&[
        "preempt.masked.revoke",
        "preempt.masked.delete-cnode",
        "preempt.masked.delete-threads",
    ]);
    capabilities(&mut system);
    row("preempt.masked.clear");
    memory(&mut system);
    row("preempt.masked.retype");
    retype(&mut system);
    queues(&mut system);
    row("preempt.masked.cache");
    caches(&mut system);
    row("preempt.masked.asid-pool");
    asids(&mut system);
    row("preempt.masked.due");
    due_at_once(&mut system);
    row("preempt.masked.refills");
    refills(&mut system);
}

/// For retype of as many objects as the interface allows, which is not interrupted.
const RETYPE_LIMIT: u64 = 150_000;
/// For what unites or moves pieces of a budget: so much for each. The debug profile's assertions look at all of them.
const PIECE_LIMIT: u64 = 60;

/// Does it, prints what it cost, and judges.
fn measure(what: &str, work: impl FnOnce()) {
    measure_at_most(masked::LIMIT, what, work);
}

/// The same with a limit of its own.
fn measure_at_most(limit: u64, what: &str, work: impl FnOnce()) {
    masked::reset();
    work();
    let longest = masked::longest(0);
    println!("{what:<44} {longest}");
    assert!(longest.whole < limit, "{what}: {longest}");
}

fn ordinary(system: &mut System) {
    measure("nothing but the ticker", || {
        for _ in 0..300 {
            syscall::yield_now();
        }
    });
    let endpoint = system.endpoint().expect("an endpoint");
    let reply = system.reply().expect("a reply object");
    ThreadBuilder::new("server")
        .priority(150)
        .spawn::<(), _>(system, move || {
            let mut received = endpoint.recv(reply);
            loop {
                let answer = (0..120).fold(Message::new(0), |m, i| m.word(i));
                let _ = received;
                received = endpoint.reply_recv(answer, reply);
            }
        })
        .expect("a thread");
    measure("call and reply of 120 words", || {
        for _ in 0..50 {
            let message = (0..120).fold(Message::new(0), |m, i| m.word(i));
            endpoint.call(message);
        }
    });
}

fn capabilities(system: &mut System) {
    let endpoint = system.endpoint().expect("an endpoint");
    let copies: Vec<SlotPath> = (0..10_000)
        .map(|number| {
            let slot = system.slot().expect("a slot");
            slot.mint_from(&endpoint.slot(), CapRights::all(), number)
                .expect("minted");
            slot
        })
        .collect();
    measure("revoke of 10,000 capabilities", || {
        endpoint.slot().revoke().expect("revoked");
    });
    copies.into_iter().for_each(|slot| system.free_slot(slot));

    let objects = system.untyped(17).expect("memory");
    let node = system.cnode(13).expect("a CNode");
    for start in (0..1 << 13).step_by(256) {
        objects
            .retype(
                ObjectType::Endpoint,
                0,
                SlotPath::new(node, 0, 0),
                start,
                256,
            )
            .expect("endpoints");
    }
    measure("delete of a CNode with 8,192 objects", || {
        node.slot().delete().expect("deleted");
    });

    let threads = system.untyped(19).expect("memory");
    let node = system.cnode(8).expect("a CNode");
    threads
        .retype(ObjectType::Tcb, 0, SlotPath::new(node, 0, 0), 0, 256)
        .expect("threads");
    measure("revoke of 256 threads", || {
        threads.slot().revoke().expect("revoked");
    });
}

fn memory(system: &mut System) {
    let memory = system.untyped(26).expect("memory");
    let slot = system.slot().expect("a slot");
    for what in ["retype of 64 MiB, fresh", "retype of 64 MiB, used before"] {
        measure(what, || {
            memory
                .retype_into(ObjectType::Untyped, 26, init::CNODE, slot.index)
                .expect("memory");
        });
        slot.delete().expect("deleted");
    }
    system.free_slot(slot);
    system.destroy(memory).expect("destroyed");
}

fn retype(system: &mut System) {
    let node = system.cnode(8).expect("a CNode");
    let mut many = |what, kind, size, bits: u8| {
        let memory = system.untyped(bits + 8).expect("memory");
        measure_at_most(RETYPE_LIMIT, what, || {
            memory
                .retype(kind, size, SlotPath::new(node, 0, 0), 0, 256)
                .expect("objects");
        });
        system.destroy(memory).expect("destroyed");
    };
    many("retype of 256 endpoints", ObjectType::Endpoint, 0, 4);
    many("retype of 256 pages", ObjectType::SmallPage, 0, 12);
    many(
        "retype of 256 scheduling contexts",
        ObjectType::SchedContext,
        7,
        7,
    );
    many("retype of 256 threads", ObjectType::Tcb, 0, 11);
}

fn queues(system: &mut System) {
    let handler = system.endpoint().expect("an endpoint");
    for (what, funds) in [
        ("delete of an endpoint, 1,000 senders wake", Funds::Own),
        ("delete of an endpoint, 1,000 senders stay", Funds::Shared),
    ] {
        let crowd = Crowd::new(system, 1_000, funds, handler);
        let endpoint = system.endpoint().expect("an endpoint");
        measure("1,000 threads queue", || {
            crowd.queue(|number| sender(endpoint, number as u64));
        });
        measure(what, || endpoint.slot().delete().expect("deleted"));
        crowd.destroy(system);
    }
    let crowd = Crowd::new(system, 1_000, Funds::Own, handler);
    let notification = system.notification().expect("a notification");
    crowd.queue(|_| waiter(notification));
    measure("delete of a notification, 1,000 waiters wake", || {
        notification.slot().delete().expect("deleted");
    });
    crowd.destroy(system);
    priorities(system, handler);
    for (what, matching) in [
        ("cancel badged sends, none of 2,000", 5),
        ("cancel badged sends, all of 2,000", 4),
    ] {
        let crowd = Crowd::new(system, 2_000, Funds::Own, handler);
        let endpoint = system.endpoint().expect("an endpoint");
        let badged = system.mint(endpoint, CapRights::all(), 4).expect("minted");
        let other = system.mint(endpoint, CapRights::all(), matching);
        let other = other.expect("minted");
        crowd.queue(|number| sender(badged, number as u64));
        measure(what, || {
            other.slot().cancel_badged_sends().expect("cancelled");
        });
        crowd.destroy(system);
        system.destroy(endpoint).expect("destroyed");
    }
}

/// A queue with as many priorities as this test may give, joined by a thread of the lowest.
fn priorities(system: &mut System, handler: Cap<Endpoint>) {
    const FIRST: u8 = 101;
    const PRIORITIES: usize = 150;
    let crowd = Crowd::new(system, PRIORITIES, Funds::Shared, handler);
    let endpoint = system.endpoint().expect("an endpoint");
    for (number, tcb) in crowd.threads.iter().enumerate() {
        let priority = FIRST + (PRIORITIES - 1 - number) as u8;
        tcb.set_priority(init::TCB, priority).expect("set");
    }
    measure("a thread queues behind 149 priorities", || {
        crowd.queue(|number| sender(endpoint, number as u64));
    });
    for number in 0..PRIORITIES {
        assert_eq!(endpoint.poll().label(), number as u64, "by priority");
    }
    crowd.destroy(system);
}

fn caches(system: &mut System) {
    let page = object::<LargePage>(system);
    system
        .map(page, CapRights::READ_WRITE, VmAttributes::default())
        .expect("mapped");
    measure("clean of 2 MiB", || {
        page.clean_data(0, 1 << 21).expect("done")
    });
    measure("unify of 2 MiB", || {
        page.unify_instruction(0, 1 << 21).expect("done");
    });
}

fn asids(system: &mut System) {
    let memory = system.untyped(12).expect("memory");
    let slot = system.slot().expect("a slot");
    init::ASID_CONTROL.make_pool(memory, &slot).expect("a pool");
    let pool = Cap::<AsidPool>::from_bits(slot.index);
    let spaces: Vec<_> = (0..512).map(|_| object::<VSpace>(system)).collect();
    measure("assign of 512 address spaces", || {
        for vspace in spaces {
            pool.assign(vspace).expect("assigned");
        }
    });
    measure("delete of a pool of 512 address spaces", || {
        slot.delete().expect("deleted");
    });
}

/// Threads whose refills become due at the same moment.
fn due_at_once(system: &mut System) {
    const THREADS: usize = 1_000;
    let handler = system.endpoint().expect("an endpoint");
    let crowd = Crowd::new(system, THREADS, Funds::Own, handler);
    let control = system.boot().sched_control(0);
    let start = time::counter();
    for (tcb, sc) in crowd.threads.iter().zip(crowd.scheds()) {
        // The later it gives up its budget, the shorter its period.
        let passed = time::ticks_to_duration(time::counter() - start).as_micros() as u64;
        control
            .configure(*sc, 50, 400_000 - passed, 0, 0)
            .expect("a budget");
        tcb.write_registers(true, &yielder()).expect("started");
    }
    measure("1,000 threads become due", || {
        spend(Duration::from_millis(1_000));
    });
    crowd.destroy(system);
}

fn spend(time: Duration) {
    let start = time::counter();
    while time::ticks_to_duration(time::counter() - start) < time {}
}

/// A scheduling context whose budget fell into many pieces, all of which are due.
fn refills(system: &mut System) {
    const PIECES: u64 = 2_000;
    const PIECES_LIMIT: u64 = masked::LIMIT + PIECES * PIECE_LIMIT;
    let sc = system.sched_context(PIECES).expect("a scheduling context");
    let control = system.boot().sched_control(0);
    control
        .configure(sc, 900_000, 1_000_000, PIECES, 0)
        .expect("configured");
    let wake = system.notification().expect("a notification");
    let thread = ThreadBuilder::new("pieces")
        .priority(150)
        .spawn::<(), _>(system, move || {
            loop {
                wake.wait();
                spend(Duration::from_micros(60));
            }
        })
        .expect("a thread");
    let own = thread.sched().expect("a scheduling context").cap();
    own.unbind().expect("unbound");
    sc.bind(thread.tcb()).expect("bound");
    measure_at_most(PIECES_LIMIT, "a budget falls into 2,000 pieces", || {
        for _ in 0..PIECES + 10 {
            wake.signal();
            spend(Duration::from_micros(80));
        }
    });
    spend(Duration::from_millis(1_200));
    measure_at_most(PIECES_LIMIT, "2,000 pieces are united", || {
        wake.signal();
    });
    for _ in 0..PIECES + 10 {
        wake.signal();
        spend(Duration::from_micros(80));
    }
    measure_at_most(
        PIECES_LIMIT,
        "2,000 pieces are given up for another budget",
        || {
            control
                .configure(sc, 800_000, 1_000_000, 10, 0)
                .expect("configured");
        },
    );
}
