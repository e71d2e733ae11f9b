//! Makes a root task in the memory of the test process and looks at it as user level would.

extern crate std;

use std::{boxed::Box, panic, vec::Vec};

use sel4_abi::{BootInfo, BootInfoHeader, SlotRegion, UntypedDesc, slot};
use tern_platform::board::Region;

use super::{bench, root::Image};
use crate::{
    access::Kernel,
    arch::{self, host},
    cap::{Cap, FrameRights, PageSize},
    cdt,
    object::{ObjRef, SlotRef, TcbRef, TcbSlot, ThreadState},
    system::System,
    types::{CoreId, PhysAddr},
    vspace,
};

const PAGE: u64 = 4096;
const VADDR: u64 = 0x3fff_f000;
const PAGES: u64 = 5;
const TREE: u64 = 2 * PAGE + 20;

struct Booted {
    k: Kernel<'static>,
    ram: Region,
    image: Image,
    tree: Region,
}

/// Boots with `1 << bits` bytes of dirty RAM, the image and the tree at its start.
fn boot(bits: u32) -> Booted {
    let start = host::memory(bits).0;
    let ram = Region::new(start, start + (1 << bits));
    let bytes = core::ptr::with_exposed_provenance_mut::<u8>(start as usize);
    // SAFETY: the memory is this test's.
    unsafe { bytes.write_bytes(0xa5, 1 << bits) };

    let image = Image {
        memory: Region::new(start, start + PAGES * PAGE),
        offset: start.wrapping_sub(VADDR),
        entry: VADDR + 8,
    };
    let tree = Region::new(image.memory.end, image.memory.end + TREE);
    let system: &'static System = Box::leak(Box::new(System::new()));
    host::set_counter(1000);
    let k = bench::boot(system, ram, image, tree, 1 << 44);
    Booted {
        k,
        ram,
        image,
        tree,
    }
}

impl Booted {
    fn tcb(&self) -> TcbRef {
        let (priority, tcb) = self.k.this().ready.highest().expect("a ready thread");
        assert_eq!(priority, 255);
        tcb
    }

    fn slot(&self, index: u64) -> SlotRef {
        let Cap::CNode {
            base,
            radix,
            guard,
            guard_size,
        } = self.k.get(self.tcb().slot(TcbSlot::CSpace)).cap()
        else {
            panic!("no CSpace");
        };
        assert_eq!((radix + guard_size, guard), (64, 0));
        base.nth(index as usize)
    }

    fn cap(&self, index: u64) -> Cap {
        self.k.get(self.slot(index)).cap()
    }

    fn caps(&self, region: SlotRegion) -> Vec<Cap> {
        (region.start..region.end)
            .map(|index| self.cap(index))
            .collect()
    }

    /// What the initial thread finds at a virtual address.
    fn physical(&self, vaddr: u64) -> PhysAddr {
        let Cap::VSpace {
            root,
            asid: Some(asid),
        } = self.cap(slot::INIT_THREAD_VSPACE)
        else {
            panic!("no VSpace");
        };
        assert_eq!(
            (asid.number(), vspace::find_root(&self.k, asid)),
            (1, Some(root))
        );
        let place = vspace::walk(&self.k, root, vaddr);
        match place.read(&self.k).target(place.level) {
            vspace::entry::Target::Page(base) => base.offset(vaddr % PAGE),
            other => panic!("{vaddr:#x} leads to {other:?}"),
        }
    }

    fn info(&self) -> &BootInfo {
        let vaddr = self.k.get(self.tcb().context()).x[0];
        self.k
            .get(ObjRef::from_address(arch::to_virtual(self.physical(vaddr))))
    }
}

