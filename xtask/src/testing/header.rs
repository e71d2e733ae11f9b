//! How a test on the target wants to be run: the `//! key: value` lines at the top of its source file.

use crate::boards::{Machine, Wanted, default_board};
use crate::failure::{Failure, Result};
use std::time::Duration;

/// What the header of a test says, or leaves to the defaults.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    cores: Vec<u32>,
    gics: Vec<u32>,
    cpus: Vec<String>,
    icount: Vec<bool>,
    memory: Option<String>,
    pub(crate) config: Vec<String>,
    pub(crate) timeout: Duration,
    /// Each has to appear in a line of the console.
    expect: Vec<String>,
    /// None may appear in a line of the console.
    pub(crate) forbid: Vec<String>,
    pub(crate) exit: u8,
    /// A function that the kernel that is booted cannot execute.
    pub(crate) spoil: Option<String>,
}

/// In an expected text: the number of the last core.
const LAST: &str = "{last}";

impl Header {
    /// For a test: counting instructions, so that it does the same every time.
    pub(crate) fn for_tests() -> Self {
        Self {
            cores: vec![1, 2, 4],
            gics: vec![2],
            cpus: Vec::new(),
            icount: vec![true],
            memory: None,
            config: Vec::new(),
            timeout: Duration::from_secs(60),
            expect: Vec::new(),
            forbid: Vec::new(),
            exit: 0,
            spoil: None,
        }
    }

    /// For an example: in real time too, as a person runs it.
    pub(crate) fn for_examples() -> Self {
        Self {
            icount: vec![true, false],
            timeout: Duration::from_secs(120),
            ..Self::for_tests()
        }
    }

    /// Reads the module documentation at the start of a source file over these defaults. Lines that do not start with a
    /// key of ours are prose.
    pub(crate) fn read(mut self, source: &str) -> Result<Self> {
        let mut in_preamble = source.lines().map(str::trim).take_while(|line| {
            line.is_empty() || line.starts_with("//") || line.starts_with("#![")
        });
        in_preamble.try_for_each(|line| {
            let setting = line
                .strip_prefix("//!")
                .and_then(|text| text.trim().split_once(':'));
            match setting {
                Some((key, value)) => self.set(key.trim(), value.trim()),
                None => Ok(()),
            }
        })?;
        Ok(self)
    }

    fn set(&mut self, key: &str, value: &str) -> Result<()> {
        match key {
            "cores" => self.cores = numbers(key, value)?,
            "gic" => self.gics = numbers(key, value)?,
            "cpu" => self.cpus = value.split_whitespace().map(String::from).collect(),
            "icount" => {
                self.icount = match value {
                    "yes" => vec![true],
                    "no" => vec![false],
                    "both" => vec![true, false],
                    _ => return Err(bad(key, value, "yes, no or both")),
                }
            }
            "memory" => self.memory = Some(value.to_string()),
            "config" => self.config.push(value.to_string()),
            "timeout" => {
                let seconds = value.parse().map_err(|_| bad(key, value, "seconds"))?;
                self.timeout = Duration::from_secs(seconds);
            }
            "expect" => self.expect.push(value.to_string()),
            "forbid" => self.forbid.push(value.to_string()),
            "expect-exit" => {
                self.exit = value
                    .parse()
                    .map_err(|_| bad(key, value, "a number up to 255"))?;
            }
            "spoil" => self.spoil = Some(value.to_string()),
            _ => (),
        }
        Ok(())
    }

    /// What has to appear on the console of a machine.
    pub(crate) fn expect_on(&self, machine: &Machine) -> Vec<String> {
        let last = (machine.cores - 1).to_string();
        self.expect
            .iter()
            .map(|text| text.replace(LAST, &last))
            .collect()
    }

    /// Every machine the test is to run on, each with words that tell it from the others.
    pub(crate) fn machines(&self) -> Result<Vec<(String, Machine)>> {
        let cpus: Vec<Option<&String>> = match self.cpus.as_slice() {
            [] => vec![None],
            some => some.iter().map(Some).collect(),
        };
        let mut machines = Vec::new();
        for &cores in &self.cores {
            for &gic in &self.gics {
                for &cpu in &cpus {
                    for &icount in &self.icount {
                        let wanted = Wanted {
                            cores: Some(cores),
                            gic: Some(gic),
                            cpu: cpu.cloned(),
                            memory: self.memory.clone(),
                            icount,
                        };
                        let mut words = format!(
                            "{cores} {}, GICv{gic}",
                            if cores == 1 { "core" } else { "cores" }
                        );
                        if let Some(cpu) = cpu {
                            words += &format!(", {cpu}");
                        }
                        words += if icount { ", icount" } else { ", real time" };
                        machines.push((words, default_board().machine(&wanted)?));
                    }
                }
            }
        }
        Ok(machines)
    }
}

fn numbers(key: &str, value: &str) -> Result<Vec<u32>> {
    let numbers: Vec<u32> = value
        .split_whitespace()
        .map(str::parse)
        .collect::<std::result::Result<_, _>>()
        .map_err(|_| bad(key, value, "numbers"))?;
    if numbers.is_empty() {
        return Err(bad(key, value, "numbers"));
    }
    Ok(numbers)
}

fn bad(key: &str, value: &str, expected: &str) -> Failure {
    Failure::new(format!("`{key}: {value}` should have {expected}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_header_means_the_defaults() {
        let read = |source| Header::for_tests().read(source).unwrap();
        assert_eq!(read(""), Header::for_tests());
        assert_eq!(
            read("//! Prose: with a colon.\nfn main() {}\n//! cores: 8\n"),
            Header::for_tests()
        );
    }

    #[test]
    fn every_key_is_read() {
        let source = "//! A test.\n//!\n//! cores: 1 8\n//! gic: 2 3\n//! icount: both\n\
            //! cpu: max cortex-a53\n//! config: PRINTING=false\n//! config: A=1\n//! timeout: 7\n\
            //! expect-exit: 42\n//! expect: kernel panic: on core {last}\n//! memory: 256M\n\
            //! spoil: kernel::f\n//! forbid: error\n\n#![no_std]\n";
        let header = Header::for_tests().read(source).unwrap();
        assert_eq!(header.timeout, Duration::from_secs(7));
        assert_eq!(header.exit, 42);
        assert_eq!(header.spoil.as_deref(), Some("kernel::f"));
        assert_eq!(header.forbid, ["error"]);
        assert_eq!(header.config, ["PRINTING=false", "A=1"]);
        let machines = header.machines().unwrap();
        assert_eq!(machines.len(), 16);
        assert_eq!(machines[0].0, "1 core, GICv2, max, icount");
        assert!(machines[0].1.describe().contains("256M"));
        assert_eq!(machines[15].0, "8 cores, GICv3, cortex-a53, real time");
        let expect = header.expect_on(&machines[15].1);
        assert_eq!(expect, ["kernel panic: on core 7"]);
    }

    #[test]
    fn nonsense_is_refused() {
        for line in [
            "cores: many",
            "cores:",
            "icount: maybe",
            "timeout: soon",
            "expect-exit: 256",
        ] {
            let problem = Header::for_tests()
                .read(&format!("//! {line}"))
                .unwrap_err();
            assert!(problem.message.contains(line.split(':').next().unwrap()));
        }
        let header = Header::for_tests().read("//! gic: 5").unwrap();
        assert!(header.machines().is_err());
    }
}
