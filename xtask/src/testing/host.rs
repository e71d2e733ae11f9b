//! The tests of this machine: `cargo test` for the packages that build here, with its own counts added up.

use super::runner::Tally;
use crate::failure::{Context, Result};
use crate::workspace::Workspace;
use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

/// Runs them.
pub(crate) fn run(workspace: &Workspace, filter: Option<&str>, release: bool) -> Result<Tally> {
    let mut cargo = workspace.cargo("test");
    cargo.arg("--no-fail-fast");
    if release {
        cargo.arg("--release");
    }
    if let Some(filter) = filter {
        cargo.args(["--", filter]);
    }
    counted(cargo)
}

/// Runs a `cargo test` of any kind and counts; what does not compile, or breaks off, counts as one failure.
pub(crate) fn counted(mut cargo: Command) -> Result<Tally> {
    let mut cargo = cargo.stdout(Stdio::piped()).spawn().running("cargo test")?;
    let mut tally = Tally::default();
    if let Some(output) = cargo.stdout.take() {
        for line in BufReader::new(output).lines() {
            let line = line.running("cargo test")?;
            println!("{line}");
            if let Some(counts) = counts(&line) {
                tally.add(counts);
            }
        }
    }
    if !cargo.wait().running("cargo test")?.success() && tally.failed == 0 {
        tally.failed = 1;
    }
    Ok(tally)
}

/// The counts in the line that ends a group of tests.
fn counts(line: &str) -> Option<Tally> {
    let rest = line.strip_prefix("test result: ")?;
    let number = |word: &str| {
        rest.split([';', '.'])
            .filter_map(|part| part.trim().strip_suffix(word))
            .find_map(|number| number.trim().parse().ok())
    };
    Some(Tally {
        passed: number("passed")?,
        failed: number("failed")?,
        skipped: 0,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cargo_is_understood() {
        let line = "test result: FAILED. 12 passed; 3 failed; 1 ignored; 0 measured; 0 filtered out; finished in 0.00s";
        assert_eq!(
            counts(line),
            Some(Tally {
                passed: 12,
                failed: 3,
                skipped: 0
            })
        );
        assert_eq!(counts("test foo ... ok"), None);
    }
}
