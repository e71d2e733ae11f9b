//! Runs inputs again, and tells in words what they are: `tern-fuzz-targets TARGET FILE...`.

use std::process::ExitCode;

use tern_fuzz_targets::{TARGETS, tell};

fn main() -> ExitCode {
    let mut arguments = std::env::args().skip(1);
    let name = arguments.next().unwrap_or_default();
    let Some(target) = TARGETS.iter().find(|target| target.name == name) else {
        eprintln!("'{name}' is no target");
        return ExitCode::from(2);
    };
    tell();
    for file in arguments {
        match std::fs::read(&file) {
            Ok(input) => {
                println!("{file}: {} bytes", input.len());
                (target.run)(&input);
                println!("{file}: good");
            }
            Err(error) => {
                eprintln!("cannot read {file}: {error}");
                return ExitCode::from(2);
            }
        }
    }
    ExitCode::SUCCESS
}
