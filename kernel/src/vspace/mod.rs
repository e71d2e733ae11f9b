//! Virtual memory: walks through translation tables, and the writes that change a mapping.
//!
//! Tables are structure: written with all core locks held, with single stores, because the hardware walks them at any
//! time. An entry that maps something else than before is cleared first, and the clearing completed
//! on all cores, before the new one is written; only permissions change in place. Translations are invalidated by
//! broadcast and the barrier that completes it is executed before the locks are released, so nobody is interrupted
//! for it and nobody sees an old translation after the entry.
//!
//! A capability that says 'mapped' may be wrong: the table, the ASID or the whole VSpace may have gone, or another
//! frame may have taken the place. Every function that starts from a [`Mapping`] finds out by walking and does nothing
//! to what is not its own.
//!
//! Not here: who may map what (`invoke`), and which VSpace has which ASID (`asid`).

mod asid;
#[cfg(test)]
pub(crate) mod bench;
pub mod cache;
pub mod entry;

pub use asid::{
    asid_of, check_root, cores_using, cores_using_pool, delete_asid_pool, delete_vspace, find_root,
    free_asid, free_pool, require_root, set_root, user_root,
};

use sel4_abi::USER_TOP;

use crate::{
    access::Kernel,
    arch,
    cap::{Mapping, PageSize},
    fault::{LookupFailure, SysError},
    object::{ENTRIES, TableRef, TcbRef},
    types::PhysAddr,
};
use entry::{Entry, Level, Target};

/// An entry of a table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    pub table: TableRef,
    pub level: Level,
    index: usize,
}

impl Place {
    fn of(table: TableRef, level: Level, vaddr: u64) -> Self {
        Self {
            table,
            level,
            index: level.index(vaddr),
        }
    }

    pub fn read(self, k: &Kernel<'_>) -> Entry {
        Entry(k.entry(self.table, self.index))
    }

    fn write(self, k: &mut Kernel<'_>, entry: Entry) {
        k.set_entry(self.table, self.index, entry.0);
    }

    /// The entry one level down, if this one leads to a table.
    fn below(self, k: &Kernel<'_>, vaddr: u64) -> Option<Self> {
        match self.read(k).target(self.level) {
            Target::Table(base) => {
                let table = TableRef::from_address(arch::to_virtual(base));
                Some(Self::of(table, self.level.next()?, vaddr))
            }
            Target::Nothing | Target::Page(_) => None,
        }
    }
}

/// Goes down from a root as far as tables lead: to an entry that maps a page or nothing.
#[inline(always)]
pub fn walk(k: &Kernel<'_>, root: TableRef, vaddr: u64) -> Place {
    let mut place = Place::of(root, Level::ROOT, vaddr);
    while let Some(below) = place.below(k, vaddr) {
        place = below;
    }
    place
}

/// Where a page of this size goes. There must be a table for it, and no table in its place.
#[inline(always)]
pub fn page_place(
    k: &Kernel<'_>,
    root: TableRef,
    vaddr: u64,
    size: PageSize,
) -> Result<Place, SysError> {
    let place = walk(k, root, vaddr);
    if place.level == Level::of(size) {
        return Ok(place);
    }
    Err(missing(place.level))
}

#[cold]
fn missing(level: Level) -> SysError {
    let bits_left = u64::from(level.entry_bits());
    SysError::FailedLookup {
        source: false,
        failure: LookupFailure::MissingCapability { bits_left },
    }
}

/// Where the next table on the way to an address goes. There must be one missing.
pub fn table_place(k: &Kernel<'_>, root: TableRef, vaddr: u64) -> Result<Place, SysError> {
    let place = walk(k, root, vaddr);
    if place.level == Level::LAST || place.read(k).is_valid() {
        return Err(SysError::DeleteFirst);
    }
    Ok(place)
}

/// Where this very frame is still mapped as its capability says.
pub fn find_frame(
    k: &Kernel<'_>,
    base: PhysAddr,
    size: PageSize,
    mapping: Mapping,
) -> Option<(TableRef, Place)> {
    let root = find_root(k, mapping.asid)?;
    let place = walk(k, root, mapping.vaddr);
    let found =
        place.level == Level::of(size) && place.read(k).target(place.level) == Target::Page(base);
    found.then_some((root, place))
}

/// Maps a page, in place of what page was there.
#[inline(always)]
pub fn set_page(k: &mut Kernel<'_>, place: Place, mapping: Mapping, new: Entry) {
    let old = place.read(k);
    if old == new {
        return;
    }
    let in_place = old.changes_in_place(new);
    if old.is_valid() && !in_place {
        clear_page(k, place, mapping);
    }
    place.write(k, new);
    arch::table_barrier();
    if in_place {
        arch::invalidate_page(mapping.asid, mapping.vaddr, true);
        arch::invalidation_barrier();
    }
}

/// Clears the entry of a page; on return no core uses it any more.
fn clear_page(k: &mut Kernel<'_>, place: Place, mapping: Mapping) {
    place.write(k, Entry::NOTHING);
    arch::table_barrier();
    arch::invalidate_page(mapping.asid, mapping.vaddr, true);
    arch::invalidation_barrier();
}

