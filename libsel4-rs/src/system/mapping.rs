//! Addresses for frames, and the page tables they need.
//!
//! Page tables stay where they were put: an address that had a page once needs no table the next time. They go when
//! addresses of larger alignment are asked for, since a large page does not fit where a table is.

use alloc::vec::Vec;
use core::ops::Range;

use sel4_abi::{CapRights, VmAttributes};

use super::{ResourceError, System};
use crate::cap::{Cap, Page, PageTable, SmallPage, VSpace, init};
use crate::error::{Error, LookupFailure};

/// Bytes of a [`SmallPage`].
const PAGE: usize = SmallPage::SIZE as usize;

/// Memory of the program: pages of its own, in consecutive addresses. Give it back with [`System::free_region`].
#[derive(Debug)]
pub struct Region {
    /// All addresses it takes, with the unmapped page in front if there is one.
    reserved: Range<usize>,
    /// Where the memory begins.
    start: usize,
    frames: Vec<Cap<SmallPage>>,
}

impl Region {
    /// The first address.
    pub fn start(&self) -> usize {
        self.start
    }

    /// One past the last address.
    pub fn end(&self) -> usize {
        self.start + self.frames.len() * PAGE
    }

    /// The frames, in the order of their addresses.
    pub fn frames(&self) -> &[Cap<SmallPage>] {
        &self.frames
    }
}

/// Whether the page in front of a region is left unmapped, so that running out of it downwards is a fault.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Guard {
    /// Nothing in particular is in front.
    None,
    /// An unmapped page is in front.
    Page,
}

impl System {
    /// Free addresses of the program's address space, at a multiple of `align`; give them back with
    /// [`System::free_addresses`].
    ///
    /// # Errors
    /// No addresses.
    pub fn addresses(&mut self, size: usize, align: usize) -> Result<Range<usize>, ResourceError> {
        let size = size.next_multiple_of(PAGE);
        let addresses = self
            .addresses
            .alloc(size, align.max(PAGE))
            .ok_or(ResourceError::NoAddresses { size })?;
        if align > PAGE
            && let Err(error) = self.remove_tables(&addresses)
        {
            self.free_addresses(addresses);
            return Err(error);
        }
        Ok(addresses)
    }

    /// Destroys the page tables of the program's address space that are for these addresses only. Nothing is mapped
    /// there, so they are empty.
    fn remove_tables(&mut self, addresses: &Range<usize>) -> Result<(), ResourceError> {
        loop {
            let mut inside = self.tables.range((addresses.start, 0)..(addresses.end, 0));
            let ends = |start: usize, bits: u32| start.checked_add(1 << bits);
            let found = inside.find(|&(&(start, bits), _)| {
                ends(start, bits).is_some_and(|end| end <= addresses.end)
            });
            let Some((&place, &table)) = found else {
                return Ok(());
            };
            self.destroy(table)?;
            self.tables.remove(&place);
        }
    }

    /// Takes addresses back, at which nothing is mapped any more.
    pub fn free_addresses(&mut self, addresses: Range<usize>) {
        self.addresses.free(addresses);
    }

    /// Maps a frame at an address of an address space, adding the page tables that are missing.
    ///
    /// # Errors
    /// Those of `seL4_ARM_Page_Map`; no slots or memory for a page table.
    pub fn map_at<P: Page>(
        &mut self,
        vspace: Cap<VSpace>,
        frame: Cap<P>,
        vaddr: usize,
        rights: CapRights,
        attributes: VmAttributes,
    ) -> Result<(), ResourceError> {
        loop {
            match frame.map(vspace, vaddr as u64, rights, attributes) {
                Ok(()) => return Ok(()),
                Err(Error::FailedLookup {
                    failure: LookupFailure::MissingCapability { bits_left },
                    ..
                }) => {
                    let table = self.object::<PageTable>()?;
                    if let Err(error) = table.map(vspace, vaddr as u64, VmAttributes::default()) {
                        self.destroy(table)?;
                        return Err(error.into());
                    }
                    if vspace == init::VSPACE {
                        let start = vaddr >> bits_left << bits_left;
                        self.tables.insert((start, bits_left as u32), table);
                    }
                }
                Err(error) => return Err(error.into()),
            }
        }
    }

    /// Maps a frame at free addresses of the program's address space and returns the first.
    ///
    /// # Errors
    /// No addresses; as [`System::map_at`].
    pub fn map<P: Page>(
        &mut self,
        frame: Cap<P>,
        rights: CapRights,
        attributes: VmAttributes,
    ) -> Result<usize, ResourceError> {
        let size = P::SIZE as usize;
        let addresses = self.addresses(size, size)?;
        match self.map_at(init::VSPACE, frame, addresses.start, rights, attributes) {
            Ok(()) => Ok(addresses.start),
            Err(error) => {
                self.free_addresses(addresses);
                Err(error)
            }
        }
    }

    /// Unmaps a frame that [`System::map`] mapped at `vaddr`, and takes the addresses back.
    ///
    /// # Errors
    /// None of its own.
    pub fn unmap<P: Page>(&mut self, frame: Cap<P>, vaddr: usize) -> Result<(), ResourceError> {
        frame.unmap()?;
        self.free_addresses(vaddr..vaddr + P::SIZE as usize);
        Ok(())
    }

    /// Memory of the program: at least `size` bytes, zeroed, readable and writable.
    ///
    /// # Errors
    /// No slots, memory or addresses.
    pub fn region(&mut self, size: usize, guard: Guard) -> Result<Region, ResourceError> {
        let size = size.next_multiple_of(PAGE);
        let before = match guard {
            Guard::None => 0,
            Guard::Page => PAGE,
        };
        let reserved = self.addresses(before + size, PAGE)?;
        let start = reserved.start + before;
        let mut region = Region {
            reserved,
            start,
            frames: Vec::new(),
        };
        let attributes = VmAttributes::default() | VmAttributes::EXECUTE_NEVER;
        for vaddr in (start..start + size).step_by(PAGE) {
            let mapped = self.object::<SmallPage>().and_then(|frame| {
                region.frames.push(frame);
                self.map_at(
                    init::VSPACE,
                    frame,
                    vaddr,
                    CapRights::READ_WRITE,
                    attributes,
                )
            });
            if let Err(error) = mapped {
                self.free_region(region)?;
                return Err(error);
            }
        }
        Ok(region)
    }

    /// Destroys a region's frames and takes its addresses back. Nothing may use the memory any more.
    ///
    /// # Errors
    /// Of the kernel's revoke.
    pub fn free_region(&mut self, region: Region) -> Result<(), ResourceError> {
        for frame in region.frames {
            self.destroy(frame)?;
        }
        self.free_addresses(region.reserved);
        Ok(())
    }
}
