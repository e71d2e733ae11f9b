//! Runs models in loom.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Instant,
};

use loom::model::Builder;

use crate::{
    access::{self, Kernel},
    arch,
    entry::{CHANGE, Call, run_core},
    smp::lock::TicketLock,
    sync,
    system::{Setup, Variant, set_up, system},
    types::CoreId,
};

/// Why a model is wrong, in loom's words.
pub type Wrong = String;

/// Explores all executions with at most so many preemptions (loom's bound on how often a thread is left that could go
/// on). Prints and returns how many there were.
pub fn explore(
    name: &str,
    preemptions: Option<usize>,
    model: impl Fn() + Sync + Send + 'static,
) -> Result<u64, Wrong> {
    let executions = Arc::new(AtomicU64::new(0));
    let count = executions.clone();
    let mut builder = Builder::new();
    builder.preemption_bound = preemptions;
    builder.max_branches = 20_000;
    let started = Instant::now();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        builder.check(move || {
            count.fetch_add(1, Ordering::Relaxed);
            model();
        });
    }));
    let executions = executions.load(Ordering::Relaxed);
    let seconds = started.elapsed().as_secs_f32();
    match outcome {
        Ok(()) => {
            println!("{name}: {executions} executions, {seconds:.1} s");
            Ok(executions)
        }
        Err(panic) => {
            let wrong = panic
                .downcast_ref::<String>()
                .cloned()
                .or_else(|| panic.downcast_ref::<&str>().map(ToString::to_string))
                .unwrap_or_default();
            println!("{name}: wrong in execution {executions}, {seconds:.1} s: {wrong}");
            Err(wrong)
        }
    }
}

/// One core for each program, in the given variant of the protocols.
pub fn run(
    name: &str,
    variant: Variant,
    preemptions: Option<usize>,
    programs: &'static [&'static [Call]],
) -> Result<u64, Wrong> {
    set_up(Setup {
        cores: programs.len(),
        variant,
    });
    explore(name, preemptions, move || {
        // The first to ask for the system, before there are other threads.
        let cores = system().cores.len();
        let others: Vec<_> = (1..cores)
            .map(|core| loom::thread::spawn(move || run_core(CoreId(core as u16), programs[core])))
            .collect();
        run_core(CoreId(0), programs[0]);
        for other in others {
            other.join().expect("its panic ends the model");
        }
        nothing_is_left(programs);
    })
}

/// In which order a core takes all locks.
#[derive(Clone, Copy, Debug)]
pub enum Order {
    Ascending,
    Descending,
    /// By single tries; where one fails, the core gives up.
    Tried,
}

/// Each core takes all locks once, changes what they guard, and releases them. Accesses to lock words with the order
/// `weakened` are relaxed.
pub fn locks(
    name: &str,
    weakened: Option<Ordering>,
    preemptions: Option<usize>,
    cores: &'static [Order],
) -> Result<u64, Wrong> {
    set_up(Setup {
        cores: cores.len(),
        variant: Variant::Real,
    });
    sync::weaken(weakened);
    let outcome = explore(name, preemptions, move || {
        let system = system();
        let others: Vec<_> = (1..cores.len())
            .map(|core| loom::thread::spawn(move || take_locks(CoreId(core as u16), cores[core])))
            .collect();
        let mut changes = u32::from(take_locks(CoreId(0), cores[0]));
        for other in others {
            changes += u32::from(other.join().expect("its panic ends the model"));
        }
        assert_eq!(access::value(&system.contexts[0]), changes);
        assert!(!system.locks.iter().any(|lock| lock.is_held()));
    });
    sync::weaken(None);
    outcome
}

/// Tells whether it got them.
fn take_locks(me: CoreId, order: Order) -> bool {
    arch::become_core(me);
    let locks = &system().locks;
    match order {
        Order::Ascending => locks.iter().for_each(TicketLock::acquire),
        Order::Descending => locks.iter().rev().for_each(TicketLock::acquire),
        Order::Tried => {
            let had = locks.iter().take_while(|lock| lock.try_acquire()).count();
            if had < locks.len() {
                locks[..had].iter().for_each(TicketLock::release);
                return false;
            }
        }
    }
    access::add(&system().contexts[0], 1);
    locks.iter().for_each(TicketLock::release);
    true
}

/// When all is over: no lock, no flag, no change is left or lost.
fn nothing_is_left(programs: &[&[Call]]) {
    let k = Kernel::lock_all(system(), CoreId(0));
    for core in k.cores() {
        let flags = k.flags(core);
        for flag in [&flags.will_look, &flags.hold, &flags.parked] {
            assert!(!flag.load(Ordering::Relaxed), "a flag is left");
        }
        assert!(k.core(core).current.is_none(), "a thread is left");
    }
    let suspends = |program: &[Call]| program.iter().any(|call| matches!(call, Call::Suspend(_)));
    if !programs.iter().any(|program| suspends(program)) {
        for thread in 0..programs.len() {
            let changes = programs
                .iter()
                .flat_map(|program| program.iter())
                .filter(|&&call| call == Call::Change(thread))
                .count() as u32;
            for registers in [&system().contexts, &system().fpu] {
                let changed = access::value(&registers[thread]) / CHANGE;
                assert_eq!(changed, changes, "a change of a register is lost");
            }
        }
    }
    k.release();
    assert!(!system().stop.is_held(), "the stop lock is left");
    assert!(
        !system().locks.iter().any(|lock| lock.is_held()),
        "a lock is left"
    );
}
