//! GONOSUMDB and GOPRIVATE: modules that no database is asked about, because asking tells that they
//! exist (`module.MatchPrefixPatterns` of golang.org/x/mod, `path.Match` of Go).

use super::PatternError;

/// A list of patterns of module paths.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Patterns(Vec<Vec<Vec<Part>>>);

/// A part of a pattern's element.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    /// This character.
    Is(char),
    /// `?`
    Any,
    /// `*`
    Run,
    /// `[a-z]`, and whether it is `[^a-z]`.
    Class(bool, Vec<(char, char)>),
}

impl Patterns {
    /// Reads patterns with commas between them. A pattern of so many elements matches every path
    /// whose first ones, so many, it matches: `*.example.org/team` also `git.example.org/team/x`.
    /// In an element `*` is any run of characters, `?` one, `[a-z]` and `[^a-z]` one of them or
    /// none, and `\` takes the next as it is.
    ///
    /// # Errors
    /// A pattern that is malformed. Go takes it for one that matches nothing, and then asks the
    /// database about what was meant to stay private.
    pub fn parse(list: &str) -> Result<Self, PatternError> {
        let patterns = list.split(',').map(|one| one.strip_suffix('/').unwrap_or(one));
        let patterns = patterns.filter(|one| !one.is_empty());
        let parsed: Result<_, _> = patterns
            .map(|one| {
                one.split('/')
                    .map(element)
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(|reason| PatternError { pattern: one.to_owned(), reason })
            })
            .collect();
        parsed.map(Self)
    }

    /// Whether one of them matches the path of a module.
    pub fn matches(&self, module: &str) -> bool {
        let elements: Vec<Vec<char>> = module.split('/').map(|e| e.chars().collect()).collect();
        self.0.iter().any(|pattern| {
            pattern.len() <= elements.len()
                && pattern.iter().zip(&elements).all(|(parts, element)| matches(parts, element))
        })
    }
}

fn element(text: &str) -> Result<Vec<Part>, &'static str> {
    let mut parts = Vec::new();
    let mut rest = text.chars().peekable();
    while let Some(c) = rest.next() {
        parts.push(match c {
            '*' => Part::Run,
            '?' => Part::Any,
            '\\' => Part::Is(rest.next().ok_or("it ends with a backslash")?),
            '[' => {
                let not = rest.next_if_eq(&'^').is_some();
                let mut ranges = Vec::new();
                while ranges.is_empty() || rest.next_if_eq(&']').is_none() {
                    let mut one = || match rest.next() {
                        None => Err("a [ has no ]"),
                        Some('\\') => rest.next().ok_or("it ends with a backslash"),
                        Some('-' | ']') => Err("a - or ] stands where a character must"),
                        Some(c) => Ok(c),
                    };
                    let from = one()?;
                    let to = if rest.next_if_eq(&'-').is_some() {
                        match rest.next() {
                            None => return Err("a [ has no ]"),
                            Some('\\') => rest.next().ok_or("it ends with a backslash")?,
                            Some('-' | ']') => {
                                return Err("a - or ] stands where a character must");
                            }
                            Some(c) => c,
                        }
                    } else {
                        from
                    };
                    ranges.push((from, to));
                }
                Part::Class(not, ranges)
            }
            c => Part::Is(c),
        });
    }
    Ok(parts)
}

/// Whether the parts match the whole element. The last `*` alone is ever tried again, so that the
/// time is at most the product of the lengths.
fn matches(parts: &[Part], element: &[char]) -> bool {
    walk(parts, element, || {})
}

/// The same, and says each step.
fn walk(parts: &[Part], element: &[char], mut step: impl FnMut()) -> bool {
    let (mut part, mut at) = (0, 0);
    let mut again = None;
    while at < element.len() {
        step();
        match parts.get(part) {
            Some(Part::Run) => {
                again = Some((part + 1, at));
                part += 1;
            }
            Some(one) if fits(one, element[at]) => (part, at) = (part + 1, at + 1),
            _ => {
                let Some((next, from)) = again else { return false };
                again = Some((next, from + 1));
                (part, at) = (next, from + 1);
            }
        }
    }
    parts[part..].iter().all(|part| *part == Part::Run)
}

fn fits(part: &Part, c: char) -> bool {
    match part {
        Part::Is(expected) => c == *expected,
        Part::Any => true,
        Part::Run => false,
        Part::Class(not, ranges) => ranges.iter().any(|(a, z)| (*a..=*z).contains(&c)) != *not,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_match_beginnings_of_paths() {
        for (list, path, expected) in [
            ("", "a.example/b", false),
            (",/,", "a.example/b", false),
            ("a.example", "a.example", true),
            ("a.example", "a.example/b/c", true),
            ("a.example", "a.example.org/b", false),
            ("a.example/", "a.example/b", true),
            ("a.example/b", "a.example", false),
            ("a.example/b", "a.example/bc", false),
            ("a.example/b", "a.example/b/c", true),
            ("x.example,a.example/*", "a.example/b/c", true),
            ("a.example/*", "a.example", false),
            ("*.example", "a.example/b", true),
            ("*.example", "example/b", false),
            ("*", "anything.example/at/all", true),
            ("*/b", "a.example/b/c", true),
            ("*/c", "a.example/b/c", false),
            ("a*e*e", "a.example", true),
            ("a*e*f", "a.example", false),
            ("a.exampl?", "a.example", true),
            ("a?example", "a/example", false),
            ("[a-c].example", "b.example", true),
            ("[^a-c].example", "b.example", false),
            ("[^a-c].example", "d.example", true),
            ("[\\]x].example", "].example", true),
            ("\\*.example", "*.example", true),
            ("\\*.example", "a.example", false),
            ("A.example", "a.example", false),
            ("a.example//b", "a.example/b", false),
        ] {
            assert_eq!(Patterns::parse(list).unwrap().matches(path), expected, "{list} {path}");
        }
    }

    #[test]
    fn malformed_patterns_are_said() {
        for list in
            ["a.example,[", "[]", "[a", "[a-", "[a-]", "[-a]", "a\\", "[a\\", "[^]", "x/[/]"]
        {
            assert!(Patterns::parse(list).is_err(), "{list}");
        }
    }

    #[test]
    fn stars_are_not_slow() {
        let pattern = element(&"*a".repeat(50)).unwrap();
        let text: Vec<char> = "ab".repeat(2000).chars().collect();
        let mut steps = 0;
        assert!(!walk(&pattern, &text, || steps += 1));
        assert!((text.len()..=pattern.len() * text.len()).contains(&steps), "{steps}");
        // The most that the last star can cost: nearly all is compared again from each place.
        let pattern = element(&format!("*{}b", "a".repeat(50))).unwrap();
        let text = ['a'; 2000];
        let mut steps = 0;
        assert!(!walk(&pattern, &text, || steps += 1));
        assert!((text.len()..=pattern.len() * text.len()).contains(&steps), "{steps}");
    }
}
