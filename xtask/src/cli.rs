//! The command line, turned into one value. Nothing is looked up here: names of examples, boards and keys are checked by
//! those who know them.

use crate::boards::Wanted;
use crate::failure::{Failure, Result, unknown};
use lexopt::Arg::{Long, Short, Value};
use lexopt::{Parser, ValueExt};
use std::ffi::OsString;
use std::path::PathBuf;
use std::time::Duration;

/// The example that is run when none is named: the tour of what Tern does.
pub(crate) const DEFAULT_EXAMPLE: &str = "migrate";

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Run(Run),
    Build(Build),
    Image(Image),
    Sdk(Sdk),
    Test(Test),
    Bench(Bench),
    Matrix(Matrix),
    Hostile(Hostile),
    Sim(Sim),
    Coverage(Coverage),
    Mutants(Mutants),
    Fuzz(Fuzz),
    Miri(Miri),
    Setup,
    Help(Topic),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Topic {
    Overview,
    Run,
    Build,
    Image,
    Sdk,
    Test,
    Conformance,
    Bench,
    Matrix,
    Sim,
    Hostile,
    Coverage,
    Mutants,
    Fuzz,
    Miri,
    Setup,
}

const TOPICS: [(&str, Topic); 15] = [
    ("run", Topic::Run),
    ("build", Topic::Build),
    ("image", Topic::Image),
    ("sdk", Topic::Sdk),
    ("test", Topic::Test),
    ("conformance", Topic::Conformance),
    ("bench", Topic::Bench),
    ("matrix", Topic::Matrix),
    ("sim", Topic::Sim),
    ("hostile", Topic::Hostile),
    ("coverage", Topic::Coverage),
    ("mutants", Topic::Mutants),
    ("fuzz", Topic::Fuzz),
    ("miri", Topic::Miri),
    ("setup", Topic::Setup),
];

/// A root task: ours by name, or any file.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Root {
    Example(String),
    File(PathBuf),
}

/// How the system is built.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Build {
    pub(crate) release: bool,
    pub(crate) config: Vec<String>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Run {
    pub(crate) root: Root,
    pub(crate) board: Option<String>,
    pub(crate) machine: Wanted,
    pub(crate) build: Build,
    pub(crate) gdb: bool,
    pub(crate) until: Option<String>,
    /// `Some(None)`: expressly without.
    pub(crate) timeout: Option<Option<Duration>>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Image {
    pub(crate) root: Root,
    pub(crate) board: Option<String>,
    pub(crate) build: Build,
    pub(crate) output: Option<PathBuf>,
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Sdk {
    pub(crate) directory: PathBuf,
    pub(crate) board: Option<String>,
    pub(crate) machine: Wanted,
    pub(crate) build: Build,
}

/// Which tests.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Where {
    Host,
    Target,
    #[default]
    All,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Test {
    pub(crate) place: Where,
    pub(crate) filter: Option<String>,
    pub(crate) build: Build,
    pub(crate) jobs: Option<usize>,
    pub(crate) list: bool,
    /// Write the page about conformance instead of comparing it.
    pub(crate) write_page: bool,
}

/// A long test of the target: which, from which seed, for how long, and where.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Hostile {
    pub(crate) soak: bool,
    pub(crate) seed: Option<u64>,
    pub(crate) calls: Option<u64>,
    pub(crate) seconds: Option<u64>,
    pub(crate) real_time: bool,
    pub(crate) machine: Wanted,
    pub(crate) build: Build,
    pub(crate) timeout: Option<Option<Duration>>,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Sim {
    /// For the simulation itself.
    pub(crate) arguments: Vec<String>,
    /// How its kernel is configured, beside what it always is.
    pub(crate) config: Vec<String>,
    /// Work through the long series until so many steps are done.
    pub(crate) total: Option<u64>,
    pub(crate) restart: bool,
    /// Go on although the sources have changed.
    pub(crate) resume: bool,
}

/// What is run, and what is shown of it.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Coverage {
    /// Only files with this in their paths.
    pub(crate) filter: Option<String>,
    pub(crate) seconds: Option<u64>,
    pub(crate) seeds: Option<u64>,
    pub(crate) tests: bool,
    pub(crate) lines: bool,
    pub(crate) html: Option<PathBuf>,
    pub(crate) lcov: Option<PathBuf>,
    /// In percent; less is a failure.
    pub(crate) least: Option<u64>,
}

/// Which defects, and how long each is looked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Mutants {
    pub(crate) name: Option<String>,
    pub(crate) some: Option<usize>,
    pub(crate) seconds: Option<u64>,
}

