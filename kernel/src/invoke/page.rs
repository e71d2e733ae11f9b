//! Frames: map, unmap, cache maintenance, physical address.

use sel4_abi::{CapRights, Invocation, USER_TOP, VmAttributes};

use super::{Args, Outcome, Results, irq::invocation};
use crate::{
    access::Kernel,
    cap::{Cap, FrameRights, Mapping, PageSize, RawCap},
    fault::SysError,
    types::PhysAddr,
    vspace::{
        self,
        cache::{self, Maintenance, Range},
        entry::Entry,
    },
};

/// A frame capability.
#[derive(Clone, Copy)]
struct Frame {
    base: PhysAddr,
    size: PageSize,
    rights: FrameRights,
    mapping: Option<Mapping>,
}

pub fn invoke(k: &mut Kernel<'_>, args: &Args, cap: RawCap) -> Outcome {
    let Cap::Frame {
        base,
        size,
        rights,
        mapping,
        ..
    } = cap.decode()
    else {
        unreachable!("dispatched by capability type");
    };
    let frame = Frame {
        base,
        size,
        rights,
        mapping,
    };
    match invocation(args.label).ok_or(SysError::IllegalOperation)? {
        Invocation::PageMap => map(k, args, frame),
        Invocation::PageUnmap => {
            unmap(k, args, frame);
            Ok(Results::none())
        }
        other => invoke_other(k, args, frame, other),
    }
}

fn map(k: &mut Kernel<'_>, args: &Args, frame: Frame) -> Outcome {
    args.require(3, 1)?;
    let vaddr = args.word(k, 0);
    let rights = frame
        .rights
        .mask(CapRights::from_bits_truncate(args.word(k, 1)));
    let attributes = VmAttributes::from_bits_truncate(args.word(k, 2));
    let Cap::VSpace {
        root,
        asid: Some(asid),
    } = args.extra_cap(k, 0)
    else {
        return Err(SysError::InvalidCapability(1).into());
    };
    vspace::check_root(k, root, asid, 1)?;
    let last = frame.size.bytes() - 1;
    if vaddr & last != 0 {
        return Err(SysError::AlignmentError.into());
    }
    match frame.mapping {
        Some(old) if old.asid != asid => return Err(SysError::InvalidCapability(1).into()),
        Some(old) if old.vaddr != vaddr => return Err(SysError::InvalidArgument(0).into()),
        Some(_) => {}
        // Aligned, so the sum does not wrap.
        None if vaddr + last > USER_TOP => return Err(SysError::InvalidArgument(0).into()),
        None => {}
    }
    let place = vspace::page_place(k, root, vaddr, frame.size)?;
    // Everything has been checked.
    let mapping = Mapping { asid, vaddr };
    k.get_mut(args.slot).raw_mut().set_mapping(Some(mapping));
    let entry = Entry::page(frame.base, frame.size, rights, attributes);
    vspace::set_page(k, place, mapping, entry);
    Ok(Results::none())
}

fn unmap(k: &mut Kernel<'_>, args: &Args, frame: Frame) {
    if let Some(mapping) = frame.mapping {
        vspace::unmap_frame(k, frame.base, frame.size, mapping);
        k.get_mut(args.slot).raw_mut().set_mapping(None);
    }
}

/// What is not asked for as often as mapping and unmapping.
#[inline(never)]
fn invoke_other(k: &mut Kernel<'_>, args: &Args, frame: Frame, invocation: Invocation) -> Outcome {
    let what = match invocation {
        Invocation::PageGetAddress => return Ok(Results::one(frame.base.0)),
        Invocation::PageCleanData
        | Invocation::PageInvalidateData
        | Invocation::PageCleanInvalidateData
        | Invocation::PageUnifyInstruction => Maintenance::from_invocation(invocation),
        _ => None,
    }
    .ok_or(SysError::IllegalOperation)?;
    let range = decode_maintain(k, args, frame, what)?;
    cache::maintain(k, args.caller, what, range, *args.progress)?;
    Ok(Results::none())
}

