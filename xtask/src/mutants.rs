//! `cargo xtask mutants`: deliberate defects, each put into a copy of the sources, and whether the simulation catches it.
//!
//! The defects are replacements of text (`kernel/tests/sim/mutants.txt`), so that the kernel's own sources know nothing
//! of them. One whose text is no longer there is an error: it has to be told anew, or to go.

use crate::cli;
use crate::commands::SIM_CONFIG;
use crate::failure::{Context, Failure, Result, unknown};
use crate::workspace::Workspace;
use std::collections::hash_map::DefaultHasher;
use std::fs;
use std::hash::{Hash, Hasher};
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

const LIST: &str = "kernel/tests/sim/mutants.txt";
/// How long the simulation may look for a defect, in seconds.
const PATIENCE: u64 = 60;
/// How long it may take beyond twice that, in seconds, before it counts as one that does not end.
const LATE: u64 = 30;

/// A defect.
#[derive(Debug, PartialEq, Eq)]
struct Mutant {
    name: String,
    about: String,
    file: PathBuf,
    old: String,
    new: String,
}

pub(crate) fn run(workspace: &Workspace, options: &cli::Mutants) -> Result<()> {
    let list = workspace.root.join(LIST);
    let all = parse(&fs::read_to_string(&list).doing("read", &list)?)
        .map_err(|what| Failure::new(format!("{LIST}: {what}")))?;
    for mutant in &all {
        mutant.apply(&read(&workspace.root, &mutant.file)?)?;
    }
    let chosen = choose(workspace, all, options)?;
    let tree = Tree::copy(workspace)?;
    let mut caught = 0;
    for (number, mutant) in chosen.iter().enumerate() {
        let start = Instant::now();
        let verdict = tree.judge(mutant, options.seconds.unwrap_or(PATIENCE));
        let seconds = start.elapsed().as_secs();
        let progress = format!("[{}/{}]", number + 1, chosen.len());
        match verdict {
            Ok(Some(by)) => {
                caught += 1;
                println!("{progress} caught  {} ({seconds} s) by: {by}", mutant.name);
            }
            Ok(None) => println!(
                "{progress} MISSED  {} ({seconds} s): {}",
                mutant.name, mutant.about
            ),
            // The others are still worth their time.
            Err(problem) => println!("{progress} BROKEN  {}", problem.message),
        }
    }
    println!("\n{caught} of {} caught", chosen.len());
    if caught < chosen.len() {
        return Err(Failure::status(1));
    }
    Ok(())
}

fn choose(workspace: &Workspace, all: Vec<Mutant>, options: &cli::Mutants) -> Result<Vec<Mutant>> {
    if let Some(name) = &options.name {
        let names: Vec<String> = all.iter().map(|mutant| mutant.name.clone()).collect();
        let found: Vec<Mutant> = all
            .into_iter()
            .filter(|mutant| mutant.name == *name)
            .collect();
        if found.is_empty() {
            return Err(unknown("mutant", name, names.iter().map(String::as_str)));
        }
        return Ok(found);
    }
    let Some(some) = options.some else {
        return Ok(all);
    };
    // Others when the kernel's sources change, the same while they do not.
    let mut hasher = DefaultHasher::new();
    for file in tracked(workspace)? {
        if file.starts_with("kernel/src") {
            fs::read(workspace.root.join(&file))
                .doing("read", &file)?
                .hash(&mut hasher);
        }
    }
    let count = all.len();
    let start = (hasher.finish() % count.max(1) as u64) as usize;
    let mut rotated: Vec<Mutant> = all;
    rotated.rotate_left(start);
    rotated.truncate(some);
    Ok(rotated)
}

impl Mutant {
    /// The file's text with the defect.
    fn apply(&self, text: &str) -> Result<String> {
        match text.matches(&self.old).count() {
            1 => Ok(text.replacen(&self.old, &self.new, 1)),
            count => Err(Failure::new(format!(
                "mutant '{}': its text stands {count} times in {}, not once",
                self.name,
                self.file.display()
            ))),
        }
    }
}

