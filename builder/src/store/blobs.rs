//! Layer blobs, as lists of their frames, and the record of what a tree became.
//!
//! A list is named by the blob's SHA-256. It is a line that says what it is, and a line for each
//! piece: `f` and the frame's key, or `b` and bytes, all in hex. So a layer of which a file changes
//! takes the space of a frame, and a blob that is needed is put together from what is there. Whoever
//! does verifies it: all outputs hash what they write.

use std::io::{self, Cursor, Read};
use std::sync::Arc;

use treelay_layers::encode::{self, Codec, EncodeError, Piece};
use treelay_layers::{Contents, Tree};
use treelay_recipes::{Digest, Hasher};

use super::frames::PREFIX;
use super::{LayerBlob, Store};

const MARK: &str = "treelay blob 1\n";

impl Store {
    /// The blob that the tree with `digest` became under `codec`, if the store still has it.
    pub fn layer_blob(&self, tree: &Digest, codec: Codec) -> Option<LayerBlob> {
        // Marked as used, and with it the blob.
        let blob: LayerBlob = self.product("layer-blob", &blob_key(tree, codec))?;
        self.mark(&self.path("blobs", &blob.digest)).then_some(blob)
    }

    /// Opens a blob. What is read is not verified.
    ///
    /// # Errors
    /// [`io::ErrorKind::NotFound`] where it is not there, also later where a frame is missing or
    /// damaged; [`io::ErrorKind::InvalidData`] where its list is damaged.
    pub fn open_blob(self: &Arc<Self>, digest: &Digest) -> io::Result<impl Read + Send + use<>> {
        self.mark(&self.path("blobs", digest));
        let pieces = self.pieces(digest)?.into_iter();
        Ok(BlobReader { store: self.clone(), pieces, piece: Cursor::default() })
    }

    /// Reads a blob whole. Unless it is what its name says, it is removed, and said so, with every
    /// frame of it that is damaged and all that was remembered of its beginning.
    pub fn check_blob(&self, digest: &Digest) -> bool {
        match self.wrong_blob(digest) {
            Ok(None) => return true,
            Err(error) if error.kind() != io::ErrorKind::NotFound => {
                // It says nothing of the blob; whoever wants it meets it as well.
                tracing::warn!("checking blob {digest}: {error}");
                return true;
            }
            _ => {}
        }
        let frames = self.frames_of(digest);
        for key in encode::checkpoint_keys(&frames) {
            self.forget_product(PREFIX, &key);
        }
        for key in &frames {
            if let Ok(None) = self.read_frame(key) {
                self.damaged(&self.path("frames", key));
            }
        }
        let path = self.path("blobs", digest);
        if path.exists() {
            self.damaged(&path);
        }
        false
    }

    /// What is wrong with a blob.
    ///
    /// # Errors
    /// What kept its list from being read.
    pub(super) fn wrong_blob(&self, digest: &Digest) -> io::Result<Option<String>> {
        let pieces = match self.pieces(digest) {
            Err(error) if error.kind() == io::ErrorKind::InvalidData => {
                return Ok(Some(error.to_string()));
            }
            other => other?,
        };
        let mut hasher = Hasher::default();
        for piece in &pieces {
            match self.piece(piece) {
                Ok(bytes) => hasher.update(&bytes),
                Err(error) if is_lost(&error) => return Ok(Some(error.to_string())),
                Err(error) => return Err(error),
            }
        }
        let found = hasher.finish();
        Ok((found != *digest).then(|| format!("its SHA-256 is {}", found.hex())))
    }

    /// The keys of a blob's frames; none where its list cannot be read.
    pub(super) fn frames_of(&self, digest: &Digest) -> Vec<Digest> {
        let pieces = self.pieces(digest).unwrap_or_default();
        let key = |piece| match piece {
            Piece::Frame(key) => Some(key),
            Piece::Bytes(_) => None,
        };
        pieces.into_iter().filter_map(key).collect()
    }

    fn pieces(&self, digest: &Digest) -> io::Result<Vec<Piece>> {
        let text = std::fs::read(self.path("blobs", digest))?;
        let pieces = std::str::from_utf8(&text).ok().and_then(parse);
        pieces.ok_or_else(|| io::Error::new(io::ErrorKind::InvalidData, "it is no list of frames"))
    }

    fn piece(&self, piece: &Piece) -> io::Result<Vec<u8>> {
        let key = match piece {
            Piece::Bytes(bytes) => return Ok(bytes.clone()),
            Piece::Frame(key) => key,
        };
        // Not marked: it counts as used when the blob is.
        let lost = || {
            let reason = format!("its frame {} is missing or damaged", key.short());
            io::Error::new(io::ErrorKind::NotFound, reason)
        };
        match self.read_frame(key) {
            Ok(Some(packed)) => Ok(packed.bytes),
            Err(error) if !is_lost(&error) => Err(error),
            _ => Err(lost()),
        }
    }

    /// Encodes `tree` and keeps the blob; the record of it is written by
    /// [`remember_blob`](Self::remember_blob).
    ///
    /// # Errors
    /// [`EncodeError`]; then nothing but frames is kept.
    pub fn encode(
        &self,
        tree: &Tree,
        contents: &dyn Contents,
        codec: Codec,
        workers: usize,
    ) -> Result<LayerBlob, EncodeError> {
        let encoded = encode::encode(tree, contents, codec, self, workers)?;
        let list = to_text(&encoded.pieces);
        self.write_new(&self.path("blobs", &encoded.digest), list.as_bytes())
            .map_err(EncodeError::Write)?;
        Ok(LayerBlob {
            digest: encoded.digest,
            size: encoded.size,
            diff_id: encoded.diff_id,
            raw_size: encoded.raw_size,
        })
    }

    /// Records what a tree became.
    ///
    /// # Errors
    /// Whatever kept the record from being written.
    pub fn remember_blob(&self, tree: &Digest, codec: Codec, blob: &LayerBlob) -> io::Result<()> {
        self.put_product("layer-blob", &blob_key(tree, codec), blob)
    }
}

fn blob_key(tree: &Digest, codec: Codec) -> Digest {
    Digest::of(format!("{tree} {}", codec.id()))
}

fn is_lost(error: &io::Error) -> bool {
    error.kind() == io::ErrorKind::NotFound
}

fn to_text(pieces: &[Piece]) -> String {
    let mut text = MARK.to_owned();
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => text += &format!("b {}\n", hex::encode(bytes)),
            Piece::Frame(key) => text += &format!("f {}\n", key.hex()),
        }
    }
    text
}

fn parse(text: &str) -> Option<Vec<Piece>> {
    let piece = |line: &str| match line.split_once(' ')? {
        ("b", bytes) => hex::decode(bytes).ok().map(Piece::Bytes),
        ("f", key) => Digest::from_hex(key).ok().map(Piece::Frame),
        _ => None,
    };
    // A list that is cut short is told by the digest of what it gives.
    text.strip_prefix(MARK)?.lines().map(piece).collect()
}

/// Reads a blob piece by piece.
struct BlobReader {
    store: Arc<Store>,
    pieces: std::vec::IntoIter<Piece>,
    piece: Cursor<Vec<u8>>,
}

impl Read for BlobReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let read = self.piece.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            match self.pieces.next() {
                Some(piece) => match self.store.piece(&piece) {
                    Ok(bytes) => self.piece = Cursor::new(bytes),
                    Err(error) => {
                        // Nobody reads on over a hole.
                        self.pieces = Vec::new().into_iter();
                        return Err(error);
                    }
                },
                None => return Ok(0),
            }
        }
    }
}
