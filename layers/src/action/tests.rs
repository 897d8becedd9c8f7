use super::*;
use crate::{Entry, TreePath};

fn path(path: &str) -> TreePath {
    TreePath::new(path).unwrap()
}

fn sample() -> Tree {
    let file = |at: &str, mode, text: &str| {
        Entry::new_file(path(at), mode, Digest::of(text), text.len() as u64)
    };
    Tree::from_entries(vec![
        file("a-b", 0o644, "x"),
        file("a/b", 0o755, "program"),
        file("a/c/d", 0o644, ""),
        Entry::dir(path("empty"), 0o755),
        Entry::symlink(path("link"), "a/b"),
    ])
    .unwrap()
}

fn action(tree: &Tree) -> Action<'_> {
    Action {
        command: Command {
            arguments: vec!["/treelay/go/bin/go".into(), "".into(), "build".into()],
            environment: BTreeMap::from([("B".into(), "2".into()), ("A".into(), "".into())]),
            outputs: vec!["out".into()],
            platform: BTreeMap::from([("OSFamily".into(), "linux".into())]),
        },
        inputs: vec![InputTree { at: "src", tree: Cow::Borrowed(tree), lasting: false }],
        timeout: Duration::from_secs(300),
        cache: None,
    }
}

/// A message as text, read by the rules of the wire format alone: fields by number, nested
/// messages where `shape` says so.
fn dump(bytes: &[u8]) -> Vec<(u64, Field<'_>)> {
    let mut rest = bytes;
    let mut fields = Vec::new();
    let varint = |rest: &mut &[u8]| {
        let mut number = 0;
        for shift in (0..).step_by(7) {
            let (first, after) = rest.split_first().unwrap();
            *rest = after;
            number |= u64::from(first & 0x7f) << shift;
            if first & 0x80 == 0 {
                return number;
            }
        }
        unreachable!()
    };
    while !rest.is_empty() {
        let key = varint(&mut rest);
        match key & 7 {
            0 => fields.push((key >> 3, Field::Number(varint(&mut rest)))),
            2 => {
                let length = varint(&mut rest) as usize;
                let (value, after) = rest.split_at(length);
                rest = after;
                fields.push((key >> 3, Field::Bytes(value)));
            }
            other => panic!("wire type {other}"),
        }
    }
    assert!(fields.is_sorted_by_key(|(field, _)| *field), "{fields:?}");
    fields
}

#[derive(Debug, PartialEq)]
enum Field<'a> {
    Number(u64),
    Bytes(&'a [u8]),
}

impl<'a> Field<'a> {
    fn bytes(&self) -> &'a [u8] {
        match self {
            Field::Bytes(bytes) => bytes,
            Field::Number(number) => panic!("{number}"),
        }
    }

    fn text(&self) -> &'a str {
        std::str::from_utf8(self.bytes()).unwrap()
    }
}

/// The message that a `Digest` message names.
fn named_by<'a>(encoded: &'a Encoded, digest: &[u8]) -> &'a [u8] {
    let fields = dump(digest);
    let message = &encoded.messages[&Digest::from_hex(fields[0].1.text()).unwrap()];
    assert_eq!(
        fields.get(1).map_or(&Field::Number(0), |(_, size)| size),
        &Field::Number(message.len() as u64)
    );
    message
}

/// What a Directory message says, a line for each path.
fn list(encoded: &Encoded, directory: &[u8], prefix: &str, lines: &mut Vec<String>) {
    for (field, value) in dump(directory) {
        let node = dump(value.bytes());
        let name = format!("{prefix}{}", node[0].1.text());
        match field {
            1 => {
                let digest = dump(node[1].1.bytes());
                let executable =
                    node.get(2).is_some_and(|(n, v)| (*n, v) == (4, &Field::Number(1)));
                let size = digest.get(1).map_or(0, |(_, size)| match size {
                    Field::Number(size) => *size,
                    Field::Bytes(_) => panic!(),
                });
                lines.push(format!("f {name} {} {size} {executable}", &digest[0].1.text()[..8]));
            }
            2 => {
                lines.push(format!("d {name}"));
                list(encoded, named_by(encoded, node[1].1.bytes()), &format!("{name}/"), lines);
            }
            3 => lines.push(format!("l {name} -> {}", node[1].1.text())),
            other => panic!("field {other}"),
        }
    }
}

