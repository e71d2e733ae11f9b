//! The processor on the development machine, so that the kernel library builds there and its logic can be tested.
//!
//! Physical and virtual addresses are those of the test process, so any memory a test owns can play an object or an
//! untyped ([`memory`]). What the kernel does to the processor goes to the [`Hardware`] of the calling thread: the
//! simulated machine, if there is one ([`use_hardware`]); else one core that has no effect on anything, whose counter
//! stands still until [`set_counter`].

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
    object::{Context, FpuState, ObjRef},
    types::{CoreId, CoreSet, PhysAddr},
};

/// What a core waits for.
#[derive(Clone, Copy, Debug)]
pub enum Wait<'a> {
    /// A word that another core will store this value to.
    Equal(&'a AtomicU32, u32),
    /// An event; it may come for no reason.
    Event,
    /// An interrupt.
    Interrupt,
}

/// What the kernel asks of the processor. Everything has a default that does nothing.
pub trait Hardware {
    fn this_core(&self) -> CoreId;
    fn counter(&self) -> u64;
    fn set_timer(&self, _deadline: u64) {}
    fn set_current_context(&self, _context: Option<ObjRef<Context>>) {}
    fn load_user_root(&self, _root: UserRoot) {}
    /// Other cores may do any number of things here.
    fn interleave(&self) {}
    /// This core is about to release the locks: all is as it should be.
    fn publish(&self) {}
    fn wait(&self, wait: Wait<'_>);
    fn send_event(&self) {}
    fn ring(&self, core: CoreId);
    fn interrupt_pending(&self) -> bool;
    fn acknowledge(&self) -> Ack;
    fn mask(&self, _core: CoreId, _intid: u32) {}
    fn unmask(&self, _core: CoreId, _intid: u32) {}
    fn route(&self, _intid: u32, _core: CoreId) {}
    fn send_sgi(&self, _sgi: u32, core: CoreId) {
        self.ring(core);
    }
    fn invalidate_page(&self, _asid: Asid, _vaddr: u64) {}
    fn invalidate_asid(&self, _asid: Asid) {}
    fn allow_user_fpu(&self, _allow: bool) {}
    fn save_fpu(&self, _state: &mut FpuState) {}
    fn load_fpu(&self, _state: &FpuState) {}
}

std::thread_local! {
    static HARDWARE: Cell<Option<&'static dyn Hardware>> = const { Cell::new(None) };
    static STILL: Still = const { Still::new() };
}

/// From now on the kernel's code on this thread runs on that hardware, or again on none.
pub fn use_hardware(hardware: Option<&'static dyn Hardware>) {
    HARDWARE.set(hardware);
}

fn with<R>(ask: impl FnOnce(&dyn Hardware) -> R) -> R {
    match HARDWARE.get() {
        Some(hardware) => ask(hardware),
        None => STILL.with(|still| ask(still)),
    }
}

/// A core on which nothing happens.
struct Still {
    core: Cell<CoreId>,
    counter: Cell<u64>,
    deadline: Cell<u64>,
    context: Cell<Option<ObjRef<Context>>>,
    root: Cell<UserRoot>,
    rung: Cell<CoreSet>,
    interrupt: Cell<Option<u32>>,
}

impl Still {
    const fn new() -> Self {
        Self {
            core: Cell::new(CoreId::BOOT),
            counter: Cell::new(0),
            deadline: Cell::new(u64::MAX),
            context: Cell::new(None),
            root: Cell::new(UserRoot::EMPTY),
            rung: Cell::new(CoreSet::EMPTY),
            interrupt: Cell::new(None),
        }
    }
}

impl Hardware for Still {
    fn this_core(&self) -> CoreId {
        self.core.get()
    }

    fn counter(&self) -> u64 {
        self.counter.get()
    }

    fn set_timer(&self, deadline: u64) {
        self.deadline.set(deadline);
    }

    fn set_current_context(&self, context: Option<ObjRef<Context>>) {
        self.context.set(context);
    }

    fn load_user_root(&self, root: UserRoot) {
        self.root.set(root);
    }

    fn wait(&self, wait: Wait<'_>) {
        match wait {
            Wait::Equal(word, value) => {
                while word.load(Ordering::Acquire) != value {
                    thread::yield_now();
                }
            }
            Wait::Event | Wait::Interrupt => thread::yield_now(),
        }
    }

    fn ring(&self, core: CoreId) {
        let mut rung = self.rung.get();
        rung.insert(core);
        self.rung.set(rung);
    }

    fn interrupt_pending(&self) -> bool {
        self.interrupt.get().is_some()
    }

