//! What a mapping allows: the rights of the capability and those asked for, attributes, copies of a frame, address spaces
//! that do not see each other, and changes that every core sees.
//!
//! icount: both

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;

use libsel4::abi::{Invocation, UserContext};
use libsel4::{
    BootInfo, Cap, CapRights, PageTable, SmallPage, System, VSpace, VmAttributes, init, root_task,
};
use tern_target_tests::objects::{Answer, Puppet, Window, answer, invoke, object};
use tern_target_tests::rows::{row, rows};

root_task!(main);

const READ: u64 = 0x9200_0000;
const WRITE: u64 = 0x9200_0040;
const FETCH: u64 = 0x8200_0000;
const TRANSLATION: u64 = 0x7;
const PERMISSION: u64 = 0xf;

/// Where the code of other address spaces is, and their data.
const CODE: usize = 0x40_0000;
const DATA: usize = 0x40_1000;

#[unsafe(naked)]
extern "C" fn load() -> ! {
    core::arch::naked_asm!("ldr x1, [x0]", "udf #0")
}

#[unsafe(naked)]
extern "C" fn store() -> ! {
    core::arch::naked_asm!("str x1, [x0]", "udf #0")
}

/// What came of an access: what was there, or the syndrome of its fault.
fn access(puppet: &Puppet, code: extern "C" fn() -> !, address: u64) -> Result<u64, u64> {
    let pc = code as *const () as u64;
    let registers = UserContext {
        pc,
        x0: address,
        x1: 0x5678,
        ..UserContext::default()
    };
    outcome(puppet, puppet.run_to_fault(&registers), pc, address)
}

fn outcome(puppet: &Puppet, fault: Answer, pc: u64, address: u64) -> Result<u64, u64> {
    if fault.label == 3 {
        assert_eq!(fault.words[0], pc + 4);
        Ok(puppet.registers().x1)
    } else {
        assert_eq!((fault.label, &fault.words[..2]), (6, &[pc, address][..]));
        Err(fault.words[3])
    }
}

/// Executes `udf #0` there: the syndrome of the fetch, if that failed.
fn execute(puppet: &Puppet, address: u64) -> Result<(), u64> {
    let fault = puppet.run_to_fault(&UserContext {
        pc: address,
        ..UserContext::default()
    });
    assert_eq!(fault.words[0], address);
    match fault.label {
        3 => Ok(()),
        _ => Err(fault.words[3]),
    }
}

fn map(page: Cap<SmallPage>, vaddr: u64, rights: u64, attributes: u64) {
    let words = [vaddr, rights, attributes];
    let seen = invoke(
        page.bits(),
        Invocation::PageMap,
        &[init::VSPACE.bits()],
        &words,
    );
    assert_eq!(seen, answer::ok());
}

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let puppet = Puppet::new(&mut system, boot.cores() - 1, 100);
    let page = object::<SmallPage>(&mut system);
    let vaddr = Window::map(&mut system, page).start() as u64;
    rights(&mut system, &puppet, page, vaddr);
    attributes(&puppet, page, vaddr);
    copies(&mut system, page, vaddr);
    every_core(&mut system, page, vaddr);
    apart(&mut system, boot.cores() - 1);
}

/// Rights of the capability, rights asked for, and what may be done then: reading, writing.
fn rights(system: &mut System, puppet: &Puppet, page: Cap<SmallPage>, vaddr: u64) {
    const RO: u64 = 2;
    const RW: u64 = 3;
    page.unmap().expect("unmapped");
    for (cap, asked, reads, writes) in [
        (RW, RW, true, true),
        (RW, u64::MAX, true, true),
        (RW, RO, true, false),
        (RW, 0xe, true, false),
        (RW, 1, false, false),
        (RW, 0, false, false),
        (0xf, 0xd, false, false),
        (RO, RW, true, false),
        (RO, RO, true, false),
        (RO, 1, false, false),
        (1, RW, false, false),
        (0, RW, false, false),
        (0xc, RW, false, false),
    ] {
        let names: &[&str] = match (cap, asked) {
            (RW, _) => &["page.rights.asked", "page.map.again"],
            _ => &["page.rights.cap", "page.rights.asked"],
        };
        rows(names);
        let copy = system
            .copy(page, CapRights::from_bits_truncate(cap))
            .expect("a copy");
        map(copy, vaddr, asked, 3);
        let expected = |allowed, value, kind| {
            if allowed {
                Ok(value)
            } else {
                Err(kind | PERMISSION)
            }
        };
        map(copy, vaddr, asked, 3);
        assert_eq!(
            access(puppet, store, vaddr),
            expected(writes, 0x5678, WRITE),
            "{cap:#x} {asked:#x}"
        );
        assert_eq!(
            access(puppet, load, vaddr).map(drop),
            expected(reads, 0, READ).map(drop),
            "{cap:#x} {asked:#x}"
        );
        // What the capability allows is not lost by a mapping with less.
        map(copy, vaddr, RW, 3);
        let whole = cap & RW == RW;
        assert_eq!(access(puppet, store, vaddr), expected(whole, 0x5678, WRITE));
        copy.slot().delete().expect("deleted");
    }
    row("page.rights.none");
    map(page, vaddr, 0, 3);
    assert_eq!(execute(puppet, vaddr), Err(FETCH | PERMISSION));
}

