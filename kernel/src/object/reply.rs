//! Reply objects: 32 bytes. While a call is under way they form the call stack of the scheduling context that went
//! with it.

use sel4_abi::size_bits;

use super::{Home, Link, Object, ReplyRef, ScRef, Tcb, Word};
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
    /// The thread blocked on this object: a caller that waits for the answer, or a receiver that brought it.
    pub tcb: Link<Tcb>,
    /// The next older call of the stack.
    pub below: Link<Self>,
    /// The address of what is above, bit 0 set for a scheduling context; 0 for none.
    above: Word,
    /// The home of the thread, or of the last one.
    pub home: Home,
}

const _: () = assert!(size_of::<Reply>() == 1 << size_bits::REPLY);

impl Object for Reply {}

impl Reply {
    pub const fn new(home: CoreId) -> Self {
        Self {
            tcb: Link::none(),
            below: Link::none(),
            above: Word::new(0),
            home: Home::new(home),
        }
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
