//! Deletion, step by step: it may be left after each of them.

use tern_kernel::access::Kernel;
use tern_kernel::cap::{Cap, ZombieKind};
use tern_kernel::irq;
use tern_kernel::object::{ObjRef, SlotRef, TcbSlot};

use super::tree::{Slot, Tree};

/// The tree is as it was found: the rest comes another time.
pub(super) struct Left;

/// Changes a tree until it is like the one that was found, or until all is done.
pub(super) struct Deletion<'a> {
    pub(super) tree: Tree,
    found: &'a Tree,
    /// Whether the work may have been left half-way.
    may_leave: bool,
    k: &'a Kernel<'a>,
}

impl<'a> Deletion<'a> {
    pub(super) fn new(tree: Tree, found: &'a Tree, may_leave: bool, k: &'a Kernel<'a>) -> Self {
        Self {
            tree,
            found,
            may_leave,
            k,
        }
    }

    /// One step is done.
    pub(super) fn step(&self) -> Result<(), Left> {
        let same = self.may_leave && self.tree.0.len() == self.found.0.len();
        if same && self.tree == *self.found {
            return Err(Left);
        }
        Ok(())
    }

    pub(super) fn delete(&mut self, slot: Slot) -> Result<(), Left> {
        self.step()?;
        self.empty(slot, true)?;
        self.tree.remove(slot);
        self.step()
    }

    pub(super) fn revoke(&mut self, slot: Slot) -> Result<(), Left> {
        self.step()?;
        while let Some(child) = self.tree.child(slot) {
            self.delete(child)?;
        }
        Ok(())
    }

    /// Empties a slot. One inside an object that goes may be left with a zombie that holds itself: then it says so.
    fn empty(&mut self, slot: Slot, outside: bool) -> Result<bool, Left> {
        loop {
            let cap = self.tree.cap(slot);
            let Cap::Zombie {
                base,
                kind,
                remaining,
            } = cap
            else {
                match self.rest(slot, cap)? {
                    Some(zombie) => {
                        self.tree.set_cap(slot, zombie);
                        self.step()?;
                        continue;
                    }
                    None => {
                        self.tree.remove(slot);
                        return Ok(true);
                    }
                }
            };
            if remaining == 0 || (remaining == 1 && base.address() == slot) {
                self.tree.remove(slot);
                return Ok(true);
            }
            if !outside {
                if base.address() == slot {
                    return Ok(false);
                }
                self.tree.swap(slot, base.address());
                self.step()?;
                continue;
            }
            self.empty(base.nth(remaining as usize - 1).address(), false)?;
            self.step()?;
            // The last slot may have given its place away.
            if self.tree.cap(slot) == cap {
                let rest = Cap::Zombie {
                    base,
                    kind,
                    remaining: remaining - 1,
                };
                self.tree.set_cap(slot, rest);
                self.step()?;
            }
        }
    }

    /// What is left of an object whose last capability goes.
    fn rest(&mut self, slot: Slot, cap: Cap) -> Result<Option<Cap>, Left> {
        if cap.is_null() || !self.tree.is_final(slot) {
            return Ok(None);
        }
        let zombie = |base: SlotRef, kind: ZombieKind| {
            let remaining = kind.slots() as u64;
            Some(Cap::Zombie {
                base,
                kind,
                remaining,
            })
        };
        Ok(match cap {
            Cap::Thread { tcb } => zombie(tcb.slot(TcbSlot::CSpace), ZombieKind::Tcb),
            Cap::CNode { base, radix, .. } => zombie(base, ZombieKind::CNode { radix }),
            // While threads that wait are sent away.
            Cap::Endpoint { endpoint, .. } => zombie(
                ObjRef::from_address(endpoint.address()),
                ZombieKind::Endpoint,
            ),
            Cap::Notification { notification, .. } => zombie(
                ObjRef::from_address(notification.address()),
                ZombieKind::Notification,
            ),
            Cap::IrqHandler { line } => {
                self.delete(irq::line_slot(self.k, line).address())?;
                None
            }
            _ => None,
        })
    }
}
