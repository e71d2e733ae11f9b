//! ASIDs: which VSpace has which, what a core loads to run a thread, and how a VSpace or a pool loses its own.
//!
//! An ASID names its pool and the entry in it. A capability may name an ASID that has gone, or that another VSpace has
//! by now; so whoever starts from a capability asks here first. An ASID is free for the next VSpace only after the
//! translations made under it are forgotten on all cores.
//!
//! Not here: stopping the cores that have a root loaded. The caller of the delete functions has done it.

use crate::{
    access::Kernel,
    arch,
    cap::Asid,
    fault::{LookupFailure, SysError},
    invoke::Leave,
    object::{AsidPool, ENTRIES, ObjRef, TableRef, TcbRef, TcbSlot},
    preempt,
    types::CoreSet,
};

/// What an ASID that is taken away counts, in units of preemptible work.
const ASID_UNITS: usize = 2;

/// Where an ASID's VSpace stands: the number of its pool, and the entry in it.
const fn split(asid: Asid) -> (usize, usize) {
    (
        asid.number() as usize / ENTRIES,
        asid.number() as usize % ENTRIES,
    )
}

/// The ASID of an entry of a pool; none for the one that stands for 'no ASID'.
pub fn asid_of(pool: u8, entry: usize) -> Option<Asid> {
    Asid::new((usize::from(pool) * ENTRIES + entry) as u16)
}

/// The VSpace that has this ASID now.
pub fn find_root(k: &Kernel<'_>, asid: Asid) -> Option<TableRef> {
    let (pool, entry) = split(asid);
    k.get(k.shared().asids.pools[pool]?).0[entry]
}

/// The VSpace that has this ASID now, or the look-up has failed.
pub fn require_root(k: &Kernel<'_>, asid: Asid) -> Result<TableRef, SysError> {
    let failure = LookupFailure::InvalidRoot;
    find_root(k, asid).ok_or(SysError::FailedLookup {
        source: false,
        failure,
    })
}

/// The ASID must still be that of this VSpace. `position` names the capability that says so.
pub fn check_root(
    k: &Kernel<'_>,
    root: TableRef,
    asid: Asid,
    position: u64,
) -> Result<(), SysError> {
    if require_root(k, asid)? == root {
        Ok(())
    } else {
        Err(SysError::InvalidCapability(position))
    }
}

/// What a core loads to run a thread: empty unless the thread has a VSpace whose ASID is still its own.
pub fn user_root(k: &Kernel<'_>, tcb: TcbRef) -> arch::UserRoot {
    root_of(k, tcb).map_or(arch::UserRoot::EMPTY, |(root, asid)| loadable(root, asid))
}

pub(super) fn root_of(k: &Kernel<'_>, tcb: TcbRef) -> Option<(TableRef, Asid)> {
    let (root, asid) = k.get(tcb.slot(TcbSlot::VSpace)).raw().as_vspace()?;
    (find_root(k, asid) == Some(root)).then_some((root, asid))
}

pub(super) fn loadable(root: TableRef, asid: Asid) -> arch::UserRoot {
    arch::UserRoot::new(arch::to_physical(root.address()), asid)
}

/// The other cores that have a VSpace loaded.
pub fn cores_using(k: &Kernel<'_>, root: TableRef, asid: Asid) -> CoreSet {
    let wanted = loadable(root, asid);
    others_with(k, |loaded| loaded == wanted)
}

/// The other cores that have a VSpace of an ASID pool loaded.
pub fn cores_using_pool(k: &Kernel<'_>, index: u8) -> CoreSet {
    match k.shared().asids.pools[usize::from(index)] {
        Some(pool) => others_with(k, |loaded| pool_has(k, pool, index, loaded)),
        None => CoreSet::EMPTY,
    }
}

fn others_with(k: &Kernel<'_>, test: impl Fn(arch::UserRoot) -> bool) -> CoreSet {
    let mut cores = CoreSet::EMPTY;
    for core in k.cores().filter(|&core| core != k.me()) {
        let loaded = k.core(core).loaded_root;
        if loaded != arch::UserRoot::EMPTY && test(loaded) {
            cores.insert(core);
        }
    }
    cores
}

