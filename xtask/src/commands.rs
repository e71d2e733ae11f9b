//! The commands `run`, `build` and `image`.

use crate::backtrace::{Place, explain};
use crate::boards::{Board, Machine, Wanted, board, default_board};
use crate::builder::{self, Ending, Profile, System, Variant};
use crate::cli;
use crate::config::KernelConfig;
use crate::failure::{Context, Failure, Result};
use crate::long;
use crate::qemu::{self, Boot, Console, End, Finished, Limits};
use crate::setup::{self, Need};
use crate::workspace::{BENCH, EXAMPLES, TARGET_TESTS, Workspace};
use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// A run that says nothing about its end is given up after this time.
pub(crate) const DEFAULT_TIMEOUT: Duration = Duration::from_secs(300);

pub(crate) fn run(workspace: &Workspace, options: &cli::Run) -> Result<()> {
    let board = find_board(options.board.as_deref())?;
    let machine = board.machine(&options.machine)?;
    let config = KernelConfig::read(&workspace.root)?
        .with_user_counters()
        .with(&options.build.config)?;
    check_root(workspace, &options.root)?;
    let variant = Variant {
        profile: Profile::from_release(options.build.release),
        config,
        ending: Ending::Semihosting,
    };
    setup::ensure(workspace, Need::Qemu)?;
    let root = root_elf(workspace, &options.root, variant.profile)?;
    let system = builder::system(workspace, &variant)?;
    let image = system.image(board, &root)?;
    say_cores(&machine, &variant);
    if options.gdb {
        return debug(&machine, &system, &root, image);
    }
    let limits = Limits {
        timeout: timeout(options),
        until: options.until.clone(),
    };
    eprintln!("Running {} on {}", root.display(), machine.describe());
    let finished = qemu::run(&machine, &Boot::Image(image), &limits, Console::Stdout)?;
    conclude(&finished, &system, &root, board)
}

fn find_board(name: Option<&str>) -> Result<&'static Board> {
    name.map_or_else(|| Ok(default_board()), board)
}

/// Finds mistakes before anything is built.
fn check_root(workspace: &Workspace, root: &cli::Root) -> Result<()> {
    match root {
        cli::Root::Example(name) => workspace.check_example(name),
        cli::Root::File(file) => builder::stripped(file).map(drop),
    }
}

fn root_elf(workspace: &Workspace, root: &cli::Root, profile: Profile) -> Result<PathBuf> {
    match root {
        cli::Root::Example(name) => {
            let only = BTreeSet::from([name.as_str()]);
            Ok(builder::root_tasks(workspace, EXAMPLES, &only, profile)?.join(name))
        }
        cli::Root::File(file) => Ok(file.clone()),
    }
}

fn say_cores(machine: &Machine, variant: &Variant) {
    if u64::from(machine.cores) > variant.max_cores() {
        eprintln!(
            "The kernel is built for {} cores and will not start the others; --config MAX_NUM_NODES={} changes that.",
            variant.max_cores(),
            machine.cores
        );
    }
}

/// A file that is not ours may well run for ever, unless it is said what to wait for.
fn timeout(options: &cli::Run) -> Option<Duration> {
    let foreign = matches!(options.root, cli::Root::File(_));
    options
        .timeout
        .unwrap_or((!foreign || options.until.is_some()).then_some(DEFAULT_TIMEOUT))
}

pub(crate) fn conclude(
    finished: &Finished,
    system: &System,
    root: &Path,
    board: &Board,
) -> Result<()> {
    let status = finished.status();
    if status == 0 {
        return Ok(());
    }
    for line in backtrace(&finished.log, system, root, board) {
        eprintln!("{line}");
    }
    match finished.end {
        // The guest's own verdict needs no comment.
        End::Exit(_) if !finished.panicked => Err(Failure::status(status)),
        _ => Err(Failure {
            status,
            message: finished.describe(),
        }),
    }
}

