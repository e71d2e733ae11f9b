//! A run: the machine, what its threads do, and the list of decisions that makes it repeatable.

pub mod calls;

use std::collections::HashMap;
use std::fmt;
use std::panic::{self, AssertUnwindSafe};

use sel4_abi::MessageInfo;
use tern_kernel::access::Kernel;
use tern_kernel::arch::sanitise_spsr;
use tern_kernel::cap::Cap;
use tern_kernel::cspace;
use tern_kernel::entry::Cause;
use tern_kernel::ipc::transfer;
use tern_kernel::object::{Context, ObjRef, ScRef, TcbRef};
use tern_kernel::types::CoreId;

use crate::check::time::Configuring;
use crate::check::{self, Checker};
use crate::cores::Store;
use crate::generate::Generator;
use crate::machine::{DEVICES, Kind, Machine, Stop};
use crate::op::{Access, Call, Op};
use crate::random::Random;
use crate::replay::Journal;
use crate::witness::{Tally, Witness};
use crate::world::{FIRST_HANDLED, HANDLERS, Ram, World};

/// Word offsets in an IPC buffer.
const MESSAGE: usize = 1;
pub(crate) const CAPS: usize = 122;
pub(crate) const RECEIVE: usize = 125;

/// Syndromes of aborts at EL0 on an unmapped page, by reading, writing and fetching; of a write that the entry forbids;
/// and of an undefined instruction.
const READ_ABORT: u32 = 0x9200_0006;
const WRITE_ABORT: u32 = 0x9200_0046;
const FETCH_ABORT: u32 = 0x8200_0006;
const WRITE_FORBIDDEN: u32 = 0x9200_004f;
const UNDEFINED: u32 = 0x0200_0000;

/// One decision.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// The core goes on in the kernel.
    Go { core: usize },
    /// The core in user mode is interrupted.
    Interrupt { core: usize },
    /// The thread that runs on the core does this next, or its interrupted system call again.
    Do { core: usize, op: Op },
    /// Nothing happens for a while.
    Pass { ticks: u64 },
    /// A device raises its line.
    Raise { line: u32 },
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Go { core } => write!(f, "core {core} goes on"),
            Self::Interrupt { core } => write!(f, "core {core} is interrupted"),
            Self::Do { core, op } => write!(f, "core {core}: the thread {op}"),
            Self::Pass { ticks } => write!(f, "{ticks} ticks pass"),
            Self::Raise { line } => write!(f, "line {line} is raised"),
        }
    }
}

/// The system call that a thread made last: if it is found there again, it makes the call again.
#[derive(Clone, Copy)]
struct LastCall {
    pc: u64,
    fpu: u128,
    /// The scheduling context that the call configures, and the core on which it will be.
    configures: Option<(ScRef, u16)>,
}

/// A machine with threads at work.
pub struct Driver {
    machine: Machine,
    programs: HashMap<usize, LastCall>,
    checker: Checker,
    /// Holds every section against the model, if that is wanted.
    witness: Option<Witness>,
    /// Steps taken.
    pub steps: u64,
}

/// How a run ended.
#[derive(Debug)]
pub enum End {
    Good,
    /// What went wrong.
    Bad(String),
}

impl Driver {
    fn new(kind: Kind, cores: usize, record: bool, ram: &Ram) -> Self {
        let machine = Machine::new(kind, cores, record, |system| ram.boot(system));
        let mut driver = Self {
            machine,
            programs: HashMap::new(),
            checker: Checker::default(),
            witness: None,
            steps: 0,
        };
        for core in (0..cores).rev() {
            driver.machine.go(core);
        }
        assert_eq!(driver.machine.stop(0), Stop::User, "the root task runs");
        driver
    }

