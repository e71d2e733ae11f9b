//! `cargo xtask matrix`: one example on every kind of machine, many times, with a memory.
//!
//! What has passed is kept in a file under target/ together with a fingerprint of what was booted, one line a run, so an
//! interrupted matrix goes on where it was. A different build makes the old results worthless and starts anew.

use crate::boards::{Machine, Wanted, default_board};
use crate::builder::{self, Ending, Profile, Variant, read};
use crate::cli::{self, DEFAULT_EXAMPLE};
use crate::commands::DEFAULT_TIMEOUT;
use crate::config::{KernelConfig, fingerprint};
use crate::failure::{Context, Failure, Result};
use crate::qemu::{self, Boot, Console, Limits};
use crate::setup::{self, Need};
use crate::testing::runner::{default_jobs, in_parallel};
use crate::workspace::{EXAMPLES, Workspace};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::{self, File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

const CORES: [u32; 4] = [1, 2, 4, 8];
const GICS: [u32; 2] = [2, 3];
const CPUS: [&str; 3] = ["cortex-a53", "cortex-a72", "max"];
const PROFILES: [Profile; 2] = [Profile::Dev, Profile::Release];
const ICOUNT: [bool; 2] = [false, true];

/// Runs of every combination.
const EACH: u32 = 3;
/// Runs of the chosen ones.
const CHOSEN: u32 = 20;

/// One kind of machine, with what it boots.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Combination {
    cores: u32,
    gic: u32,
    cpu: &'static str,
    profile: Profile,
    icount: bool,
}

impl Combination {
    /// Names it in the state file and to a person.
    fn name(self) -> String {
        format!(
            "{}-cores,gicv{},{},{},{}",
            self.cores,
            self.gic,
            self.cpu,
            self.profile.directory(),
            if self.icount { "icount" } else { "real-time" }
        )
    }

    fn machine(self) -> Result<Machine> {
        default_board().machine(&Wanted {
            cores: Some(self.cores),
            gic: Some(self.gic),
            cpu: Some(self.cpu.to_string()),
            memory: None,
            icount: self.icount,
        })
    }

    /// Is this one of those that are run more often? Real time, because only there two runs differ; each number of
    /// cores, each CPU, each interrupt controller and each profile at least once; and the default machine.
    fn is_chosen(self) -> bool {
        use Profile::{Dev, Release};
        const LIST: [(u32, u32, &str, Profile); 8] = [
            (1, 2, "cortex-a53", Release),
            (2, 2, "cortex-a72", Dev),
            (2, 3, "max", Release),
            (4, 2, "cortex-a72", Dev),
            (4, 3, "cortex-a53", Dev),
            (4, 3, "max", Release),
            (8, 2, "cortex-a72", Release),
            (8, 3, "max", Dev),
        ];
        !self.icount && LIST.contains(&(self.cores, self.gic, self.cpu, self.profile))
    }
}

/// All 96.
fn combinations() -> Vec<Combination> {
    let mut all = Vec::new();
    for profile in PROFILES {
        for icount in ICOUNT {
            for cores in CORES {
                for gic in GICS {
                    for cpu in CPUS {
                        all.push(Combination {
                            cores,
                            gic,
                            cpu,
                            profile,
                            icount,
                        });
                    }
                }
            }
        }
    }
    all
}

/// Every combination with the number of its runs.
fn full() -> Vec<(Combination, u32)> {
    combinations()
        .into_iter()
        .map(|one| (one, if one.is_chosen() { CHOSEN } else { EACH }))
        .collect()
}

/// Once each: all numbers of cores, interrupt controllers and CPUs, with profile and counting dealt out so that every
/// pair of choices occurs.
fn smoke() -> Vec<(Combination, u32)> {
    let position = |list: &[u32], value| list.iter().position(|&v| v == value).unwrap_or(0);
    combinations()
        .into_iter()
        .filter(|one| {
            let cores = position(&CORES, one.cores);
            let gic = position(&GICS, one.gic);
            let cpu = CPUS.iter().position(|&cpu| cpu == one.cpu).unwrap_or(0);
            let release = one.profile == Profile::Release;
            release == ((cores + gic + cpu) % 2 == 1)
                && one.icount == ((cores / 2 + gic + cpu) % 2 == 1)
        })
        .map(|one| (one, 1))
        .collect()
}

