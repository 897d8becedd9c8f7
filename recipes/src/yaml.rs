//! The YAML of a recipe as a tree whose every node knows its place.
//!
//! The values themselves are read by serde; this tree answers where they stand, and is what the
//! recipe's shape is checked on, so that all that is wrong is found in one pass.

use std::collections::BTreeMap;

use serde_saphyr::granit_parser::{Event, Parser, ScalarStyle, ScanError, Span, StrInput};

use crate::error::Problems;
use crate::recipe::At;

/// Nodes of a recipe with its aliases replaced; a large recipe has some thousands. Bounds what an
/// alias can multiply, and the time of checks that compare each key with those before it.
const MAX_NODES: usize = 20_000;
/// How deep nodes may nest; recipes need seven.
const MAX_DEPTH: usize = 32;

/// A place and how many characters from there belong to it, on that line.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Place {
    pub at: At,
    pub width: u32,
}

/// One YAML node.
#[derive(Debug, Clone)]
pub(crate) struct Node {
    pub place: Place,
    pub value: Value,
}

/// What a node is.
#[derive(Debug, Clone)]
pub(crate) enum Value {
    /// A scalar; `plain` when it stands without quotes.
    Scalar {
        text: String,
        plain: bool,
    },
    List(Vec<Node>),
    /// In the order of the file.
    Map(Vec<Entry>),
}

/// One key of a mapping with its value.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub key: String,
    pub place: Place,
    pub node: Node,
}

impl Node {
    /// The entry of a mapping with this key.
    pub(crate) fn entry(&self, key: &str) -> Option<&Entry> {
        match &self.value {
            Value::Map(entries) => entries.iter().find(|entry| entry.key == key),
            _ => None,
        }
    }

    /// The value of a mapping's key.
    pub(crate) fn get(&self, key: &str) -> Option<&Node> {
        self.entry(key).map(|entry| &entry.node)
    }

    /// The items of a list; none for other nodes.
    pub(crate) fn items(&self) -> &[Node] {
        match &self.value {
            Value::List(items) => items,
            _ => &[],
        }
    }

    /// The entries of a mapping; none for other nodes.
    pub(crate) fn entries(&self) -> &[Entry] {
        match &self.value {
            Value::Map(entries) => entries,
            _ => &[],
        }
    }

    /// Whether nothing was written, or `null` in one of YAML's spellings.
    pub(crate) fn is_null(&self) -> bool {
        matches!(&self.value, Value::Scalar { text, plain: true }
            if matches!(text.as_str(), "" | "~" | "null" | "Null" | "NULL"))
    }

    /// Whether it is a scalar with this text.
    pub(crate) fn says(&self, expected: &str) -> bool {
        matches!(&self.value, Value::Scalar { text, .. } if text == expected)
    }

    fn size(&self) -> usize {
        1 + match &self.value {
            Value::Scalar { .. } => 0,
            Value::List(items) => items.iter().map(Node::size).sum(),
            Value::Map(entries) => entries.iter().map(|entry| 1 + entry.node.size()).sum(),
        }
    }

    /// Calls `see` with the place of this node and of everything in it.
    pub(crate) fn places(&self, see: &mut dyn FnMut(Place)) {
        see(self.place);
        match &self.value {
            Value::Scalar { .. } => {}
            Value::List(items) => items.iter().for_each(|item| item.places(see)),
            Value::Map(entries) => entries.iter().for_each(|entry| {
                see(entry.place);
                entry.node.places(see);
            }),
        }
    }
}

/// To YAML, braces that stand bare begin a mapping.
const QUOTES: &str = "a text with `{{ }}` must be in quotes";

/// Why reading stopped; the problem is already noted.
struct Stopped;

/// Reads one YAML document. `None` when a problem was noted that leaves no tree to look at.
pub(crate) fn read(text: &str, problems: &mut Problems<'_>) -> Option<Node> {
    let mut reader =
        Reader { parser: Parser::new_from_str(text), problems, anchors: BTreeMap::new(), nodes: 0 };
    reader.document().ok()
}

struct Reader<'t, 'p, 'f> {
    parser: Parser<'t, StrInput<'t>>,
    problems: &'p mut Problems<'f>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
}

