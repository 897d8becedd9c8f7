//! How a key stood when it signed: what its certificate says of it.

use pgp::packet::{RevocationCode, Signature, SignatureType, SubpacketData};
use pgp::types::{KeyDetails, Tag};

use super::cert::{Certificate, User};
use super::policy::{self, Use};
use super::{Fault, Fingerprint};

/// A key of a certificate: the primary one, or the subkey of that number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Which {
    Primary,
    Sub(usize),
}

/// What is to be judged: a signature made then, looked at now. In seconds since 1970.
#[derive(Debug, Clone, Copy)]
pub(super) struct When {
    pub(super) made: u64,
    pub(super) at: u64,
}

impl Certificate {
    /// Whether a key of the certificate could sign a file then.
    pub(super) fn stands(&self, which: Which, when: When) -> Result<(), Fault> {
        let primary = &self.primary;
        let name = self.fingerprint();
        policy::key(primary)?;
        self.revoked(when)?;
        let own = self.self_signature(when.at).ok_or(Fault::NoSelfSignature(name.clone()))?;
        lives(primary, own, when)?;
        let Which::Sub(number) = which else {
            // Keys from before there were flags may do everything.
            let signs = !has_flags(own) || own.key_flags().sign();
            return if signs { Ok(()) } else { Err(Fault::NotForSigning(name)) };
        };
        let Some((key, signatures)) = self.subkeys.get(number) else {
            return Err(Fault::NoBinding(name));
        };
        policy::key(key)?;
        let revocations = signatures.iter().filter(|s| {
            s.typ() == Some(SignatureType::SubkeyRevocation)
                && s.verify_subkey_binding(primary, key).is_ok()
        });
        revoked(Fingerprint::of(key), revocations, when)?;
        let valid = |signature: &Signature| {
            signature.typ() == Some(SignatureType::SubkeyBinding)
                && signature.verify_subkey_binding(primary, key).is_ok()
        };
        let binding = newest(signatures.iter(), when.at, primary, valid);
        let binding = binding.ok_or_else(|| Fault::NoBinding(Fingerprint::of(key)))?;
        if !binding.key_flags().sign() {
            return Err(Fault::NotForSigning(Fingerprint::of(key)));
        }
        if !self.signed_back(number, binding, when.at) {
            return Err(Fault::NoBackSignature(Fingerprint::of(key)));
        }
        lives(key, binding, when)
    }

    /// Whether the subkey says that it belongs to the primary key. Without it, somebody could put a
    /// foreign subkey under a key of his own, and its signatures would be his.
    fn signed_back(&self, number: usize, binding: &Signature, at: u64) -> bool {
        let Some((key, _)) = self.subkeys.get(number) else { return false };
        let Some(config) = binding.config() else { return false };
        // It vouches for itself, so it may be in the part that the binding does not cover.
        config.hashed_subpackets().chain(config.unhashed_subpackets()).any(|part| {
            let SubpacketData::EmbeddedSignature(back) = &part.data else { return false };
            back.typ() == Some(SignatureType::KeyBinding)
                && counts(back, at, key).is_some()
                && back.verify_primary_key_binding(key, &self.primary).is_ok()
        })
    }

    fn revoked(&self, when: When) -> Result<(), Fault> {
        let revocations = self.direct.iter().filter(|s| {
            s.typ() == Some(SignatureType::KeyRevocation) && s.verify_key(&self.primary).is_ok()
        });
        revoked(self.fingerprint(), revocations, when)
    }

    /// The newest thing that the primary key validly says of itself: directly, or with a user ID
    /// that is not revoked. What it says directly may be about something else, such as who may
    /// revoke it: that does not stand for what is said with a user ID.
    fn self_signature(&self, at: u64) -> Option<&Signature> {
        let primary = &self.primary;
        let direct = newest(self.direct.iter(), at, primary, |signature| {
            signature.typ() == Some(SignatureType::Key) && signature.verify_key(primary).is_ok()
        });
        let users = self.users.iter().filter_map(|(user, signatures)| {
            let verified = |signature: &Signature| {
                match user {
                    User::Id(user) => signature.verify_certification(primary, Tag::UserId, user),
                    User::Attribute(user) => {
                        signature.verify_certification(primary, Tag::UserAttribute, user)
                    }
                }
                .is_ok()
            };
            let revocation = |signature: &Signature| {
                signature.typ() == Some(SignatureType::CertRevocation)
                    && issued_by(signature, primary)
                    && verified(signature)
            };
            if signatures.iter().any(revocation) {
                return None;
            }
            newest(signatures.iter(), at, primary, |signature| {
                let typ = signature.typ();
                signature.is_certification()
                    && typ != Some(SignatureType::CertRevocation)
                    && issued_by(signature, primary)
                    && verified(signature)
            })
        });
        let user = users.max_by_key(|signature| made(signature));
        let speaks = |one: &Signature| has_flags(one) || one.key_expiration_time().is_some();
        match (direct, user) {
            (Some(direct), Some(user)) if speaks(direct) && made(direct) >= made(user) => {
                Some(direct)
            }
            (direct, user) => user.or(direct),
        }
    }
}

