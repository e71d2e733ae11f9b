//! What goes with the last capability to memory: mappings, tables, address spaces and their identifiers, and what is in a
//! thread's slots.

#![no_std]
#![no_main]

use libsel4::abi::{Invocation, ObjectType, cap_type};
use libsel4::{
    AsidPool, BootInfo, CNode, Cap, CapRights, CapType, Endpoint, Error, LookupFailure, PageTable,
    SlotPath, SmallPage, System, Tcb, Untyped, UserContext, VSpace, VmAttributes, init, root_task,
};
use tern_target_tests::objects::{Puppet, answer, invoke, invoke_label, kind, object};
use tern_target_tests::rows::{row, rows};
use tern_target_tests::touch::can_load;

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let puppet = Puppet::new(&mut system, boot.cores() - 1, 100);
    frames(&mut system, &puppet);
    page_tables(&mut system, &puppet);
    address_spaces(&mut system, &puppet);
    identifiers(&mut system);
    pools(&mut system, &puppet);
    slots_of_threads(&mut system);
    untyped_memory(&mut system);
}

fn copy<T: CapType>(system: &mut System, cap: Cap<T>) -> Cap<T> {
    system.copy(cap, CapRights::all()).expect("a copy")
}

fn delete<T: CapType>(cap: Cap<T>) {
    cap.slot().delete().expect("to delete");
}

fn map(system: &mut System, frame: Cap<SmallPage>) -> u64 {
    let attributes = VmAttributes::default();
    let vaddr = system.map(frame, CapRights::all(), attributes);
    vaddr.expect("to map") as u64
}

/// The look-up of an address space by an identifier that is no longer one.
fn no_space() -> Error {
    Error::FailedLookup {
        source: false,
        failure: LookupFailure::InvalidRoot,
    }
}

fn frames(system: &mut System, puppet: &Puppet) {
    rows(&["final.frame", "final.frame.others"]);
    let frame = object::<SmallPage>(system);
    let caps = [frame, copy(system, frame), copy(system, frame)];
    let places = caps.map(|cap| map(system, cap));
    let mut mapped = [true; 3];
    // The original in the middle, then the others.
    for gone in [1, 0, 2] {
        assert_eq!(places.map(|at| can_load(puppet, at)), mapped);
        delete(caps[gone]);
        mapped[gone] = false;
    }
    assert_eq!(places.map(|at| can_load(puppet, at)), [false; 3]);
    // Also when it goes by a revoke, with its memory or with the CNode that holds it.
    for way in 0..2 {
        let memory = system.untyped(12).expect("memory");
        let node = system.cnode(2).expect("a CNode");
        let slot = system.slot().expect("a slot");
        memory
            .retype_into(ObjectType::SmallPage, 0, init::CNODE, slot.index)
            .expect("a frame");
        let vaddr = map(system, Cap::from_bits(slot.index));
        SlotPath::new(node, 1, 2).move_from(&slot).expect("to move");
        assert!(can_load(puppet, vaddr), "it moved, and stays mapped");
        if way == 0 {
            memory.slot().revoke().expect("to revoke");
        } else {
            delete(node);
        }
        assert!(!can_load(puppet, vaddr), "way {way}");
    }
}