/// Offsets into the frame, the second one exclusive.
fn decode_maintain(
    k: &Kernel<'_>,
    args: &Args,
    frame: Frame,
    what: Maintenance,
) -> Result<Range, SysError> {
    args.require(2, 0)?;
    let (start, end) = (args.word(k, 0), args.word(k, 1));
    let mapping = frame.mapping.ok_or(SysError::IllegalOperation)?;
    vspace::require_root(k, mapping.asid)?;
    if end <= start {
        return Err(SysError::InvalidArgument(1));
    }
    if start >= frame.size.bytes() || end > frame.size.bytes() {
        return Err(SysError::InvalidArgument(0));
    }
    let (root, place) = vspace::find_frame(k, frame.base, frame.size, mapping)
        .ok_or(SysError::InvalidCapability(0))?;
    if what.needs_write() && !place.read(k).is_user_writable() {
        return Err(SysError::IllegalOperation);
    }
    Ok(Range {
        root,
        asid: mapping.asid,
        page: frame.base,
        start: mapping.vaddr + start,
        bytes: end - start,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        fault::LookupFailure,
        object::{SlotRef, TableRef},
        vspace::{bench::Bench, entry::Target, set_table, table_place, walk},
    };

    const MAP: u64 = Invocation::PageMap.label();
    const UNMAP: u64 = Invocation::PageUnmap.label();
    const CLEAN: u64 = Invocation::PageCleanData.label();
    const INVALIDATE: u64 = Invocation::PageInvalidateData.label();
    const RW: u64 = 3;
    const RO: u64 = 2;
    const VADDR: u64 = 0x40_0000_0000;

    /// As the bench calls it.
    fn invoke(k: &mut Kernel<'_>, args: &Args, cap: Cap) -> Outcome {
        super::invoke(k, args, cap.into())
    }

    /// A VSpace with tables down to a level's table at `VADDR`.
    fn vspace(bench: &mut Bench, asid: u16, tables: usize) -> (SlotRef, TableRef) {
        let vspace = bench.vspace(asid);
        let Cap::VSpace { root, .. } = bench.cap(vspace) else {
            panic!("not a VSpace")
        };
        for _ in 0..tables {
            let (table, place) = (bench.table(), table_place(&bench.k, root, VADDR));
            set_table(&mut bench.k, place.expect("one is missing"), table);
        }
        (vspace, root)
    }

    fn missing(bits_left: u64) -> SysError {
        let failure = LookupFailure::MissingCapability { bits_left };
        SysError::FailedLookup {
            source: false,
            failure,
        }
    }

    fn mapping(bench: &Bench, frame: SlotRef) -> Option<Mapping> {
        let Cap::Frame { mapping, .. } = bench.cap(frame) else {
            panic!("not a frame")
        };
        mapping
    }

    #[test]
    fn map_checks_in_order() {
        let mut b = Bench::new();
        let (vs, root) = vspace(&mut b, 1, 3);
        let frame = b.frame(0x8000_0000, PageSize::Small);
        let null = b.slot(Cap::Null);
        let map = |b: &mut Bench, words: &[u64], extra: &[SlotRef]| {
            b.call(invoke, frame, MAP, words, extra)
        };
        assert_eq!(
            map(&mut b, &[1, RW], &[vs]),
            Err(SysError::TruncatedMessage)
        );
        assert_eq!(
            map(&mut b, &[1, RW, 3], &[]),
            Err(SysError::TruncatedMessage)
        );
        assert_eq!(
            map(&mut b, &[1, RW, 3], &[null]),
            Err(SysError::InvalidCapability(1))
        );
        let unassigned = b.slot(Cap::VSpace { root, asid: None });
        assert_eq!(
            map(&mut b, &[1, RW, 3], &[unassigned]),
            Err(SysError::InvalidCapability(1))
        );
        let gone = b.slot(Cap::VSpace {
            root,
            asid: crate::cap::Asid::new(600),
        });
        let failure = LookupFailure::InvalidRoot;
        let lookup = SysError::FailedLookup {
            source: false,
            failure,
        };
        assert_eq!(map(&mut b, &[1, RW, 3], &[gone]), Err(lookup));
        let (other, _) = vspace(&mut b, 2, 3);
        let impostor = b.slot(Cap::VSpace {
            root,
            asid: crate::cap::Asid::new(2),
        });
        assert_eq!(
            map(&mut b, &[1, RW, 3], &[impostor]),
            Err(SysError::InvalidCapability(1))
        );
        assert_eq!(
            map(&mut b, &[1, RW, 3], &[vs]),
            Err(SysError::AlignmentError)
        );
        let above = USER_TOP + 1;
        assert_eq!(
            map(&mut b, &[above, RW, 3], &[vs]),
            Err(SysError::InvalidArgument(0))
        );
        assert_eq!(
            map(&mut b, &[!0xfff, RW, 3], &[vs]),
            Err(SysError::InvalidArgument(0))
        );
        assert_eq!(
            map(&mut b, &[above - 0x1000, RW, 3], &[vs]),
            Err(missing(39))
        );
        assert_eq!(mapping(&b, frame), None, "nothing is written on errors");

        assert_eq!(map(&mut b, &[VADDR, RW, 3], &[vs]), Ok([].to_vec()));
        assert_eq!(
            mapping(&b, frame).map(|m| (m.asid.number(), m.vaddr)),
            Some((1, VADDR))
        );
        assert_eq!(
            map(&mut b, &[VADDR, RW, 3], &[other]),
            Err(SysError::InvalidCapability(1))
        );
        let next = VADDR + 0x1000;
        assert_eq!(
            map(&mut b, &[next, RW, 3], &[vs]),
            Err(SysError::InvalidArgument(0))
        );
        // The same again, with fewer rights and other attributes.
        assert_eq!(map(&mut b, &[VADDR, RO, 4], &[vs]), Ok([].to_vec()));
        let entry = walk(&b.k, root, VADDR).read(&b.k);
        assert!(!entry.is_user_writable() && entry.is_user_readable());
        assert!(!entry.is_user_executable());
        assert_eq!(
            b.call(invoke, frame, 1, &[], &[]),
            Err(SysError::IllegalOperation)
        );
        assert_eq!(
            b.call(invoke, frame, 0, &[], &[]),
            Err(SysError::IllegalOperation)
        );
    }

    #[test]
    fn bits_left_say_where_the_walk_stopped() {
        let sizes = [PageSize::Huge, PageSize::Large, PageSize::Small];
        for (tables, stop) in [39, 30, 21, 12].into_iter().enumerate() {
            for size in sizes {
                let mut b = Bench::new();
                let (vs, _) = vspace(&mut b, 1, tables);
                let frame = b.frame(0x8000_0000, size);
                let result = b.call(invoke, frame, MAP, &[VADDR, RW, 3], &[vs]);
                let expected = if u64::from(size.bits()) == stop {
                    Ok([].to_vec())
                } else {
                    Err(missing(stop))
                };
                assert_eq!(result, expected, "{size:?} with {tables} tables");
            }
        }
    }

    #[test]
    fn another_page_takes_the_place_silently() {
        let mut b = Bench::new();
        let (vs, root) = vspace(&mut b, 1, 3);
        let old = b.frame(0x8000_0000, PageSize::Small);
        let new = b.frame(0x8000_1000, PageSize::Small);
        for frame in [old, new] {
            assert_eq!(
                b.call(invoke, frame, MAP, &[VADDR, RW, 3], &[vs]),
                Ok([].to_vec())
            );
        }
        let target = |b: &Bench| {
            let place = walk(&b.k, root, VADDR);
            place.read(&b.k).target(place.level)
        };
        assert_eq!(target(&b), Target::Page(PhysAddr(0x8000_1000)));
        // The old one thinks that it is mapped, and finds out.
        assert_eq!(
            b.call(invoke, old, CLEAN, &[0, 8], &[]),
            Err(SysError::InvalidCapability(0))
        );
        assert_eq!(b.call(invoke, old, UNMAP, &[], &[]), Ok([].to_vec()));
        assert_eq!(mapping(&b, old), None);
        assert_eq!(target(&b), Target::Page(PhysAddr(0x8000_1000)));
        assert_eq!(b.call(invoke, new, UNMAP, &[], &[]), Ok([].to_vec()));
        assert_eq!(target(&b), Target::Nothing);
        assert_eq!(b.call(invoke, new, UNMAP, &[], &[]), Ok([].to_vec()));
    }

    #[test]
    fn rights_are_those_of_the_capability_at_most() {
        let mut b = Bench::new();
        let (vs, root) = vspace(&mut b, 1, 3);
        use FrameRights as R;
        for (rights, asked, read, write) in [
            (R::ReadWrite, 0xf, true, true),
            (R::ReadWrite, !0, true, true),
            (R::ReadWrite, RO, true, false),
            (R::ReadWrite, 1, false, false),
            (R::ReadOnly, RW, true, false),
            (R::ReadOnly, 1, false, false),
            (R::KernelOnly, RW, false, false),
        ] {
            let base = PhysAddr(0x8000_0000);
            let size = PageSize::Small;
            let cap = Cap::Frame {
                base,
                size,
                rights,
                device: true,
                mapping: None,
            };
            let frame = b.slot(cap);
            assert_eq!(
                b.call(invoke, frame, MAP, &[VADDR, asked, 3], &[vs]),
                Ok([].to_vec())
            );
            let entry = walk(&b.k, root, VADDR).read(&b.k);
            assert_eq!(
                (entry.is_user_readable(), entry.is_user_writable()),
                (read, write)
            );
            let Cap::Frame {
                rights: kept,
                device: true,
                ..
            } = b.cap(frame)
            else {
                panic!("not a device frame")
            };
            assert_eq!(kept, rights, "the capability keeps its rights");
        }
    }

    #[test]
    fn maintenance_checks_in_order() {
        let mut b = Bench::new();
        let (vs, _) = vspace(&mut b, 1, 3);
        let frame = b.frame(0x8000_0000, PageSize::Small);
        let call = |b: &mut Bench, label, words: &[u64]| b.call(invoke, frame, label, words, &[]);
        assert_eq!(call(&mut b, CLEAN, &[0]), Err(SysError::TruncatedMessage));
        assert_eq!(
            call(&mut b, CLEAN, &[0, 8]),
            Err(SysError::IllegalOperation)
        );
        b.call(invoke, frame, MAP, &[VADDR, RO, 3], &[vs])
            .expect("mapped");
        for label in 48..=51 {
            assert_eq!(
                call(&mut b, label, &[8, 8]),
                Err(SysError::InvalidArgument(1))
            );
            assert_eq!(
                call(&mut b, label, &[0x1001, 0]),
                Err(SysError::InvalidArgument(1))
            );
            assert_eq!(
                call(&mut b, label, &[0x1000, 0x1001]),
                Err(SysError::InvalidArgument(0))
            );
            assert_eq!(
                call(&mut b, label, &[0, 0x1001]),
                Err(SysError::InvalidArgument(0))
            );
            let expected = if label == INVALIDATE {
                Err(SysError::IllegalOperation)
            } else {
                Ok([].to_vec())
            };
            assert_eq!(call(&mut b, label, &[0, 0x1000]), expected);
        }
        b.call(invoke, frame, MAP, &[VADDR, RW, 3], &[vs])
            .expect("mapped");
        assert_eq!(call(&mut b, INVALIDATE, &[0xfff, 0x1000]), Ok([].to_vec()));
        vspace::set_root(&mut b.k, crate::cap::Asid::new(1).expect("not 0"), None);
        let failure = LookupFailure::InvalidRoot;
        let lookup = SysError::FailedLookup {
            source: false,
            failure,
        };
        assert_eq!(call(&mut b, CLEAN, &[8, 8]), Err(lookup));
        assert_eq!(
            call(&mut b, Invocation::PageGetAddress.label(), &[]),
            Ok([0x8000_0000].to_vec())
        );
    }
}
