//! The lock token, and the only dereferences of object references in the kernel.
//!
//! A [`Kernel`] exists while its core holds locks; it cannot be cloned or sent. Borrowing an object borrows the token,
//! so two live `&mut` cannot exist and no reference outlives the locks. What an entry needs it takes before it
//! writes anything ([`Kernel::secure`]); in the simulation each borrow checks that the object's home is among it.

#![allow(
    unsafe_code,
    reason = "the one audited place where typed addresses are dereferenced"
)]

use core::{
    marker::PhantomData,
    ptr::{self, NonNull},
    sync::atomic::{AtomicU64, Ordering},
};

use mcs::{Refill, Refills, RefillsRef, TreeLinks};
use sel4_abi::IpcBuffer;

use crate::{
    arch,
    config::{ALL_LOCKS, SMP},
    counters,
    machine::{Machine, machine},
    masked,
    object::{
        ENTRIES, Exclusive, Links, ObjRef, Object, REFILLS_OFFSET, ScRef, SchedContext, TableRef,
        Tcb, TcbRef,
    },
    reach::{self, Need},
    system::{Core, CoreFlags, Shared, System, system},
    types::{CoreId, CoreSet, PhysAddr},
};

/// Whether borrows are checked: in the simulation. On the target it would make every access several times as long.
const CHECKS_BORROWS: bool = cfg!(all(debug_assertions, not(target_os = "none")));

/// Proof that this core holds a set of core locks.
pub struct Kernel<'l> {
    #[cfg(not(target_os = "none"))]
    system: &'static System,
    me: CoreId,
    held: CoreSet,
    /// Cores to ring once the locks are released.
    doorbells: CoreSet,
    /// For [`masked`].
    locked_at: u64,
    _locks: PhantomData<&'l mut *mut ()>,
}

