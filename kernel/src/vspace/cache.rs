//! Cache maintenance on mapped memory, as the page and VSpace invocations ask for it.
//!
//! It goes through the user mapping itself, not through the kernel's physical window: the window does not hold device
//! memory, and an instruction cache may be indexed by virtual address, so that only the mapping reaches its lines. The
//! caller has found the mapping valid under the locks, and nobody can change it until they are released; user mappings
//! are all readable at EL1, and invalidation asks for a writable one. Large ranges are done in chunks: when the call is
//! left in between, the thread keeps how far it got, and everything is checked again before it goes on.

use sel4_abi::Invocation;

use crate::{
    access::Kernel,
    arch,
    cap::Asid,
    invoke::Leave,
    object::{Progress, TableRef, TcbRef},
    preempt,
    types::PhysAddr,
};

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
    /// Where that page is in memory.
    pub page: PhysAddr,
    pub start: u64,
    pub bytes: u64,
}

/// So many bytes are done between two preemption points, and what they count.
const CHUNK: u64 = 4096;
const CHUNK_UNITS: usize = 20;

/// Maintains the caches for a range, for a call of `caller`, whose `progress` says how far it had got.
pub fn maintain(
    k: &mut Kernel<'_>,
    caller: TcbRef,
    what: Maintenance,
    range: Range,
    progress: Progress,
) -> Result<(), Leave> {
    let end = range.start + range.bytes;
    let start = match progress {
        // Another page may have been mapped there meanwhile, of which nothing is done.
        Progress::Maintained { root, page, next }
            if (root, page) == (range.root, range.page) && (range.start..end).contains(&next) =>
        {
            next
        }
        _ => range.start,
    };
    let (loaded, wanted) = (
        k.this().loaded_root,
        super::asid::loadable(range.root, range.asid),
    );
    if loaded != wanted {
        arch::load_user_root(wanted);
    }
    let outcome = maintain_chunks(k, caller, what, range, start..end);
    if loaded != wanted {
        arch::load_user_root(loaded);
    }
    outcome
}

fn maintain_chunks(
    k: &mut Kernel<'_>,
    caller: TcbRef,
    what: Maintenance,
    Range { root, page, .. }: Range,
    left: core::ops::Range<u64>,
) -> Result<(), Leave> {
    let mut start = left.start;
    loop {
        let end = left.end.min((start & !(CHUNK - 1)) + CHUNK);
        let (at, bytes) = (start as usize, (end - start) as usize);
        let last = end == left.end;
        match what {
            Maintenance::Clean => arch::clean_to_poc(at, bytes),
            Maintenance::Invalidate => arch::invalidate_to_poc(at, bytes),
            Maintenance::CleanInvalidate => arch::clean_invalidate_to_poc(at, bytes),
            Maintenance::UnifyInstruction => arch::unify_instruction(at, bytes, last),
        }
        if last {
            return Ok(());
        }
        start = end;
        if let Err(leave) = preempt::units(k, CHUNK_UNITS) {
            let next = start;
            k.get_mut(caller).progress = Progress::Maintained { root, page, next };
            return Err(leave);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{arch::host, object::Tcb, vspace::bench::Bench};

    #[test]
    fn a_large_range_is_done_in_parts() {
        let mut bench = Bench::new();
        let (root, other) = (bench.table(), bench.table());
        let k = &mut bench.k;
        let caller = TcbRef::from_object(host::memory(11).0 as usize);
        k.place(caller, Tcb::new());
        let range = Range {
            root,
            asid: Asid::new(1).expect("not 0"),
            page: PhysAddr(0x8000_0000),
            start: 0x4000_0008,
            bytes: (1 << 21) - 8,
        };
        let page = range.page;
        let mut part = |range, progress| {
            k.get_mut(caller).progress = Progress::None;
            k.this_mut().work_units = 0;
            let done = maintain(k, caller, Maintenance::Clean, range, progress);
            assert_eq!(host::user_root(), arch::UserRoot::EMPTY);
            (done, k.get(caller).progress)
        };
        host::set_interrupt(Some(30));
        let (mut progress, mut parts) = (Progress::None, 1);
        loop {
            let (done, reached) = part(range, progress);
            if done.is_ok() {
                assert_eq!(reached, Progress::None);
                break;
            }
            let next = 0x4000_0000 + parts * 5 * CHUNK;
            assert_eq!(reached, Progress::Maintained { root, page, next });
            (progress, parts) = (reached, parts + 1);
        }
        assert_eq!(parts, 512 / 5 + 1);

        // What does not belong to this range is not believed.
        let first = Progress::Maintained {
            root,
            page,
            next: 0x4000_0000 + 5 * CHUNK,
        };
        for (root, page, next) in [
            (other, page, 0x4010_0000),
            (root, PhysAddr(0x8020_0000), 0x4010_0000),
            (root, page, 0x4020_0000),
            (root, page, 0x4000_0000),
        ] {
            let (_, reached) = part(range, Progress::Maintained { root, page, next });
            assert_eq!(reached, first);
        }
        host::set_interrupt(None);
    }
}
