//! Reply objects: 32 bytes. While a call is under way they form the call stack of the scheduling context that went
//! with it.

use sel4_abi::size_bits;

use super::{Link, Object, ReplyRef, ScRef, TcbRef, Word};
use crate::types::CoreId;

/// What stands above a reply object in a call stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StackLink {
    None,
    /// This reply is the head of the stack of that scheduling context.
    Sc(ScRef),
    Reply(ReplyRef),
}

/// The right to answer one call.
#[repr(C, align(32))]
pub struct Reply {
    /// TCB object address of the thread blocked on this object | home.
    thread: Word,
    /// The next older call of the stack.
    pub below: Link<Self>,
    /// The address of what is above, bit 0 set for a scheduling context; 0 for none.
    above: Word,
}

const _: () = assert!(size_of::<Reply>() == 1 << size_bits::REPLY);

const ADDRESS_MASK: u64 = !((1 << size_bits::TCB) - 1);
const _: () = assert!(crate::config::MAX_NUM_NODES as u64 <= !ADDRESS_MASK);

impl Object for Reply {}

impl Reply {
    pub const fn new(home: CoreId) -> Self {
        Self {
            thread: Word::new(home.0 as u64),
            below: Link::none(),
            above: Word::new(0),
        }
    }

    /// The thread blocked on this object: a caller that waits for the answer, or a receiver that brought it.
    pub fn tcb(&self) -> Option<TcbRef> {
        TcbRef::from_address_opt((self.thread.get() & ADDRESS_MASK) as usize)
    }

    /// Its home is this object's.
    pub fn set_tcb(&self, tcb: TcbRef, home: CoreId) {
        self.thread.set(tcb.object() as u64 | u64::from(home.0));
    }

    /// Nobody is blocked on it any more. Its home stays.
    pub fn clear_tcb(&self) {
        self.thread.set(self.thread.get() & !ADDRESS_MASK);
    }

    pub fn home(&self) -> CoreId {
        CoreId((self.thread.get() & !ADDRESS_MASK) as u16)
    }

    pub fn above(&self) -> StackLink {
        let address = self.above.get() as usize;
        if address & 1 == 1 {
            StackLink::Sc(ScRef::from_address(address & !1))
        } else {
            ReplyRef::from_address_opt(address).map_or(StackLink::None, StackLink::Reply)
        }
    }

    pub fn set_above(&self, link: StackLink) {
        self.above.set(match link {
            StackLink::None => 0,
            StackLink::Sc(sc) => sc.address() as u64 | 1,
            StackLink::Reply(reply) => reply.address() as u64,
        });
    }
}
