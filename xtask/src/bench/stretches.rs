//! The longest stretches with interrupts masked and with locks held, by the locks: own, several, all.

use crate::failure::{Failure, Result};
use std::fmt::Write;

/// The modes in the program's lines, and what they are.
const MODES: [(&str, &str); 3] = [
    ("local", "own lock only"),
    ("set", "several"),
    ("all", "all"),
];

/// Of one run of the whole program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Stretches {
    pub(crate) cores: u32,
    /// How the kernel locks.
    pub(crate) mode: &'static str,
    /// By the locks: instructions with interrupts masked, and with locks held. Both are 0 where nothing had such locks.
    longest: [[u64; 2]; 3],
}

/// What a console says: lines `longest MODE n n`.
pub(crate) fn read(console: &str, cores: u32, mode: &'static str) -> Result<Stretches> {
    let mut longest = [[0; 2]; 3];
    for ((name, _), place) in MODES.iter().zip(&mut longest) {
        *place = console
            .lines()
            .find_map(|line| numbers(line, name))
            .ok_or_else(|| Failure::new(format!("no longest stretches '{name}'")))?;
    }
    Ok(Stretches {
        cores,
        mode,
        longest,
    })
}

fn numbers(line: &str, mode: &str) -> Option<[u64; 2]> {
    let rest = line.strip_prefix("longest ")?.strip_prefix(mode)?;
    let numbers: Vec<u64> = rest
        .split_whitespace()
        .map_while(|word| word.parse().ok())
        .collect();
    numbers.try_into().ok()
}

fn plural(cores: u32) -> &'static str {
    if cores == 1 { "core" } else { "cores" }
}

/// For a terminal.
pub(crate) fn terminal(all: &[Stretches]) -> String {
    let mut text = format!(
        "{:<24} {:<16} {:>12} {:>12}\n",
        "longest stretches", "locks", "masked", "held"
    );
    for run in all {
        for ((_, locks), [masked, held]) in MODES.iter().zip(run.longest) {
            if masked > 0 {
                let kernel = format!("{} {}, {}", run.cores, plural(run.cores), run.mode);
                let _ = writeln!(text, "{kernel:<24} {locks:<16} {masked:>12} {held:>12}");
            }
        }
    }
    text
}

/// For the page.
pub(crate) fn markdown(all: &[Stretches]) -> String {
    let mut text = String::from(
        "\n### Longest stretches\n\n\
         | cores | kernel | locks that it had | interrupts masked | locks held |\n\
         |--:|---|---|--:|--:|\n",
    );
    for run in all {
        for ((_, locks), [masked, held]) in MODES.iter().zip(run.longest) {
            if masked > 0 {
                let _ = writeln!(
                    text,
                    "| {} | {} | {locks} | {masked} | {held} |",
                    run.cores, run.mode
                );
            }
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONSOLE: &str = "Tern\nlongest local 900 800\nlongest set 0 0\nlongest all 2000 1500\n";

    #[test]
    fn stretches_are_read_and_shown() {
        let run = read(CONSOLE, 4, "default").unwrap();
        assert_eq!(run.longest, [[900, 800], [0, 0], [2000, 1500]]);
        let page = markdown(std::slice::from_ref(&run));
        assert!(page.contains("| 4 | default | own lock only | 900 | 800 |"));
        assert!(!page.contains("several"));
        let text = terminal(&[run]);
        assert!(text.contains("4 cores, default") && text.contains("2000"));
        assert!(!text.contains("several"));
    }

    #[test]
    fn all_three_have_to_be_there() {
        let console = CONSOLE.replace("longest set", "longest");
        let failure = read(&console, 4, "default").unwrap_err();
        assert!(failure.message.contains("'set'"));
    }
}
