//! The processor on the development machine: enough for the kernel library to build and for its logic to be tested.
//!
//! Physical and virtual addresses are those of the test process, so any memory a test owns can play an object or an
//! untyped ([`memory`]). Hardware has no effect. Each thread of a test is a core of its own: [`become_core`] says
//! which, and its counter stands still until [`set_counter`]. Interrupts, translation and privilege do not exist.

extern crate std;

use core::sync::atomic::{AtomicU32, Ordering};
use std::{
    alloc::{Layout, alloc_zeroed},
    cell::Cell,
    thread,
};

use tern_platform::gic::Ack;

use crate::{
    cap::Asid,
    config::MAX_NUM_NODES,
    object::{Context, FpuState, ObjRef},
    types::{CoreId, CoreSet, PhysAddr},
};

std::thread_local! {
    static CORE: Cell<CoreId> = const { Cell::new(CoreId::BOOT) };
    static COUNTER: Cell<u64> = const { Cell::new(0) };
    static DEADLINE: Cell<u64> = const { Cell::new(u64::MAX) };
    static CONTEXT: Cell<Option<ObjRef<Context>>> = const { Cell::new(None) };
    static ROOT: Cell<UserRoot> = const { Cell::new(UserRoot::EMPTY) };
    static RUNG: Cell<CoreSet> = const { Cell::new(CoreSet::EMPTY) };
    static INTERRUPT: Cell<Option<u32>> = const { Cell::new(None) };
}

/// Zeroed memory of `1 << bits` bytes, aligned to its size (to 2 MiB at most), that is never freed.
pub fn memory(bits: u32) -> PhysAddr {
    let size = 1 << bits;
    let layout = Layout::from_size_align(size, size.min(1 << 21)).expect("a size that fits");
    // SAFETY: the size is not zero.
    let start = unsafe { alloc_zeroed(layout) };
    assert!(!start.is_null(), "out of memory");
    PhysAddr(start.expose_provenance() as u64)
}

/// This thread is that core from now on.
pub fn become_core(core: CoreId) {
    CORE.set(core);
}

/// What the counter of this thread's core shows from now on.
pub fn set_counter(now: u64) {
    COUNTER.set(now);
}

/// When this core's timer would fire.
pub fn deadline() -> u64 {
    DEADLINE.get()
}

/// The context that user mode would be entered with.
pub fn current_context() -> Option<ObjRef<Context>> {
    CONTEXT.get()
}

/// The translation root loaded on this core.
pub fn user_root() -> UserRoot {
    ROOT.get()
}

/// The cores that this one rang since the last call.
pub fn take_rung() -> CoreSet {
    RUNG.replace(CoreSet::EMPTY)
}

/// Makes an interrupt pending on this core, or none.
pub fn set_interrupt(intid: Option<u32>) {
    INTERRUPT.set(intid);
}

pub const fn to_virtual(address: PhysAddr) -> usize {
    address.0 as usize
}

pub const fn to_physical(address: usize) -> PhysAddr {
    PhysAddr(address as u64)
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct UserRoot(Option<(PhysAddr, Asid)>);

impl UserRoot {
    pub const EMPTY: Self = Self(None);

    pub fn new(root: PhysAddr, asid: Asid) -> Self {
        Self(Some((root, asid)))
    }

    pub fn asid(self) -> Option<Asid> {
        self.0.map(|(_, asid)| asid)
    }
}

pub fn load_user_root(root: UserRoot) {
    ROOT.set(root);
}

pub fn this_core() -> CoreId {
    CORE.get()
}

pub fn set_current_context(context: Option<ObjRef<Context>>) {
    CONTEXT.set(context);
}

pub fn wait_until_equal(word: &AtomicU32, value: u32) {
    while word.load(Ordering::Acquire) != value {
        thread::yield_now();
    }
}

pub fn wait_for_event() {
    thread::yield_now();
}

pub fn send_event() {}

pub fn wait_for_interrupt() {
    thread::yield_now();
}

pub fn interrupt_pending() -> bool {
    INTERRUPT.get().is_some()
}

pub fn counter() -> u64 {
    COUNTER.get()
}

pub fn cycles() -> u64 {
    COUNTER.get()
}

pub fn counter_frequency() -> u64 {
    62_500_000
}

pub fn set_timer(deadline: u64) {
    DEADLINE.set(deadline);
}

pub fn ring(core: CoreId) {
    let mut rung = RUNG.get();
    rung.insert(core);
    RUNG.set(rung);
}

/// # Safety
/// As on the machine: memory that nothing refers to.
pub unsafe fn clear_memory(va: usize, bytes: usize) {
    assert!((va | bytes).is_multiple_of(16));
    let start = core::ptr::with_exposed_provenance_mut::<u8>(va);
    // SAFETY: the caller's promise.
    unsafe { start.write_bytes(0, bytes) };
}

/// # Safety
/// As on the machine: two ranges of memory apart, the second of which nothing refers to.
pub unsafe fn copy_memory(from: usize, to: usize, bytes: usize) {
    let from = core::ptr::with_exposed_provenance::<u8>(from);
    let to = core::ptr::with_exposed_provenance_mut::<u8>(to);
    // SAFETY: the caller's promise.
    unsafe { core::ptr::copy_nonoverlapping(from, to, bytes) };
}

pub fn clean_to_poc(_va: usize, _bytes: usize) {}
pub fn clean_to_pou(_va: usize, _bytes: usize) {}
pub fn invalidate_to_poc(_va: usize, _bytes: usize) {}
pub fn clean_invalidate_to_poc(_va: usize, _bytes: usize) {}
pub fn unify_instruction(_va: usize, _bytes: usize, _last: bool) {}
pub fn stack_peak(_core: CoreId) -> Option<usize> {
    None
}

pub fn halt() -> ! {
    panic!("the machine was halted")
}

pub fn completion_barrier() {}
pub fn device_barrier() {}
pub fn table_barrier() {}
pub fn invalidation_barrier() {}
pub fn invalidate_page(_asid: Asid, _vaddr: u64, _last_level: bool) {}
pub fn invalidate_asid(_asid: Asid) {}
pub fn allow_user_fpu(_allow: bool) {}
pub fn save_fpu(_state: &mut FpuState) {}
pub fn load_fpu(_state: &FpuState) {}

pub fn physical_address_bits() -> u32 {
    44
}

pub fn asid_bits() -> u32 {
    16
}

/// An interrupt controller with 256 lines that remembers nothing and delivers what [`set_interrupt`] said.
pub struct Gic;

impl Gic {
    pub fn acknowledge(&self) -> Ack {
        let intid = INTERRUPT.take();
        Ack {
            raw: intid.unwrap_or(1023),
            intid,
        }
    }

    pub fn end(&self, _raw: u32) {}
    pub fn mask(&self, _core: usize, _intid: u32) {}
    pub fn unmask(&self, _core: usize, _intid: u32) {}
    pub fn set_trigger(&self, _intid: u32, _edge: bool) {}

    pub fn route(&self, _intid: u32, core: usize) {
        assert!(core < MAX_NUM_NODES);
    }

    pub fn send_sgi(&self, _sgi: u32, core: usize) {
        ring(CoreId(core as u16));
    }

    pub fn max_intid(&self) -> u32 {
        255
    }
}
