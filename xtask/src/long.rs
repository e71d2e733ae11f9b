//! `cargo xtask sim --total N`: a long run of the simulation that may be interrupted at any time.
//!
//! It works through one fixed series, seeds 1, 2, 3 and so on, whose kinds of runs and numbers of cores follow from the
//! seed. After each chunk of seeds the totals so far are saved. They are worth something for one state of the sources
//! only, so a fingerprint of these is saved with them; other sources start anew, unless told to go on.

use crate::cli;
use crate::commands::SIM_CONFIG;
use crate::failure::{Context, Failure, Result};
use crate::mutants::tracked;
use crate::workspace::Workspace;
use std::collections::hash_map::DefaultHasher;
use std::fmt::Write;
use std::fs;
use std::hash::{Hash, Hasher};
use std::path::{Path, PathBuf};
use std::process::Command;

/// Seeds between two moments when progress is saved: some seconds of work.
const CHUNK: u64 = 1000;
/// What a run depends on.
const SOURCES: [&str; 7] = [
    "Cargo.lock",
    "kernel/config.keys",
    "kernel/src/",
    "kernel/tests/sim/src/",
    "libsel4-rs/abi/",
    "mcs/src/",
    "platform/src/",
];

pub(crate) fn run(workspace: &Workspace, options: &cli::Sim, total: u64) -> Result<()> {
    let program = build(workspace)?;
    let file = workspace.scratch("sim-long")?.join("progress");
    let sources = fingerprint(workspace)?;
    let mut progress = begin(&file, &sources, options)?;
    while progress.steps < total {
        let chunk = simulate(&program, workspace, progress.seeds + 1)?;
        progress.add(&chunk);
        progress.save(&file)?;
        println!("{}", progress.describe(total));
    }
    println!("seeds 1 to {}: all good", progress.seeds);
    println!("{}", progress.row(&commit(workspace)));
    Ok(())
}

/// What was done before, if it counts.
fn begin(file: &Path, sources: &str, options: &cli::Sim) -> Result<Progress> {
    let new = Progress {
        sources: sources.to_string(),
        ..Progress::default()
    };
    let old = match fs::read_to_string(file) {
        Ok(text) if !options.restart => Progress::parse(&text)
            .ok_or_else(|| Failure::new(format!("{} is damaged: --restart", file.display())))?,
        _ => return Ok(new),
    };
    if old.sources == sources {
        println!("goes on after seed {}", old.seeds);
        return Ok(old);
    }
    if options.resume {
        println!(
            "goes on after seed {}, although the sources have changed",
            old.seeds
        );
        return Ok(Progress {
            sources: new.sources,
            ..old
        });
    }
    println!("the sources have changed: starts anew");
    Ok(new)
}

fn build(workspace: &Workspace) -> Result<PathBuf> {
    let status = workspace
        .cargo("build")
        .args(["--profile", "sim", "--package", "tern-sim"])
        .envs(SIM_CONFIG)
        .status()
        .running("cargo build")?;
    if !status.success() {
        return Err(Failure::new("the simulation does not build"));
    }
    let built = workspace.target.join("sim/tern-sim");
    // Whoever works on the sources meanwhile builds another one.
    let copy = workspace.scratch("sim-long")?.join("tern-sim");
    fs::copy(&built, &copy).doing("copy", &built)?;
    Ok(copy)
}

/// Runs a chunk of the series. A run that goes wrong ends it all, with the simulation's own words.
fn simulate(program: &Path, workspace: &Workspace, first: u64) -> Result<Progress> {
    let output = Command::new(program)
        .current_dir(&workspace.root)
        .args(["--seed", &first.to_string(), "--seeds", &CHUNK.to_string()])
        .arg("--report")
        .output()
        .running("the simulation")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let report = text.lines().find_map(|line| line.strip_prefix("report: "));
    match report.and_then(|line| Progress::parse(&line.replace(' ', "\n"))) {
        Some(progress) if output.status.success() => Ok(progress),
        _ => {
            print!("{text}");
            eprint!("{}", String::from_utf8_lossy(&output.stderr));
            Err(Failure::status(1))
        }
    }
}

fn fingerprint(workspace: &Workspace) -> Result<String> {
    let mut hasher = DefaultHasher::new();
    for file in tracked(workspace)? {
        if SOURCES.iter().any(|part| file.starts_with(part)) {
            file.hash(&mut hasher);
            // A file that is deleted and not yet committed counts as empty.
            fs::read(workspace.root.join(&file))
                .unwrap_or_default()
                .hash(&mut hasher);
        }
    }
    Ok(format!("{:016x}", hasher.finish()))
}

fn commit(workspace: &Workspace) -> String {
    let output = Command::new("git")
        .current_dir(&workspace.root)
        .args(["describe", "--always", "--dirty", "--exclude=*"])
        .output();
    match output {
        Ok(output) if output.status.success() => {
            String::from_utf8_lossy(&output.stdout).trim().to_string()
        }
        _ => "unknown".to_string(),
    }
}

