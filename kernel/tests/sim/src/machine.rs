//! The simulated machine: cores that run the kernel's own code, a common clock, an interrupt controller.
//!
//! A core stops wherever other cores' work may fall between its own: before and after each lock operation, while it
//! waits, and in user mode. Whoever drives the machine decides which core goes on, so a run is the list of these
//! decisions and nothing else. What the cores are made of is in `cores`, what the kernel's code sees of them in `chips`.

#![allow(
    unsafe_code,
    reason = "user mode stores to memory, and the kernel refers to its machine as if it stayed for ever"
)]

use std::cell::RefCell;
use std::ptr::{self, NonNull};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};

use tern_kernel::access::Kernel;
use tern_kernel::arch::host::{UserRoot, use_hardware};
use tern_kernel::arch::{DOORBELL, Gic};
use tern_kernel::entry::{self, Cause};
use tern_kernel::fast::{self, Exit};
use tern_kernel::machine::{Machine as Facts, use_machine};
use tern_kernel::object::{Context, ObjRef};
use tern_kernel::system::{System, use_system};
use tern_kernel::types::CoreId;

use crate::chips::{Chips, Look};
use crate::cores::{Cores, Input, Pause, Store, Work};
use crate::replay::{Event, Journal};

pub use crate::cores::{Kind, Stop};

/// The most cores that a machine can have here.
pub const MAX_CORES: usize = 8;
/// The interrupt of each core's timer.
pub const TIMER: u32 = 27;
/// Device interrupts.
pub const DEVICES: std::ops::Range<u32> = 32..64;

/// The first register that an exit to the same thread leaves alone.
const KEPT: usize = 19;

/// What a machine is made of, before it has cores.
pub(crate) struct Parts {
    pub(crate) chips: Lasting<Chips>,
    pub(crate) system: Lasting<System>,
    facts: Lasting<Facts>,
    /// The kernel's console belongs to the process, and so does its lock: machines side by side would wait for each other.
    _alone: MutexGuard<'static, ()>,
}