    /// Looks at the kernel's state.
    pub fn inspect(&self) -> Kernel<'static> {
        Kernel::inspect(self.machine.system(), CoreId::BOOT)
    }

    pub fn machine(&self) -> &Machine {
        &self.machine
    }

    /// The running thread of the boot core makes a call that must succeed.
    pub fn must(&mut self, call: &Call) {
        self.user(0, &Op::Call(call.clone()));
        assert_eq!(self.machine.stop(0), Stop::User);
        let label = self.answer(0);
        assert_eq!(label, 0, "{call}: error {label}");
    }

    /// From now on every section is held against the model.
    pub fn compare_with_model(&mut self) {
        self.witness = Some(Witness::new(&mut self.inspect(), &self.machine));
    }

    /// The checks look at the objects in these slots.
    fn watch(&mut self, slots: impl Iterator<Item = u64>) {
        let (tcb, _) = self.running(0);
        let k = self.inspect();
        self.checker.slots = slots
            .filter_map(|cptr| cspace::lookup_slot(&k, tcb, cptr).ok())
            .collect();
    }

    /// The label of the answer that the running thread of a core has got.
    fn answer(&self, core: usize) -> u64 {
        let context = self.machine.context(core).expect("a thread runs");
        MessageInfo(self.inspect().get(context).x[1]).label()
    }

    /// The thread that runs on a core, as the processor knows it.
    fn running(&self, core: usize) -> (TcbRef, ObjRef<Context>) {
        let context = self.machine.context(core).expect("a thread runs");
        let current = self.inspect().core(CoreId(core as u16)).current;
        let tcb = current.expect("the kernel knows who runs");
        assert_eq!(tcb.context(), context, "who runs on core {core}");
        (tcb, context)
    }

    /// Whether the thread on this core is about to make its last system call again.
    fn repeats(&self, core: usize) -> bool {
        let (_, context) = self.running(core);
        let pc = self.inspect().get(context).next_ip;
        self.programs
            .get(&context.address())
            .is_some_and(|last| last.pc == pc)
    }

    /// The thread on this core does something: why it enters the kernel, if it does.
    fn user(&mut self, core: usize, op: &Op) -> Option<Cause> {
        let (tcb, context) = self.running(core);
        let k = self.inspect();
        let registers = k.get(context);
        let pc = registers.next_ip;
        let spsr = registers.spsr;
        assert_eq!(spsr, sanitise_spsr(spsr), "a thread's status register");
        let again = self.repeats(core);
        let last = self.programs.entry(context.address()).or_insert(LastCall {
            pc: !0,
            fpu: 0,
            configures: None,
        });
        last.pc = !0;
        if !again {
            last.configures = match op {
                Op::Call(call) => configures(&k, tcb, call),
                _ => None,
            };
        }
        let mut stores = vec![register(&registers.fault_ip, pc)];
        let cause = match op {
            _ if again => {
                last.pc = pc;
                stores.push(register(&registers.next_ip, pc.wrapping_add(4)));
                Cause::Syscall
            }
            Op::Call(call) => {
                last.pc = pc;
                stores.push(register(&registers.next_ip, pc.wrapping_add(4)));
                enter_registers(&k, tcb, registers, call, &mut stores);
                Cause::Syscall
            }
            Op::MemoryFault { address, access } => {
                let address = *address;
                let data = |syndrome| Cause::DataAbort { address, syndrome };
                match access {
                    Access::Read => data(READ_ABORT),
                    Access::Write => data(WRITE_ABORT),
                    Access::Forbidden => data(WRITE_FORBIDDEN),
                    Access::Fetch => Cause::InstructionAbort {
                        address,
                        syndrome: FETCH_ABORT,
                    },
                }
            }
            Op::Exception => Cause::UserException {
                syndrome: UNDEFINED,
            },
            Op::Fpu(value) => match self.machine.fpu(core) {
                None => Cause::FpuAccess,
                Some(found) => {
                    assert_eq!(found, last.fpu, "a thread's vector register");
                    last.fpu = u128::from(*value);
                    self.machine.set_fpu(core, last.fpu);
                    return None;
                }
            },
            Op::Work(ticks) => {
                // Nobody runs past his timer: the interrupt comes first.
                let now = self.machine.now();
                let deadline = self.machine.next_deadline().unwrap_or(u64::MAX);
                let most = deadline.saturating_sub(now).max(1);
                self.machine.pass(u64::from(*ticks).min(most));
                return None;
            }
        };
        self.machine.trap(core, cause, stores);
        Some(cause)
    }

    /// Takes a decision, if it can be taken now. Tells whether.
    pub fn take(&mut self, step: &Step) -> bool {
        let cores = self.machine.num_cores();
        let in_user = |core: usize| core < cores && self.machine.stop(core) == Stop::User;
        let mut entered = None;
        match step {
            Step::Go { core } => {
                if *core >= cores || !self.machine.can_go(*core) {
                    return false;
                }
                if self.machine.stop(*core) == Stop::Interrupt {
                    entered = Some(Cause::Interrupt);
                }
                self.machine.pass(1);
                let k = self.inspect();
                if let Some(witness) = &mut self.witness {
                    let held = self.checker.locks.held(*core);
                    witness.goes_on(&k, &self.machine, *core, held);
                }
                self.machine.go(*core);
            }
            Step::Interrupt { core } => {
                if !in_user(*core) || self.machine.interrupt(*core).is_none() {
                    return false;
                }
                let (_, context) = self.running(*core);
                let k = self.inspect();
                let registers = k.get(context);
                let interrupted = register(&registers.fault_ip, registers.next_ip);
                entered = Some(Cause::Interrupt);
                self.machine
                    .trap(*core, Cause::Interrupt, vec![interrupted]);
            }
            Step::Do { core, op } => {
                if !in_user(*core) {
                    return false;
                }
                self.machine.pass(3);
                entered = self.user(*core, op);
            }
            Step::Pass { ticks } => self.machine.pass(*ticks),
            Step::Raise { line } => self.machine.raise(*line),
        }
        self.steps += 1;
        let moved = match step {
            Step::Go { core } | Step::Interrupt { core } | Step::Do { core, .. } => Some(*core),
            Step::Pass { .. } | Step::Raise { .. } => None,
        };
        self.checker.clocks.configured.clear();
        let configured = self.programs.iter().filter_map(|(&thread, last)| {
            let (sc, core) = last.configures?;
            Some(Configuring { sc, core, thread })
        });
        self.checker.clocks.configured.extend(configured);
        let mut k = self.inspect();
        self.checker.step(&k, &self.machine, moved);
        let Some(core) = moved else { return true };
        if let (Some(witness), Some(cause)) = (&mut self.witness, entered) {
            witness.enters(&k, &self.machine, core, cause);
        }
        if self.machine.stop(core) == Stop::Publish {
            if let Some(witness) = &mut self.witness {
                witness.releases(&mut k, &self.machine, core);
            }
            check::state(k, &self.machine, &mut self.checker, core);
            for thread in self.checker.clocks.done.drain(..) {
                if let Some(last) = self.programs.get_mut(&thread) {
                    last.configures = None;
                }
            }
        }
        true
    }
}

