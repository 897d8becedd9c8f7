//! [`Policy::evaluate`].

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use treelay_recipes::Digest;
use treelay_signing::schemes::Scheme as _;
use treelay_signing::schemes::simplesigning::{
    MEDIA_TYPE, NAME, Payload, SIGNATURE_ANNOTATION, SimpleSigning,
};
use treelay_signing::{PublicKey, Reason, Signature, Subject, Verdict};

use super::scopes::Found;
use super::{Policy, Requirement, Signer, SigstoreSigned, Source};
use crate::hosts::Reference;

/// Reads a file that a policy names, by its path on the host.
///
/// # Errors
/// Why it cannot be read, in words.
pub type ReadFile<'a> = &'a dyn Fn(&str) -> Result<Vec<u8>, String>;

/// What a policy is asked about.
#[derive(Debug, Clone, Copy)]
pub struct ImageAsked<'a> {
    /// The name that the host asks for; [`None`] of a layout or a directory.
    pub name: Option<&'a Reference>,
    /// The manifest that is checked: the index, or that of one platform.
    pub digest: &'a Digest,
    /// What is attached to it under the tag `sha256-<hex>.sig`; empty where the host looks for
    /// none there.
    pub attached: &'a [Attached],
}

/// A layer of the manifest under the tag `sha256-<hex>.sig`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attached {
    /// What it says it is.
    pub media_type: String,
    /// Among them the signature.
    pub annotations: BTreeMap<String, String>,
    /// What is signed.
    pub payload: Vec<u8>,
}

/// What came of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Outcome {
    /// The requirements that are not met; accepted is what has none.
    pub unmet: Vec<Unmet>,
    /// Fingerprints of the keys by whose signature requirements were met.
    pub keys: Vec<String>,
}

impl Outcome {
    /// Whether the image is accepted.
    pub fn is_accepted(&self) -> bool {
        self.unmet.is_empty()
    }

    /// Whether it is accepted though nobody signed it: because the policy accepts anything there.
    pub fn is_unchecked(&self) -> bool {
        self.is_accepted() && self.keys.is_empty()
    }
}

/// Why a requirement is not met. The order is that of what is most worth telling.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, thiserror::Error)]
pub enum Unmet {
    /// `reject`.
    #[error("images of this scope are rejected, whoever signed them")]
    Reject,
    /// `signedBy`.
    #[error(
        "a GPG signature (simple signing) is required, which treelay does not write: ask for \
         sigstoreSigned instead"
    )]
    NeedsGpg,
    /// `signedBaseLayer`.
    #[error("signedBaseLayer is met by no image: containers/image does not implement it")]
    BaseLayer,
    /// A key of the policy cannot be used.
    #[error("{key}: {reason}")]
    Key {
        /// Its path, or where it is in the policy.
        key: String,
        /// Why not.
        reason: String,
    },
    /// `fulcio`, `pki`.
    #[error(
        "a certificate is required ({member}); signatures made with keys carry none, and treelay \
         does not judge others by it"
    )]
    NeedsCertificate {
        /// The member that asks for it.
        member: &'static str,
    },
    /// `rekorPublicKey…`.
    #[error(
        "an entry in a transparency log is required (rekorPublicKey…); treelay writes none, and \
         does not judge those of others"
    )]
    NeedsLog,
    /// Nothing is attached.
    #[error("a signature is required, and there is none")]
    NoSignature,
    /// Signed by the key, under another name.
    #[error("signed as {signed}, which {identity} does not take for {asked}")]
    OtherName {
        /// The name that was signed.
        signed: String,
        /// The rule.
        identity: &'static str,
        /// The name that was asked for.
        asked: String,
    },
    /// Signed by the key, but another image.
    #[error("{0}")]
    OtherImage(String),
    /// Signed by the key, and unusable.
    #[error("{0}")]
    Unusable(String),
    /// By none of the keys.
    #[error("{}", not_by(*.signatures, .keys))]
    OtherKeys {
        /// How many there are.
        signatures: usize,
        /// Fingerprints of the keys that were tried.
        keys: Vec<String>,
    },
}

