//! `cargo xtask test`: the tests of this machine and those of the target.
//!
//! A test of the target is a root task; so is an example. What each wants is read from its source, everything that is
//! needed is built, and only then do QEMUs run. Tests in C are left out where there is no compiler for them.

mod bad_boot;
mod conformance;
mod foreign;
mod header;
pub(crate) mod host;
pub(crate) mod runner;
mod single_core;

use self::bad_boot::BadBoot;
use self::conformance::{Rows, Shown};
use self::foreign::ToolRun;
use self::header::Header;
use self::runner::{Case, Exit, Expect, Symbols, Tally};
use crate::bench;
use crate::boards::{Machine, Wanted, default_board};
use crate::builder::{self, Profile, System, Systems};
use crate::cli;
use crate::config::KernelConfig;
use crate::failure::{Context, Failure, Result};
use crate::qemu::Boot;
use crate::setup::{self, Need};
use crate::workspace::{BENCH, EXAMPLES, TARGET_TESTS, Workspace};
use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::path::PathBuf;
use std::time::Duration;

/// The root task that is spoilt for the boots that have to fail, when there are several examples.
const GOOD_ROOT: &str = "hello";

/// The key that tests are run with and without, unless told otherwise.
const SHORT_CUTS: &str = "FASTPATH";

/// A case before anything is built for it.
#[derive(Clone)]
struct Plan {
    name: String,
    machine: Machine,
    config: KernelConfig,
    timeout: Duration,
    expect: Expect,
    origin: Origin,
    /// The root task.
    root: String,
    /// A function that the kernel is to be unable to execute.
    spoil: Option<String>,
    /// Run twice, with the same figures.
    repeats: bool,
    bad_boot: Option<BadBoot>,
}

impl Plan {
    /// Whether it is run on a kernel without short cuts too. Not what measures: that is about the cost, and about locks; and
    /// not in real time, which takes long and repeats nothing exactly.
    fn runs_both_ways(&self) -> bool {
        self.origin != Origin::Package(BENCH)
            && self.machine.icount
            && self.config.get(SHORT_CUTS) == Some("true")
    }

    /// The same on a kernel without short cuts.
    fn without_short_cuts(&self) -> Result<Self> {
        let setting = format!("{SHORT_CUTS}=false");
        Ok(Self {
            name: format!("{} {setting}", self.name),
            config: self.config.clone().with(&[setting])?,
            ..self.clone()
        })
    }
}

/// Where a root task comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Origin {
    /// A package of this workspace.
    Package(&'static str),
    /// A C compiler.
    Foreign,
}

pub(crate) fn run(workspace: &Workspace, options: &cli::Test) -> Result<()> {
    let filter = options.filter.as_deref();
    let (mut plans, mut tool_runs) = match options.place {
        cli::Where::Host => (Vec::new(), Vec::new()),
        _ => (
            plan(workspace, &options.build.config, filter)?,
            foreign::tool_runs(filter),
        ),
    };
    let decodes = options.place != cli::Where::Host && single_core::is_selected(filter);
    if options.list {
        let names = plans.iter().map(|plan| plan.name.as_str());
        let others = tool_runs.iter().map(|run| run.name);
        for name in names
            .chain(others)
            .chain(decodes.then_some(single_core::NAME))
        {
            println!("{name}");
        }
        return Ok(());
    }
    let mut tally = Tally::default();
    if !plans.is_empty() || !tool_runs.is_empty() || decodes {
        setup::ensure(workspace, Need::Everything)?;
        tally.add(skip_without_compiler(&mut plans, &mut tool_runs));
    }
    let rows = Rows::read(workspace)?;
    if options.place != cli::Where::Target {
        tally.add(host::run(workspace, filter, options.build.release)?);
    }
    if !plans.is_empty() {
        let profile = Profile::from_release(options.build.release);
        let cases = prepare(workspace, plans, profile)?;
        let jobs = options.jobs.unwrap_or_else(runner::default_jobs);
        println!("\nRunning {} tests on the target", cases.len());
        let (result, shown) = runner::run(cases, jobs)?;
        tally.add(result);
        // A selection of tests says nothing of the rows that others check.
        if filter.is_none() {
            tally.add(conform(workspace, &rows, &shown, options.write_page)?);
        }
    }
    if !tool_runs.is_empty() {
        println!("\nRunning {} runs of this tool", tool_runs.len());
        tally.add(foreign::run(workspace, &tool_runs, &options.build)?);
    }
    if decodes {
        println!("\nDecoding the kernel");
        tally.add(single_core::run(workspace)?);
    }
    if tally == Tally::default() {
        return Err(Failure::new(match filter {
            Some(filter) => format!("no test has '{filter}' in its name"),
            None => "there are no tests".to_string(),
        }));
    }
    println!("\n{tally}");
    if tally.failed > 0 {
        return Err(Failure::status(1));
    }
    Ok(())
}

