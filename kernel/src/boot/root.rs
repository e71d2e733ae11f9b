//! The root task: its address space, thread, capabilities and boot information.
//!
//! Everything the interface says about the initial environment is made here, from memory at the top of RAM; what is
//! left becomes untypeds. All of it is zeroed first: boot does not know what was there before. None of it belongs to
//! an untyped, so revoking cannot reclaim it.
//!
//! Boot runs once: its helpers are kept from being inlined, for the sake of the kernel's size.

#![allow(unsafe_code, reason = "copies the device tree")]

use core::ops::Range;

use sel4_abi::{
    BootInfo, BootInfoHeader, INITIAL_SLOTS, MAX_BOOT_INFO_UNTYPEDS, MAX_PRIORITY, SlotRegion,
    USER_TOP, UntypedDesc, VmAttributes, boot_info_id, size_bits, slot,
};
use tern_platform::board::Region;

use super::memory::{Memory, cut};
use crate::{
    access::Kernel,
    arch,
    cap::{Asid, Cap, FrameRights, Mapping, PageSize},
    cdt,
    config::{BOOT_THREAD_TIME_SLICE, ROOT_CNODE_SIZE_BITS},
    derive, invoke,
    object::{
        AsidPool, Exclusive, ObjRef, Object, ScRef, SchedContext, SlotRef, TableRef, TcbRef,
        TcbSlot,
    },
    sched,
    types::{CoreId, PhysAddr},
    vspace::{
        self,
        entry::{Entry, Level},
    },
};

const PAGE: u64 = 1 << size_bits::SMALL_PAGE;

impl Object for BootInfo {}
impl Exclusive for BootInfo {}
impl Object for BootInfoHeader {}
impl Exclusive for BootInfoHeader {}

/// The root task's program as the loader left it in memory.
#[derive(Clone, Copy, Debug)]
pub struct Image {
    /// Whole pages.
    pub memory: Region,
    /// Physical minus virtual address.
    pub offset: u64,
    /// Virtual address of the first instruction.
    pub entry: u64,
}

/// Where things are in the root task's address space: the image, then three kinds of pages behind it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Layout {
    image: Region,
    ipc_buffer: u64,
    boot_info: u64,
    extra: Region,
}

impl Layout {
    /// `extra` bytes of further boot information. None if it does not fit below the end of user space.
    fn new(image: &Image, extra: u64) -> Option<Self> {
        let start = image.memory.start.wrapping_sub(image.offset);
        let ipc_buffer = start.checked_add(image.memory.len())?;
        let boot_info = ipc_buffer.checked_add(PAGE)?;
        let extra = Region::sized(boot_info.checked_add(PAGE)?, extra.next_multiple_of(PAGE))?;
        let aligned = start.is_multiple_of(PAGE) && image.memory.len().is_multiple_of(PAGE);
        let fits = aligned && extra.end <= USER_TOP + 1;
        fits.then_some(Self {
            image: Region::new(start, ipc_buffer),
            ipc_buffer,
            boot_info,
            extra,
        })
    }

    fn all(&self) -> Region {
        Region::new(self.image.start, self.extra.end)
    }

    /// How many tables the whole needs under the root, by level.
    fn tables(&self) -> [u64; 3] {
        TABLE_BITS.map(|bits| ((self.all().end - 1) >> bits) - (self.all().start >> bits) + 1)
    }
}

/// Log of the bytes that one table of the levels 1, 2 and 3 covers.
const TABLE_BITS: [u32; 3] = [39, 30, 21];

fn pages(region: Region) -> impl Iterator<Item = u64> {
    (region.start..region.end).step_by(PAGE as usize)
}

