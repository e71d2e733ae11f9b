//! Budgets as tables: for the terminal, and for the page.

use super::super::rows::{Kind, Row};
use super::steps;
use std::collections::BTreeMap;
use std::fmt::Write;

/// Figures side by side in a table of the page.
const COLUMNS: usize = 8;

/// How many instructions the steps of one figure take.
pub(super) struct Budget {
    row: &'static Row,
    aim: u64,
    /// Of each step, by function.
    counts: BTreeMap<&'static str, BTreeMap<String, u64>>,
}

impl Budget {
    pub(super) fn new(row: &'static Row, aim: u64) -> Self {
        Self {
            row,
            aim,
            counts: BTreeMap::new(),
        }
    }

    /// One more instruction.
    pub(super) fn add(&mut self, step: &'static str, function: &str) {
        let functions = self.counts.entry(step).or_default();
        *functions.entry(function.to_string()).or_insert(0) += 1;
    }

    fn of(&self, step: &str) -> u64 {
        self.counts
            .get(step)
            .map_or(0, |functions| functions.values().sum())
    }

    fn sum(&self) -> u64 {
        self.counts.keys().map(|step| self.of(step)).sum()
    }

    /// The steps with their functions.
    pub(super) fn terminal(&self) -> String {
        let (sum, aim) = (self.sum(), self.aim);
        let mut text = format!("{}: {sum} instructions, at most {aim}\n", self.row.name);
        for step in steps::all() {
            let Some(functions) = self.counts.get(step) else {
                continue;
            };
            let _ = writeln!(text, "{:>7}  {step}", self.of(step));
            let mut functions: Vec<_> = functions.iter().collect();
            functions.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
            for (function, count) in functions {
                let _ = writeln!(text, "{:>7}  {count:>5}  {function}", "");
            }
        }
        text
    }
}

/// So many cores, in words.
pub(super) fn cores(cores: u32) -> String {
    let plural = if cores == 1 { "core" } else { "cores" };
    format!("{cores} {plural}")
}

/// The tables of one machine.
pub(super) fn markdown(budgets: &[Budget], cores: u32) -> String {
    let machine = self::cores(cores);
    if budgets.is_empty() {
        return format!("\n## {machine}\n\nEvery aim is reached.\n");
    }
    let mut text = format!("\n## {machine}\n");
    for kind in [Kind::OneWay, Kind::Whole, Kind::Across] {
        let budgets: Vec<&Budget> = budgets
            .iter()
            .filter(|each| each.row.kind == kind)
            .collect();
        for budgets in budgets.chunks(COLUMNS) {
            text += &side_by_side(budgets);
        }
    }
    text
}

fn side_by_side(budgets: &[&Budget]) -> String {
    let line = |name: &str, cell: &dyn Fn(&Budget) -> String| {
        let cells: String = budgets
            .iter()
            .map(|budget| format!(" {} |", cell(budget)))
            .collect();
        format!("| {name} |{cells}\n")
    };
    let or_empty = |count: u64| match count {
        0 => String::new(),
        count => count.to_string(),
    };
    let mut text = format!("\n{}", line("step", &|each| each.row.name.to_string()));
    let _ = writeln!(text, "|---|{}", "--:|".repeat(budgets.len()));
    for step in steps::all() {
        if budgets.iter().any(|each| each.of(step) > 0) {
            text += &line(step, &|each| or_empty(each.of(step)));
        }
    }
    text += &line("**sum**", &|each| format!("**{}**", each.sum()));
    text += &line("at most", &|each| each.aim.to_string());
    text + &line("too many", &|each| {
        or_empty(each.sum().saturating_sub(each.aim))
    })
}

#[cfg(test)]
mod tests {
    use super::super::super::rows;
    use super::*;

    fn budget(name: &str, aim: u64, counts: &[(&'static str, &str, u64)]) -> Budget {
        let row = rows::on(4).find(|row| row.name == name).unwrap();
        let mut budget = Budget::new(row, aim);
        for &(step, function, count) in counts {
            (0..count).for_each(|_| budget.add(step, function));
        }
        budget
    }

    #[test]
    fn steps_stand_side_by_side() {
        let budgets = [
            budget("call", 6, &[("trap: exit", "a", 5), ("message", "b", 2)]),
            budget("send", 9, &[("trap: exit", "a", 10)]),
        ];
        let page = markdown(&budgets, 4);
        assert!(page.contains("## 4 cores"));
        assert!(page.contains("| step | call | send |\n|---|--:|--:|\n| trap: exit | 5 | 10 |\n"));
        assert!(page.contains("| message | 2 |  |\n| **sum** | **7** | **10** |\n"));
        assert!(page.contains("| at most | 6 | 9 |\n| too many | 1 | 1 |"));
    }

    #[test]
    fn kinds_and_long_lists_are_told_apart() {
        let one = || budget("call", 1, &[("message", "b", 2)]);
        let whole = budget("page_map", 1, &[("message", "b", 2)]);
        let mut budgets: Vec<Budget> = (0..COLUMNS).map(|_| one()).collect();
        assert_eq!(markdown(&budgets, 1).matches("| step |").count(), 1);
        budgets.push(one());
        assert_eq!(markdown(&budgets, 1).matches("| step |").count(), 2);
        budgets.push(whole);
        assert_eq!(markdown(&budgets, 1).matches("| step |").count(), 3);
        assert!(markdown(&[], 1).contains("Every aim is reached."));
    }

    #[test]
    fn functions_stand_below_their_steps() {
        let budget = budget("call", 6, &[("message", "few", 1), ("message", "many", 5)]);
        let text = budget.terminal();
        assert!(text.starts_with("call: 6 instructions, at most 6\n      6  message\n"));
        assert!(text.find("many").unwrap() < text.find("few").unwrap());
    }
}
