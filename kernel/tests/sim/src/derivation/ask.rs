//! What a system call asks of the derivation tree. Capability addresses are looked up in the machine; everything else is
//! decided here.

use sel4_abi::{Invocation as I, MESSAGE_REGISTERS, MessageInfo, Syscall};
use tern_kernel::access::Kernel;
use tern_kernel::cap::{Cap, FrameRights, IrqLine};
use tern_kernel::ipc::transfer;
use tern_kernel::object::{SlotRef, TcbRef, TcbSlot, ThreadState};
use tern_kernel::types::CoreId;
use tern_kernel::{cspace, irq};

use super::tree::{Slot, Tree, without_mapping};

/// A new capability and the slot that it is made from.
pub(super) type Made = Option<(Cap, Slot)>;

/// What the invocation does if it is not refused.
#[derive(Clone, Debug)]
pub(super) enum Ask {
    Nothing,
    Copy {
        to: Slot,
        cap: Cap,
        from: Slot,
    },
    Move {
        to: Slot,
        cap: Cap,
        from: Slot,
    },
    /// The capability in `pivot` goes to `to`, and the one in `from` to `pivot`.
    Rotate {
        to: Slot,
        to_cap: Cap,
        pivot: Slot,
        pivot_cap: Cap,
        from: Slot,
    },
    Delete(Slot),
    Revoke(Slot),
    Retype {
        untyped: Slot,
        /// Number of the type, and the logarithm of the size of an object.
        kind: u64,
        bits: u64,
        first: SlotRef,
        count: u64,
    },
    /// Capabilities that an object holds are replaced, in this order.
    Install(Vec<(Slot, Made)>),
    /// A handler, or a pool.
    Issue {
        to: Slot,
        from: Slot,
        line: Option<IrqLine>,
    },
}

/// What a section is going to do.
#[derive(Clone, Debug)]
pub(super) struct Plan {
    pub(super) ask: Ask,
    pub(super) caller: TcbRef,
    /// It is known whether the invocation can succeed.
    pub(super) is_certain: bool,
    /// Whether the caller is told.
    pub(super) is_call: bool,
    /// Whether it waits for a message after the invocation.
    pub(super) receives: bool,
    /// What may go along with messages.
    pub(super) sent: Vec<Slot>,
}

struct Message<'a> {
    k: &'a Kernel<'a>,
    tree: &'a Tree,
    words: Vec<u64>,
    extra: Vec<SlotRef>,
}

impl Message<'_> {
    fn has(&self, words: usize, extra: usize) -> bool {
        self.words.len() >= words && self.extra.len() >= extra
    }

    fn extra(&self, index: usize) -> Cap {
        self.k.get(self.extra[index]).cap()
    }

    fn slot(&self, root: Cap, index: u64, depth: u64) -> Option<Slot> {
        let slot = cspace::lookup_target_slot(self.k, root.into(), index, depth, false);
        slot.ok().map(SlotRef::address)
    }

    fn cap(&self, slot: Slot) -> Cap {
        self.k.get(SlotRef::from_address(slot)).cap()
    }

    /// A copy, if there can be one.
    fn derived(&self, cap: Cap, source: Slot) -> Option<Cap> {
        let refused = match cap {
            Cap::Null | Cap::Zombie { .. } | Cap::IrqControl => true,
            Cap::Untyped { .. } => self.tree.child(source).is_some(),
            Cap::VSpace { asid, .. } => asid.is_none(),
            Cap::PageTable { mapping, .. } => mapping.is_none(),
            _ => false,
        };
        (!refused).then(|| without_mapping(cap))
    }
}

