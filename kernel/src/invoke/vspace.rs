//! VSpaces: cache maintenance by virtual address.

use sel4_abi::{Invocation, USER_TOP};

use super::{Args, Outcome, Results, irq::invocation};
use crate::{
    access::Kernel,
    cap::{Asid, Cap},
    fault::SysError,
    object::TableRef,
    vspace::{
        self,
        cache::{Maintenance, Range, maintain},
        entry::Target,
    },
};

/// What is to be done: everything has been checked.
enum Plan {
    /// Nothing is mapped at the start of the range.
    Nothing,
    Maintain {
        what: Maintenance,
        range: Range,
    },
}

pub fn invoke(k: &mut Kernel<'_>, args: &Args, cap: Cap) -> Outcome {
    let Cap::VSpace { root, asid } = cap else {
        unreachable!("dispatched by capability type");
    };
    match decode(k, args, root, asid)? {
        Plan::Nothing => {}
        Plan::Maintain { what, range } => maintain(k, args.caller, what, range, *args.progress)?,
    }
    Ok(Results::none())
}

fn decode(
    k: &Kernel<'_>,
    args: &Args,
    root: TableRef,
    asid: Option<Asid>,
) -> Result<Plan, SysError> {
    let what = match invocation(args.label) {
        Some(
            invocation @ (Invocation::VSpaceCleanData
            | Invocation::VSpaceInvalidateData
            | Invocation::VSpaceCleanInvalidateData
            | Invocation::VSpaceUnifyInstruction),
        ) => Maintenance::from_invocation(invocation).ok_or(SysError::IllegalOperation)?,
        _ => return Err(SysError::IllegalOperation),
    };
    args.require(2, 0)?;
    let (start, end) = (args.word(k, 0), args.word(k, 1));
    if end <= start {
        return Err(SysError::InvalidArgument(1));
    }
    if end > USER_TOP {
        return Err(SysError::IllegalOperation);
    }
    let asid = asid.ok_or(SysError::InvalidCapability(0))?;
    vspace::check_root(k, root, asid, 0)?;
    let place = vspace::walk(k, root, start);
    let entry = place.read(k);
    let Target::Page(page) = entry.target(place.level) else {
        return Ok(Plan::Nothing);
    };
    let last = place.level.round_down(start) + ((1 << place.level.entry_bits()) - 1);
    if end - 1 > last {
        return Err(SysError::RangeError {
            min: start,
            max: last,
        });
    }
    if what.needs_write() && !entry.is_user_writable() {
        return Err(SysError::IllegalOperation);
    }
    Ok(Plan::Maintain {
        what,
        range: Range {
            root,
            asid,
            page,
            start,
            bytes: end - start,
        },
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cap::PageSize,
        fault::LookupFailure,
        object::SlotRef,
        vspace::{bench::Bench, set_table, table_place},
    };

    const PAGE: u64 = 0x40_0000_0000;
    const LARGE: u64 = PAGE + (1 << 21);

    /// A VSpace with a small read-only page and a large writable one.
    fn vspace(b: &mut Bench) -> (SlotRef, TableRef) {
        let vs = b.vspace(5);
        let Cap::VSpace { root, .. } = b.cap(vs) else {
            panic!("not a VSpace")
        };
        for _ in 0..3 {
            let (table, place) = (b.table(), table_place(&b.k, root, PAGE));
            set_table(&mut b.k, place.expect("one is missing"), table);
        }
        for (size, vaddr, rights) in [(PageSize::Small, PAGE, 2), (PageSize::Large, LARGE, 3)] {
            let frame = b.frame(0x8000_0000, size);
            let map = Invocation::PageMap.label();
            b.call(
                |k, args, cap| crate::invoke::page::invoke(k, args, cap.into()),
                frame,
                map,
                &[vaddr, rights, 3],
                &[vs],
            )
            .expect("mapped");
        }
        (vs, root)
    }

    #[test]
    fn checks_in_order() {
        let mut b = Bench::new();
        let (vs, root) = vspace(&mut b);
        let unassigned = b.slot(Cap::VSpace { root, asid: None });
        let gone = b.slot(Cap::VSpace {
            root,
            asid: Asid::new(700),
        });
        let other = b.table();
        let impostor = b.slot(Cap::VSpace {
            root: other,
            asid: Asid::new(5),
        });
        for label in 39..=42 {
            let call = |b: &mut Bench, slot, words: &[u64]| b.call(invoke, slot, label, words, &[]);
            assert_eq!(call(&mut b, vs, &[0]), Err(SysError::TruncatedMessage));
            let top = USER_TOP + 1;
            assert_eq!(
                call(&mut b, unassigned, &[top, top]),
                Err(SysError::InvalidArgument(1))
            );
            assert_eq!(
                call(&mut b, unassigned, &[0, top]),
                Err(SysError::IllegalOperation)
            );
            assert_eq!(
                call(&mut b, unassigned, &[0, 1]),
                Err(SysError::InvalidCapability(0))
            );
            let failure = LookupFailure::InvalidRoot;
            let lookup = SysError::FailedLookup {
                source: false,
                failure,
            };
            assert_eq!(call(&mut b, gone, &[0, 1]), Err(lookup));
            assert_eq!(
                call(&mut b, impostor, &[0, 1]),
                Err(SysError::InvalidCapability(0))
            );
            assert_eq!(
                call(&mut b, vs, &[PAGE + 0x1000, LARGE]),
                Ok([].to_vec()),
                "unmapped"
            );
            let (start, max) = (PAGE + 8, PAGE + 0xfff);
            let range = Err(SysError::RangeError { min: start, max });
            assert_eq!(call(&mut b, vs, &[start, PAGE + 0x1001]), range);
            let read_only = if label == 40 {
                Err(SysError::IllegalOperation)
            } else {
                Ok([].to_vec())
            };
            assert_eq!(call(&mut b, vs, &[start, PAGE + 0x1000]), read_only);
            assert_eq!(
                call(&mut b, vs, &[LARGE + 0x1000, LARGE + (1 << 21)]),
                Ok([].to_vec())
            );
            let end = LARGE + (1 << 21) + 1;
            let range = Err(SysError::RangeError {
                min: LARGE,
                max: end - 2,
            });
            assert_eq!(call(&mut b, vs, &[LARGE, end]), range);
        }
        assert_eq!(
            b.call(invoke, vs, 48, &[], &[]),
            Err(SysError::IllegalOperation)
        );
        assert_eq!(
            b.call(invoke, vs, 43, &[], &[]),
            Err(SysError::IllegalOperation)
        );
    }
}
