//! The canonical text of a tree: what is stored, hashed, and compared in tests.
//!
//! One line an entry, fields separated by one space:
//!
//! ```text
//! d 0755 0 0 usr/bin
//! f 0755 0 0 <size> <sha256 hex> usr/bin/go
//! l 0777 0 0 usr/bin/gofmt -> ../lib/golang/bin/gofmt
//! x user.note 68690a
//! ```
//!
//! An `x` line gives one extended attribute (value in hex) of the entry above it. Backslash, line
//! feed, carriage return and ` -> ` inside names are written `\\`, `\n`, `\r` and `\s-> `.

use std::fmt::Write as _;

use treelay_recipes::Digest;

use super::{Entry, Node, Owner, Tree, TreePath};

/// Why a text is not a tree.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line} of a tree's text is wrong: {reason}")]
pub struct NotATree {
    /// Counted from 1.
    pub line: usize,
    /// What is wrong.
    pub reason: String,
}

impl Tree {
    /// The canonical text; see the module's text.
    pub fn to_text(&self) -> String {
        let mut text = String::with_capacity(self.entries.len() * 120);
        for entry in &self.entries {
            write_entry(&mut text, entry);
        }
        text
    }

    /// Reads what [`Tree::to_text`] wrote.
    ///
    /// # Errors
    /// [`NotATree`] for anything that `to_text` would not have written.
    pub fn from_text(text: &str) -> Result<Self, NotATree> {
        let mut entries: Vec<Entry> = Vec::with_capacity(text.len() / 100);
        for (at, line) in text.lines().enumerate() {
            let wrong = |reason: &str| NotATree { line: at + 1, reason: reason.to_owned() };
            if let Some(rest) = line.strip_prefix("x ") {
                let last = entries.last_mut().ok_or_else(|| wrong("attribute of nothing"))?;
                let (name, value) = rest.split_once(' ').ok_or_else(|| wrong("no value"))?;
                let value = hex::decode(value).map_err(|_| wrong("value is not hex"))?;
                last.xattrs.get_or_insert_default().push((unescape(name), value));
            } else {
                let entry = parse_entry(line).ok_or_else(|| wrong("not an entry"))?;
                if entries.last().is_some_and(|last| last.path >= entry.path) {
                    return Err(wrong("not sorted"));
                }
                entries.push(entry);
            }
        }
        Ok(Self { entries })
    }
}

/// Appends the lines of `entry`; also what frames are remembered under.
pub(crate) fn write_entry(text: &mut String, entry: &Entry) {
    let kind = match entry.node {
        Node::Dir => "d ",
        Node::File { .. } => "f ",
        Node::Symlink { .. } => "l ",
    };
    text.push_str(kind);
    // By hand: formatting took most of the time of a build that has nothing to do.
    for shift in [9, 6, 3, 0] {
        text.push(char::from(b'0' + (entry.mode >> shift & 7) as u8));
    }
    for number in [entry.owner.uid, entry.owner.gid] {
        text.push(' ');
        push_number(text, u64::from(number));
    }
    text.push(' ');
    if let Node::File { digest, size } = &entry.node {
        push_number(text, *size);
        text.push(' ');
        digest.push_hex(text);
        text.push(' ');
    }
    escape(text, entry.path.as_str());
    if let Node::Symlink { target } = &entry.node {
        text.push_str(" -> ");
        escape(text, target);
    }
    text.push('\n');
    for (name, value) in entry.xattrs() {
        text.push_str("x ");
        escape(text, &name.replace(' ', "\\_"));
        let _ = writeln!(text, " {}", hex::encode(value));
    }
}

fn push_number(text: &mut String, mut number: u64) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            break;
        }
    }
    digits[at..].iter().for_each(|digit| text.push(char::from(*digit)));
}

fn parse_entry(line: &str) -> Option<Entry> {
    let mut fields = line.splitn(5, ' ');
    let kind = fields.next()?;
    let mode = u16::from_str_radix(fields.next()?, 8).ok().filter(|mode| *mode <= 0o7777)?;
    let owner = Owner { uid: fields.next()?.parse().ok()?, gid: fields.next()?.parse().ok()? };
    let rest = fields.next()?;
    let (node, path) = match kind {
        "d" => (Node::Dir, rest),
        "f" => {
            let mut parts = rest.splitn(3, ' ');
            let size = parts.next()?.parse().ok()?;
            let digest = Digest::from_hex(parts.next()?).ok()?;
            (Node::File { digest, size }, parts.next()?)
        }
        "l" => {
            let (path, target) = rest.split_once(" -> ")?;
            (Node::Symlink { target: unescape(target).into() }, path)
        }
        _ => return None,
    };
    Some(Entry { path: TreePath::new(&unescape(path)).ok()?, node, mode, owner, xattrs: None })
}

fn escape(text: &mut String, name: &str) {
    if !name.bytes().any(|byte| matches!(byte, b'\\' | b'\n' | b'\r' | b'>'))
        || !(name.contains(['\\', '\n', '\r']) || name.contains(" -> "))
    {
        text.push_str(name);
        return;
    }
    let name = name.replace('\\', "\\\\").replace('\n', "\\n").replace('\r', "\\r");
    text.push_str(&name.replace(" -> ", "\\s-> "));
}

fn unescape(name: &str) -> String {
    if !name.contains('\\') {
        return name.to_owned();
    }
    let mut text = String::with_capacity(name.len());
    let mut chars = name.chars();
    while let Some(c) = chars.next() {
        match (c, if c == '\\' { chars.next() } else { None }) {
            ('\\', Some('n')) => text.push('\n'),
            ('\\', Some('r')) => text.push('\r'),
            ('\\', Some('s' | '_')) => text.push(' '),
            ('\\', Some(other)) => text.push(other),
            _ => text.push(c),
        }
    }
    text
}