pub(crate) fn run(workspace: &Workspace, options: &cli::Matrix) -> Result<()> {
    let example = options.example.as_deref().unwrap_or(DEFAULT_EXAMPLE);
    workspace.check_example(example)?;
    setup::ensure(workspace, Need::Qemu)?;
    let images = build_images(workspace, example)?;
    let plan = if options.smoke { smoke() } else { full() };
    let directory = workspace.scratch("matrix")?;
    let kind = if options.smoke { "-smoke" } else { "" };
    let mut state = State::open(
        &directory.join(format!("{example}{kind}.state")),
        &images.identity,
        options.restart,
    )?;
    let wanted: u32 = plan.iter().map(|(_, times)| times).sum();
    let todo = state.remaining(&plan);
    println!(
        "{example} on {} machines, {wanted} runs; {} have passed already",
        plan.len(),
        wanted as usize - todo.len()
    );
    let limits = Limits {
        timeout: Some(options.timeout.unwrap_or(DEFAULT_TIMEOUT)),
        until: None,
    };
    let failed = Runs {
        images: &images,
        limits,
        logs: directory,
        todo,
    }
    .perform(&mut state, options.jobs.unwrap_or_else(default_jobs))?;
    if failed.is_empty() {
        println!("\nmatrix passed: {wanted} of {wanted} runs");
        return Ok(());
    }
    println!("\nThe console of each failed run is kept:");
    for failure in &failed {
        println!("    {failure}");
    }
    println!("matrix FAILED: {} runs", failed.len());
    Err(Failure::status(1))
}

/// What is booted, for each profile.
struct Images {
    paths: BTreeMap<Profile, PathBuf>,
    identity: String,
}

fn build_images(workspace: &Workspace, example: &str) -> Result<Images> {
    let config = KernelConfig::read(&workspace.root)?.with_user_counters();
    let mut images = Images {
        paths: BTreeMap::new(),
        identity: String::new(),
    };
    for profile in PROFILES {
        let only = BTreeSet::from([example]);
        let root = builder::root_tasks(workspace, EXAMPLES, &only, profile)?.join(example);
        let variant = Variant {
            profile,
            config: config.clone(),
            ending: Ending::Semihosting,
        };
        let system = builder::system(workspace, &variant)?;
        // Under a name of its own: a matrix takes long, and other commands write images meanwhile.
        let name = format!("matrix-{}-{example}.img", profile.directory());
        let path = system.directory.join(name);
        system.write_image(&root, &path)?;
        images.identity += &format!("{:016x}", fingerprint(&read(&path)?));
        images.paths.insert(profile, path);
    }
    Ok(images)
}

/// The runs that are left.
struct Runs<'a> {
    images: &'a Images,
    limits: Limits,
    logs: PathBuf,
    todo: Vec<Combination>,
}

impl Runs<'_> {
    /// Performs them; the result describes those that failed.
    fn perform(&self, state: &mut State, jobs: usize) -> Result<Vec<String>> {
        let total = self.todo.len();
        let started = Instant::now();
        let queue = Mutex::new(self.todo.iter());
        let shared = Mutex::new((state, Vec::new(), 0));
        let work = || -> Result<()> {
            loop {
                let next = queue.lock().unwrap_or_else(|e| e.into_inner()).next();
                let Some(&one) = next else {
                    return Ok(());
                };
                let boot = Boot::Image(self.images.paths[&one.profile].clone());
                let finished = qemu::run(&one.machine()?, &boot, &self.limits, Console::Quiet)?;
                let passed = finished.status() == 0;
                let mut shared = shared.lock().unwrap_or_else(|e| e.into_inner());
                let (state, failed, done) = &mut *shared;
                *done += 1;
                let left = started.elapsed().as_secs_f64() / f64::from(*done)
                    * (total as f64 - f64::from(*done));
                println!(
                    "[{done}/{total}, {:.0} min left] {}  {} ({:.1} s)",
                    left / 60.0,
                    if passed { "ok  " } else { "FAIL" },
                    one.name(),
                    finished.elapsed.as_secs_f64()
                );
                if passed {
                    state.record(one)?;
                } else {
                    let log = self.logs.join(format!("{}-{done}.log", one.name()));
                    fs::write(&log, &finished.log).doing("write", &log)?;
                    let failure = format!(
                        "{}: {} ({})",
                        one.name(),
                        finished.describe(),
                        log.display()
                    );
                    println!("    {failure}");
                    failed.push(failure);
                }
            }
        };
        in_parallel(jobs.clamp(1, total.max(1)), &work)?;
        let (_, failed, _) = shared.into_inner().unwrap_or_else(|e| e.into_inner());
        Ok(failed)
    }
}

/// The runs that have passed, in memory and in a file.
struct State {
    passed: BTreeMap<String, u32>,
    file: File,
    path: PathBuf,
}

