//! The documents of what a build made, each made once and remembered in the store.
//!
//! An unchanged build finds them by digests that it knows, and reads no file for them. Where
//! something changed, files of the layers are read once more: programs for what they say of their
//! modules, and for SPDX all files for their SHA-1, which is remembered with their layer's tree.

use std::cell::OnceCell;
use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Read};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;
use sha1::{Digest as _, Sha1};
use treelay_layers::{ContentSink as _, Contents, Tree};
use treelay_recipes::{Arch, Digest, HashingReader, Lock};

use super::inventory::{self, Inventory, Looked};
use super::provenance::{self, Facts, MadeLayer, Product};
use super::sbom::{Described, FORM, Form};
use super::spdx::Sha1s;
use super::{PredicateType, cyclonedx, inputs, spdx};
use crate::exec::{BuiltLayer, ExecError, Layers, Part, Workshop};
use crate::image_store::Descriptor;
use crate::ostree_repo::{OstreeError, etc_to_usr_etc};
use crate::output::BuiltImage;
use crate::output::image::canonical;
use crate::output::ostree::CommitArtifact;
use crate::parallel::in_parallel;
use crate::plan::Plan;
use crate::sources::{Everything, Sources};
use crate::store::{Store, StoreSink};

/// A document that a build makes by itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DocumentKind {
    /// SLSA provenance.
    Provenance,
    /// SPDX.
    Spdx,
    /// CycloneDX.
    Cyclonedx,
}

impl DocumentKind {
    /// What statements call it.
    pub fn predicate_type(self) -> PredicateType {
        match self {
            Self::Provenance => PredicateType::provenance(),
            Self::Spdx => PredicateType::spdx(),
            Self::Cyclonedx => PredicateType::cyclonedx(),
        }
    }
}

/// Why a document could not be made.
#[derive(Debug, thiserror::Error)]
pub enum DocumentError {
    /// The layers, or the base.
    #[error(transparent)]
    Exec(#[from] ExecError),
    /// The tree of a commit.
    #[error(transparent)]
    Ostree(#[from] OstreeError),
    /// A file that is listed could not be read.
    #[error("reading the files of the image for {arch}, to list what is in it")]
    Reading {
        /// The arch.
        arch: Arch,
        /// Why not.
        source: io::Error,
    },
    /// The store.
    #[error("keeping a document in the store")]
    Keeping(#[source] io::Error),
}

/// A document in the store, and what it is about.
#[derive(Debug, Clone)]
pub struct Document {
    /// Its kind.
    pub kind: PredicateType,
    /// The manifest, index or commit that it is about.
    pub subject: Digest,
    /// The document, by its digest: an object of the store.
    pub content: Digest,
}

/// What is remembered of a document.
#[derive(Serialize, Deserialize)]
struct Kept {
    content: Digest,
}

const KEPT: &str = "document";
const SHA1: &str = "file-sha1";

/// Makes documents of one build.
pub struct Documents<'a> {
    /// Reads bases, and remembers.
    pub workshop: &'a Workshop<'a>,
    /// Contents of local sources.
    pub sources: &'a Sources,
    /// The plan.
    pub plan: &'a Plan,
    /// The lock.
    pub lock: &'a Lock,
    /// The name of the recipe's file, without its folder.
    pub file_name: &'a str,
    /// The recipe as it is written.
    pub text: &'a str,
    /// The URI of the platform that the build runs on.
    pub builder: &'a str,
}

impl Documents<'_> {
    /// The documents of an image: provenance of its index and every manifest, the others of every
    /// manifest. `placed` are its layers as they lie on its base.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub fn of_image(
        &self,
        kinds: &[DocumentKind],
        image: &BuiltImage,
        placed: &Layers<'_>,
    ) -> Result<Vec<Document>, DocumentError> {
        let mut all = Vec::new();
        let manifests = image.images.iter().map(|one| one.manifest.descriptor());
        let of_all: Vec<Descriptor> =
            [image.index.descriptor()].into_iter().chain(manifests).collect();
        if kinds.contains(&DocumentKind::Provenance) {
            let media_type = self.plan.codec().media_type();
            let made = image.images.iter().flat_map(|one| {
                let layers = image.layers.get(&one.arch).map(Vec::as_slice).unwrap_or_default();
                layers.iter().map(|layer| MadeLayer {
                    arch: one.arch,
                    name: layer.name.clone(),
                    kind: layer.kind,
                    part: layer.part,
                    digest: layer.blob.digest,
                    blob: Some((layer.blob.diff_id, media_type)),
                })
            });
            let of = image.index.digest();
            let content = self.provenance(&of, Product::Image, || made.collect())?;
            let kind = PredicateType::provenance();
            all.extend(of_all.iter().map(|subject| Document {
                kind: kind.clone(),
                subject: subject.digest,
                content,
            }));
        }
        for one in &image.images {
            let base = image.bases.get(&one.arch);
            let subject = one.manifest.digest();
            let of = Described {
                base: base.map(|base| (base.name.clone(), base.manifest)),
                ..self.described(one.arch, Form::Image(subject))
            };
            let inventory = OnceCell::new();
            let layers = placed.by_arch.get(&one.arch).map(Vec::as_slice).unwrap_or_default();
            let look = || {
                let lower = base.map(|base| self.workshop.base_tree(base)).transpose()?;
                if let (Some(base), Some(lower)) = (base, &lower) {
                    let wanted = inventory::wanted_of_base(lower);
                    self.workshop.base_contents(base, lower, &wanted)?;
                }
                let trees = self.trees(layers, placed, |tree| Ok(tree.clone()))?;
                self.look(one.arch, lower.as_deref(), &trees)
            };
            for kind in kinds.iter().filter(|kind| **kind != DocumentKind::Provenance) {
                all.push(self.sbom(*kind, &of, &inventory, &look, layers, placed)?);
            }
        }
        Ok(all)
    }

