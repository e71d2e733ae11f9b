//! `cargo xtask coverage`: which lines of the portable kernel the simulation reaches, with the tests of this machine or
//! without them.
//!
//! The compiler counts (`-C instrument-coverage`), in a target directory of its own; LLVM's tools of the same toolchain
//! read the counters, which a process writes when it exits. A run of the simulation that goes wrong ends by an ordinary
//! exit too, so what it reached is counted.

mod lines;

use crate::cli;
use crate::commands::SIM_CONFIG;
use crate::failure::{Context, Failure, Result};
use crate::setup;
use crate::workspace::Workspace;
use lines::{File, Source};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// How long the simulation runs if nothing is said, in seconds.
const SECONDS: u64 = 60;
/// What is measured.
const PARTS: [&str; 2] = ["kernel/src/", "mcs/src/"];
/// What exists on the target only, or stands for the processor on this machine.
const LEFT_OUT: [&str; 4] = [
    "kernel/src/arch/",
    "kernel/src/main.rs",
    "kernel/src/boot/start.rs",
    "kernel/src/panic.rs",
];
/// Packages with tests that reach the kernel.
const TESTED: [&str; 3] = ["tern-kernel", "mcs", "tern-sim"];

pub(crate) fn run(workspace: &Workspace, options: &cli::Coverage) -> Result<()> {
    let tools = setup::ensure_llvm_tools(workspace)?;
    let build = Build::new(workspace)?;
    let simulation = build.simulation()?;
    let mut programs = vec![simulation.clone()];
    let mut failed = !build.simulate(&simulation, options)?;
    if options.tests {
        let tests = build.tests()?;
        failed |= !build.test()?;
        programs.extend(tests);
    }
    let data = build.merge(&tools)?;
    let lcov = export(&tools, &programs, &data)?;
    let mut files = lines::parse(&lcov, &workspace.root, is_measured);
    let sources: Vec<Source> = files
        .iter()
        .map(|file| Source::read(&workspace.root, &file.path))
        .collect::<Result<_>>()?;
    for (file, source) in files.iter_mut().zip(&sources) {
        file.leave_out(|line| source.is_for_tests(line));
    }
    if let Some(path) = &options.lcov {
        fs::write(path, lines::lcov(&files)).doing("write", path)?;
    }
    if let Some(directory) = &options.html {
        html(&tools, &programs, &data, directory, workspace, &files)?;
    }
    let wanted = |file: &File| {
        let part = options.filter.as_deref();
        part.is_none_or(|part| file.path.contains(part))
    };
    if options.lines {
        for (file, source) in files.iter().zip(&sources).filter(|(file, _)| wanted(file)) {
            print!("{}", lines::unreached(file, source));
        }
    }
    let shown: Vec<&File> = files.iter().filter(|file| wanted(file)).collect();
    print!("{}", lines::table(&shown));
    let percent = lines::percent(&shown);
    if failed {
        return Err(Failure::new(
            "a run or a test went wrong; what it reached is counted above",
        ));
    }
    match options.least {
        Some(least) if percent < least as f64 => Err(Failure::new(format!(
            "less than the {least} % that --least asks for"
        ))),
        _ => Ok(()),
    }
}

fn is_measured(path: &str) -> bool {
    PARTS.iter().any(|part| path.starts_with(part))
        && !LEFT_OUT.iter().any(|part| path.starts_with(part))
}

/// An instrumented build and what it leaves.
struct Build {
    workspace: Workspace,
    /// The triple of this machine. Naming it keeps build scripts out of the measurement.
    host: String,
    profiles: PathBuf,
}

impl Build {
    fn new(workspace: &Workspace) -> Result<Self> {
        let target = workspace.target.join("coverage");
        let profiles = target.join("profiles");
        // Counters of an earlier build or measurement.
        if profiles.exists() {
            fs::remove_dir_all(&profiles).doing("remove", &profiles)?;
        }
        fs::create_dir_all(&profiles).doing("create", &profiles)?;
        let root = workspace.root.clone();
        Ok(Self {
            workspace: Workspace { root, target },
            host: setup::host_triple(workspace)?,
            profiles,
        })
    }

    fn cargo(&self, subcommand: &str) -> Command {
        let mut cargo = self.workspace.cargo(subcommand);
        cargo
            .args(["--profile", "sim", "--target", &self.host])
            .env("RUSTFLAGS", "-C instrument-coverage")
            .env("LLVM_PROFILE_FILE", self.profiles.join("%p-%m.profraw"));
        cargo
    }

    fn simulation(&self) -> Result<PathBuf> {
        let mut cargo = self.cargo("build");
        cargo.args(["--package", "tern-sim"]);
        cargo.envs(SIM_CONFIG);
        succeed(&mut cargo, "cargo build")?;
        // Tests are built with the kernel's usual configuration, which replaces this program.
        let place = self.workspace.target.join(&self.host).join("sim/tern-sim");
        let copy = self.profiles.join("tern-sim");
        fs::copy(&place, &copy).doing("copy", &place)?;
        Ok(copy)
    }

