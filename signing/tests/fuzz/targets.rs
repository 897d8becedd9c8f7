//! What is attacked: good artifacts, and when a spoiled one may be accepted. That is when it means
//! the same: the bytes that the key signed are the same bytes, the signature is one that the key
//! made (or, of ECDSA, the other of the two that everybody can make of it), and only what nobody
//! signs may differ: the spelling of a bundle, hints, notes beside the signature.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::Value;
use treelay_signing::bundle::Bundle;
use treelay_signing::dsse::Envelope;
use treelay_signing::keys::SecretKeyFile;
use treelay_signing::schemes::sigstore_bundle::{PREDICATE_TYPE, SigstoreBundle};
use treelay_signing::schemes::simplesigning::SimpleSigning;
use treelay_signing::schemes::{self, Scheme};
use treelay_signing::{KeyError, KeyKind, PublicKey, SecretKey, Signature, Statement, Subject};

use crate::random::Random;
use crate::{downloads, keyless, mutate};

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
        Box::new(SignedPayloads),
        Box::new(OddPayloads),
        Box::new(Bundles),
        Box::new(OddStatements),
        Box::new(Envelopes),
        Box::new(keyless::Certified),
        Box::new(keyless::Roots),
        Box::new(downloads::Answers),
        Box::new(downloads::ClearTexts),
        Box::new(downloads::Keys),
        Box::new(downloads::Signatures),
        Box::new(Commits),
        Box::new(PublicKeys),
        Box::new(SecretKeys),
    ]
}

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../fixtures/", $name)).as_slice()
    };
}

const DIGEST: &str = "sha256:db270f0acb4e573c5f49cb758c2c0ee280c09d19fd7000552fa73a0ab3af9683";
const OTHER_DIGEST: &str =
    "sha256:00270f0acb4e573c5f49cb758c2c0ee280c09d19fd7000552fa73a0ab3af9683";
const REFERENCE: &str = "registry.example/a/b:1";

const IMAGE: Subject<'_> = Subject::Image { digest: DIGEST, reference: Some(REFERENCE) };
/// What was signed too, by the same keys, and is not asked for.
const OTHERS: [Subject<'_>; 3] = [
    Subject::Image { digest: OTHER_DIGEST, reference: Some(REFERENCE) },
    Subject::Image { digest: DIGEST, reference: Some("registry.example/a/b:2") },
    Subject::Image { digest: OTHER_DIGEST, reference: Some("registry.example/other") },
];