/// Whether what a core has loaded is a VSpace of this pool.
fn pool_has(k: &Kernel<'_>, pool: ObjRef<AsidPool>, index: u8, loaded: arch::UserRoot) -> bool {
    let Some(asid) = loaded.asid() else {
        return false;
    };
    let (in_pool, entry) = split(asid);
    let root = k.get(pool).0[entry];
    in_pool == usize::from(index) && root.is_some_and(|root| loadable(root, asid) == loaded)
}

/// The number of the first free pool.
pub fn free_pool(k: &Kernel<'_>) -> Option<u8> {
    k.shared()
        .asids
        .pools
        .iter()
        .position(Option::is_none)
        .map(|index| index as u8)
}

/// The first free ASID of a pool.
pub fn free_asid(k: &Kernel<'_>, pool: ObjRef<AsidPool>, index: u8) -> Option<Asid> {
    let free = k
        .get(pool)
        .0
        .iter()
        .enumerate()
        .filter(|(_, root)| root.is_none());
    free.filter_map(|(entry, _)| asid_of(index, entry)).next()
}

/// Gives an ASID of an installed pool to a VSpace, or takes it away.
pub fn set_root(k: &mut Kernel<'_>, asid: Asid, root: Option<TableRef>) {
    let (pool, entry) = split(asid);
    let pool = k.shared().asids.pools[pool].expect("the pool of this ASID");
    k.get_mut(pool).0[entry] = root;
}

/// The last capability to a VSpace goes: its ASID becomes free. No other core has it loaded.
pub fn delete_vspace(k: &mut Kernel<'_>, root: TableRef, asid: Asid) {
    if find_root(k, asid) != Some(root) {
        return;
    }
    if k.this().loaded_root == loadable(root, asid) {
        unload(k);
    }
    set_root(k, asid, None);
    arch::table_barrier();
    arch::invalidate_asid(asid);
    arch::invalidation_barrier();
}

/// The last capability to an ASID pool goes: its VSpaces lose their ASIDs for good. No other core has one loaded. May
/// be left half-way and called again; but not if the caller's own VSpace is among them, since it would not come back.
pub fn delete_asid_pool(
    k: &mut Kernel<'_>,
    pool: ObjRef<AsidPool>,
    index: u8,
) -> Result<(), Leave> {
    if k.shared().asids.pools[usize::from(index)] != Some(pool) {
        return Ok(());
    }
    let own = pool_has(k, pool, index, k.this().loaded_root);
    if own {
        unload(k);
    }
    let outcome = clear_asid_pool(k, pool, index, !own);
    arch::invalidation_barrier();
    outcome?;
    k.shared_mut().asids.pools[usize::from(index)] = None;
    Ok(())
}

/// Takes the ASIDs of a pool away. The caller completes the invalidations.
fn clear_asid_pool(
    k: &mut Kernel<'_>,
    pool: ObjRef<AsidPool>,
    index: u8,
    preemptible: bool,
) -> Result<(), Leave> {
    for entry in 0..ENTRIES {
        if k.get_mut(pool).0[entry].take().is_none() {
            continue;
        }
        if let Some(asid) = asid_of(index, entry) {
            arch::table_barrier();
            arch::invalidate_asid(asid);
        }
        if preemptible {
            preempt::units(k, ASID_UNITS)?;
        }
    }
    Ok(())
}

