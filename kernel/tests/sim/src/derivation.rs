//! The derivation tree against a model of it: what each system call must do to it is done to a copy, by the rules of the
//! interface, and the kernel's tree must be the same. So must it be after every section that has nothing to do with it.

mod ask;
mod delete;
mod tree;
mod uses;

use sel4_abi::MessageInfo;
use tern_kernel::access::Kernel;
use tern_kernel::cap::Cap;
use tern_kernel::cspace;
use tern_kernel::debug;
use tern_kernel::fault::Fault;
use tern_kernel::ipc::transfer;
use tern_kernel::object::{SlotRef, TcbRef, ThreadState};
use tern_kernel::smp::lock::TicketLock;
use tern_kernel::types::CoreId;

use crate::check::tree::slots;
use crate::machine::Machine;
use ask::{Ask, Plan};
use delete::{Deletion, Left};
use tree::{Node, Slot, Thing, Tree, thing, without_mapping};

/// Where nothing is asked of the tree, it is looked at after so many sections.
const EVERY: u32 = 32;
/// R8: where something more urgent waits, so many capabilities go in one section, and no more. The kernel looks up after
/// ten; a thread's slots and an interrupt's go with one of them.
const BOUND: usize = 12;

pub struct Derivation {
    /// As it was when locks were released last.
    tree: Tree,
    plans: Vec<Option<Plan>>,
    /// Whether somebody has written other words into the message since the call began: which of them the kernel has read
    /// cannot be told.
    is_unsure: Vec<bool>,
    countdown: u32,
    /// Whether something more urgent waited when the section began.
    urgent: Vec<bool>,
    /// How many changes were judged.
    pub changes: u64,
}

/// How far the call has got.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    /// It will be made again.
    Left,
    Done,
    /// The caller is told: whether it succeeded.
    Answered(bool),
    /// The caller cannot tell any more.
    Unknown,
}

fn read(k: &Kernel<'_>) -> Tree {
    let threads: Vec<TcbRef> = debug::threads(k).collect();
    let nodes = slots(k, &threads).into_iter().map(|slot| {
        let this = k.get(slot);
        let node = Node {
            cap: without_mapping(this.cap()),
            prev: this.prev().map(SlotRef::address),
            next: this.next().map(SlotRef::address),
            revocable: this.revocable(),
            first_badged: this.first_badged(),
        };
        (slot.address(), node)
    });
    Tree(nodes.collect())
}

impl Derivation {
    pub fn new(k: &Kernel<'_>) -> Self {
        Self {
            tree: read(k),
            plans: vec![None; k.num_cores()],
            is_unsure: vec![false; k.num_cores()],
            countdown: EVERY,
            urgent: vec![false; k.num_cores()],
            changes: 0,
        }
    }

    /// The core may have the locks from now on: whether somebody waits for what it does.
    pub fn looks_around(&mut self, machine: &Machine, core: usize) {
        let mut locks = machine.system().core_locks(machine.num_cores()).iter();
        let awaited = locks.any(TicketLock::has_waiter);
        self.urgent[core] = awaited || machine.interrupt(core).is_some();
    }

    /// This is what its thread asks for.
    pub fn goes_on(&mut self, k: &Kernel<'_>, core: usize, is_call: bool) {
        let caller = k.core(CoreId(core as u16)).current.filter(|_| is_call);
        self.plans[core] = caller.and_then(|caller| ask::plan(k, &self.tree, caller));
        self.is_unsure[core] = false;
    }

    /// The call has begun, and gets further locks: the rest of its message is read after that.
    pub fn goes_on_with_locks(&mut self, k: &Kernel<'_>, core: usize) {
        let Some(plan) = &self.plans[core] else {
            return;
        };
        let now = ask::plan(k, &self.tree, plan.caller);
        self.is_unsure[core] |= format!("{now:?}") != format!("{:?}", Some(plan));
    }

