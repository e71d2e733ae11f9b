//! Objects from untyped memory, and copies of capabilities.

use sel4_abi::{CPtr, CapRights, ObjectType, size_bits};

use super::{KernelSplitter, ResourceError, System};
use crate::cap::{
    CNode, Cap, CapType, Endpoint, FixedObject, Notification, Reply, SchedContext, SlotPath,
    Untyped, VSpace, init,
};

impl System {
    /// A new object.
    ///
    /// # Errors
    /// No slots, no memory.
    pub fn object<T: FixedObject>(&mut self) -> Result<Cap<T>, ResourceError> {
        self.make(T::OBJECT, 0).map(Cap::from_bits)
    }

    /// A new endpoint.
    ///
    /// # Errors
    /// No slots, no memory.
    pub fn endpoint(&mut self) -> Result<Cap<Endpoint>, ResourceError> {
        self.object()
    }

    /// A new notification.
    ///
    /// # Errors
    /// No slots, no memory.
    pub fn notification(&mut self) -> Result<Cap<Notification>, ResourceError> {
        self.object()
    }

    /// A new reply object.
    ///
    /// # Errors
    /// No slots, no memory.
    pub fn reply(&mut self) -> Result<Cap<Reply>, ResourceError> {
        self.object()
    }

    /// A new CNode of 2^`radix` slots.
    ///
    /// # Errors
    /// No slots, no memory.
    pub fn cnode(&mut self, radix: u8) -> Result<Cap<CNode>, ResourceError> {
        self.make(ObjectType::CNode, u64::from(radix))
            .map(Cap::from_bits)
    }

    /// Untyped memory of 2^`bits` bytes.
    ///
    /// # Errors
    /// No slots, no memory.
    pub fn untyped(&mut self, bits: u8) -> Result<Cap<Untyped>, ResourceError> {
        self.make(ObjectType::Untyped, u64::from(bits))
            .map(Cap::from_bits)
    }

    /// A new scheduling context, without a budget, that has room for this many refills beyond two.
    /// [`crate::sched::SchedulingContext`] is more convenient.
    ///
    /// # Errors
    /// No slots, no memory.
    pub fn sched_context(
        &mut self,
        extra_refills: u64,
    ) -> Result<Cap<SchedContext>, ResourceError> {
        let bits = sched_context_bits(extra_refills);
        self.make(ObjectType::SchedContext, bits)
            .map(Cap::from_bits)
    }

    /// A new address space, with an identifier from the first pool.
    ///
    /// # Errors
    /// No slots, no memory, no identifiers (`DeleteFirst`).
    pub fn vspace(&mut self) -> Result<Cap<VSpace>, ResourceError> {
        let vspace = self.object::<VSpace>()?;
        if let Err(error) = init::ASID_POOL.assign(vspace) {
            self.destroy(vspace)?;
            return Err(error.into());
        }
        Ok(vspace)
    }

    /// Destroys an object that was made here, with all copies of its capability, wherever they are.
    ///
    /// # Errors
    /// Of the kernel's revoke.
    ///
    /// # Panics
    /// When it was not made here, or is destroyed already.
    pub fn destroy<T: CapType>(&mut self, object: Cap<T>) -> Result<(), ResourceError> {
        let Some(&block) = self.blocks.get(&object.bits()) else {
            panic!("{object:?} was not made by this System");
        };
        if block.cap.bits() == object.bits() {
            object.slot().revoke()?;
        } else {
            block.cap.slot().revoke()?;
            self.slots.free(object.bits());
        }
        self.blocks.remove(&object.bits());
        self.memory.free(block);
        Ok(())
    }

    /// An empty slot of the root CNode.
    ///
    /// # Errors
    /// No slots.
    pub fn slot(&mut self) -> Result<SlotPath, ResourceError> {
        self.slots
            .alloc()
            .map(SlotPath::in_root)
            .ok_or(ResourceError::NoSlots)
    }

