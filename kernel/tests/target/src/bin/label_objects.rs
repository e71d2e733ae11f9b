//! What each label of the objects of memory and capabilities asks for, told by what happens. The numbers are written out
//! here, not taken from the library. `label_threads` has those of threads and time.
//!
//! gic: 2 3

#![no_std]
#![no_main]

use libsel4::abi::cap_type;
use libsel4::{
    BootInfo, CapRights, PageTable, SlotPath, SmallPage, System, Tcb, VSpace, init, root_task,
};
use tern_target_tests::objects::{
    Answer, Pause, Window, answer, invoke_label, kind, kind_at, object,
};
use tern_target_tests::rows::row;

root_task!(main);

const ROOT: u64 = init::CNODE.bits();
const ALL: u64 = 0xf;

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    memory(&mut system);
    cnodes(&mut system);
    interrupts(&mut system);
    domains();
    address_spaces(&mut system);
}

fn memory(system: &mut System) {
    row("label.1");
    let memory = system.untyped(12).expect("memory");
    let slot = system.slot().expect("a slot");
    let words = [1, 0, 0, 0, slot.index, 1];
    assert_eq!(
        invoke_label(memory.bits(), 1, &[ROOT], &words),
        answer::ok()
    );
    assert_eq!(kind(slot), cap_type::THREAD);

    row("label.53");
    let memory = system.untyped(12).expect("memory");
    let pool = system.slot().expect("a slot");
    let caps = [memory.bits(), ROOT];
    let made = invoke_label(init::ASID_CONTROL.bits(), 53, &caps, &[pool.index, 64]);
    assert_eq!((made, kind(pool)), (answer::ok(), cap_type::ASID_POOL));

    row("label.54");
    let vspace = object::<VSpace>(system).bits();
    let assign = || invoke_label(pool.index, 54, &[vspace], &[]);
    assert_eq!(assign(), answer::ok());
    assert_eq!(assign(), answer::invalid_capability(1), "it has one");
}

fn cnodes(system: &mut System) {
    let node = system.cnode(3).expect("a CNode");
    let at = |index| SlotPath::new(node, index, 3);
    let tcb = object::<Tcb>(system);
    let inner = system.cnode(4).expect("a CNode");
    let ask = |label, caps: &[u64], words: &[u64]| invoke_label(node.bits(), label, caps, words);
    let kinds = |system: &mut System, expected: [u64; 4]| {
        let seen = [0, 1, 2, 3].map(|index| kind_at(system, at(index)));
        assert_eq!(seen, expected);
    };
    const T: u64 = cap_type::THREAD;
    const N: u64 = cap_type::CNODE;
    row("label.21");
    assert_eq!(ask(21, &[ROOT], &[0, 3, tcb.bits(), 64, ALL]), answer::ok());
    kinds(system, [T, 0, 0, 0]);
    assert_eq!(kind(tcb.slot()), T, "the source stays");

    row("label.22");
    // A guard of three bits, 5.
    let words = [1, 3, inner.bits(), 64, ALL, 5 << 6 | 3];
    assert_eq!(ask(22, &[ROOT], &words), answer::ok());
    kinds(system, [T, N, 0, 0]);
    let through = |index: u64| ask(19, &[], &[index << 7, 10]);
    let guard = |bits, guard, size| answer::guard_mismatch(false, bits, guard, size);
    assert_eq!(through(1), guard(7, 5, 3));

    row("label.23");
    assert_eq!(ask(23, &[node.bits()], &[2, 3, 1, 3]), answer::ok());
    kinds(system, [T, 0, N, 0]);
    assert_eq!(through(2), guard(7, 5, 3), "as it was");

    row("label.24");
    assert_eq!(
        ask(24, &[node.bits()], &[3, 3, 2, 3, 1 << 6 | 1]),
        answer::ok()
    );
    kinds(system, [T, 0, 0, N]);
    assert_eq!(through(3), guard(7, 1, 1), "with another guard");

    row("label.25");
    let words = [1, 3, 0, 0, 3, 0, 3, 3];
    assert_eq!(ask(25, &[node.bits(); 2], &words), answer::ok());
    kinds(system, [N, T, 0, 0]);

    row("label.20");
    assert_eq!(ask(20, &[], &[1, 3]), answer::illegal_operation());
    let endpoint = system.endpoint().expect("an endpoint");
    let copy = at(2).copy_from(&endpoint.slot(), CapRights::all());
    copy.expect("a copy");
    assert_eq!(ask(20, &[], &[2, 3]), answer::ok());
    kinds(system, [N, T, cap_type::ENDPOINT, 0]);

    row("label.18");
    assert_eq!(invoke_label(ROOT, 18, &[], &[tcb.bits(), 64]), answer::ok());
    kinds(system, [N, 0, cap_type::ENDPOINT, 0]);
    assert_eq!(kind(tcb.slot()), T, "what was derived is gone, this is not");

    row("label.19");
    assert_eq!(ask(19, &[], &[2, 3]), answer::ok());
    kinds(system, [N, 0, 0, 0]);
}

