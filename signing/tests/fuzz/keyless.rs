//! Signatures with certificates: real bundles and roots, spoiled.
//!
//! A spoiled bundle may be accepted when everything that is said of it is said of the good one too:
//! the same signer by the same certificate, of the same artifact and statement, at times and in
//! entries of logs that the good one has. It may have fewer of them, as long as there are enough.

use std::sync::LazyLock;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use serde_json::{Value, json};
use treelay_signing::PublicKey;
use treelay_signing::bundle::{Bundle, Content};
use treelay_signing::keyless::{
    Artifact, LegacySignature, LogRecord, Matcher, Policy, Signed, TrustedRoot, verify,
    verify_by_key, verify_legacy,
};

use crate::mutate;
use crate::random::Random;
use crate::targets::Target;

macro_rules! fixture {
    ($name:literal) => {
        include_bytes!(concat!("../../fixtures/keyless/", $name, ".json")).as_slice()
    };
}

/// A root, a bundle that is good by it, the SHA-256 or SHA-512 of the artifact, and the signer.
struct Known {
    root: &'static [u8],
    bundle: &'static [u8],
    digest: &'static str,
    identity: &'static str,
}

const ROOTS: [&[u8]; 3] =
    [fixture!("root-public-good"), fixture!("root-staging"), fixture!("root-scaffolding")];

const KNOWN: [Known; 7] = [
    Known {
        root: ROOTS[0],
        bundle: fixture!("wheel-v0.2"),
        digest: "c4e92e9ecc828bef2aa7dba1de8ac983511f7532a0df11c770d39099a25cf201",
        identity: "https://github.com/trailofbits/rfc8785.py/.github/workflows/release.yml@refs/tags/v0.1.2",
    },
    Known {
        root: ROOTS[0],
        bundle: fixture!("cosign-blob-v0.3"),
        digest: "e194b99df6639501325c5f44da79fe3a8efae6f239bd79443a19787e06fb1764",
        identity: "w.vollprecht@gmail.com",
    },
    Known {
        root: ROOTS[0],
        bundle: fixture!("conda-v0.3"),
        digest: "54303491a8418fbed24344b513546182c29b43bf282ceb433af65e2299f9271f",
        identity: "https://github.com/prefix-dev/sigstore-example/.github/workflows/action.yaml@refs/heads/main",
    },
    Known {
        root: ROOTS[0],
        bundle: fixture!("dsse-v0.1"),
        digest: "bbfd372fc9beeb777fe35d05bb10c0c70a9733d366a75fed7dd18866c7391de3ee7e88ba74dd47abf3e15c845e547fcf0e5c3da80854c751554224d3a6d4e55f",
        identity: "brian@dehamer.com",
    },
    Known {
        root: ROOTS[2],
        bundle: fixture!("othername-v0.3"),
        digest: "bc103b4a84971ef6459b294a2b98568a2bfb72cded09d4acd1e16366a401f95b",
        identity: "foo!oidc.local",
    },
    Known {
        root: ROOTS[1],
        bundle: fixture!("rekor2-v0.3"),
        digest: "15f67246115921bb7c1de0e7e9e9275c8016dc254a0c009888944b7ed3644aaa",
        identity: "jku@goto.fi",
    },
    Known {
        root: ROOTS[1],
        bundle: fixture!("rekor2-dsse-v0.3"),
        digest: "a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf",
        identity: "https://github.com/sigstore-conformance/extremely-dangerous-public-oidc-beacon/.github/workflows/extremely-dangerous-oidc-beacon.yml@refs/heads/main",
    },
];

/// Bundles to take parts from: the good ones, and real ones that have something wrong.
static OTHERS: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let wrong = [
        fixture!("no-log-entry-v0.1"),
        fixture!("no-checkpoint-v0.2"),
        fixture!("no-signed-time-v0.3"),
        fixture!("other-artifact-v0.3"),
        fixture!("rekor2-same-names-v0.3"),
        fixture!("key-v0.3"),
    ];
    KNOWN.iter().map(|known| known.bundle).chain(wrong).map(<[u8]>::to_vec).collect()
});

