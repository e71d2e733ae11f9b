//! Running cases: a few QEMUs at a time, one line for each result, everything about the ones that failed.

use super::conformance::Shown;
use crate::backtrace::{Place, explain};
use crate::bench;
use crate::boards::Machine;
use crate::failure::Result;
use crate::qemu::{self, Boot, Console, End, Finished, Limits, PANIC};
use std::fmt::{self, Display};
use std::path::PathBuf;
use std::sync::Mutex;
use std::thread;
use std::time::Duration;

/// How QEMU's messages begin.
const QEMU_SAYS: &str = "qemu-system-aarch64: ";

/// Of a failed case's longer console, this many lines from the beginning and from the end are printed.
const HEAD: usize = 60;
const TAIL: usize = 140;

/// A boot and what has to come of it.
pub(crate) struct Case {
    pub(crate) name: String,
    /// The test that this is a run of.
    pub(crate) test: String,
    pub(crate) machine: Machine,
    pub(crate) boot: Boot,
    pub(crate) timeout: Duration,
    pub(crate) expect: Expect,
    /// A second run has to give the same figures.
    pub(crate) repeats: bool,
    pub(crate) symbols: Symbols,
}

/// The files in which the names for a backtrace are.
#[derive(Clone, Debug)]
pub(crate) struct Symbols {
    pub(crate) kernel: PathBuf,
    pub(crate) loader: PathBuf,
    pub(crate) root: Option<PathBuf>,
}

/// What a case has to do to pass.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Expect {
    pub(crate) exit: Exit,
    /// Each has to appear in a line.
    pub(crate) all: Vec<String>,
    /// A line about an error contains one of these, unless there are none. They are in small letters; the line may not be.
    pub(crate) any: Vec<String>,
    /// None may appear in a line.
    pub(crate) none: Vec<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Exit {
    Status(u8),
    AnyFailure,
}

impl Expect {
    /// What is wrong with how a run ended, if anything.
    pub(crate) fn judge(&self, finished: &Finished) -> std::result::Result<(), String> {
        // QEMU's own refusal also ends with a failing status, but nothing was tested then.
        let refusal = finished
            .log
            .lines()
            .find(|line| line.starts_with(QEMU_SAYS) && !line.contains("warning:"));
        if let Some(line) = refusal {
            return Err(line.to_string());
        }
        let panic_expected = self.all.iter().any(|text| text.contains(PANIC));
        let End::Exit(status) = finished.end else {
            return Err(finished.describe());
        };
        if finished.panicked && !panic_expected {
            return Err(finished.describe());
        }
        match self.exit {
            Exit::Status(wanted) if status != wanted => {
                return Err(format!("exit status {status}, expected {wanted}"));
            }
            Exit::AnyFailure if status == 0 => {
                return Err("exit status 0, expected a failure".to_string());
            }
            _ => (),
        }
        let missing = self
            .all
            .iter()
            .find(|text| !finished.log.lines().any(|line| line.contains(*text)));
        if let Some(text) = missing {
            return Err(format!("no line contains '{text}'"));
        }
        let forbidden = |line: &&str| self.none.iter().any(|text| line.contains(text));
        if let Some(line) = finished.log.lines().find(forbidden) {
            return Err(format!("there should be no line '{line}'"));
        }
        let log = finished.log.to_lowercase();
        let mut errors = log.lines().filter(|line| line.contains("error"));
        let names = |line: &str| self.any.iter().any(|text| line.contains(text.as_str()));
        if !self.any.is_empty() && !errors.any(names) {
            return Err(format!("no error names: {}", self.any.join(", ")));
        }
        Ok(())
    }
}

/// How many passed and failed, and how many could not be run here.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Tally {
    pub(crate) passed: u64,
    pub(crate) failed: u64,
    pub(crate) skipped: u64,
}

impl Tally {
    pub(crate) fn add(&mut self, other: Self) {
        self.passed += other.passed;
        self.failed += other.failed;
        self.skipped += other.skipped;
    }
}

impl Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} passed, {} failed", self.passed, self.failed)?;
        match self.skipped {
            0 => Ok(()),
            skipped => write!(f, ", {skipped} skipped"),
        }
    }
}