    /// The documents of commits, each of every commit. `layers` are the recipe's.
    ///
    /// # Errors
    /// [`DocumentError`].
    pub fn of_commits(
        &self,
        kinds: &[DocumentKind],
        commits: &[CommitArtifact],
        layers: &Layers<'_>,
    ) -> Result<Vec<Document>, DocumentError> {
        let mut all = Vec::new();
        for CommitArtifact { arch, base, outcome } in commits {
            let subject = outcome.checksum;
            if kinds.contains(&DocumentKind::Provenance) {
                let made = || {
                    let of_arch = |arch: &Arch| {
                        let arch = *arch;
                        layers.whole(arch).iter().map(move |layer| MadeLayer {
                            arch,
                            name: layer.name.clone(),
                            kind: layer.kind,
                            part: layer.part,
                            digest: layer.tree,
                            blob: None,
                        })
                    };
                    self.plan.arches.iter().flat_map(of_arch).collect()
                };
                // The layers follow from the plan, whichever commit they become.
                let of = Digest::of("commits");
                let content = self.provenance(&of, Product::Commits, made)?;
                all.push(Document { kind: PredicateType::provenance(), subject, content });
            }
            let planned = self.plan.commits.iter().find(|planned| planned.arch == *arch);
            let named = planned.and_then(|planned| planned.base.as_ref());
            let of = Described {
                base: named.zip(*base).map(|(named, base)| (named.from.clone(), base)),
                ..self.described(*arch, Form::Commit(subject))
            };
            let inventory = OnceCell::new();
            let whole = layers.whole(*arch);
            let look = || {
                // What a base is laid under gets its /var from tmpfiles.d(5).
                let not_var = |path: &str| base.is_none() || !path.starts_with("var/");
                let trees = self.trees(whole, layers, |tree| {
                    let tree = etc_to_usr_etc(tree)?;
                    Ok(tree.filter(|entry| not_var(entry.path.as_str())))
                })?;
                let found = self.look(*arch, None, &trees)?;
                // The commit names them by checksum itself, and hosts load what is beside it whole.
                Ok(Inventory { files: Vec::new(), ..found })
            };
            for kind in kinds.iter().filter(|kind| **kind != DocumentKind::Provenance) {
                all.push(self.sbom(*kind, &of, &inventory, &look, whole, layers)?);
            }
        }
        Ok(all)
    }

    fn described(&self, arch: Arch, form: Form) -> Described {
        let Plan { name, version, epoch, .. } = self.plan;
        let (name, version) = (name.clone(), version.clone());
        Described { name, version, arch, form, epoch: *epoch, base: None }
    }

    fn provenance(
        &self,
        of: &Digest,
        product: Product,
        made: impl FnOnce() -> Vec<MadeLayer>,
    ) -> Result<Digest, DocumentError> {
        let Self { plan, lock, file_name, text, builder, .. } = self;
        let more = format!("{file_name}\n{builder}\n{}", Digest::of(text));
        self.remembered(DocumentKind::Provenance, of, &more, || {
            let facts = Facts { plan, lock, file_name, text, builder };
            Ok(provenance::predicate(&facts, product, &made()))
        })
    }

    fn sbom(
        &self,
        kind: DocumentKind,
        of: &Described,
        inventory: &OnceCell<Inventory>,
        look: &dyn Fn() -> Result<Inventory, DocumentError>,
        layers: &[BuiltLayer],
        all: &Layers<'_>,
    ) -> Result<Document, DocumentError> {
        let content = self.remembered(kind, of.digest(), FORM, || {
            let inventory = match inventory.get() {
                Some(inventory) => inventory,
                None => {
                    let found = look()?;
                    inventory.get_or_init(|| found)
                }
            };
            Ok(match kind {
                DocumentKind::Spdx => {
                    let mut sums = Sha1s::new();
                    for layer in layers.iter().filter(|_| !inventory.files.is_empty()) {
                        let tree = all.tree(&layer.tree)?;
                        self.sha1(&layer.tree, &tree, of.arch, &mut sums)?;
                    }
                    spdx::document(of, inventory, &sums, self.plan.treelay)
                }
                _ => cyclonedx::document(of, inventory, self.plan.treelay),
            })
        })?;
        Ok(Document { kind: kind.predicate_type(), subject: *of.digest(), content })
    }