static ROOTS_READ: LazyLock<Vec<TrustedRoot>> =
    LazyLock::new(|| KNOWN.iter().map(|known| TrustedRoot::parse(known.root).unwrap()).collect());

impl Known {
    fn artifact(&self) -> Artifact<'static> {
        let bytes = hex::decode(self.digest).unwrap();
        match bytes.len() {
            32 => Artifact::of_sha256(bytes.try_into().unwrap()),
            _ => Artifact::of_sha512(bytes.try_into().unwrap()),
        }
    }

    fn policy(&self) -> Policy {
        let issuer = Matcher::pattern(".+").unwrap();
        Policy { identity: Matcher::exactly(self.identity), issuer }
    }

    fn verify(&self, root: &TrustedRoot, bundle: &Bundle) -> Option<Signed> {
        verify(bundle, &self.artifact(), root, &self.policy()).ok()
    }
}

/// The type of the payload and the payload, where the content is an envelope; and the signatures.
type SignedPart<'a> = (Option<(&'a str, &'a [u8])>, Vec<&'a [u8]>);

/// What is signed, and the signatures: without the names of keys and the digest beside, which prove
/// nothing.
fn signed_part(bundle: &Bundle) -> SignedPart<'_> {
    match &bundle.content {
        Content::Envelope(envelope) => {
            let signatures = envelope.signatures.iter().map(|one| one.sig.as_slice()).collect();
            (Some((&envelope.payload_type, &envelope.payload)), signatures)
        }
        Content::Message(message) => (None, vec![&message.signature]),
    }
}

static GOOD: LazyLock<Vec<Signed>> = LazyLock::new(|| {
    let good = |(known, root): (&Known, &TrustedRoot)| {
        known.verify(root, &Bundle::parse(known.bundle).unwrap()).unwrap()
    };
    KNOWN.iter().zip(ROOTS_READ.iter()).map(good).collect()
});

/// Whether what is said of a bundle is said of the good one too. An entry that has lost the log's
/// promise has the number of its proof, which the log signed as well.
fn within(signed: &Signed, good: &Signed, bundle: &Bundle) -> bool {
    let proofs = || bundle.log_entries.iter().filter_map(|entry| entry.inclusion_proof.as_ref());
    let in_good = |found: &LogRecord| {
        good.log.iter().any(|record| {
            let index =
                found.index == record.index || proofs().any(|proof| proof.log_index == found.index);
            index && (&found.log, &found.kind) == (&record.log, &record.kind)
        })
    };
    (&signed.artifact, &signed.by) == (&good.artifact, &good.by)
        && signed.times.iter().all(|time| good.times.contains(time))
        && signed.log.iter().all(in_good)
}

/// Bundles with certificates. Parts: number of the good one, bundle.
pub struct Certified;

impl Target for Certified {
    fn name(&self) -> &'static str {
        "bundles with certificates"
    }

    fn input(&self, random: &mut Random) -> Vec<Vec<u8>> {
        let number = random.below(KNOWN.len());
        vec![vec![number as u8], mutate::document(random, KNOWN[number].bundle, &OTHERS)]
    }

    fn judge(&self, input: &[Vec<u8>]) -> Result<bool, String> {
        let number = usize::from(input[0][0]);
        let (known, good) = (&KNOWN[number], &GOOD[number]);
        let Ok(bundle) = Bundle::parse(&input[1]) else { return Ok(false) };
        let Some(signed) = known.verify(&ROOTS_READ[number], &bundle) else { return Ok(false) };
        let same = signed.statement == good.statement && within(&signed, good, &bundle);
        if !same {
            return Err(format!("something else is good: {signed:?}"));
        }
        let made = Bundle::parse(known.bundle).map_err(|error| error.to_string())?;
        match signed_part(&made) == signed_part(&bundle) {
            true => Ok(true),
            false => Err("another content is good".to_owned()),
        }
    }

    fn untouched(&self) -> usize {
        let judged = KNOWN.iter().enumerate();
        let judged = judged.map(|(at, known)| self.judge(&[vec![at as u8], known.bundle.to_vec()]));
        judged.filter(|judged| *judged == Ok(true)).count()
    }
}

