//! The contract of every scheme in the list, with every kind of key; then what is particular to
//! one of them.

use std::sync::LazyLock;

use super::simplesigning::{NAME, Payload};
use super::{SCHEMES, Scheme, by_name, ostree_ed25519, ostree_spki, sign_all, sigstore_bundle};
use crate::{
    FormError, KeyKind, PublicKey, Reason, SecretKey, SignError, Signature, Subject, Verdict,
};

const DIGEST: &str = "sha256:db270f0acb4e573c5f49cb758c2c0ee280c09d19fd7000552fa73a0ab3af9683";
const OTHER: &str = "sha256:e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
const REFERENCE: &str = "registry.example/team/sdk:1.27.3";
const IMAGE: Subject<'_> = Subject::Image { digest: DIGEST, reference: Some(REFERENCE) };
const COMMIT: Subject<'_> = Subject::Commit(b"the bytes of a commit object");

/// Two keys of each kind.
static KEYS: LazyLock<Vec<[SecretKey; 2]>> = LazyLock::new(|| {
    let pair = |kind| [(); 2].map(|()| SecretKey::generate(kind).unwrap());
    KeyKind::ALL.map(pair).into()
});

fn each_case(mut case: impl FnMut(&dyn Scheme, Subject<'_>, &SecretKey, &SecretKey)) {
    for scheme in SCHEMES {
        let subjects = [IMAGE, COMMIT].into_iter().filter(|subject| scheme.covers(subject));
        let mut signed = 0;
        for subject in subjects {
            for [key, other] in KEYS.iter().filter(|[key, _]| scheme.can_sign(key)) {
                case(*scheme, subject, key, other);
                signed += 1;
            }
        }
        assert!(signed > 0, "{} signs nothing", scheme.name());
    }
}

/// As it is read from where it is stored: without the name of its key.
fn stored(signature: Signature) -> Signature {
    Signature { key: None, ..signature }
}

#[test]
fn what_is_signed_is_good_and_the_same_every_time() {
    each_case(|scheme, subject, key, _| {
        let signature = scheme.sign(&subject, key).unwrap();
        let name = format!("{} {}", scheme.name(), key.kind());
        assert_eq!(signature.scheme, scheme.name());
        assert_eq!(signature.subject, subject.name());
        assert_eq!(signature.key, Some(key.public().fingerprint()));
        assert_eq!(scheme.sign(&subject, key).unwrap(), signature, "{name}");
        assert_eq!(scheme.verify(&subject, &signature, key.public()), Verdict::Good, "{name}");
        let stored = stored(signature);
        assert_eq!(scheme.verify(&subject, &stored, key.public()), Verdict::Good, "{name}");
    });
}

#[test]
fn another_key_is_unknown() {
    each_case(|scheme, subject, key, other| {
        let signature = scheme.sign(&subject, key).unwrap();
        let verdict = scheme.verify(&subject, &signature, other.public());
        assert!(matches!(verdict, Verdict::Unknown(Reason::OtherKey { .. })), "{verdict:?}");
        let verdict = scheme.verify(&subject, &stored(signature), other.public());
        assert!(matches!(verdict, Verdict::Unknown(Reason::NotByThisKey { .. })), "{verdict:?}");
    });
    // Nor does a key of another kind read it as something it is not.
    each_case(|scheme, subject, key, _| {
        let signature = stored(scheme.sign(&subject, key).unwrap());
        for [other, _] in KEYS.iter().filter(|[other, _]| other.kind() != key.kind()) {
            assert!(!scheme.verify(&subject, &signature, other.public()).is_good());
        }
    });
}

#[test]
fn a_changed_byte_is_not_good() {
    each_case(|scheme, subject, key, _| {
        // Verifying on P-384 is by far the slowest: a sample keeps this test short.
        let step = if key.kind() == KeyKind::EcdsaP384 { 5 } else { 1 };
        let good = stored(scheme.sign(&subject, key).unwrap());
        let check = |subject: &Subject<'_>, changed: &Signature, what: &str, at: usize| {
            let verdict = scheme.verify(subject, changed, key.public());
            assert!(!verdict.is_good(), "{} {}: {what} {at}", scheme.name(), key.kind());
        };
        for at in (0..good.bytes.len()).step_by(step) {
            let mut changed = good.clone();
            changed.bytes[at] ^= 1 << (at % 8);
            check(&subject, &changed, "signature", at);
        }
        for at in (0..good.payload.as_ref().map_or(0, Vec::len)).step_by(step) {
            let mut changed = good.clone();
            changed.payload.as_mut().unwrap()[at] ^= 1 << (at % 8);
            check(&subject, &changed, "payload", at);
        }
        if let Subject::Commit(commit) = subject {
            for at in (0..commit.len()).step_by(step) {
                let mut changed = commit.to_vec();
                changed[at] ^= 1 << (at % 8);
                check(&Subject::Commit(&changed), &good, "commit", at);
            }
        }
        for length in [0, 1, good.bytes.len() - 1] {
            let mut changed = good.clone();
            changed.bytes.truncate(length);
            check(&subject, &changed, "length", length);
        }
        let mut longer = good.clone();
        longer.bytes.push(0);
        check(&subject, &longer, "length", longer.bytes.len());
    });
}

