//! [`Trust`]: certificates, and which of them are trusted.

use std::collections::HashMap;
use std::sync::Arc;

use pgp::packet::{Packet, PublicKey, PublicSubkey, Signature, UserAttribute, UserId};
use pgp::ser::Serialize;

use super::{Fingerprint, ReadError, TrustError, armor, packets};

/// Longest file of keys that is read: twice the largest keyring of Debian's developers.
const MOST: usize = 64 << 20;

/// More packets than this no file of keys has: of that length each would have 256 bytes, which is
/// less than a signature by RSA.
const MOST_PACKETS: usize = 1 << 18;

/// A certificate as it was read; nothing of it is checked but the fingerprint.
#[derive(Debug, Clone)]
pub(super) struct Certificate {
    pub(super) primary: PublicKey,
    /// Directly on the key: self-signatures and revocations.
    pub(super) direct: Vec<Signature>,
    pub(super) users: Vec<(User, Vec<Signature>)>,
    pub(super) subkeys: Vec<(PublicSubkey, Vec<Signature>)>,
}

#[derive(Debug, Clone)]
pub(super) enum User {
    Id(UserId),
    Attribute(UserAttribute),
}

impl User {
    /// What is signed of it, apart from how long it is.
    fn bytes(&self) -> Vec<u8> {
        match self {
            Self::Id(user) => body(user),
            Self::Attribute(user) => body(user),
        }
    }
}

impl Certificate {
    pub(super) fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.primary)
    }
}

/// Certificates whose primary keys are pinned.
#[derive(Debug, Clone)]
pub struct Trust {
    pub(super) certificates: Vec<Arc<Certificate>>,
}

impl Trust {
    /// Takes the pinned keys out of files of keys: armoured or binary, of one certificate or of
    /// many. What else is in them is not trusted.
    ///
    /// # Errors
    /// [`TrustError`]: no pin, a file that cannot be read, a pinned key that is in none of them.
    pub fn new(files: &[&[u8]], pins: &[Fingerprint]) -> Result<Self, TrustError> {
        if pins.is_empty() {
            return Err(TrustError::NoPin);
        }
        let mut all = Vec::new();
        for (number, file) in (1..).zip(files) {
            all.extend(read(file).map_err(|source| TrustError::Read { file: number, source })?);
        }
        let mut certificates = Vec::new();
        for pin in pins {
            // One certificate may be there in several states: what each says is true of it.
            let states = all.iter().filter(|one| one.fingerprint() == *pin);
            let missing = || TrustError::Missing { pin: pin.clone(), found: found(&all, pin) };
            certificates.push(Arc::new(merged(states).ok_or_else(missing)?));
        }
        Ok(Self { certificates })
    }

    /// The fingerprints of all certificates in a file of keys, for people who are to pin one.
    ///
    /// # Errors
    /// [`ReadError`].
    pub fn fingerprints(file: &[u8]) -> Result<Vec<Fingerprint>, ReadError> {
        Ok(read(file)?.iter().map(Certificate::fingerprint).collect())
    }
}

/// One certificate of all that its copies have, most of all revocations. What is in them twice, also
/// in one of them, becomes one.
fn merged<'a>(mut states: impl Iterator<Item = &'a Certificate>) -> Option<Certificate> {
    let first = states.next()?;
    let (direct, users, subkeys) = (Vec::new(), Vec::new(), Vec::new());
    let mut all = Certificate { primary: first.primary.clone(), direct, users, subkeys };
    let (mut users, mut subkeys) = (Known::default(), Known::default());
    for state in std::iter::once(first).chain(states) {
        all.direct.extend_from_slice(&state.direct);
        for (user, signatures) in &state.users {
            users.add(&mut all.users, user.bytes(), user, signatures);
        }
        for (key, signatures) in &state.subkeys {
            subkeys.add(&mut all.subkeys, body(key), key, signatures);
        }
    }
    Some(all)
}

/// Where users or subkeys are, by what is in their packets. Their frames do not count: programs
/// write them in different ways.
#[derive(Default)]
struct Known(HashMap<Vec<u8>, usize>);

