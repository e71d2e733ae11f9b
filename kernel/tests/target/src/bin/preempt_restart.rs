//! A call that takes long is interrupted and goes on: the thread keeps its registers, may be stopped and resumed, and
//! may be given something else to do.

#![no_std]
#![no_main]

extern crate alloc;

use alloc::vec::Vec;
use core::sync::atomic::{AtomicBool, Ordering};
use core::time::Duration;

use libsel4::abi::{Invocation, Syscall, UserContext};
use libsel4::{
    BootInfo, Budget, CapRights, LargePage, Message, System, Tcb, ThreadBuilder, VmAttributes,
    init, root_task, syscall,
};
use tern_target_tests::crowd::{Crowd, Funds, sender};
use tern_target_tests::objects::{Ended, Puppet, call_registers, info, object};
use tern_target_tests::rows::row;

root_task!(main, heap = 1 << 20);

const SIZE: u64 = 1 << 21;
/// The searches may end.
static DONE: AtomicBool = AtomicBool::new(false);

fn main(boot: &'static BootInfo) {
    let mut system = System::new(boot);
    init::TCB.set_priority(init::TCB, 100).expect("lower");
    let page = object::<LargePage>(&mut system);
    let attributes = VmAttributes::default();
    system
        .map(page, CapRights::READ_WRITE, attributes)
        .expect("mapped");
    let puppet = Puppet::new(&mut system, 0, 50);
    // A call that takes several times as long as passes between two interruptions, and as a budget.
    let label = Invocation::PageUnifyInstruction.label();
    let call = UserContext {
        x8: 8,
        x9: 9,
        x28: 28,
        ..call_registers(
            Syscall::Call as i64,
            page.bits(),
            info(label, 0, 2),
            [0, SIZE, 3, 4],
            6,
        )
    };

    beyond_its_budget(boot, &mut system, &call);

    row("preempt.restart.registers");
    let seen = interrupted(&mut system, &puppet, &call, |_| {});
    assert!(seen.len() > 1, "interrupted {} times", seen.len());
    for registers in &seen {
        let expected = UserContext {
            pc: Puppet::trap_address(),
            spsr: registers.spsr,
            ..call
        };
        assert_eq!(*registers, expected);
    }

    row("preempt.restart.resume");
    let seen = interrupted(&mut system, &puppet, &call, move |tcb| {
        tcb.suspend().expect("suspended");
        tcb.resume().expect("resumed");
    });
    assert!(seen.len() > 1 && seen.len() < 100, "it gets on");

    row("preempt.restart.write-registers");
    let other = UserContext {
        pc: Puppet::trap_address(),
        ..call_registers(
            Syscall::Call as i64,
            page.bits(),
            info(Invocation::PageGetAddress.label(), 0, 0),
            [0; 4],
            0,
        )
    };
    let seen = interrupted(&mut system, &puppet, &call, move |tcb| {
        tcb.write_registers(true, &other).expect("written");
    });
    assert_eq!(seen.len(), 1, "the other call is short");
    assert_eq!(puppet.registers().x2, page.get_address().expect("address"));

    row("preempt.restart.search");
    search(&mut system);
    row("preempt.restart.delete");
    interrupted_for_ever(&mut system, &call);
}

/// The call takes more than a budget, and each time the handler is told. Its empty answer lets the call go on where it
/// was: else it would never end.
fn beyond_its_budget(boot: &BootInfo, system: &mut System, call: &UserContext) {
    const BADGE: u64 = 77;
    let puppet = Puppet::new(system, 0, 50);
    let handler = system
        .mint(puppet.faults, CapRights::all(), BADGE)
        .expect("a badge");
    puppet.tcb.set_timeout_endpoint(Some(handler)).expect("set");
    boot.sched_control(0)
        .configure_flags(puppet.sched.cap(), 100, 1_000, 0, 0, false)
        .expect("configured");
    puppet.begin_syscall(call);
    let mut timeouts = 0;
    let mut received = puppet.faults.recv(puppet.reply);
    while received.badge == BADGE {
        assert_eq!(puppet.registers().pc, Puppet::trap_address());
        timeouts += 1;
        assert!(timeouts < 100, "it gets on");
        received = puppet.faults.reply_recv(Message::new(0), puppet.reply);
    }
    assert_eq!(puppet.registers().x1 >> 12, 0, "no error");
    assert!(timeouts > 1, "{timeouts} timeouts");
}

