//! Bad input to the methods that configure threads: spaces, buffers, handlers and priorities. Each has its exact answer, and
//! the thread is as it was.
//! timeout: 180

#![no_std]
#![no_main]

use libsel4::abi::Invocation;
use libsel4::{BootInfo, System, init, root_task};
use tern_target_tests::bad::{Bench, Kind, Method, Request, Victim};
use tern_target_tests::objects::{Answer, answer, invoke};

root_task!(main);

const OF: &[Kind] = &[Kind::Thread];
/// Largest guard of the root CNode: its radix is 12.
const LARGEST_GUARD: u64 = 52;
const ROOT: u64 = init::CNODE.bits();
const VSPACE: u64 = init::VSPACE.bits();

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let bench = Bench::new(&mut system);
    let victim = Victim::new(&mut system, boot.cores() / 2);
    for part in [spaces, buffers, priorities, sched_params, handlers] {
        part(&bench, &victim);
        victim.check_alive(&bench.zoo);
    }
}

fn illegal() -> Option<Answer> {
    Some(answer::illegal_operation())
}

/// What is wrong with the data for a guard of the root CNode.
fn guard(data: u64) -> Option<Answer> {
    (data & 63 > LARGEST_GUARD).then(answer::illegal_operation)
}

fn cspace(kind: Kind) -> Option<Answer> {
    match kind {
        Kind::CNode => Some(answer::ok()),
        kind => kind.not_derived().or_else(illegal),
    }
}

fn vspace(kind: Kind) -> Option<Answer> {
    match kind {
        Kind::VSpace => Some(answer::ok()),
        kind => kind.not_derived().or_else(illegal),
    }
}

fn frame(kind: Kind) -> Option<Answer> {
    match kind {
        Kind::Frame | Kind::SilentFrame => Some(answer::ok()),
        kind => kind.not_derived().or_else(illegal),
    }
}

/// A fault or timeout handler; `number` is what it is called if it is none.
fn handler(kind: Kind, number: u64) -> Option<Answer> {
    match kind {
        Kind::Endpoint | Kind::Null => Some(answer::ok()),
        _ => Some(answer::invalid_capability(number)),
    }
}

/// What is wrong with the address of a buffer.
fn address(vaddr: u64) -> Option<Answer> {
    (!vaddr.is_multiple_of(1024)).then(answer::alignment)
}

fn spaces(bench: &Bench, victim: &Victim) {
    let puppet = &victim.puppet;
    let buffer = puppet.buffer().start() as u64;
    let caps = [ROOT, VSPACE, puppet.buffer_frame().bits()];
    let request = Request::new(
        victim.cap(),
        Invocation::TcbConfigure,
        &caps,
        &[0, 0, buffer],
    );
    let restore = || {
        let seen = invoke(
            victim.cap(),
            Invocation::TcbConfigure,
            &caps,
            &[0, 0, buffer],
        );
        assert_eq!(seen, answer::ok(), "to restore the spaces");
    };
    bench.probe(&Method {
        name: "tcb-configure",
        request,
        needs: (3, 3),
        of: OF,
        arguments: 3,
        edges: &[],
        words: &|words| {
            let wrong = address(words[2]).or_else(|| guard(words[0]));
            Some(wrong.unwrap_or_else(answer::ok))
        },
        caps: &|place, kind| [cspace, vspace, frame][place](kind),
        undo: &|_| restore(),
        state: &|| victim.state(),
    });
    let caps = [puppet.faults.bits(), ROOT, VSPACE];
    bench.probe(&Method {
        name: "tcb-set-space",
        request: Request::new(victim.cap(), Invocation::TcbSetSpace, &caps, &[0, 0]),
        needs: (2, 3),
        of: OF,
        arguments: 2,
        edges: &[],
        words: &|words| Some(guard(words[0]).unwrap_or_else(answer::ok)),
        caps: &|place, kind| match place {
            0 => handler(kind, 1),
            1 => cspace(kind),
            _ => vspace(kind),
        },
        undo: &|_| {
            let seen = invoke(victim.cap(), Invocation::TcbSetSpace, &caps, &[0, 0]);
            assert_eq!(seen, answer::ok(), "to restore the spaces");
        },
        state: &|| victim.state(),
    });
}