/// Which locks an entry of the kernel takes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Locks {
    /// Those of the cores whose objects it touches.
    #[default]
    Default,
    /// All, as under one big lock.
    All,
}

/// What is shown of the figures, and where else they go.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Bench {
    pub(crate) filter: Option<String>,
    pub(crate) cores: Option<u32>,
    pub(crate) locks: Locks,
    pub(crate) json: Option<PathBuf>,
    pub(crate) compare: Option<PathBuf>,
    pub(crate) check: bool,
    pub(crate) doc: bool,
    pub(crate) profile: bool,
    pub(crate) budget: bool,
    pub(crate) scaling: bool,
}

/// Which targets, and what to do with them.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Fuzz {
    pub(crate) target: Option<String>,
    pub(crate) seconds: Option<u64>,
    pub(crate) list: bool,
    pub(crate) minimise: bool,
    pub(crate) repeat: Option<PathBuf>,
}

/// What Miri interprets.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Miri {
    pub(crate) filter: Option<String>,
    pub(crate) quick: bool,
}

#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Matrix {
    pub(crate) example: Option<String>,
    pub(crate) smoke: bool,
    pub(crate) restart: bool,
    pub(crate) jobs: Option<usize>,
    pub(crate) timeout: Option<Duration>,
}

/// Reads the arguments behind the program's name.
pub(crate) fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Command> {
    let mut parser = Parser::from_args(arguments);
    let Some(first) = parser.next()? else {
        return Ok(Command::Help(Topic::Overview));
    };
    let name = match first {
        Short('h') | Long("help") => return Ok(Command::Help(Topic::Overview)),
        Value(name) => name.string()?,
        other => return Err(other.unexpected().into()),
    };
    if name == "help" {
        return Ok(Command::Help(help_topic(&mut parser)?));
    }
    let topic = topic(&name)?;
    let options = Options::read(&mut parser, topic)?;
    options.command(topic)
}

fn topic(name: &str) -> Result<Topic> {
    TOPICS
        .iter()
        .find(|(known, _)| *known == name)
        .map(|(_, topic)| *topic)
        .ok_or_else(|| {
            let names = TOPICS.iter().map(|(name, _)| *name).chain(["help"]);
            unknown("command", name, names)
        })
}

fn help_topic(parser: &mut Parser) -> Result<Topic> {
    match parser.next()? {
        None => Ok(Topic::Overview),
        Some(Value(name)) => topic(&name.string()?),
        Some(other) => Err(other.unexpected().into()),
    }
}

/// Every option of every command; `allowed` says which command has which.
#[derive(Default)]
struct Options {
    help: bool,
    words: Vec<String>,
    elf: Option<PathBuf>,
    board: Option<String>,
    machine: Wanted,
    build: Build,
    gdb: bool,
    until: Option<String>,
    timeout: Option<Option<Duration>>,
    output: Option<PathBuf>,
    jobs: Option<usize>,
    list: bool,
    smoke: bool,
    restart: bool,
    sim: Sim,
    coverage: Coverage,
    quick: bool,
    some: Option<usize>,
    seconds: Option<u64>,
    soak: bool,
    seed: Option<u64>,
    calls: Option<u64>,
    real_time: bool,
    json: Option<PathBuf>,
    locks: Locks,
    compare: Option<PathBuf>,
    check: bool,
    doc: bool,
    profile: bool,
    budget: bool,
    scaling: bool,
    minimise: bool,
    repeat: Option<PathBuf>,
}

fn allowed(topic: Topic) -> (&'static [&'static str], usize) {
    match topic {
        Topic::Run => (
            &[
                "elf", "board", "cores", "gic", "cpu", "memory", "release", "config", "icount",
                "gdb", "timeout", "until",
            ],
            1,
        ),
        Topic::Build => (&["release", "config"], 0),
        Topic::Image => (&["elf", "board", "release", "config", "output"], 1),
        Topic::Sdk => (
            &[
                "board", "cores", "gic", "cpu", "memory", "release", "config",
            ],
            1,
        ),
        Topic::Test => (&["release", "config", "jobs", "list"], 2),
        Topic::Conformance => (&["jobs"], 0),
        Topic::Bench => (
            &[
                "cores", "locks", "json", "compare", "check", "doc", "profile", "budget", "scaling",
            ],
            1,
        ),
        Topic::Matrix => (&["smoke", "restart", "jobs", "timeout"], 1),
        Topic::Sim => (
            &[
                "seed", "seeds", "cores", "steps", "seconds", "trace", "no-model", "config",
                "total", "restart", "resume",
            ],
            0,
        ),
        Topic::Hostile => (
            &[
                "soak",
                "seed",
                "calls",
                "seconds",
                "cores",
                "gic",
                "cpu",
                "memory",
                "real-time",
                "release",
                "config",
                "timeout",
            ],
            0,
        ),
        Topic::Coverage => (
            &[
                "seconds", "seeds", "tests", "lines", "html", "lcov", "least",
            ],
            1,
        ),
        Topic::Mutants => (&["some", "seconds"], 1),
        Topic::Fuzz => (&["seconds", "list", "minimise", "repeat"], 1),
        Topic::Miri => (&["quick"], 1),
        Topic::Setup | Topic::Overview => (&[], 0),
    }
}

