//! What was found out about cores that work at once, in words and tables.

use super::lines::SharedLine;
use super::plot::{self, Panel};
use super::{Curve, LEAST, LOADS, Lines, Rates, Scaling};
use crate::backtrace::function_at;
use crate::elf::Symbol;
use std::collections::BTreeSet;
use std::fmt::Write;

/// The numbers of cores of the tables.
const TABLE: [usize; 5] = [1, 2, 4, 8, 16];

/// A shared line in words: what it is, who writes and reads it, and the functions that do so.
pub(super) fn line(line: &SharedLine, symbols: &[Symbol<'_>]) -> String {
    let mut names: BTreeSet<String> = line
        .addresses
        .iter()
        .filter_map(|&address| datum(symbols, address))
        .collect();
    if names.is_empty() {
        names.insert(if line.is_device { "device" } else { "object" }.to_string());
    }
    let functions: BTreeSet<String> = line
        .instructions
        .iter()
        .filter_map(|&address| function_at(symbols, address))
        .collect();
    let list = |set: &BTreeSet<String>| set.iter().cloned().collect::<Vec<_>>().join(", ");
    format!(
        "{:#x} ({}), written by {:?}, read by {:?}, in {}",
        line.physical,
        list(&names),
        line.writers,
        line.readers,
        list(&functions)
    )
}

/// The datum around an address, with the distance from its beginning.
fn datum(symbols: &[Symbol<'_>], address: u64) -> Option<String> {
    let after = symbols.partition_point(|symbol| symbol.address <= address);
    let symbol = symbols[..after]
        .iter()
        .rev()
        .find(|symbol| !symbol.is_code && address - symbol.address < symbol.size.max(1))?;
    let into = address - symbol.address;
    Some(format!(
        "{:#}+{into:#x}",
        rustc_demangle::demangle(symbol.name)
    ))
}

impl Lines {
    fn verdict(&self) -> String {
        match self.shared.len() {
            0 => "none".to_string(),
            count => count.to_string(),
        }
    }
}

impl Scaling {
    /// For a terminal.
    pub(super) fn terminal(&self) -> String {
        let mut text = format!(
            "{:<10} {:>5} {:<10} {:>6} {:>8} {:>8}\n",
            "at once", "cores", "kernel", "sgi", "waits", "all"
        );
        for count in &self.counts {
            let _ = writeln!(
                text,
                "{:<10} {:>5} {:<10} {:>6} {:>8} {:>8}",
                count.load,
                count.at_once,
                count.mode,
                count.sgi,
                count.lock_waits,
                count.all_entries
            );
        }
        let _ = write!(
            text,
            "\n{:<10} {:>5} {:>8} {:>8} {:>8}\n",
            "lines", "cores", "touched", "written", "shared"
        );
        for lines in &self.lines {
            let _ = writeln!(
                text,
                "{:<10} {:>5} {:>8} {:>8} {:>8}",
                lines.load,
                lines.at_once,
                lines.touched,
                lines.written,
                lines.verdict()
            );
            for line in &lines.shared {
                let _ = writeln!(text, "    {line}");
            }
        }
        let _ = write!(
            text,
            "\n{:<10} {:<10} {:>7} {:>7}  operations in a million instructions of time\n",
            "model", "kernel", "all", "locked"
        );
        for curve in &self.curves {
            let [all, locked] = curve.per_operation();
            let _ = writeln!(
                text,
                "{:<10} {:<10} {all:>7} {locked:>7}  {}",
                curve.load,
                curve.mode,
                curve.table(", ", |cores, value| format!("{cores} cores: {value}"))
            );
        }
        text
    }

    /// For the page.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from(
            "\n### Cores at once\n\n\
             | load | cores | kernel | SGIs | waits | all |\n|---|--:|---|--:|--:|--:|\n",
        );
        for count in &self.counts {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} | {} |",
                count.load,
                count.at_once,
                count.mode,
                count.sgi,
                count.lock_waits,
                count.all_entries
            );
        }
        text += "\n### Cache lines\n\n\
                 | load | cores | lines touched | lines written | shared lines among them |\n\
                 |---|--:|--:|--:|---|\n";
        for lines in &self.lines {
            let _ = writeln!(
                text,
                "| {} | {} | {} | {} | {} |",
                lines.load,
                lines.at_once,
                lines.touched,
                lines.written,
                lines.verdict()
            );
        }
        let named: BTreeSet<&String> = self.lines.iter().flat_map(|lines| &lines.shared).collect();
        if !named.is_empty() {
            text.push('\n');
        }
        for line in named {
            let _ = writeln!(text, "- {line}");
        }
        text += "\n### What follows for more cores\n\n\
                 ![operations in a million instructions of time, for 1 to 16 cores](scaling.svg)\n\n\
                 | load | kernel | instructions of an operation | with a lock |";
        for cores in TABLE {
            let _ = write!(text, " {cores} |");
        }
        text += "\n|---|---|--:|--:|";
        text += &"--:|".repeat(TABLE.len());
        text.push('\n');
        for curve in &self.curves {
            let [all, locked] = curve.per_operation();
            let _ = writeln!(
                text,
                "| {} | {} | {all} | {locked} | {} |",
                curve.load,
                curve.mode,
                curve.table(" | ", |_, value| value.to_string())
            );
        }
        text
    }

    /// The picture for the page.
    pub(crate) fn svg(&self) -> String {
        let panel = |load: &'static str| Panel {
            title: load,
            curves: self
                .curves
                .iter()
                .filter(|curve| curve.load == load)
                .zip(["#1f6fb4", "#c8501e"])
                .map(|(curve, colour)| plot::Curve {
                    name: curve.mode,
                    colour,
                    values: &curve.throughput,
                })
                .collect(),
        };
        plot::svg(
            &LOADS.map(panel),
            "operations in a million instructions of time",
        )
    }
}

