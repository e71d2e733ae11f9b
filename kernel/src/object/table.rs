//! Translation tables and ASID pools: one page each.

use super::{Exclusive, Object, TableRef};

/// Entries of a translation table and of an ASID pool.
pub const ENTRIES: usize = 512;

/// A translation table of any level, a VSpace root included. Written with single 64-bit stores only: the hardware
/// walks it at any time.
#[repr(C, align(4096))]
pub struct Table(pub [u64; ENTRIES]);

/// The VSpaces of 512 consecutive ASIDs.
#[repr(C, align(4096))]
pub struct AsidPool(pub [Option<TableRef>; ENTRIES]);

impl Object for Table {}
impl Exclusive for Table {}
impl Object for AsidPool {}
impl Exclusive for AsidPool {}

const _: () = assert!(size_of::<Table>() == 4096);
const _: () = assert!(size_of::<AsidPool>() == 4096);
