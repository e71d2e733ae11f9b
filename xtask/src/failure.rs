//! What a command of this tool ends with when it does not succeed: an exit status and, usually, a message.
//!
//! Everything that can go wrong here is told to a person, so there is one error type and it carries text.

use std::fmt::Display;
use std::io;
use std::path::Path;

pub(crate) type Result<T> = std::result::Result<T, Failure>;

/// Exit status of a command line that was not understood.
pub(crate) const USAGE: u8 = 2;
/// Exit status of a run that took too long; the same as timeout(1) gives.
pub(crate) const TIMED_OUT: u8 = 124;

/// The end of a command that did not succeed.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) status: u8,
    /// Empty when everything has been said already.
    pub(crate) message: String,
}

impl Failure {
    pub(crate) fn new(message: impl Into<String>) -> Self {
        Self {
            status: 1,
            message: message.into(),
        }
    }

    /// A mistake on the command line.
    pub(crate) fn usage(message: impl Into<String>) -> Self {
        Self {
            status: USAGE,
            message: message.into(),
        }
    }

    /// An exit status passed on, with nothing left to say.
    pub(crate) fn status(status: u8) -> Self {
        Self {
            status,
            message: String::new(),
        }
    }
}

impl From<lexopt::Error> for Failure {
    fn from(error: lexopt::Error) -> Self {
        Self::usage(error.to_string())
    }
}

/// Names the file in an input or output error, which the standard library's message does not.
pub(crate) trait Context<T> {
    fn doing(self, what: &str, path: &Path) -> Result<T>;
    fn running(self, program: impl Display) -> Result<T>;
}

impl<T> Context<T> for io::Result<T> {
    fn doing(self, what: &str, path: &Path) -> Result<T> {
        self.map_err(|error| Failure::new(format!("cannot {what} {}: {error}", path.display())))
    }

    fn running(self, program: impl Display) -> Result<T> {
        self.map_err(|error| Failure::new(format!("cannot run {program}: {error}")))
    }
}

/// A message with the valid choices, for a name that is not one of them.
pub(crate) fn unknown<'a>(
    what: &str,
    given: &str,
    valid: impl IntoIterator<Item = &'a str>,
) -> Failure {
    let valid: Vec<&str> = valid.into_iter().collect();
    let list = if valid.is_empty() {
        "there are none".to_string()
    } else {
        format!("choose one of: {}", valid.join(", "))
    };
    Failure::usage(format!("unknown {what} '{given}'; {list}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unknown_name_lists_the_valid_ones() {
        let failure = unknown("board", "pi", ["virt", "rpi4"]);
        assert_eq!(failure.status, USAGE);
        assert_eq!(
            failure.message,
            "unknown board 'pi'; choose one of: virt, rpi4"
        );
        assert!(unknown("example", "x", []).message.contains("none"));
    }
}
