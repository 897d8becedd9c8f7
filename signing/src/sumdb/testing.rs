//! A checksum database for tests. Its hashes are computed by the recursion of RFC 6962 alone, so
//! that it shares no thought with what it tests.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::{Signer as _, SigningKey};

use super::note::key_hash;
use super::{Claim, Hash, SignedHead, SumDbError, Tile, Tiles, VerifierKey};

pub struct Log {
    key: SigningKey,
    name: &'static str,
    records: Vec<String>,
    leaves: Vec<Hash>,
}

impl Log {
    /// A log of `size` records; those from `changed` on are others than in other logs.
    pub fn new(size: usize, changed: usize) -> Self {
        let words = |n| if n >= changed { "forged" } else { "true" };
        let record = |n: usize| {
            let (module, word) = (format!("m.example/{n} v1.0.0"), words(n));
            format!("{module} h1:{word}{n}=\n{module}/go.mod h1:mod{n}=\n")
        };
        let records: Vec<String> = (0..size).map(record).collect();
        let leaves = records.iter().map(|record| Hash::of_record(record.as_bytes())).collect();
        Self { key: SigningKey::from_bytes(&[7; 32]), name: "sum.example", records, leaves }
    }

    pub fn by(self, seed: u8, name: &'static str) -> Self {
        Self { key: SigningKey::from_bytes(&[seed; 32]), name, ..self }
    }

    fn key_bytes(&self) -> Vec<u8> {
        let mut key = vec![1];
        key.extend(self.key.verifying_key().as_bytes());
        key
    }

    pub fn key(&self) -> VerifierKey {
        let (name, key) = (self.name, self.key_bytes());
        let text = format!("{name}+{:08x}+{}", key_hash(name, &key), STANDARD.encode(&key));
        VerifierKey::parse(&text).unwrap()
    }

    pub fn signature(&self, text: &str) -> String {
        let mut bytes = key_hash(self.name, &self.key_bytes()).to_be_bytes().to_vec();
        bytes.extend(self.key.sign(text.as_bytes()).to_bytes());
        format!("— {} {}\n", self.name, STANDARD.encode(bytes))
    }

    pub fn note(&self, text: &str) -> String {
        format!("{text}\n{}", self.signature(text))
    }

    pub fn latest(&self, size: usize) -> String {
        self.note(&format!("go.sum database tree\n{size}\n{}\n", root(&self.leaves[..size])))
    }

    pub fn head(&self, size: usize) -> SignedHead {
        SignedHead::open(self.latest(size).as_bytes(), &self.key()).unwrap()
    }

    pub fn answer(&self, record: usize, size: usize) -> String {
        format!("{record}\n{}\n{}", self.records[record], self.latest(size))
    }

    pub fn claim(&self, record: usize, size: usize) -> Claim {
        Claim::lookup(self.answer(record, size).as_bytes(), &self.key(), None).unwrap()
    }

    pub fn tile(&self, tile: &Tile) -> Vec<u8> {
        let under = 1 << (tile.height * tile.level);
        let first = (tile.index as usize) << tile.height;
        let entry = |n: usize| root(&self.leaves[(first + n) * under..(first + n + 1) * under]).0;
        (0..tile.width as usize).flat_map(entry).collect()
    }

    pub fn tiles(&self, claim: &Claim) -> Tiles {
        claim.tiles().into_iter().map(|tile| (tile, self.tile(&tile))).collect()
    }

    /// Proves, with the tiles of this log.
    pub fn prove(&self, claim: Claim) -> Result<super::Proven, SumDbError> {
        let tiles = self.tiles(&claim);
        claim.prove(&tiles)
    }
}

pub fn root(leaves: &[Hash]) -> Hash {
    match leaves {
        [] => Hash::of_nothing(),
        [one] => *one,
        _ => {
            let (left, right) = leaves.split_at(leaves.len().next_power_of_two() / 2);
            Hash::of_node(&root(left), &root(right))
        }
    }
}