/// A key of each kind, the same in every run.
static KEYS: LazyLock<Vec<SecretKey>> = LazyLock::new(|| {
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
fn any_key(random: &mut Random) -> usize {
    if random.once_in(3) { random.below(KEYS.len()) } else { 0 }
}

/// Whether `found` is `made`, or its twin.
fn same_signature(kind: KeyKind, made: &[u8], found: &[u8]) -> bool {
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
fn signature(random: &mut Random, kind: KeyKind, made: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
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

/// What all keys signed with a scheme: of the image, and of the others.
struct Made {
    good: Vec<Signature>,
    payloads: Vec<Vec<u8>>,
    signatures: Vec<Vec<u8>>,
}

impl Made {
    fn by(scheme: &dyn Scheme) -> Self {
        let sign = |subject: &Subject<'_>, key| scheme.sign(subject, key).unwrap();
        let good: Vec<_> = KEYS.iter().map(|key| sign(&IMAGE, key)).collect();
        let others = OTHERS.iter().flat_map(|other| KEYS.iter().map(move |key| sign(other, key)));
        let all: Vec<Signature> = good.iter().cloned().chain(others).collect();
        let payloads = all.iter().filter_map(|one| one.payload.clone()).collect();
        Self { good, payloads, signatures: all.into_iter().map(|one| one.bytes).collect() }
    }
}

static SIMPLE: LazyLock<Made> = LazyLock::new(|| Made::by(&SimpleSigning));
static BUNDLED: LazyLock<Made> = LazyLock::new(|| Made::by(&SigstoreBundle));

/// Payloads and signatures of the `.sig` form. Parts: number of the key, signature, payload.
struct SignedPayloads;

impl Target for SignedPayloads {
    fn name(&self) -> &'static str {
        "signed payloads"
    }

    fn input(&self, random: &mut Random) -> Vec<Vec<u8>> {
        let key = any_key(random);
        let good = &SIMPLE.good[key];
        let payload = good.payload.clone().unwrap();
        let (mut bytes, mut spoiled) = (good.bytes.clone(), payload.clone());
        let what = random.below(4);
        if what != 0 {
            bytes = signature(random, KEYS[key].kind(), &bytes, &SIMPLE.signatures);
        }
        if what == 0 || what == 3 {
            spoiled = mutate::document(random, &payload, &SIMPLE.payloads);
        }
        vec![vec![key as u8], bytes, spoiled]
    }

    fn judge(&self, input: &[Vec<u8>]) -> Result<bool, String> {
        let key = usize::from(input[0][0]);
        let good = &SIMPLE.good[key];
        let found = Signature {
            bytes: input[1].clone(),
            payload: Some(input[2].clone()),
            key: None,
            ..good.clone()
        };
        if !SimpleSigning.verify(&IMAGE, &found, KEYS[key].public()).is_good() {
            return Ok(false);
        }
        if found.payload != good.payload {
            return Err("another payload is good".to_owned());
        }
        if !same_signature(KEYS[key].kind(), &good.bytes, &found.bytes) {
            return Err("another signature is good".to_owned());
        }
        Ok(true)
    }

    fn untouched(&self) -> usize {
        let judged = (0..KEYS.len()).map(|key| {
            let good = &SIMPLE.good[key];
            self.judge(&[vec![key as u8], good.bytes.clone(), good.payload.clone().unwrap()])
        });
        judged.filter(|judged| *judged == Ok(true)).count()
    }
}

/// Payloads of any form that the key itself signed: what readers understand differently must be
/// refused. Part: the payload.
struct OddPayloads;

impl Target for OddPayloads {
    fn name(&self) -> &'static str {
        "odd payloads"
    }

    fn input(&self, random: &mut Random) -> Vec<Vec<u8>> {
        let good = SIMPLE.good[0].payload.clone().unwrap();
        vec![mutate::document(random, &good, &SIMPLE.payloads)]
    }

    fn judge(&self, input: &[Vec<u8>]) -> Result<bool, String> {
        let payload = &input[0];
        let made = Subject::Commit(payload);
        let signed = schemes::sign_all(&made, &KEYS[0]).map_err(|error| error.to_string())?;
        let found = Signature {
            scheme: schemes::simplesigning::NAME,
            payload: Some(payload.clone()),
            ..signed[0].clone()
        };
        if !SimpleSigning.verify(&IMAGE, &found, KEYS[0].public()).is_good() {
            return Ok(false);
        }
        let good = SIMPLE.good[0].payload.as_deref().unwrap_or_default();
        let (lenient, expected) = (forgiving(payload)?, forgiving(good)?);
        if lenient["critical"] != expected["critical"] {
            return Err("readers that forgive see another claim".to_owned());
        }
        if lenient.as_object().map(|fields| fields.len()) != Some(2) {
            return Err("there is more in it than has a place there".to_owned());
        }
        Ok(true)
    }

    fn untouched(&self) -> usize {
        let good = SIMPLE.good[0].payload.clone().unwrap();
        usize::from(self.judge(&[good]) == Ok(true))
    }
}

/// What Go's encoding/json makes of a document: names in any case, of several the last.
fn forgiving(bytes: &[u8]) -> Result<Value, String> {
    fn fold(value: Value) -> Value {
        match value {
            Value::Object(fields) => Value::Object(
                fields.into_iter().map(|(name, value)| (folded(&name), fold(value))).collect(),
            ),
            other => other,
        }
    }
    fn folded(name: &str) -> String {
        name.replace('\u{17f}', "s").replace('\u{212a}', "k").to_lowercase()
    }
    let value = serde_json::from_slice(bytes).map_err(|error| format!("no JSON: {error}"))?;
    Ok(fold(value))
}

/// The JSON of a bundle of each key's.
static BUNDLES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let bundle = |(made, key): (&Signature, &SecretKey)| {
        SigstoreBundle::to_bundle(made, key.public()).unwrap().into_bytes()
    };
    BUNDLED.good.iter().zip(KEYS.iter()).map(bundle).collect()
});

/// Others to take parts from: of other subjects, of cosign's.
static OTHER_BUNDLES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let ours = OTHERS.iter().flat_map(|other| {
        KEYS.iter().map(move |key| {
            let made = SigstoreBundle.sign(other, key).unwrap();
            SigstoreBundle::to_bundle(&made, key.public()).unwrap().into_bytes()
        })
    });
    let theirs = [
        fixture!("cosign-3.1-p256.bundle.json"),
        fixture!("cosign-3.1-p256-annotated.bundle.json"),
        fixture!("cosign-3.1-rsa.bundle.json"),
    ];
    ours.chain(theirs.map(<[u8]>::to_vec)).chain(BUNDLES.iter().cloned()).collect()
});

