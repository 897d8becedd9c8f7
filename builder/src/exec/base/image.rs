//! Base commits out of container images: one that is encapsulated in an image comes out of it as it is;
//! the root of an ordinary image becomes a commit.

use std::collections::BTreeSet;
use std::path::PathBuf;

use treelay_layers::archive::Lower;
use treelay_layers::{Entry, Node, Tree};
use treelay_recipes::lock::{LockedBase, LockedTree};
use treelay_recipes::recipe::OstreeBase;
use treelay_recipes::{Arch, Digest};

use super::super::{ExecError, Workshop};
use super::commit::{CommitBaseError, checked};
use super::time::created;
use super::{BaseImage, nonsense};
use crate::ostree_repo::{
    CommitSpec, Labels as _, Over, Policy, Repository, Rules, etc_to_usr_etc, image_labels,
    in_commit, with_labels,
};
use crate::store::ObjectIndex;

/// The ref of the commit of an ordinary image, in a repository of its own. Another name for every way
/// of making it.
const REF: &str = "image-3";

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
        let commit = self.commit_in(&image, locked, &repository);
        self.observer.end(&task);
        let commit = commit?;
        Ok((repository, commit))
    }

    fn commit_in(
        &self,
        image: &BaseImage,
        locked: &LockedBase,
        repository: &Repository,
    ) -> Result<Digest, ExecError> {
        let encapsulated = encapsulated(&locked.image, image)?;
        if let Some(Encapsulated { commit, layers }) = encapsulated
            && layers == image.layers.len()
        {
            return self.take_out(image, repository, &commit).map(|()| commit);
        }
        if let Ok(commit) = repository.resolve(REF)
            && repository.has_whole(&commit)
        {
            return Ok(commit);
        }
        match encapsulated {
            None => self.commit_of(image, locked, repository),
            Some(below) => self.commit_above(image, &below, locked, repository),
        }
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
        let all = self.base_tree(image)?;
        let tree = all.filter(|entry| !on_hosts_own(entry.path.as_str()));
        let contents = tree.entries().iter().filter_map(Entry::file);
        self.base_contents(image, &all, &contents.map(|(digest, _)| *digest).collect())?;
        let mut tree = etc_to_usr_etc(&tree).map_err(CommitBaseError::from)?;
        let mut over = Over::default();
        // Layers of images carry no labels, and what is not labelled is of no use to hosts.
        let of = format!("the image {}", locked.image);
        let policy = Policy::of_tree(&tree, self.store, &of).map_err(CommitBaseError::from)?;
        if let Some(policy) = policy {
            over.root_label = policy.label("/", &Node::Dir).map_err(CommitBaseError::from)?;
            tree = with_labels(tree, &policy).map_err(CommitBaseError::from)?.tree;
        }
        self.write(&tree, &over, image, locked, repository)
    }

    /// Lays the layers above a commit that is encapsulated in an image over that commit, as rpm-ostree
    /// and bootc do.
    fn commit_above(
        &self,
        image: &BaseImage,
        below: &Encapsulated,
        locked: &LockedBase,
        repository: &Repository,
    ) -> Result<Digest, ExecError> {
        let layers = image.layers[..below.layers].to_vec();
        self.take_out(&BaseImage { layers, ..image.clone() }, repository, &below.commit)?;
        let (mut all, mut lower, mut count) = (Lower::new(), Lower::new(), 0);
        self.each_layer(image, |layer| {
            all.add(layer)?;
            count += 1;
            if count == below.layers {
                lower = all.clone();
            }
            Ok(())
        })?;
        let lower = lower.into_tree();
        let (all, number) = all.into_tree_by_layer();
        let is_above = |number: &Option<usize>| number.is_some_and(|number| number >= below.layers);
        let above = all.entries().iter().zip(&number).filter(|(_, number)| is_above(number));
        // As rpm-ostree and bootc do: a directory of the commit stays what it is.
        let of_commit =
            |entry: &Entry| is_dir(entry) && lower.get(entry.path.as_str()).is_some_and(is_dir);
        let above: Vec<Entry> = above
            .map(|(entry, _)| match of_commit(entry) {
                true => Entry::dir(entry.path.clone(), 0o755),
                false => entry.clone(),
            })
            .filter(|entry| !on_hosts_own(entry.path.as_str()))
            .collect();
        let tree = Tree::from_entries(above)
            .map_err(|error| nonsense(&locked.image, &error.to_string()))?;
        let contents = tree.entries().iter().filter_map(Entry::file);
        self.base_contents(image, &all, &contents.map(|(digest, _)| *digest).collect())?;

        let of_base = lower.entries().iter().filter(|entry| !on_hosts_own(entry.path.as_str()));
        let (mut gone, mut replaced) = (BTreeSet::new(), BTreeSet::new());
        for entry in of_base {
            let path = entry.path.as_str();
            match all.get(path) {
                None => drop(gone.insert(in_commit(path).into_owned())),
                Some(now) if is_dir(now) != is_dir(entry) => {
                    replaced.insert(in_commit(path).into_owned());
                }
                Some(_) => {}
            }
        }
        let base = repository.base(&below.commit).map_err(CommitBaseError::from)?;
        let mut tree = etc_to_usr_etc(&tree).map_err(CommitBaseError::from)?;
        let mut rules = Rules::exact(gone, replaced);
        if let Some(policy) = base.policy(&[]).map_err(CommitBaseError::from)? {
            let labelled = with_labels(tree, &policy).map_err(CommitBaseError::from)?;
            (tree, rules) = (labelled.tree, rules.with_labelled(labelled.dirs));
        }
        let over = Over { base: Some(&base), rules, ..Over::default() };
        self.write(&tree, &over, image, locked, repository)
    }

    /// Writes the commit of an image under [`REF`].
    fn write(
        &self,
        tree: &Tree,
        over: &Over<'_>,
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
            epoch: created(&image.config, &locked.image)?.unwrap_or_default(),
            metadata: Default::default(),
            collection: None,
        };
        // What the ref names is damaged; as a parent it would make another commit of the same image.
        repository.remove_ref(REF).map_err(CommitBaseError::from)?;
        let memory = ObjectIndex::new(self.store);
        let mut run = repository.begin(self.jobs);
        let made = run
            .write_commit(tree, over, self.store, &memory, &spec, &|_| {})
            .map_err(CommitBaseError::from)?;
        run.finish().map_err(CommitBaseError::from)?;
        Ok(made.checksum)
    }
}