/// What no root made of parts of the real ones may make good: it was signed by an authority that
/// none of them has, proves no time, or is in no log.
const NEVER: [(&[u8], &str); 3] = [
    (
        fixture!("no-log-entry-v0.1"),
        "9b469fc9761e8b933073b62725fbc98b549c3314199ded71cc8b286ef2c6fb9b",
    ),
    (
        fixture!("no-signed-time-v0.3"),
        "ca6de99a11d3d38056d838c7dc9a23a11a0c81bcace0d11eaa301a2ffb482c42",
    ),
    (fixture!("github-v0.3"), "76f1fe8593bf227cca2c089e3c16dc95014a8d3e89c5dd220530469ca043c428"),
];

/// The lists of a root that every bundle needs, and where the period of a member is.
const LISTS: [(&str, &str); 3] = [
    ("tlogs", "/publicKey/validFor"),
    ("ctlogs", "/publicKey/validFor"),
    ("certificateAuthorities", "/validFor"),
];

/// A root in which the members of one list ended long before anything was signed.
fn ended(root: &[u8], list: usize) -> Vec<u8> {
    let mut root: Value = serde_json::from_slice(root).unwrap();
    let (name, at) = LISTS[list];
    for member in root[name].as_array_mut().into_iter().flatten() {
        *member.pointer_mut(at).unwrap() =
            json!({ "start": "2019-01-01T00:00:00Z", "end": "2020-01-01T00:00:00Z" });
    }
    root.to_string().into_bytes()
}

/// What readers that forgive see as the period of each member of a list: all must have ended.
fn has_ended(root: &[u8], list: usize) -> bool {
    let Ok(root) = serde_json::from_slice::<Value>(root) else { return false };
    let (name, at) = LISTS[list];
    let folded = |name: &str| name.replace('_', "").to_lowercase();
    let ended = |member: &Value| {
        let holder = at.rsplit_once('/').map_or("", |(holder, _)| holder);
        let fields = member.pointer(holder).and_then(Value::as_object);
        let mut periods =
            fields.into_iter().flatten().filter(|(name, _)| folded(name) == "validfor");
        periods.any(|(_, period)| {
            period.as_object().is_some_and(|fields| {
                fields.iter().any(|(name, end)| {
                    folded(name) == "end" && end.as_str().is_some_and(|end| end.starts_with("2020"))
                })
            })
        })
    };
    root[name].as_array().is_some_and(|members| members.iter().all(ended))
}

/// Trusted roots, which a host is given: they must be read or refused, and may make less good, never
/// more. Parts: number of the good bundle, root, and where one list has ended, its number.
pub struct Roots;

