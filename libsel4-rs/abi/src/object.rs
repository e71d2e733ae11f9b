//! Object types and sizes. Sizes are part of the interface: user-level allocators compute with them.

/// What `Untyped_Retype` makes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u64)]
pub enum ObjectType {
    Untyped = 0,
    Tcb = 1,
    Endpoint = 2,
    Notification = 3,
    /// `size_bits` is the logarithm of the number of slots.
    CNode = 4,
    /// `size_bits` is the logarithm of the size in bytes.
    SchedContext = 5,
    Reply = 6,
    HugePage = 7,
    VSpace = 8,
    SmallPage = 9,
    LargePage = 10,
    PageTable = 11,
}

impl ObjectType {
    /// How many types there are.
    pub const COUNT: u64 = 12;

    pub const fn from_word(word: u64) -> Option<Self> {
        Some(match word {
            0 => Self::Untyped,
            1 => Self::Tcb,
            2 => Self::Endpoint,
            3 => Self::Notification,
            4 => Self::CNode,
            5 => Self::SchedContext,
            6 => Self::Reply,
            7 => Self::HugePage,
            8 => Self::VSpace,
            9 => Self::SmallPage,
            10 => Self::LargePage,
            11 => Self::PageTable,
            _ => return None,
        })
    }

    /// Logarithm of the size in bytes of one object, for the `size_bits` given to retype.
    pub const fn object_bits(self, size_arg: u64) -> u64 {
        match self {
            Self::Untyped | Self::SchedContext => size_arg,
            Self::CNode => size_arg + size_bits::SLOT,
            Self::Tcb => size_bits::TCB,
            Self::Endpoint => size_bits::ENDPOINT,
            Self::Notification => size_bits::NOTIFICATION,
            Self::Reply => size_bits::REPLY,
            Self::HugePage => size_bits::HUGE_PAGE,
            Self::VSpace => size_bits::VSPACE,
            Self::SmallPage => size_bits::SMALL_PAGE,
            Self::LargePage => size_bits::LARGE_PAGE,
            Self::PageTable => size_bits::PAGE_TABLE,
        }
    }
}

/// Logarithms of object sizes in bytes.
pub mod size_bits {
    pub const SLOT: u64 = 5;
    pub const TCB: u64 = 11;
    pub const ENDPOINT: u64 = 4;
    pub const NOTIFICATION: u64 = 6;
    pub const REPLY: u64 = 5;
    pub const MIN_SCHED_CONTEXT: u64 = 7;
    pub const SMALL_PAGE: u64 = 12;
    pub const LARGE_PAGE: u64 = 21;
    pub const HUGE_PAGE: u64 = 30;
    pub const PAGE_TABLE: u64 = 12;
    pub const VSPACE: u64 = 12;
    pub const ASID_POOL: u64 = 12;
    pub const MIN_UNTYPED: u64 = 4;
    pub const MAX_UNTYPED: u64 = 47;
    pub const IPC_BUFFER: u64 = 10;
}

/// Bytes of a scheduling context that hold no extra refill: the object's head and the two refills it always has.
pub const SCHED_CONTEXT_CORE_BYTES: u64 = 128;
/// Bytes of one refill of a scheduling context.
pub const REFILL_BYTES: u64 = 16;

/// Capability type numbers, as `DebugCapIdentify` reports them.
pub mod cap_type {
    pub const NULL: u64 = 0;
    pub const FRAME: u64 = 1;
    pub const UNTYPED: u64 = 2;
    pub const PAGE_TABLE: u64 = 3;
    pub const ENDPOINT: u64 = 4;
    pub const NOTIFICATION: u64 = 6;
    pub const REPLY: u64 = 8;
    pub const VSPACE: u64 = 9;
    pub const CNODE: u64 = 10;
    pub const ASID_CONTROL: u64 = 11;
    pub const THREAD: u64 = 12;
    pub const ASID_POOL: u64 = 13;
    pub const IRQ_CONTROL: u64 = 14;
    pub const IRQ_HANDLER: u64 = 16;
    pub const ZOMBIE: u64 = 18;
    pub const DOMAIN: u64 = 20;
    pub const SCHED_CONTEXT: u64 = 22;
    pub const SCHED_CONTROL: u64 = 24;
    pub const SGI_SIGNAL: u64 = 27;
}
