//! `treelay inspect`.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use indicatif::HumanBytes;
use serde::{Deserialize, Serialize};
use serde_json::json;
use treelay_recipes::Digest;

use crate::cli::args::InspectArgs;
use crate::cli::failure::Doing as _;
use crate::cli::places::images;
use crate::cli::plain::plain;
use crate::cli::{Failure, Result, Session, count};
use crate::dest::{Access, Dest};
use crate::image_store::attachments::{self, Attachment, Attachments};
use crate::image_store::signatures::Beside;
use crate::image_store::{Descriptor, ImageStore, MANIFEST_LIMIT, Parts};
use crate::ostree_repo::{CommitInfo, LayerInfo, Repository};
use treelay_recipes::rfc3339;

/// How many paths of a layer of a commit are shown; JSON has them all.
const PATHS: usize = 3;

pub async fn run(session: &Session, args: InspectArgs) -> Result<()> {
    let inspecting = || format!("inspecting {}", args.dest);
    if let Dest::Ostree { repo, reference } = args.dest.under(&session.around.current_dir) {
        let repository = Repository::open(&repo).doing(|| format!("opening {}", args.dest))?;
        let mut commits = BTreeMap::new();
        for (name, _) in repository.named(reference.as_deref()).doing(inspecting)? {
            let info = repository.inspect(&name).doing(inspecting)?;
            commits.insert(name, info);
        }
        if args.json {
            return session.print_json(&json!({ "mode": repository.mode(), "commits": commits }));
        }
        let text: String = commits.iter().map(|(name, info)| commit_text(name, info)).collect();
        return session.print(&text);
    }
    let registries = session.around.registries(args.registry.plain_http);
    let place = images(session, &registries, &args.dest, Access::Read)?;
    let found = place.resolve(&args.dest).await?;
    let image = Image::read(&*place.store, &found).await?;
    if args.json { session.print_json(&image) } else { session.print(&image.text()) }
}

#[derive(Debug, Serialize)]
struct Image {
    digest: Digest,
    media_type: String,
    images: Vec<PlatformImage>,
    /// What is attached to the index and to the images, but for signatures with a tag.
    attached: Vec<Attachment>,
    /// What is listed as attached and is not what it is said to be.
    problems: Vec<String>,
    /// What is listed in another way than it should be, which harms nobody.
    notes: Vec<String>,
    /// Layers that several platforms have are counted once.
    size: u64,
}

#[derive(Debug, Serialize)]
struct PlatformImage {
    platform: String,
    digest: Digest,
    created: Option<String>,
    /// What of the config says how it runs.
    config: serde_json::Value,
    layers: Vec<Layer>,
    /// Those that have a tag; bundles are among what is attached.
    signatures: usize,
    annotations: BTreeMap<String, String>,
}

#[derive(Debug, Serialize)]
struct Layer {
    digest: Digest,
    media_type: String,
    size: u64,
    diff_id: Option<String>,
    created_by: Option<String>,
    shared: bool,
}

#[derive(Debug, Deserialize)]
struct Config {
    architecture: String,
    os: String,
    variant: Option<String>,
    created: Option<String>,
    #[serde(default)]
    config: serde_json::Value,
    rootfs: RootFs,
    #[serde(default)]
    history: Vec<History>,
}

#[derive(Debug, Deserialize)]
struct RootFs {
    #[serde(default)]
    diff_ids: Vec<String>,
}

#[derive(Debug, Deserialize)]
struct History {
    created_by: Option<String>,
    #[serde(default)]
    empty_layer: bool,
}

#[derive(Deserialize)]
struct Annotated {
    #[serde(default)]
    annotations: Option<BTreeMap<String, String>>,
}

impl Image {
    async fn read(store: &dyn ImageStore, found: &Descriptor) -> Result<Self> {
        let root = store.manifest(&found.digest).await?;
        let children = match root.parts(&store.place())? {
            Parts::Index(children) => children,
            Parts::Image { .. } => vec![root.descriptor()],
        };
        let mut images = Vec::new();
        for child in &children {
            images.push(PlatformImage::read(store, child).await?);
        }
        let mut subjects = vec![found.digest];
        subjects.extend(children.iter().map(|child| child.digest));
        subjects.dedup();
        let Attachments { mut attached, problems, notes } =
            attachments::of(store, &subjects).await?;
        let is_signature = |one: &Attachment| one.by == Beside::Signatures.suffix();
        for image in &mut images {
            let of_image = attached.iter().filter(|one| one.subject == image.digest);
            image.signatures = of_image.filter(|one| is_signature(one)).count();
        }
        attached.retain(|one| !is_signature(one));
        let mut seen: BTreeMap<Digest, (usize, u64)> = BTreeMap::new();
        for layer in images.iter().flat_map(|image| &image.layers) {
            seen.entry(layer.digest).or_insert((0, layer.size)).0 += 1;
        }
        for layer in images.iter_mut().flat_map(|image| &mut image.layers) {
            layer.shared = seen.get(&layer.digest).is_some_and(|(times, _)| *times > 1);
        }
        Ok(Self {
            digest: found.digest,
            media_type: root.media_type().to_owned(),
            images,
            attached,
            problems,
            notes,
            size: seen.values().map(|(_, size)| size).sum(),
        })
    }

