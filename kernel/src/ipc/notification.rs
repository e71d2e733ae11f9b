//! Notifications: signal, wait, and the scheduling context that may wait with them.

use super::reply;
use crate::{
    access::Kernel,
    invoke::Leave,
    object::{NotificationRef, NotificationState, TcbRef, ThreadState},
    preempt, sched,
};

/// Signals: a waiting thread, or the bound one if it waits for a message, goes on with the badge; else the badge is
/// kept.
pub fn signal(k: &mut Kernel<'_>, notification: NotificationRef, badge: u64) {
    match k.get(notification).state() {
        NotificationState::Idle => match k.get(notification).bound_tcb.get() {
            Some(tcb) if matches!(k.get(tcb).state, ThreadState::BlockedOnReceive { .. }) => {
                super::cancel(k, tcb);
                deliver(k, notification, tcb, badge);
            }
            _ => k.get(notification).set_active(badge),
        },
        NotificationState::Waiting => {
            let mut queue = k.get(notification).queue();
            let tcb = queue.head.expect("somebody waits");
            queue.remove(k, tcb);
            let home = k.get(notification).home();
            k.get(notification).set_queue(queue, home);
            deliver(k, notification, tcb, badge);
        }
        NotificationState::Active(word) => k.get(notification).set_active(word | badge),
    }
}

fn deliver(k: &mut Kernel<'_>, notification: NotificationRef, tcb: TcbRef, badge: u64) {
    k.get_mut(tcb).state = ThreadState::Running;
    k.get_mut(tcb.context()).x[0] = badge;
    lend_sc(k, notification, tcb);
    sched::wake_in_turn(k, tcb);
}

/// Waits, or takes what has been signalled.
pub fn wait(k: &mut Kernel<'_>, tcb: TcbRef, notification: NotificationRef, blocking: bool) {
    if let NotificationState::Active(_) = k.get(notification).state() {
        take(k, notification, tcb);
    } else if blocking {
        take_back_sc(k, notification, tcb);
        k.get_mut(tcb).state = ThreadState::BlockedOnNotification { notification };
        let mut queue = k.get(notification).queue();
        let home = if queue.is_empty() {
            k.me()
        } else {
            k.get(notification).home()
        };
        queue.insert(k, tcb);
        k.get(tcb.home()).set(home);
        k.get(notification).set_queue(queue, home);
    } else {
        k.get_mut(tcb.context()).x[0] = 0;
    }
}

/// The running thread takes the word of an active notification.
pub fn take(k: &mut Kernel<'_>, notification: NotificationRef, tcb: TcbRef) {
    let NotificationState::Active(word) = k.get(notification).state() else {
        unreachable!("the caller has seen it active");
    };
    k.get_mut(tcb.context()).x[0] = word;
    k.get(notification).set_idle();
    lend_sc(k, notification, tcb);
}

/// A passive thread that was signalled gets the notification's scheduling context, if that is free.
fn lend_sc(k: &mut Kernel<'_>, notification: NotificationRef, tcb: TcbRef) {
    if k.get(tcb).sc.is_some() {
        return;
    }
    if let Some(sc) = k.get(notification).sc.get()
        && k.get(sc).tcb.is_none()
    {
        sched::context::donate(k, sc, tcb);
        sched::context::unblock_sporadic(k, sc);
        sched::context::resume(k, sc);
    }
}

/// A thread that is about to wait gives back the scheduling context that the notification lent it.
pub fn take_back_sc(k: &mut Kernel<'_>, notification: NotificationRef, tcb: TcbRef) {
    if let Some(sc) = k.get(notification).sc.get()
        && k.get(tcb).sc == Some(sc)
    {
        sched::context::release_tcb(k, sc);
    }
}

/// Takes a waiting thread out of the queue; it becomes inactive.
pub fn cancel_wait(k: &mut Kernel<'_>, notification: NotificationRef, tcb: TcbRef) {
    let home = k.get(notification).home();
    let mut queue = k.get(notification).queue();
    queue.remove(k, tcb);
    k.get(notification).set_queue(queue, home);
    if let Some(reply) = k.get(tcb).reply {
        reply::unlink(k, reply, tcb);
    }
    k.get_mut(tcb).state = ThreadState::Inactive;
}

/// Sends everybody away who waits on a notification that goes: they try again and find it gone.
pub fn cancel_all(k: &mut Kernel<'_>, notification: NotificationRef) -> Result<(), Leave> {
    while let Some(tcb) = k.get(notification).queue().head {
        cancel_wait(k, notification, tcb);
        k.get_mut(tcb).state = ThreadState::Restart;
        sched::wake(k, tcb);
        preempt::point(k)?;
    }
    Ok(())
}

/// Ties a notification to a thread, so that signals interrupt its waits for messages.
pub fn bind(k: &mut Kernel<'_>, tcb: TcbRef, notification: NotificationRef) {
    k.get_mut(tcb).bound_notification = Some(notification);
    k.get(notification).bound_tcb.set(Some(tcb));
}

pub fn unbind(k: &mut Kernel<'_>, tcb: TcbRef) {
    if let Some(notification) = k.get_mut(tcb).bound_notification.take() {
        k.get(notification).bound_tcb.set(None);
    }
}