fn page_tables(system: &mut System, puppet: &Puppet) {
    rows(&[
        "final.page-table",
        "final.page-table.not-last",
        "final.page-table.stale",
    ]);
    let vaddr = system.addresses(1 << 30, 1 << 30).expect("addresses").start as u64;
    let table = object::<PageTable>(system);
    let frame = object::<SmallPage>(system);
    let map_table = |table: Cap<PageTable>| {
        let mapped = table.map(init::VSPACE, vaddr, VmAttributes::default());
        mapped.is_ok()
    };
    let map_frame = |frame: Cap<SmallPage>| {
        let attributes = VmAttributes::default();
        frame.map(init::VSPACE, vaddr, CapRights::all(), attributes)
    };
    // Down to the last level, of which `table` is one.
    let spare = object::<PageTable>(system);
    assert!(map_table(spare));
    assert!(map_table(table));
    assert_eq!(map_frame(frame), Ok(()), "two levels were missing");
    assert!(can_load(puppet, vaddr));
    let second = copy(system, table);
    delete(table);
    assert!(can_load(puppet, vaddr), "there is a copy");
    delete(second);
    assert!(!can_load(puppet, vaddr));
    // The frame thinks that it is mapped: it can be unmapped, or mapped at the same address again.
    let elsewhere = vaddr + 4096;
    let attributes = VmAttributes::default();
    assert_eq!(
        frame.map(init::VSPACE, elsewhere, CapRights::all(), attributes),
        Err(Error::InvalidArgument { index: 0 })
    );
    assert_eq!(
        frame.clean_data(0, 8),
        Err(Error::InvalidCapability { index: 0 })
    );
    assert_eq!(frame.unmap(), Ok(()));
    assert_eq!(frame.clean_data(0, 8), Err(Error::IllegalOperation));
    // The table that was above it is still there, and takes another.
    let another = object::<PageTable>(system);
    assert!(map_table(another));
    assert_eq!(map_frame(frame), Ok(()));
    assert!(can_load(puppet, vaddr));
}

#[unsafe(naked)]
extern "C" fn undefined() -> ! {
    core::arch::naked_asm!("udf #0")
}

/// Where the puppet's fault is when it runs code: as far as the first instruction, or not even there.
fn runs(puppet: &Puppet) -> bool {
    let start = undefined as *const () as u64;
    let fault = puppet.run_to_fault(&UserContext {
        pc: start,
        ..UserContext::default()
    });
    if fault.label == 3 {
        return true;
    }
    assert_eq!(
        (fault.label, &fault.words[..3]),
        (6, &[start, start, 1][..])
    );
    false
}

/// An address space in which the test's program is, for the puppet.
fn space_of_puppet(system: &mut System, puppet: &Puppet, vspace: Cap<VSpace>) {
    let boot = system.boot();
    let page = undefined as *const () as usize & !0xfff;
    let code = boot.user_image_frame(page).expect("the code's page");
    let code = copy(system, code);
    system
        .map_at(vspace, code, page, CapRights::READ, VmAttributes::default())
        .expect("to map");
    // The handler's badge is asked for, so it is the same as before.
    let badge = tern_target_tests::objects::PUPPET_BADGE;
    let handler = system
        .mint(puppet.faults, CapRights::all(), badge)
        .expect("a badge");
    puppet
        .tcb
        .set_space(Some(handler), init::CNODE, 0, vspace)
        .expect("a space");
}

fn address_spaces(system: &mut System, puppet: &Puppet) {
    row("final.vspace");
    let vspace = system.vspace().expect("an address space");
    space_of_puppet(system, puppet, vspace);
    assert!(runs(puppet));
    let frame = object::<SmallPage>(system);
    let at = 0x40_0000_0000;
    system
        .map_at(vspace, frame, at, CapRights::all(), VmAttributes::default())
        .expect("to map");
    // The thread's own capability is one, too.
    delete(vspace);
    assert!(runs(puppet), "the thread keeps it");
    assert_eq!(frame.clean_data(0, 8), Ok(()));
    space_of_puppet_back(system, puppet);
    assert_eq!(frame.clean_data(0, 8), Err(no_space()));
    assert!(runs(puppet));

    // Taken from the thread by a revoke of its memory.
    let memory = system.untyped(12).expect("memory");
    let slot = system.slot().expect("a slot");
    memory
        .retype_into(ObjectType::VSpace, 0, init::CNODE, slot.index)
        .expect("a VSpace");
    let vspace = Cap::<VSpace>::from_bits(slot.index);
    init::ASID_POOL.assign(vspace).expect("an identifier");
    space_of_puppet(system, puppet, vspace);
    assert!(runs(puppet));
    memory.slot().revoke().expect("to revoke");
    assert!(!runs(puppet), "an empty space");
    space_of_puppet_back(system, puppet);
    assert!(runs(puppet));
}