impl Curve {
    /// Instructions of an operation, and those with a lock.
    fn per_operation(&self) -> [u64; 2] {
        let operations = self.cycle.operations.max(1);
        [self.cycle.length(), self.cycle.locked()].map(|all| (all + operations / 2) / operations)
    }

    fn table(&self, between: &str, cell: impl Fn(usize, u64) -> String) -> String {
        TABLE
            .iter()
            .filter_map(|&cores| Some(cell(cores, *self.throughput.get(cores - 1)?)))
            .collect::<Vec<_>>()
            .join(between)
    }
}

impl Rates {
    /// For a terminal.
    pub(super) fn terminal(&self) -> String {
        let mut text = String::new();
        for (mode, ratio) in &self.0 {
            let _ = writeln!(
                text,
                "{mode:<10} {} calls in a second on 1 core, {} on 2: {} ({} are needed by default)",
                ratio.few,
                ratio.many,
                hundredths(ratio.hundredths()),
                hundredths(LEAST),
            );
        }
        text
    }

    /// For the page.
    pub(crate) fn markdown(&self) -> String {
        let mut text = String::from("\n| kernel | calls on 2 cores / on 1 core |\n|---|--:|\n");
        for (mode, ratio) in &self.0 {
            let ratio = hundredths(ratio.hundredths());
            let _ = writeln!(text, "| {mode} | {ratio} |");
        }
        text
    }
}

fn hundredths(number: u64) -> String {
    format!("{}.{:02}", number / 100, number % 100)
}

#[cfg(test)]
mod tests {
    use super::super::counts::Count;
    use super::super::rate::Ratio;
    use super::super::sections::Cycle;
    use super::*;

    #[test]
    fn a_line_is_named_by_what_is_in_it() {
        let symbol = |address, size, is_code, name| Symbol {
            address,
            size,
            is_code,
            name,
        };
        let symbols = [
            symbol(0x100, 0x40, true, "store_it"),
            symbol(0x1000, 0x80, false, "SYSTEM"),
        ];
        let shared = SharedLine {
            physical: 0x4000_0040,
            writers: BTreeSet::from([0, 1]),
            readers: BTreeSet::new(),
            is_device: false,
            addresses: BTreeSet::from([0x1048]),
            instructions: BTreeSet::from([0x104]),
        };
        assert_eq!(
            line(&shared, &symbols),
            "0x40000040 (SYSTEM+0x48), written by {0, 1}, read by {}, in store_it"
        );
        let elsewhere = SharedLine {
            addresses: BTreeSet::from([0x2000]),
            ..shared
        };
        assert!(line(&elsewhere, &symbols).contains("(object)"));
    }

    fn scaling() -> Scaling {
        let cycle = Cycle {
            sections: Vec::new(),
            rest: 2000,
            operations: 2,
        };
        Scaling {
            counts: vec![Count {
                load: "call",
                at_once: 8,
                mode: "all-locks",
                sgi: 1,
                lock_waits: 2,
                all_entries: 3,
            }],
            lines: vec![Lines {
                load: "mixed",
                at_once: 4,
                touched: 99,
                written: 55,
                shared: Vec::new(),
            }],
            curves: vec![Curve {
                load: "call",
                mode: "default",
                cycle,
                throughput: (1..=16).map(|cores| cores * 1000).collect(),
            }],
        }
    }

    #[test]
    fn tables_have_everything() {
        let mut scaling = scaling();
        let page = scaling.markdown();
        assert!(page.contains("| call | 8 | all-locks | 1 | 2 | 3 |"));
        assert!(page.contains("| mixed | 4 | 99 | 55 | none |"));
        assert!(page.contains("| call | default | 1000 | 0 | 1000 | 2000 | 4000 | 8000 | 16000 |"));
        let text = scaling.terminal();
        assert!(text.contains("none") && text.contains("16 cores: 16000"));
        scaling.lines[0].shared.push("0x40 (X)".to_string());
        assert!(scaling.markdown().contains("| 1 |\n\n- 0x40 (X)\n"));
        assert!(scaling.terminal().contains("    0x40 (X)"));
        assert!(scaling.svg().contains("default"));
    }

    #[test]
    fn ratios_have_two_digits() {
        let ratio = Ratio {
            few: 100,
            many: 187,
        };
        let rates = Rates(vec![("default", ratio)]);
        assert!(rates.terminal().contains("1.87 (1.85 are needed"));
        assert!(rates.markdown().contains("| default | 1.87 |"));
    }
}
