//! Signals, and waits for them.

use sel4_abi::CapRights;

use super::{Exit, Short, reach, switch};
use crate::{
    access::Kernel,
    cap::RawCap,
    ipc::WaitQueue,
    irq,
    object::{NotificationRef, NotificationState, Progress, TcbRef, ThreadState},
    sched,
};

#[inline(always)]
pub(super) fn signal(k: &mut Kernel<'_>, current: TcbRef, cap: RawCap, entered: u64) -> Short {
    let (notification, badge, rights) = cap.as_notification()?;
    if !rights.contains(CapRights::WRITE) {
        return None;
    }
    tell(k, current, notification, badge, entered)
}

/// An interrupt that has a handler.
#[inline(always)]
pub(super) fn interrupt(k: &mut Kernel<'_>, current: TcbRef, intid: u32, entered: u64) -> Short {
    let (notification, badge) = irq::notification_of(k, intid)?;
    tell(k, current, notification, badge, entered)
}

#[inline(always)]
fn tell(
    k: &mut Kernel<'_>,
    current: TcbRef,
    notification: NotificationRef,
    badge: u64,
    entered: u64,
) -> Short {
    if !reach(k, |k| k.get(notification).home()) {
        return None;
    }
    let this = k.get(notification);
    match this.state() {
        NotificationState::Active(word) => this.set_active(word | badge),
        NotificationState::Idle if this.bound_tcb.get().is_none() => this.set_active(badge),
        NotificationState::Idle => return None,
        NotificationState::Waiting => {
            let waiter = this.queue().head?;
            return wake(k, current, notification, badge, waiter, entered);
        }
    }
    Some(Exit::Same)
}

/// The first waiter, with a context of its own, goes on.
#[inline(always)]
fn wake(
    k: &mut Kernel<'_>,
    current: TcbRef,
    notification: NotificationRef,
    badge: u64,
    waiter: TcbRef,
    entered: u64,
) -> Short {
    let thread = k.get(waiter);
    if thread.progress != Progress::None || thread.yield_to.is_some() {
        return None;
    }
    switch::wakeable(k, waiter, entered)?;

    sched::time::stamp_at(k, entered);
    let this = k.get(notification);
    let home = this.home();
    let mut queue = this.queue();
    if queue.tail == Some(waiter) {
        this.set_queue(WaitQueue::EMPTY, home);
    } else {
        queue.remove(k, waiter);
        k.get(notification).set_queue(queue, home);
    }
    k.get_mut(waiter).state = ThreadState::Running;
    k.get_mut(waiter.context()).x[0] = badge;
    Some(switch::compete(k, current, waiter, true))
}

#[inline(always)]
pub(super) fn wait(
    k: &mut Kernel<'_>,
    thread: TcbRef,
    cap: RawCap,
    blocking: bool,
    entered: u64,
) -> Short {
    let (notification, _, rights) = cap.as_notification()?;
    if !rights.contains(CapRights::READ) || !reach(k, |k| k.get(notification).home()) {
        return None;
    }
    let this = k.get(notification);
    if this.bound_tcb.get().is_some_and(|bound| bound != thread) {
        return None;
    }
    if let NotificationState::Active(word) = this.state() {
        this.set_idle();
        k.get_mut(thread.context()).x[0] = word;
        return Some(Exit::Same);
    }
    if !blocking {
        k.get_mut(thread.context()).x[0] = 0;
        return Some(Exit::Same);
    }
    if this.sc.get().is_some() || !switch::may_wait(k) {
        return None;
    }
    let next = switch::next(k)?;

    sched::time::stamp_at(k, entered);
    k.get_mut(thread).state = ThreadState::BlockedOnNotification { notification };
    let mut queue = k.get(notification).queue();
    let home = if queue.is_empty() {
        k.me()
    } else {
        k.get(notification).home()
    };
    queue.insert(k, thread);
    k.get(thread.home()).set(home);
    k.get(notification).set_queue(queue, home);
    switch::next_runs(k, next)
}
