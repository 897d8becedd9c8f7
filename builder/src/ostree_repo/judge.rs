//! What detached signatures are worth, to who trusts some keys.
//!
//! libostree judges the signatures of one kind together, and there are commits of which one signature
//! is good and which it refuses all the same. Those are refused here too.

use std::collections::BTreeMap;
use std::fmt;

use ostree::glib::Variant;
use serde::Serialize;
use treelay_signing::schemes::{self, Scheme, ostree_ed25519};
use treelay_signing::{Signature, Subject, Verdict};

use super::error::Result;
use super::gpg;
use super::sign::{GPG_KEY, signatures};
use super::trust::Trust;

/// Length of an ed25519 signature. libostree takes none of a list after one of another length.
const ED25519_LENGTH: usize = 64;

/// One signature.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct CommitSignature {
    /// `ostree.sign.ed25519`, `ostree.sign.spki` or `gpg`.
    pub scheme: String,
    /// Fingerprint of the key that made it, where that is known.
    pub key: Option<String>,
    /// What it is worth.
    pub verdict: SignatureVerdict,
}

/// What a signature is worth, to who trusts the given keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SignatureVerdict {
    /// One of the keys made it, over this commit.
    Good,
    /// By none of the keys, as far as can be told.
    Unknown(String),
    /// Cannot be right, or its key must not be trusted any more.
    Bad(String),
}

impl fmt::Display for CommitSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (verdict, why) = match &self.verdict {
            SignatureVerdict::Good => ("good", None),
            SignatureVerdict::Unknown(why) => ("unknown", Some(why)),
            SignatureVerdict::Bad(why) => ("bad", Some(why)),
        };
        write!(f, "{verdict}: {}", self.scheme)?;
        if let Some(key) = &self.key {
            write!(f, " by {key}")?;
        }
        why.map_or(Ok(()), |why| write!(f, ": {why}"))
    }
}

/// What came out.
#[derive(Debug, Default)]
pub(super) struct Judged {
    /// Every signature, in the order in which they are stored.
    pub(super) signatures: Vec<CommitSignature>,
    /// What is no list of signatures.
    pub(super) damage: Vec<String>,
    /// Why what is asked for is not there.
    pub(super) reasons: Vec<String>,
}

/// Judges all signatures over some bytes, of a commit object or a summary.
///
/// # Errors
/// What kept GPG from looking.
pub(super) fn judge(
    signed: &[u8],
    detached: &BTreeMap<String, Variant>,
    trust: &Trust,
) -> Result<Judged> {
    let mut judged = Judged::default();
    let gpg = gpg::Verifier::new(trust.gpg.as_ref())?;
    for (key, value) in detached {
        let scheme = schemes::by_name(key);
        if scheme.is_none() && key != GPG_KEY {
            continue;
        }
        let Some(list) = signatures(value) else {
            judged.damage.push(format!("its {key} is not a list of signatures"));
            continue;
        };
        judged.signatures.extend(match scheme {
            Some(scheme) => by_keys(scheme, signed, list, trust),
            None => by_gpg(&gpg, signed, &list)?,
        });
    }
    let good = |gpg: bool| {
        judged.signatures.iter().any(|signature| {
            (signature.scheme == gpg::SCHEME) == gpg && signature.verdict == SignatureVerdict::Good
        })
    };
    let asked = [!trust.keys.is_empty(), trust.gpg.is_some()];
    for ((asked, gpg), whose) in asked.into_iter().zip([false, true]).zip(trust.whose()) {
        if asked && !good(gpg) {
            judged.reasons.push(missing(&whose, &judged.signatures));
        }
    }
    Ok(judged)
}

/// Names what there is instead.
fn missing(whose: &str, signatures: &[CommitSignature]) -> String {
    if signatures.is_empty() {
        return format!("it has no signature {whose}: it has none at all");
    }
    let others: Vec<String> = signatures
        .iter()
        .map(|signature| match &signature.verdict {
            SignatureVerdict::Good => format!("{}: good", signature.scheme),
            SignatureVerdict::Unknown(reason) | SignatureVerdict::Bad(reason) => {
                format!("{}: {reason}", signature.scheme)
            }
        })
        .collect();
    format!("it has no good signature {whose} ({})", others.join("; "))
}

