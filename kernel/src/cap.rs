//! Capabilities: an enum for everybody, two packed words in a slot. This is the one place that knows the bits.
//!
//! The type number in bits 63:59 of the second word is the one that `DebugCapIdentify` reports. Object addresses are
//! 48 bits and sign-extended. Only [`RawCap::from`] writes packed words, so decoding an unknown type is a kernel bug.

use sel4_abi::{CapRights, cap_type};

use crate::{
    object::{
        AsidPool, EndpointRef, Exclusive, NotificationRef, ObjRef, Object, ReplyRef, ScRef,
        SlotRef, TCB_SLOTS, TableRef, TcbRef,
    },
    types::{CoreId, PhysAddr},
};

/// An address-space identifier; 0 is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Asid(core::num::NonZeroU16);

impl Asid {
    pub fn new(number: u16) -> Option<Self> {
        core::num::NonZeroU16::new(number).map(Self)
    }

    pub const fn number(self) -> u16 {
        self.0.get()
    }
}

/// Where a frame or table is mapped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Mapping {
    pub asid: Asid,
    pub vaddr: u64,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PageSize {
    Small = 0,
    Large = 1,
    Huge = 2,
}

impl PageSize {
    /// Logarithm of the size in bytes.
    pub const fn bits(self) -> u32 {
        match self {
            Self::Small => 12,
            Self::Large => 21,
            Self::Huge => 30,
        }
    }

    pub const fn bytes(self) -> u64 {
        1 << self.bits()
    }
}

/// What user level may do with a frame.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FrameRights {
    KernelOnly = 0,
    ReadOnly = 1,
    ReadWrite = 2,
}

impl FrameRights {
    /// These rights, no more than `mask` allows. There is no write-only frame.
    pub fn mask(self, mask: CapRights) -> Self {
        match self {
            Self::ReadWrite if mask.contains(CapRights::READ_WRITE) => Self::ReadWrite,
            Self::ReadWrite | Self::ReadOnly if mask.contains(CapRights::READ) => Self::ReadOnly,
            Self::ReadWrite | Self::ReadOnly | Self::KernelOnly => Self::KernelOnly,
        }
    }
}

/// What a zombie is the rest of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ZombieKind {
    Tcb,
    CNode {
        radix: u8,
    },
    /// Has no slots: threads still wait on it, and nobody else may begin to.
    Endpoint,
    /// As an endpoint.
    Notification,
}

impl ZombieKind {
    pub fn slots(self) -> usize {
        match self {
            Self::Tcb => TCB_SLOTS,
            Self::CNode { radix } => 1 << radix,
            Self::Endpoint | Self::Notification => 0,
        }
    }
}

/// An interrupt line: a shared one, or a private one of a core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct IrqLine {
    pub intid: u32,
    /// The core of a private line (INTID below 32); core 0 for shared lines.
    pub core: CoreId,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cap {
    Null,
    /// `free` is the offset of the first free byte.
    Untyped {
        base: PhysAddr,
        bits: u8,
        device: bool,
        free: u64,
    },
    Endpoint {
        endpoint: EndpointRef,
        badge: u64,
        rights: CapRights,
    },
    Notification {
        notification: NotificationRef,
        badge: u64,
        rights: CapRights,
    },
    Reply {
        reply: ReplyRef,
        can_grant: bool,
    },
    CNode {
        base: SlotRef,
        radix: u8,
        guard: u64,
        guard_size: u8,
    },
    Thread {
        tcb: TcbRef,
    },
    SchedContext {
        sc: ScRef,
        bits: u8,
    },
    SchedControl {
        core: CoreId,
    },
    Frame {
        base: PhysAddr,
        size: PageSize,
        rights: FrameRights,
        device: bool,
        mapping: Option<Mapping>,
    },
    PageTable {
        table: TableRef,
        mapping: Option<Mapping>,
    },
    VSpace {
        root: TableRef,
        asid: Option<Asid>,
    },
    AsidControl,
    /// `index` is the number of the pool: the upper bits of its ASIDs.
    AsidPool {
        pool: ObjRef<AsidPool>,
        index: u8,
    },
    IrqControl,
    IrqHandler {
        line: IrqLine,
    },
    SgiSignal {
        sgi: u8,
        target: CoreId,
    },
    Domain,
    /// A CNode or TCB of which the slots 0 to `remaining`, exclusive, are still to be deleted.
    Zombie {
        base: SlotRef,
        kind: ZombieKind,
        remaining: u64,
    },
}

