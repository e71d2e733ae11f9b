//! Derivation agrees with use: whatever an object, a core or a queue names has a capability.

use std::collections::HashSet;

use tern_kernel::access::Kernel;
use tern_kernel::arch::to_physical;
use tern_kernel::cap::{Cap, ZombieKind};
use tern_kernel::debug;
use tern_kernel::object::{ObjRef, StackLink, ThreadState};

use super::tree::{Tree, zombie_memory};

/// Objects that have a capability, or are being deleted with one that is left; and how many there are.
struct Owned(HashSet<usize>);

impl Owned {
    fn has<T>(&self, object: ObjRef<T>, what: &str) {
        assert!(
            self.0.contains(&object.address()),
            "{what} {object:?} is in use, and has no capability"
        );
    }
}

pub(super) fn check(k: &Kernel<'_>, tree: &Tree) {
    let mut owned = Owned(HashSet::with_capacity(64));
    for node in tree.0.values() {
        owned.0.extend(match node.cap {
            Cap::Endpoint { endpoint, .. } => Some(endpoint.address()),
            Cap::Notification { notification, .. } => Some(notification.address()),
            Cap::Reply { reply, .. } => Some(reply.address()),
            Cap::SchedContext { sc, .. } => Some(sc.address()),
            Cap::Thread { tcb } => Some(tcb.address()),
            Cap::Zombie {
                base,
                kind: ZombieKind::Endpoint | ZombieKind::Notification,
                ..
            } => Some(base.address()),
            _ => None,
        });
        assert!(node.cap != Cap::Null, "an empty slot is in the tree");
        if let Some((base, bits)) = zombie_memory(node.cap) {
            assert_eq!(base % (1 << bits), 0, "where a zombie lies");
        }
    }
    for tcb in debug::threads(k) {
        owned.has(tcb, "thread");
        let this = k.get(tcb);
        match this.state {
            ThreadState::BlockedOnReceive { endpoint }
            | ThreadState::BlockedOnSend { endpoint, .. } => owned.has(endpoint, "endpoint"),
            ThreadState::BlockedOnReply { reply } => owned.has(reply, "reply object"),
            ThreadState::BlockedOnNotification { notification } => {
                owned.has(notification, "notification");
            }
            ThreadState::Inactive | ThreadState::Running | ThreadState::Restart => {}
        }
        if let Some(reply) = this.reply {
            owned.has(reply, "reply object");
        }
        if let Some(notification) = this.bound_notification {
            owned.has(notification, "notification");
        }
        for sc in this.sc.into_iter().chain(this.yield_to) {
            owned.has(sc, "context");
        }
    }
    for node in tree.0.values() {
        match node.cap {
            Cap::SchedContext { sc, .. } => {
                let this = k.get(sc);
                for tcb in this.tcb.into_iter().chain(this.yield_from) {
                    owned.has(tcb, "thread");
                }
                if let Some(notification) = this.notification {
                    owned.has(notification, "notification");
                }
                if let Some(reply) = this.reply {
                    owned.has(reply, "reply object");
                }
            }
            Cap::Reply { reply, .. } => {
                let this = k.get(reply);
                if let Some(tcb) = this.tcb() {
                    owned.has(tcb, "thread");
                }
                if let Some(below) = this.below.get() {
                    owned.has(below, "reply object");
                }
                match this.above() {
                    StackLink::None => {}
                    StackLink::Sc(sc) => owned.has(sc, "context"),
                    StackLink::Reply(above) => owned.has(above, "reply object"),
                }
            }
            Cap::Endpoint { endpoint, .. } => {
                let queue = k.get(endpoint).queue();
                for tcb in queue.head.into_iter().chain(queue.tail) {
                    owned.has(tcb, "thread");
                }
            }
            Cap::Notification { notification, .. } => {
                let this = k.get(notification);
                let queue = this.queue();
                for tcb in queue
                    .head
                    .into_iter()
                    .chain(queue.tail)
                    .chain(this.bound_tcb.get())
                {
                    owned.has(tcb, "thread");
                }
                if let Some(sc) = this.sc.get() {
                    owned.has(sc, "context");
                }
            }
            _ => {}
        }
    }
    for core in k.cores() {
        let core = k.core(core);
        if let Some(tcb) = core.current {
            owned.has(tcb, "thread");
        }
        if let Some(sc) = core.current_sc {
            owned.has(sc, "context");
        }
    }
    // A VSpace root in use has a capability too: a pool names it by its address.
    for pool in tree.0.values() {
        if let Cap::AsidPool { pool, .. } = pool.cap {
            let named = k.get(pool).0.iter().flatten();
            for &root in named {
                let place = to_physical(root.address());
                let mut all = tree.0.values();
                assert!(
                    all.any(|node| matches!(node.cap, Cap::VSpace { root, .. } if to_physical(root.address()) == place)),
                    "a pool names a VSpace that is gone"
                );
            }
        }
    }
}