#[test]
fn a_named_key_that_does_not_fit_is_bad() {
    let [key, _] = &KEYS[0];
    let mut signature = ostree_spki::OstreeSpki.sign(&COMMIT, key).unwrap();
    signature.bytes = ostree_spki::OstreeSpki.sign(&Subject::Commit(b""), key).unwrap().bytes;
    let verdict = ostree_spki::OstreeSpki.verify(&COMMIT, &signature, key.public());
    assert!(matches!(verdict, Verdict::Bad(Reason::DoesNotFit { .. })), "{verdict:?}");
}

#[test]
fn schemes_keep_to_their_subjects_keys_and_signatures() {
    for scheme in SCHEMES {
        assert_eq!(by_name(scheme.name()).unwrap().name(), scheme.name());
        for [key, _] in KEYS.iter() {
            for subject in [IMAGE, COMMIT] {
                let signed = scheme.sign(&subject, key);
                if scheme.covers(&subject) && scheme.can_sign(key) {
                    assert!(signed.is_ok());
                    continue;
                }
                assert!(matches!(
                    signed,
                    Err(SignError::NotForScheme { .. } | SignError::KeyKind { .. })
                ));
                // The right bytes do not help when the subject is wrong.
                let bytes = key.sign(b"the bytes of a commit object").unwrap();
                let payload = Some(Payload::new(REFERENCE, DIGEST).unwrap().to_bytes());
                let (name, of) = (scheme.name(), subject.name());
                let forged = Signature { scheme: name, subject: of, bytes, payload, key: None };
                if !scheme.covers(&subject) {
                    assert!(!scheme.verify(&subject, &forged, key.public()).is_good());
                }
            }
        }
    }
    let kinds = |subject: &Subject<'_>, kind: KeyKind| {
        let [key, _] = KEYS.iter().find(|[key, _]| key.kind() == kind).unwrap();
        let signatures = sign_all(subject, key).unwrap();
        signatures.iter().map(|signature| signature.scheme).collect::<Vec<_>>()
    };
    assert_eq!(kinds(&COMMIT, KeyKind::EcdsaP256), [ostree_spki::METADATA_KEY]);
    assert_eq!(kinds(&COMMIT, KeyKind::Ed25519), [ostree_ed25519::METADATA_KEY]);
    assert_eq!(kinds(&IMAGE, KeyKind::Ed25519), [NAME, sigstore_bundle::NAME]);
    assert!(by_name("gpg").is_none());

    // One scheme's signature is not another's, even where the bytes would fit.
    let [key, _] = KEYS.iter().find(|[key, _]| key.kind() == KeyKind::Ed25519).unwrap();
    let ed25519 = stored(ostree_ed25519::OstreeEd25519.sign(&COMMIT, key).unwrap());
    assert!(!ostree_spki::OstreeSpki.verify(&COMMIT, &ed25519, key.public()).is_good());
    // Ostree does write such a signature as spki, so it is read.
    let spki = Signature { scheme: ostree_spki::METADATA_KEY, ..ed25519 };
    assert_eq!(ostree_spki::OstreeSpki.verify(&COMMIT, &spki, key.public()), Verdict::Good);
}

macro_rules! cosign {
    ($name:literal) => {
        (
            $name,
            include_bytes!(concat!("../../fixtures/cosign-", $name, ".pub")).as_slice(),
            include_str!(concat!("../../fixtures/cosign-", $name, ".sig")),
        )
    };
}

