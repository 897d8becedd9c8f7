//! The text of a lock file.

use std::fmt::Write;

use super::{Evidence, Field, Lock, LockedBase, LockedFile, LockedInput, LockedTree};

const HEADER: &str = "# made by treelay lock; do not edit\n\nversion = 1\n";

impl Lock {
    /// The text of the lock file, the same on every machine; ends with a line break.
    pub fn to_text(&self) -> String {
        let mut text = HEADER.to_owned();
        // Writing to a String cannot fail, so what `write!` answers is dropped.
        if !self.recipe_inputs.is_empty() {
            text.push_str("\n[recipe-inputs]\n");
        }
        for (name, digest) in &self.recipe_inputs {
            let _ = writeln!(text, "{name} = \"{digest}\"");
        }
        for input in &self.inputs {
            let LockedInput {
                name,
                arch,
                kind,
                version,
                source,
                from,
                file,
                identity,
                released,
                sums,
                evidence,
                commit,
            } = input;
            text.push_str("\n[[input]]\n");
            let _ = writeln!(text, "name = {}", quoted(name));
            let _ = writeln!(text, "arch = \"{arch}\"");
            let _ = writeln!(text, "kind = \"{}\"", kind.name());
            if let Some(version) = version {
                let _ = writeln!(text, "version = {}", quoted(version));
            }
            let _ = writeln!(text, "source = \"{}\"", source.name());
            let _ = writeln!(text, "from = {}", quoted(from));
            if let Some(LockedFile { sha256, size }) = file {
                let _ = writeln!(text, "sha256 = \"{}\"", sha256.hex());
                let _ = writeln!(text, "size = {size}");
            }
            if let Some(commit) = commit {
                let _ = writeln!(text, "commit = {}", quoted(commit));
            }
            let _ = writeln!(text, "identity = \"{identity}\"");
            if let Some(sums) = sums {
                let _ = writeln!(text, "sums = \"{sums}\"");
            }
            if let Some(released) = released {
                let _ = writeln!(text, "released = {released}");
            }
            if !evidence.is_empty() {
                text.push_str("evidence = [\n");
                for evidence in evidence {
                    let _ = writeln!(text, "    {},", line(evidence));
                }
                text.push_str("]\n");
            }
        }
        for LockedBase { arch, image, digest, manifest, released } in &self.bases {
            text.push_str("\n[[base]]\n");
            let _ = writeln!(text, "arch = \"{arch}\"");
            let _ = writeln!(text, "image = {}", quoted(image));
            let _ = writeln!(text, "digest = \"{digest}\"");
            let _ = writeln!(text, "manifest = \"{manifest}\"");
            if let Some(released) = released {
                let _ = writeln!(text, "released = {released}");
            }
        }
        for LockedTree { arch, from, commit, image, released } in &self.trees {
            text.push_str("\n[[ostree-base]]\n");
            let _ = writeln!(text, "arch = \"{arch}\"");
            let _ = writeln!(text, "from = {}", quoted(from));
            let _ = writeln!(text, "commit = \"{}\"", commit.hex());
            if let Some((digest, manifest)) = image {
                let _ = writeln!(text, "digest = \"{digest}\"");
                let _ = writeln!(text, "manifest = \"{manifest}\"");
            }
            let _ = writeln!(text, "released = {released}");
        }
        text
    }
}

/// Evidence on one line.
fn line(evidence: &Evidence) -> String {
    let mut line = format!("{{ method = \"{}\"", evidence.method().name());
    for (name, field) in evidence.fields() {
        // Writing to a String cannot fail.
        let _ = match field {
            Field::Text(text) => write!(line, ", {name} = {}", quoted(&text)),
            Field::Number(number) => write!(line, ", {name} = {number}"),
        };
    }
    line + " }"
}

/// A basic string (TOML 1.0, "String").
fn quoted(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            c if c.is_control() => {
                let _ = write!(quoted, "\\u{:04X}", u32::from(c));
            }
            c => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}