/// Lets the puppet make the call. A thread above it looks at it every 100 us, and has something done to it if it is in
/// the middle of the call. The puppet's registers at these moments.
fn interrupted(
    system: &mut System,
    puppet: &Puppet,
    call: &UserContext,
    act: impl Fn(libsel4::Cap<Tcb>) + Send + 'static,
) -> Vec<UserContext> {
    let tcb = puppet.tcb;
    puppet.begin_syscall(call);
    let observer = ThreadBuilder::new("observer")
        .priority(200)
        .budget(Budget::periodic(
            Duration::from_micros(50),
            Duration::from_micros(100),
        ))
        .spawn(system, move || {
            let mut seen = Vec::new();
            loop {
                let registers = tcb.read_registers(false).expect("read");
                if registers.pc != Puppet::trap_address() {
                    return seen;
                }
                seen.push(registers);
                act(tcb);
                syscall::yield_now();
            }
        })
        .expect("a thread");
    let Ended::Returned(registers) = puppet.end_of_syscall() else {
        panic!("the call is no fault")
    };
    assert_eq!((registers.x0, registers.x1 >> 12), (0, 0), "no error");
    observer.join(system).expect("joined")
}

/// Senders leave the queue in all ways while a search among them is interrupted.
fn search(system: &mut System) {
    const SENDERS: usize = 2_000;
    let handler = system.endpoint().expect("an endpoint");
    let crowd = Crowd::new(system, SENDERS, Funds::Shared, handler);
    let endpoint = system.endpoint().expect("an endpoint");
    let badges = [1, 2].map(|badge| {
        system
            .mint(endpoint, CapRights::all(), badge)
            .expect("a badge")
    });
    crowd.queue(|number| sender(badges[number % 2], number as u64));
    let threads: Vec<_> = crowd.threads.clone();
    let disturber = ThreadBuilder::new("disturber")
        .priority(200)
        .mc_priority(110)
        .budget(Budget::periodic(
            Duration::from_micros(40),
            Duration::from_micros(60),
        ))
        .spawn(system, move || {
            let me = libsel4::thread_block::current().expect("a block").tcb();
            let mut taken = [0, 0];
            for (turn, tcb) in threads.iter().enumerate() {
                match turn % 4 {
                    0 => tcb.suspend().expect("suspended"),
                    1 => tcb.set_priority(me, 105).expect("set"),
                    2 => {
                        let received = endpoint.poll();
                        if received.badge != 0 {
                            taken[received.badge as usize - 1] += 1;
                        }
                    }
                    _ => tcb.slot().delete().expect("deleted"),
                }
            }
            taken
        })
        .expect("a thread");
    // Another search, which the kernel lets go on in turn with this one, if there is another core.
    let cores = system.cores();
    let second = ThreadBuilder::new("second")
        .priority(99)
        .core(cores - 1)
        .spawn(system, move || {
            while !DONE.load(Ordering::Acquire) {
                badges[0].slot().cancel_badged_sends().expect("cancelled");
            }
        })
        .expect("a thread");
    let mut calls = 0;
    while !disturber.is_finished() {
        badges[0].slot().cancel_badged_sends().expect("cancelled");
        calls += 1;
    }
    disturber.join(system).expect("joined");
    DONE.store(true, Ordering::Release);
    second.join(system).expect("joined");
    badges[0].slot().cancel_badged_sends().expect("cancelled");
    libsel4::println!("{calls} searches");
    assert!(calls > 0);
    // Only the other badge is left, in order.
    let mut left = 0;
    loop {
        let received = endpoint.poll();
        if received.badge == 0 {
            break;
        }
        assert_eq!(received.badge, 2);
        left += 1;
    }
    assert!(left < SENDERS / 2);
    crowd.destroy(system);
}

/// The thread of an interrupted call, and what it works on, may go.
fn interrupted_for_ever(system: &mut System, call: &UserContext) {
    let puppet = Puppet::new(system, 0, 50);
    puppet.begin_syscall(call);
    syscall::yield_now();
    let observer = ThreadBuilder::new("killer")
        .priority(200)
        .budget(Budget::periodic(
            Duration::from_micros(50),
            Duration::from_micros(100),
        ))
        .spawn(system, move || {
            syscall::yield_now();
            let registers = puppet.tcb.read_registers(false).expect("read");
            puppet.tcb.slot().revoke().expect("revoked");
            puppet.tcb.slot().delete().expect("deleted");
            registers.pc
        })
        .expect("a thread");
    let pc = observer.join(system).expect("joined");
    assert_eq!(pc, Puppet::trap_address(), "it was in its call");
}
