//! A few random runs of each kind on each number of cores. `cargo xtask sim` makes more of them, faster.

use tern_sim::run::{self, End, Plan};
use tern_sim::witness::Tally;
use tern_sim::world::Ram;

#[test]
fn runs_are_good() {
    let ram = Ram::new();
    let mut tally = Tally::default();
    for seed in 0..64 {
        for cores in [1, 2, 3, 4, 8] {
            let plan = Plan {
                seed,
                cores,
                steps: 400,
                model: true,
            };
            let outcome = run::from_seed(&ram, plan);
            if let End::Bad(problem) = outcome.end {
                panic!("seed {seed} on {cores} cores: {problem}");
            }
            tally.add(&outcome.tally);
        }
    }
    // The model has something to say to nearly everything.
    assert!(tally.sections > 0);
    assert!(tally.judged * 100 > tally.sections * 95, "{tally:?}");
}

/// The same seed makes the same decisions, and the decisions alone make the same run.
#[test]
fn runs_repeat() {
    let ram = Ram::new();
    for seed in [3, 5, 8] {
        let plan = Plan {
            seed,
            cores: 3,
            steps: 1000,
            model: true,
        };
        let (first, second) = (run::from_seed(&ram, plan), run::from_seed(&ram, plan));
        let same = first
            .trace
            .iter()
            .zip(&second.trace)
            .take_while(|(a, b)| a == b);
        let same = same.count();
        assert!(
            first.trace == second.trace,
            "they part after {same} decisions: {:?} and {:?}",
            first.trace.get(same),
            second.trace.get(same)
        );
        let again = run::from_trace(&ram, plan.cores, plan.model, &first.trace);
        assert!(matches!(again.end, End::Good));
        assert_eq!(again.trace, first.trace);
    }
}
