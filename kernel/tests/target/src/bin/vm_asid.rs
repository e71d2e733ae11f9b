//! Address space identifiers: making pools, assigning, running out, and what the loss of a pool means.

#![no_std]
#![no_main]

use libsel4::abi::{Invocation, ObjectType, USER_TOP};
use libsel4::{
    AsidPool, BootInfo, CNode, Cap, CapRights, PageTable, SlotPath, SmallPage, System, Untyped,
    UserContext, VSpace, VmAttributes, init, root_task,
};
use tern_target_tests::objects::{
    Answer, Puppet, answer, invoke, invoke_label, kind, kind_at, object,
};
use tern_target_tests::rows::{row, rows};

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    initial_pool(&mut system);
    making(&mut system);
    assigning(&mut system);
    loss(&mut system);
    running(&mut system, boot.cores() - 1);
}

fn making(system: &mut System) {
    let control = init::ASID_CONTROL.bits();
    let root = init::CNODE.bits();
    let good = system.untyped(12).expect("memory");
    let slot = system.slot().expect("a slot");
    let make =
        |caps: &[u64], words: &[u64]| invoke(control, Invocation::AsidControlMakePool, caps, words);
    row("asid.label");
    for label in [0, 54, 52] {
        let seen = invoke_label(control, label, &[good.bits(), root], &[slot.index, 64]);
        assert_eq!(seen, answer::illegal_operation(), "label {label}");
    }
    rows(&["asid.make-pool.truncated", "asid.make-pool.order"]);
    assert_eq!(make(&[0, 0], &[0]), answer::truncated());
    assert_eq!(
        make(&[good.bits(), root], &[slot.index]),
        answer::truncated()
    );
    assert_eq!(make(&[good.bits()], &[slot.index, 64]), answer::truncated());
    let small = system.untyped(11).expect("memory").bits();
    let big = system.untyped(13).expect("memory").bits();
    rows(&["asid.make-pool.untyped", "asid.make-pool.order"]);
    let device = device_untyped(system).bits();
    for bad in [0, root, small, big, device] {
        assert_eq!(
            make(&[bad, 0], &[0, 65]),
            answer::invalid_capability(1),
            "{bad}"
        );
    }
    let child = system.slot().expect("a slot");
    good.retype_into(ObjectType::Endpoint, 0, init::CNODE, child.index)
        .expect("a child");
    rows(&["asid.make-pool.children", "asid.make-pool.order"]);
    assert_eq!(make(&[good.bits(), 0], &[0, 65]), answer::revoke_first());
    child.delete().expect("to delete");
    rows(&["asid.make-pool.slot", "asid.make-pool.order"]);
    assert_eq!(
        make(&[good.bits(), 0], &[0, 65]),
        answer::invalid_root(false)
    );
    assert_eq!(make(&[good.bits(), root], &[0, 65]), answer::range(1, 64));
    assert_eq!(make(&[good.bits(), root], &[1, 64]), answer::delete_first());
    rows(&["asid.make-pool.makes", "asid.make-pool.full"]);
    assert_eq!(make(&[good.bits(), root], &[slot.index, 64]), answer::ok());
    assert_eq!(kind(slot), libsel4::abi::cap_type::ASID_POOL);
    // The memory is full.
    assert_eq!(
        make(&[good.bits(), root], &[child.index, 64]),
        answer::revoke_first()
    );
    let words = [ObjectType::Endpoint as u64, 0, 0, 0, child.index, 1];
    let retype = invoke(good.bits(), Invocation::UntypedRetype, &[root], &words);
    assert_eq!(retype, answer::not_enough_memory(0));
    row("asid.make-pool.child");
    good.slot().revoke().expect("to revoke");
    assert_eq!(kind(slot), 0);

    // There are 128, one of which is from the start. The check comes before all others but the length.
    rows(&[
        "asid.pools",
        "asid.make-pool.none-left",
        "asid.make-pool.order",
    ]);
    let node: Cap<CNode> = system.cnode(7).expect("a CNode");
    for index in 0..127 {
        let memory = system.untyped(12).expect("memory");
        let place = SlotPath::new(node, index, 7);
        assert_eq!(
            init::ASID_CONTROL.make_pool(memory, &place),
            Ok(()),
            "pool {index}"
        );
    }
    assert_eq!(make(&[0, 0], &[0]), answer::truncated());
    assert_eq!(make(&[0, 0], &[0, 0]), answer::delete_first());
    SlotPath::new(node, 77, 7).delete().expect("to delete");
    assert_eq!(make(&[good.bits(), root], &[slot.index, 64]), answer::ok());
    assert_eq!(make(&[0, 0], &[0, 0]), answer::delete_first());
    slot.delete().expect("to delete");
    system.destroy(node).expect("to destroy");
}

