//! Cores as threads: the same runs as with coroutines, and once more with nothing that orders the cores' work but the
//! kernel's own locks. This is what Miri runs (`cargo xtask miri`), with fewer and shorter runs: it interprets.

use tern_sim::machine::Kind;
use tern_sim::run::{self, End, Outcome, Plan};
use tern_sim::world::Ram;

/// A run on threads that has to be good.
fn on_threads(ram: &Ram, plan: Plan, record: bool) -> Outcome {
    let outcome = run::from_seed_on(ram, plan, Kind::Threads, record);
    if let End::Bad(problem) = outcome.end {
        panic!("{plan:?}: {problem}");
    }
    assert!(!outcome.trace.is_empty());
    outcome
}

/// What a core is made of makes no difference to what it does.
#[cfg(not(miri))]
#[test]
fn threads_do_what_coroutines_do() {
    let ram = Ram::new();
    for seed in 0..12 {
        for cores in [1, 2, 3, 8] {
            let plan = Plan {
                seed,
                cores,
                steps: 400,
                model: true,
            };
            let coroutines = run::from_seed_on(&ram, plan, Kind::Coroutines, true);
            let threads = on_threads(&ram, plan, true);
            assert_eq!(threads.trace, coroutines.trace);
            assert_eq!(threads.steps, coroutines.steps);
            assert!(threads.journal == coroutines.journal, "{plan:?}");
        }
    }
}

/// Every check of the simulation, and the model.
#[test]
fn runs_on_threads_are_good() {
    let ram = Ram::new();
    for (seed, cores, steps) in slice(&[(1, 2, 60), (2, 3, 60), (3, 1, 60)]) {
        let plan = Plan {
            seed,
            cores,
            steps,
            model: true,
        };
        on_threads(&ram, plan, false);
    }
}

/// The kernel alone, without checks between its steps.
#[test]
fn cores_do_not_race() {
    let ram = Ram::new();
    for (seed, cores, steps) in slice(&[(11, 2, 200), (12, 3, 200)]) {
        let plan = Plan {
            seed,
            cores,
            steps,
            model: false,
        };
        let journal = on_threads(&ram, plan, true)
            .journal
            .expect("it was asked for");
        journal.replay(|system| ram.boot(system));
    }
}

/// Seeds, cores and steps: these under Miri, others on the bare machine.
fn slice(interpreted: &[(u64, usize, u64)]) -> Vec<(u64, usize, u64)> {
    if cfg!(miri) {
        return interpreted.to_vec();
    }
    (0..8)
        .flat_map(|seed| [1, 2, 3, 8].map(|cores| (seed, cores, 400)))
        .collect()
}