/// Bundles. Parts: number of the key, bundle.
struct Bundles;

impl Target for Bundles {
    fn name(&self) -> &'static str {
        "bundles"
    }

    fn input(&self, random: &mut Random) -> Vec<Vec<u8>> {
        let key = any_key(random);
        vec![vec![key as u8], mutate::document(random, &BUNDLES[key], &OTHER_BUNDLES)]
    }

    fn judge(&self, input: &[Vec<u8>]) -> Result<bool, String> {
        let (key, good) =
            (usize::from(input[0][0]), Bundle::parse(&BUNDLES[usize::from(input[0][0])]));
        let public = KEYS[key].public();
        let Ok(found) = Bundle::parse(&input[1]) else { return Ok(false) };
        // For people alone, and must bear everything.
        drop(found.unverified_statement());
        let statement = found.verify_statement(public);
        let good = good.map_err(|error| error.to_string())?;
        let as_signature = SigstoreBundle::of_bundle(&IMAGE, &found)
            .is_ok_and(|signature| SigstoreBundle.verify(&IMAGE, &signature, public).is_good());
        match (&statement, as_signature) {
            (Err(_), false) => return Ok(false),
            (Err(_), true) => return Err("good as a signature, not as a statement".to_owned()),
            // Of another subject, by the same key.
            (Ok(statement), false) if statement.subject(&DIGEST["sha256:".len()..]).is_none() => {
                return Ok(false);
            }
            (Ok(_), false) => return Err("good as a statement, not as a signature".to_owned()),
            (Ok(_), true) => {}
        }
        let (Some(made), Some(envelope)) = (good.envelope(), found.envelope()) else {
            return Err("no envelope".to_owned());
        };
        same_envelope(KEYS[key].kind(), made, envelope)
    }

    fn untouched(&self) -> usize {
        let judged =
            (0..KEYS.len()).map(|key| self.judge(&[vec![key as u8], BUNDLES[key].clone()]));
        judged.filter(|judged| *judged == Ok(true)).count()
    }
}

fn same_envelope(kind: KeyKind, made: &Envelope, found: &Envelope) -> Result<bool, String> {
    if (&made.payload, &made.payload_type) != (&found.payload, &found.payload_type) {
        return Err("another statement is good".to_owned());
    }
    match (made.signatures.as_slice(), found.signatures.as_slice()) {
        ([made], [found]) if same_signature(kind, &made.sig, &found.sig) => Ok(true),
        _ => Err("another signature is good".to_owned()),
    }
}

/// Envelopes without a bundle. Parts: number of the key, envelope.
struct Envelopes;

impl Envelopes {
    fn of(bundle: &[u8]) -> Vec<u8> {
        let bundle = Bundle::parse(bundle).unwrap();
        bundle.envelope().unwrap().to_json().into_bytes()
    }
}

static ENVELOPES: LazyLock<[Vec<Vec<u8>>; 2]> = LazyLock::new(|| {
    let all = |bundles: &[Vec<u8>]| bundles.iter().map(|one| Envelopes::of(one)).collect();
    [all(&BUNDLES), all(&OTHER_BUNDLES)]
});

impl Target for Envelopes {
    fn name(&self) -> &'static str {
        "envelopes"
    }

    fn input(&self, random: &mut Random) -> Vec<Vec<u8>> {
        let key = any_key(random);
        vec![vec![key as u8], mutate::document(random, &ENVELOPES[0][key], &ENVELOPES[1])]
    }

    fn judge(&self, input: &[Vec<u8>]) -> Result<bool, String> {
        let key = usize::from(input[0][0]);
        let Ok(found) = Envelope::parse(&input[1]) else { return Ok(false) };
        let Ok(statement) = found.verify(KEYS[key].public()) else { return Ok(false) };
        if statement.subject(&DIGEST["sha256:".len()..]).is_none() {
            return Ok(false);
        }
        let made = Envelope::parse(&ENVELOPES[0][key]).map_err(|error| error.to_string())?;
        same_envelope(KEYS[key].kind(), &made, &found)
    }

    fn untouched(&self) -> usize {
        let judged =
            (0..KEYS.len()).map(|key| self.judge(&[vec![key as u8], ENVELOPES[0][key].clone()]));
        judged.filter(|judged| *judged == Ok(true)).count()
    }
}

/// Statements of any form that the key itself signed. Part: the statement.
struct OddStatements;

