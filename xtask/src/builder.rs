//! Building the parts with cargo, and images out of them.
//!
//! A kernel configuration reaches the kernel's build script through the environment, so cargo keeps only the last one
//! built. What is needed later is therefore copied away, under a name that tells profile and configuration.

use crate::boards::Board;
use crate::config::KernelConfig;
use crate::elf::Elf;
use crate::failure::{Context, Failure, Result};
use crate::image::{Parts, compose};
use crate::workspace::{BENCH, Workspace};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::{Path, PathBuf};

/// The target of the kernel and the loader: the compiler keeps out of the floating-point registers.
pub(crate) const KERNEL_TARGET: &str = "aarch64-unknown-none-softfloat";
/// The target of root tasks.
pub(crate) const USER_TARGET: &str = "aarch64-unknown-none";

/// Cargo's profile. It decides speed and assertions, not what the kernel offers.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Profile {
    Dev,
    Release,
}

impl Profile {
    pub(crate) fn from_release(release: bool) -> Self {
        if release { Self::Release } else { Self::Dev }
    }

    /// The directory in which cargo puts what it built.
    pub(crate) fn directory(self) -> &'static str {
        match self {
            Self::Dev => "debug",
            Self::Release => "release",
        }
    }
}

/// How a run that fails in the kernel or in the loader ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// Through the emulator, with a failing exit status.
    Semihosting,
    /// By stopping, as on real hardware, where there is no emulator to ask.
    Park,
}

/// One way to build the kernel and the loader.
#[derive(Clone, Debug)]
pub(crate) struct Variant {
    pub(crate) profile: Profile,
    pub(crate) config: KernelConfig,
    pub(crate) ending: Ending,
}

impl Variant {
    fn id(&self) -> String {
        let ending = match self.ending {
            Ending::Semihosting => "",
            Ending::Park => "-park",
        };
        format!("{}{ending}-{}", self.profile.directory(), self.config.id())
    }

    /// More cores than this are not started.
    pub(crate) fn max_cores(&self) -> u64 {
        self.config.number("MAX_NUM_NODES").unwrap_or(1)
    }
}

/// A kernel and a loader that go together.
pub(crate) struct System {
    pub(crate) kernel: PathBuf,
    pub(crate) loader: PathBuf,
    max_cores: u64,
    /// Where images and copies of this variant go.
    pub(crate) directory: PathBuf,
}

/// Builds kernel and loader.
pub(crate) fn system(workspace: &Workspace, variant: &Variant) -> Result<System> {
    let directory = workspace.scratch(&variant.id())?;
    let ending = matches!(variant.ending, Ending::Semihosting);
    let kernel = Build {
        package: "tern-kernel",
        select: &["--bin", "tern-kernel"],
        features: if ending { "semihosting" } else { "" },
        target: KERNEL_TARGET,
        profile: variant.profile,
        config: Some(&variant.config),
        variables: &[],
    };
    let loader = Build {
        package: "tern-platform",
        select: &["--bin", "tern-loader"],
        features: if ending {
            "loader,semihosting"
        } else {
            "loader"
        },
        target: KERNEL_TARGET,
        profile: variant.profile,
        config: None,
        variables: &[],
    };
    Ok(System {
        kernel: keep(&kernel.run(workspace)?.join("tern-kernel"), &directory)?,
        loader: keep(&loader.run(workspace)?.join("tern-loader"), &directory)?,
        max_cores: variant.max_cores(),
        directory,
    })
}

/// The target of a package's root tasks. The one that measures keeps out of the floating-point registers, which the
/// compiler would use for copying: threads that never use them cost less to switch.
fn target_of(package: &str) -> &'static str {
    match package {
        BENCH => KERNEL_TARGET,
        _ => USER_TARGET,
    }
}

/// Builds root tasks of a package and says in which directory they are.
pub(crate) fn root_tasks(
    workspace: &Workspace,
    package: &str,
    names: &BTreeSet<&str>,
    profile: Profile,
) -> Result<PathBuf> {
    root_tasks_with(workspace, package, names, profile, &[])
}

/// The same, with variables that the sources look at.
pub(crate) fn root_tasks_with(
    workspace: &Workspace,
    package: &str,
    names: &BTreeSet<&str>,
    profile: Profile,
    variables: &[(&str, &str)],
) -> Result<PathBuf> {
    let select: Vec<&str> = names.iter().flat_map(|name| ["--bin", name]).collect();
    Build {
        package,
        select: &select,
        features: "",
        target: target_of(package),
        profile,
        config: None,
        variables,
    }
    .run(workspace)
}

/// Where the root tasks of a package are once they are built.
pub(crate) fn root_tasks_directory(
    workspace: &Workspace,
    package: &str,
    profile: Profile,
) -> PathBuf {
    let target = workspace.target.join(target_of(package));
    target.join(profile.directory())
}

/// Builds the emulator's plugin that writes down the kernel's accesses to memory, for this machine.
pub(crate) fn memtrace(workspace: &Workspace) -> Result<PathBuf> {
    let status = workspace
        .cargo("build")
        .args(["--package", "tern-memtrace", "--release"])
        .status()
        .running("cargo")?;
    if !status.success() {
        return Err(Failure::new("cannot build tern-memtrace"));
    }
    Ok(workspace.target.join("release/libtern_memtrace.so"))
}

