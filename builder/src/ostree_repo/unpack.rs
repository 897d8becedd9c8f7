//! Objects out of the layers of a commit that is encapsulated in a container image.
//!
//! The layers hold a repository of mode `bare-split-xattrs` below `sysroot/ostree/repo/objects`:
//! metadata objects as they are; content objects as files and links with owner and mode in the tar
//! header; extended attributes in `.file-xattrs`, which a `.file-xattrs-link` right before the object
//! names (ostree-ext, `src/tar/import.rs`). Everything is written under the checksum that it is
//! called by, which libostree computes again.

use std::collections::HashMap;
use std::io::{self, BufRead, Read};

use ostree::glib::{self, Bytes, Variant, VariantTy};
use ostree::{ObjectType, Repo, RepoMode};
use treelay_layers::archive::{Member, MemberKind, members};
use treelay_recipes::{Digest, Hasher};

use super::error::{Doing, OstreeError, Result};
use super::filez::{self, IN_ONE_PIECE, Packer};
use super::objects::{FileMeta, REGULAR, SYMLINK};
use super::staging::Staging;
use super::{NONE, Repository};

/// libostree's own limit of metadata objects.
const MOST_METADATA: u64 = 10 << 20;
/// ostree-ext's limit of attributes.
const MOST_XATTRS: u64 = 1 << 20;
/// All attributes together, which stay in memory: many times what a distribution has.
const MOST_XATTRS_IN_ALL: u64 = 64 << 20;
/// What attributes take besides their bytes.
const OVERHEAD: u64 = 200;
const OBJECTS: &str = "sysroot/ostree/repo/objects/";

/// Takes a commit out of layers, lowest first. Nothing counts as there before [`Unpack::finish`].
pub struct Unpack<'r> {
    repository: &'r Repository,
    repo: Repo,
    commit: Digest,
    /// Taken when all is done.
    staging: Option<Staging>,
    packer: Packer,
    /// By their checksum.
    xattrs: HashMap<Digest, Variant>,
    /// Bytes of them.
    held: u64,
    /// The content object that comes next, and its attributes.
    next: Option<(Digest, Variant)>,
}

impl Repository {
    /// Begins to take `commit` out of layers, into a repository of mode archive.
    ///
    /// # Errors
    /// [`OstreeError::Mode`]; what kept libostree from beginning to write.
    pub fn unpack(&self, commit: &Digest) -> Result<Unpack<'_>> {
        if self.repo.mode() != RepoMode::Archive {
            let (path, mode) = (self.path.clone(), self.mode());
            let reason = "and commits of images are taken out into archive alone".to_owned();
            return Err(OstreeError::Mode { path, mode, reason });
        }
        let beginning = || format!("beginning to write to {}", self.path.display());
        let repo = Repo::new_for_path(&self.path);
        repo.open(NONE).doing(beginning)?;
        repo.set_disable_fsync(true);
        repo.mark_commit_partial(&commit.hex(), true).doing(beginning)?;
        repo.prepare_transaction(NONE).doing(beginning)?;
        let staging = match Staging::new(&self.dir) {
            Ok(staging) => staging,
            Err(error) => {
                let _ = repo.abort_transaction(NONE);
                return Err(error).doing(beginning);
            }
        };
        let (commit, packer) = (*commit, Packer::new(self.level()));
        let (xattrs, held, next) = Default::default();
        let staging = Some(staging);
        Ok(Unpack { repository: self, repo, commit, staging, packer, xattrs, held, next })
    }
}

