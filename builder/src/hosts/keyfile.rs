//! GKeyFile, as far as ostree's configurations use it: groups of `key=value`.

/// A file in its order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KeyFile {
    groups: Vec<(String, Vec<(String, String)>)>,
}

impl KeyFile {
    /// Reads a file.
    ///
    /// # Errors
    /// The first line that is none of a group, a value, a comment or empty.
    pub fn parse(text: &str) -> Result<Self, String> {
        let mut file = Self::default();
        for (n, line) in text.lines().enumerate() {
            let line = line.trim();
            let wrong = |what: &str| format!("line {}: {what}", n + 1);
            if line.is_empty() || line.starts_with('#') {
                continue;
            }
            if let Some(name) = line.strip_prefix('[') {
                let name = name.strip_suffix(']').ok_or_else(|| wrong("a group without its ]"))?;
                if file.group(name).is_none() {
                    file.groups.push((name.to_owned(), Vec::new()));
                }
                continue;
            }
            let (key, value) = line.split_once('=').ok_or_else(|| wrong("expected KEY=VALUE"))?;
            let group = file.groups.last_mut().ok_or_else(|| wrong("a value before any group"))?;
            group.1.push((key.trim_end().to_owned(), value.trim_start().to_owned()));
        }
        Ok(file)
    }

    /// The values of a group.
    pub fn group(&self, name: &str) -> Option<&[(String, String)]> {
        self.groups.iter().find(|(group, _)| group == name).map(|(_, values)| values.as_slice())
    }

    /// The names of all groups, in their order.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.groups.iter().map(|(name, _)| name.as_str())
    }

    /// A value; the last where there are several.
    pub fn get(&self, group: &str, key: &str) -> Option<&str> {
        let values = self.group(group)?;
        values.iter().rev().find(|(name, _)| name == key).map(|(_, value)| value.as_str())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn groups_and_values() {
        let text =
            "# c\n[remote \"a\"]\nurl = http://x\n\ngpg-verify=false\ngpg-verify=true\n[b]\n";
        let file = KeyFile::parse(text).unwrap();
        assert_eq!(file.get("remote \"a\"", "url"), Some("http://x"));
        assert_eq!(file.get("remote \"a\"", "gpg-verify"), Some("true"));
        assert_eq!(file.get("b", "url"), None);
        assert_eq!(file.names().collect::<Vec<_>>(), ["remote \"a\"", "b"]);
        for text in ["x=1", "[a", "[a]\nnothing"] {
            assert!(KeyFile::parse(text).is_err(), "{text}");
        }
    }
}