    /// Takes back a slot from [`System::slot`] that is empty.
    pub fn free_slot(&mut self, slot: SlotPath) {
        self.slots.free(slot.index);
    }

    /// A copy of a capability, with at most these rights. [`System::delete_copy`] undoes it.
    ///
    /// # Errors
    /// No slots; those of `seL4_CNode_Copy`.
    pub fn copy<T: CapType>(
        &mut self,
        cap: Cap<T>,
        rights: CapRights,
    ) -> Result<Cap<T>, ResourceError> {
        self.fill_slot(|slot| slot.copy_from(&cap.slot(), rights))
            .map(Cap::from_bits)
    }

    /// A copy with a badge. [`System::delete_copy`] undoes it.
    ///
    /// # Errors
    /// No slots; those of `seL4_CNode_Mint`.
    pub fn mint<T: CapType>(
        &mut self,
        cap: Cap<T>,
        rights: CapRights,
        badge: u64,
    ) -> Result<Cap<T>, ResourceError> {
        self.fill_slot(|slot| slot.mint_from(&cap.slot(), rights, badge))
            .map(Cap::from_bits)
    }

    /// Deletes a capability that is in a slot from [`System::slot`], [`System::copy`] or [`System::mint`].
    ///
    /// # Errors
    /// Of the kernel's delete.
    pub fn delete_copy<T: CapType>(&mut self, copy: Cap<T>) -> Result<(), ResourceError> {
        copy.slot().delete()?;
        self.slots.free(copy.bits());
        Ok(())
    }

    fn fill_slot(
        &mut self,
        fill: impl FnOnce(&SlotPath) -> Result<(), crate::Error>,
    ) -> Result<CPtr, ResourceError> {
        let slot = self.slot()?;
        match fill(&slot) {
            Ok(()) => Ok(slot.index),
            Err(error) => {
                self.free_slot(slot);
                Err(error.into())
            }
        }
    }

    /// Makes an object in memory of its own and in a new slot.
    fn make(&mut self, object: ObjectType, size: u64) -> Result<CPtr, ResourceError> {
        let bits = object.object_bits(size);
        let class = u8::try_from(bits)
            .ok()
            .filter(|&class| u64::from(class) <= size_bits::MAX_UNTYPED);
        let class = class
            .ok_or(ResourceError::NoMemory { bits })?
            .max(size_bits::MIN_UNTYPED as u8);
        let mut splitter = KernelSplitter {
            slots: &mut self.slots,
        };
        let block = self.memory.alloc(class, &mut splitter)?;
        let block = block.ok_or(ResourceError::NoMemory { bits })?;
        if object == ObjectType::Untyped {
            self.blocks.insert(block.cap.bits(), block);
            return Ok(block.cap.bits());
        }
        let made =
            self.fill_slot(|slot| block.cap.retype_into(object, size, slot.root, slot.index));
        match made {
            Ok(cptr) => {
                self.blocks.insert(cptr, block);
                Ok(cptr)
            }
            Err(error) => {
                self.memory.free(block);
                Err(error)
            }
        }
    }
}

/// Logarithm of the size of a scheduling context with room for this many refills beyond two.
fn sched_context_bits(extra_refills: u64) -> u64 {
    const CORE_BYTES: u64 = 128;
    const REFILL_BYTES: u64 = 16;
    let bytes = CORE_BYTES + extra_refills * REFILL_BYTES;
    u64::from(bytes.next_power_of_two().trailing_zeros()).max(size_bits::MIN_SCHED_CONTEXT)
}

#[cfg(test)]
mod tests {
    use super::sched_context_bits;

    #[test]
    fn scheduling_contexts_are_large_enough_and_not_larger() {
        let bits = [
            (0, 7),
            (1, 8),
            (8, 8),
            (9, 9),
            (24, 9),
            (25, 10),
            (56, 10),
            (120, 11),
            (248, 12),
        ];
        for (extra, bits) in bits {
            assert_eq!(sched_context_bits(extra), bits, "{extra} extra refills");
        }
    }
}