/// Fewer rights: bit 0 write, 1 read, 2 grant, 3 grant the right to an answer.
fn masked(cap: Cap, mask: u64) -> Cap {
    match cap {
        Cap::Endpoint {
            endpoint,
            badge,
            rights,
        } => Cap::Endpoint {
            endpoint,
            badge,
            rights: sel4_abi::CapRights::from_bits_truncate(rights.bits() & mask),
        },
        Cap::Notification {
            notification,
            badge,
            rights,
        } => Cap::Notification {
            notification,
            badge,
            rights: sel4_abi::CapRights::from_bits_truncate(rights.bits() & mask),
        },
        Cap::Reply { reply, can_grant } => Cap::Reply {
            reply,
            can_grant: can_grant && mask & 4 != 0,
        },
        Cap::Frame {
            base,
            size,
            rights,
            device,
            mapping,
        } => Cap::Frame {
            base,
            size,
            rights: match (rights, mask & 3) {
                (FrameRights::ReadWrite, 3) => FrameRights::ReadWrite,
                (FrameRights::ReadWrite, 2) | (FrameRights::ReadOnly, 2 | 3) => {
                    FrameRights::ReadOnly
                }
                _ => FrameRights::KernelOnly,
            },
            device,
            mapping,
        },
        other => other,
    }
}

/// With a badge, or a guard.
fn with_data(cap: Cap, data: u64, moves: bool) -> Option<Cap> {
    match cap {
        Cap::Endpoint { .. } | Cap::Notification { .. } if moves => None,
        Cap::Endpoint {
            endpoint,
            badge: 0,
            rights,
        } => Some(Cap::Endpoint {
            endpoint,
            badge: data,
            rights,
        }),
        Cap::Notification {
            notification,
            badge: 0,
            rights,
        } => Some(Cap::Notification {
            notification,
            badge: data,
            rights,
        }),
        Cap::Endpoint { .. } | Cap::Notification { .. } => None,
        Cap::CNode { base, radix, .. } => {
            let size = data & 63;
            let guard = (data >> 6) & ((1 << size) - 1);
            (size + u64::from(radix) <= 64).then_some(Cap::CNode {
                base,
                radix,
                guard,
                guard_size: size as u8,
            })
        }
        other => Some(other),
    }
}

/// The logarithm of an object's size, by the number of its type.
fn object_bits(kind: u64, argument: u64) -> Option<u64> {
    Some(match kind {
        0 | 5 => argument,
        1 => 11,
        2 => 4,
        3 => 6,
        4 => argument.checked_add(5)?,
        6 => 5,
        7 => 30,
        8 | 9 | 11 => 12,
        10 => 21,
        _ => return None,
    })
}

/// Reads the call that the thread is about to make.
pub(super) fn plan(k: &Kernel<'_>, tree: &Tree, caller: TcbRef) -> Option<Plan> {
    let x = k.get(caller.context()).x;
    let call = Syscall::from_number(x[7] as i64)?;
    let info = MessageInfo(x[1]);
    let buffer = transfer::ipc_buffer(k, caller, false);
    let extra = transfer::lookup_extra_caps(k, caller, buffer, info);
    let mut sent = Vec::new();
    let receives = !matches!(call, Syscall::Call | Syscall::Send | Syscall::NBSend);
    let meets = match cspace::lookup_slot(k, caller, x[0]).map(|slot| k.get(slot).cap()) {
        Ok(Cap::Endpoint { endpoint, .. }) if receives => Some(endpoint),
        _ => None,
    };
    for tcb in tern_kernel::debug::threads(k).filter(|_| meets.is_some()) {
        if let ThreadState::BlockedOnSend {
            can_grant: true,
            endpoint,
            ..
        } = k.get(tcb).state
            && meets == Some(endpoint)
        {
            let info = MessageInfo(k.get(tcb.context()).x[1]);
            let buffer = transfer::ipc_buffer(k, tcb, false);
            if info.extra_caps() > 0
                && let Ok(extra) = transfer::lookup_extra_caps(k, tcb, buffer, info)
            {
                sent.extend(extra.iter().flatten().map(|slot| slot.address()));
            }
        }
    }
    let invoked = match call {
        Syscall::Call | Syscall::Send | Syscall::NBSend => Some(x[0]),
        Syscall::ReplyRecv | Syscall::NBSendWait => Some(x[6]),
        Syscall::NBSendRecv => Some(x[8]),
        _ => None,
    };
    let mut plan = Plan {
        ask: Ask::Nothing,
        caller,
        is_certain: true,
        is_call: call == Syscall::Call,
        receives,
        sent,
    };
    if let (Some(address), Ok(extra)) = (invoked, extra)
        && let Ok(slot) = cspace::lookup_slot(k, caller, address)
    {
        let length = match buffer {
            Some(_) => info.length(),
            None => info.length().min(MESSAGE_REGISTERS),
        };
        let words = (0..length).map_while(|index| transfer::read_word(k, caller, buffer, index));
        let message = Message {
            k,
            tree,
            words: words.collect(),
            extra: extra.into_iter().flatten().collect(),
        };
        let method = I::from_label(info.label());
        let cap = k.get(slot).cap();
        let grants = match cap {
            Cap::Endpoint { rights, .. } => rights.bits() & 4 != 0,
            Cap::Reply { can_grant, .. } => can_grant,
            _ => false,
        };
        if grants {
            let slots = message.extra.iter().map(|slot| slot.address());
            plan.sent.extend(slots);
        }
        let asked = match (cap, method) {
            (Cap::CNode { .. }, Some(method)) if !receives => of_slot(&message, cap, method),
            (Cap::Untyped { .. }, Some(I::UntypedRetype)) => retype(&message, slot.address()),
            (Cap::Thread { tcb }, Some(method)) => of_thread(&message, tcb, method),
            (Cap::IrqHandler { line }, Some(method)) => of_handler(&message, line, method),
            (Cap::IrqControl, Some(method)) => issue(&message, slot.address(), method),
            (Cap::AsidControl, Some(I::AsidControlMakePool)) => pool(&message),
            _ => None,
        };
        plan.is_certain = matches!(cap, Cap::CNode { .. });
        plan.ask = asked.unwrap_or(Ask::Nothing);
    }
    Some(plan)
}

