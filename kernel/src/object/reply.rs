//! Reply objects: 32 bytes. While a call is under way they form the call stack of the scheduling context that went
//! with it.

use sel4_abi::size_bits;

use super::{Object, ReplyRef, ScRef, TcbRef};

/// What stands above a reply object in a call stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum StackLink {
    None,
    /// This reply is the head of the stack of that scheduling context.
    Sc(ScRef),
    Reply(ReplyRef),
}

/// The right to answer one call.
#[derive(Default)]
#[repr(C, align(32))]
pub struct Reply {
    /// The thread blocked on this object: a caller that waits for the answer, or a receiver that brought it.
    pub tcb: Option<TcbRef>,
    /// The next older call of the stack.
    pub below: Option<ReplyRef>,
    /// The address of what is above, bit 0 set for a scheduling context; 0 for none.
    above: usize,
}

const _: () = assert!(size_of::<Reply>() == 1 << size_bits::REPLY);

impl Object for Reply {}

impl Reply {
    pub fn above(&self) -> StackLink {
        if self.above & 1 == 1 {
            StackLink::Sc(ScRef::from_address(self.above & !1))
        } else {
            ReplyRef::from_address_opt(self.above).map_or(StackLink::None, StackLink::Reply)
        }
    }

    pub fn set_above(&mut self, link: StackLink) {
        self.above = match link {
            StackLink::None => 0,
            StackLink::Sc(sc) => sc.address() | 1,
            StackLink::Reply(reply) => reply.address(),
        };
    }
}
