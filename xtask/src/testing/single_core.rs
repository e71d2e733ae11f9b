//! What the short cuts of a kernel for one core are made of: no lock, and no look at whose objects they touch.
//!
//! Two kernels are built as `cargo xtask bench` builds them, for one core and for four. Their machine code is decoded:
//! the three functions that the trap calls, into which the short cuts are inlined, and everything that these can call,
//! up to where the usual way begins. What the code for one core must not have, that for four has, which shows that the
//! check would find it.
//!
//! A lock is seen by its instructions. Whose an object is stands in words of 16 bits (`object::Home`) and in the low bits
//! of the first word of an endpoint, notification or reply object. The former are seen: short cuts load nothing else of 16
//! bits. The latter are part of words that are read anyway; that nothing is compared with them follows from the constant
//! `SMP`, on which `Kernel::holds` and `fast::reach` depend as the locks do.

mod decode;

use self::decode::Kind;
use super::runner::Tally;
use crate::bench;
use crate::builder::{self, Ending, Profile, Variant};
use crate::cli::Locks;
use crate::elf::{Elf, Symbol};
use crate::failure::{Failure, Result};
use crate::workspace::Workspace;
use std::collections::{BTreeMap, BTreeSet};
use std::time::Instant;

pub(super) const NAME: &str = "code of the short cuts (1 core, release)";

/// What the trap calls.
const ENTRIES: [&str; 3] = ["handle_syscall", "handle_exception", "handle_interrupt"];
const MODULE: &str = "tern_kernel::arch::aarch64::trap::";

/// Where the usual way begins, which every short cut falls back to. It may stop other cores, so it has a lock for that.
const USUAL_WAY: [&str; 4] = [
    "tern_kernel::entry::enter",
    "tern_kernel::entry::enter_acknowledged",
    "tern_kernel::entry::enter_locked",
    "tern_kernel::entry::call_locked",
];
/// Panics end here, and never come back.
const PANICS: &str = "core::panicking::";

/// Whether the test is among those whose names match.
pub(super) fn is_selected(filter: Option<&str>) -> bool {
    filter.is_none_or(|filter| NAME.contains(filter))
}

pub(super) fn run(workspace: &Workspace) -> Result<Tally> {
    let started = Instant::now();
    let code = |cores| -> Result<Code> {
        let variant = Variant {
            profile: Profile::Release,
            config: bench::config(workspace, cores, Locks::Default, false)?,
            ending: Ending::Semihosting,
        };
        let kernel = builder::system(workspace, &variant)?.kernel;
        let bytes = builder::read(&kernel)?;
        Code::of(&Elf::parse(&bytes)?)
    };
    let (one, several) = (code(1)?, code(4)?);
    let problems = [one.problems_of_one(), several.problems_of_several()].concat();
    let seconds = started.elapsed().as_secs_f64();
    let verdict = if problems.is_empty() {
        "ok   "
    } else {
        "FAIL "
    };
    println!("{verdict} {NAME} ({seconds:.1} s)");
    for (cores, code) in [(1, &one), (4, &several)] {
        println!(
            "    {cores} core{}: {code}",
            if cores == 1 { "" } else { "s" }
        );
    }
    for problem in &problems {
        println!("    {problem}");
    }
    Ok(Tally {
        passed: u64::from(problems.is_empty()),
        failed: u64::from(!problems.is_empty()),
        skipped: 0,
    })
}

/// A function: its instructions that are not like all others, by kind.
#[derive(Default)]
struct Function {
    instructions: usize,
    kinds: BTreeMap<Kind, Vec<u64>>,
}

impl Function {
    fn places(&self, kind: Kind) -> &[u64] {
        self.kinds.get(&kind).map_or(&[], Vec::as_slice)
    }

    fn has(&self, kind: Kind) -> bool {
        !self.places(kind).is_empty()
    }
}

/// The functions that a kernel's short cuts consist of, by name.
struct Code {
    functions: BTreeMap<String, Function>,
    /// The beginnings of the usual way that they lead to.
    left_to: BTreeSet<String>,
}

