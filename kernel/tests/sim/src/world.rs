//! What there is in a run: memory, the root task, and the objects that its threads use.
//!
//! The kernel itself makes all of it: its boot code the root task, invocations by the root task everything else. All
//! threads share the root task's capability space, so every slot can be named by everybody.

#![allow(
    unsafe_code,
    reason = "the machine's memory is a piece of this process'"
)]

use std::ops::Range;

use sel4_abi::{BootInfo, CapRights, Invocation, ObjectType, size_bits, slot};
use tern_kernel::arch::host;
use tern_kernel::boot::bench;
use tern_kernel::boot::root::Image;
use tern_kernel::cap::Cap;
use tern_kernel::masked;
use tern_kernel::object::{ObjRef, TcbSlot};
use tern_kernel::print;
use tern_kernel::system::System;
use tern_kernel::types::CoreId;
use tern_kernel::vspace::{self, entry::Target};
use tern_platform::board::Region;

use crate::op::Call;
use crate::run::Driver;

/// Log of the bytes of RAM.
const RAM_BITS: u32 = 21;
const PAGE: u64 = 4096;
/// Where the root task's only page of code is.
pub const CODE: u64 = 0x40_0000;

pub const THREADS: usize = 7;
pub const CONTEXTS: usize = 9;
pub const ENDPOINTS: usize = 3;
pub const NOTIFICATIONS: usize = 3;
pub const REPLIES: usize = 6;
pub const FRAMES: usize = 10;
pub const TABLES: usize = 4;
pub const VSPACES: usize = 2;
pub const CNODES: usize = 2;
pub const UNTYPEDS: usize = 2;
/// Untypeds of the size of an ASID pool.
pub const PIECES: usize = 2;
/// A large frame and a huge one, of a device's memory.
pub const LARGE: usize = 1;
pub const HUGE: usize = 1;
/// Slots for ASID pools, and for capabilities that send software interrupts.
pub const POOLS: usize = 2;
pub const SGIS: usize = 2;
pub const BADGED: usize = 10;
pub const SCRATCH: usize = 20;
/// Lines with a handler from the beginning, and the first of them.
pub const HANDLERS: usize = 2;
pub const FIRST_HANDLED: u32 = 40;
/// Log of the slots of a CNode, and of the bytes of an untyped.
pub const CNODE_BITS: u64 = 3;
pub const UNTYPED_BITS: u64 = 14;

/// RAM of the simulated machine, for one machine after the other.
pub struct Ram {
    start: u64,
}

impl Ram {
    #[allow(clippy::new_without_default, reason = "takes memory for ever")]
    pub fn new() -> Self {
        Self {
            start: host::memory(RAM_BITS).0,
        }
    }

    pub fn start(&self) -> u64 {
        self.start
    }

    /// What is in it. No core is at work.
    pub fn read(&self, copy: &mut Vec<u8>) {
        copy.resize(1 << RAM_BITS, 0);
        let bytes = std::ptr::with_exposed_provenance::<u8>(self.start as usize);
        // SAFETY: this memory is nobody else's, all of it has been written, and nobody writes it now.
        unsafe { bytes.copy_to_nonoverlapping(copy.as_mut_ptr(), copy.len()) };
    }

    /// Makes the root task in it.
    pub fn boot(&self, system: &'static System) {
        let ram = Region::new(self.start, self.start + (1 << RAM_BITS));
        let bytes = std::ptr::with_exposed_provenance_mut::<u8>(self.start as usize);
        // SAFETY: this memory is nobody else's, and no machine is at work in it.
        unsafe { bytes.write_bytes(0, 1 << RAM_BITS) };
        // What stands in it does not matter here: the kernel only copies it.
        let tree = Region::new(self.start + PAGE, self.start + 2 * PAGE);
        let image = Image {
            memory: Region::new(self.start, self.start + PAGE),
            offset: self.start.wrapping_sub(CODE),
            entry: CODE,
        };
        print::free_console();
        masked::reset();
        // Devices have room for a huge page.
        let k = bench::boot(system, ram, image, tree, 1 << 32);
        k.release();
    }
}

/// Where the capabilities are.
#[derive(Clone, Debug, Default)]
pub struct World {
    pub untyped: u64,
    /// An untyped of memory that is a device's.
    pub device: u64,
    pub controls: Range<u64>,
    pub tcbs: Range<u64>,
    pub contexts: Range<u64>,
    pub endpoints: Range<u64>,
    pub notifications: Range<u64>,
    pub replies: Range<u64>,
    pub frames: Range<u64>,
    pub tables: Range<u64>,
    pub vspaces: Range<u64>,
    pub cnodes: Range<u64>,
    pub untypeds: Range<u64>,
    pub pieces: Range<u64>,
    pub large: Range<u64>,
    pub huge: Range<u64>,
    pub handlers: Range<u64>,
    pub badged: Range<u64>,
    pub pools: Range<u64>,
    pub sgis: Range<u64>,
    pub scratch: Range<u64>,
}

