//! `cargo xtask bench`: what the kernel's operations cost, in instructions, beside the aims and seL4's figures.
//!
//! The program that measures is `kernel/tests/bench`. It is booted three times for each number of cores, where
//! instructions are counted: twice on an ordinary kernel, whose figures have to be the same, and once on one that counts
//! doorbells, waits for locks and entries with all locks, which takes instructions itself.

mod budget;
pub(crate) mod figure;
mod profile;
mod report;
pub(crate) mod rows;
pub(crate) mod scaling;
mod stretches;

use self::figure::Figure;
use self::profile::Traced;
use self::rows::Row;
use self::stretches::Stretches;
use crate::boards::{Machine, Wanted, default_board};
use crate::builder::{self, Ending, Profile, Variant};
use crate::cli::{self, Locks};
use crate::config::KernelConfig;
use crate::failure::{Context, Failure, Result, unknown};
use crate::qemu::{self, Boot, Console, End, Extras, Limits};
use crate::setup::{self, Need};
use crate::workspace::{BENCH, Workspace};
use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// The machines of the tables.
const MACHINES: [u32; 2] = [1, 4];
const CPU: &str = "cortex-a53";
/// The program's name.
const ROOT: &str = "bench";
const TIMEOUT: Duration = Duration::from_secs(300);

pub(crate) fn run(workspace: &Workspace, options: &cli::Bench) -> Result<()> {
    let filter = options.filter.as_deref().unwrap_or("");
    if !rows::ROWS.iter().any(|row| row.name.contains(filter)) {
        let names = rows::ROWS.iter().map(|row| row.name);
        return Err(unknown("benchmark", filter, names));
    }
    let machines = options.cores.map_or(MACHINES.to_vec(), |cores| vec![cores]);
    if options.profile {
        profile::check(filter)?;
        setup::ensure(workspace, Need::Qemu)?;
        for &cores in &machines {
            let traced = trace(workspace, filter, cores, options.locks)?;
            print!("{}", traced.by_function()?);
        }
        return Ok(());
    }
    if options.scaling {
        setup::ensure(workspace, Need::Qemu)?;
        return scaling::run(workspace);
    }
    if options.doc && (machines != MACHINES || options.locks != Locks::Default) {
        return Err(Failure::usage(
            "--doc writes the tables of all machines and both ways to lock: leave out --cores and --locks",
        ));
    }
    if options.budget {
        setup::ensure(workspace, Need::Qemu)?;
        return budget::run(workspace, &machines, filter, options);
    }
    let earlier = match &options.compare {
        Some(file) => Some(read_json(file)?),
        None => None,
    };
    setup::ensure(workspace, Need::Qemu)?;
    let mut measured = Measured::default();
    for &cores in &machines {
        measured.measure(workspace, cores, options.locks)?;
    }
    let figures = &measured.figures;
    show(figures, &machines, filter);
    print!("\n{}", stretches::terminal(&measured.stretches));
    if let Some(earlier) = &earlier {
        println!("\n{}", report::changes(earlier, figures, filter));
    }
    if let Some(file) = &options.json {
        fs::write(file, figure::to_json(figures)).doing("write", file)?;
    }
    let missed = machines.iter().any(|&cores| {
        let (good, all) = report::holding(&report::of_machine(figures, cores));
        good < all
    });
    if options.doc {
        // With one core there is one lock at most, so that the two ways are the same.
        for cores in machines.iter().copied().filter(|&cores| cores > 1) {
            measured.measure(workspace, cores, Locks::All)?;
        }
        write_page(workspace, &measured, &machines)?;
    }
    if options.check && missed {
        return Err(Failure::status(1));
    }
    Ok(())
}