/// Names for the backtraces in a log.
pub(crate) fn backtrace(log: &str, system: &System, root: &Path, board: &Board) -> Vec<String> {
    let place = |file, offset| Place { file, offset };
    let mut lines = explain(
        log,
        &[
            place(&system.kernel, 0),
            place(root, 0),
            place(&system.loader, board.image_base),
        ],
    );
    if !lines.is_empty() {
        lines.insert(0, "Backtrace with names:".to_string());
    }
    lines
}

fn debug(machine: &Machine, system: &System, root: &Path, image: PathBuf) -> Result<()> {
    eprintln!(
        "{} waits for a debugger. Attach it from another terminal:\n\n    \
         gdb-multiarch {} -ex 'add-symbol-file {}' -ex 'add-symbol-file {} -o {:#x}' -ex 'target remote :{}'\n\n\
         The files are the kernel, the root task and the boot loader. `hbreak` works before code is loaded.",
        machine.describe(),
        system.kernel.display(),
        root.display(),
        system.loader.display(),
        machine.board.image_base,
        qemu::GDB_PORT,
    );
    match qemu::run_for_debugger(machine, &Boot::Image(image))? {
        0 => Ok(()),
        status => Err(Failure::status(status)),
    }
}

/// What the simulation's kernel is built with: a small capability space, so that all of it can be checked often, and
/// preemption points that look each time, since what threads do here is never long. The measurement of masked interrupts
/// measures nothing there, but runs too.
pub(crate) const SIM_CONFIG: [(&str, &str); 3] = [
    ("TERN_ROOT_CNODE_SIZE_BITS", "8"),
    ("TERN_MAX_NUM_WORK_UNITS_PER_PREEMPTION", "10"),
    ("TERN_TRACK_MASKED", "true"),
];

/// Builds the simulation, in a profile of its own, and runs it.
pub(crate) fn simulate(workspace: &Workspace, options: &cli::Sim) -> Result<()> {
    if let Some(total) = options.total {
        return long::run(workspace, options, total);
    }
    // Only what is asked for: the rest is the simulation's own, or the kernel's defaults.
    KernelConfig::read(&workspace.root)?.with(&options.config)?;
    let given = options.config.iter().filter_map(|it| it.split_once('='));
    let given = given.map(|(key, value)| (format!("TERN_{key}"), value));
    let mut cargo = workspace.cargo("run");
    cargo
        .args(["--profile", "sim", "--package", "tern-sim"])
        .envs(SIM_CONFIG)
        .envs(given)
        .arg("--")
        .args(&options.arguments);
    for setting in &options.config {
        cargo.args(["--config", setting]);
    }
    let status = cargo.status().running("cargo run")?;
    match status.code() {
        Some(0) => Ok(()),
        code => Err(Failure::status(code.map_or(1, |code| code as u8))),
    }
}

pub(crate) fn image(workspace: &Workspace, options: &cli::Image) -> Result<()> {
    let board = find_board(options.board.as_deref())?;
    check_root(workspace, &options.root)?;
    let variant = Variant {
        profile: Profile::from_release(options.build.release),
        config: KernelConfig::read(&workspace.root)?.with(&options.build.config)?,
        ending: Ending::Park,
    };
    setup::ensure(workspace, Need::Targets)?;
    let root = root_elf(workspace, &options.root, variant.profile)?;
    let system = builder::system(workspace, &variant)?;
    let output = options
        .output
        .clone()
        .unwrap_or_else(|| workspace.target.join(format!("tern-{}.img", board.name)));
    system.write_image(&root, &output)?;
    println!("{}", output.display());
    Ok(())
}

pub(crate) fn build(workspace: &Workspace, options: &cli::Build) -> Result<()> {
    let profile = Profile::from_release(options.release);
    let given = KernelConfig::read(&workspace.root)?.with(&options.config)?;
    setup::ensure(workspace, Need::Targets)?;
    for package in [EXAMPLES, TARGET_TESTS, BENCH] {
        let known = workspace.root_tasks(package)?;
        let names: BTreeSet<&str> = known.iter().map(|(name, _)| name.as_str()).collect();
        if !names.is_empty() {
            builder::root_tasks(workspace, package, &names, profile)?;
        }
    }
    let mut sizes = vec![("as configured", text_size(workspace, profile, &given)?)];
    if options.release {
        let smallest = ["DEBUG_BUILD=false", "PRINTING=false"].map(String::from);
        let smallest = given.clone().with(&smallest)?;
        if smallest != given {
            sizes.push((
                "without debug calls and printing",
                text_size(workspace, profile, &smallest)?,
            ));
        }
    }
    for (name, size) in sizes {
        println!("kernel text, {name}: {size} bytes");
    }
    if options.release
        && setup::has_qemu()
        && let Some(line) = boot_cost(workspace, profile, &options.config)?
    {
        println!("{line}");
    }
    Ok(())
}

