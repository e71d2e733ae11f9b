//! Tells the linker how to lay out the boot loader.
//!
//! The loader runs at whatever address it was loaded to. Code for this target addresses everything relative to the
//! program counter anyway; `-pie` makes the linker list the pointers in data, which the loader adjusts at its start.
//! `-z notext` allows such pointers in constants.

fn main() {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=src/loader/loader.ld");
    let bare_metal = std::env::var("CARGO_CFG_TARGET_OS").is_ok_and(|os| os == "none");
    if bare_metal {
        let directory = std::env::var("CARGO_MANIFEST_DIR").expect("set by cargo");
        for argument in [
            &format!("-T{directory}/src/loader/loader.ld"),
            "-pie",
            "--no-dynamic-linker",
            "-z",
            "notext",
        ] {
            println!("cargo::rustc-link-arg-bin=tern-loader={argument}");
        }
    }
}