impl Target for OddStatements {
    fn name(&self) -> &'static str {
        "odd statements"
    }

    fn input(&self, random: &mut Random) -> Vec<Vec<u8>> {
        let good = BUNDLED.good[0].payload.clone().unwrap();
        vec![mutate::document(random, &good, &BUNDLED.payloads)]
    }

    fn judge(&self, input: &[Vec<u8>]) -> Result<bool, String> {
        let payload_type = treelay_signing::statement::PAYLOAD_TYPE;
        let envelope = Envelope::sign(payload_type, input[0].clone(), &KEYS[0])
            .map_err(|error| error.to_string())?;
        let bundle = Bundle::by_key(envelope, KEYS[0].public());
        let Ok(signature) = SigstoreBundle::of_bundle(&IMAGE, &bundle) else { return Ok(false) };
        if !SigstoreBundle.verify(&IMAGE, &signature, KEYS[0].public()).is_good() {
            return Ok(false);
        }
        let lenient = forgiving(&input[0])?;
        let hex = &DIGEST["sha256:".len()..];
        let subjects = lenient["subject"].as_array().map_or(&[][..], Vec::as_slice);
        if !subjects.iter().any(|subject| subject["digest"]["sha256"] == *hex) {
            return Err("readers that forgive see another subject".to_owned());
        }
        if lenient["predicatetype"] != *PREDICATE_TYPE
            || lenient["_type"] != *treelay_signing::statement::TYPE
        {
            return Err("readers that forgive see another type".to_owned());
        }
        Ok(true)
    }

    fn untouched(&self) -> usize {
        let good = BUNDLED.good[0].payload.clone().unwrap();
        assert!(Statement::parse(&good).is_ok());
        usize::from(self.judge(&[good]) == Ok(true))
    }
}

const COMMIT: &[u8] = b"(a{sv}aya(say)sstayay) as far as anybody here knows";

/// Signatures of commits. Parts: number of the key, signature, commit.
struct Commits;

static COMMITS: LazyLock<Vec<Signature>> = LazyLock::new(|| {
    let sign = |key| schemes::sign_all(&Subject::Commit(COMMIT), key).unwrap().remove(0);
    KEYS.iter().map(sign).collect()
});

impl Target for Commits {
    fn name(&self) -> &'static str {
        "signatures of commits"
    }

    fn input(&self, random: &mut Random) -> Vec<Vec<u8>> {
        let key = any_key(random);
        let others = [SIMPLE.signatures[0].clone(), COMMITS[1].bytes.clone(), b"commit".to_vec()];
        let (mut bytes, mut commit) = (COMMITS[key].bytes.clone(), COMMIT.to_vec());
        match random.once_in(3) {
            true => commit = mutate::bytes(random, COMMIT, &others),
            false => bytes = signature(random, KEYS[key].kind(), &bytes, &others),
        }
        vec![vec![key as u8], bytes, commit]
    }

    fn judge(&self, input: &[Vec<u8>]) -> Result<bool, String> {
        let key = usize::from(input[0][0]);
        let made = &COMMITS[key];
        let mut accepted = false;
        for name in ["ostree.sign.ed25519", "ostree.sign.spki"] {
            let Some(scheme) = schemes::by_name(name) else { return Err("no scheme".to_owned()) };
            let found =
                Signature { scheme: scheme.name(), bytes: input[1].clone(), ..made.clone() };
            let subject = Subject::Commit(&input[2]);
            if scheme.verify(&subject, &found, KEYS[key].public()).is_good() {
                if input[2] != COMMIT {
                    return Err("another commit is good".to_owned());
                }
                if !same_signature(KEYS[key].kind(), &made.bytes, &input[1]) {
                    return Err("another signature is good".to_owned());
                }
                accepted = true;
            }
        }
        Ok(accepted)
    }

    fn untouched(&self) -> usize {
        let judged = (0..KEYS.len())
            .map(|key| self.judge(&[vec![key as u8], COMMITS[key].bytes.clone(), COMMIT.to_vec()]));
        judged.filter(|judged| *judged == Ok(true)).count()
    }
}

/// A file of PEM, its content spoiled, or itself.
fn pem(random: &mut Random, file: &[u8], others: &[Vec<u8>]) -> Vec<u8> {
    let text = String::from_utf8_lossy(file).into_owned();
    let lines: Vec<&str> = text.lines().collect();
    let [first, body @ .., last] = lines.as_slice() else {
        return mutate::bytes(random, file, others);
    };
    let Ok(content) = BASE64.decode(body.concat()) else {
        return mutate::bytes(random, file, others);
    };
    if random.once_in(4) {
        return mutate::bytes(random, file, others);
    }
    let spoiled = mutate::document(random, &content, std::slice::from_ref(&content));
    let base64 = BASE64.encode(spoiled);
    let chunks = base64.as_bytes().chunks(64).map(|chunk| String::from_utf8_lossy(chunk) + "\n");
    format!("{first}\n{}{last}\n", chunks.collect::<String>()).into_bytes()
}

