//! Kernel entries: the one way in and out.
//!
//! An entry takes the locks, accounts the time once, does what it came for, schedules, takes a last look for what other
//! cores want of this one, and releases the locks. It may have to start again: to be preempted, or to stop other cores
//! (see [`crate::smp::stop`]). Only values cross such a gap, and the current thread, which is live and so cannot go.

use core::sync::atomic::Ordering;

use sel4_abi::Syscall;

use crate::{
    access::Kernel,
    arch, debug,
    fault::Fault,
    invoke::Leave,
    ipc, irq, masked,
    object::{TcbRef, ThreadState},
    reach, sched,
    smp::stop::{self, Queued, Stopper},
    syscall,
    system::system,
    types::CoreId,
    vspace,
};

/// Why the core entered the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    Syscall,
    Interrupt,
    DataAbort {
        address: u64,
        syndrome: u32,
    },
    InstructionAbort {
        address: u64,
        syndrome: u32,
    },
    UserException {
        syndrome: u32,
    },
    /// A thread used a floating-point register that it may not use now.
    FpuAccess,
}

/// The syndrome of a trapped floating-point access: exception class 7, 32-bit instruction, condition 'always'.
const FPU_TRAP_SYNDROME: u32 = (0x07 << 26) | (1 << 25) | (1 << 24) | (0xe << 20);

/// Handles one trap from user level, or from the idle loop. Returns when a thread is to run; its registers are where
/// the trap exit looks for them.
pub fn enter(me: CoreId, cause: Cause) {
    masked::begin(me);
    // Before anything is decided, and before any lock: an interrupt is acknowledged once, whatever happens later.
    let interrupt = match cause {
        Cause::Interrupt => irq::acknowledge(me),
        _ => None,
    };
    enter_acknowledged(me, cause, interrupt);
}

/// The same where the interrupt, if there was one, has been taken from the controller.
pub fn enter_acknowledged(me: CoreId, cause: Cause, interrupt: Option<u32>) {
    let (mut cause, mut interrupt) = (cause, interrupt);
    while !enter_once(me, cause, interrupt) {
        masked::end(me);
        arch::wait_for_interrupt();
        masked::begin(me);
        cause = Cause::Interrupt;
        interrupt = irq::acknowledge(me);
    }
    masked::end(me);
}

/// The first dispatch of a core after it has been initialised.
pub fn start_core(me: CoreId) {
    system().flags[me.index()]
        .will_look
        .store(true, Ordering::SeqCst);
    let mut k = Kernel::lock_own(system(), me);
    sched::time::stamp_unaccounted(&mut k);
    k.this_mut().reprogram = true;
    if !leave(k, None) {
        idle(me);
    }
}

/// One entry: whether a thread runs now.
fn enter_once(me: CoreId, cause: Cause, interrupt: Option<u32>) -> bool {
    // From now on other cores need not ring this one: it will look before it leaves.
    system().flags[me.index()]
        .will_look
        .store(true, Ordering::SeqCst);
    // What is judged is what the thread used before this entry. The wait for the locks is charged too, but an entry
    // is not abandoned for it: a wait longer than a slice would be started again for ever.
    let entered = arch::counter();
    let k = Kernel::lock_own(system(), me);
    with_own_lock(k, cause, interrupt, entered)
}

/// Goes on after a short cut that has done nothing, with this core's lock. `entered` is when it was got.
#[inline(never)]
pub fn enter_locked(k: Kernel<'_>, cause: Cause, interrupt: Option<u32>, entered: u64) {
    let me = k.me();
    // Whoever asks for something holds this lock, and will find it set.
    k.flags(me).will_look.store(true, Ordering::Relaxed);
    let runs = with_own_lock(k, cause, interrupt, entered);
    masked::end(me);
    if !runs {
        idle(me);
    }
}

/// The core has nothing to run, and has released everything. Returns when a thread is to run.
pub fn idle(me: CoreId) {
    arch::wait_for_interrupt();
    enter(me, Cause::Interrupt);
}

