//! Calls that take long: a more important thread on the same core runs while they are under way, and sees how far they
//! have come. What is deleted in which order, how much between two looks, and which call is not interrupted at all.
//! timeout: 120

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicU64, Ordering};
use core::time::Duration;

use libsel4::abi::{Invocation, ObjectType, Syscall};
use libsel4::{
    BootInfo, Budget, CNode, Cap, CapRights, Error, LargePage, SlotPath, System, Tcb, Thread,
    ThreadBuilder, Untyped, UserContext, VmAttributes, init, root_task, syscall,
};
use tern_target_tests::objects::{info, invoke, kind};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::Bench;

root_task!(main);

const RADIX: u64 = 12;
const SLOTS: u64 = 1 << RADIX;

fn main(boot: &'static BootInfo) {
    let mut bench = Bench::new(boot);
    revoke_in_order(&mut bench.system);
    out_of_budget(&mut bench);
    delete_in_order(&mut bench.system);
    clear_memory(&mut bench.system);
    cancel_goes_on(&mut bench);
}

/// How far the call is: 0 before, 1 during, 2 after it.
struct Progress(AtomicU64);

impl Progress {
    const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    fn now(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

/// Does a long call at a low priority, while another thread of the same core looks every 200 us.
fn observed<L: Send + 'static>(
    system: &mut System,
    progress: &'static Progress,
    call: impl FnOnce() + Send + 'static,
    mut look: impl FnMut() -> Option<L> + Send + 'static,
) -> Vec<L> {
    progress.0.store(0, Ordering::Relaxed);
    let observer = ThreadBuilder::new("observer")
        .priority(200)
        .budget(Budget::periodic(
            Duration::from_micros(190),
            Duration::from_micros(200),
        ))
        .spawn(system, move || {
            let mut seen = Vec::with_capacity(1000);
            while progress.now() < 2 {
                if progress.now() == 1 && seen.len() < 1000 {
                    seen.extend(look());
                }
                syscall::yield_now();
            }
            seen
        })
        .expect("a thread");
    let caller: Thread<()> = ThreadBuilder::new("caller")
        .priority(100)
        .spawn(system, move || {
            progress.0.store(1, Ordering::Relaxed);
            call();
            progress.0.store(2, Ordering::Relaxed);
        })
        .expect("a thread");
    caller.join(system).expect("to join");
    observer.join(system).expect("to join")
}

/// A CNode full of endpoints, made in the order of their slots.
fn filled(system: &mut System, objects: Cap<Untyped>) -> Cap<CNode> {
    let node = system.cnode(RADIX as u8).expect("a CNode");
    for start in (0..SLOTS).step_by(256) {
        let path = SlotPath::new(node, 0, 0);
        objects
            .retype(ObjectType::Endpoint, 0, path, start, 256)
            .expect("endpoints");
    }
    node
}

/// Whether a slot is full: a copy of nothing to it says so.
fn is_full(node: Cap<CNode>, index: u64, empty: SlotPath) -> bool {
    let copied = SlotPath::new(node, index, RADIX).copy_from(&empty, CapRights::all());
    copied == Err(Error::DeleteFirst)
}

/// How many slots are full, when those are the first ones.
fn full_slots(node: Cap<CNode>, empty: SlotPath) -> u64 {
    let (mut full, mut gone) = (0, SLOTS);
    while full < gone {
        let middle = (full + gone) / 2;
        if is_full(node, middle, empty) {
            full = middle + 1;
        } else {
            gone = middle;
        }
    }
    full
}

fn revoke_in_order(system: &mut System) {
    static PROGRESS: Progress = Progress::new();
    rows(&[
        "revoke.front-first",
        "revoke.preemptible",
        "revoke.partial",
        "untyped.children.order",
        "limit.work-units",
    ]);
    let objects = system.untyped(16).expect("memory");
    let node = filled(system, objects);
    let empty = system.slot().expect("a slot");
    let is_full = move |index| is_full(node, index, empty);
    let look = move || {
        // Later objects come first, so the full slots are those below some number.
        let full = full_slots(node, empty);
        for step in 1..20 {
            let below = full.saturating_sub(step * step * 11);
            let above = full + step * step * 11 - 1;
            assert!(below >= full || is_full(below), "{below} of {full}");
            assert!(above >= SLOTS || !is_full(above), "{above} of {full}");
        }
        Some(full)
    };
    let seen = observed(
        system,
        &PROGRESS,
        move || objects.slot().revoke().expect("to revoke"),
        look,
    );
    assert!((0..SLOTS).all(|index| !is_full(index)), "complete");
    let inside: Vec<u64> = seen
        .iter()
        .copied()
        .filter(|&full| full > 0 && full < SLOTS)
        .collect();
    assert!(
        inside.len() > 4,
        "it was interrupted {} times",
        inside.len()
    );
    for pair in inside.windows(2) {
        assert!(
            pair[1] < pair[0] && (pair[0] - pair[1]) % 10 == 0,
            "{inside:?}"
        );
    }
    system.free_slot(empty);
    system.destroy(objects).expect("to destroy");
    system.destroy(node).expect("to destroy");
}

/// A thread whose budget ends in the middle of a call goes on with the next one. It uses what it has, and what the work
/// between two looks takes.
fn out_of_budget(bench: &mut Bench) {
    row("revoke.budget");
    let objects = bench.system.untyped(16).expect("memory");
    let node = filled(&mut bench.system, objects);
    let empty = bench.system.slot().expect("a slot");
    let caller: Thread<Result<(), Error>> = ThreadBuilder::new("caller")
        .priority(100)
        .budget(Budget::periodic(
            Duration::from_micros(300),
            Duration::from_micros(10_000),
        ))
        .spawn(&mut bench.system, move || {
            // The rest of this budget goes to the thread's beginning.
            syscall::yield_now();
            objects.slot().revoke()
        })
        .expect("a thread");
    let sc = caller.sched().expect("made with it").cap();
    let (mut steps, mut last) = (0, SLOTS);
    while !caller.is_finished() {
        bench.sleep(10_000);
        let used = sc.consumed().expect("its time");
        assert!(used <= Duration::from_micros(400), "{used:?}");
        let left = full_slots(node, empty);
        if left > 0 && left < last {
            steps += 1;
        }
        last = left;
    }
    assert_eq!(last, 0);
    assert!(steps > 3, "it took {steps} budgets");
    assert_eq!(caller.join(&mut bench.system).expect("to join"), Ok(()));
    bench.system.free_slot(empty);
    bench.system.destroy(objects).expect("to destroy");
    bench.system.destroy(node).expect("to destroy");
}

/// Whether nothing is in memory: what is asked is too large in any case.
fn is_free(memory: Cap<Untyped>) -> bool {
    let words = [ObjectType::Untyped as u64, 47, 0, 0, 0, 1];
    let root = init::CNODE.bits();
    let seen = invoke(memory.bits(), Invocation::UntypedRetype, &[root], &words);
    assert_eq!(seen.label, 10, "too large");
    seen.words[0] > 0
}

fn delete_in_order(system: &mut System) {
    static PROGRESS: Progress = Progress::new();
    rows(&["delete.cnode.order", "delete.preemptible", "final.cnode"]);
    const MARKS: usize = 8;
    let objects = system.untyped(16).expect("memory");
    let node = filled(system, objects);
    // Here and there an object that has memory of its own, so that its end can be seen.
    let marks: [Cap<Untyped>; MARKS] = core::array::from_fn(|_| system.untyped(4).expect("memory"));
    for (mark, place) in marks.iter().zip(0..) {
        let at = SlotPath::new(node, place * (SLOTS / MARKS as u64) + 7, RADIX);
        at.delete().expect("to delete");
        mark.retype(
            ObjectType::Endpoint,
            0,
            SlotPath::new(node, 0, 0),
            at.index,
            1,
        )
        .expect("an endpoint");
    }
    let seen = observed(
        system,
        &PROGRESS,
        move || node.slot().delete().expect("to delete"),
        move || Some((kind(node.slot()), marks.map(is_free))),
    );
    assert!(marks.map(is_free) == [true; MARKS] && is_free(objects));
    let mut steps = 0;
    for (kind, free) in seen {
        // The free ones are at the end.
        let first = free.iter().position(|&free| free).unwrap_or(MARKS);
        assert!(free[first..].iter().all(|&free| free), "{free:?}");
        steps += u64::from(first > 0 && first < MARKS);
        assert!(first == MARKS || kind == 18 || kind == 0, "kind {kind}");
    }
    assert!(steps > 4, "it was interrupted {steps} times");
    system.destroy(objects).expect("to destroy");
    for mark in marks {
        system.destroy(mark).expect("to destroy");
    }
    system.destroy(node).expect("to destroy");
}

fn clear_memory(system: &mut System) {
    static PROGRESS: Progress = Progress::new();
    rows(&["object.memory.clear-preemptible", "object.memory.zero"]);
    const PAGES: usize = 8;
    let memory = system.untyped(24).expect("memory");
    let node = system.cnode(3).expect("a CNode");
    let slots: [SlotPath; PAGES] = core::array::from_fn(|_| system.slot().expect("a slot"));
    let make = move || {
        memory
            .retype(
                ObjectType::LargePage,
                0,
                SlotPath::new(node, 0, 0),
                0,
                PAGES as u64,
            )
            .expect("pages");
    };
    // Addresses with no tables for small pages from before.
    let start = system.addresses(1 << 30, 1 << 30).expect("addresses").start;
    let map = |system: &mut System| {
        for (slot, place) in slots.iter().zip(0..) {
            let from = SlotPath::new(node, place, 3);
            slot.move_from(&from).expect("to move");
            let page = Cap::<LargePage>::from_bits(slot.index);
            let vaddr = start + ((place as usize) << 21);
            let attributes = VmAttributes::default();
            system
                .map_at(init::VSPACE, page, vaddr, CapRights::all(), attributes)
                .expect("to map");
        }
    };
    let words = || (start..start + (PAGES << 21)).step_by(8);
    make();
    map(system);
    for word in words() {
        // SAFETY: the pages are mapped there, and nobody else uses them.
        unsafe { (word as *mut u64).write_volatile(0x0101_0101_0101_0101) };
    }
    memory.slot().revoke().expect("to revoke");
    let seen = observed(system, &PROGRESS, make, || Some(()));
    assert!(seen.len() > 4, "it was interrupted {} times", seen.len());
    map(system);
    for word in words() {
        // SAFETY: as above.
        let value = unsafe { (word as *const u64).read_volatile() };
        assert_eq!(value, 0, "at {word:#x}");
    }
    system.destroy(node).expect("to destroy");
    system.destroy(memory).expect("to destroy");
}

/// Code of the canceller: some time, the system call that is in its registers, and then nothing.
#[unsafe(naked)]
extern "C" fn spin_call_spin() -> ! {
    core::arch::naked_asm!(
        "2: subs x9, x9, #1",
        "b.ne 2b",
        ".global canceller_call",
        "canceller_call: svc #0",
        "b ."
    )
}

#[unsafe(naked)]
extern "C" fn system_call() -> ! {
    core::arch::naked_asm!("svc #0", "b .")
}

unsafe extern "C" {
    safe fn canceller_call();
}

/// Sending the senders of a badge away can be interrupted, and goes on: all that were there are sent away.
fn cancel_goes_on(bench: &mut Bench) {
    rows(&["cnode.cancel.preemptible", "cnode.cancel.badge"]);
    const SENDERS: usize = 500;
    let endpoint = bench.system.endpoint().expect("an endpoint");
    let badged = bench
        .system
        .mint(endpoint, CapRights::all(), 3)
        .expect("a badge");
    let sc = bench.sched_context(0);
    let memory = bench.system.untyped(20).expect("memory");
    let new_thread = |system: &mut System, memory: Cap<Untyped>| {
        let slot = system.slot().expect("a slot");
        memory
            .retype_into(ObjectType::Tcb, 0, init::CNODE, slot.index)
            .expect("a thread");
        let tcb = Tcb::at(slot.index);
        tcb.configure(init::CNODE, 0, init::VSPACE, 0, None)
            .expect("to configure");
        tcb
    };
    let sender = UserContext {
        pc: system_call as *const () as u64,
        x0: badged.bits(),
        x1: info(9, 0, 0),
        x7: Syscall::Send as u64,
        ..UserContext::default()
    };
    let senders: Vec<Cap<Tcb>> = (0..SENDERS)
        .map(|_| {
            let tcb = new_thread(&mut bench.system, memory);
            tcb.set_sched_params(init::TCB, 0, 100, Some(sc), None)
                .expect("a budget");
            tcb.write_registers(true, &sender).expect("to start");
            bench.sleep(400);
            sc.unbind().expect("to unbind");
            tcb
        })
        .collect();
    let canceller = new_thread(&mut bench.system, memory);
    canceller
        .set_sched_params(init::TCB, 0, 100, Some(sc), None)
        .expect("a budget");
    let call = canceller_call as *const () as u64;
    let observer = ThreadBuilder::new("observer")
        .priority(200)
        .budget(Budget::periodic(
            Duration::from_micros(25),
            Duration::from_micros(30),
        ))
        .spawn(&mut bench.system, move || {
            let mut seen = (0, 0, 0);
            while seen.2 < 3 {
                match canceller.read_registers(false).expect("registers").pc {
                    at if at < call => seen.0 += 1,
                    at if at == call => seen.1 += 1,
                    _ => seen.2 += 1,
                }
                syscall::yield_now();
            }
            seen
        })
        .expect("a thread");
    let context = UserContext {
        pc: spin_call_spin as *const () as u64,
        x0: init::CNODE.bits(),
        x1: info(Invocation::CNodeCancelBadgedSends.label(), 0, 2),
        x2: badged.bits(),
        x3: 64,
        x7: Syscall::Call as u64,
        x9: 100_000,
        ..UserContext::default()
    };
    canceller.write_registers(true, &context).expect("to start");
    let (before, during, after) = observer.join(&mut bench.system).expect("to join");
    assert!(before > 3 && after == 3, "{before} before");
    assert!(during > 0, "never seen in the middle of the call");
    canceller.suspend().expect("to suspend");
    // All of them are gone from the endpoint; with time they would send again.
    assert_eq!(endpoint.poll().label(), 0);
    sc.unbind().expect("to unbind");
    for sender in senders.iter().take(3) {
        sc.bind(*sender).expect("it does not wait");
        assert_eq!(endpoint.wait().label(), 9, "sent again");
        sc.unbind().expect("to unbind");
    }
    bench.system.destroy(memory).expect("to destroy");
}
