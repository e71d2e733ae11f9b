//! Cache operations on pages and address spaces: what is refused, in the order of the checks, and that they work.

#![no_std]
#![no_main]

use libsel4::abi::{Invocation, ObjectType, USER_TOP};
use libsel4::{
    BootInfo, Cap, CapRights, LargePage, SmallPage, System, UserContext, VSpace, VmAttributes,
    init, root_task,
};
use tern_target_tests::objects::{Answer, Puppet, Window, answer, invoke, invoke_label, object};
use tern_target_tests::rows::{row, rows};

root_task!(main);

const ON_PAGES: [Invocation; 4] = [
    Invocation::PageCleanData,
    Invocation::PageInvalidateData,
    Invocation::PageCleanInvalidateData,
    Invocation::PageUnifyInstruction,
];

const ON_SPACES: [Invocation; 4] = [
    Invocation::VSpaceCleanData,
    Invocation::VSpaceInvalidateData,
    Invocation::VSpaceCleanInvalidateData,
    Invocation::VSpaceUnifyInstruction,
];

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    pages(&mut system);
    spaces(&mut system);
    new_code(&mut system);
}

fn pages(system: &mut System) {
    let page = object::<SmallPage>(system);
    let large = object::<LargePage>(system);
    rows(&[
        "page.cache.truncated",
        "page.cache.not-mapped",
        "page.cache.order",
    ]);
    for method in ON_PAGES {
        let ask = |words: &[u64]| invoke(page.bits(), method, &[], words);
        assert_eq!(ask(&[0]), answer::truncated(), "{method:?}");
        assert_eq!(
            ask(&[5, 5]),
            answer::illegal_operation(),
            "{method:?}: not mapped"
        );
    }
    let window = Window::map(system, page);
    Window::map(system, large);
    rows(&[
        "page.cache.empty-range",
        "page.cache.outside",
        "page.cache.keeps",
        "page.cache.order",
    ]);
    for method in ON_PAGES {
        let ask = |words: &[u64]| invoke(page.bits(), method, &[], words);
        for (start, end) in [
            (0, 0),
            (5, 5),
            (5, 4),
            (9000, 9000),
            (9000, 8999),
            (u64::MAX, 0),
        ] {
            assert_eq!(
                ask(&[start, end]),
                answer::invalid_argument(1),
                "{method:?} {start} {end}"
            );
        }
        for (start, end) in [
            (0, 4097),
            (4096, 4097),
            (4095, u64::MAX),
            (1 << 40, 1 << 41),
        ] {
            assert_eq!(
                ask(&[start, end]),
                answer::invalid_argument(0),
                "{method:?} {start} {end}"
            );
        }
        window.fill(7);
        for (start, end) in [(0, 4096), (0, 1), (4095, 4096), (63, 65)] {
            assert_eq!(ask(&[start, end]), answer::ok(), "{method:?} {start} {end}");
        }
        let on_large = invoke(large.bits(), method, &[], &[4096, 1 << 21]);
        assert_eq!(on_large, answer::ok(), "{method:?}");
        let on_large = invoke(large.bits(), method, &[], &[4096, (1 << 21) + 1]);
        assert_eq!(on_large, answer::invalid_argument(0), "{method:?}");
        if method != Invocation::PageInvalidateData {
            assert!(window.is_all(7));
        }
    }
    row("page.cache.read-only");
    // Lines may be thrown away only where they could be written.
    let vaddr = window.start() as u64;
    for rights in [CapRights::READ, CapRights::empty()] {
        page.map(init::VSPACE, vaddr, rights, VmAttributes::default())
            .expect("to map");
        for method in ON_PAGES {
            let seen = invoke(page.bits(), method, &[], &[0, 64]);
            let refused = method == Invocation::PageInvalidateData;
            let expected = if refused {
                answer::illegal_operation()
            } else {
                answer::ok()
            };
            assert_eq!(seen, expected, "{method:?}, {rights:?}");
        }
    }
    // Replaced by another page.
    rows(&["page.cache.stale", "page.cache.order"]);
    let other = object::<SmallPage>(system);
    other
        .map(
            init::VSPACE,
            vaddr,
            CapRights::READ,
            VmAttributes::default(),
        )
        .expect("to map");
    for method in ON_PAGES {
        let seen = invoke(page.bits(), method, &[], &[0, 64]);
        assert_eq!(seen, answer::invalid_capability(0), "{method:?}");
        let seen = invoke(page.bits(), method, &[], &[0, 0]);
        assert_eq!(seen, answer::invalid_argument(1), "{method:?}");
        let seen = invoke(page.bits(), method, &[], &[0, 4097]);
        assert_eq!(seen, answer::invalid_argument(0), "{method:?}");
    }
    // The physical address is the frame's, mapped or not.
    row("page.address");
    let address = page.get_address().expect("an address");
    page.unmap().expect("to unmap");
    assert_eq!(page.get_address(), Ok(address));
    assert_eq!(address % 4096, 0);
    let seen = invoke(
        page.bits(),
        Invocation::PageGetAddress,
        &[0],
        &[1, 2, 3, 4, 5],
    );
    assert_eq!(seen, Answer::new(0, &[address]));
    let parts = system.untyped(13).expect("memory");
    let slots = [0; 2].map(|_| system.slot().expect("a slot").index);
    let [low, high] = slots.map(|slot| {
        let made = parts.retype_into(ObjectType::SmallPage, 0, init::CNODE, slot);
        made.expect("a page");
        Cap::<SmallPage>::from_bits(slot)
            .get_address()
            .expect("an address")
    });
    assert_eq!(high, low + 4096, "neighbours in one untyped");
}

