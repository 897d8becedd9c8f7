//! Inputs: from a source to a canonical tree in the store.

use std::fs::File;
use std::io::BufReader;

use treelay_layers::{Tree, archive};
use treelay_recipes::lock::{Evidence, LockedFile, LockedInput};
use treelay_recipes::recipe::{ArchiveInput, GoToolchainInput, Input, PypiInput, Recipe, Source};
use treelay_recipes::{Arch, Digest};

use super::verify::{Demands, Job, MakesJudge, judge_file};
use super::{ExecError, Watched, Workshop};
use crate::fetch::{
    ArchiveAt, Ask, Attempt, Failure, FetchError, Fetched, Judged, NewJudge, Outcome, Place,
    Served, Wanted,
};
use crate::sources::Sources;
use crate::store::StoreSink;

/// A file that is in the store.
pub(super) struct Got {
    pub file: LockedFile,
    /// As the lock has it.
    pub from: String,
    /// How it came, where it was fetched just now.
    pub fetched: Option<Fetched>,
    /// What was verified of it, where it is to be locked.
    pub evidence: Vec<Evidence>,
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
        let pinned = locked.file;
        let tree = match input {
            Some(Input::GoToolchain(go)) => self.locked_go(locked, go, sources).await?,
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

    /// The file of a locked input, in the store; fetched where it is not there.
    pub(super) async fn input_file(
        &self,
        input: &Input,
        locked: &LockedInput,
        expected: LockedFile,
    ) -> Result<(), ExecError> {
        let what = describe(&locked.name, locked.arch);
        let (arch, pinned) = (locked.arch, Some(expected));
        let file = match input {
            Input::GoToolchain(go) => self.locked_go_file(locked, go, expected).await?,
            Input::Archive(archive) => self.archive_file(archive, &what, arch, pinned).await?.file,
            Input::Pypi(package) => self.wheel_file(package, &what, arch, pinned).await?.file,
            // These have no file.
            Input::Git(_) | Input::GoModules(_) => return Ok(()),
        };
        if file != expected {
            let (expected, found) = (expected.sha256, file.sha256);
            return Err(ExecError::OtherIdentity { what, expected, found });
        }
        Ok(())
    }

    /// What is in an archive, its file, and where that is from.
    pub(super) async fn archive_from(
        &self,
        archive: &ArchiveInput,
        what: &str,
        arch: Arch,
        pinned: Option<LockedFile>,
    ) -> Result<(Tree, Got), ExecError> {
        let got = self.archive_file(archive, what, arch, pinned).await?;
        let strip = archive.strip.unwrap_or(0);
        let (tree, _) = self.unpack(&got.file, strip, &mut |_| true, what, &got.from)?;
        Ok((tree, got))
    }

    /// What is in a package's wheel, its file, and where that is from.
    pub(super) async fn pypi_from(
        &self,
        input: &PypiInput,
        what: &str,
        arch: Arch,
        pinned: Option<LockedFile>,
    ) -> Result<(Tree, Got), ExecError> {
        let got = self.wheel_file(input, what, arch, pinned).await?;
        let (tree, _) = self.unpack(&got.file, 0, &mut |_| true, what, &got.from)?;
        Ok((tree, got))
    }

    /// The file of an archive. What it took to get it is told.
    async fn archive_file(
        &self,
        archive: &ArchiveInput,
        what: &str,
        arch: Arch,
        pinned: Option<LockedFile>,
    ) -> Result<Got, ExecError> {
        let at = Some(self.archive_at(archive, what)?);
        let ask = Ask { archive: at, ..pinned_to(pinned, Ask::new(what, "", arch)) };
        let job = Job::new(self, Source::Archive, what, arch);
        let job = Job { archive: Some(archive), verified: pinned.is_some(), ..job };
        let got = self.fetch(&job, &ask).await?;
        self.tell(what, Source::Archive, got.fetched.as_ref());
        Ok(got)
    }

    /// A package's wheel. What it took to get it is told.
    async fn wheel_file(
        &self,
        input: &PypiInput,
        what: &str,
        arch: Arch,
        pinned: Option<LockedFile>,
    ) -> Result<Got, ExecError> {
        let package = Some(input.package.value.clone());
        let ask = Ask { package, ..pinned_to(pinned, Ask::new(what, &input.version, arch)) };
        let got = self.fetch(&Job::new(self, Source::Pypi, what, arch), &ask).await?;
        self.tell(what, Source::Pypi, got.fetched.as_ref());
        Ok(got)
    }

    /// Where an archive is, for whoever fetches it.
    pub(super) fn archive_at(
        &self,
        archive: &ArchiveInput,
        what: &str,
    ) -> Result<ArchiveAt, ExecError> {
        let sha256 = archive.sha256.as_ref().map(|sha256| Digest::from_hex(sha256)).transpose();
        // The recipe's check says so first.
        let sha256 =
            sha256.map_err(|_| ExecError::NoSource { what: what.to_owned(), tried: Vec::new() })?;
        Ok(ArchiveAt {
            path: archive.path.as_ref().map(|path| self.folder.join(&path.value)),
            urls: archive.urls.iter().map(|url| url.value.clone()).collect(),
            sha256,
        })
    }

    /// What a run should tell of a file that was fetched.
    fn tell(&self, what: &str, source: Source, fetched: Option<&Fetched>) {
        let Some(fetched) = fetched else { return };
        let attempts = fetched.attempts.iter();
        self.fetcher.remember(Served {
            what: what.to_owned(),
            source: Some(source.name()),
            served: Some(fetched.served_by.clone()),
            attempts: attempts.map(|attempt| Failure::of(source.name(), attempt)).collect(),
        });
    }

    /// Brings a file into the store, verified, where it is not there.
    pub(super) async fn fetch(&self, job: &Job<'_>, ask: &Ask) -> Result<Got, ExecError> {
        let Job { what, archive, source, .. } = job;
        let from = match archive {
            // As the recipe has it, so that the lock is the same wherever the recipe lies.
            Some(archive) => {
                archive.path.as_ref().or(archive.urls.first()).map(|text| text.value.clone())
            }
            None => None,
        };
        // What is pinned and there needs nobody to say where it could be had.
        if let Some(pinned) = ask.pinned
            && let Some(file) = self.whole_object(&pinned, None)
        {
            let from = from.unwrap_or_else(|| "the store".to_owned());
            return Ok(Got { file, from, fetched: None, evidence: Vec::new() });
        }
        let resolved = self.fetcher.resolve(*source, ask).await?;
        let from = from.unwrap_or_else(|| resolved.from.clone());
        let Demands { digest, judges } = job.before(&resolved).await?;
        let turn = digest.map(|digest| self.turns.of(&digest));
        let _turn = match &turn {
            Some(turn) => Some(turn.lock().await),
            None => None,
        };
        if let Some(digest) = digest
            && let Some(file) = self.whole_object(&digest, resolved.wanted.size)
        {
            self.judge(&file, &judges, what)?;
            return Ok(Got { file, from, fetched: None, evidence: job.found.take() });
        }
        let task = format!("fetching {what}");
        self.observer.begin(&task);
        let size = resolved.wanted.size.or(ask.size);
        let mut places = resolved.wanted.places.clone();
        if digest.is_none() && judges.is_empty() && !job.asks_after() {
            // Nothing says what it must be: it is believed.
            places = places.into_iter().map(Place::believed).collect();
        }
        let wanted = Wanted { places, digest, size, ..resolved.wanted.clone() };
        let watch = Watched { observer: self.observer, what: task.clone(), size: wanted.size };
        let judges = judges.iter().map(|judge| &**judge as &NewJudge<'_>).collect();
        let sink = Judged { sink: self.store, judges };
        let fetched = self.fetcher.fetch(&wanted, &sink, &watch).await;
        self.observer.end(&task);
        let fetched = fetched?;
        let file = LockedFile { sha256: fetched.digest, size: fetched.size };
        Ok(Got { file, from, fetched: Some(fetched), evidence: job.found.take() })
    }

    /// Judges a file that was in the store before anybody asked.
    fn judge(
        &self,
        file: &LockedFile,
        judges: &[Box<MakesJudge>],
        what: &str,
    ) -> Result<(), ExecError> {
        if judges.is_empty() {
            return Ok(());
        }
        let reading = ExecError::store("reading a file");
        let gone = || ExecError::Damaged { what: format!("the file of {what}") };
        let path = self.store.object(&file.sha256).ok_or_else(gone)?;
        let judges = judges.iter().map(|judge| judge());
        let judged = File::open(&path).and_then(|opened| judge_file(opened, judges));
        judged.map_err(reading)?.map_err(|reason| {
            // It stays: it may be what other locks name.
            let place = "the store, where it was already".to_owned();
            let attempts = vec![Attempt { place, tries: vec![Outcome::Refused(reason)] }];
            FetchError::WrongContent { what: what.to_owned(), attempts }.into()
        })
    }

    /// A fetched file that is in the store, hashed again: nothing unverified is unpacked.
    pub(super) fn whole_object(&self, digest: &Digest, size: Option<u64>) -> Option<LockedFile> {
        let length = self.store.object(digest)?.metadata().ok()?.len();
        let whole = self.store.check_object(digest) && size.is_none_or(|size| size == length);
        whole.then_some(LockedFile { sha256: *digest, size: length })
    }

    pub(super) fn unpack(
        &self,
        file: &LockedFile,
        strip: u32,
        keep: &mut dyn FnMut(&str) -> bool,
        what: &str,
        from: &str,
    ) -> Result<(Tree, StoreSink<'_>), ExecError> {
        let task = format!("unpacking {what}");
        let gone = || ExecError::Damaged { what: format!("the archive of {what}") };
        let path = self.store.object(&file.sha256).ok_or_else(gone)?;
        let opened = File::open(path).map_err(ExecError::store("opening an archive"))?;
        let options = archive::Options { strip, ..Default::default() };
        let mut sink = StoreSink::new(self.store);
        self.observer.begin(&task);
        let tree = archive::unpack(BufReader::new(opened), &options, keep, &mut sink);
        self.observer.end(&task);
        match tree {
            Ok(tree) => Ok((tree, sink)),
            Err(source) => {
                let (what, from) = (what.to_owned(), from.to_owned());
                Err(ExecError::Unpack { what, from, source })
            }
        }
    }
}

/// What is asked for, where the lock says which file it is.
pub(super) fn pinned_to(file: Option<LockedFile>, ask: Ask) -> Ask {
    Ask { pinned: file.map(|file| file.sha256), size: file.map(|file| file.size), ..ask }
}

/// How messages call an input.
pub(super) fn describe(name: &str, arch: Arch) -> String {
    format!("{name} for {arch}")
}