/// Makes the root task, ready to run on this core. `tree` is the device tree blob, empty if there is none.
///
/// # Panics
/// With a clear message, if the root task does not fit.
pub fn create(k: &mut Kernel<'_>, image: Image, tree: Region, memory: Memory) {
    let header = size_of::<BootInfoHeader>() as u64;
    let extra_len = if tree.is_empty() {
        0
    } else {
        header + tree.len()
    };
    let Some(layout) = Layout::new(&image, extra_len) else {
        panic!("the root task ends above user space, or is not made of whole pages");
    };
    let frames = image.memory.len() / PAGE;
    let tables: u64 = layout.tables().iter().sum();
    let fixed = tables + layout.extra.len() / PAGE + k.num_cores() as u64 + frames;
    let slots = 1u64 << ROOT_CNODE_SIZE_BITS;
    assert!(
        INITIAL_SLOTS + fixed <= slots,
        "the root task is too large: it needs {} initial capabilities and has {slots} slots",
        INITIAL_SLOTS + fixed
    );
    let mut builder = Builder::new(k, memory);
    builder.paging(&layout);
    builder.boot_information(&layout, tree, extra_len);
    builder.sched_controls();
    builder.image_frames(&layout, image.memory);
    builder.control_caps();
    builder.thread(&layout, image.entry);
    builder.untypeds();
}

/// The root task in the making.
struct Builder<'k, 'l> {
    k: &'k mut Kernel<'l>,
    memory: Memory,
    cnode: SlotRef,
    vspace: TableRef,
    info: ObjRef<BootInfo>,
    next_slot: u64,
}

/// The root task's ASID: the first there is.
const ASID: u16 = 1;

fn asid() -> Asid {
    Asid::new(ASID).expect("not zero")
}

impl<'k, 'l> Builder<'k, 'l> {
    /// Takes what everything else needs: capability space, address space, ASID, boot information.
    fn new(k: &'k mut Kernel<'l>, mut memory: Memory) -> Self {
        let cnode_bits = ROOT_CNODE_SIZE_BITS as u32 + size_bits::SLOT as u32;
        let cnode = SlotRef::from_address(allocate(k, &mut memory, cnode_bits));
        let vspace = TableRef::from_address(allocate(k, &mut memory, size_bits::VSPACE as u32));
        let info = allocate(k, &mut memory, size_bits::SMALL_PAGE as u32);
        let pool: ObjRef<AsidPool> =
            ObjRef::from_address(allocate(k, &mut memory, size_bits::ASID_POOL as u32));
        k.shared_mut().asids.pools[0] = Some(pool);
        vspace::set_root(k, asid(), Some(vspace));

        let info = ObjRef::from_address(info);
        let mut this = Self {
            k,
            memory,
            cnode,
            vspace,
            info,
            next_slot: INITIAL_SLOTS,
        };
        let radix = ROOT_CNODE_SIZE_BITS as u8;
        let guard_size = 64 - radix;
        this.put(
            slot::INIT_THREAD_CNODE,
            Cap::CNode {
                base: cnode,
                radix,
                guard: 0,
                guard_size,
            },
        );
        this.put(
            slot::INIT_THREAD_VSPACE,
            Cap::VSpace {
                root: vspace,
                asid: Some(asid()),
            },
        );
        this.put(
            slot::INIT_THREAD_ASID_POOL,
            Cap::AsidPool { pool, index: 0 },
        );
        this
    }

    fn take(&mut self, bits: u64) -> usize {
        allocate(self.k, &mut self.memory, bits as u32)
    }

    fn slot(&self, index: u64) -> SlotRef {
        self.cnode.nth(index as usize)
    }

    #[inline(never)]
    fn put(&mut self, index: u64, cap: Cap) {
        cdt::insert_root(self.k, cap, self.slot(index));
    }

    fn put_next(&mut self, cap: Cap) {
        self.put(self.next_slot, cap);
        self.next_slot += 1;
    }

    /// The slots filled since `start`.
    fn since(&self, start: u64) -> SlotRegion {
        SlotRegion {
            start,
            end: self.next_slot,
        }
    }

    fn info(&mut self) -> &mut BootInfo {
        self.k.get_mut(self.info)
    }

    /// All translation tables, upper levels first, by ascending address.
    fn paging(&mut self, layout: &Layout) {
        let start = self.next_slot;
        let all = layout.all();
        for bits in TABLE_BITS {
            for number in all.start >> bits..=(all.end - 1) >> bits {
                let vaddr = number << bits;
                let table = TableRef::from_address(self.take(size_bits::PAGE_TABLE));
                let place = vspace::table_place(self.k, self.vspace, vaddr);
                let place = place.expect("a place for the table: the levels above are there");
                vspace::set_table(self.k, place, table);
                let mapping = Some(Mapping {
                    asid: asid(),
                    vaddr,
                });
                self.put_next(Cap::PageTable { table, mapping });
            }
        }
        self.info().user_image_paging = self.since(start);
    }