impl Parts {
    /// `prepare` is called with a place for the kernel's state.
    pub(crate) fn new(cores: usize, prepare: impl FnOnce(&'static System)) -> Self {
        assert!((1..=MAX_CORES).contains(&cores));
        static ONE: Mutex<()> = Mutex::new(());
        // A run that went wrong has left nothing behind.
        let alone = ONE.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let parts = Self {
            chips: Lasting::new(Chips::new()),
            system: Lasting::new(System::new()),
            facts: Lasting::new(Facts::new(cores, Gic, 255, TIMER)),
            _alone: alone,
        };
        parts.introduce()();
        prepare(parts.system.get());
        parts
    }

    /// Tells the kernel's code on a thread where it is.
    fn introduce(&self) -> impl Fn() + Send + Sync + use<> {
        let (chips, system, facts) = (self.chips.get(), self.system.get(), self.facts.get());
        move || {
            use_hardware(Some(chips));
            use_system(Some(system));
            use_machine(Some(facts));
        }
    }

    /// What each core does.
    pub(crate) fn work(&self) -> Work {
        let introduce = self.introduce();
        let (chips, system) = (self.chips.get(), self.system.get());
        Arc::new(move |core: usize, pause: &dyn Pause| {
            introduce();
            let me = CoreId(core as u16);
            entry::start_core(me);
            loop {
                match pause.pause(Stop::User) {
                    Input::Trap(cause, stores) => {
                        stores.into_iter().for_each(Store::make);
                        match cause {
                            Cause::Syscall => system_call(chips, system, me),
                            Cause::Interrupt => fast::interrupt(me),
                            cause => fast::exception(me, cause),
                        }
                    }
                    Input::Go => unreachable!("user mode goes on with a trap"),
                }
            }
        })
    }
}

/// As the trap does it. What the trap's exit then does not load has to be as it was.
fn system_call(chips: &Chips, system: &'static System, me: CoreId) {
    let loaded = || {
        let own = chips.cores[me.index()].own();
        let context = own.context.expect("a thread runs");
        // Nobody but this core touches the registers of its thread.
        let registers = *Kernel::inspect(system, me).get(context);
        let others = [
            registers.sp,
            registers.next_ip,
            registers.spsr,
            registers.tpidr,
            registers.tpidrro,
        ];
        let fpu = own.fpu_allowed.then_some(own.fpu);
        (context, others, registers.x[KEPT..].to_vec(), own.root, fpu)
    };
    let before = loaded();
    if fast::syscall(me) == Exit::Same {
        assert!(before == loaded(), "the trap's exit leaves something out");
    }
}

impl Drop for Parts {
    fn drop(&mut self) {
        // No reference may outlive what it refers to, even if nobody uses it.
        use_hardware(None);
        use_system(None);
        use_machine(None);
    }
}

impl Store {
    fn make(self) {
        match self {
            Self::Register { address, value } => {
                let register = ptr::with_exposed_provenance_mut::<u64>(address);
                // SAFETY: a register of the thread that runs on this core, whose context nobody else touches.
                unsafe { register.write(value) };
            }
            Self::Memory { address, value } => {
                let word = ptr::with_exposed_provenance_mut::<u64>(address);
                // SAFETY: a word of a frame that the thread has mapped. Others may use it too, by atomic accesses.
                let word = unsafe { AtomicU64::from_ptr(word) };
                word.store(value, Ordering::Relaxed);
            }
        }
    }
}

/// A machine that runs the kernel. One exists in the process at a time.
pub struct Machine {
    /// Before the parts, which cores refer to.
    cores: Box<dyn Cores>,
    stops: Vec<Stop>,
    parts: Parts,
    /// What was done to the machine, if that is wanted.
    journal: Option<RefCell<Vec<Event>>>,
}

impl Machine {
    /// The cores stand before their first step; `prepare` is called with a place for the kernel's state.
    pub fn new(
        kind: Kind,
        cores: usize,
        record: bool,
        prepare: impl FnOnce(&'static System),
    ) -> Self {
        let parts = Parts::new(cores, prepare);
        Self {
            cores: kind.start(cores, parts.work()),
            stops: vec![Stop::Point; cores],
            parts,
            journal: record.then(RefCell::default),
        }
    }

    pub fn system(&self) -> &'static System {
        self.parts.system.get()
    }

    fn chips(&self) -> &'static Chips {
        self.parts.chips.get()
    }

    pub fn num_cores(&self) -> usize {
        self.stops.len()
    }

    /// What was done to the machine until now, if it records that.
    pub fn take_journal(&mut self) -> Option<Journal> {
        let events = self.journal.take()?.into_inner();
        Some(Journal {
            cores: self.num_cores(),
            events,
        })
    }

    fn record(&self, event: impl FnOnce() -> Event) {
        if let Some(journal) = &self.journal {
            journal.borrow_mut().push(event());
        }
    }

    pub fn stop(&self, core: usize) -> Stop {
        self.stops[core]
    }

    /// Whether a core in the kernel can go on.
    pub fn can_go(&self, core: usize) -> bool {
        self.chips().can_go(core, self.stops[core])
    }

    /// Whether a core in the kernel, when it goes on, may get the last lock that it needs, and with it the right to change
    /// things.
    pub fn may_get_last_lock(&self, core: usize) -> bool {
        let locks = self.system().core_locks(self.num_cores());
        match self.stops[core] {
            Stop::Lock(word, _) => locks.iter().any(|lock| {
                let start = (&raw const *lock).addr();
                (start..start + size_of_val(lock)).contains(&word.address())
            }),
            Stop::Point => true,
            Stop::User | Stop::Sent | Stop::Publish | Stop::Event | Stop::Interrupt => false,
        }
    }