fn made(signature: &Signature) -> u64 {
    signature.created().map_or(0, |made| u64::from(made.as_secs()))
}

/// The newest of the valid ones that count; those that count are tried from the newest on, since
/// trying is what costs.
fn newest<'a>(
    signatures: impl Iterator<Item = &'a Signature>,
    at: u64,
    by: &impl KeyDetails,
    valid: impl Fn(&Signature) -> bool,
) -> Option<&'a Signature> {
    let mut known: Vec<_> =
        signatures.filter_map(|s| counts(s, at, by).map(|made| (made, s))).collect();
    known.sort_by_key(|(made, _)| std::cmp::Reverse(*made));
    known.into_iter().map(|(_, signature)| signature).find(|signature| valid(signature))
}

/// Whether a self-signature counts at that time, if it is valid, and when it was made.
fn counts(signature: &Signature, at: u64, by: &impl KeyDetails) -> Option<u64> {
    let (config, made) = policy::config(signature).ok()?;
    let fits = config.pub_alg == by.algorithm()
        && policy::hash(config.hash_alg, Use::Own(made)).is_ok()
        && made <= at
        && policy::expires(signature, made).is_none_or(|end| at < end);
    fits.then_some(made)
}

/// Whether it names the key, so that signatures by others are not computed for nothing.
fn issued_by(signature: &Signature, key: &impl KeyDetails) -> bool {
    let (ids, prints) = (signature.issuer_key_id(), signature.issuer_fingerprint());
    (ids.is_empty() && prints.is_empty())
        || ids.iter().any(|id| **id == key.legacy_key_id())
        || prints.iter().any(|print| **print == key.fingerprint())
}

fn has_flags(signature: &Signature) -> bool {
    let mut parts = signature.config().into_iter().flat_map(|config| config.hashed_subpackets());
    parts.any(|part| matches!(part.data, SubpacketData::KeyFlags(_)))
}

/// Whether the signature was made while the key was valid, by what its self-signature says.
fn lives(key: &impl KeyDetails, own: &Signature, when: When) -> Result<(), Fault> {
    let (name, made) = (Fingerprint::of(key), when.made);
    let created = u64::from(key.created_at().as_secs());
    if made < created {
        return Err(Fault::BeforeKey { key: name, made, created });
    }
    let holds = own.key_expiration_time().map_or(0, |holds| u64::from(holds.as_secs()));
    let expired = created + holds;
    match holds != 0 && made >= expired {
        true => Err(Fault::AfterKey { key: name, made, expired }),
        false => Ok(()),
    }
}

/// Whether one of the revocations, all of them valid, takes the signature with it. A hard one does
/// whenever it was made, also later than now: who has the secret key could write any date.
fn revoked<'a>(
    key: Fingerprint,
    revocations: impl Iterator<Item = &'a Signature>,
    when: When,
) -> Result<(), Fault> {
    for revocation in revocations {
        let revoked = made(revocation);
        let code = revocation.revocation_reason_code().copied();
        let soft = matches!(code, Some(RevocationCode::KeySuperseded | RevocationCode::KeyRetired));
        if soft && when.made < revoked {
            continue;
        }
        let mut reason = match code {
            Some(RevocationCode::KeySuperseded) => "superseded",
            Some(RevocationCode::KeyRetired) => "retired",
            Some(RevocationCode::KeyCompromised) => "compromised",
            _ => "no reason given",
        }
        .to_owned();
        if let Some(text) = revocation.revocation_reason_string().filter(|text| !text.is_empty()) {
            let text = String::from_utf8_lossy(text);
            let clean: String = text.chars().filter(|c| !c.is_control()).take(200).collect();
            reason = format!("{reason} ({clean})");
        }
        return Err(Fault::Revoked { key, revoked, reason });
    }
    Ok(())
}