impl Sim {
    fn set(&mut self, name: &str, parser: &mut Parser) -> Result<()> {
        match name {
            "total" => self.total = Some(large_number(name, parser)?),
            "restart" => self.restart = true,
            "resume" => self.resume = true,
            "config" => self.config.push(parser.value()?.string()?),
            _ => {
                self.arguments.push(format!("--{name}"));
                if !["trace", "no-model"].contains(&name) {
                    let value = number::<u64>(name, parser)?;
                    self.arguments.push(value.to_string());
                }
            }
        }
        Ok(())
    }

    /// The long series is always the same, so that runs can be added up.
    fn check(self) -> Result<Self> {
        match self.total {
            Some(_) if !self.arguments.is_empty() => Err(Failure::usage(format!(
                "--total runs a series of its own, without {}",
                self.arguments[0]
            ))),
            Some(_) if !self.config.is_empty() => Err(Failure::usage(
                "--total runs a series of its own, without --config",
            )),
            None if self.restart || self.resume => {
                Err(Failure::usage("--restart and --resume go with --total"))
            }
            _ => Ok(self),
        }
    }
}

impl Coverage {
    fn set(&mut self, name: &str, parser: &mut Parser) -> Result<()> {
        match name {
            "seconds" => self.seconds = Some(number(name, parser)?),
            "seeds" => self.seeds = Some(number(name, parser)?),
            "tests" => self.tests = true,
            "lines" => self.lines = true,
            "html" => self.html = Some(parser.value()?.into()),
            "lcov" => self.lcov = Some(parser.value()?.into()),
            "least" => self.least = Some(number(name, parser)?),
            _ => unreachable!("every allowed option is set here"),
        }
        Ok(())
    }
}

impl Options {
    fn read(parser: &mut Parser, topic: Topic) -> Result<Self> {
        let (names, most_words) = allowed(topic);
        let mut options = Self::default();
        while let Some(argument) = parser.next()? {
            let name = match argument {
                Short('h') | Long("help") => {
                    options.help = true;
                    continue;
                }
                Value(word) if options.words.len() < most_words => {
                    options.words.push(word.string()?);
                    continue;
                }
                Short('o') if names.contains(&"output") => "output".to_string(),
                Long(name) if names.contains(&name) => name.to_string(),
                Long(name) => {
                    let listed: Vec<String> =
                        names.iter().map(|name| format!("--{name}")).collect();
                    return Err(unknown(
                        "option",
                        &format!("--{name}"),
                        listed.iter().map(String::as_str),
                    ));
                }
                other => return Err(other.unexpected().into()),
            };
            match topic {
                Topic::Sim => options.sim.set(&name, parser)?,
                Topic::Coverage => options.coverage.set(&name, parser)?,
                _ => options.set(&name, parser)?,
            }
        }
        Ok(options)
    }