/// Leaves out what takes a C compiler if there is none and none can be installed.
fn skip_without_compiler(plans: &mut Vec<Plan>, tool_runs: &mut Vec<ToolRun>) -> Tally {
    let foreign = plans.iter().filter(|plan| plan.origin == Origin::Foreign);
    let names: Vec<String> = foreign
        .map(|plan| plan.name.clone())
        .chain(tool_runs.iter().map(|run| run.name.to_string()))
        .collect();
    if names.is_empty() {
        return Tally::default();
    }
    let Err(failure) = setup::ensure_c_compiler() else {
        return Tally::default();
    };
    for name in &names {
        println!("skipped  {name}");
    }
    println!(
        "These tests need a C compiler for AArch64: {}",
        failure.message
    );
    plans.retain(|plan| plan.origin != Origin::Foreign);
    tool_runs.clear();
    Tally {
        skipped: names.len() as u64,
        ..Tally::default()
    }
}

/// Compares what the tests have shown with the rows of the interface, and with the page about it.
fn conform(workspace: &Workspace, rows: &Rows, shown: &Shown, write: bool) -> Result<Tally> {
    let page = conformance::page(workspace);
    let table = rows.table(shown);
    let mut problems = rows.problems(shown);
    if write {
        fs::write(&page, table).doing("write", &page)?;
        println!("\nWrote {}", page.display());
    } else if fs::read_to_string(&page).unwrap_or_default() != table {
        problems.push(format!(
            "{} is not what the tests show; `cargo xtask conformance` writes it",
            page.display()
        ));
    }
    println!("\nconformance: {} rows", rows.count());
    for problem in &problems {
        println!("    FAIL  {problem}");
    }
    Ok(Tally {
        passed: u64::from(problems.is_empty()),
        failed: u64::from(!problems.is_empty()),
        skipped: 0,
    })
}

/// Every case of the target whose name matches.
fn plan(workspace: &Workspace, config: &[String], filter: Option<&str>) -> Result<Vec<Plan>> {
    let base = KernelConfig::read(&workspace.root)?
        .with_user_counters()
        .with(config)?;
    let mut plans = Vec::new();
    for (origin, kind, defaults) in [
        (Origin::Package(TARGET_TESTS), "test", Header::for_tests()),
        (Origin::Package(BENCH), "measure", Header::for_tests()),
        (Origin::Package(EXAMPLES), "example", Header::for_examples()),
        (Origin::Foreign, "foreign", Header::for_tests()),
    ] {
        let sources = match origin {
            Origin::Package(package) => workspace.root_tasks(package)?,
            Origin::Foreign => foreign::sources(workspace)?,
        };
        for (name, source) in sources {
            let text = fs::read_to_string(&source).doing("read", &source)?;
            let in_source = |problem: Failure| {
                Failure::new(format!("{}: {}", source.display(), problem.message))
            };
            let header = defaults.clone().read(&text).map_err(in_source)?;
            let config = base.clone().with(&header.config).map_err(in_source)?;
            for (words, machine) in header.machines().map_err(in_source)? {
                plans.push(Plan {
                    name: format!("{kind} {name} ({words})"),
                    config: config.clone(),
                    timeout: header.timeout,
                    expect: Expect {
                        exit: Exit::Status(header.exit),
                        all: expected(origin, &name, &header, &machine),
                        any: Vec::new(),
                        none: header.forbid.clone(),
                    },
                    machine,
                    origin,
                    root: name.clone(),
                    spoil: header.spoil.clone(),
                    repeats: origin == Origin::Package(BENCH),
                    bad_boot: None,
                });
            }
        }
    }
    if !config.iter().any(|setting| setting.starts_with(SHORT_CUTS)) {
        let both = plans.iter().filter(|plan| plan.runs_both_ways());
        let others: Vec<Plan> = both.map(Plan::without_short_cuts).collect::<Result<_>>()?;
        plans.extend(others);
    }
    check_names(workspace)?;
    plans.extend(plan_bad_boots(workspace, &base)?);
    plans.retain(|plan| filter.is_none_or(|filter| plan.name.contains(filter)));
    Ok(plans)
}

/// What the console has to contain: for the program that measures, every figure; for the one whose cores work at once,
/// that they had nothing to do with each other.
fn expected(origin: Origin, name: &str, header: &Header, machine: &Machine) -> Vec<String> {
    let mut all = header.expect_on(machine);
    if origin == Origin::Package(BENCH) && name == bench::scaling::ROOT {
        all.extend(bench::scaling::nothing_shared(machine.cores));
    } else if origin == Origin::Package(BENCH) {
        for row in bench::rows::on(machine.cores) {
            all.extend(["bench", "count"].map(|kind| format!("{kind} {} ", row.name)));
        }
    }
    all
}

/// Cargo puts the programs of both packages into one directory.
fn check_names(workspace: &Workspace) -> Result<()> {
    let tests = workspace.root_tasks(TARGET_TESTS)?;
    for (name, _) in workspace.root_tasks(EXAMPLES)? {
        if tests.iter().any(|(test, _)| *test == name) {
            return Err(Failure::new(format!(
                "'{name}' is both an example and a test; one of them needs another name"
            )));
        }
    }
    Ok(())
}

