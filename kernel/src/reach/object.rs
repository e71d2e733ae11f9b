//! What the methods of threads and scheduling contexts touch.

use super::{Need, Reach, home, no_search, of_context, thread};
use crate::{
    access::Kernel,
    cap::IrqLine,
    irq,
    object::{NotificationRef, ReplyRef, ScRef, StackLink, TcbRef, ThreadState},
    types::CoreId,
};

/// A thread and a scheduling context find or lose each other.
pub fn bind(k: &Kernel<'_>, sc: ScRef, tcb: TcbRef) -> Reach {
    of_context(k, sc)?;
    thread(k, tcb).map(|_| ())
}

/// A scheduling context and a notification do.
pub fn bind_notification(k: &Kernel<'_>, sc: ScRef, notification: NotificationRef) -> Reach {
    of_context(k, sc)?;
    home(k, k.get(notification).home())
}

/// A thread and the notification that interrupts its waits do.
pub fn bind_waits(k: &Kernel<'_>, tcb: TcbRef, notification: NotificationRef) -> Reach {
    thread(k, tcb)?;
    home(k, k.get(notification).home())
}

/// A thread loses the notification that interrupts its waits.
pub fn unbind_waits(k: &Kernel<'_>, tcb: TcbRef) -> Reach {
    let bound = thread(k, tcb)?.bound_notification;
    bound.map_or(Ok(()), |bound| home(k, k.get(bound).home()))
}

/// Only the scheduling context itself.
pub fn context(k: &Kernel<'_>, sc: ScRef) -> Reach {
    of_context(k, sc)
}

/// A scheduling context is taken from its thread.
pub fn release(k: &Kernel<'_>, sc: ScRef) -> Reach {
    of_context(k, sc)?;
    k.get(sc).tcb.map_or(Ok(()), |tcb| yielder(k, tcb))
}

/// A scheduling context is taken from its thread, its notification and its callers.
pub fn unbind(k: &Kernel<'_>, sc: ScRef) -> Reach {
    release(k, sc)?;
    let bound = k.get(sc).notification;
    bound.map_or(Ok(()), |bound| home(k, k.get(bound).home()))
}

/// A scheduling context gets new parameters, and goes to a core.
pub fn configure(k: &Kernel<'_>, sc: ScRef, core: CoreId) -> Reach {
    home(k, core)?;
    release(k, sc)?;
    yielded(k, sc)
}

/// The thread of a scheduling context is to run before the caller.
pub fn yield_to(k: &Kernel<'_>, sc: ScRef) -> Reach {
    release(k, sc)?;
    yielded(k, sc)
}

/// A thread stops.
pub fn suspend(k: &Kernel<'_>, tcb: TcbRef) -> Reach {
    cancel(k, tcb)?;
    yielder(k, tcb)
}

/// A thread that does not run or wait to run does so.
pub fn resume(k: &Kernel<'_>, tcb: TcbRef) -> Reach {
    if thread(k, tcb)?.is_runnable() {
        return Ok(());
    }
    restart(k, tcb)
}

/// The same, and it may have been stopped in this entry.
pub fn restart(k: &Kernel<'_>, tcb: TcbRef) -> Reach {
    cancel(k, tcb)?;
    let sc = thread(k, tcb)?.sc;
    sc.map_or(Ok(()), |sc| of_context(k, sc))
}

/// A thread gives up its scheduling context, if it has one.
pub fn leave_context(k: &Kernel<'_>, tcb: TcbRef) -> Reach {
    let sc = thread(k, tcb)?.sc;
    sc.map_or(Ok(()), |sc| release(k, sc))
}

/// A thread's registers are written.
pub fn registers(k: &Kernel<'_>, tcb: TcbRef) -> Reach {
    no_search(thread(k, tcb)?)
}

/// Only the thread itself.
pub fn thread_alone(k: &Kernel<'_>, tcb: TcbRef) -> Reach {
    thread(k, tcb).map(|_| ())
}

/// A thread changes its place in the queue that it is in. Searches know of senders that are moved forward.
pub fn set_priority(k: &Kernel<'_>, tcb: TcbRef, priority: u8) -> Reach {
    let this = thread(k, tcb)?;
    match this.state {
        ThreadState::BlockedOnSend { .. } if priority > this.priority => Err(Need::All),
        _ => no_search(this),
    }
}

/// The core that has the registers of an interrupt line, if only one has.
pub fn line(k: &Kernel<'_>, line: IrqLine) -> Reach {
    irq::owner(line).map_or(Ok(()), |core| home(k, core))
}

/// A thread's wait ends. The queue in which it is has its home.
fn cancel(k: &Kernel<'_>, tcb: TcbRef) -> Reach {
    let this = thread(k, tcb)?;
    no_search(this)?;
    match this.state {
        ThreadState::BlockedOnReply { reply } => leave_stack(k, reply),
        _ => Ok(()),
    }
}

/// A reply object leaves its call stack. Only at the head does the scheduling context tell whose lock guards it.
fn leave_stack(k: &Kernel<'_>, reply: ReplyRef) -> Reach {
    home(k, k.get(reply).home())?;
    match k.get(reply).above() {
        StackLink::None if k.get(reply).below.get().is_none() => Ok(()),
        StackLink::Sc(sc) => {
            of_context(k, sc)?;
            if k.get(sc).reply == Some(reply) {
                Ok(())
            } else {
                Err(Need::All)
            }
        }
        StackLink::None | StackLink::Reply(_) => Err(Need::All),
    }
}

/// A thread, and what it has yielded to.
fn yielder(k: &Kernel<'_>, tcb: TcbRef) -> Reach {
    let to = thread(k, tcb)?.yield_to;
    to.map_or(Ok(()), |sc| of_context(k, sc))
}

/// The other end of that.
fn yielded(k: &Kernel<'_>, sc: ScRef) -> Reach {
    let from = k.get(sc).yield_from;
    from.map_or(Ok(()), |from| thread(k, from).map(|_| ()))
}