    /// The core is about to release its locks. `acts` tells whether it did what its thread asked for.
    pub fn releases(&mut self, k: &Kernel<'_>, core: usize, acts: bool) {
        let plan = self.plans[core].take().filter(|_| acts);
        let changes =
            plan.filter(|plan| !matches!(plan.ask, Ask::Nothing) || !plan.sent.is_empty());
        if core::mem::take(&mut self.is_unsure[core]) && changes.is_some() {
            let found = read(k);
            uses::check(k, &found);
            self.tree = found;
            return;
        }
        let Some(plan) = changes else {
            self.countdown -= 1;
            if self.countdown == 0 {
                self.countdown = EVERY;
                let found = read(k);
                uses::check(k, &found);
                expect_same(
                    &self.tree,
                    &found,
                    "a section that has nothing to do with it",
                );
            }
            return;
        };
        let found = read(k);
        uses::check(k, &found);
        let progress = progress(k, &plan);
        self.changes += u64::from(found != self.tree);
        if self.urgent[core] {
            let slots = self.tree.0.keys();
            let gone = slots.filter(|slot| !found.0.contains_key(slot)).count();
            assert!(
                gone <= BOUND,
                "{gone} capabilities went in one section, and others waited"
            );
        }
        self.judge(k, core, &plan, progress, &found);
        self.tree = found;
    }

    fn judge(&self, k: &Kernel<'_>, core: usize, plan: &Plan, progress: Progress, found: &Tree) {
        let same = |tree: &Tree| *tree == *found || after_transfers(k, tree, found, &plan.sent);
        let performed = self.performed(k, core, plan, progress, found);
        let may_stay = match (&plan.ask, progress) {
            (Ask::Nothing, _) | (_, Progress::Left | Progress::Unknown) => true,
            (_, Progress::Answered(answer)) => !answer,
            (_, Progress::Done) => !plan.is_certain,
        };
        let may_change = match (&plan.ask, progress) {
            (Ask::Nothing, _) => false,
            (Ask::Delete(_) | Ask::Revoke(_) | Ask::Install(_) | Ask::Retype { .. }, _) => true,
            (_, Progress::Left) => false,
            (_, Progress::Answered(answer)) => answer,
            (_, Progress::Done | Progress::Unknown) => true,
        };
        assert!(
            !(plan.is_certain
                && progress == Progress::Answered(false)
                && !matches!(plan.ask, Ask::Nothing)),
            "refused, and there is no reason: {:?}",
            plan.ask
        );
        if may_stay && same(&self.tree) {
            return;
        }
        // Where it is not known how far the call got, it may have been left.
        if progress == Progress::Unknown
            && let Ask::Retype { .. } = plan.ask
            && let Some(tree) = self.performed(k, core, plan, Progress::Left, found)
            && same(&tree)
        {
            return;
        }
        match performed {
            Some(tree) if may_change => {
                if !same(&tree) {
                    expect_same(&tree, found, &format!("{:?}, {progress:?}", plan.ask));
                }
            }
            _ => expect_same(&self.tree, found, &format!("{:?}, {progress:?}", plan.ask)),
        }
    }

