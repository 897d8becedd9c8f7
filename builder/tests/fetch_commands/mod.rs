//! The rules as users meet them: the program itself, what its files say, and servers that misbehave.

mod failures;
mod names;
mod peer;
mod proxies;
mod secrets;
mod settings;

use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use serde_json::Value;
use tempfile::TempDir;
use tokio::process::Command;
use treelay_recipes::Digest;

/// A home, a store and a folder with a recipe, which is the current one.
pub struct World(TempDir);

impl World {
    pub fn new() -> Self {
        let world = Self(tempfile::tempdir().unwrap());
        for folder in ["work", "tmp", "home/.config/treelay"] {
            std::fs::create_dir_all(world.0.path().join(folder)).unwrap();
        }
        world
    }

    pub fn dir(&self) -> &Path {
        self.0.path()
    }

    pub fn path(&self, relative: &str) -> PathBuf {
        self.0.path().join("work").join(relative)
    }

    pub fn write(&self, relative: &str, contents: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(relative);
        std::fs::write(&path, contents).unwrap();
        path
    }

    /// The user's treelay.toml.
    pub fn settings(&self, text: &str) {
        self.write_setting("treelay.toml", text);
    }

    /// A file beside it.
    pub fn write_setting(&self, name: &str, contents: impl AsRef<[u8]>) {
        let path = self.dir().join("home/.config/treelay").join(name);
        std::fs::write(path, contents).unwrap();
    }

    /// `tool.yaml`, whose one input is `archive`, at these addresses.
    pub fn recipe(&self, urls: &[String], archive: &[u8]) {
        let urls = serde_json::to_string(urls).unwrap();
        let sha256 = Digest::of(archive).hex();
        self.write(
            "tool.yaml",
            format!(
                "name: tool\nversion: \"1\"\narch: [amd64]\nepoch: 1\n\
                 inputs:\n  tool: {{archive: {{urls: {urls}, sha256: {sha256}}}}}\n\
                 layers:\n- {{name: tool, archive: {{input: tool, prefix: /opt}}}}\n"
            ),
        );
    }

    /// treelay, in a sealed environment.
    pub fn treelay(&self, args: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_treelay"));
        command.args(args);
        self.seal(command)
    }

    pub fn seal(&self, mut command: Command) -> Command {
        let at = |part: &str| self.dir().join(part);
        command
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", at("home"))
            .env("TMPDIR", at("tmp"))
            .env("TREELAY_STORE", at("store"))
            .env("PIP_CONFIG_FILE", "/dev/null")
            .current_dir(at("work"))
            .stdin(Stdio::null())
            .kill_on_drop(true);
        command
    }

    /// Locks `tool.yaml` anew, with nothing at hand.
    pub async fn lock(&self) -> Said {
        let _ = std::fs::remove_dir_all(self.dir().join("store"));
        let _ = std::fs::remove_file(self.path("tool.lock"));
        said(self.treelay(&["lock", "tool.yaml", "--json"])).await
    }
}

/// What a run said.
pub struct Said(pub Output);

pub async fn said(mut command: Command) -> Said {
    Said(command.output().await.unwrap())
}

impl Said {
    pub fn out(&self) -> String {
        String::from_utf8(self.0.stdout.clone()).unwrap()
    }

    pub fn err(&self) -> String {
        String::from_utf8(self.0.stderr.clone()).unwrap()
    }

    #[track_caller]
    pub fn ok(self) -> Self {
        assert!(self.0.status.success(), "{}{}", self.out(), self.err());
        self
    }

    #[track_caller]
    pub fn fails(self) -> Self {
        assert!(!self.0.status.success(), "{}{}", self.out(), self.err());
        self
    }

    /// The one thing that was fetched.
    #[track_caller]
    pub fn served(&self) -> Value {
        let json: Value = serde_json::from_slice(&self.0.stdout).unwrap();
        json["served"][0].clone()
    }
}

/// An archive with a file of so many bytes.
pub fn archive(len: usize) -> Vec<u8> {
    let mut tar = tar::Builder::new(Vec::new());
    let content = super::body(len);
    let mut header = tar::Header::new_gnu();
    header.set_size(content.len() as u64);
    header.set_mode(0o755);
    tar.append_data(&mut header, "tool/run", &content[..]).unwrap();
    tar.into_inner().unwrap()
}
