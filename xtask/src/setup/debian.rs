//! QEMU, dtc and a C compiler from Debian's packages; QEMU from the backports suite where the distribution's own is too
//! old.

use super::sources::{Source, parse_list, parse_sources};
use super::{Missing, OLDEST_QEMU, leading_number};
use crate::failure::{Context, Failure, Result};
use crate::workspace::which;
use std::fs;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

const QEMU_PACKAGE: &str = "qemu-system-arm";
const DTC_PACKAGE: &str = "device-tree-compiler";
/// On AArch64 the compiler of the machine itself is the one.
const C_COMPILER_PACKAGE: &str = if cfg!(target_arch = "aarch64") {
    "gcc"
} else {
    "gcc-aarch64-linux-gnu"
};
const SOURCES: &str = "/etc/apt/sources.list.d";
const ADDED: &str = "tern-backports.sources";

/// The distribution, from os-release.
#[derive(Debug, Default, PartialEq, Eq)]
struct Release {
    id: String,
    like: String,
    codename: String,
    name: String,
}

impl Release {
    fn read() -> Self {
        Self::parse(&fs::read_to_string("/etc/os-release").unwrap_or_default())
    }

    fn parse(text: &str) -> Self {
        let mut release = Self::default();
        for (key, value) in text.lines().filter_map(|line| line.split_once('=')) {
            let field = match key.trim() {
                "ID" => &mut release.id,
                "ID_LIKE" => &mut release.like,
                "VERSION_CODENAME" => &mut release.codename,
                "PRETTY_NAME" => &mut release.name,
                _ => continue,
            };
            *field = value.trim().trim_matches(['"', '\'']).to_string();
        }
        release
    }

    fn uses_apt(&self) -> bool {
        self.id == "debian" || self.like.split_whitespace().any(|id| id == "debian")
    }

    /// Only Debian itself has a backports suite of that name. Releases under development have no codename here.
    fn backports(&self) -> Option<String> {
        (self.id == "debian" && !self.codename.is_empty())
            .then(|| format!("{}-backports", self.codename))
    }
}

/// How commands get the rights to install packages.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rights {
    Root,
    Sudo,
    None,
}

/// Installs packages, or says what to type.
pub(crate) fn install(missing: &[Missing]) -> Result<()> {
    let release = Release::read();
    if !release.uses_apt() || which("apt-get").is_none() {
        let name = if release.name.is_empty() {
            "this system"
        } else {
            &release.name
        };
        let wanted: Vec<String> = missing.iter().map(|program| program.describe()).collect();
        return Err(Failure::new(format!(
            "setting up {name} is not known here. Install from its packages, then try again: {}",
            wanted.join("; ")
        )));
    }
    match rights()? {
        Rights::None => Err(advice(&release, missing)),
        rights => Installer { rights, release }.install(missing),
    }
}

