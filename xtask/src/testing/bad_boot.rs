//! Boots that have to fail, each with a message that names the reason: device trees and root tasks that are wrong.
//!
//! QEMU completes whatever device tree it is given, so the broken ones are put into memory behind its back: a few
//! instructions, entered first, do what firmware does and jump to the image with a pointer to the tree.

use crate::builder::System;
use crate::elf::sample::{Part, executable};
use crate::failure::{Context, Failure, Result};
use crate::qemu::Boot;
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// QEMU puts a tree of its own at the start of RAM and leaves it 1 MiB.
const STUB: u64 = 0x4010_0000;
const IMAGE: u64 = 0x4020_0000;
const TREE: u64 = 0x4c00_0000;

/// A boot with one thing wrong.
#[derive(Clone, Debug)]
pub(crate) struct BadBoot {
    pub(crate) name: &'static str,
    wrong: Wrong,
    /// The error message has to contain one of these.
    pub(crate) words: &'static [&'static str],
}

#[derive(Clone, Debug)]
enum Wrong {
    /// Nothing: the same way of booting, with everything right, has to succeed.
    Nothing,
    Tree(Edit),
    /// The root task's ELF file.
    Root(fn(&[u8]) -> Vec<u8>),
}

#[derive(Clone, Debug)]
enum Edit {
    /// Text of the source, and what it is replaced by.
    Source(&'static str, &'static str),
    /// The compiled tree.
    Blob(fn(Vec<u8>) -> Vec<u8>),
    /// A null pointer instead of a tree.
    Absent,
}

/// All of them, after one that is right.
pub(crate) fn all() -> Vec<BadBoot> {
    let case = |name, wrong, words| BadBoot { name, wrong, words };
    let source = |from, to| Wrong::Tree(Edit::Source(from, to));
    vec![
        case("boot control: a correct tree", Wrong::Nothing, &[]),
        case(
            "boot without a device tree",
            Wrong::Tree(Edit::Absent),
            &["device tree", "dtb"],
        ),
        case(
            "boot with ATAGs instead of a device tree",
            Wrong::Tree(Edit::Blob(|_| atags())),
            &["device tree", "dtb", "atag"],
        ),
        case(
            "boot with a device tree cut in half",
            Wrong::Tree(Edit::Blob(|tree| tree[..tree.len() / 2].to_vec())),
            &["device tree", "dtb"],
        ),
        case(
            "boot with only the header of a device tree",
            Wrong::Tree(Edit::Blob(|tree| tree[..40].to_vec())),
            &["device tree", "dtb"],
        ),
        case(
            "boot with a device tree of impossible size",
            Wrong::Tree(Edit::Blob(|tree| with_word(tree, 4, u32::MAX))),
            &["device tree", "dtb"],
        ),
        case(
            "boot with a device tree whose structure is outside",
            Wrong::Tree(Edit::Blob(|tree| with_word(tree, 8, 0x7fff_fff0))),
            &["device tree", "dtb"],
        ),
        case(
            "boot with a device tree full of ones",
            Wrong::Tree(Edit::Blob(|mut tree| {
                tree[64..].fill(0xff);
                tree
            })),
            &["device tree", "dtb"],
        ),
        case("boot without memory", source(MEMORY, ""), &["memory"]),
        case(
            "boot with memory of size 0",
            source(
                "reg = <0 0x40000000 0 0x40000000>;",
                "reg = <0 0x40000000 0 0>;",
            ),
            &["memory"],
        ),
        case(
            "boot with memory that wraps around",
            source(
                "reg = <0 0x40000000 0 0x40000000>;",
                "reg = <0xffffffff 0xfff00000 0 0x40000000>;",
            ),
            &["memory"],
        ),
        case(
            "boot with an unknown interrupt controller",
            source("arm,cortex-a15-gic", "nobody,knows-it"),
            &["interrupt controller", "gic"],
        ),
        case(
            "boot with an interrupt controller without registers",
            source(
                "reg = <0 0x08000000 0 0x10000>, <0 0x08010000 0 0x10000>;",
                "",
            ),
            &["interrupt controller", "gic"],
        ),
        case("boot without a CPU", source(CPUS, ""), &["cpu", "core"]),
        case(
            "boot a root task for x86",
            Wrong::Root(|root| with_bytes(root, 18, &[62, 0])),
            &["aarch64"],
        ),
        case(
            "boot a root task of 32 bits",
            Wrong::Root(|root| with_bytes(root, 4, &[1])),
            &["64", "elf"],
        ),
        case(
            "boot a root task that is no ELF file",
            Wrong::Root(|_| b"#!/bin/sh\n".repeat(500)),
            &["elf"],
        ),
        case(
            "boot a root task that is cut short",
            Wrong::Root(|root| root[..root.len() / 2].to_vec()),
            &["elf", "root", "segment"],
        ),
        case(
            "boot a position-independent root task",
            Wrong::Root(|root| with_bytes(root, 16, &[3, 0])),
            &["executable", "et_exec", "position"],
        ),
        case(
            "boot a root task with overlapping segments",
            Wrong::Root(|_| {
                let part = |start| Part::new(start, &[0; 64], 0x3000);
                executable(0x20_0000, &[part(0x20_0000), part(0x20_1000)])
            }),
            &["overlap"],
        ),
        case(
            "boot a root task larger than memory",
            Wrong::Root(|_| executable(0x20_0000, &[Part::new(0x20_0000, &[0; 64], 64 << 30)])),
            &["fit", "large", "memory"],
        ),
        case(
            "boot a root task at an address of the kernel",
            Wrong::Root(|_| {
                let base = 0xffff_ffff_c000_0000;
                executable(base, &[Part::new(base, &[0; 64], 64)])
            }),
            &["address", "root", "user"],
        ),
        case(
            "boot a root task with nothing to load",
            Wrong::Root(|_| executable(0x20_0000, &[])),
            &["segment", "load", "root"],
        ),
    ]
}

