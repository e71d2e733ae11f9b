//! Debian's package sources: finding the machine's own mirror in them and making the backports suite's entry from it.
//!
//! Both formats are read, `*.list` (one entry a line) and `*.sources` (paragraphs of fields). Mirror and signing key are
//! copied from the machine's entry, so whatever it uses is used here too.

/// An entry for one suite.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Source {
    uris: String,
    suites: Vec<String>,
    /// Fields to copy, such as `Signed-By`, as they stand in a paragraph, with any lines that continue them.
    options: Vec<String>,
}

/// Fields that say how a mirror is trusted and reached. Those that say what is fetched from it are not copied.
const COPIED: [(&str, &str); 4] = [
    ("signed-by", "Signed-By"),
    ("trusted", "Trusted"),
    ("check-valid-until", "Check-Valid-Until"),
    ("allow-insecure", "Allow-Insecure"),
];

impl Source {
    pub(crate) fn has_suite(&self, suite: &str) -> bool {
        self.suites.iter().any(|known| known == suite)
    }

    /// A `.sources` file with another suite of the same mirror.
    pub(crate) fn for_suite(&self, suite: &str) -> String {
        let mut text = format!(
            "# Added by Tern's `cargo xtask` for a QEMU newer than the distribution's. It can be removed again.\n\
             Types: deb\nURIs: {}\nSuites: {suite}\nComponents: main\n",
            self.uris
        );
        for option in &self.options {
            text += option;
            text.push('\n');
        }
        text
    }
}

/// Entries of a `.list` file: `deb [option=value ...] uri suite component...`.
pub(crate) fn parse_list(text: &str) -> Vec<Source> {
    text.lines().filter_map(parse_list_line).collect()
}

fn parse_list_line(line: &str) -> Option<Source> {
    let line = line.split('#').next()?.trim();
    let mut rest = line
        .strip_prefix("deb")
        .filter(|rest| rest.starts_with([' ', '\t', '[']))?
        .trim_start();
    let mut options = Vec::new();
    if let Some(bracket) = rest.strip_prefix('[') {
        let (inside, behind) = bracket.split_once(']')?;
        rest = behind;
        for option in inside.split_whitespace() {
            let (key, value) = option.split_once('=')?;
            if let Some(field) = field_name(key) {
                options.push(format!("{field}: {value}"));
            }
        }
    }
    let mut words = rest.split_whitespace();
    Some(Source {
        uris: words.next()?.to_string(),
        suites: vec![words.next()?.to_string()],
        options,
    })
}

/// Entries of a `.sources` file: paragraphs of `Field: value`, a value going on in lines that start with a blank.
pub(crate) fn parse_sources(text: &str) -> Vec<Source> {
    let mut sources = Vec::new();
    let mut paragraph: Vec<(String, String)> = Vec::new();
    for line in text.lines().chain([""]) {
        if line.starts_with('#') {
            continue;
        }
        if line.trim().is_empty() {
            sources.extend(from_paragraph(&paragraph));
            paragraph.clear();
        } else if line.starts_with([' ', '\t']) {
            if let Some((_, value)) = paragraph.last_mut() {
                value.push('\n');
                value.push_str(line);
            }
        } else if let Some((field, value)) = line.split_once(':') {
            paragraph.push((field.trim().to_lowercase(), value.trim().to_string()));
        }
    }
    sources
}

fn from_paragraph(fields: &[(String, String)]) -> Option<Source> {
    let get = |name: &str| {
        fields
            .iter()
            .find(|(field, _)| field == name)
            .map(|(_, value)| value.as_str())
    };
    let disabled = get("enabled").is_some_and(|value| value.eq_ignore_ascii_case("no"));
    let binary = get("types")?.split_whitespace().any(|kind| kind == "deb");
    if disabled || !binary {
        return None;
    }
    Some(Source {
        uris: get("uris")?
            .split_whitespace()
            .collect::<Vec<_>>()
            .join(" "),
        suites: get("suites")?
            .split_whitespace()
            .map(String::from)
            .collect(),
        options: fields
            .iter()
            .filter_map(|(field, value)| {
                field_name(field).map(|name| {
                    // A key inside the file starts on the line after its field's name.
                    let blank = if value.starts_with('\n') { "" } else { " " };
                    format!("{name}:{blank}{value}")
                })
            })
            .collect(),
    })
}

fn field_name(key: &str) -> Option<&'static str> {
    COPIED
        .iter()
        .find(|(known, _)| *known == key.to_lowercase())
        .map(|(_, field)| *field)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read() {
        let text = "# a comment\ndeb-src http://mirror/debian stable main\n\
            deb http://mirror/debian stable main contrib # ours\n\
            deb [arch=amd64 signed-by=/k.gpg trusted=yes] http://m2/debian stable-updates main\n\
            debris\ndeb broken\n";
        let sources = parse_list(text);
        assert_eq!(sources.len(), 2);
        assert!(sources[0].has_suite("stable") && !sources[0].has_suite("stable-updates"));
        assert!(
            sources[0]
                .for_suite("b")
                .ends_with("Types: deb\nURIs: http://mirror/debian\nSuites: b\nComponents: main\n")
        );
        assert!(
            sources[1]
                .for_suite("b")
                .ends_with("Components: main\nSigned-By: /k.gpg\nTrusted: yes\n")
        );
    }

    #[test]
    fn paragraphs_are_read() {
        let text = "Types: deb deb-src\n# aside\nURIs: http://mirror/debian\nSuites: stable stable-updates\n\
            Components: main\nSigned-By: /usr/share/keyrings/k.gpg\n\n\
            Types: deb-src\nURIs: http://a\nSuites: stable\n\n\n\
            Enabled: no\nTypes: deb\nURIs: http://b\nSuites: stable\n";
        let sources = parse_sources(text);
        assert_eq!(sources.len(), 1);
        assert!(sources[0].has_suite("stable-updates"));
        let made = sources[0].for_suite("stable-backports");
        assert!(made.contains("\nURIs: http://mirror/debian\nSuites: stable-backports\n"));
        assert!(made.ends_with("\nSigned-By: /usr/share/keyrings/k.gpg\n"));
    }

    #[test]
    fn a_key_inside_the_file_is_kept_whole() {
        let key = "Signed-By:\n -----BEGIN PGP PUBLIC KEY BLOCK-----\n .\n abc=\n -----END PGP PUBLIC KEY BLOCK-----\n";
        let text = format!("Types: deb\nURIs: http://m\nSuites: s\nComponents: main\n{key}");
        let made = parse_sources(&text)[0].for_suite("t");
        assert!(made.ends_with(key), "{made}");
        assert_eq!(parse_sources(&made)[0].for_suite("t"), made);
    }
}
