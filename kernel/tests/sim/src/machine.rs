//! The simulated machine: cores that run the kernel's own code, a common clock, an interrupt controller.
//!
//! Every core is a coroutine. It stops wherever other cores' work may fall between its own: before and after each lock
//! operation, while it waits, and in user mode. Whoever drives the machine decides which core goes on, so a run is the
//! list of these decisions and nothing else. All cores run on one thread of the development machine.

#![allow(
    unsafe_code,
    reason = "a coroutine is stopped from deep inside the kernel's code"
)]

use std::cell::{Cell, RefCell};
use std::ptr::NonNull;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Mutex, MutexGuard};

use corosensei::stack::DefaultStack;
use corosensei::{Coroutine, CoroutineResult, Yielder};
use tern_kernel::arch::host::{Hardware, UserRoot, Wait, use_hardware};
use tern_kernel::arch::{DOORBELL, Gic};
use tern_kernel::entry::{self, Cause};
use tern_kernel::machine::{Machine as Facts, use_machine};
use tern_kernel::object::{Context, FpuState, ObjRef};
use tern_kernel::system::{System, use_system};
use tern_kernel::types::CoreId;
use tern_platform::gic::Ack;

/// The most cores that a machine can have here.
pub const MAX_CORES: usize = 8;
/// The interrupt of each core's timer.
pub const TIMER: u32 = 27;
/// Device interrupts.
pub const DEVICES: std::ops::Range<u32> = 32..64;

const STACK: usize = 256 * 1024;

/// Where a core has stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    /// In user mode: it wants a trap.
    User,
    /// In the kernel, at a place where others may come in between.
    Point,
    /// In the kernel, about to release its locks: what it did is complete.
    Publish,
    /// It sleeps until the word has this value.
    Lock(*const AtomicU32, u32),
    /// It sleeps until an event.
    Event,
    /// It sleeps until an interrupt.
    Interrupt,
}

enum Input {
    Go,
    Trap(Cause),
}

/// What a core has of its own.
struct Core {
    yielder: Cell<*const Yielder<Input, Stop>>,
    deadline: Cell<u64>,
    context: Cell<Option<ObjRef<Context>>>,
    root: Cell<UserRoot>,
    /// Software-generated interrupts that are pending.
    sgis: Cell<u32>,
    /// Private lines that are masked.
    masked: Cell<u32>,
    event: Cell<bool>,
    /// When it entered the kernel last.
    entered: Cell<u64>,
    /// The interrupt that it acknowledged last, if there was one.
    acknowledged: Cell<Option<u32>>,
    /// What it read from the counter, for those who want to know.
    times: RefCell<Vec<u64>>,
    fpu: Cell<u128>,
    fpu_allowed: Cell<bool>,
}

/// The part that the kernel's code sees.
struct Chips {
    cores: [Core; MAX_CORES],
    running: Cell<usize>,
    now: Cell<u64>,
    /// Whether cores stop at places where others may come in between.
    interleaves: Cell<bool>,
    /// Device lines: a bit each, from the first.
    pending: Cell<u32>,
    masked: Cell<u32>,
    routes: [Cell<u8>; DEVICES.end as usize - DEVICES.start as usize],
}

impl Core {
    fn new() -> Self {
        Self {
            yielder: Cell::new(std::ptr::null()),
            deadline: Cell::new(u64::MAX),
            context: Cell::new(None),
            root: Cell::new(UserRoot::EMPTY),
            sgis: Cell::new(0),
            masked: Cell::new(!0),
            event: Cell::new(false),
            entered: Cell::new(0),
            acknowledged: Cell::new(None),
            times: RefCell::new(Vec::new()),
            fpu: Cell::new(0),
            fpu_allowed: Cell::new(false),
        }
    }
}

impl Chips {
    fn new() -> Self {
        Self {
            cores: std::array::from_fn(|_| Core::new()),
            running: Cell::new(0),
            now: Cell::new(1000),
            interleaves: Cell::new(false),
            pending: Cell::new(0),
            masked: Cell::new(!0),
            routes: [const { Cell::new(0) }; DEVICES.end as usize - DEVICES.start as usize],
        }
    }

