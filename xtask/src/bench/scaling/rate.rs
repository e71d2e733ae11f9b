//! How much two emulated cores do in the time of one, on real ones: a figure by the clock, so it is no test, and it
//! checks itself. Each emulated core is a thread of the emulator; only if these had the processor all the time, the
//! figure says something about the kernel. Else there is none.

use crate::failure::{Context, Result};
use std::fs;
use std::path::Path;
use std::time::{Duration, Instant};

/// What they do.
const LOAD: &str = "call";
/// The emulated cores at once that are compared.
const FEW: u32 = 1;
const MANY: u32 = 2;
/// Processor time that the emulator must have had, in percent of the time that it takes for each emulated core to run
/// all the time.
const QUIET: u128 = 95;
/// Good measurements of each that are needed.
const ENOUGH: usize = 4;

/// One measurement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Rate {
    pub(crate) at_once: u32,
    /// Operations in a second, of all cores together.
    pub(crate) operations: u64,
    /// Processor time of the emulator, in percent of the time that went by, for each emulated core.
    pub(crate) busy: u128,
}

impl Rate {
    fn is_good(&self) -> bool {
        self.busy >= QUIET
    }
}

/// Watches a run: to be told each line of its console.
#[derive(Default)]
pub(crate) struct Watcher {
    since: Option<(Instant, Duration)>,
    pub(crate) rates: Vec<Rate>,
}

impl Watcher {
    pub(crate) fn line(&mut self, process: u32, line: &str) {
        let used = processor_time(process).unwrap_or_default();
        self.line_at(line, Instant::now(), used);
    }

    fn line_at(&mut self, line: &str, now: Instant, used: Duration) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match *words.as_slice() {
            ["begin", _, _] => self.since = Some((now, used)),
            ["rate", LOAD, at_once, operations] => {
                if let (Some((since, before)), Ok(at_once), Ok(operations)) =
                    (self.since.take(), at_once.parse(), operations.parse())
                {
                    let elapsed = now.duration_since(since).as_nanos() * u128::from(at_once);
                    let used = used.saturating_sub(before).as_nanos();
                    self.rates.push(Rate {
                        at_once,
                        operations,
                        busy: used * 100 / elapsed.max(1),
                    });
                }
            }
            _ => (),
        }
    }
}

/// The processor time of all threads of a process.
fn processor_time(process: u32) -> Result<Duration> {
    let directory = format!("/proc/{process}/task");
    let directory = Path::new(&directory);
    let mut sum = 0;
    for entry in fs::read_dir(directory).doing("read", directory)? {
        let path = entry.doing("read", directory)?.path().join("schedstat");
        // A thread may have ended in between.
        let text = fs::read_to_string(&path).unwrap_or_default();
        sum += text
            .split_whitespace()
            .next()
            .and_then(|word| word.parse::<u64>().ok())
            .unwrap_or(0);
    }
    Ok(Duration::from_nanos(sum))
}

/// What many cores do, in hundredths of what few do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Ratio {
    pub(crate) few: u64,
    pub(crate) many: u64,
}

impl Ratio {
    pub(crate) fn hundredths(&self) -> u64 {
        self.many * 100 / self.few.max(1)
    }
}

/// The ratio, from the medians of the measurements in which the host was quiet. If those are too few, what is known of
/// the host.
pub(crate) fn ratio(rates: &[Rate]) -> std::result::Result<Ratio, String> {
    let good = |at_once| {
        let mut good: Vec<u64> = rates
            .iter()
            .filter(|rate| rate.at_once == at_once && rate.is_good())
            .map(|rate| rate.operations)
            .collect();
        good.sort_unstable();
        (good.len() >= ENOUGH).then(|| good[good.len() / 2])
    };
    match (good(FEW), good(MANY)) {
        (Some(few), Some(many)) => Ok(Ratio { few, many }),
        _ => Err(busy(rates)),
    }
}

fn busy(rates: &[Rate]) -> String {
    let shares: Vec<String> = rates
        .iter()
        .map(|rate| format!("{} x {}% ({})", rate.at_once, rate.busy, rate.operations))
        .collect();
    format!(
        "host busy: the emulated cores had this share of a processor each (operations in a second), and {QUIET}% are \
         needed: {}",
        shares.join(", ")
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Rounds: (operations, percent) on one core and on two.
    fn rates(rounds: &[[(u64, u128); 2]]) -> Vec<Rate> {
        let rate = |(at_once, &(operations, busy)): (u32, &(u64, u128))| Rate {
            at_once,
            operations,
            busy,
        };
        rounds
            .iter()
            .flat_map(|round| [FEW, MANY].into_iter().zip(round).map(rate))
            .collect()
    }

    #[test]
    fn medians_of_quiet_rounds_count() {
        let quiet = [
            [(1000, 99), (1900, 98)],
            [(1010, 99), (1910, 98)],
            [(990, 99), (1890, 98)],
            [(1005, 99), (1905, 98)],
            [(500, 60), (900, 55)],
        ];
        let ratio = ratio(&rates(&quiet)).unwrap();
        assert_eq!((ratio.few, ratio.many), (1005, 1905));
        assert_eq!(ratio.hundredths(), 189);
    }

    #[test]
    fn a_busy_host_gives_no_figure() {
        let busy = [
            [(1000, 99), (1000, 55)],
            [(1010, 99), (1910, 98)],
            [(990, 99), (1890, 98)],
            [(990, 99), (1890, 98)],
        ];
        let said = ratio(&rates(&busy)).unwrap_err();
        assert!(
            said.starts_with("host busy") && said.contains("2 x 55%"),
            "{said}"
        );
    }

    #[test]
    fn shares_are_measured_between_lines() {
        let mut watcher = Watcher::default();
        let start = Instant::now();
        let later = start + Duration::from_millis(500);
        watcher.line_at("rate call 2 7", start, Duration::ZERO);
        watcher.line_at("begin call 2", start, Duration::from_millis(100));
        watcher.line_at("something", start, Duration::ZERO);
        watcher.line_at("rate call 2 900", later, Duration::from_millis(1080));
        let expected = Rate {
            at_once: 2,
            operations: 900,
            busy: 98,
        };
        assert_eq!(watcher.rates, [expected]);
    }

    #[test]
    fn this_process_uses_time() {
        assert!(processor_time(std::process::id()).unwrap() > Duration::ZERO);
        assert!(processor_time(u32::MAX).is_err());
    }
}
