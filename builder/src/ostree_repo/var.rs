//! What layers bring to where hosts have something of their own. `/var` belongs to each host, and OSTree
//! does not touch it after the first deployment: lines of tmpfiles.d(5) make what is to be there. Over
//! the others something is mounted.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use treelay_layers::tree::{Entry, Node, Tree, TreePath};
use treelay_recipes::Digest;

use super::error::{OstreeError, Result};

/// Where hosts mount something.
const MOUNTED: [&str; 7] = ["boot", "dev", "proc", "run", "sys", "sysroot", "tmp"];

/// Refuses files and links that no host would ever see. Directories do no harm.
///
/// # Errors
/// [`OstreeError::Hidden`] naming the first.
pub fn check_hidden(tree: &Tree) -> Result<()> {
    let hidden = tree.entries().iter().find_map(|entry| {
        let (dir, _) = entry.path.as_str().split_once('/')?;
        let dir = MOUNTED.into_iter().find(|mounted| *mounted == dir)?;
        (!matches!(entry.node, Node::Dir)).then(|| (entry.path.to_string(), dir))
    });
    match hidden {
        None => Ok(()),
        Some((path, dir)) => Err(OstreeError::Hidden { path, dir }),
    }
}

/// A tree without `/var`, and what makes that on the host.
pub struct WithoutVar {
    /// The rest.
    pub tree: Tree,
    /// Lines of tmpfiles.d(5); `None` where there is nothing to make.
    pub lines: Option<String>,
}

/// Takes `/var` out of a tree. Directories and links become lines; one that is there only because
/// something is below it gets none, since systemd-tmpfiles makes it just so.
///
/// # Errors
/// [`OstreeError::FileInVar`] for a file, or a directory with extended attributes.
pub fn without_var(tree: &Tree) -> Result<WithoutVar> {
    let entries = tree.entries();
    let (in_var, rest): (Vec<&Entry>, Vec<&Entry>) =
        entries.iter().partition(|entry| is_in_var(entry));
    let mut lines = String::new();
    for entry in &in_var {
        let path = entry.path.as_str();
        let refused = |what| OstreeError::FileInVar { path: path.to_owned(), what };
        if path == "var" && matches!(entry.node, Node::Dir) {
            continue;
        }
        if !entry.xattrs().is_empty() {
            return Err(refused("has extended attributes"));
        }
        // Writing to a String cannot fail.
        let _ = match &entry.node {
            Node::File { .. } => return Err(refused("is a file")),
            Node::Dir => {
                let is_below = |other: &&&Entry| {
                    let rest = other.path.as_str().strip_prefix(path);
                    rest.is_some_and(|rest| rest.starts_with('/'))
                };
                if entry.is_plain_dir() && in_var.iter().any(|other| is_below(&other)) {
                    continue;
                }
                let (uid, gid) = (entry.owner.uid, entry.owner.gid);
                writeln!(lines, "d {} {:04o} {uid} {gid} - -", quoted(path), entry.mode)
            }
            Node::Symlink { target } if target.contains(char::is_control) => {
                return Err(refused("is a link to a path with control characters"));
            }
            // The field is taken for none, or the rest of it for the beginning or end of the line.
            Node::Symlink { target } if *target.trim() != **target || **target == *"-" => {
                return Err(refused("is a link to a path that tmpfiles.d(5) cannot say"));
            }
            Node::Symlink { target } => {
                writeln!(lines, "L {} - - - - {}", quoted(path), specifiers(target))
            }
        };
    }
    let lines = (!lines.is_empty()).then_some(lines);
    let rest = rest.into_iter().cloned().collect();
    // Cannot fail: what is left is a tree still.
    Ok(WithoutVar { tree: Tree::from_entries(rest).unwrap_or_default(), lines })
}

impl WithoutVar {
    /// The tree with the lines as `/usr/lib/tmpfiles.d/treelay-NAME.conf`, whose content is there
    /// by that digest.
    ///
    /// # Errors
    /// [`OstreeError::Tmpfiles`] where something is in the way.
    pub fn with_lines(self, name: &str, digest: Digest, size: u64) -> Result<Tree> {
        let path = tmpfiles(name);
        // A recipe's name is short and has no slash.
        let Ok(path) = TreePath::new(&path) else { return Ok(self.tree) };
        let mut entries = self.tree.entries().to_vec();
        entries.push(Entry::new_file(path, 0o644, digest, size));
        Tree::from_entries(entries).map_err(OstreeError::Tmpfiles)
    }
}

/// Lines of tmpfiles.d(5) and, before them, those of a base that are for other paths.
pub fn with_lines_of(base: &str, lines: &str) -> String {
    // Type and path; a path with a space is in quotes.
    let path = |line: &str| {
        let rest = line.split_once(' ').map_or("", |(_, rest)| rest);
        let end = match rest.strip_prefix('"') {
            Some(quoted) => quoted.replace("\\\"", "..").find('"').map(|end| end + 2),
            None => rest.find(' '),
        };
        rest.get(..end.unwrap_or(rest.len())).unwrap_or(rest).to_owned()
    };
    let own: BTreeSet<String> = lines.lines().map(path).collect();
    let kept = base.lines().filter(|line| !own.contains(&path(line)));
    let all = kept.map(|line| format!("{line}\n")).collect::<String>();
    all + lines
}