    fn set(&mut self, name: &str, parser: &mut Parser) -> Result<()> {
        match name {
            "elf" => self.elf = Some(parser.value()?.into()),
            "output" => self.output = Some(parser.value()?.into()),
            "board" => self.board = Some(parser.value()?.string()?),
            "cpu" => self.machine.cpu = Some(parser.value()?.string()?),
            "memory" => self.machine.memory = Some(parser.value()?.string()?),
            "until" => self.until = Some(parser.value()?.string()?),
            "config" => self.build.config.push(parser.value()?.string()?),
            "cores" => self.machine.cores = Some(number(name, parser)?),
            "gic" => self.machine.gic = Some(number(name, parser)?),
            "jobs" => self.jobs = Some(number::<usize>(name, parser)?.max(1)),
            "timeout" => {
                let seconds = number::<u32>(name, parser)?;
                self.timeout = Some((seconds > 0).then(|| Duration::from_secs(u64::from(seconds))));
            }
            "release" => self.build.release = true,
            "icount" => self.machine.icount = true,
            "gdb" => self.gdb = true,
            "some" => self.some = Some(number(name, parser)?),
            "seconds" => self.seconds = Some(number(name, parser)?),
            "soak" => self.soak = true,
            "seed" => self.seed = Some(number(name, parser)?),
            "calls" => self.calls = Some(number(name, parser)?),
            "real-time" => self.real_time = true,
            "json" => self.json = Some(parser.value()?.into()),
            "compare" => self.compare = Some(parser.value()?.into()),
            "locks" => {
                let name = parser.value()?.string()?;
                self.locks = match name.as_str() {
                    "default" => Locks::Default,
                    "all" => Locks::All,
                    _ => return Err(unknown("way to lock", &name, ["default", "all"])),
                };
            }
            "check" => self.check = true,
            "doc" => self.doc = true,
            "profile" => self.profile = true,
            "budget" => self.budget = true,
            "scaling" => self.scaling = true,
            "list" => self.list = true,
            "minimise" => self.minimise = true,
            "repeat" => self.repeat = Some(parser.value()?.into()),
            "smoke" => self.smoke = true,
            "restart" => self.restart = true,
            "quick" => self.quick = true,
            _ => unreachable!("every allowed option is set here"),
        }
        Ok(())
    }

    fn command(self, topic: Topic) -> Result<Command> {
        if self.help {
            return Ok(Command::Help(topic));
        }
        Ok(match topic {
            Topic::Run => Command::Run(Run {
                root: root(self.words, self.elf)?,
                board: self.board,
                machine: self.machine,
                build: self.build,
                gdb: self.gdb,
                until: self.until,
                timeout: self.timeout,
            }),
            Topic::Build => Command::Build(self.build),
            Topic::Image => Command::Image(Image {
                root: root(self.words, self.elf)?,
                board: self.board,
                build: self.build,
                output: self.output,
            }),
            Topic::Sdk => Command::Sdk(Sdk {
                directory: self
                    .words
                    .into_iter()
                    .next()
                    .map(PathBuf::from)
                    .ok_or_else(|| {
                        Failure::usage("sdk takes the directory to write into: cargo xtask sdk DIR")
                    })?,
                board: self.board,
                machine: self.machine,
                build: self.build,
            }),
            Topic::Test => {
                let (place, filter) = tests(self.words)?;
                Command::Test(Test {
                    place,
                    filter,
                    build: self.build,
                    jobs: self.jobs,
                    list: self.list,
                    write_page: false,
                })
            }
            Topic::Conformance => Command::Test(Test {
                place: Where::Target,
                jobs: self.jobs,
                write_page: true,
                ..Test::default()
            }),
            Topic::Bench => Command::Bench(Bench {
                filter: self.words.into_iter().next(),
                cores: self.machine.cores,
                locks: self.locks,
                json: self.json,
                compare: self.compare,
                check: self.check,
                doc: self.doc,
                profile: self.profile,
                budget: self.budget,
                scaling: self.scaling,
            }),
            Topic::Matrix => Command::Matrix(Matrix {
                example: self.words.into_iter().next(),
                smoke: self.smoke,
                restart: self.restart,
                jobs: self.jobs,
                timeout: self.timeout.flatten(),
            }),
            Topic::Hostile => Command::Hostile(Hostile {
                soak: self.soak,
                seed: self.seed,
                calls: self.calls,
                seconds: self.seconds,
                real_time: self.real_time,
                machine: self.machine,
                build: self.build,
                timeout: self.timeout,
            }),
            Topic::Sim => Command::Sim(self.sim.check()?),
            Topic::Coverage => Command::Coverage(Coverage {
                filter: self.words.into_iter().next(),
                ..self.coverage
            }),
            Topic::Mutants => Command::Mutants(Mutants {
                name: self.words.into_iter().next(),
                some: self.some,
                seconds: self.seconds,
            }),
            Topic::Fuzz => Command::Fuzz(Fuzz {
                target: self.words.into_iter().next(),
                seconds: self.seconds,
                list: self.list,
                minimise: self.minimise,
                repeat: self.repeat,
            }),
            Topic::Miri => Command::Miri(Miri {
                filter: self.words.into_iter().next(),
                quick: self.quick,
            }),
            Topic::Setup => Command::Setup,
            Topic::Overview => Command::Help(Topic::Overview),
        })
    }
}