/// Hangs an empty table into a place that leads nowhere.
pub fn set_table(k: &mut Kernel<'_>, place: Place, table: TableRef) {
    debug_assert!(!place.read(k).is_valid());
    // The table is seen empty before it is seen at all.
    arch::table_barrier();
    place.write(k, Entry::table(arch::to_physical(table.address())));
    arch::table_barrier();
}

/// Removes the mapping of a frame, if it is still there.
pub fn unmap_frame(k: &mut Kernel<'_>, base: PhysAddr, size: PageSize, mapping: Mapping) {
    if let Some((_, place)) = find_frame(k, base, size, mapping) {
        clear_page(k, place, mapping);
    }
}

/// Takes a table out of the one above it, if it is still there. What it holds stays in it.
pub fn unmap_table(k: &mut Kernel<'_>, table: TableRef, mapping: Mapping) {
    let Some(place) = find_table(k, table, mapping) else {
        return;
    };
    place.write(k, Entry::NOTHING);
    arch::table_barrier();
    // Everything below goes, pages and cached walks: more than one address can name.
    arch::invalidate_asid(mapping.asid);
    arch::invalidation_barrier();
}

/// The entry that leads to a table, if it is still where its capability says.
fn find_table(k: &Kernel<'_>, table: TableRef, mapping: Mapping) -> Option<Place> {
    let mut place = Place::of(find_root(k, mapping.asid)?, Level::ROOT, mapping.vaddr);
    loop {
        let below = place.below(k, mapping.vaddr)?;
        if below.table == table {
            return Some(place);
        }
        place = below;
    }
}

/// Empties a table that nothing leads to any more.
pub fn clear_table(k: &mut Kernel<'_>, table: TableRef) {
    for index in 0..ENTRIES {
        k.set_entry(table, index, Entry::NOTHING.0);
    }
    arch::table_barrier();
}

/// What an access wants of a page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Access {
    Read,
    Write,
    Execute,
}

/// Whether the access that raised a fault would succeed now. A core that touches a page while another core replaces it
/// meets the moment in which the entry is clear; under the lock that moment is over, and the access is to be tried
/// again rather than reported. The tables are asked, not the hardware: they are what it will find.
pub fn is_translation_now_valid(k: &Kernel<'_>, tcb: TcbRef, address: u64, access: Access) -> bool {
    if address > USER_TOP {
        return false;
    }
    let Some((root, _)) = asid::root_of(k, tcb) else {
        return false;
    };
    let place = walk(k, root, address);
    let entry = place.read(k);
    match access {
        _ if !entry.is_valid() => false,
        Access::Read => entry.is_user_readable(),
        Access::Write => entry.is_user_writable(),
        Access::Execute => entry.is_user_executable(),
    }
}

/// As [`is_translation_now_valid`], for an abort from user level with this syndrome (ESR_EL1). Only translation faults
/// can be outdated: others have met an entry.
pub fn is_fault_outdated(k: &Kernel<'_>, tcb: TcbRef, address: u64, syndrome: u32) -> bool {
    Access::of_translation_fault(syndrome)
        .is_some_and(|access| is_translation_now_valid(k, tcb, address, access))
}

