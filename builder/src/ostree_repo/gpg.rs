//! Judges GPG signatures, through libostree (and so GPGME).
//!
//! `ostree_repo_verify_commit` also trusts the keyrings of the repository's remotes and of
//! `/usr/share/ostree/trusted.gpg.d`. Here only the given keys count: they become the keyring of a
//! remote of a repository made for that alone, and libostree looks nowhere else for a remote that
//! has its own (`ostree-repo.c`, `_ostree_repo_gpg_prepare_verifier`).

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ostree::glib::{self, Bytes, Variant};
use ostree::{GpgVerifyResult, Repo, RepoMode, gio};
use tempfile::TempDir;

use super::NONE;
use super::error::{Doing, Result};
use super::judge::{CommitSignature, SignatureVerdict};
use super::trust::Keyring;

/// What reports call these signatures.
pub(super) const SCHEME: &str = "gpg";

const REMOTE: &str = "given";

/// The attributes of a signature, by their place (`OstreeGpgSignatureAttr`).
mod attribute {
    pub const VALID: usize = 0;
    pub const SIG_EXPIRED: usize = 1;
    pub const KEY_EXPIRED: usize = 2;
    pub const KEY_REVOKED: usize = 3;
    pub const KEY_MISSING: usize = 4;
    pub const FINGERPRINT: usize = 5;
    pub const FINGERPRINT_PRIMARY: usize = 12;
}

/// Trusts the keys of one keyring, or none.
pub(super) struct Verifier {
    given: Option<Given>,
}

struct Given {
    repo: Repo,
    _dir: TempDir,
}

impl Verifier {
    pub(super) fn new(keyring: Option<&Keyring>) -> Result<Self> {
        let Some(keyring) = keyring else { return Ok(Self { given: None }) };
        let preparing = || "preparing a GPG keyring".to_owned();
        let dir = tempfile::tempdir().doing(preparing)?;
        let path = dir.path().join("repo");
        let repo = Repo::new_for_path(&path);
        repo.create(RepoMode::Archive, NONE).doing(preparing)?;
        let file = path.join(format!("{REMOTE}.trustedkeys.gpg"));
        std::fs::write(file, keyring.packets()).doing(preparing)?;
        repo.remote_add(REMOTE, None, None, NONE).doing(preparing)?;
        Ok(Self { given: Some(Given { repo, _dir: dir }) })
    }

    /// One element of `ostree.gpgsigs`, which holds one signature.
    pub(super) fn judge(&self, signed: &[u8], signature: &[u8]) -> Result<Vec<CommitSignature>> {
        let one = |verdict| vec![CommitSignature { scheme: SCHEME.to_owned(), key: None, verdict }];
        let Some(given) = &self.given else {
            let reason = "no GPG keyring was given".to_owned();
            return Ok(one(SignatureVerdict::Unknown(reason)));
        };
        Ok(match given.verify(signed, signature) {
            Err(error) => one(SignatureVerdict::Bad(error.message().to_owned())),
            Ok(result) if result.count_all() == 0 => {
                one(SignatureVerdict::Bad("there is no signature in it".to_owned()))
            }
            Ok(result) => (0..result.count_all()).map(|at| read(&result.all(at))).collect(),
        })
    }

    /// Why libostree does not take these signatures, which follow one another.
    pub(super) fn refuses(&self, signed: &[u8], signatures: &[u8]) -> Option<String> {
        let result = self.given.as_ref()?.verify(signed, signatures);
        let valid = result.and_then(|result| result.require_valid_signature());
        valid.err().map(|error| error.message().to_owned())
    }
}

impl Given {
    fn verify(
        &self,
        signed: &[u8],
        signatures: &[u8],
    ) -> std::result::Result<GpgVerifyResult, glib::Error> {
        let nowhere = None::<&gio::File>;
        let (signed, signatures) = (Bytes::from(signed), Bytes::from(signatures));
        self.repo.gpg_verify_data(Some(REMOTE), &signed, &signatures, nowhere, nowhere, NONE)
    }
}

/// Whether it begins as OpenPGP packets do: with a byte whose highest bit is set.
pub(super) fn is_binary(keyring: &[u8]) -> bool {
    keyring.first().is_some_and(|first| first & 0x80 != 0)
}