/// Writes what the page has of figures, and its picture.
fn write_page(workspace: &Workspace, measured: &Measured, machines: &[u32]) -> Result<()> {
    let scaling = scaling::measure(workspace)?;
    let rates = scaling::speeds_of_all(workspace)?;
    let path = workspace.root.join("docs/performance.md");
    let picture = workspace.root.join("docs/scaling.svg");
    let page = fs::read_to_string(&path).doing("read", &path)?;
    let others = [stretches::markdown(&measured.stretches), scaling.markdown()];
    let mut page = report::page(&page, &measured.figures, machines, &others)?;
    match rates {
        Ok(rates) => page = report::page_by_the_clock(&page, &rates.markdown())?,
        Err(busy) => println!("What is by the clock stays as it is: {busy}"),
    }
    fs::write(&path, page).doing("write", &path)?;
    fs::write(&picture, scaling.svg()).doing("write", &picture)?;
    println!("Wrote {} and {}", path.display(), picture.display());
    Ok(())
}

fn show(figures: &[Figure], machines: &[u32], filter: &str) {
    for &cores in machines {
        let lines = report::of_machine(figures, cores);
        let plural = if cores == 1 { "" } else { "s" };
        let mode = figures.first().map_or("", |figure| &figure.mode);
        println!("\n{cores} core{plural}, {mode}");
        print!("{}", report::terminal(&lines, filter));
        let (good, all) = report::holding(&lines);
        println!("{good} of {all} hold");
    }
    if let [one, several] = *machines {
        print!(
            "\n{}",
            report::builds_in_short(figures, one, several, filter)
        );
    }
}

fn read_json(file: &Path) -> Result<Vec<Figure>> {
    let text = fs::read_to_string(file).doing("read", file)?;
    figure::from_json(&text)
        .map_err(|failure| Failure::new(format!("{}: {}", file.display(), failure.message)))
}

/// The kernel that is measured: nothing for debugging, no printing, as many cores as the machine has.
pub(crate) fn config(
    workspace: &Workspace,
    cores: u32,
    locks: Locks,
    counting: bool,
) -> Result<KernelConfig> {
    let mut settings = vec![
        "DEBUG_BUILD=false".to_string(),
        "PRINTING=false".to_string(),
        "EXPORT_PMU_USER=true".to_string(),
        format!("MAX_NUM_NODES={cores}"),
    ];
    if locks == Locks::All {
        settings.push("ALL_LOCKS=true".to_string());
    }
    if counting {
        settings.extend(["BENCH_COUNTERS=true", "TRACK_MASKED=true"].map(String::from));
    }
    KernelConfig::read(&workspace.root)?.with(&settings)
}

fn machine(cores: u32) -> Result<Machine> {
    default_board().machine(&Wanted {
        cores: Some(cores),
        cpu: Some(CPU.to_string()),
        icount: true,
        ..Wanted::default()
    })
}

/// Has the emulator write down the instructions of one figure.
fn trace(workspace: &Workspace, name: &str, cores: u32, locks: Locks) -> Result<Traced> {
    let machine = machine(cores)?;
    let only = BTreeSet::from([ROOT]);
    let variables = [("TERN_BENCH_ONLY", name)];
    let built =
        builder::root_tasks_with(workspace, BENCH, &only, Profile::Release, &variables)?.join(ROOT);
    // Under another name than the program that measures everything.
    let directory = workspace.scratch("profile")?;
    let root = directory.join("profile");
    fs::copy(&built, &root).doing("copy", &built)?;
    let system = builder::system(workspace, &ordinary(workspace, cores, locks)?)?;
    let image = system.image(machine.board, &root)?;
    let log = directory.join("instructions.log");
    let trace = profile::trace(&root, &log)?;
    let extras = Extras {
        arguments: trace.arguments(),
        lines: None,
    };
    let console = boot(&machine, &image, extras)?;
    let instructions = figure::instructions(&console, name)
        .ok_or_else(|| Failure::new(format!("{name} gave no figure on {cores} cores")))?;
    let traced = Traced::read(&machine, name, instructions, &log, &system.kernel, &root)?;
    // Some hundred megabytes.
    fs::remove_file(&log).doing("remove", &log)?;
    Ok(traced)
}

/// The kernel that is measured, with nothing in it that counts.
fn ordinary(workspace: &Workspace, cores: u32, locks: Locks) -> Result<Variant> {
    Ok(Variant {
        profile: Profile::Release,
        config: config(workspace, cores, locks, false)?,
        ending: Ending::Semihosting,
    })
}