impl Unpack<'_> {
    /// Takes the objects of a layer: a tar, perhaps compressed with gzip or zstd.
    ///
    /// # Errors
    /// What reading met, and objects that are not what they are called.
    pub fn add(&mut self, layer: impl BufRead) -> io::Result<()> {
        members(layer, &mut |member| self.member(member))
    }

    /// Makes the commit count, once all of it is there.
    ///
    /// # Errors
    /// [`OstreeError::BadBase`] naming an object that no layer had.
    pub fn finish(mut self) -> Result<()> {
        let commit = self.commit.hex();
        let finishing = || format!("taking commit {commit} out of its image");
        if let Some(staging) = self.staging.take() {
            let published = staging.publish(&self.repository.dir);
            let committed = self.repo.commit_transaction(NONE);
            published.doing(finishing)?;
            committed.doing(finishing)?;
        }
        if let Some(missing) = self.repository.missing(&self.commit)? {
            return Err(OstreeError::BadBase {
                commit,
                path: self.repository.path.clone(),
                reason: format!("its image does not have object {missing}"),
            });
        }
        // It counts as whole from here on, and is not read again.
        rustix::fs::syncfs(self.repo.dfd_borrow())
            .map_err(std::io::Error::from)
            .doing(finishing)?;
        self.repo.mark_commit_partial(&commit, false).doing(finishing)
    }

    fn member(&mut self, member: Member<'_>) -> io::Result<()> {
        let path = std::str::from_utf8(&member.path).unwrap_or_default();
        let path = path.trim_start_matches("./").to_owned();
        let Some(object) = path.strip_prefix(OBJECTS).filter(|_| member.kind != MemberKind::Dir)
        else {
            return Ok(());
        };
        let wrong = |reason: String| {
            io::Error::new(io::ErrorKind::InvalidData, format!("object {object}: {reason}"))
        };
        let (checksum, kind) =
            parse(object).ok_or_else(|| wrong("that is no name of an object".to_owned()))?;
        let taken = match kind {
            "file-xattrs" => self.xattrs(member, checksum),
            "file-xattrs-link" => self.link(member, checksum),
            "file" => self.file(member, checksum),
            _ => self.metadata(member, checksum, kind),
        };
        taken.map_err(wrong)
    }

    fn xattrs(&mut self, member: Member<'_>, checksum: Digest) -> Taken {
        let bytes = bytes(member, MOST_XATTRS)?;
        if Digest::of(&bytes) != checksum {
            return Err(format!("its bytes have the checksum {}", Digest::of(&bytes).hex()));
        }
        if self.xattrs.insert(checksum, variant(&bytes, "a(ayay)")?).is_none() {
            self.held += bytes.len() as u64 + OVERHEAD;
        }
        match self.held > MOST_XATTRS_IN_ALL {
            true => Err(format!("attributes have more than {MOST_XATTRS_IN_ALL} bytes in all")),
            false => Ok(()),
        }
    }

    /// Which attributes the object has that comes next.
    fn link(&mut self, member: Member<'_>, checksum: Digest) -> Taken {
        let xattrs = match member.kind {
            MemberKind::HardLink => {
                let target = String::from_utf8_lossy(&member.target).into_owned();
                let named =
                    target.rsplit_once("objects/").map_or(target.as_str(), |(_, name)| name);
                let named = named.trim_start_matches("../");
                let found = parse(named).and_then(|(xattrs, _)| self.xattrs.get(&xattrs).cloned());
                found.ok_or_else(|| format!("there are no attributes {target}"))?
            }
            // Where a file system allows no more links.
            MemberKind::File => variant(&bytes(member, MOST_XATTRS)?, "a(ayay)")?,
            _ => return Err("it is neither a link nor a file".to_owned()),
        };
        self.next = Some((checksum, xattrs));
        Ok(())
    }

    fn file(&mut self, member: Member<'_>, checksum: Digest) -> Taken {
        let Some((_, xattrs)) = self.next.take().filter(|(next, _)| *next == checksum) else {
            return Err("nothing says which attributes it has".to_owned());
        };
        let failed = |error: glib::Error| error.message().to_owned();
        let hex = checksum.hex();
        let staged = self.staging.as_ref().is_some_and(|staging| staging.has(&checksum));
        if staged || self.repo.has_object(ObjectType::File, &hex, NONE).map_err(failed)? {
            return Ok(());
        }
        let Member { kind, mode, owner, target, size, content, .. } = member;
        let (kind, mode, symlink) = match kind {
            MemberKind::File => (REGULAR, mode, String::new()),
            MemberKind::Symlink => {
                let target =
                    String::from_utf8(target).map_err(|_| "its target is not UTF-8".to_owned())?;
                (SYMLINK, 0o777, target)
            }
            _ => return Err("it is neither a file nor a link".to_owned()),
        };
        let (uid, gid) = (owner.uid, owner.gid);
        let meta = FileMeta { uid, gid, mode: kind | u32::from(mode), symlink, xattrs };
        self.write(&meta, size, content, checksum).map_err(|error| error.to_string())
    }

    /// Packs a content object, which counts if it has that checksum.
    fn write(
        &mut self,
        meta: &FileMeta,
        size: u64,
        content: &mut dyn Read,
        checksum: Digest,
    ) -> io::Result<()> {
        // It is there until the end.
        let Some(staging) = &self.staging else { return Ok(()) };
        let mut object = Hasher::default();
        object.update(&meta.header());
        if !meta.is_regular() {
            is(&object.finish(), &checksum)?;
            return staging.write(checksum, &filez::pack_link(meta));
        }
        if size <= IN_ONE_PIECE {
            let mut bytes = Vec::new();
            content.read_to_end(&mut bytes)?;
            object.update(&bytes);
            is(&object.finish(), &checksum)?;
            let packed = self.packer.pack(meta, &bytes)?;
            return staging.write(checksum, packed);
        }
        let mut draft = staging.draft()?;
        let mut hashed = Hashed { content, object };
        self.packer.pack_stream(meta, size, &mut hashed, &mut draft.file)?;
        is(&hashed.object.finish(), &checksum)?;
        staging.keep(draft, checksum)
    }

    fn metadata(&mut self, member: Member<'_>, checksum: Digest, kind: &str) -> Taken {
        let (object, shape) = match kind {
            "commit" => (ObjectType::Commit, "(a{sv}aya(say)sstayay)"),
            "commitmeta" => (ObjectType::CommitMeta, "a{sv}"),
            "dirtree" => (ObjectType::DirTree, "(a(say)a(sayay))"),
            "dirmeta" => (ObjectType::DirMeta, "(uuua(ayay))"),
            other => return Err(format!("there are no objects of the kind {other}")),
        };
        if member.kind != MemberKind::File {
            return Err("it is no file".to_owned());
        }
        let bytes = bytes(member, MOST_METADATA)?;
        let failed = |error: glib::Error| error.message().to_owned();
        let variant = variant(&bytes, shape)?;
        let hex = checksum.hex();
        if object == ObjectType::CommitMeta {
            let written = self.repo.write_commit_detached_metadata(&hex, Some(&variant), NONE);
            return written.map_err(failed);
        }
        if Digest::of(&bytes) != checksum {
            return Err(format!("its bytes have the checksum {}", Digest::of(&bytes).hex()));
        }
        self.repo.write_metadata(object, Some(&hex), &variant, NONE).map(drop).map_err(failed)
    }
}

