//! Changes of an address space while threads of other cores run in it: what is taken away is gone on every core when the
//! call returns, no core is interrupted for it, and replacing a page is no fault for who reads it.
//!
//! cores: 2 4
//! icount: both
//! timeout: 240

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use libsel4::{
    AsidPool, BootInfo, Cap, CapRights, LargePage, PageTable, SmallPage, System, Thread,
    ThreadBuilder, UserContext, VSpace, VmAttributes, init, root_task,
};
use tern_target_tests::objects::{Puppet, Window, object};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::sched::counter;
use tern_target_tests::watch::interrupts;

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    taken_away(&mut system);
    pool_deleted(&mut system);
    interrupts_nobody(&mut system);
    replaced(&mut system);
}

/// Counts in the word at x0.
#[unsafe(naked)]
extern "C" fn write() -> ! {
    core::arch::naked_asm!("2: add x1, x1, #1", "str x1, [x0]", "b 2b")
}

/// Threads of all other cores write to a page without pause. Once the right to do so has been taken away, nothing is
/// written any more, and each of them faults.
fn taken_away(system: &mut System) {
    let attributes = VmAttributes::default();
    let page = object::<SmallPage>(system);
    let size = 1 << 21;
    let place = system.addresses(size, size).expect("addresses").start;
    let vaddr = place as u64;
    let table = object::<PageTable>(system);
    let copy = |system: &mut System| system.copy(page, CapRights::all()).expect("a copy");
    // The tables above, and one of the page's own.
    let large = object::<LargePage>(system);
    system
        .map_at(init::VSPACE, large, place, CapRights::READ, attributes)
        .expect("mapped");
    large.unmap().expect("unmapped");
    table.map(init::VSPACE, vaddr, attributes).expect("mapped");
    let alias = Window::map(system, page);
    let writers: Vec<(Puppet, usize)> = (1..system.cores())
        .map(|core| (Puppet::new(system, core, 100), core * 64))
        .collect();
    for round in 0..8 {
        let target = copy(system);
        let map = |rights| {
            target
                .map(init::VSPACE, vaddr, rights, attributes)
                .expect("mapped");
        };
        map(CapRights::READ_WRITE);
        let words = || -> Vec<u64> {
            writers
                .iter()
                .map(|(_, offset)| alias.read(*offset))
                .collect()
        };
        let before = words();
        for ((writer, offset), &before) in writers.iter().zip(&before) {
            writer.start(&UserContext {
                pc: write as *const () as u64,
                x0: vaddr + *offset as u64,
                x1: before,
                ..UserContext::default()
            });
        }
        while words()
            .iter()
            .zip(&before)
            .any(|(now, before)| now <= before)
        {}
        match round % 4 {
            0 => {
                row("page.unmap.every-core");
                target.unmap().expect("unmapped");
            }
            1 => {
                row("page.map.every-core");
                map(CapRights::READ);
            }
            2 => {
                row("page.delete");
                target.slot().delete().expect("deleted");
            }
            _ => {
                row("page-table.unmap.every-core");
                table.unmap().expect("unmapped");
            }
        }
        let after = words();
        for ((writer, offset), after) in writers.iter().zip(after) {
            let fault = writer.fault();
            assert_eq!(fault.label(), 6);
            assert_eq!(alias.read(*offset), after, "it has written on");
        }
        if round % 4 == 3 {
            table.map(init::VSPACE, vaddr, attributes).expect("mapped");
        }
        let _ = target.slot().delete();
    }
    table.unmap().expect("unmapped");
}

/// The pool of an address space is deleted while threads of all other cores run in it.
fn pool_deleted(system: &mut System) {
    /// Where code and data are there.
    const CODE: usize = 0x40_0000;
    const DATA: usize = 0x40_1000;
    /// `add x1, x1, #1`, `str x1, [x0]`, `b` to the first.
    const PROGRAM: [u64; 2] = [0xf900_0001_9100_0421, 0x17ff_fffe];
    row("asid.delete-pool.running");
    let attributes = VmAttributes::default();
    let [code, data] = [0; 2].map(|_| object::<SmallPage>(system));
    let window = Window::map(system, code);
    for (index, words) in PROGRAM.into_iter().enumerate() {
        window.write(index * 8, words);
    }
    code.unify_instruction(0, 4096).expect("unified");
    let alias = Window::map(system, data);
    let writers: Vec<(Puppet, usize)> = (1..system.cores())
        .map(|core| (Puppet::new(system, core, 100), core * 64))
        .collect();
    for _ in 0..4 {
        let space = object::<VSpace>(system);
        let memory = system.untyped(12).expect("memory");
        let pool = system.slot().expect("a slot");
        init::ASID_CONTROL.make_pool(memory, &pool).expect("a pool");
        AsidPool::at(pool.index)
            .assign(space)
            .expect("an identifier");
        for (page, vaddr) in [(code, CODE), (data, DATA)] {
            let copy = system.copy(page, CapRights::all()).expect("a copy");
            system
                .map_at(space, copy, vaddr, CapRights::READ_WRITE, attributes)
                .expect("mapped");
        }
        let words = || -> Vec<u64> {
            writers
                .iter()
                .map(|(_, offset)| alias.read(*offset))
                .collect()
        };
        let before = words();
        for ((writer, offset), &before) in writers.iter().zip(&before) {
            let faults = Some(writer.faults);
            writer
                .tcb
                .set_space(faults, init::CNODE, 0, space)
                .expect("set");
            writer.start(&UserContext {
                pc: CODE as u64,
                x0: (DATA + offset) as u64,
                x1: before,
                ..UserContext::default()
            });
        }
        while words()
            .iter()
            .zip(&before)
            .any(|(now, before)| now <= before)
        {}
        pool.delete().expect("deleted");
        let after = words();
        for ((writer, offset), after) in writers.iter().zip(after) {
            // The handler is the capability as it is: without a badge.
            let fault = writer.faults.recv(writer.reply);
            assert_eq!(fault.label(), 6);
            assert_eq!(alias.read(*offset), after, "it has written on");
        }
        system.destroy(memory).expect("destroyed");
    }
}

