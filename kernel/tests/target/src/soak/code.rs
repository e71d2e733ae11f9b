//! What the threads of the soak run: no stack, no memory, only registers.

use libsel4::abi::{MessageInfo, Syscall, UserContext};
use libsel4::{Cap, Endpoint, Notification, Reply};

use crate::code::address_of;
use crate::snippets;

snippets! {
    // Says that it is there, then adds one to the first word of each message and sends it back.
    serve:
        "svc #0",
        "1: add x2, x2, #1",
        "mov x0, x19",
        "mov x6, x20",
        "mov x7, #-2",
        "svc #0",
        "b 1b";
    // Signals one notification and waits for another, again and again, and stops if its floating-point registers do not
    // survive that.
    run:
        "dup v0.2d, x21",
        "dup v31.2d, x21",
        "1: mov x0, x19",
        "mov x1, #0",
        "mov x6, x20",
        "mov x7, #-4",
        "svc #0",
        "fmov x9, d0",
        "cmp x9, x21",
        "b.ne 2f",
        "fmov x9, d31",
        "cmp x9, x21",
        "b.eq 1b",
        "2:";
    spin: "1: add x9, x9, #1", "b 1b";
    // The same system call for ever.
    repeat: "1: svc #0", "b 1b";
}

pub(super) fn server(
    endpoint: Cap<Endpoint>,
    reply: Cap<Reply>,
    ready: Cap<Notification>,
) -> UserContext {
    UserContext {
        pc: address_of(serve),
        x0: endpoint.bits(),
        x6: reply.bits(),
        x7: Syscall::NBSendRecv as u64,
        x8: ready.bits(),
        x19: endpoint.bits(),
        x20: reply.bits(),
        ..UserContext::default()
    }
}

pub(super) fn runner(go: Cap<Notification>, done: Cap<Notification>, pattern: u64) -> UserContext {
    UserContext {
        pc: address_of(run),
        x19: go.bits(),
        x20: done.bits(),
        x21: pattern,
        ..UserContext::default()
    }
}

pub(super) fn spinner() -> UserContext {
    UserContext {
        pc: address_of(spin),
        ..UserContext::default()
    }
}

pub(super) fn sender(endpoint: Cap<Endpoint>) -> UserContext {
    UserContext {
        pc: address_of(repeat),
        x0: endpoint.bits(),
        x1: MessageInfo::new(1, 0, 0, 1).0,
        x2: 7,
        x7: Syscall::Send as u64,
        ..UserContext::default()
    }
}
