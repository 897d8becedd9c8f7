//! Signatures of images and statements: payloads, bundles, envelopes.

use std::sync::LazyLock;

use serde_json::Value;
use treelay_signing::bundle::Bundle;
use treelay_signing::dsse::Envelope;
use treelay_signing::schemes::sigstore_bundle::{PREDICATE_TYPE, SigstoreBundle};
use treelay_signing::schemes::simplesigning::SimpleSigning;
use treelay_signing::schemes::{self, Scheme};
use treelay_signing::{KeyKind, SecretKey, Signature, Statement, Subject};

use crate::mutate;
use crate::random::Random;
use crate::targets::{
    DIGEST, IMAGE, KEYS, OTHERS, Target, any_key, fixture, same_signature, signature,
};

/// What all keys signed with a scheme: of the image, and of the others.
pub struct Made {
    pub good: Vec<Signature>,
    pub payloads: Vec<Vec<u8>>,
    pub signatures: Vec<Vec<u8>>,
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

pub static SIMPLE: LazyLock<Made> = LazyLock::new(|| Made::by(&SimpleSigning));
pub static BUNDLED: LazyLock<Made> = LazyLock::new(|| Made::by(&SigstoreBundle));

/// Payloads and signatures of the `.sig` form. Parts: number of the key, signature, payload.
pub struct SignedPayloads;

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
pub struct OddPayloads;

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
pub struct Bundles;

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
pub struct Envelopes;

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
pub struct OddStatements;

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