/// A depth at which an index is a slot of the root CNode.
pub const DEPTH: u64 = 64;

/// A thread's buffer is at this address, plus a page for each.
pub fn buffer_address(thread: usize) -> u64 {
    CODE + 0x10_0000 + thread as u64 * PAGE
}

impl World {
    /// Makes everything, by calls of the root task on the boot core, with nobody else at work.
    pub fn create(driver: &mut Driver, cores: usize) -> Self {
        let info = boot_info(driver);
        let mut next = info.empty.start;
        let mut slots = |count: usize| {
            let start = next;
            next += count as u64;
            start..next
        };
        let largest = |device: u8| {
            (info.untyped.start..info.untyped.end)
                .zip(&info.untyped_list)
                .filter(|(_, piece)| piece.is_device == device)
                .max_by_key(|(_, piece)| piece.size_bits)
                .map(|(slot, _)| slot)
                .expect("memory")
        };
        let world = Self {
            untyped: largest(0),
            device: largest(1),
            controls: info.sched_control.start..info.sched_control.end,
            tcbs: slots(THREADS),
            contexts: slots(CONTEXTS),
            endpoints: slots(ENDPOINTS),
            notifications: slots(NOTIFICATIONS),
            replies: slots(REPLIES),
            frames: slots(FRAMES),
            tables: slots(TABLES),
            vspaces: slots(VSPACES),
            cnodes: slots(CNODES),
            untypeds: slots(UNTYPEDS),
            pieces: slots(PIECES),
            large: slots(LARGE),
            huge: slots(HUGE),
            handlers: slots(HANDLERS),
            badged: slots(BADGED),
            pools: slots(POOLS),
            sgis: slots(SGIS),
            scratch: slots(SCRATCH),
        };
        for (kind, bits, range) in world.kinds() {
            driver.must(&world.retype(kind, bits, range.start, range.end - range.start));
        }
        // One of the address spaces is in a pool that may go.
        driver.must(&Call::invoke(
            slot::ASID_CONTROL,
            Invocation::AsidControlMakePool,
            &[world.pieces.start, slot::INIT_THREAD_CNODE],
            &[world.pools.start, DEPTH],
        ));
        let pools = [slot::INIT_THREAD_ASID_POOL, world.pools.start];
        for (vspace, pool) in world.vspaces.clone().zip(pools) {
            driver.must(&Call::invoke(
                pool,
                Invocation::AsidPoolAssign,
                &[vspace],
                &[],
            ));
        }
        for (index, handler) in world.handlers.clone().enumerate() {
            let words = [u64::from(FIRST_HANDLED) + index as u64, handler, DEPTH];
            driver.must(&Call::invoke(
                slot::IRQ_CONTROL,
                Invocation::IrqIssueHandler,
                &[slot::INIT_THREAD_CNODE],
                &words,
            ));
        }
        for (index, badged) in world.badged.clone().enumerate() {
            let source = if index % 2 == 0 {
                world.endpoints.start + (index as u64 / 2) % ENDPOINTS as u64
            } else {
                world.notifications.start + (index as u64 / 2) % NOTIFICATIONS as u64
            };
            // The last ones: callers get no answer; and signals only.
            let rights = match index {
                8 => CapRights::READ_WRITE,
                9 => CapRights::WRITE,
                _ => CapRights::all(),
            };
            driver.must(&world.mint(badged, source, rights, 1 << index));
        }
        world.start_threads(driver, cores);
        world
    }

    /// What the root task makes from its memory: kind, size argument, slots.
    fn kinds(&self) -> [(ObjectType, u64, Range<u64>); 13] {
        [
            (ObjectType::Untyped, UNTYPED_BITS, self.untypeds.clone()),
            (
                ObjectType::Untyped,
                size_bits::ASID_POOL,
                self.pieces.clone(),
            ),
            (ObjectType::HugePage, 0, self.huge.clone()),
            (ObjectType::LargePage, 0, self.large.clone()),
            (ObjectType::SmallPage, 0, self.frames.clone()),
            (ObjectType::PageTable, 0, self.tables.clone()),
            (ObjectType::VSpace, 0, self.vspaces.clone()),
            (ObjectType::Tcb, 0, self.tcbs.clone()),
            (ObjectType::SchedContext, 8, self.contexts.clone()),
            (ObjectType::CNode, CNODE_BITS, self.cnodes.clone()),
            (ObjectType::Notification, 0, self.notifications.clone()),
            (ObjectType::Reply, 0, self.replies.clone()),
            (ObjectType::Endpoint, 0, self.endpoints.clone()),
        ]
    }

    /// The kind and size of what belongs into a slot, if the root task made it.
    pub fn kind_of(&self, slot: u64) -> Option<(ObjectType, u64)> {
        let kinds = self.kinds();
        let found = kinds.iter().find(|(_, _, range)| range.contains(&slot));
        found.map(|(kind, bits, _)| (*kind, *bits))
    }

