//! Programs that this workspace did not build: C, compiled by the distribution's compiler (`kernel/tests/foreign`).
//!
//! Most are tests like those in Rust. The others are for runs of this tool: what `run --elf` does with a program that
//! never ends, and whether what `sdk` writes can be compiled with.

use super::runner::Tally;
use crate::cli;
use crate::failure::{Context, Failure, Result, TIMED_OUT};
use crate::setup::C_COMPILER;
use crate::workspace::Workspace;
use std::env;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Instant;

/// The program that never ends.
const ENDLESS: &str = "endless";
/// One that does.
const ENDING: &str = "root";
/// Is only compiled.
const HEADERS: &str = "headers.c";
/// What every program is linked with.
const COMMON: [&str; 2] = ["start.S", "common.c"];

const FLAGS: [&str; 14] = [
    "-std=c11",
    "-O2",
    "-g",
    "-Wall",
    "-Wextra",
    "-Werror",
    // Nothing of the system that the compiler was made for: no library, and no functions out of line.
    "-ffreestanding",
    "-nostdlib",
    "-mno-outline-atomics",
    "-fno-tree-loop-distribute-patterns",
    // A file that is loaded where it says, with segments in pages of their own.
    "-fno-pie",
    "-no-pie",
    "-static",
    "-Wl,-Ttext-segment=0x400000,-z,max-page-size=4096,--build-id=none",
];

fn directory(workspace: &Workspace) -> PathBuf {
    workspace.root.join("kernel/tests/foreign")
}

/// The tests: the program's names and sources.
pub(super) fn sources(workspace: &Workspace) -> Result<Vec<(String, PathBuf)>> {
    let directory = directory(workspace);
    let mut found = Vec::new();
    for entry in fs::read_dir(&directory).doing("read", &directory)? {
        let path = entry.doing("read", &directory)?.path();
        let name = path.file_name().and_then(|name| name.to_str());
        if let Some(name) = name
            && let Some(stem) = name.strip_suffix(".c")
            && stem != ENDLESS
            && name != HEADERS
            && !COMMON.contains(&name)
        {
            found.push((stem.to_string(), path));
        }
    }
    found.sort();
    Ok(found)
}

/// Compiles a program; the result is its ELF file.
pub(super) fn compile(workspace: &Workspace, name: &str) -> Result<PathBuf> {
    let directory = directory(workspace);
    // Images are named after their root tasks, and this is nobody else's name.
    let elf = workspace
        .scratch("foreign")?
        .join(format!("foreign-{name}"));
    let status = Command::new(C_COMPILER)
        .current_dir(&directory)
        .args(FLAGS)
        .args(COMMON)
        .arg(format!("{name}.c"))
        .arg("-o")
        .arg(&elf)
        .status()
        .running(C_COMPILER)?;
    if status.success() {
        return Ok(elf);
    }
    let source = directory.join(format!("{name}.c"));
    Err(Failure::new(format!("cannot compile {}", source.display())))
}

/// A run of this tool, and how it has to end.
pub(super) struct ToolRun {
    pub(super) name: &'static str,
    what: What,
    status: u8,
    /// In what it prints.
    text: &'static str,
}

