//! Lists of checksums as publishers write them: which SHA-256 they have for a file.

use std::collections::BTreeSet;

use serde_json::Value;
use treelay_recipes::Digest;

/// Why a list does not say what a file is.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SumsError {
    /// It is no list.
    #[error(
        "it has no SHA-256 in it: expected lines of sha256sum, a digest alone, or JSON with `sha256`"
    )]
    None,
    /// It has other files alone.
    #[error("it does not have {file}; it has: {}", there(.names))]
    NotListed {
        /// The file's name.
        file: String,
        /// Those that it has.
        names: Vec<String>,
    },
    /// It has several.
    #[error("it says more than one SHA-256 of {file}")]
    Several {
        /// The file's name.
        file: String,
    },
}

/// Names that are told.
const MOST_NAMES: usize = 8;

fn there(names: &[String]) -> String {
    let told = names.iter().take(MOST_NAMES).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len() > MOST_NAMES {
        true => format!("{told}, and {} more", names.len() - MOST_NAMES),
        false => told,
    }
}

/// What `text` says of the file of that name: as `sha256sum` writes it, as `sha256sum --tag` does, as
/// JSON, or as a digest alone, which is of whatever file it lies beside. Folders before names are
/// passed over.
///
/// # Errors
/// [`SumsError`].
pub fn find(text: &str, file: &str) -> Result<Digest, SumsError> {
    let mut listed: Vec<(String, Digest)> = Vec::new();
    match serde_json::from_str::<Value>(text) {
        Ok(value @ (Value::Object(_) | Value::Array(_))) => json(&value, 0, &mut listed),
        _ => {
            if let Some(digest) = digest(text.trim()) {
                return Ok(digest);
            }
            listed.extend(text.lines().filter_map(line));
        }
    }
    if listed.is_empty() {
        return Err(SumsError::None);
    }
    let base = |name: &str| name.rsplit('/').next().unwrap_or_default().to_owned();
    let found: BTreeSet<Digest> =
        listed.iter().filter(|(name, _)| base(name) == file).map(|(_, digest)| *digest).collect();
    let mut found = found.into_iter();
    match (found.next(), found.next()) {
        (Some(digest), None) => Ok(digest),
        (Some(_), Some(_)) => Err(SumsError::Several { file: file.to_owned() }),
        (None, _) => {
            let mut names: Vec<String> = listed.iter().map(|(name, _)| base(name)).collect();
            // Those that are most alike first: of another version, say.
            names.sort_by_key(|name| std::cmp::Reverse(alike(name, file)));
            names.dedup();
            Err(SumsError::NotListed { file: file.to_owned(), names })
        }
    }
}

/// How many letters two names begin and end with in common.
fn alike(a: &str, b: &str) -> usize {
    let begin = a.chars().zip(b.chars()).take_while(|(a, b)| a == b).count();
    begin + a.chars().rev().zip(b.chars().rev()).take_while(|(a, b)| a == b).count()
}

fn digest(text: &str) -> Option<Digest> {
    let hex = text.len() == 64 && text.bytes().all(|b| b.is_ascii_hexdigit());
    Digest::from_hex(&text.to_ascii_lowercase()).ok().filter(|_| hex)
}

/// What OpenSSL and BSD call it, before the name in brackets.
const TAGS: [&str; 2] = ["SHA256", "SHA2-256"];

/// `hex  name`, `hex *name`, `SHA256 (name) = hex`, or OpenSSL's `SHA2-256(name)= hex`. A backslash in
/// front of a line says that the name has escapes (coreutils, "md5sum invocation").
fn line(line: &str) -> Option<(String, Digest)> {
    let line = line.trim_matches(['\r', '\n', ' ', '\t']);
    let (line, escaped) = match line.strip_prefix('\\') {
        Some(rest) => (rest, true),
        None => (line, false),
    };
    let (name, hex) = tagged(line).or_else(|| {
        let (hex, name) = line.split_once([' ', '\t'])?;
        let name = name.trim_start_matches([' ', '\t']);
        Some((name.strip_prefix('*').unwrap_or(name), hex))
    })?;
    let name = if escaped { unescaped(name) } else { name.to_owned() };
    Some((name, digest(hex.trim())?)).filter(|(name, _)| !name.is_empty())
}

fn tagged(line: &str) -> Option<(&str, &str)> {
    let rest = TAGS.iter().find_map(|tag| line.strip_prefix(tag))?;
    let rest = rest.trim_start().strip_prefix('(')?;
    rest.rsplit_once(") = ").or_else(|| rest.rsplit_once(")= "))
}

fn unescaped(name: &str) -> String {
    let mut letters = name.chars();
    let mut plain = String::new();
    while let Some(letter) = letters.next() {
        plain.push(match letter {
            '\\' => match letters.next() {
                Some('n') => '\n',
                Some('r') => '\r',
                Some(other) => other,
                None => '\\',
            },
            other => other,
        });
    }
    plain
}

