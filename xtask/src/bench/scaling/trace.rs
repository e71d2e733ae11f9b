//! What `kernel/tests/memtrace` wrote down: the kernel's loads and stores, core by core.

use super::{AT_ONCE, LOADS};
use crate::failure::{Failure, Result};
use std::collections::BTreeMap;

/// One load or store of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Access {
    /// Instructions of this core so far, that of the access included.
    pub(crate) at: u64,
    pub(crate) is_store: bool,
    pub(crate) is_device: bool,
    pub(crate) physical: u64,
    pub(crate) size: u64,
    pub(crate) address: u64,
    pub(crate) instruction: u64,
}

/// What one core did.
#[derive(Clone, Debug, Default)]
pub(crate) struct CoreTrace {
    pub(crate) accesses: Vec<Access>,
    /// Instructions, at user level too.
    pub(crate) executed: u64,
}

/// What so many cores did at once.
#[derive(Clone, Debug)]
pub(crate) struct Traced {
    pub(crate) load: &'static str,
    pub(crate) at_once: u32,
    /// By number.
    pub(crate) cores: Vec<CoreTrace>,
}

/// The loads in the order in which the program does them, on a machine with so many cores.
pub(crate) fn read(lines: impl Iterator<Item = String>, cores: u32) -> Result<Vec<Traced>> {
    let mut lines = lines;
    let mut all = Vec::new();
    for load in LOADS {
        for at_once in AT_ONCE.into_iter().filter(|&count| count <= cores) {
            let cores = one(&mut lines, at_once as usize).ok_or_else(|| {
                Failure::new(format!(
                    "the trace of {load} on {at_once} cores is not whole"
                ))
            })?;
            all.push(Traced {
                load,
                at_once,
                cores,
            });
        }
    }
    Ok(all)
}

/// Until so many cores have ended.
fn one(lines: &mut impl Iterator<Item = String>, cores: usize) -> Option<Vec<CoreTrace>> {
    // By the address of the core's own block: these are in the order of the cores.
    let mut traces: BTreeMap<u64, CoreTrace> = BTreeMap::new();
    let mut ended = 0;
    while ended < cores {
        let line = lines.next()?;
        let mut words = line.split(' ');
        let core = u64::from_str_radix(words.next()?, 16).ok()?;
        let at = words.next()?.parse().ok()?;
        match words.next()? {
            "on" => {
                traces.insert(core, CoreTrace::default());
            }
            "off" => {
                traces.get_mut(&core)?.executed = at;
                ended += 1;
            }
            kind => {
                let mut hex = || u64::from_str_radix(words.next()?, 16).ok();
                traces.get_mut(&core)?.accesses.push(Access {
                    at,
                    is_store: kind.eq_ignore_ascii_case("w"),
                    is_device: kind.chars().all(char::is_uppercase),
                    physical: hex()?,
                    size: hex()?,
                    address: hex()?,
                    instruction: hex()?,
                });
            }
        }
    }
    (traces.len() == cores).then(|| traces.into_values().collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "b0 0 on\nb0 5 r 40001000 8 ffff0000 ffffc000\nb0 9 W 8010010 4 ffff1000 ffffc004\nb0 20 off\n";

    #[test]
    fn accesses_are_read() {
        let text = format!("{ONE}c0 0 on\nb0 0 on\nc0 7 w 40 8 41 42\nc0 8 off\nb0 2 off\n");
        let whole = format!("{text}{text}");
        let traces = read(whole.lines().map(String::from), 2).unwrap();
        assert_eq!(traces.len(), 4);
        let first = &traces[0].cores[0];
        assert_eq!((first.executed, first.accesses.len()), (20, 2));
        assert!(!first.accesses[0].is_store && !first.accesses[0].is_device);
        assert!(first.accesses[1].is_store && first.accesses[1].is_device);
        let both = &traces[1];
        assert_eq!((both.load, both.at_once), ("call", 2));
        assert_eq!(both.cores[1].accesses[0].physical, 0x40);
        assert_eq!(both.cores[0].executed, 2);
    }

    #[test]
    fn an_end_is_needed() {
        let text = ONE.replace("b0 20 off\n", "");
        let failure = read(text.lines().map(String::from), 1).unwrap_err();
        assert!(failure.message.contains("call on 1 cores"));
        // Twice the same core is not two cores.
        let text = format!("{ONE}{ONE}{ONE}{ONE}{ONE}");
        let failure = read(text.lines().map(String::from), 2).unwrap_err();
        assert!(failure.message.contains("call on 2 cores"));
    }
}