fn interrupts(system: &mut System) {
    let control = init::IRQ_CONTROL.bits();
    let slot = system.slot().expect("a slot");
    let get = |label, words: &[u64]| {
        assert_eq!(invoke_label(control, label, &[ROOT], words), answer::ok());
        assert_eq!(kind(slot), cap_type::IRQ_HANDLER, "label {label}");
        slot.delete().expect("to delete");
    };
    row("label.26");
    get(26, &[40, slot.index, 64]);
    row("label.55");
    get(55, &[40, 1, slot.index, 64]);
    row("label.56");
    get(56, &[40, 1, slot.index, 64, 0]);

    row("label.57");
    let words = [4, 0, slot.index, 64];
    assert_eq!(invoke_label(control, 57, &[ROOT], &words), answer::ok());
    assert_eq!(kind(slot), cap_type::SGI_SIGNAL);

    // The serial port's line: it stays up until the port is told.
    let pause = Pause::new(system);
    let port = system.map_device::<SmallPage>(0x900_0000).expect("a port");
    let write = |register: usize, value: u32| {
        // SAFETY: the device's registers are mapped there for good.
        unsafe { ((port + register) as *mut u32).write_volatile(value) }
    };
    let notification = system.notification().expect("a notification");
    let line = system.slot().expect("a slot");
    let handler = line.index;
    init::IRQ_CONTROL.get(33, &line).expect("a handler");
    row("label.28");
    assert_eq!(
        invoke_label(handler, 28, &[ROOT], &[]),
        answer::invalid_capability(0)
    );
    let came = || {
        pause.pause();
        notification.poll()
    };
    let badged = system
        .mint(notification, CapRights::WRITE, 3)
        .expect("a badge");
    assert_eq!(
        invoke_label(handler, 28, &[badged.bits()], &[]),
        answer::ok()
    );
    write(0, u32::from(b' '));
    write(0x38, 1 << 5);
    assert_eq!(came(), 3);
    row("label.27");
    assert_eq!(came(), 0, "masked");
    assert_eq!(invoke_label(handler, 27, &[], &[]), answer::ok());
    assert_eq!(came(), 3, "it is still up");
    row("label.29");
    assert_eq!(invoke_label(handler, 29, &[], &[]), answer::ok());
    assert_eq!(invoke_label(handler, 27, &[], &[]), answer::ok());
    assert_eq!(came(), 0, "nobody is told");
    write(0x38, 0);
    write(0x44, 0x7ff);
    line.delete().expect("to delete");
}

fn domains() {
    let ask = |label, caps: &[u64], words: &[u64]| {
        invoke_label(init::DOMAIN_SET.bits(), label, caps, words)
    };
    row("label.30");
    assert_eq!(ask(30, &[init::TCB.bits()], &[0]), answer::ok());
    assert_eq!(ask(30, &[ROOT], &[0]), answer::invalid_argument(1));
    row("label.31");
    assert_eq!(ask(31, &[], &[0, 0, 1]), answer::ok());
    assert_eq!(ask(31, &[], &[0, 1, 1]), answer::range(0, 0));
    row("label.32");
    assert_eq!(ask(32, &[], &[0]), answer::ok());
    assert_eq!(ask(32, &[], &[2]), answer::range(0, 1));
}

