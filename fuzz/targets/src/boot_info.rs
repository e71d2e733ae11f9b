//! The boot information as a user program reads it: the page, and the chunks behind it.

#![allow(unsafe_code, reason = "the program finds the page by its address")]

use libsel4::BootInfo;
use sel4_abi::{SlotRegion, UntypedDesc};

const PAGE: usize = 4096;
/// Bytes of extra information at most.
const MOST: usize = 4096;

/// The page with what follows it.
#[repr(C, align(4096))]
struct Memory {
    page: sel4_abi::BootInfo,
    rest_of_page: [u8; PAGE - size_of::<sel4_abi::BootInfo>()],
    extra: [u8; MOST],
}

pub fn run(data: &[u8]) {
    let mut memory = Box::new(Memory {
        page: sel4_abi::BootInfo {
            extra_len: 0,
            node_id: 0,
            num_nodes: 0,
            num_iopt_levels: 0,
            ipc_buffer: 0,
            empty: SlotRegion::default(),
            shared_frames: SlotRegion::default(),
            user_image_frames: SlotRegion::default(),
            user_image_paging: SlotRegion::default(),
            io_space_caps: SlotRegion::default(),
            extra_bi_pages: SlotRegion::default(),
            init_thread_cnode_size_bits: 12,
            init_thread_domain: 0,
            sched_control: SlotRegion::default(),
            untyped: SlotRegion::default(),
            untyped_list: [UntypedDesc::default(); sel4_abi::MAX_BOOT_INFO_UNTYPEDS],
        },
        rest_of_page: [0; PAGE - size_of::<sel4_abi::BootInfo>()],
        extra: [0; MOST],
    });
    let length = data.len().min(MOST);
    memory.extra[..length].copy_from_slice(&data[..length]);
    memory.page.extra_len = length as u64;
    // The list of untypeds holds no more than it has room for, whatever the region of slots says.
    let slots = u64::from(*data.first().unwrap_or(&0)) * 2;
    memory.page.untyped = SlotRegion {
        start: 100,
        end: 100 + slots,
    };
    let memory: &'static Memory = Box::leak(memory);
    // SAFETY: a page and behind it as many bytes as it says; it is given back below, when nobody refers to it.
    let info = unsafe { BootInfo::from_address((&raw const *memory).cast()) };
    assert_eq!(
        info.untypeds().count(),
        slots.min(sel4_abi::MAX_BOOT_INFO_UNTYPEDS as u64) as usize
    );
    let mut used = 0;
    for (id, content) in info.extra() {
        let header = &memory.extra[used..];
        assert_eq!(id.to_le_bytes(), header[..8]);
        assert_eq!(content, &header[16..][..content.len()]);
        used += 16 + content.len();
        assert!(used <= length, "a chunk goes beyond the end");
    }
    if let Some(tree) = info.device_tree() {
        assert!(tree.len() + 16 <= length);
        let _ = libsel4::machine::Machine::from_device_tree(tree);
    }
    // SAFETY: leaked above, and no reference to it is left.
    drop(unsafe { Box::from_raw((&raw const *memory).cast_mut()) });
}
