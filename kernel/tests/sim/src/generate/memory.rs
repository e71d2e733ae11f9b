//! Objects made from memory, address spaces, and interrupts.

use sel4_abi::{Invocation as I, ObjectType, slot};

use super::Generator;
use crate::op::Call;
use crate::world::{CODE, DEPTH, FIRST_HANDLED, HANDLERS, World, retype};

impl Generator {
    pub(super) fn memory(&mut self, w: &World) -> Call {
        let r = &mut self.random;
        let kind = {
            let list = [
                (ObjectType::Untyped, 9),
                (ObjectType::Untyped, 4 + r.below(11)),
                (ObjectType::Tcb, 0),
                (ObjectType::Endpoint, 0),
                (ObjectType::Notification, 0),
                (ObjectType::CNode, 3),
                (ObjectType::CNode, 1 + r.below(5)),
                (ObjectType::SchedContext, 7 + r.below(4)),
                (ObjectType::Reply, 0),
                (ObjectType::SmallPage, 0),
                (ObjectType::LargePage, 0),
                (ObjectType::HugePage, 0),
                (ObjectType::PageTable, 0),
                (ObjectType::VSpace, 0),
            ];
            r.of(&list)
        };
        let count = if r.once_in(4) { 1 + r.below(3) } else { 1 };
        let from = match r.below(12) {
            0..2 => r.slot(&w.scratch),
            2 => r.slot(&w.pieces),
            3 => w.device,
            _ => r.slot(&w.untypeds),
        };
        if r.once_in(8) {
            // Into a CNode that is named by a slot.
            let node = r.slot(&w.cnodes);
            let words = [kind.0 as u64, kind.1, node, DEPTH, r.below(8), count];
            return Call::invoke(from, I::UntypedRetype, &[slot::INIT_THREAD_CNODE], &words);
        }
        retype(from, kind.0, kind.1, r.slot(&w.scratch), count)
    }

    pub(super) fn mapping(&mut self, w: &World) -> Call {
        let r = &mut self.random;
        let vspace = if r.once_in(2) {
            slot::INIT_THREAD_VSPACE
        } else {
            r.slot(&w.vspaces)
        };
        // Mostly near the code, where there are tables.
        let far = if r.once_in(2) { r.below(4) << 30 } else { 0 };
        let near = if r.once_in(2) { r.below(3) << 21 } else { 0 };
        let address = CODE + far + near + (r.below(4) << 12);
        let table = r.slot(&w.tables);
        let (frame, align) = match r.below(8) {
            0..3 => (r.slot(&w.large), 21),
            3 => (r.slot(&w.huge), 30),
            4 => (r.slot(&w.scratch), 12),
            _ => (r.slot(&w.frames), 12),
        };
        // Frames of one size go to places of that size, mostly.
        let page = if r.once_in(10) {
            address
        } else {
            address >> align << align
        };
        // Offsets of a range within it.
        let start = r.of(&[0, 0, 64, 4096]);
        let end = start + r.of(&[64, 4096, 0x4000, 1 << 21]);
        match r.below(22) {
            0..5 => Call::invoke(table, I::PageTableMap, &[vspace], &[address, 3]),
            5 => Call::invoke(table, I::PageTableUnmap, &[], &[]),
            6..9 => {
                let words = [page, r.below(4), r.below(8)];
                Call::invoke(frame, I::PageMap, &[vspace], &words)
            }
            9 => Call::invoke(frame, I::PageUnmap, &[], &[]),
            10..12 => {
                let method = r.of(&[
                    I::PageCleanData,
                    I::PageInvalidateData,
                    I::PageCleanInvalidateData,
                    I::PageUnifyInstruction,
                ]);
                Call::invoke(frame, method, &[], &[start, end.min(1 << align)])
            }
            12..14 => {
                let method = r.of(&[
                    I::VSpaceCleanData,
                    I::VSpaceInvalidateData,
                    I::VSpaceCleanInvalidateData,
                    I::VSpaceUnifyInstruction,
                ]);
                let words = [page + start, page + end];
                Call::invoke(vspace, method, &[], &words)
            }
            14 => Call::invoke(
                slot::INIT_THREAD_CNODE,
                I::CNodeDelete,
                &[],
                &[r.slot(&w.vspaces), DEPTH],
            ),
            15 => Call::invoke(
                slot::INIT_THREAD_ASID_POOL,
                I::AsidPoolAssign,
                &[r.slot(&w.slots())],
                &[],
            ),
            16 | 17 => {
                let space = r.slot(&w.vspaces);
                Call::invoke(r.slot(&w.pools), I::AsidPoolAssign, &[space], &[])
            }
            18 | 19 => Call::invoke(
                slot::ASID_CONTROL,
                I::AsidControlMakePool,
                &[r.slot(&w.pieces), slot::INIT_THREAD_CNODE],
                &[r.slot(&w.pools), DEPTH],
            ),
            20 => {
                let (slot, method) = if r.once_in(2) {
                    (r.slot(&w.pools), I::CNodeDelete)
                } else {
                    (r.slot(&w.pieces), I::CNodeRevoke)
                };
                Call::invoke(slot::INIT_THREAD_CNODE, method, &[], &[slot, DEPTH])
            }
            _ => Call::invoke(frame, I::PageGetAddress, &[], &[]),
        }
    }

