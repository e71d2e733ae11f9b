//! `cargo xtask bench --scaling`: what cores that work at once do to each other. The program is
//! `kernel/tests/bench/src/bin/scaling`.
//!
//! Four things are found out, of which the first three repeat exactly:
//!
//! - what a kernel that counts has counted meanwhile ([`counts`]);
//! - which cache lines travel between the cores ([`lines`]), from a trace of the ordinary kernel;
//! - how long locks are held ([`sections`]), from the same trace, and what follows from it for more cores ([`queue`]);
//! - how much two cores do in the time of one ([`rate`]), on a host that is quiet.

mod counts;
mod lines;
mod plot;
mod queue;
mod rate;
mod report;
mod sections;
mod trace;

use self::counts::Count;
use self::queue::Taken;
use self::rate::{Ratio, Watcher};
use self::sections::Cycle;
use self::trace::Traced;
use super::{CPU, boot, config, figure};
use crate::boards::{Machine, Wanted, default_board};
use crate::builder::{self, Ending, Profile, Variant, read};
use crate::cli::Locks;
use crate::elf::Elf;
use crate::failure::{Context, Failure, Result};
use crate::qemu::Extras;
use crate::workspace::{BENCH, Workspace};
use std::collections::BTreeSet;
use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::thread;
use std::time::Duration;

/// The program's name.
pub(crate) const ROOT: &str = "scaling";
/// What each core does, as the program names it.
pub(crate) const LOADS: [&str; 2] = ["call", "mixed"];
/// How many cores do it at once.
pub(crate) const AT_ONCE: [u32; 4] = [1, 2, 4, 8];
/// The machine on which counts and traces are taken.
const CORES: u32 = 8;
/// The ways to lock that are compared.
const WAYS: [Locks; 2] = [Locks::Default, Locks::All];
/// What two cores do in the time of one has to be at least so much, in hundredths.
const LEAST: u64 = 185;
/// How often speeds are measured until the host is quiet, and how long it is left in peace in between.
const ATTEMPTS: usize = 4;
const PAUSE: Duration = Duration::from_secs(20);

/// The lines of the program on a kernel that counts, on a machine with so many cores, if no core ever waited for another
/// one, rang it, or took all locks.
pub(crate) fn nothing_shared(cores: u32) -> Vec<String> {
    let at_once = AT_ONCE.into_iter().filter(|&count| count <= cores);
    LOADS
        .iter()
        .flat_map(|load| {
            let at_once = at_once.clone();
            at_once.map(move |count| format!("count scale_{load}_{count} 0 0 0 "))
        })
        .collect()
}

/// The lines that a load touches on so many cores.
#[derive(Debug)]
struct Lines {
    load: &'static str,
    at_once: u32,
    /// How many, and how many of them are written.
    touched: usize,
    written: usize,
    /// Those that travel, in words.
    shared: Vec<String>,
}

/// What one core does, and what that makes of more cores.
#[derive(Debug)]
struct Curve {
    load: &'static str,
    mode: &'static str,
    cycle: Cycle,
    /// Operations in a million instructions of time, on 1, 2, 3, ... cores.
    throughput: Vec<u64>,
}

/// What repeats exactly.
#[derive(Debug)]
pub(crate) struct Scaling {
    counts: Vec<Count>,
    lines: Vec<Lines>,
    curves: Vec<Curve>,
}

/// The command.
pub(crate) fn run(workspace: &Workspace) -> Result<()> {
    let scaling = measure(workspace)?;
    print!("\n{}", scaling.terminal());
    let is_fast = match speeds_of_all(workspace)? {
        Ok(rates) => {
            print!("\n{}", rates.terminal());
            rates.0.iter().all(|(mode, ratio)| is_enough(mode, ratio))
        }
        Err(busy) => {
            println!("\n{busy}");
            false
        }
    };
    if scaling.is_clean() && is_fast {
        Ok(())
    } else {
        Err(Failure::status(1))
    }
}

