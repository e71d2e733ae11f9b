//! Installing what a command needs: Rust's targets with rustup; QEMU, dtc and a C compiler with Debian's packages.
//!
//! What is missing is said first. A machine that has everything is only looked at, which takes a moment. Nothing is
//! installed that a command does not need, and where installing is not possible the commands for it are printed.

mod debian;
mod sources;

use crate::builder::{KERNEL_TARGET, USER_TARGET};
use crate::failure::{Context, Failure, Result};
use crate::qemu::QEMU;
use crate::workspace::{Workspace, which};
use std::env;
use std::path::PathBuf;
use std::process::Command;

/// The first version of QEMU that Tern is tested with.
const OLDEST_QEMU: u32 = 9;

/// What a command needs besides the host's own Rust.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Need {
    /// To build for the target.
    Targets,
    /// To run what was built.
    Qemu,
    /// To run the tests, some of which make device trees.
    Everything,
}

/// The C compiler for the tests that are not written in Rust. Only they need it, so only they wait for it.
pub(crate) const C_COMPILER: &str = "aarch64-linux-gnu-gcc";

/// A program that is missing, or too old.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    Qemu,
    DeviceTreeCompiler,
    CCompiler,
}

impl Missing {
    fn describe(self) -> String {
        match self {
            Self::Qemu => format!("QEMU {OLDEST_QEMU} or newer for AArch64 ({QEMU})"),
            Self::DeviceTreeCompiler => "the device tree compiler (dtc)".to_string(),
            Self::CCompiler => format!("a C compiler for AArch64 ({C_COMPILER})"),
        }
    }
}

/// Sees to it that everything needed is there.
pub(crate) fn ensure(workspace: &Workspace, need: Need) -> Result<()> {
    ensure_targets(workspace)?;
    if need == Need::Targets {
        return Ok(());
    }
    let has_qemu = has_qemu();
    let has_dtc = which("dtc").is_some();
    if has_qemu && (has_dtc || need == Need::Qemu) {
        return Ok(());
    }
    let mut missing = Vec::new();
    if !has_qemu {
        missing.push(Missing::Qemu);
    }
    if !has_dtc {
        // Even if only QEMU is needed now: whoever has to give a password gives it once.
        missing.push(Missing::DeviceTreeCompiler);
    }
    for program in &missing {
        eprintln!("Missing: {}", program.describe());
    }
    debian::install(&missing)?;
    if !self::has_qemu() || which("dtc").is_none() {
        return Err(Failure::new(
            "the packages are installed, but QEMU or dtc is still not found in the search path, or too old; \
             is there an older one in front of them?",
        ));
    }
    eprintln!("Everything needed is installed now.\n");
    Ok(())
}

/// Sees to it that there is a C compiler for the target. What needs it can be left out, so a failure is not the end: it
/// says what to do.
pub(crate) fn ensure_c_compiler() -> Result<()> {
    if which(C_COMPILER).is_some() {
        return Ok(());
    }
    eprintln!("Missing: {}", Missing::CCompiler.describe());
    debian::install(&[Missing::CCompiler])?;
    if which(C_COMPILER).is_none() {
        return Err(Failure::new(format!(
            "the package is installed, but {C_COMPILER} is not found in the search path"
        )));
    }
    eprintln!("The C compiler is installed now.\n");
    Ok(())
}

/// The toolchain that has Miri. The kernel itself is built with the stable one.
pub(crate) const MIRI_TOOLCHAIN: &str = "nightly";

/// Sees to it that there is a Rust with Miri, and the sources of the standard library, which it interprets too.
pub(crate) fn ensure_miri(workspace: &Workspace) -> Result<()> {
    if has_miri(workspace) {
        return Ok(());
    }
    let arguments = [
        "toolchain",
        "install",
        MIRI_TOOLCHAIN,
        "--profile",
        "minimal",
        "-c",
        "miri",
        "-c",
        "rust-src",
    ];
    let command = format!("rustup {}", arguments.join(" "));
    eprintln!("Missing: Rust {MIRI_TOOLCHAIN} with Miri and the standard library's sources");
    eprintln!("Installing it: {command}");
    let status = Command::new(rustup())
        .current_dir(&workspace.root)
        .args(arguments)
        .status()
        .map_err(|_| {
            Failure::new(format!(
                "rustup is not here to do it, and Miri comes with no other Rust. Install rustup, and try again:\n\n    {command}"
            ))
        })?;
    if !status.success() {
        // Not every nightly has Miri.
        return Err(Failure::new(format!(
            "`{command}` failed. Without a network, or on a day whose nightly has no Miri, this cannot be done now."
        )));
    }
    if !has_miri(workspace) {
        return Err(Failure::new(format!(
            "`{command}` succeeded, but `cargo +{MIRI_TOOLCHAIN} miri` still does not run"
        )));
    }
    Ok(())
}

/// A cargo of the toolchain that has Miri.
pub(crate) fn miri_cargo() -> Command {
    let mut command = Command::new(rustup());
    command.args(["run", MIRI_TOOLCHAIN, "cargo"]);
    command
}

fn has_miri(workspace: &Workspace) -> bool {
    let version = workspace
        .prepared(miri_cargo())
        .args(["miri", "--version"])
        .output();
    let sysroot = Command::new(rustup())
        .current_dir(&workspace.root)
        .args(["run", MIRI_TOOLCHAIN, "rustc", "--print", "sysroot"])
        .output();
    let (Ok(version), Ok(sysroot)) = (version, sysroot) else {
        return false;
    };
    let sysroot = PathBuf::from(String::from_utf8_lossy(&sysroot.stdout).trim());
    version.status.success() && sysroot.join("lib/rustlib/src/rust/library").is_dir()
}

