//! Which row of the interface is checked by which test, and with what result: `docs/conformance.md`.
//!
//! The rows are listed in `kernel/tests/conformance/*.rows`. A test on the target names the rows that it checks next in
//! lines of its console (`tern_target_tests::rows`). Where a run ends badly, the rows named last have failed.

use crate::failure::{Context, Failure, Result};
use crate::workspace::Workspace;
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::PathBuf;

/// How a console line that names rows begins.
const MARK: &str = "row: ";

/// One list of rows: a file.
struct List {
    title: String,
    lines: Vec<Line>,
}

enum Line {
    Section(String),
    Row { id: String, text: String },
}

/// Every row that there is.
pub(crate) struct Rows {
    lists: Vec<List>,
}

/// What the tests that ran have shown.
#[derive(Default)]
pub(crate) struct Shown {
    /// For each row, the tests that check it, and whether all their runs passed.
    tests: BTreeMap<String, BTreeMap<String, bool>>,
}

impl Rows {
    pub(crate) fn read(workspace: &Workspace) -> Result<Self> {
        let directory = workspace.root.join("kernel/tests/conformance");
        let entries = fs::read_dir(&directory).doing("read", &directory)?;
        let mut files = Vec::new();
        for entry in entries {
            let path = entry.doing("read", &directory)?.path();
            if path.extension().is_some_and(|kind| kind == "rows") {
                files.push(path);
            }
        }
        files.sort();
        let mut lists = Vec::new();
        for file in files {
            let text = fs::read_to_string(&file).doing("read", &file)?;
            let list =
                parse(&text).map_err(|what| Failure::new(format!("{}: {what}", file.display())))?;
            lists.push(list);
        }
        let rows = Self { lists };
        rows.check_unique()?;
        Ok(rows)
    }

    fn ids(&self) -> impl Iterator<Item = &str> {
        let lines = self.lists.iter().flat_map(|list| &list.lines);
        lines.filter_map(|line| match line {
            Line::Row { id, .. } => Some(id.as_str()),
            Line::Section(_) => None,
        })
    }

    pub(crate) fn count(&self) -> usize {
        self.ids().count()
    }

    fn check_unique(&self) -> Result<()> {
        let mut seen = BTreeSet::new();
        match self.ids().find(|id| !seen.insert(*id)) {
            Some(twice) => Err(Failure::new(format!("the row '{twice}' is listed twice"))),
            None => Ok(()),
        }
    }

    /// The page.
    pub(crate) fn table(&self, shown: &Shown) -> String {
        let mut page = String::from(
            "# Conformance\n\nEvery row of the interface, the tests on the target that check it, and the result. \
             Written by `cargo xtask conformance`; the rows are in `kernel/tests/conformance`.\n",
        );
        for list in &self.lists {
            let _ = write!(page, "\n## {}\n", list.title);
            let mut in_table = false;
            for line in &list.lines {
                match line {
                    Line::Section(title) => {
                        let _ = write!(page, "\n### {title}\n");
                        in_table = false;
                    }
                    Line::Row { id, text } => {
                        if !in_table {
                            page += "\n| row | what | test | result |\n|---|---|---|---|\n";
                            in_table = true;
                        }
                        let (tests, result) = shown.of(id);
                        let text = text.replace('|', "\\|");
                        let _ = writeln!(page, "| {id} | {text} | {tests} | {result} |");
                    }
                }
            }
        }
        page
    }

    /// What is wrong with what the tests have shown, a line each.
    pub(crate) fn problems(&self, shown: &Shown) -> Vec<String> {
        let known: BTreeSet<&str> = self.ids().collect();
        let unknown = shown
            .tests
            .iter()
            .filter(|(id, _)| !known.contains(id.as_str()));
        let unknown = unknown.map(|(id, tests)| {
            let tests: Vec<&str> = tests.keys().map(String::as_str).collect();
            format!("there is no row '{id}', which {} names", tests.join(", "))
        });
        let unshown = self.ids().filter_map(|id| match shown.of(id).1 {
            "pass" => None,
            result => Some(format!("row '{id}': {result}")),
        });
        unknown.chain(unshown).collect()
    }
}

