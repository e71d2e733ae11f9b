//! Bad input to the methods of threads about registers and state: each with its exact answer, and the thread is as it was.
//! timeout: 180

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;

use libsel4::abi::Invocation;
use libsel4::{BootInfo, System, root_task};
use tern_target_tests::bad::{Bench, Kind, Method, Request, Victim, no_caps, no_undo};
use tern_target_tests::objects::{Answer, answer, invoke};

root_task!(main);

const OF: &[Kind] = &[Kind::Thread];
const REGISTERS: u64 = 36;

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let bench = Bench::new(&mut system);
    let victim = Victim::new(&mut system, boot.cores() / 2);
    registers(&bench, &victim);
    victim.check_alive(&bench.zoo);
    states(&bench, &victim);
    victim.check_alive(&bench.zoo);
    small(&bench, &victim);
    victim.check_alive(&bench.zoo);
    bound(&mut system, &bench, &victim);
    victim.check_alive(&bench.zoo);
}

fn registers(bench: &Bench, victim: &Victim) {
    let state = || victim.state();
    let read = |words: &[u64]| match words[1] {
        count @ 1..=REGISTERS => Answer::new(0, &victim.registers[..count as usize]),
        _ => answer::range(1, REGISTERS),
    };
    bench.probe(&Method {
        name: "tcb-read-registers",
        request: Request::new(
            victim.cap(),
            Invocation::TcbReadRegisters,
            &[],
            &[0, REGISTERS],
        ),
        needs: (2, 0),
        of: OF,
        arguments: 2,
        edges: &[],
        words: &|words| Some(read(words)),
        caps: &no_caps,
        undo: &no_undo,
        state: &state,
    });
    // All registers, so that nothing shorter will do.
    let mut words: Vec<u64> = [0, REGISTERS].into();
    words.extend(&victim.registers);
    bench.probe(&Method {
        name: "tcb-write-registers",
        request: Request::new(victim.cap(), Invocation::TcbWriteRegisters, &[], &words),
        needs: (words.len(), 0),
        of: OF,
        // Beside flags and count: program counter, stack pointer and status.
        arguments: 5,
        edges: &[],
        words: &|words| match (words[0] & 1, words[1]) {
            (_, count) if count > REGISTERS => Some(answer::truncated()),
            // It would run.
            (1, _) => None,
            _ => Some(answer::ok()),
        },
        caps: &no_caps,
        undo: &|_| victim.write(),
        state: &state,
    });
    // From itself, which changes nothing.
    bench.probe(&Method {
        name: "tcb-copy-registers",
        request: Request::new(
            victim.cap(),
            Invocation::TcbCopyRegisters,
            &[victim.cap()],
            &[0],
        ),
        needs: (1, 1),
        of: OF,
        arguments: 1,
        edges: &[],
        // It would run.
        words: &|words| (words[0] & 2 == 0).then(answer::ok),
        caps: &|_, kind| match kind {
            Kind::Thread => Some(answer::ok()),
            _ => Some(answer::invalid_capability(1)),
        },
        undo: &no_undo,
        state: &state,
    });
}

/// Suspend and Resume: of a thread that has no time to run.
fn states(bench: &Bench, victim: &Victim) {
    let state = || {
        let thread = bench.zoo.of(Kind::Thread);
        let mut state = victim.state();
        state.extend(invoke(thread, Invocation::TcbReadRegisters, &[], &[0, 4]).words);
        state
    };
    let suspend = |_: &[u64]| bench.zoo.thread.suspend().expect("to suspend");
    for (name, method, cap) in [
        ("tcb-suspend", Invocation::TcbSuspend, victim.cap()),
        (
            "tcb-resume",
            Invocation::TcbResume,
            bench.zoo.of(Kind::Thread),
        ),
    ] {
        bench.probe(&Method {
            name,
            request: Request::new(cap, method, &[], &[]),
            needs: (0, 0),
            of: OF,
            arguments: 0,
            edges: &[],
            words: &|_| Some(answer::ok()),
            caps: &no_caps,
            undo: &suspend,
            state: &state,
        });
    }
}

