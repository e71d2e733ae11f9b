//! Writing JSON: the few kinds of values that the files have. Numbers are exact, members keep their order.

use std::fmt::{self, Display, Formatter};

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Json {
    Bool(bool),
    Number(i128),
    Text(String),
    List(Vec<Json>),
    Object(Vec<(String, Json)>),
}

impl From<&str> for Json {
    fn from(text: &str) -> Self {
        Self::Text(text.to_string())
    }
}

macro_rules! from_integers {
    ($($kind:ty)*) => {
        $(impl From<$kind> for Json {
            fn from(number: $kind) -> Self {
                // None of these types has a value outside.
                Self::Number(number as i128)
            }
        })*
    };
}

from_integers!(i64 u64 u32 u8 usize);

/// An object of names and anything that becomes a value.
pub(crate) fn object<N: Into<String>, V: Into<Json>>(
    members: impl IntoIterator<Item = (N, V)>,
) -> Json {
    Json::Object(
        members
            .into_iter()
            .map(|(name, value)| (name.into(), value.into()))
            .collect(),
    )
}

/// The whole value in lines of its own, with a line break at the end.
impl Display for Json {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.write(f, 0)?;
        f.write_str("\n")
    }
}

impl Json {
    fn write(&self, f: &mut Formatter<'_>, depth: usize) -> fmt::Result {
        match self {
            Self::Bool(value) => write!(f, "{value}"),
            Self::Number(number) => write!(f, "{number}"),
            Self::Text(text) => write_text(f, text),
            Self::List(values) => write_members(f, depth, ['[', ']'], values, |f, value| {
                value.write(f, depth + 1)
            }),
            Self::Object(members) => {
                write_members(f, depth, ['{', '}'], members, |f, (name, value)| {
                    write_text(f, name)?;
                    f.write_str(": ")?;
                    value.write(f, depth + 1)
                })
            }
        }
    }
}

fn write_members<T>(
    f: &mut Formatter<'_>,
    depth: usize,
    [open, close]: [char; 2],
    members: &[T],
    write_one: impl Fn(&mut Formatter<'_>, &T) -> fmt::Result,
) -> fmt::Result {
    write!(f, "{open}")?;
    for (index, member) in members.iter().enumerate() {
        let comma = if index == 0 { "" } else { "," };
        write!(f, "{comma}\n{:1$}", "", 4 * (depth + 1))?;
        write_one(f, member)?;
    }
    if !members.is_empty() {
        write!(f, "\n{:1$}", "", 4 * depth)?;
    }
    write!(f, "{close}")
}

fn write_text(f: &mut Formatter<'_>, text: &str) -> fmt::Result {
    f.write_str("\"")?;
    for letter in text.chars() {
        match letter {
            '"' | '\\' => write!(f, "\\{letter}")?,
            '\0'..='\x1f' => write!(f, "\\u{:04x}", letter as u32)?,
            _ => write!(f, "{letter}")?,
        }
    }
    f.write_str("\"")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read() {
        let json = object([
            ("a \"quoted\"\\\n name", Json::Bool(true)),
            (
                "numbers",
                Json::List(vec![Json::from(-33_i64), Json::from(1_u64 << 47)]),
            ),
            ("nothing", Json::List(Vec::new())),
            ("inner", object([("text", "")])),
        ]);
        let read: serde_json::Value = serde_json::from_str(&json.to_string()).unwrap();
        assert_eq!(
            read,
            serde_json::json!({
                "a \"quoted\"\\\n name": true,
                "numbers": [-33, 1_u64 << 47],
                "nothing": [],
                "inner": {"text": ""}
            })
        );
    }
}