impl State {
    /// Reads the file if it is about the same images, else begins a new one.
    fn open(path: &Path, identity: &str, restart: bool) -> Result<Self> {
        let old = fs::read_to_string(path).unwrap_or_default();
        let passed = if restart { None } else { parse(&old, identity) };
        if passed.is_none() {
            if !old.is_empty() && !restart {
                println!("What is booted has changed since the last time; starting anew.");
            }
            fs::write(path, format!("{identity}\n")).doing("write", path)?;
        }
        let file = OpenOptions::new()
            .append(true)
            .open(path)
            .doing("open", path)?;
        Ok(Self {
            passed: passed.unwrap_or_default(),
            file,
            path: path.to_path_buf(),
        })
    }

    /// What is left of a plan, round by round, so that a failure that is common shows early.
    fn remaining(&self, plan: &[(Combination, u32)]) -> Vec<Combination> {
        let most = plan.iter().map(|(_, times)| *times).max().unwrap_or(0);
        let mut left = Vec::new();
        for round in 0..most {
            for &(one, times) in plan {
                let passed = self.passed.get(&one.name()).copied().unwrap_or(0);
                if round >= passed && round < times {
                    left.push(one);
                }
            }
        }
        left
    }

    /// Remembers a run that passed. One line is one write, so an interruption loses at most the run in hand.
    fn record(&mut self, one: Combination) -> Result<()> {
        *self.passed.entry(one.name()).or_default() += 1;
        self.file
            .write_all(format!("{}\n", one.name()).as_bytes())
            .doing("write", &self.path)
    }
}

/// The counts of a state file, if it is about these images.
fn parse(text: &str, identity: &str) -> Option<BTreeMap<String, u32>> {
    let mut lines = text.lines();
    if lines.next()? != identity {
        return None;
    }
    let mut passed = BTreeMap::new();
    for line in lines {
        *passed.entry(line.to_string()).or_default() += 1;
    }
    Some(passed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_full_matrix_is_what_it_says() {
        let plan = full();
        assert_eq!(plan.len(), 96);
        let names: BTreeSet<String> = plan.iter().map(|(one, _)| one.name()).collect();
        assert_eq!(names.len(), 96);
        let chosen: Vec<_> = plan.iter().filter(|(_, times)| *times == CHOSEN).collect();
        assert_eq!(chosen.len(), 8);
        assert!(plan.iter().all(|(_, times)| *times >= EACH));
        for (one, _) in &plan {
            one.machine().unwrap();
        }
    }

    #[test]
    fn the_smoke_selection_covers_every_pair() {
        let smoke: Vec<Combination> = smoke().into_iter().map(|(one, _)| one).collect();
        assert_eq!(smoke.len(), 24);
        let choices = |one: Combination| {
            [
                format!("{} cores", one.cores),
                format!("gic {}", one.gic),
                one.cpu.to_string(),
                one.profile.directory().to_string(),
                format!("icount {}", one.icount),
            ]
        };
        let pairs = |list: &[Combination]| {
            let mut pairs = BTreeSet::new();
            for one in list {
                let choices = choices(*one);
                for (index, first) in choices.iter().enumerate() {
                    for second in &choices[index + 1..] {
                        pairs.insert((first.clone(), second.clone()));
                    }
                }
            }
            pairs
        };
        assert_eq!(pairs(&smoke), pairs(&combinations()));
    }

    #[test]
    fn it_goes_on_where_it_was() {
        let directory = std::env::temp_dir().join(format!("tern-matrix-{}", std::process::id()));
        fs::create_dir_all(&directory).unwrap();
        let path = directory.join("state");
        let plan = full();
        let total = 88 * EACH as usize + 8 * CHOSEN as usize;
        let mut state = State::open(&path, "build", false).unwrap();
        assert_eq!(state.remaining(&plan).len(), total);
        state.record(plan[0].0).unwrap();
        state.record(plan[5].0).unwrap();
        drop(state);
        let state = State::open(&path, "build", false).unwrap();
        assert_eq!(state.remaining(&plan).len(), total - 2);
        drop(state);
        let changed = State::open(&path, "another build", false).unwrap();
        assert_eq!(changed.remaining(&plan).len(), total);
        drop(changed);
        fs::remove_dir_all(&directory).unwrap();
    }

    #[test]
    fn restarting_forgets() {
        assert_eq!(parse("id\na\na\nb\n", "id").unwrap()["a"], 2);
        assert!(parse("id\na\n", "other").is_none());
        assert!(parse("", "id").is_none());
    }
}
