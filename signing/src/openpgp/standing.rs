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
        let own = self.self_signatures(when.at);
        if own.is_empty() {
            return Err(Fault::NoSelfSignature(name));
        }
        // Each is taken from the first that says it. What is said directly may be about something
        // else, such as who may revoke the key, and with a user ID that was added later nothing is
        // said of the key.
        lives(primary, own.iter().map(|signature| life(signature)).find(|life| *life != 0), when)?;
        let Which::Sub(number) = which else {
            // Keys from before there were flags may do everything.
            let flags = own.iter().find(|signature| has_flags(signature));
            let signs = flags.is_none_or(|signature| signature.key_flags().sign());
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
        lives(key, Some(life(binding)), when)
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

    /// What the primary key validly says of itself: first the newest word that it says directly, then
    /// the newest one with each user ID that is not revoked, the newest of them first.
    fn self_signatures(&self, at: u64) -> Vec<&Signature> {
        let primary = &self.primary;
        let direct = newest(self.direct.iter(), at, primary, |signature| {
            signature.typ() == Some(SignatureType::Key) && signature.verify_key(primary).is_ok()
        });
        let users = self.users.iter();
        let users = users.filter_map(|(user, signatures)| self.of_user(user, signatures, at));
        let mut users: Vec<_> = users.collect();
        users.sort_by_key(|signature| std::cmp::Reverse(made(signature)));
        direct.into_iter().chain(users).collect()
    }

    /// The newest thing that it says with a user ID. A revocation ends what was said before it and at
    /// the same time, whatever its reason: a user ID may be certified again, as for GnuPG.
    fn of_user<'a>(
        &self,
        user: &User,
        signatures: &'a [Signature],
        at: u64,
    ) -> Option<&'a Signature> {
        let primary = &self.primary;
        let is_own = |signature: &Signature| {
            policy::may_be_by(signature, primary)
                && match user {
                    User::Id(user) => signature.verify_certification(primary, Tag::UserId, user),
                    User::Attribute(user) => {
                        signature.verify_certification(primary, Tag::UserAttribute, user)
                    }
                }
                .is_ok()
        };
        let is_revocation =
            |signature: &Signature| signature.typ() == Some(SignatureType::CertRevocation);
        let own = newest(signatures.iter(), at, primary, |signature| {
            signature.is_certification() && !is_revocation(signature) && is_own(signature)
        })?;
        let revoked = signatures.iter().any(|signature| {
            is_revocation(signature) && made(signature) >= made(own) && is_own(signature)
        });
        (!revoked).then_some(own)
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

fn has_flags(signature: &Signature) -> bool {
    let mut parts = signature.config().into_iter().flat_map(|config| config.hashed_subpackets());
    parts.any(|part| matches!(part.data, SubpacketData::KeyFlags(_)))
}

/// How long a self-signature says that the key lives, in seconds; 0 where it says nothing of it.
fn life(signature: &Signature) -> u64 {
    signature.key_expiration_time().map_or(0, |life| u64::from(life.as_secs()))
}

/// Whether the signature was made while the key was valid, which lives for so many seconds; without
/// them, or with 0, it lives for ever.
fn lives(key: &impl KeyDetails, life: Option<u64>, when: When) -> Result<(), Fault> {
    let (name, made) = (Fingerprint::of(key), when.made);
    let created = u64::from(key.created_at().as_secs());
    if made < created {
        return Err(Fault::BeforeKey { key: name, made, created });
    }
    match life.filter(|life| *life != 0).map(|life| created + life) {
        Some(expired) if made >= expired => Err(Fault::AfterKey { key: name, made, expired }),
        _ => Ok(()),
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