    fn core(&self) -> &Core {
        &self.cores[self.running.get()]
    }

    fn stop(&self, stop: Stop) {
        let yielder = self.core().yielder.get();
        // SAFETY: set by the coroutine that runs now, whose frame holds the yielder as long as it lives.
        let yielder = unsafe { &*yielder };
        yielder.suspend(stop);
    }

    /// The interrupt that a core would be given now. The doorbell first, then other software interrupts, the timer,
    /// private and device lines.
    fn interrupt(&self, core: usize) -> Option<u32> {
        let this = &self.cores[core];
        let sgis = this.sgis.get();
        if sgis & (1 << DOORBELL) != 0 {
            return Some(DOORBELL);
        }
        if sgis & !this.masked.get() != 0 {
            return Some((sgis & !this.masked.get()).trailing_zeros());
        }
        if this.deadline.get() <= self.now.get() {
            return Some(TIMER);
        }
        let lines = self.pending.get() & !self.masked.get();
        DEVICES.clone().find(|line| {
            let index = (line - DEVICES.start) as usize;
            lines & (1 << index) != 0 && usize::from(self.routes[index].get()) == core
        })
    }
}

fn device(intid: u32) -> Option<usize> {
    DEVICES
        .contains(&intid)
        .then(|| (intid - DEVICES.start) as usize)
}

fn set_bit(word: &Cell<u32>, bit: usize, value: bool) {
    let mask = 1 << bit;
    word.set(if value {
        word.get() | mask
    } else {
        word.get() & !mask
    });
}

impl Hardware for Chips {
    fn this_core(&self) -> CoreId {
        CoreId(self.running.get() as u16)
    }

    fn counter(&self) -> u64 {
        // Every look takes a moment.
        self.now.set(self.now.get() + 1);
        let now = self.now.get();
        self.core().times.borrow_mut().push(now);
        now
    }

    fn set_timer(&self, deadline: u64) {
        self.core().deadline.set(deadline);
    }

    fn set_current_context(&self, context: Option<ObjRef<Context>>) {
        self.core().context.set(context);
    }

    fn load_user_root(&self, root: UserRoot) {
        self.core().root.set(root);
    }

    fn interleave(&self) {
        if self.interleaves.get() {
            self.stop(Stop::Point);
        }
    }

    fn publish(&self) {
        if self.interleaves.get() {
            self.stop(Stop::Publish);
        }
    }

    fn wait(&self, wait: Wait<'_>) {
        match wait {
            Wait::Equal(word, value) => {
                while word.load(Ordering::Acquire) != value {
                    self.stop(Stop::Lock(word, value));
                }
            }
            Wait::Event => {
                if !self.core().event.get() {
                    self.stop(Stop::Event);
                }
                self.core().event.set(false);
            }
            Wait::Interrupt => self.stop(Stop::Interrupt),
        }
    }

    fn send_event(&self) {
        self.cores.iter().for_each(|core| core.event.set(true));
        self.interleave();
    }

    fn ring(&self, core: CoreId) {
        self.send_sgi(DOORBELL, core);
        self.interleave();
    }

    fn interrupt_pending(&self) -> bool {
        self.interrupt(self.running.get()).is_some()
    }

    fn acknowledge(&self) -> Ack {
        let intid = self.interrupt(self.running.get());
        self.core().acknowledged.set(intid);
        if let Some(intid) = intid {
            if intid < 16 {
                set_bit(&self.core().sgis, intid as usize, false);
            } else if let Some(line) = device(intid) {
                // Edges; a level would come again, as the machine's driver raises it again.
                set_bit(&self.pending, line, false);
            }
        }
        self.interleave();
        Ack {
            raw: intid.unwrap_or(1023),
            intid,
        }
    }

    fn mask(&self, core: CoreId, intid: u32) {
        self.set_mask(core, intid, true);
    }

    fn unmask(&self, core: CoreId, intid: u32) {
        self.set_mask(core, intid, false);
    }

    fn route(&self, intid: u32, core: CoreId) {
        if let Some(line) = device(intid) {
            self.routes[line].set(core.0 as u8);
        }
    }

