//! What the demo says at its end: what was made, what it cost, what to try next.

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use treelay_ci::tools::workspace;

use super::measure::Measured;
use super::{FOLDER, NAME, PASSWORD, in_demo};
use crate::run::is_root;

fn list<'a>(value: &'a Value, key: &str) -> impl Iterator<Item = &'a Value> {
    value[key].as_array().into_iter().flatten()
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or("?")
}

/// The refs of the commits that were made.
pub fn refs(made: &Value) -> impl Iterator<Item = &str> {
    list(made, "commits").map(|commit| text(commit, "ref"))
}

/// The tag that the layout gave the index.
pub fn tag_of(layout: &Path, made: &Value) -> Result<String> {
    const NAME: &str = "org.opencontainers.image.ref.name";
    let path = layout.join("index.json");
    let index = fs::read(&path).with_context(|| format!("reading {}", path.display()))?;
    let index: Value =
        serde_json::from_slice(&index).with_context(|| format!("reading {}", path.display()))?;
    let digest = text(&made["index"], "digest");
    let named = list(&index, "manifests")
        .filter(|entry| entry["digest"] == digest)
        .find_map(|entry| entry["annotations"][NAME].as_str());
    match named {
        Some(tag) => Ok(tag.to_owned()),
        None => bail!("finding the tag of {digest} in {}", path.display()),
    }
}

/// Sizes, digests, what is shared, seconds and memory.
pub fn summary(made: &Value, runs: &[(&str, &Measured)]) -> Result<()> {
    println!("== image   index {}", text(&made["index"], "digest"));
    // Layer digest to its size and how many images have it.
    let mut layers: BTreeMap<&str, (u64, usize)> = BTreeMap::new();
    for image in list(made, "images") {
        println!("  {:<8} {}", text(image, "arch"), text(image, "digest"));
        for layer in list(image, "layers") {
            let size = layer["size"].as_u64().unwrap_or(0);
            layers.entry(text(layer, "digest")).or_insert((size, 0)).1 += 1;
            println!(
                "    {:<16} {:>9}  {}",
                text(layer, "name"),
                human(size),
                text(layer, "digest")
            );
        }
    }
    let stored: u64 = layers.values().map(|(size, _)| size).sum();
    let listed: u64 = layers.values().map(|(size, images)| size * *images as u64).sum();
    let shared = layers.values().filter(|(_, images)| *images > 1).count();
    println!(
        "  {} layers, {shared} of them shared: {} stored for {} of images",
        layers.len(),
        human(stored),
        human(listed)
    );
    println!("== commits");
    for commit in list(made, "commits") {
        println!("  {:<28} {}", text(commit, "ref"), text(commit, "checksum"));
    }
    println!("== signatures");
    for signature in list(made, "signatures") {
        println!("  {:<18} {}", text(signature, "scheme"), text(signature, "subject"));
    }
    println!("== sizes on disk");
    for part in ["image", "repo", "store"] {
        println!("  {:<18} {:>11}", in_demo(part), human(disk(&workspace().join(in_demo(part)))?));
    }
    println!("== cost");
    for (name, run) in runs {
        println!("  {name}: {:.2} s, at most {} of memory", run.seconds, human(run.peak));
        phases(&run.stdout);
    }
    Ok(())
}

/// The seconds of each phase, where a run's JSON tells them.
fn phases(stdout: &str) {
    let Ok(value) = serde_json::from_str::<Value>(stdout) else { return };
    for phase in list(&value, "phases") {
        if let Some(seconds) = phase["seconds"].as_f64() {
            println!("    {:<10} {seconds:>7.2} s", text(phase, "name"));
        }
    }
}