impl Target for Roots {
    fn name(&self) -> &'static str {
        "trusted roots"
    }

    fn input(&self, random: &mut Random) -> Vec<Vec<u8>> {
        let number = random.below(KNOWN.len());
        let others = ROOTS.map(<[u8]>::to_vec);
        let (good, list) = match random.once_in(2) {
            true => (KNOWN[number].root.to_vec(), vec![]),
            false => {
                let list = random.below(LISTS.len());
                (ended(KNOWN[number].root, list), vec![list as u8])
            }
        };
        vec![vec![number as u8], mutate::document(random, &good, &others), list]
    }

    fn judge(&self, input: &[Vec<u8>]) -> Result<bool, String> {
        let number = usize::from(input[0][0]);
        let Ok(root) = TrustedRoot::parse(&input[1]) else { return Ok(false) };
        let (never, digest) = NEVER[number % NEVER.len()];
        let never = Bundle::parse(never).map_err(|error| error.to_string())?;
        let artifact = Artifact::of_sha256(hex::decode(digest).unwrap().try_into().unwrap());
        let anybody = || Matcher::pattern(".*").unwrap();
        let policy = Policy { identity: anybody(), issuer: anybody() };
        if let Ok(signed) = verify(&never, &artifact, &root, &policy) {
            return Err(format!("good by a spoiled root: {signed:?}"));
        }
        let bundle = Bundle::parse(KNOWN[number].bundle).map_err(|error| error.to_string())?;
        let Some(signed) = KNOWN[number].verify(&root, &bundle) else { return Ok(false) };
        if let Some(list) = input[2].first().map(|&list| usize::from(list))
            && has_ended(&input[1], list)
        {
            return Err(format!("signed after the end of all {}", LISTS[list].0));
        }
        // Names of logs and authorities are the root's to say.
        match (&signed.by, &signed.statement) == (&GOOD[number].by, &GOOD[number].statement) {
            true => Ok(true),
            false => Err(format!("something else is good: {signed:?}")),
        }
    }

    fn untouched(&self) -> usize {
        for (number, known) in KNOWN.iter().enumerate() {
            for list in 0..LISTS.len() {
                let input = [vec![number as u8], ended(known.root, list), vec![list as u8]];
                assert_eq!(self.judge(&input), Ok(false), "{number} {list}");
            }
        }
        let judged = KNOWN.iter().enumerate();
        let judged =
            judged.map(|(at, known)| self.judge(&[vec![at as u8], known.root.to_vec(), vec![]]));
        judged.filter(|judged| *judged == Ok(true)).count()
    }
}

/// Bundles by keys, with entries and timestamps. Parts: whether there is a root, bundle.
pub struct ByKey;

static KEY: LazyLock<PublicKey> =
    LazyLock::new(|| PublicKey::parse(include_bytes!("../../fixtures/keyless/key.pub")).unwrap());
const KEY_DIGEST: &str = "a0cfc71271d6e278e57cd332ff957c3f7043fdda354c4cbb190a30d56efa01bf";

impl ByKey {
    fn verify(has_root: bool, bundle: &Bundle) -> Option<Signed> {
        let digest = hex::decode(KEY_DIGEST).unwrap().try_into().unwrap();
        let root = has_root.then_some(&ROOTS_READ[0]);
        verify_by_key(bundle, &Artifact::of_sha256(digest), &KEY, root).ok()
    }
}

impl Target for ByKey {
    fn name(&self) -> &'static str {
        "bundles by keys"
    }

    fn input(&self, random: &mut Random) -> Vec<Vec<u8>> {
        let has_root = random.below(2) as u8;
        vec![vec![has_root], mutate::document(random, fixture!("key-v0.3"), &OTHERS)]
    }

    fn judge(&self, input: &[Vec<u8>]) -> Result<bool, String> {
        let has_root = input[0][0] == 1;
        let Ok(bundle) = Bundle::parse(&input[1]) else { return Ok(false) };
        let Some(signed) = Self::verify(has_root, &bundle) else { return Ok(false) };
        let made = Bundle::parse(fixture!("key-v0.3")).map_err(|error| error.to_string())?;
        let good = Self::verify(has_root, &made).ok_or("the good one is refused")?;
        let same = within(&signed, &good, &bundle);
        if !same {
            return Err(format!("something else is good: {signed:?}"));
        }
        let (made, found) = (signed_part(&made), signed_part(&bundle));
        let same_signature = match (made.1.as_slice(), found.1.as_slice()) {
            ([made], [found]) => crate::targets::same_signature(KEY.kind(), made, found),
            _ => false,
        };
        // Without a root, entries say nothing of the signature: its twin is as good.
        match made.0 == found.0
            && same_signature
            && (!has_root || made.1 == found.1 || signed.log.is_empty())
        {
            true => Ok(true),
            false => Err("another content is good".to_owned()),
        }
    }

    fn untouched(&self) -> usize {
        let judged = [0, 1].map(|has| self.judge(&[vec![has], fixture!("key-v0.3").to_vec()]));
        judged.iter().filter(|judged| **judged == Ok(true)).count()
    }
}

