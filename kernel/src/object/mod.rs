//! Kernel objects and typed references to them.
//!
//! An [`ObjRef`] is a typed address: it can be copied and compared and grants nothing. The object behind it is reached
//! only through the lock token [`crate::access::Kernel`]. All objects live in user-supplied memory, reached through
//! the kernel's physical window, and hold integers, typed references and plain enums only.

mod endpoint;
mod reply;
mod sched_context;
mod table;
mod tcb;
mod word;

use core::{fmt, marker::PhantomData, num::NonZeroUsize};

pub use endpoint::{Endpoint, EndpointState, Notification, NotificationState};
pub use reply::{Reply, StackLink};
pub use sched_context::{REFILLS_OFFSET, SchedContext};
pub use table::{AsidPool, ENTRIES, Table};
pub use tcb::{
    Context, FpuState, Links, Progress, TCB_SLOTS, Tcb, TcbSlot, ThreadName, ThreadState, layout,
};
pub use word::{Home, Link, Word};

/// The typed address of a kernel object.
pub struct ObjRef<T> {
    address: NonZeroUsize,
    _type: PhantomData<fn() -> T>,
}

/// A type whose every value lives at an address that an [`ObjRef`] may name.
///
/// It is sealed to this crate: the token dereferences references to these types only.
pub trait Object: Sized {
    /// Where the value is from the address that references to it hold.
    const OFFSET: usize = 0;

    /// Where the home of an object is, if a core's lock guards it: none for structure, and for what is made of words.
    fn home(_object: ObjRef<Self>) -> Option<ObjRef<Home>> {
        None
    }
}

/// An object of which nothing is read but under the lock that guards it, so that whoever has that may borrow it
/// exclusively. The others consist of [`word`]s.
pub trait Exclusive: Object {
    /// Structure is written under all locks, and read under any.
    const STRUCTURE: bool = true;
}

pub type TcbRef = ObjRef<Tcb>;
pub type ScRef = ObjRef<SchedContext>;
pub type EndpointRef = ObjRef<Endpoint>;
pub type NotificationRef = ObjRef<Notification>;
pub type ReplyRef = ObjRef<Reply>;
pub type TableRef = ObjRef<Table>;
pub type SlotRef = ObjRef<crate::cap::Slot>;

impl<T> ObjRef<T> {
    /// A reference to the object at this kernel virtual address. Whoever makes one says that a `T` lives there for as
    /// long as any capability, queue or core names it; reference-making is confined to retype, boot, the decoding of
    /// capabilities and the fixed places inside other objects.
    pub fn from_address(address: usize) -> Self {
        let address = NonZeroUsize::new(address).expect("object address is not null");
        Self {
            address,
            _type: PhantomData,
        }
    }

    /// As [`ObjRef::from_address`], 0 for none.
    pub fn from_address_opt(address: usize) -> Option<Self> {
        Some(Self {
            address: NonZeroUsize::new(address)?,
            _type: PhantomData,
        })
    }

    pub const fn address(self) -> usize {
        self.address.get()
    }

    /// A part of an object that is aligned to its size, which is more than `offset`. The address is not null either, and
    /// the compiler knows.
    #[inline(always)]
    fn part<U>(self, offset: usize) -> ObjRef<U> {
        ObjRef {
            address: self.address | offset,
            _type: PhantomData,
        }
    }
}

impl<T: Object> ObjRef<T> {
    /// Where the value is. Only [`crate::access`] follows it.
    #[inline(always)]
    pub(crate) fn pointer(self) -> *mut T {
        (self.address.get() + T::OFFSET) as *mut T
    }
}

impl SlotRef {
    /// The slot at `index` in the table that begins here. Tables are aligned to their size.
    #[inline(always)]
    pub fn in_table(self, index: usize) -> Self {
        self.part(index * size_of::<crate::cap::Slot>())
    }

    /// The slot `index` places after this one in its table.
    #[inline]
    pub fn nth(self, index: usize) -> Self {
        Self::from_address(self.address() + index * size_of::<crate::cap::Slot>())
    }
}

impl<T> Clone for ObjRef<T> {
    fn clone(&self) -> Self {
        *self
    }
}

impl<T> Copy for ObjRef<T> {}

impl<T> PartialEq for ObjRef<T> {
    fn eq(&self, other: &Self) -> bool {
        self.address == other.address
    }
}

impl<T> Eq for ObjRef<T> {}

impl<T> fmt::Debug for ObjRef<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.address)
    }
}

const _: () = assert!(size_of::<Option<TcbRef>>() == 8);
