//! `cargo xtask sdk`: what a build of user-level programs outside this workspace needs to know, in the layout of an
//! installed seL4, so that tools made for that find it.
//!
//! Only what belongs to this kernel is written. The sources of a library (libsel4, rust-sel4) come from its makers.

mod abi;
mod gen_config;
pub(crate) mod json;
mod platform;
#[cfg(test)]
mod tests;

use crate::boards::{Machine, board, default_board};
use crate::builder::{self, Ending, Profile, Variant, read};
use crate::cli;
use crate::config::KernelConfig;
use crate::failure::{Context, Failure, Result};
use crate::qemu::QEMU;
use crate::setup::{self, Need};
use crate::workspace::Workspace;
use json::object;
use platform::Platform;
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};

const AUTOCONF: &str = "\
/* Written by `cargo xtask sdk`. */
#pragma once

#include <kernel/gen_config.h>
#include <sel4/gen_config.h>
";

pub(crate) fn run(workspace: &Workspace, options: &cli::Sdk) -> Result<()> {
    let board = match &options.board {
        Some(name) => board(name)?,
        None => default_board(),
    };
    let machine = board.machine(&options.machine)?;
    let config = KernelConfig::read(&workspace.root)?.with(&options.build.config)?;
    let platform = Platform::of(&machine)?;
    setup::ensure(workspace, Need::Targets)?;
    let variant = Variant {
        profile: Profile::from_release(options.build.release),
        config: config.clone(),
        ending: Ending::Park,
    };
    let kernel = builder::system(workspace, &variant)?.kernel;

    let (kernel_keys, library_keys) =
        (gen_config::kernel(&machine, &config), gen_config::library());
    let directory = options.directory.as_path();
    let include = directory.join("libsel4/include");
    let support = directory.join("support");
    write(&directory.join("bin/kernel.elf"), &read(&kernel)?)?;
    write_text(&include.join("autoconf.h"), AUTOCONF)?;
    for (part, keys) in [("kernel", kernel_keys), ("sel4", library_keys)] {
        let header = gen_config::header(&keys);
        write_text(&include.join(part).join("gen_config.h"), &header)?;
        let json = object(keys).to_string();
        write_text(&include.join(part).join("gen_config.json"), &json)?;
    }
    write_text(&support.join("abi.json"), &abi::json().to_string())?;
    write_text(&support.join("platform_gen.yaml"), &platform.yaml())?;
    let json = platform.json().to_string();
    write_text(&support.join("platform_gen.json"), &json)?;
    device_tree(&machine, &support.join("kernel.dtb"))
}

fn write_text(path: &Path, text: &str) -> Result<()> {
    write(path, text.as_bytes())
}

fn write(path: &Path, bytes: &[u8]) -> Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory).doing("create", directory)?;
    }
    fs::write(path, bytes).doing("write", path)?;
    println!("{}", path.display());
    Ok(())
}

/// Has QEMU write the tree that it gives to the machine. It leaves room to grow, which is cut off.
fn device_tree(machine: &Machine, path: &Path) -> Result<()> {
    if !setup::has_qemu() {
        eprintln!("{} is left out: it takes QEMU.", path.display());
        return Ok(());
    }
    let output = Command::new(QEMU)
        .args(machine.dump_arguments(path))
        .stdin(Stdio::null())
        .output()
        .running(QEMU)?;
    if !output.status.success() {
        return Err(Failure::new(format!(
            "{QEMU} does not write its device tree: {}",
            String::from_utf8_lossy(&output.stderr).trim()
        )));
    }
    let tree = packed(read(path)?)
        .ok_or_else(|| Failure::new(format!("{} is no device tree", path.display())))?;
    write(path, &tree)
}

/// A device tree without the unused bytes behind its last block, which is that of the strings.
fn packed(mut tree: Vec<u8>) -> Option<Vec<u8>> {
    let word = |at: usize| -> Option<u32> {
        Some(u32::from_be_bytes(tree.get(at..at + 4)?.try_into().ok()?))
    };
    let (structure, strings) = (word(8)?, word(12)?);
    let (strings_size, structure_size) = (word(32)?, word(36)?);
    let end = structure
        .checked_add(structure_size)?
        .max(strings.checked_add(strings_size)?);
    let start = word(0)?;
    if start != 0xd00d_feed || end > word(4)? || end as usize > tree.len() {
        return None;
    }
    tree[4..8].copy_from_slice(&end.to_be_bytes());
    tree.truncate(end as usize);
    Some(tree)
}