/// Deeper than this no list goes.
const MOST_DEEP: usize = 16;

/// `{"filename": …, "sha256": …}` anywhere, and `{"NAME": "hex"}`.
fn json(value: &Value, depth: usize, listed: &mut Vec<(String, Digest)>) {
    if depth > MOST_DEEP {
        return;
    }
    match value {
        Value::Array(items) => items.iter().for_each(|item| json(item, depth + 1, listed)),
        Value::Object(map) => {
            let text = |key: &str| map.get(key).and_then(Value::as_str);
            let name = ["filename", "file", "name"].into_iter().find_map(text);
            if let (Some(name), Some(digest)) = (name, text("sha256").and_then(digest)) {
                listed.push((name.to_owned(), digest));
            }
            for (key, value) in map {
                match value.as_str().and_then(digest) {
                    Some(digest) if key != "sha256" => listed.push((key.clone(), digest)),
                    Some(_) => {}
                    None => json(value, depth + 1, listed),
                }
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lists_are_read_as_they_are_written() {
        let (a, b) = (Digest::of("a"), Digest::of("b"));
        let (ha, hb) = (a.hex(), b.hex());
        for text in [
            format!("{ha}\n"),
            ha.to_uppercase(),
            format!("{ha}  x.tgz\n{hb}  y.tgz\n"),
            format!("{hb} *y.tgz\r\n{ha} *./dist/x.tgz\r\n"),
            format!(
                "# sums\nSHA256 (y.tgz) = {hb}\nSHA256 (x.tgz) = {ha}\nSHA512 (x.tgz) = {hb}{hb}\n"
            ),
            format!("{ha}  x.tgz\n{ha}  again/x.tgz\n"),
            format!("{hb}  y x.tgz\n{ha}  ./x.tgz\n"),
            format!("SHA256(y.tgz)= {hb}\nSHA2-256(./dist/x.tgz)= {ha}\n"),
            format!("SHA2-256(y.tgz)= {hb}\n-----\nSHA256 (x.tgz) = {ha}\r\n"),
            format!("\\{hb}  y\\\\x.tgz\n{ha}  x.tgz\n"),
            // Go's own list has empty digests for what is gone.
            format!(
                r#"[{{"files":[{{"filename":"x.tgz","sha256":""}},{{"filename":"x.tgz","sha256":"{ha}","size":1}}]}}]"#
            ),
            format!(r#"[{{"version":"1","files":[{{"filename":"x.tgz","sha256":"{ha}"}}]}}]"#),
            format!(r#"{{"y.tgz":"{hb}","x.tgz":"{ha}"}}"#),
        ] {
            assert_eq!(find(&text, "x.tgz"), Ok(a), "{text}");
        }
    }

    #[test]
    fn names_are_those_of_the_files() {
        let (a, ha, hb) = (Digest::of("a"), Digest::of("a").hex(), Digest::of("b").hex());
        for (text, file) in [
            (format!("{hb}  x.tgz\n{ha}  my x.tgz\n"), "my x.tgz"),
            (format!("SHA256 (x) y) = {ha}\n"), "x) y"),
            (format!("\\{ha}  back\\\\slash\n{hb}  back\\\\slash\n"), "back\\slash"),
            (format!("\\{ha} *two\\nlines\n"), "two\nlines"),
            (format!("\\SHA256 (two\\r\\nlines) = {ha}\n"), "two\r\nlines"),
        ] {
            assert_eq!(find(&text, file), Ok(a), "{text}");
        }
    }

    #[test]
    fn what_a_list_does_not_say_is_told() {
        let (ha, hb) = (Digest::of("a").hex(), Digest::of("b").hex());
        for (text, told) in [
            (String::new(), "no SHA-256 in it"),
            ("<html>404</html>".to_owned(), "no SHA-256 in it"),
            ("{}".to_owned(), "no SHA-256 in it"),
            (format!("{ha}x"), "no SHA-256 in it"),
            (
                format!("{ha}  a.tgz\n{hb}  x-2.tgz"),
                "does not have x-1.tgz; it has: x-2.tgz, a.tgz",
            ),
            (format!("{ha}  x-1.tgz\n{hb}  b/x-1.tgz"), "more than one SHA-256 of x-1.tgz"),
        ] {
            let error = find(&text, "x-1.tgz").unwrap_err().to_string();
            assert!(error.contains(told), "{text}: {error}");
        }
        // Nothing that nests for ever is followed for ever.
        let deep = "[".repeat(100) + &"]".repeat(100);
        assert_eq!(find(&deep, "x"), Err(SumsError::None));
    }
}
