//! The rivals as their users run them: from the machine's packages, with their own defaults, and
//! with what makes them fast where that is one flag.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, bail};
use serde_json::Value;
use treelay_ci::tools;

use super::Bench;
use super::input::ARCHES;
use super::usage::Usage;
use crate::run::{capture, is_root};

/// Where each rival is.
pub struct Rivals {
    umoci: PathBuf,
    buildah: PathBuf,
    ostree: PathBuf,
}

impl Rivals {
    /// Finds what set-up has installed.
    pub fn find() -> Result<Self> {
        let find = |name: &str| tools::find(name).with_context(|| format!("no {name} here"));
        Ok(Self { umoci: find("umoci")?, buildah: find("buildah")?, ostree: find("ostree")? })
    }

    /// Name and version of each.
    pub fn versions(&self) -> Result<Vec<String>> {
        let say = |program: &Path| capture(Command::new(program).arg("--version"));
        let (umoci, buildah) = (say(&self.umoci)?, say(&self.buildah)?);
        let ostree = say(&self.ostree)?;
        let word = |text: &str| text.split_whitespace().nth(2).unwrap_or("?").to_owned();
        Ok(vec![
            format!("umoci {}", word(&umoci)),
            format!("buildah {}", word(&buildah)),
            format!("ostree {}", ostree.split('\'').nth(1).unwrap_or("?")),
        ])
    }
}

/// umoci's images of the trees: one new layout, a tag for each arch, no index (umoci makes none),
/// gzip (it has nothing else).
pub fn umoci(bench: &Bench, trees: &Path) -> Result<Usage> {
    let layout = bench.fresh("umoci")?;
    let mut commands = vec![umoci_command(bench, &["init", "--layout"], &layout)];
    for arch in ARCHES {
        let image = PathBuf::from(format!("{}:{arch}", layout.display()));
        commands.push(umoci_command(bench, &["new", "--image"], &image));
        commands.push(insert(bench, &image, &trees.join(arch)));
        let mut config = umoci_command(bench, &["config", "--image"], &image);
        config.args(["--architecture", arch]);
        commands.push(config);
    }
    bench.timed(&commands)
}

/// The size of the layer that umoci makes of a tree.
pub fn umoci_layer(bench: &Bench, tree: &Path) -> Result<u64> {
    let layout = bench.fresh("umoci")?;
    let image = PathBuf::from(format!("{}:one", layout.display()));
    capture(&mut umoci_command(bench, &["init", "--layout"], &layout))?;
    capture(&mut umoci_command(bench, &["new", "--image"], &image))?;
    capture(&mut insert(bench, &image, tree))?;
    let index = json(&layout.join("index.json"))?;
    let digest = index["manifests"][0]["digest"].as_str().context("no manifest")?;
    let manifest = json(&blob(&layout, digest))?;
    let Some([layer]) = manifest["layers"].as_array().map(Vec::as_slice) else {
        bail!("{digest} has not one layer")
    };
    let size = layer["size"].as_u64().with_context(|| format!("{digest} tells no size"))?;
    bench.discard(&layout)?;
    Ok(size)
}

/// Where a layout has a blob.
pub fn blob(layout: &Path, digest: &str) -> PathBuf {
    layout.join("blobs").join(digest.replace(':', "/"))
}

fn json(path: &Path) -> Result<Value> {
    let text = fs::read(path).with_context(|| format!("reading {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("reading {}", path.display()))
}

fn umoci_command(bench: &Bench, args: &[&str], target: &Path) -> Command {
    let mut command = Command::new(&bench.rivals.umoci);
    command.args(args).arg(target);
    command
}

fn insert(bench: &Bench, image: &Path, tree: &Path) -> Command {
    let mut command = umoci_command(bench, &["insert", "--image"], image);
    if !is_root() {
        command.arg("--rootless");
    }
    command.arg(tree).arg("/");
    command
}

/// buildah's build of one arch, with its cache: a Containerfile that copies the tree. The first
/// call fills storage and cache.
pub struct Buildah<'a> {
    bench: &'a Bench,
    tree: PathBuf,
}

impl<'a> Buildah<'a> {
    /// Builds once.
    pub fn new(bench: &'a Bench, trees: &Path) -> Result<Self> {
        let storage = bench.fresh("buildah")?;
        fs::create_dir_all(&storage).with_context(|| format!("creating {}", storage.display()))?;
        let file = storage.join("Containerfile");
        fs::write(&file, "FROM scratch\nCOPY / /\n")
            .with_context(|| format!("writing {}", file.display()))?;
        let buildah = Self { bench, tree: trees.join(ARCHES[0]) };
        buildah.run()?;
        Ok(buildah)
    }

    /// One timed build.
    pub fn run(&self) -> Result<Usage> {
        let storage = self.bench.folder.join("buildah");
        let mut command = Command::new(&self.bench.rivals.buildah);
        command.arg("--root").arg(storage.join("root")).arg("--runroot").arg(storage.join("run"));
        command.args(["build", "--quiet", "--layers", "--tag", "reference"]);
        command.arg(format!("--platform=linux/{}", ARCHES[0]));
        command.arg("--file").arg(storage.join("Containerfile")).arg(&self.tree);
        self.bench.timed(&[command])
    }

    /// Removes its storage.
    pub fn finish(self) -> Result<()> {
        self.bench.fresh("buildah").map(drop)
    }
}

/// `ostree commit` of each arch's tree into a new repository of that mode, without fsync.
pub fn ostree(bench: &Bench, trees: &Path, mode: &str) -> Result<Usage> {
    let repo = bench.fresh("ostree")?;
    let mut commands = vec![ostree_init(bench, &repo, mode)];
    for arch in ARCHES {
        let mut commit = ostree_command(bench, "commit", &repo);
        commit.args(["--fsync=false", "--owner-uid=0", "--owner-gid=0", "--no-xattrs"]);
        commit.arg(format!("--branch=reference/{arch}"));
        commit.arg(format!("--tree=dir={}", trees.join(arch).display()));
        commands.push(commit);
    }
    bench.timed(&commands)
}

/// Makes an empty repository of that mode.
pub fn ostree_init(bench: &Bench, repo: &Path, mode: &str) -> Command {
    let mut init = ostree_command(bench, "init", repo);
    init.arg(format!("--mode={mode}"));
    init
}

/// `ostree VERB` of a repository.
pub fn ostree_command(bench: &Bench, verb: &str, repo: &Path) -> Command {
    let mut command = Command::new(&bench.rivals.ostree);
    command.arg(verb).arg(format!("--repo={}", repo.display()));
    command
}
