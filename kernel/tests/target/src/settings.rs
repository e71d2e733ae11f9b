//! Numbers that a test is built with: the tool puts them into the environment of the compiler, as a root task has no
//! arguments. `setting!` reads them where it stands, so that another number makes cargo build that test only.

/// The number that a text says.
///
/// # Panics
/// When it says none.
pub fn number(text: Option<&str>) -> Option<u64> {
    text.map(|text| text.parse().expect("a number"))
}

/// The number that the environment variable `name` had when this was compiled, if it was set.
#[macro_export]
macro_rules! setting {
    ($name:literal) => {
        $crate::settings::number(option_env!($name))
    };
}