/// The rest of an entry.
fn with_own_lock(mut k: Kernel<'_>, cause: Cause, interrupt: Option<u32>, entered: u64) -> bool {
    masked::set_reason(&k, k.this().current, cause);
    let Some(caller) = k.this().current else {
        k = k.secure(|k| reach::interrupt(k, interrupt));
        reach::count(&k);
        sched::time::stamp_unaccounted(&mut k);
        take_interrupt(&mut k, interrupt);
        return leave(k, None);
    };
    if is_debug_call(&k, caller, cause) && !debug::is_count(number(&k, caller)) {
        k = k.widen_to_all();
        reach::count(&k);
    }
    if let Some(returned) = quick(&mut k, caller, cause) {
        return match returned {
            Quick::Resume => leave_unscheduled(k),
            Quick::Leave => {
                sched::time::stamp(&mut k);
                leave(k, None)
            }
        };
    }
    sched::time::stamp_at(&mut k, entered);
    k = k.secure(|k| reach::entry(k, caller, cause, interrupt));
    reach::count(&k);
    let funded = sched::time::is_funded(&k);
    sched::time::stamp(&mut k);
    if !funded {
        sched::time::check_budget(&mut k);
    }
    if cause == Cause::Interrupt {
        // The thread is between two instructions, so nothing is abandoned for the wait: it is judged by that too.
        if funded && !sched::time::is_funded(&k) {
            k = k.secure(|k| reach::entry(k, caller, cause, interrupt));
            sched::time::stamp(&mut k);
            sched::time::check_budget(&mut k);
        }
        take_interrupt(&mut k, interrupt);
        return leave(k, None);
    }
    if !funded {
        stop::restart_current(&mut k);
        return leave(k, None);
    }
    perform(k, caller, cause)
}

/// A call of a funded thread that has just entered, with its core's lock, and goes on with nothing that was left half-way.
pub fn call_locked(mut k: Kernel<'_>, caller: TcbRef) {
    let me = k.me();
    masked::set_reason(&k, Some(caller), Cause::Syscall);
    k.flags(me).will_look.store(true, Ordering::Relaxed);
    // A short cut that came to nothing may have got further locks: not earlier than what their last holders read.
    sched::time::stamp(&mut k);
    let runs = perform(k, caller, Cause::Syscall);
    masked::end(me);
    if !runs {
        idle(me);
    }
}

/// Does what a funded thread asked for.
#[inline(always)]
fn perform(mut k: Kernel<'_>, caller: TcbRef, cause: Cause) -> bool {
    let me = k.me();
    // So that little work is not left half-way: a thread that deletes itself would not come back to finish it.
    k.this_mut().work_units = 0;
    let mut stopper: Option<Stopper> = None;
    loop {
        match act(&mut k, caller, cause) {
            Ok(()) => return leave(k, stopper),
            Err(Leave::Preempted) => return leave(k, stopper),
            Err(Leave::Need(need)) => {
                k = k
                    .retake(need)
                    .secure(|k| reach::call(k, caller, cause, None));
                reach::count(&k);
                sched::time::stamp(&mut k);
                continue;
            }
            Err(Leave::Stop(cores)) => match &mut stopper {
                // A thread that cannot run any more does not wait for other cores. The rest of its work is left until
                // it can.
                _ if !is_caller_live(&k, caller) => return leave(k, stopper),
                Some(holder) => {
                    sched::reschedule(&mut k);
                    holder.hold(&mut k, cores);
                    k.release();
                    holder.wait();
                }
                None => {
                    // Only the live thread may be in no queue while the locks are dropped.
                    sched::reschedule(&mut k);
                    k.release();
                    match Stopper::queue(system(), me, || park_in_queue(me)) {
                        Queued::Holder(holder) => stopper = Some(holder),
                        Queued::WasParked => {
                            let mut k = Kernel::lock_all(system(), me);
                            sched::time::stamp_unaccounted(&mut k);
                            return leave(k, None);
                        }
                    }
                }
            },
        }
        k = Kernel::lock_all(system(), me);
        // The wait was caused by this thread's call, and is charged to it.
        sched::time::stamp(&mut k);
        // It begins anew, perhaps with another capability: one that is no method of an object leaves the state as it is.
        k.get_mut(caller).state = ThreadState::Running;
    }
}

/// Whether the thread that made the call is still the one that this core runs, and could go on.
fn is_caller_live(k: &Kernel<'_>, caller: TcbRef) -> bool {
    k.this().current == Some(caller) && sched::runs_here(k, caller)
}

/// Tells the handler of an acknowledged interrupt. A timer that has fired asserts its line until it is programmed anew,
/// whether or not anything was due.
fn take_interrupt(k: &mut Kernel<'_>, interrupt: Option<u32>) {
    let Some(intid) = interrupt else { return };
    if intid == k.machine().timer_ppi {
        k.this_mut().reprogram = true;
    }
    irq::handle(k, intid);
}