fn read(root: &Path, file: &Path) -> Result<String> {
    let path = root.join(file);
    fs::read_to_string(&path).doing("read", &path)
}

/// The files of the checkout, as they are named there.
pub(crate) fn tracked(workspace: &Workspace) -> Result<Vec<PathBuf>> {
    let output = Command::new("git")
        .current_dir(&workspace.root)
        .args(["ls-files", "-z"])
        .output()
        .running("git ls-files")?;
    if !output.status.success() {
        return Err(Failure::new(
            "git ls-files failed: this needs a git checkout",
        ));
    }
    let text = String::from_utf8_lossy(&output.stdout);
    Ok(text.split_terminator('\0').map(PathBuf::from).collect())
}

/// A copy of the sources, to be spoilt.
struct Tree {
    root: PathBuf,
    target: PathBuf,
}

impl Tree {
    /// Files that are there already and the same are left alone, so that not all is compiled again.
    fn copy(workspace: &Workspace) -> Result<Self> {
        let place = workspace.scratch("mutants")?;
        let tree = Self {
            root: place.join("tree"),
            target: place.join("target"),
        };
        for file in tracked(workspace)? {
            let (from, to) = (workspace.root.join(&file), tree.root.join(&file));
            // Deleted and not yet committed.
            let Ok(content) = fs::read(&from) else {
                continue;
            };
            if fs::read(&to).is_ok_and(|there| there == content) {
                continue;
            }
            if let Some(directory) = to.parent() {
                fs::create_dir_all(directory).doing("create", directory)?;
            }
            fs::write(&to, content).doing("write", &to)?;
        }
        Ok(tree)
    }

    /// What catches the mutant, if anything does.
    fn judge(&self, mutant: &Mutant, seconds: u64) -> Result<Option<String>> {
        let path = self.root.join(&mutant.file);
        let good = read(&self.root, &mutant.file)?;
        fs::write(&path, mutant.apply(&good)?).doing("write", &path)?;
        let verdict = self.simulate(mutant, seconds);
        fs::write(&path, good).doing("write", &path)?;
        verdict
    }

    fn simulate(&self, mutant: &Mutant, seconds: u64) -> Result<Option<String>> {
        let cargo = |subcommand| {
            let mut cargo = Command::new(std::env::var_os("CARGO").unwrap_or("cargo".into()));
            cargo
                .current_dir(&self.root)
                .args([
                    subcommand,
                    "--quiet",
                    "--profile",
                    "sim",
                    "--package",
                    "tern-sim",
                ])
                .arg("--target-dir")
                .arg(&self.target)
                .envs(SIM_CONFIG)
                // A mutant may leave something unused.
                .env("RUSTFLAGS", "--cap-lints warn -A warnings");
            cargo
        };
        let built = cargo("build").output().running("cargo build")?;
        if !built.status.success() {
            return Err(Failure::new(format!(
                "mutant '{}' does not compile:\n{}",
                mutant.name,
                String::from_utf8_lossy(&built.stderr)
            )));
        }
        let mut run = cargo("run");
        run.args(["--", "--no-story", "--seconds", &seconds.to_string()]);
        let limit = Duration::from_secs(2 * seconds + LATE);
        let Some((status, text)) = output_within(run, limit)? else {
            return Ok(Some("it does not end".to_string()));
        };
        if status.success() {
            return Ok(None);
        }
        let line = |start: &str| {
            let mut lines = text.lines();
            lines.find_map(|line| line.strip_prefix(start).map(str::to_string))
        };
        let what = line("FAILED: ").unwrap_or_else(|| "the end of the process".to_string());
        Ok(Some(match line("again: cargo xtask sim ") {
            Some(again) => format!("{what} ({again})"),
            None => what,
        }))
    }
}

