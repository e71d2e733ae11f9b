//! The functions around an instruction, those that the compiler has inlined included.

use crate::backtrace::function_at;
use crate::elf::{Elf, Symbol};
use crate::failure::{Failure, Result};
use addr2line::Context;
use addr2line::gimli::{Dwarf, EndianSlice, LittleEndian};

/// One of the functions that an instruction is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Module and name. Types are left out: a method looks like a function.
    pub(super) function: String,
    /// File and line, if they are known.
    pub(super) place: String,
}

/// What a kernel's file says of its instructions.
pub(super) struct Program<'a> {
    context: Context<EndianSlice<'a, LittleEndian>>,
    /// For assembly, which has no lines.
    symbols: Vec<Symbol<'a>>,
}

impl<'a> Program<'a> {
    pub(super) fn read(elf: &Elf<'a>) -> Result<Self> {
        let section = |id: addr2line::gimli::SectionId| -> std::result::Result<_, ()> {
            let bytes = elf.section(id.name()).unwrap_or_default();
            Ok(EndianSlice::new(bytes, LittleEndian))
        };
        let context = Dwarf::load(section)
            .map_err(|()| addr2line::gimli::Error::Io)
            .and_then(Context::from_dwarf)
            .map_err(|error| Failure::new(format!("the kernel's debug information: {error}")))?;
        Ok(Self {
            context,
            symbols: elf.symbols(),
        })
    }

    /// The functions around an instruction, the innermost first. Where one is written is not always known: the
    /// compiler has instructions of its own, and assembly has no lines.
    pub(super) fn frames(&self, address: u64) -> Vec<Frame> {
        let mut frames = self.inlined(address).unwrap_or_default();
        let symbol = function_at(&self.symbols, address).unwrap_or_else(|| "?".to_string());
        let symbol = Frame {
            function: symbol.trim_start_matches("tern_kernel::").to_string(),
            place: String::new(),
        };
        match frames.last_mut() {
            Some(outermost) if outermost.place.is_empty() => *outermost = symbol,
            Some(_) => (),
            None => frames.push(symbol),
        }
        frames
    }

    fn inlined(&self, address: u64) -> addr2line::gimli::Result<Vec<Frame>> {
        let mut found = self.context.find_frames(address).skip_all_loads()?;
        let mut frames = Vec::new();
        while let Some(frame) = found.next()? {
            let Some(function) = frame.function else {
                continue;
            };
            // Kernels have names without paths. The file makes up for it.
            let name = function.name.to_string_lossy();
            let name = bare(&name);
            let place = frame
                .location
                .and_then(|at| Some((module(at.file?)?, format!("{}:{}", at.file?, at.line?))));
            let (function, place) = match place {
                Some((module, place)) => (format!("{module}::{name}"), place),
                None => (name.to_string(), String::new()),
            };
            frames.push(Frame { function, place });
        }
        Ok(frames)
    }
}

/// The module that a file of Rust is, as a path: without the crate's name in the kernel itself.
fn module(file: &str) -> Option<String> {
    let (package, file) = file.rsplit_once("/src/")?;
    let package = package.rsplit('/').next()?;
    // A package of the registry has its version behind it.
    let name = match package.rsplit_once('-') {
        Some((name, version)) if version.starts_with(|c: char| c.is_ascii_digit()) => name,
        _ => package,
    };
    let mut path = match name {
        "kernel" => Vec::new(),
        other => vec![other.replace('-', "_")],
    };
    let file = file.strip_suffix(".rs")?;
    let parts = file.split('/').map(String::from);
    path.extend(parts.filter(|part| !["mod", "lib", "main"].contains(&part.as_str())));
    Some(path.join("::"))
}

/// A function's name without what it is generic over.
fn bare(name: &str) -> &str {
    name.split('<').next().unwrap_or(name)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_module() {
        for (file, path) in [
            ("/a/src/b/kernel/src/sched/time.rs", "sched::time"),
            ("/a/kernel/src/fast/mod.rs", "fast"),
            ("/a/mcs/src/ready.rs", "mcs::ready"),
            ("/a/mcs/src/lib.rs", "mcs"),
            ("/r/src/index/arm-gic-0.10.0/src/gicv2.rs", "arm_gic::gicv2"),
            (
                "/rustc/1/library/compiler-builtins/src/mem/mod.rs",
                "compiler_builtins::mem",
            ),
        ] {
            assert_eq!(module(file).as_deref(), Some(path));
        }
        assert_eq!(module("trap.s"), None);
    }

    #[test]
    fn names_lose_what_they_are_generic_over() {
        assert_eq!(bare("get<tern_kernel::object::tcb::Tcb>"), "get");
        assert_eq!(bare("{closure#0}"), "{closure#0}");
    }
}
