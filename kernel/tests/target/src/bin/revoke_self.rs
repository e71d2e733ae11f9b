//! Threads that revoke what they themselves consist of, or what leads them to what they revoke. The kernel goes on as long
//! as it can, nothing is lost, and somebody else can finish.

#![no_std]
#![no_main]

use core::time::Duration;

use libsel4::abi::{Invocation, ObjectType};
use libsel4::{
    BootInfo, Budget, CNode, CNodeCapData, Cap, CapRights, Endpoint, Error, SlotPath, System, Tcb,
    ThreadBuilder, Untyped, UserContext, init, root_task, syscall,
};
use tern_target_tests::objects::{Answer, Pause, Puppet, call_registers, info, kind};
use tern_target_tests::rows::row;

root_task!(main);

const RADIX: u64 = 12;
const SLOTS: u64 = 1 << RADIX;

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let pause = Pause::new(&mut system);
    for core in [0, boot.cores() - 1] {
        own_thread(&mut system, &pause, core, false);
    }
    own_slot(&mut system, &pause);
    // From here on something interrupts core 0 all the time.
    ThreadBuilder::new("interrupter")
        .priority(200)
        .budget(Budget::periodic(
            Duration::from_micros(20),
            Duration::from_micros(150),
        ))
        .spawn::<(), _>(&mut system, || {
            loop {
                syscall::yield_now();
            }
        })
        .expect("a thread");
    own_thread(&mut system, &pause, 0, true);
    own_path(&mut system, &pause);
}

/// Memory with many endpoints in it, and with room for more, which stands in front of them in the order of derivation.
struct Memory {
    cap: Cap<Untyped>,
    node: Cap<CNode>,
    empty: SlotPath,
}

impl Memory {
    fn new(system: &mut System) -> Self {
        let memory = Self {
            cap: system.untyped(18).expect("memory"),
            node: system.cnode(RADIX as u8).expect("a CNode"),
            empty: system.slot().expect("a slot"),
        };
        let path = SlotPath::new(memory.node, 0, 0);
        for start in (0..SLOTS).step_by(256) {
            memory
                .cap
                .retype(ObjectType::Endpoint, 0, path, start, 256)
                .expect("endpoints");
        }
        memory
    }

    /// How many endpoints there are.
    fn left(&self) -> u64 {
        let is_full = |index: &u64| {
            let at = SlotPath::new(self.node, *index, RADIX);
            at.copy_from(&self.empty, CapRights::all()) == Err(Error::DeleteFirst)
        };
        (0..SLOTS).filter(is_full).count() as u64
    }

    /// Somebody else revokes what is left, and all of the memory can be had.
    fn finish(self, system: &mut System) {
        self.cap.slot().revoke().expect("to revoke");
        assert_eq!(self.left(), 0);
        let at = self.empty;
        self.cap
            .retype_into(ObjectType::Untyped, 18, init::CNODE, at.index)
            .expect("all of the memory");
        at.delete().expect("to delete");
        system.free_slot(at);
        system.destroy(self.cap).expect("to destroy");
        system.destroy(self.node).expect("to destroy");
    }
}

/// What a thread needs to make one call, in a capability space of its own or the test's.
fn start(
    system: &mut System,
    tcb: Cap<Tcb>,
    core: usize,
    (space, guard): (Cap<CNode>, u64),
    handler: Cap<Endpoint>,
    registers: &UserContext,
) {
    let sched = system.sched_context(0).expect("a scheduling context");
    system
        .boot()
        .sched_control(core)
        .configure(sched, 5000, 5000, 0, 0)
        .expect("a budget");
    tcb.configure(space, guard, init::VSPACE, 0, None)
        .expect("to configure");
    tcb.set_sched_params(init::TCB, 0, 100, Some(sched), Some(handler))
        .expect("a budget");
    let context = UserContext {
        pc: Puppet::trap_address(),
        ..*registers
    };
    tcb.write_registers(true, &context).expect("to start");
}

