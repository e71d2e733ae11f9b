//! Capability spaces: from addresses to slots.

use crate::{
    access::Kernel,
    cap::{Node, RawCap},
    fault::{LookupFailure, SysError},
    object::{SlotRef, TcbRef, TcbSlot},
};

/// Bits of a capability address.
pub const WORD_BITS: u64 = 64;

/// Follows `address`, of which the low `depth` bits count (at least one), from a root capability. Ends at the slot where
/// the bits run out or that holds no CNode; says how many bits are left there.
#[inline(always)]
pub fn resolve(
    k: &Kernel<'_>,
    root: RawCap,
    address: u64,
    depth: u64,
) -> Result<(SlotRef, u64), LookupFailure> {
    let node = root.node().ok_or(LookupFailure::InvalidRoot)?;
    // Most spaces have one level.
    match step(node, address, depth)? {
        (slot, 0) => Ok((slot, 0)),
        (slot, bits_left) => further(k, slot, address, bits_left),
    }
}

#[inline(never)]
fn further(
    k: &Kernel<'_>,
    slot: SlotRef,
    address: u64,
    bits_left: u64,
) -> Result<(SlotRef, u64), LookupFailure> {
    let (mut slot, mut bits_left) = (slot, bits_left);
    while bits_left > 0
        && let Some(node) = k.get(slot).raw().node()
    {
        (slot, bits_left) = step(node, address, bits_left)?;
    }
    Ok((slot, bits_left))
}

/// One level: the slot, and the bits that are left behind it.
#[inline(always)]
fn step(node: Node, address: u64, bits_left: u64) -> Result<(SlotRef, u64), LookupFailure> {
    // Those that are left, from the top.
    let bits = address << (WORD_BITS - bits_left);
    let level_bits = node.guard_size + node.radix;
    // In two steps: there may be no guard at all.
    let found = (bits >> 1) >> (WORD_BITS - 1 - node.guard_size);
    if level_bits > bits_left || found != node.guard {
        return Err(mismatch(node, bits, bits_left));
    }
    let index = (bits << node.guard_size) >> (WORD_BITS - node.radix);
    Ok((node.base.in_table(index as usize), bits_left - level_bits))
}

/// Why the walk ends at this CNode.
#[cold]
fn mismatch(node: Node, bits: u64, bits_left: u64) -> LookupFailure {
    let Node {
        radix,
        guard,
        guard_size,
        ..
    } = node;
    let found = (bits >> 1) >> (WORD_BITS - 1 - guard_size);
    if guard_size > bits_left || found != guard {
        LookupFailure::GuardMismatch {
            bits_left,
            guard,
            guard_size,
        }
    } else {
        LookupFailure::DepthMismatch {
            bits_left,
            bits_found: guard_size + radix,
        }
    }
}

/// The slot that a capability pointer of `thread` names. Bits left over at a slot without a CNode are tolerated.
#[inline(always)]
pub fn lookup_slot(k: &Kernel<'_>, thread: TcbRef, cptr: u64) -> Result<SlotRef, LookupFailure> {
    let root = k.get(thread.slot(TcbSlot::CSpace)).raw();
    resolve(k, root, cptr, WORD_BITS).map(|(slot, _)| slot)
}

/// The slot at `index`, `depth` bits deep, from a root capability that came as an argument. `source` says which of the
/// two places of an operation an error is about.
#[inline(always)]
pub fn lookup_target_slot(
    k: &Kernel<'_>,
    root: RawCap,
    index: u64,
    depth: u64,
    source: bool,
) -> Result<SlotRef, SysError> {
    if root.node().is_none() {
        return Err(failed(source, LookupFailure::InvalidRoot));
    }
    if !(1..=WORD_BITS).contains(&depth) {
        return Err(SysError::RangeError {
            min: 1,
            max: WORD_BITS,
        });
    }
    match resolve(k, root, index, depth) {
        Ok((slot, 0)) => Ok(slot),
        Ok((_, bits_left)) => Err(failed(
            source,
            LookupFailure::DepthMismatch {
                bits_left,
                bits_found: 0,
            },
        )),
        Err(failure) => Err(failed(source, failure)),
    }
}

#[cold]
fn failed(source: bool, failure: LookupFailure) -> SysError {
    SysError::FailedLookup { source, failure }
}

/// The slot must be free to take a capability.
pub fn ensure_empty(k: &Kernel<'_>, slot: SlotRef) -> Result<(), SysError> {
    if k.get(slot).is_empty() {
        Ok(())
    } else {
        Err(SysError::DeleteFirst)
    }
}
