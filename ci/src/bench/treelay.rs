//! treelay as its users run it.

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;

use super::Bench;
use super::usage::Usage;

/// treelay with one recipe, in a folder with its lock, its store and its destinations.
pub struct Treelay<'a> {
    bench: &'a Bench,
    folder: PathBuf,
}

impl<'a> Treelay<'a> {
    /// A folder with nothing but the recipe.
    pub fn new(bench: &'a Bench, name: &str, recipe: &str) -> Result<Self> {
        let folder = bench.fresh(&format!("treelay-{name}"))?;
        fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
        let path = folder.join("recipe.yaml");
        fs::write(&path, recipe).with_context(|| format!("writing {}", path.display()))?;
        Ok(Self { bench, folder })
    }

    /// Forgets lock, store and destinations: the next build does everything.
    pub fn forget(&self) -> Result<()> {
        for name in ["recipe.lock", "store", "image", "repo"] {
            self.bench.discard(&self.folder.join(name))?;
        }
        Ok(())
    }

    /// Removes everything, where it takes much space.
    pub fn finish(self) -> Result<()> {
        self.bench.discard(&self.folder)
    }

    /// `treelay build`, to which `args` add the destinations and whatever else.
    pub fn build(&self, args: &[&str]) -> Command {
        let mut command = self.command("build");
        command.arg("recipe.yaml").args(args);
        command
    }

    /// Another of its commands, in its folder.
    pub fn command(&self, name: &str) -> Command {
        let mut command = self.bare();
        command.args([name, "--store", "store", "--json", "--quiet"]);
        command
    }

    /// The program in its folder, without arguments.
    pub fn bare(&self) -> Command {
        let mut command = Command::new(&self.bench.program);
        command.current_dir(&self.folder);
        command
    }

    /// One timed build from what is there.
    pub fn run(&self, args: &[&str]) -> Result<Usage> {
        self.bench.timed(&[self.build(args)])
    }

    /// One timed build from nothing.
    pub fn cold(&self, args: &[&str]) -> Result<Usage> {
        self.forget()?;
        self.run(args)
    }

    /// A path beside the recipe.
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// The layout that `oci:image` names.
    pub fn image(&self) -> PathBuf {
        self.path("image")
    }

    /// The repository that `ostree:repo` names.
    pub fn repo(&self) -> PathBuf {
        self.path("repo")
    }
}

/// Digest and size of every layer that a build's JSON tells of, each once.
pub fn layers(stdout: &str) -> Result<Vec<(String, u64)>> {
    let said: Value =
        serde_json::from_str(stdout).context("reading what treelay build --json printed")?;
    let images = said["images"].as_array().into_iter().flatten();
    let layers = images.flat_map(|image| image["layers"].as_array().into_iter().flatten());
    let mut all = layers
        .map(|layer| Some((layer["digest"].as_str()?.to_owned(), layer["size"].as_u64()?)))
        .collect::<Option<Vec<_>>>()
        .context("finding the layers in what treelay build --json printed")?;
    all.sort();
    all.dedup();
    Ok(all)
}

#[cfg(test)]
mod tests {
    use super::layers;

    #[test]
    fn shared_layers_count_once() {
        let said = r#"{"images": [
            {"layers": [{"digest": "sha256:a", "size": 5}, {"digest": "sha256:b", "size": 1}]},
            {"layers": [{"digest": "sha256:a", "size": 5}]}]}"#;
        assert_eq!(layers(said).unwrap(), [("sha256:a".into(), 5), ("sha256:b".into(), 1)]);
        assert!(layers(r#"{"images": [{"layers": [{"digest": "sha256:a"}]}]}"#).is_err());
    }
}
