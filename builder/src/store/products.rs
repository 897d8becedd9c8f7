//! Records: what a thing became, by the digest of what it was made from.

use std::collections::HashMap;
use std::io;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use treelay_recipes::Digest;

use super::Store;
use crate::ostree_repo::ObjectMemory;

/// A tree as a layer blob.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct LayerBlob {
    /// SHA-256 of the blob.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
    /// SHA-256 of the tar stream in it.
    pub diff_id: Digest,
    /// Length of the tar stream in bytes.
    pub raw_size: u64,
}

impl Store {
    /// What `kind` of product was remembered under `key`.
    pub fn product<T: DeserializeOwned>(&self, kind: &str, key: &Digest) -> Option<T> {
        let bytes = std::fs::read(self.path("products", key).with_extension(kind)).ok()?;
        serde_json::from_slice(&bytes).ok()
    }

    /// Remembers a product.
    ///
    /// # Errors
    /// Whatever kept it from being written.
    pub fn put_product<T: Serialize>(&self, kind: &str, key: &Digest, it: &T) -> io::Result<()> {
        let bytes = serde_json::to_vec(it)?;
        self.write_new(&self.path("products", key).with_extension(kind), &bytes)
    }
}

impl Store {
    /// Forgets a product, because what it refers to is damaged.
    pub fn forget_product(&self, kind: &str, key: &Digest) {
        // Another process may have done it.
        let _ = std::fs::remove_file(self.path("products", key).with_extension(kind));
    }
}

/// Which OSTree object a file became: an append-only file of pairs of 32-byte digests, read when
/// it is first asked.
pub struct ObjectIndex<'a> {
    store: &'a Store,
    state: Mutex<Option<State>>,
}

#[derive(Default)]
struct State {
    known: HashMap<Digest, Digest>,
    new: Vec<u8>,
}

const FILE: &str = "ostree-objects";

impl<'a> ObjectIndex<'a> {
    /// The index of `store`.
    pub fn new(store: &'a Store) -> Self {
        Self { store, state: Mutex::new(None) }
    }

    /// Appends what was learnt.
    ///
    /// # Errors
    /// Whatever kept it from being written.
    pub fn save(&self) -> io::Result<()> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(state) = state.as_mut().filter(|state| !state.new.is_empty()) else {
            return Ok(());
        };
        self.store.append(&self.store.root.join(FILE), &std::mem::take(&mut state.new))
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        f(state.get_or_insert_with(|| self.load()))
    }

    fn load(&self) -> State {
        let bytes = std::fs::read(self.store.root.join(FILE)).unwrap_or_default();
        let known = bytes.chunks_exact(64).filter_map(|pair| {
            let (key, object) = pair.split_at(32);
            let digest = |half: &[u8]| half.try_into().ok().map(Digest::from_bytes);
            Some((digest(key)?, digest(object)?))
        });
        State { known: known.collect(), new: Vec::new() }
    }
}

impl ObjectMemory for ObjectIndex<'_> {
    fn get(&self, key: &Digest) -> Option<Digest> {
        self.with(|state| state.known.get(key).copied())
    }

    fn put(&self, key: &Digest, object: &Digest) {
        self.with(|state| {
            if state.known.insert(*key, *object) != Some(*object) {
                state.new.extend_from_slice(key.as_bytes());
                state.new.extend_from_slice(object.as_bytes());
            }
        });
    }
}
