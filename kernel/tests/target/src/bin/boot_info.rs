//! The boot information and the initial capability space are as the interface says: every field, every slot, the
//! untyped memory in its order, the device tree.

#![no_std]
#![no_main]

use libsel4::abi::{cap_type, slot};
use libsel4::{
    BootInfo, Cap, CapRights, Error, SlotPath, SmallPage, VmAttributes, init, root_task,
};
use tern_target_tests::objects::kind;

root_task!(main);

const PAGE: u64 = 4096;
const RAM: core::ops::Range<u64> = 0x4000_0000..0x8000_0000;

fn main(boot: &'static BootInfo) {
    fields(boot);
    initial_slots();
    dynamic_slots(boot);
    image(boot);
    untypeds(boot);
    device_tree(boot);
}

fn fields(boot: &'static BootInfo) {
    let raw = boot.raw();
    assert_eq!(raw.node_id, 0);
    assert!((1..=8).contains(&raw.num_nodes));
    assert_eq!(raw.num_iopt_levels, 0);
    assert_eq!(raw.ipc_buffer + PAGE, core::ptr::from_ref(boot) as u64);
    assert_eq!((raw.shared_frames.start, raw.shared_frames.end), (0, 0));
    assert_eq!((raw.io_space_caps.start, raw.io_space_caps.end), (0, 0));
    assert_eq!(raw.init_thread_cnode_size_bits, 12);
    assert_eq!(raw.init_thread_domain, 0);
    assert_eq!(raw.sched_control.len(), raw.num_nodes);
    assert_eq!(raw.extra_bi_pages.len(), raw.extra_len.div_ceil(PAGE));
    // What follows the structure in its page is zero.
    let start = core::ptr::from_ref(boot) as usize;
    for address in (start + 3864..start + PAGE as usize).step_by(8) {
        // SAFETY: the page is mapped and nobody writes it.
        let word = unsafe { (address as *const u64).read() };
        assert_eq!(word, 0, "word at {address:#x}");
    }
}

fn initial_slots() {
    let expected = [
        (slot::NULL, cap_type::NULL),
        (slot::INIT_THREAD_TCB, cap_type::THREAD),
        (slot::INIT_THREAD_CNODE, cap_type::CNODE),
        (slot::INIT_THREAD_VSPACE, cap_type::VSPACE),
        (slot::IRQ_CONTROL, cap_type::IRQ_CONTROL),
        (slot::ASID_CONTROL, cap_type::ASID_CONTROL),
        (slot::INIT_THREAD_ASID_POOL, cap_type::ASID_POOL),
        (slot::IO_PORT_CONTROL, cap_type::NULL),
        (slot::IO_SPACE, cap_type::NULL),
        (slot::BOOT_INFO_FRAME, cap_type::FRAME),
        (slot::INIT_THREAD_IPC_BUFFER, cap_type::FRAME),
        (slot::DOMAIN, cap_type::DOMAIN),
        (slot::SMMU_SID_CONTROL, cap_type::NULL),
        (slot::SMMU_CB_CONTROL, cap_type::NULL),
        (slot::INIT_THREAD_SC, cap_type::SCHED_CONTEXT),
        (slot::SMC, cap_type::NULL),
    ];
    for (cptr, expected) in expected {
        assert_eq!(kind(SlotPath::in_root(cptr)), expected, "slot {cptr}");
    }
}

fn dynamic_slots(boot: &'static BootInfo) {
    let raw = boot.raw();
    let regions = [
        (raw.user_image_paging, cap_type::PAGE_TABLE),
        (raw.extra_bi_pages, cap_type::FRAME),
        (raw.sched_control, cap_type::SCHED_CONTROL),
        (raw.user_image_frames, cap_type::FRAME),
        (raw.untyped, cap_type::UNTYPED),
        (raw.empty, cap_type::NULL),
    ];
    let mut next = 16;
    for (region, expected) in regions {
        if region.is_empty() {
            continue;
        }
        assert_eq!(region.start, next, "regions follow each other");
        next = region.end;
        for cptr in region.start..region.end {
            assert_eq!(kind(SlotPath::in_root(cptr)), expected, "slot {cptr}");
        }
    }
    assert_eq!(next, 1 << 12);
}