/// The figures of a machine from one boot, without what only a kernel that counts can say.
fn once(workspace: &Workspace, cores: u32, locks: Locks) -> Result<Vec<(&'static Row, u64)>> {
    let machine = machine(cores)?;
    let only = BTreeSet::from([ROOT]);
    let root = builder::root_tasks(workspace, BENCH, &only, Profile::Release)?.join(ROOT);
    let system = builder::system(workspace, &ordinary(workspace, cores, locks)?)?;
    let console = boot(
        &machine,
        &system.image(machine.board, &root)?,
        Extras::default(),
    )?;
    rows::on(cores)
        .map(|row| {
            let instructions = figure::instructions(&console, row.name)
                .ok_or_else(|| Failure::new(format!("{} gave no figure", row.name)))?;
            Ok((row, instructions))
        })
        .collect()
}

/// What was measured so far.
#[derive(Default)]
struct Measured {
    figures: Vec<Figure>,
    stretches: Vec<Stretches>,
}

impl Measured {
    /// Adds all figures of a machine.
    fn measure(&mut self, workspace: &Workspace, cores: u32, locks: Locks) -> Result<()> {
        let machine = machine(cores)?;
        let mode = figure::mode(locks);
        let say = |what: &str| eprintln!("bench: {}, {mode}: {what}", machine.describe());
        say("building");
        let only = BTreeSet::from([ROOT]);
        let root = builder::root_tasks(workspace, BENCH, &only, Profile::Release)?.join(ROOT);
        let image = |counting: bool| {
            let variant = Variant {
                profile: Profile::Release,
                config: config(workspace, cores, locks, counting)?,
                ending: Ending::Semihosting,
            };
            builder::system(workspace, &variant)?.image(machine.board, &root)
        };
        let (ordinary, counting) = (image(false)?, image(true)?);
        say("measuring");
        let first = boot(&machine, &ordinary, Extras::default())?;
        say("measuring again");
        let second = boot(&machine, &ordinary, Extras::default())?;
        if let Some((one, other)) = difference(&first, &second) {
            return Err(Failure::new(format!(
                "two runs on {} differ: '{one}' and '{other}'",
                machine.describe()
            )));
        }
        say("counting");
        let counted = boot(&machine, &counting, Extras::default())?;
        self.figures
            .extend(figure::read_consoles(&first, &counted, cores, mode)?);
        self.stretches.push(stretches::read(&counted, cores, mode)?);
        Ok(())
    }
}

/// The first line with figures in which two consoles differ.
pub(crate) fn difference(one: &str, other: &str) -> Option<(String, String)> {
    let (mut ones, mut others) = (figure::lines(one), figure::lines(other));
    loop {
        let pair = (ones.next(), others.next());
        if pair == (None, None) {
            return None;
        }
        if pair.0 != pair.1 {
            let text = |line: Option<&str>| line.unwrap_or("nothing").to_string();
            return Some((text(pair.0), text(pair.1)));
        }
    }
}

/// Boots, and gives the console.
fn boot(machine: &Machine, image: &Path, extras: Extras<'_>) -> Result<String> {
    let limits = Limits {
        timeout: Some(TIMEOUT),
        until: None,
    };
    let boot = Boot::Image(image.to_path_buf());
    let finished = qemu::run_with(machine, &boot, &limits, Console::Quiet, extras)?;
    if finished.end == End::Exit(0) && !finished.panicked {
        return Ok(finished.log);
    }
    eprintln!("{}", finished.log);
    Err(Failure::new(format!("bench: {}", finished.describe())))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_runs_are_compared_by_their_figures() {
        let one = "Tern\nbench call 1 1 1 128\nbench send 2 2 2 128\n";
        assert_eq!(difference(one, &one.replace("Tern", "Other")), None);
        let other = one.replace("send 2", "send 3");
        let (left, right) = difference(one, &other).unwrap();
        assert!(left.contains("send 2") && right.contains("send 3"));
        let short = "bench call 1 1 1 128\n";
        assert_eq!(difference(one, short).unwrap().1, "nothing");
    }
}
