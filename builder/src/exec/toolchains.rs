//! Go distributions: from the first of an input's sources that has the right one.
//!
//! Once an input is locked only its identity counts. The source that it was locked from is asked
//! first; where that fails, or gives something else, the others are asked in the recipe's order.

use treelay_layers::go::{self, GoDistribution};
use treelay_layers::{Entry, Tree};
use treelay_recipes::lock::{Evidence, InputKind, LockedFile, LockedInput};
use treelay_recipes::recipe::{GoToolchainInput, OciInput, Source};
use treelay_recipes::{Arch, Digest};

use super::inputs::{Got, describe, pinned_to};
use super::lock::causes;
use super::verify::Job;
use super::{BaseError, ExecError, Workshop};
use crate::fetch::{Ask, Failure, FetchError, Fetched, MODULE_STRIP, Served, goproxy};
use crate::sources::Sources;

/// A distribution that is in the store, or referenced where it is.
pub(super) struct Found {
    pub distribution: GoDistribution,
    pub file: Option<LockedFile>,
    pub from: String,
    /// How it came, where it was fetched just now.
    pub fetched: Option<Fetched>,
    /// What was verified of it, where it is to be locked.
    pub evidence: Vec<Evidence>,
}

/// What is asked of a source.
struct Asked<'a> {
    input: &'a GoToolchainInput,
    what: &'a str,
    arch: Arch,
    version: &'a str,
    pinned: Option<LockedFile>,
    /// Whether it is locked, so that its identity says all.
    locked: bool,
}

/// What sources did that were of no use.
#[derive(Default)]
struct InVain(Vec<Failure>);

impl InVain {
    fn add(&mut self, source: Source, error: &ExecError) {
        let own = match error {
            ExecError::Fetch(error) => error.attempts(),
            ExecError::Verify { source, .. } => source.attempts(),
            _ => &[],
        };
        self.0.extend(own.iter().map(|attempt| Failure::of(source.name(), attempt)));
        if own.is_empty() {
            let lied = match error {
                ExecError::OtherIdentity { .. } | ExecError::Go { .. } => true,
                ExecError::Verify { source, .. } => source.lied(),
                _ => false,
            };
            self.0.push(Failure::of_source(source.name(), causes(error), lied));
        }
    }

    /// What a run should tell in the end; nothing where there was nothing to do.
    fn tell(self, workshop: &Workshop<'_>, what: &str, source: Source, fetched: Option<&Fetched>) {
        let mut attempts = self.0;
        let before = fetched.map(|fetched| fetched.attempts.as_slice()).unwrap_or_default();
        attempts.extend(before.iter().map(|attempt| Failure::of(source.name(), attempt)));
        if fetched.is_none() && attempts.is_empty() {
            return;
        }
        workshop.fetcher.remember(Served {
            what: what.to_owned(),
            source: Some(source.name()),
            served: fetched.map(|fetched| fetched.served_by.clone()),
            attempts,
        });
    }
}

/// Whether no other source can mend it.
fn is_ours(error: &ExecError) -> bool {
    match error {
        ExecError::Store { .. }
        | ExecError::Damaged { .. }
        | ExecError::Fetch(FetchError::Keeping { .. }) => true,
        ExecError::Verify { source, .. } => source.is_ours(),
        _ => false,
    }
}

/// Whether the file of one source is that of another, byte for byte.
fn same_file(one: Source, other: Source) -> bool {
    let official = |source| matches!(source, Source::GoDev | Source::Mirror);
    one == other || (official(one) && official(other))
}