/// The scheduling context that a call configures, if it is such a call, and the core.
fn configures(k: &Kernel<'_>, tcb: TcbRef, call: &Call) -> Option<(ScRef, u16)> {
    let cap = |cptr| {
        let slot = cspace::lookup_slot(k, tcb, cptr).ok()?;
        Some(k.get(slot).cap())
    };
    match (cap(call.x[0])?, cap(*call.caps.first()?)?) {
        (Cap::SchedControl { core }, Cap::SchedContext { sc, .. }) => Some((sc, core.0)),
        _ => None,
    }
}

fn register(register: &u64, value: u64) -> Store {
    Store::Register {
        address: (&raw const *register).addr(),
        value,
    }
}

/// What user level puts into its registers and its buffer before a call.
fn enter_registers(
    k: &Kernel<'_>,
    tcb: TcbRef,
    registers: &Context,
    call: &Call,
    stores: &mut Vec<Store>,
) {
    let numbered = |number: usize, value| register(&registers.x[number], value);
    stores.extend((0..7).map(|number| numbered(number, call.x[number])));
    stores.push(numbered(7, call.number as u64));
    stores.push(numbered(8, call.x[8]));
    let Some(buffer) = transfer::ipc_buffer(k, tcb, true) else {
        return;
    };
    let parts = [
        (MESSAGE + 4, call.words.as_slice()),
        (CAPS, call.caps.as_slice()),
        (
            RECEIVE,
            call.receive.as_ref().map_or(&[][..], |words| words),
        ),
    ];
    for (start, words) in parts {
        let words = words.iter().enumerate();
        stores.extend(words.map(|(index, &value)| Store::Memory {
            address: buffer.address(start + index),
            value,
        }));
    }
}

