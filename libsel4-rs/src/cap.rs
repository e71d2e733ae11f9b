//! Typed capability pointers.
//!
//! A [`Cap<T>`] is an address in the running thread's capability space, with the kind of object that is expected
//! there as its type, so that only the methods of that object exist on it. It is a plain number: copying it copies no
//! capability, and nothing guarantees that the slot holds what the type says; the kernel checks every use.

use core::fmt;
use core::hash::{Hash, Hasher};
use core::marker::PhantomData;

use sel4_abi::{CPtr, ObjectType, size_bits, slot};

/// A kind of capability.
pub trait CapType: 'static {
    /// The name for messages.
    const NAME: &'static str;
}

/// A kind of object that can be made from untyped memory and always has the same size.
pub trait FixedObject: CapType {
    /// Its type number for `Untyped_Retype`.
    const OBJECT: ObjectType;
    /// Logarithm of its size in bytes.
    const SIZE_BITS: u64 = Self::OBJECT.object_bits(0);
}

/// A frame of memory that can be mapped: [`SmallPage`], [`LargePage`], [`HugePage`].
pub trait Page: FixedObject {
    /// Its size in bytes.
    const SIZE: u64 = 1 << Self::SIZE_BITS;
}

/// The address of a capability to a `T` in the running thread's capability space.
pub struct Cap<T: CapType> {
    bits: CPtr,
    kind: PhantomData<fn() -> T>,
}

impl<T: CapType> Cap<T> {
    /// A capability address, expected to lead to a `T`.
    pub const fn from_bits(bits: CPtr) -> Self {
        Self {
            bits,
            kind: PhantomData,
        }
    }

    /// The address.
    pub const fn bits(self) -> CPtr {
        self.bits
    }

    /// The same address, expected to lead to another kind of object.
    pub const fn cast<U: CapType>(self) -> Cap<U> {
        Cap::from_bits(self.bits)
    }

    /// The slot with this address, seen from the root task's CNode.
    pub const fn slot(self) -> SlotPath {
        SlotPath {
            root: init::CNODE,
            index: self.bits,
            depth: 64,
        }
    }
}

impl<T: CapType> Clone for Cap<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T: CapType> Copy for Cap<T> {}

impl<T: CapType> PartialEq for Cap<T> {
    fn eq(&self, other: &Self) -> bool {
        self.bits == other.bits
    }
}

impl<T: CapType> Eq for Cap<T> {}

impl<T: CapType> Hash for Cap<T> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.bits.hash(state);
    }
}

impl<T: CapType> fmt::Debug for Cap<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}({})", T::NAME, self.bits)
    }
}

macro_rules! cap_types {
    ($($(#[$doc:meta])* $name:ident $(= $object:ident)?,)*) => {$(
        $(#[$doc])*
        #[derive(Clone, Copy, Debug)]
        pub enum $name {}

        impl CapType for $name {
            const NAME: &'static str = stringify!($name);
        }

        impl $name {
            /// The capability address `bits`, expected to lead to such an object.
            pub const fn at(bits: CPtr) -> Cap<Self> {
                Cap::from_bits(bits)
            }
        }

        $(impl FixedObject for $name {
            const OBJECT: ObjectType = ObjectType::$object;
        })?
    )*};
}

cap_types! {
    /// An empty slot, or a capability whose kind does not matter.
    Null,
    /// Memory that objects are made from.
    Untyped,
    /// A thread control block.
    Tcb = Tcb,
    /// Where threads meet to exchange messages.
    Endpoint = Endpoint,
    /// A word of signals that threads wait for.
    Notification = Notification,
    /// A reply object: holds the caller while it waits for its answer.
    Reply = Reply,
    /// A table of capability slots.
    CNode,
    /// A scheduling context: the right to run on one core, so much in each period.
    SchedContext,
    /// The right to set budgets on one core.
    SchedControl,
    /// An address space: the root of its translation tables.
    VSpace = VSpace,
    /// A table below the root of an address space.
    PageTable = PageTable,
    /// A frame of 4 KiB.
    SmallPage = SmallPage,
    /// A frame of 2 MiB.
    LargePage = LargePage,
    /// A frame of 1 GiB.
    HugePage = HugePage,
    /// 512 address space identifiers.
    AsidPool,
    /// The right to make ASID pools.
    AsidControl,
    /// The right to take interrupt lines.
    IrqControl,
    /// One interrupt line.
    IrqHandler,
    /// A software-generated interrupt to another core or image.
    SgiSignal,
    /// The right to set domains.
    DomainSet,
}

impl Page for SmallPage {}
impl Page for LargePage {}
impl Page for HugePage {}

/// Logarithm of the size in bytes of a CNode slot.
pub const SLOT_SIZE_BITS: u64 = size_bits::SLOT;

/// A capability slot, as CNode methods name it: a CNode to start from, and an address with its number of bits.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotPath {
    /// Where the look-up starts.
    pub root: Cap<CNode>,
    /// The address.
    pub index: u64,
    /// How many bits of it count, 1 to 64.
    pub depth: u64,
}

impl SlotPath {
    /// The slot at `index`, `depth` bits deep, seen from `root`.
    pub const fn new(root: Cap<CNode>, index: u64, depth: u64) -> Self {
        Self { root, index, depth }
    }

    /// The slot of the root task's CNode with this capability address.
    pub const fn in_root(cptr: CPtr) -> Self {
        Self {
            root: init::CNODE,
            index: cptr,
            depth: 64,
        }
    }
}

/// The capabilities that the root task starts with, at fixed addresses.
pub mod init {
    use super::{
        AsidControl, AsidPool, CNode, Cap, DomainSet, IrqControl, SchedContext, SmallPage, Tcb,
        VSpace, slot,
    };

    /// The first thread.
    pub const TCB: Cap<Tcb> = Cap::from_bits(slot::INIT_THREAD_TCB);
    /// The root CNode: the capability space itself.
    pub const CNODE: Cap<CNode> = Cap::from_bits(slot::INIT_THREAD_CNODE);
    /// The address space.
    pub const VSPACE: Cap<VSpace> = Cap::from_bits(slot::INIT_THREAD_VSPACE);
    /// Takes interrupt lines.
    pub const IRQ_CONTROL: Cap<IrqControl> = Cap::from_bits(slot::IRQ_CONTROL);
    /// Makes ASID pools.
    pub const ASID_CONTROL: Cap<AsidControl> = Cap::from_bits(slot::ASID_CONTROL);
    /// The pool that the first address space's identifier is from.
    pub const ASID_POOL: Cap<AsidPool> = Cap::from_bits(slot::INIT_THREAD_ASID_POOL);
    /// The frame of the boot information.
    pub const BOOT_INFO_FRAME: Cap<SmallPage> = Cap::from_bits(slot::BOOT_INFO_FRAME);
    /// The frame of the first thread's IPC buffer.
    pub const IPC_BUFFER_FRAME: Cap<SmallPage> = Cap::from_bits(slot::INIT_THREAD_IPC_BUFFER);
    /// Sets domains.
    pub const DOMAIN_SET: Cap<DomainSet> = Cap::from_bits(slot::DOMAIN);
    /// The first thread's scheduling context.
    pub const SCHED_CONTEXT: Cap<SchedContext> = Cap::from_bits(slot::INIT_THREAD_SC);
}