/// A packed capability.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C, align(16))]
pub struct RawCap([u64; 2]);

impl RawCap {
    pub const NULL: Self = Self([0, 0]);
}

const ADDRESS: u64 = (1 << 48) - 1;
const TYPE_SHIFT: u32 = 59;
/// Low address bits that are free because CNodes of at least two slots are aligned to 64 bytes.
const GUARD_SIZE_MASK: u64 = 0x3f;
const ZOMBIE_TCB: u64 = 1 << 54;
const ZOMBIE_ENDPOINT: u64 = 2 << 54;
const ZOMBIE_NOTIFICATION: u64 = 3 << 54;
const ZOMBIE_KIND: u64 = 3 << 54;

fn tag(number: u64) -> u64 {
    number << TYPE_SHIFT
}

fn address<T>(object: ObjRef<T>) -> u64 {
    object.address() as u64 & ADDRESS
}

fn object<T: Object>(word: u64) -> ObjRef<T> {
    ObjRef::from_address((((word & ADDRESS) << 16) as i64 >> 16) as usize)
}

fn pack_mapping(mapping: Option<Mapping>) -> u64 {
    mapping.map_or(0, |m| (u64::from(m.asid.number()) << 48) | m.vaddr)
}

fn unpack_mapping(word: u64) -> Option<Mapping> {
    let asid = Asid::new((word >> 48) as u16)?;
    Some(Mapping {
        asid,
        vaddr: word & ADDRESS,
    })
}

fn rights(word: u64) -> CapRights {
    CapRights::from_bits_truncate(word >> 48)
}

impl From<Cap> for RawCap {
    fn from(cap: Cap) -> Self {
        use cap_type as t;
        Self(match cap {
            Cap::Null => [0, 0],
            Cap::Untyped {
                base,
                bits,
                device,
                free,
            } => [
                free,
                tag(t::UNTYPED) | base.0 | (u64::from(bits) << 48) | (u64::from(device) << 54),
            ],
            Cap::Endpoint {
                endpoint,
                badge,
                rights,
            } => [
                badge,
                tag(t::ENDPOINT) | address(endpoint) | (rights.bits() << 48),
            ],
            Cap::Notification {
                notification,
                badge,
                rights,
            } => [
                badge,
                tag(t::NOTIFICATION) | address(notification) | (rights.bits() << 48),
            ],
            Cap::Reply { reply, can_grant } => [
                0,
                tag(t::REPLY) | address(reply) | (u64::from(can_grant) << 48),
            ],
            Cap::CNode {
                base,
                radix,
                guard,
                guard_size,
            } => {
                let low = address(base) | u64::from(guard_size);
                [guard, tag(t::CNODE) | low | (u64::from(radix) << 48)]
            }
            Cap::Thread { tcb } => [0, tag(t::THREAD) | address(tcb)],
            Cap::SchedContext { sc, bits } => [
                0,
                tag(t::SCHED_CONTEXT) | address(sc) | (u64::from(bits) << 48),
            ],
            Cap::SchedControl { core } => [u64::from(core.0), tag(t::SCHED_CONTROL)],
            Cap::Frame {
                base,
                size,
                rights,
                device,
                mapping,
            } => {
                let flags = size as u64 | ((rights as u64) << 2) | (u64::from(device) << 4);
                [
                    pack_mapping(mapping),
                    tag(t::FRAME) | base.0 | (flags << 48),
                ]
            }
            Cap::PageTable { table, mapping } => {
                [pack_mapping(mapping), tag(t::PAGE_TABLE) | address(table)]
            }
            Cap::VSpace { root, asid } => [
                asid.map_or(0, |asid| u64::from(asid.number())),
                tag(t::VSPACE) | address(root),
            ],
            Cap::AsidControl => [0, tag(t::ASID_CONTROL)],
            Cap::AsidPool { pool, index } => [u64::from(index), tag(t::ASID_POOL) | address(pool)],
            Cap::IrqControl => [0, tag(t::IRQ_CONTROL)],
            Cap::IrqHandler { line } => [
                u64::from(line.intid) | (u64::from(line.core.0) << 32),
                tag(t::IRQ_HANDLER),
            ],
            Cap::SgiSignal { sgi, target } => [
                u64::from(sgi) | (u64::from(target.0) << 32),
                tag(t::SGI_SIGNAL),
            ],
            Cap::Domain => [0, tag(t::DOMAIN)],
            Cap::Zombie {
                base,
                kind,
                remaining,
            } => {
                let kind = match kind {
                    ZombieKind::Tcb => ZOMBIE_TCB,
                    ZombieKind::CNode { radix } => u64::from(radix) << 48,
                    ZombieKind::Endpoint => ZOMBIE_ENDPOINT,
                    ZombieKind::Notification => ZOMBIE_NOTIFICATION,
                };
                [remaining, tag(t::ZOMBIE) | address(base) | kind]
            }
        })
    }
}