impl Shown {
    /// Notes what a run of a test has shown.
    pub(crate) fn note(&mut self, test: &str, log: &str, passed: bool) {
        let marks: Vec<&str> = log
            .lines()
            .filter_map(|line| line.trim().strip_prefix(MARK))
            .collect();
        for (index, mark) in marks.iter().enumerate() {
            let good = passed || index + 1 < marks.len();
            for id in mark.split_whitespace() {
                let tests = self.tests.entry(id.to_string()).or_default();
                *tests.entry(test.to_string()).or_insert(true) &= good;
            }
        }
    }

    /// The tests of a row, and the result.
    fn of(&self, id: &str) -> (String, &'static str) {
        match self.tests.get(id) {
            None => (String::new(), "no test"),
            Some(tests) => {
                let names: Vec<&str> = tests.keys().map(String::as_str).collect();
                let good = tests.values().all(|good| *good);
                (names.join(", "), if good { "pass" } else { "fail" })
            }
        }
    }
}

/// Where the page is.
pub(crate) fn page(workspace: &Workspace) -> PathBuf {
    workspace.root.join("docs/conformance.md")
}

fn parse(text: &str) -> std::result::Result<List, String> {
    let mut lines = text.lines().filter(|line| !line.trim().is_empty());
    let title = lines
        .next()
        .and_then(|line| line.strip_prefix("# "))
        .ok_or("the first line should be '# ' and a title")?
        .to_string();
    let lines = lines.map(|line| match line.strip_prefix("## ") {
        Some(section) => Ok(Line::Section(section.to_string())),
        None => match line.split_once(char::is_whitespace) {
            Some((id, text)) if !id.is_empty() => Ok(Line::Row {
                id: id.to_string(),
                text: text.trim().to_string(),
            }),
            _ => Err(format!("'{line}' should be a row's name and what it says")),
        },
    });
    Ok(List {
        title,
        lines: lines.collect::<std::result::Result<_, _>>()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(text: &str) -> Rows {
        Rows {
            lists: vec![parse(text).unwrap()],
        }
    }

    const LIST: &str =
        "# Calls\n\n## Send\nsend.a  one | other\nsend.b  two\n\n## Wait\nwait  three\n";

    #[test]
    fn a_row_passes_when_all_its_runs_do() {
        let rows = rows(LIST);
        let mut shown = Shown::default();
        shown.note("t1", "row: send.a send.b\nother line\nrow: wait\r\n", true);
        shown.note("t2", "row: wait\n", true);
        assert_eq!(rows.problems(&shown), Vec::<String>::new());
        let page = rows.table(&shown);
        assert!(page.contains("### Send\n\n| row | what | test | result |\n|---|---|---|---|\n| send.a | one \\| other | t1 | pass |\n"));
        assert!(page.contains("| wait | three | t1, t2 | pass |\n"));
        // What was named before the last line had been passed.
        shown.note("t2", "row: send.a\nrow: wait\npanicked\n", false);
        assert_eq!(rows.problems(&shown), ["row 'wait': fail"]);
        shown.note("t2", "row: wait\n", true);
        assert_eq!(rows.problems(&shown), ["row 'wait': fail"]);
    }

    #[test]
    fn rows_without_a_test_and_without_a_list_are_told() {
        let mut shown = Shown::default();
        shown.note("t", "row: send.a send.c\n", true);
        let problems = rows(LIST).problems(&shown);
        assert_eq!(
            problems,
            [
                "there is no row 'send.c', which t names",
                "row 'send.b': no test",
                "row 'wait': no test"
            ]
        );
    }

    #[test]
    fn lists_are_checked() {
        assert!(parse("no title\n").is_err());
        assert!(parse("# title\nlonely\n").is_err());
        assert!(rows("# title\na  x\na  y\n").check_unique().is_err());
    }
}
