//! `cargo xtask`: builds Tern, runs it in QEMU, tests it, and installs what that takes.
//!
//! Everything a developer does goes through this one program; `help.rs` says what there is. It uses the standard
//! library, two small crates, and what kernel and loader define for both sides, because nothing else can start before it
//! is compiled.

mod backtrace;
mod bench;
mod boards;
mod builder;
mod cli;
mod commands;
mod config;
mod coverage;
mod elf;
mod failure;
mod fuzz;
mod help;
mod hostile;
mod image;
mod long;
mod matrix;
mod miri;
mod mutants;
mod qemu;
mod sdk;
mod setup;
mod testing;
#[cfg(test)]
mod unsafe_table;
mod workspace;

use crate::cli::Command;
use crate::failure::Result;
use crate::setup::Need;
use crate::workspace::Workspace;
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    match cli::parse(std::env::args_os().skip(1)).and_then(perform) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            if !failure.message.is_empty() {
                // Whoever reads this may have gone already, as `head` does.
                let _ = writeln!(std::io::stderr(), "xtask: {}", failure.message);
            }
            ExitCode::from(failure.status)
        }
    }
}

fn perform(command: Command) -> Result<()> {
    let workspace = Workspace::find();
    match command {
        Command::Run(run) => commands::run(&workspace, &run),
        Command::Build(build) => commands::build(&workspace, &build),
        Command::Image(image) => commands::image(&workspace, &image),
        Command::Sdk(sdk) => sdk::run(&workspace, &sdk),
        Command::Test(test) => testing::run(&workspace, &test),
        Command::Bench(options) => bench::run(&workspace, &options),
        Command::Matrix(matrix) => matrix::run(&workspace, &matrix),
        Command::Hostile(options) => hostile::run(&workspace, &options),
        Command::Sim(sim) => commands::simulate(&workspace, &sim),
        Command::Coverage(coverage) => coverage::run(&workspace, &coverage),
        Command::Mutants(options) => mutants::run(&workspace, &options),
        Command::Fuzz(options) => fuzz::run(&workspace, &options),
        Command::Miri(options) => miri::run(&workspace, &options),
        Command::Setup => {
            setup::ensure(&workspace, Need::Everything)?;
            // The tests that need this one are left out without it.
            if let Err(failure) = setup::ensure_c_compiler() {
                println!("Tests in C will be skipped. For them: {}", failure.message);
            }
            println!("Everything needed is installed.");
            Ok(())
        }
        Command::Help(topic) => {
            let _ = writeln!(std::io::stdout(), "{}", help::text(topic));
            Ok(())
        }
    }
}
