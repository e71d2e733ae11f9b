//! Turns the configuration (`config.keys`, overridden by `TERN_<KEY>` in the environment) into constants, and hands
//! the linker script to the target binary.

use std::{env, fmt::Write as _, fs, path::Path};

fn main() {
    println!("cargo:rerun-if-changed=config.keys");
    println!("cargo:rerun-if-changed=kernel.ld");
    let mut out = String::new();
    for line in fs::read_to_string("config.keys")
        .expect("config.keys")
        .lines()
    {
        let line = line.split('#').next().unwrap_or_default().trim();
        let Some((key, default)) = line.split_once(' ') else {
            continue;
        };
        let variable = format!("TERN_{key}");
        println!("cargo:rerun-if-env-changed={variable}");
        let value = env::var(&variable).unwrap_or_else(|_| default.trim().to_owned());
        let kind = if default.trim().parse::<u64>().is_ok() {
            "usize"
        } else {
            "bool"
        };
        let valid = if kind == "usize" {
            value.parse::<usize>().is_ok()
        } else {
            value.parse::<bool>().is_ok()
        };
        assert!(valid, "{variable}={value}: not a {kind}");
        writeln!(out, "pub(crate) const {key}: {kind} = {value};").expect("write to a string");
    }
    let path = Path::new(&env::var("OUT_DIR").expect("OUT_DIR")).join("config.rs");
    fs::write(path, out).expect("config.rs");
    if env::var("CARGO_CFG_TARGET_OS").as_deref() == Ok("none") {
        let dir = env::var("CARGO_MANIFEST_DIR").expect("CARGO_MANIFEST_DIR");
        println!("cargo:rustc-link-arg-bins=-T{dir}/kernel.ld");
        println!("cargo:rustc-link-arg-bins=-zmax-page-size=4096");
    }
}