/// What two cores do in the time of one, for each way to lock.
pub(crate) struct Rates(Vec<(&'static str, Ratio)>);

/// The same, measured; or why that cannot be said now.
pub(crate) fn speeds_of_all(workspace: &Workspace) -> Result<std::result::Result<Rates, String>> {
    let mut rates = Vec::new();
    for locks in WAYS {
        match speeds(workspace, locks)? {
            Ok(ratio) => rates.push((figure::mode(locks), ratio)),
            Err(busy) => return Ok(Err(busy)),
        }
    }
    Ok(Ok(Rates(rates)))
}

/// Only the default way to lock has to scale.
fn is_enough(mode: &str, ratio: &Ratio) -> bool {
    mode != figure::mode(Locks::Default) || ratio.hundredths() >= LEAST
}

/// Everything that repeats exactly.
pub(crate) fn measure(workspace: &Workspace) -> Result<Scaling> {
    let mut scaling = Scaling {
        counts: Vec::new(),
        lines: Vec::new(),
        curves: Vec::new(),
    };
    for locks in WAYS {
        let mode = figure::mode(locks);
        let machine = machine(CORES, true)?;
        say(&machine, mode, "counting");
        let (image, _) = build(workspace, &machine, locks, true, false)?;
        let console = boot(&machine, &image, Extras::default())?;
        scaling.counts.extend(counts::read(&console, CORES, mode)?);
        say(&machine, mode, "tracing");
        let (traces, kernel) = traced(workspace, &machine, locks)?;
        let kernel_file = read(&kernel)?;
        let kernel = Elf::parse(&kernel_file)?;
        if locks == Locks::Default {
            scaling.lines = traces
                .iter()
                .map(|(traced, _)| lines_of(traced, &kernel))
                .collect();
        }
        for (traced, operations) in traces.iter().filter(|(traced, _)| traced.at_once == 1) {
            scaling
                .curves
                .push(curve(traced, *operations, locks, &kernel)?);
        }
    }
    Ok(scaling)
}

fn say(machine: &Machine, mode: &str, what: &str) {
    eprintln!("bench: scaling, {}, {mode}: {what}", machine.describe());
}

fn machine(cores: u32, icount: bool) -> Result<Machine> {
    default_board().machine(&Wanted {
        cores: Some(cores),
        cpu: Some(CPU.to_string()),
        icount,
        ..Wanted::default()
    })
}

/// An image with the program, and the kernel in it.
fn build(
    workspace: &Workspace,
    machine: &Machine,
    locks: Locks,
    counting: bool,
    tracing: bool,
) -> Result<(PathBuf, PathBuf)> {
    let only = BTreeSet::from([ROOT]);
    let variables: &[(&str, &str)] = if tracing {
        &[("TERN_BENCH_TRACE", "1")]
    } else {
        &[]
    };
    let built =
        builder::root_tasks_with(workspace, BENCH, &only, Profile::Release, variables)?.join(ROOT);
    let config = config(workspace, machine.cores, locks, counting)?
        .with(&["EXPORT_VCNT_USER=true".to_string()])?;
    let variant = Variant {
        profile: Profile::Release,
        config,
        ending: Ending::Semihosting,
    };
    let system = builder::system(workspace, &variant)?;
    Ok((system.image(machine.board, &built)?, system.kernel))
}

/// What the kernel touches while the program runs, each with the number of operations of a core; and the kernel.
fn traced(
    workspace: &Workspace,
    machine: &Machine,
    locks: Locks,
) -> Result<(Vec<(Traced, u64)>, PathBuf)> {
    let plugin = builder::memtrace(workspace)?;
    let (image, kernel) = build(workspace, machine, locks, false, true)?;
    let root = builder::root_tasks_directory(workspace, BENCH, Profile::Release).join(ROOT);
    let log = workspace.scratch("memtrace")?.join("accesses.log");
    let extras = Extras {
        arguments: plugin_arguments(&plugin, &log, &root)?,
        lines: None,
    };
    let console = boot(machine, &image, extras)?;
    let file = fs::File::open(&log).doing("read", &log)?;
    let lines = BufReader::new(file)
        .lines()
        .map_while(std::result::Result::ok);
    let traces = trace::read(lines, machine.cores)?;
    // Some hundred megabytes.
    fs::remove_file(&log).doing("remove", &log)?;
    let traces = traces
        .into_iter()
        .map(|traced| {
            let all = operations(&console, traced.load, traced.at_once)?;
            let each = all / u64::from(traced.at_once);
            Ok((traced, each))
        })
        .collect::<Result<Vec<_>>>()?;
    Ok((traces, kernel))
}

/// The number in the line `traced LOAD CORES OPERATIONS`.
fn operations(console: &str, load: &str, at_once: u32) -> Result<u64> {
    let begin = format!("traced {load} {at_once} ");
    console
        .lines()
        .find_map(|line| line.strip_prefix(&begin)?.trim().parse().ok())
        .ok_or_else(|| Failure::new(format!("no line '{begin}N'")))
}

/// What tells QEMU to load the plugin, which learns where the program asks it to begin and to end.
fn plugin_arguments(plugin: &Path, log: &Path, root: &Path) -> Result<Vec<String>> {
    let bytes = read(root)?;
    let symbols = Elf::parse(&bytes)?.symbols();
    let address = |name: &str| {
        symbols
            .iter()
            .find(|symbol| symbol.name == name)
            .map(|symbol| symbol.address)
            .ok_or_else(|| Failure::new(format!("{} has no '{name}'", root.display())))
    };
    // A comma in a file name is doubled for QEMU.
    let escaped = |path: &Path| path.display().to_string().replace(',', ",,");
    Ok(vec![
        "-plugin".to_string(),
        format!(
            "file={},out={},on={:#x},off={:#x}",
            escaped(plugin),
            escaped(log),
            address("bench_trace_on")?,
            address("bench_trace_off")?,
        ),
    ])
}

fn lines_of(traced: &Traced, kernel: &Elf<'_>) -> Lines {
    let (touched, written, shared) = lines::shared(traced);
    let symbols = kernel.symbols();
    Lines {
        load: traced.load,
        at_once: traced.at_once,
        touched,
        written,
        shared: shared
            .iter()
            .map(|line| report::line(line, &symbols))
            .collect(),
    }
}

fn curve(traced: &Traced, operations: u64, locks: Locks, kernel: &Elf<'_>) -> Result<Curve> {
    let state = kernel
        .symbols()
        .into_iter()
        .find(|symbol| {
            format!("{:#}", rustc_demangle::demangle(symbol.name)) == "tern_kernel::system::SYSTEM"
        })
        .ok_or_else(|| Failure::new("the kernel has no symbol for its state"))?
        .address;
    let cycle = sections::cycle(&traced.cores[0], state, CORES, operations)?;
    let taken = match locks {
        Locks::Default => Taken::Own,
        Locks::All => Taken::All,
    };
    Ok(Curve {
        load: traced.load,
        mode: figure::mode(locks),
        throughput: queue::throughput(&cycle, taken),
        cycle,
    })
}

/// What two emulated cores do in the time of one, in real time; or why that cannot be said now.
fn speeds(workspace: &Workspace, locks: Locks) -> Result<std::result::Result<Ratio, String>> {
    let machine = machine(2, false)?;
    let (image, _) = build(workspace, &machine, locks, false, false)?;
    let mut watcher = Watcher::default();
    let mut attempt = 1;
    loop {
        say(&machine, figure::mode(locks), "measuring in real time");
        let lines = |process: u32, line: &str| watcher.line(process, line);
        let extras = Extras {
            arguments: Vec::new(),
            lines: Some(Box::new(lines)),
        };
        boot(&machine, &image, extras)?;
        let ratio = rate::ratio(&watcher.rates);
        if ratio.is_ok() || attempt == ATTEMPTS {
            return Ok(ratio);
        }
        attempt += 1;
        eprintln!(
            "bench: the host is busy; once more in {} s",
            PAUSE.as_secs()
        );
        thread::sleep(PAUSE);
    }
}

impl Scaling {
    /// Whether, where an entry takes only the locks that it needs, the cores have nothing to do with each other.
    pub(crate) fn is_clean(&self) -> bool {
        let default = figure::mode(Locks::Default);
        let mut counts = self.counts.iter().filter(|count| count.mode == default);
        counts.all(Count::is_clean) && self.lines.iter().all(|lines| lines.shared.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operations_are_read() {
        let console = "begin call 2\ntraced call 2 32\n";
        assert_eq!(operations(console, "call", 2).unwrap(), 32);
        assert!(operations(console, "call", 4).is_err());
    }

    #[test]
    fn only_the_default_has_to_scale() {
        let ratio = |many| Ratio { few: 100, many };
        assert!(is_enough("default", &ratio(185)));
        assert!(!is_enough("default", &ratio(184)));
        assert!(is_enough("all-locks", &ratio(100)));
    }

    #[test]
    fn clean_means_no_counts_and_no_lines() {
        let count = |mode, lock_waits| Count {
            load: "call",
            at_once: 2,
            mode,
            sgi: 0,
            lock_waits,
            all_entries: 0,
        };
        let lines = |shared: &[&str]| Lines {
            load: "call",
            at_once: 2,
            touched: 9,
            written: 3,
            shared: shared.iter().map(|line| line.to_string()).collect(),
        };
        let mut scaling = Scaling {
            counts: vec![count("default", 0), count("all-locks", 7)],
            lines: vec![lines(&[])],
            curves: Vec::new(),
        };
        assert!(scaling.is_clean());
        scaling.lines.push(lines(&["0x40000000"]));
        assert!(!scaling.is_clean());
        scaling.lines.pop();
        scaling.counts.push(count("default", 1));
        assert!(!scaling.is_clean());
    }
}
