//! CNode methods: copy, mint, move, mutate, rotate, delete, revoke, cancel badged sends.

use sel4_abi::{CapRights, Invocation};

use super::{Args, Outcome, Results};
use crate::{
    access::Kernel,
    cap::Cap,
    cdt, cspace, delete, derive,
    fault::{LookupFailure, SysError},
    ipc,
    object::{EndpointRef, SlotRef},
};

/// A checked method.
enum Plan {
    Revoke(SlotRef),
    Delete(SlotRef),
    CancelBadgedSends {
        endpoint: EndpointRef,
        badge: u64,
    },
    Insert {
        cap: Cap,
        source: SlotRef,
        dest: SlotRef,
    },
    Move {
        cap: Cap,
        source: SlotRef,
        dest: SlotRef,
    },
    Rotate(Rotation),
}

/// `pivot` goes to `dest`, and `source` to `pivot`.
struct Rotation {
    source: SlotRef,
    to_pivot: Cap,
    pivot: SlotRef,
    to_dest: Cap,
    dest: SlotRef,
}

pub fn invoke(k: &mut Kernel<'_>, args: &Args, cap: Cap) -> Outcome {
    match decode(k, args, cap)? {
        Plan::Revoke(slot) => delete::revoke(k, slot)?,
        Plan::Delete(slot) => delete::delete(k, slot)?,
        Plan::CancelBadgedSends { endpoint, badge } => {
            if badge != 0 {
                ipc::endpoint::cancel_badged(k, args.caller, endpoint, badge, args.progress)?;
            }
        }
        Plan::Insert { cap, source, dest } => cdt::insert(k, cap, source, dest),
        Plan::Move { cap, source, dest } => cdt::move_to(k, cap, source, dest),
        Plan::Rotate(r) if r.source == r.dest => {
            cdt::swap(k, r.to_pivot, r.source, r.to_dest, r.pivot);
        }
        Plan::Rotate(r) => {
            cdt::move_to(k, r.to_dest, r.pivot, r.dest);
            cdt::move_to(k, r.to_pivot, r.source, r.pivot);
        }
    }
    Ok(Results::none())
}

fn decode(k: &Kernel<'_>, args: &Args, cap: Cap) -> Result<Plan, SysError> {
    let method = Invocation::from_label(args.label)
        .filter(|_| (18..=25).contains(&args.label))
        .ok_or(SysError::IllegalOperation)?;
    args.require(2, 0)?;
    let word = |index| args.word(k, index);
    let dest = cspace::lookup_target_slot(k, cap, word(0), word(1), false)?;
    match method {
        Invocation::CNodeRevoke => Ok(Plan::Revoke(dest)),
        Invocation::CNodeDelete => Ok(Plan::Delete(dest)),
        Invocation::CNodeCancelBadgedSends => match k.get(dest).cap() {
            Cap::Endpoint {
                endpoint,
                badge,
                rights,
            } if rights == CapRights::all() => Ok(Plan::CancelBadgedSends { endpoint, badge }),
            _ => Err(SysError::IllegalOperation),
        },
        Invocation::CNodeRotate => decode_rotate(k, args, dest),
        method => decode_transfer(k, args, method, dest),
    }
}

/// Copy, Mint, Move and Mutate.
fn decode_transfer(
    k: &Kernel<'_>,
    args: &Args,
    method: Invocation,
    dest: SlotRef,
) -> Result<Plan, SysError> {
    args.require(4, 1)?;
    let word = |index| args.word(k, index);
    cspace::ensure_empty(k, dest)?;
    let source = cspace::lookup_target_slot(k, args.extra_cap(k, 0), word(2), word(3), true)?;
    let cap = occupied(k, source, true, word(3))?;
    let rights = CapRights::from_bits_truncate(word(4));
    match method {
        Invocation::CNodeCopy => {
            args.require(5, 1)?;
            let copy = derive::derive(k, source, derive::mask_rights(cap, rights))?;
            Ok(Plan::Insert {
                cap: not_null(copy)?,
                source,
                dest,
            })
        }
        Invocation::CNodeMint => {
            args.require(6, 1)?;
            let minted = derive::mint(derive::mask_rights(cap, rights), word(5));
            let copy = derive::derive(k, source, minted)?;
            Ok(Plan::Insert {
                cap: not_null(copy)?,
                source,
                dest,
            })
        }
        Invocation::CNodeMove => Ok(Plan::Move { cap, source, dest }),
        Invocation::CNodeMutate => {
            args.require(5, 1)?;
            Ok(Plan::Move {
                cap: not_null(derive::mutate(cap, word(4)))?,
                source,
                dest,
            })
        }
        _ => unreachable!("the caller knows the method"),
    }
}

fn decode_rotate(k: &Kernel<'_>, args: &Args, dest: SlotRef) -> Result<Plan, SysError> {
    args.require(8, 2)?;
    let word = |index| args.word(k, index);
    let (dest_data, pivot_depth, pivot_data, source_depth) = (word(2), word(4), word(5), word(7));
    let source = cspace::lookup_target_slot(k, args.extra_cap(k, 1), word(6), source_depth, true)?;
    let pivot = cspace::lookup_target_slot(k, args.extra_cap(k, 0), word(3), pivot_depth, true)?;
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
    Ok(Plan::Rotate(Rotation {
        source,
        to_pivot,
        pivot,
        to_dest,
        dest,
    }))
}

/// The capability in a slot that must have one.
fn occupied(k: &Kernel<'_>, slot: SlotRef, source: bool, depth: u64) -> Result<Cap, SysError> {
    let cap = k.get(slot).cap();
    if cap.is_null() {
        let failure = LookupFailure::MissingCapability { bits_left: depth };
        return Err(SysError::FailedLookup { source, failure });
    }
    Ok(cap)
}

fn not_null(cap: Cap) -> Result<Cap, SysError> {
    if cap.is_null() {
        Err(SysError::IllegalOperation)
    } else {
        Ok(cap)
    }
}