fn image(boot: &'static BootInfo) {
    let raw = boot.raw();
    let frames = raw.user_image_frames;
    let start = raw.ipc_buffer - frames.len() * PAGE;
    let end = raw.ipc_buffer + 2 * PAGE + raw.extra_bi_pages.len() * PAGE;
    let tables = |bits: u32| ((end - 1) >> bits) - (start >> bits) + 1;
    assert_eq!(
        raw.user_image_paging.len(),
        tables(39) + tables(30) + tables(21)
    );

    // Frames are mapped at ascending addresses, and the image is one piece of memory.
    let frame = |i| Cap::<SmallPage>::from_bits(frames.start + i);
    let first = frame(0).get_address().expect("an address");
    for i in 0..frames.len() {
        assert_eq!(frame(i).get_address(), Ok(first + i * PAGE), "frame {i}");
    }
    let attributes = VmAttributes::default();
    let remap = |frame: Cap<SmallPage>, vaddr| {
        frame.map(init::VSPACE, vaddr, CapRights::READ_WRITE, attributes)
    };
    let mapped_elsewhere = Err(Error::InvalidArgument { index: 0 });
    for (frame, vaddr) in [
        (frame(0), start),
        (frame(frames.len() - 1), raw.ipc_buffer - PAGE),
        (init::IPC_BUFFER_FRAME, raw.ipc_buffer),
        (init::BOOT_INFO_FRAME, raw.ipc_buffer + PAGE),
        (
            Cap::from_bits(raw.extra_bi_pages.start),
            raw.ipc_buffer + 2 * PAGE,
        ),
        (Cap::from_bits(raw.extra_bi_pages.end - 1), end - PAGE),
    ] {
        assert_eq!(remap(frame, 0x7000_0000), mapped_elsewhere, "{frame:?}");
        assert_eq!(remap(frame, vaddr), Ok(()), "{frame:?}");
    }
}

fn untypeds(boot: &'static BootInfo) {
    let raw = boot.raw();
    let count = raw.untyped.len() as usize;
    assert!(count <= raw.untyped_list.len());
    assert!(
        raw.untyped_list[..count]
            .iter()
            .all(|entry| entry.padding == [0; 6])
    );
    for entry in &raw.untyped_list[count..] {
        assert_eq!((entry.paddr, entry.size_bits, entry.is_device), (0, 0, 0));
    }
    let (mut seen_memory, mut total) = (false, 0);
    for (index, piece) in boot.untypeds().enumerate() {
        assert!((4..=47).contains(&piece.size_bits), "{piece:?}");
        assert_eq!(piece.paddr % (1 << piece.size_bits), 0, "{piece:?}");
        assert!(!(seen_memory && piece.is_device), "devices come first");
        if piece.is_device {
            assert!(
                piece.end() <= RAM.start || piece.paddr >= RAM.end,
                "{piece:?}"
            );
        } else {
            seen_memory = true;
            total += piece.end() - piece.paddr;
            assert!(
                piece.paddr >= RAM.start && piece.end() <= RAM.end,
                "{piece:?}"
            );
        }
        for other in boot.untypeds().skip(index + 1) {
            assert!(other.end() <= piece.paddr || piece.end() <= other.paddr);
            let ascending = other.is_device != piece.is_device || other.paddr > piece.paddr;
            assert!(!piece.is_device || ascending, "devices ascend");
        }
    }
    let image = raw.user_image_frames.len() * PAGE;
    assert!(total + image < RAM.end - RAM.start);
    assert!(
        total + image > RAM.end - RAM.start - (4 << 20),
        "{total:#x} bytes of memory"
    );

    let device_has = |paddr: u64| {
        boot.untypeds()
            .any(|piece| piece.is_device && (piece.paddr..piece.end()).contains(&paddr))
    };
    assert!(device_has(0x900_0000), "the serial port");
    assert!(device_has(0) && device_has(0x8000_0000));
    assert!(
        !device_has(0x800_0000) && !device_has(0x801_0000),
        "the interrupt controller"
    );
    // Everything but the kernel's devices is there, up to the end of the device range.
    let devices: u64 = boot
        .untypeds()
        .filter(|piece| piece.is_device)
        .map(|piece| piece.end() - piece.paddr)
        .sum();
    let top = boot
        .untypeds()
        .filter(|piece| piece.is_device)
        .map(|piece| piece.end())
        .max();
    let missing = top.unwrap_or(0) - (RAM.end - RAM.start) - devices;
    assert!(
        missing <= 1 << 20,
        "{missing:#x} bytes of devices are missing"
    );
}

fn device_tree(boot: &'static BootInfo) {
    let extra = boot.raw().extra_len as usize;
    assert_eq!(boot.extra().count(), 1, "one chunk");
    let (id, tree) = boot.extra().next().expect("a chunk");
    assert_eq!((id, tree.len() + 16), (6, extra));
    let word = |offset: usize| {
        u32::from_be_bytes([
            tree[offset],
            tree[offset + 1],
            tree[offset + 2],
            tree[offset + 3],
        ])
    };
    assert_eq!(word(0), 0xd00d_feed);
    assert_eq!(word(4) as usize, tree.len());
}