fn pool(system: &mut System) -> Cap<AsidPool> {
    let memory = system.untyped(12).expect("memory");
    let slot = system.slot().expect("a slot");
    init::ASID_CONTROL.make_pool(memory, &slot).expect("a pool");
    Cap::from_bits(slot.index)
}

/// As much device memory as a pool needs, as an untyped. (The library would find the piece in use. It is not asked.)
fn device_untyped(system: &mut System) -> Cap<Untyped> {
    let boot = system.boot();
    let devices = boot.untypeds().filter(|piece| piece.is_device);
    let piece = devices.last().expect("device memory");
    let slot = system.slot().expect("a slot").index;
    let made = piece
        .cap
        .retype_into(ObjectType::Untyped, 12, init::CNODE, slot);
    made.expect("an untyped");
    Cap::from_bits(slot)
}

/// The initial pool: it has lost ASID 0, which is nobody's, and the one of the test's own address space.
fn initial_pool(system: &mut System) {
    rows(&["asid.initial-pool", "asid.zero"]);
    let node = system.cnode(10).expect("a CNode");
    let memory = system.untyped(22).expect("memory");
    for start in [0, 256] {
        let path = SlotPath::new(node, 0, 0);
        let made = memory.retype(ObjectType::VSpace, 0, path, start, 256);
        made.expect("address spaces");
    }
    let slot = system.slot().expect("a slot");
    for index in 0..511 {
        let place = SlotPath::new(node, index, 10);
        slot.move_from(&place).expect("to move");
        let seen = invoke(
            init::ASID_POOL.bits(),
            Invocation::AsidPoolAssign,
            &[slot.index],
            &[],
        );
        let expected = if index < 510 {
            answer::ok()
        } else {
            answer::delete_first()
        };
        assert_eq!(seen, expected, "space {index}");
        place.move_from(&slot).expect("to move");
    }
    memory.slot().revoke().expect("to revoke");
}

fn assigning(system: &mut System) {
    let pool = pool(system);
    let assign = |caps: &[u64]| invoke(pool.bits(), Invocation::AsidPoolAssign, caps, &[]);
    row("asid.assign.truncated");
    assert_eq!(assign(&[]), answer::truncated());
    row("asid.label");
    assert_eq!(
        invoke_label(pool.bits(), 53, &[0], &[0; 4]),
        answer::illegal_operation()
    );
    let table = object::<PageTable>(system).bits();
    row("asid.assign.vspace");
    for bad in [0, table, init::VSPACE.bits(), init::TCB.bits()] {
        assert_eq!(assign(&[bad]), answer::invalid_capability(1), "{bad}");
    }
    // 512 of them.
    rows(&["asid.pool-size", "asid.assign.full", "asid.assign.vspace"]);
    let node = system.cnode(10).expect("a CNode");
    let memory = system.untyped(22).expect("memory");
    for start in [0, 256, 512] {
        let path = SlotPath::new(node, 0, 0);
        let count = if start == 512 { 1 } else { 256 };
        memory
            .retype(ObjectType::VSpace, 0, path, start, count)
            .expect("address spaces");
    }
    let slot = system.slot().expect("a slot");
    for index in 0..513 {
        let place = SlotPath::new(node, index, 10);
        slot.move_from(&place).expect("to move");
        let expected = if index < 512 {
            answer::ok()
        } else {
            answer::delete_first()
        };
        assert_eq!(assign(&[slot.index]), expected, "space {index}");
        if index < 512 {
            assert_eq!(
                assign(&[slot.index]),
                answer::invalid_capability(1),
                "a second time"
            );
        }
        place.move_from(&slot).expect("to move");
    }
    // A space that goes gives its identifier back.
    rows(&["asid.returned", "asid.assign.slot-only"]);
    assert_eq!(
        kind_at(system, SlotPath::new(node, 512, 10)),
        0,
        "it has none, and no copy"
    );
    SlotPath::new(node, 100, 10).delete().expect("to delete");
    slot.move_from(&SlotPath::new(node, 512, 10))
        .expect("to move");
    assert_eq!(assign(&[slot.index]), answer::ok());
    memory.slot().revoke().expect("to revoke");
    assert_eq!(kind(slot), 0);
}

