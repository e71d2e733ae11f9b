//! Figures as tables: for the terminal, and for docs/performance.md.

use super::figure::{self, Figure};
use super::rows::{self, Kind, Row};
use crate::cli::Locks;
use crate::failure::{Failure, Result};
use std::collections::BTreeSet;
use std::fmt::Write;

/// A figure with its row, and what is to be said about it.
pub(crate) struct Line<'a> {
    row: &'static Row,
    figure: &'a Figure,
    /// Instructions at most.
    bar: Option<u64>,
}

impl Line<'_> {
    /// Whether it is within its bars, if it has any.
    fn holds(&self) -> Option<bool> {
        let instructions = self.bar.map(|bar| self.figure.instructions <= bar);
        let doorbells = self.row.doorbells.map(|most| self.figure.sgi <= most);
        match (instructions, doorbells) {
            (None, None) => None,
            (one, other) => Some(one.unwrap_or(true) && other.unwrap_or(true)),
        }
    }

    /// Tern's figure in hundredths of seL4's.
    fn ratio(&self) -> Option<u64> {
        let reference = self.row.reference(self.figure.cores)?;
        Some((self.figure.instructions * 100 + reference / 2) / reference)
    }
}

/// The figure of this name on so many cores. If there are several, of kernels that lock in different ways, the first.
fn find<'a>(figures: &'a [Figure], name: &str, cores: u32) -> Option<&'a Figure> {
    figures
        .iter()
        .find(|figure| figure.cores == cores && figure.name == name)
}

/// The figures of one machine, in the order of the rows.
pub(crate) fn of_machine(figures: &[Figure], cores: u32) -> Vec<Line<'_>> {
    let find = |name: &str| find(figures, name, cores);
    rows::on(cores)
        .filter_map(|row| {
            Some(Line {
                row,
                figure: find(row.name)?,
                bar: row.at_most(|| find("call").map(|call| call.instructions)),
            })
        })
        .collect()
}

