//! `cargo xtask bench --budget`: where the instructions of the figures go that miss their aims, by steps of their paths.
//!
//! Each such figure is traced as `--profile` does it. An instruction belongs to the innermost function around it that
//! does a step ([`steps`]), which the kernel's debug information tells also where functions are inlined.

mod frames;
mod steps;
mod table;

use self::frames::Program;
use self::table::Budget;
use super::profile::{KERNEL, Traced};
use super::rows::Row;
use super::{once, report, trace};
use crate::builder::read;
use crate::cli;
use crate::elf::Elf;
use crate::failure::{Context, Failure, Result};
use crate::workspace::Workspace;
use std::fmt::Write;
use std::fs;

const PAGE: &str = "docs/performance-budget.md";
const BEGIN: &str = "<!-- budgets: written by `cargo xtask bench --budget --doc` -->";
const END: &str = "<!-- end of the budgets -->";

/// Traces what misses its aim, among the figures whose names contain the filter.
pub(super) fn run(
    workspace: &Workspace,
    machines: &[u32],
    filter: &str,
    options: &cli::Bench,
) -> Result<()> {
    if options.doc && !filter.is_empty() {
        return Err(Failure::usage(
            "--doc writes all budgets: leave out the filter",
        ));
    }
    let mut pages = String::new();
    for &cores in machines {
        eprintln!("bench: {}: measuring", table::cores(cores));
        let missed: Vec<_> = missed(&once(workspace, cores, options.locks)?)
            .into_iter()
            .filter(|(row, _)| row.name.contains(filter))
            .collect();
        let mut budgets = Vec::new();
        for (index, &(row, aim)) in missed.iter().enumerate() {
            let number = index + 1;
            eprintln!(
                "bench: {}: tracing {} ({number} of {})",
                table::cores(cores),
                row.name,
                missed.len()
            );
            let traced = trace(workspace, row.name, cores, options.locks)?;
            let (budget, listing) = budget(row, aim, &traced)?;
            let file = workspace.scratch("budget")?;
            let file = file.join(format!("{}-{cores}.txt", row.name));
            fs::write(&file, listing).doing("write", &file)?;
            println!("{}(one by one: {})\n", budget.terminal(), file.display());
            budgets.push(budget);
        }
        if budgets.is_empty() {
            println!(
                "{}: no figure of these is above its aim",
                table::cores(cores)
            );
        }
        pages += &table::markdown(&budgets, cores);
    }
    if options.doc {
        let path = workspace.root.join(PAGE);
        let page = fs::read_to_string(&path).doing("read", &path)?;
        let page = report::replaced(&page, &pages, BEGIN, END)?;
        fs::write(&path, page).doing("write", &path)?;
        println!("Wrote {}", path.display());
    }
    Ok(())
}

/// The rows with too many instructions, with their aims.
fn missed(figures: &[(&'static Row, u64)]) -> Vec<(&'static Row, u64)> {
    let call = || {
        let call = figures.iter().find(|(row, _)| row.name == "call");
        call.map(|(_, instructions)| *instructions)
    };
    figures
        .iter()
        .filter_map(|&(row, instructions)| {
            let aim = row.at_most(call)?;
            (instructions > aim).then_some((row, aim))
        })
        .collect()
}

/// The steps of a figure, and its instructions one by one.
fn budget(row: &'static Row, aim: u64, traced: &Traced) -> Result<(Budget, String)> {
    let bytes = read(&traced.kernel)?;
    let program = Program::read(&Elf::parse(&bytes)?)?;
    let mut budget = Budget::new(row, aim);
    let mut listing = String::new();
    for &address in &traced.addresses {
        if !KERNEL.contains(&address) {
            budget.add(steps::USER, "root task");
            let _ = writeln!(listing, "{address:#018x}  {}", steps::USER);
            continue;
        }
        let frames = program.frames(address);
        let (step, function) = steps::step_of(&frames);
        budget.add(step, function);
        let _ = write!(listing, "{address:#018x}  {step:<26}");
        for frame in &frames {
            let _ = write!(listing, "  {} {}", frame.function, frame.place);
        }
        listing.push('\n');
    }
    Ok((budget, listing))
}

#[cfg(test)]
mod tests {
    use super::super::rows;
    use super::*;

    fn row(name: &str) -> &'static Row {
        rows::on(4).find(|row| row.name == name).unwrap()
    }

    #[test]
    fn what_is_above_its_aim_is_missed() {
        let call = row("call").at_most(|| None).unwrap();
        let figures = [
            (row("call"), call),
            (row("send"), 100_000),
            (row("migrate_running"), 100_000),
            (row("call_passive_remote"), 2 * call),
        ];
        let names: Vec<&str> = missed(&figures).iter().map(|(row, _)| row.name).collect();
        assert_eq!(names, ["send", "call_passive_remote"]);
    }
}
