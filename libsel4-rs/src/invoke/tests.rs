//! What each invocation sends, checked against the numbers of the interface.

extern crate std;

use std::vec::Vec;

use sel4_abi::{CapRights, ObjectType, UserContext, VmAttributes};

use crate::arch::{Registers, with_kernel};
use crate::cap::{
    AsidControl, CNode, Cap, Endpoint, IrqControl, SchedContext, SchedControl, SlotPath, SmallPage,
    Tcb, Untyped, VSpace,
};
use crate::error::Error;
use crate::ipc_buffer;
use crate::message::Message;
use crate::thread_block::with_test_thread;

/// One invocation as the kernel sees it.
#[derive(Debug, PartialEq, Eq)]
struct Seen {
    cap: u64,
    label: u64,
    words: Vec<u64>,
    caps: Vec<u64>,
}

/// Runs `body` with a kernel that answers `reply`, and returns the one invocation it made.
fn seen_with<R: 'static>(reply: Message, body: impl FnOnce() -> R) -> (Seen, R) {
    let log = std::rc::Rc::new(std::cell::RefCell::new(Vec::new()));
    let inner = log.clone();
    let kernel = move |number: i64, input: Registers, _: u64, _: u64| {
        assert_eq!(number, -1, "invocations are calls");
        let message = Message::from_registers(&input);
        inner.borrow_mut().push(Seen {
            cap: input.x0,
            label: message.label(),
            words: (0..message.length()).map(|i| message.get(i)).collect(),
            caps: (0..message.extra_caps()).map(ipc_buffer::cap).collect(),
        });
        reply.to_registers(0)
    };
    let result = with_test_thread(|| with_kernel(kernel, body));
    let mut log = log.borrow_mut();
    assert_eq!(log.len(), 1);
    (log.remove(0), result)
}

fn seen(body: impl FnOnce() -> Result<(), Error>) -> Seen {
    let (seen, result) = seen_with(Message::new(0), body);
    assert_eq!(result, Ok(()));
    seen
}

fn expect(cap: u64, label: u64, words: &[u64], caps: &[u64]) -> Seen {
    Seen {
        cap,
        label,
        words: words.to_vec(),
        caps: caps.to_vec(),
    }
}

const ROOT: Cap<CNode> = Cap::from_bits(2);

#[test]
fn retype() {
    let node = SlotPath::new(ROOT, 5, 12);
    let sent = seen(|| Untyped::at(40).retype(ObjectType::CNode, 6, node, 100, 3));
    assert_eq!(sent, expect(40, 1, &[4, 6, 5, 12, 100, 3], &[2]));
}

#[test]
fn cnode_methods() {
    let source = SlotPath::new(CNode::at(3), 7, 64);
    let pivot = SlotPath::new(CNode::at(4), 8, 63);
    assert_eq!(seen(|| ROOT.revoke(9, 64)), expect(2, 18, &[9, 64], &[]));
    assert_eq!(seen(|| ROOT.delete(9, 64)), expect(2, 19, &[9, 64], &[]));
    assert_eq!(
        seen(|| ROOT.cancel_badged_sends(9, 64)),
        expect(2, 20, &[9, 64], &[])
    );
    let sent = seen(|| ROOT.copy(9, 64, &source, CapRights::READ_WRITE));
    assert_eq!(sent, expect(2, 21, &[9, 64, 7, 64, 3], &[3]));
    let sent = seen(|| ROOT.mint(9, 64, &source, CapRights::all(), 55));
    assert_eq!(sent, expect(2, 22, &[9, 64, 7, 64, 15, 55], &[3]));
    assert_eq!(
        seen(|| ROOT.move_cap(9, 64, &source)),
        expect(2, 23, &[9, 64, 7, 64], &[3])
    );
    assert_eq!(
        seen(|| ROOT.mutate(9, 64, &source, 1)),
        expect(2, 24, &[9, 64, 7, 64, 1], &[3])
    );
    let sent = seen(|| ROOT.rotate(9, 64, 11, &pivot, 22, &source));
    assert_eq!(sent, expect(2, 25, &[9, 64, 11, 8, 63, 22, 7, 64], &[4, 3]));
}