/// Whether hosts have something else there. In an image with a commit in it, its objects are.
fn on_hosts_own(path: &str) -> bool {
    path.starts_with("sysroot/")
}

fn is_dir(entry: &Entry) -> bool {
    matches!(entry.node, Node::Dir)
}

/// What the lock says of the image, if it is that one.
pub(in crate::exec) fn image_of(locked: &LockedTree, text: &str) -> Option<LockedBase> {
    let (digest, manifest) = locked.image.filter(|_| locked.from == text)?;
    let (arch, image, released) = (locked.arch, text.to_owned(), Some(locked.released));
    Some(LockedBase { arch, image, digest, manifest, released })
}

/// A commit in an image.
struct Encapsulated {
    commit: Digest,
    /// How many of the lowest layers are its.
    layers: usize,
}

/// The commit that is encapsulated in an image, or in the image that it was made from.
fn encapsulated(text: &str, image: &BaseImage) -> Result<Option<Encapsulated>, ExecError> {
    let labels = &image.config["config"]["Labels"];
    let Some(last) = labels[image_labels::LAST_LAYER].as_str() else { return Ok(None) };
    let commit =
        labels[image_labels::COMMIT].as_str().and_then(|commit| Digest::from_hex(commit).ok());
    let commit = commit.ok_or_else(|| nonsense(text, "it does not say which commit is in it"))?;
    let last = image.diff_ids.iter().position(|id| id.to_string() == last);
    let last = last.ok_or_else(|| nonsense(text, "the last layer of its commit is missing"))?;
    Ok(Some(Encapsulated { commit, layers: last + 1 }))
}
