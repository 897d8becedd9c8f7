//! `treelay bundle`: inputs on their way to where there is no network.

use std::fmt::Write as _;
use std::fs::File;
use std::io::BufWriter;
use std::path::{Path, PathBuf};

use indicatif::HumanBytes;
use serde_json::json;

use crate::airgap::{self, Load, Manifest};
use crate::cli::bundle_args::BundleCommand;
use crate::cli::draft::Draft;
use crate::cli::failure::Doing as _;
use crate::cli::workspace::{LockPolicy, Workspace, write_atomically};
use crate::cli::{Failure, Result, Session, count};
use crate::exec::Sandbox;

pub async fn run(session: &Session, command: BundleCommand) -> Result<()> {
    match command {
        BundleCommand::Export { recipes, file, offline, json } => {
            export(session, &recipes, &file, offline, json).await
        }
        BundleCommand::Import { file, recipes, json } => {
            import(session, &file, recipes.as_deref(), json)
        }
        BundleCommand::List { file, json } => {
            let manifest = airgap::list(open(session, &file)?);
            show(session, &file, &manifest.doing(|| reading(&file))?, json, "listed, not verified")
        }
        BundleCommand::Verify { file, json } => {
            let manifest = airgap::verify(open(session, &file)?);
            show(session, &file, &manifest.doing(|| reading(&file))?, json, "all as listed")
        }
    }
}

async fn export(
    session: &Session,
    recipes: &[PathBuf],
    file: &Path,
    offline: bool,
    json: bool,
) -> Result<()> {
    let to = session.around.current_dir.join(file);
    // Where one was left out, the last recipe is taken for the file to write.
    if file.extension().is_some_and(|kind| kind == "yaml" || kind == "yml") {
        return Err(Failure::usage_message(format!(
            "{} is the last argument, which is the file to write, and looks like a recipe",
            file.display()
        )));
    }
    let (mut loads, mut workspaces) = (Vec::new(), Vec::new());
    for recipe in recipes {
        let mut workspace = Workspace::open(session, recipe, offline, Sandbox::Auto)?;
        let (lock, _) = workspace.lock(&LockPolicy::Locked, &session.reporter).await?;
        let workshop = workspace.workshop(&session.reporter);
        let inputs = workshop.portable(&workspace.expanded, &lock, &workspace.sources).await?;
        workspace.tell_mishaps(&*session.reporter);
        let name = recipe.file_name().map(|name| name.to_string_lossy().into_owned());
        let lock_file = &workspace.lock_file;
        let lock = std::fs::read_to_string(lock_file)
            .doing(|| format!("reading the lock {}", lock_file.display()))?;
        let (file, recipe) = (name.unwrap_or_default(), workspace.text.clone());
        loads.push(Load { file, recipe, lock, inputs });
        // What it uses of the store stays until the bundle is written.
        workspaces.push(workspace);
    }
    let Some(workspace) = workspaces.first() else {
        return Err(Failure::usage_message("which recipes?"));
    };

    let writing = || format!("writing {}", file.display());
    let folder = to.parent().unwrap_or(Path::new("."));
    let mut draft = Draft::begin(folder).doing(writing)?;
    let mut out = BufWriter::with_capacity(256 << 10, draft.file());
    let written = airgap::write(&mut out, &loads, &workspace.store).doing(writing)?;
    out.into_inner().map_err(|error| error.into_error()).doing(writing)?;
    draft.keep(&to).doing(writing)?;

    if json {
        let mut object = summary(file, &written.manifest);
        (object["size"], object["sha256"]) = (json!(written.size), json!(written.digest));
        return session.print_json(&object);
    }
    let mut text = text(file, &written.manifest);
    let size = HumanBytes(written.size);
    // Writing to a String cannot fail.
    let _ = writeln!(text, "  {size} as written, {}", written.digest);
    session.print(&text)
}

