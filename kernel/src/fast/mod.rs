//! Short cuts for the system calls that matter most, beside the way that defines what they do ([`crate::syscall`]).
//!
//! A short cut looks at everything it depends on before it writes anything. If all is as usual it does the whole entry,
//! dispatch included; else the usual way begins, with the lock in hand and nothing changed. It depends on the core
//! being calm ([`crate::sched::time::is_calm`]): the budget lasts and no refill is due. So time need not be accounted:
//! what has passed is charged by the next entry that does, to the same context, which is what would have happened
//! anyway.

mod message;
mod switch;

use sel4_abi::Syscall;

use crate::{
    access::Kernel,
    arch,
    cap::RawCap,
    config::FASTPATH,
    cspace,
    entry::{self, Cause},
    masked,
    object::{Progress, TcbRef},
    types::CoreId,
};

/// Whose registers the trap exit loads.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    /// The same thread's: nothing but its general-purpose registers has changed, of these at most x0 to x18.
    Same,
    Any,
}

/// What a short cut did; none if it did nothing.
type Short = Option<Exit>;

/// A system call of the thread that runs on this core.
pub fn syscall(me: CoreId) -> Exit {
    if !FASTPATH {
        return slow(me);
    }
    masked::begin(me);
    let entered = arch::counter();
    let Some(mut k) = Kernel::try_lock_own(me) else {
        return slow(me);
    };
    match attempt(&mut k, entered) {
        Some(exit) => {
            k.release();
            masked::end(me);
            exit
        }
        None => {
            entry::enter_locked(k, Cause::Syscall, entered);
            Exit::Any
        }
    }
}

#[cold]
#[inline(never)]
fn slow(me: CoreId) -> Exit {
    entry::enter(me, Cause::Syscall);
    Exit::Any
}

#[inline(always)]
fn attempt(k: &mut Kernel<'_>, entered: u64) -> Short {
    let this = k.this();
    if entered >= this.calm_until {
        return None;
    }
    let caller = this.current?;
    if k.get(caller).progress != Progress::None {
        return None;
    }
    let number = k.get(caller.context()).x[7] as i64;
    match Syscall::from_number(number)? {
        Syscall::Call => message::call(k, caller),
        Syscall::ReplyRecv => message::reply_recv(k, caller),
        _ => None,
    }
}

/// The capability at an address of the thread.
#[inline(always)]
fn lookup(k: &Kernel<'_>, thread: TcbRef, cptr: u64) -> Option<RawCap> {
    let slot = cspace::lookup_slot(k, thread, cptr).ok()?;
    Some(k.get(slot).raw())
}
