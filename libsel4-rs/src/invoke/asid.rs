//! Address space identifiers.

use sel4_abi::Invocation;

use super::invoke;
use crate::cap::{AsidControl, AsidPool, Cap, SlotPath, Untyped, VSpace};
use crate::error::Error;

impl Cap<AsidControl> {
    /// `seL4_ARM_ASIDControl_MakePool`: turns 4 KiB of untyped memory into a pool of 512 identifiers, whose
    /// capability goes to the slot.
    ///
    /// # Errors
    /// `DeleteFirst` when there are 128 pools or the slot is occupied; `InvalidCapability` 1 when the untyped is not
    /// 4 KiB of ordinary memory; `RevokeFirst` when it has children; `FailedLookup` for the slot.
    pub fn make_pool(self, untyped: Cap<Untyped>, slot: &SlotPath) -> Result<(), Error> {
        let caps = [untyped.bits(), slot.root.bits()];
        let words = [slot.index, slot.depth];
        invoke(self.bits(), Invocation::AsidControlMakePool, &caps, &words).map(drop)
    }
}

impl Cap<AsidPool> {
    /// `seL4_ARM_ASIDPool_Assign`: gives an address space an identifier; before that nothing can be mapped in it.
    ///
    /// # Errors
    /// `InvalidCapability` 1 when it is not an address space or has one; `DeleteFirst` when the pool is used up.
    pub fn assign(self, vspace: Cap<VSpace>) -> Result<(), Error> {
        invoke(
            self.bits(),
            Invocation::AsidPoolAssign,
            &[vspace.bits()],
            &[],
        )
        .map(drop)
    }
}