    fn send_sgi(&self, sgi: u32, core: CoreId) {
        set_bit(&self.cores[core.index()].sgis, sgi as usize, true);
    }

    fn allow_user_fpu(&self, allow: bool) {
        self.core().fpu_allowed.set(allow);
    }

    fn save_fpu(&self, state: &mut FpuState) {
        state.v[0] = self.core().fpu.get();
    }

    fn load_fpu(&self, state: &FpuState) {
        self.core().fpu.set(state.v[0]);
    }
}

impl Chips {
    fn set_mask(&self, core: CoreId, intid: u32, masked: bool) {
        if intid < 32 {
            set_bit(&self.cores[core.index()].masked, intid as usize, masked);
        } else if let Some(line) = device(intid) {
            set_bit(&self.masked, line, masked);
        }
    }
}

type Task = Coroutine<Input, Stop, (), DefaultStack>;

/// A machine that runs the kernel. One exists on a thread at a time.
pub struct Machine {
    tasks: Vec<Task>,
    stops: Vec<Stop>,
    chips: Lasting<Chips>,
    system: Lasting<System>,
    /// The kernel's console belongs to the process, and so does its lock: machines side by side would wait for each other.
    _alone: MutexGuard<'static, ()>,
    _facts: Lasting<Facts>,
}

impl Machine {
    /// The cores stand before their first step; `prepare` is called with a place for the kernel's state.
    pub fn new(cores: usize, prepare: impl FnOnce(&'static System)) -> Self {
        assert!((1..=MAX_CORES).contains(&cores));
        static ONE: Mutex<()> = Mutex::new(());
        // A run that went wrong has left nothing behind.
        let alone = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let chips = Lasting::new(Chips::new());
        let system = Lasting::new(System::new());
        let facts = Lasting::new(Facts::new(cores, Gic, 255, TIMER));
        let for_cores = chips.get();
        use_hardware(Some(for_cores));
        use_system(system.get());
        use_machine(facts.get());
        prepare(system.get());
        let task = |core: usize| {
            let stack = DefaultStack::new(STACK).expect("memory for a stack");
            Coroutine::with_stack(stack, move |yielder: &Yielder<Input, Stop>, _| {
                for_cores.core().yielder.set(yielder);
                let me = CoreId(core as u16);
                entry::start_core(me);
                loop {
                    match yielder.suspend(Stop::User) {
                        Input::Trap(cause) => entry::enter(me, cause),
                        Input::Go => unreachable!("user mode goes on with a trap"),
                    }
                }
            })
        };
        Self {
            tasks: (0..cores).map(task).collect(),
            stops: vec![Stop::Point; cores],
            chips,
            system,
            _alone: alone,
            _facts: facts,
        }
    }

    pub fn system(&self) -> &'static System {
        self.system.get()
    }

    pub fn num_cores(&self) -> usize {
        self.tasks.len()
    }

    pub fn stop(&self, core: usize) -> Stop {
        self.stops[core]
    }

    /// Whether a core in the kernel can go on.
    pub fn can_go(&self, core: usize) -> bool {
        match self.stops[core] {
            Stop::User => false,
            Stop::Point | Stop::Publish => true,
            Stop::Lock(word, value) => {
                // SAFETY: a word of the kernel's state, which lives as long as this machine.
                let word = unsafe { &*word };
                word.load(Ordering::Acquire) == value
            }
            Stop::Event => self.chips.get().cores[core].event.get(),
            Stop::Interrupt => self.chips.get().interrupt(core).is_some(),
        }
    }

    /// Whether a core in the kernel, when it goes on, may get the last of the locks, and with it the right to change
    /// things. Nobody has that right then.
    pub fn may_get_last_lock(&self, core: usize) -> bool {
        let locks = self.system().core_locks(self.num_cores());
        let (last, others) = locks.split_last().expect("a core has a lock");
        match self.stops[core] {
            Stop::Lock(word, _) => {
                let start = (&raw const *last).addr();
                (start..start + size_of_val(last)).contains(&word.addr())
            }
            Stop::Point => !last.is_held() && others.iter().all(|lock| lock.is_held()),
            Stop::User | Stop::Publish | Stop::Event | Stop::Interrupt => false,
        }
    }