    /// The tree after the invocation, as far as that has got.
    fn performed(
        &self,
        k: &Kernel<'_>,
        core: usize,
        plan: &Plan,
        progress: Progress,
        found: &Tree,
    ) -> Option<Tree> {
        let mut tree = self.tree.clone();
        match &plan.ask {
            Ask::Nothing => return None,
            Ask::Copy { to, cap, from } => tree.copy(*to, *cap, *from),
            Ask::Move { to, cap, from } => {
                tree.rename(*from, *to);
                tree.set_cap(*to, *cap);
            }
            Ask::Rotate {
                to,
                to_cap,
                pivot,
                pivot_cap,
                from,
            } => {
                if to == from {
                    tree.swap(*from, *pivot);
                } else {
                    tree.rename(*pivot, *to);
                    tree.rename(*from, *pivot);
                }
                tree.set_cap(*to, *to_cap);
                tree.set_cap(*pivot, *pivot_cap);
            }
            Ask::Delete(_) | Ask::Revoke(_) | Ask::Install(_) => {
                let may_leave = matches!(progress, Progress::Left | Progress::Unknown);
                let mut deletion = Deletion::new(tree, found, may_leave, k);
                let (Ok(()) | Err(Left)) = remove(&mut deletion, &plan.ask);
                tree = deletion.tree;
            }
            Ask::Retype { untyped, .. } if progress == Progress::Left => {
                // The memory is cleared from the top.
                let (old, new) = (tree.cap(*untyped), found.cap(*untyped));
                if let (Cap::Untyped { free: before, .. }, Cap::Untyped { free: after, .. }) =
                    (old, new)
                    && after <= before
                    && tree.child(*untyped).is_none()
                {
                    tree.set_cap(*untyped, new);
                }
            }
            &Ask::Retype {
                untyped,
                kind,
                bits,
                first,
                count,
            } => {
                let Cap::Untyped {
                    base,
                    bits: size,
                    device,
                    free,
                } = tree.cap(untyped)
                else {
                    return None;
                };
                let start = match tree.child(untyped) {
                    Some(_) => free.next_multiple_of(1 << bits),
                    None => 0,
                };
                let end = start + (count << bits);
                if end > 1 << size || (device && !matches!(kind, 0 | 7 | 9 | 10)) {
                    return None;
                }
                for index in 0..count {
                    let slot = first.nth(index as usize).address();
                    let cap = found.cap(slot);
                    let at = base.0 + start + (index << bits);
                    is_new(k, core, cap, kind, (at, bits as u32));
                    tree.make(slot, cap, untyped);
                }
                let used = Cap::Untyped {
                    base,
                    bits: size,
                    device,
                    free: end,
                };
                tree.set_cap(untyped, used);
            }
            &Ask::Issue { to, from, line } => {
                let cap = found.cap(to);
                match (cap, line) {
                    (Cap::IrqHandler { line: found }, Some(line)) if found == line => {}
                    (Cap::SgiSignal { .. } | Cap::AsidPool { .. }, None) => {}
                    _ => return None,
                }
                tree.copy(to, cap, from);
            }
        }
        Some(tree)
    }
}

fn remove(deletion: &mut Deletion<'_>, ask: &Ask) -> Result<(), Left> {
    match ask {
        Ask::Delete(slot) => deletion.delete(*slot),
        Ask::Revoke(slot) => deletion.revoke(*slot),
        Ask::Install(list) => {
            for &(slot, made) in list {
                deletion.delete(slot)?;
                if let Some((cap, source)) = made {
                    deletion.tree.copy(slot, cap, source);
                }
            }
            deletion.step()
        }
        _ => Ok(()),
    }
}

fn progress(k: &Kernel<'_>, plan: &Plan) -> Progress {
    let mut threads = debug::threads(k);
    if !threads.any(|tcb| tcb == plan.caller) {
        return Progress::Unknown;
    }
    let context = k.get(plan.caller.context());
    if k.get(plan.caller).state == ThreadState::Restart || context.next_ip == context.fault_ip {
        return Progress::Left;
    }
    // Its budget may have ended meanwhile, and a Timeout fault have followed.
    let goes_on = k.get(plan.caller).state == ThreadState::Running;
    let waits = plan.receives && k.get(plan.caller).fault == Fault::None;
    match (goes_on, plan.is_call) {
        (true, true) => Progress::Answered(MessageInfo(context.x[1]).label() == 0),
        (true, false) => Progress::Done,
        (false, _) if waits => Progress::Done,
        (false, _) => Progress::Unknown,
    }
}

