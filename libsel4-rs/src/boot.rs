//! The boot information: what the root task was given.

use core::ptr;
use core::slice;

use sel4_abi::{BootInfoHeader, SlotRegion, boot_info_id};

use crate::cap::{Cap, SchedControl, SmallPage, Untyped};

/// Bytes of a page of the initial layout.
const PAGE_SIZE: usize = 4096;

/// The boot information page and, after it, the extra boot information.
///
/// It stays mapped, so there is exactly one `&'static BootInfo`, which the entry point makes.
#[derive(Debug)]
#[repr(transparent)]
pub struct BootInfo {
    page: sel4_abi::BootInfo,
}

/// Untyped memory that the root task starts with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BootUntyped {
    /// The capability.
    pub cap: Cap<Untyped>,
    /// Where it begins.
    pub paddr: u64,
    /// Logarithm of its size in bytes.
    pub size_bits: u8,
    /// Device memory: never cleared, and only good for frames.
    pub is_device: bool,
}

impl BootUntyped {
    /// One past its last byte.
    pub const fn end(&self) -> u64 {
        self.paddr + (1 << self.size_bits)
    }
}

impl BootInfo {
    /// The boot information at the address that the kernel passes in x0.
    ///
    /// # Safety
    /// `address` must be that of a boot information page, followed after 4096 bytes by its `extra_len` bytes of extra
    /// boot information, all mapped as long as the program runs and never written.
    pub unsafe fn from_address(address: *const sel4_abi::BootInfo) -> &'static Self {
        // SAFETY: as this function requires; the wrapper has the layout of what it wraps.
        unsafe { &*address.cast::<Self>() }
    }

    /// The page itself.
    pub fn raw(&self) -> &sel4_abi::BootInfo {
        &self.page
    }

    /// How many cores came up.
    pub fn cores(&self) -> usize {
        self.page.num_nodes as usize
    }

    /// The slots of the root CNode that are empty at the start.
    pub fn empty_slots(&self) -> SlotRegion {
        self.page.empty
    }

    /// The right to set budgets on a core.
    ///
    /// # Panics
    /// When there is no such core.
    pub fn sched_control(&self, core: usize) -> Cap<SchedControl> {
        assert!(
            (core as u64) < self.page.sched_control.len(),
            "there is no core {core}"
        );
        Cap::from_bits(self.page.sched_control.start + core as u64)
    }

    /// The untyped memory listed: devices first.
    pub fn untypeds(&self) -> impl Iterator<Item = BootUntyped> + '_ {
        let region = self.page.untyped;
        self.page
            .untyped_list
            .iter()
            .zip(region.start..region.end)
            .map(|(desc, slot)| BootUntyped {
                cap: Cap::from_bits(slot),
                paddr: desc.paddr,
                size_bits: desc.size_bits,
                is_device: desc.is_device != 0,
            })
    }

    /// The frames of the program's own image, in ascending order of addresses.
    pub fn user_image_frames(&self) -> SlotRegion {
        self.page.user_image_frames
    }

    /// One past the last address of the program's own image.
    pub fn user_image_end(&self) -> usize {
        self.page.ipc_buffer as usize
    }

    /// The frame of the program's own image that is mapped at an address.
    pub fn user_image_frame(&self, vaddr: usize) -> Option<Cap<SmallPage>> {
        let frames = self.page.user_image_frames;
        let pages_to_end = self
            .user_image_end()
            .checked_sub(vaddr)?
            .div_ceil(PAGE_SIZE) as u64;
        (1..=frames.len())
            .contains(&pages_to_end)
            .then(|| Cap::from_bits(frames.end - pages_to_end))
    }

    /// One past the last address of the initial layout: image, IPC buffer and boot information.
    pub fn layout_end(&self) -> usize {
        let page = ptr::from_ref(self) as usize;
        page + PAGE_SIZE + (self.page.extra_len as usize).next_multiple_of(PAGE_SIZE)
    }

    /// The extra boot information: kind ([`boot_info_id`]) and content of each chunk.
    pub fn extra(&self) -> Extra<'static> {
        let length = self.page.extra_len as usize;
        if length == 0 {
            return Extra { rest: &[] };
        }
        let start = ptr::from_ref(self).cast::<u8>().wrapping_add(PAGE_SIZE);
        // SAFETY: whoever made the reference with `from_address` promised that this follows the page.
        let rest = unsafe { slice::from_raw_parts(start, length) };
        Extra { rest }
    }

    /// The device tree, as the boot loader got it.
    pub fn device_tree(&self) -> Option<&'static [u8]> {
        self.extra()
            .find_map(|(id, content)| (id == boot_info_id::FDT).then_some(content))
    }
}

/// Goes through the chunks of the extra boot information. A malformed length ends it.
pub struct Extra<'a> {
    rest: &'a [u8],
}

impl<'a> Iterator for Extra<'a> {
    type Item = (u64, &'a [u8]);

    fn next(&mut self) -> Option<Self::Item> {
        const HEADER: usize = size_of::<BootInfoHeader>();
        let id = u64::from_le_bytes(self.rest.get(..8)?.try_into().ok()?);
        let length = u64::from_le_bytes(self.rest.get(8..HEADER)?.try_into().ok()?);
        let length = usize::try_from(length).ok()?;
        let content = self.rest.get(HEADER..length)?;
        self.rest = &self.rest[length..];
        Some((id, content))
    }
}

#[cfg(test)]
mod tests {
    extern crate std;

    use std::vec::Vec;

    use super::Extra;

    fn chunk(id: u64, length: u64, content: &[u8]) -> Vec<u8> {
        [&id.to_le_bytes()[..], &length.to_le_bytes(), content].concat()
    }

    #[test]
    fn chunks_are_found() {
        let bytes = [chunk(0, 20, b"pad!"), chunk(6, 19, b"dtb")].concat();
        let chunks: Vec<_> = Extra { rest: &bytes }.collect();
        assert_eq!(chunks, [(0, &b"pad!"[..]), (6, &b"dtb"[..])]);
    }

    #[test]
    fn a_bad_length_ends_the_list() {
        for length in [0, 15, 21, u64::MAX] {
            assert_eq!(
                Extra {
                    rest: &chunk(6, length, b"pad!")
                }
                .count(),
                0
            );
        }
        assert_eq!(Extra { rest: &[1, 2, 3] }.count(), 0);
    }
}