/// Files of public keys. Parts: number of the key, file.
struct PublicKeys;

impl Target for PublicKeys {
    fn name(&self) -> &'static str {
        "public keys"
    }

    fn input(&self, random: &mut Random) -> Vec<Vec<u8>> {
        let key = random.below(KEYS.len());
        let others: Vec<_> = KEYS.iter().map(|key| key.public().to_pem().into_bytes()).collect();
        let file = match KEYS[key].public().to_ostree_line() {
            Some(line) if random.once_in(2) => mutate::bytes(random, line.as_bytes(), &others),
            _ => pem(random, &others[key], &others),
        };
        vec![vec![key as u8], file]
    }

    fn judge(&self, input: &[Vec<u8>]) -> Result<bool, String> {
        let key = usize::from(input[0][0]);
        let Ok(found) = PublicKey::parse(&input[1]) else { return Ok(false) };
        if found == *KEYS[key].public() {
            return Ok(true);
        }
        let made = Signature { key: None, ..SIMPLE.good[key].clone() };
        match SimpleSigning.verify(&IMAGE, &made, &found).is_good() {
            true => Err("another key verifies the signature".to_owned()),
            false => Ok(false),
        }
    }

    fn untouched(&self) -> usize {
        let pem = |key: usize| KEYS[key].public().to_pem().into_bytes();
        let judged = (0..KEYS.len()).map(|key| self.judge(&[vec![key as u8], pem(key)]));
        judged.filter(|judged| *judged == Ok(true)).count()
    }
}

/// Files of secret keys. Parts: number of the file, file.
struct SecretKeys;

static SECRET_FILES: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let files = [
        fixture!("openssl-ed25519.pem"),
        fixture!("openssl-p256.pem"),
        fixture!("openssl-sealed.pem"),
        fixture!("cosign-2.5-p256.key"),
        fixture!("cosign-3.1-rsa.key"),
    ];
    let rsa = KEYS[3].to_pkcs8_der().unwrap();
    let body = BASE64.encode(&rsa);
    let rsa = format!("-----BEGIN PRIVATE KEY-----\n{body}\n-----END PRIVATE KEY-----\n");
    files.map(<[u8]>::to_vec).into_iter().chain([rsa.into_bytes()]).collect()
});

impl Target for SecretKeys {
    fn name(&self) -> &'static str {
        "secret keys"
    }

    fn input(&self, random: &mut Random) -> Vec<Vec<u8>> {
        let file = random.below(SECRET_FILES.len());
        vec![vec![file as u8], pem(random, &SECRET_FILES[file], &SECRET_FILES)]
    }

    /// Nothing is opened that is sealed: that takes time on purpose. What is open must sign, or say
    /// why not; what is sealed must ask for no more than the programs that write such files do.
    fn judge(&self, input: &[Vec<u8>]) -> Result<bool, String> {
        match SecretKeyFile::parse(&input[1]) {
            Err(_) => Ok(false),
            Ok(SecretKeyFile::Open(key)) => {
                let Ok(made) = SimpleSigning.sign(&IMAGE, &key) else { return Ok(false) };
                match SimpleSigning.verify(&IMAGE, &made, key.public()).is_good() {
                    true => Ok(true),
                    false => Err("a key that does not verify what it signs".to_owned()),
                }
            }
            Ok(SecretKeyFile::Sealed(_)) => {
                let text = String::from_utf8_lossy(&input[1]);
                let body: String = text.lines().filter(|line| !line.starts_with('-')).collect();
                let content = BASE64.decode(body).unwrap_or_default();
                // The other sealed form is not JSON.
                let Ok(sealed) = serde_json::from_slice::<Value>(&content) else { return Ok(true) };
                let parameters = &sealed["kdf"]["params"];
                let n = parameters["N"].as_u64();
                let usual = matches!(n, Some(32768 | 65536));
                match usual && parameters["r"] == 8 && parameters["p"] == 1 {
                    true => Ok(true),
                    false => Err(format!("absurd parameters: {parameters}")),
                }
            }
        }
    }

    fn untouched(&self) -> usize {
        let files = SECRET_FILES.iter().enumerate();
        let judged = files.map(|(at, file)| self.judge(&[vec![at as u8], file.clone()]));
        judged.filter(|judged| *judged == Ok(true)).count()
    }
}
