//! Threads on every core call all methods of threads and scheduling contexts, at random, on a common crowd that sends,
//! receives, calls and yields meanwhile. Refusals are fine. Nothing hangs, and in the end every thread of the crowd
//! can be made to run, with every scheduling context, on every core.
//!
//! timeout: 240

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::time::Duration;

use libsel4::abi::UserContext;
use libsel4::invoke::CopyRegisters;
use libsel4::{
    BootInfo, Budget, Cap, CapRights, Endpoint, Message, Notification, Reply, SchedContext,
    SchedControl, Tcb, ThreadBuilder, debug, init, root_task, syscall,
};
use tern_target_tests::code::address_of;
use tern_target_tests::random::Random;
use tern_target_tests::rows::row;
use tern_target_tests::sched::{Bench, fpu_keeps};
use tern_target_tests::snippets;

root_task!(main, heap = 2 * 1024 * 1024);

const CROWD: usize = 8;
/// Of each commander.
const CALLS: u64 = 4_000;
/// How often the test looks whether they have finished.
const PATIENCE: u64 = 4_000;
/// Of a commander: it gives up what is left of one.
const PERIOD: Duration = Duration::from_micros(500);

snippets! {
    count: "2: add x19, x19, #1", "b 2b";
}

/// Everything that there is to act on. Copied into each thread.
#[derive(Clone, Copy)]
struct Common {
    tcbs: [Cap<Tcb>; CROWD],
    contexts: [Cap<SchedContext>; CROWD],
    controls: [Cap<SchedControl>; 8],
    cores: usize,
    endpoints: [Cap<Endpoint>; 2],
    notifications: [Cap<Notification>; 3],
    replies: [Cap<Reply>; 3],
}

fn main(boot: &'static BootInfo) {
    row("tcb.running-elsewhere");
    let mut bench = Bench::new(boot);
    let system = &mut bench.system;
    let endpoints = [0; 2].map(|_| system.endpoint().unwrap());
    let notifications = [0; 3].map(|_| system.notification().unwrap());
    let replies = [0; 3].map(|_| system.reply().unwrap());
    // The crowd's own contexts stay with the library's threads; these are for all.
    let contexts = [0; CROWD].map(|_| system.sched_context(4).unwrap());
    let cores = system.cores();
    let controls = core::array::from_fn(|core| boot.sched_control(core.min(cores - 1)));
    let mut common = Common {
        tcbs: [init::TCB; CROWD],
        contexts,
        controls,
        cores,
        endpoints,
        notifications,
        replies,
    };
    let crowd: Vec<_> = (0..CROWD)
        .map(|index| {
            ThreadBuilder::new("crowd")
                .core(index % cores)
                .priority(50 + index as u8)
                .spawn(system, move || member(&common, index as u64))
                .unwrap()
        })
        .collect();
    for (tcb, thread) in common.tcbs.iter_mut().zip(&crowd) {
        *tcb = thread.tcb();
    }
    let own: Vec<_> = crowd.iter().map(|t| t.sched().unwrap().cap()).collect();
    let commanders: Vec<_> = (0..cores)
        .map(|core| {
            let thread = ThreadBuilder::new("commander")
                .core(core)
                .priority(200)
                .mc_priority(255)
                .budget(Budget::periodic(PERIOD * 15 / 16, PERIOD))
                .spawn(system, move || {
                    let mut random = Random::new(core as u64 + 1);
                    for call in 0..CALLS {
                        command(&common, &mut random);
                        if call % 4 == 0 {
                            // Time for the crowd, until this thread's next period.
                            syscall::yield_now();
                        }
                    }
                });
            thread.unwrap()
        })
        .collect();
    let mut waited = 0;
    while !commanders.iter().all(|thread| thread.is_finished()) {
        bench.sleep(2_000);
        waited += 1;
        if waited == PATIENCE {
            debug::dump_scheduler();
            panic!("the commanders do not get on");
        }
    }
    for thread in commanders {
        thread.join(&mut bench.system).unwrap();
    }
    recovered(&mut bench, &common, &own);
}