/// The sum of all chunks so far. The file has a line for each field: its name, `=`, and its value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct Progress {
    /// Of the sources that it was measured with; unknown in a single report.
    sources: String,
    seeds: u64,
    steps: u64,
    milliseconds: u64,
    sections: u64,
    judged: u64,
}

impl Progress {
    fn parse(text: &str) -> Option<Self> {
        let value = |name: &str| {
            let lines = text.lines().filter_map(|line| line.split_once('='));
            lines
                .filter(|(key, _)| *key == name)
                .map(|(_, value)| value)
                .next()
        };
        let number = |name: &str| value(name)?.parse().ok();
        Some(Self {
            sources: value("sources").unwrap_or_default().to_string(),
            seeds: number("seeds")?,
            steps: number("steps")?,
            milliseconds: number("milliseconds")?,
            sections: number("sections")?,
            judged: number("judged")?,
        })
    }

    fn add(&mut self, chunk: &Self) {
        self.seeds += chunk.seeds;
        self.steps += chunk.steps;
        self.milliseconds += chunk.milliseconds;
        self.sections += chunk.sections;
        self.judged += chunk.judged;
    }

    fn text(&self) -> String {
        let mut text = format!("sources={}\n", self.sources);
        for (name, value) in [
            ("seeds", self.seeds),
            ("steps", self.steps),
            ("milliseconds", self.milliseconds),
            ("sections", self.sections),
            ("judged", self.judged),
        ] {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{name}={value}");
        }
        text
    }

    /// An interruption leaves the old file or the new one.
    fn save(&self, file: &Path) -> Result<()> {
        let new = file.with_extension("new");
        fs::write(&new, self.text()).doing("write", &new)?;
        fs::rename(&new, file).doing("replace", file)
    }

    fn steps_a_second(&self) -> u64 {
        self.steps * 1000 / self.milliseconds.max(1)
    }

    fn judged_percent(&self) -> f64 {
        100.0 * self.judged as f64 / self.sections.max(1) as f64
    }

    fn describe(&self, total: u64) -> String {
        format!(
            "{} runs, {} steps ({:.1} %), {} a second, {} sections, {:.2} % judged",
            self.seeds,
            self.steps,
            100.0 * self.steps as f64 / total.max(1) as f64,
            self.steps_a_second(),
            self.sections,
            self.judged_percent()
        )
    }

    /// The row of docs/testing.md.
    fn row(&self, commit: &str) -> String {
        format!(
            "| {commit} | 1 to {} | {} | {} | {:.2} % | {} |",
            self.seeds,
            self.steps,
            self.sections,
            self.judged_percent(),
            self.steps_a_second()
        )
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn some() -> Progress {
        Progress {
            sources: "abc".into(),
            seeds: 2000,
            steps: 8_000_000,
            milliseconds: 10_000,
            sections: 1000,
            judged: 990,
        }
    }

    #[test]
    fn progress_is_kept() {
        assert_eq!(Progress::parse(&some().text()), Some(some()));
        assert_eq!(Progress::parse("seeds=1\nsteps=x\n"), None);
        let report = "seeds=1000 steps=5 milliseconds=7 sections=2 judged=1";
        let mut progress = some();
        progress.add(&Progress::parse(&report.replace(' ', "\n")).unwrap());
        assert_eq!((progress.seeds, progress.steps), (3000, 8_000_005));
        assert_eq!(progress.sources, "abc");
        assert_eq!(
            some().row("1234567"),
            "| 1234567 | 1 to 2000 | 8000000 | 1000 | 99.00 % | 800000 |"
        );
    }

    #[test]
    fn other_sources_start_anew() {
        let directory = std::env::temp_dir().join(format!("tern-long-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let file = directory.join("progress");
        let begin = |sources: &str, restart: bool, resume: bool| {
            let options = cli::Sim {
                restart,
                resume,
                ..cli::Sim::default()
            };
            begin(&file, sources, &options).map(|progress| (progress.seeds, progress.sources))
        };
        assert_eq!(begin("abc", false, false).unwrap(), (0, "abc".into()));
        some().save(&file).unwrap();
        assert_eq!(begin("abc", false, false).unwrap(), (2000, "abc".into()));
        assert_eq!(begin("abc", true, false).unwrap().0, 0);
        assert_eq!(begin("other", false, false).unwrap(), (0, "other".into()));
        assert_eq!(begin("other", false, true).unwrap(), (2000, "other".into()));
        fs::write(&file, "nonsense").unwrap();
        assert!(
            begin("abc", false, false)
                .unwrap_err()
                .message
                .contains("--restart")
        );
        fs::remove_dir_all(&directory).unwrap();
    }
}
