//! Runs seeds, one after the other, until one of them goes wrong; then says how to do it again, and tells in words what
//! happened, as shortly as it can.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use lexopt::Arg::Long;
use lexopt::{Parser, ValueExt};
use tern_sim::run::{self, End, Plan};
use tern_sim::witness::Tally;
use tern_sim::world::Ram;

struct Options {
    seed: u64,
    seeds: u64,
    cores: Vec<usize>,
    steps: Option<u64>,
    seconds: Option<u64>,
    trace: bool,
    model: bool,
    /// Ends with a line for a program to read.
    report: bool,
    /// Whether a run that went wrong is told as shortly as can be.
    story: bool,
    /// How the kernel was configured when it was built: only to say it again.
    config: String,
}

fn options() -> Result<Options, lexopt::Error> {
    let mut options = Options {
        seed: 1,
        seeds: 0,
        cores: vec![2, 3, 4, 1, 8],
        steps: None,
        seconds: None,
        trace: false,
        model: true,
        report: false,
        story: true,
        config: String::new(),
    };
    let mut parser = Parser::from_env();
    while let Some(argument) = parser.next()? {
        match argument {
            Long("seed") => options.seed = parser.value()?.parse()?,
            Long("seeds") => options.seeds = parser.value()?.parse()?,
            Long("cores") => options.cores = vec![parser.value()?.parse()?],
            Long("steps") => options.steps = Some(parser.value()?.parse()?),
            Long("no-model") => options.model = false,
            Long("report") => options.report = true,
            Long("no-story") => options.story = false,
            Long("config") => {
                options.config += " --config ";
                options.config += &parser.value()?.string()?;
            }
            Long("trace") => options.trace = true,
            Long("seconds") => options.seconds = Some(parser.value()?.parse()?),
            other => return Err(other.unexpected()),
        }
    }
    if options.seeds == 0 {
        options.seeds = if options.seconds.is_some() {
            u64::MAX
        } else {
            1
        };
    }
    Ok(options)
}

fn main() -> ExitCode {
    let options = match options() {
        Ok(options) => options,
        Err(problem) => {
            eprintln!("sim: {problem}");
            return ExitCode::from(2);
        }
    };
    if std::env::var_os("RUST_BACKTRACE").is_none() {
        std::panic::set_hook(Box::new(|_| {}));
    }
    let ram = Ram::new();
    let start = Instant::now();
    let mut steps = 0;
    let mut runs = 0;
    let mut tally = Tally::default();
    let limit = options.seconds.map(Duration::from_secs);
    for seed in options.seed..options.seed.saturating_add(options.seeds) {
        if limit.is_some_and(|limit| start.elapsed() > limit) {
            break;
        }
        let plan = Plan {
            seed,
            cores: options.cores[(seed % options.cores.len() as u64) as usize],
            // Most runs are short, so that they begin in many ways. Some are long.
            steps: options
                .steps
                .unwrap_or(if seed % 7 == 0 { 20_000 } else { 2_000 }),
            model: options.model,
        };
        let outcome = run::from_seed(&ram, plan);
        if options.trace {
            for step in &outcome.trace {
                println!("{step}");
            }
        }
        steps += outcome.steps;
        tally.add(&outcome.tally);
        runs += 1;
        if let End::Bad(problem) = outcome.end {
            tell(&ram, plan, outcome.trace, &problem, &options);
            return ExitCode::FAILURE;
        }
    }
    let seconds = start.elapsed().as_secs_f64();
    println!(
        "{runs} runs, {steps} steps in {seconds:.1} s, {:.0} steps a second: all good",
        steps as f64 / seconds
    );
    if tally.sections > 0 {
        tell_tally(&tally);
        tell_entries(&tally);
    }
    if options.report {
        println!(
            "report: seeds={runs} steps={steps} milliseconds={} sections={} judged={}",
            start.elapsed().as_millis(),
            tally.sections,
            tally.judged
        );
    }
    ExitCode::SUCCESS
}

fn tell(ram: &Ram, plan: Plan, trace: Vec<run::Step>, problem: &str, options: &Options) {
    println!("FAILED: {problem}");
    println!(
        "again: cargo xtask sim --seed {} --cores {} --steps {}{}",
        plan.seed, plan.cores, plan.steps, options.config
    );
    if !options.story {
        return;
    }
    let whole = trace.len();
    let short = run::shrink(ram, plan, trace, problem);
    println!("{whole} steps, of which these are enough:");
    let mut steps = short.iter().peekable();
    while let Some(step) = steps.next() {
        let mut times = 1;
        while steps.next_if_eq(&step).is_some() {
            times += 1;
        }
        match times {
            1 => println!("  {step}"),
            _ => println!("  {step}, {times} times"),
        }
    }
}

/// How much of it all the model has judged.
fn tell_tally(tally: &Tally) {
    let share = |count: u64| 100.0 * count as f64 / tally.sections as f64;
    println!(
        "{} sections under the locks, {} changed the derivation tree, {:.1} % judged by the model, of these {:.1} % but for the answer; outside it:",
        tally.sections,
        tally.changes,
        share(tally.judged),
        100.0 * tally.but_answer as f64 / tally.judged.max(1) as f64
    );
    for (reason, &count) in &tally.outside {
        println!("  {:4.2} %  {reason}", share(count));
    }
}

/// What the cores entered the kernel for, and how much of it was done by short cuts.
fn tell_entries(tally: &Tally) {
    println!("short cuts, of all entries for the same:");
    for (cause, &(short, all)) in &tally.entries {
        let share = 100.0 * short as f64 / all as f64;
        println!("  {short:8} of {all:8}, {share:4.1} %  {cause}");
    }
}