/// Without its pool an address space is none; a new pool does not give it back.
fn loss(system: &mut System) {
    row("asid.delete-pool");
    let first = pool(system);
    let vspace = object::<VSpace>(system);
    first.assign(vspace).expect("an identifier");
    let other = object::<VSpace>(system);
    let page = object::<SmallPage>(system);
    let attributes = VmAttributes::default();
    system
        .map_at(vspace, page, 0x1000, CapRights::all(), attributes)
        .expect("to map");
    let copy = system.copy(first, CapRights::all()).expect("a copy");
    first.slot().delete().expect("to delete");
    assert_eq!(page.clean_data(0, 8), Ok(()), "there is a copy of the pool");
    let words = [0x2001, 3, 3];
    let second = object::<SmallPage>(system).bits();
    let map = || invoke(second, Invocation::PageMap, &[vspace.bits()], &words);
    copy.slot().delete().expect("to delete");
    rows(&["page.map.asid-gone", "page.map.order"]);
    assert_eq!(map(), answer::invalid_root(false));
    row("page.cache.asid-gone");
    assert_eq!(
        invoke(page.bits(), Invocation::PageCleanData, &[], &[0, 8]),
        answer::invalid_root(false)
    );
    let clean = |start: u64, end: u64| {
        invoke(
            vspace.bits(),
            Invocation::VSpaceCleanData,
            &[],
            &[start, end],
        )
    };
    rows(&["vspace.cache.asid-gone", "vspace.cache.order"]);
    for (start, end) in [(0x1000, 0x1008), (0x1000, 0x3000), (1 << 30, 1 << 31)] {
        assert_eq!(clean(start, end), answer::invalid_root(false));
    }
    // The second address has a table at every level.
    let table = object::<PageTable>(system).bits();
    let map_table = |vaddr| {
        invoke(
            table,
            Invocation::PageTableMap,
            &[vspace.bits()],
            &[vaddr, 0],
        )
    };
    rows(&["page-table.map.asid-gone", "page-table.map.order"]);
    assert_eq!(map_table(USER_TOP + 1), answer::invalid_argument(0));
    for vaddr in [1 << 30, 0x1000] {
        assert_eq!(map_table(vaddr), answer::invalid_root(false));
    }
    // The same number of another pool belongs to another space.
    let again = pool(system);
    assert_eq!(map(), answer::invalid_root(false));
    again.assign(other).expect("an identifier");
    rows(&["asid.lowest", "page.map.asid-other", "page.map.order"]);
    assert_eq!(map(), answer::invalid_capability(1));
    rows(&["page-table.map.asid-other", "page-table.map.order"]);
    assert_eq!(map_table(0x1000), answer::invalid_capability(1));
    row("vspace.cache.asid-other");
    for (start, end) in [(0x1000, 0x1008), (0x1000, 0x3000), (1 << 30, 1 << 31)] {
        assert_eq!(clean(start, end), answer::invalid_capability(0));
    }
    row("asid.assign.vspace");
    assert_eq!(
        again.assign(vspace),
        Err(libsel4::Error::InvalidCapability { index: 1 })
    );
    row("page.unmap.stale");
    page.unmap().expect("stale, but fine");
}

/// A thread runs in an address space of its own, until that is gone.
fn running(system: &mut System, core: usize) {
    row("asid.runs");
    let pool = pool(system);
    let vspace = object::<VSpace>(system);
    pool.assign(vspace).expect("an identifier");
    let puppet = Puppet::new(system, core, 100);
    let code = object::<SmallPage>(system);
    let vaddr: u64 = 0x7777_0000_1000;
    system
        .map_at(
            vspace,
            code,
            vaddr as usize,
            CapRights::all(),
            VmAttributes::default(),
        )
        .expect("to map");
    let space = puppet
        .tcb
        .set_space(Some(puppet.faults), init::CNODE, 0, vspace);
    space.expect("a space");
    let run = || {
        puppet.start(&UserContext {
            pc: vaddr,
            ..UserContext::default()
        });
        Answer::of(&puppet.faults.recv(puppet.reply).message)
    };
    // The page is zero: `udf #0`.
    assert_eq!(run(), Answer::new(3, &[vaddr, 0, 0x40, 0x0200_0000, 0]));
    let own = object::<SmallPage>(system);
    system
        .map(own, CapRights::all(), VmAttributes::default())
        .expect("to map");
    rows(&["asid.delete-pool", "asid.runs"]);
    pool.slot().delete().expect("to delete");
    assert_eq!(
        run(),
        Answer::new(6, &[vaddr, vaddr, 1, 0x8200_0004]),
        "an empty address space"
    );
    let space = puppet
        .tcb
        .set_space(Some(puppet.faults), init::CNODE, 0, init::VSPACE);
    space.expect("the address space of the test");
    assert_eq!(run().label, 6);
}