fn attributes(puppet: &Puppet, page: Cap<SmallPage>, vaddr: u64) {
    const EXECUTE_NEVER: u64 = 4;
    row("attributes.default");
    assert_eq!(VmAttributes::default().bits(), 3);
    // The whole page is `udf #0`.
    map(page, vaddr, 3, 7);
    let window = Window::of_page(vaddr as usize);
    window.fill(0);
    page.unify_instruction(0, 4096).expect("unified");
    rows(&[
        "attributes.execute-never",
        "attributes.parity",
        "attributes.others",
    ]);
    for others in [0, 2, !7, !5] {
        for cacheable in [0, 1] {
            map(page, vaddr, 3, others | cacheable);
            assert_eq!(execute(puppet, vaddr), Ok(()), "{others:#x} {cacheable}");
            map(page, vaddr, 3, others | cacheable | EXECUTE_NEVER);
            assert_eq!(
                execute(puppet, vaddr),
                Err(FETCH | PERMISSION),
                "{others:#x}"
            );
            map(page, vaddr, 2, others | cacheable);
            assert_eq!(execute(puppet, vaddr), Ok(()), "a page to read");
        }
    }
    map(page, vaddr, 3, 7);
}

/// A copy of a frame's capability is not mapped, and can be mapped elsewhere.
fn copies(system: &mut System, page: Cap<SmallPage>, vaddr: u64) {
    row("page.copies");
    let copy = system.copy(page, CapRights::READ).expect("a copy");
    assert_eq!(
        invoke(copy.bits(), Invocation::PageCleanData, &[], &[0, 8]),
        answer::illegal_operation()
    );
    let there = Window::map(system, copy);
    let here = Window::of_page(vaddr as usize);
    for value in 1..10 {
        here.write(8, value);
        assert_eq!(there.read(8), value);
    }
    // Each has its own mapping.
    rows(&["page.copies", "page.unmap.clears", "page.delete"]);
    page.unmap().expect("unmapped");
    assert_eq!(there.read(8), 9);
    map(page, vaddr, 3, 7);
    copy.slot().delete().expect("deleted");
    assert_eq!(here.read(8), 9);
}

/// Unmapping and taking rights away have happened on every core when the call returns.
fn every_core(system: &mut System, page: Cap<SmallPage>, vaddr: u64) {
    let puppets: Vec<Puppet> = (0..system.cores())
        .map(|core| Puppet::new(system, core, 100))
        .collect();
    for _ in 0..3 {
        row("page.map.every-core");
        map(page, vaddr, 3, 7);
        for puppet in &puppets {
            assert_eq!(access(puppet, store, vaddr), Ok(0x5678));
        }
        map(page, vaddr, 2, 7);
        for puppet in &puppets {
            assert_eq!(access(puppet, store, vaddr), Err(WRITE | PERMISSION));
            assert_eq!(access(puppet, load, vaddr), Ok(0x5678));
        }
        row("page.unmap.every-core");
        page.unmap().expect("unmapped");
        for puppet in &puppets {
            assert_eq!(access(puppet, load, vaddr), Err(READ | TRANSLATION));
        }
        // Another page in its place.
        row("page.map.replaces");
        map(page, vaddr, 3, 7);
        for puppet in &puppets {
            assert_eq!(access(puppet, load, vaddr), Ok(0x5678));
        }
        let other = object::<SmallPage>(system);
        map(other, vaddr, 3, 7);
        for puppet in &puppets {
            assert_eq!(access(puppet, load, vaddr), Ok(0));
        }
        row("page.delete");
        other.slot().delete().expect("deleted");
        for puppet in &puppets {
            assert_eq!(access(puppet, load, vaddr), Err(READ | TRANSLATION));
        }
    }
}

/// Two address spaces with different pages at one address, on one core.
fn apart(system: &mut System, core: usize) {
    rows(&["vspace.apart", "page-table.map.attributes"]);
    let code = object::<SmallPage>(system);
    let window = Window::map(system, code);
    // `ldr x1, [x0]` and `udf #0`.
    window.write(0, 0xf940_0001);
    code.unify_instruction(0, 8).expect("unified");
    let puppets: Vec<(Puppet, u64)> = [11, 22]
        .into_iter()
        .map(|value| {
            let space = object::<VSpace>(system);
            init::ASID_POOL.assign(space).expect("an identifier");
            for _ in 0..3 {
                let table = object::<PageTable>(system).bits();
                let words = [CODE as u64, u64::MAX];
                let seen = invoke(table, Invocation::PageTableMap, &[space.bits()], &words);
                assert_eq!(seen, answer::ok());
            }
            let copy = system.copy(code, CapRights::READ).expect("a copy");
            let data = object::<SmallPage>(system);
            Window::map(system, data).write(0, value);
            let data = system.copy(data, CapRights::READ).expect("a copy");
            for (page, vaddr) in [(copy, CODE), (data, DATA)] {
                let attributes = VmAttributes::default();
                page.map(space, vaddr as u64, CapRights::READ, attributes)
                    .expect("mapped");
            }
            let puppet = Puppet::new(system, core, 100);
            let faults = Some(puppet.faults);
            puppet
                .tcb
                .set_space(faults, init::CNODE, 0, space)
                .expect("set");
            (puppet, value)
        })
        .collect();
    for _ in 0..5 {
        for (puppet, value) in &puppets {
            puppet.start(&UserContext {
                pc: CODE as u64,
                x0: DATA as u64,
                ..UserContext::default()
            });
            let fault = Answer::of(&puppet.faults.recv(puppet.reply).message);
            let seen = outcome(puppet, fault, CODE as u64, DATA as u64);
            assert_eq!(seen, Ok(*value));
        }
    }
}
