//! The figures of a run: read from the program's console, and from and to JSON.
//!
//! The JSON that is read is what this tool writes: a list of objects whose values are numbers and plain texts.

use super::rows;
use crate::cli::Locks;
use crate::failure::{Failure, Result};
use crate::sdk::json::{Json, object};

/// What one benchmark gave on one machine.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Figure {
    pub(crate) name: String,
    pub(crate) cores: u32,
    /// How the kernel locks: [`mode`].
    pub(crate) mode: String,
    /// The median.
    pub(crate) instructions: u64,
    pub(crate) min: u64,
    pub(crate) max: u64,
    pub(crate) sgi: u64,
    pub(crate) lock_waits: u64,
    pub(crate) all_entries: u64,
    /// The longest time that locks were held, in instructions of a kernel that counts.
    pub(crate) lock_hold: u64,
}

/// The word for the way in which a kernel locks, in the figures.
pub(crate) fn mode(locks: Locks) -> &'static str {
    match locks {
        Locks::Default => "default",
        Locks::All => "all-locks",
    }
}

/// Figures from the consoles of the same program on an ordinary kernel and on one that counts.
pub(crate) fn read_consoles(
    ordinary: &str,
    counting: &str,
    cores: u32,
    mode: &str,
) -> Result<Vec<Figure>> {
    rows::on(cores)
        .map(|row| {
            let missing = || Failure::new(format!("{} gave no figure on {cores} cores", row.name));
            let [instructions, min, max, samples] =
                line(ordinary, "bench", row.name).ok_or_else(missing)?;
            let [sgi, lock_waits, all_entries, lock_hold] =
                line(counting, "count", row.name).ok_or_else(missing)?;
            if samples < 100 || !(min..=max).contains(&instructions) {
                return Err(Failure::new(format!(
                    "{}: {samples} samples from {min} to {max} with the median {instructions}",
                    row.name
                )));
            }
            Ok(Figure {
                name: row.name.to_string(),
                cores,
                mode: mode.to_string(),
                instructions,
                min,
                max,
                sgi,
                lock_waits,
                all_entries,
                lock_hold,
            })
        })
        .collect()
}

/// The four numbers of a line `KIND NAME n n n n`.
pub(super) fn line(console: &str, kind: &str, name: &str) -> Option<[u64; 4]> {
    console.lines().find_map(|line| {
        let mut words = line.split_whitespace();
        if words.next() != Some(kind) || words.next() != Some(name) {
            return None;
        }
        let numbers: Vec<u64> = words.map_while(|word| word.parse().ok()).collect();
        numbers.try_into().ok()
    })
}

/// The median of one benchmark.
pub(crate) fn instructions(console: &str, name: &str) -> Option<u64> {
    line(console, "bench", name).map(|[median, ..]| median)
}

/// The lines of a console that have figures.
pub(crate) fn lines(console: &str) -> impl Iterator<Item = &str> {
    console
        .lines()
        .filter(|line| line.starts_with("bench ") || line.starts_with("count "))
}

/// The figures for machines.
pub(crate) fn to_json(figures: &[Figure]) -> String {
    let list = figures.iter().map(|figure| {
        object([
            ("name", Json::from(figure.name.as_str())),
            ("cores", Json::from(figure.cores)),
            ("mode", Json::from(figure.mode.as_str())),
            ("instructions", Json::from(figure.instructions)),
            ("min", Json::from(figure.min)),
            ("max", Json::from(figure.max)),
            ("sgi", Json::from(figure.sgi)),
            ("lock_waits", Json::from(figure.lock_waits)),
            ("all_entries", Json::from(figure.all_entries)),
            ("lock_hold", Json::from(figure.lock_hold)),
        ])
    });
    Json::List(list.collect()).to_string()
}

/// What [`to_json`] wrote. Members that are not known are passed over, and those that are missing are 0.
pub(crate) fn from_json(text: &str) -> Result<Vec<Figure>> {
    let wrong = || Failure::new("not a list of figures as `bench --json` writes it");
    let body = text
        .trim()
        .strip_prefix('[')
        .and_then(|rest| rest.strip_suffix(']'))
        .ok_or_else(wrong)?;
    let mut figures = Vec::new();
    for piece in body.split('}') {
        let Some((_, members)) = piece.split_once('{') else {
            // Behind the last one.
            if piece.trim().is_empty() {
                continue;
            }
            return Err(wrong());
        };
        let mut figure = Figure::default();
        for member in members.split(',') {
            let (name, value) = member.split_once(':').ok_or_else(wrong)?;
            let (name, value) = (name.trim().trim_matches('"'), value.trim());
            let text = || value.trim_matches('"').to_string();
            let number = || value.parse::<u64>().map_err(|_| wrong());
            match name {
                "name" => figure.name = text(),
                "mode" => figure.mode = text(),
                "cores" => figure.cores = value.parse().map_err(|_| wrong())?,
                "instructions" => figure.instructions = number()?,
                "min" => figure.min = number()?,
                "max" => figure.max = number()?,
                "sgi" => figure.sgi = number()?,
                "lock_waits" => figure.lock_waits = number()?,
                "all_entries" => figure.all_entries = number()?,
                "lock_hold" => figure.lock_hold = number()?,
                _ => (),
            }
        }
        figures.push(figure);
    }
    Ok(figures)
}

#[cfg(test)]
pub(super) mod tests {
    use super::*;

    /// A figure of so many instructions.
    pub(crate) fn figure(name: &str, cores: u32, instructions: u64) -> Figure {
        Figure {
            name: name.to_string(),
            cores,
            mode: "default".to_string(),
            instructions,
            min: instructions - 1,
            max: instructions + 1,
            sgi: 0,
            lock_waits: 0,
            all_entries: 1,
            lock_hold: 77,
        }
    }

    fn console(kind: &str, left_out: &str) -> String {
        rows::on(1)
            .filter(|row| row.name != left_out)
            .map(|row| format!("{kind} {} 200 100 300 128\n", row.name))
            .collect()
    }

    #[test]
    fn a_console_is_read() {
        let (bench, count) = (console("bench", ""), console("count", ""));
        let figures = read_consoles(&bench, &count, 1, "default").unwrap();
        assert_eq!(figures.len(), rows::on(1).count());
        let first = &figures[0];
        assert_eq!((first.name.as_str(), first.instructions), ("call", 200));
        assert_eq!((first.min, first.max, first.sgi), (100, 300, 200));
        assert_eq!((first.all_entries, first.lock_hold), (300, 128));
    }

    #[test]
    fn what_is_missing_is_named() {
        let (bench, count) = (console("bench", ""), console("count", ""));
        for (bench, count) in [
            (console("bench", "yield"), count.clone()),
            (bench.clone(), console("count", "yield")),
            (bench.replace("yield 200", "yield 400"), count),
        ] {
            let failure = read_consoles(&bench, &count, 1, "default").unwrap_err();
            assert!(failure.message.contains("yield"), "{}", failure.message);
        }
    }

    #[test]
    fn json_comes_back() {
        let figures = [figure("call", 1, 200), figure("call_10", 4, 5)];
        let text = to_json(&figures);
        assert_eq!(from_json(&text).unwrap(), figures);
        let read: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!(read[1]["name"], "call_10");
        assert_eq!(read[1]["all_entries"], 1);
        assert_eq!(from_json("[]").unwrap(), []);
        for bad in ["", "{}", "[1]", "[{\"cores\": \"x\"}]"] {
            assert!(from_json(bad).is_err(), "{bad}");
        }
    }
}
