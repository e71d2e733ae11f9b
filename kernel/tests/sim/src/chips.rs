//! The hardware of the simulated machine, as the kernel's code sees it: a common clock, timers, an interrupt controller,
//! and what each core has of its own.
//!
//! Cores may be threads, so what several of them reach is atomic, but relaxed: nothing here orders the kernel's work on
//! one core before that on another. Only the kernel's own locks do, or whoever hands over from core to core.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard};

use tern_kernel::arch::DOORBELL;
use tern_kernel::arch::host::{Hardware, UserRoot, Wait};
use tern_kernel::object::{Context, FpuState, ObjRef};
use tern_kernel::types::CoreId;
use tern_platform::gic::Ack;

use crate::cores::{Input, Stop, Word, pause};
use crate::machine::{DEVICES, MAX_CORES, TIMER};

/// A register of the hardware.
pub(crate) struct Register(AtomicU64);

impl Register {
    const fn new(value: u64) -> Self {
        Self(AtomicU64::new(value))
    }

    pub(crate) fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn set(&self, value: u64) {
        self.0.store(value, Ordering::Relaxed);
    }

    pub(crate) fn bit(&self, bit: usize) -> bool {
        self.get() & (1 << bit) != 0
    }

    pub(crate) fn set_bit(&self, bit: usize, value: bool) {
        let mask = 1 << bit;
        self.set(if value {
            self.get() | mask
        } else {
            self.get() & !mask
        });
    }
}

/// A core's part.
pub(crate) struct Core {
    pub(crate) deadline: Register,
    /// Software-generated interrupts that are pending.
    pub(crate) sgis: Register,
    /// Private lines that are masked.
    masked: Register,
    event: Register,
    /// When it entered the kernel last.
    pub(crate) entered: Register,
    own: Mutex<Own>,
}

/// A core read its counter.
#[derive(Clone, Copy, Debug)]
pub struct Look {
    pub time: u64,
    /// Behind a lock that it took or gave back.
    pub locked: bool,
}

/// What other cores do not reach. The lock is for whoever drives the machine.
pub(crate) struct Own {
    pub(crate) context: Option<ObjRef<Context>>,
    pub(crate) root: UserRoot,
    /// The interrupt that it acknowledged last, if there was one.
    pub(crate) acknowledged: Option<u32>,
    /// What it read from the counter, for those who want to know.
    pub(crate) looks: Vec<Look>,
    /// Whether it has turned to a lock since it read the counter last.
    locking: bool,
    pub(crate) fpu: u128,
    pub(crate) fpu_allowed: bool,
}

pub(crate) struct Chips {
    pub(crate) cores: [Core; MAX_CORES],
    /// The core that goes on.
    running: Register,
    pub(crate) now: Register,
    /// Whether cores stop at places where others may come in between.
    interleaves: Register,
    /// Device lines: a bit each, from the first.
    pending: Register,
    masked: Register,
    routes: [Register; DEVICES.end as usize - DEVICES.start as usize],
}

impl Core {
    fn new() -> Self {
        Self {
            deadline: Register::new(u64::MAX),
            sgis: Register::new(0),
            masked: Register::new(!0),
            event: Register::new(0),
            entered: Register::new(0),
            own: Mutex::new(Own {
                context: None,
                root: UserRoot::EMPTY,
                acknowledged: None,
                looks: Vec::new(),
                locking: false,
                fpu: 0,
                fpu_allowed: false,
            }),
        }
    }

    pub(crate) fn own(&self) -> MutexGuard<'_, Own> {
        self.own.lock().expect("nobody panics with it")
    }
}

impl Chips {
    pub(crate) fn new() -> Self {
        Self {
            cores: std::array::from_fn(|_| Core::new()),
            running: Register::new(0),
            now: Register::new(1000),
            interleaves: Register::new(0),
            pending: Register::new(0),
            masked: Register::new(!0),
            routes: [const { Register::new(0) }; DEVICES.end as usize - DEVICES.start as usize],
        }
    }

    fn core(&self) -> &Core {
        &self.cores[self.running.get() as usize]
    }

    fn stop(&self, stop: Stop) {
        pause(self.running.get() as usize, stop);
    }