/// Is there a QEMU that is new enough?
pub(crate) fn has_qemu() -> bool {
    let Ok(output) = Command::new(QEMU).arg("--version").output() else {
        return false;
    };
    let text = String::from_utf8_lossy(&output.stdout);
    qemu_major(&text).is_some_and(|major| major >= OLDEST_QEMU)
}

/// `QEMU emulator version 10.0.2 (Debian ...)`
fn qemu_major(text: &str) -> Option<u32> {
    let version = text.split("version ").nth(1)?;
    leading_number(version)
}

/// The major number of a version, Debian's epoch left out: `1:7.2+dfsg-7` is 7.
fn leading_number(version: &str) -> Option<u32> {
    let upstream = version
        .split_once(':')
        .filter(|(epoch, _)| epoch.chars().all(|c| c.is_ascii_digit()))
        .map_or(version, |(_, rest)| rest);
    let digits: String = upstream.chars().take_while(char::is_ascii_digit).collect();
    digits.parse().ok()
}

fn ensure_targets(workspace: &Workspace) -> Result<()> {
    let mut missing = missing_targets(workspace)?;
    if missing.is_empty() {
        return Ok(());
    }
    eprintln!(
        "Missing: Rust's standard library for {}",
        missing.join(", ")
    );
    let arguments = || ["target", "add"].into_iter().chain(missing.iter().copied());
    let command = format!("rustup {}", arguments().collect::<Vec<_>>().join(" "));
    eprintln!("Installing it: {command}");
    let rustup = rustup();
    let status = Command::new(&rustup)
        .current_dir(&workspace.root)
        .args(arguments())
        .status()
        .map_err(|_| {
            Failure::new(format!(
                "rustup is not here to do it. Install the targets for this Rust, or Rust with rustup, and try again:\n\n    {command}"
            ))
        })?;
    if !status.success() {
        return Err(Failure::new(format!("`{command}` failed")));
    }
    missing = missing_targets(workspace)?;
    if missing.is_empty() {
        return Ok(());
    }
    Err(Failure::new(format!(
        "`{command}` succeeded, but the compiler that cargo uses still lacks {}",
        missing.join(", ")
    )))
}

/// Sees to it that there are LLVM's tools of the toolchain that cargo uses, and says where.
pub(crate) fn ensure_llvm_tools(workspace: &Workspace) -> Result<PathBuf> {
    let place = sysroot(workspace)?
        .join("lib/rustlib")
        .join(host_triple(workspace)?)
        .join("bin");
    let is_there = || {
        ["llvm-cov", "llvm-profdata"]
            .iter()
            .all(|tool| place.join(tool).is_file())
    };
    if is_there() {
        return Ok(place);
    }
    eprintln!("Missing: LLVM's tools\nInstalling them: rustup component add llvm-tools");
    let status = Command::new(rustup())
        .current_dir(&workspace.root)
        .args(["component", "add", "llvm-tools"])
        .status()
        .map_err(|_| {
            Failure::new("rustup is not here to install the component llvm-tools of this Rust")
        })?;
    if !status.success() || !is_there() {
        return Err(Failure::new(format!(
            "`rustup component add llvm-tools` did not put LLVM's tools into {}",
            place.display()
        )));
    }
    Ok(place)
}

/// The triple of this machine.
pub(crate) fn host_triple(workspace: &Workspace) -> Result<String> {
    let text = ask_rustc(workspace, &["--version", "--verbose"])?;
    text.lines()
        .find_map(|line| line.strip_prefix("host: "))
        .map(str::to_string)
        .ok_or_else(|| Failure::new("rustc does not say which machine it is for"))
}

fn sysroot(workspace: &Workspace) -> Result<PathBuf> {
    Ok(PathBuf::from(
        ask_rustc(workspace, &["--print", "sysroot"])?.trim(),
    ))
}

fn ask_rustc(workspace: &Workspace, arguments: &[&str]) -> Result<String> {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let output = Command::new(rustc)
        .current_dir(&workspace.root)
        .args(arguments)
        .output()
        .running("rustc")?;
    if !output.status.success() {
        return Err(Failure::new(format!(
            "rustc failed: {}",
            String::from_utf8_lossy(&output.stderr)
        )));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

pub(crate) fn rustup() -> PathBuf {
    let in_cargo_home = env::var_os("CARGO_HOME")
        .map(PathBuf::from)
        .or_else(|| env::home_dir().map(|home| home.join(".cargo")))
        .map(|home| home.join("bin/rustup"));
    which("rustup")
        .or(in_cargo_home.filter(|file| file.is_file()))
        .unwrap_or_else(|| PathBuf::from("rustup"))
}

/// Looks where the compiler would.
fn missing_targets(workspace: &Workspace) -> Result<Vec<&'static str>> {
    let sysroot = sysroot(workspace)?;
    Ok([KERNEL_TARGET, USER_TARGET]
        .into_iter()
        .filter(|target| {
            !sysroot
                .join("lib/rustlib")
                .join(target)
                .join("lib")
                .is_dir()
        })
        .collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_understood() {
        let debian = "QEMU emulator version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nCopyright";
        assert_eq!(qemu_major(debian), Some(7));
        assert_eq!(qemu_major("QEMU emulator version 10.0.2\n"), Some(10));
        assert_eq!(qemu_major("something else"), None);
        assert_eq!(leading_number("1:10.0.2+ds-2~bpo12+1"), Some(10));
        assert_eq!(leading_number("9.1"), Some(9));
        assert_eq!(leading_number("(none)"), None);
    }
}