    /// Lets a core in the kernel go on.
    pub fn go(&mut self, core: usize) {
        debug_assert!(self.can_go(core));
        self.resume(core, Input::Go);
    }

    /// A core in user mode makes these stores and enters the kernel.
    pub(crate) fn trap(&mut self, core: usize, cause: Cause, stores: Vec<Store>) {
        debug_assert_eq!(self.stops[core], Stop::User);
        self.resume(core, Input::Trap(cause, stores));
    }

    fn resume(&mut self, core: usize, input: Input) {
        let recorded = self.journal.is_some().then(|| input.clone());
        self.chips().go_on(core, &input);
        self.stops[core] = self.cores.resume(core, input);
        if let Some(input) = recorded {
            let (stop, now) = (self.stops[core], self.now());
            self.record(|| Event::goes_on(core, input, stop, now));
        }
    }

    /// Whether other cores' work may come between from now on; else each entry is one step.
    pub fn set_interleaving(&self, on: bool) {
        self.chips().set_interleaving(on);
        self.record(|| Event::Interleaving(on));
    }

    pub fn is_interleaving(&self) -> bool {
        self.chips().is_interleaving()
    }

    pub fn now(&self) -> u64 {
        self.chips().now.get()
    }

    pub fn pass(&self, ticks: u64) {
        self.chips().pass(ticks);
        self.record(|| Event::Pass(ticks));
    }

    /// When the next timer fires, of those that are set.
    pub fn next_deadline(&self) -> Option<u64> {
        let cores = &self.chips().cores[..self.num_cores()];
        let next = cores.iter().map(|core| core.deadline.get()).min();
        next.filter(|&deadline| deadline != u64::MAX)
    }

    pub fn deadline(&self, core: usize) -> u64 {
        self.chips().cores[core].deadline.get()
    }

    /// When a core left user mode last.
    pub fn entered(&self, core: usize) -> u64 {
        self.chips().cores[core].entered.get()
    }

    /// The interrupt that a core acknowledged when it entered the kernel last for one.
    pub fn acknowledged(&self, core: usize) -> Option<u32> {
        self.chips().cores[core].own().acknowledged
    }

    /// What a core has read from the counter since this was asked last.
    pub fn take_looks(&self, core: usize, looks: &mut Vec<Look>) {
        looks.clear();
        looks.append(&mut self.chips().cores[core].own().looks);
    }

    /// How often that was.
    pub fn looks(&self, core: usize) -> usize {
        self.chips().cores[core].own().looks.len()
    }

    pub fn interrupt(&self, core: usize) -> Option<u32> {
        self.chips().interrupt(core)
    }

    pub fn is_rung(&self, core: usize) -> bool {
        self.chips().cores[core].sgis.bit(DOORBELL as usize)
    }

    pub fn raise(&self, line: u32) {
        self.chips().raise(line);
        self.record(|| Event::Raise(line));
    }

    pub fn context(&self, core: usize) -> Option<ObjRef<Context>> {
        self.chips().cores[core].own().context
    }

    pub fn root(&self, core: usize) -> UserRoot {
        self.chips().cores[core].own().root
    }

    /// The floating-point register of a core, if user mode may use it.
    pub fn fpu(&self, core: usize) -> Option<u128> {
        let own = self.chips().cores[core].own();
        own.fpu_allowed.then_some(own.fpu)
    }

    pub fn set_fpu(&self, core: usize, value: u128) {
        self.chips().cores[core].own().fpu = value;
        self.record(|| Event::Fpu { core, value });
    }
}

/// A value that the kernel may refer to as if it stayed for ever, and that goes with the machine.
pub(crate) struct Lasting<T>(NonNull<T>);

impl<T> Lasting<T> {
    fn new(value: T) -> Self {
        Self(NonNull::from(Box::leak(Box::new(value))))
    }

    pub(crate) fn get(&self) -> &'static T {
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
