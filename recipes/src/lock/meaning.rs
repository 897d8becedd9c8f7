//! What a recipe says of an input, whatever its spelling.

use serde_json::{Map, Value, json};

use crate::error::Problems;
use crate::recipe::{
    ArchiveInput, GitInput, GoModulesInput, GoToolchainInput, Input, OciInput, OpenPgp, PypiInput,
    Recipe, Verify, VerifyArchive,
};
use crate::{Arch, Digest, Scope};

/// The recipe on an arch, as far as its inputs go, whose templates need no lock.
pub(super) fn on(recipe: &Recipe, arch: Arch) -> Recipe {
    recipe.expand_into(&Scope::new(arch, &Default::default()), &mut Problems::new("", ""))
}

/// A digest of what the recipe says of an input, whatever its spelling: canonical JSON of its
/// options on each arch. An option that is left out does not count, so an option that the language
/// gains does not change the digest of recipes without it.
pub(super) fn meaning(recipe: &Recipe, name: &str) -> Digest {
    let mut arches = Map::new();
    for &arch in &recipe.arch {
        if let Some(input) = on(recipe, arch).inputs.get(name) {
            let mut meaning = match input {
                Input::GoToolchain(go) => go_toolchain_meaning(go, arch),
                Input::Archive(archive) => archive_meaning(archive),
                Input::Pypi(package) => pypi_meaning(package),
                Input::Git(git) => git_meaning(git),
                // Where modules come from changes nothing about what they are.
                Input::GoModules(modules) => modules_meaning(modules),
            };
            meaning.insert("kind".into(), input.kind().name().into());
            arches.insert(arch.go().into(), Value::Object(meaning));
        }
    }
    Digest::of(canonical(&Value::Object(arches)))
}

fn go_toolchain_meaning(go: &GoToolchainInput, arch: Arch) -> Map<String, Value> {
    // Where a module comes from changes nothing about what it is.
    let GoToolchainInput { version, sources, dir, archive, mirror, proxy: _, oci, verify, sumdb } =
        go;
    let mut meaning = Map::new();
    meaning.insert("version".into(), json!(version.value));
    meaning.insert("sources".into(), sources.iter().map(|source| source.name()).collect());
    if let Some(dir) = dir {
        meaning.insert("dir".into(), json!(dir.value));
    }
    if let Some(archive) = archive.as_ref().and_then(|map| map.get(&arch)) {
        meaning.insert("archive".into(), Value::Object(archive_meaning(archive)));
    }
    if let Some(mirror) = mirror {
        meaning.insert("mirror".into(), json!(mirror.value));
    }
    if let Some(OciInput { image, path, layer, strip }) = oci {
        let mut of = Map::new();
        of.insert("image".into(), json!(image.value));
        let layer = layer.as_ref().and_then(|map| map.get(&arch));
        for (key, text) in [("path", path.as_ref()), ("layer", layer)] {
            of.extend(text.map(|text| (key.into(), json!(text.value))));
        }
        of.extend(strip.map(|strip| ("strip".into(), json!(strip))));
        meaning.insert("oci".into(), Value::Object(of));
    }
    if !verify.is_empty() {
        meaning.insert("verify".into(), verify.iter().map(|verify| verify.name()).collect());
    }
    if let Some(sumdb) = sumdb {
        meaning.insert("sumdb".into(), json!(sumdb.value));
    }
    meaning
}

fn archive_meaning(archive: &ArchiveInput) -> Map<String, Value> {
    let ArchiveInput { path, urls, sha256, verify, strip } = archive;
    let mut meaning = Map::new();
    if let Some(sha256) = sha256 {
        meaning.insert("sha256".into(), json!(sha256.value));
    }
    if let Some(verify) = verify {
        meaning.insert("verify".into(), Value::Object(verify_meaning(verify)));
    }
    if let Some(path) = path {
        meaning.insert("path".into(), json!(path.value));
    }
    if !urls.is_empty() {
        meaning.insert("urls".into(), urls.iter().map(|url| url.value.as_str()).collect());
    }
    if let Some(strip) = strip {
        meaning.insert("strip".into(), json!(strip));
    }
    meaning
}

/// Where evidence is had from changes nothing about what it says; who has to say it does.
fn verify_meaning(verify: &VerifyArchive) -> Map<String, Value> {
    let VerifyArchive { checksum, openpgp } = verify;
    let mut meaning = Map::new();
    if let Some(checksum) = checksum {
        meaning.insert("checksum".into(), json!(checksum.value));
    }
    if let Some(OpenPgp { signature: _, over, keys: _, fingerprints }) = openpgp {
        let fingerprints = fingerprints.iter().map(|text| fingerprint(text)).collect::<Vec<_>>();
        let of = json!({ "over": over.name(), "fingerprints": fingerprints });
        meaning.insert("openpgp".into(), of);
    }
    meaning
}

/// A fingerprint however it is spelled: `EB4C 1BFD …`, `0xeb4c1bfd…`.
pub(super) fn fingerprint(text: &str) -> String {
    let digits: String = text.chars().filter(|c| *c != ' ').collect();
    digits.strip_prefix("0x").unwrap_or(&digits).to_ascii_uppercase()
}

fn modules_meaning(modules: &GoModulesInput) -> Map<String, Value> {
    // Where modules come from changes nothing about what they are.
    let GoModulesInput { dir, input, proxy: _, verify, sumdb, private } = modules;
    let mut meaning = Map::new();
    for (key, text) in [("dir", dir), ("input", input), ("sumdb", sumdb), ("private", private)] {
        meaning.extend(text.as_ref().map(|text| (key.to_owned(), json!(text.value))));
    }
    if !verify.is_empty() {
        meaning.insert("verify".into(), json!([Verify::Sumdb.name()]));
    }
    meaning
}

fn pypi_meaning(input: &PypiInput) -> Map<String, Value> {
    let PypiInput { package, version } = input;
    let mut meaning = Map::new();
    meaning.insert("package".into(), json!(package.value));
    meaning.insert("version".into(), json!(version.value));
    meaning
}

fn git_meaning(input: &GitInput) -> Map<String, Value> {
    let GitInput { url, commit, refname, dir } = input;
    let mut meaning = Map::new();
    meaning.insert("url".into(), json!(url.value));
    for (name, text) in [("commit", commit), ("ref", refname), ("dir", dir)] {
        if let Some(text) = text {
            meaning.insert(name.into(), json!(text.value));
        }
    }
    meaning
}

/// JSON without white space and with sorted keys, whatever order the map keeps them in.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let mut keys: Vec<&String> = map.keys().collect();
            keys.sort();
            let pair = |key: &&String| {
                format!("{}:{}", Value::from(key.as_str()), canonical(&map[key.as_str()]))
            };
            format!("{{{}}}", keys.iter().map(pair).collect::<Vec<_>>().join(","))
        }
        Value::Array(items) => {
            format!("[{}]", items.iter().map(canonical).collect::<Vec<_>>().join(","))
        }
        scalar => scalar.to_string(),
    }
}
