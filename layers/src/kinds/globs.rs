//! Patterns of paths to leave out.

/// Patterns such as `*.tmp`, `cache/**` and `**/.git`, matched against whole paths below a
/// directory: `*` stands for any characters of one component, `**` as a component for any number
/// of components (at the end, at least one). A directory that matches is left out with all below
/// it. Every other character stands for itself.
#[derive(Debug, Clone, Default)]
pub struct Globs {
    patterns: Vec<Vec<String>>,
}

impl Globs {
    /// Takes patterns; a `/` at the beginning or end is ignored.
    pub fn new<'a>(patterns: impl IntoIterator<Item = &'a str>) -> Self {
        let split =
            |pattern: &str| pattern.trim_matches('/').split('/').map(str::to_owned).collect();
        Self { patterns: patterns.into_iter().map(split).collect() }
    }

    /// Whether `path` (relative, `/` between components), or a directory it is in, matches.
    pub fn matches(&self, path: &str) -> bool {
        if self.patterns.is_empty() {
            return false;
        }
        let path: Vec<&str> = path.split('/').collect();
        (1..=path.len())
            .any(|end| self.patterns.iter().any(|pattern| components(pattern, &path[..end])))
    }
}

impl Globs {
    /// Whether a path below `dir`, which does not match itself, may match.
    pub fn reach_below(&self, dir: &str) -> bool {
        let dir: Vec<&str> = dir.split('/').filter(|name| !name.is_empty()).collect();
        self.patterns.iter().any(|pattern| leads(pattern, &dir))
    }
}

/// Whether `pattern` goes on behind `path`.
fn leads(pattern: &[String], path: &[&str]) -> bool {
    match (pattern.split_first(), path.split_first()) {
        (None, _) => false,
        (Some(_), None) => true,
        (Some((first, _)), Some(_)) if first == "**" => true,
        (Some((first, rest)), Some((name, below))) => characters(first, name) && leads(rest, below),
    }
}

fn components(pattern: &[String], path: &[&str]) -> bool {
    let Some((first, rest)) = pattern.split_first() else { return path.is_empty() };
    if first == "**" {
        return match rest {
            [] => !path.is_empty(),
            rest => (0..=path.len()).any(|skip| components(rest, &path[skip..])),
        };
    }
    match path.split_first() {
        Some((name, below)) => characters(first, name) && components(rest, below),
        None => false,
    }
}

/// Whether `name` is made of the pieces of `pattern` between its stars, in order.
fn characters(pattern: &str, name: &str) -> bool {
    let Some((head, tail)) = pattern.split_once('*') else { return pattern == name };
    let Some(mut rest) = name.strip_prefix(head) else { return false };
    let mut pieces: Vec<&str> = tail.split('*').collect();
    // Splitting gives at least one piece; the last one is anchored at the end.
    let last = pieces.pop().unwrap_or_default();
    for piece in pieces {
        let Some(at) = rest.find(piece) else { return false };
        rest = &rest[at + piece.len()..];
    }
    rest.ends_with(last)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn match_as_documented() {
        for (pattern, yes, no) in [
            ("a", &["a", "a/b/c"][..], &["b/a", "ab"][..]),
            ("/a/", &["a"], &["b"]),
            ("*.o", &["x.o", ".o", "x.o/y"], &["d/x.o", "x.oo"]),
            ("**/*.o", &["x.o", "d/x.o", "d/e/x.o"], &["d/x.c"]),
            ("a/**", &["a/b", "a/b/c"], &["a", "ab/c"]),
            ("a/**/z", &["a/z", "a/b/z", "a/b/c/z/y"], &["a/b", "z"]),
            ("a*b*c", &["abc", "aXbYc", "abbc"], &["ac", "abcd", "acb"]),
            ("*", &["a", "a/b"], &[]),
            ("a*a", &["aa", "aba"], &["a"]),
            ("a?[b]", &["a?[b]"], &["axb"]),
            ("**/.git", &[".git", "x/.git/config"], &["x/.gitignore"]),
        ] {
            let globs = Globs::new([pattern]);
            for path in yes {
                assert!(globs.matches(path), "{pattern} {path}");
            }
            for path in no {
                assert!(!globs.matches(path), "{pattern} {path}");
            }
        }
        assert!(!Globs::default().matches("a"));
    }

    #[test]
    fn know_where_they_may_match() {
        for (pattern, yes, no) in [
            ("a", &[""][..], &["a", "b"][..]),
            ("a/b/*.o", &["", "a", "a/b"], &["b", "a/c", "a/b/c"]),
            ("a/**/z", &["", "a", "a/b", "a/b/c"], &["b"]),
            ("**/z", &["", "a/b"], &[]),
            ("a*/z", &["", "ab"], &["b", "ab/c"]),
        ] {
            let globs = Globs::new([pattern]);
            for path in yes {
                assert!(globs.reach_below(path), "{pattern} {path}");
            }
            for path in no {
                assert!(!globs.reach_below(path), "{pattern} {path}");
            }
        }
        assert!(!Globs::default().reach_below(""));
    }
}
