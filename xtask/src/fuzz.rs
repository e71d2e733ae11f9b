//! `cargo xtask fuzz`: inputs that a fuzzer makes, guided by the parts of the code that they reach (`fuzz/`).
//!
//! cargo-fuzz and libFuzzer do the work, with a nightly compiler; both are installed when they are missing. What a target
//! does with its input is a library of the main workspace (`fuzz/targets`), so inputs are run again without either.

use crate::cli;
use crate::failure::{Context, Failure, Result, unknown};
use crate::setup::rustup;
use crate::workspace::Workspace;
use std::env;
use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::process::Command;

/// How long each target is run, in seconds.
const SECONDS: u64 = 60;
const TOOLCHAIN: &str = "nightly";
/// What the targets are linked with to find accesses outside of memory. Where nearly all code is safe and each input
/// takes long, speed finds more.
const ADDRESS: &str = "address";
const NONE: &str = "none";

struct Target {
    name: &'static str,
    about: &'static str,
    sanitizer: &'static str,
    /// Longest input in bytes.
    most: u32,
}

const TARGETS: [Target; 11] = [
    target(
        "boot_info",
        "boot information, as a user program reads it",
        ADDRESS,
        2048,
    ),
    target(
        "calls",
        "calls with any arguments on one simulated core",
        NONE,
        1024,
    ),
    target(
        "capabilities",
        "packed capabilities and copies of them",
        ADDRESS,
        128,
    ),
    target(
        "device_tree",
        "device trees: loader and user library",
        ADDRESS,
        8192,
    ),
    target("elf", "ELF files: what is loaded where", ADDRESS, 2048),
    target(
        "handover",
        "what the loader leaves for the kernel",
        ADDRESS,
        64,
    ),
    target("interface", "words of the interface", ADDRESS, 128),
    target(
        "payload",
        "boot images: payload and header",
        ADDRESS,
        16_384,
    ),
    target(
        "placement",
        "memory for the loader, and its tables",
        ADDRESS,
        1024,
    ),
    target(
        "refills",
        "budgets against their reference model",
        ADDRESS,
        1024,
    ),
    target(
        "threads",
        "decisions of several simulated cores",
        NONE,
        4096,
    ),
];

const fn target(
    name: &'static str,
    about: &'static str,
    sanitizer: &'static str,
    most: u32,
) -> Target {
    Target {
        name,
        about,
        sanitizer,
        most,
    }
}

pub(crate) fn run(workspace: &Workspace, options: &cli::Fuzz) -> Result<()> {
    let chosen: Vec<&Target> = match &options.target {
        None => TARGETS.iter().collect(),
        Some(name) => vec![find(name)?],
    };
    if options.list {
        for target in chosen {
            println!("{:14} {}", target.name, target.about);
        }
        return Ok(());
    }
    let fuzzer = Fuzzer { workspace };
    if let Some(file) = &options.repeat {
        let [target] = chosen[..] else {
            return Err(Failure::usage(
                "--repeat takes the target too: cargo xtask fuzz TARGET --repeat FILE",
            ));
        };
        return fuzzer.repeat(target, file);
    }
    fuzzer.install()?;
    if options.minimise {
        return chosen.iter().try_for_each(|target| fuzzer.minimise(target));
    }
    let seconds = options.seconds.unwrap_or(SECONDS);
    let mut failed = 0;
    for target in &chosen {
        failed += usize::from(!fuzzer.fuzz(target, seconds)?);
    }
    println!(
        "\n{} of {} targets are good",
        chosen.len() - failed,
        chosen.len()
    );
    if failed > 0 {
        return Err(Failure::status(1));
    }
    Ok(())
}

fn find(name: &str) -> Result<&'static Target> {
    let names = TARGETS.iter().map(|target| target.name);
    TARGETS
        .iter()
        .find(|target| target.name == name)
        .ok_or_else(|| unknown("target", name, names))
}

struct Fuzzer<'a> {
    workspace: &'a Workspace,
}

