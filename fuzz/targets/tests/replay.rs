//! What the fuzzer has found so far, once more: the inputs that reach different parts of the code (`../corpus`), and those
//! that once made a target fail (`../crashes`).

use std::fs;
use std::path::{Path, PathBuf};

use tern_fuzz_targets::TARGETS;

/// A failure here is the file that is named last: `cargo xtask fuzz TARGET --repeat FILE`.
#[test]
fn what_was_found_is_good() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    for target in TARGETS {
        let mut inputs = files(&root.join("corpus").join(target.name));
        assert!(!inputs.is_empty(), "{} has no inputs", target.name);
        inputs.extend(files(&root.join("crashes").join(target.name)));
        for file in inputs {
            println!("{}", file.display());
            (target.run)(&fs::read(&file).expect("an input"));
        }
    }
}

/// Every target is a program, and every program a target.
#[test]
fn targets_are_programs() {
    let programs = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fuzz_targets");
    let names = files(&programs).into_iter().map(|file| {
        let stem = file.file_stem().expect("a name");
        stem.to_str().expect("a plain name").to_string()
    });
    let names: Vec<String> = names.collect();
    let targets: Vec<&str> = TARGETS.iter().map(|target| target.name).collect();
    assert_eq!(names, targets);
    let manifest = programs.join("../Cargo.toml");
    let manifest = fs::read_to_string(manifest).expect("the programs' manifest");
    for name in names {
        assert!(manifest.contains(&format!("path = \"fuzz_targets/{name}.rs\"")));
    }
}

/// In order; none where there is no such directory.
fn files(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(directory) else {
        return Vec::new();
    };
    let mut files: Vec<PathBuf> = entries
        .map(|entry| entry.expect("an entry").path())
        .filter(|file| file.is_file())
        .collect();
    files.sort();
    files
}