    /// Maps a page, read-write; the capability for it.
    #[inline(never)]
    fn map(&mut self, base: PhysAddr, vaddr: u64, execute: bool) -> Cap {
        let (size, rights) = (PageSize::Small, FrameRights::ReadWrite);
        let never = if execute {
            VmAttributes::empty()
        } else {
            VmAttributes::EXECUTE_NEVER
        };
        let entry = Entry::page(base, size, rights, VmAttributes::default() | never);
        let place = vspace::walk(self.k, self.vspace, vaddr);
        debug_assert!(place.level == Level::LAST);
        let mapping = Mapping {
            asid: asid(),
            vaddr,
        };
        vspace::set_page(self.k, place, mapping, entry);
        Cap::Frame {
            base,
            size,
            rights,
            device: false,
            mapping: Some(mapping),
        }
    }

    /// The boot information page, the pages behind it with the device tree, and the IPC buffer.
    fn boot_information(&mut self, layout: &Layout, tree: Region, extra_len: u64) {
        let cap = self.map(
            arch::to_physical(self.info.address()),
            layout.boot_info,
            false,
        );
        self.put(slot::BOOT_INFO_FRAME, cap);
        let buffer = self.take(size_bits::SMALL_PAGE);
        let cap = self.map(arch::to_physical(buffer), layout.ipc_buffer, false);
        self.put(slot::INIT_THREAD_IPC_BUFFER, cap);

        let start = self.next_slot;
        let mut extra_bi_pages = SlotRegion::default();
        if extra_len > 0 {
            self.extra_pages(layout, tree, extra_len);
            extra_bi_pages = self.since(start);
        }
        let num_nodes = self.k.num_cores() as u64;
        let info = self.info();
        info.extra_len = extra_len;
        info.num_nodes = num_nodes;
        info.ipc_buffer = layout.ipc_buffer;
        info.extra_bi_pages = extra_bi_pages;
        info.init_thread_cnode_size_bits = ROOT_CNODE_SIZE_BITS as u64;
    }

    fn extra_pages(&mut self, layout: &Layout, tree: Region, extra_len: u64) {
        // One piece, since the copy is: as large as the next power of two, of which the rest is given back.
        let bits = layout.extra.len().next_power_of_two().ilog2();
        let Some(start) = self.memory.take(bits) else {
            no_room("the device tree")
        };
        let used = layout.extra.len();
        let rest = Region::new(start + used, start + (1 << bits));
        self.memory.ram.add(rest).expect("as many pieces as before");
        self.k.clear(PhysAddr(start), used);

        let header = BootInfoHeader {
            id: boot_info_id::FDT,
            len: extra_len,
        };
        let at = arch::to_virtual(PhysAddr(start));
        self.k.place(ObjRef::from_address(at), header);
        let from = arch::to_virtual(PhysAddr(tree.start));
        let to = at + size_of::<BootInfoHeader>();
        // SAFETY: the blob is RAM that nobody writes any more; the pages are new, and long enough by `extra_len`.
        unsafe { arch::copy_memory(from, to, tree.len() as usize) };
        for (number, vaddr) in pages(layout.extra).enumerate() {
            let base = PhysAddr(start + number as u64 * PAGE);
            let cap = self.map(base, vaddr, true);
            self.put_next(cap);
        }
    }

    fn sched_controls(&mut self) {
        let start = self.next_slot;
        for core in self.k.cores() {
            self.put_next(Cap::SchedControl { core });
        }
        self.info().sched_control = self.since(start);
    }

    fn image_frames(&mut self, layout: &Layout, memory: Region) {
        let start = self.next_slot;
        for (vaddr, base) in pages(layout.image).zip(pages(memory)) {
            let cap = self.map(PhysAddr(base), vaddr, true);
            self.put_next(cap);
        }
        self.info().user_image_frames = self.since(start);
    }

    fn control_caps(&mut self) {
        self.put(slot::IRQ_CONTROL, Cap::IrqControl);
        self.put(slot::ASID_CONTROL, Cap::AsidControl);
        self.put(slot::DOMAIN, Cap::Domain);
    }