/// What the kernel says its boot has cost, if it says so, when the smallest example runs and instructions are counted.
fn boot_cost(
    workspace: &Workspace,
    profile: Profile,
    settings: &[String],
) -> Result<Option<String>> {
    const SMALLEST: &str = "hello";
    if workspace.check_example(SMALLEST).is_err() {
        return Ok(None);
    }
    let board = default_board();
    let machine = board.machine(&Wanted {
        icount: true,
        ..Wanted::default()
    })?;
    let variant = Variant {
        profile,
        config: KernelConfig::read(&workspace.root)?
            .with_user_counters()
            .with(settings)?,
        ending: Ending::Semihosting,
    };
    let only = BTreeSet::from([SMALLEST]);
    let root = builder::root_tasks(workspace, EXAMPLES, &only, profile)?.join(SMALLEST);
    let image = builder::system(workspace, &variant)?.image(board, &root)?;
    let limits = Limits {
        timeout: Some(Duration::from_secs(60)),
        until: None,
    };
    let finished = qemu::run(&machine, &Boot::Image(image), &limits, Console::Quiet)?;
    Ok(boot_line(&finished.log))
}

/// The line about the cost of booting, from a console of a run that counts instructions. There an instruction is a
/// nanosecond, so ticks of the counter tell instructions too, to within one tick.
fn boot_line(log: &str) -> Option<String> {
    let line = log.lines().find(|line| line.starts_with("boot: "))?;
    let number_before = |text: &str, what: &str| -> Option<u64> {
        let (before, _) = text.split_once(what)?;
        before.split_whitespace().last()?.parse().ok()
    };
    let ticks = number_before(line, " counter ticks");
    let frequency = log
        .lines()
        .find_map(|line| number_before(line.split_once("counter ")?.1, " Hz"));
    Some(match (ticks, frequency) {
        (Some(ticks), Some(frequency @ 1..)) => format!(
            "{line}, about {} instructions of all cores together",
            u128::from(ticks) * 1_000_000_000 / u128::from(frequency)
        ),
        _ => line.to_string(),
    })
}

fn text_size(workspace: &Workspace, profile: Profile, config: &KernelConfig) -> Result<u64> {
    let variant = Variant {
        profile,
        config: config.clone(),
        ending: Ending::Park,
    };
    builder::system(workspace, &variant)?.kernel_text()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_cost_of_booting_is_in_instructions() {
        let log = "Tern on a board: 4 cores, counter 62500000 Hz\nboot: 100 counter ticks from here to there\n";
        assert_eq!(
            boot_line(log).unwrap(),
            "boot: 100 counter ticks from here to there, about 1600 instructions of all cores together"
        );
        let counted = "boot: 5 instructions to the first user instruction";
        assert_eq!(boot_line(counted).unwrap(), counted);
        assert_eq!(boot_line("Hello\n"), None);
    }

    #[test]
    fn a_foreign_file_may_run_for_ever() {
        let run = |line: &str| match cli::parse(line.split(' ').map(Into::into)).unwrap() {
            cli::Command::Run(run) => timeout(&run),
            other => panic!("{other:?}"),
        };
        assert_eq!(run("run"), Some(DEFAULT_TIMEOUT));
        assert_eq!(run("run --elf x"), None);
        assert_eq!(run("run --elf x --until done"), Some(DEFAULT_TIMEOUT));
        assert_eq!(run("run --timeout 0"), None);
        assert_eq!(run("run --elf x --timeout 3"), Some(Duration::from_secs(3)));
    }
}
