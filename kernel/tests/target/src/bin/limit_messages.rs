//! Sizes of messages, of the IPC buffer and of the address space, and how many identifiers of address spaces there are.

#![no_std]
#![no_main]

use libsel4::abi::ObjectType;
use libsel4::{
    AsidPool, BootInfo, Cap, CapRights, Error, LargePage, PageTable, SlotPath, SmallPage, System,
    Tcb, VmAttributes, init, ipc_buffer, root_task,
};
use tern_target_tests::objects::{
    Ended, Puppet, answer, buffer_cap, buffer_word, call_registers, info, invoke_label, object,
};
use tern_target_tests::rows::{row, rows};

root_task!(main);

const USER_TOP: u64 = 0x7fff_ffff_ffff;

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let puppet = Puppet::new(&mut system, boot.cores() - 1, 100);
    messages(&mut system, &puppet);
    buffers(&mut system);
    addresses(&mut system);
    identifiers(&mut system);
}

fn messages(system: &mut System, puppet: &Puppet) {
    rows(&["limit.message-words", "limit.message-registers"]);
    let endpoint = system.endpoint().expect("an endpoint");
    let buffer = puppet.buffer();
    for index in 0..120 {
        buffer.write(buffer_word(index), 1000 + index as u64);
    }
    let send = |length, caps| {
        let info = info(3, caps, length);
        puppet.begin_syscall(&call_registers(-5, endpoint.bits(), info, [1, 2, 3, 4], 0));
    };
    for (length, arrives) in [(119, 119), (120, 120), (121, 120), (127, 120)] {
        send(length, 0);
        let received = endpoint.wait();
        // The word as the kernel wrote it.
        let raw = received.message.info().0 & 0x7f;
        assert_eq!(raw, arrives as u64, "{length} words");
        assert_eq!(received.message.registers(), [1, 2, 3, 4]);
        for index in 4..arrives {
            assert_eq!(ipc_buffer::word(index), 1000 + index as u64);
        }
        assert!(matches!(puppet.end_of_syscall(), Ended::Returned(_)));
    }
    row("limit.extra-caps");
    for place in 0..3 {
        let badge = 0x10 + place as u64;
        let badged = system.mint(endpoint, CapRights::all(), badge);
        buffer.write(buffer_cap(place), badged.expect("a badge").bits());
    }
    // The number has two bits, and what is behind the third place is the receive slot.
    for count in 0..4 {
        send(0, count);
        let received = endpoint.wait();
        assert_eq!(received.message.extra_caps() as u64, count);
        for place in 0..count {
            assert_eq!(ipc_buffer::badge(place as usize), 0x10 + place);
        }
        assert!(matches!(puppet.end_of_syscall(), Ended::Returned(_)));
    }
}

fn buffers(system: &mut System) {
    row("limit.ipc-buffer");
    let tcb = object::<Tcb>(system).bits();
    let frame = object::<SmallPage>(system).bits();
    let set = |vaddr: u64| invoke_label(tcb, 10, &[frame], &[vaddr]);
    for bit in 0..10 {
        assert_eq!(set(0x1000 + (1 << bit)), answer::alignment(), "bit {bit}");
    }
    for vaddr in [0x1000, 0x1400, 0x1800, 0x1c00] {
        assert_eq!(set(vaddr), answer::ok(), "{vaddr:#x}");
    }
}

fn addresses(system: &mut System) {
    row("limit.user-addresses");
    let attributes = VmAttributes::default();
    let page = object::<SmallPage>(system);
    let large = object::<LargePage>(system);
    let table = object::<PageTable>(system);
    let vspace = init::VSPACE;
    let outside = Err(Error::InvalidArgument { index: 0 });
    let all = CapRights::all();
    assert_eq!(page.map(vspace, USER_TOP + 1, all, attributes), outside);
    assert_eq!(large.map(vspace, USER_TOP + 1, all, attributes), outside);
    assert_eq!(table.map(vspace, USER_TOP + 1, attributes), outside);
    // The last page, with the tables that it needs.
    let last = USER_TOP - 0xfff;
    system
        .map_at(vspace, page, last as usize, all, attributes)
        .expect("to map");
    let word = (USER_TOP - 7) as *mut u64;
    // SAFETY: the page is mapped there, for nothing else.
    unsafe { word.write_volatile(0x77) };
    // SAFETY: as above.
    assert_eq!(unsafe { word.read_volatile() }, 0x77);
}

fn identifiers(system: &mut System) {
    row("limit.asid-pools");
    const POOLS: u64 = 127;
    let memory = system.untyped(19).expect("memory");
    let node = system.cnode(8).expect("a CNode");
    let path = SlotPath::new(node, 0, 0);
    memory
        .retype(ObjectType::Untyped, 12, path, 0, POOLS + 1)
        .expect("memory");
    let [piece, pool] = [0; 2].map(|_| system.slot().expect("a slot"));
    let make = |index: u64| {
        let at = |index| SlotPath::new(node, index, 8);
        piece.move_from(&at(index)).expect("to move");
        let made = init::ASID_CONTROL.make_pool(Cap::from_bits(piece.index), &pool);
        at(index).move_from(&piece).expect("to move back");
        if made.is_ok() {
            at(128 + index).move_from(&pool).expect("to move");
        }
        made
    };
    for index in 0..POOLS {
        assert_eq!(make(index), Ok(()), "pool {index}");
    }
    assert_eq!(make(POOLS), Err(Error::DeleteFirst), "there are 128");
    node.delete(128 + 5, 8).expect("to delete");
    assert_eq!(make(POOLS), Ok(()), "one was given back");
    system.destroy(memory).expect("to destroy");

    row("limit.asids");
    let memory = system.untyped(22).expect("memory");
    let spaces = system.cnode(10).expect("a CNode");
    let path = SlotPath::new(spaces, 0, 0);
    for start in [0, 256, 512] {
        memory
            .retype(ObjectType::VSpace, 0, path, start, 256)
            .expect("VSpaces");
    }
    let slot = system.slot().expect("a slot");
    // Whether the next VSpace gets an ASID from a pool.
    let assign = |pool: Cap<AsidPool>, index: u64| {
        slot.move_from(&SlotPath::new(spaces, index, 10))
            .expect("to move");
        let assigned = pool.assign(Cap::from_bits(slot.index));
        slot.delete().expect("to delete");
        assigned
    };
    let keep = |pool: Cap<AsidPool>, index: u64| {
        slot.move_from(&SlotPath::new(spaces, index, 10))
            .expect("to move");
        let assigned = pool.assign(Cap::from_bits(slot.index));
        SlotPath::new(spaces, index, 10)
            .move_from(&slot)
            .expect("to move back");
        assigned
    };
    // In the first pool the number 0 and the one of the test's own VSpace are taken.
    for index in 0..510 {
        assert_eq!(keep(init::ASID_POOL, index), Ok(()), "number {index}");
    }
    assert_eq!(keep(init::ASID_POOL, 510), Err(Error::DeleteFirst));
    assert_eq!(spaces.delete(7, 10), Ok(()));
    for index in 510..600 {
        assert_eq!(assign(init::ASID_POOL, index), Ok(()), "one at a time");
    }
    memory.slot().revoke().expect("to revoke");
}
