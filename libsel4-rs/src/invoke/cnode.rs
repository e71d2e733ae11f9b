//! CNodes: moving, copying and taking back capabilities.
//!
//! Each method exists twice: on `Cap<CNode>` as the interface has it, and on [`SlotPath`], which says the same with
//! the slot in front: `slot.copy_from(&source, rights)`.

use sel4_abi::{CapRights, Invocation};

use super::invoke;
use crate::cap::{CNode, Cap, SlotPath};
use crate::error::Error;

impl Cap<CNode> {
    /// `seL4_CNode_Revoke`: deletes everything derived from the capability in the slot. The capability stays.
    ///
    /// # Errors
    /// `RangeError` or `FailedLookup` for the slot.
    pub fn revoke(self, index: u64, depth: u64) -> Result<(), Error> {
        invoke(self.bits(), Invocation::CNodeRevoke, &[], &[index, depth]).map(drop)
    }

    /// `seL4_CNode_Delete`: empties the slot; the last capability to an object destroys it. An empty slot is fine.
    ///
    /// # Errors
    /// `RangeError` or `FailedLookup` for the slot.
    pub fn delete(self, index: u64, depth: u64) -> Result<(), Error> {
        invoke(self.bits(), Invocation::CNodeDelete, &[], &[index, depth]).map(drop)
    }

    /// `seL4_CNode_CancelBadgedSends`: takes the threads off an endpoint that wait to send with this capability's
    /// badge; they send again. Nothing for badge 0.
    ///
    /// # Errors
    /// `IllegalOperation` unless the slot holds an endpoint capability with all rights; errors for the slot.
    pub fn cancel_badged_sends(self, index: u64, depth: u64) -> Result<(), Error> {
        invoke(
            self.bits(),
            Invocation::CNodeCancelBadgedSends,
            &[],
            &[index, depth],
        )
        .map(drop)
    }

    /// `seL4_CNode_Copy`: puts a copy with at most `rights` into the slot.
    ///
    /// # Errors
    /// `DeleteFirst` when the slot is occupied; `FailedLookup` for either slot (also when the source is empty);
    /// `RevokeFirst` for untyped memory with children; `IllegalOperation` for what cannot be copied.
    pub fn copy(
        self,
        index: u64,
        depth: u64,
        source: &SlotPath,
        rights: CapRights,
    ) -> Result<(), Error> {
        let words = [index, depth, source.index, source.depth, rights.bits()];
        invoke(
            self.bits(),
            Invocation::CNodeCopy,
            &[source.root.bits()],
            &words,
        )
        .map(drop)
    }

    /// `seL4_CNode_Mint`: as [`Cap::<CNode>::copy`], and sets the badge of an unbadged endpoint or notification
    /// capability, or the guard of a CNode capability ([`crate::CNodeCapData`]).
    ///
    /// # Errors
    /// As [`Cap::<CNode>::copy`]; `IllegalOperation` also for a second badge or a guard too long.
    pub fn mint(
        self,
        index: u64,
        depth: u64,
        source: &SlotPath,
        rights: CapRights,
        badge: u64,
    ) -> Result<(), Error> {
        let words = [
            index,
            depth,
            source.index,
            source.depth,
            rights.bits(),
            badge,
        ];
        invoke(
            self.bits(),
            Invocation::CNodeMint,
            &[source.root.bits()],
            &words,
        )
        .map(drop)
    }

    /// `seL4_CNode_Move`: moves the capability from `source` to the slot.
    ///
    /// # Errors
    /// `DeleteFirst` when the slot is occupied; `FailedLookup` for either slot (also when the source is empty).
    pub fn move_cap(self, index: u64, depth: u64, source: &SlotPath) -> Result<(), Error> {
        let words = [index, depth, source.index, source.depth];
        invoke(
            self.bits(),
            Invocation::CNodeMove,
            &[source.root.bits()],
            &words,
        )
        .map(drop)
    }

    /// `seL4_CNode_Mutate`: moves the capability and sets the guard of a CNode capability.
    ///
    /// # Errors
    /// As [`Cap::<CNode>::move_cap`]; `IllegalOperation` for endpoints and notifications, whose badges stay.
    pub fn mutate(self, index: u64, depth: u64, source: &SlotPath, data: u64) -> Result<(), Error> {
        let words = [index, depth, source.index, source.depth, data];
        invoke(
            self.bits(),
            Invocation::CNodeMutate,
            &[source.root.bits()],
            &words,
        )
        .map(drop)
    }

    /// `seL4_CNode_Rotate`: moves `pivot` to the slot and `source` to `pivot`, in one step. `source` may be the slot
    /// itself: then the two change places. `data` goes to the capability that ends in the slot, `pivot_data` to the
    /// other.
    ///
    /// # Errors
    /// `IllegalOperation` when `pivot` is one of the others, or for endpoints and notifications; `DeleteFirst` when
    /// the slot is occupied (and not the source); `FailedLookup` for any of the three.
    pub fn rotate(
        self,
        index: u64,
        depth: u64,
        data: u64,
        pivot: &SlotPath,
        pivot_data: u64,
        source: &SlotPath,
    ) -> Result<(), Error> {
        let words = [
            index,
            depth,
            data,
            pivot.index,
            pivot.depth,
            pivot_data,
            source.index,
            source.depth,
        ];
        let caps = [pivot.root.bits(), source.root.bits()];
        invoke(self.bits(), Invocation::CNodeRotate, &caps, &words).map(drop)
    }
}

impl SlotPath {
    /// [`Cap::<CNode>::revoke`] of this slot.
    ///
    /// # Errors
    /// As there.
    pub fn revoke(&self) -> Result<(), Error> {
        self.root.revoke(self.index, self.depth)
    }

    /// [`Cap::<CNode>::delete`] of this slot.
    ///
    /// # Errors
    /// As there.
    pub fn delete(&self) -> Result<(), Error> {
        self.root.delete(self.index, self.depth)
    }

    /// [`Cap::<CNode>::cancel_badged_sends`] of this slot.
    ///
    /// # Errors
    /// As there.
    pub fn cancel_badged_sends(&self) -> Result<(), Error> {
        self.root.cancel_badged_sends(self.index, self.depth)
    }

    /// [`Cap::<CNode>::copy`] into this slot.
    ///
    /// # Errors
    /// As there.
    pub fn copy_from(&self, source: &SlotPath, rights: CapRights) -> Result<(), Error> {
        self.root.copy(self.index, self.depth, source, rights)
    }

    /// [`Cap::<CNode>::mint`] into this slot.
    ///
    /// # Errors
    /// As there.
    pub fn mint_from(&self, source: &SlotPath, rights: CapRights, badge: u64) -> Result<(), Error> {
        self.root
            .mint(self.index, self.depth, source, rights, badge)
    }

    /// [`Cap::<CNode>::move_cap`] into this slot.
    ///
    /// # Errors
    /// As there.
    pub fn move_from(&self, source: &SlotPath) -> Result<(), Error> {
        self.root.move_cap(self.index, self.depth, source)
    }

    /// [`Cap::<CNode>::mutate`] into this slot.
    ///
    /// # Errors
    /// As there.
    pub fn mutate_from(&self, source: &SlotPath, data: u64) -> Result<(), Error> {
        self.root.mutate(self.index, self.depth, source, data)
    }
}
