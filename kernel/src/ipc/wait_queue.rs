//! The queue of an endpoint or notification: descending priority, first in first out within one.
//!
//! All threads form one list. The first thread of each priority also links to the first of the next higher and of the
//! next lower priority that wait (`up`, `down`), so that insertion passes priorities and not threads: at most 256 steps,
//! whoever queues. The last thread of a priority is the one before the first of the next, so removal needs no search.

use crate::{
    access::Kernel,
    object::{Links, TcbRef},
    preempt,
};

/// The ends of the queue. The links are in the threads; the owner stores this value back after each change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct WaitQueue {
    pub head: Option<TcbRef>,
    pub tail: Option<TcbRef>,
}

impl WaitQueue {
    pub const EMPTY: Self = Self {
        head: None,
        tail: None,
    };

    pub fn is_empty(&self) -> bool {
        self.head.is_none()
    }

    /// Behind every thread of at least its priority.
    pub fn insert(&mut self, k: &mut Kernel<'_>, tcb: TcbRef) {
        let priority = k.get(tcb).priority;
        // The first thread of the lowest priority that is at least ours, and of the one below it.
        let mut above = None;
        let mut below = self.head;
        while let Some(first) = below {
            if k.get(first).priority < priority {
                break;
            }
            above = Some(first);
            below = k.get(first).links.down;
        }
        let prev = match below {
            Some(below) => k.get(below).links.prev,
            None => self.tail,
        };
        let mut links = Links {
            prev,
            next: below,
            ..Links::NONE
        };
        let joins = above.is_some_and(|above| k.get(above).priority == priority);
        if !joins {
            links.up = above;
            links.down = below;
            if let Some(above) = above {
                k.get_mut(above).links.down = Some(tcb);
            }
            if let Some(below) = below {
                k.get_mut(below).links.up = Some(tcb);
            }
        }
        k.get_mut(tcb).links = links;
        match prev {
            Some(prev) => k.get_mut(prev).links.next = Some(tcb),
            None => self.head = Some(tcb),
        }
        match below {
            Some(below) => k.get_mut(below).links.prev = Some(tcb),
            None => self.tail = Some(tcb),
        }
    }

    pub fn remove(&mut self, k: &mut Kernel<'_>, tcb: TcbRef) {
        preempt::leave_search(k, tcb);
        let Links {
            prev,
            next,
            up,
            down,
            ..
        } = k.get(tcb).links;
        let priority = k.get(tcb).priority;
        let leads = prev.is_none_or(|prev| k.get(prev).priority != priority);
        if leads {
            let heir = next.filter(|&next| k.get(next).priority == priority);
            if let Some(heir) = heir {
                let links = &mut k.get_mut(heir).links;
                (links.up, links.down) = (up, down);
            }
            if let Some(up) = up {
                k.get_mut(up).links.down = heir.or(down);
            }
            if let Some(down) = down {
                k.get_mut(down).links.up = heir.or(up);
            }
        }
        match prev {
            Some(prev) => k.get_mut(prev).links.next = next,
            None => self.head = next,
        }
        match next {
            Some(next) => k.get_mut(next).links.prev = prev,
            None => self.tail = prev,
        }
        k.get_mut(tcb).links = Links::NONE;
    }
}
