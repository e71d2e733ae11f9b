//! Bad input to scheduling control, scheduling contexts and domains: each with its exact answer, and with nothing changed.
//! timeout: 180

#![no_std]
#![no_main]

use libsel4::abi::{FaultKind, Invocation, UserContext};
use libsel4::{BootInfo, Cap, SchedContext, System, root_task};
use tern_target_tests::bad::{Bench, Kind, Method, Request, Victim, no_caps, no_undo};
use tern_target_tests::objects::{Answer, Puppet, answer, invoke};

root_task!(main);

/// The least budget and period, in microseconds.
const LEAST: u64 = 20;
/// Budget and period in microseconds, extra refills, badge, flags.
const PARAMETERS: [u64; 5] = [2000, 100_000, 0, 0x55, 0];
/// Extra refills of the scheduling context's size.
const EXTRA: u64 = 8;

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    let bench = Bench::new(&mut system);
    let victim = Victim::new(&mut system, boot.cores() / 2);
    let free = system.sched_context(EXTRA).expect("a scheduling context");
    control(&mut system, &bench, free);
    binding(&bench, &victim, free);
    unbinding(&bench, &victim, free);
    victim.check_alive(&bench.zoo);
    results(&bench, &victim, free);
    domains(&bench, &victim);
    victim.check_alive(&bench.zoo);
}

fn illegal() -> Option<Answer> {
    Some(answer::illegal_operation())
}

/// What of a scheduling context can be seen: that it has no thread, and has used nothing.
fn idle(bench: &Bench, sched: Cap<SchedContext>) -> [Answer; 2] {
    let thread = [bench.zoo.of(Kind::Thread)];
    [
        invoke(
            sched.bits(),
            Invocation::SchedContextUnbindObject,
            &thread,
            &[],
        ),
        invoke(sched.bits(), Invocation::SchedContextConsumed, &[], &[]),
    ]
}

fn control(system: &mut System, bench: &Bench, sched: Cap<SchedContext>) {
    let core = system.cores() - 1;
    let control = system.boot().sched_control(core).bits();
    let caps = [sched.bits()];
    let configure = |words: &[u64]| {
        let method = Invocation::SchedControlConfigureFlags;
        invoke(control, method, &caps, words)
    };
    let longest = configure(&[u64::MAX, 0, 0, 0, 0]).words[1];
    assert!(longest > PARAMETERS[1]);
    let model = |words: &[u64]| {
        let (budget, period) = (words[0], words[1]);
        if [budget, period]
            .iter()
            .any(|us| !(LEAST..=longest).contains(us))
        {
            answer::range(LEAST, longest)
        } else if budget > period {
            answer::range(LEAST, period)
        } else if words[2] > EXTRA {
            answer::range(0, EXTRA)
        } else {
            answer::ok()
        }
    };
    assert_eq!(configure(&PARAMETERS), answer::ok());
    bench.probe(&Method {
        name: "sched-control-configure-flags",
        request: Request::new(
            control,
            Invocation::SchedControlConfigureFlags,
            &caps,
            &PARAMETERS,
        ),
        needs: (5, 1),
        of: &[Kind::SchedControl],
        arguments: 5,
        edges: &[LEAST, longest],
        words: &|words| Some(model(words)),
        caps: &|_, kind| match kind {
            Kind::SchedContext => Some(answer::ok()),
            _ => Some(answer::invalid_capability(1)),
        },
        undo: &|_| assert_eq!(configure(&PARAMETERS), answer::ok()),
        state: &|| {
            let [unbound, consumed] = idle(bench, sched);
            [unbound.label, consumed.words[0]].into()
        },
    });
    check_parameters(system, sched, core);
}

/// A thread that runs for ever gets the budget that was asked for, on that core, and then its Timeout fault has the badge.
fn check_parameters(system: &mut System, sched: Cap<SchedContext>, core: usize) {
    let runner = Puppet::new(system, 0, 100);
    runner.sched.unbind().expect("to unbind");
    runner
        .tcb
        .set_timeout_endpoint(Some(runner.faults))
        .expect("a handler");
    sched.bind(runner.tcb).expect("to bind");
    runner.start(&UserContext {
        pc: spin as *const () as u64,
        ..UserContext::default()
    });
    let fault = runner.faults.recv(runner.reply).message;
    assert_eq!(fault.label(), FaultKind::Timeout as u64);
    assert_eq!(fault.get(0), PARAMETERS[3], "the badge");
    let used = fault.get(1);
    assert!(
        (1900..2600).contains(&used),
        "{used} us of {}",
        PARAMETERS[0]
    );
    let affinity = libsel4::debug::thread_affinity(runner.tcb);
    assert_eq!(affinity, Some(core));
    runner.tcb.suspend().expect("to suspend");
    sched.unbind().expect("to unbind");
    sched.consumed().expect("to forget what was used");
}

extern "C" fn spin() -> ! {
    loop {
        core::hint::spin_loop();
    }
}

fn objects(kind: Kind, thread: fn() -> Answer, notification: fn() -> Answer) -> Option<Answer> {
    match kind {
        Kind::Thread => Some(thread()),
        Kind::Notification | Kind::SilentNotification => Some(notification()),
        _ => Some(answer::invalid_capability(1)),
    }
}