impl<'t> Reader<'t, '_, '_> {
    fn document(&mut self) -> Result<Node, Stopped> {
        let mut root = None;
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::StreamEnd => break,
                Event::StreamStart | Event::DocumentStart(..) | Event::DocumentEnd => {}
                _ if root.is_some() => {
                    return self
                        .stop(place(&span), "a recipe is one YAML document, this is a second");
                }
                event => root = Some(self.node(event, span, 0)?),
            }
        }
        match root {
            Some(root) => Ok(root),
            None => self.stop(Place::default(), "the recipe is empty"),
        }
    }

    fn next(&mut self) -> Result<(Event<'t>, Span), Stopped> {
        loop {
            match self.parser.next_event() {
                Some(Ok((Event::Comment(..), _))) => {}
                Some(Ok(next)) => return Ok(next),
                Some(Err(error)) => return self.syntax(&error),
                None => return self.stop(Place::default(), "the recipe ends early"),
            }
        }
    }

    fn node(&mut self, event: Event<'t>, span: Span, depth: usize) -> Result<Node, Stopped> {
        let start = place(&span);
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return self.stop(start, format!("the recipe has more than {MAX_NODES} YAML nodes"));
        }
        if depth > MAX_DEPTH {
            return self.stop(start, format!("the recipe nests deeper than {MAX_DEPTH} levels"));
        }
        let (value, anchor, tag) = match event {
            Event::Alias(id) => {
                let Some(mut node) = self.anchors.get(&id).cloned() else {
                    return self.stop(start, "this alias stands inside what it means");
                };
                self.nodes += node.size();
                node.place = start;
                return Ok(node);
            }
            Event::Scalar(text, style, anchor, tag) => {
                let plain = style == ScalarStyle::Plain;
                (Value::Scalar { text: text.into_owned(), plain }, anchor, tag)
            }
            Event::SequenceStart(_, anchor, tag) => (self.list(depth)?, anchor, tag),
            Event::MappingStart(_, anchor, tag) => (self.map(depth)?, anchor, tag),
            other => return self.stop(start, format!("unexpected YAML: {other:?}")),
        };
        if tag.is_some() {
            return self.stop(start, "YAML tags (`!…`) are not used in recipes");
        }
        let node = Node { place: start, value };
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        Ok(node)
    }

    fn list(&mut self, depth: usize) -> Result<Value, Stopped> {
        let mut items = Vec::new();
        loop {
            let (event, span) = self.next()?;
            match event {
                Event::SequenceEnd => return Ok(Value::List(items)),
                event => items.push(self.node(event, span, depth + 1)?),
            }
        }
    }

    fn map(&mut self, depth: usize) -> Result<Value, Stopped> {
        let mut entries: Vec<Entry> = Vec::new();
        loop {
            let (event, span) = self.next()?;
            if matches!(event, Event::MappingEnd) {
                return Ok(Value::Map(entries));
            }
            let key = self.node(event, span, depth + 1)?;
            if key.is_null() {
                return self.stop(key.place, "a key must be a text, and this is none");
            }
            let Value::Scalar { text, plain } = key.value else {
                let problem =
                    self.problems.add(key.place.at, key.place.width, "a key must be a text");
                if matches!(key.value, Value::Map(_)) {
                    problem.expected(QUOTES);
                }
                return Err(Stopped);
            };
            if plain && text == "<<" {
                return self.stop(key.place, "YAML merge keys (`<<`) are not used in recipes");
            }
            let (event, span) = self.next()?;
            let node = self.node(event, span, depth + 1)?;
            if let Some(first) = entries.iter().find(|entry| entry.key == text) {
                let line = first.place.at.line;
                self.problems
                    .add(key.place.at, key.place.width, format!("the key `{text}` is there twice"))
                    .expected(format!("first on line {line}"));
                continue;
            }
            entries.push(Entry { key: text, place: key.place, node });
        }
    }

    fn stop<T>(&mut self, place: Place, message: impl Into<String>) -> Result<T, Stopped> {
        self.problems.add(place.at, place.width, message);
        Err(Stopped)
    }

    fn syntax<T>(&mut self, error: &ScanError) -> Result<T, Stopped> {
        let mark = error.marker();
        let at = At { line: mark.line() as u32, column: mark.col() as u32 + 1 };
        let template = self.problems.line(at.line).contains("{{");
        let problem = self.problems.add(at, 1, format!("this is not YAML: {}", error.kind()));
        if template {
            problem.expected(QUOTES);
        }
        Err(Stopped)
    }
}

fn place(span: &Span) -> Place {
    let at = At { line: span.start.line() as u32, column: span.start.col() as u32 + 1 };
    let width = match span.end.line() == span.start.line() {
        true => span.end.col().saturating_sub(span.start.col()).max(1) as u32,
        // What goes on over the next lines is underlined to the end of this one.
        false => u32::MAX,
    };
    Place { at, width }
}
