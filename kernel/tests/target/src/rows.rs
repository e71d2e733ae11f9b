//! Rows of the interface: what a test checks, named for `docs/conformance.md`.

use libsel4::println;

/// Says which rows of `kernel/tests/conformance` the following lines check. They count as passed once the next rows are
/// named or the test ends well.
pub fn rows(ids: &[&str]) {
    assert!(!ids.is_empty());
    println!("row: {}", Joined(ids));
}

/// As [`rows`], for one.
pub fn row(id: &str) {
    rows(&[id]);
}

struct Joined<'a>(&'a [&'a str]);

impl core::fmt::Display for Joined<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        let mut separator = "";
        for id in self.0 {
            write!(f, "{separator}{id}")?;
            separator = " ";
        }
        Ok(())
    }
}