fn by_keys(
    scheme: &dyn Scheme,
    signed: &[u8],
    list: Vec<Vec<u8>>,
    trust: &Trust,
) -> Vec<CommitSignature> {
    let lengths = list.iter().map(Vec::len);
    let odd = match scheme.name() {
        ostree_ed25519::METADATA_KEY => lengths.into_iter().find(|it| *it != ED25519_LENGTH),
        _ => None,
    };
    let mut judged: Vec<_> =
        list.into_iter().map(|bytes| by_key(scheme, signed, bytes, trust)).collect();
    if let Some(odd) = odd {
        withdraw(
            &mut judged,
            &format!("good by itself, but ostree takes none beside one of {odd} bytes"),
        );
    }
    judged
}

/// Tries every key: good for one is good; bad only if it is so for all, or a revoked key made it.
fn by_key(scheme: &dyn Scheme, signed: &[u8], bytes: Vec<u8>, trust: &Trust) -> CommitSignature {
    let name = scheme.name();
    let subject = Subject::Commit(signed);
    let signature =
        Signature { scheme: name, subject: subject.name(), bytes, payload: None, key: None };
    let mut verdict = None;
    for key in trust.keys_for(name) {
        match scheme.verify(&subject, &signature, key) {
            Verdict::Good => {
                let (scheme, key) = (name.to_owned(), Some(key.fingerprint()));
                return CommitSignature { scheme, key, verdict: SignatureVerdict::Good };
            }
            Verdict::Unknown(reason) => {
                verdict = Some(SignatureVerdict::Unknown(reason.to_string()));
            }
            Verdict::Bad(reason) => {
                verdict.get_or_insert(SignatureVerdict::Bad(reason.to_string()));
            }
        }
    }
    let made = |key: &&_| scheme.verify(&subject, &signature, key).is_good();
    if let Some(key) = trust.revoked.iter().find(made) {
        let fingerprint = key.fingerprint();
        let verdict = SignatureVerdict::Bad(format!("made by key {fingerprint}, which is revoked"));
        return CommitSignature { scheme: name.to_owned(), key: Some(fingerprint), verdict };
    }
    let none = || SignatureVerdict::Unknown("no key was given for it".to_owned());
    CommitSignature { scheme: name.to_owned(), key: None, verdict: verdict.unwrap_or_else(none) }
}

fn by_gpg(gpg: &gpg::Verifier, signed: &[u8], list: &[Vec<u8>]) -> Result<Vec<CommitSignature>> {
    let mut judged = Vec::new();
    for signature in list {
        judged.extend(gpg.judge(signed, signature)?);
    }
    // As libostree looks at them: all in a row. One that is no OpenPGP packet spoils those behind it.
    if list.len() > 1
        && let Some(message) = gpg.refuses(signed, &list.concat())
    {
        withdraw(&mut judged, &format!("good by itself, but ostree refuses it: {message}"));
    }
    Ok(judged)
}

/// Makes what is good bad.
fn withdraw(signatures: &mut [CommitSignature], reason: &str) {
    for signature in signatures {
        if signature.verdict == SignatureVerdict::Good {
            signature.verdict = SignatureVerdict::Bad(reason.to_owned());
        }
    }
}

#[cfg(test)]
mod tests {
    use treelay_signing::{KeyKind, PublicKey, SecretKey};

    use super::super::objects::{array, bytes};
    use super::super::trust::TrustedKey;
    use super::*;

    /// Names the verdicts and says whether nothing is missing.
    fn verdicts(list: &[(&str, &[&[u8]])], trust: &Trust) -> (String, bool) {
        let entries = list
            .iter()
            .map(|(key, list)| ((*key).to_owned(), array("ay", list.iter().map(|one| bytes(one)))));
        let judged = judge(b"commit", &entries.collect(), trust).unwrap();
        let verdict = |one: &CommitSignature| match one.verdict {
            SignatureVerdict::Good => 'g',
            SignatureVerdict::Unknown(_) => 'u',
            SignatureVerdict::Bad(_) => 'b',
        };
        (judged.signatures.iter().map(verdict).collect(), judged.reasons.is_empty())
    }

