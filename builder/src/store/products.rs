//! Records: what a thing became, by the digest of what it was made from.
//!
//! A record's file is `products/ab/cdef….KIND`: a line with the SHA-256 of kind, key and JSON, and
//! the JSON.

use std::collections::HashMap;
use std::fs::File;
use std::io::{self, Write as _};
use std::path::Path;
use std::sync::{Mutex, PoisonError};

use serde::{Deserialize, Serialize, de::DeserializeOwned};
use serde_json::Value;
use treelay_recipes::Digest;

use super::{Store, hex_of};
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
        let path = self.path("products", key).with_extension(kind);
        if !self.mark(&path) {
            return None;
        }
        let text = std::fs::read(&path).ok()?;
        let Some(json) = checked(kind, key, &text) else {
            self.damaged(&path);
            return None;
        };
        // One that another version wrote may have another shape.
        serde_json::from_slice(json).ok()
    }

    /// Remembers a product.
    ///
    /// # Errors
    /// Whatever kept it from being written.
    pub fn put_product<T: Serialize>(&self, kind: &str, key: &Digest, it: &T) -> io::Result<()> {
        let json = serde_json::to_vec(it)?;
        let text = [sum(kind, key, &json).hex().as_bytes(), b"\n", &json].concat();
        self.write_new(&self.path("products", key).with_extension(kind), &text)
    }

    /// The record in a file of `products/`, if it is whole.
    pub(super) fn record(&self, path: &Path) -> Option<Record> {
        let (kind, key) = (path.extension()?.to_str()?, hex_of(path)?);
        let text = std::fs::read(path).ok()?;
        let value = serde_json::from_slice(checked(kind, &key, &text)?).ok()?;
        Some(Record { kind: kind.to_owned(), value })
    }
}

fn sum(kind: &str, key: &Digest, json: &[u8]) -> Digest {
    Digest::of([format!("{kind} {key}\n").as_bytes(), json].concat())
}

/// The JSON of a record's file, if it is what was written.
fn checked<'a>(kind: &str, key: &Digest, text: &'a [u8]) -> Option<&'a [u8]> {
    let (hex, json) = text.split_at_checked(64)?;
    let json = json.strip_prefix(b"\n")?;
    (sum(kind, key, json).hex().as_bytes() == hex).then_some(json)
}

/// A record of any kind.
pub(super) struct Record {
    kind: String,
    value: Value,
}

impl Record {
    /// The room and digest of everything that the record refers to, and whether a record is worth
    /// nothing without it. A kind that is not known refers to whatever it names.
    pub(super) fn refers(&self) -> Vec<(&'static str, Digest, bool)> {
        let mut named = Vec::new();
        digests(&self.value, &mut named);
        let (rooms, needed): (&[_], _) = match self.kind.as_str() {
            "layer-tree" | "merged-tree" | "split" => (&["trees"], true),
            "layer-blob" => {
                let blob: Option<LayerBlob> = self.read("layer-blob");
                return blob.map_or(Vec::new(), |blob| vec![("blobs", blob.digest, true)]);
            }
            // OSTree's own checksums, and states of hashes.
            "ostree-content" | super::frames::PREFIX => (&[], false),
            _ => (&["trees", "blobs", "objects"], false),
        };
        let all = named.iter().flat_map(|digest| rooms.iter().map(|room| (*room, *digest, needed)));
        all.collect()
    }
}

impl Record {
    /// The record as what its kind is, if it is of that kind.
    pub(super) fn read<T: DeserializeOwned>(&self, kind: &str) -> Option<T> {
        T::deserialize(&self.value).ok().filter(|_| self.kind == kind)
    }
}

/// Every digest in a value.
fn digests(value: &Value, into: &mut Vec<Digest>) {
    match value {
        Value::String(text) => into.extend(text.parse::<Digest>()),
        Value::Array(values) => values.iter().for_each(|value| digests(value, into)),
        Value::Object(values) => values.values().for_each(|value| digests(value, into)),
        _ => {}
    }
}

impl Store {
    /// Appends pairs to an index, from where its last whole pair ends: a run that was killed may
    /// have left half a one.
    fn append_pairs(&self, path: &Path, pairs: &[u8]) -> io::Result<()> {
        let mut file = File::options().create(true).append(true).open(path)?;
        let length = file.metadata()?.len();
        let torn = length % PAIR as u64;
        if torn != 0 {
            file.set_len(length - torn)?;
        }
        file.write_all(pairs)
    }

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

pub(super) const OBJECT_INDEX: &str = "ostree-objects";
const PAIR: usize = 64;

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
        self.store.append_pairs(&self.store.root.join(OBJECT_INDEX), &state.new)?;
        state.new.clear();
        Ok(())
    }

    fn with<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        f(state.get_or_insert_with(|| self.load()))
    }

    fn load(&self) -> State {
        let path = self.store.root.join(OBJECT_INDEX);
        self.store.mark(&path);
        let bytes = std::fs::read(path).unwrap_or_default();
        let known = bytes.chunks_exact(PAIR).filter_map(|pair| {
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