fn not_by(signatures: usize, keys: &[String]) -> String {
    let count = match signatures {
        1 => "its one signature was not made".to_owned(),
        n => format!("none of its {n} signatures was made"),
    };
    let keys = keys.join(", ");
    format!("{count} by {keys}, or was changed afterwards")
}

impl Unmet {
    /// One word for scripts.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::Reject => "reject",
            Self::NeedsGpg => "needs-gpg",
            Self::BaseLayer => "base-layer",
            Self::Key { .. } => "key",
            Self::NeedsCertificate { .. } => "needs-certificate",
            Self::NeedsLog => "needs-log",
            Self::NoSignature => "no-signature",
            Self::OtherName { .. } => "other-name",
            Self::OtherImage(_) => "other-image",
            Self::Unusable(_) => "unusable",
            Self::OtherKeys { .. } => "other-keys",
        }
    }
}

impl Policy {
    /// Whether a host with this policy accepts an image of a registry.
    pub fn evaluate(&self, image: &ImageAsked<'_>, read: ReadFile<'_>) -> Outcome {
        match image.name {
            Some(name) => self.lookup(name).evaluate(image, read),
            None => self.lookup_in("oci", &[]).evaluate(image, read),
        }
    }
}

impl Found<'_> {
    /// Whether an image meets these requirements.
    pub fn evaluate(&self, image: &ImageAsked<'_>, read: ReadFile<'_>) -> Outcome {
        let mut outcome = Outcome::default();
        for requirement in self.requirements {
            match requirement {
                Requirement::AcceptAnything => {}
                Requirement::Reject => outcome.unmet.push(Unmet::Reject),
                Requirement::SignedBy { .. } => outcome.unmet.push(Unmet::NeedsGpg),
                Requirement::SignedBaseLayer { .. } => outcome.unmet.push(Unmet::BaseLayer),
                Requirement::Sigstore(signed) => match signed.evaluate(image, read) {
                    Ok(key) => outcome.keys.push(key),
                    Err(unmet) => outcome.unmet.push(unmet),
                },
            }
        }
        outcome
    }
}

impl SigstoreSigned {
    fn evaluate(&self, image: &ImageAsked<'_>, read: ReadFile<'_>) -> Result<String, Unmet> {
        let keys = match &self.signer {
            Signer::Keys(source) => source.keys(read)?,
            Signer::Fulcio { .. } => return Err(Unmet::NeedsCertificate { member: "fulcio" }),
            Signer::Pki { .. } => return Err(Unmet::NeedsCertificate { member: "pki" }),
        };
        // Others, such as attestations, are passed over (`isRunningImageAllowed`).
        let signatures: Vec<_> =
            image.attached.iter().filter(|one| one.media_type == MEDIA_TYPE).collect();
        if signatures.is_empty() {
            return Err(Unmet::NoSignature);
        }
        let mut best: Option<Unmet> = None;
        for attached in &signatures {
            for key in &keys {
                match self.judge(image, attached, key) {
                    Ok(()) if self.rekor.is_some() => return Err(Unmet::NeedsLog),
                    Ok(()) => return Ok(key.fingerprint()),
                    Err(Some(unmet)) if best.as_ref().is_none_or(|best| unmet < *best) => {
                        best = Some(unmet);
                    }
                    Err(_) => {}
                }
            }
        }
        let keys = keys.iter().map(PublicKey::fingerprint).collect();
        Err(best.unwrap_or(Unmet::OtherKeys { signatures: signatures.len(), keys }))
    }