fn spaces(system: &mut System) {
    let unassigned = object::<VSpace>(system).bits();
    let page = object::<SmallPage>(system);
    let window = Window::map(system, page);
    let vaddr = window.start() as u64;
    let hole = system.addresses(8192, 4096).expect("addresses").start as u64;
    row("vspace.label");
    for label in [0, 1, 43, 44, 46, 54] {
        let seen = invoke_label(init::VSPACE.bits(), label, &[], &[0; 6]);
        assert_eq!(seen, answer::illegal_operation(), "label {label}");
    }
    rows(&[
        "vspace.cache.truncated",
        "vspace.cache.empty-range",
        "vspace.cache.user-top",
        "vspace.cache.no-asid",
        "vspace.cache.unmapped",
        "vspace.cache.leaves-page",
        "vspace.cache.works",
        "vspace.cache.order",
    ]);
    for method in ON_SPACES {
        let on = |space, words: &[u64]| invoke(space, method, &[], words);
        let ask = |start, end| on(init::VSPACE.bits(), &[start, end]);
        assert_eq!(on(unassigned, &[0]), answer::truncated(), "{method:?}");
        assert_eq!(
            on(unassigned, &[vaddr, vaddr]),
            answer::invalid_argument(1),
            "{method:?}"
        );
        assert_eq!(
            on(unassigned, &[vaddr, u64::MAX]),
            answer::illegal_operation(),
            "{method:?}"
        );
        assert_eq!(
            ask(vaddr, USER_TOP + 1),
            answer::illegal_operation(),
            "{method:?}"
        );
        assert_eq!(
            on(unassigned, &[0, 1]),
            answer::invalid_capability(0),
            "{method:?}"
        );
        // Not mapped: nothing to do, however long.
        assert_eq!(ask(hole, hole + 8192), answer::ok(), "{method:?}");
        window.fill(9);
        assert_eq!(ask(vaddr, vaddr + 4096), answer::ok(), "{method:?}");
        assert_eq!(ask(vaddr + 4095, vaddr + 4096), answer::ok(), "{method:?}");
        let last = vaddr + 4095;
        for start in [vaddr, vaddr + 100, last] {
            assert_eq!(
                ask(start, vaddr + 4097),
                answer::range(start, last),
                "{method:?}"
            );
        }
    }
    page.map(
        init::VSPACE,
        vaddr,
        CapRights::READ,
        VmAttributes::default(),
    )
    .expect("to map");
    rows(&["vspace.cache.read-only", "vspace.cache.order"]);
    for method in ON_SPACES {
        let seen = invoke(init::VSPACE.bits(), method, &[], &[vaddr, vaddr + 4097]);
        assert_eq!(seen, answer::range(vaddr, vaddr + 4095), "{method:?}");
        let seen = invoke(init::VSPACE.bits(), method, &[], &[vaddr, vaddr + 64]);
        let refused = method == Invocation::VSpaceInvalidateData;
        let expected = if refused {
            answer::illegal_operation()
        } else {
            answer::ok()
        };
        assert_eq!(seen, expected, "{method:?}");
    }
}

/// Code that is written is executed after it was unified, on every core.
fn new_code(system: &mut System) {
    rows(&["page.cache.unify", "vspace.cache.unify"]);
    const MOV_X0: u64 = 0xd280_0000;
    const UDF: u64 = 0;
    let page = object::<SmallPage>(system);
    let window = Window::map(system, page);
    let vaddr = window.start() as u64;
    page.map(
        init::VSPACE,
        vaddr,
        CapRights::READ_WRITE,
        VmAttributes::default(),
    )
    .expect("to map");
    for core in 0..system.cores() {
        let puppet = Puppet::new(system, core, 100);
        for value in 1..50 {
            window.write(0, UDF << 32 | MOV_X0 | value << 5);
            if value % 2 == 0 {
                page.unify_instruction(0, 8).expect("to unify");
            } else {
                init::VSPACE
                    .unify_instruction(vaddr, vaddr + 8)
                    .expect("to unify");
            }
            let fault = puppet.run_to_fault(&UserContext {
                pc: vaddr,
                ..UserContext::default()
            });
            assert_eq!((fault.label, fault.words[0]), (3, vaddr + 4));
            assert_eq!(puppet.registers().x0, value);
        }
    }
}