impl BadBoot {
    /// The control has to succeed.
    pub(crate) fn is_control(&self) -> bool {
        matches!(self.wrong, Wrong::Nothing)
    }

    /// Makes the files. `root` is a good root task, to begin with.
    pub(crate) fn prepare(&self, system: &System, root: &[u8], directory: &Path) -> Result<Boot> {
        let image = match self.wrong {
            Wrong::Root(spoil) => system.image_around(&spoil(root))?,
            _ => system.image_around(root)?,
        };
        let edit = match &self.wrong {
            Wrong::Tree(edit) => Some(edit),
            _ => None,
        };
        let (pointer, tree) = match edit {
            None => (TREE, compile(TREE_SOURCE)?),
            Some(Edit::Source(from, to)) => (TREE, compile(&replaced(from, to)?)?),
            Some(Edit::Blob(spoil)) => (TREE, spoil(compile(TREE_SOURCE)?)),
            Some(Edit::Absent) => (0, vec![0; 4]),
        };
        let stem: String = self
            .name
            .chars()
            .map(|c| if c.is_ascii_alphanumeric() { c } else { '-' })
            .collect();
        let write = |kind: &str, bytes: &[u8]| -> Result<PathBuf> {
            let path = directory.join(format!("{stem}.{kind}"));
            fs::write(&path, bytes).doing("write", &path)?;
            Ok(path)
        };
        Ok(Boot::Raw(vec![
            (STUB, write("stub", &stub(pointer))?),
            (IMAGE, write("img", &image)?),
            (TREE, write("dtb", &tree)?),
        ]))
    }
}

/// Spoils QEMU's own tree, in case somebody looks for it there, and enters the image.
fn stub(pointer: u64) -> Vec<u8> {
    let code: [u32; 6] = [
        0xd2a8_0002, // mov x2, #0x40000000
        0xb900_005f, // str wzr, [x2]
        0x5800_0080, // ldr x0, pointer
        0x5800_00a1, // ldr x1, image
        0xd61f_0020, // br x1
        0xd503_201f, // nop
    ];
    let mut bytes: Vec<u8> = code.into_iter().flat_map(u32::to_le_bytes).collect();
    bytes.extend(pointer.to_le_bytes());
    bytes.extend(IMAGE.to_le_bytes());
    bytes
}

/// What a Raspberry Pi's firmware passes when it has no device tree.
fn atags() -> Vec<u8> {
    let words = [2u32, 0x5441_0001, 4, 0x5441_0002, 0x4000_0000, 0, 0, 0];
    words.into_iter().flat_map(u32::to_le_bytes).collect()
}

/// A header field of a device tree changed; they are big-endian.
fn with_word(mut tree: Vec<u8>, offset: usize, value: u32) -> Vec<u8> {
    tree[offset..offset + 4].copy_from_slice(&value.to_be_bytes());
    tree
}