/// Content on its way into an object.
struct Hashed<'c> {
    content: &'c mut dyn Read,
    object: Hasher,
}

impl Read for Hashed<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.content.read(buffer)?;
        self.object.update(&buffer[..n]);
        Ok(n)
    }
}

fn is(found: &Digest, expected: &Digest) -> io::Result<()> {
    match found == expected {
        true => Ok(()),
        false => Err(io::Error::other(format!("it has the checksum {}", found.hex()))),
    }
}

/// What is wrong otherwise.
type Taken = std::result::Result<(), String>;

impl Drop for Unpack<'_> {
    fn drop(&mut self) {
        if self.staging.is_some() {
            // What is left after a failure, the next run removes.
            let _ = self.repo.abort_transaction(NONE);
        }
    }
}

fn bytes(member: Member<'_>, most: u64) -> std::result::Result<Vec<u8>, String> {
    if member.size > most {
        return Err(format!("it has {} bytes, more than such an object may have", member.size));
    }
    let mut bytes = Vec::new();
    member.content.read_to_end(&mut bytes).map_err(|error| error.to_string())?;
    Ok(bytes)
}

/// A value in normal form, of which libostree may read every part.
fn variant(bytes: &[u8], shape: &str) -> std::result::Result<Variant, String> {
    let kind = VariantTy::new(shape).map_err(|error| error.to_string())?;
    // A copy: a variant may outlive what it was made from, and glib's `from_data` does not ask.
    let variant = Variant::from_bytes_with_type(&Bytes::from(bytes), kind);
    match variant.is_normal_form() {
        true => Ok(variant),
        false => Err("it is not in GVariant's normal form".to_owned()),
    }
}

/// `ab/cdef….KIND`
fn parse(name: &str) -> Option<(Digest, &str)> {
    let (first, rest) = name.split_once('/')?;
    let (rest, kind) = rest.split_once('.')?;
    Some((Digest::from_hex(&format!("{first}{rest}")).ok()?, kind))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_objects() {
        let hex = Digest::of("x").hex();
        let name = format!("{}/{}.file-xattrs-link", &hex[..2], &hex[2..]);
        assert_eq!(parse(&name), Some((Digest::of("x"), "file-xattrs-link")));
        for name in ["", "ab", "ab/cd.file", &name[1..], &name.replace('.', "")] {
            assert_eq!(parse(name), None, "{name}");
        }
    }
}