/// One `cargo build`.
struct Build<'a> {
    package: &'a str,
    select: &'a [&'a str],
    features: &'a str,
    target: &'a str,
    profile: Profile,
    config: Option<&'a KernelConfig>,
    variables: &'a [(&'a str, &'a str)],
}

impl Build<'_> {
    /// Runs it; the result is the directory of the binaries.
    fn run(&self, workspace: &Workspace) -> Result<PathBuf> {
        let mut cargo = workspace.cargo("build");
        cargo
            .args(["--package", self.package, "--target", self.target])
            .args(self.select);
        if self.profile == Profile::Release {
            cargo.arg("--release");
        }
        if !self.features.is_empty() {
            cargo.args(["--features", self.features]);
        }
        if let Some(config) = self.config {
            cargo.envs(config.environment());
        }
        cargo.envs(self.variables.iter().copied());
        let status = cargo.status().running("cargo")?;
        if !status.success() {
            return Err(Failure::new(format!(
                "cannot build {} for {}",
                self.package, self.target
            )));
        }
        Ok(workspace
            .target
            .join(self.target)
            .join(self.profile.directory()))
    }
}

/// Copies a built file away from where cargo will overwrite it.
fn keep(file: &Path, directory: &Path) -> Result<PathBuf> {
    let name = file.file_name().unwrap_or_default();
    let copy = directory.join(name);
    let bytes = read(file)?;
    if fs::read(&copy).ok().as_deref() != Some(&bytes) {
        fs::write(&copy, &bytes).doing("write", &copy)?;
    }
    Ok(copy)
}

/// Reads a whole file.
pub(crate) fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).doing("read", path)
}

impl System {
    /// Bytes of the kernel's executable segments.
    pub(crate) fn kernel_text(&self) -> Result<u64> {
        let bytes = read(&self.kernel)?;
        Ok(parse(&self.kernel, &bytes)?.text_size())
    }

    /// Composes an image around a root task given as bytes, whatever they are.
    pub(crate) fn image_around(&self, root: &[u8]) -> Result<Vec<u8>> {
        self.compose(&read(&self.kernel)?, root)
    }

    fn compose(&self, kernel: &[u8], root: &[u8]) -> Result<Vec<u8>> {
        let loader = read(&self.loader)?;
        compose(&Parts {
            loader: &loader,
            kernel: &parse(&self.kernel, kernel)?.strip()?,
            root,
            max_cores: self.max_cores,
        })
    }

    /// Writes an image with a checked root task.
    pub(crate) fn write_image(&self, root: &Path, image: &Path) -> Result<()> {
        let whole = self.image_around(&stripped(root)?)?;
        fs::write(image, whole).doing("write", image)
    }

    /// Composes an image under the root task's name, in this variant's directory.
    pub(crate) fn image(&self, board: &Board, root: &Path) -> Result<PathBuf> {
        let image = self.image_path(board, root);
        self.write_image(root, &image)?;
        Ok(image)
    }

    /// As [`System::image`], with a kernel that cannot execute one of its functions.
    pub(crate) fn spoilt_image(
        &self,
        board: &Board,
        root: &Path,
        function: &str,
    ) -> Result<PathBuf> {
        let kernel = read(&self.kernel)?;
        let spoilt = parse(&self.kernel, &kernel)?
            .spoil(function)
            .map_err(|problem| named(&self.kernel, &problem))?;
        let image = self.image_path(board, root);
        let whole = self.compose(&spoilt, &stripped(root)?)?;
        fs::write(&image, whole).doing("write", &image)?;
        Ok(image)
    }

    fn image_path(&self, board: &Board, root: &Path) -> PathBuf {
        let name = root
            .file_stem()
            .and_then(|stem| stem.to_str())
            .unwrap_or("root");
        self.directory.join(format!("{}-{name}.img", board.name))
    }
}

fn parse<'a>(path: &Path, bytes: &'a [u8]) -> Result<Elf<'a>> {
    Elf::parse(bytes).map_err(|problem| named(path, &problem))
}

fn named(path: &Path, problem: &Failure) -> Failure {
    Failure::new(format!("{}: {}", path.display(), problem.message))
}

/// Systems built so far, by configuration: every configuration is built once.
pub(crate) struct Systems<'a> {
    workspace: &'a Workspace,
    profile: Profile,
    built: BTreeMap<KernelConfig, System>,
}

impl<'a> Systems<'a> {
    pub(crate) fn new(workspace: &'a Workspace, profile: Profile) -> Self {
        Self {
            workspace,
            profile,
            built: BTreeMap::new(),
        }
    }

    /// The system of a configuration.
    pub(crate) fn get(&mut self, config: &KernelConfig) -> Result<&System> {
        if !self.built.contains_key(config) {
            let variant = Variant {
                profile: self.profile,
                config: config.clone(),
                ending: Ending::Semihosting,
            };
            let built = system(self.workspace, &variant)?;
            self.built.insert(config.clone(), built);
        }
        Ok(&self.built[config])
    }
}

/// A root task as it goes into an image, after checking that it is one.
pub(crate) fn stripped(path: &Path) -> Result<Vec<u8>> {
    let bytes = read(path)?;
    let elf = parse(path, &bytes)?;
    elf.check_root_task()
        .and_then(|()| elf.strip())
        .map_err(|problem| named(path, &problem))
}