/// A new object's capability: of the right kind, in the right place, with nothing left from what was there.
fn is_new(k: &Kernel<'_>, core: usize, cap: Cap, kind: u64, place: (u64, u32)) {
    let number = match thing(cap) {
        Thing::Untyped(..) => 0,
        Thing::Thread(..) => 1,
        Thing::Endpoint(..) => 2,
        Thing::Notification(..) => 3,
        Thing::CNode(..) => 4,
        Thing::Context(..) => 5,
        Thing::Reply(..) => 6,
        Thing::VSpace(..) => 8,
        Thing::Frame(_, 30, _) => 7,
        Thing::Frame(_, 12, _) => 9,
        Thing::Frame(..) => 10,
        Thing::Table(..) => 11,
        _ => return,
    };
    assert_eq!(number, kind, "what was made: {cap:?}");
    assert_eq!(
        thing(cap).memory(),
        Some(place),
        "where it was made: {cap:?}"
    );
    let home = match cap {
        Cap::Untyped { free, .. } => {
            assert_eq!(free, 0, "a new untyped is empty");
            return;
        }
        Cap::Endpoint {
            endpoint, badge: 0, ..
        } => k.get(endpoint).home(),
        Cap::Notification {
            notification,
            badge: 0,
            ..
        } => k.get(notification).home(),
        Cap::Reply { reply, .. } => k.get(reply).home(),
        Cap::Thread { tcb } => k.get(tcb.home()).get(),
        Cap::Endpoint { .. } | Cap::Notification { .. } => panic!("a new badge: {cap:?}"),
        _ => return,
    };
    assert_eq!(home.index(), core, "home of a new object: {cap:?}");
}

/// Whether the tree is the one that was found, but for capabilities that went with messages.
fn after_transfers(k: &Kernel<'_>, before: &Tree, found: &Tree, sent: &[Slot]) -> bool {
    let added = found.0.keys().filter(|slot| !before.0.contains_key(slot));
    let added: Vec<Slot> = added.copied().take(3).collect();
    if added.is_empty() || added.len() > 2 || sent.is_empty() {
        return false;
    }
    let transfer = |tree: &mut Tree, slot: Slot| {
        let mut source = found.0[&slot].prev;
        while let Some(other) = source.filter(|other| added.contains(other)) {
            source = found.0[&other].prev;
        }
        let Some(source) = source.filter(|source| sent.contains(source)) else {
            return false;
        };
        let cap = tree.cap(source);
        let copied = match cap {
            Cap::Null | Cap::Zombie { .. } | Cap::IrqControl => false,
            Cap::Untyped { .. } => tree.child(source).is_none(),
            _ => true,
        };
        if !copied || !is_receive_slot(k, slot) {
            return false;
        }
        tree.copy(slot, cap, source);
        true
    };
    let try_order = |order: &[Slot]| {
        let mut tree = before.clone();
        order.iter().all(|&slot| transfer(&mut tree, slot)) && tree == *found
    };
    let reversed: Vec<Slot> = added.iter().rev().copied().collect();
    try_order(&added) || try_order(&reversed)
}

/// Whether a thread wants to receive capabilities there.
fn is_receive_slot(k: &Kernel<'_>, slot: Slot) -> bool {
    let mut threads = debug::threads(k);
    threads.any(|tcb| {
        let Some(buffer) = transfer::ipc_buffer(k, tcb, true) else {
            return false;
        };
        let word = |index| k.read_user_word(buffer, crate::run::RECEIVE + index);
        let Ok(root) = cspace::lookup_slot(k, tcb, word(0)) else {
            return false;
        };
        let root = k.get(root).cap();
        let found = cspace::lookup_target_slot(k, root.into(), word(1), word(2), false);
        found.is_ok_and(|found| found.address() == slot)
    })
}

fn expect_same(model: &Tree, found: &Tree, after: &str) {
    if model == found {
        return;
    }
    let mut slots: Vec<&Slot> = model.0.keys().chain(found.0.keys()).collect();
    slots.sort_unstable();
    let slot = slots
        .into_iter()
        .find(|slot| model.0.get(slot) != found.0.get(slot))
        .expect("there is a difference");
    panic!(
        "the derivation tree after {after}: slot {slot:#x} has {:x?}, and should have {:x?}",
        found.0.get(slot),
        model.0.get(slot)
    );
}
