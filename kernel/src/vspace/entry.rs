//! Translation table entries: stage 1, 4 KiB granule, four levels, for user level only.
//!
//! Every leaf has the access flag set (the kernel does no ageing), is not global (tagged with the ASID), inner
//! shareable, and never executable at EL1. Table entries restrict nothing: the leaf decides alone.
//!
//! Nothing here touches a table; this is arithmetic.

use sel4_abi::VmAttributes;

use crate::{
    cap::{FrameRights, PageSize},
    types::PhysAddr,
};

const INDEX_BITS: u32 = 9;

/// A level of the translation: 0 is the root (a VSpace), 3 the last.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Level(u8);

impl Level {
    pub const ROOT: Self = Self(0);
    pub const LAST: Self = Self(3);

    /// The level of the entries that map pages of a size.
    pub const fn of(size: PageSize) -> Self {
        match size {
            PageSize::Huge => Self(1),
            PageSize::Large => Self(2),
            PageSize::Small => Self::LAST,
        }
    }

    /// The level below, if there is one.
    pub const fn next(self) -> Option<Self> {
        if self.0 < Self::LAST.0 {
            Some(Self(self.0 + 1))
        } else {
            None
        }
    }

    /// Logarithm of the bytes that one entry covers.
    pub const fn entry_bits(self) -> u32 {
        PageSize::Small.bits() + INDEX_BITS * (Self::LAST.0 - self.0) as u32
    }

    /// Which entry of a table of this level an address selects.
    pub const fn index(self, vaddr: u64) -> usize {
        (vaddr >> self.entry_bits()) as usize & ((1 << INDEX_BITS) - 1)
    }

    /// The first address of the range that an entry of this level covers, for an address within.
    pub const fn round_down(self, vaddr: u64) -> u64 {
        vaddr & !((1 << self.entry_bits()) - 1)
    }
}

/// What an entry says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Target {
    Nothing,
    /// A table of the next level.
    Table(PhysAddr),
    /// A page, of the size that the level implies.
    Page(PhysAddr),
}

/// One entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry(pub u64);

const VALID: u64 = 1 << 0;
/// A table above the last level, a page in it. Clear for the pages (blocks) of the levels between.
const TABLE_OR_LAST: u64 = 1 << 1;
const ATTRIBUTES_SHIFT: u32 = 2;
const USER_ACCESS: u64 = 1 << 6;
const READ_ONLY: u64 = 1 << 7;
const INNER_SHAREABLE: u64 = 3 << 8;
const ACCESSED: u64 = 1 << 10;
const NOT_GLOBAL: u64 = 1 << 11;
const PRIVILEGED_EXECUTE_NEVER: u64 = 1 << 53;
const USER_EXECUTE_NEVER: u64 = 1 << 54;
const ADDRESS: u64 = 0x0000_ffff_ffff_f000;

/// The bits that may change in place; any other change has to break the entry first.
const PERMISSIONS: u64 = USER_ACCESS | READ_ONLY | USER_EXECUTE_NEVER;

/// Indices into MAIR_EL1, as the loader sets it.
mod memory {
    pub(super) const DEVICE: u64 = 0;
    pub(super) const NORMAL: u64 = 4;
}

impl Entry {
    pub const NOTHING: Self = Self(0);

    /// Leads to a table of the next level.
    pub const fn table(base: PhysAddr) -> Self {
        Self(base.0 | TABLE_OR_LAST | VALID)
    }

    /// Maps a page. A frame without user rights is not executable either: execution alone would be a right.
    pub fn page(
        base: PhysAddr,
        size: PageSize,
        rights: FrameRights,
        attributes: VmAttributes,
    ) -> Self {
        let access = match rights {
            FrameRights::KernelOnly => READ_ONLY | USER_EXECUTE_NEVER,
            FrameRights::ReadOnly => USER_ACCESS | READ_ONLY,
            FrameRights::ReadWrite => USER_ACCESS,
        };
        let memory = if attributes.contains(VmAttributes::CACHEABLE) {
            memory::NORMAL
        } else {
            memory::DEVICE
        };
        let execute = if attributes.contains(VmAttributes::EXECUTE_NEVER) {
            USER_EXECUTE_NEVER
        } else {
            0
        };
        let kind = match size {
            PageSize::Small => TABLE_OR_LAST,
            PageSize::Large | PageSize::Huge => 0,
        };
        Self(
            base.0
                | kind
                | VALID
                | (memory << ATTRIBUTES_SHIFT)
                | access
                | execute
                | INNER_SHAREABLE
                | ACCESSED
                | NOT_GLOBAL
                | PRIVILEGED_EXECUTE_NEVER,
        )
    }

    /// What this entry says when it is found at a level.
    pub fn target(self, level: Level) -> Target {
        let base = PhysAddr(self.0 & ADDRESS);
        if self.0 & VALID == 0 {
            Target::Nothing
        } else if level < Level::LAST && self.0 & TABLE_OR_LAST != 0 {
            Target::Table(base)
        } else {
            Target::Page(base)
        }
    }

    pub const fn is_valid(self) -> bool {
        self.0 & VALID != 0
    }

    /// Of a page: user level may read and write it.
    pub const fn is_user_writable(self) -> bool {
        self.0 & (USER_ACCESS | READ_ONLY) == USER_ACCESS
    }

    /// Of a page: user level may read it.
    pub const fn is_user_readable(self) -> bool {
        self.0 & USER_ACCESS != 0
    }