fn space_of_puppet_back(system: &mut System, puppet: &Puppet) {
    let badge = tern_target_tests::objects::PUPPET_BADGE;
    let handler = system
        .mint(puppet.faults, CapRights::all(), badge)
        .expect("a badge");
    puppet
        .tcb
        .set_space(Some(handler), init::CNODE, 0, init::VSPACE)
        .expect("the old space");
}

/// A pool's worth of address spaces, and one more.
fn identifiers(system: &mut System) {
    row("final.vspace.asid");
    const SPACES: u64 = 512;
    let memory = system.untyped(22).expect("memory");
    let node = system.cnode(10).expect("a CNode");
    let path = SlotPath::new(node, 0, 0);
    for start in [0, 256, 512] {
        let count = if start == 512 { 1 } else { 256 };
        memory
            .retype(ObjectType::VSpace, 0, path, start, count)
            .expect("VSpaces");
    }
    let pool_memory = system.untyped(12).expect("memory");
    let pool = system.slot().expect("a slot");
    init::ASID_CONTROL
        .make_pool(pool_memory, &pool)
        .expect("a pool");
    let slot = system.slot().expect("a slot");
    let assign = |index: u64| {
        let at = SlotPath::new(node, index, 10);
        slot.move_from(&at).expect("to move");
        let assigned = Cap::<AsidPool>::from_bits(pool.index).assign(Cap::from_bits(slot.index));
        at.move_from(&slot).expect("to move back");
        assigned
    };
    for index in 0..SPACES {
        assert_eq!(assign(index), Ok(()), "number {index}");
    }
    assert_eq!(assign(SPACES), Err(Error::DeleteFirst));
    node.delete(77, 10).expect("to delete");
    assert_eq!(assign(SPACES), Ok(()));
    node.delete(78, 10).expect("to delete");
    memory
        .retype(ObjectType::VSpace, 0, path, 77, 2)
        .expect("VSpaces");
    assert_eq!(assign(77), Ok(()));
    assert_eq!(assign(78), Err(Error::DeleteFirst));
    for cap in [memory, pool_memory] {
        system.destroy(cap).expect("to destroy");
    }
    system.destroy(node).expect("to destroy");
}

fn pools(system: &mut System, puppet: &Puppet) {
    row("final.asid-pool");
    let memory = system.untyped(12).expect("memory");
    let slot = system.slot().expect("a slot");
    init::ASID_CONTROL.make_pool(memory, &slot).expect("a pool");
    let pool = Cap::<AsidPool>::from_bits(slot.index);
    let vspace = object::<VSpace>(system);
    pool.assign(vspace).expect("an identifier");
    space_of_puppet(system, puppet, vspace);
    let frame = object::<SmallPage>(system);
    let at = 0x40_0000_0000;
    let attributes = VmAttributes::default();
    system
        .map_at(vspace, frame, at, CapRights::all(), attributes)
        .expect("to map");
    assert!(runs(puppet));
    let second = copy(system, pool);
    delete(pool);
    assert!(runs(puppet), "there is a copy");
    delete(second);
    assert!(!runs(puppet));
    assert_eq!(frame.clean_data(0, 8), Err(no_space()));
    let page = object::<SmallPage>(system);
    let mapped = page.map(vspace, 0x1000, CapRights::all(), attributes);
    assert_eq!(mapped, Err(no_space()));
    let clean = invoke(vspace.bits(), Invocation::VSpaceCleanData, &[], &[0, 8]);
    assert_eq!(clean, answer::invalid_root(false));
    // Its number can be a pool's again, which has nothing to do with what was.
    init::ASID_CONTROL
        .make_pool(memory, &slot)
        .expect("a pool again");
    assert!(!runs(puppet));
    let mapped = page.map(vspace, 0x1000, CapRights::all(), attributes);
    assert_eq!(mapped, Err(no_space()));
    space_of_puppet_back(system, puppet);
    assert!(runs(puppet));
    assert_eq!(frame.unmap(), Ok(()));
    memory.slot().revoke().expect("to revoke");
}