    fn acknowledge(&self) -> Ack {
        let intid = self.interrupt.take();
        Ack {
            raw: intid.unwrap_or(1023),
            intid,
        }
    }
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
    STILL.with(|still| still.core.set(core));
}

/// What the counter of this thread's core shows from now on.
pub fn set_counter(now: u64) {
    STILL.with(|still| still.counter.set(now));
}

/// When this core's timer would fire.
pub fn deadline() -> u64 {
    STILL.with(|still| still.deadline.get())
}

/// The context that user mode would be entered with.
pub fn current_context() -> Option<ObjRef<Context>> {
    STILL.with(|still| still.context.get())
}

/// The translation root loaded on this core.
pub fn user_root() -> UserRoot {
    STILL.with(|still| still.root.get())
}

/// The cores that this one rang since the last call.
pub fn take_rung() -> CoreSet {
    STILL.with(|still| still.rung.replace(CoreSet::EMPTY))
}

/// Makes an interrupt pending on this core, or none.
pub fn set_interrupt(intid: Option<u32>) {
    STILL.with(|still| still.interrupt.set(intid));
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

    /// The table and its ASID; none for the empty one.
    pub fn parts(self) -> Option<(PhysAddr, Asid)> {
        self.0
    }
}

pub fn load_user_root(root: UserRoot) {
    with(|hardware| hardware.load_user_root(root));
}

pub fn this_core() -> CoreId {
    with(|hardware| hardware.this_core())
}

/// Here the trap's caller goes on.
pub fn return_to_user() {}

pub fn set_current_context(context: Option<ObjRef<Context>>) {
    with(|hardware| hardware.set_current_context(context));
}

pub fn interleave() {
    with(|hardware| hardware.interleave());
}

pub fn publish() {
    with(|hardware| hardware.publish());
}

pub fn wait_until_equal(word: &AtomicU32, value: u32) {
    with(|hardware| hardware.wait(Wait::Equal(word, value)));
}

pub fn wait_for_event() {
    with(|hardware| hardware.wait(Wait::Event));
}

pub fn send_event() {
    with(|hardware| hardware.send_event());
}

pub fn wait_for_interrupt() {
    with(|hardware| hardware.wait(Wait::Interrupt));
}

pub fn interrupt_pending() -> bool {
    with(|hardware| hardware.interrupt_pending())
}

pub fn counter() -> u64 {
    with(|hardware| hardware.counter())
}

pub fn cycles() -> u64 {
    // Not read through `counter`, which on a simulated machine takes time.
    0
}

pub fn counter_frequency() -> u64 {
    62_500_000
}

pub fn set_timer(deadline: u64) {
    with(|hardware| hardware.set_timer(deadline));
}

pub fn ring(core: CoreId) {
    with(|hardware| hardware.ring(core));
}

/// # Safety
/// As on the machine: memory that nothing refers to.
pub unsafe fn clear_to_poc(va: usize, bytes: usize) {
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

pub fn invalidate_page(asid: Asid, vaddr: u64, _last_level: bool) {
    with(|hardware| hardware.invalidate_page(asid, vaddr));
}

pub fn invalidate_asid(asid: Asid) {
    with(|hardware| hardware.invalidate_asid(asid));
}

pub fn allow_user_fpu(allow: bool) {
    with(|hardware| hardware.allow_user_fpu(allow));
}

pub fn save_fpu(state: &mut FpuState) {
    with(|hardware| hardware.save_fpu(state));
}

pub fn load_fpu(state: &FpuState) {
    with(|hardware| hardware.load_fpu(state));
}

pub fn physical_address_bits() -> u32 {
    44
}

pub fn asid_bits() -> u32 {
    16
}

/// An interrupt controller with 256 lines.
pub struct Gic;

impl Gic {
    pub fn acknowledge(&self) -> Ack {
        with(|hardware| hardware.acknowledge())
    }

    pub fn end(&self, _raw: u32) {}
    pub fn set_trigger(&self, _intid: u32, _edge: bool) {}

    pub fn mask(&self, core: usize, intid: u32) {
        with(|hardware| hardware.mask(CoreId(core as u16), intid));
    }

    pub fn unmask(&self, core: usize, intid: u32) {
        with(|hardware| hardware.unmask(CoreId(core as u16), intid));
    }

    pub fn route(&self, intid: u32, core: usize) {
        with(|hardware| hardware.route(intid, CoreId(core as u16)));
    }

    pub fn send_sgi(&self, sgi: u32, core: usize) {
        with(|hardware| hardware.send_sgi(sgi, CoreId(core as u16)));
    }

    pub fn max_intid(&self) -> u32 {
        255
    }
}
