//! Layer blobs, by their SHA-256, and the record of what a tree became.

use std::fs;
use std::io::{self, BufWriter};
use std::path::PathBuf;

use treelay_layers::encode::{self, Codec, EncodeError};
use treelay_layers::{Contents, Tree};
use treelay_recipes::Digest;

use super::{LayerBlob, Store, persist};

impl Store {
    /// The blob that the tree with `digest` became under `codec`, if the store still has it.
    pub fn layer_blob(&self, tree: &Digest, codec: Codec) -> Option<LayerBlob> {
        // Marked as used, and with it the blob.
        let blob: LayerBlob = self.product("layer-blob", &blob_key(tree, codec))?;
        let path = self.path("blobs", &blob.digest);
        let there = fs::metadata(&path).ok()?.len();
        if there != blob.size {
            self.damaged(&path);
            return None;
        }
        Some(blob)
    }

    /// Where a blob is, if it is there.
    pub fn blob(&self, digest: &Digest) -> Option<PathBuf> {
        Some(self.path("blobs", digest)).filter(|path| path.exists())
    }

    /// Reads a blob whole; removes it, and says so, unless it is what its name says.
    pub fn check_blob(&self, digest: &Digest) -> bool {
        self.check_bytes("blobs", digest)
    }

    /// Encodes `tree` and keeps the blob; the record of it is written by
    /// [`remember_blobs`](Self::remember_blobs).
    ///
    /// # Errors
    /// [`EncodeError`]; then nothing is kept.
    pub fn encode(
        &self,
        tree: &Tree,
        contents: &dyn Contents,
        codec: Codec,
        workers: usize,
    ) -> Result<LayerBlob, EncodeError> {
        let file = self.temporary().map_err(EncodeError::Write)?;
        let mut writer = BufWriter::with_capacity(1 << 20, file);
        let encoded = encode::encode(tree, contents, codec, self, workers, &mut writer)?;
        let kept = writer
            .into_inner()
            .map_err(io::IntoInnerError::into_error)
            .and_then(|file| persist(file.into_temp_path(), &self.path("blobs", &encoded.digest)));
        kept.map_err(EncodeError::Write)?;
        Ok(LayerBlob {
            digest: encoded.digest,
            size: encoded.size,
            diff_id: encoded.diff_id,
            raw_size: encoded.raw_size,
        })
    }

    /// Records what trees became.
    ///
    /// # Errors
    /// Whatever kept a record from being written.
    pub fn remember_blobs(&self, blobs: &[(Digest, Codec, LayerBlob)]) -> io::Result<()> {
        blobs.iter().try_for_each(|(tree, codec, blob)| {
            self.put_product("layer-blob", &blob_key(tree, *codec), blob)
        })
    }
}

fn blob_key(tree: &Digest, codec: Codec) -> Digest {
    Digest::of(format!("{tree} {}", codec.id()))
}
