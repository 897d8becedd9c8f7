//! JSON as it is written: objects keep their order and may have one name twice, texts keep their
//! spelling, numbers are texts. Only so can a document be spoiled in the ways in which readers
//! differ.

use serde_json::Value;

/// A value as it is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// `null`, `true`, a number, or anything else that is put there as it is.
    Raw(String),
    /// A text.
    Text(Text),
    /// A list.
    List(Vec<Node>),
    /// An object.
    Object(Vec<(Text, Node)>),
}

/// A text, and its spelling where that is not the usual one.
#[derive(Clone, Debug, PartialEq)]
pub struct Text {
    /// What it says.
    pub says: String,
    /// How it is written, quotes included.
    pub spelled: Option<String>,
}

impl From<&str> for Text {
    fn from(text: &str) -> Self {
        Self { says: text.to_owned(), spelled: None }
    }
}

impl Text {
    /// As JSON.
    pub fn written(&self) -> String {
        self.spelled.clone().unwrap_or_else(|| Value::from(self.says.as_str()).to_string())
    }
}

/// Reads a document.
pub fn parse(bytes: &[u8]) -> Option<Node> {
    serde_json::from_slice(bytes).ok().map(|value| of_value(&value))
}

fn of_value(value: &Value) -> Node {
    match value {
        Value::String(text) => Node::Text(text.as_str().into()),
        Value::Array(list) => Node::List(list.iter().map(of_value).collect()),
        Value::Object(fields) => {
            let field = |(name, value): (&String, &Value)| (name.as_str().into(), of_value(value));
            Node::Object(fields.iter().map(field).collect())
        }
        other => Node::Raw(other.to_string()),
    }
}

/// Writes it, without white space.
pub fn write(node: &Node) -> String {
    let mut out = String::new();
    write_to(node, &mut out);
    out
}

fn write_to(node: &Node, out: &mut String) {
    match node {
        Node::Raw(raw) => out.push_str(raw),
        Node::Text(text) => out.push_str(&text.written()),
        Node::List(list) => {
            out.push('[');
            for (at, item) in list.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                write_to(item, out);
            }
            out.push(']');
        }
        Node::Object(fields) => {
            out.push('{');
            for (at, (name, value)) in fields.iter().enumerate() {
                if at > 0 {
                    out.push(',');
                }
                out.push_str(&name.written());
                out.push(':');
                write_to(value, out);
            }
            out.push('}');
        }
    }
}

/// Where a value is: numbers of fields and items, from the root.
pub type Place = Vec<usize>;

/// Every place in it, the root first.
pub fn places(node: &Node) -> Vec<Place> {
    let mut all = vec![Vec::new()];
    let mut next = 0;
    while next < all.len() {
        let place = all[next].clone();
        let children = match at(node, &place) {
            Some(Node::List(list)) => list.len(),
            Some(Node::Object(fields)) => fields.len(),
            _ => 0,
        };
        all.extend((0..children).map(|child| [place.as_slice(), &[child]].concat()));
        next += 1;
    }
    all
}

/// The value there.
pub fn at<'a>(node: &'a Node, place: &[usize]) -> Option<&'a Node> {
    place.iter().try_fold(node, |node, &child| match node {
        Node::List(list) => list.get(child),
        Node::Object(fields) => fields.get(child).map(|(_, value)| value),
        _ => None,
    })
}

/// The value there, to be changed.
pub fn at_mut<'a>(node: &'a mut Node, place: &[usize]) -> Option<&'a mut Node> {
    place.iter().try_fold(node, |node, &child| match node {
        Node::List(list) => list.get_mut(child),
        Node::Object(fields) => fields.get_mut(child).map(|(_, value)| value),
        _ => None,
    })
}