impl Fuzzer<'_> {
    fn tools(&self) -> PathBuf {
        self.workspace.target.join("tools")
    }

    /// A command of the nightly toolchain. What this tool's own cargo has set up is not for it.
    fn nightly(&self, program: &str) -> Result<Command> {
        let mut path = vec![self.tools().join("bin")];
        path.extend(env::var_os("PATH").iter().flat_map(env::split_paths));
        let path = env::join_paths(path)
            .map_err(|error| Failure::new(format!("the search path is not usable: {error}")))?;
        let mut command = Command::new(rustup());
        command
            .current_dir(self.workspace.root.join("fuzz"))
            .args(["run", TOOLCHAIN, program])
            .env("PATH", path)
            .env("TERN_ROOT_CNODE_SIZE_BITS", "8");
        for (name, _) in env::vars_os() {
            let text = name.to_string_lossy();
            if text == "CARGO" || text == "RUSTUP_TOOLCHAIN" || text.starts_with("CARGO_PKG_") {
                command.env_remove(name);
            }
        }
        Ok(command)
    }

    fn install(&self) -> Result<()> {
        let works = |command: &mut Command| command.output().is_ok_and(|it| it.status.success());
        if !works(self.nightly("rustc")?.arg("--version")) {
            eprintln!("Missing: a nightly Rust. Installing it with rustup.");
            let mut install = Command::new(rustup());
            install.args(["toolchain", "install", TOOLCHAIN, "--profile", "minimal"]);
            must(&mut install, "rustup toolchain install nightly")?;
        }
        if !self.tools().join("bin/cargo-fuzz").is_file() {
            eprintln!(
                "Missing: cargo-fuzz. Installing it into {}.",
                self.tools().display()
            );
            let mut install = self.nightly("cargo")?;
            install
                .args(["install", "--locked", "cargo-fuzz", "--root"])
                .arg(self.tools());
            must(&mut install, "cargo install cargo-fuzz")?;
        }
        Ok(())
    }

    fn cargo_fuzz(&self, subcommand: &str, target: &Target) -> Result<Command> {
        let mut command = self.nightly("cargo")?;
        let built = self.workspace.target.join("fuzz").join(target.sanitizer);
        command
            .args(["fuzz", subcommand, "--sanitizer", target.sanitizer])
            .arg("--target-dir")
            .arg(built)
            .arg(target.name);
        Ok(command)
    }

    /// Inputs that are kept, that the last runs have found, and that failed.
    fn kept(&self, target: &Target) -> PathBuf {
        self.workspace.root.join("fuzz/corpus").join(target.name)
    }

    fn found(&self, target: &Target) -> Result<PathBuf> {
        let name = format!("fuzz/{}", target.name);
        self.workspace.scratch(&name)
    }

    fn crashes(&self, target: &Target) -> PathBuf {
        self.workspace.root.join("fuzz/crashes").join(target.name)
    }

    /// Runs a target for a while. Tells whether nothing went wrong.
    fn fuzz(&self, target: &Target, seconds: u64) -> Result<bool> {
        must(&mut self.cargo_fuzz("build", target)?, "cargo fuzz build")?;
        let (kept, found, crashes) = (self.kept(target), self.found(target)?, self.crashes(target));
        for directory in [&kept, &crashes] {
            fs::create_dir_all(directory).doing("create", directory)?;
        }
        let log = self
            .workspace
            .scratch("fuzz")?
            .join(format!("{}.log", target.name));
        let file = File::create(&log).doing("create", &log)?;
        let mut command = self.cargo_fuzz("run", target)?;
        command
            // The first one gets what is new.
            .args([&found, &kept])
            .arg("--")
            .arg(format!("-max_total_time={seconds}"))
            .arg(format!("-max_len={}", target.most))
            .arg(format!("-artifact_prefix={}/", crashes.display()))
            // Long inputs from the start: machines that do little reach little, and take as long.
            .arg(format!(
                "-len_control={}",
                if target.sanitizer == NONE { 0 } else { 100 }
            ))
            .args(["-print_final_stats=1", "-timeout=30"])
            .stdout(file.try_clone().doing("use", &log)?)
            .stderr(file);
        let status = command.status().running("cargo fuzz run")?;
        let text = fs::read(&log).doing("read", &log)?;
        let report = Report::read(&String::from_utf8_lossy(&text));
        // An empty directory would only be in the way.
        let _ = fs::remove_dir(&crashes);
        println!("{:14} {}", target.name, report.summary());
        if status.success() {
            return Ok(true);
        }
        for line in &report.problem {
            println!("    {line}");
        }
        match &report.crash {
            Some(file) => println!(
                "    FAILED with {file}\n    again: cargo xtask fuzz {} --repeat {file}",
                target.name
            ),
            None => println!("    FAILED: {status}; see {}", log.display()),
        }
        Ok(false)
    }

    /// Runs one input on the stable toolchain, and tells in words what it does.
    fn repeat(&self, target: &Target, file: &Path) -> Result<()> {
        let mut cargo = self.workspace.cargo("run");
        cargo
            .args([
                "--quiet",
                "--profile",
                "sim",
                "--package",
                "tern-fuzz-targets",
            ])
            .env("TERN_ROOT_CNODE_SIZE_BITS", "8")
            .arg("--")
            .arg(target.name)
            .arg(std::path::absolute(file).doing("find", file)?);
        let status = cargo.status().running("cargo run")?;
        match status.code() {
            Some(0) => Ok(()),
            code => Err(Failure::status(code.map_or(1, |code| code as u8))),
        }
    }

    /// Takes up what was found, and keeps few and short inputs that reach every edge which all of them reach. How often
    /// they do so does not count: as `cargo fuzz cmin` does it, several times as many would be kept.
    fn minimise(&self, target: &Target) -> Result<()> {
        must(&mut self.cargo_fuzz("build", target)?, "cargo fuzz build")?;
        let (kept, found) = (self.kept(target), self.found(target)?);
        fs::create_dir_all(&kept).doing("create", &kept)?;
        let few = self
            .workspace
            .scratch(&format!("fuzz/{}-few", target.name))?;
        fs::remove_dir_all(&few).doing("empty", &few)?;
        fs::create_dir_all(&few).doing("create", &few)?;
        let mut command = self.cargo_fuzz("run", target)?;
        command
            .args([&few, &kept, &found])
            .args(["--", "-set_cover_merge=1", "-use_counters=0"])
            .arg(format!("-max_len={}", target.most));
        let output = command.output().running("cargo fuzz run")?;
        let inputs = files(&few)?;
        if !output.status.success() || inputs.is_empty() {
            return Err(Failure::new(format!(
                "libFuzzer could not merge the inputs:\n{}",
                String::from_utf8_lossy(&output.stderr)
            )));
        }
        let before = files(&kept)?;
        for file in &before {
            fs::remove_file(file).doing("remove", file)?;
        }
        let mut bytes = 0;
        for file in &inputs {
            let name = file.file_name().unwrap_or_default();
            bytes += fs::copy(file, kept.join(name)).doing("copy", file)?;
        }
        println!(
            "{:14} {} inputs of {bytes} bytes kept; it was {}",
            target.name,
            inputs.len(),
            before.len()
        );
        Ok(())
    }
}

