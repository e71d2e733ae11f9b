//! CNode methods: copy, mint, move, mutate, rotate, delete, revoke, cancel badged sends.

use sel4_abi::{CapRights, Invocation};

use super::{Args, Failure, Outcome, Results};
use crate::{
    access::Kernel,
    cap::{Cap, RawCap},
    cdt, cspace, delete, derive,
    fault::{LookupFailure, SysError},
    ipc,
    object::SlotRef,
};

const REVOKE: u64 = Invocation::CNodeRevoke.label();
const DELETE: u64 = Invocation::CNodeDelete.label();
const CANCEL_BADGED_SENDS: u64 = Invocation::CNodeCancelBadgedSends.label();
const COPY: u64 = Invocation::CNodeCopy.label();
const MINT: u64 = Invocation::CNodeMint.label();
const MOVE: u64 = Invocation::CNodeMove.label();
const MUTATE: u64 = Invocation::CNodeMutate.label();
const ROTATE: u64 = Invocation::CNodeRotate.label();

pub fn invoke(k: &mut Kernel<'_>, args: &Args) -> Outcome {
    match args.label {
        COPY | MINT => copy(k, args, args.label == MINT)?,
        MOVE | MUTATE => move_to(k, args, args.label == MUTATE)?,
        DELETE => {
            let slot = destination(k, args)?;
            delete::delete(k, slot)?;
        }
        REVOKE => {
            let slot = destination(k, args)?;
            delete::revoke(k, slot)?;
        }
        CANCEL_BADGED_SENDS => cancel_badged_sends(k, args)?,
        ROTATE => rotate(k, args)?,
        _ => return Err(SysError::IllegalOperation.into()),
    }
    Ok(Results::none())
}

/// Whether a method never stops half-way, but for the deletion of an object, and concerns nobody but the caller.
#[inline(always)]
pub fn is_short(label: u64) -> bool {
    matches!(label, COPY | MINT | MOVE | MUTATE | ROTATE | DELETE)
}

/// Such a method. None, and nothing has happened, if an object would have to be deleted.
#[inline(always)]
pub fn invoke_short(k: &mut Kernel<'_>, args: &Args) -> Option<Result<(), SysError>> {
    Some(match args.label {
        COPY | MINT => copy(k, args, args.label == MINT),
        MOVE | MUTATE => move_to(k, args, args.label == MUTATE),
        ROTATE => rotate(k, args),
        _ => {
            let slot = match destination(k, args) {
                Ok(slot) => slot,
                Err(error) => return Some(Err(error)),
            };
            if !cdt::is_mere_copy(k, slot) {
                return None;
            }
            cdt::remove(k, slot);
            Ok(())
        }
    })
}

/// The slot that words 0 and 1 name: what all methods begin with.
#[inline(always)]
fn destination(k: &Kernel<'_>, args: &Args) -> Result<SlotRef, SysError> {
    args.require(2, 0)?;
    let root = k.get(args.slot).raw();
    cspace::lookup_target_slot(k, root, args.word(k, 0), args.word(k, 1), false)
}

/// The destination, which must be empty, the source that words 2 and 3 name, and what is in it.
#[inline(always)]
fn two_slots(k: &Kernel<'_>, args: &Args) -> Result<(SlotRef, SlotRef, RawCap), SysError> {
    let dest = destination(k, args)?;
    args.require(4, 1)?;
    cspace::ensure_empty(k, dest)?;
    let (root, depth) = (args.extra_raw(k, 0), args.word(k, 3));
    let source = cspace::lookup_target_slot(k, root, args.word(k, 2), depth, true)?;
    let cap = occupied(k, source, true, depth)?;
    Ok((dest, source, cap))
}