/// What a command prints until it ends; none if it does not in time, as when a defect makes the kernel go round for ever.
/// `cargo run` becomes what it runs, so that this is what is killed.
fn output_within(mut command: Command, limit: Duration) -> Result<Option<(ExitStatus, String)>> {
    let start = Instant::now();
    let mut child = command
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .running("cargo run")?;
    let mut stdout = child.stdout.take().expect("it is a pipe");
    // Read beside the wait: a full pipe would stop the child.
    let reader = thread::spawn(move || {
        let mut bytes = Vec::new();
        stdout.read_to_end(&mut bytes).map(|_| bytes)
    });
    let status = loop {
        if let Some(status) = child.try_wait().running("cargo run")? {
            break status;
        }
        if start.elapsed() > limit {
            child.kill().running("cargo run")?;
            child.wait().running("cargo run")?;
            return Ok(None);
        }
        thread::sleep(Duration::from_millis(100));
    };
    let bytes = reader.join().expect("it does not panic");
    let bytes = bytes.running("cargo run")?;
    Ok(Some((status, String::from_utf8_lossy(&bytes).into_owned())))
}

/// The list: `# name`, what it is about, the file, and between `<<<`, `===` and `>>>` the text and what replaces it.
fn parse(text: &str) -> std::result::Result<Vec<Mutant>, String> {
    let mut lines = text.lines().peekable();
    let mut mutants = Vec::new();
    while let Some(line) = lines.next() {
        if line.trim().is_empty() {
            continue;
        }
        let name = line
            .strip_prefix("# ")
            .ok_or_else(|| format!("'{line}' should be '# ' and a name"))?;
        let mut next = |what: &str| {
            lines
                .next()
                .map(str::to_string)
                .ok_or_else(|| format!("'{name}' has no {what}"))
        };
        let (about, file) = (next("description")?, next("file")?);
        if next("text")? != "<<<" {
            return Err(format!("'{name}': its text should begin with '<<<'"));
        }
        let mut part = |end: &str| {
            let mut part = String::new();
            for line in lines.by_ref() {
                if line == end {
                    return Ok(part);
                }
                part += line;
                part.push('\n');
            }
            Err(format!("'{name}' has no '{end}'"))
        };
        let (old, new) = (part("===")?, part(">>>")?);
        mutants.push(Mutant {
            name: name.to_string(),
            about,
            file: file.into(),
            old,
            new,
        });
    }
    Ok(mutants)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_does_not_end_is_ended() {
        let limit = Duration::from_millis(300);
        let mut sleeps = Command::new("sleep");
        sleeps.arg("60");
        assert!(output_within(sleeps, limit).unwrap().is_none());
        let mut speaks = Command::new("echo");
        speaks.arg("good");
        let (status, text) = output_within(speaks, limit * 100).unwrap().unwrap();
        assert!(status.success() && text == "good\n");
    }

    const LIST: &str = "# one\nIt forgets.\na/b.rs\n<<<\n    keep();\n===\n>>>\n\n# two\nIt lies.\nc.rs\n<<<\nyes\n===\nno\n>>>\n";

    #[test]
    fn the_list_is_read() {
        let mutants = parse(LIST).unwrap();
        assert_eq!(mutants.len(), 2);
        assert_eq!(mutants[0].old, "    keep();\n");
        assert_eq!(mutants[0].new, "");
        assert_eq!(mutants[1].apply("maybe\nyes\n").unwrap(), "maybe\nno\n");
        assert!(mutants[1].apply("yes\nyes\n").is_err());
        assert!(mutants[1].apply("no\n").is_err());
        for bad in [
            "one\n",
            "# one\n",
            "# one\na\nb\nc\n",
            "# one\na\nb\n<<<\nx\n",
        ] {
            assert!(parse(bad).is_err(), "{bad}");
        }
    }

    /// Checked here too, since the mutants themselves are run seldom.
    #[test]
    fn every_mutant_finds_its_text() {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let text = fs::read_to_string(root.join(super::LIST)).unwrap();
        let mutants = parse(&text).unwrap();
        for mutant in &mutants {
            mutant.apply(&read(&root, &mutant.file).unwrap()).unwrap();
        }
        let mut names: Vec<&str> = mutants.iter().map(|mutant| mutant.name.as_str()).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), mutants.len(), "two of one name");
    }
}
