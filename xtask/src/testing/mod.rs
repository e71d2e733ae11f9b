//! `cargo xtask test`: the tests of this machine and those of the target.
//!
//! A test of the target is a root task; so is an example. What each wants is read from its source, everything that is
//! needed is built, and only then do QEMUs run.

mod bad_boot;
mod conformance;
mod header;
mod host;
pub(crate) mod runner;

use self::bad_boot::BadBoot;
use self::conformance::{Rows, Shown};
use self::header::Header;
use self::runner::{Case, Exit, Expect, Symbols, Tally};
use crate::boards::{Machine, Wanted, default_board};
use crate::builder::{self, Profile, System, Systems};
use crate::cli;
use crate::config::KernelConfig;
use crate::failure::{Context, Failure, Result};
use crate::qemu::Boot;
use crate::setup::{self, Need};
use crate::workspace::{EXAMPLES, TARGET_TESTS, Workspace};
use std::collections::BTreeSet;
use std::fs;
use std::time::Duration;

/// The root task that is spoilt for the boots that have to fail, when there are several examples.
const GOOD_ROOT: &str = "hello";

/// A case before anything is built for it.
struct Plan {
    name: String,
    machine: Machine,
    config: KernelConfig,
    timeout: Duration,
    expect: Expect,
    package: &'static str,
    /// The root task.
    root: String,
    /// A function that the kernel is to be unable to execute.
    spoil: Option<String>,
    bad_boot: Option<BadBoot>,
}

pub(crate) fn run(workspace: &Workspace, options: &cli::Test) -> Result<()> {
    let filter = options.filter.as_deref();
    let plans = match options.place {
        cli::Where::Host => Vec::new(),
        _ => plan(workspace, &options.build.config, filter)?,
    };
    if options.list {
        for plan in &plans {
            println!("{}", plan.name);
        }
        return Ok(());
    }
    if !plans.is_empty() {
        setup::ensure(workspace, Need::Everything)?;
    }
    let rows = Rows::read(workspace)?;
    let mut tally = Tally::default();
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
    if tally == Tally::default() {
        return Err(Failure::new(match filter {
            Some(filter) => format!("no test has '{filter}' in its name"),
            None => "there are no tests".to_string(),
        }));
    }
    println!("\n{} passed, {} failed", tally.passed, tally.failed);
    if tally.failed > 0 {
        return Err(Failure::status(1));
    }
    Ok(())
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
    })
}

/// Every case of the target whose name matches.
fn plan(workspace: &Workspace, config: &[String], filter: Option<&str>) -> Result<Vec<Plan>> {
    let base = KernelConfig::read(&workspace.root)?
        .with_user_counters()
        .with(config)?;
    let mut plans = Vec::new();
    for (package, kind, defaults) in [
        (TARGET_TESTS, "test", Header::for_tests()),
        (EXAMPLES, "example", Header::for_examples()),
    ] {
        for (name, source) in workspace.root_tasks(package)? {
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
                        all: header.expect_on(&machine),
                        any: Vec::new(),
                        none: header.forbid.clone(),
                    },
                    machine,
                    package,
                    root: name.clone(),
                    spoil: header.spoil.clone(),
                    bad_boot: None,
                });
            }
        }
    }
    check_names(workspace)?;
    plans.extend(plan_bad_boots(workspace, &base)?);
    plans.retain(|plan| filter.is_none_or(|filter| plan.name.contains(filter)));
    Ok(plans)
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
        package: EXAMPLES,
        root: root.clone(),
        spoil: None,
        bad_boot: Some(case),
    };
    Ok(bad_boot::all().into_iter().map(plan).collect())
}

/// Builds what the plans need: root tasks first, then one kernel for each configuration.
fn prepare(workspace: &Workspace, plans: Vec<Plan>, profile: Profile) -> Result<Vec<Case>> {
    let mut directories = Vec::new();
    for package in [TARGET_TESTS, EXAMPLES] {
        let names: BTreeSet<&str> = plans
            .iter()
            .filter(|plan| plan.package == package)
            .map(|plan| plan.root.as_str())
            .collect();
        if !names.is_empty() {
            let built = builder::root_tasks(workspace, package, &names, profile)?;
            directories.push((package, built));
        }
    }
    let mut systems = Systems::new(workspace, profile);
    plans
        .into_iter()
        .map(|plan| {
            let built = directories
                .iter()
                .find(|(package, _)| *package == plan.package)
                .map(|(_, directory)| directory.join(&plan.root))
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
            })
        })
        .collect()
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
