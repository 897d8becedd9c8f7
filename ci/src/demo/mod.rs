//! `cargo xtask demo`: the whole way once, with the real Go, and what to try next.

mod measure;
mod report;

use std::fs;
use std::path::PathBuf;
use std::process::Command;

use anyhow::{Context, Result};
use serde_json::Value;
use treelay_ci::Tier;
use treelay_ci::tools::workspace;

use crate::run::{line, show};
use crate::{setup, test};
use measure::{Measured, measure};

/// Where the demo works, relative to the project, so that the commands it prints can be typed.
const FOLDER: &str = "target/demo";

/// The password of the demo's throw-away key, which lives in [`FOLDER`] and signs nothing else.
const PASSWORD: &str = "demo";

/// The image's name in podman's storage, and so the one that the signatures carry.
const NAME: &str = "localhost/go-sdk";

/// Runs the demo.
pub fn run() -> Result<()> {
    // The consumers of the last lines, too: podman, skopeo and ostree.
    setup::packages(Tier::Real)?;
    test::build_treelay()?;
    let store_kept = fresh_folder()?;

    eprintln!("\n== key, lock, build, verify (everything is in {FOLDER})");
    show(shown(treelay()?.args(["key", "generate", "--out", &in_demo("demo")])))?;
    let recipe = in_demo("go-sdk.yaml");
    let lock = measure(shown(treelay()?.args(["lock", &recipe])))?;
    let (image, repo) = (in_demo("image"), in_demo("repo"));
    let build = || -> Result<Measured> {
        let mut command = treelay()?;
        command.args(["build", &recipe, "--json"]);
        command.args(["-o", &format!("oci:{image}"), "-o", &format!("ostree:{repo}")]);
        command.args(["--key", &in_demo("demo.key"), "--sign-as", NAME]);
        measure(shown(&mut command))
    };
    let first = build()?;
    let again = build()?;
    let made: Value =
        serde_json::from_str(&first.stdout).context("reading what treelay build --json printed")?;

    let tag = report::tag_of(&workspace().join(&image), &made)?;
    let mut destinations = vec![format!("oci:{image}:{tag}")];
    destinations.extend(report::refs(&made).map(|name| format!("ostree:{repo}:{name}")));
    for destination in &destinations {
        let key = in_demo("demo.pub");
        show(shown(treelay()?.args(["verify", destination, "--key", &key])))?;
    }
    println!();
    let name = if store_kept { "build, its store kept from before" } else { "build" };
    report::summary(&made, &[("lock", &lock), (name, &first), ("build again", &again)])?;
    report::next(&made, &tag)
}

fn in_demo(name: &str) -> String {
    format!("{FOLDER}/{name}")
}

/// Empties the demo's folder, but for the store: what was fetched once need not come again.
/// True if there is a store.
fn fresh_folder() -> Result<bool> {
    let folder = workspace().join(FOLDER);
    fs::create_dir_all(&folder).with_context(|| format!("creating {}", folder.display()))?;
    for entry in fs::read_dir(&folder).with_context(|| format!("reading {}", folder.display()))? {
        let entry = entry.with_context(|| format!("reading {}", folder.display()))?;
        let path = entry.path();
        if entry.file_name() == "store" {
            continue;
        }
        let removed = if entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            fs::remove_dir_all(&path)
        } else {
            fs::remove_file(&path)
        };
        removed.with_context(|| format!("removing {}", path.display()))?;
    }
    let recipe = workspace().join("recipes/catalog/go-sdk.yaml");
    let copy = folder.join("go-sdk.yaml");
    fs::copy(&recipe, &copy).with_context(|| format!("copying {}", recipe.display()))?;
    Ok(folder.join("store").exists())
}

/// treelay as the build before has left it, beside this very program.
fn treelay() -> Result<Command> {
    let me = std::env::current_exe().context("finding the running program")?;
    let mut command = Command::new(me.with_file_name("treelay"));
    command
        .current_dir(workspace())
        .env("TREELAY_STORE", workspace().join(FOLDER).join("store"))
        .env("COSIGN_PASSWORD", PASSWORD);
    Ok(command)
}

/// Prints the command before it runs.
fn shown(command: &mut Command) -> &mut Command {
    let full = line(command);
    let program = PathBuf::from(command.get_program());
    eprintln!("$ treelay{}", full.strip_prefix(&*program.to_string_lossy()).unwrap_or(&full));
    command
}
