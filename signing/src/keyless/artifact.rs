//! [`Artifact`]: what a signature must be for.

use super::error::KeylessError;
use super::key::Hash;
use crate::Statement;

/// A file or image that a signature must be for, by its digests.
#[derive(Debug, Clone)]
pub struct Artifact<'a> {
    sha256: Option<[u8; 32]>,
    sha384: Option<[u8; 48]>,
    sha512: Option<[u8; 64]>,
    bytes: Option<&'a [u8]>,
}

impl<'a> Artifact<'a> {
    /// These bytes. Every signature can be verified.
    pub fn of_bytes(bytes: &'a [u8]) -> Self {
        Self {
            sha256: Hash::Sha256.of(bytes).try_into().ok(),
            sha384: Hash::Sha384.of(bytes).try_into().ok(),
            sha512: Hash::Sha512.of(bytes).try_into().ok(),
            bytes: Some(bytes),
        }
    }

    /// Something too long to be held, by its SHA-256, SHA-384 and SHA-512. Signatures by Ed25519
    /// keys, which are over the bytes, cannot be verified.
    pub fn of_hashes(sha256: [u8; 32], sha384: [u8; 48], sha512: [u8; 64]) -> Self {
        Self { sha256: Some(sha256), sha384: Some(sha384), sha512: Some(sha512), bytes: None }
    }

    /// Something of which only the SHA-256 is known, such as an image. Signatures over other
    /// hashes cannot be verified.
    pub fn of_sha256(sha256: [u8; 32]) -> Self {
        Self { sha256: Some(sha256), sha384: None, sha512: None, bytes: None }
    }

    /// The same with SHA-512, by which npm names packages.
    pub fn of_sha512(sha512: [u8; 64]) -> Self {
        Self { sha256: None, sha384: None, sha512: Some(sha512), bytes: None }
    }

    /// `sha256:` and 64 hex digits; where only the SHA-512 is known, `sha512:` and 128.
    pub fn digest(&self) -> String {
        match (&self.sha256, &self.sha512) {
            (None, Some(sha512)) => format!("sha512:{}", hex::encode(sha512)),
            (sha256, _) => format!("sha256:{}", hex::encode(sha256.unwrap_or_default())),
        }
    }

    pub(super) fn bytes(&self) -> Option<&'a [u8]> {
        self.bytes
    }

    pub(super) fn hash(&self, hash: Hash) -> Option<&[u8]> {
        match hash {
            Hash::Sha256 => self.sha256.as_ref().map(|digest| &digest[..]),
            Hash::Sha384 => self.sha384.as_ref().map(|digest| &digest[..]),
            Hash::Sha512 => self.sha512.as_ref().map(|digest| &digest[..]),
        }
    }

    pub(super) fn need(&self, hash: Hash) -> Result<&[u8], KeylessError> {
        self.hash(hash).ok_or_else(|| {
            let kind = match hash {
                Hash::Sha256 => "SHA-256",
                Hash::Sha384 => "SHA-384",
                Hash::Sha512 => "SHA-512",
            };
            KeylessError::NeedsBytes { kind }
        })
    }

    /// Checks that a statement is about it: one of its subjects has a digest of it, and no other
    /// digest of that subject contradicts.
    pub(super) fn check_statement(&self, statement: &Statement) -> Result<(), KeylessError> {
        const NAMES: [(&str, Hash); 3] =
            [("sha256", Hash::Sha256), ("sha384", Hash::Sha384), ("sha512", Hash::Sha512)];
        let is_subject = statement.subjects.iter().any(|subject| {
            let mut same = NAMES.iter().filter_map(|(name, hash)| {
                let digest = subject.digests.get(*name)?;
                Some(*digest == hex::encode(self.hash(*hash)?))
            });
            same.next().is_some_and(|first| first && same.all(|one| one))
        });
        if is_subject {
            return Ok(());
        }
        let name = |digests: &std::collections::BTreeMap<String, String>| {
            let first = digests.get_key_value("sha256").or_else(|| digests.iter().next());
            first.map(|(algorithm, hex)| format!("{algorithm}:{hex}")).unwrap_or_default()
        };
        let mut found: Vec<String> =
            statement.subjects.iter().take(4).map(|subject| name(&subject.digests)).collect();
        if statement.subjects.len() > found.len() {
            found.push(format!("{} more", statement.subjects.len() - found.len()));
        }
        Err(KeylessError::OtherArtifact { expected: self.digest(), found: found.join(", ") })
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;

    #[test]
    fn a_statement_is_about_what_its_digests_name() {
        let artifact = Artifact::of_bytes(b"a");
        let only_sha256 =
            Artifact::of_sha256(*artifact.hash(Hash::Sha256).unwrap().first_chunk().unwrap());
        let (a256, a512) = (hex::encode(Hash::Sha256.of(b"a")), hex::encode(Hash::Sha512.of(b"a")));
        let b512 = hex::encode(Hash::Sha512.of(b"b"));
        for (digests, by_all, by_sha256) in [
            (vec![("sha256", &a256)], true, true),
            (vec![("sha512", &a512)], true, false),
            (vec![("sha256", &a256), ("sha512", &a512)], true, true),
            (vec![("sha256", &a256), ("sha512", &b512)], false, true),
            (vec![("gitCommit", &a256)], false, false),
        ] {
            let mut statement = Statement::about(&a256, "https://a.example/b", Value::Null);
            statement.subjects[0].digests =
                digests.iter().map(|(name, hex)| ((*name).to_owned(), (*hex).clone())).collect();
            assert_eq!(artifact.check_statement(&statement).is_ok(), by_all, "{digests:?}");
            assert_eq!(only_sha256.check_statement(&statement).is_ok(), by_sha256, "{digests:?}");
        }
    }
}
