//! The table of `docs/unsafe.md` that says how much unsafe code each file of the kernel has, held against the sources.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

const PAGE: &str = "docs/unsafe.md";
const SOURCES: &str = "kernel/src";
/// The heading above the table.
const HEADING: &str = "### How much";

/// Unsafe code of a file: blocks, and functions, implementations and foreign declarations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Count {
    blocks: usize,
    items: usize,
}

impl Count {
    /// Tests at the end of a file, comments and lints do not count.
    fn of(text: &str) -> Self {
        let mut count = Self::default();
        for line in text.lines() {
            if line == "#[cfg(test)]" {
                break;
            }
            let code = line.split("//").next().unwrap_or_default();
            for (place, word) in code.match_indices("unsafe") {
                let before = code[..place].chars().next_back();
                let after = &code[place + word.len()..];
                let inside = |c: char| c.is_alphanumeric() || c == '_';
                if before.is_some_and(inside) {
                    continue;
                }
                if after.starts_with(" {") {
                    count.blocks += 1;
                } else if [" fn ", " impl ", " extern "]
                    .iter()
                    .any(|start| after.starts_with(start))
                {
                    count.items += 1;
                }
            }
        }
        count
    }
}

type Table = BTreeMap<String, Count>;

fn files(directory: &Path, found: &mut Vec<PathBuf>) {
    let entries = fs::read_dir(directory).expect("a directory of sources");
    for entry in entries {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|kind| kind == "rs") && !path.ends_with("tests.rs") {
            found.push(path);
        }
    }
}

fn counted(root: &Path) -> Table {
    let sources = root.join(SOURCES);
    let mut found = Vec::new();
    files(&sources, &mut found);
    let counts = found.into_iter().map(|path| {
        let text = fs::read_to_string(&path).expect("a source file");
        let name = path.strip_prefix(&sources).expect("a path below");
        (name.display().to_string(), Count::of(&text))
    });
    counts
        .filter(|(_, count)| *count != Count::default())
        .collect()
}

/// Rows as they stand in the page.
fn told(table: &Table) -> String {
    let mut text = String::from(
        "| file | blocks | functions, implementations, declarations |\n|---|---|---|\n",
    );
    for (name, count) in table {
        text += &format!("| `{name}` | {} | {} |\n", count.blocks, count.items);
    }
    let blocks: usize = table.values().map(|count| count.blocks).sum();
    let items: usize = table.values().map(|count| count.items).sum();
    text + &format!("| all | {blocks} | {items} |\n")
}

#[test]
fn words_are_counted() {
    let count = Count::of(
        "#![deny(unsafe_code)]\nunsafe impl Sync for A {}\n// unsafe { }\nlet a = unsafe { *b };\npub unsafe fn f() {}\n#[cfg(test)]\nunsafe { }\n",
    );
    assert_eq!(
        count,
        Count {
            blocks: 1,
            items: 2
        }
    );
}

#[test]
fn the_table_is_what_the_sources_have() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join(PAGE)).expect("the page");
    let (_, rest) = page.split_once(HEADING).expect("the heading");
    let rows = rest.lines().skip_while(|line| !line.starts_with('|'));
    let there: Vec<&str> = rows.take_while(|line| line.starts_with('|')).collect();
    let right = told(&counted(&root));
    assert_eq!(
        there,
        right.lines().collect::<Vec<_>>(),
        "the table under '{HEADING}' in {PAGE} should be\n{right}"
    );
}
