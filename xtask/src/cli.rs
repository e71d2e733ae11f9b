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
    Matrix(Matrix),
    /// The arguments of the simulation.
    Sim(Vec<String>),
    Mutants(Mutants),
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
    Matrix,
    Sim,
    Mutants,
    Miri,
    Setup,
}

const TOPICS: [(&str, Topic); 11] = [
    ("run", Topic::Run),
    ("build", Topic::Build),
    ("image", Topic::Image),
    ("sdk", Topic::Sdk),
    ("test", Topic::Test),
    ("conformance", Topic::Conformance),
    ("matrix", Topic::Matrix),
    ("sim", Topic::Sim),
    ("mutants", Topic::Mutants),
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

/// Which defects, and how long each is looked for.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Mutants {
    pub(crate) name: Option<String>,
    pub(crate) some: Option<usize>,
    pub(crate) seconds: Option<u64>,
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
    quick: bool,
    sim: Vec<String>,
    some: Option<usize>,
    seconds: Option<u64>,
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
        Topic::Matrix => (&["smoke", "restart", "jobs", "timeout"], 1),
        Topic::Sim => (
            &[
                "seed", "seeds", "cores", "steps", "seconds", "trace", "no-model",
            ],
            0,
        ),
        Topic::Mutants => (&["some", "seconds"], 1),
        Topic::Miri => (&["quick"], 1),
        Topic::Setup | Topic::Overview => (&[], 0),
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
                Topic::Sim => options.set_for_sim(&name, parser)?,
                _ => options.set(&name, parser)?,
            }
        }
        Ok(options)
    }

    fn set_for_sim(&mut self, name: &str, parser: &mut Parser) -> Result<()> {
        self.sim.push(format!("--{name}"));
        if !["trace", "no-model"].contains(&name) {
            self.sim.push(number::<u64>(name, parser)?.to_string());
        }
        Ok(())
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
            "list" => self.list = true,
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
            Topic::Matrix => Command::Matrix(Matrix {
                example: self.words.into_iter().next(),
                smoke: self.smoke,
                restart: self.restart,
                jobs: self.jobs,
                timeout: self.timeout.flatten(),
            }),
            Topic::Sim => Command::Sim(self.sim),
            Topic::Mutants => Command::Mutants(Mutants {
                name: self.words.into_iter().next(),
                some: self.some,
                seconds: self.seconds,
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
            "run, build, image, sdk, test, conformance, matrix, sim, mutants, miri, setup, help"
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
        for topic in [Topic::Run, Topic::Sdk, Topic::Miri] {
            for option in allowed(topic).0 {
                assert!(crate::help::text(topic).contains(&format!("--{option}")));
            }
        }
    }
}