fn buffers(bench: &Bench, victim: &Victim) {
    let puppet = &victim.puppet;
    let caps = [puppet.buffer_frame().bits()];
    let words = [puppet.buffer().start() as u64];
    bench.probe(&Method {
        name: "tcb-set-ipc-buffer",
        request: Request::new(victim.cap(), Invocation::TcbSetIpcBuffer, &caps, &words),
        needs: (1, 1),
        of: OF,
        arguments: 1,
        edges: &[],
        words: &|words| Some(address(words[0]).unwrap_or_else(answer::ok)),
        caps: &|_, kind| frame(kind),
        undo: &|_| puppet.restore_buffer(),
        state: &|| victim.state(),
    });
}

fn priorities(bench: &Bench, victim: &Victim) {
    let limit = u64::from(Victim::LIMIT);
    for (name, method, value) in [
        (
            "tcb-set-priority",
            Invocation::TcbSetPriority,
            Victim::PRIORITY,
        ),
        (
            "tcb-set-mc-priority",
            Invocation::TcbSetMcPriority,
            Victim::MCP,
        ),
    ] {
        let words = [u64::from(value)];
        bench.probe(&Method {
            name,
            request: Request::new(victim.cap(), method, &[victim.boss.bits()], &words),
            needs: (1, 1),
            of: OF,
            arguments: 1,
            edges: &[],
            words: &|words| match words[0] {
                value if value <= limit => Some(answer::ok()),
                _ => Some(answer::range(0, limit)),
            },
            caps: &|_, kind| match kind {
                // It has no authority.
                Kind::Thread => Some(answer::range(0, 0)),
                _ => Some(answer::invalid_capability(1)),
            },
            undo: &|_| victim.set_priorities(),
            state: &|| victim.state(),
        });
    }
}

fn sched_params(bench: &Bench, victim: &Victim) {
    let limit = u64::from(Victim::LIMIT);
    let puppet = &victim.puppet;
    let caps = [
        victim.boss.bits(),
        puppet.sched.cap().bits(),
        puppet.faults.bits(),
    ];
    let words = [u64::from(Victim::MCP), u64::from(Victim::PRIORITY)];
    bench.probe(&Method {
        name: "tcb-set-sched-params",
        request: Request::new(victim.cap(), Invocation::TcbSetSchedParams, &caps, &words),
        needs: (2, 3),
        of: OF,
        arguments: 2,
        edges: &[],
        words: &|words| match words.iter().all(|&value| value <= limit) {
            true => Some(answer::ok()),
            false => Some(answer::range(0, limit)),
        },
        caps: &|place, kind| match (place, kind) {
            (0, Kind::Thread) => Some(answer::range(0, 0)),
            // It has one already; and none is taken for none.
            (1, Kind::SchedContext) => illegal(),
            (1, Kind::Null) => Some(answer::ok()),
            (2, kind) => handler(kind, 3),
            (place, _) => Some(answer::invalid_capability(place as u64 + 1)),
        },
        undo: &|_| victim.set_priorities(),
        state: &|| victim.state(),
    });
}

fn handlers(bench: &Bench, victim: &Victim) {
    let tcb = victim.puppet.tcb;
    let faults = victim.puppet.faults;
    bench.probe(&Method {
        name: "tcb-set-timeout-endpoint",
        request: Request::new(
            victim.cap(),
            Invocation::TcbSetTimeoutEndpoint,
            &[faults.bits()],
            &[],
        ),
        needs: (0, 1),
        of: OF,
        arguments: 0,
        edges: &[],
        words: &|_| Some(answer::ok()),
        caps: &|_, kind| handler(kind, 1),
        undo: &|_| tcb.set_timeout_endpoint(None).expect("no handler"),
        state: &|| victim.state(),
    });
}