    /// Whether `key` signed the image under an acceptable name. An error without a reason: the
    /// signature is by somebody else.
    fn judge(
        &self,
        image: &ImageAsked<'_>,
        attached: &Attached,
        key: &PublicKey,
    ) -> Result<(), Option<Unmet>> {
        let unusable = |reason: String| Some(Unmet::Unusable(reason));
        let text = attached.annotations.get(SIGNATURE_ANNOTATION).ok_or_else(|| {
            unusable(format!("a signature has no annotation {SIGNATURE_ANNOTATION}"))
        })?;
        let bytes = BASE64
            .decode(text)
            .map_err(|error| unusable(format!("the annotation {SIGNATURE_ANNOTATION}: {error}")))?;
        let digest = image.digest.to_string();
        let signature = Signature {
            scheme: NAME,
            subject: digest.clone(),
            bytes,
            payload: Some(attached.payload.clone()),
            key: None,
        };
        let subject = Subject::Image { digest: &digest, reference: None };
        match SimpleSigning.verify(&subject, &signature, key) {
            Verdict::Good => {}
            Verdict::Unknown(_) | Verdict::Bad(Reason::Malformed { .. }) => return Err(None),
            Verdict::Bad(reason @ Reason::OtherSubject { .. }) => {
                return Err(Some(Unmet::OtherImage(reason.to_string())));
            }
            Verdict::Bad(reason) => return Err(unusable(reason.to_string())),
        }
        let payload = Payload::parse(&attached.payload).map_err(|e| unusable(e.to_string()))?;
        if self.identity.accepts(image.name, payload.reference()) {
            return Ok(());
        }
        Err(Some(Unmet::OtherName {
            signed: payload.reference().to_owned(),
            identity: self.identity.name(),
            asked: image.name.map_or("an image without a name".to_owned(), ToString::to_string),
        }))
    }
}

impl Source {
    /// The public keys; every one must be readable, or no signature counts.
    ///
    /// # Errors
    /// [`Unmet::Key`].
    pub fn keys(&self, read: ReadFile<'_>) -> Result<Vec<PublicKey>, Unmet> {
        let file = |path: &String| {
            let wrong = |reason| Unmet::Key { key: path.clone(), reason };
            public_key(&read(path).map_err(wrong)?).map_err(wrong)
        };
        let data = |bytes: &Vec<u8>| {
            let key = format!("key{}", self.ending());
            public_key(bytes).map_err(|reason| Unmet::Key { key, reason })
        };
        match self {
            Self::Path(path) => Ok(vec![file(path)?]),
            Self::Paths(paths) => paths.iter().map(file).collect(),
            Self::Data(bytes) => Ok(vec![data(bytes)?]),
            Self::Datas(list) => list.iter().map(data).collect(),
        }
    }
}