/// A machine with the world's threads on it, for a story that is told step by step. Entries are one step each until
/// interleaving is switched on.
pub fn stage(ram: &Ram, cores: usize) -> (Driver, World) {
    stage_on(ram, Kind::default(), cores, false)
}

/// The same, with cores of a kind. The machine may record what is done to it.
fn stage_on(ram: &Ram, kind: Kind, cores: usize, record: bool) -> (Driver, World) {
    let mut driver = Driver::new(kind, cores, record, ram);
    let world = World::create(&mut driver, cores);
    let objects = world.contexts.clone().chain(world.replies.clone());
    let queues = world.endpoints.clone().chain(world.notifications.clone());
    driver.watch(objects.chain(queues));
    (driver, world)
}

/// Makes the decisions of a run.
struct Decider<'a> {
    generator: &'a mut Generator,
    world: &'a World,
    last: usize,
}

impl Decider<'_> {
    fn next(&mut self, driver: &Driver) -> Option<Step> {
        let machine = driver.machine();
        let ready: Vec<usize> = (0..machine.num_cores())
            .filter(|&core| machine.stop(core) == Stop::User || machine.can_go(core))
            .collect();
        let random = &mut self.generator.random;
        if ready.is_empty() {
            // All sleep. Time goes to the next timer, or a device has something to say.
            if let Some(deadline) = machine.next_deadline()
                && deadline > machine.now()
            {
                return Some(Step::Pass {
                    ticks: deadline - machine.now(),
                });
            }
            return Some(Step::Raise { line: line(random) });
        }
        if random.rand_range(0u32..400) == 0 {
            return Some(Step::Raise { line: line(random) });
        }
        // Often the same core goes on, so that entries are long and short beside each other.
        let stays = ready.contains(&self.last) && random.rand_range(0u32..3) > 0;
        let core = if stays {
            self.last
        } else {
            ready[random.rand_range(0..ready.len() as u32) as usize]
        };
        self.last = core;
        if machine.stop(core) != Stop::User {
            return Some(Step::Go { core });
        }
        if machine.interrupt(core).is_some() && random.rand_range(0u32..20) > 0 {
            return Some(Step::Interrupt { core });
        }
        let (tcb, _) = driver.running(core);
        let op = self.generator.op(self.world, &driver.inspect(), tcb);
        Some(Step::Do { core, op })
    }
}

/// A device's line: mostly one that threads have a handler for.
fn line(random: &mut Random) -> u32 {
    if random.once_in(3) {
        random.rand_range(DEVICES.start..DEVICES.end)
    } else {
        FIRST_HANDLED + random.below(HANDLERS as u64) as u32
    }
}

/// A run's parameters.
#[derive(Clone, Copy, Debug)]
pub struct Plan {
    pub seed: u64,
    pub cores: usize,
    pub steps: u64,
    /// Whether every section is held against the model.
    pub model: bool,
}

/// What came of a run.
pub struct Outcome {
    pub end: End,
    pub trace: Vec<Step>,
    pub steps: u64,
    pub tally: Tally,
    /// All that was done to the machine, if it was recorded.
    pub journal: Option<Journal>,
}

/// Makes a run from a seed.
pub fn from_seed(ram: &Ram, plan: Plan) -> Outcome {
    from_seed_on(ram, plan, Kind::default(), false)
}

/// The same, on cores of a kind, with a journal of it if that is wanted.
pub fn from_seed_on(ram: &Ram, plan: Plan, kind: Kind, record: bool) -> Outcome {
    decided(ram, plan, kind, record, Generator::new(plan.seed))
}

