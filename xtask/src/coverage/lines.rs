//! What was reached, line by line: read from LLVM's tracefile, without the lines that are for tests only, and told as a
//! table or as the lines that are missing.

use crate::failure::{Context, Result};
use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write;
use std::fs;
use std::path::Path;

/// Attributes of what is not in the kernel on the target.
const FOR_TESTS: [&str; 2] = ["#[cfg(test)]", "#[cfg(not(target_os = \"none\"))]"];

/// How often each line of a file was reached, of those that have code.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct File {
    /// Below the workspace.
    pub(super) path: String,
    counts: BTreeMap<usize, u64>,
}

impl File {
    pub(super) fn leave_out(&mut self, is_out: impl Fn(usize) -> bool) {
        self.counts.retain(|&line, _| !is_out(line));
    }

    fn reached(&self) -> usize {
        self.counts.values().filter(|&&count| count > 0).count()
    }

    /// First and last lines of what was not reached. A range ends where a reached line comes between.
    fn ranges(&self) -> Vec<(usize, usize)> {
        let mut ranges: Vec<(usize, usize)> = Vec::new();
        let mut goes_on = false;
        for (&line, &count) in &self.counts {
            match ranges.last_mut() {
                Some((_, last)) if count == 0 && goes_on => *last = line,
                _ if count == 0 => ranges.push((line, line)),
                _ => {}
            }
            goes_on = count == 0;
        }
        ranges
    }
}

/// Reads a tracefile: the files below `root` that are wanted, by name.
pub(super) fn parse(text: &str, root: &Path, wanted: impl Fn(&str) -> bool) -> Vec<File> {
    let mut files: BTreeMap<String, BTreeMap<usize, u64>> = BTreeMap::new();
    let mut current = None;
    for line in text.lines() {
        if let Some(path) = line.strip_prefix("SF:") {
            let below = Path::new(path).strip_prefix(root).ok();
            current = below
                .and_then(Path::to_str)
                .filter(|path| wanted(path))
                .map(str::to_string);
        } else if let Some(path) = &current
            && let Some((line, count)) = line.strip_prefix("DA:").and_then(counted)
        {
            *files
                .entry(path.clone())
                .or_default()
                .entry(line)
                .or_default() += count;
        }
    }
    files
        .into_iter()
        .map(|(path, counts)| File { path, counts })
        .collect()
}

fn counted(text: &str) -> Option<(usize, u64)> {
    let (line, count) = text.split_once(',')?;
    Some((line.parse().ok()?, count.parse().ok()?))
}

/// A tracefile again, of what was kept.
pub(super) fn lcov(files: &[File]) -> String {
    let mut text = String::new();
    for file in files {
        // Writing to a string cannot fail.
        let _ = writeln!(text, "SF:{}", file.path);
        for (line, count) in &file.counts {
            let _ = writeln!(text, "DA:{line},{count}");
        }
        let (all, reached) = (file.counts.len(), file.reached());
        let _ = writeln!(text, "LF:{all}\nLH:{reached}\nend_of_record");
    }
    text
}

/// A file's text, and which of it is not in the kernel on the target.
pub(super) struct Source {
    lines: Vec<String>,
    for_tests: BTreeSet<usize>,
}

impl Source {
    pub(super) fn read(root: &Path, path: &str) -> Result<Self> {
        let place = root.join(path);
        let text = fs::read_to_string(&place).doing("read", &place)?;
        let mut source = Self::new(&text);
        if is_test_module(&place) {
            source.for_tests = (1..=source.lines.len()).collect();
        }
        Ok(source)
    }

    fn new(text: &str) -> Self {
        let lines: Vec<String> = text.lines().map(str::to_string).collect();
        let mut for_tests = BTreeSet::new();
        let mut index = 0;
        while index < lines.len() {
            if FOR_TESTS.contains(&lines[index].trim()) {
                let end = item_end(&lines, index);
                for_tests.extend(index + 1..=end + 1);
                index = end;
            }
            index += 1;
        }
        Self { lines, for_tests }
    }

    /// Lines are counted from one.
    pub(super) fn is_for_tests(&self, line: usize) -> bool {
        self.for_tests.contains(&line)
    }
}

/// Where the item with the attribute of this line ends: at the next line as far to the left that closes it. That is
/// where rustfmt puts it.
fn item_end(lines: &[String], attribute: usize) -> usize {
    let indentation = |line: &str| line.len() - line.trim_start().len();
    let depth = indentation(&lines[attribute]);
    (attribute + 1..lines.len())
        .find(|&index| {
            let line = &lines[index];
            !line.trim().is_empty() && indentation(line) == depth && line.ends_with(['}', ';', ','])
        })
        .unwrap_or(lines.len() - 1)
}