fn address_spaces(system: &mut System) {
    let vspace = init::VSPACE.bits();
    let addresses = system.addresses(1 << 31, 1 << 30).expect("addresses");
    let vaddr = addresses.start as u64;
    let tables: [u64; 2] = core::array::from_fn(|_| object::<PageTable>(system).bits());
    row("label.44");
    let map_table = |table, vaddr| invoke_label(table, 44, &[vspace], &[vaddr, 0]);
    // The table for 2 MiB may need one for 1 GiB first.
    assert_eq!(map_table(tables[0], vaddr), answer::ok());
    let again = map_table(tables[0], vaddr);
    assert_eq!(again, answer::invalid_capability(0), "it is mapped");
    row("label.45");
    let unmap_table = |table| invoke_label(table, 45, &[], &[]);
    assert_eq!(unmap_table(tables[0]), answer::ok());
    assert_eq!(map_table(tables[0], vaddr), answer::ok());
    assert_eq!(map_table(tables[1], vaddr), answer::ok());

    row("label.46");
    let frame = object::<SmallPage>(system);
    let page = |label, caps: &[u64], words: &[u64]| invoke_label(frame.bits(), label, caps, words);
    let other = system.copy(frame, CapRights::all()).expect("a copy");
    let window = Window::map(system, other);
    window.write(8, 0x1234);
    // To be read only.
    assert_eq!(page(46, &[vspace], &[vaddr, 2, 3]), answer::ok());
    // SAFETY: the page was just mapped there, for nothing else.
    let seen = unsafe { ((vaddr + 8) as *const u64).read_volatile() };
    assert_eq!(seen, 0x1234);

    row("label.52");
    let address = page(52, &[], &[]);
    assert_eq!(
        address,
        Answer::new(0, &[other.get_address().expect("one")])
    );

    // Cleaning and the like have no result; what they refuse tells them apart, as far as it can be.
    let range = [8, 16];
    let in_space = [vaddr + 8, vaddr + 16];
    let on_space = |label, words: &[u64]| invoke_label(vspace, label, &[], words);
    row("label.48");
    assert_eq!(page(48, &[], &range), answer::ok());
    assert_eq!(page(48, &[], &[8, 4097]), answer::invalid_argument(0));
    row("label.49");
    assert_eq!(page(49, &[], &range), answer::illegal_operation());
    row("label.50");
    assert_eq!(page(50, &[], &range), answer::ok());
    assert_eq!(page(50, &[], &[8, 8]), answer::invalid_argument(1));
    row("label.51");
    assert_eq!(page(51, &[], &range), answer::ok());
    assert_eq!(page(51, &[], &[8, 4097]), answer::invalid_argument(0));
    let beyond = [vaddr + 8, vaddr + 4097];
    let refused = answer::range(vaddr + 8, vaddr + 4095);
    row("label.39");
    assert_eq!(on_space(39, &in_space), answer::ok());
    assert_eq!(on_space(39, &beyond), refused);
    row("label.40");
    assert_eq!(on_space(40, &in_space), answer::illegal_operation());
    row("label.41");
    assert_eq!(on_space(41, &in_space), answer::ok());
    assert_eq!(on_space(41, &beyond), refused);
    row("label.42");
    assert_eq!(on_space(42, &in_space), answer::ok());
    assert_eq!(on_space(42, &beyond), refused);

    row("label.47");
    assert_eq!(page(47, &[], &[]), answer::ok());
    assert_eq!(
        page(48, &[], &range),
        answer::illegal_operation(),
        "unmapped"
    );
    assert_eq!(window.read(8), 0x1234, "the other mapping stays");
}