#[inline(always)]
fn copy(k: &mut Kernel<'_>, args: &Args, mint: bool) -> Result<(), SysError> {
    let (dest, source, cap) = two_slots(k, args)?;
    args.require(if mint { 6 } else { 5 }, 1)?;
    let rights = CapRights::from_bits_truncate(args.word(k, 4));
    let mut cap = derive::mask_rights(cap, rights);
    if mint {
        cap = derive::mint(cap, args.word(k, 5));
    }
    let copy = not_null(derive::derive(k, source, cap)?)?;
    cdt::insert(k, copy, source, dest);
    Ok(())
}

#[inline(never)]
fn move_to(k: &mut Kernel<'_>, args: &Args, mutate: bool) -> Result<(), SysError> {
    let (dest, source, mut cap) = two_slots(k, args)?;
    if mutate {
        args.require(5, 1)?;
        cap = not_null(derive::mutate(cap, args.word(k, 4)))?;
    }
    cdt::move_to(k, cap, source, dest);
    Ok(())
}

#[inline(never)]
fn cancel_badged_sends(k: &mut Kernel<'_>, args: &Args) -> Result<(), Failure> {
    let slot = destination(k, args)?;
    match k.get(slot).cap() {
        Cap::Endpoint {
            endpoint,
            badge,
            rights,
        } if rights == CapRights::all() => {
            if badge != 0 {
                ipc::endpoint::cancel_badged(k, args.caller, endpoint, badge, *args.progress)?;
            }
            Ok(())
        }
        _ => Err(SysError::IllegalOperation.into()),
    }
}

/// `pivot` goes to `dest`, and `source` to `pivot`.
struct Rotation {
    source: SlotRef,
    to_pivot: RawCap,
    pivot: SlotRef,
    to_dest: RawCap,
    dest: SlotRef,
}

fn decode_rotate(k: &Kernel<'_>, args: &Args) -> Result<Rotation, SysError> {
    let dest = destination(k, args)?;
    args.require(8, 2)?;
    let word = |index| args.word(k, index);
    let (dest_data, pivot_depth, pivot_data, source_depth) = (word(2), word(4), word(5), word(7));
    let source = cspace::lookup_target_slot(k, args.extra_raw(k, 1), word(6), source_depth, true)?;
    let pivot = cspace::lookup_target_slot(k, args.extra_raw(k, 0), word(3), pivot_depth, true)?;
    if pivot == source || pivot == dest {
        return Err(SysError::IllegalOperation);
    }
    if source != dest {
        cspace::ensure_empty(k, dest)?;
    }
    let source_cap = occupied(k, source, true, source_depth)?;
    let pivot_cap = occupied(k, pivot, false, pivot_depth)?;
    let to_pivot = not_null(derive::mutate(source_cap, pivot_data))?;
    let to_dest = not_null(derive::mutate(pivot_cap, dest_data))?;
    Ok(Rotation {
        source,
        to_pivot,
        pivot,
        to_dest,
        dest,
    })
}

#[inline(never)]
fn rotate(k: &mut Kernel<'_>, args: &Args) -> Result<(), SysError> {
    let r = decode_rotate(k, args)?;
    if r.source == r.dest {
        cdt::swap(k, r.to_pivot, r.source, r.to_dest, r.pivot);
    } else {
        cdt::move_to(k, r.to_dest, r.pivot, r.dest);
        cdt::move_to(k, r.to_pivot, r.source, r.pivot);
    }
    Ok(())
}

/// The capability in a slot that must have one.
#[inline]
fn occupied(k: &Kernel<'_>, slot: SlotRef, source: bool, depth: u64) -> Result<RawCap, SysError> {
    let cap = k.get(slot).raw();
    if cap.is_null() {
        let failure = LookupFailure::MissingCapability { bits_left: depth };
        return Err(SysError::FailedLookup { source, failure });
    }
    Ok(cap)
}

#[inline]
fn not_null(cap: RawCap) -> Result<RawCap, SysError> {
    if cap.is_null() {
        Err(SysError::IllegalOperation)
    } else {
        Ok(cap)
    }
}
