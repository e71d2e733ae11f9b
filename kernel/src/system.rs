//! The state of the whole kernel, and what each core has of its own. All of it lives in one static; nothing here is
//! reached but through the lock token or as an atomic.

use core::{cell::UnsafeCell, sync::atomic::AtomicBool};

use mcs::{ReadyQueues, ReleaseQueue, Ticks};

use crate::{
    arch,
    config::MAX_NUM_NODES,
    irq::IrqTable,
    object::{AsidPool, ObjRef, ScRef, TcbRef},
    smp::lock::TicketLock,
};

/// What the scheduler will do at the end of this entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    /// The best ready thread runs. First, so that the state at reset is all zeroes and takes no room in the image.
    Choose,
    /// The current thread goes on.
    Resume,
    /// This thread runs, unless a better one is ready.
    Switch(TcbRef),
}

/// What core c has: read and written under `L[c]` only. It shares no cache line with anything else, nor a pair of lines
/// that may be fetched together.
#[repr(align(128))]
pub struct Core {
    pub ready: ReadyQueues<TcbRef>,
    pub release: ReleaseQueue<TcbRef>,
    /// The thread that is live on this core; none while it idles or is parked.
    pub current: Option<TcbRef>,
    /// The context that pays; none while idle. During an entry it may differ from the current thread's.
    pub current_sc: Option<ScRef>,
    /// The time stamp of this entry.
    pub now: Ticks,
    /// Used by `current_sc` up to `now` and not yet charged.
    pub consumed: Ticks,
    pub action: Action,
    /// Until then the paying context has budget for an entry, no refill is due, and no other core wants anything: found
    /// out when the timer is programmed. Zero for never.
    pub calm_until: Ticks,
    /// The timer must be programmed again.
    pub reprogram: bool,
    /// Another core changed what this one should run, or when its timer must fire.
    pub pending: bool,
    /// The translation root and ASID in use.
    pub loaded_root: arch::UserRoot,
    /// The thread whose floating-point state is in the registers.
    pub fpu_owner: Option<TcbRef>,
    /// Work done in this entry, and since the last look for something more urgent.
    pub work_units: usize,
    /// Private interrupt lines (bits by INTID) that other cores want unmasked, and masked, here.
    pub unmask_ppis: u32,
    pub mask_ppis: u32,
}

impl Core {
    const fn new() -> Self {
        Self {
            ready: ReadyQueues::new(),
            release: ReleaseQueue::new(),
            current: None,
            current_sc: None,
            now: 0,
            consumed: 0,
            action: Action::Choose,
            calm_until: 0,
            reprogram: false,
            pending: false,
            loaded_root: arch::UserRoot::EMPTY,
            fpu_owner: None,
            work_units: 0,
            unmask_ppis: 0,
            mask_ppis: 0,
        }
    }
}

/// What other cores may look at with no lock.
#[repr(align(128))]
pub struct CoreFlags {
    /// Set by the core before it queues for its lock, cleared under the lock just before the last release: while it
    /// is set the core will see `pending` and `hold` without a doorbell.
    pub will_look: AtomicBool,
    /// Set and cleared by the holder of the stop lock.
    pub hold: AtomicBool,
    /// Set by the core while it runs nothing and waits for `hold` to clear.
    pub parked: AtomicBool,
}

/// The ASID directory: pools of 512.
pub struct AsidTable {
    pub pools: [Option<ObjRef<AsidPool>>; 128],
}

/// Structure that belongs to no core: written with all locks held, read under any.
#[repr(align(128))]
pub struct Shared {
    pub irqs: IrqTable,
    pub asids: AsidTable,
    /// How many searches among senders have been interrupted: tells senders that were there from those that came later.
    pub search_rounds: u32,
    /// How often a thread that waited to send got a higher priority, and moved ahead in its queue.
    pub senders_raised: u32,
    /// All threads, for the debug calls.
    pub debug_threads: Option<TcbRef>,
}

/// The kernel's state. The locks come first: `cargo xtask bench --scaling` finds them there.
#[repr(C)]
pub struct System {
    pub(crate) locks: [TicketLock; MAX_NUM_NODES],
    /// Held by the core that makes others park.
    pub(crate) stop: TicketLock,
    pub(crate) flags: [CoreFlags; MAX_NUM_NODES],
    pub(crate) cores: [UnsafeCell<Core>; MAX_NUM_NODES],
    pub(crate) shared: UnsafeCell<Shared>,
}

#[allow(unsafe_code, reason = "the cells are guarded by the locks beside them")]
// SAFETY: the cells are reached through `access::Kernel` only, which exists once per lock acquisition and touches
// what its locks guard.
unsafe impl Sync for System {}

impl System {
    /// Whether any core holds a core lock. For checks on the development machine.
    #[cfg(not(target_os = "none"))]
    pub fn is_locked(&self) -> bool {
        self.locks.iter().any(TicketLock::is_held)
    }

    /// The locks of the first so many cores. For checks on the development machine.
    #[cfg(not(target_os = "none"))]
    pub fn core_locks(&self, cores: usize) -> &[TicketLock] {
        &self.locks[..cores]
    }

    /// The lock for stopping cores. For checks on the development machine.
    #[cfg(not(target_os = "none"))]
    pub fn stop_lock(&self) -> &TicketLock {
        &self.stop
    }

    /// Whether any core holds the stop lock or queues for it. For checks on the development machine.
    #[cfg(not(target_os = "none"))]
    pub fn is_stopping(&self) -> bool {
        self.stop.is_held()
    }

    #[allow(clippy::new_without_default, reason = "there is one, a static")]
    pub const fn new() -> Self {
        Self {
            locks: [const { TicketLock::new() }; MAX_NUM_NODES],
            stop: TicketLock::new(),
            flags: [const {
                CoreFlags {
                    will_look: AtomicBool::new(false),
                    hold: AtomicBool::new(false),
                    parked: AtomicBool::new(false),
                }
            }; MAX_NUM_NODES],
            cores: [const { UnsafeCell::new(Core::new()) }; MAX_NUM_NODES],
            shared: UnsafeCell::new(Shared {
                irqs: IrqTable::new(),
                asids: AsidTable { pools: [None; 128] },
                search_rounds: 0,
                senders_raised: 0,
                debug_threads: None,
            }),
        }
    }
}

/// The kernel.
static SYSTEM: System = System::new();

/// The kernel's state.
#[cfg(target_os = "none")]
pub fn system() -> &'static System {
    &SYSTEM
}

#[cfg(not(target_os = "none"))]
std::thread_local! {
    static IN_USE: core::cell::Cell<&'static System> = const { core::cell::Cell::new(&SYSTEM) };
}

/// The kernel's state on this thread of the development machine, where there may be many, one after the other.
#[cfg(not(target_os = "none"))]
pub fn system() -> &'static System {
    IN_USE.get()
}

/// From now on entries on this thread are to that system, or again to the process' own.
#[cfg(not(target_os = "none"))]
pub fn use_system(system: Option<&'static System>) {
    IN_USE.set(system.unwrap_or(&SYSTEM));
}