/// Thread pointer and flags.
fn small(bench: &Bench, victim: &Victim) {
    let state = || victim.state();
    bench.probe(&Method {
        name: "tcb-set-tls-base",
        request: Request::new(victim.cap(), Invocation::TcbSetTlsBase, &[], &[0x77]),
        needs: (1, 0),
        of: OF,
        arguments: 1,
        edges: &[],
        words: &|_| Some(answer::ok()),
        caps: &no_caps,
        undo: &|_| victim.write(),
        state: &state,
    });
    bench.probe(&Method {
        name: "tcb-set-flags",
        request: Request::new(victim.cap(), Invocation::TcbSetFlags, &[], &[0, 1]),
        needs: (2, 0),
        of: OF,
        arguments: 2,
        edges: &[],
        // No flag is set before, and there is one.
        words: &|words| Some(Answer::new(0, &[words[1] & 1])),
        caps: &no_caps,
        undo: &|_| {
            let seen = invoke(victim.cap(), Invocation::TcbSetFlags, &[], &[1, 0]);
            assert_eq!(seen, Answer::new(0, &[0]), "to clear the flags");
        },
        state: &state,
    });
}

fn bound(system: &mut System, bench: &Bench, victim: &Victim) {
    let tcb = victim.puppet.tcb;
    let notification = system.notification().expect("a notification");
    let of_other = system.notification().expect("a notification");
    bench
        .zoo
        .thread
        .bind_notification(of_other)
        .expect("to bind");
    let illegal = || Some(answer::illegal_operation());
    let bind = |notification| {
        Request::new(
            victim.cap(),
            Invocation::TcbBindNotification,
            &[notification],
            &[],
        )
    };
    let unbind = |_: &[u64]| tcb.unbind_notification().expect("to unbind");
    let caps = |_: usize, kind| match kind {
        Kind::Notification => Some(answer::ok()),
        _ => illegal(),
    };
    // A notification that can be bound, and one that is another thread's.
    for (request, expected) in [
        (bind(notification.bits()), answer::ok()),
        (bind(of_other.bits()), answer::illegal_operation()),
    ] {
        bench.probe(&Method {
            name: "tcb-bind-notification",
            request,
            needs: (0, 1),
            of: OF,
            arguments: 0,
            edges: &[],
            words: &|_| Some(expected.clone()),
            caps: &caps,
            undo: &unbind,
            state: &|| victim.state(),
        });
    }
    // Nothing is bound, and then something is.
    let unbind = Request::new(victim.cap(), Invocation::TcbUnbindNotification, &[], &[]);
    bench.probe(&Method {
        name: "tcb-unbind-notification",
        request: unbind.clone(),
        needs: (0, 0),
        of: OF,
        arguments: 0,
        edges: &[],
        words: &|_| illegal(),
        caps: &no_caps,
        undo: &no_undo,
        state: &|| victim.state(),
    });
    tcb.bind_notification(notification).expect("to bind");
    let bind_again = |_: &[u64]| tcb.bind_notification(notification).expect("to bind");
    bench.probe(&Method {
        name: "tcb-unbind-notification",
        request: unbind,
        needs: (0, 0),
        of: OF,
        arguments: 0,
        edges: &[],
        words: &|_| Some(answer::ok()),
        caps: &no_caps,
        undo: &bind_again,
        // A second binding is refused.
        state: &|| {
            let caps = [notification.bits()];
            let method = Invocation::TcbBindNotification;
            [invoke(victim.cap(), method, &caps, &[]).label].into()
        },
    });
    tcb.unbind_notification().expect("to unbind");
    bench.zoo.thread.unbind_notification().expect("to unbind");
}