impl Access {
    /// The access that met a translation fault at user level; none if the syndrome says something else.
    fn of_translation_fault(syndrome: u32) -> Option<Self> {
        const INSTRUCTION_ABORT: u32 = 0x20;
        const DATA_ABORT: u32 = 0x24;
        const WRITE: u32 = 1 << 6;
        const CACHE_MAINTENANCE: u32 = 1 << 8;
        /// Fault status, without the level.
        const STATUS: u32 = 0x3c;
        const TRANSLATION: u32 = 0x04;

        if syndrome & STATUS != TRANSLATION {
            return None;
        }
        match syndrome >> 26 {
            INSTRUCTION_ABORT => Some(Self::Execute),
            // Cache maintenance is reported as a write and needs to read.
            DATA_ABORT if syndrome & (WRITE | CACHE_MAINTENANCE) == WRITE => Some(Self::Write),
            DATA_ABORT => Some(Self::Read),
            _ => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        cap::{Asid, Cap, FrameRights},
        object::{Tcb, TcbSlot},
    };
    use bench::Bench;
    use sel4_abi::VmAttributes;

    const VADDR: u64 = 0x40_1234_5000;

    fn asid(number: u16) -> Asid {
        Asid::new(number).expect("not 0")
    }

    fn entry(base: u64) -> Entry {
        let attributes = VmAttributes::default();
        Entry::page(
            PhysAddr(base),
            PageSize::Small,
            FrameRights::ReadOnly,
            attributes,
        )
    }

    /// A root with tables for small pages at `VADDR`, top down.
    fn tables(bench: &mut Bench, root: TableRef) -> [TableRef; 3] {
        [(); 3].map(|()| {
            let table = bench.table();
            let place = table_place(&bench.k, root, VADDR).expect("one is missing");
            set_table(&mut bench.k, place, table);
            table
        })
    }

    fn root_of(bench: &Bench, vspace: crate::object::SlotRef) -> TableRef {
        let Cap::VSpace { root, .. } = bench.cap(vspace) else {
            panic!("not a VSpace")
        };
        root
    }

    #[test]
    fn a_walk_ends_where_tables_end() {
        let mut bench = Bench::new();
        let vspace = bench.vspace(1);
        let root = root_of(&bench, vspace);
        for bits in [39, 30, 21, 12] {
            let place = walk(&bench.k, root, VADDR);
            assert_eq!(place.level.entry_bits(), bits);
            if bits > 12 {
                let table = bench.table();
                set_table(&mut bench.k, place, table);
            }
        }
        assert_eq!(
            table_place(&bench.k, root, VADDR),
            Err(SysError::DeleteFirst)
        );
        // Elsewhere the walk ends earlier.
        assert_eq!(
            walk(&bench.k, root, VADDR + (1 << 21)).level.entry_bits(),
            21
        );
        assert_eq!(
            walk(&bench.k, root, VADDR + (1 << 39)).level.entry_bits(),
            39
        );
    }

    #[test]
    fn only_the_frame_itself_is_unmapped() {
        let mut bench = Bench::new();
        let vspace = bench.vspace(1);
        let root = root_of(&bench, vspace);
        tables(&mut bench, root);
        let mapping = Mapping {
            asid: asid(1),
            vaddr: VADDR,
        };
        let place = walk(&bench.k, root, VADDR);
        set_page(&mut bench.k, place, mapping, entry(0x5000));
        unmap_frame(&mut bench.k, PhysAddr(0x6000), PageSize::Small, mapping);
        unmap_frame(&mut bench.k, PhysAddr(0x5000), PageSize::Large, mapping);
        let other = Mapping {
            asid: asid(2),
            vaddr: VADDR,
        };
        unmap_frame(&mut bench.k, PhysAddr(0x5000), PageSize::Small, other);
        assert_eq!(place.read(&bench.k), entry(0x5000));
        unmap_frame(&mut bench.k, PhysAddr(0x5000), PageSize::Small, mapping);
        assert_eq!(place.read(&bench.k), Entry::NOTHING);
    }

    #[test]
    fn a_table_leaves_the_one_above_it() {
        let mut bench = Bench::new();
        let vspace = bench.vspace(1);
        let root = root_of(&bench, vspace);
        let tables = tables(&mut bench, root);
        let mapping = |level: Level| Mapping {
            asid: asid(1),
            vaddr: level.round_down(VADDR),
        };
        let stranger = bench.table();
        unmap_table(&mut bench.k, stranger, mapping(Level::ROOT));
        assert_eq!(walk(&bench.k, root, VADDR).table, tables[2]);
        let two = Level::of(PageSize::Large);
        unmap_table(&mut bench.k, tables[2], mapping(two));
        assert_eq!(walk(&bench.k, root, VADDR).table, tables[1]);
        unmap_table(&mut bench.k, tables[0], mapping(Level::ROOT));
        assert_eq!(walk(&bench.k, root, VADDR).table, root);
        // What the first table holds stays in it; the second one cannot be found any more.
        unmap_table(&mut bench.k, tables[1], mapping(Level::of(PageSize::Huge)));
        let inner = Place::of(tables[0], Level::of(PageSize::Huge), VADDR);
        assert!(inner.read(&bench.k).is_valid());
    }

    #[test]
    fn an_outdated_fault_is_told_from_a_real_one() {
        let mut bench = Bench::new();
        let vspace = bench.vspace(1);
        let (cap, root) = (bench.cap(vspace), root_of(&bench, vspace));
        let tcb = TcbRef::from_object(arch::host::memory(11).0 as usize);
        bench.k.place(tcb, Tcb::new());
        bench.k.get_mut(tcb.slot(TcbSlot::VSpace)).set_cap(cap);
        tables(&mut bench, root);
        let (read, write, fetch) = (0x9200_0007, 0x9200_0047, 0x8200_0007);
        assert!(!is_fault_outdated(&bench.k, tcb, VADDR, read));
        let place = walk(&bench.k, root, VADDR);
        let mapping = Mapping {
            asid: asid(1),
            vaddr: VADDR,
        };
        set_page(&mut bench.k, place, mapping, entry(0x5000));
        assert!(is_fault_outdated(&bench.k, tcb, VADDR, read));
        assert!(is_fault_outdated(&bench.k, tcb, VADDR, fetch));
        assert!(
            !is_fault_outdated(&bench.k, tcb, VADDR, write),
            "a read-only page"
        );
        assert!(
            is_fault_outdated(&bench.k, tcb, VADDR, write | 1 << 8),
            "cache maintenance"
        );
        assert!(
            !is_fault_outdated(&bench.k, tcb, VADDR, 0x9200_000f),
            "a permission fault"
        );
        assert!(!is_fault_outdated(&bench.k, tcb, VADDR | 1 << 48, read));
        assert!(
            !is_fault_outdated(&bench.k, tcb, VADDR, 0x9600_0007),
            "not from user level"
        );
    }
}