    /// The initial thread with its scheduling context, ready to run.
    fn thread(&mut self, layout: &Layout, entry: u64) {
        let tcb = TcbRef::from_object(self.take(size_bits::TCB));
        invoke::untyped::new_thread(self.k, tcb);
        self.put(slot::INIT_THREAD_TCB, Cap::Thread { tcb });
        for (from, to) in [
            (slot::INIT_THREAD_CNODE, TcbSlot::CSpace),
            (slot::INIT_THREAD_VSPACE, TcbSlot::VSpace),
            (slot::INIT_THREAD_IPC_BUFFER, TcbSlot::IpcBuffer),
        ] {
            let source = self.slot(from);
            let cap = self.k.get(source).raw();
            let cap = derive::derive(self.k, source, cap).expect("an initial capability");
            cdt::insert(self.k, cap, source, tcb.slot(to));
        }
        let thread = self.k.get_mut(tcb);
        thread.priority = MAX_PRIORITY;
        thread.mcp = MAX_PRIORITY;
        thread.buffer_address = layout.ipc_buffer;
        let context = self.k.get_mut(tcb.context());
        context.x[0] = layout.boot_info;
        context.next_ip = entry;
        context.fault_ip = entry;
        let name = b"rootserver";
        self.k.get_mut(tcb.name()).0[..name.len()].copy_from_slice(name);

        let sc = self.scheduling_context();
        sched::context::bind(self.k, sc, tcb);
        sched::resume_thread(self.k, tcb);
    }

    /// A round-robin time slice on the boot core.
    fn scheduling_context(&mut self) -> ScRef {
        let bits = size_bits::MIN_SCHED_CONTEXT;
        let sc = ScRef::from_address(self.take(bits));
        self.k.place(sc, SchedContext::new(bits as u8));
        self.put(
            slot::INIT_THREAD_SC,
            Cap::SchedContext {
                sc,
                bits: bits as u8,
            },
        );
        let now = arch::counter();
        self.k.this_mut().now = now;
        let budget = self
            .k
            .machine()
            .limits
            .us_to_ticks(BOOT_THREAD_TIME_SLICE as u64 * 1000);
        self.k
            .refills(sc)
            .round_robin(budget, mcs::max_refills(bits as u8) as u32, now);
        debug_assert!(self.k.get(sc.core()).get() == CoreId::BOOT);
        sc
    }

    /// What is left of the address space, devices before RAM. What no longer fits into the list is lost.
    fn untypeds(&mut self) {
        let start = self.next_slot;
        let (devices, ram) = (self.memory.devices, self.memory.ram);
        for (regions, device) in [(devices, true), (ram, false)] {
            for (base, bits) in regions.iter().copied().flat_map(cut) {
                self.untyped(start, base, bits, device);
            }
        }
        let (untyped, empty) = (self.since(start), self.next_slot..1 << ROOT_CNODE_SIZE_BITS);
        let Range { start, end } = empty;
        let info = self.info();
        info.untyped = untyped;
        info.empty = SlotRegion { start, end };
    }

    #[inline(never)]
    fn untyped(&mut self, first: u64, base: u64, bits: u8, device: bool) {
        let index = (self.next_slot - first) as usize;
        if index == MAX_BOOT_INFO_UNTYPEDS || self.next_slot == 1 << ROOT_CNODE_SIZE_BITS {
            return;
        }
        // Full and without children: the first retype starts by zeroing it.
        self.put_next(Cap::Untyped {
            base: PhysAddr(base),
            bits,
            device,
            free: 1 << bits,
        });
        self.info().untyped_list[index] = UntypedDesc {
            paddr: base,
            size_bits: bits,
            is_device: u8::from(device),
            ..UntypedDesc::default()
        };
    }
}

/// Zeroed memory for an object, in the window.
#[inline(never)]
fn allocate(k: &mut Kernel<'_>, memory: &mut Memory, bits: u32) -> usize {
    let Some(start) = memory.take(bits) else {
        no_room("the root task's objects")
    };
    k.clear(PhysAddr(start), 1 << bits);
    arch::to_virtual(PhysAddr(start))
}

#[cold]
fn no_room(what: &str) -> ! {
    panic!("not enough memory for {what}")
}
