//! What the configuration of a remote asks of its commits, as libostree reads it when it pulls
//! (`ostree-repo-pull-verify.c`), and never less.
//!
//! | key of `[remote "NAME"]` | what it means here |
//! |---|---|
//! | `gpg-verify` (on unless it says false) | a GPG key must have signed: of `NAME.trustedkeys.gpg`, else of the system's `trusted.gpg.d`; and of `gpgkeypath` |
//! | `sign-verify` (off unless it is there) | a key of one of the engines must have signed: `true` for both, else a list |
//! | `verification-ENGINE-key`, `-file` | the keys of that engine; without them those of `trusted.ENGINE` of the system |
//! | `collection-id` | the commit must be bound to it |
//! | `gpg-verify-summary`, `sign-verify-summary` | the copy of the summary that the last pull kept must be signed, and name the commit |
//! | `unconfigured-state` | nothing is taken |
//!
//! Where both GPG and keys are asked for, both must be there. It is stricter in this: a remote that
//! asks for neither is refused; revoked keys of the system count for every remote, not only where
//! its trusted keys do; what is no key in a list is an error, not passed over; a ref binding must be
//! there.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use ostree::Repo;
use ostree::gio::prelude::*;
use ostree::glib::{self, Variant};
use treelay_recipes::Digest;
use treelay_signing::schemes::{ostree_ed25519, ostree_spki};
use treelay_signing::{KeyList, PublicKey};

use super::error::{Doing, OstreeError, Result};
use super::sign::dictionary;
use super::trust::{Keyring, RemoteRules, Trust, TrustedKey};
use super::{Repository, judge, objects};

/// What libostree calls the two ways of signing with a key.
#[derive(Clone, Copy)]
struct Engine {
    name: &'static str,
    scheme: &'static str,
    list: KeyList,
}

const ENGINES: [Engine; 2] = [
    Engine { name: "ed25519", scheme: ostree_ed25519::METADATA_KEY, list: KeyList::Ed25519 },
    Engine { name: "spki", scheme: ostree_spki::METADATA_KEY, list: KeyList::Spki },
];

/// Where a system keeps what holds for all remotes.
const SYSTEM: [&str; 2] = ["etc/ostree", "usr/share/ostree"];
const REMOTES: &str = "etc/ostree/remotes.d";

impl Repository {
    /// Opens the repository of the system whose root is `sysroot`, with its `/etc/ostree/remotes.d`.
    ///
    /// # Errors
    /// As of [`Repository::open`].
    pub fn open_in(path: &Path, sysroot: &Path) -> Result<Self> {
        let remotes = sysroot.join(REMOTES);
        Self::open_as(path, |file| {
            glib::Object::builder::<Repo>()
                .property("path", file)
                .property("remotes-config-dir", remotes.to_string_lossy().as_ref())
                .build()
        })
    }

    /// Whose signatures a remote trusts, and what else it asks for. Keys that hold for all remotes
    /// are those of the system whose root is `sysroot`; without one, of this machine. Paths in the
    /// configuration are that system's.
    ///
    /// # Errors
    /// [`OstreeError::NoSuchRemote`], [`OstreeError::Remote`]. That it asks for no signature is no
    /// error, but refuses every commit ([`RemoteRules::refusals`]).
    pub fn trust_of_remote(&self, name: &str, sysroot: Option<&Path>) -> Result<Trust> {
        self.check_remote(name)?;
        let config = Config { repository: self, name, sysroot };
        let mut refusals = Vec::new();
        if let Some(state) = config.option("unconfigured-state")? {
            refusals.push(format!("the remote {name} is not configured: {state}"));
        }
        let gpg = self.repo.remote_get_gpg_verify(name).map_err(|error| config.wrong(error))?;
        let engines = config.engines("sign-verify")?;
        if !gpg && engines.is_none() {
            refusals.push(format!(
                "the remote {name} asks for no signature of commits: gpg-verify is off, and so is \
                 sign-verify"
            ));
        }
        let keys = config.keys(engines.as_deref().unwrap_or_default(), "sign-verify")?;
        let gpg = gpg.then(|| config.keyring()).transpose()?;
        for (without, what) in [
            (engines.is_some() && keys.is_empty(), "sign-verify on, and no key"),
            (gpg.as_ref().is_some_and(Keyring::is_empty), "gpg-verify on, and no GPG key"),
        ] {
            if without {
                refusals.push(format!("the remote {name} has {what}"));
            }
        }
        let mut revoked = Vec::new();
        for engine in ENGINES {
            revoked.extend(config.of_system("revoked", engine)?);
        }
        let collection = config.option("collection-id")?;
        let mut rules = RemoteRules { name: name.to_owned(), collection, summary: None, refusals };
        config.summary(&revoked, &mut rules)?;
        Ok(Trust { keys, revoked, gpg, remote: Some(rules) })
    }
}