fn binding(bench: &Bench, victim: &Victim, free: Cap<SchedContext>) {
    let bound = victim.puppet.sched.cap();
    let thread = [bench.zoo.of(Kind::Thread)];
    let bind = |sched: Cap<SchedContext>| {
        Request::new(sched.bits(), Invocation::SchedContextBind, &thread, &[])
    };
    bench.probe(&Method {
        name: "sched-context-bind",
        request: bind(free),
        needs: (0, 1),
        of: &[Kind::SchedContext],
        arguments: 0,
        edges: &[],
        words: &|_| Some(answer::ok()),
        caps: &|_, kind| objects(kind, answer::ok, answer::ok),
        undo: &|_| free.unbind().expect("to unbind"),
        state: &|| [idle(bench, free)[0].label].into(),
    });
    let notification = Cap::from_bits(bench.zoo.of(Kind::Notification));
    bench.probe(&Method {
        name: "sched-context-bind",
        request: bind(bound),
        needs: (0, 1),
        of: &[Kind::SchedContext],
        arguments: 0,
        edges: &[],
        words: &|_| illegal(),
        caps: &|_, kind| objects(kind, answer::illegal_operation, answer::ok),
        undo: &|_| {
            bound.unbind_notification(notification).expect("to unbind");
        },
        state: &|| victim.state(),
    });
}

fn unbinding(bench: &Bench, victim: &Victim, free: Cap<SchedContext>) {
    let bound = victim.puppet.sched.cap();
    let tcb = victim.puppet.tcb;
    let thread = [bench.zoo.of(Kind::Thread)];
    let again = |_: &[u64]| bound.bind(tcb).expect("to bind");
    for (sched, undo) in [(free, &no_undo as &dyn Fn(&[u64])), (bound, &again)] {
        bench.probe(&Method {
            name: "sched-context-unbind",
            request: Request::new(sched.bits(), Invocation::SchedContextUnbind, &[], &[]),
            needs: (0, 0),
            of: &[Kind::SchedContext],
            arguments: 0,
            edges: &[],
            words: &|_| Some(answer::ok()),
            caps: &no_caps,
            undo,
            state: &|| victim.state(),
        });
    }
    let method = Invocation::SchedContextUnbindObject;
    for (sched, caps, expected) in [
        (free, thread, answer::illegal_operation()),
        (bound, [tcb.bits()], answer::ok()),
    ] {
        bench.probe(&Method {
            name: "sched-context-unbind-object",
            request: Request::new(sched.bits(), method, &caps, &[]),
            needs: (0, 1),
            of: &[Kind::SchedContext],
            arguments: 0,
            edges: &[],
            words: &|_| Some(expected.clone()),
            // None of these is bound to it.
            caps: &|_, kind| objects(kind, answer::illegal_operation, answer::illegal_operation),
            undo: &again,
            state: &|| victim.state(),
        });
    }
}

fn results(bench: &Bench, victim: &Victim, free: Cap<SchedContext>) {
    let bound = victim.puppet.sched.cap();
    let nothing_used = Answer::new(0, &[0]);
    let yield_to = Invocation::SchedContextYieldTo;
    // Enough to yield to the victim.
    let puppet = bench.puppet.tcb;
    puppet
        .set_mc_priority(libsel4::init::TCB, 255)
        .expect("authority");
    for (name, method, sched, expected) in [
        (
            "sched-context-consumed",
            Invocation::SchedContextConsumed,
            free,
            &nothing_used,
        ),
        // Nobody has it; and somebody who does not run.
        (
            "sched-context-yield-to",
            yield_to,
            free,
            &answer::illegal_operation(),
        ),
        ("sched-context-yield-to", yield_to, bound, &nothing_used),
    ] {
        // What the thread used for its check is forgotten.
        bound.consumed().expect("to ask");
        bench.probe(&Method {
            name,
            request: Request::new(sched.bits(), method, &[], &[]),
            needs: (0, 0),
            of: &[Kind::SchedContext],
            arguments: 0,
            edges: &[],
            words: &|_| Some(expected.clone()),
            caps: &no_caps,
            undo: &no_undo,
            state: &|| victim.state(),
        });
    }
}

fn domains(bench: &Bench, victim: &Victim) {
    let domain_set = bench.zoo.of(Kind::Domain);
    let probe = |name, method, caps: &[u64], words: &[u64], model: &dyn Fn(&[u64]) -> Answer| {
        bench.probe(&Method {
            name,
            request: Request::new(domain_set, method, caps, words),
            needs: (words.len(), caps.len()),
            of: &[Kind::Domain],
            arguments: words.len(),
            edges: &[],
            words: &|words| Some(model(words)),
            caps: &|_, kind| match kind {
                Kind::Thread => Some(answer::ok()),
                _ => Some(answer::invalid_argument(1)),
            },
            undo: &no_undo,
            state: &|| victim.state(),
        });
    };
    probe(
        "domain-set-set",
        Invocation::DomainSetSet,
        &[victim.cap()],
        &[0],
        &|words| match words[0] {
            0 => answer::ok(),
            _ => answer::invalid_argument(0),
        },
    );
    probe(
        "domain-schedule-configure",
        Invocation::DomainScheduleConfigure,
        &[],
        &[0, 0, 1000],
        &|words| match *words {
            [index, domain, _] if index > 0 || domain > 0 => answer::range(0, 0),
            [_, _, duration] if (1..1 << 56).contains(&duration) => answer::ok(),
            _ => answer::invalid_argument(2),
        },
    );
    probe(
        "domain-schedule-set-start",
        Invocation::DomainScheduleSetStart,
        &[],
        &[0],
        &|words| match words[0] {
            0 => answer::ok(),
            1 => answer::invalid_argument(0),
            _ => answer::range(0, 1),
        },
    );
}