/// What the crowd does, until the end of the test.
fn member(common: &Common, index: u64) {
    let mut random = Random::new(100 + index);
    loop {
        let endpoint = random.pick(&common.endpoints);
        let notification = random.pick(&common.notifications);
        let reply = random.pick(&common.replies);
        let message = Message::new(random.below(100)).words(&[1, 2, 3]);
        match random.below(8) {
            0 => drop(syscall::call(endpoint.bits(), message)),
            1 => drop(endpoint.recv(reply)),
            2 => drop(endpoint.reply_recv(message, reply)),
            3 => endpoint.nb_send(message),
            4 => notification.signal(),
            5 => syscall::yield_now(),
            6 => drop(endpoint.nb_recv(reply)),
            _ => assert!(fpu_keeps(index << 32 | random.below(1000), 50)),
        }
    }
}

/// One method, with whatever comes of it.
fn command(c: &Common, random: &mut Random) {
    let (tcb, other) = (random.pick(&c.tcbs), random.pick(&c.tcbs));
    let context = random.pick(&c.contexts);
    let notification = random.pick(&c.notifications);
    let priority = 40 + random.below(60) as u8;
    let control = c.controls[random.below(c.cores as u64) as usize];
    let _ = match random.below(24) {
        0 => tcb.suspend(),
        1 | 2 => tcb.resume(),
        3 => tcb.set_priority(init::TCB, priority),
        4 => tcb.set_mc_priority(init::TCB, priority),
        5 => tcb.set_sched_params(init::TCB, 200, priority, Some(context), None),
        6 => tcb.set_sched_params(init::TCB, 200, priority, None, None),
        7 | 8 => context.bind(tcb),
        9 => context.unbind(),
        10 => context.unbind_thread(tcb),
        11 => context.bind_notification(notification),
        12 => context.unbind_notification(notification),
        13 => context.consumed().map(drop),
        14 => context.yield_to().map(drop),
        15 => {
            let period = 200 + random.below(20) * 100;
            let budget = 100 + random.below(period - 100);
            control.configure(context, budget, period, random.below(4), 7)
        }
        16 => control.configure(context, 1_000, 1_000, 0, 0),
        17 => tcb.read_registers(random.below(4) == 0).map(drop),
        18 => tcb.copy_registers(
            other,
            CopyRegisters {
                suspend_source: random.below(4) == 0,
                resume_target: true,
                ..CopyRegisters::default()
            },
        ),
        19 => tcb.bind_notification(notification),
        20 => tcb.unbind_notification(),
        21 => {
            notification.signal();
            Ok(())
        }
        22 => init::DOMAIN_SET.set(0, tcb),
        _ => control.configure_flags(context, 500, 1_500, 2, 0, true),
    };
}

/// Each of the crowd counts in turn, with each of the contexts and on each core.
fn recovered(bench: &mut Bench, common: &Common, own: &[Cap<SchedContext>]) {
    for context in common.contexts.iter().chain(own) {
        context.unbind().unwrap();
    }
    for (index, &tcb) in common.tcbs.iter().enumerate() {
        tcb.suspend().unwrap();
        let _ = tcb.unbind_notification();
        tcb.set_priority(init::TCB, 100).unwrap();
        let start = UserContext {
            pc: address_of(count),
            ..UserContext::default()
        };
        tcb.write_registers(false, &start).unwrap();
        let context = common.contexts[(index + 3) % CROWD];
        for core in 0..common.cores {
            bench.move_sc(context, core);
            context.bind(tcb).unwrap();
            tcb.resume().unwrap();
            let counted = || tcb.read_registers(false).unwrap().x19;
            let before = counted();
            bench.eventually("it counts", || counted() > before);
            context.unbind().unwrap();
        }
        tcb.suspend().unwrap();
    }
    // Endpoints and notifications too.
    for endpoint in common.endpoints {
        let copy = bench.system.copy(endpoint, CapRights::all()).unwrap();
        copy.nb_send(Message::new(0));
        assert_eq!(copy.nb_recv(common.replies[0]).label(), 0);
    }
    for notification in common.notifications {
        notification.signal();
        notification.wait();
    }
}