/// How many of the bars hold, of how many.
pub(crate) fn holding(lines: &[Line<'_>]) -> (usize, usize) {
    let judged: Vec<bool> = lines.iter().filter_map(Line::holds).collect();
    let good = judged.iter().filter(|&&holds| holds).count();
    (good, judged.len())
}

fn or_dash(number: Option<u64>) -> String {
    number.map_or_else(|| "-".to_string(), |number| number.to_string())
}

fn hundredths(number: Option<u64>) -> String {
    number.map_or_else(
        || "-".to_string(),
        |number| format!("{}.{:02}", number / 100, number % 100),
    )
}

/// The table for a terminal, of the rows whose names contain the filter.
pub(crate) fn terminal(lines: &[Line<'_>], filter: &str) -> String {
    let mut text = format!(
        "{:<24} {:>7} {:>7} {:>7} {:>8} {:>7} {:>6} {:>4} {:>6} {:>4} {:>7}\n",
        "", "instr.", "min", "max", "at most", "seL4", "ratio", "sgi", "waits", "all", "hold"
    );
    for line in lines.iter().filter(|line| line.row.name.contains(filter)) {
        let figure = line.figure;
        let _ = writeln!(
            text,
            "{:<24} {:>7} {:>7} {:>7} {:>8} {:>7} {:>6} {:>4} {:>6} {:>4} {:>7}  {}",
            figure.name,
            figure.instructions,
            figure.min,
            figure.max,
            or_dash(line.bar),
            or_dash(line.row.reference(figure.cores)),
            hundredths(line.ratio()),
            figure.sgi,
            figure.lock_waits,
            figure.all_entries,
            figure.lock_hold,
            verdict(line),
        );
    }
    text
}

fn verdict(line: &Line<'_>) -> &'static str {
    match line.holds() {
        Some(true) => "ok",
        Some(false) => "OVER",
        None => "",
    }
}

/// What has changed against earlier figures, for the rows whose names contain the filter. Where there are none of a
/// kernel that locks in the same way, those of another one serve.
pub(crate) fn changes(earlier: &[Figure], now: &[Figure], filter: &str) -> String {
    let mut text = format!(
        "{:<24} {:>5} {:>8} {:>8} {:>8} {:>8}\n",
        "changed", "cores", "before", "now", "change", "sgi"
    );
    let mut same = 0;
    let mut modes = BTreeSet::new();
    for figure in now.iter().filter(|figure| figure.name.contains(filter)) {
        let Some(before) = earlier
            .iter()
            .filter(|each| each.name == figure.name && each.cores == figure.cores)
            .max_by_key(|each| each.mode == figure.mode)
        else {
            let _ = writeln!(text, "{:<24} {:>5}  is new", figure.name, figure.cores);
            continue;
        };
        if (before.instructions, before.sgi) == (figure.instructions, figure.sgi) {
            same += 1;
            continue;
        }
        let percent = (i128::from(figure.instructions) - i128::from(before.instructions)) * 1000
            / i128::from(before.instructions.max(1));
        let sign = if percent < 0 { '-' } else { '+' };
        let change = percent.unsigned_abs();
        if before.mode != figure.mode {
            modes.insert((before.mode.as_str(), figure.mode.as_str()));
        }
        let _ = writeln!(
            text,
            "{:<24} {:>5} {:>8} {:>8} {:>8} {:>8}",
            figure.name,
            figure.cores,
            before.instructions,
            figure.instructions,
            format!("{sign}{}.{}%", change / 10, change % 10),
            format!("{} -> {}", before.sgi, figure.sgi),
        );
    }
    let _ = writeln!(text, "{same} figures are the same");
    for (before, now) in modes {
        let _ = writeln!(text, "before: {before}; now: {now}");
    }
    text
}

/// Where the tables begin and end in the page.
const BEGIN: &str = "<!-- tables: written by `cargo xtask bench --doc` -->";
const END: &str = "<!-- end of the tables -->";

/// Where the figures by the clock begin and end: what is between them stays as it is where the host is busy.
const CLOCK_BEGIN: &str =
    "<!-- by the clock: written by `cargo xtask bench --doc` on a quiet host -->";
const CLOCK_END: &str = "<!-- end of what is by the clock -->";

/// The page with new tables. `others` are ready for it.
pub(crate) fn page(
    page: &str,
    figures: &[Figure],
    machines: &[u32],
    others: &[String],
) -> Result<String> {
    let mut text = String::new();
    for &cores in machines {
        text += &markdown(&of_machine(figures, cores), cores);
    }
    if let [one, several] = machines {
        text += &builds(figures, *one, *several);
        text += &big_lock(figures, *several);
    }
    text += &others.concat();
    replaced(page, &text, BEGIN, END)
}

/// The page with other figures by the clock.
pub(crate) fn page_by_the_clock(page: &str, text: &str) -> Result<String> {
    replaced(page, text, CLOCK_BEGIN, CLOCK_END)
}

/// The page with something else between two lines.
pub(super) fn replaced(page: &str, text: &str, begin: &str, end: &str) -> Result<String> {
    let parts = page.split_once(begin).and_then(|(before, rest)| {
        let (_, after) = rest.split_once(end)?;
        Some((before, after))
    });
    let Some((before, after)) = parts else {
        return Err(Failure::new(format!(
            "the page has no lines '{begin}' and '{end}'"
        )));
    };
    Ok(format!("{before}{begin}\n{text}\n{end}{after}"))
}

fn markdown(lines: &[Line<'_>], cores: u32) -> String {
    let mut text = String::new();
    for (kind, title) in [
        (Kind::OneWay, "one way"),
        (Kind::Whole, "whole operations"),
        (Kind::Across, "across cores"),
    ] {
        let lines: Vec<_> = lines.iter().filter(|line| line.row.kind == kind).collect();
        if lines.is_empty() {
            continue;
        }
        let plural = if cores == 1 { "core" } else { "cores" };
        let _ = write!(
            text,
            "\n### {cores} {plural}, {title}\n\n\
             | name | instructions | min | max | at most | seL4 | ratio | SGIs | waits | all | longest hold | |\n\
             |---|--:|--:|--:|--:|--:|--:|--:|--:|--:|--:|---|\n"
        );
        for line in lines {
            let figure = line.figure;
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} | {} |",
                figure.name,
                figure.instructions,
                figure.min,
                figure.max,
                or_dash(line.bar),
                or_dash(line.row.reference(cores)),
                hundredths(line.ratio()),
                figure.sgi,
                figure.lock_waits,
                figure.all_entries,
                figure.lock_hold,
                verdict(line).to_lowercase(),
            );
        }
    }
    let (good, all) = holding(lines);
    let _ = write!(text, "\n{good} of {all} hold.\n");
    text
}

/// What several cores cost.
fn builds(figures: &[Figure], one: u32, several: u32) -> String {
    let mut text = format!(
        "\n### The two builds\n\n| name | {one} core | {several} cores | ratio |\n|---|--:|--:|--:|\n"
    );
    for (name, few, many) in pairs(figures, one, several) {
        let _ = writeln!(
            text,
            "| {name} | {few} | {many} | {} |",
            hundredths(Some(many * 100 / few.max(1)))
        );
    }
    text
}

/// What it costs to take every lock, where nobody else wants any.
fn big_lock(figures: &[Figure], cores: u32) -> String {
    let of = |locks| {
        let mode = figure::mode(locks);
        let chosen = figures.iter().filter(move |figure| figure.mode == mode);
        chosen.cloned().collect::<Vec<Figure>>()
    };
    let (narrow, all) = (of(Locks::Default), of(Locks::All));
    let mut text = format!(
        "\n### {cores} cores, and every entry takes all locks\n\n\
         | name | instructions | with all locks | ratio | longest hold | with all locks |\n\
         |---|--:|--:|--:|--:|--:|\n"
    );
    for row in rows::on(cores) {
        if let Some(narrow) = find(&narrow, row.name, cores)
            && let Some(all) = find(&all, row.name, cores)
        {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} |",
                row.name,
                narrow.instructions,
                all.instructions,
                hundredths(Some(all.instructions * 100 / narrow.instructions.max(1))),
                narrow.lock_hold,
                all.lock_hold,
            );
        }
    }
    text
}

