//! Inputs: from a source to a canonical tree in the store.

use std::fs::File;
use std::io::BufReader;

use treelay_layers::go::{self, GoDistribution};
use treelay_layers::{Tree, archive};
use treelay_recipes::lock::{LockedFile, LockedInput};
use treelay_recipes::recipe::{ArchiveInput, GoToolchainInput, Input, PypiInput, Recipe, Source};
use treelay_recipes::{Arch, Digest};

use super::{ExecError, Watched, Workshop};
use crate::fetch::{ArchiveAt, Ask};
use crate::sources::Sources;
use crate::store::StoreSink;

/// A distribution that is in the store, or referenced where it is.
pub(super) struct Found {
    pub distribution: GoDistribution,
    pub file: Option<LockedFile>,
    pub from: String,
}

impl Workshop<'_> {
    /// The canonical tree of a locked input; fetched and unpacked only where the store has it not.
    /// `of` is the input whose modules it is, where it is modules of an input.
    pub(super) async fn input_tree(
        &self,
        recipe: &Recipe,
        locked: &LockedInput,
        of: Option<&LockedInput>,
        sources: &Sources,
    ) -> Result<Tree, ExecError> {
        let what = describe(&locked.name, locked.arch);
        let input = recipe.inputs.get(&locked.name);
        if let (Source::Dir, Some(Input::GoToolchain(GoToolchainInput { dir: Some(dir), .. }))) =
            (locked.source, input)
            && let Ok(Some(found)) = sources.go_tree(&self.folder.join(&dir.value))
            && found.identity == locked.identity
        {
            // Whoever uses it checks what it is for.
            if !self.store.has_tree(&locked.identity) {
                self.keep_tree(&found.tree)?;
            }
            return Ok(found.tree.clone());
        }
        if locked.source != Source::Dir
            && let Some(tree) = self.store.tree(&locked.identity)
            && self.has_contents(&tree)
        {
            return Ok(tree);
        }
        let pinned = locked.file.map(|file| file.sha256);
        let tree = match input {
            Some(Input::GoToolchain(go)) => {
                let found =
                    self.go_from(locked.source, go, &locked.name, locked.arch, pinned, sources);
                let gone = || ExecError::DirGone { what: what.clone(), dir: locked.from.clone() };
                found.await?.ok_or_else(gone)?.distribution.into_tree()
            }
            Some(Input::Archive(archive)) => {
                self.archive_from(archive, &what, locked.arch, pinned).await?.0
            }
            Some(Input::Pypi(package)) => {
                self.pypi_from(package, &what, locked.arch, pinned).await?.0
            }
            Some(Input::Git(git)) => self.git_from(git, locked, &what).await?,
            Some(Input::GoModules(modules)) => {
                if let Some(tree) = self.store.tree(&locked.identity)
                    && self.has_contents(&tree)
                {
                    return Ok(tree);
                }
                let needed = self.needed(modules, of, recipe, &what, sources).await?;
                self.module_cache(modules, &needed, &what).await?
            }
            None => return Err(ExecError::NoSource { what, tried: Vec::new() }),
        };
        let identity = tree.digest();
        if identity != locked.identity {
            return Err(ExecError::OtherIdentity {
                what,
                expected: locked.identity,
                found: identity,
            });
        }
        self.keep_tree(&tree)?;
        Ok(tree)
    }

    /// Keeps a tree whose contents were just put into the store.
    pub(super) fn keep_tree(&self, tree: &Tree) -> Result<Digest, ExecError> {
        self.store.put_tree(tree).map_err(ExecError::store("keeping a tree"))
    }

    /// Whether every content of `tree` is in the store, at its right length.
    pub(super) fn has_contents(&self, tree: &Tree) -> bool {
        tree.entries().iter().filter_map(|entry| entry.file()).all(|(digest, size)| {
            self.store
                .object(digest)
                .and_then(|path| path.metadata().ok())
                .is_some_and(|found| found.len() == size)
        })
    }

    /// A Go distribution from one source; `None` where the source is a directory that is not there.
    pub(super) async fn go_from(
        &self,
        source: Source,
        input: &GoToolchainInput,
        name: &str,
        arch: Arch,
        pinned: Option<Digest>,
        sources: &Sources,
    ) -> Result<Option<Found>, ExecError> {
        let what = describe(name, arch);
        if source == Source::Dir {
            let Some(dir) = &input.dir else { return Ok(None) };
            let place = self.folder.join(&dir.value);
            let wrong =
                |source| ExecError::Go { what: what.clone(), from: dir.value.clone(), source };
            let found = sources.go_tree(&place).map_err(wrong)?;
            let Some((found, snapshot)) = found.zip(sources.snapshot(&place)) else {
                return Ok(None);
            };
            let distribution = GoDistribution::of(found.tree.clone(), snapshot).map_err(wrong)?;
            distribution.check_version(&input.version).map_err(wrong)?;
            distribution.check_arch(arch, snapshot).map_err(wrong)?;
            return Ok(Some(Found { distribution, file: None, from: dir.value.clone() }));
        }

        let archive = input.archive.as_ref().and_then(|archives| archives.get(&arch));
        let archive = archive.filter(|_| source == Source::Archive);
        let (file, from) =
            self.fetch_file(source, archive, &input.version, &what, arch, pinned).await?;
        let wrong = |source| ExecError::Go { what: what.clone(), from: from.clone(), source };
        let strip = archive.and_then(|archive| archive.strip).unwrap_or(0);
        let raw = self.unpack(&file, strip, &mut go::is_part, &what, &from)?;
        let distribution = GoDistribution::find(&raw, self.store).map_err(wrong)?;
        distribution.check_version(&input.version).map_err(wrong)?;
        distribution.check_arch(arch, self.store).map_err(wrong)?;
        Ok(Some(Found { distribution, file: Some(file), from }))
    }

    /// What is in an archive, its file, and where that is from.
    pub(super) async fn archive_from(
        &self,
        archive: &ArchiveInput,
        what: &str,
        arch: Arch,
        pinned: Option<Digest>,
    ) -> Result<(Tree, LockedFile, String), ExecError> {
        let (file, from) =
            self.fetch_file(Source::Archive, Some(archive), "", what, arch, pinned).await?;
        let tree = self.unpack(&file, archive.strip.unwrap_or(0), &mut |_| true, what, &from)?;
        Ok((tree, file, from))
    }

    /// What is in a package's wheel, its file, and where that is from.
    pub(super) async fn pypi_from(
        &self,
        input: &PypiInput,
        what: &str,
        arch: Arch,
        pinned: Option<Digest>,
    ) -> Result<(Tree, LockedFile, String), ExecError> {
        let ask = Ask {
            what: what.to_owned(),
            version: input.version.value.clone(),
            arch,
            archive: None,
            package: Some(input.package.value.clone()),
            pinned,
        };
        let (file, from) = self.fetch(Source::Pypi, &ask, None).await?;
        let tree = self.unpack(&file, 0, &mut |_| true, what, &from)?;
        Ok((tree, file, from))
    }

    /// Brings the file of a toolchain or archive into the store.
    async fn fetch_file(
        &self,
        source: Source,
        archive: Option<&ArchiveInput>,
        version: &str,
        what: &str,
        arch: Arch,
        pinned: Option<Digest>,
    ) -> Result<(LockedFile, String), ExecError> {
        let ask = Ask {
            what: what.to_owned(),
            version: version.to_owned(),
            arch,
            package: None,
            archive: archive
                .map(|archive| -> Result<ArchiveAt, ExecError> {
                    let sha256 = Digest::from_hex(&archive.sha256).map_err(|_| {
                        // The recipe's check says so first.
                        ExecError::NoSource { what: what.to_owned(), tried: Vec::new() }
                    })?;
                    Ok(ArchiveAt {
                        path: archive.path.as_ref().map(|path| self.folder.join(&path.value)),
                        urls: archive.urls.iter().map(|url| url.value.clone()).collect(),
                        sha256,
                    })
                })
                .transpose()?,
            pinned,
        };
        self.fetch(source, &ask, archive).await
    }

    async fn fetch(
        &self,
        source: Source,
        ask: &Ask,
        archive: Option<&ArchiveInput>,
    ) -> Result<(LockedFile, String), ExecError> {
        let what = &ask.what;
        let resolved = self.fetcher.resolve(source, ask).await?;
        let from = match archive {
            // As the recipe has it, so that the lock is the same wherever the recipe lies.
            Some(archive) => {
                archive.path.as_ref().or(archive.urls.first()).map(|text| text.value.clone())
            }
            None => None,
        };
        let from = from.unwrap_or(resolved.from);
        if let Some(digest) = resolved.wanted.digest
            && let Some(file) = self.whole_object(&digest, resolved.wanted.size)
        {
            return Ok((file, from));
        }
        let task = format!("fetching {what}");
        self.observer.begin(&task);
        let watch =
            Watched { observer: self.observer, what: task.clone(), size: resolved.wanted.size };
        let fetched = self.fetcher.fetch(&resolved.wanted, self.store, &watch).await;
        self.observer.end(&task);
        let fetched = fetched?;
        Ok((LockedFile { sha256: fetched.digest, size: fetched.size }, from))
    }

    /// A fetched file that is in the store, hashed again: nothing unverified is unpacked.
    fn whole_object(&self, digest: &Digest, size: Option<u64>) -> Option<LockedFile> {
        let length = self.store.object(digest)?.metadata().ok()?.len();
        let whole = self.store.check_object(digest) && size.is_none_or(|size| size == length);
        whole.then_some(LockedFile { sha256: *digest, size: length })
    }

    fn unpack(
        &self,
        file: &LockedFile,
        strip: u32,
        keep: &mut dyn FnMut(&str) -> bool,
        what: &str,
        from: &str,
    ) -> Result<Tree, ExecError> {
        let task = format!("unpacking {what}");
        let gone = || ExecError::Damaged { what: format!("the archive of {what}") };
        let path = self.store.object(&file.sha256).ok_or_else(gone)?;
        let opened = File::open(path).map_err(ExecError::store("opening an archive"))?;
        let options = archive::Options { strip, ..Default::default() };
        let mut sink = StoreSink::new(self.store);
        self.observer.begin(&task);
        let tree = archive::unpack(BufReader::new(opened), &options, keep, &mut sink);
        self.observer.end(&task);
        tree.map_err(|source| {
            let (what, from) = (what.to_owned(), from.to_owned());
            ExecError::Unpack { what, from, source }
        })
    }
}

/// How messages call an input.
pub(super) fn describe(name: &str, arch: Arch) -> String {
    format!("{name} for {arch}")
}