fn number<T: std::str::FromStr>(name: &str, parser: &mut Parser) -> Result<T> {
    let text = parser.value()?.string()?;
    text.parse()
        .map_err(|_| Failure::usage(format!("--{name} takes a number, not '{text}'")))
}

/// A whole number that may be written as `1e9`.
fn large_number(name: &str, parser: &mut Parser) -> Result<u64> {
    let text = parser.value()?.string()?;
    let value = match text.split_once('e') {
        Some((digits, zeros)) => zeros.parse().ok().and_then(|zeros| {
            let digits: u64 = digits.parse().ok()?;
            digits.checked_mul(10u64.checked_pow(zeros)?)
        }),
        None => text.parse().ok(),
    };
    value.ok_or_else(|| {
        Failure::usage(format!(
            "--{name} takes a number such as 5000000 or 1e9, not '{text}'"
        ))
    })
}

fn root(words: Vec<String>, elf: Option<PathBuf>) -> Result<Root> {
    match (words.into_iter().next(), elf) {
        (Some(name), Some(_)) => Err(Failure::usage(format!(
            "both the example '{name}' and --elf: a run has one root task"
        ))),
        (_, Some(file)) => Ok(Root::File(file)),
        (name, None) => Ok(Root::Example(
            name.unwrap_or_else(|| DEFAULT_EXAMPLE.to_string()),
        )),
    }
}