/// The OpenPGP packets of a keyring, whether it is binary or armoured (RFC 9580, 6.2).
pub(super) fn keys(keyring: &[u8]) -> std::result::Result<Vec<u8>, &'static str> {
    const NO_KEYS: &str = "there are no OpenPGP keys in it";
    const BEGIN: &str = "-----BEGIN PGP PUBLIC KEY BLOCK-----";
    if is_binary(keyring) {
        return Ok(keyring.to_vec());
    }
    if keyring.get(8..12) == Some(b"KBXf") {
        return Err("it is GnuPG's own keybox; export the keys with gpg --export");
    }
    let text = std::str::from_utf8(keyring).map_err(|_| NO_KEYS)?;
    let mut keys = Vec::new();
    for block in text.split(BEGIN).skip(1) {
        let mut lines = block.lines().map(str::trim).skip(1).skip_while(|line| line.contains(": "));
        if lines.next() != Some("") {
            return Err("its armour is damaged");
        }
        // A line of `=` and four characters is a checksum of the rest, which nobody needs.
        let body: String = lines.take_while(|line| !line.starts_with(['-', '='])).collect();
        keys.extend(STANDARD.decode(body).map_err(|_| "its armour is damaged")?);
    }
    if keys.is_empty() { Err(NO_KEYS) } else { Ok(keys) }
}

/// The fingerprint (or key id) of the key that a signature says it was made with.
pub(super) fn signer(repo: &Repo, commit: &Bytes, signature: &[u8]) -> Option<String> {
    let nowhere = None::<&gio::File>;
    let signature = Bytes::from(signature);
    let result = repo.gpg_verify_data(None, commit, &signature, nowhere, nowhere, NONE).ok()?;
    (result.count_all() == 1).then(|| text(&result.all(0), attribute::FINGERPRINT))?
}

fn read(attributes: &Variant) -> CommitSignature {
    // What is not there is taken for the worse.
    let is = |at: usize, otherwise: bool| {
        attributes.try_child_value(at).and_then(|value| value.get()).unwrap_or(otherwise)
    };
    let fingerprint = text(attributes, attribute::FINGERPRINT);
    let name = fingerprint.clone().unwrap_or_else(|| "an unnamed key".to_owned());
    let bad = |what: &str| SignatureVerdict::Bad(format!("made by {name}, {what}"));
    let verdict = if is(attribute::KEY_MISSING, true) {
        SignatureVerdict::Unknown(format!("made by {name}, which is not in the keyring"))
    } else if is(attribute::KEY_REVOKED, true) {
        bad("which was revoked")
    } else if is(attribute::KEY_EXPIRED, true) {
        bad("which has expired")
    } else if is(attribute::SIG_EXPIRED, true) {
        bad("and has expired")
    } else if !is(attribute::VALID, false) || fingerprint.is_none() {
        bad("but does not fit: it or the commit was changed")
    } else {
        SignatureVerdict::Good
    };
    let key = text(attributes, attribute::FINGERPRINT_PRIMARY).or(fingerprint);
    CommitSignature { scheme: SCHEME.to_owned(), key, verdict }
}

fn text(attributes: &Variant, at: usize) -> Option<String> {
    let text = attributes.try_child_value(at).and_then(|value| value.get::<String>());
    text.filter(|text| !text.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keyrings_are_read_armoured_or_not() {
        let block = "-----BEGIN PGP PUBLIC KEY BLOCK-----\nComment: a key\n\nmDMEZQ==\n=abcd\n\
                     -----END PGP PUBLIC KEY BLOCK-----\n";
        let key = vec![0x98, 0x33, 0x04, 0x65];
        for (keyring, expected) in [
            (key.clone(), Ok(key.clone())),
            (block.as_bytes().to_vec(), Ok(key.clone())),
            (block.replace("Comment: a key\n", "").into_bytes(), Ok(key.clone())),
            (format!("text\n{block}\n{block}").into_bytes(), Ok([&key[..], &key].concat())),
            (block.replace("mDM", "m*M").into_bytes(), Err("its armour is damaged")),
            (b"hello".to_vec(), Err("there are no OpenPGP keys in it")),
            (Vec::new(), Err("there are no OpenPGP keys in it")),
            (
                b"\0\0\0\x20\x01\x01\0\x02KBXf".to_vec(),
                Err("it is GnuPG's own keybox; export the keys with gpg --export"),
            ),
        ] {
            assert_eq!(keys(&keyring), expected);
        }
    }
}
