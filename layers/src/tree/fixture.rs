//! Trees written as text, for tests: the canonical text with `=CONTENT` for size and digest.

use std::collections::BTreeMap;
use std::io::{self, Read};

use treelay_recipes::Digest;

use super::Tree;
use crate::{ContentSink, Contents};

/// The contents of a fixture's files.
#[derive(Debug, Default)]
pub(crate) struct Memory(pub BTreeMap<Digest, Vec<u8>>);

impl Contents for Memory {
    fn open(&self, digest: &Digest, _size: u64) -> io::Result<Box<dyn Read + Send>> {
        let bytes = self.0.get(digest).ok_or(io::ErrorKind::NotFound)?;
        Ok(Box::new(io::Cursor::new(bytes.clone())))
    }
}

impl ContentSink for Memory {
    fn put(&mut self, content: &mut dyn Read) -> io::Result<(Digest, u64)> {
        let mut bytes = Vec::new();
        content.read_to_end(&mut bytes)?;
        let (digest, size) = (Digest::of(&bytes), bytes.len() as u64);
        self.0.insert(digest, bytes);
        Ok((digest, size))
    }
}

/// A tree of lines such as `f 0644 0 0 =hello etc/motd`; parents are added.
pub(crate) fn tree(text: &str) -> (Tree, Memory) {
    let mut contents = Memory::default();
    let mut lines = String::new();
    for line in text.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let mut fields = Vec::new();
        for field in line.split(' ') {
            if let Some(content) = field.strip_prefix('=') {
                let digest = Digest::of(content);
                contents.0.insert(digest, content.as_bytes().to_vec());
                fields.push(format!("{} {}", content.len(), digest.hex()));
            } else {
                fields.push(field.to_owned());
            }
        }
        lines += &fields.join(" ");
        lines.push('\n');
    }
    let mut entries = Vec::new();
    // Lines may come in any order here, so each is read by itself, attributes with their entry.
    for chunk in split_entries(&lines) {
        entries.extend(Tree::from_text(&chunk).unwrap().entries);
    }
    (Tree::from_entries(entries).unwrap(), contents)
}

fn split_entries(lines: &str) -> Vec<String> {
    let mut chunks: Vec<String> = Vec::new();
    for line in lines.lines() {
        match chunks.last_mut() {
            Some(last) if line.starts_with("x ") => *last += &format!("{line}\n"),
            _ => chunks.push(format!("{line}\n")),
        }
    }
    chunks
}