impl Kernel<'_> {
    /// Takes this core's own lock, which is what an entry begins with.
    pub fn lock_own(system: &'static System, me: CoreId) -> Self {
        if ALL_LOCKS {
            Self::lock_all(system, me)
        } else {
            Self::lock(system, me, CoreSet::one(me))
        }
    }

    /// This core's own lock, if nobody has it or waits for it.
    pub fn try_lock_own(me: CoreId) -> Option<Self> {
        let system = system();
        if !SMP {
            return Some(Self::new(system, me, CoreSet::one(me)));
        }
        if ALL_LOCKS {
            return Some(Self::lock_all(system, me));
        }
        arch::interleave();
        let free = system.locks[me.index()].try_acquire();
        free.then(|| Self::new(system, me, CoreSet::one(me)))
    }

    /// Holds this core's lock too, if nobody else has it or waits for it.
    pub fn try_widen(&mut self, core: CoreId) -> bool {
        if self.held.contains(core) {
            return true;
        }
        arch::interleave();
        let free = self.system().locks[core.index()].try_acquire();
        if free {
            self.held.insert(core);
        }
        free
    }

    /// Takes every core lock, in ascending order.
    pub fn lock_all(system: &'static System, me: CoreId) -> Self {
        Self::lock(system, me, machine().all_cores)
    }

    /// Takes these locks, in ascending order.
    fn lock(system: &'static System, me: CoreId, held: CoreSet) -> Self {
        masked::waits(me);
        if SMP {
            for core in held.iter() {
                arch::interleave();
                system.locks[core.index()].acquire();
            }
        }
        masked::waited(me);
        Self::new(system, me, held)
    }

    /// These locks have just been taken.
    fn new(system: &'static System, me: CoreId, held: CoreSet) -> Self {
        #[cfg(target_os = "none")]
        let _ = system;
        Self {
            #[cfg(not(target_os = "none"))]
            system,
            me,
            held,
            doorbells: CoreSet::EMPTY,
            locked_at: masked::locked(),
            _locks: PhantomData,
        }
    }

    /// Holds what an entry needs, before that writes anything. Locks above those in hand, and such as are free, are
    /// added; otherwise all are dropped and the larger set is taken. Each time `reach` is asked anew.
    pub fn secure(mut self, reach: impl Fn(&Self) -> Result<(), Need>) -> Self {
        while let Err(need) = reach(&self) {
            self = self.widen(need);
        }
        self
    }

    /// Holds what was missing, and what it holds already. Nothing has been written.
    pub fn widen(mut self, need: Need) -> Self {
        if self.extend(need) {
            return self;
        }
        self.retake(need)
    }

    /// Gives up what is held, and then holds that and what was missing. Nothing has been written.
    pub fn retake(self, need: Need) -> Self {
        debug_assert!(self.doorbells.is_empty());
        let (system, me, wanted) = (self.system(), self.me, self.with(need));
        self.unlock();
        Self::lock(system, me, wanted)
    }

    /// Adds what is missing to what is held, without giving anything up: what has been read so far still holds. False
    /// if that cannot be had; some of it may have been added.
    pub fn extend(&mut self, need: Need) -> bool {
        match need {
            Need::Core(core) if self.held.len() < reach::MAX_SET => self.extend_by(core),
            _ => {
                let mut missing = machine().all_cores.without(self.held).iter();
                missing.all(|core| self.extend_by(core))
            }
        }
    }

    /// The same for one that is not held.
    #[inline(always)]
    fn extend_by(&mut self, core: CoreId) -> bool {
        debug_assert!(!self.held.contains(core));
        let lock = &self.system().locks[core.index()];
        arch::interleave();
        if self.held.is_below(core) {
            masked::waits(self.me);
            lock.acquire();
            masked::waited(self.me);
        } else if !lock.try_acquire() {
            return false;
        }
        self.held.insert(core);
        true
    }

    /// What is held, and this: everything, if it would be many.
    fn with(&self, need: Need) -> CoreSet {
        match need {
            Need::Core(core) if self.held.len() < reach::MAX_SET => {
                self.held.union(CoreSet::one(core))
            }
            _ => machine().all_cores,
        }
    }

    /// Holds every lock too, if nobody else holds or waits for one.
    #[inline(always)]
    pub fn try_widen_to_all(&mut self) -> bool {
        if SMP {
            for core in machine().all_cores.without(self.held).iter() {
                if !self.try_widen(core) {
                    return false;
                }
            }
        }
        true
    }

    /// Holds every lock.
    pub fn widen_to_all(self) -> Self {
        self.widen(Need::All)
    }

    pub fn holds(&self, core: CoreId) -> bool {
        !SMP || self.held.contains(core)
    }

    /// How many locks are held.
    pub fn held(&self) -> usize {
        self.held.len()
    }

    pub fn holds_all(&self) -> bool {
        !SMP || self.held == machine().all_cores
    }

    /// A token for checks on the development machine, where no other core does anything meanwhile. It must not be used to
    /// change anything, and is dropped, not released.
    #[cfg(not(target_os = "none"))]
    pub fn inspect(system: &'static System, me: CoreId) -> Self {
        Self {
            locked_at: 0,
            ..Self::new(system, me, machine().all_cores)
        }
    }

    /// Ends a short cut, which rings nobody.
    #[inline(always)]
    pub fn release_quietly(self) {
        debug_assert!(self.doorbells.is_empty());
        if !SMP || self.held != CoreSet::one(self.me) {
            return self.release();
        }
        arch::publish();
        masked::released(&self, self.locked_at);
        self.system().locks[self.me.index()].release();
        arch::interleave();
    }

    /// Releases the locks, then rings the cores that must look.
    pub fn release(self) {
        arch::publish();
        self.unlock();
        if SMP {
            for core in self.doorbells.iter() {
                counters::doorbell();
                arch::ring(core);
            }
        }
    }

    fn unlock(&self) {
        masked::released(self, self.locked_at);
        if SMP {
            for core in self.held.iter() {
                self.system().locks[core.index()].release();
                arch::interleave();
            }
        }
    }

    /// This core has looked, under way, and nobody waits for it or its locks.
    pub fn looked(&mut self) {
        masked::released(self, self.locked_at);
        masked::end(self.me);
        masked::begin(self.me);
        self.locked_at = masked::locked();
    }

    pub fn me(&self) -> CoreId {
        self.me
    }

    pub fn machine(&self) -> &'static Machine {
        machine()
    }

    pub fn system(&self) -> &'static System {
        #[cfg(not(target_os = "none"))]
        let system = self.system;
        #[cfg(target_os = "none")]
        let system = system();
        system
    }

    pub fn num_cores(&self) -> usize {
        machine().num_cores
    }

    pub fn cores(&self) -> impl Iterator<Item = CoreId> + use<> {
        (0..machine().num_cores as u16).map(CoreId)
    }

    pub fn flags(&self, core: CoreId) -> &'static CoreFlags {
        &self.system().flags[core.index()]
    }

    /// Whether another core waits for a lock that is held here.
    pub fn is_contended(&self) -> bool {
        self.held
            .iter()
            .any(|core| self.system().locks[core.index()].has_waiter())
    }

    /// Asks for a doorbell to `core` at the release.
    pub fn ring_later(&mut self, core: CoreId) {
        self.doorbells.insert(core);
    }

    /// Whether the lock that guards an object is held.
    fn guards<T: Object>(&self, object: ObjRef<T>) -> bool {
        T::home(object).is_none_or(|home| self.holds(self.get(home).get()))
    }

    pub fn get<T: Object>(&self, object: ObjRef<T>) -> &T {
        assert!(!CHECKS_BORROWS || self.guards(object));
        // SAFETY: an `ObjRef` in a capability, queue or core names a live object of its type (deletion, under all locks,
        // clears them all before the memory is reused). The lock of its home is held, so nobody else writes it; structure
        // is written under all locks; what other cores may write meanwhile consists of atomic words.
        unsafe { &*object.pointer() }
    }

    pub fn get_mut<T: Exclusive>(&mut self, object: ObjRef<T>) -> &mut T {
        assert!(
            !CHECKS_BORROWS
                || if T::STRUCTURE {
                    self.holds_all()
                } else {
                    self.guards(object)
                }
        );
        // SAFETY: as in `get`; the token is borrowed exclusively, so this is the only reference to any object that the
        // held locks guard.
        unsafe { &mut *object.pointer() }
    }

    pub fn core(&self, core: CoreId) -> &Core {
        assert!(!CHECKS_BORROWS || self.holds(core));
        // SAFETY: L[core] is held; the token is the only way to the cell.
        unsafe { &*self.system().cores[core.index()].get() }
    }

    pub fn core_mut(&mut self, core: CoreId) -> &mut Core {
        assert!(!CHECKS_BORROWS || self.holds(core));
        // SAFETY: L[core] is held, and the token is borrowed exclusively.
        unsafe { &mut *self.system().cores[core.index()].get() }
    }

    pub fn this(&self) -> &Core {
        self.core(self.me)
    }

    pub fn this_mut(&mut self) -> &mut Core {
        self.core_mut(self.me)
    }

    /// A core's queues together with the thread links that they are made of.
    pub fn core_and_threads(&mut self, core: CoreId) -> (&mut Core, Threads<'_>) {
        assert!(!CHECKS_BORROWS || self.holds(core));
        // SAFETY: L[core] is held; a `Core` lives in kernel memory and never overlaps the objects that `Threads`
        // reaches, and both borrow the token exclusively.
        let core = unsafe { &mut *self.system().cores[core.index()].get() };
        (
            core,
            Threads {
                _token: PhantomData,
            },
        )
    }

    pub fn shared(&self) -> &Shared {
        // SAFETY: read under any lock; writers hold all.
        unsafe { &*self.system().shared.get() }
    }

    pub fn shared_mut(&mut self) -> &mut Shared {
        debug_assert!(self.holds_all());
        // SAFETY: all locks are held, and the token is borrowed exclusively.
        unsafe { &mut *self.system().shared.get() }
    }

    /// The refill ring of a scheduling context.
    pub fn refills(&mut self, sc: ScRef) -> Refills<'_> {
        let (ring, capacity) = ring_of(self.get(sc), sc);
        // SAFETY: the ring lies behind the header within the object (its capacity follows from the object's size), so
        // the two borrows do not overlap; both are bounded by the token's.
        let ring = unsafe { core::slice::from_raw_parts_mut(ring, capacity) };
        Refills {
            state: &mut self.get_mut_detached(sc).refills,
            ring,
        }
    }

    /// The same, to read.
    pub fn refills_ref(&self, sc: ScRef) -> RefillsRef<'_> {
        let (ring, capacity) = ring_of(self.get(sc), sc);
        // SAFETY: as in `refills`, shared.
        let ring = unsafe { core::slice::from_raw_parts(ring.cast_const(), capacity) };
        RefillsRef {
            state: &self.get(sc).refills,
            ring,
        }
    }

    /// The header of a scheduling context with a lifetime of the caller's choosing within the token's; for `refills`,
    /// which pairs it with the disjoint ring.
    fn get_mut_detached<'a>(&mut self, sc: ScRef) -> &'a mut SchedContext
    where
        Self: 'a,
    {
        // SAFETY: as in `get_mut`; the only caller returns it under the token's exclusive borrow.
        unsafe { &mut *sc.pointer() }
    }

    /// One entry of a translation table.
    pub fn entry(&self, table: TableRef, index: usize) -> u64 {
        assert!(index < ENTRIES);
        let entry = (table.address() as *const u64).wrapping_add(index);
        // SAFETY: within the table; volatile because the hardware walker may read and nobody else writes it.
        unsafe { ptr::read_volatile(entry) }
    }

    /// Writes one entry with a single store. Barriers and invalidation are the caller's.
    pub fn set_entry(&mut self, table: TableRef, index: usize, value: u64) {
        assert!(index < ENTRIES);
        assert!(!CHECKS_BORROWS || self.holds_all());
        let entry = (table.address() as *mut u64).wrapping_add(index);
        // SAFETY: within the table, all locks are held; the store is single-copy atomic for the hardware walker.
        unsafe { ptr::write_volatile(entry, value) }
    }

    /// Puts an object into memory that retype or boot has just taken from an untyped.
    pub fn place<T: Object>(&mut self, object: ObjRef<T>, value: T) {
        // SAFETY: the memory is inside an untyped without other children there, so nothing refers to it; it is as
        // large and as aligned as `T`, because object sizes and alignments follow the interface's size bits.
        unsafe { ptr::write(object.pointer(), value) }
    }

    /// Reads a word of memory that user level may write at any moment.
    pub fn read_user_word(&self, words: UserWords, index: usize) -> u64 {
        assert!(index < UserWords::COUNT);
        let word = words.base.as_ptr().wrapping_add(index);
        // SAFETY: a `UserWords` lies within a frame that a capability names, and no reference leads there.
        let word = unsafe { AtomicU64::from_ptr(word) };
        // Atomic, since user level on another core may write it now: a plain access would be a data race.
        word.load(Ordering::Relaxed)
    }

    /// Writes such a word.
    pub fn write_user_word(&mut self, words: UserWords, index: usize, value: u64) {
        assert!(index < UserWords::COUNT);
        let word = words.base.as_ptr().wrapping_add(index);
        // SAFETY: as in `read_user_word`.
        let word = unsafe { AtomicU64::from_ptr(word) };
        word.store(value, Ordering::Relaxed);
    }

    /// Zeroes memory of an untyped that holds no object, for everybody: user level may map it uncached, and devices may
    /// read it.
    pub fn clear(&mut self, base: PhysAddr, bytes: u64) {
        // SAFETY: the caller decoded an untyped without children that covers the range; no reference into it exists.
        unsafe { arch::clear_to_poc(arch::to_virtual(base), bytes as usize) };
    }
}

