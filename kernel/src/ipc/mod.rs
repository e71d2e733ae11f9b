//! Inter-process communication: endpoints, notifications, reply objects and faults.

pub mod endpoint;
pub mod fault;
pub mod notification;
pub mod reply;
pub mod transfer;
mod wait_queue;

pub use wait_queue::WaitQueue;

use crate::{
    access::Kernel,
    fault::Fault,
    object::{EndpointState, TcbRef, ThreadState},
};

/// Ends whatever wait a thread is in; its fault is forgotten. It becomes inactive if it waited, and stays as it is
/// otherwise.
pub fn cancel(k: &mut Kernel<'_>, tcb: TcbRef) {
    k.get_mut(tcb).fault = Fault::None;
    match k.get(tcb).state {
        ThreadState::BlockedOnSend { endpoint, .. }
        | ThreadState::BlockedOnReceive { endpoint } => {
            endpoint::cancel_wait(k, endpoint, tcb);
        }
        ThreadState::BlockedOnNotification { notification } => {
            notification::cancel_wait(k, notification, tcb);
        }
        ThreadState::BlockedOnReply { reply } => reply::cancel_caller(k, reply, tcb),
        ThreadState::Inactive | ThreadState::Running | ThreadState::Restart => {}
    }
}

/// Puts a blocked thread where its changed priority belongs in the queue in which it waits.
pub fn requeue(k: &mut Kernel<'_>, tcb: TcbRef, change: impl FnOnce(&mut Kernel<'_>)) {
    match k.get(tcb).state {
        ThreadState::BlockedOnSend { endpoint, .. }
        | ThreadState::BlockedOnReceive { endpoint } => {
            let (state, home) = (k.get(endpoint).state(), k.get(endpoint).home());
            let mut queue = k.get(endpoint).queue();
            let before = k.get(tcb).priority;
            queue.remove(k, tcb);
            change(k);
            queue.insert(k, tcb);
            if state == EndpointState::Sending && k.get(tcb).priority > before {
                let raised = &mut k.shared_mut().senders_raised;
                *raised = raised.wrapping_add(1);
            }
            k.get(endpoint).set_queue(queue, state, home);
        }
        ThreadState::BlockedOnNotification { notification } => {
            let home = k.get(notification).home();
            let mut queue = k.get(notification).queue();
            queue.remove(k, tcb);
            change(k);
            queue.insert(k, tcb);
            k.get(notification).set_queue(queue, home);
        }
        ThreadState::Inactive
        | ThreadState::Running
        | ThreadState::Restart
        | ThreadState::BlockedOnReply { .. } => change(k),
    }
}