/// The old form, made of a bundle. Parts: signature, certificate, entry of the log, timestamp.
pub struct OldForm;

const BLOB: &[u8] = include_bytes!("../../fixtures/keyless/cosign-blob.txt");

/// As cosign 2 would have written what is in `cosign-blob-v0.3`.
static OLD: LazyLock<Vec<Vec<u8>>> = LazyLock::new(|| {
    let bundle: Value = serde_json::from_slice(KNOWN[1].bundle).unwrap();
    let text = |at: &str| bundle.pointer(at).and_then(Value::as_str).unwrap();
    let bytes = |at: &str| BASE64.decode(text(at)).unwrap();
    let entry = "/verificationMaterial/tlogEntries/0";
    let certificate = text("/verificationMaterial/certificate/rawBytes");
    let number = |name: &str| text(&format!("{entry}/{name}")).parse::<u64>().unwrap();
    let log = json!({
        "SignedEntryTimestamp": text(&format!("{entry}/inclusionPromise/signedEntryTimestamp")),
        "Payload": {
            "body": text(&format!("{entry}/canonicalizedBody")),
            "integratedTime": number("integratedTime"),
            "logIndex": number("logIndex"),
            "logID": hex::encode(bytes(&format!("{entry}/logId/keyId"))),
        },
    });
    let stamps = "/verificationMaterial/timestampVerificationData/rfc3161Timestamps/0";
    let stamp = json!({ "SignedRFC3161Timestamp": text(&format!("{stamps}/signedTimestamp")) });
    let chunks = certificate.as_bytes().chunks(64).map(|chunk| String::from_utf8_lossy(chunk));
    let lines = chunks.collect::<Vec<_>>().join("\n");
    let pem = format!("-----BEGIN CERTIFICATE-----\n{lines}\n-----END CERTIFICATE-----\n");
    vec![
        bytes("/messageSignature/signature"),
        pem.into_bytes(),
        log.to_string().into_bytes(),
        stamp.to_string().into_bytes(),
    ]
});

impl OldForm {
    fn verify(input: &[Vec<u8>]) -> Option<Signed> {
        let text = |at: usize| std::str::from_utf8(&input[at]).ok();
        let signature = LegacySignature {
            payload: BLOB,
            signature: &input[0],
            certificate: text(1)?,
            chain: None,
            bundle: Some(text(2)?),
            timestamp: Some(text(3)?).filter(|timestamp| !timestamp.is_empty()),
        };
        verify_legacy(&signature, &ROOTS_READ[0], &KNOWN[1].policy()).ok()
    }
}

impl Target for OldForm {
    fn name(&self) -> &'static str {
        "annotations with certificates"
    }

    fn input(&self, random: &mut Random) -> Vec<Vec<u8>> {
        let mut parts = OLD.clone();
        let at = random.below(parts.len());
        parts[at] = match at {
            0 | 1 => mutate::bytes(random, &OLD[at], &OLD),
            _ => mutate::document(random, &OLD[at], &OLD[2..]),
        };
        parts
    }

    fn judge(&self, input: &[Vec<u8>]) -> Result<bool, String> {
        let Some(signed) = Self::verify(input) else { return Ok(false) };
        let good = Self::verify(&OLD).ok_or("the good one is refused")?;
        let same = (&signed.artifact, &signed.by, &signed.log)
            == (&good.artifact, &good.by, &good.log)
            && signed.times.iter().all(|time| good.times.contains(time));
        match same && input[0] == OLD[0] {
            true => Ok(true),
            false => Err(format!("something else is good: {signed:?}")),
        }
    }

    fn untouched(&self) -> usize {
        usize::from(self.judge(&OLD) == Ok(true))
    }
}