enum What {
    /// `run --elf` with a program, and options.
    Program(&'static str, &'static [&'static str]),
    /// `sdk`, whose headers have to compile.
    Sdk,
}

const TOOL_RUNS: [ToolRun; 4] = [
    ToolRun {
        name: "foreign run: --until ends it",
        what: What::Program(ENDLESS, &["--until", "tick 3", "--timeout", "120"]),
        status: 0,
        text: "endless: tick 3",
    },
    ToolRun {
        name: "foreign run: --timeout ends it",
        what: What::Program(ENDLESS, &["--timeout", "3"]),
        status: TIMED_OUT,
        text: "timed out after ",
    },
    ToolRun {
        name: "foreign run: it ends before the text of --until",
        what: What::Program(ENDING, &["--until", "nobody says this", "--timeout", "120"]),
        status: 1,
        text: "the run ended before the text appeared",
    },
    ToolRun {
        name: "foreign sdk: its headers compile",
        what: What::Sdk,
        status: 0,
        text: "kernel.elf",
    },
];

/// Those whose names match.
pub(super) fn tool_runs(filter: Option<&str>) -> Vec<ToolRun> {
    TOOL_RUNS
        .into_iter()
        .filter(|run| filter.is_none_or(|filter| run.name.contains(filter)))
        .collect()
}

/// Performs them, one after the other.
pub(super) fn run(workspace: &Workspace, runs: &[ToolRun], build: &cli::Build) -> Result<Tally> {
    let mut tally = Tally::default();
    for (index, run) in runs.iter().enumerate() {
        let started = Instant::now();
        let verdict = run.perform(workspace, build)?;
        let place = format!("[{}/{}]", index + 1, runs.len());
        let seconds = started.elapsed().as_secs_f64();
        match verdict {
            Ok(()) => {
                tally.passed += 1;
                println!("{place} ok    {} ({seconds:.1} s)", run.name);
            }
            Err(problem) => {
                tally.failed += 1;
                println!("{place} FAIL  {} ({seconds:.1} s): {problem}", run.name);
            }
        }
    }
    Ok(tally)
}

impl ToolRun {
    fn perform(
        &self,
        workspace: &Workspace,
        build: &cli::Build,
    ) -> Result<std::result::Result<(), String>> {
        let mut command = Command::new(env::current_exe().running("this tool")?);
        let sdk = workspace.scratch("foreign")?.join("sdk");
        match self.what {
            What::Program(program, options) => {
                let elf = compile(workspace, program)?;
                command.args(["run", "--elf"]).arg(elf).args(options);
            }
            What::Sdk => {
                command.arg("sdk").arg(&sdk);
            }
        }
        if build.release {
            command.arg("--release");
        }
        for setting in &build.config {
            command.args(["--config", setting]);
        }
        let output = command.stdin(Stdio::null()).output().running("this tool")?;
        let printed = [output.stdout, output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed);
        let verdict = self.judge(output.status.code(), &printed);
        Ok(match (verdict, &self.what) {
            (Err(problem), _) => Err(format!("{problem}\n{printed}")),
            (Ok(()), What::Program(..)) => Ok(()),
            (Ok(()), What::Sdk) => check_headers(workspace, &sdk)?,
        })
    }

    fn judge(&self, status: Option<i32>, printed: &str) -> std::result::Result<(), String> {
        if status != Some(i32::from(self.status)) {
            let status = status.map_or("none".to_string(), |status| status.to_string());
            return Err(format!("exit status {status}, expected {}", self.status));
        }
        if !printed.contains(self.text) {
            return Err(format!("it does not print '{}'", self.text));
        }
        Ok(())
    }
}

fn check_headers(workspace: &Workspace, sdk: &Path) -> Result<std::result::Result<(), String>> {
    let output = Command::new(C_COMPILER)
        .current_dir(directory(workspace))
        .args(FLAGS)
        .arg("-I")
        .arg(sdk.join("libsel4/include"))
        .args(["-fsyntax-only", HEADERS])
        .output()
        .running(C_COMPILER)?;
    Ok(if output.status.success() {
        Ok(())
    } else {
        Err(String::from_utf8_lossy(&output.stderr).into_owned())
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_tests_are_found() {
        let found = sources(&Workspace::find()).unwrap();
        let names: Vec<&str> = found.iter().map(|(name, _)| name.as_str()).collect();
        assert!(names.contains(&ENDING));
        assert!(!names.contains(&"headers"));
        assert!(!names.contains(&ENDLESS) && !names.contains(&"common"));
        assert_eq!(tool_runs(None).len(), 4);
        assert_eq!(tool_runs(Some("--timeout")).len(), 1);
        assert!(tool_runs(Some("migrate")).is_empty());
    }

    #[test]
    fn status_and_text_decide() {
        let run = &TOOL_RUNS[1];
        assert!(run.judge(Some(124), "xtask: timed out after 4 s\n").is_ok());
        assert!(run.judge(Some(124), "nothing").is_err());
        assert!(run.judge(Some(0), "timed out after 3 s").is_err());
        assert!(run.judge(None, "timed out after 3 s").is_err());
    }
}