fn rights() -> Result<Rights> {
    let id = Command::new("id").arg("-u").output().running("id")?;
    if id.stdout.trim_ascii() == b"0" {
        return Ok(Rights::Root);
    }
    if which("sudo").is_none() {
        return Ok(Rights::None);
    }
    let without_password = Command::new("sudo")
        .args(["-n", "true"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok_and(|status| status.success());
    // With a terminal sudo can ask for the password.
    if without_password || std::io::stdin().is_terminal() {
        Ok(Rights::Sudo)
    } else {
        Ok(Rights::None)
    }
}

/// The commands, for somebody who has the rights that this process has not.
fn advice(release: &Release, missing: &[Missing]) -> Failure {
    // Without root the lists may be out of date, but they are all there is to go by.
    let candidate = candidate(QEMU_PACKAGE);
    let mut lines = vec!["apt-get update".to_string()];
    if missing.contains(&Missing::Qemu) {
        match backports_for(release, candidate, &all_sources()) {
            Some((suite, source)) => {
                if let Some(text) = source {
                    lines.push(format!("cat > {SOURCES}/{ADDED} <<'END'\n{text}END"));
                    lines.push("apt-get update".to_string());
                }
                lines.push(format!(
                    "apt-get install --no-install-recommends -t {suite} {QEMU_PACKAGE}"
                ));
            }
            None => lines.push(format!(
                "apt-get install --no-install-recommends {QEMU_PACKAGE}"
            )),
        }
    }
    for package in plain_packages(missing) {
        lines.push(format!("apt-get install --no-install-recommends {package}"));
    }
    Failure::new(format!(
        "installing packages takes root or sudo. Run these commands as root, then try again:\n\n{}\n",
        lines.join("\n")
    ))
}

/// The packages that come from the release itself.
fn plain_packages(missing: &[Missing]) -> impl Iterator<Item = &'static str> {
    missing.iter().filter_map(|program| match program {
        Missing::Qemu => None,
        Missing::DeviceTreeCompiler => Some(DTC_PACKAGE),
        Missing::CCompiler => Some(C_COMPILER_PACKAGE),
    })
}

/// The backports suite, if QEMU has to come from there, and the text of the sources file to add, unless the machine
/// has the suite already.
fn backports_for(
    release: &Release,
    candidate: Option<u32>,
    sources: &[Source],
) -> Option<(String, Option<String>)> {
    if candidate.is_some_and(|major| major >= OLDEST_QEMU) {
        return None;
    }
    let suite = release.backports()?;
    if sources.iter().any(|source| source.has_suite(&suite)) {
        return Some((suite, None));
    }
    // Some machines name the release by its role.
    let mirror = [release.codename.as_str(), "stable", "oldstable"]
        .iter()
        .find_map(|suite| sources.iter().find(|source| source.has_suite(suite)))?;
    let text = mirror.for_suite(&suite);
    Some((suite, Some(text)))
}

/// The machine's package sources.
fn all_sources() -> Vec<Source> {
    let mut files = vec![PathBuf::from("/etc/apt/sources.list")];
    if let Ok(entries) = fs::read_dir(SOURCES) {
        files.extend(entries.flatten().map(|entry| entry.path()));
    }
    files.sort();
    files
        .iter()
        .filter_map(|file| {
            let parse = match file.extension()?.to_str()? {
                "list" => parse_list,
                "sources" => parse_sources,
                _ => return None,
            };
            Some(parse(&fs::read_to_string(file).ok()?))
        })
        .flatten()
        .collect()
}

/// The major version of the package that apt would install.
fn candidate(package: &str) -> Option<u32> {
    let output = Command::new("apt-cache")
        .args(["policy", package])
        .env("LC_ALL", "C")
        .output()
        .ok()?;
    parse_candidate(&String::from_utf8_lossy(&output.stdout))
}

fn parse_candidate(policy: &str) -> Option<u32> {
    policy
        .lines()
        .find_map(|line| line.trim().strip_prefix("Candidate:"))
        .and_then(|version| leading_number(version.trim()))
}

struct Installer {
    rights: Rights,
    release: Release,
}

impl Installer {
    fn install(&self, missing: &[Missing]) -> Result<()> {
        eprintln!(
            "Installing {}with {}'s packages.",
            if self.rights == Rights::Sudo {
                "it through sudo "
            } else {
                "it "
            },
            self.release.name
        );
        self.apt(&["update"])?;
        if missing.contains(&Missing::Qemu) {
            self.install_qemu()?;
        }
        for package in plain_packages(missing) {
            self.apt_install(&[package])?;
        }
        Ok(())
    }

    fn install_qemu(&self) -> Result<()> {
        let candidate = candidate(QEMU_PACKAGE);
        let old = match candidate {
            Some(major) if major >= OLDEST_QEMU => return self.apt_install(&[QEMU_PACKAGE]),
            Some(major) => format!("{}'s own QEMU is version {major}", self.release.name),
            None => format!("{} has no QEMU", self.release.name),
        };
        let Some((suite, source)) = backports_for(&self.release, candidate, &all_sources()) else {
            return Err(Failure::new(format!(
                "{old}, and there is no backports suite to take a newer one from. Install QEMU {OLDEST_QEMU} or \
                 newer by hand and try again"
            )));
        };
        eprintln!("{old}; taking it from {suite}.");
        if let Some(text) = source {
            self.add_source(&suite, &text)?;
        }
        self.apt_install(&["-t", &suite, QEMU_PACKAGE])
    }

    /// Adds a file beside the machine's own sources, and takes it away again if its suite cannot be read.
    fn add_source(&self, suite: &str, text: &str) -> Result<()> {
        let path = Path::new(SOURCES).join(ADDED);
        eprintln!("Adding {}.", path.display());
        let path = path.to_string_lossy();
        let mut tee = self
            .command("tee")
            .arg(&*path)
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .spawn()
            .running("tee")?;
        if let Some(mut input) = tee.stdin.take() {
            input.write_all(text.as_bytes()).running("tee")?;
        }
        let written = tee.wait().running("tee")?.success();
        let updated = written && self.apt(&["update"]).is_ok();
        // apt-get calls it a success when a suite could not be fetched, so what counts is what is on offer now.
        if updated && offers(suite) {
            return Ok(());
        }
        let _ = self.command("rm").args(["-f", &*path]).status();
        Err(Failure::new(format!(
            "{suite} could not be read from the machine's mirror, see above; {path} was removed again. Repair that, or \
             install QEMU {OLDEST_QEMU} or newer by hand, and try again"
        )))
    }

    fn apt_install(&self, packages: &[&str]) -> Result<()> {
        let mut arguments = vec!["install", "--yes", "--no-install-recommends"];
        arguments.extend(packages);
        self.apt(&arguments)
    }

    fn apt(&self, arguments: &[&str]) -> Result<()> {
        eprintln!("> apt-get {}", arguments.join(" "));
        let status = self
            .command("env")
            .args(["DEBIAN_FRONTEND=noninteractive", "apt-get"])
            .args(arguments)
            // What it prints is progress; standard output is for results.
            .stdout(std::io::stderr())
            .status()
            .running("apt-get")?;
        if status.success() {
            return Ok(());
        }
        Err(Failure::new(format!(
            "`apt-get {}` failed",
            arguments.join(" ")
        )))
    }

    fn command(&self, program: &str) -> Command {
        match self.rights {
            Rights::Sudo => {
                let mut sudo = Command::new("sudo");
                sudo.arg(program);
                sudo
            }
            _ => Command::new(program),
        }
    }
}

/// Does apt know packages of this suite?
fn offers(suite: &str) -> bool {
    Command::new("apt-cache")
        .args(["policy"])
        .env("LC_ALL", "C")
        .output()
        .is_ok_and(|output| policy_has_suite(&String::from_utf8_lossy(&output.stdout), suite))
}

/// A release line of `apt-cache policy` names suite (`a=`) and codename (`n=`).
fn policy_has_suite(policy: &str, suite: &str) -> bool {
    policy
        .lines()
        .filter_map(|line| line.trim().strip_prefix("release "))
        .flat_map(|line| line.split(','))
        .any(|field| {
            field
                .split_once('=')
                .is_some_and(|(key, value)| matches!(key, "a" | "n") && value == suite)
        })
}

#[cfg(test)]
mod tests {
    use super::*;

    const BOOKWORM: &str = "PRETTY_NAME=\"Debian GNU/Linux 12 (bookworm)\"\nVERSION_ID=\"12\"\n\
        VERSION_CODENAME=bookworm\nID=debian\n";

    fn mirror() -> Vec<Source> {
        parse_list("deb http://mirror/debian bookworm main\n")
    }

    #[test]
    fn releases_are_told_apart() {
        let debian = Release::parse(BOOKWORM);
        assert_eq!(debian.backports().unwrap(), "bookworm-backports");
        assert!(debian.uses_apt());
        let ubuntu = Release::parse("ID=ubuntu\nID_LIKE=debian\nVERSION_CODENAME=noble\n");
        assert!(ubuntu.uses_apt() && ubuntu.backports().is_none());
        let other = Release::parse("ID=fedora\nID_LIKE='rhel centos'\n");
        assert!(!other.uses_apt());
        assert_eq!(Release::parse("ID=debian").backports(), None);
    }

    #[test]
    fn backports_only_where_needed() {
        let debian = Release::parse(BOOKWORM);
        assert_eq!(backports_for(&debian, Some(10), &mirror()), None);
        let (suite, text) = backports_for(&debian, Some(7), &mirror()).unwrap();
        assert_eq!(suite, "bookworm-backports");
        assert!(text.unwrap().contains("URIs: http://mirror/debian\n"));
        let mut sources = mirror();
        sources.extend(parse_list(
            "deb http://other/debian bookworm-backports main",
        ));
        assert_eq!(
            backports_for(&debian, Some(7), &sources),
            Some((suite, None))
        );
        assert_eq!(backports_for(&debian, Some(7), &[]), None);
    }

    #[test]
    fn apt_is_understood() {
        let policy =
            "qemu-system-arm:\n  Installed: (none)\n  Candidate: 1:7.2+dfsg-7\n  Version table:\n";
        assert_eq!(parse_candidate(policy), Some(7));
        assert_eq!(parse_candidate("  Candidate: (none)\n"), None);
        let policy = " 100 http://m bookworm-backports/main amd64 Packages\n     \
            release o=Debian Backports,a=stable-backports,n=bookworm-backports,l=x,c=main\n     origin m\n";
        assert!(policy_has_suite(policy, "bookworm-backports"));
        assert!(!policy_has_suite(policy, "bookworm"));
    }

    #[test]
    fn advice_is_a_list_of_commands() {
        let release = Release::parse("ID=debian\n");
        let text = advice(&release, &[Missing::DeviceTreeCompiler]).message;
        assert!(text.contains("apt-get install --no-install-recommends device-tree-compiler"));
        assert!(!text.contains("qemu"));
        let text = advice(&release, &[Missing::CCompiler]).message;
        assert!(text.contains(&format!("--no-install-recommends {C_COMPILER_PACKAGE}")));
    }
}