/// Whether a file is a module that its parent declares for tests only.
fn is_test_module(path: &Path) -> bool {
    let (Some(directory), Some(name)) = (path.parent(), path.file_stem().and_then(|s| s.to_str()))
    else {
        return false;
    };
    let parent = ["mod.rs", "lib.rs"].map(|file| directory.join(file));
    let beside = directory.with_extension("rs");
    parent.iter().chain([&beside]).any(|file| {
        fs::read_to_string(file).is_ok_and(|text| {
            let declaration = format!("mod {name};");
            let mut lines = text.lines();
            while lines.by_ref().any(|line| line == FOR_TESTS[0]) {
                let item = lines.by_ref().find(|line| !line.starts_with('#'));
                if item.is_some_and(|item| item.trim_start_matches("pub(crate) ") == declaration) {
                    return true;
                }
            }
            false
        })
    })
}

/// What was not reached in a file, with the text.
pub(super) fn unreached(file: &File, source: &Source) -> String {
    let mut text = String::new();
    for (first, last) in file.ranges() {
        let place = match last {
            _ if last == first => format!("{}:{first}", file.path),
            _ => format!("{}:{first}-{last}", file.path),
        };
        let _ = writeln!(text, "{place}");
        for line in &source.lines[first - 1..last.min(source.lines.len())] {
            let _ = writeln!(text, "    {line}");
        }
    }
    text
}

/// The share of lines that were reached.
pub(super) fn percent(files: &[&File]) -> f64 {
    let all: usize = files.iter().map(|file| file.counts.len()).sum();
    let reached: usize = files.iter().map(|file| file.reached()).sum();
    share(reached, all)
}

fn share(reached: usize, all: usize) -> f64 {
    100.0 * reached as f64 / all.max(1) as f64
}

pub(super) fn table(files: &[&File]) -> String {
    let width = files.iter().map(|file| file.path.len()).max().unwrap_or(0);
    let mut text = format!("{:width$}  lines  reached       %\n", "file");
    let mut row = |name: &str, all: usize, reached: usize| {
        let _ = writeln!(
            text,
            "{name:width$}  {all:5}  {reached:7}  {:6.2}",
            share(reached, all)
        );
    };
    let (mut lines, mut hits) = (0, 0);
    for file in files.iter().filter(|file| !file.counts.is_empty()) {
        let (all, reached) = (file.counts.len(), file.reached());
        row(&file.path, all, reached);
        (lines, hits) = (lines + all, hits + reached);
    }
    row("total", lines, hits);
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    const TRACE: &str = "SF:/w/kernel/src/a.rs\nFN:1,x\nDA:1,5\nDA:2,0\nDA:4,0\nDA:5,1\nDA:9,0\nend_of_record\n\
                         SF:/elsewhere/b.rs\nDA:1,1\nend_of_record\n";

    fn file() -> File {
        let mut files = parse(TRACE, Path::new("/w"), |_| true);
        assert_eq!(files.len(), 1);
        files.remove(0)
    }

    #[test]
    fn a_tracefile_is_read() {
        let file = file();
        assert_eq!(file.path, "kernel/src/a.rs");
        assert_eq!((file.counts.len(), file.reached()), (5, 2));
        assert_eq!(file.ranges(), [(2, 4), (9, 9)]);
        let again = parse(&lcov(&[file]), Path::new(""), |_| true);
        assert_eq!(again, [self::file()]);
    }

    #[test]
    fn tables_have_a_total() {
        let file = file();
        let text = table(&[&file]);
        assert!(
            text.ends_with("total                5        2   40.00\n"),
            "{text}"
        );
        assert_eq!(percent(&[]), 0.0);
    }

    #[test]
    fn missing_lines_are_shown() {
        let text = (1..=9).map(|n| format!("line {n}\n")).collect::<String>();
        let told = unreached(&file(), &Source::new(&text));
        assert_eq!(
            told,
            "kernel/src/a.rs:2-4\n    line 2\n    line 3\n    line 4\nkernel/src/a.rs:9\n    line 9\n"
        );
    }

    #[test]
    fn tests_are_left_out() {
        let source = Source::new(
            "fn a() {\n}\n\n#[cfg(test)]\nmod tests {\n    fn b() {\n    }\n}\nfn c() {}\nimpl X {\n    \
             #[cfg(not(target_os = \"none\"))]\n    fn d(\n    ) {\n    }\n    fn e() {}\n}\n",
        );
        let out: Vec<usize> = (1..=16).filter(|&line| source.is_for_tests(line)).collect();
        assert_eq!(out, [4, 5, 6, 7, 8, 11, 12, 13, 14]);
        let mut file = file();
        file.leave_out(|line| source.is_for_tests(line));
        assert_eq!((file.counts.len(), file.reached()), (3, 1));
    }

    #[test]
    fn modules_for_tests_are_known() {
        let kernel = Path::new(env!("CARGO_MANIFEST_DIR")).join("../kernel/src");
        assert!(is_test_module(&kernel.join("boot/tests.rs")));
        assert!(is_test_module(&kernel.join("vspace/bench.rs")));
        assert!(!is_test_module(&kernel.join("vspace/entry.rs")));
        assert!(!is_test_module(&kernel.join("cdt.rs")));
    }
}
