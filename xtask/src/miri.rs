//! `cargo xtask miri`: tests that Miri interprets, which finds undefined behaviour that they happen to survive.
//!
//! These are the host tests of what becomes kernel code, and a slice of the simulation with cores that are threads.
//! `docs/testing.md` says what the flags are for, and what is left out.

use crate::cli;
use crate::failure::{Failure, Result};
use crate::setup;
use crate::testing::host;
use crate::testing::runner::Tally;
use crate::workspace::Workspace;
use std::env;
use std::time::Instant;

/// For everything: the kernel names objects by addresses, and never frees what tests give it.
const FLAGS: [&str; 2] = ["-Zmiri-permissive-provenance", "-Zmiri-ignore-leaks"];

/// For the simulation, which hands over from core to core by relaxed accesses: they give the latest value, and threads
/// switch where they say so.
const SIMULATION_FLAGS: [&str; 2] = [
    "-Zmiri-disable-weak-memory-emulation",
    "-Zmiri-preemption-rate=0",
];

/// For packages with random tests: few cases each, and no file that remembers them.
const RANDOM_FLAGS: [&str; 2] = [
    "-Zmiri-env-set=PROPTEST_CASES=4",
    "-Zmiri-env-set=PROPTEST_DISABLE_FAILURE_PERSISTENCE=1",
];

/// Tests of one package.
struct Part {
    package: &'static str,
    targets: &'static [&'static str],
    flags: &'static [&'static str],
    /// Tests that are left out: each makes so many steps of safe code that Miri would take hours.
    skip: &'static [&'static str],
    quick: Quick,
}

/// What `--quick` runs of it.
enum Quick {
    Nothing,
    Everything,
    /// Tests with this in their names.
    Some(&'static str),
}

const PARTS: [Part; 5] = [
    Part {
        package: "tern-kernel",
        targets: &ALL,
        flags: &[],
        skip: &[],
        quick: Quick::Everything,
    },
    Part {
        package: SIMULATION,
        targets: &["--test", "threads", "--test", "stories"],
        flags: &SIMULATION_FLAGS,
        skip: &[],
        quick: Quick::Some("race"),
    },
    Part {
        package: "sel4-abi",
        targets: &ALL,
        flags: &[],
        skip: &[],
        quick: Quick::Everything,
    },
    Part {
        package: "tern-platform",
        // Not `tests/dtb.rs`: the trees of real boards are large.
        targets: &["--lib", "--features", "loader"],
        flags: &[],
        skip: &["changed_bytes_never_panic"],
        quick: Quick::Nothing,
    },
    Part {
        package: "mcs",
        // Safe code only, so what takes long is not worth it.
        targets: &["--test", "limits", "--test", "ready", "--test", "vectors"],
        flags: &RANDOM_FLAGS,
        skip: &["behaves_like_vectors"],
        quick: Quick::Nothing,
    },
];

const ALL: [&str; 2] = ["--lib", "--tests"];
const SIMULATION: &str = "tern-sim";

pub(crate) fn run(workspace: &Workspace, options: &cli::Miri) -> Result<()> {
    setup::ensure_miri(workspace)?;
    let start = Instant::now();
    let mut tally = Tally::default();
    for part in &PARTS {
        let name = match (options.quick, &part.quick) {
            (true, Quick::Nothing) => continue,
            (true, Quick::Some(name)) => Some(*name),
            (true, Quick::Everything) | (false, _) => None,
        };
        let filter = options.filter.as_deref().or(name);
        tally.add(part.run(workspace, filter)?);
    }
    println!(
        "\n{} passed, {} failed, in {} s",
        tally.passed,
        tally.failed,
        start.elapsed().as_secs()
    );
    if tally.passed + tally.failed == 0 {
        return Err(Failure::new(
            "no test that Miri runs has this in its name".to_string(),
        ));
    }
    if tally.failed > 0 {
        return Err(Failure::status(1));
    }
    Ok(())
}

impl Part {
    fn run(&self, workspace: &Workspace, filter: Option<&str>) -> Result<Tally> {
        println!("\n== {}", self.package);
        let mut cargo = setup::miri_cargo();
        cargo
            .args(["miri", "test", "--no-fail-fast", "--package", self.package])
            .args(self.targets)
            .arg("--target-dir");
        if self.package == SIMULATION {
            // The kernel is configured as for `sim`, so it is another kernel.
            cargo
                .arg(workspace.scratch("miri-sim")?)
                .env("TERN_ROOT_CNODE_SIZE_BITS", "8");
        } else {
            cargo.arg(&workspace.target);
        }
        let given = env::var("MIRIFLAGS").unwrap_or_default();
        let flags = FLAGS.iter().chain(self.flags).copied();
        let flags: Vec<&str> = flags.chain([given.as_str()]).collect();
        cargo.env("MIRIFLAGS", flags.join(" ")).arg("--");
        for test in self.skip {
            cargo.args(["--skip", test]);
        }
        cargo.args(filter);
        host::counted(workspace.prepared(cargo))
    }
}