#[test]
fn the_thread_is_ready_with_its_spaces() {
    let booted = boot(21);
    let (k, tcb) = (&booted.k, booted.tcb());
    assert_eq!(booted.cap(slot::INIT_THREAD_TCB), Cap::Thread { tcb });
    let thread = k.get(tcb);
    assert_eq!(
        (thread.priority, thread.mcp, thread.state),
        (255, 255, ThreadState::Restart)
    );
    let context = k.get(tcb.context());
    let end = VADDR + PAGES * PAGE;
    assert_eq!((context.fault_ip, context.x[0]), (VADDR + 8, end + PAGE));
    assert_eq!(
        (context.sp, context.tpidr, context.spsr),
        (0, 0, arch::USER_SPSR)
    );
    assert!(context.x[1..].iter().all(|&register| register == 0));
    assert_eq!(&k.get(tcb.name()).0[..11], b"rootserver\0");
    assert_eq!(thread.buffer_address, end);
    for (copy, original) in [
        (TcbSlot::CSpace, slot::INIT_THREAD_CNODE),
        (TcbSlot::VSpace, slot::INIT_THREAD_VSPACE),
    ] {
        assert_eq!(k.get(tcb.slot(copy)).cap(), booted.cap(original));
        assert_eq!(
            cdt::first_child(k, booted.slot(original)),
            Some(tcb.slot(copy))
        );
    }
    assert!(matches!(
        (k.get(tcb.slot(TcbSlot::IpcBuffer)).cap(), booted.cap(slot::INIT_THREAD_IPC_BUFFER)),
        (Cap::Frame { base: a, mapping: None, .. }, Cap::Frame { base: b, mapping: Some(_), .. })
            if a == b && a == booted.physical(end)
    ));
    for handler in [TcbSlot::FaultHandler, TcbSlot::TimeoutHandler] {
        assert!(k.get(tcb.slot(handler)).is_empty());
    }

    let sc = thread.sc.expect("a scheduling context");
    assert_eq!(
        booted.cap(slot::INIT_THREAD_SC),
        Cap::SchedContext { sc, bits: 7 }
    );
    let refills: Vec<_> = k
        .refills_ref(sc)
        .iter()
        .map(|r| (r.time, r.amount))
        .collect();
    assert_eq!(
        refills,
        [(1000, k.machine().limits.us_to_ticks(5000)), (1000, 0)]
    );
}

#[test]
fn fixed_slots_hold_what_the_interface_says() {
    let booted = boot(21);
    assert_eq!(booted.cap(slot::IRQ_CONTROL), Cap::IrqControl);
    assert_eq!(booted.cap(slot::ASID_CONTROL), Cap::AsidControl);
    assert_eq!(booted.cap(slot::DOMAIN), Cap::Domain);
    assert!(matches!(
        booted.cap(slot::INIT_THREAD_ASID_POOL),
        Cap::AsidPool { pool, index: 0 } if booted.k.shared().asids.pools[0] == Some(pool)
    ));
    for empty in [
        slot::NULL,
        slot::IO_PORT_CONTROL,
        slot::IO_SPACE,
        slot::SMMU_SID_CONTROL,
        slot::SMMU_CB_CONTROL,
        slot::SMC,
    ] {
        assert!(booted.cap(empty).is_null(), "slot {empty}");
    }
}

#[test]
fn boot_information_lists_everything_in_order() {
    let booted = boot(21);
    let info = booted.info();
    let cores = booted.k.num_cores() as u64;
    assert_eq!((info.node_id, info.num_nodes), (0, cores));
    assert_eq!(info.extra_len, 16 + TREE);
    assert_eq!(
        (info.init_thread_cnode_size_bits, info.init_thread_domain),
        (12, 0)
    );
    assert_eq!((info.shared_frames, info.io_space_caps), Default::default());
    let lengths = [
        // The image begins in the last page below 1 GiB and goes on above it: one table, then two, then two.
        (info.user_image_paging, 5),
        (info.extra_bi_pages, 3),
        (info.sched_control, cores),
        (info.user_image_frames, PAGES),
        (info.untyped, info.untyped.len()),
        (info.empty, 4096 - info.empty.start),
    ];
    let mut next = 16;
    for (region, length) in lengths {
        assert_eq!((region.start, region.len()), (next, length));
        next = region.end;
    }
    assert_eq!(next, 4096);
    assert!(booted.caps(info.empty).iter().all(Cap::is_null));
    for (core, cap) in booted.caps(info.sched_control).into_iter().enumerate() {
        assert_eq!(
            cap,
            Cap::SchedControl {
                core: CoreId(core as u16)
            }
        );
    }
    let tables = booted.caps(info.user_image_paging);
    let at: Vec<u64> = tables
        .iter()
        .map(|cap| match cap {
            Cap::PageTable {
                mapping: Some(mapping),
                ..
            } => mapping.vaddr,
            other => panic!("{other:?}"),
        })
        .collect();
    assert_eq!(at, [0, 0, 1 << 30, 0x3fe0_0000, 1 << 30]);
}

