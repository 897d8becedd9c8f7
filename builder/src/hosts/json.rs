//! JSON with the order of its members, every member though it comes twice, and the place of each
//! value in the text.
//!
//! serde_json's own values forget all three: a strict reader of policies needs the second to
//! refuse, an editor that changes one place and no other byte needs the others.

use std::ops::Range;

use serde::de::IgnoredAny;

/// Values inside each other that are read; serde_json reads as many.
const DEPTH: usize = 128;

/// A value and where it stands.
#[derive(Debug, Clone, PartialEq)]
pub struct Node {
    /// Its bytes in the text.
    pub span: Range<usize>,
    /// What it is.
    pub value: Value,
}

/// A value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// `null`.
    Null,
    /// `true` or `false`.
    Bool(bool),
    /// A number, as it is written.
    Number(String),
    /// A text, without its escapes.
    Text(String),
    /// An array.
    Array(Vec<Node>),
    /// An object: members in their order.
    Object(Vec<Member>),
}

/// A member of an object.
#[derive(Debug, Clone, PartialEq)]
pub struct Member {
    /// Where its name stands, quotes included.
    pub name_span: Range<usize>,
    /// Its name.
    pub name: String,
    /// Its value.
    pub value: Node,
}

/// Why a text is not JSON.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotJson {
    /// Something does not fit the grammar.
    #[error("not JSON: {0}")]
    Grammar(String),
    /// More than 128 values inside each other.
    #[error("more than {DEPTH} values inside each other")]
    TooDeep,
}

impl Node {
    /// Reads a text that is one value.
    ///
    /// # Errors
    /// [`NotJson`].
    pub fn parse(text: &str) -> Result<Self, NotJson> {
        // The grammar is serde_json's to check; what is left is to find the places.
        serde_json::from_str::<IgnoredAny>(text)
            .map_err(|error| NotJson::Grammar(error.to_string()))?;
        let mut reader = Reader { text, at: 0 };
        reader.node(0)
    }

    /// What kind of value it is, in words.
    pub fn kind(&self) -> &'static str {
        match self.value {
            Value::Null => "null",
            Value::Bool(_) => "true or false",
            Value::Number(_) => "a number",
            Value::Text(_) => "a text",
            Value::Array(_) => "an array",
            Value::Object(_) => "an object",
        }
    }

    /// Its members, where it is an object.
    pub fn members(&self) -> Option<&[Member]> {
        match &self.value {
            Value::Object(members) => Some(members),
            _ => None,
        }
    }

    /// The value of the first member with this name, where it is an object.
    pub fn get(&self, name: &str) -> Option<&Self> {
        self.members()?.iter().find(|member| member.name == name).map(|member| &member.value)
    }
}

impl From<Value> for Node {
    /// A value of its own, that stands in no text.
    fn from(value: Value) -> Self {
        Self { span: 0..0, value }
    }
}

/// How JSON is laid out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Layout {
    /// On one line, without spaces.
    OneLine,
    /// A line for each member and item, each level further in by this.
    Lines(String),
}

impl Value {
    /// A text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::Text(text.into())
    }

    /// An array.
    pub fn array(items: impl IntoIterator<Item = Self>) -> Self {
        Self::Array(items.into_iter().map(Node::from).collect())
    }

    /// An object.
    pub fn object(members: impl IntoIterator<Item = (impl Into<String>, Self)>) -> Self {
        let member = |(name, value): (_, Self)| Member {
            name_span: 0..0,
            name: Into::<String>::into(name),
            value: value.into(),
        };
        Self::Object(members.into_iter().map(member).collect())
    }

    /// Writes it; lines after the first begin with `margin`.
    pub fn write(&self, layout: &Layout, margin: &str) -> String {
        let mut out = String::new();
        self.write_to(&mut out, layout, margin);
        out
    }

    fn write_to(&self, out: &mut String, layout: &Layout, margin: &str) {
        match self {
            Self::Null => out.push_str("null"),
            Self::Bool(value) => out.push_str(if *value { "true" } else { "false" }),
            Self::Number(number) => out.push_str(number),
            Self::Text(text) => out.push_str(&quoted(text)),
            Self::Array(items) => {
                block(out, layout, margin, ['[', ']'], items, |out, margin, item| {
                    item.value.write_to(out, layout, margin);
                });
            }
            Self::Object(members) => {
                block(out, layout, margin, ['{', '}'], members, |out, margin, member| {
                    out.push_str(&quoted(&member.name));
                    out.push_str(if *layout == Layout::OneLine { ":" } else { ": " });
                    member.value.value.write_to(out, layout, margin);
                });
            }
        }
    }
}

/// A text with its quotes and escapes.
pub fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

fn block<T>(
    out: &mut String,
    layout: &Layout,
    margin: &str,
    [open, close]: [char; 2],
    items: &[T],
    each: impl Fn(&mut String, &str, &T),
) {
    out.push(open);
    let (inner, end) = match layout {
        Layout::Lines(step) if !items.is_empty() => (format!("{margin}{step}"), "\n"),
        _ => (String::new(), ""),
    };
    for (n, item) in items.iter().enumerate() {
        out.push_str(if n == 0 { "" } else { "," });
        out.push_str(end);
        out.push_str(&inner);
        each(out, &inner, item);
    }
    if !end.is_empty() {
        out.push_str(end);
        out.push_str(margin);
    }
    out.push(close);
}

/// The line, counted from 1, on which a byte of a text stands.
pub fn line_of(text: &str, at: usize) -> usize {
    text.as_bytes()[..at.min(text.len())].iter().filter(|byte| **byte == b'\n').count() + 1
}

struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl Reader<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn skip(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    fn wrong(&self) -> NotJson {
        NotJson::Grammar(format!("at line {}", line_of(self.text, self.at)))
    }

    fn node(&mut self, depth: usize) -> Result<Node, NotJson> {
        if depth == DEPTH {
            return Err(NotJson::TooDeep);
        }
        self.skip();
        let start = self.at;
        let value = match self.peek().ok_or_else(|| self.wrong())? {
            b'{' => self.object(depth)?,
            b'[' => self.array(depth)?,
            b'"' => Value::Text(self.text_value()?),
            _ => self.word()?,
        };
        Ok(Node { span: start..self.at, value })
    }

    /// Goes over the comma between items, or to the end; true where another item follows.
    fn more(&mut self, end: u8) -> Result<bool, NotJson> {
        self.skip();
        let found = self.peek();
        match found {
            Some(b',') => {}
            Some(byte) if byte == end => {}
            _ => return Err(self.wrong()),
        }
        self.at += 1;
        Ok(found == Some(b','))
    }

    fn is_empty(&mut self, end: u8) -> bool {
        self.at += 1;
        self.skip();
        let empty = self.peek() == Some(end);
        self.at += usize::from(empty);
        empty
    }

    fn array(&mut self, depth: usize) -> Result<Value, NotJson> {
        let mut items = Vec::new();
        if !self.is_empty(b']') {
            loop {
                items.push(self.node(depth + 1)?);
                if !self.more(b']')? {
                    break;
                }
            }
        }
        Ok(Value::Array(items))
    }

    fn object(&mut self, depth: usize) -> Result<Value, NotJson> {
        let mut members = Vec::new();
        if !self.is_empty(b'}') {
            loop {
                self.skip();
                let start = self.at;
                let name = self.text_value()?;
                let name_span = start..self.at;
                self.skip();
                if self.peek() != Some(b':') {
                    return Err(self.wrong());
                }
                self.at += 1;
                members.push(Member { name_span, name, value: self.node(depth + 1)? });
                if !self.more(b'}')? {
                    break;
                }
            }
        }
        Ok(Value::Object(members))
    }

    fn text_value(&mut self) -> Result<String, NotJson> {
        let start = self.at;
        if self.peek() != Some(b'"') {
            return Err(self.wrong());
        }
        self.at += 1;
        loop {
            match self.peek().ok_or_else(|| self.wrong())? {
                b'"' => break,
                b'\\' => self.at += 2,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        let quoted = self.text.get(start..self.at).ok_or_else(|| self.wrong())?;
        serde_json::from_str(quoted).map_err(|error| NotJson::Grammar(error.to_string()))
    }

    fn word(&mut self) -> Result<Value, NotJson> {
        let rest = &self.text[self.at..];
        let is_end = |c: char| matches!(c, ',' | ']' | '}' | ' ' | '\t' | '\n' | '\r');
        let word = &rest[..rest.find(is_end).unwrap_or(rest.len())];
        self.at += word.len();
        Ok(match word {
            "null" => Value::Null,
            "true" => Value::Bool(true),
            "false" => Value::Bool(false),
            number => Value::Number(number.to_owned()),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_orders_and_doubles_are_kept() {
        let text = "{ \"b\": [1, \"x\\\"\\u00e4\", null],\n  \"a\": {}, \"b\" : true }\n";
        let node = Node::parse(text).unwrap();
        let members = node.members().unwrap();
        let names: Vec<_> = members.iter().map(|member| member.name.as_str()).collect();
        assert_eq!(names, ["b", "a", "b"]);
        assert_eq!(&text[members[0].value.span.clone()], "[1, \"x\\\"\\u00e4\", null]");
        assert_eq!(&text[members[1].name_span.clone()], "\"a\"");
        assert_eq!(&text[node.span.clone()], text.trim());
        let Value::Array(items) = &members[0].value.value else { panic!("no array") };
        assert_eq!(items[1].value, Value::Text("x\"ä".to_owned()));
        assert_eq!(items[0].value, Value::Number("1".to_owned()));
        assert_eq!(line_of(text, members[1].name_span.start), 2);
        assert_eq!(node.get("b").unwrap().kind(), "an array");
    }

    #[test]
    fn what_is_written_is_read_again() {
        let value = Value::object([
            ("a", Value::array([Value::text("x\n\"y\""), Value::Null, Value::Bool(true)])),
            ("b", Value::Object(Vec::new())),
        ]);
        let lines = value.write(&Layout::Lines("  ".to_owned()), "");
        assert_eq!(
            lines,
            "{\n  \"a\": [\n    \"x\\n\\\"y\\\"\",\n    null,\n    true\n  ],\n  \"b\": {}\n}"
        );
        let line = value.write(&Layout::OneLine, "");
        assert_eq!(line, "{\"a\":[\"x\\n\\\"y\\\"\",null,true],\"b\":{}}");
        assert_eq!(Node::parse(&lines).unwrap().value.write(&Layout::OneLine, ""), line);
    }

    #[test]
    fn what_is_not_json_is_refused() {
        for text in ["", "{", "{,}", "[1,]", "{\"a\" 1}", "{} x", "'a'", "\"\u{1}\"", "01", "\"\\"]
        {
            assert!(Node::parse(text).is_err(), "{text}");
        }
        let deep = "[".repeat(1000) + &"]".repeat(1000);
        assert!(Node::parse(&deep).is_err());
        let fine = "[".repeat(100) + &"]".repeat(100);
        assert!(Node::parse(&fine).is_ok());
    }
}
