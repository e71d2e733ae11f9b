//! Short cuts for the entries that matter most, beside the way that defines what they do ([`crate::entry`]).
//!
//! A short cut looks at everything it depends on before it writes anything. If all is as usual it does the whole entry,
//! dispatch included; else the usual way begins, with the lock in hand and nothing changed. It depends on the core
//! being calm ([`crate::system::Core::calm_until`]): the budget lasts, no refill is due, and nobody wants anything. So
//! one whose context goes on paying need not account time: what has passed is charged by the next entry that does, to
//! the same context, as it would have been anyway.
//!
//! Locks are taken by one try each: who finds one held by somebody else goes the usual way, which waits.

mod message;
mod method;
mod notification;
mod plain;
mod switch;

use sel4_abi::{MessageInfo, Syscall};

use crate::{
    access::Kernel,
    arch,
    cap::RawCap,
    config::{FASTPATH, SMP},
    cspace,
    entry::{self, Cause},
    fault::Fault,
    irq, masked,
    object::{Progress, TcbRef},
    reach as needs, syscall,
    types::CoreId,
    vspace,
};

/// Whose registers the trap exit loads, where it has not done so by now.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The same thread's: nothing but its general-purpose registers has changed, of these at most x0 to x18.
    Same,
    Any,
    /// Nobody's: the core waits.
    Idle,
}

/// What a short cut did; none if it did nothing.
type Short = Option<Exit>;

/// A system call of the thread that runs on this core.
pub fn syscall(me: CoreId) -> Exit {
    enter(me, Cause::Syscall, attempt)
}

/// A fault of the thread that runs on this core.
pub fn exception(me: CoreId, cause: Cause) {
    enter(me, cause, |k, caller, entered| {
        let fault = match cause {
            Cause::UserException { syndrome } => Fault::UserException { syndrome },
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
            Cause::FpuAccess | Cause::Syscall | Cause::Interrupt => return None,
        };
        if let Fault::Vm {
            address, syndrome, ..
        } = fault
            && vspace::is_fault_outdated(k, caller, address, syndrome)
        {
            return None;
        }
        message::fault(k, caller, fault, entered)
    });
}

/// An interrupt while a thread runs on this core.
pub fn interrupt(me: CoreId) {
    if !FASTPATH {
        return entry::enter(me, Cause::Interrupt);
    }
    masked::begin(me);
    let interrupt = irq::acknowledge(me);
    let Some(mut k) = Kernel::try_lock_own(me) else {
        return entry::enter_acknowledged(me, Cause::Interrupt, interrupt);
    };
    let entered = arch::counter();
    if let Some(intid) = interrupt
        && let Some(current) = undisturbed(&k, entered)
        && notification::interrupt(&mut k, current, intid, entered).is_some()
    {
        needs::count(&k);
        k.release_quietly();
        masked::end(me);
        return;
    }
    entry::enter_locked(k, Cause::Interrupt, interrupt, entered);
}

