//! Where things are: the workspace, its target directory, and the root tasks by name.

use crate::failure::{Context, Result, unknown};
use std::env;
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The package of root tasks that each show one thing.
pub(crate) const EXAMPLES: &str = "tern-examples";
/// The package of root tasks that each test one behaviour.
pub(crate) const TARGET_TESTS: &str = "tern-target-tests";

/// The package of the root task that measures.
pub(crate) const BENCH: &str = "tern-bench";

/// The paths of one checkout.
pub(crate) struct Workspace {
    pub(crate) root: PathBuf,
    /// Cargo's target directory. Named to every cargo that is started here, so that its place is known.
    pub(crate) target: PathBuf,
}

impl Workspace {
    pub(crate) fn find() -> Self {
        // Set by `cargo run`; the value at build time serves when the tool is started by hand.
        let manifest = env::var_os("CARGO_MANIFEST_DIR")
            .unwrap_or_else(|| OsString::from(env!("CARGO_MANIFEST_DIR")));
        let manifest = PathBuf::from(manifest);
        let root = manifest.parent().unwrap_or(&manifest).to_path_buf();
        let target = ["CARGO_TARGET_DIR", "CARGO_BUILD_TARGET_DIR"]
            .iter()
            .find_map(env::var_os)
            .map_or_else(|| root.join("target"), |set| root.join(set));
        Self { root, target }
    }

    /// A directory for what this tool makes itself.
    pub(crate) fn scratch(&self, name: &str) -> Result<PathBuf> {
        let path = self.target.join("tern").join(name);
        fs::create_dir_all(&path).doing("create", &path)?;
        Ok(path)
    }

    /// The cargo that started this tool, in the workspace.
    pub(crate) fn cargo(&self, subcommand: &str) -> Command {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo.arg(subcommand).arg("--target-dir").arg(&self.target);
        self.prepared(cargo)
    }

    /// A command that starts a cargo, in the workspace.
    pub(crate) fn prepared(&self, mut cargo: Command) -> Command {
        cargo.current_dir(&self.root);
        // What cargo told this tool about its own package is not about the packages built next.
        for (name, _) in env::vars_os() {
            if let Some(name) = name.to_str()
                && name.starts_with("CARGO_")
                && (name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_"))
            {
                cargo.env_remove(name);
            }
        }
        cargo
    }

    fn sources(&self, package: &str) -> PathBuf {
        match package {
            EXAMPLES => self.root.join("examples/src/bin"),
            BENCH => self.root.join("kernel/tests/bench/src/bin"),
            _ => self.root.join("kernel/tests/target/src/bin"),
        }
    }

    /// The root tasks of a package, by name, with their main source files.
    pub(crate) fn root_tasks(&self, package: &str) -> Result<Vec<(String, PathBuf)>> {
        let directory = self.sources(package);
        let mut found = Vec::new();
        let entries = match fs::read_dir(&directory) {
            Ok(entries) => entries,
            // A package without any root task is not an error.
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(found),
            Err(error) => return Err(error).doing("read", &directory),
        };
        for entry in entries {
            let path = entry.doing("read", &directory)?.path();
            let Some(name) = path.file_stem().and_then(|stem| stem.to_str()) else {
                continue;
            };
            let source = if path.is_dir() {
                path.join("main.rs")
            } else {
                path.clone()
            };
            if source.extension().is_some_and(|kind| kind == "rs") && source.is_file() {
                found.push((name.to_string(), source));
            }
        }
        found.sort();
        Ok(found)
    }

    /// Checks that `name` is an example.
    pub(crate) fn check_example(&self, name: &str) -> Result<()> {
        let examples = self.root_tasks(EXAMPLES)?;
        if examples.iter().any(|(known, _)| known == name) {
            return Ok(());
        }
        Err(unknown(
            "example",
            name,
            examples.iter().map(|(name, _)| name.as_str()),
        ))
    }
}

/// The first file of this name in the search path.
pub(crate) fn which(program: &str) -> Option<PathBuf> {
    let path = env::var_os("PATH")?;
    // Where administration tools live; not in every user's search path.
    let extra = ["/usr/sbin", "/sbin"].map(PathBuf::from);
    env::split_paths(&path)
        .chain(extra)
        .map(|directory| directory.join(program))
        .find(|file| is_executable(file))
}

fn is_executable(file: &Path) -> bool {
    use std::os::unix::fs::PermissionsExt;
    fs::metadata(file).is_ok_and(|data| data.is_file() && data.permissions().mode() & 0o111 != 0)
}