fn revoke_registers(root: u64, index: u64, depth: u64) -> UserContext {
    let label = Invocation::CNodeRevoke.label();
    call_registers(-1, root, info(label, 0, 2), [index, depth, 0, 0], 0)
}

/// The thread is in the memory that it revokes.
fn own_thread(system: &mut System, pause: &Pause, core: usize, interrupted: bool) {
    row("revoke.self.thread");
    let memory = Memory::new(system);
    let slot = system.slot().expect("a slot");
    let handler = system.endpoint().expect("an endpoint");
    memory
        .cap
        .retype_into(ObjectType::Tcb, 0, init::CNODE, slot.index)
        .expect("a thread");
    let tcb = Cap::<Tcb>::from_bits(slot.index);
    let registers = revoke_registers(init::CNODE.bits(), memory.cap.bits(), 64);
    start(system, tcb, core, (init::CNODE, 0), handler, &registers);
    for _ in 0..50 {
        pause.pause();
    }
    assert_eq!(kind(slot), 0, "the thread is gone");
    assert_eq!(handler.poll().label(), 0, "and says nothing");
    let left = memory.left();
    if interrupted {
        assert!(left > 0 && left < SLOTS, "{left} are left");
    }
    memory.finish(system);
    system.free_slot(slot);
    system.destroy(handler).expect("to destroy");
}

/// The thread's capability space is in the memory, in front of everything else.
fn own_path(system: &mut System, pause: &Pause) {
    row("revoke.self.path");
    let memory = Memory::new(system);
    let slot = system.slot().expect("a slot");
    let handler = system.endpoint().expect("an endpoint");
    memory
        .cap
        .retype_into(ObjectType::CNode, 1, init::CNODE, slot.index)
        .expect("a CNode");
    // Slot 1 is the way to the test's CNode.
    let space = Cap::<CNode>::from_bits(slot.index);
    let way = SlotPath::new(space, 1, 1);
    way.copy_from(&init::CNODE.slot(), CapRights::all())
        .expect("a copy");
    let tcb = system.object::<Tcb>().expect("a thread");
    let guard = CNodeCapData::new(0, 63).0;
    let registers = revoke_registers(1, memory.cap.bits(), 64);
    start(system, tcb, 0, (space, guard), handler, &registers);
    let received = handler.wait();
    let fault = Answer::of(&received.message);
    // Its space is no CNode any more.
    let words = [Puppet::trap_address(), 1, 0, 1];
    assert_eq!(fault, Answer::new(1, &words));
    let left = memory.left();
    assert!(left > 0 && left < SLOTS, "{left} are left");
    pause.pause();
    assert_eq!(memory.left(), left, "nobody goes on");
    memory.finish(system);
    system.destroy(tcb).expect("to destroy");
    system.destroy(handler).expect("to destroy");
}

/// The capability that is revoked is in a CNode that it is the memory of.
fn own_slot(system: &mut System, pause: &Pause) {
    row("revoke.self.slot");
    let outer = system.untyped(19).expect("memory");
    let [inner, node_slot, endpoint] = [0; 3].map(|_| system.slot().expect("a slot"));
    outer
        .retype_into(ObjectType::Untyped, 18, init::CNODE, inner.index)
        .expect("memory");
    let cap = Cap::<Untyped>::from_bits(inner.index);
    cap.retype_into(ObjectType::Endpoint, 0, init::CNODE, endpoint.index)
        .expect("an endpoint");
    cap.retype_into(ObjectType::CNode, 2, init::CNODE, node_slot.index)
        .expect("a CNode");
    let node = Cap::<CNode>::from_bits(node_slot.index);
    let place = SlotPath::new(node, 3, 2);
    place.move_from(&inner).expect("to move");
    place.revoke().expect("it is a success");
    assert_eq!(kind(node_slot), 0, "the CNode is gone");
    assert_eq!(kind(endpoint), 4, "the memory's capability went with it");
    pause.pause();
    outer.slot().revoke().expect("to revoke");
    assert_eq!(kind(endpoint), 0);
    outer
        .retype_into(ObjectType::Untyped, 19, init::CNODE, inner.index)
        .expect("all of the memory");
}
