//! Names for the addresses of a backtrace that the kernel or the loader printed.
//!
//! Such a line has a frame number and an address, `#0 0xffffffffc0001234`, anywhere in it. The names come from the
//! symbol tables of the files that were booted.

use crate::elf::{Elf, Symbol};
use std::path::Path;

/// A file of the system, and where it was put relative to its own addresses.
pub(crate) struct Place<'a> {
    pub(crate) file: &'a Path,
    pub(crate) offset: u64,
}

/// The frames in a log with the functions they are in, ready to print. Empty if there is no backtrace.
pub(crate) fn explain(log: &str, places: &[Place<'_>]) -> Vec<String> {
    let frames: Vec<(&str, u64)> = log.lines().filter_map(frame).collect();
    if frames.is_empty() {
        return Vec::new();
    }
    let files: Vec<(Vec<u8>, u64)> = places
        .iter()
        .filter_map(|place| Some((std::fs::read(place.file).ok()?, place.offset)))
        .collect();
    let tables: Vec<(Vec<Symbol<'_>>, u64)> = files
        .iter()
        .filter_map(|(bytes, offset)| Some((Elf::parse(bytes).ok()?.symbols(), *offset)))
        .collect();
    frames
        .into_iter()
        .map(|(number, address)| {
            let name = tables
                .iter()
                .find_map(|(symbols, offset)| lookup(symbols, address.wrapping_sub(*offset)))
                .unwrap_or_else(|| "?".to_string());
            format!("  {number} {address:#018x} {name}")
        })
        .collect()
}

/// The number and the address of a frame.
fn frame(line: &str) -> Option<(&str, u64)> {
    let mut words = line[line.find('#')?..].split_whitespace();
    let number = words.next()?;
    number[1..].parse::<u32>().ok()?;
    let address = words.next()?.strip_prefix("0x")?;
    let digits = address.trim_end_matches(|c: char| !c.is_ascii_hexdigit());
    Some((number, u64::from_str_radix(digits, 16).ok()?))
}

/// The function around an address. A return address may lie just behind a function that ends in a call.
fn lookup(symbols: &[Symbol<'_>], address: u64) -> Option<String> {
    let after = symbols.partition_point(|symbol| symbol.address <= address);
    let symbol = symbols[..after]
        .iter()
        .rev()
        .find(|symbol| symbol.is_code && symbol.address <= address)?;
    // Labels of assembly have no size; how far they reach is not known.
    let reach = if symbol.size == 0 { 4096 } else { symbol.size };
    let into = address - symbol.address;
    (into <= reach).then(|| format!("{:#}+{into:#x}", rustc_demangle::demangle(symbol.name)))
}

/// The name of the function around an address.
pub(crate) fn function_at(symbols: &[Symbol<'_>], address: u64) -> Option<String> {
    let name = lookup(symbols, address)?;
    name.rsplit_once('+').map(|(name, _)| name.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_are_found() {
        assert_eq!(
            frame("  #0 0xffffffffc0001234"),
            Some(("#0", 0xffff_ffff_c000_1234))
        );
        assert_eq!(frame("core 1: #12 0x10, in"), Some(("#12", 16)));
        assert_eq!(frame("# 0x10"), None);
        assert_eq!(frame("#1 10"), None);
        assert_eq!(frame("no frame"), None);
    }

    #[test]
    fn the_nearest_function_is_named() {
        let symbol = |address, size, is_code, name| Symbol {
            address,
            size,
            is_code,
            name,
        };
        let symbols = [
            symbol(0x100, 0x20, true, "_ZN4core3fmt5write17h0123456789abcdefE"),
            symbol(0x110, 8, false, "data"),
            symbol(0x200, 0, true, "vectors"),
        ];
        assert_eq!(lookup(&symbols, 0x118).unwrap(), "core::fmt::write+0x18");
        assert_eq!(lookup(&symbols, 0x121), None);
        assert_eq!(lookup(&symbols, 0x204).unwrap(), "vectors+0x4");
        assert_eq!(lookup(&symbols, 0x10), None);
    }

    #[test]
    fn a_log_without_backtrace_needs_no_files() {
        assert!(explain("all is well", &[]).is_empty());
        assert_eq!(explain("#0 0x10", &[]), ["  #0 0x0000000000000010 ?"]);
    }
}