/// Whether nothing is in memory: what is asked is too large in any case.
fn is_free(memory: Cap<Untyped>) -> bool {
    let words = [ObjectType::Untyped as u64, 47, 0, 0, 0, 1];
    let root = init::CNODE.bits();
    let seen = invoke(memory.bits(), Invocation::UntypedRetype, &[root], &words);
    assert_eq!(seen.label, 10, "too large");
    seen.words[0] > 0
}

/// The thread holds the last capability to a CNode, a page, an address space and two endpoints; the CNode has two more.
fn slots_of_threads(system: &mut System) {
    row("final.tcb.slots");
    let tcb = object::<Tcb>(system);
    let make = |system: &mut System, object, size, bits| {
        let memory = system.untyped(bits).expect("memory");
        let slot = system.slot().expect("a slot");
        memory
            .retype_into(object, size, init::CNODE, slot.index)
            .expect("an object");
        (memory, slot)
    };
    let (node_memory, node) = make(system, ObjectType::CNode, 2, 7);
    let (frame_memory, frame) = make(system, ObjectType::SmallPage, 0, 12);
    let (fault_memory, fault) = make(system, ObjectType::Endpoint, 0, 4);
    let (timeout_memory, timeout) = make(system, ObjectType::Endpoint, 0, 4);
    let (first_memory, first) = make(system, ObjectType::Endpoint, 0, 4);
    let (other_memory, other) = make(system, ObjectType::Endpoint, 0, 4);
    let (vspace_memory, vspace) = make(system, ObjectType::VSpace, 0, 12);
    let node_cap = Cap::<CNode>::from_bits(node.index);
    for (slot, place) in [(first, 0), (other, 1)] {
        SlotPath::new(node_cap, place, 2)
            .move_from(&slot)
            .expect("to move");
    }
    init::ASID_POOL
        .assign(Cap::from_bits(vspace.index))
        .expect("an identifier");
    tcb.configure(
        node_cap,
        0,
        Cap::from_bits(vspace.index),
        0x1000,
        Some(Cap::from_bits(frame.index)),
    )
    .expect("to configure");
    let endpoint = |slot: SlotPath| Some(Cap::<Endpoint>::from_bits(slot.index));
    tcb.set_sched_params(init::TCB, 0, 0, None, endpoint(fault))
        .expect("a handler");
    tcb.set_timeout_endpoint(endpoint(timeout))
        .expect("a handler");
    for slot in [node, frame, fault, timeout, vspace] {
        slot.delete().expect("to delete");
    }
    let all = [
        frame_memory,
        fault_memory,
        timeout_memory,
        vspace_memory,
        first_memory,
    ];
    assert_eq!(all.map(is_free), [false; 5], "the thread has them");
    delete(tcb);
    assert_eq!(all.map(is_free), [true; 5]);
    // The CNode was found in an object that went: it is not taken apart, but for its first slot.
    assert!(!is_free(node_memory) && !is_free(other_memory));
    node_memory.slot().revoke().expect("to revoke");
    assert!(is_free(node_memory) && is_free(other_memory));
}

fn untyped_memory(system: &mut System) {
    rows(&["final.untyped", "object.memory.reset"]);
    let memory = system.untyped(14).expect("memory");
    let [half, page] = [0; 2].map(|_| system.slot().expect("a slot"));
    let root = init::CNODE;
    memory
        .retype_into(ObjectType::Untyped, 13, root, half.index)
        .expect("a half");
    Cap::<Untyped>::from_bits(half.index)
        .retype_into(ObjectType::SmallPage, 0, root, page.index)
        .expect("a page");
    let frame = Cap::<SmallPage>::from_bits(page.index);
    let address = frame.get_address();
    half.delete().expect("to delete");
    assert_eq!(frame.get_address(), address, "it is still there");
    assert!(address.is_ok());
    // The page is the memory's own child now, so that is not empty, and what was handed out stays so.
    let words = [0, 14, 0, 0, half.index, 1];
    let whole = || invoke_label(memory.bits(), 1, &[root.bits()], &words);
    assert_eq!(whole(), answer::not_enough_memory(1 << 13));
    page.delete().expect("to delete");
    assert_eq!(kind(page), cap_type::NULL);
    assert_eq!(whole(), answer::ok());
}