impl Workshop<'_> {
    /// The canonical tree of a locked distribution.
    pub(super) async fn locked_go(
        &self,
        locked: &LockedInput,
        input: &GoToolchainInput,
        sources: &Sources,
    ) -> Result<Tree, ExecError> {
        let what = describe(&locked.name, locked.arch);
        let version = locked.version.as_deref().unwrap_or(&input.version);
        let others = input.sources.iter().filter(|source| **source != locked.source);
        let (mut in_vain, mut first) = (InVain::default(), None);
        for &source in [&locked.source].into_iter().chain(others) {
            let file = locked.file.filter(|_| same_file(locked.source, source));
            let arch = locked.arch;
            let asked = Asked { input, what: &what, arch, version, pinned: file, locked: true };
            let found = match self.go_from(source, &asked, sources).await {
                Ok(Some(found)) => {
                    let identity = found.distribution.identity();
                    if identity == locked.identity {
                        in_vain.tell(self, &what, source, found.fetched.as_ref());
                        return Ok(found.distribution.into_tree());
                    }
                    // What the lock names itself is kept: then it is the lock that is of old.
                    // So is what was there before: it may be what other locks name.
                    let new = found.fetched.as_ref().is_some_and(|fetched| fetched.new);
                    if let Some(file) = found.file.filter(|_| file.is_none() && new) {
                        self.store.reject_object(&file.sha256);
                    }
                    let (what, expected) = (what.clone(), locked.identity);
                    ExecError::OtherIdentity { what, expected, found: identity }
                }
                Ok(None) => ExecError::DirGone {
                    what: what.clone(),
                    dir: input.dir.as_ref().map(|dir| dir.value.clone()).unwrap_or_default(),
                },
                Err(error) if is_ours(&error) => return Err(error),
                Err(error) => error,
            };
            if !input.sources.is_empty() && input.sources != [source] {
                self.observer.note(&format!("{what}: {}: {}", source.name(), causes(&found)));
            }
            in_vain.add(source, &found);
            first.get_or_insert(found);
        }
        Err(first.unwrap_or(ExecError::NoSource { what, tried: Vec::new() }))
    }

    /// The file of a locked distribution, from the first source that has these very bytes.
    pub(super) async fn locked_go_file(
        &self,
        locked: &LockedInput,
        input: &GoToolchainInput,
        expected: LockedFile,
    ) -> Result<LockedFile, ExecError> {
        let what = describe(&locked.name, locked.arch);
        // Whoever would give it is not asked for what is there.
        if let Some(file) = self.whole_object(&expected.sha256, Some(expected.size)) {
            return Ok(file);
        }
        let version = locked.version.as_deref().unwrap_or(&input.version);
        let pinned = Some(expected);
        let arch = locked.arch;
        let asked = Asked { input, what: &what, arch, version, pinned, locked: true };
        let archive = input.archive.as_ref().and_then(|archives| archives.get(&locked.arch));
        let in_archive = archive.is_some_and(|archive| {
            // One that says nothing of itself may be the one that was locked.
            archive.sha256.as_ref().is_none_or(|own| own.value == expected.sha256.hex())
        });
        let others = input.sources.iter().filter(|source| {
            **source != locked.source
                && (same_file(locked.source, **source)
                    || (**source == Source::Archive && in_archive))
        });
        let (mut in_vain, mut first) = (InVain::default(), None);
        for &source in [&locked.source].into_iter().chain(others) {
            let error = match self.go_file(source, &asked).await {
                Ok((got, _)) if got.file == expected => {
                    in_vain.tell(self, &what, source, got.fetched.as_ref());
                    return Ok(got.file);
                }
                Ok((got, _)) => {
                    let (what, found) = (what.clone(), got.file.sha256);
                    ExecError::OtherIdentity { what, expected: expected.sha256, found }
                }
                Err(error) if is_ours(&error) => return Err(error),
                Err(error) => error,
            };
            self.observer.note(&format!("{what}: {}: {}", source.name(), causes(&error)));
            in_vain.add(source, &error);
            first.get_or_insert(error);
        }
        Err(first.unwrap_or(ExecError::NoSource { what, tried: Vec::new() }))
    }

    /// The identity of the distribution in the file of a locked one, which is in the store.
    pub(super) async fn go_in_file(
        &self,
        locked: &LockedInput,
        input: &GoToolchainInput,
        sources: &Sources,
    ) -> Result<Option<Digest>, ExecError> {
        let what = describe(&locked.name, locked.arch);
        let version = locked.version.as_deref().unwrap_or(&input.version);
        let (arch, pinned) = (locked.arch, locked.file);
        let asked = Asked { input, what: &what, arch, version, pinned, locked: true };
        let found = self.go_from(locked.source, &asked, sources).await?;
        Ok(found.map(|found| found.distribution.identity()))
    }

    /// Finds out what a distribution is, from the first source that has it.
    pub(super) async fn lock_go(
        &self,
        input: &GoToolchainInput,
        name: &str,
        arch: Arch,
        sources: &Sources,
    ) -> Result<LockedInput, ExecError> {
        let what = describe(name, arch);
        let mut tried = Vec::new();
        let mut in_vain = InVain::default();
        let version = &input.version;
        let asked = Asked { input, what: &what, arch, version, pinned: None, locked: false };
        for &source in &input.sources {
            let found = match self.go_from(source, &asked, sources).await {
                Ok(Some(found)) => found,
                Ok(None) => {
                    tried.push(format!("  {}: the directory is not there", source.name()));
                    continue;
                }
                // With one source its error says all; with several each gets a line.
                Err(error) if input.sources.len() == 1 || is_ours(&error) => return Err(error),
                Err(error) => {
                    let causes = causes(&error);
                    self.observer.note(&format!("{what}: {}: {causes}", source.name()));
                    tried.push(format!("  {}: {causes}", source.name()));
                    in_vain.add(source, &error);
                    continue;
                }
            };
            let known = match (source, &input.dir) {
                (Source::Dir, Some(dir)) => self.go_identity(&dir.value, sources),
                _ => None,
            };
            let identity = match known.filter(|identity| self.store.has_tree(identity)) {
                Some(identity) => identity,
                None => self.keep_tree(found.distribution.tree())?,
            };
            in_vain.tell(self, &what, source, found.fetched.as_ref());
            let version = found.distribution.version();
            return Ok(LockedInput {
                name: name.to_owned(),
                arch,
                kind: InputKind::GoToolchain,
                version: Some(version.version.clone()),
                source,
                from: found.from,
                file: found.file,
                identity,
                released: version.released,
                sums: None,
                evidence: found.evidence,
                commit: None,
            });
        }
        Err(ExecError::NoSource { what, tried })
    }

    /// A distribution from one source; `None` where the source is a directory that is not there.
    async fn go_from(
        &self,
        source: Source,
        asked: &Asked<'_>,
        sources: &Sources,
    ) -> Result<Option<Found>, ExecError> {
        let Asked { input, what, arch, version, locked, .. } = *asked;
        let what = || what.to_owned();
        if source == Source::Dir {
            let Some(dir) = &input.dir else { return Ok(None) };
            let place = self.folder.join(&dir.value);
            let wrong = |source| ExecError::Go { what: what(), from: dir.value.clone(), source };
            let found = sources.go_tree(&place).map_err(wrong)?;
            let Some((found, snapshot)) = found.zip(sources.snapshot(&place)) else {
                return Ok(None);
            };
            let distribution = GoDistribution::of(found.tree.clone(), snapshot).map_err(wrong)?;
            distribution.check_version(version).map_err(wrong)?;
            distribution.check_arch(arch, snapshot).map_err(wrong)?;
            let from = dir.value.clone();
            let (fetched, evidence) = (None, Vec::new());
            return Ok(Some(Found { distribution, file: None, from, fetched, evidence }));
        }
        let (got, strip) = self.go_file(source, asked).await?;
        let job = Job::new(self, source, asked.what, arch);
        let job = Job { go: Some(input), verified: locked, ..job };
        let Got { file, from, fetched, evidence } = got;
        let wrong = |source| ExecError::Go { what: what(), from: from.clone(), source };
        let whole = job.asks_after();
        let mut keep = |path: &str| whole || go::is_part(path);
        let (raw, unpacked) = self.unpack(&file, strip, &mut keep, &what(), &from)?;
        let distribution = GoDistribution::find(&raw, self.store).map_err(wrong)?;
        distribution.check_version(version).map_err(wrong)?;
        distribution.check_arch(arch, self.store).map_err(wrong)?;
        if let Err(error) = job.after(&raw, &distribution.version().version).await {
            // What was there before may be what other locks name.
            if fetched.is_some_and(|fetched| fetched.new) {
                self.store.reject_object(&file.sha256);
            }
            unpacked.take_back();
            return Err(error);
        }
        let evidence = [evidence, job.found.take()].concat();
        Ok(Some(Found { distribution, file: Some(file), from, fetched, evidence }))
    }

    /// The file of a distribution from one source, verified, and how many folders it is to be
    /// stripped of.
    async fn go_file(&self, source: Source, asked: &Asked<'_>) -> Result<(Got, u32), ExecError> {
        let Asked { input, what, arch, version, pinned, locked } = *asked;
        match (source, &input.oci) {
            (Source::Oci, Some(oci)) => {
                let pinned = pinned.map(|file| file.sha256);
                let got = self.file_of_image(oci, what, arch, pinned).await?;
                Ok((got, oci.strip.unwrap_or(0)))
            }
            _ => {
                let archive = input.archive.as_ref().and_then(|archives| archives.get(&arch));
                let archive = archive.filter(|_| source == Source::Archive);
                let list = input.proxy.as_ref().map(|text| text.value.clone());
                let list = list.unwrap_or_else(|| self.fetcher.default_goproxy());
                let ask = Ask {
                    archive: archive.map(|archive| self.archive_at(archive, what)).transpose()?,
                    mirror: input.mirror.as_ref().map(|text| text.value.clone()),
                    proxies: goproxy::parse(&list, self.folder),
                    ..pinned_to(pinned, Ask::new(what, version, arch))
                };
                let job = Job::new(self, source, what, arch);
                let job = Job { go: Some(input), archive, verified: locked, ..job };
                let got = self.fetch(&job, &ask).await?;
                let strip = match source {
                    Source::Module => MODULE_STRIP,
                    _ => archive.and_then(|archive| archive.strip).unwrap_or(0),
                };
                Ok((got, strip))
            }
        }
    }

    /// A file of an image, or a layer of it, in the store. Images come as base images do.
    async fn file_of_image(
        &self,
        oci: &OciInput,
        what: &str,
        arch: Arch,
        pinned: Option<Digest>,
    ) -> Result<Got, ExecError> {
        let image = &oci.image.value;
        let layer = oci.layer.as_ref().and_then(|layers| layers.get(&arch));
        let inside =
            layer.or(oci.path.as_ref()).map(|text| text.value.as_str()).unwrap_or_default();
        let from = format!("{image} {inside}");
        if let Some(pinned) = pinned
            && let Some(file) = self.whole_object(&pinned, None)
        {
            return Ok(Got { file, from, fetched: None, evidence: Vec::new() });
        }
        let nothing = |reason: String| BaseError::Nonsense { image: image.clone(), reason };
        let locked = self.lock_base(image, arch, None).await?;
        let locked = locked.ok_or_else(|| nothing("it is no image".to_owned()))?;
        let wanted = layer.and_then(|layer| layer.parse::<Digest>().ok());
        let opened = self.base_with(&locked, wanted.as_ref()).await?;
        let digest = match wanted {
            Some(wanted) => {
                let there = opened.layers.iter().any(|layer| layer.digest == wanted);
                let reason = || format!("its image for {arch} has no layer {wanted}");
                there.then_some(wanted).ok_or_else(|| nothing(reason()))?
            }
            None => {
                let tree = self.base_tree(&opened)?;
                let entry = tree.get(inside.trim_start_matches('/')).and_then(Entry::file);
                let reason = || format!("its image for {arch} has no file {inside}");
                let (digest, _) = entry.ok_or_else(|| nothing(reason()))?;
                self.base_contents(&opened, &tree, &[*digest].into())?;
                *digest
            }
        };
        if let Some(expected) = pinned.filter(|pinned| *pinned != digest) {
            let (what, found) = (what.to_owned(), digest);
            return Err(ExecError::OtherIdentity { what, expected, found });
        }
        let file = self.whole_object(&digest, None);
        let file = file.ok_or_else(|| ExecError::Damaged { what: format!("a file of {image}") })?;
        let (size, served_by) = (file.size, from.clone());
        // It is of the image, whatever it turns out to be.
        let (new, attempts) = (false, Vec::new());
        let fetched = Some(Fetched { digest, size, new, served_by, attempts });
        Ok(Got { file, from, fetched, evidence: Vec::new() })
    }
}
