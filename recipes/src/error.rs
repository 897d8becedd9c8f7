//! What is wrong with a text that a person wrote: the place, the line itself, and what was
//! expected there.

use std::collections::BTreeSet;
use std::fmt;
use std::ops::Range;

use crate::recipe::At;

/// One thing that is wrong, with its place.
///
/// Displayed as a compiler would show it:
///
/// ```text
/// error: unknown key `refrence` in image
///   --> go.yaml:12:3
///    |
/// 12 |   refrence: x
///    |   ^^^^^^^^ did you mean `reference`?
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// What is wrong, in one line.
    pub message: String,
    /// The file's name as the caller gave it.
    pub file: String,
    /// Where it is; line 0 when the problem concerns no single place.
    pub at: At,
    /// The line of the file it is on; empty without a place.
    pub source_line: String,
    /// How many characters of the line the carets underline; at least 1.
    pub width: u32,
    /// What was expected at that place, such as `expected a list`.
    pub expected: Option<String>,
    /// The valid name nearest to the one that was found.
    pub nearest: Option<String>,
    /// Whether the line is not shown, since it holds a secret.
    pub hidden: bool,
}

impl Problem {
    /// What stands beside the carets: the nearest name if there is one, else what was expected.
    pub fn label(&self) -> Option<String> {
        match (&self.nearest, &self.expected) {
            (Some(nearest), _) => Some(format!("did you mean `{nearest}`?")),
            (None, expected) => expected.clone(),
        }
    }
}

/// How much of a long line is shown.
const SHOWN: usize = 160;
/// How much of a long line is shown before the caret.
const BEFORE: usize = 60;

impl fmt::Display for Problem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "error: {}", self.message)?;
        if self.at.line == 0 {
            write!(f, "\n  --> {}", self.file)?;
            if let Some(label) = self.label() {
                write!(f, "\n   = {label}")?;
            }
            return Ok(());
        }
        let number = self.at.line.to_string();
        let gutter = " ".repeat(number.len());
        let (shown, pad) = window(&self.source_line, self.at.column);
        write!(f, "\n{gutter}--> {}:{}:{}", self.file, self.at.line, self.at.column)?;
        if self.hidden {
            return match self.label() {
                Some(label) => write!(f, "\n{gutter} = {label}"),
                None => Ok(()),
            };
        }
        write!(f, "\n{gutter} |\n{number} | {shown}")?;
        let room = shown.chars().count().saturating_sub(pad.chars().count()).max(1);
        let carets = "^".repeat((self.width.max(1) as usize).min(room));
        write!(f, "\n{gutter} | {pad}{carets}")?;
        if let Some(label) = self.label() {
            write!(f, " {label}")?;
        }
        Ok(())
    }
}

/// The part of the line that is shown, and the white space that leads to the caret under it.
/// Control characters are replaced, so that a file cannot speak to the terminal.
fn window(line: &str, column: u32) -> (String, String) {
    let safe = |c: char| if c.is_control() && c != '\t' { '\u{fffd}' } else { c };
    let column = column.max(1) as usize - 1;
    let length = line.chars().count();
    let (skip, ellipsis) = match length > SHOWN && column > BEFORE {
        true => (column - BEFORE, "…"),
        false => (0, ""),
    };
    let mut shown: String = ellipsis.to_owned();
    shown.extend(line.chars().skip(skip).take(SHOWN).map(safe));
    if length > skip + SHOWN {
        shown.push('…');
    }
    // Tabs stay tabs, so that the caret stands under its character however wide they are shown.
    let mut pad: String = ellipsis.chars().map(|_| ' ').collect();
    pad.extend(
        line.chars().skip(skip).take(column - skip).map(|c| if c == '\t' { '\t' } else { ' ' }),
    );
    (shown, pad)
}

/// Why a recipe is refused: every problem that was found, in the order of the file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", render(.problems))]
pub struct RecipeError {
    /// At least one.
    pub problems: Vec<Problem>,
}

/// Why a lock file cannot be read: every problem that was found.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{}", render(.problems))]
pub struct LockError {
    /// At least one.
    pub problems: Vec<Problem>,
}

fn render(problems: &[Problem]) -> String {
    problems.iter().map(Problem::to_string).collect::<Vec<_>>().join("\n\n")
}

/// How many problems of one file are told; whoever has more mends these first.
const MOST: usize = 100;

/// Gathers problems of one file.
pub(crate) struct Problems<'a> {
    file: &'a str,
    text: &'a str,
    found: Vec<Problem>,
}

impl<'a> Problems<'a> {
    pub(crate) fn new(file: &'a str, text: &'a str) -> Self {
        Self { file, text, found: Vec::new() }
    }

