//! What is attacked: good artifacts, and when a spoiled one may be accepted. That is when it means
//! the same: the bytes that the key signed are the same bytes, the signature is one that the key
//! made (or, of ECDSA, the other of the two that everybody can make of it), and only what nobody
//! signs may differ: the spelling of a bundle, hints, notes beside the signature.

use std::sync::LazyLock;

use treelay_signing::{KeyError, KeyKind, SecretKey, Subject};

use crate::random::Random;
use crate::{commits, downloads, images, keyless, keys, mutate};

/// A way in for strangers' bytes.
pub trait Target: Sync {
    /// Its name.
    fn name(&self) -> &'static str;

    /// A spoiled input, in its parts.
    fn input(&self, random: &mut Random) -> Vec<Vec<u8>>;

    /// Whether an input is accepted; the error says why that is wrong.
    fn judge(&self, input: &[Vec<u8>]) -> Result<bool, String>;

    /// How many of the good artifacts are accepted as they are.
    fn untouched(&self) -> usize;
}

/// All of them.
pub fn all() -> Vec<Box<dyn Target>> {
    vec![
        Box::new(images::SignedPayloads),
        Box::new(images::OddPayloads),
        Box::new(images::Bundles),
        Box::new(images::OddStatements),
        Box::new(images::Envelopes),
        Box::new(keyless::Certified),
        Box::new(keyless::Roots),
        Box::new(keyless::ByKey),
        Box::new(keyless::OldForm),
        Box::new(downloads::Answers),
        Box::new(downloads::ClearTexts),
        Box::new(downloads::Keys),
        Box::new(downloads::Signatures),
        Box::new(commits::Commits),
        Box::new(keys::PublicKeys),
        Box::new(keys::SecretKeys),
        Box::new(keys::KeyLists),
    ]
}

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../fixtures/", $name)).as_slice()
    };
}
pub(crate) use fixture;

pub const DIGEST: &str = "sha256:db270f0acb4e573c5f49cb758c2c0ee280c09d19fd7000552fa73a0ab3af9683";
const OTHER_DIGEST: &str =
    "sha256:00270f0acb4e573c5f49cb758c2c0ee280c09d19fd7000552fa73a0ab3af9683";
const REFERENCE: &str = "registry.example/a/b:1";

pub const IMAGE: Subject<'_> = Subject::Image { digest: DIGEST, reference: Some(REFERENCE) };
/// What was signed too, by the same keys, and is not asked for.
pub const OTHERS: [Subject<'_>; 3] = [
    Subject::Image { digest: OTHER_DIGEST, reference: Some(REFERENCE) },
    Subject::Image { digest: DIGEST, reference: Some("registry.example/a/b:2") },
    Subject::Image { digest: OTHER_DIGEST, reference: Some("registry.example/other") },
];

/// A key of each kind, the same in every run.
pub static KEYS: LazyLock<Vec<SecretKey>> = LazyLock::new(|| {
    let files = [
        fixture!("openssl-ed25519.pem"),
        fixture!("openssl-p256.pem"),
        fixture!("cosign-3.1-p384.key"),
        fixture!("cosign-3.1-rsa.key"),
    ];
    let password = || Ok::<_, KeyError>(b"treelay".to_vec().into());
    files.map(|file| SecretKey::parse(file, password).unwrap()).into()
});

/// Mostly the quickest.
pub fn any_key(random: &mut Random) -> usize {
    if random.once_in(3) { random.below(KEYS.len()) } else { 0 }
}

/// Whether `found` is `made`, or its twin.
pub fn same_signature(kind: KeyKind, made: &[u8], found: &[u8]) -> bool {
    made == found || twin(kind, made).is_some_and(|twin| twin == found)
}

/// Of an ECDSA signature (r, s) the other good one, (r, n - s), which anybody can make.
fn twin(kind: KeyKind, der: &[u8]) -> Option<Vec<u8>> {
    match kind {
        KeyKind::EcdsaP256 => {
            let (r, s) = p256::ecdsa::Signature::from_der(der).ok()?.split_scalars();
            let twin = p256::ecdsa::Signature::from_scalars(r, -s).ok()?;
            Some(twin.to_der().as_bytes().to_vec())
        }
        KeyKind::EcdsaP384 => {
            let (r, s) = p384::ecdsa::Signature::from_der(der).ok()?.split_scalars();
            let twin = p384::ecdsa::Signature::from_scalars(r, -s).ok()?;
            Some(twin.to_der().as_bytes().to_vec())
        }
        KeyKind::Ed25519 | KeyKind::Rsa => None,
    }
}

/// A spoiled signature, or one of something else.
pub fn signature(random: &mut Random, kind: KeyKind, made: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
    match random.below(8) {
        0 => twin(kind, made).unwrap_or_default(),
        1 => random.pick(others).clone(),
        // DER as only some read it: a length in two bytes, a number with a zero in front.
        2 if made.len() > 4 => [&[0x30, 0x81], &made[1..]].concat(),
        3 if made.len() > 4 => {
            let longer = [made[1].wrapping_add(1), 2, made[3].wrapping_add(1), 0];
            [&made[..1], &longer, &made[4..]].concat()
        }
        4 => [made, &[0]].concat(),
        5 => vec![0; made.len()],
        _ => mutate::bytes(random, made, others),
    }
}
