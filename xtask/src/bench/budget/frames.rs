//! The functions around an instruction, those that the compiler has inlined included.

use crate::backtrace::function_at;
use crate::elf::{Elf, Symbol};
use crate::failure::{Failure, Result};
use addr2line::Context;
use addr2line::gimli::{Dwarf, EndianSlice, LittleEndian};

/// One of the functions that an instruction is in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Frame {
    /// Its path, without a hash and without what it is generic over.
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

    /// The functions around an instruction, the innermost first.
    pub(super) fn frames(&self, address: u64) -> Vec<Frame> {
        let mut frames = self.inlined(address).unwrap_or_default();
        if frames.is_empty() {
            let function = function_at(&self.symbols, address).unwrap_or_else(|| "?".to_string());
            frames.push(Frame {
                function: plain(&function),
                place: String::new(),
            });
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
            let name = function.raw_name()?;
            let location = frame.location;
            let place = location.and_then(|at| Some(format!("{}:{}", at.file?, at.line?)));
            frames.push(Frame {
                function: plain(&format!("{:#}", rustc_demangle::demangle(&name))),
                place: place.unwrap_or_default(),
            });
        }
        Ok(frames)
    }
}

/// A path without what stands in angle brackets, but for a type that it begins with: `<a::B<C> as d::E>::f` is
/// `a::B::f`.
fn plain(name: &str) -> String {
    let mut path = String::new();
    let mut rest = name;
    if let Some(inner) = name.strip_prefix('<') {
        let end = closing(inner);
        let own = inner[..end].split(" as ").next().unwrap_or_default();
        path = plain(own.trim_start_matches(['&', '*']));
        rest = inner.get(end + 1..).unwrap_or_default();
    }
    let mut depth = 0usize;
    for (at, each) in rest.char_indices() {
        match each {
            '<' => depth += 1,
            // Not the arrow of a function's result.
            '>' if !rest[..at].ends_with('-') => depth = depth.saturating_sub(1),
            _ if depth == 0 => path.push(each),
            _ => (),
        }
    }
    path.replace("::::", "::").trim_end_matches(':').to_string()
}

/// Where the bracket closes that was opened before this text; at its end if nowhere.
fn closing(text: &str) -> usize {
    let mut depth = 0usize;
    for (at, each) in text.char_indices() {
        match each {
            '<' => depth += 1,
            '>' if text[..at].ends_with('-') => (),
            '>' if depth == 0 => return at,
            '>' => depth -= 1,
            _ => (),
        }
    }
    text.len()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_lose_what_they_are_generic_over() {
        for (name, path) in [
            ("trap_return", "trap_return"),
            (
                "tern_kernel::sched::time::stamp",
                "tern_kernel::sched::time::stamp",
            ),
            (
                "tern_kernel::access::Kernel::get::<tern_kernel::object::Tcb>",
                "tern_kernel::access::Kernel::get",
            ),
            (
                "<tern_kernel::smp::lock::TicketLock>::acquire",
                "tern_kernel::smp::lock::TicketLock::acquire",
            ),
            (
                "<tern_kernel::access::Threads<'_> as mcs::ReadyNodes<T>>::ready_links",
                "tern_kernel::access::Threads::ready_links",
            ),
            (
                "<mcs::ready::ReadyQueue<T>>::pop::<fn() -> u8>::{closure#0}",
                "mcs::ready::ReadyQueue::pop::{closure#0}",
            ),
            ("<&a::B as c::D>::e", "a::B::e"),
        ] {
            assert_eq!(plain(name), path);
        }
    }
}
