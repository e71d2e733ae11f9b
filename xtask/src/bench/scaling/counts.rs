//! What the kernel counted while cores worked at once: lines `count scale_LOAD_CORES SGIS WAITS ALL HOLD`.

use super::{AT_ONCE, LOADS};
use crate::failure::{Failure, Result};

/// Of one load, on so many cores at once.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Count {
    pub(crate) load: &'static str,
    pub(crate) at_once: u32,
    /// How the kernel locks.
    pub(crate) mode: &'static str,
    pub(crate) sgi: u64,
    pub(crate) lock_waits: u64,
    pub(crate) all_entries: u64,
}

impl Count {
    /// Whether the cores had nothing to do with each other.
    pub(crate) fn is_clean(&self) -> bool {
        (self.sgi, self.lock_waits, self.all_entries) == (0, 0, 0)
    }
}

/// The counts on a machine with so many cores.
pub(crate) fn read(console: &str, cores: u32, mode: &'static str) -> Result<Vec<Count>> {
    let mut counts = Vec::new();
    for load in LOADS {
        for at_once in AT_ONCE.into_iter().filter(|&count| count <= cores) {
            let name = format!("scale_{load}_{at_once}");
            let [sgi, lock_waits, all_entries, _] =
                super::super::figure::line(console, "count", &name)
                    .ok_or_else(|| Failure::new(format!("no counts of {name}")))?;
            counts.push(Count {
                load,
                at_once,
                mode,
                sgi,
                lock_waits,
                all_entries,
            });
        }
    }
    Ok(counts)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::scaling::nothing_shared;

    #[test]
    fn counts_are_read() {
        let console: String = nothing_shared(2)
            .iter()
            .map(|line| format!("{line}77\n"))
            .collect();
        let counts = read(&console, 2, "default").unwrap();
        assert_eq!(counts.len(), 4);
        assert!(counts.iter().all(Count::is_clean));
        let waits = console.replace("mixed_2 0 0", "mixed_2 0 5");
        let counts = read(&waits, 2, "default").unwrap();
        assert_eq!((counts[3].lock_waits, counts[3].is_clean()), (5, false));
        let missing = read(&console, 4, "default").unwrap_err();
        assert!(missing.message.contains("scale_call_4"));
    }
}
