//! Frames, page tables and address spaces.

use sel4_abi::{CapRights, Invocation, VmAttributes};

use super::invoke;
use crate::cap::{Cap, Page, PageTable, VSpace};
use crate::error::Error;

impl<P: Page> Cap<P> {
    /// `seL4_ARM_Page_Map` at an address of an address space, with at most the given rights. Mapping it again at the
    /// same place changes rights and attributes. What was mapped there before is replaced. One capability is one
    /// mapping: copy it to map the frame twice.
    ///
    /// # Errors
    /// `InvalidCapability` 1 for the address space, or when mapped in another one; `AlignmentError`;
    /// `InvalidArgument` 0 when mapped elsewhere or outside user space; `FailedLookup` with `MissingCapability` when
    /// a page table is missing (its `bits_left` says which level).
    pub fn map(
        self,
        vspace: Cap<VSpace>,
        vaddr: u64,
        rights: CapRights,
        attributes: VmAttributes,
    ) -> Result<(), Error> {
        let words = [vaddr, rights.bits(), attributes.bits()];
        invoke(self.bits(), Invocation::PageMap, &[vspace.bits()], &words).map(drop)
    }

    /// `seL4_ARM_Page_Unmap`. Not being mapped is fine.
    ///
    /// # Errors
    /// None of its own.
    pub fn unmap(self) -> Result<(), Error> {
        invoke(self.bits(), Invocation::PageUnmap, &[], &[]).map(drop)
    }

    /// `seL4_ARM_Page_Clean_Data`: writes the data cache lines of bytes `start` to `end` (exclusive) of the frame
    /// back.
    ///
    /// # Errors
    /// `IllegalOperation` when not mapped; `InvalidArgument` 0 or 1 for the range; `InvalidCapability` 0 when
    /// something else is mapped there by now.
    pub fn clean_data(self, start: u64, end: u64) -> Result<(), Error> {
        invoke(self.bits(), Invocation::PageCleanData, &[], &[start, end]).map(drop)
    }

    /// `seL4_ARM_Page_Invalidate_Data`.
    ///
    /// # Errors
    /// As [`Cap::clean_data`]; `IllegalOperation` also unless mapped for writing.
    pub fn invalidate_data(self, start: u64, end: u64) -> Result<(), Error> {
        invoke(
            self.bits(),
            Invocation::PageInvalidateData,
            &[],
            &[start, end],
        )
        .map(drop)
    }

    /// `seL4_ARM_Page_CleanInvalidate_Data`.
    ///
    /// # Errors
    /// As [`Cap::clean_data`].
    pub fn clean_invalidate_data(self, start: u64, end: u64) -> Result<(), Error> {
        invoke(
            self.bits(),
            Invocation::PageCleanInvalidateData,
            &[],
            &[start, end],
        )
        .map(drop)
    }

    /// `seL4_ARM_Page_Unify_Instruction`: makes written code visible to instruction fetches.
    ///
    /// # Errors
    /// As [`Cap::clean_data`].
    pub fn unify_instruction(self, start: u64, end: u64) -> Result<(), Error> {
        invoke(
            self.bits(),
            Invocation::PageUnifyInstruction,
            &[],
            &[start, end],
        )
        .map(drop)
    }

    /// `seL4_ARM_Page_GetAddress`: the frame's physical address.
    ///
    /// # Errors
    /// None of its own.
    pub fn get_address(self) -> Result<u64, Error> {
        Ok(invoke(self.bits(), Invocation::PageGetAddress, &[], &[])?.get(0))
    }
}

impl Cap<PageTable> {
    /// `seL4_ARM_PageTable_Map`: fills in the first level that is missing at the address (which is rounded down).
    ///
    /// # Errors
    /// `InvalidCapability` 0 when mapped already, 1 for the address space; `InvalidArgument` 0 outside user space;
    /// `DeleteFirst` when no level is missing.
    pub fn map(
        self,
        vspace: Cap<VSpace>,
        vaddr: u64,
        attributes: VmAttributes,
    ) -> Result<(), Error> {
        let words = [vaddr, attributes.bits()];
        invoke(
            self.bits(),
            Invocation::PageTableMap,
            &[vspace.bits()],
            &words,
        )
        .map(drop)
    }

    /// `seL4_ARM_PageTable_Unmap`, which also empties it.
    ///
    /// # Errors
    /// `RevokeFirst` when there are copies of the capability.
    pub fn unmap(self) -> Result<(), Error> {
        invoke(self.bits(), Invocation::PageTableUnmap, &[], &[]).map(drop)
    }
}

impl Cap<VSpace> {
    /// `seL4_ARM_VSpace_Clean_Data` of addresses `start` to `end` (exclusive), within one page. Nothing if that is
    /// not mapped.
    ///
    /// # Errors
    /// `InvalidArgument` 1 for an empty range; `IllegalOperation` outside user space; `RangeError` when it leaves the
    /// page; `InvalidCapability` 0 without an address space identifier.
    pub fn clean_data(self, start: u64, end: u64) -> Result<(), Error> {
        invoke(self.bits(), Invocation::VSpaceCleanData, &[], &[start, end]).map(drop)
    }

    /// `seL4_ARM_VSpace_Invalidate_Data`.
    ///
    /// # Errors
    /// As [`Cap::<VSpace>::clean_data`]; `IllegalOperation` also unless mapped for writing.
    pub fn invalidate_data(self, start: u64, end: u64) -> Result<(), Error> {
        invoke(
            self.bits(),
            Invocation::VSpaceInvalidateData,
            &[],
            &[start, end],
        )
        .map(drop)
    }

    /// `seL4_ARM_VSpace_CleanInvalidate_Data`.
    ///
    /// # Errors
    /// As [`Cap::<VSpace>::clean_data`].
    pub fn clean_invalidate_data(self, start: u64, end: u64) -> Result<(), Error> {
        invoke(
            self.bits(),
            Invocation::VSpaceCleanInvalidateData,
            &[],
            &[start, end],
        )
        .map(drop)
    }

    /// `seL4_ARM_VSpace_Unify_Instruction`.
    ///
    /// # Errors
    /// As [`Cap::<VSpace>::clean_data`].
    pub fn unify_instruction(self, start: u64, end: u64) -> Result<(), Error> {
        invoke(
            self.bits(),
            Invocation::VSpaceUnifyInstruction,
            &[],
            &[start, end],
        )
        .map(drop)
    }
}
