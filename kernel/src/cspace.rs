//! Capability spaces: from addresses to slots.

use crate::{
    access::Kernel,
    cap::Cap,
    fault::{LookupFailure, SysError},
    object::{SlotRef, TcbRef, TcbSlot},
};

/// Bits of a capability address.
pub const WORD_BITS: u64 = 64;

/// Follows `address`, of which the low `depth` bits count, from a root capability. Ends at the slot where the bits run
/// out or that holds no CNode; says how many bits are left there.
pub fn resolve(
    k: &Kernel<'_>,
    root: Cap,
    address: u64,
    depth: u64,
) -> Result<(SlotRef, u64), LookupFailure> {
    let mut cap = root;
    let mut bits_left = depth;
    if !matches!(cap, Cap::CNode { .. }) {
        return Err(LookupFailure::InvalidRoot);
    }
    loop {
        let Cap::CNode {
            base,
            radix,
            guard,
            guard_size,
        } = cap
        else {
            unreachable!("checked before each level");
        };
        let (radix, guard_size) = (u64::from(radix), u64::from(guard_size));
        let level_bits = radix + guard_size;
        let mismatch = LookupFailure::GuardMismatch {
            bits_left,
            guard,
            guard_size,
        };
        if guard_size > bits_left {
            return Err(mismatch);
        }
        if guard_size > 0 {
            let found = (address >> (bits_left - guard_size)) & ((1 << guard_size) - 1);
            if found != guard {
                return Err(mismatch);
            }
        }
        if level_bits > bits_left {
            return Err(LookupFailure::DepthMismatch {
                bits_left,
                bits_found: level_bits,
            });
        }
        let index = (address >> (bits_left - level_bits)) & ((1 << radix) - 1);
        let slot = base.nth(index as usize);
        bits_left -= level_bits;
        if bits_left == 0 {
            return Ok((slot, 0));
        }
        cap = k.get(slot).cap();
        if !matches!(cap, Cap::CNode { .. }) {
            return Ok((slot, bits_left));
        }
    }
}

/// The slot that a capability pointer of `thread` names. Bits left over at a slot without a CNode are tolerated.
pub fn lookup_slot(k: &Kernel<'_>, thread: TcbRef, cptr: u64) -> Result<SlotRef, LookupFailure> {
    let root = k.get(thread.slot(TcbSlot::CSpace)).cap();
    resolve(k, root, cptr, WORD_BITS).map(|(slot, _)| slot)
}

/// The slot at `index`, `depth` bits deep, from a root capability that came as an argument. `source` says which of the
/// two places of an operation an error is about.
pub fn lookup_target_slot(
    k: &Kernel<'_>,
    root: Cap,
    index: u64,
    depth: u64,
    source: bool,
) -> Result<SlotRef, SysError> {
    let failed = |failure| SysError::FailedLookup { source, failure };
    if !matches!(root, Cap::CNode { .. }) {
        return Err(failed(LookupFailure::InvalidRoot));
    }
    if !(1..=WORD_BITS).contains(&depth) {
        return Err(SysError::RangeError {
            min: 1,
            max: WORD_BITS,
        });
    }
    match resolve(k, root, index, depth).map_err(failed)? {
        (slot, 0) => Ok(slot),
        (_, bits_left) => Err(failed(LookupFailure::DepthMismatch {
            bits_left,
            bits_found: 0,
        })),
    }
}

/// The slot must be free to take a capability.
pub fn ensure_empty(k: &Kernel<'_>, slot: SlotRef) -> Result<(), SysError> {
    if k.get(slot).is_empty() {
        Ok(())
    } else {
        Err(SysError::DeleteFirst)
    }
}