/// The words of an IPC buffer: user memory, in the physical window.
#[derive(Clone, Copy)]
pub struct UserWords {
    base: NonNull<u64>,
}

impl UserWords {
    pub const COUNT: usize = size_of::<IpcBuffer>() / size_of::<u64>();

    /// So many words from a physical address inside a frame that a capability names.
    #[inline]
    pub fn new(base: PhysAddr) -> Self {
        let base = NonNull::new(arch::to_virtual(base) as *mut u64).expect("window address");
        Self { base }
    }

    /// Where a word is. For whoever plays user level on the development machine.
    #[cfg(not(target_os = "none"))]
    pub fn address(self, index: usize) -> usize {
        assert!(index < Self::COUNT);
        self.base.as_ptr().wrapping_add(index).addr()
    }
}

fn ring_of(header: &SchedContext, sc: ScRef) -> (*mut Refill, usize) {
    let capacity = ((1usize << header.size_bits) - REFILLS_OFFSET) / size_of::<Refill>();
    ((sc.address() + REFILLS_OFFSET) as *mut Refill, capacity)
}

/// The links of all threads: what the queues of a core are made of.
pub struct Threads<'a> {
    _token: PhantomData<&'a mut ()>,
}

impl Threads<'_> {
    fn tcb(&self, tcb: TcbRef) -> &Tcb {
        // SAFETY: as in `Kernel::get`; `Threads` borrows the token exclusively.
        unsafe { &*tcb.pointer() }
    }

    fn tcb_mut(&mut self, tcb: TcbRef) -> &mut Tcb {
        // SAFETY: as in `Kernel::get_mut`.
        unsafe { &mut *tcb.pointer() }
    }

    fn sc_of(&self, tcb: TcbRef) -> ScRef {
        self.tcb(tcb)
            .sc
            .expect("a thread in the release queue has a scheduling context")
    }
}