impl Code {
    fn of(elf: &Elf<'_>) -> Result<Self> {
        let symbols: Vec<Symbol<'_>> = elf
            .symbols()
            .into_iter()
            .filter(|symbol| symbol.is_code)
            .collect();
        let mut code = Self {
            functions: BTreeMap::new(),
            left_to: BTreeSet::new(),
        };
        let mut ahead = Vec::new();
        for entry in ENTRIES {
            let name = format!("{MODULE}{entry}");
            let found = symbols.iter().position(|symbol| plain(symbol) == name);
            ahead.push(found.ok_or_else(|| Failure::new(format!("no function '{name}'")))?);
        }
        let mut seen = BTreeSet::new();
        while let Some(index) = ahead.pop() {
            let symbol = &symbols[index];
            let name = plain(symbol);
            if name.starts_with(PANICS) || !seen.insert(symbol.address) {
                continue;
            }
            if USUAL_WAY.contains(&name.as_str()) {
                code.left_to.insert(name);
                continue;
            }
            // A label of assembly has no size: it ends where the next begins.
            let end = match symbol.size {
                0 => symbols[index + 1..]
                    .iter()
                    .map(|next| next.address)
                    .find(|&next| next > symbol.address)
                    .unwrap_or(symbol.address),
                size => symbol.address + size,
            };
            let words = words(elf.loaded(symbol.address, end)?);
            let mut function = Function {
                instructions: words.len(),
                ..Function::default()
            };
            for (number, &word) in words.iter().enumerate() {
                let address = symbol.address + 4 * number as u64;
                if let Some(kind) = decode::kind(word, words.get(number + 1).copied()) {
                    function.kinds.entry(kind).or_default().push(address);
                }
                if let Some(target) = decode::branch(word, address)
                    && !(symbol.address..end).contains(&target)
                {
                    let called = symbols.partition_point(|symbol| symbol.address <= target);
                    ahead.push(called.checked_sub(1).ok_or_else(|| {
                        Failure::new(format!("a branch at {address:#x} leads to no function"))
                    })?);
                }
            }
            code.functions.insert(name, function);
        }
        Ok(code)
    }

    fn entries(&self) -> impl Iterator<Item = (&str, &Function)> {
        self.functions
            .iter()
            .map(|(name, function)| (name.as_str(), function))
            .filter(|(name, _)| ENTRIES.iter().any(|entry| name.ends_with(entry)))
    }

    /// What is wrong with the code for one core.
    fn problems_of_one(&self) -> Vec<String> {
        const LOCKS: [Kind; 4] = [
            Kind::Exclusive,
            Kind::Acquire,
            Kind::Release,
            Kind::CoreEvent,
        ];
        let mut problems = Vec::new();
        let mut none_of = |name: &str, function: &Function, kind: Kind| {
            for place in function.places(kind) {
                problems.push(format!("1 core: {name} has {kind} at {place:#x}"));
            }
        };
        for (name, function) in &self.functions {
            for kind in LOCKS {
                none_of(name, function, kind);
            }
            // Nobody could say where that leads.
            none_of(name, function, Kind::IndirectCall);
        }
        for (name, function) in self.entries() {
            none_of(name, function, Kind::HalfLoad);
        }
        if self.left_to.is_empty() {
            problems.push("1 core: nothing leads to the usual way".to_string());
        }
        problems
    }

    /// What is missing in the code for several cores: then the above would show nothing.
    fn problems_of_several(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (name, function) in self.entries() {
            for kind in [
                Kind::Exclusive,
                Kind::Acquire,
                Kind::Release,
                Kind::HalfLoad,
            ] {
                if !function.has(kind) {
                    problems.push(format!(
                        "4 cores: {name} has no {kind}, so nothing is shown"
                    ));
                }
            }
        }
        problems
    }
}

impl std::fmt::Display for Code {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let instructions: usize = self.functions.values().map(|f| f.instructions).sum();
        let functions = self.functions.len();
        write!(f, "{functions} functions, {instructions} instructions")?;
        for kind in Kind::ALL {
            let count: usize = self.functions.values().map(|f| f.places(kind).len()).sum();
            if count > 0 {
                write!(f, ", {count} x {kind}")?;
            }
        }
        Ok(())
    }
}

/// The whole path of a function, without the hash behind it.
fn plain(symbol: &Symbol<'_>) -> String {
    format!("{:#}", rustc_demangle::demangle(symbol.name))
}

fn words(bytes: &[u8]) -> Vec<u32> {
    let words = bytes.as_chunks::<4>().0;
    words.iter().copied().map(u32::from_le_bytes).collect()
}
