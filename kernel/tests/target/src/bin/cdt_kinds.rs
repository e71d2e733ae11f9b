//! For every kind of capability: what is derived from it, shown by what a revoke takes and what it leaves.
//!
//! gic: 2 3

#![no_std]
#![no_main]

use libsel4::invoke::Trigger;
use libsel4::{
    BootInfo, CNodeCapData, Cap, CapRights, CapType, Error, IrqHandler, Notification, Null,
    PageTable, Reply, SgiSignal, SlotPath, SmallPage, System, Tcb, VmAttributes, init, root_task,
};
use tern_target_tests::objects::{Pause, answer, invoke_label, kind, object};
use tern_target_tests::rows::{row, rows};

root_task!(main);

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    originals(&mut system);
    controls(&mut system);
    cnodes(&mut system);
    asid_pools(&mut system);
    handlers(&mut system);
    signals(&mut system);
    installed_in_handler(&mut system);
    last_capability(&mut system);
}

fn is_there<T: CapType>(cap: Cap<T>) -> bool {
    kind(cap.slot()) != 0
}

fn copy<T: CapType>(system: &mut System, cap: Cap<T>) -> Cap<T> {
    system.copy(cap, CapRights::all()).expect("a copy")
}

fn revoke<T: CapType>(cap: Cap<T>) {
    cap.slot().revoke().expect("to revoke");
}

/// An original takes its copies and theirs; a copy takes nothing; other objects of the kind are left.
fn family(system: &mut System, original: Cap<Null>, other: Option<Cap<Null>>) {
    let first = copy(system, original);
    let second = copy(system, original);
    let of_first = copy(system, first);
    let of_other = other.map(|other| copy(system, other));
    for taker in [first, second, of_first] {
        revoke(taker);
        assert!([original, first, second, of_first].map(is_there) == [true; 4]);
    }
    revoke(original);
    let seen = [original, first, second, of_first].map(is_there);
    assert_eq!(seen, [true, false, false, false], "{original:?}");
    if let (Some(other), Some(of_other)) = (other, of_other) {
        assert!(is_there(other) && is_there(of_other), "{other:?}");
        revoke(other);
        assert!(is_there(other) && !is_there(of_other), "{other:?}");
    }
}

/// Makes an object of one kind.
type Maker = fn(&mut System) -> Cap<Null>;

fn originals(system: &mut System) {
    let pair = |system: &mut System, make: Maker| (make(system), Some(make(system)));
    let makers: [(&str, Maker); 7] = [
        ("cdt.thread", |system| object::<Tcb>(system).cast()),
        ("cdt.reply", |system| object::<Reply>(system).cast()),
        ("cdt.notification", |system| {
            object::<Notification>(system).cast()
        }),
        ("cdt.sched-context", |system| {
            system.sched_context(8).expect("one").cast()
        }),
        ("cdt.frame", |system| object::<SmallPage>(system).cast()),
        ("cdt.vspace", |system| {
            system.vspace().expect("an address space").cast()
        }),
        ("cdt.page-table", |system| {
            let table = object::<PageTable>(system);
            let at = system.addresses(1 << 30, 1 << 30).expect("addresses").start as u64;
            table
                .map(init::VSPACE, at, VmAttributes::default())
                .expect("to map");
            table.cast()
        }),
    ];
    for (id, make) in makers {
        rows(&[id, "cdt.copy.siblings", "cdt.copy.nothing"]);
        let (original, other) = pair(system, make);
        family(system, original, other);
    }
    row("cdt.frame");
    // With fewer rights, and mapped: all the same.
    let frame = object::<SmallPage>(system);
    let narrow = system.copy(frame, CapRights::READ).expect("a copy");
    let none = system.copy(narrow, CapRights::empty()).expect("a copy");
    system
        .map(narrow, CapRights::READ, VmAttributes::default())
        .expect("to map");
    revoke(frame);
    assert!(!is_there(narrow) && !is_there(none));
}

