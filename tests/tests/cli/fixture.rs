//! What the tests share: a small recipe, what was said with the changing parts replaced, and what
//! is in a folder.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::Path;

use serde_json::Value;
use sha2::{Digest as _, Sha256};
use treelay_tests::{Env, Output, Run};

/// A recipe of two arches that needs nothing but the folder `data` beside it.
pub const SMALL: &str = r##"
name: small
version: "1.0"
epoch: 1700000000
arch: [amd64, arm64]
layers:
  - name: settings
    files:
      - {path: /etc/motd, content: "for {{ arch }}\n"}
      - {path: /usr/bin/tool, content: "#!/bin/sh\n", mode: 0755}
  - name: data
    directory: {source: data, prefix: /usr/share/data}
image:
  reference: registry.example/small
"##;

/// The refs of [`SMALL`]'s commits.
pub const REFS: [&str; 2] = ["treelay/small/x86_64", "treelay/small/aarch64"];

/// An environment with [`SMALL`] and its folder.
pub fn small() -> Env {
    let env = Env::new();
    write_small(&env, "");
    env
}

/// Writes [`SMALL`] and its folder into `folder` (`""`, or ending in a slash).
pub fn write_small(env: &Env, folder: &str) {
    env.write(&format!("{folder}small.yaml"), SMALL);
    env.write(&format!("{folder}data/one"), "1\n");
    let script = env.write(&format!("{folder}data/sub/run"), "#!/bin/sh\n");
    fs::set_permissions(script, fs::Permissions::from_mode(0o755)).unwrap();
    symlink("sub/run", env.path(format!("{folder}data/link"))).unwrap();
}

/// `treelay build --json` of `small.yaml` with these arguments.
pub fn build(env: &Env, args: &[&str]) -> Value {
    env.treelay(["build", "small.yaml", "--json"]).args(args).ok().json()
}

/// A text with what differs from run to run replaced: folders, digests, sizes, seconds.
pub fn settle(env: &Env, text: &str) -> String {
    let text = env.normalise(text);
    let mut out = String::new();
    let mut rest = text.as_str();
    while let Some(first) = rest.chars().next() {
        let hex = rest.find(|c: char| !matches!(c, '0'..='9' | 'a'..='f')).unwrap_or(rest.len());
        let (taken, word) = match hex {
            64 => (64, "[SHA256]"),
            12 => (12, "[SHORT]"),
            n if n > 0 => (n, &rest[..n]),
            _ => (first.len_utf8(), &rest[..first.len_utf8()]),
        };
        out.push_str(word);
        rest = &rest[taken..];
    }
    let lines = out.lines().map(|line| match line.strip_suffix(" s") {
        Some(number) if number.parse::<f64>().is_ok() => "[T] s\n".to_owned(),
        _ => without_sizes(line) + "\n",
    });
    lines.collect()
}

/// The line with every size as people read it replaced: a better compressor may come any time.
fn without_sizes(line: &str) -> String {
    let mut out = String::new();
    let mut words = line.split(' ').peekable();
    while let Some(word) = words.next() {
        let number = word.trim_start_matches('(');
        let unit = words.peek().map_or("", |unit| unit.trim_end_matches([')', ',', ';']));
        if number.parse::<f64>().is_ok() && ["B", "KiB", "MiB"].contains(&unit) {
            let after = words.next().unwrap_or_default().trim_start_matches(unit);
            // Columns are padded by what the size is short of them.
            let padded = out.trim_end_matches(' ').len();
            out.truncate(padded);
            let before = if out.is_empty() { "" } else { " " };
            let bracket = &word[..word.len() - number.len()];
            out.push_str(&format!("{before}{bracket}[SIZE]{after} "));
        } else {
            out.push_str(word);
            out.push(' ');
        }
    }
    out.pop();
    out
}

/// Asserts what a program said on standard output; the expected text begins on a line of its own.
#[track_caller]
pub fn prints(env: &Env, output: &Output, expected: &str) {
    let (found, expected) = (settle(env, &output.out()), trimmed(expected));
    same(&found, &expected, output);
}

/// Asserts that a run is refused with this exit status, says `expected` on standard error, and
/// nothing on standard output.
#[track_caller]
pub fn refused(env: &Env, run: Run, status: i32, expected: &str) {
    let output = run.fails(status);
    assert_eq!(output.out(), "", "{output}");
    let (found, expected) = (settle(env, &output.err()), trimmed(expected));
    same(&found, &expected, &output);
}

/// Asserts that `args` are refused.
#[track_caller]
pub fn refuses<S: AsRef<OsStr>>(
    env: &Env,
    args: impl IntoIterator<Item = S>,
    status: i32,
    expected: &str,
) {
    refused(env, env.treelay(args), status, expected);
}

/// Not `assert_eq!`, which prints texts on one line.
#[track_caller]
fn same(found: &str, expected: &str, output: &Output) {
    assert!(
        found == expected,
        "{output}\n--- found ---\n{found}\n--- expected ---\n{expected}\n---"
    );
}

fn trimmed(expected: &str) -> String {
    expected.strip_prefix('\n').unwrap_or(expected).to_owned()
}

/// Everything below `folder`, a line for each: path, type and mode, time, and what is in it. Empty
/// where there is no such folder.
pub fn listing(folder: &Path) -> String {
    let mut lines = Vec::new();
    list(folder, "", &mut lines);
    lines.sort();
    lines.concat()
}

fn list(folder: &Path, below: &str, lines: &mut Vec<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries {
        let entry = entry.unwrap();
        let path = format!("{below}{}", entry.file_name().to_string_lossy());
        let meta = entry.metadata().unwrap();
        let what = if meta.is_dir() {
            list(&entry.path(), &format!("{path}/"), lines);
            "directory".to_owned()
        } else if meta.is_symlink() {
            format!("-> {}", fs::read_link(entry.path()).unwrap().display())
        } else if meta.is_file() {
            hex::encode(Sha256::digest(fs::read(entry.path()).unwrap()))
        } else {
            "special".to_owned()
        };
        lines.push(format!("{path} {:o} {what}\n", meta.mode() & 0o7777));
    }
}

/// Asserts that a store holds nothing half-made, and nothing that is not what its name says.
#[track_caller]
pub fn store_is_clean(store: &Path) {
    assert_eq!(listing(&store.join("tmp")), "", "leftovers in {}", store.display());
    // Blobs are lists of frames, which `store verify` puts together.
    for room in ["objects", "trees"] {
        for path in treelay_tests::tamper::files_if_any(&store.join(room)) {
            let name = path.strip_prefix(store.join(room)).unwrap().to_string_lossy();
            let found = hex::encode(Sha256::digest(fs::read(&path).unwrap()));
            assert_eq!(found, name.replace('/', ""), "{}", path.display());
        }
    }
}

/// Asserts that `run` fails with status 1 and leaves `places` (below the test's folder) as they
/// were and the store without leftovers; returns what it said.
#[track_caller]
pub fn fails_cleanly(env: &Env, run: Run, places: &[&str]) -> Output {
    let before: Vec<_> = places.iter().map(|place| listing(&env.path(place))).collect();
    let there: Vec<_> = places.iter().map(|place| env.path(place).exists()).collect();
    let output = run.fails(1);
    for (at, place) in places.iter().enumerate() {
        assert_eq!(listing(&env.path(place)), before[at], "{place} has changed\n{output}");
        assert_eq!(env.path(place).exists(), there[at], "{place} was made\n{output}");
    }
    store_is_clean(&env.dir().join("store"));
    output
}