/// The same as [`builds`] for a terminal.
pub(crate) fn builds_in_short(figures: &[Figure], one: u32, several: u32, filter: &str) -> String {
    let mut text = format!("{:<24} {several} cores / {one} core\n", "");
    for (name, few, many) in pairs(figures, one, several) {
        if name.contains(filter) {
            let ratio = hundredths(Some(many * 100 / few.max(1)));
            let _ = writeln!(text, "{name:<24} {ratio:>7}");
        }
    }
    text
}

fn pairs(figures: &[Figure], one: u32, several: u32) -> Vec<(&'static str, u64, u64)> {
    let find =
        |name: &str, cores: u32| find(figures, name, cores).map(|figure| figure.instructions);
    rows::on(one)
        .filter_map(|row| Some((row.name, find(row.name, one)?, find(row.name, several)?)))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::super::figure::tests::figure;
    use super::*;

    #[test]
    fn bars_are_judged() {
        let mut figures = vec![
            figure("call", 4, 200),
            figure("reply_recv", 4, 241),
            figure("call_passive_remote", 4, 280),
            figure("migrate_running", 4, 9999),
        ];
        assert_eq!(holding(&of_machine(&figures, 4)), (3, 4));
        figures[2].instructions = 281;
        figures[3].sgi = 2;
        assert_eq!(holding(&of_machine(&figures, 4)), (1, 4));
        assert_eq!(holding(&of_machine(&figures, 1)), (0, 0));
        let table = terminal(&of_machine(&figures, 4), "call");
        assert_eq!(table.lines().count(), 3);
        assert!(table.contains("0.72") && table.contains("OVER"));
    }

    #[test]
    fn changes_are_shown() {
        let before = [figure("call", 1, 200), figure("send", 1, 10)];
        let now = [
            figure("call", 1, 150),
            figure("send", 1, 10),
            figure("yield", 1, 5),
        ];
        let text = changes(&before, &now, "");
        assert!(text.contains("-25.0%") && text.contains("is new"));
        assert!(text.contains("1 figures are the same"));
    }

    #[test]
    fn ways_to_lock_are_compared() {
        let before = [figure("call", 4, 200)];
        let mut now = [figure("call", 4, 250)];
        now[0].mode = figure::mode(Locks::All).to_string();
        let text = changes(&before, &now, "");
        assert!(text.contains("+25.0%"));
        assert!(text.contains("before: default; now: all-locks"));
        // The same way comes first.
        let both = [before[0].clone(), now[0].clone()];
        assert!(changes(&both, &now, "").contains("1 figures are the same"));
        assert!(!changes(&both, &now, "").contains("before: default"));
        let table = big_lock(&both, 4);
        assert!(table.contains("| call | 200 | 250 | 1.25 | 77 | 77 |"));
        assert!(!big_lock(&before, 4).contains("call"));
    }

    #[test]
    fn the_page_keeps_its_text() {
        let old = format!("# Title\n{BEGIN}\nold\n{END}\nmore\n");
        let figures = [figure("call", 1, 200), figure("call", 4, 300)];
        let others = ["\n### Others\n".to_string()];
        let new = page(&old, &figures, &[1, 4], &others).unwrap();
        assert!(new.contains("### Others"));
        assert!(new.starts_with("# Title\n") && new.ends_with("\nmore\n"));
        assert!(!new.contains("\nold\n") && new.contains("| call | 200 | 300 | 1.50 |"));
        assert_eq!(page(&new, &figures, &[1, 4], &others).unwrap(), new);
        assert!(page("# Title", &figures, &[1], &others).is_err());
        let clock = format!("{new}{CLOCK_BEGIN}\nearlier\n{CLOCK_END}\n");
        let clock = page_by_the_clock(&clock, "1.90").unwrap();
        assert!(clock.contains("1.90") && clock.contains("### Others"));
        assert!(!clock.contains("earlier"));
        assert!(page_by_the_clock(&new, "").is_err());
    }
}
