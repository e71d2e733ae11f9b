//! The boot information and the initial capability space are as the interface says: every field, every slot, where things
//! are mapped and how, the device tree.
//!
//! cpu: cortex-a53 cortex-a72 max

#![no_std]
#![no_main]

use core::mem::{offset_of, size_of};
use core::sync::atomic::AtomicU64;

use libsel4::abi::{USER_TOP, cap_type, slot};
use libsel4::machine::Machine;
use libsel4::{
    BootInfo, Cap, CapRights, Error, PageTable, SlotPath, SmallPage, System, UserContext,
    VmAttributes, init, root_task,
};
use tern_target_tests::builds::processors;
use tern_target_tests::objects::{Puppet, kind};
use tern_target_tests::rows::{row, rows};

root_task!(main);

const PAGE: u64 = 4096;

fn main(boot: &'static BootInfo) {
    layout();
    fields(boot);
    initial_slots();
    dynamic_slots(boot);
    // Before anything is mapped again.
    rights(boot);
    image(boot);
    device_tree(boot);
}

/// Where the fields are.
fn layout() {
    use libsel4::abi::{BootInfo, UntypedDesc};
    row("boot.info.layout");
    let offsets = [
        offset_of!(BootInfo, extra_len),
        offset_of!(BootInfo, node_id),
        offset_of!(BootInfo, num_nodes),
        offset_of!(BootInfo, num_iopt_levels),
        offset_of!(BootInfo, ipc_buffer),
        offset_of!(BootInfo, empty),
        offset_of!(BootInfo, shared_frames),
        offset_of!(BootInfo, user_image_frames),
        offset_of!(BootInfo, user_image_paging),
        offset_of!(BootInfo, io_space_caps),
        offset_of!(BootInfo, extra_bi_pages),
        offset_of!(BootInfo, init_thread_cnode_size_bits),
        offset_of!(BootInfo, init_thread_domain),
        offset_of!(BootInfo, sched_control),
        offset_of!(BootInfo, untyped),
        offset_of!(BootInfo, untyped_list),
    ];
    let expected = [
        0, 8, 16, 24, 32, 40, 56, 72, 88, 104, 120, 136, 144, 152, 168, 184,
    ];
    assert_eq!(offsets, expected);
    let entry = [
        offset_of!(UntypedDesc, paddr),
        offset_of!(UntypedDesc, size_bits),
        offset_of!(UntypedDesc, is_device),
        size_of::<UntypedDesc>(),
    ];
    assert_eq!(entry, [0, 8, 9, 16]);
    assert_eq!(size_of::<BootInfo>(), 3864);
}

fn fields(boot: &'static BootInfo) {
    let raw = boot.raw();
    rows(&["boot.info.node", "boot.info.nodes", "boot.info.absent"]);
    assert_eq!(raw.node_id, 0);
    assert_eq!(raw.num_nodes, processors(boot));
    assert_eq!(raw.num_iopt_levels, 0);
    rows(&["boot.info.ipc-buffer", "boot.layout.boot-info"]);
    assert_eq!(raw.ipc_buffer + PAGE, core::ptr::from_ref(boot) as u64);
    row("boot.info.absent");
    assert_eq!((raw.shared_frames.start, raw.shared_frames.end), (0, 0));
    assert_eq!((raw.io_space_caps.start, raw.io_space_caps.end), (0, 0));
    rows(&["boot.info.cnode-bits", "boot.info.domain"]);
    assert_eq!(raw.init_thread_cnode_size_bits, 12);
    assert_eq!(raw.init_thread_domain, 0);
    rows(&["boot.info.sched-control", "boot.info.extra-pages"]);
    assert_eq!(raw.sched_control.len(), raw.num_nodes);
    assert_eq!(raw.extra_bi_pages.len(), raw.extra_len.div_ceil(PAGE));
    row("boot.info.rest-zero");
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
    rows(&["boot.slots.fixed", "boot.slots.absent"]);
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
    rows(&[
        "boot.slots.order",
        "boot.info.paging",
        "boot.info.image-frames",
        "boot.info.untyped",
        "boot.info.empty",
    ]);
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

    // A capability address is the number of a slot: the guard is the rest of the word, and zero.
    row("boot.slots.guard");
    let beyond = [1 << 12, 1 << 13 | 1, 1 << 63 | 1];
    for cptr in beyond {
        assert_eq!(kind(SlotPath::in_root(cptr)), 0, "{cptr:#x}");
    }
    // Each SchedControl is that of its core.
    row("boot.slots.sched-control");
    for core in 0..boot.cores() {
        let sc = init::SCHED_CONTEXT;
        let at = |index| libsel4::SchedControl::at(raw.sched_control.start + index as u64);
        assert_eq!(at(core), boot.sched_control(core));
        at(core).configure(sc, 5_000, 5_000, 0, 0).expect("moved");
        assert_eq!(libsel4::debug::thread_affinity(init::TCB), Some(core));
    }
    let home = boot.sched_control(0);
    home.configure(init::SCHED_CONTEXT, 5_000, 5_000, 0, 0)
        .expect("moved");
}