#[test]
fn tcb_methods() {
    let tcb: Cap<Tcb> = Tcb::at(50);
    let sent = seen(|| tcb.configure(ROOT, 1, VSpace::at(3), 0x1400, Some(SmallPage::at(60))));
    assert_eq!(sent, expect(50, 5, &[1, 0, 0x1400], &[2, 3, 60]));
    assert_eq!(
        seen(|| tcb.set_priority(Tcb::at(1), 9)),
        expect(50, 6, &[9], &[1])
    );
    assert_eq!(
        seen(|| tcb.set_mc_priority(Tcb::at(1), 9)),
        expect(50, 7, &[9], &[1])
    );
    let sent = seen(|| {
        tcb.set_sched_params(
            Tcb::at(1),
            8,
            9,
            Some(SchedContext::at(70)),
            Some(Endpoint::at(71)),
        )
    });
    assert_eq!(sent, expect(50, 8, &[8, 9], &[1, 70, 71]));
    let sent = seen(|| tcb.set_sched_params(Tcb::at(1), 8, 9, None, None));
    assert_eq!(sent, expect(50, 8, &[8, 9], &[1, 0, 0]));
    assert_eq!(
        seen(|| tcb.set_timeout_endpoint(None)),
        expect(50, 9, &[], &[0])
    );
    let sent = seen(|| tcb.set_space(Some(Endpoint::at(71)), ROOT, 0, VSpace::at(3)));
    assert_eq!(sent, expect(50, 11, &[0, 0], &[71, 2, 3]));
    assert_eq!(seen(|| tcb.suspend()), expect(50, 12, &[], &[]));
    assert_eq!(seen(|| tcb.resume()), expect(50, 13, &[], &[]));
    assert_eq!(seen(|| tcb.set_tls_base(5)), expect(50, 16, &[5], &[]));
}

#[test]
fn registers_go_out_and_come_back_in_order() {
    let context = UserContext {
        pc: 1,
        sp: 2,
        spsr: 3,
        x0: 4,
        tpidr_el0: 35,
        tpidrro_el0: 36,
        ..Default::default()
    };
    let sent = seen(|| Tcb::at(50).write_registers(true, &context));
    assert_eq!((sent.label, sent.words.len()), (3, 38));
    assert_eq!(sent.words[..6], [1, 36, 1, 2, 3, 4]);
    assert_eq!(sent.words[36..], [35, 36]);

    let reply = Message::from_parts(sel4_abi::MessageInfo::new(0, 0, 0, 36), [1, 2, 3, 4]);
    let (sent, read) = seen_with(reply, || {
        ipc_buffer::set_word(35, 36);
        Tcb::at(50).read_registers(false)
    });
    assert_eq!(sent, expect(50, 2, &[0, 36], &[]));
    let read = read.unwrap();
    assert_eq!(
        (read.pc, read.sp, read.spsr, read.x0, read.tpidrro_el0),
        (1, 2, 3, 4, 36)
    );
}

#[test]
fn sched_methods() {
    let sent = seen(|| {
        SchedControl::at(20).configure_flags(SchedContext::at(21), 2000, 10000, 4, 99, true)
    });
    assert_eq!(sent, expect(20, 33, &[2000, 10000, 4, 99, 1], &[21]));
    assert_eq!(
        seen(|| SchedContext::at(21).bind(Tcb::at(22))),
        expect(21, 34, &[], &[22])
    );
    assert_eq!(
        seen(|| SchedContext::at(21).unbind()),
        expect(21, 35, &[], &[])
    );
    assert_eq!(
        seen(|| SchedContext::at(21).unbind_thread(Tcb::at(22))),
        expect(21, 36, &[], &[22])
    );
    let (sent, consumed) = seen_with(Message::new(0).word(1234), || {
        SchedContext::at(21).consumed()
    });
    assert_eq!(sent, expect(21, 37, &[], &[]));
    assert_eq!(consumed.map(|time| time.as_micros()), Ok(1234));
}

#[test]
fn memory_methods() {
    let page: Cap<SmallPage> = SmallPage::at(30);
    let sent = seen(|| {
        page.map(
            VSpace::at(3),
            0x5000,
            CapRights::READ,
            VmAttributes::default(),
        )
    });
    assert_eq!(sent, expect(30, 46, &[0x5000, 2, 3], &[3]));
    assert_eq!(seen(|| page.unmap()), expect(30, 47, &[], &[]));
    assert_eq!(
        seen(|| page.unify_instruction(0, 64)),
        expect(30, 51, &[0, 64], &[])
    );
    let slot = SlotPath::new(ROOT, 77, 64);
    let sent = seen(|| AsidControl::at(5).make_pool(Untyped::at(31), &slot));
    assert_eq!(sent, expect(5, 53, &[77, 64], &[31, 2]));
}

#[test]
fn irq_methods() {
    let slot = SlotPath::new(ROOT, 77, 64);
    let control: Cap<IrqControl> = IrqControl::at(4);
    assert_eq!(
        seen(|| control.get(33, &slot)),
        expect(4, 26, &[33, 77, 64], &[2])
    );
    let sent = seen(|| control.get_trigger_core(33, super::Trigger::Edge, 2, &slot));
    assert_eq!(sent, expect(4, 56, &[33, 1, 77, 64, 2], &[2]));
    let sent = seen(|| control.issue_sgi_signal(8, 1, &slot));
    assert_eq!(sent, expect(4, 57, &[8, 1, 77, 64], &[2]));
}