/// Makes a run from a list of bytes: the next ones are the next decision, whatever they are. It ends with them.
pub fn from_list(ram: &Ram, plan: Plan, list: &[u8]) -> Outcome {
    decided(
        ram,
        plan,
        Kind::default(),
        false,
        Generator::from_list(list),
    )
}

fn decided(ram: &Ram, plan: Plan, kind: Kind, record: bool, mut generator: Generator) -> Outcome {
    let begin = || stage_on(ram, kind, plan.cores, record);
    guarded(begin, plan.model, |driver, world, trace| {
        let mut decider = Decider {
            generator: &mut generator,
            world,
            last: 0,
        };
        for _ in 0..plan.steps {
            if decider.generator.random.is_over() {
                break;
            }
            let Some(step) = decider.next(driver) else {
                break;
            };
            trace.push(step.clone());
            driver.take(&step);
        }
    })
}

/// Makes a run from decisions. Those that cannot be taken are left out.
pub fn from_trace(ram: &Ram, cores: usize, model: bool, steps: &[Step]) -> Outcome {
    guarded(
        || stage(ram, cores),
        model,
        |driver, _, trace| {
            for step in steps {
                trace.push(step.clone());
                if !driver.take(step) {
                    trace.pop();
                }
            }
        },
    )
}

fn guarded(
    begin: impl FnOnce() -> (Driver, World),
    model: bool,
    work: impl FnOnce(&mut Driver, &World, &mut Vec<Step>),
) -> Outcome {
    let mut trace = Vec::new();
    let mut steps = 0;
    let mut tally = Tally::default();
    let mut journal = None;
    let result = panic::catch_unwind(AssertUnwindSafe(|| {
        let (mut driver, world) = begin();
        driver.machine.set_interleaving(true);
        if model {
            driver.compare_with_model();
        }
        let result = panic::catch_unwind(AssertUnwindSafe(|| {
            work(&mut driver, &world, &mut trace);
        }));
        steps = driver.steps;
        journal = driver.machine.take_journal();
        if let Some(witness) = driver.witness {
            tally = witness.tally;
        }
        if let Err(problem) = result {
            panic::resume_unwind(problem);
        }
    }));
    let end = match result {
        Ok(()) => End::Good,
        Err(problem) => End::Bad(text_of(problem.as_ref())),
    };
    Outcome {
        end,
        trace,
        steps,
        tally,
        journal,
    }
}

fn text_of(problem: &(dyn std::any::Any + Send)) -> String {
    if let Some(text) = problem.downcast_ref::<String>() {
        text.clone()
    } else if let Some(text) = problem.downcast_ref::<&str>() {
        (*text).to_string()
    } else {
        "a panic without words".to_string()
    }
}

/// Leaves out decisions as long as the run ends in the same way.
pub fn shrink(ram: &Ram, plan: Plan, trace: Vec<Step>, problem: &str) -> Vec<Step> {
    let same = |steps: &[Step]| {
        let outcome = from_trace(ram, plan.cores, plan.model, steps);
        match outcome.end {
            End::Bad(text) if kind(&text) == kind(problem) => Some(outcome.trace),
            _ => None,
        }
    };
    let mut best = trace;
    let mut chunk = best.len().div_ceil(2);
    while chunk > 0 {
        let mut start = 0;
        let mut shorter = false;
        while start < best.len() {
            let end = (start + chunk).min(best.len());
            let mut candidate = best[..start].to_vec();
            candidate.extend_from_slice(&best[end..]);
            match same(&candidate) {
                Some(found) => {
                    best = found;
                    shorter = true;
                }
                None => start = end,
            }
        }
        if chunk == 1 && !shorter {
            break;
        }
        chunk = if chunk == 1 { 1 } else { chunk / 2 };
    }
    best
}

/// A problem's text without its numbers.
fn kind(text: &str) -> String {
    text.chars().filter(|c| !c.is_ascii_hexdigit()).collect()
}