    /// Notes a problem; the answer takes what was expected and the nearest name.
    pub(crate) fn add(&mut self, at: At, width: u32, message: impl Into<String>) -> &mut Problem {
        let index = self.found.len();
        self.found.push(Problem {
            message: message.into(),
            file: self.file.to_owned(),
            at,
            // Filled in for those that are told.
            source_line: String::new(),
            width,
            expected: None,
            nearest: None,
            hidden: false,
        });
        &mut self.found[index]
    }

    /// Notes a problem at a range of bytes of the text.
    pub(crate) fn add_in(&mut self, span: Range<usize>, message: String) -> &mut Problem {
        let text = self.text;
        let before = text.get(..span.start).unwrap_or(text);
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let at = At {
            line: before.matches('\n').count() as u32 + 1,
            column: before[line_start..].chars().count() as u32 + 1,
        };
        let inside = text.get(span).and_then(|inside| inside.lines().next());
        let width = inside.map_or(1, |line| line.chars().count());
        self.add(at, width.max(1) as u32, message)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.found.is_empty()
    }

    /// Whether something is wrong at this place already.
    pub(crate) fn has(&self, at: At) -> bool {
        at.line > 0 && self.found.iter().any(|problem| problem.at == at)
    }

    /// A line of the file, the first being 1; empty where there is none.
    pub(crate) fn line(&self, number: u32) -> &'a str {
        let index = (number as usize).checked_sub(1);
        index.and_then(|index| self.text.lines().nth(index)).unwrap_or_default()
    }

    /// What was found, in the order of the file.
    pub(crate) fn into_sorted(mut self) -> Vec<Problem> {
        self.found.sort_by_key(|problem| (problem.at.line, problem.at.column));
        self.found.truncate(MOST);
        let lines: Vec<&str> = self.text.lines().collect();
        let hidden = self.found.iter().filter(|problem| problem.hidden);
        let hidden: BTreeSet<u32> = hidden.map(|problem| problem.at.line).collect();
        for problem in &mut self.found {
            let line = (problem.at.line as usize).checked_sub(1).and_then(|index| lines.get(index));
            // Also where something else in it is wrong.
            problem.hidden |= hidden.contains(&problem.at.line);
            problem.hidden |= line.is_some_and(|line| has_login(line));
            if problem.hidden {
                continue;
            }
            problem.source_line = line.copied().unwrap_or_default().to_owned();
        }
        self.found
    }
}

impl Problem {
    /// Takes what is said, and is not kept.
    pub(crate) fn nowhere() -> Self {
        Self {
            message: String::new(),
            file: String::new(),
            at: At::default(),
            source_line: String::new(),
            width: 1,
            expected: None,
            nearest: None,
            hidden: false,
        }
    }

    /// Keeps the line of the file to itself.
    pub(crate) fn hide_line(&mut self) -> &mut Self {
        self.hidden = true;
        self
    }

    /// Says what was expected.
    pub(crate) fn expected(&mut self, expected: impl Into<String>) -> &mut Self {
        self.expected = Some(expected.into());
        self
    }

    /// Names the one of `names` nearest to `found`, or all of them where none is near and they are
    /// few.
    pub(crate) fn nearest<'n>(
        &mut self,
        found: &str,
        names: impl IntoIterator<Item = &'n str>,
    ) -> &mut Self {
        let names: Vec<&str> = names.into_iter().collect();
        self.nearest = nearest(found, &names).map(str::to_owned);
        if self.nearest.is_none() && self.expected.is_none() && (1..=FEW).contains(&names.len()) {
            self.expected = Some(format!("expected {}", one_of(&names)));
        }
        self
    }
}

/// Whether a text has an address with a login in it, which messages keep to themselves. Whom ssh asks for
/// is no secret.
pub(crate) fn has_login(text: &str) -> bool {
    let parts: Vec<&str> = text.split("://").collect();
    parts.windows(2).any(|pair| {
        let end = |c: char| c.is_whitespace() || matches!(c, '/' | '?' | '#' | '"' | '\'');
        let authority = pair[1].split(end).next().unwrap_or_default();
        authority.contains('@') && !pair[0].ends_with("ssh")
    })
}

/// How many names a message lists.
const FEW: usize = 12;

/// The name that `found` was most likely meant to be.
fn nearest<'n>(found: &str, names: &[&'n str]) -> Option<&'n str> {
    let plain = |name: &str| name.to_lowercase().replace('_', "-");
    let found = plain(found);
    names
        .iter()
        .map(|name| (strsim::damerau_levenshtein(&found, &plain(name)), *name))
        .filter(|(distance, name)| *distance <= (name.chars().count() / 3).max(1))
        .min_by_key(|(distance, _)| *distance)
        .map(|(_, name)| name)
}

/// `a`, `a or b`, `a, b or c`.
pub(crate) fn one_of(names: &[&str]) -> String {
    match names {
        [] => String::new(),
        [only] => (*only).to_owned(),
        [init @ .., last] => format!("{} or {last}", init.join(", ")),
    }
}