    /// Slots with objects that the root task made.
    pub fn originals(&self) -> Range<u64> {
        self.tcbs.start..self.huge.end
    }

    /// All slots that threads use.
    pub fn slots(&self) -> Range<u64> {
        self.tcbs.start..self.scratch.end
    }

    pub fn retype(&self, kind: ObjectType, bits: u64, slot: u64, count: u64) -> Call {
        let from = match kind {
            ObjectType::LargePage | ObjectType::HugePage => self.device,
            _ => self.untyped,
        };
        retype(from, kind, bits, slot, count)
    }

    pub fn mint(&self, to: u64, from: u64, rights: CapRights, badge: u64) -> Call {
        let words = [to, DEPTH, from, DEPTH, rights.bits(), badge];
        Call::invoke(
            slot::INIT_THREAD_CNODE,
            Invocation::CNodeMint,
            &[slot::INIT_THREAD_CNODE],
            &words,
        )
    }

    /// Gives thread number `index` its spaces, a buffer, a priority, and most of them somebody to tell when their time is up.
    pub fn equip(&self, index: usize) -> [Call; 3] {
        let tcb = self.tcbs.start + index as u64;
        let frame = self.frames.start + index as u64;
        let root = slot::INIT_THREAD_CNODE;
        let handler = self.badged.start + 2 * (index as u64 % 4);
        [
            Call::invoke(
                tcb,
                Invocation::TcbConfigure,
                &[root, slot::INIT_THREAD_VSPACE, frame],
                &[0, 0, buffer_address(index)],
            ),
            Call::invoke(
                tcb,
                Invocation::TcbSetSchedParams,
                &[
                    slot::INIT_THREAD_TCB,
                    0,
                    if index % 3 == 2 { 0 } else { handler },
                ],
                &[255, 50 + 5 * (index as u64 % 3)],
            ),
            Call::invoke(
                tcb,
                Invocation::TcbSetTimeoutEndpoint,
                &[if index % 3 == 1 { 0 } else { handler }],
                &[],
            ),
        ]
    }

    /// Where thread number `index` starts.
    pub fn start_registers(&self, index: usize) -> Call {
        let tcb = self.tcbs.start + index as u64;
        let words = [0, 1, CODE + 0x1000 * (index as u64 + 1)];
        Call::invoke(tcb, Invocation::TcbWriteRegisters, &[], &words)
    }

    fn start_threads(&self, driver: &mut Driver, cores: usize) {
        for index in 0..THREADS {
            for call in self.equip(index) {
                driver.must(&call);
            }
            let core = index % cores;
            let context = self.contexts.start + index as u64;
            driver.must(&self.configure(core, context, [100, 400, 2, index as u64, 0]));
            let tcb = self.tcbs.start + index as u64;
            driver.must(&Call::invoke(
                context,
                Invocation::SchedContextBind,
                &[tcb],
                &[],
            ));
            driver.must(&self.start_registers(index));
            driver.must(&Call::invoke(tcb, Invocation::TcbResume, &[], &[]));
        }
        for (index, context) in self.contexts.clone().enumerate().skip(THREADS) {
            let core = index % cores;
            driver.must(&self.configure(core, context, [80, 300, 2, index as u64, 0]));
        }
        // The root task repairs what is broken, now and then.
        driver.must(&self.configure(0, slot::INIT_THREAD_SC, [100, 1500, 0, 0, 0]));
    }

    /// Budget and period in microseconds, extra refills, badge, flags.
    pub fn configure(&self, core: usize, context: u64, words: [u64; 5]) -> Call {
        Call::invoke(
            self.controls.start + core as u64,
            Invocation::SchedControlConfigureFlags,
            &[context],
            &words,
        )
    }
}

pub fn retype(untyped: u64, kind: ObjectType, bits: u64, slot: u64, count: u64) -> Call {
    Call::invoke(
        untyped,
        Invocation::UntypedRetype,
        &[slot::INIT_THREAD_CNODE],
        &[kind as u64, bits, 0, 0, slot, count],
    )
}

/// What the root task was told. Its boot information page lies behind its image and its buffer.
fn boot_info(driver: &Driver) -> BootInfo {
    const _: () = assert!(PAGE == 1 << size_bits::SMALL_PAGE);
    let k = driver.inspect();
    let tcb = k.core(CoreId::BOOT).current.expect("the root task runs");
    let vaddr = k.get(tcb.context()).x[0];
    let Cap::VSpace { root, .. } = k.get(tcb.slot(TcbSlot::VSpace)).cap() else {
        panic!("the root task has an address space");
    };
    let place = vspace::walk(&k, root, vaddr);
    let Target::Page(physical) = place.read(&k).target(place.level) else {
        panic!("the boot information is mapped");
    };
    let info: ObjRef<BootInfo> = ObjRef::from_address(host::to_virtual(physical));
    *k.get(info)
}