fn plan_bad_boots(workspace: &Workspace, config: &KernelConfig) -> Result<Vec<Plan>> {
    let examples = workspace.root_tasks(EXAMPLES)?;
    let good = examples
        .iter()
        .find(|(name, _)| name == GOOD_ROOT)
        .or(examples.first());
    let Some((root, _)) = good else {
        return Ok(Vec::new());
    };
    let machine = default_board().machine(&Wanted {
        cores: Some(2),
        icount: true,
        ..Wanted::default()
    })?;
    let plan = |case: BadBoot| Plan {
        name: case.name.to_string(),
        machine: machine.clone(),
        config: config.clone(),
        timeout: Duration::from_secs(30),
        expect: Expect {
            exit: if case.is_control() {
                Exit::Status(0)
            } else {
                Exit::AnyFailure
            },
            all: Vec::new(),
            any: case.words.iter().map(|word| word.to_string()).collect(),
            none: Vec::new(),
        },
        origin: Origin::Package(EXAMPLES),
        root: root.clone(),
        spoil: None,
        repeats: false,
        bad_boot: Some(case),
    };
    Ok(bad_boot::all().into_iter().map(plan).collect())
}

/// Builds what the plans need: root tasks first, then one kernel for each configuration.
fn prepare(workspace: &Workspace, plans: Vec<Plan>, profile: Profile) -> Result<Vec<Case>> {
    let mut built = BTreeMap::new();
    for origin in [
        Origin::Package(TARGET_TESTS),
        Origin::Package(BENCH),
        Origin::Package(EXAMPLES),
        Origin::Foreign,
    ] {
        let names: BTreeSet<&str> = plans
            .iter()
            .filter(|plan| plan.origin == origin)
            .map(|plan| plan.root.as_str())
            .collect();
        let files = build_roots(workspace, origin, &names, profile)?;
        built.extend(files.into_iter().map(|(name, file)| ((origin, name), file)));
    }
    let mut systems = Systems::new(workspace, profile);
    plans
        .into_iter()
        .map(|plan| {
            let built = built
                .get(&(plan.origin, plan.root.clone()))
                .cloned()
                .ok_or_else(|| Failure::new(format!("{} was not built", plan.root)))?;
            let system = systems.get(&plan.config)?;
            let boot = match (&plan.bad_boot, &plan.spoil) {
                (Some(case), _) => prepare_bad_boot(workspace, case, system, &built)?,
                (None, Some(function)) => {
                    Boot::Image(system.spoilt_image(default_board(), &built, function)?)
                }
                (None, None) => Boot::Image(system.image(default_board(), &built)?),
            };
            Ok(Case {
                symbols: Symbols {
                    kernel: system.kernel.clone(),
                    loader: system.loader.clone(),
                    root: plan.bad_boot.is_none().then_some(built),
                },
                name: plan.name,
                test: plan.root,
                machine: plan.machine,
                boot,
                timeout: plan.timeout,
                expect: plan.expect,
                repeats: plan.repeats,
            })
        })
        .collect()
}

/// Builds root tasks of one origin; the result has the file of each.
fn build_roots(
    workspace: &Workspace,
    origin: Origin,
    names: &BTreeSet<&str>,
    profile: Profile,
) -> Result<Vec<(String, PathBuf)>> {
    let files = |file: &dyn Fn(&str) -> Result<PathBuf>| {
        let named = |name: &&str| Ok((name.to_string(), file(name)?));
        names.iter().map(named).collect()
    };
    match origin {
        Origin::Package(_) if names.is_empty() => Ok(Vec::new()),
        Origin::Package(package) => {
            let directory = builder::root_tasks(workspace, package, names, profile)?;
            files(&|name| Ok(directory.join(name)))
        }
        Origin::Foreign => files(&|name| foreign::compile(workspace, name)),
    }
}

fn prepare_bad_boot(
    workspace: &Workspace,
    case: &BadBoot,
    system: &System,
    root: &std::path::Path,
) -> Result<Boot> {
    let root = builder::stripped(root)?;
    case.prepare(system, &root, &workspace.scratch("boot-tests")?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names(config: &[&str], filter: &str) -> Vec<String> {
        let config: Vec<String> = config.iter().map(|setting| setting.to_string()).collect();
        let plans = plan(&Workspace::find(), &config, Some(filter)).unwrap();
        plans.into_iter().map(|plan| plan.name).collect()
    }

    #[test]
    fn tests_run_both_ways() {
        for one in [
            "test sched_yield_to (1 core, GICv2, icount)",
            "test sched_yield_to (4 cores, GICv2, icount)",
        ] {
            let other = format!("{one} FASTPATH=false");
            assert_eq!(names(&[], one), [one, other.as_str()]);
            for setting in ["FASTPATH=true", "FASTPATH=false"] {
                assert_eq!(names(&[setting], one), [one]);
            }
        }
        for name in [
            "measure bench (4 cores",
            "boot without memory",
            "test sched_yield_to (4 cores, GICv2, real time)",
        ] {
            assert_eq!(names(&[], name).len(), 1);
        }
    }
}