fn of_slot(m: &Message<'_>, root: Cap, method: I) -> Option<Ask> {
    if !m.has(2, 0) {
        return None;
    }
    let w = &m.words;
    let to = m.slot(root, w[0], w[1])?;
    let moved = |cap: Cap, data: u64| {
        if cap.is_null() {
            None
        } else {
            with_data(cap, data, true).map(without_mapping)
        }
    };
    match method {
        I::CNodeDelete => return Some(Ask::Delete(to)),
        I::CNodeRevoke => return Some(Ask::Revoke(to)),
        I::CNodeRotate => {
            if !m.has(8, 2) {
                return None;
            }
            let from = m.slot(m.extra(1), w[6], w[7])?;
            let pivot = m.slot(m.extra(0), w[3], w[4])?;
            if pivot == from || pivot == to || (from != to && !m.cap(to).is_null()) {
                return None;
            }
            let (from_cap, pivot_cap) = (m.cap(from), m.cap(pivot));
            return Some(Ask::Rotate {
                to,
                to_cap: moved(pivot_cap, w[2])?,
                pivot,
                pivot_cap: moved(from_cap, w[5])?,
                from,
            });
        }
        I::CNodeCopy | I::CNodeMint | I::CNodeMove | I::CNodeMutate => {}
        _ => return None,
    }
    if !m.has(4, 1) || !m.cap(to).is_null() {
        return None;
    }
    let from = m.slot(m.extra(0), w[2], w[3])?;
    let cap = m.cap(from);
    if cap.is_null() {
        return None;
    }
    Some(match method {
        I::CNodeCopy if m.has(5, 1) => {
            let cap = m.derived(masked(cap, w[4]), from)?;
            Ask::Copy { to, cap, from }
        }
        I::CNodeMint if m.has(6, 1) => {
            let cap = m.derived(with_data(masked(cap, w[4]), w[5], false)?, from)?;
            Ask::Copy { to, cap, from }
        }
        I::CNodeMove => {
            let cap = without_mapping(cap);
            Ask::Move { to, cap, from }
        }
        I::CNodeMutate if m.has(5, 1) => {
            let cap = moved(cap, w[4])?;
            Ask::Move { to, cap, from }
        }
        _ => return None,
    })
}