/// How many QEMUs at a time suit this machine: two, so that a case with several cores still gets some of them.
pub(crate) fn default_jobs() -> usize {
    thread::available_parallelism().map_or(1, |cores| cores.get().min(2))
}

/// Runs all cases and prints what becomes of them: those that count instructions side by side, then those in real time
/// one at a time, so that their cores have this machine's to themselves.
pub(crate) fn run(cases: Vec<Case>, jobs: usize) -> Result<(Tally, Shown)> {
    let (counting, real): (Vec<_>, Vec<_>) =
        cases.into_iter().partition(|case| case.machine.icount);
    let mut tally = Tally::default();
    let shown = Mutex::new(Shown::default());
    for (cases, jobs) in [(counting, jobs), (real, 1)] {
        if !cases.is_empty() {
            tally.add(run_together(cases, jobs, &shown)?);
        }
    }
    Ok((tally, shown.into_inner().unwrap_or_else(|e| e.into_inner())))
}

fn run_together(cases: Vec<Case>, jobs: usize, shown: &Mutex<Shown>) -> Result<Tally> {
    let total = cases.len();
    let queue = Mutex::new(cases.into_iter());
    let results = Mutex::new((Tally::default(), Vec::new()));
    let work = || -> Result<()> {
        loop {
            let Some(case) = queue.lock().unwrap_or_else(|e| e.into_inner()).next() else {
                return Ok(());
            };
            // QEMU is bound to the thread that starts it, and this thread stays until it has ended.
            let limits = Limits {
                timeout: Some(case.timeout),
                until: None,
            };
            let finished = qemu::run(&case.machine, &case.boot, &limits, Console::Quiet)?;
            let mut verdict = case.expect.judge(&finished);
            if verdict.is_ok() && case.repeats {
                let again = qemu::run(&case.machine, &case.boot, &limits, Console::Quiet)?;
                if let Some((one, other)) = bench::difference(&finished.log, &again.log) {
                    verdict = Err(format!("two runs differ: '{one}' and '{other}'"));
                }
            }
            shown.lock().unwrap_or_else(|e| e.into_inner()).note(
                &case.test,
                &finished.log,
                verdict.is_ok(),
            );
            let mut results = results.lock().unwrap_or_else(|e| e.into_inner());
            let (tally, failures) = &mut *results;
            let number = tally.passed + tally.failed + 1;
            let seconds = finished.elapsed.as_secs_f64();
            match verdict {
                Ok(()) => {
                    tally.passed += 1;
                    println!("[{number}/{total}] ok    {} ({seconds:.1} s)", case.name);
                }
                Err(problem) => {
                    tally.failed += 1;
                    println!(
                        "[{number}/{total}] FAIL  {} ({seconds:.1} s): {problem}",
                        case.name
                    );
                    print_log(&case, &finished);
                    failures.push(format!("{}: {problem}", case.name));
                }
            }
        }
    };
    in_parallel(jobs.clamp(1, total.max(1)), &work)?;
    let (tally, failures) = results.into_inner().unwrap_or_else(|e| e.into_inner());
    if !failures.is_empty() {
        println!("\nFailed on the target:");
        for failure in failures {
            println!("    {failure}");
        }
    }
    Ok(tally)
}

/// Runs the same work in several threads, until each of them has come to its end.
pub(crate) fn in_parallel(jobs: usize, work: &(impl Fn() -> Result<()> + Sync)) -> Result<()> {
    thread::scope(|scope| {
        let workers: Vec<_> = (0..jobs).map(|_| scope.spawn(work)).collect();
        workers
            .into_iter()
            .try_for_each(|worker| match worker.join() {
                Ok(result) => result,
                Err(panic) => std::panic::resume_unwind(panic),
            })
    })
}