fn import(session: &Session, file: &Path, recipes: Option<&Path>, json: bool) -> Result<()> {
    let store = session.store()?;
    let bundle = open(session, file)?;
    let imported = airgap::import(bundle, &store, session.jobs).doing(|| reading(file))?;
    let root = store.root().display().to_string();
    let mut written = Vec::new();
    if let Some(dir) = recipes {
        let dir = session.around.current_dir.join(dir);
        std::fs::create_dir_all(&dir).doing(|| format!("creating {}", dir.display()))?;
        let mut files = Vec::new();
        for (carried, (recipe, lock)) in imported.manifest.recipes.iter().zip(&imported.recipes) {
            // The name was checked when the manifest was read: it has no slash.
            let place = dir.join(&carried.file);
            files.extend([(place.with_extension("lock"), lock), (place, recipe)]);
        }
        put_all(&files)?;
        written.extend(files.iter().map(|(place, _)| place.display().to_string()));
    }
    if json {
        let mut object = summary(file, &imported.manifest);
        (object["store"], object["written"]) = (json!(root), json!(written));
        return session.print_json(&object);
    }
    let mut text = text(file, &imported.manifest);
    let _ = writeln!(text, "  verified, and in the store {root}");
    for place in written {
        let _ = writeln!(text, "  written: {place}");
    }
    session.print(&text)
}

/// Writes files where none are, or the same; where others are, none of them.
fn put_all(files: &[(PathBuf, &String)]) -> Result<()> {
    let writing = |place: &Path| format!("writing {}", place.display());
    let (mut missing, mut others) = (Vec::new(), Vec::new());
    for (place, text) in files {
        match std::fs::read(place) {
            Ok(there) if there == text.as_bytes() => {}
            Ok(_) => others.push(format!("{} is there, and differs", place.display())),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
                missing.push((place, text));
            }
            Err(error) => return Err(error).doing(|| writing(place)),
        }
    }
    if !others.is_empty() {
        return Err(Failure::message(others.join("\n")).hinted(
            "the bundle is in the store, and no recipe or lock was written; move the file away to \
             have the one of the bundle",
        ));
    }
    for (place, text) in missing {
        write_atomically(place, text.as_bytes()).doing(|| writing(place))?;
    }
    Ok(())
}

fn open(session: &Session, file: &Path) -> Result<File> {
    File::open(session.around.current_dir.join(file)).doing(|| reading(file))
}

fn reading(file: &Path) -> String {
    format!("reading {}", file.display())
}

fn show(session: &Session, file: &Path, manifest: &Manifest, json: bool, how: &str) -> Result<()> {
    if json {
        let mut object = summary(file, manifest);
        object["members"] = json!(manifest.members);
        return session.print_json(&object);
    }
    let mut text = text(file, manifest);
    let _ = writeln!(text, "  {how}");
    session.print(&text)
}

fn summary(file: &Path, manifest: &Manifest) -> serde_json::Value {
    json!({
        "bundle": file,
        "recipes": manifest.recipes,
        "images": manifest.images,
        "commits": manifest.commits,
        "files": manifest.members.len(),
        "bytes": manifest.total(),
    })
}

fn text(file: &Path, manifest: &Manifest) -> String {
    let mut text = String::new();
    let files = count(manifest.members.len(), "file");
    let _ = writeln!(text, "{}: {files}, {}", file.display(), HumanBytes(manifest.total()));
    for recipe in &manifest.recipes {
        let _ = writeln!(text, "  recipe {}, lock {}", recipe.file, recipe.lock);
        for beside in &recipe.beside {
            let _ = writeln!(text, "    not in it, but beside the recipe: {beside}");
        }
    }
    for image in &manifest.images {
        let _ = writeln!(text, "  base image {image}");
    }
    for commit in &manifest.commits {
        let _ = writeln!(text, "  base commit {} of {}", commit.commit.hex(), commit.url);
    }
    text
}
