//! [`Detached`] signatures, and the [`Stream`] that hashes what they are over.

use std::io;
use std::sync::Arc;

use pgp::crypto::hash::HashAlgorithm;
use pgp::packet::{Packet, Signature, SignatureType, SignatureVersionSpecific};
use pgp::types::VerifyingKey;

use super::cert::Certificate;
use super::policy::{self, Use};
use super::standing::{When, Which};
use super::{Fault, Fingerprint, NotGood, ReadError, Trust, armor, packets};

/// Longest file of signatures that is read.
pub(super) const MOST: usize = 1 << 20;

/// More packets than this no such file has, what is passed over included.
const MOST_PACKETS: usize = 64;

/// More signatures than this no file has: each costs a pass over the data.
const MOST_SIGNATURES: usize = 16;

/// A clock may be that much behind another, in seconds.
const SKEW: u64 = 300;

/// A signature of a file, as far as it is understood.
#[derive(Debug, Clone)]
pub(super) enum Read {
    Signature(Box<Signature>),
    /// Of another version, or damaged inside: the version.
    Other(u8),
}

/// Signatures that lie beside a file.
#[derive(Debug, Clone)]
pub struct Detached {
    signatures: Vec<Read>,
}

impl Detached {
    /// Reads `.asc` (armour) or `.sig` (packets); which of them it is shows.
    ///
    /// # Errors
    /// [`ReadError`]. Signatures that are not understood are no error, but none of them is good.
    pub fn parse(file: &[u8]) -> Result<Self, ReadError> {
        if file.len() > MOST {
            return Err(ReadError::TooLong { length: file.len(), most: MOST });
        }
        Ok(Self { signatures: signatures(&armor::packets(file, "SIGNATURE")?)? })
    }

    /// Begins to hash the file. Only what may turn out good is hashed, mostly once.
    pub fn stream(&self, trust: &Trust) -> Stream {
        Stream::new(&self.signatures, trust, None)
    }

    /// Verifies a file that is in memory.
    ///
    /// # Errors
    /// As [`Stream::finish`].
    pub fn verify(&self, data: &[u8], trust: &Trust, at: u64) -> Result<Good, NotGood> {
        let mut stream = self.stream(trust);
        stream.update(data);
        stream.finish(at)
    }
}

/// Takes the packets of a file of signatures.
pub(super) fn signatures(bytes: &[u8]) -> Result<Vec<Read>, ReadError> {
    let mut signatures = Vec::new();
    for framed in packets::read(bytes, MOST_PACKETS) {
        let framed = framed?;
        match framed.tag {
            2 => signatures.push(match framed.packet() {
                Some(Packet::Signature(one)) => Read::Signature(Box::new(one)),
                _ => Read::Other(framed.first()),
            }),
            // Marker, padding, and what was invented later and may be passed over.
            10 | 21 | 40..=63 => {}
            6 => return Err(ReadError::Foreign("a public key".to_owned())),
            tag => return Err(ReadError::Foreign(format!("type {tag}"))),
        }
    }
    match signatures.len() {
        0 => Err(ReadError::Empty("signature")),
        n if n > MOST_SIGNATURES => Err(ReadError::TooMany(MOST_SIGNATURES)),
        _ => Ok(signatures),
    }
}

/// A good signature by a pinned key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Good {
    /// The pinned key.
    pub primary: Fingerprint,
    /// The key that signed: a subkey, or the pinned one itself.
    pub signer: Fingerprint,
    /// When, in seconds since 1970, as the signature says.
    pub made: u64,
    /// Name of the hash, as `SHA512`.
    pub hash: String,
    /// The other signatures of the file that count for nothing.
    pub others: Vec<Judged>,
}

/// A signature that counts for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Judged {
    /// Why.
    pub fault: Fault,
}

/// Hashes a file with everything that its signatures need, while it comes by.
pub struct Stream {
    states: Vec<State>,
}

/// What is known of a signature before the end of the file.
enum State {
    Fault(Fault),
    Hashing {
        signature: Box<Signature>,
        hasher: Hasher,
        /// The keys that it may be by.
        keys: Vec<(Arc<Certificate>, Which)>,
    },
}

impl Stream {
    pub(super) fn new(read: &[Read], trust: &Trust, named: Option<&[HashAlgorithm]>) -> Self {
        let states = read.iter().map(|read| match read {
            Read::Other(version) => State::Fault(Fault::Version(*version)),
            Read::Signature(one) => begin(one, trust, named).unwrap_or_else(State::Fault),
        });
        Self { states: states.collect() }
    }

    /// Takes the next bytes of the file.
    pub fn update(&mut self, data: &[u8]) {
        for state in &mut self.states {
            if let State::Hashing { hasher, .. } = state {
                hasher.update(data);
            }
        }
    }

    /// Judges at the end of the file, at that time, in seconds since 1970. One good signature is
    /// enough.
    ///
    /// # Errors
    /// [`NotGood`], with the reason of each signature.
    pub fn finish(self, at: u64) -> Result<Good, NotGood> {
        let mut good: Option<Good> = None;
        let mut others = Vec::new();
        for state in self.states {
            let judged = match state {
                State::Fault(fault) => Err(fault),
                State::Hashing { signature, hasher, keys } => judge(&signature, hasher, &keys, at),
            };
            match judged {
                Ok(one) => drop(good.get_or_insert(one)),
                Err(fault) => others.push(Judged { fault }),
            }
        }
        match good {
            Some(good) => Ok(Good { others, ..good }),
            None => Err(NotGood { signatures: others }),
        }
    }
}

