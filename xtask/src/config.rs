//! The kernel configuration: the keys of `kernel/config.keys`, what `--config` changes, and the environment that
//! carries the result to the kernel's build script.
//!
//! This has nothing to do with Cargo profiles: any configuration can be built in either profile.

use crate::failure::{Context, Failure, Result, unknown};
use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

/// What `run` and `test` switch on over the file's defaults: counters that programs read from user level.
const USER_COUNTERS: [&str; 3] = ["EXPORT_PMU_USER", "EXPORT_VCNT_USER", "EXPORT_PCNT_USER"];

/// Every key with its value.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct KernelConfig(BTreeMap<String, String>);

impl KernelConfig {
    /// Reads the keys and their defaults.
    pub(crate) fn read(root: &Path) -> Result<Self> {
        let path = root.join("kernel/config.keys");
        let text = fs::read_to_string(&path).doing("read", &path)?;
        Self::parse(&text)
            .map_err(|error| Failure::new(format!("{}: {}", path.display(), error.message)))
    }

    /// One `KEY default` a line; `#` starts a comment.
    pub(crate) fn parse(text: &str) -> Result<Self> {
        let mut keys = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let line = line.split('#').next().unwrap_or("").trim();
            if line.is_empty() {
                continue;
            }
            let mut words = line.split_whitespace();
            let (Some(key), Some(value), None) = (words.next(), words.next(), words.next()) else {
                return Err(Failure::new(format!(
                    "line {}: expected KEY VALUE, found '{line}'",
                    number + 1
                )));
            };
            if keys.insert(key.to_string(), value.to_string()).is_some() {
                return Err(Failure::new(format!("line {}: {key} again", number + 1)));
            }
        }
        Ok(Self(keys))
    }

    /// With the user-level counters on, as for `run` and `test`.
    pub(crate) fn with_user_counters(mut self) -> Self {
        for key in USER_COUNTERS {
            if let Some(value) = self.0.get_mut(key) {
                *value = "true".to_string();
            }
        }
        self
    }

    /// With `KEY=VALUE` settings applied, each checked against the kind of value its default is.
    pub(crate) fn with(mut self, settings: &[String]) -> Result<Self> {
        for setting in settings {
            let Some((key, value)) = setting.split_once('=') else {
                return Err(Failure::usage(format!(
                    "kernel configuration '{setting}' is not of the form KEY=VALUE"
                )));
            };
            let Some(current) = self.0.get_mut(key) else {
                return Err(unknown(
                    "kernel configuration key",
                    key,
                    self.0.keys().map(String::as_str),
                ));
            };
            let fits = if matches!(current.as_str(), "true" | "false") {
                matches!(value, "true" | "false")
            } else if current.parse::<u64>().is_ok() {
                value.parse::<u64>().is_ok()
            } else {
                !value.is_empty()
            };
            if !fits {
                let kind = match current.parse::<u64>() {
                    Ok(_) => "a decimal number",
                    Err(_) if matches!(current.as_str(), "true" | "false") => "true or false",
                    Err(_) => "a word",
                };
                return Err(Failure::usage(format!(
                    "kernel configuration {key} takes {kind}, not '{value}'"
                )));
            }
            *current = value.to_string();
        }
        Ok(self)
    }

    /// A key's value, if there is such a key.
    pub(crate) fn get(&self, key: &str) -> Option<&str> {
        self.0.get(key).map(String::as_str)
    }

    /// A key's value as a number.
    pub(crate) fn number(&self, key: &str) -> Option<u64> {
        self.get(key)?.parse().ok()
    }

    /// The variables that the kernel's build script reads.
    pub(crate) fn environment(&self) -> impl Iterator<Item = (String, &str)> {
        self.0
            .iter()
            .map(|(key, value)| (format!("TERN_{key}"), value.as_str()))
    }

    /// Identifies this configuration in file names.
    pub(crate) fn id(&self) -> String {
        let mut text = String::new();
        for (key, value) in &self.0 {
            text += &format!("{key}={value}\n");
        }
        format!("{:016x}", fingerprint(text.as_bytes()))
    }
}

/// A 64-bit hash that stays the same from one build of this tool to the next (FNV-1a).
pub(crate) fn fingerprint(bytes: &[u8]) -> u64 {
    bytes.iter().fold(0xcbf2_9ce4_8422_2325, |hash, &byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: &str =
        "# text\nPRINTING true\nMAX_NUM_NODES 8 # cores\n\nMODEL big\nEXPORT_PMU_USER false\n";

    fn keys() -> KernelConfig {
        KernelConfig::parse(KEYS).unwrap()
    }

    fn set(setting: &str) -> Result<KernelConfig> {
        keys().with(&[setting.to_string()])
    }

    #[test]
    fn keys_are_read_and_set() {
        let config = set("MAX_NUM_NODES=16").unwrap();
        assert_eq!(config.number("MAX_NUM_NODES"), Some(16));
        assert_eq!(config.number("PRINTING"), None);
        assert!(
            config
                .environment()
                .any(|(key, value)| key == "TERN_PRINTING" && value == "true")
        );
        assert_ne!(config.id(), keys().id());
        assert_eq!(
            set("PRINTING=false").unwrap().id(),
            set("PRINTING=false").unwrap().id()
        );
    }

    #[test]
    fn counters_are_overlaid_only_where_the_kernel_has_them() {
        let config = keys().with_user_counters();
        assert!(
            config
                .environment()
                .any(|(key, value)| key == "TERN_EXPORT_PMU_USER" && value == "true")
        );
        assert!(
            config
                .environment()
                .all(|(key, _)| key != "TERN_EXPORT_VCNT_USER")
        );
    }

    #[test]
    fn mistakes_are_named() {
        let message = |setting: &str| set(setting).unwrap_err().message;
        assert!(message("PRINT=true").contains("MAX_NUM_NODES, MODEL, PRINTING"));
        assert!(message("PRINTING").contains("KEY=VALUE"));
        assert!(message("PRINTING=yes").contains("true or false"));
        assert!(message("MAX_NUM_NODES=many").contains("decimal number"));
        assert!(message("MAX_NUM_NODES=-1").contains("decimal number"));
        assert!(message("MODEL=").contains("a word"));
        assert!(KernelConfig::parse("A").is_err());
        assert!(KernelConfig::parse("A 1\nA 2").is_err());
    }
}