/// Verdict on what cosign made of `fixtures/image.payload`.
fn verify_cosigns(public: &[u8], base64: &str) -> Verdict {
    use base64::Engine as _;
    let signature = Signature {
        scheme: NAME,
        subject: DIGEST.to_owned(),
        bytes: base64::engine::general_purpose::STANDARD.decode(base64.trim()).unwrap(),
        payload: Some(include_bytes!("../../fixtures/image.payload").to_vec()),
        key: None,
    };
    let subject = Subject::Image { digest: DIGEST, reference: None };
    let key = PublicKey::parse(public).unwrap();
    by_name(NAME).unwrap().verify(&subject, &signature, &key)
}

#[test]
fn what_cosign_signed_is_good() {
    let table =
        [cosign!("2.5-p256"), cosign!("3.1-p256"), cosign!("2.5-ed25519"), cosign!("3.1-rsa")];
    for (name, public, signature) in table {
        assert_eq!(verify_cosigns(public, signature), Verdict::Good, "{name}");
    }
}

#[test]
fn what_nobody_verifies_is_said_to_be_so() {
    let (_, p384, by_p384) = cosign!("3.1-p384");
    let ed25519 = include_bytes!("../../fixtures/cosign-2.5-ed25519.pub");
    let by_ed25519 = include_str!("../../fixtures/cosign-3.1-ed25519ph.sig");
    for (public, signature, expected) in
        [(p384, by_p384, "SHA-384"), (ed25519, by_ed25519, "Ed25519ph")]
    {
        let verdict = verify_cosigns(public, signature);
        let Verdict::Bad(Reason::HashNobodyReads { hash, .. }) = verdict else {
            panic!("{verdict:?}")
        };
        assert_eq!(hash, expected);
    }
}

#[test]
fn an_image_signature_is_for_one_digest_and_one_name() {
    let scheme = by_name(NAME).unwrap();
    let [key, _] = &KEYS[0];
    let good = scheme.sign(&IMAGE, key).unwrap();
    let judge = |digest, reference| {
        scheme.verify(&Subject::Image { digest, reference }, &good, key.public())
    };
    assert_eq!(judge(DIGEST, None), Verdict::Good);
    let verdict = judge(OTHER, None);
    assert!(matches!(verdict, Verdict::Bad(Reason::OtherSubject { .. })), "{verdict:?}");
    let verdict = judge(DIGEST, Some("registry.example/team/sdk:1.27.4"));
    assert!(matches!(verdict, Verdict::Bad(Reason::OtherReference { .. })), "{verdict:?}");

    let none = Signature { payload: None, ..good.clone() };
    assert_eq!(scheme.verify(&IMAGE, &none, key.public()), Verdict::Bad(Reason::NoPayload));

    // Signed by the key, but not a payload: nothing a strict reader would take.
    let text = String::from_utf8(good.payload.unwrap()).unwrap();
    let twice = text.replacen("\"optional\"", "\"critical\":null,\"optional\"", 1);
    let payload = Some(twice.clone().into_bytes());
    let bytes = key.sign(twice.as_bytes()).unwrap();
    let doubled = Signature { payload, bytes, scheme: NAME, subject: String::new(), key: None };
    let verdict = scheme.verify(&IMAGE, &doubled, key.public());
    let expected = Reason::Payload(FormError::NotJson { detail: String::new() });
    let Verdict::Bad(found) = verdict else { panic!("{verdict:?}") };
    assert_eq!(std::mem::discriminant(&found), std::mem::discriminant(&expected));
}

#[test]
fn an_image_needs_a_proper_name_and_digest() {
    let [key, _] = &KEYS[0];
    let sign = |digest, reference| {
        by_name(NAME).unwrap().sign(&Subject::Image { digest, reference }, key).unwrap_err()
    };
    assert!(matches!(sign(DIGEST, None), SignError::NoReference { .. }));
    assert!(matches!(sign("sha256:00", Some(REFERENCE)), SignError::BadDigest { .. }));
    for bad in ["", "/", "a//b:c", "a/b:c d", "a/b:\"", "a/b:\u{e9}", &"a".repeat(513)] {
        assert!(matches!(sign(DIGEST, Some(bad)), SignError::BadReference { .. }), "{bad}");
    }
}