    /// Of a page: user level may execute it.
    pub const fn is_user_executable(self) -> bool {
        self.0 & USER_EXECUTE_NEVER == 0
    }

    /// Whether this valid entry may be overwritten with `new` directly. Otherwise it must be cleared, and the clearing
    /// completed on all cores, before the new one is written.
    pub const fn changes_in_place(self, new: Self) -> bool {
        self.is_valid() && new.is_valid() && (self.0 ^ new.0) & !PERMISSIONS == 0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: PhysAddr = PhysAddr(0x0000_0123_4000_0000);

    fn levels() -> [Level; 4] {
        let mut level = Level::ROOT;
        [(); 4].map(|()| {
            let this = level;
            level = level.next().unwrap_or(Level::LAST);
            this
        })
    }

    #[test]
    fn levels_cover_39_30_21_and_12_bits() {
        assert_eq!(levels().map(Level::entry_bits), [39, 30, 21, 12]);
        assert_eq!(Level::LAST.next(), None);
        for size in [PageSize::Small, PageSize::Large, PageSize::Huge] {
            assert_eq!(Level::of(size).entry_bits(), size.bits());
        }
    }

    #[test]
    fn indices_are_the_nine_bits_of_each_level() {
        let vaddr = (0x1ab << 39) | (0x0cd << 30) | (0x1ef << 21) | (0x012 << 12) | 0x345;
        assert_eq!(
            levels().map(|level| level.index(vaddr)),
            [0x1ab, 0x0cd, 0x1ef, 0x012]
        );
        assert_eq!(
            levels().map(|level| level.index(sel4_abi::USER_TOP)),
            [0xff, 0x1ff, 0x1ff, 0x1ff]
        );
        for level in levels() {
            let base = level.round_down(vaddr);
            assert_eq!(base % (1 << level.entry_bits()), 0);
            assert!(vaddr - base < 1 << level.entry_bits());
        }
    }

    #[test]
    fn fixed_bits_of_leaves() {
        for size in [PageSize::Small, PageSize::Large, PageSize::Huge] {
            let entry = Entry::page(BASE, size, FrameRights::ReadWrite, VmAttributes::default());
            // AF, nG, inner shareable, PXN, user read-write, MAIR index 4, base.
            let expected = BASE.0 | 1 << 53 | 1 << 11 | 1 << 10 | 3 << 8 | 1 << 6 | 4 << 2 | 1;
            let kind = if size == PageSize::Small { 2 } else { 0 };
            assert_eq!(entry.0, expected | kind);
            assert_eq!(entry.target(Level::of(size)), Target::Page(BASE));
        }
    }

    #[test]
    fn rights_and_attributes() {
        use FrameRights as R;
        let (cached, no_execute) = (VmAttributes::CACHEABLE, VmAttributes::EXECUTE_NEVER);
        for (rights, read, write) in [
            (R::KernelOnly, false, false),
            (R::ReadOnly, true, false),
            (R::ReadWrite, true, true),
        ] {
            for attributes in [
                VmAttributes::empty(),
                cached,
                no_execute,
                cached | no_execute,
            ] {
                let entry = Entry::page(BASE, PageSize::Small, rights, attributes);
                assert_eq!(entry.is_user_readable(), read);
                assert_eq!(entry.is_user_writable(), write);
                assert_eq!(
                    entry.is_user_executable(),
                    read && !attributes.contains(no_execute)
                );
                let index = entry.0 >> 2 & 7;
                assert_eq!(index, if attributes.contains(cached) { 4 } else { 0 });
                assert_eq!(entry.0 >> 53 & 1, 1, "never executable at EL1");
                assert_eq!(
                    entry,
                    Entry::page(
                        BASE,
                        PageSize::Small,
                        rights,
                        attributes | VmAttributes::PARITY_ENABLED
                    )
                );
            }
        }
    }

    #[test]
    fn the_same_bits_mean_a_table_above_and_a_page_in_the_last_level() {
        let entry = Entry::table(BASE);
        assert_eq!(entry.0, BASE.0 | 3);
        for level in levels() {
            let last = level == Level::LAST;
            let expected = if last {
                Target::Page(BASE)
            } else {
                Target::Table(BASE)
            };
            assert_eq!(entry.target(level), expected);
            assert_eq!(Entry::NOTHING.target(level), Target::Nothing);
            assert_eq!(Entry(BASE.0 | 2).target(level), Target::Nothing);
        }
    }

    #[test]
    fn only_permissions_change_in_place() {
        let size = PageSize::Large;
        let page = |rights, attributes| Entry::page(BASE, size, rights, attributes);
        let old = page(FrameRights::ReadWrite, VmAttributes::CACHEABLE);
        let never = VmAttributes::CACHEABLE | VmAttributes::EXECUTE_NEVER;
        for rights in [
            FrameRights::KernelOnly,
            FrameRights::ReadOnly,
            FrameRights::ReadWrite,
        ] {
            assert!(old.changes_in_place(page(rights, VmAttributes::CACHEABLE)));
            assert!(old.changes_in_place(page(rights, never)));
            assert!(!old.changes_in_place(page(rights, VmAttributes::empty())));
        }
        let other = PhysAddr(BASE.0 + size.bytes());
        let other = Entry::page(other, size, FrameRights::ReadWrite, VmAttributes::CACHEABLE);
        assert!(!old.changes_in_place(other));
        assert!(!old.changes_in_place(Entry::NOTHING) && !Entry::NOTHING.changes_in_place(old));
    }
}
