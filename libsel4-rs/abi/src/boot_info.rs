//! What the root task finds: the boot information page and its initial capabilities.

/// The most untyped capabilities listed.
pub const MAX_BOOT_INFO_UNTYPEDS: usize = 230;
/// The first slot after the fixed ones.
pub const INITIAL_SLOTS: u64 = 16;

/// Slots of the root CNode with a fixed meaning.
pub mod slot {
    pub const NULL: u64 = 0;
    pub const INIT_THREAD_TCB: u64 = 1;
    pub const INIT_THREAD_CNODE: u64 = 2;
    pub const INIT_THREAD_VSPACE: u64 = 3;
    pub const IRQ_CONTROL: u64 = 4;
    pub const ASID_CONTROL: u64 = 5;
    pub const INIT_THREAD_ASID_POOL: u64 = 6;
    pub const IO_PORT_CONTROL: u64 = 7;
    pub const IO_SPACE: u64 = 8;
    pub const BOOT_INFO_FRAME: u64 = 9;
    pub const INIT_THREAD_IPC_BUFFER: u64 = 10;
    pub const DOMAIN: u64 = 11;
    pub const SMMU_SID_CONTROL: u64 = 12;
    pub const SMMU_CB_CONTROL: u64 = 13;
    pub const INIT_THREAD_SC: u64 = 14;
    pub const SMC: u64 = 15;
}

/// Consecutive slots of the root CNode; `end` is one past the last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct SlotRegion {
    pub start: u64,
    pub end: u64,
}

impl SlotRegion {
    pub const fn len(&self) -> u64 {
        self.end - self.start
    }

    pub const fn is_empty(&self) -> bool {
        self.start == self.end
    }
}

/// One untyped: where it is, how large, and whether it is device memory.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
#[repr(C)]
pub struct UntypedDesc {
    pub paddr: u64,
    pub size_bits: u8,
    pub is_device: u8,
    pub padding: [u8; 6],
}

/// The boot information. One 4 KiB page; the extra boot information follows 4096 bytes after its start.
#[derive(Clone, Copy, Debug)]
#[repr(C)]
pub struct BootInfo {
    /// Bytes of extra boot information.
    pub extra_len: u64,
    pub node_id: u64,
    /// Cores that came up.
    pub num_nodes: u64,
    pub num_iopt_levels: u64,
    /// Virtual address of the root task's IPC buffer.
    pub ipc_buffer: u64,
    pub empty: SlotRegion,
    pub shared_frames: SlotRegion,
    pub user_image_frames: SlotRegion,
    pub user_image_paging: SlotRegion,
    pub io_space_caps: SlotRegion,
    pub extra_bi_pages: SlotRegion,
    pub init_thread_cnode_size_bits: u64,
    pub init_thread_domain: u64,
    /// One capability for each core, in order.
    pub sched_control: SlotRegion,
    pub untyped: SlotRegion,
    pub untyped_list: [UntypedDesc; MAX_BOOT_INFO_UNTYPEDS],
}

/// Heads each chunk of the extra boot information.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(C)]
pub struct BootInfoHeader {
    pub id: u64,
    /// Bytes with this header.
    pub len: u64,
}

/// Kinds of extra boot information.
pub mod boot_info_id {
    pub const PADDING: u64 = 0;
    /// The device tree blob, verbatim.
    pub const FDT: u64 = 6;
}

const _: () = assert!(size_of::<BootInfo>() == 3864);
const _: () = assert!(size_of::<UntypedDesc>() == 16);
const _: () = assert!(core::mem::offset_of!(BootInfo, ipc_buffer) == 32);
const _: () = assert!(core::mem::offset_of!(BootInfo, init_thread_cnode_size_bits) == 136);
const _: () = assert!(core::mem::offset_of!(BootInfo, sched_control) == 152);
const _: () = assert!(core::mem::offset_of!(BootInfo, untyped_list) == 184);
