//! Reading a bundle: member by member, each as the manifest has it or the whole is refused.

use std::io::{self, BufReader, Read, Seek};

use treelay_layers::encode::{TAR_END, tar_header, tar_padding};
use treelay_layers::{Entry, TreePath};
use treelay_recipes::{Digest, HashingReader};

use super::error::BundleError;
use super::manifest::{Manifest, Member};
use super::{CODEC, MANIFEST};

/// Bytes that a manifest may have: some two hundred thousand members.
const MOST_OF_MANIFEST: u64 = 64 << 20;
/// Bytes of a header of tar.
const BLOCK: usize = 512;
/// The first bytes of zstd.
const MAGIC: [u8; 4] = [0x28, 0xb5, 0x2f, 0xfd];

/// Takes the members of a bundle, in their order.
pub(super) trait Take {
    /// Reads `content`, which may turn out to be wrong afterwards. What it leaves is passed over.
    fn member(&mut self, member: &Member, content: &mut dyn Read) -> io::Result<()>;
}

/// Takes nothing.
impl Take for () {
    fn member(&mut self, _: &Member, _: &mut dyn Read) -> io::Result<()> {
        Ok(())
    }
}

/// What a bundle says that it holds, without reading on.
///
/// # Errors
/// [`BundleError`].
pub fn list(bundle: impl Read + Seek) -> Result<Manifest, BundleError> {
    let (mut stream, size) = open(bundle)?;
    manifest(&mut stream, size)
}

/// Reads a bundle whole: every member is there, with its length and digest, and nothing else.
///
/// # Errors
/// [`BundleError`].
pub fn verify(bundle: impl Read + Seek) -> Result<Manifest, BundleError> {
    let (mut stream, size) = open(bundle)?;
    let manifest = manifest(&mut stream, size)?;
    members(&mut stream, &manifest, &mut ())?;
    Ok(manifest)
}

/// The tar of a bundle, and the length of the bundle's file.
pub(super) fn open<'b>(
    mut bundle: impl Read + Seek + 'b,
) -> Result<(impl Read + 'b, u64), BundleError> {
    let size = bundle.seek(io::SeekFrom::End(0)).map_err(BundleError::Reading)?;
    bundle.rewind().map_err(BundleError::Reading)?;
    let mut magic = [0; 4];
    match bundle.read_exact(&mut magic) {
        Ok(()) if magic == MAGIC => {}
        Err(error) if error.kind() != io::ErrorKind::UnexpectedEof => {
            return Err(BundleError::Reading(error));
        }
        _ => {
            let what = format!("it is not compressed by {}", CODEC.id());
            return Err(BundleError::NotABundle(what));
        }
    }
    bundle.rewind().map_err(BundleError::Reading)?;
    // Reads frame after frame to the end; libzstd refuses windows over 128 MiB.
    let stream =
        zstd::stream::read::Decoder::with_buffer(BufReader::with_capacity(256 << 10, bundle));
    Ok((stream.map_err(BundleError::Reading)?, size))
}

/// The manifest, which comes first.
pub(super) fn manifest(stream: &mut dyn Read, size: u64) -> Result<Manifest, BundleError> {
    let not = || BundleError::NotABundle(format!("it does not begin with {MANIFEST}"));
    let mut header = [0; BLOCK];
    exactly(stream, &mut header, MANIFEST)?;
    // The field of the length, eleven octal digits (POSIX, ustar Interchange).
    let digits = std::str::from_utf8(&header[124..135]).map_err(|_| not())?;
    let length = u64::from_str_radix(digits, 8).map_err(|_| not())?;
    if header_of(MANIFEST, length, &Digest::of("")) != header {
        return Err(not());
    }
    if length > MOST_OF_MANIFEST {
        return Err(BundleError::Manifest(format!("it is over {MOST_OF_MANIFEST} bytes")));
    }
    let mut json = Vec::new();
    let read = stream.take(length).read_to_end(&mut json);
    let read = read.map_err(|error| reading(MANIFEST, error))?;
    if (read as u64) < length {
        return Err(BundleError::damaged(MANIFEST, "the bundle ends in it"));
    }
    padding(stream, length, MANIFEST)?;
    Manifest::parse(&json, size)
}

/// Every other member, and the end.
pub(super) fn members(
    stream: &mut dyn Read,
    manifest: &Manifest,
    take: &mut dyn Take,
) -> Result<(), BundleError> {
    for member in &manifest.members {
        let expected = header_of(&member.path, member.size, &member.sha256);
        let mut header = vec![0; expected.len()];
        exactly(stream, &mut header, &member.path)?;
        if header != expected {
            let reason = "what is there is not what the manifest lists next";
            return Err(BundleError::damaged(&member.path, reason));
        }
        let mut content =
            Content { inner: HashingReader::new((&mut *stream).take(member.size)), failed: None };
        let taken = take.member(member, &mut content);
        if let Some(error) = content.failed.take() {
            return Err(reading(&member.path, error));
        }
        taken.map_err(BundleError::writing("keeping what is in the bundle"))?;
        io::copy(&mut content.inner, &mut io::sink())
            .map_err(|error| reading(&member.path, error))?;
        let (digest, length) = content.inner.finish();
        if length < member.size {
            return Err(BundleError::damaged(&member.path, "the bundle ends in it"));
        }
        if digest != member.sha256 {
            return Err(BundleError::damaged(
                &member.path,
                format!("its SHA-256 is {}", digest.hex()),
            ));
        }
        padding(stream, member.size, &member.path)?;
    }
    let mut end = [1; TAR_END.len()];
    exactly(stream, &mut end, "its end")?;
    let mut more = [0];
    let read = stream.read(&mut more);
    match read {
        Ok(0) if end == TAR_END => Ok(()),
        Ok(_) => Err(BundleError::Trailing),
        Err(error) => Err(reading("its end", error)),
    }
}

/// The header of a member.
pub(super) fn header_of(path: &str, size: u64, digest: &Digest) -> Vec<u8> {
    // Names that a manifest may list are paths of trees; anything else matches no header.
    let path = TreePath::new(path);
    path.map(|path| tar_header(&Entry::new_file(path, 0o644, *digest, size))).unwrap_or_default()
}

fn padding(stream: &mut dyn Read, size: u64, member: &str) -> Result<(), BundleError> {
    let mut padding = vec![0; tar_padding(size)];
    exactly(stream, &mut padding, member)?;
    match padding.iter().all(|byte| *byte == 0) {
        true => Ok(()),
        false => Err(BundleError::damaged(member, "bytes are behind it")),
    }
}

fn exactly(stream: &mut dyn Read, buffer: &mut [u8], member: &str) -> Result<(), BundleError> {
    stream.read_exact(buffer).map_err(|error| reading(member, error))
}

/// What `error` means, met at `member`: only what the operating system says is about the file.
fn reading(member: &str, error: io::Error) -> BundleError {
    if error.kind() == io::ErrorKind::UnexpectedEof {
        return BundleError::damaged(member, "the bundle ends there");
    }
    match error.raw_os_error() {
        Some(_) => BundleError::Reading(error),
        None => BundleError::damaged(member, error.to_string()),
    }
}

/// A content that remembers what went wrong below, so that it is not taken for the sink's fault.
struct Content<R> {
    inner: HashingReader<R>,
    failed: Option<io::Error>,
}

impl<R: Read> Read for Content<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.inner.read(buffer).map_err(|error| {
            let told = io::Error::new(error.kind(), error.to_string());
            self.failed = Some(error);
            told
        })
    }
}