    /// Whether all went well.
    fn simulate(&self, program: &Path, options: &cli::Coverage) -> Result<bool> {
        let mut run = Command::new(program);
        run.current_dir(&self.workspace.root)
            .env("LLVM_PROFILE_FILE", self.profiles.join("%p-%m.profraw"));
        // The model only looks on, and would look at the kernel's state with the kernel's own functions.
        run.arg("--no-model");
        match options.seeds {
            Some(seeds) => run.args(["--seeds", &seeds.to_string()]),
            None => {
                let seconds = options.seconds.unwrap_or(SECONDS);
                run.args(["--seconds", &seconds.to_string()])
            }
        };
        Ok(run.status().running("the simulation")?.success())
    }

    fn tested(&self) -> Command {
        let mut cargo = self.cargo("test");
        for package in TESTED {
            cargo.args(["--package", package]);
        }
        cargo
    }

    /// Builds the tests' programs and says which they are.
    fn tests(&self) -> Result<Vec<PathBuf>> {
        let output = self
            .tested()
            .args(["--tests", "--no-run", "--message-format", "json"])
            .stderr(std::process::Stdio::inherit())
            .output()
            .running("cargo test")?;
        if !output.status.success() {
            return Err(Failure::new("the tests do not build"));
        }
        Ok(programs(&String::from_utf8_lossy(&output.stdout)))
    }

    fn test(&self) -> Result<bool> {
        let mut cargo = self.tested();
        cargo.args(["--tests", "--quiet", "--no-fail-fast"]);
        Ok(cargo.status().running("cargo test")?.success())
    }

    /// All counters in one file.
    fn merge(&self, tools: &Path) -> Result<PathBuf> {
        let data = self.profiles.join("all.profdata");
        let mut merge = Command::new(tools.join("llvm-profdata"));
        merge.args(["merge", "--sparse", "-o"]).arg(&data);
        for entry in fs::read_dir(&self.profiles).doing("read", &self.profiles)? {
            let path = entry.doing("read", &self.profiles)?.path();
            if path.extension().is_some_and(|kind| kind == "profraw") {
                merge.arg(path);
            }
        }
        succeed(&mut merge, "llvm-profdata")?;
        Ok(data)
    }
}

fn succeed(command: &mut Command, name: &str) -> Result<()> {
    let status = command.status().running(name)?;
    match status.success() {
        true => Ok(()),
        false => Err(Failure::new(format!("{name} failed"))),
    }
}

/// The programs that cargo's messages name.
fn programs(messages: &str) -> Vec<PathBuf> {
    const KEY: &str = "\"executable\":\"";
    let after = |line: &'_ str| {
        let (_, rest) = line.split_once(KEY)?;
        let (path, _) = rest.split_once('"')?;
        Some(PathBuf::from(path))
    };
    messages.lines().filter_map(after).collect()
}

fn reader(tools: &Path, subcommand: &str, programs: &[PathBuf], data: &Path) -> Command {
    let mut command = Command::new(tools.join("llvm-cov"));
    command.arg(subcommand).arg("--instr-profile").arg(data);
    for (index, program) in programs.iter().enumerate() {
        if index > 0 {
            command.arg("--object");
        }
        command.arg(program);
    }
    command
}

fn export(tools: &Path, programs: &[PathBuf], data: &Path) -> Result<String> {
    let output = reader(tools, "export", programs, data)
        .args(["--format", "lcov"])
        .output()
        .running("llvm-cov")?;
    if !output.status.success() {
        return Err(Failure::new(format!(
            "llvm-cov failed: {}",
            String::from_utf8_lossy(&output.stderr)
        )));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

fn html(
    tools: &Path,
    programs: &[PathBuf],
    data: &Path,
    directory: &Path,
    workspace: &Workspace,
    files: &[File],
) -> Result<()> {
    let output = reader(tools, "show", programs, data)
        .args(["--format", "html", "--output-dir"])
        .arg(directory)
        .args(files.iter().map(|file| workspace.root.join(&file.path)))
        .output()
        .running("llvm-cov")?;
    if !output.status.success() {
        return Err(Failure::new(format!(
            "llvm-cov failed: {}",
            String::from_utf8_lossy(&output.stderr)
        )));
    }
    println!("{}", directory.join("index.html").display());
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_runs_on_both_is_measured() {
        for path in [
            "kernel/src/cdt.rs",
            "mcs/src/refill.rs",
            "kernel/src/boot/root.rs",
        ] {
            assert!(is_measured(path), "{path}");
        }
        for path in [
            "kernel/src/arch/host.rs",
            "kernel/src/boot/start.rs",
            "kernel/tests/sim/src/run.rs",
            "xtask/src/main.rs",
        ] {
            assert!(!is_measured(path), "{path}");
        }
    }

    #[test]
    fn cargo_names_programs() {
        let messages = "{\"reason\":\"compiler-artifact\",\"executable\":null}\n\
                        {\"reason\":\"compiler-artifact\",\"executable\":\"/a/b-1\",\"fresh\":true}\n";
        assert_eq!(programs(messages), [PathBuf::from("/a/b-1")]);
    }
}