fn retype(m: &Message<'_>, untyped: Slot) -> Option<Ask> {
    if !m.has(6, 1) {
        return None;
    }
    let w = &m.words;
    let bits = object_bits(w[0], w[1]).filter(|&bits| w[1] < 64 && bits <= 47)?;
    let node = match w[3] {
        0 => m.extra(0),
        depth => m.cap(m.slot(m.extra(0), w[2], depth)?),
    };
    let Cap::CNode { base, radix, .. } = node else {
        return None;
    };
    let (offset, count, slots) = (w[4], w[5], 1 << radix);
    if offset >= slots || !(1..=256).contains(&count) || count > slots - offset {
        return None;
    }
    let first = base.nth(offset as usize);
    let free = (0..count as usize).all(|index| m.k.get(first.nth(index)).is_empty());
    free.then_some(Ask::Retype {
        untyped,
        kind: w[0],
        bits,
        first,
        count,
    })
}

fn of_thread(m: &Message<'_>, tcb: TcbRef, method: I) -> Option<Ask> {
    let slot = |slot| tcb.slot(slot).address();
    let made = |index: usize, data: u64| -> Made {
        let from = m.extra[index].address();
        let cap = match data {
            0 => m.cap(from),
            data => with_data(m.cap(from), data, true)?,
        };
        Some((m.derived(cap, from)?, from))
    };
    let buffer = |address: u64, index: usize| match address {
        0 => None,
        _ => made(index, 0),
    };
    let (needs, list) = match method {
        I::TcbConfigure if m.has(3, 3) => (
            0..2,
            vec![
                (slot(TcbSlot::CSpace), made(0, m.words[0])),
                (slot(TcbSlot::VSpace), made(1, 0)),
                (slot(TcbSlot::IpcBuffer), buffer(m.words[2], 2)),
            ],
        ),
        I::TcbSetSpace if m.has(2, 3) => (
            1..3,
            vec![
                (slot(TcbSlot::FaultHandler), made(0, 0)),
                (slot(TcbSlot::CSpace), made(1, m.words[0])),
                (slot(TcbSlot::VSpace), made(2, 0)),
            ],
        ),
        I::TcbSetIpcBuffer if m.has(1, 1) => (
            0..0,
            vec![(slot(TcbSlot::IpcBuffer), buffer(m.words[0], 0))],
        ),
        I::TcbSetSchedParams if m.has(2, 3) => {
            (0..0, vec![(slot(TcbSlot::FaultHandler), made(2, 0))])
        }
        I::TcbSetTimeoutEndpoint if m.has(0, 1) => {
            (0..0, vec![(slot(TcbSlot::TimeoutHandler), made(0, 0))])
        }
        _ => return None,
    };
    let complete = list[needs].iter().all(|(_, made)| made.is_some());
    complete.then_some(Ask::Install(list))
}

fn of_handler(m: &Message<'_>, line: IrqLine, method: I) -> Option<Ask> {
    let slot = irq::line_slot(m.k, line).address();
    let made = match method {
        I::IrqSetHandler if m.has(0, 1) => {
            let from = m.extra[0].address();
            Some((m.derived(m.cap(from), from)?, from))
        }
        I::IrqClearHandler => None,
        _ => return None,
    };
    Some(Ask::Install(vec![(slot, made)]))
}

fn issue(m: &Message<'_>, from: Slot, method: I) -> Option<Ask> {
    let (at, core) = match method {
        I::IrqIssueHandler if m.has(3, 1) => (1, CoreId::BOOT),
        I::IrqIssueHandlerTrigger if m.has(4, 1) => (2, CoreId::BOOT),
        I::IrqIssueHandlerTriggerCore if m.has(5, 1) => (2, CoreId(m.words[4] as u16)),
        I::IrqIssueSgiSignal if m.has(4, 1) => (2, CoreId::BOOT),
        _ => return None,
    };
    let to = m.slot(m.extra(0), m.words[at], m.words[at + 1] & 0xff)?;
    let intid = u32::try_from(m.words[0]).ok()?;
    let line = (method != I::IrqIssueSgiSignal).then(|| irq::line_of(intid, core));
    m.cap(to).is_null().then_some(Ask::Issue { to, from, line })
}

fn pool(m: &Message<'_>) -> Option<Ask> {
    if !m.has(2, 2) {
        return None;
    }
    let to = m.slot(m.extra(1), m.words[0], m.words[1])?;
    let from = m.extra[0].address();
    let usable = m.cap(to).is_null() && m.tree.child(from).is_none();
    let line = None;
    usable.then_some(Ask::Issue { to, from, line })
}