/// Capabilities of the start that stand for no object.
fn controls(system: &mut System) {
    let last = system.cores() - 1;
    let [first_core, last_core] = [0, last].map(|core| system.boot().sched_control(core));
    rows(&["cdt.sched-control", "cdt.boot"]);
    let other = (last > 0).then_some(last_core.cast());
    family(system, first_core.cast(), other);
    rows(&["cdt.domain", "cdt.boot"]);
    family(system, init::DOMAIN_SET.cast(), None);
    rows(&["cdt.asid-control", "cdt.boot"]);
    family(system, init::ASID_CONTROL.cast(), None);
    row("cdt.boot");
    let kept = [copy(system, init::ASID_CONTROL).cast::<Null>()];
    for cap in [
        init::TCB.cast::<Null>(),
        init::DOMAIN_SET.cast(),
        init::SCHED_CONTEXT.cast(),
        first_core.cast(),
    ] {
        revoke(cap);
        assert!(is_there(cap) && kept.map(is_there) == [true]);
        assert!(is_there(init::TCB) && is_there(init::VSPACE) && is_there(init::ASID_POOL));
    }
    revoke(init::ASID_CONTROL);
    assert_eq!(kept.map(is_there), [false]);
    // Nothing happens with a copy's end, and the original serves on.
    row("final.controls");
    for control in [
        init::DOMAIN_SET.cast::<Null>(),
        init::ASID_CONTROL.cast(),
        first_core.cast(),
    ] {
        let doubled = copy(system, control);
        doubled.slot().delete().expect("to delete");
        assert!(is_there(control));
    }
    let sched = system.sched_context(0).expect("a scheduling context");
    assert_eq!(first_core.configure(sched, 1000, 1000, 0, 0), Ok(()));
    assert_eq!(init::DOMAIN_SET.set(0, object(system)), Ok(()));
}

fn cnodes(system: &mut System) {
    row("cdt.cnode");
    let node = system.cnode(4).expect("a CNode");
    let other = system.cnode(4).expect("a CNode");
    family(system, node.cast(), Some(other.cast()));
    let guarded = system
        .mint(node, CapRights::all(), CNodeCapData::new(5, 3).0)
        .expect("a guard");
    let of_guarded = system
        .mint(guarded, CapRights::all(), CNodeCapData::new(1, 1).0)
        .expect("another guard");
    revoke(guarded);
    assert!(is_there(of_guarded));
    revoke(node);
    assert!(is_there(node) && !is_there(guarded) && !is_there(of_guarded));
}

fn asid_pools(system: &mut System) {
    row("cdt.asid-pool");
    let memory = system.untyped(12).expect("memory");
    let slot = system.slot().expect("a slot");
    init::ASID_CONTROL.make_pool(memory, &slot).expect("a pool");
    let pool = Cap::<Null>::from_bits(slot.index);
    let first = copy(system, pool);
    let second = copy(system, first);
    revoke(pool);
    revoke(first);
    assert!(is_there(pool) && is_there(first) && is_there(second));
    // Nor does revoking the control take a pool.
    revoke(init::ASID_CONTROL);
    assert!(is_there(pool));
    revoke(memory);
    assert!(!is_there(pool) && !is_there(first) && !is_there(second));
    // The initial pool is the parent of its copies, as all capabilities of the start are.
    let of_initial = copy(system, init::ASID_POOL);
    revoke(init::ASID_POOL);
    assert!(!is_there(of_initial));
}

fn handlers(system: &mut System) {
    rows(&["cdt.irq-handler", "cdt.irq-handler.others"]);
    let handler = |system: &mut System, line| {
        let slot = system.slot().expect("a slot");
        init::IRQ_CONTROL.get(line, &slot).expect("a handler");
        Cap::<Null>::from_bits(slot.index)
    };
    let one = handler(system, 50);
    let two = handler(system, 51);
    family(system, one, Some(two));
    family(system, two, Some(one));
    let copies = [copy(system, one), copy(system, two)];
    revoke(init::IRQ_CONTROL);
    let all = [one, two, copies[0], copies[1]].map(is_there);
    assert_eq!(all, [false; 4]);
    assert!(is_there(init::IRQ_CONTROL));
    rows(&["final.irq-handler", "final.irq-handler.not-last"]);
    // Taken until the last of its capabilities is gone.
    let one = handler(system, 50);
    let again = copy(system, one);
    let place = system.slot().expect("a slot");
    let issue = || init::IRQ_CONTROL.get(50, &place);
    one.slot().delete().expect("to delete");
    assert_eq!(issue(), Err(Error::RevokeFirst));
    again.slot().delete().expect("to delete");
    assert_eq!(issue(), Ok(()));
    place.delete().expect("to delete");
    // The original's copies are nobody's children once it is gone, but the control's.
    let one = handler(system, 50);
    let [first, second] = [0; 2].map(|_| copy(system, one));
    one.slot().delete().expect("to delete");
    revoke(first);
    revoke(second);
    assert!(is_there(first) && is_there(second));
    revoke(init::IRQ_CONTROL);
    assert!(!is_there(first) && !is_there(second));
}

fn signals(system: &mut System) {
    row("cdt.sgi");
    let signal = |system: &mut System, sgi| {
        let slot = system.slot().expect("a slot");
        let issued = init::IRQ_CONTROL.issue_sgi_signal(sgi, 0, &slot);
        issued.expect("a signal");
        Cap::<Null>::from_bits(slot.index)
    };
    // Two originals for the same, and one for another.
    let one = signal(system, 7);
    let same = signal(system, 7);
    let other = signal(system, 8);
    family(system, one, Some(same));
    family(system, same, Some(one));
    family(system, one, Some(other));
    let copies = [one, same, other].map(|cap| copy(system, cap));
    revoke(init::IRQ_CONTROL);
    assert_eq!([one, same, other].map(is_there), [false; 3]);
    assert_eq!(copies.map(is_there), [false; 3]);
}