/// Where the lines of a recipe of that name are.
pub fn tmpfiles(name: &str) -> String {
    format!("usr/lib/tmpfiles.d/treelay-{name}.conf")
}

pub(super) fn is_in_var(entry: &Entry) -> bool {
    let rest = entry.path.as_str().strip_prefix("var");
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with('/'))
}

/// A path as the second field has it: C-style escapes in quotes, `%` doubled.
fn quoted(path: &str) -> String {
    let path = format!("/{}", specifiers(path));
    if path.bytes().all(|byte| byte.is_ascii_graphic() && !matches!(byte, b'"' | b'\'' | b'\\')) {
        return path;
    }
    let mut quoted = String::from("\"");
    for byte in path.bytes() {
        // Writing to a String cannot fail.
        let _ = match byte {
            b'"' | b'\\' => write!(quoted, "\\{}", char::from(byte)),
            b' '..=b'~' => write!(quoted, "{}", char::from(byte)),
            _ => write!(quoted, "\\x{byte:02x}"),
        };
    }
    quoted.push('"');
    quoted
}

/// `%` begins a specifier.
fn specifiers(text: &str) -> String {
    text.replace('%', "%%")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn directories_and_links_become_lines() {
        let text = "d 0755 0 0 usr\nd 0755 0 0 var\nd 0755 0 0 var/lib\nd 0700 7 8 var/lib/a b\n\
                    d 0755 0 0 var/lib/e\nl 0777 0 0 var/lib/l -> ../x%y\nd 0755 0 0 variety\n";
        let WithoutVar { tree, lines } = without_var(&Tree::from_text(text).unwrap()).unwrap();
        assert_eq!(tree.to_text(), "d 0755 0 0 usr\nd 0755 0 0 variety\n");
        let expected = "d \"/var/lib/a b\" 0700 7 8 - -\nd /var/lib/e 0755 0 0 - -\n\
                        L /var/lib/l - - - - ../x%%y\n";
        assert_eq!(lines.as_deref(), Some(expected));
        let nothing = without_var(&Tree::from_text("d 0755 0 0 var\n").unwrap()).unwrap();
        assert_eq!((nothing.tree.is_empty(), nothing.lines), (true, None));
        for target in ["-", " a", "a "] {
            let text = format!("d 0755 0 0 var\nl 0777 0 0 var/l -> {target}\n");
            let tree = Tree::from_text(&text).unwrap();
            assert!(without_var(&tree).is_err(), "{target:?}");
        }
    }

    #[test]
    fn lines_of_a_base_for_other_paths_stay() {
        let base = "d /var/a 0755 0 0 - -\nd \"/var/b c\" 0755 0 0 - -\nL /var/d - - - - x\n";
        let own = "d /var/d 0700 0 0 - -\nd \"/var/b c\" 0700 0 0 - -\n";
        assert_eq!(with_lines_of(base, own), format!("d /var/a 0755 0 0 - -\n{own}"));
        assert_eq!(with_lines_of("", own), own);
    }

    #[test]
    fn what_no_host_would_see_is_refused() {
        for (text, expected) in [
            (
                "d 0755 0 0 boot\nd 0755 0 0 boot/efi\nd 0755 0 0 bootx\nl 0777 0 0 bootx/a -> b\n",
                None,
            ),
            ("d 0755 0 0 boot\nl 0777 0 0 boot/a -> b\n", Some("/boot/a")),
            (
                "d 0755 0 0 sysroot\nd 0755 0 0 sysroot/b\nl 0777 0 0 sysroot/b/c -> d\n",
                Some("/sysroot/b/c"),
            ),
        ] {
            let refused = check_hidden(&Tree::from_text(text).unwrap()).err();
            let refused = refused.map(|error| error.to_string());
            match (&refused, expected) {
                (None, None) => {}
                (Some(said), Some(path)) if said.starts_with(&format!("{path} ")) => {}
                _ => panic!("{text}: {refused:?}"),
            }
        }
    }

    #[test]
    fn odd_paths_are_quoted() {
        for (path, expected) in [
            ("var/a", "/var/a"),
            ("var/50%", "/var/50%%"),
            ("var/q\"", "\"/var/q\\\"\""),
            ("var/ü", "\"/var/\\xc3\\xbc\""),
        ] {
            assert_eq!(quoted(path), expected);
        }
    }

    #[test]
    fn files_are_refused() {
        let zero = "0".repeat(64);
        let with = |line: &str| format!("d 0755 0 0 var\n{line}");
        for (text, what) in [
            (with(&format!("f 0644 0 0 0 {zero} var/a\n")), "/var/a is a file"),
            (format!("f 0644 0 0 0 {zero} var\n"), "/var is a file"),
        ] {
            let tree = Tree::from_text(&text).unwrap();
            let error = without_var(&tree).map(drop).unwrap_err().to_string();
            assert!(error.contains(what), "{error}");
        }
        let dir = Entry::dir(TreePath::new("var/x").unwrap(), 0o755);
        let tree = Tree::from_entries(vec![dir.with_xattrs(vec![("user.a".into(), vec![])])]);
        let error = without_var(&tree.unwrap()).map(drop).unwrap_err().to_string();
        assert!(error.contains("/var/x has extended attributes"), "{error}");
    }
}
