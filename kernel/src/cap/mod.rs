//! Capabilities: an enum for everybody, two packed words in a slot.

mod raw;

use sel4_abi::CapRights;

pub use raw::{Node, RawCap};

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

impl Cap {
    pub fn is_null(&self) -> bool {
        matches!(self, Cap::Null)
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

/// What tells where the subtree of a capability ends.
#[derive(Clone, Copy)]
pub struct Flags(usize);

impl Flags {
    /// Whether others count as derived from it, and whether it is the first with its badge.
    #[inline]
    pub fn new(revocable: bool, first_badged: bool) -> Self {
        Self(if revocable { REVOCABLE } else { 0 } | if first_badged { FIRST_BADGED } else { 0 })
    }
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

    /// A capability at its place in the list.
    #[inline]
    pub fn new(cap: RawCap, prev: Option<SlotRef>, next: Option<SlotRef>, flags: Flags) -> Self {
        Self {
            raw: cap,
            prev: prev.map_or(0, SlotRef::address),
            next: next.map_or(0, SlotRef::address) | flags.0,
        }
    }

    #[inline(always)]
    pub fn cap(&self) -> Cap {
        self.raw.decode()
    }

    #[inline]
    pub fn raw(&self) -> RawCap {
        self.raw
    }

    #[inline]
    pub fn raw_mut(&mut self) -> &mut RawCap {
        &mut self.raw
    }

    #[inline]
    pub fn is_empty(&self) -> bool {
        self.raw.is_null()
    }

    #[inline]
    pub fn set_cap(&mut self, cap: impl Into<RawCap>) {
        self.raw = cap.into();
    }

    #[inline]
    pub fn prev(&self) -> Option<SlotRef> {
        SlotRef::from_address_opt(self.prev)
    }

    #[inline]
    pub fn next(&self) -> Option<SlotRef> {
        SlotRef::from_address_opt(self.next & !FLAGS)
    }

    #[inline]
    pub fn set_prev(&mut self, prev: Option<SlotRef>) {
        self.prev = prev.map_or(0, SlotRef::address);
    }

    #[inline]
    pub fn set_next(&mut self, next: Option<SlotRef>) {
        self.next = next.map_or(0, SlotRef::address) | (self.next & FLAGS);
    }

    #[inline]
    pub fn flags(&self) -> Flags {
        Flags(self.next & FLAGS)
    }

    #[inline]
    pub fn revocable(&self) -> bool {
        self.next & REVOCABLE != 0
    }

    #[inline]
    pub fn first_badged(&self) -> bool {
        self.next & FIRST_BADGED != 0
    }

    #[inline]
    pub fn set_first_badged(&mut self) {
        self.next |= FIRST_BADGED;
    }
}
