//! What a layer unpacks to. The blob's chunks go to a thread that decodes and hashes them.

use std::io::{self, BufRead, BufReader, Read};

use bytes::{Buf, Bytes};
use flate2::bufread::GzDecoder;
use futures_util::{Stream, StreamExt};
use tokio::sync::mpsc;
use treelay_recipes::{Digest, Hasher};

use super::Fault;
use crate::image_store::StoreError;
use crate::sign::problem::with_causes;

/// Bytes that are decoded and hashed at once.
const BUFFER: usize = 128 << 10;

/// How a layer is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Compression {
    None,
    Gzip,
    Zstd,
}

impl Compression {
    /// Of a layer's media type; `None` when it is not a layer's (image-spec, layer.md; Docker's
    /// from its image manifest v2, schema 2).
    pub(super) fn of(media_type: &str) -> Option<Self> {
        const OCI: [&str; 2] = [
            "application/vnd.oci.image.layer.v1.tar",
            "application/vnd.oci.image.layer.nondistributable.v1.tar",
        ];
        const DOCKER: [&str; 2] = [
            "application/vnd.docker.image.rootfs.diff.tar",
            "application/vnd.docker.image.rootfs.foreign.diff.tar",
        ];
        let suffix = |types: [&str; 2]| {
            let mut suffixes = types.into_iter().filter_map(|t| media_type.strip_prefix(t));
            suffixes.find(|rest| matches!(*rest, "" | "+gzip" | "+zstd" | ".gzip" | ".zstd"))
        };
        match (suffix(OCI), suffix(DOCKER)) {
            (Some(""), _) | (_, Some("")) => Some(Self::None),
            (Some("+gzip"), _) | (_, Some(".gzip")) => Some(Self::Gzip),
            (Some("+zstd"), _) | (_, Some(".zstd")) => Some(Self::Zstd),
            _ => None,
        }
    }
}

/// What a layer unpacks to.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Unpacked {
    pub(super) diff_id: Digest,
    /// Members of its gzip; 1 for other compressions.
    pub(super) members: u64,
}

/// Reads a blob to its end, which is where it is found to be right.
pub(super) async fn drain(
    mut blob: impl Stream<Item = Result<Bytes, StoreError>> + Unpin,
    digest: &Digest,
) -> Result<(), Fault> {
    while let Some(chunk) = blob.next().await {
        chunk.map_err(|error| Fault::of(&error, digest))?;
    }
    Ok(())
}

/// Unpacks a layer. Where both the blob and its decoding fail, the blob is to blame.
pub(super) async fn unpack(
    mut blob: impl Stream<Item = Result<Bytes, StoreError>> + Unpin,
    compression: Compression,
    digest: &Digest,
) -> Result<Unpacked, Fault> {
    let (sender, receiver) = mpsc::channel(4);
    let decoder = tokio::task::spawn_blocking(move || {
        let reader = Chunks { receiver, current: Bytes::new(), ended: false };
        decode(BufReader::with_capacity(BUFFER, reader), compression)
    });
    let mut wanted = true;
    while let Some(chunk) = blob.next().await {
        let chunk = chunk.map_err(|error| Fault::of(&error, digest))?;
        // A decoder that gave up wants no more; the blob is still read to its end.
        wanted = wanted && sender.send(Some(chunk)).await.is_ok();
    }
    if wanted {
        // Not taken by a decoder that is just giving up.
        let _ = sender.send(None).await;
    }
    drop(sender);
    match decoder.await {
        Ok(decoded) => decoded.map_err(|error| Fault::Compression { reason: with_causes(&error) }),
        Err(error) => match error.try_into_panic() {
            Ok(panic) => std::panic::resume_unwind(panic),
            Err(error) => Err(Fault::Unreadable { reason: error.to_string() }),
        },
    }
}

/// Reads what comes through a channel. `None` is the end; a channel that closes without it means
/// that nobody wants the result.
struct Chunks {
    receiver: mpsc::Receiver<Option<Bytes>>,
    current: Bytes,
    ended: bool,
}

impl Read for Chunks {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while self.current.is_empty() && !self.ended {
            match self.receiver.blocking_recv() {
                Some(Some(chunk)) => self.current = chunk,
                Some(None) => self.ended = true,
                None => return Err(io::ErrorKind::BrokenPipe.into()),
            }
        }
        let n = self.current.len().min(buffer.len());
        self.current.copy_to_slice(&mut buffer[..n]);
        Ok(n)
    }
}

