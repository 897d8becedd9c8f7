//! Puts the table into `docs/performance.md`, between two marks.

use std::fs;

use anyhow::{Context, Result};
use treelay_ci::tools::workspace;

use super::machine::Machine;

const FILE: &str = "docs/performance.md";
const BEGIN: &str = "<!-- bench: written by `cargo xtask bench --write` -->\n";
const END: &str = "<!-- /bench -->\n";

/// Writes what was measured, how and on what.
pub fn write(
    machine: &Machine,
    profile: &str,
    rivals: &[String],
    command: &str,
    table: &str,
) -> Result<()> {
    let path = workspace().join(FILE);
    let text = fs::read_to_string(&path).with_context(|| format!("reading {}", path.display()))?;
    let body = format!(
        "\nMeasured on {} with `{command}`: {}.\ntreelay was built with cargo's {profile} profile; \
         rivals: {}.\n\n{table}\n",
        machine.date,
        machine.text(),
        rivals.join(", ")
    );
    let new = between(&text, &body).with_context(|| format!("finding the marks in {FILE}"))?;
    fs::write(&path, new).with_context(|| format!("writing {}", path.display()))?;
    eprintln!("wrote {FILE}");
    Ok(())
}

/// The text with `body` between the marks in place of what was there.
fn between(text: &str, body: &str) -> Option<String> {
    let (before, rest) = text.split_once(BEGIN)?;
    let (_, after) = rest.split_once(END)?;
    Some(format!("{before}{BEGIN}{body}{END}{after}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_is_between_the_marks_changes() {
        let text = format!("a\n{BEGIN}old\n{END}z\n");
        let new = between(&text, "new\n").unwrap();
        assert_eq!(new, format!("a\n{BEGIN}new\n{END}z\n"));
        assert_eq!(between(&new, "new\n").unwrap(), new);
        assert!(between("no marks", "new\n").is_none());
    }

    #[test]
    fn the_document_has_the_marks() {
        let text = fs::read_to_string(workspace().join(FILE)).unwrap();
        assert!(between(&text, "").is_some());
    }
}
