//! Base commits out of container images: one that is encapsulated in an image comes out of it as it is;
//! the root of an ordinary image becomes a commit.

use std::path::PathBuf;

use treelay_layers::{Entry, Node};
use treelay_recipes::lock::{LockedBase, LockedTree};
use treelay_recipes::recipe::OstreeBase;
use treelay_recipes::{Arch, Digest};

use super::super::{ExecError, Workshop};
use super::commit::{CommitBaseError, checked};
use super::time::seconds;
use super::{BaseImage, nonsense};
use crate::ostree_repo::{
    CommitSpec, Labels as _, Over, Policy, Repository, etc_to_usr_etc, with_labels,
};
use crate::store::ObjectIndex;

/// The ref of the commit of an ordinary image, in a repository of its own. Another name for every way
/// of making it.
const REF: &str = "image-2";
/// ostree-ext's labels of an image with a commit in it: the commit, and the last layer of it.
const COMMIT: &str = "ostree.commit";
const LAST_LAYER: &str = "ostree.final-diffid";

impl Workshop<'_> {
    /// Finds out what commit an image is.
    pub(super) async fn lock_image_tree(
        &self,
        base: &OstreeBase,
        text: &str,
        arch: Arch,
        keep: Option<&LockedTree>,
    ) -> Result<LockedTree, ExecError> {
        let kept_image = keep.and_then(|keep| image_of(keep, text));
        let locked = self.lock_base(text, arch, kept_image.as_ref()).await?;
        let locked = locked.ok_or_else(|| nonsense(text, "it is no image"))?;
        let same =
            |kept: &LockedBase| (kept.digest, kept.manifest) == (locked.digest, locked.manifest);
        if let Some(keep) = keep.filter(|_| kept_image.as_ref().is_some_and(same)) {
            return Ok(keep.clone());
        }
        let (repository, commit) = self.image_commit(&locked).await?;
        let tree = checked(&repository, base, commit, arch)?;
        Ok(LockedTree { image: Some((locked.digest, locked.manifest)), ..tree })
    }

    /// The commit of an image, in the store.
    pub(super) async fn image_commit(
        &self,
        locked: &LockedBase,
    ) -> Result<(Repository, Digest), ExecError> {
        let image = self.base(locked).await?;
        let path = self.image_repository(&locked.manifest)?;
        let repository = Repository::open_or_create(&path).map_err(CommitBaseError::from)?;
        let task = format!("taking the commit out of {}", locked.image);
        self.observer.begin(&task);
        let commit = match encapsulated(&locked.image, &image) {
            Ok(Some(commit)) => self.take_out(&image, &repository, &commit).map(|()| commit),
            Ok(None) => self.commit_of(&image, locked, &repository),
            Err(error) => Err(error),
        };
        self.observer.end(&task);
        let commit = commit?;
        Ok((repository, commit))
    }

    /// Where the commit of an image is, or will be.
    pub(super) fn image_repository(&self, manifest: &Digest) -> Result<PathBuf, ExecError> {
        let name = format!("image {manifest}");
        self.store.base_repository(&name).map_err(ExecError::store("opening a base"))
    }

    fn take_out(
        &self,
        image: &BaseImage,
        repository: &Repository,
        commit: &Digest,
    ) -> Result<(), ExecError> {
        if repository.has_whole(commit) {
            return Ok(());
        }
        let mut unpack = repository.unpack(commit).map_err(CommitBaseError::from)?;
        self.each_layer(image, |layer| unpack.add(layer))?;
        Ok(unpack.finish().map_err(CommitBaseError::from)?)
    }

    /// Makes the root of an ordinary image a commit: the same from the same image.
    fn commit_of(
        &self,
        image: &BaseImage,
        locked: &LockedBase,
        repository: &Repository,
    ) -> Result<Digest, ExecError> {
        let labels = &image.config["config"]["Labels"];
        let spec = CommitSpec {
            refname: REF.to_owned(),
            arch: locked.arch,
            version: labels["org.opencontainers.image.version"].as_str().map(str::to_owned),
            subject: format!("image {}", locked.manifest),
            body: String::new(),
            epoch: image.config["created"].as_str().and_then(seconds).unwrap_or_default(),
            metadata: Default::default(),
            collection: None,
        };
        if let Ok(commit) = repository.resolve(REF)
            && repository.has_whole(&commit)
        {
            return Ok(commit);
        }
        let tree = self.base_tree(image)?;
        let contents = tree.entries().iter().filter_map(Entry::file);
        self.base_contents(image, &tree, &contents.map(|(digest, _)| *digest).collect())?;
        let mut tree = etc_to_usr_etc(&tree).map_err(CommitBaseError::from)?;
        let mut over = Over::default();
        // Layers of images carry no labels, and what is not labelled is of no use to hosts.
        let of = format!("the image {}", locked.image);
        let policy = Policy::of_tree(&tree, self.store, &of).map_err(CommitBaseError::from)?;
        if let Some(policy) = policy {
            over.root_label = policy.label("/", &Node::Dir).map_err(CommitBaseError::from)?;
            tree = with_labels(tree, &policy).map_err(CommitBaseError::from)?;
        }
        let memory = ObjectIndex::new(self.store);
        let mut run = repository.begin(self.jobs);
        let made = run
            .write_commit(&tree, &over, self.store, &memory, &spec, &|_| {})
            .map_err(CommitBaseError::from)?;
        run.finish().map_err(CommitBaseError::from)?;
        Ok(made.checksum)
    }
}

/// What the lock says of the image, if it is that one.
pub(super) fn image_of(locked: &LockedTree, text: &str) -> Option<LockedBase> {
    let (digest, manifest) = locked.image.filter(|_| locked.from == text)?;
    let (arch, image, released) = (locked.arch, text.to_owned(), Some(locked.released));
    Some(LockedBase { arch, image, digest, manifest, released })
}

/// The commit that is encapsulated in an image.
fn encapsulated(text: &str, image: &BaseImage) -> Result<Option<Digest>, ExecError> {
    let labels = &image.config["config"]["Labels"];
    let Some(last) = labels[LAST_LAYER].as_str() else { return Ok(None) };
    let commit = labels[COMMIT].as_str().and_then(|commit| Digest::from_hex(commit).ok());
    let commit = commit.ok_or_else(|| nonsense(text, "it does not say which commit is in it"))?;
    if image.diff_ids.last().map(Digest::to_string).as_deref() != Some(last) {
        let reason = "there are layers above its commit, made from it by others; name the image that \
                      they were made from";
        return Err(nonsense(text, reason));
    }
    Ok(Some(commit))
}