/// A public key as containers/image reads it: PEM, never ostree's line of base64.
fn public_key(bytes: &[u8]) -> Result<PublicKey, String> {
    if !bytes.windows(10).any(|window| window == b"-----BEGIN") {
        return Err("not a public key in PEM".to_owned());
    }
    PublicKey::parse(bytes).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use treelay_signing::{KeyKind, SecretKey};

    use super::*;

    const NAMED: &str = "h.example/tools/a:1";

    fn attached(key: &SecretKey, digest: &Digest, name: &str) -> Attached {
        let digest = digest.to_string();
        let subject = Subject::Image { digest: &digest, reference: Some(name) };
        let made = SimpleSigning.sign(&subject, key).unwrap();
        Attached {
            media_type: MEDIA_TYPE.to_owned(),
            annotations: BTreeMap::from([(
                SIGNATURE_ANNOTATION.to_owned(),
                BASE64.encode(&made.bytes),
            )]),
            payload: made.payload.unwrap(),
        }
    }

    fn policy(requirement: &str) -> Policy {
        let text = r#"{"default":[{"type":"reject"}],"transports":{"docker":{"h.example":[REQ]}}}"#;
        Policy::parse(&text.replace("REQ", requirement)).unwrap()
    }

    #[test]
    fn what_hosts_say_of_signatures() {
        let ours = SecretKey::generate(KeyKind::EcdsaP256).unwrap();
        let theirs = SecretKey::generate(KeyKind::Ed25519).unwrap();
        let digest = Digest::of("image");
        let good = attached(&ours, &digest, NAMED);
        let flipped = {
            let mut bytes = good.clone();
            bytes.payload[40] ^= 1;
            bytes
        };
        let other_type = Attached { media_type: "application/x".into(), ..good.clone() };
        let no_annotation = Attached { annotations: BTreeMap::new(), ..good.clone() };
        let of_theirs = attached(&theirs, &digest, NAMED);
        let other_image = attached(&ours, &Digest::of("other"), NAMED);
        let other_tag = attached(&ours, &digest, "h.example/tools/a:2");
        let by_cosign = attached(&ours, &digest, "h.example/tools/a");
        let (key, both) = (
            r#"{"type":"sigstoreSigned","keyPath":"/ours"}"#,
            r#"{"type":"sigstoreSigned","keyPaths":["/theirs","/ours"]}"#,
        );
        let repository = r#"{"type":"sigstoreSigned","keyPath":"/ours","signedIdentity":{"type":"matchRepository"}}"#;
        let two = r#"{"type":"sigstoreSigned","keyPath":"/ours"},{"type":"sigstoreSigned","keyPath":"/theirs"}"#;
        let read = |path: &str| match path {
            "/ours" => Ok(ours.public().to_pem().into_bytes()),
            "/theirs" => Ok(theirs.public().to_pem().into_bytes()),
            "/line" => Ok(theirs.public().to_ostree_line().unwrap().into_bytes()),
            _ => Err("no such file".to_owned()),
        };
        let asked: Reference = NAMED.parse().unwrap();
        let two_of_them = [flipped.clone(), of_theirs.clone(), good.clone()];
        for (requirement, signatures, kind) in [
            (key, std::slice::from_ref(&good), ""),
            (both, std::slice::from_ref(&good), ""),
            (both, std::slice::from_ref(&of_theirs), ""),
            (key, &two_of_them[..], ""),
            (two, &two_of_them[..], ""),
            (two, std::slice::from_ref(&good), "other-keys"),
            (key, &[], "no-signature"),
            (key, std::slice::from_ref(&other_type), "no-signature"),
            (key, std::slice::from_ref(&no_annotation), "unusable"),
            (key, std::slice::from_ref(&flipped), "other-keys"),
            (key, std::slice::from_ref(&of_theirs), "other-keys"),
            (key, std::slice::from_ref(&other_image), "other-image"),
            (key, std::slice::from_ref(&other_tag), "other-name"),
            (key, std::slice::from_ref(&by_cosign), "other-name"),
            (repository, std::slice::from_ref(&other_tag), ""),
            (repository, std::slice::from_ref(&by_cosign), ""),
            (r#"{"type":"reject"}"#, std::slice::from_ref(&good), "reject"),
            (r#"{"type":"insecureAcceptAnything"}"#, &[], ""),
            (r#"{"type":"insecureAcceptAnything"},{"type":"reject"}"#, &[], "reject"),
            (r#"{"type":"sigstoreSigned","keyPath":"/gone"}"#, std::slice::from_ref(&good), "key"),
            (
                r#"{"type":"sigstoreSigned","keyPath":"/line"}"#,
                std::slice::from_ref(&of_theirs),
                "key",
            ),
            (
                r#"{"type":"sigstoreSigned","keyPaths":["/ours","/gone"]}"#,
                std::slice::from_ref(&good),
                "key",
            ),
            (
                r#"{"type":"sigstoreSigned","keyPath":"/ours","rekorPublicKeyPath":"/r"}"#,
                std::slice::from_ref(&good),
                "needs-log",
            ),
            (
                r#"{"type":"sigstoreSigned","pki":{"caRootsPath":"/c","subjectEmail":"e"}}"#,
                std::slice::from_ref(&good),
                "needs-certificate",
            ),
            (
                r#"{"type":"signedBy","keyType":"GPGKeys","keyPath":"/ours"}"#,
                std::slice::from_ref(&good),
                "needs-gpg",
            ),
        ] {
            let image = ImageAsked { name: Some(&asked), digest: &digest, attached: signatures };
            let outcome = policy(requirement).evaluate(&image, &read);
            let found = outcome.unmet.first().map_or("", Unmet::kind);
            assert_eq!(found, kind, "{requirement}: {outcome:?}");
            assert_eq!(outcome.is_accepted(), kind.is_empty());
        }
        let image = ImageAsked { name: Some(&asked), digest: &digest, attached: &[good] };
        let outcome = policy(key).evaluate(&image, &read);
        assert_eq!(outcome.keys, [ours.public().fingerprint()]);
        assert!(!outcome.is_unchecked());
        let elsewhere: Reference = "other.example/a:1".parse().unwrap();
        let image = ImageAsked { name: Some(&elsewhere), ..image };
        assert_eq!(policy(key).evaluate(&image, &read).unmet, [Unmet::Reject]);
    }
}