#[test]
fn frames_are_mapped_where_they_say() {
    let booted = boot(21);
    let info = booted.info();
    let boot_info = booted.k.get(booted.tcb().context()).x[0];
    let mut expected: Vec<(Cap, u64)> = Vec::new();
    for (number, cap) in booted.caps(info.user_image_frames).into_iter().enumerate() {
        let vaddr = VADDR + number as u64 * PAGE;
        expected.push((cap, vaddr));
        let base = PhysAddr(booted.image.memory.start + number as u64 * PAGE);
        assert_eq!(booted.physical(vaddr), base);
    }
    expected.push((booted.cap(slot::INIT_THREAD_IPC_BUFFER), info.ipc_buffer));
    expected.push((booted.cap(slot::BOOT_INFO_FRAME), boot_info));
    for (number, cap) in booted.caps(info.extra_bi_pages).into_iter().enumerate() {
        expected.push((cap, boot_info + (1 + number as u64) * PAGE));
    }
    for (cap, vaddr) in expected {
        let Cap::Frame {
            base,
            size,
            rights,
            device,
            mapping: Some(mapping),
        } = cap
        else {
            panic!("{cap:?}");
        };
        assert_eq!((base, mapping.vaddr), (booted.physical(vaddr), vaddr));
        assert_eq!(
            (size, rights, device),
            (PageSize::Small, FrameRights::ReadWrite, false)
        );
    }
}

#[test]
fn the_device_tree_is_behind_the_boot_information() {
    let booted = boot(21);
    let info = booted.k.get(booted.tcb().context()).x[0];
    let at = booted.physical(info + PAGE);
    let header: &BootInfoHeader = booted.k.get(ObjRef::from_address(arch::to_virtual(at)));
    assert_eq!((header.id, header.len), (6, 16 + TREE));
    let bytes = |start: u64, length: u64| -> &[u8] {
        let start = core::ptr::with_exposed_provenance(start as usize);
        // SAFETY: memory of this test that nobody writes now; the pages are one piece.
        unsafe { core::slice::from_raw_parts(start, length as usize) }
    };
    let copy = bytes(at.0 + 16, 3 * PAGE - 16);
    assert_eq!(&copy[..TREE as usize], bytes(booted.tree.start, TREE));
    assert!(copy[TREE as usize..].iter().all(|&byte| byte == 0));
}

#[test]
fn untypeds_are_devices_first_and_share_nothing_with_the_rest() {
    let booted = boot(21);
    let info = booted.info();
    let list = &info.untyped_list[..info.untyped.len() as usize];
    let device_count = list.iter().filter(|desc| desc.is_device == 1).count();
    assert!(device_count > 0 && device_count < list.len());
    assert!(list[..device_count].iter().all(|desc| desc.is_device == 1));
    assert!(
        info.untyped_list[list.len()..]
            .iter()
            .all(|desc| *desc == UntypedDesc::default())
    );

    let mut taken = Vec::new();
    for (desc, cap) in list.iter().zip(booted.caps(info.untyped)) {
        let (base, bits) = (PhysAddr(desc.paddr), desc.size_bits);
        let device = desc.is_device == 1;
        assert_eq!(
            cap,
            Cap::Untyped {
                base,
                bits,
                device,
                free: 1 << bits
            }
        );
        assert!(base.0.is_multiple_of(1 << bits) && bits >= 4);
        taken.push(Region::new(base.0, base.0 + (1 << bits)));
        assert_eq!(booted.ram.overlaps(taken.last().unwrap()), !device);
    }
    taken.extend([
        booted.image.memory,
        booted.tree,
        Region::new(0x800_0000, 0x801_0000),
    ]);
    for index in info.user_image_paging.start..info.user_image_frames.start {
        let base = match booted.cap(index) {
            Cap::PageTable { table, .. } => arch::to_physical(table.address()),
            Cap::Frame { base, .. } => base,
            _ => continue,
        };
        taken.push(Region::new(base.0, base.0 + PAGE));
    }
    let tcb = booted.tcb().object() as u64;
    taken.push(Region::new(tcb, tcb + 2048));
    taken.sort();
    for pair in taken.windows(2) {
        assert!(!pair[0].overlaps(&pair[1]), "{} and {}", pair[0], pair[1]);
    }
}

#[test]
fn what_does_not_fit_is_said() {
    for bits in [16, 17] {
        assert!(panic::catch_unwind(|| boot(bits)).is_err());
    }
}
