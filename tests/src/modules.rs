//! A Go module proxy as files, made without Go.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};

use crate::Env;

/// Adds a module to the proxy in the folder `proxy`; the lines of a go.sum for it.
///
/// # Panics
/// When it cannot be written.
pub fn add_module(
    env: &Env,
    proxy: &str,
    module: &str,
    version: &str,
    files: &[(&str, &str)],
) -> String {
    let folder = format!("{module}@{version}");
    let mut lines = Vec::new();
    let mut script = env
        .run("python3")
        .args(["-c", ZIP])
        .arg(env.path(format!("{proxy}/{module}/@v/{version}.zip")));
    let go_mod = files.iter().find(|(name, _)| *name == "go.mod").expect("a go.mod").1;
    env.write(&format!("{proxy}/{module}/@v/{version}.mod"), go_mod);
    for (name, text) in files {
        let path = format!("{folder}/{name}");
        lines.push(format!("{}  {path}\n", hex::encode(Sha256::digest(text))));
        script = script.arg(path).arg(text);
    }
    script.ok();
    lines.sort_by(|a, b| a[64..].cmp(&b[64..]));
    let line = format!("{}  go.mod\n", hex::encode(Sha256::digest(go_mod)));
    format!("{module} {version} {}\n{module} {version}/go.mod {}\n", h1(&lines.concat()), h1(&line))
}

/// The `h1:` of files by name.
pub fn sum_of(files: &[(String, Vec<u8>)]) -> String {
    let mut files: Vec<_> = files.iter().collect();
    files.sort();
    let line = |(name, bytes): &&(String, Vec<u8>)| {
        format!("{}  {name}\n", hex::encode(Sha256::digest(bytes)))
    };
    h1(&files.iter().map(line).collect::<String>())
}

fn h1(lines: &str) -> String {
    format!("h1:{}", STANDARD.encode(Sha256::digest(lines)))
}

/// A zip archive of names and texts.
const ZIP: &str = "import sys, zipfile
with zipfile.ZipFile(sys.argv[1], 'w', zipfile.ZIP_DEFLATED) as archive:
    for name, text in zip(sys.argv[2::2], sys.argv[3::2]):
        archive.writestr(name, text)";