impl Known {
    fn add<T: Clone>(
        &mut self,
        all: &mut Vec<(T, Vec<Signature>)>,
        bytes: Vec<u8>,
        one: &T,
        signatures: &[Signature],
    ) {
        let at = *self.0.entry(bytes).or_insert(all.len());
        match all.get_mut(at) {
            Some((_, known)) => known.extend_from_slice(signatures),
            None => all.push((one.clone(), signatures.to_vec())),
        }
    }
}

/// What is in a packet, as it is hashed.
fn body(packet: &impl Serialize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(packet.write_len());
    // Writing into memory does not fail.
    let _ = packet.to_writer(&mut bytes);
    bytes
}

/// What there is instead of the pinned key.
fn found(all: &[Certificate], pin: &Fingerprint) -> String {
    for one in all {
        if one.subkeys.iter().any(|(key, _)| Fingerprint::of(key) == *pin) {
            return format!("it is a subkey of {}, and that is to be pinned", one.fingerprint());
        }
    }
    let mut names: Vec<String> = all.iter().take(8).map(|c| c.fingerprint().to_string()).collect();
    if all.len() > names.len() {
        names.push(format!("and {} more", all.len() - names.len()));
    }
    names.join(", ")
}

/// Where signatures belong to.
enum At {
    Nowhere,
    Key,
    User,
    Subkey,
}

fn read(file: &[u8]) -> Result<Vec<Certificate>, ReadError> {
    if file.len() > MOST {
        return Err(ReadError::TooLong { length: file.len(), most: MOST });
    }
    let secret = |error| match error {
        ReadError::OtherArmor { found, .. } if found.starts_with("PRIVATE KEY") => {
            ReadError::SecretKey
        }
        other => other,
    };
    let bytes = armor::packets(file, "PUBLIC KEY BLOCK").map_err(secret)?;
    let mut certificates: Vec<Certificate> = Vec::new();
    // Whether a primary key was understood: else everything up to the next one is passed over.
    let mut known = false;
    let mut at = At::Nowhere;
    for framed in packets::read(&bytes, MOST_PACKETS) {
        let framed = framed?;
        match framed.tag {
            2 | 6 | 13 | 14 | 17 => {}
            5 | 7 => return Err(ReadError::SecretKey),
            // Marker, trust (what GnuPG notes in its own keyrings), padding, and what was invented
            // later and may be passed over (RFC 9580, section 4.3).
            10 | 12 | 21 | 40..=63 => continue,
            tag => return Err(ReadError::Foreign(format!("type {tag}"))),
        }
        let last = certificates.last_mut().filter(|_| known);
        match (framed.packet(), last) {
            (Some(Packet::PublicKey(primary)), _) => {
                let (direct, users, subkeys) = (Vec::new(), Vec::new(), Vec::new());
                certificates.push(Certificate { primary, direct, users, subkeys });
                (known, at) = (true, At::Key);
            }
            (Some(Packet::UserId(user)), Some(last)) => {
                last.users.push((User::Id(user), Vec::new()));
                at = At::User;
            }
            (Some(Packet::UserAttribute(user)), Some(last)) => {
                last.users.push((User::Attribute(user), Vec::new()));
                at = At::User;
            }
            (Some(Packet::PublicSubkey(key)), Some(last)) => {
                last.subkeys.push((key, Vec::new()));
                at = At::Subkey;
            }
            (Some(Packet::Signature(signature)), Some(last)) => {
                let of = match at {
                    At::Nowhere => None,
                    At::Key => Some(&mut last.direct),
                    At::User => last.users.last_mut().map(|(_, signatures)| signatures),
                    At::Subkey => last.subkeys.last_mut().map(|(_, signatures)| signatures),
                };
                if let Some(of) = of {
                    of.push(signature);
                }
            }
            // A key, user or signature that is not understood, and what belongs to it.
            _ => match framed.tag {
                2 => {}
                6 => (known, at) = (false, At::Nowhere),
                _ => at = At::Nowhere,
            },
        }
    }
    match certificates.is_empty() {
        true => Err(ReadError::Empty("public key")),
        false => Ok(certificates),
    }
}