fn interrupts_nobody(system: &mut System) {
    row("page.interrupts-nobody");
    let page = object::<SmallPage>(system);
    let large = object::<LargePage>(system);
    let table = object::<PageTable>(system);
    let attributes = VmAttributes::default();
    let size = 1 << 21;
    let place = system.addresses(size, size).expect("addresses").start;
    system
        .map_at(init::VSPACE, large, place, CapRights::READ, attributes)
        .expect("mapped");
    large.unmap().expect("unmapped");
    let vaddr = place as u64;
    let changes = |_: &mut System, _: &Thread<bool>| {
        for _ in 0..5 {
            large
                .map(init::VSPACE, vaddr, CapRights::READ, attributes)
                .expect("mapped");
            large.unmap().expect("unmapped");
            table.map(init::VSPACE, vaddr, attributes).expect("mapped");
            page.map(init::VSPACE, vaddr, CapRights::READ_WRITE, attributes)
                .expect("mapped");
            page.map(init::VSPACE, vaddr, CapRights::READ, attributes)
                .expect("mapped");
            page.unify_instruction(0, 4096).expect("unified");
            page.unmap().expect("unmapped");
            table.unmap().expect("unmapped");
        }
    };
    let last = system.cores() - 1;
    assert!(!interrupts(system, last, changes), "mapping and unmapping");
    // What does interrupt it is seen.
    let priority = |_: &mut System, watcher: &Thread<bool>| {
        watcher.set_priority(120).expect("set");
    };
    assert!(interrupts(system, last, priority), "another priority");
}

fn replaced(system: &mut System) {
    rows(&["page.map.replaces-unseen", "page.map.replaces"]);
    let attributes = VmAttributes::default() | VmAttributes::EXECUTE_NEVER;
    let [one, two] = [1, 2].map(|value| {
        let page = object::<SmallPage>(system);
        let window = Window::map(system, page);
        window.write(0, value);
        page.unmap().expect("unmapped");
        page
    });
    let vaddr = Window::map(system, one).start();
    let faults = system.endpoint().expect("an endpoint");
    let reply = system.reply().expect("a reply object");
    let handler = system.mint(faults, CapRights::all(), 7).expect("a badge");
    static STOP: AtomicBool = AtomicBool::new(false);
    let readers: Vec<(Thread<bool>, &'static AtomicU64)> = (1..system.cores())
        .map(|core| {
            let count = counter();
            let body = move || {
                let mut only_ours = true;
                while !STOP.load(Ordering::Relaxed) {
                    // SAFETY: one or the other page is mapped there, and both hold a word.
                    let word = unsafe { (vaddr as *const u64).read_volatile() };
                    only_ours &= word == 1 || word == 2;
                    count.fetch_add(1, Ordering::Relaxed);
                }
                only_ours
            };
            let builder = ThreadBuilder::new("reader")
                .core(core)
                .fault_handler(handler);
            let thread = builder.spawn(system, body).expect("a thread");
            (thread, count)
        })
        .collect();
    let put = |page: Cap<SmallPage>| {
        page.map(init::VSPACE, vaddr as u64, CapRights::READ, attributes)
            .expect("mapped");
    };
    let counts = || -> Vec<u64> {
        readers
            .iter()
            .map(|(_, count)| count.load(Ordering::Relaxed))
            .collect()
    };
    // Until every reader has read on through many replacements.
    for _ in 0..5 {
        let before = counts();
        let mut rounds = 0;
        while rounds < 10
            || counts()
                .iter()
                .zip(&before)
                .any(|(now, before)| now == before)
        {
            put(two);
            put(one);
            rounds += 1;
            assert_eq!(faults.nb_recv(reply).badge, 0, "a reader has faulted");
        }
    }
    STOP.store(true, Ordering::Relaxed);
    for (reader, _) in readers {
        assert!(
            reader.join(system).expect("joined"),
            "it has read something else"
        );
    }
}
