//! What was expected, what was seen, what it cost, who was where.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt::Display;

use libsel4::println;

/// Columns of the timeline that fit on a line.
const TIMELINE_COLUMNS: usize = 96;

/// A thread was seen on a core.
struct Sighting {
    step: u8,
    who: char,
    core: usize,
}

/// The costs of one kind of move.
struct Cost {
    what: String,
    samples: Vec<u64>,
}

/// Everything that the program will be judged by.
pub(crate) struct Report {
    unit: &'static str,
    step: u8,
    checks: usize,
    failures: Vec<String>,
    costs: Vec<Cost>,
    timeline: Vec<Sighting>,
    /// Who the letters of the timeline are.
    cast: Vec<(char, &'static str)>,
}

impl Report {
    pub(crate) fn new(unit: &'static str) -> Self {
        Self {
            unit,
            step: 0,
            checks: 0,
            failures: Vec::new(),
            costs: Vec::new(),
            timeline: Vec::new(),
            cast: Vec::new(),
        }
    }

    /// Begins the next step.
    pub(crate) fn begin(&mut self, title: &str) {
        self.step += 1;
        println!();
        println!("{}. {title}", self.step);
    }

    /// Notes one check: prints it, and remembers it if it failed.
    pub(crate) fn check(
        &mut self,
        good: bool,
        what: &str,
        expected: impl Display,
        seen: impl Display,
    ) {
        self.checks += 1;
        let mark = if good { "ok " } else { "BAD" };
        println!("   {mark} {what}: expected {expected}, saw {seen}");
        if !good {
            let step = self.step;
            self.failures.push(format!(
                "step {step}: {what}: expected {expected}, saw {seen}"
            ));
        }
    }

    /// Notes whether two values are the same.
    pub(crate) fn check_equal<T: PartialEq + Display>(&mut self, what: &str, expected: T, seen: T) {
        self.check(expected == seen, what, &expected, &seen);
    }

    /// Notes where the kernel says that a thread is, and puts it on the timeline.
    pub(crate) fn check_core(
        &mut self,
        who: char,
        what: &str,
        expected: usize,
        seen: Option<usize>,
    ) {
        let seen_text = seen.map_or(String::from("no core"), |core| format!("core {core}"));
        self.check(
            seen == Some(expected),
            what,
            format_args!("core {expected}"),
            seen_text,
        );
        if let Some(core) = seen {
            self.saw(who, core);
        }
    }

    /// Says who a letter of the timeline is.
    pub(crate) fn introduce(&mut self, who: char, name: &'static str) {
        self.cast.push((who, name));
    }

    /// Puts a thread on the timeline.
    pub(crate) fn saw(&mut self, who: char, core: usize) {
        self.timeline.push(Sighting {
            step: self.step,
            who,
            core,
        });
    }

    /// Notes what a move of some kind cost.
    pub(crate) fn cost(&mut self, what: &str, cost: u64) {
        match self.costs.iter_mut().find(|row| row.what == what) {
            Some(row) => row.samples.push(cost),
            None => self.costs.push(Cost {
                what: String::from(what),
                samples: Vec::from([cost]),
            }),
        }
    }

    /// Prints table, timeline and verdict, and returns the verdict.
    pub(crate) fn conclude(&self, cores: usize) -> bool {
        self.print_costs();
        self.print_timeline(cores);
        println!();
        let (checks, failed) = (self.checks, self.failures.len());
        let place = if cores == 1 {
            String::from("1 core")
        } else {
            format!("{cores} cores")
        };
        if failed == 0 {
            println!("migrate: good. All {checks} checks were as expected on {place}.");
        } else {
            println!("migrate: BAD. {failed} of {checks} checks were not as expected on {place}:");
        }
        for failure in &self.failures {
            println!("   {failure}");
        }
        failed == 0
    }

    fn print_costs(&self) {
        println!();
        println!("What the moves cost, in {}:", self.unit);
        println!(
            "   {:<52} {:>5} {:>9} {:>9} {:>9}",
            "move", "times", "least", "median", "most"
        );
        for row in &self.costs {
            let mut samples = row.samples.clone();
            samples.sort_unstable();
            if let [least, .., most] | [least @ most] = samples.as_slice() {
                let median = samples[samples.len() / 2];
                let times = samples.len();
                println!(
                    "   {:<52} {times:>5} {least:>9} {median:>9} {most:>9}",
                    row.what
                );
            }
        }
    }

    /// One line for each core; one column for each time that the kernel was asked where somebody is, in order.
    fn print_timeline(&self, cores: usize) {
        println!();
        println!("Who was where, in the order in which it was seen:");
        for (who, name) in &self.cast {
            println!("   {who}  {name}");
        }
        for part in self.timeline.chunks(TIMELINE_COLUMNS) {
            let mut step_before = 0;
            let steps: String = part
                .iter()
                .map(
                    |seen| match core::mem::replace(&mut step_before, seen.step) {
                        before if before == seen.step => ' ',
                        _ => char::from(b'0' + seen.step),
                    },
                )
                .collect();
            println!("   step   |{steps}");
            for core in 0..cores {
                let line: String = part
                    .iter()
                    .map(|seen| if seen.core == core { seen.who } else { '.' })
                    .collect();
                println!("   core {core:<2}|{line}");
            }
        }
    }
}
