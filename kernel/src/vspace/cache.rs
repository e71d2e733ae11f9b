//! Cache maintenance on mapped memory, as the page and VSpace invocations ask for it.
//!
//! It goes through the user mapping itself, not through the kernel's physical window: the window does not hold device
//! memory, and an instruction cache may be indexed by virtual address, so that only the mapping reaches its lines. The
//! caller has found the mapping valid under the locks, and nobody can change it until they are released; user mappings
//! are all readable at EL1, and invalidation asks for a writable one.

use sel4_abi::Invocation;

use crate::{access::Kernel, arch, cap::Asid, object::TableRef};

/// What is done to the lines of a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Maintenance {
    /// Written back to memory.
    Clean,
    /// Dropped.
    Invalidate,
    /// Written back and dropped.
    CleanInvalidate,
    /// Made visible to instruction fetches.
    UnifyInstruction,
}

impl Maintenance {
    /// What an invocation of a page or of a VSpace asks for.
    pub fn from_invocation(invocation: Invocation) -> Option<Self> {
        match invocation {
            Invocation::PageCleanData | Invocation::VSpaceCleanData => Some(Self::Clean),
            Invocation::PageInvalidateData | Invocation::VSpaceInvalidateData => {
                Some(Self::Invalidate)
            }
            Invocation::PageCleanInvalidateData | Invocation::VSpaceCleanInvalidateData => {
                Some(Self::CleanInvalidate)
            }
            Invocation::PageUnifyInstruction | Invocation::VSpaceUnifyInstruction => {
                Some(Self::UnifyInstruction)
            }
            _ => None,
        }
    }

    /// Lines that are dropped without being written back lose what was written: as good as a write.
    pub const fn needs_write(self) -> bool {
        matches!(self, Self::Invalidate)
    }
}

/// A range of user addresses within one page that is mapped now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Range {
    pub root: TableRef,
    pub asid: Asid,
    pub start: u64,
    pub bytes: u64,
}

/// Maintains the caches for a range.
pub fn maintain(k: &Kernel<'_>, what: Maintenance, range: Range) {
    let (loaded, wanted) = (
        k.this().loaded_root,
        super::asid::loadable(range.root, range.asid),
    );
    if loaded != wanted {
        arch::load_user_root(wanted);
    }
    let (start, bytes) = (range.start as usize, range.bytes as usize);
    match what {
        Maintenance::Clean => arch::clean_to_poc(start, bytes),
        Maintenance::Invalidate => arch::invalidate_to_poc(start, bytes),
        Maintenance::CleanInvalidate => arch::clean_invalidate_to_poc(start, bytes),
        Maintenance::UnifyInstruction => arch::unify_instruction(start, bytes),
    }
    if loaded != wanted {
        arch::load_user_root(loaded);
    }
}