/// Parks, for another core, while this one queues to stop others itself. The interrupted call starts again later.
fn park_in_queue(me: CoreId) {
    let mut k = Kernel::lock_own(system(), me);
    stop::restart_current(&mut k);
    let k = stop::park(k);
    k.release();
}

/// How an entry ends that is neither accounted nor, perhaps, scheduled.
enum Quick {
    Resume,
    Leave,
}

fn is_debug_call(k: &Kernel<'_>, caller: TcbRef, cause: Cause) -> bool {
    cause == Cause::Syscall && syscall::is_debug_call(number(k, caller))
}

/// The number of its system call.
fn number(k: &Kernel<'_>, caller: TcbRef) -> i64 {
    k.get(caller.context()).x[7] as i64
}

/// Entries that cost the thread nothing: debug calls, the first use of floating point, and faults that are none.
fn quick(k: &mut Kernel<'_>, caller: TcbRef, cause: Cause) -> Option<Quick> {
    match cause {
        Cause::Syscall if is_debug_call(k, caller, cause) => {
            debug::call(k, caller, number(k, caller));
            Some(Quick::Resume)
        }
        Cause::FpuAccess if !k.get(caller).is_fpu_disabled() => {
            k.get_mut(caller).fpu_used = true;
            sched::load_fpu(k, caller);
            Some(Quick::Resume)
        }
        // Another core may have been between the two steps of replacing an entry. It is done now, since it holds no
        // lock any more.
        Cause::DataAbort { address, syndrome } | Cause::InstructionAbort { address, syndrome }
            if vspace::is_fault_outdated(k, caller, address, syndrome) =>
        {
            Some(Quick::Leave)
        }
        _ => None,
    }
}

/// Does what the trap asks for.
fn act(k: &mut Kernel<'_>, caller: TcbRef, cause: Cause) -> Result<(), Leave> {
    let fault = match cause {
        Cause::Interrupt => return Ok(()),
        Cause::Syscall => {
            let number = k.get(caller.context()).x[7];
            match Syscall::from_number(number as i64) {
                Some(call) => return syscall::handle(k, caller, call),
                None => Fault::UnknownSyscall { number },
            }
        }
        Cause::DataAbort { address, syndrome } => Fault::Vm {
            address,
            instruction: false,
            syndrome,
        },
        Cause::InstructionAbort { address, syndrome } => Fault::Vm {
            address,
            instruction: true,
            syndrome,
        },
        Cause::UserException { syndrome } => Fault::UserException { syndrome },
        Cause::FpuAccess => Fault::UserException {
            syndrome: FPU_TRAP_SYNDROME,
        },
    };
    ipc::fault::raise(k, caller, fault);
    Ok(())
}

/// Schedules, answers what other cores want of this one, and releases everything: whether a thread runs now.
fn leave(k: Kernel<'_>, stopper: Option<Stopper>) -> bool {
    if stopper.is_none() && sched::goes_on(&k) {
        k.flags(k.me()).will_look.store(false, Ordering::Relaxed);
        k.release();
        return true;
    }
    look_and_leave(k, stopper)
}

#[inline(never)]
fn look_and_leave(mut k: Kernel<'_>, stopper: Option<Stopper>) -> bool {
    let me = k.me();
    let mut stopper = stopper;
    if let Some(holder) = &mut stopper {
        holder.free_cores();
    }
    sched::time::check_again(&mut k);
    loop {
        irq::apply_ppi_requests(&mut k);
        sched::schedule(&mut k);
        debug_assert!(k.this().current.is_none_or(|tcb| sched::runs_here(&k, tcb)));
        if !k.flags(me).hold.load(Ordering::Acquire) {
            break;
        }
        k = stop::park(k);
    }
    let runs = k.this().current.is_some();
    k.flags(me).will_look.store(false, Ordering::Relaxed);
    k.release();
    if let Some(holder) = stopper {
        holder.finish();
    }
    runs
}

/// Leaves with the current thread as it is, unless another core wants something.
fn leave_unscheduled(mut k: Kernel<'_>) -> bool {
    let me = k.me();
    if k.this().pending || k.flags(me).hold.load(Ordering::Acquire) {
        sched::time::stamp(&mut k);
        return leave(k, None);
    }
    k.flags(me).will_look.store(false, Ordering::Relaxed);
    k.release();
    true
}
