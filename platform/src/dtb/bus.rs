//! Addresses: how many cells they have below a node, and what they are as seen by a core.

use super::DtbError;
use super::node::{self, Node};
use crate::board::Region;

/// How the children of one node are addressed.
pub(super) struct Bus<'p, 'a> {
    parent: Option<&'p Bus<'p, 'a>>,
    ranges: Ranges<'a>,
    address_cells: u32,
    size_cells: u32,
}

enum Ranges<'a> {
    /// Same addresses as outside.
    Same,
    /// Triples of child address, parent address, size.
    Mapped(&'a [u8]),
    /// Not reachable from outside.
    None,
}

impl<'p, 'a> Bus<'p, 'a> {
    /// The addresses that a core sees.
    pub(super) fn root(root: Node<'a>) -> Result<Bus<'p, 'a>, DtbError> {
        Bus::new(None, Ranges::Same, root)
    }

    /// The bus inside a node of this bus.
    pub(super) fn inside(&'p self, node: Node<'a>) -> Result<Bus<'p, 'a>, DtbError> {
        let ranges = match node::value(node, "ranges")? {
            Some([]) => Ranges::Same,
            Some(ranges) => Ranges::Mapped(ranges),
            None => Ranges::None,
        };
        Bus::new(Some(self), ranges, node)
    }

    /// The inside of a node of this bus whose addresses are those outside, whatever it says.
    pub(super) fn same_addresses(&'p self, node: Node<'a>) -> Result<Bus<'p, 'a>, DtbError> {
        Bus::new(Some(self), Ranges::Same, node)
    }

    fn new(
        parent: Option<&'p Bus<'p, 'a>>,
        ranges: Ranges<'a>,
        node: Node<'a>,
    ) -> Result<Bus<'p, 'a>, DtbError> {
        Ok(Bus {
            parent,
            ranges,
            address_cells: node::cell(node, "#address-cells")?.unwrap_or(2),
            size_cells: node::cell(node, "#size-cells")?.unwrap_or(1),
        })
    }

    /// The regions in the `reg` property of a node on this bus, as a core sees them, in order. Ends at the first that
    /// is malformed or that a core cannot reach.
    pub(super) fn regions<'s>(
        &'s self,
        node: Node<'a>,
    ) -> Result<impl Iterator<Item = Region> + 's, DtbError> {
        let mut reg = node::value(node, "reg")?.unwrap_or(&[]);
        Ok(core::iter::from_fn(move || {
            if reg.is_empty() || self.address_cells == 0 {
                return None;
            }
            let start = node::take(&mut reg, self.address_cells)?;
            let size = node::take(&mut reg, self.size_cells)?;
            self.outside(Region::sized(start, size)?)
        }))
    }

    /// Translates a region of this bus to what a core sees.
    fn outside(&self, region: Region) -> Option<Region> {
        let Some(parent) = self.parent else {
            return Some(region);
        };
        let mut ranges = match self.ranges {
            Ranges::Same => return parent.outside(region),
            Ranges::None => return None,
            Ranges::Mapped(ranges) => ranges,
        };
        if self.address_cells | parent.address_cells | self.size_cells == 0 {
            // Entries of no cells have no end.
            return None;
        }
        while !ranges.is_empty() {
            let child = node::take(&mut ranges, self.address_cells)?;
            let outer = node::take(&mut ranges, parent.address_cells)?;
            let size = node::take(&mut ranges, self.size_cells)?;
            let Some(window) = Region::sized(child, size) else {
                continue;
            };
            if window.contains(&region) {
                let start = outer.checked_add(region.start - child)?;
                return parent.outside(Region::sized(start, region.len())?);
            }
        }
        None
    }
}
