//! Capabilities copied, moved, revoked and deleted.

use sel4_abi::{CapRights, Invocation as I, slot};

use super::Generator;
use crate::op::Call;
use crate::random::Random;
use crate::world::{CNODE_BITS, DEPTH, World};

impl Generator {
    /// Capabilities copied, moved, revoked and deleted: copies mostly, and now and then the originals.
    pub(super) fn slots(&mut self, w: &World) -> Call {
        let r = &mut self.random;
        let root = slot::INIT_THREAD_CNODE;
        let from = if r.once_in(4) {
            r.slot(&w.scratch)
        } else {
            r.slot(&w.slots())
        };
        let to = r.slot(&w.scratch);
        let rights = if r.once_in(3) {
            r.below(16)
        } else {
            CapRights::all().bits()
        };
        let small = (r.slot(&w.cnodes), r.below(1 << CNODE_BITS), CNODE_BITS);
        match r.below(29) {
            // A CNode that holds itself, or another one, and what lies behind it.
            25 => Call::invoke(
                small.0,
                I::CNodeMove,
                &[root],
                &[small.1, small.2, r.slot(&w.cnodes), DEPTH],
            ),
            26 => Call::invoke(
                small.0,
                I::CNodeCopy,
                &[root],
                &[small.1, small.2, r.slot(&w.cnodes), DEPTH, rights],
            ),
            27 => Call::invoke(
                small.0,
                r.of(&[I::CNodeDelete, I::CNodeRevoke]),
                &[],
                &[r.below(1 << 9), r.of(&[2, 3, 4, 6, 9])],
            ),
            28 => Call::invoke(
                root,
                I::CNodeDelete,
                &[],
                &[r.slot(&(w.badged.end..w.scratch.start)), DEPTH],
            ),
            0..4 => Call::invoke(
                root,
                I::CNodeCopy,
                &[root],
                &[to, DEPTH, from, DEPTH, rights],
            ),
            4..8 => {
                let data = if r.once_in(5) { 0 } else { 1 << r.below(6) };
                Call::invoke(
                    root,
                    I::CNodeMint,
                    &[root],
                    &[to, DEPTH, from, DEPTH, rights, data],
                )
            }
            8..10 => Call::invoke(root, I::CNodeMove, &[root], &[to, DEPTH, from, DEPTH]),
            10 => {
                let data = r.below(1 << 12);
                Call::invoke(
                    root,
                    I::CNodeMutate,
                    &[root],
                    &[to, DEPTH, from, DEPTH, data],
                )
            }
            11 => {
                let pivot = r.slot(&w.scratch);
                // Often two slots change places.
                let source = if r.once_in(2) { to } else { r.slot(&w.scratch) };
                let data = |r: &mut Random| if r.once_in(6) { r.below(1 << 12) } else { 0 };
                Call::invoke(
                    root,
                    I::CNodeRotate,
                    &[root, root],
                    &[to, DEPTH, data(r), pivot, DEPTH, data(r), source, DEPTH],
                )
            }
            // Into small CNodes, by copy and by move.
            12..14 => Call::invoke(
                small.0,
                I::CNodeCopy,
                &[root],
                &[small.1, small.2, from, DEPTH, rights],
            ),
            14..16 => Call::invoke(
                small.0,
                I::CNodeMove,
                &[root],
                &[small.1, small.2, from, DEPTH],
            ),
            16 => Call::invoke(
                root,
                I::CNodeMove,
                &[small.0],
                &[to, DEPTH, small.1, small.2],
            ),
            17 => Call::invoke(
                root,
                I::CNodeCancelBadgedSends,
                &[],
                &[r.slot(&w.badged), DEPTH],
            ),
            18..20 => Call::invoke(root, I::CNodeDelete, &[], &[to, DEPTH]),
            20 => Call::invoke(small.0, I::CNodeDelete, &[], &[small.1, small.2]),
            21 => Call::invoke(root, I::CNodeRevoke, &[], &[from, DEPTH]),
            22 => Call::invoke(root, I::CNodeDelete, &[], &[from, DEPTH]),
            23 => Call::invoke(root, I::CNodeDelete, &[], &[r.slot(&w.badged), DEPTH]),
            _ => Call::invoke(root, I::CNodeRevoke, &[], &[r.slot(&w.untypeds), DEPTH]),
        }
    }
}