    fn text(&self) -> String {
        let mut text = format!("{} {}\n", self.digest, plain(&self.media_type));
        // Writing to a String cannot fail.
        let mut line = |words: String| {
            let _ = writeln!(text, "{}", plain(&words));
        };
        for image in &self.images {
            let signed = match image.signatures {
                0 => "not signed".to_owned(),
                1 => "1 signature".to_owned(),
                n => format!("{n} signatures"),
            };
            let created = image.created.as_deref().unwrap_or("no date");
            line(format!("{} {}, {created}, {signed}", image.platform, image.digest));
            for layer in &image.layers {
                let by = layer.created_by.as_deref().unwrap_or(&layer.media_type);
                let shared = if layer.shared { ", shared" } else { "" };
                let size = HumanBytes(layer.size).to_string();
                line(format!("  {} {size:>11}  {by}{shared}", layer.digest.short()));
            }
        }
        if let Some(image) = self.images.first() {
            for (key, value) in &image.annotations {
                line(format!("{key}: {value}"));
            }
        }
        line(format!("{} in all", HumanBytes(self.size)));
        for one in &self.attached {
            let kind = one.predicate_type.as_ref().or(one.artifact_type.as_ref());
            let kind = kind.map_or("something without a type", String::as_str);
            let subject = match self.images.iter().find(|image| image.digest == one.subject) {
                Some(image) => &image.platform,
                None => "the index",
            };
            let (digest, size) = (one.digest, HumanBytes(one.size));
            line(format!("attached to {subject}: {kind} ({}), {size}, {digest}", one.form()));
        }
        for problem in &self.problems {
            line(format!("warning: {problem}"));
        }
        for note in &self.notes {
            line(format!("note: {note}"));
        }
        text
    }
}

impl PlatformImage {
    async fn read(store: &dyn ImageStore, child: &Descriptor) -> Result<Self> {
        let manifest = store.manifest(&child.digest).await?;
        let Parts::Image { config, layers } = manifest.parts(&store.place())? else {
            return Err(Failure::message(format!("{} is an index inside an index", child.digest)));
        };
        let bytes = store.blob(&config.digest, config.size).await?.read_all(MANIFEST_LIMIT).await?;
        let config: Config = serde_json::from_slice(&bytes)
            .doing(|| format!("reading the config {}", config.digest))?;
        let annotated: Annotated = serde_json::from_slice(manifest.bytes())
            .doing(|| format!("reading the manifest {}", child.digest))?;
        let mut history = config.history.into_iter().filter(|step| !step.empty_layer);
        let mut diff_ids = config.rootfs.diff_ids.into_iter();
        let layers = layers
            .into_iter()
            .map(|layer| Layer {
                digest: layer.digest,
                media_type: layer.media_type,
                size: layer.size,
                diff_id: diff_ids.next(),
                created_by: history.next().and_then(|step| step.created_by),
                shared: false,
            })
            .collect();
        let variant = config.variant.map(|variant| format!("/{variant}")).unwrap_or_default();
        Ok(Self {
            platform: format!("{}/{}{variant}", config.os, config.architecture),
            digest: child.digest,
            created: config.created,
            config: config.config,
            layers,
            signatures: 0,
            annotations: annotated.annotations.unwrap_or_default(),
        })
    }
}

fn commit_text(name: &str, info: &CommitInfo) -> String {
    let mut text = format!("{} {}\n", plain(name), info.checksum.hex());
    let mut line = |words: String| {
        let _ = writeln!(text, "  {}", plain(&words));
    };
    line(format!("{}, {}", info.subject, rfc3339(info.time)));
    line(format!("{} files, {} directories, {}", info.files, info.dirs, HumanBytes(info.bytes)));
    line(format!("content {}", info.content_checksum.hex()));
    if let Some(parent) = &info.parent {
        line(format!("parent {}", parent.hex()));
    }
    for (key, value) in &info.metadata {
        line(format!("{key}: {value}"));
    }
    for layer in &info.layers {
        let paths = layer.said.paths.as_deref().unwrap_or_default();
        let mut told = format!("layer {}", layer.said.name);
        match layer.files.zip(layer.bytes) {
            Some((files, bytes)) => told += &format!(": {}", sum(files, bytes)),
            None => told += ", of too many paths to say which",
        }
        let shown: Vec<&str> = paths.iter().take(PATHS).map(String::as_str).collect();
        if !shown.is_empty() {
            told += &format!("; {}", shown.join(" "));
        }
        if paths.len() > PATHS {
            told += &format!(" and {} more", paths.len() - PATHS);
        }
        line(told);
    }
    let all = |of: fn(&LayerInfo) -> Option<u64>| {
        info.layers.iter().try_fold(0_u64, |sum, layer| Some(sum.saturating_add(of(layer)?)))
    };
    let (files, bytes) = (all(|layer| layer.files), all(|layer| layer.bytes));
    if let Some((files, bytes)) =
        files.zip(bytes).filter(|_| info.base.is_some() && !info.layers.is_empty())
    {
        let (files, bytes) = (info.files.saturating_sub(files), info.bytes.saturating_sub(bytes));
        line(format!("of the base: {}", sum(files, bytes)));
    }
    for (scheme, count) in &info.signatures {
        line(format!("signed: {count} of {scheme}"));
    }
    if info.signatures.is_empty() {
        line("not signed".to_owned());
    }
    text
}

fn sum(files: u64, bytes: u64) -> String {
    let files = count(usize::try_from(files).unwrap_or(usize::MAX), "file");
    format!("{files}, {}", HumanBytes(bytes))
}