    pub(super) fn interrupts(&mut self, w: &World) -> Call {
        let r = &mut self.random;
        let handler = r.slot(&w.handlers);
        let root = slot::INIT_THREAD_CNODE;
        let line = {
            let list = [
                r.below(16),
                16 + r.below(16),
                32 + r.below(32),
                r.below(300),
            ];
            r.of(&list)
        };
        match r.below(14) {
            0..3 => Call::invoke(handler, I::IrqSetHandler, &[r.slot(&w.badged)], &[]),
            3..5 => Call::invoke(handler, I::IrqAck, &[], &[]),
            5 => Call::invoke(handler, I::IrqClearHandler, &[], &[]),
            6 => Call::invoke(
                slot::IRQ_CONTROL,
                I::IrqIssueHandlerTriggerCore,
                &[root],
                &[line, r.below(2), r.slot(&w.scratch), DEPTH, r.below(4)],
            ),
            7 => Call::invoke(
                slot::IRQ_CONTROL,
                I::IrqIssueHandlerTrigger,
                &[root],
                &[line, r.below(2), r.slot(&w.scratch), DEPTH],
            ),
            8 => Call::invoke(
                slot::IRQ_CONTROL,
                I::IrqIssueHandler,
                &[root],
                &[line, r.slot(&w.scratch), DEPTH],
            ),
            9 => Call::invoke(
                slot::IRQ_CONTROL,
                I::IrqIssueSgiSignal,
                &[root],
                &[r.below(17), r.below(9), r.slot(&w.sgis), DEPTH],
            ),
            10 => Call::invoke(r.slot(&w.sgis), I::IrqAck, &[], &[]),
            11 => Call::invoke(
                slot::IRQ_CONTROL,
                I::IrqIssueHandlerTriggerCore,
                &[root],
                &[
                    u64::from(FIRST_HANDLED) + r.below(HANDLERS as u64),
                    1,
                    handler,
                    DEPTH,
                    r.below(4),
                ],
            ),
            12 => match r.below(4) {
                0 => Call::invoke(slot::DOMAIN, I::DomainScheduleSetStart, &[], &[r.below(3)]),
                1 => Call::invoke(slot::DOMAIN, I::DomainSetSet, &[r.slot(&w.tcbs)], &[0]),
                _ => Call::invoke(
                    slot::DOMAIN,
                    I::DomainScheduleConfigure,
                    &[],
                    &[r.below(2), r.below(2), r.of(&[0, 1, 100, 1 << 56])],
                ),
            },
            _ => Call::invoke(
                root,
                I::CNodeDelete,
                &[],
                &[
                    {
                        let list = [handler, r.slot(&w.sgis)];
                        r.of(&list)
                    },
                    DEPTH,
                ],
            ),
        }
    }
}
