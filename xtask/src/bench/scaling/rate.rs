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
const BUSY: u128 = 95;
/// Time for which its threads may have waited for a processor, in thousandths of the same. It says most: who waits for a
/// lock of the emulator's has not had the processor either, but the host is not to blame.
const WAITED: u128 = 15;
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
    /// Time for which its threads were ready and had no processor, in thousandths.
    pub(crate) waited: u128,
}

impl Rate {
    fn is_good(&self) -> bool {
        self.busy >= BUSY && self.waited <= WAITED
    }
}

/// Watches a run: to be told each line of its console.
#[derive(Default)]
pub(crate) struct Watcher {
    since: Option<(Instant, Times)>,
    pub(crate) rates: Vec<Rate>,
}

impl Watcher {
    pub(crate) fn line(&mut self, process: u32, line: &str) {
        let times = times_of(process).unwrap_or_default();
        self.line_at(line, Instant::now(), times);
    }

    fn line_at(&mut self, line: &str, now: Instant, times: Times) {
        let words: Vec<&str> = line.split_whitespace().collect();
        match *words.as_slice() {
            ["begin", _, _] => self.since = Some((now, times)),
            ["rate", LOAD, at_once, operations] => {
                if let (Some((since, before)), Ok(at_once), Ok(operations)) =
                    (self.since.take(), at_once.parse(), operations.parse())
                {
                    let elapsed = now.duration_since(since).as_nanos() * u128::from(at_once);
                    let used = times.used.saturating_sub(before.used).as_nanos();
                    let waited = times.waited.saturating_sub(before.waited).as_nanos();
                    self.rates.push(Rate {
                        at_once,
                        operations,
                        busy: used * 100 / elapsed.max(1),
                        waited: waited * 1000 / elapsed.max(1),
                    });
                }
            }
            _ => (),
        }
    }
}

/// Of all threads of a process together.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct Times {
    /// On a processor.
    used: Duration,
    /// Ready for one.
    waited: Duration,
}

/// What Linux says of it (kernel documentation, *Scheduler Statistics*: nanoseconds on the processor and waiting for it).
fn times_of(process: u32) -> Result<Times> {
    let directory = format!("/proc/{process}/task");
    let directory = Path::new(&directory);
    let mut times = Times::default();
    for entry in fs::read_dir(directory).doing("read", directory)? {
        let path = entry.doing("read", directory)?.path().join("schedstat");
        // A thread may have ended in between.
        let text = fs::read_to_string(&path).unwrap_or_default();
        let mut numbers = text.split_whitespace().map(|word| word.parse::<u64>());
        if let (Some(Ok(used)), Some(Ok(waited))) = (numbers.next(), numbers.next()) {
            times.used += Duration::from_nanos(used);
            times.waited += Duration::from_nanos(waited);
        }
    }
    Ok(times)
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
        .map(|rate| {
            let Rate {
                at_once,
                operations,
                busy,
                waited,
            } = rate;
            format!("    {at_once} at once: {busy}% {waited}/1000 {operations}\n")
        })
        .collect();
    format!(
        "host busy: each emulated core needs {BUSY}% of a processor, and may wait for it {WAITED}/1000 of the time; \
         what they had, and operations in a second:\n{}",
        shares.concat()
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
            waited: 99 - busy,
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
            said.starts_with("host busy") && said.contains("2 at once: 55% 44/1000 1000"),
            "{said}"
        );
    }

    #[test]
    fn who_waits_for_a_processor_does_not_count() {
        let rate = |busy, waited| Rate {
            at_once: 2,
            operations: 1,
            busy,
            waited,
        };
        assert!(rate(96, 3).is_good());
        assert!(!rate(94, 3).is_good());
        assert!(!rate(98, 16).is_good());
    }

    #[test]
    fn shares_are_measured_between_lines() {
        let mut watcher = Watcher::default();
        let start = Instant::now();
        let later = start + Duration::from_millis(500);
        let times = |used, waited| Times {
            used: Duration::from_millis(used),
            waited: Duration::from_millis(waited),
        };
        watcher.line_at("rate call 2 7", start, times(0, 0));
        watcher.line_at("begin call 2", start, times(100, 10));
        watcher.line_at("something", start, times(0, 0));
        watcher.line_at("rate call 2 900", later, times(1080, 12));
        watcher.line_at("rate call 2 901", later, times(1080, 12));
        let expected = Rate {
            at_once: 2,
            operations: 900,
            busy: 98,
            waited: 2,
        };
        assert_eq!(watcher.rates, [expected]);
    }

    #[test]
    fn this_process_uses_time() {
        assert!(times_of(std::process::id()).unwrap().used > Duration::ZERO);
        assert!(times_of(u32::MAX).is_err());
    }
}