fn print_log(case: &Case, finished: &Finished) {
    println!("    --- {}", case.machine.describe());
    let lines: Vec<&str> = finished.log.lines().collect();
    let left_out = if lines.len() > HEAD + TAIL {
        HEAD..lines.len() - TAIL
    } else {
        0..0
    };
    for (index, line) in lines.iter().enumerate() {
        if index == left_out.start && !left_out.is_empty() {
            println!("    | [... {} lines left out ...]", left_out.len());
        }
        if !left_out.contains(&index) {
            println!("    | {line}");
        }
    }
    let place = |file, offset| Place { file, offset };
    let mut places = vec![
        place(case.symbols.kernel.as_path(), 0),
        place(&case.symbols.loader, case.machine.board.image_base),
    ];
    if let Some(root) = &case.symbols.root {
        places.push(place(root, 0));
    }
    for line in explain(&finished.log, &places) {
        println!("    {line}");
    }
    println!("    ---");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finished(end: End, log: &str) -> Finished {
        Finished {
            end,
            log: log.to_string(),
            panicked: log.contains(PANIC),
            elapsed: Duration::from_secs(1),
        }
    }

    fn expect(exit: Exit, all: &[&str], any: &[&str]) -> Expect {
        let strings = |list: &[&str]| list.iter().map(|text| text.to_string()).collect();
        Expect {
            exit,
            all: strings(all),
            any: strings(any),
            none: Vec::new(),
        }
    }

    #[test]
    fn the_status_decides() {
        let pass = expect(Exit::Status(0), &[], &[]);
        assert!(pass.judge(&finished(End::Exit(0), "")).is_ok());
        assert!(pass.judge(&finished(End::Exit(3), "")).is_err());
        assert!(pass.judge(&finished(End::TimedOut, "")).is_err());
        assert!(pass.judge(&finished(End::Exit(0), "kernel panic")).is_err());
        let fails = expect(Exit::AnyFailure, &[], &[]);
        assert!(fails.judge(&finished(End::Exit(0), "")).is_err());
        assert!(fails.judge(&finished(End::Exit(1), "")).is_ok());
        let refused = "qemu-system-aarch64: no such CPU";
        assert!(fails.judge(&finished(End::Exit(1), refused)).is_err());
        assert!(fails.judge(&finished(End::TimedOut, "")).is_err());
        assert!(
            fails
                .judge(&finished(End::Exit(1), "kernel panic"))
                .is_err()
        );
    }

    #[test]
    fn the_text_decides_too() {
        let panics = expect(Exit::Status(1), &["kernel panic", "core 1"], &[]);
        assert!(
            panics
                .judge(&finished(End::Exit(1), "core 1\nkernel panic"))
                .is_ok()
        );
        assert!(
            panics
                .judge(&finished(End::Exit(1), "kernel panic"))
                .is_err()
        );
        let any = expect(Exit::AnyFailure, &[], &["memory", "ram"]);
        assert!(
            any.judge(&finished(End::Exit(1), "Error: no memory node"))
                .is_ok()
        );
        assert!(
            any.judge(&finished(End::Exit(1), "with memory\nerror: no CPU"))
                .is_err()
        );
    }

    #[test]
    fn what_was_skipped_is_said() {
        let mut tally = Tally::default();
        tally.add(Tally {
            passed: 2,
            ..Tally::default()
        });
        assert_eq!(tally.to_string(), "2 passed, 0 failed");
        tally.add(Tally {
            failed: 1,
            skipped: 3,
            ..Tally::default()
        });
        assert_eq!(tally.to_string(), "2 passed, 1 failed, 3 skipped");
    }

    #[test]
    fn some_text_may_not_appear() {
        let quiet = Expect {
            none: vec!["halted".to_string()],
            ..expect(Exit::Status(0), &["good"], &[])
        };
        assert!(quiet.judge(&finished(End::Exit(0), "good")).is_ok());
        let loud = quiet.judge(&finished(End::Exit(0), "good\nit halted by"));
        assert!(loud.unwrap_err().contains("it halted by"));
    }

    #[test]
    fn workers_report_failures() {
        let count = Mutex::new(0);
        let work = || {
            *count.lock().unwrap() += 1;
            Ok(())
        };
        in_parallel(3, &work).unwrap();
        assert_eq!(*count.lock().unwrap(), 3);
        let fails = || Err(crate::failure::Failure::new("no"));
        assert!(in_parallel(2, &fails).is_err());
    }
}
