//! pip's configuration files, in the dialect of Python's `RawConfigParser`.

/// One `key = value` line, with the lines that continue it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Setting {
    /// As written between the brackets.
    pub section: String,
    /// Lowercase, `-` for `_`, as pip normalises option names.
    pub key: String,
    /// Lines joined with line feeds, each trimmed.
    pub value: String,
}

/// What is wrong with a file, and in which line, counted from 1.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    pub line: usize,
    pub reason: &'static str,
}

/// Reads a file's text. Comments begin a line with `#` or `;`; an indented line continues the
/// value before it.
pub fn parse(text: &str) -> Result<Vec<Setting>, Malformed> {
    let mut settings: Vec<Setting> = Vec::new();
    let mut section: Option<String> = None;
    // Whether an indented line would continue a value, and from which depth on.
    let mut open: Option<usize> = None;
    for (at, line) in text.trim_start_matches('\u{feff}').lines().enumerate() {
        let wrong = |reason| Malformed { line: at + 1, reason };
        let bare = line.trim();
        if bare.is_empty() || bare.starts_with(['#', ';']) {
            continue;
        }
        let depth = line.len() - line.trim_start().len();
        if open.is_some_and(|outer| depth > outer)
            && let Some(last) = settings.last_mut()
        {
            last.value = format!("{}\n{bare}", last.value).trim().to_owned();
            continue;
        }
        if let Some(rest) = bare.strip_prefix('[') {
            let name = rest.rfind(']').map(|end| &rest[..end]);
            section = Some(name.ok_or_else(|| wrong("a section without ]"))?.to_owned());
            open = None;
            continue;
        }
        let section = section.clone().ok_or_else(|| wrong("a setting before any [section]"))?;
        let (key, value) = bare
            .split_once(['=', ':'])
            .ok_or_else(|| wrong("neither a [section] nor key = value"))?;
        let key = normalised(key.trim());
        if key.is_empty() {
            return Err(wrong("a value without a key"));
        }
        settings.push(Setting { section, key, value: value.trim().to_owned() });
        open = Some(depth);
    }
    Ok(settings)
}

/// pip's spelling of an option's name.
pub fn normalised(name: &str) -> String {
    let name = name.to_lowercase().replace('_', "-");
    name.strip_prefix("--").unwrap_or(&name).to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> Vec<String> {
        let parsed = parse(text).unwrap();
        parsed.iter().map(|s| format!("{}.{}={}", s.section, s.key, s.value)).collect()
    }

    #[test]
    fn reads_what_python_reads() {
        let text = "# c\n[global]\nIndex_URL = https://a/simple\n; c\nfind-links =\n  /one\n\n  # c\n  \
                    /two\ntimeout: 60\n[install]\n--no-index = yes\nempty =\n";
        let expected = [
            "global.index-url=https://a/simple",
            "global.find-links=/one\n/two",
            "global.timeout=60",
            "install.no-index=yes",
            "install.empty=",
        ];
        assert_eq!(shown(text), expected);
        assert_eq!(shown("\u{feff}[a]\nk = v = w # not a comment"), ["a.k=v = w # not a comment"]);
    }

    #[test]
    fn names_the_line_that_is_wrong() {
        for (text, line) in [("a = b", 1), ("[x\n", 1), ("[x]\n\njunk", 3), ("[x]\n = v", 2)] {
            assert_eq!(parse(text).unwrap_err().line, line, "{text:?}");
        }
    }
}