#[test]
fn an_input_root_is_a_merkle_tree_of_directories() {
    let tree = sample();
    let encoded = action(&tree).encode();
    let fields = dump(&encoded.messages[&encoded.action]);
    let root = named_by(&encoded, fields[1].1.bytes());
    let mut lines = Vec::new();
    list(&encoded, root, "", &mut lines);
    let short = |text: &str| Digest::of(text).hex()[..8].to_owned();
    assert_eq!(
        lines,
        [
            "d src".to_owned(),
            format!("f src/a-b {} 1 false", short("x")),
            "d src/a".to_owned(),
            format!("f src/a/b {} 7 true", short("program")),
            "d src/a/c".to_owned(),
            format!("f src/a/c/d {} 0 false", short("")),
            "d src/empty".to_owned(),
            "l src/link -> a/b".to_owned(),
        ]
    );
    // The root, src, a, a/c, empty; Command and Action.
    assert_eq!(encoded.messages.len(), 7);
    assert!(encoded.messages.iter().all(|(digest, bytes)| Digest::of(bytes) == *digest));
}

#[test]
fn a_command_says_all_of_itself() {
    let tree = sample();
    let encoded = action(&tree).encode();
    let fields = dump(&encoded.messages[&encoded.action]);
    assert_eq!(fields.iter().map(|(field, _)| *field).collect::<Vec<_>>(), [1, 2, 6, 10]);
    assert_eq!(dump(fields[2].1.bytes()), [(1, Field::Number(300))]);
    let command = dump(named_by(&encoded, fields[0].1.bytes()));
    let texts: Vec<_> = command
        .iter()
        .map(|(field, value)| match field {
            1 | 7 => (*field, value.text().to_owned()),
            _ => {
                let inner = dump(value.bytes());
                let inner = if *field == 5 { dump(inner[0].1.bytes()) } else { inner };
                (*field, inner.iter().map(|(_, v)| v.text()).collect::<Vec<_>>().join("="))
            }
        })
        .collect();
    let expected = [
        (1, "/treelay/go/bin/go"),
        (1, ""),
        (1, "build"),
        (2, "A="),
        (2, "B=2"),
        (5, "OSFamily=linux"),
        (7, "out"),
    ];
    assert_eq!(texts, expected.map(|(field, text)| (field, text.to_owned())));
}

/// The digest is what results are remembered under, here and on a server: a change of the encoding
/// is a new name for everything.
#[test]
fn the_digest_is_pinned_and_depends_on_everything_but_the_cache() {
    let tree = sample();
    let action = action(&tree);
    let digest = action.digest();
    assert_eq!(
        digest.to_string(),
        "sha256:3bb422ba402ab512a251b16f645f2a6d6132b224f6d78c76fdf7c5251a3d65bc"
    );
    let cached =
        Action { cache: Some(Cache { at: "/tmp/cache", key: Some(digest) }), ..action.clone() };
    assert_eq!(cached.digest(), digest);
    let mut others = vec![Action { timeout: Duration::from_secs(1), ..action.clone() }];
    let mut other = action.clone();
    other.command.arguments.push("x".into());
    others.push(other);
    let mut other = action.clone();
    other.command.environment.insert("C".into(), "3".into());
    others.push(other);
    let mut other = action.clone();
    other.command.platform.insert("ISA".into(), "arm64".into());
    others.push(other);
    let mut other = action.clone();
    other.command.outputs.push("more".into());
    others.push(other);
    let mut other = action.clone();
    other.inputs[0].at = "sources";
    others.push(other);
    let executable: Vec<Entry> =
        tree.entries().iter().map(|entry| Entry { mode: 0o755, ..entry.clone() }).collect();
    let mut other = action.clone();
    other.inputs[0].tree = Cow::Owned(Tree::from_entries(executable).unwrap());
    others.push(other);
    for other in others {
        assert_ne!(other.digest(), digest, "{other:?}");
    }
}