    /// The interrupt that a core would be given now. The doorbell first, then other software interrupts, the timer,
    /// private and device lines.
    pub(crate) fn interrupt(&self, core: usize) -> Option<u32> {
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
            lines & (1 << index) != 0 && self.routes[index].get() == core as u64
        })
    }

    /// Whether a core that has stopped there can go on in the kernel.
    pub(crate) fn can_go(&self, core: usize, stop: Stop) -> bool {
        match stop {
            Stop::User => false,
            Stop::Point | Stop::Sent | Stop::Publish => true,
            Stop::Lock(word, value) => word.load() == value,
            Stop::Event => self.cores[core].event.bit(0),
            Stop::Interrupt => self.interrupt(core).is_some(),
        }
    }

    /// A core goes on with this input: it is the one that runs.
    pub(crate) fn go_on(&self, core: usize, input: &Input) {
        self.running.set(core as u64);
        if matches!(input, Input::Trap(..)) {
            self.cores[core].entered.set(self.now.get());
        }
    }

    fn sent(&self) {
        if self.interleaves.bit(0) {
            self.stop(Stop::Sent);
        }
    }

    pub(crate) fn set_interleaving(&self, on: bool) {
        self.interleaves.set_bit(0, on);
    }

    pub(crate) fn is_interleaving(&self) -> bool {
        self.interleaves.bit(0)
    }

    pub(crate) fn pass(&self, ticks: u64) {
        self.now.set(self.now.get() + ticks);
    }

    pub(crate) fn raise(&self, line: u32) {
        if let Some(line) = device(line) {
            self.pending.set_bit(line, true);
        }
    }

    fn set_mask(&self, core: CoreId, intid: u32, masked: bool) {
        if intid < 32 {
            self.cores[core.index()]
                .masked
                .set_bit(intid as usize, masked);
        } else if let Some(line) = device(intid) {
            self.masked.set_bit(line, masked);
        }
    }
}

fn device(intid: u32) -> Option<usize> {
    DEVICES
        .contains(&intid)
        .then(|| (intid - DEVICES.start) as usize)
}

impl Hardware for Chips {
    fn this_core(&self) -> CoreId {
        CoreId(self.running.get() as u16)
    }

    fn counter(&self) -> u64 {
        // Every look takes a moment.
        self.pass(1);
        let now = self.now.get();
        let mut own = self.core().own();
        let locked = core::mem::take(&mut own.locking);
        own.looks.push(Look { time: now, locked });
        now
    }

    fn set_timer(&self, deadline: u64) {
        self.core().deadline.set(deadline);
    }

    fn set_current_context(&self, context: Option<ObjRef<Context>>) {
        self.core().own().context = context;
    }

    fn load_user_root(&self, root: UserRoot) {
        self.core().own().root = root;
    }

    fn interleave(&self) {
        self.core().own().locking = true;
        if self.interleaves.bit(0) {
            self.stop(Stop::Point);
        }
    }

    fn publish(&self) {
        if self.interleaves.bit(0) {
            self.stop(Stop::Publish);
        }
    }

    fn wait(&self, wait: Wait<'_>) {
        match wait {
            Wait::Equal(word, value) => {
                while word.load(Ordering::Acquire) != value {
                    self.stop(Stop::Lock(Word::new(word), value));
                }
            }
            Wait::Event => {
                if !self.core().event.bit(0) {
                    self.stop(Stop::Event);
                }
                self.core().event.set(0);
            }
            Wait::Interrupt => self.stop(Stop::Interrupt),
        }
    }

    fn send_event(&self) {
        self.cores.iter().for_each(|core| core.event.set(1));
        self.sent();
    }

    fn ring(&self, core: CoreId) {
        self.send_sgi(DOORBELL, core);
        self.sent();
    }

    fn interrupt_pending(&self) -> bool {
        self.interrupt(self.running.get() as usize).is_some()
    }

    fn acknowledge(&self) -> Ack {
        let intid = self.interrupt(self.running.get() as usize);
        self.core().own().acknowledged = intid;
        if let Some(intid) = intid {
            if intid < 16 {
                self.core().sgis.set_bit(intid as usize, false);
            } else if let Some(line) = device(intid) {
                // Edges; a level would come again, as the machine's driver raises it again.
                self.pending.set_bit(line, false);
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
            self.routes[line].set(u64::from(core.0));
        }
    }

    fn send_sgi(&self, sgi: u32, core: CoreId) {
        self.cores[core.index()].sgis.set_bit(sgi as usize, true);
    }

    fn allow_user_fpu(&self, allow: bool) {
        self.core().own().fpu_allowed = allow;
    }

    fn save_fpu(&self, state: &mut FpuState) {
        state.v[0] = self.core().own().fpu;
    }

    fn load_fpu(&self, state: &FpuState) {
        self.core().own().fpu = state.v[0];
    }
}