    #[test]
    fn one_key_that_is_trusted_and_not_revoked_is_enough() {
        let [a, b] =
            [KeyKind::Ed25519, KeyKind::Ed25519].map(|it| SecretKey::generate(it).unwrap());
        let p = SecretKey::generate(KeyKind::EcdsaP256).unwrap();
        let sign = |key: &SecretKey| {
            schemes::sign_all(&Subject::Commit(b"commit"), key).unwrap().remove(0).bytes
        };
        let (by_a, by_b, by_p) = (sign(&a), sign(&b), sign(&p));
        let (ed25519, spki) = ("ostree.sign.ed25519", "ostree.sign.spki");
        let trust =
            |trusted: &[(&SecretKey, Option<&'static str>)], revoked: &[&SecretKey]| Trust {
                keys: trusted
                    .iter()
                    .map(|(key, scheme)| TrustedKey { key: key.public().clone(), scheme: *scheme })
                    .collect(),
                revoked: revoked.iter().map(|key| PublicKey::clone(key.public())).collect(),
                ..Trust::default()
            };
        let short: &[u8] = &[1; 63];
        for (list, trust, expected) in [
            (&[(ed25519, &[&by_a[..]][..])][..], trust(&[(&a, None)], &[]), ("g", true)),
            (&[(ed25519, &[&by_a])], trust(&[(&b, None)], &[]), ("u", false)),
            (&[(ed25519, &[&by_b, &by_a])], trust(&[(&a, None)], &[]), ("ug", true)),
            (&[(ed25519, &[&by_b, &by_a])], trust(&[(&a, None), (&b, None)], &[]), ("gg", true)),
            // Revoked: skipped, and another that is good is enough.
            (&[(ed25519, &[&by_a])], trust(&[(&a, None)], &[&a]), ("b", false)),
            (&[(ed25519, &[&by_a])], trust(&[(&b, None)], &[&a]), ("b", false)),
            (&[(ed25519, &[&by_b, &by_a])], trust(&[(&a, None), (&b, None)], &[&a]), ("gb", true)),
            (&[(spki, &[&by_p])], trust(&[(&p, None)], &[&a]), ("g", true)),
            (&[(spki, &[&by_p])], trust(&[(&p, None)], &[&p]), ("b", false)),
            // Each by the keys of its own list.
            (&[(ed25519, &[&by_a])], trust(&[(&a, Some(ed25519))], &[]), ("g", true)),
            (&[(ed25519, &[&by_a])], trust(&[(&a, Some(spki))], &[]), ("u", false)),
            (&[(spki, &[&by_a])], trust(&[(&a, Some(spki))], &[]), ("g", true)),
            (&[(spki, &[&by_a])], trust(&[(&a, Some(ed25519))], &[]), ("u", false)),
            // A good one that ostree does not come to, or that spoils others.
            (&[(ed25519, &[short, &by_a])], trust(&[(&a, None)], &[]), ("bb", false)),
            (&[(ed25519, &[&by_a, short])], trust(&[(&a, None)], &[]), ("bb", false)),
            (
                &[(ed25519, &[short]), (spki, &[&by_p])],
                trust(&[(&a, None), (&p, None)], &[]),
                ("ug", true),
            ),
            (&[], trust(&[(&a, None)], &[]), ("", false)),
            (&[("other", &[&by_a])], trust(&[(&a, None)], &[]), ("", false)),
        ] {
            let (found, whole) = verdicts(list, &trust);
            assert_eq!((found.as_str(), whole), expected, "{list:?} {trust:?}");
        }
    }

    #[test]
    fn what_is_no_list_of_signatures_is_damage() {
        let entries = [(GPG_KEY.to_owned(), bytes(b"signature"))].into();
        let judged = judge(b"commit", &entries, &Trust::default()).unwrap();
        assert_eq!(judged.damage, ["its ostree.gpgsigs is not a list of signatures"]);
    }
}
