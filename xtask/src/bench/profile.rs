//! `cargo xtask bench NAME --profile`: where the instructions of one figure go, function by function.
//!
//! The program is built to measure that figure only, and booted with an emulator that executes one instruction at a time
//! and writes down each. What lies between two readings of the cycle counter and is as long as the figure is what was
//! measured. Functions that the compiler has inlined count for the function that they are in.

use super::rows::ROWS;
use crate::backtrace::function_at;
use crate::boards::Machine;
use crate::builder::read;
use crate::elf::{Elf, Symbol};
use crate::failure::{Context, Failure, Result, unknown};
use crate::qemu::Trace;
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

/// Where the kernel's code is: the loader's choice of its window, with room.
pub(super) const KERNEL: std::ops::Range<u64> = 0xffff_ffff_c000_0000..0xffff_ffff_c100_0000;
/// Of the root task's addresses, so many bytes.
const ROOT_SIZE: u64 = 1 << 24;

/// `MRS Xt, PMCCNTR_EL0` without its register (Arm ARM, *MRS*: op0 3, op1 3, CRn 9, CRm 13, op2 0).
const READ_COUNTER: u32 = 0xd53b_9d00;

/// Checks that there is a figure of this name.
pub(super) fn check(name: &str) -> Result<()> {
    if ROWS.iter().any(|row| row.name == name) {
        return Ok(());
    }
    Err(unknown("benchmark", name, ROWS.iter().map(|row| row.name)))
}

/// What the emulator is to write down.
pub(super) fn trace(root: &Path, file: &Path) -> Result<Trace> {
    let bytes = read(root)?;
    let base = Elf::parse(&bytes)?.base();
    Ok(Trace {
        file: file.to_path_buf(),
        addresses: vec![base..base + ROOT_SIZE, KERNEL],
    })
}

/// The instructions of one figure.
pub(super) struct Traced {
    name: String,
    machine: String,
    /// In the order of their execution.
    pub(super) addresses: Vec<u64>,
    pub(super) kernel: PathBuf,
    root: PathBuf,
    /// The file that has the addresses too.
    list: PathBuf,
}

impl Traced {
    /// Looks for as many instructions in what the emulator wrote.
    pub(super) fn read(
        machine: &Machine,
        name: &str,
        instructions: u64,
        log: &Path,
        kernel: &Path,
        root: &Path,
    ) -> Result<Self> {
        let readings = readings(&Elf::parse(&read(root)?)?)?;
        let file = File::open(log).doing("read", log)?;
        let addresses = BufReader::new(file)
            .lines()
            .map_while(std::result::Result::ok)
            .filter_map(|line| address(&line));
        let addresses = usual_stretch(addresses, &readings, instructions).ok_or_else(|| {
            Failure::new(format!(
                "no {instructions} instructions of {name} between two readings in {}",
                log.display()
            ))
        })?;
        // For tools that look inside functions, such as `addr2line --inlines`.
        let list = log.with_file_name("addresses");
        let lines: String = addresses.iter().map(|pc| format!("{pc:#x}\n")).collect();
        std::fs::write(&list, lines).doing("write", &list)?;
        Ok(Self {
            name: name.to_string(),
            machine: machine.describe(),
            addresses,
            kernel: kernel.to_path_buf(),
            root: root.to_path_buf(),
            list,
        })
    }

    /// The instructions of each function, the most first, as lines of text.
    pub(super) fn by_function(&self) -> Result<String> {
        let (kernel, root) = (read(&self.kernel)?, read(&self.root)?);
        let (kernel, root) = (Elf::parse(&kernel)?, Elf::parse(&root)?);
        let mut text = format!(
            "\n{} on {}: {} instructions\n(their addresses: {}, kernel: {})\n",
            self.name,
            self.machine,
            self.addresses.len(),
            self.list.display(),
            self.kernel.display()
        );
        for (function, count) in by_function(&self.addresses, &[kernel.symbols(), root.symbols()]) {
            text += &format!("{count:>7}  {function}\n");
        }
        Ok(text)
    }
}

/// The addresses of the root task's instructions that read the counter.
fn readings(root: &Elf<'_>) -> Result<BTreeSet<u64>> {
    let base = root.base();
    let words = root.flatten()?;
    let (words, _) = words.as_chunks::<4>();
    Ok((base..)
        .step_by(4)
        .zip(words)
        .filter(|(_, word)| u32::from_le_bytes(**word) & !0x1f == READ_COUNTER)
        .map(|(address, _)| address)
        .collect())
}

/// The address in a line `Trace n: 0xHOST [FLAGS/ADDRESS/...]`.
fn address(line: &str) -> Option<u64> {
    let (_, state) = line.strip_prefix("Trace ")?.split_once('[')?;
    u64::from_str_radix(state.split('/').nth(1)?, 16).ok()
}

/// The instructions between two readings that are as many and enter the kernel; those that were executed most often,
/// since what prepares a measurement may happen to be as long. Where a look at a floating-point register comes before the
/// second reading, they are one more.
fn usual_stretch(
    addresses: impl Iterator<Item = u64>,
    readings: &BTreeSet<u64>,
    instructions: u64,
) -> Option<Vec<u64>> {
    let mut found: BTreeMap<Vec<u64>, u64> = BTreeMap::new();
    let mut since = Vec::new();
    for address in addresses {
        if !readings.contains(&address) {
            since.push(address);
            continue;
        }
        let length = since.len() as u64;
        if (instructions..=instructions + 1).contains(&length)
            && since.iter().any(|address| KERNEL.contains(address))
        {
            *found.entry(std::mem::take(&mut since)).or_insert(0) += 1;
        }
        since.clear();
    }
    let (stretch, _) = found.into_iter().max_by_key(|(_, times)| *times)?;
    Some(stretch)
}

fn by_function(stretch: &[u64], tables: &[Vec<Symbol<'_>>]) -> Vec<(String, u64)> {
    let mut counts = BTreeMap::new();
    for &address in stretch {
        let name = tables
            .iter()
            .find_map(|symbols| function_at(symbols, address))
            .unwrap_or_else(|| "?".to_string());
        *counts.entry(name).or_insert(0) += 1;
    }
    let mut sorted: Vec<(String, u64)> = counts.into_iter().collect();
    sorted.sort_by_key(|(_, count)| std::cmp::Reverse(*count));
    sorted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_the_log_has_an_address() {
        let line =
            "Trace 0: 0x7f7284000280 [00004000/ffffffffc0000004/00000521/ff022201] trap_vectors";
        assert_eq!(address(line), Some(0xffff_ffff_c000_0004));
        assert_eq!(address("cpu_io_recompile: rewound execution"), None);
    }

    #[test]
    fn the_usual_stretch_of_the_right_length_counts() {
        let kernel = KERNEL.start;
        let readings = BTreeSet::from([100]);
        let stretches: [&[u64]; 6] = [
            &[4, kernel + 4],
            &[4, kernel],
            &[4, 8],
            &[4, 8],
            &[4, kernel],
            &[4, kernel + 8],
        ];
        let log = stretches
            .iter()
            .flat_map(|each| each.iter().copied().chain([100]));
        let found = usual_stretch(log.clone(), &readings, 2);
        assert_eq!(found, Some(vec![4, kernel]));
        assert_eq!(usual_stretch(log, &readings, 5), None);
    }

    #[test]
    fn names_have_to_be_whole() {
        assert!(check("call").is_ok());
        assert!(check("cal").unwrap_err().message.contains("reply_recv"));
    }
}
