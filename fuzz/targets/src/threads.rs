//! Several simulated cores: the bytes are the decisions of a run, which core goes on and what its thread does. Every state
//! is checked and held against the sequential model, as in the random runs.

use std::sync::LazyLock;

use tern_sim::run::{self, End, Plan};
use tern_sim::world::Ram;

static RAM: LazyLock<Ram> = LazyLock::new(Ram::new);

pub fn run(data: &[u8]) {
    let (cores, list) = data.split_first().unwrap_or((&0, &[]));
    let plan = Plan {
        seed: 0,
        cores: [2, 3, 1, 4][usize::from(cores % 4)],
        steps: 3000,
        model: true,
    };
    let outcome = run::from_list(&RAM, plan, list);
    if let End::Bad(problem) = outcome.end {
        let short = run::shrink(&RAM, plan, outcome.trace, &problem);
        for step in &short {
            println!("  {step}");
        }
        panic!("{problem}, on {} cores, after these decisions", plan.cores);
    }
}