/// The configuration of one remote.
struct Config<'a> {
    repository: &'a Repository,
    name: &'a str,
    sysroot: Option<&'a Path>,
}

impl Config<'_> {
    fn wrong(&self, reason: impl std::fmt::Display) -> OstreeError {
        OstreeError::Remote { name: self.name.to_owned(), reason: reason.to_string() }
    }

    fn option(&self, key: &str) -> Result<Option<String>> {
        let value = self.repository.repo.remote_option(self.name, key, None);
        Ok(value.map_err(|error| self.wrong(error))?.map(Into::into))
    }

    /// The engines of which one must verify; `None` where none is asked for.
    fn engines(&self, key: &str) -> Result<Option<Vec<(Engine, bool)>>> {
        let value = self.option(key)?.unwrap_or_default();
        match value.as_str() {
            "" | "false" | "0" => return Ok(None),
            // As GKeyFile has truth. Each engine may have keys then.
            "true" | "1" => return Ok(Some(ENGINES.map(|engine| (engine, false)).to_vec())),
            _ => {}
        }
        let list = self.repository.repo.remote_list_option(self.name, key);
        let list = list.map_err(|error| self.wrong(error))?;
        let engines: Result<Vec<_>> = list
            .iter()
            .map(|name| {
                let engine = ENGINES.into_iter().find(|engine| engine.name == name.as_str());
                let unknown = || {
                    self.wrong(format!(
                        "its {key} asks for {name:?}, expected true, false, ed25519 or spki"
                    ))
                };
                engine.map(|engine| (engine, true)).ok_or_else(unknown)
            })
            .collect();
        let engines = engines?;
        match engines.is_empty() {
            true => Err(self.wrong(format!("its {key} is a list of nothing"))),
            false => Ok(Some(engines)),
        }
    }

    /// The keys of engines, each of which must have its own where `true` is beside it.
    fn keys(&self, engines: &[(Engine, bool)], asked_by: &str) -> Result<Vec<TrustedKey>> {
        let mut trusted = Vec::new();
        for (engine, own) in engines {
            let [key, file] =
                ["key", "file"].map(|end| format!("verification-{}-{end}", engine.name));
            let mut keys = Vec::new();
            let (inline, path) = (self.option(&key)?, self.option(&file)?);
            match (&inline, &path, own) {
                (None, None, true) => {
                    let name = engine.name;
                    let reason =
                        format!("its {asked_by} names {name}, and it has no {key} or {file}");
                    return Err(self.wrong(reason));
                }
                (None, None, false) => keys = self.of_system("trusted", *engine)?,
                _ => {}
            }
            if let Some(path) = path {
                let found = self.read_keys(&self.place(&path)?, engine.list)?;
                if found.is_empty() {
                    return Err(self.wrong(format!("there is no key in {path}")));
                }
                keys.extend(found);
            }
            if let Some(text) = inline {
                let parsed = match engine.list {
                    KeyList::Spki => PublicKey::from_spki_base64(&text),
                    _ => engine.list.parse(text.as_bytes()).map_err(|error| error.source).and_then(
                        |keys| keys.into_iter().next().ok_or(treelay_signing::KeyError::NotAKey),
                    ),
                };
                keys.push(parsed.map_err(|error| self.wrong(format!("its {key} is {error}")))?);
            }
            let scheme = Some(engine.scheme);
            trusted.extend(keys.into_iter().map(|key| TrustedKey { key, scheme }));
        }
        Ok(trusted)
    }

    /// The keys of `trusted.ENGINE` or `revoked.ENGINE`, and of the directory of that name with `.d`.
    fn of_system(&self, kind: &str, engine: Engine) -> Result<Vec<PublicKey>> {
        let mut keys = Vec::new();
        for folder in SYSTEM {
            let file = self.root().join(folder).join(format!("{kind}.{}", engine.name));
            let mut folder = file.clone().into_os_string();
            folder.push(".d");
            for path in
                file.is_file().then_some(file).into_iter().chain(self.files(folder.as_ref())?)
            {
                keys.extend(self.read_keys(&path, engine.list)?);
            }
        }
        Ok(keys)
    }

    fn read_keys(&self, path: &Path, list: KeyList) -> Result<Vec<PublicKey>> {
        let bytes = std::fs::read(path)
            .map_err(|error| self.wrong(format!("reading the keys {}: {error}", path.display())))?;
        list.parse(&bytes).map_err(|error| {
            let (path, line) = (path.display(), error.line);
            self.wrong(format!("line {line} of {path} is {}", error.source))
        })
    }

    /// The files of a directory in the order of their names; none where there is no directory.
    fn files(&self, folder: &Path) -> Result<Vec<PathBuf>> {
        if !folder.is_dir() {
            return Ok(Vec::new());
        }
        let reading = || format!("reading {}", folder.display());
        let mut files = Vec::new();
        for entry in std::fs::read_dir(folder).doing(reading)? {
            let path = entry.doing(reading)?.path();
            if path.is_file() {
                files.push(path);
            }
        }
        files.sort();
        Ok(files)
    }

    fn root(&self) -> &Path {
        self.sysroot.unwrap_or(Path::new("/"))
    }

    /// A path of the configuration.
    fn place(&self, path: &str) -> Result<PathBuf> {
        match path.strip_prefix('/') {
            Some(below) => Ok(self.root().join(below)),
            None => Err(self.wrong(format!("{path:?} is not an absolute path"))),
        }
    }

    /// The GPG keys that it trusts.
    fn keyring(&self) -> Result<Keyring> {
        let mut keyring = Keyring::empty();
        match self.own_keyring() {
            Some(path) => keyring = Keyring::read_binary(&path)?,
            None => {
                let folder = self.root().join(SYSTEM[1]).join("trusted.gpg.d");
                for path in self.files(&folder)? {
                    let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
                    let other = ["trustdb.gpg", "secring.gpg"].contains(&name.as_str());
                    if name.ends_with(".gpg") && !other {
                        keyring.extend(&Keyring::read_binary(&path)?);
                    }
                }
            }
        }
        let paths = self.option("gpgkeypath")?.unwrap_or_default();
        for path in paths.split([';', ',']).map(str::trim).filter(|path| !path.is_empty()) {
            let path = self.place(path)?;
            let files = if path.is_dir() { self.files(&path)? } else { vec![path] };
            for file in files {
                keyring.extend(&Keyring::read(&file)?);
            }
        }
        Ok(keyring)
    }

    /// The keyring of its own: in the repository, beside the files of remotes, or in a parent.
    fn own_keyring(&self) -> Option<PathBuf> {
        let file = format!("{}.trustedkeys.gpg", self.name);
        let mut places = vec![self.repository.path.clone()];
        if self.sysroot.is_some() || self.repository.repo.is_system() {
            places.push(self.root().join(REMOTES));
        }
        let mut parent = self.repository.repo.parent();
        while let Some(repo) = parent {
            places.extend(repo.path().path());
            parent = repo.parent();
        }
        places.into_iter().map(|place| place.join(&file)).find(|path| path.exists())
    }

    /// Judges the copy of the summary that the last pull kept, where the summary must be signed.
    fn summary(&self, revoked: &[PublicKey], rules: &mut RemoteRules) -> Result<()> {
        let repo = &self.repository.repo;
        let gpg =
            repo.remote_get_gpg_verify_summary(self.name).map_err(|error| self.wrong(error))?;
        let engines = self.engines("sign-verify-summary")?;
        if !gpg && engines.is_none() {
            return Ok(());
        }
        let name = self.name;
        let keys = self.keys(engines.as_deref().unwrap_or_default(), "sign-verify-summary")?;
        if engines.is_some() && keys.is_empty() {
            rules
                .refusals
                .push(format!("the remote {name} has sign-verify-summary on, and no key"));
        }
        let gpg = gpg.then(|| self.keyring()).transpose()?;
        let path = self.repository.path.join("tmp/cache/summaries").join(name);
        let signatures = path.with_file_name(format!("{name}.sig"));
        let (Ok(summary), Ok(signatures)) = (std::fs::read(path), std::fs::read(signatures)) else {
            rules.refusals.push(format!(
                "the summary of the remote {name} must be signed, and this repository keeps no copy \
                 of it: pull from the remote first"
            ));
            return Ok(());
        };
        // The type is a constant, and valid.
        let summary_type =
            glib::VariantTy::new("(a(s(taya{sv}))a{sv})").map_err(|e| self.wrong(e))?;
        let variant =
            |bytes: &[u8], kind| Variant::from_bytes_with_type(&glib::Bytes::from(bytes), kind);
        let detached = variant(&signatures, glib::VariantTy::VARDICT);
        let refs = variant(&summary, summary_type);
        if !detached.is_normal_form() || !refs.is_normal_form() {
            rules.refusals.push(format!("the summary of the remote {name} is damaged"));
            return Ok(());
        }
        let trust = Trust { keys, revoked: revoked.to_vec(), gpg, remote: Some(rules.clone()) };
        let judged = judge::judge(&summary, &dictionary(&detached), &trust)?;
        let reasons = judged.damage.into_iter().chain(judged.reasons);
        let whose = |reason| format!("the summary of the remote {name}: {reason}");
        rules.refusals.extend(reasons.map(whose));
        rules.summary = Some(named_by(&refs.child_value(0)));
        Ok(())
    }
}

/// The refs of a summary (`a(s(taya{sv}))`) and their commits.
fn named_by(refs: &Variant) -> BTreeMap<String, Digest> {
    let named = refs.iter().filter_map(|entry| {
        let name = entry.try_child_value(0)?.get::<String>()?;
        let checksum = entry.try_child_value(1)?.try_child_value(1)?;
        Some((name, objects::digest_of_bytes(&checksum)?))
    });
    named.collect()
}