impl io::Write for Stream {
    fn write(&mut self, data: &[u8]) -> io::Result<usize> {
        self.update(data);
        Ok(data.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl std::fmt::Debug for Stream {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Stream of {} signatures", self.states.len())
    }
}

/// The keys that a signature may be by.
fn candidates(signature: &Signature, trust: &Trust) -> Vec<(Arc<Certificate>, Which)> {
    let mut keys = Vec::new();
    for certificate in &trust.certificates {
        if policy::may_be_by(signature, &certificate.primary) {
            keys.push((certificate.clone(), Which::Primary));
        }
        for (sub, (key, _)) in certificate.subkeys.iter().enumerate() {
            if policy::may_be_by(signature, key) {
                keys.push((certificate.clone(), Which::Sub(sub)));
            }
        }
    }
    keys
}

fn begin(
    signature: &Signature,
    trust: &Trust,
    named: Option<&[HashAlgorithm]>,
) -> Result<State, Fault> {
    let keys = candidates(signature, trust);
    let (config, _) = policy::config(signature)?;
    if keys.is_empty() {
        let print = signature.issuer_fingerprint().first().map(|p| hex::encode_upper(p.as_bytes()));
        let id = || signature.issuer_key_id().first().map(|id| hex::encode_upper(id.as_ref()));
        return Err(Fault::OtherKey(print.or_else(id).unwrap_or_default()));
    }
    let text = match config.typ {
        SignatureType::Binary => false,
        SignatureType::Text => true,
        other => return Err(Fault::Type(other.into())),
    };
    policy::hash(config.hash_alg, Use::File)?;
    // An empty list is one that is not there: newer programs leave it out.
    if named.is_some_and(|named| !named.is_empty() && !named.contains(&config.hash_alg)) {
        return Err(Fault::HashNotNamed(config.hash_alg.to_string()));
    }
    let unknown = |_| Fault::Hash(config.hash_alg.to_string());
    let mut hash = config.hash_alg.new_hasher().map_err(unknown)?;
    if let SignatureVersionSpecific::V6 { salt } = &config.version_specific {
        hash.update(salt);
    }
    let hasher = Hasher { hash, text, after_return: false };
    Ok(State::Hashing { signature: Box::new(signature.clone()), hasher, keys })
}

fn judge(
    signature: &Signature,
    mut hasher: Hasher,
    keys: &[(Arc<Certificate>, Which)],
    at: u64,
) -> Result<Good, Fault> {
    let (config, made) = policy::config(signature)?;
    let malformed = |_| Fault::Malformed("the part of it that is signed cannot be written");
    let length = config.hash_signature_data(&mut hasher.hash).map_err(malformed)?;
    hasher.hash.update(&config.trailer(length).map_err(malformed)?);
    let digest = hasher.hash.finalize();
    let mut fault = Fault::Lacks("a key");
    for (certificate, which) in keys {
        let one = match which {
            Which::Primary => fits(signature, &digest, &certificate.primary),
            Which::Sub(sub) => match certificate.subkeys.get(*sub) {
                Some((key, _)) => fits(signature, &digest, key),
                None => continue,
            },
        };
        let when = When { made, at };
        match one.and_then(|signer| certificate.stands(*which, when).map(|()| signer)) {
            Ok(signer) => {
                if made > at.saturating_add(SKEW) {
                    return Err(Fault::Future { made, at });
                }
                if let Some(end) = policy::expires(signature, made).filter(|end| *end <= at) {
                    return Err(Fault::Expired(end));
                }
                let hash = config.hash_alg.to_string();
                let primary = certificate.fingerprint();
                return Ok(Good { primary, signer, made, hash, others: Vec::new() });
            }
            Err(other) => fault = other,
        }
    }
    Err(fault)
}

/// Whether a key has made the signature over that digest.
fn fits<K: VerifyingKey>(
    signature: &Signature,
    digest: &[u8],
    key: &K,
) -> Result<Fingerprint, Fault> {
    let name = Fingerprint::of(key);
    // First, because weak keys prove nothing, and of the unknown nothing can be computed.
    policy::key(key)?;
    let version = u8::from(signature.version()) == u8::from(key.version());
    let algorithm = signature.config().is_some_and(|config| config.pub_alg == key.algorithm());
    let (Some(bytes), Some(hash)) = (signature.signature(), signature.hash_alg()) else {
        return Err(Fault::DoesNotFit(name));
    };
    let begin = signature.signed_hash_value().is_some_and(|two| digest.starts_with(&two));
    match version && algorithm && begin && key.verify(hash, digest, bytes).is_ok() {
        true => Ok(name),
        false => Err(Fault::DoesNotFit(name)),
    }
}

/// A hash that takes a file as it is, or as a text: every line ended by carriage return and line
/// feed (RFC 9580, section 5.2.1.2).
struct Hasher {
    hash: Box<dyn digest::DynDigest + Send>,
    text: bool,
    /// Whether the last byte was a carriage return.
    after_return: bool,
}

impl Hasher {
    fn update(&mut self, data: &[u8]) {
        if !self.text {
            return self.hash.update(data);
        }
        for line in data.split_inclusive(|byte| *byte == b'\n') {
            let bare = match line {
                [b'\n'] => !self.after_return,
                [.., before, b'\n'] => *before != b'\r',
                _ => false,
            };
            match line.split_last() {
                Some((b'\n', rest)) if bare => {
                    self.hash.update(rest);
                    self.hash.update(b"\r\n");
                }
                _ => self.hash.update(line),
            }
            self.after_return = line.last() == Some(&b'\r');
        }
    }
}