impl RawCap {
    pub fn decode(self) -> Cap {
        use cap_type as t;
        let [w0, w1] = self.0;
        match w1 >> TYPE_SHIFT {
            t::NULL => Cap::Null,
            t::UNTYPED => Cap::Untyped {
                base: PhysAddr(w1 & ADDRESS),
                bits: (w1 >> 48 & 0x3f) as u8,
                device: w1 >> 54 & 1 == 1,
                free: w0,
            },
            t::ENDPOINT => Cap::Endpoint {
                endpoint: object(w1),
                badge: w0,
                rights: rights(w1),
            },
            t::NOTIFICATION => Cap::Notification {
                notification: object(w1),
                badge: w0,
                rights: rights(w1),
            },
            t::REPLY => Cap::Reply {
                reply: object(w1),
                can_grant: w1 >> 48 & 1 == 1,
            },
            t::CNODE => Cap::CNode {
                base: object(w1 & !GUARD_SIZE_MASK),
                radix: (w1 >> 48 & 0x3f) as u8,
                guard: w0,
                guard_size: (w1 & GUARD_SIZE_MASK) as u8,
            },
            t::THREAD => Cap::Thread { tcb: object(w1) },
            t::SCHED_CONTEXT => Cap::SchedContext {
                sc: object(w1),
                bits: (w1 >> 48 & 0x3f) as u8,
            },
            t::SCHED_CONTROL => Cap::SchedControl {
                core: CoreId(w0 as u16),
            },
            t::FRAME => Cap::Frame {
                base: PhysAddr(w1 & ADDRESS),
                size: match w1 >> 48 & 3 {
                    0 => PageSize::Small,
                    1 => PageSize::Large,
                    2 => PageSize::Huge,
                    _ => unreachable!("page size"),
                },
                rights: match w1 >> 50 & 3 {
                    0 => FrameRights::KernelOnly,
                    1 => FrameRights::ReadOnly,
                    2 => FrameRights::ReadWrite,
                    _ => unreachable!("frame rights"),
                },
                device: w1 >> 52 & 1 == 1,
                mapping: unpack_mapping(w0),
            },
            t::PAGE_TABLE => Cap::PageTable {
                table: object(w1),
                mapping: unpack_mapping(w0),
            },
            t::VSPACE => Cap::VSpace {
                root: object(w1),
                asid: Asid::new(w0 as u16),
            },
            t::ASID_CONTROL => Cap::AsidControl,
            t::ASID_POOL => Cap::AsidPool {
                pool: object(w1),
                index: w0 as u8,
            },
            t::IRQ_CONTROL => Cap::IrqControl,
            t::IRQ_HANDLER => Cap::IrqHandler {
                line: IrqLine {
                    intid: w0 as u32,
                    core: CoreId((w0 >> 32) as u16),
                },
            },
            t::SGI_SIGNAL => Cap::SgiSignal {
                sgi: w0 as u8,
                target: CoreId((w0 >> 32) as u16),
            },
            t::DOMAIN => Cap::Domain,
            t::ZOMBIE => Cap::Zombie {
                base: object(w1),
                kind: match w1 & ZOMBIE_KIND {
                    ZOMBIE_TCB => ZombieKind::Tcb,
                    ZOMBIE_ENDPOINT => ZombieKind::Endpoint,
                    ZOMBIE_NOTIFICATION => ZombieKind::Notification,
                    _ => ZombieKind::CNode {
                        radix: (w1 >> 48 & 0x3f) as u8,
                    },
                },
                remaining: w0,
            },
            other => unreachable!("capability type {other}"),
        }
    }