fn with_bytes(root: &[u8], offset: usize, bytes: &[u8]) -> Vec<u8> {
    let mut root = root.to_vec();
    root[offset..offset + bytes.len()].copy_from_slice(bytes);
    root
}

fn replaced(from: &str, to: &str) -> Result<String> {
    if !TREE_SOURCE.contains(from) {
        return Err(Failure::new(format!("the device tree has no '{from}'")));
    }
    Ok(TREE_SOURCE.replace(from, to))
}

fn compile(source: &str) -> Result<Vec<u8>> {
    let mut dtc = Command::new("dtc")
        .args(["-q", "-q", "-I", "dts", "-O", "dtb"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .running("dtc")?;
    if let Some(mut input) = dtc.stdin.take() {
        input.write_all(source.as_bytes()).running("dtc")?;
    }
    let output = dtc.wait_with_output().running("dtc")?;
    if !output.status.success() {
        return Err(Failure::new(
            "dtc refuses the device tree of the boot tests",
        ));
    }
    Ok(output.stdout)
}

const MEMORY: &str = "\
    memory@40000000 {
        device_type = \"memory\";
        reg = <0 0x40000000 0 0x40000000>;
    };
";

const CPUS: &str = "\
    cpus {
        #address-cells = <1>;
        #size-cells = <0>;
        cpu@0 {
            device_type = \"cpu\";
            compatible = \"arm,cortex-a72\";
            enable-method = \"psci\";
            reg = <0>;
        };
        cpu@1 {
            device_type = \"cpu\";
            compatible = \"arm,cortex-a72\";
            enable-method = \"psci\";
            reg = <1>;
        };
    };
";

/// The parts of QEMU's `virt` machine that the kernel uses, with two cores.
const TREE_SOURCE: &str = "\
/dts-v1/;
/ {
    compatible = \"linux,dummy-virt\";
    model = \"boot test\";
    interrupt-parent = <&gic>;
    #address-cells = <2>;
    #size-cells = <2>;
    psci {
        compatible = \"arm,psci-1.0\", \"arm,psci-0.2\";
        method = \"hvc\";
    };
    memory@40000000 {
        device_type = \"memory\";
        reg = <0 0x40000000 0 0x40000000>;
    };
    cpus {
        #address-cells = <1>;
        #size-cells = <0>;
        cpu@0 {
            device_type = \"cpu\";
            compatible = \"arm,cortex-a72\";
            enable-method = \"psci\";
            reg = <0>;
        };
        cpu@1 {
            device_type = \"cpu\";
            compatible = \"arm,cortex-a72\";
            enable-method = \"psci\";
            reg = <1>;
        };
    };
    timer {
        compatible = \"arm,armv8-timer\", \"arm,armv7-timer\";
        interrupts = <1 13 4>, <1 14 4>, <1 11 4>, <1 10 4>;
        always-on;
    };
    gic: intc@8000000 {
        compatible = \"arm,cortex-a15-gic\";
        interrupt-controller;
        #interrupt-cells = <3>;
        #address-cells = <2>;
        #size-cells = <2>;
        reg = <0 0x08000000 0 0x10000>, <0 0x08010000 0 0x10000>;
    };
    apb-pclk {
        compatible = \"fixed-clock\";
        #clock-cells = <0>;
        clock-frequency = <24000000>;
    };
    pl011@9000000 {
        compatible = \"arm,pl011\", \"arm,primecell\";
        reg = <0 0x09000000 0 0x1000>;
        interrupts = <0 1 4>;
    };
    chosen {
        stdout-path = \"/pl011@9000000\";
    };
};
";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_replaced_text_is_in_the_tree() {
        for case in all() {
            if let Wrong::Tree(Edit::Source(from, to)) = case.wrong {
                assert_ne!(replaced(from, to).unwrap(), TREE_SOURCE, "{}", case.name);
            }
        }
    }

    #[test]
    fn every_bad_boot_says_what_it_waits_for() {
        let cases = all();
        assert_eq!(cases.iter().filter(|case| case.is_control()).count(), 1);
        for case in cases {
            assert_eq!(case.words.is_empty(), case.is_control(), "{}", case.name);
        }
    }

    #[test]
    fn the_stub_carries_its_addresses() {
        let bytes = stub(7);
        assert_eq!(bytes.len(), 40);
        assert_eq!(bytes[24..32], 7u64.to_le_bytes());
        assert_eq!(bytes[32..], IMAGE.to_le_bytes());
    }
}
