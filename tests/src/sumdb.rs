//! A checksum database as files, as the database serves it and as proxies do.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use sha2::{Digest as _, Sha256};
use treelay_signing::{KeyKind, SecretKey, Subject, schemes};

use crate::Env;

type Hash = [u8; 32];

/// How many hashes a tile has (2^8).
const TILE: usize = 256;

/// A database with a key of its own.
#[derive(Debug, Clone)]
pub struct SumDb {
    name: &'static str,
    key: SecretKey,
    /// What it has said: the lines of a go.sum, by module and version.
    pub records: Vec<(String, String)>,
}

impl SumDb {
    /// An empty one.
    ///
    /// # Panics
    /// When no key can be made.
    pub fn new(name: &'static str) -> Self {
        let key = SecretKey::generate(KeyKind::Ed25519).unwrap();
        Self { name, key, records: Vec::new() }
    }

    /// The same records, signed by another key.
    #[must_use]
    pub fn by_another_key(&self) -> Self {
        Self { records: self.records.clone(), ..Self::new(self.name) }
    }

    /// Adds a record: the lines that a go.sum has of a module.
    ///
    /// # Panics
    /// When the lines are of no module.
    pub fn add(&mut self, lines: &str) {
        let mut words = lines.split(' ');
        let (path, version) = (words.next().unwrap(), words.next().unwrap());
        let version = version.trim_end_matches("/go.mod");
        self.records.push((format!("{path}@{version}"), lines.to_owned()));
    }

    /// The key as GOSUMDB has it.
    ///
    /// # Panics
    /// Never: it is an Ed25519 key.
    pub fn key(&self) -> String {
        format!("{}+{}+{}", self.name, hex::encode(self.hash()), STANDARD.encode(self.public()))
    }

    /// Name and hash of the key, as the lock has them.
    pub fn id(&self) -> String {
        format!("{}+{}", self.name, hex::encode(self.hash()))
    }

    fn public(&self) -> Vec<u8> {
        let line = self.key.public().to_ostree_line().unwrap();
        [vec![1], STANDARD.decode(line.trim()).unwrap()].concat()
    }

    fn hash(&self) -> [u8; 4] {
        let text = [self.name.as_bytes(), b"\n", &self.public()].concat();
        Sha256::digest(text)[..4].try_into().unwrap()
    }

    fn note(&self, text: &str) -> String {
        let scheme = schemes::by_name("ostree.sign.ed25519").unwrap();
        let signature = scheme.sign(&Subject::Commit(text.as_bytes()), &self.key).unwrap();
        let bytes = [&self.hash()[..], &signature.bytes].concat();
        format!("{text}\n— {} {}\n", self.name, STANDARD.encode(bytes))
    }

    /// Writes it into a folder, with the tree of its first `size` records. Of what was there before
    /// the tiles of other sizes stay.
    ///
    /// # Panics
    /// When it cannot be written.
    pub fn publish(&self, env: &Env, folder: &str, size: usize) {
        let place = env.path(format!("{folder}/lookup"));
        if place.exists() {
            fs::remove_dir_all(&place).unwrap();
        }
        let records = &self.records[..size];
        let leaves: Vec<Hash> = records.iter().map(|(_, text)| leaf(text)).collect();
        let root = STANDARD.encode(root_of(&leaves));
        let head = self.note(&format!("go.sum database tree\n{size}\n{root}\n"));
        env.write(&format!("{folder}/supported"), "");
        env.write(&format!("{folder}/latest"), &head);
        for (number, (module, text)) in records.iter().enumerate() {
            let answer = format!("{number}\n{text}\n{head}");
            env.write(&format!("{folder}/lookup/{module}"), answer);
        }
        let (mut level, mut hashes) = (0, leaves);
        while !hashes.is_empty() {
            for (index, tile) in hashes.chunks(TILE).enumerate() {
                let part =
                    if tile.len() < TILE { format!(".p/{}", tile.len()) } else { String::new() };
                let path = format!("{folder}/tile/8/{level}/{index:03}{part}");
                env.write(&path, tile.concat());
            }
            hashes = hashes.chunks_exact(TILE).map(root_of).collect();
            level += 1;
        }
    }

    /// Has the edge of the tree in a whole tile alone, as if the tree had grown meanwhile.
    ///
    /// # Panics
    /// When that is not there.
    pub fn only_whole_tiles(env: &Env, folder: &str, size: usize) {
        let parts = env.path(format!("{folder}/tile/8/0/000.p"));
        let mut tile = fs::read(parts.join(size.to_string())).unwrap();
        fs::remove_dir_all(&parts).unwrap();
        tile.resize(256 * 32, 7);
        fs::write(parts.with_file_name("000"), tile).unwrap();
    }
}

/// Changes a byte of a file.
///
/// # Panics
/// When it is not there.
pub fn flip(path: &Path, at: usize) {
    let mut bytes = fs::read(path).unwrap();
    bytes[at] ^= 1;
    fs::write(path, bytes).unwrap();
}

fn leaf(text: &str) -> Hash {
    Sha256::digest([b"\0", text.as_bytes()].concat()).into()
}

/// RFC 6962, section 2.1.
fn root_of(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Sha256::digest([]).into(),
        [one] => *one,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            Sha256::digest([&b"\x01"[..], &root_of(left), &root_of(right)].concat()).into()
        }
    }
}