    /// Lets a core in the kernel go on.
    pub fn go(&mut self, core: usize) {
        debug_assert!(self.can_go(core));
        self.resume(core, Input::Go);
    }

    /// A core in user mode enters the kernel.
    pub fn trap(&mut self, core: usize, cause: Cause) {
        debug_assert_eq!(self.stops[core], Stop::User);
        self.chips.get().cores[core].entered.set(self.now());
        self.resume(core, Input::Trap(cause));
    }

    fn resume(&mut self, core: usize, input: Input) {
        self.chips.get().running.set(core);
        match self.tasks[core].resume(input) {
            CoroutineResult::Yield(stop) => self.stops[core] = stop,
            CoroutineResult::Return(()) => unreachable!("a core never ends"),
        }
    }

    /// Whether other cores' work may come between from now on; else each entry is one step.
    pub fn set_interleaving(&self, on: bool) {
        self.chips.get().interleaves.set(on);
    }

    pub fn is_interleaving(&self) -> bool {
        self.chips.get().interleaves.get()
    }

    pub fn now(&self) -> u64 {
        self.chips.get().now.get()
    }

    pub fn pass(&self, ticks: u64) {
        self.chips.get().now.set(self.now() + ticks);
    }

    /// When the next timer fires, of those that are set.
    pub fn next_deadline(&self) -> Option<u64> {
        let cores = &self.chips.get().cores[..self.num_cores()];
        let next = cores.iter().map(|core| core.deadline.get()).min();
        next.filter(|&deadline| deadline != u64::MAX)
    }

    pub fn deadline(&self, core: usize) -> u64 {
        self.chips.get().cores[core].deadline.get()
    }

    /// When a core left user mode last.
    pub fn entered(&self, core: usize) -> u64 {
        self.chips.get().cores[core].entered.get()
    }

    /// The interrupt that a core acknowledged when it entered the kernel last for one.
    pub fn acknowledged(&self, core: usize) -> Option<u32> {
        self.chips.get().cores[core].acknowledged.get()
    }

    /// What a core has read from the counter since this was asked last.
    pub fn take_times(&self, core: usize, times: &mut Vec<u64>) {
        times.clear();
        times.append(&mut self.chips.get().cores[core].times.borrow_mut());
    }

    pub fn interrupt(&self, core: usize) -> Option<u32> {
        self.chips.get().interrupt(core)
    }

    pub fn is_rung(&self, core: usize) -> bool {
        self.chips.get().cores[core].sgis.get() & (1 << DOORBELL) != 0
    }

    pub fn raise(&self, line: u32) {
        if let Some(line) = device(line) {
            set_bit(&self.chips.get().pending, line, true);
        }
    }

    pub fn context(&self, core: usize) -> Option<ObjRef<Context>> {
        self.chips.get().cores[core].context.get()
    }

    pub fn root(&self, core: usize) -> UserRoot {
        self.chips.get().cores[core].root.get()
    }

    /// The floating-point register of a core, if user mode may use it.
    pub fn fpu(&self, core: usize) -> Option<u128> {
        let core = &self.chips.get().cores[core];
        core.fpu_allowed.get().then(|| core.fpu.get())
    }

    pub fn set_fpu(&self, core: usize, value: u128) {
        self.chips.get().cores[core].fpu.set(value);
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        for task in &mut self.tasks {
            if task.started() && !task.done() {
                // SAFETY: the kernel's frames on the stack own nothing.
                unsafe { task.force_reset() };
            }
        }
        use_hardware(None);
    }
}

/// A value that the kernel may refer to as if it stayed for ever, and that goes with the machine.
struct Lasting<T>(NonNull<T>);

impl<T> Lasting<T> {
    fn new(value: T) -> Self {
        Self(NonNull::from(Box::leak(Box::new(value))))
    }

    fn get(&self) -> &'static T {
        // SAFETY: it stays until the machine goes. The cores are gone then, and the kernel's code is not entered again on
        // this thread before the next machine has named its own values.
        unsafe { self.0.as_ref() }
    }
}

impl<T> Drop for Lasting<T> {
    fn drop(&mut self) {
        // SAFETY: from a box, in `new`.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}