    /// A document by what it is made from.
    fn remembered(
        &self,
        kind: DocumentKind,
        of: &Digest,
        more: &str,
        make: impl FnOnce() -> Result<Value, DocumentError>,
    ) -> Result<Digest, DocumentError> {
        let Self { plan, lock, .. } = self;
        let (plan, lock) = (plan.digest(), Digest::of(lock.to_text()));
        let key = Digest::of(format!("document-1 {kind:?} {of} {plan} {lock} {more}"));
        let store = self.workshop.store;
        if let Some(Kept { content }) = store.product(KEPT, &key)
            && store.object(&content).is_some()
        {
            return Ok(content);
        }
        let value = make()?;
        let bytes = canonical(&value).map_err(|error| DocumentError::Keeping(error.into()))?;
        let content = keep(store, &bytes).map_err(DocumentError::Keeping)?;
        store.put_product(KEPT, &key, &Kept { content }).map_err(DocumentError::Keeping)?;
        Ok(content)
    }

    fn trees(
        &self,
        layers: &[BuiltLayer],
        all: &Layers<'_>,
        change: impl Fn(&Tree) -> Result<Tree, OstreeError>,
    ) -> Result<Vec<(String, Tree)>, DocumentError> {
        let mut trees = Vec::new();
        for layer in layers {
            let name = match layer.part {
                Part::Whole => layer.name.clone(),
                Part::Shared => format!("{} (shared by all arches)", layer.name),
                Part::Own => format!("{} (this arch's own)", layer.name),
            };
            trees.push((name, change(&*all.tree(&layer.tree)?)?));
        }
        Ok(trees)
    }

    fn look(
        &self,
        arch: Arch,
        base: Option<&Tree>,
        layers: &[(String, Tree)],
    ) -> Result<Inventory, DocumentError> {
        let contents = Everything { sources: self.sources, store: self.workshop.store };
        let layers: Vec<(String, &Tree)> =
            layers.iter().map(|(name, tree)| (name.clone(), tree)).collect();
        let what = Looked { base, layers: &layers, contents: &contents };
        inventory::look(&what, inputs::packages(self.plan, self.lock, arch))
            .map_err(|source| DocumentError::Reading { arch, source })
    }

    /// Adds the SHA-1 of every file of a layer.
    fn sha1(
        &self,
        digest: &Digest,
        tree: &Arc<Tree>,
        arch: Arch,
        sums: &mut Sha1s,
    ) -> Result<(), DocumentError> {
        let files: BTreeSet<(Digest, u64)> = tree
            .entries()
            .iter()
            .filter_map(|entry| entry.file())
            .map(|(digest, size)| (*digest, size))
            .collect();
        let store = self.workshop.store;
        let known: Option<BTreeMap<Digest, String>> = store.product(SHA1, digest);
        if let Some(known) = known.filter(|it| files.iter().all(|(file, _)| it.contains_key(file)))
        {
            sums.extend(known);
            return Ok(());
        }
        let contents = Everything { sources: self.sources, store };
        let files: Vec<_> = files.into_iter().collect();
        let read = in_parallel(self.workshop.jobs, &files, |(digest, size)| {
            sha1_of(&contents, digest, *size).map(|sum| (*digest, sum))
        });
        let found = read.into_iter().collect::<io::Result<BTreeMap<_, _>>>();
        let found = found.map_err(|source| DocumentError::Reading { arch, source })?;
        store.put_product(SHA1, digest, &found).map_err(DocumentError::Keeping)?;
        sums.extend(found);
        Ok(())
    }
}

/// The SHA-1 of a content, which must be what its digest says.
fn sha1_of(contents: &dyn Contents, digest: &Digest, size: u64) -> io::Result<String> {
    let mut reader = HashingReader::new(contents.open(digest, size)?);
    let mut sum = Sha1::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        match reader.read(&mut buffer)? {
            0 => break,
            n => sum.update(&buffer[..n]),
        }
    }
    match reader.finish() {
        (found, _) if found == *digest => Ok(hex::encode(sum.finalize())),
        (found, _) => {
            let text = format!("a file that was {digest} is {found} now");
            Err(io::Error::new(io::ErrorKind::InvalidData, text))
        }
    }
}

/// Keeps a document as an object of the store, for a [`Document`] to name.
///
/// # Errors
/// Whatever kept it from being written.
pub fn keep(store: &Store, bytes: &[u8]) -> io::Result<Digest> {
    let mut bytes = bytes;
    StoreSink::new(store).put(&mut bytes).map(|(digest, _)| digest)
}

/// An object's bytes, which are what its digest says.
pub(super) fn read(store: &Store, digest: &Digest) -> io::Result<Vec<u8>> {
    let path = store.object(digest).ok_or(io::ErrorKind::NotFound)?;
    let bytes = std::fs::read(path)?;
    match Digest::of(&bytes) == *digest {
        true => Ok(bytes),
        false => {
            // Removed, so that the next build makes it anew.
            store.check_object(digest);
            Err(io::Error::new(io::ErrorKind::InvalidData, "a document was damaged in the store"))
        }
    }
}