fn must(command: &mut Command, what: &str) -> Result<()> {
    let status = command.status().running(what)?;
    if status.success() {
        return Ok(());
    }
    Err(Failure::new(format!("`{what}` failed")))
}

fn files(directory: &Path) -> Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).doing("read", directory)? {
        let path = entry.doing("read", directory)?.path();
        if path.is_file() {
            files.push(path);
        }
    }
    Ok(files)
}

/// What libFuzzer has said.
#[derive(Debug, Default, PartialEq, Eq)]
struct Report {
    executions: u64,
    per_second: u64,
    /// Edges of the control flow that were reached by the inputs that were there, and in the end.
    edges_before: u64,
    edges: u64,
    new: u64,
    problem: Vec<String>,
    crash: Option<String>,
}

impl Report {
    fn read(log: &str) -> Self {
        let mut report = Self::default();
        let mut lines = log.lines();
        while let Some(line) = lines.next() {
            if let Some(edges) = number_behind(line, " cov: ") {
                report.edges = edges;
                if line.contains("INITED") {
                    report.edges_before = edges;
                }
            }
            let stat = |name: &str| number_behind(line, &format!("stat::{name}:"));
            if let Some(number) = stat("number_of_executed_units") {
                report.executions = number;
            } else if let Some(number) = stat("average_exec_per_sec") {
                report.per_second = number;
            } else if let Some(number) = stat("new_units_added") {
                report.new = number;
            } else if line.contains("panicked at ") {
                report.problem.push(line.to_string());
                report.problem.extend(lines.next().map(str::to_string));
            } else if line.contains("ERROR: ") {
                report.problem.push(line.to_string());
            } else if let Some((_, file)) = line.split_once("Test unit written to ") {
                report.crash = Some(file.to_string());
            }
        }
        report
    }

    fn summary(&self) -> String {
        format!(
            "{} executions, {} a second; {} edges, {} before; {} new inputs",
            self.executions, self.per_second, self.edges, self.edges_before, self.new
        )
    }
}

fn number_behind(line: &str, what: &str) -> Option<u64> {
    let (_, rest) = line.split_once(what)?;
    rest.split_whitespace().next()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_fuzzer_is_understood() {
        let log = "\
#3\tINITED cov: 121 ft: 145 corp: 2/516b exec/s: 0 rss: 34Mb
#9\tNEW    cov: 340 ft: 457 corp: 102/16Kb lim: 2047 exec/s: 11630 rss: 437Mb
thread '<unnamed>' (7) panicked at src/a.rs:1:2:
attempt to add with overflow
==9== ERROR: libFuzzer: deadly signal
artifact_prefix='x/'; Test unit written to x/crash-1
stat::number_of_executed_units: 190
stat::average_exec_per_sec:     12
stat::new_units_added:          3
";
        let report = Report::read(log);
        assert_eq!(report.crash.as_deref(), Some("x/crash-1"));
        assert_eq!(report.problem.len(), 3);
        assert_eq!(
            report.summary(),
            "190 executions, 12 a second; 340 edges, 121 before; 3 new inputs"
        );
    }

    /// The programs are those that are listed here.
    #[test]
    fn every_target_is_a_program() {
        let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz/fuzz_targets");
        let mut names: Vec<String> = files(&programs)
            .unwrap()
            .iter()
            .map(|file| file.file_stem().unwrap().to_str().unwrap().to_string())
            .collect();
        names.sort();
        let known: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
        assert_eq!(names, known);
        let failure = find("sun").err().unwrap();
        assert!(failure.message.contains("device_tree"));
    }
}