#[inline(always)]
fn enter(
    me: CoreId,
    cause: Cause,
    attempt: impl FnOnce(&mut Kernel<'_>, TcbRef, u64) -> Short,
) -> Exit {
    if FASTPATH {
        masked::begin(me);
        if let Some(mut k) = Kernel::try_lock_own(me) {
            // Under the lock, so that it is not earlier than what other cores have written there.
            let entered = arch::counter();
            let caller = undisturbed(&k, entered);
            if let Some(caller) = caller
                && let Some(exit) = attempt(&mut k, caller, entered)
            {
                needs::count(&k);
                k.release_quietly();
                masked::end(me);
                match exit {
                    Exit::Same => {}
                    Exit::Any => arch::return_to_user(),
                    Exit::Idle => entry::idle(me),
                }
                return exit;
            }
            match caller {
                // Nobody wants anything else of this core, and a single send phase asks for locks on its way.
                Some(caller) if cause == Cause::Syscall && is_call(&k, caller) => {
                    entry::call_locked(k, caller);
                }
                _ => entry::enter_locked(k, cause, None, entered),
            }
            return Exit::Any;
        }
    }
    entry::enter(me, cause);
    Exit::Any
}

fn is_call(k: &Kernel<'_>, caller: TcbRef) -> bool {
    k.get(caller.context()).x[7] == Syscall::Call as u64
}

/// The thread that this core runs, if nothing else is to be looked at first.
#[inline(always)]
fn undisturbed(k: &Kernel<'_>, entered: u64) -> Option<TcbRef> {
    let this = k.this();
    if entered >= this.calm_until {
        return None;
    }
    let caller = this.current?;
    (k.get(caller).progress == Progress::None).then_some(caller)
}

#[inline(always)]
fn attempt(k: &mut Kernel<'_>, caller: TcbRef, entered: u64) -> Short {
    let x = &k.get(caller.context()).x;
    let number = x[7] as i64;
    let info = MessageInfo(x[1]);
    let (dest, reply) = (x[0], x[6]);
    let Some(call) = Syscall::from_number(number) else {
        return unknown(k, caller, x[7], entered);
    };
    match call {
        Syscall::Call => {
            let slot = cspace::lookup_slot(k, caller, dest).ok()?;
            let cap = k.get(slot).raw();
            if info.extra_caps() == 0 {
                let sent = message::call(k, caller, cap, info, entered)
                    .or_else(|| plain::call(k, caller, cap));
                if sent.is_some() {
                    return sent;
                }
            }
            method::call(k, caller, slot, info)
        }
        Syscall::ReplyRecv => message::reply_recv(k, caller, dest, reply, info, entered),
        Syscall::Send | Syscall::NBSend => {
            let cap = send_cap(k, caller, dest, info)?;
            notification::signal(k, caller, cap, entered)
                .or_else(|| message::send(k, caller, cap, info, entered))
                .or_else(|| plain::send(cap))
        }
        Syscall::Wait => {
            let cap = lookup(k, caller, dest)?;
            notification::wait(k, caller, cap, true, entered)
                .or_else(|| message::recv(k, caller, cap, None, entered))
        }
        Syscall::NBWait => {
            let cap = lookup(k, caller, dest)?;
            notification::wait(k, caller, cap, false, entered)
        }
        Syscall::Recv => {
            let cap = lookup(k, caller, dest)?;
            notification::wait(k, caller, cap, true, entered)
                .or_else(|| message::recv(k, caller, cap, Some(reply), entered))
        }
        Syscall::NBRecv => {
            let cap = lookup(k, caller, dest)?;
            notification::wait(k, caller, cap, false, entered)
        }
        Syscall::Yield => Some(plain::yield_slice(k, caller, entered)),
        Syscall::NBSendRecv | Syscall::NBSendWait => None,
    }
}

/// A number that is no system call's.
#[inline(never)]
fn unknown(k: &mut Kernel<'_>, caller: TcbRef, number: u64, entered: u64) -> Short {
    if syscall::is_debug_call(number as i64) {
        return None;
    }
    message::fault(k, caller, Fault::UnknownSyscall { number }, entered)
}

/// The capability that a message without capabilities is sent by.
#[inline(always)]
fn send_cap(k: &Kernel<'_>, caller: TcbRef, cptr: u64, info: MessageInfo) -> Option<RawCap> {
    if info.extra_caps() > 0 {
        return None;
    }
    lookup(k, caller, cptr)
}

/// The capability at an address of the thread.
#[inline(always)]
fn lookup(k: &Kernel<'_>, thread: TcbRef, cptr: u64) -> Option<RawCap> {
    let slot = cspace::lookup_slot(k, thread, cptr).ok()?;
    Some(k.get(slot).raw())
}

/// Has the lock of that home too, unless somebody else has it. Until the lock was held, the home could change.
#[inline(always)]
fn reach(k: &mut Kernel<'_>, home: impl Fn(&Kernel<'_>) -> CoreId) -> bool {
    if !SMP {
        return true;
    }
    let core = home(k);
    k.holds(core) || k.try_widen(core) && home(k) == core
}
