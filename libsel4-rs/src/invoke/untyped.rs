//! Untyped memory: where every object comes from.

use sel4_abi::{Invocation, ObjectType};

use super::invoke;
use crate::cap::{CNode, Cap, SlotPath, Untyped};
use crate::error::Error;

impl Cap<Untyped> {
    /// `seL4_Untyped_Retype`: makes `count` objects of a type. Their capabilities go to consecutive slots, from
    /// `offset`, of the CNode that `node` leads to (depth 0: `node.root` itself).
    ///
    /// `size` is the logarithm of the number of slots for a CNode and of the bytes for untyped memory and scheduling
    /// contexts; other types ignore it. Objects start zeroed. An untyped with no children starts again at its
    /// beginning.
    ///
    /// # Errors
    /// `InvalidArgument` 0 for the type, 1 for a size too small or a type that device memory cannot become;
    /// `RangeError` for the size, the offset or the count; `FailedLookup` for the CNode; `DeleteFirst` when a slot is
    /// occupied; `NotEnoughMemory`.
    pub fn retype(
        self,
        object: ObjectType,
        size: u64,
        node: SlotPath,
        offset: u64,
        count: u64,
    ) -> Result<(), Error> {
        let words = [object as u64, size, node.index, node.depth, offset, count];
        invoke(
            self.bits(),
            Invocation::UntypedRetype,
            &[node.root.bits()],
            &words,
        )
        .map(drop)
    }

    /// [`Cap::retype`] of one object into one slot of a one-level capability space whose CNode is `root`.
    ///
    /// # Errors
    /// As [`Cap::retype`].
    pub fn retype_into(
        self,
        object: ObjectType,
        size: u64,
        root: Cap<CNode>,
        offset: u64,
    ) -> Result<(), Error> {
        self.retype(object, size, SlotPath::new(root, 0, 0), offset, 1)
    }
}
