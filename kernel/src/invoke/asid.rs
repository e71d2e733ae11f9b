//! ASIDs: making a pool from an untyped, and giving a VSpace an ASID from a pool.

use sel4_abi::{Invocation, size_bits};

use super::{Args, Outcome, Results, irq::invocation};
use crate::{
    access::Kernel,
    arch,
    cap::{Asid, Cap},
    cdt, cspace,
    fault::{LookupFailure, SysError},
    object::{AsidPool, ObjRef, SlotRef, TableRef},
    types::PhysAddr,
    vspace,
};

/// What is to be done: everything has been checked.
enum Plan {
    MakePool {
        untyped: SlotRef,
        base: PhysAddr,
        index: u8,
        destination: SlotRef,
    },
    Assign {
        slot: SlotRef,
        root: TableRef,
        asid: Asid,
    },
}

/// The ASID control capability and the pools.
pub fn invoke(k: &mut Kernel<'_>, args: &Args, cap: Cap) -> Outcome {
    let plan = match cap {
        Cap::AsidControl => decode_make_pool(k, args)?,
        Cap::AsidPool { pool, index } => decode_assign(k, args, pool, index)?,
        _ => unreachable!("dispatched by capability type"),
    };
    perform(k, plan);
    Ok(Results::none())
}

fn decode_make_pool(k: &Kernel<'_>, args: &Args) -> Result<Plan, SysError> {
    if invocation(args.label) != Some(Invocation::AsidControlMakePool) {
        return Err(SysError::IllegalOperation);
    }
    args.require(2, 2)?;
    let (at, depth) = (args.word(k, 0), args.word(k, 1));
    let index = vspace::free_pool(k).ok_or(SysError::DeleteFirst)?;
    let untyped = args.extra_slot(0)?;
    let base = match k.get(untyped).cap() {
        Cap::Untyped {
            base,
            bits,
            device: false,
            ..
        } if u64::from(bits) == size_bits::ASID_POOL => base,
        _ => return Err(SysError::InvalidCapability(1)),
    };
    cdt::ensure_no_children(k, untyped)?;
    let destination = cspace::lookup_target_slot(k, args.extra_raw(k, 1), at, depth, false)?;
    cspace::ensure_empty(k, destination)?;
    Ok(Plan::MakePool {
        untyped,
        base,
        index,
        destination,
    })
}

fn decode_assign(
    k: &Kernel<'_>,
    args: &Args,
    pool: ObjRef<AsidPool>,
    index: u8,
) -> Result<Plan, SysError> {
    if invocation(args.label) != Some(Invocation::AsidPoolAssign) {
        return Err(SysError::IllegalOperation);
    }
    args.require(0, 1)?;
    let slot = args.extra_slot(0)?;
    let Cap::VSpace { root, asid: None } = k.get(slot).cap() else {
        return Err(SysError::InvalidCapability(1));
    };
    match k.shared().asids.pools[usize::from(index)] {
        None => {
            let failure = LookupFailure::InvalidRoot;
            return Err(SysError::FailedLookup {
                source: false,
                failure,
            });
        }
        Some(installed) if installed != pool => return Err(SysError::InvalidCapability(0)),
        Some(_) => {}
    }
    let asid = vspace::free_asid(k, pool, index).ok_or(SysError::DeleteFirst)?;
    Ok(Plan::Assign { slot, root, asid })
}

