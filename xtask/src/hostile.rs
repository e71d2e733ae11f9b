//! `cargo xtask hostile`: two tests of the target, `obj_hostile` and `soak`, for as long as one likes and from any seed.
//!
//! A root task has no arguments, so seed and length are compiled into it.

use crate::boards::{Machine, Wanted, default_board};
use crate::builder::{self, Ending, Profile, Variant};
use crate::cli;
use crate::commands::conclude;
use crate::config::KernelConfig;
use crate::failure::{Failure, Result};
use crate::qemu::{self, Boot, Console, Limits};
use crate::setup::{self, Need};
use crate::workspace::{TARGET_TESTS, Workspace};
use std::collections::BTreeSet;
use std::time::Duration;

/// When neither calls nor seconds are given.
const DEFAULT_CALLS: u64 = 1_000_000;
/// Seconds of the machine between two lines about the progress.
const PROGRESS: u64 = 2;
const DEFAULT_TIMEOUT: Duration = Duration::from_secs(3600);
/// A run that has come to its end prints this. A thread that ends the emulator's run from user level does not.
const PASSED: &str = ": passed: ";

pub(crate) fn run(workspace: &Workspace, options: &cli::Hostile) -> Result<()> {
    let board = default_board();
    let machine = board.machine(&Wanted {
        icount: !options.real_time,
        ..options.machine.clone()
    })?;
    let variant = Variant {
        profile: Profile::from_release(options.build.release),
        config: KernelConfig::read(&workspace.root)?
            .with_user_counters()
            .with(&options.build.config)?,
        ending: Ending::Semihosting,
    };
    setup::ensure(workspace, Need::Qemu)?;
    let name = if options.soak { "soak" } else { "obj_hostile" };
    let only = BTreeSet::from([name]);
    let numbers = numbers(options);
    let numbers: Vec<(&str, &str)> = numbers
        .iter()
        .map(|(name, value)| (name.as_str(), value.as_str()))
        .collect();
    let root = builder::root_tasks_with(workspace, TARGET_TESTS, &only, variant.profile, &numbers)?
        .join(name);
    let system = builder::system(workspace, &variant)?;
    let image = system.image(board, &root)?;
    let limits = Limits {
        timeout: options.timeout.unwrap_or(Some(DEFAULT_TIMEOUT)),
        until: None,
    };
    eprintln!("Running {name} on {}", machine.describe());
    let finished = qemu::run(&machine, &Boot::Image(image), &limits, Console::Stdout)?;
    eprintln!("{:.1} s of this machine", finished.elapsed.as_secs_f64());
    let end = match conclude(&finished, &system, &root, board) {
        Ok(()) if !finished.log.contains(PASSED) => {
            Err(Failure::new("the run ended before the test did"))
        }
        other => other,
    };
    if end.is_err() {
        eprintln!("again: {}", again(options, &machine));
    }
    end
}

/// What the test is compiled with.
fn numbers(options: &cli::Hostile) -> Vec<(String, String)> {
    let (seed, calls) = seed_and_calls(options);
    let number = |name: &str, number: u64| (format!("TERN_TEST_{name}"), number.to_string());
    let mut numbers = vec![number("SEED", seed), number("PROGRESS", PROGRESS)];
    numbers.extend(calls.map(|calls| number("COUNT", calls)));
    numbers.extend(options.seconds.map(|seconds| number("SECONDS", seconds)));
    numbers
}

fn seed_and_calls(options: &cli::Hostile) -> (u64, Option<u64>) {
    let default = options.seconds.is_none().then_some(DEFAULT_CALLS);
    (options.seed.unwrap_or(1), options.calls.or(default))
}

/// The command that does the same again, with nothing left to defaults that could change.
fn again(options: &cli::Hostile, machine: &Machine) -> String {
    let (seed, calls) = seed_and_calls(options);
    let mut words = vec!["cargo xtask hostile".to_string()];
    let mut add = |name: &str, value: Option<String>| match value {
        Some(value) => words.push(format!("--{name} {value}")),
        None => words.push(format!("--{name}")),
    };
    if options.soak {
        add("soak", None);
    }
    add("seed", Some(seed.to_string()));
    if let Some(calls) = calls {
        add("calls", Some(calls.to_string()));
    }
    if let Some(seconds) = options.seconds {
        add("seconds", Some(seconds.to_string()));
    }
    add("cores", Some(machine.cores.to_string()));
    add("gic", Some(machine.gic.to_string()));
    add("cpu", Some(machine.cpu.clone()));
    if let Some(memory) = &options.machine.memory {
        add("memory", Some(memory.clone()));
    }
    if options.real_time {
        add("real-time", None);
    }
    if options.build.release {
        add("release", None);
    }
    for setting in &options.build.config {
        add("config", Some(setting.clone()));
    }
    words.join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(line: &str) -> cli::Hostile {
        match cli::parse(line.split(' ').map(Into::into)).unwrap() {
            cli::Command::Hostile(options) => options,
            other => panic!("{other:?}"),
        }
    }

    fn again_of(line: &str) -> String {
        let options = parsed(line);
        let machine = default_board().machine(&options.machine).unwrap();
        again(&options, &machine)
    }

    #[test]
    fn the_command_that_repeats_a_run_says_everything() {
        let short = "hostile --seed 1 --calls 1000000 --cores 4 --gic 2 --cpu cortex-a72";
        assert_eq!(again_of("hostile"), format!("cargo xtask {short}"));
        for line in [
            short,
            "hostile --soak --seed 7 --seconds 9 --cores 8 --gic 3 --cpu max --real-time",
            "hostile --seed 2 --calls 3 --seconds 4 --cores 1 --gic 3 --cpu max --memory 2G --release --config A=1",
        ] {
            assert_eq!(again_of(line), format!("cargo xtask {line}"));
        }
    }

    #[test]
    fn the_numbers_reach_the_compiler() {
        let names = |line: &str| -> Vec<String> {
            let numbers = numbers(&parsed(line));
            numbers
                .iter()
                .map(|(name, number)| format!("{name}={number}"))
                .collect()
        };
        assert_eq!(
            names("hostile --seed 3"),
            [
                "TERN_TEST_SEED=3",
                "TERN_TEST_PROGRESS=2",
                "TERN_TEST_COUNT=1000000"
            ]
        );
        assert!(names("hostile --seconds 5").contains(&"TERN_TEST_SECONDS=5".to_string()));
        assert!(
            !names("hostile --seconds 5")
                .iter()
                .any(|n| n.contains("COUNT"))
        );
    }
}