impl mcs::ReadyNodes<TcbRef> for Threads<'_> {
    fn ready_links(&self, id: TcbRef) -> (Option<TcbRef>, Option<TcbRef>) {
        let links = self.tcb(id).links;
        (links.prev, links.next)
    }

    fn set_ready_links(&mut self, id: TcbRef, prev: Option<TcbRef>, next: Option<TcbRef>) {
        let links = &mut self.tcb_mut(id).links;
        (links.prev, links.next) = (prev, next);
    }
}

impl mcs::ReleaseNodes<TcbRef> for Threads<'_> {
    fn release_time(&self, id: TcbRef) -> mcs::Ticks {
        let sc = self.sc_of(id);
        // SAFETY: as in `Kernel::get`.
        let header = unsafe { &*sc.pointer() };
        let (ring, capacity) = ring_of(header, sc);
        // SAFETY: as in `Kernel::refills_ref`.
        let ring = unsafe { core::slice::from_raw_parts(ring.cast_const(), capacity) };
        RefillsRef {
            state: &header.refills,
            ring,
        }
        .head()
        .time
    }

    fn tree_links(&self, id: TcbRef) -> TreeLinks<TcbRef> {
        let links = self.tcb(id).links;
        TreeLinks {
            parent: links.up,
            left: links.prev,
            right: links.next,
            balance: self.tcb(id).balance,
        }
    }

    fn set_tree_links(&mut self, id: TcbRef, tree: TreeLinks<TcbRef>) {
        let tcb = self.tcb_mut(id);
        tcb.links = Links {
            prev: tree.left,
            next: tree.right,
            up: tree.parent,
            down: None,
        };
        tcb.balance = tree.balance;
    }
}