fn image(boot: &'static BootInfo) {
    let raw = boot.raw();
    let frames = raw.user_image_frames;
    let start = raw.ipc_buffer - frames.len() * PAGE;
    let end = raw.ipc_buffer + 2 * PAGE + raw.extra_bi_pages.len() * PAGE;
    let tables = |bits: u32| ((end - 1) >> bits) - (start >> bits) + 1;
    row("boot.layout.tables");
    assert_eq!(
        raw.user_image_paging.len(),
        tables(39) + tables(30) + tables(21)
    );
    // Each is mapped, and so cannot be mapped again.
    for cptr in raw.user_image_paging.start..raw.user_image_paging.end {
        let seen = PageTable::at(cptr).map(init::VSPACE, 0, VmAttributes::default());
        assert_eq!(seen, Err(Error::InvalidCapability { index: 0 }), "{cptr}");
    }
    row("boot.layout.below-top");
    assert!(end <= USER_TOP);

    rows(&["boot.layout.image", "boot.slots.mapped"]);
    // Frames are mapped at ascending addresses, and the image is one piece of memory.
    let frame = |i| Cap::<SmallPage>::from_bits(frames.start + i);
    let first = frame(0).get_address().expect("an address");
    for i in 0..frames.len() {
        assert_eq!(frame(i).get_address(), Ok(first + i * PAGE), "frame {i}");
    }
    rows(&[
        "boot.layout.image",
        "boot.layout.ipc-buffer",
        "boot.layout.boot-info",
        "boot.layout.extra",
        "boot.slots.mapped",
    ]);
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

fn device_tree(boot: &'static BootInfo) {
    rows(&[
        "boot.extra.chunk",
        "boot.info.extra-len",
        "boot.extra.place",
    ]);
    let extra = boot.raw().extra_len as usize;
    let start = core::ptr::from_ref(boot) as usize + 4096;
    assert_eq!(boot.extra().count(), 1, "one chunk");
    let (id, tree) = boot.extra().next().expect("a chunk");
    assert_eq!((id, tree.len() + 16), (6, extra));
    assert_eq!(tree.as_ptr() as usize, start + 16);
    row("boot.extra.tree");
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
    let machine = Machine::from_device_tree(tree).expect("a readable one");
    assert_eq!(machine.model, "linux,dummy-virt");
}

/// What may be done with the pages: all are for reading and writing. The image and the extra pages may be executed.
fn rights(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let puppet = Puppet::new(&mut system, 0, 100);
    let info = core::ptr::from_ref(boot) as u64;
    let fault_at = |pc| {
        let fault = puppet.run_to_fault(&UserContext {
            pc,
            ..UserContext::default()
        });
        (fault.label, fault.words[0])
    };
    // Zero is an undefined instruction, a permission fault is one of memory.
    rows(&["boot.layout.ipc-buffer", "boot.layout.boot-info"]);
    assert_eq!(fault_at(info - PAGE), (6, info - PAGE));
    assert_eq!(fault_at(info), (6, info));
    // The chunk's number is an undefined instruction as well.
    row("boot.layout.extra");
    assert_eq!(fault_at(info + PAGE), (3, info + PAGE));
    row("boot.layout.image");
    let data = &raw const WORD as u64;
    assert_eq!(fault_at(data), (3, data), "data may be executed");
    for address in [data, info - 8, info + PAGE - 8, info + PAGE] {
        let word = address as *mut u64;
        // SAFETY: a static of this test, the end of the page with the buffer, the end of the page with the boot
        // information, which is not in use, and the head of the extra boot information, which is put back.
        let old = unsafe { word.read_volatile() };
        // SAFETY: likewise.
        unsafe { word.write_volatile(old ^ 1) };
        // SAFETY: likewise.
        assert_eq!(unsafe { word.read_volatile() }, old ^ 1, "{address:#x}");
        // SAFETY: likewise.
        unsafe { word.write_volatile(old) };
    }
}

/// Two undefined instructions, as data.
static WORD: AtomicU64 = AtomicU64::new(0);