fn decode(mut source: impl BufRead, compression: Compression) -> io::Result<Unpacked> {
    let mut hasher = Hasher::default();
    let mut members = 1;
    match compression {
        Compression::None => hash(&mut source, &mut hasher)?,
        Compression::Zstd => {
            hash(&mut zstd::stream::read::Decoder::with_buffer(source)?, &mut hasher)?;
        }
        Compression::Gzip => {
            hash(&mut GzDecoder::new(&mut source), &mut hasher)?;
            while !source.fill_buf()?.is_empty() {
                members += 1;
                hash(&mut GzDecoder::new(&mut source), &mut hasher).map_err(|error| {
                    let place = format!("what follows gzip member {}: {error}", members - 1);
                    io::Error::new(error.kind(), place)
                })?;
            }
        }
    }
    Ok(Unpacked { diff_id: hasher.finish(), members })
}

fn hash(reader: &mut impl Read, hasher: &mut Hasher) -> io::Result<()> {
    let mut buffer = vec![0; BUFFER];
    loop {
        match reader.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(n) => hasher.update(&buffer[..n]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Write;

    use futures_util::stream;

    use super::*;

    fn gzip(bytes: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), Default::default());
        encoder.write_all(bytes).unwrap();
        encoder.finish().unwrap()
    }

    async fn unpack_bytes(bytes: Vec<u8>, compression: Compression) -> Result<Unpacked, Fault> {
        let chunks: Vec<_> = bytes.chunks(7).map(Bytes::copy_from_slice).map(Ok).collect();
        unpack(stream::iter(chunks), compression, &Digest::of(&bytes)).await
    }

    #[tokio::test]
    async fn every_compression() {
        let text = b"layer ".repeat(1000);
        let (one, two) = text.split_at(1234);
        let zstd = |bytes: &[u8]| zstd::encode_all(bytes, 3).unwrap();
        for (bytes, compression, members) in [
            (text.clone(), Compression::None, 1),
            (gzip(&text), Compression::Gzip, 1),
            ([gzip(one), gzip(two)].concat(), Compression::Gzip, 2),
            (zstd(&text), Compression::Zstd, 1),
            ([zstd(one), zstd(two)].concat(), Compression::Zstd, 1),
        ] {
            let unpacked = unpack_bytes(bytes, compression).await;
            assert_eq!(unpacked, Ok(Unpacked { diff_id: Digest::of(&text), members }));
        }
    }

    #[tokio::test]
    async fn what_does_not_end_where_it_should() {
        let text = b"layer ".repeat(1000);
        let zstd = zstd::encode_all(&text[..], 3).unwrap();
        for (bytes, compression) in [
            (gzip(&text)[..40].to_vec(), Compression::Gzip),
            ([gzip(&text), b"junk".to_vec()].concat(), Compression::Gzip),
            ([gzip(&text), vec![0]].concat(), Compression::Gzip),
            (text.clone(), Compression::Gzip),
            (Vec::new(), Compression::Gzip),
            (zstd[..zstd.len() - 1].to_vec(), Compression::Zstd),
            ([zstd, b"junk".to_vec()].concat(), Compression::Zstd),
            (gzip(&text), Compression::Zstd),
        ] {
            let fault = unpack_bytes(bytes, compression).await.unwrap_err();
            assert!(matches!(fault, Fault::Compression { .. }), "{fault}");
        }
    }

    #[tokio::test]
    async fn a_damaged_blob_is_not_blamed_on_its_compression() {
        let digest = Digest::of("layer");
        let place = "here".to_owned();
        let damage = StoreError::DigestMismatch { place, expected: digest, found: Digest::of("") };
        let chunks = vec![Ok(Bytes::from_static(b"not gzip")), Err(damage)];
        let fault = unpack(stream::iter(chunks), Compression::Gzip, &digest).await.unwrap_err();
        assert_eq!(fault, Fault::Digest { found: Digest::of("") });
    }

    #[test]
    fn media_types() {
        for (media_type, compression) in [
            ("application/vnd.oci.image.layer.v1.tar", Some(Compression::None)),
            ("application/vnd.oci.image.layer.v1.tar+gzip", Some(Compression::Gzip)),
            ("application/vnd.oci.image.layer.v1.tar+zstd", Some(Compression::Zstd)),
            (
                "application/vnd.oci.image.layer.nondistributable.v1.tar+gzip",
                Some(Compression::Gzip),
            ),
            ("application/vnd.docker.image.rootfs.diff.tar.gzip", Some(Compression::Gzip)),
            ("application/vnd.docker.image.rootfs.foreign.diff.tar.gzip", Some(Compression::Gzip)),
            ("application/vnd.oci.image.layer.v1.tar+xz", None),
            ("application/vnd.oci.image.config.v1+json", None),
        ] {
            assert_eq!(Compression::of(media_type), compression, "{media_type}");
        }
    }
}