fn installed_in_handler(system: &mut System) {
    rows(&["cdt.installed.irq", "final.irq-handler"]);
    let pause = Pause::new(system);
    let [line, sgi] = [0; 2].map(|_| system.slot().expect("a slot"));
    init::IRQ_CONTROL
        .get_trigger_core(6, Trigger::Edge, 0, &line)
        .expect("a handler");
    init::IRQ_CONTROL
        .issue_sgi_signal(6, 0, &sgi)
        .expect("a signal");
    let handler = Cap::<IrqHandler>::from_bits(line.index);
    let signal = Cap::<SgiSignal>::from_bits(sgi.index);
    let notification = system.notification().expect("a notification");
    let came = || {
        signal.signal();
        pause.pause();
        handler.ack().expect("to acknowledge");
        notification.poll()
    };
    let install = |badged: Cap<Notification>| {
        handler.set_notification(badged).expect("a notification");
    };
    let badge = |system: &mut System, badge| {
        let minted = system.mint(notification, CapRights::WRITE, badge);
        minted.expect("a badge")
    };
    let badged = badge(system, 4);
    install(badged);
    assert_eq!(came(), 4);
    // What is installed is a copy: the source may go, or be revoked with it.
    badged.slot().delete().expect("to delete");
    assert_eq!(came(), 4);
    let badged = badge(system, 8);
    install(badged);
    assert_eq!(came(), 8);
    revoke(badged);
    assert_eq!(came(), 0, "the copy went");
    install(badged);
    assert_eq!(came(), 8);
    revoke(notification);
    assert!(!is_there(badged));
    assert_eq!(came(), 0);
    // An installed capability is also a reason for the object to stay, until it is replaced.
    let extra = system.notification().expect("a notification");
    let tcb = object::<Tcb>(system);
    tcb.bind_notification(extra).expect("to bind");
    install(extra);
    extra.slot().delete().expect("to delete");
    assert_eq!(
        tcb.bind_notification(notification),
        Err(Error::IllegalOperation)
    );
    handler.clear().expect("to clear");
    assert_eq!(
        tcb.bind_notification(notification),
        Ok(()),
        "the other went"
    );
    tcb.unbind_notification().expect("to unbind");
    // With the handler it goes too.
    let extra = system.notification().expect("a notification");
    tcb.bind_notification(extra).expect("to bind");
    install(extra);
    extra.slot().delete().expect("to delete");
    line.delete().expect("to delete");
    assert_eq!(
        tcb.bind_notification(notification),
        Ok(()),
        "the other went"
    );
    tcb.unbind_notification().expect("to unbind");
    signal.signal();
    pause.pause();
    assert_eq!(notification.poll(), 0);
}

/// An object goes with the last of its capabilities, in whatever order they are deleted.
fn last_capability(system: &mut System) {
    rows(&[
        "cdt.final",
        "delete.last",
        "delete.not-last",
        "final.notification.tcb",
    ]);
    let stranger = system.notification().expect("a notification");
    let memory = system.untyped(10).expect("memory");
    let slots: [SlotPath; 4] = core::array::from_fn(|_| system.slot().expect("a slot"));
    // All orders of four.
    for order in 0..24 {
        let tcb = object::<Tcb>(system);
        let [original, copied, badged, of_badged] = slots;
        memory
            .retype_into(
                libsel4::ObjectType::Notification,
                0,
                init::CNODE,
                original.index,
            )
            .expect("a notification");
        let all = CapRights::all();
        copied.copy_from(&original, all).expect("a copy");
        badged.mint_from(&original, all, 3).expect("a badge");
        of_badged.copy_from(&badged, all).expect("a copy");
        tcb.bind_notification(Cap::from_bits(original.index))
            .expect("to bind");
        let mut left = slots.to_vec();
        let mut number = order;
        while !left.is_empty() {
            assert_eq!(
                tcb.bind_notification(stranger),
                Err(Error::IllegalOperation),
                "order {order}, {} left",
                left.len()
            );
            let next = left.remove(number % left.len());
            next.delete().expect("to delete");
            number /= left.len() + 1;
        }
        assert_eq!(tcb.bind_notification(stranger), Ok(()), "order {order}");
        tcb.unbind_notification().expect("to unbind");
        // Its memory is free.
        let words = [0, 10, 0, 0, original.index, 1];
        let root = init::CNODE.bits();
        assert_eq!(
            invoke_label(memory.bits(), 1, &[root], &words),
            answer::ok()
        );
        original.delete().expect("to delete");
        system.destroy(tcb).expect("to destroy");
    }
}