    /// The parts of a capability to an endpoint.
    #[inline(always)]
    pub fn as_endpoint(self) -> Option<(EndpointRef, u64, CapRights)> {
        let [badge, w1] = self.0;
        (w1 >> TYPE_SHIFT == cap_type::ENDPOINT).then(|| (object(w1), badge, rights(w1)))
    }

    /// The parts of a capability to a notification.
    #[inline(always)]
    pub fn as_notification(self) -> Option<(NotificationRef, u64, CapRights)> {
        let [badge, w1] = self.0;
        (w1 >> TYPE_SHIFT == cap_type::NOTIFICATION).then(|| (object(w1), badge, rights(w1)))
    }

    /// The root and the identifier of a capability to a VSpace that has one.
    #[inline(always)]
    pub fn as_vspace(self) -> Option<(TableRef, Asid)> {
        let [w0, w1] = self.0;
        let asid = Asid::new(w0 as u16)?;
        (w1 >> TYPE_SHIFT == cap_type::VSPACE).then(|| (object(w1), asid))
    }

    /// The object of a capability to a reply object.
    #[inline(always)]
    pub fn as_reply(self) -> Option<ReplyRef> {
        let [_, w1] = self.0;
        (w1 >> TYPE_SHIFT == cap_type::REPLY).then(|| object(w1))
    }

    /// The type number, as `DebugCapIdentify` reports it.
    pub fn type_number(self) -> u64 {
        self.0[1] >> TYPE_SHIFT
    }
}

impl Cap {
    pub fn is_null(&self) -> bool {
        *self == Cap::Null
    }
}

/// A place for a capability, and its links in the derivation list.
#[repr(C)]
pub struct Slot {
    raw: RawCap,
    prev: usize,
    /// Address, with the two flags in its low bits.
    next: usize,
}

const REVOCABLE: usize = 1;
const FIRST_BADGED: usize = 2;
const FLAGS: usize = REVOCABLE | FIRST_BADGED;
const _: () = assert!(size_of::<Slot>() == 1 << sel4_abi::size_bits::SLOT);

impl Object for Slot {}
impl Exclusive for Slot {}

impl Slot {
    pub const EMPTY: Self = Self {
        raw: RawCap::NULL,
        prev: 0,
        next: 0,
    };

    pub fn cap(&self) -> Cap {
        self.raw.decode()
    }

    pub fn raw(&self) -> RawCap {
        self.raw
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.raw == RawCap::NULL
    }

    pub fn set_cap(&mut self, cap: Cap) {
        self.raw = cap.into();
    }

    pub fn prev(&self) -> Option<SlotRef> {
        SlotRef::from_address_opt(self.prev)
    }

    pub fn next(&self) -> Option<SlotRef> {
        SlotRef::from_address_opt(self.next & !FLAGS)
    }

    pub fn set_prev(&mut self, prev: Option<SlotRef>) {
        self.prev = prev.map_or(0, SlotRef::address);
    }

    pub fn set_next(&mut self, next: Option<SlotRef>) {
        self.next = next.map_or(0, SlotRef::address) | (self.next & FLAGS);
    }

    pub fn revocable(&self) -> bool {
        self.next & REVOCABLE != 0
    }

    pub fn first_badged(&self) -> bool {
        self.next & FIRST_BADGED != 0
    }

    pub fn set_flags(&mut self, revocable: bool, first_badged: bool) {
        self.next = (self.next & !FLAGS)
            | if revocable { REVOCABLE } else { 0 }
            | if first_badged { FIRST_BADGED } else { 0 };
    }
}