fn perform(k: &mut Kernel<'_>, plan: Plan) {
    match plan {
        Plan::MakePool {
            untyped,
            base,
            index,
            destination,
        } => {
            // All zero is a pool without VSpaces.
            k.clear(base, 1 << size_bits::ASID_POOL);
            let pool = ObjRef::from_address(arch::to_virtual(base));
            let bits = size_bits::ASID_POOL as u8;
            let full = Cap::Untyped {
                base,
                bits,
                device: false,
                free: 1 << bits,
            };
            k.get_mut(untyped).set_cap(full);
            cdt::insert(k, Cap::AsidPool { pool, index }, untyped, destination);
            k.shared_mut().asids.pools[usize::from(index)] = Some(pool);
        }
        Plan::Assign { slot, root, asid } => {
            vspace::set_root(k, asid, Some(root));
            k.get_mut(slot).set_cap(Cap::VSpace {
                root,
                asid: Some(asid),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        object::ENTRIES,
        vspace::bench::{Bench, DEPTH},
    };

    const MAKE: u64 = Invocation::AsidControlMakePool.label();
    const ASSIGN: u64 = Invocation::AsidPoolAssign.label();

    fn untyped(b: &mut Bench, bits: u8, device: bool) -> SlotRef {
        let base = arch::host::memory(u32::from(bits));
        b.slot(Cap::Untyped {
            base,
            bits,
            device,
            free: 0,
        })
    }

    #[test]
    fn make_pool_checks_in_order() {
        let mut b = Bench::new();
        let (control, root) = (b.slot(Cap::AsidControl), b.cnode());
        let good = untyped(&mut b, 12, false);
        let to = b.slot(Cap::Null);
        let index = b.index(to);
        let make = |b: &mut Bench, words: &[u64], extra: &[SlotRef]| {
            b.call(invoke, control, MAKE, words, extra)
        };
        assert_eq!(
            make(&mut b, &[index], &[good, root]),
            Err(SysError::TruncatedMessage)
        );
        assert_eq!(
            make(&mut b, &[index, DEPTH], &[good]),
            Err(SysError::TruncatedMessage)
        );
        for bad in [
            untyped(&mut b, 13, false),
            untyped(&mut b, 12, true),
            root,
            to,
        ] {
            let result = make(&mut b, &[index, 0], &[bad, to]);
            assert_eq!(result, Err(SysError::InvalidCapability(1)));
        }
        let child = b.slot(Cap::Null);
        let cap = b.cap(good);
        cdt::insert(&mut b.k, cap, good, child);
        assert_eq!(
            make(&mut b, &[index, 0], &[good, to]),
            Err(SysError::RevokeFirst)
        );
        cdt::remove(&mut b.k, child);
        let failure = LookupFailure::InvalidRoot;
        let lookup = SysError::FailedLookup {
            source: false,
            failure,
        };
        assert_eq!(make(&mut b, &[index, 0], &[good, to]), Err(lookup));
        let range = SysError::RangeError { min: 1, max: 64 };
        assert_eq!(make(&mut b, &[index, 0], &[good, root]), Err(range));
        let occupied = b.index(root);
        let result = make(&mut b, &[occupied, DEPTH], &[good, root]);
        assert_eq!(result, Err(SysError::DeleteFirst));

        assert_eq!(
            make(&mut b, &[index, DEPTH], &[good, root]),
            Ok([].to_vec())
        );
        let Cap::AsidPool { pool, index: 1 } = b.cap(to) else {
            panic!("not pool 1")
        };
        assert_eq!(b.k.shared().asids.pools[1], Some(pool));
        assert!(b.k.get(pool).0.iter().all(Option::is_none));
        assert_eq!(cdt::first_child(&b.k, good), Some(to));
        assert!(matches!(b.cap(good), Cap::Untyped { free: 4096, .. }));
        assert_eq!(
            b.call(invoke, control, ASSIGN, &[], &[]),
            Err(SysError::IllegalOperation)
        );

        let pool = b.pool();
        b.k.shared_mut().asids.pools.fill(Some(pool));
        assert_eq!(
            make(&mut b, &[index, DEPTH], &[root, root]),
            Err(SysError::DeleteFirst)
        );
    }

    #[test]
    fn assign_checks_in_order() {
        let mut b = Bench::new();
        let pool = b.k.shared().asids.pools[0].expect("installed");
        let slot = b.slot(Cap::AsidPool { pool, index: 0 });
        let table = b.table();
        let vs = b.slot(Cap::VSpace {
            root: table,
            asid: None,
        });
        let assign =
            |b: &mut Bench, slot, extra: &[SlotRef]| b.call(invoke, slot, ASSIGN, &[], extra);
        assert_eq!(assign(&mut b, slot, &[]), Err(SysError::TruncatedMessage));
        let missing = b.slot(Cap::AsidPool { pool, index: 4 });
        let stranger = b.pool();
        let other = b.slot(Cap::AsidPool {
            pool: stranger,
            index: 0,
        });
        assert_eq!(
            assign(&mut b, missing, &[slot]),
            Err(SysError::InvalidCapability(1))
        );
        let failure = LookupFailure::InvalidRoot;
        let lookup = SysError::FailedLookup {
            source: false,
            failure,
        };
        assert_eq!(assign(&mut b, missing, &[vs]), Err(lookup));
        assert_eq!(
            assign(&mut b, other, &[vs]),
            Err(SysError::InvalidCapability(0))
        );
        assert_eq!(
            b.call(invoke, slot, MAKE, &[], &[]),
            Err(SysError::IllegalOperation)
        );

        assert_eq!(assign(&mut b, slot, &[vs]), Ok([].to_vec()));
        assert_eq!(
            b.cap(vs),
            Cap::VSpace {
                root: table,
                asid: Asid::new(1)
            }
        );
        assert_eq!(b.k.get(pool).0[0], None, "ASID 0 is none");
        assert_eq!(
            assign(&mut b, slot, &[vs]),
            Err(SysError::InvalidCapability(1))
        );

        // The lowest free one, until none is left.
        b.k.get_mut(pool).0[1..].fill(Some(table));
        b.k.get_mut(pool).0[ENTRIES - 2] = None;
        let vs = b.slot(Cap::VSpace {
            root: table,
            asid: None,
        });
        assert_eq!(assign(&mut b, slot, &[vs]), Ok([].to_vec()));
        assert_eq!(
            b.cap(vs),
            Cap::VSpace {
                root: table,
                asid: Asid::new(510)
            }
        );
        let vs = b.slot(Cap::VSpace {
            root: table,
            asid: None,
        });
        assert_eq!(assign(&mut b, slot, &[vs]), Err(SysError::DeleteFirst));
    }
}