/// Commands that work as they are printed, from the project's folder.
pub fn next(made: &Value, tag: &str) -> Result<()> {
    let (image, repo) = (in_demo("image"), in_demo("repo"));
    let podman = match podman_settings()? {
        Some(file) => format!("CONTAINERS_CONF={file} podman"),
        None => "podman".to_owned(),
    };
    let own = std::env::consts::ARCH;
    let own = if own == "powerpc64" { "ppc64le" } else { own };
    let Some(name) = refs(made).find(|name| name.ends_with(own)).or_else(|| refs(made).next())
    else {
        bail!("finding a commit in what treelay build --json printed");
    };
    println!("\n== try next\n");
    // By way of skopeo, because podman 5 does not find again what it pulls from a layout's tag.
    let stored = format!("{NAME}:{tag}");
    println!("skopeo copy oci:{image}:{tag} containers-storage:{stored}");
    println!("{podman} run --rm --network none {stored} go version");
    println!("skopeo inspect oci:{image}:{tag}");
    println!("skopeo inspect --raw oci:{image}:{tag}");
    println!("ostree --repo={repo} refs");
    println!("ostree --repo={repo} show {name}");
    println!("ostree --repo={repo} ls {name} /usr/lib/golang");
    println!(
        "ostree --repo={repo} checkout --user-mode {name} {FOLDER}/tree && \
         {FOLDER}/tree/usr/lib/golang/bin/go version"
    );
    println!("\nThe key in {FOLDER} is a throw-away one; its password is {PASSWORD:?}.");
    Ok(())
}

/// A settings file for podman where the machine needs one: root without CAP_SYS_RESOURCE cannot
/// raise limits, and crun does not start on hybrid cgroups.
fn podman_settings() -> Result<Option<String>> {
    const CAP_SYS_RESOURCE: u64 = 1 << 24;
    let status = fs::read_to_string("/proc/self/status").context("reading /proc/self/status")?;
    let mask = status.lines().find_map(|line| line.strip_prefix("CapEff:"));
    let mask = mask.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).unwrap_or(u64::MAX);
    let unified = Path::new("/sys/fs/cgroup/cgroup.controllers").exists();
    if !is_root() || (mask & CAP_SYS_RESOURCE != 0 && unified) {
        return Ok(None);
    }
    let path = in_demo("containers.conf");
    let text = "[engine]\nruntime = \"runc\"\n\n[containers]\n\
                default_ulimits = [\"nofile=1024:1024\", \"nproc=1024:1024\"]\n";
    fs::write(workspace().join(&path), text).with_context(|| format!("writing {path}"))?;
    Ok(Some(path))
}

/// Bytes as people read them.
fn human(bytes: u64) -> String {
    let (unit, name) = match bytes {
        0..1024 => return format!("{bytes} B"),
        1024..0x10_0000 => (f64::from(1 << 10), "KiB"),
        _ => (f64::from(1 << 20), "MiB"),
    };
    format!("{:.1} {name}", bytes as f64 / unit)
}

/// Bytes below a folder, each file once.
fn disk(folder: &Path) -> Result<u64> {
    use std::os::unix::fs::MetadataExt;
    let (mut seen, mut sum) = (std::collections::HashSet::new(), 0);
    if !folder.exists() {
        return Ok(0);
    }
    let mut folders = vec![folder.to_path_buf()];
    while let Some(folder) = folders.pop() {
        let entries =
            fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))?;
        for entry in entries {
            let entry = entry.with_context(|| format!("reading {}", folder.display()))?;
            let meta = entry.path().symlink_metadata();
            let meta = meta.with_context(|| format!("reading {}", entry.path().display()))?;
            if meta.is_dir() {
                folders.push(entry.path());
            } else if seen.insert((meta.dev(), meta.ino())) {
                sum += meta.len();
            }
        }
    }
    Ok(sum)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_the_unit_that_fits() {
        let shown = [0, 1023, 1024, 1 << 20, 3 << 29].map(human);
        assert_eq!(shown, ["0 B", "1023 B", "1.0 KiB", "1.0 MiB", "1536.0 MiB"]);
    }

    #[test]
    fn the_tag_is_that_of_the_index_and_not_of_a_signature() {
        let folder = std::env::temp_dir().join(format!("treelay-ci-tag-{}", std::process::id()));
        fs::create_dir_all(&folder).unwrap();
        let index = r#"{"manifests": [
            {"digest": "sha256:b", "annotations": {"org.opencontainers.image.ref.name": "sha256-a.sig"}},
            {"digest": "sha256:a", "annotations": {"org.opencontainers.image.ref.name": "1.27.3"}}]}"#;
        fs::write(folder.join("index.json"), index).unwrap();
        let made = serde_json::json!({"index": {"digest": "sha256:a"}});
        let tag = tag_of(&folder, &made);
        let none = tag_of(&folder, &serde_json::json!({"index": {"digest": "sha256:c"}}));
        fs::remove_dir_all(&folder).unwrap();
        assert_eq!(tag.unwrap(), "1.27.3");
        assert!(none.unwrap_err().to_string().contains("sha256:c"));
    }
}