/// This core stops using its VSpace.
fn unload(k: &mut Kernel<'_>) {
    arch::load_user_root(arch::UserRoot::EMPTY);
    k.this_mut().loaded_root = arch::UserRoot::EMPTY;
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{cap::Cap, object::Tcb, types::CoreId, vspace::bench::Bench};

    fn asid(number: u16) -> Asid {
        Asid::new(number).expect("not 0")
    }

    fn root_of(bench: &Bench, vspace: crate::object::SlotRef) -> TableRef {
        let Cap::VSpace { root, .. } = bench.cap(vspace) else {
            panic!("not a VSpace")
        };
        root
    }

    #[test]
    fn a_thread_without_a_valid_asid_runs_on_nothing() {
        let mut bench = Bench::new();
        let tcb = TcbRef::from_object(arch::host::memory(11).0 as usize);
        bench.k.place(tcb, Tcb::new());
        assert_eq!(user_root(&bench.k, tcb), arch::UserRoot::EMPTY);
        let vspace = bench.vspace(3);
        let (cap, root) = (bench.cap(vspace), root_of(&bench, vspace));
        bench.k.get_mut(tcb.slot(TcbSlot::VSpace)).set_cap(cap);
        let loaded = user_root(&bench.k, tcb);
        assert_eq!(loaded, loadable(root, asid(3)));
        assert_ne!(loaded, arch::UserRoot::EMPTY);

        bench.k.core_mut(CoreId::BOOT).loaded_root = loaded;
        assert!(
            cores_using(&bench.k, root, asid(3)).is_empty(),
            "not counting this core"
        );
        if bench.k.num_cores() > 1 {
            bench.k.core_mut(CoreId(1)).loaded_root = loaded;
            assert_eq!(
                cores_using(&bench.k, root, asid(3)),
                CoreSet::one(CoreId(1))
            );
            assert_eq!(cores_using_pool(&bench.k, 0), CoreSet::one(CoreId(1)));
            assert!(cores_using_pool(&bench.k, 1).is_empty());
        }
        delete_vspace(&mut bench.k, root, asid(3));
        assert_eq!(bench.k.this().loaded_root, arch::UserRoot::EMPTY);
        assert_eq!(arch::host::user_root(), arch::UserRoot::EMPTY);
        assert_eq!(user_root(&bench.k, tcb), arch::UserRoot::EMPTY);
        assert_eq!(
            free_asid(
                &bench.k,
                bench.k.shared().asids.pools[0].expect("installed"),
                0
            ),
            Some(asid(1))
        );
    }

    #[test]
    fn a_deleted_pool_takes_its_asids_along() {
        let mut bench = Bench::new();
        let vspace = bench.vspace(9);
        let root = root_of(&bench, vspace);
        bench.k.this_mut().loaded_root = loadable(root, asid(9));
        let pool = bench.k.shared().asids.pools[0].expect("installed");
        let stranger = bench.pool();
        delete_asid_pool(&mut bench.k, stranger, 0).expect("nothing to do");
        assert_eq!(find_root(&bench.k, asid(9)), Some(root));
        delete_asid_pool(&mut bench.k, pool, 0).expect("in one go");
        assert_eq!(find_root(&bench.k, asid(9)), None);
        assert_eq!(bench.k.this().loaded_root, arch::UserRoot::EMPTY);
        assert_eq!(free_pool(&bench.k), Some(0));
    }

    #[test]
    fn a_full_pool_goes_in_parts() {
        let mut bench = Bench::new();
        let pool = bench.k.shared().asids.pools[0].expect("installed");
        let root = bench.table();
        bench.k.get_mut(pool).0[1..].fill(Some(root));
        arch::host::set_interrupt(Some(30));
        let mut parts = 1;
        while delete_asid_pool(&mut bench.k, pool, 0).is_err() {
            assert_eq!(bench.k.shared().asids.pools[0], Some(pool));
            let free = free_asid(&bench.k, pool, 0);
            assert_eq!(free, Asid::new(1), "the first ones are gone");
            parts += 1;
        }
        assert_eq!(parts, 511 / 50 + 1);
        assert_eq!(bench.k.shared().asids.pools[0], None);

        // Not if the caller would not come back.
        bench.k.get_mut(pool).0[1..].fill(Some(root));
        bench.k.shared_mut().asids.pools[0] = Some(pool);
        bench.k.this_mut().loaded_root = loadable(root, asid(300));
        assert_eq!(delete_asid_pool(&mut bench.k, pool, 0), Ok(()));
        assert_eq!(bench.k.this().loaded_root, arch::UserRoot::EMPTY);
        arch::host::set_interrupt(None);
    }

    #[test]
    fn asids_are_pool_and_entry() {
        assert_eq!(asid_of(0, 0), None);
        assert_eq!(asid_of(127, 511), Asid::new(65535));
        for number in [1, 511, 512, 40_000, 65535] {
            let (pool, entry) = split(asid(number));
            assert_eq!(asid_of(pool as u8, entry), Some(asid(number)));
        }
    }
}