/// The first word may say where; any other is the filter.
fn tests(words: Vec<String>) -> Result<(Where, Option<String>)> {
    let mut words = words.into_iter();
    let first = words.next();
    let place = match first.as_deref() {
        Some("host") => Some(Where::Host),
        Some("target") => Some(Where::Target),
        Some("all") => Some(Where::All),
        _ => None,
    };
    match place {
        Some(place) => Ok((place, words.next())),
        None => match words.next() {
            None => Ok((Where::All, first)),
            Some(_) => Err(unknown(
                "kind of tests",
                &first.unwrap_or_default(),
                ["host", "target", "all"],
            )),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse_line(line: &str) -> Result<Command> {
        parse(line.split_whitespace().map(OsString::from))
    }

    fn mistake(line: &str) -> String {
        let failure = parse_line(line).unwrap_err();
        assert_eq!(failure.status, crate::failure::USAGE);
        failure.message
    }

    fn run(line: &str) -> Run {
        match parse_line(line).unwrap() {
            Command::Run(run) => run,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn run_has_defaults() {
        let run = run("run");
        assert_eq!(run.root, Root::Example("migrate".into()));
        assert_eq!(run.machine, Wanted::default());
        assert_eq!((run.timeout, run.until), (None, None));
    }

    #[test]
    fn run_takes_every_option() {
        let run = run(
            "run --elf a.elf --board virt --cores 2 --gic 3 --cpu max --memory 2G \
             --release --config A=1 --config B=2 --icount --gdb --timeout 5 --until done",
        );
        assert_eq!(run.root, Root::File("a.elf".into()));
        assert_eq!(run.board.as_deref(), Some("virt"));
        assert_eq!((run.machine.cores, run.machine.gic), (Some(2), Some(3)));
        assert_eq!(run.machine.cpu.as_deref(), Some("max"));
        assert_eq!(run.machine.memory.as_deref(), Some("2G"));
        assert!(run.machine.icount && run.gdb && run.build.release);
        assert_eq!(run.build.config, ["A=1", "B=2"]);
        assert_eq!(run.timeout, Some(Some(Duration::from_secs(5))));
        assert_eq!(run.until.as_deref(), Some("done"));
    }

    #[test]
    fn sdk_takes_a_directory() {
        let line = "sdk out --board virt --cpu cortex-a53 --release --config PRINTING=false";
        match parse_line(line).unwrap() {
            Command::Sdk(sdk) => {
                assert_eq!(sdk.directory, PathBuf::from("out"));
                assert_eq!(sdk.board.as_deref(), Some("virt"));
                assert_eq!(sdk.machine.cpu.as_deref(), Some("cortex-a53"));
                assert!(sdk.build.release);
                assert_eq!(sdk.build.config, ["PRINTING=false"]);
            }
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn bench_takes_every_option() {
        let line = "bench call --cores 4 --locks all --json a --compare b --check --doc --profile --budget --scaling";
        let expected = Bench {
            filter: Some("call".into()),
            cores: Some(4),
            locks: Locks::All,
            json: Some("a".into()),
            compare: Some("b".into()),
            check: true,
            doc: true,
            profile: true,
            budget: true,
            scaling: true,
        };
        assert_eq!(parse_line(line).unwrap(), Command::Bench(expected));
        assert_eq!(
            parse_line("bench --locks default").unwrap(),
            Command::Bench(Bench::default())
        );
        assert!(mistake("bench --locks some").contains("default, all"));
    }

    #[test]
    fn the_long_series_stands_alone() {
        let sim = |line: &str| match parse_line(line).unwrap() {
            Command::Sim(sim) => sim,
            other => panic!("{other:?}"),
        };
        assert_eq!(sim("sim --total 2e9 --resume").total, Some(2_000_000_000));
        assert_eq!(sim("sim --total 75 --restart").total, Some(75));
        assert_eq!(
            sim("sim --seed 3 --trace").arguments,
            ["--seed", "3", "--trace"]
        );
        assert!(mistake("sim --total 1e9 --seed 1").contains("without --seed"));
        assert_eq!(
            sim("sim --config FASTPATH=false").config,
            ["FASTPATH=false"]
        );
        assert!(mistake("sim --total 1e9 --config FASTPATH=false").contains("without --config"));
        assert!(mistake("sim --resume").contains("--total"));
        for wrong in ["e9", "1e", "1.5e9", "1e30"] {
            assert!(
                mistake(&format!("sim --total {wrong}")).contains("1e9"),
                "{wrong}"
            );
        }
    }

    #[test]
    fn no_time_out_can_be_asked_for() {
        assert_eq!(run("run hello --timeout 0").timeout, Some(None));
        assert_eq!(run("run hello").root, Root::Example("hello".into()));
    }

    #[test]
    fn tests_have_a_place_and_a_filter() {
        let test = |line: &str| match parse_line(line).unwrap() {
            Command::Test(test) => (test.place, test.filter),
            other => panic!("{other:?}"),
        };
        assert_eq!(test("test"), (Where::All, None));
        assert_eq!(test("test host"), (Where::Host, None));
        assert_eq!(test("test target ipc"), (Where::Target, Some("ipc".into())));
        assert_eq!(test("test ipc"), (Where::All, Some("ipc".into())));
        assert!(mistake("test here ipc").contains("host, target, all"));
    }

    #[test]
    fn miri_has_a_filter_and_a_short_way() {
        let miri = |line: &str| match parse_line(line).unwrap() {
            Command::Miri(miri) => (miri.filter, miri.quick),
            other => panic!("{other:?}"),
        };
        assert_eq!(miri("miri"), (None, false));
        assert_eq!(miri("miri race --quick"), (Some("race".into()), true));
        assert!(mistake("miri a b").contains("b"));
    }

    #[test]
    fn mistakes_are_named() {
        assert!(mistake("fly").contains(
            "run, build, image, sdk, test, conformance, bench, matrix, sim, hostile, coverage, mutants, fuzz, miri, setup, help"
        ));
        assert!(mistake("run --core 2").contains("--cores"));
        assert!(mistake("run --cores two").contains("--cores takes a number, not 'two'"));
        assert!(mistake("run --cores").contains("cores"));
        assert!(mistake("run a --elf b").contains("one root task"));
        assert!(mistake("run a b").contains("b"));
        assert!(mistake("build --cores 2").contains("--release, --config"));
        assert!(mistake("setup --now").contains("--now"));
        assert!(mistake("sdk").contains("cargo xtask sdk DIR"));
        assert!(mistake("sdk a b").contains("b"));
        assert!(mistake("sdk a --icount").contains("--memory"));
    }

    #[test]
    fn help_is_everywhere() {
        let help = |line: &str| match parse_line(line).unwrap() {
            Command::Help(topic) => topic,
            other => panic!("{other:?}"),
        };
        assert_eq!(help(""), Topic::Overview);
        assert_eq!(help("--help"), Topic::Overview);
        assert_eq!(help("help test"), Topic::Test);
        assert_eq!(help("run --elf x -h"), Topic::Run);
        for (name, topic) in TOPICS {
            assert!(crate::help::text(topic).contains(&format!("cargo xtask {name}")));
        }
        for topic in [
            Topic::Run,
            Topic::Sdk,
            Topic::Bench,
            Topic::Hostile,
            Topic::Sim,
            Topic::Coverage,
            Topic::Fuzz,
            Topic::Miri,
        ] {
            for option in allowed(topic).0 {
                assert!(crate::help::text(topic).contains(&format!("--{option}")));
            }
        }
    }
}
